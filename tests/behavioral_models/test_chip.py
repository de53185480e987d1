"""The golden chip against a slow reference from the design page, and the papers' identities."""

import numpy as np
import pytest

from behavioral_models import popcount
from behavioral_models.chip import GoldenChip, check_image
from behavioral_models.geometry import HELIOBIT, JEBALI_2024, TEST_DIE, TINY, ChipGeometry
from behavioral_models.passes import Configuration, PassConfig, Start, check_registers
from tests.passes import random_arguments, random_pass
from tests.reference import run_one

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
ONE_ROW = ChipGeometry(banks=1, macros_per_bank=1, rows=5, columns=1, max_inputs=3, max_planes=3)
ODD = ChipGeometry(banks=3, macros_per_bank=3, rows=7, columns=5, max_inputs=12, max_planes=3)
MANY_MACROS = ChipGeometry(banks=2, macros_per_bank=9, rows=4, columns=2, max_inputs=18)
WIDE_REGISTERS = ChipGeometry(2, 2, rows=12, columns=3, max_inputs=1024, max_planes=8)  # 19 bits
MANY_ROWS = ChipGeometry(3, 2, rows=24, columns=70, max_inputs=48, max_planes=2)


def loaded(geometry, seed=0, errors=False):
    """A golden chip with a random image, or with a random read table; and that table."""
    rng = np.random.default_rng(seed)
    chip = GoldenChip(geometry)
    if errors:
        chip.load_table(rng.random((*geometry.image_shape, 2)) < 0.5)
    else:
        chip.load(rng.random(geometry.image_shape) < 0.5)
    return chip


@pytest.mark.parametrize("errors", [False, True], ids=["image", "errors"])
@pytest.mark.parametrize(
    "geometry",
    [SMALLEST, ONE_ROW, TINY, ODD, MANY_MACROS, WIDE_REGISTERS],
    ids=["smallest", "one_column", "tiny", "odd", "many_macros", "wide_registers"],
)
def test_every_mode_against_the_reference(geometry, errors):
    """Random passes of all modes in a row, so that those from registers find what was left."""
    rng = np.random.default_rng(geometry.columns)
    chip = loaded(geometry, errors=errors)
    left = np.zeros((geometry.banks, geometry.columns), int)
    seen = set()
    for _ in range(120):
        config = random_pass(rng, geometry)
        inputs, registers = random_arguments(rng, geometry, config, most=3)
        result = chip.run(config, inputs, readout=True, registers=registers)
        banks = list(config.enabled_banks(geometry))
        for number, one in enumerate(inputs):
            start = registers[number] if registers is not None else None
            if config.start is Start.REGISTERS:
                start = left[banks].ravel()
            expected = run_one(geometry, chip.table, config, one, start)
            assert (-result.preactivations[number]).tolist() == expected, config
            assert result.outputs[number].tolist() == [value < 0 for value in expected], config
        left[banks] = np.reshape(expected, (-1, geometry.columns))
        assert (chip.registers == left).all()
        seen.add((config.configuration, config.start))
    possible = 3 + 3 + (geometry.banks > 1)  # single, two-layer with three starts, chained with one
    assert len(seen) == possible


@pytest.mark.parametrize(
    "config, geometry",
    [
        (PassConfig(), JEBALI_2024),
        (PassConfig(Configuration.TWO_LAYER), JEBALI_2024),
        (PassConfig(Configuration.CHAINED), JEBALI_2024),
        (PassConfig(macros=(2,)), JEBALI_2024),
        (PassConfig(), TEST_DIE),
        (PassConfig(weight_rows=54, threshold_rows=10, planes=4), HELIOBIT),
    ],
    ids=["single", "two_layer", "chained", "block", "test_die", "planes"],
)
def test_product_size_against_the_reference(config, geometry):
    chip = loaded(geometry, errors=True)
    inputs, _ = random_arguments(np.random.default_rng(3), geometry, config, most=1)
    result = chip.run(config, inputs, readout=True)
    assert (-result.preactivations[0]).tolist() == run_one(geometry, chip.table, config, inputs[0])


