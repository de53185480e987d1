"""A standard-cell library: what its Liberty file says of cells, timing and energy, in SI units.

`find_liberty` says where the file is, `load_library` reads it. Liberty is read as OpenSTA reads it:
the same interpolation and extrapolation of tables, the same wire loads.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from behavioral_models.files import write_whole
from synthesis import liberty_syntax
from synthesis.liberty_syntax import Group, LibertySyntaxError, read_liberty

__all__ = [
    "DEBIAN_LIBERTY",
    "Cell",
    "Expression",
    "InternalPower",
    "Library",
    "LibraryError",
    "Pin",
    "State",
    "Table",
    "TimingArc",
    "WireLoad",
    "build_folder",
    "find_liberty",
    "load_library",
]

#: Where Debian's package qflow-tech-osu018 puts its library.
DEBIAN_LIBERTY = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")

#: Variants of a PDK and their libraries under $PDK_ROOT, best first.
_PDK_PREFERENCES = (
    ("sky130A", "sky130_fd_sc_hd"),
    ("sky130B", "sky130_fd_sc_hd"),
    ("sky130?", "*_sc_*"),
    ("gf180mcuD", "gf180mcu_fd_sc_mcu7t5v0"),
    ("gf180mcu?", "*_sc_*"),
    ("ihp-*", "*stdcell*"),
    ("*", "*_sc_*"),
    ("*", "*stdcell*"),
)

#: Names of typical corners, best first; a PDK's nominal supply comes before its others.
_TYPICAL = ("*_tt_025C_1v80", "*_tt_025C_5v00", "*typ*25C*", "*_tt_025C_*", "*_tt_*", "*typ*")


class LibraryError(RuntimeError):
    """A Liberty file is missing or cannot be used; the message says what to do."""


def build_folder() -> Path:
    """Where results are kept between runs: $HELIOBIT_BUILD, else `build`."""
    return Path(os.environ.get("HELIOBIT_BUILD", "build"))


# Boolean functions -------------------------------------------------------------------------------

_TOKEN = re.compile(r"\s*(?:([A-Za-z_][\w.]*(?:\[\d+\])?)|([01])(?!\w)|([!'&*|+^()]))")


class Expression:
    """A Boolean function as Liberty writes it.

    Operators, from the tightest: ``!`` before or ``'`` after, ``^``, AND (``&``, ``*`` or nothing),
    OR (``|`` or ``+``); parentheses.

    Parameters
    ----------
    text : str

    Raises
    ------
    LibraryError
        If the text is no Boolean function.
    """

    __slots__ = ("_table", "pins", "text", "tree")

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        #: Nested tuples: ("pin", name), ("constant", 0 or 1), ("not", a), ("and", a, b), ...
        self.tree = _Parser(self.text).parse()
        #: Names of the pins it depends on, in the order they are first mentioned.
        self.pins: tuple[str, ...] = tuple(dict.fromkeys(_pins_of(self.tree)))
        self._table: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.tree == other.tree

    def __hash__(self) -> int:
        return hash(self.tree)

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The function's value.

        Parameters
        ----------
        values : mapping of str to int or integer or bool array
            0/1 of every pin; arrays broadcast.

        Returns
        -------
        int, or uint8 array of the values' shape
        """
        if all(isinstance(values[pin], (int, np.integer, np.bool_)) for pin in self.pins):
            return int(_evaluate(self.tree, {pin: int(values[pin]) for pin in self.pins}))
        arrays = {pin: np.asarray(values[pin]).astype(np.uint8) for pin in self.pins}
        return _evaluate(self.tree, arrays)

    def truth_table(self, order: Sequence[str] | None = None) -> np.ndarray:
        """Values for all combinations of the pins.

        Parameters
        ----------
        order : sequence of str
            The pins; `order[0]` is bit 0 of the index. By default `self.pins`.

        Returns
        -------
        uint8 array (2 ** len(order),)
        """
        order = self.pins if order is None else tuple(order)
        index = np.arange(1 << len(order))
        values = {pin: (index >> place & 1).astype(np.uint8) for place, pin in enumerate(order)}
        return np.broadcast_to(_evaluate(self.tree, values), index.shape).astype(np.uint8)

    def probability(self, probabilities: Mapping[str, Any]) -> Any:
        """Probability of a 1, its pins being independent of each other.

        Parameters
        ----------
        probabilities : mapping of str to float or float array
            Of a 1 at each pin; arrays broadcast.

        Returns
        -------
        float or float array
        """
        if self._table is None:
            self._table = self.truth_table()
        result: Any = self._table.astype(float)
        scalar = True
        for pin in reversed(self.pins):  # the last pin is the highest bit: halve the table by it
            p = np.asarray(probabilities[pin], dtype=float)
            scalar = scalar and p.ndim == 0
            half = result.shape[0] // 2
            if result.ndim <= p.ndim:
                result = result.reshape(result.shape + (1,) * (p.ndim + 1 - result.ndim))
            result = result[:half] * (1 - p) + result[half:] * p
        result = result[0]
        return float(result) if scalar else result


