"""Selection by index, written so that Verilog shows it as a case."""

from amaranth.hdl import Signal

__all__ = ["selected"]


def selected(m, choices, index, name):
    """Add to `m` a signal that is `choices[index]`, 0 for an index beyond them; return it.

    Parameters
    ----------
    m : Module
    choices : list of values of one width
    index : Value
    name : str
        Name of the new signal.
    """
    choice = Signal(len(choices[0]), name=name)
    with m.Switch(index):
        for number, value in enumerate(choices[:1 << len(index)]):
            with m.Case(number):
                m.d.comb += choice.eq(value)
    return choice
