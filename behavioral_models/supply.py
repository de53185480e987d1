"""The chip on its supply: solar cell, load, operating point, frequency limit and brown-out.

The solar cell is a single diode (pvlib), the chip a load of switched capacitance and leakage, the
detector a comparator with hysteresis. Numbers are in `parameters/jebali_2024/solar_cell.toml` and
`supply.toml`; docs/supply.md says which are published, fitted and assumed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from behavioral_models import parameter_files
from behavioral_models.constants import Rail

__all__ = [
    "SUPPLY_RANGE_V",
    "ChipLoad",
    "ChipState",
    "EventKind",
    "History",
    "InferenceRecord",
    "MaximumPower",
    "OperatingPoint",
    "PowerManager",
    "SolarCell",
    "SupplyEvent",
    "fastest_clock",
    "operating_point",
    "sustained_clock",
]

#: Supply voltages the models are for, volts.
SUPPLY_RANGE_V = (0.0, 1.3)

#: Boltzmann's constant over the elementary charge, volts per kelvin (exact since 2019).
BOLTZMANN_V_PER_K = 1.380649e-23 / 1.602176634e-19

Floats = NDArray[np.float64]


def _supply(v: ArrayLike) -> Floats:
    """Voltages as floats; ValueError if one is outside `SUPPLY_RANGE_V`."""
    values = np.asarray(v, dtype=float)
    low, high = SUPPLY_RANGE_V
    bad = ~((values >= low) & (values <= high))
    if bad.any():
        raise ValueError(
            f"A supply voltage must be from {low:g} to {high:g} V, the range of the model, "
            f"not {values[bad][0]:g} V"
        )
    return values


def _positive(values: ArrayLike, what: str, unit: str) -> Floats:
    """Values as floats; ValueError if one is not above 0 and finite."""
    array = np.asarray(values, dtype=float)
    bad = ~((array > 0) & np.isfinite(array))
    if bad.any():
        raise ValueError(f"{what} must be above 0 {unit}, not {array[bad][0]:g} {unit}")
    return array


def _suns(suns: ArrayLike) -> Floats:
    return _positive(suns, "An illumination", "suns")


def _clock(clock_hz: ArrayLike) -> Floats:
    return _positive(clock_hz, "A clock", "Hz")


def _check_fields(owner: object, names: tuple[str, ...]) -> None:
    """Raise ValueError unless these fields are positive and finite."""
    for name in names:
        value = getattr(owner, name)
        if not (isinstance(value, (int, float)) and 0 < value < float("inf")):
            raise ValueError(f"{name} must be a positive number, not {value!r}")


def _pvsystem() -> Any:
    try:
        from pvlib import pvsystem
    except ImportError:
        raise ImportError(
            "The solar cell needs pvlib: `pip install pvlib`, or `make figures` installs it"
        ) from None
    return pvsystem


class MaximumPower(NamedTuple):
    """Where a solar cell gives most power: float arrays of the shape of the illumination."""

    voltage_v: Floats
    current_a: Floats
    power_w: Floats


@dataclass(frozen=True)
class SolarCell:
    """Single-diode solar cell, solved by pvlib (explicit, with the Lambert W function).

    I = suns I_ph - I_0 (exp((V + I R_s) / (n k T / q)) - 1) - (V + I R_s) / R_sh. Illumination is
    in equivalent suns: the short-circuit current over that at one sun (Jebali 2024, Methods), so
    the photocurrent is proportional to it and nothing else changes.

    Parameters
    ----------
    photocurrent_a : float
        I_ph at one sun, amperes.
    saturation_current_a : float
        I_0, amperes.
    ideality_factor : float
        n.
    series_resistance_ohm, shunt_resistance_ohm : float
        R_s and R_sh, ohms.
    temperature_k : float
        T, kelvins.

    Raises
    ------
    ValueError
        If a parameter is not a positive number.
    ImportError
        If there is no pvlib.
    """

    photocurrent_a: float
    saturation_current_a: float
    ideality_factor: float
    series_resistance_ohm: float
    shunt_resistance_ohm: float
    temperature_k: float = 298.15

    def __post_init__(self) -> None:
        _check_fields(self, tuple(self.__dataclass_fields__))
        _pvsystem()

    @classmethod
    def from_file(cls, name: str | os.PathLike[str] = "jebali_2024/solar_cell") -> SolarCell:
        """Cell of a parameter file of kind `solar_cell`; ValueError if it is not one."""
        file = parameter_files.load(name, "solar_cell")
        return cls(
            photocurrent_a=file.number("diode.photocurrent_a"),
            saturation_current_a=file.number("diode.saturation_current_a"),
            ideality_factor=file.number("diode.ideality_factor"),
            series_resistance_ohm=file.number("diode.series_resistance_ohm"),
            shunt_resistance_ohm=file.number("diode.shunt_resistance_ohm"),
            temperature_k=file.number("cell.temperature_k"),
        )

    @property
    def diode_v(self) -> float:
        """Modified thermal voltage n k T / q, volts."""
        return self.ideality_factor * BOLTZMANN_V_PER_K * self.temperature_k

    def _diode(self, suns: Floats) -> tuple[Floats, float, float, float, float]:
        """Arguments of pvlib's single-diode functions."""
        return (
            suns * self.photocurrent_a,
            self.saturation_current_a,
            self.series_resistance_ohm,
            self.shunt_resistance_ohm,
            self.diode_v,
        )

    def _current(self, v: Floats, suns: Floats) -> Floats:
        """Current, amperes, without checks: dark is allowed."""
        v, suns = np.broadcast_arrays(v, suns)
        return np.asarray(_pvsystem().i_from_v(v, *self._diode(suns)), dtype=float)[()]

    def current(self, v: ArrayLike, suns: ArrayLike) -> Floats:
        """Current the cell gives, amperes, negative where it takes one.

        Parameters
        ----------
        v : array
            Voltage across it, volts, 0 to 1.3.
        suns : array
            Equivalent suns, above 0; broadcast with `v`.

        Raises
        ------
        ValueError
            If a voltage or an illumination is out of range.
        """
        return self._current(_supply(v), _suns(suns))

    def open_circuit_v(self, suns: ArrayLike) -> Floats:
        """Open-circuit voltage, volts, of each illumination; ValueError if one is not above 0."""
        suns = _suns(suns)
        found = _pvsystem().v_from_i(np.zeros_like(suns), *self._diode(suns))
        return np.asarray(found, dtype=float)[()]

    def short_circuit_a(self, suns: ArrayLike) -> Floats:
        """Short-circuit current, amperes, of each illumination; ValueError if not above 0."""
        return self._current(np.zeros(()), _suns(suns))

    def maximum_power(self, suns: ArrayLike) -> MaximumPower:
        """Maximum-power point of each illumination; ValueError if one is not above 0."""
        suns = _suns(suns)
        found = _pvsystem().singlediode(*self._diode(np.atleast_1d(suns).ravel()))
        point = (np.asarray(found[key], dtype=float) for key in ("v_mp", "i_mp", "p_mp"))
        return MaximumPower(*(values.reshape(suns.shape)[()] for values in point))


