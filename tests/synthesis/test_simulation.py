"""The gate-level simulator on netlists small enough to follow by hand."""

import numpy as np
import pytest
from vcd.reader import TokenKind, tokenize

from synthesis.activity import Activity
from synthesis.library import Cell, Expression, Library, Pin, State, Table, TimingArc, WireLoad
from synthesis.netlist import FlatNetlist, Instance
from synthesis.simulation import SimulationError, simulate
from synthesis.traces import Trace

PS, NS, FF = 1e-12, 1e-9, 1e-15
PERIOD = 10 * NS


# A library whose delays are whole picoseconds -----------------------------------------------------

def constant(picoseconds):
    return Table((), (), np.array(picoseconds * PS))


def per_femtofarad(picoseconds):
    """A delay that is so many picoseconds for each femtofarad of load."""
    loads = np.array([0.0, 100 * FF])
    return Table(("output_capacitance",), (loads,), np.array([0.0, 100 * picoseconds * PS]))


def arc(pin, rise, fall=None, kind="combinational", sense="non_unate"):
    fall = rise if fall is None else fall
    rise, fall = (d if isinstance(d, Table) else constant(d) for d in (rise, fall))
    return TimingArc(pin, kind, sense, None, rise, fall)


def cell(name, kind, inputs, outputs, **more):
    """Outputs: pin to (function, arcs)."""
    pins = {pin: Pin(pin, "input", FF, FF, FF) for pin in inputs}
    for pin, (function, arcs) in outputs.items():
        expression = Expression(function) if function else None
        pins[pin] = Pin(pin, "output", function=expression, timing=tuple(arcs))
    return Cell(name, 1.0, 0.0, (), pins, kind, **more)


def gate(name, function, inputs, rise, fall=None):
    arcs = [arc(pin, rise, fall) for pin in inputs]
    return cell(name, "combinational", inputs, {"Y": (function, arcs)})


def flip_flop(name, clock="CK", edge="rising_edge", inputs=(), outputs=None, **forced):
    """Delay 200 ps; `forced` are clear and preset."""
    forced = {what: Expression(function) for what, function in forced.items()}
    state = State("IQ", "IQN", clocked_on=Expression(clock), next_state=Expression("D"), **forced)
    arcs = [arc("CK", 200, kind=edge)]
    return cell(name, "flip_flop", ("CK", "D", *inputs),
                outputs or {"Q": ("IQ", arcs), "QN": ("IQN", arcs)}, state=state)


def latch(name, enable):
    state = State("IQ", "IQN", enable=Expression(enable), data_in=Expression("D"))
    arcs = [arc("D", 150), arc("G", 150)]
    return cell(name, "latch", ("G", "D"), {"Q": ("IQ", arcs)}, state=state)


def clock_gate(name, kind):
    made = cell(name, "clock_gate", ("CK", "EN"), {"GCK": ("", [arc("CK", 120)])}, clock_gate=kind)
    roles = {"CK": "clock", "EN": "enable", "GCK": "out"}
    pins = {
        pin: Pin(pin, p.direction, p.capacitance_f, FF, FF, clock_gate_role=roles[pin],
                 timing=p.timing)
        for pin, p in made.pins.items()}
    return Cell(name, 1.0, 0.0, (), pins, "clock_gate", clock_gate=kind)


CELLS = (
    gate("INV", "!A", ("A",), 100),
    gate("SLOPED", "!A", ("A",), 300, 100),
    gate("LOADED", "!A", ("A",), per_femtofarad(10)),
    gate("XOR", "A^B", ("A", "B"), 50),
    gate("SLOW_XOR", "A^B", ("A", "B"), 400),
    gate("AND", "A*B", ("A", "B"), 70),
    flip_flop("FLIP"),
    flip_flop("FALL_FLIP", "!CK", "falling_edge"),
    flip_flop("SET_FLIP", inputs=("S",), preset="S"),
    flip_flop("CLEAR_FLIP", inputs=("R",), clear="!R"),
    latch("HIGH", "G"),
    latch("LOW", "!G"),
    clock_gate("ICG", "latch_posedge"),
    clock_gate("ICG_LOW", "latch_negedge"),
    clock_gate("STRANGE", "none_posedge"),
    cell("TIE", "tie", (), {"ONE": ("1", []), "ZERO": ("0", [])}),
    cell("TRISTATE", "other", ("A", "OE"), {"Y": ("A", [])}),
)
LIBRARY = Library(
    "tiny", None, "", "typical", 1.8, 25.0, {made.name: made for made in CELLS},
    {"long": WireLoad("long", FF, 0.0, 7.0, ())}, None)


