"""The host protocol: frames, checksum, fields, default times."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from behavioral_models import protocol
from behavioral_models.geometry import HELIOBIT, JEBALI_2024, TEST_DIE, TINY, ChipGeometry
from behavioral_models.protocol import Field, FrameError, Opcode, Status

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
BANKS_255 = ChipGeometry(
    banks=255, macros_per_bank=1, rows=65_535, columns=4_096, max_inputs=1 << 20, max_planes=8
)

#: Bytes in which marks and escapes are as likely as the rest.
awkward = st.lists(
    st.one_of(st.sampled_from([0xC0, 0xDB, 0xDC, 0xDD]), st.integers(0, 255)),
    min_size=3,
    max_size=40,
).map(bytes)


def bitwise_crc(data):
    """CRC-16/IBM-3740 from its definition, bit by bit."""
    register = 0xFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            feedback = register >> 15 ^ byte >> bit & 1
            register = register << 1 & 0xFFFF
            if feedback:
                register ^= 0x1021
    return register


def test_crc_check_value():
    """The catalogue's check value of CRC-16/IBM-3740."""
    assert protocol.crc(b"123456789") == bitwise_crc(b"123456789") == 0x29B1
    assert protocol.crc(b"") == 0xFFFF


@given(st.binary(max_size=60))
def test_crc_bit_by_bit(data):
    assert protocol.crc(data) == bitwise_crc(data)
    assert protocol.crc(data + protocol.crc(data).to_bytes(2, "big")) == 0


@given(awkward)
def test_frame_round_trip(contents):
    framed = protocol.frame(contents)
    assert framed[0] == framed[-1] == protocol.END
    body = framed[1:-1]
    assert protocol.END not in body
    assert protocol.unframe(body) == contents


def test_marks_are_escaped_as_in_rfc_1055():
    body = protocol.frame(b"\xc0\xdb\xdc\xdd")[1:-1]
    assert body.startswith(b"\xdb\xdc\xdb\xdd\xdc\xdd")


@given(awkward, st.data())
def test_a_changed_byte_is_found(contents, data):
    """A CRC of 16 bits finds every burst of 16 bits, so every damaged byte in a whole frame."""
    body = bytearray(protocol.frame(contents)[1:-1])
    place = data.draw(st.integers(0, len(body) - 1))
    new = data.draw(
        st.integers(0, 255).filter(lambda byte: byte not in (protocol.END, body[place]))
    )
    around = body[max(0, place - 1) : place + 1] + bytes([new])
    assume(
        protocol.ESCAPE not in around
    )  # an escape made or lost moves all that follows: next test
    body[place] = new
    with pytest.raises(FrameError, match="checksum is wrong"):
        protocol.unframe(bytes(body))


@given(awkward, st.integers(0, 15))
def test_a_flipped_bit_of_the_plain_contents_is_found(contents, bit):
    plain = bytearray(contents + bitwise_crc(contents).to_bytes(2, "big"))
    plain[bit % len(plain)] ^= 1 << bit % 8
    body = bytes(plain).replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    with pytest.raises(FrameError, match="checksum is wrong"):
        protocol.unframe(body)


@pytest.mark.parametrize(
    "body", [b"\x81\x00\xdb\x00\x00\x00", b"\x81\x00\x00\x00\x00\xdb", b"\xdb\xdb\xdc\x00\x00\x00"]
)
def test_bad_escapes_are_found(body):
    with pytest.raises(FrameError, match="escape byte that escapes nothing"):
        protocol.unframe(body)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_short_frames_are_found(size):
    with pytest.raises(FrameError, match=f"A frame of {size} bytes is too short"):
        protocol.unframe(bytes(size))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.data())
def test_fields_round_trip(sizes, data):
    fields = tuple(Field(f"f{i}", size, "") for i, size in enumerate(sizes))
    values = {f.name: data.draw(st.integers(0, 256**f.size - 1)) for f in fields}
    packed = protocol.pack_fields(fields, values)
    assert len(packed) == sum(sizes)
    assert protocol.unpack_fields(fields, packed) == values


