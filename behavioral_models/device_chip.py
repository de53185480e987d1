"""A chip whose bits are memristors read by XPCSAs: from a seed to the table of its read bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models.array import MemristorArray
from behavioral_models.chip import GoldenChip, check_image
from behavioral_models.draws import Stream, normal
from behavioral_models.geometry import JEBALI_2024, ChipGeometry
from behavioral_models.macro import read_table
from behavioral_models.memristor import Condition
from behavioral_models.xpcsa import Amplifier

__all__ = ["DeviceChip", "check_sets", "preactivation_shifts"]


def check_sets(condition: Condition, amplifier: Amplifier) -> None:
    """Refuse memristors and amplifiers of two sets; those of set `user` go with any: ValueError."""
    if condition.set not in (amplifier.set, "user"):
        raise ValueError(
            f"Memristors of set {condition.set} and amplifiers of set {amplifier.set} are never "
            f"mixed: choose both from one set"
        )


class DeviceChip:
    """Memristors and sense amplifiers of one chip, programmed, read at any supply and clock.

    What a sense gives is fixed for a programming: a weak cell errs each time, at one supply and
    clock, perhaps for one input only. `table` is what every executor takes: the golden model
    (`GoldenChip.load_table`), the Verilated chip, the macros under cocotb, an FPGA's block RAM.

    Parameters
    ----------
    geometry : ChipGeometry
    condition : Condition or str
        Memristors, or the name of their parameter file.
    amplifier : Amplifier or str
        XPCSAs, of the same parameter set; a condition of set `user` goes with any.
    seed, chip : int
        Which chip of which batch; both at least 0.
    cycles : float
        Programming cycles the memristors have behind them.
    formed : bool
        Whether the memristors are formed already.

    Attributes
    ----------
    array : MemristorArray
        Formed at the start, unless `formed` is False.

    Raises
    ------
    ValueError
        If the two parameter files are of different sets.
    """

    def __init__(
        self,
        geometry: ChipGeometry = JEBALI_2024,
        condition: Condition | str = "jebali_2024/published_chip",
        amplifier: Amplifier | str = "jebali_2024/amplifier",
        seed: int = 0,
        chip: int = 0,
        cycles: float = 0.0,
        formed: bool = True,
    ) -> None:
        condition = condition if isinstance(condition, Condition) else Condition(condition)
        amplifier = amplifier if isinstance(amplifier, Amplifier) else Amplifier(amplifier)
        check_sets(condition, amplifier)
        self.geometry, self.condition, self.amplifier = geometry, condition, amplifier
        self.array = MemristorArray(geometry, condition, seed, chip, cycles)
        if formed:
            self.array.form()
        cells = geometry.memristors // 2
        amplifiers = geometry.macros * geometry.columns
        self._image: NDArray[np.bool_] | None = None
        self._cell = normal(seed, chip, Stream.CELL, count=cells, words=1).reshape(
            geometry.image_shape
        )
        latch = normal(seed, chip, Stream.LATCH, count=amplifiers, words=1)
        self._latch = latch.reshape(geometry.macros, 1, geometry.columns)
        xnor = normal(seed, chip, Stream.XNOR, count=amplifiers, words=2)
        self._xnor = xnor.reshape(geometry.macros, 1, geometry.columns, 2)

    def program(self, image: ArrayLike) -> None:
        """Program every memristor, bool (macro, row, column); again redraws every resistance."""
        self._image = check_image(self.geometry, image)
        self.array.program(self._image)

    def table(
        self,
        vdd_v: float,
        clock_hz: float,
        error_free_rows: range | None = None,
    ) -> NDArray[np.bool_]:
        """Read bits of the whole chip.

        Parameters
        ----------
        vdd_v, clock_hz : float
            Supply and clock.
        error_free_rows : range, optional
            Rows (threshold rows, say) that read as the image given to `program`.

        Returns
        -------
        bool array (macro, row, column, x)
        """
        read = self.read(slice(None), slice(None), vdd_v, clock_hz)
        if error_free_rows is not None:
            if self._image is None:
                raise ValueError("Nothing was programmed that rows could read without errors")
            rows = list(error_free_rows)
            if rows and not 0 <= min(rows) <= max(rows) < self.geometry.rows:
                raise ValueError(
                    f"Rows {min(rows)} to {max(rows)} are not all in a macro of "
                    f"{self.geometry.rows} rows"
                )
            read[:, rows] = read_table(self._image)[:, rows]
        return read

    def repair(
        self, vdd_v: float, clock_hz: float, rows: NDArray[np.bool_] | None = None, retries: int = 3
    ) -> int:
        """Program again, at most `retries` times each, rows in which a bit cell reads wrong.

        As `networks.host.HostExecutor.repair` does it to a chip: every cell of the row gets a pulse
        again, for better or worse.

        Parameters
        ----------
        vdd_v, clock_hz : float
            Where they are read: the lowest supply the chip will see.
        rows : bool array (macro, row), optional
            Look at these alone; at all if not given.
        retries : int

        Returns
        -------
        int
            Rows programmed again, each time counted.

        Raises
        ------
        ValueError
            If nothing was programmed.
        """
        if self._image is None:
            raise ValueError("Nothing was programmed that could be repaired")
        repaired = 0
        for _ in range(retries):
            read = self.read(slice(None), slice(None), vdd_v, clock_hz)
            weak = (read != read_table(self._image)).any(axis=(2, 3))
            weak &= rows if rows is not None else True
            if not weak.any():
                break
            self.array.program(self._image, weak)
            repaired += int(weak.sum())
        return repaired

    def read(
        self, macro: int | slice, row: int | slice, vdd_v: float, clock_hz: float
    ) -> NDArray[np.bool_]:
        """Read bits of some macros and rows, as `table`; integers drop their axis."""
        amplifier_row = slice(None) if isinstance(row, slice) else 0
        return self.amplifier.decide(
            self.array.ohm[macro, row],
            vdd_v,
            clock_hz,
            self._cell[macro, row],
            self._latch[macro, amplifier_row],
            self._xnor[macro, amplifier_row],
        )

    def measure(self, macro: int, row: int, column: int, side: int) -> float:
        """Resistance of one memristor at the measuring pads, ohms, as a source meter sees it.

        Raises
        ------
        ValueError
            If the geometry has no bypass of its sense amplifiers, or no such memristor.
        """
        if not self.geometry.sense_bypass:
            raise ValueError(
                "The sense amplifiers of this geometry cannot be bypassed to measure resistances; "
                "TEST_DIE's can"
            )
        place = (macro, row, column, side)
        if any(
            not 0 <= index < size for index, size in zip(place, self.array.ohm.shape, strict=True)
        ):
            raise ValueError(
                f"There is no memristor {place} (macro, row, column, side) in "
                f"{self.array.ohm.shape}"
            )
        return float(self.array.ohm[place])

    def golden(
        self,
        vdd_v: float,
        clock_hz: float,
        read_timing: int = 1,
        error_free_rows: range | None = None,
    ) -> GoldenChip:
        """The golden model with this chip's errors: an executor."""
        chip = GoldenChip(self.geometry, read_timing)
        chip.load_table(self.table(vdd_v, clock_hz, error_free_rows))
        return chip


