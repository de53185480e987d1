"""The power switch: dead times, never from one rail to another directly, still while inhibited."""

import itertools
import random

import pytest

from behavioral_models import constants
from hdl.interfaces import Operation, Rail
from hdl.power_switch import PowerSwitch
from tests.hdl.simulation import simulate

RAILS = {
    Operation(int(o)): tuple(Rail(int(r)) for r in rails) for o, rails in constants.RAILS.items()
}


@pytest.mark.parametrize("dead_time", [1, 2, 3, 7])
def test_every_change_takes_its_dead_times(dead_time):
    """dead_time with nothing connected, dead_time to settle, plus 2."""
    dut = PowerSwitch()

    async def testbench(ctx):
        ctx.set(dut.dead_time, dead_time)
        assert (ctx.get(dut.rail_column), ctx.get(dut.rail_row)) == (Rail.OFF, Rail.OFF)
        await ctx.tick().until(dut.ready)
        assert (ctx.get(dut.rail_column), ctx.get(dut.rail_row)) == RAILS[Operation.READ]
        pairs = list(itertools.permutations(Operation, 2))
        for old, new in pairs:
            ctx.set(dut.request, old)
            await ctx.tick().repeat(4 * dead_time + 8)
            assert ctx.get(dut.ready)
            ctx.set(dut.request, new)
            off = settling = 0
            while not ctx.get(dut.ready):
                await ctx.tick()
                connected = ctx.get(dut.rail_column), ctx.get(dut.rail_row)
                if connected == (Rail.OFF, Rail.OFF):
                    off += 1
                elif not ctx.get(dut.ready):
                    assert connected == RAILS[new]
                    settling += 1
            assert (ctx.get(dut.rail_column), ctx.get(dut.rail_row)) == RAILS[new]
            assert off == dead_time + 1
            assert settling == dead_time
        # ready is of the rails that are wanted now
        ctx.set(
            dut.request, Operation.FORM if ctx.get(dut.request) != Operation.FORM else Operation.SET
        )
        assert not ctx.get(dut.ready)

    simulate(dut, testbench)


@pytest.mark.parametrize("seed", range(3))
def test_random_requests_and_inhibits(seed):
    """Rails stand still while inhibited, go off before they are others, and go together."""
    dut = PowerSwitch()
    rng = random.Random(seed)
    counts = {"inhibited": 0, "changes": 0, "ready": 0}

    async def testbench(ctx):
        ctx.set(dut.dead_time, rng.randint(1, 4))
        dead_time = ctx.get(dut.dead_time)
        before, still = (Rail.OFF, Rail.OFF), 0
        for _ in range(2500):
            if rng.random() < 0.06:
                ctx.set(dut.request, rng.choice(list(Operation)))
            if rng.random() < 0.1:
                ctx.set(dut.inhibit, rng.random() < 0.4)
            inhibited = ctx.get(dut.inhibit)
            if ctx.get(dut.ready):
                counts["ready"] += 1
                assert before == RAILS[ctx.get(dut.request)] and still >= dead_time
            await ctx.tick()
            now = ctx.get(dut.rail_column), ctx.get(dut.rail_row)
            if now == before:
                still += 1
                counts["inhibited"] += inhibited
                continue
            counts["changes"] += 1
            assert not inhibited
            for rail, rail_before in zip(now, before, strict=True):
                assert rail == rail_before or Rail.OFF in (rail, rail_before)
            assert now in (*RAILS.values(), (Rail.OFF, Rail.OFF))
            if before == (Rail.OFF, Rail.OFF):
                assert still >= dead_time
            before, still = now, 0

    simulate(dut, testbench)
    assert min(counts.values()) > 20


def test_inhibit_holds_a_change_back_as_long_as_it_lasts():
    dut = PowerSwitch()

    async def testbench(ctx):
        ctx.set(dut.dead_time, 1)
        await ctx.tick().until(dut.ready)
        ctx.set(dut.inhibit, 1)
        ctx.set(dut.request, Operation.RESET)
        await ctx.tick().repeat(50)
        assert (ctx.get(dut.rail_column), ctx.get(dut.rail_row)) == RAILS[Operation.READ]
        ctx.set(dut.inhibit, 0)
        await ctx.tick()
        assert ctx.get(dut.rail_column) == Rail.OFF

    simulate(dut, testbench)
