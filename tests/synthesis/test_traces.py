"""Recorded runs: what they hold, which cycles are the inferences, and how many MACs are useful."""

import numpy as np
import pytest

from behavioral_models.geometry import JEBALI_2024, TINY, ChipGeometry
from behavioral_models.passes import Configuration, PassConfig
from hdl.parameters import ChipParameters
from synthesis import traces
from synthesis.traces import TraceError, record, threshold_rows
from tests.needs import need

need("verilator")

#: Slots of nine bits take two bytes each: the core waits for its host.
SLOW_HOST = ChipGeometry(banks=1, macros_per_bank=9, rows=4, columns=2, max_inputs=36)


def word(values):
    return int(values @ (1 << np.arange(len(values))))


@pytest.mark.parametrize(("geometry", "read_timing", "inferences"), [
    (TINY, 3, 5), (SLOW_HOST, 1, 3)])
def test_random_traces(geometry, read_timing, inferences):
    trace = record(ChipParameters(geometry, read_timing, "bank_gated"), "random", inferences)
    thresholds = threshold_rows(geometry)
    weights = geometry.rows - thresholds
    config = PassConfig(Configuration.SINGLE_LAYER, weights, thresholds)
    source = trace.source
    assert (source["weight_rows"], source["threshold_rows"]) == (weights, thresholds)

    # the window is the run: its cycles by the formula, and those the host kept the core waiting
    waited = source["waiting_cycles"]
    assert trace.window_cycles == source["cycles"] == waited + config.cycles(
        geometry, read_timing, inferences)
    assert (waited > 0) == (geometry is SLOW_HOST)
    first, last = trace.window
    assert 0 < first < last < trace.cycles - 1
    useful = weights * geometry.macros_per_bank * geometry.columns * geometry.banks
    assert source["useful_macs_per_inference"] == useful
    assert source["useful_macs"] == useful * inferences

    assert not trace.stimulus["rst"].any()
    assert {array.shape[0] for array in (trace.stimulus | trace.expected).values()} == {
        trace.cycles}
    for number in range(geometry.macros):
        pins = {pin: values for name, values in (trace.stimulus | trace.expected).items()
                for macro, _, pin in [name.partition("/")] if macro == f"macro_{number}"}
        sense, x = pins["sense"][:, 0], pins["x"][:, 0]
        assert not sense[:first].any() and not sense[last:].any()
        assert sense.sum() == inferences * (weights + thresholds)
        # a sense in one cycle shows in the next, and is XNOR of x and what the row holds
        holds = {}
        for cycle in np.flatnonzero(sense):
            row = word(pins["row"][cycle])
            q = pins["q"][cycle + 1] == x[cycle]
            assert (holds.setdefault(row, q) == q).all()
        assert sorted(holds) == list(range(geometry.rows))
        still = np.flatnonzero(~sense[:-1])
        assert (pins["q"][still] == pins["q"][still + 1]).all()


def test_all_inputs_and_rows_are_used():
    """The published chip, fully used: 116 inputs to 128 neurons, six threshold rows."""
    work = traces._random_work(JEBALI_2024, 3, 0)
    assert work.inputs.shape == (3, 116)
    assert work.useful_macs == 116 * 128
    assert work.pass_config.threshold_rows == 6
    assert 0.45 < work.image.mean() < 0.55


def test_padding_of_the_digits_is_not_useful():
    """116 inputs to 64 neurons and 64 to 10; the second bank's other rows and columns are idle."""
    work = traces._digits_work(JEBALI_2024, 20, 0)
    assert work.useful_macs == 116 * 64 + 64 * 10
    assert work.inputs.shape == (20, 116)


def geometry(macros, rows, inputs):
    return ChipGeometry(1, macros, rows, 4, inputs)


@pytest.mark.parametrize(("chip", "expected"), [
    (JEBALI_2024, 6),  # as published
    (geometry(2, 2, 2), 1),
    (geometry(4, 32, 108), 5),
    (geometry(1, 128, 121), 7),
    (geometry(16, 8, 80), 3),
    (geometry(1, 37, 31), 5),  # 63 does not fit the registers of six bits that 32 does
])
def test_threshold_rows(chip, expected):
    assert threshold_rows(chip) == expected


def test_registers_too_narrow_for_all_rows():
    with pytest.raises(TraceError, match="No pass uses all rows.*cannot count 2 x 64 inputs"):
        threshold_rows(geometry(2, 64, 8))


def test_a_trace_is_recorded_once(monkeypatch, tmp_path):
    monkeypatch.setattr(traces, "BUILD", tmp_path)
    parameters = ChipParameters(TINY, 3)
    trace = record(parameters, "random", 2, seed=7)
    file, = (tmp_path / "traces").iterdir()

    def refuse(*_, **__):
        raise AssertionError("built anew")

    with monkeypatch.context() as patch:
        patch.setattr(traces, "build_chip", refuse)
        again = record(ChipParameters(TINY, 3, "borrow_gated"), "random", 2, seed=7)
        with pytest.raises(AssertionError, match="built anew"):
            record(parameters, "random", 2, seed=8)
    for kept, made in ((again.stimulus, trace.stimulus), (again.expected, trace.expected)):
        assert list(kept) == list(made)
        for name in made:
            assert kept[name].dtype == bool
            assert (kept[name] == made[name]).all()
    assert (again.window, again.source) == (trace.window, trace.source)

    file.write_bytes(file.read_bytes()[:1000])  # damaged: made anew
    assert record(parameters, "random", 2, seed=7).window == trace.window


def test_an_rtl_that_answers_wrong_is_not_recorded(monkeypatch, tmp_path):
    class WrongChip(traces.GoldenChip):
        def load(self, image):
            super().load(~image)

    monkeypatch.setattr(traces, "BUILD", tmp_path)
    monkeypatch.setattr(traces, "GoldenChip", WrongChip)
    with pytest.raises(TraceError, match="does not answer as the golden model"):
        record(ChipParameters(TINY, 3), "random", 2)
    assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.parametrize(("chip", "arguments", "message"), [
    (TINY, ("digit",), "no workload 'digit'; choose one of random, digits"),
    (TINY, ("random", 0), "at least one inference, not 0"),
    (TINY, ("digits",), "The digits do not run on this chip"),
    (JEBALI_2024, ("digits", 361), "There are 360 held-out digits, not 361"),
])
def test_what_cannot_be_recorded(chip, arguments, message):
    with pytest.raises(TraceError, match=message):
        record(ChipParameters(chip), *arguments)
