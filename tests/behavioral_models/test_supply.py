"""Solar cell, chip as a load, operating point, frequency limit, brown-out and restart."""

import dataclasses
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from behavioral_models import parameter_files
from behavioral_models.constants import Rail
from behavioral_models.supply import (
    ChipLoad,
    ChipState,
    EventKind,
    PowerManager,
    SolarCell,
    fastest_clock,
    operating_point,
    sustained_clock,
)
from tests.close import close
from tests.needs import need

need("figures")
from pvlib import pvsystem, singlediode  # noqa: E402

CELL_FILE = parameter_files.load("jebali_2024/solar_cell", "solar_cell")
LOAD_FILE = parameter_files.load("jebali_2024/supply", "supply")
CELL = SolarCell.from_file()
LOAD = ChipLoad.from_file()
MANAGER = PowerManager.from_file()
SUNS = (8, 0.8, 0.36, 0.08)
CLOCK_HZ = 10e6
INFERENCE_S = LOAD.cycles_per_inference / CLOCK_HZ


def pvlib_arguments(suns):
    return {
        "photocurrent": suns * CELL.photocurrent_a,
        "saturation_current": CELL.saturation_current_a,
        "resistance_series": CELL.series_resistance_ohm,
        "resistance_shunt": CELL.shunt_resistance_ohm,
        "nNsVth": CELL.diode_v,
    }


