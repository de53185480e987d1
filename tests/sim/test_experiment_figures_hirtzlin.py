"""The experiments on devices, pairs and programming, at small settings."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from behavioral_models.codes import bit_error_rate, secded
from behavioral_models.device_chip import DeviceChip
from behavioral_models.geometry import JEBALI_2024, ChipGeometry
from behavioral_models.memristor import Condition
from behavioral_models.parameter_files import available, load
from behavioral_models.programming import program
from behavioral_models.xpcsa import Amplifier
from sim.experiments import (
    amplifier_sky130,
    bit_errors,
    endurance,
    kilobit,
    programming,
    programming_conditions,
    sense_amplifier,
)
from sim.experiments.experiment import Options, plain
from tests.close import close

SEED = 3
SMALL = ChipGeometry(banks=1, macros_per_bank=2, rows=64, columns=16, max_inputs=116)


def gathered(module, chips, choose=lambda point: True):
    """The JSON data of an experiment, its points run in this process."""
    points = [point for point in module.points(Options(SEED, chips)) if choose(point)]
    results = [plain(module.run(point, SEED)) for point in points]
    return plain(module.gather(points, results))


def inside(counts, expected, slack=1.0):
    """Whether intervals, stretched a little, hold the expected rates."""
    low, high = (np.array(counts[name], dtype=float) for name in ("low", "high"))
    middle = (low + high) / 2
    return np.abs(np.asarray(expected) - middle) <= slack * (high - low) / 2


@pytest.fixture(scope="module")
def errors():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bit_errors, "LINE_A", bit_errors.LINE_A[::5])
        patch.setattr(bit_errors, "COUNTED_A", bit_errors.COUNTED_A[::3] + (140e-6,))
        assert bit_errors.WEAK_A in bit_errors.COUNTED_A
        return gathered(bit_errors, 60)


@pytest.fixture(scope="module")
def conditions():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programming_conditions, "COUNTED_S", (0.1e-6, 100e-6))
        patch.setattr(programming_conditions, "LINE_S", (0.1e-6, 1e-6, 100e-6))
        return gathered(programming_conditions, 40)


@pytest.fixture(scope="module")
def aged():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endurance, "PROGRAMMINGS", 20_000)
        return gathered(endurance, 20)


@pytest.fixture(scope="module")
def amplifier():
    return gathered(sense_amplifier, 20)


@pytest.fixture(scope="module")
def programmed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programming, "JEBALI_2024", SMALL)
        return gathered(programming, 2)


# arrays


@pytest.mark.parametrize("chips, batches", [(1, 1), (20, 20), (47, 20)])
def test_chips_are_spread_over_the_batches(chips, batches):
    points = kilobit.batch_points(Options(0, chips))
    assert len(points) == batches
    counts = [point["chips"] for point in points]
    assert sum(counts) == chips and max(counts) - min(counts) <= 1


def test_batches_have_seeds_of_their_own():
    seeds = {kilobit.batch_seed(seed, batch) for seed in (0, 1) for batch in range(20)}
    assert len(seeds) == 40


def test_cells_of_an_array_share_no_mismatch():
    """What makes the errors of an array independent, and Clopper-Pearson's interval right."""
    amplifier = Amplifier(bit_errors.AMPLIFIER)
    assert amplifier.latch.ln(0.5) == amplifier.xnor.ln(0.5) == 0


def test_counting_sees_each_kind_of_error():
    condition, amplifier = Condition("jebali_2024/weak_set"), Amplifier(bit_errors.AMPLIFIER)
    array = kilobit.kilobit_array(condition, amplifier, 1, 0)
    states = condition.at()
    assert 0 < kilobit.count_errors(array, states)[0] < 100
    swapped = replace(states, lrs=states.hrs, hrs=states.lrs)
    single, pair, perfect = kilobit.count_errors(array, swapped)
    assert single > 0.95 * kilobit.DEVICES and min(pair, perfect) > 0.95 * kilobit.CELLS


# sense amplifier


def test_distributions_are_the_condition_s(amplifier):
    states = Condition("jebali_2024/weak_set").at()
    for name in ("lrs", "hrs"):
        each = amplifier["distributions"][name]
        law = getattr(states, name).distribution.score(np.array(each["ohm"]))
        assert np.allclose(each["law"], law)
        body = np.abs(law) < 2
        assert body.sum() > 10
        assert np.abs(np.array(each["score"])[body] - law[body]).max() < 0.1


