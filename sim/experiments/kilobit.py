"""Simulated kilobit arrays (Hirtzlin 2020), counted errors, and how arrays are spread over seeds.

Arrays are spread over 20 seeds that are derived from the experiment's: array i is chip i // 20 of
the batch whose seed is `batch_seed(seed, i % 20)`. Batches share nothing, so that a figure is over
20 seeds whatever the one on the command line, and an array's devices do not depend on how many
arrays there are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from behavioral_models.device_chip import DeviceChip
from behavioral_models.geometry import ChipGeometry
from behavioral_models.memristor import Condition, States
from behavioral_models.parameter_files import Parameters, number
from behavioral_models.xpcsa import Amplifier
from sim.experiments import style
from sim.experiments.experiment import Options, generator

__all__ = [
    "BATCHES", "CELLS", "CHECKERBOARD", "CLOCK_HZ", "DEVICES", "KILOBIT", "VDD_V", "batch_points",
    "batch_seed", "changed", "count_errors", "counted", "kilobit_array",
]  # fmt: skip

BATCHES = 20  #: Derived seeds.

#: The published array: 2,048 devices, a sense amplifier a column (Hirtzlin 2020, Section 2.1).
KILOBIT = ChipGeometry(banks=1, macros_per_bank=1, rows=32, columns=32, max_inputs=32)
CELLS = KILOBIT.memristors // 2
DEVICES = KILOBIT.memristors

#: Bits of a checkerboard, (macro, row, column).
CHECKERBOARD = np.indices(KILOBIT.image_shape).sum(axis=0) % 2 == 0

#: Supply and clock of every read: the array's amplifiers know one supply, and no clock matters.
VDD_V, CLOCK_HZ = 1.2, 1e6


def batch_seed(seed: int, batch: int) -> int:
    """Seed of a batch of chips."""
    return int(generator(seed, "batch", batch).integers(2**63))


def batch_points(options: Options) -> list[dict]:
    """One point a batch, with the number of its chips; batches without any are left out."""
    chips = [len(range(batch, options.chips, BATCHES)) for batch in range(BATCHES)]
    return [{"batch": batch, "chips": count} for batch, count in enumerate(chips) if count]


def kilobit_array(condition: Condition, amplifier: Amplifier, seed: int, chip: int) -> DeviceChip:
    """A formed array with its amplifiers."""
    return DeviceChip(KILOBIT, condition, amplifier, seed, chip)


def count_errors(array: DeviceChip, states: States) -> list[int]:
    """Program an array with a checkerboard, read it, and count errors.

    Its devices and amplifiers stay the same from call to call; each call draws its programming
    anew.

    Parameters
    ----------
    array : DeviceChip
    states : States
        What pulses make of its memristors.

    Returns
    -------
    list of three int
        Devices misread one by one against the reference at which both states err alike (1T1R,
        perfect amplifier), of `DEVICES`; pairs misread by the array's amplifiers, and by perfect
        ones (2T2R), of `CELLS`.
    """
    array.array.states = states
    array.program(CHECKERBOARD)
    ohm = array.array.ohm
    reads_high = array.amplifier.decide_single_ended(
        ohm, states.reference_ohm(), VDD_V, CLOCK_HZ
    )  # fmt: skip
    is_high = np.stack([CHECKERBOARD, ~CHECKERBOARD], axis=-1)
    pairs = array.read(slice(None), slice(None), VDD_V, CLOCK_HZ)[..., 1]
    perfect = ohm[..., 0] > ohm[..., 1]
    wrong = (reads_high != is_high, pairs != CHECKERBOARD, perfect != CHECKERBOARD)
    return [int(np.count_nonzero(each)) for each in wrong]


def changed(parameters: Parameters, values: Mapping[str, float]) -> Parameters:
    """A parameter file in memory in which the numbers at some dotted keys are others."""
    tree = copy.deepcopy(dict(parameters.tree))
    for key, value in values.items():
        *path, last = key.split(".")
        table = tree
        for part in path:
            table = table[part]
        table[last] = number(float(value), "assumed", "what if")
    return Parameters(parameters.name, parameters.kind, parameters.set, parameters.about, tree)


def counted(
    axis: Any, x: Sequence, rate: dict[str, list], label: str | None = None, *,
    x_rate: dict[str, list] | None = None, scale: float = 1.0, series: int = 0, **options: Any,
) -> None:  # fmt: skip
    """Draw counted rates as filled markers with 95 % intervals; what nothing was counted of is not.

    Parameters
    ----------
    axis : matplotlib Axes
    x : sequence of float
    rate : dict
        `rate`, `low` and `high`: `Rate.as_dict`.
    label : str, optional
    x_rate : dict, optional
        The same of the x values.
    scale : float
        Errors are drawn as rate times this.
    series : int
        Which colour.
    **options
        For `Axes.errorbar`.
    """
    seen = [index for index, value in enumerate(rate["rate"]) if value]

    def error(of: dict[str, list], factor: float) -> np.ndarray:
        value, low, high = (
            factor * np.array([of[name][index] for index in seen], dtype=float)
            for name in ("rate", "low", "high")
        )
        return np.maximum([value - low, high - value], 0)

    if seen:
        settings = {"color": style.colour(series), "fmt": "o", "markersize": 4, "elinewidth": 1.2,
                    "capsize": 2, "zorder": 5}  # fmt: skip
        axis.errorbar(
            [x[index] for index in seen],
            [scale * rate["rate"][index] for index in seen],
            error(rate, scale),
            None if x_rate is None else error(x_rate, 1.0),
            label=label,
            **(settings | options),
        )
