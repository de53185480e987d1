"""Resistances of the weak SET, and what the sense amplifiers make of the ratio of two of them.

Arrays are programmed again and again with a checkerboard and its complement, as the published one
was. An array's programmings share its devices and its amplifiers' mismatch: intervals are from a
bootstrap over arrays, which are spread over 20 derived seeds (`sim.experiments.kilobit`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from behavioral_models.memristor import Condition
from behavioral_models.xpcsa import Amplifier
from sim.experiments import style
from sim.experiments.experiment import Experiment, Options
from sim.experiments.kilobit import (
    CHECKERBOARD,
    CLOCK_HZ,
    VDD_V,
    batch_points,
    batch_seed,
    kilobit_array,
)
from sim.experiments.statistics import cluster_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONDITION, AMPLIFIER = "jebali_2024/weak_set", "jebali_2024/array_amplifier"

PROGRAMMINGS = 20  #: Of each array; the published one was programmed 100 times.
PUBLISHED_RATIO = 5.0  #: Below it the amplifiers can err (Hirtzlin 2020, Section 3.1).
PUBLISHED_OVERLAP = 3.0  #: Standard deviations at which the states overlap (Section 3.1).

#: log10 R at which devices are counted, and log10 of the ratio at which reads are.
RESISTANCES = np.linspace(2.25, 7.25, 101)
RATIOS = np.concatenate([[-np.inf], np.arange(-20, 21) / 10, [np.inf]])

_LARGE = np.log10(PUBLISHED_RATIO)


def points(options: Options) -> list[dict]:
    """One point a batch of arrays."""
    return batch_points(options)


def run(point: dict, seed: int) -> dict:
    """Counts of each array of a batch.

    Below each resistance (states, thresholds); reads, and those of them that gave 1, in each bin of
    ratios; reads of pairs that differ by the published factor or more, and the wrong ones.
    """
    condition, amplifier = Condition(CONDITION), Amplifier(AMPLIFIER)
    counts: dict[str, list] = {name: [] for name in ("below", "reads", "ones", "large", "wrong")}
    for chip in range(point["chips"]):
        array = kilobit_array(condition, amplifier, batch_seed(seed, point["batch"]), chip)
        low, high, ratios, read = [], [], [], []
        for programming in range(PROGRAMMINGS):
            bits = CHECKERBOARD ^ bool(programming % 2)
            array.program(bits)
            ohm = array.array.ohm
            is_high = np.stack([bits, ~bits], axis=-1)
            low.append(ohm[~is_high])
            high.append(ohm[is_high])
            ratios.append(np.log10(ohm[..., 0] / ohm[..., 1]).ravel())
            q = array.read(slice(None), slice(None), VDD_V, CLOCK_HZ)
            read.append(q[..., 1].ravel())
        ratio, one = np.concatenate(ratios), np.concatenate(read)
        large = np.abs(ratio) >= _LARGE
        counts["below"].append([
            np.searchsorted(np.sort(np.log10(np.concatenate(each))), RESISTANCES)
            for each in (low, high)
        ])  # fmt: skip
        counts["reads"].append(np.histogram(ratio, RATIOS)[0])
        counts["ones"].append(np.histogram(ratio[one], RATIOS)[0])
        counts["large"].append(np.count_nonzero(large))
        counts["wrong"].append(np.count_nonzero(large & (one != (ratio > 0))))
    return {**counts, "devices": PROGRAMMINGS * CHECKERBOARD.size}


def gather(points: list[dict], results: list[dict]) -> dict:
    """Scores against resistance, mean reading against ratio, and what both say."""
    condition, amplifier = Condition(CONDITION), Amplifier(AMPLIFIER)
    below, reads, ones, large, wrong = (
        np.concatenate([result[name] for result in results])
        for name in ("below", "reads", "ones", "large", "wrong")
    )
    share = cluster_rate(below, np.full_like(below, results[0]["devices"]))
    states = condition.at()
    distributions = {}
    for index, name in enumerate(("lrs", "hrs")):
        rate, low, high = (part[index] for part in share)
        some = (low > 0) & (high < 1)  # elsewhere a handful of devices
        law = getattr(states, name).distribution.score(10 ** RESISTANCES[some])
        distributions[name] = {
            "ohm": 10 ** RESISTANCES[some],
            "score": ndtri(rate[some]),
            "low": ndtri(low[some]),
            "high": ndtri(high[some]),
            "law": law,
        }
    reading = cluster_rate(ones, reads)
    edges = RATIOS[1:-1]
    ratio = 10 ** np.linspace(-2, 2, 201)
    typical = states.lrs.distribution.ohm(0.0)
    pair = np.stack([np.maximum(ratio, 1), np.maximum(1 / ratio, 1)], axis=-1) * typical
    spread = amplifier.cell.ln(amplifier.steepness_per_v(VDD_V))
    error = cluster_rate(wrong, large)
    reference = states.reference_ohm()
    return {
        "distributions": distributions,
        "reading": {
            "ratio": 10 ** ((edges[:-1] + edges[1:]) / 2),
            "reads": reads.sum(axis=0)[1:-1],
            **{name: values[1:-1] for name, values in reading.as_dict().items()},
        },
        "law": {"ratio": ratio, "rate": ndtr(amplifier.signal(pair, VDD_V) / spread)},
        "published": {"ratio": PUBLISHED_RATIO, "overlap_deviations": PUBLISHED_OVERLAP},
        "statements": {
            "wrong reads of pairs that differ fivefold or more": error.as_dict(),
            "wrong reads at exactly five, typical LRS (fitted)": float(
                ndtr(-amplifier.signal([PUBLISHED_RATIO * typical, typical], VDD_V) / spread)
            ),
            "standard deviations at which the states overlap": float(
                states.lrs.distribution.score(reference)
            ),
            "overlap published": PUBLISHED_OVERLAP,
        },
        "arrays": len(below),
        "programmings": PROGRAMMINGS,
    }


def draw(data: dict, figure: Figure) -> None:
    """Probability plot, and reading against ratio."""
    left, right = figure.subplots(1, 2)
    for series, (state, label) in enumerate((("lrs", "LRS"), ("hrs", "HRS"))):
        each = data["distributions"][state]
        style.band(left, each["ohm"], each["score"], each["low"], each["high"], series=series,
                   label=f"{label}, simulated arrays")  # fmt: skip
        style.band(left, each["ohm"], each["law"], series=series, linestyle=":", linewidth=1.2,
                   label=f"{label}, the distribution drawn from")  # fmt: skip
    overlap = data["published"]["overlap_deviations"]
    for sign, label in ((1, None), (-1, "overlap (Hirtzlin 2020, Section 3.1)")):
        left.axhline(sign * overlap, color="black", linewidth=1, linestyle="--", label=label)
    left.set(xscale="log", xlabel="resistance (ohm)", ylabel="standard deviations", ylim=(-5, 9.2),
             title="weak SET: 55 uA, 2.5 V, 1 us")  # fmt: skip
    left.legend(loc="upper left")
    limit = data["published"]["ratio"]
    label = f"can err: below a factor {limit:g}\n(Hirtzlin 2020, Section 3.1)"
    right.axvspan(1 / limit, limit, color="#EEEEEE", zorder=0, label=label)
    right.plot([1e-2, 1, 1, 1e2], [0, 0, 1, 1], color="black", linewidth=1, linestyle="--",
               label="ideal")  # fmt: skip
    law, seen = data["law"], data["reading"]
    style.band(right, law["ratio"], law["rate"], series=0, label="model, LRS at its median")
    low, high = (np.array(seen[name], dtype=float) for name in ("low", "high"))
    rate = np.array(seen["rate"], dtype=float)
    right.errorbar(
        seen["ratio"], rate, [rate - low, high - rate], color=style.colour(1), fmt="o",
        markersize=3, elinewidth=1, label="simulated arrays", zorder=5,
    )  # fmt: skip
    right.set(xscale="log", xlabel="resistance of BL over that of BLb",
              ylabel="mean reading of the amplifier", xlim=(1e-2, 1e2), ylim=(-0.05, 1.62),
              yticks=np.arange(0, 1.01, 0.2), title="sense amplifiers of the array")  # fmt: skip
    right.legend(loc="upper left")


EXPERIMENT = Experiment(
    name="sense_amplifier",
    title="Resistances of the weak SET, and the sense amplifiers that compare them",
    figure="Hirtzlin 2020, Fig. 4a and 4d",
    duration="10 s",
    status=(
        "Fitted: HRS median (1T1R errors of 1.2 %) and amplifier mismatch (errors end at a ratio "
        "of five, read as three standard deviations). Assumed: LRS median, both spreads, "
        "log-normal. Held out: the overlap at three standard deviations, which 1.2 % contradicts "
        "(2.3 if both states err alike)."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    chips=100,
    parameters=(CONDITION, AMPLIFIER),
)
