"""What a netlist's activity costs: internal, switching, clock and leakage energy, block by block.

The rules are those of OpenSTA's `report_power` (docs/energy.md says them on a page, with what the
figures leave out). `opensta_power` runs OpenSTA itself on the same netlist, to hold against them.
"""

from __future__ import annotations

import re
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthesis.activity import Activity
from synthesis.library import Cell, Expression, Library, Pin, Table, WireLoad
from synthesis.opensta import OpenStaError, run_sta

if TYPE_CHECKING:
    from synthesis.netlist import FlatNetlist, Netlist

__all__ = [
    "BOUNDARIES",
    "CATEGORIES",
    "KINDS",
    "ClockTree",
    "EnergyError",
    "EnergyReport",
    "energy",
    "opensta_activity_power",
    "opensta_power",
    "slews",
    "uniform",
    "with_running_clocks",
]

#: What an instance's energy is made of; clock counts at the flip-flop or latch that it serves.
KINDS = ("internal", "switching", "clock", "leakage")

#: Block to category of the published breakdown; the clock of every block is a category of its own.
CATEGORIES = {
    "neuron registers": "neuron registers",
    "row store": "neuron registers",
    "popcount": "popcount",
    "masks": "popcount",
    "host port": "host port",
    "chip": "host port",
    "macro": "macro",
}  # all other blocks are control

#: Name of each boundary to what it holds.
BOUNDARIES = {
    "popcount": "popcount and the masks before it; no register, no clock, no macro",
    "headline": "neuron registers, rows that wait, popcount, the masks before it, and their clock; "
    "no macro",
    "instances": "neuron registers, rows that wait and popcount as OpenSTA sums their instances: "
    "with the clock pins inside, without clock nets, clock gates elsewhere, clock tree and masks",
    "banks": "all in the banks: the headline, step and select distribution, readout, and "
    "their clock; no macro",
    "core": "the digital core: banks, control and clock; no macro, no host port",
    "chip": "core and host port; no macro",
}

_HEADLINE = ("neuron registers", "row store", "popcount", "masks")
_BANKS = (*_HEADLINE, "bank")

#: Slew that a level of the estimated clock tree must keep at its loads.
CLOCK_SLEW_S = 0.3e-9

#: Loads of one clock buffer that the estimate tries.
_TREE_FANOUTS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)


class EnergyError(RuntimeError):
    """Netlist, library and activity do not fit each other; the message says how."""


# The report ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClockTree:
    """An estimated tree: `levels`, from the source, of (buffer cell, buffers, loads of each)."""

    net: str
    sinks: int
    levels: tuple[tuple[str, int, int], ...]
    slew_s: float