@dataclass(frozen=True)
class ChipLoad:
    """The chip as a load, and what supply and clock it works at.

    It infers without pause: one inference every `cycles_per_inference` clock cycles, each a charge
    proportional to VDD (energy as VDD squared: switched capacitance alone; Jebali 2024, Fig. 2c),
    and leaks beside. A chip that waits for its host draws as if its clock were slower.

    Parameters
    ----------
    inference_energy_j, energy_supply_v : float
        Switching energy of a whole-chip inference, joules, at a supply, volts.
    cycles_per_inference : float
        Clock cycles of an inference.
    leakage_a, leakage_supply_v, leakage_slope_v : float
        Current without a clock, amperes, at a supply, volts; proportional to
        exp(VDD / slope) - 1.
    limit_clock_hz, limit_supply_v, threshold_v, exponent : float
        Frequency limit by the alpha-power law (Sakurai and Newton 1990), proportional to
        (VDD - threshold) ^ exponent / VDD, and one point of it.
    stop_v, restart_v : float
        Brown-out detector: the chip is stopped below the first, started again at the second.
    solar_clock_hz : float
        Clock on the solar cell.

    Raises
    ------
    ValueError
        If a parameter is not a positive number, or the voltages contradict each other.
    """

    inference_energy_j: float
    energy_supply_v: float
    cycles_per_inference: float
    leakage_a: float
    leakage_supply_v: float
    leakage_slope_v: float
    limit_clock_hz: float
    limit_supply_v: float
    threshold_v: float
    exponent: float
    stop_v: float
    restart_v: float
    solar_clock_hz: float

    def __post_init__(self) -> None:
        _check_fields(self, tuple(self.__dataclass_fields__))
        if not self.stop_v < self.restart_v <= SUPPLY_RANGE_V[1]:
            raise ValueError(
                f"A brown-out detector restarts above the voltage at which it stops and at most "
                f"at {SUPPLY_RANGE_V[1]:g} V: not stop {self.stop_v:g} V, "
                f"restart {self.restart_v:g} V"
            )
        if not self.threshold_v < self.limit_supply_v:
            raise ValueError(
                f"The supply of the frequency limit must be above the threshold voltage "
                f"{self.threshold_v:g} V, not {self.limit_supply_v:g} V"
            )

    @classmethod
    def from_file(cls, name: str | os.PathLike[str] = "jebali_2024/supply") -> ChipLoad:
        """Load of a parameter file of kind `supply`; ValueError if it is not one."""
        file = parameter_files.load(name, "supply")
        return cls(
            inference_energy_j=file.number("energy.inference_j"),
            energy_supply_v=file.number("energy.supply_v"),
            cycles_per_inference=file.number("energy.cycles"),
            leakage_a=file.number("leakage.current_a"),
            leakage_supply_v=file.number("leakage.supply_v"),
            leakage_slope_v=file.number("leakage.slope_v"),
            limit_clock_hz=file.number("timing.clock_hz"),
            limit_supply_v=file.number("timing.supply_v"),
            threshold_v=file.number("timing.threshold_v"),
            exponent=file.number("timing.exponent"),
            stop_v=file.number("brown_out.stop_v"),
            restart_v=file.number("brown_out.restart_v"),
            solar_clock_hz=file.number("solar.clock_hz"),
        )

    def inferences_per_second(self, clock_hz: ArrayLike) -> Floats:
        """Inferences per second at a clock, hertz; ValueError if it is not above 0."""
        return (_clock(clock_hz) / self.cycles_per_inference)[()]

    def energy_j(self, v: ArrayLike, clock_hz: ArrayLike | None = None) -> Floats:
        """Energy of one whole-chip inference, joules.

        Parameters
        ----------
        v : array
            Supply, volts, 0 to 1.3.
        clock_hz : array, optional
            With a clock, the leakage during the inference is added; without, switching alone.

        Raises
        ------
        ValueError
            If a voltage or a clock is out of range.
        """
        v = _supply(v)
        switching = self.inference_energy_j * (v / self.energy_supply_v) ** 2
        if clock_hz is None:
            return switching[()]
        return (switching + v * self._leakage(v) / self.inferences_per_second(clock_hz))[()]

    def leakage_current(self, v: ArrayLike) -> Floats:
        """Current of a stopped chip, amperes, at a supply, volts; ValueError if out of range."""
        return self._leakage(_supply(v))[()]

    def _leakage(self, v: Floats) -> Floats:
        shape = np.expm1(v / self.leakage_slope_v)
        return self.leakage_a * shape / np.expm1(self.leakage_supply_v / self.leakage_slope_v)

    @property
    def inference_capacitance_f(self) -> float:
        """Capacitance switched by an inference, farads: its charge is that times VDD."""
        return self.inference_energy_j / self.energy_supply_v**2

    def current(self, v: ArrayLike, clock_hz: ArrayLike) -> Floats:
        """Current of a chip that infers without pause, amperes.

        Parameters
        ----------
        v : array
            Supply, volts, 0 to 1.3.
        clock_hz : array
            Clock, hertz, above 0; broadcast with `v`.

        Raises
        ------
        ValueError
            If a voltage or a clock is out of range.
        """
        v = _supply(v)
        switching = self.inference_capacitance_f * v * self.inferences_per_second(clock_hz)
        return (switching + self._leakage(v))[()]

    def maximum_clock_hz(self, v: ArrayLike) -> Floats:
        """Fastest clock of the logic, hertz, 0 at or below the threshold; the detector aside.

        Raises ValueError if a voltage is out of range.
        """
        v = _supply(v)

        def drive(v: Floats) -> Floats:
            over = np.maximum(v - self.threshold_v, 0.0)
            return np.where(over > 0, over**self.exponent / np.where(v > 0, v, 1.0), 0.0)

        return (self.limit_clock_hz * drive(v) / drive(np.asarray(self.limit_supply_v)))[()]

    def functional(self, v: ArrayLike, clock_hz: ArrayLike) -> NDArray[np.bool_]:
        """Whether the chip works: supply not below brown-out, clock not above the limit.

        A working chip may still read weak cells wrongly; that is another model's business.

        Raises ValueError if a voltage or a clock is out of range.
        """
        clock_hz, v = _clock(clock_hz), _supply(v)
        return ((v >= self.stop_v) & (clock_hz <= self.maximum_clock_hz(v)))[()]


