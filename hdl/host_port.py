"""Host port: requests off the byte stream, commands to the core, answers back."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from behavioral_models import protocol
from behavioral_models.protocol import Opcode

from .core import OutputRecord
from .framing import Checksum, Deframer, Framer, Token
from .interfaces import Configuration, Operation, PassSettings, ProgrammerTiming, Start
from .select import selected
from .slots import SlotUnpacker
from .stream_buffer import StreamBuffer

__all__ = ["HostPort"]

Status = enum.Enum("Status", {status.name: status.value for status in protocol.Status})


class HostPort(wiring.Component):
    """Executes the host protocol (`behavioral_models.protocol`, `docs/host_protocol.md`) on a core.

    One request at a time, in order; every request that has at least an opcode is answered once.
    Requests are executed when they have arrived whole and sound, but for the data of RUN and
    PRELOAD, which flows into the core as it arrives.

    Parameters
    ----------
    parameters : ChipParameters

    Members
    -------
    i, o : streams of bytes
    busy : Out(1)
        A request, an answer or programming is under way.

    The other members are those of the core, seen from here.
    """

    def __init__(self, parameters):
        geometry = parameters.geometry
        self._parameters = parameters
        super().__init__({
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(8)),
            "busy": Out(1),
            "settings": Out(PassSettings(geometry)),
            "timing": Out(ProgrammerTiming, init=protocol.default_timing(parameters.clock_hz)),
            "run": Out(1),
            "inferences": Out(32),
            "rows": Out(1),
            "preload": Out(1),
            "readout": Out(1),
            "stop": Out(1),
            "running": In(1),
            "waiting": In(1),
            "o_slots": Out(stream.Signature(geometry.macros)),
            "slot_last": In(1),
            "o_registers": Out(stream.Signature(8)),
            "registers_last": In(1),
            "i_registers": In(stream.Signature(8)),
            "i_outputs": In(stream.Signature(OutputRecord(geometry))),
            "operate": Out(1),
            "command": Out(Operation),
            "macro": Out(range(max(2, geometry.macros))),
            "row": Out(range(geometry.rows)),
            "bits": Out(geometry.columns),
            "x": Out(1),
            "programming": In(1),
            "reading": In(1),
            "row_bits": In(geometry.columns),
            **({
                "measure": Out(1),
                "column": Out(range(max(2, geometry.columns))),
                "side": Out(1),
                "disconnect": Out(1),
                "measuring": In(1),
            } if geometry.sense_bypass else {}),
        })

    def elaborate(self, platform):
        m = Module()
        geometry = self._parameters.geometry
        m.submodules.deframer = deframer = Deframer()
        m.submodules.receiver = receiver = Receiver(geometry)
        m.submodules.commands = commands = Commands(geometry)
        m.submodules.slots = slots = SlotUnpacker(geometry)
        m.submodules.answer = answer = Answer(self._parameters)
        m.submodules.i_buffer = i_buffer = StreamBuffer(8)
        m.submodules.o_buffer = o_buffer = StreamBuffer(8)
        wiring.connect(m, wiring.flipped(self.i), i_buffer.i)
        wiring.connect(m, i_buffer.o, deframer.i)
        wiring.connect(m, deframer.o, receiver.i)
        wiring.connect(m, receiver.o_slots, slots.i)
        wiring.connect(m, slots.o, wiring.flipped(self.o_slots))
        wiring.connect(m, receiver.o_registers, wiring.flipped(self.o_registers))
        wiring.connect(m, wiring.flipped(self.i_registers), answer.i_registers)
        wiring.connect(m, wiring.flipped(self.i_outputs), answer.i_outputs)
        wiring.connect(m, answer.o, o_buffer.i)
        wiring.connect(m, o_buffer.o, wiring.flipped(self.o))

        # Requests in, checked by Commands before anything happens.
        configured = Signal()
        readout = Signal()  # after each pass
        m.d.comb += [
            commands.opcode.eq(receiver.opcode),
            commands.arguments.eq(receiver.arguments),
            commands.configured.eq(configured),
            commands.programming.eq(self.programming),
            receiver.refusal.eq(commands.refusal),
            receiver.preload.eq(self.settings.start == Start.PRELOAD),
            receiver.slot_last.eq(self.slot_last & slots.o.valid & slots.o.ready),
            receiver.registers_last.eq(self.registers_last),
            receiver.inferences.eq(commands.inferences),
            receiver.answered.eq(answer.done),
            slots.wide.eq(self.settings.configuration == Configuration.TWO_LAYER),
            slots.restart.eq(receiver.start),
            slots.last.eq(self.slot_last),
        ]

        # Commands to the core.
        opcode = receiver.opcode
        with m.If(receiver.execute & (opcode == Opcode.CONFIGURE)):
            m.d.sync += [
                self.settings.eq(commands.settings),
                readout.eq(commands.readout),
                configured.eq(1),
            ]
        with m.If(receiver.execute & (opcode == Opcode.SET_TIMING)):
            m.d.sync += self.timing.eq(commands.timing)
        programs = ((opcode == Opcode.FORM) | (opcode == Opcode.PROGRAM_ROW)
                    | (opcode == Opcode.READ_ROW))
        if geometry.sense_bypass:
            measures = opcode == Opcode.MEASURE
            programs |= measures & commands.connect
            m.d.comb += [
                commands.measuring.eq(self.measuring),
                answer.measuring.eq(self.measuring),
                self.measure.eq(measures),
                self.column.eq(commands.column),
                self.side.eq(commands.side),
                self.disconnect.eq(receiver.execute & measures & ~commands.connect),
            ]
        m.d.comb += [
            self.inferences.eq(Mux(opcode == Opcode.RUN, commands.inferences, 1)),
            self.rows.eq(opcode == Opcode.RUN),
            self.preload.eq(Mux(opcode == Opcode.RUN, receiver.preload, opcode == Opcode.PRELOAD)),
            self.readout.eq(Mux(
                opcode == Opcode.RUN, readout, opcode == Opcode.READ_REGISTERS)),
            self.run.eq(receiver.start | (receiver.execute & (opcode == Opcode.READ_REGISTERS))),
            self.stop.eq(receiver.stop),
            self.operate.eq(receiver.execute & programs),
            self.command.eq(Mux(opcode == Opcode.FORM, Operation.FORM, Mux(
                opcode == Opcode.PROGRAM_ROW, Operation.SET, Operation.READ))),
            self.macro.eq(commands.macro),
            self.row.eq(commands.row),
            self.bits.eq(commands.bits),
            self.x.eq(commands.x),
        ]

        # Answers out. A run is answered while it goes on, everything else when it has been done.
        cycles = Signal(32)
        wait_cycles = Signal(32)
        with m.If(self.run):
            m.d.sync += [cycles.eq(0), wait_cycles.eq(0)]
        with m.Elif(self.running & self.waiting):
            m.d.sync += wait_cycles.eq(wait_cycles + 1)
        with m.Elif(self.running):
            m.d.sync += cycles.eq(cycles + 1)
        core_works = self.running | self.reading | (
            (opcode == Opcode.WAIT) & (receiver.status == Status.OK) & self.programming)
        m.d.comb += [
            answer.start.eq(receiver.finish | receiver.start & (opcode == Opcode.RUN)),
            answer.complete.eq(receiver.finish & ~core_works),
            answer.opcode.eq(opcode),
            answer.tag.eq(receiver.tag),
            answer.status.eq(receiver.status),
            answer.programming.eq(self.programming),
            answer.configured.eq(configured),
            answer.row_bits.eq(self.row_bits),
            answer.cycles.eq(cycles),
            answer.wait_cycles.eq(wait_cycles),
            self.busy.eq(i_buffer.o.valid | receiver.busy | answer.busy | o_buffer.o.valid
                         | self.programming | self.running | self.reading),
        ]
        return m


class Receiver(wiring.Component):
    """Takes requests apart and says when to execute, to start a run, to refuse.

    Parameters
    ----------
    geometry : ChipGeometry

    Members
    -------
    i : In(stream of Token)
    opcode, tag : Out(8), arguments : Out
        Of the request, the first argument byte least significant.
    refusal : In(Status)
        Why the request cannot be executed now; OK if it can.
    preload : In(1), inferences : In(32)
        What a RUN's data consists of.
    o_registers, o_slots : Out(streams of bytes)
        The data of RUN and PRELOAD. `registers_last`, `slot_last` : In(1) mark the transfers that
        end an inference's part of each.
    start : Out(1)
        A run is accepted: its data follows.
    execute : Out(1)
        Another request arrived whole and sound.
    stop : Out(1)
        A run's data ended early.
    finish : Out(1), status : Out(Status)
        High from then on until `answered` : In(1); how the request ended.
    busy : Out(1)
        A request is being received or waits for its answer.
    """

    def __init__(self, geometry):
        self._formats = protocol.known_packets(geometry)
        size = max(packet.argument_bytes for packet in self._formats.values())
        super().__init__({
            "i": In(stream.Signature(Token)),
            "opcode": Out(8),
            "tag": Out(8),
            "arguments": Out(8 * size),
            "refusal": In(Status),
            "preload": In(1),
            "inferences": In(32),
            "o_registers": Out(stream.Signature(8)),
            "registers_last": In(1),
            "o_slots": Out(stream.Signature(8)),
            "slot_last": In(1),
            "start": Out(1),
            "execute": Out(1),
            "stop": Out(1),
            "finish": Out(1),
            "status": Out(Status),
            "answered": In(1),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.checksum = crc = Checksum()
        token = self.i.payload
        taken = Signal()
        taken_byte = Signal()
        taken_end = Signal()
        m.d.comb += [
            taken.eq(self.i.valid & self.i.ready),
            taken_byte.eq(taken & ~token.end),
            taken_end.eq(taken & token.end),
            crc.data.eq(token.byte),
            crc.valid.eq(taken_byte),
            crc.start.eq(taken_end),
            self.o_registers.payload.eq(token.byte),
            self.o_slots.payload.eq(token.byte),
        ]

        size = len(self.arguments) // 8
        known = Signal()
        streams = Signal()
        expected = Signal(range(size + 1))
        received = Signal(range(size + 1))
        with m.Switch(self.opcode):
            for opcode, packet in self._formats.items():
                with m.Case(opcode):
                    m.d.comb += [
                        known.eq(1),
                        expected.eq(packet.argument_bytes),
                        streams.eq(bool(packet.data)),
                    ]
        left = Signal(32)  # inferences whose data has not arrived

        def refuse(status):
            m.d.sync += self.status.eq(status)
            m.next = "DISCARD"

        def ended_early():
            m.d.sync += self.status.eq(Mux(token.damaged, Status.BAD_FRAME, Status.TRUNCATED))
            m.next = "ANSWER"

        with m.FSM(name="receiver") as fsm:
            with m.State("OPCODE"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [received.eq(0), self.status.eq(Status.OK)]
                with m.If(taken_byte):
                    m.d.sync += [self.opcode.eq(token.byte), self.tag.eq(0)]
                    m.next = "TAG"
            with m.State("TAG"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken_byte):
                    m.d.sync += self.tag.eq(token.byte)
                    m.next = "ARGUMENTS"
                with m.Elif(taken_end):
                    ended_early()
            with m.State("ARGUMENTS"):
                with m.If(~known):
                    refuse(Status.UNKNOWN_OPCODE)
                with m.Elif(received != expected):
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(taken_byte):
                        for position in range(size):
                            with m.If(received == position):
                                m.d.sync += self.arguments.word_select(position, 8).eq(token.byte)
                        m.d.sync += received.eq(received + 1)
                    with m.Elif(taken_end):
                        ended_early()
                with m.Elif(~streams):
                    m.next = "CHECKSUM_HIGH"
                with m.Elif(self.refusal != Status.OK):
                    refuse(self.refusal)
                with m.Else():
                    m.d.comb += self.start.eq(1)
                    m.d.sync += left.eq(Mux(self.opcode == Opcode.RUN, self.inferences, 1))
                    with m.If((self.opcode == Opcode.PRELOAD) | self.preload):
                        m.next = "REGISTERS"
                    with m.Else():
                        m.next = "SLOTS"
            with m.State("REGISTERS"):
                m.d.comb += [
                    self.o_registers.valid.eq(self.i.valid & ~token.end),
                    self.i.ready.eq(self.o_registers.ready | token.end),
                ]
                with m.If(taken_end):
                    m.d.comb += self.stop.eq(1)
                    ended_early()
                with m.Elif(taken_byte & self.registers_last):
                    m.next = "SLOTS"
                    with m.If(self.opcode == Opcode.PRELOAD):
                        m.next = "CHECKSUM_HIGH"
            with m.State("SLOTS"):
                m.d.comb += [
                    self.o_slots.valid.eq(self.i.valid & ~token.end),
                    self.i.ready.eq(self.o_slots.ready | token.end),
                ]
                with m.If(self.slot_last):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.next = "CHECKSUM_HIGH"
                    with m.Elif(self.preload):
                        m.next = "REGISTERS"
                with m.If(taken_end):
                    m.d.comb += self.stop.eq(1)
                    ended_early()
            for state, following in (("CHECKSUM_HIGH", "CHECKSUM_LOW"), ("CHECKSUM_LOW", "END")):
                with m.State(state):
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(taken_byte):
                        m.next = following
                    with m.Elif(taken_end):
                        ended_early()
            with m.State("END"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken_byte):
                    refuse(Status.OVERSIZED)
                with m.Elif(taken_end):
                    m.next = "ANSWER"
                    with m.If(token.damaged):
                        m.d.sync += self.status.eq(Status.BAD_FRAME)
                    with m.Elif(crc.crc != 0):
                        m.d.sync += self.status.eq(Status.BAD_CHECKSUM)
                    with m.Elif(~streams & (self.refusal != Status.OK)):
                        m.d.sync += self.status.eq(self.refusal)
                    with m.Elif(~streams):
                        m.d.comb += self.execute.eq(1)
            with m.State("DISCARD"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken_end):
                    m.next = "ANSWER"
                    with m.If(token.damaged):
                        m.d.sync += self.status.eq(Status.BAD_FRAME)
                    with m.Elif((crc.crc != 0) & (self.status != Status.OVERSIZED)):
                        m.d.sync += self.status.eq(Status.BAD_CHECKSUM)
            with m.State("ANSWER"):
                m.d.comb += self.finish.eq(1)
                with m.If(self.answered):
                    m.next = "OPCODE"
        m.d.comb += self.busy.eq(~fsm.ongoing("OPCODE"))
        return m


class Commands(wiring.Component):
    """What a request's arguments mean, and whether it may be executed now.

    Parameters
    ----------
    geometry : ChipGeometry

    Members
    -------
    opcode : In(8), arguments : In
        The request; combinational from here on.
    configured, programming, measuring : In(1)
        What the chip is doing; `measuring` only with a sense bypass.
    refusal : Out(Status)
        Why not; OK if it may be executed.
    settings, readout, timing, inferences, macro, row, bits, x, column, side, connect
        The arguments by meaning; the last three only with a sense bypass.
    """

    def __init__(self, geometry):
        self._geometry = geometry
        self._formats = protocol.known_packets(geometry)
        size = max(packet.argument_bytes for packet in self._formats.values())
        super().__init__({
            "opcode": In(8),
            "arguments": In(8 * size),
            "configured": In(1),
            "programming": In(1),
            "refusal": Out(Status),
            "settings": Out(PassSettings(geometry)),
            "readout": Out(1),
            "timing": Out(ProgrammerTiming),
            "inferences": Out(32),
            "macro": Out(range(max(2, geometry.macros))),
            "row": Out(range(geometry.rows)),
            "bits": Out(geometry.columns),
            "x": Out(1),
            **({
                "measuring": In(1),
                "column": Out(range(max(2, geometry.columns))),
                "side": Out(1),
                "connect": Out(1),
            } if geometry.sense_bypass else {}),
        })

    def _named(self, opcode):
        """Slices of `arguments` by field name."""
        fields, position = {}, 0
        for item in self._formats[opcode].arguments:
            fields[item.name] = self.arguments[position:position + 8 * item.size]
            position += 8 * item.size
        return fields

    def elaborate(self, platform):
        m = Module()
        geometry = self._geometry
        row = self._named(Opcode.PROGRAM_ROW)  # FORM, READ_ROW and MEASURE begin alike
        read = self._named(Opcode.READ_ROW)
        configure = self._named(Opcode.CONFIGURE)
        timing = self._named(Opcode.SET_TIMING)
        m.d.comb += [
            self.macro.eq(row["macro"]),
            self.row.eq(row["row"]),
            self.bits.eq(row["data"]),
            self.x.eq(read["x"]),
            self.inferences.eq(self._named(Opcode.RUN)["inferences"]),
        ]
        m.d.comb += [
            self.settings.configuration.as_value().eq(configure["configuration"]),
            self.settings.start.as_value().eq(configure["start"]),
        ]
        m.d.comb += self.readout.eq(configure["readout"])
        for name in ("planes", "weight_rows", "initial_shifts", "first_threshold_row", "macros"):
            m.d.comb += self.settings[name].eq(configure[name])
        for name, value in timing.items():
            m.d.comb += self.timing[name].eq(value)

        bad_place = (row["macro"] >= geometry.macros) | (row["row"] >= geometry.rows)
        shifts_and_1 = configure["initial_shifts"] + configure["planes"]
        bad_settings = (
            (configure["configuration"] >= len(Configuration))
            | (configure["start"] >= len(Start))
            | (configure["readout"] > 1)
            | (configure["planes"] == 0) | (configure["planes"] > geometry.max_planes)
            | (configure["weight_rows"] == 0) | (configure["weight_rows"] > geometry.rows)
            | (configure["first_threshold_row"] + shifts_and_1 > geometry.rows + 1)
            | (configure["macros"] == 0) | (configure["macros"] >> geometry.macros != 0)
            | self._bad_chain(configure)
        )
        bad = Signal()
        needs_idle = Signal()
        needs_configuration = Signal()
        with m.Switch(self.opcode):
            with m.Case(Opcode.CONFIGURE):
                m.d.comb += bad.eq(bad_settings)
            with m.Case(Opcode.SET_TIMING):
                m.d.comb += [
                    bad.eq(Cat(value == 0 for value in timing.values()).any()),
                    needs_idle.eq(1),
                ]
            with m.Case(Opcode.FORM, Opcode.PROGRAM_ROW):
                m.d.comb += [bad.eq(bad_place), needs_idle.eq(1)]
            with m.Case(Opcode.READ_ROW):
                m.d.comb += [bad.eq(bad_place | (read["x"] > 1)), needs_idle.eq(1)]
            with m.Case(Opcode.RUN):
                m.d.comb += [
                    bad.eq(self.inferences == 0), needs_idle.eq(1), needs_configuration.eq(1)]
            with m.Case(Opcode.READ_REGISTERS, Opcode.PRELOAD):
                m.d.comb += [needs_idle.eq(1), needs_configuration.eq(1)]
            if geometry.sense_bypass:
                with m.Case(Opcode.MEASURE):
                    self._measure(m, bad, bad_place, needs_idle)
        busy = self.programming
        if geometry.sense_bypass:
            busy |= self.measuring
        with m.If(needs_idle & busy):
            m.d.comb += self.refusal.eq(Status.BUSY)
        with m.Elif(needs_configuration & ~self.configured):
            m.d.comb += self.refusal.eq(Status.NOT_CONFIGURED)
        with m.Elif(bad):
            m.d.comb += self.refusal.eq(Status.BAD_ARGUMENT)
        return m

    def _measure(self, m, bad, bad_place, needs_idle):
        """A connection needs idle macros and a place that exists; its end needs neither."""
        measure = self._named(Opcode.MEASURE)
        connects = measure["connect"][0]
        bad_cell = (measure["column"] >= self._geometry.columns) | (measure["side"] > 1)
        m.d.comb += [
            self.column.eq(measure["column"]),
            self.side.eq(measure["side"]),
            self.connect.eq(connects),
            bad.eq((measure["connect"] > 1) | (connects & (bad_place | bad_cell))),
            needs_idle.eq(connects | ~self.measuring),
        ]

    def _bad_chain(self, configure):
        """Whether a chained pass lacks macros of bank 0 or 1, has others, or a given start."""
        chained = configure["configuration"] == Configuration.CHAINED.value
        if self._geometry.banks < 2:
            return chained
        size = self._geometry.macros_per_bank
        macros = configure["macros"]
        return chained & (
            (macros[:size] == 0) | (macros[size:2 * size] == 0) | (macros >> 2 * size != 0)
            | (configure["start"] != Start.THRESHOLDS.value))


class Answer(wiring.Component):
    """Writes answers: header, data, status, in a frame.

    Parameters
    ----------
    parameters : ChipParameters

    Members
    -------
    start : In(1)
        Begin an answer, if none is under way.
    complete : In(1)
        The request is done; what is still in the streams, then the rest of the answer, may follow.
    done : Out(1)
        The answer's last byte leaves for the frame.
    busy : Out(1)
    opcode, tag : In(8), status : In(Status)
        What is answered, and how it ended once `complete`.
    i_outputs, i_registers : In(streams)
        From the core, for RUN and READ_REGISTERS.
    programming, configured, row_bits, cycles, wait_cycles, measuring
        What fixed answers are made of; the last only with a sense bypass.
    o : Out(stream of bytes)
    """

    def __init__(self, parameters):
        geometry = parameters.geometry
        self._parameters = parameters
        super().__init__({
            "start": In(1),
            "complete": In(1),
            "done": Out(1),
            "busy": Out(1),
            "opcode": In(8),
            "tag": In(8),
            "status": In(Status),
            "i_outputs": In(stream.Signature(OutputRecord(geometry))),
            "i_registers": In(stream.Signature(8)),
            "programming": In(1),
            "configured": In(1),
            "row_bits": In(geometry.columns),
            "cycles": In(32),
            "wait_cycles": In(32),
            "o": Out(stream.Signature(8)),
            **({"measuring": In(1)} if geometry.sense_bypass else {}),
        })

    def _fixed_answers(self):
        """Values of each opcode's fixed answer, by field name."""
        geometry = self._parameters.geometry
        programming = self.programming
        if geometry.sense_bypass:
            programming = Cat(programming, self.measuring)
        return {
            Opcode.IDENTIFY: {
                "version": protocol.VERSION,
                "read_timing": self._parameters.read_timing,
                "clock_hz": int(self._parameters.clock_hz),
                **{name: int(value) for name, value in geometry.as_dict().items()},
            },
            Opcode.STATUS: {"programming": programming, "configured": self.configured},
            Opcode.READ_ROW: {"data": self.row_bits},
            Opcode.RUN: {"cycles": self.cycles, "wait_cycles": self.wait_cycles},
        }

    def elaborate(self, platform):
        m = Module()
        geometry = self._parameters.geometry
        m.submodules.framer = framer = Framer()
        m.submodules.outputs = outputs = OutputSerializer(geometry)
        wiring.connect(m, framer.o, wiring.flipped(self.o))
        wiring.connect(m, wiring.flipped(self.i_outputs), outputs.i)

        formats = protocol.known_packets(geometry)
        fixed_answers = self._fixed_answers()
        lengths = {opcode: sum(f.size for f in formats[opcode].answer + formats[opcode].answer_last)
                   for opcode in fixed_answers}
        longest = max(lengths.values())
        fixed = Signal(8 * longest)
        length = Signal(range(longest + 1))
        position = Signal(range(longest + 1))
        with m.Switch(self.opcode):
            for opcode, values in fixed_answers.items():
                packet = formats[opcode]
                with m.Case(opcode):
                    m.d.comb += length.eq(lengths[opcode])
                    start = 0
                    for item in packet.answer + packet.answer_last:
                        part = fixed[8 * start:8 * (start + item.size)]
                        m.d.comb += part.eq(values[item.name])
                        start += item.size

        fixed_byte = selected(
            m, [fixed[8 * i:8 * i + 8] for i in range(longest)], position, "fixed_byte")
        sends = framer.i.payload
        moves = framer.i.valid & framer.i.ready
        with m.FSM(name="answer") as fsm:
            with m.State("IDLE"):
                m.d.sync += position.eq(0)
                with m.If(self.start):
                    m.next = "OPCODE"
            with m.State("OPCODE"):
                m.d.comb += [framer.i.valid.eq(1), sends.byte.eq(self.opcode | protocol.ANSWER)]
                with m.If(moves):
                    m.next = "TAG"
            with m.State("TAG"):
                m.d.comb += [framer.i.valid.eq(1), sends.byte.eq(self.tag)]
                with m.If(moves):
                    m.next = "STREAMS"
            with m.State("STREAMS"):
                with m.If(outputs.o.valid):
                    m.d.comb += [
                        framer.i.valid.eq(1),
                        sends.byte.eq(outputs.o.payload),
                        outputs.o.ready.eq(framer.i.ready),
                    ]
                with m.Elif(self.i_registers.valid):
                    m.d.comb += [
                        framer.i.valid.eq(1),
                        sends.byte.eq(self.i_registers.payload),
                        self.i_registers.ready.eq(framer.i.ready),
                    ]
                with m.Elif(self.complete):
                    m.next = "STATUS"
                    with m.If((self.status == Status.OK) & (length != 0)):
                        m.next = "FIXED"
            with m.State("FIXED"):
                m.d.comb += [framer.i.valid.eq(1), sends.byte.eq(fixed_byte)]
                with m.If(moves):
                    m.d.sync += position.eq(position + 1)
                    with m.If(position + 1 == length):
                        m.next = "STATUS"
            with m.State("STATUS"):
                m.d.comb += [
                    framer.i.valid.eq(1),
                    sends.byte.eq(self.status),
                    sends.last.eq(1),
                    self.done.eq(moves),
                ]
                with m.If(moves):
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE") | framer.o.valid)
        return m