@pytest.mark.parametrize("batch", [0, 1, 63, 64, 65, 130])
@pytest.mark.parametrize("geometry", [TINY, WIDE_REGISTERS], ids=["16_bits", "32_bits"])
def test_batches_of_all_sizes_against_the_reference(geometry, batch):
    """Inferences are computed side by side, 64 at a time: none may see its neighbours."""
    rng = np.random.default_rng(batch)
    k, w, t = geometry.max_planes, 3, geometry.max_planes + 1
    w = min(w, geometry.rows - t)
    half = 1 << geometry.register_width - 1
    chip = loaded(geometry, seed=batch, errors=True)
    for config in (
        PassConfig(weight_rows=w, threshold_rows=t, planes=k),
        PassConfig(Configuration.TWO_LAYER, w, t, k),
        PassConfig(Configuration.CHAINED, w, t, k),
        PassConfig(weight_rows=w, threshold_rows=t, planes=k, macros=(1, 2)),
        PassConfig(Configuration.TWO_LAYER, w, t, k, start=Start.PRELOAD, begin_with_shift=True),
    ):
        inputs = rng.integers(0, 2**k, (batch, config.inputs(geometry)))
        registers = None
        if config.start is Start.PRELOAD:  # any values: doubled, they wrap
            registers = rng.integers(-half, half, (batch, config.neurons(geometry)))
        result = chip.run(config, inputs, True, registers)
        expected = np.array([
            run_one(geometry, chip.table, config, one, None if registers is None else registers[i])
            for i, one in enumerate(inputs)
        ], dtype=int).reshape(batch, config.neurons(geometry))
        assert (-result.preactivations == expected).all()
        assert (result.outputs == (expected < 0)).all()
        without = chip.run(config, inputs, False, registers)
        assert (without.outputs == result.outputs).all() and without.preactivations is None
        if batch:
            banks = list(config.enabled_banks(geometry))
            assert (chip.registers[banks].ravel() == expected[-1]).all()


@pytest.mark.parametrize("dead, inverted", [(0, 0.02), (0.02, 0), (0.01, 0.01), (1, 0), (0, 1)])
def test_errors_of_each_kind_against_a_matrix_product(dead, inverted):
    """Cells that misread one x, or both; one of each kind everywhere, and banks wider than 64."""
    rng = np.random.default_rng(7)
    geometry = MANY_ROWS
    image = rng.random(geometry.image_shape) < 0.5
    table = np.stack([~image, image], axis=-1)
    table ^= (rng.random(geometry.image_shape) < inverted)[..., None]
    which = rng.integers(0, 2, geometry.image_shape)[..., None] == [0, 1]
    table ^= (rng.random(geometry.image_shape) < dead)[..., None] & which
    chip = GoldenChip(geometry)
    chip.load_table(table)
    w, t = 21, 3
    inputs = rng.integers(0, 4, (100, 2 * w))
    result = chip.run(PassConfig(weight_rows=w, threshold_rows=t, planes=2), inputs, True)
    reads = table.astype(int).reshape(3, 2, geometry.rows, 70, 2)
    weights = reads[:, :, :w].reshape(3, 2 * w, 70, 2)
    popcounts = 3 * weights[..., 0].sum(axis=1)[:, None] + inputs @ (
        weights[..., 1] - weights[..., 0]
    )
    threshold = (reads[:, :, w:, :, 1].sum(axis=1) * [[4], [2], [1]]).sum(axis=1)
    delta = (popcounts - threshold[:, None]).transpose(1, 0, 2).reshape(100, -1)
    assert (result.preactivations == delta).all()
    assert (result.outputs == (delta > 0)).all()


def test_a_pass_is_prepared_anew_after_loading():
    """The chip keeps what it prepared for a pass, not longer than what it was prepared from."""
    config = PassConfig(weight_rows=3, threshold_rows=3, planes=2)
    inputs = np.random.default_rng(0).integers(0, 4, (5, 6))
    table = loaded(TINY, 1, errors=True).table.copy()
    chip = loaded(TINY, 2)
    chip.run(config, inputs)
    chip.load_table(table)
    fresh = GoldenChip(TINY)
    fresh.load_table(table)
    expected = fresh.run(config, inputs, True).preactivations
    table[:] = False  # the chip has its own
    for _ in range(2):
        assert (chip.run(config, inputs, True).preactivations == expected).all()
    with pytest.raises(ValueError, match="read-only"):
        chip.table[:] = False


