"""The main job: 8x8 digits in one chained pass, 116 thermometer bits to 64 neurons to 10 classes.

Everything about the network save its training: the data and their fixed split, the encoding, the
file format, an evaluation straight from the weights, and the program image. See `docs/digits.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from behavioral_models.geometry import ChipGeometry
from behavioral_models.passes import Configuration, PassConfig
from networks.importing import TRAINED

#: Pixels of an image, eight rows of eight, row after row.
PIXELS = 64
#: Largest pixel value: pixels are integers 0 to 16.
MAX_PIXEL = 16
#: Thermometer bits of an image: inputs of the hidden layer.
INPUTS = 116
#: Hidden neurons, which are the inputs of the class neurons.
HIDDEN = 64
#: Class neurons.
CLASSES = 10
#: Weight rows and threshold rows per macro (published).
WEIGHT_ROWS, THRESHOLD_ROWS = 58, 6
#: Largest threshold: two macros of six threshold rows.
MAX_THRESHOLD = 2 * ((1 << THRESHOLD_ROWS) - 1)

#: Share of the images held out, and of the rest used for validation.
HELD_OUT_FRACTION = VALIDATION_FRACTION = 0.2
#: scikit-learn's random_state of both splits.
SPLIT_RANDOM_STATE = 2024

#: Names of the parts: fit and validation make up training; training and held_out are everything.
PARTS = ("training", "fit", "validation", "held_out")

#: The committed network, and its program image for the published chip.
NETWORK_FILE = TRAINED / "digits.npz"
IMAGE_FILE = TRAINED / "digits_image.npz"


class LabelledImages(NamedTuple):
    """Images and what they show.

    Attributes
    ----------
    pixels : uint8 array (batch, 64)
        Pixel values 0 to 16.
    labels : int64 array (batch,)
        Digits 0 to 9.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


@cache
def _all_images() -> LabelledImages:
    data = load_digits()
    return LabelledImages(data.data.astype(np.uint8), data.target.astype(np.int64))


def part_indices(part: str) -> NDArray[np.int64]:
    """Say which of the 1,797 images belong to a part of the fixed split.

    Parameters
    ----------
    part : str
        One of `PARTS`: training or held_out; fit or validation, into which training is split again.

    Returns
    -------
    int64 array (batch,)
        Ascending image numbers in scikit-learn's order.

    Raises
    ------
    ValueError
        If there is no such part.
    """
    if part not in PARTS:
        raise ValueError(
            f"There is no part {part!r} of the digits; choose one of {', '.join(PARTS)}"
        )
    labels = _all_images().labels
    training, held_out = train_test_split(
        np.arange(len(labels)),
        test_size=HELD_OUT_FRACTION,
        random_state=SPLIT_RANDOM_STATE,
        stratify=labels,
    )
    fit, validation = train_test_split(
        np.sort(training),
        test_size=VALIDATION_FRACTION,
        random_state=SPLIT_RANDOM_STATE,
        stratify=labels[np.sort(training)],
    )
    chosen = {"training": training, "fit": fit, "validation": validation, "held_out": held_out}
    return np.sort(chosen[part]).astype(np.int64)


def load_part(part: str) -> LabelledImages:
    """Load pixels and labels of a part of the fixed split; see `part_indices`."""
    images, indices = _all_images(), part_indices(part)
    return LabelledImages(images.pixels[indices], images.labels[indices])


class Encoding(NamedTuple):
    """Thermometer code: input i is 1 where pixel[i] of the image is at least level[i].

    Attributes
    ----------
    pixel : int64 array (inputs,)
        Pixel numbers 0 to 63.
    level : int64 array (inputs,)
        Levels 1 to 16.
    """

    pixel: NDArray[np.int64]
    level: NDArray[np.int64]


def encode(
    pixels: NDArray, pixel: NDArray[np.integer], level: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Encode images (batch, 64) as thermometer bits (batch, inputs): bit i is pixel[i] >= level[i].

    Raises
    ------
    ValueError
        If the images are not an array (batch, 64) of values 0 to 16.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise ValueError(f"Images must be an array (batch, {PIXELS}), not of shape {pixels.shape}")
    if pixels.size and not (pixels.min() >= 0 and pixels.max() <= MAX_PIXEL):
        raise ValueError(
            f"Pixels must be from 0 to {MAX_PIXEL}, not from {pixels.min()} to {pixels.max()}"
        )
    return pixels[:, pixel] >= level


def _entropy_bits(counts: NDArray) -> NDArray[np.float64]:
    """Return entropies in bits of the distributions counted along the last axis."""
    shares = counts / counts.sum(axis=-1, keepdims=True)
    logarithms = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * logarithms).sum(axis=-1)