def preactivation_shifts(
    tables: ArrayLike, image: ArrayLike, inputs: ArrayLike, macros_per_bank: int
) -> NDArray[np.int32]:
    """By how much misread weights move preactivations: many chips, many inputs.

    Thresholds are taken as read without errors: a neuron of preactivation d then has d + shift, and
    errs where exactly one of d and d + shift is above 0.

    Parameters
    ----------
    tables : bool (..., macro, row, column, x)
        Read bits, of weight rows alone.
    image : bool (..., macro, row, column)
        What was programmed there.
    inputs : bool (..., batch, macros_per_bank * rows)
        Inputs, the same for all banks.
    macros_per_bank : int

    Returns
    -------
    int (..., batch, neurons)
    """
    bits = np.asarray(image, dtype=bool)
    wrong = np.asarray(tables, dtype=np.int8) - np.stack([~bits, bits], axis=-1).astype(np.int8)
    *chips, macros, rows, columns, _ = wrong.shape
    banks = macros // macros_per_bank
    by_bank = wrong.reshape(*chips, banks, macros_per_bank * rows, columns, 2).astype(np.float32)
    x = np.asarray(inputs, dtype=np.float32)[..., None, :, :]
    counts = x @ (by_bank[..., 1] - by_bank[..., 0]) + by_bank[..., 0].sum(axis=-2, keepdims=True)
    moved = np.moveaxis(counts, -3, -2)  # (..., batch, bank, column)
    return np.rint(moved).reshape(*moved.shape[:-2], banks * columns).astype(np.int32)
