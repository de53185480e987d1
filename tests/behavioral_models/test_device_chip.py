"""The memristors of a chip and what its amplifiers read: pulses, tables, shifts, executors."""

import copy

import numpy as np
import pytest
from scipy.stats import kstest

from behavioral_models.array import UNFORMED_OHM, MemristorArray
from behavioral_models.chip import GoldenChip
from behavioral_models.constants import Operation
from behavioral_models.device_chip import DeviceChip, preactivation_shifts
from behavioral_models.draws import Stream, normal
from behavioral_models.geometry import JEBALI_2024, TEST_DIE, TINY, ChipGeometry
from behavioral_models.macro import read_table
from behavioral_models.memristor import Condition
from behavioral_models.parameter_files import Parameters, load
from behavioral_models.passes import Configuration, PassConfig
from behavioral_models.xpcsa import Amplifier

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
ODD = ChipGeometry(banks=3, macros_per_bank=3, rows=7, columns=5, max_inputs=12)
BYPASS = ChipGeometry(
    banks=1, macros_per_bank=1, rows=3, columns=2, max_inputs=3, sense_bypass=True)
GEOMETRIES = {"smallest": SMALLEST, "tiny": TINY, "odd": ODD}
geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
WEAK = Condition("jebali_2024/weak_set")


def edited(name="jebali_2024/weak_set", **values):
    """The tree of a file, with other numbers: `stuck__lrs=`."""
    file = load(name)
    tree = copy.deepcopy(dict(file.tree))
    for key, value in values.items():
        *path, last = key.split("__")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = ({"value": value, "source": "assumed", "note": "of a test"}
                      if isinstance(value, float) else value)
    return Parameters("mine", file.kind, file.set, file.about, tree)


TAIL = Condition(edited(hrs__distribution="lognormal_tail", hrs__knee_score=-1.0,
                        hrs__tail_spread_decades=0.9))
MEASURED = Condition(edited(lrs={
    "distribution": "empirical", "ohm": [5e3, 8e3, 1e4, 1.1e4, 3e4],
    "device_share": {"value": 0.4, "source": "assumed"}}))


def random_image(geometry, seed=0):
    return np.random.default_rng(seed).random(geometry.image_shape) < 0.5


def by_pulses(array, image, order):
    """The pulses of an image, SETs and RESETs, in any order of cells."""
    cells = list(np.ndindex(array.geometry.image_shape))
    for index in order.permutation(len(cells)):
        macro, row, column = cells[index]
        bit = int(image[cells[index]])
        pulses = [(bit, Operation.SET), (1 - bit, Operation.RESET)]
        for side, operation in pulses[:: order.choice([1, -1])]:
            array.pulse(macro, row, column, side, operation)


