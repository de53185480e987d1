"""Time and energy of forming and programming a chip, and what verify and retry buys.

Rows that do not read as programmed, for both inputs, are programmed again, up to three times; the
reads that verify are at 0.8 V or at 1.2 V, and bit errors are then counted at 0.8 V. A chip's
devices and amplifiers are the same in every round and with either verification: intervals are from
a bootstrap over chips, which are spread over 20 derived seeds (`sim.experiments.kilobit`).

Time is strictly serial. The chip's own programming gives pulses of 6 us; for the other conditions
the time is that of their own pulses, as if the chip gave those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from behavioral_models.constants import PULSE_SETUP_S
from behavioral_models.device_chip import DeviceChip
from behavioral_models.draws import Stream, uniform
from behavioral_models.geometry import JEBALI_2024
from behavioral_models.memristor import Condition
from behavioral_models.programming import form, program
from behavioral_models.xpcsa import Amplifier
from sim.experiments import style
from sim.experiments.experiment import Experiment, Options
from sim.experiments.kilobit import BATCHES, batch_seed
from sim.experiments.statistics import Rate, cluster_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHIP, AMPLIFIER = "jebali_2024/published_chip", "jebali_2024/amplifier"
CONDITIONS = ("published_chip", "weak_set", "strong", "optimised_endurance", "optimised_energy")

ROUNDS = 3  #: Of verify and retry.
VERIFY_V = (0.8, 1.2)  #: Supplies of the reads that verify.
READ_V, CLOCK_HZ = 0.8, 10e6  #: Where bit errors are counted; the clock of all reads.

#: Seconds, whole chip: 32,768 devices times the published pulse (our arithmetic).
INFERRED_S = {"forming": 0.33, "programming": 0.20}


def points(options: Options) -> list[dict]:
    """Time and energy of each condition; then one point a chip."""
    costs = [{"of": "cost", "condition": name} for name in CONDITIONS]
    chips = [{"of": "chip", "batch": chip % BATCHES, "chip": chip // BATCHES}
             for chip in range(options.chips)]  # fmt: skip
    return costs + chips


def run(point: dict, seed: int) -> dict:
    """What a condition costs, or a chip's misread bits after each round."""
    return _cost(point, seed) if point["of"] == "cost" else _rounds(point, seed)


def _image(seed: int, chip: int) -> np.ndarray:
    shape = JEBALI_2024.image_shape
    words = uniform(seed, chip, Stream.PATTERN, count=int(np.prod(shape)))
    return np.reshape(words[:, 0] < 0.5, shape)


def _cost(point: dict, seed: int) -> dict:
    condition = Condition(f"jebali_2024/{point['condition']}")
    chip = DeviceChip(JEBALI_2024, condition, AMPLIFIER, batch_seed(seed, 0), formed=False)
    formed = form(chip)
    done = program(chip, _image(batch_seed(seed, 0), 0))
    return {
        "forming": {"time_s": formed.time_s, "pulse_time_s": formed.pulse_time_s,
                    "energy_j": formed.energy_j},
        "programming": {
            "time_s": done.time_s,
            "pulse_time_s": done.pulse_time_s,
            "energy_j": done.energy_j,
        },
        "pulses": done.pulses,
        "pulse_s": condition.reference.pulse_s,
    }  # fmt: skip


def _rounds(point: dict, seed: int) -> dict:
    """Reads misread at `READ_V`, of twice the cells, and rows redone, [verification, round]."""
    condition, amplifier = Condition(CHIP), Amplifier(AMPLIFIER)
    batch, number = batch_seed(seed, point["batch"]), point["chip"]
    bits = _image(batch, number)
    wanted = np.stack([~bits, bits], axis=-1)
    errors, redone = [], []
    for supply in VERIFY_V:
        chip = DeviceChip(JEBALI_2024, condition, amplifier, batch, number)
        chip.program(bits)
        errors.append([int(np.count_nonzero(chip.table(READ_V, CLOCK_HZ) != wanted))])
        redone.append([0])
        for _ in range(ROUNDS):
            wrong = (chip.table(supply, CLOCK_HZ) != wanted).any(axis=(-1, -2))
            for macro, row in np.argwhere(wrong):
                chip.array.program_row(int(macro), int(row), bits[macro, row])
            errors[-1].append(int(np.count_nonzero(chip.table(READ_V, CLOCK_HZ) != wanted)))
            redone[-1].append(int(np.count_nonzero(wrong)))
    return {"errors": errors, "redone": redone}


