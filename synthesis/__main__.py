"""`python -m synthesis`: netlists, proofs, timing, energy, macro views and the report."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from behavioral_models.files import write_whole
from behavioral_models.geometry import PRESETS, preset
from hdl.parameters import ROWS_PER_UPDATE, STYLES, ChipParameters

from .library import Library, find_liberty, load_library
from .netlist import DEFAULT_STYLE, Netlist, NetlistError, load_netlist, synthesize
from .study import Point, make_netlist, measure, study
from .timing import timing_or_reason

BUILD = Path("build/synthesis")


def _chip(options: argparse.Namespace) -> ChipParameters:
    geometry = preset(options.geometry)
    if options.macros_per_bank is not None:
        geometry = replace(
            geometry,
            macros_per_bank=options.macros_per_bank,
            max_inputs=max(geometry.max_inputs, geometry.rows * options.macros_per_bank),
        )
    return ChipParameters(
        geometry,
        options.timing,
        options.style,
        clock_hz=options.clock,
        borrow_split=options.borrow_split,
        rows_per_update=options.rows_per_update,
    )


def _folder(options: argparse.Namespace) -> Path:
    name = f"{options.geometry}-{options.style}-{options.timing}"
    return options.output or BUILD / name


def _netlist_of(options: argparse.Namespace, library: Library) -> Netlist:
    """The netlist of these options: the one in --output, or one kept under the build folder."""
    parameters = _chip(options)
    folder = options.output
    if folder is None:
        return make_netlist(parameters, library)
    if not (folder / "netlist.json").exists():
        return synthesize(parameters, library, folder)
    netlist = load_netlist(folder)
    if netlist.parameters != parameters or netlist.library_sha256 != library.sha256:
        raise NetlistError(
            f"{folder} holds the netlist of another chip or library; name another folder"
        )
    return netlist


def _netlist(options: argparse.Namespace) -> int:
    library = load_library(find_liberty(options.liberty))
    netlist = synthesize(_chip(options), library, _folder(options))
    print(
        f"{netlist.folder}: {netlist.total_area_um2:,.0f} um2 of {library.name}; "
        "chip.v for simulators with cells.v, chip_sta.v for OpenSTA, rtl/ what it was made from"
    )
    return 0


def _equivalence(options: argparse.Namespace) -> int:
    from .deferred_proof import prove_deferred
    from .equivalence import check_equivalence, prove_styles

    library = load_library(find_liberty(options.liberty))
    parameters = _chip(options)
    netlist = _netlist_of(options, library)
    results = check_equivalence(netlist, library)
    for result in results:
        print(f"{'equal' if result.equal else 'UNEQUAL':8}{result.module}")
    geometry = parameters.geometry
    split = [parameters.borrow_split] if parameters.style == "borrow_gated" else []
    styles = prove_styles(geometry.register_width, geometry.macros_per_bank, *split)
    for style in styles:
        print(f"{'equal' if style.equal else 'UNEQUAL':8}style {style.style} to style enabled")
    results = [*results, *styles]
    if parameters.style == "deferred":  # columns are independent, so one is proven
        core = prove_deferred(replace(parameters, geometry=replace(geometry, columns=1)))
        print(f"{'equal' if core.equal else 'UNEQUAL':8}core of style deferred to style enabled")
        results.append(core)
    return 0 if all(result.equal for result in results) else 1


def _timing(options: argparse.Namespace) -> int:
    library = load_library(find_liberty(options.liberty))
    folder = _folder(options)
    netlist = _netlist_of(options, library)
    report, reason = timing_or_reason(
        netlist, [library, *options.corner], 1 / netlist.parameters.clock_hz
    )
    if report is None:
        print(reason)
        return 1
    write_whole(folder / "timing.json", json.dumps(report.as_dict(), indent=2) + "\n")
    for corner in report.corners:
        worst = corner.setup["worst"]
        print(
            f"{corner.corner}: {corner.maximum_clock_hz / 1e6:.1f} MHz at most; at "
            f"{1e-6 / report.period_s:.1f} MHz slack {corner.setup_slack_s * 1e9:.2f} ns setup, "
            f"{corner.hold_slack_s * 1e9:.2f} ns hold; worst path {worst.startpoint} "
            f"({worst.start_block}) to {worst.endpoint} ({worst.end_block})"
        )
    print(f"all paths by block: {folder / 'timing.json'}")
    return 0


def _energy(options: argparse.Namespace) -> int:
    library = load_library(find_liberty(options.liberty))
    point = Point(_chip(options), options.workload, options.inferences, options.delays)
    found = measure(point, library)
    for wires, report in found["energy"].items():
        print(f"{options.workload}, {options.delays} delays, {wires}, {report['voltage_v']:g} V:")
        for name, figures in report["boundaries"].items():
            print(
                f"  {1e15 * figures['energy_per_mac_j']:8.1f} fJ/MAC {name:10} {figures['holds']}"
            )
        print(f"  control: {100 * report['control_share_of_core']:.1f} % of the core")
    return 0


def _views(options: argparse.Namespace) -> int:
    from .macro_views import write_views

    folder = options.output or BUILD / f"views-{options.geometry}"
    for kind, path in write_views(_chip(options).geometry, folder).items():
        print(f"{kind}: {path}")
    return 0


def _report(options: argparse.Namespace) -> int:
    from .report import write_report

    data = study(_chip(options), options.liberty, options.corner, options.quick, options.workers)
    folder = options.output or BUILD.parent / "report"
    page, figures = write_report(data, folder)
    print(f"{page}: open it in a browser; {figures}: the same for programs")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m synthesis",
        description="Make netlists of the chip and say what it costs: area, timing, energy. "
        "All need a Liberty file: LIBERTY=..., or PDK_ROOT=..., or --liberty.",
        epilog="example: python -m synthesis report --style deferred",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, words, example in (
        ("netlist", _netlist, "map the chip to library cells", "--style borrow_gated"),
        ("equivalence", _equivalence, "prove netlist and RTL equal, block by block", "--timing 3"),
        ("timing", _timing, "slack, maximum clock and worst paths, by OpenSTA", "--clock 100e6"),
        ("energy", _energy, "energy of whole inferences", "--workload digits --delays liberty"),
        ("views", _views, "the macro's .lib, energy .lib and .lef", "--geometry test_die"),
        ("report", _report, "everything on one page, and as JSON", "--output build/report"),
    ):
        command = commands.add_parser(
            name,
            help=words,
            description=words[0].upper() + words[1:] + ".",
            epilog=f"example: python -m synthesis {name} {example}",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        command.set_defaults(run=run)
        add = command.add_argument
        add("--geometry", default="jebali_2024", metavar="PRESET", help=", ".join(PRESETS))
        add("--macros-per-bank", type=int, default=None, help="instead of the preset's")
        add("--timing", type=int, choices=(1, 2, 3), default=1, help="clock cycles a row")
        add("--style", choices=STYLES, default=DEFAULT_STYLE, help="neuron registers")
        add("--borrow-split", type=int, default=None, help="bits of a register's low part")
        add("--rows-per-update", type=int, choices=ROWS_PER_UPDATE, default=None,
            help="rows that a deferred register counts at once")  # fmt: skip
        add("--clock", type=float, default=66e6, metavar="HZ", help="clock aimed at")
        add("--liberty", type=Path, default=None, metavar="FILE", help="library of cells")
        add("--output", type=Path, default=None, metavar="FOLDER", help="where results go")
        if name in ("timing", "report"):
            add("--corner", type=Path, action="append", default=[], metavar="FILE",
                help="one more Liberty file of the same cells, for timing")  # fmt: skip
        if name == "energy":
            add("--workload", choices=("random", "digits"), default="random",
                help="fully used random data, or the digits network")  # fmt: skip
            add("--inferences", type=int, default=20, help="how many")
            add("--delays", choices=("zero", "liberty"), default="zero",
                help="without glitches, or with the library's delays")  # fmt: skip
        if name == "report":
            add("--quick", action="store_true", help="few points, to see its shape")
            add("--workers", type=int, default=None, help="processes; one a processor if not given")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run it; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ValueError, OSError, RuntimeError) as error:  # each of our errors is one of these
        print(f"python -m synthesis {options.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