class TestArray:
    @geometries
    @pytest.mark.parametrize("condition", [WEAK, TAIL, MEASURED], ids=["weak", "tail", "measured"])
    def test_a_whole_image_is_its_pulses_bit_for_bit(self, geometry, condition):
        """Forming, two images, one row anew, a third image: the order of cells does not matter."""
        whole, single = (MemristorArray(geometry, condition, seed=3, chip=1) for _ in range(2))
        order = np.random.default_rng(5)
        whole.form()
        for place in order.permutation(list(np.ndindex(*whole.ohm.shape))):
            single.pulse(*map(int, place), Operation.FORM)
        assert (whole.ohm == single.ohm).all() and single.formed.all()
        for number in range(3):
            image = random_image(geometry, number)
            whole.program(image)
            by_pulses(single, image, order)
            assert (whole.ohm == single.ohm).all(), f"image {number}"
            macro, row = geometry.macros - 1, number % geometry.rows
            bits = random_image(geometry, 9 + number)[macro, row]
            whole.program_row(macro, row, bits)
            before = single.ohm.copy()
            for column, bit in enumerate(bits):
                single.pulse(macro, row, column, 1 - int(bit), Operation.RESET)
                single.pulse(macro, row, column, int(bit), Operation.SET)
            changed = single.ohm != before
            assert changed[macro, row].all() and changed.sum() == changed[macro, row].size
            assert (whole.ohm == single.ohm).all(), f"row after image {number}"
            assert (whole.pulses == single.pulses).all()

    def test_a_cell_does_not_depend_on_the_size_of_the_chip(self):
        """Draws are keyed by cell number: the first macro is the same in a larger chip."""
        small = ChipGeometry(banks=1, macros_per_bank=1, rows=6, columns=3, max_inputs=12)
        image = random_image(TINY)
        arrays = [MemristorArray(geometry, WEAK, 1) for geometry in (small, TINY)]
        for array, bits in zip(arrays, (image[:1], image), strict=True):
            array.form()
            array.program(bits)
        assert (arrays[0].ohm[0] == arrays[1].ohm[0]).all()

    def test_states_are_those_of_the_image(self):
        """Programmed scores are normal in both states: HRS on BL of a 1, LRS on its BLb."""
        array, image = MemristorArray(JEBALI_2024, WEAK, 2), random_image(JEBALI_2024)
        array.form()
        array.program(image)
        states = WEAK.at()
        low = np.stack([~image, image], axis=-1)
        for distribution, ohm in ((states.lrs.distribution, array.ohm[low]),
                                  (states.hrs.distribution, array.ohm[~low])):
            assert kstest(distribution.score(ohm), "norm").pvalue > 1e-3

    def test_a_device_keeps_its_own_part(self):
        """Correlation of log R over two programmings is the device-to-device share."""
        array, image = MemristorArray(JEBALI_2024, WEAK, 4), np.zeros(JEBALI_2024.image_shape, bool)
        array.form()
        decades = []
        for _ in range(2):
            array.program(image)
            decades.append(np.log10(array.ohm))
        count = image.size
        for side, state in enumerate(("lrs", "hrs")):
            share = WEAK.parameters.number(f"{state}.device_share")
            one, two = (d[..., side].ravel() for d in decades)
            assert abs(np.corrcoef(one, two)[0, 1] - share) < 4 / np.sqrt(count)

    def test_age_is_the_conditions(self):
        strong = Condition("jebali_2024/strong")
        array = MemristorArray(TINY, strong, cycles=1e6)
        assert array.states == strong.at(cycles=1e6)

    def test_unformed_memristors_are_not_programmed(self):
        array = MemristorArray(TINY, WEAK)
        image = random_image(TINY)
        with pytest.raises(ValueError, match="144 memristors were never formed: form the chip"):
            array.program(image)
        for operation in (Operation.SET, Operation.RESET):
            array.pulse(0, 0, 0, 0, operation)
        assert (array.ohm == UNFORMED_OHM).all() and not array.formed.any()
        assert not array.pulses.any()
        array.pulse(1, 2, 1, 1, Operation.FORM)
        assert array.formed.sum() == 1 and array.ohm[1, 2, 1, 1] < UNFORMED_OHM
        with pytest.raises(ValueError, match="143 memristors were never formed"):
            array.program(image)

    def test_forming_happens_once(self):
        array = MemristorArray(TINY, WEAK, 1)
        array.pulse(0, 0, 0, 0, Operation.FORM)
        first = array.ohm[0, 0, 0, 0]
        array.form()
        formed = array.ohm.copy()
        assert formed[0, 0, 0, 0] == first
        array.pulse(0, 0, 0, 0, Operation.RESET)
        programmed = array.ohm.copy()
        array.form()
        array.pulse(0, 0, 0, 0, Operation.FORM)
        assert (array.ohm == programmed).all() and (formed != programmed).sum() == 1

    @pytest.mark.parametrize("image, message", [
        (np.zeros((4, 6, 2)), r"has shape \(4, 6, 3\) \(macro, row, column\), not \(4, 6, 2\)"),
        (np.full((4, 6, 3), 2), "holds bits: 0 or 1, nothing else"),
    ])
    def test_images_that_do_not_fit(self, image, message):
        array = MemristorArray(TINY, WEAK)
        array.form()
        with pytest.raises(ValueError, match=message):
            array.program(image)

    def test_a_read_has_no_pulse(self):
        array = MemristorArray(TINY, WEAK)
        array.form()
        with pytest.raises(ValueError, match="A read has no pulse"):
            array.pulse(0, 0, 0, 0, Operation.READ)