def netlist(inputs, outputs, *instances):
    """Instances are (path, cell, pin=net...); nets are named by where they are first mentioned."""
    nets = list(dict.fromkeys([*inputs, *outputs, *(
        net for _, _, pins in instances for net in pins.values())]))
    number = {net: place for place, net in enumerate(nets)}
    ports = {name: ("input", [number[name]]) for name in inputs}
    ports |= {name: ("output", [number[name]]) for name in outputs}
    return FlatNetlist("chip", [
        Instance(path, kind, {pin: number[net] for pin, net in pins.items()})
        for path, kind, pins in instances], nets, ports)


def bits(values):
    return np.array(values, dtype=bool).reshape(len(values), -1)


def trace(stimulus, expected=None, first=1):
    """Values are lists, one a cycle; the window is from cycle `first` to the last."""
    stimulus = {name: bits(values) for name, values in stimulus.items()}
    expected = {name: bits(values) for name, values in (expected or {}).items()}
    cycles = len(next(iter((stimulus | expected).values())))
    return Trace(stimulus, expected, (first, cycles - 1), {"workload": "by hand"})


def run(flat, recorded, delays="liberty", **options):
    activity = simulate(
        flat, LIBRARY, recorded, delays, period_s=PERIOD, progress=False, **options)
    assert activity.toggles.shape == activity.high.shape == (len(flat.nets),)
    return activity


def of(flat, array):
    return {net: float(array[number]) for number, net in enumerate(flat.nets)}


def toggling(cycles):
    return [cycle % 2 for cycle in range(cycles)]


BOTH = pytest.mark.parametrize("delays", ("zero", "liberty"))


# Gates --------------------------------------------------------------------------------------------

def chain(last):
    """y = a XOR NOT NOT NOT a, which is 1 but for the 300 ps that a takes through the inverters."""
    return netlist(["clk", "a"], ["y"],
                   ("first", "INV", {"A": "a", "Y": "b"}),
                   ("second", "INV", {"A": "b", "Y": "c"}),
                   ("third", "INV", {"A": "c", "Y": "d"}),
                   ("last", last, {"A": "a", "B": "d", "Y": "y"}))


@pytest.mark.parametrize(("delays", "last", "expected"), [
    ("zero", "XOR", 0), ("zero", "SLOW_XOR", 0),
    ("liberty", "XOR", 20),  # down and up again for each of ten changes of a
    ("liberty", "SLOW_XOR", 0),  # 300 ps do not pass a gate of 400 ps
])
def test_glitches_are_counted_where_gates_have_delays(delays, last, expected):
    flat = chain(last)
    activity = run(flat, trace({"a": toggling(11)}, {"y": [1] * 11}), delays)
    assert of(flat, activity.toggles) == {
        "clk": 20, "a": 10, "b": 10, "c": 10, "d": 10, "y": expected}
    assert of(flat, activity.high)["y"] == pytest.approx(0.97 if expected else 1, abs=1e-12)
    assert activity.cycles == 10 and activity.source["delays"] == delays


def test_time_at_one_follows_the_delays_of_each_edge():
    """a falls and rises 1 ns after the edge; y rises 300 ps after a falls, falls 100 ps after."""
    flat = netlist(["clk", "a"], ["y"], ("u", "SLOPED", {"A": "a", "Y": "y"}))
    activity = run(flat, trace({"a": toggling(11)}))
    # a is 1 from 1 ns in every second cycle for 10 ns: five times, the window's end cuts nothing
    assert of(flat, activity.high)["a"] == pytest.approx(5 * 10 / 100)
    # y is up while a is down, less 200 ps each time but the first, when it was up already
    assert of(flat, activity.high)["y"] == pytest.approx((1.1 + 4 * 9.8 + 8.7) / 100)


