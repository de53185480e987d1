"""The stream buffer: nothing lost, doubled or reordered; full throughput; registered handshakes."""

import random

import pytest

from hdl.stream_buffer import StreamBuffer
from tests.hdl.simulation import receive, send, simulate


@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize("fast_source, fast_sink", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_items_go_through_in_order(width, fast_source, fast_sink):
    rng = random.Random(width)
    items = [rng.getrandbits(width) for _ in range(400)]
    dut = StreamBuffer(width)
    made = []

    async def source(ctx):
        await send(ctx, dut.i, items, None if fast_source else rng)

    async def sink(ctx):
        made.extend(await receive(ctx, dut.o, len(items), None if fast_sink else rng))

    simulate(dut, source, sink)
    assert made == items


def test_one_item_a_cycle():
    dut = StreamBuffer(8)

    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        for number in range(50):
            assert ctx.get(dut.i.ready)
            ctx.set(dut.i.payload, number)
            await ctx.tick()
            assert ctx.get(dut.o.valid) and ctx.get(dut.o.payload) == number

    simulate(dut, testbench)


def test_holds_two_items_and_no_handshake_passes_through():
    dut = StreamBuffer(8)

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        for number in (1, 2):
            assert ctx.get(dut.i.ready)
            ctx.set(dut.i.payload, number)
            await ctx.tick()
        for ready in (1, 0):
            ctx.set(dut.o.ready, ready)
            assert not ctx.get(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        assert ctx.get(dut.o.valid) and ctx.get(dut.o.payload) == 1
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        assert ctx.get(dut.o.valid) and ctx.get(dut.o.payload) == 2 and ctx.get(dut.i.ready)
        await ctx.tick()
        ctx.set(dut.i.valid, 1)
        assert not ctx.get(dut.o.valid)

    simulate(dut, testbench)
