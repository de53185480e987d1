"""Proofs: a netlist equals its RTL, module by module; the neuron-register styles equal each other.

A module of the RTL and its mapped module are both cut at their registers, latches and inner
modules: what these hold or drive becomes an input, what feeds them becomes an output. The two are
then combinational, and a SAT solver (Yosys's) shows all outputs equal for all inputs: next states,
clocks, asynchronous sets and resets, inner modules' inputs and ports. Registers are paired by name.
By induction over the cycles, modules that are equal so and start equal stay equal; registers
without a reset start undefined in both. Modules that are equal make equal chips, for the inner
modules are proven on their own.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hdl.macro import MACRO_MODULE
from hdl.neuron import NeuronRegister
from hdl.verilog import convert
from hdl.yosys import run_script

from .library import Cell, Library, LibraryError
from .netlist import ADDED_CLOCK_GATE, CLOCK_GATE, Netlist, NetlistError, to_verilog

__all__ = [
    "REGISTER_STYLES",
    "ModuleResult",
    "StyleResult",
    "check_equivalence",
    "prove_styles",
]

#: Styles whose neuron register, alone, does in every cycle what that of style `enabled` does.
REGISTER_STYLES = ("bank_gated", "borrow_gated")


@dataclass(frozen=True)
class ModuleResult:
    """Whether a mapped module equals its RTL.

    `compared` outputs were compared, `registers` bits of state paired; `constants` bits of the
    RTL's state, which the netlist does not have, keep one value for ever. `different` names what
    differs, or has no counterpart.
    """

    module: str
    equal: bool
    registers: int
    constants: int
    compared: int
    different: tuple[str, ...]
    seconds: float


def check_equivalence(
    netlist: Netlist, library: Library, modules: Iterable[str] | None = None
) -> list[ModuleResult]:
    """Prove a netlist's modules equal to the RTL beside it (``rtl/`` in its folder).

    Parameters
    ----------
    netlist : Netlist
    library : Library
        The one it was made with.
    modules : iterable of str, optional
        Verilog names of modules; by default all.

    Returns
    -------
    list of ModuleResult
        Inner modules first.

    Raises
    ------
    NetlistError
        If the library is another one, or there is no such module.
    """
    if library.sha256 != netlist.library_sha256:
        raise NetlistError(
            f"The netlist in {netlist.folder} was made with {netlist.library_name}, and the "
            f"library given is another: {library.name}"
        )
    golden = _golden_design(netlist)
    mapped = netlist.design
    names = [name for name in mapped if "blackbox" not in mapped[name]["attributes"]]
    chosen = names if modules is None else list(modules)
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise NetlistError(f"The netlist has no module {unknown[0]}; it has {', '.join(names)}")

    def check(name: str) -> ModuleResult:
        start = time.monotonic()
        if name not in golden:
            return ModuleResult(name, False, 0, 0, 0, ("the RTL has no such module",), 0.0)
        gold = _Cut()
        gold.add_rtl(golden[name])
        gate = _Cut()
        gate.add_mapped(mapped[name], library)
        return _compare(name, gold, gate, library, start)

    with ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1))) as pool:
        return list(tqdm(pool.map(check, chosen), total=len(chosen), desc="equivalence", delay=2))


def _golden_design(netlist: Netlist) -> dict[str, Any]:
    """The RTL's modules in Yosys's JSON, as they were written: no optimisation."""
    sources = []
    with tempfile.TemporaryDirectory() as folder:
        for line in (netlist.folder / "rtl" / f"{netlist.options.top}.f").read_text().split():
            if Path(line).stem == MACRO_MODULE:
                line = f"synthesis/{MACRO_MODULE}.v"
            sources.append(Path(line).name)
            text = (netlist.folder / "rtl" / line).read_text()
            (Path(folder) / sources[-1]).write_text(text)
        return _elaborate(Path(folder), sources, netlist.top_module)


def _elaborate(folder: Path, sources: list[str], top: str, flatten: bool = False) -> dict[str, Any]:
    run_script(
        [
            f"read_verilog -sv {' '.join(sources)}",
            f"hierarchy -check -top {top}",
            "attrmap -remove init",
            "proc -norom",
            *(["flatten"] if flatten else []),
            "opt_expr -keepdc",
            "opt_clean",
            "dffunmap",
            "write_json rtl.json",
        ],
        cwd=folder,
    )
    return json.loads((folder / "rtl.json").read_text())["modules"]


# Cutting a module ---------------------------------------------------------------------------------


@dataclass
class _State:
    """A bit of state: the names it goes by, its value's net, and what decides the next."""

    names: set[str]
    value: int
    next: Any
    clock: Any
    clear: Any = "0"
    preset: Any = "0"
    inverted: bool = False


