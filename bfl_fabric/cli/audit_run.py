"""An audit of a federation's directory, and how its result is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bfl_fabric import wiring
from bfl_fabric.cli.output import print_json
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.network import directory as directories

if TYPE_CHECKING:
    from bfl_fabric.audit.compare import Comparison
    from bfl_fabric.audit.findings import AuditReport
    from bfl_fabric.audit.summary import RunSummary

SUMMARY = "summary.json"
REPORT = "report.html"
SHOWN_FAILURES = 20


def audit_directory(place: Path, genesis: str, console: Console, allow_missing: bool = False) -> AuditReport:
    """Audit the blocks and every blob store of a federation's directory; nothing else of it is believed."""
    from bfl_fabric.audit.blobs import DirectoryFinder
    from bfl_fabric.audit.source import read_block_file
    from bfl_fabric.audit.verify import AuditOptions, verify_run

    blocks = directories.ledger_directory(place) / "blocks.bin"
    if not blocks.exists():
        raise ConfigurationError(f"{blocks} is not there; pass the directory of a federation that has run")
    state = directories.ledger_directory(place) / "state.db"
    options = AuditOptions(
        allow_missing=allow_missing,
        chaincode=directories.read_topology(place).chaincode,
        state_database=state if state.exists() else None,
    )
    finder = DirectoryFinder([directories.nodes_directory(place)])
    schemes = wiring.schemes()
    try:
        with console.status("auditing: every block, signature, ciphertext, sum and payout ..."):
            return verify_run(
                read_block_file(blocks), genesis, finder, schemes, wiring.arithmetic(), options=options
            )
    finally:
        schemes.close()


def copies_of(places: Sequence[Path]) -> dict[str, Iterator[bytes]]:
    """Return the blocks of each place by its name. Raises ConfigurationError for one that is named twice."""
    from bfl_fabric.audit.source import read_copy

    copies = {}
    for place in places:
        ledger = directories.ledger_directory(place)
        if str(place) in copies or not place.exists():
            raise ConfigurationError(f"{place}: each copy of the chain must be there, and is given once")
        copies[str(place)] = read_copy(ledger if ledger.is_dir() else place)
    return copies


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Show how far each copy was read and where they part."""
    table = Table(title="Copies of the chain", title_justify="left", header_style="bold")
    table.add_column("copy")
    table.add_column("blocks", justify="right")
    table.add_column("validation codes")
    for name, height in comparison.heights.items():
        table.add_row(name, f"{height:,}", "none" if name in comparison.without_codes else "compared")
    console.print(table)
    for difference in comparison.differences:
        console.print(f"[red]✗[/] {difference}", soft_wrap=True)
    if comparison.agreed:
        console.print(f"[bold green]✓ the copies agree[/] in {comparison.compared:,} blocks", soft_wrap=True)


def print_audit(console: Console, report: AuditReport) -> None:
    """Show what was checked, in counts, and what was found."""
    table = Table(title="Audit", title_justify="left", header_style="bold")
    table.add_column("checked")
    table.add_column("count", justify="right")
    for name, count in report.counts:
        table.add_row(name.replace("_", " "), f"{count:,}")
    console.print(table)
    for failure in report.failures[:SHOWN_FAILURES]:
        console.print(f"[red]✗[/] {failure}", soft_wrap=True)
    if len(report.failures) > SHOWN_FAILURES:
        console.print(f"… and {len(report.failures) - SHOWN_FAILURES} more")
    for blob in report.withheld[:SHOWN_FAILURES]:
        console.print(f"[yellow]?[/] {blob}", soft_wrap=True)
    verdict = "[bold green]✓ passed[/]" if report.passed else "[bold red]✗ failed[/]"
    console.print(f"{verdict}: {report.height} blocks, report digest {report.digest}", soft_wrap=True)


def with_audit(summary: RunSummary, report: AuditReport, audit_ms: int, total_ms: int) -> RunSummary:
    """Return the summary with the audit's part and the times."""
    from bfl_fabric.audit.summary import audit_summary

    ledger = dataclasses.replace(summary.ledger, height=report.height, tip_digest=report.tip_digest)
    audited = audit_summary(report, audit_ms)
    return dataclasses.replace(summary, audit=audited, ledger=ledger, milliseconds=total_ms)


def write_report(place: Path, summary: RunSummary) -> Path:
    """Write the summary and the report that shows it; return where the report is."""
    from bfl_fabric.audit.report import write_report as write
    from bfl_fabric.audit.summary import text

    (place / SUMMARY).write_text(text(summary), "utf-8")
    path = place / REPORT
    write(summary, path)
    return path


def print_audit_json(report: AuditReport) -> None:
    """Print the report as one JSON document."""
    print_json(report.to_json())