def test_reading_rises_with_the_ratio(amplifier):
    seen, law = amplifier["reading"], amplifier["law"]
    ratio, rate = np.array(seen["ratio"]), np.array(seen["rate"], dtype=float)
    assert rate[ratio < 0.15].max() < 0.01 and rate[ratio > 7].min() > 0.99
    middle = np.interp(0.0, np.log(law["ratio"]), law["rate"])
    assert middle == close(0.5)
    assert rate[(ratio > 1.5) & (ratio < 2.5)].min() > rate[(ratio > 0.4) & (ratio < 0.7)].max()
    statements = amplifier["statements"]
    wrong = statements["wrong reads at exactly five, typical LRS (fitted)"]
    assert wrong == close(ndtr(-3), rel=1e-3)
    assert statements["wrong reads of pairs that differ fivefold or more"]["high"] < 1e-3


# bit errors


def test_counts_agree_with_the_integrals(errors):
    condition, amplifier = Condition("jebali_2024/weak_set"), Amplifier(bit_errors.AMPLIFIER)
    counts = errors["counted"]
    expected = {"single": [], "pair": [], "ideal": []}
    for current in counts["compliance_a"]:
        states = condition.at(set_compliance_a=current)
        expected["single"].append(states.single_ended_error_rate())
        expected["pair"].append(amplifier.bit_error_rate(states, 1.2, 1e6))
        expected["ideal"].append(amplifier.bit_error_rate(states, 1.2, 1e6, ideal=True))
    for name, rates in expected.items():
        assert np.all(inside(counts[name], rates, slack=1.8)), name  # 3.5 deviations
        assert np.count_nonzero(inside(counts[name], rates)) >= len(rates) - 3


def test_pairs_err_less_and_perfect_amplifiers_least(errors):
    lines = {name: np.array(values) for name, values in errors["lines"].items()}
    assert np.all(lines["ideal"] < lines["pair"]) and np.all(lines["pair"] < lines["single"])
    for name in ("single", "pair", "ideal", "one_single", "one"):
        assert np.all(np.diff(lines[name]) < 0), name


def test_statement_of_the_weak_set(errors):
    statement = errors["statements"]["weak SET"]
    assert statement["single"]["low"] < 0.012 < statement["single"]["high"]  # fitted
    factor = statement["pair over published"]
    assert factor["rate"] == close(statement["pair"]["rate"] / 0.002)
    agrees = factor["low"] >= 1 / 1.5 and factor["high"] <= 1.5
    assert statement["within a factor 1.5"] == agrees
    # cells share nothing: both kinds of interval are about as wide
    width = statement["pair"]["high"] - statement["pair"]["low"]
    over_arrays = statement["pair"]["high over arrays"] - statement["pair"]["low over arrays"]
    assert 0.5 < over_arrays / width < 1.5


def test_statement_of_the_code(errors):
    statement = errors["statements"]["ideal pairs over SECDED(8,4)"]
    assert statement["single"][0] == close(1e-5)
    assert statement["single"][-1] == close(1e-2)
    assert 0.5 < statement["lowest"] < statement["highest"] < 2
    equal = [ndtr(math.sqrt(2) * ndtri(p)) / bit_error_rate(secded(4), p)
             for p in statement["single"]]
    assert statement["factor, spreads 1 to 1"] == close(equal)
    # the sweep's spreads are near equal, and equal spreads are the best there are
    assert np.all(np.array(statement["factor"]) >= 0.999 * np.array(equal))
    assert np.all(np.array(statement["factor, spreads 1 to 3"]) > np.array(statement["factor"]))


def test_account_is_refitted_and_ordered(errors):
    account = errors["statements"]["what 1.2 % and 0.2 % do not determine"]
    rows = account["rows"]
    assert len(rows) == account["of"] == 6 * 3 * 4
    assert np.allclose([row["single"] for row in rows], 0.012, rtol=1e-6)
    by = {(r["spread_decades"], r["spread_ratio"], r["deviations"]): r["pair"] for r in rows}
    for (spread, ratio, deviations), pair in by.items():
        assert by.get((spread, ratio, deviations + 0.5), 0) < pair
        assert by.get((spread, ratio + 1, deviations), 1) > pair
    for spread in bit_errors.SPREADS:
        ideal = next(row["ideal"] for row in rows if row["spread_decades"] == spread)
        assert ideal == close(ndtr(math.sqrt(2) * ndtri(0.012)), rel=1e-3)
    assert account["lowest pair"] < 0.002 < account["highest pair"]
    assert 0 < account["within a factor 1.5 of published"] < len(rows)


def test_account_at_the_file_s_own_assumptions(errors):
    """With what the files assume, the account gives what the files give."""
    weak, amplifier = Condition(bit_errors.CONDITION), Amplifier(bit_errors.AMPLIFIER)
    rows = errors["statements"]["what 1.2 % and 0.2 % do not determine"]["rows"]
    own = {"spread_decades": 0.35, "spread_ratio": 1.0, "deviations": 3.0}
    assert load(bit_errors.CONDITION).number("hrs.spread_decades") == 0.35
    pair = next(row["pair"] for row in rows if own.items() <= row.items())
    assert pair == close(amplifier.bit_error_rate(weak.at(), 1.2, 1e6), rel=1e-3)


