"""One memristor: distributions, what they depend on, age, 1T1R errors, energy."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from behavioral_models.draws import Stream, normal
from behavioral_models.memristor import (
    DISTRIBUTIONS,
    Condition,
    Empirical,
    LogNormal,
    LogNormalTail,
    Programming,
    State,
    States,
)
from behavioral_models.parameter_files import Parameters, available, load
from tests.close import close

WEAK = Condition("jebali_2024/weak_set")
STRONG = Condition("jebali_2024/strong")
POINTS = 10 ** np.array([3.0, 3.1, 3.5, 3.55, 4.2, 4.25, 4.9])
SHAPES = {
    "lognormal": LogNormal(2e4, 0.3),
    "lognormal_tail": LogNormalTail(2e4, 0.3, -1.5, 0.9),
    "empirical": Empirical(POINTS),
    "one_device": State(LogNormal(2e4, 0.3), 0.3).of_one_device(0.7).distribution,
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def changed_file(name, **values):
    """A parameter file of the project with other numbers, `lrs__median_ohm=` for a dotted key."""
    original = load(name)
    tree = copy.deepcopy(dict(original.tree))
    for key, value in values.items():
        *path, last = key.split("__")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = {"value": value, "source": "assumed", "note": "of a test"} if isinstance(
            value, int | float) else value
    return Parameters("mine", original.kind, original.set, original.about, tree)


def lognormal_states(low_ohm, high_ohm, low_spread, high_spread):
    low, high = LogNormal(low_ohm, low_spread), LogNormal(high_ohm, high_spread)
    return States(State(low, 0.3), State(high, 0.3), 0.0, 0.0, 0.0)


class TestDistributions:
    @shapes
    @settings(deadline=None, max_examples=50)
    @given(score=st.floats(-8, 8))
    def test_score_is_the_inverse_of_ohm(self, shape, score):
        assert float(shape.score(shape.ohm(score))) == pytest.approx(score, abs=1e-9)

    @shapes
    def test_resistance_rises_with_the_score(self, shape):
        ohm = shape.ohm(np.linspace(-8, 8, 2001))
        assert (np.diff(ohm) > 0).all() and (ohm > 0).all()

    @shapes
    def test_one_and_many_are_the_same_bit_for_bit(self, shape):
        score = np.random.default_rng(1).standard_normal(500)
        many = shape.ohm(score)
        assert all(float(shape.ohm(s)) == m for s, m in zip(score, many, strict=True))
        assert (shape.ohm(score.reshape(5, 1, 100)) == many.reshape(5, 1, 100)).all()

    @shapes
    @settings(deadline=None, max_examples=50)
    @given(decades=st.floats(-2, 2), factor=st.floats(0.2, 3), score=st.floats(-5, 5))
    def test_changed_moves_the_median_and_stretches_deviations(
        self, shape, decades, factor, score
    ):
        """log R = log median + deviation becomes log median + decades + factor x deviation."""
        whole = getattr(shape, "whole", shape)  # of all devices, whose median is what moves
        score = shape.offset + shape.factor * score if whole is not shape else score
        median, value = (math.log10(whole.ohm(s)) for s in (0.0, score))
        after = whole.changed(decades, factor)
        assert math.log10(after.ohm(0.0)) == pytest.approx(median + decades, abs=1e-9)
        expected = median + decades + factor * (value - median)
        assert math.log10(after.ohm(score)) == pytest.approx(expected, abs=1e-9)

    @shapes
    def test_changed_by_nothing_is_the_same(self, shape):
        score = np.linspace(-4, 4, 99)
        np.testing.assert_allclose(shape.changed(0.0, 1.0).ohm(score), shape.ohm(score), rtol=1e-12)

    def test_lognormal(self):
        """log10 R is normal: median and one and two spreads."""
        shape = LogNormal(1e4, 0.25)
        np.testing.assert_allclose(
            shape.ohm([0, 1, -2]), [1e4, 10**4.25, 10**3.5], rtol=1e-12)

    def test_tail(self):
        """Above the knee a log-normal, below it straight on with the tail's slope."""
        shape, body = LogNormalTail(1e5, 0.2, -1.0, 0.5), LogNormal(1e5, 0.2)
        above = np.linspace(-1, 5, 30)
        np.testing.assert_allclose(shape.ohm(above), body.ohm(above), rtol=1e-12)
        assert math.log10(shape.ohm(-3.0)) == close(5 - 0.2 - 2 * 0.5)

    def test_empirical_has_the_measured_quantiles(self):
        shape = Empirical(POINTS[::-1])
        quantiles = norm.ppf((np.arange(7) + 0.5) / 7)
        np.testing.assert_allclose(shape.ohm(quantiles), POINTS, rtol=1e-12)
        slope = (4.9 - 3.0) / (quantiles[-1] - quantiles[0])
        assert math.log10(shape.ohm(quantiles[-1] + 2)) == close(4.9 + 2 * slope)
        assert math.log10(shape.ohm(quantiles[0] - 2)) == close(3.0 - 2 * slope)

    @pytest.mark.parametrize("ohm", [[], [1e4], [1e4, 1e4], [0, 1e4], [-1, 1e4], [[1, 2], [3, 4]]])
    def test_empirical_refuses_what_is_no_distribution(self, ohm):
        with pytest.raises(ValueError, match="at least two different positive resistances"):
            Empirical(ohm)


