"""A macro of memristors, driven by its pins: the same chip as numpy's, bit for bit."""

import numpy as np
import pytest

from behavioral_models.array import UNFORMED_OHM
from behavioral_models.constants import RAILS, Operation, Rail
from behavioral_models.device_chip import DeviceChip
from behavioral_models.device_macro import DeviceMacro
from behavioral_models.geometry import TINY, ChipGeometry
from behavioral_models.macro import MacroProtocolError
from tests.close import close

BYPASS = ChipGeometry(
    banks=1, macros_per_bank=1, rows=3, columns=2, max_inputs=3, sense_bypass=True)
ONE_COLUMN = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
FULL = {Operation.FORM: 10, Operation.SET: 6, Operation.RESET: 8}
VDD, CLOCK = 0.7, 66e6

geometries = pytest.mark.parametrize(
    "geometry", [ONE_COLUMN, BYPASS, TINY], ids=["one_column", "bypass", "tiny"])


class Driver:
    """Drives a macro a cycle at a time; pins keep their values."""

    def __init__(self, macro):
        self.macro = macro
        self.pins = {
            "row": 0, "x": 0, "sense": 0, "operation": Operation.READ, "column": 0, "side": 0,
            "pulse": 0, "rail_column": Rail.VDD, "rail_row": Rail.VDD,
        }  # fmt: skip

    def __call__(self, **pins):
        self.pins.update(pins)
        return self.macro.clock_edge(**self.pins)

    def rails(self, operation):
        column, row = RAILS[operation]
        self(rail_column=Rail.OFF, rail_row=Rail.OFF, operation=operation)
        self(rail_column=column, rail_row=row)

    def pulse(self, operation, row, column, side, cycles=None):
        self.rails(operation)
        self(row=row, column=column, side=side)
        for _ in range(FULL[operation] if cycles is None else cycles):
            self(pulse=1)
        self(pulse=0)
        self.rails(Operation.READ)

    def program_row(self, row, bits):
        """SET pulses of a row, then its RESET pulses, rails switched once for each."""
        for operation in (Operation.SET, Operation.RESET):
            self.rails(operation)
            for column, bit in enumerate(bits):
                side = int(bit) if operation is Operation.SET else 1 - int(bit)
                self(row=row, column=column, side=side)
                for _ in range(FULL[operation]):
                    self(pulse=1)
                self(pulse=0)
        self.rails(Operation.READ)

    def sense(self, row, x):
        q = self(row=row, x=x, sense=1)
        assert self(sense=0) == q, "q holds until the next sense"
        return q

    def read(self):
        """Table (row, column, x) of all senses."""
        macro = self.macro
        table = np.zeros((macro.rows, macro.columns, 2), bool)
        for row, x in np.ndindex(macro.rows, 2):
            q = self.sense(row, x)
            table[row, :, x] = [q >> column & 1 for column in range(macro.columns)]
        return table


def devices(geometry, formed=True, seed=1):
    """Two chips alike: one for pins, one for numpy."""
    chips = [DeviceChip(geometry, seed=seed, formed=formed) for _ in range(2)]
    image = np.random.default_rng(seed).random(geometry.image_shape) < 0.5
    if formed:
        for chip in chips:
            chip.program(image)
    return (*chips, image)


def drivers(chip):
    return [Driver(DeviceMacro(chip, macro, VDD, CLOCK, FULL))
            for macro in range(chip.geometry.macros)]


