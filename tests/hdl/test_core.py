"""The core in Amaranth's simulator with a macro model on every pin, against the golden chip.

The models check every cycle that no rail, row or column moves when it must not.
"""

import numpy as np
import pytest

from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import TINY, ChipGeometry
from behavioral_models.macro import MacroModel, read_table
from behavioral_models.passes import Configuration, PassConfig, Start, bits_of_planes
from hdl.core import Core
from hdl.interfaces import Operation
from hdl.macro import macro_process
from hdl.parameters import ChipParameters
from tests.hdl.simulation import simulate
from tests.passes import random_arguments, random_pass

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
TEST_CHIP = ChipGeometry(
    banks=2, macros_per_bank=1, rows=3, columns=5, max_inputs=4, sense_bypass=True
)
ODD = ChipGeometry(banks=3, macros_per_bank=3, rows=5, columns=2, max_inputs=100, max_planes=3)

MODES = {
    "plain": (PassConfig(weight_rows=3, threshold_rows=3), False),
    "readout": (PassConfig(weight_rows=3, threshold_rows=3), True),
    "two_layer": (PassConfig(Configuration.TWO_LAYER, 3, 2), True),
    "chained": (PassConfig(Configuration.CHAINED, 3, 3), False),
    "chained_readout": (PassConfig(Configuration.CHAINED, 3, 3, 2), True),
    "chained_one_shift": (PassConfig(Configuration.CHAINED, 5, 1), False),
    "block": (PassConfig(weight_rows=4, threshold_rows=2, macros=(3,)), True),
    "planes": (PassConfig(weight_rows=3, threshold_rows=3, planes=2), False),
    "preload": (PassConfig(weight_rows=3, threshold_rows=3, start=Start.PRELOAD), True),
    "preload_shift": (
        PassConfig(
            weight_rows=3,
            threshold_rows=3,
            planes=2,
            start=Start.PRELOAD,
            top_plane=0,
            begin_with_shift=True,
        ),
        False,
    ),
    "one_row": (PassConfig(weight_rows=1, threshold_rows=0), False),
}


