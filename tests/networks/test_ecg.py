"""Electrocardiograms: lead algebra, files, split, synthetic hearts, and a training on them."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest

from networks import ecg, npz
from networks.ecg import Recordings
from tests.needs import need


def leads_of(random, *shape):
    """Leads (..., 12, samples) of random potentials: they obey Einthoven and Goldberger."""
    potentials = random.normal(0, 1, (*shape, 9, 20))
    right, left, leg = (potentials[..., n, :] for n in range(3))
    mean = (right + left + leg) / 3
    values = [
        left - right,
        leg - right,
        leg - left,
        right - (left + leg) / 2,
        left - (right + leg) / 2,
        leg - (right + left) / 2,
        *(potentials[..., 3 + n, :] - mean for n in range(6)),
    ]
    return np.stack(values, axis=-2)


#: What each swap does to the leads, as textbooks say: lead -> (sign, the lead it shows).
TEXTBOOK = {
    ("RA", "LA"): {
        "I": (-1, "I"), "II": (1, "III"), "III": (1, "II"),
        "aVR": (1, "aVL"), "aVL": (1, "aVR"), "aVF": (1, "aVF"),
    },
    ("RA", "LL"): {
        "I": (-1, "III"), "II": (-1, "II"), "III": (-1, "I"),
        "aVR": (1, "aVF"), "aVL": (1, "aVL"), "aVF": (1, "aVR"),
    },
    ("LA", "LL"): {
        "I": (1, "II"), "II": (1, "I"), "III": (-1, "III"),
        "aVR": (1, "aVR"), "aVL": (1, "aVF"), "aVF": (1, "aVL"),
    },
    ("V1", "V6"): {"V1": (1, "V6"), "V6": (1, "V1")},
}  # fmt: skip


@pytest.mark.parametrize("pair", TEXTBOOK)
def test_swaps_are_those_of_the_textbook(pair):
    leads = leads_of(np.random.default_rng(1), 3)
    for first, second in (pair, pair[::-1]):
        swapped = ecg.swap_electrodes(leads, first, second)
        for number, name in enumerate(ecg.LEADS):
            sign, shown = TEXTBOOK[pair].get(name, (1, name))
            wanted = sign * leads[:, ecg.LEADS.index(shown)]
            np.testing.assert_allclose(swapped[:, number], wanted, atol=1e-12, err_msg=name)


def test_a_limb_and_a_chest_electrode_change_the_reference():
    """RA and V1 swapped: the mean of the limbs moves, and with it every chest lead."""
    leads = leads_of(np.random.default_rng(2))
    swapped = ecg.swap_electrodes(leads, "RA", "V1")
    moved = (leads[0] + leads[1]) / 3 + leads[6]  # phi_V1 - phi_RA
    np.testing.assert_allclose(swapped[0], leads[0] - moved, atol=1e-12)
    np.testing.assert_allclose(swapped[7], leads[7] - moved / 3, atol=1e-12)
    np.testing.assert_allclose(ecg.swap_electrodes(swapped, "V1", "RA"), leads, atol=1e-12)


def test_unknown_electrode_is_refused():
    with pytest.raises(ValueError, match="There is no electrode 'RL'; choose of RA, LA, LL, V1"):
        ecg.swap_electrodes(np.zeros((12, 5)), "RA", "RL")


def recordings(subjects=8, windows=4, samples=20):
    random = np.random.default_rng(3)
    values = leads_of(random, subjects * windows)[:, :, :samples].astype(np.float32)
    return Recordings(
        values,
        np.zeros(len(values), dtype=np.int64),
        np.repeat(np.arange(subjects) * 7, windows),
    )


def test_misplace_swaps_half_of_each_subject():
    clean = recordings(windows=5)
    first, again = ecg.misplace(clean, 0), ecg.misplace(clean, 0)
    other = ecg.misplace(clean, 1)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.labels != other.labels).any()
    for subject in np.unique(clean.subjects):
        assert first.labels[first.subjects == subject].sum() == 2
    changed = np.abs(first.millivolts - clean.millivolts).max(axis=(1, 2)) > 1e-3
    np.testing.assert_array_equal(changed, first.labels == 1)
    some = clean.subjects >= 14  # a subject's draws do not depend on who else is there
    part = ecg.misplace(Recordings(*(values[some] for values in clean)), 0)
    np.testing.assert_array_equal(part.millivolts, first.millivolts[some])


def test_no_subject_is_in_two_parts():
    whole = ecg.misplace(recordings(subjects=20), 0)
    parts = {part: ecg.split(whole, part) for part in ecg.PARTS}
    found = {part: set(those.subjects.tolist()) for part, those in parts.items()}
    assert {part: len(those) for part, those in found.items()} == {
        "fit": 14, "validation": 3, "test": 3
    }
    assert len(set.union(*found.values())) == 20
    assert sum(len(those.labels) for those in parts.values()) == len(whole.labels)
    with pytest.raises(ValueError, match="There is no part 'held_out'; choose one of fit"):
        ecg.split(whole, "held_out")
    with pytest.raises(ValueError, match="2 subjects cannot be split into fit, validation, test"):
        ecg.split(recordings(subjects=2), "fit")


def test_quantise_centres_and_cuts():
    values = np.zeros((1, 12, 9), dtype=np.float32)
    values[0, 3] = [0.5, 0.5, 0.5, 0.5, 0.5, 2.5, -1.5, 9.0, 0.5 + 2 / 255]
    whole = ecg.quantise(values)
    assert whole.shape == (1, 12, 1, 9) and whole.dtype == np.uint8
    assert whole[0, 3, 0].tolist() == [128] * 5 + [255, 0, 255, 128]
    assert (whole[0, 0] == 128).all()


def test_files_keep_recordings(tmp_path):
    whole = ecg.misplace(recordings(), 0)
    ecg.save_recordings(tmp_path / "new" / "mine.npz", whole)
    for a, b in zip(whole, ecg.load_recordings(tmp_path / "new" / "mine.npz"), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


GOOD = {
    "recordings": np.zeros((3, 12, 10)),
    "labels": np.array([0, 1, 0]),
    "subjects": np.array([1, 2, 3]),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "mine.npz has no array labels"),
        ({"labels": None, "subjects": None}, "has no array labels, subjects"),
        ({"recordings": np.zeros((3, 8, 10))}, r"shape \(batch, 12, samples\), not float64 of"),
        ({"recordings": np.full((3, 12, 10), np.nan)}, "has values that are no numbers"),
        ({"labels": np.array([0, 1])}, r"`labels` must be 3 integers, not int64 of shape \(2,\)"),
        ({"subjects": np.zeros(3)}, "`subjects` must be 3 integers, not float64"),
        ({"labels": np.array([0, 1, 2])}, r"`labels` are 0 \(right\) or 1 \(swapped\)"),
    ],
)
def test_wrong_files_are_refused(tmp_path, change, message):
    arrays = {name: value for name, value in (GOOD | change).items() if value is not None}
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        ecg.load_recordings(tmp_path / "mine.npz")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"garbage")
    with pytest.raises(ValueError, match="mine.npz is not a .npz file that numpy wrote"):
        ecg.load_recordings(tmp_path / "mine.npz")
    with pytest.raises(FileNotFoundError):
        ecg.load_recordings(tmp_path / "absent.npz")


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # wfdb, of pandas
def test_wfdb_records_are_read(tmp_path):
    need("wfdb")
    import wfdb

    time_s = np.arange(2500) / 500
    names = list(ecg.LEADS)[::-1]  # by name, in any order, in any case
    signal = np.stack([np.sin(2 * np.pi * (n + 1) * time_s) for n in range(12)], axis=1)
    for patient in ("patient001", "patient002"):
        (tmp_path / patient).mkdir()
        wfdb.wrsamp(
            "rec1",
            fs=500,
            units=["mV"] * 12,
            sig_name=[name.lower() for name in names],
            p_signal=signal,
            fmt=["16"] * 12,
            write_dir=str(tmp_path / patient),
        )
    found = ecg.load_wfdb(tmp_path, samples=500)
    assert found.millivolts.shape == (4, 12, 500)
    assert found.subjects.tolist() == [0, 0, 1, 1] and not found.labels.any()
    wanted = np.stack([signal[::2, names.index(lead)] for lead in ecg.LEADS])
    np.testing.assert_allclose(found.millivolts[0][:, 20:480], wanted[:, 20:480], atol=0.01)
    with pytest.raises(ValueError, match="No record in .* is as long as 2000 samples"):
        ecg.load_wfdb(tmp_path, samples=2000)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="There are no WFDB records"):
        ecg.load_wfdb(tmp_path / "empty")
    wfdb.wrsamp(
        "few", fs=250, units=["mV"] * 2, sig_name=["I", "II"], p_signal=signal[:, :2],
        fmt=["16"] * 2, write_dir=str(tmp_path / "empty"),
    )  # fmt: skip
    with pytest.raises(ValueError, match="few.hea has no lead III, aVR, aVL"):
        ecg.load_wfdb(tmp_path / "empty")


def test_synthetic_hearts_are_drawn_from_their_seed():
    need("neurokit2")
    first = ecg.synthesise(2, 3, 5, samples=100)
    again = ecg.synthesise(1, 3, 5, samples=100)
    other = ecg.synthesise(1, 3, 6, samples=100)
    assert first.millivolts.shape == (6, 12, 100) and first.millivolts.dtype == np.float32
    assert first.subjects.tolist() == [0, 0, 0, 1, 1, 1] and not first.labels.any()
    np.testing.assert_array_equal(first.millivolts[:3], again.millivolts)
    assert (other.millivolts != again.millivolts).any()
    one, two, three, right, left, foot = (first.millivolts[:, n] for n in range(6))
    np.testing.assert_allclose(one + three, two, atol=1e-5)
    np.testing.assert_allclose(right + left + foot, 0, atol=1e-5)
    spans = np.ptp(first.millivolts, axis=2)
    assert (spans > 0.1).all() and (spans < 5).all()
    with pytest.raises(ValueError, match="at least 1, not 0, 3 and 100"):
        ecg.synthesise(0, 3, 5, samples=100)


def training_module():
    need("torch")
    from networks.training import ecg as training
    from networks.training.needs_torch import torch

    torch.set_num_threads(1)
    return training


def test_published_shape():
    training = training_module()
    network = training.Shape().build(0)
    assert [layer.kernel for layer in network.layers[:5]] == [
        (1, size) for size in (13, 11, 9, 7, 5)
    ]
    assert [layer.filters for layer in network.layers[:5]] == [64] * 5
    assert network.input_shape == (12, 1, 750) and network.layers[0].planes == 8
    length = 750
    for _ in range(5):
        length = math.ceil(length / 2)
    assert network.layers[5].inputs == 64 * length
    assert network.layers[6].weight.shape == (64, 2)


def test_distort_moves_all_leads_together():
    training = training_module()
    from networks.training.needs_torch import torch

    torch.manual_seed(1)
    data = torch.arange(40.0).repeat(12, 1)[None, :, None, :].repeat(30, 1, 1, 1) + 100
    moved = training.distort(data, 1.0)
    assert moved.shape == data.shape
    assert (moved == moved[:, :1]).all()
    assert len({tuple(example[0, 0].tolist()) for example in moved}) > 10
    np.testing.assert_array_equal(training.distort(data, 0.0), data)


def heart_like(subjects, windows, samples):
    """Beats whose waves differ from electrode to electrode, at any time: no simulator needed."""
    random = np.random.default_rng(0)
    shape = np.array([-0.5, 0.3, 0.9, -0.8, -0.3, 0.5, 1.0, 0.8, 0.5])
    values = []
    for _ in range(subjects * windows):
        beats = np.zeros(samples)
        beats[random.integers(16) :: 32] = 1
        beat = np.convolve(beats, np.hanning(9), "same")
        own = shape + random.normal(0, 0.05, 9)
        potentials = own[:, None] * beat + random.normal(0, 0.02, (9, samples))
        values.append(ecg._leads(potentials))
    return Recordings(
        np.array(values, dtype=np.float32),
        np.zeros(subjects * windows, dtype=np.int64),
        np.repeat(np.arange(subjects), windows),
    )


def test_training_learns_from_a_file(tmp_path):
    """Far above chance, on subjects never seen, and exported exactly."""
    training = training_module()
    whole = ecg.misplace(heart_like(40, 20, 64), 0, [("RA", "LA")])
    ecg.save_recordings(tmp_path / "beats.npz", whole)
    arguments = ["--recordings", str(tmp_path / "beats.npz"), "--filters", "8", "--hidden", "16"]
    arguments += ["--epochs", "8", "--batch", "32", "--seeds", "0", "--planes", "6"]
    arguments += ["--checkpoints", str(tmp_path / "ck"), "--output", str(tmp_path / "out")]
    assert training.main(arguments) == 0
    name = "ecg_beats_8_16_planes6"
    record = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert record["examples"] == {"fit": 560, "validation": 120, "test": 120}
    assert record["median_test_accuracy"] > 0.7
    assert record["export"]["differing_preactivations"] == 0 and record["export"]["inputs"] == 240
    assert record["command"].startswith(
        "python -m networks.training.ecg --recordings beats.npz --filters 8 --hidden 16"
    )
    network = npz.load(tmp_path / "out" / f"{name}.npz")
    assert network.input_shape == (12, 1, 64) and network.classes == 2
    assert network.weight_bits == record["network"]["weight_bits"]


def test_command_makes_and_keeps_synthetic_recordings(tmp_path, monkeypatch, capsys):
    training = training_module()
    need("neurokit2")
    monkeypatch.setattr(training, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(ecg, "synthesise", partial(ecg.synthesise, samples=60))
    arguments = ["--subjects", "3", "--windows", "2", "--filters", "2", "--hidden", "2"]
    arguments += ["--batch", "2", "--epochs", "1", "--seeds", "0", "--validation-only"]
    arguments += ["--checkpoints", str(tmp_path / "ck")]
    assert training.main(arguments) == 0
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["3_2_0.npz"]
    monkeypatch.setattr(ecg, "synthesise", None)  # the second time they are read
    assert training.main(arguments) == 0
    assert "ecg_synthetic_2_2_planes8 seed 0: validation accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--subjects", "0"], "--subjects must be at least 1, not 0"),
        (["--planes", "9"], "--planes must be 1 to 8, not 9"),
        (["--data-seed", "-1"], "--data-seed must not be negative, not -1"),
        (["--recordings", "a", "--wfdb", "b"], "not allowed with argument"),
    ],
)
def test_command_refuses(arguments, message, capsys):
    training = training_module()
    with pytest.raises(SystemExit):
        training.main(arguments)
    assert message in capsys.readouterr().err


def test_command_says_in_one_sentence_what_file_is_missing(tmp_path, capsys):
    training = training_module()
    assert training.main(["--recordings", str(tmp_path / "absent.npz")]) == 1
    said = capsys.readouterr().err
    assert "absent.npz" in said and said.count("\n") == 1