def test_loads_and_wires_make_delays():
    """10 ps/fF; one pin of 1 fF and a port of 4 fF; the wire adds 7 fF for each of two loads."""
    flat = netlist(["clk", "a"], ["y", "z"], ("u", "LOADED", {"A": "a", "Y": "y"}),
                   ("v", "XOR", {"A": "a", "B": "y", "Y": "z"}))
    recorded = trace({"a": toggling(11)}, {"z": [1] * 11})
    for wire_load, delay in ((None, 50 * PS), ("long", 190 * PS)):
        activity = run(flat, recorded, wire_load=wire_load, port_load_f=4 * FF)
        if delay > 50 * PS:
            assert of(flat, activity.toggles)["z"] == 20
            assert 1 - of(flat, activity.high)["z"] == pytest.approx(delay / PERIOD)
        else:  # as long as the gate's own delay
            assert of(flat, activity.toggles)["z"] in (0, 20)


@BOTH
def test_ties_and_constant_nets(delays):
    flat = netlist(["clk", "a"], ["x", "y", "z"],
                   ("tie", "TIE", {"ONE": "one", "ZERO": "zero"}),
                   ("u", "AND", {"A": "a", "B": "one", "Y": "x"}),
                   ("v", "AND", {"A": "a", "B": "zero", "Y": "y"}),
                   ("w", "AND", {"A": "a", "B": "1", "Y": "z"}))
    a = toggling(5)
    activity = run(flat, trace({"a": a}, {"x": a, "y": [0] * 5, "z": a}), delays)
    assert of(flat, activity.toggles) == {
        "clk": 8, "a": 4, "x": 4, "y": 0, "z": 4, "one": 0, "zero": 0, "1": 0}
    assert of(flat, activity.high)["one"] == of(flat, activity.high)["1"] == 1


# Flip-flops, latches, clock gates -----------------------------------------------------------------

@BOTH
def test_dividers(delays):
    """A flip-flop on its own inverse divides by two, one clocked by that by four."""
    flat = netlist(["clk"], ["half", "quarter"],
                   ("u", "FLIP", {"CK": "clk", "D": "n", "Q": "half", "QN": "n"}),
                   ("v", "FLIP", {"CK": "half", "D": "m", "Q": "quarter", "QN": "m"}))
    half = [0, 1, 0, 1, 0, 1, 0, 1, 0]
    quarter = [0, 1, 1, 0, 0, 1, 1, 0, 0]
    activity = run(flat, trace({}, {"half": half, "quarter": quarter}), delays)
    assert of(flat, activity.toggles) == {"clk": 16, "half": 8, "n": 8, "quarter": 4, "m": 4}
    high = of(flat, activity.high)
    assert high["clk"] == 0.5
    assert high["half"] == high["quarter"] == pytest.approx(0.5)


@BOTH
def test_set_and_clear_work_without_a_clock(delays):
    """Both are forced by the reset before cycle 0; each then takes the value of the other."""
    flat = netlist(["clk", "rst"], ["p", "q"],
                   ("u", "SET_FLIP", {"CK": "clk", "D": "q", "S": "rst", "Q": "p"}),
                   ("n", "INV", {"A": "rst", "Y": "rst_n"}),
                   ("v", "CLEAR_FLIP", {"CK": "clk", "D": "p", "R": "rst_n", "Q": "q"}))
    p, q = [1, 0, 1, 0, 1, 1], [0, 1, 0, 1, 0, 0]
    reset = [0, 0, 0, 0, 0, 1]
    run(flat, trace({"rst": reset}, {"p": p, "q": q}), delays)


