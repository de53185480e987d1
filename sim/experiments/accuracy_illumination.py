"""Accuracy on MNIST with the chip on the solar cell: three ways to put its errors in.

- `neurons`, the published way: the outputs of hidden layers but the first err with the probability
  that their preactivation has at the illumination. The paper measured these; here they are those
  of drawn chips of the published kind, as in `neuron_error_suns`.
- `programmed`: every sense of every layer goes through drawn memristors and amplifiers, threshold
  rows, first and last layer included; each program image is on a chip of its own.
- `repaired`: the same, where rows that misread at this supply were programmed again, at most
  `RETRIES` times each.

For one number beside, `weights`, programmed chips whose threshold rows read without errors.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavioral_models.device_chip import DeviceChip
from behavioral_models.geometry import preset
from behavioral_models.macro import read_table
from networks.errors import AMPLIFIER, MEMRISTORS, reading
from networks.mapping import Program, compile
from networks.runtime import PreactivationErrors
from sim.experiments import style
from sim.experiments.experiment import Experiment, Options
from sim.experiments.published_chips import (
    LARGEST_SHIFT,
    PARAMETERS,
    ChipMaker,
    errors_at,
    shift_histograms,
)
from sim.experiments.trained_networks import (
    BEST_CHAINED,
    IMAGES,
    MAJORITY,
    MNIST_TEST,
    accuracy_of,
    over_draws,
    percent,
    right_ones,
    load_test,
    trained,
    trained_file,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUNS = (8.0, 0.8, 0.36, 0.08)

#: Jebali 2024, Table 1, percent: without errors, then at each of `SUNS`.
PUBLISHED = {"MNIST": (97.2, 97.1, 96.9, 96.9, 96.5), "CIFAR-10": (86.6, 83.6, 78.2, 78.3, 73.4)}

#: Network and geometry whose cells are drawn.
ON_CELLS = (
    (MAJORITY, "heliobit_wide"),
    (MAJORITY, "heliobit"),
    (BEST_CHAINED, "heliobit_wide"),
)

#: Chips whose neurons one table of probabilities is from, and random inputs of each.
TABLE_CHIPS, PATTERNS = 20, 32

#: Times a row is programmed again.
RETRIES = 3

#: Points of accuracy that the published network loses at 0.08 suns; the project's aim as well.
AIM = 0.007

_SEED_STEP = 1000


def points(options: Options) -> list[dict]:
    """Both networks without errors; then each way, network, geometry and draw of chips."""
    draws = range(options.chips or 0)
    clean = [{"way": "clean", "network": name, "geometry": "heliobit_wide", "images": IMAGES}
             for name in (MAJORITY, BEST_CHAINED)]  # fmt: skip
    neurons = [{"way": "neurons", "network": MAJORITY, "geometry": "heliobit_wide", "draw": draw,
                "images": IMAGES} for draw in draws]  # fmt: skip
    cells = [
        {"way": way, "network": name, "geometry": geometry, "draw": draw, "images": IMAGES}
        for name, geometry in ON_CELLS for way in ("programmed", "repaired") for draw in draws
    ]  # fmt: skip
    return clean + neurons + cells


def run(point: dict, seed: int) -> dict:
    """Images classified right, at each illumination; without errors just so."""
    program = compile(trained(point["network"]), preset(point["geometry"]))
    data, labels = load_test(point["images"])
    if point["way"] == "clean":
        return {"right": int(right_ones(program, data, labels).sum())}
    if point["way"] == "neurons":
        return _neurons(program, data, labels, point["draw"], seed)
    return _cells(program, data, labels, point, seed)


def _neurons(program: Program, data: NDArray, labels: NDArray, draw: int, seed: int) -> dict:
    """The published way, with the tables of chips of its own at each draw."""
    places = [reading(f"{suns:g} suns")[:2] for suns in SUNS]
    chips = {"first_chip": TABLE_CHIPS * draw, "chips": TABLE_CHIPS}
    found = shift_histograms(ChipMaker(seed), chips, PATTERNS, places)
    histograms = np.sum(found["shifts"], axis=0)  # (place, shift)
    layers = [layer.name for layer in program.network.layers[1:-1]]
    right, tables = [], []
    for histogram in histograms:
        near = range(1 - LARGEST_SHIFT, LARGEST_SHIFT)
        table = {d: float(errors_at(histogram, d) / histogram.sum()) for d in near}
        errors = PreactivationErrors(table, _SEED_STEP * seed + draw)
        ones = right_ones(program, data, labels, corrupt=errors, corrupt_layers=layers)
        right.append(int(ones.sum()))
        tables.append(list(table.values()))
    return {"right": right, "probabilities": tables, "preactivations": list(near)}


def threshold_rows(program: Program) -> NDArray[np.bool_]:
    """Rows that hold threshold bits, bool (image, macro, row)."""
    found = np.zeros(program.images.shape[:3], dtype=bool)
    for layer in program.layers:
        for each in layer.runs:
            macros = list(each.pass_config.enabled_macros(program.geometry))
            for operation in each.pass_config.sequence():
                if operation.shift:
                    found[each.image, macros, operation.row] = True
    return found


def _cells(program: Program, data: NDArray, labels: NDArray, point: dict, seed: int) -> dict:
    """Every sense through drawn cells; image n is on chip n of batch `_SEED_STEP seed + draw`."""
    batch = _SEED_STEP * seed + point["draw"]
    thresholds = threshold_rows(program)
    right: list[int] = []
    weights: list[int] = []
    misread: list[float] = []
    made = []
    for number, image in enumerate(program.images):
        made.append(DeviceChip(program.geometry, MEMRISTORS, AMPLIFIER, batch, number))
        made[-1].program(image)
    for suns in SUNS:
        vdd_v, clock_hz, _ = reading(f"{suns:g} suns")
        tables = []
        for chip in made:
            if point["way"] == "repaired":
                chip = copy.deepcopy(chip)  # one that has seen no other light
                chip.repair(vdd_v, clock_hz, retries=RETRIES)
            tables.append(chip.table(vdd_v, clock_hz))
        wanted = [read_table(image) for image in program.images]
        pairs = list(zip(tables, wanted, strict=True))
        misread.append(float(np.mean([(table != bits).mean() for table, bits in pairs])))
        right.append(int(right_ones(program, data, labels, tables=tables).sum()))
        if point["way"] == "programmed":
            for (table, bits), rows in zip(pairs, thresholds, strict=True):
                table[rows] = bits[rows]
            weights.append(int(right_ones(program, data, labels, tables=tables).sum()))
    found = {"right": right, "misread": misread}
    return {**found, "right_weights": weights} if weights else found


def gather(points: list[dict], results: list[dict]) -> dict:
    """Accuracies by way, network, geometry and illumination; what is lost; the statements."""
    groups: dict[tuple, list[dict]] = {}
    for point, result in zip(points, results, strict=True):
        key = point["way"], point["network"], point["geometry"]
        groups.setdefault(key, []).append(result)
    images = points[0]["images"]
    clean = {network: accuracy_of(found[0]["right"], images)
             for (way, network, _), found in groups.items() if way == "clean"}  # fmt: skip
    series = []
    for (way, network, geometry), found in groups.items():
        if way == "clean":
            continue
        kinds = {way: "right"} | ({"weights": "right_weights"} if way == "programmed" else {})
        for kind, counts in kinds.items():
            by_suns = [over_draws([each[counts][place] for each in found], images)
                       for place in range(len(SUNS))]  # fmt: skip
            whole = clean[network]["accuracy"]
            series.append({
                "way": kind, "network": network, "geometry": geometry, "suns": SUNS,
                "draws": len(found),
                **{key: [each[key] for each in by_suns]
                   for key in ("accuracy", "low", "high", "each")},
                "lost": [whole - each["accuracy"] for each in by_suns],
                "misread_share": None if way == "neurons"
                else np.mean([each["misread"] for each in found], axis=0),
                "probabilities": None if way != "neurons"
                else np.mean([each["probabilities"] for each in found], axis=0),
                "preactivations": found[0].get("preactivations"),
            })  # fmt: skip
    return {"suns": SUNS, "images": images, "published_percent": PUBLISHED, "clean": clean,
            "series": series, "statements": statements(series)}  # fmt: skip


def statements(series: list[dict]) -> list[dict]:
    """Whether at most `AIM` is lost at the least light, each way."""
    return [
        {
            "published": "at 0.08 suns MNIST loses 0.7 points (errors at hidden layers but the "
                         "first, by preactivation)",
            "criterion": f"at most {100 * AIM:g} points lost",
            **{key: each[key] for key in ("way", "network", "geometry", "draws")},
            "fitted": False, "holds": bool(each["lost"][-1] <= AIM), "lost": each["lost"][-1],
            "accuracy": {key: each[key][-1] for key in ("accuracy", "low", "high")},
        }
        for each in series
    ]  # fmt: skip


LABELS = {
    "neurons": "neurons err by preactivation (published way)",
    "programmed": "every cell drawn",
    "weights": "the same, threshold rows without errors",
    "repaired": "every cell drawn, rows repaired",
}


def draw(data: dict, figure: Figure) -> None:
    """One panel a network; illuminations as steps, as in the paper's table."""
    axes = figure.subplots(1, 2, sharey=True)
    suns = data["suns"]
    steps = range(1, len(suns) + 1)
    for axis, name in zip(axes, (MAJORITY, BEST_CHAINED), strict=True):
        clean = data["clean"][name]
        axis.errorbar(
            [0], [100 * clean["accuracy"]],
            [[100 * (clean["accuracy"] - clean["low"])],
             [100 * (clean["high"] - clean["accuracy"])]],
            fmt="o", color="#555555", capsize=3, label="ours, without errors",
        )  # fmt: skip
        for each in data["series"]:
            if each["network"] != name or each["way"] == "weights":
                continue
            wide = each["geometry"] == "heliobit_wide"
            macros = "" if each["way"] == "neurons" else f", {16 if wide else 2} macros a bank"
            style.band(axis, steps, *(percent(each[key]) for key in ("accuracy", "low", "high")),
                       label=LABELS[each["way"]] + macros, series=list(LABELS).index(each["way"]),
                       marker="o", markersize=8 if each["way"] == "neurons" else 4,
                       linestyle="-" if wide else "--")  # fmt: skip
        axis.set_xticks([0, *steps], ["no errors", *(f"{each:g}" for each in suns)])
        axis.set_xlabel("light (equivalent suns)")
    style.published(axes[0], [0, *steps], data["published_percent"]["MNIST"],
                    "MNIST, 784-1102-64-10 (Jebali 2024, Table 1)")  # fmt: skip
    axes[0].set(title="784-1102-64-10, majority votes", ylabel="accuracy, MNIST test set (%)")
    axes[1].set(title="784-1024-1024-10, exact sums")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low - 0.8 * (high - low), high)  # below all lines there is room to say which
    handles, labels = axes[0].get_legend_handles_labels()
    axes[1].legend(handles, labels, loc="lower left", fontsize=8, title="both panels",
                   title_fontsize=8, handlelength=3.2)  # fmt: skip


EXPERIMENT = Experiment(
    name="accuracy_illumination",
    title="MNIST accuracy with the chip on the solar cell",
    figure="Jebali 2024, Table 1",
    duration="5 min",
    status=(
        "Fitted: the devices, to neuron errors on the bench (Fig. 3); the solar cell's clock. Held "
        "out: all accuracies. The published way corrupts hidden layers but the first, by measured "
        "probabilities; ours takes them from drawn chips. The other ways read every cell of every "
        "layer, thresholds too, at the illumination. Bands: 95 %, bootstrap over draws of chips. "
        "Repaired: rows that misread at that supply programmed again, up to 3 times. Published "
        "for CIFAR-10 and not re-made: 86.6 % without errors, 83.6, 78.2, 78.3 and 73.4 % at 8, "
        "0.8, 0.36 and 0.08 suns."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    chips=10,
    needs=("pvlib",),
    parameters=(*PARAMETERS, "jebali_2024/solar_cell"),
    files=(trained_file(MAJORITY), trained_file(BEST_CHAINED)),
    data=(MNIST_TEST,),
)
