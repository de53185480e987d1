"""Chips of the published kind under test: what the experiments beside Jebali 2024, Fig. 3, share.

A batch of chips is spread over `SEEDS` seeds, so that no statement hangs on one key of the random
numbers: chip number c of a run with seed s is chip c // SEEDS of the batch with seed
1000 s + c mod SEEDS. It is the same chip, but for what is programmed, in all these experiments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models.device_chip import DeviceChip, preactivation_shifts
from behavioral_models.geometry import JEBALI_2024
from behavioral_models.memristor import Condition
from behavioral_models.passes import PassConfig
from behavioral_models.xpcsa import Amplifier
from sim.experiments import style
from sim.experiments.experiment import Options, generator
from sim.experiments.statistics import binomial_rate, cluster_rate

__all__ = [
    "FROM_THE_FORM",
    "INPUTS",
    "NEURONS",
    "PARAMETERS",
    "PUBLISHED_LIMIT",
    "SEEDS",
    "THRESHOLD_ROWS",
    "WEIGHT_ROWS",
    "ChipMaker",
    "PatternSet",
    "beyond_limit",
    "chip_points",
    "clock_text",
    "difference_text",
    "draw_errors",
    "error_histogram",
    "errors_at",
    "neurons_beyond",
    "paired_difference",
    "pattern_set",
    "per_chip",
    "pooled",
    "random_patterns",
    "rate_of",
    "ratio",
    "run_patterns",
    "share_of",
    "shift_histograms",
]

#: Seeds that the chips are spread over.
SEEDS = 20

#: Rows of a macro that hold weights, and thresholds (the published mapping).
WEIGHT_ROWS = range(58)
THRESHOLD_ROWS = range(58, 64)

#: Inputs and neurons of the single-layer configuration.
INPUTS = JEBALI_2024.macros_per_bank * len(WEIGHT_ROWS)
NEURONS = JEBALI_2024.neurons

#: Parameter files of memristors and amplifiers.
CONDITION, AMPLIFIER = "jebali_2024/published_chip", "jebali_2024/amplifier"
PARAMETERS = (CONDITION, "jebali_2024/weak_set", AMPLIFIER, "jebali_2024/supply")

#: Shifts of a preactivation are counted up to this; larger ones with it.
LARGEST_SHIFT = 12

#: Largest magnitude of a preactivation at which errors are published.
PUBLISHED_LIMIT = 5

#: What "fitted" says of a statement that the model could hardly miss, whatever its numbers.
FROM_THE_FORM = "follows from the model's form"

_SEED_STEP = 1000

Bits = NDArray[np.bool_]
Integers = NDArray[np.int_]


def chip_points(options: Options, group: int) -> list[dict]:
    """Points of `group` chips each, so that one takes about a second."""
    chips = options.chips or 0
    return [
        {"first_chip": first, "chips": min(group, chips - first)}
        for first in range(0, chips, group)
    ]


class ChipMaker:
    """Makes the chips of a point; the parameter files are read once."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._condition, self._amplifier = Condition(CONDITION), Amplifier(AMPLIFIER)

    def random(self, chip: int) -> np.random.Generator:
        """Random numbers for what chip number `chip` holds and sees."""
        return generator(self._seed, "patterns", chip)

    def make(self, chip: int, image: Bits) -> DeviceChip:
        """Chip number `chip`, programmed."""
        made = DeviceChip(
            JEBALI_2024,
            self._condition,
            self._amplifier,
            _SEED_STEP * self._seed + chip % SEEDS,
            chip // SEEDS,
        )
        made.program(image)
        return made


def _image(weights: Bits, thresholds: ArrayLike) -> Bits:
    """Program image of weights (input, neuron) and thresholds: the networks' mapping.

    The first macro of a bank holds as much of a threshold as six bits can, the next the rest.
    """
    macros, _, columns = shape = JEBALI_2024.image_shape
    per_bank = JEBALI_2024.macros_per_bank
    image = np.zeros(shape, dtype=bool)
    left = np.broadcast_to(np.asarray(thresholds, dtype=int), NEURONS).copy()
    for macro in range(macros):
        bank, place = divmod(macro, per_bank)
        neurons = slice(bank * columns, (bank + 1) * columns)
        first = place * len(WEIGHT_ROWS)
        image[macro, : len(WEIGHT_ROWS)] = weights[first : first + len(WEIGHT_ROWS), neurons]
        share = np.minimum(left[neurons], (1 << len(THRESHOLD_ROWS)) - 1)
        left[neurons] -= share
        for bit, row in enumerate(reversed(THRESHOLD_ROWS)):
            image[macro, row] = share >> bit & 1
    return image


class PatternSet(NamedTuple):
    """What is programmed, what is presented, and the preactivations that should come of it.

    Attributes
    ----------
    image : bool (macro, row, column)
    inputs : bool (batch, INPUTS)
    preactivations : int (batch, NEURONS)
    """

    image: Bits
    inputs: Bits
    preactivations: Integers