@dataclass
class _Cut:
    """A module without state and without inner modules, as Yosys's JSON and what was cut.

    `inputs` and `outputs` are nets by what they are: a port's bit, or an inner module's.
    """

    cells: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    states: list[_State] = field(default_factory=list)
    _fresh: int = 0

    def _net(self) -> int:
        self._fresh += 1
        return self._fresh

    def _start(self, module: dict[str, Any]) -> dict[int, set[str]]:
        """Take a module's ports; return the names of every net."""
        names: dict[int, set[str]] = {}
        bits: list[Any] = [0]
        for kind in ("ports", "netnames"):
            for name, net in module[kind].items():
                for place, bit in enumerate(net["bits"]):
                    if isinstance(bit, int):
                        names.setdefault(bit, set()).add(f"{name}[{place}]")
                bits += net["bits"]
        for cell in module["cells"].values():
            bits += [bit for pin in cell["connections"].values() for bit in pin]
        self._fresh = max(bit for bit in bits if isinstance(bit, int)) + 1
        for name, port in module["ports"].items():
            side = self.inputs if port["direction"] == "input" else self.outputs
            for place, bit in enumerate(port["bits"]):
                side[f"port {name}[{place}]"] = bit
        return names

    def _not(self, bit: Any) -> Any:
        if isinstance(bit, str):
            return {"0": "1", "1": "0"}.get(bit, bit)
        out = self._net()
        self._cell("$_NOT_", {"A": [bit]}, {"Y": [out]})
        return out

    def _cell(
        self,
        kind: str,
        inputs: dict[str, list],
        outputs: dict[str, list],
        parameters: dict[str, Any] | None = None,
    ) -> None:
        self.cells[f"cut{len(self.cells)}"] = {
            "hide_name": 0,
            "type": kind,
            "parameters": parameters or {},
            "attributes": {},
            "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
            "connections": inputs | outputs,
        }

    def _inner_module(self, name: str, cell: dict[str, Any]) -> None:
        for pin, bits in cell["connections"].items():
            side = self.inputs if cell["port_directions"][pin] == "output" else self.outputs
            for place, bit in enumerate(bits):
                if side is self.outputs or isinstance(bit, int):
                    side[f"{name} ({cell['type']}) {pin}[{place}]"] = bit

    def add_rtl(self, module: dict[str, Any]) -> None:
        """Cut a module as `_elaborate` gives it."""
        names = self._start(module)
        for name, cell in module["cells"].items():
            if cell["type"] in ("$dff", "$adff", "$dlatch"):
                self._register(cell, names)
            elif cell["type"].startswith("$") and "ff" not in cell["type"]:
                self.cells[f"rtl{len(self.cells)}"] = cell
            elif cell["type"].startswith("$"):
                raise NetlistError(f"The RTL has a {cell['type']}, which no proof is made for")
            else:
                self._inner_module(name, cell)

    def _register(self, cell: dict[str, Any], names: dict[int, set[str]]) -> None:
        pins = cell["connections"]

        def active_high(pin: str) -> Any:
            high = int(cell["parameters"][f"{pin}_POLARITY"], 2)
            return pins[pin][0] if high else self._not(pins[pin][0])

        clock = active_high("EN" if cell["type"] == "$dlatch" else "CLK")
        reset = active_high("ARST") if cell["type"] == "$adff" else "0"
        values = cell["parameters"].get("ARST_VALUE", "")
        for place, (d, q) in enumerate(zip(pins["D"], pins["Q"], strict=True)):
            to_one = bool(values) and values[-1 - place] == "1"
            self.states.append(
                _State(
                    names.get(q, set()),
                    q,
                    d,
                    clock,
                    clear="0" if to_one else reset,
                    preset=reset if to_one else "0",
                )
            )

    def add_mapped(self, module: dict[str, Any], library: Library) -> None:
        """Cut a module of a netlist; its cells become instances of `_models`'s modules."""
        names = self._start(module)
        # The netlist names single bits of a vector so where the rest has another name.
        for bit, found in names.items():
            names[bit] = found | {
                f"{m[1]}[{m[2]}]"
                for m in (re.fullmatch(r"(.*)_bit_(\d+)\[0\]", name) for name in found)
                if m
            }
        inverted = _inverted(module, library)
        # A clock gate that synthesis added is an enable of what it clocks: it lets a rising edge
        # pass if its enable was high before.
        gated: dict[Any, tuple[Any, Any]] = {}
        for name, cell in module["cells"].items():
            if name.startswith(ADDED_CLOCK_GATE) and cell["type"] == CLOCK_GATE:
                pins = cell["connections"]
                gated[pins["gated_clk"][0]] = (pins["clk"][0], pins["enable"][0])
        for name, cell in module["cells"].items():
            known = library.cells.get(cell["type"])
            if name.startswith(ADDED_CLOCK_GATE) and cell["type"] == CLOCK_GATE:
                continue
            if known is None:
                self._inner_module(name, cell)
                continue
            inputs = {pin: cell["connections"].get(pin, ["x"]) for pin in known.inputs}
            outputs = {p: b for p, b in cell["connections"].items() if p in known.outputs}
            if known.kind in ("flip_flop", "latch", "clock_gate"):
                self._mapped_state(known, inputs, outputs, names, inverted, gated)
            else:
                self._cell(known.name, inputs, outputs)

    def _mapped_state(
        self,
        cell: Cell,
        inputs: dict[str, list],
        outputs: dict[str, list],
        names: dict[int, set[str]],
        inverted: dict[int, list[int]],
        gated: dict[Any, tuple[Any, Any]],
    ) -> None:
        held, following, clock, clear, preset = (self._net() for _ in range(5))
        decides = {"next": following, "clock": clock, "clear": clear, "preset": preset}
        enables = [gated[bits[0]][1] for bits in inputs.values() if bits[0] in gated]
        inputs = {pin: [gated.get(bits[0], bits)[0]] for pin, bits in inputs.items()}
        enabled = following
        for enable in enables:
            enabled = self._net()
            self._cell("$_MUX_", {"A": [held], "B": [following], "S": [enable]}, {"Y": [enabled]})
        state = _State(set(), held, **(decides | {"next": enabled}))
        true_pins = [
            pin
            for pin in cell.outputs
            if cell.state is not None
            and (function := cell.pins[pin].function) is not None
            and function.tree == ("pin", cell.state.variable)
        ]
        for pin, bits in outputs.items():
            here = {n for bit in bits for n in names.get(bit, set())}
            there = {n for b in bits for out in inverted.get(b, []) for n in names.get(out, set())}
            if pin in true_pins:
                state.names |= here
                state.names |= {f"not {n}" for n in there}
            else:
                state.names |= {f"not {n}" for n in here}
                state.names |= there
        self.states.append(state)
        pins = {f"state_{pin}": [net] for pin, net in decides.items()}
        self._cell(cell.name, {**inputs, "state_held": [held]}, {**outputs, **pins})


