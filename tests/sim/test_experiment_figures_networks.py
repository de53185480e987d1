"""The experiments on whole networks: numbers by hand, toy data, and a few images of MNIST."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import HELIOBIT, HELIOBIT_WIDE
from behavioral_models.macro import read_table
from networks.data import load_data
from networks.errors import DeviceErrors, reading
from networks.form import Dense, Network, Output, evaluate
from networks.mapping import compile
from networks.runtime import run as run_program
from networks.schedule import Costs
from networks.transforms import lower
from sim.experiments import (
    accuracy_energy, accuracy_illumination, accuracy_weight_errors, bit_planes, majority_or_chained,
    memory, style, tsne,
)
from sim.experiments.experiment import Options, discover, generator, plain
from sim.experiments.trained_networks import (
    BEST_CHAINED, FOLDER, IMAGES, MAJORITY, accuracy_of, over_draws, pack, paired_loss, load_test,
    trained, unpack,
)
from tests.needs import need

NAMES = ("accuracy_illumination", "accuracy_weight_errors", "majority_or_chained", "bit_planes",
         "memory", "accuracy_energy", "tsne")
FEW = 200


def same(found, expected):
    """The same numbers, but for rounding."""
    return np.asarray(found) == pytest.approx(np.asarray(expected), rel=1e-9, abs=1e-15)


def record(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def kept_accuracy(entry):
    return {each["seed"]: each["test_accuracy"] for each in entry["seeds"]}[entry["kept_seed"]]


def toy_network(seed=0, inputs=70, hidden=9, planes=1, votes=1):
    random = np.random.default_rng(seed)
    scale = (1 << planes) - 1
    middle = random.integers(inputs * scale // votes // 3, inputs * scale // votes // 2,
                             (votes, hidden))
    return Network((
        Dense("one", random.random((inputs, hidden)) < 0.5, middle, planes),
        Output("two", random.random((hidden, 4)) < 0.5, random.integers(0, 4, (1, 4))),
    ), (inputs,), 8 if planes > 1 else 1)


def drawn(name, data):
    """The picture of some data, as the framework draws it."""
    need("figures")
    return style.pictures(discover()[name], plain(data), "python")["png"]


# What they share


def test_pack():
    bits = np.random.default_rng(0).random(83) < 0.5
    assert (unpack(pack(bits), 83) == bits).all()


def test_accuracy_of_is_the_exact_interval():
    exact = binomtest(187, 200).proportion_ci(0.95, "exact")
    found = accuracy_of(187, 200)
    assert found["accuracy"] == 187 / 200
    assert same(found["low"], exact.low) and same(found["high"], exact.high)


def test_over_draws():
    found = over_draws([90, 80, 100], 100)
    assert same(found["accuracy"], 0.9) and found["each"] == [0.9, 0.8, 1.0]
    assert 0.8 <= found["low"] < 0.9 < found["high"] <= 1
    assert over_draws([90], 100) == {
        "accuracy": 0.9, "low": None, "high": None, "each": [0.9], "images": 100}


def test_paired_loss():
    first = np.array([True] * 70 + [False] * 30)
    second = np.array([True] * 60 + [False] * 35 + [True] * 5)
    found = paired_loss(first, second)
    assert (found["lost_images"], found["won_images"]) == (10, 5)
    assert same(found["loss"], 0.05) and found["low"] < 0.05 < found["high"]
    spread = np.sqrt((0.15 - 0.05**2) / 100)  # of a mean of -1, 0, 1
    assert abs(found["high"] - found["low"] - 2 * 1.96 * spread) < 0.03
    assert paired_loss(first, first)["high"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_status_says_what_was_fitted(name):
    experiment = discover()[name]
    assert "Fitted: " in experiment.status
    assert experiment.points(experiment.options(0, 2))


# Accuracy against illumination


def test_threshold_rows_are_those_after_the_weights():
    """A plain pass: its rows from weight_rows on, in the macros it enables, and no others."""
    network = lower(toy_network(inputs=100))
    program = compile(network, HELIOBIT)
    found = accuracy_illumination.threshold_rows(program)
    expected = np.zeros_like(found)
    for layer in program.layers:
        for each in layer.runs:
            config = each.pass_config
            for macro in config.enabled_macros(HELIOBIT):
                last = config.weight_rows + config.threshold_rows
                expected[each.image, macro, config.weight_rows : last] = True
    assert found.any() and (found == expected).all()


def test_without_threshold_rows_no_threshold_errs():
    """Thresholds wiped out in the tables come back, and the network answers as if whole."""
    network = toy_network(inputs=100)
    program = compile(network, HELIOBIT)
    rows = accuracy_illumination.threshold_rows(program)
    data = np.random.default_rng(1).integers(0, 2, (50, 100))
    tables = [read_table(image) for image in program.images]
    for table, which in zip(tables, rows, strict=True):
        table[which] ^= True
    wrong = run_program(program, GoldenChip(HELIOBIT), data, tables=tables)
    assert (wrong.preactivations != evaluate(network, data).preactivations).any()
    for table, image, which in zip(tables, program.images, rows, strict=True):
        table[which] = read_table(image)[which]
    right = run_program(program, GoldenChip(HELIOBIT), data, tables=tables)
    assert (right.preactivations == evaluate(network, data).preactivations).all()


@pytest.mark.parametrize("way, retries", [("programmed", 0), ("repaired", 3)])
def test_cells_are_those_of_device_errors(monkeypatch, way, retries):
    """At 0.08 suns, seed 2, draw 1: the chips that `--errors 0.08suns --seed 2001` draws."""
    pytest.importorskip("pvlib")
    program = compile(trained("digits"), HELIOBIT)
    seen = []

    def right_ones(_program, data, labels, tables):
        seen.append([table.copy() for table in tables])
        return np.ones(len(labels), dtype=bool)

    monkeypatch.setattr(accuracy_illumination, "right_ones", right_ones)
    examples = load_data("digits")
    point = {"way": way, "draw": 1}
    found = accuracy_illumination._cells(program, examples.data, examples.labels, point, 2)
    drawn = DeviceErrors(HELIOBIT, reading("0.08suns"), seed=2001, retries=retries)
    expected = drawn.tables(program.images)
    last = -2 if way == "programmed" else -1  # then comes the one without threshold errors
    assert all((a == b).all() for a, b in zip(seen[last], expected, strict=True))
    wanted = np.stack([read_table(image) for image in program.images])
    assert same(found["misread"][-1], (np.stack(expected) != wanted).mean())
    assert found["misread"][-1] > found["misread"][0]
    if way == "programmed":
        rows = accuracy_illumination.threshold_rows(program)
        assert (np.stack(seen[-1])[rows] == wanted[rows]).all()
        assert (np.stack(seen[-1])[~rows] == np.stack(expected)[~rows]).all()


def illumination_data():
    """Two draws of each way: 8, 6, 4 and 2 images of 1,000 lost, twice as many in the second."""
    points = [{**point, "images": 1000}
              for point in accuracy_illumination.points(Options(0, 2))]
    results = []
    for point in points:
        right = [950 - lost * (1 + point.get("draw", 0)) for lost in (2, 4, 6, 8)]
        result = {"right": 950 if point["way"] == "clean" else right}
        if point["way"] == "neurons":
            result |= {"probabilities": [[0.1, 0.2]] * 4, "preactivations": [0, 1]}
        elif point["way"] != "clean":
            result["misread"] = [1e-6, 1e-5, 1e-4, 1e-3]
        if point["way"] == "programmed":
            result["right_weights"] = [950] * 4
        results.append(result)
    return plain(accuracy_illumination.gather(points, results))


def test_illumination_gather():
    data = illumination_data()
    assert data["clean"][MAJORITY]["accuracy"] == 0.95
    ways = [(each["way"], each["network"], each["geometry"]) for each in data["series"]]
    cells = [(way, *where) for where in accuracy_illumination.ON_CELLS
             for way in ("programmed", "weights", "repaired")]
    assert ways == [("neurons", MAJORITY, "heliobit_wide"), *cells]
    for each in data["series"]:
        lost = [0] * 4 if each["way"] == "weights" else [0.003, 0.006, 0.009, 0.012]
        assert same(each["lost"], lost)
        assert same(each["accuracy"], 0.95 - np.array(lost))
    held = [each["holds"] for each in data["statements"]]
    assert held == [each["way"] == "weights" for each in data["series"]]
    assert drawn("accuracy_illumination", data)


def test_illumination_points_have_every_draw_once():
    points = accuracy_illumination.points(Options(0, 3))
    assert len({json.dumps(point) for point in points}) == len(points) == 2 + 3 + 2 * 3 * 3


def test_illumination_on_mnist():
    """Without errors as the network straight; at 8 suns next to nothing is misread."""
    need("mnist")
    pytest.importorskip("pvlib")
    for point in accuracy_illumination.points(Options(0, 1)):
        point["images"] = FEW
        if point["geometry"] == "heliobit" or point["way"] == "repaired":
            continue  # slower ways through the same lines
        found = accuracy_illumination.run(point, 0)
        data, labels = load_test(FEW)
        straight = int((evaluate(trained(point["network"]), data).predictions == labels).sum())
        if point["way"] == "clean":
            assert found["right"] == straight
            continue
        assert abs(found["right"][0] - straight) <= 1
        assert min(found["right"]) > 0.8 * FEW
        if point["way"] == "neurons":
            tables = np.array(found["probabilities"])
            middle = tables.shape[1] // 2
            assert tables.shape == (4, 23) and found["preactivations"][middle] == 0
            assert tables[-1, middle] == tables.max() > 0.1  # 0.08 suns, preactivation 0
        else:
            assert 1e-3 * (point["way"] == "programmed") <= found["misread"][-1] < 1e-2


# Accuracy against wrong weights


def test_wrong_weights():
    """Shares, and that what is wrong at one rate is wrong at a higher one; thresholds stay."""
    network = toy_network(inputs=400, hidden=50)
    few, many = (
        accuracy_weight_errors.with_wrong_weights(network, generator(0, "toy"), rate)
        for rate in (0.03, 0.1)
    )
    for layer, some, more in zip(network.layers, few.layers, many.layers, strict=True):
        wrong, worse = layer.weights ^ some.weights, layer.weights ^ more.weights
        assert not (wrong & ~worse).any()
        assert (layer.thresholds == some.thresholds).all()
    assert 0.02 < wrong_share(network, few) < 0.04 and 0.09 < wrong_share(network, many) < 0.11


def wrong_share(network, other):
    pairs = zip(network.layers, other.layers, strict=True)
    return sum(np.count_nonzero(a.weights ^ b.weights) for a, b in pairs) / network.weight_bits


def test_a_wrong_weight_is_a_cell_that_reads_inverted():
    """Of the digits network, as many bits of the images change as weights, for either input."""
    network = lower(trained("digits"))
    wrong = accuracy_weight_errors.with_wrong_weights(network, generator(0, "toy"), 0.01)
    images, others = (compile(each, HELIOBIT_WIDE).images for each in (network, wrong))
    changed = sum(np.count_nonzero(a.weights ^ b.weights)
                  for a, b in zip(network.layers, wrong.layers, strict=True))
    assert np.count_nonzero(images ^ others) == changed > 0
    inverted = [read_table(image) ^ (image ^ other)[..., None]
                for image, other in zip(images, others, strict=True)]
    program = compile(network, HELIOBIT_WIDE)
    data = load_data("digits").data
    by_table = run_program(program, GoldenChip(HELIOBIT_WIDE), data, tables=inverted)
    assert (by_table.preactivations == evaluate(wrong, data).preactivations).all()


def test_wrong_weights_of_digits():
    point = {"network": "digits", "task": "digits", "draw": 0, "images": IMAGES}
    found = accuracy_weight_errors.run(point, 0)
    said = record("digits")
    kept = {each["seed"]: each["held_out_accuracy"] for each in said["seeds"]}[said["kept_seed"]]
    assert same(found["right"][0] / found["images"], kept)
    assert found["images"] == said["images"]["held_out"] and found["weights"] == 116 * 64 + 640
    assert found["right"][-1] < found["right"][0]


def test_weight_errors_gather():
    points = accuracy_weight_errors.points(Options(0, 2))
    assert len(points) == 6
    right = [980, 980, 980, 979, 978, 977, 950, 500]
    results = [{"right": right, "images": 1000, "weights": 7} for _ in points]
    data = plain(accuracy_weight_errors.gather(points, results))
    assert [each["network"] for each in data["series"]] == list(accuracy_weight_errors.TASKS)
    assert data["series"][0]["accuracy"] == [value / 1000 for value in right]
    none, little = data["statements"]
    assert none["lost"] == 0 and none["holds"]
    assert same(little["lost"], 0.003) and little["holds"]
    assert drawn("accuracy_weight_errors", data)


def test_weight_errors_on_mnist():
    need("mnist")
    point = {"network": BEST_CHAINED, "task": "mnist", "draw": 0, "images": FEW}
    found = accuracy_weight_errors.run(point, 0)
    data, labels = load_test(FEW)
    assert found["right"][0] == (evaluate(trained(BEST_CHAINED), data).predictions == labels).sum()
    assert found["right"][-1] < found["right"][0]


# Majority votes or exact sums


def test_majority_gather():
    points = [{**point, "images": 100} for point in majority_or_chained.points(Options())]
    counts = {MAJORITY: 95, "mnist_1102_64": 96, BEST_CHAINED: 99}
    results = [{
        "right": pack(np.arange(100) < counts[point["network"]]), "cycles": 10.0, "cells": 4096,
        "energy": {"inference_j": 1e-6, "extrapolated": [f"not {point['geometry']}"]},
        "test_accuracy_of_seeds": [0.97],
    } for point in points]
    data = plain(majority_or_chained.gather(points, results))
    assert data["extrapolated"] == {
        "heliobit": ["not heliobit"], "heliobit_wide": ["not heliobit_wide"]}
    alike, lost = data["statements"]
    assert alike["holds"] and lost["holds"]
    assert same(lost["lost_by_votes"]["loss"], 0.01)
    assert [each["accuracy"] for each in data["series"]] == [0.95] * 2 + [0.96] * 2 + [0.99] * 2
    assert drawn("majority_or_chained", data)
    results[0]["right"] = pack(np.zeros(100))
    assert not majority_or_chained.gather(points, results)["statements"][0]["holds"]


def test_majority_on_mnist():
    """Energy by hand: what the cost table gives for the rows and cycles of the plan."""
    need("mnist")
    points = majority_or_chained.points(Options())
    found = {(point["network"], point["geometry"]): majority_or_chained.run(
        {**point, "images": FEW}, 0) for point in points if point["network"] != BEST_CHAINED}
    narrow, wide = (found[MAJORITY, geometry] for geometry in majority_or_chained.GEOMETRIES)
    assert narrow["right"] == wide["right"]
    assert wide["weight_bits"] == 784 * 1102 + 1102 * 64 + 640
    assert wide["cells"] == wide["program_images"] * 32 * 64 * 64
    cost = Costs.load("jebali_2024")
    assert same(wide["energy"]["cycles_j"], wide["cycles"] * cost.energy_per_cycle_j)
    said = [" ".join(each["energy"]["extrapolated"]) for each in (narrow, wide)]
    assert all("from 3 cycles a row, here 1" in one and "MHz" not in one for one in said)
    assert "here 32 macros" in said[1] and "macros, 2 banks" not in said[0]
    assert wide["cycles"] < narrow["cycles"]
    exact = found["mnist_1102_64", "heliobit_wide"]
    assert exact["host_operations"] == 10  # argmax alone
    assert wide["host_operations"] == 10 + 19 * 64


# Bit planes


def test_dropped_means():
    pixels = np.array([[255, 16, 0], [1, 15, 128]], dtype=np.uint8)
    assert same(bit_planes.dropped_means(pixels, 4), [8, 7.5, 0])
    assert same(bit_planes.dropped_means(pixels, 8), [0, 0, 0])
    assert same(bit_planes.dropped_means(pixels, 1), [64, 15.5, 0])


def test_planes_gather():
    points = [{**point, "images": 1000} for point in bit_planes.points(Options())]
    results = [{"right": pack(np.arange(1000) < 952 + point["planes"]), "cycles": 1}
               for point in points]
    data = plain(bit_planes.gather(points, results))
    for each in data["series"]:
        assert each["planes"] == [8, 7, 6, 5, 4, 3, 2, 1]
        assert same(each["loss"], [0.001 * k for k in range(8)])
        assert same(each["accuracy"], [0.96 - 0.001 * k for k in range(8)])
    assert all(each["holds"] for each in data["statements"])
    published = data["published_percent"]["first layer on bit planes"]
    assert same(published["loss"], [0, 0.64])
    assert drawn("bit_planes", data)
    results[4]["right"] = pack(np.arange(1000) < 954)  # 6 lost with four planes
    assert not bit_planes.gather(points, results)["statements"][0]["holds"]


def test_planes_on_mnist():
    """The networks straight in numpy; the cut one with data cut by hand."""
    need("mnist")
    data, labels = load_test(FEW)
    for planes in (8, 5, 1):
        found = bit_planes.run({"planes": planes, "how": "trained", "images": FEW}, 0)
        network = trained(f"planes/planes_{planes}")
        assert network.layers[0].planes == found["planes"] == planes
        straight = evaluate(network, data).predictions == labels
        assert (unpack(found["right"], FEW) == straight).all()
    whole = bit_planes.run({"planes": 8, "how": "cut", "images": FEW}, 0)
    assert (unpack(whole["right"], FEW)
            == (evaluate(trained("planes/planes_8"), data).predictions == labels)).all()
    cut = bit_planes.run({"planes": 3, "how": "cut", "images": FEW}, 0)
    assert cut["planes"] == 3 and unpack(cut["right"], FEW).mean() > 0.85


# Memory


def test_memory_between_networks():
    bits, accuracies = [1000, 4000, 2000, 16000], [0.9, 0.95, 0.89, 0.98]
    sizes, values = memory.envelope(bits, accuracies)  # 2,000 bits are no better than 1,000
    assert same(2**sizes, [1000, 4000, 16000]) and same(values, [0.9, 0.95, 0.98])
    assert same(memory.bits_at(bits, accuracies, 0.925), 2000)  # geometric mean
    assert same(memory.bits_at(bits, accuracies, 0.98), 16000)
    assert memory.bits_at(bits, accuracies, 0.99) is memory.bits_at(bits, accuracies, 0.8) is None


def memory_data():
    binary = [{"hidden": [n] * k, "weight_bits": 1000 * n, "bits": 1000 * n, "accuracy": a,
               "images": 10_000, "seeds": 1}
              for k in (1, 2) for n, a in ((1, 0.93), (2, 0.96), (4, 0.99))]
    eight = [{**each, "bits": 4 * each["bits"]} for each in binary]
    return plain(memory.gather([{"kind": "binary"}, {"kind": "8-bit"}], [binary, eight]))


def test_memory_gather():
    """Networks alike, each of four times the memory: three quarters are saved everywhere."""
    data = memory_data()
    for each in data["savings"]:
        assert [one["accuracy"] for one in each["levels"]] == list(memory.LEVELS)
        assert same([one["saving"] for one in each["levels"]], [0.75] * len(memory.LEVELS))
        assert all(one["low"] < 0.75 < one["high"] for one in each["levels"])
    assert data["statements"][0]["holds"]
    assert drawn("memory", data)


def test_memory_of_the_records():
    """Weights counted from the shapes: one bit each, or eight."""
    for kind, bits in (("binary", 1), ("8-bit", 8)):
        found = memory.run({"kind": kind}, 0)
        assert {len(each["hidden"]) for each in found} == {1, 2}
        for each in found:
            widths = [784, *each["hidden"], 10]
            weights = sum(a * b for a, b in zip(widths[:-1], widths[1:], strict=True))
            assert each["weight_bits"] == bits * weights < each["bits"]
            assert 0.5 < each["accuracy"] < 1 and each["images"] == IMAGES


# Accuracy against energy


def energy_data():
    points = [{**point, "images": 1000} for point in accuracy_energy.points(Options())]
    results = []
    for number, point in enumerate(points):
        name = point["network"].split("/")[-1]
        hidden = [int(word) for word in name.split("_") if word.isdigit()]
        results.append({"right": 900 + number, "hidden": hidden, "energy": {
            "inference_j": 1e-7 * (1 + number), "rows_j": 1e-8 * (1 + number),
            "extrapolated": ["wide"]}})
    return plain(accuracy_energy.gather(points, results))


def test_energy_gather():
    data = energy_data()
    one, two = data["series"]
    assert [each["hidden"] for each in one["networks"]] == [[n] for n in accuracy_energy.WIDTHS]
    assert [each["hidden"][0] for each in two["networks"]] == [*accuracy_energy.WIDTHS, 1024]
    assert same(one["networks"][1]["accuracy"], 0.901)
    said = data["statements"][0]
    assert said["extrapolated"] == ["wide"]
    assert same(said["times"], 1.1e-6 / 25e-9) and same(said["rows_alone_times"], 4.4)
    assert drawn("accuracy_energy", data)


def test_energy_on_mnist():
    """Rows by hand: cells of each image's macros, and registers of its banks, by the table."""
    need("mnist")
    found = accuracy_energy.run({"network": "widths/widths_64", "images": FEW}, 0)
    network = trained("widths/widths_64")
    data, labels = load_test(FEW)
    assert found["right"] == (evaluate(network, data).predictions == labels).sum()
    assert found["hidden"] == [64] and found["macs"] == 784 * 64 * 4 + 640
    cost = Costs.load("jebali_2024")
    configs = [each.pass_config for layer in compile(network, HELIOBIT_WIDE).layers
               for each in layer.runs]
    cells, registers = (
        64 * sum(config.row_operations * len(getattr(config, which)(HELIOBIT_WIDE))
                 for config in configs) for which in ("enabled_macros", "enabled_banks"))
    assert same(found["energy"]["cells_j"], cells * cost.energy_per_sensed_cell_j)
    assert same(found["energy"]["registers_j"], registers * cost.energy_per_register_operation_j)
    assert same(found["energy"]["rows_j"],
                found["energy"]["cells_j"] + found["energy"]["registers_j"])
    assert same(found["energy"]["cycles_j"], found["cycles"] * cost.energy_per_cycle_j)


