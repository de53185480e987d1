"""Verilog out: one file a module, named and with the ports of its component."""

import inspect
import re
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Fragment, Instance, ResetSignal
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from behavioral_models.geometry import ChipGeometry

from .parameters import ChipParameters
from .verilog_text import tidy
from .yosys import run_script

__all__ = ["PREFIX", "convert", "port_name"]

PREFIX = "heliobit_"


def port_name(path):
    """Verilog name of a member of a component's signature, such as `macro_0_row`."""
    return "_".join(map(str, path))


def convert(component, heading=""):
    """Convert a component and all below it.

    Every component class becomes one module per distinct content, `heliobit_` and its name, whose
    ports are exactly the component's members, and the clocks and reset it uses. All flip-flops with
    a reset have an asynchronous one.

    Parameters
    ----------
    component : wiring.Component
    heading : str
        First comment line of each file.

    Returns
    -------
    dict of str to str
        Module names to Verilog, the top first. The same component gives the same text.
    """
    exporter = _Exporter()
    exporter.add(Fragment.get(component, None), component, type(component).__name__)
    modules = exporter.modules  # children first
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.il", Path(folder) / "out.v"
        source.write_text("\n".join(module.rtlil for module in modules.values()))
        run_script([
            f"read_rtlil {source.name}",
            *(f"setattr -mod -set keep_hierarchy 1 {name}" for name in modules),
            "flatten",  # what is no component of ours, such as amaranth.lib.crc's processor
            "attrmap -remove generator -remove top -remove src -remove enum_base_type",
            "proc -nomux -norom -noopt",
            "opt_merge",
            "opt_clean -purge",
            f"write_verilog -norename -noattr {target.name}",
        ], cwd=folder)
        text = target.read_text()
    bodies = dict(re.findall(r"^module \\?([\w.$]+) ?(\(.*?^endmodule\n)", text, re.M | re.S))
    files = {}
    for name in reversed(modules):
        module = modules[name]
        comment = f"// {heading}\n" if heading else ""
        comment += f"// {module.summary}\n"
        files[name] = f"{comment}`default_nettype none\n\nmodule {name} {tidy(bodies[name])}"
    return files


class _Module:
    """One converted module: its RTLIL, the ports of clocks and resets, and what it is."""

    def __init__(self, text, ports, summary):
        self.rtlil, self.ports, self.summary = text, ports, summary


