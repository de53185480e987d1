"""The XPCSA: XNOR, mismatch, supply, clock, and its error rate against counting."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from behavioral_models.memristor import Condition, LogNormal, State, States
from behavioral_models.parameter_files import Parameters, load
from behavioral_models.xpcsa import Amplifier, Offset
from tests.close import close

CHIP = Amplifier("jebali_2024/amplifier")
ARRAY = Amplifier("jebali_2024/array_amplifier")
SUPPLIES = (1.25, 1.2, 1.0, 0.9, 0.8, 0.7)
HIGH, LOW = 3e5, 5e3


def changed(name="jebali_2024/amplifier", **values):
    """An amplifier with other numbers, `offset__cell__fixed_ln=` for a dotted key."""
    original = load(name)
    tree = copy.deepcopy(dict(original.tree))
    for key, value in values.items():
        *path, last = key.split("__")
        node = tree
        for part in path:
            node = node[part]
        node[last] = {"value": value, "source": "assumed", "note": "of a test"}
    return Amplifier(Parameters("mine", original.kind, original.set, original.about, tree))


def only(group, **values):
    """The chip's amplifier with the mismatch of one group alone."""
    others = {f"offset__{g}__mismatch_v": 0.0 for g in ("cell", "latch", "xnor") if g != group}
    return changed(**others, **values)


def scores(shape, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "cell_score": rng.standard_normal(shape),
        "latch_score": rng.standard_normal(shape),
        "xnor_score": rng.standard_normal((*shape, 2)),
    }


def pairs(count, seed=1):
    """HRS on BL, LRS on BLb, of a condition that errs often."""
    rng = np.random.default_rng(seed)
    states = Condition("jebali_2024/weak_set").at()
    return np.stack([states.hrs.ohm(*rng.standard_normal((2, count))),
                     states.lrs.ohm(*rng.standard_normal((2, count)))], axis=-1)


