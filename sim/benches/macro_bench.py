"""Bench of the behavioural Verilog macro alone, beside its Python model."""

from __future__ import annotations

from typing import Any, NamedTuple

from cocotb.triggers import RisingEdge

from behavioral_models.constants import RAILS, Operation, Rail
from behavioral_models.macro import MacroModel, MacroProtocolError
from sim.benches.spec import BenchSpec
from sim.benches.streams import number

__all__ = [
    "BREACHES", "NOWHERE", "Breach", "MacroChecker", "MacroMonitor", "MacroPinDriver", "pins",
]  # fmt: skip


def pins(operation: Operation = Operation.READ, /, **values: int) -> dict[str, int]:
    """Pins in a cycle with the rails of an operation; `values` says what differs from that."""
    rail_column, rail_row = RAILS[operation]
    return {
        "row": 0, "x": 0, "sense": 0, "operation": int(operation), "column": 0, "side": 0,
        "pulse": 0, "bypass": 0, "rail_column": int(rail_column), "rail_row": int(rail_row),
        **values,
    }  # fmt: skip


class Breach(NamedTuple):
    """Cycles that breach the protocol in the last one, and the message that must follow.

    Where the last one breaches more than one rule, `first` is what the Python model stops at.
    """

    name: str
    message: str
    cycles: tuple[dict[str, int], ...]
    bad_sense: bool = False
    first: str = ""


#: Message of the breach after which there is nothing to pulse.
NOWHERE = "a pulse on a row or column that does not exist"

#: Message of the breach after which nothing is connected.
NOTHING = "a bypass of a row or column that does not exist"

_SENSE = pins(sense=1)
_FORM = pins(Operation.FORM, pulse=1)
_BYPASS = pins(bypass=1)
_OFF = {"rail_column": int(Rail.OFF), "rail_row": int(Rail.OFF)}


def breaches(rows: int, columns: int) -> list[Breach]:
    """All that the macro detects, one by one; needs rows and columns that are no powers of two."""
    moved = "the column moved during a pulse"
    wrong_rails = "a pulse while the rails are not those of its operation"
    return [
        Breach("sensed row", "a row that does not exist is sensed", (pins(sense=1, row=rows),)),
        Breach("sense in pulse", "a sense during a pulse",
               (_FORM, {**_FORM, "sense": 1}), bad_sense=True),
        Breach("sense rails", "a sense while the rails are not both VDD",
               (pins(Operation.SET, operation=0), pins(Operation.SET, operation=0, sense=1)),
               bad_sense=True),
        Breach("sense one rail", "a sense while the rails are not both VDD",
               (pins(rail_row=int(Rail.OFF)), pins(rail_row=int(Rail.OFF), sense=1)),
               bad_sense=True),
        Breach("no operation", "a pulse without an operation", (pins(), pins(pulse=1))),
        Breach("pulse rails", wrong_rails,
               (pins(Operation.SET), pins(Operation.SET, operation=int(Operation.FORM), pulse=1))),
        Breach("pulse off", wrong_rails,
               (pins(Operation.RESET, **_OFF), pins(Operation.RESET, pulse=1, **_OFF))),
        Breach("pulse after sense", "a pulse while a sense is in progress", (_SENSE, _FORM)),
        Breach("pulse row", NOWHERE, (pins(Operation.FORM), {**_FORM, "row": rows})),
        Breach("pulse column", NOWHERE, (pins(Operation.FORM), {**_FORM, "column": columns})),
        Breach("row moved", "the row moved during a pulse", (_FORM, {**_FORM, "row": 1})),
        Breach("column moved", moved, (_FORM, {**_FORM, "column": 1})),
        Breach("side moved", moved, (_FORM, {**_FORM, "side": 1})),
        Breach("operation changed", "the operation changed during a pulse",
               (_FORM, pins(Operation.RESET, pulse=1))),
        Breach("rail in pulse", wrong_rails, (_FORM, {**_FORM, **_OFF})),
        Breach("rail in sense", "a rail was switched while a sense was in progress",
               (_SENSE, pins(Operation.FORM))),
        Breach("sense in bypass", "a sense during a bypass",
               (_BYPASS, {**_BYPASS, "sense": 1}), bad_sense=True),
        Breach("pulse in bypass", "a pulse during a bypass", (_FORM, {**_FORM, "bypass": 1})),
        Breach("bypass rails", "a bypass while the rails are not both VDD",
               (_BYPASS, {**_BYPASS, **_OFF})),
        Breach("bypass after sense", "a bypass while a sense is in progress", (_SENSE, _BYPASS)),
        Breach("bypass row", NOTHING, (pins(), {**_BYPASS, "row": rows})),
        Breach("bypass column", NOTHING, (pins(), {**_BYPASS, "column": columns})),
        Breach("row moved in bypass", "the row moved during a bypass",
               (_BYPASS, {**_BYPASS, "row": 1})),
        Breach("column moved in bypass", "the column moved during a bypass",
               (_BYPASS, {**_BYPASS, "column": 1})),
        Breach("side moved in bypass", "the column moved during a bypass",
               (_BYPASS, {**_BYPASS, "side": 1})),
    ]  # fmt: skip


#: Those of the macro that the runner builds.
BREACHES = breaches(rows=5, columns=3)


class MacroPinDriver:
    """Puts pins on the macro, a dict a cycle."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut

    async def cycle(self, values: dict[str, int | str]) -> None:
        """Set the pins; returns when the macro has sampled them and shows what follows."""
        for name, value in values.items():
            getattr(self._dut, name).value = value
        await RisingEdge(self._dut.clk)  # they are there at this one's end, and sampled at the next
        await RisingEdge(self._dut.clk)


class MacroMonitor:
    """Reads the macro's q bit by bit, and its sticky error."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut

    @property
    def error(self) -> int:
        """The sticky flag."""
        return number(self._dut.protocol_error)

    @property
    def q(self) -> list[str]:
        """Bits of q, column 0 first: "0", "1", or "X"."""
        return list(reversed(str(self._dut.q.value)))


class MacroChecker:
    """Holds the Verilog macro against MacroModel, pin values against pin values."""

    def __init__(self, spec: BenchSpec) -> None:
        self.four_state = spec.simulator == "icarus"
        self.model = MacroModel(spec.geometry.rows, spec.geometry.columns)

    def check(self, values: dict[str, int], shown: list[str]) -> None:
        """Q after a legal cycle; a bit that is not decided is X where the simulator has X."""
        q = self.model.clock_edge(**values)
        if values["sense"]:
            decided = self.model.decided[values["row"]]
            for column, bit in enumerate(shown):
                if decided[column]:
                    assert bit == str(q >> column & 1), f"{values}: q is {shown}"
                elif self.four_state:
                    assert bit == "X", f"{values}: undecided column {column} reads {bit}"

    def message(self, breach: Breach) -> str:
        """What the Python model says to a breach."""
        rows, columns = self.model.rows, self.model.columns
        model = MacroModel(rows, columns)
        model.clock_edge(**{**breach.cycles[0], "pulse": 0, "sense": 0})
        try:
            for values in breach.cycles:
                model.clock_edge(**values)
        except MacroProtocolError as error:
            return str(error).split("protocol breach: ")[1]
        return "nothing"
