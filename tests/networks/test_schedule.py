"""Schedules by hand-made counts, and energy by a cost table."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from behavioral_models.geometry import (
    HELIOBIT,
    HELIOBIT_WIDE,
    JEBALI_2024,
    ChipGeometry,
    preset,
)
from behavioral_models.protocol import default_timing
from networks.form import Network, Output
from networks.importing import find_network, load_network
from networks.mapping import compile
from networks.executor import EXECUTORS, open_entry
from networks.runtime import run
from networks.schedule import FOLDER, Costs, energy, plan, programming_time_s
from tests.needs import need
from tests.networks.random_networks import convolutional, data, multilayer

ROOT = Path(__file__).parents[2]

WIDE = ChipGeometry(2, 16, 64, 64, 1024, 4)

#: Hidden layer of the published chip: 116 x 128 in one pass; one column of 128 stays free.
PUBLISHED = compile(multilayer(0, (116, 127, 1), always=0), JEBALI_2024)


def full_layer():
    """116 inputs with a threshold of 116, which takes 6 threshold rows, then 10 of 64."""
    network = multilayer(0, (116, 64, 10), always=0)
    levels = np.minimum(network.layers[0].thresholds, 116)
    levels[0, 0] = 116
    hidden = type(network.layers[0])("hidden", network.layers[0].weights, levels)
    output = Output("output", network.layers[1].weights, np.arange(10))
    return compile(Network((hidden, output), (116,)), HELIOBIT)


def test_counts_of_two_layers_on_one_image():
    program = full_layer()
    schedule = plan(program, inferences=100, clock_hz=10e6, read_timing=2)
    hidden, output = schedule.layers
    # one bank of two macros, 6 + 58 rows; the first pass's pipeline empties once
    assert (hidden.passes, hidden.row_operations, hidden.macro_row_operations) == (1, 64, 128)
    assert hidden.cycles == 100 * 64 * 2 + 1
    assert hidden.macs == 116 * 64 and hidden.sensed_cells == 128 * 64
    # slots of 2 bits, four a byte, 58 of them; one bank's output bits
    assert (hidden.input_bytes, hidden.output_bytes) == (15, 8)
    assert (hidden.preload_bytes, hidden.readout_bytes) == (0, 0)
    # thresholds 0 to 9 over two macros: 3 bits; 64 inputs in two macros: 32 rows
    assert (output.row_operations, output.macro_row_operations) == (35, 70)
    # with readout each pass drains, and 64 registers of 2 bytes take a cycle a byte
    assert output.cycles == 100 * (35 * 2 + 1 + 128)
    assert (output.input_bytes, output.readout_bytes, output.output_bytes) == (8, 128, 8)
    assert output.argmax_operations == 10 and output.host_operations == 10
    assert schedule.images == 1 and schedule.resident and schedule.programmings == 1
    assert schedule.stored_share == (116 * 64 + 64 * 10) / (4 * 64 * 64)
    assert schedule.useful_share == (116 * 64 + 64 * 10) / (198 * 64)
    assert schedule.programmed_memristors == HELIOBIT.memristors
    # weight rows take longer than their bytes; registers wait for 8 bytes of output bits
    assert hidden.wait_cycles == 0 and output.wait_cycles == 100 * 8
    assert (hidden.bank_row_operations, output.bank_row_operations) == (64, 35)
    cycles = schedule.total("cycles") + schedule.total("wait_cycles")
    expected = cycles / 10e6 + programming_time_s(HELIOBIT, 10e6)
    assert schedule.time_s == pytest.approx(expected)


def test_programming_takes_what_the_pulses_take():
    """32,768 memristors, 6 us each and 50 ns before and after; rails change twice a row."""
    clock = 100e6
    assert default_timing(clock)["set_pulse"] == 600
    expected = 32_768 * 6.1e-6 + 4 * 64 * 2 * 0.2e-6
    assert programming_time_s(HELIOBIT, clock) == pytest.approx(expected)


def test_majority_and_pooling_are_the_hosts():
    network = convolutional(
        0, (6, 8, 8), [{"filters": 4, "kernel": (3, 3), "votes": 3, "pool": (2, 2)}], 3, always=0)
    first = plan(compile(network, HELIOBIT)).layers[0]
    assert (first.mapping, first.places, first.votes, first.parts) == ("majority", 36, 3, 3)
    assert first.vote_operations == 36 * 4 * 3 and first.pool_operations == 36 * 4
    assert first.macs == 36 * 54 * 4


def test_chunks_pay_for_preload_and_readout():
    program = compile(multilayer(0, (200, 64, 3), 2, always=0), HELIOBIT)
    first = plan(program, inferences=1).layers[0]
    assert (first.mapping, first.parts, first.passes) == ("chained", 2, 4)
    assert first.preload_bytes == 3 * 64 * 2 and first.readout_bytes == 3 * 64 * 2


@pytest.mark.parametrize("chips", [1, 2, 3, 9, 10, 50])
def test_images_on_chips(chips):
    program = compile(multilayer(0, (784, 1102, 64, 10), 4, [1, 19], always=0), WIDE)
    assert len(program.images) == 10
    schedule = plan(program, chips, inferences=200, batch=100)
    alone = plan(program, 1, inferences=200, batch=100)
    assert schedule.total("cycles") == alone.total("cycles")
    # nine images of the first layer run at once where there are chips for them
    first = schedule.layers[0]
    assert first.parallel_cycles * 9 == pytest.approx(first.cycles * -(-9 // chips))
    assert schedule.resident == (chips >= 10)
    assert schedule.programmings == (10 if chips >= 10 else {1: 20, 2: 20, 3: 20, 9: 12}[chips])
    assert schedule.programmed_rows == schedule.programmings * 32 * 64
    assert schedule.time_s <= alone.time_s


def test_chips_beyond_the_images_cost_no_time():
    """A plan took time and memory by the number of chips, idle ones too."""
    program = compile(multilayer(0, (300, 131, 10), 3), HELIOBIT)
    many, enough = (plan(program, chips) for chips in (10**12, len(program.images)))
    assert many.chips == 10**12 and many.layers == enough.layers
    assert (many.time_s, many.programmings) == (enough.time_s, enough.programmings)


def test_waits_for_the_host_port():
    """16 macros a bank: a weight row takes two bytes, and the port gives one a cycle."""
    program = compile(multilayer(0, (784, 64, 10), 4, always=0), WIDE)
    (run,) = program.layers[0].runs
    assert (run.pass_config.weight_rows, run.pass_config.counted_planes) == (49, 4)
    waits = [plan(program, inferences=10, read_timing=t).layers[0].wait_cycles for t in (1, 2, 3)]
    assert waits == [10 * 4 * 49, 0, 0]
    schedule = plan(program, inferences=10)
    assert schedule.as_dict()["wait_cycles_per_inference"] == schedule.wait_cycles_per_inference
    assert schedule.as_dict()["total"]["wait_cycles"] == 10 * schedule.wait_cycles_per_inference
    cycles = schedule.total("cycles") + schedule.total("wait_cycles")
    programming = schedule.programmings * programming_time_s(WIDE, schedule.clock_hz)
    assert schedule.time_s == pytest.approx(cycles / schedule.clock_hz + programming)


#: Few rows, so that the simulator is built soon; slots of two bytes.
SMALL_WIDE = ChipGeometry(2, 16, 16, 8, 1024, 4)


@pytest.mark.parametrize("read_timing", [1, 2])
def test_cycles_and_waits_are_those_of_the_rtl(read_timing):
    need("verilator")
    need("yosys")
    network = multilayer(0, (200, 48, 30, 10), 4, [1, 5], always=0)
    program = compile(network, SMALL_WIDE)
    settings = {"geometry": SMALL_WIDE, "read_timing": read_timing}
    with open_entry(EXECUTORS, "rtl", **settings) as chip:
        made = run(program, chip, data(0, network, 30))
    planned = plan(program, inferences=30, read_timing=read_timing)
    assert made.cycles == planned.total("cycles")
    expected = made.cycles + planned.total("wait_cycles")
    assert made.cycles + made.wait_cycles == pytest.approx(expected, rel=0.05)
    if read_timing == 1:
        assert made.wait_cycles == pytest.approx(planned.total("wait_cycles"), rel=0.1)


def test_one_chip_works_in_no_parallel():
    schedule = plan(compile(multilayer(0, (300, 131, 10), 3), HELIOBIT))
    assert schedule.parallel_cycles_per_inference == schedule.cycles_per_inference
    assert plan(compile(multilayer(0, (300, 131, 10), 3), HELIOBIT), 99).resident


def test_as_dict_is_json_and_has_totals():
    schedule = plan(compile(multilayer(0, (300, 131, 10), 3), HELIOBIT), 3)
    figures = json.loads(json.dumps(schedule.as_dict()))
    assert figures["total"]["cycles"] == schedule.total("cycles")
    assert figures["total"]["transfer_bytes"] == sum(
        layer["transfer_bytes"] for layer in figures["layers"])
    assert figures["geometry"]["columns"] == 64 and figures["resident"] is False


def test_as_text_names_every_layer_and_the_plan():
    text = plan(compile(multilayer(0, (300, 131, 10), 3), HELIOBIT), 3).as_text()
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["layer", "hidden_0", "output", "all"]
    assert "300 x 131" in lines[1] and "chained" in lines[1]
    assert "on 3 chips (swapped in turn)" in text
    resident = plan(full_layer()).as_text()
    assert "1 image on 1 chip (each stays programmed): 1 programming, 256 rows" in resident
    assert max(len(line) for line in lines) <= 120


@pytest.mark.parametrize(
    "options, message",
    [
        ({"chips": 0}, "A plan needs at least one of chips, not 0"),
        ({"inferences": 1.5}, "A plan needs at least one of inferences, not 1.5"),
        ({"read_timing": 4}, "Read timing must be 1, 2 or 3"),
        ({"clock_hz": 1e11}, "the form pulse would be"),
        ({"batch": -1}, "A batch has at least one inference, not -1"),
    ],
)
def test_plans_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        plan(PUBLISHED, **options)


# Energy


def published(**changes):
    """Energy of the published chip's layer, as published but for some changes of the plan."""
    settings = {"inferences": 10_000, "read_timing": 3, "clock_hz": 10e6} | changes
    return energy(plan(PUBLISHED, **settings), Costs.load("jebali_2024"))


