"""The experiments beside Jebali 2024, Figs. 2c, 3 and 4e, on a few chips."""

import json
from functools import cache

import numpy as np
import pytest

from behavioral_models.chip import GoldenChip
from behavioral_models.device_chip import preactivation_shifts
from behavioral_models.geometry import JEBALI_2024
from behavioral_models.passes import PassConfig
from behavioral_models.supply import ChipLoad, SolarCell, operating_point
from sim.experiments import published_chips as chips_module
from sim.experiments import neuron_error_suns, style
from sim.experiments.experiment import Options, discover, plain
from sim.experiments.published_chips import (
    ChipMaker, chip_points, difference_text, error_histogram, errors_at, paired_difference,
    pattern_set,
    random_patterns, rate_of, ratio, run_patterns,
)
from tests.close import close

CHIPS = {"energy": None, "schmoo": 3, "neuron_map": 7, "threshold_rows": 3,
         "neuron_error_supply": 3, "neuron_error_suns": 3}
LOAD = ChipLoad.from_file()


@cache
def data(name):
    """What the JSON file says, of a few chips."""
    if name == "neuron_error_suns":
        pytest.importorskip("pvlib")
    experiment = discover()[name]
    points = plain(experiment.points(experiment.options(0, CHIPS[name])))
    results = plain([experiment.run(point, 0) for point in points])
    return plain(experiment.gather(points, results))


def statement(name, published, **fields):
    """The one statement that begins like this and has these fields."""
    found = [each for each in data(name)["statements"]
             if each.get("published", "").startswith(published)
             and all(each[key] == value for key, value in fields.items())]
    assert len(found) == 1, (published, fields)
    return found[0]


# What they share


@pytest.mark.parametrize("thresholds", [58, np.arange(128) % 21 + 48, 0, 116])
def test_pattern_set_has_every_preactivation_once(thresholds):
    """Preactivations counted from the bits of the image, one by one; thresholds as the image's."""
    found = pattern_set(np.random.default_rng(1), thresholds=thresholds)
    bits = found.image.reshape(2, 2, 64, 64)  # bank, macro of the bank, row, column
    weights = np.concatenate([bits[:, 0, :58], bits[:, 1, :58]], axis=1)
    agree = (found.inputs[None, :, :, None] == weights[:, None]).sum(axis=2)  # bank, input, column
    stored = (bits[:, :, 58:] * 2 ** np.arange(5, -1, -1)[:, None]).sum(axis=(1, 2))
    expected = agree - stored[:, None]
    assert (np.concatenate(list(expected), axis=1) == found.preactivations).all()
    assert (stored.ravel() == thresholds).all()
    assert (np.sort(found.preactivations + np.broadcast_to(thresholds, 128), axis=0)
            == np.arange(117)[:, None]).all()


def test_golden_chip_gets_the_preactivations_of_the_pattern_set():
    found = pattern_set(np.random.default_rng(2), thresholds=50)
    golden = GoldenChip(JEBALI_2024)
    golden.load(found.image)
    result = golden.run(PassConfig(), found.inputs, readout=True)
    assert (result.preactivations == found.preactivations).all()


def test_wrong_outputs_are_those_of_the_shifts():
    """Two ways to the same errors: real passes, and shifts of preactivations."""
    maker = ChipMaker(0)
    patterns = pattern_set(maker.random(0))
    chip = maker.make(0, patterns.image)
    wrong = run_patterns(chip, patterns, 0.8, 33e6, range(58, 64))
    shifts = preactivation_shifts(
        chip.table(0.8, 33e6)[:, :58], patterns.image[:, :58], patterns.inputs, 2)
    shifted = patterns.preactivations + shifts
    assert (wrong == ((patterns.preactivations > 0) != (shifted > 0))).all()
    assert wrong.any()
    assert not run_patterns(chip, patterns, 0.8, 33e6, range(64)).any()


@pytest.mark.parametrize("preactivation", range(-11, 12))
def test_errors_at(preactivation):
    shifts = np.array([-40, -12, -11, -3, -1, 0, 0, 1, 2, 11, 12, 33])
    errors = sum((preactivation > 0) != (preactivation + shift > 0) for shift in shifts)
    assert errors_at(error_histogram(shifts), preactivation) == errors


def test_errors_at_refuses_what_the_histogram_cannot_tell():
    with pytest.raises(ValueError, match="below 12 in magnitude, not -12"):
        errors_at(np.zeros(25), -12)


