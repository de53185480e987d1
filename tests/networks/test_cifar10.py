"""CIFAR-10: both archives' formats, the split, the published network and a smoke training."""

from __future__ import annotations

import json
import pickle
import struct
from types import SimpleNamespace

import numpy as np
import pytest

from networks import cifar10, npz
from tests.needs import need


def images(seed, count=20):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    pixels = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    pixels[:, :, :16] = (labels * 25)[:, None, None, None]  # something to learn
    return pixels, labels


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, as in the archive."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, data):
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(data)

    dispatch[bytes] = save_bytes


def write_pickle(path, batch):
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump(batch)


def write_archive(folder, kind, count=20):
    folder.mkdir(parents=True, exist_ok=True)
    everything = []
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        pixels, labels = images(number, count)
        everything.append((pixels, labels))
        flat = pixels.reshape(count, 3072)
        if kind == "bin":
            rows = np.concatenate([labels.astype(np.uint8)[:, None], flat], axis=1)
            (folder / f"{name}.bin").write_bytes(rows.tobytes())
        else:
            write_pickle(
                folder / name,
                {b"batch_label": b"one of six", b"labels": labels.tolist(), b"data": flat,
                 b"filenames": [b"image.png"] * count},
            )
    return everything


@pytest.mark.parametrize("kind", ["bin", "py"])
@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin", "cifar-10-batches-py"])
def test_parts_are_those_of_the_archive(tmp_path, monkeypatch, kind, inner):
    batches = write_archive(tmp_path / inner, kind)
    monkeypatch.setenv(cifar10.CIFAR10_DIR, str(tmp_path))
    training = np.concatenate([pixels for pixels, _ in batches[:5]])
    labels = np.concatenate([said for _, said in batches[:5]])
    wanted = {
        "training": (training, labels),
        "fit": (training[:90], labels[:90]),
        "validation": (training[90:], labels[90:]),
        "test": batches[5],
    }
    for part, (pixels, said) in wanted.items():
        got = cifar10.load_part(part)
        assert got.pixels.dtype == np.uint8 and got.labels.dtype == np.int64
        np.testing.assert_array_equal(got.pixels, pixels)
        np.testing.assert_array_equal(got.labels, said)


def test_numpy_1_pickles_are_read(tmp_path):
    """The archive's arrays name numpy.core, where numpy 2 has numpy._core."""
    write_archive(tmp_path, "py")
    path = tmp_path / "test_batch"
    old = path.read_bytes().replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")
    path.write_bytes(old)
    np.testing.assert_array_equal(cifar10.load_part("test", tmp_path).pixels, images(5)[0])


