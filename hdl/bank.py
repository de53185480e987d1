"""A bank: macros' XNOR bits in, one neuron register a column, output bits out."""

from amaranth.hdl import C, Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .cells import gated_domain
from .neuron import NeuronRegister
from .popcount import Popcount
from .row_store import RowStore

__all__ = ["Bank"]


class Bank(wiring.Component):
    """The neuron registers that share a bank's macros, with their popcounts.

    A step takes one cycle. A bank in style ``deferred`` may hold rows back (see RowStore): its
    registers are right after a `last` row, and two cycles after `idle` rises.

    Parameters
    ----------
    parameters : ChipParameters

    Members
    -------
    xnor_0, xnor_1, ... : In(columns)
        What the macros read, one member a macro.
    macros : In(macros_per_bank)
        Macros whose bits count; stands still in a pass.
    sensed : In(1)
        They were sensed; 0 while registers are loaded.
    step, shift, clear : In(1)
        As in NeuronRegister, for all neurons.
    last : In(1)
        The step's row is the last of its plane.
    idle : In(1)
        No run is under way.
    select : In(range(columns))
        Neuron that is read out or loaded.
    read : In(1)
        Show the selected register on `value`, which is 0 otherwise.
    load : In(1)
        Load `load_value` into the selected register at the end of the cycle.
    load_value : In(signed(width))
    value : Out(signed(width))
    negative : Out(columns)
        Sign bits: the neurons' outputs.
    """

    def __init__(self, parameters):
        geometry = parameters.geometry
        self._parameters = parameters
        super().__init__({
            **{f"xnor_{macro}": In(geometry.columns) for macro in range(geometry.macros_per_bank)},
            "macros": In(geometry.macros_per_bank),
            "sensed": In(1),
            "step": In(1),
            "shift": In(1),
            "clear": In(1),
            "last": In(1),
            "idle": In(1),
            "select": In(range(max(2, geometry.columns))),
            "read": In(1),
            "load": In(1),
            "load_value": In(signed(geometry.register_width)),
            "value": Out(signed(geometry.register_width)),
            "negative": Out(geometry.columns),
        })

    def elaborate(self, platform):
        m = Module()
        parameters, geometry = self._parameters, self._parameters.geometry
        columns, width = geometry.columns, geometry.register_width

        counted, update = self._counted_bits(m)
        step = Signal()
        selected = Signal(columns)
        m.d.comb += step.eq(update)
        with m.If(self.read | self.load):
            m.d.comb += selected.eq(C(1) << self.select)
        if parameters.style != "enabled":
            gated_domain(m, "neurons", step)

        shown = []
        for column in range(columns):
            popcount = Popcount(len(counted))
            neuron = NeuronRegister(
                width, len(counted), parameters.style, parameters.borrow_split)
            m.submodules[f"popcount_{column}"] = popcount
            m.submodules[f"neuron_{column}"] = neuron
            m.d.comb += [
                popcount.i.eq(Cat(bits[column] for bits in counted)),
                neuron.count.eq(popcount.o),
                neuron.step.eq(step),
                neuron.shift.eq(self.shift),
                neuron.clear.eq(self.clear),
                neuron.load.eq(self.load & selected[column]),
                neuron.load_value.eq(self.load_value),
                self.negative[column].eq(neuron.negative),
            ]
            shown.append(neuron.value & selected[column].replicate(width))
        while len(shown) > 1:  # AND-OR, so that registers nobody reads toggle nothing
            shown = [
                shown[i] | shown[i + 1] if i + 1 < len(shown) else shown[i]
                for i in range(0, len(shown), 2)
            ]
        m.d.comb += self.value.eq(shown[0])
        return m

    def _counted_bits(self, m):
        """XNOR bits that count in this cycle, by row and macro, and whether registers step."""
        geometry, rows = self._parameters.geometry, self._parameters.rows_per_update
        macros, columns = geometry.macros_per_bank, geometry.columns
        if rows > 1:
            m.submodules.row_store = store = RowStore(geometry, rows)
            m.d.comb += [
                store.macros.eq(self.macros),
                store.step.eq(self.step | self.load),
                store.count.eq(self.sensed & ~self.shift & ~self.clear),
                store.live.eq(self.sensed),
                store.last.eq(self.last),
                store.idle.eq(self.idle),
            ]
            for macro in range(macros):
                m.d.comb += getattr(store, f"xnor_{macro}").eq(getattr(self, f"xnor_{macro}"))
            bits = [getattr(store, f"bits_{number}") for number in range(rows * macros)]
            return bits, store.update
        counted = []
        for macro in range(macros):
            bits = Signal(columns, name=f"counted_{macro}")
            m.d.comb += bits.eq(
                getattr(self, f"xnor_{macro}")
                & (self.sensed & self.macros[macro]).replicate(columns))
            counted.append(bits)
        return counted, self.step | self.load
