"""The macro model: forming, SET, RESET, XNOR, and every way to drive it wrongly."""

import numpy as np
import pytest

from behavioral_models.constants import RAILS, Operation, Rail
from behavioral_models.macro import MacroModel, MacroProtocolError, read_table

IDLE = {
    "row": 0,
    "x": 0,
    "sense": 0,
    "operation": Operation.READ,
    "column": 0,
    "side": 0,
    "pulse": 0,
    "rail_column": Rail.VDD,
    "rail_row": Rail.VDD,
}


class Driver:
    """Drives a macro a cycle at a time; pins keep their values."""

    def __init__(self, macro):
        self.macro = macro
        self.pins = dict(IDLE)

    def __call__(self, **pins):
        self.pins.update(pins)
        return self.macro.clock_edge(**self.pins)

    def rails(self, operation):
        column, row = RAILS[operation]
        self(rail_column=Rail.OFF, rail_row=Rail.OFF, operation=operation)
        self(rail_column=column, rail_row=row)

    def pulse(self, operation, row, column, side, cycles=3):
        self.rails(operation)
        self(row=row, column=column, side=side)
        for _ in range(cycles):
            self(pulse=1)
        self(pulse=0)
        self.rails(Operation.READ)

    def sense(self, row, x):
        q = self(row=row, x=x, sense=1)
        assert self(sense=0) == q, "q holds until the next sense"
        return q


def test_rails_are_the_published_ones():
    """Jebali 2024: forming VH on columns and VM on rows, RESET the other way, SET VM on both."""
    assert RAILS[Operation.FORM] == (Rail.VH, Rail.VM)
    assert RAILS[Operation.SET] == (Rail.VM, Rail.VM)
    assert RAILS[Operation.RESET] == (Rail.VM, Rail.VH)
    assert RAILS[Operation.READ] == (Rail.VDD, Rail.VDD)


def test_read_table_is_xnor():
    image = np.array([[[0, 1]]], dtype=bool)
    table = read_table(image)
    assert table.shape == (1, 1, 2, 2)
    for column, weight in enumerate((0, 1)):
        for x in (0, 1):
            assert table[0, 0, column, x] == (weight == x)


@pytest.mark.parametrize("rows, columns", [(2, 1), (3, 5), (64, 64)])
def test_loaded_macro_reads_its_table(rows, columns):
    """Any table, not only an XNOR: a weak cell may err for one x only."""
    table = np.random.default_rng(columns).random((rows, columns, 2)) < 0.5
    macro = MacroModel(rows, columns, table)
    drive = Driver(macro)
    for row in range(rows):
        for x in (0, 1):
            q = drive.sense(row, x)
            assert [q >> c & 1 for c in range(columns)] == table[row, :, x].tolist()
    assert macro.undecided_reads == 0


def test_loading_keeps_a_copy_and_refuses_other_shapes():
    table = np.zeros((2, 3, 2), bool)
    macro = MacroModel(2, 3, table)
    table[:] = True
    assert not macro.table.any()
    with pytest.raises(
        ValueError,
        match=r"A macro of 2 x 3 .* takes a read table of shape \(2, 3, 2\), not \(3, 2, 2\)",
    ):
        macro.load(np.zeros((3, 2, 2)))
    with pytest.raises(ValueError, match="takes a read table of shape"):
        MacroModel(1, 1, np.zeros((1, 1)))


@pytest.mark.parametrize("rows, columns", [(2, 1), (3, 3)])
def test_forming_then_programming_gives_the_truth_table(rows, columns):
    """HRS/LRS on BL/BLb is 1, LRS/HRS 0; both orders of programming, over an old value too."""
    macro = MacroModel(rows, columns)
    drive = Driver(macro)
    assert not macro.formed.any()
    for row in range(rows):
        for column in range(columns):
            for side in (0, 1):
                drive.pulse(Operation.FORM, row, column, side)
                assert macro.formed[row, column, side] and macro.low[row, column, side]
    assert macro.formed.all() and macro.low.all()
    rng = np.random.default_rng(1)
    for _ in range(2):
        image = rng.random((rows, columns)) < 0.5
        for row, column in np.ndindex(rows, columns):
            bit = int(image[row, column])
            drive.pulse(Operation.SET, row, column, bit)
            drive.pulse(Operation.RESET, row, column, 1 - bit)
            assert macro.low[row, column].tolist() == [not bit, bool(bit)]
        for row in range(rows):
            for x in (0, 1):
                q = drive.sense(row, x)
                assert [q >> c & 1 for c in range(columns)] == (image[row] == x).tolist()
    assert macro.undecided_reads == 0


