"""Byte access to the neuron registers: preload and readout, neuron after neuron."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .select import selected

__all__ = ["RegisterAccess"]


class RegisterAccess(wiring.Component):
    """Moves the registers of the enabled banks from or to a byte stream, one byte a cycle.

    Bank after bank, neuron 0 first, ceil(width / 8) bytes each, least significant first, two's
    complement with the sign extended.

    Parameters
    ----------
    geometry : ChipGeometry

    Members
    -------
    banks : In(banks)
        Banks that take part, at least one; stands still while `reading` or `writing`.
    reading, writing : In(1)
        A readout or a preload is under way; hold one until `done`, never both.
    done : Out(1)
        The byte that moves in this cycle is the last.
    moved : Out(1)
        A byte moves in this cycle.
    i : In(stream of bytes), o : Out(stream of bytes)
        Preload values, and what is read out.
    bank : Out(banks)
        One-hot: the bank that `select`, `load` and `value` are about.
    select : Out(range(max(2, columns)))
        Neuron of that bank.
    load : Out(1)
        Load `load_value` into it.
    load_value : Out(signed(width))
    value : In(signed(width))
        What it holds.
    """

    def __init__(self, geometry):
        self._geometry = geometry
        super().__init__({
            "banks": In(geometry.banks),
            "reading": In(1),
            "writing": In(1),
            "done": Out(1),
            "moved": Out(1),
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(8)),
            "bank": Out(geometry.banks),
            "select": Out(range(max(2, geometry.columns))),
            "load": Out(1),
            "load_value": Out(signed(geometry.register_width)),
            "value": In(signed(geometry.register_width)),
        })

    def elaborate(self, platform):
        m = Module()
        geometry = self._geometry
        size = geometry.register_bytes
        passed = Signal(geometry.banks)  # banks that are done
        position = Signal(max(1, (size - 1).bit_length()))
        remaining = Signal(geometry.banks)
        last_byte = Signal()
        last_neuron = Signal()
        shown = Signal(8 * size)  # sign-extended
        m.d.comb += [
            remaining.eq(self.banks & ~passed),
            self.bank.eq(remaining & (~remaining + 1)),  # lowest bank first
            last_byte.eq(position == size - 1),
            last_neuron.eq(self.select == geometry.columns - 1),
            self.moved.eq((self.reading & self.o.ready) | (self.writing & self.i.valid)),
            self.done.eq(self.moved & last_byte & last_neuron & (remaining == self.bank)),
            self.i.ready.eq(self.writing),
            self.load.eq(self.writing & self.i.valid & last_byte),
            self.o.valid.eq(self.reading),
            shown.eq(self.value),
            self.o.payload.eq(selected(
                m, [shown[8 * i:8 * i + 8] for i in range(size)], position, "shown_byte")),
        ]
        if size == 1:
            m.d.comb += self.load_value.eq(self.i.payload)
        else:
            lower_bytes = Signal(8 * (size - 1), reset_less=True)
            arrived = Cat(lower_bytes, self.i.payload)
            m.d.comb += self.load_value.eq(arrived)
            with m.If(self.moved & self.writing):
                m.d.sync += lower_bytes.eq(arrived[8:])
        with m.If(self.moved):
            m.d.sync += position.eq(position + 1)
            with m.If(last_byte):
                m.d.sync += [position.eq(0), self.select.eq(self.select + 1)]
                with m.If(last_neuron):
                    m.d.sync += [self.select.eq(0), passed.eq(passed | self.bank)]
            with m.If(self.done):
                m.d.sync += passed.eq(0)
        # Where there is nothing to clear the registers' clocks can rest.
        with m.If(~self.reading & ~self.writing & Cat(position, self.select, passed).any()):
            m.d.sync += [position.eq(0), self.select.eq(0), passed.eq(0)]
        return m
