"""`python -m sim list` and `python -m sim figure`."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from sim.experiments.available import lacking
from sim.experiments.experiment import Experiment, ExperimentError, choose, discover
from sim.experiments.runner import run_experiment
from sim.experiments.workers import Workers

__all__ = ["list_text", "run_figure", "run_list"]


def list_text(experiments: dict[str, Experiment]) -> str:
    """Every experiment: name, what it shows, published figure, duration, what was fitted.

    Where something it needs is not here, what.
    """
    width = max((len(name) for name in experiments), default=0)
    lines = []
    for name, experiment in experiments.items():
        lines.append(f"{name:<{width}}  {experiment.title}")
        lines.append(f"{'':<{width}}  {experiment.figure}; {experiment.duration}")
        lines.append(f"{'':<{width}}  {experiment.status}")
        reason = lacking(experiment)
        if reason is not None:
            lines.append(f"{'':<{width}}  Cannot be made here: {reason}")
    return "\n".join(lines) or "There are no experiments"


def run_list(_options: argparse.Namespace) -> int:
    """Print all experiments; returns the exit code."""
    print(list_text(discover()))
    return 0


def _require(experiments: list[Experiment], dask: bool) -> None:
    """ExperimentError if a package of the `figures` extra is missing."""
    needed = {"matplotlib": None}
    if dask:
        needed |= {"dask": None, "distributed": None}
    for experiment in experiments:
        needed |= dict.fromkeys(experiment.needs)
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise ExperimentError(
            f"There is no {' and no '.join(missing)} here: `make figures` installs what the "
            "figures need"
        )


def run_figure(options: argparse.Namespace) -> int:
    """Make the figures that the command line names; returns the exit code.

    One that lacks a file or data set is skipped where `all` are made, and fails where it is named.
    """
    experiments = choose(options.names, discover())
    failed = False
    with Workers(options.workers, options.scheduler) as workers:
        dask = not workers.in_process and not all(each.in_process for each in experiments)
        _require(experiments, dask)
        settings = [each.options(options.seed, options.chips) for each in experiments]
        try:
            for experiment, setting in zip(experiments, settings, strict=True):
                reason = lacking(experiment)
                if reason is not None and experiment.name not in options.names:
                    print(f"{experiment.name}: skipped: {reason}")
                    continue
                try:
                    run_experiment(experiment, setting, options.output, workers, options.fresh)
                except ExperimentError as error:  # the other figures are made all the same
                    print(f"python -m sim figure: {error}", file=sys.stderr)
                    failed = True
                else:
                    path: Path = options.output / experiment.name
                    print(f"{experiment.name}: {path}.json, {path}.png, {path}.svg")
        except KeyboardInterrupt as interrupt:
            message = str(interrupt) or "interrupted; what was computed is stored"
            print(f"python -m sim figure: {message}", file=sys.stderr)
            return 130
    return 1 if failed else 0
