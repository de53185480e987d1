"""The documentation holds: tables, worked examples, figures, links, commands, names."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from behavioral_models import protocol
from behavioral_models.constants import PULSE_SETUP_S, RAIL_DEAD_TIME_S
from behavioral_models.geometry import JEBALI_2024, PRESETS, preset
from behavioral_models.passes import Configuration, PassConfig
from networks.host import pack_inputs
from networks.importing import TRAINED, find_network, load_network
from networks.mapping import compile as compile_network
from networks.schedule import plan
from tests.needs import need

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

#: Modules of `python -m` that are not ours.
TOOLS = {"pip", "pytest", "mkdocs", "venv", "ruff", "mypy"}

#: Files beside the generated Verilog that are called like files of a room.
GENERATED = {"synthesis/heliobit_macro.v"}


def generate(*arguments, script=DOCS / "generate.py"):
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def copied(folder):
    """A tree with the generator and the page it writes."""
    (folder / "docs").mkdir()
    for name in ("generate.py", "host_protocol.md"):
        (folder / "docs" / name).write_bytes((DOCS / name).read_bytes())
    (folder / "behavioral_models").symlink_to(ROOT / "behavioral_models")
    return folder / "docs" / "host_protocol.md"


def page(name):
    return (DOCS / name).read_text()


def anchors(text):
    """Anchors that mkdocs gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.*)$", text, re.M)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", h).strip().lower()) for h in headings}


def test_generated_tables_are_up_to_date():
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_an_outdated_table_is_found_in_one_sentence_and_written_anew(tmp_path):
    target = copied(tmp_path)
    good = target.read_text()
    target.write_text(good.replace("| `IDENTIFY` |", "| `IDENTITY` |", 1))
    assert target.read_text() != good
    script = tmp_path / "docs" / "generate.py"
    done = generate("--check", script=script)
    assert done.returncode == 1
    assert done.stderr == (
        "python docs/generate.py: docs/host_protocol.md is out of date; "
        "run `python docs/generate.py`\n")
    assert generate(script=script).returncode == 0
    assert target.read_text() == good


@pytest.mark.parametrize("lost", [
    "<!-- generated: packets -->\n", "<!-- generated: statuses -->\n", "<!-- end -->"])
def test_a_lost_marker_is_named(tmp_path, lost):
    target = copied(tmp_path)
    broken = target.read_text().replace(lost, "")
    target.write_text(broken)
    done = generate(script=tmp_path / "docs" / "generate.py")
    assert done.returncode == 1
    assert "needs exactly one '<!-- generated:" in done.stderr
    assert target.read_text() == broken


def test_every_packet_and_status_is_in_the_tables():
    text = page("host_protocol.md")
    for packet in protocol.packet_formats(JEBALI_2024).values():
        assert f"| `{packet.opcode:02x}` | `{packet.opcode.name}` |" in text
    for status in protocol.Status:
        assert f"| `{status:02x}` | `{status.name}` | {protocol.STATUS_TEXT[status]} |" in text


def examples():
    """Request and answer frames of the worked examples."""
    text = page("host_protocol.md")
    pairs = re.findall(
        r"^request +((?:[0-9a-f]{2} ?)+)\nanswer +((?:[0-9a-f]{2} ?)+)$", text, re.M)
    return [(bytes.fromhex(request), bytes.fromhex(answer)) for request, answer in pairs]


def test_worked_examples_are_frames():
    assert len(examples()) == 2
    for request, answer in examples():
        body = protocol.unframe(answer[1:-1])
        assert protocol.frame(body) == answer
        plain = request[1:-1].replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
        assert protocol.frame(plain[:-2]) == request
        assert body[0] == plain[0] | protocol.ANSWER
        assert body[1] == plain[1]
        assert body[-1] == protocol.Status.OK
        packet = protocol.packet_formats(JEBALI_2024)[protocol.Opcode(plain[0])]
        protocol.unpack_fields(packet.arguments, plain[2:-2])
        protocol.unpack_fields(packet.answer, body[2:-1])


def test_worked_identify_is_the_published_chip():
    answer = protocol.unframe(examples()[0][1][1:-1])
    values = protocol.unpack_fields(protocol.IDENTIFY_FIELDS, answer[2:-1])
    assert values == {"version": protocol.VERSION, "read_timing": 1, "clock_hz": 66_000_000,
                      **{name: int(value) for name, value in JEBALI_2024.as_dict().items()}}


def test_worked_row_slots():
    text = page("host_protocol.md")
    inputs = [int(bit) for bit in re.search(r"^inputs +([01 ]+)$", text, re.M)[1].split()]
    packed = bytes.fromhex(re.search(r"^bytes +((?:[0-9a-f]{2} )+) ", text, re.M)[1])
    config = PassConfig(weight_rows=5, threshold_rows=1)
    assert pack_inputs(config, JEBALI_2024, np.array([inputs])).tobytes() == packed
    # and from the words of the page: row i carries input i of macro 0, and input 5 + i of macro 1
    slots = [inputs[row] | inputs[5 + row] << 1 for row in range(5)]
    number = sum(slot << 2 * row for row, slot in enumerate(slots))
    assert number.to_bytes(2, "little") == packed
    for name, size in ((Configuration.SINGLE_LAYER, 15), (Configuration.TWO_LAYER, 29)):
        config = PassConfig(name)
        nothing = np.zeros((1, config.inputs(JEBALI_2024)), int)
        assert pack_inputs(config, JEBALI_2024, nothing).size == size


