"""Golden model of the chip: outputs, preactivations, exact cycle counts, many inputs at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models.geometry import JEBALI_2024, ChipGeometry
from behavioral_models.macro import read_table
from behavioral_models.passes import (
    Configuration,
    PassConfig,
    Result,
    Start,
    bits_of_planes,
    check_batch,
)

__all__ = ["GoldenChip", "check_image", "open_chip"]


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


class GoldenChip:
    """What a chip of this geometry answers, computed without a clock.

    Parameters
    ----------
    geometry : ChipGeometry
    read_timing : int
        Clock cycles a row, 1 to 3; the answers do not depend on it, the cycle counts do.

    Attributes
    ----------
    table : bool array (macro, row, column, x)
        What every sense gives; all zero until something is loaded.
    registers : int32 array (banks, columns)
        The neuron registers as the last run left them; 0 at first.
    """

    def __init__(self, geometry: ChipGeometry, read_timing: int = 1) -> None:
        if read_timing not in (1, 2, 3):
            raise ValueError(f"Read timing must be 1, 2 or 3 cycles a row, not {read_timing!r}")
        self.geometry = geometry
        self.read_timing = read_timing
        self.table = np.zeros((*geometry.image_shape, 2), dtype=bool)
        self.registers = np.zeros((geometry.banks, geometry.columns), dtype=np.int32)

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
        self.table = table

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
        start_values = self._start_values(pass_config, preload)
        planes = bits_of_planes(inputs, pass_config)
        chained = pass_config.configuration is Configuration.CHAINED
        sums: dict[int, NDArray[np.int32]] = {}
        outputs: dict[int, NDArray[np.bool_]] = {}
        for bank in pass_config.enabled_banks(geometry):
            if chained and bank == 1:
                bits = self._chained_inputs(outputs[0], pass_config)
                planes_seen = np.zeros((len(bits), planes.shape[1], bits.shape[1]), dtype=bool)
                planes_seen[:, -1] = bits
                counted = [False] * (planes.shape[1] - 1) + [True]
            else:
                share = planes.shape[2] // geometry.banks
                two_layer = pass_config.configuration is Configuration.TWO_LAYER
                planes_seen = (
                    planes[:, :, bank * share : (bank + 1) * share] if two_layer else planes
                )
                counted = [True] * planes.shape[1]
            sums[bank] = self._bank(bank, pass_config, planes_seen, counted, start_values.get(bank))
            outputs[bank] = sums[bank] < 0
            if len(inputs):
                self.registers[bank] = sums[bank][-1]
        return Result(
            outputs=np.concatenate(list(outputs.values()), axis=1),
            preactivations=-np.concatenate(list(sums.values()), axis=1) if readout else None,
            cycles=pass_config.cycles(geometry, self.read_timing, len(inputs), readout),
        )

    def _start_values(
        self, pass_config: PassConfig, preload: NDArray[np.int32] | None
    ) -> dict[int, NDArray[np.int32]]:
        """Registers (batch, columns) that each bank starts from, if not from thresholds."""
        banks = pass_config.enabled_banks(self.geometry)
        if preload is not None:
            parts = np.split(preload, len(banks), axis=1)
            return dict(zip(banks, parts, strict=True))
        if pass_config.start is Start.REGISTERS:
            return {bank: self.registers[bank][None, :] for bank in banks}
        return {}

    def _chained_inputs(
        self, first_layer: NDArray[np.bool_], pass_config: PassConfig
    ) -> NDArray[np.bool_]:
        """Bank 1's inputs: bank 0's outputs, then zeros."""
        width = self.geometry.macros_per_bank * pass_config.weight_rows
        bits = np.zeros((len(first_layer), width), dtype=bool)
        used = min(width, first_layer.shape[1])
        bits[:, :used] = first_layer[:, :used]
        return bits

    def _bank(
        self,
        bank: int,
        pass_config: PassConfig,
        planes: NDArray[np.bool_],
        counted: list[bool],
        start_values: NDArray[np.int32] | None,
    ) -> NDArray[np.int32]:
        """Registers (batch, columns) after a pass: shifts and counts as the chip makes them."""
        geometry = self.geometry
        w = pass_config.weight_rows
        first = bank * geometry.macros_per_bank
        enabled = [
            m - first
            for m in pass_config.enabled_macros(geometry)
            if 0 <= m - first < geometry.macros_per_bank
        ]
        table = self.table[[first + m for m in enabled]]
        batch = planes.shape[0]
        popcount = _Popcount(table[:, :w].reshape(-1, geometry.columns, 2))
        thresholds = table[..., 1].sum(axis=0, dtype=np.int32)  # (row, column)
        total = np.zeros((batch, geometry.columns), dtype=np.int32)
        if start_values is not None:
            total += start_values
        row = pass_config.first_threshold_row
        for index in range(pass_config.counted_planes):
            shifts = pass_config.initial_shifts if index == 0 else 1
            if index == 0 and start_values is None:  # the same for every inference
                start = np.zeros(geometry.columns, dtype=np.int32)
                for threshold_row in range(row, row + shifts):
                    start = self._wrap(2 * start + thresholds[threshold_row])
                total[:] = start
            else:
                for threshold_row in range(row, row + shifts):
                    total = self._wrap(2 * total + thresholds[threshold_row])
            row += shifts
            if counted[index]:
                x = planes[:, index].reshape(batch, geometry.macros_per_bank, w)
                total -= popcount(x[:, enabled].reshape(batch, len(enabled) * w))
        return self._wrap(total)

    def _wrap(self, sums: NDArray[np.int32]) -> NDArray[np.int32]:
        """Registers' two's complement."""
        half = 1 << self.geometry.register_width - 1
        if sums.size and -half <= sums.min() and sums.max() < half:
            return sums
        return ((sums + half) & (2 * half - 1)) - half


class _Popcount:
    """Ones that the rows of one bank read, for many inputs at once, as a matrix product.

    A bit cell reads read(0) + x (read(1) - read(0)), whatever its errors. Sums stay far below 2^24,
    where float32 is exact.

    Parameters
    ----------
    table : bool array (input, column, x)
        What a sense of each input's bit cell gives.
    """

    _CHUNK = 2048  # inferences that stay in the cache

    def __init__(self, table: NDArray[np.bool_]) -> None:
        reads = table.astype(np.float32)
        self._at_zero = reads[..., 0].sum(axis=0)
        self._difference = reads[..., 1] - reads[..., 0]

    def __call__(self, bits: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Popcounts (batch, column) for inputs (batch, input)."""
        counts = np.empty((len(bits), len(self._at_zero)), dtype=np.int32)
        for first in range(0, len(bits), self._CHUNK):
            part = slice(first, first + self._CHUNK)
            product = bits[part].astype(np.float32) @ self._difference
            product += self._at_zero
            counts[part] = product
        return counts


def open_chip(geometry: ChipGeometry = JEBALI_2024, read_timing: int = 1) -> GoldenChip:
    """Executor `golden`: a golden chip of this geometry, nothing loaded."""
    return GoldenChip(geometry, read_timing)
