"""The report: derivations by hand, and a page that is whole, readable and made of its JSON."""

import copy
import json
import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser

import pytest

from behavioral_models.geometry import JEBALI_2024
from synthesis.energy import BOUNDARIES
from synthesis.report import (
    PUBLISHED,
    PUBLISHED_SPLIT,
    capacitance_factor,
    categories_per_mac_j,
    delay_by_block,
    derive,
    leakage_per_mac_j,
    macro_sense_j,
    pareto,
    reads_per_mac_j,
    senses,
    shares,
    supply_factor,
    tops_per_watt,
    write_report,
)
from synthesis.scaling import Scaling

FJ = 1e-15
HEADLINE, IDEAL = "wire load and clock tree", "ideal wires"
MANY = "ten times the wire load and clock tree"

# A study made by hand: everything a point spends is a multiple of one number --------------------

MACS = 14848
INFERENCES = 20


def chip(style="deferred", read_timing=1, **changes):
    return {
        **JEBALI_2024.as_dict(), "register_width": 8, "memristors": 32768, "neurons": 128,
        "read_timing": read_timing, "style": style, "borrow_split": 5, "rows_per_update": 4,
        "clock_hz": 66e6, **changes,
    }


def wired(core_fj, words="random", inferences=INFERENCES):
    """What a point spends with one kind of wires: a core of so many fJ per MAC."""
    macs = MACS * inferences
    parts = {"control": 0.05, "clock": 0.35, "neuron registers": 0.40, "popcount": 0.20}
    of_core = {"popcount": 0.2, "headline": 0.9, "instances": 0.75, "banks": 0.93, "core": 1.0,
               "chip": 1.2}
    boundaries = {}
    for name, part in of_core.items():
        energy = part * core_fj * FJ
        boundaries[name] = {
            "holds": BOUNDARIES[name], "energy_j": energy * macs, "energy_per_mac_j": energy,
            "tops_per_watt": 2e-12 / energy, "energy_per_inference_j": energy * MACS,
        }
    return {
        "boundaries": boundaries,
        "by_category_j": {name: part * core_fj * FJ * macs for name, part in parts.items()},
        "by_block_j": {
            "neuron registers": {"internal": 0, "switching": 0, "clock": 0, "leakage": 3e-13},
            "core": {"internal": 0, "switching": 0, "clock": 0, "leakage": 1e-13},
            "host port": {"internal": 0, "switching": 0, "clock": 0, "leakage": 9e-13},
        },
        "control_share_of_core": 0.08,
        "period_s": 1 / 66e6,
        "activity": {"words": f"{words} data", "weight_rows": 58, "threshold_rows": 6,
                     "simulator": "a simulator"},
        "made_by": {"rules": "rules of the test"},
    }


def point(core_fj, area_um2=120_000.0, workload="random", delays="zero", **changes):
    parameters = chip(**changes)
    return {
        "parameters": parameters, "workload": workload, "delays": delays,
        "area": {"neuron registers": {"cells": 7000, "area_um2": 70_000.0, "flip_flops": 1024},
                 "core": {"cells": 600, "area_um2": 50_000.0, "flip_flops": 100},
                 "host port": {"cells": 2000, "area_um2": 20_000.0, "flip_flops": 400}},
        "core_area_um2": area_um2,
        "cycles": 1280 * parameters["read_timing"] + 2,
        "inferences": INFERENCES, "useful_macs": MACS * INFERENCES,
        "energy": {HEADLINE: wired(core_fj, workload), IDEAL: wired(0.9 * core_fj, workload),
                   MANY: wired(1.5 * core_fj, workload)},
    }