class TestCutOffPulses:
    def formed(self, seed=0, image=None):
        array = MemristorArray(ODD, WEAK, seed)
        array.form()
        if image is not None:
            array.program(image)
        return array

    def pulse_all(self, array, operation, fraction):
        for place in np.ndindex(*array.ohm.shape):
            array.pulse(*place, operation, fraction)

    @pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.9, 1.0])
    def test_reset_moves_the_logarithm_steadily(self, fraction):
        """log R after a part of the pulse lies that part of the way to where the whole one ends."""
        start, whole, part = (self.formed() for _ in range(3))
        self.pulse_all(whole, Operation.RESET, 1.0)
        self.pulse_all(part, Operation.RESET, fraction)
        expected = (1 - fraction) * np.log(start.ohm) + fraction * np.log(whole.ohm)
        np.testing.assert_allclose(np.log(part.ohm), expected, rtol=1e-12)
        assert (part.pulses == 1).all()

    @pytest.mark.parametrize("operation", [Operation.SET, Operation.FORM], ids=["SET", "FORM"])
    @pytest.mark.parametrize("fraction", [0.0, 0.3, 0.7, 1.0])
    def test_set_and_forming_are_abrupt(self, operation, fraction):
        """Each memristor is where it was or where the whole pulse takes it; moments are uniform."""
        image = np.zeros(ODD.image_shape, bool)
        make = (lambda: MemristorArray(ODD, WEAK)) if operation is Operation.FORM else (
            lambda: self.formed(image=image))
        start, whole, part = make(), make(), make()
        self.pulse_all(whole, operation, 1.0)
        self.pulse_all(part, operation, fraction)
        switched = part.ohm == whole.ohm
        assert (part.ohm == np.where(switched, whole.ohm, start.ohm)).all()
        deviation = np.sqrt(fraction * (1 - fraction) / switched.size)
        assert abs(switched.mean() - fraction) <= 4 * deviation
        if operation is Operation.FORM:
            assert (part.formed == switched).all()

    def test_moments_do_not_tell_resistances(self):
        array = self.formed(image=np.ones(ODD.image_shape, bool))
        before, index = array.ohm.copy(), array.pulses.copy()
        self.pulse_all(array, Operation.SET, 0.5)
        whole = self.formed(image=np.ones(ODD.image_shape, bool))
        self.pulse_all(whole, Operation.SET, 1.0)
        early = array.ohm != before
        scores = WEAK.at().lrs.distribution.score(whole.ohm)
        assert (array.pulses == index + 1).all()
        spread = scores.std() * np.sqrt(1 / early.sum() + 1 / (~early).sum())
        assert abs(scores[early].mean() - scores[~early].mean()) < 4 * spread

    def test_the_moment_of_a_set_is_drawn_anew(self):
        """Each half pulse switches half of what is left; forming is decided once."""
        array = self.formed(image=np.ones(ODD.image_shape, bool))
        high = array.ohm.copy()
        for tries in range(1, 5):
            self.pulse_all(array, Operation.SET, 0.5)
            left = (array.ohm == high).mean()
            assert abs(left - 0.5**tries) < 4 * np.sqrt(0.5**tries / high.size)
        unformed = MemristorArray(ODD, WEAK)
        self.pulse_all(unformed, Operation.FORM, 0.5)
        once = unformed.formed.copy()
        self.pulse_all(unformed, Operation.FORM, 0.5)
        assert (unformed.formed == once).all()

    def test_longer_than_whole_is_whole(self):
        one, two = self.formed(), self.formed()
        self.pulse_all(one, Operation.RESET, 1.0)
        self.pulse_all(two, Operation.RESET, 1.7)
        assert (one.ohm == two.ohm).all()


