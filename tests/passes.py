"""Random passes that a chip can run, for tests that hold executors against each other."""

import numpy as np

from behavioral_models.passes import Configuration, PassConfig, Start


def random_pass(rng, geometry):
    """A valid PassConfig, of any mode that this geometry has."""
    while True:
        k = int(rng.integers(1, geometry.max_planes + 1))
        t = int(rng.integers(k - 1, max(k, geometry.rows)))
        w = int(rng.integers(1, max(2, geometry.rows - t + 1)))
        start = Start(int(rng.integers(0, 3)))
        top, bottom, begin = k - 1, 0, False
        if start is Start.THRESHOLDS:
            bottom = int(rng.integers(0, k))
        else:
            top = int(rng.integers(0, k))
            bottom = int(rng.integers(0, top + 1))
            begin = bool(rng.integers(0, 2))
        macros = None
        if rng.random() < 0.6:
            macros = tuple(np.flatnonzero(rng.random(geometry.macros) < 0.6))
        config = PassConfig(
            Configuration(int(rng.integers(0, 3))), w, t, k, macros, start, top, bottom, begin
        )
        try:
            config.check(geometry)
        except ValueError:
            continue
        return config


def random_arguments(rng, geometry, config, most=5):
    """Inputs and, for a preload, registers that fit a pass."""
    count = 1 if config.start is Start.REGISTERS else int(rng.integers(1, most + 1))
    inputs = rng.integers(0, 2**config.planes, (count, config.inputs(geometry)))
    registers = None
    if config.start is Start.PRELOAD:
        half = 1 << geometry.register_width - 1
        registers = rng.integers(-half, half, (count, config.neurons(geometry)))
    return inputs, registers
