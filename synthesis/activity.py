"""What a netlist's nets did while something ran on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Activity"]


@dataclass(frozen=True, eq=False)
class Activity:
    """Toggles of every net, and how long each was at 1, over a number of clock cycles.

    Attributes
    ----------
    cycles : int
    period_s : float
        Clock period.
    toggles : float array (nets,)
        Transitions, rising and falling together, over all the cycles; by net number.
    high : float array (nets,)
        Fraction of the time at 1.
    source : dict
        What ran and how this was found, for reports: at least `workload`, `inferences` and
        `useful_macs` where inferences ran.

    Raises
    ------
    ValueError
        If the arrays do not agree, or hold what no net can do.
    """

    cycles: int
    period_s: float
    toggles: NDArray[np.float64]
    high: NDArray[np.float64]
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cycles < 1 or not self.period_s > 0:
            raise ValueError(
                f"An activity covers at least one cycle of a positive period, not {self.cycles!r} "
                f"cycles of {self.period_s!r} s"
            )
        for name in ("toggles", "high"):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            if array.ndim != 1 or len(array) != len(self.toggles):
                raise ValueError(
                    f"An activity has one number a net: toggles and high of shape (nets,), "
                    f"not {np.shape(self.toggles)} and {np.shape(self.high)}"
                )
            object.__setattr__(self, name, array)
        if not (self.toggles >= 0).all():
            raise ValueError("A net toggles zero times or more, never a negative number of times")
        if not ((self.high >= 0) & (self.high <= 1)).all():
            raise ValueError("A net is at 1 for a fraction of the time from 0 to 1")

    @property
    def time_s(self) -> float:
        """What the cycles take."""
        return self.cycles * self.period_s

    @property
    def density(self) -> NDArray[np.float64]:
        """Transitions per second of every net, as OpenSTA calls it: float (nets,)."""
        return self.toggles / self.time_s
