"""Coded refusals: `BFL-nnn: text`, the number stable for ever, the text for people.

A refusal crosses the network as text only, so `parse_code` is the one place that reads it back.
Families: 1xx the request's form, 2xx the caller, 3xx something missing or already there, 4xx phase and time,
5xx the rules of a round, 6xx accounts and payouts, 9xx faults of the contract itself.
"""

from __future__ import annotations

import re

_CODED = re.compile(r"BFL-(\d{3}): (.*)", re.DOTALL)


class Refusal(Exception):
    """A rule says no. `code` is the number, the message what was found and what to do."""

    code: int = 900

    def __str__(self) -> str:
        return f"BFL-{self.code}: {super().__str__()}"


def parse_code(message: str) -> tuple[int, str] | None:
    """Return (code, text) of the first coded refusal in `message`, None when there is none."""
    found = _CODED.search(message)
    return (int(found.group(1)), found.group(2).strip()) if found else None
