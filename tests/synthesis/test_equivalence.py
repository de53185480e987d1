"""Proofs hold for what is equal, and fail for what is not."""

import copy
import json
import os
import shutil

import pytest

from behavioral_models.geometry import JEBALI_2024, TINY
from hdl.parameters import STYLES, ChipParameters
from synthesis import equivalence
from synthesis.equivalence import check_equivalence, prove_styles
from synthesis.library import load_library
from synthesis.netlist import NetlistError, SynthesisOptions, load_netlist, synthesize
from tests.needs import need
from tests.synthesis import liberty_text

need("yosys")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("equivalence")
        patch.setenv("HELIOBIT_BUILD", str(path / "build"))
        yield path


@pytest.fixture(scope="module")
def library(folder):
    path = folder / "small.lib"
    path.write_text(liberty_text())
    return load_library(path)


@pytest.fixture(scope="module")
def netlist(folder, library):
    return synthesize(ChipParameters(TINY, 2, "borrow_gated"), library, folder / "netlist")


def test_every_module_of_a_chip_is_proven(netlist, library):
    results = check_equivalence(netlist, library)
    assert [r.module for r in results if not r.equal] == []
    assert {r.module for r in results} == set(netlist.area)
    by_name = {r.module: r for r in results}
    assert by_name["heliobit_neuron_register"].registers == TINY.register_width
    # Every flip-flop is paired, and every one of the RTL is paired or constant.
    for result in results:
        assert result.registers == netlist.area[result.module]["flip_flops"] + (
            result.module == "heliobit_clock_gate")
        assert result.compared >= 4 * result.registers


def test_latches_for_clock_gates_are_proven(folder):
    path = folder / "no_gate.lib"
    path.write_text(liberty_text(clock_gate=False, tie=False))
    library = load_library(path)
    netlist = synthesize(ChipParameters(TINY, 1, "bank_gated"), library, folder / "latches")
    modules = ["heliobit_clock_gate", "heliobit_neuron_register", "heliobit_bank"]
    results = check_equivalence(netlist, library, modules)
    assert [r.equal for r in results] == [True] * 3
    assert results[0].registers == 1


def swap_a_gate(module):
    """One NAND becomes a NOR."""
    cell = next(c for c in module["cells"].values() if c["type"] == "NAND2")
    cell["type"] = "NOR2"


def cross_two_pins(module):
    """Two registers exchange what they take."""
    cells = [c for c in module["cells"].values() if c["type"].startswith("DFF")]
    one, other = cells[0]["connections"], cells[1]["connections"]
    one["D"], other["D"] = other["D"], one["D"]


def other_clock(module):
    """A register of the high part runs on the low part's clock."""
    cells = [c for n, c in sorted(module["cells"].items()) if c["type"].startswith("DFF")]
    cells[-1]["connections"]["CK"] = cells[0]["connections"]["CK"]


def open_gate(module):
    """The clock gate of the high part is open when it should be shut."""
    gate = next(c for c in module["cells"].values() if c["type"] == "heliobit_clock_gate")
    gate["connections"]["enable"] = module["ports"]["step"]["bits"] \
        if "step" in module["ports"] else module["ports"]["shift"]["bits"]


def lose_a_reset(module):
    """A register that should be reset is set."""
    cell = next(c for c in module["cells"].values() if c["type"] == "DFFR")
    cell["type"] = "DFFS"
    for part in ("connections", "port_directions"):
        cell[part]["S"] = cell[part].pop("R")


@pytest.mark.parametrize("module, mutate, message", [
    ("heliobit_neuron_register", swap_a_gate, ""),
    ("heliobit_neuron_register", cross_two_pins, "next of"),
    ("heliobit_neuron_register", other_clock, "clock of"),
    ("heliobit_neuron_register", open_gate, r"heliobit_clock_gate\) enable"),
    ("heliobit_power_switch", lose_a_reset, "clear of"),
    ("heliobit_controller", swap_a_gate, ""),
    ("heliobit_bank", swap_a_gate, ""),
])
def test_a_netlist_with_one_fault_is_found_unequal(
        netlist, library, tmp_path, module, mutate, message):
    folder = tmp_path / "mutant"
    shutil.copytree(netlist.folder, folder)
    design = copy.deepcopy(netlist.design)
    mutate(design[module])
    (folder / "chip.json").write_text(json.dumps({"modules": design}))
    [result] = check_equivalence(load_netlist(folder), library, [module])
    assert not result.equal and result.different
    assert any(message.replace("\\", "") in name for name in result.different), result.different


