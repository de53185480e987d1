"""Count skips by reason at the end, and refuse to start where something required is missing."""

from collections import Counter

import pytest

from tests.needs import NEEDS, required


def pytest_configure(config):
    try:
        names = required()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    missing = {name: NEEDS[name]() for name in sorted(names)}
    missing = {name: reason for name, reason in missing.items() if reason}
    if missing:
        raise pytest.UsageError("HELIOBIT_REQUIRE: " + "; ".join(
            f"{name}: {reason}" for name, reason in missing.items()))


def pytest_terminal_summary(terminalreporter):
    reasons = Counter(
        report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", []))
    terminalreporter.section("skips by reason")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:5d}  {reason.removeprefix('Skipped: ')}")
    if not reasons:
        terminalreporter.write_line("    0  nothing was skipped")