class TestStuck:
    CONDITION = Condition(edited(stuck__lrs=0.1, stuck__hrs=0.05))

    def test_stuck_memristors_stay_whatever_is_done(self):
        array = MemristorArray(JEBALI_2024, self.CONDITION, 1)
        array.form()
        image = random_image(JEBALI_2024)
        seen = []
        for bits in (image, ~image, image):
            array.program(bits)
            seen.append(array.ohm.copy())
        same = (seen[0] == seen[1]) & (seen[1] == seen[2])
        states = self.CONDITION.at()
        middle = states.reference_ohm()
        count = same.size
        for share, found in ((0.1, same & (seen[0] < middle)), (0.05, same & (seen[0] > middle))):
            assert abs(found.mean() - share) < 4 * np.sqrt(share / count) + 0.004
        assert abs(same.mean() - 0.15) < 4 * np.sqrt(0.15 * 0.85 / count)
        again = array.ohm.copy()
        for place in np.argwhere(same)[:20]:
            for operation in (Operation.SET, Operation.RESET, Operation.FORM):
                array.pulse(*map(int, place), operation)
        assert (array.ohm[same] == again[same]).all()

    def test_pulses_and_images_agree_on_stuck_memristors(self):
        whole, single = (MemristorArray(ODD, self.CONDITION, 2) for _ in range(2))
        whole.form()
        for place in np.ndindex(*whole.ohm.shape):
            single.pulse(*place, Operation.FORM)
        image = random_image(ODD)
        whole.program(image)
        by_pulses(single, image, np.random.default_rng(0))
        assert (whole.ohm == single.ohm).all()

    def test_unformed_is_unformed_even_if_stuck(self):
        array = MemristorArray(ODD, self.CONDITION, 2)
        array.pulse(0, 0, 0, 0, Operation.FORM)
        assert (array.ohm[~array.formed] == UNFORMED_OHM).all()


def programmed(geometry=TINY, seed=0, chip=0, image_seed=0, **options):
    device = DeviceChip(geometry, seed=seed, chip=chip, **options)
    image = random_image(geometry, image_seed)
    device.program(image)
    return device, image


