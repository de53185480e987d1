"""How fast things run, side by side in one run: ratios, because machines differ and are shared."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import JEBALI_2024
from behavioral_models.passes import Configuration, PassConfig
from hdl.parameters import ChipParameters
from sim import tools
from sim.verilated import VerilatedChip, build_chip

__all__ = ["run_bench", "summary"]


def _median_seconds(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def run_bench(folder: Path, repeats: int = 5) -> dict:
    """Measure the Verilated chip and the golden model for JEBALI_2024; write `bench.json`.

    Parameters
    ----------
    folder : Path
    repeats : int
        Times each measurement is repeated; medians are reported.

    Returns
    -------
    dict
        What was measured.
    """
    geometry = JEBALI_2024
    random = np.random.default_rng(0)
    image = random.random(geometry.image_shape) < 0.5
    measured: dict = {"simulator": tools.verilator_version(), "numpy": np.__version__, "chip": {}}
    passes = {
        "single layer, 116 x 128": PassConfig(),
        "two layers, 116 x 64 twice": PassConfig(Configuration.TWO_LAYER),
    }
    batch = 20_000
    with tqdm(total=3 + repeats, desc="bench") as bar:
        for read_timing in (1, 2, 3):
            parameters = ChipParameters(geometry, read_timing)
            program = build_chip(parameters)
            results = {}
            for name, pass_config in passes.items():
                inputs = random.random((batch, pass_config.inputs(geometry))) < 0.5
                with VerilatedChip.with_image(parameters, image, program=program) as chip:
                    chip.run(pass_config, inputs)
                slots = batch * pass_config.row_operations * read_timing
                results[name] = {
                    "cycles_per_second": chip.statistics["cycles"] / chip.statistics["seconds"],
                    "inferences_per_second": batch / chip.statistics["seconds"],
                    # every cycle the simulator ran: identify, configure, packets, all of it
                    "row_slots_over_cycles": slots / chip.statistics["cycles"],
                }
            measured["chip"][f"read timing {read_timing}"] = results
            bar.update()
        golden = GoldenChip(geometry)
        golden.load(image)
        inputs = random.random((batch, 116)) < 0.5
        layer = random.standard_normal((116, 128)).astype(np.float32)
        floats = inputs.astype(np.float32)
        ours, theirs = [], []
        for _ in range(repeats):  # alternately, so that both see the same machine
            ours.append(
                _median_seconds(lambda: golden.run(passes["single layer, 116 x 128"], inputs), 1)
            )
            theirs.append(_median_seconds(lambda: floats @ layer, 1))
            bar.update()
    measured["golden"] = {
        "layer": "116 x 128, batch of 20,000",
        "inferences_per_second": batch / statistics.median(ours),
        "float32_product_per_second": batch / statistics.median(theirs),
        "ratio": statistics.median(t / o for t, o in zip(theirs, ours, strict=True)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "bench.json.new"
    scratch.write_text(json.dumps(measured, indent=2) + "\n")
    scratch.replace(folder / "bench.json")
    return measured


def summary(measured: dict, folder: Path) -> str:
    """The measurements as a table."""
    lines = [f"Verilated JEBALI_2024 ({measured['simulator']}), host protocol over a pipe:"]
    for timing, results in measured["chip"].items():
        for name, result in results.items():
            lines.append(
                f"  {timing}, {name:<28} {result['cycles_per_second']:>10,.0f} cycles/s  "
                f"{result['inferences_per_second']:>8,.0f} inferences/s  row slots over cycles "
                f"{100 * result['row_slots_over_cycles']:.2f} %"
            )
    golden = measured["golden"]
    lines += [
        f"Golden model, {golden['layer']}:",
        f"  {golden['inferences_per_second']:,.0f} inferences/s; a float32 matrix product in numpy "
        f"{golden['float32_product_per_second']:,.0f}/s; ratio {golden['ratio']:.2f}",
        f"JSON: {folder / 'bench.json'}",
    ]
    return "\n".join(lines)
