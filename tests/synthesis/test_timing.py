"""Timing reports: exact on a circuit of known delays, consistent on a real chip."""

import gzip
import json

import pytest

from behavioral_models.geometry import TINY
from hdl.parameters import ChipParameters
from synthesis.library import find_liberty, load_library
from synthesis.macro_views import macro_numbers
from synthesis.netlist import BLOCKS, Netlist, SynthesisOptions, load_netlist, synthesize
from synthesis.opensta import OpenStaError
from synthesis.timing import CONDITIONS, constraints, timing, timing_or_reason
from tests.needs import need


def table(name, value):
    return f'{name} (scalar) {{ values ("{value}"); }}'


def arc(kind, **values):
    tables = " ".join(table(name, value) for name, value in values.items())
    return f'timing () {{ related_pin : {kind} {tables} }}'


def tiny_library(name, slow=1.0):
    """Inverter of 1 ns; flip-flop of 2 ns with setup 0.5 ns and hold 0.25 ns; all times `slow`."""
    edges = {"cell_rise": slow, "cell_fall": slow, "rise_transition": 0, "fall_transition": 0}
    output = dict(edges, cell_rise=2 * slow, cell_fall=2 * slow)
    inverter = arc('"A"; timing_sense : negative_unate;', **edges)
    launch = arc('"C"; timing_type : rising_edge;', **output)
    setup = arc('"C"; timing_type : setup_rising;', rise_constraint=0.5 * slow,
                fall_constraint=0.5 * slow)
    hold = arc('"C"; timing_type : hold_rising;', rise_constraint=0.25 * slow,
               fall_constraint=0.25 * slow)
    thresholds = " ".join(
        f"{what}_threshold_pct_{edge} : {value};" for edge in ("rise", "fall") for what, value in (
            ("input", 50), ("output", 50), ("slew_lower", 20), ("slew_upper", 80)))
    return f"""
library ({name}) {{
  time_unit : "1ns"; voltage_unit : "1V"; capacitive_load_unit (1.0, pf);
  leakage_power_unit : "1nW"; current_unit : "1mA"; pulling_resistance_unit : "1kohm";
  delay_model : table_lookup; {thresholds}
  cell (inverter) {{ area : 1;
    pin (A) {{ direction : input; capacitance : 0; }}
    pin (Y) {{ direction : output; function : "!A"; {inverter} }} }}
  cell (register) {{ area : 2; ff (IQ, IQN) {{ clocked_on : "C"; next_state : "D"; }}
    pin (C) {{ direction : input; clock : true; capacitance : 0; }}
    pin (D) {{ direction : input; capacitance : 0; {setup} {hold} }}
    pin (Q) {{ direction : output; function : "IQ"; {launch} }} }}
}}
"""


CONTROLLER = """
module heliobit_controller(clk, start, done);
  input clk; input start; output done; wire start; wire done; wire clk;
  wire a; wire b; wire c; wire d; wire e;
  register first (.C(clk), .D(e), .Q(a));
  inverter one (.A(a), .Y(b));
  inverter two (.A(b), .Y(c));
  inverter three (.A(c), .Y(d));
  register second (.C(clk), .D(d), .Q(done));
  inverter input_ (.A(start), .Y(e));
endmodule
"""


def hand_made(folder, input_inverters=0, ports=()):
    """A core of two flip-flops with three inverters between them, in module `controller`.

    `run` goes through 1 + `input_inverters` inverters to the first, the second drives `running`.
    `ports` are more outputs, that no constraint knows.
    """
    lines = [f"  inverter i{k} (.A(w{k}), .Y(w{k + 1}));" for k in range(input_inverters)]
    wires = "".join(f"  wire w{k};\n" for k in range(input_inverters + 1))
    outputs = "".join(f"  output {name}; wire {name};\n" for name in ports)
    drivers = "".join(f"  inverter drive_{name} (.A(w0), .Y({name}));\n" for name in ports)
    body = "\n".join(lines)
    (folder / "core_sta.v").write_text(f"""{CONTROLLER}
module heliobit_core({", ".join(["clk", "rst", "run", "running", *ports])});
  input clk; input rst; input run; output running;
  wire clk; wire rst; wire run; wire running;
{wires}{outputs}{drivers}{body}
  inverter enter (.A(run), .Y(w0));
  heliobit_controller controller (.clk(clk), .start(w{input_inverters}), .done(running));
endmodule
""")
    (folder / "rtl").mkdir(exist_ok=True)
    (folder / "rtl" / "core.sdc").write_text(
        "create_clock -name clk -period 15.152 [get_ports clk]\n"
        "set_false_path -from [get_ports rst]\n"
        "set_input_delay 3.788 -clock clk [get_ports {run gone}]\n"
        "set_output_delay 3.788 -clock clk [get_ports {running}]\n")
    names = {"clk": 1, "rst": 1, "run": 1, "running": 1, **dict.fromkeys(ports, 1)}
    (folder / "core.json").write_text(json.dumps({"modules": {"heliobit_core": {
        "ports": {name: {"bits": list(range(width))} for name, width in names.items()}}}}))
    return Netlist(folder, ChipParameters(TINY), SynthesisOptions(top="core"), "tiny", "", {}, {})


