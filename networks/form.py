"""The intermediate form: a network as the chip computes it, in whole numbers, runnable in numpy.

One equation serves all layers. Inputs u are unsigned integers of k bits (k = 1 behind the first
layer), weights are bits, 1 for +1 and 0 for -1. A neuron counts

    H = sum over planes p of 2^p popcount(XNOR(weights, bit p of the inputs))

and fires, output bit 1, where its preactivation H - T is positive; a tie reads 0. Against the
product of +-1: w.u = H - (2^k - 1) N, with N the number of -1 weights; for k = 1 and inputs as +-1,
the product is 2H - n for n inputs.

A layer may take a majority vote instead: its inputs are cut into an odd number of blocks, each
with a threshold of its own, and the neuron fires where most of its blocks do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Convolution",
    "Dense",
    "Evaluation",
    "Layer",
    "Network",
    "NetworkError",
    "Output",
    "blocks_of",
    "evaluate",
    "majority",
    "patches",
    "pool",
    "predictions",
]

Bits = NDArray[np.bool_]
Integers = NDArray[np.int64]


class NetworkError(ValueError):
    """A network that cannot be: the message names the layer and says why."""


def blocks_of(count: int, votes: int) -> list[slice]:
    """Cut `count` inputs (or channels) into blocks as even as can be, the larger ones first."""
    edges = np.cumsum([0, *(len(part) for part in np.array_split(np.arange(count), votes))])
    return [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _bits(array: ArrayLike, dimensions: int, name: str, what: str) -> Bits:
    values = np.asarray(array)
    if values.ndim != dimensions or 0 in values.shape:
        raise NetworkError(
            f"{name}: {what} must have {dimensions} dimensions, none empty, not {values.shape}"
        )
    if values.dtype != np.bool_:
        raise NetworkError(f"{name}: {what} must be bool, not {values.dtype}")
    return _own(values)


def _integers(array: ArrayLike, name: str) -> Integers:
    """Thresholds as a whole array (votes, neurons)."""
    values = np.asarray(array)
    if values.dtype.kind not in "iu":
        raise NetworkError(f"{name}: thresholds must be integers, not {values.dtype}")
    values = values[None, :] if values.ndim == 1 else values
    if values.ndim != 2:
        raise NetworkError(
            f"{name}: thresholds must have shape (neurons,) or (votes, neurons), not {values.shape}"
        )
    if values.size and max(abs(int(values.min())), abs(int(values.max()))) >= 1 << 31:
        raise NetworkError(f"{name}: thresholds must fit 32 bits")
    return _own(values.astype(np.int64))


def _own(values: NDArray) -> NDArray:
    values = values.copy()
    values.flags.writeable = False
    return values


def _check_votes(name: str, thresholds: Integers, neurons: int, parts: int, what: str) -> None:
    votes = len(thresholds)
    if thresholds.shape[1] != neurons:
        raise NetworkError(
            f"{name}: thresholds for {thresholds.shape[1]} neurons, but weights for {neurons}"
        )
    if votes % 2 == 0 or votes > parts:
        raise NetworkError(
            f"{name}: {parts} {what} cannot be cut into {votes} blocks; a majority needs an odd "
            f"number of them, each with an input"
        )


def _dense_shape(name: str, weights: Bits, shape: tuple[int, ...]) -> tuple[int, ...]:
    if int(np.prod(shape)) != len(weights):
        raise NetworkError(
            f"{name}: takes {len(weights)} inputs, but gets {int(np.prod(shape))} (shape {shape})"
        )
    return (weights.shape[1],)


def _check_planes(name: str, planes: int) -> None:
    if not isinstance(planes, int | np.integer) or not 1 <= planes <= 8:
        raise NetworkError(f"{name}: inputs have 1 to 8 bit planes, not {planes!r}")


@dataclass(frozen=True, eq=False)
class Dense:
    """Binary dense layer, of bits or of bit planes; exact, or a majority vote of blocks of inputs.

    Parameters
    ----------
    name : str
    weights : bool array (inputs, neurons)
    thresholds : int array (votes, neurons), or (neurons,)
        T on H of each block; more than one row makes it a majority vote of `blocks_of` the inputs.
    planes : int
        Bits k of an input.

    Raises
    ------
    NetworkError
        If an array has another shape or type, or votes are even.
    """

    name: str
    weights: Bits
    thresholds: Integers
    planes: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _bits(self.weights, 2, self.name, "weights"))
        object.__setattr__(self, "thresholds", _integers(self.thresholds, self.name))
        _check_planes(self.name, self.planes)
        inputs, neurons = self.weights.shape
        _check_votes(self.name, self.thresholds, neurons, inputs, "inputs")

    @property
    def matrix(self) -> Bits:
        """Weights (inputs, neurons) of one application."""
        return self.weights

    @property
    def votes(self) -> int:
        """Blocks of a majority vote; 1 where sums are exact."""
        return len(self.thresholds)

    @property
    def blocks(self) -> list[slice]:
        """Rows of `matrix` of each block."""
        return blocks_of(len(self.weights), self.votes)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(neurons,), for inputs of this shape; NetworkError if they do not fit."""
        return _dense_shape(self.name, self.weights, shape)

    def rows(self, values: NDArray) -> NDArray:
        """What the chip sees of inputs (batch, ...): (batch, 1, inputs), one application each."""
        return values.reshape(len(values), 1, len(self.weights))

    def finish(self, bits: Bits, shape: tuple[int, ...]) -> Bits:
        """Output bits (batch, neurons) of the applications' (batch, 1, neurons)."""
        return bits[:, 0]


