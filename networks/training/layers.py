"""Layers of a binarized network as they are trained: what the chip computes, with gradients.

Between layers go signs, +-1; inputs of k bits are u = 0 to 2^k - 1, which enter as the odd
integers 2u - (2^k - 1), the weighted sum of their planes' signs. So a layer's dot product is
2H - n (2^k - 1) for n inputs, where H is what the neuron registers count. Sums are whole numbers
below 2^24 and hence exact in float32. `networks.state_dict` turns the state of these layers into a
network of integers.
"""

from __future__ import annotations

import math
from typing import Any

from networks.training.needs_torch import Tensor, functional, nn, torch

__all__ = [
    "BinaryConvolution",
    "BinaryDense",
    "BinaryNetwork",
    "BinaryOutput",
    "TrainedNetwork",
    "fires",
    "odd",
    "sign",
]


class _Sign(torch.autograd.Function):
    """Sign with a tie reading -1; the gradient passes straight through where |x| <= 1."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return torch.where(x > 0, 1.0, -1.0)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        return gradient * (x.abs() <= 1)


def sign(x: Tensor) -> Tensor:
    """Sign of x, +1 or -1, a tie reading -1; straight-through gradient where |x| <= 1."""
    return _Sign.apply(x)


def odd(number: int) -> int:
    """The number, or the next one where it is even: votes are odd."""
    return number + (number % 2 == 0)


class _Binary(nn.Module):
    """What all layers share: real weights whose signs count, and their errors in training.

    Attributes
    ----------
    weight_errors : float
        Share of the weights that are flipped, drawn anew each step, while training (error-aware
        training); 0 for none.
    """

    weight_errors: float

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter((torch.rand(*shape) * 2 - 1) * 0.3)
        self.weight_errors = 0.0

    def signs(self) -> Tensor:
        """Signs of the weights, some of them wrong if `weight_errors` asks for it."""
        signs = sign(self.weight)
        if self.training and self.weight_errors > 0:
            signs = signs * (1 - 2 * (torch.rand_like(signs) < self.weight_errors).float())
        return signs

    def settings(self) -> dict[str, Any]:
        """What a state dict must say besides tensors; primitive values only."""
        raise NotImplementedError

    def get_extra_state(self) -> dict[str, Any]:
        """The settings, for a state dict."""
        return self.settings()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Compare a state dict's settings with these; ValueError if they differ."""
        if state != self.settings():
            raise ValueError(f"This state is of a layer {state}, not of {self.settings()}")


def fires(norm: nn.BatchNorm1d | nn.BatchNorm2d, dot: Tensor, largest: Tensor | float) -> Tensor:
    """Output signs of neurons: batch norm of the dot product, where a threshold T >= 0 can say so.

    A neuron whose every product disagrees (H = 0, or all of them where gamma < 0, whose weights are
    stored flipped) cannot fire: the registers start from thresholds that are not negative.
    """
    falling = (norm.weight < 0).float() * 2 - 1  # -1 rising, +1 falling
    shape = (1, -1) + (1,) * (dot.ndim - 2)
    least = dot * falling.view(shape) >= largest
    return sign(torch.where(least, -1.0, norm(dot)))


