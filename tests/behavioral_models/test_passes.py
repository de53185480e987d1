"""Passes: row operations against the design's Arithmetic section, refusals, cycle counts."""

import numpy as np
import pytest

from behavioral_models.geometry import HELIOBIT, JEBALI_2024, TINY, ChipGeometry
from behavioral_models.passes import Configuration, PassConfig, Result, Start, bits_of_planes

ONE_BANK = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
THREE_BANKS = ChipGeometry(
    banks=3, macros_per_bank=2, rows=6, columns=3, max_inputs=12, max_planes=2
)

#: (weight rows, threshold rows, planes): one row, non-powers of two, published, product
SHAPES = [(1, 0, 1), (1, 1, 1), (3, 2, 1), (3, 3, 2), (5, 3, 3), (58, 6, 1), (54, 10, 4), (3, 3, 4)]


@pytest.mark.parametrize("w, t, k", SHAPES)
def test_a_whole_pass_is_what_the_design_says(w, t, k):
    """t - k + 1 shifts, count the top plane, then before each lower plane one more shift."""
    config = PassConfig(weight_rows=w, threshold_rows=t, planes=k)
    expected = [("shift", w + i) for i in range(t - k + 1)]
    for plane in range(k - 1, -1, -1):
        if plane < k - 1:
            expected.append(("shift", w + t - 1 - plane))
        expected += [("count", row, plane) for row in range(w)]
    made = [("shift", o.row) if o.shift else ("count", o.row, o.plane) for o in config.sequence()]
    assert made == expected
    assert config.row_operations == len(expected) == t + k * w


@pytest.mark.parametrize("w, t, k", SHAPES)
def test_threshold_rows_come_after_the_weights_most_significant_first(w, t, k):
    config = PassConfig(weight_rows=w, threshold_rows=t, planes=k)
    rows = [o.row for o in config.sequence() if o.shift]
    assert rows == list(range(w, w + t))
    assert config.first_threshold_row == w


@pytest.mark.parametrize("w, t, k", SHAPES)
def test_a_threshold_bit_doubles_once_for_each_shift_after_it(w, t, k):
    """The shifts weigh row w + i by 2^(t-1-i) and plane p by 2^p: reg = T - H."""
    config = PassConfig(weight_rows=w, threshold_rows=t, planes=k)
    weight = {}
    operations = config.sequence()
    for position, operation in enumerate(operations):
        later_shifts = sum(o.shift for o in operations[position + 1 :])
        key = (operation.shift, operation.row, None if operation.shift else operation.plane)
        weight[key] = 2**later_shifts
    for (shift, row, plane), value in weight.items():
        assert value == (2 ** (t - 1 - (row - w)) if shift else 2**plane)


def test_published_counts():
    """Jebali 2024: 6 threshold and 58 weight rows; four planes on the product: 10 and 54."""
    assert PassConfig().row_operations == 6 + 58
    assert PassConfig(weight_rows=54, threshold_rows=10, planes=4).row_operations == 10 + 4 * 54


def test_parts_of_a_pass_make_the_whole():
    """Plane by plane, as plane-major tiles run, the same operations come in the same order."""
    whole = PassConfig(weight_rows=4, threshold_rows=5, planes=3)
    parts = [
        PassConfig(
            weight_rows=4,
            threshold_rows=5,
            planes=3,
            start=Start.REGISTERS,
            top_plane=p,
            bottom_plane=p,
            begin_with_shift=True,
        )
        for p in (1, 0)
    ]
    first = [o for o in whole.sequence() if o.row < 4 + 3 and o.plane == 2]
    assert whole.sequence() == first + [o for part in parts for o in part.sequence()]
    no_shift = PassConfig(
        weight_rows=4, threshold_rows=5, planes=3, start=Start.PRELOAD, top_plane=1, bottom_plane=1
    )
    assert no_shift.sequence() == [o for o in parts[0].sequence() if not o.shift]