def test_more_passes_than_a_chip_keeps():
    geometry = ChipGeometry(1, 1, rows=80, columns=2, max_inputs=80)
    chip = loaded(geometry, errors=True)
    for w in [*range(1, 80), 1, 2, 79]:
        config = PassConfig(weight_rows=w, threshold_rows=1)
        inputs = np.random.default_rng(w).integers(0, 2, (1, w))
        result = chip.run(config, inputs, True)
        expected = run_one(geometry, chip.table, config, inputs[0])
        assert (-result.preactivations[0]).tolist() == expected


@pytest.mark.parametrize(
    "arranged",
    [
        np.asfortranarray,
        lambda a: a[:, ::-1].copy()[:, ::-1],
        lambda a: a.astype(float),
        lambda a: a.astype(np.int8),
        lambda a: np.repeat(a, 2, axis=0)[::2],
        list,
    ],
    ids=["fortran", "reversed", "float", "int8", "strided", "list"],
)
def test_arrays_of_any_type_and_order(arranged):
    chip = loaded(TINY, errors=True)
    rng = np.random.default_rng(0)
    config = PassConfig(weight_rows=3, threshold_rows=3, planes=2, start=Start.PRELOAD)
    inputs, registers = rng.integers(0, 4, (70, 6)), rng.integers(-64, 64, (70, 6))
    expected = chip.run(config, inputs, True, registers).preactivations
    inputs.flags.writeable = False
    result = chip.run(config, arranged(inputs), True, arranged(registers))
    assert (result.preactivations == expected).all()
    bits = rng.random((70, 6)) < 0.5
    one = PassConfig(weight_rows=3, threshold_rows=3)
    expected = chip.run(one, bits.astype(int), True).preactivations
    assert (chip.run(one, np.asfortranarray(bits), True).preactivations == expected).all()


@pytest.mark.parametrize("error", [RuntimeError, OSError])
def test_without_a_folder_for_compiled_code(monkeypatch, error):
    """Where numba can keep nothing on disk the kernel is compiled for this process alone."""

    def njit(signature, cache=False):
        if cache:
            raise error("cannot cache function: no locator available")
        return lambda function: (function, cache)

    monkeypatch.setattr(popcount, "njit", njit)
    assert popcount._compiled.__wrapped__(np.uint16) == (popcount._subtract, False)


def test_plain_mode_is_the_papers_equation():
    """Output = sign(popcount(XNOR(w, x)) - T), for 2 macros x 2 rows, exhaustively."""
    geometry = ChipGeometry(1, 2, rows=4, columns=1, max_inputs=4)
    config = PassConfig(weight_rows=2, threshold_rows=2)
    inputs = np.array([[n >> i & 1 for i in range(4)] for n in range(16)])
    for weights in range(16):
        for parts in np.ndindex(4, 4):
            image = np.zeros(geometry.image_shape, bool)
            for macro in (0, 1):
                image[macro, 2:, 0] = parts[macro] >> 1, parts[macro] & 1  # MSB first
                image[macro, :2, 0] = [weights >> 2 * macro + i & 1 for i in range(2)]
            chip = GoldenChip(geometry)
            chip.load(image)
            result = chip.run(config, inputs, readout=True)
            for number in range(16):
                delta = bin(~(weights ^ number) & 15).count("1") - sum(parts)
                assert result.preactivations[number, 0] == delta
                assert result.outputs[number, 0] == (delta > 0)  # a tie reads -1
                if delta == 0:
                    assert not result.outputs[number, 0]


