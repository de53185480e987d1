"""Networks from torch files: the state dict of our own layers (`networks.training.layers`).

The state dict describes itself, so nothing but the file is needed. Thresholds come from running
torch's own batch norm, in evaluation mode, on every sum a neuron can have (`networks.folding`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from networks.folding import Folded, fold
from networks.form import (
    Convolution,
    Dense,
    Layer,
    Network,
    NetworkError,
    Output,
    blocks_of,
)

__all__ = ["convert", "load"]


def load(path: Path) -> Network:
    """Read a network from `torch.save(network.state_dict())` or a checkpoint of a training.

    Loaded with `weights_only`: nothing in the file is run.

    Raises
    ------
    NetworkError
        If it is no such file, or a layer cannot be expressed; the message names file and layer.
    OSError
        If it cannot be read.
    ModuleNotFoundError
        If torch is not installed.
    """
    from networks.training.needs_torch import load_plain

    path = Path(path)
    try:
        state = load_plain(path)
    except ValueError:
        raise NetworkError(
            f"{path.name}: torch does not read it as plain weights: save network.state_dict(), "
            f"not the network itself"
        ) from None
    if isinstance(state, Mapping) and isinstance(state.get("network"), Mapping):
        state = state["network"]  # a checkpoint of networks.training.loop
    if not isinstance(state, Mapping):
        raise NetworkError(
            f"{path.name}: this holds a {type(state).__name__}, not the state dict of a network"
        )
    try:
        return convert(state, path.stem)
    except NetworkError as error:
        raise NetworkError(f"{path.name}: {error}") from None


def convert(state: Mapping[str, Any], name: str = "network") -> Network:
    """Make a network of the state dict of a `networks.training.layers.BinaryNetwork`.

    Parameters
    ----------
    state : mapping
        `BinaryNetwork(...).state_dict()`.
    name : str
        Of the network.

    Raises
    ------
    NetworkError
        If it is the state of something else, or a layer cannot be expressed.
    """
    said = state.get("_extra_state")
    if not isinstance(said, Mapping) or not {"input_shape", "input_bits"} <= set(said):
        raise NetworkError(
            "this is not the state of a BinaryNetwork of networks.training.layers, which says its "
            "input shape and bits; export other torch networks with Brevitas to QONNX"
        )
    parts: dict[int, dict[str, Any]] = {}
    for key, value in state.items():
        if key == "_extra_state":
            continue
        words = key.split(".", 2)
        if len(words) < 3 or words[0] != "layers" or not words[1].isdecimal():
            raise NetworkError(f"{key} belongs to no layer of a BinaryNetwork")
        parts.setdefault(int(words[1]), {})[words[2]] = value
    layers = tuple(_layer(f"layers.{number}", parts[number]) for number in sorted(parts))
    try:
        return Network(layers, tuple(said["input_shape"]), int(said["input_bits"]), name)
    except TypeError as error:
        raise NetworkError(f"its input shape or bits are no numbers: {error}") from None


def _layer(name: str, state: dict[str, Any]) -> Layer:
    module = _module(name, state)
    weights = module.weight.detach().numpy() > 0
    inputs = weights[..., 0].size
    if inputs * ((1 << module.planes) - 1) >= 1 << 24:
        raise NetworkError(f"{name}: its sums reach 2^24, beyond which float32 is not exact")
    kind = module.settings()["kind"]
    if kind == "output":
        thresholds = module.thresholds.detach().round().numpy().astype(np.int64)
        return Output(name, weights, thresholds, module.planes)
    blocks = blocks_of(len(weights), module.votes)
    sizes = np.array([weights[part, ..., 0].size for part in blocks])
    folded = _fold(module, sizes, name)
    flipped = folded.flipped.reshape(module.votes, -1)
    for part, which in zip(blocks, flipped, strict=True):
        weights[part] ^= which
    thresholds = folded.thresholds.reshape(module.votes, -1)
    if kind == "dense":
        return Dense(name, weights, thresholds, module.planes)
    return Convolution(
        name,
        weights,
        thresholds,
        module.planes,
        stride=module.stride,
        padding=module.padding,
        pool=module.pool,
        pool_ceil=module.pool_ceil,
        # The largest dot product of a window is the smallest H of inverted weights: all must fire
        pool_all=flipped[0] & (module.votes == 1) & (module.pool != (1, 1)),
    )


def _module(name: str, state: dict[str, Any]) -> Any:
    """The torch layer that a state is of, with that state."""
    from networks.training import layers
    from networks.training.needs_torch import Tensor

    said = state.get("_extra_state")
    kinds = {"dense": 2, "convolution": 4, "output": 2}
    if not isinstance(said, Mapping) or said.get("kind") not in kinds:
        raise NetworkError(
            f"{name}: its state does not say that it is one of {', '.join(kinds)} "
            f"(made by an older version?)"
        )
    for key, value in state.items():
        if isinstance(value, Tensor) and not value.double().isfinite().all():
            raise NetworkError(f"{name}: {key} has values that are not finite")
    weight = state.get("weight")
    if not isinstance(weight, Tensor) or weight.ndim != kinds[said["kind"]]:
        raise NetworkError(f"{name}: it has no weights of {kinds[said['kind']]} dimensions")
    inputs, *kernel, outputs = weight.shape
    given = {key: value for key, value in said.items() if key != "kind"}
    module: Any
    try:
        if said["kind"] == "output":
            module = layers.BinaryOutput(inputs, outputs, **given)
        elif said["kind"] == "dense":
            module = layers.BinaryDense(inputs, outputs, **given)
        else:
            module = layers.BinaryConvolution(inputs, outputs, (kernel[0], kernel[1]), **given)
        module.load_state_dict(state)
    except (TypeError, ValueError, RuntimeError) as error:
        raise NetworkError(f"{name}: {' '.join(str(error).split())}") from None
    return module


def _fold(module: Any, sizes: NDArray[np.int64], name: str) -> Folded:
    """Thresholds of a layer's blocks of so many inputs, (votes x neurons,), block after block."""
    from networks.training import layers
    from networks.training.needs_torch import torch

    norm = module.norm.eval()
    largest = np.repeat(sizes, norm.num_features // len(sizes)) * ((1 << module.planes) - 1)
    width = torch.from_numpy(largest.astype(np.float32))

    @torch.no_grad()
    def fires(sums: NDArray[np.int64]) -> NDArray[np.bool_]:
        dots = 2 * torch.from_numpy(sums.astype(np.float32))[:, None] - width
        if isinstance(norm, torch.nn.BatchNorm1d):
            return (layers.fires(norm, dots, width) > 0).numpy()
        # as an image of one column
        images = dots.T.contiguous()[None, :, :, None]
        return (layers.fires(norm, images, width.view(1, -1, 1, 1)) > 0).numpy()[0, :, :, 0].T

    return fold(fires, largest, name)
