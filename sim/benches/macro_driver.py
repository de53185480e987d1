"""Macro models on a core's macro pins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from behavioral_models.constants import Operation
from behavioral_models.geometry import ChipGeometry
from behavioral_models.macro import MacroModel
from sim.benches.streams import number

__all__ = ["MacroDriver", "Pulse"]


class Pulse(NamedTuple):
    """One pulse as a macro saw it; `cycles` is its length."""

    macro: int
    operation: Operation
    row: int
    column: int
    side: int
    cycles: int


class MacroDriver:
    """Connects a MacroModel to each macro's pins: sampled at the rising edge, q set after it.

    The models check the macro protocol; pins that matter in a cycle must not be X or Z in it.

    Parameters
    ----------
    dut : handle
        A core, or a netlist of one, with ports `clk` and `macro_<number>_<pin>`.
    geometry : ChipGeometry
    table : bool array (macro, row, column, x), optional
        Start programmed with this; without it no memristor is formed.
    models : list of MacroModel, optional
        The macros themselves, such as ones with devices, instead.

    Attributes
    ----------
    models : list of MacroModel
    pulses : list of Pulse
        All pulses that have ended.
    senses : int
        Senses so far, of all macros together.
    """

    def __init__(
        self,
        dut: Any,
        geometry: ChipGeometry,
        table: NDArray[np.bool_] | None = None,
        models: Sequence[MacroModel] | None = None,
    ) -> None:
        self._clk = dut.clk
        self.models = list(models or ())
        self._ports: list[dict[str, Any]] = []
        pins = ("row", "x", "sense", "q", "operation", "column", "side", "pulse",
                "rail_column", "rail_row",
                *(("bypass",) if geometry.sense_bypass else ()))  # fmt: skip
        for macro in range(geometry.macros):
            if models is None:
                self.models.append(MacroModel(
                    geometry.rows, geometry.columns, None if table is None else table[macro],
                    f"macro {macro}",
                ))  # fmt: skip
            self._ports.append({pin: getattr(dut, f"macro_{macro}_{pin}") for pin in pins})
        self.pulses: list[Pulse] = []
        self.senses = 0

    @property
    def outputs(self) -> list[Any]:
        """The pins that must be 0 when nothing goes on: sense, pulse, bypass, rails of all."""
        pins = ("sense", "pulse", "bypass", "rail_column", "rail_row")
        return [port[pin] for port in self._ports for pin in pins if pin in port]

    @property
    def table(self) -> NDArray[np.bool_]:
        """What every sense gives now, bool (macro, row, column, x)."""
        return np.stack([model.table for model in self.models])

    async def run(self) -> None:
        """Serve the pins, for ever."""
        under_way: list[Pulse | None] = [None] * len(self.models)
        was_active = [0] * len(self.models)
        while True:
            await RisingEdge(self._clk)
            for macro, (model, port) in enumerate(zip(self.models, self._ports, strict=True)):
                sense, pulse = number(port["sense"]), number(port["pulse"])
                bypass = number(port["bypass"]) if "bypass" in port else 0
                active = sense or pulse or bypass
                if not (active or was_active[macro]):
                    continue  # no rule is about such a cycle, and reading pins takes the time
                was_active[macro] = active
                rails = {pin: number(port[pin]) for pin in ("rail_column", "rail_row")}
                place = {
                    "row": number(port["row"]) if active else 0,
                    "x": number(port["x"]) if sense else 0,
                    "operation": number(port["operation"]) if pulse else 0,
                    "column": number(port["column"]) if pulse or bypass else 0,
                    "side": number(port["side"]) if pulse or bypass else 0,
                }
                q = model.clock_edge(sense=sense, pulse=pulse, bypass=bypass, **rails, **place)
                if sense:
                    self.senses += 1
                    port["q"].value = q
                under_way[macro] = self._count(macro, pulse, place, under_way[macro])

    def _count(
        self, macro: int, pulse: int, place: dict[str, int], before: Pulse | None
    ) -> Pulse | None:
        """Measure pulses: the one under way after this cycle."""
        if pulse and before is not None:
            return before._replace(cycles=before.cycles + 1)
        if pulse:
            where = (place["row"], place["column"], place["side"])
            return Pulse(macro, Operation(place["operation"]), *where, 1)
        if before is not None:
            self.pulses.append(before)
        return None
