"""Compiler passes: the same answers, and what each is for."""

import numpy as np
import pytest

from networks.form import Network, NetworkError, Output, evaluate
from networks.transforms import (
    clamp_thresholds,
    keep_planes,
    largest_sums,
    lift_output,
    lower,
    silence_always_firing,
)
from tests.networks.random_networks import convolutional, data, multilayer, output

PASSES = [clamp_thresholds, silence_always_firing, lift_output, lower]

POOLED = {"filters": 5, "kernel": (2, 2), "pool": (2, 2)}
NETWORKS = {
    "one layer": multilayer(0, (9, 4), planes=2),
    "one neuron": multilayer(1, (1, 1, 1)),
    "deep": multilayer(2, (20, 15, 9, 5), planes=3, always=0.4),
    "votes": multilayer(3, (20, 15, 9, 5), votes=[1, 3], always=0.4),
    "votes first": multilayer(4, (20, 15, 9, 5), votes=[3, 1], always=0.4),
    "convolution to convolution": convolutional(
        5, (2, 9, 9), [POOLED, {"filters": 4, "kernel": (3, 3)}], 3, 2, always=0.4),
    "convolution to padded": convolutional(
        6, (2, 9, 9), [POOLED, {"filters": 4, "kernel": (3, 3), "padding": (1, 0)}], 3, always=0.4),
    "pooling, ceil, to dense": convolutional(
        7, (2, 8, 7), [{**POOLED, "pool_ceil": True}], 3, hidden=6, always=0.4),
    "votes of channels": convolutional(
        8, (3, 8, 8), [POOLED, {"filters": 4, "kernel": (3, 3), "votes": 3}], 3, always=0.4),
}  # fmt: skip


@pytest.mark.parametrize("function", PASSES, ids=lambda function: function.__name__)
@pytest.mark.parametrize("name", NETWORKS)
def test_answers_stay(name, function):
    network = NETWORKS[name]
    inputs = data(0, network, 40)
    before, after = evaluate(network, inputs), evaluate(function(network), inputs)
    assert (after.preactivations == before.preactivations).all()
    assert (after.predictions == before.predictions).all()


@pytest.mark.parametrize("function", PASSES, ids=lambda function: function.__name__)
def test_passes_are_pure_and_settle(function):
    network = NETWORKS["deep"]
    before = [(layer.weights.copy(), layer.thresholds.copy()) for layer in network.layers]
    once = function(network)
    for layer, (weights, levels) in zip(network.layers, before, strict=True):
        assert (layer.weights == weights).all() and (layer.thresholds == levels).all()
    for first, second in zip(once.layers, function(once).layers, strict=True):
        assert (first.weights == second.weights).all()
        assert (first.thresholds == second.thresholds).all()


def test_clamped_thresholds_are_in_reach_and_outputs_stay():
    network = NETWORKS["votes"]
    clamped = clamp_thresholds(network)
    for layer in clamped.layers[:-1]:
        assert layer.thresholds.min() >= -1
        assert (layer.thresholds <= largest_sums(layer)[:, None]).all()
    inputs = data(1, network, 30)
    for before, after in zip(
        evaluate(network, inputs).hidden, evaluate(clamped, inputs).hidden, strict=True
    ):
        assert (before == after).all()


@pytest.mark.parametrize(
    "name, left",
    [
        ("deep", [False, False]),
        ("votes", [False, True]),
        ("votes first", [True, False]),
        ("convolution to convolution", [False, False]),
        ("convolution to padded", [True, False]),
        ("pooling, ceil, to dense", [False, False]),
        ("votes of channels", [False, True]),
    ],
)
def test_negative_thresholds_are_left_only_where_they_must(name, left):
    network = NETWORKS[name]
    assert all((layer.thresholds < 0).any() for layer in network.layers[:-1])
    lowered = lower(network)
    assert [bool((layer.thresholds < 0).any()) for layer in lowered.layers[:-1]] == left
    assert lowered.layers[-1].thresholds.min() == 0


def test_lifted_thresholds_start_at_zero():
    rng = np.random.default_rng(0)
    network = Network((output(rng, "output", 8, 5, offset=3),), (8,))
    lifted = lift_output(network).layers[0]
    assert lifted.thresholds.min() == 0
    assert (lifted.thresholds - lifted.offset == network.layers[0].thresholds - 3).all()


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_dropped_planes_that_are_constant_change_nothing(kept):
    """Where the dropped part is what was expected, decisions are the same."""
    network = multilayer(0, (30, 20, 3), planes=4, votes=[3], always=0)
    rng = np.random.default_rng(1)
    low = rng.integers(0, 2 ** (4 - kept), 30)
    inputs = data(2, network, 50) >> (4 - kept) << (4 - kept) | low.astype(np.uint8)
    fewer = keep_planes(network, kept, means=low)
    assert fewer.layers[0].planes == kept and fewer.input_bits == 4
    before, after = evaluate(network, inputs), evaluate(fewer, inputs)
    assert (after.hidden[0] == before.hidden[0]).all()
    assert (after.preactivations == before.preactivations).all()


def test_means_of_a_convolution_are_one_a_channel():
    network = convolutional(3, (3, 5, 5), [{"filters": 8, "kernel": (2, 2)}], 4, planes=4, always=0)
    low = np.array([0, 3, 1], dtype=np.uint8)
    inputs = data(2, network, 20) >> 2 << 2 | low[:, None, None]
    before, after = evaluate(network, inputs), evaluate(keep_planes(network, 2, low), inputs)
    assert (after.hidden[0] == before.hidden[0]).all()


def test_by_default_dropped_planes_add_half_their_range():
    network = multilayer(4, (21, 6, 3), planes=5, always=0)
    first = network.layers[0]
    moved = keep_planes(network, 3).layers[0]
    assert (moved.thresholds == np.floor((first.thresholds - 21 * 1.5) / 4)).all()
    assert keep_planes(network, 5).layers[0].thresholds.tolist() == first.thresholds.tolist()


def test_an_output_layer_may_be_the_first():
    rng = np.random.default_rng(0)
    network = Network((Output("output", rng.random((6, 3)) < 0.5, [9, 20, 31], 3, 8),), (6,), 3)
    last = keep_planes(network, 1).layers[0]
    assert last.offset == 0
    assert last.thresholds[0].tolist() == [-2, 0, 3]  # (T - 8 - 6 x 1.5) / 4, rounded down


@pytest.mark.parametrize("planes", [0, 4, 1.5])
def test_planes_that_are_not_there(planes):
    with pytest.raises(NetworkError, match="hidden_0: of its 3 planes 1 to 3 can be kept, not"):
        keep_planes(multilayer(0, (5, 4, 3), planes=3), planes)


def test_means_of_another_shape():
    with pytest.raises(NetworkError, match="hidden_0: means of 5 inputs have shape .5,., not .4,"):
        keep_planes(multilayer(0, (5, 4, 3), planes=3), 2, np.zeros(4))
