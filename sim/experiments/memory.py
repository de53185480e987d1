"""Memory of binary networks and of 8-bit ones at equal accuracy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.experiments import style
from sim.experiments.experiment import Experiment, Options
from sim.experiments.statistics import binomial_rate
from sim.experiments.trained_networks import FOLDER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Kind of network to its record, and to what it stores besides weights.
RECORDS = {"binary": ("widths", "threshold_bits"), "8-bit": ("eight_bit", "bias_bits")}

#: Querlioz, after Penkovsky et al., DATE 2020: memory saved against 8-bit networks, equal accuracy.
PUBLISHED = {"ECG electrodes": 0.76, "EEG movement": 0.58}

#: Accuracies at which memories are compared, where both kinds reach them.
LEVELS = (0.94, 0.95, 0.96, 0.97, 0.975, 0.98)

_RESAMPLES = 500


def points(_options: Options) -> list[dict]:
    """One point a kind of network."""
    return [{"kind": kind} for kind in RECORDS]


def run(point: dict, _seed: int) -> list[dict]:
    """Every network of a training's record: memory, and the median accuracy of its seeds."""
    name, other = RECORDS[point["kind"]]
    record = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return [
        {
            "hidden": entry["network"]["hidden"],
            "weight_bits": entry["network"]["weight_bits"],
            "bits": entry["network"]["weight_bits"] + entry["network"][other],
            "accuracy": entry["median_test_accuracy"],
            "images": record["examples"]["test"],
            "seeds": len(entry["seeds"]),
        }
        for entry in record["networks"]
    ]


def envelope(bits: ArrayLike, accuracies: ArrayLike) -> tuple[NDArray, NDArray]:
    """The networks that no smaller one equals, by growing memory: log2 of the bits, accuracy."""
    order = np.argsort(bits, kind="stable")
    sizes, values = np.log2(np.asarray(bits, dtype=float)[order]), np.asarray(accuracies)[order]
    best = np.concatenate([[True], values[1:] > np.maximum.accumulate(values)[:-1]])
    return sizes[best], values[best]


def bits_at(bits: ArrayLike, accuracies: ArrayLike, accuracy: float) -> float | None:
    """Memory for an accuracy: between two networks, its logarithm along a straight line."""
    sizes, values = envelope(bits, accuracies)
    if not values[0] <= accuracy <= values[-1]:
        return None
    return float(2 ** np.interp(accuracy, values, sizes))


def saving(binary: list[dict], eight: list[dict], accuracy: float) -> dict | None:
    """Share of memory that binary networks save at an accuracy, and its 95 % interval.

    None where one kind does not reach it. The interval is that of the test images: accuracies drawn
    again, binomially; draws in which a kind does not reach the accuracy are left out.
    """

    def found(accuracies: list[NDArray]) -> float | None:
        memories = [
            bits_at([one["bits"] for one in networks], values, accuracy)
            for networks, values in zip((binary, eight), accuracies, strict=True)
        ]
        return None if None in memories else 1 - memories[0] / memories[1]

    means = [np.array([one["accuracy"] for one in networks]) for networks in (binary, eight)]
    value = found(means)
    if value is None:
        return None
    random = np.random.Generator(np.random.Philox(key=0))
    images = binary[0]["images"]
    drawn = [found([random.binomial(images, each) / images for each in means])
             for _ in range(_RESAMPLES)]  # fmt: skip
    low, high = np.quantile([each for each in drawn if each is not None], [0.025, 0.975])
    return {"accuracy": accuracy, "saving": value, "low": float(low), "high": float(high)}


