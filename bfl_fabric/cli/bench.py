"""`bfl bench`: measure, side by side with what it must beat."""

from __future__ import annotations


def bench() -> None:
    """Measure."""