def test_the_published_chip_takes_what_is_published():
    """45 nJ per whole-chip inference of 116 x 128 at 0.7 V (Jebali 2024), at our 3 cycles a row."""
    config = next(PUBLISHED.layers[0].runs).pass_config
    assert (config.row_operations, len(config.macros)) == (64, 4)
    spent = published()
    assert spent.layers_j["hidden_0"] == pytest.approx(45e-9, rel=1e-4)
    assert spent.extrapolated == () and spent.as_dict()["extrapolated"] == []


def test_the_published_shares_are_the_tables():
    """6.5 % read, XNOR and popcount, 16 % registers, the rest clock and control (Jebali 2024)."""
    costs, chip = Costs.load("jebali_2024"), JEBALI_2024
    assert (costs.geometry, costs.vdd_v, costs.clock_hz, costs.read_timing) == (chip, 0.7, 10e6, 3)
    assert 64 * 4 * 64 * costs.energy_per_sensed_cell_j == pytest.approx(0.065 * 45e-9)
    assert 64 * 128 * costs.energy_per_register_operation_j == pytest.approx(0.16 * 45e-9)
    assert 64 * 3 * costs.energy_per_cycle_j == pytest.approx(0.775 * 45e-9)


def test_another_read_timing_is_said_to_be_extrapolated():
    """One cycle a row gives 21.8 nJ where 45 are published: that must not look published."""
    spent = published(read_timing=1)
    assert spent.layers_j["hidden_0"] == pytest.approx(45e-9 * (0.225 + 0.775 / 3), rel=1e-3)
    (said,) = spent.extrapolated
    assert said == (
        "Control and clock are taken per cycle, from 3 cycles a row, here 1: if they go with rows, "
        "they take 3 times as much a row.")
    assert spent.as_dict()["extrapolated"] == [said]