# t-SNE


def test_own_share():
    """Two clusters far apart, one image of each in the other's midst."""
    random = np.random.default_rng(0)
    places = random.normal(size=(100, 2)) + np.repeat([[0, 0], [50, 50]], 50, axis=0)
    labels = np.repeat([3, 7], 50)
    labels[[0, 50]] = 7, 3
    share = tsne.own_share(places, labels)
    assert (share[[0, 50]] == 0).all()
    assert (np.delete(share, [0, 50]) >= 1 - 1 / tsne.NEIGHBOURS).all()


def tsne_data():
    """Two clusters; right at 8 suns all but image 99; the first six lost at 0.08, none at 0.8."""
    points = [{**point, "images": 100} for point in tsne.points(Options())]
    random = np.random.default_rng(0)
    places = random.normal(size=(100, 2)) + np.repeat([[0, 0], [50, 50]], 50, axis=0)
    labels = np.repeat([3, 7], 50)
    labels[:6] = 7  # lost images are outliers
    bright = np.arange(100) < 99
    results = [{"places": places, "labels": labels}]
    for lost in (0, 0, 6):
        results.append({"right": pack(bright & (np.arange(100) >= lost)), "vdd_v": 1.0,
                        "without_errors": pack(bright)})
    return plain(tsne.gather(points, plain(results)))


