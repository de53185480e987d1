"""What an experiment needs that may not be here: trained networks, and data of others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from networks import mnist
from sim.experiments.experiment import Experiment, ExperimentError
from sim.experiments.provenance import ROOT, file_hashes

__all__ = ["DATA", "data_hashes", "lacking"]


def _mnist(part: str) -> str:
    images = mnist.load_part(part)
    digest = hashlib.sha256(np.ascontiguousarray(images.pixels))
    digest.update(np.ascontiguousarray(images.labels))
    return digest.hexdigest()[:16]


#: Data sets outside the repository: part -> hash of its contents; raises if it is not here.
DATA: dict[str, Callable[[str], str]] = {"mnist": _mnist}


def _each(experiment: Experiment) -> list[tuple[str, str]]:
    """Data set and part of each of `Experiment.data`."""
    pairs = []
    for text in experiment.data:
        name, _, part = text.partition(":")
        if name not in DATA or not part:
            raise ExperimentError(
                f"Experiment {experiment.name}: data {text!r} are not a set "
                f"({', '.join(DATA)}) and its part, as mnist:test"
            )
        pairs.append((name, part))
    return pairs


def data_hashes(experiment: Experiment) -> dict[str, str]:
    """Hash of the contents of each data set that `run` reads, by its name.

    Raises
    ------
    ExperimentError
        If one is not here, or not what it should be.
    """
    hashes = {}
    for name, part in _each(experiment):
        try:
            hashes[f"{name}:{part}"] = DATA[name](part)
        except (OSError, ValueError) as error:
            raise ExperimentError(f"Experiment {experiment.name}: {error}") from None
    return hashes


def lacking(experiment: Experiment) -> str | None:
    """Why the experiment cannot run here, a file or data set that is missing; None if it can."""
    try:
        file_hashes(ROOT, list(experiment.files))
        data_hashes(experiment)
    except ExperimentError as error:
        return str(error).removeprefix(f"Experiment {experiment.name}: ")
    return None
