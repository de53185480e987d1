"""How sure a measured rate is, and sums of counts over points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv

__all__ = ["Rate", "binomial_rate", "cluster_rate", "merge_counts"]

_BOOTSTRAP_ROWS = 250  # resamples at a time: bounds the memory


class Rate(NamedTuple):
    """Rates and the ends of their confidence intervals, arrays of one shape.

    NaN where nothing was tried; the interval there is from 0 to 1.
    """

    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def as_dict(self) -> dict[str, list]:
        """The three as JSON: lists, with None where there is no rate."""
        return {name: _json(values) for name, values in self._asdict().items()}


def _json(values: np.ndarray) -> list:
    return np.where(np.isnan(values), None, values.astype(object)).tolist()


def _counts(errors: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    errors, trials = np.broadcast_arrays(np.asarray(errors), np.asarray(trials))
    if np.any(errors < 0) or np.any(errors > trials):
        raise ValueError(f"Errors must be from 0 to the number of trials, not {errors} of {trials}")
    return errors, trials


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence must be between 0 and 1, not {confidence!r}")


def binomial_rate(errors: np.ndarray, trials: np.ndarray, confidence: float = 0.95) -> Rate:
    """Rate of independent trials with its Clopper-Pearson interval.

    The interval covers the true rate with at least the confidence, at any rate and any number of
    trials (Clopper and Pearson, Biometrika 26, 404 (1934)). Trials that share a chip are not
    independent: see `cluster_rate`.

    Parameters
    ----------
    errors, trials : array of int, shapes that broadcast
    confidence : float

    Returns
    -------
    Rate

    Raises
    ------
    ValueError
        If there are more errors than trials, fewer than none, or no such confidence.
    """
    _check_confidence(confidence)
    errors, trials = _counts(errors, trials)
    tail = (1 - confidence) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = errors / trials
        low = np.where(errors > 0, betaincinv(errors, trials - errors + 1, tail), 0.0)
        high = np.where(errors < trials, betaincinv(errors + 1, trials - errors, 1 - tail), 1.0)
    return Rate(rate, low, high)


def cluster_rate(
    errors: np.ndarray, trials: np.ndarray, confidence: float = 0.95,
    resamples: int = 2000, seed: int = 0,
) -> Rate:  # fmt: skip
    """Rate of trials that are correlated within a chip, with a bootstrap interval over chips.

    Whole chips are drawn with replacement and the rate is that of all trials of the drawn chips;
    the interval is between the percentiles (Davison and Hinkley, Bootstrap Methods and Their
    Application, 1997, section 3.8). A bootstrap cannot see what never happened: where no trial
    errs, the upper end is that of the Clopper-Pearson interval for the share of chips that err at
    all, which bounds the rate whatever the correlation; where all trials err, the lower end alike.

    Parameters
    ----------
    errors, trials : array of int, shape (chips, ...)
        Counts of each chip; shapes broadcast.
    confidence : float
    resamples : int
    seed : int
        Of the resampling; the same seed gives the same interval.

    Returns
    -------
    Rate
        Arrays of shape (...).

    Raises
    ------
    ValueError
        As `binomial_rate`, or if there are no chips.
    """
    _check_confidence(confidence)
    errors, trials = _counts(errors, trials)
    if errors.ndim == 0 or len(errors) == 0:
        raise ValueError(f"Counts must be of at least one chip, not of shape {errors.shape}")
    chips, shape = len(errors), errors.shape[1:]
    # whole numbers below 2**53: the products are exact, so the order of summation does not matter
    flat_errors = errors.reshape(chips, -1).astype(float)
    flat_trials = trials.reshape(chips, -1).astype(float)
    random = np.random.Generator(np.random.Philox(key=seed))
    drawn: list[np.ndarray] = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for begin in range(0, resamples, _BOOTSTRAP_ROWS):
            rows = min(_BOOTSTRAP_ROWS, resamples - begin)
            weights = random.multinomial(chips, np.full(chips, 1 / chips), rows).astype(float)
            drawn.append((weights @ flat_errors) / (weights @ flat_trials))
        rate = flat_errors.sum(axis=0) / flat_trials.sum(axis=0)
        samples = np.concatenate(drawn)
        samples = np.where(np.isnan(samples), rate, samples)  # chips that tried nothing were drawn
        tail = (1 - confidence) / 2
        low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    tried = (flat_trials > 0).sum(axis=0)
    none = binomial_rate(np.zeros_like(tried), tried, confidence)
    high = np.where(rate == 0, none.high, high)
    low = np.where(rate == 1, 1 - none.high, low)
    low, high = np.where(tried > 1, low, 0.0), np.where(tried > 1, high, 1.0)
    return Rate(rate.reshape(shape), low.reshape(shape), high.reshape(shape))


def merge_counts(
    points: Sequence[Mapping], results: Sequence[Mapping], by: Sequence[str],
    clusters: Sequence[str] = (),
) -> dict[tuple, dict[str, np.ndarray]]:  # fmt: skip
    """Add up the counts of points that agree in some of their fields.

    Parameters
    ----------
    points : sequence of dict
    results : sequence of dict
        Counts by name, each a number or nested lists of numbers, of one shape per name.
    by : sequence of str
        Fields of the points to tell apart.
    clusters : sequence of str
        Fields that tell chips apart, such as ("chip",): the arrays then have an axis of chips
        first, in the order of their values, for `cluster_rate`.

    Returns
    -------
    dict of tuple to dict of str to array
        For each combination of the values of `by`, in the points' order, the sums by name.

    Raises
    ------
    ValueError
        If there are not as many results as points, or a count's shapes differ.
    """
    sums: dict[tuple, dict[tuple, dict[str, np.ndarray]]] = {}
    for point, result in zip(points, results, strict=True):
        group = sums.setdefault(tuple(point[name] for name in by), {})
        counts = group.setdefault(tuple(point[name] for name in clusters), {})
        for name, value in result.items():
            added = np.asarray(value)
            if name in counts and counts[name].shape != added.shape:
                raise ValueError(
                    f"Counts {name!r} have shapes {counts[name].shape} and {added.shape}"
                )
            counts[name] = counts[name] + added if name in counts else added
    merged = {}
    for values, group in sums.items():
        chips = [group[cluster] for cluster in sorted(group)]
        names = chips[0]
        if clusters:
            merged[values] = {name: np.stack([chip[name] for chip in chips]) for name in names}
        else:
            merged[values] = dict(names)
    return merged
