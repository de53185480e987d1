"""A register stage for streams: both directions of the handshake come from flip-flops."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["StreamBuffer"]


class StreamBuffer(wiring.Component):
    """Holds up to two items, so that neither `valid` nor `ready` passes through combinationally.

    One item a cycle; an item leaves the cycle after it came in at the earliest.

    Parameters
    ----------
    width : int
        Bits of an item.

    Members
    -------
    i : In(stream), o : Out(stream)
    """

    def __init__(self, width):
        super().__init__({"i": In(stream.Signature(width)), "o": Out(stream.Signature(width))})

    def elaborate(self, platform):
        m = Module()
        waiting = Signal.like(self.i.payload, reset_less=True)  # the second item
        full = Signal()
        held = Signal.like(self.i.payload, reset_less=True)
        valid = Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            self.o.valid.eq(valid),
            self.o.payload.eq(held),
        ]
        with m.If(~valid | self.o.ready):
            with m.If(full):
                m.d.sync += [held.eq(waiting), valid.eq(1), full.eq(0)]
            with m.Else():
                m.d.sync += [held.eq(self.i.payload), valid.eq(self.i.valid)]
        with m.Elif(self.i.valid & ~full):
            m.d.sync += [waiting.eq(self.i.payload), full.eq(1)]
        return m
