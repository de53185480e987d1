"""The training loop, the seeds' choice, and the MNIST commands on images made up here."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from networks import mnist as mnist_data
from networks import npz
from networks.form import evaluate
from tests.needs import need

need("torch")

from networks.training import (  # noqa: E402
    cifar10,
    ecg,
    eight_bit,
    loop,
    mnist,
    planes,
    record,
    seeds,
    widths,
)
from networks.training.layers import BinaryDense, BinaryNetwork, BinaryOutput  # noqa: E402
from networks.training.loop import Examples, Recipe  # noqa: E402
from networks.training.needs_torch import torch  # noqa: E402

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]
TINY = Recipe(4, 32, 8e-3, augmentation=0.5, weight_errors=0.05)


def tiny_network(seed):
    torch.manual_seed(seed)
    return BinaryNetwork(
        [BinaryDense(12, 9, planes=2), BinaryDense(9, 7, votes=3), BinaryOutput(7, 3)], (12,), 8
    )


def tiny_examples(count=150):
    random = np.random.default_rng(1)
    data = random.integers(0, 256, (count, 12), dtype=np.uint8)
    return Examples(torch.tensor(data), torch.tensor(data[:, :6].astype(np.int64).sum(axis=1) % 3))


def noisy(data, strength):
    return (data + strength * 20 * torch.randn(data.shape)).clamp(0, 255)


def states(path):
    """All of a checkpoint, as text: tensors with every bit."""
    state = torch.load(path, weights_only=True)
    torch.set_printoptions(profile="full", precision=17)
    try:
        return repr(state)
    finally:
        torch.set_printoptions(profile="default")


@pytest.mark.parametrize("stop", [1, 9])
def test_a_resumed_training_is_the_uninterrupted_one(tmp_path, stop):
    """Interrupted within an epoch or at its end: bit for bit the same weights and optimizer."""
    examples = tiny_examples()
    whole = tiny_network(5)
    loop.train(whole, examples, TINY, 5, noisy, tmp_path / "whole.pt")

    steps = 0

    def interrupted(data, strength):
        nonlocal steps
        steps += 1
        if steps == stop:
            raise KeyboardInterrupt
        return noisy(data, strength)

    path = tmp_path / "parts.pt"
    with pytest.raises(KeyboardInterrupt):
        loop.train(tiny_network(5), examples, TINY, 5, interrupted, path)
    torch.manual_seed(999)  # what else happened in between does not matter
    resumed = loop.train(tiny_network(5), examples, TINY, 5, noisy, path, validation=examples)
    assert states(path) == states(tmp_path / "whole.pt")
    for name, value in whole.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, resumed.state_dict()[name]), name
    assert not resumed.training
    assert not list(tmp_path.glob(".*"))


def test_a_finished_training_is_taken_as_it_is(tmp_path):
    path = tmp_path / "done.pt"
    loop.train(tiny_network(5), tiny_examples(), TINY, 5, noisy, path)
    before = path.read_bytes()

    def never(data, strength):
        raise AssertionError("it trains again")

    loop.train(tiny_network(5), tiny_examples(), TINY, 5, never, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("recipe", "seed", "count"),
    [(replace(TINY, epochs=5), 5, 150), (TINY, 6, 150), (TINY, 5, 151)],
)
def test_the_checkpoint_of_another_training_is_refused(tmp_path, recipe, seed, count):
    path = tmp_path / "done.pt"
    loop.train(tiny_network(5), tiny_examples(), replace(TINY, epochs=4), 5, noisy, path)
    with pytest.raises(ValueError, match="done.pt is the checkpoint of another training"):
        loop.train(tiny_network(5), tiny_examples(count), recipe, seed, noisy, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged, or no checkpoint"),
        (b"extra text\n", "is damaged, or no checkpoint"),
        (None, "is damaged, or no checkpoint"),
        ([1, 2], "is a torch file, but not the checkpoint of a training"),
        ({"network": {}, "epochs": 4}, "is a torch file, but not the checkpoint of a training"),
    ],
)
def test_what_is_no_checkpoint_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "done.pt"
    loop.train(tiny_network(5), tiny_examples(), replace(TINY, epochs=1), 5, noisy, path)
    if content is None:  # cut off
        path.write_bytes(path.read_bytes()[:-1000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"done.pt {message}.*: move it away, or") as error:
        loop.train(tiny_network(5), tiny_examples(), replace(TINY, epochs=1), 5, noisy, path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def test_too_few_examples_are_refused():
    with pytest.raises(ValueError, match="31 examples are fewer than a batch of 32"):
        loop.train(tiny_network(0), tiny_examples(31), TINY, 0)


def test_weight_errors_are_of_training_alone(monkeypatch):
    """Every step of an error-aware training sees wrong weights; what is evaluated has none."""
    seen = []
    first = BinaryDense.forward

    def forward(self, x):
        signs = self.signs()
        seen.append((self.training, float((signs != (self.weight > 0) * 2 - 1).float().mean())))
        return first(self, x)

    monkeypatch.setattr(BinaryDense, "forward", forward)
    examples = tiny_examples()
    recipe = replace(TINY, weight_errors=0.2)
    network = loop.train(tiny_network(1), examples, recipe, 1, noisy, validation=examples)
    trained = [share for training, share in seen if training]
    assert len(trained) == 2 * 4 * (150 // 32)
    assert 0.15 < np.mean(trained) < 0.25
    assert {share for training, share in seen if not training} == {0.0}
    assert all(layer.weight_errors == 0.2 for layer in network.layers)
    seen.clear()
    loop.train(tiny_network(1), examples, replace(TINY, weight_errors=0.0), 1, noisy)
    assert {share for _, share in seen} == {0.0}


def test_training_learns():
    data = torch.tensor(np.random.default_rng(0).integers(0, 256, (600, 12), dtype=np.uint8))
    examples = Examples(data, (data[:, :6].sum(1) > data[:, 6:].sum(1)).long())
    network = tiny_network(0)
    loop.train(network, examples, Recipe(15, 50, 2e-2), 0)
    assert loop.accuracy(network, examples) > 0.8


# The MNIST commands, on images of the real files' format


def write_idx(path, magic, values):
    header = struct.pack(f">{1 + values.ndim}i", magic, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder of 140 training images, the last 40 for validation, and 60 test images."""
    random = np.random.default_rng(4)
    bars = random.integers(0, 256, (10, 28, 28))
    folder = tmp_path / "images"
    folder.mkdir()
    for prefix, count in (("train", 140), ("t10k", 60)):
        labels = np.arange(count) % 10
        pixels = np.clip(bars[labels] + random.normal(0, 40, (count, 28, 28)), 0, 255)
        write_idx(folder / f"{prefix}-images-idx3-ubyte", 2051, pixels)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", 2049, labels)
    monkeypatch.setenv(mnist_data.MNIST_DIR, str(folder))
    monkeypatch.setattr(mnist_data, "VALIDATION", 40)
    return folder


