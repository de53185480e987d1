"""Files that LibreLane makes a layout of the chip from: sources, SDC and configuration.

Not run here: LibreLane needs a PDK, OpenROAD and more, none of which the project installs. What is
checked is what can be: the names of all variables against LibreLane's own, the SDC in OpenSTA, the
sources in Yosys.

    python -m synthesis.librelane FOLDER --macro latch
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

from behavioral_models.files import write_whole
from behavioral_models.geometry import PRESETS, preset
from hdl.cells import CELL_SOURCES
from hdl.generate import generate
from hdl.latch_macro import use_latch_macro
from hdl.macro import MACRO_MODULE
from hdl.parameters import STYLES, ChipParameters
from hdl.verilog import PREFIX
from synthesis.macro_views import SITE_NM, lef, liberty, macro_size_um
from synthesis.netlist import DEFAULT_STYLE

__all__ = ["LIBRELANE", "MACROS", "VARIABLES", "layout_sdc", "main", "placement", "write_librelane"]

#: Version whose variables were looked up.
LIBRELANE = "3.0.17"

#: What the macros may be made of.
MACROS = ("latch", "memristor")

#: Every variable a configuration uses; a test holds them against LibreLane's where it is installed.
VARIABLES = frozenset({
    "CLOCK_PERIOD", "CLOCK_PORT", "DESIGN_NAME", "DIE_AREA", "FP_CORE_UTIL",
    "FP_MACRO_HORIZONTAL_HALO", "FP_MACRO_VERTICAL_HALO", "FP_SIZING", "MACROS",
    "PDN_MACRO_CONNECTIONS", "PL_TARGET_DENSITY_PCT", "PNR_SDC_FILE", "SIGNOFF_SDC_FILE",
    "SYNTH_HIERARCHY_MODE", "VERILOG_FILES",
})  # fmt: skip

#: SKY130's clock gate, in place of each cell of hdl/cells that stands for one.
_CELLS = {
    "heliobit_clock_gate": """\
// SKY130's clock-gating cell; hdl/cells has a model of it.
module heliobit_clock_gate (
    input  wire clk,
    input  wire enable,
    output wire gated_clk
);
  sky130_fd_sc_hd__dlclkp_2 gate (
      .CLK(clk),
      .GATE(enable),
      .GCLK(gated_clk)
  );
endmodule
""",
}

#: Assumed: part of the core's area that cells fill, and room between macros, micrometres.
UTILIZATION_PCT = 40
CHANNEL_UM = 60.0
#: Logic of a chip where no netlist says it: so much, and so much a bit of all neuron registers.
#: From netlists of the published geometry (120,000 um2 with 1,024 bits).
LOGIC_UM2, LOGIC_BIT_UM2 = 60_000.0, 60.0


def layout_sdc(parameters: ChipParameters, propagated: bool = False) -> str:
    """Constraints for place and route: those of `hdl.generate.sdc`, ports found by asking.

    Parameters
    ----------
    parameters : ChipParameters
    propagated : bool
        For signoff, after the clock tree is there.
    """
    period = 1e9 / parameters.clock_hz
    clock = "set_propagated_clock [get_clocks clk]\n" if propagated else ""
    return f"""\