@pytest.mark.parametrize(
    "geometry, w, t, k", [(HELIOBIT, 54, 10, 4), (TINY, 3, 3, 2), (ONE_ROW, 2, 3, 3)]
)
def test_bit_planes_identity(geometry, w, t, k):
    """H = w.u + (2^k - 1) N, N the number of -1 weights: the threshold moves by (2^k - 1) N."""
    rng = np.random.default_rng(k)
    n = geometry.macros_per_bank * w
    config = PassConfig(weight_rows=w, threshold_rows=t, planes=k)
    bits = rng.random((geometry.macros, w, geometry.columns)) < 0.5
    image = np.zeros(geometry.image_shape, bool)
    image[:, :w] = bits
    parts = rng.integers(0, 2**t, (geometry.macros, geometry.columns))
    image[:, w : w + t] = parts[:, None] >> np.arange(t - 1, -1, -1)[None, :, None] & 1
    chip = GoldenChip(geometry)
    chip.load(image)
    u = rng.integers(0, 2**k, (20, n))
    result = chip.run(config, u, readout=True)
    per_bank = geometry.macros_per_bank
    for bank in range(geometry.banks):
        weights = np.where(bits[bank * per_bank : (bank + 1) * per_bank].reshape(n, -1), 1, -1)
        threshold = parts[bank * per_bank : (bank + 1) * per_bank].sum(axis=0)
        h = u @ weights + (2**k - 1) * (weights < 0).sum(axis=0)
        part = slice(bank * geometry.columns, (bank + 1) * geometry.columns)
        half = 2 ** (geometry.register_width - 1)
        register = (threshold - h + half) % (
            2 * half
        ) - half  # small chips wrap: T may exceed their layers'
        assert (result.preactivations[:, part] == -register).all()


def test_registers_wrap_at_their_width():
    """Two's complement: 8 bits, counting down from -128 gives 127, shifting 64 gives -128."""
    geometry = JEBALI_2024
    chip = GoldenChip(geometry)
    chip.load(np.ones(geometry.image_shape, bool))
    count = PassConfig(weight_rows=1, threshold_rows=1, macros=(0,), start=Start.PRELOAD)
    start = np.full((1, 64), -128)
    result = chip.run(count, np.ones((1, 2)), True, start)
    assert (chip.registers[0] == 127).all()
    assert not result.outputs.any()
    shift = PassConfig(
        weight_rows=1, threshold_rows=1, macros=(0,), start=Start.PRELOAD, begin_with_shift=True
    )
    chip.run(shift, np.zeros((1, 2)), True, np.full((1, 64), 64))
    assert (chip.registers[0] == 2 * 64 + 1 - 256).all()  # x = 0 on weight 1 counts nothing


def test_ties_read_minus_one():
    chip = GoldenChip(TINY)
    chip.load(
        np.zeros(TINY.image_shape, bool)
    )  # thresholds 0, and XNOR of 0 weights with 1s counts 0
    result = chip.run(PassConfig(weight_rows=3, threshold_rows=3), np.ones((1, 6)), readout=True)
    assert not result.preactivations.any() and not result.outputs.any()


def test_block_mode_leaves_other_macros_and_banks_alone():
    """Published mapping: one macro, its 58 inputs and 6-bit threshold."""
    chip = loaded(JEBALI_2024)
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 2, (5, 116))
    before = chip.run(PassConfig(macros=(3,)), inputs, True)
    table = chip.table.copy()
    table[:3] = rng.random(table[:3].shape) < 0.5
    chip.load_table(table)
    inputs[:, :58] ^= 1  # macro 3 is the second of its bank: inputs 58 and up
    after = chip.run(PassConfig(macros=(3,)), inputs, True)
    assert (before.preactivations == after.preactivations).all()
    assert not chip.registers[0].any()
    weights = table[3, :58, :, 1]
    threshold = sum(table[3, 58 + i, :, 1].astype(int) << 5 - i for i in range(6))
    popcount = np.array([(weights == one[58:, None]).sum(axis=0) for one in inputs])
    assert (after.preactivations == popcount - threshold).all()


def test_chained_bank_sees_the_first_banks_outputs():
    chip = loaded(JEBALI_2024)
    inputs = np.random.default_rng(1).integers(0, 2, (7, 116))
    chained = chip.run(PassConfig(Configuration.CHAINED), inputs, True)
    first = chip.run(PassConfig(macros=(0, 1)), inputs, True)
    hidden = np.zeros((7, 116), int)
    hidden[:, :64] = first.outputs
    second = chip.run(PassConfig(macros=(2, 3)), hidden, True)
    assert (chained.outputs == np.hstack([first.outputs, second.outputs])).all()
    assert (
        chained.preactivations == np.hstack([first.preactivations, second.preactivations])
    ).all()


