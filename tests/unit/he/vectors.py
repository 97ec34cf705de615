"""Reads tests/vectors/he: well-formed messages and the edits that make them refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bfl_fabric.he.gate import KeyName
from bfl_fabric.he.wire import DirectionTerms, Header, Kind
from tests.unit.he.samples import PARAMETERS, body

FOLDER = Path(__file__).parents[2] / "vectors" / "he"


def rows(stem: str, key: str) -> list[dict[str, Any]]:
    content = json.loads((FOLDER / f"{stem}.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = content[key]
    return found


MESSAGES = {row["title"]: row for row in rows("messages", "messages")}
REFUSED = {row["title"]: row for row in rows("refused", "refused")}


def kind_of(title: str) -> Kind:
    return Kind[MESSAGES[title]["fields"]["kind"]]


def header_of(title: str) -> Header:
    """Return the header that a row's fields describe."""
    fields = dict(MESSAGES[title]["fields"])
    direction = DirectionTerms(
        fields.pop("divisor"),
        fields.pop("energy"),
        fields.pop("overlap"),
        bytes.fromhex(fields.pop("direction_digest")),
    )
    fields["kind"], fields["subject"] = Kind[fields["kind"]], bytes.fromhex(fields["subject"])
    return Header(parameters_digest=PARAMETERS.digest, direction=direction, **fields)


def message_of(title: str) -> bytes:
    """Return the whole message of a row: its header's bytes as written there, its body from the formula."""
    row = MESSAGES[title]
    formula = row["body"]
    tail = body(kind_of(title), formula["start"], formula["stride"], row["fields"]["parameter_count"])
    return bytes.fromhex(row["header"]) + tail


def key_of(title: str) -> KeyName:
    """Return the key that an update's row names."""
    fields = header_of(title)
    return KeyName(fields.epoch, fields.subject.hex())


def refused(title: str) -> tuple[bytes, Kind, str]:
    """Return an edited message, the kind that its reader expects, and words of the refusal."""
    row = REFUSED[title]
    data = message_of(row["base"])
    for edit in row["edits"]:
        data = _edited(data, edit)
    return data, _expected_kind(row), row["refusal"]


def _edited(data: bytes, edit: dict[str, Any]) -> bytes:
    times = edit.get("times", 1)
    if "at" in edit:
        patch = bytes.fromhex(edit["hex"]) * times
        return data[: edit["at"]] + patch + data[edit["at"] + len(patch) :]
    if "truncate" in edit:
        return data[: edit["truncate"]]
    if "drop" in edit:
        return data[: -edit["drop"]]
    if "append" in edit:
        return data + bytes.fromhex(edit["append"]) * times
    return bytes.fromhex(edit["prepend"]) + data


def _expected_kind(row: dict[str, Any]) -> Kind:
    return kind_of(row["base"])
