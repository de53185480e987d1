"""The LibreLane design: whole, readable by the tools there are, and in LibreLane's own words."""

import json
import re
from dataclasses import replace

import pytest

from behavioral_models.geometry import JEBALI_2024, TEST_DIE, TINY
from hdl.parameters import ChipParameters
from hdl.yosys import run_script
from synthesis.librelane import MACROS, VARIABLES, layout_sdc, main, placement, write_librelane
from synthesis.macro_views import macro_size_um
from synthesis.opensta import run_sta
from tests.needs import need


def configured(path):
    """Variables of a configuration, without comments and what is about the flow."""
    read = json.loads(path.read_text())
    return {key: value for key, value in read.items() if not key.startswith("//") and key != "meta"}


@pytest.mark.parametrize("macro", MACROS)
def test_files_are_there_and_variables_known(macro, tmp_path):
    need("yosys")
    path = write_librelane(ChipParameters(TINY, 1, "borrow_gated"), tmp_path / "design", macro)
    config = configured(path)
    assert set(config) <= VARIABLES
    if macro == "memristor":
        ((pattern, *nets),) = (each.split() for each in config["PDN_MACRO_CONNECTIONS"])
        instances = config["MACROS"]["heliobit_macro"]["instances"]
        assert len(instances) == 4 and all(re.fullmatch(pattern, name) for name in instances)
        assert nets == ["VPWR", "VGND", "VDD", "VSS"]
    named = re.findall(r'"dir::([^"]+)"', path.read_text())
    missing = {name for name in named if not (path.parent / name).exists()}
    assert missing == (set() if macro == "latch" else {"macro/heliobit_macro.gds"})
    assert "Not run here" in path.read_text()
    assert config["CLOCK_PERIOD"] == pytest.approx(1e9 / 66e6, abs=1e-3)

    # the sources are all there is: SKY130's clock gate, and the macro where it is one
    outside = [path.parent / "macro" / "heliobit_macro.v"] if macro == "memristor" else []
    gate = path.parent / "gate.v"
    gate.write_text("(* blackbox *) module sky130_fd_sc_hd__dlclkp_2 "
                    "(input CLK, input GATE, output GCLK); endmodule\n")
    run_script([
        "read_verilog -sv -lib " + " ".join(map(str, [gate, *outside])),
        "read_verilog -sv " + " ".join(str(path.parent / name[5:])
                                       for name in config["VERILOG_FILES"]),
        f"hierarchy -check -top {config['DESIGN_NAME']}", "proc", "check -assert"])


@pytest.mark.parametrize("macro", MACROS)
def test_variables_are_librelanes_own(macro, tmp_path):
    flows = pytest.importorskip(
        "librelane.flows", reason="there is no LibreLane here: pip install librelane")
    config = pytest.importorskip("librelane.config")
    common = pytest.importorskip("librelane.config.flow").flow_common_variables
    classic = flows.Flow.factory.get("Classic")
    known = {v.name for v in common} | {v.name for s in classic.Steps for v in s.config_vars}
    assert VARIABLES <= known
    need("yosys")
    path = write_librelane(ChipParameters(TINY), tmp_path / "design", macro)
    read = json.loads(path.read_text())
    config.Meta.from_dict(read["meta"])
    for each in read.get("MACROS", {}).values():
        config.Macro(**each)


@pytest.mark.parametrize("geometry", [TINY, JEBALI_2024, replace(TEST_DIE, banks=5)],
                         ids=["tiny", "jebali_2024", "five"])
def test_macros_stand_apart_on_the_die(geometry):
    width, height = macro_size_um(geometry)
    die, instances = placement(ChipParameters(geometry), 130_000.0)
    assert sorted(instances) == sorted(f"macro_{n}" for n in range(geometry.macros))
    places = [tuple(each["location"]) for each in instances.values()]
    _, _, die_x, die_y = die
    assert die_x * die_y > 130_000 / 0.4 + geometry.macros * width * height
    for x, y in places:
        assert 0 < x and x + width < die_x and 0 < y and y + height < die_y
        assert x / 0.46 == pytest.approx(round(x / 0.46), abs=1e-6)
        assert y / 2.72 == pytest.approx(round(y / 2.72), abs=1e-6)
    for k, (x, y) in enumerate(places):
        for other_x, other_y in places[k + 1 :]:
            assert abs(x - other_x) >= width + 20 or abs(y - other_y) >= height + 20


def test_constraints_reach_every_port(tmp_path):
    need("opensta")
    (tmp_path / "empty.lib").write_text(
        'library (empty) { delay_model : table_lookup; time_unit : "1ns";\n'
        ' capacitive_load_unit (1.0, pf); '
        + " ".join(f"{what}_threshold_pct_{edge} : {value};" for edge in ("rise", "fall")
                   for what, value in (("input", 50), ("output", 50), ("slew_lower", 20),
                                       ("slew_upper", 80)))
        + ' cell (wire_) { pin (A) { direction : input; capacitance : 0; } '
        'pin (Y) { direction : output; function : "A"; timing () { related_pin : "A"; '
        'timing_sense : positive_unate; '
        'cell_rise (scalar) { values ("1"); } cell_fall (scalar) { values ("1"); } '
        'rise_transition (scalar) { values ("0"); } fall_transition (scalar) { values ("0"); }'
        ' } } } }')
    (tmp_path / "top.v").write_text(
        "module heliobit_chip(clk, rst, i_payload, o_payload);\n input clk; input rst;\n"
        " input [1:0] i_payload; output [1:0] o_payload;\n"
        " wire_ a (.A(i_payload[0]), .Y(o_payload[0]));\n"
        " wire_ b (.A(i_payload[1]), .Y(o_payload[1]));\nendmodule\n")
    for propagated in (False, True):
        (tmp_path / "chip.sdc").write_text(
            layout_sdc(ChipParameters(TINY, clock_hz=50e6), propagated))
        said = run_sta(
            f"read_liberty {tmp_path / 'empty.lib'}\nread_verilog {tmp_path / 'top.v'}\n"
            f"link_design heliobit_chip\nsource {tmp_path / 'chip.sdc'}\n"
            "report_checks -path_delay max -group_count 9 -format summary -digits 3\n"
            "check_setup -verbose\n")
        # half the period is outside, 0.25 uncertain, 1 in the cell
        assert re.findall(r"o_payload\[\d\].*\s(\S+)$", said, re.M)[:2] == ["8.750", "8.750"]
        missing = re.search(r"missing set_input_delay.\n((?:  .*\n)*)", said)
        assert missing is None or missing[1].split() == ["rst"]


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be one of latch, memristor, not 'flash'"):
        write_librelane(ChipParameters(TINY), tmp_path / "x", "flash")
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something else, and would be replaced"):
        write_librelane(ChipParameters(TINY), tmp_path)


def test_command_writes_the_same_again(tmp_path, capsys):
    need("yosys")

    def contents():
        return {str(p.relative_to(tmp_path)): p.read_bytes()
                for p in sorted(tmp_path.rglob("*")) if p.is_file()}

    for _ in range(2):
        main([str(tmp_path / "design"), "--geometry", "tiny", "--macro", "latch"])
        written = contents()
        assert "not run here" in capsys.readouterr().out
    assert contents() == written
    assert {"design/config.json", "design/src/heliobit_macro.v"} <= set(written)
