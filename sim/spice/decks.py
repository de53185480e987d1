"""Netlists: sense amplifiers with their cells and lines, and the level shifter.

Every deck is text, made from plain numbers alone, so that its hash names its result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sim.spice.models import Geometry, transistor

__all__ = [
    "GROUPS", "LOADS", "TRANSISTORS", "Amplifier", "Loads", "amplifier_deck", "path_deck",
    "sense_period_s", "shifter_deck",
    "shifter_period_s", "thresholds_sigma_v", "transistor_loads_f",
]  # fmt: skip

LATCH_N = Geometry("nfet_01v8", 2, 0.15)
LATCH_P = Geometry("pfet_01v8", 1, 0.15)
XNOR = Geometry("nfet_g5v0d10v5", 4, 0.5)
ACCESS = Geometry("nfet_g5v0d10v5", 2, 0.5)
# the level shifter: a cross-coupled pair needs pull-downs that win at the lowest supply
SHIFTER_N = Geometry("nfet_g5v0d10v5", 40, 0.5)
SHIFTER_P = Geometry("pfet_g5v0d10v5", 1, 0.5)
DRIVER_N = Geometry("nfet_g5v0d10v5", 10, 0.5)
DRIVER_P = Geometry("pfet_g5v0d10v5", 20, 0.5)
INVERTER_N = Geometry("nfet_g5v0d10v5", 4, 0.5)
INVERTER_P = Geometry("pfet_g5v0d10v5", 8, 0.5)

#: Transistors of one amplifier and its cell: geometry, drain, gate, source, bulk. Output 0 (`q`)
#: is on the side that x = 1 connects to BL.
TRANSISTORS = {
    "precharge_0": (LATCH_P, "q", "sen", "vdd", "vdd"),
    "precharge_1": (LATCH_P, "qb", "sen", "vdd", "vdd"),
    "latch_p0": (LATCH_P, "q", "qb", "vdd", "vdd"),
    "latch_p1": (LATCH_P, "qb", "q", "vdd", "vdd"),
    "latch_n0": (LATCH_N, "q", "qb", "s", "0"),
    "latch_n1": (LATCH_N, "qb", "q", "sb", "0"),
    "xnor_straight_0": (XNOR, "s", "x", "bl", "0"),
    "xnor_straight_1": (XNOR, "sb", "x", "blb", "0"),
    "xnor_crossed_0": (XNOR, "s", "xb", "blb", "0"),
    "xnor_crossed_1": (XNOR, "sb", "xb", "bl", "0"),
    "access_0": (ACCESS, "bl", "wl", "c", "0"),
    "access_1": (ACCESS, "blb", "wl", "cb", "0"),
}

#: Mismatch groups, as the amplifier model keeps them apart.
GROUPS = {
    "latch": tuple(n for n in TRANSISTORS if n.startswith(("precharge", "latch"))),
    "xnor": tuple(n for n in TRANSISTORS if n.startswith("xnor")),
    "cell": tuple(n for n in TRANSISTORS if n.startswith("access")),
}


def thresholds_sigma_v() -> dict[str, float]:
    """Standard deviation of each transistor's threshold, from the PDK's mismatch model."""
    return {name: transistor(spec[0]).sigma_vth_v for name, spec in TRANSISTORS.items()}


@dataclass(frozen=True)
class Loads:
    """Lines of one macro; capacitances follow from the PDK's drains and gates, wires are assumed.

    Attributes
    ----------
    rows, columns : int
        Word lines, and bit cells of each.
    row_pitch_um, column_pitch_um : float
        Pitch of a word line and of a bit cell. Assumed: two 2 um transistors side by side.
    wire_f_per_um : float
        Capacitance of a minimum wire. Assumed: 0.2 fF/um, the usual round figure.
    source_line_ohm : float
        Output resistance of a source line's driver, a column each. Assumed.
    output_f : float
        What each output drives. Assumed: a small gate and its wire.
    """

    rows: int = 64
    columns: int = 64
    row_pitch_um: float = 3.0
    column_pitch_um: float = 6.0
    wire_f_per_um: float = 0.2e-15
    source_line_ohm: float = 500.0
    output_f: float = 3e-15

    @property
    def bit_line_f(self) -> float:
        """BL or BLb: a drain and a pitch of wire for each row but the one that is simulated."""
        return (self.rows - 1) * (
            transistor(ACCESS).drain_f + self.row_pitch_um * self.wire_f_per_um
        ) + self.row_pitch_um * self.wire_f_per_um

    @property
    def source_line_f(self) -> float:
        """SL of one column: two top electrodes a row on one wire; no transistor is on it."""
        return 2 * self.rows * self.row_pitch_um * self.wire_f_per_um

    @property
    def word_line_f(self) -> float:
        """WL: two gates and a pitch of wire for each column."""
        return self.columns * (
            2 * transistor(ACCESS).gate_f + self.column_pitch_um * self.wire_f_per_um
        )


LOADS = Loads()


@dataclass(frozen=True)
class Amplifier:
    """One sense: cell, input and threshold shifts.

    Attributes
    ----------
    r_bl_ohm, r_blb_ohm : float
        Memristors of BL and BLb.
    x : int
        Input bit.
    shifts_v : mapping
        `delvto` of transistors, by their names in `TRANSISTORS`.
    previous : int
        Output bit of the sense before.
    """

    r_bl_ohm: float
    r_blb_ohm: float
    x: int = 1
    shifts_v: Mapping[str, float] = field(default_factory=dict)
    previous: int = 0


def sense_period_s(supply_v: float) -> float:
    """Length of the precharge and of the sense of a deck: ample at every supply.

    The thick-oxide path slows down exponentially below its threshold voltage.
    """
    return 20e-9 + 60e-9 * math.exp((0.9 - supply_v) / 0.06)


def transistor_loads_f() -> float:
    """What the amplifier's and the cell's own transistors add to a bit line."""
    return 2 * transistor(XNOR).drain_f + transistor(ACCESS).drain_f


def _card(name: str, nodes: Iterable[str], geometry: Geometry, shift_v: float = 0.0) -> str:
    used = transistor(geometry)
    shift = f" delvto={shift_v:.6g}" if shift_v else ""
    return f"m{name} {' '.join(nodes)} {geometry.name} {used.instance}{shift}"


def _models(geometries: Iterable[Geometry]) -> list[str]:
    unique = {geometry.name: geometry for geometry in geometries}
    return [transistor(geometry).model for geometry in unique.values()]


def amplifier_deck(
    supply_v: float,
    amplifiers: list[Amplifier],
    sense_s: float | None = None,
    loads: Loads = LOADS,
    precharge_s: float | None = None,
    steps: int = 60,
) -> str:
    """One precharge and one sense of many separate amplifiers at one supply.

    The deck starts where a sense ended: bit lines and source line discharged, the latch at
    `previous`. SEN is low until `precharge_s`, then high for `sense_s`. The source line is at VDD
    while SEN is low and at ground while it is high, as published (Hirtzlin 2020, section 2), so
    no static current flows. Between BL and SL stands the access transistor, then the memristor on
    SL. The word line is at VDD and stays.

    Saved are v(q_K), v(qb_K), v(sen) and, of each amplifier, the currents of its supply `vdd_K`,
    source line `vsl_K` and precharge gates `vsen_K`.
    """
    period = sense_period_s(supply_v)
    precharge_s = period if precharge_s is None else precharge_s
    sense_s = period if sense_s is None else sense_s
    edge = 50e-12
    sen = f"pwl(0 0 {precharge_s:.6g} 0 {precharge_s + edge:.6g} {supply_v:g})"
    source = f"pwl(0 0 {edge:.6g} {supply_v:g} {precharge_s:.6g} {supply_v:g} "
    source += f"{precharge_s + edge:.6g} 0)"
    lines = ["* XPCSA, one precharge and one sense", f"vwl wl 0 {supply_v:g}",
             f"vone one 0 {supply_v:g}", f"vsen sen 0 {sen}"]  # fmt: skip
    saved = ["v(sen)"]
    initial = []
    for k, amplifier in enumerate(amplifiers):
        x, xb = ("one", "0") if amplifier.x else ("0", "one")
        shared = {"0": "0", "wl": "wl", "x": x, "xb": xb}
        lines += [
            f"vdd_{k} vdd_{k} 0 {supply_v:g}",
            f"vsen_{k} sen_{k} 0 {sen}",
            f"vsl_{k} drive_{k} 0 {source}",
            f"rsl_{k} drive_{k} sl_{k} {loads.source_line_ohm:g}",
            f"csl_{k} sl_{k} 0 {loads.source_line_f:.6g}",
            f"cbl_{k} bl_{k} 0 {loads.bit_line_f:.6g}",
            f"cblb_{k} blb_{k} 0 {loads.bit_line_f:.6g}",
            f"cq_{k} q_{k} 0 {loads.output_f:.6g}",
            f"cqb_{k} qb_{k} 0 {loads.output_f:.6g}",
            f"rbl_{k} c_{k} sl_{k} {amplifier.r_bl_ohm:.8g}",
            f"rblb_{k} cb_{k} sl_{k} {amplifier.r_blb_ohm:.8g}",
        ]
        for name, (geometry, *nodes) in TRANSISTORS.items():
            shift = amplifier.shifts_v.get(name, 0.0)
            lines.append(
                _card(f"{name}_{k}", [shared.get(n, f"{n}_{k}") for n in nodes], geometry, shift)
            )
        high, low = ("q", "qb") if amplifier.previous else ("qb", "q")
        initial += [f"v({high}_{k})={supply_v:g}", f"v(vdd_{k})={supply_v:g}"]
        initial += [f"v({n}_{k})=0" for n in (low, "s", "sb", "bl", "blb", "c", "cb", "sl")]
        saved += [f"v(q_{k})", f"v(qb_{k})", f"i(vdd_{k})", f"i(vsl_{k})", f"i(vsen_{k})"]
    initial += [f"v(wl)={supply_v:g}", f"v(one)={supply_v:g}"]
    stop = precharge_s + edge + sense_s
    lines += [".ic " + " ".join(initial[i : i + 8]) for i in range(0, len(initial), 8)]
    lines += [".save " + " ".join(saved[i : i + 8]) for i in range(0, len(saved), 8)]
    lines += [f".tran {stop / 200:.6g} {stop:.6g} 0 {sense_s / steps:.6g} uic",
              ".options reltol=1e-4 abstol=1e-13 method=trap",
              *_models(spec[0] for spec in TRANSISTORS.values()), ".end"]  # fmt: skip
    return "\n".join(lines) + "\n"


def path_deck(supply_v: float, drop_v: float = 0.05) -> str:
    """Current through a cell's thick-oxide transistors, XNOR and access, at a small voltage."""
    return "\n".join([
        "* XNOR and access transistor in series",
        f"vg g 0 {supply_v:g}", f"vs s 0 {drop_v:g}",
        _card("xnor", ("s", "g", "bl", "0"), XNOR), _card("access", ("bl", "g", "0", "0"), ACCESS),
        *_models((XNOR, ACCESS)), ".save i(vs)", ".op", ".end",
    ]) + "\n"  # fmt: skip


