"""Row slots: the inputs of one weight row, unpacked from the byte stream."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from behavioral_models import protocol

__all__ = ["SlotUnpacker"]


class SlotUnpacker(wiring.Component):
    """Cuts bytes into row slots of one bit a macro: whole slots a byte, or whole bytes a slot.

    A slot a cycle while bytes keep up; the next byte is taken in the cycle that uses up the last.

    Parameters
    ----------
    geometry : ChipGeometry

    Members
    -------
    wide : In(1)
        Slots have a bit for every macro of the chip instead of one bank's; stands still in a run.
    restart : In(1)
        Drop what is left.
    i : In(stream of bytes)
    o : Out(stream of slots)
    last : In(1)
        The slot at the output ends an inference's inputs: the rest of its byte is dropped.
    """

    def __init__(self, geometry):
        self._widths = (geometry.macros_per_bank, geometry.macros)
        super().__init__({
            "wide": In(1),
            "restart": In(1),
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(geometry.macros)),
            "last": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        narrow, wide = self._widths
        size = -(-wide // 8)
        buffer = Signal(8 * size, reset_less=True)
        available = Signal(range(9))
        filled = Signal(range(size + 1))
        per_byte = Signal(range(9))
        bytes_needed = Signal.like(filled)
        following = Signal(8 * size)
        for selected, width in ((0, narrow), (1, wide)):
            per_load = protocol.slots_per_byte(width)
            with m.If(self.wide == selected):
                m.d.comb += [
                    per_byte.eq(per_load or 1),
                    bytes_needed.eq(1 if per_load else -(-width // 8)),
                    following.eq(buffer >> width),
                ]
        taken = Signal()
        m.d.comb += [
            self.o.valid.eq(available != 0),
            self.o.payload.eq(buffer),
            taken.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(~self.o.valid | (taken & (available == 1) & ~self.last)),
        ]
        with m.If(taken):
            m.d.sync += [
                available.eq(Mux(self.last, 0, available - 1)),
                buffer.eq(following),
            ]
        with m.If(self.i.valid & self.i.ready):
            for position in range(size):
                with m.If(filled == position):
                    m.d.sync += buffer[8 * position:8 * position + 8].eq(self.i.payload)
            with m.If(filled + 1 == bytes_needed):
                m.d.sync += [filled.eq(0), available.eq(per_byte)]
            with m.Else():
                m.d.sync += [filled.eq(filled + 1), available.eq(0)]
        with m.If(self.restart):
            m.d.sync += [available.eq(0), filled.eq(0)]
        return m
