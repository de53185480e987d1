"""Bench of the whole chip: the host driver over its byte streams, GoldenChip beside it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.task import bridge, resume
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import ChipGeometry
from networks.host import HostExecutor
from sim.benches.random_passes import Job
from sim.benches.spec import BenchSpec
from sim.benches.streams import StreamDriver, StreamMonitor, number, power_up

__all__ = ["ChipBench", "ChipChecker", "ChipDriver", "ChipMonitor", "CocotbTransport"]

#: The programmer's times in all chip benches, clock cycles.
TIMING = {"form_pulse": 3, "set_pulse": 1, "reset_pulse": 2, "dead_time": 2, "pulse_setup": 1}

#: Cycles of silence after which a read gives up; longer than a row takes to program.
PATIENCE = 20_000


class ChipDriver(StreamDriver):
    """Sends request bytes with random gaps."""

    def __init__(self, dut: Any, random: Random) -> None:
        super().__init__(dut, "i", random)


class ChipMonitor(StreamMonitor):
    """Takes answer bytes with random back-pressure, and watches pins for X and Z.

    Parameters
    ----------
    watched : list of handles
        Signals that must never be X or Z.
    """

    def __init__(self, dut: Any, random: Random, watched: list[Any]) -> None:
        super().__init__(dut, "o", random)
        self._watched = watched

    async def watch(self) -> None:
        """Look at the watched signals at each clock edge, for ever."""
        while self._watched:
            await RisingEdge(self._clk)
            for handle in self._watched:
                number(handle)


class CocotbTransport:
    """A `networks.executor.Transport` over driver and monitor.

    Its methods block; they are called in a thread that `cocotb.task.bridge` has made, and the
    simulation goes on while they wait.
    """

    def __init__(self, clk: Any, driver: ChipDriver, monitor: ChipMonitor) -> None:
        self._clk, self._driver, self._monitor = clk, driver, monitor
        self._cut = False

    def cut(self) -> None:
        """The chip was reset: what it was asked is lost."""
        self._cut = True
        self._driver.clear()
        self._monitor.forget()

    def write(self, data: bytes) -> None:
        """Send all of `data`; it goes out as the chip takes it."""
        self._driver.queue.extend(data)

    def read(self, timeout_s: float) -> bytes:
        """Bytes that have arrived; b"" if none did for a long time, in clock cycles."""
        return resume(self._wait)()

    async def _wait(self) -> bytes:
        taken = self._monitor.taken
        for _ in range(PATIENCE):
            await RisingEdge(self._clk)
            if self._cut:
                raise ConnectionResetError("The chip was reset")
            if taken:
                data = bytes(taken)
                taken.clear()
                return data
        return b""

    def close(self) -> None:
        """Nothing to let go of."""


class ChipChecker:
    """Holds the host driver's results against the golden model.

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

    def run(self, host: HostExecutor, job: Job) -> None:
        """Run a job on both; AssertionError says what differs."""
        arguments = (job.pass_config, job.inputs, job.readout, job.registers)
        shown, expected = host.run(*arguments), self.golden.run(*arguments)
        self.known_banks |= set(job.pass_config.enabled_banks(self._geometry))
        assert np.array_equal(shown.outputs, expected.outputs), f"{job}: outputs differ"
        if job.readout:
            assert np.array_equal(shown.preactivations, expected.preactivations), (
                f"{job}: {shown.preactivations}, not {expected.preactivations}"
            )
        assert shown.cycles == expected.cycles, (
            f"{job}: {shown.cycles} cycles, not {expected.cycles}"
        )


class ChipBench:
    """A chip with driver, monitor and checker.

    Parameters
    ----------
    dut : handle
    spec : BenchSpec
    purpose : str
        What it draws random numbers for.
    table : bool array (macro, row, column, x), optional
        What its macros were loaded with through the back door.
    """

    def __init__(
        self, dut: Any, spec: BenchSpec, purpose: str, table: NDArray[np.bool_] | None = None
    ) -> None:
        self.random = spec.random(purpose)
        self.dut, self.spec = dut, spec
        self.macros = [getattr(dut, f"macro_{n}") for n in range(spec.geometry.macros)]
        self.off = [
            getattr(macro, pin) for macro in self.macros
            for pin in ("sense", "pulse", "rail_column", "rail_row",
                        *(("bypass",) if spec.geometry.sense_bypass else ()))
        ]  # fmt: skip
        watched = [*self.off, dut.busy, dut.i_ready] if spec.simulator == "icarus" else []
        self.driver = ChipDriver(dut, self.random)
        self.monitor = ChipMonitor(dut, self.random, watched)
        self.checker = ChipChecker(spec.geometry, spec.read_timing)
        self.transport = CocotbTransport(dut.clk, self.driver, self.monitor)
        if table is not None:
            self.checker.golden.load_table(table)

    async def power_up(self) -> None:
        """Reset the chip and start everything."""
        inputs = [self.dut.i_valid, self.dut.i_payload, self.dut.o_ready]
        await power_up(self.dut, inputs, self.off)
        for macro in self.macros:
            macro.protocol_error.value = 0  # whatever an earlier test did
        for coroutine in (self.driver.run(), self.monitor.run(), self.monitor.watch()):
            cocotb.start_soon(coroutine)

    def set_gaps(self, gaps: bool = True) -> None:
        """Draw how dense both streams are."""
        for stream in (self.driver, self.monitor):
            stream.density = self.random.choice((0.3, 0.8, 1.0, 1.0)) if gaps else 1.0

    async def with_host(self, work: Callable[[HostExecutor], None]) -> None:
        """Let blocking code work with a host driver; then see that the chip goes quiet."""
        self.transport = CocotbTransport(self.dut.clk, self.driver, self.monitor)
        await bridge(lambda: work(HostExecutor(self.transport, self.spec.geometry)))()
        for _ in range(8):
            await RisingEdge(self.dut.clk)
        assert not number(self.dut.busy), "the chip is busy with nothing to do"
        self.check_macros()

    def check_macros(self) -> None:
        """No macro was driven against its protocol."""
        for macro in self.macros:
            assert not number(macro.protocol_error), f"{macro._path}: protocol breach; see log"