def options(tmp_path, *more):
    return [*more, "--checkpoints", str(tmp_path / "ck"), "--output", str(tmp_path / "out")]


def read_json(path):
    text = path.read_text(encoding="utf-8")
    assert "/tmp" not in text and str(path.parent) not in text
    return json.loads(text)


EXPORTED = {"inputs": 100, "differing_preactivations": 0, "differing_predictions": 0}


@pytest.fixture
def small_names(monkeypatch):
    small = Recipe(6, 20, 8e-3, 0.1)
    shapes = {
        "small_majority": mnist.Shape((70, 64), 4, True, small),
        "small": mnist.Shape((20, 8), 4, False, small),
    }
    monkeypatch.setattr(mnist, "NETWORKS", shapes)


def test_committed_networks_are_those_of_the_plan():
    assert mnist.NETWORKS == {
        "mnist_1102_64_majority": mnist.Shape((1102, 64), 4, True, Recipe(25, 512, 8e-3, 0.4)),
        "mnist_1102_64": mnist.Shape((1102, 64), 4, False, Recipe(25, 512, 8e-3, 0.4)),
        "mnist_1024_1024": mnist.Shape((1024, 1024), 4, False, Recipe(36, 512, 6e-3, 0.6)),
    }
    network = mnist.NETWORKS["mnist_1102_64_majority"].build(0)
    assert [layer.votes for layer in network.layers[:-1]] == [1, 19]
    assert seeds.memory(network) == {
        "weight_bits": 784 * 1102 + 1102 * 64 + 64 * 10,
        "threshold_bits": 1102 * 14 + 19 * 64 * 6 + 10 * 7,
    }


