"""How results reach people and programs: a table for the one, canonical JSON (`--json`) for the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import PPB

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def print_json(value: Any) -> None:
    """Print canonical JSON and nothing else."""
    print(canonical.text(value))


def print_rows(
    title: str, rows: Sequence[Mapping[str, Any]], as_json: bool, numbers: Sequence[str] = ()
) -> None:
    """Print records as a table, their keys as headings, or as a JSON list. `numbers` are aligned right."""
    if as_json:
        print_json([dict(row) for row in rows])
        return
    if not rows:
        console.print(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for heading in rows[0]:
        table.add_column(
            heading.replace("_", " "), justify="right" if heading in numbers else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(shown(value) for value in row.values()))
    console.print(table)


def print_record(title: str, record: Mapping[str, Any], as_json: bool) -> None:
    """Print one record, a line per field, or as JSON."""
    if as_json:
        print_json(dict(record))
        return
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in record.items():
        table.add_row(name.replace("_", " "), shown(value))
    console.print(table)


def shown(value: Any) -> str:
    """Return the text of a cell."""
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    if isinstance(value, Mapping):
        return canonical.text(dict(value))
    return "–" if value is None or value == "" else str(value)


def percent(ppb: int) -> str:
    """Return a ratio in parts per billion as a percentage with one decimal."""
    return f"{ppb * 100 / PPB:.1f} %"


def size(count: float) -> str:
    """Return a byte count for people, binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def short(digest: str) -> str:
    """Return the first characters of a digest, for tables."""
    return digest[:12] if digest else "–"
