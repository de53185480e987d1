"""What all training commands say and write alike: options, versions, records."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from behavioral_models.files import write_whole

__all__ = [
    "KEPT_BECAUSE",
    "ExportError",
    "best_seed",
    "check_seeds",
    "in_one_sentence",
    "versions",
    "write_record",
]

#: Why `best_seed` is kept, for records.
KEPT_BECAUSE = "best validation accuracy, the lowest seed of equal ones"


class ExportError(RuntimeError):
    """An exported network that differs from its training graph."""


def best_seed(validated: Mapping[int, float]) -> int:
    """Seed of the best validation accuracy, the lowest of equal ones."""
    return max(validated, key=lambda seed: (validated[seed], -seed))


def check_seeds(parser: argparse.ArgumentParser, seeds: list[int]) -> None:
    """Refuse, as the parser does, seeds that repeat or are negative."""
    if len(set(seeds)) != len(seeds) or min(seeds) < 0:
        parser.error(f"--seeds must be different and not negative, not {seeds}")


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of these packages, as installed."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON record, whole or not at all."""
    write_whole(path, json.dumps(record, indent=2) + "\n")


def in_one_sentence(body: Callable[[], None]) -> int:
    """Run a command's body; print what a user can mend as one sentence. Return the exit status."""
    try:
        body()
    except (OSError, ValueError, ModuleNotFoundError, ExportError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
