"""A slow chip, written from the design page alone: integers, loops, a neuron and a row at a time.

It shares nothing with `behavioral_models.chip` but the words of a PassConfig.
"""

from behavioral_models.protocol import Configuration, Start


def wrap(value, width):
    """Two's complement of `width` bits."""
    value %= 2**width
    return value - 2**width if value >= 2 ** (width - 1) else value


def planes_of(config):
    top = config.planes - 1 if config.top_plane is None else config.top_plane
    return list(range(top, config.bottom_plane - 1, -1))


def neuron(geometry, table, config, macros, column, bits, start):
    """Register of one neuron after one pass.

    `macros` are pairs (macro, place in its bank); `bits` maps a plane to its input bits; a plane
    that is missing there is shifted for but not counted.
    """
    w, t = config.weight_rows, config.threshold_rows

    def shift(register, threshold_row):
        ones = sum(int(table[macro][w + threshold_row][column][1]) for macro, _ in macros)
        return wrap(2 * register + ones, geometry.register_width)

    register = start
    for plane in planes_of(config):
        bit_of_plane = t - 1 - plane  # the threshold row whose bit weighs 2 ** plane
        if config.start is Start.THRESHOLDS and plane == config.planes - 1:
            register = 0
            for threshold_row in range(bit_of_plane + 1):
                register = shift(register, threshold_row)
        elif plane != planes_of(config)[0] or config.begin_with_shift:
            register = shift(register, bit_of_plane)
        if plane in bits:
            for macro, place in macros:
                for row in range(w):
                    x = int(bits[plane][place * w + row])
                    register = wrap(
                        register - int(table[macro][row][column][x]), geometry.register_width
                    )
    return register


def run_one(geometry, table, config, inputs, start_values=None):
    """Registers of the enabled banks' neurons after one inference, bank after bank."""
    enabled = config.macros
    if enabled is None:
        banks = 2 if config.configuration is Configuration.CHAINED else geometry.banks
        enabled = range(banks * geometry.macros_per_bank)
    width = geometry.macros_per_bank * config.weight_rows
    registers, first_layer = [], None
    for bank in range(geometry.banks):
        macros = [
            (m, m % geometry.macros_per_bank)
            for m in enabled
            if m // geometry.macros_per_bank == bank
        ]
        if not macros:
            continue
        if config.configuration is Configuration.CHAINED and bank == 1:
            hidden = [first_layer[i] if i < len(first_layer) else 0 for i in range(width)]
            bits = {config.bottom_plane: hidden}
        else:
            offset = bank * width if config.configuration is Configuration.TWO_LAYER else 0
            seen = [int(u) for u in inputs[offset : offset + width]]
            bits = {plane: [u >> plane & 1 for u in seen] for plane in planes_of(config)}
        values = []
        for column in range(geometry.columns):
            start = 0 if start_values is None else int(start_values[len(registers) + column])
            values.append(neuron(geometry, table, config, macros, column, bits, start))
        if bank == 0:
            first_layer = [int(value < 0) for value in values]
        registers += values
    return registers
