"""The report: one page and one JSON file, made of what `synthesis.study.study` measured.

Everything the page says is in the JSON: `derive` computes it, in SI units and named, and
`synthesis.report_page` renders it. Same data, same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from behavioral_models.files import write_whole
from behavioral_models.geometry import JEBALI_2024, PRESETS
from hdl.parameters import ChipParameters
from synthesis.energy import BOUNDARIES
from synthesis.netlist import FlatNetlist
from synthesis.report_page import CATEGORIES, DELAYS, SUPPLIES_V, render
from synthesis.scaling import Scaling

__all__ = [
    "CATEGORIES",
    "PUBLISHED",
    "PUBLISHED_SPLIT",
    "capacitance_factor",
    "categories_per_mac_j",
    "delay_by_block",
    "derive",
    "leakage_per_mac_j",
    "macro_sense_j",
    "pareto",
    "reads_per_mac_j",
    "senses",
    "shares",
    "supply_factor",
    "tops_per_watt",
    "write_report",
]

#: Wires of the headline, of the second figure beside it, and for the dependence on wires.
HEADLINE_WIRES = "wire load and clock tree"
IDEAL_WIRES = "ideal wires"

#: Blocks that are not the core's.
_OUTSIDE = ("host port", "chip", "macro")

#: MACs of a published inference: 116 inputs, 128 neurons.
PUBLISHED_MACS = 116 * 128

#: Measured energy of a published inference, J: whole chip at 0.7 V and 10 MHz.
PUBLISHED_INFERENCE_J = 45e-9

#: Published energy split (simulated), parts of 1; the rest is our arithmetic.
PUBLISHED_SPLIT = {
    "the rest, mostly control": 0.723,
    "clock": 0.052,
    "neuron registers": 0.160,
    "read, XNOR, popcount": 0.065,
}

#: Published efficiencies, TOPS/W, each with its boundary and the nearest of ours.
PUBLISHED: tuple[dict[str, Any], ...] = (
    {
        "name": "whole chip",
        "tops_per_watt": 2 * PUBLISHED_MACS / PUBLISHED_INFERENCE_J / 1e12,
        "inferred": True,
        "process_nm": 130,
        "supply_v": 0.7,
        "boundary": "everything on the supply: 29,696 operations in the measured 45 nJ of an "
        "inference",
        "nearest": "core with macro read",
    },
    {
        "name": "without control",
        "tops_per_watt": 2.9,
        "inferred": False,
        "process_nm": 130,
        "supply_v": 0.7,
        "boundary": "without the digital control circuitry; it fits registers and read, without "
        "the clock [inferred]",
        "nearest": "registers, popcount and macro read, no clock",
    },
    {
        "name": "read and popcount",
        "tops_per_watt": 22.5,
        "inferred": False,
        "process_nm": 130,
        "supply_v": 0.7,
        "boundary": "further without clock and neuron registers, and with the optimised read; it "
        "fits read and popcount alone [inferred]",
        "nearest": "popcount and macro read",
    },
    {
        "name": "projected to 28 nm",
        "tops_per_watt": 397.0,
        "inferred": False,
        "process_nm": 28,
        "supply_v": None,
        "boundary": "clock-gated design in 28 nm FDSOI, array redesigned, digital part scaled by a "
        "factor of the two processes; boundary taken to be that of 22.5 [inferred]",
        "nearest": "popcount and macro read, projected",
    },
)

#: First sketch of the plan: fJ per MAC at 1.8 V by style and read timing, ideal wires, random data.
SKETCH_FJ = {
    ("enabled", 3): 855,
    ("enabled", 1): 318,
    ("bank_gated", 3): 347,
    ("bank_gated", 1): 264,
    ("borrow_gated", 1): 209,
}

#: Processes of the projection, nm, and the supplies at 28 nm that span it, V: as low as the
#: published chip works at 130 nm, and the nominal supply of 28 nm FDSOI.
PROCESS_NM = 130
PROJECTED_NM = 28
PROJECTED_V = (0.7, 1.0)

LIMITS = (
    "Wires. There is no layout. The wire-load models of SKY130's Liberty file are little better "
    "than ideal wires; the rows with ten times the wire load show what more of it does.",
    "Clock tree. Estimated: levels of the library's buffers, the tree of least energy, no skew "
    "balancing, no wire of its own to speak of. A real one costs more.",
    "Glitches. Those that unplaced gates make with the Liberty's delays; the tables of styles and "
    "of the sweep have none.",
    "The library's word. Energies are the Liberty's tables. Where they are wrong, so is this "
    "report: a neuron column simulated transistor by transistor is the check. SKY130's gives "
    "full and half adders half of their energy, so netlists with adder cells look better than they "
    "are.",
    "Correlation. Within a cell, pins are taken as independent of each other; the toggles are "
    "counted, not estimated.",
    "Conditions. One corner and one temperature, no supply network, no pads, no package, no "
    "voltage drop.",
    "Other supplies. Energies are scaled by the square of the supply, held against a few cells in "
    "ngspice; the clock there by the cell whose delay grows most. Nothing of it is signed off.",
    "The macro. Full custom and without layout: its read is an amplifier simulated with stated "
    "line loads, in another process than the published one, and not optimised.",
    "Comparison. The published figures are of another 130 nm process, measured or simulated after "
    "place and route, with parasitics; ours are a netlist's.",
)


# Derivations --------------------------------------------------------------------------------------


def tops_per_watt(per_mac_j: float) -> float:
    """Tera-operations a second and watt, two operations a MAC."""
    return 2e-12 / per_mac_j


def supply_factor(to_v: float, from_v: float) -> float:
    """What an energy is multiplied with at another supply: the square of their ratio."""
    return (to_v / from_v) ** 2


def capacitance_factor(to_v: float, from_v: float) -> float:
    """Energy of a function in 28 nm over that in 130 nm.

    Capacitance as the feature size (constant-field scaling of gates, wires of constant capacitance
    a length), energy as capacitance times the square of the supply; the same gates, no leakage.
    """
    return PROJECTED_NM / PROCESS_NM * supply_factor(to_v, from_v)


def shares(parts: Mapping[str, float]) -> dict[str, float]:
    """Parts of 1, by name."""
    total = sum(parts.values())
    return {name: value / total for name, value in parts.items()}


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether no other point is as good in both coordinates and better in one; less is better."""

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a != b and a[0] <= b[0] and a[1] <= b[1]

    return [not any(beats(other, point) for other in points) for point in points]


