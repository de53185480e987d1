# amaranth: UnusedElaboratable=no
"""What a chip is built with: defaults, derived sizes, refusals."""

import dataclasses

import pytest

from behavioral_models.geometry import HELIOBIT, JEBALI_2024, TINY, ChipGeometry
from hdl.controller import Controller
from hdl.parameters import STYLES, ChipParameters

FOUR_BITS = ChipGeometry(banks=1, macros_per_bank=2, rows=4, columns=1, max_inputs=7)
SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)


def test_defaults_are_the_published_chip():
    parameters = ChipParameters()
    assert parameters.geometry is JEBALI_2024
    assert parameters.clock_hz == 66e6
    assert parameters.style == "enabled"


@pytest.mark.parametrize(
    "geometry, split",
    [
        (SMALLEST, 1),
        (TINY, 3),
        (JEBALI_2024, 4),
        (HELIOBIT, 7),
        (ChipGeometry(1, 9, rows=2, columns=1, max_inputs=9), 4),
    ],
)
def test_low_part_is_half_the_register_but_holds_a_count(geometry, split):
    """Half of 2, 7, 8, 15 and 5 bits; the last must hold a count of 9."""
    assert ChipParameters(geometry, style="borrow_gated").borrow_split == split


@pytest.mark.parametrize("geometry, split", [(JEBALI_2024, 4), (HELIOBIT, 4), (SMALLEST, 1)])
def test_low_part_of_a_deferred_register_holds_a_count(geometry, split):
    """8 bits counted at once make 4; the smallest macro has one row to count."""
    assert ChipParameters(geometry, style="deferred").borrow_split == split


@pytest.mark.parametrize("macros, bits", [(1, 1), (2, 2), (3, 2), (4, 3), (64, 7)])
def test_width_of_a_count(macros, bits):
    assert (
        ChipParameters(ChipGeometry(1, macros, rows=2, columns=1, max_inputs=64)).count_width
        == bits
    )


@pytest.mark.parametrize(
    "macros, width, rows",
    [(1, 8, 4), (2, 8, 4), (3, 8, 1), (4, 8, 1), (16, 8, 1), (2, 4, 2), (1, 2, 1)],
)
def test_rows_of_an_update_are_4_with_few_macros(macros, width, rows):
    """Fewer where the register could not count them: 8 bits want 5 of it, sign included."""
    geometry = ChipGeometry(1, macros, rows=8, columns=1, max_inputs=2 ** (width - 1) - 1)
    assert geometry.register_width == width
    parameters = ChipParameters(geometry, style="deferred")
    assert parameters.rows_per_update == rows
    assert parameters.count_width == (macros * rows).bit_length()
    assert ChipParameters(geometry).rows_per_update == 1


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"read_timing": 0}, "Read timing must be 1, 2 or 3 cycles a row, not 0"),
        ({"read_timing": 4}, "Read timing must be 1, 2 or 3 cycles a row, not 4"),
        ({"read_timing": "1"}, "Read timing must be 1, 2 or 3 cycles a row, not '1'"),
        ({"style": "plain"}, "one of enabled, bank_gated, borrow_gated, deferred, not 'plain'"),
        ({"clock_hz": 0}, "At 0 Hz .* clocks .*up to 6.6 GHz"),
        ({"clock_hz": 1e11}, "the form pulse would be 1000000 cycles"),
        ({"borrow_split": 1}, "The low part of a 8-bit register must have 2 to 7 bits, not 1"),
        ({"rows_per_update": 2}, "Style enabled counts row by row; 2 rows an update need"),
        ({"style": "deferred", "rows_per_update": 0}, "must be one of 1, 2, 4, 8, 16, not 0"),
        ({"style": "deferred", "rows_per_update": 2.0}, "must be one of 1, 2, 4, 8, 16, not 2.0"),
        (
            {"style": "deferred", "rows_per_update": 8, "geometry": TINY},
            "A macro of 6 rows has no 8 to count at once",
        ),
        (
            {"style": "deferred", "rows_per_update": 4, "geometry": FOUR_BITS},
            "A 4-bit register cannot count 8 bits at once; take fewer rows an update",
        ),
        ({"borrow_split": 8}, "The low part of a 8-bit register must have 2 to 7 bits, not 8"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        ChipParameters(**changes)


def test_controller_refuses_other_timings():
    with pytest.raises(ValueError, match="Read timing must be 1, 2 or 3 cycles a row, not 5"):
        Controller(TINY, 5)


def test_every_style_and_timing_is_accepted():
    made = {ChipParameters(TINY, timing, style) for timing in (1, 2, 3) for style in STYLES}
    assert len(made) == 12
    with pytest.raises(dataclasses.FrozenInstanceError):
        ChipParameters().style = "enabled"
