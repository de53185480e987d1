"""Proof: a core of style ``deferred`` does what one of style ``enabled`` does, cycle for cycle.

Two cores, the same but for their style, get the same inputs in every cycle from a reset on. Then
all their outputs are the same in every cycle, for ever; `o_registers.payload` in cycles in which
`o_registers.valid` is high. All inputs are free in every cycle, what the macros show and `stop`
included, but for what is asked of who drives them:

- `settings`, `rows`, `preload` and `readout` stand still while the core runs;
- a pass has a weight row at least, and a chained pass starts from thresholds, as
  `behavioral_models.passes.PassConfig` and the host port check;
- a run that takes the registers as they are (a pass that starts from registers without a preload,
  or a readout alone) finds all registers of the enabled banks *known*. A register is known once it
  has been cleared or loaded, until a reset, or until a stop while rows of its bank wait.

So a stop tells the styles apart only in registers of banks in which rows waited, and only until a
pass from thresholds or a preload overwrites them. After a reset, registers of style ``enabled``
hold what they held, and those of style ``deferred`` need not. Flip-flops without a reset that both
cores have start undefined: they are taken to start alike.

The proof is an induction over the cycles, with no bound on their number. What is proven to hold
after a reset, and to hold in a cycle if it held in the one before:

- ports, and registers that both cores have, are equal;
- `rows_waiting`, counted here by what the controller tells a bank, is how many rows of a whole
  group came before the next row, and 0 where registers are shifted, cleared, loaded, read out or
  captured;
- a row waits in the place of that number, and a group is counted together when all places but one
  are taken;
- for known registers, with r the register of style ``deferred``, complemented if the bank holds
  complements:

  register of style ``enabled`` = r - ones among the bits waiting, modulo 2 ** width.

Clock gates are modelled as what they are to a flip-flop: enables. One SAT problem (Yosys's solver)
covers a cycle of both whole cores. Columns have their registers, popcounts and held bits each for
themselves, and meet only in readout, preload and `o_outputs`, the same in both styles: two columns
stand for any number.
"""

from __future__ import annotations

import functools
import json
import re
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import (
    C,
    Cat,
    ClockDomain,
    ClockSignal,
    Instance,
    Module,
    Mux,
    ResetSignal,
    Signal,
    Value,
)

from hdl.controller import State
from hdl.core import Core
from hdl.interfaces import Configuration, PassSettings, Start
from hdl.parameters import ChipParameters
from hdl.verilog import convert
from hdl.yosys import run_script

from .equivalence import _elaborate, _gates_to_enables
from .netlist import CLOCK_GATE, NetlistError

__all__ = ["CoreResult", "find_difference", "prove_deferred"]


@dataclass(frozen=True)
class CoreResult:
    """Whether a core of style ``deferred`` equals one of style ``enabled``, for ever.

    `claims` statements are proven together. `broken` names some that do not hold after a reset, or
    that need not hold in a cycle though all did in the one before: either the core is at fault, or
    the claims say too little. `find_difference` shows the former.
    """

    parameters: ChipParameters
    equal: bool
    claims: int
    broken: tuple[str, ...]
    seconds: float


def prove_deferred(parameters: ChipParameters) -> CoreResult:
    """Prove a core equal to the one of style ``enabled``: see the head of this module.

    Parameters
    ----------
    parameters : ChipParameters
        Of style ``deferred``.

    Raises
    ------
    ValueError
        If they are of another style.
    NetlistError
        If a core has a cell or a clock that there is no model for.
    """
    start = time.monotonic()
    pair = _Pair(parameters)
    said = pair.solve(
        [
            "sat -seq 2 -prove-skip 1 -set-at 1 rst 1 -set-at 1 alike 1 -set-at 2 rst 0 "
            "-set-at 2 assumed 1 -prove holds 1 -show claims pair",
            "sat -tempinduct -tempinduct-inductonly -maxsteps 1 -set rst 0 -set assumed 1 "
            "-prove holds 1 -show claims pair",
        ]
    )
    base = "SAT proof finished - no model found: SUCCESS!" in said
    step = "Induction step proven: SUCCESS!" in said
    if not base and "SAT proof finished - model found: FAIL!" not in said:
        raise NetlistError(f"Yosys reached no verdict: {said[-500:]}")
    broken = [name for values in _shown(said) for name in pair.broken(values)]
    return CoreResult(
        parameters,
        base and step,
        len(pair.claims),
        tuple(dict.fromkeys(broken)),
        time.monotonic() - start,
    )