class TestSolarCell:
    def test_current_is_that_of_pvlib(self):
        v = np.linspace(0, 1.2, 13)
        for suns in SUNS:
            expected = pvsystem.i_from_v(voltage=v, method="newton", **pvlib_arguments(suns))
            np.testing.assert_allclose(CELL.current(v, suns), expected, rtol=1e-9, atol=1e-12)
        assert CELL.current(v[:, None], SUNS).shape == (13, 4)
        assert np.ndim(CELL.current(0.5, 1)) == 0

    def test_voltage_of_a_current_is_that_of_pvlib(self):
        for suns in SUNS:
            current = CELL.current(0.9, suns)
            back = pvsystem.v_from_i(current=current, method="brentq", **pvlib_arguments(suns))
            assert back == close(0.9, rel=1e-9)

    @pytest.mark.parametrize("suns", SUNS)
    def test_current_solves_the_equation_of_the_docstring(self, suns):
        v = np.linspace(0, 1.2, 7)
        i = CELL.current(v, suns)
        inner = v + i * CELL.series_resistance_ohm
        diode = CELL.saturation_current_a * np.expm1(inner / CELL.diode_v)
        expected = suns * CELL.photocurrent_a - diode - inner / CELL.shunt_resistance_ohm
        np.testing.assert_allclose(i, expected, atol=1e-13, rtol=1e-11)

    def test_short_circuit_current_is_proportional_to_suns(self):
        """What defines an equivalent sun (Jebali 2024, Methods)."""
        suns = np.array([0.01, 0.08, 0.36, 0.8, 1, 8, 20])
        np.testing.assert_allclose(
            CELL.short_circuit_a(suns) / CELL.short_circuit_a(1), suns, rtol=1e-6)

    def test_fitted_saturation_current_gives_the_published_open_circuit_voltage(self):
        v, suns = CELL_FILE.number("fit.open_circuit_v"), CELL_FILE.number("fit.suns")
        assert (v, suns) == (1.23, 8)
        assert CELL.open_circuit_v(suns) == pytest.approx(v, abs=1e-5)
        photocurrent = suns * CELL.photocurrent_a - v / CELL.shunt_resistance_ohm
        assert CELL.saturation_current_a == close(
            photocurrent / np.expm1(v / CELL.diode_v), rel=1e-4)

    def test_current_at_open_circuit_is_none_and_voltage_rises_with_light(self):
        v = CELL.open_circuit_v(np.array(SUNS))
        np.testing.assert_allclose(CELL.current(v, SUNS), 0, atol=1e-12)
        assert (np.diff(v) < 0).all()

    def test_maximum_power_is_the_maximum(self):
        v = np.linspace(0, 1.23, 2000)
        power = v * CELL.current(v, np.array(SUNS)[:, None])
        found = CELL.maximum_power(np.array(SUNS))
        np.testing.assert_allclose(found.power_w, power.max(axis=1), rtol=1e-5)
        np.testing.assert_allclose(found.power_w, found.voltage_v * found.current_a, rtol=1e-9)
        np.testing.assert_allclose(
            found.current_a, CELL.current(found.voltage_v, SUNS), rtol=1e-6)
        assert np.ndim(CELL.maximum_power(1).power_w) == 0
        assert CELL.maximum_power([[1, 8]]).power_w.shape == (1, 2)
        by_bishop = singlediode.bishop88_mpp(
            *(pvlib_arguments(8)[key] for key in pvlib_arguments(8)))
        assert found.power_w[0] == close(float(by_bishop[2]), rel=1e-6)

    def test_assumed_cell_is_not_better_than_its_coated_class(self):
        """Plausibility of what is assumed: below the 18.7 % of ref. 27, degraded at 0.08 suns."""
        power = CELL.maximum_power([1, 0.08]).power_w
        one_sun_w = 1000 * CELL_FILE.number("cell.area_m2")
        assert 0.08 < power[0] / one_sun_w < 0.187
        fill = power / CELL.short_circuit_a([1, 0.08]) / CELL.open_circuit_v([1, 0.08])
        assert fill[0] > 0.75
        assert fill[1] < 0.55

    @settings(deadline=None, max_examples=30)
    @given(v=st.floats(0, 1.29), step=st.floats(1e-3, 0.01), suns=st.floats(0.01, 30),
           more=st.floats(1.01, 3))
    def test_current_falls_with_voltage_and_rises_with_light(self, v, step, suns, more):
        assert CELL.current(v + step, suns) < CELL.current(v, suns) < CELL.current(v, suns * more)

    @pytest.mark.parametrize("suns", [0, -1, np.nan, np.inf])
    def test_bad_illuminations_are_refused(self, suns):
        message = "An illumination must be above 0 suns, not"
        for call in (lambda: CELL.current(0.5, suns), lambda: CELL.open_circuit_v(suns),
                     lambda: CELL.short_circuit_a(suns), lambda: CELL.maximum_power([1, suns]),
                     lambda: operating_point(CELL, LOAD, suns),
                     lambda: fastest_clock(CELL, LOAD, suns),
                     lambda: sustained_clock(CELL, LOAD, suns, 0.8)):
            with pytest.raises(ValueError, match=message):
                call()

    @pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(SolarCell)])
    @pytest.mark.parametrize("value", [0, -1.0, np.inf, "1"])
    def test_bad_parameters_are_refused(self, name, value):
        with pytest.raises(ValueError, match=f"{name} must be a positive number, not"):
            dataclasses.replace(CELL, **{name: value})

    def test_without_pvlib_it_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pvlib", None)
        with pytest.raises(ImportError, match="The solar cell needs pvlib: `pip install pvlib`"):
            SolarCell.from_file()
        assert ChipLoad.from_file() == LOAD, "the load alone needs none"