@pytest.mark.parametrize(("delays", "input_delay", "high", "low", "fall"), [
    # a changes while the clock is high
    ("liberty", 0.1, [0, 1, 0, 0, 1, 1], [0, 1, 0, 0, 1, 1], [0, 1, 0, 0, 1, 1]),
    ("zero", 0.1, [0, 1, 0, 0, 1, 1], [0, 1, 0, 0, 1, 1], [0, 1, 0, 0, 1, 1]),
    # a changes while it is low: the high latch is closed, the falling edge is over
    ("liberty", 0.7, [0, 0, 1, 0, 0, 1], [0, 1, 0, 0, 1, 1], [0, 0, 1, 0, 0, 1]),
])
def test_latches_and_falling_edges(delays, input_delay, high, low, fall):
    a = [0, 1, 0, 0, 1, 1]
    flat = netlist(["clk", "a"], ["high", "low", "fall"],
                   ("u", "HIGH", {"G": "clk", "D": "a", "Q": "high"}),
                   ("v", "LOW", {"G": "clk", "D": "a", "Q": "low"}),
                   ("w", "FALL_FLIP", {"CK": "clk", "D": "a", "Q": "fall"}))
    recorded = trace({"a": a}, {"high": high, "low": low, "fall": fall})
    run(flat, recorded, delays, input_delay=input_delay)


@BOTH
def test_two_latches_make_a_flip_flop(delays):
    """A loop through latches of both kinds: divides by two without a glitch."""
    flat = netlist(["clk"], ["q"],
                   ("master", "LOW", {"G": "clk", "D": "n", "Q": "m"}),
                   ("slave", "HIGH", {"G": "clk", "D": "m", "Q": "q"}),
                   ("back", "INV", {"A": "q", "Y": "n"}))
    activity = run(flat, trace({}, {"q": [0, 1, 0, 1, 0, 1, 0]}), delays)
    assert of(flat, activity.toggles) == {"clk": 12, "q": 6, "n": 6, "m": 6}


def library_gate(gated):
    return [("gate", "ICG", {"CK": "clk", "EN": "enable", "GCK": gated})]


def fall_back_gate(gated):
    return [("latch", "LOW", {"G": "clk", "D": "enable", "Q": "kept"}),
            ("gate", "AND", {"A": "clk", "B": "kept", "Y": gated})]


@BOTH
@pytest.mark.parametrize("made", (library_gate, fall_back_gate))
def test_gated_clocks_tick_only_when_enabled_and_without_skew(made, delays):
    """A flip-flop on the gated clock takes what one on the free clock held before the edge."""
    a = [1, 1, 0, 1, 0, 0, 1, 0]
    enable = [1, 0, 0, 1, 1, 0, 1, 0]
    free = [0, *a[:-1]]  # a, one cycle later
    gated = [0]
    for cycle in range(1, len(a)):
        gated.append(free[cycle - 1] if enable[cycle - 1] else gated[-1])
    flat = netlist(["clk", "a", "enable"], ["free", "held"],
                   ("u", "FLIP", {"CK": "clk", "D": "a", "Q": "free"}),
                   *made("gated"),
                   ("v", "FLIP", {"CK": "gated", "D": "free", "Q": "held"}))
    recorded = trace({"a": a, "enable": enable}, {"free": free, "held": gated})
    activity = run(flat, recorded, delays)
    assert of(flat, activity.toggles)["gated"] == 2 * sum(enable[:-1])
    assert of(flat, activity.high)["gated"] == sum(enable[:-1]) / 2 / 7


@BOTH
def test_a_clock_gate_that_rests_high(delays):
    enable = [1, 0, 0, 1, 1, 0]
    flat = netlist(["clk", "enable"], [], ("u", "ICG_LOW",
                   {"CK": "clk", "EN": "enable", "GCK": "gated"}))
    activity = run(flat, trace({"enable": enable}), delays)
    assert of(flat, activity.toggles)["gated"] == 2 * sum(enable[1:])  # low in the second half


# Traces -------------------------------------------------------------------------------------------