@dataclass(frozen=True, eq=False)
class EnergyReport:
    """Energy of a netlist over the cycles of an activity.

    Attributes
    ----------
    paths, blocks : list of str (instances,)
        Instance paths, and the block of each: as FlatNetlist.block_of says, save that the gates of
        a bank that stand between macros and popcount or store are ``masks``.
    raw : dict of str to float array (instances,)
        ``internal``, ``switching`` and ``leakage`` of every instance, J: what OpenSTA reports for
        it.
    charged : dict of str to float array (instances,)
        The same energy by KINDS, J, put where it is caused: all that clock gates, clock buffers,
        clock nets and the clock pins of registers spend is ``clock`` of the flip-flops and latches
        they serve (shared by pin capacitance); the loads of nets that the macros or the chip's
        inputs drive are ``switching`` of the gates that load them.
    outside_j : float
        The part of `charged` that OpenSTA does not count: nets driven by ports and macros, macros'
        input pins, and the estimated clock tree.
    cycles, period_s, voltage_v
    wire_load : str or None
        Wire-load model; None: wires without capacitance.
    clock_trees : tuple of ClockTree
        What was estimated; empty: clock nets without buffers.
    source : dict
        Of the activity: `inferences` and `useful_macs` are used here.
    made_by : dict
        Library, rules and so on, for reports.
    """

    paths: list[str]
    blocks: list[str]
    raw: dict[str, NDArray[np.float64]]
    charged: dict[str, NDArray[np.float64]]
    outside_j: float
    cycles: int
    period_s: float
    voltage_v: float
    wire_load: str | None
    clock_trees: tuple[ClockTree, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)
    made_by: dict[str, Any] = field(default_factory=dict)

    def by_block(self) -> dict[str, dict[str, float]]:
        """J of every block by KINDS, the clock of its registers included."""
        blocks = np.array(self.blocks)
        return {
            block: {kind: float(self.charged[kind][blocks == block].sum()) for kind in KINDS}
            for block in dict.fromkeys(self.blocks)
        }

    def opensta_by_block(self) -> dict[str, dict[str, float]]:
        """J of every block as OpenSTA counts: by the instance that spends it."""
        blocks = np.array(self.blocks)
        return {
            block: {kind: float(self.raw[kind][blocks == block].sum()) for kind in self.raw}
            for block in dict.fromkeys(self.blocks)
        }

    def by_category(self) -> dict[str, float]:
        """J by the categories of the published breakdown; the core's clock is one of them.

        The host port with its clock, and macros (where the library has them), are apart.
        """
        result: dict[str, float] = dict.fromkeys(
            ("control", "clock", "neuron registers", "popcount"), 0.0
        )
        for block, kinds in self.by_block().items():
            category = CATEGORIES.get(block, "control")
            in_core = category not in ("host port", "macro")
            result.setdefault(category, 0.0)
            result[category] += sum(
                value for kind, value in kinds.items() if kind != "clock" or not in_core
            )
            result["clock"] += kinds["clock"] if in_core else 0.0
        return result

    def clock_by_block(self) -> dict[str, float]:
        """J of clock that each block's flip-flops and latches cause."""
        return {block: kinds["clock"] for block, kinds in self.by_block().items()}

    def total(self, boundary: str = "chip") -> float:
        """J within a boundary, one of BOUNDARIES."""
        if boundary not in BOUNDARIES:
            raise ValueError(
                f"An energy's boundary must be one of {', '.join(BOUNDARIES)}, not {boundary!r}"
            )
        if boundary == "instances":
            blocks = self.opensta_by_block()
            return sum(
                sum(blocks[block].values())
                for block in ("neuron registers", "row store", "popcount")
                if block in blocks
            )
        total = 0.0
        for block, kinds in self.by_block().items():
            if boundary == "popcount":
                if block in ("popcount", "masks"):
                    total += sum(value for kind, value in kinds.items() if kind != "clock")
            elif {
                "headline": block in _HEADLINE,
                "banks": block in _BANKS,
                "core": block not in ("host port", "chip", "macro"),
                "chip": block != "macro",
            }[boundary]:
                total += sum(kinds.values())
        return total

    @property
    def core_j(self) -> float:
        """J of the digital core: control and clock, but neither macros nor host port."""
        return self.total("core")

    @property
    def headline_j(self) -> float:
        """J of neuron registers, waiting rows, popcount with its masks, and their clock."""
        return self.total("headline")

    @property
    def control_share(self) -> float:
        """Control's part of the core's energy, its own clock included."""
        control = sum(
            sum(kinds.values())
            for block, kinds in self.by_block().items()
            if CATEGORIES.get(block, "control") == "control"
        )
        return control / self.core_j

    def _from_source(self, name: str, what: str) -> int:
        number = self.source.get(name, 0)
        if not number:
            raise ValueError(f"The activity does not say how many {what} it holds: give {name}")
        return number

    def per_mac(self, boundary: str = "headline", useful_macs: int | None = None) -> float:
        """J per useful MAC, idle columns and rows not counted; by default the activity's MACs."""
        if useful_macs is None:
            useful_macs = self._from_source("useful_macs", "useful MACs")
        if useful_macs < 1:
            raise ValueError(f"Useful MACs must be positive, not {useful_macs!r}")
        return self.total(boundary) / useful_macs

    def per_inference(self, boundary: str = "core", inferences: int | None = None) -> float:
        """J per inference; by default the activity's inferences."""
        if inferences is None:
            inferences = self._from_source("inferences", "inferences")
        if inferences < 1:
            raise ValueError(f"Inferences must be positive, not {inferences!r}")
        return self.total(boundary) / inferences

    def tops_per_watt(self, boundary: str = "core", useful_macs: int | None = None) -> float:
        """Tera-operations per second and watt, two operations a MAC, as the papers count."""
        return 2e-12 / self.per_mac(boundary, useful_macs)

    def scaled(self, voltage_v: float) -> EnergyReport:
        """The same run at another supply: every energy by the square of the voltage."""
        if not voltage_v > 0:
            raise ValueError(f"A supply voltage must be positive, not {voltage_v!r} V")
        factor = (voltage_v / self.voltage_v) ** 2
        return replace(
            self,
            raw={kind: values * factor for kind, values in self.raw.items()},
            charged={kind: values * factor for kind, values in self.charged.items()},
            outside_j=self.outside_j * factor,
            voltage_v=voltage_v,
            made_by=self.made_by | {"scaled": f"by V^2 from {self.voltage_v:g} V"},
        )

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON, with the boundary of every figure named."""
        boundaries: dict[str, Any] = {}
        for name, holds in BOUNDARIES.items():
            figures: dict[str, Any] = {"holds": holds, "energy_j": self.total(name)}
            figures["power_w"] = figures["energy_j"] / (self.cycles * self.period_s)
            if self.source.get("useful_macs"):
                figures["energy_per_mac_j"] = self.per_mac(name)
                figures["tops_per_watt"] = self.tops_per_watt(name)
            if self.source.get("inferences"):
                figures["energy_per_inference_j"] = self.per_inference(name)
            boundaries[name] = figures
        return {
            "boundaries": boundaries,
            "by_category_j": self.by_category(),
            "by_block_j": self.by_block(),
            "control_share_of_core": self.control_share,
            "estimated_or_driven_outside_j": self.outside_j,
            "clock_trees": len(self.clock_trees),
            "clock_tree_buffers": sum(
                buffers for tree in self.clock_trees for _, buffers, _ in tree.levels
            ),
            "voltage_v": self.voltage_v,
            "period_s": self.period_s,
            "cycles": self.cycles,
            "wire_load": self.wire_load or "ideal wires",
            "clock_tree": "estimated" if self.made_by.get("clock_tree") else "ideal",
            "activity": dict(self.source),
            "made_by": dict(self.made_by),
        }


# The netlist, seen from its nets ------------------------------------------------------------------


class _Wiring:
    """Drivers, loads and clock nets of a netlist on a library."""

    def __init__(self, flat: FlatNetlist, library: Library, wire: WireLoad | None, clock: str):
        self.flat, self.library, self.wire = flat, library, wire
        nets = len(flat.nets)
        self.cells = [library.cells.get(instance.cell) for instance in flat.instances]
        self.drivers: list[list[tuple[int, str]]] = [[] for _ in range(nets)]
        self.loads: list[list[tuple[int, str]]] = [[] for _ in range(nets)]
        self.fanout = [0] * nets
        self.rise_f = [0.0] * nets
        self.fall_f = [0.0] * nets
        for number, (instance, cell) in enumerate(zip(flat.instances, self.cells, strict=True)):
            if cell is None:  # a macro: what it drives is known by having no other driver
                for net in instance.pins.values():
                    self.fanout[net] += 1
                continue
            for name, net in instance.pins.items():
                pin = cell.pins.get(name)
                if pin is None:
                    raise EnergyError(
                        f"{instance.path} has a pin {name}, which the library's {cell.name} has "
                        "not: netlist and library are not of the same kind"
                    )
                self.rise_f[net] += pin.rise_capacitance_f
                self.fall_f[net] += pin.fall_capacitance_f
                if pin.direction == "output":
                    self.drivers[net].append((number, name))
                elif pin.direction == "input":
                    self.loads[net].append((number, name))
                    self.fanout[net] += 1
        self._inputs: set[int] = set()
        for direction, bits in flat.ports.values():
            if direction == "input":
                self._inputs.update(bits)
            for net in bits:
                self.fanout[net] += direction == "output"
        for instance, cell in zip(flat.instances, self.cells, strict=True):
            if cell is None:  # a macro's output is the driver, not a load
                for net in instance.pins.values():
                    self.fanout[net] -= self.comes_from_outside(net)
        self.wire_f = [0.0 if wire is None else wire.capacitance_f(n) for n in self.fanout]
        self.clock_nets = self._find_clocks(clock)

    def comes_from_outside(self, net: int) -> bool:
        """Whether a macro that the library has not drives the net."""
        return not self.drivers[net] and net not in self._inputs

    def load_f(self, net: int) -> float:
        """Capacitance that a driver sees, the larger of rise and fall, as OpenSTA takes it."""
        return max(self.rise_f[net], self.fall_f[net]) + self.wire_f[net]

    def _find_clocks(self, clock: str) -> dict[int, int]:
        """Nets that the clock reaches through gates, in that order, and how many gates deep."""
        if clock not in self.flat.ports:
            raise EnergyError(
                f"The netlist has no clock port {clock}; its ports are {', '.join(self.flat.ports)}"
            )
        found = dict.fromkeys(self.flat.ports[clock][1], 0)
        queue = deque(found)
        while queue:
            net = queue.popleft()
            for number, pin in self.loads[net]:
                for output in self._clock_outputs(number, pin):
                    if found.get(output, -1) <= found[net] and found[net] < 100:
                        found[output] = found[net] + 1
                        queue.append(output)
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def _clock_outputs(self, number: int, pin: str) -> Iterator[int]:
        cell, pins = self.cells[number], self.flat.instances[number].pins
        assert cell is not None
        if cell.kind not in ("combinational", "clock_gate"):
            return
        for name in cell.outputs:
            if name in pins and _arcs_from(cell, name, pin):
                yield pins[name]


@cache
def _arcs(cell: Cell, output: str) -> tuple[tuple[str, str, str, Table | None, Table | None], ...]:
    """(from pin, kind, sense, rise transition, fall transition) of all that switch an output."""
    return tuple(
        (arc.related_pin, arc.kind, arc.sense or "non_unate", arc.rise_transition,
         arc.fall_transition)
        for arc in cell.pins[output].timing
        if arc.related_pin in cell.pins and (arc.rise_transition or arc.fall_transition)
    )  # fmt: skip


@cache
def _arcs_from(cell: Cell, output: str, pin: str) -> bool:
    function = cell.pins[output].function
    return any(arc[0] == pin for arc in _arcs(cell, output)) or (
        function is not None and pin in function.pins
    )


# Slews --------------------------------------------------------------------------------------------

_FROM = {  # edges of the input that cause an output's (rise, fall): 0 is a rise, 1 a fall
    "positive_unate": ((0,), (1,)),
    "negative_unate": ((1,), (0,)),
    "non_unate": ((0, 1), (0, 1)),
}
_EDGE_OF_KIND = {"rising_edge": 0, "falling_edge": 1}


class _Surface:
    """One table for look-ups of single values, which numpy would make slow."""

    __slots__ = ("at", "table")

    def __init__(self, table: Table) -> None:
        self.table = table
        shapes = {
            (): lambda slew, load: float(table.values),
            ("input_transition",): lambda slew, load: self._line(slew),
            ("output_capacitance",): lambda slew, load: self._line(load),
        }
        if table.axes == ("input_transition", "output_capacitance"):
            self.at = self._plane()
        elif table.axes in shapes:
            self.at = shapes[table.axes]
        else:
            raise EnergyError(f"Cannot use a table over {', '.join(table.axes)}")

    def _line(self, value: float) -> float:
        return float(self.table.lookup(value))

    def _plane(self) -> Any:
        rows, columns = (list(map(float, axis)) for axis in self.table.index)
        values = [list(map(float, line)) for line in self.table.values]
        last_row, last_column = len(rows) - 2, len(columns) - 2
        if last_row < 0 or last_column < 0:
            return lambda slew, load: float(self.table.lookup(slew, load))

        def at(slew: float, load: float) -> float:
            row = 0
            while row < last_row and slew >= rows[row + 1]:
                row += 1
            column = 0
            while column < last_column and load >= columns[column + 1]:
                column += 1
            x = (slew - rows[row]) / (rows[row + 1] - rows[row])
            y = (load - columns[column]) / (columns[column + 1] - columns[column])
            low, high = values[row], values[row + 1]
            return (1 - x) * ((1 - y) * low[column] + y * low[column + 1]) + x * (
                (1 - y) * high[column] + y * high[column + 1]
            )

        return at


def _slews(wiring: _Wiring, clock_slews: Mapping[int, tuple[float, float]]) -> NDArray[np.float64]:
    """Largest transition times of every net, as OpenSTA's maximum delay calculation has them.

    Nets of `clock_slews` keep what is given; ports, and what macros drive, have 0.
    """
    surfaces: dict[int, _Surface] = {}
    result = [[0.0, 0.0] for _ in wiring.flat.nets]
    for net, (rise, fall) in clock_slews.items():
        result[net] = [rise, fall]
    waiting = [0] * len(wiring.flat.nets)
    users: list[list[int]] = [[] for _ in wiring.flat.nets]
    outputs: list[tuple[int, list[tuple[int, Any]]]] = []
    for instance, cell in zip(wiring.flat.instances, wiring.cells, strict=True):
        for name in cell.outputs if cell else ():
            net = instance.pins.get(name)
            if net is None or net in clock_slews:
                continue
            assert cell is not None
            sources = [
                (instance.pins[arc[0]], arc) for arc in _arcs(cell, name) if arc[0] in instance.pins
            ]
            for source, _ in sources:
                users[source].append(len(outputs))
            outputs.append((net, sources))
            waiting[net] += len(sources)

    queue = deque(net for net, count in enumerate(waiting) if not count)
    done = [False] * len(waiting)
    pending = [len(sources) for _, sources in outputs]
    stalled = iter(range(len(outputs)))
    while True:
        while queue:
            net = queue.popleft()
            if done[net]:
                continue
            done[net] = True
            for user in users[net]:
                target, sources = outputs[user]
                pending[user] -= 1
                if pending[user] == 0:
                    _switch(wiring, surfaces, result, target, sources)
                    waiting[target] -= len(sources)
                    if waiting[target] <= 0:
                        queue.append(target)
        for user in stalled:  # a loop, such as two latches may make: cut it at its first gate
            target, sources = outputs[user]
            if not done[target]:
                _switch(wiring, surfaces, result, target, sources)
                queue.append(target)
                break
        else:
            break
    return np.array(result).reshape(-1, 2)


def _switch(
    wiring: _Wiring,
    surfaces: dict[int, _Surface],
    result: list[list[float]],
    net: int,
    sources: list[tuple[int, Any]],
) -> None:
    """Raise a net's slews to those that any of its driver's arcs makes."""
    slew = result[net]
    load = (wiring.rise_f[net] + wiring.wire_f[net], wiring.fall_f[net] + wiring.wire_f[net])
    for source, (_, kind, sense, rise, fall) in sources:
        causes = _FROM[sense]
        if kind in _EDGE_OF_KIND:
            causes = ((_EDGE_OF_KIND[kind],),) * 2
        for edge, table in enumerate((rise, fall)):
            if table is None or (kind == "preset" and edge) or (kind == "clear" and not edge):
                continue
            surface = surfaces.get(id(table))
            if surface is None:
                surface = surfaces[id(table)] = _Surface(table)
            for cause in causes[edge]:
                slew[edge] = max(slew[edge], surface.at(result[source][cause], load[edge]))


def slews(
    flat: FlatNetlist, library: Library, wire_load: str | None = None, clock: str = "clk"
) -> NDArray[np.float64]:
    """Transition times of all nets, s, float (nets, 2): rise and fall; clock nets have 0.

    They are the largest that any arc makes, propagated from ports (0 s) through the library's
    tables, with the wire load's capacitance.
    """
    wiring = _Wiring(flat, library, _wire_load(library, wire_load), clock)
    return _slews(wiring, dict.fromkeys(wiring.clock_nets, (0.0, 0.0)))


def _wire_load(library: Library, name: str | None) -> WireLoad | None:
    if name is None:
        return None
    if name not in library.wire_loads:
        raise EnergyError(
            f"The library {library.name} has no wire load {name}; it has "
            f"{', '.join(library.wire_loads) or 'none'}: take one of these, or None"
        )
    return library.wire_loads[name]


# Energy of one kind of cell -----------------------------------------------------------------------


def _rising_from(cell: Cell, source: str, output: str) -> int:
    """Edge of `source` that goes with a rise of `output`: 0, a rise, unless the arc inverts."""
    for arc in cell.pins[output].timing:
        if arc.related_pin == source:
            return int(arc.sense == "negative_unate")
    return 0


def _table_energy(table: Table | None, slew: Any, load: Any) -> Any:
    return 0.0 if table is None else table.at(input_transition=slew, output_capacitance=load)


class _Group:
    """All instances of one cell: probabilities and toggles of their pins as arrays."""

    def __init__(
        self,
        cell: Cell,
        nets: NDArray[np.int64],
        activity: Activity,
        slew: NDArray[np.float64],
        load: NDArray[np.float64],
    ):
        self.cell = cell
        self._at = {name: place for place, name in enumerate(cell.pins)}
        self._used = nets >= 0
        self.toggles = np.where(self._used, activity.toggles[nets], 0.0)
        self._high = np.where(self._used, activity.high[nets], 0.0)
        self._slew = np.where(self._used[:, :, None], slew[nets], 0.0)
        self._load = np.where(self._used, load[nets], 0.0)

    def toggles_of(self, name: str) -> NDArray[np.float64]:
        return self.toggles[:, self._at[name]]

    def load_of(self, name: str) -> NDArray[np.float64]:
        return self._load[:, self._at[name]]

    def probability(self, expression: Expression) -> Any:
        """Of a 1, pins being independent; nodes within the cell are 1 half of the time."""
        return expression.probability(
            {
                pin: self._high[:, self._at[pin]] if pin in self._at else 0.5
                for pin in expression.pins
            }
        )

    def sensitized(self, function: Expression, pin: str) -> Any:
        """Probability that a change of `pin` changes the function."""
        others = [name for name in function.pins if name != pin]
        table = function.truth_table([pin, *others])
        differs = table[0::2] != table[1::2]
        result: Any = 0.0
        for state in np.flatnonzero(differs):
            weight: Any = 1.0
            for place, name in enumerate(others):
                high = self._high[:, self._at[name]] if name in self._at else 0.5
                weight = weight * (high if state >> place & 1 else 1 - high)
            result = result + weight
        return result

    def input_energy(self, pin: Pin) -> Any:
        """Internal energy of an input's own transitions, (instances,)."""
        slew = self._slew[:, self._at[pin.name]]
        energy: Any = 0.0
        for power in pin.internal_power:
            each = (
                _table_energy(power.rise, slew[:, 0], 0.0)
                + _table_energy(power.fall, slew[:, 1], 0.0)
            ) / 2
            energy = energy + each * self._input_weight(pin, power.when)
        return energy * self.toggles_of(pin.name)

    def _input_weight(self, pin: Pin, when: Expression | None) -> Any:
        if when is None:
            return 1.0
        for name in when.pins:
            output = self.cell.pins.get(name)
            if output is not None and output.direction == "output":
                if output.function is not None and pin.name in output.function.pins:
                    return self.sensitized(output.function, pin.name)
                break
        return self.probability(when)

    def output_energy(self, pin: Pin) -> Any:
        """Internal energy of an output's transitions, (instances,): its tables' by weight."""
        weights = []
        sums: dict[str | None, Any] = {}
        for power in pin.internal_power:
            weight: Any = 0.0
            if power.related_pin in self._at:
                assert power.related_pin is not None
                weight = self._duty(pin, power) * self.toggles_of(power.related_pin)
            weights.append(weight)
            sums[power.supply_pin] = sums.get(power.supply_pin, 0.0) + weight
        energy: Any = 0.0
        load = self.load_of(pin.name)
        for power, weight in zip(pin.internal_power, weights, strict=True):
            total = np.broadcast_to(sums[power.supply_pin], load.shape)
            share = np.divide(weight, total, out=np.zeros(load.shape), where=total > 0)
            if not share.any():
                continue
            assert power.related_pin is not None
            slew = self._slew[:, self._at[power.related_pin]]
            edge = _rising_from(self.cell, power.related_pin, pin.name)
            each = (
                _table_energy(power.rise, slew[:, edge], load)
                + _table_energy(power.fall, slew[:, 1 - edge], load)
            ) / 2
            energy = energy + share * each
        return energy * self.toggles_of(pin.name)

    def _duty(self, pin: Pin, power: Any) -> Any:
        if pin.function is not None and power.related_pin in pin.function.pins:
            return self.sensitized(pin.function, power.related_pin)
        return self.probability(power.when) if power.when is not None else 0.5

    def leakage_w(self) -> Any:
        """Leakage by state; what the states leave out leaks as the cell without a state does."""
        power: Any = 0.0
        covered: Any = 0.0
        for when, leakage in self.cell.leakage_when:
            probability = self.probability(when)
            power = power + leakage * probability
            covered = covered + (probability if leakage > 0 else 0.0)
        return power + self.cell.leakage_w * np.maximum(0.0, 1.0 - covered)