class _Parser:
    """Recursive descent over the tokens of one function."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        place = 0
        while text[place:].strip():
            match = _TOKEN.match(text, place)
            if not match:
                raise LibraryError(f"{text!r} in the Liberty file is not a Boolean function")
            name, constant, operator = match.groups()
            kind = "pin" if name else "constant" if constant else operator
            self._tokens.append((kind, name or constant or operator))
            place = match.end()
        self._place = 0

    def parse(self) -> tuple:
        tree = self._or()
        if self._place != len(self._tokens):
            self._fail()
        return tree

    def _fail(self) -> None:
        raise LibraryError(f"{self._text!r} in the Liberty file is not a Boolean function")

    def _next(self) -> str:
        return self._tokens[self._place][0] if self._place < len(self._tokens) else ""

    def _or(self) -> tuple:
        tree = self._and()
        while self._next() in ("|", "+"):
            self._place += 1
            tree = ("or", tree, self._and())
        return tree

    def _and(self) -> tuple:
        tree = self._xor()
        while self._next() in ("&", "*", "pin", "constant", "(", "!"):
            if self._next() in ("&", "*"):
                self._place += 1
            tree = ("and", tree, self._xor())
        return tree

    def _xor(self) -> tuple:
        tree = self._not()
        while self._next() == "^":
            self._place += 1
            tree = ("xor", tree, self._not())
        return tree

    def _not(self) -> tuple:
        if self._next() == "!":
            self._place += 1
            return ("not", self._not())
        if self._next() == "(":
            self._place += 1
            tree = self._or()
            if self._next() != ")":
                self._fail()
        elif self._next() in ("pin", "constant"):
            kind, value = self._tokens[self._place]
            tree = (kind, value if kind == "pin" else int(value))
        else:
            self._fail()
        self._place += 1
        while self._next() == "'":
            self._place += 1
            tree = ("not", tree)
        return tree


def _pins_of(tree: tuple) -> Iterator[str]:
    if tree[0] == "pin":
        yield tree[1]
    elif tree[0] != "constant":
        for part in tree[1:]:
            yield from _pins_of(part)


def _evaluate(tree: tuple, values: Mapping[str, Any]) -> Any:
    kind = tree[0]
    if kind == "pin":
        return values[tree[1]]
    if kind == "constant":
        return np.uint8(tree[1])
    if kind == "not":
        return _evaluate(tree[1], values) ^ 1
    a, b = _evaluate(tree[1], values), _evaluate(tree[2], values)
    return a & b if kind == "and" else a | b if kind == "or" else a ^ b


# What a library holds -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Table:
    """A lookup table of up to three axes.

    Parameters
    ----------
    axes : tuple of str
        Such as ("input_transition", "output_capacitance"), always in this order where both are
        there, whatever the file's. Empty: a constant.
    index : tuple of float arrays
        Ascending coordinates of each axis: s or F.
    values : float array (len(index[0]), len(index[1]), ...)
        s for timing, J for power.
    """

    axes: tuple[str, ...]
    index: tuple[np.ndarray, ...]
    values: np.ndarray

    def lookup(self, *coordinates: Any) -> Any:
        """Value at one coordinate an axis, multilinear; beyond the ends the last slope goes on.

        Parameters
        ----------
        coordinates : float or float array
            As many as axes; arrays broadcast.

        Returns
        -------
        float or float array
        """
        if len(coordinates) != len(self.axes):
            raise ValueError(
                f"A table over {', '.join(self.axes) or 'nothing'} takes {len(self.axes)} "
                f"coordinates, not {len(coordinates)}"
            )
        places, fractions = [], []
        for axis, value in zip(self.index, coordinates, strict=True):
            value = np.asarray(value, dtype=float)
            if len(axis) == 1:
                places.append(np.zeros(value.shape, dtype=int))
                fractions.append(np.zeros(value.shape))
                continue
            place = np.clip(np.searchsorted(axis, value, side="right") - 1, 0, len(axis) - 2)
            places.append(place)
            fractions.append((value - axis[place]) / (axis[place + 1] - axis[place]))
        result: Any = 0.0
        for corner in product((0, 1), repeat=len(self.axes)):
            if any(c and len(axis) == 1 for c, axis in zip(corner, self.index, strict=True)):
                continue
            weight: Any = 1.0
            for c, fraction in zip(corner, fractions, strict=True):
                weight = weight * (fraction if c else 1 - fraction)
            at = tuple(place + c for place, c in zip(places, corner, strict=True))
            result = result + weight * self.values[at]
        return float(result) if np.ndim(result) == 0 else result

    def at(self, **coordinates: Any) -> Any:
        """Value at coordinates given by axis name; those the table does not depend on are ignored.

        Examples
        --------
        ``table.at(input_transition=50e-12, output_capacitance=5e-15)``
        """
        missing = [axis for axis in self.axes if axis not in coordinates]
        if missing:
            raise ValueError(f"The table needs {', '.join(missing)} too")
        return self.lookup(*(coordinates[axis] for axis in self.axes))


@dataclass(frozen=True)
class WireLoad:
    """A wire-load model: length, and from it capacitance and resistance, by fanout."""

    name: str
    capacitance_per_length_f: float
    resistance_per_length_ohm: float
    slope: float
    fanout_length: tuple[tuple[float, float], ...]

    def length(self, fanout: float) -> float:
        """Wire length in the library's unit, for `fanout` loads; outside the table by the slope."""
        if not self.fanout_length:
            return self.slope * fanout
        (first, first_length), (last, last_length) = self.fanout_length[0], self.fanout_length[-1]
        if fanout <= first:
            return max(0.0, first_length - (first - fanout) * self.slope)
        if fanout >= last:
            return last_length + (fanout - last) * self.slope
        fanouts, lengths = zip(*self.fanout_length, strict=True)
        return float(np.interp(fanout, fanouts, lengths))

    def capacitance_f(self, fanout: float) -> float:
        """Capacitance of a net with `fanout` loads, without the pins'."""
        return self.length(fanout) * self.capacitance_per_length_f

    def resistance_ohm(self, fanout: float) -> float:
        """Resistance of a net with `fanout` loads."""
        return self.length(fanout) * self.resistance_per_length_ohm


