"""Train MNIST networks of one and two hidden layers of varying width; see `docs/training.md`."""

from __future__ import annotations

import argparse
import sys

from networks.training import seeds
from networks.training.loop import Recipe
from networks.training.mnist import Shape, distort, mnist_part, shape_record
from networks.training.record import in_one_sentence, write_record

RECIPE = Recipe(12, 512, 8e-3, 0.2)
WIDTHS = (32, 64, 128, 256, 512)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m networks.training.widths",
        description="Train MNIST networks with one and with two hidden layers of each width, 4 "
        "bit planes, exact sums. Write the networks (widths/*.npz) and one record of all "
        "accuracies and weight bits (widths.json). MNIST_DIR names the folder of MNIST's files.",
        epilog="Example: MNIST_DIR=~/mnist python -m networks.training.widths --widths 32 64 "
        "--epochs 4",
    )
    parser.add_argument(
        "--widths",
        type=int,
        nargs="+",
        default=list(WIDTHS),
        help=f"neurons of a hidden layer (default: {' '.join(map(str, WIDTHS))})",
    )
    seeds.add_options(parser, [0])
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    seeds.check_options(parser, options)
    check_widths(parser, options.widths)
    return in_one_sentence(lambda: _train(options))


def check_widths(parser: argparse.ArgumentParser, widths: list[int]) -> None:
    """Refuse, as the parser does, widths that repeat or are no layer."""
    if min(widths) < 1 or len(set(widths)) != len(widths):
        parser.error(f"--widths must be different and at least 1, not {widths}")


def _train(options: argparse.Namespace) -> None:
    recipe = seeds.with_epochs(RECIPE, options)
    shapes = {
        f"widths_{'_'.join(map(str, hidden))}": Shape(hidden, 4, False, recipe)
        for layers in (1, 2)
        for hidden in [(width,) * layers for width in options.widths]
    }
    command = ["networks.training.widths", "--widths", *options.widths]
    train_shapes("widths", shapes, command, options)


def train_shapes(
    name: str, shapes: dict[str, Shape], command: list[object], options: argparse.Namespace
) -> None:
    """Train MNIST networks and write {name}/*.npz and {name}.json, one record of all of them.

    Parameters
    ----------
    name : str
    shapes : dict
        Name of a network, which begins with `{name}_`, to its shape.
    command : list
        Module and options of its own, for the record.
    options : Namespace
        Of `seeds.add_options`.
    """
    tasks = [
        seeds.Task(which, shape.build, shape.recipe, distort) for which, shape in shapes.items()
    ]
    parts = seeds.Parts(mnist_part)
    outcomes = seeds.run(tasks, options.seeds, parts, options.checkpoints, options.validation_only)
    if options.validation_only:
        return
    entries = []
    for outcome in outcomes:
        which = outcome.task.name
        kept = outcome.networks[outcome.kept_seed]
        path = options.output / name / f"{which}.npz"
        checked = seeds.export(kept, which, path, [parts("validation"), parts("test")])
        seeds.say_kept(outcome, path)
        entries.append(
            {"name": which, "network": shape_record(shapes[which], kept)}
            | outcome.record()
            | {"export": checked}
        )
    said = seeds.begin_record(command, options, parts)
    write_record(options.output / f"{name}.json", said | {"networks": entries})


if __name__ == "__main__":
    sys.exit(main())