class TestDeviceAndCycle:
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
    def test_variance_splits_as_the_share_says(self, share):
        """Simulated devices x programmings, analysed as one measures it."""
        devices, cycles, spread = 3000, 40, 0.3
        state = State(LogNormal(1e4, spread), share)
        device = normal(1, 0, Stream.DEVICE, count=devices)[:, :1]
        cycle = np.stack([
            normal(1, 0, Stream.PROGRAMMING, k, count=devices)[:, 0] for k in range(cycles)], -1)
        decades = np.log10(state.ohm(device, cycle))
        within = decades.var(axis=1, ddof=1).mean()
        between = decades.mean(axis=1).var(ddof=1) - within / cycles
        assert within == pytest.approx((1 - share) * spread**2, rel=0.03, abs=1e-12)
        deviation = (share + (1 - share) / cycles) * spread**2 * math.sqrt(2 / devices)
        assert abs(between - share * spread**2) < 4 * deviation

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    @pytest.mark.parametrize("device", [-1.5, 0.0, 2.0])
    def test_one_device_is_the_state_at_its_own_score(self, share, device):
        state = State(SHAPES["lognormal_tail"], share)
        one = state.of_one_device(device)
        for cycle in (-3.0, 0.0, 0.5, 4.0):
            assert one.ohm(9.9, cycle) == close(state.ohm(device, cycle), rel=1e-7)
            assert one.distribution.score(one.distribution.ohm(cycle)) == pytest.approx(
                cycle, abs=1e-5)

    def test_one_device_errs_less_than_all(self):
        """Its spread is sqrt(1 - share) of the whole; medians apart by d: Phi(-d / 2 spread)."""
        states = lognormal_states(1e4, 1e5, 0.3, 0.3)
        one = states.of_one_device()
        expected = norm.cdf(-0.5 / (0.3 * math.sqrt(0.7)))
        assert one.single_ended_error_rate() == close(expected, rel=1e-9)
        always = States(*(State(s.distribution, 1.0) for s in (states.lrs, states.hrs)), 0, 0, 0)
        assert always.of_one_device().single_ended_error_rate() == 0