class TestTable:
    def test_the_same_seed_is_the_same_chip(self):
        tables = [programmed(JEBALI_2024, 5, 2)[0].table(0.7, 10e6) for _ in range(2)]
        assert (tables[0] == tables[1]).all()

    @pytest.mark.parametrize("other", [{"seed": 6}, {"chip": 3}, {"seed": 2, "chip": 5}], ids=str)
    def test_another_chip_has_other_weak_cells(self, other):
        one, image = programmed(JEBALI_2024, 5, 2)
        two, _ = programmed(JEBALI_2024, **{"seed": 5, "chip": 2, **other})
        wrong = [device.table(0.7, 10e6) != read_table(image) for device in (one, two)]
        assert wrong[0].any() and (wrong[0] != wrong[1]).any()
        rates = [w.mean() for w in wrong]
        chance = rates[0] * rates[1] * wrong[0].size
        assert (wrong[0] & wrong[1]).sum() < chance + 5 * np.sqrt(chance) + 5

    def test_rates_are_those_of_the_quadrature(self):
        """Over 8 chips: at 1.2 V nearly free of errors, at 0.8 V and 0.7 V not."""
        rates = {1.2: 0.0, 0.8: 0.0, 0.7: 0.0}
        devices = [programmed(JEBALI_2024, 1, chip) for chip in range(8)]
        for vdd in rates:
            wrong = np.array([(d.table(vdd, 10e6) != read_table(i)).mean() for d, i in devices])
            rates[vdd] = wrong.mean()
        device = devices[0][0]
        states, cells = device.condition.at(), 8 * JEBALI_2024.memristors // 2
        for vdd, rate in rates.items():
            expected = device.amplifier.bit_error_rate(states, vdd, 10e6)
            # both x of a cell, and cells of one column, err together: 3 times the plain deviation
            assert abs(rate - expected) < 3 * 4 * np.sqrt(expected / (2 * cells)) + 1 / cells
        assert rates[1.2] < 1e-4 < rates[0.8] < rates[0.7]

    def test_programming_again_redraws_the_weak_cells(self):
        device, image = programmed(JEBALI_2024, 3)
        before = device.table(0.7, 10e6)
        device.program(image)
        after = device.table(0.7, 10e6)
        wrong = [table != read_table(image) for table in (before, after)]
        assert wrong[0].any() and (wrong[0] & ~wrong[1]).any() and (wrong[1] & ~wrong[0]).any()
        both = (wrong[0] & wrong[1]).sum()
        assert both > 5 * wrong[0].mean() ** 2 * before.size, "mismatch and devices stay"

    def test_reading_changes_nothing(self):
        device, _ = programmed()
        tables = [device.table(v, f) for v, f in ((0.7, 10e6), (1.2, 66e6), (0.7, 10e6))]
        assert (tables[0] == tables[2]).all()

    def test_error_free_rows(self):
        device, image = programmed(JEBALI_2024, 2)
        table = device.table(0.7, 10e6)
        rows = range(58, 64)
        freed = device.table(0.7, 10e6, error_free_rows=rows)
        assert (table[:, 58:] != read_table(image)[:, 58:]).any()
        assert (freed[:, 58:] == read_table(image)[:, 58:]).all()
        assert (freed[:, :58] == table[:, :58]).all()
        assert (device.table(0.7, 10e6, range(0)) == table).all()

    def test_what_was_never_programmed_cannot_be_free_of_errors(self):
        with pytest.raises(ValueError, match="Nothing was programmed that rows could read without"):
            DeviceChip(TINY).table(1.2, 1e6, error_free_rows=range(2))

    @geometries
    def test_mismatch_is_drawn_by_cell_and_amplifier_number(self, geometry):
        """Streams as `draws.Stream` tells: cells in order; amplifiers, macro after macro."""
        device, _ = programmed(geometry, 4, 2)
        macros, rows, columns = geometry.image_shape
        expected = np.empty((*geometry.image_shape, 2), bool)
        for number, (macro, row, column) in enumerate(np.ndindex(macros, rows, columns)):
            amplifier = macro * columns + column
            cell, latch, xnor = (normal(4, 2, stream, first=first)[0] for stream, first in (
                (Stream.CELL, number), (Stream.LATCH, amplifier), (Stream.XNOR, amplifier)))
            expected[macro, row, column] = device.amplifier.decide(
                device.array.ohm[macro, row, column], 0.7, 66e6, cell[0], latch[0], xnor[:2])
        assert (device.table(0.7, 66e6) == expected).all()
        scores = (device._cell, device._latch, device._xnor)
        assert [score.size for score in scores] == [
            macros * rows * columns, macros * columns, 2 * macros * columns]
        last = normal(4, 2, Stream.XNOR, first=macros * columns - 1)[0, :2]
        assert (device._xnor[-1, 0, -1] == last).all()

    @geometries
    def test_parts_are_read_as_the_whole(self, geometry):
        device, _ = programmed(geometry, 4)
        whole = device.table(0.7, 10e6)
        assert whole.shape == (*geometry.image_shape, 2) and whole.dtype == bool
        for macro in range(geometry.macros):
            assert (device.read(macro, slice(None), 0.7, 10e6) == whole[macro]).all()
            for row in (0, np.int64(geometry.rows - 1)):
                part = device.read(macro, row, 0.7, 10e6)
                assert part.shape == (geometry.columns, 2) and (part == whole[macro, row]).all()
        assert (device.read(slice(None), 1, 0.7, 10e6) == whole[:, 1]).all()
        assert (device.read(slice(0, 1), slice(1, 2), 0.7, 10e6) == whole[:1, 1:2]).all()

    def test_amplifiers_are_shared_by_the_rows_of_a_column(self):
        """With latch mismatch alone and equal cells, a column errs as one."""
        file = load("jebali_2024/amplifier")
        tree = copy.deepcopy(dict(file.tree))
        for group, value in (("cell", 0.0), ("xnor", 0.0), ("latch", 1.0)):
            tree["offset"][group]["mismatch_v"]["value"] = value
        amplifier = Amplifier(Parameters("mine", file.kind, file.set, file.about, tree))
        tree = edited(lrs__spread_decades=1e-6, hrs__spread_decades=1e-6)
        device = DeviceChip(JEBALI_2024, Condition(tree), amplifier, seed=1)
        device.program(np.zeros(JEBALI_2024.image_shape, bool))
        table = device.table(0.7, 10e6)
        assert (table == table[:, :1]).all() and table[..., 1].any()

    def test_supply_and_images_that_do_not_fit(self):
        device, _ = programmed()
        with pytest.raises(ValueError, match="holds for supplies of 0.7 to 1.25 V, not 0.6 V"):
            device.table(0.6, 1e6)
        with pytest.raises(ValueError, match="program image of this chip has shape"):
            device.program(np.zeros((1, 2, 3)))
        with pytest.raises(ValueError, match="never formed: form the chip"):
            DeviceChip(TINY, formed=False).program(np.zeros(TINY.image_shape))

    def test_sets_are_never_mixed(self):
        file = load("jebali_2024/amplifier")
        other = Amplifier(Parameters("mine", file.kind, "sky130", file.about, file.tree))
        with pytest.raises(
            ValueError,
            match="Memristors of set jebali_2024 and amplifiers of set sky130 are never mixed",
        ):
            DeviceChip(TINY, amplifier=other)

    def test_a_users_memristors_go_with_any_amplifier(self):
        file = load("jebali_2024/weak_set")
        mine = Condition(Parameters("mine", file.kind, "user", file.about, file.tree))
        chip = DeviceChip(TINY, mine)
        assert (chip.condition.set, chip.amplifier.set) == ("user", "jebali_2024")

    def test_rows_that_are_not_there(self):
        device, _ = programmed()
        with pytest.raises(ValueError, match="Rows 2 to 199 are not all in a macro of"):
            device.table(1.2, 1e6, error_free_rows=range(2, 200))


