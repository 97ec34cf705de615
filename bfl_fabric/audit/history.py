"""The history of a ledger as typed records: who wrote what, when, in which transaction.

Decides which keys the contract's state may hold and what lies under them. A key or value that is not one of these
is a failure: state that no rule accounts for is never passed over. Whether the records make sense together is
left to the checks. It never forgets: records are in memory, where equal texts are kept once, and requests in a spool.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast

from bfl_chaincode.api import canonical, records
from bfl_chaincode.api.canonical import Json, NotCanonical
from bfl_fabric.audit.findings import Check, Findings, Place
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

_READERS = {
    object_type: (kind, tuple(map(attrgetter, fields))) for object_type, (kind, fields) in LAYOUT.items()
}


Writes: TypeAlias = Sequence[tuple[str, bytes | None]]
"""What a transaction wrote: keys, and values or None for a deletion."""


class Sender(NamedTuple):
    """What the checks ask of the certificate that signed a transaction."""

    msp_id: str
    common_name: str
    ou: str
    role: str


class Transaction(NamedTuple):
    """A valid transaction of the contract: the `order`-th of the ledger, sent by the holder of a certificate.

    `name` is `contract:Name`, `at` its moment; its one argument, the request, is kept by the history. `types` are the
    object types of the keys that it wrote, "" among them for a key that is none of the contract's.
    """

    order: int
    transaction_id: str
    block: int
    name: str
    at: int
    sender: Sender
    types: frozenset[str]

    @property
    def msp_id(self) -> str:
        return self.sender.msp_id

    @property
    def common_name(self) -> str:
        return self.sender.common_name

    @property
    def ou(self) -> str:
        return self.sender.ou

    @property
    def role(self) -> str:
        return self.sender.role

    @property
    def place(self) -> Place:
        return Place(self.block, self.transaction_id)


class Recorded(NamedTuple, Generic[T]):
    """A record and the transaction that wrote it."""

    value: T
    transaction: Transaction

    @property
    def place(self) -> Place:
        return self.transaction.place

    @property
    def order(self) -> int:
        return self.transaction.order


Parts: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class _Key:
    """Everything that ever happened under one key, most often one writing."""

    first: Recorded[Any]
    later: list[Recorded[Any]] | None = None
    deletions: tuple[int, ...] = ()

    @property
    def versions(self) -> Sequence[Recorded[Any]]:
        return (self.first, *self.later) if self.later else (self.first,)

    def append(self, version: Recorded[Any]) -> None:
        if self.later is None:
            self.later = []
        self.later.append(version)

    def before(self, order: int) -> Recorded[Any] | None:
        """Return what stood here just before transaction number `order`."""
        last = self.later[-1] if self.later else self.first
        if last.transaction.order < order and not self.deletions:
            return last
        versions = self.versions
        place = bisect_left(versions, order, key=attrgetter("order"))
        if not place:
            return None
        found = versions[place - 1]
        gone = bisect_left(self.deletions, order)
        return None if gone and self.deletions[gone - 1] > found.order else found

    def written_in(self, order: int) -> Recorded[Any]:
        """Return what transaction number `order` wrote here, which it did."""
        if self.later is None:
            return self.first
        versions = self.versions
        return versions[bisect_left(versions, order, key=attrgetter("order"))]


class History:
    """All records of a ledger with all their versions, and its transactions in order."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []
        self.digests: dict[tuple[str, str], Transaction] = {}
        self._keys: dict[type, dict[Parts, _Key]] = defaultdict(dict)
        self._ordered: dict[type, list[Parts]] = defaultdict(list)
        self._unordered: set[type] = set()
        self._written: list[_Key] = []
        self._written_from = array("Q")
        self._requests = array("Q")
        self._spool = Spool()

    def apply(self, transaction: Transaction, request: bytes, writes: Writes, findings: Findings) -> None:
        """Take in the next valid transaction, what it asked for in JSON, and what it wrote. Raises StorageFull."""
        self.transactions.append(transaction)
        self._requests.append(self._spool.put(request))
        self._written_from.append(len(self._written))
        for key, value in writes:
            try:
                self._write(transaction, key, value)
            except NotCanonical as error:
                text = f"the key {_readable(key)} holds no record: {error}"
                findings.fail(Check.RECORDS, text, transaction.place)
            findings.count(Check.RECORDS)

    def current(self, kind: type[T], *prefix: str | int) -> list[Recorded[T]]:
        """Return the newest records of a kind whose keys begin with `prefix`, in key order."""
        return self.as_of(kind, len(self.transactions), *prefix)

    def find(self, kind: type[T], *parts: str | int) -> Recorded[T] | None:
        """Return the newest record under this key, None when there is none."""
        return self.find_as_of(kind, len(self.transactions), *parts)

    def as_of(self, kind: type[T], order: int, *prefix: str | int) -> list[Recorded[T]]:
        """Return what `current` would have returned just before transaction number `order`."""
        found = [key.before(order) for key in self._matching(kind, prefix)]
        return [record for record in found if record is not None]

    def find_as_of(self, kind: type[T], order: int, *parts: str | int) -> Recorded[T] | None:
        """Return what `find` would have returned just before transaction number `order`."""
        key = self._keys[kind].get(_parts(parts))
        return None if key is None else key.before(order)

    def versions(self, kind: type[T], *prefix: str | int) -> Iterator[Sequence[Recorded[T]]]:
        """Yield for each key that begins with `prefix` everything that was ever written there, oldest first."""
        for key in self._matching(kind, prefix):
            yield key.versions

    def request(self, transaction: Transaction) -> Json:
        """Return what a transaction asked for."""
        request: Json = json.loads(self._spool.get(self._requests[transaction.order]))
        return request

    def written(self, transaction: Transaction) -> Iterator[tuple[Any, Any]]:
        """Yield each record that a transaction wrote, with the one that it replaced, None for a new one."""
        order = transaction.order
        last = order + 1 == len(self._written_from)
        end = len(self._written) if last else self._written_from[order + 1]
        for key in self._written[self._written_from[order] : end]:
            before = key.before(order)
            yield key.written_in(order).value, None if before is None else before.value

    def _matching(self, kind: type, prefix: Sequence[str | int]) -> list[_Key]:
        """Return what lies under the keys that begin with these parts, in key order."""
        ordered, keys, start = self._ordered[kind], self._keys[kind], _parts(prefix)
        if kind in self._unordered:
            ordered.sort()
            self._unordered.remove(kind)
        first = last = bisect_left(ordered, start)
        while last < len(ordered) and ordered[last][: len(start)] == start:
            last += 1
        return [keys[parts] for parts in ordered[first:last]]

    def _add_version(self, kind: type, parts: Parts, recorded: Recorded[Any]) -> _Key:
        key = self._keys[kind].get(parts)
        if key is None:
            key = self._keys[kind][parts] = _Key(recorded)
            self._ordered[kind].append(parts)
            self._unordered.add(kind)
        elif kind in _REWRITTEN:
            key.append(recorded)
        else:
            raise NotCanonical(f"a {kind.__name__} is written once, and here a second time")
        return key

    def _write(self, transaction: Transaction, key: str, value: bytes | None) -> None:
        object_type, parts = _split(key)
        if object_type == DIGEST_INDEX:
            self._index(transaction, parts, value)
            return
        kind, fields = _READERS[object_type]
        if value is None:
            self._delete(kind, parts, transaction)
            return
        record = _read_record(kind, value)
        if parts != _parts([field(record) for field in fields]):
            raise NotCanonical("the record under it belongs to another key")
        self._written.append(self._add_version(kind, parts, Recorded(record, transaction)))

    def _delete(self, kind: type, parts: Parts, transaction: Transaction) -> None:
        if kind not in _DELETED:
            raise NotCanonical(f"a {kind.__name__} is never deleted, and here it is")
        key = self._keys[kind].get(parts)
        if key is not None:
            key.deletions = (*key.deletions, transaction.order)

    def _index(self, transaction: Transaction, parts: Parts, value: bytes | None) -> None:
        if len(parts) != 2 or value != PRESENT:
            raise NotCanonical("an index entry has two parts and the value 1, and is never deleted")
        task_id, digest = parts
        if (task_id, digest) in self.digests:
            raise NotCanonical("the digest was committed a second time")
        self.digests[task_id, digest] = transaction