@pytest.mark.parametrize(
    "top, bottom, begin, expected",
    [
        (2, 2, False, "c2"),
        (2, 2, True, "s c2"),
        (2, 1, False, "c2 s c1"),
        (2, 0, False, "c2 s c1 s c0"),
        (2, 0, True, "s c2 s c1 s c0"),
        (1, 0, False, "c1 s c0"),
        (0, 0, True, "s c0"),
        (0, 0, False, "c0"),
    ],
)
def test_planes_of_a_partial_pass(top, bottom, begin, expected):
    w, t = 2, 4
    config = PassConfig(
        weight_rows=w,
        threshold_rows=t,
        planes=3,
        start=Start.REGISTERS,
        top_plane=top,
        bottom_plane=bottom,
        begin_with_shift=begin,
    )
    words, rows, counted = [], [], []
    for operation in config.sequence():
        if operation.shift:
            words.append("s")
            rows.append((operation.row, operation.plane))
        elif operation.row == 0:
            words.append(f"c{operation.plane}")
        if not operation.shift:
            counted.append(operation.row)
    assert " ".join(words) == expected
    assert all(
        row == w + t - 1 - plane for row, plane in rows
    )  # the bit that the plane's doubling brings
    assert counted == [0, 1] * (top - bottom + 1)
    assert config.row_operations == len(config.sequence())
    assert config.counted_planes == top - bottom + 1


@pytest.mark.parametrize(
    "config, geometry, message",
    [
        (
            PassConfig(weight_rows=59),
            JEBALI_2024,
            "59 weight rows and 6 threshold rows do not fit a macro of 64",
        ),
        (
            PassConfig(weight_rows=0, threshold_rows=1),
            TINY,
            "0 weight rows and 1 .* needs at least one weight row",
        ),
        (
            PassConfig(weight_rows=2, threshold_rows=-1),
            TINY,
            "2 weight rows and -1 threshold rows do not fit",
        ),
        (PassConfig(planes=2), JEBALI_2024, "counts inputs of 1 to 1 bit planes, not 2"),
        (PassConfig(planes=0), HELIOBIT, "counts inputs of 1 to 4 bit planes, not 0"),
        (
            PassConfig(weight_rows=4, threshold_rows=2, planes=4),
            HELIOBIT,
            "Inputs of 4 bit planes need at least 3 threshold rows, not 2",
        ),
        (
            PassConfig(
                weight_rows=4, threshold_rows=4, planes=2, start=Start.REGISTERS, top_plane=2
            ),
            HELIOBIT,
            "Planes 2 down to 0 are not planes of a 2-bit input",
        ),
        (
            PassConfig(
                weight_rows=4,
                threshold_rows=4,
                planes=2,
                start=Start.REGISTERS,
                top_plane=0,
                bottom_plane=1,
            ),
            HELIOBIT,
            "Planes 0 down to 1 are not planes",
        ),
        (
            PassConfig(weight_rows=4, threshold_rows=4, planes=2, bottom_plane=-1),
            HELIOBIT,
            "Planes 1 down to -1 are not planes",
        ),
        (
            PassConfig(weight_rows=4, threshold_rows=4, planes=2, top_plane=0),
            HELIOBIT,
            "starts from thresholds begins with the top plane",
        ),
        (
            PassConfig(weight_rows=4, threshold_rows=4, begin_with_shift=True),
            HELIOBIT,
            "starts from thresholds begins with the top plane and shifts by itself",
        ),
        (
            PassConfig(
                weight_rows=4,
                threshold_rows=1,
                planes=2,
                start=Start.REGISTERS,
                begin_with_shift=True,
            ),
            HELIOBIT,
            "no threshold row for plane 1 to shift in: 1 threshold rows",
        ),
        (PassConfig(macros=()), JEBALI_2024, "at least one enabled macro"),
        (
            PassConfig(macros=(0, 4)),
            JEBALI_2024,
            r"Macros \[0, 4\] are not all of this chip's macros 0 to 3",
        ),
        (PassConfig(macros=(-1, 2)), JEBALI_2024, r"Macros \[-1, 2\] are not all"),
        (
            PassConfig(Configuration.CHAINED, macros=(0, 1)),
            JEBALI_2024,
            "needs macros of bank 0 and of bank 1",
        ),
        (PassConfig(Configuration.CHAINED, 1, 1), ONE_BANK, "needs macros of bank 0 and of bank 1"),
        (
            PassConfig(Configuration.CHAINED, 1, 1, macros=(0, 2, 4)),
            THREE_BANKS,
            "and of no other bank",
        ),
        (
            PassConfig(Configuration.CHAINED, start=Start.PRELOAD),
            JEBALI_2024,
            "A chained pass starts from thresholds and counts all planes",
        ),
        (
            PassConfig(Configuration.CHAINED, 3, 3, 2, bottom_plane=1),
            TINY,
            "A chained pass starts from thresholds",
        ),
    ],
)
def test_what_a_chip_cannot_do_is_refused(config, geometry, message):
    with pytest.raises(ValueError, match=message):
        config.check(geometry)


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match="3 is not a valid Configuration"):
        PassConfig(configuration=3)
    with pytest.raises(ValueError, match="7 is not a valid Start"):
        PassConfig(start=7)


