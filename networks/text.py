"""Tables and numbers of things, as the commands print them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["aligned", "counted"]


def counted(number: int, what: str) -> str:
    """Say how many of what: '1 pass', '1,200 passes'."""
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{number:,} {what if number == 1 else plural}"


def aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Lines of a table: the first `left` columns flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
