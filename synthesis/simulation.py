"""Event-driven simulation of a netlist: what every net does, glitches included.

A recorded run of the RTL (`synthesis.traces`) drives the netlist, whose outputs are held against
the recorded ones at the end of every cycle. Two kinds of delays:

- ``liberty``: every arc of every cell has the delay its Liberty table gives for the load it drives
  and the slew that arrives, rise and fall apart, slews propagated once from the inputs on, the
  worst of the arcs being passed on as static timing analysis does. Pulses shorter than a gate's
  delay do not pass it (inertial delays). Where a cell's arc has several tables (`when`, timing
  sense), those that fit the edges are averaged.
- ``zero``: after each clock edge every net goes to its final value at once. No glitches.

The clock network, which is all gates between the port `clk` and clock pins, clock-gating cells
included, has no delay in either: as if a balanced clock tree had been built. Flip-flops therefore
sample what their inputs held before the edge, on whatever gated clock they are.

Flip-flops and latches without a reset hold 0 at first. So they do in the Verilated RTL: outputs are
compared from the first cycle after the reset on, all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from tqdm import tqdm

from synthesis.activity import Activity
from synthesis.library import Cell, Expression, Library, Pin, Table
from synthesis.netlist import FlatNetlist
from synthesis.traces import Trace

__all__ = ["CLOCK", "MACRO", "SimulationError", "simulate"]

#: Port of the netlist that the clock comes in at.
CLOCK = "clk"

#: Cell that is a black box: its outputs are stimulus.
MACRO = "heliobit_macro"

#: Time step of the simulator, seconds.
_STEP_S = 1e-12

#: Kinds of elements for the kernels.
_COMBINATIONAL, _FLIP_FLOP, _LATCH = 0, 1, 2

#: Changes of nets in a cycle that a waveform has room for.
_LOG = 1 << 22

#: Cycles that a kernel runs between two steps of the progress bar.
_CHUNK = 100


class SimulationError(RuntimeError):
    """The netlist cannot be simulated, or does not do what the RTL does."""


# Cells as tables ----------------------------------------------------------------------------------


class _Arc(NamedTuple):
    """A delay and an output slew, from an edge of an input pin to an edge of the output."""

    pin: int
    input_edge: int
    output_edge: int
    delay: Table
    slew: Table | None


@dataclass(frozen=True, eq=False)
class _Model:
    """One output of a cell: truth tables over its input pins, and its timing arcs.

    The tables follow each other in `tables`: the output and the next state over the inputs and, as
    highest bit, the state; then clock (or enable), clear and preset over the inputs.
    """

    kind: int
    inputs: tuple[str, ...]
    clock_pins: tuple[int, ...]
    tables: NDArray[np.uint8]
    arcs: tuple[_Arc, ...]


def _table(expression: Expression | None, order: tuple[str, ...]) -> NDArray[np.uint8]:
    """A function's truth table over `order`; all 0 without a function."""
    if expression is None:
        return np.zeros(1 << len(order), dtype=np.uint8)
    return expression.truth_table(order)


def _model(library: Library, cell: Cell, output: str) -> _Model:
    """Model of one output of a cell; SimulationError if this simulator has none."""
    pin = cell.pins[output]
    inputs = tuple(cell.inputs)
    if cell.kind in ("combinational", "tie") and pin.function is not None:
        kind, clock_pins, tables = _COMBINATIONAL, (), _table(pin.function, (*inputs, " "))
    elif cell.kind in ("flip_flop", "latch") and cell.state and pin.function is not None:
        state = cell.state
        inverted = state.inverted or " "
        next_state = state.next_state if cell.kind == "flip_flop" else state.data_in
        clock = state.clocked_on if cell.kind == "flip_flop" else state.enable
        assert next_state is not None and clock is not None
        kind = _FLIP_FLOP if cell.kind == "flip_flop" else _LATCH
        clock_pins = tuple(inputs.index(name) for name in clock.pins)
        tables = np.concatenate(
            [
                _with_state(pin.function, inputs, state.variable, inverted),
                _with_state(next_state, inputs, state.variable, inverted),
                _table(clock, inputs),
                _table(state.clear, inputs),
                _table(state.preset, inputs),
            ]
        )
    elif cell.kind == "clock_gate":
        kind, clock_pins, tables = _clock_gate_tables(cell, inputs)
    else:
        raise SimulationError(
            f"The simulator has no model of the library's cell {cell.name}, which the netlist uses"
        )
    return _Model(kind, inputs, clock_pins, tables, tuple(_arcs(pin, inputs, cell.kind)))


def _with_state(
    function: Expression, inputs: tuple[str, ...], variable: str, inverted: str
) -> NDArray[np.uint8]:
    """Truth table over the inputs and the state variable, whose inverse has a name of its own."""
    index = np.arange(2 << len(inputs))
    values = {name: (index >> place & 1).astype(np.uint8) for place, name in enumerate(inputs)}
    values[variable] = (index >> len(inputs) & 1).astype(np.uint8)
    values[inverted] = 1 - values[variable]
    return np.broadcast_to(function.evaluate(values), index.shape).astype(np.uint8)


def _clock_gate_tables(
    cell: Cell, inputs: tuple[str, ...]
) -> tuple[int, tuple[int, ...], NDArray[np.uint8]]:
    """A clock gate as a latch: open while the clock is at rest, its state gates the output."""
    kind = cell.clock_gate or ""
    roles = {cell.pins[name].clock_gate_role: place for place, name in enumerate(inputs)}
    known = kind.startswith(("latch_posedge", "latch_negedge"))
    if not known or "clock" not in roles or "enable" not in roles:
        raise SimulationError(
            f"The simulator knows clock gates with a latch, not {cell.name}, which is a {kind!r}"
        )
    index = np.arange(1 << len(inputs))
    clock = index >> roles["clock"] & 1
    enable = index >> roles["enable"] & 1
    if "test" in roles:
        enable = enable | (index >> roles["test"] & 1)
    whole = np.arange(2 << len(inputs))
    state = whole >> len(inputs) & 1
    level = whole >> roles["clock"] & 1
    positive = kind.startswith("latch_posedge")
    output = level & state if positive else level | (1 - state)
    still = np.zeros(len(index), dtype=np.uint8)
    parts = [output, np.tile(enable, 2), 1 - clock if positive else clock, still, still]
    return _LATCH, (roles["clock"],), np.concatenate(parts).astype(np.uint8)


