"""Trained networks on the golden chip: what the experiments on whole networks share.

Every layer's sums are made by the golden model's registers, pass after pass, as on the chip.
Accuracies are of MNIST's test set, which no training and no choice looked at, unless said.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models.chip import GoldenChip
from networks.data import load_data
from networks.form import Network
from networks.importing import load_network
from networks.mapping import Program
from networks.runtime import run
from sim.experiments.statistics import binomial_rate, cluster_rate

__all__ = [
    "BEST_CHAINED",
    "IMAGES",
    "MAJORITY",
    "MNIST_TEST",
    "accuracy_of",
    "over_draws",
    "pack",
    "paired_loss",
    "percent",
    "right_ones",
    "load_test",
    "trained",
    "trained_file",
    "unpack",
]

FOLDER = Path(__file__).resolve().parents[2] / "networks" / "trained"

#: 784-1102-64-10, majority votes of blocks of 58 behind its first layer, as published.
MAJORITY = "mnist_1102_64_majority"
#: The committed network with the best validation accuracy: 784-1024-1024-10, exact sums.
BEST_CHAINED = "mnist_1024_1024"

#: What `Experiment.data` says.
MNIST_TEST = "mnist:test"
#: Images of MNIST's test set.
IMAGES = 10_000

Bits = NDArray[np.bool_]


def trained_file(name: str) -> str:
    """Path of a trained network below the checkout, for `Experiment.files`."""
    return f"networks/trained/{name}.npz"


def trained(name: str) -> Network:
    """A trained network, by its file's name without `.npz`."""
    return load_network(FOLDER / f"{name}.npz")


def load_test(count: int, task: str = "mnist") -> tuple[NDArray, NDArray[np.int64]]:
    """The first `count` test images of a task, `mnist` or `digits`, and their labels."""
    examples = load_data(task)
    assert examples.labels is not None
    return examples.data[:count], examples.labels[:count]


def right_ones(program: Program, data: NDArray, labels: NDArray, **options: Any) -> Bits:
    """Which images a compiled network classifies right on the golden chip, bool (images,).

    `options` are those of `networks.runtime.run`, such as `tables`.
    """
    found = run(program, GoldenChip(program.geometry), data, **options)
    return found.predictions == labels


def pack(bits: ArrayLike) -> str:
    """Bits as text, for a point's result; `unpack` undoes it."""
    return np.packbits(np.asarray(bits, dtype=bool)).tobytes().hex()


def unpack(text: str, count: int) -> Bits:
    """The `count` bits of `pack`."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)


def accuracy_of(right: int, images: int) -> dict:
    """Accuracy of one run, with the Clopper-Pearson 95 % interval for images like these."""
    low_high = binomial_rate(np.array(right), np.array(images))
    return {
        "right": int(right), "images": int(images), "accuracy": float(low_high.rate),
        "low": float(low_high.low), "high": float(low_high.high),
    }  # fmt: skip


def over_draws(right: Sequence[int], images: int) -> dict:
    """Mean accuracy over drawn chips, with a 95 % interval: bootstrap over them, images fixed.

    With one draw there is no interval.
    """
    counts = np.asarray(right)
    each = (counts / images).tolist()
    if len(each) == 1:
        return {"accuracy": each[0], "low": None, "high": None, "each": each, "images": images}
    rate = cluster_rate(counts, np.full(len(counts), images))
    return {
        "accuracy": float(rate.rate), "low": float(rate.low), "high": float(rate.high),
        "each": each, "images": images,
    }  # fmt: skip


def paired_loss(first: Bits, second: Bits) -> dict:
    """Accuracy of the first run less that of the second, on the same images.

    The 95 % interval is a bootstrap over images: of those that only one of the runs gets right.
    """
    images = len(first)
    lost = int(np.count_nonzero(first & ~second))
    won = int(np.count_nonzero(second & ~first))
    random = np.random.Generator(np.random.Philox(key=0))
    shares = [lost / images, won / images, 1 - (lost + won) / images]
    drawn = random.multinomial(images, shares, 2000)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / images, [0.025, 0.975])
    return {
        "loss": (lost - won) / images, "low": float(low), "high": float(high),
        "lost_images": lost, "won_images": won, "images": images,
    }  # fmt: skip


def percent(values: Sequence[float | None]) -> list[float | None]:
    """Shares as percent; None stays."""
    return [None if value is None else 100 * value for value in values]
