"""Forming and programming a chip: rails, times, energy, verify and retry."""

import numpy as np
import pytest

from behavioral_models.constants import PULSE_SETUP_S, RAIL_DEAD_TIME_S, RAILS, Operation, Rail
from behavioral_models.device_chip import DeviceChip
from behavioral_models.geometry import JEBALI_2024, TEST_DIE, TINY, ChipGeometry
from behavioral_models.macro import read_table
from behavioral_models.programming import PowerSwitch, RailError, form, program, pulse
from tests.close import close

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
PULSED = (Operation.FORM, Operation.SET, Operation.RESET)


def random_image(geometry, seed=0):
    return np.random.default_rng(seed).random(geometry.image_shape) < 0.5


class TestPowerSwitch:
    @pytest.mark.parametrize(("operation", "volts"), [
        (Operation.FORM, (4.5, 2.7)), (Operation.RESET, (2.7, 4.5)), (Operation.SET, (2.7, 2.7)),
        (Operation.READ, (1.2, 1.2)),
    ])
    def test_published_voltages(self, operation, volts):
        """Jebali 2024, Methods: VDDC and VDDR of forming, RESET and SET."""
        switch = PowerSwitch()
        assert switch.volts == (0.0, 0.0) and switch.rails == (Rail.OFF, Rail.OFF)
        switch.connect(operation)
        switch.check(operation)
        assert switch.volts == volts and switch.rails == RAILS[operation]

    def test_switching_takes_a_dead_time_and_a_settling_time(self):
        switch = PowerSwitch()
        for count, operation in enumerate((Operation.SET, Operation.RESET, Operation.SET), start=1):
            for _ in range(2):
                switch.connect(operation)
                assert switch.time_s == close(count * 2 * RAIL_DEAD_TIME_S)

    @pytest.mark.parametrize("wanted", PULSED, ids=lambda o: o.name)
    @pytest.mark.parametrize("connected", [None, *Operation], ids=str)
    def test_a_pulse_with_other_rails_is_refused(self, wanted, connected):
        switch = PowerSwitch()
        if connected is not None:
            switch.connect(connected)
        if connected == wanted:
            switch.check(wanted)
            return
        want, have = ({Operation.FORM: "VH and VM", Operation.SET: "VM and VM",
                       Operation.RESET: "VM and VH", Operation.READ: "VDD and VDD",
                       None: "OFF and OFF"}[o] for o in (wanted, connected))
        with pytest.raises(RailError, match=f"A {wanted.name} pulse needs VDDC and VDDR on {want}, "
                                            f"not {have}: connect them first"):
            switch.check(wanted)

    @pytest.mark.parametrize("operation", PULSED, ids=lambda o: o.name)
    def test_tied_pads_cannot_program_but_read(self, operation):
        """For inference all rails may be tied to VDD (Jebali 2024)."""
        switch = PowerSwitch(1.2, 1.2, 1.2)
        with pytest.raises(RailError, match=f"{operation.name} needs (2.7|4.5) V on pad V[MH], "
                                            f"which has 1.2 V: connect it, or only read"):
            switch.connect(operation)
        assert switch.rails == (Rail.OFF, Rail.OFF)
        switch.connect(Operation.READ)
        assert switch.volts == (1.2, 1.2)

    @pytest.mark.parametrize("operation", PULSED, ids=lambda o: o.name)
    def test_logic_needs_its_supply_to_program(self, operation):
        """VDD is 1.2 V in forming, SET and RESET (Jebali 2024, Methods); reads go lower."""
        switch = PowerSwitch(vdd_v=0.7)
        switch.connect(Operation.READ)
        with pytest.raises(RailError, match="needs 1.2 V on pad VDD, which has 0.7 V"):
            switch.connect(operation)

    def test_a_pulse_on_wrong_rails_changes_nothing(self):
        chip, switch = DeviceChip(TINY), PowerSwitch()
        before = chip.array.ohm.copy()
        switch.connect(Operation.RESET)
        with pytest.raises(RailError, match="A SET pulse needs VDDC and VDDR on VM and VM"):
            pulse(chip, switch, (0, 0, 0, 0), Operation.SET)
        assert (chip.array.ohm == before).all()
        pulse(chip, switch, (0, 0, 0, 0), Operation.RESET)
        assert chip.array.ohm[0, 0, 0, 0] > before[0, 0, 0, 0]

    @pytest.mark.parametrize(("pads", "pad"), [
        ({"vm_v": 2.4}, "VM"), ({"vm_v": 3.0}, "VM"), ({"vh_v": 4.0}, "VH"), ({"vh_v": 5.0}, "VH"),
        ({"vm_v": 4.5, "vh_v": 2.7}, "V[MH]"),
    ], ids=str)  # fmt: skip
    def test_pads_far_from_their_voltage_are_refused(self, pads, pad):
        with pytest.raises(RailError, match=f"RESET needs .* V on pad {pad}, which has"):
            PowerSwitch(**pads).connect(Operation.RESET)
        PowerSwitch(vm_v=2.5, vh_v=4.9).connect(Operation.RESET)  # within a tenth


