"""A macro, cycle by cycle, whose bits are memristors read by XPCSAs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from behavioral_models.constants import Operation
from behavioral_models.device_chip import DeviceChip
from behavioral_models.macro import MacroModel

__all__ = ["DeviceMacro"]


class DeviceMacro(MacroModel):
    """One macro of a `DeviceChip`, stepped once a clock cycle; protocol checks as in `MacroModel`.

    Pulses act on the chip's memristors, and their length is judged: a pulse cut off leaves a
    memristor half programmed. Every cell decides, whatever its state: there is always a difference.

    Parameters
    ----------
    chip : DeviceChip
        The macros of a chip share it.
    macro : int
        Which of its macros this is.
    vdd_v, sense_clock_hz : float
        Supply and clock at which senses are made.
    full_pulse_cycles : dict of Operation to int
        Clock cycles of a whole pulse of each operation, as in the programmer's timing.
    """

    def __init__(
        self,
        chip: DeviceChip,
        macro: int,
        vdd_v: float,
        sense_clock_hz: float,
        full_pulse_cycles: dict[Operation, int],
    ) -> None:
        _, rows, columns = chip.geometry.image_shape
        super().__init__(rows, columns, name=f"macro {macro}")
        self.chip, self.macro = chip, macro
        self.vdd_v, self.sense_clock_hz = vdd_v, sense_clock_hz
        self._full = full_pulse_cycles
        self._pulse_began: int | None = None
        self.decided[:] = True
        self.refresh()

    def refresh(self) -> None:
        """Read the memristors anew, after they were changed behind the macro's back."""
        self.formed = self.chip.array.formed[self.macro]
        self.table = self.chip.read(self.macro, slice(None), self.vdd_v, self.sense_clock_hz)
        ohm = self.chip.array.ohm[self.macro]
        self.low = np.stack([ohm[..., 0] < ohm[..., 1], ohm[..., 1] < ohm[..., 0]], axis=-1)

    def load(self, table: ArrayLike) -> None:
        """Refused, ValueError: a table does not tell resistances."""
        raise ValueError(
            f"{self.name} is made of memristors: program its DeviceChip, then refresh the macro"
        )

    @property
    def measured_ohm(self) -> float | None:
        """Resistance at the measuring pads, ohms; None while no memristor is connected."""
        if self.connected is None:
            return None
        return self.chip.measure(self.macro, *self.connected)

    def clock_edge(self, **pins: int) -> int:
        """See `MacroModel.clock_edge`."""
        if pins["pulse"] and not self._before["pulse"]:
            self._pulse_began = self.cycle
        return super().clock_edge(**pins)

    def _finish_pulse(self, pins: dict[str, int]) -> None:
        operation = Operation(pins["operation"])
        row, column, side = pins["row"], pins["column"], pins["side"]
        assert self._pulse_began is not None
        fraction = (self.cycle - self._pulse_began) / self._full[operation]
        self.chip.array.pulse(self.macro, row, column, side, operation, min(fraction, 1.0))
        self.table[row] = self.chip.read(self.macro, row, self.vdd_v, self.sense_clock_hz)
        self.formed = self.chip.array.formed[self.macro]
        ohm = self.chip.array.ohm[self.macro, row, column]
        self.low[row, column] = (ohm[0] < ohm[1], ohm[1] < ohm[0])
        self._pulse_began = self.cycle  # the next may follow without a gap only after a breach
