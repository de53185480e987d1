"""Register access: bytes in and out of the registers of the enabled banks."""

import random

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from behavioral_models.geometry import TINY, ChipGeometry
from hdl.register_access import RegisterAccess
from tests.hdl.simulation import receive, send, simulate

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
TWO_BYTES = ChipGeometry(banks=3, macros_per_bank=1, rows=2, columns=3, max_inputs=1000)
THREE_BYTES = ChipGeometry(
    banks=2, macros_per_bank=1, rows=2, columns=5, max_inputs=1 << 20, max_planes=2
)
EIGHT_BITS = ChipGeometry(banks=2, macros_per_bank=2, rows=2, columns=64, max_inputs=116)

GEOMETRIES = pytest.mark.parametrize(
    "geometry",
    [SMALLEST, TINY, TWO_BYTES, THREE_BYTES, EIGHT_BITS],
    ids=["smallest", "tiny", "two_bytes", "three_bytes", "published"],
)


class Bench(wiring.Component):
    """Register access with registers."""

    def __init__(self, geometry):
        self.geometry = geometry
        self.access = RegisterAccess(geometry)
        self.registers = [
            [Signal(signed(geometry.register_width)) for _ in range(geometry.columns)]
            for _ in range(geometry.banks)
        ]
        super().__init__({"unused": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.access = access = self.access
        for bank, columns in enumerate(self.registers):
            for column, register in enumerate(columns):
                with m.If(access.bank[bank] & (access.select == column)):
                    m.d.comb += access.value.eq(register)
                    with m.If(access.load):
                        m.d.sync += register.eq(access.load_value)
        return m


def masks(geometry):
    return range(1, 1 << geometry.banks)


@GEOMETRIES
def test_readout(geometry):
    """Bank after bank, neuron 0 first, least significant byte first, sign-extended."""
    rng = random.Random(0)
    bench = Bench(geometry)
    size, half = geometry.register_bytes, 1 << geometry.register_width - 1

    async def testbench(ctx):
        access = bench.access
        for mask in masks(geometry):
            expected = []
            for bank, columns in enumerate(bench.registers):
                for register in columns:
                    value = rng.choice([rng.randrange(-half, half), -half, half - 1, -1])
                    ctx.set(register, value)
                    if mask >> bank & 1:
                        expected += value.to_bytes(size, "little", signed=True)
            ctx.set(access.banks, mask)
            ctx.set(access.reading, 1)
            made = []
            while True:
                ready = rng.random() < 0.8
                ctx.set(access.o.ready, ready)
                _, _, valid, byte, done, moved = await ctx.tick().sample(
                    access.o.valid, access.o.payload, access.done, access.moved
                )
                assert valid and moved == ready
                if moved:
                    made.append(byte)
                assert done <= moved
                if done:
                    break
            assert made == expected
            ctx.set(access.reading, 0)
            ctx.set(access.o.ready, 0)
            await ctx.tick()

    simulate(bench, testbench)


@GEOMETRIES
def test_preload(geometry):
    rng = random.Random(1)
    bench = Bench(geometry)
    size, half = geometry.register_bytes, 1 << geometry.register_width - 1

    async def testbench(ctx):
        access = bench.access
        now = [[0] * geometry.columns for _ in range(geometry.banks)]
        for mask in masks(geometry):
            data = []
            for bank in range(geometry.banks):
                for column in range(geometry.columns):
                    if mask >> bank & 1:
                        now[bank][column] = value = rng.choice(
                            [rng.randrange(-half, half), -half, half - 1]
                        )
                        data += value.to_bytes(size, "little", signed=True)
            ctx.set(access.banks, mask)
            ctx.set(access.writing, 1)
            for number, byte in enumerate(data):
                while rng.random() < 0.2:
                    _, _, moved, done = await ctx.tick().sample(access.moved, access.done)
                    assert not moved and not done
                ctx.set(access.i.payload, byte)
                ctx.set(access.i.valid, 1)
                _, _, ready, moved, done = await ctx.tick().sample(
                    access.i.ready, access.moved, access.done
                )
                ctx.set(access.i.valid, 0)
                assert ready and moved and done == (number == len(data) - 1)
            ctx.set(access.writing, 0)
            assert [[ctx.get(r) for r in columns] for columns in bench.registers] == now
            ctx.set(access.i.payload, 0x55)  # not writing: nothing is taken
            ctx.set(access.i.valid, 1)
            _, _, ready = await ctx.tick().sample(access.i.ready)
            ctx.set(access.i.valid, 0)
            assert not ready
            assert [[ctx.get(r) for r in columns] for columns in bench.registers] == now

    simulate(bench, testbench)


def test_an_access_broken_off_begins_anew():
    """What `stop` leaves: the next preload starts with neuron 0, byte 0."""
    bench = Bench(TWO_BYTES)

    async def testbench(ctx):
        access = bench.access
        ctx.set(access.banks, 0b101)
        for length in (1, 2, 3, 7, 11):
            ctx.set(access.writing, 1)
            await send(ctx, access.i, [0x7F] * length)
            ctx.set(access.writing, 0)
            await ctx.tick()
            ctx.set(access.writing, 1)
            await send(ctx, access.i, [byte for value in range(6) for byte in (value, 0)])
            ctx.set(access.writing, 0)
            await ctx.tick()
            assert [[ctx.get(r) for r in bench.registers[bank]] for bank in (0, 2)] == [
                [0, 1, 2],
                [3, 4, 5],
            ]
        ctx.set(access.reading, 1)
        made = await receive(ctx, access.o, 12)
        assert made == [byte for value in range(6) for byte in (value, 0)]

    simulate(bench, testbench)
