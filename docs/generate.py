"""Write the generated tables of the documentation; with --check, only look."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from behavioral_models import protocol  # noqa: E402
from behavioral_models.geometry import JEBALI_2024  # noqa: E402

PAGE = ROOT / "docs" / "host_protocol.md"
COMMAND = "python docs/generate.py"


def packets_table() -> str:
    """All requests with arguments and answers, bytes as of JEBALI_2024, and what fields mean."""
    formats = protocol.packet_formats(JEBALI_2024).values()
    lines = [
        "| opcode | request | arguments | answer |",
        "|---|---|---|---|",
    ]
    for packet in formats:
        arguments = _layout(packet.arguments) + ([f"*{packet.data}*"] if packet.data else [])
        answer = _layout(packet.answer)
        answer += [f"*{packet.answer_data}*"] if packet.answer_data else []
        answer += _layout(packet.answer_last)
        lines.append(
            f"| `{packet.opcode:02x}` | `{packet.opcode.name}` | {'; '.join(arguments)} "
            f"| {'; '.join(answer)} |"
        )
    for packet in formats:
        fields = (*packet.arguments, *packet.answer, *packet.answer_last)
        lines += ["", f"`{packet.opcode.name}`: {packet.text}"]
        if fields:
            lines += ["", "| field | bytes | meaning |", "|---|---|---|"]
            lines += [f"| `{item.name}` | {item.size} | {item.text} |" for item in fields]
    return "\n".join(lines)


def statuses_table() -> str:
    """All statuses and what they mean."""
    rows = [
        f"| `{status:02x}` | `{status.name}` | {protocol.STATUS_TEXT[status]} |"
        for status in protocol.Status
    ]
    return "\n".join(["| status | name | meaning |", "|---|---|---|", *rows])


TABLES = {"packets": packets_table, "statuses": statuses_table}


def _layout(fields: tuple[protocol.Field, ...]) -> list[str]:
    return [f"`{item.name}` ({item.size})" for item in fields]


def generated(text: str) -> str:
    """The page with its tables made anew; ValueError if it has not one place for each."""
    for name, table in TABLES.items():
        begin, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(begin)
        old, closed, after = rest.partition(end)
        if not found or not closed or "<!-- generated:" in old or begin in after:
            raise ValueError(f"{PAGE.name} needs exactly one '{begin.strip()}' with an '{end}'")
        text = f"{before}{begin}\n{table()}\n\n{end}{after}"
    return text


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, write or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail if out of date")
    options = parser.parse_args(arguments)
    text = PAGE.read_text()
    try:
        new = generated(text)
    except ValueError as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return 1
    if new == text:
        return 0
    if options.check:
        print(f"{COMMAND}: docs/{PAGE.name} is out of date; run `{COMMAND}`", file=sys.stderr)
        return 1
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
