"""The plain .npz convention: round trips, the docs' example, and what is wrong in one sentence."""

import re
from pathlib import Path

import numpy as np
import pytest

from networks import npz
from networks.form import Convolution, Dense, Network, NetworkError, Output, evaluate
from networks.importing import load_network

DOCS = Path(__file__).parents[2] / "docs" / "bring_your_own.md"


def dense_network(rng=None, inputs=13, neurons=7, classes=3, votes=1, bits=3):
    rng = rng or np.random.default_rng(0)
    return Network(
        (
            Dense("fc1", rng.random((inputs, neurons)) < 0.5,
                  rng.integers(-1, inputs * 4, (votes, neurons)), planes=2),
            Output("fc2", rng.random((neurons, classes)) < 0.5, rng.integers(-3, 5, classes),
                   offset=-2),
        ), (inputs,), bits, "a test",
    )  # fmt: skip


def image_network():
    rng = np.random.default_rng(1)
    return Network(
        (
            Convolution("conv", rng.random((3, 3, 2, 5)) < 0.5, rng.integers(0, 18, (3, 5)),
                        stride=(2, 1), padding=(1, 0), pool=(2, 3), pool_ceil=True),
            Convolution("a/b", rng.random((5, 1, 1, 2)) < 0.5, rng.integers(0, 5, 2), pool=(1, 2),
                        pool_all=np.array([True, False])),
            Output("out", rng.random((4, 2)) < 0.5, [1, 2]),
        ), (3, 7, 9),
    )  # fmt: skip


def same(one, other):
    assert (one.name, one.input_shape, one.input_bits) == (
        other.name, other.input_shape, other.input_bits)
    assert len(one.layers) == len(other.layers)
    for mine, its in zip(one.layers, other.layers, strict=True):
        assert type(mine) is type(its)
        for name in mine.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(mine, name), getattr(its, name), err_msg=name)


@pytest.mark.parametrize(
    "network",
    [dense_network(), dense_network(votes=3), dense_network(None, 1, 1, 1), image_network()],
)
def test_a_saved_network_loads_the_same_and_has_the_same_bytes(network, tmp_path):
    npz.save(network, tmp_path / "one.npz")
    npz.save(network, tmp_path / "two.npz")
    same(network, npz.load(tmp_path / "one.npz"))
    same(network, load_network(str(tmp_path / "one.npz")))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_arrays_of_a_network_give_it_back():
    for network in (dense_network(votes=3), image_network()):
        same(network, npz.from_arrays(npz.as_arrays(network), "mine"))


def test_files_are_small(tmp_path):
    """MNIST networks of a million weights are committed: a bit a weight and a little more."""
    network = dense_network(None, 784, 1024, 10, bits=2)
    npz.save(network, tmp_path / "mnist.npz")
    assert (tmp_path / "mnist.npz").stat().st_size < network.weight_bits / 8 + 4 * 1034 + 6000


def test_the_example_of_the_docs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    code = next(block for block in blocks if "heliobit network 1" in block)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    exec(compile(code, str(DOCS), "exec"), {})
    network = load_network(next(tmp_path.glob("*.npz")))
    evaluate(network, np.zeros((2, *network.input_shape), dtype=np.uint8))


def plain(**changes):
    """Arrays of a file as a stranger writes them; None takes one away."""
    arrays = {
        "format": "heliobit network 1", "input_shape": [6], "input_bits": 1,
        "layers": ["fc", "out"],
        "fc/kind": "dense", "fc/weights": np.ones((6, 4)), "fc/thresholds": np.full(4, 2.5),
        "out/kind": "output", "out/weights": np.eye(4, 3, dtype=bool), "out/thresholds": [0, 0, 1],
    } | {name.replace("__", "/"): value for name, value in changes.items()}  # fmt: skip
    return {name: value for name, value in arrays.items() if value is not None}


@pytest.mark.parametrize("thresholds, floors", [([2.5, -0.5, 3.0, 5.999], [2, -1, 3, 5])])
def test_real_thresholds_are_rounded_down(thresholds, floors, tmp_path):
    np.savez(tmp_path / "n.npz", **plain(fc__thresholds=thresholds))
    assert npz.load(tmp_path / "n.npz").layers[0].thresholds.tolist() == [floors]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.float32, np.float64, np.int64])