def senses(measured: Mapping[str, Any]) -> int:
    """Senses of all macros in a measured run: every row of the pass, once an inference."""
    source = measured["energy"][HEADLINE_WIRES]["activity"]
    parameters = measured["parameters"]
    rows = source["weight_rows"] + source["threshold_rows"]
    return measured["inferences"] * rows * parameters["banks"] * parameters["macros_per_bank"]


def macro_sense_j(macro: Mapping[str, Any], supply_v: float) -> float:
    """One sense of all columns of a macro: amplifiers at that supply, word line by V^2."""
    amplifiers_j = macro["by_supply_j"][f"{supply_v:g}"]
    word_line_j = macro["numbers"]["word_line_j"]
    return amplifiers_j + word_line_j * supply_factor(supply_v, macro["supply_v"])


def reads_per_mac_j(
    measured: Mapping[str, Any], macro: Mapping[str, Any], supply_v: float
) -> float:
    """Energy of the macros' reads per useful MAC: threshold rows and idle columns are paid for."""
    return senses(measured) * macro_sense_j(macro, supply_v) / measured["useful_macs"]


def categories_per_mac_j(
    measured: Mapping[str, Any], wires: str = HEADLINE_WIRES, reads_j: float | None = None
) -> dict[str, float]:
    """The core's energy per MAC by the published breakdown's categories.

    Parameters
    ----------
    measured : dict
        A point of the study.
    wires : str
        One of its kinds of wires.
    reads_j : float, optional
        Energy of the macros' reads per MAC, added as ``macro read``.
    """
    by_category = measured["energy"][wires]["by_category_j"]
    result = {
        name: by_category[name] / measured["useful_macs"]
        for name in CATEGORIES
        if name != "macro read"
    }
    if reads_j is not None:
        result["macro read"] = reads_j
    return result


def delay_by_block(path: Mapping[str, Any], top: str = "chip") -> dict[str, float]:
    """Delay of a timing path by the block of each pin on it, in the order they are met."""
    flat = FlatNetlist(top, [], [], {})
    result: dict[str, float] = {}
    for step in path["steps"]:
        owner = step["pin"].rpartition("/")[0]
        block = flat.block_of(owner) if owner else "pins"
        result[block] = result.get(block, 0.0) + step["delay_s"]
    return {block: delay_s for block, delay_s in result.items() if delay_s}


def _per_mac_j(measured: Mapping[str, Any], boundary: str, wires: str = HEADLINE_WIRES) -> float:
    return measured["energy"][wires]["boundaries"][boundary]["energy_per_mac_j"]


def _control_share(measured: Mapping[str, Any], wires: str = HEADLINE_WIRES) -> float:
    return measured["energy"][wires]["control_share_of_core"]