def test_macro_pins_are_stimulus_and_answers_late_in_the_cycle():
    """q changes at `macro_access`: y, which is XOR of q and an input at a tenth, has a glitch."""
    flat = FlatNetlist(
        "chip",
        [Instance("macro_0", "heliobit_macro", {"clk": 0, "q[0]": 2, "q[1]": 3, "sense": 4}),
         Instance("core/u", "XOR", {"A": 1, "B": 2, "Y": 4})],
        ["clk", "a", "q0", "q1", "core/y"], {"clk": ("input", [0]), "a": ("input", [1])})
    a = toggling(9)
    q = np.stack([a, np.zeros(9)], axis=1)
    recorded = trace({"a": a, "macro_0/q": q}, {"macro_0/sense": [0] * 9})
    activity = run(flat, recorded, macro_access=0.4)
    assert of(flat, activity.toggles) == {"clk": 16, "a": 8, "q0": 8, "q1": 0, "core/y": 16}
    assert of(flat, activity.high)["core/y"] == pytest.approx(0.3)


def test_only_the_window_counts():
    flat = chain("XOR")
    recorded = trace({"a": [0, 1, 0, 1, 1, 1, 0, 1]}, first=4)
    activity = run(flat, recorded)
    assert activity.cycles == 4
    assert of(flat, activity.toggles)["a"] == 2


@BOTH
def test_a_wrong_answer_is_found_in_its_cycle(delays):
    flat = chain("XOR")
    recorded = trace({"a": toggling(9)}, {"y": [1, 1, 1, 1, 1, 1, 0, 1, 1]})
    with pytest.raises(SimulationError, match="end of cycle 6 the netlist's y is 1, the RTL's 0"):
        run(flat, recorded, delays)


def test_a_mutated_cell_is_found():
    flat = chain("XOR")
    recorded = trace({"a": toggling(9)}, {"y": [1] * 9})
    broken = FlatNetlist("chip", [*flat.instances[:-1], Instance(
        "last", "AND", flat.instances[-1].pins)], flat.nets, flat.ports)
    run(flat, recorded)
    with pytest.raises(SimulationError, match="cycle 0 the netlist's y is 0, the RTL's 1"):
        run(broken, recorded)


def test_a_period_that_is_too_short_is_found():
    """400 ps do not fit between the input at a tenth and the end of a 400 ps cycle."""
    flat = chain("INV")
    flat = netlist(["clk", "a"], ["y"], ("u", "SLOW_XOR", {"A": "a", "B": "0", "Y": "y"}))
    recorded = trace({"a": toggling(9)}, {"y": toggling(9)})
    simulate(flat, LIBRARY, recorded, period_s=500 * PS, progress=False)
    with pytest.raises(SimulationError, match="or a period of 0.4 ns is too short for it"):
        simulate(flat, LIBRARY, recorded, period_s=400 * PS, progress=False)


# What cannot be simulated -------------------------------------------------------------------------

@pytest.mark.parametrize(("flat", "message"), [
    (netlist(["a"], [], ("u", "TRISTATE", {"A": "a", "OE": "a", "Y": "y"})),
     "no model of the library's cell TRISTATE"),
    (netlist(["a"], [], ("u", "STRANGE", {"CK": "a", "EN": "a", "GCK": "y"})),
     "clock gates with a latch, not STRANGE"),
    (netlist(["a"], [], ("core/u", "AND", {"A": "a", "Y": "y"})),
     r"Pin B of core/u \(AND\) is not connected"),
    (netlist(["a"], [], ("u", "INV", {"A": "a", "Y": "y"}), ("v", "INV", {"A": "a", "Y": "y"})),
     "Net y is driven by more than one cell"),
    (netlist(["a"], [], ("u", "XOR", {"A": "a", "B": "y", "Y": "y"})),
     "a loop of gates without a flip-flop or latch"),
    (netlist(["b"], []), "no port a, which the trace has"),
])
def test_netlists_that_cannot_be_simulated(flat, message):
    with pytest.raises(SimulationError, match=message):
        run(flat, trace({"a": [0, 1]}))


def test_a_netlist_that_oscillates():
    flat = netlist(["a"], [], ("u", "HIGH", {"G": "1", "D": "n", "Q": "q"}),
                   ("v", "INV", {"A": "q", "Y": "n"}))
    with pytest.raises(SimulationError, match="never gets still under reset"):
        run(flat, trace({"a": [0, 1]}))


