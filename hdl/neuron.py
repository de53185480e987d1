"""Where a neuron counts down: the register that holds a threshold and loses a row's popcount."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .adders import FullAdder
from .cells import gated_domain
from .parameters import SPLIT_STYLES, STYLES

__all__ = ["NeuronRegister"]


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
    bits : int
        XNOR bits that it counts at once, at least 1.
    style : str
        How the flip-flops are kept still, equal cycle for cycle. ``enabled``: an enable, as
        fabricated. ``bank_gated``: the bank's gated clock, domain ``neurons``. ``borrow_gated``:
        the low part on the bank's gated clock, the high part on a clock of its own that runs only
        when a count borrows from it, or on a shift, `clear` or `load`. ``deferred``: the same, with
        the adders of the low part as cells; its bank counts several rows at once.
    borrow_split : int
        Bits of the low part (``borrow_gated`` and ``deferred`` only).

    Members
    -------
    step, shift, clear, load : In(1)
    count : In(range(bits + 1))
        Their popcount.
    load_value : In(signed(width))
        What `load` takes.
    value : Out(signed(width))
    negative : Out(1)
        The sign bit: the neuron's output, 1 where popcount > T.
    """

    def __init__(self, width, bits, style="enabled", borrow_split=None):
        if not isinstance(bits, int) or bits < 1:
            raise ValueError(f"Bits counted at once must be a positive integer, not {bits!r}")
        if not isinstance(width, int) or width <= bits.bit_length():
            raise ValueError(
                f"A register that counts {bits} bits at once needs more than {bits.bit_length()} "
                f"bits, not {width!r}")
        if style not in STYLES:
            raise ValueError(
                f"Neuron-register style must be one of {', '.join(STYLES)}, not {style!r}")
        if style in SPLIT_STYLES and not (
                isinstance(borrow_split, int) and bits.bit_length() <= borrow_split < width):
            raise ValueError(
                f"The low part of a {width}-bit register must have {bits.bit_length()} to "
                f"{width - 1} bits, not {borrow_split!r}")
        self._width = width
        self._style = style
        self._borrow_split = borrow_split
        super().__init__({
            "step": In(1),
            "shift": In(1),
            "clear": In(1),
            "load": In(1),
            "count": In(range(bits + 1)),
            "load_value": In(signed(width)),
            "value": Out(signed(width)),
            "negative": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        width = self._width

        doubled = Signal(signed(width))
        base = Signal(signed(width))
        total = Signal(width)
        following = Signal(width)
        m.d.comb += [
            doubled.eq(Cat(C(0, 1), self.value)),
            base.eq(Mux(self.clear | self.load, 0, Mux(self.shift, doubled, self.value))),
            total.eq(self._count_up_or_down(m, base)),
            following.eq(total | Mux(self.load, self.load_value.as_unsigned(), 0)),
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
                high_step.eq(self.step & (
                    self.shift | self.clear | self.load | (following[split] ^ high[0]))),
            ]
            gated_domain(m, "high_part", high_step)
            m.d.neurons += low.eq(following[:split])
            m.d.high_part += high.eq(following[split:])
        return m

    def _count_up_or_down(self, m, base):
        """`base` + count in a shift, else `base` - count; one adder for both directions.

        -count = ~count + 1, the 1 being the carry into bit 0.
        """
        width = self._width
        if self._style != "deferred":
            count = Signal(width)
            addend = Signal(width)
            total = Signal(width + 1)
            m.d.comb += [
                count.eq(self.count),
                addend.eq(Mux(self.shift, count, ~count)),
                total.eq(Cat(C(1, 1), base) + Cat(~self.shift, addend)),
            ]
            return total[1:]
        sums = []
        carry = ~self.shift
        for position, count in enumerate(self.count):
            m.submodules[f"adder_{position}"] = adder = FullAdder()
            m.d.comb += [
                adder.a.eq(base[position]), adder.b.eq(count ^ ~self.shift), adder.c.eq(carry)]
            sums.append(adder.total)
            carry = adder.carry
        # Above the count's bits there is nothing to add but what is carried, or to borrow.
        change = Signal()
        m.d.comb += change.eq(carry ^ ~self.shift)
        for position in range(len(self.count), width):
            sums.append(base[position] ^ change)
            following = Signal(name=f"change_{position}")
            m.d.comb += following.eq(change & (base[position] ^ ~self.shift))
            change = following
        return Cat(sums)
