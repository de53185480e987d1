"""From a chip's parameters to a netlist of library cells, and that netlist as data.

Yosys and ABC map one module at a time, so the hierarchy of the RTL is the netlist's. What they
cannot see, a net that spreads over many modules, is buffered here.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from behavioral_models.geometry import ChipGeometry
from hdl.generate import TOPS, generate
from hdl.macro import MACRO_MODULE
from hdl.parameters import ChipParameters
from hdl.verilog import PREFIX
from hdl.yosys import YosysError, run_script

from .library import Cell, Expression, Library, LibraryError

__all__ = [
    "ADDERS",
    "BLOCKS",
    "CLOCK_GATE",
    "DEFAULT_STYLE",
    "NOT_FOR_LOGIC",
    "FlatNetlist",
    "Instance",
    "Netlist",
    "NetlistError",
    "SynthesisOptions",
    "cell_models",
    "flatten",
    "load_netlist",
    "synthesize",
    "to_verilog",
]

#: The style that synthesis takes unless told otherwise: the one that spends least.
DEFAULT_STYLE = "deferred"

#: Module of the RTL that stands for a clock-gating cell.
CLOCK_GATE = "heliobit_clock_gate"

#: Names of the clock gates that synthesis adds begin so.
ADDED_CLOCK_GATE = "added_clock_gate_"

#: Modules of the RTL that stand for adder cells (`hdl.adders`), and their inputs.
ADDERS = {"heliobit_full_adder": "abc", "heliobit_half_adder": "ab"}

#: Cells that logic must not be mapped to: level shifters and isolation of power-gated designs,
#: probe points, delay cells.
NOT_FOR_LOGIC = (
    "*lpflow*",
    "*probe*",
    "*macro_sparecell*",
    "*clkdlybuf*",
    "*dlymetal*",
    "*dlygate*",
    "*__dly[a-d]_*",
    "*_dlygate*",
    "*_sighold*",
)

#: Blocks that area and energy are told apart by, in the order reports give them.
BLOCKS = (
    "neuron registers",
    "popcount",
    "row store",
    "bank",
    "controller",
    "register access",
    "programmer",
    "power switch",
    "core",
    "host port",
    "chip",
    "macro",
)


class NetlistError(RuntimeError):
    """A netlist cannot be made or read; the message says what to do."""


@dataclass(frozen=True)
class SynthesisOptions:
    """How a netlist is made.

    Parameters
    ----------
    top : str
        ``chip`` or ``core``.
    period_s : float, optional
        Clock period aimed at, by default that of the chip's parameters, at most 10 ns.
    module_fraction : float
        Part of the period that ABC gives to the logic of one module, of which it sees no more.
    driving_cell : str, optional
        What ABC takes to drive a module's inputs; by default the library's second-smallest
        inverter.
    load_f : float, optional
        Load of a module's outputs; by default four of the driving cell's inputs.
    enable_flip_flops : str
        Whether registers with an enable use the library's flip-flops that have one, or a
        multiplexer and a plain flip-flop: ``energy`` takes what costs less in a clock cycle that
        holds the value, ``area`` what is smaller, ``library`` and ``multiplexer`` name one.
    gate_clocks : bool, optional
        Whether registers that share an enable get a clock gate for it; by default in all styles but
        ``enabled``, which has none, as fabricated.
    gate_flip_flops : int
        Flip-flops that are worth a clock gate.
    ripple_width : int
        Adders of up to so many bits ripple their carries, which costs the least area and energy;
        wider ones look ahead.
    adder_cells : bool
        Whether the RTL's full and half adders become the library's cells, where it has any; else
        they are mapped like any logic. SKY130's Liberty gives its adder cells half of the energy
        that their transistors take (`synthesis.column`): what it then says is too low.
    buffer : bool
        Whether nets that cross modules are buffered.
    load_fraction : float
        Part of a driver's maximum load that a buffered net may have.
    macro_pin_f : float
        Capacitance of a macro's input pin, for buffering.
    dont_use : tuple of str
        Cells, or patterns of them, not to use.
    """

    top: str = "chip"
    period_s: float | None = None
    module_fraction: float = 0.35
    driving_cell: str | None = None
    load_f: float | None = None
    enable_flip_flops: str = "energy"
    gate_clocks: bool | None = None
    gate_flip_flops: int = 3
    ripple_width: int = 12
    adder_cells: bool = False
    buffer: bool = True
    load_fraction: float = 0.4
    macro_pin_f: float = 5e-15
    dont_use: tuple[str, ...] = NOT_FOR_LOGIC

    def __post_init__(self) -> None:
        if self.top not in TOPS:
            raise ValueError(f"A netlist's top must be one of {', '.join(TOPS)}, not {self.top!r}")
        choices = ("energy", "area", "library", "multiplexer")
        if self.enable_flip_flops not in choices:
            raise ValueError(
                f"Enable flip-flops must be chosen by one of {', '.join(choices)}, "
                f"not {self.enable_flip_flops!r}"
            )
        if self.period_s is not None and not self.period_s > 0:
            raise ValueError(f"A clock period must be positive, not {self.period_s!r} s")
        for name in ("module_fraction", "load_fraction"):
            if not 0 < getattr(self, name) <= 1:
                words = name.replace("_", " ")
                raise ValueError(f"The {words} must be above 0, at most 1: {getattr(self, name)!r}")


@dataclass(frozen=True)
class Netlist:
    """A netlist in its folder.

    The folder holds ``chip.v`` (for simulators: ports as the RTL's), ``chip_sta.v`` (every net and
    port of one bit, for OpenSTA), ``chip.json`` (as Yosys writes it, hierarchical), ``cells.v``
    (simulation models of the cells used), ``netlist.json`` (this data) and ``rtl/`` (what it was
    made from). With top ``core`` the files are called ``core``...

    `area` is by module: `cells` and `area_um2` of its own cells, `instances` of the module in the
    design, `flip_flops` of its own (latches included).
    """

    folder: Path
    parameters: ChipParameters
    options: SynthesisOptions
    library_name: str
    library_sha256: str
    tools: dict[str, str]
    area: dict[str, dict[str, float]]

    @property
    def top_module(self) -> str:
        """Name of the top's Verilog module."""
        return PREFIX + self.options.top

    def file(self, suffix: str) -> Path:
        """A file of the netlist: ``.v``, ``_sta.v`` or ``.json``."""
        return self.folder / f"{self.options.top}{suffix}"

    @property
    def cells_file(self) -> Path:
        """Simulation models of the cells used."""
        return self.folder / "cells.v"

    @cached_property
    def design(self) -> dict[str, Any]:
        """Modules by name, as in Yosys's JSON."""
        return json.loads(self.file(".json").read_text())["modules"]

    @property
    def total_area_um2(self) -> float:
        """Area of all cells."""
        return sum(module["area_um2"] * module["instances"] for module in self.area.values())


