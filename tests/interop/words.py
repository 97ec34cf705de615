"""What a foreign client is asked to call on a contract, and what must come back.

The same steps for every contract that can take them; only functions and arguments differ.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

REFUSAL = "BFL-501: not now"


@dataclass(frozen=True)
class Words:
    """Calls in a contract's own words. `events` are (name, payload) of the three event transactions."""

    calls: dict[str, Any]
    submitted: str
    evaluated: str
    events: tuple[tuple[str, str], ...]


def _call(name: str, *arguments: str) -> dict[str, Any]:
    return {"name": name, "arguments": list(arguments)}


def _tiny(*steps: list[str]) -> dict[str, Any]:
    return _call("test:Run", json.dumps({"steps": steps}))


PROBE = Words(
    calls={
        "submit": _call("put", "interop", "vålue"),
        "evaluate": _call("get", "interop"),
        "refused": _call("fail", REFUSAL),
        "conflict": _call("append", "interop conflict", "x"),
        "events": [_call("event", f"name{number}", f"payload{number}") for number in range(3)],
    },
    submitted="",
    evaluated="vålue",
    events=tuple((f"name{number}", f"payload{number}") for number in range(3)),
)
"""The probe contract of the conformance suite."""

_TINY_EVENT = (
    "test:Run",
    '{"v": 1, "contract": "test", "transaction": "Run", "task": "t", "round": 0, "refs": []}',
)

TINY = Words(
    calls={
        "submit": _tiny(["put", "interop", "vålue"]),
        "evaluate": _tiny(["get", "interop"]),
        "refused": _tiny(["fail", REFUSAL]),
        "conflict": _tiny(["get", "interop conflict"], ["put", "interop conflict", "x"]),
        "events": [_tiny(["put", "interop event", str(number)]) for number in range(3)],
    },
    submitted="[]",
    evaluated=r'["v\u00e5lue"]',
    events=(_TINY_EVENT,) * 3,
)
"""The tiny chaincode of the tests with real peers."""
