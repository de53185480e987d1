"""Cells that are instances, never inferred: the clock gate."""

from pathlib import Path

from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module

__all__ = ["CELL_SOURCES", "gated_domain"]

_HERE = Path(__file__).parent

#: Behavioural Verilog of the cells, for simulation; a netlist takes the library's cell instead.
CELL_SOURCES = (_HERE / "heliobit_clock_gate.v",)


def gated_domain(m: Module, name: str, enable, of: str = "sync") -> None:
    """Add the clock domain `name` to `m`: the clock of `of`, in cycles in which `enable` is high.

    The domain has no reset. The cell is `heliobit_clock_gate`; Amaranth's own simulator cannot run
    it, so what uses it is tested as Verilog.
    """
    domain = ClockDomain(name, reset_less=True, local=True)
    m.domains += domain
    m.submodules[f"{name}_clock_gate"] = Instance(
        "heliobit_clock_gate",
        i_clk=ClockSignal(of),
        i_enable=enable,
        o_gated_clk=domain.clk,
    )