class TestDependences:
    def test_a_file_holds_at_its_own_programming(self):
        here = WEAK.at()
        own = WEAK.reference
        assert own == Programming(55e-6, 2.5, 1e-6)
        there = WEAK.at(own.set_compliance_a, own.reset_v, own.pulse_s)
        for state in ("lrs", "hrs"):
            ohm = getattr(here, state).distribution.ohm([0, 1])
            number = WEAK.parameters.number
            median, spread = number(f"{state}.median_ohm"), number(f"{state}.spread_decades")
            np.testing.assert_allclose(ohm, [median, median * 10**spread], rtol=1e-9)
            np.testing.assert_allclose(getattr(there, state).distribution.ohm([0, 1]), ohm)

    def medians_and_spreads(self, **programming):
        states = WEAK.at(**programming)
        decades = [np.log10(s.distribution.ohm([0.0, 1.0])) for s in (states.lrs, states.hrs)]
        return [(d[0], d[1] - d[0]) for d in decades]

    def test_more_compliance_lowers_the_lrs_and_narrows_both(self):
        """R_LRS ~ 1 / I; LRS spread ~ I^-1/2, HRS spread ~ I^-1/4 (the file's exponents)."""
        (low, low_spread), (high, high_spread) = self.medians_and_spreads(set_compliance_a=55e-6)
        (low2, low_spread2), (high2, high_spread2) = self.medians_and_spreads(
            set_compliance_a=165e-6)
        assert low - low2 == close(math.log10(3))
        assert high2 == close(high)
        assert low_spread / low_spread2 == close(3**0.5)
        assert high_spread / high_spread2 == close(3**0.25)

    def test_more_reset_voltage_and_time_raise_the_hrs_alone(self):
        lrs, hrs = self.medians_and_spreads()
        for other, decades in (({"reset_v": 1.5}, -0.5), ({"pulse_s": 1e-4}, 2 * 0.08)):
            lrs2, hrs2 = self.medians_and_spreads(**other)
            assert lrs2 == close(lrs)
            assert hrs2 == close((hrs[0] + decades, hrs[1]))

    @pytest.mark.parametrize("better", [
        {"set_compliance_a": (20e-6, 55e-6, 100e-6, 200e-6)},
        {"reset_v": (1.5, 2.0, 2.5)},
        {"pulse_s": (1e-7, 1e-6, 1e-5, 1e-4)},
    ], ids=str)  # fmt: skip
    def test_errors_fall_the_way_fig_5_shows(self, better):
        """Hirtzlin 2020, Fig. 5: fewer errors with compliance, RESET voltage and time."""
        (name, values), = better.items()
        rates = [WEAK.at(**{name: value}).single_ended_error_rate() for value in values]
        assert rates == sorted(rates, reverse=True) and rates[0] > rates[-1]

    @pytest.mark.parametrize("name", ["strong", "optimised_endurance", "optimised_energy",
                                      "published_chip"])  # fmt: skip
    def test_files_with_a_base_are_its_law_at_their_programming(self, name):
        derived = Condition(f"jebali_2024/{name}")
        own = derived.reference
        states = derived.at()
        by_law = WEAK.at(own.set_compliance_a, own.reset_v, own.pulse_s)
        assert derived.parameters.text("base") == "jebali_2024/weak_set"
        assert (states.lrs, states.hrs) == (by_law.lrs, by_law.hrs)
        back = derived.at(55e-6, 2.5, 1e-6)
        np.testing.assert_allclose(
            back.hrs.distribution.ohm([-2, 0, 2]), WEAK.at().hrs.distribution.ohm([-2, 0, 2]))

    @pytest.mark.parametrize(("condition", "programming", "message"), [
        (WEAK, {"set_compliance_a": 19e-6}, "weak_set holds for a SET compliance of 2e-05 to "
                                            "0.0002 A, not 1.9e-05 A: use another condition, or"),
        (WEAK, {"set_compliance_a": 201e-6}, "SET compliance of 2e-05 to 0.0002 A, not 0.000201 A"),
        (WEAK, {"reset_v": 1.4}, "RESET voltage of 1.5 to 2.5 V, not 1.4 V"),
        (WEAK, {"reset_v": 2.7}, "RESET voltage of 1.5 to 2.5 V, not 2.7 V"),
        (WEAK, {"pulse_s": 9e-8}, "a pulse of 1e-07 to 0.0001 s, not 9e-08 s"),
        (WEAK, {"pulse_s": float("nan")}, "a pulse of 1e-07 to 0.0001 s, not nan s"),
        (WEAK, {"cycles": 1}, "holds for an age of 0 cycles, not 1 cycles"),
        (STRONG, {"cycles": 7.1e8}, "holds for an age of 0 to 7e[+]08 cycles, not 7.1e[+]08"),
        (STRONG, {"cycles": -1}, "not -1 cycles"),
        (Condition("jebali_2024/optimised_endurance"), {"cycles": 1.1e10}, "not 1.1e[+]10 cycles"),
        (Condition("jebali_2024/optimised_energy"), {"cycles": 1.1e8}, "not 1.1e[+]08 cycles"),
    ])  # fmt: skip
    def test_what_a_file_was_not_made_for_is_refused(self, condition, programming, message):
        with pytest.raises(ValueError, match=message):
            condition.at(**programming)

    @pytest.mark.parametrize("programming", [
        {"set_compliance_a": 20e-6}, {"set_compliance_a": 200e-6}, {"reset_v": 1.5},
        {"pulse_s": 1e-7}, {"pulse_s": 1e-4},
    ], ids=str)  # fmt: skip
    def test_the_ends_of_the_range_are_in_it(self, programming):
        assert 0 < WEAK.at(**programming).single_ended_error_rate() < 0.5


