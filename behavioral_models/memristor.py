"""One memristor: resistance of its two states, how programming and age change it, and energy.

A state is a distribution of resistance. Device-to-device and cycle-to-cycle variation are kept
apart: a device's score (fixed for its life) and a programming's score (new each time), both
standard normal, add with weights sqrt(share) and sqrt(1 - share) to the score that the distribution
turns into ohms.

What a number depends on is written in the parameter file of its condition:

- LRS: median falls with the SET compliance current as a power law (filament grown until the
  compliance limits it), spread falls with it too;
- HRS: median rises with RESET voltage (decades a volt) and pulse time (decades a decade), spread
  falls with the compliance current;
- age: from an onset on, each decade of cycles takes decades from the HRS median, and may widen both
  states (Hirtzlin 2020, Fig. 6: the states move together and overlap at fewer deviations).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from behavioral_models.parameter_files import Parameters, load

__all__ = [
    "DISTRIBUTIONS", "Condition", "Distribution", "Empirical", "LogNormal", "LogNormalTail",
    "Programming", "State", "States",
]  # fmt: skip


def _power_of_ten(decades: ArrayLike) -> NDArray[np.float64]:
    """10 ** decades, alike to the last bit for one number and for many."""
    return np.exp(math.log(10) * np.asarray(decades, dtype=float))


class Distribution(Protocol):
    """Resistance as a function of a standard normal score."""

    def ohm(self, score: ArrayLike) -> NDArray[np.float64]:
        """Resistance at a score, ohms; rises with the score."""

    def score(self, ohm: ArrayLike) -> NDArray[np.float64]:
        """The inverse of `ohm`."""

    def changed(self, decades: float, spread_factor: float) -> Distribution:
        """Median moved by `decades`, deviations from it stretched by a factor."""


@dataclass(frozen=True)
class LogNormal:
    """Logarithm of the resistance normally distributed.

    Parameters
    ----------
    median_ohm : float
    spread_decades : float
        Standard deviation of log10 R.
    """

    median_ohm: float
    spread_decades: float

    def ohm(self, score: ArrayLike) -> NDArray[np.float64]:
        """See `Distribution.ohm`."""
        return self.median_ohm * _power_of_ten(self.spread_decades * np.asarray(score))

    def score(self, ohm: ArrayLike) -> NDArray[np.float64]:
        """See `Distribution.score`."""
        return np.log10(np.asarray(ohm) / self.median_ohm) / self.spread_decades

    def changed(self, decades: float, spread_factor: float) -> LogNormal:
        """See `Distribution.changed`."""
        return LogNormal(self.median_ohm * 10**decades, self.spread_decades * spread_factor)

    @classmethod
    def read(cls, parameters: Parameters, state: str) -> LogNormal:
        """From `median_ohm` and `spread_decades` of a state's table."""
        return cls(
            parameters.number(f"{state}.median_ohm", low=1.0),
            parameters.number(f"{state}.spread_decades", low=1e-6, high=5.0),
        )


@dataclass(frozen=True)
class LogNormalTail:
    """Log-normal with another spread beyond a knee: the tail that rare bad programmings make.

    Parameters
    ----------
    median_ohm, spread_decades : float
        As in `LogNormal`, above the knee.
    knee_score : float
        Score below which the tail begins.
    tail_spread_decades : float
        Decades a unit of score below the knee.
    """

    median_ohm: float
    spread_decades: float
    knee_score: float
    tail_spread_decades: float

    def ohm(self, score: ArrayLike) -> NDArray[np.float64]:
        """See `Distribution.ohm`."""
        score = np.asarray(score, dtype=float)
        body = np.maximum(score, self.knee_score) * self.spread_decades
        tail = np.minimum(score - self.knee_score, 0) * self.tail_spread_decades
        return self.median_ohm * _power_of_ten(body + tail)

    def score(self, ohm: ArrayLike) -> NDArray[np.float64]:
        """See `Distribution.score`."""
        decades = np.log10(np.asarray(ohm) / self.median_ohm)
        knee = self.knee_score * self.spread_decades
        return np.where(
            decades >= knee,
            decades / self.spread_decades,
            self.knee_score + (decades - knee) / self.tail_spread_decades,
        )

    def changed(self, decades: float, spread_factor: float) -> LogNormalTail:
        """See `Distribution.changed`."""
        return replace(
            self,
            median_ohm=self.median_ohm * 10**decades,
            spread_decades=self.spread_decades * spread_factor,
            tail_spread_decades=self.tail_spread_decades * spread_factor,
        )

    @classmethod
    def read(cls, parameters: Parameters, state: str) -> LogNormalTail:
        """From the state's table, keys as the arguments."""
        return cls(
            parameters.number(f"{state}.median_ohm", low=1.0),
            parameters.number(f"{state}.spread_decades", low=1e-6, high=5.0),
            parameters.number(f"{state}.knee_score", low=-10.0, high=0.0),
            parameters.number(f"{state}.tail_spread_decades", low=1e-6, high=5.0),
        )