def find_difference(parameters: ChipParameters, cycles: int) -> tuple[str, ...]:
    """Look for inputs with which a core shows, at a port, what style ``enabled`` does not.

    Parameters
    ----------
    parameters : ChipParameters
        Of style ``deferred``.
    cycles : int
        Cycles after the reset in which to look.

    Returns
    -------
    tuple of str
        The ports that differ in the first cycle in which any does; none if there is none.
    """
    pair = _Pair(parameters)
    for cycle in range(2, cycles + 2):
        said = pair.solve(
            [
                f"sat -seq {cycle} -prove-skip {cycle - 1} -set-at 1 rst 1 -set-at 1 alike 1 "
                + "".join(f"-set-at {n} rst 0 -set-at {n} assumed 1 " for n in range(2, cycle + 1))
                + "-prove ports_equal 1 -show claims pair"
            ]
        )
        if "SAT proof finished - model found: FAIL!" in said:
            names = pair.broken(_shown(said)[-1])
            return tuple(name.split()[-1] for name in names if name.startswith("port "))
    return ()


def _shown(said: str) -> list[str]:
    """Values of `claims` after the first cycle, as Yosys prints them: the last claim first."""
    return re.findall(r"^ *(?!1 )\d+ +\\claims .* ([01x]+)$", said, re.M)


def _core(parameters: ChipParameters) -> dict[str, Any]:
    """A core in Yosys's JSON, flat, its clock gates turned into enables."""
    files = convert(Core(parameters))
    top = next(iter(files))
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for name, text in files.items():
            names.append(f"{name}.v")
            (Path(folder) / names[-1]).write_text(text)
        gate = f"module {CLOCK_GATE}(input clk, input enable, output gated_clk); endmodule\n"
        (Path(folder) / "gate.v").write_text(f"(* blackbox *)\n{gate}")
        design = _elaborate(Path(folder), [*names, "gate.v"], top, flatten=True)
    module = _gates_to_enables(design[top])
    for name, cell in module["cells"].items():
        if "ff" in cell["type"] and (
            cell["connections"]["CLK"] != module["ports"]["clk"]["bits"]
            or not int(cell["parameters"]["CLK_POLARITY"], 2)
        ):
            raise NetlistError(f"The clock of {name} has no model here")
    return module


_golden = functools.cache(_core)


class _Side:
    """One of the two cores: nets of it, by the names they have in its hierarchy."""

    def __init__(self, name: str, parameters: ChipParameters):
        self.name = name
        self._module = _golden(parameters) if parameters.style == "enabled" else _core(parameters)
        self._taken: dict[str, Signal] = {}

    def __getitem__(self, net: str) -> Signal:
        if net not in self._taken:
            width = len(self._module["netnames"][net]["bits"])
            self._taken[net] = Signal(width, name=f"{self.name}.{net}")
        return self._taken[net]

    def ports(self, direction: str) -> dict[str, int]:
        """Widths of ports, but clock and reset, by name."""
        return {
            name: len(port["bits"])
            for name, port in self._module["ports"].items()
            if port["direction"] == direction and name not in ("clk", "rst")
        }

    def registers(self) -> list[set[str]]:
        """All registers, each by the names it has; bits that go by no name are an empty set."""
        names: dict[tuple, set[str]] = {}
        for name, net in self._module["netnames"].items():
            names.setdefault(tuple(net["bits"]), set()).add(name)
        return [
            names.get(tuple(cell["connections"]["Q"]), set())
            for cell in self._module["cells"].values()
            if "ff" in cell["type"]
        ]

    def design(self) -> dict[str, Any]:
        """The core with what was taken as ports."""
        ports = {
            name: {"direction": "output", "bits": self._module["netnames"][name]["bits"]}
            for name in self._taken
        }
        return {"modules": {self.name: self._module | {"ports": ports | self._module["ports"]}}}

    def instance(self, inputs: dict[str, Signal]) -> Instance:
        return Instance(
            self.name,
            i_clk=ClockSignal(),
            i_rst=ResetSignal(),
            **{f"i_{name}": signal for name, signal in inputs.items()},
            **{f"o_{name}": signal for name, signal in self._taken.items()},
        )


