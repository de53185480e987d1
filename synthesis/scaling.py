"""Energy and delay of a few standard cells at low supplies, in ngspice.

Reports scale the energy of the Liberty's one voltage by its square, and say which clock is reached
there. Both are checked here on cells that a neuron column is made of: the energy of a toggle at
1.8, 1.2 and 0.7 V against V^2, and the delay, whose growth from 1.8 V on scales the clock of the
timing report; the slowest cell decides.

A cell's pin is driven by an inverter, its output drives two; the energy is what the cell alone
takes from the supply, the charge of its load included and that of its input not. The transistors
are SkyWater's typical ones at 25 C (`synthesis.column`).

`synthesis/data/scaling_sky130.json` is what this module measured, for reports made without ngspice:
``python -m synthesis.scaling --write`` makes it anew.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavioral_models.files import write_whole
from sim.spice import ngspice
from sim.spice.models import find_models, models_version
from sim.tools import ToolError
from synthesis.column import GROUND_PINS, SUPPLY_PINS, cell_library, read_cell
from synthesis.library import build_folder

__all__ = [
    "CELLS", "DATA", "NOMINAL_V", "VOLTAGES_V", "CellScaling", "Scaling", "ScalingError", "load",
    "measure", "measure_cell",
]  # fmt: skip

#: Supply of the Liberty, and the supplies that are measured.
NOMINAL_V = 1.8
VOLTAGES_V = (1.8, 1.2, 0.7)

#: The committed measurement.
DATA = Path(__file__).parent / "data" / "scaling_sky130.json"

#: Command that makes it.
COMMAND = "python -m synthesis.scaling --write"

_PREFIX = "sky130_fd_sc_hd__"


class ScalingError(RuntimeError):
    """A cell did not do at some supply what it is for, or a supply was not measured."""


@dataclass(frozen=True)
class _Bench:
    """How a cell is measured: `pin` toggles, `output` follows, the other pins are constants.

    With `data` that pin toggles once a cycle besides, half a cycle away from the edge of `pin` that
    takes it over; `falling` says that edge.
    """

    pin: str
    output: str
    constants: dict[str, int] = field(default_factory=dict)
    data: str | None = None
    falling: bool = False


#: Cells by name, and how each is measured.
CELLS: dict[str, _Bench] = {
    "inv_1": _Bench("A", "Y"),
    "nand2_1": _Bench("A", "Y", {"B": 1}),
    "xor2_1": _Bench("A", "X", {"B": 0}),
    "maj3_1": _Bench("A", "X", {"B": 1, "C": 0}),
    "fa_1": _Bench("A", "COUT", {"B": 1, "CIN": 0}),
    "dfxtp_1": _Bench("CLK", "Q", data="D"),
    "dlclkp_1": _Bench("CLK", "GCLK", {"GATE": 1}),
    "dlxtp_1": _Bench("D", "Q", {"GATE": 1}),
    "dlxtn_1": _Bench("D", "Q", {"GATE_N": 0}),
}


def _half_s(supply_v: float) -> float:
    """Half a cycle of a deck: ample at every supply.

    The pMOS of these cells is a high-threshold one, which conducts below its threshold at 0.7 V.
    """
    return 8e-9 + 900e-9 * math.exp((0.7 - supply_v) / 0.068)


def _deck(name: str, bench: _Bench, supply_v: float) -> str:
    """Two cycles of the cell: the first sets its state, the second is measured."""
    half, edge = _half_s(supply_v), 0.1e-9
    cell, inverter = read_cell(_PREFIX + name), read_cell(_PREFIX + "inv_1")

    def instance(label: str, netlist, nodes: dict[str, str], supply: str) -> str:
        nodes = {**dict.fromkeys(SUPPLY_PINS, supply), **dict.fromkeys(GROUND_PINS, "0"), **nodes}
        pins = " ".join(nodes.get(pin, f"{label}_{pin.lower()}") for pin in netlist.pins)
        return f"x{label} {pins} {netlist.name}"

    def wave(first: float, high: bool) -> str:
        """Source of a driver's input, so that the driven pin rises first, or falls."""
        low_v, high_v = (supply_v, 0.0) if high else (0.0, supply_v)
        points = [(0.0, low_v)]
        for toggle in range(8):
            at = first + toggle * half
            points += [(at, points[-1][1]), (at + edge, high_v if toggle % 2 == 0 else low_v)]
        return "pwl(" + " ".join(f"{t:.6g} {v:g}" for t, v in points) + ")"

    nodes = {bench.pin: "pin", bench.output: "out"}
    nodes |= {pin: "drive" if bit else "0" for pin, bit in bench.constants.items()}
    lines = [
        f"* {name} at {supply_v:g} V", f"vdd vdd 0 {supply_v:g}", f"vdrive drive 0 {supply_v:g}",
        f"vin in 0 {wave(half, True)}",
    ]  # fmt: skip
    lines.append(instance("driver", inverter, {"A": "in", "Y": "pin"}, "drive"))
    if bench.data is not None:
        nodes[bench.data] = "data"
        points = [(0.0, supply_v)]
        for toggle in range(4):  # the pin's edges are at 1, 2, 3, ... halves
            at = (0.5 + 2 * toggle) * half
            points += [(at, points[-1][1]), (at + edge, supply_v - points[-1][1])]
        text = " ".join(f"{t:.6g} {v:g}" for t, v in points)
        lines.append(f"vdata data_in 0 pwl({text})")
        lines.append(instance("datadriver", inverter, {"A": "data_in", "Y": "data"}, "drive"))
    lines.append(instance("cell", cell, nodes, "vdd"))
    lines += [instance(f"load{k}", inverter, {"A": "out"}, "drive") for k in range(2)]
    stop = 9 * half
    return "\n".join([
        *lines, ".save v(pin) v(out) i(vdd)", ".temp 25",
        f".tran {half / 200:.6g} {stop:.6g} 0 {half / 100:.6g}",
        ".options reltol=1e-4 abstol=1e-14 chgtol=1e-17 gmin=1e-15 method=trap num_threads=1",
        cell_library({_PREFIX + name, _PREFIX + "inv_1"}), ".end",
    ]) + "\n"  # fmt: skip


