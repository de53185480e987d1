"""Abstract views of the memristor macro, of any geometry: `.lib`, `.lib` for energy, and `.lef`.

The macro is full custom and has no layout yet, so no view is characterised. What the views say is
put together from the project's SPICE decks and the amplifier fitted to them (parameter set
`sky130`), at 1.8 V, 27 C and typical transistors, and from assumptions; every file names both in
its heading. Names and widths of the pins come from `hdl.interfaces.MacroPort`.

A read, from the rising clock edge that samples `row`, `x` and `sense`, self-timed:

    clock to q = max(precharge, word line) + sense + output
    word line  = the slower edge of a word line behind its level shifter; grows with the columns
    precharge  = ROOM times the shortest after which the decks decide rightly; grows with the rows
    sense      = delay_s of the amplifier model, its line load line_f scaled to the rows

The word line counts because read timing 1 changes the row in the edge that starts the sense.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib.wiring import Out

from behavioral_models.files import write_whole
from behavioral_models.geometry import ChipGeometry
from behavioral_models.xpcsa import Amplifier
from hdl.interfaces import MacroPort
from hdl.macro import MACRO_MODULE

__all__ = [
    "MacroNumbers",
    "Pin",
    "lef",
    "liberty",
    "macro_numbers",
    "macro_pins",
    "macro_size_um",
    "sense_energy_j",
    "write_views",
]

#: Supply and temperature of the views: what the decks of the tables below were run at.
SUPPLY_V, TEMPERATURE_C = 1.8, 27.0

#: Memristors of the cell that is timed, ohms: as in docs/spice.md.
LRS_OHM, HRS_OHM = 10e3, 100e3

#: Made by `python -m synthesis.macro_decks`: ngspice 39, sky130 0.15.3, at SUPPLY_V.
#: Shortest precharge after which both weights are read rightly after either output, by rows.
PRECHARGE_S = {16: 0.514e-9, 64: 1.642e-9, 256: 8.544e-9}
#: A word line behind its level shifter, by rail and columns: rise, fall, energy up and down.
WORD_LINE = {
    1.8: {
        16: (0.364e-9, 4.202e-9, 1.479e-12),
        64: (1.060e-9, 5.010e-9, 2.998e-12),
        256: (3.820e-9, 6.982e-9, 9.052e-12),
    },
    2.7: {
        16: (0.215e-9, 2.129e-9, 3.143e-12),
        64: (0.553e-9, 2.621e-9, 6.472e-12),
        256: (1.892e-9, 3.852e-9, 20.05e-12),
    },
    4.5: {
        16: (0.167e-9, 1.481e-9, 10.18e-12),
        64: (0.376e-9, 1.777e-9, 18.59e-12),
        256: (1.192e-9, 2.662e-9, 55.75e-12),
    },
}
#: Energy of a sense by rows, as a part of that at 64 rows: the rest is latch and gates.
ENERGY_BY_ROWS = {8: 0.256, 32: 0.579, 64: 1.0, 128: 1.822, 256: 3.415}
#: What the supply of one decided amplifier goes on delivering.
AMPLIFIER_LEAKAGE_A = 0.66e-9

#: Rows of the lines that the parameter set `sky130` was fitted with, and what each adds to a bit
#: line: a drain of 1.46 fF and 3 um of wire of 0.2 fF/um (docs/spice.md).
FITTED_ROWS = 64
ROW_F = 1.46e-15 + 3 * 0.2e-15

#: Assumed: a precharge lasts so many times the shortest that works.
ROOM = 1.5
#: Assumed: the flip-flops that sample the pins, as a library's, with some margin; the slope is by
#: the transition of the data for setup and of the clock for hold.
SETUP_S, SETUP_SLOPE = 0.15e-9, 0.25
HOLD_S, HOLD_SLOPE = 0.05e-9, 0.10
#: Assumed: the latch that holds q, and its driver (a library's buffer of drive 2).
OUTPUT_S, OUTPUT_OHM, OUTPUT_MAX_F = 0.30e-9, 2000.0, 0.2e-12
#: Assumed: what the clock's transition adds to the delay, as a part of it.
CLOCK_SLOPE = 0.20
#: Assumed: an input's gate and some wire to it, and the clock's.
INPUT_F, CLOCK_F = 5e-15, 20e-15
#: Assumed: shortest high and low phase of the clock.
CLOCK_PULSE_S = 0.4e-9
#: Assumed: what a rising clock edge costs a flip-flop that samples a pin.
SAMPLE_J = 10e-15

#: Assumed, as in the decks: pitch of a bit cell and of a word line, nanometres.
COLUMN_NM, ROW_NM = 6_000, 3_000
#: Assumed: room for row drivers and decoder (left), straps (right), amplifiers and latches
#: (bottom), column drivers (top), nanometres.
LEFT_NM, RIGHT_NM, BOTTOM_NM, TOP_NM = 80_000, 20_000, 60_000, 40_000
#: SKY130: the site that sizes are multiples of, and each layer's tracks (first, pitch, wire width).
SITE_NM = (460, 2_720)
TRACKS_NM = {"met2": (230, 460, 140), "met3": (340, 680, 300), "met4": (460, 920, 1_600)}
#: How far a signal pin reaches into the macro, and how far obstructions stay off pins.
PIN_NM, SPACING_NM = 1_000, 500

_POWER = ("VDD", "VSS", "VDDC", "VDDR")


@dataclass(frozen=True)
class Pin:
    """A pin of the macro: `width` bits, `direction` is ``input`` or ``output``."""

    name: str
    direction: str
    width: int

    @property
    def bits(self) -> list[str]:
        """Names of its bits, least significant first; a single one has no index."""
        return [self.name] if self.width == 1 else [f"{self.name}[{i}]" for i in range(self.width)]


@dataclass(frozen=True)
class MacroNumbers:
    """What the views say of a macro; seconds, joules and watts at SUPPLY_V.

    Attributes
    ----------
    precharge_s, word_line_s, sense_s : float
        Parts of a read.
    clock_to_q_s : float
        Clock edge to q, unloaded, at a transition of 0.
    period_s : float
        Shortest clock period: a read must end before the next.
    amplifiers_j, word_line_j : float
        Of one sense: all columns' amplifiers, and a word line up and down at VDD.
    set_pulse_j, reset_pulse_j : float
        A word line up and down at VM (forming and SET), at VH (RESET).
    sample_j : float
        A rising clock edge.
    leakage_w : float
    """

    precharge_s: float
    word_line_s: float
    sense_s: float
    amplifiers_j: float
    word_line_j: float
    set_pulse_j: float
    reset_pulse_j: float
    sample_j: float
    leakage_w: float

    @property
    def clock_to_q_s(self) -> float:
        """Clock edge to q, unloaded, at a transition of 0."""
        return max(self.precharge_s, self.word_line_s) + self.sense_s + OUTPUT_S

    @property
    def period_s(self) -> float:
        """Shortest clock period: q is out and the lines may be precharged again."""
        return self.clock_to_q_s

    @property
    def sense_j(self) -> float:
        """One sense of all columns, its word line included."""
        return self.amplifiers_j + self.word_line_j


def macro_pins(geometry: ChipGeometry) -> list[Pin]:
    """Pins of the macro of a geometry but its supplies: `clk`, then those of MacroPort in order."""
    port = MacroPort(geometry.rows, geometry.columns, bypass=geometry.sense_bypass)
    pins = [Pin("clk", "input", 1)]
    for name, member in port.members.items():
        direction = "input" if member.flow == Out else "output"
        pins.append(Pin(name, direction, Shape.cast(member.shape).width))
    return pins


def _between(table: dict[int, float], size: int, logarithmic: bool = False) -> float:
    """A table's value at a size: straight lines through its points, the outer ones extended."""
    transform, back = (math.log, math.exp) if logarithmic else (float, float)
    sizes = [transform(each) for each in table]
    values = [transform(each) for each in table.values()]
    at = transform(size)
    k = min(max(int(np.searchsorted(sizes, at)), 1), len(sizes) - 1)
    slope = (values[k] - values[k - 1]) / (sizes[k] - sizes[k - 1])
    return back(values[k] + slope * (at - sizes[k]))


