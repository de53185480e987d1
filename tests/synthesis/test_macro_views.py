"""Views of the memristor macro: read back by Yosys, OpenSTA and LEF readers, numbers from decks."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from behavioral_models.geometry import JEBALI_2024, TEST_DIE, TINY, ChipGeometry
from behavioral_models.xpcsa import Amplifier
from hdl.generate import generate
from hdl.macro import macro_model
from hdl.parameters import ChipParameters
from hdl.yosys import run_script
from synthesis import macro_views
from synthesis.macro_views import (
    lef, liberty, macro_numbers, macro_pins, macro_size_um, sense_energy_j, write_views)
from synthesis.opensta import run_sta
from tests.needs import need

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
ODD = ChipGeometry(banks=1, macros_per_bank=3, rows=7, columns=13, max_inputs=30)
TALL = ChipGeometry(banks=1, macros_per_bank=1, rows=300, columns=5, max_inputs=300)
GEOMETRIES = {
    "smallest": SMALLEST, "odd": ODD, "tall": TALL, "jebali_2024": JEBALI_2024,
    "bypass": replace(ODD, sense_bypass=True), "test_die": TEST_DIE,
}
EACH = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)


def pins_of(module):
    return {name: (port["direction"], len(port["bits"])) for name, port in module["ports"].items()}


@EACH
def test_pins_are_those_of_the_verilog_module(geometry, tmp_path):
    need("yosys")
    view = write_views(geometry, tmp_path / "views")["lib"]
    model = macro_model(geometry.sense_bypass)
    box = tmp_path / "header.v"
    box.write_text(model[: model.index(");\n") + 3] + "endmodule\n")
    run_script([
        f"read_verilog -sv -defer {box}",
        f"hierarchy -top heliobit_macro -chparam ROWS {geometry.rows} "
        f"-chparam COLUMNS {geometry.columns}",
        f"write_json {tmp_path / 'verilog.json'}",
        "design -reset",
        f"read_liberty -lib {view}",
        f"write_json {tmp_path / 'liberty.json'}",
    ])
    verilog, read = (  # one module each; Yosys adds the parameters to a name
        next(iter(json.loads((tmp_path / name).read_text())["modules"].values()))
        for name in ("verilog.json", "liberty.json"))
    assert pins_of(read) == pins_of(verilog)
    assert pins_of(read) == {pin.name: (pin.direction, pin.width) for pin in macro_pins(geometry)}


@pytest.mark.parametrize(
    ("geometry", "kind"), [(TINY, "lib"), (replace(SMALLEST, sense_bypass=True), "energy_lib")],
    ids=["tiny", "smallest with bypass"])
def test_yosys_synthesizes_the_chip_around_the_view(geometry, kind, tmp_path):
    need("yosys")
    view = write_views(geometry, tmp_path / "views")[kind]
    rtl = generate(ChipParameters(geometry), tmp_path / "rtl")
    run_script([
        f"read_liberty -lib {view}",
        "read_verilog -sv " + " ".join(sorted(str(path) for path in rtl.glob("*.v"))),
        "setparam -unset ROWS -unset COLUMNS -unset NUMBER t:heliobit_macro",
        "hierarchy -check -top heliobit_chip", "proc", "opt -fast", "check -assert",
        f"write_json {tmp_path / 'chip.json'}",
    ])
    modules = json.loads((tmp_path / "chip.json").read_text())["modules"]
    macros = [cell for cell in modules["heliobit_chip"]["cells"].values()
              if cell["type"] == "heliobit_macro"]
    assert len(macros) == geometry.macros
    for macro in macros:
        assert {name: len(bits) for name, bits in macro["connections"].items()} == {
            pin.name: pin.width for pin in macro_pins(geometry)}


def bench(geometry, folder, view, commands, extra=""):
    """Run OpenSTA on one macro whose inputs are ports `i_PIN`, and q the port z."""
    pins = [pin for pin in macro_pins(geometry) if pin.name not in ("clk", "q")]
    width = geometry.columns

    def vector(size):
        return f"[{size - 1}:0] " if size > 1 else ""

    text = f"module top(clk, z, {', '.join('i_' + pin.name for pin in pins)});\n  input clk;\n"
    text += f"  output {vector(width)}z;\n"
    text += "".join(f"  input {vector(pin.width)}i_{pin.name};\n" for pin in pins)
    text += "  heliobit_macro macro (.clk(clk), .q(z), "
    text += ", ".join(f".{pin.name}(i_{pin.name})" for pin in pins) + ");\n"
    (folder / "top.v").write_text(f"{text}{extra}endmodule\n")
    return run_sta(
        f"read_liberty {view}\n{commands.pop('before', '')}read_verilog {folder / 'top.v'}\n"
        f"link_design top\ncreate_clock -name clk -period 20 [get_ports clk]\n{commands['run']}")


def bit(name, width, number):
    return name if width == 1 else f"{name}[{number}]"


@EACH
@pytest.mark.parametrize("kind", ["lib", "energy_lib"])
def test_opensta_times_a_path_by_the_table(geometry, kind, tmp_path):
    need("opensta")
    view = write_views(geometry, tmp_path)[kind]
    last = geometry.columns - 1
    row = bit("row", (geometry.rows - 1).bit_length(), 0)
    said = bench(geometry, tmp_path, view, {"run": f"""
