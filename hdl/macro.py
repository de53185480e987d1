"""The full-custom macro as the logic sees it: a Verilog module, and a simulation process."""

from pathlib import Path

from amaranth.hdl import ClockSignal, Instance

__all__ = ["MACRO_MODULE", "MACRO_SOURCE", "macro_instance", "macro_model", "macro_process"]

#: Verilog module that stands for the macro.
MACRO_MODULE = "heliobit_macro"

#: Its behavioural model.
MACRO_SOURCE = Path(__file__).parent / "cells" / "heliobit_macro.v"


def macro_model(bypass):
    """Text of the behavioural model, with or without the pin `bypass`."""
    return ("`define HELIOBIT_BYPASS\n" if bypass else "") + MACRO_SOURCE.read_text()


def macro_instance(geometry, number, port):
    """An instance of the macro on a MacroPort, for Verilog."""
    bypass = {"i_bypass": port.bypass} if geometry.sense_bypass else {}
    return Instance(
        MACRO_MODULE,
        p_ROWS=geometry.rows, p_COLUMNS=geometry.columns, p_NUMBER=number,
        i_clk=ClockSignal(),
        i_row=port.row, i_x=port.x, i_sense=port.sense, o_q=port.q,
        i_operation=port.operation, i_column=port.column, i_side=port.side,
        i_pulse=port.pulse, i_rail_column=port.rail_column, i_rail_row=port.rail_row,
        **bypass,
    )


def macro_process(model, port):
    """A process for `Simulator.add_process` that connects a macro model to a MacroPort.

    Parameters
    ----------
    model : behavioral_models.macro.MacroModel
        Or anything with its `clock_edge`, which gets `bypass` only where the port has it.
    port : MacroPort interface
        Of the component under simulation.
    """
    has_bypass = "bypass" in port.signature.members

    async def process(ctx):
        pins = (port.row, port.x, port.sense, port.operation, port.column, port.side, port.pulse,
                port.rail_column, port.rail_row)
        if has_bypass:
            pins += (port.bypass,)
        async for _clk, reset, *values in ctx.tick().sample(*pins):
            if reset:
                continue
            row, x, sense, operation, column, side, pulse, rail_column, rail_row, *bypass = values
            q = model.clock_edge(
                row=row, x=x, sense=sense, operation=operation.value, column=column, side=side,
                pulse=pulse, rail_column=rail_column.value, rail_row=rail_row.value,
                **({"bypass": bypass[0]} if has_bypass else {}))
            ctx.set(port.q, q)

    return process
