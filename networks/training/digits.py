"""Train the digits network, fold it into integers, write it with its program image and a record.

Run as `python -m networks.training.digits`; see `docs/digits.md`.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from behavioral_models.geometry import JEBALI_2024
from networks.digits import (
    CLASSES,
    HIDDEN,
    INPUTS,
    MAX_PIXEL,
    MAX_THRESHOLD,
    NETWORK_FILE,
    PIXELS,
    DigitsNetwork,
    Encoding,
    LabelledImages,
    choose_encoding,
    encode,
    evaluate,
    load_part,
    program_image,
    save_image,
)
from networks.training.layers import sign
from networks.training.needs_torch import Tensor, functional, nn, torch
from networks.training.record import (
    KEPT_BECAUSE,
    best_seed,
    check_seeds,
    versions,
    write_record,
)


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters, chosen by validation accuracy alone.

    Parameters
    ----------
    epochs : int
    batch : int
        Images of a step; what is left of an epoch is dropped.
    learning_rate : float
        Of Adam, at the beginning; it falls to 0 along a cosine.
    label_smoothing : float
    shift_pixels, rotation_rad, distortion : float
        Largest shift, rotation, and change of scale or shear of a training image, drawn uniformly.
    contrast : float
        Largest relative change of its pixels together, drawn uniformly.
    noise : float
        Standard deviation added to each pixel that is not 0.
    bit_flips : float
        Probability that an encoded bit is flipped.
    """

    epochs: int = 300
    batch: int = 128
    learning_rate: float = 5e-3
    label_smoothing: float = 0.05
    shift_pixels: float = 0.15
    rotation_rad: float = 0.05
    distortion: float = 0.05
    contrast: float = 0.1
    noise: float = 1.0
    bit_flips: float = 0.03


def _popcount(signs: Tensor, weights: Tensor) -> Tensor:
    """Return popcount(XNOR) (batch, neurons) of +-1 inputs and weights, exactly."""
    return (signs @ weights + len(weights)) / 2


