"""Where a neuron counts: the register that holds a threshold and loses a row's popcount."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .adders import FullAdder, HalfAdder
from .cells import gated_domain
from .parameters import STYLES

__all__ = ["CountingRegister", "NeuronRegister"]


class NeuronRegister(wiring.Component):
    """Signed register of one neuron, from threshold T down to T - popcount = -preactivation.

    In a cycle with `step` high the register takes its next value:

    ==========  ==========================
    shift = 1   2 * register + count
    shift = 0   register - count
    ==========  ==========================

    where `clear` makes the register count as 0, and `load` replaces it by `load_value` (`shift` and
    `count` are 0 then). One step a cycle. The register is modulo 2 ** width, without reset: passes
    begin with `clear` or `load`.

    Parameters
    ----------
    width : int
        Bits of the register, sign included.
    macros : int
        XNOR bits per row and neuron, at least 1.
    style : str
        How the flip-flops are kept still, equal cycle for cycle. ``enabled``: an enable, as
        fabricated. ``bank_gated``: the bank's gated clock, domain ``neurons``. ``borrow_gated``:
        the low part on the bank's gated clock, the high part on a clock of its own that runs only
        when a count borrows from it, or on a shift, `clear` or `load`. Style ``deferred`` has
        CountingRegister instead.
    borrow_split : int
        Bits of the low part (``borrow_gated`` only).

    Members
    -------
    step, shift, clear, load : In(1)
    count : In(range(macros + 1))
        The row's popcount.
    load_value : In(signed(width))
        What `load` takes.
    value : Out(signed(width))
    negative : Out(1)
        The sign bit: the neuron's output, 1 where popcount > T.
    """

    def __init__(self, width, macros, style="enabled", borrow_split=None):
        if not isinstance(macros, int) or macros < 1:
            raise ValueError(f"Macros per bank must be a positive integer, not {macros!r}")
        if not isinstance(width, int) or width <= macros.bit_length():
            raise ValueError(
                f"A register that counts {macros} bits a row needs more than {macros.bit_length()} "
                f"bits, not {width!r}")
        styles = [known for known in STYLES if known != "deferred"]
        if style not in styles:
            raise ValueError(
                f"Neuron-register style must be one of {', '.join(styles)}, not {style!r}")
        if style == "borrow_gated" and not (
                isinstance(borrow_split, int) and macros.bit_length() <= borrow_split < width):
            raise ValueError(
                f"The low part of a {width}-bit register must have {macros.bit_length()} to "
                f"{width - 1} bits, not {borrow_split!r}")
        self._width = width
        self._style = style
        self._borrow_split = borrow_split
        super().__init__({
            "step": In(1),
            "shift": In(1),
            "clear": In(1),
            "load": In(1),
            "count": In(range(macros + 1)),
            "load_value": In(signed(width)),
            "value": Out(signed(width)),
            "negative": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        width = self._width

        doubled = Signal(signed(width))
        base = Signal(signed(width))
        count = Signal(width)
        addend = Signal(width)
        total = Signal(width + 1)
        following = Signal(width)
        m.d.comb += [
            doubled.eq(Cat(C(0, 1), self.value)),
            base.eq(Mux(self.clear | self.load, 0, Mux(self.shift, doubled, self.value))),
            # One adder for both directions: -count = ~count + 1, the 1 being the carry into bit 0.
            count.eq(self.count),
            addend.eq(Mux(self.shift, count, ~count)),
            total.eq(Cat(C(1, 1), base) + Cat(~self.shift, addend)),
            following.eq(total[1:] | Mux(self.load, self.load_value.as_unsigned(), 0)),
            self.negative.eq(self.value[-1]),
        ]

        if self._style == "enabled":
            held = Signal(signed(width), reset_less=True)
            m.d.comb += self.value.eq(held)
            with m.If(self.step):
                m.d.sync += held.eq(following)
        elif self._style == "bank_gated":
            held = Signal(signed(width), reset_less=True)
            m.d.comb += self.value.eq(held)
            m.d.neurons += held.eq(following)
        else:
            split = self._borrow_split
            low = Signal(split, reset_less=True)
            high = Signal(width - split, reset_less=True)
            high_step = Signal()
            m.d.comb += [
                self.value.eq(Cat(low, high)),
                # A count changes the high part only by borrowing 1, which flips its lowest bit.
                high_step.eq(
                    self.shift | self.clear | self.load | (following[split] ^ high[0])),
            ]
            gated_domain(m, "high_part", high_step, of="neurons")
            m.d.neurons += low.eq(following[:split])
            m.d.high_part += high.eq(following[split:])
        return m


class CountingRegister(wiring.Component):
    """Register of one neuron that only counts up, for style ``deferred``.

    It holds the register in shifts, and its complement in counts, where nothing has to be
    subtracted then: ~(register - count) = ~register + count. Which of the two it holds is known to
    its bank, which says what a step starts from; in a cycle of the clock domain ``neurons``

    value <- `count` + (value if `keep`, ~value if `flip`, 2 value if `doubled`, 2 ~value if
    `doubled_flip`, -1 if `ones`, `load_value` if `load`, else 0)

    The high part is clocked only when a count carries into it, when a shift or flip may change it,
    and by `ones` and `load`. Modulo 2 ** width, without reset.

    Parameters
    ----------
    width : int
        Bits of the register, sign included.
    bits : int
        XNOR bits that it counts at once, at least 1.
    split : int
        Bits of the low part, at least those of `count`.

    Members
    -------
    keep, flip, doubled, doubled_flip, ones : In(1)
        One of them at most.
    load : In(1)
        Of this register alone, whatever the others do.
    count : In(range(bits + 1))
        0 in a load.
    load_value : In(width)
        0 unless `load`.
    value : Out(width)
    """

    def __init__(self, width, bits, split):
        if not isinstance(bits, int) or bits < 1:
            raise ValueError(f"Bits counted at once must be a positive integer, not {bits!r}")
        if not isinstance(width, int) or width <= bits.bit_length():
            raise ValueError(
                f"A register that counts {bits} bits at once needs more than {bits.bit_length()} "
                f"bits, not {width!r}")
        if not isinstance(split, int) or not bits.bit_length() <= split < width:
            raise ValueError(
                f"The low part of a {width}-bit register must have {bits.bit_length()} to "
                f"{width - 1} bits, not {split!r}")
        self._width, self._split = width, split
        super().__init__({
            "keep": In(1),
            "flip": In(1),
            "doubled": In(1),
            "doubled_flip": In(1),
            "ones": In(1),
            "load": In(1),
            "count": In(range(bits + 1)),
            "load_value": In(width),
            "value": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        width, split = self._width, self._split
        low = Signal(split, reset_less=True)
        high = Signal(width - split, reset_less=True)
        keep = Signal()
        base = Signal(width)
        m.d.comb += [
            self.value.eq(Cat(low, high)),
            keep.eq(self.keep & ~self.load),
            base.eq(
                (self.value & keep.replicate(width))
                | (~self.value & self.flip.replicate(width))
                | (Cat(C(0, 1), self.value)[:width] & self.doubled.replicate(width))
                | (Cat(C(0, 1), ~self.value)[:width] & self.doubled_flip.replicate(width))
                | self.ones.replicate(width)
                | self.load_value),
        ]

        sums = []
        carry = into_high = None
        for position in range(width):
            if position == split:
                into_high = carry
            if position < len(self.count):
                adder = FullAdder() if position else HalfAdder()
                m.submodules[f"adder_{position}"] = adder
                m.d.comb += [adder.a.eq(base[position]), adder.b.eq(self.count[position])]
                if position:
                    m.d.comb += adder.c.eq(carry)
                total, carry = adder.total, adder.carry
            else:
                total, before = base[position] ^ carry, carry
                carry = Signal(name=f"carry_{position}")
                m.d.comb += carry.eq(base[position] & before)
            sums.append(total)

        high_step = Signal()
        m.d.comb += high_step.eq(
            into_high | ~(self.keep | self.doubled) | self.load
            | (self.doubled & (high.any() | low[-1])))
        gated_domain(m, "high_part", high_step, of="neurons")
        m.d.neurons += low.eq(Cat(sums[:split]))
        m.d.high_part += high.eq(Cat(sums[split:]))
        return m
