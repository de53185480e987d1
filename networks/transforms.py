"""Compiler passes: small pure functions from a network to one that gives the same answers.

`lower` runs all that the mapping wants: afterwards thresholds are as small as they can be, and
negative ones remain only where no pass can take them away. `keep_planes` is not one of them: it
changes the answers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from networks.form import Convolution, Layer, Network, NetworkError, Output

__all__ = ["clamp_thresholds", "keep_planes", "lift_output", "lower", "silence_always_firing"]


def largest_sums(layer: Layer) -> NDArray[np.int64]:
    """Largest H of each block of a layer, int64 (votes,)."""
    sizes = np.array([part.stop - part.start for part in layer.blocks], dtype=np.int64)
    return sizes * ((1 << layer.planes) - 1)


def clamp_thresholds(network: Network) -> Network:
    """Clip the thresholds of hidden layers to -1 (always fires) up to the largest H (never).

    H is never negative and never more than the largest, so that no output changes.
    """
    layers: list[Layer] = []
    for layer in network.layers:
        if not isinstance(layer, Output):
            clipped = np.clip(layer.thresholds, -1, largest_sums(layer)[:, None])
            layer = replace(layer, thresholds=clipped)
        layers.append(layer)
    return network.with_layers(tuple(layers))


def silence_always_firing(network: Network) -> Network:
    """Make hidden neurons that always fire never fire, and flip the weights that see them.

    A register starts from T >= 0, so that a neuron with T < 0 needs a weight row of its own. But
    XNOR(w, 1) = XNOR(not w, 0): where the next layer's weights flip, the neuron may be 0 instead.

    This works for exact neurons, behind pooling of either kind (equal bits pool to themselves), and
    towards any layer but a padded convolution, whose padding is 0 whatever the neuron says. Neurons
    of majority votes, and those in front of a padded convolution, are left as they are.
    """
    layers = list(network.layers)
    for number in range(len(layers) - 1):
        layer, following = layers[number : number + 2]
        padded = isinstance(following, Convolution) and following.padding != (0, 0)
        if isinstance(layer, Output) or layer.votes > 1 or padded:
            continue
        always = layer.thresholds[0] < 0
        if not always.any():
            continue
        never = np.where(always, largest_sums(layer)[0], layer.thresholds[0])
        layers[number] = replace(layer, thresholds=never)
        if isinstance(following, Convolution):  # one channel a neuron
            flip = always.reshape(-1, 1, 1, 1)
        else:  # one input a neuron, or as many as a filter has places, one filter after the other
            flip = np.repeat(always, len(following.weights) // len(always))[:, None]
        layers[number + 1] = replace(following, weights=following.weights ^ flip)
    return network.with_layers(tuple(layers))


def lift_output(network: Network) -> Network:
    """Move the class thresholds together until the least is 0; `Output.offset` takes it up.

    Preactivations H - T + offset stay the same, and small thresholds need few threshold rows.
    """
    output = network.layers[-1]
    assert isinstance(output, Output)  # Network sees to it
    least = int(output.thresholds.min())
    lifted = replace(output, thresholds=output.thresholds - least, offset=output.offset - least)
    return network.with_layers((*network.layers[:-1], lifted))


def lower(network: Network) -> Network:
    """All passes that the mapping to program images wants, in order."""
    return lift_output(silence_always_firing(clamp_thresholds(network)))


def keep_planes(network: Network, planes: int, means: ArrayLike | None = None) -> Network:
    """Let the first layer see fewer planes of the same data. This changes the answers.

    Inputs of k planes u = 2^d u' + low keep their top k - d planes u', and H = 2^d H' + H_low. The
    thresholds are moved by what the dropped planes add on average, E = sum of the means of low
    where the weight is +1, of 2^d - 1 - low where it is -1; H > T becomes
    H' > floor((T - E) / 2^d).

    An output layer that is the first layer gives preactivations on the new scale.

    Parameters
    ----------
    network : Network
    planes : int
        How many to keep, 1 to as many as there are.
    means : float array, optional
        Mean of the dropped part `low` of each input of a dense layer (inputs,), or of each channel
        of a convolution (channels,), whose padding counts as inputs of that mean; of inputs that
        take every value equally often, (2^d - 1) / 2, where not given.

    Raises
    ------
    NetworkError
        If there are not so many planes, or the means have another shape.
    """
    layer = network.layers[0]
    if not isinstance(planes, int | np.integer) or not 1 <= planes <= layer.planes:
        raise NetworkError(
            f"{layer.name}: of its {layer.planes} planes 1 to {layer.planes} can be kept, "
            f"not {planes!r}"
        )
    dropped = layer.planes - int(planes)
    largest = (1 << dropped) - 1
    count = len(layer.weights)
    low = np.full(count, largest / 2) if means is None else np.asarray(means, dtype=float)
    if low.shape != (count,):
        what = "channels" if isinstance(layer, Convolution) else "inputs"
        raise NetworkError(
            f"{layer.name}: means of {count} {what} have shape ({count},), not {low.shape}"
        )
    low = np.repeat(low, len(layer.matrix) // count)[:, None]
    added = np.where(layer.matrix, low, largest - low)
    expected = np.stack([added[part].sum(axis=0) for part in layer.blocks])
    offset = layer.offset if isinstance(layer, Output) else 0
    moved = np.floor((layer.thresholds - offset - expected) / (1 << dropped)).astype(np.int64)
    new = replace(layer, thresholds=moved, planes=int(planes))
    if isinstance(new, Output):
        new = replace(new, offset=0)
    return network.with_layers((new, *network.layers[1:]))
