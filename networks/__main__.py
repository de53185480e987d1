"""`python -m networks`: what a network file is, and running it on a chip."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from networks import check, commands
from networks.host import HostError

#: Commands: name, what it does, an example, what adds its arguments, what runs it.
COMMANDS: tuple[
    tuple[
        str,
        str,
        str,
        Callable[[argparse.ArgumentParser], None],
        Callable[[argparse.Namespace], int],
    ],
    ...,
] = (
    (
        "check",
        "say what a network file is, whether the chip can run it, and what to do next",
        "check model.onnx --geometry heliobit --output model.npz",
        check.add_arguments,
        check.run,
    ),
    (
        "plan",
        "say what a network takes on so many chips: images, cycles, programming, transfer, energy",
        "plan mnist_1024_1024 --geometry heliobit --chips 4",
        commands.add_plan,
        commands.run_plan,
    ),
    (
        "compile",
        "write a network's program: the images of its chips, and the passes",
        "compile mnist_1024_1024 --output program.npz",
        commands.add_compile,
        commands.run_compile,
    ),
    (
        "run",
        "run a network on the golden model, the RTL or a chip: accuracy, cycles, energy",
        "run mnist_1102_64_majority --data mnist --errors 0.08suns --repair 3",
        commands.add_run,
        commands.run_run,
    ),
)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m networks",
        description="Networks on the chip: check, convert, run.",
        epilog="example: python -m networks check networks/trained/digits.npz",
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, what, example, add_arguments, run in COMMANDS:
        command = subparsers.add_parser(
            name, help=what, description=what[0].upper() + what[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=f"example: python -m networks {example}",
        )  # fmt: skip
        add_arguments(command)
        command.set_defaults(run=run)
    options = parser.parse_args(arguments)
    try:
        done = int(options.run(options))
        sys.stdout.flush()
        return done
    except KeyboardInterrupt:
        print(f"python -m networks {options.command}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ModuleNotFoundError, HostError) as error:
        print(f"python -m networks {options.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