def _is_published(parameters: Mapping[str, Any]) -> bool:
    return all(parameters[name] == value for name, value in JEBALI_2024.as_dict().items())


def _label(parameters: Mapping[str, Any]) -> str:
    """A chip in few words."""
    macros = parameters["macros_per_bank"]
    text = (
        f"{parameters['style']}, {macros} macro{'' if macros == 1 else 's'} of "
        f"{parameters['rows']} x {parameters['columns']} a bank, read timing "
        f"{parameters['read_timing']}"
    )
    if parameters["style"] == "deferred":
        rows = parameters["rows_per_update"]
        text += f", {rows} row{'' if rows == 1 else 's'} at once"
    if parameters["style"] in ("deferred", "borrow_gated"):
        text += f", split {parameters['borrow_split']}"
    return text


def _command(parameters: Mapping[str, Any]) -> str:
    geometry = {
        name: parameters[name] for name in JEBALI_2024.as_dict()
    }  # what a preset says of itself
    for name, each in PRESETS.items():
        if each.as_dict() == geometry:
            plain = ChipParameters(each, parameters["read_timing"], parameters["style"])
            options = "".join(
                f" --{option.replace('_', '-')} {parameters[option]:g}"
                for option in ("borrow_split", "rows_per_update")
                if parameters[option] != getattr(plain, option)
            )
            if parameters["clock_hz"] != plain.clock_hz:
                options += f" --clock {parameters['clock_hz']:g}"
            if options:
                return (
                    f"python -m synthesis report --geometry {name} --style {parameters['style']} "
                    f"--timing {parameters['read_timing']}{options}"
                )
            return (
                f"make report GEOMETRY={name} STYLE={parameters['style']} "
                f"TIMING={parameters['read_timing']}"
            )
    return "synthesis.report.write_report(synthesis.study.study(parameters), folder)"


def _aims(
    data: Mapping[str, Any],
    own: Mapping[tuple[str, str], Mapping[str, Any]],
    clock_hz: float | None,
) -> list[dict[str, Any]]:
    """The plan's aims beside what was reached, by how it was counted."""
    chip = own["random", "zero"]
    if not _is_published(chip["parameters"]):
        published = [each for each in data["styles"] if _is_published(each["parameters"])]
        chip = min(published, key=lambda each: _per_mac_j(each, "headline", IDEAL_WIRES))
        with_glitches = None
    else:
        with_glitches = own.get(("random", "liberty"))
    best_core = _best(data, "core", HEADLINE_WIRES)
    aims: list[dict[str, Any]] = []

    def add(
        what: str,
        boundary: str,
        unit: str,
        aim: float,
        more: bool,
        measured: Mapping[str, Any],
        figure: Callable[[Mapping[str, Any], str], float],
        glitches: Mapping[str, Any] | None = None,
    ) -> None:
        values = {
            "ideal wires, no glitches": figure(measured, IDEAL_WIRES),
            "wire load and clock tree, no glitches": figure(measured, HEADLINE_WIRES),
        }
        if glitches is not None:
            values["wire load and clock tree, with glitches"] = figure(glitches, HEADLINE_WIRES)
        aims.append({
            "what": what, "boundary": boundary, "unit": unit, "aim": aim,
            "chip": _label(measured["parameters"]), "values": values,
            "reached": {
                name: bool(value >= aim if more else value <= aim) for name, value in values.items()
            },
        })  # fmt: skip

    def energy(boundary: str) -> Callable[[Mapping[str, Any], str], float]:
        return lambda each, wires: _per_mac_j(each, boundary, wires)

    for boundary in ("headline", "instances"):
        add(
            "energy per MAC at 1.8 V, published geometry, at most", boundary, "J", 170e-15, False,
            chip, energy(boundary), with_glitches,
        )  # fmt: skip
    for boundary in ("headline", "instances"):
        add(
            "energy per MAC at 1.8 V, best geometry, at most", boundary, "J", 90e-15, False,
            _best(data, boundary, IDEAL_WIRES), energy(boundary),
        )  # fmt: skip

    def core_efficiency(each: Mapping[str, Any], wires: str) -> float:
        return tops_per_watt(_per_mac_j(each, "core", wires) * _down(data, 0.7))

    add(
        "efficiency at 0.7 V, published geometry, at least", "core", "TOPS/W", 60, True, chip,
        core_efficiency, with_glitches,
    )  # fmt: skip
    add(
        "efficiency at 0.7 V, best geometry, at least", "core", "TOPS/W", 110, True, best_core,
        core_efficiency,
    )  # fmt: skip
    add(
        "control's share of the core's energy, at most", "core", "share", 0.10, False, chip,
        _control_share, with_glitches,
    )  # fmt: skip
    aims.append({
        "what": "clock at the typical corner, more than", "boundary": "chip with macros",
        "unit": "Hz", "aim": 100e6, "chip": _label(data["chip"]),
        "values": {} if clock_hz is None else {"wire load, ideal clock": clock_hz},
        "reached": {} if clock_hz is None else {"wire load, ideal clock": clock_hz > 100e6},
        **({"missing": data["timing"]["missing"]} if clock_hz is None else {}),
    })  # fmt: skip
    return aims