set_input_delay 1 -clock clk [all_inputs]
set_output_delay 0 -clock clk [all_outputs]
set_load 0.02 [all_outputs]
set_input_transition 0.3 [all_inputs]
report_checks -digits 6 -to [get_pins {{macro/{row}}}]
report_checks -digits 6 -path_delay min -to [get_pins {{macro/pulse}}]
report_checks -digits 6 -from [get_pins macro/clk] -through [get_pins {{macro/{
    bit("q", geometry.columns, last)}}}]
report_check_types -min_period -verbose
"""})
    setup, hold, output = re.split("^Startpoint", said, flags=re.M)[1:]
    # the clock is ideal: no transition; 20 fF behind 2 kilohm, half reached after ln 2 RC
    expected_ns = macro_numbers(geometry).clock_to_q_s * 1e9 + math.log(2) * 2000 * 20e-15 * 1e9
    found = re.search(r"(\d+\.\d+)\s+\d+\.\d+ [v^] macro/q", output)
    assert float(found[1]) == pytest.approx(expected_ns, abs=2e-6)
    assert float(re.search(r"(-\d+\.\d+)\s.*library setup", setup)[1]) == pytest.approx(
        -(0.15 + 0.25 * 0.3), abs=2e-6)
    assert float(re.search(r"(\d+\.\d+)\s.*library hold", hold)[1]) == pytest.approx(0.05, abs=2e-6)
    period_ns = macro_numbers(geometry).period_s * 1e9
    assert float(re.search(r"(-\d+\.\d+)\s+min_period", said)[1]) == pytest.approx(
        -period_ns, abs=0.006)


#: A flip-flop whose clock is known to take 3 pJ a cycle: what a version of OpenSTA makes of it.
PROBE = """
library (probe) {
  time_unit : "1ns"; voltage_unit : "1V"; capacitive_load_unit (1.0, pf);
  leakage_power_unit : "1nW"; current_unit : "1mA"; pulling_resistance_unit : "1kohm";
  nom_voltage : 1.8; delay_model : table_lookup; voltage_map (VDD, 1.8);
  input_threshold_pct_rise : 50.0; input_threshold_pct_fall : 50.0;
  output_threshold_pct_rise : 50.0; output_threshold_pct_fall : 50.0;
  slew_lower_threshold_pct_rise : 20.0; slew_lower_threshold_pct_fall : 20.0;
  slew_upper_threshold_pct_rise : 80.0; slew_upper_threshold_pct_fall : 80.0;
  cell (probe) {
    pg_pin (VDD) { voltage_name : VDD; pg_type : primary_power; }
    ff (IQ, IQN) { clocked_on : "C"; next_state : "D"; }
    pin (D) { direction : input; capacitance : 0.001; }
    pin (C) { direction : input; clock : true; capacitance : 0.001; related_power_pin : VDD;
      internal_power () { related_pg_pin : VDD;
                          rise_power (scalar) { values ("1.5"); }
                          fall_power (scalar) { values ("1.5"); } } }
    pin (Q) { direction : output; function : "IQ"; }
  }
}
"""


def power_w(said, instance):
    line = re.search(rf"^\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+{instance}$", said, re.M)
    return float(line[1]), float(line[3])


@pytest.mark.parametrize("geometry", [SMALLEST, replace(ODD, sense_bypass=True), JEBALI_2024],
                         ids=["smallest", "odd with bypass", "jebali_2024"])
def test_opensta_reports_energy_times_frequency(geometry, tmp_path):
    need("opensta")
    view = write_views(geometry, tmp_path)["energy_lib"]
    probe = tmp_path / "probe.lib"
    probe.write_text(PROBE)
    numbers = macro_numbers(geometry)
    frequency = 1 / 20e-9

    def internal_and_leakage(duty):
        said = bench(geometry, tmp_path, view, {"before": f"read_liberty {probe}\n", "run": f"""
