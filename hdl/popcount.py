"""Population count: how many of a row's, or of several rows', XNOR bits are ones."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .adders import FullAdder, HalfAdder

__all__ = ["GroupPopcount", "Popcount"]


def add_bits(m, weights, width):
    """Add to `m` full and half adders that sum bits up; return the sum's bits, lowest first.

    Three bits of one weight become one of that weight and one of the next, first come first served,
    until each weight has one bit left. Bits that come late should stand last: they pass the fewest
    adders.

    Parameters
    ----------
    m : Module
    weights : list of lists of 1-bit values
        Bits of weight 1, 2, 4 and so on.
    width : int
        Bits of the sum, enough for it.
    """
    result, carries = [], []
    for place in range(width):
        bits = carries + (weights[place] if place < len(weights) else [])
        carries = []
        while len(bits) > 1:
            adder = FullAdder() if len(bits) > 2 else HalfAdder()
            m.submodules[f"adder_{place}_{len(carries)}"] = adder
            m.d.comb += [adder.a.eq(bits[0]), adder.b.eq(bits[1])]
            if len(bits) > 2:
                m.d.comb += adder.c.eq(bits[2])
            bits = [*bits[3:], adder.total]
            carries.append(adder.carry)
        result += bits or [0]
    return result


class Popcount(wiring.Component):
    """Number of ones, combinational, as a tree of full and half adders.

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
        m.d.comb += self.o.eq(Cat(add_bits(m, [list(self.i)], len(self.o))))
        return m


class GroupPopcount(wiring.Component):
    """Number of ones among the bits of a row, and of the rows that waited for it, combinational.

    Parameters
    ----------
    macros : int
        Bits of a row, at least 1.
    rows : int
        Rows of a group, the one that is not held included, at least 1.

    Members
    -------
    held : In((rows - 1) * macros)
        Bits of the rows that waited, macro after macro; only where `rows` is more than 1.
    together : In(macros)
        Macros of which they count, too; likewise.
    live : In(macros)
        Bits of the row that was read last.
    o : Out(range(rows * macros + 1))
    """

    def __init__(self, macros, rows):
        for name, value in (("Macros of a bank", macros), ("Rows of a group", rows)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        self._macros, self._held = macros, rows - 1
        super().__init__({
            **({"held": In((rows - 1) * macros), "together": In(macros)} if rows > 1 else {}),
            "live": In(macros),
            "o": Out(range(rows * macros + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        weights = [[] for _ in self.o]
        for macro in range(self._macros if self._held else 0):
            # Masked as a sum, which has fewer bits; it rests at 0 between updates.
            m.submodules[f"popcount_{macro}"] = popcount = Popcount(self._held)
            m.d.comb += popcount.i.eq(self.held[macro * self._held:(macro + 1) * self._held])
            for place, bit in enumerate(popcount.o):
                weights[place].append(bit & self.together[macro])
        weights[0].extend(self.live)
        m.d.comb += self.o.eq(Cat(add_bits(m, weights, len(self.o))))
        return m