@pytest.mark.parametrize("chips, group", [(1, 4), (7, 4), (8, 4)])
def test_points_have_every_chip_once(chips, group):
    points = chip_points(Options(0, chips), group)
    numbers = [point["first_chip"] + k for point in points for k in range(point["chips"])]
    assert numbers == list(range(chips))
    assert max(point["chips"] for point in points) <= group


def test_chips_are_spread_over_seeds(monkeypatch):
    made = []

    class Chip:
        def __init__(self, geometry, condition, amplifier, seed, chip):
            made.append((seed, chip))

        def program(self, image):
            pass

    monkeypatch.setattr(chips_module, "DeviceChip", Chip)
    for seed in (0, 1):
        maker = ChipMaker(seed)
        for chip in range(100):
            maker.make(chip, None)
    assert len(set(made)) == 200
    for batch in (made[:100], made[100:]):
        assert len({seed for seed, _ in batch}) == 20
    assert not {seed for seed, _ in made[:100]} & {seed for seed, _ in made[100:]}


def test_chips_hold_different_patterns():
    one, two, again = (random_patterns(ChipMaker(0).random(chip), 3) for chip in (0, 1, 0))
    assert (one[0] != two[0]).mean() > 0.3 and (one[1] != two[1]).mean() > 0.3
    assert all((a == b).all() for a, b in zip(one, again, strict=True))


def test_difference_and_ratio_of_paired_counts():
    random = np.random.default_rng(4)
    slow = random.binomial(100, 0.1, 300)
    fast = slow + random.binomial(100, 0.1, 300)
    found = paired_difference(fast, slow, np.full(300, 200))
    assert found["difference"] == close((fast - slow).sum() / 60_000)
    spread = 1.96 * (fast - slow).std() / np.sqrt(300) / 200  # normal approximation
    assert found["low"] == pytest.approx(found["difference"] - spread, abs=0.15 * spread)
    assert found["high"] == pytest.approx(found["difference"] + spread, abs=0.15 * spread)
    assert found["chips_that_differ"] == np.count_nonzero(fast != slow)
    assert difference_text(found).startswith(f"{found['difference']:.1e} (")
    times = ratio(fast, slow)
    assert times["ratio"] == close(fast.sum() / slow.sum())
    assert 1.9 < times["low"] < times["ratio"] < times["high"] < 2.1


def test_difference_and_ratio_where_nothing_happens():
    none = np.zeros(100, dtype=int)
    bound = 1 - 0.025 ** (1 / 100)  # Clopper-Pearson: none of 100
    found = paired_difference(none, none, none + 9)
    assert found == {"difference": 0, "low": close(-bound), "high": close(bound),
                     "chips_that_differ": 0, "chips": 100}
    assert difference_text(found) == "no difference seen in 100 chips"
    assert ratio(none + 1, none)["ratio"] is None
    assert rate_of(none, 9)["chips_with_errors"] == 0


# Experiments


@pytest.mark.parametrize("name", CHIPS)
def test_figure_is_drawn_from_json(name):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=style.SIZE_IN, layout="constrained")
    discover()[name].draw(json.loads(json.dumps(data(name))), figure)
    figure.draw_without_rendering()
    assert any(axis.get_xlabel() for axis in figure.axes)


@pytest.mark.parametrize("name", CHIPS)
def test_defaults_carry_the_statements(name):
    """At least 100 chips; the status says what was fitted and what was not."""
    experiment = discover()[name]
    if CHIPS[name] is not None:
        assert experiment.chips >= 100
    assert "Held out" in experiment.status
    assert any("published" in each for each in data(name)["statements"])


def test_schmoo():
    found = data("schmoo")
    cells = {(cell["vdd_v"], cell["clock_hz"]): cell for cell in found["cells"]}
    assert len(cells) == len(found["supplies_v"]) * len(found["clocks_hz"]) == 30
    assert found["preactivations_per_neuron"] == 117
    for (vdd_v, clock_hz), cell in cells.items():
        assert cell["functional"] == LOAD.functional(vdd_v, clock_hz)
        if cell["functional"]:
            error = cell["error"]
            assert error["trials"] == 3 * 117 * 128
            assert cell["accuracy"] == close(1 - error["errors"] / error["trials"])
            assert error["low"] <= error["rate"] <= error["high"]
            share = cell["chips_with_errors"]
            assert share["errors"] == error["chips_with_errors"]
            assert (share["errors"] == 0) == (error["errors"] == 0)
    for clock_hz in found["clocks_hz"]:
        rates = [cells[v, clock_hz]["error"]["rate"] for v in found["supplies_v"]
                 if cells[v, clock_hz]["functional"]]
        assert rates == sorted(rates, reverse=True)
    assert cells[0.9, 66e6]["error"]["rate"] > cells[0.9, 10e6]["error"]["rate"]
    assert not cells[0.7, 33e6]["functional"] and cells[0.7, 10e6]["functional"]