def choose_encoding(pixels: NDArray, labels: NDArray, inputs: int = INPUTS) -> Encoding:
    """Choose the thermometer bits that say most about the digit, each beyond the ones before it.

    Greedy conditional mutual information maximisation (F. Fleuret, "Fast binary feature selection
    with conditional mutual information", JMLR 5, 2004): the next bit is the one whose smallest
    information about the label, given any one bit chosen already, is largest. Deterministic: of
    equal candidates the one with the lowest pixel, then the lowest level, is taken.

    Parameters
    ----------
    pixels : array (batch, 64)
        Pixel values 0 to 16 of the images to choose from; never those held out.
    labels : array (batch,)
        Their digits.
    inputs : int
        Bits to choose.

    Returns
    -------
    Encoding
        Distinct pairs, ascending by pixel and then by level.
    """
    pixel = np.repeat(np.arange(PIXELS), MAX_PIXEL)
    level = np.tile(np.arange(1, MAX_PIXEL + 1), PIXELS)
    if not 1 <= inputs <= len(pixel):
        raise ValueError(f"An encoding has 1 to {len(pixel)} bits, not {inputs}")
    # Counts in floating point are exact, and their matrix products fast.
    bits = encode(pixels, pixel, level).astype(np.float64)
    digits = np.eye(CLASSES)[np.asarray(labels)]

    def information(given: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return I(bit; label | given) of every candidate, `given` being one bit an image."""
        outcomes = np.concatenate([digits * (1 - given)[:, None], digits * given[:, None]], axis=1)
        ones = bits.T @ outcomes
        joint = np.stack([outcomes.sum(axis=0) - ones, ones], axis=1)
        joint = joint.reshape(len(pixel), 2, 2, CLASSES)  # candidate, bit, given, label
        return (
            _entropy_bits(joint.sum(axis=3).reshape(len(pixel), -1))  # H(bit, given)
            + _entropy_bits(joint.sum(axis=1).reshape(len(pixel), -1))  # H(given, label)
            - _entropy_bits(joint.sum(axis=(1, 3)))  # H(given)
            - _entropy_bits(joint.reshape(len(pixel), -1))  # H(bit, given, label)
        )

    smallest = information(np.zeros(len(bits)))
    chosen: list[int] = []
    while len(chosen) < inputs:
        left = np.where(np.isin(np.arange(len(pixel)), chosen), -np.inf, smallest)
        # Rounding makes candidates that differ only in floating-point error equal, so that the
        # order of additions on another machine does not decide.
        chosen.append(int(np.argmax(np.round(left, 9))))
        smallest = np.minimum(smallest, information(bits[:, chosen[-1]]))
    chosen.sort()
    return Encoding(pixel[chosen], level[chosen])


@dataclass(frozen=True, eq=False)
class DigitsNetwork:
    """Network of 116 thermometer bits, 64 hidden neurons and 10 class neurons.

    Weight bits 1 are +1 and 0 are -1. A neuron's preactivation is the popcount of XNOR(weights,
    inputs) less its threshold; its output bit is 1 where that is positive, so a tie reads 0.

    Parameters
    ----------
    pixel, level : int array (116,)
        Thermometer code: input i is 1 where pixel[i] (0 to 63) is at least level[i] (1 to 16).
    hidden_weights : bool array (116, 64)
    hidden_thresholds : int array (64,)
        0 to 126.
    output_weights : bool array (64, 10)
    output_thresholds : int array (10,)
        0 to 126.

    Raises
    ------
    ValueError
        If an array has another shape or type, or values outside its range.
    """

    pixel: NDArray[np.int64]
    level: NDArray[np.int64]
    hidden_weights: NDArray[np.bool_]
    hidden_thresholds: NDArray[np.int64]
    output_weights: NDArray[np.bool_]
    output_thresholds: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, shape, limits in (
            ("pixel", (INPUTS,), (0, PIXELS - 1)),
            ("level", (INPUTS,), (1, MAX_PIXEL)),
            ("hidden_weights", (INPUTS, HIDDEN), None),
            ("hidden_thresholds", (HIDDEN,), (0, MAX_THRESHOLD)),
            ("output_weights", (HIDDEN, CLASSES), None),
            ("output_thresholds", (CLASSES,), (0, MAX_THRESHOLD)),
        ):
            array = np.asarray(getattr(self, name))
            words = name.replace("_", " ")
            kind = np.integer if limits else np.bool_
            if array.shape != shape:
                raise ValueError(
                    f"A digits network's {words} must have shape {shape}, not {array.shape}"
                )
            if not np.issubdtype(array.dtype, kind):
                wanted = "integers" if limits else "bool"
                raise ValueError(f"A digits network's {words} must be {wanted}, not {array.dtype}")
            if limits and not limits[0] <= array.min() <= array.max() <= limits[1]:
                raise ValueError(
                    f"A digits network's {words} must be from {limits[0]} to {limits[1]}, "
                    f"not from {array.min()} to {array.max()}"
                )
            array = array.astype(np.int64 if limits else np.bool_)  # a copy of our own
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if len(set(zip(self.pixel.tolist(), self.level.tolist(), strict=True))) != INPUTS:
            raise ValueError(
                f"A digits network's {INPUTS} pairs of pixel and level must all be different"
            )

    def save(self, path: Path) -> None:
        """Write the network to a .npz file, the same bytes for the same network."""
        _write_arrays(path, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path = NETWORK_FILE) -> DigitsNetwork:
        """Read a network that `save` wrote: the committed one unless told otherwise.

        Raises
        ------
        ValueError
            If the file lacks an array of a network, or an array is not valid.
        """
        return cls(**_read_arrays(path, [field.name for field in fields(cls)], "digits network"))


def _write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write a .npz under a temporary name beside `path`, then put it in place at once.

    numpy stores the arrays uncompressed and dated 1980, so equal arrays give equal bytes.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **dict(arrays))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_arrays(path: Path, names: list[str], what: str) -> dict[str, NDArray]:
    """Read the named arrays of a .npz file; ValueError says which are missing."""
    with np.load(Path(path), allow_pickle=False) as archive:
        missing = [name for name in names if name not in archive]
        if missing:
            raise ValueError(f"{Path(path).name} is not a {what}: it has no {', '.join(missing)}")
        return {name: archive[name] for name in names}


class Evaluation(NamedTuple):
    """What a digits network computes of a batch of images.

    Attributes
    ----------
    hidden_bits : bool array (batch, 64)
        Outputs of the hidden neurons.
    hidden_preactivations : int64 array (batch, 64)
        Popcount - threshold of the hidden neurons.
    class_preactivations : int64 array (batch, 10)
        Popcount - threshold of the class neurons.
    predictions : int64 array (batch,)
        Digit of the largest class preactivation, the lowest of equal ones.
    """

    hidden_bits: NDArray[np.bool_]
    hidden_preactivations: NDArray[np.int64]
    class_preactivations: NDArray[np.int64]
    predictions: NDArray[np.int64]


def _preactivations(
    bits: NDArray[np.bool_], weights: NDArray[np.bool_], thresholds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return popcount(XNOR) - T, by the dot product of +-1: agreements less disagreements."""
    dot = (2 * bits.astype(np.int64) - 1) @ (2 * weights.astype(np.int64) - 1)
    return (dot + len(weights)) // 2 - thresholds