set_power_activity -input -activity 0 -duty {duty}
report_power -digits 8 -instances [get_cells *]
"""}, extra="  probe probe (.C(clk), .D(i_x), .Q(unused));\n  wire unused;\n")
        # OpenSTA of 2019 counts both edges' energy at both edges of an input pin
        counted = power_w(said, "probe")[0] / (3e-12 * frequency)
        assert counted == pytest.approx(1) or counted == pytest.approx(2)
        internal, leakage = power_w(said, "macro")
        return internal / counted, leakage

    idle, leakage = internal_and_leakage(0)
    busy, _ = internal_and_leakage(1)
    assert leakage == pytest.approx(numbers.leakage_w, rel=1e-5)
    assert idle == pytest.approx(numbers.sample_j * frequency, rel=1e-4)
    assert busy - idle == pytest.approx(numbers.sense_j * frequency, rel=1e-4)
    half, _ = internal_and_leakage(0.5)
    assert half == pytest.approx((busy + idle) / 2, rel=1e-4)


def test_energy_view_adds_nothing_but_energy():
    plain, energy = liberty(ODD), liberty(ODD, energy=True)
    groups = re.sub(r"\n      internal_power \(\) \{.*?\n      \}", "", energy, flags=re.S)
    groups = re.sub(r"\n    cell_leakage_power : .*?;", "", groups)
    body = re.compile(r"^library \(.*?\) \{\n", re.M)
    assert body.split(groups)[1] == body.split(plain)[1]
    assert energy.count("internal_power") == 4  # clk with and without sense, pulse of two kinds


def test_views_are_deterministic_and_say_what_is_assumed(tmp_path):
    first, second = write_views(ODD, tmp_path / "a"), write_views(ODD, tmp_path / "b")
    assert {k: p.read_bytes() for k, p in first.items()} == {
        k: p.read_bytes() for k, p in second.items()}
    for text in (liberty(ODD), liberty(ODD, energy=True), lef(ODD)):
        heading = text[: text.index("library (") if "library (" in text else text.index("MACRO")]
        assert "ssumed" in heading and "SPICE decks" in heading
        assert str(tmp_path) not in text


# What the numbers are made of ---------------------------------------------------------------------


def test_parts_of_a_read_at_the_fitted_size():
    amplifier = Amplifier("sky130/amplifier")
    numbers = macro_numbers(JEBALI_2024)
    delay = float(amplifier.delay_s(np.array([100e3, 10e3]), 1.8))
    assert numbers.sense_s == pytest.approx(delay)
    assert numbers.word_line_s == 5.01e-9  # docs/spice.md's shifter, at 1.8 V on both sides
    assert numbers.precharge_s == pytest.approx(1.5 * 1.642e-9)
    assert numbers.clock_to_q_s == pytest.approx(5.01e-9 + delay + 0.3e-9)
    assert numbers.amplifiers_j == pytest.approx(64 * amplifier.energy_j(1.8))
    assert numbers.sense_j == pytest.approx(64 * amplifier.energy_j(1.8) + 2.998e-12)


@pytest.mark.parametrize("supply_v", [0.7, 1.2, 1.8])
def test_energy_of_a_sense_follows_the_model_over_supplies(supply_v):
    amplifier = Amplifier("sky130/amplifier")
    assert sense_energy_j(64, 64, supply_v) == pytest.approx(64 * amplifier.energy_j(supply_v))
    assert sense_energy_j(128, 10, supply_v) == pytest.approx(18.22 * amplifier.energy_j(supply_v))


def test_a_supply_outside_the_model_is_refused():
    with pytest.raises(ValueError, match="holds for supplies of 0.7 to 1.8 V, not 2 V"):
        sense_energy_j(64, 64, 2.0)


def test_longer_lines_take_longer_and_cost_more():
    sizes = [2, 3, 8, 16, 40, 64, 100, 256, 1000, 65_535]
    tall = [macro_numbers(replace(JEBALI_2024, rows=rows)) for rows in sizes]
    wide = [macro_numbers(replace(JEBALI_2024, columns=columns))
            for columns in (1, 2, 16, 40, 64, 256, 4_096)]
    for name, numbers in (("precharge_s", tall), ("sense_s", tall), ("amplifiers_j", tall),
                          ("word_line_s", wide), ("word_line_j", wide), ("reset_pulse_j", wide),
                          ("set_pulse_j", wide), ("leakage_w", wide), ("amplifiers_j", wide)):
        values = [getattr(each, name) for each in numbers]
        assert values[0] > 0 and values == sorted(set(values)), name


def test_line_load_of_a_row_is_that_of_the_decks():
    need("sky130")
    from sim.spice.decks import Loads, transistor_loads_f

    def line_f(rows):
        return Loads(rows=rows).bit_line_f + transistor_loads_f()

    assert macro_views.ROW_F == pytest.approx(line_f(65) - line_f(64), rel=0.005)
    assert Amplifier("sky130/amplifier").line_f == pytest.approx(line_f(64), rel=1e-3)
    assert (macro_views.COLUMN_NM, macro_views.ROW_NM) == (
        1000 * Loads().column_pitch_um, 1000 * Loads().row_pitch_um)


@pytest.mark.slow
def test_tables_are_what_the_decks_say():
    need("ngspice")
    need("sky130")
    from sim.spice.decks import Amplifier as Sense
    from sim.spice.decks import Loads
    from sim.spice.measure import cell, senses
    from synthesis import macro_decks

    line = macro_decks.word_line(1.8, 64)
    assert (line["rise_s"], line["fall_s"], line["energy_j"]) == pytest.approx(
        macro_views.WORD_LINE[1.8][64], rel=0.01)
    ratio = macro_decks.sense_energy_j(32) / macro_decks.sense_energy_j(64)
    assert ratio == pytest.approx(macro_views.ENERGY_BY_ROWS[32], rel=0.01)

    def right(precharge_s):
        cells = [(weight, previous) for weight in (0, 1) for previous in (0, 1)]
        found = senses(1.8, [Sense(*cell(w), previous=p) for w, p in cells],
                       loads=Loads(rows=64), precharge_s=precharge_s)
        return all(each["q"] == weight for each, (weight, _) in zip(found, cells, strict=True))

    assert right(macro_views.PRECHARGE_S[64] * macro_views.ROOM)
    assert not right(macro_views.PRECHARGE_S[64] * 0.9)


# LEF ----------------------------------------------------------------------------------------------


def read_lef(text):
    """Size, pins as [(name, direction, use, [(layer, rectangle)])] and obstructions of a macro."""
    words = [line.split("#")[0].split() for line in text.splitlines()]
    size, pins, obstructions = None, [], []
    pin = layer = None
    shapes = obstructions
    for line in filter(None, words):
        match line:
            case ["SIZE", width, "BY", height, ";"]:
                size = (float(width), float(height))
            case ["PIN", name]:
                pin, shapes = {"name": name}, []
            case ["DIRECTION" | "USE" as key, value, ";"]:
                pin[key] = value
            case ["LAYER", name, ";"]:
                layer = name
            case ["RECT", *corners, ";"]:
                shapes.append((layer, tuple(map(float, corners))))
            case ["END", name] if pin is not None and name == pin["name"]:
                pins.append((name, pin["DIRECTION"], pin["USE"], shapes))
                pin, shapes = None, obstructions
    return size, pins, obstructions


def overlap(a, b):
    return a[0] == b[0] and a[1][0] < b[1][2] and b[1][0] < a[1][2] and (
        a[1][1] < b[1][3] and b[1][1] < a[1][3])


@EACH
def test_lef(geometry):
    (width, height), pins, obstructions = read_lef(lef(geometry))
    assert (width, height) == macro_size_um(geometry)
    assert width >= 6 * geometry.columns and height >= 3 * geometry.rows
    expected = {name: pin.direction.upper() for pin in macro_pins(geometry) for name in pin.bits}
    expected |= dict.fromkeys(("VDD", "VSS", "VDDC", "VDDR"), "INOUT")
    assert sorted(name for name, *_ in pins) == sorted(expected)  # each once
    assert {name: direction for name, direction, *_ in pins} == expected
    assert {name: use for name, _, use, _ in pins if use != "SIGNAL"} == {
        "clk": "CLOCK", "VSS": "GROUND", "VDD": "POWER", "VDDC": "POWER", "VDDR": "POWER"}

    shapes = [shape for *_, each in pins for shape in each]
    for _, (x0, y0, x1, y1) in shapes + obstructions:
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        for value in (x0, y0, x1, y1):  # SKY130's manufacturing grid
            assert value / 0.005 == pytest.approx(round(value / 0.005), abs=1e-6)
    everything = sorted(shapes + obstructions, key=lambda shape: (shape[0], shape[1][0]))
    for k, a in enumerate(everything):
        for b in everything[k + 1 :]:
            if b[0] != a[0] or b[1][0] >= a[1][2]:
                break
            assert not overlap(a, b), (a, b)

    site = (0.46, 2.72)
    assert width / site[0] == pytest.approx(round(width / site[0]), abs=1e-6)
    assert height / site[1] == pytest.approx(round(height / site[1]), abs=1e-6)
    for name, _, use, [(layer, (x0, y0, x1, y1)), *_] in pins:
        if use not in ("SIGNAL", "CLOCK"):
            assert (layer, y0, y1) == ("met4", 0, height)
        elif name.startswith("q"):  # below its column, on a vertical track
            assert (layer, y0) == ("met2", 0)
            assert ((x0 + x1) / 2 - 0.23) / 0.46 == pytest.approx(
                round(((x0 + x1) / 2 - 0.23) / 0.46), abs=1e-6)
        else:  # on the left edge, on a horizontal track
            assert (layer, x0) == ("met3", 0)
            assert ((y0 + y1) / 2 - 0.34) / 0.68 == pytest.approx(
                round(((y0 + y1) / 2 - 0.34) / 0.68), abs=1e-6)


@EACH
def test_lef_in_a_reader_of_the_language(geometry, tmp_path):
    need("leflib")
    import sc_leflib as leflib

    read = leflib.parse(str(write_views(geometry, tmp_path)["lef"]))
    assert read is not None
    macro = read["macros"]["heliobit_macro"]
    width, height = macro_size_um(geometry)
    assert macro["size"] == pytest.approx({"width": width, "height": height})
    names = {name for pin in macro_pins(geometry) for name in pin.bits}
    assert set(macro["pins"]) == names | {"VDD", "VSS", "VDDC", "VDDR"}
    assert macro["obs"]
