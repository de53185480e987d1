"""Errors of a run: chips drawn from the device models, or a table of error by preactivation."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from behavioral_models.device_chip import DeviceChip
from behavioral_models.geometry import ChipGeometry
from behavioral_models.memristor import Condition
from behavioral_models.supply import ChipLoad, SolarCell, operating_point
from behavioral_models.xpcsa import Amplifier

__all__ = ["AMPLIFIER", "MEMRISTORS", "DeviceErrors", "Reading", "error_table", "reading"]

#: Parameter files used where the user names no others.
MEMRISTORS, AMPLIFIER = "jebali_2024/published_chip", "jebali_2024/amplifier"

#: More than any register holds of layers of a sensible size.
LARGEST_PREACTIVATION = 1 << 20

_DIGITS = r"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?"
_SUNS = re.compile(rf"(?P<suns>{_DIGITS}) ?suns?")
_SUPPLY = re.compile(rf"(?P<vdd>{_DIGITS}) ?V(?:[@, ]+(?P<clock>{_DIGITS}) ?(?P<unit>[kM]?)Hz)?")
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6}


class Reading(NamedTuple):
    """Supply and clock at which a chip is read.

    Attributes
    ----------
    vdd_v, clock_hz : float
    text : str
        How it was asked for.
    """

    vdd_v: float
    clock_hz: float
    text: str


def reading(text: str) -> Reading:
    """Understand `0.08 suns`, `0.9V`, `0.9V@33MHz`; without a clock it is the solar cell's.

    Raises
    ------
    ValueError
        If the text is neither, or the chip does not work there.
    """
    load = ChipLoad.from_file()
    try:
        if found := _SUNS.fullmatch(text.strip()):
            suns = float(found["suns"])
            at = operating_point(SolarCell.from_file(), load, suns)
            if not at.functional or at.clock_hz is None:
                raise ValueError(f"The chip does not run at {suns:g} suns")
            return Reading(float(at.vdd_v), float(at.clock_hz), text)
        if found := _SUPPLY.fullmatch(text.strip()):
            vdd_v, clock_hz = float(found["vdd"]), load.solar_clock_hz
            if found["clock"]:
                clock_hz = float(found["clock"]) * _UNITS[found["unit"]]
            if not load.functional(vdd_v, clock_hz):
                raise ValueError(f"The chip does not run at {vdd_v:g} V and {clock_hz:g} Hz")
            return Reading(vdd_v, clock_hz, text)
    except ValueError as error:
        raise ValueError(f"Errors at {text!r}: {error}") from None
    raise ValueError(
        f"{text!r} says neither light, as 0.08suns, nor a supply, as 0.9V or 0.9V@33MHz, nor does "
        f"it name a table, a .csv file"
    )


def error_table(path: Path) -> dict[int, float]:
    """Read probabilities of error by preactivation from lines `preactivation,error_rate`.

    One heading, and lines that begin with #, are passed over. Preactivations not named do not err.

    Raises
    ------
    ValueError
        Naming the line that is not such, or twice there.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not text in UTF-8") from None
    table: dict[int, float] = {}
    heading = True  # may come still
    for number, row in enumerate(csv.reader(lines), 1):
        if not row or row[0].lstrip().startswith("#"):
            continue
        values = [_number(cell) for cell in row]
        if heading and not any(value is not None for value in values):
            heading = False
            continue
        heading = False
        preactivation, rate = values if len(values) == 2 else (None, None)
        if preactivation is None or rate is None or preactivation != round(preactivation):
            raise ValueError(
                f"{path.name}, line {number}: expected `preactivation,error_rate`, a whole number "
                f"and a rate, not {','.join(row)!r}"
            )
        if abs(preactivation) > LARGEST_PREACTIVATION:
            raise ValueError(
                f"{path.name}, line {number}: no preactivation is beyond "
                f"{LARGEST_PREACTIVATION:,}, as {row[0]} is"
            )
        if preactivation in table or not 0 <= rate <= 1:
            raise ValueError(
                f"{path.name}, line {number}: each preactivation stands once, with a rate from 0 "
                f"to 1"
            )
        table[int(preactivation)] = rate
    if not table:
        raise ValueError(f"{path.name} holds no line `preactivation,error_rate`")
    return table


def _number(text: str) -> float | None:
    """What a cell of a table says, or None if that is no finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class DeviceErrors:
    """Chips drawn from the device models, programmed with images, and read at one supply and clock.

    Image n is on chip n of the batch `seed`: as many chips as images.

    Parameters
    ----------
    geometry : ChipGeometry
    reading : Reading
    memristors, amplifier : str
        Parameter files.
    seed : int
    retries : int
        Times that rows with a bit cell that reads wrong at this supply are programmed again
        (`HostExecutor.repair`); 0 leaves chips as they were programmed, as published.
    """

    geometry: ChipGeometry
    reading: Reading
    memristors: str = MEMRISTORS
    amplifier: str = AMPLIFIER
    seed: int = 0
    retries: int = 0

    def tables(
        self, images: NDArray[np.bool_], progress: Callable[[], object] = lambda: None
    ) -> list[NDArray[np.bool_]]:
        """Read bits (macro, row, column, x) of each of the images (image, macro, row, column)."""
        condition, amplifier = Condition(self.memristors), Amplifier(self.amplifier)
        tables = []
        for number, image in enumerate(images):
            chip = DeviceChip(self.geometry, condition, amplifier, self.seed, number)
            chip.program(image)
            if self.retries:
                chip.repair(self.reading.vdd_v, self.reading.clock_hz, retries=self.retries)
            tables.append(chip.table(self.reading.vdd_v, self.reading.clock_hz))
            progress()
        return tables
