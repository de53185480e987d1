"""Program images and passes: where bits go, what is refused, and files."""

import json

import numpy as np
import pytest

from behavioral_models.geometry import HELIOBIT, JEBALI_2024, TINY, ChipGeometry
from behavioral_models.passes import Configuration, Start
from networks.form import Dense, Network, Output
from networks.mapping import MappingError, Program, compile
from tests.networks.random_networks import convolutional, data, dense, multilayer, output

WIDE = ChipGeometry(2, 16, 64, 64, 1024, 4)


def thresholds_of(program, run):
    """T (macro, column) that the threshold rows of a run's macros spell."""
    config = run.pass_config
    rows = program.images[
        run.image, list(config.macros), config.weight_rows :][:, : config.threshold_rows]
    places = 1 << np.arange(config.threshold_rows - 1, -1, -1)
    return np.einsum("mrc,r->mc", rows.astype(int), places)


@pytest.mark.parametrize("geometry", [JEBALI_2024, HELIOBIT])
def test_a_published_layer_is_one_pass_of_58_and_6_rows(geometry):
    rng = np.random.default_rng(0)
    levels = np.arange(128) % 117
    network = Network((Output("output", rng.random((116, 128)) < 0.5, levels),), (116,))
    program = compile(network, geometry)
    (run,) = program.layers[0].runs
    config = run.pass_config
    assert (config.weight_rows, config.threshold_rows) == (58, 6)
    assert config.configuration is Configuration.SINGLE_LAYER
    assert config.macros == (0, 1, 2, 3) and config.start is Start.THRESHOLDS
    assert program.images.shape == (1, *geometry.image_shape)
    image = program.images[0]
    weights = network.layers[0].weights
    for bank in (0, 1):
        for macro in (0, 1):
            assert (
                image[2 * bank + macro, :58]
                == weights[58 * macro : 58 * macro + 58, 64 * bank : 64 * bank + 64]
            ).all()
    share = thresholds_of(program, run)
    assert (share.reshape(2, 2, 64).sum(axis=1).ravel() == np.arange(128) % 117).all()
    assert share.max() == 58  # 116 spread evenly


