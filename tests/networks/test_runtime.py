"""Compiled networks run: every preactivation and bit as the form has it, on every geometry."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import HELIOBIT, JEBALI_2024, TINY, ChipGeometry
from behavioral_models.macro import read_table
from hdl.parameters import ChipParameters
from networks import runtime
from networks.form import Output, evaluate, layer_sums
from networks.mapping import MappingError, compile
from networks.runtime import PreactivationErrors, run
from networks.schedule import plan
from sim.verilated import VerilatedChip
from tests.needs import need
from tests.networks.random_networks import convolutional, data, multilayer

WIDE = ChipGeometry(2, 16, 64, 64, 1024, 4)
ONE_BANK = ChipGeometry(1, 2, 20, 10, 300, 8)
THREE_BANKS = ChipGeometry(3, 3, 24, 7, 400, 3)
TALL = ChipGeometry(2, 2, 256, 16, 2048, 8)
ONE_MACRO = ChipGeometry(1, 1, 12, 1, 64, 3)

SPARSE = {"always": 0.02}
POOLED = {"filters": 9, "kernel": (3, 3), "pool": (2, 2), "padding": (1, 1)}

CASES = {
    "one neuron": (multilayer(0, (1, 1, 1)), ONE_MACRO),
    "one layer, one neuron": (multilayer(1, (30, 1), planes=3), ONE_MACRO),
    "one macro, one column": (multilayer(2, (40, 3, 2)), ONE_MACRO),
    "published chip": (multilayer(3, (116, 128, 10), always=0), JEBALI_2024),
    "published chip, fills no block": (multilayer(4, (67, 70, 9, 3)), JEBALI_2024),
    "published blocks": (multilayer(5, (522, 64, 10), votes=[9], always=0), JEBALI_2024),
    "chunks": (multilayer(6, (300, 131, 10)), HELIOBIT),
    "chunks, plane-major": (multilayer(7, (300, 131, 70, 10), planes=4), HELIOBIT),
    "top planes of eight bits": (multilayer(8, (150, 70, 10), planes=4, input_bits=8), HELIOBIT),
    "one chunk, plane-major": (
        multilayer(28, (7, 1, 1), 3, always=1.0), ChipGeometry(1, 3, 8, 1, 5, 3)),
    "votes behind exact": (multilayer(9, (100, 161, 30, 5), 4, [1, 3]), HELIOBIT),
    "votes of planes": (multilayer(10, (120, 80, 9, 4), 3, [3, 3], **SPARSE), HELIOBIT),
    "many votes": (multilayer(11, (99, 33, 4), votes=[33]), HELIOBIT),
    "wide bank": (multilayer(12, (784, 100, 64, 10), 4, [1, 3]), WIDE),
    "wide bank, chunks": (multilayer(13, (2000, 70, 10), 3), WIDE),
    "one bank, eight planes": (multilayer(14, (37, 23, 5), 8, input_bits=8), ONE_BANK),
    "one bank, votes": (multilayer(15, (30, 23, 5), 2, [5]), ONE_BANK),
    "three banks": (multilayer(16, (150, 40, 17, 6), 3, [1, 3]), THREE_BANKS),
    "three banks, two planes": (multilayer(17, (150, 20, 3), 2), THREE_BANKS),
    "tall macros": (multilayer(18, (900, 50, 20, 5), 8, [1, 3]), TALL),
    "smallest chip": (multilayer(19, (9, 7, 5, 3)), TINY),
    "smallest chip, planes": (multilayer(20, (8, 5, 3), 2), TINY),
    "smallest chip, votes": (multilayer(21, (9, 7, 3), 2, [9], always=0), TINY),
    "convolution": (
        convolutional(22, (3, 8, 7), [POOLED, {"filters": 5, "kernel": (2, 2)}], 4, 4), HELIOBIT),
    "convolution, always firing before padding": (
        convolutional(23, (1, 9, 9), [POOLED, {**POOLED, "pool_ceil": True}], 4, 2, always=0.4),
        HELIOBIT),
    "convolution, stride, chunks": (
        convolutional(24, (20, 7, 9), [
            {"filters": 70, "kernel": (3, 3), "stride": (2, 3), "pool": (2, 1), "pool_ceil": True}],
            5, 3, hidden=9), HELIOBIT),
    "six whole kernels in a block": (
        convolutional(25, (18, 6, 6), [
            {"filters": 70, "kernel": (3, 3), "padding": (1, 1), "votes": 3, "pool": (3, 3)}], 5,
            always=0), HELIOBIT),
    "one dimension": (
        convolutional(26, (12, 1, 60), [
            {"filters": 8, "kernel": (1, 7), "stride": (1, 2), "padding": (0, 3), "pool": (1, 3)},
            {"filters": 6, "kernel": (1, 3)}], 2, 4, hidden=9), WIDE),
    "convolution on three banks": (
        convolutional(27, (2, 6, 6), [POOLED], 3, 3, hidden=20), THREE_BANKS),
}  # fmt: skip


def check(network, geometry, inputs, executor=None, **options):
    """Run and hold everything against the form: preactivations, predictions, hidden bits."""
    program = compile(network, geometry)
    executor = executor or GoldenChip(geometry)
    result = run(program, executor, inputs, collect_layers=True, **options)
    expected = evaluate(network, inputs)
    assert result.preactivations.dtype == np.int64
    assert (result.preactivations == expected.preactivations).all()
    assert (result.predictions == expected.predictions).all()
    hidden = iter(evaluate(program.network, inputs).hidden)
    values = program.network.check_data(inputs)
    for layer, made in zip(program.network.layers, result.layers, strict=True):
        assert made.name == layer.name
        sums = layer_sums(layer, layer.rows(values))
        thresholds = np.maximum(layer.thresholds, -1)  # -1 is 0 and one row that always counts
        always = thresholds < 0
        extra = (1 << layer.planes) - 1
        expected_sums = np.where(always, sums + extra, sums - thresholds)
        assert (made.preactivations == expected_sums).all()
        if not isinstance(layer, Output):
            values = next(hidden)
            assert (made.outputs == values).all()
    plain = run(program, executor, inputs, **options)
    assert (plain.preactivations == result.preactivations).all() and plain.layers is None
    return program, plain


@pytest.mark.parametrize("name", CASES)
def test_answers_are_the_forms(name):
    network, geometry = CASES[name]
    program, result = check(network, geometry, data(0, network, 12))
    schedule = plan(program, inferences=12)
    assert result.cycles == schedule.total("cycles")
    assert result.layer_cycles == {layer.name: layer.cycles for layer in schedule.layers}
    assert result.loads == schedule.programmings


def test_the_cases_cover_what_they_are_for():
    """Every kind of pass and placement that the mapper knows."""
    programs = [compile(*case) for case in CASES.values()]
    configs = [run.pass_config for p in programs for layer in p.layers for run in layer.runs]
    assert {config.planes for config in configs} >= {1, 2, 3, 4, 8}
    assert any(config.begin_with_shift for config in configs)
    assert {config.configuration.name for config in configs} == {"SINGLE_LAYER", "TWO_LAYER"}
    alone = compile(*CASES["one chunk, plane-major"]).layers[0]
    assert (alone.parts, len(alone.stages)) == (1, 3)
    assert any((layer.thresholds < 0).any() for p in programs for layer in p.network.layers)


@st.composite
def networks(draw):
    """Random chips, and random dense networks of one to three layers."""
    geometry = ChipGeometry(
        banks=draw(st.integers(1, 3)),
        macros_per_bank=draw(st.integers(1, 5)),
        rows=draw(st.integers(4, 30)),
        columns=draw(st.integers(1, 9)),
        max_inputs=draw(st.integers(5, 200)),
        max_planes=draw(st.integers(1, 8)),
    )
    planes = draw(st.integers(1, geometry.max_planes))
    widths = draw(st.lists(st.integers(1, 40), min_size=2, max_size=4))
    votes = [
        draw(st.sampled_from([v for v in (1, 1, 3, 5, 7) if v <= width])) for width in widths[:-2]
    ]
    seed = draw(st.integers(0, 1000))
    return multilayer(seed, widths, planes, votes), geometry, draw(st.sampled_from([None, 3]))


@settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(networks())
def test_random_networks_on_random_chips(case):
    """Right, or refused by the name of a layer; refused only if something is out of reach."""
    network, geometry, weight_rows = case
    try:
        program = compile(network, geometry, weight_rows)
    except MappingError as error:
        assert str(error).split(":")[0] in [layer.name for layer in network.layers]
        assert any(
            len(layer.matrix) * (2**layer.planes - 1) > geometry.max_sum
            or np.ptp(layer.thresholds) > geometry.max_sum  # of the output, lifted
            or layer.votes > 1
            or len(layer.matrix) * (2**layer.planes - 1) >> geometry.rows - 1
            for layer in network.layers)  # fmt: skip
        return
    inputs = data(1, network, 5)
    result = run(program, GoldenChip(geometry), inputs)
    assert (result.preactivations == evaluate(network, inputs).preactivations).all()
    assert result.cycles == plan(program, inferences=5).total("cycles")


@pytest.mark.parametrize("read_timing", [1, 2, 3])
@pytest.mark.parametrize("batch", [None, 1, 5, 12, 100])
def test_batches_change_loads_and_cycles_as_planned(batch, read_timing):
    network, geometry = CASES["chunks, plane-major"]
    inputs = data(0, network, 12)
    program = compile(network, geometry)
    result = run(program, GoldenChip(geometry, read_timing), inputs, batch=batch)
    assert (result.preactivations == evaluate(network, inputs).preactivations).all()
    schedule = plan(program, inferences=12, read_timing=read_timing, batch=batch)
    assert result.cycles == schedule.total("cycles")
    assert result.loads == schedule.programmings


def test_calls_are_bounded(monkeypatch):
    network, geometry = CASES["convolution"]
    inputs = data(0, network, 12)
    program = compile(network, geometry)
    monkeypatch.setattr(runtime, "CALL_PASSES", 100)
    result = run(program, GoldenChip(geometry), inputs)
    assert (result.preactivations == evaluate(network, inputs).preactivations).all()
    assert result.cycles == plan(program, inferences=12).total("cycles")
    monkeypatch.setattr(runtime, "BATCH_BYTES", 50_000)
    few = run(program, GoldenChip(geometry), inputs)
    assert (few.preactivations == result.preactivations).all()
    assert few.cycles > result.cycles
    assert few.cycles == plan(program, inferences=12).total("cycles")


class Counting(GoldenChip):
    """A golden chip that counts what is loaded, and how."""

    def __init__(self, geometry):
        super().__init__(geometry)
        self.loaded = []

    def load(self, image):
        self.loaded.append("load")
        super().load(image)


class BackDoor(Counting):
    def load_backdoor(self, image):
        self.loaded.append("back door")
        GoldenChip.load_table(self, read_table(image))


def test_images_are_loaded_once_a_stage():
    network, geometry = CASES["published blocks"]
    program = compile(network, geometry)
    chip = Counting(geometry)
    run(program, chip, data(0, network, 5))
    assert len(program.images) == 3 and chip.loaded == ["load"] * 3


def test_a_single_image_is_loaded_once_or_not_at_all():
    network = multilayer(0, (60, 30, 5), always=0)
    program = compile(network, HELIOBIT)
    assert len(program.images) == 1
    chip = BackDoor(HELIOBIT)
    inputs = data(0, network, 9)
    assert run(program, chip, inputs, batch=2).loads == 1
    assert chip.loaded == ["back door"]
    again = run(program, chip, inputs, batch=2, loaded=0)
    assert again.loads == 0 and chip.loaded == ["back door"]
    assert (again.preactivations == evaluate(network, inputs).preactivations).all()


def test_read_tables_take_the_place_of_images():
    """A table with errors gives what its bits say: here, all that one bank reads is inverted."""
    network = multilayer(0, (60, 30, 5), always=0)
    program = compile(network, HELIOBIT)
    tables = np.stack([read_table(image) for image in program.images])
    inputs = data(0, network, 9)
    chip = Counting(HELIOBIT)
    result = run(program, chip, inputs, tables)
    assert chip.loaded == []
    assert (result.preactivations == evaluate(network, inputs).preactivations).all()
    wrong = run(program, chip, inputs, [~tables[0]])
    assert (wrong.preactivations != result.preactivations).any()


def test_progress_tells_of_every_pass():
    network, geometry = CASES["convolution"]
    program = compile(network, geometry)
    told = []
    run(program, GoldenChip(geometry), data(0, network, 4), progress=told.append)
    assert sum(told) == 4 * program.passes


def test_no_data():
    network, geometry = CASES["convolution"]
    program = compile(network, geometry)
    nothing = data(0, network, 0)
    result = run(program, GoldenChip(geometry), nothing, collect_layers=True)
    assert result.preactivations.shape == (0, 4) and result.predictions.shape == (0,)
    assert result.cycles == 0 and result.loads == 0
    assert [len(layer.preactivations) for layer in result.layers] == [0] * 3


# Errors by preactivation


def test_certain_errors_flip_exactly_what_the_table_says():
    network = multilayer(0, (40, 30, 20, 5), votes=[3, 1], always=0)
    program = compile(network, HELIOBIT)
    inputs = data(0, network, 30)
    clean = run(program, GoldenChip(HELIOBIT), inputs, collect_layers=True)
    errors = PreactivationErrors({0: 1.0, 1: 1.0})
    result = run(
        program, GoldenChip(HELIOBIT), inputs, collect_layers=True, corrupt=errors,
        corrupt_layers=["hidden_0"])  # fmt: skip
    first = clean.layers[0].preactivations
    flipped = (first > 0) ^ ((first == 0) | (first == 1))
    assert (result.layers[0].outputs == (flipped.sum(axis=2)[:, 0] > 1)).all()
    assert (result.layers[0].outputs != clean.layers[0].outputs).any()
    second = result.layers[1]
    assert (second.outputs == (second.preactivations[:, 0, 0] > 0)).all()


def test_errors_come_as_often_as_the_table_says():
    table = {-1: 0.2, 0: 0.5, 2: 0.05}
    rng = np.random.default_rng(0)
    sums = rng.integers(-4, 5, (4000, 3, 10)).astype(np.int32)
    bits = sums > 0
    wrong = PreactivationErrors(table, seed=1)("hidden", 0, sums, bits) ^ bits
    for delta in range(-4, 5):
        rate, count = wrong[sums == delta].mean(), np.count_nonzero(sums == delta)
        chance = table.get(delta, 0.0)
        assert abs(rate - chance) <= 4 * (chance * (1 - chance) / count) ** 0.5


def test_errors_do_not_depend_on_batches():
    network = multilayer(0, (40, 31, 5), always=0)
    program = compile(network, HELIOBIT)
    inputs = data(0, network, 50)
    results = [
        run(program, GoldenChip(HELIOBIT), inputs, batch=batch, corrupt=errors).preactivations
        for batch in (None, 7)
        for errors in [PreactivationErrors(([-1, 0, 1], [0.3, 0.3, 0.3]), seed=3)]
    ]
    assert (results[0] == results[1]).all()
    other = PreactivationErrors({-1: 0.3, 0: 0.3, 1: 0.3}, seed=4)
    changed = run(program, GoldenChip(HELIOBIT), inputs, corrupt=other).preactivations
    assert (changed != results[0]).any()


@pytest.mark.parametrize("table", [{}, {0: 0.0}, ([], [])])
def test_no_errors(table):
    network = multilayer(0, (40, 31, 5), always=0)
    program = compile(network, HELIOBIT)
    inputs = data(0, network, 20)
    result = run(program, GoldenChip(HELIOBIT), inputs, corrupt=PreactivationErrors(table))
    assert (result.preactivations == evaluate(network, inputs).preactivations).all()


@pytest.mark.parametrize(
    "table, message",
    [
        ({0: 1.5}, "Probabilities of an error are from 0 to 1"),
        ({0: float("nan")}, "Probabilities of an error are from 0 to 1"),
        ({0.5: 0.1}, "one probability for each whole preactivation"),
        (([1, 1], [0.1, 0.2]), "one probability for each whole preactivation"),
    ],
)
def test_tables_that_are_none(table, message):
    with pytest.raises(ValueError, match=message):
        PreactivationErrors(table)


# Refusals


class Bare:
    geometry = HELIOBIT

    def load(self, image):
        pass


def test_what_does_not_fit_the_program():
    network = multilayer(0, (40, 30, 5), always=0)
    program = compile(network, HELIOBIT)
    inputs = data(0, network, 2)
    with pytest.raises(ValueError, match="was compiled for a .*, but the executor is a "):
        run(program, GoldenChip(TINY), inputs)
    with pytest.raises(ValueError, match="has 1 images, but there are read tables for 2"):
        run(program, GoldenChip(HELIOBIT), inputs, [None, None])
    with pytest.raises(ValueError, match="A Bare cannot load read tables"):
        run(program, Bare(), inputs, [None])
    with pytest.raises(ValueError, match="There is no hidden layer 'output'; there are hidden_0"):
        run(program, GoldenChip(HELIOBIT), inputs, corrupt_layers=["output"])
    with pytest.raises(ValueError, match="A batch has at least one inference, not 0"):
        run(program, GoldenChip(HELIOBIT), inputs, batch=0)
    with pytest.raises(ValueError, match="takes data of shape"):
        run(program, GoldenChip(HELIOBIT), inputs[:, 1:])


# The RTL


@pytest.mark.parametrize(
    "name", ["smallest chip, votes", pytest.param("smallest chip, planes", marks=pytest.mark.slow)]
)
def test_the_rtl_gives_the_same(name):
    """Programmed pulse by pulse over the host protocol, unless there is a back door."""
    need("verilator")
    need("yosys")
    network, geometry = CASES[name]
    program = compile(network, geometry)
    inputs = data(0, network, 4)
    golden = run(program, GoldenChip(geometry), inputs, collect_layers=True)
    with VerilatedChip(ChipParameters(geometry)) as chip:
        chip.form()
        plain = run(program, chip, inputs)
        made = run(program, chip, inputs, collect_layers=True)
    assert made.cycles == golden.cycles and made.layer_cycles == golden.layer_cycles
    assert plain.cycles == plan(program, inferences=4).total("cycles")
    assert made.wait_cycles is not None
    assert (plain.preactivations == golden.preactivations).all()
    assert (made.predictions == golden.predictions).all()
    for ours, theirs in zip(made.layers, golden.layers, strict=True):
        assert (ours.preactivations == theirs.preactivations).all()
        if theirs.outputs is not None:
            assert (ours.outputs == theirs.outputs).all()
