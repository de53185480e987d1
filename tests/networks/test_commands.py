"""`python -m networks plan`, `compile`, `run`: what users type, and what they are told."""

import json
import re

import numpy as np
import pytest

from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import HELIOBIT_WIDE, JEBALI_2024, TINY
from networks import npz
from networks.__main__ import main
from networks.data import load_data
from networks.errors import DeviceErrors, error_table, reading
from networks.form import evaluate
from networks.importing import find_network, load_network
from networks.mapping import Program
from networks.mapping import compile as compile_network
from networks.schedule import Costs, energy, plan
from tests.needs import need
from tests.networks.random_networks import multilayer

DIGITS = str(find_network("digits"))


@pytest.fixture
def small(tmp_path):
    """A random network that fits TINY, its data with labels that are its own predictions."""
    network = multilayer(3, (7, 5, 3), planes=2)
    npz.save(network, tmp_path / "small.npz")
    data = np.random.default_rng(0).integers(0, 4, (40, 7), dtype=np.uint8)
    labels = evaluate(network, data).predictions
    np.savez(tmp_path / "data.npz", data=data, labels=labels)
    return tmp_path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_the_golden_model_gives_the_networks_predictions(small, capsys):
    assert run("run", small / "small.npz", "--data", small / "data.npz", "--geometry", "tiny",
               "--compare", "--output", small / "run.json") == 0
    said = capsys.readouterr().out
    assert "100.00 % (40 of 40)" in said and "all layers: golden = network" in said
    measured = json.loads((small / "run.json").read_text())
    assert (measured["right"], measured["inferences"], measured["on"]) == (40, 40, "golden")
    compared = measured["differences"]
    assert [each["compared"] for each in compared.values()] == [200, 120]  # hidden, classes
    assert sum(each["different"] for each in compared.values()) == 0


def test_cycles_are_the_plans(small, capsys):
    common = [small / "small.npz", "--geometry", "tiny", "--timing", 3]
    run("run", *common, "--data", small / "data.npz", "--output", small / "run.json")
    run("plan", *common, "--inferences", 40, "--output", small / "plan.json")
    ran, planned = (json.loads((small / f"{n}.json").read_text()) for n in ("run", "plan"))
    assert ran["cycles"] == planned["total"]["cycles"] > 0
    assert ran["layer_cycles"] == {layer["name"]: layer["cycles"] for layer in planned["layers"]}


def test_a_compiled_program_runs_as_its_network(small, capsys):
    program = small / "program.npz"
    assert run("compile", small / "small.npz", "--geometry", "tiny", "--output", program) == 0
    assert Program.load(program).geometry == TINY
    assert run("run", program, "--data", small / "data.npz") == 0
    assert "100.00 % (40 of 40)" in capsys.readouterr().out


def test_rtl_equals_the_golden_model(small, capsys):
    need("verilator")
    assert run("run", small / "small.npz", "--data", small / "data.npz", "--geometry", "tiny",
               "--on", "rtl", "--compare", "--timing", 2, "--style", "bank_gated") == 0
    said = capsys.readouterr().out
    assert "100.00 % (40 of 40)" in said and "all layers: rtl = golden model = network" in said


def test_a_wrong_executor_is_found_out(small, capsys, monkeypatch):
    honest = GoldenChip.run

    def liar(chip, *arguments, **options):
        result = honest(chip, *arguments, **options)
        result.outputs[3, 0] ^= True
        return result

    monkeypatch.setattr(GoldenChip, "run", liar)
    assert run("run", small / "small.npz", "--data", small / "data.npz", "--geometry", "tiny",
               "--compare") == 1
    assert "NO: 1 " in capsys.readouterr().out


def test_without_labels_there_are_predictions(small, capsys):
    data = np.load(small / "data.npz")["data"]
    np.save(small / "data.npy", data)
    assert run("run", small / "small.npz", "--data", small / "data.npy", "--geometry", "tiny",
               "--images", 4, "--output", small / "run.json") == 0
    wanted = evaluate(npz.load(small / "small.npz"), data[:4]).predictions.tolist()
    assert json.loads((small / "run.json").read_text())["predictions"] == wanted
    assert ", ".join(map(str, wanted)) in capsys.readouterr().out


