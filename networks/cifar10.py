"""CIFAR-10: its archive, found through CIFAR10_DIR, and the split of its training images.

Both archives of https://www.cs.toronto.edu/~kriz/cifar.html are read: the binary version
(`cifar-10-batches-bin`) and the Python version (`cifar-10-batches-py`), unpacked.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from networks.mnist import PARTS, LabelledImages, part_of

__all__ = ["CIFAR10_DIR", "PARTS", "load_part"]

#: Environment variable that names the folder of the archive's files.
CIFAR10_DIR = "CIFAR10_DIR"
#: Folders that the archives unpack to.
FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")
#: One in so many training images, the last ones, are kept for validation: 5,000 of 50,000.
VALIDATION_SHARE = 10
#: Bytes of an image: red, green, blue, each 32 rows of 32.
PIXELS = 3 * 32 * 32


def load_part(part: str, folder: Path | None = None) -> LabelledImages:
    """Load a part of CIFAR-10.

    Parameters
    ----------
    part : str
        One of `PARTS`.
    folder : Path, optional
        With data_batch_1 to 5 and test_batch, with .bin or without, or with the folder the archive
        unpacks to; CIFAR10_DIR where not given.

    Returns
    -------
    LabelledImages
        Pixels (batch, 3, 32, 32), red, green and blue; labels 0 to 9.

    Raises
    ------
    ValueError
        If there is no such part, or a file is not what it should be.
    FileNotFoundError
        If no folder is named, or a file is not in it.
    """
    if part not in PARTS:
        raise ValueError(f"There is no part {part!r} of CIFAR-10; choose one of {', '.join(PARTS)}")
    if folder is None:
        named = os.environ.get(CIFAR10_DIR)
        if not named:
            raise FileNotFoundError(
                f"CIFAR-10 is not in this repository: set {CIFAR10_DIR} to the folder with its six "
                f"files (data_batch_1.bin and so on), as its archive unpacks"
            )
        folder = Path(named)
    names = ["test_batch"] if part == "test" else [f"data_batch_{n}" for n in range(1, 6)]
    batches = [_read(folder, name) for name in names]
    pixels = np.concatenate([batch.pixels for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    return part_of(LabelledImages(pixels, labels), part, len(labels) // VALIDATION_SHARE)


def _read(folder: Path, name: str) -> LabelledImages:
    """One batch, of either archive."""
    for place in (folder, *(folder / inner for inner in FOLDERS)):
        binary, pickled = place / f"{name}.bin", place / name
        if binary.is_file():
            return _checked(binary, *_read_binary(binary))
        if pickled.is_file():
            return _checked(pickled, *_read_pickle(pickled))
    raise FileNotFoundError(f"There is no {name}.bin or {name} in {folder}")


def _checked(path: Path, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> LabelledImages:
    if not len(labels) or labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"{path.name} is not a batch of CIFAR-10: its labels are not 0 to 9")
    return LabelledImages(pixels.reshape(-1, 3, 32, 32), labels)


def _read_binary(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Rows of a label's byte and 3,072 of pixels."""
    values = np.frombuffer(path.read_bytes(), np.uint8)
    if not values.size or values.size % (1 + PIXELS):
        raise ValueError(
            f"{path.name} is not a batch of CIFAR-10: its {values.size} bytes are not images of "
            f"{1 + PIXELS}"
        )
    rows = values.reshape(-1, 1 + PIXELS)
    return rows[:, 1:].copy(), rows[:, 0].astype(np.int64)


class _Unpickler(pickle.Unpickler):
    """An unpickler that builds arrays and nothing else: a pickle could run any program."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        """What an array is built of; UnpicklingError for anything else."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _read_pickle(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A dictionary of Python 2, with b"data" (batch, 3072) and b"labels"."""
    try:
        with path.open("rb") as file:
            batch = _Unpickler(file, encoding="bytes").load()
        pixels = np.asarray(batch[b"data"])
        labels = np.asarray(batch[b"labels"], dtype=np.int64)
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        raise ValueError(f"{path.name} is not a batch of CIFAR-10: {error}") from None
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS):
        raise ValueError(
            f"{path.name} is not a batch of CIFAR-10: {len(labels)} labels, but data of "
            f"{pixels.dtype} and shape {pixels.shape}"
        )
    return pixels, labels
