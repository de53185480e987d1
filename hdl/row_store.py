"""Rows that wait to be counted: XNOR bits held back, so that registers step once for several."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .cells import gated_domain

__all__ = ["RowStore"]


class RowStore(wiring.Component):
    """Holds the XNOR bits of up to `rows_per_update` - 1 weight rows of a bank.

    A count goes into the next free place, and `update` stays low; it goes to the registers, with
    all that waits, where no place is free or where it is the `last` of its plane. Everything else
    that steps the registers (shift, `clear`, load) never finds a row waiting, if each plane ends
    with `last`; a run that is stopped before that leaves rows behind, and `idle` counts them.

    Parameters
    ----------
    geometry : ChipGeometry
    rows_per_update : int
        Rows that are counted at once, at least 2.

    Members
    -------
    xnor_0, xnor_1, ... : In(columns)
        What the macros read, one member a macro.
    macros : In(macros_per_bank)
        Macros whose bits count; stands still in a pass.
    step : In(1)
        The bank's registers are to step.
    count : In(1)
        This step is a weight row that was sensed, and nothing else happens in it.
    live : In(1)
        What the macros read counts in this step.
    last : In(1)
        The step's row ends a plane.
    idle : In(1)
        No pass is under way.
    update : Out(1)
        The registers step now.
    bits_0, bits_1, ... : Out(columns)
        What they count, row after row and macro after macro, the row just read last.
    """

    def __init__(self, geometry, rows_per_update):
        if not isinstance(rows_per_update, int) or rows_per_update < 2:
            raise ValueError(
                f"A store of rows is for 2 rows a register update or more, not {rows_per_update!r}")
        self._geometry = geometry
        self._places = rows_per_update - 1
        macros, columns = geometry.macros_per_bank, geometry.columns
        super().__init__({
            **{f"xnor_{macro}": In(columns) for macro in range(macros)},
            "macros": In(macros),
            "step": In(1),
            "count": In(1),
            "live": In(1),
            "last": In(1),
            "idle": In(1),
            "update": Out(1),
            **{f"bits_{number}": Out(columns) for number in range(rows_per_update * macros)},
        })

    def elaborate(self, platform):
        m = Module()
        macros, columns = self._geometry.macros_per_bank, self._geometry.columns
        waiting = Signal(self._places)  # places that hold a row, from the lowest up
        store = Signal()
        m.d.comb += [
            store.eq(self.step & self.count & ~self.last & ~waiting[-1]),
            self.update.eq((self.step & ~store) | (self.idle & waiting[0])),
        ]
        with m.If(store):
            m.d.sync += waiting.eq(Cat(1, waiting))
        with m.Elif(self.update):
            m.d.sync += waiting.eq(0)

        for place in range(self._places):
            free = waiting[place - 1] & ~waiting[place] if place else ~waiting[0]
            gated_domain(m, f"place_{place}", store & free)
            counted = Signal(macros, name=f"counted_{place}")
            # What a place holds is hidden only while its row is not to be counted: between updates
            # the adders may see it come, which costs less than to show it at once.
            m.d.comb += counted.eq(
                self.macros & (waiting[place] | ~self.update).replicate(macros))
            for macro in range(macros):
                held = Signal(columns, reset_less=True, name=f"held_{place}_{macro}")
                m.d[f"place_{place}"] += held.eq(getattr(self, f"xnor_{macro}"))
                m.d.comb += getattr(self, f"bits_{place * macros + macro}").eq(
                    held & counted[macro].replicate(columns))
        shown = Signal(macros)
        m.d.comb += shown.eq(self.macros & (self.live & self.step & ~store).replicate(macros))
        for macro in range(macros):
            m.d.comb += getattr(self, f"bits_{self._places * macros + macro}").eq(
                getattr(self, f"xnor_{macro}") & shown[macro].replicate(columns))
        return m