def test_published_blocks_fill_all_macros_of_an_image():
    """A 1102-wide layer of 19 blocks of 58: a macro a block, one of each bank at a time."""
    program = compile(multilayer(0, (1102, 64, 10), votes=[19], always=0), HELIOBIT)
    hidden = program.layers[0]
    assert (hidden.parts, hidden.tiles, len(hidden.images)) == (19, 19, 5)
    runs = list(hidden.runs)
    assert len(runs) == 10
    for run in runs:
        config = run.pass_config
        assert (config.weight_rows, config.threshold_rows) == (58, 6)
        assert len({m // 2 for m in config.macros}) == len(config.macros)
    # other macros in each bank: one set of inputs serves both
    assert all(run.pass_config.configuration is Configuration.SINGLE_LAYER for run in runs)
    assert {m % 2 for m in runs[0].pass_config.macros} == {0, 1}
    weights = program.network.layers[0].weights
    seen = set()
    for run in runs:
        for macro, target in zip(run.pass_config.macros, run.targets, strict=True):
            seen.add(target.vote)
            block = weights[58 * target.vote : 58 * target.vote + 58]
            assert (program.images[run.image, macro, :58] == block).all()
    assert seen == set(range(19))


def test_banks_share_inputs_where_they_see_the_same():
    program = compile(multilayer(0, (30, 128, 4), votes=[3], always=0), HELIOBIT)
    assert {run.pass_config.configuration for run in program.layers[0].runs} == {
        Configuration.SINGLE_LAYER
    }


def test_planes_of_one_chunk_are_one_pass():
    program = compile(multilayer(0, (784, 1102, 64, 10), 4, [1, 19], always=0), WIDE)
    first, second, last = program.layers
    assert first.parts == 1 and len(list(first.runs)) == 9
    assert all(run.pass_config.counted_planes == 4 for run in first.runs)
    assert all(not run.readout for run in (*first.runs, *second.runs))
    assert [run.readout for run in last.runs] == [True]
    assert len(program.images) == 10  # the output layer shares one with the blocks
    assert last.images == second.images
    assert program.passes == 9 + 10 + 1


def test_chunks_run_plane_major_and_bring_the_right_threshold_bit_in():
    program = compile(multilayer(0, (400, 64, 3), 4, always=0), HELIOBIT)
    hidden = program.layers[0]
    assert hidden.parts > 1 and len(hidden.stages) == 4 * hidden.parts
    for number, stage in enumerate(hidden.stages):
        plane, chunk = 3 - number // hidden.parts, number % hidden.parts
        for run in stage:
            config = run.pass_config
            assert (config.top_plane, config.bottom_plane) == (plane, plane)
            assert config.start is (Start.PRELOAD if number else Start.THRESHOLDS)
            assert config.begin_with_shift == (chunk == 0 and plane < 3)
            assert run.readout == (not run.last) and run.last == (number == len(hidden.stages) - 1)
            shifts = [operation.row for operation in config.sequence() if operation.shift]
            bits = [config.weight_rows + config.threshold_rows - 1 - row for row in shifts]
            expected = range(config.threshold_rows - 1, 2, -1) if number == 0 else [plane]
            assert bits == (list(expected) if chunk == 0 else [])
    assert sum(np.count_nonzero(feed < 400) for feed in hidden.feeds) == 400


def test_thresholds_are_spread_over_the_macros_of_the_first_chunk():
    network = multilayer(3, (1000, 5, 2), always=0)
    program = compile(network, HELIOBIT)
    first = program.layers[0].stages[0][0]
    share = thresholds_of(program, first)[:, :5]
    assert (share.sum(axis=0) == network.layers[0].thresholds[0]).all()
    assert (np.ptp(share, axis=0) <= 1).all()


def test_full_chunks_and_a_rest_where_they_take_fewer_macros():
    """1024 inputs of a bank of 16 macros: 928 and 96, where halves would fill two banks."""
    program = compile(multilayer(0, (1024, 1024, 2), always=0), WIDE)
    hidden = program.layers[0]
    assert [len(stage[0].pass_config.macros) for stage in hidden.stages] == [32, 4]
    sizes = [
        np.count_nonzero(hidden.feeds[run.feed] < 1024) for run, *_ in hidden.stages]
    assert sizes == [928, 96]
    assert len(hidden.images) == 9


def test_chunks_are_even_where_that_takes_no_more_macros():
    program = compile(multilayer(0, (784, 64, 2), 4, always=0), HELIOBIT)
    sizes = [np.count_nonzero(feed < 784) for feed in program.layers[0].feeds]
    assert len(sizes) == 7 and sum(sizes) == 784 and max(sizes[1:]) - min(sizes[1:]) <= 1


def test_unused_rows_and_columns():
    """Unused rows see ones and hold zeros, so that XNOR adds nothing; unused columns hold zeros."""
    program = compile(multilayer(0, (67, 3, 2), always=0), HELIOBIT)
    (run,) = program.layers[0].runs
    feed = program.layers[0].feeds[run.feed]
    config = run.pass_config
    assert (config.weight_rows, len(run.pass_config.macros)) == (34, 2)
    assert feed.tolist() == [*range(67), 67]
    image = program.images[run.image]
    assert not image[1, 33].any()
    assert not image[list(config.macros), :, 3:].any()


@pytest.mark.parametrize("rows, t, w", [(None, 6, 58), (58, 6, 58), (40, 6, 39), (30, 5, 29)])
def test_weight_rows_have_a_limit(rows, t, w):
    network = Network((Output("output", np.ones((116, 2), bool), [0, 116]),), (116,))
    program = compile(network, HELIOBIT, rows)
    runs = list(program.layers[0].runs)
    assert max(run.pass_config.weight_rows for run in runs) <= (rows or 64)
    if rows in (None, 58):
        assert (runs[0].pass_config.weight_rows, runs[0].pass_config.threshold_rows) == (w, t)


def test_always_firing_neurons_take_a_spare_row():
    """A row of constant ones, weight 1 in their column alone, in blocks that have such a neuron."""
    weights = np.zeros((12, 3), dtype=bool)
    levels = np.array([[2, -1, 2], [2, 2, 2], [2, 2, 2]])
    hidden = Dense("hidden", weights, levels)
    network = Network((hidden, Output("output", np.ones((3, 2), bool), [0, 0])), (12,))
    program = compile(network, HELIOBIT)
    for run in program.layers[0].runs:
        assert run.pass_config.weight_rows == 5
        for macro, target in zip(run.pass_config.macros, run.targets, strict=True):
            row = program.images[run.image, macro, 4, :3]
            assert row.tolist() == [False, target.vote == 0, False]


def test_images_and_feeds_are_read_only():
    program = compile(multilayer(0, (20, 6, 3)), HELIOBIT)
    with pytest.raises(ValueError, match="read-only"):
        program.images[0, 0, 0, 0] = True
    with pytest.raises(ValueError, match="read-only"):
        program.layers[0].feeds[0][0] = 1


# Refusals

ONE_MACRO = ChipGeometry(1, 1, 8, 4, 40, 2)


def blocks(size, levels, neurons=1):
    hidden = Dense("hidden", np.ones((3 * size, neurons), bool), levels)
    return Network((hidden, Output("output", np.ones((neurons, 2), bool), [0, 0])), (3 * size,))


@pytest.mark.parametrize(
    "network, geometry, message",
    [
        (multilayer(0, (20, 6, 3), 3), TINY,
         "hidden_0: this chip counts inputs of at most 2 planes, not 3; keep fewer"),
        (multilayer(0, (129, 6, 3)), JEBALI_2024,
         "hidden_0: registers of 8 bits hold sums up to 128, not 129; take a chip"),
        (multilayer(0, (128, 6, 3), always=0), JEBALI_2024, None),
        (multilayer(0, (20, 6, 140, 3), always=0), JEBALI_2024,
         "output: registers of 8 bits hold sums up to 128, not 140"),
        (Network((Output("output", np.ones((4, 2), bool), [0, 200]),), (4,)), JEBALI_2024,
         "output: registers of 8 bits hold thresholds up to 127, not 200; take a chip"),
        (Network((Output("output", np.ones((4, 2), bool), [-100, 27]),), (4,)),
         ChipGeometry(1, 1, 7, 4, 120), "output: a threshold of 127 .7 bits. leaves no weight row"),
        (blocks(59, np.full((3, 1), 29)), JEBALI_2024, None),
        (blocks(60, np.full((3, 1), 29)), JEBALI_2024,
         "hidden: a block of 60 inputs does not fit the 59 weight rows that 5 threshold rows leave "
         "in a macro; cut the layer into more blocks"),
        (blocks(59, np.array([[29], [-1], [29]])), JEBALI_2024,
         "hidden: block 1 of neuron 0 always fires, which takes a weight row of its own, but its "
         "59 inputs take all 59; raise its threshold from -1, or cut the layer into more blocks"),
        (blocks(59, np.array([[29, 29], [29, 29], [29, -3]]), 2), JEBALI_2024,
         "hidden: block 2 of neuron 1 always fires"),
        (blocks(30, np.full((3, 1), 1)), ChipGeometry(1, 1, 64, 4, 14),
         "hidden: a block does not fit this chip. Registers of 5 bits cannot count 1 x 30 inputs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(network, geometry, message):
    if message is None:
        compile(network, geometry)
        return
    with pytest.raises(MappingError, match=message):
        compile(network, geometry)


@pytest.mark.parametrize("rows", [0, 65])
def test_weight_rows_that_a_macro_does_not_have(rows):
    with pytest.raises(MappingError, match=f"of 64 rows has 1 to 64 weight rows, not {rows}"):
        compile(multilayer(0, (4, 2)), HELIOBIT, rows)


def test_blocks_beyond_the_weight_rows_that_are_allowed():
    """It is the option that limits them, not the threshold rows."""
    with pytest.raises(
        MappingError,
        match="hidden: a block of 30 inputs does not fit the 29 weight rows that a macro may use "
        ".weight_rows.; allow more, or cut the layer into more blocks",
    ):
        compile(blocks(30, np.full((3, 1), 15)), JEBALI_2024, 29)
    compile(blocks(30, np.full((3, 1), 15)), JEBALI_2024, 30)


def test_mapping_errors_are_value_errors():
    assert issubclass(MappingError, ValueError)


# Files

PROGRAMS = {
    "chunks": (multilayer(0, (300, 70, 9, 4), 3, always=0.2), HELIOBIT),
    "votes": (multilayer(1, (90, 70, 4), 2, [5], input_bits=4, always=0), HELIOBIT),
    "convolution": (
        convolutional(2, (2, 8, 8), [
            {"filters": 5, "kernel": (3, 3), "pool": (2, 2), "pool_ceil": True, "padding": (1, 1)},
            {"filters": 4, "kernel": (2, 2), "stride": (2, 1)}], 3),
        HELIOBIT),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_file_gives_the_program_back(name, tmp_path):
    program = compile(*PROGRAMS[name])
    file = tmp_path / "program.npz"
    program.save(file)
    assert Program.is_one(file)
    again = Program.load(file)
    ours, theirs = program.as_arrays(), again.as_arrays()
    assert ours.keys() == theirs.keys()
    for key, array in ours.items():
        assert array.dtype == theirs[key].dtype and (array == theirs[key]).all(), key
    assert again.geometry == program.geometry and (again.images == program.images).all()
    for mine, made in zip(program.layers, again.layers, strict=True):
        assert mine.stages == made.stages and mine.name == made.name
    for mine, made in zip(program.network.layers, again.network.layers, strict=True):
        assert type(mine) is type(made)
        for key, value in vars(mine).items():
            assert np.array_equal(value, getattr(made, key)), key
    second = tmp_path / "second.npz"
    again.save(second)
    assert file.read_bytes() == second.read_bytes()


def test_files_that_are_something_else(tmp_path):
    np.savez(tmp_path / "other.npz", facts=np.zeros(3, np.uint8))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("no")
    (tmp_path / "empty.npz").write_bytes(b"")
    for file in sorted(tmp_path.iterdir()):
        assert not Program.is_one(file)
        with pytest.raises(ValueError, match=f"{file.name} is not a compiled network"):
            Program.load(file)
    assert not Program.is_one(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError):
        Program.load(tmp_path / "none.npz")


def facts_with(change):
    """A change of the facts, as a change of their array."""
    def changing(array):
        facts = json.loads(array.tobytes())
        change(facts)
        return np.frombuffer(json.dumps(facts).encode(), np.uint8)
    return changing


def run_with(place, value):
    """Another value in the first run of the first layer."""
    def change(facts):
        facts["layers"][0]["stages"][0][0][place] = value
    return facts_with(change)


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("images", lambda array: array[:-1], "images of it are .* bytes, not uint8 of shape"),
        ("images", lambda array: np.append(array, array), "images of it are .* bytes, not uint8"),
        ("images", lambda array: array.astype(float), "images of it are .* bytes, not float64"),
        ("images", None, "'images' is missing"),
        ("feed_0_0", None, "'feed_0_0' is missing"),
        ("feed_0_0", lambda array: array[:-1], "hidden_0: a pass takes .* inputs, but its feed"),
        ("feed_0_0", lambda array: array + 1000, "hidden_0: a feed names inputs that the layer"),
        ("feed_0_0", lambda array: array * 0.5, "hidden_0: a feed is float64"),
        ("network/format", None, "its network: array `format` is missing"),
        ("network/hidden_0/weights", None, "its network: hidden_0: array .* is missing"),
        ("network/hidden_0/weights", lambda array: array[:-1],
         "its network: hidden_0: packed weights of shape"),
        ("network/output/thresholds", lambda array: array[:, :-1], "its network: output: "),
        ("facts", facts_with(lambda facts: facts.pop("geometry")), "'geometry' is missing"),
        ("facts", facts_with(lambda facts: facts["geometry"].update(colour=1)),
         "a geometry has no colour"),
        ("facts", facts_with(lambda facts: facts["geometry"].update(rows=0)),
         "A chip's rows must be"),
        ("facts", facts_with(lambda facts: facts.update(images=10**15)), "images of it are"),
        ("facts", facts_with(lambda facts: facts.update(images="many")), "invalid literal"),
        ("facts", facts_with(lambda facts: facts["layers"].pop()), "zip"),
        ("facts", facts_with(lambda facts: facts.update(kind="heliobit program 1")),
         "it is a 'heliobit program 1', but 'heliobit program 2' is read here"),
        ("facts", run_with(0, 99), "hidden_0: a pass names an image or a feed that is not there"),
        ("facts", run_with(0, -1), "hidden_0: a pass names an image or a feed that is not there"),
        ("facts", run_with(3, 99), "hidden_0: a pass names an image or a feed that is not there"),
        ("facts", run_with(0, 0.5), "hidden_0: a pass has a number that is none"),
        ("facts", run_with(1, 99), "list index out of range"),
        ("facts", run_with(2, [0, 99]), "hidden_0: Macros|Macros .0, 99. are not all of"),
        ("facts", run_with(4, 7), "hidden_0: chain 0 is not one of passes in order"),
        ("facts", run_with(5, 0), "hidden_0: chain 0 goes on without a readout"),
        ("facts", run_with(7, 1), "hidden_0: chain 0 is not one of passes in order"),
        ("facts", facts_with(lambda facts: facts["layers"][0]["stages"].pop()),
         "hidden_0: not every neuron is counted once"),
        ("facts", facts_with(lambda facts: facts["layers"][0]["stages"][-1][0].__setitem__(
            6, [[0, 0, 10, 64]])), r"hidden_0: Target\(bank=0, .* is not a place in it"),
    ],
)  # fmt: skip
def test_damaged_programs_are_refused_in_one_sentence(name, change, message, tmp_path):
    """A short array was filled up with zeros and ran; others ended in a traceback."""
    arrays = compile(*PROGRAMS["chunks"]).as_arrays()
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays[name])
    np.savez(tmp_path / "mine.npz", **arrays)
    assert Program.is_one(tmp_path / "mine.npz")
    with pytest.raises(
        ValueError, match=f"^mine.npz: this compiled network is damaged: .*{message}"
    ) as error:
        Program.load(tmp_path / "mine.npz")
    assert "\n" not in str(error.value)


def test_random_networks_have_what_is_asked_for():
    """The helper the other tests draw from: neurons that always fire, that never do, ties."""
    rng = np.random.default_rng(0)
    layer = dense(rng, "hidden", 50, 400, 2, 3)
    largest = np.array([17, 17, 16])[:, None] * 3
    assert (layer.thresholds < 0).any() and (layer.thresholds >= largest).any()
    assert output(rng, "output", 50, 20).thresholds.min() < 0
    assert data(0, multilayer(0, (4, 2), input_bits=3), 100).max() == 7