def shifter_deck(supply_v: float, rail_v: float, loads: Loads = LOADS, period_s: float = 0) -> str:
    """A word line driven through the level shifter: up, and down again.

    Input and its inverse (a thick-oxide inverter at VDD) pull down the sides of a cross-coupled
    pMOS pair at the rail; an inverter at the rail drives the word line. `in` rises at a quarter of
    the period and falls at three quarters.
    """
    period_s = period_s or shifter_period_s(supply_v)
    edge = 100e-12
    quarter = period_s / 4
    wave = f"pwl(0 0 {quarter:.6g} 0 {quarter + edge:.6g} {supply_v:g} {3 * quarter:.6g} "
    wave += f"{supply_v:g} {3 * quarter + edge:.6g} 0)"
    return "\n".join([
        "* level shifter and word line",
        f"vdd vdd 0 {supply_v:g}", f"vrail rail 0 {rail_v:g}", f"vin in 0 {wave}",
        _card("invn", ("inb", "in", "0", "0"), INVERTER_N),
        _card("invp", ("inb", "in", "vdd", "vdd"), INVERTER_P),
        _card("pulla", ("a", "in", "0", "0"), SHIFTER_N),
        _card("pullb", ("b", "inb", "0", "0"), SHIFTER_N),
        _card("crossa", ("a", "b", "rail", "rail"), SHIFTER_P),
        _card("crossb", ("b", "a", "rail", "rail"), SHIFTER_P),
        _card("drivn", ("wl", "a", "0", "0"), DRIVER_N),
        _card("drivp", ("wl", "a", "rail", "rail"), DRIVER_P),
        f"cwl wl 0 {loads.word_line_f:.6g}",
        *_models((INVERTER_N, INVERTER_P, SHIFTER_N, SHIFTER_P, DRIVER_N, DRIVER_P)),
        ".save v(in) v(wl) i(vdd) i(vrail) i(vin)",
        f".tran {period_s / 400:.6g} {period_s:.6g} 0 {period_s / 400:.6g}",
        ".options reltol=1e-3 abstol=1e-13", ".end",
    ]) + "\n"  # fmt: skip


def shifter_period_s(supply_v: float) -> float:
    """Length of a level shifter's deck: ample at every supply."""
    return 200e-9 + 2e-6 * math.exp((1.0 - supply_v) / 0.05)