class Empirical:
    """Measured resistances as they are; beyond the extremes, straight on in log R against score.

    Parameters
    ----------
    ohm : float (points,)
        Resistances at equally probable quantiles, at least two different ones.
    """

    def __init__(self, ohm: ArrayLike) -> None:
        values = np.sort(np.asarray(ohm, dtype=float))
        if values.ndim != 1 or len(values) < 2 or values[0] <= 0 or values[0] == values[-1]:
            raise ValueError(
                "An empirical distribution takes at least two different positive resistances, in "
                f"ohms; there are {values.size}"
            )
        self._decades = np.log10(values)
        self._scores = ndtri((np.arange(len(values)) + 0.5) / len(values))
        self._slope = np.ptp(self._decades) / np.ptp(self._scores)

    def ohm(self, score: ArrayLike) -> NDArray[np.float64]:
        """See `Distribution.ohm`."""
        score = np.asarray(score, dtype=float)
        inside = np.interp(score, self._scores, self._decades)
        beyond = np.minimum(score - self._scores[0], 0) + np.maximum(score - self._scores[-1], 0)
        return _power_of_ten(inside + self._slope * beyond)

    def score(self, ohm: ArrayLike) -> NDArray[np.float64]:
        """See `Distribution.score`."""
        decades = np.log10(np.asarray(ohm, dtype=float))
        inside = np.interp(decades, self._decades, self._scores)
        low, high = self._decades[0], self._decades[-1]
        beyond = np.minimum(decades - low, 0) + np.maximum(decades - high, 0)
        return inside + beyond / self._slope

    def changed(self, decades: float, spread_factor: float) -> Empirical:
        """See `Distribution.changed`."""
        median = np.median(self._decades)
        return Empirical(10 ** (median + decades + (self._decades - median) * spread_factor))

    @classmethod
    def read(cls, parameters: Parameters, state: str) -> Empirical:
        """From the list `ohm` of a state's table."""
        return cls(parameters.numbers(f"{state}.ohm"))


class _Readable(Distribution, Protocol):
    """A distribution that a parameter file can describe."""

    @classmethod
    def read(cls, parameters: Parameters, state: str) -> Distribution:
        """From a state's table."""


#: Distributions a parameter file may name, each with a `read`. Add to it to plug one in.
DISTRIBUTIONS: dict[str, type[_Readable]] = {
    "lognormal": LogNormal,
    "lognormal_tail": LogNormalTail,
    "empirical": Empirical,
}


@dataclass(frozen=True)
class State:
    """Resistance of one state under one programming.

    Parameters
    ----------
    distribution : Distribution
        Over devices and programmings together.
    device_share : float
        Part of the score's variance that is device-to-device, 0 to 1.
    """

    distribution: Distribution
    device_share: float

    def ohm(self, device_score: ArrayLike, cycle_score: ArrayLike) -> NDArray[np.float64]:
        """Resistance of devices with these scores, ohms; shapes broadcast."""
        between, within = math.sqrt(self.device_share), math.sqrt(1 - self.device_share)
        return self.distribution.ohm(
            between * np.asarray(device_score) + within * np.asarray(cycle_score)
        )

    def of_one_device(self, device_score: float = 0.0) -> State:
        """The state over programmings of a single device, by default the median one."""
        between, within = math.sqrt(self.device_share), math.sqrt(1 - self.device_share)
        # a device that is always programmed alike: a spread so small that it changes no read
        within = max(within, 1e-9)
        return State(_OneDevice(self.distribution, between * device_score, within), 0.0)