def _inverted(module: dict[str, Any], library: Library) -> dict[int, list[int]]:
    """Nets by the net they are the inverse of."""
    found: dict[int, list[int]] = {}
    for cell in module["cells"].values():
        known = library.cells.get(cell["type"])
        if known is None or known.kind != "combinational" or len(known.inputs) != 1:
            continue
        for pin in known.outputs:
            function = known.pins[pin].function
            if function is not None and list(function.truth_table(known.inputs)) == [1, 0]:
                a, y = cell["connections"][known.inputs[0]][0], cell["connections"][pin][0]
                found.setdefault(a, []).append(y)
    return found


def _models(library: Library, kinds: set[str]) -> str:
    """Verilog of cells with their state cut out: held in, next state and what times it out."""
    parts = []
    for name in sorted(kinds):
        cell = library.cell(name)
        lines, inputs = [], list(cell.inputs)
        outputs = list(cell.outputs)
        if cell.kind in ("flip_flop", "latch", "clock_gate"):
            inputs.append("state_held")
            outputs += ["state_next", "state_clock", "state_clear", "state_preset"]
        functions: dict[str, str] = {}
        if cell.kind == "clock_gate":
            roles: dict[str, list[str]] = {}
            for pin in cell.pins.values():
                roles.setdefault(pin.clock_gate_role or "", []).append(pin.name)
            functions = {
                "state_next": " | ".join(roles.get("enable", []) + roles.get("test", [])),
                "state_clock": f"~{roles['clock'][0]}",
                "state_clear": "1'b0",
                "state_preset": "1'b0",
                **{out: f"{roles['clock'][0]} & state_held" for out in roles["out"]},
            }
        else:
            if cell.state is not None:
                state = cell.state
                lines.append(f"  wire {state.variable} = state_held;")
                if state.inverted:
                    lines.append(f"  wire {state.inverted} = ~state_held;")
                decides = {
                    "state_next": state.next_state or state.data_in,
                    "state_clock": state.clocked_on or state.enable,
                    "state_clear": state.clear,
                    "state_preset": state.preset,
                }
                functions = {pin: to_verilog(e) if e else "1'b0" for pin, e in decides.items()}
            for pin in cell.outputs:
                function = cell.pins[pin].function
                if function is None:
                    raise LibraryError(f"The library does not say what {name} does")
                functions[pin] = to_verilog(function)
        ports = [f"input {pin}" for pin in inputs] + [f"output {pin}" for pin in outputs]
        lines += [f"  assign {pin} = {text};" for pin, text in functions.items()]
        parts.append("\n".join([f"module {name} ({', '.join(ports)});", *lines, "endmodule\n"]))
    return "\n".join(parts)


