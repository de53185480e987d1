"""Curves of the amplifier fitted to electrical simulation: delay, energy, mismatch against supply.

Nothing here is of the published chip, whose transistors are others. The simulated points are not in
the repository (`python -m sim.spice sweep` makes them), so that only the model's curves are drawn;
each panel says how far off the fitted points they are, as the parameter file has it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from behavioral_models.xpcsa import Amplifier
from sim.experiments import style
from sim.experiments.experiment import Experiment, Options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AMPLIFIER = "sky130/amplifier"

#: LRS and HRS, ohms.
PAIRS_OHM = ((10e3, 100e3), (30e3, 300e3))

GROUPS = ("cell", "xnor", "latch")
STATED_V = (0.7, 0.9, 1.2, 1.8)


def points(_options: Options) -> list[dict]:
    """All of it."""
    return [{}]


def _residual(amplifier: Amplifier, key: str) -> str | None:
    """What a number's note says of the fit."""
    notes = {name: note for name, _, _, note in amplifier.parameters.rows()}
    found = re.search(r"rms [\d.]+ %, worst [\d.]+ %", notes.get(key, ""))
    return found.group() if found else None


def run(_point: dict, _seed: int) -> dict:
    """The curves; nothing is random."""
    amplifier = Amplifier(AMPLIFIER)
    supplies = np.linspace(*amplifier.vdd_range_v, 101)
    offset = {
        group: [getattr(amplifier, group).ln(amplifier.steepness_per_v(v)) for v in supplies]
        for group in GROUPS
    }
    return {
        "vdd_v": supplies,
        "delay_s": [[amplifier.delay_s(pair, v) for v in supplies] for pair in PAIRS_OHM],
        "energy_j": [amplifier.energy_j(v) for v in supplies],
        "offset_ln": offset,
        "residuals": {
            "delay": _residual(amplifier, "delay.intrinsic_s"),
            "energy": _residual(amplifier, "energy.supply_f"),
            **{group: _residual(amplifier, f"offset.{group}.fixed_ln") for group in GROUPS},
        },
    }


def gather(points: list[dict], results: list[dict]) -> dict:
    """The curves, and values at some supplies."""
    (curves,) = results
    at = {f"{v:g}": int(np.argmin(np.abs(np.array(curves["vdd_v"]) - v))) for v in STATED_V}
    return {
        **curves,
        "pairs_ohm": PAIRS_OHM,
        "statements": {
            supply: {
                "delay_s": [line[index] for line in curves["delay_s"]],
                "energy_j": curves["energy_j"][index],
                "offset_ln": {group: curves["offset_ln"][group][index] for group in GROUPS},
            }
            for supply, index in at.items()
        },
    }


def draw(data: dict, figure: Figure) -> None:
    """Delay, energy and mismatch, one below the other's supply."""
    axes = figure.subplots(1, 3)
    fits = data["residuals"]
    for series, (pair, line) in enumerate(zip(data["pairs_ohm"], data["delay_s"], strict=True)):
        low, high = (f"{ohm / 1e3:g}" for ohm in pair)
        style.band(axes[0], data["vdd_v"], 1e9 * np.array(line), series=series,
                   label=f"{low} and {high} kohm")  # fmt: skip
    axes[0].set(yscale="log", ylabel="delay of a sense (ns)")
    style.band(axes[1], data["vdd_v"], 1e15 * np.array(data["energy_j"]), label="any resistances")
    axes[1].set(ylabel="energy of a sense (fJ)", ylim=(0, None))
    for series, (group, line) in enumerate(data["offset_ln"].items()):
        style.band(axes[2], data["vdd_v"], line, series=series + 2, label=group)
    axes[2].set(ylabel="mismatch (deviation of ln ratio)", ylim=(0, None))
    for axis, name in zip(axes, ("delay", "energy", None), strict=True):
        axis.set_xlabel("supply voltage (V)")
        axis.legend(loc="best")
        if name and fits[name]:
            axis.set_title(f"off the decks:\n{fits[name]}", fontsize=9)
    worst = "\n".join(f"{group}: {fits[group]}" for group in data["offset_ln"] if fits[group])
    axes[2].set_title(f"off, of all groups' spread:\n{worst}", fontsize=7.5)


EXPERIMENT = Experiment(
    name="amplifier_sky130",
    title="Sense amplifier of SKY130 transistors: the fitted model",
    figure="No published figure",
    duration="1 s",
    status=(
        "Fitted: all of it, to ngspice decks (`python -m sim.spice fit`), not to a measurement; "
        "titles say how far off the fitted points the model is. Points held out are a test's, not "
        "drawn here."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    parameters=(AMPLIFIER,),
    in_process=True,
)