class TestDecision:
    @pytest.mark.parametrize("vdd_v", SUPPLIES)
    @pytest.mark.parametrize("bit", [0, 1])
    @pytest.mark.parametrize("x", [0, 1])
    def test_xnor(self, bit, x, vdd_v):
        """HRS/LRS = 1, LRS/HRS = 0; q = XNOR(bit, x)."""
        q = CHIP.decide((HIGH, LOW) if bit else (LOW, HIGH), vdd_v, 33e6)
        assert q.shape == (2,)
        assert q[x] == (bit == x)

    @settings(deadline=None, max_examples=50)
    @given(st.floats(1e3, 1e7), st.floats(1e3, 1e7))
    def test_any_difference_is_enough_without_mismatch(self, left, right):
        if abs(math.log(left / right)) < 1e-9:
            return
        assert CHIP.decide((left, right), 1.2, 33e6).tolist() == [left < right, left > right]

    def test_a_tie_reads_0(self):
        """q = [... > 0]: equal branches are not above."""
        assert CHIP.decide((1e4, 1e4), 1.2, 33e6).tolist() == [False, False]

    @pytest.mark.parametrize(
        "group, flips", [("cell", (1, 1)), ("latch", (1, 0)), ("xnor", (0, 1))])
    def test_each_mismatch_flips_what_it_touches(self, group, flips):
        """a moves s for both x in opposite senses; b moves q the same way; c_x is of one x alone.

        Signs follow from q = [g (n s + n a + c_x) + b > 0] on a cell that holds a 1, n = -1, +1:
        a strongly negative a spoils both, a strongly positive b spoils x = 0, c_1 << 0 x = 1.
        """
        score = {"cell": {"cell_score": -1e3}, "latch": {"latch_score": 1e3},
                 "xnor": {"xnor_score": (0.0, -1e3)}}[group]
        right = CHIP.decide((HIGH, LOW), 1.2, 33e6)
        wrong = CHIP.decide((HIGH, LOW), 1.2, 33e6, **score)
        assert right.tolist() == [False, True]
        assert (wrong != right).tolist() == list(map(bool, flips))

    def test_the_equation(self):
        """q from the module's equation, written out for one cell and one x at a time."""
        vdd, clock = 0.8, 66e6
        ohm, mismatch = pairs(400), scores((400,))
        got = CHIP.decide(ohm, vdd, clock, **mismatch)
        ref, threshold, slope = 1.2, CHIP.threshold_v, CHIP.slope_v
        softplus = [slope * math.log(1 + math.exp((v - threshold) / slope)) for v in (vdd, ref)]
        path = CHIP.parameters.number("path_ohm") * softplus[1] / softplus[0]
        inside = 1 / (1 + math.exp(-(vdd - threshold) / slope))  # d softplus / dV
        sigma = {g: CHIP.parameters.number(f"offset.{g}.mismatch_v") * inside / softplus[0]
                 for g in ("cell", "latch", "xnor")}
        for i, (left, right) in enumerate(ohm):
            s = math.log((left + path) / (right + path))
            tau = CHIP.line_f * (min(left, right) + path)
            g = 1 - math.exp(-CHIP.sense_share / clock / tau)
            a = sigma["cell"] * mismatch["cell_score"][i]
            b = sigma["latch"] * mismatch["latch_score"][i]
            for x, n in ((0, -1), (1, 1)):
                c = sigma["xnor"] * mismatch["xnor_score"][i, x]
                assert got[i, x] == (g * (n * s + n * a + c) + b > 0)

    def test_vectorised_is_scalar(self):
        shape = (3, 4, 5)
        ohm = pairs(60).reshape(*shape, 2)
        mismatch = scores(shape)
        whole = CHIP.decide(ohm, 0.7, 10e6, **mismatch)
        assert whole.shape == (*shape, 2)
        for place in np.ndindex(shape):
            one = CHIP.decide(ohm[place], 0.7, 10e6, **{k: v[place] for k, v in mismatch.items()})
            assert (one == whole[place]).all()

    def test_scores_broadcast(self):
        """One amplifier for all rows of a column."""
        ohm = pairs(12).reshape(4, 3, 2)
        mismatch = scores((1, 3), seed=4)
        whole = CHIP.decide(ohm, 0.7, 10e6, **mismatch)
        each = CHIP.decide(ohm, 0.7, 10e6, **{
            k: np.broadcast_to(v, (4, *v.shape[1:])) for k, v in mismatch.items()})
        assert whole.shape == (4, 3, 2) and (whole == each).all()

    def test_single_ended(self):
        """HRS reads 1 against a reference between the states; the reference branch counts too."""
        ohm = np.array([LOW, 9e3, 1.1e4, HIGH])
        assert CHIP.decide_single_ended(ohm, 1e4, 1.2, 33e6).tolist() == [False, False, True, True]
        assert not CHIP.decide_single_ended(HIGH, 1e4, 1.2, 33e6, cell_score=-1e3)
        assert CHIP.decide_single_ended(LOW, 1e4, 1.2, 33e6, latch_score=1e3)


