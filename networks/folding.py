"""From what a neuron does at every sum it can have, to the integer threshold that does the same.

Importers do not solve batch norm for a threshold: they run the model's own arithmetic, in its own
float32, on every sum that can occur, and look where the output changes. Ties, rounding, batch norm
of either sign and whatever else lies between sum and output are exact by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from networks.form import NetworkError

__all__ = ["Folded", "chunks", "fold", "name_some"]

#: Sums times neurons that are evaluated at once: some ten megabytes a float32 array.
_AT_ONCE = 1 << 21


class Folded(NamedTuple):
    """Thresholds that say what was evaluated.

    Attributes
    ----------
    thresholds : int64 array (neurons,)
        T on H: the neuron fires where H > T. -1 if it always fires, the largest H if it never does.
    flipped : bool array (neurons,)
        Where the output falls with the sum: all weights of the neuron are to be inverted, which
        makes H the largest H less itself, and T is on that.
    """

    thresholds: NDArray[np.int64]
    flipped: NDArray[np.bool_]


def chunks(largest: int, neurons: int) -> Iterator[NDArray[np.int64]]:
    """Sums 0 to `largest`, ascending, so many at a time that an array of all neurons is small."""
    size = max(1, _AT_ONCE // max(1, neurons))
    for first in range(0, largest + 1, size):
        yield np.arange(first, min(first + size, largest + 1), dtype=np.int64)


def name_some(which: NDArray[np.bool_]) -> str:
    """Name the neurons that a bool array marks: 'neuron 3', or 'neurons 3, 5 and 20 more'."""
    numbers = [str(number) for number in np.flatnonzero(which)]
    if len(numbers) == 1:
        return f"neuron {numbers[0]}"
    shown = numbers if len(numbers) <= 4 else [*numbers[:3], f"{len(numbers) - 3} more"]
    return f"neurons {', '.join(shown[:-1])} and {shown[-1]}"


def fold(
    fires: Callable[[NDArray[np.int64]], NDArray[np.bool_]], largest: ArrayLike, name: str
) -> Folded:
    """Find the threshold of each neuron by evaluating it at every sum H it can have.

    Parameters
    ----------
    fires : callable
        Sums H (count,), ascending, to the outputs (count, neurons) of all neurons at each. Called
        for all sums from 0 to the largest, some at a time.
    largest : int array (neurons,)
        Largest H of each neuron: inputs times (2^planes - 1). Outputs beyond it are ignored.
    name : str
        Of the layer, for errors.

    Returns
    -------
    Folded

    Raises
    ------
    NetworkError
        If the output of a neuron neither only rises nor only falls with its sum: no threshold says
        that. The message names layer and neuron.
    """
    limits = np.asarray(largest, dtype=np.int64)
    neurons = len(limits)
    before: NDArray[np.bool_] | None = None
    first = np.zeros(neurons, dtype=bool)
    changes = np.zeros(neurons, dtype=np.int64)
    edge = np.zeros(neurons, dtype=np.int64)
    for sums in chunks(int(limits.max(initial=0)), neurons):
        outputs = np.asarray(fires(sums))
        if outputs.shape != (len(sums), neurons) or outputs.dtype != np.bool_:
            raise ValueError(
                f"Outputs must be bool of shape {(len(sums), neurons)}, not {outputs.dtype} of "
                f"shape {outputs.shape}"
            )
        if before is None:
            first = before = outputs[0]
        change = outputs != np.concatenate([before[None], outputs[:-1]])
        change &= sums[:, None] <= limits
        new = change.any(axis=0)
        edge = np.where(new & (changes == 0), sums[change.argmax(axis=0)], edge)
        changes += change.sum(axis=0)
        before = outputs[-1]
    if (changes > 1).any():
        raise NetworkError(
            f"{name}: the output of {name_some(changes > 1)} changes more than once as the sum "
            f"grows, which no threshold can say"
        )
    flipped = first & (changes == 1)
    rising = np.where(first, -1, limits)  # always, or never
    thresholds = np.where(changes == 0, rising, np.where(flipped, limits - edge, edge - 1))
    return Folded(thresholds.astype(np.int64), flipped)