def sense_energy_j(rows: int, columns: int, supply_v: float = SUPPLY_V) -> float:
    """Precharge and sense of one row's amplifiers with their lines, joules; no word line.

    Parameters
    ----------
    rows, columns : int
        Word lines that load a bit line, and amplifiers.
    supply_v : float
        0.7 to 1.8 V. The share that grows with the rows is that of 1.8 V at any supply.

    Raises
    ------
    ValueError
        If the supply is outside the amplifier's range.
    """
    at_fitted = Amplifier("sky130/amplifier").energy_j(supply_v)
    return columns * at_fitted * _between(ENERGY_BY_ROWS, rows)


def _sense_s(rows: int) -> float:
    """Decision time of the amplifier model with the bit lines of so many rows."""
    amplifier = Amplifier("sky130/amplifier")
    amplifier.line_f += (rows - FITTED_ROWS) * ROW_F
    return float(amplifier.delay_s(np.array([HRS_OHM, LRS_OHM]), SUPPLY_V))


def macro_numbers(geometry: ChipGeometry) -> MacroNumbers:
    """Times, energies and leakage of the macro of a geometry."""
    rows, columns = geometry.rows, geometry.columns

    def line(rail_v: float, what: int) -> float:
        return _between({size: row[what] for size, row in WORD_LINE[rail_v].items()}, columns)

    sampled = sum(pin.width for pin in macro_pins(geometry) if pin.direction == "input") - 1
    return MacroNumbers(
        precharge_s=ROOM * _between(PRECHARGE_S, rows, logarithmic=True),
        word_line_s=max(line(1.8, 0), line(1.8, 1)),
        sense_s=_sense_s(rows),
        amplifiers_j=sense_energy_j(rows, columns),
        word_line_j=line(1.8, 2),
        set_pulse_j=line(2.7, 2),
        reset_pulse_j=line(4.5, 2),
        sample_j=sampled * SAMPLE_J,
        leakage_w=columns * AMPLIFIER_LEAKAGE_A * SUPPLY_V,
    )


