"""A parameter file from measured resistances: `python -m behavioral_models fit CSV`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import shapiro

from behavioral_models.memristor import Condition, Empirical, LogNormal
from behavioral_models.parameter_files import Parameters, number, write

__all__ = ["Measurements", "fit", "read_csv"]

_STATES = ("lrs", "hrs")


@dataclass(frozen=True)
class Measurements:
    """Resistances of one state.

    Attributes
    ----------
    ohm : float (measurements,)
    device : int (measurements,)
        Which device each was measured on; all different where the file has no column for it.
    """

    ohm: NDArray[np.float64]
    device: NDArray[np.int64]


def read_csv(path: Path) -> dict[str, Measurements]:
    """Read columns `state` (lrs or hrs), `ohm` and, where there is one, `device`.

    Raises
    ------
    ValueError
        Naming the line, if a value is missing or is no positive resistance, or a state has fewer
        than 8 measurements.
    """
    ohm: dict[str, list[float]] = {state: [] for state in _STATES}
    device: dict[str, list[int]] = {state: [] for state in _STATES}
    names: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            if not {"state", "ohm"} <= set(columns):
                raise ValueError(
                    f"{path} must have the columns state (lrs or hrs) and ohm, and may have "
                    f"device; it has {', '.join(columns) or 'none'}"
                )
            for row in reader:
                line = reader.line_num
                state = (row["state"] or "").strip().lower()
                if state not in _STATES:
                    raise ValueError(
                        f"{path}, line {line}: state must be lrs or hrs, not {state!r}"
                    )
                try:
                    value = float(row["ohm"])
                except (TypeError, ValueError):
                    value = float("nan")
                if not 0 < value < float("inf"):
                    raise ValueError(
                        f"{path}, line {line}: ohm must be a resistance above 0, not {row['ohm']!r}"
                    )
                ohm[state].append(value)
                name = (row.get("device") or "").strip() or f"line {line}"
                device[state].append(names.setdefault(name, len(names)))
    except OSError as error:
        raise ValueError(f"Cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"{path} is not text: it must be a CSV file in UTF-8") from None
    for state in _STATES:
        if len(ohm[state]) < 8:
            raise ValueError(
                f"{path} has {len(ohm[state])} measurements of state {state}; a fit takes at "
                f"least 8"
            )
    return {state: Measurements(np.array(ohm[state]), np.array(device[state])) for state in _STATES}


def _device_share(decades: NDArray[np.float64], device: NDArray[np.int64]) -> float | None:
    """Part of the variance between devices, by one-way analysis; None if not to be had."""
    groups = [decades[device == d] for d in np.unique(device)]
    count, total = len(groups), len(decades)
    if count < 2 or total < count + 2:
        return None
    within = sum(float(((g - g.mean()) ** 2).sum()) for g in groups) / (total - count)
    grand = decades.mean()
    between = sum(len(g) * float((g.mean() - grand) ** 2) for g in groups) / (count - 1)
    size = (total - sum(len(g) ** 2 for g in groups) / total) / (count - 1)
    of_devices = max(between - within, 0.0) / size
    whole = of_devices + within
    return of_devices / whole if whole else None


def fit(
    path: Path,
    output: Path,
    set_compliance_a: float,
    reset_v: float,
    pulse_s: float,
    distribution: str = "lognormal",
    set_name: str = "user",
    about: str = "",
) -> dict[str, Any]:
    """Make a condition from measurements and write its parameter file.

    The file holds at the programming that was measured and refuses any other.

    Parameters
    ----------
    path : Path
        CSV file: see `read_csv`.
    output : Path
        Parameter file to write, ending in `.toml`.
    set_compliance_a, reset_v, pulse_s : float
        Programming at which the resistances were measured.
    distribution : str
        `lognormal`, or `empirical`: the measured quantiles as they are.
    set_name, about : str
        Parameter set the file belongs to, and what it describes.

    Returns
    -------
    dict
        What was found, for the screen: per state measurements, devices, median, spread, share, and
        the p-value of a normal logarithm (Shapiro and Wilk).

    Raises
    ------
    ValueError
        If the file cannot be read, `output` is no `.toml`, or LRS is not below HRS.
    """
    if output.suffix != ".toml":
        raise ValueError(f"A parameter file's name ends in .toml, unlike {output}")
    for name, value in (
        ("compliance", set_compliance_a), ("RESET voltage", reset_v), ("pulse time", pulse_s)
    ):  # fmt: skip
        if not value > 0:
            raise ValueError(f"The {name} must be above 0, not {value!r}")
    measured = read_csv(path)
    tree: dict[str, Any] = {
        "kind": "memristor",
        "set": set_name,
        "about": about or f"fitted to {path.name}",
        "programming": {
            "set_compliance_a": number(set_compliance_a, "cited", f"measurement {path.name}"),
            "reset_v": number(reset_v, "cited", f"measurement {path.name}"),
            "pulse_s": number(pulse_s, "cited", f"measurement {path.name}"),
        },
    }
    found: dict[str, Any] = {}
    for state, values in measured.items():
        decades = np.log10(values.ohm)
        devices = len(np.unique(values.device))
        note = f"{len(decades)} measurements of {devices} devices, {path.name}"
        share = _device_share(decades, values.device)
        table: dict[str, Any] = {"distribution": distribution}
        if distribution == "lognormal":
            spread = float(decades.std(ddof=1))
            if not spread > 0:
                raise ValueError(f"All resistances of state {state} in {path} are the same")
            median = float(10 ** decades.mean())
            model: LogNormal | Empirical = LogNormal(median, spread)
            table["median_ohm"] = number(median, "fitted", f"mean of log10 R; {note}")
            table["spread_decades"] = number(
                spread, "fitted", f"standard deviation of log10 R; {note}"
            )
        elif distribution == "empirical":
            model = Empirical(values.ohm)
            table["ohm"] = sorted(float(v) for v in values.ohm)
        else:
            raise ValueError(
                f"A fit makes a lognormal or an empirical distribution, not {distribution!r}"
            )
        if share is None:
            table["device_share"] = number(
                0.5, "assumed", "no device was measured more than once: nothing tells the two apart"
            )
        else:
            table["device_share"] = number(
                share, "fitted", f"one-way analysis of variance of log10 R; {note}"
            )
        tree[state] = table
        found[state] = {
            "measurements": len(decades),
            "devices": devices,
            "median_ohm": float(model.ohm(0.0)),
            "spread_decades": float(decades.std(ddof=1)),
            "device_share": share,
            "lognormal_p": float(shapiro(decades[:: 1 + len(decades) // 5000]).pvalue),
        }
    if found["lrs"]["median_ohm"] >= found["hrs"]["median_ohm"]:
        raise ValueError(
            f"The median LRS in {path} is not below the median HRS: are the states exchanged?"
        )
    guess = "V I t of the SET pulse at 2 V: replace it by a measurement"
    energy = 2.0 * set_compliance_a * pulse_s
    tree["stuck"] = {
        "lrs": number(0.0, "assumed", "set it to the measured part of dead devices"),
        "hrs": number(0.0, "assumed", "set it to the measured part of dead devices"),
    }
    tree["energy"] = {
        f"{pulse}_j": number(energy, "assumed", guess) for pulse in ("form", "set", "reset")
    }
    Condition(Parameters(str(output), "memristor", set_name, "", tree))  # it will load
    write(output, tree)
    return found