class ChipState(Enum):
    """What a chip does at an operating point."""

    RUNNING = "running"
    TOO_FAST = "clocked too fast for its supply"
    OFF = "stopped by the brown-out detector"


@dataclass(frozen=True)
class OperatingPoint:
    """Where cell and chip meet.

    Attributes
    ----------
    suns, clock_hz : float
        Illumination, and clock.
    vdd_v, current_a : float
        Supply voltage, volts, and current from cell to chip, amperes. Of a stopped chip: what its
        leakage leaves.
    state : ChipState
        What the chip does.
    """

    suns: float
    clock_hz: float
    vdd_v: float
    current_a: float
    state: ChipState

    @property
    def functional(self) -> bool:
        """Whether the chip runs, and right but for weak cells."""
        return self.state is ChipState.RUNNING


def _too_bright(suns: float) -> str:
    high = SUPPLY_RANGE_V[1]
    return f"A cell at {suns:g} suns lifts the supply above {high:g} V, the range of the model"


def _highest_v(cell: SolarCell, suns: float) -> float:
    return min(float(cell.open_circuit_v(suns)), SUPPLY_RANGE_V[1])


def _meeting_v(
    cell: SolarCell, suns: float, load_a: Callable[[float], Any], low: float
) -> float | None:
    """Highest voltage from `low` at which the cell gives what the load takes, or None."""

    def surplus(v: float) -> float:
        return float(cell.current(v, suns) - load_a(v))

    high = _highest_v(cell, suns)
    if high <= low or surplus(low) < 0:
        return None
    if surplus(high) > 0:
        if high < SUPPLY_RANGE_V[1]:  # the load takes nothing: open circuit, but for rounding
            return high
        raise ValueError(_too_bright(suns))
    return float(brentq(surplus, low, high, xtol=1e-15, rtol=1e-14))