def test_energy_by_a_cost_table(capsys, tmp_path):
    """As the schedule's, and what it is extrapolated from is said."""
    program = compile_network(load_network(find_network("digits")), JEBALI_2024)
    for timing, extrapolated in ((3, False), (1, True)):
        file = tmp_path / "run.json"
        assert run("run", "digits", "--data", "digits", "--geometry", "jebali_2024",
                   "--costs", "jebali_2024", "--timing", timing, "--output", file) == 0
        said = capsys.readouterr().out
        assert "95.00 % (342 of 360)" in said
        wanted = energy(plan(program, 1, 360, read_timing=timing), Costs.load("jebali_2024"))
        assert json.loads(file.read_text())["energy"]["inference_j"] == wanted.inference_j
        assert f"{wanted.inference_j:.3g} J an inference" in said
        assert any("cycles a row" in sentence for sentence in wanted.extrapolated) is extrapolated
        assert all(sentence in said for sentence in wanted.extrapolated)


def test_repaired_chips_misread_less_and_lose_less(capsys, tmp_path):
    found = {}
    for repair in (0, 4):
        file = tmp_path / f"{repair}.json"
        run("run", "digits", "--data", "digits", "--geometry", "jebali_2024", "--errors",
            "0.76V@460kHz", "--repair", repair, "--seed", 1, "--output", file)
        found[repair] = json.loads(file.read_text())
    raw, repaired = found[0], found[4]
    assert 0 < repaired["errors"]["misread_share"] < raw["errors"]["misread_share"] < 0.05
    assert raw["accuracy"] < repaired["accuracy"] <= 342 / 360
    assert raw["errors"]["vdd_v"] == 0.76


def test_errors_by_preactivation(capsys, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("preactivation,error_rate\n" + "".join(f"{d},0.5\n" for d in range(-4, 5)))
    arguments = ["run", "digits", "--data", "digits", "--geometry", "jebali_2024"]
    run(*arguments, "--output", tmp_path / "clean.json")
    run(*arguments, "--errors", table, "--output", tmp_path / "wrong.json")
    clean, wrong = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("clean", "wrong"))
    assert wrong["accuracy"] < clean["accuracy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing", "--data", "digits"], "no file 'nothing', nor a network .*: .*digits"),
        (["run", "digits", "--data", "letters"], "'letters' is neither a set"),
        (["run", "digits", "--data", "digits:some"], "no part 'some' of the digits"),
        (["run", "digits", "--data", "digits", "--geometry", "huge"], "no geometry preset 'huge'"),
        (["run", "digits", "--data", "digits", "--geometry", "tiny"],
         "hidden: registers of 7 bits hold sums"),
        (["run", "digits", "--data", "digits", "--errors", "fog"], "'fog' says neither light"),
        (["run", "digits", "--data", "digits", "--errors", "0.5V"], "does not run at 0.5 V"),
        (["run", "digits", "--data", "digits", "--images", "0"], "--images must be at least 1"),
        (["run", "digits", "--data", "digits", "--style", "enabled"], "styles .* are the RTL's"),
        (["run", "digits", "--data", "digits", "--on", "/dev/null0"], "no transport to a chip"),
        (["run", "digits", "--data", "digits", "--repair", "2"], "--repair is about errors"),
        (["run", "digits", "--data", "digits", "--seed", "2"], "--seed is about errors"),
        (["run", "digits", "--data", "digits", "--errors", "1V", "--repair", "-1"], "at least 0"),
        (["run", "digits", "--data", "digits", "--errors", "t.csv", "--repair", "1"],
         "--repair is about drawn chips"),
        (["run", "digits", "--data", "digits", "--errors", "esuns"], "'esuns' says neither light"),
        (["run", "digits", "--data", "digits", "--form"], "--form is for a chip at a port"),
        (["run", "digits", "--data", "digits", "--errors", "1V", "--compare"], "add --on rtl"),
        (["run", "digits", "--data", "digits", "--costs", "none"], "no cost table 'none'"),
        (["compile", "digits", "--output", "x.bin"], "must name a .npz file"),
        (["plan", "digits", "--chips", "0"], "at least one of chips"),
        (["plan", "digits", "--banks", "0"], "banks"),
    ],
)
def test_refusals_are_one_sentence(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"python -m networks {arguments[0]}: ")
    assert re.search(message, error)


