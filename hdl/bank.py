"""A bank: macros' XNOR bits in, one neuron register a column, output bits out."""

from amaranth.hdl import C, Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .cells import gated_domain
from .neuron import CountingRegister, NeuronRegister
from .popcount import GroupPopcount, Popcount
from .row_store import RowStore

__all__ = ["Bank"]


class Bank(wiring.Component):
    """The neuron registers that share a bank's macros, with their popcounts.

    A step takes one cycle. Rows that wait are in the registers after the step that takes them
    together, and lost if that never comes.

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
    waits : In(1), place : In(range(rows_per_update)), together : In(1)
        The step's row waits, and where; it counts together with those that wait. Only where the
        parameters say that several rows are counted at once.
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
            **({"waits": In(1), "place": In(range(parameters.rows_per_update)), "together": In(1)}
               if parameters.rows_per_update > 1 else {}),
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

        selected = Signal(columns)
        with m.If(self.read | self.load):
            m.d.comb += selected.eq(C(1) << self.select)
        if parameters.style == "deferred":
            neurons, inverted = self._deferred(m, selected)
        else:
            neurons, inverted = self._row_by_row(m, selected), C(0, 1)

        shown = [neuron.value & selected[column].replicate(width)
                 for column, neuron in enumerate(neurons)]
        while len(shown) > 1:  # AND-OR, so that registers nobody reads toggle nothing
            shown = [
                shown[i] | shown[i + 1] if i + 1 < len(shown) else shown[i]
                for i in range(0, len(shown), 2)
            ]
        m.d.comb += self.value.eq(shown[0] ^ (inverted & self.read).replicate(width))
        return m

    def _row_by_row(self, m, selected):
        """Popcounts and registers that step with every row."""
        parameters, geometry = self._parameters, self._parameters.geometry
        macros, columns = geometry.macros_per_bank, geometry.columns
        step = Signal()
        m.d.comb += step.eq(self.step | self.load)
        if parameters.style != "enabled":
            gated_domain(m, "neurons", step)
        counted = []
        for macro in range(macros):
            bits = Signal(columns, name=f"counted_{macro}")
            m.d.comb += bits.eq(
                getattr(self, f"xnor_{macro}")
                & (self.sensed & self.macros[macro]).replicate(columns))
            counted.append(bits)
        neurons = []
        for column in range(columns):
            popcount = Popcount(macros)
            neuron = NeuronRegister(
                geometry.register_width, macros, parameters.style, parameters.borrow_split)
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
            neurons.append(neuron)
        return neurons

    def _deferred(self, m, selected):
        """Row store, popcounts of several rows, registers that count up.

        Returns the registers, and whether they hold complements.
        """
        parameters, geometry = self._parameters, self._parameters.geometry
        macros, columns, width = geometry.macros_per_bank, geometry.columns, geometry.register_width
        rows = parameters.rows_per_update
        m.submodules.row_store = store = RowStore(geometry, rows)
        for macro in range(macros):
            m.d.comb += getattr(store, f"xnor_{macro}").eq(getattr(self, f"xnor_{macro}"))
        read = Signal()
        update = Signal()
        together = Signal(macros)
        counts = Signal()
        m.d.comb += [
            read.eq(self.step & self.sensed),
            store.count.eq(self.macros & counts.replicate(macros)),
        ]
        if rows > 1:
            m.d.comb += [
                store.hold.eq(read & self.waits),
                store.place.eq(self.place),
                counts.eq(read & ~self.waits),
                together.eq(self.macros & (read & self.together).replicate(macros)),
                update.eq(self.step & (~self.waits | self.clear)),
            ]
        else:  # nothing changes what is counted between steps: it may stay shown
            m.d.comb += [
                counts.eq(~self.load & (self.sensed | ~self.step)), update.eq(self.step)]

        # Registers hold complements after a count, and themselves after a shift.
        inverted = Signal()
        with m.If(update):
            m.d.sync += inverted.eq(~self.shift)
        start = {name: Signal(name=name)
                 for name in ("keep", "flip", "doubled", "doubled_flip", "ones")}
        continues = update & ~self.clear
        load_value = Signal(width)
        m.d.comb += [
            start["keep"].eq(~update | (continues & ~self.shift & inverted)),
            start["flip"].eq(continues & ~self.shift & ~inverted),
            start["doubled"].eq(continues & self.shift & ~inverted),
            start["doubled_flip"].eq(continues & self.shift & inverted),
            start["ones"].eq(update & self.clear & ~self.shift),
            load_value.eq(self.load_value ^ (inverted & self.load).replicate(width)),
        ]
        gated_domain(m, "neurons", update | self.load)
        neurons = []
        for column in range(columns):
            popcount = GroupPopcount(macros, rows)
            neuron = CountingRegister(width, macros * rows, parameters.borrow_split)
            m.submodules[f"popcount_{column}"] = popcount
            m.submodules[f"neuron_{column}"] = neuron
            m.d.comb += [
                popcount.live.eq(
                    Cat(getattr(store, f"live_{macro}")[column] for macro in range(macros))),
                neuron.count.eq(popcount.o),
                *(getattr(neuron, name).eq(value) for name, value in start.items()),
                neuron.load.eq(self.load & selected[column]),
                neuron.load_value.eq(load_value & selected[column].replicate(width)),
                self.negative[column].eq(neuron.value[-1] ^ inverted),
            ]
            if rows > 1:
                m.d.comb += [
                    popcount.held.eq(Cat(getattr(store, f"held_{number}")[column]
                                         for number in range((rows - 1) * macros))),
                    popcount.together.eq(together),
                ]
            neurons.append(neuron)
        return neurons, inverted