def operating_point(
    cell: SolarCell, load: ChipLoad, suns: float, clock_hz: float | None = None
) -> OperatingPoint:
    """Solve for the supply of a chip directly on a solar cell.

    The cell's current falls with voltage and the running chip's rises, so they meet at most once
    above the brown-out voltage, and there stably. Where they do not, the chip is off; with a
    capacitor it may still run in bursts, which `PowerManager` simulates.

    Parameters
    ----------
    cell : SolarCell
    load : ChipLoad
    suns : float
        Equivalent suns, above 0.
    clock_hz : float, optional
        Clock, hertz, above 0; the load's `solar_clock_hz` if not given.

    Raises
    ------
    ValueError
        If illumination or clock is out of range, or the supply would be.
    """
    suns = float(_suns(suns))
    clock = float(_clock(load.solar_clock_hz if clock_hz is None else clock_hz))
    vdd = _meeting_v(cell, suns, lambda v: load.current(v, clock), load.stop_v)
    if vdd is None:
        vdd = _meeting_v(cell, suns, load.leakage_current, 0.0) or 0.0
        return OperatingPoint(suns, clock, vdd, float(load.leakage_current(vdd)), ChipState.OFF)
    state = ChipState.RUNNING if load.functional(vdd, clock) else ChipState.TOO_FAST
    return OperatingPoint(suns, clock, vdd, float(load.current(vdd, clock)), state)


def sustained_clock(cell: SolarCell, load: ChipLoad, suns: float, vdd_v: float) -> float:
    """Clock, hertz, at which the cell holds the chip at this supply; 0 if it cannot at any.

    The inverse of `operating_point`; the frequency limit is not regarded.

    Raises
    ------
    ValueError
        If illumination or voltage is out of range, or the voltage is 0.
    """
    vdd = float(_positive(_supply(vdd_v), "A supply voltage", "V"))
    left = float(cell.current(vdd, suns) - load.leakage_current(vdd))
    return max(left, 0.0) * load.cycles_per_inference / (load.inference_capacitance_f * vdd)