def _measured(
    signals: dict[str, NDArray[np.float64]], supply_v: float, half_s: float
) -> dict[str, float]:
    """Energy and mean delay of a toggle of the output, over the deck's last four halves and before.

    The energy is of whole cycles of input and output: four halves of a cell whose output follows
    its input, and of a flip-flop, whose output toggles every second half.
    """
    when, pin, out = signals["time"], signals["v(pin)"], signals["v(out)"]

    def crossings(level: NDArray[np.float64]) -> NDArray[np.float64]:
        above = level > supply_v / 2
        places = np.flatnonzero(np.diff(above.astype(int)))
        a, b = level[places], level[places + 1]
        return when[places] + (supply_v / 2 - a) / (b - a) * np.diff(when)[places]

    first, last = 4.5 * half_s, 8.5 * half_s
    ins, outs = crossings(pin), crossings(out)
    outs = outs[(outs > first) & (outs < last)]
    causes = [ins[ins < at][-1] for at in outs] if len(outs) and len(ins) else []
    current = np.concatenate(
        [[0.0], np.cumsum(-(signals["i(vdd)"][1:] + signals["i(vdd)"][:-1]) / 2 * np.diff(when))]
    )
    taken = supply_v * float(np.interp(last, when, current) - np.interp(first, when, current))
    settled = np.interp(np.array([5.9, 6.9, 7.9, 8.4]) * half_s, when, out) / supply_v
    return {
        "toggles": len(outs),
        "energy_j": taken / max(1, len(outs)),
        "delay_s": float(np.mean(outs - np.array(causes))) if len(outs) else math.inf,
        "settled": float(np.max(np.minimum(np.abs(settled), np.abs(1 - settled)))),
    }


@dataclass(frozen=True)
class CellScaling:
    """One cell: energy (J) and delay (s) of a toggle of its output, by supply in the order given.

    The energy of a flip-flop's toggle holds the clock cycle around it, and a clock gate's toggle
    is half a clock cycle.
    """

    energy_j: tuple[float, ...]
    delay_s: tuple[float, ...]


def measure_cell(
    name: str, supply_v: float, store: ngspice.Store | None = None
) -> tuple[float, float]:
    """Energy (J) and delay (s) of a toggle of one cell of CELLS at one supply.

    Raises
    ------
    ScalingError
        If the cell's output does not follow, or does not reach the supply and ground.
    ToolError
        If there is no ngspice or no `sky130` package.
    """
    bench = CELLS[name]
    deck = _deck(name, bench, supply_v)
    store = store or ngspice.Store(build_folder() / "scaling")
    found = store.measure(deck, _measured, supply_v=supply_v, half_s=_half_s(supply_v))
    expected = 2 if bench.data is not None else 4
    if found["toggles"] != expected or found["settled"] > 0.02:
        raise ScalingError(
            f"{name} does not work at {supply_v:g} V: {found['toggles']} toggles of its output "
            f"instead of {expected}, {100 * found['settled']:.1f} % of the supply from its level"
        )
    return found["energy_j"], found["delay_s"]


