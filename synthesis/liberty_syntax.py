r"""The syntax of Liberty files: text to groups of attributes, nothing said of what they mean.

A file is one group, and a group holds three kinds of statement::

    name (argument, ...) { statements }     a group
    name (value, ...);                      an attribute of many values
    name : value;                           an attribute of one value: a string, or words up to
                                            the semicolon or the line's end (`VDD * 0.5`)

Semicolons may be missing at the end of a line, commas between values anywhere. Strings may go on
over lines, with or without a backslash; comments are ``/* */`` and ``//``. All values stay text, in
the case they are written in, strings without quotes and without blanks at their ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NoReturn

__all__ = ["Group", "LibertySyntaxError", "read_liberty"]

# Some token is found anywhere, so that nothing is passed over: `/*` and a lone `"` are a comment
# and a string without end, any other character by itself is wrong, the empty token is the end.
_TOKEN = re.compile(
    r"""(?: [^\S\n]+ | \\[^\S\n]*\n | //[^\n]* | /\*.*?\*/ )*
    ( "[^"\\]*(?:\\.[^"\\]*)*"
    | \n\s*
    | [(){}:;,]
    | (?: [^][\s(){}:;,"\\/]+ | /(?![*/]) | \[[^]\n]*] )+
    | \Z | /\* | . )""",
    re.VERBOSE | re.DOTALL,
)
_CONTINUATION = re.compile(r"\\[^\S\n]*\n")
_MARKS = frozenset('(){}:;,[]"\\\n')  # what no word begins with


class LibertySyntaxError(ValueError):
    """A text is not Liberty; the message says in which line, and what is wrong there."""


@dataclass(slots=True)
class Group:
    """A group of a Liberty file, such as a cell or a table."""

    name: str
    arguments: tuple[str, ...] = ()
    #: Values of every attribute; one tuple for each time that it is given.
    attributes: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    #: The groups in it, in the order of the file.
    groups: list[Group] = field(default_factory=list)

    def groups_named(self, *names: str) -> list[Group]:
        """The groups directly in it that have one of these names."""
        return [group for group in self.groups if group.name in names]


def read_liberty(text: str) -> Group:
    """Read a Liberty file's text.

    Parameters
    ----------
    text : str

    Returns
    -------
    Group
        The outermost group, named ``library`` in a library.

    Raises
    ------
    LibertySyntaxError
        If the text is not Liberty.
    """
    return _Builder(text).build()


class _Builder:
    """One pass over the tokens; groups that are open are a stack, so that depth has no limit."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def build(self) -> Group:
        file = Group("")
        opened = [(file, 0)]  # with the place of their names
        while True:
            group, start = opened[-1]
            token = self._next()
            if token == "}" and len(opened) > 1:
                opened.pop()
            elif token == "" and len(opened) > 1:
                self._fail(f"group {group.name!r} has no closing brace", start)
            elif token == "":
                break
            elif _is_word(token):
                start = self._at - 1
                if self._statement(token, group):
                    opened.append((group.groups[-1], start))
                if file.attributes or len(file.groups) > 1:
                    self._fail(f"{token!r} stands outside the outermost group", start)
            elif token != ";":
                self._fail(f"{_shown(token)} stands where a statement should begin")
        if not file.groups:
            self._fail("the text holds no group")
        return file.groups[0]

    def _statement(self, name: str, group: Group) -> bool:
        """Put a statement into its group; whether it opens a group of its own."""
        mark = self._next()
        if mark == ":":
            values: tuple[str, ...] = (self._value(name),)
        elif mark == "(":
            values = tuple(self._values(name))
            if self._next() == "{":
                group.groups.append(Group(name, values))
                return True
            self._at -= 1
        else:
            self._fail(f"{name!r} is followed by {_shown(mark)}, not by ':' or '('")
        group.attributes.setdefault(name, []).append(values)
        return False

    def _value(self, name: str) -> str:
        """What is after a colon, up to the semicolon, the line's end or the group's."""
        token = self._next()
        if _is_string(token):
            value = _unquoted(token)
        else:
            words = []
            while _is_word(token) or token in ("(", ")"):
                words.append(token)
                token = self._tokens[self._at]
                self._at += 1
            self._at -= 1
            if not words:
                self._fail(f"{name!r} has no value but {_shown(token)}", self._at)
            value = " ".join(words)
        token = self._tokens[self._at]
        if token not in (";", "}", "") and token[0] != "\n":
            self._fail(f"{_shown(token)} follows the value of {name!r}", self._at)
        return value

    def _values(self, name: str) -> Iterator[str]:
        """What is between parentheses."""
        start = self._at
        while (token := self._next()) != ")":
            if _is_string(token):
                yield _unquoted(token)
            elif _is_word(token):
                yield token
            elif token == "":
                self._fail(f"{name!r} has no closing parenthesis", start)
            elif token != ",":
                self._fail(f"{_shown(token)} is between the parentheses of {name!r}")

    def _next(self) -> str:
        """The next token that is no line's end."""
        while (token := self._tokens[self._at])[:1] == "\n":
            self._at += 1
        self._at += 1
        return token

    def _fail(self, message: str, place: int | None = None) -> NoReturn:
        """Raise the error; `place` is a token's, by default that of the token read last."""
        place = self._at - 1 if place is None else place
        token = next(islice(_TOKEN.finditer(self._text), place, None))
        line = self._text.count("\n", 0, token.start(1)) + 1
        raise LibertySyntaxError(f"line {line}: {message}")


def _is_string(token: str) -> bool:
    return token[:1] == '"' != token


def _is_word(token: str) -> bool:
    return token != "" and token[0] not in _MARKS and token != "/*"


def _unquoted(string: str) -> str:
    if "\\" in string:
        string = _CONTINUATION.sub("", string).replace('\\"', '"')
    return string[1:-1].strip()


def _shown(token: str) -> str:
    """A token in an error's message."""
    lone = {"": "the end of the file", '"': "a string without end", "/*": "a comment without end"}
    return lone.get(token) or ("a string" if _is_string(token) else repr(token))