def _arcs(pin: Pin, inputs: tuple[str, ...], kind: str) -> Iterable[_Arc]:
    """All edge-to-edge arcs to an output pin."""
    for arc in pin.timing:
        if arc.related_pin not in inputs:
            continue
        place = inputs.index(arc.related_pin)
        for edge, delay, slew in (
            (1, arc.cell_rise, arc.rise_transition),
            (0, arc.cell_fall, arc.fall_transition),
        ):
            if delay is None:
                continue
            if arc.kind == "rising_edge":
                edges: tuple[int, ...] = (1,)
            elif arc.kind == "falling_edge":
                edges = (0,)
            elif arc.sense == "positive_unate":
                edges = (edge,)
            elif arc.sense == "negative_unate":
                edges = (1 - edge,)
            else:
                edges = (0, 1)
            for input_edge in edges:
                yield _Arc(place, input_edge, edge, delay, slew)


class _Tables:
    """Liberty's tables in flat arrays, over input transition and output capacitance."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._kept: list[Table] = []
        self._start: list[int] = []
        self._rows: list[int] = []
        self._columns: list[int] = []
        self._numbers: list[NDArray[np.float64]] = []
        self._used = 0

    def add(self, table: Table) -> int:
        """The number of a table."""
        number = self._known.get(id(table))
        if number is not None:
            return number
        transitions, loads = np.zeros(1), np.zeros(1)
        for axis, index in zip(table.axes, table.index, strict=True):
            if axis == "input_transition":
                transitions = np.asarray(index, dtype=np.float64)
            elif axis == "output_capacitance":
                loads = np.asarray(index, dtype=np.float64)
            else:
                raise SimulationError(f"The simulator knows no delays over {axis}")
        values = np.asarray(table.values, dtype=np.float64)
        if values.size != len(transitions) * len(loads):
            raise SimulationError("A timing table of the Liberty file has not one value a point")
        numbers = np.concatenate([transitions, loads, values.ravel()])
        self._known[id(table)] = number = len(self._kept)
        self._kept.append(table)  # so that its id stays taken
        self._start.append(self._used)
        self._rows.append(len(transitions))
        self._columns.append(len(loads))
        self._numbers.append(numbers)
        self._used += len(numbers)
        return number

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Starts, rows, columns and numbers, for the kernel."""
        return (
            np.array(self._start, dtype=np.int64),
            np.array(self._rows, dtype=np.int64),
            np.array(self._columns, dtype=np.int64),
            np.concatenate(self._numbers) if self._numbers else np.zeros(1),
        )


# Netlist as arrays --------------------------------------------------------------------------------


class _Elements(NamedTuple):
    """A netlist for the kernels: one element a driven output pin.

    Attributes
    ----------
    cells : int64 array (elements, 12)
        What a kernel needs of an element, side by side in memory: columns below.
    in_clock_network : bool array (elements,)
    rank : int64 array (elements,)
        Each element comes after all that drive it; flip-flops have 0.
    tables : uint8 array
        Truth tables, see `_Model`.
    delay : int32 array
        Delays in time steps; of an arc at (pin * 2 + input edge) * 2 + output edge.
    fan_start : int64 array (nets + 1,), fan : int32 array (loads, 2)
        Loads of each net: elements, and which of their inputs.
    """

    cells: NDArray[np.int64]
    in_clock_network: NDArray[np.bool_]
    rank: NDArray[np.int64]
    tables: NDArray[np.uint8]
    delay: NDArray[np.int32]
    fan_start: NDArray[np.int64]
    fan: NDArray[np.int32]


#: Columns of `_Elements.cells`: kind, first place of its truth tables, combinations of its inputs,
#: net that it drives, first place of its delays ...
_KIND, _TABLE, _SIZE, _OUTPUT, _DELAY = range(5)
#: ... and what changes: inputs as index of the truth tables, state and clock level of flip-flops
#: and latches, time of the change that is due (-1: none) and its value, and neighbours in a list.
_INDEX, _STATE, _WAS_CLOCK, _DUE, _COMING, _NEXT, _PREVIOUS = range(5, 12)
#: Columns of what changes of a net: value, toggles, time at 1, and since when it is.
_VALUE, _TOGGLES, _HIGH, _SINCE = range(4)


class _State(NamedTuple):
    """What changes while a netlist is simulated, besides `_Elements.cells`.

    Attributes
    ----------
    nets : int64 array (nets, 4)
        Columns above.
    head : int32 array
        First elements of lists: of the changes due in a time step, or of what is to be looked at.
    buffer : int32 array (elements,)
    log : int64 array (changes, 3), logged : int64 array (1,)
        Time, net and value of each change, where a waveform is wanted; and how many.
    """

    nets: NDArray[np.int64]
    head: NDArray[np.int32]
    buffer: NDArray[np.int32]
    log: NDArray[np.int64]
    logged: NDArray[np.int64]


class _Stimulus(NamedTuple):
    """What comes from outside, cycle by cycle: nets in the order in which they change.

    `step` is the time step of the change within the cycle; `answers` are the nets held against
    `expected` at the end of each cycle.
    """

    nets: NDArray[np.int64]
    step: NDArray[np.int64]
    values: NDArray[np.uint8]
    answers: NDArray[np.int64]
    expected: NDArray[np.uint8]