class _Pair:
    """Both cores side by side, with what is assumed of their inputs and claimed of the two."""

    def __init__(self, parameters: ChipParameters):
        if parameters.style != "deferred":
            raise ValueError(
                f"What is proven equal to style enabled here is style deferred, not "
                f"{parameters.style}"
            )
        self._geometry = parameters.geometry
        self._rows = parameters.rows_per_update
        self._enabled = _Side(
            "enabled",
            replace(parameters, style="enabled", rows_per_update=None, borrow_split=None),
        )
        self._deferred = _Side("deferred", parameters)
        self._inputs = {
            name: Signal(width, name=name) for name, width in self._enabled.ports("input").items()
        }
        self._settings = PassSettings(self._geometry)(self._inputs["settings"])
        self._chained = self._inputs["rows"] & (
            self._settings.configuration == Configuration.CHAINED
        )
        self._from_thresholds = self._settings.start == Start.THRESHOLDS
        self._assumed: list[Value] = []
        self.claims: dict[str, Value] = {}
        self._text = self._build()

    def broken(self, values: str) -> list[str]:
        """Names of the claims that do not hold."""
        return [
            name for name, value in zip(self.claims, reversed(values), strict=True) if value != "1"
        ]

    def solve(self, commands: Iterable[str]) -> str:
        """Run `sat` commands about the module `pair`; return what Yosys says."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "pair.il").write_text(self._text)
            for side in (self._enabled, self._deferred):
                (Path(folder) / f"{side.name}.json").write_text(json.dumps(side.design()))
            return run_script(
                [
                    "read_rtlil pair.il",
                    *(f"read_json {side.name}.json" for side in (self._enabled, self._deferred)),
                    "hierarchy -check -top pair",
                    "proc",
                    "flatten",
                    "async2sync",
                    "opt -full",
                    "check -assert",
                    *commands,
                ],
                cwd=folder,
            )

    # Nets of the core of style deferred that the claims are about.

    def _controller(self, name: str) -> Signal:
        return self._deferred[f"controller.{name}"]

    def _sequence(self, name: str) -> Signal:
        return self._deferred[f"controller.row_sequence.{name}"]

    def _access(self, name: str) -> Signal:
        return self._deferred[f"register_access.{name}"]

    def _in(self, *states: State) -> Value:
        return Cat(self._controller("state") == state for state in states).any()

    def _macros(self, bank: int) -> Value:
        """Macros of a bank that are enabled."""
        per_bank = self._geometry.macros_per_bank
        return self._settings.macros[bank * per_bank : (bank + 1) * per_bank]

    def _build(self) -> str:
        m = Module()
        m.domains.sync = sync = ClockDomain("sync")
        banks = range(self._geometry.banks)
        books = [_Books(self, m, bank) for bank in banks]
        self._assume(m, books)
        self._claim_order_of_rows()
        for book in books:
            book.claim()
        alike = self._claim_equal()
        for side in (self._enabled, self._deferred):
            m.submodules[side.name] = side.instance(self._inputs)
        outputs = {
            "claims": Cat(self.claims.values()),
            "holds": Cat(self.claims.values()).all(),
            "ports_equal": Cat(c for n, c in self.claims.items() if n.startswith("port ")).all(),
            "assumed": Cat(self._assumed).all(),
            "alike": alike,
        }
        ports = [*self._inputs.values(), sync.clk, sync.rst]
        for name, value in outputs.items():
            ports.append(Signal(len(value), name=name))
            m.d.comb += ports[-1].eq(value)
        return rtlil.convert(m, name="pair", ports=ports, emit_src=False)

    def _assume(self, m: Module, books: list[_Books]) -> None:
        """What the core's user grants."""
        settings, inputs = self._settings, self._inputs
        still = Cat(inputs[name] for name in ("settings", "rows", "preload", "readout"))
        before = Signal(len(still))
        m.d.sync += before.eq(still)
        begins = inputs["run"] & ~self._deferred["running"]
        overwrites = inputs["preload"] | (inputs["rows"] & self._from_thresholds)
        known = Cat(~self._macros(book.bank).any() | book.known_next.all() for book in books).all()
        self._assumed += [
            ~self._deferred["running"] | (before == still),
            settings.weight_rows != 0,
            (settings.configuration != Configuration.CHAINED) | self._from_thresholds,
            ~begins | overwrites | known,
        ]

    def _claim_order_of_rows(self) -> None:
        """Where the sequence of row operations stands, by the controller's state.

        After a stop the sequence stands anywhere, for one cycle of the idle state.
        """
        idle = self._in(State.IDLE)
        row, first = self._sequence("weight_row"), self._sequence("first")
        stepping = self._controller("step").any() | self._controller("update_clear")
        self.claims |= {
            "a plane has no more rows than weight rows": idle | (row < self._settings.weight_rows),
            "shifts come before a plane's first row": idle | ~self._sequence("shift") | (row == 0),
            "a pass begins with row 0": idle | ~first | (row == 0),
            "between passes the next one begins": idle
            | self._in(State.ROWS)
            | (first & (row == 0)),
            "passes run where asked for": self._inputs["rows"]
            | ~self._in(State.ROWS, State.UPDATE, State.CAPTURE),
            "banks step in and after a pass": idle | self._in(State.ROWS, State.UPDATE) | ~stepping,
            "a bank that is to step does": idle
            | ((self._controller("update_counts") & ~self._controller("step")) == 0),
            "access begins at the beginning": self._in(State.IDLE, State.PRELOAD, State.READOUT)
            | ~Cat(self._access(name) for name in ("position", "select", "passed")).any(),
            "access ends at the last column": self._access("select") < self._geometry.columns,
        }

    def _claim_equal(self) -> Value:
        """Ports, and registers that both cores have; return whether the latter are equal."""
        for name in self._enabled.ports("output"):
            equal = self._enabled[name] == self._deferred[name]
            if name == "o_registers_payload":
                equal |= ~self._deferred["o_registers_valid"]
            self.claims[f"port {name}"] = equal
        both = []
        others = self._deferred.registers()
        for names in self._enabled.registers():
            common = [name for other in others for name in names & other]
            if common:
                name = min(common, key=lambda name: (name.count("."), len(name), name))
                both.append(self._enabled[name] == self._deferred[name])
                self.claims[f"register {name}"] = both[-1]
        return Cat(both).all()