def test_a_compiled_program_is_for_its_chip(small, capsys):
    program = small / "program.npz"
    run("compile", small / "small.npz", "--geometry", "tiny", "--output", program)
    for option in (["--geometry", "tiny"], ["--weight-rows", 3], ["--banks", 2]):
        assert run("run", program, "--data", small / "data.npz", *option) == 1
        assert "is compiled already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.full(40, 3)}, "labels from 3 to 3, but the network has classes 0 to 2"),
        ({"labels": np.full(40, -1)}, "labels from -1 to -1"),
        ({"data": np.full((40, 7), 4)}, "Data of 2 bits are 0 to 3, not 4 to 4"),
        ({"data": np.zeros((0, 7), int), "labels": np.zeros(0, int)}, "`data` holds nothing"),
        ({"data": np.zeros((40, 6), int)}, "data of shape \\(batch, 7\\), not \\(40, 6\\)"),
    ],
)
def test_data_that_do_not_fit_are_refused_first(change, message, small, capsys):
    arrays = dict(np.load(small / "data.npz")) | change
    np.savez(small / "other.npz", **arrays)
    assert run("run", small / "small.npz", "--data", small / "other.npz", "--geometry", "tiny") == 1
    assert re.search(message, capsys.readouterr().err)


def test_stopped_by_hand(monkeypatch, capsys):
    def stop(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("networks.commands.load_data", stop)
    assert main(["run", "digits", "--data", "digits"]) == 130
    assert capsys.readouterr().err.strip() == "python -m networks run: stopped"


def test_nothing_is_written_where_a_run_is_refused(tmp_path, capsys):
    target = tmp_path / "run.json"
    assert run("run", "digits", "--data", "digits", "--errors", "fog", "--output", target) == 1
    assert list(tmp_path.iterdir()) == []


class TestData:
    def test_the_digits_are_those_the_network_sees(self):
        found = load_data("digits")
        network = load_network(find_network("digits"))
        assert found.data.shape == (360, 116) and found.text == "digits, held_out"
        assert (evaluate(network, found.data).predictions == found.labels).mean() == 342 / 360

    def test_mnist(self):
        need("mnist")
        found = load_data("mnist:validation")
        assert found.data.shape == (5000, 784) and found.data.max() == 255
        assert np.bincount(found.labels).min() > 400
        assert len(load_data("mnist").labels) == 10_000

    def test_mnist_that_is_not_there(self, monkeypatch, tmp_path):
        monkeypatch.delenv("MNIST_DIR", raising=False)
        with pytest.raises(FileNotFoundError, match="set MNIST_DIR to the folder"):
            load_data("mnist")
        monkeypatch.setenv("MNIST_DIR", str(tmp_path))
        with pytest.raises(FileNotFoundError, match="no t10k-images-idx3-ubyte or"):
            load_data("mnist")
        (tmp_path / "t10k-images-idx3-ubyte").write_bytes(b"nothing of the kind, certainly")
        with pytest.raises(ValueError, match="not an idx file of MNIST"):
            load_data("mnist")

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"x": np.zeros((2, 3), int)}, "has no array `data`, only x"),
            ({"data": np.zeros((2, 3))}, "must be unsigned integers of shape .* not float64"),
            ({"data": np.zeros(3, int)}, "of shape \\(batch, ...\\)"),
            ({"data": np.zeros((2, 3), int), "labels": np.zeros(3, int)}, "must be 2 integers"),
        ],
    )
    def test_files_of_another_kind(self, arrays, message, tmp_path):
        np.savez(tmp_path / "data.npz", **arrays)
        with pytest.raises(ValueError, match=message):
            load_data(str(tmp_path / "data.npz"))
        (tmp_path / "text.npz").write_text("no archive")
        with pytest.raises(ValueError, match="not a file that numpy wrote"):
            load_data(str(tmp_path / "text.npz"))


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "vdd_v", "clock_hz"),
        [
            ("0.9V", 0.9, 460e3),
            ("0.9 V@33MHz", 0.9, 33e6),
            ("1.2V, 66e6Hz", 1.2, 66e6),
            ("0.8V@500kHz", 0.8, 5e5),
        ],
    )
    def test_supplies(self, text, vdd_v, clock_hz):
        found = reading(text)
        assert (found.vdd_v, found.clock_hz) == pytest.approx((vdd_v, clock_hz))

    def test_light_is_the_solar_cells_supply(self):
        need("figures")
        supplies = [reading(f"{suns} suns").vdd_v for suns in (8, 0.8, 0.36, 0.08)]
        assert supplies == sorted(supplies, reverse=True)
        assert 0.7 < supplies[-1] < 0.8 and 1.15 < supplies[0] < 1.3

    def test_every_image_is_on_a_chip_of_its_own(self):
        images = np.zeros((2, *TINY.image_shape), dtype=bool)
        drawn = DeviceErrors(TINY, reading("0.7V@460kHz"), "jebali_2024/weak_set", seed=1)
        first, second = drawn.tables(images)
        assert (first != second).any()
        again = drawn.tables(images)
        assert (first == again[0]).all() and (second == again[1]).all()

    def test_tables(self, tmp_path):
        file = tmp_path / "t.csv"
        file.write_text("# from a bench\npreactivation,error_rate\n-1,0.25\n0,0.5\n\n1,0.25\n")
        assert error_table(file) == {-1: 0.25, 0: 0.5, 1: 0.25}

    def test_tables_of_spreadsheets(self, tmp_path):
        file = tmp_path / "t.csv"
        file.write_bytes("\ufeff0.0,0.3\r\n1,0.1\r\n".encode())
        assert error_table(file) == {0: 0.3, 1: 0.1}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "holds no line"),
            ("0,0.5\nx,y\n", "line 2: expected"),
            ("0,0.5\n0,0.1\n", "line 2: each preactivation stands once"),
            ("0,1.5\n", "line 1: .* a rate from 0 to 1"),
            ("0\n1\n", "line 1: expected"),
            ("0.5,0.2\n1,0.1\n", "line 1: expected"),
            ("a,b\nc,d\n1,0.1\n", "line 2: expected"),
            ("a,b\n# c\n# d\n1.5,0.1\n2,0.1\n", "line 4: expected"),
            ("2000000000,0.1\n", "line 1: no preactivation is beyond"),
            ("0,nan\n", "line 1: expected"),
        ],
    )
    def test_tables_of_another_kind(self, text, message, tmp_path):
        file = tmp_path / "t.csv"
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            error_table(file)


@pytest.mark.slow
def test_mnist_images_through_the_rtl(tmp_path, capsys):
    """Every output, preactivation and cycle count of 200 images: RTL, golden model, network."""
    need("verilator")
    need("mnist")
    file = tmp_path / "run.json"
    assert run("run", "mnist_1102_64_majority", "--data", "mnist", "--images", 200, "--on", "rtl",
               "--compare", "--output", file) == 0
    measured = json.loads(file.read_text())
    assert measured["geometry"] == HELIOBIT_WIDE.as_dict()
    assert measured["accuracy"] > 0.95
    compared = measured["differences"]
    neurons = 1102 + 19 * 64 + 10
    sums = sum(n["compared"] for name, n in compared.items() if name.endswith(": preactivations"))
    assert sums == 200 * neurons
    assert not any(each["different"] for each in compared.values())
