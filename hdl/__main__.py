"""`python -m hdl`: write the Verilog of a chip or a core."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from behavioral_models import constants
from behavioral_models.geometry import PRESETS, preset

from .generate import TOPS, generate
from .parameters import STYLES, ChipParameters
from .yosys import YosysError

#: Fields of a geometry that can be set one by one.
DIMENSIONS = ("banks", "macros_per_bank", "rows", "columns", "max_inputs", "max_planes")


def main(arguments=None):
    """Parse the command line and write the files; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hdl",
        description="Write the Verilog of a chip (with macros and host port) or of its core.",
        epilog="example: python -m hdl --geometry jebali_2024 --timing 1 --style borrow_gated "
               "--output build/verilog/chip",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--top", choices=TOPS, default="chip", help="what to write")
    parser.add_argument("--geometry", default="jebali_2024", metavar="PRESET",
                        help=f"one of {', '.join(PRESETS)}")
    for name in DIMENSIONS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=argparse.SUPPRESS,
                            help="instead of the preset's")
    parser.add_argument("--timing", type=int, choices=(1, 2, 3), default=1,
                        help="clock cycles a row: 3 as fabricated, 2 overlapped, 1 pipelined")
    parser.add_argument("--style", choices=STYLES, default="enabled", help="neuron registers")
    parser.add_argument("--borrow-split", type=int, default=None,
                        help="bits of the low part of a borrow_gated (half if not given) or "
                             "deferred register (as many as a count has)")
    parser.add_argument("--rows-per-update", type=int, default=None,
                        help="weight rows that a deferred register counts at once; 4 with 1 or 2 "
                             "macros a bank, else 1, if not given")
    parser.add_argument("--clock", type=float, default=constants.CLOCK_HZ, metavar="HZ",
                        help="clock that pulse lengths and SDC are for")
    parser.add_argument("--output", type=Path, default=None, metavar="FOLDER",
                        help="folder to write, replaced whole; build/verilog/<top> if not given")
    options = vars(parser.parse_args(arguments))
    changes = {name: options[name] for name in DIMENSIONS if name in options}
    try:
        parameters = ChipParameters(
            geometry=replace(preset(options["geometry"]), **changes), read_timing=options["timing"],
            style=options["style"], clock_hz=options["clock"], borrow_split=options["borrow_split"],
            rows_per_update=options["rows_per_update"])
        folder = options["output"] or Path("build/verilog") / options["top"]
        generate(parameters, folder, options["top"])
    except (ValueError, OSError, YosysError) as error:
        print(f"python -m hdl: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: {len(list(folder.glob('*.v')))} modules, {options['top']}.f lists them; "
          f"{options['top']}.json describes ports and protocol, {options['top']}.sdc the clock")
    return 0


if __name__ == "__main__":
    sys.exit(main())
