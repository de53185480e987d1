"""`python -m behavioral_models`: parameter files, bit errors, programming times, calibration."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

from behavioral_models.device_chip import check_sets
from behavioral_models.geometry import PRESETS, preset
from behavioral_models.memristor import Condition
from behavioral_models.parameter_files import available, load
from behavioral_models.xpcsa import Amplifier

FORMATTER = argparse.ArgumentDefaultsHelpFormatter


def _list(options: argparse.Namespace) -> int:
    for name in available():
        parameters = load(name)
        print(f"{name:<34} {parameters.kind:<11} {parameters.about}")
    return 0


def _show(options: argparse.Namespace) -> int:
    parameters = load(options.name)
    print(f"{parameters.name}: {parameters.about} ({parameters.kind}, set {parameters.set})")
    if parameters.has("base"):
        print(f"states by the law of {parameters.text('base')}")
    for key, value, source, note in parameters.rows():
        print(f"  {key:<32} {value:<12.6g} {source:<8} {note}")
    return 0


def _fit(options: argparse.Namespace) -> int:
    from behavioral_models.fit import fit

    found = fit(
        options.csv, options.output, options.set_compliance, options.reset_voltage, options.pulse,
        options.distribution, options.set, options.about,
    )  # fmt: skip
    for state, values in found.items():
        share = values["device_share"]
        between = "not measured" if share is None else f"{100 * share:.0f} %"
        print(
            f"{state.upper()}: {values['measurements']} measurements of {values['devices']} "
            f"devices, median {values['median_ohm']:.4g} ohm, spread "
            f"{values['spread_decades']:.3f} decades, device-to-device part {between}"
        )
        if values["lognormal_p"] < 0.01 and options.distribution == "lognormal":
            print(
                f"  the logarithm is not normal (p = {values['lognormal_p']:.1g}): "
                f"--distribution empirical keeps the measured shape"
            )
    print(f"wrote {options.output}")
    return 0


def _errors(options: argparse.Namespace) -> int:
    amplifier = Amplifier(options.amplifier)
    own = [name for name in available("memristor") if load(name).set == amplifier.set]
    if not options.conditions and not own:
        raise ValueError(
            f"There are no memristors of set {amplifier.set}: name your own file of set user"
        )
    rows = []
    for name in options.conditions or own:
        condition = Condition(name)
        check_sets(condition, amplifier)
        try:
            states = condition.at(cycles=options.cycles)
        except ValueError:
            if options.conditions:
                raise
            continue  # not made for this age
        rows.append(
            {
                "condition": name,
                "1T1R, ideal amplifier": states.single_ended_error_rate(),
                "2T2R, ideal amplifier": amplifier.bit_error_rate(
                    states, options.vdd, options.clock, ideal=True
                ),
                "2T2R": amplifier.bit_error_rate(states, options.vdd, options.clock),
            }
        )
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(f"bit errors at {options.vdd:g} V and {options.clock / 1e6:g} MHz, {options.amplifier}")
    print(f"{'condition':<34} {'1T1R ideal':>11} {'2T2R ideal':>11} {'2T2R':>11}")
    for row in rows:
        name, single, ideal, pair = row.values()
        print(f"{name:<34} {single:>11.2e} {ideal:>11.2e} {pair:>11.2e}")
    if options.amplifier == "jebali_2024/amplifier":
        print("the published array rates are those of --amplifier jebali_2024/array_amplifier")
    return 0


def _programming(options: argparse.Namespace) -> int:
    import numpy as np
    from tqdm import tqdm

    from behavioral_models.device_chip import DeviceChip
    from behavioral_models.draws import Stream, uniform
    from behavioral_models.programming import form, program

    geometry = preset(options.geometry)
    chip = DeviceChip(geometry, options.condition, options.amplifier, options.seed, formed=False)
    image = uniform(options.seed, 0, Stream.PATTERN, count=geometry.memristors // 2)[:, 0] < 0.5
    formed = form(chip)
    with tqdm(unit="row", leave=False, disable=None) as bar:
        done = program(
            chip, np.reshape(image, geometry.image_shape), retries=options.retries,
            vdd_v=options.vdd, clock_hz=options.clock, progress=bar.update,
        )  # fmt: skip
    for what, report in (("forming", formed), ("programming", done)):
        print(
            f"{what:<12} {report.pulses:,} pulses, {report.pulse_time_s:.3f} s of pulses, "
            f"{report.time_s:.3f} s with rails and set-up, {1e6 * report.energy_j:.1f} uJ"
        )
    if options.retries:
        print(
            f"{done.retried_rows} rows programmed again, {done.misread_cells} bit cells still "
            f"err at {options.vdd:g} V"
        )
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from behavioral_models.calibration import TARGETS, calibrate, residuals

    if options.write:
        for name, value in calibrate().items():
            print(f"fitted {name} = {value:.5g}")
    amplifier, chip = Amplifier("jebali_2024/amplifier"), Condition("jebali_2024/published_chip")
    print("bit errors the supply fit aimed at, and what the parameter files give:")
    for target, factor in zip(TARGETS, residuals(amplifier, chip), strict=True):
        modelled = target.rate * math.exp(factor)
        print(
            f"  {target.vdd_v:.1f} V, {target.clock_hz / 1e6:2.0f} MHz  aim {target.rate:.1e}  "
            f"model {modelled:.1e}  ({target.statement})"
        )
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m behavioral_models",
        description="Device models: memristors, sense amplifiers, programming.",
        epilog="example: python -m behavioral_models errors --vdd 0.9 --clock 66e6",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], what: str, example: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, formatter_class=FORMATTER, help=what,
            description=what[0].upper() + what[1:] + ".",
            epilog=f"example: python -m behavioral_models {example}",
        )  # fmt: skip
        added.set_defaults(run=run)
        return added

    command("list", _list, "list the parameter files", "list")
    show = command(
        "show", _show, "print a parameter file, each number with its source",
        "show jebali_2024/weak_set",
    )  # fmt: skip
    show.add_argument("name", help="set/name, or a file that ends in .toml")
    fitting = command(
        "fit", _fit, "make a parameter file from measured resistances",
        "fit measured.csv --output mine.toml --set-compliance 55e-6 --reset-voltage 2.5 "
        "--pulse 1e-6",
    )  # fmt: skip
    fitting.add_argument("csv", type=Path, help="columns state (lrs, hrs), ohm, and perhaps device")
    fitting.add_argument("--output", type=Path, required=True, help="parameter file to write")
    fitting.add_argument("--set-compliance", type=float, required=True, help="amperes")
    fitting.add_argument("--reset-voltage", type=float, required=True, help="volts")
    fitting.add_argument("--pulse", type=float, required=True, help="seconds")
    fitting.add_argument("--distribution", choices=("lognormal", "empirical"), default="lognormal",
                         help="shape")  # fmt: skip
    fitting.add_argument("--set", default="user", help="parameter set the file belongs to")
    fitting.add_argument("--about", default="", help="what the file describes")
    errors = command(
        "errors", _errors, "bit errors of conditions, 1T1R and 2T2R",
        "errors jebali_2024/published_chip --vdd 0.9 --clock 66e6",
    )  # fmt: skip
    errors.add_argument(
        "conditions", nargs="*", help="parameter files; all of the amplifier's set if none"
    )
    errors.add_argument("--cycles", type=float, default=0.0, help="programming cycles before")
    errors.add_argument("--json", action="store_true", help="print JSON")
    doing = command(
        "programming", _programming, "time and energy of forming and programming a chip",
        "programming --retries 3 --vdd 0.8 --clock 10e6",
    )  # fmt: skip
    doing.add_argument("--geometry", default="jebali_2024", help=f"one of {', '.join(PRESETS)}")
    doing.add_argument("--condition", default="jebali_2024/published_chip", help="parameter file")
    doing.add_argument("--seed", type=int, default=0, help="of the chip and its image")
    doing.add_argument("--retries", type=int, default=0, help="times misread rows are redone")
    for added in (errors, doing):
        added.add_argument("--amplifier", default="jebali_2024/amplifier", help="parameter file")
        added.add_argument("--vdd", type=float, default=1.2, help="supply of reads, volts")
        added.add_argument("--clock", type=float, default=33e6, help="clock of reads, hertz")
    calibrating = command(
        "calibrate", _calibrate, "show how the set jebali_2024 meets the figures it was fitted to",
        "calibrate",
    )  # fmt: skip
    calibrating.add_argument(
        "--write", action="store_true", help="fit anew, write the files (20 s)"
    )
    options = parser.parse_args(arguments)
    try:
        done = int(options.run(options))
        sys.stdout.flush()
        return done
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"python -m behavioral_models {options.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
