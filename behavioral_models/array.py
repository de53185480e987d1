"""The memristors of one chip: their resistances, and what every pulse does to them.

Draws are keyed by seed, chip, memristor and the number of pulses the memristor has had
(`behavioral_models.draws`), so that a memristor's resistance does not depend on when the others
were programmed, nor on whether numpy or a simulated programmer sent the pulses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models.chip import check_image
from behavioral_models.constants import Operation
from behavioral_models.draws import Stream, normal, uniform
from behavioral_models.geometry import ChipGeometry
from behavioral_models.memristor import Condition, States

__all__ = ["UNFORMED_OHM", "MemristorArray"]

#: Resistance of a memristor never formed, ohms. Assumed: far above any HRS.
UNFORMED_OHM = 1e9


class MemristorArray:
    """All memristors of a chip.

    Parameters
    ----------
    geometry : ChipGeometry
    condition : Condition
        How they are programmed.
    seed, chip : int
        Which chip of which batch; both at least 0.
    cycles : float
        Programming cycles every memristor has behind it already (ageing).

    Attributes
    ----------
    ohm : float (macro, row, column, side)
        Resistances, ohms. Side 0 is BL.
    formed : bool (macro, row, column, side)
        Which memristors are formed.
    pulses : int (macro, row, column, side)
        SET and RESET pulses each has had.
    states : States
        What the condition makes of a pulse.

    Notes
    -----
    A pulse that is cut off (power lost) leaves a memristor half programmed. SET and forming switch
    abruptly, at a moment within the pulse (drawn anew for each SET, once for forming); RESET moves
    the logarithm of the resistance steadily. Both kinetics are assumed; the endpoints are the
    condition's. Pulses given here do not age: `cycles` is the age, and stays.
    """

    def __init__(
        self,
        geometry: ChipGeometry,
        condition: Condition,
        seed: int = 0,
        chip: int = 0,
        cycles: float = 0.0,
    ) -> None:
        self.geometry, self.condition, self.seed, self.chip = geometry, condition, seed, chip
        self.states: States = condition.at(cycles=cycles)
        self._cells = geometry.memristors // 2
        shape = (*geometry.image_shape, 2)
        self.ohm = np.full(shape, UNFORMED_OHM)
        self.formed = np.zeros(shape, dtype=bool)
        self.pulses = np.zeros(shape, dtype=np.int64)
        scores = normal(seed, chip, Stream.DEVICE, count=self._cells)
        self._device_lrs = scores[:, 0:2].reshape(shape)
        self._device_hrs = scores[:, 2:4].reshape(shape)
        self._stuck: NDArray[np.int8] | None = None
        if condition.stuck_lrs or condition.stuck_hrs:
            draw = uniform(seed, chip, Stream.STUCK, count=self._cells)[:, :2].reshape(shape)
            low = draw < condition.stuck_lrs
            high = draw >= 1 - condition.stuck_hrs
            self._stuck = low.astype(np.int8) - high.astype(np.int8)  # 1: in LRS, -1: in HRS

    def form(self) -> None:
        """Form every memristor that is not; each ends in LRS."""
        shape = self.ohm.shape
        score = normal(self.seed, self.chip, Stream.FORMING, count=self._cells, words=2)
        ohm = self.states.lrs.ohm(self._device_lrs, score.reshape(shape))
        self.ohm = np.where(self.formed, self.ohm, ohm)
        self.formed[:] = True
        self._hold_stuck()

    def program(self, image: ArrayLike, rows: NDArray[np.bool_] | None = None) -> None:
        """Give every memristor its pulse: bool (macro, row, column), 1 is HRS on BL, LRS on BLb.

        Parameters
        ----------
        image : bool array (macro, row, column)
        rows : bool array (macro, row), optional
            Program these rows alone; all if not given.

        Raises
        ------
        ValueError
            If the image does not fit, or memristors are not formed.
        """
        bits = check_image(self.geometry, image)
        if not self.formed.all():
            raise ValueError(
                f"{np.count_nonzero(~self.formed)} memristors were never formed: form the chip "
                f"before programming it"
            )
        shape = self.ohm.shape
        score = np.empty(shape)
        for index in np.unique(self.pulses):
            drawn = normal(
                self.seed, self.chip, Stream.PROGRAMMING, int(index), count=self._cells, words=2
            ).reshape(shape)
            score = np.where(self.pulses == index, drawn, score)
        low = np.stack([~bits, bits], axis=-1)
        ohm = np.where(
            low,
            self.states.lrs.ohm(self._device_lrs, score),
            self.states.hrs.ohm(self._device_hrs, score),
        )
        if rows is None:
            rows = np.ones(shape[:2], dtype=bool)
        self.ohm[rows] = ohm[rows]
        self.pulses[rows] += 1
        self._hold_stuck()

    def program_row(self, macro: int, row: int, bits: ArrayLike) -> None:
        """Program one row, bool (column,), as the chip's programmer does."""
        for operation in (Operation.SET, Operation.RESET):
            for column, bit in enumerate(np.asarray(bits, dtype=bool)):
                side = int(bit) if operation is Operation.SET else 1 - int(bit)
                self.pulse(macro, row, column, side, operation)

    def pulse(
        self,
        macro: int,
        row: int,
        column: int,
        side: int,
        operation: Operation,
        fraction: float = 1.0,
    ) -> None:
        """One pulse on one memristor, cut off after `fraction` of its length if below 1.

        SET and RESET do nothing to a memristor never formed.

        Raises
        ------
        ValueError
            If the operation has no pulse.
        """
        if operation is Operation.READ:
            raise ValueError("A read has no pulse: an operation is FORM, SET or RESET")
        place = (macro, row, column, side)
        cell = int(np.ravel_multi_index((macro, row, column), self.geometry.image_shape))
        if operation is Operation.FORM:
            words = uniform(self.seed, self.chip, Stream.FORMING, 0, cell)[0]
            if not self.formed[place] and fraction >= (words[2 + side] if fraction < 1 else 0):
                score = normal(self.seed, self.chip, Stream.FORMING, 0, cell)[0, side]
                self.ohm[place] = self.states.lrs.ohm(self._device_lrs[place], score)
                self.formed[place] = True
        elif self.formed[place]:
            index = int(self.pulses[place])
            score = normal(self.seed, self.chip, Stream.PROGRAMMING, index, cell)[0, side]
            self.pulses[place] += 1
            if operation is Operation.SET:
                moment = uniform(self.seed, self.chip, Stream.PROGRAMMING, index, cell)[0, 2 + side]
                if fraction >= 1 or fraction >= moment:
                    self.ohm[place] = self.states.lrs.ohm(self._device_lrs[place], score)
            else:
                end = self.states.hrs.ohm(self._device_hrs[place], score)
                part = min(fraction, 1.0)
                self.ohm[place] = self.ohm[place] ** (1 - part) * end**part
        self._hold_stuck(place)

    def _hold_stuck(self, place: tuple[int, ...] | tuple[()] = ()) -> None:
        """Stuck memristors are in their state whatever was done, once formed."""
        if self._stuck is None:
            return
        stuck, formed = self._stuck[place], self.formed[place]
        low = self.states.lrs.ohm(self._device_lrs[place], 0.0)
        high = self.states.hrs.ohm(self._device_hrs[place], 0.0)
        now = np.where(stuck > 0, low, np.where(stuck < 0, high, self.ohm[place]))
        self.ohm[place] = np.where(formed, now, self.ohm[place])