class TestChipLoad:
    def test_published_energy_and_its_square_law(self):
        assert LOAD.energy_j(0.7) == close(45e-9, rel=1e-12)
        v = np.linspace(0.1, 1.3, 7)
        np.testing.assert_allclose(LOAD.energy_j(v) / v**2, 45e-9 / 0.49, rtol=1e-12)

    def test_energy_hardly_depends_on_the_clock(self):
        """Jebali 2024, Fig. 2c: at one supply, over the clocks measured."""
        for v in (0.7, 1.2):
            energy = LOAD.energy_j(v, np.array([10e6, 33e6, 66e6]))
            assert np.ptp(energy) / energy.min() < 0.01

    @settings(deadline=None, max_examples=50)
    @given(v=st.floats(0.01, 1.3), clock=st.floats(1e3, 1e8))
    def test_current_is_energy_a_second_over_the_supply(self, v, clock):
        power = LOAD.energy_j(v, clock) * LOAD.inferences_per_second(clock)
        assert LOAD.current(v, clock) == close(power / v, rel=1e-12)
        slower = LOAD.current(v, clock / 2)
        assert LOAD.leakage_current(v) < slower < LOAD.current(v, clock)

    def test_leakage(self):
        assert LOAD.leakage_current(1.2) == close(LOAD.leakage_a)
        assert LOAD.leakage_current(0) == 0
        assert (np.diff(LOAD.leakage_current(np.linspace(0, 1.3, 20))) > 0).all()

    def test_frequency_limit_is_fitted_between_what_works_and_what_does_not(self):
        assert LOAD.maximum_clock_hz(0.7) == close(np.sqrt(10e6 * 33e6), rel=0.01)
        assert LOAD.maximum_clock_hz(0.8) == close(np.sqrt(33e6 * 66e6), rel=0.01)

    @pytest.mark.parametrize(("v", "clock_hz", "works"), [
        (0.7, 10e6, True), (0.7, 33e6, False), (0.8, 33e6, True), (0.8, 66e6, False),
        (0.9, 33e6, True), (0.9, 66e6, True), (1.0, 66e6, True), (1.2, 66e6, True),
    ])
    def test_published_points_as_we_read_them(self, v, clock_hz, works):
        assert LOAD.functional(v, clock_hz) == works

    def test_frequency_limit_rises_and_ends_at_the_threshold(self):
        v = np.linspace(0, 1.3, 131)
        limit = LOAD.maximum_clock_hz(v)
        assert (limit[v <= LOAD.threshold_v] == 0).all()
        assert (np.diff(limit[v > LOAD.threshold_v]) > 0).all()
        a, vt = LOAD.exponent, LOAD.threshold_v
        expected = LOAD.limit_clock_hz * (((1.1 - vt) ** a / 1.1) / ((0.7 - vt) ** a / 0.7))
        assert LOAD.maximum_clock_hz(1.1) == close(expected)

    def test_nothing_works_below_brown_out(self):
        works = LOAD.functional(np.array([0, 0.6, 0.679, 0.68, 1.2])[:, None], [1.0, 1e6])
        np.testing.assert_array_equal(works, [[False] * 2] * 3 + [[True] * 2] * 2)

    @pytest.mark.parametrize("v", [-0.1, 1.31, np.nan, [0.5, 2]])
    def test_voltages_outside_the_range_are_refused(self, v):
        message = "supply voltage must be from 0 to 1.3 V, the range of the model, not"
        for call in (LOAD.energy_j, LOAD.leakage_current, LOAD.maximum_clock_hz,
                     lambda v: LOAD.current(v, 1e6), lambda v: LOAD.functional(v, 1e6),
                     lambda v: CELL.current(v, 1)):
            with pytest.raises(ValueError, match=message):
                call(v)

    @pytest.mark.parametrize("clock", [0, -1e6, np.nan, [1e6, 0]])
    def test_bad_clocks_are_refused(self, clock):
        for call in (lambda: LOAD.current(1, clock), lambda: LOAD.functional(1, clock),
                     lambda: LOAD.energy_j(1, clock), lambda: LOAD.inferences_per_second(clock)):
            with pytest.raises(ValueError, match="A clock must be above 0 Hz, not"):
                call()

    def test_bad_parameters_are_refused(self):
        with pytest.raises(ValueError, match="leakage_a must be a positive number, not 0"):
            dataclasses.replace(LOAD, leakage_a=0)
        for restart in (0.68, 0.5, 1.4):
            with pytest.raises(ValueError, match="restarts above the voltage at which it stops"):
                dataclasses.replace(LOAD, restart_v=restart)
        with pytest.raises(ValueError, match="must be above the threshold voltage 0.7 V, not 0.7"):
            dataclasses.replace(LOAD, threshold_v=0.7)


