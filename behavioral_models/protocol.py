"""The host protocol: one packet format on a byte stream, used by gateware and driver alike.

A packet is a frame of bytes between END marks. Inside a frame END and ESCAPE are replaced by two
bytes each (SLIP, RFC 1055), so a receiver finds the next packet after any noise. Frame contents:

    request   opcode, tag, arguments, data, CRC (2 bytes, most significant first)
    answer    opcode + 0x80, tag of the request, data, status, CRC

The CRC is CRC-16/IBM-3740 (polynomial 0x1021, start 0xFFFF) over everything before it; multi-byte
numbers are little-endian. Data whose length depends on the configuration (passes, registers)
follows the arguments; all other packets are executed only when they have arrived whole and sound.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from enum import IntEnum

from behavioral_models import constants
from behavioral_models.geometry import ChipGeometry

VERSION = 1

END = 0xC0
ESCAPE = 0xDB
ESCAPED_END = 0xDC
ESCAPED_ESCAPE = 0xDD

CRC_POLYNOMIAL = 0x1021
CRC_START = 0xFFFF
ANSWER = 0x80


class Opcode(IntEnum):
    """What a request asks for."""

    IDENTIFY = 0x01
    STATUS = 0x02
    CONFIGURE = 0x03
    SET_TIMING = 0x04
    FORM = 0x05
    PROGRAM_ROW = 0x06
    READ_ROW = 0x07
    RUN = 0x08
    READ_REGISTERS = 0x09
    PRELOAD = 0x0A
    WAIT = 0x0B
    MEASURE = 0x0C


class Configuration(IntEnum):
    """How the banks get their inputs.

    SINGLE_LAYER
        All banks see the same inputs: one layer, as wide as all banks (published: 116 x 128).
    TWO_LAYER
        Each bank sees inputs of its own (published: two layers of 116 x 64).
    CHAINED
        Bank 1's first inputs are bank 0's outputs, on chip; its inputs beyond them are 0. Bank 1
        works on one inference while bank 0 works on the next, and counts on the last plane only.
    """

    SINGLE_LAYER = 0
    TWO_LAYER = 1
    CHAINED = 2


class Start(IntEnum):
    """What the neuron registers hold when a pass begins."""

    THRESHOLDS = 0  #: 0, then the thresholds are shifted in from the threshold rows
    REGISTERS = 1  #: what they held before
    PRELOAD = 2  #: values given with each inference


class Status(IntEnum):
    """How a request ended; all but OK name an error."""

    OK = 0
    BAD_CHECKSUM = 1
    BAD_FRAME = 2
    UNKNOWN_OPCODE = 3
    TRUNCATED = 4
    OVERSIZED = 5
    BAD_ARGUMENT = 6
    NOT_CONFIGURED = 7
    BUSY = 8


#: One sentence for each status, for people.
STATUS_TEXT = {
    Status.OK: "done",
    Status.BAD_CHECKSUM: "the packet's checksum is wrong: it was damaged on the way",
    Status.BAD_FRAME: "the packet holds an escape byte that escapes nothing",
    Status.UNKNOWN_OPCODE: "the chip does not know this request",
    Status.TRUNCATED: "the packet ended before all it announces had arrived",
    Status.OVERSIZED: "the packet is longer than what it announces",
    Status.BAD_ARGUMENT: "an argument is out of this chip's range, such as an unknown macro or row",
    Status.NOT_CONFIGURED: "a pass needs a CONFIGURE before it",
    Status.BUSY: "the chip is forming or programming: ask again after WAIT; or a memristor is "
    "connected to the measuring pads: disconnect it first",
}


@dataclass(frozen=True)
class Field:
    """One number of a packet: `size` bytes, little-endian."""

    name: str
    size: int
    text: str


@dataclass(frozen=True)
class PacketFormat:
    """Arguments of a request and contents of its answer.

    `data` and `answer_data` say in words what follows the fixed fields, empty if nothing does.
    `needs_bypass`: a chip without a sense bypass does not know this request.
    """

    opcode: Opcode
    text: str
    arguments: tuple[Field, ...] = ()
    answer: tuple[Field, ...] = ()
    data: str = ""
    answer_data: str = ""
    answer_last: tuple[Field, ...] = field(default=())
    needs_bypass: bool = False

    @property
    def argument_bytes(self) -> int:
        """Bytes between tag and data (or CRC)."""
        return sum(argument.size for argument in self.arguments)


_MACRO = Field("macro", 2, "macro, bank after bank")
_ROW = Field("row", 2, "word line")
_CYCLES = (
    Field("cycles", 4, "clock cycles of the passes, without those waiting for the host"),
    Field("wait_cycles", 4, "clock cycles in which the passes waited for the host"),
)


#: SET_TIMING's numbers in the order they are sent; names as in the programmer's registers.
TIMING_FIELDS = (
    Field("form_pulse", 2, "forming pulse, clock cycles"),
    Field("set_pulse", 2, "SET pulse, clock cycles"),
    Field("reset_pulse", 2, "RESET pulse, clock cycles"),
    Field("dead_time", 2, "cycles with no rail connected, and cycles for a new rail to settle"),
    Field("pulse_setup", 2, "cycles row, column and side are held before and after a pulse"),
)


def packet_formats(geometry: ChipGeometry) -> dict[Opcode, PacketFormat]:
    """All requests, with the sizes of this geometry; its chip knows those of `known_packets`."""
    row_data = Field(
        "data", geometry.bank_bytes, "bits of the row, column 0 first, least significant bit first"
    )
    mask = Field(
        "macros", geometry.mask_bytes, "one bit an enabled macro, macro 0 least significant"
    )
    formats = (
        PacketFormat(
            Opcode.IDENTIFY,
            "Say which chip this is.",
            answer=IDENTIFY_FIELDS,
        ),
        PacketFormat(
            Opcode.STATUS,
            "Say what the chip is doing; answered at any time.",
            answer=(
                Field(
                    "programming",
                    1,
                    "1 while forming or programming goes on, "
                    "2 while a memristor is connected to the measuring pads",
                ),
                Field("configured", 1, "1 once a CONFIGURE was accepted"),
            ),
        ),
        PacketFormat(
            Opcode.CONFIGURE,
            "Set how passes run.",
            arguments=(*CONFIGURE_FIELDS, mask),
        ),
        PacketFormat(
            Opcode.SET_TIMING,
            "Set the programmer's times, each at least 1.",
            arguments=TIMING_FIELDS,
        ),
        PacketFormat(
            Opcode.FORM,
            "Form every memristor of a row, one after the other. Answered when begun.",
            arguments=(_MACRO, _ROW),
        ),
        PacketFormat(
            Opcode.PROGRAM_ROW,
            "Program a row: SET, then RESET, one memristor after the other. Answered when begun.",
            arguments=(_MACRO, _ROW, row_data),
        ),
        PacketFormat(
            Opcode.READ_ROW,
            "Sense a row once, as XNOR with x (1: the weights themselves).",
            arguments=(_MACRO, _ROW, Field("x", 1, "0 or 1")),
            answer=(row_data,),
        ),
        PacketFormat(
            Opcode.RUN,
            "Run inferences as configured.",
            arguments=(Field("inferences", 4, "how many, at least 1"),),
            data="per inference: with start PRELOAD the registers, then the inputs in row order",
            answer_data="per pass: output bits of the enabled banks; with readout, their registers",
            answer_last=_CYCLES,
        ),
        PacketFormat(
            Opcode.READ_REGISTERS,
            "Read the neuron registers of the configured banks.",
            answer_data="the registers, neuron 0 first, two's complement",
        ),
        PacketFormat(
            Opcode.PRELOAD,
            "Write the neuron registers of the configured banks.",
            data="the registers, neuron 0 first, two's complement",
        ),
        PacketFormat(Opcode.WAIT, "Answer when forming or programming has ended."),
        PacketFormat(
            Opcode.MEASURE,
            "Connect one memristor to the measuring pads, or disconnect it; answered when done. "
            "Only a chip with a sense bypass knows it.",
            arguments=(
                _MACRO,
                _ROW,
                Field("column", 2, "bit cell of the row"),
                Field("side", 1, "memristor of the bit cell: 0 on BL, 1 on BLb"),
                Field("connect", 1, "1 connects; 0 disconnects, whatever the place"),
            ),
            needs_bypass=True,
        ),
    )
    return {packet.opcode: packet for packet in formats}


def known_packets(geometry: ChipGeometry) -> dict[Opcode, PacketFormat]:
    """Those of `packet_formats` that a chip of this geometry knows."""
    return {
        opcode: packet
        for opcode, packet in packet_formats(geometry).items()
        if geometry.sense_bypass or not packet.needs_bypass
    }


#: IDENTIFY's answer.
IDENTIFY_FIELDS = (
    Field("version", 1, "protocol version"),
    Field("banks", 1, "banks"),
    Field("macros_per_bank", 1, "macros of a bank"),
    Field("rows", 2, "word lines of a macro"),
    Field("columns", 2, "bit cells of a word line"),
    Field("max_inputs", 3, "inputs of the widest layer"),
    Field("max_planes", 1, "bit planes of the widest input"),
    Field("sense_bypass", 1, "1 if single resistances can be measured"),
    Field("read_timing", 1, "clock cycles a row"),
    Field("clock_hz", 4, "the clock the default pulse lengths are for, hertz"),
)

#: CONFIGURE's fixed arguments. The chip knows row operations; a PassConfig is turned into them.
CONFIGURE_FIELDS = (
    Field("configuration", 1, "0 single layer, 1 two-layer, 2 chained"),
    Field("start", 1, "0 thresholds, 1 registers, 2 preload"),
    Field("readout", 1, "1 to send the registers after each pass"),
    Field("planes", 1, "planes a pass counts"),
    Field("weight_rows", 2, "weight rows counted a plane"),
    Field("initial_shifts", 2, "shifts before the first plane"),
    Field("first_threshold_row", 2, "row of the first shift"),
)


#: Clock at which the longest published pulse fills its 16-bit register, hertz.
FASTEST_HZ = 0xFFFF / constants.FORM_PULSE_S


def default_timing(clock_hz: float) -> dict[str, int]:
    """The programmer's register values, clock cycles, for the published pulses at this clock.

    Raises ValueError if a pulse would not fit its 16-bit register.
    """
    if not 0 < clock_hz < float("inf"):
        raise ValueError(
            f"At {clock_hz:g} Hz there are no pulses; clocks above 0 up to "
            f"{FASTEST_HZ / 1e9:.1f} GHz are supported"
        )
    seconds = {
        "form_pulse": constants.FORM_PULSE_S,
        "set_pulse": constants.SET_PULSE_S,
        "reset_pulse": constants.RESET_PULSE_S,
        "dead_time": constants.RAIL_DEAD_TIME_S,
        "pulse_setup": constants.PULSE_SETUP_S,
    }
    cycles = {name: max(1, round(time_s * clock_hz)) for name, time_s in seconds.items()}
    for name, value in cycles.items():
        if value > 0xFFFF:
            raise ValueError(
                f"At {clock_hz:g} Hz the {name.replace('_', ' ')} would be {value} cycles; "
                f"clocks above 0 up to {FASTEST_HZ / 1e9:.1f} GHz are supported"
            )
    return cycles


def pack_fields(fields: tuple[Field, ...], values: dict[str, int]) -> bytes:
    """Numbers to bytes in the order of `fields`; ValueError names one that does not fit."""
    packed = bytearray()
    for item in fields:
        value = int(values[item.name])
        if not 0 <= value < 1 << 8 * item.size:
            raise ValueError(f"{item.name} = {value} does not fit {item.size} bytes")
        packed += value.to_bytes(item.size, "little")
    return bytes(packed)


def unpack_fields(fields: tuple[Field, ...], data: bytes) -> dict[str, int]:
    """Bytes to numbers by name; ValueError if the length is wrong."""
    size = sum(item.size for item in fields)
    if len(data) != size:
        raise ValueError(
            f"Expected {size} bytes of {', '.join(f.name for f in fields)}, got {len(data)}"
        )
    values, position = {}, 0
    for item in fields:
        values[item.name] = int.from_bytes(data[position : position + item.size], "little")
        position += item.size
    return values


def crc(data: bytes) -> int:
    """CRC-16/IBM-3740 of `data`."""
    return binascii.crc_hqx(data, CRC_START)


def frame(contents: bytes) -> bytes:
    """Append the CRC, escape, and close with END. An END in front clears what noise left behind."""
    body = contents + crc(contents).to_bytes(2, "big")
    body = body.replace(bytes([ESCAPE]), bytes([ESCAPE, ESCAPED_ESCAPE]))
    body = body.replace(bytes([END]), bytes([ESCAPE, ESCAPED_END]))
    return bytes([END]) + body + bytes([END])


class FrameError(ValueError):
    """A frame that is damaged: a bad escape, a bad checksum, or too short to be a packet."""


def unframe(body: bytes) -> bytes:
    """The contents of one frame without END marks and CRC; FrameError if it is damaged."""
    pieces = body.split(bytes([ESCAPE]))
    plain = bytearray(pieces[0])
    for piece in pieces[1:]:
        if piece[:1] == bytes([ESCAPED_END]):
            plain.append(END)
        elif piece[:1] == bytes([ESCAPED_ESCAPE]):
            plain.append(ESCAPE)
        else:
            raise FrameError("A frame holds an escape byte that escapes nothing")
        plain += piece[1:]
    if len(plain) < 4:
        raise FrameError(f"A frame of {len(plain)} bytes is too short for a packet")
    if crc(bytes(plain)) != 0:
        raise FrameError("A frame's checksum is wrong")
    return bytes(plain[:-2])


def slots_per_byte(slot_bits: int) -> int:
    """Row slots in one input byte, 0 if a slot takes whole bytes.

    A row slot is the inputs of one weight row, one bit a macro. Slots are packed from the least
    significant bit of a byte and do not cross bytes; an inference's inputs start on a new byte.
    """
    return 8 // slot_bits


def input_bytes(slot_bits: int, slots: int) -> int:
    """Bytes of `slots` row slots of `slot_bits` bits each."""
    per_byte = slots_per_byte(slot_bits)
    return -(-slots // per_byte) if per_byte else slots * -(-slot_bits // 8)
