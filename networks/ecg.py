"""Twelve-lead electrocardiograms with swapped electrodes: recordings, real or synthetic.

The task of Hirtzlin et al. (2020): say whether electrodes were misplaced, of three seconds of
twelve leads at 250 Hz. Their recordings are available on request only. Here the hearts are
neurokit2's, or those of a file of the user's, and the electrodes are swapped by the algebra of the
leads.

Nine electrodes matter (that on the right leg is the ground): RA, LA, LL on the limbs and V1 to V6
on the chest. With potentials phi and the mean of the limbs' as W,

    I = phi_LA - phi_RA,  II = phi_LL - phi_RA,  III = II - I,
    aVR = -(I + II) / 2,  aVL = I - II / 2,  aVF = II - I / 2,  Vk = phi_Vk - W

so I, II and V1 to V6 say all potentials but a common one, and swapped electrodes are swapped
potentials: with RA and LA swapped, I turns its sign, II and III, and aVR and aVL, change places.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly
from tqdm import tqdm

from behavioral_models.files import write_whole

__all__ = [
    "ELECTRODES",
    "LEADS",
    "PARTS",
    "RATE_HZ",
    "SAMPLES",
    "SWAPS",
    "Recordings",
    "load_recordings",
    "load_wfdb",
    "misplace",
    "quantise",
    "save_recordings",
    "split",
    "swap_electrodes",
    "synthesise",
]

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
RATE_HZ = 250
SAMPLES = 3 * RATE_HZ
#: Pairs of electrodes that are swapped: the limbs', and neighbours and ends of the chest's.
SWAPS = (("RA", "LA"), ("RA", "LL"), ("LA", "LL"), ("V1", "V2"), ("V2", "V3"), ("V1", "V6"))
#: Shares of the subjects; test is read once, at the end.
PARTS = {"fit": 0.7, "validation": 0.15, "test": 0.15}
#: Largest potential that 8 bits hold, either sign.
RANGE_MILLIVOLT = 2.0
_SPLIT_SEED = 2020
_INDEPENDENT = (0, 1, 6, 7, 8, 9, 10, 11)  # I, II, V1 to V6
#: Largest deflection of I, II, V1 to V6 of synthetic recordings, before each subject's own gain.
_DEFLECTION_MILLIVOLT = np.array([0.8, 1.2, 0.9, 1.2, 1.3, 1.4, 1.2, 1.0])


class Recordings(NamedTuple):
    """Twelve-lead recordings.

    Attributes
    ----------
    millivolts : float32 array (batch, 12, samples)
        Leads as in `LEADS`.
    labels : int64 array (batch,)
        1 where electrodes are swapped.
    subjects : int64 array (batch,)
        Whose they are; no subject is in two parts.
    """

    millivolts: NDArray[np.float32]
    labels: NDArray[np.int64]
    subjects: NDArray[np.int64]


def _potentials(leads: NDArray) -> NDArray:
    """Potentials (..., 9, samples) against RA of leads (..., 12, samples)."""
    first, second = leads[..., 0, :], leads[..., 1, :]
    limbs = np.stack([np.zeros_like(first), first, second], axis=-2)
    chest = leads[..., 6:, :] + limbs.mean(axis=-2, keepdims=True)
    return np.concatenate([limbs, chest], axis=-2)


def _leads(potentials: NDArray) -> NDArray:
    """Leads (..., 12, samples) of potentials (..., 9, samples)."""
    right, left, leg = (potentials[..., electrode, :] for electrode in range(3))
    first, second = left - right, leg - right
    limbs = [
        first,
        second,
        second - first,
        -(first + second) / 2,
        first - second / 2,
        second - first / 2,
    ]
    chest = potentials[..., 3:, :] - potentials[..., :3, :].mean(axis=-2, keepdims=True)
    return np.concatenate([np.stack(limbs, axis=-2), chest], axis=-2)


def swap_electrodes(leads: NDArray, first: str, second: str) -> NDArray:
    """What the twelve leads (..., 12, samples) would show with two electrodes swapped.

    I, II and V1 to V6 say it; the other leads follow from them.

    Raises
    ------
    ValueError
        If there is no such electrode.
    """
    for name in (first, second):
        if name not in ELECTRODES:
            raise ValueError(f"There is no electrode {name!r}; choose of {', '.join(ELECTRODES)}")
    order = list(range(len(ELECTRODES)))
    one, other = ELECTRODES.index(first), ELECTRODES.index(second)
    order[one], order[other] = other, one
    return _leads(_potentials(leads)[..., order, :])


def misplace(
    recordings: Recordings, seed: int, swaps: Sequence[tuple[str, str]] = SWAPS
) -> Recordings:
    """Swap a pair of electrodes, drawn from `swaps`, in half of the recordings of every subject.

    Of an odd number, one more is left as it is. Every subject's draws are its own.
    """
    millivolts = _leads(_potentials(recordings.millivolts))
    labels = np.zeros(len(recordings.labels), dtype=np.int64)
    for subject in np.unique(recordings.subjects):
        random = np.random.default_rng([seed, int(subject), 1])
        those = np.flatnonzero(recordings.subjects == subject)
        for which in random.permutation(those)[: len(those) // 2]:
            pair = swaps[int(random.integers(len(swaps)))]
            millivolts[which] = swap_electrodes(millivolts[which], *pair)
            labels[which] = 1
    return Recordings(millivolts.astype(np.float32), labels, recordings.subjects)


def synthesise(
    subjects: int, windows: int, seed: int, samples: int = SAMPLES, progress: bool = False
) -> Recordings:
    """Simulate hearts with neurokit2 (`ecg_simulate`, multilead; McSharry et al. 2003).

    Each subject has a heart rate, waves and lead gains of its own, and an electrical axis turned by
    up to 30 degrees. neurokit2 gives every lead the same span and knows no Einthoven: I, II and V1
    to V6 are taken from it, with usual deflections, and the other leads follow from them. Baseline
    wander, mains hum and muscle noise are added to each electrode. One to three seconds a subject.

    Parameters
    ----------
    subjects, windows : int
        Subjects, and recordings of each, which start anywhere within one twice as long.
    seed : int
    samples : int
        Of a recording, at 250 Hz.
    progress : bool
        Show a bar.

    Returns
    -------
    Recordings
        No electrodes are swapped: see `misplace`.
    """
    if subjects < 1 or windows < 1 or samples < 1:
        raise ValueError(
            f"Subjects, windows and samples are at least 1, not {subjects}, {windows} and {samples}"
        )
    parts = [
        _subject(np.random.default_rng([seed, subject, 0]), windows, samples)
        for subject in tqdm(range(subjects), desc="hearts", disable=None if progress else True)
    ]
    return Recordings(
        np.concatenate(parts).astype(np.float32),
        np.zeros(subjects * windows, dtype=np.int64),
        np.repeat(np.arange(subjects), windows),
    )


def _subject(random: np.random.Generator, windows: int, samples: int) -> NDArray[np.float64]:
    """Recordings (windows, 12, samples) of one synthetic subject, in millivolts."""
    try:
        import neurokit2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Synthetic recordings need {error.name}, which is not installed; run "
            f"`pip install neurokit2==0.2.13`",
            name=error.name,
        ) from None

    skipped = RATE_HZ  # until the simulated beats have swung in
    total = skipped + 2 * samples
    simulated = neurokit2.ecg_simulate(
        duration=-(-total // RATE_HZ) + 1,
        sampling_rate=RATE_HZ,
        noise=0,
        heart_rate=int(random.integers(55, 100)),
        heart_rate_std=random.uniform(0.5, 3),
        method="multilead",
        random_state=int(random.integers(1 << 31)),
        ti=np.array([-70, -15, 0, 15, 100]) + random.normal(0, [4, 1, 0, 1, 4]),
        ai=np.array([1.2, -5, 30, -7.5, 0.75]) * random.uniform(0.8, 1.2, 5),
        bi=np.array([0.25, 0.1, 0.1, 0.1, 0.4]) * random.uniform(0.9, 1.1, 5),
    )
    signals = simulated.to_numpy().T[list(_INDEPENDENT), skipped:total]
    signals = signals - np.median(signals, axis=1, keepdims=True)
    gains = _DEFLECTION_MILLIVOLT * random.uniform(0.8, 1.2) * random.uniform(0.85, 1.15, 8)
    signals *= (gains / np.abs(signals).max(axis=1))[:, None]

    angle = np.deg2rad(random.uniform(-30, 30))
    across, down = signals[0], (2 * signals[1] - signals[0]) / np.sqrt(3)
    turned = across * np.cos(angle) - down * np.sin(angle)
    down = across * np.sin(angle) + down * np.cos(angle)
    leads = np.zeros((12, total - skipped))
    leads[0], leads[1] = turned, (turned + np.sqrt(3) * down) / 2
    leads[6:] = signals[2:]
    potentials = _potentials(leads)
    starts = random.integers(samples + 1, size=windows)
    return np.stack(
        [
            _leads(potentials[:, start : start + samples] + _disturbance(random, samples))
            for start in starts
        ]
    )


def _disturbance(random: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """Wander, hum and muscle noise (9, samples) of the electrodes, in millivolts."""
    time_s = np.arange(samples) / RATE_HZ
    count = len(ELECTRODES)
    phases = random.uniform(0, 2 * np.pi, (2, count, 1))
    breath_hz = random.uniform(0.15, 0.4)
    wander = random.uniform(0, 0.06, (count, 1)) * np.sin(
        2 * np.pi * breath_hz * time_s + phases[0]
    )
    hum = random.uniform(0, 0.01, (count, 1)) * np.sin(2 * np.pi * 50 * time_s + phases[1])
    muscle = random.uniform(0.005, 0.02) * random.standard_normal((count, samples))
    return wander + hum + muscle


def split(recordings: Recordings, part: str) -> Recordings:
    """Recordings of the subjects of a part; the split depends on the subjects alone.

    Raises
    ------
    ValueError
        If there is no such part, or too few subjects for three parts.
    """
    if part not in PARTS:
        raise ValueError(f"There is no part {part!r}; choose one of {', '.join(PARTS)}")
    subjects = np.random.default_rng(_SPLIT_SEED).permutation(np.unique(recordings.subjects))
    kept = max(1, round(PARTS["test"] * len(subjects)))
    if len(subjects) < 3:
        raise ValueError(f"{len(subjects)} subjects cannot be split into {', '.join(PARTS)}")
    chosen = {
        "test": subjects[:kept],
        "validation": subjects[kept : 2 * kept],
        "fit": subjects[2 * kept :],
    }[part]
    which = np.isin(recordings.subjects, chosen)
    millivolts, labels, those = recordings
    return Recordings(millivolts[which], labels[which], those[which])


def quantise(millivolts: NDArray) -> NDArray[np.uint8]:
    """Recordings (batch, 12, samples) as unsigned 8 bits (batch, 12, 1, samples).

    Each lead's median is taken off; then -2 mV is 0, 2 mV is 255, and what is beyond is cut.
    """
    centred = millivolts - np.median(millivolts, axis=2, keepdims=True)
    whole = np.rint((centred / RANGE_MILLIVOLT + 1) * 127.5)
    return np.clip(whole, 0, 255).astype(np.uint8)[:, :, None, :]


def save_recordings(path: Path, recordings: Recordings) -> None:
    """Write recordings as `load_recordings` reads them."""
    data = io.BytesIO()
    np.savez_compressed(
        data,
        recordings=recordings.millivolts,
        labels=recordings.labels,
        subjects=recordings.subjects,
    )
    write_whole(path, data.getvalue())


def load_recordings(path: Path) -> Recordings:
    """Read recordings from a .npz.

    It holds `recordings`, real numbers (batch, 12, samples) in millivolts at 250 Hz, leads as in
    `LEADS`; `labels` (batch,), 1 where electrodes are swapped; `subjects` (batch,), integers.

    Raises
    ------
    ValueError
        If the file is not that; the message says what is wrong.
    FileNotFoundError
        If it is not there.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = dict(arrays)
    except (ValueError, zipfile.BadZipFile, EOFError, TypeError, AttributeError):
        raise ValueError(f"{path.name} is not a .npz file that numpy wrote") from None
    missing = [name for name in ("recordings", "labels", "subjects") if name not in found]
    if missing:
        raise ValueError(f"{path.name} has no array {', '.join(missing)}")
    values, labels, subjects = (found[name] for name in ("recordings", "labels", "subjects"))
    if values.ndim != 3 or values.shape[1] != len(LEADS) or values.dtype.kind not in "fiu":
        raise ValueError(
            f"{path.name}: `recordings` must be numbers of shape (batch, 12, samples), not "
            f"{values.dtype} of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{path.name}: `recordings` has values that are no numbers")
    for name, array in (("labels", labels), ("subjects", subjects)):
        if array.shape != (len(values),) or array.dtype.kind not in "iu":
            raise ValueError(
                f"{path.name}: `{name}` must be {len(values)} integers, not {array.dtype} of shape "
                f"{array.shape}"
            )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{path.name}: `labels` are 0 (right) or 1 (swapped)")
    return Recordings(values.astype(np.float32), labels.astype(np.int64), subjects.astype(np.int64))