@geometries
def test_a_chip_formed_and_programmed_by_pins_is_numpys(geometry):
    """Forming and two images: resistances bit for bit, and every sense as the chip's table."""
    pins, plain, image = devices(geometry, formed=False)
    macros = drivers(pins)
    for number, drive in enumerate(macros):
        for row, column, side in np.ndindex(geometry.rows, geometry.columns, 2):
            drive.pulse(Operation.FORM, row, column, side)
        assert drive.macro.formed.all(), number
    plain.array.form()
    assert (pins.array.ohm == plain.array.ohm).all()
    for bits in (image, ~image):
        plain.program(bits)
        for macro, drive in enumerate(macros):
            for row in range(geometry.rows):
                drive.program_row(row, bits[macro, row])
        assert (pins.array.ohm == plain.array.ohm).all()
        assert (pins.array.pulses == plain.array.pulses).all()
        table = plain.table(VDD, CLOCK)
        for macro, drive in enumerate(macros):
            assert (drive.read() == table[macro]).all()
            assert drive.macro.undecided_reads == 0


@geometries
def test_full_pulses_of_a_row_are_program_row(geometry):
    pins, plain, image = devices(geometry)
    macro, row = geometry.macros - 1, geometry.rows - 1
    bits = ~image[macro, row]
    drivers(pins)[macro].program_row(row, bits)
    plain.array.program_row(macro, row, bits)
    assert (pins.array.ohm == plain.array.ohm).all()


@pytest.mark.parametrize("cycles", [1, 3, 7])
def test_a_pulse_cut_off_half_programs(cycles):
    """RESET of 8 cycles: the logarithm has come cycles / 8 of the way (Notes of MemristorArray)."""
    pins, plain, image = devices(TINY)
    macro, row, column = 2, 4, 1
    side = int(image[macro, row, column])  # in LRS
    place = (macro, row, column, side)
    start = pins.array.ohm[place]
    drivers(pins)[macro].pulse(Operation.RESET, row, column, side, cycles)
    plain.array.pulse(*place, Operation.RESET)
    part = cycles / FULL[Operation.RESET]
    expected = (1 - part) * np.log(start) + part * np.log(plain.array.ohm[place])
    assert np.log(pins.array.ohm[place]) == close(expected, rel=1e-12)
    assert start < pins.array.ohm[place] < plain.array.ohm[place]


@pytest.mark.parametrize("operation", [Operation.FORM, Operation.SET], ids=["FORM", "SET"])
@pytest.mark.parametrize("cycles", [1, 3, 5])
def test_abrupt_pulses_cut_off_have_happened_or_not(operation, cycles):
    pins, plain, image = devices(TINY, formed=operation is not Operation.FORM)
    drive = drivers(pins)[1]
    for row, column in np.ndindex(TINY.rows, TINY.columns):
        side = 1 - int(image[1, row, column])  # in HRS, or never formed
        drive.pulse(operation, row, column, side, cycles)
        plain.array.pulse(1, row, column, side, operation, cycles / FULL[operation])
    assert (pins.array.ohm == plain.array.ohm).all()
    if operation is Operation.FORM:
        assert (drive.macro.formed == plain.array.formed[1]).all()


def test_a_pulse_longer_than_whole_is_whole():
    pins, plain, _ = devices(TINY)
    drivers(pins)[0].pulse(Operation.RESET, 0, 0, 0, 3 * FULL[Operation.RESET])
    plain.array.pulse(0, 0, 0, 0, Operation.RESET)
    assert (pins.array.ohm == plain.array.ohm).all()


def test_a_brown_out_ends_a_pulse():
    """Rails and pulse fall together: what there was of the pulse counts."""
    pins, plain, _ = devices(TINY)
    drive = drivers(pins)[0]
    drive.rails(Operation.RESET)
    drive(row=3, column=2, side=1)
    for _ in range(2):
        drive(pulse=1)
    drive(pulse=0, rail_column=Rail.OFF, rail_row=Rail.OFF)
    plain.array.pulse(0, 3, 2, 1, Operation.RESET, 2 / FULL[Operation.RESET])
    assert (pins.array.ohm == plain.array.ohm).all()


@geometries
def test_reads_are_the_chips(geometry):
    pins, _, _ = devices(geometry, seed=5)
    for macro, drive in enumerate(drivers(pins)):
        assert (drive.read() == pins.read(macro, slice(None), VDD, CLOCK)).all()