def test_tsne_gather():
    data = tsne_data()
    light, dark = data["panels"]
    assert light["lost"] == [] and dark["lost"] == [0, 1, 2, 3, 4, 5]
    assert data["accuracy_at_8_suns"] == 0.99 and dark["accuracy"] == 0.93
    assert [each["holds"] for each in data["statements"]] == [None, True]
    assert drawn("tsne", data)


def test_embedding_repeats():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 784))
    first, second = (tsne.embedding(pixels, seed=1) for _ in range(2))
    assert first.shape == (60, 2) and (first == second).all()


def test_tsne_on_mnist():
    need("mnist")
    pytest.importorskip("pvlib")
    found = tsne.run({"of": "light", "suns": 0.08, "images": FEW}, 0)
    data, labels = load_test(FEW)
    straight = evaluate(trained(MAJORITY), data).predictions == labels
    assert (unpack(found["without_errors"], FEW) == straight).all()
    assert unpack(found["right"], FEW).mean() > 0.85
    found = tsne.run({"of": "embedding", "images": FEW}, 0)
    assert np.shape(found["places"]) == (FEW, 2) and (found["labels"] == labels).all()


# The committed networks


def test_the_best_chained_network_is_the_best():
    """Chosen by validation accuracy, among those with exact sums."""
    best = {}
    for name in ("mnist_1102_64", BEST_CHAINED):
        said = record(name)
        best[name] = {each["seed"]: each["validation_accuracy"]
                      for each in said["seeds"]}[said["kept_seed"]]
    assert max(best, key=best.get) == BEST_CHAINED


@pytest.mark.slow
def test_accuracies_on_the_chip_are_the_records():
    """All 10,000 images through the compiled networks, against what training measured."""
    need("mnist")
    data, labels = load_test(IMAGES)
    entries = {name: record(name) for name in majority_or_chained.NETWORKS}
    entries |= {f"{name}/{entry['name']}": entry for name in ("widths", "planes")
                for entry in record(name)["networks"]}
    for name, entry in entries.items():
        program = compile(trained(name), bit_planes.GEOMETRY)
        found = run_program(program, GoldenChip(bit_planes.GEOMETRY), data)
        assert same((found.predictions == labels).mean(), kept_accuracy(entry)), name
