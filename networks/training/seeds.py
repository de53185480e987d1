"""Train networks with several seeds, choose by validation, read the test set once, export.

What the recipes (`mnist`, `widths`, `planes`, `eight_bit`, `cifar10`, `ecg`) share.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from networks import npz, state_dict
from networks.form import Network, blocks_of, evaluate
from networks.training.layers import BinaryNetwork, TrainedNetwork
from networks.training.loop import Examples, Recipe, accuracy, train
from networks.training.needs_torch import Tensor, torch
from networks.training.record import (
    KEPT_BECAUSE,
    ExportError,
    best_seed,
    check_seeds,
    versions,
)

__all__ = [
    "Outcome",
    "Parts",
    "Task",
    "add_options",
    "begin_record",
    "check_options",
    "export",
    "memory",
    "run",
    "say_kept",
    "with_epochs",
]

CHECKPOINTS = Path("build") / "training"
#: Not networks/trained: committed networks are replaced only where --output says so.
OUTPUT = Path("build") / "trained"


@dataclass(frozen=True)
class Task:
    """A network to be trained.

    Parameters
    ----------
    name : str
        Of its files: checkpoints are `{name}_{seed}.pt`.
    build : callable
        seed -> the network a training starts from, drawn.
    recipe : Recipe
    distort : callable, optional
        (float data, strength) -> distorted data.
    measure : callable
        (network, examples) -> accuracy, of validation and test examples.
    """

    name: str
    build: Callable[[int], TrainedNetwork]
    recipe: Recipe
    distort: Callable[[Tensor, float], Tensor] | None = None
    measure: Callable[[Any, Examples], float] = accuracy


@dataclass
class Outcome:
    """What became of a task.

    Attributes
    ----------
    task : Task
    networks : dict
        Seed to trained network.
    validation, test : dict
        Seed to accuracy; `test` is empty where it was not to be read.
    """

    task: Task
    networks: dict[int, TrainedNetwork] = field(default_factory=dict)
    validation: dict[int, float] = field(default_factory=dict)
    test: dict[int, float] = field(default_factory=dict)

    @property
    def kept_seed(self) -> int:
        """The seed of the best validation accuracy."""
        return best_seed(self.validation)

    def record(self) -> dict[str, Any]:
        """Recipe, and accuracies of every seed, for a JSON record."""
        seeds = [
            {
                "seed": seed,
                "validation_accuracy": round(value, 6),
                "test_accuracy": round(self.test[seed], 6),
            }
            for seed, value in self.validation.items()
        ]
        return {
            "recipe": asdict(self.task.recipe),
            "seeds": seeds,
            "median_validation_accuracy": round(statistics.median(self.validation.values()), 6),
            "median_test_accuracy": round(statistics.median(self.test.values()), 6),
            "kept_seed": self.kept_seed,
            "kept_because": KEPT_BECAUSE,
        }


class Parts:
    """Parts of a data set, each read once, when it is first asked for.

    Parameters
    ----------
    load : callable
        "fit", "validation" or "test" -> Examples.
    """

    def __init__(self, load: Callable[[str], Examples]) -> None:
        self._load = load
        self._read: dict[str, Examples] = {}

    def __call__(self, part: str) -> Examples:
        """Examples of a part."""
        if part not in self._read:
            self._read[part] = self._load(part)
        return self._read[part]

    @property
    def counts(self) -> dict[str, int]:
        """Examples of each part read."""
        return {part: len(examples.labels) for part, examples in self._read.items()}


def run(
    tasks: Sequence[Task],
    seeds: Sequence[int],
    parts: Parts,
    checkpoints: Path,
    validation_only: bool = False,
) -> list[Outcome]:
    """Train every task with every seed on `fit`, then measure all of them on `test`, once.

    Parameters
    ----------
    tasks : sequence of Task
    seeds : sequence of int
    parts : Parts
        The test set is asked for at the end, after every choice is made.
    checkpoints : Path
        Folder; a training found there goes on, or is taken as it is where all epochs are done.
    validation_only : bool
        Leave the test set alone.
    """
    fit, validation = parts("fit"), parts("validation")
    outcomes = []
    for task in tasks:
        outcome = Outcome(task)
        for seed in seeds:
            network = task.build(seed)
            said = f"{task.name} seed {seed}"
            path = checkpoints / f"{task.name}_{seed}.pt"
            train(network, fit, task.recipe, seed, task.distort, path, said, validation)
            outcome.networks[seed] = network
            outcome.validation[seed] = task.measure(network, validation)
            print(f"{said}: validation accuracy {outcome.validation[seed]:.4f}", flush=True)
        outcomes.append(outcome)
    if validation_only:
        return outcomes
    # Everything is chosen now: the test set is looked at below, once, and chooses nothing.
    test = parts("test")
    for outcome in outcomes:
        for seed, network in outcome.networks.items():
            outcome.test[seed] = outcome.task.measure(network, test)
            said = f"{outcome.task.name} seed {seed}"
            print(f"{said}: test accuracy {outcome.test[seed]:.4f}", flush=True)
    return outcomes


def export(
    network: TrainedNetwork, name: str, path: Path, parts: Sequence[Examples]
) -> dict[str, int]:
    """Fold a trained network into integers, write it as .npz, and check the file on examples.

    A file that was there stays as it is until the new one has passed.

    Returns
    -------
    dict
        For a record: how many inputs the file, read again, was compared on, and that none differ.

    Raises
    ------
    ExportError
        If a preactivation of the exported network is not that of the training graph.
    """
    assert isinstance(network, BinaryNetwork)
    folded = state_dict.convert(network.state_dict(), name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        new = Path(folder) / path.name
        npz.save(folded, new)
        count, differing = _compare(network, npz.load(new), parts)
        if differing:
            raise ExportError(
                f"{name}: the exported network differs from its training graph on {differing} of "
                f"{count} inputs; {path} was not written"
            )
        new.replace(path)
    return {"inputs": count, "differing_preactivations": 0, "differing_predictions": 0}


def _compare(network: BinaryNetwork, folded: Network, parts: Sequence[Examples]) -> tuple[int, int]:
    """Inputs of all parts, and on how many of them the two networks differ."""
    count = differing = 0
    network.eval()
    for data in [data for examples in parts for data in examples.data.split(500)]:
        # numpy's threads on busy cores, small products: ten times slower than one
        with torch.no_grad(), threadpool_limits(torch.get_num_threads(), user_api="blas"):
            wanted = network.preactivations(data.float()).numpy()
            got = evaluate(folded, data.numpy())
        wrong = (got.preactivations != wanted).any(axis=1)
        wrong |= got.predictions != wanted.argmax(axis=1)
        count, differing = count + len(data), differing + int(np.count_nonzero(wrong))
    return count, differing


def memory(network: TrainedNetwork) -> dict[str, int]:
    """Bits a binary network's program takes: weights, and thresholds wide enough for any sum."""
    weights = thresholds = 0
    layers: list[Any] = list(network.layers)
    for layer in layers:
        weights += layer.weight.numel()
        scale = (1 << layer.planes) - 1
        votes, outputs = getattr(layer, "votes", 1), layer.weight.shape[-1]
        area = layer.weight[0, ..., 0].numel()  # of a kernel; 1 in a dense layer
        for part in blocks_of(len(layer.weight), votes):
            largest = (part.stop - part.start) * area * scale
            thresholds += outputs * largest.bit_length()
    return {"weight_bits": weights, "threshold_bits": thresholds}