# Comparing ----------------------------------------------------------------------------------------


def _pair(gold: list[_State], gate: list[_State]) -> list[tuple[_State, _State, bool]]:
    """States of both sides that go by the same name; True where the netlist holds the inverse.

    Any pairing that can be proven is a good one, so a lone state left over on both sides is paired.
    """
    by_name = {name: state for state in gold for name in state.names}
    pairs, left = [], list(gold)
    alone = []
    for state in gate:
        found, inverse = None, False
        for name in sorted(state.names):
            other = by_name.get(name.removeprefix("not "))
            if other is not None and any(other is candidate for candidate in left):
                found, inverse = other, name.startswith("not ")
                if not inverse:
                    break
        if found is None:
            alone.append(state)
        else:
            left = [candidate for candidate in left if candidate is not found]
            pairs.append((found, state, inverse))
    if len(left) == len(alone) == 1:
        pairs.append((left[0], alone[0], False))
    return pairs


def _label(state: _State) -> str:
    names = sorted(state.names, key=lambda name: (name.startswith("not "), len(name), name))
    return names[0].removesuffix("[0]") if names else "a register without a name"


def _compare(name: str, gold: _Cut, gate: _Cut, library: Library, start: float) -> ModuleResult:
    pairs = _pair(gold.states, gate.states)
    inputs: list[tuple[Any, Any]] = []  # nets of both sides; None where a side has no such input
    outputs: list[tuple[str, Any, Any]] = []
    different: list[str] = []
    for label in dict.fromkeys([*gold.inputs, *gate.inputs]):
        inputs.append((gold.inputs.get(label), gate.inputs.get(label)))
    for label, bit in gold.outputs.items():
        if bit == "x" or (label not in gate.outputs and bit == "z"):
            continue
        if label not in gate.outputs:
            different.append(f"{label}: the netlist has no such output")
        else:
            outputs.append((label, bit, gate.outputs[label]))
    different += [
        f"{label}: the RTL has no such output"
        for label in gate.outputs
        if label not in gold.outputs
    ]
    paired = set()
    for a, b, inverse in pairs:
        paired |= {id(a), id(b)}
        label = _label(a)
        ours = b
        if inverse:
            value = gate._net()
            gate._cell("$_NOT_", {"A": [value]}, {"Y": [b.value]})
            ours = _State(b.names, value, gate._not(b.next), b.clock, b.preset, b.clear)
        inputs.append((a.value, ours.value))
        for what in ("next", "clock", "clear", "preset"):
            outputs.append((f"{what} of {label}", getattr(a, what), getattr(ours, what)))
    lost = [state for state in gold.states if id(state) not in paired]
    constants = _constants(gold, lost) if lost else {}
    for place, value in constants.items():
        gold._cell("$_BUF_", {"A": [value]}, {"Y": [lost[place].value]})
    lost = [state for place, state in enumerate(lost) if place not in constants]
    # Any other that only one side has is a free input of that side: what it holds must not matter.
    inputs += [(state.value, None) for state in lost]
    inputs += [(None, state.value) for state in gate.states if id(state) not in paired]
    if not different:
        different = _solve(gold, gate, inputs, outputs, library)
        if different and lost:
            labels = sorted(map(_label, lost))
            different.append(f"registers without a counterpart: {', '.join(labels[:8])}")
    return ModuleResult(
        name,
        not different,
        len(pairs),
        len(constants),
        len(outputs),
        tuple(different),
        time.monotonic() - start,
    )


