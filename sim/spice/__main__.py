"""`python -m sim.spice`: measure the decks, sweep them, fit the amplifier's parameters."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from behavioral_models import parameter_files
from behavioral_models.xpcsa import Amplifier
from sim.spice import fit as fitting
from sim.spice import measure
from sim.spice.decks import GROUPS
from sim.spice.models import find_models
from sim.spice.ngspice import Store, find_ngspice
from sim.tools import ToolError

FORMATTER = argparse.ArgumentDefaultsHelpFormatter

#: Supplies the decks are made for.
LOWEST_V, HIGHEST_V = 0.7, 1.8


def _supply(text: str) -> float:
    try:
        supply = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"A supply must be a number, not {text!r}") from None
    if not LOWEST_V <= supply <= HIGHEST_V:
        raise argparse.ArgumentTypeError(
            f"A supply must be from {LOWEST_V:g} to {HIGHEST_V:g} V, not {text}"
        )
    return supply


def _ns(seconds: float | None) -> str:
    return "none" if seconds is None else f"{1e9 * seconds:.3g} ns"


def _truth(options: argparse.Namespace, store: Store) -> int:
    wrong = 0
    for supply in options.supply:
        for row in measure.truth_table(supply, store):
            right = row["decided"] and row["q"] == int(row["weight"] == row["x"])
            wrong += not right
            print(
                f"{supply:g} V  weight {row['weight']}  x {row['x']}  after {row['previous']}  "
                f"q {row['q']}  {_ns(row['delay_s'])}{'' if right else '  WRONG'}"
            )
    return 1 if wrong else 0


def _delay(options: argparse.Namespace, store: Store) -> int:
    for supply in options.supply:
        pairs = [(options.lrs, options.lrs * ratio) for ratio in options.ratio]
        delays = measure.delay(supply, pairs, store)
        for ratio, seconds in zip(options.ratio, delays, strict=True):
            print(f"{supply:g} V  LRS {options.lrs:g} ohm  ratio {ratio:g}  {_ns(seconds)}")
    return 0


def _energy(options: argparse.Namespace, store: Store) -> int:
    for supply in options.supply:
        found = measure.energy(supply, options.lrs, options.lrs * options.ratio[0], store)
        print(
            f"{supply:g} V  {1e15 * found['energy_j']:.1f} fJ a sense: latch and bit lines "
            f"{1e15 * found['latch_energy_j']:.1f}, source line and bit lines "
            f"{1e15 * found['source_line_energy_j']:.1f}"
        )
    return 0


def _shifter(options: argparse.Namespace, store: Store) -> int:
    pairs = [(v, rail) for v in options.supply for rail in options.rail or [v, 2.7, 4.5]]
    for supply, rail in pairs:
        if not supply <= rail <= 4.5:
            raise ValueError(
                f"A rail must be from the supply of {supply:g} V to 4.5 V, not {rail:g} V"
            )
    lines = []
    for supply, rail in tqdm(pairs, unit="deck", desc="shifter"):
        found = measure.shifter(supply, rail, store)
        switching = (
            f"rise {_ns(found['rise_s'])}  fall {_ns(found['fall_s'])}  "
            f"{1e12 * found['energy_j']:.2f} pJ"
        )
        lines.append(
            f"{supply:g} V to {rail:g} V  word line {found['low_v']:.3f} to "
            f"{found['high_v']:.3f} V  {switching if found['works'] else 'does not switch'}"
        )
    print("\n".join(lines))
    return 0


def _mismatch(options: argparse.Namespace, store: Store) -> int:
    if options.count < 1:
        raise ValueError(f"There must be at least one amplifier, not {options.count}")
    decks = len(options.supply) * len(options.ratio) * -(-options.count // 64)
    lines = []
    with tqdm(total=decks, unit="deck", desc="mismatch") as bar:
        for supply in options.supply:
            for row in measure.failure(
                supply, options.ratio, options.count, options.seed, options.groups, options.lrs,
                store, bar.update,
            ):  # fmt: skip
                lines.append(
                    f"{supply:g} V  ratio {row['ratio']:g}  {row['failed']} of {row['count']} "
                    f"fail  ({100 * row['failed'] / row['count']:.1f} %)"
                )
    print("\n".join(lines))
    return 0


def _sweep(options: argparse.Namespace, store: Store) -> int:
    rows = fitting.sweep(store)
    print(f"{rows['decks']} decks, {store.runs} of them run now, kept in {options.store}")
    return 0


def _fit(options: argparse.Namespace, store: Store) -> int:
    rows = fitting.sweep(store)
    tree, residuals = fitting.fit(rows)
    parameter_files.write(options.output, tree)
    spreads = fitting.measured_spreads(rows, Amplifier(options.output).path_ohm)
    report = {"residuals": residuals, "measured offset spreads": spreads}
    print(json.dumps(report, indent=2))
    print(options.output)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.spice",
        description="Simulate XPCSA and level shifter in ngspice with SkyWater's SKY130 models.",
        epilog="example: python -m sim.spice truth --supply 0.7 1.2 1.8",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, run, text, example):
        added = commands.add_parser(
            name, formatter_class=FORMATTER, help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example: python -m sim.spice {name}{example}",
        )  # fmt: skip
        added.add_argument("--store", type=Path, default=fitting.STORE, metavar="FOLDER",
                           help="where finished decks are kept")  # fmt: skip
        added.set_defaults(run=run)
        return added

    def supplies(added, *values):
        added.add_argument("--supply", type=_supply, nargs="+", default=list(values), metavar="V",
                           help="supply voltages")  # fmt: skip

    def cells(added, *ratios):
        added.add_argument("--lrs", type=float, default=measure.LRS_OHM, metavar="OHM",
                           help="the lower resistance")  # fmt: skip
        added.add_argument("--ratio", type=float, nargs="+", default=list(ratios),
                           help="higher over lower resistance")  # fmt: skip

    added = command("truth", _truth, "truth table of the XNOR", " --supply 0.7 1.2 1.8")
    supplies(added, 0.7, 1.2, 1.8)
    added = command("delay", _delay, "sense delay", " --supply 0.9 --lrs 5e3 --ratio 2 10")
    supplies(added, 0.7, 0.9, 1.2, 1.8)
    cells(added, 10.0)
    added = command("energy", _energy, "energy of a precharge and a sense", " --supply 0.9 1.2")
    supplies(added, 0.7, 0.9, 1.2, 1.8)
    cells(added, 10.0)
    added = command("shifter", _shifter, "level shifter and its word line", " --rail 4.5")
    supplies(added, 0.7, 0.9, 1.2, 1.8)
    added.add_argument("--rail", type=float, nargs="+", default=None, metavar="V",
                       help="rails; the supply, 2.7 and 4.5 if not given")  # fmt: skip
    added = command(
        "mismatch", _mismatch, "failures against resistance ratio under transistor mismatch",
        " --supply 0.8 --ratio 1.5 3 --groups latch --count 64",
    )  # fmt: skip
    supplies(added, 0.7, 0.9, 1.2, 1.8)
    cells(added, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0, 10.0)
    added.add_argument("--count", type=int, default=128, help="amplifiers at each point")
    added.add_argument("--seed", type=int, default=1, help="of the threshold voltages")
    added.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS),
                       help="which transistors are mismatched")  # fmt: skip
    command("sweep", _sweep, "run all points of the fit, resume where a sweep stopped", "")
    added = command("fit", _fit, "fit the amplifier's parameters to the sweep and write them", "")
    added.add_argument("--output", type=Path, default=fitting.AMPLIFIER, metavar="FILE",
                       help="parameter file")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        find_ngspice()
        find_models()
        for value in [getattr(options, "lrs", 1.0), *getattr(options, "ratio", [])]:
            if not value > 0:
                raise ValueError(f"Resistances and their ratios must be above 0, not {value:g}")
        return int(options.run(options, Store(options.store)))
    except (ValueError, OSError, ToolError) as error:
        print(f"python -m sim.spice {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"python -m sim.spice {options.command}: stopped; the same command resumes",
              file=sys.stderr)  # fmt: skip
        return 130


if __name__ == "__main__":
    sys.exit(main())
