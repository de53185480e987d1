"""MNIST: its files, found through MNIST_DIR, and the split of its training images."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MNIST_DIR", "PARTS", "LabelledImages", "load_part", "part_of"]

#: Environment variable that names the folder of the four files.
MNIST_DIR = "MNIST_DIR"
#: Images of the training set kept for validation: its last.
VALIDATION = 5_000
#: fit and validation make up training; test is read once, at the end.
PARTS = ("training", "fit", "validation", "test")


class LabelledImages(NamedTuple):
    """Images and what they show.

    Attributes
    ----------
    pixels : uint8 array (batch, 784)
        Row after row, 0 to 255.
    labels : int64 array (batch,)
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def load_part(part: str, folder: Path | None = None) -> LabelledImages:
    """Load a part of MNIST.

    Parameters
    ----------
    part : str
        One of `PARTS`.
    folder : Path, optional
        With the four idx files, plain or .gz; MNIST_DIR where not given.

    Raises
    ------
    ValueError
        If there is no such part, or a file is not what it should be.
    FileNotFoundError
        If no folder is named, or a file is not in it.
    """
    if part not in PARTS:
        raise ValueError(f"There is no part {part!r} of MNIST; choose one of {', '.join(PARTS)}")
    if folder is None:
        named = os.environ.get(MNIST_DIR)
        if not named:
            raise FileNotFoundError(
                f"MNIST is not in this repository: set {MNIST_DIR} to the folder with its four "
                f"files (train-images-idx3-ubyte.gz and so on)"
            )
        folder = Path(named)
    prefix = "t10k" if part == "test" else "train"
    pixels = _read(folder / f"{prefix}-images-idx3-ubyte", 2051).reshape(-1, 784)
    labels = _read(folder / f"{prefix}-labels-idx1-ubyte", 2049).astype(np.int64)
    if len(pixels) != len(labels):
        raise ValueError(f"{folder} has {len(pixels)} {prefix} images, but {len(labels)} labels")
    return part_of(LabelledImages(pixels, labels), part, VALIDATION)


def part_of(images: LabelledImages, part: str, validation: int) -> LabelledImages:
    """The images of a part: of the training images the last `validation` are kept for validation.

    `test` and `training` are all of the images they are given.
    """
    kept = len(images.labels) - validation
    which = {"validation": slice(kept, None), "fit": slice(kept)}.get(part, slice(None))
    return LabelledImages(images.pixels[which], images.labels[which])


def _read(path: Path, magic: int) -> NDArray[np.uint8]:
    """The values of an idx file, plain or compressed."""
    compressed = path.with_name(path.name + ".gz")
    if compressed.exists():
        data = gzip.decompress(compressed.read_bytes())
    elif path.exists():
        data = path.read_bytes()
    else:
        raise FileNotFoundError(f"There is no {path.name} or {compressed.name} in {path.parent}")
    header = np.frombuffer(data[:16], ">i4")
    if len(data) < 16 or header[0] != magic:
        raise ValueError(f"{path.name} is not an idx file of MNIST: its first number is wrong")
    dimensions = 3 if magic == 2051 else 1
    shape = header[1 : 1 + dimensions]
    values = np.frombuffer(data, np.uint8, offset=4 * (1 + dimensions))
    if values.size != int(np.prod(shape)):
        raise ValueError(f"{path.name} holds {values.size} values, not those of shape {shape}")
    return values