def test_schmoo_statements():
    free = statement("schmoo", "no errors at or above", of="chips")
    assert free["error_free"]["of"] == 3
    banks = statement("schmoo", "no errors at or above", of="banks of 64 neurons")
    assert banks["error_free"]["of"] == 6
    assert banks["error_free"]["count"] >= 2 * free["error_free"]["count"]
    for each in (free, banks):
        assert each["holds"] == (each["error"]["errors"] == 0)
        assert each["error"]["trials"] == 3 * 9 * 117 * 128  # chips, operating points, patterns
    worst = statement("schmoo", "error rates up to 2 %")
    assert worst["vdd_v"] < 0.9
    assert worst["largest_error_of_a_chip"] >= worst["largest_mean_error"]["rate"] > 1e-3


def test_neuron_map():
    found = data("neuron_map")
    shown = np.array(found["map"])
    assert shown.shape == (2, 5, 64)
    assert set(np.unique(shown)) <= {0, 1}
    for each in found["series"]:
        counts = dict(zip(found["preactivations"], each["errors_by_preactivation"], strict=True))
        assert sum(counts.values()) == each["error"]["errors"]
        assert counts[0] + counts[1] > 5 * (counts[-5] + counts[5])
    assert statement("neuron_map", "almost all")["fitted"] == "follows from the model's form"
    persisting = statement("neuron_map", "almost all")["persisting"]
    assert persisting["trials"] == found["series"][0]["error"]["errors"] > 0
    assert persisting["errors"] <= found["series"][1]["error"]["errors"]
    assert persisting["rate"] > 0.5
    growth = statement("neuron_map", "more errors")["ratio"]
    assert growth["ratio"] == close(
        found["series"][1]["error"]["errors"] / found["series"][0]["error"]["errors"])
    assert growth["ratio"] > 1


def test_neuron_map_shows_real_passes_of_the_median_chip():
    """The map again, from what is in the shown chip's memristors; its rule from all chips."""
    found = data("neuron_map")
    maker, totals, maps = ChipMaker(0), [], []
    for chip in range(CHIPS["neuron_map"]):
        patterns = pattern_set(maker.random(chip), [53, 57, 58, 59, 63])
        made = maker.make(chip, patterns.image)
        wrong = np.zeros((2, 5, 64), dtype=int)
        for index, clock_hz in enumerate((33e6, 66e6)):
            shifts = preactivation_shifts(
                made.table(0.9, clock_hz)[:, :58], patterns.image[:, :58], patterns.inputs, 2)
            for place, d in enumerate((-5, -1, 0, 1, 5)):
                row, column = np.nonzero(patterns.preactivations[:, :64] == d)
                wrong[index, place, column] = (d > 0) != (d + shifts[row, column] > 0)
        totals.append(wrong[1].sum())
        maps.append(wrong)
    assert totals[found["chip_shown"]] == np.median(totals)
    assert found["chip_shown"] == totals.index(np.median(totals))
    assert (maps[found["chip_shown"]] == found["map"]).all()


