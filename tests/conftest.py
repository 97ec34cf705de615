"""What all tests share: those that need programs which are not on this machine are skipped and counted.

Files with slow tests come first, whole federations before all, so that no process of a run is left alone with them
at the end.

A test with the marker `needs_fabric` (or `needs_fabric("2.5")` for a version) needs nothing else: it never starts
where the programs are missing. The last lines of a run say how many tests that were, and what to do about it.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from bfl_fabric.errors import ProgramsMissing
from bfl_fabric.network.programs import find_programs

MARKER = "needs_fabric"
NEEDS = "needs "


@cache
def missing_reason(version: str) -> str:
    """Return why a test on Fabric's programs of a version cannot run here, "" when it can."""
    try:
        find_programs(version)
    except ProgramsMissing:
        only = f" of {version}" if version and not missing_reason("") else ""
        return f"{NEEDS}Hyperledger Fabric's programs{only}, which are not on this machine: see `bfl network programs`"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip every test whose programs are missing, before any fixture of it is made."""
    for item in items:
        marker = item.get_closest_marker(MARKER)
        if marker is None:
            continue
        reason = missing_reason(marker.args[0] if marker.args else "")
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (item.path not in slow, "system" not in item.path.parts))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line for each reason how many tests were skipped, below everything else."""
    counts = Counter(map(_reason, terminalreporter.stats.get("skipped", [])))
    for reason, count in sorted(counts.items()):
        terminalreporter.write_line(skipped_line(reason, count), yellow=True)


def skipped_line(reason: str, count: int) -> str:
    """Return the closing line for `count` tests that were skipped for one reason."""
    tests = "1 test" if count == 1 else f"{count} tests"
    if reason.startswith(NEEDS):
        return f"{tests} {'needs' if count == 1 else 'need'} {reason.removeprefix(NEEDS)}"
    return f"{tests} {'was' if count == 1 else 'were'} skipped: {reason}"


def _reason(report: pytest.TestReport) -> str:
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return " ".join(told.removeprefix("Skipped: ").split())
