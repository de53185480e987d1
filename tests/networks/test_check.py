"""`python -m networks check`: any file, one answer."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from behavioral_models.geometry import HELIOBIT
from networks import digits, npz
from networks.__main__ import COMMANDS, main
from networks.form import Convolution, Dense, Network, NetworkError, Output, evaluate
from networks.importing import load_network, read
from networks.mapping import compile

ROOT = Path(__file__).parents[2]


def small(inputs=20, neurons=7, classes=3):
    rng = np.random.default_rng(0)
    return Network(
        (
            Dense("fc", rng.random((inputs, neurons)) < 0.5, rng.integers(0, inputs, neurons)),
            Output("out", rng.random((neurons, classes)) < 0.5, [0] * classes),
        ), (inputs,),
    )  # fmt: skip


def test_the_committed_digits_network_evaluates_as_ever():
    found = read(digits.NETWORK_FILE)
    pixels = digits.load_part("held_out").pixels
    expected = digits.evaluate(digits.DigitsNetwork.load(), pixels)
    answers = evaluate(found.network, found.inputs(pixels))
    np.testing.assert_array_equal(answers.preactivations, expected.class_preactivations)
    np.testing.assert_array_equal(answers.hidden[0], expected.hidden_bits)
    assert "thermometer" in found.data


def test_check_says_what_a_file_is_and_what_to_type_next(tmp_path, capsys):
    path = tmp_path / "mine.npz"
    npz.save(small(), path)
    assert main(["check", str(path), "--geometry", "jebali_2024"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "mine.npz is a network as plain arrays."
    assert said[1] == "It takes 20 whole numbers 0 to 1."
    cells = next(line for line in said if line.startswith("fc")).split()
    assert cells[:7] == ["fc", "dense", "20", "20", "7", "1", "1"] and cells[-1] == "140"
    assert any(line.startswith("161 weights, 3 classes;") for line in said)
    assert any(line.startswith("It fits jebali_2024: 1 program image, ") for line in said)
    assert said[-1] == (
        f"Next: python -m networks run {path} --on golden --geometry jebali_2024 --data ...")


def test_check_takes_the_name_of_a_committed_network(capsys):
    assert main(["check", "digits"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("digits.npz is a digits network")
    assert main(["check", "digit"]) == 1
    assert "There is no file 'digit', nor a network of that name" in capsys.readouterr().err


def test_check_says_why_a_network_does_not_fit(tmp_path, capsys):
    path = tmp_path / "mine.npz"
    npz.save(small(3000, 2, 2), path)
    assert main(["check", str(path), "--geometry", "tiny"]) == 1
    said = capsys.readouterr().out
    assert "It does not fit tiny: fc: " in said
    assert "Next" not in said


def test_check_converts(tmp_path, capsys):
    target = tmp_path / "new" / "mine.npz"
    assert main(["check", str(digits.NETWORK_FILE), "--output", str(target)]) == 0
    said = capsys.readouterr().out
    assert f"Next: python -m networks run {target} --on golden --data ..." in said
    one, other = load_network(digits.NETWORK_FILE), load_network(target)
    np.testing.assert_array_equal(one.layers[0].weights, other.layers[0].weights)
    assert main(["check", str(target), "--output", "mine.onnx"]) == 1
    assert "--output writes a .npz file, not mine.onnx" in capsys.readouterr().err


def test_convolutions_are_described(tmp_path, capsys):
    ones = np.ones((1, 3, 3, 2), dtype=bool)
    layer = Convolution("c", ones, [4, 5], stride=(2, 2), padding=(1, 1), pool=(2, 1))
    network = Network((layer, Output("out", np.ones((18, 2), dtype=bool), [0, 1])), (1, 11, 5))
    npz.save(network, tmp_path / "n.npz")
    assert main(["check", str(tmp_path / "n.npz")]) == 0
    said = capsys.readouterr().out
    assert "convolution 3 x 3, stride 2 x 2, padding 1 x 1, pool 2 x 1" in said
    assert "1 x 11 x 5 whole numbers" in said


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("mine.csv", b"1,2,3", "mine.csv: nothing known; understood are .npz networks, QONNX"),
        ("mine.npz", b"1,2,3", "mine.npz: this is not a .npz file, or it is damaged"),
        ("mine.npz", b"PK\x03\x04and no more", "mine.npz: the file is damaged or not complete"),
    ],
)
def test_what_is_wrong_goes_to_stderr_in_one_sentence(name, content, message, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    assert main(["check", str(tmp_path / name)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"python -m networks check: {message}")
    assert said.err.count("\n") == 1


def test_files_that_are_something_else(tmp_path, capsys):
    with pytest.raises(NetworkError, match="is a program image, already mapped"):
        load_network(digits.IMAGE_FILE)
    compile(small(), HELIOBIT).save(tmp_path / "program.npz")
    with pytest.raises(NetworkError, match="program.npz: this is a compiled program"):
        load_network(tmp_path / "program.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(NetworkError, match="other.npz: a .npz, but of no network"):
        load_network(tmp_path / "other.npz")
    with pytest.raises(NetworkError, match="this is a folder"):
        load_network(tmp_path)
    assert main(["check", str(tmp_path / "none.npz")]) == 1
    assert "none.npz" in capsys.readouterr().err
    assert main(["check", str(digits.NETWORK_FILE), "--geometry", "small"]) == 1
    assert "There is no geometry preset 'small'" in capsys.readouterr().err


def test_every_command_has_help_with_an_example():
    for name in ("", *(command[0] for command in COMMANDS)):
        with pytest.raises(SystemExit) as stopped:
            main([*([name] if name else []), "--help"])
        assert stopped.value.code == 0


def test_from_the_shell():
    run = subprocess.run(
        [sys.executable, "-m", "networks", "check", "networks/trained/digits.npz"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.startswith("digits.npz is a digits network")
    run = subprocess.run(
        [sys.executable, "-m", "networks", "check", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "example: python -m networks check" in run.stdout