def _constants(gold: _Cut, candidates: list[_State]) -> dict[int, str]:
    """Registers of the RTL, by their place, that keep a value for ever, and the value.

    Yosys leaves such registers out. Each is proven by induction, with those found before at theirs;
    a register that is never reset starts undefined, and may as well start with what it keeps.
    """
    inputs = dict.fromkeys([*gold.inputs.values(), *(state.value for state in gold.states)])
    ports = {f"i{n}": {"direction": "input", "bits": [net]} for n, net in enumerate(inputs)}
    number = {net: f"i{n}" for n, net in enumerate(inputs)}
    for place, state in enumerate(candidates):
        ports[f"o{place}"] = {"direction": "output", "bits": [state.next]}
    module = {"attributes": {}, "ports": ports, "cells": gold.cells, "netnames": {}}
    found: dict[int, str] = {}
    while True:
        trials = [
            (place, value)
            for place, state in enumerate(candidates)
            for value in "01"
            if place not in found and (state.preset if value == "0" else state.clear) == "0"
        ]
        known = " ".join(f"-set {number[candidates[p].value]} {v}" for p, v in found.items())
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "gold.json").write_text(json.dumps({"modules": {"gold": module}}))
            said = run_script(
                [
                    "read_json gold.json",
                    "hierarchy -top gold",
                    *(
                        f"sat {known} -set {number[candidates[place].value]} {value} "
                        f"-prove o{place} {value} gold"
                        for place, value in trials
                    ),
                ],
                cwd=folder,
            )
        verdicts = re.findall(r"SAT proof finished - (no model|model) found", said)
        new = {
            place: value
            for (place, value), verdict in zip(trials, verdicts, strict=True)
            if verdict == "no model"
        }
        if not new:
            return found
        found |= new


