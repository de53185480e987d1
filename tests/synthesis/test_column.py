"""Decks of standard cells, and a neuron column in ngspice against the Liberty's tables."""

from dataclasses import replace

import numpy as np
import pytest

from behavioral_models.geometry import JEBALI_2024
from hdl.parameters import ChipParameters
from sim.spice.ngspice import Store
from synthesis import column
from synthesis.column import (
    ColumnError, Waves, carve, cell_wires, netlist_deck, read_cell, run_deck)
from synthesis.library import find_liberty, load_library
from synthesis.netlist import FlatNetlist, Instance, flatten, synthesize
from synthesis.traces import record
from tests.close import close
from tests.needs import need

P = "sky130_fd_sc_hd__"


@pytest.fixture
def pdk():
    need("sky130")


@pytest.fixture
def simulator():
    need("ngspice")
    need("sky130")


@pytest.fixture
def library():
    need("liberty")
    return load_library(find_liberty())


# cells


def test_an_inverter_is_two_transistors(pdk):
    cell = read_cell(P + "inv_1")
    assert cell.pins == ("A", "VGND", "VNB", "VPB", "VPWR", "Y")
    assert {(d.device, d.gate, d.width_um, d.length_um) for d in cell.devices} == {
        ("nfet_01v8", "A", 0.65, 0.15), ("pfet_01v8_hvt", "A", 1.0, 0.15)}


def test_a_latch_has_narrow_transistors(pdk):
    devices = read_cell(P + "dlxtp_1").devices
    assert {d.width_um for d in devices if d.device == "special_nfet_01v8"} == {0.36}


def test_a_cell_that_is_not_there_is_named(pdk):
    with pytest.raises(ColumnError, match=r"no transistor netlist of the cell sky130_\w+no_1"):
        read_cell(P + "no_1")
    with pytest.raises(ColumnError, match="no transistor netlist of the cell INVX1"):
        read_cell("INVX1")


def test_sources_and_drains_are_those_of_skywaters_extraction(pdk):
    """Areas in um2, perimeters in um, of google/skywater-pdk-libs-sky130_fd_sc_hd's nand2_1."""
    text = column.subcircuit(P + "nand2_1", wires=False)
    rows = [dict(word.split("=") for word in line.split() if "=" in word)
            for line in text.splitlines() if line.startswith("m")]
    total = {key: sum(float(row[key][:-1]) for row in rows) for key in ("ad", "as", "pd", "ps")}
    # two nMOS: 0.169 + 0.1755 + 0.169; two pMOS: 0.27 + 0.26 + 0.26, save that VPWR is shared here
    assert total["ad"] + total["as"] == close(0.169 * 2 + 0.1755 + 0.27 * 2, rel=0.02)


@pytest.mark.parametrize("name, net, femtofarad", [
    ("inv_1", "A", 0.262), ("nand2_1", "A", 0.316), ("nand2_1", "B", 0.316), ("xor2_1", "A", 0.54),
    ("xor2_1", "a_35_297#", 0.83)])
def test_wires_are_those_of_skywaters_extraction(pdk, name, net, femtofarad):
    """Sums over the .pxi.spice files (Calibre xRC) of google/skywater-pdk-libs-sky130_fd_sc_hd."""
    found = sum(c for pair, c in cell_wires(P + name).items() if net in pair)
    assert found == close(femtofarad * 1e-15, rel=0.15)


def test_every_net_of_a_flip_flop_is_found_in_its_layout(pdk, tmp_path):
    cell = read_cell(P + "dfxtp_1")
    nets = {net for d in cell.devices for net in (d.drain, d.gate, d.source)}
    found = {net for pair in cell_wires(P + "dfxtp_1", tmp_path) for net in pair}
    assert nets | {"0"} == found
    assert len(list(tmp_path.iterdir())) == 1


# decks


def chain(length):
    """Inverters behind each other, from `a` on."""
    instances = [Instance(f"core/i{k}", P + "inv_1", {"A": k, "Y": k + 1}) for k in range(length)]
    nets = ["a", *(f"core/y{k}" for k in range(length))]
    return FlatNetlist("chip", instances, nets, {"a": ("input", [0]), "y": ("output", [length])})


def waves(bits):
    return Waves({"a": np.array(bits, dtype=bool)[:, None]}, period_s=4e-9)