class TestTimes:
    def test_the_whole_chip_as_published(self):
        """32,768 memristors x 10 us and x 6 us: the pulses of a serial chip (Jebali 2024)."""
        chip = DeviceChip(JEBALI_2024, formed=False)
        formed, done = form(chip), program(chip, random_image(JEBALI_2024))
        assert formed.pulses == done.pulses == 32_768
        assert formed.pulse_time_s == close(0.32768)
        assert done.pulse_time_s == close(0.196608)
        assert 0.33 == pytest.approx(formed.time_s, abs=5e-3)
        assert 0.20 == pytest.approx(done.time_s, abs=5e-3)

    def test_pulses_are_the_conditions(self):
        """Hirtzlin 2020, Table 1: 100 ns; forming is the chip's."""
        chip = DeviceChip(TINY, "jebali_2024/optimised_energy", formed=False)
        assert form(chip).pulse_time_s == close(TINY.memristors * 10e-6)
        assert program(chip, random_image(TINY)).pulse_time_s == close(TINY.memristors * 100e-9)

    @pytest.mark.parametrize("geometry", [SMALLEST, TINY, TEST_DIE], ids=["least", "tiny", "die"])
    def test_what_a_serial_chip_spends(self, geometry):
        """Every pulse with its set-up before and after; rails change twice a row, and to read."""
        chip, switch = DeviceChip(geometry, formed=False), PowerSwitch()
        formed = form(chip, switch)
        change = 2 * RAIL_DEAD_TIME_S
        each = geometry.memristors * 2 * PULSE_SETUP_S
        assert formed.time_s == close(geometry.memristors * 10e-6 + each + 2 * change)
        done = program(chip, random_image(geometry), switch)
        rows = geometry.macros * geometry.rows
        assert done.pulses == geometry.memristors
        assert done.pulse_time_s == close(geometry.memristors * 6e-6)
        assert done.time_s == close(
            geometry.memristors * 6e-6 + each + (2 * rows + 1) * change)
        assert switch.time_s == close((2 + 2 * rows + 1) * change)

    def test_forming_again_takes_nothing(self):
        chip = DeviceChip(TINY, formed=False)
        form(chip)
        before = chip.array.ohm.copy()
        again = form(chip)
        assert (again.pulses, again.pulse_time_s, again.energy_j) == (0, 0, 0)
        assert (chip.array.ohm == before).all()

    def test_half_formed_chips_are_finished(self):
        chip = DeviceChip(TINY, formed=False)
        chip.array.pulse(0, 0, 0, 0, Operation.FORM)
        assert form(chip).pulses == TINY.memristors - 1


class TestEnergy:
    def test_energies_add_up(self):
        """One SET and one RESET a bit cell; one forming pulse a memristor."""
        chip = DeviceChip(JEBALI_2024, formed=False)
        states = chip.array.states
        formed, done = form(chip), program(chip, random_image(JEBALI_2024))
        assert formed.energy_j == close(32_768 * states.form_j)
        assert done.energy_j == close(16_384 * (states.set_j + states.reset_j))