@dataclass(frozen=True, eq=False)
class Output:
    """Last layer: its preactivations are read out.

    Parameters
    ----------
    name : str
    weights : bool array (inputs, classes)
    thresholds : int array (1, classes), or (classes,)
        T on H, of either sign.
    planes : int
        Bits k of an input.
    offset : int
        Added to all preactivations, H - T + offset: what a compiler pass took away from all
        thresholds together.
    """

    name: str
    weights: Bits
    thresholds: Integers
    planes: int = 1
    offset: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _bits(self.weights, 2, self.name, "weights"))
        object.__setattr__(self, "thresholds", _integers(self.thresholds, self.name))
        _check_planes(self.name, self.planes)
        inputs, classes = self.weights.shape
        if self.thresholds.shape != (1, classes):
            raise NetworkError(
                f"{self.name}: an output layer of {classes} classes needs as many thresholds, not "
                f"shape {self.thresholds.shape}"
            )
        if abs(int(self.offset)) >= 1 << 31:
            raise NetworkError(f"{self.name}: the offset must fit 32 bits, not {self.offset}")

    votes = 1

    @property
    def matrix(self) -> Bits:
        """Weights (inputs, classes)."""
        return self.weights

    @property
    def blocks(self) -> list[slice]:
        """All inputs, in one block."""
        return [slice(0, len(self.weights))]

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(classes,), for inputs of this shape; NetworkError if they do not fit."""
        return _dense_shape(self.name, self.weights, shape)

    def rows(self, values: NDArray) -> NDArray:
        """(batch, 1, inputs) of inputs (batch, ...)."""
        return values.reshape(len(values), 1, len(self.weights))


@dataclass(frozen=True, eq=False)
class Convolution:
    """Binary convolution, then max-pooling; exact, or a majority vote of blocks of channels.

    Padding is bit 0 in every plane. A one-dimensional convolution has height 1. Pooling is the OR
    of a window's bits, or the AND (where a negative gamma made it so); windows do not overlap.

    Parameters
    ----------
    name : str
    weights : bool array (channels, height, width, filters)
    thresholds : int array (votes, filters), or (filters,)
    planes : int
        Bits k of an input.
    stride, padding, pool : tuple of two int
        Height and width.
    pool_ceil : bool
        Whether windows that stick out at the end count, with the positions they have.
    pool_all : bool array (filters,), optional
        Where pooling is AND; nowhere if not given.
    """

    name: str
    weights: Bits
    thresholds: Integers
    planes: int = 1
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    pool: tuple[int, int] = (1, 1)
    pool_ceil: bool = False
    pool_all: Bits = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _bits(self.weights, 4, self.name, "weights"))
        object.__setattr__(self, "thresholds", _integers(self.thresholds, self.name))
        _check_planes(self.name, self.planes)
        channels, height, width, filters = self.weights.shape
        _check_votes(self.name, self.thresholds, filters, channels, "channels")
        for what, least in (("stride", 1), ("padding", 0), ("pool", 1)):
            pair = tuple(int(size) for size in np.atleast_1d(getattr(self, what)))
            if len(pair) != 2 or min(pair) < least:
                raise NetworkError(
                    f"{self.name}: {what} is two numbers, height and width, each at least {least}, "
                    f"not {getattr(self, what)!r}"
                )
            object.__setattr__(self, what, pair)
        if self.padding[0] >= height or self.padding[1] >= width:
            raise NetworkError(
                f"{self.name}: padding {self.padding} must be less than the kernel "
                f"{height} x {width}"
            )
        which = np.asarray(self.pool_all)
        which = np.zeros(filters, dtype=bool) if which.size == 0 else which
        if which.shape != (filters,) or which.dtype != np.bool_:
            raise NetworkError(f"{self.name}: pool_all must be {filters} bools, one a filter")
        object.__setattr__(self, "pool_all", _own(which))

    @property
    def matrix(self) -> Bits:
        """Weights (inputs, filters) of one position; inputs channel by channel, row by row."""
        return self.weights.reshape(-1, self.weights.shape[3])

    @property
    def votes(self) -> int:
        """Blocks of a majority vote; 1 where sums are exact."""
        return len(self.thresholds)

    @property
    def blocks(self) -> list[slice]:
        """Rows of `matrix` of each block: whole kernels."""
        channels, height, width, _ = self.weights.shape
        area = height * width
        return [
            slice(part.start * area, part.stop * area) for part in blocks_of(channels, self.votes)
        ]

    def positions(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width before pooling, for inputs (channels, height, width)."""
        channels, height, width, _ = self.weights.shape
        if len(shape) != 3 or shape[0] != channels:
            raise NetworkError(
                f"{self.name}: takes inputs of shape ({channels}, height, width), not {shape}"
            )
        high = (shape[1] + 2 * self.padding[0] - height) // self.stride[0] + 1
        wide = (shape[2] + 2 * self.padding[1] - width) // self.stride[1] + 1
        if high < 1 or wide < 1:
            raise NetworkError(
                f"{self.name}: a kernel of {height} x {width} does not fit inputs {shape}"
            )
        return high, wide

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(filters, height, width) for inputs of this shape; NetworkError if they do not fit."""
        sizes = []
        for size, window in zip(self.positions(shape), self.pool, strict=True):
            sizes.append(-(-size // window) if self.pool_ceil else size // window)
        if min(sizes) < 1:
            raise NetworkError(
                f"{self.name}: pooling windows of {self.pool} do not fit {self.positions(shape)}"
            )
        return (self.weights.shape[3], *sizes)

    def rows(self, values: NDArray) -> NDArray:
        """What the chip sees of inputs (batch, channels, height, width): one row a position."""
        return patches(values, self.weights.shape[1:3], self.stride, self.padding)

    def finish(self, bits: Bits, shape: tuple[int, ...]) -> Bits:
        """Output bits (batch, filters, height, width) of the positions' (batch, place, filters)."""
        high, wide = self.positions(shape)
        images = bits.transpose(0, 2, 1).reshape(len(bits), bits.shape[2], high, wide)
        return pool(images, self.pool, self.pool_ceil, self.pool_all)