class TestOperatingPoint:
    @pytest.mark.parametrize("suns", SUNS)
    @pytest.mark.parametrize("clock_hz", [None, 100e3, 1e6])
    def test_currents_of_cell_and_chip_are_equal(self, suns, clock_hz):
        point = operating_point(CELL, LOAD, suns, clock_hz)
        assert abs(CELL.current(point.vdd_v, suns) - point.current_a) < 1e-9
        expected = (LOAD.leakage_current(point.vdd_v) if point.state is ChipState.OFF
                    else LOAD.current(point.vdd_v, point.clock_hz))
        assert abs(point.current_a - expected) < 1e-12

    def test_published_illuminations_at_the_fitted_clock(self):
        points = [operating_point(CELL, LOAD, suns) for suns in SUNS]
        assert all(point.functional for point in points)
        assert points[0].vdd_v == pytest.approx(1.2, abs=0.05), "8 suns are a 1.2 V bench"
        assert 0.7 < points[-1].vdd_v < 0.8
        assert (np.diff([point.vdd_v for point in points]) < 0).all()
        assert {point.clock_hz for point in points} == {LOAD.solar_clock_hz}

    def test_clock_on_the_cell_is_fitted_as_its_note_says(self):
        suns, vdd = (LOAD_FILE.number(f"solar.{key}") for key in ("fit_suns", "fit_vdd_v"))
        assert LOAD.solar_clock_hz == float(f"{sustained_clock(CELL, LOAD, suns, vdd):.2g}")

    @settings(deadline=None, max_examples=25)
    @given(suns=st.floats(0.02, 8), v=st.floats(0.69, 1.2))
    def test_sustained_clock_is_the_inverse(self, suns, v):
        clock = sustained_clock(CELL, LOAD, suns, v)
        assume(clock > 0)
        assert operating_point(CELL, LOAD, suns, clock).vdd_v == pytest.approx(v, abs=1e-9)

    def test_sustained_clock_above_open_circuit_is_none(self):
        assert sustained_clock(CELL, LOAD, 0.08, 1.1) == 0

    @pytest.mark.parametrize(("suns", "clock_hz"), [(0.08, 10e6), (0.04, None), (1e-3, 1.0)])
    def test_too_little_light_stops_the_chip(self, suns, clock_hz):
        point = operating_point(CELL, LOAD, suns, clock_hz)
        assert point.state is ChipState.OFF
        assert not point.functional
        assert point.current_a == close(LOAD.leakage_current(point.vdd_v))
        assert point.vdd_v > 0

    def test_a_clock_above_the_limit_is_told_apart(self):
        point = operating_point(CELL, LOAD, 8, 64.5e6)
        assert point.state is ChipState.TOO_FAST
        assert not point.functional
        assert LOAD.stop_v < point.vdd_v

    @pytest.mark.parametrize("suns", [30, 8, 3, 0.8, 0.36, 0.08, 0.03])
    def test_fastest_clock_is_the_edge(self, suns):
        clock = fastest_clock(CELL, LOAD, suns)
        assert operating_point(CELL, LOAD, suns, clock).functional
        assert not operating_point(CELL, LOAD, suns, clock * 1.0001).functional

    def test_fastest_clock_rises_with_light_and_is_none_in_the_dark(self):
        clocks = [fastest_clock(CELL, LOAD, suns) for suns in np.geomspace(1e-3, 20, 25)]
        assert (np.diff(clocks) >= 0).all()
        assert clocks[0] == 0
        assert clocks[-1] > 66e6

    def test_bad_arguments_are_refused(self):
        with pytest.raises(ValueError, match="A clock must be above 0 Hz, not 0 Hz"):
            operating_point(CELL, LOAD, 1, 0)
        for v in (0, -0.1, 1.4):
            with pytest.raises(ValueError, match="supply voltage must be"):
                sustained_clock(CELL, LOAD, 1, v)
        with pytest.raises(ValueError, match="1000 suns lifts the supply above 1.3 V"):
            operating_point(CELL, LOAD, 1000)
        stiff = dataclasses.replace(CELL, series_resistance_ohm=1e-3)
        with pytest.raises(ValueError, match="1000 suns lifts the supply above 1.3 V"):
            fastest_clock(stiff, LOAD, 1000)
        with pytest.raises(ValueError, match="is of kind supply, not solar_cell"):
            SolarCell.from_file("jebali_2024/supply")


def kinds(history):
    return [event.kind for event in history.events]


def check_order(history, duration):
    """Inferences follow each other, each takes its time, only restarted ones begin twice."""
    end = -np.inf
    for index, record in enumerate(history.inferences):
        assert record.index == index
        assert end <= record.first_start_s + 1e-12
        assert record.end_s - record.start_s == close(duration)
        assert (record.attempts == 1) == (record.first_start_s == record.start_s)
        assert LOAD.stop_v <= record.lowest_vdd_v <= record.vdd_v + 1e-12
        end = record.end_s