def _solve(
    gold: _Cut,
    gate: _Cut,
    inputs: list[tuple[Any, Any]],
    outputs: list[tuple[str, Any, Any]],
    library: Library,
) -> list[str]:
    """Names of outputs that can differ; none if it is proven that none can."""
    modules = {}
    for side, (name, cut) in enumerate((("gold", gold), ("gate", gate))):
        ports: dict[str, Any] = {}
        for number, nets in enumerate(inputs):
            bit = nets[side] if nets[side] is not None else cut._net()
            ports[f"i{number}"] = {"direction": "input", "bits": [bit]}
        for number, output in enumerate(outputs):
            ports[f"o{number}"] = {"direction": "output", "bits": [output[1 + side]]}
        modules[name] = {"attributes": {}, "ports": ports, "cells": cut.cells, "netnames": {}}
    kinds = {c["type"] for c in gate.cells.values() if not c["type"].startswith("$")}
    with tempfile.TemporaryDirectory() as folder:
        for name, module in modules.items():
            design = {"modules": {name: module}}
            (Path(folder) / f"{name}.json").write_text(json.dumps(design))
        (Path(folder) / "models.v").write_text(_models(library, kinds))
        said = run_script(
            [
                "read_json gold.json",
                "read_json gate.json",
                *(["read_verilog models.v"] if kinds else []),
                "miter -equiv -flatten -make_outcmp gold gate miter",
                "hierarchy -top miter",
                "proc",
                "opt -full",
                "sat -set-def-inputs -prove trigger 0 -show-outputs miter",
            ],
            cwd=folder,
        )
    if "SAT proof finished - no model found: SUCCESS!" in said:
        return []
    if "SAT proof finished - model found: FAIL!" not in said:
        raise NetlistError(f"Yosys reached no verdict: {said[-500:]}")
    numbers = re.findall(r"^ *\\?cmp_o(\d+) +0 +0 ", said, re.M)
    return [outputs[int(number)][0] for number in numbers] or ["an output"]


# The styles ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StyleResult:
    """Whether a neuron register of a style equals one of style `enabled`, cycle for cycle."""

    style: str
    width: int
    bits: int
    borrow_split: int | None
    equal: bool
    seconds: float


