"""The benchmark's tables and its JSON.

Decides the columns and that every ratio is TenSEAL's symmetric mode, measured in the same turns, divided by the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bfl_fabric.cli.bench import Figures as Table
from tests.benchmarks.he.competitors import BASELINE
from tests.benchmarks.he.measure import Figures

HEADINGS = (
    "parameters",
    "scheme",
    "B/param",
    "×",
    "client ms",
    "×",
    "server ms",
    "×",
    "open ms",
    "×",
    "error of the sum",
    "of the mean",
    "exact",
)
_WORDS = {True: "yes", False: "NO", None: "rounds"}


def tables(measured: Sequence[Figures]) -> list[Table]:
    """Return the comparison and a table of what each row's figures are made of."""
    base = {figures.count: figures for figures in measured if figures.word == BASELINE and not figures.absent}
    rows = tuple(_row(figures, base.get(figures.count)) for figures in measured)
    notes = {figures.scheme: (figures.parameters, _note(figures)) for figures in measured}
    return [
        Table(
            "Encrypted aggregation of ten clients; × is TenSEAL's symmetric mode divided by the row",
            HEADINGS,
            rows,
        ),
        Table(
            "What the rows are",
            ("scheme", "set", "note"),
            tuple((name, *rest) for name, rest in notes.items()),
        ),
    ]


def document(measured: Sequence[Figures]) -> list[dict[str, Any]]:
    """Return everything measured, each turn's times included, for JSON."""
    return [
        {
            "scheme": figures.scheme,
            "word": figures.word,
            "set": figures.parameters,
            "parameters": figures.count,
            "absent": figures.absent,
            "note": figures.note,
            "upload_bytes": figures.upload_bytes,
            "bytes_per_parameter": figures.bytes_per_parameter,
            "client_ms": figures.client_ms,
            "server_ms": figures.server_ms,
            "open_ms": figures.open_ms,
            "sum_error": figures.sum_error,
            "mean_error": figures.mean_error,
            "exact": figures.exact,
        }
        for figures in measured
    ]


def _row(figures: Figures, base: Figures | None) -> tuple[str, ...]:
    start = (f"{figures.count:,}", figures.scheme)
    if figures.absent:
        return (*start, "not measured", *[""] * (len(HEADINGS) - 3))
    cells = [
        f"{figures.bytes_per_parameter:.2f}",
        _ratio(base.bytes_per_parameter if base else None, figures.bytes_per_parameter),
    ]
    of_base = base.medians() if base else (None, None, None)
    for milliseconds, reference in zip(figures.medians(), of_base, strict=True):
        cells += [f"{milliseconds:.1f}", _ratio(reference, milliseconds)]
    errors = (f"{figures.sum_error:.1e}", f"{figures.mean_error:.1e}")
    return (*start, *cells, *errors, _WORDS[figures.exact])


def _note(figures: Figures) -> str:
    return f"not measured: {figures.absent}" if figures.absent else figures.note


def _ratio(reference: float | None, own: float) -> str:
    if not reference:
        return "–"
    ratio = reference / own
    return f"{ratio:.1f}×" if ratio >= 0.1 else f"{ratio:.2f}×"