@pytest.mark.parametrize(("options", "message"), [
    ({"delays": "none"}, "'liberty' or 'zero', not 'none'"),
    ({"wire_load": "short"}, "no wire load 'short'; it has long"),
    ({"input_delay": 1.0}, "a fraction of it between 0 and 1"),
])
def test_options_that_make_no_sense(options, message):
    with pytest.raises(SimulationError, match=message):
        run(chain("XOR"), trace({"a": [0, 1]}), **options)


@pytest.mark.parametrize(("signal", "message"), [
    ("macro_7/q", "no macro macro_7"), ("macro_0/p", "macro macro_0 has no pin p"),
    ("macro_0/q", "macro_0/q has 2 bits, the trace's 1: is the trace of a chip of this geometry"),
])
def test_traces_of_another_chip(signal, message):
    flat = FlatNetlist("chip", [Instance("macro_0", "heliobit_macro", {"q[0]": 0, "q[1]": 1})],
                       ["q0", "q1"], {})
    with pytest.raises(SimulationError, match=message):
        run(flat, trace({signal: [0, 1]}))


@pytest.mark.parametrize(("arguments", "message"), [
    ((0, 1e-9, [1.0], [0.5]), "at least one cycle of a positive period, not 0 cycles"),
    ((1, 0.0, [1.0], [0.5]), "not 1 cycles of 0.0 s"),
    ((1, 1e-9, [1.0, 2.0], [0.5]), r"shape \(nets,\), not \(2,\) and \(1,\)"),
    ((1, 1e-9, [-1.0], [0.5]), "never a negative number"),
    ((1, 1e-9, [1.0], [1.5]), "a fraction of the time from 0 to 1"),
])
def test_activities_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        Activity(*arguments)


def test_density_is_transitions_per_second():
    activity = Activity(4, 10e-9, [8.0, 2.0], [0.5, 0.0])
    assert activity.density == pytest.approx([2e8, 5e7])
    assert activity.time_s == pytest.approx(40e-9)


# Waveform -----------------------------------------------------------------------------------------

@BOTH
def test_the_waveform_holds_every_change_of_nets_and_pins(delays, tmp_path):
    flat = netlist(["clk", "a"], ["y"],
                   ("core/u", "INV", {"A": "a", "Y": "core/b[3]"}),
                   ("core/v", "XOR", {"A": "a", "B": "core/b[3]", "Y": "y"}))
    recorded = trace({"a": toggling(9)}, {"y": [1] * 9})
    file = tmp_path / "new" / "run.vcd"
    activity = run(flat, recorded, delays, vcd=file)
    codes, scope, changes, time = {}, [], {}, 0
    with file.open("rb") as opened:
        for token in tokenize(opened):
            if token.kind is TokenKind.SCOPE:
                scope.append(token.scope.ident)
            elif token.kind is TokenKind.UPSCOPE:
                scope.pop()
            elif token.kind is TokenKind.VAR:
                name = token.var.reference
                if token.var.bit_index is not None:
                    name += f"[{token.var.bit_index}]"
                codes["/".join([*scope, name])] = token.var.id_code
            elif token.kind is TokenKind.CHANGE_TIME:
                time = token.time_change
            elif token.kind is TokenKind.CHANGE_SCALAR and time:
                code = token.scalar_change.id_code
                changes[code] = changes.get(code, 0) + 1
    # the first edge of the clock is at time 0, as is the change of zero delays that it brings
    counted = {net: changes.get(codes[f"heliobit_chip/{net}"], 0) for net in flat.nets}
    assert counted["clk"] == 15
    expected = of(flat, activity.toggles)
    if delays == "liberty":
        assert counted == expected | {"clk": 15}
        assert expected["y"] == 16
    assert codes["heliobit_chip/core/u/Y"] == codes["heliobit_chip/core/b[3]"]
    assert codes["heliobit_chip/core/v/A"] == codes["heliobit_chip/a"]
    assert time == 8 * 10_000
    assert list(file.parent.iterdir()) == [file]
