"""The channel's public state as blocks make it: values, metadata, versions, hashes of private data.

Decides how valid write sets change the state and what bytes the changes of one block have in the commit hash. Which
transactions are valid is left to `bfl_fabric.fabric.validation`; here everything is applied as told.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from bfl_fabric.fabric.keys import Keys
from bfl_fabric.fabric.recent import Recent
from bfl_fabric.fabric.rwsets import Height, NamespaceSet
from bfl_fabric.fabric.spool import Spool
from bfl_fabric.fabric.wire import varint

Key = bytes
"""A key as bytes: UTF-8 for public keys, the SHA-256 of the key in collections."""


Entries: TypeAlias = tuple[tuple[str, bytes], ...]
"""A key's metadata, by name."""


class Space(NamedTuple):
    """Where a key lives: a chaincode's public state, or one of its collections (then the keys are hashes)."""

    namespace: str
    collection: str = ""


class Standing(Protocol):
    """What stands under a key: a value, the metadata of its key, and the transaction that wrote it."""

    @property
    def value(self) -> bytes | None: ...

    @property
    def metadata(self) -> Entries | None: ...

    @property
    def height(self) -> Height: ...


space_of = functools.lru_cache(maxsize=1024)(Space)
"""The one object for a space that is asked for again and again."""


class Versioned(NamedTuple):
    """A value, the metadata of its key, and the transaction that wrote it. `value` is None for a deletion."""

    value: bytes | None
    metadata: Entries | None
    height: Height


class _Spooled(NamedTuple):
    """What stands under a key, with its value put aside."""

    spool: Spool
    place: int
    metadata: Entries | None
    height: Height

    @property
    def value(self) -> bytes:
        return self.spool.get(self.place)


class StateView(Protocol):
    """What validation asks of the state before a block."""

    def find(self, space: Space, key: Key) -> Standing | None:
        """Return what stands under a key, None when it is absent."""

    def scan(self, namespace: str, start: Key, end: Key) -> Iterator[tuple[Key, Height]]:
        """Yield public keys from `start` to before `end` in byte order; an empty `end` is no end."""


@dataclass(slots=True)
class Updates:
    """The changes of one block so far, deletions included."""

    spaces: dict[Space, dict[Key, Versioned]] = field(default_factory=dict)

    def find(self, space: Space, key: Key) -> Versioned | None:
        entries = self.spaces.get(space)
        return None if entries is None else entries.get(key)

    def put(self, space: Space, key: Key, versioned: Versioned) -> None:
        self.spaces.setdefault(space, {})[key] = versioned

    def apply(self, rwset: tuple[NamespaceSet, ...], height: Height, before: StateView) -> None:
        """Lay a valid transaction's write set over the changes; `before` is the state before the block."""
        for part in rwset:
            if not part.changes_state:
                continue
            writes = {item.key.encode(): item.value for item in part.writes}
            metadata = {item.key.encode(): item.entries or () for item in part.metadata_writes}
            self._lay(space_of(part.namespace), writes, metadata, height, before)
            for collection in part.collections:
                hashes = {item.key_hash: item.value_hash for item in collection.writes}
                metadata = {item.key_hash: item.entries or () for item in collection.metadata_writes}
                self._lay(Space(part.namespace, collection.name), hashes, metadata, height, before)

    def _lay(
        self,
        space: Space,
        writes: Mapping[Key, bytes | None],
        metadata: Mapping[Key, Entries],
        height: Height,
        before: StateView,
    ) -> None:
        """Lay the writes to one space over its changes; a key keeps what it has of the other kind."""
        changes = self.spaces.get(space, {})
        for key, value in writes.items():
            entries = metadata.get(key)
            if value is None:
                entries = None
            elif entries is None:
                known = changes.get(key) or before.find(space, key)
                entries = None if known is None else known.metadata
            changes[key] = Versioned(value, entries or None, height)
        for key in metadata.keys() - writes.keys() if metadata else ():
            known = changes.get(key) or before.find(space, key)
            if known is not None and known.value is not None:
                changes[key] = Versioned(known.value, metadata[key] or None, height)
        if changes:
            self.spaces[space] = changes

    def serialize(self) -> bytes:
        """Return the bytes that enter the commit hash: Fabric's `Updates` message, everything sorted."""
        parts = []
        previous = Space("")
        for space in sorted(self.spaces):
            if not space.namespace:
                continue
            for key in sorted(self.spaces[space]):
                namespace = space.namespace if space.namespace != previous.namespace else ""
                collection = space.collection if space != previous else ""
                parts.append(_field(1, _write_bytes(namespace, collection, key, self.spaces[space][key])))
                previous = space
        return b"".join(parts)


