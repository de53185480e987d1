"""Torch state dicts: predictions and preactivations equal the torch module's."""

import numpy as np
import pytest

from networks import form
from networks.folding import Folded, fold
from networks.form import NetworkError
from tests.needs import need

need("torch")

import torch  # noqa: E402

from networks import state_dict  # noqa: E402
from networks.importing import load_network  # noqa: E402
from networks.training.layers import (  # noqa: E402
    BinaryConvolution,
    BinaryDense,
    BinaryNetwork,
    BinaryOutput,
)

D, C, Out = BinaryDense, BinaryConvolution, BinaryOutput

#: Layers, shape of an input and bits of the data of each network.
NETWORKS = {
    "one of everything": ([D(1, 1), Out(1, 1)], (1,), 1),
    "published": ([D(116, 64), Out(64, 10)], (116,), 1),
    "planes": ([D(64, 33, planes=4), D(33, 17), Out(17, 10)], (64,), 8),
    "all eight planes": ([D(49, 30, planes=8), Out(30, 10)], (1, 7, 7), 8),
    "output alone": ([Out(30, 6, planes=3)], (30,), 3),
    "votes": ([D(116, 59), D(59, 40, votes=3), Out(40, 10)], (116,), 1),
    "uneven votes of planes": (
        [D(32, 21, votes=5, planes=2), D(21, 9, votes=7), Out(9, 3)], (32,), 2),
    "images": (
        [C(2, 5, (3, 3), padding=(1, 1), pool=(2, 2), planes=3), C(5, 7, (2, 3), stride=(1, 2)),
         Out(7 * 3 * 1, 4)], (2, 8, 8), 5),
    "pools that stick out": (
        [C(1, 6, (2, 2), pool=(2, 3), pool_ceil=True), D(6 * 4 * 2, 11), Out(11, 3)], (1, 8, 7), 1),
    "votes of channels": (
        [C(2, 8, (3, 3)), C(8, 6, (2, 2), votes=3, pool=(2, 2), pool_ceil=True), D(24, 9, votes=3),
         Out(9, 3)], (2, 6, 6), 1),
    "signals": (
        [C(3, 6, (1, 5), padding=(0, 2), pool=(1, 2), planes=6), C(6, 4, (1, 3), stride=(1, 2)),
         Out(20, 2)], (3, 1, 24), 8),
    "signals with votes": (
        [C(5, 9, (1, 3), votes=5, planes=2, pool=(1, 3)), Out(9 * 3, 4)], (5, 1, 13), 2),
}  # fmt: skip


def randomized(name, seed):
    """A network with batch norm of both signs, whole and real, and ties on purpose."""
    layers, shape, bits = NETWORKS[name]
    torch.manual_seed(seed)
    network = BinaryNetwork(layers, shape, bits)
    with torch.no_grad():
        for layer in network.layers:
            layer.weight.normal_()
            if isinstance(layer, BinaryOutput):
                layer.thresholds.add_(torch.randn(layer.classes) * 3)
                layer.thresholds[0] = layer.thresholds[0].floor() + 0.5  # half to even
                continue
            count = layer.norm.num_features
            spread = layer.weight[..., 0].numel() ** 0.5 * ((1 << layer.planes) - 1)
            mean = torch.randn(count) * spread / layer.votes**0.5
            layer.norm.running_mean.copy_(torch.where(torch.rand(count) < 0.5, mean.round(), mean))
            layer.norm.running_var.uniform_(0.1, spread**2)
            layer.norm.weight.normal_()
            layer.norm.weight[torch.rand(count) < 0.1] = 0
            layer.norm.bias.copy_(torch.where(torch.rand(count) < 0.5, 0.0, torch.randn(count) / 3))
    return network.eval()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_an_imported_network_gives_the_same_numbers(name, seed, tmp_path):
    network = randomized(name, seed)
    torch.save(network.state_dict(), tmp_path / "net.pt")
    found = load_network(tmp_path / "net.pt")
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 1 << network.input_bits, (300, *network.input_shape), dtype=np.uint8)
    data[0], data[1] = 0, (1 << network.input_bits) - 1
    with torch.no_grad():
        expected = network.preactivations(torch.from_numpy(data).float()).numpy()
    answers = form.evaluate(found, data)
    np.testing.assert_array_equal(answers.preactivations, expected)
    np.testing.assert_array_equal(answers.predictions, expected.argmax(axis=1))
    for layer in found.layers[:-1]:
        assert layer.thresholds.min() >= 0, "what the registers can start from"


def test_nothing_agreeing_never_fires_whichever_the_sign_of_gamma(tmp_path):
    """beta alone would fire everywhere: T = 0 rather than -1, of the weights as they are stored."""
    network = BinaryNetwork([BinaryDense(6, 3), BinaryOutput(3, 2)], (6,), 1)
    with torch.no_grad():
        network.layers[0].norm.weight.copy_(torch.tensor([0.01, -0.01, 0.0]))
        network.layers[0].norm.bias.fill_(5.0)
    found = state_dict.convert(network.eval().state_dict())
    assert found.layers[0].thresholds.tolist() == [[0, 0, 0]]
    stored = network.layers[0].weight.detach().numpy() > 0
    np.testing.assert_array_equal(found.layers[0].weights, stored ^ [False, True, False])


