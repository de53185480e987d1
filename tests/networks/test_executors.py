"""The golden chip and the Verilated RTL answer alike, bit for bit and cycle for cycle."""

from dataclasses import replace

import numpy as np
import pytest

from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import HELIOBIT, JEBALI_2024, TINY, ChipGeometry
from behavioral_models.passes import Configuration, PassConfig, Start
from hdl.parameters import STYLES, ChipParameters
from networks.executor import EXECUTORS, TRANSPORTS, open_entry
from sim.verilated import VerilatedChip
from tests.needs import need
from tests.passes import random_arguments, random_pass

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
#: Odd everywhere, more than 8 macros a slot, registers of two bytes, rows of two bytes.
ODD = ChipGeometry(banks=3, macros_per_bank=3, rows=7, columns=9, max_inputs=300, max_planes=3)


@pytest.fixture(autouse=True)
def needs():
    need("verilator")
    need("yosys")


def pair(geometry, read_timing=1, style="enabled", seed=0):
    """A golden and a Verilated chip with the same read table, errors included."""
    table = np.random.default_rng(seed).random((*geometry.image_shape, 2)) < 0.5
    golden = GoldenChip(geometry, read_timing)
    golden.load_table(table)
    return golden, VerilatedChip(ChipParameters(geometry, read_timing, style), table)


def compare(golden, rtl, config, inputs, readout=False, registers=None):
    expected = golden.run(config, inputs, readout, registers)
    made = rtl.run(config, inputs, readout, registers)
    assert (made.outputs == expected.outputs).all(), config
    assert made.cycles == expected.cycles, config
    if readout:
        assert (made.preactivations == expected.preactivations).all(), config
    else:
        assert made.preactivations is None
    return expected


def random_passes(golden, rtl, count):
    rng = np.random.default_rng(count)
    geometry = golden.geometry
    for _ in range(count):
        config = random_pass(rng, geometry)
        inputs, registers = random_arguments(rng, geometry, config)
        compare(golden, rtl, config, inputs, bool(rng.integers(0, 2)), registers)
        if rng.random() < 0.2:
            banks = list(config.enabled_banks(geometry))
            assert (rtl.read_registers(config) == golden.registers[banks].ravel()).all()


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("read_timing", [1, 2, 3])
def test_every_mode_of_every_variant(read_timing, style):
    golden, rtl = pair(TINY, read_timing, style)
    with rtl:
        random_passes(golden, rtl, 150)


@pytest.mark.slow
@pytest.mark.parametrize("rows_per_update", [1, 2, 8])
def test_every_number_of_rows_an_update(rows_per_update):
    """The default of TINY, 4, is above; passes of fewer rows than that too."""
    geometry = replace(TINY, rows=9, max_inputs=18)
    parameters = ChipParameters(geometry, style="deferred", rows_per_update=rows_per_update)
    table = np.random.default_rng(rows_per_update).random((*geometry.image_shape, 2)) < 0.5
    golden = GoldenChip(geometry)
    golden.load_table(table)
    with VerilatedChip(parameters, table) as rtl:
        random_passes(golden, rtl, 150)


@pytest.mark.slow
@pytest.mark.parametrize("geometry", [SMALLEST, ODD], ids=["smallest", "odd"])
def test_other_geometries(geometry):
    golden, rtl = pair(geometry, 1, "borrow_gated")
    with rtl:
        random_passes(golden, rtl, 100)


def test_preloaded_registers_start_a_pass():
    """PRELOAD and READ_REGISTERS on their own, around a pass that starts from the registers."""
    golden, rtl = pair(TINY)
    config = PassConfig(weight_rows=3, threshold_rows=3, start=Start.REGISTERS)
    rng = np.random.default_rng(0)
    with rtl:
        for _ in range(5):
            values = rng.integers(-64, 64, 6)
            rtl.preload(config, values)
            assert (rtl.read_registers(config) == values).all()
            golden.registers[:] = values.reshape(2, 3)
            compare(golden, rtl, config, rng.integers(0, 2, (1, 6)), True)


def test_empty_batch():
    golden, rtl = pair(TINY)
    config = PassConfig(weight_rows=3, threshold_rows=3)
    with rtl:
        result = compare(golden, rtl, config, np.zeros((0, 6), int), True)
    assert result.outputs.shape == (0, 6)