def test_a_faster_clock_is_said_to_be_extrapolated():
    (said,) = published(clock_hz=66e6).extrapolated
    assert said.startswith("The supply is 0.7 V, measured at 10 MHz, here 66 MHz: ")


@pytest.mark.parametrize(
    "geometry, words",
    [
        (HELIOBIT, ["8 bits that counts 2 XNORs does, here 15 bits and up to 2."]),
        (HELIOBIT_WIDE, [
            "a chip of 4 macros, 2 banks and 64 columns, here 32 macros, 2 banks and 64 columns.",
            "8 bits that counts 2 XNORs does, here 15 bits and up to 16."]),
        (ChipGeometry(1, 2, 32, 8, 116), [
            "a chip of 4 macros, 2 banks and 64 columns, here 2 macros, 1 bank and 8 columns.",
            "A bit cell takes what one of a macro of 64 x 64 does, here 32 x 8."]),
    ],
)  # fmt: skip
def test_other_chips_are_said_to_be_extrapolated(geometry, words):
    program = compile(multilayer(0, (20, 6, 3), always=0), geometry)
    schedule = plan(program, inferences=1, clock_hz=10e6, read_timing=3)
    said = energy(schedule, Costs.load("jebali_2024")).extrapolated
    assert len(said) == len(words)
    for sentence, end in zip(said, words, strict=True):
        assert sentence.endswith(end)


@pytest.mark.parametrize("macros", [2, 16])
@pytest.mark.parametrize("columns", [8, 64])
def test_registers_cost_by_bank_and_cells_by_macro(macros, columns):
    """One layer of one bank: 16 macros sense more cells a row, but count into as many registers."""
    geometry = ChipGeometry(1, macros, 64, columns, 1024)
    program = compile(multilayer(0, (58 * macros, columns, 1), always=0), geometry)
    config = next(program.layers[0].runs).pass_config
    assert len(config.macros) == macros
    costs = Costs("mine", "", geometry, 1.0, 1e6, 1, 1.0, 1e6, 0.0, 0.0, 0.0, 0.0)
    spent = energy(plan(program, inferences=1, clock_hz=1e6), costs)
    rows = config.row_operations * columns
    assert spent.layers_j["hidden_0"] == rows * macros + rows * 1e6
    assert spent.rows_j == spent.cells_j + spent.registers_j == spent.as_dict()["rows_j"]


