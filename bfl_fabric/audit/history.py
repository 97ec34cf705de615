"""The history of a ledger as typed records: who wrote what, when, in which transaction.

Decides that a key or value that is none of the contract's (`layout`) is a failure: state that no rule accounts for is
never passed over. Whether the records make sense together is left to the checks. It never forgets: records are in a
spool, in memory is where they are and which transaction wrote them. A check gets them one after the other, and keeps
none.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from bfl_chaincode.api.canonical import Json, NotCanonical
from bfl_fabric.audit.findings import Check, Findings, Place
from bfl_fabric.audit.layout import (
    DELETED,
    DIGEST_INDEX,
    LAYOUT,
    PRESENT,
    REWRITTEN,
    Writes,
    end_of,
    key_of,
    parts_of,
    readable,
    split,
)
from bfl_fabric.audit.record_bytes import Fields, checked, decoded, record_of
from bfl_fabric.audit.transactions import Transaction, Transactions
from bfl_fabric.fabric.keys import Keys
from bfl_fabric.fabric.recent import Recent
from bfl_fabric.fabric.spool import Spool

T = TypeVar("T")

_KINDS = tuple(kind for kind, _ in LAYOUT.values())
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


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


_NEVER = (1 << 32) - 1
"""In place of the first version of a key under which no record was written."""


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
    """All records of a ledger with all their versions, and its transactions in order. Raises StorageFull.

    Its keys may be those of a state that knows them anyway (`ReplayedState.keys`), and others too.
    """

    def __init__(self, keys: Keys | None = None) -> None:
        self.transactions = Transactions()
        self.digests = Digests()
        self._keys = Keys(Spool()) if keys is None else keys
        self._versions = _Versions()
        self._first = array("I")
        self._later: dict[int, array[int]] = {}
        self._deletions: dict[int, list[int]] = {}
        self._written_from = array("I", [0])
        self._recent_keys: Recent[tuple[object, ...], int] = Recent()
        self._recent_records: Recent[int, Recorded[Any]] = Recent()

    def apply(
        self, transaction: Transaction, request: bytes, writes: Writes, findings: Findings
    ) -> list[Written]:
        """Take in the next valid transaction, what it asked for in JSON, and what it wrote; return its records."""
        self.transactions.append(transaction, request)
        written = []
        for key, value in writes:
            try:
                record = self._write(transaction.order, key, value)
                if record is not None:
                    written.append(record)
            except NotCanonical as error:
                text = f"the key {readable(key)} holds no record: {error}"
                findings.fail(Check.RECORDS, text, transaction.place)
        self._written_from.append(len(self._versions))
        findings.count(Check.RECORDS, len(writes))
        return written

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
            key = self._known(key_of(kind, parts))
            if key is None:
                return None
            self._recent_keys.remember((kind, parts), key)
        version = self._before(key, order)
        if version is None:
            return None
        found = self._recent_records.get(version)
        return found or self._recent_records.remember(version, self._recorded(version))

    def versions(self, kind: type[T], *prefix: str | int) -> Iterator[Sequence[Recorded[T]]]:
        """Yield for each key that begins with `prefix` everything that was ever written there, oldest first."""
        for key in self._matching(kind, prefix):
            yield [self._recorded(version) for version in (self._first[key], *self._later.get(key, ()))]

    def request(self, transaction: Transaction) -> Json:
        """Return what a transaction asked for."""
        return self.transactions.request(transaction.order)

    def written(self, transaction: Transaction) -> Iterator[tuple[type, Fields]]:
        """Yield each record that a transaction wrote, its kind and fields, in the order of its writes."""
        versions = self._versions
        for version in range(*self._written_from[transaction.order : transaction.order + 2]):
            yield versions.kind(version), versions.fields(version)

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
        versions = self._versions
        record = record_of(versions.kind(version), versions.fields(version))
        return Recorded(record, versions.orders[version], self.transactions)

    def _matching(self, kind: type, prefix: Sequence[str | int]) -> Iterator[int]:
        """Yield the keys that begin with these parts, in key order."""
        start = key_of(kind, prefix)
        found = self._keys.between(start, end_of(start))
        return (key for _, key in found if key < len(self._first) and self._first[key] != _NEVER)

    def _known(self, key: bytes) -> int | None:
        """Return the number of a key under which a record was written, None when there was none."""
        number = self._keys.find(key)
        if number is None or number >= len(self._first) or self._first[number] == _NEVER:
            return None
        return number

    # --- writing --------------------------------------------------------------------------------

    def _write(self, order: int, key: str, value: bytes | None) -> Written | None:
        """Take in one write; return the record that it wrote, None for anything else."""
        object_type, parts = split(key)
        if object_type == DIGEST_INDEX:
            self._index(order, parts, value)
            return None
        kind = LAYOUT[object_type][0]
        if value is None:
            self._delete(kind, key.encode(), order)
            return None
        fields = checked(kind, value)
        if parts != parts_of(object_type, fields):
            raise NotCanonical("the record under it belongs to another key")
        before = self._add_version(kind, key.encode(), value, order)
        return Written(kind, fields, None if before is None else self._versions.fields(before))

    def _add_version(self, kind: type, key: bytes, value: bytes, order: int) -> int | None:
        """Note another version under a key; return the one that it replaces, None if nothing stood there."""
        version, number = len(self._versions), self._keys.add(key)
        before = None
        if number >= len(self._first):
            self._first.extend([_NEVER] * (len(self._keys) - len(self._first)))
        if self._first[number] == _NEVER:
            self._first[number] = version
        elif kind in REWRITTEN:
            before = self._before(number, order)
            self._later.setdefault(number, array("I")).append(version)
        else:
            raise NotCanonical(f"a {kind.__name__} is written once, and here a second time")
        self._versions.append(kind, value, number, order)
        return before

    def _delete(self, kind: type, key: bytes, order: int) -> None:
        if kind not in DELETED:
            raise NotCanonical(f"a {kind.__name__} is never deleted, and here it is")
        number = self._known(key)
        if number is not None:
            self._deletions.setdefault(number, []).append(order)

    def _index(self, order: int, parts: tuple[str, ...], value: bytes | None) -> None:
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


def _joined(task_id: str, digest: str) -> bytes:
    return f"{task_id}\0{digest}".encode("utf-8", "surrogatepass")
