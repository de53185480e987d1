"""Train MNIST networks: `python -m networks.training.mnist NAME`; see `docs/training.md`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any

from networks.mnist import LabelledImages, load_part
from networks.training import seeds
from networks.training.layers import BinaryDense, BinaryNetwork, BinaryOutput, TrainedNetwork, odd
from networks.training.loop import Examples, Recipe
from networks.training.needs_torch import Tensor, functional, nn, torch
from networks.training.record import in_one_sentence, write_record


@dataclass(frozen=True)
class Shape:
    """A network of dense layers on 28 x 28 pixels of 8 bits.

    Parameters
    ----------
    hidden : tuple of int
    planes : int
        Bit planes of the first layer, the top ones of eight.
    majority : bool
        Whether hidden layers but the first are majority votes of blocks of 58 inputs.
    recipe : Recipe
    """

    hidden: tuple[int, ...]
    planes: int = 4
    majority: bool = False
    recipe: Recipe = Recipe()

    def build(self, seed: int) -> BinaryNetwork:
        """Draw the network that a training starts from."""
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        width, planes = 784, self.planes
        for neurons in self.hidden:
            votes = odd(-(-width // 58)) if self.majority and layers else 1
            layers.append(BinaryDense(width, neurons, votes, planes))
            width, planes = neurons, 1
        layers.append(BinaryOutput(width, 10, planes))
        return BinaryNetwork(layers, (784,), 8)


#: The networks that are committed.
NETWORKS = {
    "mnist_1102_64_majority": Shape((1102, 64), 4, True, Recipe(25, 512, 8e-3, 0.4)),
    "mnist_1102_64": Shape((1102, 64), 4, False, Recipe(25, 512, 8e-3, 0.4)),
    "mnist_1024_1024": Shape((1024, 1024), 4, False, Recipe(36, 512, 6e-3, 0.6)),
}


def mnist_part(part: str) -> Examples:
    """A part of MNIST as tensors."""
    return examples_of(load_part(part))


def examples_of(images: LabelledImages) -> Examples:
    """Tensors of a part of MNIST."""
    return Examples(torch.tensor(images.pixels), torch.tensor(images.labels))


def distort(data: Tensor, strength: float) -> Tensor:
    """Move, turn, stretch and shear images (batch, 784), each in its own way.

    At strength 1 the largest shift is 2 pixels, turn 0.17 rad, stretch 10 % and shear 0.12.
    """
    count = len(data)

    def uniform(largest: float) -> Tensor:
        return (torch.rand(count) * 2 - 1) * largest * strength

    angle, width, height = uniform(0.17), 1 + uniform(0.1), 1 + uniform(0.1)
    shear, right, down = uniform(0.12), uniform(2 / 14), uniform(2 / 14)
    first = torch.stack([width * angle.cos(), shear - angle.sin(), right], 1)
    second = torch.stack([angle.sin(), height * angle.cos(), down], 1)
    shape = [count, 1, 28, 28]
    grid = functional.affine_grid(torch.stack([first, second], 1), shape, align_corners=False)
    moved = functional.grid_sample(data.view(shape), grid, align_corners=False)
    return moved.view(count, 784).clamp(0, 255)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m networks.training.mnist",
        description="Train a network on the first 55,000 training images of MNIST with several "
        "seeds, choose the seed by accuracy on the other 5,000, read the test set once, and write "
        "the chosen network as integers (NAME.npz) with a record of all seeds (NAME.json). "
        "MNIST_DIR names the folder with the four files of MNIST.",
        epilog="Example: MNIST_DIR=~/mnist python -m networks.training.mnist mnist_1102_64 "
        "--seeds 0 1 2 3 4",
    )
    parser.add_argument("name", choices=NETWORKS, metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument(
        "--weight-errors",
        type=float,
        default=0.0,
        metavar="RATE",
        help="error-aware training: share of weights flipped at each step; the network is called "
        "NAME_errorsRATE (default: 0)",
    )
    seeds.add_options(parser, range(5))
    return parser


def shape_record(shape: Shape, network: TrainedNetwork) -> dict[str, Any]:
    """What a record says of a network's shape."""
    return {
        "inputs": 784,
        "hidden": list(shape.hidden),
        "classes": 10,
        "planes": shape.planes,
        "mapping": "majority" if shape.majority else "chained",
        **seeds.memory(network),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    seeds.check_options(parser, options)
    if not 0 <= options.weight_errors < 0.5:
        parser.error(f"--weight-errors must be 0 to less than 0.5, not {options.weight_errors}")
    return in_one_sentence(lambda: _train(options))


def _train(options: argparse.Namespace) -> None:
    name, shape = options.name, NETWORKS[options.name]
    recipe = seeds.with_epochs(shape.recipe, options, weight_errors=options.weight_errors)
    command = ["networks.training.mnist", name]
    if options.weight_errors:
        command += ["--weight-errors", f"{options.weight_errors:g}"]
        name += f"_errors{options.weight_errors:g}"
    task = seeds.Task(name, shape.build, recipe, distort)
    parts = seeds.Parts(mnist_part)
    (outcome,) = seeds.run(
        [task], options.seeds, parts, options.checkpoints, options.validation_only
    )
    if options.validation_only:
        return
    kept = outcome.networks[outcome.kept_seed]
    path = options.output / f"{name}.npz"
    checked = seeds.export(kept, name, path, [parts("validation"), parts("test")])
    said = seeds.begin_record(command, options, parts)
    said |= {"name": name, "network": shape_record(shape, kept)}
    write_record(path.with_suffix(".json"), said | outcome.record() | {"export": checked})
    seeds.say_kept(outcome, path)


if __name__ == "__main__":
    sys.exit(main())