def test_a_missing_register_is_found(netlist, library, tmp_path):
    folder = tmp_path / "mutant"
    shutil.copytree(netlist.folder, folder)
    design = copy.deepcopy(netlist.design)
    cells = design["heliobit_neuron_register"]["cells"]
    name = next(n for n, c in cells.items() if c["type"].startswith("DFF"))
    q = cells.pop(name)["connections"]["Q"]
    cells["stuck"] = {
        "type": "TIE", "parameters": {}, "attributes": {}, "hide_name": 0,
        "port_directions": {"ZERO": "output"}, "connections": {"ZERO": q}}
    (folder / "chip.json").write_text(json.dumps({"modules": design}))
    [result] = check_equivalence(load_netlist(folder), library, ["heliobit_neuron_register"])
    assert not result.equal
    assert "registers without a counterpart" in result.different[-1]


def test_the_library_must_be_the_netlists(netlist, folder):
    path = folder / "other.lib"
    path.write_text(liberty_text(tie=False))
    with pytest.raises(NetlistError, match="was made with small, and the library given is another"):
        check_equivalence(netlist, load_library(path))


def test_unknown_modules_are_named(netlist, library):
    with pytest.raises(NetlistError, match="no module heliobit_toaster; it has heliobit_"):
        check_equivalence(netlist, library, ["heliobit_toaster"])


@pytest.mark.parametrize("width, bits, split", [(3, 1, None), (8, 2, None), (8, 2, 3), (12, 5, 7)])
def test_the_styles_are_equal_for_ever(width, bits, split):
    results = prove_styles(width, bits, split)
    assert [r.style for r in results] == ["bank_gated", "borrow_gated"]
    assert all(r.equal for r in results)


@pytest.mark.parametrize("kind, other", [
    ("$or", "$and"), ("$xor", "$xnor"), ("$not", "$pos")])
def test_a_style_with_a_fault_is_found_unequal(kind, other):
    golden = equivalence._register_of(8, 2, "enabled", 4)
    mutant = equivalence._register_of(8, 2, "borrow_gated", 4)
    assert equivalence._prove_style(copy.deepcopy(golden), copy.deepcopy(mutant), 4)
    kinds = [c for c in mutant["cells"].values() if c["type"] == kind]
    if not kinds:
        pytest.fail(f"the register has no {kind} to change")
    kinds[0]["type"] = other
    assert not equivalence._prove_style(golden, mutant, 4)


def test_a_gate_that_misses_borrows_is_found():
    """The high part clocked on shifts alone: equal until a count borrows."""
    golden = equivalence._register_of(8, 2, "enabled", 4)
    mutant = equivalence._register_of(8, 2, "borrow_gated", 4)
    flip_flops = [c for c in mutant["cells"].values() if c["type"] == "$dffe"]
    high = next(c for c in flip_flops if c["connections"]["EN"] != mutant["ports"]["step"]["bits"])
    high["connections"]["EN"] = mutant["ports"]["shift"]["bits"]
    assert not equivalence._prove_style(golden, mutant, 4)


@pytest.mark.slow
def test_the_published_chip_is_proven_in_every_style(tmp_path):
    """All modules of the chip in one style, and of the other cores those that are not the same."""
    need("liberty")
    library = load_library(os.environ["LIBERTY"])
    proven = {}
    for style in STYLES:
        netlist = synthesize(
            ChipParameters(JEBALI_2024, 1, style), library, tmp_path / style,
            SynthesisOptions(top="core" if proven else "chip"))
        rtl = netlist.folder / "rtl"
        key = {
            name: (json.dumps(module), (rtl / f"{name}.v").read_text().split("\n", 1)[1]
                   if (rtl / f"{name}.v").exists() else "")
            for name, module in netlist.design.items() if name in netlist.area}
        new = [name for name in key if proven.get(name) != key[name]]
        results = check_equivalence(netlist, library, new)
        assert [r.module for r in results if not r.equal] == [], style
        assert "heliobit_bank" in new
        proven |= {name: key[name] for name in new}