def study():
    path = {
        "startpoint": "macro_0/q[1]", "endpoint": "core/bank_0/neuron_1/value_7/D",
        "start_block": "macro", "end_block": "neuron registers", "slack_s": 5e-9,
        "arrival_s": 9e-9, "required_s": 14e-9,
        "steps": [
            {"pin": "macro_0/clk", "cell": "m", "edge": "rise", "delay_s": 0.0, "at_s": 0.0},
            {"pin": "macro_0/q[1]", "cell": "m", "edge": "fall", "delay_s": 6e-9, "at_s": 6e-9},
            {"pin": "core/bank_0/popcount_1/g/X", "cell": "fa", "edge": "fall", "delay_s": 2e-9,
             "at_s": 8e-9},
            {"pin": "core/bank_0/neuron_1/g/X", "cell": "fa", "edge": "fall", "delay_s": 1e-9,
             "at_s": 9e-9},
        ],
    }
    scaling = Scaling.from_dict({
        "voltages_v": [1.8, 1.2, 0.7],
        "cells": {"inv_1": {"energy_j": [18e-15, 7.2e-15, 2e-15],
                            "delay_s": [1e-11, 3e-11, 1e-9]},
                  "fa_1": {"energy_j": [36e-15, 16e-15, 5e-15], "delay_s": [1e-10, 4e-10, 8e-9]}},
        "made_by": {"simulator": "ngspice 39", "models": "models of the test"},
    })
    return {
        "chip": chip(),
        "library": {"name": "cells_of_the_test", "sha256": "ab" * 32, "corner": "tt",
                    "voltage_v": 1.8, "temperature_c": 25.0, "wire_load": "Small"},
        "tools": {"yosys": "0.70"},
        "area": point(200)["area"],
        "timing": {
            "top": "chip", "style": "deferred", "read_timing": 1, "period_s": 1 / 66e6,
            "tool": "OpenSTA 2.0.17", "conditions": ["clock ideal <no tree>"],
            "corners": [{
                "corner": "cells_of_the_test", "setup_slack_s": 5e-9, "hold_slack_s": 0.4e-9,
                "minimum_period_s": 8e-9, "maximum_clock_hz": 125e6, "slack_at_maximum_s": 0.0,
                "limited_by": "logic", "endpoints": 2744, "unconstrained_endpoints": 0,
                "setup": {"worst": path, "neuron registers": path},
                "hold": {"worst": path, "neuron registers": path},
            }],
        },
        "energy": [point(200), point(250, delays="liberty"), point(400, workload="digits"),
                   point(480, workload="digits", delays="liberty")],
        "macro": {
            "sense_j": 11e-12, "supply_v": 1.8,
            "by_supply_j": {"1.8": 9e-12, "1.2": 4e-12, "0.7": 1e-12},
            "numbers": {"word_line_j": 2e-12},
        },
        "styles": [point(855, 90_000.0, style="enabled", read_timing=3),
                   point(430, 90_000.0, style="enabled"), point(200)],
        "sweep": [point(100, 60_000.0, banks=1, macros_per_bank=8, columns=32),
                  point(90, 80_000.0, banks=1, macros_per_bank=16, columns=16)],
        "scaling": scaling.as_dict(),
        "checks": {
            "gate_level": {"digits": 20, "right": 19, "simulator": "Verilator 5",
                           "compared": {"outputs": 2560}, "differences": {"outputs": 0}},
            "column": {
                "ratio": 1.1, "same_activity_ratio": 1.05, "cells": 80, "transistors": 1500,
                "counted_cycles": 18, "seconds": 33.3,
                "by_block": {"popcount": {"spice_j": 22e-12, "liberty_j": 20e-12,
                                          "same_activity_j": 21e-12}},
                "made_by": {"simulator": "ngspice 39", "models": "models of the test"},
            },
            "equivalence": [{"module": "core", "equal": True, "seconds": 1.5},
                            {"module": "host_port", "equal": True, "seconds": 0.5}],
        },
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    page, figures = write_report(study(), tmp_path_factory.mktemp("report") / "new")
    return page.read_text("utf-8"), json.loads(figures.read_text("utf-8"))


def close(value):
    return pytest.approx(value, rel=1e-9)


# Derivations --------------------------------------------------------------------------------------

def test_two_operations_a_mac():
    assert tops_per_watt(1e-12) == close(2.0)
    assert tops_per_watt(89 * FJ) == pytest.approx(22.5, rel=0.01)  # the published pair


def test_supply_and_process():
    assert supply_factor(0.9, 1.8) == close(0.25)
    assert capacitance_factor(0.7, 0.7) == close(28 / 130)
    assert capacitance_factor(0.9, 1.8) == close(28 / 130 / 4)


def test_shares_add_up():
    assert shares({"a": 1.0, "b": 3.0}) == {"a": 0.25, "b": 0.75}


def test_pareto_keeps_what_nothing_beats():
    points = [(1, 5), (2, 3), (3, 3), (4, 1), (2, 3), (5, 5)]
    assert pareto(points) == [True, True, False, True, True, False]


def test_reads_count_threshold_rows_and_all_macros():
    measured, macro = point(200), study()["macro"]
    assert senses(measured) == 20 * (58 + 6) * 4
    assert macro_sense_j(macro, 1.8) == close(11e-12)
    assert macro_sense_j(macro, 0.7) == close(1e-12 + 2e-12 * (0.7 / 1.8) ** 2)
    assert reads_per_mac_j(measured, macro, 1.8) == close(64 * 4 * 11e-12 / 14848)


def test_categories_are_of_the_core():
    parts = categories_per_mac_j(point(200), HEADLINE, 800 * FJ)
    assert list(parts) == ["control", "clock", "neuron registers", "popcount", "macro read"]
    assert parts["clock"] == close(70 * FJ) and parts["macro read"] == close(800 * FJ)
    assert "macro read" not in categories_per_mac_j(point(200))


def test_leakage_waits_for_a_slow_clock():
    # 0.4 pJ of the core in 20 inferences at 66 MHz, ten times as long at 6.6 MHz
    assert leakage_per_mac_j(point(200), 6.6e6, 0.5) == close(0.5 * 4e-12 / (20 * 14848))


def test_delay_by_block():
    path = study()["timing"]["corners"][0]["setup"]["worst"]
    assert delay_by_block(path) == {
        "macro": close(6e-9), "popcount": close(2e-9), "neuron registers": close(1e-9)}


def test_published_figures_fit_each_other():
    assert sum(PUBLISHED_SPLIT.values()) == close(1)
    by_name = {each["name"]: each for each in PUBLISHED}
    assert by_name["whole chip"]["tops_per_watt"] == pytest.approx(0.66, abs=0.001)
    assert by_name["whole chip"]["inferred"]
    # the boundary that is inferred: registers and read, without the clock
    part = PUBLISHED_SPLIT["neuron registers"] + PUBLISHED_SPLIT["read, XNOR, popcount"]
    assert 0.66 / part == pytest.approx(by_name["without control"]["tops_per_watt"], rel=0.02)


def test_aims_are_judged_as_they_came_out():
    aims = derive(study())["aims"]
    found = {(aim["what"].partition(",")[0], aim["boundary"], aim["aim"]): aim for aim in aims}
    own = found["energy per MAC at 1.8 V", "instances", 170e-15]
    assert own["values"] == {
        "ideal wires, no glitches": close(135 * FJ),
        "wire load and clock tree, no glitches": close(150 * FJ),
        "wire load and clock tree, with glitches": close(187.5 * FJ),
    }
    assert list(own["reached"].values()) == [True, True, False]
    best = found["energy per MAC at 1.8 V", "headline", 90e-15]
    assert "16 macros" in best["chip"]
    assert best["values"]["ideal wires, no glitches"] == close(72.9 * FJ)
    low = found["efficiency at 0.7 V", "core", 60]
    # 2 operations in 200 fJ x (0.7 / 1.8)^2
    assert low["values"]["wire load and clock tree, no glitches"] == close(10 / (0.7 / 1.8) ** 2)
    clock = next(aim for aim in aims if aim["unit"] == "Hz")
    assert clock["values"] == {"wire load, ideal clock": 125e6}
    assert all(clock["reached"].values())


def test_clock_and_cells_at_low_supplies():
    clocks = derive(study())["efficiency"]["clocks"]
    low = clocks[-1]
    assert low["slowest_cell"] == "inv_1" and low["delay_growth"] == close(100)
    assert low["clock_hz"] == close(1.25e6)
    assert low["energy_against_square"][0] == close(2 / 18 / (0.7 / 1.8) ** 2)


def test_projection_says_both_ways():
    projection = derive(study())["projection"]
    core = next(row for row in projection["rows"] if row["name"] == "core")
    start = 8 / (0.7 / 1.8) ** 2
    assert core["by_capacitance_tops_per_watt"] == [
        close(start * 130 / 28 * 0.49), close(start * 130 / 28)]
    assert core["by_published_ratio_tops_per_watt"] == close(start * 397 / 22.5)


def test_front_of_the_sweep():
    rows = derive(study())["sweep"]
    # read timing 3 is another throughput; numbered by area
    assert [row["core_j"] / FJ for row in rows] == [close(each) for each in (100, 90, 430, 200)]
    assert [row["on_front"] for row in rows] == [True, True, False, False]


def test_fails_are_said():
    data = study()
    data["checks"]["gate_level"]["differences"]["outputs"] = 3
    data["checks"]["column"]["ratio"] = 1.3
    data["checks"]["equivalence"][0]["equal"] = False
    passed = {each["what"]: each["passed"] for each in derive(data)["checks"]}
    assert passed == {
        "digits on the netlist": False, "a neuron column in ngspice": False,
        "netlist equal to RTL": False, "no cycle lost": True, "power against OpenSTA": None}
    data["styles"][2]["cycles"] += 1
    assert not next(e for e in derive(data)["checks"] if e["what"] == "no cycle lost")["passed"]


# The files ----------------------------------------------------------------------------------------

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that tags are balanced, and collects text, pictures, ids and links."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.pictures = [], [], []
        self.ids, self.links = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        if tag == "svg":
            self.pictures.append({"role": attributes.get("role"), "title": "", "desc": ""})

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"{tag} closes {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in ("title", "desc") and "svg" in self.open:
            self.pictures[-1][self.open[-1]] += data
        if "style" not in self.open and "svg" not in self.open:
            self.text.append(data)


def test_page_is_whole(written):
    page = Page(written[0])
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    for referred in re.findall(r'(?:aria-labelledby="([^"]*)"|url\(#([^)]*)\))', written[0]):
        assert set("".join(referred).split()) <= set(page.ids)


def test_page_needs_nothing_else(written):
    assert not re.search(r"https?:|src=|@import|<script|<link|url\((?!#)", written[0])
    assert '<meta name="viewport" content="width=device-width' in written[0]
    assert "prefers-color-scheme: dark" in written[0]


def test_pictures_have_alternatives(written):
    pictures = Page(written[0]).pictures
    assert len(pictures) >= 8
    for picture in pictures:
        assert picture["role"] == "img" and picture["title"] and picture["desc"]
    assert any("72.3" in picture["desc"] for picture in pictures)


def numbers(data):
    """All numbers and words of plain data."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield key
            yield from numbers(value)
    elif isinstance(data, list):
        for value in data:
            yield from numbers(value)
    elif data is not None and not isinstance(data, bool):
        yield data


def test_every_number_of_the_page_is_in_the_json(written):
    text, document = written
    found = list(numbers(document))
    words = " ".join(each for each in found if isinstance(each, str))
    values = [abs(each) for each in found if isinstance(each, int | float) and each]
    of_prose = {"1.8", "0.7", "10", "45", "28", "397", "15"}
    tokens = set(re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w.]*\w)",
                            " ".join(Page(text).text)))
    assert len(tokens) > 100

    def is_of_json(token):
        plain = token.replace(",", "")
        places = len(plain.partition(".")[2]) or 3 - max(3, len(plain))  # three digits, or all
        return any(abs(value * scale - float(plain)) <= 0.5001 * 10**-places
                   for value in values for scale in (1, 100, 1e15, 1e12, 1e9, 1e-6, 1e-9))

    assert {token for token in tokens
            if token not in words and token not in of_prose and not is_of_json(token)} == set()


def test_figures_are_where_they_should_be(written):
    text = " ".join(Page(written[0]).text)
    for figure in ("225", "52.9", "125", "0.120", "8.0", "0.66", "2.9", "22.5", "397", "72.3",
                   "cells_of_the_test", "ab" * 32, "20 held-out digits", "1.100 times", "248",
                   "2 of 2 modules", "python -m synthesis report --geometry jebali_2024 --style "
                   "deferred --timing 1 --borrow-split 5"):
        assert figure in text, figure
    assert text.count("not reached") >= 2 and "\u2713 reached" in text
    assert escape("clock ideal <no tree>") in written[0]


def test_same_input_same_bytes(tmp_path, written):
    data = study()
    before = copy.deepcopy(data)
    data["checks"]["column"]["seconds"] = 77.7  # how long it took is not what it says
    page, figures = write_report(data, tmp_path)
    assert page.name == "report.html" and figures.name == "report.json"
    assert page.read_text("utf-8") == written[0]
    assert json.loads(figures.read_text("utf-8")) == written[1]
    before["checks"]["column"]["seconds"] = 77.7
    assert data == before


def test_report_with_what_is_missing_elsewhere(tmp_path):
    data = study()
    data["timing"] = {"missing": "There is no OpenSTA (sta) here"}
    data["checks"] = {"column": {"missing": "There is no ngspice here"}}
    data["energy"] = data["energy"][:1]
    page, figures = write_report(data, tmp_path)
    text = page.read_text("utf-8")
    Page(text)
    assert "Timing is missing: There is no OpenSTA" in text
    assert "There is no ngspice here" in text and "not run" in text
    assert "not measured. There is no OpenSTA" in text
    derived = json.loads(figures.read_text("utf-8"))["derived"]
    assert derived["headline"]["maximum_clock_hz"] is None


def test_report_on_another_geometry(tmp_path):
    data = study()
    data["energy"] = [point(300, rows=32, columns=32), point(350, rows=32, columns=32,
                                                             delays="liberty")]
    data["chip"] = chip(rows=32, columns=32)
    page, figures = write_report(data, tmp_path)
    aims = json.loads(figures.read_text("utf-8"))["derived"]["aims"]
    # the aim is of the published geometry: the best style of the table
    assert aims[0]["chip"].startswith("deferred, 2 macros of 64 x 64")
    assert "synthesis.study.study(parameters)" in page.read_text("utf-8")


# In a browser -------------------------------------------------------------------------------------

def browser():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("there is no Chromium here: install your system's chromium package")
    return found


@pytest.mark.parametrize("width", [360, 1200])
def test_no_sideways_scrolling(written, tmp_path, width):
    program = browser()
    # In a frame, because a headless window is not always as narrow as asked for.
    (tmp_path / "frame.html").write_text(
        f"""<!DOCTYPE html><body><iframe id="frame" style="border:0;width:{width}px;height:900px"
        srcdoc="{escape(written[0])}"></iframe><p id="answer">none</p><script>
        document.getElementById("frame").onload = event => {{
          const inner = event.target.contentDocument, box = inner.querySelector(".scroll");
          document.getElementById("answer").textContent = [
            inner.scrollingElement.scrollWidth, inner.scrollingElement.scrollHeight > 3000,
            box.scrollWidth > box.clientWidth, inner.querySelectorAll("svg").length,
          ].join(" ");
        }};</script>""", "utf-8")
    try:
        run = subprocess.run(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000",
             "--dump-dom", (tmp_path / "frame.html").as_uri()],
            capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{program} does not finish here")
    answer = re.search(r'<p id="answer">([^<]*)</p>', run.stdout)
    assert answer and answer[1] != "none", run.stderr[-2000:]
    wide, long, scrolls, pictures = answer[1].split()
    assert int(wide) <= width
    assert long == "true" and int(pictures) >= 8
    if width == 360:
        assert scrolls == "true"  # wide tables do, in their own box