@dataclass(frozen=True, eq=False)
class InternalPower:
    """Energy inside a cell for one transition of the pin that holds this; J, may be negative.

    `related_pin` is None for an input pin's own energy. `supply_pin` tells tables apart that belong
    to different supplies and add up.
    """

    related_pin: str | None
    when: Expression | None
    rise: Table | None
    fall: Table | None
    supply_pin: str | None = None


@dataclass(frozen=True, eq=False)
class TimingArc:
    """Timing from `related_pin` to the pin that holds this; `kind`, `sense`: Liberty's words."""

    related_pin: str | None
    kind: str
    sense: str | None
    when: Expression | None
    cell_rise: Table | None = None
    cell_fall: Table | None = None
    rise_transition: Table | None = None
    fall_transition: Table | None = None
    rise_constraint: Table | None = None
    fall_constraint: Table | None = None


@dataclass(frozen=True, eq=False)
class Pin:
    """A cell's pin.

    `direction` is ``input``, ``output``, ``internal`` or ``inout``; `clock_gate_role` of a clock
    gate's pins ``clock``, ``enable``, ``test`` or ``out``. `state_function` is what a clock gate
    has instead of a function, over its pins and internal nodes.
    """

    name: str
    direction: str
    capacitance_f: float = 0.0
    rise_capacitance_f: float = 0.0
    fall_capacitance_f: float = 0.0
    max_capacitance_f: float | None = None
    function: Expression | None = None
    state_function: Expression | None = None
    three_state: Expression | None = None
    is_clock: bool = False
    clock_gate_role: str | None = None
    internal_power: tuple[InternalPower, ...] = ()
    timing: tuple[TimingArc, ...] = ()


