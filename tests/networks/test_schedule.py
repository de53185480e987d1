"""Schedules by hand-made counts, and energy by a cost table."""

import json

import numpy as np
import pytest

from behavioral_models.geometry import HELIOBIT, JEBALI_2024, ChipGeometry
from behavioral_models.protocol import default_timing
from networks.form import Network, Output
from networks.mapping import compile
from networks.schedule import FOLDER, Costs, energy, plan, programming_time_s
from tests.networks.random_networks import convolutional, multilayer

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
    expected = schedule.total("cycles") / 10e6 + programming_time_s(HELIOBIT, 10e6)
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


def test_the_published_chip_takes_what_is_published():
    """45 nJ per whole-chip inference of 116 x 128 at 0.7 V (Jebali 2024), at our 3 cycles a row."""
    program = PUBLISHED
    config = next(program.layers[0].runs).pass_config
    assert (config.row_operations, len(config.macros)) == (64, 4)
    spent = energy(plan(program, inferences=10_000, read_timing=3), Costs.load("jebali_2024"))
    assert spent.layers_j["hidden_0"] == pytest.approx(45e-9, rel=1e-4)


def test_energy_adds_up():
    costs = Costs("mine", "", 1.0, 100.0, 1e4, 1e6, 3.0)
    schedule = plan(full_layer(), inferences=10)
    spent = energy(schedule, costs)
    assert spent.rows_j == 198
    assert spent.cycles_j == pytest.approx(schedule.cycles_per_inference * 100)
    assert spent.transfers_j == 1e4 * (15 + 8 + 8 + 128 + 8)
    assert spent.host_j == 1e7
    assert spent.programming_j == 3 * 32_768
    assert sum(spent.layers_j.values()) == pytest.approx(spent.inference_j)
    assert spent.as_dict()["inference_j"] == spent.inference_j


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda file: file.stem)
def test_every_cost_table_is_sound(file):
    assert Costs.load(file.stem) == Costs(file.stem, *list(vars(Costs.load(file)).values())[1:])
    assert Costs.load(file).about


GOOD = "\n".join(
    f'{name} = {{ value = 1, source = "measured", note = "" }}'
    for name in (
        "energy_per_row_operation_j", "energy_per_cycle_j", "energy_per_transfer_byte_j",
        "energy_per_host_operation_j", "energy_per_programmed_memristor_j")
)  # fmt: skip


def test_a_table_of_ones(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(GOOD)
    assert Costs.load(file).energy_per_cycle_j == 1.0


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("value = 1", 'value = "1"', "energy_per_row_operation_j must be at least 0, not '1'"),
        ("value = 1", "value = -1", "energy_per_row_operation_j must be at least 0, not -1"),
        ("value = 1", "value = nan", "energy_per_row_operation_j must be at least 0, not nan"),
        ('source = "measured", ', "", "energy_per_row_operation_j must be { value, source, note }"),
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
    (tmp_path / "short.toml").write_text('about = "nothing"')
    with pytest.raises(ValueError, match="energy_per_row_operation_j must be"):
        Costs.load(tmp_path / "short.toml")
