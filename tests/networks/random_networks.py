"""Random networks for tests: thresholds near the middle, with neurons that always or never fire."""

import numpy as np

from networks.form import Convolution, Dense, Network, Output, blocks_of


def thresholds(rng, sizes, neurons, planes, always=0.1):
    """Thresholds (votes, neurons) of blocks of these sizes; a few are out of reach either way."""
    largest = np.array(sizes)[:, None] * (2**planes - 1)
    shape = (len(sizes), neurons)
    values = np.round(largest * (0.5 + 0.15 * rng.normal(size=shape))).astype(int)
    values = values.clip(0, largest)
    draw = rng.random(shape)
    values = np.where(draw < always, rng.integers(-5, 0, shape), values)
    return np.where(draw > 1 - always, largest + rng.integers(0, 4, shape), values)


def bits(rng, *shape):
    return rng.random(shape) < 0.5


def dense(rng, name, inputs, neurons, planes=1, votes=1, always=0.1):
    sizes = [part.stop - part.start for part in blocks_of(inputs, votes)]
    levels = thresholds(rng, sizes, neurons, planes, always)
    return Dense(name, bits(rng, inputs, neurons), levels, planes)


def output(rng, name, inputs, classes, planes=1, offset=0):
    levels = thresholds(rng, [inputs], classes, planes, 0)[0] - rng.integers(0, inputs)
    return Output(name, bits(rng, inputs, classes), levels, planes, offset)


def convolution(rng, name, shape, planes=1, votes=1, always=0.1, **options):
    """`shape` is (channels, height, width, filters)."""
    channels, height, width, filters = shape
    sizes = [(p.stop - p.start) * height * width for p in blocks_of(channels, votes)]
    levels = thresholds(rng, sizes, filters, planes, always)
    options.setdefault("pool_all", bits(rng, filters))
    return Convolution(name, bits(rng, *shape), levels, planes, **options)


def multilayer(seed, widths, planes=1, votes=None, input_bits=None, always=0.1):
    """Dense layers of these widths; `votes` one a hidden layer."""
    rng = np.random.default_rng(seed)
    votes = votes or [1] * (len(widths) - 2)
    layers = [
        dense(rng, f"hidden_{i}", widths[i], widths[i + 1], planes if i == 0 else 1, v, always)
        for i, v in enumerate(votes)
    ]
    last_planes = planes if len(widths) == 2 else 1
    layers.append(output(rng, "output", widths[-2], widths[-1], last_planes))
    return Network(tuple(layers), (widths[0],), input_bits or planes)


def convolutional(seed, shape, specs, classes, planes=1, hidden=0, always=0.1):
    """Convolutions by their options (`filters`, `kernel`, and those of Convolution), then dense."""
    rng = np.random.default_rng(seed)
    layers, now = [], shape
    for number, spec in enumerate(specs):
        options = dict(spec)
        filters, kernel = options.pop("filters"), options.pop("kernel")
        layers.append(
            convolution(
                rng, f"convolution_{number}", (now[0], *kernel, filters),
                planes if number == 0 else 1, always=always, **options,
            ))
        now = layers[-1].output_shape(now)
    width = int(np.prod(now))
    if hidden:
        layers.append(dense(rng, "hidden", width, hidden, always=always))
        width = hidden
    layers.append(output(rng, "output", width, classes))
    return Network(tuple(layers), shape, planes)


def data(seed, network, count):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**network.input_bits, (count, *network.input_shape))
    return values.astype(np.uint8)