@dataclass(frozen=True)
class State:
    """What a flip-flop or latch holds: `variable` and its inverse, as the outputs' functions say.

    A flip-flop has `clocked_on` and `next_state`, a latch `enable` and `data_in`.
    """

    variable: str
    inverted: str | None
    clocked_on: Expression | None = None
    next_state: Expression | None = None
    enable: Expression | None = None
    data_in: Expression | None = None
    clear: Expression | None = None
    preset: Expression | None = None


@dataclass(frozen=True, eq=False)
class Cell:
    """A library cell.

    `kind` is one of ``combinational``, ``flip_flop``, ``latch``, ``clock_gate``, ``tie`` or
    ``other`` (fillers, three-state drivers, what this reader knows no model of). `leakage_when` are
    the leakage powers by input state; `leakage_w` is what the file says without one, or else their
    mean. `clock_gate` is a clock gate's type, such as ``latch_posedge``. `scan` marks cells with a
    test mode.
    """

    name: str
    area_um2: float
    leakage_w: float
    leakage_when: tuple[tuple[Expression, float], ...]
    pins: dict[str, Pin]
    kind: str
    state: State | None = None
    clock_gate: str | None = None
    dont_use: bool = False
    scan: bool = False
    inputs: tuple[str, ...] = field(init=False)
    outputs: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("input", "output"):
            pins = tuple(pin.name for pin in self.pins.values() if pin.direction == name)
            object.__setattr__(self, f"{name}s", pins)


@dataclass(frozen=True, eq=False)
class Library:
    """A standard-cell library at one corner.

    `sha256` is that of the uncompressed text.
    """

    name: str
    path: Path
    sha256: str
    corner: str
    voltage_v: float
    temperature_c: float
    cells: dict[str, Cell]
    wire_loads: dict[str, WireLoad]
    default_wire_load: str | None

    def plain_text_path(self) -> Path:
        """The Liberty file for programs that cannot read a compressed one; written once."""
        if self.path.suffix != ".gz":
            return self.path.resolve()
        plain = build_folder() / "liberty" / self.sha256[:16] / self.path.name.removesuffix(".gz")
        if not plain.exists():
            write_whole(plain, gzip.decompress(self.path.read_bytes()))
        return plain.resolve()

    def cell(self, name: str) -> Cell:
        """A cell by name; LibraryError if there is none."""
        if name not in self.cells:
            raise LibraryError(f"The library {self.name} has no cell {name}")
        return self.cells[name]


# Finding it ---------------------------------------------------------------------------------------


def find_liberty(path: str | Path | None = None) -> Path:
    """Find the Liberty file to use.

    Parameters
    ----------
    path : path, optional
        The file itself. By default the environment's LIBERTY; else the typical corner of the
        standard cells under PDK_ROOT, as `ciel` lays a PDK out (PDK and STD_CELL_LIBRARY choose, as
        they do for LibreLane); else that of Debian's package qflow-tech-osu018.

    Raises
    ------
    LibraryError
        If there is none, or what was named is not there.
    """
    named = path or os.environ.get("LIBERTY")
    if named:
        found = Path(named)
        if not found.is_file():
            where = "" if path else "LIBERTY names "
            raise LibraryError(f"{where}{found}{'' if path else ', which'} is not a file")
        return found
    root = os.environ.get("PDK_ROOT")
    if root:
        return _in_pdk(Path(root))
    if DEBIAN_LIBERTY.is_file():
        return DEBIAN_LIBERTY
    raise LibraryError(
        "There is no standard-cell library here: set LIBERTY to a Liberty file, or PDK_ROOT to "
        "where `ciel enable --pdk-family sky130` put a PDK, or install Debian's package "
        "qflow-tech-osu018"
    )


def _in_pdk(root: Path) -> Path:
    """The typical corner of the best standard-cell library under `root`."""
    variant, library = os.environ.get("PDK"), os.environ.get("STD_CELL_LIBRARY")
    wanted = [(variant or v, library or name) for v, name in _PDK_PREFERENCES]
    # A PDK that was fetched but not enabled is only under ciel/<family>/versions/<hash>.
    places = [root, *sorted(root.glob("ciel/*/versions/*"))]
    for v, name in dict.fromkeys(wanted):
        for place in places:
            for folder in sorted(place.glob(f"{v}/libs.ref/{name}/lib")):
                files = [f for f in sorted(folder.iterdir()) if re.search(r"\.lib(\.gz)?$", f.name)]
                for corner in _TYPICAL:
                    for file in files:
                        if fnmatch(re.sub(r"\.lib(\.gz)?$", "", file.name), corner):
                            return file
    chosen = "".join(f", {n} {v}" for n, v in (("PDK", variant), ("library", library)) if v)
    raise LibraryError(
        f"PDK_ROOT names {root}{chosen}, where no typical corner of standard cells was found "
        "(<variant>/libs.ref/<library>/lib/*tt*.lib): install one with `ciel enable`, or set "
        "LIBERTY"
    )


