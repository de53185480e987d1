"""Energy of a whole-chip inference against supply and clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from behavioral_models.supply import ChipLoad
from sim.experiments import style
from sim.experiments.experiment import Experiment, Options
from sim.experiments.published_chips import clock_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUPPLIES_V = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2)

#: Clocks, hertz: three that Jebali 2024 names, and two so slow that leakage shows.
CLOCKS_HZ = (0.1e6, 1e6, 10e6, 33e6, 66e6)

#: Supplies whose energy is drawn against the clock.
SHOWN_V = (1.2, 1.0, 0.8, 0.7)

#: Jebali 2024, Results and Fig. 2c: 45 nJ at 0.7 V and 10 MHz.
PUBLISHED = {"vdd_v": 0.7, "clock_hz": 10e6, "energy_j": 45e-9}


def points(_options: Options) -> list[dict]:
    """One point a clock."""
    return [{"clock_hz": clock_hz} for clock_hz in CLOCKS_HZ]


def run(point: dict, _seed: int) -> dict:
    """Energy at each supply, None where the chip does not work; nothing is random."""
    load, v = ChipLoad.from_file(), np.array(SUPPLIES_V)
    works = load.functional(v, point["clock_hz"])
    energy, switching = load.energy_j(v, point["clock_hz"]), load.energy_j(v)
    return {
        "energy_j": [float(e) if runs else None for e, runs in zip(energy, works, strict=True)],
        "leakage_share": [
            float(1 - s / e) if runs else None
            for e, s, runs in zip(energy, switching, works, strict=True)
        ],
        "cycles_per_inference": load.cycles_per_inference,
    }


def gather(points: list[dict], results: list[dict]) -> dict:
    """All clocks, and how far the clock changes the energy at the published ones."""
    series = [{**point, **each} for point, each in zip(points, results, strict=True)]
    at = {
        (vdd_v, each["clock_hz"]): energy
        for each in series for vdd_v, energy in zip(SUPPLIES_V, each["energy_j"], strict=True)
    }  # fmt: skip
    spreads = []
    for vdd_v in SUPPLIES_V:
        there = [at[vdd_v, clock] for clock in (10e6, 33e6, 66e6) if at[vdd_v, clock] is not None]
        spreads.append(max(there) / min(there) - 1)
    per_square = [at[vdd_v, 10e6] / vdd_v**2 for vdd_v in SUPPLIES_V]
    return {
        "supplies_v": SUPPLIES_V, "series": series, "published": PUBLISHED,
        "statements": [
            {"published": "45 nJ at 0.7 V and 10 MHz", "fitted": True,
             "energy_j": at[0.7, 10e6]},
            {"published": "energy proportional to the square of the supply", "fitted": True,
             "largest_deviation_at_10_mhz": max(per_square) / min(per_square) - 1},
            {"published": "energy largely independent of the clock", "fitted": True,
             "largest_change_from_10_to_66_mhz": max(spreads)},
        ],
    }  # fmt: skip


def draw(data: dict, figure: Figure) -> None:
    """Against the square of the supply, and against the clock; what does not work is left out."""
    left, right = figure.subplots(1, 2, sharey=True)
    supplies, published = data["supplies_v"], data["published"]
    squares = [vdd_v**2 for vdd_v in supplies]
    energy_nj = [
        [None if each is None else 1e9 * each for each in series["energy_j"]]
        for series in data["series"]
    ]
    scale = 1e9 * published["energy_j"] / published["vdd_v"] ** 2
    left.plot([0, squares[-1]], [0, scale * squares[-1]], color="black", linestyle=":",
              linewidth=1.2, label="VDD$^2$ (published)")  # fmt: skip
    # the lines all but coincide: markers of different sizes inside one another
    for index, series in enumerate(data["series"]):
        style.band(left, squares, energy_nj[index], label=clock_text(series["clock_hz"]),
                   series=index, marker="o", markersize=11 - 2 * index, linewidth=1.0)  # fmt: skip
    style.published(left, [published["vdd_v"] ** 2], [1e9 * published["energy_j"]],
                    "Jebali 2024, Fig. 2c", series=1, zorder=9,
                    markersize=13)  # fmt: skip
    left.text(0.97, 0.03, "left out: clocks too fast\nfor the supply", transform=left.transAxes,
              ha="right", va="bottom", fontsize=8.5, color="#555555")  # fmt: skip
    left.set(xlabel="square of the supply voltage (V$^2$)", ylabel="energy of an inference (nJ)",
             xlim=(0, 1.5), ylim=(0, 205))  # fmt: skip
    left.legend(loc="upper left", fontsize=8.5, ncols=2, markerscale=0.7, columnspacing=0.8)
    clocks = [series["clock_hz"] / 1e6 for series in data["series"]]
    for index, vdd_v in enumerate(SHOWN_V):
        energies = [row[supplies.index(vdd_v)] for row in energy_nj]
        style.band(right, clocks, energies, label=f"{vdd_v:.1f} V", series=index, marker="o")
    style.published(right, [published["clock_hz"] / 1e6], [1e9 * published["energy_j"]],
                    "Jebali 2024, Fig. 2c", series=1, zorder=9,
                    markersize=10)  # fmt: skip
    right.set(xlabel="clock (MHz)", xscale="log")
    right.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    right.legend(loc="upper left", fontsize=8.5, ncols=2)


EXPERIMENT = Experiment(
    name="energy",
    title="Energy of a whole-chip inference against supply and clock",
    figure="Jebali 2024, Fig. 2c",
    duration="5 s",
    status=(
        "Built in, not predicted: 45 nJ at 0.7 V and energy as the square of the supply (both "
        "cited). Assumed: leakage of 10 uA at 1.2 V and 192 cycles an inference, which alone make "
        "it depend on the clock. Fitted: the supply that a clock needs (our reading of Fig. 3a). "
        "Held out: nothing."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    parameters=("jebali_2024/supply",),
    in_process=True,
)
