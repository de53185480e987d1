"""Builds a bench's simulator, runs it, and says how its tests ended."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from cocotb_tools.runner import get_runner

from behavioral_models.macro import read_table
from hdl.generate import generate
from hdl.macro import MACRO_SOURCE
from hdl.parameters import ChipParameters
from sim import tools
from sim.benches.random_passes import random_image
from sim.benches.spec import VARIABLE, BenchSpec
from sim.verilated import BUILD, write_macro_images

__all__ = ["BenchResult", "run_bench"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class BenchResult:
    """How a bench ended.

    Attributes
    ----------
    spec : BenchSpec
    passed, failed : list of str
        Names of tests.
    seconds : float
        Build and run together.
    log : Path
        What the simulator printed.
    message : str
        Why the simulation ended early, if it did.
    """

    spec: BenchSpec
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    log: Path = Path()
    message: str = ""

    @property
    def ok(self) -> bool:
        """All tests ran, and none failed."""
        return bool(self.passed) and not self.failed and not self.message


def run_bench(
    spec: BenchSpec,
    plusargs: tuple[str, ...] = (),
    test_filter: str | None = None,
    build: Path | None = None,
) -> BenchResult:
    """Build what a bench needs, unless it is built already, and run its tests.

    Parameters
    ----------
    spec : BenchSpec
    plusargs : tuple of str
        Given to the simulator besides those the bench needs.
    test_filter : str, optional
        Regular expression: only tests it matches.
    build : Path, optional
        Folder to build under; `sim.verilated.BUILD`/benches where not given.

    Raises
    ------
    ToolError
        If the simulator is missing, or the build fails.
    """
    started = time.monotonic()
    home = ((build or BUILD / "benches") / spec.name).resolve()
    home.mkdir(parents=True, exist_ok=True)
    sources, parameters = _sources(spec, home)
    simulator = _build(spec, home, sources, parameters)
    result = BenchResult(spec, log=home / "run.log")
    results = home / "results.xml"
    top = f"heliobit_{spec.top}"
    try:
        simulator.test(
            test_module=f"sim.benches.test_{spec.top}", hdl_toplevel=top, hdl_toplevel_lang="verilog",
            build_dir=home / "simulator", test_dir=home, results_xml=str(results),
            seed=spec.seed, log_file=result.log, test_filter=test_filter,
            extra_env={VARIABLE: spec.to_json(), "COCOTB_ANSI_OUTPUT": "0"},
            plusargs=[*_plusargs(spec, home), *plusargs],
        )  # fmt: skip
    except (RuntimeError, SystemExit) as error:
        result.message = f"the simulator ended early: {error}"
    if results.exists():
        for case in ElementTree.parse(results).iter("testcase"):
            bad = case.find("failure") is not None or case.find("error") is not None
            (result.failed if bad else result.passed).append(case.get("name", "?"))
    if not result.passed and not result.failed and not result.message:
        result.message = "no test ran"
    result.seconds = time.monotonic() - started
    return result


def _sources(spec: BenchSpec, home: Path) -> tuple[list[Path], dict[str, int]]:
    """Verilog files of a bench's top, and its parameters."""
    if spec.top == "macro":
        return [MACRO_SOURCE], {"ROWS": spec.geometry.rows, "COLUMNS": spec.geometry.columns}
    folder = generate(
        ChipParameters(spec.geometry, spec.read_timing, spec.style), home / "verilog", spec.top)
    return [folder / line for line in (folder / f"{spec.top}.f").read_text().split()], {}


def _build(spec: BenchSpec, home: Path, sources: list[Path], parameters: dict[str, int]):
    """The cocotb runner, its simulator built; what was built from the same sources is kept."""
    arguments: list[str] = []
    if spec.simulator == "verilator":
        environment = tools.verilator_environment()
        version = tools.verilator_version()
        for name in ("PATH", "VERILATOR_ROOT"):  # cocotb's runner looks at the process's own
            if name in environment and os.environ.get(name) != environment[name]:
                if name != "PATH" or not os.environ["PATH"].startswith(environment[name][:20]):
                    os.environ[name] = environment[name]
        # registers start random: +verilator+seed
        arguments = ["--x-assign", "unique", "--x-initial", "unique", "-Wno-fatal"]
    else:
        version = str(tools.icarus())
    made_from = hashlib.sha256(f"{version} {arguments} {parameters}".encode())
    for source in sources:
        made_from.update(source.read_bytes())
    stamp = home / "built"
    runner = get_runner(spec.simulator)
    if stamp.exists() and stamp.read_text() == made_from.hexdigest():
        return runner
    shutil.rmtree(home / "simulator", ignore_errors=True)
    stamp.unlink(missing_ok=True)
    log = home / "build.log"
    try:
        runner.build(
            sources=sources, hdl_toplevel=f"heliobit_{spec.top}", parameters=parameters,
            build_args=arguments, build_dir=home / "simulator", timescale=("1ns", "1ps"),
            always=True, log_file=log,
        )  # fmt: skip
    except RuntimeError as error:
        last = "\n".join(log.read_text().strip().splitlines()[-12:])
        raise tools.ToolError(f"Building the bench {spec.name} failed: {error}\n{last}") from None
    stamp.write_text(made_from.hexdigest())
    return runner


def _plusargs(spec: BenchSpec, home: Path) -> list[str]:
    plusargs = []
    if spec.simulator == "verilator":
        plusargs += ["+verilator+rand+reset+2", f"+verilator+seed+{spec.seed}"]
    if spec.top == "chip" and spec.image:
        image: np.ndarray = random_image(spec.random("image"), spec.geometry)
        plusargs.append(f"+macro_image={write_macro_images(spec.geometry, read_table(image), home)}")
    return plusargs