def test_fields_are_little_endian_in_order():
    fields = (Field("a", 1, ""), Field("b", 2, ""), Field("c", 3, ""))
    assert (
        protocol.pack_fields(fields, {"c": 0x010203, "a": 0x11, "b": 0x2233})
        == b"\x11\x33\x22\x03\x02\x01"
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_fields_that_do_not_fit_are_named(size):
    for value in (256**size, -1):
        with pytest.raises(ValueError, match=f"^width = {value} does not fit {size} bytes"):
            protocol.pack_fields((Field("width", size, ""),), {"width": value})


@pytest.mark.parametrize("length", [0, 2, 4])
def test_wrong_lengths_are_refused(length):
    fields = (Field("one", 1, ""), Field("two", 2, ""))
    with pytest.raises(ValueError, match=f"Expected 3 bytes of one, two, got {length}"):
        protocol.unpack_fields(fields, bytes(length))


def test_published_pulses_at_the_published_clock():
    """Jebali 2024: 10 us forming, 6 us SET and RESET, 66 MHz; dead time 100, setup 50 ns (ours)."""
    timing = protocol.default_timing(66e6)
    assert timing["form_pulse"] == 660
    assert timing["set_pulse"] == timing["reset_pulse"] == 396
    assert timing["dead_time"] == 7  # 6.6 cycles
    assert timing["pulse_setup"] == 3  # 3.3 cycles
    assert tuple(timing) == tuple(field.name for field in protocol.TIMING_FIELDS)


@given(st.floats(1, 6.5e9))
def test_default_timing_fits_its_registers_and_is_never_zero(clock_hz):
    timing = protocol.default_timing(clock_hz)
    protocol.pack_fields(protocol.TIMING_FIELDS, timing)
    assert all(1 <= value for value in timing.values())
    assert abs(timing["form_pulse"] - max(1, clock_hz * 10e-6)) <= 0.5000001


@pytest.mark.parametrize("clock_hz", [6.6e9, 1e12])
def test_clocks_too_fast_for_the_pulse_timer_are_refused(clock_hz):
    with pytest.raises(
        ValueError, match=r"the form pulse would be \d+ cycles; clocks .*up to 6.6 GHz"
    ):
        protocol.default_timing(clock_hz)


@pytest.mark.parametrize("clock_hz", [0, -1e6])
def test_clocks_that_do_not_tick_are_refused(clock_hz):
    with pytest.raises(ValueError, match="clocks .*up to 6.6 GHz"):
        protocol.default_timing(clock_hz)


@pytest.mark.parametrize("clock_hz", [float("nan"), float("inf")])
def test_clocks_that_are_no_number_are_refused(clock_hz):
    with pytest.raises(ValueError, match="clocks .*up to 6.6 GHz"):
        protocol.default_timing(clock_hz)


@pytest.mark.parametrize("bits", range(1, 20))
@pytest.mark.parametrize("slots", [1, 3, 8, 58])
def test_bytes_of_row_slots(bits, slots):
    """Slots do not cross bytes: as many as fit whole into one, or whole bytes a slot."""
    assert protocol.slots_per_byte(bits) == 8 // bits
    used, free = 0, 0
    for _ in range(slots):
        if bits > 8:
            used += (bits + 7) // 8
        elif free < bits:
            used, free = used + 1, 8 - bits
        else:
            free -= bits
    assert protocol.input_bytes(bits, slots) == used


@pytest.mark.parametrize("geometry", [SMALLEST, TINY, JEBALI_2024, HELIOBIT, TEST_DIE, BANKS_255])
def test_packets_of_a_geometry(geometry):
    packets = protocol.packet_formats(geometry)
    assert set(packets) == set(Opcode)
    for opcode, packet in packets.items():
        assert packet.opcode is opcode
        assert packet.argument_bytes == sum(field.size for field in packet.arguments)
        names = [field.name for field in packet.arguments]
        assert len(names) == len(set(names))
    assert packets[Opcode.PROGRAM_ROW].argument_bytes == 4 + (geometry.columns + 7) // 8
    assert packets[Opcode.CONFIGURE].arguments[-1].size == (geometry.macros + 7) // 8
    identity = {**geometry.as_dict(), "version": 1, "read_timing": 3, "clock_hz": 66_000_000}
    packed = protocol.pack_fields(protocol.IDENTIFY_FIELDS, identity)
    assert protocol.unpack_fields(protocol.IDENTIFY_FIELDS, packed) == identity


@pytest.mark.parametrize("geometry", [TINY, TEST_DIE])
def test_only_a_chip_with_a_bypass_knows_how_to_measure(geometry):
    unknown = set() if geometry.sense_bypass else {Opcode.MEASURE}
    known = protocol.known_packets(geometry)
    assert set(Opcode) - set(known) == unknown
    assert all(known[o] == p for o, p in protocol.packet_formats(geometry).items() if o in known)


def test_codes_are_fixed():
    """Other programs rely on them: a change is a new protocol version."""
    assert protocol.VERSION == 1
    assert [int(o) for o in Opcode] == list(range(1, 13))
    assert [int(s) for s in Status] == list(range(9))
    assert set(protocol.STATUS_TEXT) == set(Status)
    assert not any(o & protocol.ANSWER for o in Opcode)