@pytest.mark.slow
def test_published_chip():
    """All configurations of the published chip, at its sizes."""
    golden, rtl = pair(JEBALI_2024)
    rng = np.random.default_rng(0)
    with rtl:
        for config in (
            PassConfig(),
            PassConfig(Configuration.TWO_LAYER),
            PassConfig(Configuration.CHAINED),
            PassConfig(macros=(1,)),
            PassConfig(start=Start.PRELOAD),
        ):
            for readout in (False, True):
                inputs = rng.integers(0, 2, (20, config.inputs(JEBALI_2024)))
                registers = None
                if config.start is Start.PRELOAD:
                    registers = rng.integers(-128, 128, (20, 128))
                compare(golden, rtl, config, inputs, readout, registers)


@pytest.mark.slow
def test_product_chip_sums_a_wide_layer_of_four_planes():
    """54 rows, t = 10, k = 4, 216 inputs: tiles in two banks, plane-major, against w.u itself."""
    rng = np.random.default_rng(7)
    w, t, k, n = 54, 10, 4, 108
    weights = rng.random((2, n, 64)) < 0.5
    threshold = rng.integers(0, 2**t, 64)
    image = np.zeros(HELIOBIT.image_shape, bool)
    image[:, :w] = weights.reshape(4, w, 64)
    image[0, w:] = threshold[None, :] >> np.arange(t - 1, -1, -1)[:, None] & 1
    u = rng.integers(0, 2**k, (3, 2, n))
    golden = GoldenChip(HELIOBIT)
    golden.load(image)
    registers = None
    with VerilatedChip.with_image(ChipParameters(HELIOBIT), image) as rtl:
        config = PassConfig(weight_rows=w, threshold_rows=t, planes=k)
        compare(golden, rtl, config, u[:, 0], True)
        for plane in (3, 2, 1, 0):
            for tile, macros in enumerate(((0, 1), (2, 3))):
                begins = plane == 3 and tile == 0
                config = PassConfig(
                    weight_rows=w,
                    threshold_rows=t,
                    planes=k,
                    macros=macros,
                    top_plane=plane,
                    bottom_plane=plane,
                    start=Start.THRESHOLDS if begins else Start.PRELOAD,
                    begin_with_shift=tile == 0 and not begins,
                )
                result = compare(golden, rtl, config, u[:, tile], True, registers)
                registers = -result.preactivations
    signs = np.where(weights, 1, -1).reshape(2 * n, 64)
    h = u.reshape(3, -1) @ signs + (2**k - 1) * (signs < 0).sum(axis=0)
    assert (result.preactivations == h - threshold).all()
    assert (result.outputs == (h > threshold)).all()


def test_executors_are_found_by_name():
    chip = open_entry(EXECUTORS, "golden", geometry=TINY, read_timing=3)
    assert isinstance(chip, GoldenChip)
    assert (chip.geometry, chip.read_timing) == (TINY, 3)


@pytest.mark.parametrize("group, what", [(EXECUTORS, "executor"), (TRANSPORTS, "transport")])
def test_unknown_names_are_refused(group, what):
    with pytest.raises(ValueError, match=f"There is no {what} 'abacus'; registered are: "):
        open_entry(group, "abacus")


def test_a_verilated_chip_takes_a_table_instead_of_the_one_before():
    need("verilator")
    random = np.random.default_rng(5)
    pass_config = PassConfig(weight_rows=4, threshold_rows=2)
    inputs = random.random((7, pass_config.inputs(TINY))) < 0.5
    with VerilatedChip(ChipParameters(TINY)) as chip:
        golden = GoldenChip(TINY)
        for _ in range(2):
            table = random.random((*TINY.image_shape, 2)) < 0.5
            chip.load_table(table)
            golden.load_table(table)
            ours, theirs = (each.run(pass_config, inputs, readout=True) for each in (chip, golden))
            assert (ours.preactivations == theirs.preactivations).all()
            assert ours.preactivations.any()
        once = chip.statistics["cycles"]
    assert chip.statistics["cycles"] > once > 0