@pytest.mark.parametrize("name", ["small", "small_majority"])
def test_mnist_command_writes_network_and_record(tmp_path, images, small_names, name):
    assert mnist.main(options(tmp_path, name, "--seeds", "3", "1", "2")) == 0
    said = read_json(tmp_path / "out" / f"{name}.json")
    assert said["command"] == f"python -m networks.training.mnist {name} --seeds 3 1 2"
    assert said["examples"] == {"fit": 100, "validation": 40, "test": 60}
    assert said["recipe"]["epochs"] == 6 and said["export"] == EXPORTED
    assert set(said["versions"]) == {"python", "numpy", "torch"}
    by_seed = {entry["seed"]: entry for entry in said["seeds"]}
    assert list(by_seed) == [3, 1, 2]
    best = max(entry["validation_accuracy"] for entry in said["seeds"])
    assert said["kept_seed"] == min(
        seed for seed, entry in by_seed.items() if entry["validation_accuracy"] == best
    )
    tests = sorted(entry["test_accuracy"] for entry in said["seeds"])
    assert said["median_test_accuracy"] == tests[1]

    network = npz.load(tmp_path / "out" / f"{name}.npz")
    assert network.name == name and network.weight_bits == said["network"]["weight_bits"]
    test = mnist_data.load_part("test")
    right = evaluate(network, test.pixels).predictions == test.labels
    assert round(float(right.mean()), 6) == by_seed[said["kept_seed"]]["test_accuracy"]
    assert right.mean() > 0.3
    assert sorted(path.name for path in (tmp_path / "ck").iterdir()) == [
        f"{name}_{seed}.pt" for seed in (1, 2, 3)
    ]


def test_error_aware_training_is_an_option(tmp_path, images, small_names):
    arguments = ["small", "--seeds", "0", "--epochs", "1", "--weight-errors", "0.05"]
    assert mnist.main(options(tmp_path, *arguments)) == 0
    said = read_json(tmp_path / "out" / "small_errors0.05.json")
    assert said["recipe"]["weight_errors"] == 0.05 and said["export"] == EXPORTED
    assert "mnist small --weight-errors 0.05 --seeds 0 --epochs 1" in said["command"]
    assert (tmp_path / "ck" / "small_errors0.05_0.pt").exists()


def test_mnist_command_takes_finished_checkpoints(tmp_path, images, small_names, monkeypatch):
    arguments = options(tmp_path, "small", "--seeds", "0", "1")
    assert mnist.main(arguments) == 0
    first = (tmp_path / "out" / "small.npz").read_bytes()
    text = (tmp_path / "out" / "small.json").read_text()

    def never(data, strength):
        raise AssertionError("it trains again")

    monkeypatch.setattr(mnist, "distort", never)
    assert mnist.main(arguments) == 0
    assert (tmp_path / "out" / "small.npz").read_bytes() == first
    assert (tmp_path / "out" / "small.json").read_text() == text


def test_validation_only_leaves_the_test_set_alone(tmp_path, images, small_names, capsys):
    for path in images.glob("t10k*"):
        path.unlink()
    arguments = options(tmp_path, "small", "--seeds", "0", "--epochs", "2", "--validation-only")
    assert mnist.main(arguments) == 0
    assert "validation accuracy" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.fixture
