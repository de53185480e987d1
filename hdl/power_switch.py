"""Power-switch decoder: which rail feeds columns and rows, with dead time and interlock."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from behavioral_models import constants

from .interfaces import Operation, Rail

__all__ = ["PowerSwitch"]


class PowerSwitch(wiring.Component):
    """Connects VDDC and VDDR to the rails of the requested operation, never two rails at once.

    A change takes `dead_time` cycles with nothing connected and `dead_time` cycles for the new
    rails to settle, plus 2. Nothing changes while `inhibit` is high. After reset nothing is
    connected.

    Members
    -------
    request : In(Operation)
        Operation whose rails are wanted.
    inhibit : In(1)
        A pulse is on or a sense is in progress.
    dead_time : In(16)
        Clock cycles, at least 1.
    rail_column, rail_row : Out(Rail)
        What is connected now, straight from flip-flops.
    ready : Out(1)
        The requested operation's rails are connected and settled.
    """

    request: In(Operation)
    inhibit: In(1)
    dead_time: In(16)
    rail_column: Out(Rail)
    rail_row: Out(Rail)
    ready: Out(1)

    def elaborate(self, platform):
        m = Module()
        wanted_column = Signal(Rail)
        wanted_row = Signal(Rail)
        with m.Switch(self.request):
            for operation in Operation:
                column, row = constants.RAILS[constants.Operation(operation.value)]
                with m.Case(operation):
                    m.d.comb += [
                        wanted_column.eq(Rail(int(column))),
                        wanted_row.eq(Rail(int(row))),
                    ]

        elapsed = Signal(16)
        waited = Signal()
        connected = Signal()
        disconnected = Signal()
        m.d.comb += [
            waited.eq(elapsed >= self.dead_time),
            connected.eq((self.rail_column == wanted_column) & (self.rail_row == wanted_row)),
            disconnected.eq((self.rail_column == Rail.OFF) & (self.rail_row == Rail.OFF)),
            self.ready.eq(connected & waited),
        ]
        with m.If(~self.inhibit):
            with m.If(~connected & ~disconnected):
                m.d.sync += [
                    self.rail_column.eq(Rail.OFF),
                    self.rail_row.eq(Rail.OFF),
                    elapsed.eq(0),
                ]
            with m.Elif(~waited):
                m.d.sync += elapsed.eq(elapsed + 1)
            with m.Elif(disconnected):
                m.d.sync += [
                    self.rail_column.eq(wanted_column),
                    self.rail_row.eq(wanted_row),
                    elapsed.eq(0),
                ]
        return m
