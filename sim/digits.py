"""The main job: the digits network on the Verilated chip, every answer held against two others."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from behavioral_models.chip import GoldenChip
from hdl.parameters import ChipParameters
from networks import digits
from sim import tools
from sim.verilated import VerilatedChip, build_chip

__all__ = ["PULSES", "run_digits", "summary"]

#: Pulse lengths in clock cycles that the simulated chip is programmed with, not microseconds.
PULSES = {"form_pulse": 4, "set_pulse": 4, "reset_pulse": 4, "dead_time": 2, "pulse_setup": 1}


def run_digits(
    parameters: ChipParameters,
    folder: Path,
    verilog: Path | None = None,
    images: int | None = None,
    waveform: bool = True,
) -> dict:
    """Program, read back and run all held-out digits through the RTL.

    Parameters
    ----------
    parameters : ChipParameters
    folder : Path
        Gets `digits.json`, and `digits.vcd` if a `waveform` is wanted.
    verilog : Path, optional
        Verilog of this chip; made anew where not given.
    images : int, optional
        Run so many of the held-out digits, not all.

    Returns
    -------
    dict
        What was measured; the same as in `digits.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    geometry = parameters.geometry
    network = digits.DigitsNetwork.load()
    image = digits.program_image(network, geometry)
    pass_config = digits.digits_pass()
    held_out = digits.load_part("held_out")
    pixels, labels = held_out.pixels[:images], held_out.labels[:images]
    inputs = digits.encode(pixels, network.pixel, network.level)

    with tqdm(total=1, desc="build the simulator", bar_format="{desc}: {elapsed} s") as bar:
        program = build_chip(parameters, verilog=verilog)
        bar.update()
    rows = geometry.macros * geometry.rows
    began = time.perf_counter()
    with VerilatedChip(parameters, program=program) as chip:
        chip.set_timing(**PULSES)
        with tqdm(total=3 * rows, unit="row", desc="form, program, read back") as bar:
            chip.form(bar.update)
            chip.load(image, bar.update)
            chip.verify(image, bar.update)
        programmed_s = time.perf_counter() - began
        with tqdm(total=len(inputs), unit="digit", desc="run with readout") as bar:
            result = chip.run(pass_config, inputs, readout=True, progress=bar.update)
        began = time.perf_counter()
        plain = chip.run(pass_config, inputs)
        plain_s = time.perf_counter() - began

    golden_chip = GoldenChip(geometry, parameters.read_timing)
    golden_chip.load(image)
    golden = golden_chip.run(pass_config, inputs, readout=True)
    straight = digits.evaluate(network, pixels)
    columns = geometry.columns
    hidden = slice(0, digits.HIDDEN)
    classes = slice(columns, columns + digits.CLASSES)
    differences = {
        "outputs, RTL and golden model": result.outputs != golden.outputs,
        "outputs without readout, RTL and golden model": plain.outputs != golden.outputs,
        "preactivations, RTL and golden model": result.preactivations != golden.preactivations,
        "hidden outputs, RTL and network": result.outputs[:, hidden] != straight.hidden_bits,
        "hidden preactivations, RTL and network":
            result.preactivations[:, hidden] != straight.hidden_preactivations,
        "class preactivations, RTL and network":
            result.preactivations[:, classes] != straight.class_preactivations,
        "cycles, RTL and golden model": np.array(
            [result.cycles != golden.cycles,
             plain.cycles != golden_chip.run(pass_config, inputs).cycles]),
    }  # fmt: skip
    predicted = result.preactivations[:, classes].argmax(axis=1)
    measured = {
        "command": "python -m sim digits",
        "geometry": geometry.as_dict(),
        "read_timing": parameters.read_timing,
        "style": parameters.style,
        "simulator": tools.verilator_version(),
        "digits": len(inputs),
        "right": int((predicted == labels).sum()),
        "accuracy": float((predicted == labels).mean()),
        "differences": {name: int(np.count_nonzero(d)) for name, d in differences.items()},
        "compared": {name: int(d.size) for name, d in differences.items()},
        "rows_programmed": rows,
        "cycles": plain.cycles,
        "wait_cycles": plain.wait_cycles,
        "cycles_per_inference": plain.cycles / len(inputs),
        "cycles_per_inference_with_readout": result.cycles / len(inputs),
        "inferences_per_second_simulated": len(inputs) / plain_s,
        "programming_seconds": programmed_s,
        "cycles_simulated": chip.statistics["cycles"],
        "cycles_per_second_simulated": chip.statistics["cycles"] / chip.statistics["seconds"],
    }
    if waveform:
        measured["waveform"] = str(_waveform(parameters, image, inputs, folder, verilog))
    target = folder / "digits.json"
    scratch = target.with_suffix(".json.new")
    scratch.write_text(json.dumps(measured, indent=2) + "\n")
    scratch.replace(target)
    return measured


def _waveform(parameters, image, inputs, folder, verilog):
    """Two digits through a simulator built with waveforms; return the file."""
    target = folder / "digits.vcd"
    scratch = target.with_suffix(".vcd.new")
    with tqdm(total=1, desc="waveform of two digits", bar_format="{desc}: {elapsed} s") as bar:
        program = build_chip(parameters, trace=True, verilog=verilog)
        with VerilatedChip.with_image(
            parameters, image, program=program, trace=scratch, trace_cycles=3000
        ) as chip:
            chip.run(digits.digits_pass(), inputs[:2], readout=True)
        bar.update()
    scratch.replace(target)
    return target


def summary(measured: dict, verilog: Path, folder: Path) -> str:
    """What the main job prints at its end."""
    wrong = {name: n for name, n in measured["differences"].items() if n}
    compared = sum(measured["compared"].values())
    same = (
        f"{compared:,} outputs, preactivations and cycle counts: RTL = golden model = network"
        if not wrong
        else "NO: " + "; ".join(f"{n} {name}" for name, n in wrong.items())
    )
    lines = [
        ("digits", f"{measured['digits']} held-out images; {measured['rows_programmed']} rows "
                   "formed, programmed and read back"),
        ("bit-identical", same),
        ("accuracy", f"{100 * measured['accuracy']:.1f} % "
                     f"({measured['right']} of {measured['digits']})"),
        ("cycles", f"{measured['cycles_per_inference']:.1f} an inference, "
                   f"{measured['cycles_per_inference_with_readout']:.1f} with readout"),
        ("simulation", f"{measured['inferences_per_second_simulated']:,.0f} inferences/s, "
                       f"{measured['cycles_per_second_simulated']:,.0f} clock cycles/s"),
        ("Verilog", f"{verilog}"),
        ("waveform", measured.get("waveform", "not asked for")),
        ("JSON", f"{folder / 'digits.json'}"),
    ]  # fmt: skip
    return "\n".join(f"{name:>14}  {text}" for name, text in lines)
