"""Power-up, and the two ends of a valid/ready stream."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

__all__ = ["PERIOD_NS", "StreamDriver", "StreamMonitor", "number", "power_up"]

#: Clock period of all benches.
PERIOD_NS = 10


def number(handle: Any) -> int:
    """The value of a signal; AssertionError, naming it, if a bit of it is X or Z."""
    value = handle.value
    try:
        return int(value)
    except ValueError:
        raise AssertionError(f"{handle._path} is {value}") from None


async def power_up(dut: Any, inputs: list[Any], off: list[Any]) -> None:
    """Reset without a clock, see that `off` is all 0 then, and start the clock.

    Reset rises after the start of the simulation: at time 0 a four-state simulator sees no edge.
    """
    dut.clk.value = 0
    dut.rst.value = 0
    for handle in inputs:
        handle.value = 0
    await Timer(3, "ns")
    dut.rst.value = 1
    await Timer(3, "ns")
    for handle in off:
        assert number(handle) == 0, f"{handle._path} is on after a reset without a clock"
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, "ns").start(start_high=False))
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


class StreamDriver:
    """Sends what is in `queue`, with random gaps.

    Parameters
    ----------
    dut : handle
    name : str
        The stream's ports are `<name>_payload`, `<name>_valid` and `<name>_ready`.
    random : Random

    Attributes
    ----------
    queue : deque of int
        What is still to be sent.
    density : float
        Chance that what waits is offered in a cycle; 1: no gaps.
    """

    def __init__(self, dut: Any, name: str, random: Random) -> None:
        self._clk = dut.clk
        self._payload = getattr(dut, f"{name}_payload")
        self._valid = getattr(dut, f"{name}_valid")
        self._ready = getattr(dut, f"{name}_ready")
        self._random = random
        self._offered = False
        self.queue: deque[int] = deque()
        self.density = 1.0

    async def run(self) -> None:
        """Drive the stream, for ever."""
        width = len(self._payload)
        while True:
            await RisingEdge(self._clk)
            if self._offered and number(self._ready):
                self.queue.popleft()
                self._offered = False
            if not self._offered:
                self._offered = bool(self.queue) and self._random.random() < self.density
                self._valid.value = int(self._offered)
                # nothing may depend on a payload that is not valid
                junk = self._random.getrandbits(width)
                self._payload.value = self.queue[0] if self._offered else junk

    def clear(self) -> None:
        """Drop what has not been sent."""
        self.queue.clear()
        self._offered = False
        self._valid.value = 0


class StreamMonitor:
    """Takes what a stream offers, with random back-pressure, into `taken`.

    It checks the stream's contract: what was offered stands still until it is taken, and nothing
    valid is X or Z.

    Parameters
    ----------
    dut, name, random
        As in StreamDriver.

    Attributes
    ----------
    taken : deque of int
    density : float
        Chance of being ready in a cycle; 1: always.
    """

    def __init__(self, dut: Any, name: str, random: Random) -> None:
        self._clk = dut.clk
        self._name = name
        self._payload = getattr(dut, f"{name}_payload")
        self._valid = getattr(dut, f"{name}_valid")
        self._ready = getattr(dut, f"{name}_ready")
        self._random = random
        self._held: int | None = None
        self.taken: deque[int] = deque()
        self.density = 1.0

    async def run(self) -> None:
        """Watch the stream, for ever."""
        ready = False
        while True:
            await RisingEdge(self._clk)
            if number(self._valid):
                payload = number(self._payload)
                assert self._held in (None, payload), f"{self._name} changed before it was taken"
                self._held = payload
                if ready:
                    self.taken.append(payload)
                    self._held = None
            else:
                assert self._held is None, f"{self._name} was withdrawn before it was taken"
            ready = self._random.random() < self.density
            self._ready.value = int(ready)

    def forget(self) -> None:
        """The device was stopped or reset: what it offered may vanish."""
        self._held = None
        self.taken.clear()