def evaluate(network: DigitsNetwork, pixels: NDArray) -> Evaluation:
    """Evaluate a network straight from its weights, with no program image in between.

    Parameters
    ----------
    network : DigitsNetwork
    pixels : array (batch, 64)
        Pixel values 0 to 16.

    Returns
    -------
    Evaluation
    """
    bits = encode(pixels, network.pixel, network.level)
    hidden = _preactivations(bits, network.hidden_weights, network.hidden_thresholds)
    classes = _preactivations(hidden > 0, network.output_weights, network.output_thresholds)
    return Evaluation(hidden > 0, hidden, classes, np.argmax(classes, axis=1))


def digits_pass() -> PassConfig:
    """Return the pass that runs the network: both banks chained, 58 weight and 6 threshold rows."""
    return PassConfig(
        configuration=Configuration.CHAINED, weight_rows=WEIGHT_ROWS, threshold_rows=THRESHOLD_ROWS
    )


def _bank_image(
    weights: NDArray[np.bool_], thresholds: NDArray[np.int64], idle_threshold: int, shape: tuple
) -> NDArray[np.bool_]:
    """Lay a layer out in the macros of one bank, `shape` being (macro, row, column)."""
    macros, _, columns = shape
    inputs, neurons = weights.shape
    rows = np.ones((macros * WEIGHT_ROWS, columns), dtype=np.bool_)
    rows[:inputs, :neurons] = weights
    left = np.full(columns, idle_threshold, dtype=np.int64)
    left[:neurons] = thresholds
    image = np.zeros(shape, dtype=np.bool_)
    for macro in range(macros):
        image[macro, :WEIGHT_ROWS] = rows[macro * WEIGHT_ROWS : (macro + 1) * WEIGHT_ROWS]
        share = np.minimum(left, (1 << THRESHOLD_ROWS) - 1)
        left = left - share
        for row in range(THRESHOLD_ROWS):
            image[macro, WEIGHT_ROWS + row] = share >> (THRESHOLD_ROWS - 1 - row) & 1
    return image


