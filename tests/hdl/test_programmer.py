"""The programmer with power switch and macro models: images, exact pulses, total times."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from behavioral_models import protocol
from behavioral_models.geometry import TINY, ChipGeometry
from behavioral_models.macro import MacroModel
from hdl.interfaces import MacroPort, Operation
from hdl.macro import macro_process
from hdl.power_switch import PowerSwitch
from hdl.programmer import Programmer
from tests.hdl.simulation import simulate

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
ODD = ChipGeometry(banks=1, macros_per_bank=3, rows=3, columns=5, max_inputs=9)
BYPASS = replace(ODD, sense_bypass=True)
BYPASS_SMALLEST = replace(SMALLEST, sense_bypass=True)

TIMING = {"form_pulse": 10, "set_pulse": 6, "reset_pulse": 5, "dead_time": 3, "pulse_setup": 2}
SHORTEST = dict.fromkeys(TIMING, 1)


class Bench(wiring.Component):
    """Programmer, power switch and macro pins, as the core connects them."""

    def __init__(self, geometry):
        self.geometry = geometry
        self.programmer = Programmer(geometry)
        self.power_switch = PowerSwitch()
        super().__init__(
            {
                f"macro_{n}": Out(
                    MacroPort(geometry.rows, geometry.columns, bypass=geometry.sense_bypass)
                )
                for n in range(geometry.macros)
            }
            | {"unused": In(1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.programmer = programmer = self.programmer
        m.submodules.power_switch = switch = self.power_switch
        sensing = programmer.sense
        q = 0
        for number in range(self.geometry.macros):
            port = getattr(self, f"macro_{number}")
            chosen = programmer.selected[number]
            m.d.comb += [
                port.row.eq(programmer.row),
                port.x.eq(programmer.sense_x),
                port.sense.eq(programmer.sense & chosen),
                port.operation.eq(programmer.operation),
                port.column.eq(programmer.column),
                port.side.eq(programmer.side),
                port.pulse.eq(programmer.pulse & chosen),
                port.rail_column.eq(switch.rail_column),
                port.rail_row.eq(switch.rail_row),
            ]
            if self.geometry.sense_bypass:
                m.d.comb += port.bypass.eq(programmer.bypass & chosen)
            q |= port.q & chosen.replicate(self.geometry.columns)
        m.d.comb += [
            programmer.q.eq(q),
            programmer.rails_ready.eq(switch.ready),
            switch.request.eq(programmer.request),
            switch.dead_time.eq(programmer.timing.dead_time),
            switch.inhibit.eq(programmer.pulse | sensing),
        ]
        return m


class Recorder:
    """A macro that also notes its pulses.

    Each is operation, row, column, side, length, cycles still before, cycles still after.
    """

    def __init__(self, macro):
        self.macro = macro
        self.pulses = []
        self._still = 0
        self._place = None
        self._length = 0

    def clock_edge(self, **pins):
        place = (pins["operation"], pins["row"], pins["column"], pins["side"])
        if place != self._place:
            assert not self._length, "a place changed during a pulse"
            self._place, self._still = place, 0
        if pins["pulse"]:
            if not self._length:
                self._before = self._still
            self._length += 1
        elif self._length:
            self.pulses.append([*place, self._length, self._before, 0])
            self._length = 0
        if self.pulses and not pins["pulse"] and tuple(self.pulses[-1][:4]) == place:
            self.pulses[-1][6] += 1  # cycles still after
        self._still += 1
        return self.macro.clock_edge(**pins)


def run(geometry, script, timing, tables=None):
    """Run script(command) on a bench; return the recorders. `command` gives cycles and row bits."""
    bench = Bench(geometry)
    macros = [
        Recorder(
            MacroModel(
                geometry.rows, geometry.columns, None if tables is None else tables[n], f"macro {n}"
            )
        )
        for n in range(geometry.macros)
    ]

    async def testbench(ctx):
        programmer = bench.programmer
        for name, value in timing.items():
            ctx.set(programmer.timing[name], value)
        await ctx.tick().repeat(2 * timing["dead_time"] + 6)  # the read rails connect
        assert not ctx.get(programmer.busy)

        async def command(operation, macro, row, bits=0, x=0):
            ctx.set(programmer.command, operation)
            ctx.set(programmer.macro, macro)
            ctx.set(programmer.target, row)
            ctx.set(programmer.bits, bits)
            ctx.set(programmer.x, x)
            ctx.set(programmer.start, 1)
            await ctx.tick()
            ctx.set(programmer.start, 0)
            ctx.set(programmer.bits, ~bits)  # they are taken at the start
            assert ctx.get(programmer.busy)
            assert ctx.get(programmer.pulsing) == (operation != Operation.READ)
            cycles = 0
            while ctx.get(programmer.busy):
                assert ctx.get(programmer.selected) == 1 << macro
                await ctx.tick()
                cycles += 1
            assert ctx.get(programmer.selected) == 0
            return cycles, ctx.get(programmer.row_bits)

        await script(command)

    simulate(
        bench,
        testbench,
        processes=[
            macro_process(macro, getattr(bench, f"macro_{n}")) for n, macro in enumerate(macros)
        ],
    )
    return macros


@pytest.mark.parametrize(
    "geometry, timing",
    [(SMALLEST, TIMING), (ODD, TIMING), (SMALLEST, SHORTEST), (TINY, SHORTEST), (BYPASS, SHORTEST)],
    ids=["smallest", "odd", "smallest_shortest", "tiny_shortest", "bypass_shortest"],
)
def test_forming_programming_and_reading(geometry, timing):
    rng = np.random.default_rng(geometry.columns)
    old, image = rng.random((2, *geometry.image_shape)) < 0.5
    read = {}

    async def script(command):
        for macro, row in np.ndindex(geometry.macros, geometry.rows):
            await command(Operation.FORM, macro, row)
        for bits in (old, image):
            for macro, row in np.ndindex(geometry.macros, geometry.rows):
                await command(
                    Operation.SET,
                    macro,
                    row,
                    sum(int(b) << c for c, b in enumerate(bits[macro, row])),
                )
        for macro, row, x in np.ndindex(geometry.macros, geometry.rows, 2):
            cycles, read[macro, row, x] = await command(Operation.READ, macro, row, x=x)
            assert cycles == 3

    macros = run(geometry, script, timing)
    for macro, recorder in enumerate(macros):
        assert recorder.macro.formed.all()
        assert recorder.macro.undecided_reads == 0
        assert (recorder.macro.table[..., 1] == image[macro]).all()
    for (macro, row, x), bits in read.items():
        assert [bits >> c & 1 for c in range(geometry.columns)] == (image[macro, row] == x).tolist()


@pytest.mark.parametrize("timing", [TIMING, SHORTEST], ids=["timing", "shortest"])
def test_pulses_are_exact(timing):
    """Order, place, length and hold times of every pulse of a formed and of a programmed row."""
    geometry = ODD
    bits = 0b01101

    async def script(command):
        await command(Operation.FORM, 1, 2)
        await command(Operation.SET, 1, 2, bits)

    macros = run(geometry, script, timing)
    assert not macros[0].pulses and not macros[2].pulses
    sides = [bits >> c & 1 for c in range(5)]
    expected = [
        (Operation.FORM, c, side, timing["form_pulse"]) for c in range(5) for side in (0, 1)
    ]
    expected += [(Operation.SET, c, side, timing["set_pulse"]) for c, side in enumerate(sides)]
    expected += [
        (Operation.RESET, c, 1 - side, timing["reset_pulse"]) for c, side in enumerate(sides)
    ]
    made = [(Operation(p[0]), p[2], p[3], p[4]) for p in macros[1].pulses]
    assert made == expected
    for operation, row, _, _, _, before, after in macros[1].pulses:
        assert row == 2 and operation != 0
        assert before >= timing["pulse_setup"] and after >= timing["pulse_setup"]


@pytest.mark.parametrize(
    "timing", [TIMING, SHORTEST, protocol.default_timing(2e6)], ids=["timing", "shortest", "2MHz"]
)
@pytest.mark.parametrize("geometry", [SMALLEST, TINY, ODD], ids=["smallest", "tiny", "odd"])
def test_total_time(geometry, timing):
    """A pulse takes setup + length + setup + 1 cycles, a change of rails 2 dead times + 2."""
    rails = 2 * timing["dead_time"] + 2
    pulse = {
        name: timing[f"{name}_pulse"] + 2 * timing["pulse_setup"] + 1
        for name in ("form", "set", "reset")
    }
    taken = []

    async def script(command):
        taken.append((await command(Operation.FORM, 0, 1))[0])
        taken.append((await command(Operation.SET, 0, 1, 1))[0])

    run(geometry, script, timing)
    # CONNECT sees the rails ready, DISCONNECT likewise: one cycle each
    assert taken[0] == 2 * geometry.columns * pulse["form"] + 2 * (rails + 1)
    assert taken[1] == geometry.columns * (pulse["set"] + pulse["reset"]) + 3 * (rails + 1)


def test_a_start_while_busy_is_ignored():
    bench = Bench(TINY)

    async def testbench(ctx):
        programmer = bench.programmer
        for name in TIMING:
            ctx.set(programmer.timing[name], 1)
        await ctx.tick().repeat(8)
        ctx.set(programmer.command, Operation.FORM)
        ctx.set(programmer.macro, 1)
        ctx.set(programmer.target, 3)
        ctx.set(programmer.start, 1)
        await ctx.tick()
        ctx.set(programmer.macro, 2)
        ctx.set(programmer.target, 4)
        ctx.set(programmer.command, Operation.SET)
        for _ in range(10):
            await ctx.tick()
            assert ctx.get(programmer.selected) == 0b10
            assert ctx.get(programmer.row) == 3
            assert ctx.get(programmer.operation) == Operation.FORM

    simulate(bench, testbench)


@pytest.mark.parametrize("geometry", [BYPASS_SMALLEST, BYPASS], ids=["smallest", "odd"])
def test_measuring_connects_each_memristor_alone(geometry):
    """From two cycles after the rails are ready until it is disconnected; the place stands still.

    The models see that nothing moves, senses or pulses meanwhile.
    """
    bench = Bench(geometry)
    models = [MacroModel(geometry.rows, geometry.columns, name=f"macro {n}")
              for n in range(geometry.macros)]
    rng = np.random.default_rng(4)
    place_names = ("row", "column", "side")

    async def testbench(ctx):
        programmer = bench.programmer
        for name in TIMING:
            ctx.set(programmer.timing[name], 1)
        await ctx.tick().repeat(8)
        for macro, *place in np.ndindex(*geometry.image_shape, 2):
            for name, value in zip(("target", "target_column", "target_side"), place, strict=True):
                ctx.set(getattr(programmer, name), value)
            ctx.set(programmer.macro, macro)
            ctx.set(programmer.command, Operation.READ)
            ctx.set(programmer.measure, 1)
            ctx.set(programmer.start, 1)
            await ctx.tick()
            ctx.set(programmer.start, 0)
            ctx.set(programmer.target, int(rng.integers(geometry.rows)))  # taken at the start
            cycles = int(rng.integers(1, 6))
            pads = []
            for cycle in range(2 + cycles + 1):
                assert ctx.get(programmer.busy) and not ctx.get(programmer.pulsing)
                assert [ctx.get(getattr(programmer, name)) for name in place_names] == place
                pads.append(ctx.get(programmer.bypass))
                ctx.set(programmer.disconnect, cycle == 1 + cycles)
                await ctx.tick()
                expected = [None] * geometry.macros
                if pads[-1]:
                    expected[macro] = tuple(place)
                assert [model.connected for model in models] == expected
            assert pads == [0, 0, *[1] * cycles, 0]
            assert not ctx.get(programmer.busy) and not ctx.get(programmer.selected)

    simulate(
        bench,
        testbench,
        processes=[macro_process(m, getattr(bench, f"macro_{n}")) for n, m in enumerate(models)],
    )


def test_measuring_waits_for_the_rails_and_a_reset_ends_it():
    bench = Bench(BYPASS)

    async def testbench(ctx):
        programmer = bench.programmer
        for name in TIMING:
            ctx.set(programmer.timing[name], 4)
        ctx.set(programmer.measure, 1)
        ctx.set(programmer.target, 2)
        ctx.set(programmer.start, 1)
        await ctx.tick()
        ctx.set(programmer.start, 0)
        while not ctx.get(bench.power_switch.ready):
            await ctx.tick()
            assert not ctx.get(programmer.bypass)
        await ctx.tick().repeat(2)
        assert ctx.get(programmer.bypass) and ctx.get(bench.macro_0.bypass)
        ctx.set(programmer.start, 1)  # ignored while busy
        ctx.set(programmer.target, 1)
        await ctx.tick().repeat(3)
        assert ctx.get(programmer.bypass) and ctx.get(programmer.row) == 2
        ctx.set(reset, 1)
        await ctx.tick()
        assert not ctx.get(programmer.bypass) and not ctx.get(programmer.busy)

    reset = Signal()
    simulate(ResetInserter(reset)(bench), testbench)


def test_without_a_bypass_there_is_nothing_to_measure_with():
    bench = Bench(ODD)
    names = {"measure", "target_column", "target_side", "disconnect", "bypass"}
    assert not names & set(bench.programmer.signature.members)
    assert "bypass" not in MacroPort(2, 2).members

    async def testbench(ctx):
        await ctx.tick()

    simulate(bench, testbench)
