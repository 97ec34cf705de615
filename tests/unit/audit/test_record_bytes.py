"""Records in their one canonical form, and nothing else, are taken; plain kinds are no exception."""

from __future__ import annotations

import json

import pytest

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json, NotCanonical
from bfl_chaincode.api.records import Receipt, Registration, Round, UpdateCommitment, from_json, to_json
from bfl_fabric.audit.layout import LAYOUT, key_of
from bfl_fabric.audit.record_bytes import checked, decoded, record_of

UPDATE = UpdateCommitment("t", 1, "silo", "Alpha", "aa", 10, 5, 99, "tx")
MASKED = UpdateCommitment("t", 1, "silo", "Alpha", "aa", 10, 5, 99, "tx", mask_digest="bb", mask_bytes=3)
RECEIPT = Receipt(task_id="t", round=1, participant_id="silo", msp_id="Alpha", digest="é", acknowledged_at=9)


def changed(**fields: Json) -> bytes:
    return json.dumps(
        {**to_json(RECEIPT), **fields}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


@pytest.mark.parametrize("record", [UPDATE, MASKED, RECEIPT])
def test_a_canonical_record_is_taken_and_comes_back(record: object) -> None:
    value = canonical.dump(to_json(record))
    assert checked(type(record), value) == decoded(value) == to_json(record)
    assert record_of(type(record), decoded(value)) == record


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"5",
        b"[]",
        b"null",
        b'"text"',
        b"\xff",
        b"{",
        b"{}",
        b"[" * 3000,
        canonical.dump(to_json(RECEIPT)) + b" ",
        b" " + canonical.dump(to_json(RECEIPT)),
        canonical.dump(to_json(RECEIPT)).replace(b",", b", ", 1),
        json.dumps(to_json(RECEIPT), sort_keys=True, separators=(",", ":")).encode(),
        json.dumps(dict(reversed(to_json(RECEIPT).items())), separators=(",", ":")).encode(),
        canonical.dump(to_json(RECEIPT)).replace(b'"round":1', b'"round":1,"round":1'),
        changed(round=True),
        changed(round="1"),
        changed(round=1 << 63),
        changed(round=None),
        changed(digest=1),
        changed(more=1),
        canonical.dump({name: value for name, value in to_json(RECEIPT).items() if name != "digest"}),
        changed(digest="\\ud800").replace(b"\\\\", b"\\"),
    ],
)
def test_any_other_bytes_are_no_record(value: bytes) -> None:
    with pytest.raises(NotCanonical):
        checked(Receipt, value)


def test_a_field_that_is_left_out_while_it_has_its_default_must_be() -> None:
    value = canonical.dump({**to_json(UPDATE), "mask_digest": "", "mask_bytes": 0})
    assert from_json(UpdateCommitment, canonical.parse(value)) == UPDATE
    with pytest.raises(NotCanonical, match="canonical form"):
        checked(UpdateCommitment, value)


def test_a_field_with_a_default_that_is_always_written_must_be_there() -> None:
    whole = Round("t", 1, from_json(Round, _round()).phase, 1, (), (), "", "", 1, 2)
    without = {name: value for name, value in to_json(whole).items() if name != "reason"}
    with pytest.raises(NotCanonical, match="canonical form"):
        checked(Round, canonical.dump(without))


def _round() -> Json:
    fields: dict[str, Json] = dict.fromkeys(("task_id", "base_model_digest", "direction_digest"), "t")
    fields |= dict.fromkeys(("number", "epoch", "opened_at", "deadline_at"), 1)
    return {**fields, "phase": "COLLECTING", "cohort": [], "holders": []}


def test_a_part_with_a_zero_byte_is_in_no_key() -> None:
    """Else it could pass for two parts, and a record be found that belongs to somebody else."""
    assert key_of(Registration, ("t", "silo")) == b"\0registration\0t\0silo\0"
    assert key_of(Registration, ("t\0silo",)) != key_of(Registration, ("t", "silo"))
    assert key_of(Receipt, ("t\x0000000001",)) != key_of(Receipt, ("t", 1))


def test_every_kind_has_one_object_type() -> None:
    kinds = [kind for kind, _ in LAYOUT.values()]
    assert len(set(kinds)) == len(kinds)
