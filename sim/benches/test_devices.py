"""cocotb test of a core whose macros are memristors read by XPCSAs."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from behavioral_models.constants import Operation
from behavioral_models.device_macro import DeviceMacro
from sim.benches.core_bench import TIMING, CoreBench
from sim.benches.random_passes import Job
from sim.benches.spec import BenchSpec
from sim.devices import device_run

SPEC = BenchSpec.from_environment()
INFERENCES = 20 if SPEC.quick else 1000
BATCH = 200

#: Cycles of whole pulses, as the bench sets them.
PULSES = {
    Operation.FORM: TIMING["form_pulse"],
    Operation.SET: TIMING["set_pulse"],
    Operation.RESET: TIMING["reset_pulse"],
}


@cocotb.test()
async def test_device_errors(dut):
    """A row programmed by the core's own pulses, then passes: all as numpy has them, errors too.

    What the core's output pins gave is left in `devices.npz`, for who compares other executors.
    """
    wanted = device_run(SPEC.geometry, SPEC.seed, INFERENCES)
    shown = device_run(SPEC.geometry, SPEC.seed, INFERENCES, reprogram=False)
    models = [
        DeviceMacro(shown.chip, macro, shown.vdd_v, shown.clock_hz, PULSES)
        for macro in range(SPEC.geometry.macros)
    ]
    bench = CoreBench(dut, SPEC, "devices", models=models)
    bench.set_gaps(False)
    await bench.power_up()
    bits = sum(int(bit) << column for column, bit in enumerate(shown.image[0, 0]))
    await bench.driver.operate(Operation.SET, 0, 0, bits)
    assert (shown.chip.array.ohm == wanted.chip.array.ohm).all(), "pulses did not program as numpy"
    assert (bench.macros.table == wanted.table).all()
    bench.checker.golden.load_table(wanted.table)
    inputs = wanted.inputs.astype(np.uint8)
    records = []
    for first in range(0, INFERENCES, BATCH):
        seen = await bench.run(Job(wanted.pass_config, inputs[first : first + BATCH]))
        records += [bits for bits, _ in seen.records]
    neurons = SPEC.geometry.neurons
    outputs = [[bits >> neuron & 1 for neuron in range(neurons)] for bits in records]
    np.savez("devices.npz", outputs=np.array(outputs, dtype=bool))
    await bench.run(Job(wanted.pass_config, inputs[:10], readout=True))


@cocotb.test()
async def test_brown_out(dut):
    """Power fails within an inference: all off at once; repeated, it is exact; weights stayed."""
    run = device_run(SPEC.geometry, SPEC.seed, 2)
    models = [
        DeviceMacro(run.chip, macro, run.vdd_v, run.clock_hz, PULSES)
        for macro in range(SPEC.geometry.macros)
    ]
    bench = CoreBench(dut, SPEC, "brown-out", models=models)
    bench.set_gaps(False)
    bench.checker.golden.load_table(run.table)
    before = run.chip.array.ohm.copy()
    await bench.power_up()
    job = Job(run.pass_config, run.inputs.astype(np.uint8), readout=True)
    for cycles in (1, 30, 64, 90):
        await bench.driver.start(job)
        for _ in range(cycles):
            await RisingEdge(dut.clk)
        await bench.cut_power()
        bench.driver.slots.clear()
        bench.driver.registers.clear()
        bench.monitor.outputs.forget()
        bench.monitor.readout.forget()
        await RisingEdge(dut.clk)
        bench.monitor.take()
        await bench.run(job)
    assert (run.chip.array.ohm == before).all()
