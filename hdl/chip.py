"""The whole chip: core, macro instances and host port."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .core import Core
from .host_port import HostPort
from .macro import macro_instance

__all__ = ["Chip", "connect_host_port"]


def connect_host_port(m, core, host):
    """Connect a HostPort to a Core, whatever the core's macros are."""
    bypass = core.parameters.geometry.sense_bypass
    measure = ("measure", "disconnect", "column", "side") if bypass else ()
    for name in ("settings", "timing", "run", "inferences", "rows", "preload", "readout", "stop",
                 "operate", "command", "macro", "row", "bits", "x", *measure):
        m.d.comb += getattr(core, name).eq(getattr(host, name))
    for name in ("running", "waiting", "slot_last", "registers_last", "programming", "reading",
                 "row_bits", *(("measuring",) if bypass else ())):
        m.d.comb += getattr(host, name).eq(getattr(core, name))
    wiring.connect(m, host.o_slots, core.i_slots)
    wiring.connect(m, host.o_registers, core.i_registers)
    wiring.connect(m, core.o_registers, host.i_registers)
    wiring.connect(m, core.o_outputs, host.i_outputs)


class Chip(wiring.Component):
    """Core, macros and host port: the byte stream is all that is left.

    Parameters
    ----------
    parameters : ChipParameters

    Members
    -------
    i, o : streams of bytes
        Requests and answers of the host protocol.
    busy : Out(1)
        A request, an answer or programming is under way; while low, the clock may stop.
    """

    def __init__(self, parameters):
        self._parameters = parameters
        super().__init__({
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(8)),
            "busy": Out(1),
        })

    @property
    def parameters(self):
        """What the chip was built with."""
        return self._parameters

    def elaborate(self, platform):
        m = Module()
        geometry = self._parameters.geometry
        m.submodules.core = core = Core(self._parameters)
        m.submodules.host_port = host = HostPort(self._parameters)
        connect_host_port(m, core, host)
        wiring.connect(m, wiring.flipped(self.i), host.i)
        wiring.connect(m, host.o, wiring.flipped(self.o))
        m.d.comb += self.busy.eq(host.busy)
        for number in range(geometry.macros):
            m.submodules[f"macro_{number}"] = macro_instance(
                geometry, number, getattr(core, f"macro_{number}"))
        return m
