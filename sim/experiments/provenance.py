"""What a result was made from: hashes of the code that a function reaches, and of its files.

The code of a function is what its text reaches: itself, the top-level statements of its module that
it names, what those name, and so on through imports of the project's own modules. Comments, layout
and docstrings do not count, nor does what it does not reach, such as how the figure is drawn.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sim.experiments.experiment import Experiment, ExperimentError

__all__ = ["ROOT", "Provenance", "code_hash", "file_hashes", "package_version", "provenance"]

#: The checkout.
ROOT = Path(__file__).resolve().parents[2]

_ROOMS = ("behavioral_models", "hdl", "networks", "sim")
_PARAMETERS = ROOT / "behavioral_models" / "parameters"
_PARAMETER_READER = ROOT / "behavioral_models" / "parameter_files.py"
_EVERYTHING = "*"


@dataclass(frozen=True)
class Provenance:
    """What a run of an experiment depends on, besides point and seed.

    Attributes
    ----------
    code : str
        Hash of the code that `run` reaches.
    files : dict of str to str
        Hash of each parameter file and other file, by its name below the checkout.
    experiment : str
        Hash of the experiment's whole file; the points do not depend on it.
    """

    code: str
    files: dict[str, str]
    experiment: str


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@dataclass
class _Statement:
    node: ast.stmt
    binds: set[str]
    uses: set[str]


@dataclass
class _Module:
    path: Path
    package: str
    statements: list[_Statement]
    reached: set[int] = field(default_factory=set)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements, with an import of several names as several imports."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (ast.Import([alias]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (ast.ImportFrom(node.module, [name], node.level) for name in node.names)
        else:
            yield node


def _binds(node: ast.stmt) -> set[str]:
    """Names that a top-level statement gives a meaning; none for a star import or a call."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if isinstance(node, definitions):
        return {node.name}
    names = set()
    for part in ast.walk(node):
        if isinstance(part, definitions):
            names.add(part.name)
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            names.add(part.id)
        elif isinstance(part, ast.alias) and part.name != _EVERYTHING:
            names.add(part.asname or part.name.split(".")[0])
    return names


def _without_docstrings(tree: ast.Module) -> ast.Module:
    documented = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


class _Reach:
    """Everything that was reached, by file."""

    def __init__(self) -> None:
        self.modules: dict[Path, _Module] = {}

    def module(self, path: Path) -> _Module:
        if path not in self.modules:
            tree = _without_docstrings(ast.parse(path.read_text(encoding="utf-8")))
            inside = path.is_relative_to(ROOT)
            package = ".".join(path.relative_to(ROOT).parent.parts) if inside else ""
            self.modules[path] = module = _Module(path, package, [
                _Statement(node, _binds(node),
                           {part.id for part in ast.walk(node) if isinstance(part, ast.Name)})
                for node in _statements(tree.body)
            ])  # fmt: skip
            for index, statement in enumerate(module.statements):
                if not statement.binds:  # done for what it does: runs when the module is imported
                    self._statement(module, index)
        return self.modules[path]

    def name(self, path: Path, name: str) -> None:
        """Reach a top-level name of a module, or everything in it."""
        module = self.module(path)
        for index, statement in enumerate(module.statements):
            if name == _EVERYTHING or name in statement.binds:
                self._statement(module, index)

    def _statement(self, module: _Module, index: int) -> None:
        if index in module.reached:
            return
        module.reached.add(index)
        statement = module.statements[index]
        for name in sorted(statement.uses - {_EVERYTHING}):
            self.name(module.path, name)
        for node in ast.walk(statement.node):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._imported(alias.name, _EVERYTHING)
            elif isinstance(node, ast.ImportFrom):
                parts = module.package.split(".") if node.level else []
                parts = parts[: len(parts) - node.level + 1] if node.level else parts
                base = ".".join([*parts, *([node.module] if node.module else [])])
                for alias in node.names:
                    self._imported(base, alias.name)

    def _imported(self, base: str, name: str) -> None:
        """Reach what `from base import name` brings; the name `*` is everything."""
        parts = base.split(".")
        if parts[0] not in _ROOMS:
            return
        folder = ROOT.joinpath(*parts)
        for package in (folder, *folder.parents):  # importing a module runs its packages
            if package == ROOT:
                break
            if (package / "__init__.py").is_file():
                self.module(package / "__init__.py")
        for path in (folder.with_suffix(".py"), folder / "__init__.py"):
            if path.is_file():
                self.name(path, name)
        if name != _EVERYTHING:
            for path in (folder / f"{name}.py", folder / name / "__init__.py"):
                if path.is_file():
                    self.name(path, _EVERYTHING)


@cache
def code_hash(function: Callable) -> tuple[str, bool]:
    """Hash of the code a function reaches, and whether it reaches the parameter files.

    Parameters
    ----------
    function : callable
        At the top of a module.

    Returns
    -------
    tuple of str and bool
    """
    reach = _Reach()
    source = inspect.getsourcefile(function)
    reach.name(Path(str(source)).resolve(), function.__name__)
    lines = [function.__name__]
    for path in sorted(reach.modules):
        module = reach.modules[path]
        lines.append(str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name)
        lines += [ast.unparse(module.statements[index].node) for index in sorted(module.reached)]
    return _digest("\n".join(lines).encode()), _PARAMETER_READER in reach.modules


def file_hashes(folder: Path, patterns: list[str]) -> dict[str, str]:
    """Hash of each file that matches, by its path below the checkout.

    Raises
    ------
    ExperimentError
        If nothing matches a pattern.
    """
    hashes = {}
    for pattern in patterns:
        paths = [path for path in folder.glob(pattern) if path.is_file()]
        if not paths:
            raise ExperimentError(f"There is no file {(folder / pattern).relative_to(ROOT)}")
        for path in paths:
            hashes[path.relative_to(ROOT).as_posix()] = _digest(path.read_bytes())
    return dict(sorted(hashes.items()))


def provenance(experiment: Experiment) -> Provenance:
    """What a run of the experiment depends on.

    Raises
    ------
    ExperimentError
        If a file that it declares does not exist.
    """
    code, reads_parameters = code_hash(experiment.run)
    try:
        if experiment.parameters is not None:
            patterns = [f"{name}.toml" for name in experiment.parameters]
            files = file_hashes(_PARAMETERS, patterns)
        elif reads_parameters and any(_PARAMETERS.glob("*/*.toml")):
            files = file_hashes(_PARAMETERS, ["*/*.toml"])
        else:
            files = {}
        files |= file_hashes(ROOT, list(experiment.files))
    except ExperimentError as error:
        raise ExperimentError(f"Experiment {experiment.name}: {error}") from None
    whole = Path(str(inspect.getsourcefile(experiment.run))).read_bytes()
    return Provenance(code, files, _digest(whole))


@cache
def package_version() -> str:
    """Version of the project, from the checkout's `pyproject.toml`."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]
