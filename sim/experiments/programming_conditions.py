"""Errors of a kilobit array against how it is programmed, and the three conditions of Table 1.

Every array is programmed once in each way, with a checkerboard. As in `bit_errors`, cells share
nothing: intervals are Clopper-Pearson's, and arrays are spread over 20 derived seeds
(`sim.experiments.kilobit`). What is too rare to be counted is the models' integral.

The published bounds of Table 1 are of single pairs programmed ten million times or more, read by
one amplifier: the median pair and a perfect amplifier. Whole arrays, read by the array's
amplifiers, are held against the same bounds, which is harder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from behavioral_models.memristor import Condition
from behavioral_models.xpcsa import Amplifier
from sim.experiments import style
from sim.experiments.experiment import Experiment, Options
from sim.experiments.kilobit import (
    CELLS,
    CLOCK_HZ,
    VDD_V,
    batch_points,
    batch_seed,
    count_errors,
    counted,
    kilobit_array,
)
from sim.experiments.statistics import binomial_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONDITION, AMPLIFIER = "jebali_2024/weak_set", "jebali_2024/array_amplifier"

#: The published sweep (Hirtzlin 2020, Fig. 5): ends published, steps between them ours.
COMPLIANCE_A = (28e-6, 55e-6, 100e-6, 200e-6)
RESET_V = (1.5, 2.0, 2.5)
COUNTED_S = (0.1e-6, 1e-6, 10e-6, 100e-6)
LINE_S = tuple(np.geomspace(0.1e-6, 100e-6, 13))

#: Sweep arrays are this part of all: rates there are high enough.
SWEEP_PART = 5

#: Table 1 (Hirtzlin 2020): 2T2R bit errors below these.
TABLE_1 = {"strong": 1e-7, "optimised_endurance": 1e-4, "optimised_energy": 1e-5}


def points(options: Options) -> list[dict]:
    """One point a batch of arrays."""
    return batch_points(options)


def run(point: dict, seed: int) -> dict:
    """Pairs misread in a batch: of the sweep (compliance, voltage, time), and of Table 1."""
    amplifier = Amplifier(AMPLIFIER)
    weak = Condition(CONDITION)
    sweep = [[[weak.at(*each) for each in _programmings(a, v, COUNTED_S)] for v in RESET_V]
             for a in COMPLIANCE_A]  # fmt: skip
    table = [Condition(f"jebali_2024/{name}").at() for name in TABLE_1]
    chips = point["chips"]
    swept = -(-chips // SWEEP_PART)
    sweep_errors = np.zeros(np.shape(sweep), dtype=int)
    table_errors = np.zeros(len(table), dtype=int)
    for chip in range(chips):
        array = kilobit_array(weak, amplifier, batch_seed(seed, point["batch"]), chip)
        table_errors += [count_errors(array, states)[1] for states in table]
        if chip < swept:
            for place in np.ndindex(sweep_errors.shape):
                i, j, k = place
                sweep_errors[place] += count_errors(array, sweep[i][j][k])[1]
    return {
        "sweep": sweep_errors, "sweep_trials": swept * CELLS,
        "table": table_errors, "table_trials": chips * CELLS,
    }  # fmt: skip


def _programmings(
    current: float, voltage: float, pulses: tuple[float, ...]
) -> list[tuple[float, float, float]]:
    return [(current, voltage, pulse) for pulse in pulses]


def gather(points: list[dict], results: list[dict]) -> dict:
    """Errors of an array against each condition; Table 1."""
    amplifier, weak = Amplifier(AMPLIFIER), Condition(CONDITION)
    total = {name: np.sum([result[name] for result in results], axis=0)
             for name in ("sweep", "sweep_trials", "table", "table_trials")}  # fmt: skip
    sweep = binomial_rate(total["sweep"], total["sweep_trials"])
    series = []
    for i, current in enumerate(COMPLIANCE_A):
        for j, voltage in enumerate(RESET_V):
            line = [
                amplifier.bit_error_rate(weak.at(*each), VDD_V, CLOCK_HZ)
                for each in _programmings(current, voltage, LINE_S)
            ]
            one = type(sweep)(*(part[i, j] for part in sweep)).as_dict()
            series.append({"compliance_a": current, "reset_v": voltage, "line": line, **one})
    table = binomial_rate(total["table"], total["table_trials"])
    rows = []
    for index, (name, bound) in enumerate(TABLE_1.items()):
        states = Condition(f"jebali_2024/{name}").at()
        one = states.of_one_device()
        array = amplifier.bit_error_rate(states, VDD_V, CLOCK_HZ)
        pair = amplifier.bit_error_rate(one, VDD_V, CLOCK_HZ, ideal=True)
        rows.append({
            "condition": name,
            "published bound": bound,
            "median pair, perfect amplifier": pair,
            "whole array": array,
            "whole array, counted": {
                part: float(getattr(table, part)[index]) for part in ("rate", "low", "high")
            },
            "errors": int(total["table"][index]),
            "pairs": int(total["table_trials"]),
            "set_j": states.set_j,
            "reset_j": states.reset_j,
            "median pair keeps the bound": bool(pair < bound),
            "whole array keeps the bound": bool(array < bound),
            "count alone shows that the array keeps it": bool(table.high[index] < bound),
        })  # fmt: skip
    return {
        "sweep": {"counted_s": COUNTED_S, "line_s": LINE_S, "series": series},
        "statements": {"Table 1": rows},
        "cells": CELLS,
        "arrays": {
            "sweep": int(total["sweep_trials"]) // CELLS,
            "Table 1": int(total["table_trials"]) // CELLS,
        },
    }


def _draw_table(axis: Any, rows: list[dict], arrays: int) -> None:
    """Bounds, whole arrays and median pairs of the three conditions."""
    places, floor = np.arange(len(rows)), 1e-17
    style.published(axis, places - 0.2, [row["published bound"] for row in rows],
                    "published: below (Hirtzlin 2020, Table 1)", fmt="v")  # fmt: skip
    kept = [row["whole array, counted"] for row in rows]
    counts = {part: [each[part] for each in kept] for part in ("rate", "low", "high")}
    for series, (name, label, shift) in enumerate((
        ("whole array", "whole array, the array's amplifiers", 0),
        ("median pair, perfect amplifier", "median pair, perfect amplifier", 0.2),
    )):  # fmt: skip
        rates = [row[name] for row in rows]
        style.band(axis, places + shift, rates, series=4 * series, linestyle="none", marker="_",
                   markersize=16, markeredgewidth=2.2, label=label)  # fmt: skip
        for place, rate in zip(places, rates, strict=True):
            axis.annotate(f"{rate:.1e}", (place + shift + 0.09, rate), va="center", fontsize=8)
    counted(axis, places, counts, f"counted, {arrays:,} arrays", series=0)
    axis.set(yscale="log", ylim=(floor, 1e-2), yticks=[1e-16, 1e-12, 1e-8, 1e-4],
             xlim=(-0.4, len(rows) + 1.4), xticks=places, ylabel="bit errors (2T2R)",
             title="Table 1")  # fmt: skip
    axis.set_xticklabels([row["condition"].replace("_", "\n") for row in rows])
    axis.legend(loc="center right", fontsize=8)


def draw(data: dict, figure: Figure) -> None:
    """A panel a RESET voltage, and Table 1."""
    sweep, cells = data["sweep"], data["cells"]
    currents = sorted({each["compliance_a"] for each in sweep["series"]})
    voltages = sorted({each["reset_v"] for each in sweep["series"]})
    grid = figure.add_gridspec(2, len(voltages))
    first = None
    for column, voltage in enumerate(voltages):
        axis = figure.add_subplot(grid[0, column], sharex=first, sharey=first)
        first = first or axis
        for each in sweep["series"]:
            if each["reset_v"] == voltage:
                series = currents.index(each["compliance_a"])
                errors = cells * np.array(each["line"])
                style.band(axis, sweep["line_s"], errors, series=series,
                           label=f"{each['compliance_a'] * 1e6:.0f} uA")  # fmt: skip
                counted(axis, sweep["counted_s"], each, scale=cells, series=series)
        axis.axhline(1, color="black", linewidth=1, linestyle="--")
        axis.set(xscale="log", yscale="log", ylim=(1e-5, 1e6), title=f"RESET {voltage:g} V",
                 yticks=[1e-4, 1e-2, 1, 1e2], xlabel="pulse time (s)")  # fmt: skip
        axis.label_outer()
        axis.set_xlabel("pulse time (s)")
        axis.tick_params(labelbottom=True)
    first.set_ylabel("errors of an array")
    first.legend(loc="upper left", ncols=2, fontsize=8, columnspacing=1)
    first.annotate("below: Fig. 5 says '< 1'", (1.1e-7, 0.7), va="top", fontsize=7)
    _draw_table(figure.add_subplot(grid[1, :]), data["statements"]["Table 1"],
                data["arrays"]["Table 1"])  # fmt: skip


EXPERIMENT = Experiment(
    name="programming_conditions",
    title="Errors of a kilobit array (2T2R) against programming",
    figure="Hirtzlin 2020, Fig. 5 and Table 1",
    duration="1 min",
    status=(
        "Fitted: 1T1R errors of the weak SET, amplifier mismatch. Assumed: how medians and spreads "
        "follow compliance, RESET voltage and time (Fig. 5's values are not in the text). Held "
        "out: the bounds of Table 1, which are of single pairs; that compliance matters most. "
        "Energies are inputs."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    chips=2000,
    parameters=("jebali_2024/*_set", "jebali_2024/strong", "jebali_2024/optimised_*", AMPLIFIER),
)