def _best(data: Mapping[str, Any], boundary: str, wires: str) -> Mapping[str, Any]:
    """The point of least energy per MAC; random data, no glitches."""
    points = [*data["sweep"], *data["styles"]]
    return min(points, key=lambda each: _per_mac_j(each, boundary, wires))


def _down(data: Mapping[str, Any], supply_v: float) -> float:
    return supply_factor(supply_v, data["library"]["voltage_v"])


def leakage_per_mac_j(measured: Mapping[str, Any], clock_hz: float, factor: float) -> float:
    """The core's leakage per MAC at another clock, its energy a second multiplied by a factor."""
    energy = measured["energy"][HEADLINE_WIRES]
    leakage_j = sum(
        kinds["leakage"] for block, kinds in energy["by_block_j"].items() if block not in _OUTSIDE
    )
    return factor * leakage_j / (energy["period_s"] * clock_hz) / measured["useful_macs"]


def _clocks(
    data: Mapping[str, Any], measured: Mapping[str, Any], nominal_hz: float | None
) -> list[dict[str, Any]]:
    """What the cells measured in ngspice say of each supply, and what leaks at the clock there."""
    scaling = Scaling.from_dict(data["scaling"])
    result = []
    for supply_v in SUPPLIES_V:
        growth = scaling.delay_growth(supply_v)
        square = scaling.energy_against_square(supply_v)
        factor = _down(data, supply_v)
        clock_hz = None if nominal_hz is None else scaling.clock_hz(supply_v, nominal_hz)
        leakage_j = None if clock_hz is None else leakage_per_mac_j(measured, clock_hz, factor)
        result.append({
            "supply_v": supply_v,
            "factor": factor,
            "delay_growth": max(growth.values()),
            "slowest_cell": scaling.slowest(supply_v),
            "energy_against_square": [min(square.values()), max(square.values())],
            "clock_hz": clock_hz,
            "operations_per_s": None if clock_hz is None
            else 2 * measured["useful_macs"] / measured["cycles"] * clock_hz,
            "leakage_share_of_core": None if leakage_j is None
            else leakage_j / (_per_mac_j(measured, "core") * factor),
        })  # fmt: skip
    return result


def _boundaries_per_mac_j(measured: Mapping[str, Any]) -> dict[str, float]:
    """The boundaries of the efficiency table: energy's own, and the published one without clock."""
    categories = categories_per_mac_j(measured)
    return {
        "popcount": _per_mac_j(measured, "popcount"),
        "registers and popcount, no clock": categories["neuron registers"] + categories["popcount"],
        "headline": _per_mac_j(measured, "headline"),
        "core": _per_mac_j(measured, "core"),
        "chip": _per_mac_j(measured, "chip"),
    }


_READ_NAMES = {
    "popcount": "popcount and macro read",
    "registers and popcount, no clock": "registers, popcount and macro read, no clock",
    "headline": "headline with macro read",
    "core": "core with macro read",
    "chip": "chip with macro read",
}

_HOLDS = {**BOUNDARIES, "registers and popcount, no clock": "neuron registers, rows that wait, "
    "popcount and masks; neither their clock nor any macro"}  # fmt: skip


