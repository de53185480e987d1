"""Adder cells: components of their own, so that a netlist can take the library's cells for them."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FullAdder", "HalfAdder"]


class FullAdder(wiring.Component):
    """Sum of three bits, combinational.

    Members
    -------
    a, b, c : In(1)
    total : Out(1)
        Their sum's lower bit.
    carry : Out(1)
        And its upper.
    """

    a: In(1)
    b: In(1)
    c: In(1)
    total: Out(1)
    carry: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.total.eq(self.a ^ self.b ^ self.c),
            self.carry.eq((self.a & self.b) | (self.a & self.c) | (self.b & self.c)),
        ]
        return m


class HalfAdder(wiring.Component):
    """Sum of two bits, combinational.

    Members
    -------
    a, b : In(1)
    total : Out(1)
        Their sum's lower bit.
    carry : Out(1)
        And its upper.
    """

    a: In(1)
    b: In(1)
    total: Out(1)
    carry: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.total.eq(self.a ^ self.b),
            self.carry.eq(self.a & self.b),
        ]
        return m
