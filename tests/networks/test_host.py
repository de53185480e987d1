"""The host driver and the protocol's answers, on raw bytes, against a Verilated chip."""

import random
import sys
from dataclasses import replace

import numpy as np
import pytest

from behavioral_models import protocol
from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import JEBALI_2024, TINY
from behavioral_models.macro import read_table
from behavioral_models.passes import Configuration, PassConfig, Start
from behavioral_models.protocol import Opcode, Status
from hdl.parameters import ChipParameters
from networks.host import HostError, HostExecutor, RefusedError, VerifyError
from sim.verilated import PipeTransport, VerilatedChip, build_chip, write_macro_images
from tests.needs import need

PARAMETERS = ChipParameters(TINY)
MEASURED = replace(TINY, sense_bypass=True)
FORMATS = protocol.packet_formats(TINY)
IMAGE = np.random.default_rng(0).random(TINY.image_shape) < 0.5
CONFIG = PassConfig(weight_rows=3, threshold_rows=2)
INPUTS = np.random.default_rng(1).integers(0, 2, (4, 6))
SHORT = {"form_pulse": 3, "set_pulse": 2, "reset_pulse": 2, "dead_time": 1, "pulse_setup": 1}


class Wire:
    """A chip on a byte stream: raw bytes in, answers out, and the driver on the same stream."""

    def __init__(self, transport, geometry=TINY):
        self.transport = transport
        self._received = b""
        self.driver = HostExecutor(transport, geometry, timeout_s=20)
        self.golden = GoldenChip(TINY)
        self.golden.load(IMAGE)

    def answer(self):
        """Contents of the next answer."""
        while True:
            while protocol.END not in self._received:
                arrived = self.transport.read(20)
                assert arrived, "the chip does not answer"
                self._received += arrived
            body, self._received = self._received.split(bytes([protocol.END]), 1)
            if body:
                return protocol.unframe(body)

    def ask(self, contents):
        return self.ask_raw(protocol.frame(contents))

    def ask_raw(self, framed):
        self.transport.write(framed)
        return self.answer()

    def quiet(self):
        return self._received.strip(bytes([protocol.END])) == b""

    def check_unharmed(self):
        """Nothing is left on the line, weights are as they were, a pass gives what it must."""
        assert self.quiet()
        self.driver.verify(IMAGE)
        made = self.driver.run(CONFIG, INPUTS, readout=True)
        expected = self.golden.run(CONFIG, INPUTS, readout=True)
        assert (made.preactivations == expected.preactivations).all()
        assert made.cycles == expected.cycles


@pytest.fixture(scope="module")
def program():
    """The simulator."""
    need("verilator")
    need("yosys")
    return build_chip(PARAMETERS)


@pytest.fixture(scope="module")
def measured_program():
    """The simulator of the same chip with a sense bypass."""
    need("verilator")
    need("yosys")
    return build_chip(ChipParameters(MEASURED))


@pytest.fixture
def power_up(tmp_path, program):
    """Function that powers a chip up with IMAGE in it, or with virgin memristors."""
    wires = []

    def up(programmed=True, program=program, geometry=TINY):
        command = [program]
        if programmed:
            command.append(f"+macro_image={write_macro_images(TINY, read_table(IMAGE), tmp_path)}")
        wires.append(Wire(PipeTransport(command), geometry))
        return wires[-1]

    yield up
    for wire in wires:
        wire.driver.close()


@pytest.fixture
def wire(power_up):
    return power_up()


@pytest.fixture
def measured(power_up, measured_program):
    return power_up(program=measured_program, geometry=MEASURED)


def packed(opcode, **arguments):
    return protocol.pack_fields(FORMATS[opcode].arguments, arguments)


def request(opcode, body=b"", tag=0x5A):
    return bytes([opcode, tag]) + body


def with_crc(contents):
    return contents + protocol.crc(contents).to_bytes(2, "big")


def escaped(plain):
    """A frame of bytes that bring their own checksum, right or wrong."""
    body = plain.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + body + b"\xc0"


def refusal(opcode, status, tag=0x5A):
    return bytes([opcode | 0x80, tag, status])


#: A PROGRAM_ROW that would turn over a whole row, and whose bytes are no marks.
FLIPPED_ROW = int(np.packbits(~IMAGE[2, 4], bitorder="little")[0])
PROGRAM = request(Opcode.PROGRAM_ROW, packed(Opcode.PROGRAM_ROW, macro=2, row=4, data=FLIPPED_ROW))


def configure(**changes):
    values = {
        "configuration": 0,
        "start": 0,
        "readout": 0,
        "planes": 1,
        "weight_rows": 3,
        "initial_shifts": 2,
        "first_threshold_row": 3,
        "macros": 0b1111,
        **changes,
    }
    return request(Opcode.CONFIGURE, packed(Opcode.CONFIGURE, **values))


