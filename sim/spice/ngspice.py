"""Run a deck in ngspice and read its waveforms; keep each result by the hash of its deck."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavioral_models.files import write_whole
from sim.tools import ToolError

__all__ = ["Store", "find_ngspice", "ngspice_version", "simulate"]


def find_ngspice() -> Path:
    """Path of ngspice; ToolError if there is none."""
    program = shutil.which("ngspice")
    if program is None:
        raise ToolError("There is no ngspice here: install your system's ngspice package")
    return Path(program)


@cache
def ngspice_version() -> str:
    """Name and version, as `ngspice --version` says."""
    done = subprocess.run(
        [find_ngspice(), "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"ngspice-([\w.+]+)", done.stdout)
    return f"ngspice {found.group(1)}" if found else "ngspice of unknown version"


def simulate(deck: str) -> dict[str, NDArray[np.float64]]:
    """Run a deck; its saved waveforms by name, `time` or the sweep among them.

    Raises
    ------
    ToolError
        If there is no ngspice, or it does not finish the deck; the message has its last lines.
    """
    program = find_ngspice()
    with tempfile.TemporaryDirectory() as folder:
        path, raw = Path(folder) / "deck.cir", Path(folder) / "deck.raw"
        path.write_text(deck)
        done = subprocess.run(
            [program, "-n", "-b", "-r", raw, path],
            cwd=folder, capture_output=True, text=True, check=False,
            env=dict(os.environ, OMP_NUM_THREADS="1", OMP_THREAD_LIMIT="1"),  # one core
        )  # fmt: skip
        said = done.stdout + done.stderr
        if done.returncode or not raw.exists() or "aborted" in said.lower():
            last = "\n".join(said.strip().splitlines()[-8:])
            raise ToolError(f"ngspice did not finish the deck:\n{last}")
        return _read_raw(raw.read_bytes())


def _read_raw(content: bytes) -> dict[str, NDArray[np.float64]]:
    head, mark, data = content.partition(b"Binary:\n")
    if not mark:
        raise ToolError("ngspice wrote no binary waveforms")
    text = head.decode(errors="replace")
    names = re.findall(r"^\t\d+\t(\S+)\t", text, re.MULTILINE)
    count = re.search(r"No\. Points:\s*(\d+)", text)
    if count is None:
        raise ToolError("ngspice did not say how many points it wrote")
    points = int(count[1])
    values = np.frombuffer(data, dtype=np.float64)[: points * len(names)]
    return dict(zip(names, values.reshape(points, len(names)).T, strict=True))


@cache
def _source(measure: Callable) -> str:
    """Hash of a measure's source, and of the functions of its module that it calls."""
    found: dict[str, str] = {}
    left = [measure]
    while left:
        function = left.pop()
        if function.__name__ in found:
            continue
        found[function.__name__] = inspect.getsource(function)
        named = (function.__globals__.get(name) for name in function.__code__.co_names)
        left += [
            each
            for each in named
            if isinstance(each, FunctionType) and each.__module__ == measure.__module__
        ]
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


class Store:
    """Results of decks, one JSON file each, named by a hash of the deck and its measure's code.

    Parameters
    ----------
    folder : Path, optional
        Where the files are; without it nothing is kept.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.runs = 0

    def measure(self, deck: str, measure, **arguments: Any) -> Any:
        """`measure(waveforms, **arguments)` of a deck, taken from the store where it is there."""
        key = hashlib.sha256(
            json.dumps(
                [deck, measure.__name__, _source(measure), arguments], sort_keys=True
            ).encode()
        ).hexdigest()[:24]
        target = self.folder / f"{key}.json" if self.folder else None
        if target and target.exists():
            return json.loads(target.read_text())["result"]
        result = measure(simulate(deck), **arguments)
        self.runs += 1
        if target:
            kept = {"measure": measure.__name__, "arguments": arguments,
                    "ngspice": ngspice_version(), "result": result}  # fmt: skip
            write_whole(target, json.dumps(kept))
        return result
