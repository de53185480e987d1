"""Training layers against the chip's arithmetic in loops: sums, votes, pooling, ties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.needs import need

need("torch")

from networks.training import layers  # noqa: E402
from networks.training.needs_torch import nn, torch  # noqa: E402

torch.set_num_threads(1)


def with_ties(layer, seed, spread):
    """Whole-number batch norms, so that ties are common: gamma of either sign, or 0."""
    random = np.random.default_rng(seed)
    norm = layer.norm
    count = norm.num_features
    with torch.no_grad():
        norm.eps = 0.0
        norm.running_var.fill_(1.0)
        norm.running_mean.copy_(torch.tensor(random.integers(-spread, spread + 1, count)).float())
        norm.weight.copy_(torch.tensor(random.choice([1.0, -1.0], count)).float())
        norm.bias.zero_()
        if count > 9:  # never (a tie at 0), always, never: whatever the sum
            norm.weight[:3] = 0.0
            norm.bias[1] = 1.0
            norm.bias[2] = -1.0
    return layer.eval()


def popcount(weights, inputs, planes):
    """H of one neuron: bit by bit, plane by plane."""
    total = 0
    for plane in range(planes):
        for weight, value in zip(weights, inputs, strict=True):
            if bool(weight) == bool(value >> plane & 1):
                total += 1 << plane
    return total


class Neuron:
    """What one block of one neuron does with its sum."""

    def __init__(self, norm, index, inputs, planes):
        self.gamma = norm.weight[index].item()
        self.mean = norm.running_mean[index].item()
        self.beta = norm.bias[index].item()
        self.largest = inputs * ((1 << planes) - 1)

    def fires(self, total):
        """Whether it fires at H; where its product is the least it can be, it cannot."""
        if total == (self.largest if self.gamma < 0 else 0):
            return False
        return self.gamma * (2 * total - self.largest - self.mean) + self.beta > 0

    def ties(self, total):
        return self.gamma != 0 and 2 * total - self.largest == self.mean


def parts(count, votes):
    """Blocks, as even as can be, the larger first."""
    sizes = [count // votes + (block < count % votes) for block in range(votes)]
    return [(sum(sizes[:n]), sum(sizes[: n + 1])) for n in range(votes)]


def dense_reference(layer, data):
    """Output bits (batch, neurons), and how many ties there were."""
    weights = layer.weight.detach().numpy() > 0
    outputs = np.zeros((len(data), layer.outputs), dtype=bool)
    ties = 0
    for example, neuron in itertools.product(range(len(data)), range(layer.outputs)):
        votes = 0
        for block, (first, last) in enumerate(parts(layer.inputs, layer.votes)):
            total = popcount(weights[first:last, neuron], data[example, first:last], layer.planes)
            index = block * layer.outputs + neuron
            one = Neuron(layer.norm, index, last - first, layer.planes)
            votes += one.fires(total)
            ties += one.ties(total)
        outputs[example, neuron] = 2 * votes > layer.votes
    return outputs, ties


def signs_of(data, planes):
    return torch.tensor(2 * data.astype(np.int64) - ((1 << planes) - 1)).float()


@pytest.mark.parametrize(
    ("inputs", "outputs", "votes", "planes"),
    [(1, 1, 1, 1), (9, 15, 1, 1), (9, 6, 3, 1), (11, 4, 3, 1), (8, 3, 5, 1), (7, 7, 7, 1)]
    + [(6, 25, 1, 3), (7, 4, 3, 2), (5, 3, 1, 8)],
)
def test_dense_counts_as_the_chip(inputs, outputs, votes, planes):
    torch.manual_seed(inputs)
    layer = with_ties(layers.BinaryDense(inputs, outputs, votes, planes), 1, 4)
    data = np.random.default_rng(2).integers(0, 1 << planes, (40, inputs))
    data[0], data[1] = 0, (1 << planes) - 1
    wanted, ties = dense_reference(layer, data)
    got = layer(signs_of(data, planes)).detach().numpy()
    np.testing.assert_array_equal(got, np.where(wanted, 1.0, -1.0))
    assert ties or inputs == 1 or planes == 8


def convolution_reference(layer, data):
    """Output bits (batch, filters, height, width): loops over everything."""
    weights = layer.weight.detach().numpy() > 0
    batch, channels, high, wide = data.shape
    padded = np.zeros(
        (batch, channels, high + 2 * layer.padding[0], wide + 2 * layer.padding[1]), dtype=int
    )
    padded[:, :, layer.padding[0] :, layer.padding[1] :][:, :, :high, :wide] = data
    down = (padded.shape[2] - layer.kernel[0]) // layer.stride[0] + 1
    right = (padded.shape[3] - layer.kernel[1]) // layer.stride[1] + 1
    votes = np.zeros((batch, layer.filters, down, right), dtype=int)
    blocks = parts(channels, layer.votes)
    for example, filters, row, column in itertools.product(
        range(batch), range(layer.filters), range(down), range(right)
    ):
        top, left = row * layer.stride[0], column * layer.stride[1]
        window = padded[
            example, :, top : top + layer.kernel[0], left : left + layer.kernel[1]
        ]
        for block, (first, last) in enumerate(blocks):
            kernel = weights[first:last, :, :, filters].ravel()
            total = popcount(kernel, window[first:last].ravel(), layer.planes)
            one = Neuron(layer.norm, block * layer.filters + filters, kernel.size, layer.planes)
            votes[example, filters, row, column] += one.fires(total)
    bits = 2 * votes > layer.votes
    step = layer.pool
    cut = (lambda size, part: -(-size // part)) if layer.pool_ceil else (lambda a, b: a // b)
    pooled = np.zeros((batch, layer.filters, cut(down, step[0]), cut(right, step[1])), dtype=bool)
    for filters, row, column in itertools.product(*(range(size) for size in pooled.shape[1:])):
        window = bits[
            :,
            filters,
            row * step[0] : (row + 1) * step[0],
            column * step[1] : (column + 1) * step[1],
        ]
        every = layer.votes == 1 and layer.norm.weight[filters].item() < 0
        combine = np.all if every else np.any
        pooled[:, filters, row, column] = combine(window, axis=(1, 2))
    return pooled


@pytest.mark.parametrize(
    ("channels", "filters", "kernel", "options", "size"),
    [
        (1, 1, (1, 1), {}, (1, 1)),
        (3, 5, (3, 3), {"padding": (1, 1)}, (5, 4)),
        (2, 4, (3, 2), {"stride": (2, 1), "padding": (1, 0)}, (6, 5)),
        (2, 6, (3, 3), {"padding": (1, 1), "pool": (2, 2)}, (5, 5)),
        (2, 6, (3, 3), {"padding": (1, 1), "pool": (3, 3), "pool_ceil": True}, (4, 8)),
        (7, 4, (3, 3), {"padding": (1, 1), "votes": 3}, (3, 3)),
        (8, 3, (2, 2), {"votes": 5, "pool": (2, 1)}, (5, 3)),
        (2, 5, (3, 3), {"planes": 3, "padding": (1, 1), "pool": (2, 2)}, (4, 4)),
        (4, 3, (1, 5), {"padding": (0, 2), "pool": (1, 2), "pool_ceil": True}, (1, 9)),
    ],
)
def test_convolution_counts_as_the_chip(channels, filters, kernel, options, size):
    torch.manual_seed(channels)
    layer = layers.BinaryConvolution(channels, filters, kernel, **options)
    layer = with_ties(layer, 3, 3)
    data = np.random.default_rng(4).integers(0, 1 << layer.planes, (6, channels, *size))
    wanted = convolution_reference(layer, data)
    got = layer(signs_of(data, layer.planes)).detach().numpy()
    np.testing.assert_array_equal(got, np.where(wanted, 1.0, -1.0))
    assert len(np.unique(got)) == 2 or channels == 1


@pytest.mark.parametrize("planes", [1, 2])
def test_output_gives_whole_preactivations(planes):
    torch.manual_seed(5)
    layer = layers.BinaryOutput(9, 4, planes)
    with torch.no_grad():
        layer.thresholds.copy_(torch.tensor([3.4, -2.2, 7.0, 0.6]))
    data = np.random.default_rng(6).integers(0, 1 << planes, (20, 9))
    weights = layer.weight.detach().numpy() > 0
    wanted = [
        [popcount(weights[:, n], row, planes) - t for n, t in enumerate((3, -2, 7, 1))]
        for row in data
    ]
    got = layer.preactivations(signs_of(data, planes)).detach().numpy()
    np.testing.assert_array_equal(got, wanted)
    logits = layer(signs_of(data, planes)).detach().numpy()
    np.testing.assert_allclose(logits, np.array(wanted) * layer.log_scale.exp().item(), rtol=1e-6)


def small_network():
    torch.manual_seed(7)
    return layers.BinaryNetwork(
        [
            layers.BinaryConvolution(2, 5, (3, 3), padding=(1, 1), pool=(2, 2), planes=3),
            layers.BinaryConvolution(5, 4, (2, 2), votes=3),
            layers.BinaryDense(4, 7, votes=3),
            layers.BinaryOutput(7, 3),
        ],
        (2, 4, 4),
        8,
    )


def test_first_layer_sees_the_top_planes():
    network = small_network().eval()
    data = torch.randint(0, 256, (10, 2, 4, 4)).float()
    np.testing.assert_array_equal(
        network(data).detach(), network(torch.floor(data / 32) * 32).detach()
    )
    top = torch.floor(data / 32)
    expected = network.layers[0](2 * top - 7)
    np.testing.assert_array_equal(
        network.hidden(data).detach(),
        network.layers[2](network.layers[1](expected)).detach(),
    )


def test_gradients_reach_all_weights():
    network = small_network().train()
    data = torch.randint(0, 256, (64, 2, 4, 4)).float()
    nn.functional.cross_entropy(network(data), torch.randint(0, 3, (64,))).backward()
    for name, value in network.named_parameters():
        assert value.grad is not None and value.grad.isfinite().all(), name
        assert (value.grad != 0).any(), name


def test_gradient_of_the_sign_passes_within_one():
    x = torch.tensor([-1.5, -1.0, -0.2, 0.0, 0.3, 1.0, 1.1], requires_grad=True)
    y = layers.sign(x)
    assert y.tolist() == [-1, -1, -1, -1, 1, 1, 1]  # a tie reads -1
    (y * torch.arange(1.0, 8.0)).sum().backward()
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 0]


def test_clamp_keeps_weights_within_one():
    network = small_network()
    with torch.no_grad():
        network.layers[2].weight.mul_(10)
    network.clamp()
    assert network.layers[2].weight.abs().max().item() == 1.0


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_weight_errors_flip_their_share_and_only_in_training(rate):
    torch.manual_seed(8)
    layer = layers.BinaryDense(400, 500)
    network = layers.BinaryNetwork([layer, layers.BinaryOutput(500, 2)], (400,), 1)
    network.set_weight_errors(rate)
    right = layers.sign(layer.weight).detach()
    network.eval()
    assert torch.equal(layer.signs(), right)
    network.train()
    first, second = (layer.signs() != right for _ in range(2))
    for flipped in (first, second):
        spread = 5 * (rate * (1 - rate) / flipped.numel()) ** 0.5
        assert abs(float(flipped.float().mean()) - rate) < spread
    both = float((first & second).float().mean())
    assert abs(both - rate**2) < 5 * (rate**2 / first.numel()) ** 0.5  # drawn anew each time
    network.set_weight_errors(0.0)
    assert torch.equal(layer.signs(), right)


@pytest.mark.parametrize("votes", [0, 2, 11])
def test_impossible_votes_are_refused(votes):
    with pytest.raises(ValueError, match=f"10 inputs cannot be cut into {votes} blocks"):
        layers.BinaryDense(10, 3, votes)
    with pytest.raises(ValueError, match=f"10 channels cannot be cut into {votes} blocks"):
        layers.BinaryConvolution(10, 3, (3, 3), votes=votes)


def test_state_of_another_layer_is_refused():
    state = layers.BinaryDense(9, 4, planes=2).state_dict()
    with pytest.raises(ValueError, match="This state is of a layer .*'planes': 2"):
        layers.BinaryDense(9, 4).load_state_dict(state)
    state = small_network().state_dict()
    other = small_network()
    other.input_bits = 4
    with pytest.raises(ValueError, match="This state is of a network .*'input_bits': 8"):
        other.load_state_dict(state)
