"""The sweep of all fitted points, and the amplifier parameters fitted to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from tqdm import tqdm

from behavioral_models import parameter_files
from behavioral_models.xpcsa import overdrive, steepness
from sim.spice.decks import LOADS, transistor_loads_f
from sim.spice.measure import STEPS, delay, energy, path_ohm, sensitivities
from sim.spice.models import models_version
from sim.spice.ngspice import Store, ngspice_version

__all__ = ["AMPLIFIER", "STORE", "fit", "measured_spreads", "offset_sigma", "sweep"]

#: Where finished decks are kept, and what the fit makes.
STORE = Path("build/spice")
AMPLIFIER = parameter_files.FOLDER / "sky130" / "amplifier.toml"

#: Points of the fit: supplies, resistances of the lower memristor, and ratios.
SUPPLIES_V = (0.7, 0.75, 0.8, 0.85, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8)
LOW_OHM = (3e3, 10e3, 30e3, 100e3)
RATIOS = (1.5, 3.0, 10.0, 100.0)

#: Mismatch: supplies, and the lower memristor.
MISMATCH_V = (0.7, 0.75, 0.8, 0.85, 0.9, 1.0, 1.1, 1.2, 1.5, 1.8)
MISMATCH_LOW_OHM = 10e3

#: Where the model's drives are equal to one.
REFERENCE_V = 1.2


def sweep(store: Store, quiet: bool = False) -> dict[str, Any]:
    """Run all points that the fit needs, or load those that the store has.

    Returns
    -------
    dict
        `delay`: rows of supply, low, high, seconds; `energy` and `path`: rows of supply, value;
        `balance`: by group and supply, what `sensitivities` gives; `decks`: how many there are.
    """
    decks = 3 * len(SUPPLIES_V) + STEPS * len(MISMATCH_V)
    pairs = [(low, low * ratio) for low in LOW_OHM for ratio in RATIOS]
    rows: dict[str, Any] = {"delay": [], "energy": [], "path": [], "balance": {}}
    with tqdm(total=decks, unit="deck", desc="sweep", disable=quiet) as bar:
        for supply in SUPPLIES_V:
            delays = delay(supply, pairs, store)
            rows["delay"] += [(supply, *p, d) for p, d in zip(pairs, delays, strict=True) if d]
            bar.update()
            rows["energy"].append((supply, energy(supply, store=store)["energy_j"]))
            bar.update()
            rows["path"].append((supply, path_ohm(supply, store)))
            bar.update()
        for supply in MISMATCH_V:
            found = sensitivities(supply, MISMATCH_LOW_OHM, store, bar.update)
            rows["balance"].update({(group, supply): found[group] for group in found})
    rows["decks"] = decks
    return rows


def _residual(logarithms: NDArray) -> str:
    """Root mean square and worst, of a logarithm of model over deck, as percentages."""
    rms = 100 * math.expm1(float(np.sqrt(np.mean(logarithms**2))))
    worst = 100 * math.expm1(float(np.abs(logarithms).max()))
    return f"rms {rms:.1f} %, worst {worst:.1f} %"


def fit(rows: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Parameters of `behavioral_models.xpcsa.Amplifier` fitted to a sweep.

    Threshold, slope, path and delay are fitted together, on logarithms, to the static path
    resistance and to all delays; then the energy; then each group's mismatch.

    Returns
    -------
    tree : dict
        Content of the parameter file.
    residuals : dict
        What was compared, and how far off the model is.
    """
    line_f = LOADS.bit_line_f + transistor_loads_f()
    supply, low, high, seconds = np.array(rows["delay"], dtype=float).T
    path_v, path_measured = np.array(rows["path"], dtype=float).T
    reference = np.array(REFERENCE_V)

    def predict(p: NDArray) -> tuple[NDArray, NDArray]:
        threshold, slope = p[0], math.exp(p[1])
        path_reference, intrinsic, regeneration, share = np.exp(p[2:6])
        exponent, line_exponent = p[6:8]

        def slowness(v: NDArray) -> NDArray:
            return overdrive(reference, threshold, slope) / overdrive(v, threshold, slope)

        path = path_reference * slowness(supply)
        signal = np.log((high + path) / (low + path))
        transistors = intrinsic + regeneration * np.maximum(np.log(1 / signal), 0)
        line = share * line_f * low * slowness(supply) ** line_exponent
        delays = transistors * slowness(supply) ** exponent + line
        return delays, path_reference * slowness(path_v)

    def errors(p: NDArray) -> NDArray:
        delays, paths = predict(p)
        weight = math.sqrt(len(seconds) / len(path_v))
        return np.concatenate([np.log(delays / seconds), weight * np.log(paths / path_measured)])

    start = [0.85, math.log(0.06), math.log(7e3), math.log(5e-10), math.log(1e-10), 0.0, 1.0, 0.5]
    solved = least_squares(errors, start, x_scale=0.1, max_nfev=5000)
    p = solved.x
    delays, paths = predict(p)
    threshold, slope = float(p[0]), math.exp(p[1])
    path_reference, intrinsic, regeneration, share = (float(v) for v in np.exp(p[2:6]))
    residuals = {
        "delay": _residual(np.log(delays / seconds)) + f" of {len(seconds)} delays",
        "path": _residual(np.log(paths / path_measured)) + f" of {len(path_v)} resistances",
    }

    energy_v, joules = np.array(rows["energy"], dtype=float).T
    terms = np.stack([energy_v**2, energy_v * overdrive(energy_v, threshold, slope)])
    capacitances = least_squares(lambda q: np.log(np.exp(q) @ terms / joules), [-29.0, -29.0])
    energy_f, drive_f = (float(c) for c in np.exp(capacitances.x))
    residuals["energy"] = _residual(capacitances.fun) + f" of {len(joules)} energies"

    spreads = measured_spreads(rows, lambda v: path_reference * float(
        overdrive(reference, threshold, slope) / overdrive(np.array(v), threshold, slope)
    ))  # fmt: skip
    offsets = {}
    for group in spreads:
        measured_v = np.array(list(spreads[group]))
        sigma = np.array(list(spreads[group].values()))
        total = np.sqrt(sum(np.square(list(spreads[g].values())) for g in spreads))
        per_v = steepness(measured_v, threshold, slope)
        found = least_squares(
            lambda q, per_v=per_v, sigma=sigma, total=total:
                (np.hypot(q[0], q[1] * per_v - q[2]) - sigma) / total,
            [0.01, 0.004, 0.01], bounds=(0.0, 1.0), x_scale=(0.01, 0.001, 0.01),
        )  # fmt: skip
        keys = ("fixed_ln", "mismatch_v", "precharge_ln")
        offsets[group] = dict(zip(keys, map(float, found.x), strict=True))
        residuals[group] = (
            f"rms {100 * np.sqrt(np.mean(found.fun**2)):.1f} %, worst "
            f"{100 * np.abs(found.fun).max():.1f} % of the spread of all groups, at "
            f"{len(sigma)} supplies"
        )
    if spreads:
        model = np.sqrt(sum(
            o["fixed_ln"] ** 2 + (o["mismatch_v"] * per_v - o["precharge_ln"]) ** 2
            for o in offsets.values()
        ))  # fmt: skip
        residuals["all groups"] = _residual(np.log(model / total))

    made = (
        f"`python -m sim.spice fit`: {ngspice_version()}, {models_version()}, {rows['decks']} decks"
    )

    def value(number: float, source: str, note: str) -> dict[str, Any]:
        return parameter_files.number(float(f"{number:.5g}"), source, note)

    static = f"{made}; static path {residuals['path']}"
    drawn = f"{made}; {residuals['energy']}; word line not included"
    timing = f"{made}; {residuals['delay']}"
    tree = {
        "kind": "amplifier",
        "set": "sky130",
        "about": (
            "XPCSA of SKY130 transistors with the lines of a 64 x 64 macro, fitted to the ngspice "
            "decks of sim/spice; docs/spice.md says what they hold and where the form fails. "
            f"Made by {made}."
        ),
        "reference_v": value(REFERENCE_V, "assumed", "where the model's drives are one"),
        "threshold_v": value(threshold, "fitted", static),
        "slope_v": value(slope, "fitted", static),
        "path_ohm": value(path_reference, "fitted", static + "; at reference_v"),
        "line_f": value(
            line_f, "assumed",
            "a bit line of 64 rows and the drains on it: PDK capacitances, assumed wire",
        ),
        "sense_share": value(0.5, "assumed", "half the clock period precharges, half senses"),
        "delay": {
            "intrinsic_s": value(intrinsic, "fitted", timing + "; at reference_v"),
            "regeneration_s": value(regeneration, "fitted", timing + "; at reference_v"),
            "exponent": value(float(p[6]), "fitted", timing),
            "line_share": value(share, "fitted", timing),
            "line_exponent": value(float(p[7]), "fitted", timing),
            "path_share": value(0.0, "assumed", "contained in intrinsic_s, which slows down too"),
        },
        "energy": {
            "supply_f": value(energy_f, "fitted", drawn),
            "drive_f": value(drive_f, "fitted", drawn + "; lines precharged through nMOS"),
        },
        "offset": {
            group: {
                key: value(offsets[group][key], "fitted", f"{made}; {residuals[group]}")
                for key in offsets[group]
            }
            for group in offsets
        },
        "range": {
            "vdd_low_v": value(min(SUPPLIES_V), "fitted", "lowest supply of the sweep"),
            "vdd_high_v": value(max(SUPPLIES_V), "fitted", "highest supply of the sweep"),
        },
    }  # fmt: skip
    return tree, residuals


def measured_spreads(
    rows: Mapping[str, Any], path: Callable[[float], float]
) -> dict[str, dict[float, float]]:
    """Offset spreads of a sweep by group and supply, with a path resistance for each supply."""
    spreads: dict[str, dict[float, float]] = {}
    for (group, supply), pairs in rows["balance"].items():
        spreads.setdefault(group, {})[supply] = offset_sigma(pairs, path(supply))
    return spreads


def offset_sigma(balances: list[tuple[float, float]], path: float) -> float:
    """Offset spread that `sensitivities` add up to, as a logarithm of the branches' ratio.

    To first order in the shifts, which are independent; both transistors of a pair do the same.
    """
    offsets = np.array([math.log((bl + path) / (blb + path)) for bl, blb in balances])
    half = (offsets[::2] - offsets[1::2]) / 2
    return float(np.sqrt(2 * np.sum(half**2)))