def test_every_pair_decides_even_unformed():
    """There is always a difference: no sense is undecided, whatever was done to the cell."""
    chip = DeviceChip(TINY, formed=False)
    drive = drivers(chip)[0]
    drive.pulse(Operation.FORM, 0, 0, 1)
    drive.read()
    assert drive.macro.undecided_reads == 0
    assert drive.macro.formed.sum() == 1 == chip.array.formed.sum()
    assert drive.macro.low[0, 0].tolist() == [False, True]


def test_refresh_reads_what_was_changed_behind_the_macro():
    chip, _, image = devices(TINY)
    macro = drivers(chip)[3].macro
    chip.program(~image)
    macro.refresh()
    assert (macro.table == chip.table(VDD, CLOCK)[3]).all()
    ohm = chip.array.ohm[3]
    assert (macro.low[..., 0] == (ohm[..., 0] < ohm[..., 1])).all()
    assert (macro.low[..., 1] == (ohm[..., 1] < ohm[..., 0])).all()


def test_a_table_cannot_be_loaded():
    """It would not tell resistances, and must not form the chip's memristors."""
    chip = DeviceChip(TINY, formed=False)
    macro = DeviceMacro(chip, 2, VDD, CLOCK, FULL)
    with pytest.raises(ValueError, match="macro 2 is made of memristors: program its DeviceChip"):
        macro.load(np.zeros((6, 3, 2)))
    assert not chip.array.formed.any()


def test_bypass_measures():
    """The test die's bypass connects one memristor to the pads for as long as it is on."""
    pins, plain, _ = devices(BYPASS)
    drive = drivers(pins)[0]
    assert drive.macro.measured_ohm is None
    for row, column, side in np.ndindex(3, 2, 2):
        drive(row=row, column=column, side=side, bypass=1)
        assert drive.macro.measured_ohm == plain.array.ohm[0, row, column, side]
        drive(bypass=0)
        assert drive.macro.measured_ohm is None
    drive.pulse(Operation.RESET, 1, 1, 0)
    plain.array.pulse(0, 1, 1, 0, Operation.RESET)
    drive(row=1, column=1, side=0, bypass=1)
    assert drive.macro.measured_ohm == plain.measure(0, 1, 1, 0)
    unformed = Driver(DeviceMacro(DeviceChip(BYPASS, formed=False), 0, VDD, CLOCK, FULL))
    unformed(bypass=1)
    assert unformed.macro.measured_ohm == UNFORMED_OHM


def test_a_chip_without_bypass_measures_nothing():
    pins, _, _ = devices(TINY)
    drive = drivers(pins)[0]
    drive(bypass=1)
    with pytest.raises(ValueError, match="cannot be bypassed to measure resistances"):
        _ = drive.macro.measured_ohm


@pytest.mark.parametrize(("pins", "message"), [
    ({"sense": 1, "rail_row": Rail.VM}, "macro 1, cycle 0: .* a sense while the rails are not"),
    ({"pulse": 1, "operation": Operation.SET}, "a pulse while the rails are not those of its op"),
    ({"pulse": 1}, "a pulse without an operation"),
    ({"sense": 1, "row": 6}, "a row that does not exist is sensed"),
])
def test_the_protocol_is_checked_and_breaches_change_nothing(pins, message):
    chip, _, _ = devices(TINY)
    before = chip.array.ohm.copy()
    drive = drivers(chip)[1]
    with pytest.raises(MacroProtocolError, match=message):
        drive(**pins)
    assert (chip.array.ohm == before).all()


def test_supplies_outside_the_amplifiers_are_refused():
    with pytest.raises(ValueError, match="holds for supplies of 0.7 to 1.25 V, not 0.5 V"):
        DeviceMacro(DeviceChip(TINY), 0, 0.5, CLOCK, FULL)
