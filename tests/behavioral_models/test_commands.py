"""python -m behavioral_models: what is printed, exit codes, help."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from behavioral_models.__main__ import main
from behavioral_models.calibration import TARGETS
from behavioral_models.memristor import Condition
from behavioral_models.parameter_files import FOLDER, available, load, write
from tests.close import close

COMMANDS = ("list", "show", "fit", "errors", "programming", "calibrate")
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def files_unchanged():
    before = {path: path.read_bytes() for path in FOLDER.rglob("*.toml")}
    yield
    assert {path: path.read_bytes() for path in FOLDER.rglob("*.toml")} == before


pytestmark = pytest.mark.usefixtures("files_unchanged")


def test_runs_as_a_module():
    for arguments, code in ((["list"], 0), (["show", "no"], 1), ([], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "behavioral_models", *arguments],
            cwd=PROJECT, capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert bool(done.stdout) == (code == 0) != bool(done.stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_of_the_command_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"example: python -m behavioral_models {command}" in text


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0 and "example: python -m behavioral_models" in out
    assert re.search(r"\{(.*)\}", out).group(1) == ",".join(COMMANDS)


@pytest.mark.parametrize("arguments", [
    [], ["no"], ["show"], ["errors", "--vdd", "x"], ["fit", "a.csv"],
    ["programming", "--retries", "1.5"],
    ["fit", "a.csv", "--output", "b.toml", "--set-compliance", "1", "--reset-voltage", "1",
     "--pulse", "1", "--distribution", "gamma"],
], ids=" ".join)  # fmt: skip
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    (["show", "no"], "show: There are no parameters 'no'; choose one of .*jebali_2024/weak_set"),
    (["errors", "--vdd", "0.5"], "errors: jebali_2024/amplifier holds for supplies of 0.7 to 1.25"),
    (["errors", "--amplifier", "sky130/amplifier"], "There are no memristors of set sky130"),
    (["errors", "--clock", "0"], "errors: A clock must be above 0 Hz"),
    (["errors", "jebali_2024/amplifier"], "errors: .* is of kind amplifier, not memristor"),
    (["errors", "jebali_2024/strong", "--cycles", "1e9"], "strong holds for an age of 0 to 7e"),
    (["programming", "--geometry", "no"], "programming: There is no geometry preset 'no'"),
    (["programming", "--geometry", "tiny", "--seed", "-1"], "draw's seed must be from 0"),
    (["programming", "--geometry", "tiny", "--retries", "-1"], "Retries must be at least 0"),
    (["fit", "no.csv", "--output", "b.toml", "--set-compliance", "1", "--reset-voltage", "1",
      "--pulse", "1"], "fit: Cannot read no.csv: No such file"),
], ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else "")  # fmt: skip
def test_what_cannot_be_done_is_1_and_says_why(arguments, message, capsys):
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert re.search(message, printed.err) and not printed.out
    assert printed.err.startswith(f"python -m behavioral_models {arguments[0]}: ")


def test_list(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == available()
    for line in lines:
        name, kind, about = line.split(maxsplit=2)
        assert (load(name).kind, load(name).about) == (kind, about)


@pytest.mark.parametrize("name", available())
def test_show(name, capsys):
    assert main(["show", name]) == 0
    out = capsys.readouterr().out
    for key, value, source, note in load(name).rows():
        assert re.search(rf"^  {re.escape(key)} +{re.escape(f'{value:g}')} +{source} +"
                         rf"{re.escape(note)}$", out, re.M), key  # fmt: skip
    if load(name).has("base"):
        assert f"states by the law of {load(name).text('base')}" in out


def fit_arguments(folder, *more):
    return ["fit", str(folder / "m.csv"), "--output", str(folder / "mine.toml"),
            "--set-compliance", "55e-6", "--reset-voltage", "2.5", "--pulse", "1e-6", *more]


def write_table(folder):
    lines = [f"{state},{10 ** (decades + 0.05 * k)},{k // 2}"
             for state, decades in (("lrs", 4), ("hrs", 6)) for k in range(10)]
    (folder / "m.csv").write_text("\n".join(["state,ohm,device", *lines]))


def test_fit(tmp_path, capsys):
    write_table(tmp_path)
    assert main(fit_arguments(tmp_path, "--about", "of a test")) == 0
    out = capsys.readouterr().out
    median = 10 ** (4 + 0.05 * 4.5)
    assert f"LRS: 10 measurements of 5 devices, median {median:.4g} ohm" in out
    assert f"wrote {tmp_path / 'mine.toml'}" in out
    condition = Condition(tmp_path / "mine.toml")
    assert condition.parameters.about == "of a test"
    assert main(["show", str(tmp_path / "mine.toml")]) == 0


def test_fit_says_when_the_shape_is_another(tmp_path, capsys):
    write_table(tmp_path)
    with (tmp_path / "m.csv").open("a") as file:
        file.write("\n" + "\n".join(f"lrs,{2e5 + k},{k}" for k in range(2)))
    assert main(fit_arguments(tmp_path)) == 0
    assert "the logarithm is not normal" in capsys.readouterr().out
    assert main(fit_arguments(tmp_path, "--distribution", "empirical")) == 0
    assert "not normal" not in capsys.readouterr().out


def test_fit_errors_write_nothing(tmp_path, capsys):
    (tmp_path / "m.csv").write_text("state,ohm\nlrs,-1\n")
    assert main(fit_arguments(tmp_path)) == 1
    assert "m.csv, line 2: ohm must be a resistance above 0" in capsys.readouterr().err
    assert not (tmp_path / "mine.toml").exists()


def test_a_folder_that_cannot_be_written_is_1(tmp_path, capsys):
    write_table(tmp_path)
    (tmp_path / "mine.toml").mkdir()
    assert main(fit_arguments(tmp_path)) == 1
    assert "python -m behavioral_models fit: " in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv", "mine.toml"]


def test_errors(capsys):
    arguments = ["errors", "--amplifier", "jebali_2024/array_amplifier"]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "bit errors at 1.2 V and 33 MHz, jebali_2024/array_amplifier" in table
    assert main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["condition"] for row in rows] == [
        name for name in available("memristor") if name.startswith("jebali_2024/")]
    for row in rows:
        assert 0 < row["2T2R, ideal amplifier"] < row["2T2R"] < 0.5
        assert row["condition"] in table
    weak = rows[[row["condition"] for row in rows].index("jebali_2024/weak_set")]
    assert weak["1T1R, ideal amplifier"] == close(0.012, rel=1e-3)  # what was fitted


def test_errors_of_aged_memristors(capsys):
    rates = []
    for cycles in ("0", "1e8"):
        assert main(["errors", "jebali_2024/strong", "--json", "--cycles", cycles]) == 0
        rates.append(json.loads(capsys.readouterr().out)[0]["2T2R"])
    assert rates[0] < rates[1]


def test_errors_of_another_set_are_refused(tmp_path, capsys):
    tree = {**load("jebali_2024/weak_set").tree, "set": "mine"}
    write(tmp_path / "mine.toml", tree)
    assert main(["errors", str(tmp_path / "mine.toml")]) == 1
    assert "set mine and amplifiers of set jebali_2024 are never mixed" in capsys.readouterr().err


def test_programming(capsys):
    """32,768 memristors: 0.328 s and 0.197 s of pulses; 4 nJ a forming pulse, 131 uJ."""
    assert main(["programming", "--retries", "1", "--vdd", "0.8"]) == 0
    forming, programming, retried = capsys.readouterr().out.splitlines()
    assert forming.startswith("forming ") and "32,768 pulses, 0.328 s of pulses" in forming
    assert "131.1 uJ" in forming
    assert programming.startswith("programming ")
    rows = int(re.match(r"(\d+) rows programmed again, \d+ bit cells still err at 0.8 V",
                        retried)[1])  # fmt: skip
    assert f"{32_768 + 128 * rows:,} pulses" in programming


def test_programming_without_retries(capsys):
    assert main(["programming"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and "32,768 pulses, 0.197 s of pulses" in out[1]


def test_a_reader_that_stops_is_no_error():
    command = f"{sys.executable} -m behavioral_models show jebali_2024/weak_set | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("jebali_2024/weak_set") and not done.stderr


def test_calibrate_shows_and_writes_nothing(capsys):
    assert main(["calibrate"]) == 0
    out = capsys.readouterr().out
    for target in TARGETS:
        line = next(line for line in out.splitlines()
                    if line.startswith(f"  {target.vdd_v:.1f} V, {target.clock_hz / 1e6:2.0f} MHz"))
        aim, model = (float(v) for v in re.search(r"aim (\S+)  model (\S+)", line).groups())
        assert aim == target.rate and 0.5 < model / aim < 2
    assert "fitted" not in out