def run_request(inferences, data):
    return request(Opcode.RUN, packed(Opcode.RUN, inferences=inferences) + data)


# Damage


def test_a_changed_byte_is_refused_and_harms_nothing(wire):
    good = with_crc(PROGRAM)
    for place in range(len(good)):
        for change in (0x01, 0x80, 0x55):
            bad = bytearray(good)
            bad[place] ^= change
            answer = wire.ask_raw(escaped(bytes(bad)))
            if place == 0:  # another request, of another length
                assert answer[-1] != Status.OK
            else:
                assert answer == refusal(Opcode.PROGRAM_ROW, Status.BAD_CHECKSUM, bad[1])
    wire.check_unharmed()


def test_a_run_with_a_wrong_checksum_says_so(wire):
    assert wire.ask(configure())[-1] == Status.OK
    for change in range(1, 256, 7):
        bad = bytearray(with_crc(run_request(2, b"\x2a\x15")))
        bad[-1] ^= change
        assert wire.ask_raw(escaped(bytes(bad)))[-1] == Status.BAD_CHECKSUM
    wire.check_unharmed()


@pytest.mark.parametrize("escape", [b"\xdb\x00", b"\xdb\xdb", b"\xdb\xde"])
def test_bad_escapes(wire, escape):
    body = with_crc(PROGRAM)
    for place in range(2, len(body) + 1):
        framed = b"\xc0" + body[:place] + escape + body[place:] + b"\xc0"
        answer = wire.ask_raw(framed)
        assert answer == refusal(Opcode.PROGRAM_ROW, Status.BAD_FRAME), place
    assert wire.ask_raw(b"\xc0" + body + b"\xdb\xc0") == refusal(
        Opcode.PROGRAM_ROW, Status.BAD_FRAME
    )
    wire.check_unharmed()


@pytest.mark.parametrize("opcode", [0x00, 0x0C, 0x7F, 0x80, 0x88, 0xFE])
def test_unknown_requests(wire, opcode):
    for body in (b"", b"\x01", bytes(40)):
        assert wire.ask(request(opcode, body)) == refusal(opcode, Status.UNKNOWN_OPCODE)
        bad = bytearray(with_crc(request(opcode, body)))
        bad[-1] ^= 1
        assert wire.ask_raw(escaped(bytes(bad))) == refusal(opcode, Status.BAD_CHECKSUM)
    wire.check_unharmed()


def test_every_prefix_of_a_request_is_truncated(wire):
    whole = with_crc(PROGRAM)
    assert wire.transport.write(b"\xc0\xc0\xc0") is None  # empty frames are no requests
    for length in range(1, len(whole)):
        answer = wire.ask_raw(escaped(whole[:length]))
        assert answer == refusal(Opcode.PROGRAM_ROW, Status.TRUNCATED, 0x5A if length > 1 else 0)
    wire.check_unharmed()


@pytest.mark.parametrize("start", [Start.THRESHOLDS, Start.PRELOAD])
@pytest.mark.parametrize("readout", [0, 1])
def test_every_prefix_of_a_run_is_truncated(wire, start, readout):
    shifts = 2 if start is Start.THRESHOLDS else 0
    settings = configure(start=start, readout=readout, initial_shifts=shifts)
    assert wire.ask(settings)[-1] == Status.OK
    one = (bytes(6) if start is Start.PRELOAD else b"") + b"\x2a"
    whole = with_crc(run_request(3, 3 * one))
    good = wire.ask_raw(escaped(whole))
    assert good[-1] == Status.OK
    for length in range(1, len(whole)):
        answer = wire.ask_raw(escaped(whole[:length]))
        assert answer[0] == Opcode.RUN | 0x80 and answer[1] == (0x5A if length > 1 else 0)
        assert answer[-1] == Status.TRUNCATED, length
        assert wire.ask_raw(escaped(whole))[:-9] == good[:-9], length  # but for the waiting
    wire.check_unharmed()


@pytest.mark.parametrize("extra", [b"\x00", b"\xc0\xdb", bytes(300)])
def test_requests_longer_than_announced(wire, extra):
    for contents in (request(Opcode.IDENTIFY), PROGRAM, configure(macros=1), request(Opcode.WAIT)):
        assert wire.ask(contents + extra) == refusal(contents[0], Status.OVERSIZED)
    assert wire.ask(configure())[-1] == Status.OK
    answer = wire.ask(run_request(1, b"\x2a" + extra))
    assert (answer[0], answer[-1]) == (Opcode.RUN | 0x80, Status.OVERSIZED)
    wire.check_unharmed()