class TrainingGraph(nn.Module):
    """The network as it is trained: signs of real weights, batch norm, rounded thresholds.

    Members
    -------
    hidden, output : float (116, 64), (64, 10)
        Real weights; the network sees their signs.
    norm : BatchNorm1d
        Of the hidden popcounts; folded into integer thresholds by `export`.
    thresholds : float (10,)
        Thresholds of the class neurons, rounded where they are used.
    log_scale : float ()
        Logits are class preactivations times exp(log_scale), which changes no prediction.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Parameter((torch.rand(INPUTS, HIDDEN) * 2 - 1) * 0.3)
        self.output = nn.Parameter((torch.rand(HIDDEN, CLASSES) * 2 - 1) * 0.3)
        self.norm = nn.BatchNorm1d(HIDDEN)
        self.thresholds = nn.Parameter(torch.full((CLASSES,), HIDDEN / 2))
        self.log_scale = nn.Parameter(torch.tensor(-1.5))

    def forward(self, bits: Tensor) -> Tensor:
        """Return the class preactivations (batch, 10), whole numbers, of bits (batch, 116)."""
        popcounts = _popcount(2 * bits - 1, sign(self.hidden))
        hidden = sign(self.norm(popcounts))
        rounding = (self.integer_thresholds() - self.thresholds).detach()
        return _popcount(hidden, sign(self.output)) - (self.thresholds + rounding)

    def integer_thresholds(self) -> Tensor:
        """Return the thresholds (10,) of the class neurons as whole numbers the chip can hold."""
        return self.thresholds.round().clamp(0, MAX_THRESHOLD)


def export(graph: TrainingGraph, encoding: Encoding) -> DigitsNetwork:
    """Fold a training graph into the integer network that computes the same.

    The graph's own batch norm is asked about every popcount 0 to 116, so the integer threshold
    holds even where floating-point arithmetic rounds. A neuron that fires above a popcount gets
    that one as its threshold; one that fires below (negative gamma) gets its weights flipped, which
    turns popcount p into 116 - p. One that never fires gets the threshold 116. One that always
    fires cannot be had with T >= 0: it becomes one that never does, and the weights from it to the
    class neurons are flipped.

    Parameters
    ----------
    graph : TrainingGraph
    encoding : Encoding
        What its inputs mean.

    Returns
    -------
    DigitsNetwork
    """
    graph.eval()
    with torch.no_grad():
        popcounts = torch.arange(INPUTS + 1, dtype=torch.float32)[:, None].expand(-1, HIDDEN)
        fires = (graph.norm(popcounts) > 0).numpy()
        hidden = (graph.hidden > 0).numpy()
        output = (graph.output > 0).numpy()
        output_thresholds = graph.integer_thresholds().numpy().astype(np.int64)
    falls = fires[0] & ~fires[-1]
    always = fires[0] & fires[-1]
    hidden = hidden ^ falls
    output = output ^ always[:, None]
    # Fires above T: T + 1 of the 117 popcounts do not. With flipped weights it is the same count.
    silent = (~fires).sum(axis=0)
    thresholds = np.where(always, INPUTS, silent - 1)
    return DigitsNetwork(
        encoding.pixel, encoding.level, hidden, thresholds, output, output_thresholds
    )


def distort(pixels: Tensor, recipe: Recipe) -> Tensor:
    """Draw a slightly moved, turned, stretched and noisy copy of each image (batch, 64)."""
    count = len(pixels)

    def uniform(largest: float) -> Tensor:
        return (torch.rand(count) * 2 - 1) * largest

    angle = uniform(recipe.rotation_rad)
    width = 1 + uniform(recipe.distortion)
    height = 1 + uniform(recipe.distortion)
    shear = uniform(recipe.distortion)
    # Half an image is 1 in the grid's coordinates.
    right = uniform(recipe.shift_pixels) / 4
    down = uniform(recipe.shift_pixels) / 4
    first = torch.stack([width * angle.cos(), shear - angle.sin(), right], 1)
    second = torch.stack([angle.sin(), height * angle.cos(), down], 1)
    images = pixels.view(count, 1, 8, 8)
    grid = functional.affine_grid(
        torch.stack([first, second], 1), list(images.shape), align_corners=False
    )
    moved = functional.grid_sample(images, grid, align_corners=False).view(count, PIXELS)
    moved = moved * (1 + uniform(recipe.contrast))[:, None]
    noise = recipe.noise * torch.randn(count, PIXELS) * (moved > 0)
    return (moved + noise).round().clamp(0, MAX_PIXEL)


def train(
    images: LabelledImages, encoding: Encoding, seed: int, recipe: Recipe, name: str
) -> TrainingGraph:
    """Train on labelled images alone and return the graph of the last epoch, in eval mode.

    Parameters
    ----------
    images : LabelledImages
    encoding : Encoding
    seed : int
        Of the start values, the order of the images and their distortions.
    recipe : Recipe
    name : str
        What the progress bar calls it.
    """
    if recipe.epochs < 1:
        raise ValueError(f"Training takes at least 1 epoch, not {recipe.epochs}")
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    graph = TrainingGraph()
    pixels = torch.tensor(images.pixels, dtype=torch.float32)
    labels = torch.tensor(images.labels)
    pixel, level = torch.tensor(encoding.pixel), torch.tensor(encoding.level)
    steps = len(pixels) // recipe.batch
    optimizer = torch.optim.Adam(graph.parameters(), recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * steps)
    graph.train()
    for _ in tqdm(range(recipe.epochs), desc=name, unit="epoch", disable=None):
        bits = distort(pixels, recipe)[:, pixel] >= level
        bits = (bits ^ (torch.rand(bits.shape) < recipe.bit_flips)).float()
        order = torch.randperm(len(pixels))
        for step in range(steps):
            chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
            logits = graph(bits[chosen]) * graph.log_scale.exp()
            loss = functional.cross_entropy(
                logits, labels[chosen], label_smoothing=recipe.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                graph.hidden.clamp_(-1, 1)
                graph.output.clamp_(-1, 1)
    return graph.eval()


def check_export(graph: TrainingGraph, network: DigitsNetwork, pixels: np.ndarray) -> None:
    """Raise RuntimeError unless graph and network give all images the same class preactivations."""
    bits = encode(pixels, network.pixel, network.level)
    with torch.no_grad():
        wanted = graph.eval()(torch.tensor(bits, dtype=torch.float32)).numpy()
    differing = int((evaluate(network, pixels).class_preactivations != wanted).any(axis=1).sum())
    if differing:
        raise RuntimeError(
            f"The exported network differs from its training graph on {differing} of "
            f"{len(pixels)} images"
        )


class Trained(NamedTuple):
    """A network and how good it is on images it was not trained on."""

    network: DigitsNetwork
    accuracy: float


def train_and_export(
    training: LabelledImages, test: LabelledImages, seed: int, recipe: Recipe, name: str
) -> Trained:
    """Choose the encoding, train, export, check the export on all images, and test the network."""
    encoding = choose_encoding(training.pixels, training.labels)
    graph = train(training, encoding, seed, recipe, name)
    network = export(graph, encoding)
    check_export(graph, network, np.concatenate([training.pixels, test.pixels]))
    right = evaluate(network, test.pixels).predictions == test.labels
    return Trained(network, float(right.mean()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m networks.training.digits",
        description="Train the 116-64-10 digits network with several seeds, on the fit images "
        "first to measure validation accuracy, then on all training images; write the network of "
        "the seed with the best validation accuracy, its program image and a record of all seeds.",
        epilog="Example: python -m networks.training.digits --seeds 0 1 2 3 4 "
        "--output networks/trained/digits.npz",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds (default: 0 1 2 3 4)"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=Recipe.epochs,
        help=f"epochs of each training (default: {Recipe.epochs}, chosen by validation)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=NETWORK_FILE,
        help="network file, a .npz; the program image goes beside it as <name>_image.npz and the "
        "record as <name>.json (default: the committed file)",
    )
    parser.add_argument(
        "--validation-only",
        action="store_true",
        help="print validation accuracies, write nothing and leave the held-out images alone",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    output: Path = options.output
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1, not {options.epochs}")
    check_seeds(parser, options.seeds)
    if output.suffix != ".npz":
        parser.error(f"--output must name a .npz file, not {output.name}")
    recipe = replace(Recipe(), epochs=options.epochs)

    fit, validation = load_part("fit"), load_part("validation")
    validated = {}
    for seed in options.seeds:
        trial = train_and_export(fit, validation, seed, recipe, f"seed {seed}, fit images")
        validated[seed] = trial.accuracy
        print(f"seed {seed}: validation accuracy {trial.accuracy:.4f}", flush=True)
    median = statistics.median(validated.values())
    print(f"median of {len(validated)} seeds: validation accuracy {median:.4f}")
    if options.validation_only:
        return 0

    # Everything is chosen now: the held-out images are looked at below, once, and choose nothing.
    kept_seed = best_seed(validated)
    training, held_out = load_part("training"), load_part("held_out")
    final = {}
    for seed in options.seeds:
        final[seed] = train_and_export(
            training, held_out, seed, recipe, f"seed {seed}, training images"
        )
        print(f"seed {seed}: held-out accuracy {final[seed].accuracy:.4f}", flush=True)
    print(
        f"Each exported network agrees with its training graph on every image; "
        f"the network of seed {kept_seed} is kept"
    )

    output.parent.mkdir(parents=True, exist_ok=True)
    network = final[kept_seed].network
    network.save(output)
    save_image(program_image(network, JEBALI_2024), output.with_name(f"{output.stem}_image.npz"))
    command = ["python", "-m", "networks.training.digits", "--seeds", *map(str, options.seeds)]
    command += ["--epochs", str(options.epochs)]
    record = {
        "command": shlex.join(command),
        "versions": versions("numpy", "scikit-learn", "torch"),
        "images": {
            "fit": len(fit.labels),
            "validation": len(validation.labels),
            "training": len(training.labels),
            "held_out": len(held_out.labels),
        },
        "recipe": asdict(recipe),
        "seeds": [
            {
                "seed": seed,
                "validation_accuracy": round(validated[seed], 6),
                "held_out_accuracy": round(final[seed].accuracy, 6),
            }
            for seed in options.seeds
        ],
        "median_validation_accuracy": round(median, 6),
        "median_held_out_accuracy": round(
            statistics.median(trained.accuracy for trained in final.values()), 6
        ),
        "kept_seed": kept_seed,
        "kept_because": KEPT_BECAUSE,
    }
    write_record(output.with_suffix(".json"), record)
    print(
        f"median of {len(final)} seeds: held-out accuracy {record['median_held_out_accuracy']:.4f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