def test_a_layer_wider_than_a_bank_is_summed_exactly():
    """The registers of one tile preloaded into the next: 3 x 116 inputs, one threshold."""
    rng = np.random.default_rng(2)
    tiles, w, t, batch = 3, 58, 6, 4
    weights = rng.random((tiles, 116, 64)) < 0.5
    threshold = rng.integers(0, 126, 64)
    inputs = rng.integers(0, 2, (batch, tiles, 116))
    geometry = HELIOBIT
    registers = None
    for tile in range(tiles):
        image = np.zeros(geometry.image_shape, bool)
        image[:2, :w] = weights[tile].reshape(2, w, 64)
        if tile == 0:
            for macro, part in enumerate((threshold // 2, threshold - threshold // 2)):
                image[macro, w : w + t] = part[None, :] >> np.arange(t - 1, -1, -1)[:, None] & 1
        chip = GoldenChip(geometry)
        chip.load(image)
        start = Start.THRESHOLDS if tile == 0 else Start.PRELOAD
        config = PassConfig(weight_rows=w, threshold_rows=t, macros=(0, 1), start=start)
        result = chip.run(config, inputs[:, tile], True, registers)
        registers = -result.preactivations
    popcount = (inputs[:, :, :, None] == weights[None]).sum(axis=(1, 2))
    assert (result.preactivations == popcount - threshold).all()
    assert (result.outputs == (popcount > threshold)).all()


def test_a_layer_both_wide_and_of_several_planes_runs_plane_major():
    """All tiles count the top plane, one shift, and so on: reg = T - sum of 2^p P_p."""
    rng = np.random.default_rng(4)
    tiles, w, t, k = 3, 9, 10, 4
    geometry = ChipGeometry(1, 2, rows=w + t, columns=3, max_inputs=64, max_planes=k)
    n = 2 * w
    weights = rng.random((tiles, n, 3)) < 0.5
    threshold = rng.integers(0, 800, 3)
    u = rng.integers(0, 2**k, (1, tiles, n))
    registers = None
    for plane in range(k - 1, -1, -1):
        for tile in range(tiles):
            image = np.zeros(geometry.image_shape, bool)
            image[:, :w] = weights[tile].reshape(2, w, 3)
            if tile == 0:
                image[0, w:] = threshold[None, :] >> np.arange(t - 1, -1, -1)[:, None] & 1
            chip = GoldenChip(geometry)
            chip.load(image)
            begins = plane == k - 1 and tile == 0
            config = PassConfig(
                weight_rows=w,
                threshold_rows=t,
                planes=k,
                start=Start.THRESHOLDS if begins else Start.PRELOAD,
                top_plane=plane,
                bottom_plane=plane,
                begin_with_shift=tile == 0 and not begins,
            )
            result = chip.run(config, u[:, tile], True, registers)
            registers = -result.preactivations
    signs = np.where(weights, 1, -1).reshape(-1, 3)
    h = u.reshape(1, -1) @ signs + (2**k - 1) * (signs < 0).sum(axis=0)
    assert (result.preactivations == h - threshold).all()


def test_batch_is_one_inference_after_the_other():
    chip = loaded(TINY)
    config = PassConfig(weight_rows=3, threshold_rows=2, planes=2)
    inputs = np.random.default_rng(5).integers(0, 4, (6, 6))
    whole = chip.run(config, inputs, True)
    assert (chip.registers.ravel() == -whole.preactivations[-1]).all()
    single = [chip.run(config, inputs[i : i + 1], True) for i in range(6)]
    assert (whole.preactivations == np.vstack([s.preactivations for s in single])).all()
    assert chip.run(config, inputs).preactivations is None


@pytest.mark.parametrize("start", [Start.THRESHOLDS, Start.REGISTERS])
def test_empty_batch(start):
    chip = loaded(TINY)
    config = PassConfig(weight_rows=3, threshold_rows=2, start=start)
    chip.run(PassConfig(weight_rows=3, threshold_rows=2), np.ones((1, 6)))
    before = chip.registers.copy()
    result = chip.run(config, np.zeros((0, 6)), True)
    assert result.outputs.shape == result.preactivations.shape == (0, 6)
    assert result.cycles == 0
    assert (chip.registers == before).all()


def test_a_fresh_chip_reads_zeros():
    result = GoldenChip(SMALLEST).run(PassConfig(weight_rows=1, threshold_rows=1), [[1]], True)
    assert result.preactivations.tolist() == [[0]]


# Refusals


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"has shape \(4, 6, 3\) \(macro, row, column\), not \(4, 6\)"
    ):
        GoldenChip(TINY).load(np.zeros((4, 6)))
    with pytest.raises(ValueError, match="holds bits: 0 or 1, nothing else"):
        check_image(TINY, np.full(TINY.image_shape, 2))
    with pytest.raises(ValueError, match="holds bits: 0 or 1, nothing else"):
        check_image(TINY, np.full(TINY.image_shape, -1.0))
    assert check_image(TINY, np.ones(TINY.image_shape, int)).dtype == bool


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"A read table of this chip has shape \(4, 6, 3, 2\) .* not \(4, 6, 3\)"
    ):
        GoldenChip(TINY).load_table(np.zeros((4, 6, 3)))