def pattern_set(
    random: np.random.Generator, popcounts: Sequence[int] = range(INPUTS + 1),
    thresholds: ArrayLike = INPUTS // 2,
) -> PatternSet:  # fmt: skip
    """Inputs that walk every neuron of a chip through a range of preactivations at once.

    One random weight vector is programmed into half of the neurons, drawn by lot, and its
    complement into the others. An input that agrees with the vector in k places, drawn anew for
    each k, gives popcount k in the first and INPUTS - k in the others. With all k from 0 to INPUTS,
    every neuron has each popcount once; with thresholds of 58, each preactivation from -58 to 58.

    Parameters
    ----------
    random : numpy Generator
    popcounts : sequence of int
        The k, one an input.
    thresholds : int, or int (NEURONS,)
    """
    vector = random.random(INPUTS) < 0.5
    complement = random.permutation(NEURONS) % 2 == 1
    inputs = np.empty((len(popcounts), INPUTS), dtype=bool)
    for index, popcount in enumerate(popcounts):
        inputs[index] = vector ^ (random.permutation(INPUTS) >= popcount)
    agree = np.asarray(popcounts)[:, None]
    sums = np.where(complement, INPUTS - agree, agree)
    image = _image(vector[:, None] ^ complement, thresholds)
    return PatternSet(image, inputs, sums - np.asarray(thresholds))


