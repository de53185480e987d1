"""Energy and delay of cells at low supplies, and the committed measurement."""

import json

import pytest

from sim.spice.ngspice import Store
from synthesis import scaling
from synthesis.scaling import CellScaling, Scaling, ScalingError
from tests.close import close
from tests.needs import need


@pytest.fixture
def simulator():
    need("ngspice")
    need("sky130")


@pytest.fixture
def square():
    """Two cells: energies by V^2 exactly and 10 % below; delays that grow by 4 and 5 at 0.9 V."""
    return Scaling((1.8, 0.9), {
        "exact": CellScaling((4e-15, 1e-15), (1e-10, 4e-10)),
        "below": CellScaling((8e-15, 1.8e-15), (3e-10, 15e-10))}, {"command": "none"})


def test_energy_is_held_against_the_square_of_the_supply(square):
    assert square.energy_against_square(0.9) == close({"exact": 1.0, "below": 0.9})
    assert square.energy_against_square(1.8) == close({"exact": 1.0, "below": 1.0})


def test_the_slowest_cell_decides_the_clock(square):
    assert square.slowest(0.9) == "below"
    assert square.clock_hz(0.9, 100e6) == close(20e6)
    assert square.clock_hz(1.8, 100e6) == close(100e6)


def test_a_supply_that_was_not_measured_is_refused(square):
    with pytest.raises(ScalingError, match=r"measured at 1\.8, 0\.9 V, not at 1 V"):
        square.clock_hz(1.0, 100e6)


def test_json_and_back(square):
    back = Scaling.from_dict(json.loads(json.dumps(square.as_dict())))
    assert back == square


# the committed file


def test_the_file_holds_every_cell_and_says_how_it_was_made():
    found = scaling.load()
    assert found.voltages_v == scaling.VOLTAGES_V and set(found.cells) == set(scaling.CELLS)
    assert found.made_by["command"] == scaling.COMMAND
    assert "ngspice" in found.made_by["simulator"] and "sky130" in found.made_by["models"]


def test_below_the_threshold_delays_grow_exponentially_and_energies_with_the_square_or_less():
    found = scaling.load()
    for name, cell in found.cells.items():
        assert all(a > b for a, b in zip(cell.energy_j, cell.energy_j[1:], strict=False)), name
        # short-circuit current and junctions make it a little less than V^2, never more
        assert all(0.7 < found.energy_against_square(v)[name] < 1.02 for v in (1.2, 0.7)), name
        assert 2 < found.delay_growth(1.2)[name] < 6 and found.delay_growth(0.7)[name] > 50, name


@pytest.mark.parametrize("name", ["inv_1", "xor2_1", "dfxtp_1", "dlclkp_1"])
def test_measuring_again_gives_the_file(simulator, tmp_path, name):
    """Without the store, so that what is compared was really simulated."""
    kept = scaling.load()
    store = Store(tmp_path)
    for place, voltage in enumerate(kept.voltages_v):
        energy, delay = scaling.measure_cell(name, voltage, store)
        assert energy == close(kept.cells[name].energy_j[place], rel=0.02)
        assert delay == close(kept.cells[name].delay_s[place], rel=0.02)
    assert store.runs == len(kept.voltages_v)


def test_energy_of_a_toggle_is_at_least_half_of_what_its_load_stores(simulator, tmp_path):
    """Two inverters load each cell: charged once every two toggles, by C V^2."""
    energy, _ = scaling.measure_cell("inv_1", 1.8, Store(tmp_path))
    gate_f = 2 * 1.65e-6 * 0.15e-6 * 3.9 * 8.854e-12 / 4.148e-9  # oxide of two inverters' gates
    assert energy > 0.5 * gate_f * 1.8**2
    assert energy < 5 * 0.5 * gate_f * 1.8**2


def test_a_cell_that_does_not_settle_is_refused(simulator, tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "_half_s", lambda supply_v: 8e-9)  # ample at 1.8 V alone
    with pytest.raises(ScalingError, match=r"inv_1 does not work at 0\.7 V"):
        scaling.measure_cell("inv_1", 0.7, Store(tmp_path))


def test_without_ngspice_the_command_says_so(monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert scaling.main([]) == 1
    assert "Skipped: There is no ngspice here" in capsys.readouterr().err