class TestSupplyTrace:
    """A bench supply: times in inferences."""

    @staticmethod
    def run(times, volts, inferences=None, clock_hz=CLOCK_HZ):
        history = MANAGER.on_supply(
            np.asarray(times) * INFERENCE_S, volts, clock_hz, inferences)
        check_order(history, LOAD.cycles_per_inference / clock_hz)
        return history

    def test_steady(self):
        history = self.run([0, 10], [0.7 + 0.05] * 2)
        assert len(history.inferences) == 10
        assert kinds(history) == [EventKind.START]
        assert all(record.attempts == 1 and record.functional for record in history.inferences)
        assert {record.lowest_vdd_v for record in history.inferences} == {0.75}

    def test_short_dip_repeats_one_inference(self):
        history = self.run([0, 3.4, 3.5, 3.6, 3.7, 9], [1.2, 1.2, 0.5, 0.5, 1.2, 1.2], 6)
        assert [record.attempts for record in history.inferences] == [1, 1, 1, 2, 1, 1]
        assert kinds(history) == [
            EventKind.START, EventKind.BROWN_OUT, EventKind.START, EventKind.DONE]
        brown_out, restart = history.events[1:3]
        assert brown_out.rail is Rail.OFF
        assert restart.rail is Rail.VDD
        assert brown_out.inference == restart.inference == 3
        assert brown_out.time_s == close((3.4 + 0.1 * 0.52 / 0.7) * INFERENCE_S)
        assert restart.time_s == close((3.6 + 0.1 * 0.23 / 0.7) * INFERENCE_S)
        repeated = history.inferences[3]
        assert repeated.first_start_s == close(3 * INFERENCE_S)
        assert repeated.start_s == restart.time_s
        assert repeated.lowest_vdd_v == close(LOAD.restart_v)

    def test_dip_within_hysteresis_triggers_nothing(self):
        history = self.run([0, 2.5, 2.6, 2.7, 5], [0.9, 0.9, 0.6801, 0.9, 0.9])
        assert kinds(history) == [EventKind.START]
        lowest = [record.lowest_vdd_v for record in history.inferences]
        np.testing.assert_allclose(lowest, [0.9, 0.9, 0.6801, 0.9, 0.9])
        assert history.inferences[2].vdd_v == close(0.9)

    def test_a_stopped_chip_waits_for_the_restart_voltage(self):
        history = self.run([0, 1, 2, 3, 4, 5], [0.72, 0.72, 0.729, 0.70, 0.74, 0.74])
        assert kinds(history) == [EventKind.START]
        assert history.events[0].time_s == close(3.75 * INFERENCE_S)
        assert len(history.inferences) == 1

    def test_only_below_the_stop_voltage_is_a_brown_out(self):
        touching = self.run([0, 1.5, 3], [1.0, LOAD.stop_v, 1.0])
        assert kinds(touching) == [EventKind.START]
        assert [record.attempts for record in touching.inferences] == [1, 1, 1]
        steady = self.run([0, 1, 2, 3], [1.0, 0.69, 0.69, 0.69])
        assert kinds(steady) == [EventKind.START]

    def test_dark_runs_nothing(self):
        history = self.run([0, 100], [0, 0])
        assert history.inferences == ()
        assert history.events == ()

    def test_too_fast_for_the_supply_is_told(self):
        history = self.run([0, 2, 2.5, 10], [1.2, 1.2, 0.75, 0.75], clock_hz=66e6)
        works = [record.functional for record in history.inferences]
        lowest = [record.lowest_vdd_v for record in history.inferences]
        assert works == [LOAD.functional(v, 66e6) for v in lowest]
        assert works[0]
        assert not works[-1]

    def test_supply_lost_for_good_leaves_the_last_inference_undone(self):
        history = self.run([0, 2.5, 2.6, 9], [1.2, 1.2, 0, 0])
        assert len(history.inferences) == 2
        assert kinds(history) == [EventKind.START, EventKind.BROWN_OUT]
        assert history.vdd_v[-1] == 0

    def test_brown_out_after_the_last_inference_repeats_nothing(self):
        history = self.run([0, 5, 6, 7, 9], [1.2, 1.2, 0, 1.2, 1.2], 2)
        assert len(history.inferences) == 2
        assert kinds(history) == [
            EventKind.START, EventKind.DONE, EventKind.BROWN_OUT, EventKind.START]

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.tuples(st.floats(0.05, 3), st.floats(0, 1.3)), min_size=2, max_size=12))
    def test_any_trace_keeps_the_contract(self, points):
        times = np.cumsum([duration for duration, _ in points])
        volts = np.array([v for _, v in points])
        history = self.run(times, volts)
        expected = [EventKind.START, EventKind.BROWN_OUT] * len(history.events)
        assert kinds(history) == expected[: len(history.events)]
        events = [event.time_s for event in history.events]
        assert events == sorted(events)
        running = [np.interp(e.time_s, times * INFERENCE_S, volts) for e in history.events]
        thresholds = [LOAD.restart_v if e.kind is EventKind.START else LOAD.stop_v
                      for e in history.events]
        for v, threshold, event in zip(running, thresholds, history.events, strict=True):
            first = event.time_s == times[0] * INFERENCE_S
            assert v == pytest.approx(threshold, abs=1e-9) or (first and v >= threshold)
        for record in history.inferences:
            inside = np.linspace(record.start_s, record.end_s, 50)
            seen = np.interp(inside, times * INFERENCE_S, volts).min()
            assert seen >= record.lowest_vdd_v - 1e-7
            assert not any(record.start_s < e.time_s < record.end_s - 1e-12
                           for e in history.events)
        interrupted = sum(record.attempts - 1 for record in history.inferences)
        assert interrupted <= kinds(history).count(EventKind.BROWN_OUT)


