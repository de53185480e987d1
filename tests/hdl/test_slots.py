"""Row slots: what the host packs, the gateware unpacks."""

import numpy as np
import pytest

from behavioral_models import protocol
from behavioral_models.geometry import ChipGeometry
from behavioral_models.passes import Configuration, PassConfig, bits_of_planes
from hdl.slots import SlotUnpacker
from networks.host import pack_inputs
from tests.hdl.simulation import send, simulate


def unpacked(geometry, wide, data, slots, batch, rng):
    """Slots of `batch` inferences of `slots` slots each, from bytes."""
    dut = SlotUnpacker(geometry)
    made = []

    async def source(ctx):
        await send(ctx, dut.i, data, rng)

    async def sink(ctx):
        ctx.set(dut.wide, wide)
        while len(made) < batch * slots:
            ctx.set(dut.last, len(made) % slots == slots - 1)
            ready = int(rng is None or rng.random() < 0.7)
            ctx.set(dut.o.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid and ready:
                made.append(payload)
        ctx.set(dut.o.ready, 0)
        await ctx.tick()
        assert not ctx.get(dut.o.valid), "slots are left over"

    simulate(dut, source, sink)
    return made


@pytest.mark.parametrize("stalls", [False, True], ids=["flowing", "stalling"])
@pytest.mark.parametrize("configuration", ["SINGLE_LAYER", "TWO_LAYER"])
@pytest.mark.parametrize(
    "banks, macros",
    [(1, 1), (2, 1), (1, 3), (2, 2), (1, 5), (3, 3), (1, 8), (2, 5), (1, 9), (1, 17)],
)
def test_slots_are_the_inputs_row_by_row(banks, macros, configuration, stalls):
    """Bit m of the slot of row i is input m w + i; widths beyond 8 take whole bytes a slot."""
    geometry = ChipGeometry(banks, macros, rows=10, columns=1, max_inputs=64, max_planes=2)
    rng = np.random.default_rng(macros)
    for w, planes in ((1, 1), (3, 1), (5, 2)):
        config = PassConfig(Configuration[configuration], w, 2, planes)
        inputs = rng.integers(0, 2**planes, (3, config.inputs(geometry)))
        packed = pack_inputs(config, geometry, inputs)
        width = banks * macros if configuration == "TWO_LAYER" else macros
        assert packed.shape == (3, protocol.input_bytes(width, planes * w))
        made = unpacked(
            geometry,
            configuration == "TWO_LAYER",
            packed.tobytes(),
            planes * w,
            3,
            rng if stalls else None,
        )
        expected = [
            [int(plane[m * w + row]) for m in range(width)]
            for one in bits_of_planes(inputs, config)
            for plane in one
            for row in range(w)
        ]
        assert [[slot >> m & 1 for m in range(width)] for slot in made] == expected


@pytest.mark.parametrize("macros", [1, 3, 9])
def test_restart_drops_what_is_left(macros):
    geometry = ChipGeometry(1, macros, rows=4, columns=1, max_inputs=64)
    dut = SlotUnpacker(geometry)
    size = -(-macros // 8)
    new = (1 << macros) - 2 & 0xFFFF | 1

    async def testbench(ctx):
        # a byte of which no slot is taken, and (for whole bytes a slot) half a slot
        ctx.set(dut.i.payload, 0)
        ctx.set(dut.i.valid, 1)
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        ctx.set(dut.restart, 1)
        await ctx.tick()
        ctx.set(dut.restart, 0)
        assert not ctx.get(dut.o.valid)
        await send(ctx, dut.i, new.to_bytes(2, "little")[:size])
        assert ctx.get(dut.o.valid)
        assert ctx.get(dut.o.payload) & ((1 << macros) - 1) == new & ((1 << macros) - 1)

    simulate(dut, testbench)


def test_a_slot_a_cycle():
    """Two macros: four slots a byte, without a pause between bytes."""
    dut = SlotUnpacker(ChipGeometry(1, 2, rows=4, columns=1, max_inputs=2))

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, 0b11_10_01_00)
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        for number in range(40):
            assert ctx.get(dut.o.valid)
            assert ctx.get(dut.o.payload) == number % 4
            await ctx.tick()

    simulate(dut, testbench)
