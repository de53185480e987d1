"""The intermediate form against its equation, written out as loops."""

import numpy as np
import pytest

from networks.form import (
    Convolution,
    Dense,
    Network,
    NetworkError,
    Output,
    blocks_of,
    evaluate,
    majority,
    predictions,
)
from tests.networks.random_networks import (
    convolutional,
    data,
    dense,
    multilayer,
    output,
)


def slow_sum(weights, inputs, planes):
    """H = sum over planes p of 2^p popcount(XNOR(weights, bit p of the inputs))."""
    total = 0
    for plane in range(planes):
        for weight, value in zip(weights, inputs, strict=True):
            total += 2**plane * (int(weight) == int(value) >> plane & 1)
    return total


def slow_cut(count, parts):
    """Sizes as even as can be, the larger ones first."""
    return [count // parts + (i < count % parts) for i in range(parts)]


def slow_neuron(weights, inputs, levels, planes, unit=1):
    """Majority of blocks; `unit` inputs stay together."""
    ayes, start = 0, 0
    for size, level in zip(slow_cut(len(inputs) // unit, len(levels)), levels, strict=True):
        part = slice(start, start + size * unit)
        ayes += slow_sum(weights[part], inputs[part], planes) - int(level) > 0
        start += size * unit
    return ayes > len(levels) // 2


def slow_convolution(layer, image):
    channels, high, wide, filters = layer.weights.shape
    down, right = layer.padding
    padded = np.zeros((channels, image.shape[1] + 2 * down, image.shape[2] + 2 * right), int)
    padded[:, down : down + image.shape[1], right : right + image.shape[2]] = image
    rows = (padded.shape[1] - high) // layer.stride[0] + 1
    columns = (padded.shape[2] - wide) // layer.stride[1] + 1
    fires = np.zeros((filters, rows, columns), dtype=bool)
    for f in range(filters):
        for i in range(rows):
            for j in range(columns):
                top, left = i * layer.stride[0], j * layer.stride[1]
                window = padded[:, top : top + high, left : left + wide]
                fires[f, i, j] = slow_neuron(
                    layer.weights[..., f].ravel(), window.ravel(), layer.thresholds[:, f],
                    layer.planes, high * wide)
    size = [n // p for n, p in zip((rows, columns), layer.pool, strict=True)]
    if layer.pool_ceil:
        size = [(n + p - 1) // p for n, p in zip((rows, columns), layer.pool, strict=True)]
    pooled = np.zeros((filters, *size), dtype=bool)
    for f in range(filters):
        for i in range(size[0]):
            for j in range(size[1]):
                window = fires[
                    f, i * layer.pool[0] : (i + 1) * layer.pool[0],
                    j * layer.pool[1] : (j + 1) * layer.pool[1]]
                pooled[f, i, j] = window.all() if layer.pool_all[f] else window.any()
    return pooled


def slow_evaluate(network, inputs):
    """Class preactivations and hidden outputs of one input."""
    planes = network.layers[0].planes
    values = inputs.astype(int) >> (network.input_bits - planes)
    hidden = []
    for layer in network.layers[:-1]:
        if isinstance(layer, Convolution):
            values = slow_convolution(layer, values)
        else:
            flat = values.ravel()
            values = np.array([
                slow_neuron(layer.weights[:, n], flat, layer.thresholds[:, n], layer.planes)
                for n in range(layer.weights.shape[1])])
        hidden.append(values)
    last = network.layers[-1]
    sums = [
        slow_sum(last.weights[:, n], values.ravel(), last.planes) - int(last.thresholds[0, n])
        + last.offset
        for n in range(network.classes)]
    return sums, hidden


CASES = {
    "one neuron": multilayer(0, (1, 1, 1)),
    "one layer": multilayer(1, (7, 3)),
    "one layer of planes": multilayer(2, (7, 3), planes=3),
    "votes": multilayer(3, (11, 5, 4), votes=[3]),
    "as many votes as inputs": multilayer(4, (5, 6, 2), votes=[5]),
    "planes and votes": multilayer(5, (13, 5, 6, 3), planes=8, votes=[5, 3]),
    "top planes": multilayer(6, (9, 6, 3), planes=2, input_bits=5),
    "convolution": convolutional(7, (2, 6, 5), [{"filters": 3, "kernel": (3, 2)}], 3, planes=2),
    "pooling, floor": convolutional(
        8, (1, 7, 6), [{"filters": 4, "kernel": (2, 2), "pool": (2, 3), "padding": (1, 1)}], 3),
    "pooling, ceil": convolutional(
        9, (1, 7, 6), [{"filters": 6, "kernel": (2, 2), "pool": (4, 2), "pool_ceil": True}], 3),
    "stride and votes": convolutional(
        10, (6, 7, 7),
        [{"filters": 4, "kernel": (3, 3), "stride": (2, 3), "padding": (2, 1), "votes": 3}], 3,
        planes=2),
    "one dimension": convolutional(
        11, (3, 1, 20),
        [{"filters": 4, "kernel": (1, 5), "stride": (1, 2), "padding": (0, 2), "pool": (1, 2)},
         {"filters": 3, "kernel": (1, 3)}], 2, planes=3, hidden=4),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_evaluate_is_the_equation(name):
    network = CASES[name]
    inputs = data(0, network, 6)
    made = evaluate(network, inputs, batch=4)
    for index, one in enumerate(inputs):
        sums, hidden = slow_evaluate(network, one)
        assert made.preactivations[index].tolist() == sums
        assert made.predictions[index] == sums.index(max(sums))
        for layer, expected in zip(made.hidden, hidden, strict=True):
            assert (layer[index] == expected).all()


def test_a_product_of_signs_is_twice_the_sum():
    """w.u = H - (2^k - 1) N, and 2H - n for one plane of +-1."""
    network = multilayer(0, (20, 4), planes=3)
    last = network.layers[-1]
    inputs = data(1, network, 5)
    signs = np.where(last.weights, 1, -1)
    minus = (signs < 0).sum(axis=0)
    sums = evaluate(network, inputs).preactivations + last.thresholds[0]
    assert (inputs.astype(int) @ signs == sums - 7 * minus).all()
    network = multilayer(0, (20, 4))
    inputs = data(1, network, 5)
    last = network.layers[-1]
    sums = evaluate(network, inputs).preactivations + last.thresholds[0]
    assert ((2 * inputs.astype(int) - 1) @ np.where(last.weights, 1, -1) == 2 * sums - 20).all()


def test_ties_do_not_fire_and_the_first_class_wins():
    hidden = Dense("hidden", np.ones((4, 1), bool), np.array([2]))
    last = Output("output", np.ones((1, 3), bool), np.array([1, 0, 0]))
    network = Network((hidden, last), (4,))
    result = evaluate(network, np.array([[1, 1, 0, 0], [1, 1, 1, 0]]))
    assert result.hidden[0].tolist() == [[False], [True]]
    assert result.preactivations.tolist() == [[-1, 0, 0], [0, 1, 1]]
    assert predictions(result.preactivations).tolist() == [1, 1]


def test_flattened_data_and_no_data():
    network = convolutional(0, (2, 4, 4), [{"filters": 2, "kernel": (2, 2)}], 3)
    inputs = data(0, network, 4)
    whole, flat = evaluate(network, inputs), evaluate(network, inputs.reshape(4, -1))
    assert (whole.preactivations == flat.preactivations).all()
    nothing = evaluate(network, inputs[:0])
    assert nothing.preactivations.shape == (0, 3)


def test_progress_tells_of_every_input():
    network = multilayer(0, (5, 3))
    told = []
    evaluate(network, data(0, network, 7), batch=3, progress=told.append)
    assert told == [3, 3, 1]


def test_majority_needs_more_than_half():
    votes = np.array([[[1, 0], [1, 0], [0, 1]]], dtype=bool)
    assert majority(votes).tolist() == [[True, False]]
    assert blocks_of(7, 3) == [slice(0, 3), slice(3, 5), slice(5, 7)]


RNG = np.random.default_rng(0)
BITS = np.ones((4, 2), dtype=bool)
IMAGE = np.ones((2, 3, 3, 2), dtype=bool)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Dense("a", BITS.astype(int), [1, 1]), "a: weights must be bool, not int64"),
        (lambda: Dense("a", BITS[0], [1, 1]), "a: weights must have 2 dimensions"),
        (lambda: Dense("a", BITS, [0.5, 1]), "a: thresholds must be integers, not float64"),
        (lambda: Dense("a", BITS, [1]), "a: thresholds for 1 neurons, but weights for 2"),
        (lambda: Dense("a", BITS, [[[1, 1]]]), "a: thresholds must have shape"),
        (lambda: Dense("a", BITS, [1 << 31, 1]), "a: thresholds must fit 32 bits"),
        (lambda: Dense("a", BITS, [[1, 1]] * 2), "a: 4 inputs cannot be cut into 2 blocks"),
        (lambda: Dense("a", BITS, [[1, 1]] * 5), "a: 4 inputs cannot be cut into 5 blocks"),
        (lambda: Dense("a", BITS, [1, 1], 9), "a: inputs have 1 to 8 bit planes, not 9"),
        (lambda: Output("o", BITS, [[1, 1]] * 3), "o: an output layer of 2 classes needs as many"),
        (lambda: Convolution("c", IMAGE, [1, 1], stride=(0, 1)), "c: stride is two numbers"),
        (lambda: Convolution("c", IMAGE, [1, 1], padding=(3, 0)), "c: padding .3, 0. must be less"),
        (lambda: Convolution("c", IMAGE, [1, 1], pool_all=[True]), "c: pool_all must be 2 bools"),
        (lambda: Convolution("c", IMAGE, [[1, 1]] * 3), "c: 2 channels cannot be cut into 3"),
    ],
)  # fmt: skip
def test_layers_that_cannot_be(make, message):
    with pytest.raises(NetworkError, match=message):
        make()


@pytest.mark.parametrize(
    "layers, shape, bits, message",
    [
        ([], (4,), 1, "ends with an output layer"),
        ([dense(RNG, "a", 4, 2)], (4,), 1, "ends with an output layer"),
        ([output(RNG, "a", 4, 2)], (), 1, "holds nothing"),
        ([output(RNG, "a", 4, 2)], (4,), 9, "Data have 1 to 8 bits, not 9"),
        ([output(RNG, "a", 4, 2)], (5,), 1, "a: takes 4 inputs, but gets 5"),
        ([output(RNG, "a", 4, 2, 2)], (4,), 1, "a: data of 1 bits have no 2 planes"),
        ([dense(RNG, "a", 4, 2), output(RNG, "a", 2, 2)], (4,), 1, "need different names"),
        ([output(RNG, "a", 4, 2), output(RNG, "b", 2, 2)], (4,), 1, "a: an output layer comes"),
        ([dense(RNG, "a", 4, 2), output(RNG, "b", 2, 2, 2)], (4,), 2, "b: only the first layer"),
        ([Convolution("c", IMAGE, [1, 1]), output(RNG, "b", 2, 2)], (18,), 1, "c: takes inputs of"),
        ([Convolution("c", IMAGE, [1, 1]), output(RNG, "b", 2, 2)], (2, 3, 2), 1, "c: a kernel of"),
        ([Convolution("c", IMAGE, [1, 1], pool=(2, 2)), output(RNG, "b", 2, 2)], (2, 3, 3), 1,
         "c: pooling windows of"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be(layers, shape, bits, message):
    with pytest.raises(NetworkError, match=message):
        Network(tuple(layers), shape, bits)


@pytest.mark.parametrize(
    "inputs, message",
    [
        (np.zeros((2, 5), int), "takes data of shape .batch, 4., not .2, 5."),
        (np.zeros((2, 4)), "Data are unsigned integers, not float64"),
        (np.full((2, 4), 4), "Data of 2 bits are 0 to 3, not 4 to 4"),
        (np.full((2, 4), -1), "Data of 2 bits are 0 to 3, not -1 to -1"),
    ],
)
def test_data_that_do_not_fit(inputs, message):
    with pytest.raises(NetworkError, match=message):
        evaluate(multilayer(0, (4, 2), planes=2), inputs)