@dataclass(frozen=True)
class Scaling:
    """Energy and delay of cells at several supplies, the first of which is the Liberty's.

    Attributes
    ----------
    voltages_v : tuple of float
    cells : dict of str to CellScaling
    made_by : dict of str to str
        Tool versions, corner and command.
    """

    voltages_v: tuple[float, ...]
    cells: dict[str, CellScaling]
    made_by: dict[str, str] = field(default_factory=dict)

    def _place(self, voltage_v: float) -> int:
        for place, each in enumerate(self.voltages_v):
            if math.isclose(each, voltage_v, rel_tol=1e-6):
                return place
        raise ScalingError(
            f"Cells were measured at {', '.join(f'{v:g}' for v in self.voltages_v)} V, "
            f"not at {voltage_v:g} V"
        )

    def energy_against_square(self, voltage_v: float) -> dict[str, float]:
        """Energy at a supply over what V^2 makes of the first supply's, by cell: 1 is agreement."""
        place = self._place(voltage_v)
        square = (voltage_v / self.voltages_v[0]) ** 2
        return {
            name: cell.energy_j[place] / cell.energy_j[0] / square
            for name, cell in self.cells.items()
        }

    def delay_growth(self, voltage_v: float) -> dict[str, float]:
        """Delay at a supply over that at the first, by cell."""
        place = self._place(voltage_v)
        return {name: cell.delay_s[place] / cell.delay_s[0] for name, cell in self.cells.items()}

    def slowest(self, voltage_v: float) -> str:
        """The cell whose delay grows most."""
        growth = self.delay_growth(voltage_v)
        return max(growth, key=growth.__getitem__)

    def clock_hz(self, voltage_v: float, nominal_hz: float) -> float:
        """Clock at a supply, from the timing report's at the first: the slowest cell decides."""
        return nominal_hz / max(self.delay_growth(voltage_v).values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        return {
            "voltages_v": list(self.voltages_v),
            "cells": {name: asdict(cell) for name, cell in self.cells.items()},
            "energy_against_square": {
                f"{v:g}": self.energy_against_square(v) for v in self.voltages_v[1:]
            },
            "delay_growth": {f"{v:g}": self.delay_growth(v) for v in self.voltages_v[1:]},
            "made_by": self.made_by,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Scaling:
        """What `as_dict` gave."""
        cells = {
            name: CellScaling(tuple(cell["energy_j"]), tuple(cell["delay_s"]))
            for name, cell in data["cells"].items()
        }
        return cls(tuple(data["voltages_v"]), cells, dict(data["made_by"]))


def measure(
    cells: Sequence[str] = tuple(CELLS), voltages_v: Sequence[float] = VOLTAGES_V
) -> Scaling:
    """Measure cells in ngspice; what was measured before is taken from the build folder.

    Raises
    ------
    ScalingError
        If a cell does not work at a supply.
    ToolError
        If there is no ngspice or no `sky130` package.
    """
    ngspice.find_ngspice()
    find_models()
    found = {}
    for name in cells:
        points = [measure_cell(name, voltage) for voltage in voltages_v]
        energies, delays = zip(*points, strict=True)
        found[name] = CellScaling(tuple(energies), tuple(delays))
    return Scaling(tuple(voltages_v), found, {
        "simulator": ngspice.ngspice_version(),
        "models": f"{models_version()}, sky130_fd_sc_hd cells with wires estimated from layout, "
        "tt, 25 C",
        "command": COMMAND,
    })  # fmt: skip


def load(path: Path = DATA) -> Scaling:
    """The committed measurement."""
    return Scaling.from_dict(json.loads(path.read_text()))


def _table(scaling: Scaling) -> str:
    lines = ["cell      " + "".join(f"{f'{v:g} V':>28}" for v in scaling.voltages_v)]
    lines.append(" " * 10 + "   fJ/toggle  / V^2     delay" * len(scaling.voltages_v))
    for name, cell in scaling.cells.items():
        row = f"{name:10}"
        for place, voltage in enumerate(scaling.voltages_v):
            square = scaling.energy_against_square(voltage)[name]
            growth = scaling.delay_growth(voltage)[name]
            row += f"{1e15 * cell.energy_j[place]:12.2f}{square:7.3f}{growth:9.2f}x"
        lines.append(row)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the data file if asked to."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.scaling", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {DATA.name}")
    options = parser.parse_args(arguments)
    try:
        scaling = measure()
    except (ToolError, ScalingError) as error:
        print(f"Skipped: {error}", file=sys.stderr)
        return 1
    print(_table(scaling))
    if options.write:
        write_whole(DATA, json.dumps(scaling.as_dict(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