@dataclass(frozen=True)
class _OneDevice:
    """A distribution seen by one device: its scores have an offset and a smaller spread."""

    whole: Distribution
    offset: float
    factor: float

    def ohm(self, score: ArrayLike) -> NDArray[np.float64]:
        return self.whole.ohm(self.offset + self.factor * np.asarray(score))

    def score(self, ohm: ArrayLike) -> NDArray[np.float64]:
        return (self.whole.score(ohm) - self.offset) / self.factor

    def changed(self, decades: float, spread_factor: float) -> _OneDevice:
        return replace(self, whole=self.whole.changed(decades, spread_factor))


@dataclass(frozen=True)
class Programming:
    """How memristors are programmed, and how often they have been.

    Parameters
    ----------
    set_compliance_a : float
        SET compliance current, amperes.
    reset_v : float
        RESET voltage, volts.
    pulse_s : float
        Pulse time, seconds.
    cycles : float
        Programming cycles so far.
    """

    set_compliance_a: float
    reset_v: float
    pulse_s: float
    cycles: float = 0.0


@dataclass(frozen=True)
class States:
    """Both states under one programming, and the energies of its pulses, joules."""

    lrs: State
    hrs: State
    set_j: float
    reset_j: float
    form_j: float

    def of_one_device(self) -> States:
        """The same over programmings of the median device alone."""
        return replace(self, lrs=self.lrs.of_one_device(), hrs=self.hrs.of_one_device())

    def reference_ohm(self) -> float:
        """Resistance that a 1T1R read compares with: both states err alike there."""
        medians = self.lrs.distribution.ohm(0.0), self.hrs.distribution.ohm(0.0)
        low, high = math.log(min(medians)), math.log(max(medians))
        for _ in range(80):  # bisection on ln R
            middle = (low + high) / 2
            ohm = math.exp(middle)
            if self.lrs.distribution.score(ohm) + self.hrs.distribution.score(ohm) < 0:
                low = middle
            else:
                high = middle
        return math.exp((low + high) / 2)

    def single_ended_error_rate(self, reference_ohm: float | None = None) -> float:
        """Bit errors of 1T1R cells read against a reference by an ideal amplifier.

        Mean over both states, as a checkerboard measures it.
        """
        reference = self.reference_ohm() if reference_ohm is None else reference_ohm
        low = ndtr(-self.lrs.distribution.score(reference))  # LRS above the reference
        high = ndtr(self.hrs.distribution.score(reference))
        return float((low + high) / 2)


