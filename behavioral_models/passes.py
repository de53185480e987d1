"""What one pass does, what it returns, and how many cycles it takes: shared by every executor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models.geometry import ChipGeometry
from behavioral_models.protocol import Configuration, Start

__all__ = [
    "Configuration",
    "PassConfig",
    "Result",
    "RowOperation",
    "Start",
    "bits_of_planes",
    "check_batch",
    "check_inputs",
    "check_registers",
]


class RowOperation(NamedTuple):
    """One row operation: a shift of a threshold row (x = 1), or a count of a weight row."""

    shift: bool
    row: int
    plane: int


@dataclass(frozen=True)
class PassConfig:
    """One pass: a sequence of row operations on the enabled macros, from start values to outputs.

    Rows 0 to weight_rows - 1 of each macro hold weights, the threshold_rows after them the
    threshold, most significant bit first. Macro m of a bank sees inputs m * weight_rows and up.

    Parameters
    ----------
    configuration : Configuration
    weight_rows : int
        Weight rows per macro (published: 58).
    threshold_rows : int
        Threshold rows per macro (published: 6).
    planes : int
        Bits k of an input; at least k - 1 threshold rows.
    macros : tuple of int, or None
        Enabled macros of the chip; None for all (in a chained pass all of banks 0 and 1).
    start : Start
        Start values of the registers.
    top_plane, bottom_plane : int or None
        The planes this pass counts, k - 1 down to 0 unless told otherwise. A pass that starts from
        thresholds begins with the top plane, k - 1.
    begin_with_shift : bool
        Whether a pass that does not start from thresholds brings in its top plane's threshold bit
        first.
    """

    configuration: Configuration = Configuration.SINGLE_LAYER
    weight_rows: int = 58
    threshold_rows: int = 6
    planes: int = 1
    macros: tuple[int, ...] | None = None
    start: Start = Start.THRESHOLDS
    top_plane: int | None = None
    bottom_plane: int = 0
    begin_with_shift: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "configuration", Configuration(self.configuration))
        object.__setattr__(self, "start", Start(self.start))
        if self.top_plane is None:
            object.__setattr__(self, "top_plane", self.planes - 1)
        if self.macros is not None:
            object.__setattr__(self, "macros", tuple(sorted({int(m) for m in self.macros})))

    @property
    def _top(self) -> int:
        return self.planes - 1 if self.top_plane is None else self.top_plane

    def check(self, geometry: ChipGeometry) -> None:
        """Raise ValueError, one sentence, if this pass cannot run on a chip of this geometry."""
        w, t, k = self.weight_rows, self.threshold_rows, self.planes
        if w < 1 or t < 0 or w + t > geometry.rows:
            raise ValueError(
                f"{w} weight rows and {t} threshold rows do not fit a macro of "
                f"{geometry.rows} rows; "
                f"a pass needs at least one weight row"
            )
        if not 1 <= k <= geometry.max_planes:
            raise ValueError(
                f"This chip counts inputs of 1 to {geometry.max_planes} bit planes, not {k}"
            )
        if t < k - 1:
            raise ValueError(
                f"Inputs of {k} bit planes need at least {k - 1} threshold rows, not {t}"
            )
        if not 0 <= self.bottom_plane <= self._top < k:
            raise ValueError(
                f"Planes {self._top} down to {self.bottom_plane} are not planes of a {k}-bit input"
            )
        if self.start is Start.THRESHOLDS and (self._top != k - 1 or self.begin_with_shift):
            raise ValueError(
                "A pass that starts from thresholds begins with the top plane and shifts by "
                "itself; start from registers or a preload to run some of the planes"
            )
        if self.begin_with_shift and t < self._top + 1:
            raise ValueError(
                f"There is no threshold row for plane {self._top} to shift in: {t} threshold rows"
            )
        if self.macros is not None and not self.macros:
            raise ValueError("A pass needs at least one enabled macro")
        if self.macros is not None and not 0 <= self.macros[0] <= self.macros[-1] < geometry.macros:
            raise ValueError(
                f"Macros {list(self.macros)} are not all of this chip's macros "
                f"0 to {geometry.macros - 1}"
            )
        self._check_sums(geometry)
        if self.configuration is Configuration.CHAINED:
            banks = self.enabled_banks(geometry) if geometry.banks > 1 else ()
            if banks != (0, 1):
                raise ValueError(
                    "A chained pass needs macros of bank 0 and of bank 1 enabled, "
                    "and of no other bank"
                )
            if self.start is not Start.THRESHOLDS or self.bottom_plane:
                raise ValueError(
                    "A chained pass starts from thresholds and counts all planes; "
                    "bank 1 counts its one-bit inputs on the last"
                )

    def _check_sums(self, geometry: ChipGeometry) -> None:
        """Raise ValueError if the registers could not hold what this pass alone adds up."""
        enabled = self.enabled_macros(geometry)
        size = geometry.macros_per_bank
        macros = max(sum(m // size == b for m in enabled) for b in self.enabled_banks(geometry))
        half = 1 << geometry.register_width - 1
        weight = (1 << self.counted_planes) - 1
        if macros * self.weight_rows * weight > half:
            raise ValueError(
                f"Registers of {geometry.register_width} bits cannot count {macros} x "
                f"{self.weight_rows} inputs of {self.counted_planes} planes: build the chip with a "
                f"larger max_inputs or max_planes, or count fewer rows or planes in a pass"
            )
        bits = self.initial_shifts + self.counted_planes - 1
        if self.start is Start.THRESHOLDS and macros * ((1 << bits) - 1) >= half:
            raise ValueError(
                f"Registers of {geometry.register_width} bits cannot hold thresholds of {bits} "
                f"bits from {macros} macros: use fewer threshold rows"
            )

    def enabled_macros(self, geometry: ChipGeometry) -> tuple[int, ...]:
        """Numbers of the macros that take part."""
        if self.macros is not None:
            return self.macros
        banks = 2 if self.configuration is Configuration.CHAINED else geometry.banks
        return tuple(range(banks * geometry.macros_per_bank))

    def enabled_banks(self, geometry: ChipGeometry) -> tuple[int, ...]:
        """Numbers of the banks with an enabled macro, whose neurons a Result holds."""
        return tuple(sorted({m // geometry.macros_per_bank for m in self.enabled_macros(geometry)}))

    def inputs(self, geometry: ChipGeometry) -> int:
        """Inputs of one inference: of one bank, or of all banks after each other when TWO_LAYER."""
        per_bank = geometry.macros_per_bank * self.weight_rows
        two_layer = self.configuration is Configuration.TWO_LAYER
        return per_bank * (geometry.banks if two_layer else 1)

    def neurons(self, geometry: ChipGeometry) -> int:
        """Neurons of the enabled banks: the second dimension of outputs and preactivations."""
        return len(self.enabled_banks(geometry)) * geometry.columns

    @property
    def counted_planes(self) -> int:
        """Planes this pass counts."""
        return self._top - self.bottom_plane + 1

    @property
    def initial_shifts(self) -> int:
        """Shifts before the first plane is counted."""
        if self.start is Start.THRESHOLDS:
            return self.threshold_rows - self.planes + 1
        return int(self.begin_with_shift)

    @property
    def first_threshold_row(self) -> int:
        """Row of the first shift of this pass."""
        before_top_plane = self.threshold_rows - self._top
        return self.weight_rows + before_top_plane - self.initial_shifts

    @property
    def row_operations(self) -> int:
        """Row operations of one pass: t + k w for a whole one."""
        planes = self.counted_planes
        return self.initial_shifts + planes * self.weight_rows + planes - 1

    def settings(self, geometry: ChipGeometry) -> dict[str, int]:
        """Give the pass as the chip is told it: CONFIGURE's fields but `readout`, by name."""
        return {
            "configuration": self.configuration.value,
            "start": self.start.value,
            "planes": self.counted_planes,
            "weight_rows": self.weight_rows,
            "initial_shifts": self.initial_shifts,
            "first_threshold_row": self.first_threshold_row,
            "macros": sum(1 << macro for macro in self.enabled_macros(geometry)),
        }

    def sequence(self) -> list[RowOperation]:
        """The pass as its row operations, in order."""
        operations = []
        row = self.first_threshold_row
        for plane in range(self._top, self.bottom_plane - 1, -1):
            shifts = self.initial_shifts if plane == self._top else 1
            operations += [RowOperation(True, row + i, plane) for i in range(shifts)]
            row += shifts
            operations += [RowOperation(False, i, plane) for i in range(self.weight_rows)]
        return operations

    def drains(self, read_timing: int, readout: bool) -> bool:
        """Whether the pipeline empties after each pass instead of going straight on to the next.

        It does where the registers are read out or preloaded in between, where a chained bank would
        need its inputs before they are captured, and in passes shorter than the pipeline.
        """
        chained_too_soon = self.configuration is Configuration.CHAINED and self.initial_shifts < 2
        too_short = self.row_operations * read_timing < 3
        return readout or self.start is Start.PRELOAD or chained_too_soon or too_short

    def cycles(
        self, geometry: ChipGeometry, read_timing: int, inferences: int, readout: bool = False
    ) -> int:
        """Clock cycles of a run, without those in which the chip waits for its host.

        A pass takes row operations x read timing cycles. The last row's update and the capture of
        the outputs follow where nothing overlaps them: after the last pass, and after every pass
        that `drains`. A preload and a readout take one cycle a byte.
        """
        if inferences == 0:
            return 0
        rows = self.row_operations * read_timing
        drain = 2 if read_timing == 1 else 1
        banks = self.enabled_banks(geometry)
        chained = self.configuration is Configuration.CHAINED
        passes = inferences + 1 if chained else inferences
        if not self.drains(read_timing, readout):
            return passes * rows + drain
        total = passes * (rows + drain)
        transfers = int(self.start is Start.PRELOAD) + int(readout)
        total += transfers * inferences * len(banks) * geometry.columns * geometry.register_bytes
        return total