def gather(points: list[dict], results: list[dict]) -> dict:
    """Costs, and rates after each round."""
    costs, chips = {}, []
    for point, result in zip(points, results, strict=True):
        if point["of"] == "cost":
            costs[point["condition"]] = result
        else:
            chips.append(result)
    reads = JEBALI_2024.memristors // 2 * 2  # of each cell, both inputs
    rate = cluster_rate([each["errors"] for each in chips], reads)
    redone = np.cumsum(np.mean([each["redone"] for each in chips], axis=0), axis=-1)
    own = costs["published_chip"]
    rows = JEBALI_2024.macros * JEBALI_2024.rows
    rounds = [
        {
            "verified_v": supply,
            "rounds": list(range(ROUNDS + 1)),
            **Rate(*(part[index] for part in rate)).as_dict(),
            "rows_redone": redone[index],
            "time_s": own["programming"]["time_s"] * (1 + redone[index] / rows),
            "energy_j": own["programming"]["energy_j"] * (1 + redone[index] / rows),
        }
        for index, supply in enumerate(VERIFY_V)
    ]
    return {
        "costs": costs,
        "retries": rounds,
        "inferred_s": INFERRED_S,
        "statements": {
            "pulse time over our arithmetic": {
                what: own[what]["pulse_time_s"] / seconds for what, seconds in INFERRED_S.items()
            },
            "bit errors at 0.8 V": [
                {key: each[key] for key in ("verified_v", "rounds", "rate", "low", "high")}
                for each in rounds
            ],
        },
        "read_v": READ_V, "clock_hz": CLOCK_HZ, "chips": len(chips), "setup_s": PULSE_SETUP_S,
    }  # fmt: skip


def draw(data: dict, figure: Figure) -> None:
    """Energy against time; bit errors against rounds."""
    left, right = figure.subplots(1, 2)
    for series, (name, each) in enumerate(data["costs"].items()):
        done = each["programming"]
        style.band(left, [done["time_s"]], [1e6 * done["energy_j"]], series=series, marker="o",
                   linestyle="none", label=name.replace("_", " "))  # fmt: skip
    formed = data["costs"]["published_chip"]["forming"]
    style.band(left, [formed["time_s"]], [1e6 * formed["energy_j"]], series=5, marker="D",
               linestyle="none", label="forming")  # fmt: skip
    for (what, seconds), line in zip(data["inferred_s"].items(), ("--", ":"), strict=True):
        label = f"{what} {seconds:.2f} s (Jebali 2024,\nMethods), our inference"
        left.axvline(seconds, ymax=0.48, color="black", linewidth=1, linestyle=line, label=label)
    left.set(xscale="log", yscale="log", xlabel="time, one device after another (s)",
             ylabel="energy of the memristors (uJ)", xlim=(2e-3, 1), ylim=(0.3, 2e5),
             yticks=[1, 10, 100], title="one chip: 32,768 devices")  # fmt: skip
    left.legend(loc="upper left", fontsize=8)
    for series, each in enumerate(data["retries"]):
        style.band(right, each["rounds"], each["rate"], each["low"], each["high"], series=series,
                   marker="o", label=f"verified at {each['verified_v']:g} V")  # fmt: skip
    reads = f"bit errors at {data['read_v']:g} V, {data['clock_hz'] / 1e6:g} MHz"
    right.set(xlabel="rounds of verify and retry", xticks=data["retries"][0]["rounds"],
              yscale="log", ylabel=reads, title="the chip's own programming")  # fmt: skip
    right.legend(loc="lower left")


EXPERIMENT = Experiment(
    name="programming",
    title="Programming a chip: time, energy, and verify and retry",
    figure="Jebali 2024, Methods (no figure)",
    duration="2 min",
    status=(
        "Fitted: the chip's compliance and amplifiers, to neuron errors, which stand for 0.5 % of "
        "bits at 0.8 V and 33 MHz. Inputs: pulse times and energies, so time is arithmetic. "
        "Assumed: set-up and rail times. Held out: nothing; no retries are published."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    chips=100,
    parameters=(*(f"jebali_2024/{name}" for name in CONDITIONS), AMPLIFIER),
)