@pytest.mark.parametrize("seed", range(3))
def test_noise_between_requests(wire, seed):
    """Whatever comes before a packet's first mark, the packet is understood."""
    rng = random.Random(seed)
    marks = (
        0xC0,
        0xDB,
        0xDC,
        0xDD,
        Opcode.RUN,
        Opcode.PRELOAD,
        Opcode.PROGRAM_ROW,
        Opcode.CONFIGURE,
        0,
        1,
    )
    for _ in range(60):
        noise = bytes(
            rng.choice(marks) if rng.random() < 0.6 else rng.randrange(256)
            for _ in range(rng.randint(1, 60))
        )
        wire.transport.write(noise)
        place = rng.randrange(4), rng.randrange(6)
        assert (wire.driver.read_row(*place) == IMAGE[place]).all()
    wire.driver.verify(IMAGE)
    made = wire.driver.run(CONFIG, INPUTS, True)
    assert (made.preactivations == wire.golden.run(CONFIG, INPUTS, True).preactivations).all()


# Arguments


@pytest.mark.parametrize("opcode", [Opcode.FORM, Opcode.PROGRAM_ROW, Opcode.READ_ROW])
@pytest.mark.parametrize(
    "macro, row", [(4, 0), (0, 6), (0, 7), (0xFFFF, 0), (0, 0xFFFF), (256, 0), (0, 256)]
)
def test_places_that_do_not_exist(wire, opcode, macro, row):
    arguments = {"macro": macro, "row": row, "data": 7, "x": 1}
    body = packed(opcode, **{f.name: arguments[f.name] for f in FORMATS[opcode].arguments})
    assert wire.ask(request(opcode, body)) == refusal(opcode, Status.BAD_ARGUMENT)
    wire.check_unharmed()


@pytest.mark.parametrize("x", [2, 3, 255])
def test_inputs_that_are_no_bit(wire, x):
    body = packed(Opcode.READ_ROW, macro=0, row=0, x=x)
    assert wire.ask(request(Opcode.READ_ROW, body)) == refusal(Opcode.READ_ROW, Status.BAD_ARGUMENT)
    wire.check_unharmed()


BAD_CONFIGURATIONS = [
    {"configuration": 3},
    {"configuration": 255},
    {"start": 3},
    {"start": 128},
    {"readout": 2},
    {"planes": 0},
    {"planes": 3},
    {"weight_rows": 0},
    {"weight_rows": 7},
    {"weight_rows": 0x103},
    {"initial_shifts": 4},
    {"initial_shifts": 0xFFFF},
    {"first_threshold_row": 5},
    {"first_threshold_row": 7, "initial_shifts": 0},
    {"first_threshold_row": 0xFFFF},
    {"first_threshold_row": 0xFFFF, "initial_shifts": 0xFFFF},
    {"planes": 2, "initial_shifts": 3},
    {"macros": 0},
    {"macros": 16},
    {"macros": 0x1F},
    {"configuration": 2, "macros": 0b0011},
    {"configuration": 2, "macros": 0b1100},
    {"configuration": 2, "start": 1},
    {"configuration": 2, "start": 2},
]


def test_bad_configurations_leave_the_old_one(wire):
    assert wire.ask(configure())[-1] == Status.OK
    good = wire.ask(run_request(1, b"\x2a"))
    for changes in BAD_CONFIGURATIONS:
        assert wire.ask(configure(**changes)) == refusal(Opcode.CONFIGURE, Status.BAD_ARGUMENT), (
            changes
        )
        assert wire.ask(run_request(1, b"\x2a"))[:-9] == good[:-9], changes
    wire.check_unharmed()


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_rows": 6, "initial_shifts": 0, "first_threshold_row": 6},
        {"initial_shifts": 3},
        {"planes": 2},
        {"macros": 1},
        {"macros": 8},
        {"configuration": 2, "macros": 0b0110},
        {"start": 2, "readout": 1},
    ],
)
def test_limits_of_configurations_are_accepted(wire, changes):
    assert wire.ask(configure(**changes)) == refusal(Opcode.CONFIGURE, Status.OK)
    wire.check_unharmed()


def test_a_run_of_no_inferences(wire):
    assert wire.ask(configure())[-1] == Status.OK
    assert wire.ask(run_request(0, b"")) == refusal(Opcode.RUN, Status.BAD_ARGUMENT)
    wire.check_unharmed()


@pytest.mark.parametrize("name", SHORT)
def test_times_of_zero(wire, name):
    body = packed(Opcode.SET_TIMING, **{**SHORT, name: 0})
    assert wire.ask(request(Opcode.SET_TIMING, body)) == refusal(
        Opcode.SET_TIMING, Status.BAD_ARGUMENT
    )
    wire.check_unharmed()