@pytest.mark.parametrize(
    "config, geometry",
    [
        (PassConfig(), JEBALI_2024),
        (PassConfig(weight_rows=54, threshold_rows=10, planes=4), HELIOBIT),
        (PassConfig(weight_rows=1, threshold_rows=0), ONE_BANK),
        (PassConfig(weight_rows=2, threshold_rows=0), ONE_BANK),
        (PassConfig(weight_rows=4, threshold_rows=3, planes=4), HELIOBIT),
        (PassConfig(Configuration.CHAINED, 3, 3, 2), TINY),
        (PassConfig(Configuration.CHAINED, 3, 3, macros=(1, 2)), THREE_BANKS),
        (
            PassConfig(
                weight_rows=4,
                threshold_rows=1,
                planes=2,
                start=Start.REGISTERS,
                top_plane=0,
                begin_with_shift=True,
            ),
            HELIOBIT,
        ),
    ],
)
def test_limits_are_accepted(config, geometry):
    config.check(geometry)


def test_macros_are_a_sorted_set():
    config = PassConfig(macros=[3, 0, 3, np.int64(2)])
    assert config.macros == (0, 2, 3)
    assert hash(config) == hash(PassConfig(macros=(0, 2, 3)))


@pytest.mark.parametrize(
    "configuration, macros, banks, inputs, neurons",
    [
        ("SINGLE_LAYER", None, (0, 1), 116, 128),
        ("TWO_LAYER", None, (0, 1), 232, 128),
        ("CHAINED", None, (0, 1), 116, 128),
        ("SINGLE_LAYER", (0,), (0,), 116, 64),
        ("SINGLE_LAYER", (3,), (1,), 116, 64),
        ("TWO_LAYER", (2, 3), (1,), 232, 64),
        ("SINGLE_LAYER", (1, 2), (0, 1), 116, 128),
    ],
)
def test_sizes_on_the_published_chip(configuration, macros, banks, inputs, neurons):
    """Published: two layers of 116 x 64, or one of 116 x 128."""
    config = PassConfig(Configuration[configuration], macros=macros)
    assert config.enabled_banks(JEBALI_2024) == banks
    assert config.inputs(JEBALI_2024) == inputs
    assert config.neurons(JEBALI_2024) == neurons


def test_chained_pass_takes_banks_0_and_1_of_three():
    assert PassConfig(Configuration.CHAINED, 3, 3).enabled_macros(THREE_BANKS) == (0, 1, 2, 3)
    assert PassConfig(weight_rows=3, threshold_rows=3).enabled_macros(THREE_BANKS) == (
        0,
        1,
        2,
        3,
        4,
        5,
    )


@pytest.mark.parametrize("read_timing", [1, 2, 3])
@pytest.mark.parametrize("inferences", [0, 1, 3])
def test_cycles_of_the_published_pass(read_timing, inferences):
    """64 rows of `read_timing` cycles an inference without a gap; once, the pipeline's end."""
    drain = {1: 2, 2: 1, 3: 1}[read_timing]
    cycles = PassConfig().cycles(JEBALI_2024, read_timing, inferences)
    assert cycles == (inferences * 64 * read_timing + drain if inferences else 0)


@pytest.mark.parametrize("read_timing", [1, 2, 3])
def test_cycles_of_preload_readout_and_chain(read_timing):
    """A byte a cycle for each register in and out, with the pipeline drained around it."""
    drain = {1: 2, 2: 1, 3: 1}[read_timing]
    registers = 128 * 1
    readout = PassConfig().cycles(JEBALI_2024, read_timing, 3, readout=True)
    assert readout == 3 * (64 * read_timing + drain + registers)
    preloaded = PassConfig(start=Start.PRELOAD)
    assert preloaded.cycles(JEBALI_2024, read_timing, 3) == 3 * (
        58 * read_timing + drain + registers
    )
    assert preloaded.cycles(JEBALI_2024, read_timing, 3, True) == 3 * (
        58 * read_timing + drain + 2 * registers
    )
    wide = PassConfig(weight_rows=54, threshold_rows=10, planes=4, macros=(0, 1))
    assert (
        wide.cycles(HELIOBIT, read_timing, 1, True) == (10 + 4 * 54) * read_timing + drain + 64 * 2
    )
    # bank 1 is one pass behind
    assert (
        PassConfig(Configuration.CHAINED).cycles(JEBALI_2024, read_timing, 3)
        == 4 * 64 * read_timing + drain
    )