Layer = Dense | Convolution | Output


def patches(
    values: NDArray, kernel: tuple[int, ...], stride: tuple[int, int], padding: tuple[int, int]
) -> NDArray:
    """Cut (batch, channels, height, width), padded with 0, into (batch, place, inputs)."""
    high, wide = padding
    padded = np.pad(values, ((0, 0), (0, 0), (high, high), (wide, wide)))
    windows = sliding_window_view(padded, kernel, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1]]
    batch, _, down, right = windows.shape[:4]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(
        batch, down * right, padded.shape[1] * kernel[0] * kernel[1]
    )


def pool(bits: Bits, window: tuple[int, int], ceil: bool, every: Bits) -> Bits:
    """OR (AND of filters in `every`) of windows of (batch, filters, height, width)."""
    if window == (1, 1):
        return bits
    sizes = [
        -(-size // part) if ceil else size // part
        for size, part in zip(bits.shape[2:], window, strict=True)
    ]
    flipped = bits ^ every[:, None, None]  # AND of bits is NOT of the OR of their complements
    high, wide = (size * part for size, part in zip(sizes, window, strict=True))
    flipped = flipped[:, :, :high, :wide]
    missing = ((0, 0), (0, 0), (0, high - flipped.shape[2]), (0, wide - flipped.shape[3]))
    whole = np.pad(flipped, missing)
    whole = whole.reshape(*bits.shape[:2], sizes[0], window[0], sizes[1], window[1])
    return whole.any(axis=(3, 5)) ^ every[:, None, None]


def majority(bits: Bits) -> Bits:
    """Bits (..., votes, neurons) to what most of an odd number of votes say: (..., neurons)."""
    votes = bits.shape[-2]
    if votes == 1:
        return bits[..., 0, :]
    count = np.zeros((*bits.shape[:-2], bits.shape[-1]), np.uint8 if votes < 256 else np.uint32)
    for vote in range(votes):  # several times as fast as a sum over an axis between two others
        count += bits[..., vote, :]
    return count > votes // 2


def predictions(preactivations: NDArray) -> Integers:
    """Class of the largest preactivation (batch, classes), the lowest of equal ones."""
    return preactivations.argmax(axis=1)


@dataclass(frozen=True, eq=False)
class Network:
    """A network: hidden layers, then an output layer.

    Parameters
    ----------
    layers : tuple of Layer
        The first sees the top `planes` bits of the data; those behind it have one plane. The last
        is an `Output`, and no other is.
    input_shape : tuple of int
        Of one input: (inputs,) or (channels, height, width).
    input_bits : int
        Bits of the data, unsigned.
    name : str
        What it is, for people.

    Raises
    ------
    NetworkError
        If layers do not fit each other.
    """

    layers: tuple[Layer, ...]
    input_shape: tuple[int, ...]
    input_bits: int = 1
    name: str = "network"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "input_shape", tuple(int(size) for size in self.input_shape))
        if not self.layers or not isinstance(self.layers[-1], Output):
            raise NetworkError("A network ends with an output layer, whose preactivations it gives")
        if not self.input_shape or min(self.input_shape) < 1:
            raise NetworkError(f"An input shape of {self.input_shape} holds nothing")
        if not 1 <= self.input_bits <= 8:
            raise NetworkError(f"Data have 1 to 8 bits, not {self.input_bits}")
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            raise NetworkError(f"Layers need different names, not {', '.join(names)}")
        for number, layer in enumerate(self.layers):
            if isinstance(layer, Output) and number < len(self.layers) - 1:
                raise NetworkError(f"{layer.name}: an output layer comes last")
            if number and layer.planes != 1:
                raise NetworkError(f"{layer.name}: only the first layer sees more than one plane")
        if self.layers[0].planes > self.input_bits:
            raise NetworkError(
                f"{self.layers[0].name}: data of {self.input_bits} bits have no "
                f"{self.layers[0].planes} planes"
            )
        for _ in self.shapes():
            pass

    def shapes(self) -> Iterator[tuple[Layer, tuple[int, ...]]]:
        """Each layer with the shape of one of its inputs."""
        shape = self.input_shape
        for layer in self.layers:
            yield layer, shape
            shape = layer.output_shape(shape)

    @property
    def classes(self) -> int:
        """Neurons of the output layer."""
        return self.layers[-1].weights.shape[1]

    @property
    def weight_bits(self) -> int:
        """Weights of all layers, a bit each."""
        return sum(layer.weights.size for layer in self.layers)

    def with_layers(self, layers: tuple[Layer, ...]) -> Network:
        """The same network with other layers."""
        return replace(self, layers=layers)

    def check_data(self, data: ArrayLike) -> NDArray[np.uint8]:
        """Data (batch, *input_shape), or flattened, as the first layer's inputs of `planes` bits.

        Raises
        ------
        NetworkError
            If shape or values do not fit.
        """
        values = np.asarray(data)
        count = int(np.prod(self.input_shape))
        flat = values.ndim == 2 and values.shape[1] == count
        if not flat and (values.ndim < 1 or values.shape[1:] != self.input_shape):
            raise NetworkError(
                f"This network takes data of shape (batch, {', '.join(map(str, self.input_shape))})"
                f", not {values.shape}"
            )
        if values.dtype.kind not in "biu":
            raise NetworkError(f"Data are unsigned integers, not {values.dtype}")
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < 1 << self.input_bits:
            raise NetworkError(
                f"Data of {self.input_bits} bits are 0 to {(1 << self.input_bits) - 1}, not "
                f"{values.min()} to {values.max()}"
            )
        values = values.reshape(len(values), *self.input_shape).astype(np.uint8)
        return values >> np.uint8(self.input_bits - self.layers[0].planes)


