"""The digits on the netlist of each style: Verilated, and event by event; what is caught there."""

from dataclasses import replace

import numpy as np
import pytest

from behavioral_models.geometry import JEBALI_2024
from hdl.parameters import STYLES, ChipParameters
from networks import digits
from synthesis import gate_level
from synthesis.gate_level import GateLevelError, run_digits
from synthesis.library import LibraryError, find_liberty, load_library
from synthesis.netlist import FlatNetlist, Instance, SynthesisOptions, flatten, synthesize
from synthesis.simulation import SimulationError, simulate
from synthesis.traces import record
from tests.needs import need
from tests.synthesis import liberty_text

need("yosys")
need("verilator")

DIGITS = 20


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library of this machine, or one small enough to write down."""
    try:
        return load_library(find_liberty())
    except LibraryError:
        path = tmp_path_factory.mktemp("library") / "small.lib"
        path.write_text(liberty_text())
        return load_library(path)


@pytest.fixture(scope="module")
def netlist_of(library, tmp_path_factory):
    """Netlist of a style of the published chip, made once."""
    made = {}

    def make(style):
        if style not in made:
            folder = tmp_path_factory.mktemp("netlists") / style
            made[style] = synthesize(ChipParameters(style=style), library, folder)
        return made[style]
    return make


@pytest.mark.parametrize("style", STYLES)
def test_digits_on_the_netlist_are_those_of_the_golden_model(style, netlist_of):
    run = run_digits(netlist_of(style), DIGITS, progress=False)
    assert run.equal and run.style == style and run.digits == DIGITS
    neurons = DIGITS * JEBALI_2024.neurons
    assert run.compared == {
        "outputs": neurons, "outputs without readout": neurons, "preactivations": neurons,
        "cycle counts": 2}
    assert run.cycles == digits.digits_pass().cycles(JEBALI_2024, 1, DIGITS)
    network = digits.DigitsNetwork.load()
    held_out = digits.load_part("held_out")
    predictions = digits.evaluate(network, held_out.pixels[:DIGITS]).predictions
    assert run.right == (predictions == held_out.labels[:DIGITS]).sum()
    assert run.as_dict()["differences"] == run.differences


@pytest.mark.parametrize("style", STYLES)
def test_one_trace_runs_on_the_netlist_of_every_style(style, netlist_of, library):
    """Every output and macro pin in every cycle, with delays and without."""
    netlist = netlist_of(style)
    flat = flatten(netlist)
    trace = record(netlist.parameters, "digits", DIGITS)
    assert trace.window_cycles == digits.digits_pass().cycles(JEBALI_2024, 1, DIGITS)
    runs = {
        delays: simulate(flat, library, trace, delays, progress=False)
        for delays in ("zero", "liberty")}
    clock = flat.ports["clk"][1][0]
    for activity in runs.values():
        assert activity.cycles == trace.window_cycles
        assert activity.toggles[clock] == 2 * trace.window_cycles
        assert activity.high[clock] == pytest.approx(0.5, abs=1e-3)
    # glitches add to the toggles, those of each net in pairs but for what the window cuts off
    zero, timed = (activity.toggles for activity in runs.values())
    assert timed.sum() > zero.sum()
    more = timed - zero
    assert (more >= -1).all()
    assert np.abs(more % 2)[np.abs(more) > 1].mean() < 0.05
    # what the macros read changes as often whatever the delays
    q = [flat.nets.index(net) for net in flat.nets if net.startswith("macro_0__q")]
    assert (timed[q] == zero[q]).all()


@pytest.mark.parametrize("delays", ("zero", "liberty"))
def test_wires_that_are_crossed_are_found(delays, netlist_of, library):
    """Sum and carry of one popcount change places."""
    netlist = netlist_of("enabled")
    flat = flatten(netlist)
    trace = record(netlist.parameters, "digits", DIGITS)
    sum_, carry = [
        (place, pin) for place, instance in enumerate(flat.instances)
        if instance.path.startswith("core/bank_0/popcount_0/")
        for pin in library.cells[instance.cell].outputs if pin in instance.pins][:2]
    nets = [flat.instances[place].pins[pin] for place, pin in (sum_, carry)]
    instances = list(flat.instances)
    for (place, pin), net in zip((sum_, carry), reversed(nets), strict=True):
        crossed = instances[place]
        instances[place] = Instance(crossed.path, crossed.cell, {**crossed.pins, pin: net})
    mutated = FlatNetlist(flat.top, instances, flat.nets, flat.ports)
    with pytest.raises(SimulationError, match="the netlist is not equal to the RTL of the trace"):
        simulate(mutated, library, trace, delays, progress=False)


def test_a_netlist_that_answers_wrong_is_said_to(monkeypatch, netlist_of):
    class OtherChip(gate_level.GoldenChip):
        def run(self, *arguments, **options):
            result = super().run(*arguments, **options)
            result.outputs[3, 5] ^= True
            return result

    monkeypatch.setattr(gate_level, "GoldenChip", OtherChip)
    with pytest.raises(GateLevelError, match="enabled netlist.*: 1 outputs, 1 outputs without"):
        run_digits(netlist_of("enabled"), DIGITS, progress=False)


def test_only_whole_chips_and_digits_that_there_are(netlist_of):
    netlist = netlist_of("enabled")
    with pytest.raises(GateLevelError, match="There are 360 held-out digits, not 361"):
        run_digits(netlist, 361)
    core = replace(netlist, options=SynthesisOptions(top="core"))
    with pytest.raises(GateLevelError, match="behind the host protocol, not of the core"):
        run_digits(core, 1, progress=False)