class CoreDriver:
    """A core with its macros; passes and programmer commands are functions of a context."""

    def __init__(self, geometry, read_timing, table=None, stalls=None):
        self.geometry = geometry
        self.core = Core(ChipParameters(geometry, read_timing))
        self.macros = [
            MacroModel(
                geometry.rows,
                geometry.columns,
                None if table is None else table[number],
                f"macro {number}",
            )
            for number in range(geometry.macros)
        ]
        self._stalls = stalls
        self._slots, self._bytes = [], []
        self.outputs, self.readout = [], []
        self.cycles = 0

    def simulate(self, script):
        async def testbench(ctx):
            for name in ("form_pulse", "set_pulse", "reset_pulse", "dead_time", "pulse_setup"):
                ctx.set(self.core.timing[name], 1)
            await ctx.tick().repeat(10)  # the read rails connect
            await script(ctx)

        simulate(
            self.core,
            testbench,
            processes=[
                macro_process(macro, getattr(self.core, f"macro_{number}"))
                for number, macro in enumerate(self.macros)
            ],
        )

    def _stall(self):
        return self._stalls is not None and self._stalls.random() < 0.4

    async def _cycle(self, ctx):
        """One cycle of a run: offer inputs, take what comes out."""
        core = self.core
        for port, items in ((core.i_slots, self._slots), (core.i_registers, self._bytes)):
            offers = bool(items) and (ctx.get(port.valid) or not self._stall())
            ctx.set(port.valid, offers)
            ctx.set(port.payload, items[0] if items else 0)
        ctx.set(core.o_outputs.ready, not self._stall())
        ctx.set(core.o_registers.ready, not self._stall())
        record = core.o_outputs.payload
        bits = [record.bits[bank] for bank in range(self.geometry.banks)]
        (
            _,
            _,
            running,
            waiting,
            slot,
            register,
            out,
            out_byte,
            byte,
            banks,
            *values,
        ) = await ctx.tick().sample(
            core.running,
            core.waiting,
            core.i_slots.valid & core.i_slots.ready,
            core.i_registers.valid & core.i_registers.ready,
            core.o_outputs.valid & core.o_outputs.ready,
            core.o_registers.valid & core.o_registers.ready,
            core.o_registers.payload,
            record.banks,
            *bits,
        )
        self.cycles += running and not waiting
        if slot:
            self._slots.pop(0)
        if register:
            self._bytes.pop(0)
        if out:
            self.outputs.append(
                {bank: values[bank] for bank in range(self.geometry.banks) if banks >> bank & 1}
            )
        if out_byte:
            self.readout.append(byte)

    def _slots_of(self, config, one):
        """Bits of one inference, row after row: bit m of a slot is the input of macro m."""
        macros = len(one[0]) // config.weight_rows
        return [
            sum(int(plane[macro * config.weight_rows + row]) << macro for macro in range(macros))
            for plane in one
            for row in range(config.weight_rows)
        ]

    async def run(self, ctx, config, inputs, readout, registers=None):
        """One run: outputs and, if read out, registers (batch, neurons), and its cycles."""
        core, geometry = self.core, self.geometry
        ctx.set(core.settings, config.settings(geometry))
        size = geometry.register_bytes
        self.outputs, self.readout, self.cycles = [], [], 0
        self._slots = [
            s for one in bits_of_planes(inputs, config) for s in self._slots_of(config, one)
        ]
        self._bytes = (
            []
            if registers is None
            else [
                byte
                for value in np.ravel(registers)
                for byte in int(value).to_bytes(size, "little", signed=True)
            ]
        )
        ctx.set(core.inferences, len(inputs))
        ctx.set(core.rows, 1)
        ctx.set(core.preload, config.start is Start.PRELOAD)
        ctx.set(core.readout, readout)
        ctx.set(core.run, 1)
        await ctx.tick()
        ctx.set(core.run, 0)
        for _ in range(20_000):
            if not ctx.get(core.running) and not ctx.get(core.o_outputs.valid):
                break
            await self._cycle(ctx)
        else:
            raise AssertionError("the run does not end")
        assert not self._slots and not self._bytes, "inputs are left over"
        banks = config.enabled_banks(geometry)
        bits = {bank: [r[bank] for r in self.outputs if bank in r] for bank in banks}
        outputs = [
            [bits[bank][n] >> c & 1 for bank in banks for c in range(geometry.columns)]
            for n in range(len(inputs))
        ]
        sums = None
        if readout:
            values = [
                int.from_bytes(self.readout[i : i + size], "little", signed=True)
                for i in range(0, len(self.readout), size)
            ]
            sums = np.reshape(values, (-1, geometry.columns)).tolist()
            if config.configuration is Configuration.CHAINED:  # bank 1 is one inference behind
                order = [0] + [bank for _ in range(len(inputs) - 1) for bank in (0, 1)] + [1]
            else:
                order = list(banks) * len(inputs)
            by_bank = {
                bank: [row for row, b in zip(sums, order, strict=True) if b == bank]
                for bank in banks
            }
            sums = [[v for bank in banks for v in by_bank[bank][n]] for n in range(len(inputs))]
        return outputs, sums, self.cycles

    async def measure(self, ctx, macro, row, column, side):
        """Connect a memristor; returns when it is."""
        core = self.core
        place = {"macro": macro, "row": row, "column": column, "side": side}
        for name, value in {**place, "command": Operation.READ, "measure": 1, "operate": 1}.items():
            ctx.set(getattr(core, name), value)
        await ctx.tick()
        for name in ("operate", "measure"):
            ctx.set(getattr(core, name), 0)
        while ctx.get(core.reading):
            assert not ctx.get(core.measuring)
            await ctx.tick()
        assert ctx.get(core.measuring) and not ctx.get(core.programming)

    async def disconnect(self, ctx):
        """Disconnect it."""
        ctx.set(self.core.disconnect, 1)
        await ctx.tick()
        ctx.set(self.core.disconnect, 0)
        assert not ctx.get(self.core.measuring)
        while ctx.get(self.core.reading):
            await ctx.tick()

    async def operate(self, ctx, command, macro, row, bits=0, x=0):
        """One programmer command; returns the row bits."""
        core = self.core
        for name, value in (
            ("command", command),
            ("macro", macro),
            ("row", row),
            ("bits", bits),
            ("x", x),
            ("operate", 1),
        ):
            ctx.set(getattr(core, name), value)
        await ctx.tick()
        ctx.set(core.operate, 0)
        assert ctx.get(core.reading) == (command == Operation.READ)
        assert ctx.get(core.programming) == (command != Operation.READ)
        while ctx.get(core.programming) or ctx.get(core.reading):
            await ctx.tick()
        return ctx.get(core.row_bits)