def _efficiency(data: Mapping[str, Any], measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for with_read in (False, True):
        for name, per_mac_j in _boundaries_per_mac_j(measured).items():
            at = {}
            for supply_v in SUPPLIES_V:
                total_j = per_mac_j * _down(data, supply_v)
                if with_read:
                    total_j += reads_per_mac_j(measured, data["macro"], supply_v)
                at[f"{supply_v:g}"] = {
                    "energy_per_mac_j": total_j,
                    "tops_per_watt": tops_per_watt(total_j),
                }
            rows.append({
                "name": _READ_NAMES[name] if with_read else name,
                "holds": _HOLDS[name].replace("; no macro", "").replace(", no macro", "")
                + (", and the macros' reads" if with_read else ""),
                "macro_read": with_read,
                "by_supply": at,
            })  # fmt: skip
    return rows


def _projection(data: Mapping[str, Any], efficiency: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Efficiencies in 28 nm, two ways."""
    published_v = SUPPLIES_V[-1]
    published = {each["name"]: each["tops_per_watt"] for each in PUBLISHED}
    ratio = published["projected to 28 nm"] / published["read and popcount"]
    factors = {f"{v:g}": capacitance_factor(v, published_v) for v in PROJECTED_V}
    rows = []
    for each in efficiency:
        start = each["by_supply"][f"{published_v:g}"]["tops_per_watt"]
        if each["name"] not in ("headline", "core", "core with macro read",
                                "popcount and macro read"):  # fmt: skip
            continue
        by_capacitance = sorted(start / factor for factor in factors.values())
        rows.append({
            "name": each["name"], "from_tops_per_watt": start,
            "by_capacitance_tops_per_watt": by_capacitance,
            "by_published_ratio_tops_per_watt": start * ratio,
        })  # fmt: skip
    return {
        "from_nm": PROCESS_NM,
        "from_v": published_v,
        "to_nm": PROJECTED_NM,
        "to_v": list(PROJECTED_V),
        "capacitance_factors": factors,
        "gains_by_capacitance": {name: 1 / factor for name, factor in factors.items()},
        "gain_published": ratio,
        "rows": rows,
        "assumptions": [
            f"By capacitance: energy of a function = ({PROJECTED_NM} / {PROCESS_NM}) x (V / "
            f"{published_v:g} V)^2 times that at {published_v:g} V in {PROCESS_NM} nm. Capacitance "
            "goes with the feature size, the netlist stays the same, leakage is left out. The "
            f"range is that of the supply in {PROJECTED_NM} nm: {PROJECTED_V[0]:g} V, as low as "
            f"here, to {PROJECTED_V[1]:g} V, nominal for FDSOI (assumed).",
            "By the published ratio: times 397 / 22.5, what the publication gains for read and "
            "popcount from 130 nm to 28 nm FDSOI. It holds a newly designed array besides the "
            "process and its supply is not published, so take it as the upper end.",
            "Both are projections: nothing of this chip exists in 28 nm.",
        ],
    }  # fmt: skip


def _point_row(data: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the tables of styles and of the sweep."""
    parameters = measured["parameters"]
    core_j = _per_mac_j(measured, "core")
    return {
        "label": _label(parameters),
        "parameters": parameters,
        "cycles_per_inference": measured["cycles"] / measured["inferences"],
        "macs_per_cycle": measured["useful_macs"] / measured["cycles"],
        "core_area_um2": measured["core_area_um2"],
        "instances_ideal_j": _per_mac_j(measured, "instances", IDEAL_WIRES),
        "headline_ideal_j": _per_mac_j(measured, "headline", IDEAL_WIRES),
        "headline_j": _per_mac_j(measured, "headline"),
        "core_j": core_j,
        "control_share": _control_share(measured),
        "core_tops_per_watt_low": tops_per_watt(core_j * _down(data, SUPPLIES_V[-1])),
        "sketch_j": SKETCH_FJ[key] * 1e-15
        if (key := (parameters["style"], parameters["read_timing"])) in SKETCH_FJ
        and _is_published(parameters)
        else None,
    }


def _front(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All chips with read timing 1 once, and whether they are on the Pareto front."""
    rows: list[dict[str, Any]] = []
    for each in (*data["sweep"], *data["styles"]):
        row = _point_row(data, each)
        if row["parameters"]["read_timing"] == 1 and row["parameters"] not in [
            other["parameters"] for other in rows
        ]:
            rows.append(row)
    rows.sort(key=lambda row: (row["core_area_um2"], row["core_j"]))
    on_front = pareto([(row["core_area_um2"], row["core_j"]) for row in rows])
    return [
        {"number": number, "on_front": best, **row}
        for number, (row, best) in enumerate(zip(rows, on_front, strict=True), 1)
    ]


def _breakdown(
    data: Mapping[str, Any], own: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Pies: the published one, the style as fabricated, and this chip, with and without reads."""
    pies: list[dict[str, Any]] = [{
        "name": "published chip",
        "about": "simulated, macro reads included; energy per MAC measured at 0.7 V [inferred]",
        "per_mac_j": {
            name: part * PUBLISHED_INFERENCE_J / PUBLISHED_MACS
            for name, part in PUBLISHED_SPLIT.items()
        },
        "all_per_mac_j": PUBLISHED_INFERENCE_J / PUBLISHED_MACS,
        "supply_v": 0.7, "shares": dict(PUBLISHED_SPLIT),
    }]  # fmt: skip
    supply_v = data["library"]["voltage_v"]
    rows_columns = data["chip"]["rows"], data["chip"]["columns"]

    def add(name: str, about: str, measured: Mapping[str, Any], with_read: bool) -> None:
        if with_read and f"{supply_v:g}" not in data["macro"]["by_supply_j"]:
            return  # the macro's model does not hold at this library's supply
        reads_j = reads_per_mac_j(measured, data["macro"], supply_v) if with_read else None
        parts = categories_per_mac_j(measured, HEADLINE_WIRES, reads_j)
        pies.append({
            "name": name, "about": about, "per_mac_j": parts, "supply_v": supply_v,
            "all_per_mac_j": sum(parts.values()), "shares": shares(parts),
        })  # fmt: skip

    fabricated = next(
        (
            each
            for each in data["styles"]
            if (each["parameters"]["style"], each["parameters"]["read_timing"]) == ("enabled", 3)
            and (each["parameters"]["rows"], each["parameters"]["columns"]) == rows_columns
        ),
        None,
    )
    if fabricated is not None:
        add("as fabricated, our netlist", "enabled, read timing 3, random data, reads included",
            fabricated, True)  # fmt: skip
    for workload in ("random", "digits"):
        measured = own.get((workload, "liberty")) or own.get((workload, "zero"))
        if measured is not None:
            words = DELAYS[measured["delays"]]
            add(f"this chip, {workload}", f"{words}, reads included", measured, True)
            add(f"this chip, {workload}, core only", f"{words}, without reads", measured, False)
    return pies


def _timing(data: Mapping[str, Any]) -> dict[str, Any]:
    timing = data["timing"]
    if "missing" in timing:
        return {"missing": timing["missing"]}
    corners = []
    for corner in timing["corners"]:
        row = {name: value for name, value in corner.items() if name not in ("setup", "hold")}
        worst = corner["setup"]["worst"]
        row["worst_path"] = {
            "startpoint": worst["startpoint"], "endpoint": worst["endpoint"],
            "slack_s": worst["slack_s"],
            "delay_by_block_s": delay_by_block(worst, timing["top"]),
        }  # fmt: skip
        row["blocks"] = [
            {
                "block": block, "setup_slack_s": path["slack_s"], "arrival_s": path["arrival_s"],
                "startpoint": path["startpoint"], "endpoint": path["endpoint"],
                "hold_slack_s": corner["hold"][block]["slack_s"]
                if block in corner["hold"] else None,
            }
            for block, path in corner["setup"].items() if block != "worst"
        ]  # fmt: skip
        corners.append(row)
    return {
        "period_s": timing["period_s"],
        "tool": timing["tool"],
        "conditions": list(timing["conditions"]),
        "corners": corners,
    }


def _checks(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was checked, what came out, and whether it is as it should be (None: not checked)."""
    found = data["checks"]
    checks: list[dict[str, Any]] = []

    def add(what: str, passed: bool | None, words: str, **figures: Any) -> None:
        checks.append({"what": what, "passed": passed, "words": words, **figures})

    run = found.get("gate_level", {"missing": "not run for this report"})
    if "missing" in run:
        add("digits on the netlist", None, run["missing"])
    else:
        compared = sum(run["compared"].values())
        wrong = sum(run["differences"].values())
        add(
            "digits on the netlist", wrong == 0,
            f"{run['digits']} held-out digits through the gate-level netlist behind the host "
            f"protocol: {wrong} of {compared:,} outputs, preactivations and cycle counts differ "
            f"from the golden model; {run['right']} recognised. {run['simulator']}.",
            digits=run["digits"], compared=compared, differences=wrong,
        )  # fmt: skip
    column = found.get("column", {"missing": "not run for this report"})
    if "missing" in column:
        add("a neuron column in ngspice", None, column["missing"])
    elif "failed" in column:
        add("a neuron column in ngspice", False, column["failed"])
    else:
        off = column["ratio"] - 1
        add(
            "a neuron column in ngspice", abs(off) <= 0.2,
            f"transistors take {column['ratio']:.3f} times what the Liberty's tables say, same "
            f"stimulus, within 20 % asked; {column['same_activity_ratio']:.3f} times with the "
            f"toggles that ngspice saw. {column['cells']:,} cells, {column['transistors']:,} "
            f"transistors, {column['counted_cycles']} cycles; {column['made_by']['simulator']}, "
            f"{column['made_by']['models']}.",
            ratio=column["ratio"],
            blocks=[
                {
                    "block": block, **figures,
                    "ratio": figures["spice_j"] / figures["liberty_j"]
                    if figures["liberty_j"] else None,
                }
                for block, figures in column["by_block"].items()
            ],
        )  # fmt: skip
    proof = found.get("equivalence", {"missing": "not proven for this report: "
        "python -m synthesis equivalence and the tests prove every style"})  # fmt: skip
    modules = proof.get("modules", []) if isinstance(proof, Mapping) else proof
    if isinstance(proof, Mapping) and "missing" in proof:
        add("netlist equal to RTL", None, proof["missing"])
    else:
        unequal = [each["module"] for each in modules if not each["equal"]]
        add(
            "netlist equal to RTL", not unequal,
            f"{len(modules) - len(unequal)} of {len(modules)} modules proven equal by Yosys's SAT "
            f"solver{'; not: ' + ', '.join(unequal) if unequal else ''}.",
            modules=len(modules), unequal=unequal,
        )  # fmt: skip
    by_timing: dict[int, set[int]] = {}
    for each in data["styles"]:
        by_timing.setdefault(each["parameters"]["read_timing"], set()).add(each["cycles"])
    add(
        "no cycle lost", all(len(cycles) == 1 for cycles in by_timing.values()),
        "cycles of the run, the same for every style: "
        + "; ".join(
            f"read timing {timing}: {' or '.join(f'{n:,}' for n in sorted(cycles))}"
            for timing, cycles in sorted(by_timing.items())
        )
        + ".",
    )  # fmt: skip
    add(
        "power against OpenSTA", None,
        "a test, not part of a report: total and blocks within 5 % of OpenSTA's report_power on "
        "the same netlist and activity, for the styles that count row by row "
        "(tests/synthesis/test_energy.py).",
    )  # fmt: skip
    return checks


def _made(data: Mapping[str, Any], own: Mapping[Any, Mapping[str, Any]]) -> list[list[str]]:
    """How the figures were made: pairs of words."""
    library = data["library"]
    rows = [
        ["command", _command(data["chip"])],
        [
            "library",
            f"{library['name']}, corner {library['corner']}, {library['voltage_v']:g} V, "
            f"{library['temperature_c']:g} C, SHA-256 {library['sha256']}",
        ],
        ["tools", ", ".join(f"{name} {version}" for name, version in data["tools"].items())],
        ["energy", next(iter(own.values()))["energy"][HEADLINE_WIRES]["made_by"]["rules"]
            + f"; wire load {library['wire_load'] or 'none in the library'}"],
    ]  # fmt: skip
    for measured in own.values():
        activity = measured["energy"][HEADLINE_WIRES]["activity"]
        rows.append([
            f"{measured['workload']}, {measured['delays']} delays",
            f"{activity['words']}; {measured['inferences']} inferences, {measured['cycles']:,} "
            f"cycles, {measured['useful_macs']:,} useful MACs; {activity['simulator']}",
        ])  # fmt: skip
    some = data["styles"][0]
    rows.append([
        "styles and sweep",
        f"random data, {some['inferences']} inferences each, no delays, otherwise the same",
    ])  # fmt: skip
    rows.append(["timing", data["timing"].get("tool") or data["timing"]["missing"]])
    made = data["scaling"]["made_by"]
    rows.append(["supplies", "; ".join(f"{value}" for value in made.values())])
    rows.append([
        "macro",
        "sense amplifier and word line of the SPICE decks on SKY130 with their stated line loads "
        "(docs/macro_views.md)",
    ])  # fmt: skip
    return rows


def derive(data: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the page shows, computed from a study.

    Parameters
    ----------
    data : dict
        Of `synthesis.study.study`.

    Returns
    -------
    dict
        `summary`, `headline`, `aims`, `area`, `timing`, `breakdown`, `wires`, `efficiency`,
        `projection`, `styles`, `sweep`, `checks`, `limits` and `made`: SI units, energies per MAC.
    """
    own = {(each["workload"], each["delays"]): each for each in data["energy"]}
    random = own.get(("random", "liberty")) or own["random", "zero"]
    timing = _timing(data)
    clock_hz = None if "missing" in timing else timing["corners"][0]["maximum_clock_hz"]
    area = {
        block: {**each, "share_of_core": each["area_um2"] / random["core_area_um2"]}
        for block, each in data["area"].items()
    }
    efficiency = _efficiency(data, random)
    chip = data["chip"]
    core = next(each for each in efficiency if each["name"] == "core")["by_supply"]
    whole = next(each for each in efficiency if each["name"] == "core with macro read")
    low = f"{SUPPLIES_V[-1]:g}"
    plain = own["random", "zero"]
    ratio = data["checks"].get("column", {}).get("ratio")
    return {
        "summary": f"A binarized neural network chip: {chip['memristors']:,} memristors in "
        f"{chip['banks'] * chip['macros_per_bank']} macros of {chip['rows']} rows and "
        f"{chip['columns']} columns, {chip['neurons']} neurons of {chip['register_width']} bits, "
        f"style {chip['style']}, read timing {chip['read_timing']}. Its digital part as a netlist "
        f"of {data['library']['name']}, running whole inferences. No layout: a proxy, with what "
        "it cannot know said below.",
        "headline": {
            "delays": random["delays"],
            "per_mac_j": _per_mac_j(random, "headline"),
            "per_mac_no_glitches_j": _per_mac_j(plain, "headline"),
            "per_mac_ideal_j": _per_mac_j(plain, "headline", IDEAL_WIRES),
            "column_ratio": ratio,
            "per_mac_by_column_j": None
            if ratio is None
            else ratio * _per_mac_j(random, "headline"),
            "core_per_mac_j": _per_mac_j(random, "core"),
            "core_tops_per_watt": core[f"{SUPPLIES_V[0]:g}"]["tops_per_watt"],
            "core_tops_per_watt_low": core[low]["tops_per_watt"],
            "with_read_tops_per_watt_low": whole["by_supply"][low]["tops_per_watt"],
            "core_per_inference_j": random["energy"][HEADLINE_WIRES]["boundaries"]["core"][
                "energy_per_inference_j"
            ],
            "control_share": _control_share(random),
            "core_area_um2": random["core_area_um2"],
            "maximum_clock_hz": clock_hz,
            "limited_by": None if clock_hz is None else timing["corners"][0]["limited_by"],
            "corner": data["library"]["corner"],
            "low_v": SUPPLIES_V[-1],
            "high_v": data["library"]["voltage_v"],
        },
        "aims": _aims(data, own, clock_hz),
        "area": area,
        "core_area": {
            name: sum(each[name] for block, each in area.items() if block not in _OUTSIDE)
            for name in ("cells", "flip_flops", "area_um2")
        },
        "timing": timing,
        "breakdown": _breakdown(data, own),
        "macro": {
            "senses_per_inference": senses(random) / random["inferences"],
            "sense_j": {f"{v:g}": macro_sense_j(data["macro"], v) for v in SUPPLIES_V},
            "reads_per_mac_j": {
                f"{v:g}": reads_per_mac_j(random, data["macro"], v) for v in SUPPLIES_V
            },
        },
        "wires": [
            {
                "workload": workload,
                "delays": delays,
                "wires": wires,
                "headline_j": _per_mac_j(measured, "headline", wires),
                "core_j": _per_mac_j(measured, "core", wires),
                "chip_j": _per_mac_j(measured, "chip", wires),
                "core_per_inference_j": measured["energy"][wires]["boundaries"]["core"][
                    "energy_per_inference_j"
                ],
                "control_share": _control_share(measured, wires),
                "categories_j": categories_per_mac_j(measured, wires),
                "glitches": _per_mac_j(measured, "core", wires)
                / _per_mac_j(own[workload, "zero"], "core", wires)
                - 1
                if delays == "liberty" and (workload, "zero") in own
                else None,
            }
            for (workload, delays), measured in own.items()
            for wires in measured["energy"]
        ],
        "boundaries": _HOLDS,
        "efficiency": {
            "ours": efficiency,
            "published": [dict(each) for each in PUBLISHED],
            "clocks": _clocks(data, random, clock_hz),
            "rival": {"name": "analog MRAM 64 x 64, 28 nm", "tops_per_watt": 405.0},
        },
        "projection": _projection(data, efficiency),
        "styles": [_point_row(data, each) for each in data["styles"]],
        "sweep": _front(data),
        "checks": _checks(data),
        "limits": list(LIMITS),
        "made": _made(data, own),
    }


def _without_times(data: Any) -> Any:
    """The same data without how long things took, which no two runs agree on."""
    if isinstance(data, Mapping):
        return {key: _without_times(value) for key, value in data.items() if key != "seconds"}
    if isinstance(data, list | tuple):
        return [_without_times(value) for value in data]
    return data


def write_report(data: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json``.

    Parameters
    ----------
    data : dict
        Of `synthesis.study.study`.
    folder : Path
        Made if there is none.

    Returns
    -------
    tuple of Path
        The page, which needs nothing else, and the data with all derived figures (``derived``). The
        same data gives the same bytes.
    """
    data = _without_times(data)
    text = json.dumps({**data, "derived": derive(data)}, indent=1) + "\n"
    page, figures = folder / "report.html", folder / "report.json"
    write_whole(figures, text)
    write_whole(page, render(json.loads(text)))
    return page, figures
