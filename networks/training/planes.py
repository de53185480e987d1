"""Train MNIST's 784-256-64-10 on 8 bit planes, on 7, ... on 1; see `docs/training.md`."""

from __future__ import annotations

import argparse
import sys

from networks.training import seeds
from networks.training.mnist import Shape
from networks.training.record import in_one_sentence
from networks.training.widths import RECIPE, train_shapes

HIDDEN = (256, 64)
PLANES = tuple(range(8, 0, -1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m networks.training.planes",
        description="Train MNIST networks 784-256-64-10, exact sums, whose first layer sees the "
        "top bit planes of the pixels, each network another number of them. Write the networks "
        "(planes/*.npz) and one record of all accuracies (planes.json). MNIST_DIR names the folder "
        "of MNIST's files.",
        epilog="Example: MNIST_DIR=~/mnist python -m networks.training.planes --planes 8 4 1 "
        "--seeds 0 1 2",
    )
    parser.add_argument(
        "--planes",
        type=int,
        nargs="+",
        default=list(PLANES),
        help=f"numbers of bit planes (default: {' '.join(map(str, PLANES))})",
    )
    seeds.add_options(parser, [0])
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    seeds.check_options(parser, options)
    if not set(options.planes) <= set(PLANES) or len(set(options.planes)) != len(options.planes):
        parser.error(f"--planes must be different, each 1 to 8, not {options.planes}")
    return in_one_sentence(lambda: _train(options))


def _train(options: argparse.Namespace) -> None:
    recipe = seeds.with_epochs(RECIPE, options)
    shapes = {f"planes_{planes}": Shape(HIDDEN, planes, False, recipe) for planes in options.planes}
    command = ["networks.training.planes", "--planes", *options.planes]
    train_shapes("planes", shapes, command, options)


if __name__ == "__main__":
    sys.exit(main())