def compare(golden, config, inputs, readout, registers, made):
    outputs, sums, cycles = made
    expected = golden.run(config, inputs, readout, registers)
    assert outputs == expected.outputs.astype(int).tolist(), config
    if readout:
        assert sums == (-expected.preactivations).tolist(), config
    assert cycles == expected.cycles, config


@pytest.mark.parametrize("stalls", [False, True], ids=["flowing", "stalling"])
@pytest.mark.parametrize("read_timing", [1, 2, 3])
def test_every_mode(read_timing, stalls):
    """Outputs, registers and cycles of each mode, on an arbitrary read table."""
    rng = np.random.default_rng(read_timing)
    golden = GoldenChip(TINY, read_timing)
    golden.load_table(rng.random((*TINY.image_shape, 2)) < 0.5)
    driver = CoreDriver(TINY, read_timing, golden.table, rng if stalls else None)

    async def script(ctx):
        for config, readout in MODES.values():
            inputs, registers = random_arguments(rng, TINY, config, most=4)
            made = await driver.run(ctx, config, inputs, readout, registers)
            compare(golden, config, inputs, readout, registers, made)

    driver.simulate(script)


@pytest.mark.parametrize("geometry", [SMALLEST, ODD], ids=["smallest", "odd"])
@pytest.mark.parametrize("read_timing", [1, 2, 3])
def test_random_passes_on_other_geometries(geometry, read_timing):
    rng = np.random.default_rng(read_timing)
    golden = GoldenChip(geometry, read_timing)
    golden.load(rng.random(geometry.image_shape) < 0.5)
    driver = CoreDriver(geometry, read_timing, golden.table, rng)

    async def script(ctx):
        for _ in range(7):
            config, readout = random_pass(rng, geometry), bool(rng.integers(0, 2))
            inputs, registers = random_arguments(rng, geometry, config, most=3)
            made = await driver.run(ctx, config, inputs, readout, registers)
            compare(golden, config, inputs, readout, registers, made)

    driver.simulate(script)


@pytest.mark.parametrize("read_timing", [1, 3])
def test_from_virgin_memristors_to_an_inference(read_timing):
    """Forming, programming, a pass, programming again, a pass."""
    rng = np.random.default_rng(9)
    geometry = ChipGeometry(banks=2, macros_per_bank=1, rows=3, columns=2, max_inputs=3)
    driver = CoreDriver(geometry, read_timing)
    config = PassConfig(weight_rows=2, threshold_rows=1)

    async def script(ctx):
        for place in np.ndindex(geometry.macros, geometry.rows):
            await driver.operate(ctx, Operation.FORM, *place)
        for _ in range(2):
            golden = GoldenChip(geometry, read_timing)
            image = rng.random(geometry.image_shape) < 0.5
            golden.load(image)
            for macro, row in np.ndindex(geometry.macros, geometry.rows):
                bits = sum(int(bit) << column for column, bit in enumerate(image[macro, row]))
                await driver.operate(ctx, Operation.SET, macro, row, bits)
                assert await driver.operate(ctx, Operation.READ, macro, row, x=1) == bits
                assert await driver.operate(ctx, Operation.READ, macro, row, x=0) == bits ^ 3
            inputs, _ = random_arguments(rng, geometry, config)
            made = await driver.run(ctx, config, inputs, True)
            compare(golden, config, inputs, True, None, made)

    driver.simulate(script)


@pytest.mark.parametrize("read_timing", [1, 2, 3])
def test_stop_ends_a_run_at_any_moment_and_leaves_the_next_alone(read_timing):
    rng = np.random.default_rng(1)
    golden = GoldenChip(TINY, read_timing)
    golden.load_table(read_table(rng.random(TINY.image_shape) < 0.5))
    driver = CoreDriver(TINY, read_timing, golden.table)
    config = PassConfig(weight_rows=3, threshold_rows=2)

    async def script(ctx):
        core = driver.core
        for moment in (1, 2, 3, 4, 5, 6, 8, 11, 14, 15, 20):
            inputs, _ = random_arguments(rng, TINY, config, most=3)
            ctx.set(core.o_outputs.ready, 1)
            ctx.set(core.i_slots.valid, 1)
            ctx.set(core.inferences, 3)
            ctx.set(core.readout, moment % 2)
            ctx.set(core.rows, 1)
            ctx.set(core.run, 1)
            await ctx.tick()
            ctx.set(core.run, 0)
            await ctx.tick().repeat(moment)
            ctx.set(core.stop, 1)
            await ctx.tick()
            ctx.set(core.stop, 0)
            ctx.set(core.i_slots.valid, 0)
            assert not ctx.get(core.running)
            assert not ctx.get(core.o_outputs.valid)
            made = await driver.run(ctx, config, inputs, True)
            compare(golden, config, inputs, True, None, made)

    driver.simulate(script)


