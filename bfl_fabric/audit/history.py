"""The history of a ledger as typed records: who wrote what, when, in which transaction.

Decides which keys the contract's state may hold and what lies under them. A key or value that is not one of these
is a failure: state that no rule accounts for is never passed over. Whether the records make sense together is
left to the checks. It never forgets: records are in a spool, in memory is where they are and which transaction wrote
them. A check gets them one after the other, and keeps none.
"""

from __future__ import annotations

import functools
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from bfl_chaincode.api import records
from bfl_chaincode.api.canonical import Json, NotCanonical
from bfl_fabric.audit.findings import Check, Findings, Place
from bfl_fabric.audit.record_bytes import Fields, checked, decoded, record_of
from bfl_fabric.audit.transactions import Transaction, Transactions
from bfl_fabric.fabric.keys import Keys
from bfl_fabric.fabric.recent import Recent
from bfl_fabric.fabric.spool import Spool

T = TypeVar("T")

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

_REWRITTEN = frozenset(
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

_DELETED = frozenset({records.Registration})

_KINDS = tuple(kind for kind, _ in LAYOUT.values())
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_OBJECT_TYPES = {kind: object_type for object_type, (kind, _) in LAYOUT.items()}

Writes: TypeAlias = Sequence[tuple[str, bytes | None]]
"""What a transaction wrote: keys, and values or None for a deletion."""

Parts: TypeAlias = tuple[str, ...]


class Recorded(Generic[T]):
    """A record and the transaction that wrote it, number `order` of the ledger."""

    __slots__ = ("_transactions", "order", "value")

    def __init__(self, value: T, order: int, transactions: Transactions) -> None:
        self.value = value
        self.order = order
        self._transactions = transactions

    @property
    def transaction(self) -> Transaction:
        return self._transactions[self.order]

    @property
    def place(self) -> Place:
        return self.transaction.place


class Written(NamedTuple):
    """What a transaction wrote under one key, as JSON, and what stood there before, None for a new record."""

    kind: type
    fields: Fields
    before: Fields | None


class _Versions:
    """Every writing of a record, numbered as they came: bytes in a spool, the rest in arrays."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._places = array("Q")
        self._kinds = array("B")
        self.keys = array("I")
        self.orders = array("I")

    def __len__(self) -> int:
        return len(self._places)

    def append(self, kind: type, value: bytes, key: int, order: int) -> None:
        self._places.append(self._spool.put(value))
        self._kinds.append(_NUMBERS[kind])
        self.keys.append(key)
        self.orders.append(order)

    def kind(self, version: int) -> type:
        return _KINDS[self._kinds[version]]

    def fields(self, version: int) -> Fields:
        return decoded(self._spool.get(self._places[version]))


class History:
    """All records of a ledger with all their versions, and its transactions in order. Raises StorageFull."""

    def __init__(self) -> None:
        self.transactions = Transactions()
        self.digests = Digests()
        self._keys = Keys(Spool())
        self._versions = _Versions()
        self._first = array("I")
        self._later: dict[int, array[int]] = {}
        self._deletions: dict[int, list[int]] = {}
        self._written_from = array("I", [0])
        self._recent_keys: Recent[tuple[object, ...], int] = Recent()
        self._recent_records: Recent[int, Recorded[Any]] = Recent()

    def apply(self, transaction: Transaction, request: bytes, writes: Writes, findings: Findings) -> None:
        """Take in the next valid transaction, what it asked for in JSON, and what it wrote."""
        self.transactions.append(transaction, request)
        for key, value in writes:
            try:
                self._write(transaction.order, key, value)
            except NotCanonical as error:
                text = f"the key {_readable(key)} holds no record: {error}"
                findings.fail(Check.RECORDS, text, transaction.place)
        self._written_from.append(len(self._versions))
        findings.count(Check.RECORDS, len(writes))

    def current(self, kind: type[T], *prefix: str | int) -> Iterator[Recorded[T]]:
        """Yield the newest records of a kind whose keys begin with `prefix`, in key order."""
        return self.as_of(kind, len(self.transactions), *prefix)

    def find(self, kind: type[T], *parts: str | int) -> Recorded[T] | None:
        """Return the newest record under this key, None when there is none."""
        return self.find_as_of(kind, len(self.transactions), *parts)

    def as_of(self, kind: type[T], order: int, *prefix: str | int) -> Iterator[Recorded[T]]:
        """Yield what `current` would have yielded just before transaction number `order`."""
        for key in self._matching(kind, prefix):
            version = self._before(key, order)
            if version is not None:
                yield self._recorded(version)

    def find_as_of(self, kind: type[T], order: int, *parts: str | int) -> Recorded[T] | None:
        """Return what `find` would have returned just before transaction number `order`."""
        key = self._recent_keys.get((kind, parts))
        if key is None:
            key = self._keys.find(_key(kind, parts))
            if key is None:
                return None
            self._recent_keys.remember((kind, parts), key)
        version = self._before(key, order)
        return None if version is None else self._recorded(version)

    def versions(self, kind: type[T], *prefix: str | int) -> Iterator[Sequence[Recorded[T]]]:
        """Yield for each key that begins with `prefix` everything that was ever written there, oldest first."""
        for key in self._matching(kind, prefix):
            yield [self._recorded(version) for version in (self._first[key], *self._later.get(key, ()))]

    def request(self, transaction: Transaction) -> Json:
        """Return what a transaction asked for."""
        return self.transactions.request(transaction.order)

    def written(self, transaction: Transaction) -> Iterator[Written]:
        """Yield each record that a transaction wrote, in the order of its writes."""
        versions = self._versions
        for version in range(*self._written_from[transaction.order : transaction.order + 2]):
            before = self._before(versions.keys[version], transaction.order)
            fields_before = None if before is None else versions.fields(before)
            yield Written(versions.kind(version), versions.fields(version), fields_before)

    # --- reading --------------------------------------------------------------------------------

    def _before(self, key: int, order: int) -> int | None:
        """Return which version stood under a key just before transaction number `order`."""
        limit, found = self._written_from[order], self._first[key]
        if found >= limit:
            return None
        if key in self._later:
            later = self._later[key]
            place = bisect_left(later, limit)
            found = later[place - 1] if place else found
        if key in self._deletions:
            deletions = self._deletions[key]
            gone = bisect_left(deletions, order)
            if gone and deletions[gone - 1] > self._versions.orders[found]:
                return None
        return found

    def _recorded(self, version: int) -> Recorded[Any]:
        found = self._recent_records.get(version)
        if found is None:
            versions = self._versions
            record = record_of(versions.kind(version), versions.fields(version))
            recorded = Recorded(record, versions.orders[version], self.transactions)
            found = self._recent_records.remember(version, recorded)
        return found

    def _matching(self, kind: type, prefix: Sequence[str | int]) -> Iterator[int]:
        """Yield the keys that begin with these parts, in key order."""
        start = _key(kind, prefix)
        return (key for _, key in self._keys.between(start, start[:-1] + _AFTER_END))

    # --- writing --------------------------------------------------------------------------------

    def _write(self, order: int, key: str, value: bytes | None) -> None:
        object_type, parts = _split(key)
        if object_type == DIGEST_INDEX:
            self._index(order, parts, value)
            return
        kind, names = LAYOUT[object_type]
        if value is None:
            self._delete(kind, key.encode(), order)
            return
        fields = checked(kind, value)
        if parts != _parts([_field(fields, name) for name in names]):
            raise NotCanonical("the record under it belongs to another key")
        self._add_version(kind, key.encode(), value, order)

    def _add_version(self, kind: type, key: bytes, value: bytes, order: int) -> None:
        version, number = len(self._versions), self._keys.add(key)
        if number == len(self._first):
            self._first.append(version)
        elif kind in _REWRITTEN:
            self._later.setdefault(number, array("I")).append(version)
        else:
            raise NotCanonical(f"a {kind.__name__} is written once, and here a second time")
        self._versions.append(kind, value, number, order)

    def _delete(self, kind: type, key: bytes, order: int) -> None:
        if kind not in _DELETED:
            raise NotCanonical(f"a {kind.__name__} is never deleted, and here it is")
        number = self._keys.find(key)
        if number is not None:
            self._deletions.setdefault(number, []).append(order)

    def _index(self, order: int, parts: Parts, value: bytes | None) -> None:
        if len(parts) != 2 or value != PRESENT:
            raise NotCanonical("an index entry has two parts and the value 1, and is never deleted")
        if not self.digests.add(*parts, order):
            raise NotCanonical("the digest was committed a second time")


class Digests:
    """The digests that tasks note as committed, numbered as they came, and which transactions noted them."""

    def __init__(self) -> None:
        self._keys = Keys(Spool())
        self._orders = array("I")

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, task_id: str, digest: str, order: int) -> bool:
        """Note a digest; return False when it was noted before."""
        if self._keys.add(_joined(task_id, digest)) < len(self._orders):
            return False
        self._orders.append(order)
        return True

    def find(self, task_id: str, digest: str) -> int | None:
        """Return the number of a digest of a task, None when it was not noted."""
        return self._keys.find(_joined(task_id, digest))

    def order(self, number: int) -> int:
        """Return which transaction noted a digest."""
        return self._orders[number]

    def __getitem__(self, number: int) -> tuple[str, str]:
        """Return a digest's task and the digest itself."""
        task_id, digest = self._keys[number].decode().split("\0")
        return task_id, digest


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


def _split(key: str) -> tuple[str, Parts]:
    if not _is_composite(key):
        raise NotCanonical("it is not a composite key")
    object_type, *parts = key[1:-1].split("\0")
    if object_type not in LAYOUT and object_type != DIGEST_INDEX:
        raise NotCanonical(f"the contract keeps no records of type {object_type!r}")
    return object_type, tuple(parts)


def _is_composite(key: str) -> bool:
    return len(key) > 2 and key[0] == key[-1] == "\0"


def _readable(key: str) -> str:
    return repr(key.strip("\0").replace("\0", "~"))


def _key(kind: type, parts: Sequence[str | int]) -> bytes:
    """Return the key of a record with these parts; one that no key equals where a part is none."""
    texts = _parts(parts)
    key = "\0".join(("", _OBJECT_TYPES[kind], *texts, "")).encode("utf-8", "surrogatepass")
    return key if key.count(0) == len(texts) + 2 else _NO_KEY


_NO_KEY = b"\0\0"
_AFTER_END = b"\1"
"""In place of a key's last byte it makes the end of what begins with the key: a part holds no zero byte."""


def _joined(task_id: str, digest: str) -> bytes:
    return f"{task_id}\0{digest}".encode("utf-8", "surrogatepass")


def _field(fields: Fields, path: str) -> Any:
    found: Any = fields
    for name in path.split(".") if "." in path else (path,):
        found = found[name]
    return found


def _parts(parts: Sequence[str | int]) -> Parts:
    return tuple([part if type(part) is str else _part(part) for part in parts])


def _part(part: str | int) -> str:
    return f"{part:0{DIGITS}d}" if isinstance(part, int) else str(part)