def _programming(parameters: Parameters) -> Programming:
    return Programming(
        parameters.number("programming.set_compliance_a", low=1e-9),
        parameters.number("programming.reset_v", low=1e-3),
        parameters.number("programming.pulse_s", low=1e-12),
    )


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of both; numbers of `own` where both have one."""
    merged = dict(base)
    for key, item in own.items():
        if isinstance(item, Mapping) and "value" not in item and isinstance(base.get(key), Mapping):
            merged[key] = _merged(base[key], item)
        else:
            merged[key] = item
    return merged


class Condition:
    """Programming condition of a memristor: what a parameter file of kind `memristor` says.

    Parameters
    ----------
    source : Parameters, str or path
        The file, or its name (`jebali_2024/weak_set`).
    base : Parameters, optional
        The file's base, where it is not to be read from the disk.

    Attributes
    ----------
    reference : Programming
        What the file's numbers hold for.
    set : str
        Parameter set.

    Raises
    ------
    ValueError
        If the file lacks a number or one is out of bounds.
    """

    def __init__(
        self, source: Parameters | str | os.PathLike[str], base: Parameters | None = None
    ) -> None:
        parameters = source if isinstance(source, Parameters) else load(source, "memristor")
        self.name, self.set = parameters.name, parameters.set
        self.reference = self._law = _programming(parameters)
        if parameters.has("base"):
            base = base or load(parameters.text("base"), "memristor")
            if base.has("base"):
                raise ValueError(
                    f"Parameter file {self.name} builds on {base.name}, which builds on another: "
                    f"name {base.text('base')} as its base"
                )
            if base.set != self.set:
                raise ValueError(
                    f"Parameter file {self.name} of set {self.set} builds on {base.name} of set "
                    f"{base.set}: sets are never mixed"
                )
            self._law = _programming(base)
            parameters = Parameters(
                self.name, "memristor", self.set, parameters.about,
                _merged(base.tree, parameters.tree),
            )  # fmt: skip
        self.parameters = parameters
        number = parameters.number
        self._states = {
            state: State(
                DISTRIBUTIONS[parameters.text(f"{state}.distribution", tuple(DISTRIBUTIONS))].read(
                    parameters, state
                ),
                number(f"{state}.device_share", low=0.0, high=1.0),
            )
            for state in ("lrs", "hrs")
        }
        self._energy = {
            pulse: number(f"energy.{pulse}_j", low=0.0) for pulse in ("form", "set", "reset")
        }
        self.stuck_lrs = number("stuck.lrs", low=0.0, high=1.0)
        self.stuck_hrs = number("stuck.hrs", low=0.0, high=1.0)
        if self.stuck_lrs + self.stuck_hrs > 1:
            raise ValueError(f"Parameter file {self.name}: more than all devices are stuck")

    def _optional(self, key: str) -> float:
        return self.parameters.number(key) if self.parameters.has(key) else 0.0

    def _check_range(self, name: str, what: str, value: float, nominal: float, unit: str) -> None:
        """Refuse what the file was not made for."""
        low = high = nominal
        if self.parameters.has(f"range.{name}_low"):
            low = self.parameters.number(f"range.{name}_low")
            high = self.parameters.number(f"range.{name}_high")
        if not low * (1 - 1e-9) <= value <= high * (1 + 1e-9):
            raise ValueError(
                f"{self.name} holds for {what} of "
                + (f"{low:g} {unit}" if low == high else f"{low:g} to {high:g} {unit}")
                + f", not {value:g} {unit}: use another condition, or fit one"
            )

    def at(
        self,
        set_compliance_a: float | None = None,
        reset_v: float | None = None,
        pulse_s: float | None = None,
        cycles: float = 0.0,
    ) -> States:
        """Both states under a programming; what is not given is the file's own.

        A file with a `base` takes its states from the base's law at its own programming; energies
        and ageing are its own.

        Raises
        ------
        ValueError
            If the programming is outside the range the file was fitted in.
        """
        own, law = self.reference, self._law
        current = own.set_compliance_a if set_compliance_a is None else set_compliance_a
        voltage = own.reset_v if reset_v is None else reset_v
        pulse = own.pulse_s if pulse_s is None else pulse_s
        self._check_range(
            "set_compliance_a", "a SET compliance", current, own.set_compliance_a, "A"
        )
        self._check_range("reset_v", "a RESET voltage", voltage, own.reset_v, "V")
        self._check_range("pulse_s", "a pulse", pulse, own.pulse_s, "s")
        if cycles:
            self._check_range("cycles_n", "an age", cycles, 0.0, "cycles")
        value = self._optional
        more_current = math.log10(current / law.set_compliance_a)
        more_time = math.log10(pulse / law.pulse_s)
        age = 0.0
        if cycles and self.parameters.has("ageing.onset_cycles"):
            onset = self.parameters.number("ageing.onset_cycles", low=1.0)
            age = math.log10(1 + cycles / onset)
        wider = 1 + value("ageing.spread_per_decade") * age
        lrs = self._states["lrs"].distribution.changed(
            -value("lrs.compliance_exponent") * more_current,
            wider * 10 ** (-value("lrs.spread_compliance_exponent") * more_current),
        )
        hrs = self._states["hrs"].distribution.changed(
            value("hrs.decades_per_volt") * (voltage - law.reset_v)
            + value("hrs.decades_per_decade_of_time") * more_time
            - value("ageing.hrs_decades_per_decade") * age,
            wider * 10 ** (-value("hrs.spread_compliance_exponent") * more_current),
        )
        stretch = (pulse / own.pulse_s) ** value("energy.time_exponent")
        return States(
            State(lrs, self._states["lrs"].device_share),
            State(hrs, self._states["hrs"].device_share),
            set_j=self._energy["set"] * stretch * current / own.set_compliance_a,
            reset_j=self._energy["reset"] * stretch * (voltage / own.reset_v) ** 2,
            form_j=self._energy["form"],
        )
