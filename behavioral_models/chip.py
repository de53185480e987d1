"""Golden model of the chip: outputs, preactivations, exact cycle counts, many inputs at once."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models.geometry import JEBALI_2024, ChipGeometry
from behavioral_models.macro import read_table
from behavioral_models.passes import (
    Configuration,
    PassConfig,
    Result,
    Start,
    check_batch,
    check_inputs,
)
from behavioral_models.popcount import WeightedPopcount

__all__ = ["GoldenChip", "check_image", "open_chip"]

_PREPARED_PASSES = 64  # that a chip keeps, the oldest goes first


def check_image(geometry: ChipGeometry, image: ArrayLike) -> NDArray[np.bool_]:
    """A program image as a bool array (macro, row, column); ValueError if it does not fit."""
    bits = np.asarray(image)
    if bits.shape != geometry.image_shape:
        raise ValueError(
            f"A program image of this chip has shape {geometry.image_shape} (macro, row, column), "
            f"not {bits.shape}"
        )
    if bits.dtype != np.bool_ and not np.isin(bits, (0, 1)).all():
        raise ValueError("A program image holds bits: 0 or 1, nothing else")
    return bits.astype(bool)


class _Count(NamedTuple):
    """What banks that see the same inputs count."""

    popcount: WeightedPopcount
    first_neuron: int
    chained: bool


class _PreparedPass(NamedTuple):
    """A pass on a loaded chip, for any inputs and start values."""

    counts: list[_Count]
    constants: NDArray[np.int32]
    shifts: int


class GoldenChip:
    """What a chip of this geometry answers, computed without a clock.

    Parameters
    ----------
    geometry : ChipGeometry
    read_timing : int
        Clock cycles a row, 1 to 3; the answers do not depend on it, the cycle counts do.

    Attributes
    ----------
    registers : int32 array (banks, columns)
        The neuron registers as the last run left them; 0 at first.
    """

    def __init__(self, geometry: ChipGeometry, read_timing: int = 1) -> None:
        if read_timing not in (1, 2, 3):
            raise ValueError(f"Read timing must be 1, 2 or 3 cycles a row, not {read_timing!r}")
        self.geometry = geometry
        self.read_timing = read_timing
        self._table = np.zeros((*geometry.image_shape, 2), dtype=bool)
        self._table.flags.writeable = False  # what is prepared depends on it
        self._prepared: dict[PassConfig, _PreparedPass] = {}
        self.registers = np.zeros((geometry.banks, geometry.columns), dtype=np.int32)

    @property
    def table(self) -> NDArray[np.bool_]:
        """What every sense gives, bool (macro, row, column, x); all zero until one is loaded."""
        return self._table

    def load(self, image: ArrayLike) -> None:
        """Take a program image, bool (macro, row, column), free of errors."""
        self.load_table(read_table(check_image(self.geometry, image)))

    def load_table(self, table: ArrayLike) -> None:
        """Take what every sense gives, bool (macro, row, column, x), errors included."""
        table = np.asarray(table, dtype=bool)
        if table.shape != self.table.shape:
            raise ValueError(
                f"A read table of this chip has shape {self.table.shape} (macro, row, column, x), "
                f"not {table.shape}"
            )
        self._table = table.copy()
        self._table.flags.writeable = False
        self._prepared.clear()

    def run(
        self,
        pass_config: PassConfig,
        inputs: ArrayLike,
        readout: bool = False,
        registers: ArrayLike | None = None,
    ) -> Result:
        """Run a batch of inferences, one after the other on the same chip.

        Parameters
        ----------
        pass_config : PassConfig
        inputs : array (batch, inputs)
            Bits, or unsigned integers of `planes` bits; input m * weight_rows + i goes to row i of
            macro m of its bank, bank after bank when TWO_LAYER.
        readout : bool
            Whether preactivations are wanted.
        registers : int array (batch, neurons), optional
            Start values of the enabled banks' registers; needed with Start.PRELOAD, refused
            otherwise.

        Returns
        -------
        Result

        Raises
        ------
        ValueError
            If the pass does not fit the chip, or the arrays do not fit the pass.
        """
        geometry = self.geometry
        inputs, preload = check_batch(pass_config, geometry, inputs, registers)
        values = check_inputs(inputs, pass_config)
        prepared = self._prepared.get(pass_config)
        if prepared is None:
            if len(self._prepared) == _PREPARED_PASSES:
                del self._prepared[next(iter(self._prepared))]
            prepared = self._prepared[pass_config] = self._prepare(pass_config)
        banks = list(pass_config.enabled_banks(geometry))
        start = prepared.constants[None, :]
        if preload is not None:
            start = (preload << prepared.shifts) + start
        elif pass_config.start is Start.REGISTERS:
            start = (self.registers[banks].reshape(1, -1) << prepared.shifts) + start
        batch = len(values)
        outputs = np.empty((batch, start.shape[1]), dtype=bool)
        sums = np.empty((batch if readout else min(batch, 1), start.shape[1]), dtype=np.int32)
        for count in prepared.counts:
            count.popcount.subtract(
                outputs.view(np.uint8) if count.chained else values,
                start,
                geometry.register_width,
                count.first_neuron,
                outputs,
                sums,
            )
        if batch:
            self.registers[banks] = sums[-1].reshape(-1, geometry.columns)
        return Result(
            outputs=outputs,
            preactivations=-sums if readout else None,
            cycles=pass_config.cycles(geometry, self.read_timing, batch, readout),
        )

    def _prepare(self, pass_config: PassConfig) -> _PreparedPass:
        """What a pass computes with this table, for any inputs.

        Shift and count, doubling and subtraction modulo 2^width, let powers of two and the wrap be
        drawn out of the sums: a pass gives 2^shifts start + threshold - sum of 2^p P_p, wrapped
        once, P_p the popcount of plane p relative to the bottom one.
        """
        geometry = self.geometry
        w, size = pass_config.weight_rows, geometry.macros_per_bank
        shifts = pass_config.initial_shifts + pass_config.counted_planes - 1
        first_row = pass_config.first_threshold_row
        weights = 1 << np.arange(shifts - 1, -1, -1, dtype=np.int64)
        two_layer = pass_config.configuration is Configuration.TWO_LAYER
        chained = pass_config.configuration is Configuration.CHAINED

        places = {
            bank: tuple(m % size for m in pass_config.enabled_macros(geometry) if m // size == bank)
            for bank in pass_config.enabled_banks(geometry)
        }

        def sees(bank: int) -> tuple[int, tuple[int, ...]]:
            """Which inputs a bank sees: banks that see the same are counted together."""
            return (bank if two_layer or chained else 0), places[bank]

        counts, constants, first_neuron = [], [], 0
        for (share, enabled), group in groupby(places, sees):
            banks = np.array(list(group))
            macros = banks[:, None] * size + enabled
            table = np.moveaxis(self.table[macros], 0, 2)  # (macro, row, bank, column, x)
            table = table.reshape(len(enabled), geometry.rows, -1, 2)
            columns = (np.array(enabled)[:, None] * w + np.arange(w)).ravel()
            counts_last_only = chained and share == 1
            if counts_last_only:  # its inputs are bank 0's outputs, then zeros
                columns[columns >= geometry.columns] = -1
            else:
                columns += two_layer * share * size * w
            popcount = WeightedPopcount(
                table[:, :w].reshape(len(columns), -1, 2),
                columns,
                pass_config.bottom_plane,
                1 if counts_last_only else pass_config.counted_planes,
            )
            ones = table[:, first_row : first_row + shifts, :, 1].sum(axis=0, dtype=np.int64)
            constants.append(weights @ ones - popcount.constant)
            counts.append(_Count(popcount, first_neuron, counts_last_only))
            first_neuron += len(constants[-1])
        return _PreparedPass(counts, np.concatenate(constants).astype(np.int32), shifts)


def open_chip(geometry: ChipGeometry = JEBALI_2024, read_timing: int = 1) -> GoldenChip:
    """Executor `golden`: a golden chip of this geometry, nothing loaded."""
    return GoldenChip(geometry, read_timing)
