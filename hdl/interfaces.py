"""Signatures and layouts that more than one block uses."""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from behavioral_models import constants, protocol

__all__ = [
    "Configuration", "MacroPort", "Operation", "PassSettings", "ProgrammerTiming", "Rail", "Start",
]


class Rail(enum.Enum, shape=2):
    """What the power switch connects to VDDC (columns) or VDDR (rows)."""

    OFF = constants.Rail.OFF.value
    VDD = constants.Rail.VDD.value
    VM = constants.Rail.VM.value
    VH = constants.Rail.VH.value


class Operation(enum.Enum, shape=2):
    """What a pulse does; READ is every moment without one."""

    READ = constants.Operation.READ.value
    FORM = constants.Operation.FORM.value
    SET = constants.Operation.SET.value
    RESET = constants.Operation.RESET.value


class Configuration(enum.Enum, shape=2):
    """How the banks get their inputs: see `behavioral_models.protocol.Configuration`."""

    SINGLE_LAYER = protocol.Configuration.SINGLE_LAYER.value
    TWO_LAYER = protocol.Configuration.TWO_LAYER.value
    CHAINED = protocol.Configuration.CHAINED.value


class Start(enum.Enum, shape=2):
    """What the neuron registers hold when a pass begins: see `behavioral_models.protocol.Start`."""

    THRESHOLDS = protocol.Start.THRESHOLDS.value
    REGISTERS = protocol.Start.REGISTERS.value
    PRELOAD = protocol.Start.PRELOAD.value


class MacroPort(wiring.Signature):
    """Pins of a memristor macro, seen from the logic that drives it. Its clock is the logic's.

    `sense` is sampled at the rising edge with `row` and `x`; `q` is valid before the next edge and
    holds until the next sense.

    Parameters
    ----------
    rows, columns : int
        Word lines, and bit cells of a word line.
    x_width : int
        1, or `columns` for systems with one input per column.
    bypass : bool
        Whether the XPCSAs can be bypassed to measure single resistances.

    Members
    -------
    row : Out(range(rows))
        Word line that is read or programmed.
    x : Out(x_width)
        Input bit that the XPCSAs combine with the weights.
    sense : Out(1)
        Start a read at the next rising edge.
    q : In(columns)
        XNOR(weight, x) of each bit cell of the row.
    operation : Out(Operation)
        What a pulse does.
    column : Out(range(max(2, columns)))
        Bit cell that a pulse goes to.
    side : Out(1)
        Memristor of that cell: 0 on BL, 1 on BLb.
    pulse : Out(1)
        High while the memristor is driven.
    rail_column, rail_row : Out(Rail)
        What the power switch connects to VDDC and VDDR now, so that a model can check.
    bypass : Out(1)
        Only where the macro has one. While high, the memristor at row, column and side is connected
        to the macro's two measuring pads, and its sense amplifier is disconnected.
    """

    def __init__(self, rows, columns, x_width=1, bypass=False):
        super().__init__({
            "row": Out(range(rows)),
            "x": Out(x_width),
            "sense": Out(1),
            "q": In(columns),
            "operation": Out(Operation),
            "column": Out(range(max(2, columns))),
            "side": Out(1),
            "pulse": Out(1),
            "rail_column": Out(Rail),
            "rail_row": Out(Rail),
            **({"bypass": Out(1)} if bypass else {}),
        })


class PassSettings(data.StructLayout):
    """How passes run, as the controller needs it: row operations, not layers.

    Fields are those of CONFIGURE (`behavioral_models.protocol.CONFIGURE_FIELDS`) but `readout`,
    which is for the host port; `behavioral_models.passes.PassConfig.settings` makes them.

    Parameters
    ----------
    geometry : ChipGeometry
    """

    def __init__(self, geometry):
        super().__init__({
            "configuration": Configuration,
            "start": Start,
            "planes": range(geometry.max_planes + 1),
            "weight_rows": range(geometry.rows + 1),
            "initial_shifts": range(geometry.rows + 1),
            "first_threshold_row": range(geometry.rows + 1),
            "macros": geometry.macros,
        })


#: The programmer's times in clock cycles, each at least 1, as in `protocol.TIMING_FIELDS`.
ProgrammerTiming = data.StructLayout({
    item.name: unsigned(8 * item.size) for item in protocol.TIMING_FIELDS
})
