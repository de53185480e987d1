"""`python -m sim.benches`: run the cocotb benches over styles, read timings and geometries."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

from behavioral_models.geometry import JEBALI_2024, ChipGeometry
from hdl.parameters import STYLES
from sim.benches.runner import BenchResult, run_bench, run_macro_bench
from sim.benches.spec import BenchSpec, random_geometry
from sim.tools import ToolError

#: Sizes every run has, besides the random ones: all ones, and nothing a power of two.
CORNERS = (
    ChipGeometry(banks=1, macros_per_bank=1, rows=4, columns=1, max_inputs=4),
    ChipGeometry(
        banks=3,
        macros_per_bank=2,
        rows=7,
        columns=5,
        max_inputs=42,
        max_planes=3,
        sense_bypass=True,
    ),
)

#: The macro that the breach bench is written for.
MACRO = ChipGeometry(banks=1, macros_per_bank=1, rows=5, columns=3, max_inputs=5)


def specs(options: argparse.Namespace) -> Iterator[BenchSpec]:
    """The benches that the options select."""
    for simulator in options.simulator:
        number = 0
        for top in ("core", "chip"):
            for style in STYLES:
                for timing in (1, 2, 3):
                    number += 1
                    random = Random(f"{options.seed}/{top}/{style}/{timing}")
                    corner = CORNERS[number % 2] if style == "enabled" and timing < 3 else None
                    geometry = corner or random_geometry(random)
                    slow = simulator == "icarus" and timing != 1 + STYLES.index(style) % 3
                    if slow and options.simulator != ["icarus"]:
                        continue
                    if (top in options.top and style in options.style
                            and timing in options.timing):  # fmt: skip
                        yield BenchSpec(
                            top, simulator, geometry, timing, style, options.seed,
                            options.quick, image=bool(number % 3),
                        )  # fmt: skip
        if "devices" in options.top and simulator == "verilator":
            yield BenchSpec(
                "core", simulator, JEBALI_2024, 1, "enabled", options.seed, options.quick,
                devices=True,
            )  # fmt: skip
        if "macro" in options.top:
            yield BenchSpec("macro", simulator, MACRO, seed=options.seed, quick=options.quick)


def _run(spec: BenchSpec) -> BenchResult:
    try:
        return run_macro_bench(spec) if spec.top == "macro" else run_bench(spec)
    except ToolError as error:
        return BenchResult(spec, message=str(error))


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run the benches, print a line for each; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.benches",
        description="Run the cocotb benches of core, chip and macro against the golden model.",
        epilog="example: python -m sim.benches --top core --style borrow_gated --timing 1 --seed 7",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    tops, simulators = ("core", "chip", "macro", "devices"), ("verilator", "icarus")
    parser.add_argument("--top", nargs="+", choices=tops, default=list(tops), help="what to test")
    parser.add_argument("--style", nargs="+", choices=STYLES, default=list(STYLES),
                        help="neuron-register styles")  # fmt: skip
    parser.add_argument("--timing", nargs="+", type=int, choices=(1, 2, 3), default=[1, 2, 3],
                        help="clock cycles a row")  # fmt: skip
    parser.add_argument("--simulator", nargs="+", choices=simulators, default=list(simulators),
                        help="Icarus alone runs all, else one timing a style")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="of sizes, passes, images and gaps")
    parser.add_argument("--quick", action="store_true", help="a tenth of the passes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="benches at a time")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    chosen = list(specs(options))
    print(f"{len(chosen)} benches, seed {options.seed}; sizes are banks x macros x rows x columns")
    bad = passed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(_run, chosen):
            passed += len(result.passed)
            bad += not result.ok
            print(f"{'ok  ' if result.ok else 'FAIL'} {result.spec.name:<48}"
                  f"{len(result.passed):3} tests {result.seconds:6.1f} s", flush=True)  # fmt: skip
            if not result.ok:
                print(f"     {', '.join(result.failed)} {result.message}; see {result.log}")
    print(f"{passed} tests passed, {bad} of {len(chosen)} benches failed, "
          f"{time.monotonic() - started:.0f} s")  # fmt: skip
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