class TestSupplyAndClock:
    def test_overdrive(self):
        """slope ln(1 + exp((V - Vt) / slope)): linear far above Vt, slope ln 2 at Vt."""
        amplifier = changed(threshold_v=0.8, slope_v=0.01)
        assert amplifier.overdrive_v(1.2) == close(0.4, rel=1e-9)
        assert amplifier.overdrive_v(0.8) == close(0.01 * math.log(2))
        assert amplifier.overdrive_v(0.7) == close(0.01 * math.exp(-10), rel=1e-4)

    def test_everything_is_worse_at_a_lower_supply(self):
        overdrives = [CHIP.overdrive_v(v) for v in SUPPLIES]
        assert overdrives == sorted(overdrives, reverse=True)
        for quantity in (
            CHIP.path_ohm,
            lambda v: CHIP.cell.ln(CHIP.steepness_per_v(v)),
            lambda v: CHIP.latch.ln(CHIP.steepness_per_v(v)),
            lambda v: CHIP.xnor.ln(CHIP.steepness_per_v(v)),
            lambda v: float(CHIP.delay_s((HIGH, LOW), v)),
            lambda v: -abs(float(CHIP.signal((HIGH, LOW), v))),
            lambda v: -float(CHIP.developed((HIGH, LOW), v, 66e6)),
        ):
            values = [quantity(v) for v in SUPPLIES]
            assert values == sorted(values) and values[0] < values[-1]

    def test_steepness_is_the_slope_of_the_logarithm(self):
        """d(ln u)/dV by central differences; 1 / (V - Vt) far above, 1 / slope far below."""
        for vdd in (0.75, 0.9, 1.2):
            up, down = (math.log(CHIP.overdrive_v(vdd + h)) for h in (1e-5, -1e-5))
            assert CHIP.steepness_per_v(vdd) == close((up - down) / 2e-5, rel=1e-6)
        sharp = changed(threshold_v=0.8, slope_v=0.005)
        assert sharp.steepness_per_v(1.2) == close(1 / 0.4)
        assert sharp.steepness_per_v(0.7) == close(1 / 0.005, rel=1e-3)

    def test_path_goes_as_one_over_the_overdrive_and_mismatch_as_its_slope(self):
        ratio = CHIP.overdrive_v(1.2) / CHIP.overdrive_v(0.8)
        assert CHIP.path_ohm(1.2) == close(CHIP.parameters.number("path_ohm"))
        assert CHIP.path_ohm(0.8) == close(CHIP.path_ohm(1.2) * ratio)
        assert Offset(0.0, 0.05).ln(4) == close(0.2)
        assert Offset(0.3, 0.1).ln(4) == close(0.5), "in quadrature"
        assert Offset(0.3, 0.0).ln(100) == 0.3
        assert Offset(0.3, 0.1, 0.4).ln(4) == close(0.3), "precharge subtracts"

    def test_energy_is_c_v_squared_and_c_v_overdrive(self):
        c = CHIP.parameters.number("energy.supply_f")
        for vdd in SUPPLIES:
            assert CHIP.energy_j(vdd) == close(c * vdd**2)
        drive = changed(energy__drive_f=1e-13)
        extra = drive.energy_j(0.9) - CHIP.energy_j(0.9)
        assert extra == close(1e-13 * 0.9 * CHIP.overdrive_v(0.9))

    def test_read_and_popcount_bound_the_energy_of_a_sense(self):
        """Jebali 2024: 22.5 TOPS/W of two operations a MAC is 89 fJ at 0.7 V, popcount included."""
        assert CHIP.energy_j(0.7) <= 2 / 22.5e12 * 1.01

    def test_signal_is_the_logarithm_of_the_branches(self):
        path = CHIP.path_ohm(0.9)
        assert CHIP.signal((HIGH, LOW), 0.9) == close(
            math.log((HIGH + path) / (LOW + path)))
        assert CHIP.signal((LOW, HIGH), 0.9) == close(-CHIP.signal((HIGH, LOW), 0.9))

    def test_developed_is_an_exponential_of_the_faster_branch(self):
        clock = 66e6
        tau = CHIP.line_f * (LOW + CHIP.path_ohm(0.9))
        expected = 1 - math.exp(-CHIP.sense_s(clock) / tau)
        assert CHIP.developed((HIGH, LOW), 0.9, clock) == close(expected)
        assert CHIP.developed((LOW, HIGH), 0.9, clock) == close(expected)
        assert CHIP.sense_s(clock) == close(CHIP.sense_share / clock)

    def test_the_clock_matters_through_the_line_alone(self):
        amplifier = changed(line_f=0.0)
        ohm, mismatch = pairs(2000), scores((2000,))
        fast, slow = (amplifier.decide(ohm, 0.8, f, **mismatch) for f in (1e9, 1e3))
        assert (fast == slow).all()
        with_line = [CHIP.decide(ohm, 0.8, f, **mismatch) for f in (2e8, 1e3)]
        assert (with_line[0] != with_line[1]).any()

    @pytest.mark.parametrize("group", ["cell", "xnor"])
    def test_without_a_latch_offset_the_clock_does_not_matter(self, group):
        """g multiplies all but b: its sign decides alone."""
        amplifier = only(group)
        ohm, mismatch = pairs(2000), scores((2000,))
        fast, slow = (amplifier.decide(ohm, 0.7, f, **mismatch) for f in (66e6, 1e6))
        assert (fast == slow).all() and (fast[:, 1] != 1).any()

    @pytest.mark.parametrize("vdd_v", [0.9, 0.7])
    def test_errors_of_a_slow_clock_persist_at_a_fast_one(self, vdd_v):
        """A latch's offset overrules a smaller difference all the more: nested errors.

        Jebali 2024: most errors at 33 MHz persist at 66 MHz.
        """
        amplifier = only("latch", offset__latch__mismatch_v=0.15)
        ohm, mismatch = pairs(20_000), scores((20_000,))
        right = np.array([False, True])
        wrong = [amplifier.decide(ohm, vdd_v, f, **mismatch) != right for f in (10e6, 33e6, 66e6)]
        # cells whose signal itself is inverted err where the latch does not help them
        sound = amplifier.signal(ohm, vdd_v) > 0
        slow, middle, fast = (w[sound] for w in wrong)
        assert not (slow & ~middle).any() and not (middle & ~fast).any()
        assert 0 < slow.sum() < middle.sum() < fast.sum()

    def test_a_weak_latch_errs_for_one_x_alone(self):
        """b moves q the same way for both x, so that it spoils one of them at most."""
        amplifier = only("latch", offset__latch__mismatch_v=0.3)
        ohm, mismatch = pairs(5000), scores((5000,))
        wrong = amplifier.decide(ohm, 0.7, 66e6, **mismatch) != np.array([False, True])
        sound = amplifier.signal(ohm, 0.7) > 0
        assert wrong[sound].any() and not wrong[sound].all(axis=1).any()

    def test_delay_and_its_parts(self):
        assert CHIP.delay_s((HIGH, LOW), 1.2) < CHIP.delay_s((1.1 * LOW, LOW), 1.2)
        number = CHIP.parameters.number
        shares = number("delay.line_share"), number("delay.path_share")
        line = CHIP.line_f * (shares[0] * LOW + shares[1] * CHIP.path_ohm(1.2))
        far_apart = CHIP.delay_s((1e9, LOW), 1.2)
        assert far_apart == close(number("delay.intrinsic_s") + line)
        near = CHIP.signal((1.1 * LOW, LOW), 1.2)
        regeneration = number("delay.regeneration_s") * math.log(1 / near)
        assert CHIP.delay_s((1.1 * LOW, LOW), 1.2) == close(far_apart + regeneration)
        slower = changed(delay__line_exponent=0.5)
        slow = CHIP.overdrive_v(1.2) / CHIP.overdrive_v(0.9)
        latch = number("delay.intrinsic_s") * slow ** number("delay.exponent")
        path = CHIP.line_f * shares[1] * CHIP.path_ohm(0.9)
        memristor = CHIP.line_f * shares[0] * LOW
        assert CHIP.delay_s((1e9, LOW), 0.9) == close(latch + memristor + path)
        assert slower.delay_s((1e9, LOW), 0.9) == close(latch + memristor * slow**0.5 + path)
        for vdd in SUPPLIES:  # a clock that leaves it this time lets half the difference develop
            clock = CHIP.sense_share / float(CHIP.delay_s((HIGH, LOW), vdd))
            assert CHIP.developed((HIGH, LOW), vdd, clock) > 0.49
        assert np.isfinite(CHIP.delay_s((LOW, LOW), 1.2))
        assert CHIP.delay_s(pairs(6).reshape(2, 3, 2), 1.2).shape == (2, 3)
        assert ARRAY.delay_s((HIGH, LOW), 1.2) == close(10e-9)  # Hirtzlin 2020, Section 2.1


