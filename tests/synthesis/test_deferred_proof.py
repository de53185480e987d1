"""Style `deferred` is proven equal to style `enabled`, and a core with a fault is not."""

import inspect
import textwrap

import pytest

from behavioral_models.geometry import HELIOBIT_WIDE, TINY, ChipGeometry
from hdl.bank import Bank
from hdl.controller import RowSequence
from hdl.neuron import CountingRegister
from hdl.parameters import ChipParameters
from hdl.row_store import RowStore
from hdl.verilog import convert
from synthesis import deferred_proof
from synthesis.deferred_proof import find_difference, prove_deferred
from synthesis.netlist import NetlistError
from tests.needs import need

need("yosys")

#: Two macros of 4 rows and a column: groups of 4 fit, and rows are left over where there are 3.
SMALL = ChipParameters(ChipGeometry(1, 2, 4, 1, 8), 1, "deferred", rows_per_update=4)


def parameters(dimensions, read_timing, rows_per_update, **more):
    return ChipParameters(
        ChipGeometry(*dimensions, **more), read_timing, "deferred", rows_per_update=rows_per_update)


@pytest.mark.parametrize("tested", [
    parameters((1, 1, 4, 1, 7), 3, 1),
    parameters((1, 3, 5, 1, 15, 2), 2, 1),
    parameters((1, 1, 6, 2, 7, 2), 2, 2, sense_bypass=True),
    parameters((2, 2, 6, 2, 12, 2), 1, 2),
    parameters((2, 1, 9, 1, 9, 2), 3, 4),
    parameters((2, 3, 8, 1, 24), 1, 4),
], ids=str)
def test_the_core_is_equal_at_its_ports_for_ever(tested):
    result = prove_deferred(tested)
    assert result.broken == ()
    assert result.equal and result.parameters == tested and result.claims > 70


@pytest.mark.slow
@pytest.mark.parametrize("tested", [
    *(ChipParameters(TINY, timing, "deferred", rows_per_update=rows)
      for timing, rows in ((1, 2), (2, 4), (3, 2))),
    parameters((2, 2, 64, 2, 116), 1, None),
    parameters((2, 2, 64, 2, 1024, 4), 1, None),
    parameters((2, 2, 64, 1, 1024, 4), 1, 16),
    parameters((2, HELIOBIT_WIDE.macros_per_bank, 64, 1, 1024, 4), 1, 1),
], ids=str)
def test_cores_of_the_presets_are_equal_with_fewer_columns(tested):
    result = prove_deferred(tested)
    assert result.equal, result.broken


def mutate(monkeypatch, component, old, new, method="elaborate"):
    """Change the text of a component's method, which must have it once."""
    source = textwrap.dedent(inspect.getsource(getattr(component, method)))
    assert source.count(old) == 1, f"{component.__name__} has no single {old}"
    names = dict(vars(inspect.getmodule(component)))
    exec(compile(source.replace(old, new), "mutant", "exec"), names)
    monkeypatch.setattr(component, method, names[method])


FAULTS = {
    "a flip that does not invert": (
        CountingRegister, "(~self.value & self.flip", "(self.value & self.flip", "register 0"),
    "a high part that misses carries": (
        CountingRegister, "into_high | ~(self.keep", "~(self.keep", "register 0"),
    "a high part that misses a shift": (
        CountingRegister, "(high.any() | low[-1])", "high.any()", "register 0"),
    "a group that forgets place 1": (
        RowStore, "(self.place == place)", "(self.place == 2 * place)", "register 0"),
    "together one row early": (
        RowSequence, "together.eq(whole & self.place.all())",
        "together.eq(whole & (self.place == 2))", "counted"),
    "rows left over that wait for more": (
        RowSequence, "(self.weight_row[bits:] != settings.weight_rows[bits:])",
        "(self.weight_row < settings.weight_rows)", "as many rows wait as came before"),
    "groups that begin anywhere": (
        RowSequence, "self.place.eq(self.weight_row)", "self.place.eq(self.weight_row + 1)",
        "a row waits in the next place"),
    "a clear that waits": (
        Bank, "(~self.waits | self.clear)", "~self.waits", "register 0"),
    "a shift taken for a complement": (
        Bank, "inverted.eq(~self.shift)", "inverted.eq(1)", "register 0"),
    "macros that count though disabled": (
        Bank, "together.eq(self.macros & (read & self.together).replicate(macros))",
        "together.eq((read & self.together).replicate(macros))", "register 0"),
    "a preload that is not inverted": (
        Bank, " ^ (inverted & self.load).replicate(width)", "", "register 0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_core_with_a_fault_is_not_equal(monkeypatch, fault):
    component, old, new, claim = FAULTS[fault]
    mutate(monkeypatch, component, old, new, "_deferred" if component is Bank else "elaborate")
    result = prove_deferred(SMALL)
    assert not result.equal
    assert any(claim in name for name in result.broken), result.broken


def test_a_fault_shows_at_a_port(monkeypatch):
    """What is assumed leaves room for runs: one after a reset reads out a complement."""
    mutate(monkeypatch, Bank, "^ (inverted & self.read)", "^ (inverted & ~self.read)")
    small = parameters((1, 1, 2, 1, 3), 1, 2)
    assert find_difference(small, 4) == ()
    assert find_difference(small, 5) == ("o_registers_payload",)


def test_nothing_is_said_of_other_styles():
    with pytest.raises(ValueError, match="style deferred, not bank_gated"):
        prove_deferred(ChipParameters(TINY, 1, "bank_gated"))


@pytest.mark.parametrize("clock", ["place_0_clk", "clk, posedge rst"])
def test_other_clocks_have_no_model(monkeypatch, clock):
    def with_a_falling_edge(component):
        files = convert(component)
        if component.parameters.style == "deferred":
            text = "".join(files.values())
            assert f"@(posedge {clock})" in text
            files = {name: text.replace(f"posedge {clock})", f"negedge {clock})")
                     for name, text in files.items()}
        return files

    monkeypatch.setattr(deferred_proof, "convert", with_a_falling_edge)
    with pytest.raises(NetlistError, match="has no model here"):
        prove_deferred(SMALL)
