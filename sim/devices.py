"""A chip with device errors and a batch that shows them: the same for every executor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavioral_models.chip import GoldenChip
from behavioral_models.device_chip import DeviceChip
from behavioral_models.draws import Stream, uniform
from behavioral_models.geometry import ChipGeometry
from behavioral_models.passes import Configuration, PassConfig

__all__ = ["DeviceRun", "device_run"]


@dataclass(frozen=True)
class DeviceRun:
    """A programmed chip and what to run on it.

    Attributes
    ----------
    chip : DeviceChip
        Formed and programmed with `image`; then macro 0's row 0 was programmed once more.
    image : bool (macro, row, column)
    pass_config : PassConfig
        All banks as one layer.
    inputs : bool (batch, inputs)
    vdd_v, clock_hz : float
        Supply and clock of the senses.
    """

    chip: DeviceChip
    image: NDArray[np.bool_]
    pass_config: PassConfig
    inputs: NDArray[np.bool_]
    vdd_v: float
    clock_hz: float

    @property
    def table(self) -> NDArray[np.bool_]:
        """What every sense gives, bool (macro, row, column, x)."""
        return self.chip.table(self.vdd_v, self.clock_hz)

    def wrong_outputs(self, outputs: NDArray[np.bool_]) -> float:
        """Fraction of outputs that differ from an error-free chip's."""
        ideal = GoldenChip(self.chip.geometry)
        ideal.load(self.image)
        return float((ideal.run(self.pass_config, self.inputs).outputs != outputs).mean())


def device_run(
    geometry: ChipGeometry,
    seed: int,
    inferences: int,
    vdd_v: float = 0.8,
    clock_hz: float = 33e6,
    reprogram: bool = True,
) -> DeviceRun:
    """Draw a chip, an image with thresholds near the middle, and inputs, from a seed alone.

    Preactivations are small then, so that misread bits turn outputs. `reprogram` false leaves out
    the second programming of macro 0's row 0, for who sends its pulses through the core.
    """
    rows = geometry.rows
    threshold_bits = min(max(1, (rows - 1).bit_length()), rows - 1)
    weight_rows = rows - threshold_bits
    words = uniform(seed, 0, Stream.PATTERN, 0, count=geometry.memristors // 2)
    image = words[:, 0].reshape(geometry.image_shape) < 0.5
    spread = words[: geometry.macros * geometry.columns, 1].reshape(geometry.macros, -1)
    largest = min(weight_rows, (1 << threshold_bits) - 1)
    values = np.clip(weight_rows // 2 + np.floor(5 * spread).astype(int) - 2, 0, largest)
    for bit in range(threshold_bits):
        image[:, weight_rows + bit] = values >> threshold_bits - 1 - bit & 1
    pass_config = PassConfig(Configuration.SINGLE_LAYER, weight_rows, threshold_bits)
    width = pass_config.inputs(geometry)
    count = -(-width // 4)
    x = uniform(seed, 1, Stream.PATTERN, 0, count=inferences * count).reshape(inferences, -1) < 0.5
    chip = DeviceChip(geometry, seed=seed)
    chip.program(image)
    if reprogram:
        chip.array.program_row(0, 0, image[0, 0])
    return DeviceRun(chip, image, pass_config, x[:, :width], vdd_v, clock_hz)