class TestAgeing:
    def test_errors_grow_with_age(self):
        ages = [0, 1, 1e2, 1e4, 1e6, 7e8]
        states = [STRONG.at(cycles=age) for age in ages]
        for one, two in zip(states, states[1:], strict=False):
            assert two.hrs.distribution.ohm(0.0) < one.hrs.distribution.ohm(0.0)
            assert two.lrs == one.lrs
            assert two.single_ended_error_rate() > one.single_ended_error_rate()

    def test_each_decade_takes_the_same_from_the_hrs(self):
        """From the onset on: log10(1 + cycles / onset) decades of age."""
        slope = STRONG.parameters.number("ageing.hrs_decades_per_decade")
        for cycles in (9, 99, 1e8 - 1):
            lost = np.log10(STRONG.at().hrs.distribution.ohm(0.0) /
                            STRONG.at(cycles=cycles).hrs.distribution.ohm(0.0))
            assert lost == close(slope * math.log10(1 + cycles))

    def test_age_may_widen_both_states(self):
        condition = Condition(changed_file("jebali_2024/strong", ageing__spread_per_decade=0.1))
        for state in ("lrs", "hrs"):
            young, old = (np.ptp(np.log10(getattr(condition.at(cycles=c), state).distribution.ohm(
                [0.0, 1.0]))) for c in (0, 999))
            assert old == close(young * 1.3)

    def test_the_endurance_condition_does_not_age(self):
        """Hirtzlin 2020, Section 3.1: no degradation over more than ten billion cycles."""
        condition = Condition("jebali_2024/optimised_endurance")
        new, old = condition.at(), condition.at(cycles=1e10)
        assert (new.lrs, new.hrs) == (old.lrs, old.hrs)


class TestSingleEndedErrors:
    @pytest.mark.parametrize("name", available("memristor"))
    def test_both_states_err_alike_at_the_reference(self, name):
        states = Condition(name).at()
        reference = states.reference_ohm()
        low, high = states.lrs.distribution, states.hrs.distribution
        above, below = norm.sf(low.score(reference)), norm.cdf(high.score(reference))
        assert above == close(below, rel=1e-6)
        assert states.single_ended_error_rate() == close(above, rel=1e-6)

    def test_equal_spreads_have_the_closed_form_and_the_optimum(self):
        """Phi(-d / 2 s) at the geometric mean of the medians; any other reference errs more."""
        states = lognormal_states(1e4, 1e5, 0.25, 0.25)
        assert states.reference_ohm() == close(math.sqrt(1e4 * 1e5))
        best = states.single_ended_error_rate()
        assert best == close(norm.cdf(-0.5 / 0.25), rel=1e-9)
        for factor in (0.5, 0.9, 1.1, 2.0):
            assert states.single_ended_error_rate(factor * states.reference_ohm()) > best

    def test_unequal_spreads_have_the_closed_form(self):
        """The reference lies spreads apart from each median in proportion: Phi(-d / (s1 + s2))."""
        states = lognormal_states(1e4, 1e5, 0.1, 0.3)
        assert states.single_ended_error_rate() == close(norm.cdf(-1 / 0.4), rel=1e-9)
        assert math.log10(states.reference_ohm()) == close(4 + 0.1 / 0.4)

    @pytest.mark.parametrize("high_ohm", [1e4, 5e3])
    def test_states_that_met_or_crossed_still_have_a_reference(self, high_ohm):
        """d is 0 or negative then: half or more of the reads are wrong."""
        d = math.log10(high_ohm / 1e4)
        rate = lognormal_states(1e4, high_ohm, 0.2, 0.4).single_ended_error_rate()
        assert rate == close(norm.cdf(-d / 0.6), rel=1e-9)

    @pytest.mark.parametrize("shift", [None, 0.5, 2.0])
    def test_against_counting(self, shift):
        """Brute force: 4 million cells read against the reference, within 4 deviations."""
        states = WEAK.at()
        reference = states.reference_ohm() * (shift or 1.0)
        rng, count = np.random.default_rng(3), 2_000_000
        low, high = (s.ohm(*rng.standard_normal((2, count))) for s in (states.lrs, states.hrs))
        wrong = ((low > reference).mean() + (high < reference).mean()) / 2
        rate = states.single_ended_error_rate(None if shift is None else reference)
        assert abs(wrong - rate) < 4 * math.sqrt(rate / (2 * count))

    def test_weak_set_errs_as_published(self):
        """1.2 % (Hirtzlin 2020, Section 3.1): what its HRS median was fitted to."""
        assert WEAK.at().single_ended_error_rate() == close(0.012, rel=1e-3)


