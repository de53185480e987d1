"""Timing of a netlist in OpenSTA: slack, maximum clock, hold and the worst path of every block.

The clock is ideal: it reaches every flip-flop at once, through clock gates without delay of the
tree. Wires have what the library's default wire-load model gives them, which is little for SKY130.
Macros have the `.lib` of `synthesis.macro_views`, which knows one corner, whatever the library's.
"""

from __future__ import annotations

import gzip
import re
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthesis.library import Library
from synthesis.macro_views import SUPPLY_V, TEMPERATURE_C, liberty, macro_numbers
from synthesis.netlist import FlatNetlist, Netlist
from synthesis.opensta import OpenStaError, run_sta

__all__ = [
    "CONDITIONS",
    "CornerTiming",
    "TimingPath",
    "TimingReport",
    "constraints",
    "timing",
    "timing_or_reason",
]

#: What every report says of itself.
CONDITIONS = (
    "clock ideal: no tree, no skew, no uncertainty",
    "wires by the library's default wire-load model, no placement",
    "a quarter of the period is taken outside each pin; the reset's release is not timed",
    f"macros by their abstract view at every corner: {SUPPLY_V:g} V, {TEMPERATURE_C:g} C, typical",
)

#: Times OpenSTA looks again at the clock that the slack promises, and what it may miss by.
_TRIES, _EXACT_S = 5, 2e-12

_PINS = "pins"


@dataclass(frozen=True)
class TimingPath:
    """The worst path to an endpoint.

    Attributes
    ----------
    startpoint, endpoint : str
        Pins or ports, with their hierarchical names.
    start_block, end_block : str
        One of `synthesis.netlist.BLOCKS`, or ``pins`` for a port of the top.
    slack_s, arrival_s, required_s : float
    steps : list of dict
        `pin`, `cell`, `edge` (``rise`` or ``fall``), `delay_s` and `at_s` of each pin on the way.
    """

    startpoint: str
    endpoint: str
    start_block: str
    end_block: str
    slack_s: float
    arrival_s: float
    required_s: float
    steps: list[dict[str, Any]]


@dataclass(frozen=True)
class CornerTiming:
    """What OpenSTA says at one corner.

    Attributes
    ----------
    corner : str
        Name of the library.
    setup_slack_s, hold_slack_s : float
        The worst.
    minimum_period_s, maximum_clock_hz : float
        By setup and by the macros' shortest period; hold does not depend on it.
    slack_at_maximum_s : float
        Worst setup slack that a second run found at that period: about 0, or above where the
        macros limit it.
    limited_by : str
        ``logic``, or ``macro`` where its own shortest period is the longer.
    setup, hold : dict
        Worst path to each block's endpoints, by block, and of all under ``worst``.
    endpoints : int
        Endpoints that were checked for setup.
    unconstrained_endpoints : int
        Endpoints that nothing constrains: should be 0.
    """

    corner: str
    setup_slack_s: float
    hold_slack_s: float
    minimum_period_s: float
    maximum_clock_hz: float
    slack_at_maximum_s: float
    limited_by: str
    setup: dict[str, TimingPath]
    hold: dict[str, TimingPath]
    endpoints: int
    unconstrained_endpoints: int


@dataclass(frozen=True)
class TimingReport:
    """Timing of one netlist at every corner given."""

    top: str
    style: str
    read_timing: int
    period_s: float
    tool: str
    conditions: tuple[str, ...]
    corners: list[CornerTiming]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        return asdict(self)

    @property
    def slowest(self) -> CornerTiming:
        """The corner with the lowest maximum clock."""
        return min(self.corners, key=lambda corner: corner.maximum_clock_hz)


def constraints(netlist: Netlist, period_s: float) -> str:
    """The SDC of the netlist's RTL, at another period and for ports that are split into bits.

    Parameters
    ----------
    netlist : Netlist
    period_s : float
        Clock period; what is outside the pins takes a quarter of it, as in `hdl.generate.sdc`.

    Raises
    ------
    OpenStaError
        If the netlist's folder has no SDC.
    """
    path = netlist.folder / "rtl" / f"{netlist.options.top}.sdc"
    if not path.exists():
        raise OpenStaError(f"There is no {path}: make the netlist anew")
    text = path.read_text()
    ports = netlist.design[netlist.top_module]["ports"]

    def bits(match: re.Match[str]) -> str:
        names = []
        for name in match[1].split():
            width = len(ports[name]["bits"]) if name in ports else 0
            names += [name] if width == 1 else [rf"{name}\[{bit}\]" for bit in range(width)]
        return "[get_ports {" + " ".join(names) + "}]"

    text = re.sub(r"-period [\d.]+", f"-period {period_s * 1e9:.6f}", text)
    text = re.sub(r"delay [\d.]+", f"delay {period_s * 1e9 / 4:.6f}", text)
    return re.sub(r"\[get_ports \{(.*?)\}\]", bits, text)


