# amaranth: UnusedElaboratable=no
"""The neuron register against the two row operations: 2 reg + count, and reg - count.

The gated styles need a clock-gating cell, which Amaranth's simulator does not run; they are held to
this one as Verilog (tests/networks/test_executors.py).
"""

import itertools
import random

import pytest

from hdl.neuron import CountingRegister, NeuronRegister
from tests.hdl.simulation import simulate


def wrap(value, width):
    value &= 2**width - 1
    return value - 2**width if value >> width - 1 else value


async def step(ctx, dut, *, shift=0, clear=0, load=0, count=0, load_value=0, step=1):
    ctx.set(dut.step, step)
    ctx.set(dut.shift, shift)
    ctx.set(dut.clear, clear)
    ctx.set(dut.load, load)
    ctx.set(dut.count, count)
    ctx.set(dut.load_value, load_value)
    await ctx.tick()
    return ctx.get(dut.value)


@pytest.mark.parametrize("width, macros", [(2, 1), (3, 2), (3, 3), (4, 5), (5, 3)])
def test_every_step_from_every_value(width, macros):
    """Exhaustive: every value, operation and count; wraps as two's complement."""
    dut = NeuronRegister(width, macros)
    half = 2 ** (width - 1)

    async def testbench(ctx):
        for value, count in itertools.product(range(-half, half), range(macros + 1)):
            for shift, clear in itertools.product((0, 1), repeat=2):
                assert await step(ctx, dut, load=1, load_value=value) == value
                assert ctx.get(dut.negative) == (value < 0)
                base = 0 if clear else value
                expected = wrap(2 * base + count if shift else base - count, width)
                assert await step(ctx, dut, shift=shift, clear=clear, count=count) == expected
                assert ctx.get(dut.negative) == (expected < 0)

    simulate(dut, testbench)


@pytest.mark.parametrize("width, macros", [(2, 1), (8, 2), (15, 2)])
def test_random_steps_and_pauses(width, macros):
    """At the published and at the product's width, with cycles in which nothing may change."""
    dut = NeuronRegister(width, macros)
    rng = random.Random(width)
    half = 2 ** (width - 1)

    async def testbench(ctx):
        value = await step(ctx, dut, clear=1, shift=1, count=0)
        assert value == 0
        for _ in range(1500):
            shift, clear, load = rng.random() < 0.3, rng.random() < 0.05, rng.random() < 0.1
            count, new, steps = (
                rng.randint(0, macros),
                rng.randint(-half, half - 1),
                rng.random() < 0.7,
            )
            if load:
                shift, count, clear = False, 0, False
            if steps:
                base = 0 if clear else value
                value = new if load else wrap(2 * base + count if shift else base - count, width)
            assert (
                await step(
                    ctx,
                    dut,
                    shift=shift,
                    clear=clear,
                    load=load,
                    count=count,
                    load_value=new,
                    step=steps,
                )
                == value
            )

    simulate(dut, testbench)


def test_published_pass():
    """6 threshold rows, 58 weight rows, 2 macros: T - popcount, and popcount > T."""
    dut = NeuronRegister(8, 2)
    rng = random.Random(1)

    async def testbench(ctx):
        for _ in range(10):
            thresholds = [rng.randint(0, 2) for _ in range(6)]
            counts = [rng.randint(0, 2) for _ in range(58)]
            for number, bits in enumerate(thresholds):
                await step(ctx, dut, shift=1, clear=number == 0, count=bits)
            for bits in counts:
                await step(ctx, dut, count=bits)
            t = sum(bits << 5 - i for i, bits in enumerate(thresholds))
            assert ctx.get(dut.value) == t - sum(counts)
            assert ctx.get(dut.negative) == (sum(counts) > t)

    simulate(dut, testbench)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((8, 0), "Macros per bank must be a positive integer, not 0"),
        ((8, 1.5), "Macros per bank must be a positive integer, not 1.5"),
        ((1, 1), "A register that counts 1 bits a row needs more than 1 bits, not 1"),
        ((2, 2), "A register that counts 2 bits a row needs more than 2 bits, not 2"),
        (("8", 2), "A register that counts 2 bits a row needs more than 2 bits, not '8'"),
        ((8, 2, "gated"), "style must be one of enabled, bank_gated, borrow_gated, not 'gated'"),
        (
            (8, 2, "borrow_gated"),
            "The low part of a 8-bit register must have 2 to 7 bits, not None",
        ),
        (
            (8, 2, "borrow_gated", 1),
            "The low part of a 8-bit register must have 2 to 7 bits, not 1",
        ),
        (
            (8, 2, "borrow_gated", 8),
            "The low part of a 8-bit register must have 2 to 7 bits, not 8",
        ),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        NeuronRegister(*arguments)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((8, 0, 4), "Bits counted at once must be a positive integer, not 0"),
        ((8, 1.5, 4), "Bits counted at once must be a positive integer, not 1.5"),
        ((4, 8, 4), "A register that counts 8 bits at once needs more than 4 bits, not 4"),
        ((8, 8, 3), "The low part of a 8-bit register must have 4 to 7 bits, not 3"),
        ((8, 8, 8), "The low part of a 8-bit register must have 4 to 7 bits, not 8"),
        ((8, 8, None), "The low part of a 8-bit register must have 4 to 7 bits, not None"),
    ],
)
def test_refusals_of_the_counting_register(arguments, message):
    """What it does is held to the golden model as Verilog, for its clock gate."""
    with pytest.raises(ValueError, match=message):
        CountingRegister(*arguments)


@pytest.mark.parametrize("split", [2, 7])
def test_limits_of_the_split_are_accepted(split):
    NeuronRegister(8, 2, "borrow_gated", split)