def random_patterns(random: np.random.Generator, count: int) -> tuple[Bits, Bits]:
    """Random weights, as an image with thresholds of 58, and `count` random inputs."""
    weights = random.random((INPUTS, NEURONS)) < 0.5
    return _image(weights, INPUTS // 2), random.random((count, INPUTS)) < 0.5


def run_patterns(
    chip: DeviceChip, patterns: PatternSet, vdd_v: float, clock_hz: float,
    error_free_rows: range | None,
) -> Bits:  # fmt: skip
    """Which outputs are wrong, bool (batch, NEURONS): real passes of a golden chip with errors."""
    golden = chip.golden(vdd_v, clock_hz, error_free_rows=error_free_rows)
    return golden.run(PassConfig(), patterns.inputs).outputs != (patterns.preactivations > 0)


def shift_histograms(
    maker: ChipMaker, point: dict, patterns: int, places: Sequence[tuple[float, float] | None]
) -> dict[str, list]:
    """What misread weights add to preactivations, of the chips of a point.

    Parameters
    ----------
    maker : ChipMaker
    point : dict
        One of `chip_points`.
    patterns : int
        Random inputs of each chip; each gives every neuron one shift.
    places : list
        Supply, volts, and clock, hertz; None where the chip does not work.

    Returns
    -------
    dict
        `shifts` (chip, place, shift): see `error_histogram`; `neurons_beyond` (chip, place).
    """
    weights = slice(WEIGHT_ROWS.start, WEIGHT_ROWS.stop)
    shifts: list[list] = []
    beyond: list[list] = []
    for chip in range(point["first_chip"], point["first_chip"] + point["chips"]):
        image, inputs = random_patterns(maker.random(chip), patterns)
        made = maker.make(chip, image)
        histograms, neurons = [], []
        for place in places:
            if place is None:
                histograms.append(None)
                neurons.append(None)
                continue
            table = made.table(*place, error_free_rows=THRESHOLD_ROWS)
            moved = preactivation_shifts(
                table[:, weights], image[:, weights], inputs, JEBALI_2024.macros_per_bank
            )
            histograms.append(error_histogram(moved))
            neurons.append(neurons_beyond(moved))
        shifts.append(histograms)
        beyond.append(neurons)
    return {"shifts": shifts, "neurons_beyond": beyond}


def error_histogram(shifts: Integers) -> Integers:
    """How many shifts there are of each size from -LARGEST_SHIFT (or below) up."""
    clipped = np.clip(shifts, -LARGEST_SHIFT, LARGEST_SHIFT) + LARGEST_SHIFT
    return np.bincount(clipped.ravel(), minlength=2 * LARGEST_SHIFT + 1)


def errors_at(histogram: ArrayLike, preactivation: int) -> Integers:
    """Errors that shifts of a histogram (..., shift) make of neurons of one preactivation.

    A neuron of preactivation d whose misread weights add s errs where d > 0 but d + s is not, or
    the reverse. Preactivations below LARGEST_SHIFT only.
    """
    if not abs(preactivation) < LARGEST_SHIFT:
        raise ValueError(
            f"Preactivations are below {LARGEST_SHIFT} in magnitude, not {preactivation}"
        )
    counts = np.asarray(histogram)
    edge = LARGEST_SHIFT - preactivation  # place of the shift that leads to 0
    if preactivation > 0:
        return counts[..., : edge + 1].sum(axis=-1)
    return counts[..., edge + 1 :].sum(axis=-1)


def pooled(histograms: ArrayLike, preactivations: Sequence[int]) -> tuple[Integers, Integers]:
    """Errors and trials (chips,) of histograms (chips, shift) over several preactivations."""
    counts = np.asarray(histograms)
    errors = np.sum([errors_at(counts, d) for d in preactivations], axis=0)
    return errors, len(preactivations) * counts.sum(axis=1)


def neurons_beyond(shifts: Integers) -> int:
    """Neurons of shifts (batch, neuron) of which any would make -6 or 6 err."""
    far = (shifts < -PUBLISHED_LIMIT) | (shifts > PUBLISHED_LIMIT + 1)
    return int(far.any(axis=0).sum())


def beyond_limit(histograms: ArrayLike, neurons: Sequence[int]) -> dict:
    """Errors beyond 5, at -6 and 6: what errs farther out errs there too.

    Chips are independent, whatever errors do within one; in the model neurons are as well (they
    share neither cells nor amplifiers), so that the share of neurons that err for any input has a
    much tighter bound.

    Parameters
    ----------
    histograms : int (chips, shift)
    neurons : int (chips,)
        `neurons_beyond` of each chip.
    """
    limit = PUBLISHED_LIMIT + 1
    return {
        **rate_of(*pooled(histograms, (-limit, limit))),
        "neurons_that_err": share_of(sum(neurons), NEURONS * len(neurons)),
        "chips_that_err": share_of(np.count_nonzero(neurons), len(neurons)),
    }


def per_chip(results: Sequence[dict], name: str) -> NDArray[Any]:
    """One count of all points, chips first."""
    return np.concatenate([np.asarray(result[name]) for result in results])


def rate_of(errors: ArrayLike, trials: ArrayLike) -> dict:
    """Counts (chips,) as counts, rate, and its 95 % interval by the bootstrap over chips."""
    errors, trials = np.broadcast_arrays(np.asarray(errors), np.asarray(trials))
    rate = cluster_rate(errors, trials).as_dict()
    return {
        "errors": int(errors.sum()), "trials": int(trials.sum()),
        "chips_with_errors": int((errors > 0).sum()), "chips": len(errors), **rate,
    }  # fmt: skip


def share_of(errors: int, trials: int) -> dict:
    """Independent trials, such as chips: counts, share, its Clopper-Pearson 95 % interval."""
    found = binomial_rate(np.array(errors), np.array(trials)).as_dict()
    return {"errors": int(errors), "trials": int(trials), **found}


def paired_difference(first: ArrayLike, second: ArrayLike, trials: ArrayLike) -> dict:
    """Rate of the first less that of the second, of the same chips and trials: bootstrap over them.

    Parameters
    ----------
    first, second, trials : int (chips,)

    Returns
    -------
    dict
        `difference`, and `low` and `high` of its 95 % interval; how many of the `chips` differ.
        Where none does, the interval is that of the share of chips that differ at all.
    """
    first, second, trials = (np.asarray(each) for each in (first, second, trials))
    chips = {"chips_that_differ": int(np.count_nonzero(first != second)), "chips": len(first)}
    if not chips["chips_that_differ"]:
        bound = float(binomial_rate(np.array(0), np.array(len(first))).high)
        return {"difference": 0.0, "low": -bound, "high": bound, **chips}
    # (first + trials - second) / (2 trials) is between 0 and 1, and linear in the difference
    found = cluster_rate(first + trials - second, 2 * trials)
    difference, low, high = (float(2 * value - 1) for value in found)
    return {"difference": difference, "low": low, "high": high, **chips}


def difference_text(found: dict) -> str:
    """A paired difference as text."""
    if not found["chips_that_differ"]:
        return f"no difference seen in {found['chips']} chips"
    return f"{found['difference']:.1e} ({found['low']:.1e} to {found['high']:.1e})"


def ratio(first: ArrayLike, second: ArrayLike) -> dict:
    """Sum of the first counts (chips,) over that of the second, with a bootstrap over chips.

    None stands for no finite value.
    """
    first, second = np.asarray(first), np.asarray(second)
    found = cluster_rate(second, first + second)  # a share p; the ratio is (1 - p) / p

    def turned(share: float) -> float | None:
        return float(1 / share - 1) if share > 0 else None

    return {"ratio": turned(found.rate), "low": turned(found.high), "high": turned(found.low)}


def clock_text(clock_hz: float) -> str:
    """A clock as text, in kHz or MHz."""
    return f"{clock_hz / 1e3:g} kHz" if clock_hz < 1e6 else f"{clock_hz / 1e6:g} MHz"


def draw_errors(
    axis: Any, each: dict, label: str, floor: float, series: int, **options: Any,
) -> None:  # fmt: skip
    """Draw error rates against preactivation on a logarithmic axis.

    Where no error was seen, there is nothing to draw but the bound on the rate: the line breaks.
    """
    x = each["preactivations"]
    rate, low, high = (
        [value if seen else None for value, seen in zip(each[key], each["rate"], strict=True)]
        for key in ("rate", "low", "high")
    )
    low = [None if value is None else max(value, floor) for value in low]
    settings = {"marker": "o", "markersize": 3.5} | options
    style.band(axis, x, rate, low, high, label=label, series=series, **settings)
