"""Bench of the core: its macros are models on its pins, its golden model is GoldenChip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, Timer
from numpy.typing import ArrayLike, NDArray

from behavioral_models.chip import GoldenChip
from behavioral_models.constants import Operation
from behavioral_models.geometry import ChipGeometry
from behavioral_models.macro import MacroModel
from behavioral_models.passes import Configuration, PassConfig, Start, bits_of_planes
from behavioral_models.protocol import TIMING_FIELDS
from hdl import interfaces
from sim.benches.macro_driver import MacroDriver, Pulse
from sim.benches.random_passes import Job
from sim.benches.spec import BenchSpec
from sim.benches.streams import StreamDriver, StreamMonitor, number, power_up

__all__ = ["CoreBench", "CoreChecker", "CoreDriver", "CoreMonitor", "RunSeen"]

#: The programmer's times in all core benches, clock cycles; each different.
TIMING = {"form_pulse": 5, "set_pulse": 3, "reset_pulse": 4, "dead_time": 2, "pulse_setup": 1}

#: Cycles after which a core that is still at work is taken to hang.
PATIENCE = 20_000


def settings_value(geometry: ChipGeometry, pass_config: PassConfig) -> int:
    """The `settings` port for a pass."""
    layout = interfaces.PassSettings(geometry)
    return layout.const(pass_config.settings(geometry)).as_value().value


def row_slots(geometry: ChipGeometry, job: Job) -> Iterator[int]:
    """Row slots of a job in the order the core takes them, one bit a macro."""
    weight_rows = job.pass_config.weight_rows
    for inference in bits_of_planes(job.inputs, job.pass_config):
        for plane in inference:
            for row in plane.reshape(-1, weight_rows).T:
                yield sum(int(bit) << macro for macro, bit in enumerate(row))


def register_bytes(geometry: ChipGeometry, registers: NDArray[np.int32]) -> bytes:
    """Registers as a preload sends them: neuron after neuron, least significant byte first."""
    size = geometry.register_bytes
    return b"".join(int(v).to_bytes(size, "little", signed=True) for v in registers.flat)


@dataclass
class RunSeen:
    """What a run of the core showed.

    Attributes
    ----------
    records : list of (bits, banks)
        Output records: bits of all banks, and the mask of those that are valid.
    readout : bytes
    cycles, wait_cycles : int
    """

    records: list[tuple[int, int]]
    readout: bytes
    cycles: int
    wait_cycles: int


class CoreDriver:
    """Starts runs and programmer commands, and feeds their streams with random gaps."""

    def __init__(self, dut: Any, geometry: ChipGeometry, random: Random) -> None:
        self._dut = dut
        self._geometry = geometry
        self.slots = StreamDriver(dut, "i_slots", random)
        self.registers = StreamDriver(dut, "i_registers", random)

    @property
    def inputs(self) -> list[Any]:
        """Ports that are 0 when the chip powers up."""
        names = ("settings", "run", "inferences", "rows", "preload", "readout", "stop", "operate",
                 "command", "macro", "row", "bits", "x", "i_slots_valid", "i_registers_valid",
                 "o_outputs_ready", "o_registers_ready", "i_slots_payload",
                 "i_registers_payload")  # fmt: skip
        if self._geometry.sense_bypass:
            names += ("measure", "column", "side", "disconnect")
        return [getattr(self._dut, name) for name in names]

    def set_timing(self, **cycles: int) -> None:
        """Set the programmer's times."""
        position = value = 0
        for item in TIMING_FIELDS:
            value |= cycles[item.name] << position
            position += 8 * item.size
        self._dut.timing.value = value

    async def start(self, job: Job, rows: bool = True, preload: bool | None = None) -> None:
        """Start a run; its inputs go out as the core takes them."""
        dut = self._dut
        if job.registers is not None:
            self.registers.queue.extend(register_bytes(self._geometry, job.registers))
        if rows:
            self.slots.queue.extend(row_slots(self._geometry, job))
        dut.settings.value = settings_value(self._geometry, job.pass_config)
        dut.inferences.value = len(job.inputs)
        dut.rows.value = int(rows)
        starts_preloaded = job.pass_config.start is Start.PRELOAD
        dut.preload.value = int(starts_preloaded if preload is None else preload)
        dut.readout.value = int(job.readout)
        dut.run.value = 1
        await RisingEdge(dut.clk)
        dut.run.value = 0
        await RisingEdge(dut.clk)

    async def idle(self) -> None:
        """Wait until neither a run nor the programmer is at work."""
        dut = self._dut
        for _ in range(PATIENCE):
            await RisingEdge(dut.clk)
            if not (number(dut.running) or number(dut.programming) or number(dut.reading)):
                return
        raise AssertionError(f"The core is still at work after {PATIENCE:,} cycles")

    async def stop(self) -> None:
        """Stop a run, and drop its inputs."""
        self._dut.stop.value = 1
        await RisingEdge(self._dut.clk)
        self._dut.stop.value = 0
        self.slots.clear()
        self.registers.clear()
        await RisingEdge(self._dut.clk)

    async def connect(self, macro: int, row: int, column: int, side: int) -> None:
        """Connect a memristor to the measuring pads; `disconnect` ends it."""
        dut = self._dut
        dut.measure.value = 1
        dut.column.value = column
        dut.side.value = side
        await self.operate(Operation.READ, macro, row)
        dut.measure.value = 0

    async def disconnect(self) -> None:
        """Disconnect it."""
        self._dut.disconnect.value = 1
        await RisingEdge(self._dut.clk)
        self._dut.disconnect.value = 0
        await RisingEdge(self._dut.clk)
        await self.idle()

    async def operate(
        self, command: Operation, macro: int, row: int, bits: int = 0, x: int = 0
    ) -> None:
        """Run one programmer command to its end."""
        dut = self._dut
        dut.command.value = int(command)
        dut.macro.value = macro
        dut.row.value = row
        dut.bits.value = bits
        dut.x.value = x
        dut.operate.value = 1
        await RisingEdge(dut.clk)
        dut.operate.value = 0
        await RisingEdge(dut.clk)
        await self.idle()


