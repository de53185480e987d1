"""Data to run a network on: named sets, or a file of the user's."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from networks import digits, mnist

__all__ = ["NAMES", "Examples", "load_data"]

#: Sets that have a name, each with the part that is taken if none is named.
NAMES = {"mnist": "test", "digits": "held_out"}


class Examples(NamedTuple):
    """What a network is run on.

    Attributes
    ----------
    data : unsigned integer array (batch, ...)
    labels : int64 array (batch,), or None
    text : str
        Where they are from.
    """

    data: NDArray
    labels: NDArray[np.int64] | None
    text: str


def load_data(text: str) -> Examples:
    """Load `mnist`, `mnist:validation`, `digits`, or a .npz with `data` and, if known, `labels`.

    `digits` are the 116 thermometer bits that the committed network sees.

    Raises
    ------
    ValueError
        If there is no such set or part, or the file is not what it should be.
    FileNotFoundError
        If the file, or MNIST, is not there.
    """
    name, _, part = text.partition(":")
    if name == "mnist":
        images = mnist.load_part(part or NAMES[name])
        return Examples(images.pixels, images.labels, f"MNIST, {part or NAMES[name]}")
    if name == "digits":
        held = digits.load_part(part or NAMES[name])
        network = digits.DigitsNetwork.load()
        bits = digits.encode(held.pixels, network.pixel, network.level)
        return Examples(bits, held.labels, f"digits, {part or NAMES[name]}")
    path = Path(text)
    if path.suffix not in (".npz", ".npy"):
        raise ValueError(
            f"{text!r} is neither a set ({', '.join(NAMES)}) nor a .npz file with `data` and "
            f"`labels`"
        )
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"data": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, zipfile.BadZipFile, EOFError):
        raise ValueError(f"{path.name} is not a file that numpy wrote") from None
    if "data" not in arrays:
        raise ValueError(f"{path.name} has no array `data`, only {', '.join(arrays) or 'nothing'}")
    data, labels = arrays["data"], arrays.get("labels")
    if not len(np.atleast_1d(data)):
        raise ValueError(f"{path.name}: `data` holds nothing")
    if data.ndim < 2 or data.dtype.kind not in "biu":
        raise ValueError(
            f"{path.name}: `data` must be unsigned integers of shape (batch, ...), "
            f"not {data.dtype} of shape {data.shape}"
        )
    if labels is not None:
        if labels.shape != (len(data),) or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{path.name}: `labels` must be {len(data)} integers, not {labels.dtype} of shape "
                f"{labels.shape}"
            )
        labels = labels.astype(np.int64)
    return Examples(data, labels, path.name)
