"""Forming and programming a chip: power switch, rails, one pulse after another, verify and retry.

The published chip forms and programs its memristors one at a time, under control of on-chip logic
(Jebali 2024, Methods): for each, the power switch connects the rails of the operation, and a pulse
follows. Here a whole chip takes the memristors times their pulses, plus what row changes cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models.chip import check_image
from behavioral_models.constants import (
    FORM_PULSE_S,
    PULSE_SETUP_S,
    RAIL_DEAD_TIME_S,
    RAILS,
    VDD_V,
    VH_V,
    VM_V,
    Operation,
    Rail,
)
from behavioral_models.device_chip import DeviceChip

__all__ = ["PowerSwitch", "ProgrammingReport", "RailError", "form", "program", "pulse"]


class RailError(ValueError):
    """Rails that an operation must not have."""


class PowerSwitch:
    """What connects VDDC (columns) and VDDR (rows) to the pads, and how long that takes.

    Parameters
    ----------
    vdd_v, vm_v, vh_v : float
        Voltages at the three supply pads. For inference all may be tied together (Jebali 2024);
        such a chip cannot be programmed.

    Attributes
    ----------
    rails : tuple of two Rail
        What VDDC and VDDR are connected to.
    time_s : float
        Time spent switching so far.
    """

    #: Part by which a pad may be off its published voltage. Assumed.
    TOLERANCE = 0.1

    def __init__(self, vdd_v: float = VDD_V, vm_v: float = VM_V, vh_v: float = VH_V) -> None:
        self._pads = {Rail.OFF: 0.0, Rail.VDD: vdd_v, Rail.VM: vm_v, Rail.VH: vh_v}
        self.rails = (Rail.OFF, Rail.OFF)
        self.time_s = 0.0

    @property
    def volts(self) -> tuple[float, float]:
        """Voltages of VDDC and VDDR now."""
        return self._pads[self.rails[0]], self._pads[self.rails[1]]

    def connect(self, operation: Operation) -> None:
        """Connect an operation's rails, through a moment with none.

        Raises
        ------
        RailError
            If the pads do not have the voltages that the operation needs.
        """
        wanted = RAILS[operation]
        published = {Rail.VDD: VDD_V, Rail.VM: VM_V, Rail.VH: VH_V}
        needed = () if operation is Operation.READ else (Rail.VDD, *wanted)  # logic runs on VDD
        for rail in needed:
            volts = published[rail]
            if abs(self._pads[rail] - volts) > self.TOLERANCE * volts:
                raise RailError(
                    f"{operation.name} needs {volts:g} V on pad {rail.name}, which has "
                    f"{self._pads[rail]:g} V: connect it, or only read"
                )
        if wanted != self.rails:
            self.rails = wanted
            self.time_s += 2 * RAIL_DEAD_TIME_S  # none connected, then the new ones settle

    def check(self, operation: Operation) -> None:
        """Refuse a pulse whose rails are not the connected ones: RailError."""
        if self.rails != RAILS[operation]:
            have = " and ".join(rail.name for rail in self.rails)
            want = " and ".join(rail.name for rail in RAILS[operation])
            raise RailError(
                f"A {operation.name} pulse needs VDDC and VDDR on {want}, not {have}: connect them "
                f"first"
            )


@dataclass(frozen=True)
class ProgrammingReport:
    """What forming or programming took.

    Attributes
    ----------
    pulses : int
        Pulses given.
    time_s : float
        If strictly one after another, switching and set-up times included; the reads that verify,
        some microseconds, are not.
    pulse_time_s : float
        The pulses alone.
    energy_j : float
        Taken by the memristors.
    retried_rows : int
        Rows programmed again because a bit cell did not read as programmed.
    misread_cells : int
        Bit cells that still err, for either x; 0 if not verified.
    """

    pulses: int
    time_s: float
    pulse_time_s: float
    energy_j: float
    retried_rows: int = 0
    misread_cells: int = 0


def pulse(
    chip: DeviceChip,
    switch: PowerSwitch,
    place: tuple[int, int, int, int],
    operation: Operation,
    fraction: float = 1.0,
) -> None:
    """One pulse on one memristor, cut off after `fraction` of its length.

    `place` is (macro, row, column, side).

    Raises
    ------
    RailError
        If other rails are connected than the operation's.
    """
    switch.check(operation)
    chip.array.pulse(*place, operation, fraction)


def form(chip: DeviceChip, switch: PowerSwitch | None = None) -> ProgrammingReport:
    """Form every memristor of a chip, one after another.

    Raises
    ------
    RailError
        If the pads do not have the voltages that forming needs.
    """
    switch = switch or PowerSwitch()
    before = switch.time_s
    switch.connect(Operation.FORM)
    count = int(np.count_nonzero(~chip.array.formed))
    chip.array.form()
    switch.connect(Operation.READ)
    pulse_time = count * FORM_PULSE_S
    return ProgrammingReport(
        pulses=count,
        time_s=pulse_time + count * 2 * PULSE_SETUP_S + switch.time_s - before,
        pulse_time_s=pulse_time,
        energy_j=count * chip.array.states.form_j,
    )


def program(
    chip: DeviceChip,
    image: ArrayLike,
    switch: PowerSwitch | None = None,
    retries: int = 0,
    vdd_v: float = VDD_V,
    clock_hz: float = 1e6,
    progress: Callable[[int], object] = lambda rows: None,
) -> ProgrammingReport:
    """Program a chip, row after row: SET pulses of the row, then RESET pulses.

    Pulses are as long as the condition's (6 us for the published chip's).

    Parameters
    ----------
    chip : DeviceChip
    image : bool array (macro, row, column)
        1 is HRS on BL and LRS on BLb.
    switch : PowerSwitch, optional
        Its own by default, pads at the published voltages.
    retries : int
        Times that rows which do not read as programmed, for both x, are programmed again. 0 does
        not verify.
    vdd_v, clock_hz : float
        Supply and clock of the reads that verify. A low supply finds weak cells that the nominal
        one reads well.
    progress : callable
        Called with the number of rows done since the last call.

    Raises
    ------
    RailError
        If the pads do not have the voltages that programming needs.
    ValueError
        If the image does not fit, memristors were never formed, or retries are negative.
    """
    if retries < 0:
        raise ValueError(f"Retries must be at least 0, not {retries!r}")
    switch = switch or PowerSwitch()
    bits = check_image(chip.geometry, image)
    macros, rows, columns = chip.geometry.image_shape
    before = switch.time_s
    retried = 0
    wrong = np.zeros(bits.shape, dtype=bool)
    try:
        for _ in range(macros * rows):
            _connect_for_row(switch)
        chip.program(bits)
        progress(macros * rows)
        if retries:
            switch.connect(Operation.READ)
            wrong = _misread(chip, bits, vdd_v, clock_hz)
        for _ in range(retries):
            for macro, row in np.argwhere(wrong.any(axis=-1)):
                _program_row(chip, switch, int(macro), int(row), bits[macro, row])
                progress(1)
                retried += 1
            switch.connect(Operation.READ)
            wrong = _misread(chip, bits, vdd_v, clock_hz)
    finally:
        switch.connect(Operation.READ)  # no error leaves a high rail connected
    pairs = (macros * rows + retried) * columns
    pulse_time = 2 * pairs * chip.condition.reference.pulse_s
    states = chip.array.states
    return ProgrammingReport(
        pulses=2 * pairs,
        time_s=pulse_time + 2 * pairs * 2 * PULSE_SETUP_S + switch.time_s - before,
        pulse_time_s=pulse_time,
        energy_j=pairs * (states.set_j + states.reset_j),
        retried_rows=retried,
        misread_cells=int(np.count_nonzero(wrong)),
    )


def _program_row(
    chip: DeviceChip, switch: PowerSwitch, macro: int, row: int, bits: NDArray[np.bool_]
) -> None:
    """SET pulses of a row, then its RESET pulses."""
    for operation in (Operation.SET, Operation.RESET):
        switch.connect(operation)
        for column, bit in enumerate(bits):
            side = int(bit) if operation is Operation.SET else 1 - int(bit)
            pulse(chip, switch, (macro, row, column, side), operation)


def _connect_for_row(switch: PowerSwitch) -> None:
    """Rails of a row's SET pulses, then of its RESET pulses."""
    switch.connect(Operation.SET)
    switch.connect(Operation.RESET)


def _misread(
    chip: DeviceChip, bits: NDArray[np.bool_], vdd_v: float, clock_hz: float
) -> NDArray[np.bool_]:
    """Which bit cells do not read as programmed for x = 0 or x = 1."""
    read = chip.table(vdd_v, clock_hz)
    return (read[..., 1] != bits) | (read[..., 0] == bits)