def test_a_pulse_of_any_length_counts_once_it_has_ended():
    macro = MacroModel(2, 2)
    drive = Driver(macro)
    drive.rails(Operation.FORM)
    drive(row=1, column=1, side=0, pulse=1)
    assert not macro.formed.any()
    drive(pulse=0)
    assert macro.formed.sum() == 1 and macro.formed[1, 1, 0]


def test_what_was_never_formed_cannot_be_set_or_reset():
    macro = MacroModel(2, 1)
    drive = Driver(macro)
    for operation in (Operation.SET, Operation.RESET):
        drive.pulse(operation, 0, 0, 1)
        assert not macro.formed.any() and not macro.low.any() and not macro.decided.any()


@pytest.mark.parametrize("low", [False, True])
def test_equal_memristors_do_not_decide(low):
    macro = MacroModel(2, 3, np.ones((2, 3, 2), bool))
    drive = Driver(macro)
    side = 0 if low else 1  # both sides low, or both high
    drive.pulse(Operation.SET if low else Operation.RESET, 1, 2, side)
    assert macro.low[1, 2].tolist() == [low, low]
    assert drive.sense(1, 1) == 0b011
    assert macro.undecided_reads == 1
    drive.sense(0, 1)
    assert macro.undecided_reads == 1


def test_virgin_row_does_not_decide():
    macro = MacroModel(3, 5)
    assert Driver(macro).sense(2, 1) == 0
    assert macro.undecided_reads == 5


FORM_PINS = {"operation": Operation.FORM, "rail_column": Rail.VH, "rail_row": Rail.VM}
SET_PINS = {"operation": Operation.SET, "rail_column": Rail.VM, "rail_row": Rail.VM}
OFF = {"rail_column": Rail.OFF, "rail_row": Rail.OFF}


@pytest.mark.parametrize(
    "message, cycles",
    [
        ("a row that does not exist is sensed", [{"sense": 1, "row": 3}]),
        ("a sense during a pulse", [{**FORM_PINS}, {"pulse": 1}, {"sense": 1}]),
        ("a sense while the rails are not both VDD", [{"rail_row": Rail.VM}, {"sense": 1}]),
        ("a sense while the rails are not both VDD", [{"rail_column": Rail.OFF}, {"sense": 1}]),
        ("a pulse without an operation", [{"pulse": 1}]),
        (
            "a pulse while the rails are not those of its operation",
            [{"operation": Operation.FORM}, {"pulse": 1}],
        ),
        (
            "a pulse while the rails are not those of its operation",
            [{**FORM_PINS}, {"operation": Operation.RESET}, {"pulse": 1}],
        ),
        (
            "a pulse while the rails are not those of its operation",
            [{**SET_PINS}, {**OFF}, {"pulse": 1}],
        ),
        (
            "a pulse while a sense is in progress",
            [{"sense": 1}, {"sense": 0, "pulse": 1, **FORM_PINS}],
        ),
        ("a pulse on a row or column that does not exist", [{**FORM_PINS, "row": 3}, {"pulse": 1}]),
        (
            "a pulse on a row or column that does not exist",
            [{**FORM_PINS, "column": 2}, {"pulse": 1}],
        ),
        ("the row moved during a pulse", [{**FORM_PINS}, {"pulse": 1}, {"row": 1}]),
        ("the column moved during a pulse", [{**FORM_PINS}, {"pulse": 1}, {"column": 1}]),
        ("the column moved during a pulse", [{**FORM_PINS}, {"pulse": 1}, {"side": 1}]),
        (
            "the operation changed during a pulse",
            [
                {**FORM_PINS},
                {"pulse": 1},
                {"operation": Operation.RESET, "rail_column": Rail.VM, "rail_row": Rail.VH},
            ],
        ),
        (
            "a rail was switched while a sense was in progress",
            [{"sense": 1}, {"sense": 0, "rail_row": Rail.VH}],
        ),
        ("a sense during a bypass", [{"bypass": 1}, {"sense": 1}]),
        ("a pulse during a bypass", [{**FORM_PINS}, {"pulse": 1, "bypass": 1}]),
        ("a bypass while the rails are not both VDD", [{"bypass": 1}, {"rail_row": Rail.VM}]),
        ("a bypass while the rails are not both VDD", [{"bypass": 1}, {"rail_column": Rail.OFF}]),
        ("a bypass while the rails are not both VDD", [{**OFF}, {"bypass": 1}]),
        ("a bypass while a sense is in progress", [{"sense": 1}, {"sense": 0, "bypass": 1}]),
        ("a bypass of a row or column that does not exist", [{"row": 3}, {"bypass": 1}]),
        ("a bypass of a row or column that does not exist", [{"column": 2}, {"bypass": 1}]),
        ("the row moved during a bypass", [{"bypass": 1}, {"row": 1}]),
        ("the column moved during a bypass", [{"bypass": 1}, {"column": 1}]),
        ("the column moved during a bypass", [{"bypass": 1}, {"side": 1}]),
    ],
)
def test_breaches_of_the_protocol(message, cycles):
    drive = Driver(MacroModel(3, 2, name="macro 7"))
    drive()
    for pins in cycles[:-1]:
        drive(**pins)
    with pytest.raises(
        MacroProtocolError, match=rf"^macro 7, cycle {len(cycles)}: protocol breach: {message}$"
    ):
        drive(**cycles[-1])


