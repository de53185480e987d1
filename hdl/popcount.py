"""Population count: how many of a row's XNOR bits are ones."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Popcount"]


class Popcount(wiring.Component):
    """Number of ones, combinational, as a balanced tree of adders.

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
        level = [(self.i[bit], 1) for bit in range(self._width)]  # (value, largest value)
        while len(level) > 1:
            sums = []
            for (a, a_max), (b, b_max) in zip(level[0::2], level[1::2], strict=False):
                total = Signal(range(a_max + b_max + 1), name=f"sum_{len(level)}_{len(sums)}")
                m.d.comb += total.eq(a + b)
                sums.append((total, a_max + b_max))
            if len(level) % 2:
                sums.append(level[-1])
            level = sums
        m.d.comb += self.o.eq(level[0][0])
        return m
