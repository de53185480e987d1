"""Train the published VGG-like network on CIFAR-10: `python -m networks.training.cifar10`.

Conv 198, 198, MP2, Conv 354, 354, MP2, Conv 738, Conv 406, MP3, FC 1102-1102-10, kernels of
3 x 3, every layer of majority votes in blocks of at most 58 inputs (Jebali et al. 2024, Methods).
The published first and last layers are not binary; here the first sees bit planes, exactly, and
the last gives its preactivations. See `docs/training.md`.
"""

from __future__ import annotations

import argparse
import math
import sys

from networks.cifar10 import load_part
from networks.training import seeds
from networks.training.layers import (
    BinaryConvolution,
    BinaryDense,
    BinaryNetwork,
    BinaryOutput,
    odd,
)
from networks.training.loop import Examples, Recipe
from networks.training.needs_torch import Tensor, functional, nn, torch
from networks.training.record import in_one_sentence, write_record

#: As published: 500 epochs of Adam with weight decay and a cosine; the rest was not published.
RECIPE = Recipe(500, 128, 2e-3, augmentation=1.0, weight_decay=1e-6)
#: Filters and pooling of each convolution, neurons of each hidden dense layer.
FILTERS = ((198, 1), (198, 2), (354, 1), (354, 2), (738, 1), (406, 3))
DENSE = (1102, 1102)
#: Inputs of a block, and the whole kernels of 3 x 3 it holds.
BLOCK = 58
KERNELS = BLOCK // 9


def build(seed: int, scale: float = 1.0, planes: int = 8, majority: bool = True) -> BinaryNetwork:
    """Draw the published network, or one of its layers' widths times `scale`.

    Padding keeps the images' size through the convolutions; pooling halves it twice and takes 8 to
    3, the last window with what it has. Whatever the scale, votes are odd and blocks no larger
    than 58 inputs: at scale 1 they are the published 33, 59, 123, 63 and 19, all full.

    Parameters
    ----------
    seed : int
    scale : float
        Of filters and neurons; what feeds a convolution stays an odd multiple of 6.
    planes : int
        Bit planes of the first layer, the top ones of eight.
    majority : bool
        Whether layers behind the first are majority votes, or exact.
    """
    if not scale > 0:
        raise ValueError(f"A scale must be positive, not {scale}")
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    channels, size = 3, 32
    for number, (published, pool) in enumerate(FILTERS):
        if number < len(FILTERS) - 1:
            filters = KERNELS * odd(max(1, round(published / KERNELS * scale)))
        else:
            filters = max(1, round(published * scale))
        votes = odd(math.ceil(channels / KERNELS)) if majority and layers else 1
        layers.append(
            BinaryConvolution(
                channels,
                filters,
                (3, 3),
                padding=(1, 1),
                pool=(pool, pool),
                votes=votes,
                planes=1 if layers else planes,
                pool_ceil=True,
            )
        )
        channels, size = filters, math.ceil(size / pool)
    width = channels * size * size
    for published in DENSE:
        neurons = BLOCK * odd(max(1, round(published / BLOCK * scale)))
        votes = odd(math.ceil(width / BLOCK)) if majority else 1
        layers.append(BinaryDense(width, neurons, votes))
        width = neurons
    layers.append(BinaryOutput(width, 10))
    return BinaryNetwork(layers, (3, 32, 32), 8)


def distort(data: Tensor, strength: float) -> Tensor:
    """Mirror half the images (batch, channels, height, width) and crop them all at random.

    At strength 1 an image is moved by up to 4 pixels each way; what comes in is 0.
    """
    margin = round(4 * strength)
    count, _, height, width = data.shape
    mirrored = torch.where((torch.rand(count) < 0.5)[:, None, None, None], data.flip(3), data)
    if not margin:
        return mirrored
    padded = functional.pad(mirrored, (margin, margin, margin, margin))
    rows = torch.randint(2 * margin + 1, (count, 1)) + torch.arange(height)
    columns = torch.randint(2 * margin + 1, (count, 1)) + torch.arange(width)
    which = torch.arange(count)[:, None, None]
    return padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cifar10_part(part: str) -> Examples:
    """A part of CIFAR-10 as tensors."""
    images = load_part(part)
    return Examples(torch.tensor(images.pixels), torch.tensor(images.labels))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m networks.training.cifar10",
        description="Train the published VGG-like network on CIFAR-10, with blocks' majority votes "
        "in the training graph. On one core a seed of the full network takes two and a half "
        "years, or four months with --chained: see docs/training.md; --scale makes it smaller. "
        "CIFAR10_DIR names the folder with the archive's files.",
        epilog="Example: CIFAR10_DIR=~/cifar-10-batches-bin python -m networks.training.cifar10 "
        "--scale 0.2 --epochs 30 --seeds 0",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of all layers' widths (default: 1, as published)"
    )
    parser.add_argument(
        "--planes", type=int, choices=range(1, 9), default=8, help="of the first layer (default: 8)"
    )
    parser.add_argument(
        "--chained",
        action="store_true",
        help="exact sums in every layer, in place of majority votes",
    )
    parser.add_argument(
        "--batch", type=int, default=RECIPE.batch, help=f"images a step (default: {RECIPE.batch})"
    )
    seeds.add_options(parser, range(5))
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    seeds.check_options(parser, options)
    if not options.scale > 0:
        parser.error(f"--scale must be positive, not {options.scale}")
    if options.batch < 1:
        parser.error(f"--batch must be at least 1, not {options.batch}")
    return in_one_sentence(lambda: _train(options))


def _train(options: argparse.Namespace) -> None:
    mapping = "chained" if options.chained else "majority"
    name = f"cifar10_{mapping}_scale{options.scale:g}_planes{options.planes}"
    recipe = seeds.with_epochs(RECIPE, options, batch=options.batch)
    task = seeds.Task(
        name,
        lambda seed: build(seed, options.scale, options.planes, not options.chained),
        recipe,
        distort,
    )
    parts = seeds.Parts(cifar10_part)
    (outcome,) = seeds.run(
        [task], options.seeds, parts, options.checkpoints, options.validation_only
    )
    if options.validation_only:
        return
    kept = outcome.networks[outcome.kept_seed]
    path = options.output / f"{name}.npz"
    checked = seeds.export(kept, name, path, [parts("validation"), parts("test")])
    command = ["networks.training.cifar10", "--scale", f"{options.scale:g}"]
    command += ["--planes", str(options.planes), "--batch", str(options.batch)]
    command += ["--chained"] if options.chained else []
    said = seeds.begin_record(command, options, parts)
    said |= {
        "name": name,
        "network": {
            "scale": options.scale,
            "planes": options.planes,
            "mapping": mapping,
            "weights": [list(weights.shape) for weights in kept.parameters() if weights.ndim > 1],
            **seeds.memory(kept),
        },
    }
    write_record(path.with_suffix(".json"), said | outcome.record() | {"export": checked})
    seeds.say_kept(outcome, path)


if __name__ == "__main__":
    sys.exit(main())
