"""How fast things run, side by side in one run: ratios, because machines differ and are shared."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavioral_models.chip import GoldenChip
from behavioral_models.device_chip import DeviceChip
from behavioral_models.geometry import HELIOBIT_WIDE, JEBALI_2024
from behavioral_models.macro import read_table
from behavioral_models.memristor import Condition
from behavioral_models.passes import Configuration, PassConfig
from behavioral_models.xpcsa import Amplifier
from hdl.parameters import ChipParameters
from networks.importing import find_network, load_network
from networks.mapping import compile as compile_network
from networks.runtime import RunResult
from networks.runtime import run as run_program
from sim import tools
from sim.verilated import VerilatedChip, build_chip

__all__ = ["run_bench", "summary"]


#: Inputs that each chip of the Monte Carlo sees.
MONTE_CARLO_INPUTS = 256


def _median_seconds(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def monte_carlo_chip(chip: int) -> int:
    """One chip of a Monte Carlo, drawn, programmed, read at a sagging supply; neurons evaluated."""
    device = DeviceChip(JEBALI_2024, *_models(), seed=1, chip=chip)
    random = np.random.default_rng(chip)
    device.program(random.random(JEBALI_2024.image_shape) < 0.5)
    inputs = random.random((MONTE_CARLO_INPUTS, 116)) < 0.5
    return int(device.golden(0.8, 33e6).run(PassConfig(), inputs).outputs.size)


@cache
def _models() -> tuple[Condition, Amplifier]:
    return Condition("jebali_2024/published_chip"), Amplifier("jebali_2024/amplifier")


def _monte_carlo(chips: int) -> dict[str, float]:
    """Neuron evaluations a second: fixed cell errors, whole Monte Carlo, one worker and two."""
    geometry = JEBALI_2024
    random = np.random.default_rng(0)
    device = DeviceChip(geometry, *_models(), seed=1)
    device.program(random.random(geometry.image_shape) < 0.5)
    golden = device.golden(0.8, 33e6)
    inputs = random.random((20_000, 116)) < 0.5
    seconds = _median_seconds(lambda: golden.run(PassConfig(), inputs), 3)
    measured = {
        "neurons_per_second_fixed_errors": len(inputs) * geometry.neurons / seconds,
        "inputs_a_chip": MONTE_CARLO_INPUTS,
    }
    if find_spec("distributed") is None:
        return measured
    from sim.experiments.workers import Workers

    for count in (1, 2):
        with Workers(count) as workers:
            for _ in workers.run(monte_carlo_chip, range(2 * count)):
                pass  # workers are up, modules loaded
            began = time.perf_counter()
            neurons = sum(done for _, done in workers.run(monte_carlo_chip, range(chips)))
            measured[f"neurons_per_second_{count}_workers"] = neurons / (
                time.perf_counter() - began
            )
    measured["two_workers_over_one"] = (
        measured["neurons_per_second_2_workers"] / measured["neurons_per_second_1_workers"]
    )
    return measured


#: The committed network whose images a second are measured, its layers, and the chip it runs on:
#: banks enough that half of the hidden layer is one pass.
MNIST_NETWORK, MNIST_LAYERS = "mnist_1102_64_majority", (784, 1102, 64, 10)
MNIST_CHIP = replace(HELIOBIT_WIDE, banks=9)


def _mnist_network(errors: float) -> Callable[[NDArray[np.uint8]], RunResult]:
    """The committed network MNIST_NETWORK, compiled, on golden chips: images to classes.

    Parameters
    ----------
    errors : float
        Cells that misread, for one x or for both.
    """
    program = compile_network(load_network(find_network(MNIST_NETWORK)), MNIST_CHIP)
    random = np.random.default_rng(0)
    kinds = np.array([(True, False), (False, True), (True, True)])
    tables = []
    for image in program.images:
        table = read_table(image)
        wrong = random.random(image.shape) < errors
        table[wrong] ^= kinds[random.integers(0, 3, np.count_nonzero(wrong))]
        tables.append(table)
    chip = GoldenChip(MNIST_CHIP)
    return lambda images: run_program(program, chip, images, tables if errors else None)


def _mnist_speed(repeats: int, images: int = 10_000) -> dict:
    """Images a second of an MNIST network on golden chips, and in PyTorch: one thread each."""
    random = np.random.default_rng(0)
    inputs = random.integers(0, 256, (images, MNIST_LAYERS[0]), dtype=np.uint8)
    ours = {"no errors": _mnist_network(0), "fixed errors": _mnist_network(0.02)}
    works: dict[str | int, Callable[[], object]] = {
        name: lambda network=network: network(inputs) for name, network in ours.items()
    }
    batches = (64, 128, 256, 512, 1024, 2048) if find_spec("torch") is not None else ()
    if batches:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        floats = torch.from_numpy(inputs >> 4).float()
        layers = [torch.sign(torch.randn(shape)) for shape in pairwise(MNIST_LAYERS)]

        def run(batch: int) -> None:
            with torch.inference_mode():
                for x in floats.split(batch):
                    for layer in layers[:-1]:
                        x = torch.sign(x @ layer)
                    (x @ layers[-1]).argmax(dim=1)

        works |= {batch: lambda batch=batch: run(batch) for batch in batches}
    seconds: dict[str | int, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()  # compiled, prepared, in memory
    for _ in range(repeats):  # alternately, so that all see the same machine
        for name, work in works.items():
            seconds[name].append(_median_seconds(work, 1))
    if batches:
        torch.set_num_threads(threads)
    measured: dict = {
        "network": "-".join(map(str, MNIST_LAYERS)),
        "images_per_second": {name: images / statistics.median(seconds[name]) for name in ours},
        "cells_with_errors": 0.02,
    }
    if batches:
        best = min(batches, key=lambda batch: statistics.median(seconds[batch]))
        measured["pytorch"] = {
            "version": torch.__version__,
            "best_batch": best,
            "images_per_second": images / statistics.median(seconds[best]),
            "ratio": {
                name: statistics.median(
                    theirs / own for theirs, own in zip(seconds[best], seconds[name], strict=True)
                )
                for name in ours
            },
        }
    return measured


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
    with tqdm(total=5 + repeats, desc="bench") as bar:
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
        measured["mnist"] = _mnist_speed(repeats)
        bar.update()
        measured["monte_carlo"] = _monte_carlo(40 * repeats)
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
    ]
    mnist = measured["mnist"]
    images = ", ".join(f"{n:,.0f} with {name}" for name, n in mnist["images_per_second"].items())
    lines += [f"Golden model, {mnist['network']} of MNIST's size, one thread, images a second:"]
    lines += [f"  {images} ({100 * mnist['cells_with_errors']:.0f} % of cells)"]
    if "pytorch" in mnist:
        torch = mnist["pytorch"]
        ratios = ", ".join(f"{ratio:.2f} with {name}" for name, ratio in torch["ratio"].items())
        lines += [
            f"  PyTorch {torch['version']}, float32, at its best batch of {torch['best_batch']}: "
            f"{torch['images_per_second']:,.0f}; ratio {ratios}"
        ]
    else:
        lines += ["  PyTorch not measured: `pip install -e .[train]` brings it"]
    monte_carlo = measured["monte_carlo"]
    lines += [
        "Monte Carlo of JEBALI_2024 at 0.8 V, 33 MHz, neuron evaluations a second:",
        f"  {monte_carlo['neurons_per_second_fixed_errors']:,.0f} with one chip's fixed errors",
    ]
    if "two_workers_over_one" in monte_carlo:
        lines += [
            f"  {monte_carlo['neurons_per_second_1_workers']:,.0f} on one worker, chips drawn and "
            f"programmed, {monte_carlo['inputs_a_chip']} inputs each; two workers "
            f"{monte_carlo['two_workers_over_one']:.2f} times as many"
        ]
    else:
        lines += ["  workers not measured: `pip install -e .[figures]` brings Dask"]
    lines += [
        f"JSON: {folder / 'bench.json'}",
    ]
    return "\n".join(lines)