# programming conditions


def test_errors_fall_with_compliance_voltage_and_time(conditions):
    sweep = conditions["sweep"]
    lines = {(each["compliance_a"], each["reset_v"]): np.array(each["line"])
             for each in sweep["series"]}
    assert len(lines) == 12
    for (current, voltage), line in lines.items():
        assert np.all(np.diff(line) < 0)
        stronger = [lines[key] for key in lines if key[0] > current and key[1] == voltage]
        higher = [lines[key] for key in lines if key[0] == current and key[1] > voltage]
        assert all(np.all(each < line) for each in stronger + higher)


def test_swept_counts_agree_with_the_integrals(conditions):
    sweep = conditions["sweep"]
    places = [sweep["line_s"].index(close(pulse)) for pulse in sweep["counted_s"]]
    agree = []
    for each in sweep["series"]:
        expected = np.array(each["line"])[places]
        assert np.all(inside(each, expected, slack=2))
        agree += inside(each, expected).tolist()
    assert np.mean(agree) > 0.85


def test_table_1(conditions):
    rows = {row["condition"]: row for row in conditions["statements"]["Table 1"]}
    assert [rows[name]["published bound"] for name in endurance.LAST] == [1e-7, 1e-4, 1e-5]
    for row in rows.values():
        assert row["median pair, perfect amplifier"] < row["whole array"]
        assert row["whole array keeps the bound"] == (row["whole array"] < row["published bound"])
        count = row["whole array, counted"]
        assert count["low"] <= row["whole array"] <= count["high"]
        assert row["pairs"] == 40 * 1024
    assert rows["strong"]["set_j"] == close(400e-12)


# endurance


def test_resistances_close_and_errors_rise_with_age(aged):
    for name, each in aged["conditions"].items():
        assert each["cycles"][0] == 1 and each["cycles"][-1] == endurance.LAST[name]
        assert np.all(np.array(each["pair"]) < each["single"])
        ratio = np.array(each["hrs_ohm"]) / each["lrs_ohm"]
        if name == "optimised_endurance":
            assert np.ptp(ratio) == 0
        else:
            assert np.all(np.diff(ratio) < 0) and np.all(np.diff(each["single"]) > 0)


def test_aged_counts_agree_with_the_integrals(aged):
    for each in aged["conditions"].values():
        for read in ("single", "pair"):
            assert np.all(inside(each["counted"][read], each[read], slack=1.8))
    strong = aged["conditions"]["strong"]
    assert strong["counted"]["single"]["rate"][-1] > 0  # something was counted


def test_endurance_statements(aged):
    fitted = [each for each in aged["statements"] if each["fitted"]]
    assert len(aged["statements"]) == 4 and len(fitted) == 1
    assert fitted[0]["median pair"] == close(1e-3, rel=0.01)
    for row in aged["2T2R after 7e8 cycles if 'a few million' means"]:
        if row["cycles"] == 5e6:
            strong = aged["conditions"]["strong"]
            assert row["pair"] == close(strong["pair"][-1], rel=1e-2)
    for each in aged["statements"]:
        count, bound = each["counted"], each["bound"]
        if each["verdict on the count"] == "missed":
            assert count["low"] > bound and each["side"] == "below"
        elif each["verdict on the count"] == "kept":
            assert count["high"] < bound and each["side"] == "below"
        low, high = each["middle 90 % of pairs"]
        assert low <= each["median pair"] <= high
        share, bottom, top = each["share of pairs that agree"]
        assert 0 <= bottom <= share <= top <= 1


def test_the_pair_with_no_offsets_is_the_median_pair():
    states = Condition("jebali_2024/strong").at(cycles=7e8)
    amplifier, one = Amplifier(endurance.AMPLIFIER), states.of_one_device()
    single, pair = endurance.pair_rates(states, np.zeros(4), amplifier)
    assert single == close(one.single_ended_error_rate())
    assert pair == close(amplifier.bit_error_rate(one, 1.2, 1e6, ideal=True))
    # BL's HRS meets BLb's LRS: a high LRS there makes the pair err
    worse = endurance.pair_rates(states, np.array([0, 2.0, 0, 0]), amplifier)[1]
    best = endurance.pair_rates(states, np.array([0, -2.0, 0, 0]), amplifier)[1]
    assert best < pair < worse


# programming