def _compile(
    flat: FlatNetlist,
    library: Library,
    timed: bool,
    wire_load: str | None,
    port_load_f: float,
    macro_pin_f: float,
    input_slew_s: float,
    clock_slew_s: float,
) -> _Elements:
    models: dict[tuple[str, str], _Model] = {}
    chosen: list[_Model] = []
    output: list[int] = []
    pins: list[list[int]] = []
    nets = len(flat.nets)
    driver = np.full(nets, -1, dtype=np.int64)
    pin_load = np.zeros((nets, 2))
    fanout = np.zeros(nets, dtype=np.int64)
    for instance in flat.instances:
        if instance.cell == MACRO:
            for pin, net in instance.pins.items():
                if not pin.startswith("q"):
                    pin_load[net] += macro_pin_f
                    fanout[net] += 1
            continue
        cell = library.cell(instance.cell)
        for name in cell.inputs:
            if name not in instance.pins:
                raise SimulationError(
                    f"Pin {name} of {instance.path} ({cell.name}) is not connected: make the "
                    "netlist with `setundef`"
                )
            net, pin = instance.pins[name], cell.pins[name]
            pin_load[net] += pin.fall_capacitance_f, pin.rise_capacitance_f
            fanout[net] += 1
        for name in cell.outputs:
            net = instance.pins.get(name)
            if net is None:
                continue
            key = (cell.name, name)
            if key not in models:
                models[key] = _model(library, cell, name)
            if driver[net] >= 0:
                raise SimulationError(f"Net {flat.nets[net]} is driven by more than one cell")
            driver[net] = len(chosen)
            chosen.append(models[key])
            output.append(net)
            pins.append([instance.pins[pin] for pin in models[key].inputs])
    for direction, bits in flat.ports.values():
        if direction == "output":
            for net in bits:
                pin_load[net] += port_load_f
                fanout[net] += 1
    wire = None if wire_load is None else library.wire_loads.get(wire_load)
    if wire_load is not None and wire is None:
        raise SimulationError(
            f"The library has no wire load {wire_load!r}; it has "
            f"{', '.join(library.wire_loads) or 'none'}"
        )
    if wire is not None:
        pin_load += np.array([wire.capacitance_f(int(n)) if n else 0.0 for n in fanout])[:, None]

    elements = len(chosen)
    kind = np.array([model.kind for model in chosen], dtype=np.int8)
    widths = np.array([len(places) for places in pins], dtype=np.int64)
    loads: list[list[tuple[int, int]]] = [[] for _ in range(nets)]
    for element, places in enumerate(pins):
        for place, net in enumerate(places):
            loads[net].append((element, place))
    clock_network = _clock_network(flat, chosen, kind, pins, output, loads)
    rank = _ranks(chosen, kind, pins, output, driver, clock_network)

    # truth tables, one copy a model
    starts: dict[int, int] = {}
    parts: list[NDArray[np.uint8]] = []
    used = 0
    for model in chosen:
        if id(model) not in starts:
            starts[id(model)] = used
            parts.append(model.tables)
            used += len(model.tables)
    fan_counts = np.array([len(load) for load in loads], dtype=np.int64)
    fan = np.array([pair for load in loads for pair in load], dtype=np.int32).reshape(-1, 2)
    delay_start = np.concatenate([[0], np.cumsum(4 * widths)]).astype(np.int64)
    cells = np.zeros((elements, 12), dtype=np.int64)
    cells[:, _KIND] = kind
    cells[:, _TABLE] = [starts[id(model)] for model in chosen]
    cells[:, _SIZE] = 1 << widths
    cells[:, _OUTPUT] = output
    cells[:, _DELAY] = delay_start[:-1]
    cells[:, _WAS_CLOCK] = 1  # no edge at the very start
    cells[:, _DUE] = -1
    compiled = _Elements(
        cells=cells,
        in_clock_network=clock_network,
        rank=rank,
        tables=np.concatenate(parts) if parts else np.zeros(1, dtype=np.uint8),
        delay=np.zeros(int(delay_start[-1]), dtype=np.int32),
        fan_start=np.concatenate([[0], np.cumsum(fan_counts)]).astype(np.int64),
        fan=np.ascontiguousarray(fan),
    )
    if timed and elements:
        slews = np.full((nets, 2), input_slew_s)
        slews[flat.ports[CLOCK][1] if CLOCK in flat.ports else []] = clock_slew_s
        _set_delays(compiled, chosen, pins, pin_load, slews, clock_slew_s)
    return compiled


def _clock_network(
    flat: FlatNetlist,
    models: list[_Model],
    kind: NDArray[np.int8],
    pins: list[list[int]],
    output: list[int],
    loads: list[list[tuple[int, int]]],
) -> NDArray[np.bool_]:
    """Elements between the clock port and clock pins: gates, and clock-gating cells."""
    found = np.zeros(len(models), dtype=np.bool_)
    if CLOCK not in flat.ports:
        return found
    # forward from the port, through gates and clock gates' clock pins
    reached: set[int] = set()
    order: list[int] = []
    front = list(flat.ports[CLOCK][1])
    while front:
        for element, place in loads[front.pop()]:
            passes = kind[element] == _COMBINATIONAL or (
                place in models[element].clock_pins and _is_clock_gate(models[element])
            )
            if passes and element not in reached:
                reached.add(element)
                order.append(element)
                front.append(output[element])
    # of these, the ones that lead to a clock pin; from the far end back
    while True:
        before = found.sum()
        for element in reversed(order):
            found[element] = found[element] or any(
                place in models[load].clock_pins if kind[load] else found[load]
                for load, place in loads[output[element]]
            )
        if found.sum() == before:
            return found


def _is_clock_gate(model: _Model) -> bool:
    """Whether a latch's output follows its clock pin directly, whatever the state."""
    if model.kind != _LATCH:
        return False
    half = 1 << len(model.inputs)
    place = model.clock_pins[0]
    table = model.tables[: 2 * half]
    index = np.arange(2 * half)
    return bool((table[index] != table[index ^ (1 << place)]).any())