# States


@pytest.mark.parametrize(
    "contents",
    [run_request(1, b"\x2a"), request(Opcode.READ_REGISTERS), request(Opcode.PRELOAD, bytes(6))],
    ids=["run", "read_registers", "preload"],
)
def test_a_pass_before_a_configuration(wire, contents):
    assert wire.driver.status() == {"programming": 0, "configured": 0}
    assert wire.ask(contents) == refusal(contents[0], Status.NOT_CONFIGURED)
    wire.check_unharmed()
    assert wire.driver.status() == {"programming": 0, "configured": 1}


def test_what_must_wait_while_programming(wire):
    """Forming a formed row, at the published 660 cycles a pulse; all requests arrive meanwhile."""
    assert wire.ask(configure())[-1] == Status.OK
    row = packed(
        Opcode.PROGRAM_ROW, macro=2, row=4, data=int(np.packbits(IMAGE[2, 4], bitorder="little")[0])
    )
    busy = [
        run_request(1, b"\x2a"),
        request(Opcode.READ_REGISTERS),
        request(Opcode.PRELOAD, bytes(6)),
        PROGRAM,
        request(Opcode.FORM, packed(Opcode.FORM, macro=0, row=0)),
        request(Opcode.READ_ROW, packed(Opcode.READ_ROW, macro=0, row=0, x=1)),
        request(Opcode.SET_TIMING, packed(Opcode.SET_TIMING, **SHORT)),
    ]
    wire.transport.write(
        b"".join(
            map(
                protocol.frame,
                [
                    request(Opcode.PROGRAM_ROW, row),
                    *busy,
                    request(Opcode.STATUS),
                    request(Opcode.IDENTIFY),
                    configure(),
                    request(Opcode.WAIT),
                    request(Opcode.STATUS),
                ],
            )
        )
    )
    assert wire.answer() == refusal(Opcode.PROGRAM_ROW, Status.OK)
    for contents in busy:
        assert wire.answer() == refusal(contents[0], Status.BUSY)
    assert wire.answer() == bytes([Opcode.STATUS | 0x80, 0x5A, 1, 1, Status.OK])
    assert wire.answer()[-1] == Status.OK
    assert wire.answer() == refusal(Opcode.CONFIGURE, Status.OK)
    assert wire.answer() == refusal(Opcode.WAIT, Status.OK)
    assert wire.answer() == bytes([Opcode.STATUS | 0x80, 0x5A, 0, 1, Status.OK])
    wire.check_unharmed()


# Measuring


def measure(connect=1, macro=2, row=4, column=1, side=1):
    place = {"macro": macro, "row": row, "column": column, "side": side}
    return request(Opcode.MEASURE, packed(Opcode.MEASURE, connect=connect, **place))


def test_what_must_wait_while_a_memristor_is_connected(measured):
    assert measured.ask(configure()) == refusal(Opcode.CONFIGURE, Status.OK)
    assert measured.ask(measure()) == refusal(Opcode.MEASURE, Status.OK)
    for contents in (
        run_request(1, b"\x2a"),
        request(Opcode.READ_REGISTERS),
        request(Opcode.PRELOAD, bytes(6)),
        PROGRAM,
        request(Opcode.FORM, packed(Opcode.FORM, macro=0, row=0)),
        request(Opcode.READ_ROW, packed(Opcode.READ_ROW, macro=0, row=0, x=1)),
        request(Opcode.SET_TIMING, packed(Opcode.SET_TIMING, **SHORT)),
        measure(),
        measure(column=0),
        measure(macro=9),
    ):
        assert measured.ask(contents) == refusal(contents[0], Status.BUSY)
    assert measured.ask(request(Opcode.STATUS))[2:] == bytes([2, 1, Status.OK])
    assert measured.ask(request(Opcode.IDENTIFY))[-1] == Status.OK
    assert measured.ask(configure())[-1] == Status.OK
    assert measured.ask(request(Opcode.WAIT)) == refusal(Opcode.WAIT, Status.OK)
    assert measured.ask(measure(connect=2)) == refusal(Opcode.MEASURE, Status.BAD_ARGUMENT)
    assert measured.ask(request(Opcode.STATUS))[2:] == bytes([2, 1, Status.OK])
    assert measured.ask(measure(0)) == refusal(Opcode.MEASURE, Status.OK)
    assert measured.ask(request(Opcode.STATUS))[2:] == bytes([0, 1, Status.OK])
    measured.check_unharmed()