class TestErrorRate:
    @pytest.mark.parametrize(("amplifier", "vdd_v", "clock_hz"), [
        (CHIP, 0.7, 10e6), (CHIP, 0.8, 66e6), (ARRAY, 1.2, 33e6),
        (only("latch"), 0.7, 100e6), (only("cell"), 0.7, 1e6), (only("xnor"), 0.7, 1e6),
    ], ids=["chip 0.7 V", "chip 0.8 V", "array", "latch", "cell", "xnor"])  # fmt: skip
    def test_against_counting(self, amplifier, vdd_v, clock_hz):
        """Two million senses of weak cells, both x; deviation of a mean of two correlated reads."""
        count = 1_000_000
        wrong = amplifier.decide(pairs(count), vdd_v, clock_hz, **scores((count,))) != [False, True]
        errors = wrong.mean(axis=1)
        rate = amplifier.bit_error_rate(Condition("jebali_2024/weak_set").at(), vdd_v, clock_hz)
        assert errors.sum() > 200
        assert abs(errors.mean() - rate) < 4 * errors.std() / math.sqrt(count)

    @pytest.mark.parametrize(("low", "high"), [(0.35, 0.35), (0.1, 0.3), (0.2, 0.05)])
    @pytest.mark.parametrize("decades", [0.5, 1.5, 2.5])
    def test_ideal_has_the_closed_form(self, low, high, decades):
        """P(HRS < LRS) of two lognormals: Phi(-d / sqrt(s1^2 + s2^2)), far into the tail."""
        states = States(State(LogNormal(1e4, low), 0.3),
                        State(LogNormal(1e4 * 10**decades, high), 0.3), 0, 0, 0)
        expected = norm.cdf(-decades / math.hypot(low, high))
        assert CHIP.bit_error_rate(states, 1.2, 33e6, ideal=True) == pytest.approx(
            expected, rel=1e-6, abs=1e-25)

    def test_a_small_mismatch_approaches_the_ideal(self):
        states = Condition("jebali_2024/weak_set").at()
        amplifier = changed("jebali_2024/array_amplifier", offset__cell__fixed_ln=0.02)
        ideal = amplifier.bit_error_rate(states, 1.2, 33e6, ideal=True)
        assert amplifier.bit_error_rate(states, 1.2, 33e6) == close(ideal, rel=0.01)

    def test_mismatch_without_path_has_a_closed_form(self):
        """ln ratio is normal: spreads and mismatch add in quadrature."""
        states = States(State(LogNormal(1e4, 0.3), 0.3), State(LogNormal(2e5, 0.2), 0.3), 0, 0, 0)
        amplifier = changed("jebali_2024/array_amplifier", path_ohm=0.0,
                            offset__cell__fixed_ln=0.4, offset__latch__fixed_ln=0.3,
                            offset__xnor__fixed_ln=0.2)
        spread = math.hypot(0.3 * math.log(10), 0.2 * math.log(10), 0.4, 0.3, 0.2)
        assert amplifier.bit_error_rate(states, 1.2, 33e6) == close(
            norm.cdf(-math.log(20) / spread), rel=1e-6)

    def test_errors_grow_as_supply_falls_and_clock_rises(self):
        states = Condition("jebali_2024/published_chip").at()
        by_supply = [CHIP.bit_error_rate(states, v, 33e6) for v in SUPPLIES]
        by_clock = [CHIP.bit_error_rate(states, 0.9, f) for f in (1e6, 33e6, 66e6, 100e6)]
        assert by_supply == sorted(by_supply) and by_clock == sorted(by_clock)
        assert CHIP.bit_error_rate(states, 1.2, 33e6, ideal=True) < by_supply[0]