@dataclass(frozen=True)
class Result:
    """What a run gives back.

    Attributes
    ----------
    outputs : bool array (batch, neurons)
        Output bits of the enabled banks' neurons, bank after bank: 1 where the preactivation is
        positive.
    preactivations : int32 array (batch, neurons), or None
        Delta = popcount - threshold, if a readout was asked for.
    cycles : int
        Clock cycles of the passes, without those in which the chip waits for its host.
    wait_cycles : int or None
        Cycles in which it waited, where the executor has a clock.
    """

    outputs: NDArray[np.bool_]
    preactivations: NDArray[np.int32] | None
    cycles: int
    wait_cycles: int | None = None


def check_batch(
    pass_config: PassConfig, geometry: ChipGeometry, inputs: ArrayLike, registers: ArrayLike | None
) -> tuple[NDArray, NDArray[np.int32] | None]:
    """Check what an executor is asked to run, the same for all.

    Parameters
    ----------
    pass_config : PassConfig
    geometry : ChipGeometry
    inputs : array (batch, inputs)
    registers : int array (batch, neurons), or None

    Returns
    -------
    tuple
        Inputs as an array, and preload values as int32 where the pass starts from them.

    Raises
    ------
    ValueError
        If the pass does not fit the chip, or the arrays do not fit the pass.
    """
    pass_config.check(geometry)
    inputs = np.asarray(inputs)
    width = pass_config.inputs(geometry)
    if inputs.ndim != 2 or inputs.shape[1] != width:
        raise ValueError(f"This pass takes inputs of shape (batch, {width}), not {inputs.shape}")
    if pass_config.start is Start.PRELOAD:
        return inputs, check_registers(pass_config, geometry, len(inputs), registers)
    if registers is not None:
        raise ValueError("Start values are for passes that start from a preload")
    if pass_config.start is Start.REGISTERS and len(inputs) > 1:
        raise ValueError(
            "A pass that starts from the registers runs one inference at a time; "
            "preload to run a batch"
        )
    return inputs, None