def test_every_memristor_is_connected(measured):
    for macro, row, column, side in np.ndindex(*TINY.image_shape, 2):
        contents = measure(1, macro, row, column, side)
        assert measured.ask(contents) == refusal(Opcode.MEASURE, Status.OK)
        assert measured.ask(measure(0)) == refusal(Opcode.MEASURE, Status.OK)
    measured.check_unharmed()


@pytest.mark.parametrize(
    "place",
    [
        {"macro": 4},
        {"macro": 256},
        {"row": 6},
        {"row": 256},
        {"column": 3},
        {"column": 256},
        {"side": 2},
        {"side": 255},
        {"connect": 2},
        {"connect": 255},
    ],
)
def test_memristors_that_do_not_exist_are_not_connected(measured, place):
    assert measured.ask(measure(**place)) == refusal(Opcode.MEASURE, Status.BAD_ARGUMENT)
    assert measured.driver.status() == {"programming": 0, "configured": 0}
    measured.check_unharmed()


def test_disconnecting_needs_no_place_and_nothing_connected(measured):
    for _ in range(2):
        disconnect = measure(0, macro=0xFFFF, row=0xFFFF, column=0xFFFF, side=0xFF)
        assert measured.ask(disconnect) == refusal(Opcode.MEASURE, Status.OK)
        assert measured.ask(measure()) == refusal(Opcode.MEASURE, Status.OK)
        assert measured.ask(disconnect) == refusal(Opcode.MEASURE, Status.OK)
    measured.check_unharmed()


@pytest.mark.parametrize("connect", [0, 1])
def test_no_memristor_is_connected_while_another_is_programmed(measured, connect):
    row = packed(
        Opcode.PROGRAM_ROW, macro=2, row=4, data=int(np.packbits(IMAGE[2, 4], bitorder="little")[0])
    )
    requests = [
        request(Opcode.PROGRAM_ROW, row),
        measure(connect),
        request(Opcode.WAIT),
        measure(1),
        measure(0),
    ]
    measured.transport.write(b"".join(map(protocol.frame, requests)))
    assert measured.answer() == refusal(Opcode.PROGRAM_ROW, Status.OK)
    assert measured.answer() == refusal(Opcode.MEASURE, Status.BUSY)
    assert measured.answer() == refusal(Opcode.WAIT, Status.OK)
    assert measured.answer() == refusal(Opcode.MEASURE, Status.OK)
    assert measured.answer() == refusal(Opcode.MEASURE, Status.OK)
    measured.check_unharmed()


def test_a_damaged_measure_connects_nothing(measured):
    good = with_crc(measure())
    for place in range(1, len(good)):
        bad = bytearray(good)
        bad[place] ^= 0x55
        answer = measured.ask_raw(escaped(bytes(bad)))
        assert answer == refusal(Opcode.MEASURE, Status.BAD_CHECKSUM, bad[1])
        assert measured.driver.status()["programming"] == 0
    for length in range(1, len(good)):
        assert measured.ask_raw(escaped(good[:length]))[-1] == Status.TRUNCATED
    assert measured.ask(measure() + b"\x00") == refusal(Opcode.MEASURE, Status.OVERSIZED)
    assert measured.driver.status()["programming"] == 0
    measured.check_unharmed()


def test_a_driver_connects_and_always_disconnects(measured):
    driver = measured.driver
    with driver.measuring(3, 5, 2, 0):
        assert driver.status() == {"programming": 2, "configured": 0}
        with pytest.raises(RefusedError, match=r"READ_ROW: .*measuring pads.* \(BUSY\)"):
            driver.read_row(0, 0)
        with pytest.raises(RefusedError, match=r"MEASURE: .* \(BUSY\)"):
            with driver.measuring(0, 0, 0, 0):
                raise AssertionError("two at a time")
        assert driver.status()["programming"] == 2  # the first is still connected
    assert driver.status()["programming"] == 0
    with pytest.raises(KeyError, match="instrument"):
        with driver.measuring(0, 0, 0, 1):
            raise KeyError("instrument")
    assert driver.status()["programming"] == 0
    with pytest.raises(RefusedError) as info:
        with driver.measuring(0, 0, 3, 0):
            raise AssertionError("there is no such column")
    assert info.value.status is Status.BAD_ARGUMENT
    measured.check_unharmed()


def test_a_chip_without_a_bypass_cannot_measure(wire):
    for connect in (0, 1):
        assert wire.ask(measure(connect)) == refusal(Opcode.MEASURE, Status.UNKNOWN_OPCODE)
    with pytest.raises(RefusedError, match=r"refused MEASURE: .* \(UNKNOWN_OPCODE\)") as info:
        with wire.driver.measuring(0, 0, 0, 0):
            raise AssertionError("it has no pads")
    assert info.value.status is Status.UNKNOWN_OPCODE
    wire.check_unharmed()