class OutputSerializer(wiring.Component):
    """Output bits to bytes: the valid banks one after the other, neuron 0 least significant.

    Parameters
    ----------
    geometry : ChipGeometry

    Members
    -------
    i : In(stream of OutputRecord), o : Out(stream of bytes)
    """

    def __init__(self, geometry):
        self._geometry = geometry
        super().__init__({
            "i": In(stream.Signature(OutputRecord(geometry))),
            "o": Out(stream.Signature(8)),
        })

    def elaborate(self, platform):
        m = Module()
        geometry = self._geometry
        record = self.i.payload
        passed = Signal(geometry.banks)  # banks that are done
        remaining = Signal(geometry.banks)
        bank = Signal(geometry.banks)
        position = Signal(range(max(2, geometry.bank_bytes)))
        bits = Signal(8 * geometry.bank_bytes)
        last_byte = Signal()
        m.d.comb += [
            remaining.eq(record.banks & ~passed),
            bank.eq(remaining & (~remaining + 1)),  # lowest bank first
            last_byte.eq(position == geometry.bank_bytes - 1),
            self.o.valid.eq(self.i.valid),
            self.o.payload.eq(selected(m, [
                bits[8 * i:8 * i + 8] for i in range(geometry.bank_bytes)], position, "bits_byte")),
            self.i.ready.eq(self.o.ready & last_byte & (remaining == bank)),
        ]
        for number in range(geometry.banks):
            with m.If(bank[number]):
                m.d.comb += bits.eq(record.bits[number])
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += position.eq(position + 1)
            with m.If(last_byte):
                m.d.sync += [position.eq(0), passed.eq(passed | bank)]
            with m.If(self.i.ready):
                m.d.sync += passed.eq(0)
        with m.If(~self.i.valid):
            m.d.sync += [position.eq(0), passed.eq(0)]
        return m