def _check_whole(values: NDArray, what: str) -> None:
    """Raise ValueError unless all values are whole numbers, of whatever type."""
    if values.dtype.kind not in "biuf" or (
        values.dtype.kind == "f" and (values != np.floor(values)).any()
    ):
        raise ValueError(
            f"{what} are whole numbers, which these values ({values.dtype}) are not all"
        )


def check_inputs(inputs: ArrayLike, pass_config: PassConfig) -> NDArray[np.uint8]:
    """Inputs as uint8 of the same shape; ValueError if one does not fit the k bits of the pass."""
    inputs = np.asarray(inputs)
    if inputs.dtype == np.bool_:
        return inputs.view(np.uint8)
    _check_whole(inputs, "Inputs")
    if inputs.size and (inputs.min() < 0 or int(inputs.max()) >> pass_config.planes):
        raise ValueError(
            f"Inputs range from {inputs.min()} to {inputs.max()}, which does not fit "
            f"{pass_config.planes} unsigned bit planes"
        )
    return inputs.astype(np.uint8, copy=False)


def bits_of_planes(inputs: ArrayLike, pass_config: PassConfig) -> NDArray[np.bool_]:
    """Cut inputs (batch, inputs) of k bits into the planes a pass counts, top plane first.

    Returns bool (batch, plane, inputs).

    Raises ValueError if an input does not fit k bits.
    """
    checked = check_inputs(inputs, pass_config)
    top = pass_config.bottom_plane + pass_config.counted_planes - 1
    planes = np.arange(top, pass_config.bottom_plane - 1, -1, dtype=np.uint8)
    return (checked[:, None, :] >> planes[None, :, None] & 1).astype(bool)


def check_registers(
    pass_config: PassConfig, geometry: ChipGeometry, batch: int, registers: ArrayLike | None
) -> NDArray[np.int32]:
    """Preload values as int32 (batch, neurons); ValueError if missing, misshapen or too large."""
    shape = (batch, pass_config.neurons(geometry))
    if registers is None:
        raise ValueError(f"A pass that starts from a preload needs registers of shape {shape}")
    values = np.asarray(registers)
    _check_whole(values, "Registers")
    if values.shape != shape:
        raise ValueError(f"This pass preloads registers of shape {shape}, not {values.shape}")
    half = 1 << geometry.register_width - 1
    if values.size and not -half <= values.min() <= values.max() < half:
        raise ValueError(
            f"A register of {geometry.register_width} bits holds {-half} to {half - 1}, "
            f"not {values.min()} to {values.max()}"
        )
    return values.astype(np.int32)