def _words(geometry: ChipGeometry) -> str:
    bypass = ", sense amplifiers can be bypassed" if geometry.sense_bypass else ""
    return f"{geometry.rows} rows x {geometry.columns} columns{bypass}"


def _library_name(geometry: ChipGeometry, energy: bool) -> str:
    bypass = "_bypass" if geometry.sense_bypass else ""
    size = f"{geometry.rows}x{geometry.columns}"
    return f"{MACRO_MODULE}_{size}{bypass}{'_energy' if energy else ''}"


def _heading(geometry: ChipGeometry, energy: bool) -> list[str]:
    """What the numbers of a Liberty file are, and where from."""
    numbers = macro_numbers(geometry)

    def ns(value: float) -> str:
        return f"{value * 1e9:.3f} ns"

    lines = [
        f"Memristor macro {MACRO_MODULE}, {_words(geometry)}: abstract view for "
        f"{'energy analysis' if energy else 'timing'}.",
        "Made by synthesis/macro_views.py. No layout exists and nothing here is characterised.",
        f"{SUPPLY_V:g} V, {TEMPERATURE_C:g} C, typical transistors; there is no other corner.",
        "From SPICE decks (sim/spice, docs/spice.md; ngspice 39, sky130 0.15.3) and the parameter",
        "set sky130 fitted to them, bit cell of 10 and 100 kilohm:",
        f"  word line {ns(numbers.word_line_s)}: its slower edge behind the level shifter,"
        " interpolated in the columns",
        f"  precharge {ns(numbers.precharge_s)}: {ROOM:g} (assumed) x the shortest that decides"
        " rightly, interpolated in the rows",
        f"  sense {ns(numbers.sense_s)}: model's delay, bit line scaled by the rows"
        f" ({ROW_F * 1e15:.2f} fF each)",
    ]
    if energy:
        lines += [
            f"  sense of all columns {numbers.amplifiers_j * 1e12:.3f} pJ: model's energy at"
            f" {FITTED_ROWS} rows, scaled by decks with other rows",
            f"  word line up and down: {numbers.word_line_j * 1e12:.3f} pJ at VDD, in each sense"
            " (each is of another row);",
            f"    {numbers.set_pulse_j * 1e12:.3f} pJ at VM = 2.7 V, in each forming or SET pulse;"
            f" {numbers.reset_pulse_j * 1e12:.3f} pJ at VH = 4.5 V, in each RESET pulse",
            f"  leakage {AMPLIFIER_LEAKAGE_A * 1e9:g} nA a decided amplifier; cells leak nothing,"
            " their source lines are at ground",
            "Energies of a cycle and of a pulse: half at the rising, half at the falling edge.",
            "Not included: the current through a memristor in a pulse (the set sky130 has none),"
            " power switch, rails' loss.",
        ]
    lines += [
        "Self-timed from the rising clock edge: q after max(precharge, word line) + sense +",
        "output; it holds until the next sense. The shortest period is the same.",
        "Assumed:",
        f"  output latch and driver {ns(OUTPUT_S)}, {OUTPUT_OHM:g} ohm;"
        f" the clock's transition adds {CLOCK_SLOPE:g} of itself",
        f"  setup {ns(SETUP_S)} + {SETUP_SLOPE:g} x the data's transition,"
        f" hold {ns(HOLD_S)} + {HOLD_SLOPE:g} x the clock's, all inputs",
        f"  capacitance of an input {INPUT_F * 1e15:g} fF, of clk {CLOCK_F * 1e15:g} fF;"
        f" clock phases of {ns(CLOCK_PULSE_S)} at least",
        "  area: the LEF's size",
    ]
    if energy:
        lines.append(f"  {SAMPLE_J * 1e15:g} fJ a sampled pin and rising clock edge, sense or not")
    return lines