def test_a_chain_of_inverters_does_as_it_is_told(simulator, tmp_path):
    bits = [0, 1, 1, 0, 1, 0]
    flat, drive = chain(3), waves(bits)
    run = run_deck(netlist_deck(flat, drive), drive, Store(tmp_path))
    for net in range(4):
        assert run.values[:, net].tolist() == [bool(bit) ^ bool(net % 2) for bit in bits]
        assert run.toggles[:, net].tolist() == [0, 1, 0, 1, 1, 1]
    # a cycle without a toggle takes next to nothing from the supply
    quiet = run.total_j[[0, 2]]
    assert (np.abs(quiet) < 0.01 * run.total_j[1]).all() and (run.total_j[[1, 3, 4, 5]] > 0).all()


def test_energy_is_what_a_load_is_charged_with(simulator, tmp_path):
    """Forty inverters load one: C V^2 a rise, C their gates' oxide and what sticks out of it."""
    loads = [Instance(f"core/l{k}", P + "inv_1", {"A": 1, "Y": 2 + k}) for k in range(40)]
    one = Instance("host_port/i", P + "inv_1", {"A": 0, "Y": 1})
    nets = ["a", "y", *(f"core/z{k}" for k in range(40))]
    flat = FlatNetlist("chip", [one, *loads], nets, {"a": ("input", [0])})
    drive = waves([1, 0, 1, 0, 1])
    run = run_deck(netlist_deck(flat, drive, wires=False), drive, Store(tmp_path))
    assert set(run.energy_j) == {"host port", "core"}
    driver = run.energy_j["host port"]
    oxide_f = 40 * 1.65e-6 * 0.15e-6 * 3.9 * 8.854e-12 / 4.148e-9
    rise = driver[1] + driver[2]  # the input falls and rises again
    assert oxide_f * 1.8**2 < rise < 1.8 * oxide_f * 1.8**2


def test_an_input_without_values_is_refused(pdk):
    with pytest.raises(ColumnError, match=r"input a of 1 bits needs values .* \(3, 1\), not None"):
        netlist_deck(chain(1), Waves({"b": np.zeros((3, 1), bool)}))
    with pytest.raises(ColumnError, match=r"not \(3, 2\)"):
        netlist_deck(chain(1), Waves({"a": np.zeros((3, 2), bool)}))


# carving