# Cells to use -------------------------------------------------------------------------------------


def _usable(library: Library, options: SynthesisOptions) -> Iterator[Cell]:
    """Cells that may be used, the smallest first."""
    for cell in sorted(library.cells.values(), key=lambda cell: (cell.area_um2, cell.name)):
        if not cell.dont_use and not any(fnmatch(cell.name, p) for p in options.dont_use):
            yield cell


@dataclass(frozen=True)
class _Choices:
    """Cells of a library that synthesis asks for by name."""

    library: Library
    options: SynthesisOptions

    def _single(self, table: list[int]) -> list[tuple[Cell, str, str]]:
        """Cells of one input and one output with this truth table: cell, input, output."""
        found = []
        for cell in _usable(self.library, self.options):
            if cell.kind == "combinational" and len(cell.inputs) == len(cell.outputs) == 1:
                function = cell.pins[cell.outputs[0]].function
                assert function is not None
                if list(function.truth_table(cell.inputs)) == table:
                    found.append((cell, cell.inputs[0], cell.outputs[0]))
        return found

    @cached_property
    def inverters(self) -> list[tuple[Cell, str, str]]:
        return self._single([1, 0])

    @cached_property
    def buffers(self) -> list[tuple[Cell, str, str]]:
        """Buffers by strength; cells for clock trees only where there are no others."""
        found = self._single([0, 1])
        plain = [choice for choice in found if "clk" not in choice[0].name.lower()] or found
        by_strength: dict[float, tuple[Cell, str, str]] = {}
        for choice in plain:
            by_strength.setdefault(self.maximum_load_f(choice[0], choice[2]), choice)
        return [by_strength[strength] for strength in sorted(by_strength)]

    def maximum_load_f(self, cell: Cell, pin: str) -> float:
        """What an output may drive; a hundred of the smallest inverter's inputs if nothing says."""
        maximum = cell.pins[pin].max_capacitance_f
        if maximum:
            return maximum
        inverter, a, _ = self.inverters[0]
        return 100 * inverter.pins[a].capacitance_f

    @cached_property
    def driving_cell(self) -> tuple[Cell, str, str]:
        """Inverter that stands for the unknown driver of a module's inputs."""
        wanted = self.options.driving_cell
        if wanted:
            cell = self.library.cell(wanted)
            if len(cell.inputs) != 1 or len(cell.outputs) != 1:
                raise NetlistError(f"The driving cell {wanted} must have one input and one output")
            return cell, cell.inputs[0], cell.outputs[0]
        if not self.inverters:
            raise NetlistError(f"The library {self.library.name} has no inverter")
        by_strength = sorted(self.inverters, key=lambda i: self.maximum_load_f(i[0], i[2]))
        return by_strength[min(1, len(by_strength) - 1)]

    @property
    def load_f(self) -> float:
        """Load of a module's outputs."""
        if self.options.load_f is not None:
            return self.options.load_f
        cell, a, _ = self.driving_cell
        return 4 * cell.pins[a].capacitance_f

    @cached_property
    def ties(self) -> tuple[tuple[str, str], tuple[str, str]] | None:
        """Cell and pin that give 1, and 0; None if the library has none."""
        found: dict[int, tuple[str, str]] = {}
        for cell in _usable(self.library, self.options):
            if cell.kind == "tie":
                for name in cell.outputs:
                    function = cell.pins[name].function
                    if function is not None and not function.pins:
                        found.setdefault(function.evaluate({}), (cell.name, name))
        return (found[1], found[0]) if len(found) == 2 else None

    @cached_property
    def clock_gate(self) -> Cell | None:
        """Smallest clock-gating cell for rising edges; one without a test pin before one with."""
        gates = [
            cell
            for cell in _usable(self.library, self.options)
            if cell.kind == "clock_gate"
            and (cell.clock_gate or "").startswith("latch_posedge")
            and {"clock", "enable", "out"} <= {pin.clock_gate_role for pin in cell.pins.values()}
        ]
        return min(gates, key=lambda cell: len(cell.inputs), default=None)

    def adder(self, inputs: int) -> tuple[Cell, str, str] | None:
        """Smallest cell that adds two or three bits, with its sum and carry outputs."""
        index = range(1 << inputs)
        wanted = {
            tuple(i.bit_count() & 1 for i in index): "sum",
            tuple(i.bit_count() >> 1 for i in index): "carry",
        }
        for cell in _usable(self.library, self.options):
            if cell.kind == "combinational" and len(cell.inputs) == inputs:
                found = {}
                for pin in cell.outputs:
                    function = cell.pins[pin].function
                    assert function is not None
                    table = tuple(int(value) for value in function.truth_table(cell.inputs))
                    found[wanted.get(table)] = pin
                if set(found) == {"sum", "carry"}:
                    return cell, found["sum"], found["carry"]
        return None

    @property
    def unusable(self) -> list[str]:
        """Cells that are not to be used, for Yosys's -dont_use."""
        usable = {cell.name for cell in _usable(self.library, self.options)}
        return sorted(set(self.library.cells) - usable)

    @cached_property
    def enable_flip_flops(self) -> list[str]:
        """Flip-flops whose next state is their own in some cases."""
        return [
            cell.name
            for cell in self.library.cells.values()
            if cell.kind == "flip_flop"
            and cell.state is not None
            and cell.state.next_state is not None
            and {cell.state.variable, cell.state.inverted} & set(cell.state.next_state.pins)
        ]

    @cached_property
    def keep_enable_flip_flops(self) -> bool:
        """Whether registers with an enable use the library's flip-flops that have one."""
        choice = self.options.enable_flip_flops
        if choice in ("library", "multiplexer") or not self.enable_flip_flops:
            return choice == "library"
        usable = list(_usable(self.library, self.options))
        with_enable = [c for c in usable if c.name in self.enable_flip_flops and not c.scan]
        plain = [c for c in usable if _is_plain_flip_flop(c)]
        multiplexers = [c for c in usable if _is_multiplexer(c)]
        if not (with_enable and plain and multiplexers):
            return bool(with_enable)
        if choice == "area":
            return with_enable[0].area_um2 <= plain[0].area_um2 + multiplexers[0].area_um2
        return _clock_energy(with_enable[0]) <= _clock_energy(plain[0])