def wrong_export(monkeypatch):
    """Every exported network has other thresholds than its training graph."""
    convert = seeds.state_dict.convert

    def wrong(state, name):
        folded = convert(state, name)
        last = folded.layers[-1]
        raised = replace(last, thresholds=last.thresholds + 1)
        return folded.with_layers((*folded.layers[:-1], raised))

    monkeypatch.setattr(seeds.state_dict, "convert", wrong)


def files(folder):
    """Every file and folder below a folder, with what the files hold."""
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def test_export_refuses_a_network_that_differs(tmp_path, images, wrong_export):
    network = mnist.Shape((20,), 4).build(0)
    folder = tmp_path / "out"
    with pytest.raises(RuntimeError, match="wrong: .* differs from its training graph on 60 of 60"):
        seeds.export(network, "wrong", folder / "wrong.npz", [mnist.mnist_part("test")])
    assert files(folder) == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_export_leaves_the_file_that_was_there(tmp_path, images, monkeypatch, error):
    path = tmp_path / "out" / "net.npz"
    parts = [mnist.mnist_part("test")]
    seeds.export(mnist.Shape((20,), 4).build(0), "net", path, parts)
    before = files(path.parent)
    assert list(before) == [path]

    def interrupted(network, data):
        raise error

    monkeypatch.setattr(seeds, "evaluate", interrupted)
    with pytest.raises(error):
        seeds.export(mnist.Shape((20,), 4).build(1), "net", path, parts)
    assert files(path.parent) == before


def test_a_failed_export_is_one_sentence_and_leaves_network_and_record(
    tmp_path, images, small_names, capsys, request
):
    assert mnist.main(options(tmp_path, "small", "--seeds", "0", "--epochs", "1")) == 0
    before = files(tmp_path / "out")
    request.getfixturevalue("wrong_export")
    capsys.readouterr()
    assert mnist.main(options(tmp_path, "small", "--seeds", "1", "--epochs", "1")) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("small: the exported network differs from its training graph on 100 of")
    assert said.endswith("small.npz was not written")
    assert files(tmp_path / "out") == before


def test_errors_that_no_user_can_mend_keep_their_traceback():
    def body():
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="a mistake of ours"):
        record.in_one_sentence(body)


def test_widths_command(tmp_path, images, monkeypatch):
    monkeypatch.setattr(widths, "RECIPE", Recipe(2, 20, 8e-3, 0.2))
    assert widths.main(options(tmp_path, "--widths", "5", "8", "--seeds", "0", "1")) == 0
    said = read_json(tmp_path / "out" / "widths.json")
    assert said["command"] == "python -m networks.training.widths --widths 5 8 --seeds 0 1"
    names = ["widths_5", "widths_8", "widths_5_5", "widths_8_8"]
    assert [entry["name"] for entry in said["networks"]] == names
    for entry in said["networks"]:
        network = npz.load(tmp_path / "out" / "widths" / f"{entry['name']}.npz")
        assert network.weight_bits == entry["network"]["weight_bits"]
        assert entry["network"]["planes"] == 4 and entry["network"]["mapping"] == "chained"
        assert entry["export"] == EXPORTED
        assert len(entry["seeds"]) == 2


def test_planes_command(tmp_path, images, monkeypatch):
    monkeypatch.setattr(planes, "RECIPE", Recipe(2, 20, 8e-3, 0.2))
    monkeypatch.setattr(planes, "HIDDEN", (6, 5))
    assert planes.main(options(tmp_path, "--planes", "8", "1", "--epochs", "1")) == 0
    said = read_json(tmp_path / "out" / "planes.json")
    assert said["command"] == "python -m networks.training.planes --planes 8 1 --seeds 0 --epochs 1"
    assert [entry["network"]["planes"] for entry in said["networks"]] == [8, 1]
    for entry in said["networks"]:
        assert entry["recipe"]["epochs"] == 1
        network = npz.load(tmp_path / "out" / "planes" / f"{entry['name']}.npz")
        assert network.layers[0].planes == entry["network"]["planes"] and network.input_bits == 8