TINY_LIBERTY = """
library (tiny) {
  time_unit : "1ns"; voltage_unit : "1V"; current_unit : "1mA"; leakage_power_unit : "1nW";
  capacitive_load_unit (1, pf); nom_voltage : 1.8; nom_temperature : 25; nom_process : 1;
  cell (INV) { area : 1;
    pin (A) { direction : input; capacitance : 0.001; }
    pin (Y) { direction : output; function : "!A"; } }
  cell (GATE) { area : 1; clock_gating_integrated_cell : "latch_posedge";
    pin (CLK) { direction : input; capacitance : 0.001; clock : true; clock_gate_clock_pin : true; }
    pin (EN) { direction : input; capacitance : 0.001; clock_gate_enable_pin : true; }
    pin (GCLK) { direction : output; clock_gate_out_pin : true; } }
  cell (DFF) { area : 1; ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; }
    pin (CK) { direction : input; capacitance : 0.001; clock : true; }
    pin (D) { direction : input; capacitance : 0.001; }
    pin (Q) { direction : output; function : "IQ"; } }
}
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIOBIT_BUILD", str(tmp_path / "build"))
    (tmp_path / "tiny.lib").write_text(TINY_LIBERTY)
    return load_library(tmp_path / "tiny.lib")


def small_bank():
    """Two neurons behind one clock gate: nets clk, enable, gated, d0, d1, q0, q1, y."""
    bank = "core/bank_0/"
    nets = ["clk", "enable", bank + "gated", "d0", "d1", bank + "q0", bank + "q1", "y"]
    return FlatNetlist("chip", [
        Instance(bank + "neurons_clock_gate/cell", "GATE", {"CLK": 0, "EN": 1, "GCLK": 2}),
        Instance(bank + "neuron_0/r", "DFF", {"CK": 2, "D": 3, "Q": 5}),
        Instance(bank + "neuron_1/r", "DFF", {"CK": 2, "D": 4, "Q": 6}),
        Instance(bank + "out", "INV", {"A": 5, "Y": 7}),
    ], nets, {"clk": ("input", [0]), "enable": ("input", [1]), "y": ("output", [7])})


def test_a_column_is_a_neuron_and_its_clock_gate(tiny):
    part = carve(small_bank(), tiny, column.neuron_of(0, 0))
    assert [i.path.rpartition("bank_0/")[2] for i in part.instances] == [
        "neurons_clock_gate/cell", "neuron_0/r"]
    assert {name: direction for name, (direction, _) in part.ports.items()} == {
        "clk": "input", "enable": "input", "d0": "input", "core.bank_0.q0": "output",
        "core.bank_0.gated": "output"}  # which the other neuron has too
    gate, register = part.instances
    assert gate.pins["GCLK"] == register.pins["CK"]
    assert part.nets[register.pins["Q"]] == "core/bank_0/q0"


def test_a_column_that_is_not_there_is_refused(tiny):
    with pytest.raises(ColumnError, match="No cell of the netlist belongs to the column"):
        carve(small_bank(), tiny, column.neuron_of(0, 2))
    flat = small_bank()
    flat.instances.append(Instance("core/bank_0/neuron_0/m", "heliobit_macro", {"clk": 0}))
    with pytest.raises(ColumnError, match="is a heliobit_macro, no cell of the library"):
        carve(flat, tiny, column.neuron_of(0, 0))


# against the Liberty


@pytest.mark.parametrize("name, ratio, tolerance", [
    ("inv_1", 1, 0.05), ("nand2_1", 1, 0.1), ("maj3_1", 1, 0.05),
    ("ha_1", 2, 0.1), ("fa_1", 2, 0.1)])  # SKY130's tables halve the energy of two outputs
def test_cells_take_what_the_tables_say_save_those_of_two_outputs(
        simulator, library, name, ratio, tolerance):
    found = column.measure_cell(library, P + name)
    assert found["ratio"] == close(ratio, rel=tolerance)


def test_a_flip_flop_is_not_measured_without_its_past(library):
    with pytest.raises(ColumnError, match="dfxtp_1 is no combinational cell"):
        column.measure_cell(library, P + "dfxtp_1")


@pytest.fixture(scope="module")
def chip(tmp_path_factory):
    for name in ("ngspice", "sky130", "liberty", "verilator", "yosys"):
        need(name)
    library = load_library(find_liberty())
    parameters = ChipParameters(
        geometry=replace(JEBALI_2024, banks=1, columns=2), style="borrow_gated")
    folder = tmp_path_factory.mktemp("column") / "netlist"
    flat = flatten(synthesize(parameters, library, folder))
    return flat, library, record(parameters, "random", 1)


def test_a_column_is_within_20_percent_of_the_liberty(chip):
    found = column.compare_column(*chip, cycles=16)
    assert 0.8 < found["ratio"] < 1.2 and 0.8 < found["same_activity_ratio"] < 1.2
    assert found["counted_cycles"] == 10
    for side, cycles in found["per_cycle"].items():
        assert sum(cycles) == close(found[side]) and min(cycles) > 0
        assert sum(block[side] for block in found["by_block"].values()) == close(found[side])
    assert set(found["by_block"]) == {"neuron registers", "popcount", "bank"}


def test_a_wrong_value_in_ngspice_is_found(chip, monkeypatch):
    """The run of the test before, from the build folder, with one net's value turned around."""
    real = column.run_deck

    def turned(deck, drive):
        run = real(deck, drive)
        name = next(net for net, node in enumerate(deck.nodes) if node and run.toggles[8, net] == 0)
        run.values[8, name] ^= True
        return run

    monkeypatch.setattr(column, "run_deck", turned)
    with pytest.raises(ColumnError, match=r"At the end of cycle 8 the net \S+ is \d in ngspice"):
        column.compare_column(*chip, cycles=16)


def test_a_trace_that_is_too_short_is_refused(chip):
    with pytest.raises(ColumnError, match="The trace has fewer than 100000 cycles"):
        column.compare_column(*chip, cycles=100000)
    with pytest.raises(ValueError, match="At least one of 4 cycles"):
        column.compare_column(*chip, cycles=4, settle=4)