class TestMeasure:
    def test_bypass_measures_every_memristor(self):
        device, _ = programmed(BYPASS)
        for place in np.ndindex(*device.array.ohm.shape):
            assert device.measure(*place) == device.array.ohm[place]
        assert DeviceChip(TEST_DIE, formed=False).measure(0, 63, 63, 1) == UNFORMED_OHM

    def test_other_chips_have_no_bypass(self):
        with pytest.raises(ValueError, match="cannot be bypassed to measure .* TEST_DIE's can"):
            DeviceChip(TINY).measure(0, 0, 0, 0)

    @pytest.mark.parametrize("place", [(1, 0, 0, 0), (0, 3, 0, 0), (0, 0, 2, 0), (0, 0, 0, 2),
                                       (0, -1, 0, 0)])  # fmt: skip
    def test_memristors_that_are_not_there(self, place):
        with pytest.raises(ValueError, match=r"no memristor \(.*\) \(macro, row, column, side\)"):
            DeviceChip(BYPASS).measure(*place)


SINGLE = Configuration.SINGLE_LAYER


@pytest.mark.parametrize(("geometry", "config"), [
    (JEBALI_2024, PassConfig()),
    (TINY, PassConfig(SINGLE, weight_rows=4, threshold_rows=2)),
    (ODD, PassConfig(SINGLE, weight_rows=4, threshold_rows=2)),
], ids=["jebali_2024", "tiny", "odd"])  # fmt: skip
class TestExecutors:
    def test_shifts_are_preactivation_differences_of_the_golden_chip(self, geometry, config):
        """Many chips x many inputs at once, thresholds error-free."""
        w, chips = config.weight_rows, 3
        threshold_rows = range(w, w + config.threshold_rows)
        inputs = np.random.default_rng(1).random((20, geometry.macros_per_bank * w)) < 0.5
        image = random_image(geometry)
        clean = GoldenChip(geometry)
        clean.load(image)
        right = clean.run(config, inputs, readout=True).preactivations
        tables, expected = [], []
        for chip in range(chips):
            device = DeviceChip(geometry, seed=2, chip=chip)
            device.program(image)
            tables.append(device.table(0.7, 66e6, threshold_rows))
            if geometry is not JEBALI_2024:  # so small that errors need help
                wrong = np.random.default_rng(chip).random(tables[-1].shape) < 0.2
                wrong[:, w:] = False
                tables[-1] ^= wrong
            golden = GoldenChip(geometry)
            golden.load_table(tables[-1])
            expected.append(golden.run(config, inputs, readout=True).preactivations - right)
        tables = np.array(tables)
        shifts = preactivation_shifts(
            tables[:, :, :w], image[:, :w], inputs, geometry.macros_per_bank)
        assert shifts.shape == (chips, 20, geometry.neurons)
        assert (shifts == expected).all() and shifts.any()
        alone = preactivation_shifts(
            tables[1][:, :w], image[:, :w], inputs[:1], geometry.macros_per_bank)
        assert (alone == shifts[1, :1]).all()
        inputs_each = np.stack([inputs, ~inputs, inputs])
        each = preactivation_shifts(
            tables[:, :, :w], np.stack([image[:, :w]] * chips), inputs_each,
            geometry.macros_per_bank)
        assert (each[[0, 2]] == shifts[[0, 2]]).all() and (each[1] != shifts[1]).any()

    def test_golden_is_the_golden_chip_with_this_table(self, geometry, config):
        device, image = programmed(geometry, 3)
        inputs = np.random.default_rng(1).random(
            (10, geometry.macros_per_bank * config.weight_rows)) < 0.5
        rows = range(config.weight_rows, config.weight_rows + config.threshold_rows)
        for free in (None, rows):
            executor = device.golden(0.7, 66e6, read_timing=2, error_free_rows=free)
            by_hand = GoldenChip(geometry, 2)
            by_hand.load_table(device.table(0.7, 66e6, free))
            one, two = (e.run(config, inputs, readout=True) for e in (executor, by_hand))
            assert (one.preactivations == two.preactivations).all() and one.cycles == two.cycles