@pytest.mark.parametrize(
    "condition, pulse_s, pair_j",
    [("published_chip", 6e-6, None), ("strong", 1e-6, 600e-12), ("optimised_energy", 1e-7, 50e-12)],
)
def test_costs_of_the_published_chip(condition, pulse_s, pair_j):
    cost = programming.run({"of": "cost", "condition": condition}, SEED)
    devices = JEBALI_2024.memristors
    assert cost["forming"]["pulse_time_s"] == close(32768 * 10e-6)
    assert cost["programming"]["pulse_time_s"] == close(32768 * pulse_s)
    assert 1 < cost["programming"]["time_s"] / cost["programming"]["pulse_time_s"] < 3
    if pair_j:
        assert cost["programming"]["energy_j"] == close(devices / 2 * pair_j)


def test_rounds_are_those_of_program(monkeypatch):
    monkeypatch.setattr(programming, "JEBALI_2024", SMALL)
    point = {"of": "chip", "batch": 1, "chip": 0}
    seed = kilobit.batch_seed(SEED, 1)
    bits = programming._image(seed, 0)
    wanted = np.stack([~bits, bits], axis=-1)
    result = programming.run(point, SEED)
    for index, verify_v in enumerate(programming.VERIFY_V):
        for rounds in range(programming.ROUNDS + 1):
            chip = DeviceChip(SMALL, programming.CHIP, programming.AMPLIFIER, seed, 0)
            report = program(chip, bits, retries=rounds, vdd_v=verify_v,
                             clock_hz=programming.CLOCK_HZ)
            wrong = chip.table(programming.READ_V, programming.CLOCK_HZ) != wanted
            assert result["errors"][index][rounds] == np.count_nonzero(wrong)
            assert sum(result["redone"][index][: rounds + 1]) == report.retried_rows
    assert sum(result["redone"][0]) > 0


def test_verifying_at_the_low_supply_helps_most(programmed):
    low, nominal = programmed["retries"]
    assert low["rate"][0] == nominal["rate"][0] > 0
    assert low["rate"][-1] < low["rate"][0] / 2 and low["rate"][-1] < nominal["rate"][-1]
    assert np.all(np.diff(low["time_s"]) >= 0)


# amplifier of SKY130


@pytest.fixture(scope="module")
def sky130():
    if "sky130/amplifier" not in available("amplifier"):
        pytest.skip("no amplifier was fitted to SKY130's decks yet")
    return gathered(amplifier_sky130, None)


def test_curves_of_sky130(sky130):
    delay, offset = np.array(sky130["delay_s"]), sky130["offset_ln"]
    assert np.all(np.diff(delay) < 0)
    nominal = np.array(sky130["vdd_v"]) >= 1.2
    assert np.all(delay[1, nominal] > delay[0, nominal])  # higher resistances discharge slower
    assert np.all(np.diff(sky130["energy_j"]) > 0)
    assert set(offset) == {"cell", "xnor", "latch"}
    assert np.all(np.array(list(offset.values())) >= 0)
    assert offset["cell"][0] == max(offset["cell"])  # most at the lowest supply
    assert all(sky130["residuals"].values())
    amplifier = Amplifier("sky130/amplifier")
    stated = sky130["statements"]["1.2"]
    assert stated["delay_s"][0] == close(amplifier.delay_s([100e3, 10e3], 1.2), rel=0.05)


# pictures


@pytest.mark.parametrize("module, name", [(bit_errors, "errors"), (endurance, "aged")])
def test_results_are_drawn_from_the_data(module, name, request):
    """Legends, not the status, say what depends on seed and chips; rates end at 1."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    data, figure = request.getfixturevalue(name), Figure()
    module.EXPERIMENT.draw(data, figure)
    texts = "".join(text.get_text() for axis in figure.axes if axis.get_legend()
                    for text in axis.get_legend().get_texts())
    if module is endurance:
        for each in data["statements"]:
            assert f"median pair {each['median pair']:.2e}" in texts
            assert each["verdict on the count"] in texts
    else:
        gains = data["statements"]["decades gained where pairs err at 1e-8"]
        assert f"{gains['median pair, perfect amplifier']:.1f} decades" in texts
    errors = [axis for axis in figure.axes if "bit errors" in axis.get_ylabel()]
    assert errors and all(axis.get_ylim()[1] == 1 for axis in errors)


@pytest.mark.parametrize(
    "module, name",
    [
        (bit_errors, "errors"), (endurance, "aged"), (programming, "programmed"),
        (programming_conditions, "conditions"), (sense_amplifier, "amplifier"),
        (amplifier_sky130, "sky130"),
    ],
)
def test_draws_from_the_data_alone(module, name, request):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure()
    assert module.EXPERIMENT.name == module.__name__.rpartition(".")[2]
    module.EXPERIMENT.draw(request.getfixturevalue(name), figure)
    assert all(axis.get_ylabel() or axis.get_subplotspec().colspan.start for axis in figure.axes
               if axis.axison)
    texts = [text.get_text() for axis in figure.axes if axis.get_legend()
             for text in axis.get_legend().get_texts()]
    assert len(texts) > 4 and all(texts)
