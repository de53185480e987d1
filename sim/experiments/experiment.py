"""What an experiment is, and how the package's experiments are found."""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Experiment",
    "ExperimentError",
    "Options",
    "canonical",
    "choose",
    "discover",
    "generator",
    "plain",
]


class ExperimentError(RuntimeError):
    """An experiment cannot be found, run or drawn; the message is one sentence."""


@dataclass(frozen=True)
class Options:
    """What the command line says about the figure itself.

    Attributes
    ----------
    seed : int
        Of every draw, at least 0.
    chips : int or None
        Chips of the Monte Carlo; None in an experiment that draws none.
    """

    seed: int = 0
    chips: int | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"The seed must be at least 0, not {self.seed}")
        if self.chips is not None and self.chips < 1:
            raise ValueError(f"The number of chips must be at least 1, not {self.chips}")


@dataclass(frozen=True)
class Experiment:
    """One figure: independent points, what to compute at each, and how to show the results.

    `points`, `run` and `gather` exchange JSON values only (numpy's numbers and arrays are turned
    into plain ones), so that a stored result is as good as a new one.

    Parameters
    ----------
    name : str
        Name of the experiment's file, without `.py`.
    title : str
        What the figure shows.
    figure : str
        The published figure it stands beside, such as "Jebali 2024, Fig. 3a".
    duration : str
        Roughly how long it takes on two cores, such as "2 min".
    status : str
        Which published values its models were fitted to, and which were held out.
    points : callable
        Options -> list of dict: the independent units of work, no two alike.
    run : callable
        (point, seed) -> result; a function at the top of its module, with no state: all its
        randomness comes from `seed` and the point (`generator`).
    gather : callable
        (points, results) -> dict: the figure's data, with confidence intervals.
    draw : callable
        (data, matplotlib Figure) -> None; draws from the JSON data and nothing else.
    chips : int, optional
        Chips if `--chips` does not say; leave it out if the experiment draws none.
    needs : sequence of str
        Packages of the `figures` extra that `run` needs, such as "pvlib".
    parameters : sequence of str, optional
        Parameter files that `run` reads, as patterns `set/name`. Not given: all, if `run` reaches
        `behavioral_models.parameter_files`.
    files : sequence of str
        Other files that `run` reads, as patterns below the checkout, such as a trained network.
    data : sequence of str
        Data sets outside the repository that `run` reads, each with its part: "mnist:test". A
        stored point counts only for the same contents.
    in_process : bool
        Whether the points are so short that starting workers for them is not worth while.

    Raises
    ------
    ValueError
        If the name is no module's name, or `run` is not at the top of a module.
    """

    name: str
    title: str
    figure: str
    duration: str
    status: str
    points: Callable[[Options], Sequence[dict]]
    run: Callable[[dict, int], Any]
    gather: Callable[[list[dict], list], dict]
    draw: Callable[[dict, Figure], None]
    chips: int | None = None
    needs: Sequence[str] = ()
    parameters: Sequence[str] | None = None
    files: Sequence[str] = ()
    data: Sequence[str] = ()
    in_process: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name == "all":
            raise ValueError(f"An experiment's name must be a module's, not {self.name!r}")
        if not self.run.__qualname__.isidentifier():  # a lambda, a method, a function in a function
            raise ValueError(
                f"`run` of experiment {self.name} must be a function at the top of its module, "
                f"not {self.run.__qualname__}"
            )

    def options(self, seed: int = 0, chips: int | None = None) -> Options:
        """Options of one run: `chips` where given, its own number otherwise, None if it has none.

        Raises
        ------
        ValueError
            If seed or chips are out of bounds.
        """
        options = Options(seed, chips)
        if self.chips is None or chips is None:
            options = Options(seed, self.chips)
        return options

    def command(self, options: Options) -> str:
        """The command that makes the figure again."""
        chips = "" if options.chips is None else f" --chips {options.chips}"
        return f"python -m sim figure {self.name} --seed {options.seed}{chips}"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} is not JSON")


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, numpy's numbers and arrays as plain.

    Raises
    ------
    TypeError, ValueError
        If the value is not JSON; infinities and NaN are not (None stands for "no value").
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def plain(value: Any) -> Any:
    """The value as JSON gives it back: plain numbers, lists, dicts with text for keys.

    Raises
    ------
    TypeError, ValueError
        As `canonical`.
    """
    return json.loads(json.dumps(value, allow_nan=False, default=_plain))


def generator(seed: int, *keys: Any) -> np.random.Generator:
    """Random numbers that depend on the seed and the keys alone: numpy's Philox, keyed by both.

    Parameters
    ----------
    seed : int
        The experiment's.
    *keys : JSON values
        What the draws belong to. Points that are to share their chips leave out of the keys what
        tells the points apart: `generator(seed, "chip", point["chip"])`.
    """
    digest = hashlib.sha256(canonical([seed, *keys]).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


def discover(package: str = "sim.experiments") -> dict[str, Experiment]:
    """All experiments of a package, by name: the modules that define `EXPERIMENT`.

    Raises
    ------
    ExperimentError
        If a module cannot be imported, or its experiment has another name than its file.
    """
    found = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        where = f"{package}.{module.name}"
        try:
            experiment = getattr(importlib.import_module(where), "EXPERIMENT", None)
        except Exception as error:
            raise ExperimentError(
                f"{where} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        if experiment is None:
            continue
        if experiment.name != module.name:
            raise ExperimentError(
                f"The experiment in {where} must be called {module.name}, not {experiment.name}"
            )
        found[module.name] = experiment
    return found


def choose(names: Iterable[str], experiments: dict[str, Experiment]) -> list[Experiment]:
    """The experiments of these names, each once; `all` means every one.

    Raises
    ------
    ExperimentError
        If there is no experiment of a name.
    """
    wanted: dict[str, Experiment] = {}
    for name in names:
        if name == "all":
            wanted.update(experiments)
        elif name in experiments:
            wanted[name] = experiments[name]
        else:
            known = ", ".join([*experiments, "all"])
            raise ExperimentError(f"There is no experiment {name!r}; choose from {known}")
    return list(wanted.values())