def test_a_run_waits_for_the_rails():
    """A pass asked for while the programmer works senses nothing until the read rails are back."""
    rng = np.random.default_rng(2)
    image = rng.random(TINY.image_shape) < 0.5
    golden = GoldenChip(TINY, 1)
    golden.load(image)
    driver = CoreDriver(TINY, 1, golden.table)
    config = PassConfig(weight_rows=3, threshold_rows=2)

    async def script(ctx):
        core = driver.core
        bits = sum(int(bit) << column for column, bit in enumerate(image[1, 5]))
        for name, value in (
            ("command", Operation.SET),
            ("macro", 1),
            ("row", 5),
            ("bits", bits),
            ("operate", 1),
        ):
            ctx.set(getattr(core, name), value)
        await ctx.tick()
        ctx.set(core.operate, 0)
        await ctx.tick().repeat(9)
        assert ctx.get(core.programming)
        inputs, _ = random_arguments(rng, TINY, config)
        made = await driver.run(ctx, config, inputs, True)
        assert not ctx.get(core.programming)
        compare(golden, config, inputs, True, None, made)

    driver.simulate(script)


@pytest.mark.parametrize("read_timing", [1, 2, 3])
def test_memristors_are_measured_between_passes(read_timing):
    """Each is connected alone; a run meanwhile waits, and gives what it must afterwards."""
    rng = np.random.default_rng(5)
    golden = GoldenChip(TEST_CHIP, read_timing)
    golden.load(rng.random(TEST_CHIP.image_shape) < 0.5)
    driver = CoreDriver(TEST_CHIP, read_timing, golden.table)
    config = PassConfig(weight_rows=2, threshold_rows=1)
    places = rng.permutation(list(np.ndindex(*TEST_CHIP.image_shape, 2)))

    async def script(ctx):
        core = driver.core
        for macro, *place in places[:12].tolist():
            await driver.measure(ctx, macro, *place)
            connected = [tuple(place) if n == macro else None for n in range(2)]
            ctx.set(core.inferences, 1)
            ctx.set(core.rows, 1)
            ctx.set(core.i_slots.valid, 1)
            ctx.set(core.run, 1)
            await ctx.tick()
            ctx.set(core.run, 0)
            for _ in range(10):
                await ctx.tick()
                assert ctx.get(core.measuring) and ctx.get(core.waiting)
                assert [model.connected for model in driver.macros] == connected
            ctx.set(core.i_slots.valid, 0)
            ctx.set(core.stop, 1)
            await ctx.tick()
            ctx.set(core.stop, 0)
            await driver.disconnect(ctx)
            inputs, _ = random_arguments(rng, TEST_CHIP, config)
            made = await driver.run(ctx, config, inputs, True)
            compare(golden, config, inputs, True, None, made)
            assert [model.connected for model in driver.macros] == [None, None]

    driver.simulate(script)


def test_a_memristor_is_measured_formed_and_programmed():
    """Measuring and programming take turns, and neither disturbs the other."""
    driver = CoreDriver(TEST_CHIP, 1)

    async def script(ctx):
        await driver.measure(ctx, 1, 2, 4, 1)
        await driver.disconnect(ctx)
        await driver.operate(ctx, Operation.FORM, 1, 2)
        await driver.operate(ctx, Operation.SET, 1, 2, 0b10110)
        await driver.measure(ctx, 1, 2, 0, 0)
        assert driver.macros[1].low[2].tolist() == [
            [not bit, bit] for bit in (False, True, True, False, True)]
        await driver.disconnect(ctx)
        assert await driver.operate(ctx, Operation.READ, 1, 2, x=1) == 0b10110

    driver.simulate(script)
