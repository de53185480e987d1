"""Map of the outputs of 64 neurons at five preactivations, at 33 and at 66 MHz."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from behavioral_models.geometry import JEBALI_2024
from behavioral_models.macro import read_table
from sim.experiments.experiment import Experiment, Options
from sim.experiments.published_chips import (
    FROM_THE_FORM,
    INPUTS,
    NEURONS,
    PARAMETERS,
    THRESHOLD_ROWS,
    WEIGHT_ROWS,
    ChipMaker,
    chip_points,
    pattern_set,
    per_chip,
    rate_of,
    ratio,
    run_patterns,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VDD_V = 0.9
CLOCKS_HZ = (33e6, 66e6)
PREACTIVATIONS = (-5, -1, 0, 1, 5)

#: Share that counts as "almost all" (our reading).
ALMOST_ALL = 0.9

#: Neurons of the map: those of the first bank.
SHOWN = JEBALI_2024.columns

_RED, _GREY = "#D62728", "#E4E9EE"


def points(options: Options) -> list[dict]:
    """Ten chips a point."""
    return chip_points(options, 10)


def run(point: dict, seed: int) -> dict:
    """Wrong outputs (chip, clock, preactivation, neuron), and misread weights at the clocks."""
    maker = ChipMaker(seed)
    weights = slice(WEIGHT_ROWS.start, WEIGHT_ROWS.stop)
    errors, misread, misread_at_both = [], [], []
    for chip in range(point["first_chip"], point["first_chip"] + point["chips"]):
        popcounts = [INPUTS // 2 + d for d in PREACTIVATIONS]
        patterns = pattern_set(maker.random(chip), popcounts)
        made = maker.make(chip, patterns.image)
        # an input gives half of the neurons d and the others -d: sort each neuron's by d
        order = np.argsort(patterns.preactivations, axis=0)
        wrong = [
            np.take_along_axis(
                run_patterns(made, patterns, VDD_V, clock_hz, THRESHOLD_ROWS), order, axis=0
            )
            for clock_hz in CLOCKS_HZ
        ]
        errors.append(np.array(wrong, dtype=int))
        right = read_table(patterns.image)[:, weights]
        slow, fast = (made.table(VDD_V, clock)[:, weights] != right for clock in CLOCKS_HZ)
        misread.append([slow.sum(), fast.sum()])
        misread_at_both.append((slow & fast).sum())
    return {"errors": errors, "misread": misread, "misread_at_both": misread_at_both}


def gather(_points: list[dict], results: list[dict]) -> dict:
    """The map of one chip, chosen by a rule, and the published statements over all."""
    errors = per_chip(results, "errors")
    shown = median_chip(errors[:, 1, :, :SHOWN].sum(axis=(1, 2)))
    by_clock = errors.sum(axis=(2, 3))
    slow, fast = by_clock[:, 0], by_clock[:, 1]
    both = (errors[:, 0] & errors[:, 1]).sum(axis=(1, 2))
    misread, misread_at_both = per_chip(results, "misread"), per_chip(results, "misread_at_both")
    persisting, growth = rate_of(both, slow), ratio(fast, slow)
    trials = len(PREACTIVATIONS) * NEURONS
    return {
        "vdd_v": VDD_V, "clocks_hz": CLOCKS_HZ, "preactivations": PREACTIVATIONS,
        "chips": len(errors), "chip_shown": shown,
        "rule": "the chip with the median number of errors at 66 MHz in the map; of several, the "
                "first",
        "map": errors[shown, :, :, :SHOWN],
        "series": [
            {"clock_hz": clock_hz, "error": rate_of(by_clock[:, index], trials),
             "errors_by_preactivation": errors[:, index].sum(axis=(0, 2)),
             "trials_by_preactivation": len(errors) * NEURONS}
            for index, clock_hz in enumerate(CLOCKS_HZ)
        ],
        "statements": [
            {"published": "almost all errors at 33 MHz persist at 66 MHz",
             "fitted": FROM_THE_FORM,
             "holds": persisting["low"] is not None and persisting["low"] > ALMOST_ALL,
             "persisting": persisting,
             "misread_weights_persisting": rate_of(misread_at_both, misread[:, 0])},
            {"published": "more errors at 66 MHz than at 33 MHz", "fitted": True,
             "holds": growth["low"] is not None and growth["low"] > 1, "ratio": growth,
             "misread_weights": ratio(misread[:, 1], misread[:, 0])},
        ],
    }  # fmt: skip


def median_chip(counts: np.ndarray) -> int:
    """First of the chips that have the (lower) median count."""
    median = np.sort(counts)[(len(counts) - 1) // 2]
    return int(np.flatnonzero(counts == median)[0])


def draw(data: dict, figure: Figure) -> None:
    """One row a preactivation, one column a neuron; errors in red."""
    from matplotlib.colors import ListedColormap

    axes = figure.subplots(2, 1, sharex=True)
    slow = np.array(data["map"][0])
    for axis, clock_hz, wrong in zip(axes, data["clocks_hz"], data["map"], strict=True):
        wrong = np.array(wrong)
        axis.pcolormesh(
            np.arange(wrong.shape[1] + 1), np.arange(len(wrong) + 1), wrong,
            cmap=ListedColormap([_GREY, _RED]), vmin=0, vmax=1, edgecolors="white", linewidth=0.8,
        )  # fmt: skip
        if clock_hz != data["clocks_hz"][0]:
            rows, columns = np.nonzero(wrong & slow)
            axis.plot(columns + 0.5, rows + 0.5, ".", color="black", markersize=5, zorder=3)
        axis.set_yticks(np.arange(len(wrong)) + 0.5, [f"{d:+d}" if d else "0"
                                                      for d in data["preactivations"]])  # fmt: skip
        axis.set_ylabel("preactivation")
        axis.grid(False)
        axis.tick_params(length=0)
        for side in ("left", "bottom"):
            axis.spines[side].set_visible(False)
        note = "" if clock_hz == data["clocks_hz"][0] else " (dot: wrong at 33 MHz too)"
        axis.set_title(f"{clock_hz / 1e6:g} MHz, {data['vdd_v']:g} V: {wrong.sum()} of "
                       f"{wrong.size} outputs wrong{note}", loc="left")  # fmt: skip
    axes[1].set_xticks(np.arange(0, wrong.shape[1], 8) + 0.5, range(0, wrong.shape[1], 8))
    persisting, growth = (
        data["statements"][0]["persisting"], data["statements"][1]["ratio"]
    )  # fmt: skip
    text = f"neuron of chip {data['chip_shown']} (median number of errors)"
    if persisting["rate"] is not None and growth["ratio"] is not None:
        text += (
            f"\n{data['chips']} chips: {100 * persisting['rate']:.1f} % "
            f"({100 * persisting['low']:.1f} to {100 * persisting['high']:.1f} %) of the errors at "
            f"33 MHz persist at 66 MHz; published: almost all\n"
            f"{growth['ratio']:.2f} times as many errors at 66 MHz; published: more"
        )
    text += "\nPublished errors include preactivation -1, which here needs two misread bits"
    axes[1].set_xlabel(text, fontsize=9.5)


EXPERIMENT = Experiment(
    name="neuron_map",
    title="Outputs of 64 neurons at 33 and 66 MHz: errors in red",
    figure="Jebali 2024, Fig. 3b",
    duration="15 s",
    status=(
        "Fitted: bit errors at 0.9 V and 33 MHz and at 0.9 V and 66 MHz, so that 66 MHz errs more. "
        "That almost all errors persist follows from the model's form: reads have no noise, and "
        "the clocks differ only through the development of the line. Held out: which neurons err, "
        "and at which preactivation. "
        "Assumed: random weights, thresholds of 58, threshold rows read without errors."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    chips=100,
    parameters=PARAMETERS,
)