def gather(points: list[dict], results: list[list[dict]]) -> dict:
    """Accuracy and memory of all networks; what is saved by number of hidden layers, and by all."""
    kinds = {point["kind"]: found for point, found in zip(points, results, strict=True)}
    for networks in kinds.values():
        for each in networks:
            interval = binomial_rate(round(each["accuracy"] * each["images"]), each["images"])
            each |= {"low": float(interval.low), "high": float(interval.high)}
    savings = []
    for layers in (1, 2, None):
        binary, eight = ([each for each in networks if layers in (None, len(each["hidden"]))]
                         for networks in kinds.values())  # fmt: skip
        at = [saving(binary, eight, level) for level in LEVELS]
        savings.append({"hidden_layers": layers, "levels": [each for each in at if each]})
    every = [each["saving"] for each in savings[-1]["levels"]]
    return {
        "kinds": kinds, "savings": savings, "published_saving": PUBLISHED,
        "statements": [
            {"published": "76 % (ECG) and 58 % (EEG) less memory than 8-bit networks at equal "
                          "accuracy, 1-D convolutions", "fitted": False,
             "note": "another task: MNIST, dense layers; only the kind of comparison is the same",
             "criterion": "binary networks need less memory at every accuracy compared",
             "holds": bool(every) and min(every) > 0,
             "least": min(every, default=None), "most": max(every, default=None)},
        ],
    }  # fmt: skip


def draw(data: dict, figure: Figure) -> None:
    """Accuracy against memory; the ratio at equal accuracy, beside the published ones."""
    left, right = figure.subplots(1, 2)
    for index, (kind, networks) in enumerate(data["kinds"].items()):
        for layers, line in ((1, "--"), (2, "-")):
            shown = sorted((each for each in networks if len(each["hidden"]) == layers),
                           key=lambda each: each["bits"])  # fmt: skip
            y, low, high = ([100 * each[key] for each in shown]
                            for key in ("accuracy", "low", "high"))  # fmt: skip
            style.band(
                left,
                [each["bits"] / 8e3 for each in shown],
                y,
                low,
                high,
                series=index,
                marker="o",
                markersize=4,
                linestyle=line,
                label=f"{kind}, {layers} hidden layer{'s' if layers > 1 else ''}",
            )
    left.set(xscale="log", xlabel="memory (kB)", ylabel="accuracy, MNIST test set (%)")
    left.legend(loc="lower right", fontsize=8.5, handlelength=3.2)
    labels = {1: "one hidden layer", 2: "two hidden layers", None: "the best of both"}
    for index, each in enumerate(data["savings"]):
        x = [100 * one["accuracy"] for one in each["levels"]]
        y, low, high = ([1 - one[key] for one in each["levels"]]
                        for key in ("saving", "low", "high"))  # fmt: skip
        style.band(right, x, y, low, high, label=labels[each["hidden_layers"]], series=index + 2,
                   marker="o", markersize=4)  # fmt: skip
    for (task, share), line in zip(data["published_saving"].items(), ("--", ":"), strict=True):
        label = f"{task}: {100 * share:.0f} % saved\n(Penkovsky 2020, in Querlioz' talk)"
        right.axhline(1 - share, color="black", linewidth=1, linestyle=line, label=label)
    right.axhline(1, color="#888888", linewidth=0.8)
    right.set(xlabel="accuracy of both (%)", ylabel="memory, binary over 8-bit", yscale="log",
              ylim=(0.012, 6))  # fmt: skip
    ticks = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
    right.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    right.legend(loc="lower left", fontsize=8)


EXPERIMENT = Experiment(
    name="memory",
    title="MNIST: memory of binary and of 8-bit networks",
    figure="Querlioz, talk (after Penkovsky et al., DATE 2020)",
    duration="2 s",
    status=(
        "Fitted: nothing. The tasks differ: published are ECG and EEG with 1-D convolutions, ours "
        "is MNIST with dense layers; they can agree by chance alone. Memory: weights, thresholds "
        "(binary), 32-bit biases (8-bit). 8-bit networks are quantised after training. Between "
        "networks the logarithm of memory is interpolated. Bands: 95 %, for images like these; "
        "accuracies from the trainings' records, median of seeds."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    files=tuple(f"networks/trained/{name}.json" for name, _ in RECORDS.values()),
    in_process=True,
)