def timing(
    netlist: Netlist, libraries: Iterable[Library | Path | str], period_s: float | None = None
) -> TimingReport:
    """Run OpenSTA on a netlist at every corner.

    Parameters
    ----------
    netlist : Netlist
    libraries : iterable of Library or Path
        Liberty files (`.lib` or `.lib.gz`), one a corner; all with the cells of the netlist.
    period_s : float, optional
        Clock period to report slack at, by default that of the netlist's parameters.

    Raises
    ------
    OpenStaError
        If OpenSTA is missing or fails, or a library lacks the netlist's cells.
    ValueError
        If there is no library or the period is not positive.
    """
    libraries = list(libraries)
    if not libraries:
        raise ValueError("Timing needs at least one Liberty file: one a corner")
    period_s = 1 / netlist.parameters.clock_hz if period_s is None else period_s
    if not period_s > 0:
        raise ValueError(f"A clock period must be positive, not {period_s!r} s")
    tool = "OpenSTA " + run_sta("puts [sta::version]").strip().splitlines()[-1]
    with tempfile.TemporaryDirectory(prefix="heliobit-timing-") as scratch:
        macro = Path(scratch) / "macro.lib"
        macro.write_text(liberty(netlist.parameters.geometry))
        corners = []
        for number, library in enumerate(libraries):
            path = _plain(library, Path(scratch) / f"corner_{number}.lib")
            corners.append(_corner(netlist, path, macro, period_s))
    parameters = netlist.parameters
    return TimingReport(
        top=netlist.options.top,
        style=parameters.style,
        read_timing=parameters.read_timing,
        period_s=period_s,
        tool=tool,
        conditions=CONDITIONS,
        corners=corners,
    )


def timing_or_reason(
    netlist: Netlist, libraries: Iterable[Library | Path | str], period_s: float | None = None
) -> tuple[TimingReport | None, str]:
    """`timing`, or None and a sentence that says why not, where OpenSTA is missing or fails."""
    try:
        return timing(netlist, libraries, period_s), ""
    except OpenStaError as error:
        return None, str(error)


def _plain(library: Library | Path | str, copy: Path) -> Path:
    """A path that tools can read which know no gzip."""
    if isinstance(library, Library):
        return Path(library.plain_text_path()).resolve()
    path = Path(library)
    if not path.exists():
        raise OpenStaError(f"There is no Liberty file {path}: name one that exists")
    if path.suffix != ".gz":
        return path.resolve()
    copy.write_bytes(gzip.decompress(path.read_bytes()))
    return copy


def _library_name(path: Path) -> str:
    with path.open() as file:
        for line in file:
            if match := re.match(r'\s*library\s*\(\s*"?([^")]+?)"?\s*\)', line):
                return match[1]
    return path.stem


def _read(netlist: Netlist, library: Path, macro: Path) -> str:
    """Commands that load library, macro and netlist; the macro only where there is one."""
    lines = [f"read_liberty {{{library}}}"]
    if netlist.options.top == "chip":
        lines.append(f"read_liberty {{{macro}}}")
    lines.append(f"read_verilog {{{netlist.file('_sta.v').resolve()}}}")
    lines.append(f"link_design {netlist.top_module}")
    return "\n".join(lines) + "\n"


#: Whether brackets of a name must be escaped differs between pins and ports, and versions.
_FIND = r"""
proc heliobit_find {command name} {
  set found [$command $name]
  if {[llength $found]} { return $found }
  return [$command [string map {\[ \\[ \] \\]} $name]]
}
"""

#: Lines of `report_checks -format summary`: startpoint, endpoint, slack; libraries in nanoseconds.
_SUMMARY = re.compile(r"^(\S+) \([^)]*\)\s+(\S+) \([^)]*\)\s+(-?[\d.]+)$", re.M)
_STEP = re.compile(r"^\s*(-?[\d.]+)\s+(-?[\d.]+) ([v^]) (\S+) \(([^)]*)\)$", re.M)

#: Sections of what a script prints.
_MARK = "heliobit-section"


