"""Whether what was written is what its sender asked for, signed, and dated.

Decides field by field: what a request says stands in the record under the same name, moments are the transaction's,
and a record that is replaced keeps everything that its transaction has no business with. All of that is in hand while a
transaction is read, so that it is checked then.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    Ceremony,
    DecryptionShare,
    Entry,
    KeyEpoch,
    Organization,
    Participant,
    Receipt,
    Registration,
    Round,
    ScoreSheet,
    Task,
    UpdateCommitment,
)
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import Written
from bfl_fabric.audit.record_bytes import Fields
from bfl_fabric.audit.transactions import Transaction

Request: TypeAlias = Mapping[str, Json]


ELSEWHERE = frozenset({(Round, "direction_digest"), (Entry, "amount"), (ScoreSheet, "scores")})
"""Request fields that mean something else in this kind of record; other checks know what."""

UNDATED = frozenset({"deadline_at", "expires_at"})

LISTED: Mapping[tuple[str, type], tuple[str, str]] = {
    ("federation:Found", Organization): ("organizations", "msp_id"),
    ("round:AcknowledgeUploads", Receipt): ("uploads", "participant_id"),
    ("opening:PostShares", DecryptionShare): ("shares", "subject"),
}
"""Where a request lists what several records are made of, and by which field one is found there."""

OPTIONAL: Mapping[type, tuple[str, ...]] = {
    UpdateCommitment: ("mask_digest", "mask_bytes"),
    Registration: ("transport_key",),
}
"""Request fields that may be left out; then the record has its default."""

CHANGED: Mapping[str, tuple[type, frozenset[str]]] = {
    "federation:SuspendOrganization": (Organization, frozenset({"active"})),
    "federation:Leave": (Participant, frozenset({"active"})),
    "task:Publish": (Task, frozenset({"status", "changed_at"})),
    "task:Start": (Task, frozenset({"status", "changed_at"})),
    "task:Close": (Task, frozenset({"status", "changed_at"})),
    "task:Abandon": (Task, frozenset({"status", "changed_at", "reason"})),
    "key:RetireEpoch": (KeyEpoch, frozenset({"retired_at", "reason"})),
    "key:CloseCeremony": (
        Ceremony,
        frozenset({"status", "joint_key_digest", "excluded", "changed_at", "reason"}),
    ),
}
"""What a transaction changes in a record that it replaces; rounds have a table of their own in `phases`."""

_MEMBERS = (Organization, Participant)

ACTIVE: Mapping[str, bool] = {
    "federation:Found": True,
    "federation:AdmitOrganization": True,
    "federation:SuspendOrganization": False,
    "federation:EnrolParticipant": True,
    "federation:Leave": False,
}


def check_request(
    transaction: Transaction, asked: Json, written: Iterable[Written], findings: Findings
) -> None:
    """Hold every record that a transaction wrote against its request, its moment and the record before."""
    findings.count(Check.REQUESTS)
    request = asked if isinstance(asked, dict) else {}
    for one in written:
        for problem in _problems(transaction, request, one):
            text = f"{transaction.name} wrote a {one.kind.__name__} whose {problem}"
            findings.fail(Check.REQUESTS, text, transaction.place)


def _problems(transaction: Transaction, request: Request, written: Written) -> list[str]:
    kind = written.kind
    record = _whole(kind, written.fields)
    before = None if written.before is None else _whole(kind, written.before)
    return [
        *_not_as_asked(transaction, request, kind, record),
        *_not_asked_for(request, written),
        *_not_as_dated(transaction, record, before or {}),
        *_not_as_before(transaction, kind, record, before),
        *_not_as_named(transaction, kind, record),
    ]


def _whole(kind: type, stated: Fields) -> Fields:
    """Return every field of a record, those too that its canonical form leaves out."""
    return {**_left_out(kind), **stated}


def _not_as_asked(transaction: Transaction, request: Request, kind: type, record: Fields) -> list[str]:
    if (transaction.name, kind) in LISTED:
        request = _listed(request, record, *LISTED[transaction.name, kind])
    problems = [
        f"{name} is not the one that was asked for"
        for name, asked in request.items()
        if name in record and record[name] != asked and (kind, name) not in ELSEWHERE
    ]
    if kind is ScoreSheet and _sorted(request.get("scores")) != record["scores"]:
        problems.append("scores are not those that were sent")
    return problems


def _not_asked_for(request: Request, written: Written) -> list[str]:
    return [
        f"{name} was not asked for"
        for name in OPTIONAL.get(written.kind, ())
        if name in written.fields and name not in request
    ]


def _listed(request: Request, record: Fields, name: str, by: str) -> Request:
    """Return the request as far as it is about this record of several."""
    listed = request.get(name)
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get(by) == record[by]:
            return {**request, **one}
    return {**request, by: None}


def _sorted(scores: Json) -> Json:
    listed = scores if isinstance(scores, list) else []
    return sorted(listed, key=lambda one: str(one.get("participant_id")) if isinstance(one, dict) else "")


def _not_as_dated(transaction: Transaction, record: Fields, before: Fields) -> list[str]:
    """Values that are not the transaction's moment were there before; what is no moment yet is 0."""
    return [
        f"{name} is neither the transaction's moment nor kept from before"
        for name in _moments(tuple(record))
        if record[name] not in (transaction.at, before.get(name, 0))
    ]


@functools.lru_cache(maxsize=256)
def _moments(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name.endswith("_at") and name not in UNDATED)


def _not_as_before(transaction: Transaction, kind: type, record: Fields, before: Fields | None) -> list[str]:
    replaced, changed = CHANGED.get(transaction.name, (None, frozenset()))
    if before is None or kind is not replaced:
        return []
    return [
        f"{name} was changed with it"
        for name, value in record.items()
        if name not in changed and value != before[name]
    ]


@functools.lru_cache(maxsize=256)
def _left_out(kind: Any) -> Mapping[str, Json]:
    """Return the fields that a record's canonical form may leave out, with what they are then."""
    return {
        field.name: [] if field.default == () else field.default
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING
    }


def _not_as_named(transaction: Transaction, kind: type, record: Fields) -> list[str]:
    """What follows from the name of the transaction alone."""
    problems = []
    if kind in _MEMBERS and record["active"] is not ACTIVE.get(transaction.name):
        problems.append("activity is not what its transaction makes of it")
    if kind is Participant and record["msp_id"] != transaction.msp_id:
        problems.append("organization is not its sender's")
    if kind is Task and transaction.name == "task:Create" and record["reason"]:
        problems.append("reason stands before there is one")
    return problems