def test_energy_adds_up():
    costs = Costs("mine", "", HELIOBIT, 1.0, 1e6, 1, 1.0, 7.0, 100.0, 1e4, 1e6, 3.0)
    schedule = plan(full_layer(), inferences=10)
    spent = energy(schedule, costs)
    assert spent.cells_j == 198 * 64
    assert spent.registers_j == 7 * (64 + 35) * 64
    assert spent.cycles_j == pytest.approx(schedule.cycles_per_inference * 100)
    assert spent.transfers_j == 1e4 * (15 + 8 + 8 + 128 + 8)
    assert spent.host_j == 1e7
    assert spent.programming_j == 3 * 32_768
    assert sum(spent.layers_j.values()) == pytest.approx(spent.inference_j)
    assert spent.as_dict()["inference_j"] == spent.inference_j


@pytest.mark.parametrize("geometry", ["heliobit_wide", "heliobit"])
@pytest.mark.parametrize("name", ["mnist_1102_64_majority", "mnist_1024_1024"])
def test_energies_of_the_networks_page(name, geometry):
    program = compile(load_network(find_network(name)), preset(geometry))
    costs = Costs.load("jebali_2024")
    spent = energy(plan(program, clock_hz=costs.clock_hz), costs)
    line = (
        f"| `{name}` | `{geometry}` | {1e6 * spent.inference_j:.3g} uJ | "
        f"{spent.cycles_j / spent.inference_j:.0%} |")
    assert line in (ROOT / "docs" / "networks.md").read_text()


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda file: file.stem)
def test_every_cost_table_is_sound(file):
    assert Costs.load(file.stem) == replace(Costs.load(file), name=file.stem)
    assert Costs.load(file).about


GOOD = 'geometry = "tiny"\nvdd_v = 1\nclock_hz = 5e6\nread_timing = 2\n' + "\n".join(
    f'{name} = {{ value = 1, source = "measured", note = "" }}'
    for name in (
        "energy_per_sensed_cell_j", "energy_per_register_operation_j", "energy_per_cycle_j",
        "energy_per_transfer_byte_j",
        "energy_per_host_operation_j", "energy_per_programmed_memristor_j")
)  # fmt: skip


def test_a_table_of_ones(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(GOOD)
    assert Costs.load(file).energy_per_cycle_j == 1.0


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('geometry = "tiny"\n', "", "own.toml does not say what it holds for: geometry is missing"),
        ('"tiny"', '"small"', "own.toml: There is no geometry preset 'small'"),
        ("vdd_v = 1", "vdd_v = 0", "own.toml: vdd_v must be more than 0, not 0"),
        ("clock_hz = 5e6", "clock_hz = true", "own.toml: clock_hz must be more than 0, not True"),
        ("read_timing = 2", "read_timing = 4", "own.toml: read_timing must be 1, 2 or 3, not 4"),
        ("value = 1", 'value = "1"', "energy_per_sensed_cell_j must be at least 0, not '1'"),
        ("value = 1", "value = -1", "energy_per_sensed_cell_j must be at least 0, not -1"),
        ("value = 1", "value = nan", "energy_per_sensed_cell_j must be at least 0, not nan"),
        ('source = "measured", ', "", "energy_per_sensed_cell_j must be { value, source, note }"),
        ('"measured"', '"none"', "'none' only with 0, not 'none'"),
        ('"measured"', '"guessed"', "must be one of cited, inferred, measured, none"),
        ("energy_per_cycle_j", "energy_per_cycle", "there is no cost energy_per_cycle; known are"),
        ("{", "[", "own.toml is not TOML"),
    ],
)
def test_tables_that_are_not_sound(tmp_path, old, new, message):
    file = tmp_path / "own.toml"
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        Costs.load(file)


def test_missing_tables(tmp_path):
    with pytest.raises(ValueError, match="There is no cost table 'abacus'; choose one of jebali"):
        Costs.load("abacus")
    with pytest.raises(ValueError, match="Cannot read the cost table"):
        Costs.load(tmp_path / "none.toml")
    (tmp_path / "short.toml").write_text("\n".join(GOOD.splitlines()[:4]))
    with pytest.raises(ValueError, match="energy_per_sensed_cell_j must be"):
        Costs.load(tmp_path / "short.toml")