def _table(values: list[list[float]]) -> str:
    rows = ['"' + ", ".join(f"{value:.6f}" for value in row) + '"' for row in values]
    return ", \\\n            ".join(rows)


#: Axes of the tables: nanoseconds and picofarads.
_TRANSITIONS_NS = (0.01, 0.1, 0.5, 1.5)
_LOADS_PF = (0.0005, 0.01, 0.05, OUTPUT_MAX_F * 1e12)


def _constraint(kind: str, values: list[list[float]]) -> str:
    groups = "".join(
        f"""
        {edge}_constraint (heliobit_constraint) {{
          values ({_table(values)});
        }}"""
        for edge in ("rise", "fall")
    )
    return f"""
      timing () {{
        related_pin : "clk";
        timing_type : {kind}_rising;{groups}
      }}"""


def _input_timing() -> str:
    setup = [[1e9 * SETUP_S + SETUP_SLOPE * data for data in _TRANSITIONS_NS]] * len(
        _TRANSITIONS_NS
    )
    hold = [[1e9 * HOLD_S + HOLD_SLOPE * clock] * len(_TRANSITIONS_NS) for clock in _TRANSITIONS_NS]
    return _constraint("setup", setup) + _constraint("hold", hold)


def _output_timing(numbers: MacroNumbers) -> str:
    """Clock to q: an RC behind a fixed delay; 50 % after ln 2 RC, 20 to 80 % in ln 4 RC."""
    rc_ns = [OUTPUT_OHM * load * 1e-12 * 1e9 for load in _LOADS_PF]
    start_ns = numbers.clock_to_q_s * 1e9
    delay = [
        [start_ns + CLOCK_SLOPE * clock + math.log(2) * rc for rc in rc_ns]
        for clock in _TRANSITIONS_NS
    ]
    transition = [[math.log(4) * rc for rc in rc_ns]] * len(_TRANSITIONS_NS)
    groups = "".join(
        f"""
        {name} (heliobit_delay) {{
          values ({_table(values)});
        }}"""
        for name, values in (
            ("cell_rise", delay),
            ("rise_transition", transition),
            ("cell_fall", delay),
            ("fall_transition", transition),
        )
    )
    return f"""
      timing () {{
        related_pin : "clk";
        timing_type : rising_edge;
        timing_sense : non_unate;{groups}
      }}"""