class _OldGroup(_Group):
    """The same by the rules of OpenSTA of 2019, which Debian packages.

    It adds the energies of a rise and a fall where newer ones take their mean, and halves that for
    most tables: for those related to a clock pin, or to a function's only input, it does not, so
    that these count twice. Weights are not made to add up to 1.
    """

    def __init__(self, *arguments: Any, is_clock: NDArray[np.bool_]):
        super().__init__(*arguments)
        self._is_clock = is_clock

    def input_energy(self, pin: Pin) -> Any:
        return self._old_energy(pin)

    def output_energy(self, pin: Pin) -> Any:
        return self._old_energy(pin)

    def _old_energy(self, pin: Pin) -> Any:
        energy: Any = 0.0
        load = self.load_of(pin.name) if pin.direction == "output" else 0.0
        for power in pin.internal_power:
            source = power.related_pin or pin.name
            slew = self._slew[:, self._at[source]]
            each = _table_energy(power.rise, slew[:, 0], load) + _table_energy(
                power.fall, slew[:, 1], load
            )
            energy = energy + each * self._old_duty(pin, power, source)
        return energy * self.toggles_of(pin.name)

    def _old_duty(self, pin: Pin, power: Any, source: str) -> Any:
        if power.when is not None:
            return self.probability(power.when)
        if power.related_pin is not None and pin.function is not None:
            inferred = _inferred_when(pin.function.tree, source)
            if inferred is not None:
                duty = _probability(inferred, lambda name: self._high[:, self._at[name]])
                toggles = self.toggles_of(pin.name)
                ratio = np.divide(
                    self.toggles_of(source), toggles, out=np.zeros_like(toggles), where=toggles > 0
                )
                return ratio * duty
        return np.where(self._is_clock[:, self._at[source]], 1.0, 0.5)

    def leakage_w(self) -> Any:
        return self.cell.leakage_w