def say_kept(outcome: Outcome, path: Path) -> None:
    """Print the medians and which network was written where."""
    said = outcome.record()
    print(
        f"median of {len(outcome.test)} seeds: validation accuracy "
        f"{said['median_validation_accuracy']:.4f}, test accuracy "
        f"{said['median_test_accuracy']:.4f}; the network of seed {outcome.kept_seed} is kept in "
        f"{path}"
    )


def add_options(parser: argparse.ArgumentParser, seeds: Sequence[int]) -> None:
    """Add the options all training commands have."""
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=list(seeds),
        help=f"seeds (default: {' '.join(map(str, seeds))})",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        help="epochs of each training (default: as the recipe says)",
    )
    parser.add_argument(
        "--checkpoints",
        type=Path,
        default=CHECKPOINTS,
        metavar="FOLDER",
        help=f"where trainings are kept after every epoch, and go on from (default: {CHECKPOINTS})",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=OUTPUT,
        metavar="FOLDER",
        help=f"where networks and the record are written (default: {OUTPUT}; networks/trained "
        "replaces the committed ones)",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default: 1)")
    parser.add_argument(
        "--validation-only",
        action="store_true",
        help="print validation accuracies, write nothing and leave the test set alone",
    )


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse options that cannot be, as the parser does, and set the number of threads."""
    check_seeds(parser, options.seeds)
    if options.epochs is not None and options.epochs < 1:
        parser.error(f"--epochs must be at least 1, not {options.epochs}")
    if options.threads < 1:
        parser.error(f"--threads must be at least 1, not {options.threads}")
    torch.set_num_threads(options.threads)


def with_epochs(recipe: Recipe, options: argparse.Namespace, **changes: Any) -> Recipe:
    """The recipe with changes, and with the number of epochs the user asks for, if any."""
    if options.epochs is not None:
        changes["epochs"] = options.epochs
    return replace(recipe, **changes)


def begin_record(
    command: Sequence[object],
    options: argparse.Namespace,
    parts: Parts,
    packages: Sequence[str] = (),
) -> dict[str, Any]:
    """How a record begins: the command without its folders, versions, examples of each part."""
    words = ["python", "-m", *map(str, command), "--seeds", *map(str, options.seeds)]
    if options.epochs is not None:
        words += ["--epochs", str(options.epochs)]
    return {
        "command": shlex.join(words),
        "versions": versions("numpy", "torch", *packages),
        "threads": options.threads,
        "examples": parts.counts,
    }