def _internal_power(when: str, both_j: float) -> str:
    """Energy of a pin's rise and fall together: half at each, which every tool sums alike."""
    half_pj = f"{both_j / 2 * 1e12:.6f}"
    return f"""
      internal_power () {{
        when : "{when}";
        related_pg_pin : VDD;
        rise_power (scalar) {{ values ("{half_pj}"); }}
        fall_power (scalar) {{ values ("{half_pj}"); }}
      }}"""


def _pin_group(pin: Pin, numbers: MacroNumbers, energy: bool) -> str:
    body = f"\n      direction : {pin.direction};"
    body += "\n      related_power_pin : VDD;\n      related_ground_pin : VSS;"
    if pin.direction == "output":
        body += f"\n      max_capacitance : {OUTPUT_MAX_F * 1e12:.6f};" + _output_timing(numbers)
    elif pin.name == "clk":
        body += f"\n      clock : true;\n      capacitance : {CLOCK_F * 1e12:.6f};"
        body += f"\n      min_pulse_width_high : {CLOCK_PULSE_S * 1e9:.6f};"
        body += f"\n      min_pulse_width_low : {CLOCK_PULSE_S * 1e9:.6f};"
        body += f"\n      min_period : {numbers.period_s * 1e9:.6f};"
        if energy:
            body += _internal_power("sense", numbers.sense_j + numbers.sample_j)
            body += _internal_power("!sense", numbers.sample_j)
    else:
        body += f"\n      capacitance : {INPUT_F * 1e12:.6f};" + _input_timing()
        if energy and pin.name == "pulse":
            body += _internal_power("operation[1] & operation[0]", numbers.reset_pulse_j)
            body += _internal_power("operation[1] ^ operation[0]", numbers.set_pulse_j)
    if pin.width == 1:
        return f"    pin ({pin.name}) {{{body}\n    }}\n"
    return f"    bus ({pin.name}) {{\n      bus_type : heliobit_{pin.name};{body}\n    }}\n"


def liberty(geometry: ChipGeometry, energy: bool = False) -> str:
    """Liberty text of the macro of a geometry.

    Parameters
    ----------
    geometry : ChipGeometry
    energy : bool
        With internal energy and leakage besides the timing: read this file instead of the other.

    Returns
    -------
    str
        One cell, named as the Verilog module. Times in ns, capacitances in pF, energies in pJ,
        leakage in nW. Pins of several bits are buses.
    """
    numbers = macro_numbers(geometry)
    pins = macro_pins(geometry)
    width_um, height_um = macro_size_um(geometry)
    heading = "\n".join(f" * {line}" for line in _heading(geometry, energy))
    types = "".join(
        f"""  type (heliobit_{pin.name}) {{
    base_type : array;
    data_type : bit;
    bit_width : {pin.width};
    bit_from : {pin.width - 1};
    bit_to : 0;
    downto : true;
  }}
"""
        for pin in pins
        if pin.width > 1
    )
    rails = "".join(
        f"""    pg_pin ({name}) {{
      voltage_name : {name};
      pg_type : {kind};
    }}
"""
        for name, kind in zip(
            _POWER,
            ("primary_power", "primary_ground", "backup_power", "backup_power"),
            strict=True,
        )
    )
    transitions = ", ".join(f"{each:g}" for each in _TRANSITIONS_NS)
    loads = ", ".join(f"{each:g}" for each in _LOADS_PF)
    leakage = f"    cell_leakage_power : {numbers.leakage_w * 1e9:.6f};\n" if energy else ""
    groups = "".join(_pin_group(pin, numbers, energy) for pin in pins)
    return f"""/*
{heading}
 */
library ({_library_name(geometry, energy)}) {{
  technology (cmos);
  delay_model : table_lookup;
  time_unit : "1ns";
  voltage_unit : "1V";
  current_unit : "1mA";
  pulling_resistance_unit : "1kohm";
  leakage_power_unit : "1nW";
  capacitive_load_unit (1.0, pf);
  nom_process : 1.0;
  nom_temperature : {TEMPERATURE_C:.1f};
  nom_voltage : {SUPPLY_V:.1f};
  input_threshold_pct_rise : 50.0;
  input_threshold_pct_fall : 50.0;
  output_threshold_pct_rise : 50.0;
  output_threshold_pct_fall : 50.0;
  slew_lower_threshold_pct_rise : 20.0;
  slew_lower_threshold_pct_fall : 20.0;
  slew_upper_threshold_pct_rise : 80.0;
  slew_upper_threshold_pct_fall : 80.0;
  slew_derate_from_library : 1.0;
  default_max_transition : {_TRANSITIONS_NS[-1]:g};
  voltage_map (VDD, {SUPPLY_V:.1f});
  voltage_map (VSS, 0.0);
  voltage_map (VDDC, {SUPPLY_V:.1f});
  voltage_map (VDDR, {SUPPLY_V:.1f});
  operating_conditions (typical) {{
    process : 1.0;
    temperature : {TEMPERATURE_C:.1f};
    voltage : {SUPPLY_V:.1f};
  }}
  default_operating_conditions : typical;
  lu_table_template (heliobit_constraint) {{
    variable_1 : related_pin_transition;
    variable_2 : constrained_pin_transition;
    index_1 ("{transitions}");
    index_2 ("{transitions}");
  }}
  lu_table_template (heliobit_delay) {{
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("{transitions}");
    index_2 ("{loads}");
  }}
{types}  cell ({MACRO_MODULE}) {{
    area : {width_um * height_um:.4f};
    is_macro_cell : true;
    dont_touch : true;
    dont_use : true;
    interface_timing : true;
{leakage}{rails}{groups}  }}
}}
"""


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def _size_nm(geometry: ChipGeometry) -> tuple[int, int]:
    """Width and height: the array, the room around it, and sites of the library."""
    width = LEFT_NM + geometry.columns * COLUMN_NM + RIGHT_NM
    height = BOTTOM_NM + geometry.rows * ROW_NM + TOP_NM
    return _up(width, SITE_NM[0]), _up(height, SITE_NM[1])