class Evaluation(NamedTuple):
    """What a network computes of a batch.

    Attributes
    ----------
    preactivations : int64 array (batch, classes)
        H - T + offset of the output layer.
    predictions : int64 array (batch,)
    hidden : tuple of bool array (batch, ...)
        Outputs of the layers before it.
    """

    preactivations: Integers
    predictions: Integers
    hidden: tuple[Bits, ...]


def evaluate(
    network: Network,
    data: ArrayLike,
    batch: int = 500,
    progress: Callable[[int], object] = lambda count: None,
) -> Evaluation:
    """Run a network as it stands, in numpy: no chip, no mapping, no errors.

    Parameters
    ----------
    network : Network
    data : unsigned integer array (batch, *input_shape), or flattened
    batch : int
        So many at a time.
    progress : callable
        Called with the number of inputs done since the last call.
    """
    values = network.check_data(data)
    parts = []
    for first in range(0, max(1, len(values)), batch):
        parts.append(_evaluate(network, values[first : first + batch]))
        progress(len(values[first : first + batch]))
    sums = np.concatenate([part[0] for part in parts])
    hidden = tuple(
        np.concatenate(layer) for layer in zip(*(part[1] for part in parts), strict=True)
    )
    return Evaluation(sums, predictions(sums), hidden)