def fastest_clock(cell: SolarCell, load: ChipLoad, suns: float) -> float:
    """Fastest clock, hertz, at which the chip still works on the cell; 0 if it works at none.

    A faster clock needs a higher supply and leaves a lower one: the answer is where both meet, or,
    where light is scarce, the clock that takes the supply down to the brown-out voltage.

    Raises
    ------
    ValueError
        If the illumination is not above 0, or the supply would be out of range.
    """
    suns = float(_suns(suns))
    low, high = load.stop_v, _highest_v(cell, suns)

    def surplus(v: float) -> float:
        return sustained_clock(cell, load, suns, v) - float(load.maximum_clock_hz(v))

    if high <= low:
        return 0.0
    if surplus(low) <= 0:
        clock = sustained_clock(cell, load, suns, low)
    elif surplus(high) > 0:
        raise ValueError(_too_bright(suns))
    else:
        clock = float(load.maximum_clock_hz(brentq(surplus, low, high, xtol=1e-14)))
    return clock * (1 - 1e-9)  # on the working side of the edge in spite of rounding


class EventKind(Enum):
    """What happens to a chip on an unsteady supply."""

    START = "start"
    BROWN_OUT = "brown-out"
    DONE = "done"


@dataclass(frozen=True)
class SupplyEvent:
    """One event of a simulation.

    Attributes
    ----------
    time_s, vdd_v : float
        When, and the supply then.
    kind : EventKind
        The chip starts or restarts, is stopped, or has done all inferences asked for.
    inference : int
        Index of the inference that starts, is interrupted, or would be next.
    rail : Rail
        What the power switch connects from now on: VDD for reads, or nothing.
    """

    time_s: float
    kind: EventKind
    vdd_v: float
    inference: int
    rail: Rail


@dataclass(frozen=True)
class InferenceRecord:
    """One finished inference.

    Attributes
    ----------
    index : int
        Number, from 0, in order.
    first_start_s : float
        Start of its first attempt.
    start_s, end_s : float
        Start and end of the attempt that finished.
    attempts : int
        Attempts, 1 where none was interrupted.
    lowest_vdd_v, vdd_v : float
        Lowest supply during the attempt that finished, and supply at its end.
    functional : bool
        Whether the clock was within the limit at the lowest supply.
    """

    index: int
    first_start_s: float
    start_s: float
    end_s: float
    attempts: int
    lowest_vdd_v: float
    vdd_v: float
    functional: bool


@dataclass(frozen=True)
class History:
    """What a simulation gives back.

    Attributes
    ----------
    inferences : tuple of InferenceRecord
        Finished inferences, in order.
    events : tuple of SupplyEvent
        Starts and brown-outs, in order.
    time_s, vdd_v : float arrays (samples,)
        The supply's course, for drawing.
    """

    inferences: tuple[InferenceRecord, ...]
    events: tuple[SupplyEvent, ...]
    time_s: Floats
    vdd_v: Floats


class _Course(Protocol):
    """A monotone course of the supply from one moment on."""

    def voltage(self, time_s: Floats) -> Floats:
        """Supply at moments from the start on."""

    def reaches(self, level: float, rising: bool) -> float:
        """Moment at which the level is crossed in this direction, or infinity."""


class _Ramp:
    """Linear course between two points."""

    def __init__(self, start_s: float, start_v: float, end_s: float, end_v: float) -> None:
        self._start, self._from, self._end, self._to = start_s, start_v, end_s, end_v

    def voltage(self, time_s: Floats) -> Floats:
        return np.interp(time_s, [self._start, self._end], [self._from, self._to])

    def reaches(self, level: float, rising: bool) -> float:
        if rising and self._from >= level:
            return self._start
        crosses = self._from < level <= self._to if rising else self._from >= level > self._to
        if not crosses:
            return float("inf")
        fraction = (level - self._from) / (self._to - self._from)
        return self._start + fraction * (self._end - self._start)