@pytest.mark.parametrize("timing", [0, 4, "1", None])
def test_read_timings_that_do_not_exist_are_refused(timing):
    with pytest.raises(
        ValueError, match=f"Read timing must be 1, 2 or 3 cycles a row, not {timing!r}"
    ):
        GoldenChip(TINY, timing)


@pytest.mark.parametrize("shape", [(6,), (1, 5), (1, 7), (1, 1, 6)])
def test_inputs_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"This pass takes inputs of shape \(batch, 6\), not \("):
        GoldenChip(TINY).run(PassConfig(weight_rows=3, threshold_rows=3), np.zeros(shape))


def test_inputs_of_too_many_bits_are_refused():
    with pytest.raises(ValueError, match="Inputs range from 0 to 4, which does not fit 2"):
        GoldenChip(TINY).run(PassConfig(weight_rows=1, threshold_rows=3, planes=2), [[0, 4]])


def test_passes_the_chip_cannot_run_are_refused():
    with pytest.raises(ValueError, match="58 weight rows and 6 threshold rows do not fit"):
        GoldenChip(TINY).run(PassConfig(), np.zeros((1, 116)))


def test_preload_values_that_do_not_fit_are_refused():
    chip = GoldenChip(TINY)  # 12 inputs x 3: 7 bits
    config = PassConfig(weight_rows=3, threshold_rows=3, start=Start.PRELOAD)
    with pytest.raises(ValueError, match=r"from a preload needs registers of shape \(2, 6\)"):
        chip.run(config, np.zeros((2, 6)))
    with pytest.raises(ValueError, match=r"preloads registers of shape \(2, 6\), not \(2, 3\)"):
        chip.run(config, np.zeros((2, 6)), registers=np.zeros((2, 3)))
    for value in (64, -65):
        with pytest.raises(ValueError, match=r"A register of 7 bits holds -64 to 63, not "):
            chip.run(config, np.zeros((1, 6)), registers=np.full((1, 6), value))
    assert check_registers(config, TINY, 1, [[-64] * 6]).tolist() == [[-64] * 6]


def test_preload_values_without_a_preload_are_refused():
    for start in (Start.THRESHOLDS, Start.REGISTERS):
        with pytest.raises(
            ValueError, match="Start values are for passes that start from a preload"
        ):
            GoldenChip(TINY).run(
                PassConfig(weight_rows=3, threshold_rows=3, start=start),
                np.zeros((1, 6)),
                registers=np.zeros((1, 6)),
            )


def test_batches_from_the_registers_are_refused():
    with pytest.raises(ValueError, match="starts from the registers runs one inference at a time"):
        GoldenChip(TINY).run(
            PassConfig(weight_rows=3, threshold_rows=3, start=Start.REGISTERS), np.zeros((2, 6))
        )


def test_inputs_and_registers_are_whole_numbers():
    chip = GoldenChip(TINY)
    config = PassConfig(weight_rows=3, threshold_rows=3)
    for inputs in (np.full((1, 6), 0.7), np.full((1, 6), "1"), np.full((1, 6), np.nan)):
        with pytest.raises(ValueError, match="Inputs are whole numbers, which these values"):
            chip.run(config, inputs)
    preloaded = PassConfig(weight_rows=3, threshold_rows=3, start=Start.PRELOAD)
    with pytest.raises(ValueError, match="Registers are whole numbers"):
        chip.run(preloaded, np.zeros((1, 6)), registers=np.full((1, 6), 0.5))
