"""What a report is made from: netlists measured by one method, side by side.

A point is a chip's netlist running one workload: area, cycles and energy. Points are kept under
the build folder by what they were made from, so that a report is made again in no time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from behavioral_models.files import write_whole
from behavioral_models.geometry import JEBALI_2024, ChipGeometry
from hdl.parameters import STYLES, ChipParameters
from hdl.yosys import find_yosys
from sim.tools import ToolError
from sim.verilated import BUILD

from . import gate_level
from .column import ColumnError, NoCellError, compare_column
from .energy import energy
from .equivalence import check_equivalence
from .library import Library, find_liberty, load_library
from .macro_views import SUPPLY_V, macro_numbers, sense_energy_j
from .netlist import DEFAULT_STYLE, Netlist, flatten, load_netlist, synthesize
from .scaling import load as load_scaling
from .simulation import simulate
from .timing import timing_or_reason
from .traces import record

__all__ = [
    "WIRES",
    "Point",
    "make_netlist",
    "measure",
    "same_memristors",
    "styles_and_sweep",
    "study",
]

#: How wires and clock tree are counted, by name: arguments of `synthesis.energy.energy`.
WIRES: dict[str, dict[str, Any]] = {
    "wire load and clock tree": {"clock_tree": True},
    "ideal wires": {},
    "ten times the wire load and clock tree": {"clock_tree": True, "wire_factor": 10.0},
}

#: Inferences of a point; activities per MAC change by less than 1 % beyond.
INFERENCES = 20

#: Supplies that energies are scaled to, V.
SUPPLIES_V = (1.8, 1.2, 0.7)


@dataclass(frozen=True)
class Point:
    """One chip and what it runs: everything that a measurement depends on but the library."""

    parameters: ChipParameters
    workload: str = "random"
    inferences: int = INFERENCES
    delays: str = "zero"


@cache
def _code() -> str:
    """Hash of all code that a measurement runs through."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    others = ("report", "report_page", "__main__", "librelane", "timing", "opensta")
    digest.update(find_yosys().encode())
    for folder in ("synthesis", "hdl", "behavioral_models", "networks", "sim"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".v", ".toml") and path.stem not in others:
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _kept(kind: str, key: Any) -> Path:
    text = json.dumps([kind, key, _code()], sort_keys=True, default=str)
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    return BUILD / "synthesis" / kind / f"{name}.json"