def _is_pin(tree: tuple, name: str) -> bool:
    return tree in (("pin", name), ("not", ("pin", name)))


def _inferred_when(tree: tuple, source: str) -> tuple | None:
    """State in which old OpenSTA takes `source` to reach the output: of the last operation only."""
    if tree[0] == "not":
        return _inferred_when(tree[1], source)
    if tree == ("pin", source):
        return ("constant", 1)
    if tree[0] in ("and", "or", "xor"):
        for this, other in ((tree[1], tree[2]), (tree[2], tree[1])):
            if _is_pin(this, source):
                return other if tree[0] == "and" else ("not", other)
    return None


def _probability(tree: tuple, high: Any) -> Any:
    if tree[0] == "constant":
        return float(tree[1])
    if tree[0] == "pin":
        return high(tree[1])
    if tree[0] == "not":
        return 1 - _probability(tree[1], high)
    a, b = _probability(tree[1], high), _probability(tree[2], high)
    return {"and": a * b, "or": 1 - (1 - a) * (1 - b), "xor": a * (1 - b) + b * (1 - a)}[tree[0]]


# The estimated clock tree -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Level:
    buffer: Cell
    buffers: int
    loads: int
    load_f: float
    slew_s: tuple[float, float]  # at its output
    energy_j: float  # per transition, of all its buffers and the nets they drive