class TestSolarTrace:
    def test_waveform_solves_the_differential_equation(self):
        """Against scipy's integrator, charging from nothing with the chip held off, then on."""
        off = dataclasses.replace(LOAD, restart_v=1.29)
        history = PowerManager(off, 1e-7).on_cell(CELL, [0, 2e-3], [0.08])

        def rate(_, v):
            return (CELL.current(np.clip(v, 0, 1.3), 0.08) - LOAD.leakage_current(v)) / 1e-7

        reference = solve_ivp(rate, (0, 2e-3), [0.0], rtol=1e-9, atol=1e-9, method="LSODA",
                              t_eval=history.time_s)
        np.testing.assert_allclose(history.vdd_v, reference.y[0], atol=1e-5)

    @pytest.mark.parametrize("suns", SUNS)
    def test_settles_at_the_operating_point(self, suns):
        history = MANAGER.on_cell(CELL, [0, 0.02], [suns])
        point = operating_point(CELL, LOAD, suns)
        assert kinds(history) == [EventKind.START]
        assert history.vdd_v[-1] == pytest.approx(point.vdd_v, abs=2e-6)
        assert history.inferences[-1].lowest_vdd_v == pytest.approx(point.vdd_v, abs=2e-6)
        check_order(history, LOAD.cycles_per_inference / LOAD.solar_clock_hz)

    def test_a_shadow_repeats_one_inference_and_all_complete_in_order(self):
        trace = [0, 5e-3, 5.1e-3, 0.05], [0.08, 0, 0.08]
        history = MANAGER.on_cell(CELL, *trace, inferences=30)
        assert len(history.inferences) == 30
        assert sorted(record.attempts for record in history.inferences) == [1] * 29 + [2]
        assert kinds(history) == [
            EventKind.START, EventKind.BROWN_OUT, EventKind.START, EventKind.DONE]
        check_order(history, LOAD.cycles_per_inference / LOAD.solar_clock_hz)
        repeated = next(record for record in history.inferences if record.attempts == 2)
        assert repeated.index == history.events[1].inference
        assert repeated.start_s == history.events[2].time_s > repeated.first_start_s
        again = MANAGER.on_cell(CELL, *trace, inferences=30)
        assert again.inferences == history.inferences
        assert again.events == history.events

    def test_a_capacitor_rides_through_the_same_shadow(self):
        large = dataclasses.replace(MANAGER, capacitance_f=10e-6)
        history = large.on_cell(CELL, [0, 0.2, 0.2001, 0.3], [0.08, 0, 0.08])
        assert kinds(history) == [EventKind.START]
        assert all(record.attempts == 1 for record in history.inferences)

    def test_dark_runs_nothing_and_drains_the_capacitor(self):
        history = MANAGER.on_cell(CELL, [0, 0.1], [0], start_v=0.7)
        assert history.inferences == history.events == ()
        assert (np.diff(history.vdd_v) <= 0).all()
        assert 0 <= history.vdd_v[-1] < 1e-3
        assert (MANAGER.on_cell(CELL, [0, 1], [0]).vdd_v == 0).all()

    def test_a_chip_that_is_off_in_steady_light_runs_in_bursts(self):
        """0.06 suns: a burst of the small capacitor ends before an inference, of a large not."""
        assert operating_point(CELL, LOAD, 0.06).state is ChipState.OFF
        history = MANAGER.on_cell(CELL, [0, 0.01], [0.06])
        assert history.inferences == ()
        assert kinds(history).count(EventKind.BROWN_OUT) > 10
        spent = LOAD.energy_j(LOAD.restart_v)
        stored_v2 = (LOAD.restart_v**2 - LOAD.stop_v**2) / 2
        large = dataclasses.replace(MANAGER, capacitance_f=spent / stored_v2)
        history = large.on_cell(CELL, [0, 0.1], [0.06])
        assert len(history.inferences) > 10
        assert max(record.attempts for record in history.inferences) <= 2
        check_order(history, LOAD.cycles_per_inference / LOAD.solar_clock_hz)

    def test_charge_is_conserved_over_an_inference(self):
        """KCL in time: the capacitor's charge is the cell's less the chip's."""
        history = MANAGER.on_cell(CELL, [0, 5e-4], [0.08], start_v=1.2, clock_hz=460e3)
        t, v = history.time_s, history.vdd_v
        current = CELL.current(v, 0.08) - LOAD.current(v, 460e3)
        charge = np.sum((current[1:] + current[:-1]) / 2 * np.diff(t))
        assert charge == close(MANAGER.capacitance_f * (v[-1] - v[0]), rel=2e-2)

    def test_bad_arguments_are_refused(self):
        run = MANAGER.on_cell
        with pytest.raises(ValueError, match="A trace in suns has one time more than values"):
            run(CELL, [0, 1], [1, 1])
        with pytest.raises(ValueError, match="A trace in volts has as many times as values"):
            MANAGER.on_supply([0, 1], [1], 1e6)
        with pytest.raises(ValueError, match="at least two times"):
            run(CELL, [0], [])
        for times, suns in (([0, 0], [1]), ([1, 0], [1]), ([0, np.nan], [1]), ([0, 1], [np.inf])):
            with pytest.raises(ValueError, match="times of a trace must increase, and all"):
                run(CELL, times, suns)
        with pytest.raises(ValueError, match="An illumination cannot be below 0 suns, not -1"):
            run(CELL, [0, 1], [-1])
        with pytest.raises(ValueError, match="A clock must be above 0 Hz, not 0 Hz"):
            run(CELL, [0, 1], [1], clock_hz=0)
        with pytest.raises(ValueError, match="A clock must be above 0 Hz, not -1 Hz"):
            MANAGER.on_supply([0, 1], [1, 1], -1)
        for v in (-0.1, 1.4):
            with pytest.raises(ValueError, match="supply voltage must be from 0 to 1.3 V"):
                run(CELL, [0, 1], [1], start_v=v)
            with pytest.raises(ValueError, match="supply voltage must be from 0 to 1.3 V"):
                MANAGER.on_supply([0, 1], [1, v], 1e6)
        for count in (0, -1, 1.5):
            with pytest.raises(ValueError, match="Inferences must be a positive integer, not"):
                run(CELL, [0, 1], [1], inferences=count)
        with pytest.raises(ValueError, match="1000 suns lifts the supply above 1.3 V"):
            run(CELL, [0, 1], [1000])
        with pytest.raises(ValueError, match="capacitance_f must be a positive number, not 0"):
            PowerManager(LOAD, 0)
