"""XNOR-augmented precharge sense amplifier over a 2T2R bit cell, and a 1T1R read beside it.

Both branches are precharged and let go; each discharges through its thick-oxide transistors
(access and XNOR, `path_ohm` together) and its memristor, the lower resistance faster, and the latch
keeps the difference (Jebali 2024, Fig. 1f; Hirtzlin 2020, Fig. 2b). With s the logarithm of the
ratio of the branches' resistances, positive where the cell holds a 1, and n = +1 for x = 1, -1 for
x = 0 (the XNOR transistors cross the branches), a sense gives

    q = [ g (n s + n a + c_x) + b > 0 ],    g = 1 - exp(-T / tau),  tau = line_f (R_low + path_ohm)

a, b and c_x are the mismatch of the cell's access transistors, of the latch and of the XNOR
transistors used for x, as equivalent logarithms of a resistance ratio: fixed for each, so that weak
cells err again and again, perhaps for one x only. T is the part of the clock period in which the
amplifier senses; a line that has not moved far yields a small difference, which the latch's own
offset more easily overrules.

Thick-oxide transistors have little overdrive at a low supply: their resistance, which hides the
memristors', grows as 1 / overdrive. The overdrive passes smoothly from square to subthreshold law:
u = slope_v ln(1 + exp((V - threshold_v) / slope_v)). A threshold mismatch changes a branch by its
part of d(ln u)/dV, which grows as the supply sags and levels off below the threshold.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtr

from behavioral_models.memristor import States
from behavioral_models.parameter_files import Parameters, load

__all__ = ["Amplifier", "Offset", "overdrive", "steepness"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Offset:
    """Standard deviation of one group's mismatch, as the logarithm of a resistance ratio.

    Parameters
    ----------
    fixed_ln : float
        Independent part that does not depend on the supply.
    mismatch_v : float
        Threshold mismatch, volts.
    precharge_ln : float
        What the same mismatch does in the precharge: a slower transistor leaves its line lower, and
        so ahead, which subtracts.
    """

    fixed_ln: float
    mismatch_v: float
    precharge_ln: float = 0.0

    def ln(self, steepness_per_v: float) -> float:
        """Standard deviation where the logarithm of the overdrive has this slope, 1/volts."""
        return float(np.hypot(self.fixed_ln, self.mismatch_v * steepness_per_v - self.precharge_ln))


def overdrive(vdd_v: ArrayLike, threshold_v: float, slope_v: float) -> Floats:
    """Overdrive u of the thick-oxide transistors, volts: smooth around the threshold."""
    return slope_v * np.logaddexp(0.0, (np.asarray(vdd_v, dtype=float) - threshold_v) / slope_v)


def steepness(vdd_v: ArrayLike, threshold_v: float, slope_v: float) -> Floats:
    """d(ln u)/dV, 1/volts: 1 / u well above the threshold, 1 / slope_v well below."""
    inside = expit((np.asarray(vdd_v, dtype=float) - threshold_v) / slope_v)
    return inside / overdrive(vdd_v, threshold_v, slope_v)


class Amplifier:
    """An XPCSA and the lines it senses: what a parameter file of kind `amplifier` says.

    Parameters
    ----------
    source : Parameters, str or path
        The file, or its name (`jebali_2024/amplifier`).

    Attributes
    ----------
    set : str
        Parameter set.
    cell, latch, xnor : Offset
        Mismatch of the three groups of transistors.
    vdd_range_v : tuple of two floats
        Supplies the file was fitted for; others are refused.

    Raises
    ------
    ValueError
        If the file lacks a number or one is out of bounds.
    """

    def __init__(self, source: Parameters | str | os.PathLike[str]) -> None:
        parameters = source if isinstance(source, Parameters) else load(source, "amplifier")
        number = parameters.number
        self.parameters = parameters
        self.name, self.set = parameters.name, parameters.set
        self.reference_v = number("reference_v", low=0.1)
        self.threshold_v = number("threshold_v", low=0.0)
        self.slope_v = number("slope_v", low=1e-3)
        self._path_ohm = number("path_ohm", low=0.0)
        self.line_f = number("line_f", low=0.0)
        self.sense_share = number("sense_share", low=0.01, high=1.0)
        self._energy_f = number("energy.supply_f", low=0.0)
        self._energy_drive_f = number("energy.drive_f", low=0.0)
        self._intrinsic_s = number("delay.intrinsic_s", low=0.0)
        self._regeneration_s = number("delay.regeneration_s", low=0.0)
        self._exponent = number("delay.exponent", low=0.0)
        self._line_share = number("delay.line_share", low=0.0)
        self._path_share = number("delay.path_share", low=0.0)
        self._line_exponent = number("delay.line_exponent", low=0.0)
        self.cell, self.latch, self.xnor = (
            Offset(
                number(f"offset.{group}.fixed_ln", low=0.0),
                number(f"offset.{group}.mismatch_v", low=0.0),
                number(f"offset.{group}.precharge_ln", low=0.0),
            )
            for group in ("cell", "latch", "xnor")
        )
        self.vdd_range_v = (number("range.vdd_low_v", low=0.0), number("range.vdd_high_v"))

    def check_supply(self, vdd_v: float) -> None:
        """Refuse a supply outside the range of the file: ValueError."""
        low, high = self.vdd_range_v
        if not low - 1e-9 <= vdd_v <= high + 1e-9:
            raise ValueError(
                f"{self.name} holds for supplies of {low:g} to {high:g} V, not {vdd_v:g} V"
            )

    def overdrive_v(self, vdd_v: float) -> float:
        """Effective overdrive of the thick-oxide transistors, volts."""
        self.check_supply(vdd_v)
        return float(overdrive(vdd_v, self.threshold_v, self.slope_v))

    def steepness_per_v(self, vdd_v: float) -> float:
        """Slope of the overdrive's logarithm against the supply, 1/volts."""
        self.check_supply(vdd_v)
        return float(steepness(vdd_v, self.threshold_v, self.slope_v))

    def _slowness(self, vdd_v: float) -> float:
        """How much less overdrive there is than at the reference supply."""
        return self.overdrive_v(self.reference_v) / self.overdrive_v(vdd_v)

    def path_ohm(self, vdd_v: float) -> float:
        """Resistance in series with a memristor: access and XNOR transistors, ohms."""
        return self._path_ohm * self._slowness(vdd_v)

    def sense_s(self, clock_hz: float) -> float:
        """Time a sense has at a clock, seconds."""
        if not clock_hz > 0:
            raise ValueError(f"A clock must be above 0 Hz, not {clock_hz!r}")
        return self.sense_share / clock_hz

    def signal(self, ohm: ArrayLike, vdd_v: float) -> Floats:
        """Logarithm s of the branches' ratio: ohm (..., side) to (...), positive for a 1."""
        branches = np.asarray(ohm, dtype=float) + self.path_ohm(vdd_v)
        return np.log(branches[..., 0] / branches[..., 1])

    def developed(self, ohm: ArrayLike, vdd_v: float, clock_hz: float) -> Floats:
        """Part g of the difference that has developed when the latch decides: (..., side) to (...).

        0 for a line that has not moved, 1 for one that had all the time it needs.
        """
        low = np.asarray(ohm, dtype=float).min(axis=-1)
        tau = self.line_f * (low + self.path_ohm(vdd_v))
        return -np.expm1(-self.sense_s(clock_hz) / np.maximum(tau, 1e-30))

    def decide(
        self,
        ohm: ArrayLike,
        vdd_v: float,
        clock_hz: float,
        cell_score: ArrayLike = 0.0,
        latch_score: ArrayLike = 0.0,
        xnor_score: ArrayLike = (0.0, 0.0),
    ) -> NDArray[np.bool_]:
        """What a sense of 2T2R cells gives for each input.

        Parameters
        ----------
        ohm : float (..., 2)
            Resistances on BL and BLb, ohms.
        vdd_v, clock_hz : float
            Supply and clock.
        cell_score, latch_score : float (...)
            Standard normal mismatch of each cell and each cell's amplifier.
        xnor_score : float (..., 2)
            The same of the XNOR transistors used for x = 0 and x = 1.

        Returns
        -------
        bool (..., 2)
            q for x = 0 and x = 1.

        Raises
        ------
        ValueError
            If the supply is outside the file's range or the clock is not positive.
        """
        per_v = self.steepness_per_v(vdd_v)
        xnor_score = np.asarray(xnor_score, dtype=float)
        difference = self.signal(ohm, vdd_v) + self.cell.ln(per_v) * np.asarray(cell_score)
        developed = self.developed(ohm, vdd_v, clock_hz)
        latch = self.latch.ln(per_v) * np.asarray(latch_score, dtype=float)
        xnor = self.xnor.ln(per_v) * xnor_score
        crossed = developed * (xnor[..., 0] - difference) + latch > 0
        straight = developed * (xnor[..., 1] + difference) + latch > 0
        return np.stack(np.broadcast_arrays(crossed, straight), axis=-1)

    def decide_single_ended(
        self,
        ohm: ArrayLike,
        reference_ohm: float,
        vdd_v: float,
        clock_hz: float,
        cell_score: ArrayLike = 0.0,
        latch_score: ArrayLike = 0.0,
    ) -> NDArray[np.bool_]:
        """1T1R read for comparison: whether each memristor reads as HRS against a reference.

        Parameters
        ----------
        ohm : float (...)
            Resistances, ohms.
        reference_ohm : float
            Reference branch, ohms.
        vdd_v, clock_hz, cell_score, latch_score
            As in `decide`.
        """
        values = np.asarray(ohm, dtype=float)
        pair = np.stack([values, np.broadcast_to(reference_ohm, values.shape)], axis=-1)
        return self.decide(pair, vdd_v, clock_hz, cell_score, latch_score)[..., 1]

    def delay_s(self, ohm: ArrayLike, vdd_v: float) -> Floats:
        """Time from the start of a sense to its decision, without mismatch: (..., side) to (...).

        The latch and its regeneration from the difference s, slower at a low supply, and the
        discharge of the line, which has less to fall there. `decide` does not look at it: a sense
        with less time than this is undecided.
        """
        values = np.asarray(ohm, dtype=float)
        slowness = self._slowness(vdd_v)
        latch = slowness**self._exponent
        signal = np.maximum(np.abs(self.signal(values, vdd_v)), 1e-9)
        low = values.min(axis=-1)
        line = self._line_share * low * slowness**self._line_exponent
        line = self.line_f * (line + self._path_share * self.path_ohm(vdd_v))
        regeneration = self._regeneration_s * np.maximum(np.log(1 / signal), 0.0)
        return (self._intrinsic_s + regeneration) * latch + line

    def energy_j(self, vdd_v: float) -> float:
        """Energy of one precharge and sense of one amplifier with its lines, joules.

        C V^2, and C V u for lines that are precharged through transistors that stop a threshold
        below the supply.
        """
        drive = self.overdrive_v(vdd_v)
        return self._energy_f * vdd_v**2 + self._energy_drive_f * vdd_v * drive

    def bit_error_rate(
        self, states: States, vdd_v: float, clock_hz: float, ideal: bool = False
    ) -> float:
        """Misread fraction of 2T2R cells, over all devices, programmings, amplifiers and x.

        Summed on a grid of both states' scores, mismatch taken exactly: good to far below any rate
        that can be counted.

        Parameters
        ----------
        states : States
            Of a condition.
        vdd_v, clock_hz : float
            Supply and clock.
        ideal : bool
            With an amplifier that knows no mismatch and any difference.
        """
        step = 0.05
        score = np.arange(-9.5, 9.5 + step / 2, step)
        density = np.exp(-(score**2) / 2) * (step / np.sqrt(2 * np.pi))
        high = states.hrs.distribution.ohm(score)[:, None]
        low = states.lrs.distribution.ohm(score)[None, :]
        if ideal:  # probability that an HRS is below each LRS
            return float(density @ ndtr(states.hrs.distribution.score(low[0])))
        pair = np.stack(np.broadcast_arrays(high, low), axis=-1)
        per_v = self.steepness_per_v(vdd_v)
        developed = self.developed(pair, vdd_v, clock_hz)
        in_branches = np.hypot(self.cell.ln(per_v), self.xnor.ln(per_v))
        spread = np.hypot(developed * in_branches, self.latch.ln(per_v))
        margin = developed * self.signal(pair, vdd_v) / np.maximum(spread, 1e-30)
        return float(density @ ndtr(-margin) @ density)