def macro_size_um(geometry: ChipGeometry) -> tuple[float, float]:
    """Width and height of the macro of a geometry, micrometres."""
    width, height = _size_nm(geometry)
    return width / 1000, height / 1000


def _nearest_track(layer: str, position: int) -> int:
    first, pitch, _ = TRACKS_NM[layer]
    return first + round((position - first) / pitch) * pitch


def _um(value: int) -> str:
    return f"{value / 1000:.3f}"


Rectangle = tuple[int, int, int, int]


def _signal_shapes(geometry: ChipGeometry) -> dict[str, tuple[str, Rectangle]]:
    """Layer and rectangle of each signal bit: q below its column, all else on the left edge."""
    shapes = {}
    inputs = [bit for p in macro_pins(geometry) if p.direction == "input" for bit in p.bits]
    outputs = [bit for p in macro_pins(geometry) if p.direction == "output" for bit in p.bits]
    height = _size_nm(geometry)[1]
    for number, bit in enumerate(inputs):
        middle = _nearest_track("met3", height * (number + 1) // (len(inputs) + 1))
        half = TRACKS_NM["met3"][2] // 2
        shapes[bit] = ("met3", (0, middle - half, PIN_NM, middle + half))
    for number, bit in enumerate(outputs):
        middle = _nearest_track("met2", LEFT_NM + number * COLUMN_NM + COLUMN_NM // 2)
        half = TRACKS_NM["met2"][2] // 2
        shapes[bit] = ("met2", (middle - half, 0, middle + half, PIN_NM))
    return shapes


def _strap_shapes(geometry: ChipGeometry) -> dict[str, list[Rectangle]]:
    """Supplies: met4 straps of full height, all four left of the array, VDD and VSS right too."""
    width, height = _size_nm(geometry)
    half = TRACKS_NM["met4"][2] // 2

    def strap(position: int) -> Rectangle:
        middle = _nearest_track("met4", position)
        return (middle - half, 0, middle + half, height)

    straps = {name: [strap(10_000 + 15_000 * k)] for k, name in enumerate(_POWER)}
    straps["VDD"].append(strap(width - 12_000))
    straps["VSS"].append(strap(width - 6_000))
    return straps


def _obstructions(geometry: ChipGeometry) -> list[tuple[str, Rectangle]]:
    """All that is not a pin, li1 to met4; met5 is free for routing."""
    width, height = _size_nm(geometry)
    inside = PIN_NM + SPACING_NM
    found: list[tuple[str, Rectangle]] = [
        ("li1", (0, 0, width, height)),
        ("met1", (0, 0, width, height)),
        ("met2", (0, inside, width, height)),
        ("met3", (inside, 0, width, height)),
    ]
    left = 0
    for strap in sorted(s for each in _strap_shapes(geometry).values() for s in each):
        found.append(("met4", (left, 0, strap[0] - SPACING_NM, height)))
        left = strap[2] + SPACING_NM
    found.append(("met4", (left, 0, width, height)))
    return found


def lef(geometry: ChipGeometry) -> str:
    """LEF text of the macro of a geometry: size, pins and obstructions, micrometres.

    Signal pins are on routing tracks of SKY130 if the macro stands on a site: inputs on the left
    edge (met3), q on the bottom edge under its column (met2). Supplies are met4 straps.
    """
    width, height = _size_nm(geometry)

    def rectangle(shape: Rectangle) -> str:
        return "RECT " + " ".join(_um(each) for each in shape) + " ;"

    shapes = _signal_shapes(geometry)
    lines = [
        f"# Memristor macro {MACRO_MODULE}, {_words(geometry)}: abstract layout.",
        "# Made by synthesis/macro_views.py. There is no layout behind it: every size is assumed.",
        f"# Bit cell {COLUMN_NM / 1000:g} x {ROW_NM / 1000:g} um, as in the SPICE decks; around the"
        f" array {LEFT_NM / 1000:g} um left (row drivers), {RIGHT_NM / 1000:g} right,",
        f"# {BOTTOM_NM / 1000:g} bottom (sense amplifiers), {TOP_NM / 1000:g} top (column"
        " drivers). Tracks and site of SKY130 (sky130_fd_sc_hd).",
        "VERSION 5.7 ;",
        'BUSBITCHARS "[]" ;',
        'DIVIDERCHAR "/" ;',
        "UNITS",
        "  DATABASE MICRONS 1000 ;",
        "END UNITS",
        f"MACRO {MACRO_MODULE}",
        "  CLASS BLOCK ;",
        f"  FOREIGN {MACRO_MODULE} ;",
        "  ORIGIN 0.000 0.000 ;",
        f"  SIZE {_um(width)} BY {_um(height)} ;",
        "  SYMMETRY X Y R90 ;",
    ]
    for pin in macro_pins(geometry):
        use = "CLOCK" if pin.name == "clk" else "SIGNAL"
        for bit in pin.bits:
            layer, shape = shapes[bit]
            lines += [f"  PIN {bit}", f"    DIRECTION {pin.direction.upper()} ;",
                      f"    USE {use} ;", "    PORT", f"      LAYER {layer} ;",
                      f"        {rectangle(shape)}", "    END", f"  END {bit}"]  # fmt: skip
    for name, straps in _strap_shapes(geometry).items():
        use = "GROUND" if name == "VSS" else "POWER"
        lines += [f"  PIN {name}", "    DIRECTION INOUT ;", f"    USE {use} ;", "    PORT",
                  "      LAYER met4 ;", *(f"        {rectangle(each)}" for each in straps),
                  "    END", f"  END {name}"]  # fmt: skip
    lines.append("  OBS")
    for layer, shape in _obstructions(geometry):
        lines += [f"    LAYER {layer} ;", f"      {rectangle(shape)}"]
    lines += ["  END", f"END {MACRO_MODULE}", "END LIBRARY"]
    return "\n".join(lines) + "\n"


def write_views(geometry: ChipGeometry, folder: Path) -> dict[str, Path]:
    """Write the three views of a geometry's macro.

    Returns
    -------
    dict
        Path of each view: `lib`, `energy_lib` and `lef`.
    """
    folder = Path(folder)
    views = {
        "lib": (f"{MACRO_MODULE}.lib", liberty(geometry)),
        "energy_lib": (f"{MACRO_MODULE}_energy.lib", liberty(geometry, energy=True)),
        "lef": (f"{MACRO_MODULE}.lef", lef(geometry)),
    }
    for name, text in views.values():
        write_whole(folder / name, text)
    return {kind: folder / name for kind, (name, _) in views.items()}