class CoreMonitor:
    """Collects outputs and readout with random back-pressure, and counts cycles.

    Parameters
    ----------
    watched : list of handles
        Besides the streams: signals that must never be X or Z.
    """

    def __init__(
        self, dut: Any, geometry: ChipGeometry, random: Random, watched: list[Any]
    ) -> None:
        self._dut = dut
        self._bits = geometry.neurons
        self._watched = watched
        self.outputs = StreamMonitor(dut, "o_outputs", random)
        self.readout = StreamMonitor(dut, "o_registers", random)
        self._cycles = self._wait_cycles = 0

    async def run(self) -> None:
        """Count cycles and watch for X and Z, for ever."""
        dut = self._dut
        while True:
            await RisingEdge(dut.clk)
            for handle in self._watched:
                number(handle)
            if number(dut.running):
                waiting = number(dut.waiting)
                self._wait_cycles += waiting
                self._cycles += 1 - waiting

    async def drain(self) -> None:
        """Wait until the last output record was taken."""
        while number(self._dut.o_outputs_valid):
            await RisingEdge(self._dut.clk)

    def take(self) -> RunSeen:
        """What was seen since the last call."""
        mask = (1 << self._bits) - 1
        records = [(taken & mask, taken >> self._bits) for taken in self.outputs.taken]
        seen = RunSeen(records, bytes(self.readout.taken), self._cycles, self._wait_cycles)
        self.outputs.taken.clear()
        self.readout.taken.clear()
        self._cycles = self._wait_cycles = 0
        return seen


