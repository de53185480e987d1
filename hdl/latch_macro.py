"""The memristor-free macro: latches behind the pins of the memristor macro.

The same chip can then be made in a plain digital process, with all its logic and its host protocol.
The macro is Verilog (`cells/heliobit_latch_macro.v`), not Amaranth: it takes the place of another
Verilog module, `heliobit_macro`, with its parameters, and is made of latches and clock gates, cells
that Amaranth neither infers nor simulates.

It holds one latch a bit cell, not two. The programmer makes one kind of sequence: forming pulses,
then of a row's pairs a SET each, of one side, then a RESET each, of the other side. Once a row has
been through that, both macros read the same. They differ where the memristor macro does not decide
(a row that was never programmed, or only in part; SET or RESET of memristors that were never
formed): latches always hold something. They also differ in that the bits are gone without power.
"""

from pathlib import Path

from .cells import CELL_SOURCES
from .macro import MACRO_MODULE

__all__ = ["LATCH_MACRO_SOURCE", "latch_macro", "use_latch_macro"]

#: Its Verilog; the module's name is that of the memristor macro.
LATCH_MACRO_SOURCE = Path(__file__).parent / "cells" / "heliobit_latch_macro.v"


def latch_macro(bypass):
    """Verilog text, with or without the pin `bypass`, which does nothing."""
    return ("`define HELIOBIT_BYPASS\n" if bypass else "") + LATCH_MACRO_SOURCE.read_text()


def use_latch_macro(parameters, folder):
    """Put the latch macro into a folder that `hdl.generate.generate` wrote for a chip.

    It takes the place of the behavioural model and of the black box, and brings the clock gate's
    model along where the chip has none of its own.

    Parameters
    ----------
    parameters : ChipParameters
        Of that chip.
    folder : Path

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If the folder does not hold a generated chip.
    """
    folder = Path(folder)
    files = folder / "chip.f"
    if not files.exists():
        raise ValueError(
            f"{folder} holds no generated chip; write one there with `python -m hdl --top chip`")
    text = latch_macro(parameters.geometry.sense_bypass)
    for place in ("simulation", "synthesis"):
        (folder / place / f"{MACRO_MODULE}.v").write_text(text)
    listed = files.read_text().splitlines()
    for source in CELL_SOURCES:
        name = f"simulation/{source.name}"
        if name not in listed and source.stem == "heliobit_clock_gate":
            (folder / name).write_text(source.read_text())
            listed.insert(0, name)
    files.write_text("\n".join(listed) + "\n")
    return folder