def test_cycle_counts_of_the_theory_page():
    text = page("theory_of_operation.md")
    rows = re.findall(
        r"^\| (single layer or|the same|chained|single layer with readout).*? \| ([\d,]+) "
        r"\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", text, re.M)
    assert len(rows) == 4
    for name, *numbers in rows:
        inferences, *cycles = (int(number.replace(",", "")) for number in numbers)
        chained = name == "chained"
        config = PassConfig(Configuration.CHAINED if chained else Configuration.SINGLE_LAYER)
        for timing, shown in zip((1, 2, 3), cycles, strict=True):
            assert shown == config.cycles(JEBALI_2024, timing, inferences, "readout" in name), name


def test_programming_times_of_the_theory_page():
    """The formulas are tested on the programmer; here their figures at the published clock."""
    form, set_, reset, dead, setup = protocol.default_timing(66e6).values()
    columns = JEBALI_2024.columns
    forming = 2 * (2 * dead + 3) + 2 * columns * (2 * setup + form + 1)
    programming = 3 * (2 * dead + 3) + columns * (4 * setup + set_ + reset + 2)
    text = " ".join(page("theory_of_operation.md").split())
    assert f"F = {form}, S = R = {set_}, d = {dead}, s = {setup} cycles" in text
    assert f"{forming:,} cycles ({forming / 66e3:.2f} ms) to form" in text
    assert f"{programming:,} ({programming / 66e3:.2f} ms) to program" in text
    assert f"{256 * forming / 66e6:.2f} s and {256 * programming / 66e6:.2f} s" in text
    assert (RAIL_DEAD_TIME_S, PULSE_SETUP_S) == (100e-9, 50e-9)


def test_presets_of_the_index_page():
    for name, g in PRESETS.items():
        sizes = f"{g.banks} x {g.macros_per_bank} x {g.rows} x {g.columns}"
        assert f"| `{name}` | {sizes} | {g.register_width} bits |" in page("index.md")


@pytest.mark.parametrize("geometry", ["heliobit_wide", "heliobit"])
@pytest.mark.parametrize("name", ["mnist_1102_64_majority", "mnist_1024_1024"])
def test_plans_of_the_networks_page(name, geometry):
    planned = plan(compile_network(load_network(find_network(name)), preset(geometry)))
    line = (
        f"| `{name}` | `{geometry}` | {planned.images} | {planned.cycles_per_inference:,.0f} | "
        f"{planned.total('transfer_bytes'):,} |"
    )
    assert line in page("networks.md")


@pytest.mark.parametrize("name", ["mnist_1102_64_majority", "mnist_1102_64", "mnist_1024_1024"])
def test_accuracies_in_the_text_are_those_of_the_records(name):
    record = json.loads((TRAINED / f"{name}.json").read_text())
    kept = next(s for s in record["seeds"] if s["seed"] == record["kept_seed"])["test_accuracy"]
    medians = record["median_validation_accuracy"], record["median_test_accuracy"]
    cells = " | ".join(f"{100 * value:.2f} %" for value in (*medians, kept))
    assert f"| `{name}` | {cells} |" in page("training.md")
    assert f"(`{name}`) | {100 * kept:.2f} % |" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_relative_links_resolve(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked.read_text()), f"{path.name} links to {target}"


def test_anchors_are_those_of_mkdocs():
    assert anchors("# A, `b` and C's\n## d - e\n```\n# no\n```\n") == {"a-b-and-cs", "d-e"}


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_commands_exist(path):
    text = path.read_text()
    for module in re.findall(r"python3? -m ([A-Za-z_][\w.]*)", text):
        file = ROOT / module.rstrip(".").replace(".", "/")
        ours = file.with_suffix(".py").exists() or (file / "__main__.py").exists()
        assert module in TOOLS or ours, f"{path.name} says python -m {module}"
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    for target in re.findall(r"(?:`|^(?: {4})?)make ([a-z][\w-]*)", text, re.M):
        assert target in targets, f"{path.name} says make {target}"


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_files_named_exist(path):
    rooms = "behavioral_models|hdl|networks|sim|synthesis|fpga|tests|docs"
    kinds = "py|v|cpp|md|npz|json"
    for name in re.findall(rf"`((?:{rooms})/[\w./-]+?\.(?:{kinds}))`", path.read_text()):
        assert name in GENERATED or (ROOT / name).exists(), f"{path.name} names {name}"


def test_the_test_plan_names_tests():
    named = re.findall(r"`((?:tests|sim/benches)/[\w/]+\.py)`", page("testplan.md"))
    assert len(named) > 10
    for name in named:
        assert (ROOT / name).is_file(), f"testplan.md names {name}"


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"^ +- [^:]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md"))


@pytest.mark.parametrize("name", ["devices.md", "supply.md", "codes.md"])
def test_python_examples_run(name):
    if name == "supply.md":
        need("figures")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    assert blocks, f"{name} has no example"
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