def load_wfdb(folder: Path, samples: int = SAMPLES) -> Recordings:
    """Read all twelve-lead records of a folder of PhysioNet's (WFDB) files, cut into windows.

    Records are found by their headers (.hea), at any depth; signals are brought to 250 Hz. Those in
    one folder count as one subject's, as in the PTB database. Electrodes are taken to be where they
    belong: see `misplace`.

    Raises
    ------
    ValueError
        If there is no record, or one has not all twelve leads, or not their numbers.
    """
    try:
        import wfdb
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"WFDB records need {error.name}, which is not installed; run `pip install wfdb`",
            name=error.name,
        ) from None
    headers = sorted(folder.rglob("*.hea"))
    if not headers:
        raise ValueError(f"There are no WFDB records (.hea) in {folder}")
    folders = sorted({path.parent for path in headers})
    windows: list[NDArray] = []
    subjects: list[int] = []
    for path in headers:
        record = wfdb.rdrecord(str(path.with_suffix("")))
        places = {name.casefold(): place for place, name in enumerate(record.sig_name)}
        missing = [lead for lead in LEADS if lead.casefold() not in places]
        if missing:
            raise ValueError(f"{path.name} has no lead {', '.join(missing)}")
        signal = record.p_signal[:, [places[lead.casefold()] for lead in LEADS]].T
        if not np.isfinite(signal).all():
            raise ValueError(f"{path.name} has samples that are no numbers")
        signal = resample_poly(signal, RATE_HZ, round(record.fs), axis=1)
        for first in range(0, signal.shape[1] - samples + 1, samples):
            windows.append(signal[:, first : first + samples])
            subjects.append(folders.index(path.parent))
    if not windows:
        raise ValueError(f"No record in {folder} is as long as {samples} samples at {RATE_HZ} Hz")
    return Recordings(
        np.stack(windows).astype(np.float32),
        np.zeros(len(windows), dtype=np.int64),
        np.array(subjects, dtype=np.int64),
    )