def test_a_checkpoint_of_a_training(tmp_path):
    from networks.training.loop import Examples, Recipe, train

    torch.manual_seed(0)
    network = BinaryNetwork([BinaryDense(9, 5), BinaryOutput(5, 2)], (9,), 1)
    data = torch.randint(0, 2, (64, 9), dtype=torch.uint8)
    examples = Examples(data, data[:, 0].long())
    train(network, examples, Recipe(1, 16), 0, checkpoint=tmp_path / "c.pt")
    found = load_network(tmp_path / "c.pt")
    answers = form.evaluate(found, data.numpy())
    with torch.no_grad():
        expected = network.preactivations(data.float()).numpy()
    np.testing.assert_array_equal(answers.preactivations, expected)


def changed(**changes):
    network = BinaryNetwork([BinaryDense(9, 5), BinaryOutput(5, 2)], (9,), 1)
    state = dict(network.state_dict())
    for key, value in changes.items():
        if value is None:
            del state[key.replace("__", ".")]
        else:
            state[key.replace("__", ".")] = value
    return state


@pytest.mark.parametrize(
    "state, message",
    [
        (lambda: torch.nn.Linear(3, 2).state_dict(), "this is not the state of a BinaryNetwork"),
        (lambda: [1, 2], "this holds a list, not the state dict"),
        (lambda: torch.nn.Linear(3, 2), "torch does not read it as plain weights"),
        (lambda: changed(other=torch.ones(3)), "other belongs to no layer"),
        (lambda: changed(layers__0___extra_state=None), "layers.0: its state does not say"),
        (lambda: changed(layers__0__norm__bias=None), "layers.0: .*norm.bias"),
        (lambda: changed(layers__0__weight=torch.full((9, 5), torch.nan)),
         "layers.0: weight has values that are not finite"),
        (lambda: changed(layers__0__norm__running_var=torch.full((5,), torch.inf)),
         "layers.0: norm.running_var has values"),
        (lambda: changed(layers__0__weight=torch.ones(9)), "layers.0: it has no weights of 2"),
        (lambda: changed(layers__0___extra_state={"kind": "dense", "votes": 2, "planes": 1}),
         "layers.0: 9 inputs cannot be cut into 2"),
        (lambda: changed(layers__0___extra_state={"kind": "dense", "more": 2}), "layers.0: "),
        (lambda: changed(_extra_state={"input_shape": [7], "input_bits": 1}),
         "layers.0: takes 9 inputs, but gets 7"),
        (lambda: changed(_extra_state={"input_shape": 7, "input_bits": None}), "its input"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_one_sentence(state, message, tmp_path):
    torch.save(state(), tmp_path / "net.pt")
    with pytest.raises(NetworkError, match=f"^net.pt: {message}") as error:
        load_network(tmp_path / "net.pt")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"something else"])
def test_what_torch_cannot_read(content, tmp_path):
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(NetworkError, match="^net.pt: "):
        load_network(tmp_path / "net.pt")


def test_a_file_that_was_cut_off_is_named(tmp_path):
    path = tmp_path / "net.pt"
    network = BinaryNetwork([BinaryDense(30, 50), BinaryOutput(50, 2)], (30,), 1)
    torch.save(network.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1000])  # of 4 to 64 kB torch says "Invalid argument"
    with pytest.raises(NetworkError, match="^net.pt: torch does not read it as plain weights"):
        state_dict.load(path)
    with pytest.raises(FileNotFoundError, match="none.pt"):
        state_dict.load(tmp_path / "none.pt")


# The threshold finder itself, against its definition


@pytest.mark.parametrize("at_once", [1, 7, 1 << 21])
def test_folding_says_what_was_evaluated(at_once, monkeypatch):
    monkeypatch.setattr("networks.folding._AT_ONCE", at_once)
    largest = np.array([0, 1, 5, 5, 9, 9, 9, 4])
    edges = np.array([0, 1, 3, 2, 0, 9, 5, 9])  # sums from which on the output is another
    start = np.array([False, False, False, True, True, False, True, True])

    def fires(sums):
        return (sums[:, None] >= edges) ^ start

    thresholds, flipped = fold(fires, largest, "layer")
    for neuron, top in enumerate(largest):
        sums = np.arange(top + 1)
        own = top - sums if flipped[neuron] else sums
        expected = fires(sums)[:, neuron]
        np.testing.assert_array_equal(own > thresholds[neuron], expected)
        assert -1 <= thresholds[neuron] <= top
        assert not (flipped[neuron] and len(set(expected)) == 1), "constants stay as they are"


def test_folding_refuses_what_is_not_monotone_by_name():
    def bump(sums):
        return np.stack([sums > 2, (sums > 2) & (sums < 5), sums < 3, sums % 2 == 0], axis=1)

    with pytest.raises(NetworkError, match="fc: the output of neurons 1 and 3 changes more than"):
        fold(bump, np.full(4, 8), "fc")
    assert isinstance(fold(bump, np.array([8, 4, 8, 1]), "fc"), Folded)
    with pytest.raises(ValueError, match="Outputs must be bool of shape"):
        fold(bump, np.full(3, 8), "fc")