def test_eight_bit_command(tmp_path, images, monkeypatch):
    monkeypatch.setattr(eight_bit, "RECIPE", Recipe(8, 20, 8e-3, 0.1))
    assert eight_bit.main(options(tmp_path, "--widths", "12", "--seeds", "0")) == 0
    said = read_json(tmp_path / "out" / "eight_bit.json")
    one, two = said["networks"]
    assert (one["name"], two["name"]) == ("eight_bit_12", "eight_bit_12_12")
    assert one["network"]["weight_bits"] == 8 * (784 * 12 + 12 * 10)
    assert two["network"]["bias_bits"] == 32 * (12 + 12 + 10)
    assert one["median_test_accuracy"] > 0.8
    assert abs(one["median_test_accuracy"] - one["kept_float_test_accuracy"]) < 0.05
    assert "8-bit symmetric" in said["quantisation"]


def test_eight_bit_layers_are_integer_arithmetic():
    """Against Python's integers: sums, the rounded multiplier and shift, the clip at 0 and 255."""
    random = np.random.default_rng(3)
    layer = eight_bit.EightBitLayer(
        random.integers(-127, 128, (30, 6)).astype(np.int8),
        random.integers(-20_000, 20_000, 6).astype(np.int32),
        multiplier=(3 << 28) + 12345,
        shift=38,
    )
    x = random.integers(0, 256, (50, 30)).astype(np.uint8)
    wanted = np.zeros((50, 6), dtype=np.int64)
    outputs = np.zeros((50, 6), dtype=np.int64)
    for example in range(50):
        for neuron in range(6):
            total = int(layer.biases[neuron])
            for value, weight in zip(x[example], layer.weights[:, neuron], strict=True):
                total += int(value) * int(weight)
            wanted[example, neuron] = total
            scaled = (total * layer.multiplier + (1 << 37)) // (1 << 38)
            outputs[example, neuron] = min(255, max(0, scaled))
    np.testing.assert_array_equal(layer.sums(x), wanted)
    np.testing.assert_array_equal(layer.activations(x), outputs)
    assert {0, 255} <= set(outputs.ravel().tolist()) and len(np.unique(outputs)) > 20
    huge = replace(layer, biases=np.full(6, 2**31 - 1, dtype=np.int32))
    with pytest.raises(OverflowError, match="does not fit 32 bits"):
        huge.sums(x)