class TestRefusals:
    @pytest.mark.parametrize("vdd_v", [0.69, 1.26, -1.0, float("nan")])
    def test_supply(self, vdd_v):
        message = "amplifier holds for supplies of 0.7 to 1.25 V, not"
        states = Condition("jebali_2024/weak_set").at()
        for use in (
            lambda: CHIP.decide((HIGH, LOW), vdd_v, 1e6),
            lambda: CHIP.decide_single_ended(HIGH, LOW, vdd_v, 1e6),
            lambda: CHIP.energy_j(vdd_v),
            lambda: CHIP.delay_s((HIGH, LOW), vdd_v),
            lambda: CHIP.bit_error_rate(states, vdd_v, 1e6),
        ):
            with pytest.raises(ValueError, match=message):
                use()

    def test_the_array_has_one_supply(self):
        with pytest.raises(ValueError, match="array_amplifier holds for supplies of 1.2 to 1.2 V"):
            ARRAY.decide((HIGH, LOW), 1.1, 1e6)

    @pytest.mark.parametrize("clock_hz", [0, -1e6, float("nan")])
    def test_clock(self, clock_hz):
        with pytest.raises(ValueError, match="A clock must be above 0 Hz, not"):
            CHIP.decide((HIGH, LOW), 1.2, clock_hz)

    @pytest.mark.parametrize(("values", "message"), [
        ({"path_ohm": -1.0}, "path_ohm must be at least 0, not -1"),
        ({"sense_share": 1.1}, "sense_share must be at least 0.01 and at most 1, not 1.1"),
        ({"slope_v": 0.0}, "slope_v must be at least 0.001"),
        ({"offset__latch__mismatch_v": -0.1}, "offset.latch.mismatch_v must be at least 0"),
    ])
    def test_bad_numbers(self, values, message):
        with pytest.raises(ValueError, match=message):
            changed(**values)

    def test_of_another_kind(self):
        with pytest.raises(ValueError, match="weak_set is of kind memristor, not amplifier"):
            Amplifier("jebali_2024/weak_set")