def prove_styles(
    width: int,
    bits: int,
    borrow_split: int | None = None,
    styles: Iterable[str] = REGISTER_STYLES,
    steps: int = 4,
) -> list[StyleResult]:
    """Prove neuron registers of other styles equal to style `enabled`, cycle for cycle.

    All inputs are free in every cycle. Gated clocks are modelled as what they are to a flip-flop:
    an enable, `step` for the bank's clock. The registers start with any values; the first cycle
    clears them, and from then on values and outputs must be equal for ever: by temporal induction
    of up to `steps` cycles.

    Parameters
    ----------
    width, bits, borrow_split
        As of `hdl.neuron.NeuronRegister`; by default the split of ChipParameters.
    styles : iterable of str
        Of REGISTER_STYLES.
    steps : int

    Raises
    ------
    NetlistError
        If a style is clocked in a way that this has no model for.
    """
    split = max(width // 2, bits.bit_length()) if borrow_split is None else borrow_split
    golden = _register_of(width, bits, "enabled", split)
    results = []
    for style in styles:
        start = time.monotonic()
        equal = _prove_style(golden, _register_of(width, bits, style, split), steps)
        results.append(StyleResult(style, width, bits, split, equal, time.monotonic() - start))
    return results


def _register_of(width: int, bits: int, style: str, split: int) -> dict[str, Any]:
    """A neuron register in Yosys's JSON, its clock gates turned into enables."""
    files = convert(NeuronRegister(width, bits, style, split))
    top = next(iter(files))
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for name, text in files.items():
            names.append(f"{name}.v")
            (Path(folder) / names[-1]).write_text(text)
        gate = f"module {CLOCK_GATE}(input clk, input enable, output gated_clk); endmodule\n"
        (Path(folder) / "gate.v").write_text(f"(* blackbox *)\n{gate}")
        design = _elaborate(Path(folder), [*names, "gate.v"], top, flatten=True)
        return _gates_to_enables(design[top])


def _gates_to_enables(module: dict[str, Any]) -> dict[str, Any]:
    """Give every flip-flop on a gated clock the gate's enable, and the ungated clock."""
    ports = module["ports"]
    clk = ports.setdefault("clk", {"direction": "input", "bits": [2**30]})["bits"][0]
    enables = {clk: "1"}
    if "neurons_clk" in ports:  # the bank's gated clock: see hdl.bank
        enables[ports.pop("neurons_clk")["bits"][0]] = ports["step"]["bits"][0]
    gates = [c["connections"] for c in module["cells"].values() if c["type"] == CLOCK_GATE]
    cells = {name: c for name, c in module["cells"].items() if c["type"] != CLOCK_GATE}
    while gates:
        ready = [pins for pins in gates if pins["clk"][0] in enables]
        if not ready:
            raise NetlistError("A clock gate of a neuron register has a clock of unknown origin")
        for pins in ready:  # a gate behind a gate passes the clock where both do
            gates.remove(pins)
            enables[pins["gated_clk"][0]] = both = 2**30 + 1 + len(cells)
            cells[f"both_{both}"] = {
                "hide_name": 0,
                "type": "$_AND_",
                "parameters": {},
                "attributes": {},
                "port_directions": {"A": "input", "B": "input", "Y": "output"},
                "connections": {
                    "A": [enables[pins["clk"][0]]],
                    "B": pins["enable"],
                    "Y": [both],
                },
            }
    for name, cell in cells.items():
        if not cell["type"].startswith("$") or "latch" in cell["type"]:
            raise NetlistError(f"A neuron register with a {cell['type']} has no model here")
        if cell["type"] == "$dff":
            clock = cell["connections"]["CLK"][0]
            if clock not in enables or not int(cell["parameters"]["CLK_POLARITY"], 2):
                raise NetlistError(f"The clock of {name} has no model here")
            cell["type"] = "$dffe"
            cell["parameters"]["EN_POLARITY"] = "1"
            cell["connections"] |= {"CLK": [clk], "EN": [enables[clock]]}
            cell["port_directions"]["EN"] = "input"
    netnames = {n: net for n, net in module["netnames"].items() if n != "neurons_clk"}
    return {"attributes": {}, "ports": ports, "cells": cells, "netnames": netnames}


def _prove_style(golden: dict[str, Any], other: dict[str, Any], steps: int) -> bool:
    """Whether two registers are equal in every cycle after one that clears them."""
    for module in (golden, other):  # one has a clock or an input that the other has no use for
        for name, port in (golden["ports"] | other["ports"]).items():
            if name not in module["ports"] and port["direction"] == "input":
                bits = [2**29 + place for place in range(len(port["bits"]))]
                module["ports"][name] = {"direction": "input", "bits": bits}
    with tempfile.TemporaryDirectory() as folder:
        for name, module in (("gold", golden), ("gate", other)):
            design = {"modules": {name: module}}
            (Path(folder) / f"{name}.json").write_text(json.dumps(design))
        common = "-set-def-inputs -prove trigger 0 miter"
        first = "-set-at 1 in_step 1 -set-at 1 in_clear 1 -set-at 1 in_load 0 -set-at 1 in_shift 0"
        said = run_script(
            [
                "read_json gold.json",
                "read_json gate.json",
                "miter -equiv -flatten gold gate miter",
                "hierarchy -top miter",
                "opt -full",
                f"sat -seq {steps + 1} -prove-skip 1 {first} {common}",
                f"sat -tempinduct-inductonly -maxsteps {steps} -tempinduct {common}",
            ],
            cwd=folder,
        )
    base = "SAT proof finished - no model found: SUCCESS!" in said
    return base and "Induction step proven: SUCCESS!" in said
