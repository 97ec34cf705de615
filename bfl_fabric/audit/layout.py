"""The keys of the contract's state: which there may be, and what lies under them.

Decides that a key is composite, of a known type, and the one that the record under it asks for. Everything else is
state that no rule accounts for. Which records there are, and when, is left to `history`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from operator import getitem, itemgetter
from typing import Any, TypeAlias

from bfl_chaincode.api import records
from bfl_chaincode.api.canonical import NotCanonical
from bfl_fabric.audit.record_bytes import Fields

DIGITS = 8
PRESENT = b"\x01"
DIGEST_INDEX = "digest"

LAYOUT: Mapping[str, tuple[type, tuple[str, ...]]] = {
    "federation": (records.Federation, ()),
    "organization": (records.Organization, ("msp_id",)),
    "participant": (records.Participant, ("participant_id",)),
    "node": (records.Node, ("msp_id", "role", "node_id")),
    "task": (records.Task, ("spec.task_id",)),
    "progress": (records.Progress, ("task_id",)),
    "registration": (records.Registration, ("task_id", "participant_id")),
    "epoch": (records.KeyEpoch, ("task_id", "epoch")),
    "ceremony": (records.Ceremony, ("task_id", "epoch")),
    "keycommitment": (records.KeyCommitment, ("task_id", "epoch", "msp_id")),
    "keyreveal": (records.KeyReveal, ("task_id", "epoch", "msp_id")),
    "keyconfirmation": (records.KeyConfirmation, ("task_id", "epoch", "msp_id")),
    "keycomplaint": (records.KeyComplaint, ("task_id", "epoch", "msp_id", "against")),
    "keygrant": (records.KeyGrant, ("task_id", "epoch", "participant_id")),
    "round": (records.Round, ("task_id", "number")),
    "update": (records.UpdateCommitment, ("task_id", "round", "participant_id")),
    "receipt": (records.Receipt, ("task_id", "round", "participant_id", "msp_id")),
    "attestation": (records.Attestation, ("task_id", "round", "msp_id")),
    "scores": (records.ScoreSheet, ("task_id", "round")),
    "offer": (records.ShareOffer, ("task_id", "round", "attempt", "msp_id")),
    "opening": (records.Opening, ("task_id", "round", "attempt")),
    "share": (records.DecryptionShare, ("task_id", "round", "attempt", "subject", "msp_id")),
    "blame": (records.Blame, ("task_id", "round", "attempt", "msp_id", "against")),
    "model": (records.ModelRecord, ("task_id", "round")),
    "settlement": (records.Settlement, ("task_id", "round")),
    "reputation": (records.Reputation, ("task_id", "participant_id")),
    "entry": (records.Entry, ("account", "transaction_id", "line")),
    "upgrade": (records.Upgrade, ("sequence", "version")),
    "evaluation": (records.Evaluation, ("task_id", "auditor_id", "report_digest")),
}

REWRITTEN = frozenset(
    {
        records.Organization,
        records.Participant,
        records.Node,
        records.Task,
        records.Progress,
        records.Registration,
        records.KeyEpoch,
        records.Ceremony,
        records.Round,
        records.Reputation,
        records.Upgrade,
    }
)
"""Records that change in the course of things; all others are written once."""

DELETED = frozenset({records.Registration})

_OBJECT_TYPES = {kind: object_type for object_type, (kind, _) in LAYOUT.items()}

Writes: TypeAlias = Sequence[tuple[str, bytes | None]]
"""What a transaction wrote: keys, and values or None for a deletion."""

Parts: TypeAlias = tuple[str, ...]


def types_of(writes: Writes) -> frozenset[str]:
    """Return the object types of the keys that were written, "" among them for one that is no composite key."""
    return _one_of_each(frozenset([type_of(key) for key, _ in writes]))


@functools.lru_cache(maxsize=256)
def _one_of_each(types: frozenset[str]) -> frozenset[str]:
    return types


def type_of(key: str) -> str:
    """Return the object type of a composite key, "" when it is none."""
    object_type = key[1 : key.find("\0", 1)] if _is_composite(key) else ""
    return object_type if object_type in LAYOUT or object_type == DIGEST_INDEX else ""


def split(key: str) -> tuple[str, Parts]:
    """Return the object type of a key and its parts. Raises NotCanonical for a key that is none of the contract's."""
    if not _is_composite(key):
        raise NotCanonical("it is not a composite key")
    object_type, *parts = key[1:-1].split("\0")
    if object_type not in LAYOUT and object_type != DIGEST_INDEX:
        raise NotCanonical(f"the contract keeps no records of type {object_type!r}")
    return object_type, tuple(parts)


def _is_composite(key: str) -> bool:
    return len(key) > 2 and key[0] == key[-1] == "\0"


def readable(key: str) -> str:
    """Return a key as messages show it."""
    return repr(key.strip("\0").replace("\0", "~"))


def key_of(kind: type, parts: Sequence[str | int]) -> bytes:
    """Return the key of a record with these parts; one that no key equals where a part is none."""
    texts = _texts(parts)
    key = "\0".join(("", _OBJECT_TYPES[kind], *texts, "")).encode("utf-8", "surrogatepass")
    return key if key.count(0) == len(texts) + 2 else _NO_KEY


def end_of(start: bytes) -> bytes:
    """Return what comes in byte order right after all keys that begin with this one: a part holds no zero byte."""
    return start[:-1] + b"\1"


def parts_of(object_type: str, fields: Fields) -> Parts:
    """Return the parts that the key of a record must have."""
    return _texts(_READERS[object_type](fields))


def _reader(names: tuple[str, ...]) -> Callable[[Fields], Sequence[Any]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda fields: [_field(fields, name) for name in names]


def _field(fields: Any, path: str) -> Any:
    return functools.reduce(getitem, path.split("."), fields)


_READERS = {object_type: _reader(names) for object_type, (_, names) in LAYOUT.items()}
_NO_KEY = b"\0\0"


def _texts(parts: Sequence[str | int]) -> Parts:
    return tuple([part if type(part) is str else _text(part) for part in parts])


def _text(part: str | int) -> str:
    return f"{part:0{DIGITS}d}" if isinstance(part, int) else str(part)
