"""cocotb tests of the chip; `python -m sim.benches --top chip` runs them.

The macros keep what was programmed from one test to the next, as real ones would over a reset.
"""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from behavioral_models import protocol
from behavioral_models.macro import read_table
from behavioral_models.passes import Configuration, PassConfig, Start
from behavioral_models.protocol import Opcode, Status
from networks.host import RefusedError
from sim.benches.chip_bench import TIMING, ChipBench
from sim.benches.random_passes import Job, random_image, random_job
from sim.benches.spec import BenchSpec
from sim.benches.streams import number

SPEC = BenchSpec.from_environment()
PASSES = 8 if SPEC.quick else 40

#: What the macros hold from the start (the runner's plusarg), and what test_program leaves in them.
FIRST = random_image(SPEC.random("image"), SPEC.geometry)
SECOND = random_image(SPEC.random("second image"), SPEC.geometry)


@cocotb.test(skip=not SPEC.image)
async def test_straight_after_power_up(dut):
    """Weights are there after power-up: a pass runs with nothing programmed or set up before it."""
    bench = ChipBench(dut, SPEC, "power-up", read_table(FIRST))
    await bench.power_up()
    width = PassConfig(Configuration.TWO_LAYER, SPEC.geometry.rows - 2, 2).inputs(SPEC.geometry)
    config = PassConfig(Configuration.TWO_LAYER, SPEC.geometry.rows - 2, 2)
    inputs = np.random.default_rng(SPEC.seed).integers(0, 2, (2, width)).astype(np.uint8)
    await bench.with_host(lambda host: bench.checker.run(host, Job(config, inputs, True)))


@cocotb.test()
async def test_program(dut):
    """Every row is formed where new, programmed, and reads back; then passes use it."""
    bench = ChipBench(dut, SPEC, "program", read_table(SECOND))
    await bench.power_up()

    def work(host):
        assert (host.identity.read_timing, host.geometry) == (SPEC.read_timing, SPEC.geometry)
        host.set_timing(**TIMING)
        if not SPEC.image:
            host.form()
        bench.set_gaps()
        host.load(SECOND)
        bench.set_gaps()
        host.verify(SECOND)
        for _ in range(3):
            bench.checker.run(host, random_job(bench.random, SPEC.geometry, start=Start.THRESHOLDS))

    await bench.with_host(work)


@cocotb.test()
async def test_passes(dut):
    """Random passes in all modes, whatever the gaps: results and cycles are the golden model's."""
    bench = ChipBench(dut, SPEC, "passes", read_table(SECOND))
    await bench.power_up()

    def work(host):
        for _ in range(PASSES):
            bench.set_gaps()
            job = random_job(bench.random, SPEC.geometry, bench.checker.known_banks)
            bench.checker.run(host, job)

    await bench.with_host(work)


@cocotb.test(skip=not SPEC.geometry.sense_bypass)
async def test_measuring(dut):
    """The host connects the memristors it names and no others, and the next pass is right."""
    bench = ChipBench(dut, SPEC, "measuring", read_table(SECOND))
    await bench.power_up()
    geometry = SPEC.geometry
    sizes = (geometry.macros, geometry.rows, geometry.columns, 2)
    wanted = [tuple(bench.random.randrange(size) for size in sizes) for _ in range(6)]
    seen = []

    async def watch():
        was = [0] * len(bench.macros)
        while True:
            await RisingEdge(dut.clk)
            for index, macro in enumerate(bench.macros):
                now = number(macro.bypass)
                if now and not was[index]:
                    place = (macro.row, macro.column, macro.side)
                    seen.append((index, *map(number, place)))
                was[index] = now

    def work(host):
        for place in wanted:
            bench.set_gaps()
            with host.measuring(*place):
                assert host.status()["programming"] == 2
                try:
                    host.read_row(0, 0)
                except RefusedError as error:
                    assert error.status is Status.BUSY
                else:
                    raise AssertionError("a row was read while a memristor was connected")
            assert host.status()["programming"] == 0
        bench.checker.run(host, random_job(bench.random, geometry, start=Start.THRESHOLDS))

    watcher = cocotb.start_soon(watch())
    await bench.with_host(work)
    watcher.cancel()
    assert seen == wanted, f"connected were {seen}, not {wanted}"


@cocotb.test()
async def test_registers_by_packet(dut):
    """PRELOAD and READ_REGISTERS move the registers that passes start from."""
    bench = ChipBench(dut, SPEC, "registers", read_table(SECOND))
    await bench.power_up()

    def work(host):
        for _ in range(4):
            bench.set_gaps()
            job = random_job(bench.random, SPEC.geometry, start=Start.PRELOAD)
            host.preload(job.pass_config, job.registers[0])
            shown = host.read_registers(job.pass_config)
            assert (shown == job.registers[0]).all(), f"{shown}, not {job.registers[0]}"

    await bench.with_host(work)


@cocotb.test()
async def test_damaged_packets(dut):
    """A damaged request gets its error answer; weights and the next requests are unharmed."""
    bench = ChipBench(dut, SPEC, "damage", read_table(SECOND))
    await bench.power_up()

    def work(host):
        for position in range(3, 9):
            bench.set_gaps()
            row = bytes(SPEC.geometry.bank_bytes)
            packet = bytearray(protocol.frame(bytes([Opcode.PROGRAM_ROW, 0x55]) + bytes(4) + row))
            packet[position] ^= 0x04  # an argument, a data or a checksum byte
            host._transport.write(bytes(packet))
            try:
                host.receive(Opcode.PROGRAM_ROW, 0x55)
            except RefusedError as error:
                assert error.status is Status.BAD_CHECKSUM
            else:
                raise AssertionError("a damaged packet was executed")
        host.verify(SECOND)

    await bench.with_host(work)


@cocotb.test()
async def test_reset_in_a_pass(dut):
    """A reset while macros work on a sense breaks no macro protocol, and the next pass is right."""
    bench = ChipBench(dut, SPEC, "reset", read_table(SECOND))
    await bench.power_up()

    def run_one(host):
        bench.checker.run(host, random_job(bench.random, SPEC.geometry, start=Start.THRESHOLDS))

    for cycles in range(3 if SPEC.quick else 12):
        reset = cocotb.start_soon(_reset_in_a_sense(bench, cycles))
        try:
            await bench.with_host(run_one)
            reset.cancel()  # the passes had fewer senses
        except ConnectionResetError:
            await reset
            bench.check_macros()
        await bench.with_host(run_one)


async def _reset_in_a_sense(bench, skipped):
    """Reset the chip after some cycles with a sense, while the macros work on the next."""
    senses = 0
    while senses <= skipped:
        await RisingEdge(bench.dut.clk)
        senses += any(number(macro.sense) for macro in bench.macros)
    bench.dut.rst.value = 1
    bench.transport.cut()
    await RisingEdge(bench.dut.clk)
    bench.transport.cut()
    bench.dut.rst.value = 0