class _Exporter:
    """Converts fragments bottom-up, each component on its own, and replaces it by an instance."""

    def __init__(self):
        self.modules = {}
        self._names = {}  # of what was converted, by what it was made with

    def add(self, fragment, component, local_name):
        """Convert one component's fragment; return its module's name."""
        made_with = _made_with(component)
        if made_with not in self._names:
            name = self._convert(fragment, component, local_name)
            if made_with is None:
                return name
            self._names[made_with] = name
        return self._names[made_with]

    def _convert(self, fragment, component, local_name):
        for index, (child, child_name, location) in enumerate(fragment.subfragments):
            owner = _component_of(child)
            if owner is None:
                continue
            name = self.add(child, owner, child_name)
            instance = self._instance(name, owner)
            fragment.subfragments[index] = (instance, child_name, location)
        ports = {}
        for path, member, value in component.signature.flatten(component):
            value = value.as_value() if hasattr(value, "as_value") else value
            direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
            if len(value):
                assert port_name(path) not in ports, f"{component}: two ports {port_name(path)}"
                ports[port_name(path)] = (value, direction)
        members = set(ports)
        for domain in _outer_domains():
            if domain.name not in fragment.domains:
                fragment.add_domains(domain)
                ports[domain.clk.name] = (domain.clk, PortDirection.Input)
                if domain.rst is not None:
                    ports[domain.rst.name] = (domain.rst, PortDirection.Input)
        text, _ = rtlil.convert_fragment(
            fragment, ports, "\0", emit_src=False, missing_domain=_unknown_domain)
        text = _explicit_widths(text.replace("attribute \\top 1\n", ""))
        clocks = []
        for port in re.findall(r"^ *wire width 1 input \d+ +\\(clk|rst|\w+_clk)$", text, re.M):
            if port in members:
                continue
            if len(re.findall(rf"\\{port}\b", text)) > 1:
                clocks.append(port)
            else:  # a clock or reset that this module does not use
                text = re.sub(rf"^ *wire width 1 input \d+ +\\{port}\n", "", text, flags=re.M)
        return self._name(text, clocks, component, local_name)

    def _name(self, text, clocks, component, local_name):
        """Give converted text a name, the same for the same text."""
        ours = type(component).__module__.startswith("hdl.")
        base = type(component).__name__ if ours else re.sub(r"_\d+$", "", local_name)
        base = PREFIX + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", base).lower()
        name, number = base, 1
        while name in self.modules and self.modules[name].rtlil != text.replace("\0", name):
            number += 1
            name = f"{base}_{number}"
        source = type(component).__module__.replace(".", "/") + ".py"
        first_line = inspect.getdoc(type(component)).splitlines()[0] if ours else local_name
        self.modules.setdefault(
            name, _Module(text.replace("\0", name), clocks, f"{first_line} ({source})"))
        return name

    def _instance(self, name, component):
        pins = {}
        for path, member, value in component.signature.flatten(component):
            value = value.as_value() if hasattr(value, "as_value") else value
            if len(value):
                side = "i" if member.flow == wiring.In else "o"
                pins[f"{side}_{port_name(path)}"] = value
        for clock in self.modules[name].ports:
            if clock == "rst":
                pins["i_rst"] = ResetSignal("sync")
            else:
                domain = "sync" if clock == "clk" else clock.removesuffix("_clk")
                pins[f"i_{clock}"] = ClockSignal(domain)
        return Instance(name, **pins)


def _made_with(component):
    """Class and constructor's values of a component of ours, None where they are not plain data.

    Two that agree are converted once: a chip has thousands of adders.
    """
    ours = type(component).__module__.startswith("hdl.")
    values = {name: value for name, value in vars(component).items()
              if name not in component.signature.members
              and not name.startswith(("_MustUse__", "_Component__"))}  # Amaranth's own
    plain = (int, str, float, tuple, type(None), ChipGeometry, ChipParameters)
    if not ours or not all(isinstance(value, plain) for value in values.values()):
        return None
    return (type(component), tuple(sorted(values.items(), key=lambda item: item[0])))


def _outer_domains():
    """Make the clock domains a component may find around it, in the order of their ports."""
    return (ClockDomain("sync", async_reset=True), ClockDomain("neurons", reset_less=True))


def _unknown_domain(name):
    raise ValueError(f"A component uses the clock domain {name}, which no module above it provides")


def _component_of(fragment):
    if isinstance(fragment, Instance):
        return None
    for origin in fragment.origins or ():
        if isinstance(origin, wiring.Component):
            return origin
    return None


def _explicit_widths(text):
    """Extend operands to equal widths, as Verilog would silently: a linter asks to see it."""
    return re.sub(r"^( *)cell \$(\w+) .*?^\1end$", _explicit_cell, text, flags=re.M | re.S)


def _explicit_cell(match):
    cell, kind = match.group(0), match.group(2)
    number = {key: int(value) for key, value in re.findall(r"parameter \\(\w+) (\d+)$", cell, re.M)}
    if kind in ("eq", "ne", "lt", "le", "gt", "ge", "add", "sub"):
        wide = max(number["A_WIDTH"], number["B_WIDTH"])
        for side in "AB":
            extra = wide - number[f"{side}_WIDTH"]
            if extra and not number["A_SIGNED"]:
                cell = cell.replace(f"{side}_WIDTH {wide - extra}\n", f"{side}_WIDTH {wide}\n")
                wider = rf"connect \\{side} {{ {extra}'{'0' * extra} \1 }}"
                cell = re.sub(rf"connect \\{side} (.*)$", wider, cell, flags=re.M)
    return cell