def test_a_chip_that_may_have_connected_is_told_to_disconnect():
    """The answer was lost: whether anything is connected is not known."""
    chip = Scripted()
    listening = Listening(chip)
    driver = HostExecutor(listening, TINY, timeout_s=0.05)
    with pytest.raises(HostError, match=r"The chip did not answer"):
        with driver.measuring(1, 2, 0, 1):
            raise AssertionError("not connected")
    assert [(data[1], data[-4]) for data in listening.written[-2:]] == [
        (Opcode.MEASURE, 1), (Opcode.MEASURE, 0)]


@pytest.mark.parametrize("tag", [0, 1, 0xC0, 0xDB, 255])
def test_answers_carry_the_tag(wire, tag):
    assert wire.ask(request(Opcode.WAIT, tag=tag)) == refusal(Opcode.WAIT, Status.OK, tag)


def test_inference_straight_after_power_up(power_up):
    """Weights are non-volatile: nothing is formed, programmed or even timed first."""
    wire = power_up()
    made = wire.driver.run(CONFIG, INPUTS, readout=True)
    expected = wire.golden.run(CONFIG, INPUTS, readout=True)
    assert (made.preactivations == expected.preactivations).all()
    assert (made.outputs == expected.outputs).all()
    assert made.cycles == expected.cycles and made.wait_cycles is not None


def test_from_virgin_memristors(power_up):
    wire = power_up(programmed=False)
    driver = wire.driver
    driver.set_timing(**SHORT)
    steps = []
    driver.form(lambda: steps.append("form"))
    driver.load(~IMAGE, lambda: steps.append("load"))
    driver.verify(~IMAGE)
    driver.load(IMAGE)
    driver.verify(IMAGE, lambda: steps.append("verify"))
    assert [steps.count(word) for word in ("form", "load", "verify")] == [24, 24, 24]
    wire.check_unharmed()


def test_published_pulses_after_power_up(program):
    """Without SET_TIMING pulses are the published ones: a row is formed in 2 x 3 of 660 cycles."""
    with VerilatedChip(PARAMETERS, program=program) as chip:
        chip.form_row(0, 0)
    pulse = 660 + 2 * 3 + 1
    assert 6 * pulse <= chip.statistics["cycles"] <= 6 * pulse + 4 * (7 + 2) + 200


def test_verify_names_the_first_row_that_differs(wire):
    other = IMAGE.copy()
    other[1, 3, 2] ^= True
    other[2, 0, 0] ^= True
    with pytest.raises(
        VerifyError,
        match="Macro 1, row 3: 1 bit cells do not read as programmed with x = 1, "
        "the first in column 2",
    ):
        wire.driver.verify(other)
    wire.check_unharmed()


def test_repair_programs_rows_with_weak_cells_again(program):
    """Cells that err for one x only count too; rows that read well are left alone."""
    table = read_table(IMAGE)
    table[1, 3, 2, 0] ^= True
    table[2, 0, 0] ^= True
    with VerilatedChip(PARAMETERS, table=table, program=program) as chip:
        chip.set_timing(**SHORT)
        steps = []
        assert chip.repair(IMAGE, progress=lambda: steps.append(1)) == 2
        assert len(steps) == 24
        chip.verify(IMAGE)
        assert chip.repair(IMAGE) == 0


def test_repair_gives_up_on_a_row_that_errs_for_ever(wire, monkeypatch):
    programmed = []
    monkeypatch.setattr(wire.driver, "program_row", lambda *place: programmed.append(place[:2]))
    other = IMAGE.copy()
    other[1, 3, 2] ^= True
    with pytest.raises(VerifyError, match="Macro 1, row 3: 1 bit cells do not read as programmed"):
        wire.driver.repair(other, retries=2)
    assert programmed == [(1, 3)] * 2
    with pytest.raises(VerifyError):
        wire.driver.repair(other, retries=0)
    assert len(programmed) == 2
    wire.check_unharmed()


# The driver


def test_refusals_become_exceptions(wire):
    with pytest.raises(
        RefusedError, match=r"The chip refused READ_ROW: an argument is .*range.* \(BAD_ARGUMENT\)"
    ) as info:
        wire.driver.read_row(4, 0)
    assert info.value.status is Status.BAD_ARGUMENT
    with pytest.raises(
        RefusedError, match=r"The chip refused 0x70: the chip does not know this request"
    ):
        wire.driver.request(0x70)
    wire.check_unharmed()


def test_times_with_other_names_are_refused(wire):
    with pytest.raises(ValueError, match="The programmer has no time called fall_time, rise_time"):
        wire.driver.set_timing(rise_time=1, fall_time=2)
    with pytest.raises(ValueError, match="form_pulse = 65536 does not fit 2 bytes"):
        wire.driver.set_timing(form_pulse=65536)