# Reading it ---------------------------------------------------------------------------------------


def load_library(path: str | Path) -> Library:
    """Read a Liberty file, plain or compressed (.gz); kept under the build folder once read.

    Raises
    ------
    LibraryError
        If it cannot be read.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
    except OSError as error:
        raise LibraryError(f"{path} cannot be read: {error}") from None
    sha256 = hashlib.sha256(text).hexdigest()
    key = hashlib.sha256(sha256.encode() + _code()).hexdigest()[:16]
    kept = build_folder() / "liberty" / f"{key}.pickle"
    if kept.exists():
        try:
            library = pickle.loads(kept.read_bytes())
        except Exception:  # a broken file is made anew
            kept.unlink(missing_ok=True)
        else:
            object.__setattr__(library, "path", path)
            return library
    library = _read(text.decode(errors="replace"), path, sha256)
    write_whole(kept, pickle.dumps(library))
    return library


@cache
def _code() -> bytes:
    files = (__file__, liberty_syntax.__file__)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).digest()


def _read(text: str, path: Path, sha256: str) -> Library:
    try:
        group = read_liberty(text)
    except LibertySyntaxError as error:
        raise LibraryError(f"{path} cannot be read as Liberty: {error}") from None
    if group.name != "library":
        raise LibraryError(f"{path} is not a Liberty file: it holds no library")
    return _Reader(group).library(path, sha256)


#: Liberty's names of table axes to ours; any other is kept.
_AXES = {
    "input_net_transition": "input_transition",
    "input_transition_time": "input_transition",
    "total_output_net_capacitance": "output_capacitance",
    "constrained_pin_transition": "constrained_transition",
    "related_pin_transition": "related_transition",
}
_AXIS_ORDER = ("input_transition", "output_capacitance")
_PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6}
_CLOCK_GATE_ROLES = {
    "clock_gate_clock_pin": "clock",
    "clock_gate_enable_pin": "enable",
    "clock_gate_test_pin": "test",
    "clock_gate_out_pin": "out",
}


def _truth(text: str | None) -> bool:
    return text is not None and text.lower() == "true"


class _Reader:
    """Turns a file's groups into cells, tables and wire loads, in SI units."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._time = self._unit("time_unit", "1ns")
        self._voltage = self._unit("voltage_unit", "1V")
        self._leakage = self._unit("leakage_power_unit", "1nW")
        self._resistance = self._unit("pulling_resistance_unit", "1kohm")
        amount, unit = group.attributes.get("capacitive_load_unit", [("1", "pf")])[0]
        self._capacitance = float(amount) * _PREFIXES[unit[:-1].lower()]
        #: Energy in power tables: OpenSTA and the Liberty manual take voltage squared times load.
        self._energy = self._voltage**2 * self._capacitance
        self._templates = {
            template.arguments[0]: template
            for template in group.groups_named("lu_table_template", "power_lut_template")
        }

    def _number(self, group: Group, name: str, default: Any = None) -> Any:
        text = self._text(group, name)
        return default if text is None else float(text)

    @staticmethod
    def _text(group: Group, name: str) -> str | None:
        values = group.attributes.get(name)
        return " ".join(values[-1]) if values else None

    def _expression(self, group: Group, name: str) -> Expression | None:
        text = self._text(group, name)
        return Expression(text) if text else None

    def _unit(self, name: str, default: str) -> float:
        text = self._text(self._group, name) or default
        match = re.fullmatch(r"([\d.]+)\s*([a-zA-Z]*)", text.replace(" ", ""))
        prefix = re.sub(r"(s|V|W|ohm|A|[fF])$", "", match[2]) if match else "?"
        if not match or prefix not in _PREFIXES:
            raise LibraryError(f"The Liberty file's {name} {text!r} is not understood")
        return float(match[1]) * _PREFIXES[prefix]

    def library(self, path: Path, sha256: str) -> Library:
        group = self._group
        corner = self._text(group, "default_operating_conditions") or ""
        conditions = {g.arguments[0]: g for g in group.groups_named("operating_conditions")}
        here = conditions.get(corner) or next(iter(conditions.values()), group)
        voltage = self._number(here, "voltage") or self._number(group, "nom_voltage")
        temperature = self._number(here, "temperature")
        if temperature is None:
            temperature = self._number(group, "nom_temperature", 25.0)
        if voltage is None:
            raise LibraryError(f"{path} does not say the voltage of its corner")
        wire_loads = {}
        for wire in group.groups_named("wire_load"):
            lengths = sorted(
                (float(pair[0]), float(pair[1]))
                for pair in wire.attributes.get("fanout_length", [])
            )
            name = wire.arguments[0]
            wire_loads[name] = WireLoad(
                name,
                self._number(wire, "capacitance", 0.0) * self._capacitance,
                self._number(wire, "resistance", 0.0) * self._resistance,
                self._number(wire, "slope", 0.0),
                tuple(lengths),
            )
        default_wire_load = self._text(group, "default_wire_load")
        cells = {}
        for cell in group.groups_named("cell"):
            cells[cell.arguments[0]] = self._cell(cell)
        if not cells:
            raise LibraryError(f"{path} holds no cells")
        return Library(
            name=group.arguments[0] if group.arguments else path.stem,
            path=path,
            sha256=sha256,
            corner=corner or "nominal",
            voltage_v=voltage * self._voltage,
            temperature_c=temperature,
            cells=cells,
            wire_loads=wire_loads,
            default_wire_load=default_wire_load if default_wire_load in wire_loads else None,
        )

    def _cell(self, group: Group) -> Cell:
        name = group.arguments[0]
        pins = {}
        for pin in group.groups_named("pin"):
            for argument in pin.arguments:
                pins[argument] = self._pin(pin, argument)
        state = self._state(group)
        clock_gate = self._text(group, "clock_gating_integrated_cell")
        default, by_state = self._leakage_powers(group)
        return Cell(
            name=name,
            area_um2=self._number(group, "area", 0.0),
            leakage_w=default,
            leakage_when=by_state,
            pins=pins,
            kind=self._kind(group, pins, state, clock_gate),
            state=state,
            clock_gate=clock_gate,
            dont_use=any(_truth(values[0]) for values in group.attributes.get("dont_use", [])),
            scan=bool(group.groups_named("test_cell")),
        )

    def _leakage_powers(self, group: Group) -> tuple[float, tuple[tuple[Expression, float], ...]]:
        by_state: dict[str, float] = {}
        unconditional = None
        for leakage in group.groups_named("leakage_power"):
            value = self._number(leakage, "value", 0.0) * self._leakage
            when = self._text(leakage, "when")
            if when:  # one group a supply: they add up
                by_state[when] = by_state.get(when, 0.0) + value
            else:
                unconditional = (unconditional or 0.0) + value
        default = self._number(group, "cell_leakage_power")
        if default is not None:
            default *= self._leakage
        elif unconditional is not None:
            default = unconditional
        elif by_state:
            default = math.fsum(by_state.values()) / len(by_state)
        else:
            default = self._number(self._group, "default_cell_leakage_power", 0.0) * self._leakage
        return default, tuple((Expression(when), value) for when, value in by_state.items())

    def _state(self, group: Group) -> State | None:
        for kind in ("ff", "latch"):
            for found in group.groups_named(kind):
                names = found.arguments
                attributes = ("clocked_on", "next_state", "enable", "data_in", "clear", "preset")
                functions = {a: self._expression(found, a) for a in attributes}
                return State(names[0], names[1] if len(names) > 1 else None, **functions)
        return None

    @staticmethod
    def _kind(
        group: Group, pins: dict[str, Pin], state: State | None, clock_gate: str | None
    ) -> str:
        outputs = [pin for pin in pins.values() if pin.direction == "output"]
        inputs = [pin for pin in pins.values() if pin.direction == "input"]
        if clock_gate:
            return "clock_gate"
        if group.groups_named("statetable") or any(pin.three_state for pin in outputs):
            return "other"
        if any(group.groups_named(bank) for bank in ("ff_bank", "latch_bank", "bus", "bundle")):
            return "other"
        if not outputs or any(pin.direction == "inout" for pin in pins.values()):
            return "other"
        if state and all(pin.function for pin in outputs):
            if state.clocked_on and state.next_state:
                return "flip_flop"
            return "latch" if state.enable and state.data_in else "other"
        if state or any(pin.function is None for pin in outputs):
            return "other"
        if not inputs:
            return "tie"
        known = {pin.name for pin in inputs}
        described = all(set(pin.function.pins) <= known for pin in outputs if pin.function)
        return "combinational" if described else "other"

    def _pin(self, group: Group, name: str) -> Pin:
        direction = self._text(group, "direction") or "internal"
        group_default = f"default_{direction}_pin_cap"
        default = self._number(self._group, group_default, 0.0)
        capacitance = self._number(group, "capacitance", default) * self._capacitance
        maximum = self._number(group, "max_capacitance")
        roles = [r for a, r in _CLOCK_GATE_ROLES.items() if _truth(self._text(group, a))]
        return Pin(
            name=name,
            direction=direction,
            capacitance_f=capacitance,
            rise_capacitance_f=self._farads(group, "rise_capacitance", capacitance),
            fall_capacitance_f=self._farads(group, "fall_capacitance", capacitance),
            max_capacitance_f=None if maximum is None else maximum * self._capacitance,
            function=self._expression(group, "function"),
            state_function=self._expression(group, "state_function"),
            three_state=self._expression(group, "three_state"),
            is_clock=_truth(self._text(group, "clock")),
            clock_gate_role=roles[0] if roles else None,
            internal_power=tuple(
                power for g in group.groups_named("internal_power") for power in self._power(g)
            ),
            timing=tuple(arc for g in group.groups_named("timing") for arc in self._timing(g)),
        )

    def _farads(self, group: Group, name: str, default: float) -> float:
        value = self._number(group, name)
        return default if value is None else value * self._capacitance

    def _related(self, group: Group) -> list[str | None]:
        """Each of the pins a group is related to, or None alone."""
        return list((self._text(group, "related_pin") or "").split()) or [None]

    def _power(self, group: Group) -> Iterator[InternalPower]:
        both = self._table(group, "power", self._energy)
        rise = self._table(group, "rise_power", self._energy) or both
        fall = self._table(group, "fall_power", self._energy) or both
        when, supply = self._expression(group, "when"), self._text(group, "related_pg_pin")
        for pin in self._related(group):
            yield InternalPower(pin, when, rise, fall, supply)

    def _timing(self, group: Group) -> Iterator[TimingArc]:
        names = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
        names += ("rise_constraint", "fall_constraint")
        tables = {name: self._table(group, name, self._time) for name in names}
        kind = self._text(group, "timing_type") or "combinational"
        sense = self._text(group, "timing_sense")
        when = self._expression(group, "when")
        for pin in self._related(group):
            yield TimingArc(pin, kind, sense, when, **tables)

    @staticmethod
    def _floats(strings: Sequence[str]) -> np.ndarray:
        return np.array([float(word) for s in strings for word in s.replace(",", " ").split()])

    def _table(self, group: Group, name: str, unit: float) -> Table | None:
        """A group's table by name; `unit` is that of its values."""
        found = group.groups_named(name)
        if not found:
            return None
        table = found[0]
        values = self._floats(table.attributes["values"][0]) * unit
        template = self._templates.get(table.arguments[0]) if table.arguments else None
        axes: list[str] = []
        index: list[np.ndarray] = []
        for number in (1, 2, 3):
            variable = self._text(template, f"variable_{number}") if template else None
            if variable is None:
                break
            axis = _AXES.get(variable, variable)
            name = f"index_{number}"
            given = table.attributes.get(name) or template.attributes[name]
            scale = self._capacitance if "capacitance" in axis else self._time
            axes.append(axis)
            index.append(self._floats(given[0]) * scale)
        if not axes:
            values = values[:1]
        values = values.reshape([len(axis) for axis in index])
        if axes[:2] == list(reversed(_AXIS_ORDER)):  # some libraries have the load first
            axes[:2], index[:2] = axes[1::-1], index[1::-1]
            values = values.swapaxes(0, 1)
        return Table(tuple(axes), tuple(index), np.ascontiguousarray(values))