@pytest.mark.parametrize("change", [{"rail_column": Rail.VM}, {"rail_row": Rail.OFF}, OFF])
def test_rails_switched_during_a_pulse_are_a_breach(change):
    """Whatever the message: the rails no longer belong to the operation."""
    drive = Driver(MacroModel(3, 2))
    drive(**FORM_PINS)
    drive(pulse=1)
    with pytest.raises(
        MacroProtocolError, match="rails are not those of its operation"
    ):
        drive(**change)


def test_well_behaved_cycles_are_no_breach():
    """The last legal moment of each rule."""
    drive = Driver(MacroModel(3, 2))
    drive(sense=1)
    drive(sense=1, row=2)
    drive(sense=0, row=7)  # a row that does not exist, but nothing senses it
    drive(**OFF)
    drive(**FORM_PINS, row=0)
    drive(pulse=1)
    drive(pulse=0, **OFF)  # rails go with the pulse, not during it
    drive(**SET_PINS)
    drive(pulse=1, column=1)
    drive(pulse=0)


def test_a_bypass_connects_one_memristor_and_changes_none():
    rng = np.random.default_rng(2)
    macro = MacroModel(3, 2, read_table(rng.random((3, 2)) < 0.5))
    drive = Driver(macro)
    table, low = macro.table.copy(), macro.low.copy()
    for row, column, side in np.ndindex(3, 2, 2):
        q = drive.sense(row, 1)
        drive(row=row, column=column, side=side)
        assert macro.connected is None
        for _ in range(3):
            assert drive(bypass=1) == q
            assert macro.connected == (row, column, side)
        drive(bypass=0)
        assert macro.connected is None
    assert (macro.table == table).all() and (macro.low == low).all()


def test_a_bypass_may_end_together_with_what_it_needs():
    """Row, column, rails and senses are free in the cycle in which it is off."""
    for pins in ({"row": 1}, {"column": 1, "side": 1}, {"sense": 1}, OFF):
        macro = MacroModel(3, 2)
        drive = Driver(macro)
        drive(bypass=1)
        drive(bypass=0, **pins)
        assert macro.connected is None


def test_macros_without_the_pin_are_never_bypassed():
    macro = MacroModel(3, 2)
    pins = {**IDLE}
    macro.clock_edge(**pins)
    macro.clock_edge(**{**pins, "row": 2})
    assert macro.connected is None


def test_a_reset_may_take_the_rails_off_in_the_middle_of_a_sense():
    drive = Driver(MacroModel(3, 2))
    drive(sense=1)
    drive(sense=0, **OFF)
