"""Solar cell and chip: the cell's characteristics, the chip's load line, where they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from behavioral_models.supply import ChipLoad, SolarCell, operating_point
from sim.experiments import style
from sim.experiments.experiment import Experiment, Options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Equivalent suns: the illuminations of Jebali 2024, Table 1.
SUNS = (8.0, 0.8, 0.36, 0.08)

#: Volts, open circuit at high illumination (Jebali 2024, Results); the cell is fitted to it.
PUBLISHED_OPEN_CIRCUIT_V = 1.23

FLOOR_A = 3e-6  # lower end of the current axis


def points(_options: Options) -> list[dict]:
    """One point an illumination."""
    return [{"suns": suns} for suns in SUNS]


def run(point: dict, _seed: int) -> dict:
    """Characteristic and operating point at one illumination; nothing is random."""
    cell, load = SolarCell.from_file(), ChipLoad.from_file()
    suns = point["suns"]
    open_circuit_v = float(cell.open_circuit_v(suns))
    # as close to open circuit as a logarithmic axis can show
    v = open_circuit_v * (
        1 - np.concatenate([np.linspace(1, 0.02, 120), np.geomspace(0.018, 1e-5)])
    )
    meeting = operating_point(cell, load, suns)
    return {
        "voltage_v": v,
        "current_a": cell.current(v, suns),
        "open_circuit_v": open_circuit_v,
        "short_circuit_a": cell.short_circuit_a(suns),
        "maximum_power_w": cell.maximum_power(suns).power_w,
        "operating_point": {
            "vdd_v": meeting.vdd_v,
            "current_a": meeting.current_a,
            "clock_hz": meeting.clock_hz,
            "state": meeting.state.value,
        },
    }


def gather(points: list[dict], results: list[dict]) -> dict:
    """All illuminations, and the load line at the clock that they share."""
    load = ChipLoad.from_file()
    clock_hz = results[0]["operating_point"]["clock_hz"]
    v = np.linspace(load.stop_v, 1.3, 100)
    return {
        "illuminations": [{**point, **each} for point, each in zip(points, results, strict=True)],
        "load_line": {
            "clock_hz": clock_hz, "voltage_v": v, "current_a": load.current(v, clock_hz),
        },
        "published_open_circuit_v": PUBLISHED_OPEN_CIRCUIT_V,
    }  # fmt: skip


def draw(data: dict, figure: Figure) -> None:
    """Currents on a logarithmic axis: those of the illuminations span a factor of 100."""
    axis = figure.subplots()
    for index, each in enumerate(data["illuminations"]):
        meeting = each["operating_point"]
        label = f"{each['suns']:g} suns: {meeting['vdd_v']:.3f} V, {meeting['state']}"
        style.band(axis, each["voltage_v"], each["current_a"], label=label, series=index)
        style.band(axis, [meeting["vdd_v"]], [meeting["current_a"]], series=index, marker="o",
                   zorder=5)  # fmt: skip
    line = data["load_line"]
    style.band(axis, line["voltage_v"], line["current_a"], color="black", linestyle="--",
               label=f"the chip's load at {line['clock_hz'] / 1e3:g} kHz")  # fmt: skip
    style.published(axis, [data["published_open_circuit_v"]], [1.25 * FLOOR_A],
                    "open circuit under high illumination (Jebali 2024, Results)",
                    clip_on=False)  # fmt: skip
    axis.set(xlabel="supply voltage (V)", ylabel="current (A)", yscale="log", xlim=(0, 1.32),
             ylim=(FLOOR_A, 1e-1))  # fmt: skip
    axis.legend(loc="lower left")


EXPERIMENT = Experiment(
    name="solar",
    title="Solar cell and chip: characteristics, load line, operating points",
    figure="Jebali 2024, Fig. 4c",
    duration="2 s",
    status=(
        "Fitted: 1.23 V open-circuit voltage at 8 suns; the clock on the cell, so that 0.08 suns "
        "hold 0.75 V. Assumed: photocurrent, ideality, resistances. Held out: the supply at 8, 0.8 "
        "and 0.36 suns, of which no value is published."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    needs=("pvlib",),
    parameters=("jebali_2024/solar_cell", "jebali_2024/supply"),
    in_process=True,
)