def test_missing_things_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv(cifar10.CIFAR10_DIR, raising=False)
    with pytest.raises(FileNotFoundError, match="set CIFAR10_DIR to the folder"):
        cifar10.load_part("fit")
    with pytest.raises(FileNotFoundError, match="There is no data_batch_1.bin or data_batch_1 in"):
        cifar10.load_part("fit", tmp_path)
    with pytest.raises(ValueError, match="no part 'held_out' of CIFAR-10; choose one of training"):
        cifar10.load_part("held_out", tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("test_batch.bin", b"", "its 0 bytes are not images of 3073"),
        ("test_batch.bin", bytes(3072), "its 3072 bytes are not images"),
        ("test_batch.bin", b"\x0a" + bytes(3072), "its labels are not 0 to 9"),
        ("test_batch", b"garbage", "test_batch is not a batch of CIFAR-10"),
        ("test_batch", pickle.dumps({b"data": 1}), "not a batch of CIFAR-10: b'labels'"),
        (
            "test_batch",
            pickle.dumps({b"data": 1, b"labels": [1]}),
            "1 labels, but data of int64",
        ),
        ("test_batch", pickle.dumps(SimpleNamespace()), "it asks for types.SimpleNamespace"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        cifar10.load_part("test", tmp_path)


def training_module():
    need("torch")
    from networks.training import cifar10 as training

    return training


def test_full_network_is_the_published_one():
    training = training_module()
    network = training.build(0)
    said = [(tuple(layer.weight.shape), getattr(layer, "votes", 1)) for layer in network.layers]
    assert said == [
        ((3, 3, 3, 198), 1),
        ((198, 3, 3, 198), 33),
        ((198, 3, 3, 354), 33),
        ((354, 3, 3, 354), 59),
        ((354, 3, 3, 738), 59),
        ((738, 3, 3, 406), 123),
        ((3654, 1102), 63),
        ((1102, 1102), 19),
        ((1102, 10), 1),
    ]
    assert [layer.pool for layer in network.layers[:6]] == [(n, n) for n in (1, 2, 1, 2, 1, 3)]
    assert network.layers[0].planes == 8
    chained = training.build(0, majority=False)
    assert all(layer.votes == 1 for layer in chained.layers[:-1])


@pytest.mark.parametrize("scale", [0.01, 0.05, 0.13, 0.3])
def test_scaled_networks_keep_to_the_mapping(scale):
    training = training_module()
    network = training.build(0, scale)
    for layer in network.layers[1:6]:
        assert layer.votes % 2 == 1
        largest = -(-layer.channels // layer.votes)
        assert largest * 9 <= training.BLOCK
    for layer in network.layers[6:8]:
        assert layer.votes % 2 == 1 and -(-layer.inputs // layer.votes) <= training.BLOCK
    with pytest.raises(ValueError, match="A scale must be positive, not 0"):
        training.build(0, 0)


def test_distort_crops_and_mirrors():
    training = training_module()
    from networks.training.needs_torch import torch

    torch.manual_seed(3)
    data = torch.randint(1, 256, (40, 3, 32, 32)).float()
    moved = training.distort(data, 1.0)
    assert moved.shape == data.shape
    padded = np.pad(data.numpy(), ((0, 0), (0, 0), (4, 4), (4, 4)))
    seen = set()
    for image, got in zip(padded, moved.numpy(), strict=True):
        sides = {False: image, True: image[:, :, ::-1]}
        found = [
            (mirrored, down, right)
            for mirrored, side in sides.items()
            for down in range(9)
            for right in range(9)
            if np.array_equal(got, side[:, down : down + 32, right : right + 32])
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 20 and {mirrored for mirrored, _, _ in seen} == {False, True}
    still = training.distort(data, 0.0).numpy()
    same = [np.array_equal(a, b) for a, b in zip(still, data.numpy(), strict=True)]
    assert 5 < sum(same) < 35


def test_smoke_training_on_synthetic_images(tmp_path, monkeypatch):
    training = training_module()
    write_archive(tmp_path / "data", "bin")
    monkeypatch.setenv(cifar10.CIFAR10_DIR, str(tmp_path / "data"))
    arguments = ["--scale", "0.05", "--epochs", "2", "--batch", "15", "--seeds", "0"]
    arguments += ["--checkpoints", str(tmp_path / "ck"), "--output", str(tmp_path / "out")]
    assert training.main(arguments) == 0
    name = "cifar10_majority_scale0.05_planes8"
    record = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert record["examples"] == {"fit": 90, "validation": 10, "test": 20}
    assert record["export"] == {
        "inputs": 30, "differing_preactivations": 0, "differing_predictions": 0
    }
    network = npz.load(tmp_path / "out" / f"{name}.npz")
    assert network.input_shape == (3, 32, 32) and network.layers[1].votes == 3
    assert network.layers[6].votes == 5 and network.layers[5].pool == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", "0"], "--scale must be positive, not 0"),
        (["--batch", "0"], "--batch must be at least 1, not 0"),
        (["--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["--seeds", "1", "1"], "--seeds must be different and not negative"),
        (["--threads", "0"], "--threads must be at least 1, not 0"),
    ],
)
def test_command_refuses(arguments, message, capsys):
    training = training_module()
    with pytest.raises(SystemExit):
        training.main(arguments)
    assert message in capsys.readouterr().err


def test_command_says_in_one_sentence_that_data_are_missing(monkeypatch, capsys):
    training = training_module()
    monkeypatch.delenv(cifar10.CIFAR10_DIR, raising=False)
    assert training.main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith("CIFAR-10 is not in this repository") and said.count("\n") == 1