class BinaryDense(_Binary):
    """Dense layer of binary weights; exact, or a majority vote of blocks of inputs.

    Parameters
    ----------
    inputs, outputs : int
    votes : int
        Blocks that the inputs are cut into, as evenly as can be, the larger first; odd. Each block
        has a threshold of its own, and the majority of the blocks' outputs is the neuron's.
    planes : int
        Bits of an input.
    """

    def __init__(self, inputs: int, outputs: int, votes: int = 1, planes: int = 1) -> None:
        super().__init__(inputs, outputs)
        if votes < 1 or votes % 2 == 0 or votes > inputs:
            raise ValueError(f"{inputs} inputs cannot be cut into {votes} blocks: an odd number")
        self.inputs, self.outputs, self.votes, self.planes = inputs, outputs, votes, planes
        self.norm = nn.BatchNorm1d(votes * outputs)

    def settings(self) -> dict[str, Any]:
        """Kind, votes and planes."""
        return {"kind": "dense", "votes": self.votes, "planes": self.planes}

    def forward(self, x: Tensor) -> Tensor:
        """Output signs (batch, outputs) of inputs (batch, ...), flattened."""
        x = x.flatten(1)
        weights = self.signs()
        scale = (1 << self.planes) - 1
        if self.votes == 1:
            return fires(self.norm, x @ weights, self.inputs * scale)
        size = -(-self.inputs // self.votes)
        sizes = [len(part) for part in torch.arange(self.inputs).tensor_split(self.votes)]
        if min(sizes) < size:  # blocks of one input less get one that counts nothing
            x = _stretch(x, sizes, size, 1)
            weights = _stretch(weights, sizes, size, 0)
        parts = x.view(len(x), self.votes, size).transpose(0, 1)
        dots = torch.bmm(parts, weights.view(self.votes, size, self.outputs))
        dots = dots.transpose(0, 1).reshape(len(x), self.votes * self.outputs)
        largest = torch.tensor(sizes, dtype=dots.dtype).repeat_interleave(self.outputs) * scale
        blocks = fires(self.norm, dots, largest).view(len(x), self.votes, self.outputs)
        return sign(blocks.sum(1) / math.sqrt(self.votes))


def _stretch(values: Tensor, sizes: list[int], size: int, axis: int) -> Tensor:
    """Give every part of `sizes` along an axis the same size, with zeros."""
    parts = []
    for part in values.split(sizes, axis):
        shape = list(part.shape)
        shape[axis] = size - part.shape[axis]
        parts.append(torch.cat([part, part.new_zeros(shape)], axis))
    return torch.cat(parts, axis)


class BinaryConvolution(_Binary):
    """Convolution of binary weights, then max-pooling; exact, or a majority vote of channel blocks.

    Padding is bit 0 in every plane. A one-dimensional convolution has height 1. Pooling takes the
    largest sum of a window before batch norm: of the signs it is the OR, or the AND where gamma is
    negative. With votes it takes the OR of the voted outputs.

    Parameters
    ----------
    channels, filters : int
    kernel, stride, padding, pool : tuple of two int
        Height and width. Pooling windows do not overlap.
    votes : int
        Blocks that the channels are cut into, as evenly as can be, the larger first; odd.
    planes : int
        Bits of an input.
    pool_ceil : bool
        Whether windows that stick out at the end count.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        pool: tuple[int, int] = (1, 1),
        votes: int = 1,
        planes: int = 1,
        pool_ceil: bool = False,
    ) -> None:
        super().__init__(channels, *kernel, filters)
        if votes < 1 or votes % 2 == 0 or votes > channels:
            raise ValueError(
                f"{channels} channels cannot be cut into {votes} blocks: an odd number"
            )
        self.channels, self.filters, self.kernel = channels, filters, tuple(kernel)
        self.stride, self.padding, self.pool = tuple(stride), tuple(padding), tuple(pool)
        self.votes, self.planes, self.pool_ceil = votes, planes, pool_ceil
        self.norm = nn.BatchNorm2d(votes * filters)

    def settings(self) -> dict[str, Any]:
        """Kind, votes, planes and what says where kernels and windows are."""
        return {
            "kind": "convolution",
            "votes": self.votes,
            "planes": self.planes,
            "stride": list(self.stride),
            "padding": list(self.padding),
            "pool": list(self.pool),
            "pool_ceil": self.pool_ceil,
        }

    def forward(self, x: Tensor) -> Tensor:
        """Output signs (batch, filters, height, width) of inputs (batch, channels, ...)."""
        scale = (1 << self.planes) - 1
        height, width = self.padding
        if height or width:
            x = functional.pad(x, (width, width, height, height), value=-float(scale))
        weights = self.signs().permute(3, 0, 1, 2)  # filter, channel, row, column
        sizes = [len(part) for part in torch.arange(self.channels).tensor_split(self.votes)]
        area = self.kernel[0] * self.kernel[1]
        if self.votes == 1:
            dots = self._pool(functional.conv2d(x, weights, stride=self.stride))
            return fires(self.norm, dots, self.channels * area * scale)
        size = sizes[0]
        if min(sizes) < size:
            x = _stretch(x, sizes, size, 1)
            weights = _stretch(weights, sizes, size, 1)
        grouped = torch.cat(list(weights.split(size, 1)))  # block after block of all filters
        dots = functional.conv2d(x, grouped, stride=self.stride, groups=self.votes)
        largest = torch.tensor(sizes, dtype=dots.dtype).repeat_interleave(self.filters)
        largest = largest.view(1, -1, 1, 1) * area * scale
        blocks = fires(self.norm, dots, largest)
        blocks = blocks.unflatten(1, (self.votes, self.filters))
        return self._pool(sign(blocks.sum(1) / math.sqrt(self.votes)))

    def _pool(self, values: Tensor) -> Tensor:
        """Largest of each window."""
        if self.pool == (1, 1):
            return values
        return functional.max_pool2d(values, self.pool, ceil_mode=self.pool_ceil)


class BinaryOutput(_Binary):
    """Last layer: popcounts less whole thresholds, the preactivations that are read out.

    Parameters
    ----------
    inputs, classes : int
    planes : int
        Bits of an input.
    """

    def __init__(self, inputs: int, classes: int, planes: int = 1) -> None:
        super().__init__(inputs, classes)
        self.inputs, self.classes, self.planes = inputs, classes, planes
        scale = (1 << planes) - 1
        self.thresholds = nn.Parameter(torch.full((classes,), inputs * scale / 2))
        self.log_scale = nn.Parameter(torch.tensor(-math.log(math.sqrt(inputs) * scale / 2)))

    def settings(self) -> dict[str, Any]:
        """Kind and planes."""
        return {"kind": "output", "planes": self.planes}

    def preactivations(self, x: Tensor) -> Tensor:
        """Popcount less threshold (batch, classes), whole numbers, of inputs (batch, ...)."""
        scale = (1 << self.planes) - 1
        sums = (x.flatten(1) @ self.signs() + self.inputs * scale) / 2
        return sums - (self.thresholds + (self.thresholds.round() - self.thresholds).detach())

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes): the preactivations, scaled together."""
        return self.preactivations(x) * self.log_scale.exp()


class TrainedNetwork(nn.Module):
    """What the training loop asks of a network, besides logits of unsigned data.

    Attributes
    ----------
    layers : ModuleList
        Each says its `settings`.
    """

    layers: nn.ModuleList

    def settings(self) -> dict[str, Any]:
        """What names the network, besides its layers' settings; primitive values only."""
        raise NotImplementedError

    def set_weight_errors(self, rate: float) -> None:
        """Flip this share of all weights at each training step."""
        raise NotImplementedError

    def clamp(self) -> None:
        """Bring weights back where they must be; after every step."""


class BinaryNetwork(TrainedNetwork):
    """Layers one after the other, from unsigned inputs to logits.

    Parameters
    ----------
    layers : list of module
        `BinaryDense`, `BinaryConvolution`; last a `BinaryOutput`.
    input_shape : tuple of int
        Of one input: (inputs,) or (channels, height, width).
    input_bits : int
        Bits of the data; the first layer sees the top `planes` of them.
    """

    def __init__(
        self, layers: list[nn.Module], input_shape: tuple[int, ...], input_bits: int
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.input_shape, self.input_bits = tuple(input_shape), input_bits

    def settings(self) -> dict[str, Any]:
        """What a state dict must say besides tensors."""
        return {"input_shape": list(self.input_shape), "input_bits": self.input_bits}

    def get_extra_state(self) -> dict[str, Any]:
        """The settings, for a state dict."""
        return self.settings()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Compare a state dict's settings with these; ValueError if they differ."""
        if state != self.settings():
            raise ValueError(f"This state is of a network {state}, not of {self.settings()}")

    def _signs_of(self, data: Tensor) -> Tensor:
        first: Any = self.layers[0]
        planes = first.planes
        top = torch.floor(data / (1 << (self.input_bits - planes)))
        return 2 * top - ((1 << planes) - 1)

    def hidden(self, data: Tensor) -> Tensor:
        """What the last layer sees, of unsigned data (batch, *input_shape)."""
        x = self._signs_of(data)
        for layer in self.layers[:-1]:
            x = layer(x)
        return x

    def forward(self, data: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        logits: Tensor = self.layers[-1](self.hidden(data))
        return logits

    def preactivations(self, data: Tensor) -> Tensor:
        """Class preactivations (batch, classes), whole numbers."""
        last: Any = self.layers[-1]
        return last.preactivations(self.hidden(data))

    def set_weight_errors(self, rate: float) -> None:
        """Flip this share of all weights at each training step."""
        for layer in self.layers:
            assert isinstance(layer, _Binary)
            layer.weight_errors = rate

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the real weights within +-1, where their gradients pass."""
        for layer in self.layers:
            assert isinstance(layer, _Binary)
            layer.weight.clamp_(-1, 1)