def _evaluate(network: Network, values: NDArray) -> tuple[Integers, list[Bits]]:
    hidden: list[Bits] = []
    for layer, shape in network.shapes():
        sums = layer_sums(layer, layer.rows(values))
        preactivations = sums - layer.thresholds
        if isinstance(layer, Output):
            return preactivations[:, 0, 0] + layer.offset, hidden
        values = layer.finish(majority(preactivations > 0), shape)
        hidden.append(values)
    raise AssertionError("a network ends with an output layer")


def layer_sums(layer: Layer, rows: NDArray) -> Integers:
    """H of each block (batch, place, votes, neurons) of rows (batch, place, inputs).

    By products of +-1: w.x = 2H - n (2^k - 1) with x = 2u - (2^k - 1). In float32, which is exact
    below 2^24, or float64 beyond.
    """
    scale = (1 << layer.planes) - 1
    kind: Any = np.float32 if layer.matrix.shape[0] * scale < 1 << 24 else np.float64
    batch, places, inputs = rows.shape
    signs = 2 * rows.reshape(batch * places, inputs).astype(kind) - scale
    weights = 2 * layer.matrix.astype(kind) - 1
    dots = np.stack([signs[:, part] @ weights[part] for part in layer.blocks], axis=-2)
    sizes = np.array([part.stop - part.start for part in layer.blocks])
    sums = (dots.astype(np.int64) + scale * sizes[:, None]) // 2
    return sums.reshape(batch, places, layer.votes, layer.matrix.shape[1])
