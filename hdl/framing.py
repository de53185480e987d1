"""Frames on the byte stream: escapes and END marks taken off and put on, with the checksum."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from behavioral_models import protocol

__all__ = ["Checksum", "Deframer", "Framer", "Token"]


class Checksum(wiring.Component):
    """The packets' CRC, CRC-16/IBM-3740, a byte a cycle; 0 after a frame whose own CRC came last.

    Members
    -------
    data : In(8), valid : In(1)
        A byte to take in.
    start : In(1)
        Begin anew with the next byte; not together with `valid`.
    crc : Out(16)
        Of all bytes since the start.
    """

    data: In(8)
    valid: In(1)
    start: In(1)
    crc: Out(16, init=protocol.CRC_START)

    def elaborate(self, platform):
        m = Module()
        # Bits of crc and data that each bit of the following crc is the parity of.
        following = [{("crc", bit)} for bit in range(16)]
        for bit in reversed(range(8)):
            feedback = following[15] ^ {("data", bit)}
            following = [set(), *following[:15]]
            for place in range(16):
                if protocol.CRC_POLYNOMIAL >> place & 1:
                    following[place] = following[place] ^ feedback
        with m.If(self.start):
            m.d.sync += self.crc.eq(protocol.CRC_START)
        with m.Elif(self.valid):
            for place, bits in enumerate(following):
                m.d.sync += self.crc[place].eq(
                    Cat(getattr(self, name)[bit] for name, bit in sorted(bits)).xor())
        return m


#: A byte of a frame, or (`end`) the frame's end, and then whether an escape in it was `damaged`.
Token = data.StructLayout({"byte": 8, "end": 1, "damaged": 1})


class Deframer(wiring.Component):
    """Turns the byte stream into tokens, up to one a cycle, without latency.

    Members
    -------
    i : In(stream of bytes)
    o : Out(stream of Token)
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(Token))

    def elaborate(self, platform):
        m = Module()
        escaped = Signal()
        damaged = Signal()
        ended = Signal()
        plain = Signal(8)
        silent = Signal()
        m.d.comb += [
            ended.eq(self.i.payload == protocol.END),
            plain.eq(self.i.payload),
            silent.eq(~ended & (self.i.payload == protocol.ESCAPE)),
            self.o.payload.byte.eq(plain),
            self.o.payload.end.eq(ended),
            self.o.payload.damaged.eq(damaged | escaped),
        ]
        with m.If(escaped & ~ended):
            m.d.comb += silent.eq(0)
            with m.Switch(self.i.payload):
                with m.Case(protocol.ESCAPED_END):
                    m.d.comb += plain.eq(protocol.END)
                with m.Case(protocol.ESCAPED_ESCAPE):
                    m.d.comb += plain.eq(protocol.ESCAPE)
                with m.Default():
                    m.d.comb += silent.eq(1)
        m.d.comb += [
            self.o.valid.eq(self.i.valid & ~silent),
            self.i.ready.eq(self.o.ready | silent),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += escaped.eq(silent & ~escaped)
            with m.If(ended):
                m.d.sync += [escaped.eq(0), damaged.eq(0)]
            with m.Elif(silent & escaped):
                m.d.sync += damaged.eq(1)
        return m


class Framer(wiring.Component):
    """Turns an answer into a frame: END, the bytes escaped, their checksum, END.

    Members
    -------
    i : In(stream of (byte, last))
        The answer's bytes; `last` marks its last. A byte that is not taken may be withdrawn.
    o : Out(stream of bytes)
    """

    i: In(stream.Signature(data.StructLayout({"byte": 8, "last": 1})))
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        m.submodules.checksum = crc = Checksum()
        contents = self.i.payload
        valid = Signal()
        plain = Signal(8)
        mark = Signal()  # `plain` is an END mark, not contents
        special = Signal()
        taken = Signal()
        escaped = Signal()  # the second byte of an escape is due, whatever comes in meanwhile
        code = Signal(8, reset_less=True)
        m.d.comb += [
            special.eq(~mark & ((plain == protocol.END) | (plain == protocol.ESCAPE))),
            self.o.valid.eq(valid | escaped),
            self.o.payload.eq(Mux(escaped, code, Mux(special, protocol.ESCAPE, plain))),
            taken.eq(valid & self.o.ready & ~escaped),
            crc.data.eq(contents.byte),
        ]
        with m.If(self.o.ready):
            m.d.sync += [
                escaped.eq(taken & special),
                code.eq(Mux(plain == protocol.END, protocol.ESCAPED_END, protocol.ESCAPED_ESCAPE)),
            ]

        with m.FSM(name="framer"):
            with m.State("BEGIN"):
                m.d.comb += [
                    valid.eq(self.i.valid), plain.eq(protocol.END), mark.eq(1), crc.start.eq(1)]
                with m.If(taken):
                    m.next = "CONTENTS"
            with m.State("CONTENTS"):
                m.d.comb += [
                    valid.eq(self.i.valid),
                    plain.eq(contents.byte),
                    self.i.ready.eq(self.o.ready & ~escaped),
                    crc.valid.eq(taken),
                ]
                with m.If(taken & contents.last):
                    m.next = "CHECKSUM_HIGH"
            with m.State("CHECKSUM_HIGH"):
                m.d.comb += [valid.eq(1), plain.eq(crc.crc[8:])]
                with m.If(taken):
                    m.next = "CHECKSUM_LOW"
            with m.State("CHECKSUM_LOW"):
                m.d.comb += [valid.eq(1), plain.eq(crc.crc[:8])]
                with m.If(taken):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [valid.eq(1), plain.eq(protocol.END), mark.eq(1)]
                with m.If(taken):
                    m.next = "BEGIN"
        return m