@pytest.mark.parametrize("k", [1, 2, 3, 4, 8])
def test_planes_of_every_input(k):
    config = PassConfig(weight_rows=4, threshold_rows=8, planes=k)
    inputs = np.arange(2**k)[None, :]
    planes = bits_of_planes(inputs, config)
    assert planes.shape == (1, k, 2**k) and planes.dtype == bool
    assert (sum(planes[:, i].astype(int) << k - 1 - i for i in range(k)) == inputs).all()


def test_some_planes_of_an_input():
    config = PassConfig(
        weight_rows=4,
        threshold_rows=8,
        planes=4,
        start=Start.REGISTERS,
        top_plane=2,
        bottom_plane=1,
    )
    planes = bits_of_planes(np.array([[0b0100, 0b1011]]), config)
    assert planes.tolist() == [[[True, False], [False, True]]]


@pytest.mark.parametrize(
    "inputs, k", [([[2]], 1), ([[-1]], 1), ([[0, 16]], 4), ([[256]], 8), ([[-1, 3]], 2)]
)
def test_inputs_too_large_for_the_planes_are_refused(inputs, k):
    with pytest.raises(
        ValueError, match=f"Inputs range from .* does not fit {k} unsigned bit planes"
    ):
        bits_of_planes(np.array(inputs), PassConfig(planes=k))


def test_no_inputs_and_bool_inputs():
    assert bits_of_planes(np.zeros((0, 5), int), PassConfig()).shape == (0, 1, 5)
    assert bits_of_planes(np.array([[True, False]]), PassConfig()).tolist() == [[[True, False]]]


def test_result_is_plain_data():
    result = Result(np.zeros((1, 1), bool), None, 7)
    assert result.wait_cycles is None and result.cycles == 7


@pytest.mark.parametrize("width_of", [1, 3, 4, 116])
def test_registers_that_cannot_hold_a_pass_are_refused(width_of):
    """A register of n bits counts down to -2^(n-1) and holds thresholds to 2^(n-1) - 1."""
    geometry = ChipGeometry(1, 1, rows=1024, columns=1, max_inputs=width_of, max_planes=2)
    half = 2 ** (geometry.register_width - 1)
    PassConfig(weight_rows=half, threshold_rows=0).check(geometry)
    with pytest.raises(ValueError, match=f"cannot count 1 x {half + 1} inputs of 1 planes"):
        PassConfig(weight_rows=half + 1, threshold_rows=0).check(geometry)
    bits = geometry.register_width - 1  # the largest is 2^bits - 1
    PassConfig(weight_rows=1, threshold_rows=bits).check(geometry)
    with pytest.raises(ValueError, match=f"cannot hold thresholds of {bits + 1} bits from 1 m"):
        PassConfig(weight_rows=1, threshold_rows=bits + 1).check(geometry)
    third = half // 3  # two planes weigh 3
    if third:
        PassConfig(weight_rows=third, threshold_rows=1, planes=2).check(geometry)
    with pytest.raises(ValueError, match=f"cannot count 1 x {third + 1} inputs of 2 planes"):
        PassConfig(weight_rows=third + 1, threshold_rows=1, planes=2).check(geometry)


def test_only_macros_of_one_bank_add_up():
    """The published registers, 8 bits, hold 2 x 58 rows of a bank, in both banks at once."""
    PassConfig().check(JEBALI_2024)
    PassConfig(weight_rows=58, threshold_rows=6, macros=(0, 2)).check(JEBALI_2024)
    with pytest.raises(ValueError, match="8 bits cannot hold thresholds of 7 bits from 2 macros"):
        PassConfig(weight_rows=57, threshold_rows=7).check(JEBALI_2024)
    PassConfig(weight_rows=57, threshold_rows=7, macros=(0, 2)).check(JEBALI_2024)