def write(path, text):
    path.write_text(text)
    return path


def test_exact_on_known_delays(tmp_path):
    need("opensta")
    library = write(tmp_path / "a.lib", tiny_library("typical"))
    (corner,) = timing(hand_made(tmp_path), [library], 10e-9).corners
    assert corner.corner == "typical"
    # 2 + 3 x 1 from flip-flop to flip-flop, 0.5 before the edge; 2 + 10/4 to the output pin
    assert corner.setup_slack_s == pytest.approx(4.5e-9, abs=1e-15)
    worst = corner.setup["worst"]
    assert (worst.startpoint, worst.endpoint) == (
        "controller/first/Q", "controller/second/D")
    assert (worst.start_block, worst.end_block) == ("controller", "controller")
    assert [step["pin"].rpartition("/")[0] for step in worst.steps] == [
        "controller/first", "controller/first", "controller/one", "controller/two",
        "controller/three", "controller/second"]
    assert sum(step["delay_s"] for step in worst.steps) == pytest.approx(5e-9)
    assert (worst.arrival_s, worst.required_s) == (pytest.approx(5e-9), pytest.approx(9.5e-9))
    assert corner.setup["pins"].slack_s == pytest.approx(5.5e-9)
    # hold: two inverters from the pin, which moves a quarter of a period after the edge, less 0.25
    assert corner.hold["controller"].slack_s == pytest.approx((2.5 + 2 - 0.25) * 1e-9)
    assert corner.hold["pins"].slack_s == pytest.approx((2 + 2.5) * 1e-9)
    assert corner.hold_slack_s == pytest.approx(4.25e-9)
    assert corner.minimum_period_s == pytest.approx(5.5e-9)
    assert corner.maximum_clock_hz == pytest.approx(1 / 5.5e-9)
    assert corner.slack_at_maximum_s == pytest.approx(0, abs=2e-12)
    assert (corner.limited_by, corner.endpoints, corner.unconstrained_endpoints) == ("logic", 3, 0)


@pytest.mark.parametrize("inverters", [5, 12])
def test_a_path_from_a_pin_has_three_quarters_of_a_period(inverters, tmp_path):
    need("opensta")
    library = write(tmp_path / "a.lib", tiny_library("typical"))
    (corner,) = timing(hand_made(tmp_path, inverters), [library], 10e-9).corners
    delay = inverters + 2 + 0.5
    assert corner.setup_slack_s == pytest.approx(min(7.5 - delay, 4.5) * 1e-9)
    assert corner.setup["controller"].start_block == "pins"
    assert corner.minimum_period_s == pytest.approx(delay / 0.75 * 1e-9, rel=1e-3)
    (again,) = timing(hand_made(tmp_path, inverters), [library], corner.minimum_period_s).corners
    assert again.setup_slack_s == pytest.approx(0, abs=3e-12)


def test_every_corner_and_compressed_files(tmp_path):
    need("opensta")
    slow = tmp_path / "slow.lib.gz"
    slow.write_bytes(gzip.compress(tiny_library("slow", 2.0).encode()))
    fast = write(tmp_path / "fast.lib", tiny_library('"fast"', 0.5))
    report = timing(hand_made(tmp_path), [slow, fast], 20e-9)
    assert [corner.corner for corner in report.corners] == ["slow", "fast"]
    assert [corner.minimum_period_s for corner in report.corners] == pytest.approx([11e-9, 2.75e-9])
    assert report.slowest is report.corners[0]
    read = json.loads(json.dumps(report.as_dict()))
    # the path from the pin: three quarters of the period, two inverters and setup
    assert read["corners"][1]["setup"]["worst"]["slack_s"] == pytest.approx((15 - 1.25) * 1e-9)
    assert read["conditions"] == list(CONDITIONS) and "ideal" in CONDITIONS[0]
    assert read["tool"].startswith("OpenSTA ")


