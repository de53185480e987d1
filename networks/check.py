"""`python -m networks check FILE` answers: I have this file, what now."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from behavioral_models.geometry import PRESETS, preset
from networks import npz
from networks.form import Convolution, Layer, Network
from networks.importing import Imported, find_network, read
from networks.mapping import MappingError
from networks.mapping import compile as compile_network
from networks.text import aligned, counted

__all__ = ["add_arguments", "describe", "run", "table"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "file", metavar="FILE", help=".npz, .onnx or .pt, or the name of a committed network"
    )
    parser.add_argument(
        "--geometry", default=None, metavar="PRESET",
        help=f"also say whether it fits this chip, one of {', '.join(PRESETS)}",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, default=None, metavar="FILE.npz",
        help="write the network as plain arrays",
    )  # fmt: skip
    parser.add_argument(
        "--round-once", action="store_true",
        help="QONNX with scales that are no powers of two: read sums as exact, though qonnx's "
        "executor rounds at every addition",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Check a file and print what it is; returns the exit code."""
    if options.output is not None and options.output.suffix != ".npz":
        raise ValueError(f"--output writes a .npz file, not {options.output.name}")
    geometry = None if options.geometry is None else preset(options.geometry)
    file = find_network(str(options.file))
    found = read(file, options.round_once)
    print(describe(found, file))
    if options.round_once:
        print("Sums were read as exact, rounded once (--round-once).")
    fits = True
    if geometry is not None:
        try:
            program = compile_network(found.network, geometry)
        except MappingError as error:
            fits = False
            print(f"It does not fit {options.geometry}: {error}.")
        else:
            print(
                f"It fits {options.geometry}: {counted(len(program.images), 'program image')}, "
                f"{counted(program.passes, 'pass')} an inference."
            )
    if options.output is not None:
        npz.save(found.network, options.output)
        print(f"Wrote {options.output}.")
        file = options.output
    if fits:
        chip = "" if options.geometry is None else f" --geometry {options.geometry}"
        print(f"Next: python -m networks run {file} --on golden{chip} --data ...")
    return 0 if fits else 1


def describe(found: Imported, path: Path) -> str:
    """Say what a file is and what network it holds."""
    network = found.network
    return "\n".join(
        [
            f"{path.name} is {found.kind}.",
            f"It takes {found.data}.",
            "",
            table(network),
            "",
            f"{network.weight_bits:,} weights, {network.classes} classes; every layer can be "
            f"expressed exactly.",
        ]
    )


def table(network: Network) -> str:
    """Layers of a network, a line each."""
    rows = [("layer", "kind", "takes", "inputs", "neurons", "planes", "votes", "T", "weights")]
    for layer, shape in network.shapes():
        rows.append(
            (
                layer.name,
                _kind(layer),
                " x ".join(map(str, shape)),
                str(len(layer.matrix)),
                str(layer.matrix.shape[1]),
                str(layer.planes),
                str(layer.votes),
                f"{np.min(layer.thresholds)} to {np.max(layer.thresholds)}",
                f"{layer.weights.size:,}",
            )
        )
    return "\n".join(aligned(rows, left=3))


def _kind(layer: Layer) -> str:
    if not isinstance(layer, Convolution):
        return type(layer).__name__.lower()
    _, height, width, _ = layer.weights.shape
    said = f"convolution {height} x {width}"
    if layer.stride != (1, 1):
        said += f", stride {layer.stride[0]} x {layer.stride[1]}"
    if layer.padding != (0, 0):
        said += f", padding {layer.padding[0]} x {layer.padding[1]}"
    if layer.pool != (1, 1):
        said += f", pool {layer.pool[0]} x {layer.pool[1]}"
    return said