class TestEnergy:
    @pytest.mark.parametrize(("name", "low", "high"), [
        ("strong", 200e-12, 400e-12),
        ("optimised_endurance", 150e-12, 400e-12),
        ("optimised_energy", 20e-12, 30e-12),
    ])
    def test_table_1(self, name, low, high):
        """Hirtzlin 2020, Table 1: programming energy (SET/RESET)."""
        states = Condition(f"jebali_2024/{name}").at()
        assert sorted((states.set_j, states.reset_j)) == close([low, high])

    def test_energies_follow_the_pulse(self):
        """V I t: SET with compliance and time, RESET with voltage squared and time."""
        own = STRONG.at()
        assert STRONG.at(set_compliance_a=100e-6).set_j == close(own.set_j / 2)
        assert STRONG.at(reset_v=2.0).reset_j == close(own.reset_j * (2.0 / 2.5) ** 2)
        longer = STRONG.at(pulse_s=3e-6)
        assert longer.set_j == close(3 * own.set_j)
        assert longer.reset_j == close(3 * own.reset_j)
        assert longer.form_j == own.form_j == 4e-9
        assert STRONG.at(cycles=1e6).set_j == own.set_j


class TestFiles:
    def test_sets_are_never_mixed(self):
        file = load("jebali_2024/strong")
        other = Parameters("mine", file.kind, "sky130", file.about, file.tree)
        message = "mine of set sky130 builds on jebali_2024/weak_set of set jebali_2024: sets are n"
        with pytest.raises(ValueError, match=message):
            Condition(other)

    def test_a_base_has_no_base(self):
        file = load("jebali_2024/strong")
        tree = {**file.tree, "base": "jebali_2024/optimised_energy"}
        message = "optimised_energy, which builds on another: name jebali_2024/weak_set as its base"
        with pytest.raises(ValueError, match=message):
            Condition(Parameters("mine", file.kind, file.set, file.about, tree))

    @pytest.mark.parametrize(("values", "message"), [
        ({"lrs__device_share": 1.5}, "lrs.device_share must be at least 0 and at most 1, not 1.5"),
        ({"lrs__device_share": -0.1}, "lrs.device_share must be at least 0 and at most 1"),
        ({"hrs__median_ohm": 0.0}, "hrs.median_ohm must be at least 1, not 0"),
        ({"hrs__spread_decades": 0.0}, "hrs.spread_decades must be at least 1e-06"),
        ({"lrs__distribution": "gamma"}, "lrs.distribution must be one of lognormal, .*'gamma'"),
        ({"energy__set_j": -1.0}, "energy.set_j must be at least 0, not -1"),
        ({"stuck__lrs": 0.6, "stuck__hrs": 0.5}, "more than all devices are stuck"),
        ({"programming__pulse_s": 0.0}, "programming.pulse_s must be at least 1e-12"),
        ({"lrs": {"distribution": "lognormal"}}, "mine has no lrs.median_ohm: add it"),
        ({"lrs": {"distribution": "empirical"}}, "mine has no lrs.ohm: add it"),
        ({"hrs__distribution": "lognormal_tail"}, "mine has no hrs.knee_score: add it"),
    ])
    def test_bad_numbers_are_refused(self, values, message):
        with pytest.raises(ValueError, match=message):
            Condition(changed_file("jebali_2024/weak_set", **values))

    def test_of_another_kind(self):
        with pytest.raises(ValueError, match="amplifier is of kind amplifier, not memristor"):
            Condition("jebali_2024/amplifier")

    def test_a_file_may_name_every_distribution(self):
        tail = changed_file("jebali_2024/weak_set", hrs__distribution="lognormal_tail",
                            hrs__knee_score=-2.0, hrs__tail_spread_decades=0.6)
        table = {"distribution": "empirical", "ohm": list(POINTS),
                 "device_share": {"value": 0.5, "source": "assumed"}}
        measured = changed_file("jebali_2024/weak_set", lrs=table)
        assert isinstance(Condition(tail).at().hrs.distribution, LogNormalTail)
        assert isinstance(Condition(measured).at().lrs.distribution, Empirical)
        assert isinstance(WEAK.at().lrs.distribution, LogNormal)
        assert set(DISTRIBUTIONS) == {"lognormal", "lognormal_tail", "empirical"}

    def test_a_new_distribution_plugs_in(self, monkeypatch):
        class Fixed(LogNormal):
            @classmethod
            def read(cls, parameters, state):
                return cls(parameters.number(f"{state}.median_ohm"), 0.1)

        monkeypatch.setitem(DISTRIBUTIONS, "fixed", Fixed)
        condition = Condition(changed_file("jebali_2024/weak_set", lrs__distribution="fixed"))
        assert condition.at().lrs.distribution.ohm(1.0) == close(1e4 * 10**0.1)
