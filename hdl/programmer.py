"""Programmer: forming, SET and RESET pulses, one memristor at a time, and row reads."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .interfaces import Operation, ProgrammerTiming
from .select import selected

__all__ = ["Programmer"]


class Programmer(wiring.Component):
    """Drives the pulses of one row, or senses it once.

    ==========  =======================================================================
    operation   what happens to the row
    ==========  =======================================================================
    FORM        every memristor gets a forming pulse, BL and BLb of column 0 first
    SET         programming: the memristor of each pair that goes to the low resistance
                state gets a SET pulse, then the other of each pair a RESET pulse
    READ        one sense with `x`, whose result `row_bits` then holds
    ==========  =======================================================================

    A pulse takes pulse_setup + its length + pulse_setup + 1 cycles; row, column, side and operation
    stand still for all but the last. A row read takes three cycles once the rails are ready.

    Where the geometry has a sense bypass, `measure` connects one memristor to the macro's measuring
    pads instead: `bypass` rises two cycles after the rails are ready, and falls in the cycle after
    `disconnect`. Row, column and side stand still for two cycles before and one after.

    Parameters
    ----------
    geometry : ChipGeometry

    Members
    -------
    timing : In(ProgrammerTiming)
    start : In(1)
        Take the command below; ignored while `busy`.
    command : In(Operation)
        FORM, SET (programs) or READ.
    macro : In(range(macros))
        Macro of the chip that is meant.
    target : In(range(rows))
        Row that is meant.
    bits : In(columns)
        Bits to program: 1 is HRS on BL and LRS on BLb.
    x : In(1)
        Input of a row read.
    request : Out(Operation)
        Operation whose rails are wanted, to the power switch.
    rails_ready : In(1)
        They are connected.
    busy : Out(1)
        From the cycle after `start` until the read rails are back.
    pulsing : Out(1)
        Forming or programming, as opposed to reading.
    selected : Out(macros)
        One-hot while `busy`: the macro that is meant.
    q : In(columns)
        What that macro reads.
    row_bits : Out(columns)
        The row last read, until the next command.
    row, column, side, operation, pulse, sense, sense_x
        To the macros, as in MacroPort.
    measure : In(1), target_column : In(range(columns)), target_side : In(1)
        With `start` and the command READ, connect this memristor of the row. These and the
        following only with a sense bypass.
    disconnect : In(1)
        Disconnect it; ignored while there is none.
    bypass : Out(1)
        To the macro; it is connected.
    """

    def __init__(self, geometry):
        self._geometry = geometry
        column = range(max(2, geometry.columns))
        super().__init__({
            "timing": In(ProgrammerTiming),
            "start": In(1),
            "command": In(Operation),
            "macro": In(range(max(2, geometry.macros))),
            "target": In(range(geometry.rows)),
            "bits": In(geometry.columns),
            "x": In(1),
            "request": Out(Operation),
            "rails_ready": In(1),
            "busy": Out(1),
            "pulsing": Out(1),
            "selected": Out(geometry.macros),
            "q": In(geometry.columns),
            "row_bits": Out(geometry.columns),
            "row": Out(range(geometry.rows)),
            "column": Out(column),
            "side": Out(1),
            "operation": Out(Operation),
            "pulse": Out(1),
            "sense": Out(1),
            "sense_x": Out(1),
            **({
                "measure": In(1),
                "target_column": In(column),
                "target_side": In(1),
                "disconnect": In(1),
                "bypass": Out(1),
            } if geometry.sense_bypass else {}),
        })

    def elaborate(self, platform):
        m = Module()
        bits = Signal(self._geometry.columns, reset_less=True)
        elapsed = Signal(16)
        length = Signal(16)
        last_column = Signal()
        m.d.comb += last_column.eq(self.column == self._geometry.columns - 1)
        with m.Switch(self.operation):
            with m.Case(Operation.FORM):
                m.d.comb += length.eq(self.timing.form_pulse)
            with m.Case(Operation.SET):
                m.d.comb += length.eq(self.timing.set_pulse)
            with m.Case(Operation.RESET):
                m.d.comb += length.eq(self.timing.reset_pulse)

        def after(cycles, state, pulse_meanwhile=0, pulse_then=0):
            with m.If(elapsed + 1 >= cycles):
                m.d.sync += [elapsed.eq(0), self.pulse.eq(pulse_then)]
                m.next = state
            with m.Else():
                m.d.sync += [elapsed.eq(elapsed + 1), self.pulse.eq(pulse_meanwhile)]

        next_bit = selected(m, [*bits[1:], bits[0]], self.column, "next_bit")
        m.d.comb += self.request.eq(self.operation)
        m.d.sync += self.pulse.eq(0)  # whatever the state, unless a pulse is due
        if self._geometry.sense_bypass:
            m.d.sync += self.bypass.eq(0)  # likewise
        with m.FSM(name="programmer") as fsm:
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [
                        self.operation.eq(self.command),
                        self.selected.eq(Const(1, len(self.selected)) << self.macro),
                        self.row.eq(self.target),
                        self.column.eq(0),
                        bits.eq(self.bits),
                        self.side.eq(Mux(self.command == Operation.FORM, 0, self.bits[0])),
                        self.sense_x.eq(self.x),
                        elapsed.eq(0),
                    ]
                    m.next = "CONNECT"
                    if self._geometry.sense_bypass:
                        with m.If(self.measure):
                            m.d.sync += [
                                self.column.eq(self.target_column),
                                self.side.eq(self.target_side),
                            ]
                            m.next = "SETTLE"
            with m.State("CONNECT"):  # also the cycle in which a read's row settles
                with m.If(self.rails_ready):
                    with m.If(self.operation == Operation.READ):
                        m.next = "SENSE"
                    with m.Else():
                        m.next = "SETUP"
            with m.State("SENSE"):
                m.d.comb += self.sense.eq(1)
                m.next = "STORE"
            with m.State("STORE"):
                m.d.sync += [bits.eq(self.q), self.selected.eq(0)]
                m.next = "IDLE"
            with m.State("SETUP"):
                # never straight from one pulse into the next, whatever state this began in
                after(self.timing.pulse_setup, "PULSE", pulse_then=~self.pulse)
            with m.State("PULSE"):
                after(length, "HOLD", pulse_meanwhile=1)
            with m.State("HOLD"):
                after(self.timing.pulse_setup, "NEXT")
            with m.State("NEXT"):
                m.next = "SETUP"
                with m.If((self.operation == Operation.FORM) & ~self.side):
                    m.d.sync += self.side.eq(1)
                with m.Elif(~last_column):
                    m.d.sync += [
                        self.column.eq(self.column + 1),
                        self.side.eq(Mux(
                            self.operation == Operation.FORM, 0,
                            next_bit ^ (self.operation == Operation.RESET))),
                    ]
                with m.Elif(self.operation == Operation.SET):
                    m.d.sync += [
                        self.operation.eq(Operation.RESET),
                        self.column.eq(0),
                        self.side.eq(~bits[0]),
                    ]
                    m.next = "CONNECT"
                with m.Else():
                    m.d.sync += self.operation.eq(Operation.READ)
                    m.next = "DISCONNECT"
            with m.State("DISCONNECT"):
                with m.If(self.rails_ready):
                    m.d.sync += self.selected.eq(0)
                    m.next = "IDLE"
            if self._geometry.sense_bypass:
                self._measure(m)

        connecting_to_read = (self.operation == Operation.READ) & fsm.ongoing("CONNECT")
        reading = connecting_to_read | fsm.ongoing("SENSE") | fsm.ongoing("STORE")
        if self._geometry.sense_bypass:
            reading |= fsm.ongoing("SETTLE") | fsm.ongoing("MEASURE") | fsm.ongoing("RELEASE")
        m.d.comb += [
            self.busy.eq(~fsm.ongoing("IDLE")),
            self.pulsing.eq(self.busy & ~reading),
            self.row_bits.eq(bits),
        ]
        return m

    def _measure(self, m):
        """The states in which a memristor is being connected, connected, and disconnected."""
        with m.State("SETTLE"):
            with m.If(self.rails_ready):
                m.next = "MEASURE"
        with m.State("MEASURE"):
            m.d.sync += self.bypass.eq(~self.disconnect)
            with m.If(self.disconnect):
                m.next = "RELEASE"
        with m.State("RELEASE"):
            m.d.sync += self.selected.eq(0)
            m.next = "IDLE"