def program_image(network: DigitsNetwork, geometry: ChipGeometry) -> NDArray[np.bool_]:
    """Map a network to the macros of a chip, for `digits_pass`.

    Weight row r of a bank's macro m holds the weights of input 58 m + r, column c those of neuron
    c. The six threshold rows after them, most significant bit first, hold the macro's share of each
    threshold: as much as six bits hold in the first macro, the rest in the next. Inputs beyond a
    layer's are 0 and meet weight 1, so that their XNOR is 0. Unused neurons have weights 1; their
    threshold is 0 in bank 1, and in bank 0 the number of inputs, so that their outputs, which bank
    1 sees, stay 0 (no bank 0 neuron is unused on the published chip). Rows beyond these 64 are 0;
    banks beyond these two hold weights 1 and thresholds 0.

    Parameters
    ----------
    network : DigitsNetwork
    geometry : ChipGeometry
        A chip of at least 2 banks that the network fits.

    Returns
    -------
    bool array (macro, row, column)

    Raises
    ------
    ValueError
        If the network does not fit the chip.
    """
    if geometry.banks < 2:
        raise ValueError(
            f"The digits network needs 2 banks, one for each layer; this chip has {geometry.banks}"
        )
    if geometry.rows < WEIGHT_ROWS + THRESHOLD_ROWS:
        raise ValueError(
            f"The digits network needs macros of {WEIGHT_ROWS + THRESHOLD_ROWS} rows; "
            f"this chip's have {geometry.rows}"
        )
    if geometry.macros_per_bank * WEIGHT_ROWS < INPUTS:
        raise ValueError(
            f"The digits network needs {-(-INPUTS // WEIGHT_ROWS)} macros a bank for its {INPUTS} "
            f"inputs; this chip has {geometry.macros_per_bank}"
        )
    if geometry.columns < HIDDEN:
        raise ValueError(
            f"The digits network needs {HIDDEN} columns for its hidden neurons; "
            f"this chip has {geometry.columns}"
        )
    if geometry.max_inputs < INPUTS:
        raise ValueError(
            f"The digits network needs registers that sum {INPUTS} inputs; "
            f"this chip's sum {geometry.max_inputs}"
        )
    shape = (geometry.macros_per_bank, geometry.rows, geometry.columns)
    nothing = (np.ones((0, 0), dtype=np.bool_), np.zeros(0, dtype=np.int64), 0, shape)
    banks = [
        _bank_image(network.hidden_weights, network.hidden_thresholds, INPUTS, shape),
        _bank_image(network.output_weights, network.output_thresholds, 0, shape),
        *(_bank_image(*nothing) for _ in range(geometry.banks - 2)),
    ]
    return np.concatenate(banks)


def save_image(image: NDArray[np.bool_], path: Path) -> None:
    """Write a program image (macro, row, column) to a .npz file: `shape`, and packed bits `image`.

    The bits are in C order, the first in the most significant bit of the first byte.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.dtype != np.bool_:
        raise ValueError(
            f"A program image must be a bool array (macro, row, column), "
            f"not {image.dtype} of shape {image.shape}"
        )
    shape = np.array(image.shape, dtype=np.int64)
    _write_arrays(path, {"image": np.packbits(image), "shape": shape})


def load_image(path: Path = IMAGE_FILE) -> NDArray[np.bool_]:
    """Read a program image (macro, row, column) that `save_image` wrote.

    Raises
    ------
    ValueError
        If the file is not a program image, or its bits are not as many as its shape says.
    """
    arrays = _read_arrays(path, ["image", "shape"], "program image")
    shape = tuple(int(size) for size in arrays["shape"])
    bits = int(np.prod(shape))
    if arrays["image"].dtype != np.uint8 or arrays["image"].size != -(-bits // 8):
        raise ValueError(
            f"{Path(path).name} is not a program image: {arrays['image'].size} bytes "
            f"do not hold the bits of shape {shape}"
        )
    return np.unpackbits(arrays["image"], count=bits).astype(np.bool_).reshape(shape)