class _Branch:
    """Way of a capacitor's voltage up to its equilibrium, at rates given at equidistant voltages.

    Between nodes the rate is taken as linear in the voltage, so the voltage is an exponential of
    time there: exact, whatever the step. Falling courses are this one mirrored.
    """

    def __init__(self, nodes: Floats, rates: Floats) -> None:
        last = int(np.flatnonzero(rates > 0)[-1])
        self._nodes, self._rates = nodes[: last + 1], rates[: last + 1]
        steps = np.diff(nodes[: last + 2])
        slopes = (rates[: last + 1] - rates[1 : last + 2]) / steps
        self._slopes = np.maximum(slopes, 1e-9 * self._rates / steps)  # where the rate is level
        spans = -np.log1p(-self._slopes[:-1] * steps[:-1] / self._rates[:-1]) / self._slopes[:-1]
        self._times = np.concatenate([[0.0], np.cumsum(spans)])

    def time(self, v: float) -> float:
        """Time at which the course passes this voltage; infinity at equilibrium or beyond."""
        i = int(np.clip(np.searchsorted(self._nodes, v, "right") - 1, 0, len(self._nodes) - 1))
        way = self._slopes[i] * (v - self._nodes[i]) / self._rates[i]
        if way >= 1:
            return float("inf")
        return float(self._times[i] - np.log1p(-way) / self._slopes[i])

    def voltage(self, time: Floats) -> Floats:
        """Voltage at times from that of the lowest node on."""
        i = np.clip(np.searchsorted(self._times, time, "right") - 1, 0, len(self._times) - 1)
        gone = np.expm1(-self._slopes[i] * (time - self._times[i]))
        return self._nodes[i] - self._rates[i] / self._slopes[i] * gone


class _Relaxation:
    """All courses of a capacitor fed by a cell at one illumination, the chip in one state."""

    #: Distance of nodes, volts: far below the cell's thermal voltage, whose exponential it cuts
    #: into straight pieces (relative error of the diode's current (step q / n k T)^2 / 8, 6e-5).
    STEP_V = 1e-3

    def __init__(
        self, suns: float, surplus_a: Callable[[Floats], Floats], capacitance_f: float
    ) -> None:
        low, high = SUPPLY_RANGE_V
        self._nodes = np.linspace(low, high, round((high - low) / self.STEP_V) + 1)
        rates = np.asarray(surplus_a(self._nodes)) / capacitance_f
        rates[0] = max(rates[0], 0.0)  # nothing falls below 0 V
        if rates[-1] >= 0:
            raise ValueError(_too_bright(suns))
        self._rates = rates
        self._up = _Branch(self._nodes, rates) if (rates > 0).any() else None
        self._down = _Branch(-self._nodes[::-1], -rates[::-1])

    def course(self, start_s: float, start_v: float) -> _Course:
        rate = float(np.interp(start_v, self._nodes, self._rates))
        if rate > 0 and self._up is not None:
            branch, sign = self._up, 1.0
        elif rate < 0:
            branch, sign = self._down, -1.0
        else:
            return _Ramp(start_s, start_v, start_s + 1.0, start_v)
        offset = branch.time(sign * start_v)
        if not np.isfinite(offset):  # at equilibrium, but for rounding
            return _Ramp(start_s, start_v, start_s + 1.0, start_v)
        return _Relaxing(branch, sign, start_s, start_v, offset)


class _Relaxing:
    """Course along a branch from a point of it on."""

    def __init__(
        self, branch: _Branch, sign: float, start_s: float, start_v: float, offset_s: float
    ) -> None:
        self._branch, self._sign, self._offset = branch, sign, offset_s
        self._start, self._from = start_s, start_v

    def voltage(self, time_s: Floats) -> Floats:
        return self._sign * self._branch.voltage(time_s - self._start + self._offset)

    def reaches(self, level: float, rising: bool) -> float:
        if rising and self._from >= level:
            return self._start
        if rising != (self._sign > 0) or (not rising and self._from < level):
            return float("inf")
        return self._start + self._branch.time(self._sign * level) - self._offset


#: What the supply does from a moment on: start, voltage, whether the chip runs -> its course.
_Courses = Callable[[float, float, bool], _Course]