def _is_plain_flip_flop(cell: Cell) -> bool:
    """One data input, no set or reset, rising edge."""
    state = cell.state
    return (
        cell.kind == "flip_flop"
        and state is not None
        and state.clear is None
        and state.preset is None
        and state.next_state is not None
        and state.next_state.tree[0] == "pin"
        and state.clocked_on is not None
        and state.clocked_on.tree[0] == "pin"
    )


def _is_multiplexer(cell: Cell) -> bool:
    if cell.kind != "combinational" or len(cell.inputs) != 3 or len(cell.outputs) != 1:
        return False
    function = cell.pins[cell.outputs[0]].function
    assert function is not None
    for select in cell.inputs:
        a, b = (pin for pin in cell.inputs if pin != select)
        table = list(function.truth_table((a, b, select)))
        if table == [0, 1, 0, 1, 0, 0, 1, 1]:
            return True
    return False


def _clock_energy(cell: Cell, transition_s: float = 100e-12) -> float:
    """Energy that a clock cycle costs inside a flip-flop that keeps its value; J."""
    total = 0.0
    for pin in cell.pins.values():
        if pin.is_clock:
            for power in pin.internal_power:
                tables = [table for table in (power.rise, power.fall) if table is not None]
                total += sum(table.at(input_transition=transition_s) for table in tables)
    return total


# Making a netlist ---------------------------------------------------------------------------------


def synthesize(
    parameters: ChipParameters,
    library: Library,
    folder: Path,
    options: SynthesisOptions | None = None,
) -> Netlist:
    """Make a netlist and write it into `folder`, replacing it whole.

    The same parameters, library, options and tools give the same files.

    Raises
    ------
    NetlistError
        If the folder holds anything else, or the library lacks cells that are needed.
    YosysError
        If there is no Yosys, or it failed.
    """
    options = options or SynthesisOptions()
    folder = Path(folder)
    if folder.exists() and not (folder / "netlist.json").is_file():
        if not folder.is_dir() or any(folder.iterdir()):
            raise NetlistError(
                f"{folder} holds something else, and would be replaced whole; "
                "name a new or an empty folder"
            )
    choices = _Choices(library, options)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        rtl = generate(parameters, new / "rtl", options.top)
        work = Path(scratch) / "work"
        work.mkdir()
        modules = _map(rtl, work, choices, parameters)
        top = PREFIX + options.top
        order = _children_first(modules, top)
        modules = {name: _Renamer(modules[name], library).module() for name in order}
        if options.buffer:
            _Buffering(modules, choices).run()
        version = _write(modules, top, work, new, _heading(parameters, library, options))
        area = _area(modules, top, library)
        used = {
            cell["type"]
            for module in modules.values()
            for cell in module["cells"].values()
            if cell["type"] in library.cells
        }
        (new / "cells.v").write_text(cell_models(library, used))
        data = {
            "parameters": asdict(parameters),
            "options": asdict(options),
            "library": {"name": library.name, "sha256": library.sha256},
            "tools": {"yosys": version},
            "area": area,
        }
        (new / "netlist.json").write_text(json.dumps(data, indent=2) + "\n")
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        new.rename(folder)
    return load_netlist(folder)