def types_of(writes: Writes) -> frozenset[str]:
    """Return the object types of the keys that were written, "" among them for one that is no composite key."""
    return _one_of_each(frozenset([type_of(key) for key, _ in writes]))


def shared(value: Json) -> Json:
    """Return a value in which every text is the one object that stands for all equal ones, to save memory."""
    intern, kind = sys.intern, type(value)
    if kind is str:
        return intern(cast("str", value))
    if kind is dict:
        items = cast("dict[str, Json]", value).items()
        return {intern(name): shared(item) if type(item) in _WITH_TEXT else item for name, item in items}
    if kind is list:
        return [shared(item) for item in cast("list[Json]", value)]
    return value


_WITH_TEXT = (str, dict, list)


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
    return object_type, tuple(map(sys.intern, parts))


def _is_composite(key: str) -> bool:
    return len(key) > 2 and key[0] == key[-1] == "\0"


def _read_record(kind: type, value: bytes) -> Any:
    """Read a record that must stand in its canonical form. Raises NotCanonical.

    What comes out in the same bytes again needs no other check; only of what does not is it asked what is wrong.
    """
    with contextlib.suppress(ValueError, RecursionError):
        record: Any = records.from_json(kind, shared(json.loads(value.decode())))
        if canonical.dump(records.to_json(record)) == value:
            return record
    records.from_json(kind, canonical.parse(value))
    raise NotCanonical("it is not the record's canonical form")


def _readable(key: str) -> str:
    return repr(key.strip("\0").replace("\0", "~"))


def _parts(parts: Sequence[str | int]) -> Parts:
    return tuple([part if type(part) is str else _part(part) for part in parts])


def _part(part: str | int) -> str:
    return f"{part:0{DIGITS}d}" if isinstance(part, int) else str(part)