def _clock_buffers(library: Library) -> list[Cell]:
    """Buffers made for clocks, by their name; all buffers where a library has none."""
    buffers = [
        cell
        for cell in library.cells.values()
        if cell.kind == "combinational"
        and len(cell.inputs) == len(cell.outputs) == 1
        and (function := cell.pins[cell.outputs[0]].function) is not None
        and function.tree == ("pin", cell.inputs[0])
        and _arcs(cell, cell.outputs[0])
        and not cell.dont_use
        and "dly" not in cell.name.lower()  # delay cells, and those for supplies that are switched
        and "lpflow" not in cell.name.lower()
    ]
    return [cell for cell in buffers if "clk" in cell.name.lower()] or buffers


class _TreeEstimator:
    """Levels of clock buffers between a driver and its loads, at the least energy."""

    def __init__(self, library: Library, wire: WireLoad | None):
        self._library, self._wire = library, wire
        self._buffers = _clock_buffers(library)
        self._best = cache(self._search)

    def wire_f(self, loads: int) -> float:
        return 0.0 if self._wire is None else self._wire.capacitance_f(loads)

    def estimate(
        self, sinks: int, load_f: float, driver: Cell | None, output: str | None
    ) -> tuple[_Level, ...]:
        """Levels from the source on; none where the driver keeps the slew by itself.

        Parameters
        ----------
        sinks : int
            Loads of the net; `load_f` is the capacitance of their pins together.
        driver : Cell, optional
            What drives the net from its pin `output`; None for a port, which drives one buffer.
        """
        if sinks == 0 or self._drives(driver, output, load_f + self.wire_f(sinks)):
            return ()
        found = self._best(sinks, round(load_f / sinks, 18), driver, output, 0)
        if found is None:
            raise EnergyError(
                f"No clock tree for {sinks} loads: the buffers of {self._library.name} cannot "
                f"keep slews under {CLOCK_SLEW_S:g} s"
            )
        return found[1]

    def _drives(self, driver: Cell | None, output: str | None, load_f: float) -> bool:
        if driver is None:
            return False
        assert output is not None
        limit = driver.pins[output].max_capacitance_f
        return (limit is None or load_f <= limit) and max(
            _output_slew(driver, output, load_f)
        ) <= CLOCK_SLEW_S

    def _search(
        self, loads: int, each_f: float, driver: Cell | None, output: str | None, depth: int
    ) -> tuple[float, tuple[_Level, ...]] | None:
        if depth > 6 or (loads == 1 and depth and driver is None):
            return None
        best: tuple[float, tuple[_Level, ...]] | None = None
        for buffer in self._buffers:
            for fanout in _TREE_FANOUTS:
                fanout = min(fanout, loads)
                level = self._level(buffer, loads, fanout, each_f)
                if level is None:
                    continue
                pin_f = _mean_f(buffer.pins[buffer.inputs[0]])
                above: tuple[float, tuple[_Level, ...]] | None
                if level.buffers == 1 and driver is None:
                    above = (0.0, ())
                elif self._drives(
                    driver,
                    output,
                    level.buffers * pin_f + self.wire_f(level.buffers),
                ):
                    above = (0.0, ())
                elif level.buffers < loads:
                    above = self._best(level.buffers, round(pin_f, 18), driver, output, depth + 1)
                else:
                    above = None
                if above is None:
                    continue
                total = above[0] + level.energy_j
                if best is None or total < best[0]:
                    best = (total, (*above[1], level))
        return best

    def _level(self, buffer: Cell, loads: int, fanout: int, each_f: float) -> _Level | None:
        buffers = -(-loads // fanout)
        fullest = -(-loads // buffers)
        output = buffer.outputs[0]
        if not self._drives(buffer, output, fullest * each_f + self.wire_f(fullest)):
            return None
        load_f = loads / buffers * each_f + self.wire_f(fullest)
        slew = _output_slew(buffer, output, load_f)
        internal = 0.0
        for power in buffer.pins[output].internal_power:
            internal += 0.5 * float(
                _table_energy(power.rise, slew[0], load_f)
                + _table_energy(power.fall, slew[1], load_f)
            )
        for power in buffer.pins[buffer.inputs[0]].internal_power:
            internal += 0.5 * float(
                _table_energy(power.rise, slew[0], 0.0) + _table_energy(power.fall, slew[1], 0.0)
            )
        switching = 0.5 * load_f * self._library.voltage_v**2
        return _Level(buffer, buffers, fullest, load_f, slew, buffers * (internal + switching))

    def source_f(self, levels: Sequence[_Level]) -> float:
        """What the source drives: the inputs of the first level's buffers, and the wire to them."""
        first = levels[0]
        pins_f = first.buffers * _mean_f(first.buffer.pins[first.buffer.inputs[0]])
        return pins_f + self.wire_f(first.buffers)


def _mean_f(pin: Pin) -> float:
    return max(pin.rise_capacitance_f, pin.fall_capacitance_f)


@cache
def _output_slew(cell: Cell, output: str, load_f: float) -> tuple[float, float]:
    """Rise and fall of a buffer in a tree of its like: its input is as slow as its output."""
    slew = (0.0, 0.0)
    for _ in range(3):  # converges at once: an output hardly depends on its input's slew
        now = [0.0, 0.0]
        for _, kind, sense, rise, fall in _arcs(cell, output):
            causes = _FROM[sense]
            if kind in _EDGE_OF_KIND:
                causes = ((_EDGE_OF_KIND[kind],),) * 2
            for edge, table in enumerate((rise, fall)):
                for cause in causes[edge] if table is not None else ():
                    now[edge] = max(now[edge], float(_table_energy(table, slew[cause], load_f)))
        slew = (now[0], now[1])
    return slew


# Energy of a netlist ------------------------------------------------------------------------------


def energy(
    flat: FlatNetlist,
    library: Library,
    activity: Activity,
    wire_load: str | None = None,
    clock_tree: bool = False,
    rules: str = "current",
    clock: str = "clk",
    macro_pin_f: float = 5e-15,
    wire_factor: float = 1.0,
) -> EnergyReport:
    """Energy of a netlist over the cycles of an activity.

    Parameters
    ----------
    flat : FlatNetlist
    library : Library
        Instances of cells it has not (macros) spend nothing and load nothing.
    activity : Activity
        By the netlist's net numbers.
    wire_load : str, optional
        One of the library's wire-load models; None: ideal wires.
    clock_tree : bool
        Estimate buffers between a clock net's driver and its loads. Without, clock nets have ideal
        edges, as in OpenSTA before clock-tree synthesis.
    rules : str
        How internal power tables are weighted: ``current`` OpenSTA, or ``2019``, Debian's.
    clock : str
        Port of the clock.
    macro_pin_f : float
        Capacitance of an input pin of a macro that the library has not.
    wire_factor : float
        Wires have this many times the capacitance that the wire-load model says.

    Raises
    ------
    EnergyError
        If the activity has not one entry a net, a cell lacks a pin, the wire-load model or the
        clock port is not there, or the library cannot buffer a clock.
    """
    if len(activity.toggles) != len(flat.nets):
        raise EnergyError(
            f"The activity is of {len(activity.toggles)} nets and the netlist has "
            f"{len(flat.nets)}: it was simulated on another netlist"
        )
    if rules not in ("current", "2019"):
        raise ValueError(f"The rules must be current or 2019, not {rules!r}")
    if not wire_factor > 0:
        raise ValueError(f"Wires must have a positive factor, not {wire_factor!r}")
    wire = _wire_load(library, wire_load)
    if wire is not None:
        wire = replace(wire, capacitance_per_length_f=wire.capacitance_per_length_f * wire_factor)
    wiring = _Wiring(flat, library, wire, clock)
    load = np.array([wiring.load_f(net) for net in range(len(flat.nets))])

    trees: dict[int, tuple[_Level, ...]] = {}
    clock_slews = dict.fromkeys(wiring.clock_nets, (0.0, 0.0))
    if rules == "2019":  # which gives the edges behind a clock gate the slew that the gate makes
        clock_slews = {net: slew for net, slew in clock_slews.items() if not wiring.drivers[net]}
    if clock_tree:
        estimator = _TreeEstimator(library, wire)
        for net in wiring.clock_nets:
            driver, output = _driver(wiring, net)
            pins_f = max(wiring.rise_f[net], wiring.fall_f[net])
            levels = estimator.estimate(len(wiring.loads[net]), pins_f, driver, output)
            if levels:
                trees[net] = levels
                load[net] = estimator.source_f(levels)
                clock_slews[net] = levels[-1].slew_s
            elif driver is not None and output is not None:
                clock_slews[net] = _output_slew(driver, output, float(load[net]))

    slew = _slews(wiring, clock_slews)
    raw, clock_pins = _instances(wiring, activity, slew, load, rules)
    charged, outside = _charge(wiring, activity, load, raw, clock_pins, trees, macro_pin_f)
    return EnergyReport(
        paths=[instance.path for instance in flat.instances],
        blocks=_blocks(wiring),
        raw=raw,
        charged=charged,
        outside_j=outside,
        cycles=activity.cycles,
        period_s=activity.period_s,
        voltage_v=library.voltage_v,
        wire_load=wire_load,
        clock_trees=tuple(
            ClockTree(
                net=flat.nets[net],
                sinks=len(wiring.loads[net]),
                levels=tuple((level.buffer.name, level.buffers, level.loads) for level in levels),
                slew_s=max(levels[-1].slew_s),
            )
            for net, levels in trees.items()
        ),
        source=dict(activity.source),
        made_by={
            "library": library.name,
            "library_sha256": library.sha256,
            "corner": library.corner,
            "rules": f"OpenSTA's report_power, {rules}",
            "clock_tree": clock_tree,
            "wire_factor": wire_factor,
        },
    )


def _driver(wiring: _Wiring, net: int) -> tuple[Cell | None, str | None]:
    for number, output in wiring.drivers[net]:
        return wiring.cells[number], output
    return None, None


def _instances(
    wiring: _Wiring,
    activity: Activity,
    slew: NDArray[np.float64],
    load: NDArray[np.float64],
    rules: str,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """What OpenSTA reports of every instance, J, and what of it clock pins spend inside."""
    instances = wiring.flat.instances
    raw = {kind: np.zeros(len(instances)) for kind in ("internal", "switching", "leakage")}
    clock_pins = np.zeros(len(instances))
    is_clock = np.zeros(len(wiring.flat.nets), dtype=bool)
    is_clock[list(wiring.clock_nets)] = True
    members: dict[str, list[int]] = {}
    for number, instance in enumerate(instances):
        if wiring.cells[number] is not None:
            members.setdefault(instance.cell, []).append(number)
    for name, numbers in members.items():
        cell = wiring.library.cells[name]
        nets = np.array(
            [[instances[number].pins.get(pin, -1) for pin in cell.pins] for number in numbers]
        ).reshape(len(numbers), len(cell.pins))
        clocked = is_clock[nets] & (nets >= 0)
        group: _Group
        if rules == "2019":
            group = _OldGroup(cell, nets, activity, slew, load, is_clock=clocked)
        else:
            group = _Group(cell, nets, activity, slew, load)
        for place, pin in enumerate(cell.pins.values()):
            if pin.direction == "input":
                spent = np.broadcast_to(group.input_energy(pin), len(numbers))
                clock_pins[numbers] += np.where(clocked[:, place], spent, 0.0)
            elif pin.direction == "output":
                spent = np.broadcast_to(group.output_energy(pin), len(numbers))
                switched = 0.5 * wiring.library.voltage_v**2 * group.load_of(pin.name)
                raw["switching"][numbers] += switched * group.toggles_of(pin.name)
            else:
                continue
            raw["internal"][numbers] += spent
        raw["leakage"][numbers] += group.leakage_w() * activity.time_s
    return raw, clock_pins


def _charge(
    wiring: _Wiring,
    activity: Activity,
    load: NDArray[np.float64],
    raw: Mapping[str, NDArray[np.float64]],
    clock_pins: NDArray[np.float64],
    trees: Mapping[int, Sequence[_Level]],
    macro_pin_f: float,
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Put every energy where it is caused (EnergyReport.charged), and sum what is not raw."""
    charged = {kind: raw[kind].copy() for kind in raw}
    charged["internal"] -= clock_pins
    charged["clock"] = clock_pins.copy()
    switched = 0.5 * wiring.library.voltage_v**2 * load * activity.toggles
    outside = 0.0

    passes_to = _clock_cells(wiring)
    pots = dict.fromkeys(wiring.clock_nets, 0.0)
    for number, net in passes_to.items():
        pots[net] += sum(float(raw[kind][number]) for kind in raw)
        for kind in charged:
            charged[kind][number] = 0.0
    for net in wiring.clock_nets:  # from the source on, so that every pot is full when it is shared
        if not wiring.drivers[net]:
            pots[net] += switched[net]
            outside += switched[net]
        for level in trees.get(net, ()):
            pots[net] += level.energy_j * activity.toggles[net]
            outside += level.energy_j * activity.toggles[net]
        for number, share in _shares(wiring, net):
            if number in passes_to:
                pots[passes_to[number]] += share * pots[net]
            else:
                charged["clock"][number] += share * pots[net]
        if not wiring.loads[net]:  # a gate that nothing uses
            for number, _ in wiring.drivers[net][:1]:
                charged["clock"][number] += pots[net]

    for net, drivers in enumerate(wiring.drivers):
        if not drivers and net not in wiring.clock_nets:
            for number, share in _shares(wiring, net):
                charged["switching"][number] += share * switched[net]
                outside += share * switched[net]
    for instance, cell in zip(wiring.flat.instances, wiring.cells, strict=True):
        for net in instance.pins.values() if cell is None else ():
            pin_j = 0.5 * macro_pin_f * wiring.library.voltage_v**2 * activity.toggles[net]
            for number, _ in wiring.drivers[net][:1]:
                kind = "clock" if number in passes_to else "switching"
                charged[kind][number] += pin_j
                outside += pin_j
    return charged, outside


def _shares(wiring: _Wiring, net: int) -> list[tuple[int, float]]:
    """Parts of a net's loads, by pin capacitance; they add up to 1."""
    loads = []
    for number, name in wiring.loads[net]:
        cell = wiring.cells[number]
        assert cell is not None
        loads.append((number, _mean_f(cell.pins[name])))
    total = sum(each_f for _, each_f in loads)
    if total > 0:
        return [(number, each_f / total) for number, each_f in loads]
    return [(number, 1 / len(loads)) for number, _ in loads]


def _clock_cells(wiring: _Wiring) -> dict[int, int]:
    """Instances that are clock and nothing else, to the clock net that what they spend is for.

    These drive clock nets; a latch that only gates such a cell (where a library has no clock gate)
    is one of them.
    """
    cells: dict[int, int] = {}
    for net in wiring.clock_nets:
        for number, _ in wiring.drivers[net]:
            cells.setdefault(number, net)
    for number, cell in enumerate(wiring.cells):
        if cell is not None and cell.kind == "latch":
            pins = wiring.flat.instances[number].pins
            users = [
                user
                for name in cell.outputs
                if name in pins
                for user, _ in wiring.loads[pins[name]]
            ]
            if users and all(user in cells for user in users):
                cells[number] = cells[users[0]]
    return cells


def _blocks(wiring: _Wiring) -> list[str]:
    """Block of every instance, with a bank's gates between macros and popcount as ``masks``."""
    blocks = [wiring.flat.block_of(instance.path) for instance in wiring.flat.instances]
    found: set[int] = set()
    queue: deque[int] = deque()
    for number, instance in enumerate(wiring.flat.instances):
        if blocks[number] == "macro":
            cell = wiring.cells[number]
            queue += [
                net
                for name, net in instance.pins.items()
                if wiring.comes_from_outside(net) or (cell is not None and name in cell.outputs)
            ]
    while queue:
        for number, _ in wiring.loads[queue.popleft()]:
            cell = wiring.cells[number]
            in_bank = blocks[number] in ("bank", "row store")
            if not in_bank or cell is None or cell.kind != "combinational":
                continue
            if number not in found:
                found.add(number)
                pins = wiring.flat.instances[number].pins
                queue += [pins[name] for name in cell.outputs if name in pins]
    return ["masks" if number in found else block for number, block in enumerate(blocks)]


# Held against OpenSTA -----------------------------------------------------------------------------


def uniform(
    flat: FlatNetlist,
    library: Library,
    toggles_per_cycle: float,
    duty: float = 0.5,
    period_s: float = 10e-9,
    clock: str = "clk",
) -> Activity:
    """What OpenSTA's `set_power_activity -global` means: the same for every net but clocks.

    Clock nets, gated ones too, toggle twice a cycle and are high half of the time; constants do not
    toggle.

    Parameters
    ----------
    toggles_per_cycle : float
        OpenSTA's `-activity`, 0 or more.
    duty : float
        Fraction of the time at 1, OpenSTA's `-duty`.
    """
    if not toggles_per_cycle >= 0 or not 0 <= duty <= 1:
        raise ValueError(
            f"A uniform activity has 0 or more toggles a cycle and a duty from 0 to 1, not "
            f"{toggles_per_cycle!r} and {duty!r}"
        )
    wiring = _Wiring(flat, library, None, clock)
    toggles = np.full(len(flat.nets), float(toggles_per_cycle))
    high = np.full(len(flat.nets), float(duty))
    for net, drivers in enumerate(wiring.drivers):
        for number, output in drivers:
            cell = wiring.cells[number]
            if cell is not None and cell.kind == "tie":
                function = cell.pins[output].function
                toggles[net], high[net] = 0.0, bool(function and function.probability({}))
        if not drivers and flat.nets[net] in ("0", "1"):
            toggles[net], high[net] = 0.0, float(flat.nets[net])
    clocks = list(wiring.clock_nets)
    toggles[clocks], high[clocks] = 2.0, 0.5
    return Activity(
        cycles=1,
        period_s=period_s,
        toggles=toggles,
        high=high,
        source={"workload": f"{toggles_per_cycle:g} toggles a cycle on every net, duty {duty:g}"},
    )


#: Columns of report_power.
_STA_KINDS = ("internal", "switching", "leakage")

_STA_SCRIPT = """\
{read_liberties}
read_verilog {verilog}
link_design {top}
{wire_load}
create_clock -name clock -period {period} [get_ports {clock}]
set data_inputs {{}}
foreach port [all_inputs] {{
  if {{[get_property $port full_name] != "{clock}"}} {{ lappend data_inputs $port }}
}}
if {{[llength $data_inputs]}} {{ set_input_delay 0 -clock clock $data_inputs }}
set_power_activity -global -activity {activity} -duty {duty}
report_power -digits 6
report_power -digits 6 -instances [get_cells -hierarchical *]
"""


def opensta_power(
    netlist: Netlist,
    library: Library,
    toggles_per_cycle: float,
    duty: float = 0.5,
    period_s: float = 10e-9,
    wire_load: str | None = None,
    liberties: Iterable[Path] = (),
    flat: FlatNetlist | None = None,
    clock: str = "clk",
) -> dict[str, Any]:
    """Power that OpenSTA reports for a netlist with the same activity on every net.

    Parameters
    ----------
    toggles_per_cycle, duty
        As in `uniform`.
    liberties : iterable of Path
        More libraries to read, such as a macro's.

    Returns
    -------
    dict
        ``total``: W by ``internal``, ``switching``, ``leakage`` and ``total``; ``instances``: the
        first three of every instance; ``by_block``: their sums by block, as
        EnergyReport.opensta_by_block has them.

    Raises
    ------
    OpenStaError
        If OpenSTA is missing or fails, or does not report every instance.
    """
    if flat is None:
        from synthesis.netlist import flatten

        flat = flatten(netlist)
    _wire_load(library, wire_load)
    with tempfile.TemporaryDirectory() as scratch:
        liberty = library.plain_text_path()
        if wire_load is None and library.default_wire_load is not None:
            # Ideal wires: there is no command against a library's default.
            text = re.sub(r"\bdefault_wire_load\s*:[^;\n]*;?", "", liberty.read_text())
            liberty = Path(scratch) / "without_default_wire_load.lib"
            liberty.write_text(text)
        model = f"set_wire_load_mode top\nset_wire_load_model -name {wire_load}"
        printed = run_sta(
            _STA_SCRIPT.format(
                read_liberties="\n".join(f"read_liberty {path}" for path in (liberty, *liberties)),
                verilog=netlist.file("_sta.v").resolve(),
                top=netlist.top_module,
                wire_load="" if wire_load is None else model,
                period=period_s / 1e-9,
                clock=clock,
                activity=toggles_per_cycle,
                duty=duty,
            )
        )
    return _parse_power(printed, flat, library, clock)


def opensta_activity_power(
    flat: FlatNetlist,
    library: Library,
    activity: Activity,
    wire_load: str | None = None,
    clock: str = "clk",
) -> dict[str, Any]:
    """Power that OpenSTA reports with a given activity on every net but clocks.

    OpenSTA of 2019 keeps the activity given for a pin (by a command that its manual has not) unless
    it can propagate one to it from an input or through a register. So it gets the netlist flat, a
    flip-flop that holds its value as the driver of each net that comes from outside, and a library
    whose registers say nothing of their state.

    Parameters
    ----------
    activity : Activity
        That of clock nets is not used: to OpenSTA they toggle twice a cycle, the gated ones too
        (`with_running_clocks` is the activity to compare with).

    Returns
    -------
    dict
        As `opensta_power`; tie cells and macros are left out, and ``total`` is the instances' sum.

    Raises
    ------
    OpenStaError
        If OpenSTA is missing or fails.
    EnergyError
        If the library has no plain flip-flop.
    """
    wiring = _Wiring(flat, library, _wire_load(library, wire_load), clock)
    holder, data, clocked, output = _plain_flip_flop(library)
    source = flat.ports[clock][1][0]
    names = [clock if net == source else f"n{net}" for net in range(len(flat.nets))]
    per_cycle = activity.toggles / activity.cycles
    verilog = [f"module netlist({clock}); input {clock}; wire {clock};"]
    verilog += [f"wire {name};" for net, name in enumerate(names) if net != source]
    commands = []

    def add(name: str, cell: str, pins: Mapping[str, int]) -> None:
        connections = ", ".join(f".{pin}({names[net]})" for pin, net in pins.items())
        verilog.append(f"{cell} {name} ({connections});")
        for pin, net in pins.items():
            commands.append(
                f"sta::set_power_pin_activity [get_pins {name}/{pin}] "
                f"{per_cycle[net]:.7g} {activity.high[net]:.7g}"
            )

    paths = {}
    for number, (instance, cell) in enumerate(zip(flat.instances, wiring.cells, strict=True)):
        if cell is not None and cell.kind != "tie":
            paths[f"i{number}"] = instance.path
            add(f"i{number}", instance.cell, instance.pins)
    for net, drivers in enumerate(wiring.drivers):
        driven = any(f"i{number}" in paths for number, _ in drivers)
        if net != source and not driven:
            add(f"h{net}", holder.name, {clocked: source, data: net, output: net})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "netlist.v").write_text("\n".join([*verilog, "endmodule"]) + "\n")
        (folder / "stateless.lib").write_text(_stateless(library))
        printed = run_sta(
            "\n".join([
                "read_liberty stateless.lib",
                "read_verilog netlist.v",
                "link_design netlist",
                f"create_clock -name clock -period {activity.period_s / 1e-9} [get_ports {clock}]",
                *([] if wire_load is None else [
                    f"set_wire_load_mode top\nset_wire_load_model -name {wire_load}"]),
                *commands,
                "report_power -digits 6 -instances [get_cells *]",
            ]),
            folder,
        )  # fmt: skip
    instances = {
        paths[words[4]]: dict(zip(_STA_KINDS, map(float, words[:3]), strict=True))
        for words in map(str.split, printed.splitlines())
        if len(words) == 5 and words[4] in paths
    }
    missing = set(paths.values()) - set(instances)
    if missing:
        raise OpenStaError(f"OpenSTA reported no power of {len(missing)} instances")
    total = {kind: sum(powers[kind] for powers in instances.values()) for kind in _STA_KINDS}
    return {
        "total": total | {"total": sum(total.values())},
        "instances": instances,
        "by_block": _sum_by_block(wiring, instances),
    }


def with_running_clocks(
    flat: FlatNetlist, library: Library, activity: Activity, clock: str = "clk"
) -> Activity:
    """The activity with every clock net, gated ones too, toggling twice a cycle."""
    clocks = list(_Wiring(flat, library, None, clock).clock_nets)
    toggles, high = activity.toggles.copy(), activity.high.copy()
    toggles[clocks], high[clocks] = 2.0 * activity.cycles, 0.5
    return replace(activity, toggles=toggles, high=high)


def _plain_flip_flop(library: Library) -> tuple[Cell, str, str, str]:
    """A flip-flop with nothing but data, clock and output, and the names of these pins."""
    for cell in library.cells.values():
        state = cell.state
        if cell.kind != "flip_flop" or state is None or len(cell.inputs) != 2:
            continue
        if state.next_state is None or state.clocked_on is None or len(cell.outputs) != 1:
            continue
        if state.next_state.tree[0] == state.clocked_on.tree[0] == "pin":
            return cell, state.next_state.tree[1], state.clocked_on.tree[1], cell.outputs[0]
    raise EnergyError(f"The library {library.name} has no plain flip-flop")


def _stateless(library: Library) -> str:
    """The library's text without what its registers hold, and without a default wire load."""
    states = {
        name
        for cell in library.cells.values()
        if cell.state is not None
        for name in (cell.state.variable, cell.state.inverted)
    }
    text = library.plain_text_path().read_text()
    text = re.sub(r"\bdefault_wire_load\s*:[^;\n]*;?", "", text)
    text = re.sub(r"\b(ff|latch)\s*\([^)]*\)\s*\{[^}]*\}", "", text)
    return re.sub(
        r"\bfunction\s*:\s*\"([^\"]*)\"\s*;",
        lambda found: "" if states & set(re.findall(r"\w+", found[1])) else found[0],
        text,
    )


def _sum_by_block(
    wiring: _Wiring, instances: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    by_block: dict[str, dict[str, float]] = {}
    for instance, block in zip(wiring.flat.instances, _blocks(wiring), strict=True):
        if instance.path in instances:
            sums = by_block.setdefault(block, dict.fromkeys(_STA_KINDS, 0.0))
            for kind in _STA_KINDS:
                sums[kind] += instances[instance.path][kind]
    return by_block


def _parse_power(text: str, flat: FlatNetlist, library: Library, clock: str) -> dict[str, Any]:
    wiring = _Wiring(flat, library, None, clock)
    known = {instance.path for instance in flat.instances}
    instances: dict[str, dict[str, float]] = {}
    total: dict[str, float] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5 and words[0] == "Total":
            total = dict(zip((*_STA_KINDS, "total"), map(float, words[1:5]), strict=True))
        elif len(words) == 5 and (path := words[4].replace("\\", "")) in known:
            instances[path] = dict(zip(_STA_KINDS, map(float, words[:3]), strict=True))
    missing = {
        instance.path
        for instance, cell in zip(flat.instances, wiring.cells, strict=True)
        if cell is not None
    } - set(instances)
    if missing or not total:
        raise OpenStaError(
            f"OpenSTA reported no power of {len(missing)} instances, such as "
            f"{', '.join(sorted(missing)[:3])}: the netlists are not the same"
        )
    return {
        "total": total,
        "instances": instances,
        "by_block": _sum_by_block(wiring, instances),
    }
