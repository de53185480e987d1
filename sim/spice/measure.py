"""What is measured on the decks: each function returns plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.spice.decks import (
    GROUPS,
    Amplifier,
    amplifier_deck,
    path_deck,
    sense_period_s,
    shifter_deck,
    shifter_period_s,
    thresholds_sigma_v,
)
from sim.spice.ngspice import Store
from sim.tools import ToolError

__all__ = [
    "HRS_OHM", "LRS_OHM", "balance", "delay", "draw_shifts", "energy", "failure", "path_ohm",
    "senses", "sensitivities", "shifter", "truth_table",
]  # fmt: skip

#: Memristors of a nominal cell. Assumed: a strongly programmed pair, ratio 10.
LRS_OHM, HRS_OHM = 10e3, 100e3

#: Bisections of a balance.
STEPS = 8

Waves = Mapping[str, NDArray[np.float64]]


def _crossing(time: NDArray, wave: NDArray, level: float, after: float) -> float:
    """Last time, not before `after`, at which a wave passes a level; `after` if it never does."""
    above = wave > level
    found = np.nonzero((above[1:] != above[:-1]) & (time[1:] > after))[0]
    if not len(found):
        return after
    i = found[-1]
    part = (level - wave[i]) / (wave[i + 1] - wave[i])
    return max(after, float(time[i] + part * (time[i + 1] - time[i])))


def _charge(time: NDArray, current: NDArray) -> float:
    return float(np.sum((current[1:] + current[:-1]) / 2 * np.diff(time)))


def read_senses(
    waves: Waves, supply_v: float, precharge_s: float, count: int
) -> list[dict[str, Any]]:
    """Outcome of each amplifier of a deck: q, whether it is decided, delay, energy.

    The delay runs from SEN at half the supply until both outputs are on their side of half the
    supply for good. The energy is what supply, source-line driver and precharge-gate driver
    deliver, charge times supply: the source line's driver is connected to the supply during the
    precharge, the gates' during the sense; what flows back into a driver goes to ground.
    """
    time = waves["time"]
    half = supply_v / 2
    begin = _crossing(time, waves["v(sen)"], half, precharge_s)
    early = time <= precharge_s * (1 + 1e-9)
    outcomes = []
    for k in range(count):
        q, qb = waves[f"v(q_{k})"], waves[f"v(qb_{k})"]
        decided = bool((q[-1] - half) * (qb[-1] - half) < 0)
        end = max(_crossing(time, wave, half, begin) for wave in (q, qb))
        charge = _charge(time, -waves[f"i(vdd_{k})"])
        line = _charge(time[early], -waves[f"i(vsl_{k})"][early])
        gates = _charge(time[~early], -waves[f"i(vsen_{k})"][~early])
        outcomes.append({
            "q": int(q[-1] > qb[-1]),
            "decided": decided,
            "delay_s": end - begin if decided else None,
            "energy_j": supply_v * (charge + line + gates),
            "latch_energy_j": supply_v * charge,
            "source_line_energy_j": supply_v * line,
        })  # fmt: skip
    return outcomes


def senses(
    supply_v: float, amplifiers: list[Amplifier], store: Store | None = None, **options: Any
) -> list[dict[str, Any]]:
    """Run one deck of amplifiers; see `read_senses`, and `amplifier_deck` for the options."""
    store = store or Store()
    precharge_s = options.get("precharge_s") or sense_period_s(supply_v)
    return store.measure(
        amplifier_deck(supply_v, amplifiers, **options), read_senses,
        supply_v=supply_v, precharge_s=precharge_s, count=len(amplifiers),
    )  # fmt: skip


def cell(weight: int, low_ohm: float = LRS_OHM, high_ohm: float = HRS_OHM) -> tuple[float, float]:
    """Resistances on BL and BLb that hold a weight: HRS on BL is a 1."""
    return (high_ohm, low_ohm) if weight else (low_ohm, high_ohm)


def truth_table(supply_v: float, store: Store | None = None) -> list[dict[str, Any]]:
    """All weights and inputs, each after a sense of 0 and of 1; `q` should be XNOR(weight, x)."""
    keys = [(w, x, p) for w in (0, 1) for x in (0, 1) for p in (0, 1)]
    amplifiers = [Amplifier(*cell(w), x=x, previous=p) for w, x, p in keys]
    outcomes = senses(supply_v, amplifiers, store)
    return [
        {"weight": w, "x": x, "previous": p, **outcome}
        for (w, x, p), outcome in zip(keys, outcomes, strict=True)
    ]


def delay(
    supply_v: float, pairs: Sequence[tuple[float, float]], store: Store | None = None
) -> list[float | None]:
    """Sense delay for each pair of LRS and HRS resistance in ohms; None where undecided."""
    amplifiers = [Amplifier(high, low, previous=0) for low, high in pairs]
    return [outcome["delay_s"] for outcome in senses(supply_v, amplifiers, store)]


def energy(
    supply_v: float,
    low_ohm: float = LRS_OHM,
    high_ohm: float = HRS_OHM,
    store: Store | None = None,
) -> dict[str, float]:
    """Energy of one precharge and sense of one column, mean of both weights, same weight again."""
    amplifiers = [Amplifier(*cell(w, low_ohm, high_ohm), previous=w) for w in (0, 1)]
    outcomes = senses(supply_v, amplifiers, store)
    return {
        name: float(np.mean([outcome[name] for outcome in outcomes]))
        for name in ("energy_j", "latch_energy_j", "source_line_energy_j")
    }


def read_path(waves: Waves, drop_v: float) -> float:
    """Resistance at a small voltage."""
    return float(drop_v / -waves["i(vs)"][-1])


def path_ohm(supply_v: float, store: Store | None = None) -> float:
    """XNOR and access transistor in series at 50 mV across both, ohms: static, small-signal."""
    return (store or Store()).measure(path_deck(supply_v), read_path, drop_v=0.05)


def read_shifter(waves: Waves, supply_v: float, rail_v: float, period_s: float) -> dict[str, float]:
    """Levels, delays and energy of a word line driven up and down."""
    time, line = waves["time"], waves["v(wl)"]
    quarter = period_s / 4
    half = (time > 2 * quarter).argmax()
    early, late = time < 2 * quarter, time >= 2 * quarter
    start = {"rise": _crossing(time[early], waves["v(in)"][early], supply_v / 2, 0.0),
             "fall": _crossing(time[late], waves["v(in)"][late], supply_v / 2, 0.0)}  # fmt: skip
    high, low = float(line[half]), float(line[-1])
    works = high > 0.95 * rail_v and abs(low) < 0.05 * rail_v
    rise = _crossing(time[early], line[early], rail_v / 2, start["rise"]) - start["rise"]
    fall = _crossing(time[late], line[late], rail_v / 2, start["fall"]) - start["fall"]
    begin = time >= 0.5 * quarter  # the start of the deck settles before
    spent = rail_v * _charge(time[begin], -waves["i(vrail)"][begin])
    spent += supply_v * _charge(time[begin], -waves["i(vdd)"][begin])
    return {"high_v": high, "low_v": low, "works": works, "rise_s": rise if works else None,
            "fall_s": fall if works else None, "energy_j": spent}  # fmt: skip


def shifter(supply_v: float, rail_v: float, store: Store | None = None) -> dict[str, Any]:
    """A word line up to `rail_v` and down again through the level shifter.

    Returns
    -------
    dict
        `high_v`, `low_v`, whether it `works`, `rise_s`, `fall_s` (input 50 % to word line 50 %,
        None where it does not work), `energy_j` of both edges, the word line's included.
    """
    return (store or Store()).measure(
        shifter_deck(supply_v, rail_v), read_shifter,
        supply_v=supply_v, rail_v=rail_v, period_s=shifter_period_s(supply_v),
    )  # fmt: skip


def draw_shifts(
    groups: Sequence[str], count: int, seed: int, matched: bool = False
) -> list[dict[str, float]]:
    """Threshold shifts of `count` amplifiers, volts by transistor, from the PDK's mismatch.

    Each group has a stream of its own (Philox keyed by seed and group), so that it draws the same
    with others or alone.

    Parameters
    ----------
    groups : sequence of str
        Which of `GROUPS` are mismatched.
    count, seed : int
        Amplifiers, and seed.
    matched : bool
        Linearly transform the draws so that their sample mean is 0 and their sample covariance the
        identity: spreads then converge much faster than with plain draws.

    Raises
    ------
    ValueError
        If a group is unknown, or there are too few amplifiers to match moments.
    """
    sigma = thresholds_sigma_v()
    shifts: list[dict[str, float]] = [{} for _ in range(count)]
    for group in groups:
        if group not in GROUPS:
            raise ValueError(f"Mismatch groups are {', '.join(GROUPS)}, not {group!r}")
        names = GROUPS[group]
        index = list(GROUPS).index(group)
        generator = np.random.Generator(
            np.random.Philox(key=np.array([seed, index], dtype=np.uint64))
        )
        scores = generator.standard_normal((count, len(names)))
        if matched:
            if count <= 2 * len(names):
                raise ValueError(
                    f"Moments of {len(names)} transistors want more than {2 * len(names)} "
                    f"amplifiers, not {count}"
                )
            scores -= scores.mean(axis=0)
            factor = np.linalg.cholesky(scores.T @ scores / count)
            scores = np.linalg.solve(factor, scores.T).T
        for shift, row in zip(shifts, scores, strict=True):
            shift.update({n: float(sigma[n] * score) for n, score in zip(names, row, strict=True)})
    return shifts


def balance(
    supply_v: float,
    shifts: Sequence[Mapping[str, float]],
    low_ohm: Sequence[float],
    store: Store | None = None,
    steps: int = STEPS,
    progress: Any = None,
) -> list[tuple[float, float]]:
    """Pair of resistances on BL and BLb at which each mismatched amplifier is undecided, ohms.

    The lower resistance stays at `low_ohm` while the other, on either side, is bisected.

    Raises
    ------
    ToolError
        If an amplifier's balance is outside the search range.
    """
    path = path_ohm(supply_v, store)
    reach = 0.15 + 0.35 * min(1.0, math.sqrt(path / 1e6))

    def pair(u: float, low: float) -> tuple[float, float]:
        high = (low + path) * math.exp(abs(u)) - path
        return (high, low) if u > 0 else (low, high)

    bounds = np.tile([-reach, reach], (len(shifts), 1))
    for _ in range(steps):
        middle = bounds.mean(axis=1)
        amplifiers = [
            Amplifier(*pair(u, low), shifts_v=shift)
            for u, low, shift in zip(middle, low_ohm, shifts, strict=True)
        ]
        outcomes = senses(supply_v, amplifiers, store)
        for k, outcome in enumerate(outcomes):
            bounds[k, outcome["q"]] = middle[k]  # q = 1: the balance is below
        if progress:
            progress()
    middle = bounds.mean(axis=1)
    if np.any(np.abs(middle) > reach * (1 - 2.0 ** (1 - steps))):
        raise ToolError(
            f"The balance of an amplifier at {supply_v:g} V is beyond the search range: fewer "
            "sigmas, or a longer range"
        )
    return [pair(u, low) for u, low in zip(middle, low_ohm, strict=True)]


def sensitivities(
    supply_v: float, low_ohm: float = LRS_OHM, store: Store | None = None, progress: Any = None
) -> dict[str, list[tuple[float, float]]]:
    """What one standard deviation of each transistor does to the balance.

    One transistor of each symmetric pair is shifted up and down by its standard deviation.

    Returns
    -------
    dict
        By group, for each pair of transistors, the two balanced pairs of resistances on BL and
        BLb in turn, shift up and shift down: a list of (BL, BLb) of twice as many as pairs.
    """
    sigma = thresholds_sigma_v()
    names = {g: [n for n in members if n.endswith("0")] for g, members in GROUPS.items()}
    shifts = [{name: sign * sigma[name]} for g in names for name in names[g] for sign in (1, -1)]
    found = iter(balance(supply_v, shifts, [low_ohm] * len(shifts), store, progress=progress))
    return {g: [next(found) for _ in range(2 * len(names[g]))] for g in names}


def failure(
    supply_v: float,
    ratios: Sequence[float],
    count: int,
    seed: int,
    groups: Sequence[str] = tuple(GROUPS),
    low_ohm: float = LRS_OHM,
    store: Store | None = None,
    progress: Any = None,
) -> list[dict[str, float]]:
    """Failures of mismatched amplifiers at each resistance ratio, HRS on BL and x = 1.

    Returns
    -------
    list of dict
        `ratio`, `failed` (wrong or undecided) and `count`.
    """
    shifts = draw_shifts(groups, count, seed)
    results = []
    for ratio in ratios:
        outcomes: list[dict[str, Any]] = []
        for first in range(0, count, 64):
            amplifiers = [
                Amplifier(low_ohm * ratio, low_ohm, shifts_v=shift)
                for shift in shifts[first : first + 64]
            ]
            outcomes += senses(supply_v, amplifiers, store)
            if progress:
                progress()
        failed = sum(not (o["decided"] and o["q"] == 1) for o in outcomes)
        results.append({"ratio": ratio, "failed": failed, "count": count})
    return results
