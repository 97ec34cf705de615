"""The pinned vectors of the lattice schemes' bytes. Rows may be added, never changed.

Numbers of a long row follow a formula: number i is (start + i·stride) modulo its prime, i counted over the whole row.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from bfl_fabric.he.lattice.messages import Expansion, Header, Kind, Member
from bfl_fabric.he.lattice.parameters import LatticeParameters, parameters_named
from bfl_fabric.he.lattice.ring import Residues

FOLDER = Path(__file__).parents[3] / "vectors" / "he" / "lattice"
_BYTES = ("seed", "subject", "digest")


def rows_of(name: str, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table in a file."""
    rows: list[dict[str, Any]] = json.loads((FOLDER / name).read_text(encoding="utf-8"))[table]
    return rows


def by_title(name: str, table: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a table by their titles, which are unique."""
    rows = rows_of(name, table)
    titles = {row["title"]: row for row in rows}
    assert len(titles) == len(rows)
    return titles


MESSAGES = by_title("messages.json", "messages")
REFUSED = by_title("messages.json", "refused")


def formula_row(prime: int, count: int, start: int, stride: int) -> Residues:
    """Return the numbers of a long row, uint64[count]."""
    return np.array([(start + index * stride) % prime for index in range(count)], dtype=np.uint64)


def header_of(fields: dict[str, Any]) -> Header:
    """Return the header with these fields; what is left out is zero or empty."""
    return Header(Kind[fields["kind"]], **_typed({**fields, "kind": None}))


def member_of(fields: dict[str, Any]) -> Member:
    """Return the row of a table of members with these fields."""
    return Member(**_typed(fields))


def message_of(title: str) -> bytes:
    """Return a whole message, byte by byte as it stands in its row."""
    row = MESSAGES[title]
    return b"".join(bytes.fromhex(row[part]) for part in ("header", "table", "polynomials"))


def parameters_of(title: str) -> LatticeParameters:
    """Return the parameters of a message."""
    return parameters_named(MESSAGES[title]["fields"]["parameters_digest"])


def refused(title: str) -> tuple[bytes, LatticeParameters, Kind, str]:
    """Return an edited message, what its reader expects, and words of the refusal."""
    row = REFUSED[title]
    data = message_of(row["base"])
    for edit in row["edits"]:
        data = edited(data, edit)
    kind = Kind[row.get("expected", MESSAGES[row["base"]]["fields"]["kind"])]
    return data, parameters_of(row["base"]), kind, row["refusal"]


def edited(data: bytes, edit: dict[str, Any]) -> bytes:
    """Return a message after one edit of a row."""
    if "at" in edit:
        patch, start = bytes.fromhex(edit["hex"]) * int(edit.get("times", 1)), int(edit["at"])
        return data[:start] + patch + data[start + len(patch) :]
    if "swap" in edit:
        first, second, size = (int(number) for number in edit["swap"])
        one, other = data[first : first + size], data[second : second + size]
        return data[:first] + other + data[first + size : second] + one + data[second + size :]
    if "truncate" in edit:
        return data[: int(edit["truncate"])]
    if "drop" in edit:
        return data[: -int(edit["drop"])]
    return data + bytes.fromhex(edit["append"])


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    typed: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _BYTES:
            typed[name] = bytes.fromhex(value)
        elif name == "expansion":
            typed[name] = Expansion[value]
        elif value is not None:
            typed[name] = value
    return typed
