"""Reading the state database: one consistent view, as of one block.

Decides what a read of world state, private state, history and the indexes returns. Who may read what, and what is
recorded about a read, is left to `simulator`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from bfl_fabric.embedded.blockfile import Location
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.state import Key, Space, Versioned
from bfl_fabric.fabric.wire import read, write

Entries = tuple[tuple[str, bytes], ...]


class Savepoint(NamedTuple):
    """Up to where the state follows the blocks: `height` blocks, which end at byte `next_offset` of the file."""

    channel: str
    height: int
    next_offset: int
    block_hash: bytes
    commit_hash: bytes


class TransactionPlace(NamedTuple):
    """Where a transaction is, and Fabric's verdict on it."""

    block: int
    position: int
    code: int


class Row(NamedTuple):
    """A row of a range of the world state."""

    key: str
    value: bytes
    height: Height


class Snapshot:
    """A view of the last committed block; only valid inside `StateDatabase.snapshot()`.

    `find` and `scan` make it a `bfl_fabric.fabric.state.StateView`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._found: dict[tuple[Space, Key], Versioned | None] = {}
        row = self._one("SELECT channel, height, next_offset, block_hash, commit_hash FROM savepoint")
        self.savepoint = Savepoint(*row) if row else None

    @property
    def height(self) -> int:
        """The number of committed blocks."""
        return self.savepoint.height if self.savepoint else 0

    def find(self, space: Space, key: Key) -> Versioned | None:
        """Return a public value, or the hash of a private one. Peers that run the same proposal ask for the same."""
        where = (space, key)
        if where not in self._found:
            self._found[where] = self._find(space, key)
        return self._found[where]

    def scan(self, namespace: str, start: Key, end: Key) -> Iterator[tuple[Key, Height]]:
        """Yield public keys from `start` to before `end` in byte order; an empty `end` is no end."""
        for key, _, block, position in self._range(namespace, start, end):
            yield key, Height(block, position)

    def rows(self, namespace: str, start_key: str, end_key: str) -> Iterator[Row]:
        """Yield the public rows with start_key <= key < end_key in byte order; "" as end means no end."""
        for key, value, block, position in self._range(namespace, start_key.encode(), end_key.encode()):
            yield Row(key.decode(), value, Height(block, position))

    def find_private(self, space: Space, key_hash: Key) -> Versioned | None:
        """Return a private value by the hash of its key."""
        return self._find_in("SELECT value, x'', block, position FROM private_state", space, key_hash)

    def history(self, namespace: str, key: str) -> list[Height]:
        """Return the transactions that wrote the key, newest first."""
        rows = self._connection.execute(
            "SELECT block, position FROM history WHERE namespace = ? AND key = ? "
            "ORDER BY block DESC, position DESC",
            (namespace, key.encode()),
        )
        return [Height(block, position) for block, position in rows]

    def find_transaction(self, transaction_id: str) -> TransactionPlace | None:
        row = self._one("SELECT block, position, code FROM transactions WHERE id = ?", transaction_id)
        return TransactionPlace(*row) if row else None

    def find_block(self, number: int) -> Location | None:
        row = self._one("SELECT offset, length FROM blocks WHERE number = ?", number)
        return Location(*row) if row else None

    def events(self, start_block: int, limit: int) -> list[tuple[int, bytes]]:
        """Return block number and serialized chaincode event of VALID transactions, whole blocks, in order.

        At least one block's events if there are any from `start_block` on, and no new block begun after `limit`.
        """
        rows = self._connection.execute(
            "SELECT block, event FROM events WHERE block >= ? ORDER BY block, position", (start_block,)
        )
        found: list[tuple[int, bytes]] = []
        for block, event in rows:
            if len(found) >= limit and found[-1][0] != block:
                break
            found.append((block, event))
        return found

    def find_transient(self, transaction_id: str) -> bytes | None:
        """Return the private write set that was kept when the transaction was endorsed."""
        row = self._one("SELECT write_set FROM transient WHERE transaction_id = ?", transaction_id)
        return bytes(row[0]) if row else None

    def _find(self, space: Space, key: Key) -> Versioned | None:
        if space.collection:
            return self._find_in("SELECT value, metadata, block, position FROM hashed_state", space, key)
        return _versioned(
            self._one(
                "SELECT value, metadata, block, position FROM state WHERE namespace = ? AND key = ?",
                space.namespace,
                key,
            )
        )

    def _range(self, namespace: str, start: bytes, end: bytes) -> sqlite3.Cursor:
        query = "SELECT key, value, block, position FROM state WHERE namespace = ? AND key >= ?"
        if not end:
            return self._connection.execute(query + " ORDER BY key", (namespace, start))
        return self._connection.execute(query + " AND key < ? ORDER BY key", (namespace, start, end))

    def _find_in(self, select: str, space: Space, key: Key) -> Versioned | None:
        where = " WHERE namespace = ? AND collection = ? AND key = ?"
        return _versioned(self._one(select + where, *space, key))

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row


class KnownTransactions:
    """The ids of all committed transactions, to be asked with `in`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __contains__(self, transaction_id: object) -> bool:
        return isinstance(transaction_id, str) and self._snapshot.find_transaction(transaction_id) is not None


def metadata_bytes(entries: Entries | None) -> bytes:
    """Return a key's metadata as it is stored, b"" for none."""
    if not entries:
        return b""
    messages = [kv_rwset_pb2.KVMetadataEntry(name=name, value=value) for name, value in entries]
    return write(kv_rwset_pb2.KVMetadataWrite(entries=messages))


def _metadata(raw: bytes) -> Entries | None:
    if not raw:
        return None
    message = read(kv_rwset_pb2.KVMetadataWrite, raw, "key metadata")
    return tuple((entry.name, entry.value) for entry in message.entries)


def _versioned(row: tuple[Any, ...] | None) -> Versioned | None:
    if row is None:
        return None
    value, metadata, block, position = row
    return Versioned(value, _metadata(metadata), Height(block, position))
