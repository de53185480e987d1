"""A netlist run as the chip: Verilated, behind the host driver, held against the golden model."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from behavioral_models.chip import GoldenChip
from networks import digits
from sim.tools import verilator_version
from sim.verilated import VerilatedChip, build_chip
from synthesis.netlist import Netlist

__all__ = ["GateLevelError", "GateLevelRun", "build_netlist", "run_digits"]


#: What a netlist may do and the RTL may not: leave a cell's output unconnected, and, where one net
#: is several ports of a module, assign a port twice (Yosys writes an assignment for each pair).
#: `synthesis.simulation` refuses unconnected inputs and nets with two drivers.
_LINT = """`verilator_config
lint_off -rule PINMISSING
lint_off -rule MULTIDRIVEN
"""


class GateLevelError(RuntimeError):
    """A netlist cannot be run, or answers wrong."""


@dataclass(frozen=True)
class GateLevelRun:
    """The digits network on a netlist: what was compared with the golden model, and what differed.

    `differences` and `compared` are numbers of outputs, preactivations and cycle counts, by name.
    """

    style: str
    read_timing: int
    library: str
    digits: int
    right: int
    cycles: int
    cycles_simulated: int
    simulator: str
    compared: dict[str, int]
    differences: dict[str, int]

    @property
    def equal(self) -> bool:
        """Whether nothing differed."""
        return not any(self.differences.values())

    def as_dict(self) -> dict[str, Any]:
        """Fields by name, for JSON."""
        return asdict(self)


def build_netlist(netlist: Netlist) -> Path:
    """Build the simulator of a netlist, or find it built; it is quick to build, not to run.

    Raises
    ------
    GateLevelError
        If the netlist is not that of a whole chip.
    ToolError
        If Verilator is missing or fails.
    """
    if netlist.options.top != "chip":
        raise GateLevelError(
            f"Only the netlist of a whole chip runs behind the host protocol, not of the "
            f"{netlist.options.top}: synthesize the chip"
        )
    macros = sorted((netlist.folder / "rtl" / "simulation").glob("heliobit_macro*.v"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        parts = [*macros, netlist.cells_file, netlist.file(".v")]
        for part in parts:
            shutil.copy(part, folder / part.name)
        (folder / "lint.vlt").write_text(_LINT)
        names = ["lint.vlt", *(part.name for part in parts)]
        (folder / "chip.f").write_text("".join(f"{name}\n" for name in names))
        return build_chip(netlist.parameters, verilog=folder, quick=True)


def run_digits(netlist: Netlist, images: int = 20, progress: bool = True) -> GateLevelRun:
    """Run the committed digits network on a netlist, every answer held against the golden model.

    The program image is loaded through the back door; configuration, inputs and answers go through
    the netlist's host port. The digits run twice, with and without a readout.

    Parameters
    ----------
    netlist : Netlist
        Of a whole chip, of a geometry that the digits fit.
    images : int
        So many of the held-out digits.
    progress : bool
        Show a progress bar.

    Raises
    ------
    GateLevelError
        If an output, a preactivation or a cycle count differs.
    ToolError
        If Verilator is missing or fails.
    """
    parameters = netlist.parameters
    network = digits.DigitsNetwork.load()
    image = digits.program_image(network, parameters.geometry)
    held_out = digits.load_part("held_out")
    if not 1 <= images <= len(held_out.labels):
        raise GateLevelError(f"There are {len(held_out.labels)} held-out digits, not {images!r}")
    inputs = digits.encode(held_out.pixels[:images], network.pixel, network.level)
    pass_config = digits.digits_pass()
    with tqdm(
        total=2 * images, unit="digit", desc=f"gate-level {parameters.style}", disable=not progress
    ) as bar:
        program = build_netlist(netlist)
        with VerilatedChip.with_image(parameters, image, program=program) as chip:
            result = chip.run(pass_config, inputs, readout=True, progress=bar.update)
            plain = chip.run(pass_config, inputs, progress=bar.update)
    golden_chip = GoldenChip(parameters.geometry, parameters.read_timing)
    golden_chip.load(image)
    golden = golden_chip.run(pass_config, inputs, readout=True)
    plain_cycles = golden_chip.run(pass_config, inputs).cycles
    differing = {
        "outputs": result.outputs != golden.outputs,
        "outputs without readout": plain.outputs != golden.outputs,
        "preactivations": result.preactivations != golden.preactivations,
        "cycle counts": np.array([result.cycles != golden.cycles, plain.cycles != plain_cycles]),
    }
    assert golden.preactivations is not None
    columns = parameters.geometry.columns
    scores = golden.preactivations[:, columns : columns + digits.CLASSES]
    run = GateLevelRun(
        style=parameters.style,
        read_timing=parameters.read_timing,
        library=netlist.library_name,
        digits=images,
        right=int((scores.argmax(axis=1) == held_out.labels[:images]).sum()),
        cycles=plain.cycles,
        cycles_simulated=int(chip.statistics["cycles"]),
        simulator=verilator_version(),
        compared={name: int(d.size) for name, d in differing.items()},
        differences={name: int(np.count_nonzero(d)) for name, d in differing.items()},
    )
    if not run.equal:
        wrong = ", ".join(f"{n} {name}" for name, n in run.differences.items() if n)
        raise GateLevelError(
            f"The {parameters.style} netlist does not answer as the golden model does: {wrong} of "
            f"{images} digits differ"
        )
    return run