@dataclass(frozen=True)
class PowerManager:
    """Brown-out detector and restart: the chip on an unsteady supply, in time.

    The detector stops the chip as VDD falls below `load.stop_v`: no clock, no rail connected, only
    leakage. When VDD is back at `load.restart_v`, the interrupted inference starts again from its
    beginning. Weights are non-volatile and stay. Stop and restart take no time (assumed).

    Parameters
    ----------
    load : ChipLoad
    capacitance_f : float
        Decoupling capacitance across the supply, farads.

    Raises
    ------
    ValueError
        If the capacitance is not a positive number.
    """

    load: ChipLoad
    capacitance_f: float

    def __post_init__(self) -> None:
        _check_fields(self, ("capacitance_f",))

    @classmethod
    def from_file(cls, name: str | os.PathLike[str] = "jebali_2024/supply") -> PowerManager:
        """Power management of a parameter file of kind `supply`; ValueError if it is not one."""
        capacitance_f = parameter_files.load(name, "supply").number("brown_out.capacitance_f")
        return cls(ChipLoad.from_file(name), capacitance_f)

    def on_cell(
        self,
        cell: SolarCell,
        time_s: ArrayLike,
        suns: ArrayLike,
        clock_hz: float | None = None,
        inferences: int | None = None,
        start_v: float = 0.0,
    ) -> History:
        """Simulate the chip on a solar cell whose illumination changes in steps.

        C dVDD/dt = cell's current - chip's current, solved piece by piece without a time step.

        Parameters
        ----------
        cell : SolarCell
        time_s : float array (steps + 1,)
            Bounds of the steps, seconds, increasing.
        suns : float array (steps,)
            Equivalent suns of each step; 0 is dark.
        clock_hz : float, optional
            Clock, hertz, above 0; the load's `solar_clock_hz` if not given.
        inferences : int, optional
            How many to do; without it, as many as the time allows.
        start_v : float
            Supply at the beginning, volts.

        Raises
        ------
        ValueError
            If the trace is not such a trace, an argument is out of range, or the supply would be.
        """
        times, levels = _trace(time_s, suns, "suns", 1)
        if not (levels >= 0).all():
            raise ValueError(f"An illumination cannot be below 0 suns, not {levels.min():g}")
        clock = float(_clock(self.load.solar_clock_hz if clock_hz is None else clock_hz))
        known: dict[tuple[float, bool], _Relaxation] = {}

        def courses(level: float) -> _Courses:
            def course(start_s: float, start_v: float, runs: bool) -> _Course:
                if (level, runs) not in known:

                    def surplus(v: Floats) -> Floats:
                        used = self.load.current(v, clock) if runs else self.load._leakage(v)
                        return cell._current(v, np.asarray(level)) - used

                    known[level, runs] = _Relaxation(level, surplus, self.capacitance_f)
                return known[level, runs].course(start_s, start_v)

            return course

        steps = ((float(end), courses(float(s))) for end, s in zip(times[1:], levels, strict=True))
        return self._run(float(times[0]), float(_supply(start_v)), steps, clock, inferences)

    def on_supply(
        self,
        time_s: ArrayLike,
        vdd_v: ArrayLike,
        clock_hz: float,
        inferences: int | None = None,
    ) -> History:
        """Simulate the chip on a supply of given course, linear between its points.

        Parameters
        ----------
        time_s, vdd_v : float arrays (points,)
            Moments, seconds, increasing, and the supply at them, volts, 0 to 1.3.
        clock_hz : float
            Clock, hertz, above 0.
        inferences : int, optional
            How many to do; without it, as many as the time allows.

        Raises
        ------
        ValueError
            If the trace is not such a trace, or an argument is out of range.
        """
        times, levels = _trace(time_s, vdd_v, "volts", 0)
        _supply(levels)
        clock = float(_clock(clock_hz))

        def courses(end_s: float, end_v: float) -> _Courses:
            return lambda start_s, start_v, runs: _Ramp(start_s, start_v, end_s, end_v)

        points = zip(times[1:].tolist(), levels[1:].tolist(), strict=True)
        steps = ((end, courses(end, v)) for end, v in points)
        return self._run(float(times[0]), float(levels[0]), steps, clock, inferences)

    def _run(
        self,
        time: float,
        v: float,
        steps: Iterator[tuple[float, _Courses]],
        clock: float,
        inferences: int | None,
    ) -> History:
        """Go from event to event: a step's end, a crossing of the detector, the last inference."""
        if inferences is not None and (not isinstance(inferences, int) or inferences < 1):
            raise ValueError(f"Inferences must be a positive integer, not {inferences!r}")
        progress = _Progress(self.load, clock, inferences)
        samples: list[tuple[Floats, Floats]] = []
        powered = False
        for end, courses in steps:
            while True:
                runs = powered and not progress.done
                course = courses(time, v, runs)
                crossing = course.reaches(
                    self.load.stop_v if powered else self.load.restart_v, rising=not powered
                )
                until = min(end, crossing, progress.last_end if runs else np.inf)
                moments = time + (until - time) * np.linspace(0.0, 1.0, 33) ** 3
                samples.append((moments, course.voltage(moments)))
                if runs:
                    progress.advance(time, until, course)
                time, v = until, float(course.voltage(np.asarray(until)))
                if time == crossing:
                    v = self.load.stop_v if powered else max(v, self.load.restart_v)
                    powered = not powered
                    progress.switch(powered, time, v)
                elif runs and progress.done:
                    progress.note(EventKind.DONE, time, v, Rail.VDD)
                elif time >= end:
                    break
        return History(
            tuple(progress.records),
            tuple(progress.events),
            np.concatenate([moments for moments, _ in samples]),
            np.concatenate([volts for _, volts in samples]),
        )