def test_quantised_network_is_near_its_float_one():
    torch.manual_seed(2)
    network = eight_bit.FloatNetwork([784, 24, 16, 10])
    data = torch.randint(0, 256, (400, 784), dtype=torch.uint8)
    network.train()(data.float())  # gives batch norm something to fold
    network.eval()
    quantised = eight_bit.quantise(network, data)
    for layer in quantised.layers[:-1]:
        assert np.abs(layer.weights.astype(int)).max() == 127
        assert 1 << 29 <= layer.multiplier <= 1 << 30
    with torch.no_grad():
        wanted = network(data.float()).numpy()
    got = quantised.logits(data.numpy())
    scale = (got * wanted).sum() / (got * got).sum()
    error = np.abs(got * scale - wanted).max() / np.abs(wanted).max()
    assert error < 0.05
    assert (got.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.9
    with pytest.raises(ValueError, match="no binary weights to flip, not 0.1 of them"):
        network.set_weight_errors(0.1)


COMMANDS = [(mnist, ["mnist_1102_64"]), (widths, []), (planes, []), (eight_bit, [])]
OTHERS = [(cifar10, []), (ecg, [])]


@pytest.mark.parametrize(("module", "first"), COMMANDS + OTHERS)
def test_commands_do_not_replace_committed_networks_unasked(module, first, capsys):
    assert module._parser().parse_args(first).output == Path("build/trained")
    with pytest.raises(SystemExit):
        module.main(["--help"])
    assert "(default: build/trained; networks/trained replaces the committed ones)" in " ".join(
        capsys.readouterr().out.split()
    )


def test_mnist_command_writes_to_the_build_folder(tmp_path, images, small_names, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["small", "--seeds", "0", "--epochs", "1"]
    assert mnist._parser().parse_args(arguments).output == Path("build/trained")
    assert mnist.main(arguments) == 0
    names = sorted(path.name for path in (tmp_path / "build" / "trained").iterdir())
    assert names == ["small.json", "small.npz"]
    said = read_json(tmp_path / "build" / "trained" / "small.json")
    assert said["command"] == "python -m networks.training.mnist small --seeds 0 --epochs 1"


def test_help_and_documentation_agree_on_how_long_cifar10_takes(capsys):
    with pytest.raises(SystemExit):
        cifar10.main(["--help"])
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for said in (capsys.readouterr().out, text):
        said = " ".join(said.split())
        assert "two and a half years" in said and "four months" in said and "weeks" not in said


@pytest.mark.parametrize(("module", "first"), COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1", "1"], "--seeds must be different and not negative, not [1, 1]"),
        (["--seeds", "-1"], "--seeds must be different and not negative, not [-1]"),
        (["--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["--threads", "0"], "--threads must be at least 1, not 0"),
    ],
)
def test_commands_refuse(module, first, arguments, message, capsys):
    with pytest.raises(SystemExit):
        module.main(first + arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (mnist, ["mnist_2"], "invalid choice: 'mnist_2'"),
        (mnist, ["mnist_1102_64", "--weight-errors", "0.5"], "must be 0 to less than 0.5, not 0.5"),
        (widths, ["--widths", "0"], "--widths must be different and at least 1, not [0]"),
        (eight_bit, ["--widths", "4", "4"], "--widths must be different and at least 1"),
        (planes, ["--planes", "9"], "--planes must be different, each 1 to 8, not [9]"),
    ],
)
def test_commands_refuse_their_own(module, arguments, message, capsys):
    with pytest.raises(SystemExit):
        module.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("module", "first"), COMMANDS)
def test_commands_have_help_with_an_example(module, first, capsys):
    with pytest.raises(SystemExit) as status:
        module.main(["--help"])
    said = capsys.readouterr().out
    assert status.value.code == 0
    assert f"Example: MNIST_DIR=~/mnist python -m {module.__name__}" in " ".join(said.split())


@pytest.mark.parametrize(("module", "first"), COMMANDS)
def test_missing_mnist_is_one_sentence(module, first, monkeypatch, capsys):
    monkeypatch.delenv(mnist_data.MNIST_DIR, raising=False)
    assert module.main(first) == 1
    said = capsys.readouterr().err
    assert said.startswith("MNIST is not in this repository: set MNIST_DIR")
    assert said.count("\n") == 1


def test_another_trainings_checkpoint_is_one_sentence(tmp_path, images, small_names, capsys):
    assert mnist.main(options(tmp_path, "small", "--seeds", "0", "--epochs", "1")) == 0
    assert mnist.main(options(tmp_path, "small", "--seeds", "0")) == 1
    said = capsys.readouterr().err
    assert "small_0.pt is the checkpoint of another training" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("module", ["mnist", "digits"])
def test_missing_torch_is_one_sentence(tmp_path, module):
    """A command says how to get PyTorch; an import raises the same."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no', name='torch')\n")
    code = f"import networks.training.{module}"
    for arguments, last in (
        (["-m", f"networks.training.{module}", "--help"], "Training needs torch, which is not"),
        (["-c", code], "ModuleNotFoundError: Training needs torch, which is not installed"),
    ):
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""},
        )
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(last)
        assert ("Traceback" in done.stderr) == (arguments[0] == "-c")


def test_best_seed_is_the_lowest_of_equal_ones():
    assert record.best_seed({4: 0.9, 2: 0.95, 1: 0.95, 0: 0.1}) == 1