# Heliobit chip for LibreLane. Times in nanoseconds. Not run here.
create_clock -name clk -period {period:.3f} [get_ports clk]
{clock}# Assumed: what jitter and skew may take.
set_clock_uncertainty 0.25 [get_clocks clk]
# The reset is asynchronous; a synchroniser outside releases it.
set_false_path -from [get_ports rst]
# A quarter of the period for what is outside a pin.
set data_inputs {{}}
foreach port [all_inputs] {{
  set name [get_property $port full_name]
  if {{$name != "clk" && $name != "rst"}} {{ lappend data_inputs $port }}
}}
set_input_delay {period / 4:.3f} -clock clk $data_inputs
set_output_delay {period / 4:.3f} -clock clk [all_outputs]
# Assumed: what drives a pin and what it drives.
set_input_transition 0.15 [all_inputs]
set_load 0.03 [all_outputs]
"""


def _logic_um2(parameters: ChipParameters) -> float:
    geometry = parameters.geometry
    return LOGIC_UM2 + LOGIC_BIT_UM2 * geometry.neurons * geometry.register_width


def placement(parameters: ChipParameters, logic_um2: float) -> tuple[list[float], dict[str, Any]]:
    """Die and the macros' places: a grid of macros above a strip for the logic, micrometres.

    Macros stand on sites, so that their pins are on tracks.

    Returns
    -------
    list of four numbers
        The die's corners, as LibreLane's DIE_AREA.
    dict
        `location` and `orientation` of each instance, by name.
    """
    macros = parameters.geometry.macros
    width, height = macro_size_um(parameters.geometry)
    across = math.ceil(math.sqrt(macros * height / width))
    across = max(1, min(macros, across))
    down = -(-macros // across)
    step_x, step_y = width + CHANNEL_UM, height + CHANNEL_UM
    die_x = across * step_x + CHANNEL_UM
    strip = logic_um2 / (UTILIZATION_PCT / 100) / die_x
    die_y = strip + down * step_y + CHANNEL_UM

    def on_site(value: float, site_nm: int) -> float:
        return round(round(value * 1000 / site_nm) * site_nm / 1000, 3)

    instances = {}
    for number in range(macros):
        row, column = divmod(number, across)
        instances[f"macro_{number}"] = {
            "location": [
                on_site(CHANNEL_UM + column * step_x, SITE_NM[0]),
                on_site(strip + CHANNEL_UM + row * step_y, SITE_NM[1]),
            ],
            "orientation": "N",
        }
    return [0, 0, math.ceil(die_x), math.ceil(die_y)], instances


def _configuration(
    parameters: ChipParameters, sources: list[str], macro: str, logic_um2: float
) -> dict[str, Any]:
    geometry = parameters.geometry
    common = {
        "DESIGN_NAME": PREFIX + "chip",
        "VERILOG_FILES": [f"dir::{name}" for name in sources],
        "CLOCK_PORT": "clk",
        "CLOCK_PERIOD": round(1e9 / parameters.clock_hz, 3),
        "PNR_SDC_FILE": "dir::chip_pnr.sdc",
        "SIGNOFF_SDC_FILE": "dir::chip_signoff.sdc",
        "SYNTH_HIERARCHY_MODE": "flatten",
    }
    head = {
        "//": f"Not run here. Heliobit chip, {geometry.banks} banks x {geometry.macros_per_bank} "
        f"macros x {geometry.rows} rows x {geometry.columns} columns, style {parameters.style}, "
        f"read timing {parameters.read_timing}; for LibreLane {LIBRELANE}, sky130A, "
        "sky130_fd_sc_hd. "
        "Generated by `python -m synthesis.librelane`.",
        "meta": {"version": 2, "flow": "Classic"},
    }
    if macro == "latch":
        return {
            **head,
            "// macros": "Latch arrays in place of the memristor macros: standard cells alone.",
            **common,
            "FP_SIZING": "relative",
            "FP_CORE_UTIL": UTILIZATION_PCT,
            "PL_TARGET_DENSITY_PCT": UTILIZATION_PCT + 10,
        }
    die, instances = placement(parameters, logic_um2)
    return {
        **head,
        "// macros": f"macro/{MACRO_MODULE}.gds is yours to supply: the project has no layout of "
        "the macro. Its LEF and Liberty are abstract and typical only. The supplies VDDC and VDDR "
        "come from the power switch outside and are not connected here.",
        **common,
        "FP_SIZING": "absolute",
        "DIE_AREA": die,
        "FP_MACRO_HORIZONTAL_HALO": 10,
        "FP_MACRO_VERTICAL_HALO": 10,
        "PDN_MACRO_CONNECTIONS": ["macro_\\d+ VPWR VGND VDD VSS"],
        "MACROS": {
            MACRO_MODULE: {
                "gds": [f"dir::macro/{MACRO_MODULE}.gds"],
                "lef": [f"dir::macro/{MACRO_MODULE}.lef"],
                "vh": [f"dir::macro/{MACRO_MODULE}.v"],
                "lib": {"*": [f"dir::macro/{MACRO_MODULE}.lib"]},
                "instances": instances,
            }
        },
    }


def write_librelane(
    parameters: ChipParameters,
    folder: Path,
    macro: str = "latch",
    logic_um2: float | None = None,
) -> Path:
    """Write a LibreLane design: `config.json`, `chip_pnr.sdc`, `chip_signoff.sdc` and `src/`.

    Not run here. With ``memristor`` there is `macro/` too, with the macro's views but no GDS, which
    the project does not have.

    Parameters
    ----------
    parameters : ChipParameters
    folder : Path
        New, empty, or written by this function before.
    macro : str
        ``latch`` (standard cells alone) or ``memristor`` (the abstract views of
        `synthesis.macro_views`).
    logic_um2 : float, optional
        Area of the logic, for the die around the macros; by default a rough guess.

    Returns
    -------
    Path
        The configuration.

    Raises
    ------
    ValueError
        If the kind of macro is unknown, or the folder holds something else.
    """
    if macro not in MACROS:
        raise ValueError(f"A layout's macros must be one of {', '.join(MACROS)}, not {macro!r}")
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / "config.json").exists():
        raise ValueError(
            f"{folder} holds something else, and would be replaced; name a new or an empty folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
        rtl = generate(parameters, Path(scratch) / "rtl", "chip")
        if macro == "latch":
            use_latch_macro(parameters, rtl)
        source = Path(scratch) / "src"
        source.mkdir()
        for path in sorted(rtl.glob("*.v")):
            shutil.copy(path, source / path.name)
        listed = (rtl / "chip.f").read_text()
        for cell in CELL_SOURCES:
            if cell.name in listed:
                (source / cell.name).write_text(_CELLS.get(cell.stem, cell.read_text()))
        macro_source = rtl / "synthesis" / f"{MACRO_MODULE}.v"
        if macro == "latch":
            shutil.copy(macro_source, source / macro_source.name)
        else:
            for suffix, text in (
                ("v", macro_source.read_text()),
                ("lef", lef(parameters.geometry)),
                ("lib", liberty(parameters.geometry)),
            ):
                write_whole(folder / "macro" / f"{MACRO_MODULE}.{suffix}", text)
        sources = sorted(f"src/{path.name}" for path in source.glob("*.v"))
        shutil.rmtree(folder / "src", ignore_errors=True)
        source.rename(folder / "src")
    write_whole(folder / "chip_pnr.sdc", layout_sdc(parameters))
    write_whole(folder / "chip_signoff.sdc", layout_sdc(parameters, propagated=True))
    logic = _logic_um2(parameters) if logic_um2 is None else logic_um2
    configuration = _configuration(parameters, sources, macro, logic)
    write_whole(folder / "config.json", json.dumps(configuration, indent=2) + "\n")
    return folder / "config.json"


def main(arguments: list[str] | None = None) -> None:
    """Write a LibreLane design from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m synthesis.librelane",
        description="Write sources, SDC and configuration for LibreLane. Not run here.",
        epilog="example: python -m synthesis.librelane build/librelane --macro latch",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--macro", choices=MACROS, default="latch")
    parser.add_argument("--geometry", choices=PRESETS, default="jebali_2024")
    parser.add_argument("--timing", type=int, choices=(1, 2, 3), default=1)
    parser.add_argument("--style", choices=STYLES, default=DEFAULT_STYLE)
    parser.add_argument("--clock", type=float, default=66e6, help="hertz")
    given = parser.parse_args(arguments)
    parameters = ChipParameters(
        preset(given.geometry), given.timing, given.style, clock_hz=given.clock
    )
    written = write_librelane(parameters, given.folder, given.macro)
    print(f"{written} (not run here)")


if __name__ == "__main__":
    main()