def load_netlist(folder: Path) -> Netlist:
    """Read a netlist's folder.

    Raises
    ------
    NetlistError
        If it is none.
    """
    folder = Path(folder)
    try:
        data = json.loads((folder / "netlist.json").read_text())
        parameters = dict(data["parameters"])
        parameters["geometry"] = ChipGeometry(**parameters["geometry"])
        options = dict(data["options"])
        options["dont_use"] = tuple(options["dont_use"])
        return Netlist(
            folder=folder,
            parameters=ChipParameters(**parameters),
            options=SynthesisOptions(**options),
            library_name=data["library"]["name"],
            library_sha256=data["library"]["sha256"],
            tools=data["tools"],
            area=data["area"],
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NetlistError(
            f"{folder} holds no netlist that can be read ({error}): make it with "
            "`python -m synthesis netlist`"
        ) from None


def _heading(parameters: ChipParameters, library: Library, options: SynthesisOptions) -> str:
    geometry = parameters.geometry
    return (
        f"// Netlist of the Heliobit {options.top}: {geometry.banks} banks x "
        f"{geometry.macros_per_bank} macros x {geometry.rows} rows x {geometry.columns} columns, "
        f"read timing {parameters.read_timing}, style {parameters.style}; {library.name}.\n"
        "// Made by `python -m synthesis netlist`; do not edit.\n"
    )


def _clock_gate_module(cell: Cell) -> str:
    """The RTL's clock gate, as the library's cell."""
    nets = {"clock": "clk", "enable": "enable", "out": "gated_clk", "test": "1'b0"}
    pins = ", ".join(
        f".{pin.name}({nets[pin.clock_gate_role]})"
        for pin in cell.pins.values()
        if pin.clock_gate_role
    )
    return (
        f"module {CLOCK_GATE} (input wire clk, input wire enable, output wire gated_clk);\n"
        f"  {cell.name} clock_gate_cell ({pins});\nendmodule\n"
    )


#: ABC's commands: as Yosys's own script for a library with constraints, with two rounds of
#: rewriting and with area recovery in the mapper (-R, -F).
_ABC_SCRIPT = (
    "strash", "&get -n", "&fraig -x", "&put", "scorr", "dc2", "dc2", "strash", "&get -n",
    "&dch -f", "&nf -R 1000 -F 10 -D {delay}", "&put", "buffer", "upsize -D {delay}",
    "dnsize -D {delay}",
)  # fmt: skip

#: How an adder is built where carries ripple.
_RIPPLE_ADDER = """(* techmap_celltype = "$alu" *)
module ripple_adder (A, B, CI, BI, X, Y, CO);
  parameter A_SIGNED = 0, B_SIGNED = 0, A_WIDTH = 1, B_WIDTH = 1, Y_WIDTH = 1;
  (* force_downto *) input [A_WIDTH-1:0] A;
  (* force_downto *) input [B_WIDTH-1:0] B;
  input CI, BI;
  (* force_downto *) output [Y_WIDTH-1:0] X, Y, CO;
  wire _TECHMAP_FAIL_ = Y_WIDTH > WIDEST;
  (* force_downto *) wire [Y_WIDTH-1:0] a, given_b;
  \\$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH)) wide_a (.A(A), .Y(a));
  \\$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)) wide_b (.A(B), .Y(given_b));
  (* force_downto *) wire [Y_WIDTH-1:0] b = BI ? ~given_b : given_b;
  (* force_downto *) wire [Y_WIDTH-1:0] carry = {CO, CI};
  assign CO = (a & b) | ((a ^ b) & carry);
  assign X = a ^ b;
  assign Y = X ^ carry;
endmodule
"""


def _adder_module(name: str, inputs: str, cell: Cell, total: str, carry: str) -> str:
    """One of the RTL's adders, as the library's cell."""
    pins = [f".{pin}({net})" for pin, net in zip(cell.inputs, inputs, strict=True)]
    pins += [f".{total}(total)", f".{carry}(carry)"]
    ports = ", ".join([*(f"input wire {net}" for net in inputs), "output wire total, carry"])
    return f"module {name} ({ports});\n  {cell.name} adder_cell ({', '.join(pins)});\nendmodule\n"


def _map(rtl: Path, work: Path, choices: _Choices, parameters: ChipParameters) -> dict[str, Any]:
    """Run Yosys and ABC; return the modules as in its JSON."""
    options, library = choices.options, choices.library
    top = PREFIX + options.top
    sources = []
    for line in (rtl / f"{options.top}.f").read_text().split():
        if Path(line).stem == MACRO_MODULE:
            line = f"synthesis/{MACRO_MODULE}.v"
        text = (rtl / line).read_text()
        module = Path(line).stem
        if module == CLOCK_GATE and choices.clock_gate:
            text = _clock_gate_module(choices.clock_gate)
        if module in ADDERS and options.adder_cells:
            adder = choices.adder(len(ADDERS[module]))
            text = _adder_module(module, ADDERS[module], *adder) if adder else text
        sources.append(Path(line).name)
        (work / sources[-1]).write_text(text)
    # WebAssembly Yosys sees its own folder only.
    shutil.copy(library.plain_text_path(), work / "cells.lib")
    cell, _, _ = choices.driving_cell
    (work / "abc.constr").write_text(
        f"set_driving_cell {cell.name}\nset_load {choices.load_f * 1e15:.6g}\n"
    )
    period_s = options.period_s or min(1 / parameters.clock_hz, 10e-9)
    delay_ps = round(period_s * options.module_fraction * 1e12)
    script = "+" + ";".join(_ABC_SCRIPT).replace(" ", ",").format(delay=delay_ps)
    (work / "ripple.v").write_text(_RIPPLE_ADDER.replace("WIDEST", str(options.ripple_width)))
    unusable = "".join(f" -dont_use {name}" for name in choices.unusable)
    enables = "" if choices.keep_enable_flip_flops else "".join(
        f" -dont_use {name}" for name in choices.enable_flip_flops)  # fmt: skip
    ties = []
    if choices.ties:
        (one, one_pin), (zero, zero_pin) = choices.ties
        ties = [f"hilomap -hicell {one} {one_pin} -locell {zero} {zero_pin} -singleton"]
    gate_clocks = options.gate_clocks
    if gate_clocks is None:
        gate_clocks = parameters.style != "enabled"
    clock_gates = [
        "opt_dff -nosdff",  # finds the enables
        "simplemap",
        f"clockgate -pos {CLOCK_GATE} enable:clk:gated_clk -min_net_size {options.gate_flip_flops}",
        f"rename -enumerate -pattern {ADDED_CLOCK_GATE}% t:{CLOCK_GATE}",
        "opt_clean",
    ]
    passed_on = choices.buffers[:1] if f"{PREFIX}receiver.v" in sources else []
    commands = [
        "read_liberty -lib -ignore_miss_func -ignore_miss_data_latch cells.lib",
        f"read_verilog -sv {' '.join(sources)}",
        f"hierarchy -check -top {top}",
        "attrmap -remove init",  # silicon has no initial values
        "proc",
        "opt_expr",
        "opt_clean",
        "check -assert",
        "opt -nodffe -nosdff",
        "wreduce",
        "peepopt",
        "opt_clean",
        "alumacc",
        "share",
        "opt",
        "opt -fast -full",
        "memory_map",
        "opt -undriven -fine",
        "techmap -map ripple.v",
        "opt_expr",
        "techmap",
        "opt -fast",
        "opt_clean",
        *(clock_gates if gate_clocks else []),
        f"dfflibmap{unusable}{enables} -liberty cells.lib",
        "opt",
        f"abc -liberty cells.lib -constr abc.constr -script {script}{unusable}",
        "opt_clean -purge",
        "setundef -zero",
        *ties,
        # Debian's OpenSTA loses paths through modules that pass a port straight on.
        *(f"insbuf -buf {cell.name} {i} {o} {PREFIX}receiver" for cell, i, o in passed_on),
        "opt_clean -purge",
        "write_json mapped.json",
    ]
    try:
        run_script(commands, cwd=work)
    except YosysError as error:
        if "cannot be legalized" in str(error):  # the message names the kind of flip-flop
            raise NetlistError(
                f"The library {library.name} lacks a flip-flop or latch that is needed: {error}"
            ) from None
        raise
    modules = json.loads((work / "mapped.json").read_text())["modules"]
    known = {name: module for name, module in modules.items() if name not in library.cells}
    for name, module in known.items():
        for instance, mapped in module["cells"].items():
            if mapped["type"] not in modules:
                raise NetlistError(
                    f"The library {library.name} has no cell for {mapped['type']} "
                    f"({instance} in {name})"
                )
    return known


def _children_first(modules: dict[str, Any], top: str) -> list[str]:
    """Modules below `top` and itself, each after those it holds."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order or name not in modules:
            return
        for cell in modules[name]["cells"].values():
            visit(cell["type"])
        order.append(name)

    visit(top)
    return order


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts neuron_2 before neuron_10."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts]


class _Renamer:
    """One module of Yosys's JSON, with plain names: registers' flip-flops are called after them."""

    def __init__(self, module: dict[str, Any], library: Library) -> None:
        self._old = module
        self._library = library

    def module(self) -> dict[str, Any]:
        ports = self._old["ports"]
        if _is_black_box(self._old):
            attributes = {"blackbox": "1".zfill(32)}
            return {"attributes": attributes, "ports": ports, "cells": {}, "netnames": {}}
        nets = self._nets()
        names = {bit: name for name, bits in nets.items() for bit in bits}
        for name, bits in nets.items():
            for place, bit in enumerate(bits):
                names[bit] = f"{name}_{place}" if len(bits) > 1 else name
        cells = self._cells(names)
        named = {bit for bits in nets.values() for bit in bits}
        named |= {bit for port in ports.values() for bit in port["bits"]}
        number = 0
        for cell in cells.values():
            for bits in cell["connections"].values():
                for bit in bits:
                    if isinstance(bit, int) and bit not in named:
                        while f"n{number}" in nets or f"n{number}" in ports:
                            number += 1
                        nets[f"n{number}"] = [bit]
                        named.add(bit)
        for name, port in ports.items():
            nets[name] = port["bits"]
        return {
            "attributes": {},
            "ports": ports,
            "cells": cells,
            "netnames": {
                name: {"hide_name": 0, "bits": bits, "attributes": {}}
                for name, bits in sorted(nets.items(), key=lambda item: natural(item[0]))
            },
        }

    def _nets(self) -> dict[str, list]:
        """Names of the RTL that name a net that has no other name yet."""
        taken = {bit for port in self._old["ports"].values() for bit in port["bits"]}
        used = {
            bit
            for cell in self._old["cells"].values()
            for bits in cell["connections"].values()
            for bit in bits
        }
        nets: dict[str, list] = {}
        for name, net in sorted(self._old["netnames"].items(), key=lambda i: natural(i[0])):
            bits = net["bits"]
            fresh = [b for b in bits if isinstance(b, int) and b in used and b not in taken]
            if name in self._old["ports"] or net["hide_name"] or not fresh:
                continue
            if len(fresh) == len(bits) == len(set(bits)):
                nets[name] = bits
            else:  # part of it has another name: name the rest bit by bit
                for place, bit in enumerate(bits):
                    if bit in fresh and bit not in taken:
                        taken.add(bit)
                        nets[f"{name}_bit_{place}"] = [bit]
            taken |= set(fresh)
        return nets

    def _cells(self, names: dict) -> dict[str, Any]:
        old = self._old["cells"]
        for port_name, port in self._old["ports"].items():
            for place, bit in enumerate(port["bits"]):
                wide = len(port["bits"]) > 1
                names.setdefault(bit, f"{port_name}_{place}" if wide else port_name)
        chosen: dict[str, str] = {}
        taken = {name for name in old if not name.startswith("$")}
        number = 0
        for name in sorted(old, key=natural):
            cell = old[name]
            known = self._library.cells.get(cell["type"])
            if not name.startswith("$"):
                chosen[name] = name
                continue
            base = None
            if known is not None and known.kind in ("flip_flop", "latch"):
                bits = [b for pin in known.outputs for b in cell["connections"].get(pin, [])]
                base = next((f"{names[bit]}_{known.kind}" for bit in bits if bit in names), None)
            if base is None:
                while f"g{number}" in taken:
                    number += 1
                base = f"g{number}"
            while base in taken:
                base += "_"
            chosen[name] = base
            taken.add(base)
        cells = {}
        for name, new in sorted(chosen.items(), key=lambda item: natural(item[1])):
            cell = old[name]
            cells[new] = {
                "hide_name": 0,
                "type": cell["type"],
                "parameters": cell["parameters"],
                "attributes": {},
                "port_directions": self._directions(cell),
                "connections": dict(sorted(cell["connections"].items())),
            }
        return cells

    def _directions(self, cell: dict[str, Any]) -> dict[str, str]:
        known = self._library.cells.get(cell["type"])
        if known is None:
            return cell["port_directions"]
        return {pin: known.pins[pin].direction for pin in sorted(cell["connections"])}


def _is_black_box(module: dict[str, Any]) -> bool:
    return "blackbox" in module["attributes"]


# Buffers ------------------------------------------------------------------------------------------

_Load = tuple[str, str, int, float]  # cell, pin, place in the pin, capacitance in F


class _Buffering:
    """Buffers nets that are loaded beyond what their driver should drive.

    From the innermost modules outwards, so that a module's input port is a load known to the module
    around it. Nets that reach a clock pin are left alone: they are a clock tree's business.
    """

    def __init__(self, modules: dict[str, Any], choices: _Choices) -> None:
        self._modules, self._choices = modules, choices
        self._library = choices.library
        wire_loads = self._library.wire_loads
        self._wire = wire_loads.get(self._library.default_wire_load or "")
        #: Load of each input port's bit, by module, port and place.
        self._port_load: dict[tuple[str, str, int], float] = {}
        self._clock_ports: set[tuple[str, str]] = set()
        cell, _, out = choices.driving_cell
        self._unknown_driver_f = choices.maximum_load_f(cell, out) * choices.options.load_fraction

    def run(self) -> None:
        """Buffer all modules, which must come children first."""
        if not self._choices.buffers:
            raise NetlistError(
                f"The library {self._library.name} has no buffer: synthesize with buffer=False"
            )
        for name, module in self._modules.items():
            if _is_black_box(module):
                for port, data in module["ports"].items():
                    for place in range(len(data["bits"])):
                        self._port_load[name, port, place] = self._choices.options.macro_pin_f
                    if port == "clk":
                        self._clock_ports.add((name, port))
            else:
                self._buffer(name, module)

    def _connections(self, module: dict[str, Any]) -> Iterator[tuple[str, str, str, int, Any]]:
        for cell_name, cell in module["cells"].items():
            for pin, bits in cell["connections"].items():
                for place, bit in enumerate(bits):
                    yield cell_name, cell["type"], pin, place, bit

    def _buffer(self, name: str, module: dict[str, Any]) -> None:
        loads: dict[int, list[_Load]] = {}
        drivers: dict[int, tuple[str, str]] = {}
        for cell_name, kind, pin, place, bit in self._connections(module):
            direction = module["cells"][cell_name]["port_directions"][pin]
            if not isinstance(bit, int):
                continue
            if direction == "output":
                drivers[bit] = (kind, pin)
            elif kind in self._library.cells:
                capacitance = self._library.cells[kind].pins[pin].capacitance_f
                loads.setdefault(bit, []).append((cell_name, pin, place, capacitance))
            else:
                capacitance = self._port_load.get((kind, pin, place), 0.0)
                loads.setdefault(bit, []).append((cell_name, pin, place, capacitance))
        clocks = self._clock_nets(name, module, drivers)
        names = _bit_names(module)
        fresh = max((b for b in names if isinstance(b, int)), default=1) + 1
        for bit in sorted(loads):
            kind, pin = drivers.get(bit, ("", ""))
            if bit in clocks or self._is_tie(kind):
                continue
            limit = self._unknown_driver_f
            if kind in self._library.cells:
                maximum = self._choices.maximum_load_f(self._library.cells[kind], pin)
                limit = maximum * self._choices.options.load_fraction
            here = sorted(loads[bit], key=lambda load: natural(load[0]))
            level = 0
            while len(here) > 1 and self._load_f(here) > limit:
                groups = self._groups(here, limit)
                if groups is None:
                    break
                new: list[_Load] = []
                for group in groups:
                    load = self._load_f(group)
                    buffer, a, y = self._buffer_for(load)
                    label = f"{names[bit]}_buffer_{level}_{len(new)}"
                    while label in module["cells"] or label in module["netnames"]:
                        label += "_"
                    module["cells"][label] = {
                        "hide_name": 0,
                        "type": buffer.name,
                        "parameters": {},
                        "attributes": {},
                        "port_directions": {a: "input", y: "output"},
                        "connections": {a: [bit], y: [fresh]},
                    }
                    net = {"hide_name": 0, "bits": [fresh], "attributes": {}}
                    module["netnames"][f"{label}_net"] = net
                    for cell, load_pin, place, _ in group:
                        module["cells"][cell]["connections"][load_pin][place] = fresh
                    new.append((label, a, 0, buffer.pins[a].capacitance_f))
                    fresh += 1
                here, level = new, level + 1
            loads[bit] = here
        for port, data in module["ports"].items():
            for place, bit in enumerate(data["bits"]):
                if data["direction"] == "input":
                    if bit in clocks:
                        self._clock_ports.add((name, port))
                    self._port_load[name, port, place] = self._load_f(loads.get(bit, []))

    def _is_tie(self, kind: str) -> bool:
        return kind in self._library.cells and self._library.cells[kind].kind == "tie"

    def _load_f(self, loads: list[_Load]) -> float:
        wire = self._wire.capacitance_f(len(loads)) if self._wire and loads else 0.0
        return math.fsum(load[3] for load in loads) + wire

    def _groups(self, loads: list[_Load], limit: float) -> list[list[_Load]] | None:
        """Neighbouring loads, each group for one buffer; None if buffers would not help."""
        total = self._load_f(loads)
        best = None
        for buffer, a, y in self._choices.buffers:
            usable = self._choices.maximum_load_f(buffer, y) * self._choices.options.load_fraction
            count = min(math.ceil(total / usable), len(loads))
            inputs = count * buffer.pins[a].capacitance_f
            if inputs >= total:
                continue
            score = (inputs > limit, inputs if inputs > limit else count * buffer.area_um2)
            if best is None or score < best[0]:
                best = (score, count)
        if best is None:
            return None
        groups: list[list[_Load]] = [[] for _ in range(best[1])]
        done, whole = 0.0, math.fsum(load[3] for load in loads)
        for load in loads:
            middle = done + load[3] / 2
            groups[min(int(middle / whole * best[1]), best[1] - 1)].append(load)
            done += load[3]
        return [group for group in groups if group]

    def _buffer_for(self, load: float) -> tuple[Cell, str, str]:
        """The weakest buffer that is strong enough."""
        for buffer, a, y in self._choices.buffers:
            strength = self._choices.maximum_load_f(buffer, y)
            if strength * self._choices.options.load_fraction >= load:
                return buffer, a, y
        return self._choices.buffers[-1]

    def _clock_nets(
        self, name: str, module: dict[str, Any], drivers: dict[int, tuple[str, str]]
    ) -> set[int]:
        """Nets of a module that reach a clock pin."""
        nets = set()
        if name == CLOCK_GATE:
            nets |= {module["ports"][port]["bits"][0] for port in ("clk", "gated_clk")}
        for _, kind, pin, _, bit in self._connections(module):
            if kind in self._library.cells:
                if pin in _clock_pins(self._library.cells[kind]):
                    nets.add(bit)
            elif (kind, pin) in self._clock_ports or (kind, pin) == (CLOCK_GATE, "gated_clk"):
                nets.add(bit)
        inverters: dict[int, int] = {}  # and buffers: from output to input
        for cell in module["cells"].values():
            known = self._library.cells.get(cell["type"])
            if known is not None and len(known.inputs) == len(known.outputs) == 1:
                pins = cell["connections"]
                inverters[pins[known.outputs[0]][0]] = pins[known.inputs[0]][0]
        for bit in list(nets):
            while bit in inverters:
                bit = inverters[bit]
                nets.add(bit)
        return nets


def _clock_pins(cell: Cell) -> set[str]:
    """Pins of a cell that a clock belongs on."""
    pins = {pin.name for pin in cell.pins.values() if pin.is_clock}
    pins |= {pin.name for pin in cell.pins.values() if pin.clock_gate_role == "clock"}
    for function in (cell.state.clocked_on, cell.state.enable) if cell.state else ():
        pins |= set(function.pins) if function else set()
    return pins


def _bit_names(module: dict[str, Any]) -> dict[int, str]:
    """A plain name for each net of a module."""
    names: dict[int, str] = {}
    items = [*((n, p["bits"]) for n, p in module["ports"].items())]
    items += [(n, net["bits"]) for n, net in module["netnames"].items()]
    for name, bits in items:
        for place, bit in enumerate(bits):
            names.setdefault(bit, f"{name}_{place}" if len(bits) > 1 else name)
    return names


# Writing it ---------------------------------------------------------------------------------------


def _write(modules: dict[str, Any], top: str, work: Path, folder: Path, heading: str) -> str:
    """Write the modules as JSON and as both kinds of Verilog; return Yosys's version."""
    name = top.removeprefix(PREFIX)
    modules[top]["attributes"] = {"top": "1".zfill(32)}
    (folder / f"{name}.json").write_text(json.dumps({"modules": modules}, indent=1) + "\n")
    plain = json.loads(json.dumps(modules))
    for module in plain.values():  # a timing analyser has the macro's size from its .lib
        for cell in module["cells"].values():
            cell["parameters"] = {}
    (work / "whole.json").write_text(json.dumps({"modules": modules}))
    (work / "plain.json").write_text(json.dumps({"modules": plain}))
    run_script(
        [
            "read_json whole.json",
            "opt_clean",  # of a net with several names, one assignment each
            "write_verilog -noattr -noexpr whole.v",
            "design -reset",
            "read_json plain.json",
            "splitnets -ports",
            "write_verilog -noattr -noexpr plain.v",
        ],
        cwd=work,
    )
    for source, target in (("whole.v", f"{name}.v"), ("plain.v", f"{name}_sta.v")):
        text = re.sub(r"\A/\* Generated by [^\n]*\*/\n+", "", (work / source).read_text())
        if MACRO_MODULE in modules:  # its model, or its .lib, comes from elsewhere
            text = re.sub(rf"^module {MACRO_MODULE}\(.*?^endmodule\n+", "", text, flags=re.M | re.S)
        (folder / target).write_text(heading + text)
    version = re.match(r"/\* Generated by Yosys (\S+)", (work / "whole.v").read_text())
    return version[1] if version else "unknown"


def _area(modules: dict[str, Any], top: str, library: Library) -> dict[str, dict[str, float]]:
    """Cells, area and instances by module, the top first."""
    instances = dict.fromkeys(modules, 0)
    instances[top] = 1
    for name in reversed(modules):
        for cell in modules[name]["cells"].values():
            if cell["type"] in instances:
                instances[cell["type"]] += instances[name]
    area = {}
    for name in reversed(modules):
        if _is_black_box(modules[name]):
            continue
        cells = [library.cells.get(c["type"]) for c in modules[name]["cells"].values()]
        known = [cell for cell in cells if cell is not None]
        area[name] = {
            "cells": len(known),
            "area_um2": round(math.fsum(cell.area_um2 for cell in known), 6),
            "flip_flops": sum(cell.kind in ("flip_flop", "latch") for cell in known),
            "instances": instances[name],
        }
    return area


# Simulation models --------------------------------------------------------------------------------


def to_verilog(function: Expression) -> str:
    """Write a function as a Verilog expression."""
    return _verilog(function.tree)


def _verilog(tree: tuple) -> str:
    kind = tree[0]
    if kind == "pin":
        return tree[1]
    if kind == "constant":
        return f"1'b{tree[1]}"
    if kind == "not":
        return f"(~{_verilog(tree[1])})"
    operator = {"and": "&", "or": "|", "xor": "^"}[kind]
    return f"({_verilog(tree[1])} {operator} {_verilog(tree[2])})"


def _edge(function: Expression, name: str, lines: list[str]) -> str:
    """An edge of a function, on a pin itself where it is one; else of a wire, added to `lines`."""
    if function.tree[0] == "pin":
        return f"posedge {function.tree[1]}"
    if function.tree[0] == "not" and function.tree[1][0] == "pin":
        return f"negedge {function.tree[1][1]}"
    lines.append(f"  wire {name} = {_verilog(function.tree)};")
    return f"posedge {name}"


def _state_lines(cell: Cell) -> list[str]:
    state = cell.state
    assert state is not None
    lines = [f"  reg {state.variable};"]
    if state.inverted:
        lines.append(f"  wire {state.inverted} = ~{state.variable};")
    forced = [(f, value) for f, value in ((state.clear, 0), (state.preset, 1)) if f]
    arrow = "<=" if cell.kind == "flip_flop" else "="
    body = [
        f"if ({_verilog(function.tree)}) {state.variable} {arrow} 1'b{value};"
        for function, value in forced
    ]
    if cell.kind == "flip_flop":
        assert state.clocked_on is not None and state.next_state is not None
        edges = [_edge(state.clocked_on, "clocked_on", lines)]
        edges += [_edge(f, ("cleared", "preset")[value], lines) for f, value in forced]
        head = f"  always @({' or '.join(edges)})"
        body.append(f"{state.variable} <= {_verilog(state.next_state.tree)};")
    else:
        assert state.enable is not None and state.data_in is not None
        head = "  always_latch"
        data = _verilog(state.data_in.tree)
        body.append(f"if ({_verilog(state.enable.tree)}) {state.variable} = {data};")
    return [*lines, head, "    " + "\n    else ".join(body)]


def _clock_gate_lines(cell: Cell) -> list[str]:
    """A clock gate: its latch holds while the clock is high, whatever its enables say."""
    roles: dict[str, list[str]] = {}
    for pin in cell.pins.values():
        roles.setdefault(pin.clock_gate_role or "", []).append(pin.name)
    if not (cell.clock_gate or "").startswith("latch_posedge") or not {"clock", "out"} <= set(
        roles
    ):
        raise LibraryError(f"There is no model of the clock gate {cell.name} ({cell.clock_gate})")
    enables = " | ".join(roles.get("enable", []) + roles.get("test", []))
    clock = roles["clock"][0]
    return [
        "  reg enable_latched;",
        f"  always_latch if (~{clock}) enable_latched = {enables};",
        *(f"  assign {out} = {clock} & enable_latched;" for out in roles["out"]),
    ]


def cell_models(library: Library, cells: Iterable[str]) -> str:
    """Verilog models of cells, from the library's own functions: no delays, no power pins.

    Raises
    ------
    LibraryError
        If the library does not say what one of them does.
    """
    parts = [
        f"// Simulation models of the cells used of {library.name}, from its functions.\n"
        "// Made by `python -m synthesis netlist`; do not edit.\n"
        "/* verilator lint_off DECLFILENAME */\n/* verilator lint_off UNUSEDSIGNAL */\n"
    ]
    for name in sorted(set(cells)):
        cell = library.cell(name)
        ports = [f"input wire {pin}" for pin in cell.inputs]
        ports += [f"output wire {pin}" for pin in cell.outputs]
        lines = [f"module {name} ({', '.join(ports)});"]
        if cell.kind == "clock_gate":
            lines += _clock_gate_lines(cell)
        elif cell.kind == "other":
            raise LibraryError(f"There is no model of the cell {name}: the library has no function")
        else:
            if cell.state:
                lines += _state_lines(cell)
            for pin in cell.outputs:
                function = cell.pins[pin].function
                assert function is not None
                lines.append(f"  assign {pin} = {_verilog(function.tree)};")
        parts.append("\n".join([*lines, "endmodule\n"]))
    return "\n".join(parts)


# The netlist as data ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instance:
    """A library cell or macro: its path, type, and net number by pin (``q[3]`` of a wide one)."""

    path: str
    cell: str
    pins: dict[str, int]


@dataclass(frozen=True, eq=False)
class FlatNetlist:
    """All cells of a netlist and the nets between them.

    `nets` are names, of the outermost module that sees the net (``core/bank_0/enable[1]``). Where
    the library has no tie cells the nets ``0`` and ``1`` are constants. `ports` are the top's:
    direction and net numbers, the lowest bit first.
    """

    top: str
    instances: list[Instance]
    nets: list[str]
    ports: dict[str, tuple[str, list[int]]]
    net_numbers: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "net_numbers", {net: n for n, net in enumerate(self.nets)})

    def block_of(self, path: str) -> str:
        """The block, one of BLOCKS, that an instance or net of this path belongs to."""
        parts = path.split("/")
        if self.top == "core":
            parts.insert(0, "core")
        if re.fullmatch(r"macro_\d+", parts[0]):
            return "macro"
        if parts[0] == "host_port" and len(parts) > 1:
            return "host port"
        if parts[0] != "core" or len(parts) < 2:
            return "chip"
        inner = parts[1]
        if re.fullmatch(r"bank_\d+", inner) and len(parts) > 2:
            if re.fullmatch(r"neuron_\d+", parts[2]) and len(parts) > 3:
                return "neuron registers"
            if re.fullmatch(r"popcount_\d+", parts[2]) and len(parts) > 3:
                return "popcount"
            if parts[2] == "row_store" and len(parts) > 3:
                return "row store"
            return "bank"
        words = inner.replace("_", " ")
        return words if words in BLOCKS and len(parts) > 2 else "core"

    def area_by_block(self, library: Library) -> dict[str, dict[str, float]]:
        """Cells and area of each block that there is."""
        area: dict[str, dict[str, float]] = {}
        for instance in self.instances:
            cell = library.cells.get(instance.cell)
            if cell is not None:
                block = area.setdefault(
                    self.block_of(instance.path), {"cells": 0, "area_um2": 0.0, "flip_flops": 0}
                )
                block["cells"] += 1
                block["area_um2"] += cell.area_um2
                block["flip_flops"] += cell.kind in ("flip_flop", "latch")
        return {block: area[block] for block in BLOCKS if block in area}


