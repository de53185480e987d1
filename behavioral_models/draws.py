"""Counter-based random draws: what a cell gets depends on its own numbers alone.

Every draw is keyed by seed, chip, what it is for, cell and index (numpy's Philox), so that the
order of drawing, the number of workers and the number of other cells do not matter. One Philox
block holds four 64-bit words; each cell has a block of its own.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["WORDS", "Stream", "normal", "uniform"]

#: Draws a cell has in each stream and at each index.
WORDS = 4

_LIMIT = 1 << 64


class Stream(IntEnum):
    """What draws are for; each stream is independent of the others."""

    DEVICE = 0  #: device-to-device: BL and BLb in LRS, BL and BLb in HRS
    PROGRAMMING = 1  #: cycle-to-cycle: BL, BLb; moment of an abrupt switch: BL, BLb
    FORMING = 2  #: as PROGRAMMING
    STUCK = 3  #: whether BL and BLb are stuck
    CELL = 4  #: mismatch of a cell's access transistors
    LATCH = 5  #: mismatch of an amplifier's latch
    XNOR = 6  #: mismatch of an amplifier's XNOR transistors, for x = 0 and x = 1
    PATTERN = 7  #: weights and inputs of experiments


def uniform(
    seed: int, chip: int, stream: Stream, index: int = 0, first: int = 0, count: int = 1
) -> NDArray[np.float64]:
    """Uniform draws strictly between 0 and 1, float (count, 4): one row a cell from `first` on.

    Raises
    ------
    ValueError
        If a seed, chip, index or cell number is negative or does not fit 64 bits.
    """
    for name, value in (("seed", seed), ("chip", chip), ("index", index), ("cell", first)):
        if not 0 <= value < _LIMIT:
            raise ValueError(f"A draw's {name} must be from 0 to 2^64 - 1, not {value!r}")
    counter = np.array([first, index, int(stream), 0], dtype=np.uint64)
    generator = np.random.Philox(counter=counter, key=np.array([seed, chip], dtype=np.uint64))
    words = generator.random_raw(WORDS * count).reshape(count, WORDS)
    # 52 bits and a half: exact in a double, where 53 would round the last one up to 1
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal(
    seed: int, chip: int, stream: Stream, index: int = 0, first: int = 0, count: int = 1,
    words: int = WORDS,
) -> NDArray[np.float64]:  # fmt: skip
    """Standard normal draws, float (count, words): the quantiles of `uniform`'s."""
    return ndtri(uniform(seed, chip, stream, index, first, count)[:, :words])