def test_what_does_not_fit_is_refused_before_it_is_sent(wire):
    sent = []
    write = wire.transport.write
    wire.transport.write = sent.append
    preload = PassConfig(weight_rows=3, threshold_rows=2, start=Start.PRELOAD)
    with pytest.raises(
        ValueError, match=r"This pass takes inputs of shape \(batch, 6\), not \(1, 5\)"
    ):
        wire.driver.run(CONFIG, np.zeros((1, 5)))
    with pytest.raises(ValueError, match="needs registers of shape"):
        wire.driver.run(preload, np.zeros((1, 6)))
    with pytest.raises(ValueError, match="A register of 7 bits holds -64 to 63"):
        wire.driver.run(preload, np.zeros((1, 6)), registers=np.full((1, 6), 64))
    with pytest.raises(ValueError, match="Start values are for passes that start from a preload"):
        wire.driver.run(CONFIG, np.zeros((1, 6)), registers=np.zeros((1, 6)))
    with pytest.raises(ValueError, match="runs one inference at a time"):
        wire.driver.run(
            PassConfig(weight_rows=3, threshold_rows=2, start=Start.REGISTERS), np.zeros((2, 6))
        )
    with pytest.raises(ValueError, match="58 weight rows and 6 threshold rows do not fit"):
        wire.driver.run(PassConfig(), np.zeros((1, 116)))
    with pytest.raises(ValueError, match=r"A program image of this chip has shape \(4, 6, 3\)"):
        wire.driver.load(np.zeros((1, 6, 3)))
    assert not sent
    wire.transport.write = write


def test_inputs_of_too_many_bits_are_refused(wire):
    with pytest.raises(ValueError, match="does not fit 1 unsigned bit planes"):
        wire.driver.run(CONFIG, np.full((1, 6), 2))
    wire.check_unharmed()


@pytest.mark.parametrize("configuration", Configuration)
@pytest.mark.parametrize("size", [1, 3, 11, 100])
def test_batches_are_cut_where_that_is_asked_for(wire, configuration, size):
    """Into packets of some inferences: the same answers, one pipeline's end for each packet."""
    driver = HostExecutor(wire.transport, TINY, packet_inferences=size)
    config = PassConfig(configuration, 3, 2)
    inputs = np.random.default_rng(3).integers(0, 2, (11, config.inputs(TINY)))
    done = []
    made = driver.run(config, inputs, True, progress=done.append)
    assert sum(done) == 11 and min(done) >= 0
    parts = [inputs[i : i + size] for i in range(0, 11, size)]
    expected = [wire.golden.run(config, part, True) for part in parts]
    assert (made.preactivations == np.vstack([e.preactivations for e in expected])).all()
    assert made.cycles == sum(e.cycles for e in expected)


@pytest.mark.parametrize("size", [0, -1])
def test_packets_of_no_inferences_are_refused(size):
    with pytest.raises(ValueError, match=f"[Pp]acket.*{size}"):
        HostExecutor(Scripted(), TINY, packet_inferences=size)


def test_a_batch_is_one_packet_unless_told_otherwise(wire):
    inputs = np.random.default_rng(4).integers(0, 2, (5000, 6))
    made = wire.driver.run(CONFIG, inputs)
    expected = wire.golden.run(CONFIG, inputs)
    assert (made.outputs == expected.outputs).all()
    assert made.cycles == expected.cycles  # one pipeline's end


class Listening:
    """A transport that also keeps what is written."""

    def __init__(self, transport):
        self.transport, self.written = transport, []

    def write(self, data):
        self.written.append(data)
        self.transport.write(data)

    def read(self, timeout_s):
        return self.transport.read(timeout_s)

    def close(self):
        self.transport.close()


def test_another_geometry_is_refused_before_anything_is_sent(wire):
    listening = Listening(wire.transport)
    with pytest.raises(
        HostError,
        match=r"The chip is a ChipGeometry\(banks=2, .*rows=6.*, but this is for a .*rows=64.*; "
        "nothing was sent to it",
    ):
        HostExecutor(listening, JEBALI_2024)
    assert [data[1] for data in listening.written] == [Opcode.IDENTIFY]


