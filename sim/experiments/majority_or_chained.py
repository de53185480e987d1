"""Majority votes or exact sums: accuracy, and what each takes on the two geometries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from behavioral_models.geometry import preset
from networks.mapping import compile
from networks.schedule import Costs, energy, plan
from sim.experiments import style
from sim.experiments.experiment import Experiment, Options
from sim.experiments.trained_networks import (
    BEST_CHAINED,
    FOLDER,
    IMAGES,
    MAJORITY,
    MNIST_TEST,
    accuracy_of,
    pack,
    paired_loss,
    right_ones,
    load_test,
    trained,
    trained_file,
    unpack,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Networks: 784-1102-64-10 with votes and with exact sums; 784-1024-1024-10.
NETWORKS = (MAJORITY, "mnist_1102_64", BEST_CHAINED)
GEOMETRIES = ("heliobit", "heliobit_wide")
COSTS = "jebali_2024"

#: Percent: 784-1102-64-10 with majority votes (Jebali 2024, Table 1, no errors); 784-1024-1024-10
#: (Hirtzlin 2020, section 3.2).
PUBLISHED = {
    MAJORITY: (97.2, "Jebali 2024, Table 1"),
    BEST_CHAINED: (98.3, "Hirtzlin 2020"),
}


def points(_options: Options) -> list[dict]:
    """One point a network and geometry."""
    return [{"network": name, "geometry": geometry, "images": IMAGES}
            for name in NETWORKS for geometry in GEOMETRIES]  # fmt: skip


def run(point: dict, _seed: int) -> dict:
    """Which test images are right, and what an inference takes; nothing is random."""
    program = compile(trained(point["network"]), preset(point["geometry"]))
    right = right_ones(program, *load_test(point["images"]))
    costs = Costs.load(COSTS)
    schedule = plan(program, len(program.images), point["images"], costs.clock_hz)
    record = json.loads((FOLDER / f"{point['network']}.json").read_text(encoding="utf-8"))
    return {
        "right": pack(right),
        "test_accuracy_of_seeds": [each["test_accuracy"] for each in record["seeds"]],
        "weight_bits": program.network.weight_bits,
        "program_images": len(program.images),
        "cells": int(np.prod(program.images.shape)),
        "cycles": schedule.cycles_per_inference,
        "parallel_cycles": schedule.parallel_cycles_per_inference,
        "useful_share": schedule.useful_share,
        "transfer_bytes": schedule.total("transfer_bytes"),
        "host_operations": schedule.total("host_operations"),
        "energy": energy(schedule, costs).as_dict(),
    }


def gather(points: list[dict], results: list[dict]) -> dict:
    """All figures by network and geometry, and what votes cost."""
    series, right = [], {}
    for point, result in zip(points, results, strict=True):
        ones = unpack(result["right"], point["images"])
        right.setdefault(point["network"], []).append(ones)
        series.append({
            **point, **{key: value for key, value in result.items() if key != "right"},
            **accuracy_of(int(ones.sum()), point["images"]),
        })  # fmt: skip
    loss = paired_loss(right["mnist_1102_64"][0], right[MAJORITY][0])
    return {
        "costs": Costs.load(COSTS).about, "series": series,
        "published_percent": {name: value for name, (value, _) in PUBLISHED.items()},
        "extrapolated": {each["geometry"]: each["energy"]["extrapolated"] for each in series},
        "statements": [
            {"what": "both geometries classify every image alike",
             "holds": all((each[0] == each[1]).all() for each in right.values())},
            {"published": "majority votes cause only moderate degradation", "fitted": False,
             "criterion": "at most one point less than exact sums of the same shape, trained alike",
             "holds": loss["loss"] <= 0.01, "lost_by_votes": loss},
        ],
    }  # fmt: skip


NAMES = {
    MAJORITY: "1102-64\nvotes", "mnist_1102_64": "1102-64\nexact",
    BEST_CHAINED: "1024-1024\nexact",
}  # fmt: skip


def draw(data: dict, figure: Figure) -> None:
    """Bars: one panel a quantity, one group a network, one colour a geometry."""
    accuracy, *others = figure.subplots(2, 2).ravel()
    series = data["series"]
    wide = [each for each in series if each["geometry"] == "heliobit_wide"]
    for place, each in enumerate(wide):
        one, low, high = (100 * each[key] for key in ("accuracy", "low", "high"))
        accuracy.bar(place, one, 0.5, color="#888888")
        accuracy.errorbar([place], [one], [[one - low], [high - one]], color="black", capsize=3)
        accuracy.text(place, 96.6, f"{one:.2f}", ha="center", va="bottom", color="white",
                      fontsize=9.5)  # fmt: skip
        seeds = [100 * value for value in each["test_accuracy_of_seeds"]]
        accuracy.plot([place + 0.33] * len(seeds), seeds, "o", color=style.colour(2), markersize=3,
                      label="each seed" if not place else None)  # fmt: skip
    shown = [place for place, name in enumerate(NAMES) if name in data["published_percent"]]
    style.published(accuracy, [place - 0.33 for place in shown],
                    list(data["published_percent"].values()),
                    "Jebali 2024 (left), Hirtzlin 2020", markersize=5)  # fmt: skip
    accuracy.set(ylim=(96.5, 99.6), ylabel="accuracy (%)")
    accuracy.legend(loc="upper left", fontsize=7.5, ncols=2, columnspacing=0.8)
    panels = (
        ("clock cycles, thousands", lambda each: each["cycles"] / 1e3),
        ("bit cells, thousands", lambda each: each["cells"] / 1e3),
        ("energy (uJ)", lambda each: 1e6 * each["energy"]["inference_j"]),
    )
    for axis, (label, value) in zip(others, panels, strict=True):
        for index, geometry in enumerate(GEOMETRIES):
            heights = [value(each) for each in series if each["geometry"] == geometry]
            bars = axis.bar([place + 0.4 * index - 0.2 for place in range(len(heights))], heights,
                            0.38, color=style.colour(index),
                            label=f"{geometry}: {16 if index else 2} macros a bank")  # fmt: skip
            axis.bar_label(bars, [f"{height:,.3g}" if height < 1e3 else f"{height:,.0f}"
                                  for height in heights], fontsize=7.5)  # fmt: skip
        axis.set_ylabel(label, fontsize=10)
        axis.margins(y=0.15)
        axis.set_title("an inference" if axis is not others[1] else "all program images",
                       fontsize=9)  # fmt: skip
    others[1].legend(loc="upper left", fontsize=7.5)
    others[1].margins(y=0.6)
    for axis in (accuracy, *others):
        axis.set_xticks(range(len(NAMES)), list(NAMES.values()), fontsize=8.5)
        axis.grid(False, axis="x")
        axis.tick_params(axis="y", labelsize=9)


EXPERIMENT = Experiment(
    name="majority_or_chained",
    title="MNIST: majority votes or exact sums",
    figure="Beside Jebali 2024, Table 1, and Hirtzlin 2020, section 3.2",
    duration="10 s",
    status=(
        "Fitted: nothing. Accuracy on the golden chip, every layer's sums on its registers; bars: "
        "95 %, for images like these. Energy by the cost table jebali_2024 (0.7 V, 10 MHz, 130 nm, "
        "taken to run 3 cycles a row; cells sensed, registers and cycles; transfers, waits for "
        "them, host and programming 0, as nobody gives them), extrapolated: one cycle a row here, "
        "and if control goes with rows, it takes three times as much a row; registers of 15 bits "
        "at the cost of 8; a cycle of a wide chip at the cost of one of the published chip, though "
        "it has eight times the macros. Chips for all images."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    files=tuple(file for name in NETWORKS
                for file in (trained_file(name), f"networks/trained/{name}.json")),
    data=(MNIST_TEST,),
)  # fmt: skip
