"""Controller: turns passes into row operations at the read timing, and updates after them."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from .interfaces import Configuration, PassSettings, Start

__all__ = ["Controller"]


class State(enum.Enum):
    """What the controller is doing."""

    IDLE = 0
    PRELOAD = 1
    ROWS = 2
    UPDATE = 3  # of the last row operation
    CAPTURE = 4  # of the outputs
    READOUT = 5


class Controller(wiring.Component):
    """Sequences inferences: preload, row operations, readout.

    A pass is `initial_shifts` shifts, then per plane `weight_rows` counts, with one more shift
    before each plane but the first. Row operations go out every `read_timing` cycles:

    =======  ============================================================
    timing   cycles of a row operation
    =======  ============================================================
    3        row and x settle, sense, update
    2        sense, update while the next row settles
    1        sense every cycle, update in the next
    =======  ============================================================

    Passes follow each other without a gap unless the pipeline has to drain in between (2 cycles
    after the last sense): for a preload or readout, for a chained pass with fewer than two initial
    shifts, and for passes of fewer than three cycles. Cycle counts:
    `behavioral_models.passes.PassConfig.cycles`.

    Parameters
    ----------
    geometry : ChipGeometry
    read_timing : int
        1, 2 or 3.
    rows_per_update : int
        Weight rows that the registers count at once, a power of two.

    Members
    -------
    settings : In(PassSettings)
        Stands still while `busy`.
    start : In(1)
        Take the command below; ignored while `busy`.
    inferences : In(32)
        How many, at least 1.
    rows, preload, readout : In(1)
        What each inference consists of, at least one of them; stand still while `busy`.
    stop : In(1)
        Go back to idle at once.
    busy, waiting : Out(1)
        At work; and of that, waiting for a stream or the rails in this cycle.
    slot_valid : In(1), slot_taken : Out(1), slot_last : Out(1)
        The inputs of a weight row are there; are used up in this cycle; are the last of an
        inference.
    rails_ready : In(1)
        Senses are allowed.
    row : Out(range(rows)), shift : Out(1)
        The row operation at the macros.
    weight_row : Out(range(rows))
        Its weight row, if it is a count.
    sense : Out(banks)
        Banks that sense in this cycle.
    step : Out(banks), update_counts : Out(banks), update_shift, update_clear : Out(1)
        The row operation at the registers: banks that step, and of these those that were sensed.
    update_waits : Out(1), update_place : Out(range(rows_per_update)), update_together : Out(1)
        See RowSequence; only where rows are counted several at once.
    capture : Out(banks)
        Banks whose output bits are final and are captured in this cycle; outputs_free : In(1) says
        that what was captured before has been taken.
    access_reading, access_writing : Out(1), access_done, access_moved : In(1)
        To RegisterAccess.
    active_banks : Out(banks)
        Banks that take part in the current pass.
    """

    def __init__(self, geometry, read_timing, rows_per_update=1):
        if read_timing not in (1, 2, 3):
            raise ValueError(f"Read timing must be 1, 2 or 3 cycles a row, not {read_timing!r}")
        self._geometry = geometry
        self._read_timing = read_timing
        self._rows_per_update = rows_per_update
        banks = geometry.banks
        super().__init__({
            "settings": In(PassSettings(geometry)),
            "start": In(1),
            "inferences": In(32),
            "rows": In(1),
            "preload": In(1),
            "readout": In(1),
            "stop": In(1),
            "busy": Out(1),
            "waiting": Out(1),
            "slot_valid": In(1),
            "slot_taken": Out(1),
            "slot_last": Out(1),
            "rails_ready": In(1),
            "row": Out(range(geometry.rows)),
            "shift": Out(1),
            "weight_row": Out(range(geometry.rows)),
            "sense": Out(banks),
            "step": Out(banks),
            "update_counts": Out(banks),
            "update_shift": Out(1),
            "update_clear": Out(1),
            **({"update_waits": Out(1), "update_place": Out(range(rows_per_update)),
                "update_together": Out(1)} if rows_per_update > 1 else {}),
            "capture": Out(banks),
            "outputs_free": In(1),
            "access_reading": Out(1),
            "access_writing": Out(1),
            "access_done": In(1),
            "access_moved": In(1),
            "active_banks": Out(banks),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.row_sequence = sequence = RowSequence(
            self._geometry, self._rows_per_update)
        settings = self.settings

        # Inferences: bank 1 of a chained pass is one behind bank 0, so there is one pass more.
        state = Signal(State)
        chained = Signal()
        left = Signal(33)
        first_pass = Signal()
        last_pass = Signal()
        enabled_banks = Signal(self._geometry.banks)
        m.d.comb += [
            chained.eq((settings.configuration == Configuration.CHAINED) & self.rows),
            last_pass.eq(left == 1),
            self.active_banks.eq(enabled_banks),
        ]
        macros = self._geometry.macros_per_bank
        for bank in range(self._geometry.banks):
            m.d.comb += enabled_banks[bank].eq(
                settings.macros[bank * macros:(bank + 1) * macros].any())
        if self._geometry.banks > 1:
            with m.If(chained & first_pass):
                m.d.comb += self.active_banks[1].eq(0)
            with m.If(chained & last_pass):
                m.d.comb += self.active_banks[0].eq(0)

        # One row operation: phase 0 waits for its inputs, the sense phase for room for the outputs.
        sense_phase = {1: 0, 2: 0, 3: 1}[self._read_timing]
        phase = Signal(range(max(2, self._read_timing)))
        in_rows = Signal()
        needs_slot = Signal()
        no_slot = Signal()
        no_room = Signal()
        sense = Signal()
        m.d.comb += [
            in_rows.eq(state == State.ROWS),
            needs_slot.eq(~sequence.shift & ~(chained & last_pass)),
            no_slot.eq((phase == 0) & ((needs_slot & ~self.slot_valid) | ~self.rails_ready)),
            no_room.eq((phase == sense_phase) & sequence.last & ~self.outputs_free),
            sense.eq(in_rows & (phase == sense_phase) & ~no_slot & ~no_room),
            self.slot_taken.eq(sense & needs_slot),
            self.slot_last.eq(sequence.last),
            sequence.settings.eq(settings),
            sequence.step.eq(sense),
            self.row.eq(sequence.row),
            self.weight_row.eq(sequence.weight_row),
            self.shift.eq(sequence.shift),
            self.sense.eq(self.active_banks & sense.replicate(self._geometry.banks)),
        ]
        if self._geometry.banks > 1:  # a chained bank's inputs have one bit, the last plane's
            with m.If(chained & ~sequence.shift & ~sequence.last_plane):
                m.d.comb += self.sense[1].eq(0)
        with m.If(~in_rows):
            m.d.sync += phase.eq(0)
        with m.Elif(~no_slot & ~no_room):
            m.d.sync += phase.eq(Mux(phase == self._read_timing - 1, 0, phase + 1))

        # The update follows the sense by one cycle, the capture of the outputs the last update.
        clear = Signal()
        captured = Signal(self._geometry.banks)
        m.d.comb += clear.eq(sequence.first & (settings.start == Start.THRESHOLDS))
        m.d.sync += [
            self.update_counts.eq(self.sense),
            self.update_shift.eq(sequence.shift),
            self.update_clear.eq(clear & sense),
            self.step.eq(Mux(clear & sense, self.active_banks, self.sense)),
            captured.eq(Mux(sense & sequence.last, self.active_banks, 0)),
            self.capture.eq(captured),
        ]
        if self._rows_per_update > 1:
            m.d.sync += [
                self.update_waits.eq(sequence.waits),
                self.update_place.eq(sequence.place),
                self.update_together.eq(sequence.together),
            ]

        # What an inference consists of.
        few_operations = {1: 2, 2: 1, 3: 0}[self._read_timing]
        short = Signal()
        drains = Signal()
        first_state = Signal(State)
        m.d.comb += [
            short.eq((settings.planes == 1)
                     & (settings.initial_shifts + settings.weight_rows <= few_operations)),
            drains.eq(self.preload | self.readout | short
                      | (chained & (settings.initial_shifts < 2))),
            first_state.eq(Mux(
                self.preload, State.PRELOAD, Mux(self.rows, State.ROWS, State.READOUT))),
            sequence.restart.eq(state == State.IDLE),
            self.busy.eq(state != State.IDLE),
            self.access_reading.eq(state == State.READOUT),
            self.access_writing.eq(state == State.PRELOAD),
            self.waiting.eq(
                (in_rows & (no_slot | no_room))
                | ((self.access_reading | self.access_writing) & ~self.access_moved)),
        ]
        ends = Signal()
        with m.Switch(state):
            with m.Case(State.IDLE):
                with m.If(self.start):
                    m.d.sync += [left.eq(self.inferences + chained), first_pass.eq(1)]
                    m.d.sync += state.eq(first_state)
            with m.Case(State.PRELOAD):
                m.d.comb += ends.eq(self.access_done & ~self.rows)
                with m.If(self.access_done):
                    m.d.sync += state.eq(State.ROWS)
            with m.Case(State.ROWS):
                with m.If(sense & sequence.last):
                    with m.If(drains | last_pass):
                        m.d.sync += state.eq(State.UPDATE)
                    with m.Else():
                        m.d.comb += ends.eq(1)
            with m.Case(State.UPDATE):
                m.d.sync += state.eq(State.CAPTURE)
            with m.Case(State.CAPTURE):
                m.d.comb += ends.eq(~self.readout)
                m.d.sync += state.eq(State.READOUT)
            with m.Case(State.READOUT):
                m.d.comb += ends.eq(self.access_done)
        with m.If(ends):
            m.d.sync += [
                left.eq(left - 1),
                first_pass.eq(0),
                state.eq(Mux(last_pass, State.IDLE, first_state)),
            ]
        with m.If(self.stop):
            m.d.sync += [state.eq(State.IDLE), self.step.eq(0), captured.eq(0), self.capture.eq(0)]
        return m


class RowSequence(wiring.Component):
    """The row operations of one pass after another, one a `step`.

    Parameters
    ----------
    geometry : ChipGeometry
    rows_per_update : int
        Rows of a group, a power of two.

    Members
    -------
    settings : In(PassSettings)
        Stands still, but for `restart`.
    restart : In(1)
        Go to the first operation of a pass.
    step : In(1)
        Go to the next; after the last comes the first.
    row : Out(range(rows)), shift : Out(1)
        The operation: a shift of this threshold row, or a count of this weight row.
    weight_row : Out(range(rows))
    first, last, last_plane : Out(1)
        It is the first or the last of its pass; the plane being counted is the pass's last.
    waits : Out(1), place : Out(range(rows_per_update)), together : Out(1)
        The row belongs to a whole group of `rows_per_update` and is not, or is, the last of it; and
        which it is. Rows that are left over at the end of a plane are counted one by one.
    """

    def __init__(self, geometry, rows_per_update=1):
        self._geometry = geometry
        self._rows_per_update = rows_per_update
        super().__init__({
            "settings": In(PassSettings(geometry)),
            "restart": In(1),
            "step": In(1),
            "row": Out(range(geometry.rows)),
            "shift": Out(1),
            "weight_row": Out(range(geometry.rows)),
            "first": Out(1),
            "last": Out(1),
            "last_plane": Out(1),
            **({"waits": Out(1), "place": Out(range(rows_per_update)), "together": Out(1)}
               if rows_per_update > 1 else {}),
        })

    def elaborate(self, platform):
        m = Module()
        settings = self.settings
        shifts = Signal(range(self._geometry.rows + 1))  # threshold rows shifted in so far
        due = Signal(range(self._geometry.rows + 1))  # threshold rows due before the next count
        plane = Signal(range(self._geometry.max_planes + 1))
        threshold_row = Signal(range(self._geometry.rows))
        last_row = Signal()
        m.d.comb += [
            self.shift.eq(shifts != due),
            threshold_row.eq(settings.first_threshold_row + shifts),
            self.row.eq(Mux(self.shift, threshold_row, self.weight_row)),
            self.last_plane.eq(plane + 1 == settings.planes),
            last_row.eq(self.weight_row + 1 == settings.weight_rows),
            self.last.eq(~self.shift & last_row & self.last_plane),
        ]
        if self._rows_per_update > 1:
            bits = self._rows_per_update.bit_length() - 1
            whole = Signal()
            m.d.comb += [
                self.place.eq(self.weight_row),
                whole.eq(~self.shift & (self.weight_row[bits:] != settings.weight_rows[bits:])),
                self.together.eq(whole & self.place.all()),
                self.waits.eq(whole & ~self.place.all()),
            ]
        with m.If(self.step):
            m.d.sync += self.first.eq(0)
            with m.If(self.shift):
                m.d.sync += shifts.eq(shifts + 1)
            with m.Elif(~last_row):
                m.d.sync += self.weight_row.eq(self.weight_row + 1)
            with m.Else():
                m.d.sync += [self.weight_row.eq(0), plane.eq(plane + 1), due.eq(due + 1)]
        with m.If(self.restart | (self.step & self.last)):
            m.d.sync += [
                self.first.eq(1),
                shifts.eq(0),
                due.eq(settings.initial_shifts),
                self.weight_row.eq(0),
                plane.eq(0),
            ]
        return m
