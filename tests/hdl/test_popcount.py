# amaranth: UnusedElaboratable=no
"""Popcount: every value at small widths, random ones at 64."""

import random

import pytest

from hdl.popcount import GroupPopcount, Popcount
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


@pytest.mark.parametrize("macros, rows", [(1, 1), (3, 1), (1, 2), (2, 2), (1, 4), (2, 4), (3, 3)])
def test_groups(macros, rows):
    """Macros that do not count together keep theirs to themselves; exhaustive up to 12 bits."""
    dut = GroupPopcount(macros, rows)
    assert len(dut.o) == (macros * rows).bit_length()
    held = (rows - 1) * macros
    values = [(bits, mask) for bits in range(2 ** (held + macros)) for mask in range(2**macros)]
    values = random.Random(0).sample(values, min(len(values), 2000))

    async def testbench(ctx):
        for bits, mask in values:
            ctx.set(dut.live, bits & 2**macros - 1)
            counted = bin(bits & 2**macros - 1).count("1")
            if held:
                ctx.set(dut.held, bits >> macros)
                ctx.set(dut.together, mask)
                for macro in range(macros):
                    theirs = bits >> macros >> macro * (rows - 1) & 2 ** (rows - 1) - 1
                    counted += bin(theirs).count("1") if mask >> macro & 1 else 0
            assert ctx.get(dut.o) == counted

    simulate(dut, testbench, clocked=False)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0, 1), "Macros of a bank must be a positive integer, not 0"),
        ((1, 0), "Rows of a group must be a positive integer, not 0"),
        ((1, 2.0), "Rows of a group must be a positive integer, not 2.0"),
    ],
)
def test_other_groups_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupPopcount(*arguments)
