"""The digits network: its split, encoding, files, evaluation, program image and training."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace

import numpy as np
import pytest

from behavioral_models.geometry import HELIOBIT, JEBALI_2024, TEST_DIE, TINY, ChipGeometry
from behavioral_models.passes import Configuration
from networks import digits
from networks.digits import DigitsNetwork


@pytest.fixture(scope="module")
def committed():
    return DigitsNetwork.load()


def random_network(seed):
    """Draw a network whose thresholds are near the middle, so that ties are common."""
    random = np.random.default_rng(seed)
    pairs = random.permutation(64 * 16)[:116]
    return DigitsNetwork(
        pixel=pairs // 16,
        level=pairs % 16 + 1,
        hidden_weights=random.integers(0, 2, (116, 64)).astype(bool),
        hidden_thresholds=random.integers(52, 64, 64),
        output_weights=random.integers(0, 2, (64, 10)).astype(bool),
        output_thresholds=random.integers(28, 36, 10),
    )


def slow_neuron(weights, inputs, threshold):
    """Preactivation of one neuron: count equal weights and inputs, take the threshold off."""
    count = 0
    for weight, value in zip(weights, inputs, strict=True):
        if bool(weight) == bool(value):
            count += 1
    return count - int(threshold)


def slow_evaluate(network, image):
    """Evaluate one image with loops alone: hidden and class preactivations, and the class."""
    inputs = []
    for pixel, level in zip(network.pixel, network.level, strict=True):
        inputs.append(1 if image[pixel] >= level else 0)
    hidden = [
        slow_neuron(network.hidden_weights[:, n], inputs, network.hidden_thresholds[n])
        for n in range(64)
    ]
    bits = [1 if value > 0 else 0 for value in hidden]
    classes = [
        slow_neuron(network.output_weights[:, n], bits, network.output_thresholds[n])
        for n in range(10)
    ]
    best = 0
    for digit in range(1, 10):
        if classes[digit] > classes[best]:
            best = digit
    return hidden, classes, best


def slow_bank(image, geometry, bank, inputs):
    """Run one bank of a program image row by row, as the neuron registers do: shift, then count."""
    first = bank * geometry.macros_per_bank
    macros = range(first, first + geometry.macros_per_bank)
    register = np.zeros(geometry.columns, dtype=int)
    for row in range(58, 64):
        register = 2 * register + sum(image[macro, row].astype(int) for macro in macros)
    for row in range(58):
        for position, macro in enumerate(macros):
            number = position * 58 + row
            x = bool(inputs[number]) if number < len(inputs) else False
            register = register - (image[macro, row] == x)
    return -register


# The split


def test_parts_are_disjoint_and_complete():
    parts = {name: set(digits.part_indices(name).tolist()) for name in digits.PARTS}
    assert parts["training"] | parts["held_out"] == set(range(1797))
    assert not parts["training"] & parts["held_out"]
    assert parts["fit"] | parts["validation"] == parts["training"]
    assert not parts["fit"] & parts["validation"]
    assert len(parts["held_out"]) == 360  # a fifth of 1,797, rounded up
    assert len(parts["validation"]) == 288  # a fifth of 1,437, rounded up


@pytest.mark.parametrize("part", digits.PARTS)
def test_parts_are_stratified(part):
    everything = np.bincount(np.concatenate([digits.load_part(p).labels for p in digits.PARTS[1:]]))
    counts = np.bincount(digits.load_part(part).labels, minlength=10)
    assert np.abs(counts - everything * counts.sum() / everything.sum()).max() <= 2


def test_held_out_images_are_fixed():
    """The split is a contract: were it to change, images trained on could become held out."""
    numbers = ",".join(map(str, digits.part_indices("held_out"))).encode()
    assert (
        hashlib.sha256(numbers).hexdigest()
        == "7fd5832c1159ce30538cb813ee0d973c01b3129a57a41476d74b954d604c4076"
    )


def test_load_part_gives_the_pixels_of_its_indices():
    from sklearn.datasets import load_digits

    data = load_digits()
    images = digits.load_part("held_out")
    np.testing.assert_array_equal(images.pixels, data.data[digits.part_indices("held_out")])
    np.testing.assert_array_equal(images.labels, data.target[digits.part_indices("held_out")])


def test_unknown_part_is_refused():
    with pytest.raises(ValueError, match="There is no part 'test' of the digits; choose one of"):
        digits.part_indices("test")


# The encoding


def test_encode_compares_with_the_level():
    pixels = np.zeros((3, 64), dtype=int)
    pixels[:, 5] = [6, 7, 8]
    bits = digits.encode(pixels, np.array([5, 5, 0]), np.array([7, 8, 1]))
    np.testing.assert_array_equal(bits, [[0, 0, 0], [1, 0, 0], [1, 1, 0]])


def test_encode_refuses_other_shapes_and_values():
    pixel, level = np.array([0]), np.array([1])
    with pytest.raises(ValueError, match=r"Images must be an array \(batch, 64\), not of shape"):
        digits.encode(np.zeros((1, 8, 8)), pixel, level)
    with pytest.raises(ValueError, match="Pixels must be from 0 to 16, not from 0 to 255"):
        digits.encode(np.array([[0] * 63 + [255]]), pixel, level)
    with pytest.raises(ValueError, match="Pixels must be from 0 to 16, not from -1 to 0"):
        digits.encode(np.array([[0] * 63 + [-1]]), pixel, level)


def test_encode_of_no_images():
    assert digits.encode(np.zeros((0, 64)), np.array([0]), np.array([1])).shape == (0, 1)


def test_encoding_takes_the_informative_bit_first_and_no_copy_of_it_second():
    """Pixel 3 tells 0 from 1, and pixel 9 is its copy; pixel 20 alone tells 2 from 0."""
    labels = np.array([0, 1, 2] * 8)
    pixels = np.zeros((24, 64), dtype=int)
    pixels[labels == 1, 3] = 1
    pixels[labels == 1, 9] = 1
    pixels[labels == 2, 20] = 1
    assert digits.choose_encoding(pixels, labels, 1).pixel.tolist() == [3]
    assert digits.choose_encoding(pixels, labels, 2).pixel.tolist() == [3, 20]


def test_committed_encoding_is_that_of_the_training_images(committed):
    encoding = digits.choose_encoding(*digits.load_part("training"))
    np.testing.assert_array_equal(encoding.pixel, committed.pixel)
    np.testing.assert_array_equal(encoding.level, committed.level)


@pytest.mark.parametrize("inputs", [0, 1025])
def test_encoding_of_impossible_size_is_refused(inputs):
    with pytest.raises(ValueError, match=f"An encoding has 1 to 1024 bits, not {inputs}"):
        digits.choose_encoding(np.zeros((2, 64)), np.array([0, 1]), inputs)


# The network and its file


def test_committed_thresholds_are_in_range(committed):
    for thresholds in (committed.hidden_thresholds, committed.output_thresholds):
        assert thresholds.min() >= 0
        assert thresholds.max() <= 126


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pixel", np.zeros(115, int), r"network's pixel must have shape \(116,\), not \(115,\)"),
        ("pixel", np.full(116, 64), "network's pixel must be from 0 to 63, not from 64 to 64"),
        ("level", np.zeros(116, int), "network's level must be from 1 to 16, not from 0 to 0"),
        ("level", np.ones(116), "network's level must be integers, not float64"),
        (
            "hidden_weights",
            np.zeros((64, 116), bool),
            r"hidden weights must have shape \(116, 64\), not \(64, 116\)",
        ),
        ("hidden_weights", np.zeros((116, 64), int), "hidden weights must be bool, not int64"),
        (
            "hidden_thresholds",
            np.full(64, 127),
            "hidden thresholds must be from 0 to 126, not from 127 to 127",
        ),
        (
            "output_thresholds",
            np.full(10, -1),
            "output thresholds must be from 0 to 126, not from -1 to -1",
        ),
        ("output_weights", np.zeros((64, 10)), "output weights must be bool, not float64"),
    ],
)
def test_network_refuses(name, value, message):
    with pytest.raises(ValueError, match=message):
        replace(random_network(0), **{name: value})


def test_network_refuses_equal_pairs():
    network = random_network(0)
    pixel, level = network.pixel.copy(), network.level.copy()
    pixel[1], level[1] = pixel[0], level[0]
    with pytest.raises(ValueError, match="116 pairs of pixel and level must all be different"):
        replace(network, pixel=pixel, level=level)


def test_network_arrays_are_its_own():
    thresholds = np.full(10, 32)
    network = replace(random_network(0), output_thresholds=thresholds)
    thresholds[0] = 5
    assert network.output_thresholds[0] == 32
    with pytest.raises(ValueError, match="read-only"):
        network.output_thresholds[0] = 5


def test_save_and_load(tmp_path):
    network = random_network(1)
    network.save(tmp_path / "first.npz")
    network.save(tmp_path / "second.npz")
    loaded = DigitsNetwork.load(tmp_path / "first.npz")
    for field in fields(DigitsNetwork):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(network, field.name))
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"first.npz", "second.npz"}


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "network.npz"
    random_network(1).save(path)
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(digits.np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        random_network(2).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["network.npz"]


def test_load_refuses_a_file_without_a_network(tmp_path):
    np.savez(tmp_path / "other.npz", pixel=np.zeros(116, int), level=np.ones(116, int))
    with pytest.raises(ValueError, match="other.npz is not a digits network: it has no hidden_w"):
        DigitsNetwork.load(tmp_path / "other.npz")


# Evaluation


@pytest.mark.parametrize("seed", range(3))
def test_evaluate_agrees_with_loops_ties_included(seed):
    network = random_network(seed)
    pixels = np.random.default_rng(100 + seed).integers(0, 17, (60, 64))
    got = digits.evaluate(network, pixels)
    for i, image in enumerate(pixels):
        hidden, classes, best = slow_evaluate(network, image)
        assert got.hidden_preactivations[i].tolist() == hidden
        assert got.hidden_bits[i].tolist() == [value > 0 for value in hidden]
        assert got.class_preactivations[i].tolist() == classes
        assert got.predictions[i] == best
    assert (got.hidden_preactivations == 0).any(), "no hidden tie among these inputs"
    ordered = np.sort(got.class_preactivations, axis=1)
    assert (ordered[:, -1] == ordered[:, -2]).any(), "no tie of classes among these inputs"


def test_committed_evaluate_agrees_with_loops(committed):
    images = digits.load_part("held_out")
    got = digits.evaluate(committed, images.pixels[:15])
    for i in range(15):
        hidden, classes, best = slow_evaluate(committed, images.pixels[i])
        assert got.hidden_preactivations[i].tolist() == hidden
        assert got.class_preactivations[i].tolist() == classes
        assert got.predictions[i] == best


def test_tie_reads_0_and_equal_classes_give_the_lowest():
    """All bits and weights 1, so every popcount is 116: neuron n has preactivation 116 - T."""
    network = DigitsNetwork(
        pixel=np.arange(116) % 64,
        level=np.arange(116) // 64 + 1,
        hidden_weights=np.ones((116, 64), bool),
        hidden_thresholds=np.array([115, 116, 117] + [0] * 61),
        output_weights=np.ones((64, 10), bool),
        output_thresholds=np.array([40, 40, 30, 62, 30, 40, 40, 40, 40, 30]),
    )
    got = digits.evaluate(network, np.full((1, 64), 16))
    assert got.hidden_preactivations[0, :3].tolist() == [1, 0, -1]
    assert got.hidden_bits[0].tolist() == [True, False, False] + [True] * 61
    assert got.class_preactivations[0].tolist() == [22, 22, 32, 0, 32, 22, 22, 22, 22, 32]
    assert got.predictions.tolist() == [2]


def test_committed_network_is_good_enough(committed):
    images = digits.load_part("held_out")
    accuracy = (digits.evaluate(committed, images.pixels).predictions == images.labels).mean()
    assert accuracy >= 0.94
    record = json.loads(digits.NETWORK_FILE.with_suffix(".json").read_text(encoding="utf-8"))
    kept = [entry for entry in record["seeds"] if entry["seed"] == record["kept_seed"]]
    assert kept[0]["held_out_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert kept[0]["validation_accuracy"] == max(s["validation_accuracy"] for s in record["seeds"])


def test_record_meets_the_aim():
    record = json.loads(digits.NETWORK_FILE.with_suffix(".json").read_text(encoding="utf-8"))
    accuracies = sorted(entry["held_out_accuracy"] for entry in record["seeds"])
    assert [entry["seed"] for entry in record["seeds"]] == [0, 1, 2, 3, 4]
    assert record["median_held_out_accuracy"] == accuracies[2] >= 0.94


# The program image


def test_pass_is_the_published_one_chained():
    pass_config = digits.digits_pass()
    pass_config.check(JEBALI_2024)
    assert pass_config.configuration is Configuration.CHAINED
    assert (pass_config.weight_rows, pass_config.threshold_rows) == (58, 6)
    assert pass_config.inputs(JEBALI_2024) == 116


def test_committed_image_is_that_of_the_committed_network(committed):
    image = digits.load_image()
    assert image.shape == (4, 64, 64)
    np.testing.assert_array_equal(image, digits.program_image(committed, JEBALI_2024))


@pytest.mark.parametrize("which", ["committed", "random"])
def test_image_decodes_to_the_network(which, committed):
    network = committed if which == "committed" else random_network(7)
    if which == "random":
        extremes = np.array([0, 1, 62, 63, 64, 125, 126] + [50] * 57)
        network = replace(network, hidden_thresholds=extremes)
    image = digits.program_image(network, JEBALI_2024)
    assert image.dtype == np.bool_
    for bank, weights, thresholds in (
        (0, network.hidden_weights, network.hidden_thresholds),
        (1, network.output_weights, network.output_thresholds),
    ):
        inputs, neurons = weights.shape
        for column in range(64):
            bits = [image[2 * bank + i // 58, i % 58, column] for i in range(116)]
            numbers = [
                int("".join("1" if image[macro, 58 + i, column] else "0" for i in range(6)), 2)
                for macro in (2 * bank, 2 * bank + 1)
            ]
            if column < neurons:
                assert bits[:inputs] == weights[:, column].tolist()
                assert all(bits[inputs:])
                threshold = int(thresholds[column])
                assert numbers == [min(threshold, 63), threshold - min(threshold, 63)]
            else:
                assert all(bits)
                assert numbers == [0, 0]


@pytest.mark.parametrize(
    "geometry",
    [
        JEBALI_2024,
        HELIOBIT,
        ChipGeometry(banks=3, macros_per_bank=3, rows=70, columns=67, max_inputs=210),
    ],
    ids=["jebali_2024", "heliobit", "larger"],
)
def test_image_run_row_by_row_computes_the_network(geometry):
    network = random_network(3)
    image = digits.program_image(network, geometry)
    assert image.shape == geometry.image_shape
    pixels = np.random.default_rng(5).integers(0, 17, (4, 64))
    expected = digits.evaluate(network, pixels)
    for i, inputs in enumerate(digits.encode(pixels, network.pixel, network.level)):
        hidden = slow_bank(image, geometry, 0, inputs)
        assert hidden[:64].tolist() == expected.hidden_preactivations[i].tolist()
        classes = slow_bank(image, geometry, 1, hidden > 0)
        assert classes[:10].tolist() == expected.class_preactivations[i].tolist()


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (TEST_DIE, "needs 2 banks, one for each layer; this chip has 1"),
        (TINY, "needs macros of 64 rows; this chip's have 6"),
        (replace(JEBALI_2024, macros_per_bank=1), "needs 2 macros a bank for its 116 inputs"),
        (replace(JEBALI_2024, columns=63), "needs 64 columns for its hidden neurons; .* has 63"),
        (replace(JEBALI_2024, max_inputs=115), "needs registers that sum 116 inputs; .* sum 115"),
    ],
)
def test_image_refuses_a_chip_the_network_does_not_fit(geometry, message):
    with pytest.raises(ValueError, match=message):
        digits.program_image(random_network(0), geometry)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (4, 64, 64)])
def test_image_file_keeps_the_bits(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 2, shape).astype(bool)
    digits.save_image(image, tmp_path / "image.npz")
    np.testing.assert_array_equal(digits.load_image(tmp_path / "image.npz"), image)


def test_image_file_refuses(tmp_path):
    with pytest.raises(ValueError, match="must be a bool array .* not int64 of shape"):
        digits.save_image(np.zeros((1, 2, 3), np.int64), tmp_path / "image.npz")
    np.savez(tmp_path / "short.npz", image=np.zeros(1, np.uint8), shape=np.array([1, 3, 3]))
    with pytest.raises(ValueError, match="short.npz is not a program image: 1 bytes do not hold"):
        digits.load_image(tmp_path / "short.npz")
    np.savez(tmp_path / "other.npz", image=np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="other.npz is not a program image: it has no shape"):
        digits.load_image(tmp_path / "other.npz")


# Training


def training_module():
    reason = "training needs PyTorch, an extra: pip install torch==2.13.0"
    pytest.importorskip("torch", reason=reason)
    pytest.importorskip("tqdm", reason="training needs tqdm for its progress bar")
    from networks.training import digits as training

    return training


def graph_preactivations(graph, network, pixels):
    import torch

    bits = digits.encode(pixels, network.pixel, network.level)
    with torch.no_grad():
        return graph(torch.tensor(bits, dtype=torch.float32)).numpy()


def test_export_of_a_trained_graph_is_exact():
    training = training_module()
    images = digits.load_part("fit")
    encoding = digits.choose_encoding(*images)
    graph = training.train(images, encoding, 0, training.Recipe(epochs=3), "test")
    network = training.export(graph, encoding)
    pixels = np.concatenate(
        [images.pixels[:200], np.random.default_rng(0).integers(0, 17, (200, 64))]
    )
    wanted = graph_preactivations(graph, network, pixels)
    got = digits.evaluate(network, pixels)
    np.testing.assert_array_equal(got.class_preactivations, wanted)
    np.testing.assert_array_equal(got.predictions, wanted.argmax(axis=1))
    assert (got.predictions[:200] == images.labels[:200]).mean() > 0.5  # chance is 0.1


def test_export_of_every_kind_of_neuron_is_exact():
    """Rising, falling, never and always firing neurons, and batch norms that tie."""
    training = training_module()
    import torch

    torch.manual_seed(1)
    graph = training.TrainingGraph()
    with torch.no_grad():
        graph.norm.eps = 0.0
        graph.norm.running_mean.copy_(58.0 + torch.arange(64) % 5)  # whole numbers: ties
        graph.norm.weight.copy_(torch.tensor([1.0, -1.0, 0.5, -2.0]).repeat(16))
        graph.norm.bias.zero_()
        graph.norm.weight[40:44] = 0.0  # constant: never fires, for the tie at 0; always; never
        graph.norm.bias[41] = 1.0
        graph.norm.bias[42] = -1.0
        graph.norm.bias[4] = 1000.0
        graph.norm.bias[5] = -1000.0
    pairs = np.random.default_rng(2).permutation(1024)[:116]
    encoding = digits.Encoding(pairs // 16, pairs % 16 + 1)
    network = training.export(graph, encoding)
    pixels = np.random.default_rng(3).integers(0, 17, (300, 64))
    wanted = graph_preactivations(graph, network, pixels)
    got = digits.evaluate(network, pixels)
    np.testing.assert_array_equal(got.class_preactivations, wanted)
    assert (got.hidden_preactivations == 0).any(), "no tie among these inputs"
    training.check_export(graph, network, pixels)
    wrong = replace(network, output_thresholds=network.output_thresholds + 1)
    with pytest.raises(RuntimeError, match="differs from its training graph on 300 of 300 images"):
        training.check_export(graph, wrong, pixels)


def test_training_refuses_no_epochs():
    training = training_module()
    images = digits.load_part("validation")
    with pytest.raises(ValueError, match="Training takes at least 1 epoch, not 0"):
        training.train(
            images, digits.Encoding(*[np.arange(116)] * 2), 0, training.Recipe(epochs=0), "test"
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["--seeds", "1", "1"], "--seeds must be different and not negative"),
        (["--output", "network.json"], "--output must name a .npz file, not network.json"),
    ],
)
def test_training_command_refuses(arguments, message, capsys):
    training = training_module()
    with pytest.raises(SystemExit):
        training.main(arguments)
    assert message in capsys.readouterr().err


def test_training_command_writes_network_image_and_record(tmp_path):
    training = training_module()
    output = tmp_path / "new" / "small.npz"
    assert training.main(["--seeds", "3", "1", "--epochs", "2", "--output", str(output)]) == 0
    network = DigitsNetwork.load(output)
    image = digits.load_image(output.with_name("small_image.npz"))
    np.testing.assert_array_equal(image, digits.program_image(network, JEBALI_2024))
    record = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert [entry["seed"] for entry in record["seeds"]] == [3, 1]
    assert record["kept_seed"] in (1, 3)
    assert str(tmp_path) not in output.with_suffix(".json").read_text(encoding="utf-8")