def test_endpoints_that_nothing_constrains_are_counted(tmp_path):
    need("opensta")
    library = write(tmp_path / "a.lib", tiny_library("typical"))
    netlist = hand_made(tmp_path, ports=("stray", "lost"))
    (corner,) = timing(netlist, [library], 10e-9).corners
    assert corner.unconstrained_endpoints == 2


def test_without_opensta_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIOBIT_STA", "no-such-program")
    netlist = hand_made(tmp_path)
    library = write(tmp_path / "a.lib", tiny_library("typical"))
    with pytest.raises(OpenStaError, match="There is no OpenSTA named no-such-program here: inst"):
        timing(netlist, [library], 10e-9)
    report, reason = timing_or_reason(netlist, [library], 10e-9)
    assert report is None and reason.startswith("There is no OpenSTA named no-such-program here")


def test_what_cannot_be_timed_is_refused(tmp_path):
    netlist = hand_made(tmp_path)
    with pytest.raises(ValueError, match="at least one Liberty file: one a corner"):
        timing(netlist, [])
    with pytest.raises(ValueError, match="clock period must be positive, not -1.0 s"):
        timing(netlist, ["a.lib"], -1.0)
    need("opensta")
    with pytest.raises(OpenStaError, match="There is no Liberty file .*missing.lib: name one"):
        timing(netlist, [tmp_path / "missing.lib"], 10e-9)
    (tmp_path / "rtl" / "core.sdc").unlink()
    with pytest.raises(OpenStaError, match="There is no .*core.sdc: make the netlist anew"):
        constraints(netlist, 10e-9)


# A real chip --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chip(tmp_path_factory):
    """A small chip of the library's cells."""
    need("liberty")
    need("yosys")
    need("opensta")
    library = load_library(find_liberty())
    folder = tmp_path_factory.mktemp("timing") / "chip"
    synthesize(ChipParameters(TINY, 1, "borrow_gated"), library, folder)
    return load_netlist(folder), library


def test_constraints_name_every_port_bit_by_bit(chip):
    netlist, _ = chip
    text = constraints(netlist, 12.3456789e-9)
    assert "-period 12.345679" in text
    for name, bits in (("i_payload", 8), ("o_payload", 8)):
        for bit in range(bits):
            assert rf"{name}\[{bit}\]" in text
        assert f"{name} " not in text
    assert "set_input_delay 3.086420" in text and "set_output_delay 3.086420" in text
    assert "set_false_path -from [get_ports rst]" in text


def test_chip_with_macro_views(chip):
    netlist, library = chip
    report = timing(netlist, [library], 10e-9)
    (corner,) = report.corners
    numbers = macro_numbers(netlist.parameters.geometry)
    assert (report.style, report.read_timing) == ("borrow_gated", 1)
    # `configured` of the host port, behind a clock gate, takes a constant 1
    assert corner.unconstrained_endpoints <= 1
    assert set(corner.setup) - {"worst"} <= {*BLOCKS, "pins"}
    assert {"neuron registers", "macro", "controller", "host port", "pins"} <= set(corner.setup)
    # reads go from a macro, through popcount and register, in one cycle
    path = corner.setup["neuron registers"]
    assert path.start_block == "macro"
    launched = next(step for step in path.steps if "/q" in step["pin"])
    assert launched["at_s"] == pytest.approx(numbers.clock_to_q_s, rel=0.02)
    assert launched["at_s"] >= numbers.clock_to_q_s
    for kind, paths in (("setup", corner.setup), ("hold", corner.hold)):
        sign = 1 if kind == "setup" else -1
        for path in paths.values():
            assert sign * (path.required_s - path.arrival_s) == pytest.approx(
                path.slack_s, abs=2e-15), kind
            assert paths["worst"].slack_s <= path.slack_s
    assert corner.setup_slack_s == corner.setup["worst"].slack_s
    assert corner.slack_at_maximum_s == pytest.approx(0, abs=3e-12)

    (again,) = timing(netlist, [library], corner.minimum_period_s).corners
    assert again.setup_slack_s == pytest.approx(0, abs=3e-12)
    assert again.hold["macro"].slack_s == pytest.approx(corner.hold["macro"].slack_s, abs=1e-14)
    assert again.minimum_period_s == pytest.approx(corner.minimum_period_s, abs=3e-12)