class _Progress:
    """Inferences one after the other, while the supply lasts."""

    def __init__(self, load: ChipLoad, clock_hz: float, inferences: int | None) -> None:
        self._load, self._clock, self._wanted = load, clock_hz, inferences
        self._duration = load.cycles_per_inference / clock_hz
        self.records: list[InferenceRecord] = []
        self.events: list[SupplyEvent] = []
        self._attempts = 0
        self._first_start = 0.0  # of the current inference
        self._start = 0.0  # of its current attempt
        self._run_start = 0.0  # of uninterrupted work, and inferences finished since
        self._finished = 0
        self._lowest = np.inf  # of the current attempt

    @property
    def done(self) -> bool:
        return self._wanted is not None and len(self.records) >= self._wanted

    @property
    def last_end(self) -> float:
        """Moment at which the last inference asked for ends, if nothing interrupts."""
        if self._wanted is None:
            return float("inf")
        left = self._wanted - len(self.records)
        return self._run_start + (self._finished + left) * self._duration

    def note(self, kind: EventKind, time: float, v: float, rail: Rail) -> None:
        self.events.append(SupplyEvent(time, kind, v, len(self.records), rail))

    def switch(self, powered: bool, time: float, v: float) -> None:
        """Start, restart or stop."""
        if not powered:
            self.note(EventKind.BROWN_OUT, time, v, Rail.OFF)
            return
        self.note(EventKind.START, time, v, Rail.VDD)
        if self.done:
            return
        if self._attempts == 0:
            self._first_start = time
        self._attempts += 1
        self._start = self._run_start = time
        self._finished, self._lowest = 0, v

    def advance(self, start: float, until: float, course: _Course) -> None:
        """Work from `start` to `until`, over which the supply is monotone."""
        count = int(np.floor((until - self._run_start) / self._duration + 1e-9))
        if self._wanted is not None:
            count = min(count, self._finished + self._wanted - len(self.records))
        ends = self._run_start + np.arange(self._finished + 1, count + 1) * self._duration
        moments = np.concatenate([[start], np.minimum(ends, until), [until]])
        volts = course.voltage(moments)
        lowest = np.minimum(volts[:-1], volts[1:])
        lowest[0] = min(lowest[0], self._lowest)
        works = self._load.functional(np.clip(lowest, *SUPPLY_RANGE_V), self._clock)
        for i, end in enumerate(ends.tolist()):
            self.records.append(
                InferenceRecord(
                    index=len(self.records),
                    first_start_s=self._first_start,
                    start_s=self._start,
                    end_s=end,
                    attempts=self._attempts,
                    lowest_vdd_v=float(lowest[i]),
                    vdd_v=float(volts[i + 1]),
                    functional=bool(works[i]),
                )
            )
            self._attempts, self._first_start, self._start = 1, end, end
        self._finished += len(ends)
        self._lowest = float(lowest[-1])


def _trace(time_s: ArrayLike, values: ArrayLike, unit: str, more: int) -> tuple[Floats, Floats]:
    """Times and values of a trace; ValueError if misshapen, not finite, or not increasing."""
    times, levels = np.asarray(time_s, dtype=float), np.asarray(values, dtype=float)
    if times.ndim != 1 or len(times) < 2 or levels.shape != (len(times) - more,):
        wanted = "one time more than values" if more else "as many times as values"
        raise ValueError(
            f"A trace in {unit} has {wanted} and at least two times, "
            f"not shapes {times.shape} and {levels.shape}"
        )
    if not (np.isfinite(times).all() and np.isfinite(levels).all() and (np.diff(times) > 0).all()):
        raise ValueError("The times of a trace must increase, and all its numbers be finite")
    return times, levels
