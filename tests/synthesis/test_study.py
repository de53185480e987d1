"""What a report is measured by: points, tables, what is kept."""

import json

import pytest

from behavioral_models.geometry import JEBALI_2024, TINY
from hdl.parameters import STYLES, ChipParameters
from synthesis import study
from synthesis.__main__ import main
from synthesis.library import load_library
from synthesis.study import Point, measure, same_memristors, styles_and_sweep
from tests.needs import need
from tests.synthesis import liberty_text


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "small.lib"
    path.write_text(liberty_text())
    return load_library(path)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "BUILD", tmp_path)
    return tmp_path / "synthesis"


@pytest.mark.parametrize("macros", [1, 2, 4, 8, 16])
def test_sweep_keeps_the_memristors(macros):
    geometry = same_memristors(macros)
    assert geometry.memristors == JEBALI_2024.memristors == 32_768
    assert geometry.macros_per_bank == macros
    assert geometry.max_inputs == 58 * macros


def test_two_macros_are_the_published_chip():
    assert same_memristors(2) == JEBALI_2024
    with pytest.raises(ValueError, match="are 1, 2, 4, 8 or 16, not 3"):
        same_memristors(3)


def test_tables_have_every_style_and_timing():
    tables = styles_and_sweep()
    assert {(p.parameters.style, p.parameters.read_timing) for p in tables["styles"]} == {
        (style, timing) for style in STYLES for timing in (1, 2, 3)}
    assert {p.parameters.geometry.macros_per_bank for p in tables["sweep"]} == {1, 2, 4, 8, 16}
    assert all(p.workload == "random" and p.delays == "zero" for p in tables["styles"])


@pytest.mark.slow
def test_a_point_is_measured_once(library, kept, monkeypatch):
    """Useful MACs: every weight row of every macro, for every neuron of its bank."""
    need("verilator")
    need("yosys")
    points = {style: Point(ChipParameters(TINY, 1, style), inferences=4)
              for style in ("enabled", "deferred")}
    found = {style: measure(point, library) for style, point in points.items()}
    weight_rows = TINY.rows - 3  # thresholds of 2 x 3 inputs need 3 bits
    macs = 4 * TINY.macros * weight_rows * TINY.columns
    for result in found.values():
        assert result["useful_macs"] == macs
        assert set(result["energy"]) == set(study.WIRES)
        ideal = result["energy"]["ideal wires"]["boundaries"]["core"]
        assert ideal["energy_per_mac_j"] * macs == pytest.approx(ideal["energy_j"])
        more = result["energy"]["ten times the wire load and clock tree"]["boundaries"]["core"]
        assert more["energy_j"] >= ideal["energy_j"]
    assert found["enabled"]["cycles"] == found["deferred"]["cycles"]
    assert "row store" in found["deferred"]["area"] and "row store" not in found["enabled"]["area"]
    assert len(list((kept / "points").iterdir())) == 2
    monkeypatch.setattr(study, "simulate", None)  # would fail if called
    assert measure(points["deferred"], library) == found["deferred"]
    assert json.loads(json.dumps(found)) == found


def test_commands_say_what_is_wrong(capsys, monkeypatch, tmp_path):
    for name in ("LIBERTY", "PDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    missing = tmp_path / "none.lib"
    assert main(["netlist", "--liberty", str(missing)]) == 1
    assert "none.lib" in capsys.readouterr().err
    assert main(["energy", "--geometry", "big"]) == 1
    assert "There is no geometry preset 'big'" in capsys.readouterr().err
    assert main(["timing", "--style", "enabled", "--rows-per-update", "4"]) == 1
    assert "Style enabled counts row by row" in capsys.readouterr().err


def test_views_are_written(tmp_path, capsys):
    assert main(["views", "--geometry", "tiny", "--output", str(tmp_path / "views")]) == 0
    assert "lef" in capsys.readouterr().out
    assert {path.suffix for path in (tmp_path / "views").iterdir()} == {".lib", ".lef"}


@pytest.mark.parametrize("command", ["netlist", "equivalence", "timing", "energy", "report"])
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example: python -m synthesis {command}" in capsys.readouterr().out


def test_netlist_from_the_command_line(library, tmp_path, capsys):
    need("yosys")
    folder = tmp_path / "netlist"
    assert main(["netlist", "--geometry", "tiny", "--liberty", str(library.path),
                 "--output", str(folder)]) == 0
    assert (folder / "chip.v").exists() and "um2" in capsys.readouterr().out
