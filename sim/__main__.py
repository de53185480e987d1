"""`python -m sim`: the main job, the register trace, the benchmark and the experiments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from behavioral_models.geometry import PRESETS, preset
from hdl.generate import generate
from hdl.parameters import STYLES, ChipParameters
from hdl.yosys import YosysError
from networks.host import HostError
from sim.experiments.experiment import ExperimentError
from sim.tools import ToolError

FORMATTER = argparse.ArgumentDefaultsHelpFormatter


def _chip_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--geometry", default="jebali_2024", metavar="PRESET",
                        help=f"one of {', '.join(PRESETS)}")  # fmt: skip
    parser.add_argument("--timing", type=int, choices=(1, 2, 3), default=1,
                        help="clock cycles a row")  # fmt: skip
    parser.add_argument("--style", choices=STYLES, default="enabled", help="neuron registers")


def _digits(options: argparse.Namespace) -> int:
    from sim.digits import run_digits, summary

    parameters = ChipParameters(preset(options.geometry), options.timing, options.style)
    verilog = options.output / "verilog" / "chip"
    generate(parameters, verilog)
    measured = run_digits(
        parameters, options.output / "digits", verilog, options.images, not options.no_waveform
    )
    print(summary(measured, verilog, options.output / "digits"))
    return 1 if any(measured["differences"].values()) else 0


def _trace(options: argparse.Namespace) -> int:
    from sim.trace import trace

    print(trace(options.timing, options.seed, options.output / "trace.vcd"))
    return 0


def _bench(options: argparse.Namespace) -> int:
    from sim.bench import run_bench, summary

    measured = run_bench(options.output / "bench", options.repeats)
    print(summary(measured, options.output / "bench"))
    return 0


def _list(options: argparse.Namespace) -> int:
    from sim.experiments.command import run_list

    return run_list(options)


def _figure(options: argparse.Namespace) -> int:
    from sim.experiments.command import run_figure

    return run_figure(options)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sim", description="Run the simulated chip and the experiments.",
        epilog="example: python -m sim digits --style borrow_gated --timing 3",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    digits = commands.add_parser(
        "digits", formatter_class=FORMATTER, help="the main job: held-out digits through the RTL",
        description="Program the digits network into the Verilated chip through the host protocol, "
        "run all held-out digits, and check every answer against the golden model and the network.",
        epilog="example: python -m sim digits --timing 1 --style enabled",
    )  # fmt: skip
    _chip_options(digits)
    digits.add_argument("--images", type=int, default=None, help="so many digits; all if not given")
    digits.add_argument(
        "--no-waveform", action="store_true", help="build no second simulator for it"
    )
    digits.set_defaults(run=_digits)
    trace = commands.add_parser(
        "trace", formatter_class=FORMATTER, help="a TINY register counting down, row by row",
        description="Show one neuron register of a TINY chip cycle by cycle, beside its waveform.",
        epilog="example: python -m sim trace --timing 3 --seed 4",
    )  # fmt: skip
    trace.add_argument(
        "--timing", type=int, choices=(1, 2, 3), default=1, help="clock cycles a row"
    )
    trace.add_argument("--seed", type=int, default=4, help="of weights, threshold and inputs")
    trace.set_defaults(run=_trace)
    bench = commands.add_parser(
        "bench", formatter_class=FORMATTER, help="how fast simulator and golden model are",
        description="Measure the Verilated chip and the golden model, side by side in one run.",
        epilog="example: python -m sim bench --repeats 9",
    )  # fmt: skip
    bench.add_argument("--repeats", type=int, default=5, help="times a measurement is repeated")
    bench.set_defaults(run=_bench)
    for command in (digits, trace, bench):
        command.add_argument("--output", type=Path, default=Path("build"), metavar="FOLDER",
                             help="where results go")  # fmt: skip
    experiments = commands.add_parser(
        "list", help="the experiments: what each shows, its published figure, how long it takes",
        description="List the experiments that `python -m sim figure` runs.",
        epilog="example: python -m sim list",
    )  # fmt: skip
    experiments.set_defaults(run=_list)
    figure = commands.add_parser(
        "figure", formatter_class=argparse.RawDescriptionHelpFormatter,
        help="run experiments: data and picture of a figure each",
        description="Run experiments and write NAME.json, NAME.png and NAME.svg of each. Points\n"
        "computed before, with the same code, parameters and seed, are not computed again.",
        epilog="examples:\n  python -m sim figure all\n"
        "  python -m sim figure solar --output pictures\n"
        "  python -m sim figure all --seed 1 --chips 20 --workers 2\n"
        "  python -m sim figure all --scheduler tcp://192.0.2.1:8786\n",
    )  # fmt: skip
    figure.add_argument("names", nargs="+", metavar="NAME",
                        help="experiments of `python -m sim list`, or all")  # fmt: skip
    figure.add_argument("--seed", type=int, default=0, help="of every draw (default: 0)")
    figure.add_argument("--chips", type=int, default=None, metavar="N",
                        help="chips of the Monte Carlo (default: the experiment's own "
                        "number; one that draws none ignores it)")  # fmt: skip
    figure.add_argument("--workers", type=int, default=None, metavar="N",
                        help="processes of the local Dask cluster; 0 computes in this process "
                        "without Dask (default: as many as processors)")  # fmt: skip
    figure.add_argument("--scheduler", default=None, metavar="ADDRESS",
                        help="Dask scheduler whose workers compute, tcp://host:port")  # fmt: skip
    figure.add_argument("--output", type=Path, default=Path("build/figures"), metavar="FOLDER",
                        help="where results go (default: build/figures)")  # fmt: skip
    figure.add_argument("--fresh", action="store_true", help="compute stored points again")
    figure.set_defaults(run=_figure)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (ValueError, OSError, ToolError, YosysError, HostError, ExperimentError) as error:
        print(f"python -m sim {options.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