def _sections(text: str) -> dict[str, str]:
    parts = re.split(rf"^{_MARK} (\S+)\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _summaries(text: str) -> list[tuple[str, str, float]]:
    """Start, end and slack in seconds of each path, the worst first."""
    found = [(start, end, float(slack) * 1e-9) for start, end, slack in _SUMMARY.findall(text)]
    return sorted(found, key=lambda path: (path[2], path[1], path[0]))


_ENDPOINTS = "report_checks -path_delay {} -group_count 1000000 -format summary -digits 6\n"


def _corner(netlist: Netlist, library: Path, macro: Path, period_s: float) -> CornerTiming:
    load = _FIND + _read(netlist, library, macro)
    script = load + constraints(netlist, period_s)
    for kind in ("max", "min"):
        script += f"puts {{{_MARK} {kind}}}\n" + _ENDPOINTS.format(kind)
    script += f"puts {{{_MARK} unconstrained}}\ncheck_setup -unconstrained_endpoints -verbose\n"
    sections = _sections(run_sta(script))
    setup, hold = _summaries(sections["max"]), _summaries(sections["min"])
    if not setup or not hold:
        raise OpenStaError("OpenSTA found no path with a clock at both ends: is the netlist whole?")
    unconstrained = re.search(r"There (?:are|is) (\d+) unconstrained", sections["unconstrained"])

    top = netlist.options.top
    ports = {
        bit
        for name, port in netlist.design[netlist.top_module]["ports"].items()
        for bit in (name, *(f"{name}[{k}]" for k in range(len(port["bits"]))))
    }
    flat = FlatNetlist(top, [], [], {})

    def block(pin: str) -> str:
        pin = pin.replace("\\", "")
        return _PINS if pin in ports else flat.block_of(pin.rpartition("/")[0])

    minimum_s = _period_promised(setup, period_s, ports)
    paths, at_minimum = {}, 0.0
    for attempt in range(_TRIES):
        script = load
        if attempt == 0:
            script += constraints(netlist, period_s)
            for kind, found in (("max", setup), ("min", hold)):
                for end in _worst_by(found, block).values():
                    script += f"puts {{{_MARK} {kind}/{end[1]}}}\n"
                    script += (
                        f"report_checks -path_delay {kind} -to {_object(end[1], ports)} "
                        "-format full -digits 6\n"
                    )
        script += constraints(netlist, minimum_s)
        script += f"puts {{{_MARK} again}}\n" + _ENDPOINTS.format("max")
        sections = _sections(run_sta(script))
        if attempt == 0:
            paths = {
                kind: {
                    name: _path(sections[f"{kind}/{end[1]}"], end, block)
                    for name, end in _worst_by(found, block).items()
                }
                for kind, found in (("max", setup), ("min", hold))
            }
        again = _summaries(sections["again"])
        at_minimum = again[0][2]
        if abs(at_minimum) <= _EXACT_S:
            break
        minimum_s = _period_promised(again, minimum_s, ports)
    limited_by = "logic"
    if top == "chip":
        macro_s = macro_numbers(netlist.parameters.geometry).period_s
        if macro_s > minimum_s:
            at_minimum += macro_s - minimum_s
            minimum_s, limited_by = macro_s, "macro"
    return CornerTiming(
        corner=_library_name(library),
        setup_slack_s=setup[0][2],
        hold_slack_s=hold[0][2],
        minimum_period_s=minimum_s,
        maximum_clock_hz=1 / minimum_s,
        slack_at_maximum_s=at_minimum,
        limited_by=limited_by,
        setup=paths["max"],
        hold=paths["min"],
        endpoints=len({end for _, end, _ in setup}),
        unconstrained_endpoints=int(unconstrained[1]) if unconstrained else 0,
    )


def _period_promised(
    paths: list[tuple[str, str, float]], period_s: float, ports: set[str]
) -> float:
    """Shortest period at which every path's slack is at least 0, were paths a cycle long each.

    A path from or to a port has only three quarters of the period for itself, or half.
    """

    def needed(start: str, end: str, slack_s: float) -> float:
        outside = sum(pin.replace("\\", "") in ports for pin in (start, end))
        return period_s - slack_s / (1 - outside / 4)

    return max(needed(*path) for path in paths)


def _worst_by(paths: list[tuple[str, str, float]], block: Any) -> dict[str, tuple[str, str, float]]:
    """Worst path to each block's endpoints, and of all: the first, as they are sorted."""
    found = {"worst": paths[0]}
    for path in paths:
        found.setdefault(block(path[1]), path)
    return found


def _object(pin: str, ports: set[str]) -> str:
    name = pin.replace("\\", "")
    return f"[heliobit_find {'get_ports' if name in ports else 'get_pins'} {{{name}}}]"


def _path(text: str, found: tuple[str, str, float], block: Any) -> TimingPath:
    """Read one path of `report_checks -format full`."""
    start, end, slack_s = found

    def number(words: str) -> float:
        match = re.search(rf"(-?[\d.]+)\s+{words}$", text, re.M)
        if match is None:
            raise OpenStaError(f"OpenSTA listed no {words} for {end}")
        return float(match[1]) * 1e-9

    data = text[: text.index("data arrival time")] if "data arrival time" in text else text
    steps = [
        {
            "pin": pin.replace("\\", ""),
            "cell": cell,
            "edge": "rise" if edge == "^" else "fall",
            "delay_s": float(delay) * 1e-9,
            "at_s": float(at) * 1e-9,
        }
        for delay, at, edge, pin, cell in _STEP.findall(data)
    ]
    start, end = start.replace("\\", ""), end.replace("\\", "")
    return TimingPath(
        startpoint=start,
        endpoint=end,
        start_block=block(start),
        end_block=block(end),
        slack_s=slack_s,
        arrival_s=number("data arrival time"),
        required_s=number("data required time"),
        steps=steps,
    )
