# amaranth: UnusedElaboratable=no
"""Popcount: every value at small widths, random ones at 64."""

import random

import pytest

from hdl.popcount import Popcount
from tests.hdl.simulation import simulate


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 9])
def test_every_value(width):
    dut = Popcount(width)

    async def testbench(ctx):
        for value in range(2**width):
            ctx.set(dut.i, value)
            assert ctx.get(dut.o) == bin(value).count("1")

    simulate(dut, testbench, clocked=False)


@pytest.mark.parametrize("width", [31, 64])
def test_random_values_and_extremes(width):
    dut = Popcount(width)
    values = [
        0,
        2**width - 1,
        *(random.Random(width).getrandbits(width) for _ in range(300)),
        *(1 << i for i in range(width)),
    ]

    async def testbench(ctx):
        for value in values:
            ctx.set(dut.i, value)
            assert ctx.get(dut.o) == bin(value).count("1")

    simulate(dut, testbench, clocked=False)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 8, 64])
def test_output_is_as_wide_as_the_largest_count(width):
    assert len(Popcount(width).o) == width.bit_length()


@pytest.mark.parametrize("width", [0, -1, 2.0, "2", None])
def test_other_widths_are_refused(width):
    with pytest.raises(
        ValueError, match=f"A popcount's width must be a positive integer, not {width!r}"
    ):
        Popcount(width)