class CoreChecker:
    """Holds what the core showed against the golden model.

    Attributes
    ----------
    golden : GoldenChip
    known_banks : set of int
        Banks whose registers hold known values.
    """

    def __init__(self, geometry: ChipGeometry, read_timing: int) -> None:
        self._geometry = geometry
        self.golden = GoldenChip(geometry, read_timing)
        self.known_banks: set[int] = set()

    def check(self, job: Job, seen: RunSeen) -> None:
        """Outputs, preactivations and cycles of a run; AssertionError says what differs."""
        geometry, pass_config = self._geometry, job.pass_config
        expected = self.golden.run(pass_config, job.inputs, True, job.registers)
        self.known_banks |= set(pass_config.enabled_banks(geometry))
        steps = list(self._steps(pass_config, len(job.inputs)))
        assert len(seen.records) == len(steps), f"{len(seen.records)} records, not {len(steps)}"
        assert expected.preactivations is not None
        readout = b""
        for (bits, mask), step in zip(seen.records, steps, strict=True):
            assert mask == sum(1 << bank for bank, _, _ in step), f"{job}: wrong banks {mask:b}"
            for bank, place, inference in step:
                part = slice(place * geometry.columns, (place + 1) * geometry.columns)
                packed = np.packbits(expected.outputs[inference, part], bitorder="little")
                shown = bits >> bank * geometry.columns & (1 << geometry.columns) - 1
                wanted = int.from_bytes(packed.tobytes(), "little")
                assert shown == wanted, f"{job}: bank {bank}, {shown:b}, not {wanted:b}"
                readout += register_bytes(geometry, -expected.preactivations[inference, part])
        assert seen.readout == (readout if job.readout else b""), f"{job}: wrong preactivations"
        cycles = pass_config.cycles(geometry, self.golden.read_timing, len(job.inputs), job.readout)
        assert seen.cycles == cycles, f"{job}: {seen.cycles} cycles, not {cycles}"

    def _steps(
        self, pass_config: PassConfig, inferences: int
    ) -> Iterator[list[tuple[int, int, int]]]:
        """Of each pass the banks that take part: (bank, place in results, inference)."""
        banks = list(enumerate(pass_config.enabled_banks(self._geometry)))
        if pass_config.configuration is not Configuration.CHAINED:
            for inference in range(inferences):
                yield [(bank, place, inference) for place, bank in banks]
            return
        for step in range(inferences + 1):  # bank 1 is one inference behind
            yield [(b, place, step - b) for place, b in banks if 0 <= step - b < inferences]

    def check_pulses(
        self, command: Operation, macro: int, row: int, bits: ArrayLike, seen: list[Pulse]
    ) -> None:
        """The pulses of one programmer command: their order, places and lengths."""
        weights = [int(bit) for bit in np.asarray(bits)]
        if command is Operation.FORM:
            wanted = [
                Pulse(macro, command, row, column, side, TIMING["form_pulse"])
                for column in range(len(weights)) for side in (0, 1)
            ]  # fmt: skip
        else:  # a 1 is HRS on BL (side 0), LRS on BLb (side 1)
            wanted = [
                Pulse(macro, Operation.SET, row, column, bit, TIMING["set_pulse"])
                for column, bit in enumerate(weights)
            ] + [
                Pulse(macro, Operation.RESET, row, column, 1 - bit, TIMING["reset_pulse"])
                for column, bit in enumerate(weights)
            ]
        assert seen == wanted, f"pulses were {seen}, not {wanted}"


class CoreBench:
    """A core with macros, driver, monitor and checker.

    Parameters
    ----------
    dut : handle
    spec : BenchSpec
    purpose : str
        What it draws random numbers for.
    table : bool array (macro, row, column, x), optional
        Macros start programmed with this.
    models : list of MacroModel, optional
        The macros themselves, instead.
    """

    def __init__(
        self,
        dut: Any,
        spec: BenchSpec,
        purpose: str,
        table: NDArray[np.bool_] | None = None,
        models: Sequence[MacroModel] | None = None,
    ) -> None:
        self.random = spec.random(purpose)
        self.dut, self.spec = dut, spec
        self.macros = MacroDriver(dut, spec.geometry, table, models)
        self.driver = CoreDriver(dut, spec.geometry, self.random)
        names = ("running", "waiting", "programming", "reading", "i_slots_ready",
                 "i_registers_ready", *(("measuring",) if spec.geometry.sense_bypass else ())
                 )  # fmt: skip
        watched = []
        if spec.simulator == "icarus":
            watched = [getattr(dut, name) for name in names] + self.macros.outputs
        self.monitor = CoreMonitor(dut, spec.geometry, self.random, watched)
        self.checker = CoreChecker(spec.geometry, spec.read_timing)
        if table is not None:
            self.checker.golden.load_table(table)

    async def power_up(self) -> None:
        """Reset the core and start everything."""
        self.driver.set_timing(**TIMING)
        await power_up(self.dut, self.driver.inputs, self.macros.outputs)
        for part in (self.macros, self.driver.slots, self.driver.registers, self.monitor,
                     self.monitor.outputs, self.monitor.readout):  # fmt: skip
            cocotb.start_soon(part.run())

    async def cut_power(self) -> None:
        """Reset between two clock edges: every pin of the macros is off at once; then back."""
        await Timer(1, "ns")
        self.dut.rst.value = 1
        await Timer(1, "ns")
        for pin in self.macros.outputs:
            assert number(pin) == 0, f"{pin._path} is on in reset"
        await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    def set_gaps(self, gaps: bool = True) -> None:
        """Draw how dense the four streams are; without gaps all of them always go."""
        for stream in (self.driver.slots, self.driver.registers, self.monitor.outputs,
                       self.monitor.readout):  # fmt: skip
            stream.density = self.random.choice((0.3, 0.6, 0.9, 1.0)) if gaps else 1.0

    async def run(self, job: Job) -> RunSeen:
        """Run a job to its end; check it; return what was seen."""
        await self.driver.start(job)
        await self.driver.idle()
        await self.monitor.drain()
        seen = self.monitor.take()
        self.checker.check(job, seen)
        assert not self.driver.slots.queue, f"{job}: the core did not take all slots"
        assert not self.driver.registers.queue, f"{job}: the core did not take all of the preload"
        return seen