def test_neuron_error_supply():
    found = data("neuron_error_supply")
    works = {}
    for each in found["series"]:
        key = each["vdd_v"], each["clock_hz"]
        assert each["functional"] == LOAD.functional(*key)
        if each["functional"]:
            works[key] = each
            assert each["preactivations"] == list(range(-8, 9))
            assert each["trials"] == 3 * 32 * 128
            assert np.allclose(each["rate"], np.array(each["errors"]) / each["trials"])
            negative, positive = each["rate"][8::-1], each["rate"][9:]
            for side in (negative, positive):  # farther from 0 there are fewer errors
                assert side == sorted(side, reverse=True)
            beyond = each["beyond_5"]
            assert beyond["errors"] == each["errors"][2] + each["errors"][14]
            assert beyond["trials"] == 2 * each["trials"]
            neurons = beyond["neurons_that_err"]
            assert neurons["trials"] == 3 * 128
            assert (neurons["errors"] == 0) == (beyond["errors"] == 0)
            assert neurons["errors"] >= beyond["chips_that_err"]["errors"]
    assert set(works) == {(v, 33e6) for v in (1.2, 1.1, 1.0, 0.9, 0.8)} | {
        (v, 66e6) for v in (1.2, 1.1, 1.0, 0.9)} | {(0.7, 10e6)}
    for clock_hz in (33e6, 66e6):
        totals = [sum(each["rate"]) for (v, c), each in works.items() if c == clock_hz]
        assert totals == sorted(totals)  # from 1.2 V down
    assert sum(works[0.9, 66e6]["rate"]) > sum(works[0.9, 33e6]["rate"])


def test_neuron_error_supply_statements():
    for clock_hz in (33e6, 66e6):
        near = statement("neuron_error_supply", "at 1.2 V errors only", clock_hz=clock_hz)
        assert near["holds"] == (near["at_2_and_beyond"]["errors"] == 0)
        outside = sum(near["at"][d]["errors"] for d in ("-2", "2"))
        assert near["at_2_and_beyond"]["errors"] == outside
    for each in data("neuron_error_supply")["series"]:
        if each["functional"]:  # every supply and clock shown
            far, = (found for found in data("neuron_error_supply")["statements"]
                    if "no errors at preactivations beyond 5" in found["published"]
                    and all(found[key] == each[key] for key in ("vdd_v", "clock_hz")))
            assert far["fitted"] is (each["vdd_v"] == 0.9)
            assert far["beyond_5"]["errors"] == each["errors"][2] + each["errors"][14]
            assert far["holds"] == (far["beyond_5"]["errors"] == 0)
            assert far["beyond_5"]["chips_that_err"]["trials"] == 3
    more = statement("neuron_error_supply", "at 0.9 V more errors")
    assert more["at_33_mhz"]["trials"] == 11 * 3 * 32 * 128
    assert more["difference"]["difference"] == close(
        more["at_66_mhz"]["rate"] - more["at_33_mhz"]["rate"])
    assert more["difference"]["low"] <= more["difference"]["difference"]
    assert more["ratio"]["ratio"] > 1


def test_threshold_rows():
    found = data("threshold_rows")
    series = {(each["vdd_v"], each["clock_hz"], each["rows"]): each for each in found["series"]}
    assert len(series) == 9
    for each in series.values():
        assert len(each["preactivations"]) == len(each["rate"]) == 81
        assert each["trials"] == 3 * 128
        near, far = each["within_5"], each["beyond_5"]
        assert near["trials"] == 11 * 3 * 128 and far["trials"] == 70 * 3 * 128
        assert near["errors"] + far["errors"] == sum(each["errors"])
    weights, thresholds, both = (series[0.8, 33e6, rows]
                                 for rows in ("weights", "thresholds", "both"))
    assert both["beyond_5"]["errors"] > weights["beyond_5"]["errors"]
    # a misread bit of a threshold moves it by up to 32, misread weights by a few
    assert max(abs(d) for d, errors in zip(both["preactivations"], thresholds["errors"],
                                           strict=True) if errors) > 8
    for each in found["statements"]:
        if "what" in each:
            key = each["vdd_v"], each["clock_hz"]
            added = each["added_beyond_5"]
            assert added["difference"] == close(
                series[*key, "both"]["beyond_5"]["rate"]
                - series[*key, "weights"]["beyond_5"]["rate"])
            assert each["neurons_with_a_misread_threshold"]["trials"] == 3 * 128


def test_a_misread_threshold_bit_moves_all_preactivations():
    """One threshold bit, forced wrong: the outputs between the two thresholds are wrong."""
    patterns = pattern_set(np.random.default_rng(3), thresholds=58)

    class Chip:
        def golden(self, vdd_v, clock_hz, error_free_rows):
            golden = GoldenChip(JEBALI_2024)
            image = patterns.image.copy()
            image[0, 60, 5] ^= True  # 58 is 111010: the 8 of neuron 5 is lost
            golden.load(image)
            return golden

    wrong = run_patterns(Chip(), patterns, 0.9, 33e6, None)
    assert set(np.nonzero(wrong)[1]) == {5}
    assert sorted(patterns.preactivations[wrong[:, 5], 5]) == list(range(-7, 1))


