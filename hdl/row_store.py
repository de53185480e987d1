"""Rows that wait to be counted: XNOR bits held back, so that registers step once for several."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .cells import gated_domain

__all__ = ["RowStore"]


class RowStore(wiring.Component):
    """What a bank that counts `rows_per_update` rows at once has to count.

    Rows that wait are held here, each in its place. The bits of the row just read are shown only
    while they count.

    Parameters
    ----------
    geometry : ChipGeometry
    rows_per_update : int
        At least 1; with 1 nothing is ever held.

    Members
    -------
    xnor_0, xnor_1, ... : In(columns)
        What the macros read, one member a macro.
    count : In(macros_per_bank)
        Macros of which what was read for this cycle's row operation counts now.
    hold : In(1), place : In(range(rows_per_update))
        It is held, in this place; only with 2 rows or more.
    held_0, held_1, ... : Out(columns)
        Bits held, place after place of macro after macro.
    live_0, live_1, ... : Out(columns)
        Bits of the row just read that count in this cycle, by macro.
    """

    def __init__(self, geometry, rows_per_update):
        if not isinstance(rows_per_update, int) or rows_per_update < 1:
            raise ValueError(
                f"Rows counted at once must be a positive integer, not {rows_per_update!r}")
        self._geometry = geometry
        self._places = rows_per_update - 1
        macros, columns = geometry.macros_per_bank, geometry.columns
        super().__init__({
            **{f"xnor_{macro}": In(columns) for macro in range(macros)},
            "count": In(macros),
            **({"hold": In(1), "place": In(range(rows_per_update))} if self._places else {}),
            **{f"held_{number}": Out(columns) for number in range(self._places * macros)},
            **{f"live_{macro}": Out(columns) for macro in range(macros)},
        })

    def elaborate(self, platform):
        m = Module()
        macros, columns = self._geometry.macros_per_bank, self._geometry.columns
        for place in range(self._places):
            gated_domain(m, f"place_{place}", self.hold & (self.place == place))
        for macro in range(macros):
            bits = getattr(self, f"xnor_{macro}")
            m.d.comb += getattr(self, f"live_{macro}").eq(
                bits & self.count[macro].replicate(columns))
            for place in range(self._places):
                # Whatever the macro shows, used or not: what counts is decided after the popcount.
                kept = Signal(columns, reset_less=True, name=f"kept_{macro}_{place}")
                m.d[f"place_{place}"] += kept.eq(bits)
                m.d.comb += getattr(self, f"held_{macro * self._places + place}").eq(kept)
        return m
