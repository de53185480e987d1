# amaranth: UnusedElaboratable=no
"""What a chip is built with: defaults, derived sizes, refusals."""

import dataclasses

import pytest

from behavioral_models.geometry import HELIOBIT, JEBALI_2024, TINY, ChipGeometry
from hdl.controller import Controller
from hdl.parameters import STYLES, ChipParameters

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


@pytest.mark.parametrize("macros, bits", [(1, 1), (2, 2), (3, 2), (4, 3), (64, 7)])
def test_width_of_a_count(macros, bits):
    assert (
        ChipParameters(ChipGeometry(1, macros, rows=2, columns=1, max_inputs=64)).count_width
        == bits
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"read_timing": 0}, "Read timing must be 1, 2 or 3 cycles a row, not 0"),
        ({"read_timing": 4}, "Read timing must be 1, 2 or 3 cycles a row, not 4"),
        ({"read_timing": "1"}, "Read timing must be 1, 2 or 3 cycles a row, not '1'"),
        ({"style": "plain"}, "must be one of enabled, bank_gated, borrow_gated, not 'plain'"),
        ({"clock_hz": 0}, "At 0 Hz .* clocks .*up to 6.6 GHz"),
        ({"clock_hz": 1e11}, "the form pulse would be 1000000 cycles"),
        ({"borrow_split": 1}, "The low part of a 8-bit register must have 2 to 7 bits, not 1"),
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
    assert len(made) == 9
    with pytest.raises(dataclasses.FrozenInstanceError):
        ChipParameters().style = "enabled"
