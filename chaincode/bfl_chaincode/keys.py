"""Where each record lies in the world state: its composite key, one per writer.

Decides object types and the order of their attributes, as data; reading and writing is the world state's.
Numbers are written with eight digits so that ranges come in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from bfl_chaincode.api import records

Part: TypeAlias = str | int
Key: TypeAlias = tuple[str, tuple[str, ...]]

DIGITS = 8

# kind of record -> object type, fields that name it
LAYOUT: dict[type, tuple[str, tuple[str, ...]]] = {
    records.Federation: ("federation", ()),
    records.Organization: ("organization", ("msp_id",)),
    records.Participant: ("participant", ("participant_id",)),
    records.Node: ("node", ("msp_id", "role", "node_id")),
    records.Task: ("task", ("spec.task_id",)),
    records.Progress: ("progress", ("task_id",)),
    records.Registration: ("registration", ("task_id", "participant_id")),
    records.KeyEpoch: ("epoch", ("task_id", "epoch")),
    records.Ceremony: ("ceremony", ("task_id", "epoch")),
    records.KeyCommitment: ("keycommitment", ("task_id", "epoch", "msp_id")),
    records.KeyReveal: ("keyreveal", ("task_id", "epoch", "msp_id")),
    records.KeyConfirmation: ("keyconfirmation", ("task_id", "epoch", "msp_id")),
    records.KeyComplaint: ("keycomplaint", ("task_id", "epoch", "msp_id", "against")),
    records.KeyGrant: ("keygrant", ("task_id", "epoch", "participant_id")),
    records.Round: ("round", ("task_id", "number")),
    records.UpdateCommitment: ("update", ("task_id", "round", "participant_id")),
    records.Receipt: ("receipt", ("task_id", "round", "participant_id", "msp_id")),
    records.Attestation: ("attestation", ("task_id", "round", "msp_id")),
    records.ScoreSheet: ("scores", ("task_id", "round")),
    records.ShareOffer: ("offer", ("task_id", "round", "attempt", "msp_id")),
    records.Opening: ("opening", ("task_id", "round", "attempt")),
    records.DecryptionShare: ("share", ("task_id", "round", "attempt", "subject", "msp_id")),
    records.Blame: ("blame", ("task_id", "round", "attempt", "msp_id", "against")),
    records.ModelRecord: ("model", ("task_id", "round")),
    records.Settlement: ("settlement", ("task_id", "round")),
    records.Reputation: ("reputation", ("task_id", "participant_id")),
    records.Entry: ("entry", ("account", "transaction_id", "line")),
    records.Upgrade: ("upgrade", ("sequence", "version")),
    records.Evaluation: ("evaluation", ("task_id", "auditor_id", "report_digest")),
}

# index without a record: one key for each digest of an update, or of its mask part, that a task has seen
DIGEST_INDEX = "digest"


def key(kind: type, parts: Sequence[Part]) -> Key:
    """Return the key, or the key prefix, of the records of `kind` that these first parts name."""
    return LAYOUT[kind][0], tuple(_text(part) for part in parts)


def key_of(record: object) -> Key:
    """Return the key of this record."""
    return key(type(record), [_field(record, path) for path in LAYOUT[type(record)][1]])


def _field(record: object, path: str) -> Part:
    value = record
    for name in path.split("."):
        value = getattr(value, name)
    assert isinstance(value, str | int)
    return value


def _text(part: Part) -> str:
    return f"{part:0{DIGITS}d}" if isinstance(part, int) else str(part)