class TestProgram:
    def test_programs_what_device_chip_does(self):
        image = random_image(TINY)
        one, two = DeviceChip(TINY, seed=1), DeviceChip(TINY, seed=1)
        report = program(one, image)
        two.program(image)
        assert (one.array.ohm == two.array.ohm).all()
        assert (report.retried_rows, report.misread_cells) == (0, 0)

    @pytest.mark.parametrize("pads", [(1.2, 1.2, 1.2), (1.2, 2.7, 2.7), (1.2, 1.2, 4.5)], ids=str)
    def test_wrong_pads_leave_the_chip_alone(self, pads):
        image = random_image(TINY)
        chip, switch = DeviceChip(TINY), PowerSwitch(*pads)
        program(chip, image)
        before = chip.array.ohm.copy()
        with pytest.raises(RailError, match="connect it, or only read"):
            program(chip, ~image, switch)
        assert (chip.array.ohm == before).all()
        assert not {Rail.VM, Rail.VH} & set(switch.rails)
        unformed = DeviceChip(TINY, formed=False)
        with pytest.raises(RailError, match="FORM needs"):
            form(unformed, switch)
        assert not unformed.array.formed.any()

    def test_unformed_chips_are_refused_and_no_high_rail_stays_connected(self):
        switch = PowerSwitch()
        with pytest.raises(ValueError, match="144 memristors were never formed"):
            program(DeviceChip(TINY, formed=False), random_image(TINY), switch)
        assert switch.rails == (Rail.VDD, Rail.VDD)

    def test_rails_are_back_on_vdd(self):
        chip, switch = DeviceChip(TINY, formed=False), PowerSwitch()
        form(chip, switch)
        assert switch.rails == RAILS[Operation.READ]
        program(chip, random_image(TINY), switch, retries=1)
        assert switch.rails == RAILS[Operation.READ]

    @pytest.mark.parametrize(("image", "message"), [
        (np.zeros((4, 6, 2)), r"has shape \(4, 6, 3\) .* not \(4, 6, 2\)"),
        (np.full(TINY.image_shape, 2), "holds bits: 0 or 1"),
    ])
    def test_images_that_do_not_fit(self, image, message):
        with pytest.raises(ValueError, match=message):
            program(DeviceChip(TINY), image)

    def test_negative_retries(self):
        with pytest.raises(ValueError, match="Retries must be at least 0, not -1"):
            program(DeviceChip(TINY), random_image(TINY), retries=-1)


class TestRetries:
    VDD, CLOCK = 0.8, 10e6

    def misread(self, chip, image):
        wrong = chip.table(self.VDD, self.CLOCK) != read_table(image)
        return wrong.any(axis=-1)

    def test_retries_reduce_what_the_verifying_supply_misreads(self):
        image = random_image(JEBALI_2024)
        left, reports = [], []
        for retries in (0, 1, 3):
            chip = DeviceChip(JEBALI_2024, seed=2)
            done = []
            reports.append(program(chip, image, retries=retries, vdd_v=self.VDD,
                                   clock_hz=self.CLOCK, progress=done.append))
            left.append(int(self.misread(chip, image).sum()))
            assert sum(done) == 256 + reports[-1].retried_rows, "row counts"
            if retries:
                assert reports[-1].misread_cells == left[-1]
        assert left[0] > 2 * left[1] > 2 * left[2]

    def test_what_a_first_retry_does(self):
        """Exactly the rows with a misread cell get one more pulse a memristor, and no other."""
        image = random_image(JEBALI_2024)
        once, twice = (DeviceChip(JEBALI_2024, seed=2) for _ in range(2))
        first = program(once, image)
        second = program(twice, image, retries=1, vdd_v=self.VDD, clock_hz=self.CLOCK)
        rows = self.misread(once, image).any(axis=-1)
        assert second.retried_rows == rows.sum() > 0
        pulses = twice.array.pulses - once.array.pulses
        assert (pulses == rows[:, :, None, None]).all()
        assert (twice.array.ohm[~rows] == once.array.ohm[~rows]).all()
        extra = 128 * second.retried_rows
        assert second.pulses - first.pulses == extra
        states = once.array.states
        assert second.energy_j - first.energy_j == close(
            extra / 2 * (states.set_j + states.reset_j))
        assert second.time_s > first.time_s + 6e-6 * extra

    def test_a_chip_without_errors_is_not_retried(self):
        chip = DeviceChip(SMALLEST, seed=1)
        report = program(chip, random_image(SMALLEST), retries=3)
        assert (report.retried_rows, report.misread_cells, report.pulses) == (0, 0, 4)
