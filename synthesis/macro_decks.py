"""The SPICE decks behind the tables of `synthesis.macro_views`: precharge, word line, energy.

    python -m synthesis.macro_decks

prints what the tables hold, measured anew. It needs ngspice and the SKY130 models (docs/spice.md).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sim.spice.decks import Amplifier, Loads, amplifier_deck, shifter_deck, shifter_period_s
from sim.spice.fit import STORE
from sim.spice.measure import HRS_OHM, LRS_OHM, cell, read_shifter, senses
from sim.spice.ngspice import Store
from synthesis.macro_views import (
    AMPLIFIER_LEAKAGE_A,
    ENERGY_BY_ROWS,
    PRECHARGE_S,
    SUPPLY_V,
    WORD_LINE,
)

__all__ = ["leakage_a", "main", "sense_energy_j", "shortest_precharge_s", "word_line"]

#: Bisections of a precharge, from its bounds in seconds: to 1 %.
STEPS = 9
PRECHARGE_BOUNDS_S = (0.1e-9, 60e-9)


def shortest_precharge_s(rows: int, store: Store | None = None, steps: int = STEPS) -> float:
    """Shortest precharge after which a nominal cell is read rightly, both weights, either output.

    It begins where a sense ended, lines at ground. The cell's 10 and 100 kilohm charge their
    lines unequally, so that a shorter precharge leaves a difference the wrong way round.
    """
    low, high = PRECHARGE_BOUNDS_S
    cells = [(weight, previous) for weight in (0, 1) for previous in (0, 1)]
    amplifiers = [Amplifier(*cell(w, LRS_OHM, HRS_OHM), previous=p) for w, p in cells]
    for _ in range(steps):
        middle = math.sqrt(low * high)
        outcomes = senses(SUPPLY_V, amplifiers, store, loads=Loads(rows=rows), precharge_s=middle)
        right = all(
            outcome["decided"] and outcome["q"] == weight
            for outcome, (weight, _) in zip(outcomes, cells, strict=True)
        )
        low, high = (low, middle) if right else (middle, high)
    return high


def word_line(rail_v: float, columns: int, store: Store | None = None) -> dict[str, float]:
    """A word line of so many columns up and down at a rail: see `sim.spice.measure.shifter`."""
    return (store or Store()).measure(
        shifter_deck(SUPPLY_V, rail_v, Loads(columns=columns)),
        read_shifter,
        supply_v=SUPPLY_V,
        rail_v=rail_v,
        period_s=shifter_period_s(SUPPLY_V),
    )


def sense_energy_j(rows: int, store: Store | None = None) -> float:
    """Precharge and sense of one amplifier with bit lines of so many rows, mean of both weights."""
    amplifiers = [Amplifier(*cell(w, LRS_OHM, HRS_OHM), previous=w) for w in (0, 1)]
    outcomes = senses(SUPPLY_V, amplifiers, store, loads=Loads(rows=rows))
    return float(np.mean([outcome["energy_j"] for outcome in outcomes]))


def read_leakage(waves: Mapping[str, NDArray[np.float64]]) -> float:
    """Mean supply current of the first amplifier in the last quarter of a deck, amperes."""
    late = waves["time"] > 0.75 * waves["time"][-1]
    time, current = waves["time"][late], -waves["i(vdd_0)"][late]
    charge = np.sum((current[1:] + current[:-1]) / 2 * np.diff(time))
    return float(charge / (time[-1] - time[0]))


def leakage_a(store: Store | None = None) -> float:
    """What the supply of one amplifier still delivers long after it decided, amperes."""
    amplifier = Amplifier(*cell(1, LRS_OHM, HRS_OHM), previous=1)
    return (store or Store()).measure(
        amplifier_deck(SUPPLY_V, [amplifier], sense_s=200e-9), read_leakage
    )


def main(arguments: list[str] | None = None) -> None:
    """Print every number of the tables beside what the decks say now."""
    argparse.ArgumentParser(
        prog="python -m synthesis.macro_decks",
        description="Measure what synthesis.macro_views takes from SPICE decks. "
        "Finished decks are kept in build/spice.",
    ).parse_args(arguments)
    store = Store(STORE)
    jobs: list[tuple[str, Any, Any]] = [
        *((f"precharge, {rows} rows, s", PRECHARGE_S[rows], (shortest_precharge_s, rows))
          for rows in PRECHARGE_S),
        *((f"sense energy, {rows} rows, of 64", ENERGY_BY_ROWS[rows], (sense_energy_j, rows))
          for rows in ENERGY_BY_ROWS),
        *((f"word line at {rail} V, {columns} columns, s s J", WORD_LINE[rail][columns],
           (word_line, rail, columns)) for rail in WORD_LINE for columns in WORD_LINE[rail]),
        ("leakage, A", AMPLIFIER_LEAKAGE_A, (leakage_a,)),
    ]  # fmt: skip
    lines = []
    at_64 = sense_energy_j(64, store)
    for name, held, (function, *sizes) in tqdm(jobs, unit="number", desc="decks"):
        value = function(*sizes, store=store)
        if function is word_line:
            value = (value["rise_s"], value["fall_s"], value["energy_j"])
        elif function is sense_energy_j:
            value /= at_64
        values = value if isinstance(value, tuple) else (value,)
        helds = held if isinstance(held, tuple) else (held,)
        lines.append(
            f"{name:>36}  table {' '.join(f'{each:.4g}' for each in helds)}"
            f"  deck {' '.join(f'{each:.4g}' for each in values)}"
        )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