def make_netlist(parameters: ChipParameters, library: Library) -> Netlist:
    """The netlist of a chip, made or found made, under the build folder."""
    key = [asdict(parameters), library.sha256]
    folder = _kept("netlists", key).with_suffix("")
    if (folder / "netlist.json").exists():
        return load_netlist(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
        synthesize(parameters, library, Path(scratch) / "netlist")
        with contextlib.suppress(OSError):  # another process was first
            (Path(scratch) / "netlist").rename(folder)
    return load_netlist(folder)


def measure(point: Point, library: Library) -> dict[str, Any]:
    """Area, cycles and energy of a point, with every kind of WIRES; kept, see the module.

    Returns
    -------
    dict
        `parameters`, `workload`, `delays`, `area` by block (cells, um2, flip-flops),
        `core_area_um2`, `cycles`, `inferences`, `useful_macs`, `energy` by kind of wires
        (`EnergyReport.as_dict`).
    """
    path = _kept("points", [asdict(point), library.sha256])
    if path.exists():
        return json.loads(path.read_text())
    netlist = make_netlist(point.parameters, library)
    flat = flatten(netlist)
    trace = record(point.parameters, point.workload, point.inferences)
    activity = simulate(
        flat,
        library,
        trace,
        point.delays,  # type: ignore[arg-type]
        period_s=1 / point.parameters.clock_hz,
        progress=False,
    )
    area = flat.area_by_block(library)
    energies = {}
    for name, options in WIRES.items():
        wire_load = None if name == "ideal wires" else library.default_wire_load
        report = energy(flat, library, activity, wire_load=wire_load, **options)
        energies[name] = report.as_dict()
    result = {
        "parameters": describe(point.parameters),
        "workload": point.workload,
        "delays": point.delays,
        "area": area,
        "core_area_um2": sum(
            each["area_um2"] for block, each in area.items() if block not in ("host port", "chip")
        ),
        "cycles": activity.cycles,
        "inferences": activity.source["inferences"],
        "useful_macs": activity.source["useful_macs"],
        "energy": energies,
    }
    write_whole(path, json.dumps(result, indent=1) + "\n")
    return json.loads(path.read_text())


def describe(parameters: ChipParameters) -> dict[str, Any]:
    """Parameters as plain data."""
    return {
        **parameters.geometry.as_dict(),
        "register_width": parameters.geometry.register_width,
        "memristors": parameters.geometry.memristors,
        "neurons": parameters.geometry.neurons,
        "read_timing": parameters.read_timing,
        "style": parameters.style,
        "borrow_split": parameters.borrow_split,
        "rows_per_update": parameters.rows_per_update,
        "clock_hz": parameters.clock_hz,
    }


def same_memristors(macros_per_bank: int) -> ChipGeometry:
    """The published chip's 32,768 memristors with so many macros a bank (1, 2, 4, 8 or 16).

    Macros stay 64 x 64 as long as four of them make the chip; beyond, columns are halved. Registers
    are as wide as one pass needs.
    """
    if macros_per_bank not in (1, 2, 4, 8, 16):
        raise ValueError(
            f"Macros per bank of the same memristors are 1, 2, 4, 8 or 16, not {macros_per_bank!r}"
        )
    banks = max(1, 4 // macros_per_bank)
    columns = min(64, 256 // macros_per_bank)
    rows = JEBALI_2024.rows
    return replace(
        JEBALI_2024,
        banks=banks,
        macros_per_bank=macros_per_bank,
        columns=columns,
        max_inputs=58 * macros_per_bank,
        rows=rows,
    )


def styles_and_sweep(quick: bool = False) -> dict[str, list[Point]]:
    """Points of the two tables: styles by read timing, and macros per bank with their options.

    Parameters
    ----------
    quick : bool
        A few of them with 2 inferences each, for tests.
    """
    inferences = 2 if quick else INFERENCES
    timings = (1,) if quick else (3, 2, 1)
    styles = [
        Point(ChipParameters(JEBALI_2024, timing, style), inferences=inferences)
        for style in (("enabled", DEFAULT_STYLE) if quick else STYLES)
        for timing in timings
    ]
    sweep = []
    for macros in (8,) if quick else (1, 2, 4, 8, 16):
        geometry = same_memristors(macros)
        sweep += [
            Point(ChipParameters(geometry, 1, style), inferences=inferences)
            for style in ((DEFAULT_STYLE,) if quick else ("borrow_gated", DEFAULT_STYLE))
        ]
    if not quick:
        for changes in (
            {"rows_per_update": 2},
            {"rows_per_update": 8},
            {"borrow_split": 5},
            {"borrow_split": 6},
        ):
            sweep.append(Point(ChipParameters(JEBALI_2024, 1, DEFAULT_STYLE, **changes)))
    return {"styles": styles, "sweep": sweep}


def _measure_by_path(point: Point, liberty: Path) -> dict[str, Any]:
    """As `measure`, in a process of its own."""
    return measure(point, load_library(liberty))


def measure_all(
    points: Iterable[Point], library: Library, workers: int | None = None
) -> list[dict[str, Any]]:
    """Measure points side by side, with a progress bar; results in the order of the points."""
    points = list(points)
    results: dict[Point, dict[str, Any]] = {}
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        waiting = {
            pool.submit(_measure_by_path, point, library.path): point
            for point in dict.fromkeys(points)
        }
        for done in tqdm(as_completed(waiting), "netlists", len(waiting), unit="chip", leave=False):
            results[waiting[done]] = done.result()
    return [results[point] for point in points]


def study(
    parameters: ChipParameters,
    liberty: str | Path | None = None,
    corners: Sequence[Path] = (),
    quick: bool = False,
    workers: int | None = None,
) -> dict[str, Any]:
    """Measure all that a report shows.

    Parameters
    ----------
    parameters : ChipParameters
        The chip that the report is about.
    liberty : path, optional
        See `synthesis.library.find_liberty`.
    corners : list of Path
        More Liberty files, for timing.
    quick : bool
        The shape of a report with little in it, for tests.
    workers : int, optional
        Processes; by default one a processor.

    Returns
    -------
    dict
        Plain data, the same for the same input: no times, no paths.
    """
    library = load_library(find_liberty(liberty))
    netlist = make_netlist(parameters, library)
    inferences = 2 if quick else INFERENCES
    own = [
        Point(parameters, workload, inferences, delays)
        for workload in ("random", "digits")
        for delays in ("zero", "liberty")
        if workload != "digits" or parameters.geometry == JEBALI_2024
    ]
    tables = styles_and_sweep(quick)
    measured = measure_all([*own, *tables["styles"], *tables["sweep"]], library, workers)
    first = len(own) + len(tables["styles"])
    timing, no_timing = timing_or_reason(netlist, [library, *corners], 1 / parameters.clock_hz)
    scaling = load_scaling()
    return {
        "chip": describe(parameters),
        "library": {
            "name": library.name,
            "sha256": library.sha256,
            "corner": library.corner,
            "voltage_v": library.voltage_v,
            "temperature_c": library.temperature_c,
            "wire_load": library.default_wire_load,
        },
        "tools": netlist.tools,
        "area": measured[0]["area"],
        "timing": timing.as_dict() if timing else {"missing": no_timing},
        "energy": measured[: len(own)],
        "macro": _macro(parameters.geometry, library.voltage_v),
        "styles": measured[len(own) : first],
        "sweep": measured[first:],
        "scaling": scaling.as_dict(),
        "checks": _checks(netlist, library, parameters, quick),
    }


def _macro(geometry: ChipGeometry, supply_v: float) -> dict[str, Any]:
    """Energy of the macros' reads, from the SPICE decks' model, at the supplies it holds for."""
    by_supply = {}
    for volts in dict.fromkeys((*SUPPLIES_V, supply_v)):
        with contextlib.suppress(ValueError):  # outside the amplifier's range
            by_supply[f"{volts:g}"] = sense_energy_j(geometry.rows, geometry.columns, volts)
    numbers = macro_numbers(geometry)
    return {
        "sense_j": numbers.sense_j,
        "sense_per_mac_j": numbers.sense_j / geometry.columns,
        "supply_v": SUPPLY_V,
        "by_supply_j": by_supply,
        "numbers": asdict(numbers),
    }


def _checks(
    netlist: Netlist, library: Library, parameters: ChipParameters, quick: bool
) -> dict[str, Any]:
    """What was checked while the report was made, or why not."""
    checks: dict[str, Any] = {}
    if parameters.geometry == JEBALI_2024 and not quick:
        path = _kept("gate_level", [asdict(parameters), library.sha256])
        if not path.exists():
            run = gate_level.run_digits(netlist, progress=False)
            write_whole(path, json.dumps(run.as_dict(), indent=1) + "\n")
        checks["gate_level"] = json.loads(path.read_text())
    path = _kept("equivalence", [asdict(parameters), library.sha256])
    if not path.exists() and not quick:
        results = [asdict(result) for result in check_equivalence(netlist, library)]
        write_whole(path, json.dumps(_plain(results), indent=1) + "\n")
    if path.exists() and not quick:
        checks["equivalence"] = json.loads(path.read_text())
    path = _kept("column", [asdict(parameters), library.sha256])
    if not path.exists() and not quick:
        try:
            trace = record(parameters, "random", INFERENCES)
            found = compare_column(flatten(netlist), library, trace)
            write_whole(path, json.dumps(_plain(found), indent=1) + "\n")
        except (ToolError, NoCellError) as error:
            checks["column"] = {"missing": str(error)}
        except ColumnError as error:
            checks["column"] = {"failed": str(error)}
    if path.exists() and not quick:
        checks["column"] = json.loads(path.read_text())
    return checks


def _plain(data: Any) -> Any:
    """Arrays as lists, for JSON."""
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    return data.tolist() if hasattr(data, "tolist") else data
