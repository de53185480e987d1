"""The full-custom memristor macro, cycle by cycle: what simulators connect to a MacroPort."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models.constants import RAILS, Operation, Rail

__all__ = ["MacroModel", "MacroProtocolError", "read_table"]


class MacroProtocolError(AssertionError):
    """The logic drove a macro in a way that would misread or damage memristors."""


def read_table(image: ArrayLike) -> NDArray[np.bool_]:
    """What every sense of an error-free chip gives.

    Parameters
    ----------
    image : bool array (macro, row, column)
        Program image.

    Returns
    -------
    bool array (macro, row, column, x)
        XNOR(image, x). Devices with errors give such a table too, which need not be an XNOR.
    """
    bits = np.asarray(image, dtype=bool)
    return np.stack([~bits, bits], axis=-1)


class MacroModel:
    """One macro that is stepped once a clock cycle and checks how it is driven.

    A read of a bit cell whose memristors are in the same state is not decided; here it gives 0, and
    `undecided_reads` counts it (the Verilog model gives X).

    Parameters
    ----------
    rows, columns : int
        Word lines, and bit cells of each.
    table : bool array (row, column, x), optional
        Start programmed, with these read results. Without it no memristor is formed.
    name : str
        For messages.

    Attributes
    ----------
    table : bool array (row, column, x)
        What a sense gives.
    formed, low : bool arrays (row, column, side)
        Which memristors are formed, and which are in the low resistance state. Side 0 is BL.
    connected : tuple of int (row, column, side), or None
        The memristor that the bypass connects to the measuring pads now.
    """

    def __init__(
        self, rows: int, columns: int, table: ArrayLike | None = None, name: str = "macro"
    ) -> None:
        self.rows, self.columns, self.name = rows, columns, name
        self.table = np.zeros((rows, columns, 2), dtype=bool)
        self.formed = np.zeros((rows, columns, 2), dtype=bool)
        self.low = np.zeros((rows, columns, 2), dtype=bool)
        self.decided = np.zeros((rows, columns), dtype=bool)
        self.undecided_reads = 0
        self.connected: tuple[int, int, int] | None = None
        self.cycle = 0
        self.q = 0
        self._before: dict[str, int] = {
            "row": 0, "column": 0, "side": 0, "pulse": 0, "sense": 0, "operation": 0,
            "rail_column": 0, "rail_row": 0, "bypass": 0,
        }  # fmt: skip
        if table is not None:
            self.load(table)

    def load(self, table: ArrayLike) -> None:
        """Program through the back door: bool (row, column, x); ValueError if misshapen."""
        table = np.asarray(table, dtype=bool)
        if table.shape != self.table.shape:
            raise ValueError(
                f"A macro of {self.rows} x {self.columns} bit cells takes a read table of shape "
                f"{self.table.shape}, not {table.shape}"
            )
        self.table = table.copy()
        self.formed[:] = True
        self.low[..., 1] = table[..., 1]
        self.low[..., 0] = ~table[..., 1]
        self.decided[:] = True

    def clock_edge(
        self, *, row: int, x: int, sense: int, operation: int, column: int, side: int, pulse: int,
        rail_column: int, rail_row: int, bypass: int = 0,
    ) -> int:  # fmt: skip
        """Take the pins at a rising clock edge; return q (column 0 in bit 0) until the next.

        `bypass` is for macros that have the pin.

        Raises
        ------
        MacroProtocolError
            If the pins breach the protocol, now or against the cycle before.
        """
        before = self._before
        now = {
            "row": row, "column": column, "side": side, "pulse": pulse, "sense": sense,
            "operation": operation, "rail_column": rail_column, "rail_row": rail_row,
            "bypass": bypass,
        }  # fmt: skip
        self._check(now, before)
        place = ("row", "column", "side")
        if before["pulse"] and (not pulse or any(now[p] != before[p] for p in place)):
            self._finish_pulse(before)
        if sense:
            self.undecided_reads += int(np.count_nonzero(~self.decided[row]))
            bits = np.packbits(self.table[row, :, x] & self.decided[row], bitorder="little")
            self.q = int.from_bytes(bits.tobytes(), "little")
        self.connected = (row, column, side) if bypass else None
        self._before = now
        self.cycle += 1
        return self.q

    def _check(self, now: dict[str, int], before: dict[str, int]) -> None:
        rails = (now["rail_column"], now["rail_row"])
        rails_before = (before["rail_column"], before["rail_row"])
        if now["sense"]:
            if now["row"] >= self.rows:
                self._breach("a row that does not exist is sensed")
            if now["pulse"]:
                self._breach("a sense during a pulse")
            if rails != (Rail.VDD, Rail.VDD):
                self._breach("a sense while the rails are not both VDD")
        if now["pulse"]:
            if now["operation"] == Operation.READ:
                self._breach("a pulse without an operation")
            if rails != RAILS[Operation(now["operation"])]:
                self._breach("a pulse while the rails are not those of its operation")
            if before["sense"]:
                self._breach("a pulse while a sense is in progress")
            if now["row"] >= self.rows or now["column"] >= self.columns:
                self._breach("a pulse on a row or column that does not exist")
        if now["pulse"] and before["pulse"]:
            if now["row"] != before["row"]:
                self._breach("the row moved during a pulse")
            if (now["column"], now["side"]) != (before["column"], before["side"]):
                self._breach("the column moved during a pulse")
            if now["operation"] != before["operation"]:
                self._breach("the operation changed during a pulse")
        if now["bypass"]:
            self._check_bypass(now, before)
        # Off is where a reset takes the rails, whenever it comes.
        if before["sense"] and rails != rails_before and rails != (Rail.OFF, Rail.OFF):
            self._breach("a rail was switched while a sense was in progress")

    def _check_bypass(self, now: dict[str, int], before: dict[str, int]) -> None:
        if now["sense"]:
            self._breach("a sense during a bypass")
        if now["pulse"]:
            self._breach("a pulse during a bypass")
        if (now["rail_column"], now["rail_row"]) != (Rail.VDD, Rail.VDD):
            self._breach("a bypass while the rails are not both VDD")
        if before["sense"]:
            self._breach("a bypass while a sense is in progress")
        if now["row"] >= self.rows or now["column"] >= self.columns:
            self._breach("a bypass of a row or column that does not exist")
        if before["bypass"] and now["row"] != before["row"]:
            self._breach("the row moved during a bypass")
        if before["bypass"] and (now["column"], now["side"]) != (before["column"], before["side"]):
            self._breach("the column moved during a bypass")

    def _breach(self, what: str) -> None:
        raise MacroProtocolError(f"{self.name}, cycle {self.cycle}: protocol breach: {what}")

    def _finish_pulse(self, pins: dict[str, int]) -> None:
        """Switch the memristor that a pulse has just left; one never formed can only be formed."""
        row, column, side = pins["row"], pins["column"], pins["side"]
        operation = Operation(pins["operation"])
        if operation is Operation.FORM:
            self.formed[row, column, side] = True
            self.low[row, column, side] = True
        elif self.formed[row, column, side]:
            self.low[row, column, side] = operation is Operation.SET
        low_left, low_right = self.low[row, column]
        self.decided[row, column] = low_left != low_right
        self.table[row, column] = (low_left, low_right)  # HRS on BL, LRS on BLb is a 1
