"""cocotb tests of the behavioural macro; `python -m sim.benches --top macro` runs them."""

from __future__ import annotations

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from behavioral_models.constants import Operation
from sim.benches.macro_bench import (
    BREACHES,
    NOWHERE,
    MacroChecker,
    MacroMonitor,
    MacroPinDriver,
    pins,
)
from sim.benches.spec import BenchSpec
from sim.benches.streams import PERIOD_NS

SPEC = BenchSpec.from_environment()


async def _start(dut):
    for name, value in pins().items():
        getattr(dut, name).value = value
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, "ns").start(start_high=False))
    for _ in range(2):
        await RisingEdge(dut.clk)
    dut.protocol_error.value = 0
    return MacroPinDriver(dut), MacroMonitor(dut), MacroChecker(SPEC)


async def _breach(driver, breach):
    """Single cycles, back to back: the driver's own hold each value for two."""
    dut = driver._dut
    for values in ({**breach.cycles[0], "pulse": 0, "sense": 0}, *breach.cycles, pins()):
        for name, value in values.items():
            getattr(dut, name).value = value
        await RisingEdge(dut.clk)


@cocotb.test()
async def test_legal_traffic(dut):
    """Within the protocol, q is the Python model's, and undecided bits are X."""
    driver, monitor, checker = await _start(dut)
    random = SPEC.random("traffic")
    rows, columns = SPEC.geometry.rows, SPEC.geometry.columns
    for _ in range(60 if SPEC.quick else 600):
        if random.random() < 0.4:
            sequence = [pins(sense=1, row=random.randrange(rows), x=random.getrandbits(1)), pins()]
        elif random.random() < 0.2:
            place = {"row": random.randrange(rows), "column": random.randrange(columns),
                     "side": random.getrandbits(1)}  # fmt: skip
            connected = pins(bypass=1, **place)
            sequence = [pins(**place), *[connected] * random.randint(1, 3), pins()]
        else:
            operation = random.choice((Operation.FORM, Operation.SET, Operation.RESET))
            place = {"row": random.randrange(rows), "column": random.randrange(columns),
                     "side": random.getrandbits(1)}  # fmt: skip
            before = pins(operation, **place)
            pulse = {**before, "pulse": 1}
            sequence = [before, *[pulse] * random.randint(1, 3), before, pins()]
        for values in sequence:
            for name, value in values.items():
                getattr(dut, name).value = value
            await RisingEdge(dut.clk)
            await ReadOnly()
            checker.check(values, monitor.q)
            await RisingEdge(dut.clk)  # a second, equal cycle, in which pins may be set again
            checker.check(values, monitor.q)
    assert not monitor.error


async def _each_breach(dut, chosen):
    driver, monitor, checker = await _start(dut)
    for breach in chosen:
        dut.protocol_error.value = 0
        await driver.cycle(pins())
        await driver.cycle(pins())
        assert not monitor.error, f"{breach.name}: an error too early"
        said = checker.message(breach)
        assert said == (breach.first or breach.message), f"{breach.name}: the model says {said}"
        print(f"BREACH {breach.name}", flush=True)
        await _breach(driver, breach)
        await RisingEdge(dut.clk)
        assert monitor.error, f"{breach.name}: not noticed"
        if breach.bad_sense and checker.four_state:
            assert set(monitor.q) == {"X"}, f"{breach.name}: q is {monitor.q}"
        for _ in range(5):
            await driver.cycle(pins())
        assert monitor.error, f"{breach.name}: the flag is not sticky"
        print(f"NOTICED {breach.name}", flush=True)


@cocotb.test()
async def test_breaches(dut):
    """Each breach raises the sticky flag; a bad sense reads X; the runner checks the messages."""
    await _each_breach(dut, [b for b in BREACHES if b.message != NOWHERE])


@cocotb.test()
async def test_pulse_nowhere(dut):
    """A pulse on a cell that does not exist is noticed, and changes nothing."""
    await _each_breach(dut, [b for b in BREACHES if b.message == NOWHERE])


@cocotb.test()
async def test_unknown_pins(dut):
    """Pins that are X where they matter are a breach (four states only)."""
    driver, monitor, _ = await _start(dut)
    bypass = pins(bypass=1)
    for name, around in (("sense", pins()), ("pulse", pins()), ("row", pins(sense=1)),
                         ("x", pins(sense=1)), ("bypass", pins()), ("row", bypass),
                         ("column", bypass), ("side", bypass)):  # fmt: skip
        dut.protocol_error.value = 0
        await driver.cycle(pins())
        assert not monitor.error
        handle = getattr(dut, name)
        await driver.cycle({**around, name: "X" * len(handle) if len(handle) > 1 else "X"})
        await driver.cycle(pins())
        assert monitor.error, f"{name} is X and nobody noticed"


@cocotb.test()
async def test_fatal(dut):
    """Without +macro_continue a breach ends the simulation: what follows it is never reached."""
    driver, _, _ = await _start(dut)
    await _breach(driver, BREACHES[0])
    await RisingEdge(dut.clk)
    print("STILL RUNNING", flush=True)
