"""Population count: how many of a row's XNOR bits are ones."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .adders import FullAdder, HalfAdder

__all__ = ["Popcount"]


class Popcount(wiring.Component):
    """Number of ones, combinational.

    A tree of full and half adders: three bits of one weight become one of that weight and one of
    the next, first come first served, until each weight has one bit left. Bits that come late at
    `i` should stand last: they pass the fewest adders.

    Parameters
    ----------
    width : int
        Bits to count, at least 1.

    Members
    -------
    i : In(width)
        Bits.
    o : Out(range(width + 1))
        How many of them are 1.
    """

    def __init__(self, width):
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"A popcount's width must be a positive integer, not {width!r}")
        self._width = width
        super().__init__({"i": In(width), "o": Out(range(width + 1))})

    def elaborate(self, platform):
        m = Module()
        result = []
        bits = list(self.i)  # of the weight that is summed up
        while len(result) < len(self.o):
            carries = []
            while len(bits) > 1:
                adder = FullAdder() if len(bits) > 2 else HalfAdder()
                m.submodules[f"adder_{len(result)}_{len(carries)}"] = adder
                m.d.comb += [adder.a.eq(bits[0]), adder.b.eq(bits[1])]
                if len(bits) > 2:
                    m.d.comb += adder.c.eq(bits[2])
                bits = [*bits[3:], adder.total]
                carries.append(adder.carry)
            result += bits
            bits = carries
        m.d.comb += self.o.eq(Cat(result))
        return m
