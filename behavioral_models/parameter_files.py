"""Parameter files of the device models: TOML in which every number says where it comes from.

A number is a table `{ value, source, note }`; `source` is one of

- `cited`: published; the note says where;
- `fitted`: chosen so that a model meets a published or simulated figure; the note says which, and
  what made it;
- `assumed`: no source determines it; the note says why it is plausible.

A file starts with `kind` (what reads it), `set` (the parameter set it belongs to; sets are never
mixed), and `about`. The files of the project are `behavioral_models/parameters/SET/NAME.toml`.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from behavioral_models.files import write_whole

__all__ = ["FOLDER", "SOURCES", "Parameters", "available", "load", "number", "write"]

#: Folder of the project's own parameter files, one folder a set.
FOLDER = Path(__file__).parent / "parameters"

#: What a number's `source` may be.
SOURCES = ("cited", "fitted", "assumed")


@dataclass(frozen=True)
class Parameters:
    """Content of one parameter file.

    Attributes
    ----------
    name : str
        `set/name`, or the path of a user's own file.
    kind, set : str
        What reads it, and the parameter set it belongs to.
    about : str
        What it describes.
    tree : dict
        The file, as TOML.
    """

    name: str
    kind: str
    set: str
    about: str
    tree: Mapping[str, Any]

    def _find(self, key: str) -> Any:
        node: Any = self.tree
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                raise ValueError(f"Parameter file {self.name} has no {key}: add it")
            node = node[part]
        return node

    def has(self, key: str) -> bool:
        """Whether there is something at a dotted key."""
        try:
            self._find(key)
        except ValueError:
            return False
        return True

    def number(self, key: str, low: float | None = None, high: float | None = None) -> float:
        """Value of the number at a dotted key; ValueError if it is not one, or out of bounds."""
        node = self._find(key)
        if not isinstance(node, Mapping) or "value" not in node:
            raise ValueError(
                f"Parameter file {self.name}: {key} must be {{ value, source, note }}, not {node!r}"
            )
        value, source = node["value"], node.get("source")
        if not _is_number(value):
            raise ValueError(f"Parameter file {self.name}: {key} must be a number, not {value!r}")
        if source not in SOURCES:
            raise ValueError(
                f"Parameter file {self.name}: the source of {key} must be one of "
                f"{', '.join(SOURCES)}, not {source!r}"
            )
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = " and ".join(
                f"at {word} {bound:g}"
                for word, bound in (("least", low), ("most", high))
                if bound is not None
            )
            raise ValueError(f"Parameter file {self.name}: {key} must be {bounds}, not {value:g}")
        return float(value)

    def text(self, key: str, choices: tuple[str, ...] = ()) -> str:
        """String at a dotted key; ValueError if it is not one of the choices."""
        value = self._find(key)
        if not isinstance(value, str) or (choices and value not in choices):
            wanted = f"one of {', '.join(choices)}" if choices else "a string"
            raise ValueError(f"Parameter file {self.name}: {key} must be {wanted}, not {value!r}")
        return value

    def numbers(self, key: str) -> list[float]:
        """List of plain numbers at a dotted key, such as the points of an empirical curve."""
        value = self._find(key)
        if not isinstance(value, list) or not all(_is_number(item) for item in value):
            raise ValueError(
                f"Parameter file {self.name}: {key} must be a list of numbers, not {value!r}"
            )
        return [float(item) for item in value]

    def rows(self) -> Iterator[tuple[str, float, str, str]]:
        """Every number of the file: dotted key, value, source, note."""

        def walk(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float, str, str]]:
            for key, item in node.items():
                if isinstance(item, Mapping) and "value" in item:
                    where = f"{prefix}{key}"
                    yield where, self.number(where), item["source"], item.get("note", "")
                elif isinstance(item, Mapping):
                    yield from walk(item, f"{prefix}{key}.")

        yield from walk(self.tree, "")


def _is_number(value: object) -> bool:
    """Whether it is a finite number; TOML also has booleans, inf and nan."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def available(kind: str | None = None) -> list[str]:
    """Names `set/name` of the project's own parameter files, of one kind or all."""
    names = [str(p.relative_to(FOLDER).with_suffix("")) for p in sorted(FOLDER.glob("*/*.toml"))]
    return [name for name in names if kind is None or load(name).kind == kind]


def load(name: str | os.PathLike[str], kind: str | None = None) -> Parameters:
    """Read a parameter file.

    Parameters
    ----------
    name : str or path
        `set/name` of one of the project's own, or the path of a file that ends in `.toml`.
    kind : str, optional
        What the file must be.

    Raises
    ------
    ValueError
        If there is no such file, it is not TOML, or not of this kind.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = FOLDER / f"{name}.toml"
        if not path.is_file():
            raise ValueError(
                f"There are no parameters {str(name)!r}; choose one of "
                f"{', '.join(available(kind))}, or name a file that ends in .toml"
            )
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"Cannot read the parameter file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"The parameter file {path} is not TOML: {error}") from None
    parameters = Parameters(str(name), "", "", "", tree)
    found = Parameters(
        str(name), parameters.text("kind"), parameters.text("set"), parameters.text("about"), tree
    )
    if kind is not None and found.kind != kind:
        raise ValueError(f"Parameter file {name} is of kind {found.kind}, not {kind}")
    list(found.rows())  # every number is sound, also those nothing reads
    return found


def number(value: float, source: str, note: str) -> dict[str, Any]:
    """One number of a parameter file, for `write`."""
    if source not in SOURCES:
        raise ValueError(
            f"The source of a parameter must be one of {', '.join(SOURCES)}, not {source!r}"
        )
    return {"value": value, "source": source, "note": note}


def write(path: Path, tree: Mapping[str, Any]) -> None:
    """Write a parameter file whole, or not at all."""
    import tomli_w

    write_whole(path, tomli_w.dumps(tree, multiline_strings=True))