def test_weights_of_any_type(dtype, tmp_path):
    bits = np.random.default_rng(2).random((6, 4)) < 0.5
    np.savez(tmp_path / "n.npz", **plain(fc__weights=bits.astype(dtype)))
    np.testing.assert_array_equal(npz.load(tmp_path / "n.npz").layers[0].weights, bits)
    if np.issubdtype(dtype, np.signedinteger) or np.issubdtype(dtype, np.floating):
        np.savez(tmp_path / "n.npz", **plain(fc__weights=np.where(bits, 1, -1).astype(dtype)))
        np.testing.assert_array_equal(npz.load(tmp_path / "n.npz").layers[0].weights, bits)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": None}, "array `?format`? is missing.*'heliobit network 1'"),
        ({"format": "heliobit network 2"}, "its format is 'heliobit network 2', but"),
        ({"layers": None}, "array `layers` is missing"),
        ({"layers": [1, 2]}, "`layers` must be a list of names"),
        ({"layers": ["fc"]}, "array `out/kind` is none that the format has"),
        ({"layers": ["fc", "out", "more"]}, "more: array `more/kind` is missing; it is one"),
        ({"layers": ["out", "fc"]}, "A network ends with an output layer"),
        ({"layers": ["fc", "out", "out"]}, "different names"),
        ({"input_shape": [2, 3, 4]}, "fc: takes 6 inputs, but gets 24"),
        ({"input_shape": [1.5]}, "`input_shape` must be whole numbers, not float64"),
        ({"input_shape": [3, 2]}, "`input_shape` must be 1 or 3 numbers, not 2"),
        ({"input_bits": 9}, "Data have 1 to 8 bits, not 9"),
        ({"fc__kind": "linear"}, "fc: a layer's kind is one of dense, convolution, output, not"),
        ({"fc__weights": None}, "fc: array `fc/weights` is missing"),
        ({"fc__weights": np.zeros((6, 4)) - [[1], [0], [0], [0], [0], [0]]},
         "fc: weights must be .* but one is 0 beside others that are -1"),
        ({"fc__weights": np.full((6, 4), 0.5)}, "fc: weights must be .* but one is 0.5"),
        ({"fc__weights": np.full((6, 4), np.nan)}, "fc: weights must be .* but one is nan"),
        ({"fc__weights": np.full((6, 4), "1")}, "fc: weights must be bool or numbers"),
        ({"fc__weights": np.ones((6, 5))}, "fc: thresholds for 4 neurons, but weights for 5"),
        ({"fc__weights": np.ones(6)}, "fc: weights must have 2 dimensions"),
        ({"fc__weights": np.zeros(2, dtype=np.uint8), "fc__weights_shape": [6, 4]},
         r"fc: packed weights of shape \(6, 4\) are 3 bytes \(uint8\), not uint8 of shape \(2,\)"),
        ({"fc__weights": np.zeros(2, dtype=np.uint8), "fc__weights_shape": [-6, 4]}, "fc: packed"),
        ({"fc__thresholds": None}, "fc: array `fc/thresholds` is missing"),
        ({"fc__thresholds": [1, 2, np.nan, 4]}, "fc: thresholds must be finite, but one is nan"),
        ({"fc__thresholds": [1, 2, np.inf, 4]}, "fc: thresholds must be finite, but one is inf"),
        ({"fc__thresholds": [1, 2, 1e12, 4]}, "fc: thresholds must fit 32 bits"),
        ({"fc__thresholds": [1j, 2, 3, 4]}, "fc: thresholds must be numbers, not complex"),
        ({"fc__thresholds": np.ones((2, 4))}, "fc: 6 inputs cannot be cut into 2 blocks"),
        ({"fc__threshold": [1, 2, 3, 4]}, "array `fc/threshold` is none that the format has"),
        ({"fc__stride": [1, 1]}, "array `fc/stride` is none"),
        ({"fc__planes": 2}, "fc: data of 1 bits have no 2 planes"),
        ({"fc__planes": [1, 1]}, "fc: `planes` must be 1 numbers, not 2"),
        ({"out__thresholds": [0, 0]}, "out: an output layer of 3 classes needs as many"),
        ({"out__offset": 1 << 31}, "out: the offset must fit 32 bits, not 2147483648"),
        ({"out__offset": -1 << 31}, "out: the offset must fit 32 bits, not -2147483648"),
        ({"out__kind": np.array(None)}, "array out/kind is a Python object"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_one_sentence(changes, message, tmp_path):
    np.savez(tmp_path / "mine.npz", **plain(**changes))
    with pytest.raises(NetworkError, match=f"^mine.npz: .*{message}") as error:
        npz.load(tmp_path / "mine.npz")
    assert "\n" not in str(error.value)
    with pytest.raises(NetworkError, match="mine.npz"):
        load_network(tmp_path / "mine.npz")


def test_settings_of_convolutions(tmp_path):
    arrays = {
        "format": "heliobit network 1", "input_shape": [1, 5, 5], "input_bits": 1,
        "layers": ["c", "out"], "c/kind": "convolution", "c/weights": np.ones((1, 3, 3, 2)),
        "c/thresholds": [4, 5], "c/padding": 1, "c/pool": [5, 2], "c/pool_ceil": 1,
        "c/pool_all": [0, 1], "out/kind": "output", "out/weights": np.ones((6, 2)),
        "out/thresholds": [0, 0],
    }  # fmt: skip
    np.savez(tmp_path / "n.npz", **arrays)
    layer = npz.load(tmp_path / "n.npz").layers[0]
    assert (layer.padding, layer.pool, layer.pool_ceil) == ((1, 1), (5, 2), True)
    assert layer.pool_all.tolist() == [False, True]
    for name, value, message in (
        ("c/pool", [1, 2, 3], "c: `pool` must be 1 or 2 numbers, not 3"),
        ("c/stride", 0, "c: stride is two numbers"),
        ("c/pool_ceil", [True, False], "c: `pool_ceil` must be one value"),
        ("c/pool_all", [0, 2], "c: `pool_all` must be true or false"),
        ("c/padding", "same", "c: `padding` must be whole numbers"),
    ):
        np.savez(tmp_path / "n.npz", **(arrays | {name: value}))
        with pytest.raises(NetworkError, match=f"^n.npz: {message}"):
            npz.load(tmp_path / "n.npz")


def test_files_of_other_kinds_and_broken_ones(tmp_path):
    path = tmp_path / "n.npz"
    npz.save(dense_network(), path)
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[:200], whole[:-30], b"\x93NUMPY nothing"):
        path.write_bytes(content)
        with pytest.raises(NetworkError, match="^n.npz: "):
            load_network(path)
        with pytest.raises(NetworkError, match="^n.npz: "):
            npz.load(path)
    damaged = bytearray(whole)
    place = whole.index(np.packbits(dense_network().layers[0].weights).tobytes())
    damaged[place] ^= 0x55  # its checksum no longer holds
    path.write_bytes(bytes(damaged))
    with pytest.raises(NetworkError, match="^n.npz: array fc1/weights is damaged"):
        npz.load(path)
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(NetworkError, match="single array"):
        npz.load(path)
