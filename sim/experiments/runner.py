"""Compute the points of an experiment, keep each as soon as it is done, write data and picture."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from behavioral_models.files import write_whole
from sim.experiments.available import data_hashes
from sim.experiments.experiment import Experiment, ExperimentError, Options, canonical, plain
from sim.experiments.provenance import code_hash, package_version, provenance
from sim.experiments.workers import Workers

__all__ = ["PointStore", "run_experiment"]


class PointStore:
    """Finished points of one experiment, one file each, named by a hash of all they depend on.

    Parameters
    ----------
    folder : Path
        Where the files are.
    experiment : Experiment
    seed : int

    Attributes
    ----------
    data : dict of str to str
        Hashes of the data sets outside the repository that the points depend on.
    """

    def __init__(self, folder: Path, experiment: Experiment, seed: int) -> None:
        self.folder = folder
        self.data = data_hashes(experiment)
        made_from = provenance(experiment)
        self._base = {
            "experiment": experiment.name,
            "code": made_from.code,
            "files": made_from.files,
            "seed": seed,
        }
        if self.data:
            self._base["data"] = self.data

    def path(self, point: dict) -> Path:
        """File of a point."""
        key = canonical({**self._base, "point": point})
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def read(self, point: dict) -> Any:
        """The result as canonical JSON; None if there is none, or its file is damaged."""
        try:
            kept = json.loads(self.path(point).read_bytes())
            text = canonical(kept["result"])
            if kept["point"] == point and kept["check"] == _check(text):
                return text
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def write(self, point: dict, result: str) -> None:
        """Keep a result, given as canonical JSON."""
        kept = {"point": point, "check": _check(result), "result": json.loads(result)}
        write_whole(self.path(point), canonical(kept) + "\n")


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Task:
    run: Callable[[dict, int], Any]
    code: str
    point: dict
    seed: int


@dataclass(frozen=True)
class _Failure:
    reason: str
    trace: str


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def _work(task: _Task) -> str | _Failure:
    """Run one point, on whatever worker; the result is canonical JSON."""
    try:
        if code_hash(task.run)[0] != task.code:
            raise ExperimentError(
                "the worker has other code than this checkout: bring its checkout up to date and "
                "start it again"
            )
        with threadpool_limits(1):  # sums in the same order here and on workers of one thread
            return canonical(task.run(task.point, task.seed))
    except Exception as error:
        return _Failure(_reason(error), traceback.format_exc())


def _points(experiment: Experiment, options: Options) -> list[dict]:
    points = plain(list(experiment.points(options)))
    if not points:
        raise ExperimentError(f"Experiment {experiment.name} has no points")
    seen: dict[str, int] = {}
    for index, point in enumerate(points):
        before = seen.setdefault(canonical(point), index)
        if before != index:
            raise ExperimentError(
                f"Points {before} and {index} of experiment {experiment.name} are the same: "
                f"{canonical(point)}"
            )
    return points


def _compute(
    experiment: Experiment, points: list[dict], seed: int, store: PointStore, workers: Workers,
    fresh: bool, say: Callable[[str], None],
) -> list:  # fmt: skip
    """Results of all points, in their order: stored ones, and the others computed and stored."""
    name = experiment.name
    results: list[str | None] = [None if fresh else store.read(point) for point in points]
    missing = [index for index, result in enumerate(results) if result is None]
    code = code_hash(experiment.run)[0]
    tasks = [_Task(experiment.run, code, points[index], seed) for index in missing]
    stored = len(points) - len(missing)
    if stored:
        say(f"{name}: {stored} of {len(points)} points were stored, {len(missing)} to compute")
    failures: dict[int, _Failure] = {}
    done = workers.run(_work, tasks, experiment.in_process)
    try:
        with tqdm(total=len(points), initial=stored, desc=name, unit="point") as bar:
            for position, outcome in done:
                index = missing[position]
                if isinstance(outcome, BaseException):  # Dask's own: a worker was lost
                    outcome = _Failure(_reason(outcome), _reason(outcome))
                if isinstance(outcome, _Failure):
                    failures[index] = outcome
                else:
                    store.write(points[index], outcome)
                    results[index] = outcome
                bar.update()
    except KeyboardInterrupt:
        kept = sum(result is not None for result in results)
        raise KeyboardInterrupt(
            f"{name}: interrupted; {kept} of {len(points)} points are stored, and the same command "
            "goes on from there"
        ) from None
    finally:
        done.close()
    if failures:
        first = min(failures)
        trace = store.folder / "failure.txt"
        write_whole(trace, failures[first].trace + "\n")
        more = f", as did {len(failures) - 1} more" if len(failures) > 1 else ""
        raise ExperimentError(
            f"Experiment {name} failed at point {first} {canonical(points[first])}{more}: "
            f"{failures[first].reason} (traceback in {trace}; "
            f"{len(points) - len(failures)} of {len(points)} points are stored)"
        )
    return [json.loads(str(result)) for result in results]


def run_experiment(
    experiment: Experiment, options: Options, folder: Path, workers: Workers,
    fresh: bool = False, say: Callable[[str], None] = print,
) -> dict:  # fmt: skip
    """Compute what is not stored, and write NAME.json, NAME.png and NAME.svg.

    Parameters
    ----------
    experiment : Experiment
    options : Options
    folder : Path
        Where the files go; finished points are stored in its `.points/NAME`.
    workers : Workers
    fresh : bool
        Whether to compute stored points again.
    say : callable
        Takes lines for the user.

    Returns
    -------
    dict
        Content of the JSON file: the same for the same options, whatever the workers.

    Raises
    ------
    ExperimentError
        If a point or the figure fails; the other points are stored all the same.
    KeyboardInterrupt
        If interrupted; what was done is stored, and the message says so.
    """
    from sim.experiments import style

    store = PointStore(folder / ".points" / experiment.name, experiment, options.seed)
    made_from = provenance(experiment)
    points = _points(experiment, options)
    results = _compute(experiment, points, options.seed, store, workers, fresh, say)
    command = experiment.command(options)
    step = "gathering its results"
    try:
        document = plain({
            "experiment": experiment.name,
            "title": experiment.title,
            "figure": experiment.figure,
            "status": experiment.status,
            "command": command,
            "seed": options.seed,
            "chips": options.chips,
            "points": len(points),
            "version": {
                "heliobit": package_version(),
                "experiment": made_from.experiment,
                "code": made_from.code,
                "files": made_from.files,
                **({"data": store.data} if store.data else {}),
            },
            "data": experiment.gather(points, results),
        })  # fmt: skip
        write_whole(folder / f"{experiment.name}.json", json.dumps(document, indent=2) + "\n")
        step = "drawing"
        pictures = style.pictures(experiment, document["data"], command)
    except Exception as error:
        trace = store.folder / "failure.txt"
        write_whole(trace, traceback.format_exc())
        raise ExperimentError(
            f"Experiment {experiment.name} failed while {step}: {_reason(error)} "
            f"(traceback in {trace}; its points are stored)"
        ) from error
    for suffix, picture in pictures.items():
        write_whole(folder / f"{experiment.name}.{suffix}", picture)
    (store.folder / "failure.txt").unlink(missing_ok=True)
    return document