def flatten(netlist: Netlist) -> FlatNetlist:
    """All cells of a netlist with the nets between them, modules in the order of the file."""
    flat = _Flattener(netlist.design)
    ports = flat.run(netlist.top_module)
    return FlatNetlist(netlist.options.top, flat.instances, flat.nets, ports)


class _Flattener:
    """Walks the hierarchy from the top, handing net numbers down through the ports."""

    def __init__(self, modules: dict[str, Any]) -> None:
        self._modules = modules
        self.instances: list[Instance] = []
        self.nets: list[str] = []
        self._same_as: list[int] = []
        self._constants: dict[str, int] = {}

    def run(self, top: str) -> dict[str, tuple[str, list[int]]]:
        numbers: dict[Any, int] = {}
        module = self._modules[top]
        self._name(numbers, "", module["ports"])
        self._walk(top, "", numbers)
        ports = {
            name: (port["direction"], [self._number(numbers, bit) for bit in port["bits"]])
            for name, port in module["ports"].items()
        }
        return self._renumber(ports)

    def _renumber(
        self, ports: dict[str, tuple[str, list[int]]]
    ) -> dict[str, tuple[str, list[int]]]:
        """Leave out the nets that turned out to be others."""
        roots = [self._root(number) for number in range(len(self.nets))]
        kept = sorted(set(roots))
        new = {root: place for place, root in enumerate(kept)}
        self.nets = [self.nets[root] for root in kept]
        for place, instance in enumerate(self.instances):
            pins = {pin: new[roots[number]] for pin, number in instance.pins.items()}
            self.instances[place] = Instance(instance.path, instance.cell, pins)
        return {
            name: (direction, [new[roots[number]] for number in numbers])
            for name, (direction, numbers) in ports.items()
        }

    def _root(self, number: int) -> int:
        while self._same_as[number] != number:
            self._same_as[number] = self._same_as[self._same_as[number]]
            number = self._same_as[number]
        return number

    def _merge(self, a: int, b: int) -> None:
        """Make two nets one, of the outer one's name: a constant's, or the one named first."""
        a, b = self._root(a), self._root(b)
        if a != b:
            constant = b in self._constants.values()
            if constant or (b < a and a not in self._constants.values()):
                a, b = b, a
            self._same_as[b] = a

    def _new(self, name: str) -> int:
        self.nets.append(name)
        self._same_as.append(len(self._same_as))
        return len(self.nets) - 1

    def _number(self, numbers: dict[Any, int], bit: Any) -> int:
        if not isinstance(bit, str):
            return numbers[bit]
        value = "1" if bit == "1" else "0"
        if value not in self._constants:
            self._constants[value] = self._new(value)
        return self._constants[value]

    def _name(self, numbers: dict[Any, int], prefix: str, names: dict[str, Any]) -> None:
        """Number the nets of a module that the module around it does not see."""
        for name, net in names.items():
            for place, bit in enumerate(net["bits"]):
                if isinstance(bit, int) and bit not in numbers:
                    index = f"[{place}]" if len(net["bits"]) > 1 else ""
                    numbers[bit] = self._new(f"{prefix}{name}{index}")

    def _walk(self, module_name: str, prefix: str, numbers: dict[Any, int]) -> None:
        module = self._modules[module_name]
        self._name(numbers, prefix, module["ports"])
        self._name(numbers, prefix, module["netnames"])
        for name, cell in module["cells"].items():
            inner = self._modules.get(cell["type"])
            nets = {
                pin: [self._number(numbers, bit) for bit in bits]
                for pin, bits in cell["connections"].items()
            }
            if inner is not None and not _is_black_box(inner):
                below: dict[Any, int] = {}
                for pin, port in inner["ports"].items():
                    for bit, number in zip(port["bits"], nets.get(pin, ()), strict=False):
                        if isinstance(bit, str):
                            self._merge(self._number(below, bit), number)
                        elif bit in below:  # two ports are one net
                            self._merge(below[bit], number)
                        else:
                            below[bit] = number
                self._walk(cell["type"], f"{prefix}{name}/", below)
                continue
            pins = {}
            for pin, numbers_of_pin in nets.items():
                wide = inner is not None and len(inner["ports"][pin]["bits"]) > 1
                for place, number in enumerate(numbers_of_pin):
                    pins[f"{pin}[{place}]" if wide else pin] = number
            self.instances.append(Instance(f"{prefix}{name}", cell["type"], pins))
