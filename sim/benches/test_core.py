"""cocotb tests of the core; `python -m sim.benches --top core` runs them."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from behavioral_models.constants import Operation
from behavioral_models.macro import read_table
from behavioral_models.passes import Configuration, PassConfig, Start
from sim.benches.core_bench import CoreBench, register_bytes
from sim.benches.random_passes import Job, random_image, random_job
from sim.benches.spec import BenchSpec
from sim.benches.streams import number

SPEC = BenchSpec.from_environment()
PASSES = 12 if SPEC.quick else 60


async def _programmed(dut, purpose):
    image = random_image(SPEC.random(f"{purpose} image"), SPEC.geometry)
    bench = CoreBench(dut, SPEC, purpose, read_table(image))
    await bench.power_up()
    return bench


def _plain(bench, batch, readout=False):
    """A plain pass on all banks, the longest there is."""
    geometry = SPEC.geometry
    config = PassConfig(Configuration.TWO_LAYER, geometry.rows - 2, 2)
    numbers = np.random.default_rng(bench.random.getrandbits(32))
    inputs = numbers.integers(0, 2, (batch, config.inputs(geometry)))
    return Job(config, inputs.astype(np.uint8), readout)


@cocotb.test()
async def test_first_pass(dut):
    """The first pass clears registers that held anything; nothing was set up before it."""
    bench = await _programmed(dut, "first pass")
    await bench.run(_plain(bench, 2, readout=True))


@cocotb.test()
async def test_passes(dut):
    """Random passes in all modes, whatever the gaps: results and cycles are the golden model's."""
    bench = await _programmed(dut, "passes")
    modes = set()
    for _ in range(PASSES):
        job = random_job(bench.random, SPEC.geometry, bench.checker.known_banks)
        bench.set_gaps()
        await bench.run(job)
        modes.add((job.pass_config.configuration, job.pass_config.start))
    wanted = 7 if SPEC.geometry.banks > 1 else 6
    assert SPEC.quick or len(modes) == wanted, f"only {modes} ran"


@cocotb.test()
async def test_throughput(dut):
    """With inputs waiting and outputs always taken, passes follow each other without a gap."""
    bench = await _programmed(dut, "throughput")
    bench.set_gaps(False)
    await bench.run(_plain(bench, 1))  # rails are settled after this
    inferences = 20
    job = _plain(bench, inferences)
    seen = await bench.run(job)
    rows = job.pass_config.row_operations * SPEC.read_timing
    total = seen.cycles + seen.wait_cycles
    assert inferences * rows <= total <= inferences * rows + 2, f"{total} cycles"


@cocotb.test()
async def test_program(dut):
    """New memristors are formed, programmed, read and used: pulses, places, lengths, results."""
    bench = CoreBench(dut, SPEC, "program")
    await bench.power_up()
    geometry, macros = SPEC.geometry, bench.macros
    image = random_image(bench.random, geometry)
    places = [(m, r) for m in range(geometry.macros) for r in range(geometry.rows)]
    bench.random.shuffle(places)
    for macro, row in places:
        bits = image[macro, row]
        packed = sum(int(bit) << column for column, bit in enumerate(bits))
        for command in (Operation.FORM, Operation.SET):
            await bench.driver.operate(command, macro, row, packed)
            bench.checker.check_pulses(command, macro, row, bits, macros.pulses)
            macros.pulses.clear()
        for x in (0, 1):
            await bench.driver.operate(Operation.READ, macro, row, x=x)
            shown = number(dut.row_bits)
            wanted = packed if x else packed ^ (1 << geometry.columns) - 1
            assert shown == wanted, f"macro {macro}, row {row}, x = {x}: {shown:b}, not {wanted:b}"
    assert (macros.table == read_table(image)).all()
    assert not macros.pulses, "a read made a pulse"
    bench.checker.golden.load(image)
    bench.monitor.take()
    for _ in range(4):
        bench.set_gaps()
        await bench.run(random_job(bench.random, geometry, start=Start.THRESHOLDS))


@cocotb.test(skip=not SPEC.geometry.sense_bypass)
async def test_measure(dut):
    """Memristors are connected one at a time; a run in between waits; a reset disconnects at once.

    The models see that nothing else moves.
    """
    bench = await _programmed(dut, "measure")
    geometry, random = SPEC.geometry, bench.random
    places = [
        (macro, row, column, side) for macro in range(geometry.macros)
        for row in range(geometry.rows) for column in range(geometry.columns) for side in (0, 1)
    ]  # fmt: skip
    for place in random.sample(places, min(len(places), 6)):
        await bench.driver.connect(*place)
        assert number(dut.measuring)
        await bench.driver.start(_plain(bench, 1))
        for _ in range(random.randrange(20)):
            await RisingEdge(dut.clk)
            for macro, model in enumerate(bench.macros.models):
                assert model.connected == (place[1:] if macro == place[0] else None)
        assert not bench.macros.senses
        await bench.driver.stop()
        await bench.driver.disconnect()
        assert not number(dut.measuring)
        bench.monitor.take()
        await bench.run(_plain(bench, 1))
        bench.macros.senses = 0
    await bench.driver.connect(*places[-1])
    await bench.cut_power()
    await bench.run(_plain(bench, 1))


@cocotb.test()
async def test_preload_and_readout_alone(dut):
    """Registers are written in a run without rows, and read in another; neither makes outputs."""
    bench = await _programmed(dut, "access")
    geometry = SPEC.geometry
    for _ in range(6):
        bench.set_gaps()
        job = random_job(bench.random, geometry, start=Start.PRELOAD)
        one = Job(job.pass_config, job.inputs[:1], False, job.registers[:1])
        await bench.driver.start(one, rows=False, preload=True)
        await bench.driver.idle()
        await bench.driver.start(Job(job.pass_config, job.inputs[:1], True), False, False)
        await bench.driver.idle()
        seen = bench.monitor.take()
        assert seen.readout == register_bytes(geometry, one.registers)
        assert not seen.records
        assert seen.cycles == 2 * len(seen.readout)


@cocotb.test()
async def test_stop(dut):
    """A run is stopped at any cycle; what was programmed stays, and the next run is right."""
    bench = await _programmed(dut, "stop")
    for cycles in range(8 if SPEC.quick else 24):
        bench.set_gaps()
        await bench.driver.start(random_job(bench.random, SPEC.geometry, {0, 1, 2}))
        for _ in range(cycles):
            await RisingEdge(dut.clk)
        bench.monitor.outputs.forget()
        bench.monitor.readout.forget()
        await bench.driver.stop()
        assert not number(dut.running), "a stopped core is still running"
        bench.monitor.outputs.forget()
        bench.monitor.readout.forget()
        await bench.driver.idle()
        bench.monitor.take()
        await bench.run(random_job(bench.random, SPEC.geometry, start=Start.THRESHOLDS))


@cocotb.test()
async def test_reset_in_a_pulse(dut):
    """Reset takes pulse and rails away at once, without a clock edge."""
    bench = CoreBench(dut, SPEC, "reset")
    await bench.power_up()
    dut.command.value = int(Operation.FORM)
    dut.operate.value = 1
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.operate.value = 0
    while not number(dut.macro_0_pulse):
        await RisingEdge(dut.clk)
    await bench.cut_power()
    await bench.driver.idle()
