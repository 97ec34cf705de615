"""What a check-up says about one thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` says what to do when it is not in order."""

    what: str
    ok: bool
    found: str
    advice: str = ""
