"""The core: all the chip's logic, with the macros' pins as ports."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .bank import Bank
from .controller import Controller
from .interfaces import Configuration, MacroPort, Operation, PassSettings, ProgrammerTiming, Rail
from .power_switch import PowerSwitch
from .programmer import Programmer
from .register_access import RegisterAccess
from .select import selected

__all__ = ["Core", "OutputRecord"]


class OutputRecord(data.StructLayout):
    """Output bits captured at the end of a pass: `bits` by bank, `banks` a mask of the valid."""

    def __init__(self, geometry):
        super().__init__({
            "bits": data.ArrayLayout(geometry.columns, geometry.banks),
            "banks": geometry.banks,
        })


class Core(wiring.Component):
    """Controller, programmer, power switch and banks around the macros' pins.

    Commands are taken while the part they go to is idle: a run while neither `running`,
    `programming` nor `measuring`, a programmer command likewise. Timing of passes: see Controller.

    Parameters
    ----------
    parameters : ChipParameters

    Members
    -------
    macro_0, macro_1, ... : Out(MacroPort)
        Macros, bank after bank.
    settings : In(PassSettings), timing : In(ProgrammerTiming)
        Stand still while `running`, or while `programming`.
    run, inferences, rows, preload, readout
        Start a run: see Controller.
    stop : In(1)
        Stop a run at once; its outputs are lost.
    running, waiting : Out(1)
        A run is under way; and of that, waiting for a stream in this cycle.
    i_slots : In(stream), slot_last : Out(1)
        Inputs of one weight row, one bit a macro: of bank 0's macros, or of all banks' when
        TWO_LAYER. `slot_last` marks the transfer that ends an inference's inputs.
    i_registers, o_registers : streams of bytes
        Preload and readout: see RegisterAccess. `registers_last` : Out(1) marks the transfer that
        ends an inference's preload.
    o_outputs : Out(stream of OutputRecord)
        Output bits at the end of each pass.
    operate, command, macro, row, bits, x
        Start the programmer: see Programmer.
    programming, reading : Out(1)
        It is forming or programming; it is reading a row.
    row_bits : Out(columns)
        What the last row read sensed, until the next programmer command.
    measure, column, side, disconnect
        Connect a memristor to the measuring pads (with `operate`), and disconnect it: see
        Programmer. These and `measuring` only with a sense bypass.
    measuring : Out(1)
        A memristor is connected. `reading` is high while that is under way, both ways.
    """

    def __init__(self, parameters):
        geometry = parameters.geometry
        self._parameters = parameters
        super().__init__({
            **{f"macro_{number}": Out(MacroPort(
                geometry.rows, geometry.columns, bypass=geometry.sense_bypass))
               for number in range(geometry.macros)},
            "settings": In(PassSettings(geometry)),
            "timing": In(ProgrammerTiming),
            "run": In(1),
            "inferences": In(32),
            "rows": In(1),
            "preload": In(1),
            "readout": In(1),
            "stop": In(1),
            "running": Out(1),
            "waiting": Out(1),
            "i_slots": In(stream.Signature(geometry.macros)),
            "slot_last": Out(1),
            "i_registers": In(stream.Signature(8)),
            "registers_last": Out(1),
            "o_registers": Out(stream.Signature(8)),
            "o_outputs": Out(stream.Signature(OutputRecord(geometry))),
            "operate": In(1),
            "command": In(Operation),
            "macro": In(range(max(2, geometry.macros))),
            "row": In(range(geometry.rows)),
            "bits": In(geometry.columns),
            "x": In(1),
            "programming": Out(1),
            "reading": Out(1),
            "row_bits": Out(geometry.columns),
            **({
                "measure": In(1),
                "column": In(range(max(2, geometry.columns))),
                "side": In(1),
                "disconnect": In(1),
                "measuring": Out(1),
            } if geometry.sense_bypass else {}),
        })

    @property
    def parameters(self):
        """What the core was built with."""
        return self._parameters

    def elaborate(self, platform):
        m = Module()
        geometry = self._parameters.geometry

        controller = Controller(
            geometry, self._parameters.read_timing, self._parameters.rows_per_update)
        m.submodules.controller = controller
        m.submodules.programmer = programmer = Programmer(geometry)
        m.submodules.power_switch = power_switch = PowerSwitch()
        access = RegisterAccess(geometry)
        m.submodules.register_access = access
        banks = []
        for number in range(geometry.banks):
            m.submodules[f"bank_{number}"] = bank = Bank(self._parameters)
            banks.append(bank)

        reading = programmer.busy & ~programmer.pulsing
        if geometry.sense_bypass:
            reading &= ~programmer.bypass
        m.d.comb += [
            controller.settings.eq(self.settings),
            controller.start.eq(self.run),
            controller.inferences.eq(self.inferences),
            controller.rows.eq(self.rows),
            controller.preload.eq(self.preload),
            controller.readout.eq(self.readout),
            controller.stop.eq(self.stop),
            controller.slot_valid.eq(self.i_slots.valid),
            self.i_slots.ready.eq(controller.slot_taken),
            self.slot_last.eq(controller.slot_last),
            self.running.eq(controller.busy),
            self.waiting.eq(controller.waiting),
            programmer.timing.eq(self.timing),
            programmer.start.eq(self.operate),
            programmer.command.eq(self.command),
            programmer.macro.eq(self.macro),
            programmer.target.eq(self.row),
            programmer.bits.eq(self.bits),
            programmer.x.eq(self.x),
            self.row_bits.eq(programmer.row_bits),
            self.programming.eq(programmer.pulsing),
            self.reading.eq(reading),
        ]

        # Rails and their interlock: every sense and pulse passes here, whatever asked for it, and
        # the bypass of the sense amplifiers.
        senses = Signal(geometry.macros)
        sensing = Signal()  # a macro works on the sense of the cycle before
        pulse = Signal()
        inhibit = senses.any() | sensing | programmer.pulse
        may_sense = self._read_rails(programmer, power_switch)
        if geometry.sense_bypass:
            bypass = Signal()
            m.d.comb += bypass.eq(may_sense & programmer.bypass & ~sensing)
            may_sense &= ~programmer.bypass
            inhibit |= bypass
            self._connect_bypass(m, programmer, bypass)
        m.d.comb += [
            power_switch.request.eq(programmer.request),
            power_switch.dead_time.eq(self.timing.dead_time),
            power_switch.inhibit.eq(inhibit),
            programmer.rails_ready.eq(power_switch.ready),
            controller.rails_ready.eq(may_sense & ~programmer.busy),
            pulse.eq(programmer.pulse & power_switch.ready
                     & (programmer.operation != Operation.READ) & ~sensing),
        ]
        m.d.sync += sensing.eq(senses.any())

        self._connect_macros(m, controller, programmer, power_switch, may_sense, senses, pulse)
        self._connect_banks(m, controller, access, banks)
        self._capture_outputs(m, controller, banks)
        return m

    @staticmethod
    def _read_rails(programmer, power_switch):
        """Both rails are VDD, and the programmer wants it so."""
        return (power_switch.ready & (programmer.request == Operation.READ) & ~programmer.pulse
                & (power_switch.rail_column == Rail.VDD) & (power_switch.rail_row == Rail.VDD))

    def _connect_bypass(self, m, programmer, bypass):
        """The bypass of the macro that the programmer has selected, and the ports for it."""
        m.d.comb += [
            programmer.measure.eq(self.measure),
            programmer.target_column.eq(self.column),
            programmer.target_side.eq(self.side),
            programmer.disconnect.eq(self.disconnect),
            self.measuring.eq(programmer.bypass),
        ]
        for number, selected_macro in enumerate(programmer.selected):
            m.d.comb += getattr(self, f"macro_{number}").bypass.eq(bypass & selected_macro)

    def _connect_macros(self, m, controller, programmer, power_switch, allowed, senses, pulse):
        """Rows, inputs and senses of each macro; the programmer has them while it works."""
        geometry = self._parameters.geometry
        columns, per_bank = geometry.columns, geometry.macros_per_bank
        may_sense = Signal()
        m.d.comb += may_sense.eq(allowed)
        chained = self.settings.configuration == Configuration.CHAINED
        two_layer = self.settings.configuration == Configuration.TWO_LAYER
        row_bits = 0
        for number in range(geometry.macros):
            bank, place = divmod(number, per_bank)
            port = getattr(self, f"macro_{number}")
            x = Signal(name=f"x_{number}")
            slots = self.i_slots.payload
            m.d.comb += x.eq(Mux(two_layer, slots[number], slots[place]))
            if bank == 1:
                index = Signal(range(per_bank * geometry.rows), name=f"input_{number}")
                m.d.comb += index.eq(controller.weight_row + place * self.settings.weight_rows)
                hidden = selected(
                    m, list(self.o_outputs.payload.bits[0]), index, f"hidden_{number}")
                with m.If(chained):
                    m.d.comb += x.eq(hidden)
            programs = programmer.selected[number]
            row_bits |= port.q & programs.replicate(columns)
            m.d.comb += [
                port.row.eq(Mux(programmer.busy, programmer.row, controller.row)),
                port.x.eq(Mux(programmer.busy, programmer.sense_x, x | controller.shift)),
                senses[number].eq(may_sense & Mux(
                    programmer.busy, programmer.sense & programs,
                    controller.sense[bank] & self.settings.macros[number])),
                port.sense.eq(senses[number]),
                port.operation.eq(programmer.operation),
                port.column.eq(programmer.column),
                port.side.eq(programmer.side),
                port.pulse.eq(pulse & programs),
                port.rail_column.eq(power_switch.rail_column),
                port.rail_row.eq(power_switch.rail_row),
            ]
        m.d.comb += programmer.q.eq(row_bits)

    def _connect_banks(self, m, controller, access, banks):
        """Row updates from the controller, preload and readout from the register access."""
        geometry = self._parameters.geometry
        per_bank = geometry.macros_per_bank
        m.d.comb += [
            access.banks.eq(controller.active_banks),
            access.reading.eq(controller.access_reading),
            access.writing.eq(controller.access_writing),
            self.registers_last.eq(access.done),
            controller.access_done.eq(access.done),
            controller.access_moved.eq(access.moved),
        ]
        wiring.connect(m, wiring.flipped(self.i_registers), access.i)
        wiring.connect(m, access.o, wiring.flipped(self.o_registers))
        shown = 0
        for number, bank in enumerate(banks):
            first = number * per_bank
            for place in range(per_bank):
                m.d.comb += getattr(bank, f"xnor_{place}").eq(
                    getattr(self, f"macro_{first + place}").q)
            m.d.comb += [
                bank.macros.eq(self.settings.macros[first:first + per_bank]),
                bank.sensed.eq(controller.update_counts[number]),
                bank.step.eq(controller.step[number]),
                bank.shift.eq(controller.update_shift & controller.step[number]),
                bank.clear.eq(controller.update_clear),
                bank.select.eq(access.select),
                bank.read.eq(access.reading & access.bank[number]),
                bank.load.eq(access.load & access.bank[number]),
                bank.load_value.eq(Mux(access.load & access.bank[number], access.load_value, 0)),
            ]
            shown |= bank.value
            if self._parameters.rows_per_update > 1:
                m.d.comb += [
                    bank.waits.eq(controller.update_waits),
                    bank.place.eq(controller.update_place),
                    bank.together.eq(controller.update_together),
                ]
        m.d.comb += access.value.eq(shown)

    def _capture_outputs(self, m, controller, banks):
        """Hold the sign bits of each pass until taken; a chained bank reads them here."""
        record = self.o_outputs.payload
        valid = Signal()
        bits = [Signal(self._parameters.geometry.columns, reset_less=True, name=f"outputs_{number}")
                for number in range(len(banks))]
        banks_valid = Signal(len(banks), reset_less=True)
        m.d.comb += [
            self.o_outputs.valid.eq(valid),
            controller.outputs_free.eq(~valid | self.o_outputs.ready),
            record.banks.eq(banks_valid),
        ]
        with m.If(self.o_outputs.ready):
            m.d.sync += valid.eq(0)
        with m.If(controller.capture.any()):
            m.d.sync += [valid.eq(1), banks_valid.eq(controller.capture)]
        with m.If(self.stop):
            m.d.sync += valid.eq(0)
        for number, bank in enumerate(banks):
            m.d.comb += record.bits[number].eq(bits[number])
            with m.If(controller.capture[number]):
                m.d.sync += bits[number].eq(bank.negative)