def test_neuron_error_suns():
    found = data("neuron_error_suns")
    assert found["clock_hz"] == LOAD.solar_clock_hz
    cell = SolarCell.from_file()
    places = [(each["suns"], each["clock_hz"]) for each in found["series"]]
    slow = LOAD.solar_clock_hz
    assert places == [(None, slow), (None, 66e6), *((s, slow) for s in (8.0, 0.8, 0.36, 0.08))]
    series = {each["suns"]: each for each in found["series"] if each["clock_hz"] == slow}
    for each in found["series"]:
        suns = each["suns"]
        expected = 1.2 if suns is None else operating_point(cell, LOAD, suns).vdd_v
        assert each["vdd_v"] == close(expected)
        assert each["functional"]
        assert each["trials"] == 3 * 32 * 128
        assert each["over_all"]["errors"] == sum(each["errors"])
    totals = [series[suns]["over_all"]["rate"] for suns in (8.0, 0.8, 0.36, 0.08)]
    assert totals == sorted(totals)
    assert totals[-1] > 0.01 and totals[0] < 0.001
    bench = statement("neuron_error_suns", "at 8 suns")
    assert bench["fitted"] == "follows from the model's form"
    assert bench["difference"]["difference"] == close(
        bench["at_8_suns"]["rate"] - bench["on_bench"]["rate"])
    dark = statement("neuron_error_suns", "at 0.08 suns")
    assert dark["holds"] and dark["more_than_at_8_suns"]["low"] > 0.01
    for each in found["series"]:  # at each illumination, and on both benches
        far = statement("neuron_error_suns", "no errors at preactivations beyond 5",
                        suns=each["suns"], clock_hz=each["clock_hz"])
        assert far["fitted"] is False and far["vdd_v"] == each["vdd_v"]
        assert far["beyond_5"]["errors"] == each["errors"][2] + each["errors"][14]
        assert far["holds"] == (far["beyond_5"]["errors"] == 0)
        chips = far["beyond_5"]["chips_that_err"]
        assert chips["trials"] == 3 and (chips["errors"] == 0) == far["holds"]


def test_table_1_statement():
    """Errors within 5 at 0.8 and at 8 suns; the verdict, from histograms of our own making."""
    found = statement("neuron_error_suns", "CIFAR-10 accuracy falls")
    assert found["published_percent"] == {"8 suns": 83.6, "0.8 suns": 78.2}
    for each in data("neuron_error_suns")["series"]:
        if each["suns"] in (8.0, 0.8):
            rate = found[f"at_{each['suns']:g}_suns"]
            assert rate["errors"] == sum(each["errors"][3:14])
            assert rate["trials"] == 11 * each["trials"]
    for shift, few, many, holds in [(1, 3, 30, True), (1, 3, 29, False), (1, 0, 9, None)]:
        bright, dim = (np.array([error_histogram(np.repeat([0, shift], [100 - n, n]))] * 5)
                       for n in (few, many))
        assert neuron_error_suns.table_1(bright, dim)["holds"] is holds


def test_energy():
    found = data("energy")
    supplies = found["supplies_v"]
    by_clock = {each["clock_hz"]: each for each in found["series"]}
    for clock_hz, each in by_clock.items():
        for vdd_v, energy_j, share in zip(supplies, each["energy_j"], each["leakage_share"],
                                          strict=True):
            assert (energy_j is not None) == LOAD.functional(vdd_v, clock_hz)
            if energy_j is not None:
                switching_j = 45e-9 * (vdd_v / 0.7) ** 2
                assert switching_j < energy_j < 1.25 * switching_j
                assert share == close(1 - switching_j / energy_j)
    assert by_clock[66e6]["energy_j"][supplies.index(0.8)] is None
    top = [each["energy_j"][supplies.index(1.2)] for each in found["series"]]
    assert top == sorted(top, reverse=True)  # the slower, the more leakage
    assert statement("energy", "45 nJ")["energy_j"] == close(45e-9, rel=2e-3)
    assert statement("energy", "energy largely")["largest_change_from_10_to_66_mhz"] < 5e-3
    assert statement("energy", "energy proportional")["largest_deviation_at_10_mhz"] < 5e-3