class ReplayedState:
    """The whole state, with public keys in order: keys and values are in spools, places and versions in arrays.

    All methods may raise StorageFull.
    """

    def __init__(self) -> None:
        self._spool = Spool()
        self._keys_spool = Spool()
        self._tables: dict[Space, _Table] = {}

    def find(self, space: Space, key: Key) -> Standing | None:
        table = self._tables.get(space)
        if table is None:
            return None
        return table.recent[key] if key in table.recent else table.find(key)

    def scan(self, namespace: str, start: Key, end: Key) -> Iterator[tuple[Key, Height]]:
        table = self._tables.get(Space(namespace))
        return iter(()) if table is None else table.between(start, end)

    def value(self, namespace: str, key: str) -> bytes | None:
        """Return a public value, None when the key is absent."""
        found = self.find(Space(namespace), key.encode())
        return None if found is None else found.value

    def public(self, namespace: str) -> Mapping[str, bytes]:
        """Return a chaincode's whole public state, in key order."""
        return {
            key.decode(): self.value(namespace, key.decode()) or b""
            for key, _ in self.scan(namespace, b"", b"")
        }

    def keys(self, namespace: str) -> Keys:
        """Return the keys of a chaincode's public state, those too that were deleted; it grows with the state."""
        return self._table(Space(namespace)).keys

    @property
    def public_count(self) -> int:
        """How many public keys there are, of all chaincodes."""
        return sum(table.count for space, table in self._tables.items() if not space.collection)

    def public_keys(self) -> Iterator[tuple[str, str]]:
        """Yield every public key as (namespace, key)."""
        for namespace, collection in self._tables:
            if not collection:
                yield from ((namespace, key.decode()) for key, _ in self.scan(namespace, b"", b""))

    def commit(self, updates: Updates) -> None:
        """Make a block's changes part of the state."""
        for space, changes in updates.spaces.items():
            table = self._table(space)
            for key, versioned in changes.items():
                if versioned.value is None:
                    table.remove(key)
                else:
                    table.put(key, versioned.value, versioned.metadata, versioned.height)

    def expire(self, space: Space, key: Key, height: Height) -> None:
        """Drop a private key's hash whose time to live is over, unless it was written again since `height`."""
        found = self.find(space, key)
        if found is not None and found.height == height:
            self._tables[space].remove(key)

    def _table(self, space: Space) -> _Table:
        table = self._tables.get(space)
        if table is None:
            table = self._tables[space] = _Table(Keys(self._keys_spool), self._spool)
        return table


class _Table:
    """The keys of one space: what stands under the n-th of them is at place n of each array."""

    def __init__(self, keys: Keys, values: Spool) -> None:
        self.count = 0
        self.keys = keys
        self._values = values
        self._places = array("Q")
        self._blocks = array("Q")
        self._transactions = array("I")
        self._metadata: dict[int, Entries] = {}
        self.recent: Recent[Key, _Spooled | None] = Recent()

    def find(self, key: Key) -> _Spooled | None:
        number = self.keys.find(key)
        if number is None or self._places[number] == _ABSENT:
            return self.recent.remember(key, None)
        height = Height(self._blocks[number], self._transactions[number])
        standing = _Spooled(self._values, self._places[number], self._metadata.get(number), height)
        return self.recent.remember(key, standing)

    def between(self, start: Key, end: Key) -> Iterator[tuple[Key, Height]]:
        for key, number in self.keys.between(start, end):
            if self._places[number] != _ABSENT:
                yield key, Height(self._blocks[number], self._transactions[number])

    def put(self, key: Key, value: bytes, metadata: Entries | None, height: Height) -> None:
        number, place = self.keys.add(key), self._values.put(value)
        if number == len(self._places):
            self._places.append(place)
            self._blocks.append(height.block)
            self._transactions.append(height.transaction)
            self.count += 1
        else:
            self.count += self._places[number] == _ABSENT
            self._places[number] = place
            self._blocks[number], self._transactions[number] = height
        if metadata is not None:
            self._metadata[number] = metadata
        elif self._metadata:
            self._metadata.pop(number, None)
        self.recent.remember(key, _Spooled(self._values, place, metadata, height))

    def remove(self, key: Key) -> None:
        number = self.keys.find(key)
        if number is not None and self._places[number] != _ABSENT:
            self._places[number] = _ABSENT
            self._metadata.pop(number, None)
            self.recent.remember(key, None)
            self.count -= 1


_ABSENT = (1 << 64) - 1
"""The place of a value that was deleted."""


# --- details ------------------------------------------------------------------------------------


def _write_bytes(namespace: str, collection: str, key: Key, versioned: Versioned) -> bytes:
    value, height = versioned.value, versioned.height
    return b"".join(
        (
            _field(1, namespace.encode()) if namespace else b"",
            _field(2, collection.encode()) if collection else b"",
            _field(3, key),
            b"\x20\x01" if value is None else _field(5, value),
            _field(6, _ordered_number(height.block) + _ordered_number(height.transaction)),
        )
    )


def _field(number: int, content: bytes) -> bytes:
    """Return a length-delimited protobuf field, nothing when it is empty."""
    return _field_head(number, len(content)) + content if content else b""


@functools.lru_cache(maxsize=4096)
def _field_head(number: int, size: int) -> bytes:
    return varint(number << 3 | 2) + varint(size)


@functools.lru_cache(maxsize=4096)
def _ordered_number(number: int) -> bytes:
    """Return Fabric's order-preserving form: how many bytes follow, and the number without leading zeros."""
    size = (number.bit_length() + 7) // 8
    return bytes([size]) + number.to_bytes(size, "big")