class TestRepair:
    GEOMETRY = ChipGeometry(banks=1, macros_per_bank=2, rows=20, columns=8, max_inputs=40)

    def chip(self):
        chip = DeviceChip(self.GEOMETRY, WEAK, seed=3)
        image = np.random.default_rng(1).random(self.GEOMETRY.image_shape) < 0.5
        chip.program(image)
        return chip, image

    def wrong_rows(self, chip, image, vdd_v=0.75):
        return (chip.table(vdd_v, 460e3) != read_table(image)).any(axis=(2, 3))

    def test_erring_rows_are_programmed_again_and_no_others(self):
        chip, image = self.chip()
        before, ohm = self.wrong_rows(chip, image), chip.array.ohm.copy()
        assert 2 <= before.sum() < before.size
        assert chip.repair(0.75, 460e3, retries=1) == before.sum()
        changed = (chip.array.ohm != ohm).any(axis=(2, 3))
        assert (changed == before).all()
        assert self.wrong_rows(chip, image).sum() < before.sum()

    def test_only_rows_asked_for(self):
        chip, image = self.chip()
        rows = np.zeros(self.GEOMETRY.image_shape[:2], dtype=bool)
        rows[:, ::2] = True
        before = self.wrong_rows(chip, image)
        assert before[rows].any() and before[~rows].any()
        assert chip.repair(0.75, 460e3, rows, retries=10) >= before[rows].sum()
        after = self.wrong_rows(chip, image)
        assert (after[~rows] == before[~rows]).all()
        assert after[rows].sum() < before[rows].sum()

    def test_a_sound_chip_is_left_alone(self):
        chip, image = self.chip()
        chip.repair(1.2, 460e3, retries=40)
        ohm = chip.array.ohm.copy()
        assert chip.repair(1.2, 460e3) == 0 and (chip.array.ohm == ohm).all()

    def test_rows_programmed_alone_draw_as_in_a_whole_image(self):
        whole, rows = (MemristorArray(self.GEOMETRY, WEAK) for _ in range(2))
        image = np.random.default_rng(2).random(self.GEOMETRY.image_shape) < 0.5
        which = np.random.default_rng(3).random(self.GEOMETRY.image_shape[:2]) < 0.5
        for array in (whole, rows):
            array.form()
        whole.program(image)
        rows.program(image, which)
        rows.program(image, ~which)
        assert (whole.ohm == rows.ohm).all()

    def test_nothing_to_repair(self):
        with pytest.raises(ValueError, match="Nothing was programmed that could be repaired"):
            DeviceChip(TINY).repair(1.2, 1e6)


def test_no_errors_no_shifts():
    image = random_image(ODD)
    inputs = np.random.default_rng(0).random((5, 3 * 7)) < 0.5
    assert not preactivation_shifts(read_table(image), image, inputs, 3).any()


def test_one_weak_bit_shifts_its_neuron_by_one_where_x_meets_it():
    """Q for x = 1 read 1 in place of 0: the popcount is one more for inputs of 1 there."""
    image = np.zeros(TINY.image_shape, bool)
    table = read_table(image)
    table[3, 2, 1, 1] ^= True  # bank 1, its second macro: input 6 + 2, neuron 3 + 1
    inputs = np.eye(12, dtype=bool)
    shifts = preactivation_shifts(table, image, inputs, 2)
    expected = np.zeros((12, 6), int)
    expected[8, 4] = 1
    assert (shifts == expected).all()
