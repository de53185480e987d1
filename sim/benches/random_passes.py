"""Random passes with all they need: what core and chip benches run."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from behavioral_models.geometry import ChipGeometry
from behavioral_models.passes import Configuration, PassConfig, Start

__all__ = ["Job", "random_image", "random_job"]


@dataclass(frozen=True)
class Job:
    """One run: arguments of an executor's `run`."""

    pass_config: PassConfig
    inputs: NDArray[np.uint8]
    readout: bool = False
    registers: NDArray[np.int32] | None = None


def random_image(random: Random, geometry: ChipGeometry) -> NDArray[np.bool_]:
    """A random program image, bool (macro, row, column)."""
    return _generator(random).integers(0, 2, geometry.image_shape).astype(bool)


def random_job(
    random: Random,
    geometry: ChipGeometry,
    known_banks: frozenset[int] | set[int] = frozenset(),
    start: Start | None = None,
) -> Job:
    """A random pass in any mode this chip has, with inputs, and start values if it takes some.

    Parameters
    ----------
    random : Random
    geometry : ChipGeometry
    known_banks : set of int
        Banks whose registers hold known values: passes on them may start from there.
    start : Start, optional
        Only such passes.
    """
    while True:
        pass_config = _random_pass(random, geometry)
        try:
            pass_config.check(geometry)
        except ValueError:  # the registers are too narrow for it
            continue
        banks = set(pass_config.enabled_banks(geometry))
        if start is not None and pass_config.start is not start:
            continue
        if pass_config.start is not Start.REGISTERS or banks <= known_banks:
            break
    batch = 1 if pass_config.start is Start.REGISTERS else random.randint(1, 4)
    numbers = _generator(random)
    shape = (batch, pass_config.inputs(geometry))
    registers = None
    if pass_config.start is Start.PRELOAD:
        half = 1 << geometry.register_width - 1
        neurons = (batch, pass_config.neurons(geometry))
        registers = numbers.integers(-half, half, neurons).astype(np.int32)
    inputs = numbers.integers(0, 1 << pass_config.planes, shape).astype(np.uint8)
    return Job(pass_config, inputs, random.random() < 0.5, registers)


def _generator(random: Random) -> np.random.Generator:
    return np.random.default_rng(random.getrandbits(64))


def _random_pass(random: Random, geometry: ChipGeometry) -> PassConfig:
    configurations = [Configuration.SINGLE_LAYER, Configuration.TWO_LAYER]
    if geometry.banks > 1:
        configurations.append(Configuration.CHAINED)
    configuration = random.choice(configurations)
    chained = configuration is Configuration.CHAINED
    planes = random.randint(1, geometry.max_planes)
    weight_rows = random.randint(1, geometry.rows - planes + 1)
    threshold_rows = random.randint(planes - 1, geometry.rows - weight_rows)
    start = Start.THRESHOLDS if chained else random.choice(list(Start))
    top = bottom = None
    begin_with_shift = False
    if start is not Start.THRESHOLDS:
        top = random.randrange(planes)
        bottom = random.randint(0, top)
        begin_with_shift = threshold_rows > top and random.random() < 0.5
    return PassConfig(
        configuration=configuration,
        weight_rows=weight_rows,
        threshold_rows=threshold_rows,
        planes=planes,
        macros=_random_macros(random, geometry, chained),
        start=start,
        top_plane=top,
        bottom_plane=bottom or 0,
        begin_with_shift=begin_with_shift,
    )


def _random_macros(random: Random, geometry: ChipGeometry, chained: bool) -> tuple[int, ...] | None:
    """All macros, one (block), or some; of a chained pass some of bank 0 and of bank 1."""
    kind = random.choice(("all", "block", "some"))
    if kind == "all":
        return None
    per_bank = geometry.macros_per_bank
    pools = [range(geometry.macros)]
    if chained:
        pools = [range(per_bank), range(per_bank, 2 * per_bank)]
    macros: list[int] = []
    for pool in pools:
        macros += random.sample(pool, 1 if kind == "block" else random.randint(1, len(pool)))
    return tuple(macros)