class Scripted:
    """A chip with prepared answers: `answers` maps an opcode to what follows the tag."""

    identity = protocol.pack_fields(
        protocol.IDENTIFY_FIELDS,
        {**TINY.as_dict(), "version": 1, "read_timing": 1, "clock_hz": 66_000_000},
    )

    def __init__(self, answers=None, damage=lambda framed: framed):
        self.answers = {
            Opcode.IDENTIFY: self.identity + b"\x00",
            Opcode.STATUS: b"\x00\x00\x00",
            Opcode.CONFIGURE: b"\x00",
            **(answers or {}),
        }
        self.damage = damage
        self.pending = b""
        self.closed = False

    def write(self, data):
        contents = data.strip(b"\xc0").replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
        if contents[0] in self.answers:
            framed = protocol.frame(
                bytes([contents[0] | 0x80, contents[1]]) + self.answers[contents[0]]
            )
            self.pending += self.damage(framed)

    def read(self, timeout_s):
        data, self.pending = self.pending[:3], self.pending[3:]
        return data

    def close(self):
        self.closed = True


def test_answers_in_pieces_are_put_together():
    with HostExecutor(Scripted(), TINY) as driver:
        assert driver.geometry == TINY
        assert (driver.identity.read_timing, driver.identity.clock_hz) == (1, 66_000_000)
        transport = driver._transport
    assert transport.closed


def test_answers_to_others_are_dropped():
    stale = protocol.frame(bytes([0x82, 0x77, 1, 1, 0])) + protocol.frame(bytes([0x81, 0x01, 0]))
    driver = HostExecutor(Scripted(), TINY)
    driver._transport.pending = stale
    assert driver.status() == {"programming": 0, "configured": 0}


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            lambda framed: framed[:5] + bytes([framed[5] ^ 1]) + framed[6:],
            "A frame's checksum is wrong",
        ),
        (
            lambda framed: framed[:5] + b"\xdb\x00" + framed[6:],
            "an escape byte that escapes nothing",
        ),
        (lambda framed: b"\xc0\x81\x01\x00\xc0", "A frame of 3 bytes is too short"),
    ],
)
def test_damaged_answers(damage, message):
    driver = HostExecutor(Scripted(), TINY)
    driver._transport.damage = damage
    with pytest.raises(HostError, match=f"The chip's answer was damaged on the way: .*{message}"):
        driver.status()


def test_silence():
    with pytest.raises(HostError, match="The chip did not answer within 0.25 s"):
        HostExecutor(Scripted({Opcode.IDENTIFY: b""}, damage=lambda framed: b""), timeout_s=0.25)


def test_another_protocol_version():
    newer = bytes([2]) + Scripted.identity[1:] + b"\x00"
    with pytest.raises(HostError, match="The chip speaks protocol version 2, this driver 1"):
        HostExecutor(Scripted({Opcode.IDENTIFY: newer}))


def test_unknown_status():
    driver = HostExecutor(Scripted({Opcode.WAIT: b"\x63"}))
    with pytest.raises(HostError, match="status 99, which this driver does not know; is it newer"):
        driver.request(Opcode.WAIT)


def test_run_answers_of_the_wrong_length():
    driver = HostExecutor(Scripted({Opcode.RUN: bytes(3 + 8) + b"\x00"}))
    with pytest.raises(HostError, match="The chip sent 11 bytes for 4 inferences, not 16"):
        driver.run(CONFIG, INPUTS)


@pytest.mark.parametrize("contents", [b"\x00", bytes(7) + b"\x00"])
def test_run_answers_too_short_for_their_counts(contents):
    driver = HostExecutor(Scripted({Opcode.RUN: contents}))
    with pytest.raises(
        HostError, match=f"The chip sent {len(contents) - 1} bytes for 4 inferences, not 16"
    ):
        driver.run(CONFIG, INPUTS)


# Simulators that die

DIES_AT_ONCE = "import sys; sys.stderr.write('Macro 3: protocol breach'); sys.exit(1)"
DIES_AFTER_READING = (
    "import sys; sys.stdin.buffer.read(1); sys.stderr.write('out of luck'); sys.exit(1)"
)


@pytest.mark.parametrize(
    "script, message",
    [
        (DIES_AT_ONCE, "Macro 3: protocol breach"),
        (DIES_AFTER_READING, "out of luck"),
        ("pass", "it said nothing"),
    ],
)
def test_a_simulator_that_dies_is_named_with_its_last_words(script, message):
    transport = PipeTransport([sys.executable, "-c", script])
    with pytest.raises(ConnectionError, match=f"The simulated chip stopped: {message}"):
        HostExecutor(transport)
    with pytest.raises(ConnectionError, match=message):  # and again, whatever is tried
        transport.read(1.0)
    transport.close()


def test_a_simulator_that_dies_does_so_for_writes_too():
    transport = PipeTransport([sys.executable, "-c", DIES_AT_ONCE])
    with pytest.raises(ConnectionError, match="protocol breach"):
        for _ in range(200):
            transport.write(bytes(1 << 14))
    transport.close()