def _ranks(
    models: list[_Model],
    kind: NDArray[np.int8],
    pins: list[list[int]],
    output: list[int],
    driver: NDArray[np.int64],
    clock_network: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Levels: 0 for flip-flops, else one more than the highest of what drives it.

    Loops through latches are cut at their data inputs; the kernel goes round them until all is
    still.
    """
    elements = len(models)
    before: list[list[int]] = []
    for element, model in enumerate(models):
        if kind[element] == _FLIP_FLOP:
            places: Iterable[int] = ()
        elif kind[element] == _LATCH and _is_clock_gate(model):
            places = model.clock_pins
        else:
            places = range(len(model.inputs))
        sources = (int(driver[pins[element][place]]) for place in places)
        before.append([source for source in sources if source >= 0])
    rank = np.zeros(elements, dtype=np.int64)
    for cut in (False, True):
        left = np.array([len(sources) for sources in before])
        after: list[list[int]] = [[] for _ in range(elements)]
        for element, sources in enumerate(before):
            for source in sources:
                after[source].append(element)
        rank[:] = 0
        front = [element for element in range(elements) if left[element] == 0]
        done = 0
        while front:
            element = front.pop()
            done += 1
            for load in after[element]:
                rank[load] = max(rank[load], rank[element] + 1)
                left[load] -= 1
                if left[load] == 0:
                    front.append(load)
        if done == elements:
            return rank
        if not cut:
            for element, model in enumerate(models):
                if kind[element] == _LATCH:
                    clocks = [int(driver[pins[element][p]]) for p in model.clock_pins]
                    before[element] = [source for source in clocks if source >= 0]
    raise SimulationError("The netlist has a loop of gates without a flip-flop or latch in it")


def _set_delays(
    elements: _Elements,
    models: list[_Model],
    pins: list[list[int]],
    load: NDArray[np.float64],
    slews: NDArray[np.float64],
    clock_slew_s: float,
) -> None:
    """Fill in `delay` of all arcs, from the Liberty's tables."""
    tables = _Tables()
    arcs: dict[int, tuple[int, int]] = {}  # of a model: first and past the last in `flat`
    flat: list[tuple[int, int, int, int, int]] = []
    for model in models:
        if id(model) not in arcs:
            first = len(flat)
            for arc in model.arcs:
                slew = -1 if arc.slew is None else tables.add(arc.slew)
                flat.append((arc.pin, arc.input_edge, arc.output_edge, tables.add(arc.delay), slew))
            arcs[id(model)] = (first, len(flat))
    spans = np.array([arcs[id(model)] for model in models], dtype=np.int64)
    places = np.array([net for nets in pins for net in nets], dtype=np.int64)
    order = np.argsort(elements.rank, kind="stable").astype(np.int64)
    table = np.array(flat, dtype=np.int64).reshape(-1, 5)
    delay_start = np.append(elements.cells[:, _DELAY], len(elements.delay))
    _propagate(
        order,
        elements.cells[:, _OUTPUT].copy(),
        elements.in_clock_network,
        delay_start,
        places,
        spans,
        table,
        *tables.arrays(),
        load,
        slews,
        clock_slew_s,
        _STEP_S,
        elements.delay,
    )


# Kernels ------------------------------------------------------------------------------------------


def _kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function compiled by numba, kept on disk where there is a folder for it."""
    try:
        return njit(cache=True)(function)
    except (RuntimeError, OSError):  # no folder for a cache that can be written
        return njit(function)


@_kernel
def _look_up(start, rows, columns, numbers, table, transition, load):  # type: ignore[no-untyped-def]
    """Bilinear in a table; beyond its ends the last slope goes on."""
    first, n, m = start[table], rows[table], columns[table]
    i, a = 0, 0.0
    if n > 1:
        while i < n - 2 and transition >= numbers[first + i + 1]:
            i += 1
        low = numbers[first + i]
        a = (transition - low) / (numbers[first + i + 1] - low)
    j, b = 0, 0.0
    if m > 1:
        while j < m - 2 and load >= numbers[first + n + j + 1]:
            j += 1
        low = numbers[first + n + j]
        b = (load - low) / (numbers[first + n + j + 1] - low)
    base = first + n + m
    value = (1 - a) * (1 - b) * numbers[base + i * m + j]
    if n > 1:
        value += a * (1 - b) * numbers[base + (i + 1) * m + j]
    if m > 1:
        value += (1 - a) * b * numbers[base + i * m + j + 1]
    if n > 1 and m > 1:
        value += a * b * numbers[base + (i + 1) * m + j + 1]
    return value


@_kernel
def _propagate(  # type: ignore[no-untyped-def]
    order, output, ideal, delay_start, places, spans, arcs, start, rows, columns, numbers, load,
    slews, clock_slew, step, delay,
):  # fmt: skip
    """Slews from element to element, and from them delays: in time steps, at least one."""
    widest = np.diff(delay_start).max()
    total = np.zeros(widest)
    count = np.zeros(widest, dtype=np.int64)
    for element in order:
        net = output[element]
        first = delay_start[element]
        size = delay_start[element + 1] - first
        if ideal[element]:
            slews[net, :] = clock_slew
            continue
        total[:] = 0.0
        count[:] = 0
        worst = np.zeros(2)
        for arc in range(spans[element, 0], spans[element, 1]):
            place, input_edge, output_edge = arcs[arc, 0], arcs[arc, 1], arcs[arc, 2]
            transition = slews[places[first // 4 + place], input_edge]
            farads = load[net, output_edge]
            slot = (place * 2 + input_edge) * 2 + output_edge
            total[slot] += _look_up(start, rows, columns, numbers, arcs[arc, 3], transition, farads)
            count[slot] += 1
            if arcs[arc, 4] >= 0:
                slew = _look_up(start, rows, columns, numbers, arcs[arc, 4], transition, farads)
                worst[output_edge] = max(worst[output_edge], slew)
        for edge in range(2):
            if worst.max() > 0:
                slews[net, edge] = worst[edge] if worst[edge] > 0 else worst.max()
        for slot in range(size):
            if count[slot]:
                mean = total[slot] / count[slot]
                delay[first + slot] = max(1, int(np.round(mean / step)))
        for slot in range(size):  # edges the Liberty says nothing of: the slowest that it does
            if not count[slot]:
                slowest = 1
                for other in range(slot % 2, size, 2):
                    if count[other]:
                        slowest = max(slowest, delay[first + other])
                delay[first + slot] = slowest


@_kernel
def _evaluate(cells, tables, element):  # type: ignore[no-untyped-def]
    """What an element's output is to be; takes the state of flip-flops and latches on."""
    base = cells[element, _TABLE]
    at = cells[element, _INDEX]
    kind = cells[element, _KIND]
    if kind == _COMBINATIONAL:
        return tables[base + at]
    size = cells[element, _SIZE]
    state = cells[element, _STATE]
    clock = tables[base + 4 * size + at]
    if clock and (kind == _LATCH or not cells[element, _WAS_CLOCK]):
        state = tables[base + 2 * size + at + size * state]
    if tables[base + 6 * size + at]:
        state = 1
    if tables[base + 5 * size + at]:
        state = 0
    cells[element, _WAS_CLOCK] = clock
    cells[element, _STATE] = state
    return tables[base + at + size * state]


@_kernel
def _count(nets, net, value, now, log, logged, logging):  # type: ignore[no-untyped-def]
    """A net changes."""
    nets[net, _VALUE] = value
    nets[net, _TOGGLES] += 1
    if value:
        nets[net, _SINCE] = now
    else:
        nets[net, _HIGH] += now - nets[net, _SINCE]
    if logging:
        used = logged[0]
        if used < len(log):
            log[used, 0] = now
            log[used, 1] = net
            log[used, 2] = value
        logged[0] = used + 1


@_kernel
def _begin_window(nets, now):  # type: ignore[no-untyped-def]
    nets[:, _TOGGLES] = 0
    nets[:, _HIGH] = 0
    nets[:, _SINCE] = now


@_kernel
def _end_of_cycle(  # type: ignore[no-untyped-def]
    nets, answers, expected, cycle, now, window_last
):
    """Whether to stop: an answer differs, or the window ends."""
    for i in range(len(answers)):
        if nets[answers[i], _VALUE] != expected[cycle, i]:
            return True
    if cycle != window_last:
        return False
    for net in range(len(nets)):
        if nets[net, _VALUE]:
            nets[net, _HIGH] += now - nets[net, _SINCE]
    return True


# With delays: a wheel of time steps, each with a list of the outputs that change in it.


@_kernel
def _unlink(cells, head, element):  # type: ignore[no-untyped-def]
    """Take a change that is due off its time step's list."""
    before, after = cells[element, _PREVIOUS], cells[element, _NEXT]
    if before >= 0:
        cells[before, _NEXT] = after
    else:
        head[cells[element, _DUE] & (len(head) - 1)] = after
    if after >= 0:
        cells[after, _PREVIOUS] = before
    cells[element, _DUE] = -1


@_kernel
def _run_timed(  # type: ignore[no-untyped-def]
    cells, tables, delay, fan_start, fan, nets, head, log, logged, outside, outside_step,
    outside_values, answers, expected, clock, period, first, last, window_first, window_last,
    logging,
):  # fmt: skip
    """Cycles from `first` up to but not including `last`.

    Returns the cycle after the last that ran: one whose answers differ, or the window's last, ends
    it early.
    """
    mask = len(head) - 1
    for cycle in range(first, last):
        start = cycle * period
        if cycle == window_first:
            _begin_window(nets, start)
        place = 0
        for step in range(period):
            now = start + step
            tick = clock >= 0 and cycle > 0 and (step == 0 or step == period // 2)
            while True:
                if tick:
                    tick = False
                    net, value = clock, np.int64(step == 0)
                elif place < len(outside) and outside_step[place] == step:
                    net, value = outside[place], np.int64(outside_values[cycle, place])
                    place += 1
                elif head[now & mask] >= 0:
                    element = np.int64(head[now & mask])
                    _unlink(cells, head, element)
                    net, value = cells[element, _OUTPUT], cells[element, _COMING]
                else:
                    break
                if nets[net, _VALUE] == value:
                    continue
                _count(nets, net, value, now, log, logged, logging)
                for i in range(fan_start[net], fan_start[net + 1]):
                    element, pin = np.int64(fan[i, 0]), np.int64(fan[i, 1])
                    cells[element, _INDEX] ^= 1 << pin
                    target = np.int64(_evaluate(cells, tables, element))
                    pending = cells[element, _DUE] >= 0
                    if target == nets[cells[element, _OUTPUT], _VALUE]:
                        if pending:  # a pulse shorter than the delay: it never comes
                            _unlink(cells, head, element)
                        continue
                    arc = cells[element, _DELAY] + (pin * 2 + value) * 2 + target
                    due = now + delay[arc]
                    if pending:
                        if due >= cells[element, _DUE]:
                            continue
                        _unlink(cells, head, element)
                    cells[element, _DUE] = due
                    cells[element, _COMING] = target
                    cells[element, _PREVIOUS] = -1
                    after = head[due & mask]
                    cells[element, _NEXT] = after
                    if after >= 0:
                        cells[after, _PREVIOUS] = element
                    head[due & mask] = element
        if _end_of_cycle(nets, answers, expected, cycle, start + period, window_last):
            return cycle + 1
    return last


# Without: lists of the elements to look at, by rank. The clock network has the first ranks, the
# rest those after them, and flip-flops the last list to themselves. _DUE is 0 for what is listed.


@_kernel
def _list(cells, head, element, slot):  # type: ignore[no-untyped-def]
    if cells[element, _DUE] < 0:
        cells[element, _DUE] = 0
        cells[element, _NEXT] = head[slot]
        head[slot] = element


@_kernel
def _change_at_once(  # type: ignore[no-untyped-def]
    cells, fan_start, fan, slots, nets, head, log, logged, net, value, now, logging,
):  # fmt: skip
    if nets[net, _VALUE] == value:
        return
    _count(nets, net, value, now, log, logged, logging)
    for i in range(fan_start[net], fan_start[net + 1]):
        element = np.int64(fan[i, 0])
        cells[element, _INDEX] ^= 1 << np.int64(fan[i, 1])
        _list(cells, head, element, slots[element])


@_kernel
def _settle(  # type: ignore[no-untyped-def]
    cells, tables, fan_start, fan, slots, nets, head, buffer, log, logged, now, ranks, rounds,
    logging,
):  # fmt: skip
    """Clock network, then all flip-flops at once, then the rest; until all is still.

    True if it is. After half a round, `rounds` = 0, the flip-flops have changed and nothing else.
    """
    for turn in range(max(1, 2 * rounds)):
        still = True
        if turn % 2:
            low, high = ranks, 2 * ranks
        else:
            low, high = 0, ranks
        for slot in range(low, high):
            while head[slot] >= 0:
                still = False
                element = np.int64(head[slot])
                head[slot] = cells[element, _NEXT]
                cells[element, _DUE] = -1
                value = np.int64(_evaluate(cells, tables, element))
                _change_at_once(
                    cells,
                    fan_start,
                    fan,
                    slots,
                    nets,
                    head,
                    log,
                    logged,
                    cells[element, _OUTPUT],
                    value,
                    now,
                    logging,
                )
        if turn % 2 == 0:
            count = 0
            element = np.int64(head[2 * ranks])
            head[2 * ranks] = -1
            while element >= 0:
                buffer[count] = element
                count += 1
                cells[element, _COMING] = _evaluate(cells, tables, element)
                cells[element, _DUE] = -1
                element = cells[element, _NEXT]
            for i in range(count):
                element = np.int64(buffer[i])
                _change_at_once(
                    cells,
                    fan_start,
                    fan,
                    slots,
                    nets,
                    head,
                    log,
                    logged,
                    cells[element, _OUTPUT],
                    cells[element, _COMING],
                    now,
                    logging,
                )
            still = still and count == 0
            first_still = still
        elif still and first_still:
            return True
    return False


@_kernel
def _reset(  # type: ignore[no-untyped-def]
    cells, tables, fan_start, fan, slots, nets, head, buffer, log, logged, ones, resets, ranks
):
    """Evaluate everything under reset, then release it; False if it never gets still."""
    for element in range(len(cells)):
        _list(cells, head, element, slots[element])
    still = True
    for phase in range(2):
        for i in range(len(ones)):
            _change_at_once(
                cells, fan_start, fan, slots, nets, head, log, logged, ones[i], 1, 0, False
            )
        for i in range(len(resets)):
            _change_at_once(
                cells,
                fan_start,
                fan,
                slots,
                nets,
                head,
                log,
                logged,
                resets[i],
                1 - phase,
                0,
                False,
            )
        still &= _settle(
            cells,
            tables,
            fan_start,
            fan,
            slots,
            nets,
            head,
            buffer,
            log,
            logged,
            0,
            ranks,
            1000,
            False,
        )
    return still


@_kernel
def _run_at_once(  # type: ignore[no-untyped-def]
    cells, tables, slots, fan_start, fan, nets, head, buffer, log, logged, outside, outside_values,
    answers, expected, clock, period, first, last, window_first, window_last, logging, ranks,
):  # fmt: skip
    """As `_run_timed`, every net going to its final value right after a clock edge.

    Returns minus the cycle less one if the netlist never gets still.
    """
    for cycle in range(first, last):
        start = cycle * period
        if cycle == window_first:
            _begin_window(nets, start)
        still = True
        for phase in range(2):
            now = start + phase * (period // 2)
            if clock >= 0 and cycle > 0:
                _change_at_once(
                    cells,
                    fan_start,
                    fan,
                    slots,
                    nets,
                    head,
                    log,
                    logged,
                    clock,
                    1 - phase,
                    now,
                    logging,
                )
                _settle(
                    cells,
                    tables,
                    fan_start,
                    fan,
                    slots,
                    nets,
                    head,
                    buffer,
                    log,
                    logged,
                    now,
                    ranks,
                    0,
                    logging,
                )
            # what comes from outside changes with the flip-flops, so that nothing moves twice
            if phase == 0:
                for i in range(len(outside)):
                    _change_at_once(
                        cells,
                        fan_start,
                        fan,
                        slots,
                        nets,
                        head,
                        log,
                        logged,
                        outside[i],
                        np.int64(outside_values[cycle, i]),
                        now,
                        logging,
                    )
            still &= _settle(
                cells,
                tables,
                fan_start,
                fan,
                slots,
                nets,
                head,
                buffer,
                log,
                logged,
                now,
                ranks,
                1000,
                logging,
            )
        if not still:
            return -cycle - 1
        if _end_of_cycle(nets, answers, expected, cycle, start + period, window_last):
            return cycle + 1
    return last


# Running ------------------------------------------------------------------------------------------


def _resolve(flat: FlatNetlist, macros: dict[str, dict[str, int]], name: str) -> list[int]:
    """Nets of a trace's signal: a port of the top, or a pin of one of its macros; bit 0 first."""
    instance, _, pin = name.rpartition("/")
    if not instance:
        if name in flat.ports:
            return list(flat.ports[name][1])
        raise SimulationError(f"The netlist has no port {name}, which the trace has")
    pins = macros.get(instance)
    if pins is None:
        raise SimulationError(f"The netlist has no macro {instance}, which the trace has")
    if pin in pins:
        return [pins[pin]]
    nets = []
    while f"{pin}[{len(nets)}]" in pins:
        nets.append(pins[f"{pin}[{len(nets)}]"])
    if not nets:
        raise SimulationError(f"The netlist's macro {instance} has no pin {pin}")
    return nets


def _connect(
    flat: FlatNetlist, trace: Trace, steps: Callable[[str], int]
) -> tuple[_Stimulus, list[str]]:
    """A trace's signals as nets; also the names of what is compared, one a net."""
    macros = {i.path: i.pins for i in flat.instances if i.cell == MACRO}
    driven: list[tuple[int, int, NDArray[np.uint8]]] = []
    answers: list[int] = []
    expected: list[NDArray[np.uint8]] = []
    names: list[str] = []
    for values, drives in ((trace.stimulus, True), (trace.expected, False)):
        for name, bits in values.items():
            nets = _resolve(flat, macros, name)
            if len(nets) != bits.shape[1]:
                raise SimulationError(
                    f"The netlist's {name} has {len(nets)} bits, the trace's {bits.shape[1]}: is "
                    "the trace of a chip of this geometry?"
                )
            for bit, net in enumerate(nets):
                column = bits[:, bit].astype(np.uint8)
                if drives:
                    driven.append((steps(name), net, column))
                else:
                    answers.append(net)
                    expected.append(column)
                    names.append(f"{name}[{bit}]" if len(nets) > 1 else name)
    driven.sort(key=lambda change: change[0])
    return _Stimulus(
        np.array([net for _, net, _ in driven], dtype=np.int64),
        np.array([step for step, _, _ in driven], dtype=np.int64),
        _by_cycle([values for _, _, values in driven], trace.cycles),
        np.array(answers, dtype=np.int64),
        _by_cycle(expected, trace.cycles),
    ), names


def _by_cycle(columns: list[NDArray[np.uint8]], cycles: int) -> NDArray[np.uint8]:
    """Values (cycles, nets) from one column a net, of which there may be none."""
    values = np.array(columns, dtype=np.uint8).reshape(len(columns), cycles)
    return np.ascontiguousarray(values.T)


def simulate(
    flat: FlatNetlist,
    library: Library,
    trace: Trace,
    delays: Literal["liberty", "zero"] = "liberty",
    *,
    wire_load: str | None = None,
    period_s: float = 1 / 66e6,
    input_delay: float = 0.1,
    macro_access: float = 0.3,
    port_load_f: float = 5e-15,
    macro_pin_f: float = 5e-15,
    input_slew_s: float = 100e-12,
    clock_slew_s: float = 100e-12,
    vcd: Path | None = None,
    vcd_cycles: tuple[int, int] | None = None,
    progress: bool = True,
) -> Activity:
    """Replay a trace on a netlist, check its answers in every cycle, and count toggles.

    Parameters
    ----------
    flat : FlatNetlist
    library : Library
    trace : Trace
        All of it runs; the activity is that of its window.
    delays : str
        ``liberty`` or ``zero``: see the module.
    wire_load : str, optional
        One of the library's wire loads adds to the load of every net; none by default.
    period_s : float
        Clock period.
    input_delay, macro_access : float
        Fractions of the period after the rising edge at which the chip's inputs change, and at
        which a macro's outputs do.
    port_load_f, macro_pin_f : float
        Capacitance at each output of the chip, and at each input of a macro.
    input_slew_s, clock_slew_s : float
        Transition times of inputs and macro outputs, and in all of the clock network.
    vcd : Path, optional
        Write a waveform of every net here.
    vcd_cycles : tuple of int, optional
        First and last cycle of it; by default the window's.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Activity
        Toggles of the nets of `flat`, in its order.

    Raises
    ------
    SimulationError
        If the netlist cannot be simulated, or an output of the chip or an input of a macro is not
        what the trace says at the end of a cycle.
    """
    if delays not in ("liberty", "zero"):
        raise SimulationError(f"Delays are 'liberty' or 'zero', not {delays!r}")
    if not 0 < input_delay < 1 or not 0 < macro_access < 1:
        raise SimulationError(
            f"Inputs and macros change within a cycle, after a fraction of it between 0 and 1, not "
            f"{input_delay!r} and {macro_access!r}"
        )
    period = round(period_s / _STEP_S)
    if period < 10:
        raise SimulationError(f"A clock period of {period_s!r} s is too short to simulate")
    timed = delays == "liberty"
    elements = _compile(
        flat, library, timed, wire_load, port_load_f, macro_pin_f, input_slew_s, clock_slew_s
    )
    stimulus, names = _connect(
        flat,
        trace,
        lambda name: int(period * (macro_access if "/" in name else input_delay)),
    )
    clock = flat.ports[CLOCK][1][0] if CLOCK in flat.ports else -1
    resets = np.array(flat.ports["rst"][1] if "rst" in flat.ports else [], dtype=np.int64)
    ones = np.array([number for number, net in enumerate(flat.nets) if net == "1"], dtype=np.int64)
    ranks = int(elements.rank.max(initial=0)) + 1
    slots = elements.rank + np.where(elements.in_clock_network, 0, ranks)
    slots[elements.cells[:, _KIND] == _FLIP_FLOP] = 2 * ranks
    s = _fresh_state(flat, elements, ranks, _LOG if vcd is not None else 1)
    cells, tables, fan_start, fan = (
        elements.cells, elements.tables, elements.fan_start, elements.fan,
    )  # fmt: skip
    logs = (s.log, s.logged)
    if not _reset(cells, tables, fan_start, fan, slots, s.nets, s.head, s.buffer, *logs, ones,
                  resets, ranks):  # fmt: skip
        raise SimulationError("The netlist never gets still under reset: it oscillates")
    window_first, window_last = trace.window
    first_logged, last_logged = vcd_cycles or trace.window
    writer = _Waveform(vcd, flat, period) if vcd is not None else None
    cycle = 0
    with tqdm(
        total=window_last + 1,
        desc=f"gate-level simulation, {delays} delays",
        unit="cycle",
        disable=not progress,
    ) as bar:
        while cycle <= window_last:
            logging = writer is not None and first_logged <= cycle <= last_logged
            last = cycle + (1 if writer is not None else _CHUNK)
            if writer is not None and cycle == first_logged:
                writer.start(s.nets[:, _VALUE], cycle)
            span = (clock, period, cycle, min(last, trace.cycles), window_first, window_last)
            answers = (stimulus.answers, stimulus.expected)
            if timed:
                now = _run_timed(
                    cells, tables, elements.delay, fan_start, fan, s.nets, s.head, *logs,
                    stimulus.nets, stimulus.step, stimulus.values, *answers, *span, logging,
                )  # fmt: skip
            else:
                now = _run_at_once(
                    cells, tables, slots, fan_start, fan, s.nets, s.head, s.buffer, *logs,
                    stimulus.nets, stimulus.values, *answers, *span, logging, ranks,
                )  # fmt: skip
            if now < 0:
                raise SimulationError(f"The netlist never gets still in cycle {-now - 1}")
            _check(s.nets[:, _VALUE], stimulus, names, now - 1, timed, period_s)
            if logging:
                assert writer is not None
                writer.take(s.log, s.logged)
            bar.update(now - cycle)
            cycle = now
    if writer is not None:
        writer.close(min(last_logged, window_last) + 1)
    how = "event-driven, inertial delays" if timed else "one settled evaluation a clock phase"
    source = {
        **trace.source,
        "delays": delays,
        "wire_load": wire_load,
        "period_s": period_s,
        "input_delay": input_delay,
        "macro_access": macro_access,
        "simulator": f"synthesis.simulation: {how}, ideal clock network",
    }
    time = trace.window_cycles * period
    toggles, high = s.nets[:, _TOGGLES].astype(float), s.nets[:, _HIGH] / time
    return Activity(trace.window_cycles, period_s, toggles, high, source)


def _fresh_state(flat: FlatNetlist, elements: _Elements, ranks: int, log: int) -> _State:
    """Everything 0; lists for the slowest gate's delay, and for all ranks."""
    slowest = int(elements.delay.max(initial=0)) + 2
    size = 1 << max(slowest, 2 * ranks + 1).bit_length()
    return _State(
        nets=np.zeros((len(flat.nets), 4), dtype=np.int64),
        head=np.full(size, -1, dtype=np.int32),
        buffer=np.zeros(len(elements.cells), dtype=np.int32),
        log=np.zeros((log, 3), dtype=np.int64),
        logged=np.zeros(1, dtype=np.int64),
    )


def _check(
    values: NDArray[np.int64],
    stimulus: _Stimulus,
    names: list[str],
    cycle: int,
    timed: bool,
    period_s: float,
) -> None:
    """Hold the answers of the cycle that has just ended against the trace's."""
    wrong = np.flatnonzero(values[stimulus.answers] != stimulus.expected[cycle])
    if len(wrong):
        said = int(values[stimulus.answers[wrong[0]]])
        more = f" and {len(wrong) - 1} more signals differ" if len(wrong) > 1 else ""
        hint = f", or a period of {period_s * 1e9:g} ns is too short for it" if timed else ""
        raise SimulationError(
            f"At the end of cycle {cycle} the netlist's {names[wrong[0]]} is {said}, the RTL's "
            f"{1 - said}{more}: the netlist is not equal to the RTL of the trace{hint}"
        )


class _Waveform:
    """A VCD file: every net under its hierarchical name, and every cell as a scope of its pins.

    The pins are what OpenSTA's `read_vcd` looks for. Times begin at the first cycle written.
    """

    def __init__(self, path: Path, flat: FlatNetlist, period: int) -> None:
        self._path, self._period = path, period
        path.parent.mkdir(parents=True, exist_ok=True)
        self._scratch = path.with_name(f".{path.name}.partial")
        self._file = self._scratch.open("w")
        self._codes = [_code(number) for number in range(len(flat.nets))]
        self._begin = 0
        tree: dict[str, Any] = {}

        def variable(path: str, net: int) -> None:
            scope = tree
            *scopes, name = path.split("/")
            for part in scopes:
                scope = scope.setdefault(f"/{part}", {})
            scope[name] = net

        for number, name in enumerate(flat.nets):
            variable(name, number)
        for instance in flat.instances:
            for pin, net in instance.pins.items():
                variable(f"{instance.path}/{pin}", net)
        self._file.write(
            "$version Heliobit synthesis.simulation $end\n$timescale 1ps $end\n"
            f"$scope module heliobit_{flat.top} $end\n"
        )
        self._declare(tree)
        self._file.write("$upscope $end\n$enddefinitions $end\n")

    def _declare(self, scope: dict[str, Any]) -> None:
        for name, inner in scope.items():
            if name.startswith("/"):
                self._file.write(f"$scope module {name[1:]} $end\n")
                self._declare(inner)
                self._file.write("$upscope $end\n")
            else:
                base, bracket, bit = name.partition("[")
                index = f" [{bit}" if bracket else ""
                self._file.write(f"$var wire 1 {self._codes[inner]} {base}{index} $end\n")

    def start(self, values: NDArray[np.int64], cycle: int) -> None:
        """Write the values that all nets have when the first cycle begins."""
        self._begin = cycle * self._period
        lines = [f"{value}{code}" for value, code in zip(values, self._codes, strict=True)]
        self._file.write("#0\n$dumpvars\n" + "\n".join(lines) + "\n$end\n")

    def take(self, log: NDArray[np.int64], logged: NDArray[np.int64]) -> None:
        """Write the changes that have been logged, and empty the log."""
        count = int(logged[0])
        if count > len(log):
            raise SimulationError(f"{count} changes in a cycle are too many for a waveform")
        before, lines = -1, []
        for time, net, value in log[:count].tolist():
            if time != before:
                lines.append(f"#{time - self._begin}")
                before = time
            lines.append(f"{value}{self._codes[net]}")
        self._file.write("\n".join([*lines, ""]))
        logged[0] = 0

    def close(self, cycle: int) -> None:
        """End the file where `cycle` begins, and put it in place."""
        self._file.write(f"#{cycle * self._period - self._begin}\n")
        self._file.close()
        self._scratch.replace(self._path)


def _code(number: int) -> str:
    """A VCD identifier: digits from ! to ~."""
    digits = chr(33 + number % 94)
    while number := number // 94:
        digits += chr(33 + number % 94)
    return digits