class _Books:
    """What is kept about a bank, and claimed of it.

    `rows_waiting` and `known` (a bit a register) are of this cycle, `*_next` after its row update
    and load.
    """

    def __init__(self, pair: _Pair, m: Module, bank: int):
        self.bank = bank
        self._pair = pair
        rows, columns = pair._rows, pair._geometry.columns
        self.known = Signal(columns, name=f"known_{bank}")
        self.known_next = Signal(columns, name=f"known_next_{bank}")
        self.rows_waiting = Signal(range(max(2, rows)), name=f"rows_waiting_{bank}")
        self.rows_waiting_next = Signal(range(max(2, rows)), name=f"rows_waiting_next_{bank}")
        self._step = pair._controller("step")[bank]
        self._counts = self._step & pair._controller("update_counts")[bank]
        self._clears = self._step & pair._controller("update_clear")
        self._shifts = self._step & pair._controller("update_shift")
        several = rows > 1
        self._waits = pair._controller("update_waits") if several else C(0, 1)
        self._together = pair._controller("update_together") if several else C(0, 1)
        self._place = pair._controller("update_place") if several else C(0, 1)

        loads = pair._access("load") & pair._access("bank")[bank]
        loaded = Signal(columns, name=f"loaded_{bank}")
        with m.If(loads):
            m.d.comb += loaded.eq(C(1) << pair._access("select"))
        m.d.comb += [
            self.rows_waiting_next.eq(
                Mux(self._counts, Mux(self._waits, self.rows_waiting + 1, 0), self.rows_waiting)
            ),
            self.known_next.eq(self.known | self._clears.replicate(columns) | loaded),
        ]
        m.d.sync += [
            self.rows_waiting.eq(self.rows_waiting_next),
            self.known.eq(self.known_next),
        ]
        with m.If(pair._inputs["stop"]):
            m.d.sync += self.rows_waiting.eq(0)
            with m.If(self.rows_waiting_next != 0):
                m.d.sync += self.known.eq(0)

    def claim(self) -> None:
        """Add all claims about the bank to the pair's."""
        for claims in (self._order(), self._uses(), self._knowledge(), self._registers()):
            self._pair.claims |= {f"bank {self.bank}: {name}": c for name, c in claims.items()}

    def _order(self) -> dict[str, Value]:
        """Rows wait in order, and as many as the sequence of row operations has gone through."""
        pair, rows = self._pair, self._pair._rows
        takes_part = pair._controller("active_banks")[self.bank]
        if self.bank == 1:  # of a chained pass: its inputs have one bit, the last plane's
            takes_part &= ~pair._chained | pair._sequence("last_plane")
        due = C(0, 1)
        if rows > 1:
            bits = rows.bit_length() - 1
            row, weight_rows = pair._sequence("weight_row"), pair._settings.weight_rows
            whole = ~pair._sequence("shift") & (row[bits:] != weight_rows[bits:])
            due = Mux(pair._in(State.ROWS) & takes_part & whole, row[:bits], 0)
        return {
            "as many rows wait as came before": self.rows_waiting_next == due,
            "a row waits in the next place": ~(self._counts & self._waits)
            | ((self._place == self.rows_waiting) & (self.rows_waiting != rows - 1)),
            "a group is counted when it is whole": ~(self._counts & self._together)
            | (~self._waits & (self.rows_waiting == rows - 1)),
            "others are counted one by one": ~(self._counts & ~self._waits & ~self._together)
            | (self.rows_waiting == 0),
        }

    def _uses(self) -> dict[str, Value]:
        """No row waits where that would matter."""
        pair, bank = self._pair, self.bank
        nothing_waits = self.rows_waiting == 0
        access = pair._access("reading") | pair._access("writing")
        return {
            "no row waits at a shift": ~self._shifts
            | (nothing_waits & ~self._waits & ~self._together),
            "no row waits at a clear": ~self._clears | nothing_waits,
            "steps count or clear": ~self._step | self._counts | self._clears,
            "no row will wait at a capture": ~pair._controller("captured")[bank]
            | ((self.rows_waiting_next == 0) & self.known_next.all()),
            "no row waits at a capture": ~pair._controller("capture")[bank]
            | (nothing_waits & self.known.all()),
            "no row waits at an access": ~access | nothing_waits,
        }

    def _knowledge(self) -> dict[str, Value]:
        """Registers are known where they are used."""
        pair, bank = self._pair, self.bank
        in_rows, preload = pair._in(State.ROWS), pair._access("writing")
        reads_alone = pair._in(State.READOUT) & ~pair._inputs["rows"]
        in_pass = pair._in(State.ROWS, State.UPDATE, State.CAPTURE, State.READOUT) & ~reads_alone
        active = pair._controller("active_banks")[bank]
        enabled = pair._macros(bank).any()
        known, select = self.known_next.all(), pair._access("select")
        return {
            "active, known once a pass has begun": ~(in_pass & active)
            | known
            | (pair._from_thresholds & in_rows & pair._sequence("first")),
            "enabled, known in a pass from registers": ~(in_pass & enabled)
            | known
            | pair._from_thresholds,
            "enabled, known in a readout alone": ~(reads_alone & enabled) | known,
            "known once preloaded": ~(preload & pair._access("passed")[bank]) | known,
            **{
                f"register {column} known once preloaded": ~(preload & pair._access("bank")[bank])
                | (select <= column)
                | self.known[column]
                for column in range(pair._geometry.columns)
            },
        }

    def _registers(self) -> dict[str, Value]:
        """What the registers of the two styles hold."""
        pair, geometry, places = self._pair, self._pair._geometry, self._pair._rows - 1
        width = geometry.register_width
        claims = {}
        for column in range(geometry.columns):
            name = f"bank_{self.bank}.neuron_{column}.value"
            inverted = pair._deferred[f"bank_{self.bank}.inverted"]
            waiting = C(0, 1)
            for macro in range(geometry.macros_per_bank):
                for place in range(places):
                    number = macro * places + place
                    held = pair._deferred[f"bank_{self.bank}.row_store.held_{number}"]
                    waits = self._pair._macros(self.bank)[macro] & (self.rows_waiting > place)
                    waiting += held[column] & waits
            value = pair._deferred[name] ^ inverted.replicate(width)
            claims[f"register {column}"] = ~self.known[column] | (
                pair._enabled[name] == (value - waiting)[:width]
            )
        return claims
