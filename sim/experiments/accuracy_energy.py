"""Accuracy against energy per digit: one and two hidden layers of varying width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from behavioral_models.geometry import HELIOBIT_WIDE
from networks.form import Network
from networks.mapping import compile
from networks.schedule import Costs, energy, plan
from sim.experiments import style
from sim.experiments.experiment import Experiment, Options
from sim.experiments.trained_networks import (
    BEST_CHAINED,
    IMAGES,
    MNIST_TEST,
    accuracy_of,
    right_ones,
    load_test,
    trained,
    trained_file,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = (32, 64, 128, 256, 512)
NETWORKS = (
    *(f"widths/widths_{width}" for width in WIDTHS),
    *(f"widths/widths_{width}_{width}" for width in WIDTHS),
    BEST_CHAINED,
)
COSTS = "jebali_2024"

#: Hirtzlin 2020, sections 3.2 and 4.1.1: 784-1024-1024-10 in 28 nm; Jebali 2024, Results: one
#: inference of the whole chip, 116 x 128, at 0.7 V and 10 MHz.
PUBLISHED = {
    "network": {"energy_j": 25e-9, "percent": 98.3},
    "chip": {"energy_j": 45e-9, "macs": 116 * 128},
}


def points(_options: Options) -> list[dict]:
    """One point a network."""
    return [{"network": name, "images": IMAGES} for name in NETWORKS]


def hidden_layers(network: Network) -> list[int]:
    """Neurons of each hidden layer."""
    return [layer.matrix.shape[1] for layer in network.layers[:-1]]


def run(point: dict, _seed: int) -> dict:
    """Accuracy on the chip, and what an inference takes; nothing is random."""
    network = trained(point["network"])
    program = compile(network, HELIOBIT_WIDE)
    data, labels = load_test(point["images"])
    costs = Costs.load(COSTS)
    schedule = plan(program, len(program.images), point["images"], costs.clock_hz)
    return {
        "right": int(right_ones(program, data, labels).sum()),
        "hidden": hidden_layers(network),
        "planes": network.layers[0].planes,
        "weights": network.weight_bits,
        "macs": schedule.total("macs"),
        "cycles": schedule.cycles_per_inference,
        "energy": energy(schedule, costs).as_dict(),
    }


def gather(points: list[dict], results: list[dict]) -> dict:
    """Accuracy and energy of every network, by number of hidden layers."""
    entries = [{**point, **result, **accuracy_of(result["right"], point["images"])}
               for point, result in zip(points, results, strict=True)]  # fmt: skip
    best = entries[-1]
    return {
        "costs": Costs.load(COSTS).about, "published": PUBLISHED,
        "series": [
            {"hidden_layers": layers,
             "networks": [each for each in entries if len(each["hidden"]) == layers]}
            for layers in (1, 2)
        ],
        "statements": [
            {"published": "25 nJ for 784-1024-1024-10 in 28 nm, its whole design estimated",
             "fitted": False, "network": best["network"],
             "note": "130 nm at 0.7 V here, 4 bit planes in the first layer: not the same boundary",
             "extrapolated": best["energy"]["extrapolated"],
             "energy_j": best["energy"]["inference_j"],
             "rows_alone_j": best["energy"]["rows_j"],
             "times": best["energy"]["inference_j"] / PUBLISHED["network"]["energy_j"],
             "rows_alone_times": best["energy"]["rows_j"] / PUBLISHED["network"]["energy_j"]},
        ],
    }  # fmt: skip


def draw(data: dict, figure: Figure) -> None:
    """Two lines a number of hidden layers: all that the table costs, and sensed rows alone."""
    axis = figure.subplots()
    count = {1: "one hidden layer", 2: "two hidden layers"}
    for index, each in enumerate(data["series"]):
        y, low, high = ([100 * one[key] for one in each["networks"]]
                        for key in ("accuracy", "low", "high"))  # fmt: skip
        for key, what, line in (
            ("inference_j", "rows, clock and control", "-"),
            ("rows_j", "rows alone (registers, read, popcount)", "--"),
        ):
            x = [1e9 * one["energy"][key] for one in each["networks"]]
            style.band(axis, x, y, low, high, series=index, linestyle=line, marker="o",
                       markersize=4, label=f"{count[each['hidden_layers']]}: {what}")  # fmt: skip
            if key == "rows_j":
                continue
            for one, right, up in zip(each["networks"], x, y, strict=True):
                below = index == 0
                axis.annotate(str(one["hidden"][0]), (right, up), (4, -11 if below else 5),
                              textcoords="offset points", fontsize=7.5, zorder=5,
                              color=style.colour(index), fontweight="bold",
                              bbox={"facecolor": "white", "alpha": 0.6, "linewidth": 0,
                                    "pad": 0.4})  # fmt: skip
    network, chip = data["published"]["network"], data["published"]["chip"]
    style.published(axis, [1e9 * network["energy_j"]], [network["percent"]],
                    "1024-1024, 28 nm, estimated design (Hirtzlin 2020)")  # fmt: skip
    axis.axvline(
        1e9 * chip["energy_j"],
        color="black",
        linestyle=":",
        linewidth=1,
        label="one whole-chip inference, 116 x 128,\n0.7 V (Jebali 2024, Fig. 2c)",
    )
    axis.set(xlabel="energy of a digit (nJ)", xscale="log",
             ylabel="accuracy, MNIST test set (%)")  # fmt: skip
    axis.legend(loc="lower right", fontsize=8, handlelength=3.2)


EXPERIMENT = Experiment(
    name="accuracy_energy",
    title="Accuracy against energy per digit, by width of the hidden layers",
    figure="Hirtzlin 2020, Fig. 10",
    duration="10 s",
    status=(
        "Fitted: nothing. Energy: cost table jebali_2024 (the published chip at 0.7 V, 10 MHz, 130 "
        "nm, taken to run 3 cycles a row), extrapolated to 16 macros a bank, registers of 15 bits "
        "and one cycle a row: a cycle is taken to cost what one of the published chip's 4 macros "
        "does, three times as much a row if control goes with rows; transfers, waits for them, "
        "host and programming 0, as nobody gives them. Networks see 4 bit planes. Published: "
        "25 nJ is an estimate of another design in 28 nm; 45 nJ measured, of one pass of the chip "
        "and no whole network. The points of Fig. 10 are in no text and not drawn. Bands: 95 %, "
        "for images like these; one training a width."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    files=tuple(trained_file(name) for name in NETWORKS),
    data=(MNIST_TEST,),
)
