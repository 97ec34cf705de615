"""The state database: everything that follows from the blocks, and the private data that no block holds.

Decides how world state, hashed and private state, history, transaction index, events and the savepoint lie in
SQLite, and that a block's consequences are applied in one durable transaction. What the consequences are is left
to `validation`; reading is `snapshot`. All but private and transient data can be rebuilt from the block file.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bfl_fabric.embedded.blockfile import Location
from bfl_fabric.embedded.snapshot import Savepoint, Snapshot, metadata_bytes
from bfl_fabric.errors import LedgerUnavailable, MalformedInput, StorageFull
from bfl_fabric.fabric.state import Key, Space, Versioned

_LOG = logging.getLogger(__name__)

FORMAT = 1
TRANSIENT_BLOCKS = 1000
"""Private data of a transaction that was endorsed and not ordered within this many blocks are dropped."""

Rows = Sequence[tuple[Key, Versioned]]
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC})

_SCHEMA = """
CREATE TABLE savepoint (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL, channel TEXT NOT NULL, height INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    block_hash BLOB NOT NULL, commit_hash BLOB NOT NULL);
CREATE TABLE blocks (number INTEGER PRIMARY KEY, offset INTEGER NOT NULL, length INTEGER NOT NULL);
CREATE TABLE transactions (
    id TEXT PRIMARY KEY, block INTEGER NOT NULL, position INTEGER NOT NULL, code INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE events (
    block INTEGER NOT NULL, position INTEGER NOT NULL, event BLOB NOT NULL, PRIMARY KEY (block, position)
) WITHOUT ROWID;
CREATE TABLE history (
    namespace TEXT NOT NULL, key BLOB NOT NULL, block INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (namespace, key, block, position)) WITHOUT ROWID;
CREATE TABLE state (
    namespace TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, metadata BLOB NOT NULL,
    block INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (namespace, key)) WITHOUT ROWID;
CREATE TABLE hashed_state (
    namespace TEXT NOT NULL, collection TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
    metadata BLOB NOT NULL, block INTEGER NOT NULL, position INTEGER NOT NULL, expires INTEGER,
    PRIMARY KEY (namespace, collection, key)) WITHOUT ROWID;
CREATE INDEX expiring ON hashed_state (expires) WHERE expires IS NOT NULL;
CREATE TABLE private_state (
    namespace TEXT NOT NULL, collection TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
    block INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (namespace, collection, key)
) WITHOUT ROWID;
CREATE TABLE transient (
    transaction_id TEXT PRIMARY KEY, height INTEGER NOT NULL, write_set BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(slots=True)
class BlockUpdate:
    """What one block changes. A value of None deletes the key; `expires` says at which block a hash is dropped.

    `changes` are public values and, in collections, hashes. `private` are the private values; their keys are named
    by their SHA-256, as in the public half, and are nowhere kept. `purges` says that some must go for good.
    """

    savepoint: Savepoint
    location: Location
    changes: Mapping[Space, Mapping[Key, Versioned]]
    private: Mapping[tuple[Space, Key], Versioned] = field(default_factory=dict)
    expires: Mapping[tuple[Space, Key], int] = field(default_factory=dict)
    history: Sequence[tuple[str, str, int]] = ()
    transactions: Sequence[tuple[str, int, int]] = ()
    events: Sequence[tuple[int, bytes]] = ()
    purges: bool = False

    @property
    def number(self) -> int:
        return self.savepoint.height - 1


class StateDatabase:
    """An open state database: one writing connection behind a lock, and as many snapshots as are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False
        self._owes_forgetting = False
        # Only the owner may read it, its log included: there are private values in it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            self._writer = self._connect()
            with self._transaction() as writer:
                if not writer.execute("SELECT 1 FROM sqlite_master WHERE name = 'savepoint'").fetchone():
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        writer.execute(statement)
        except sqlite3.Error as error:
            raise self._translated(error) from error

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Give a view of the last committed block that no later commit changes."""
        connection = self._reader()
        try:
            connection.execute("BEGIN")
            yield Snapshot(connection)
        except sqlite3.Error as error:
            raise self._translated(error) from error
        finally:
            self._give_back(connection)

    def commit(self, update: BlockUpdate) -> None:
        """Apply a block's consequences; durable when it returns. Applying the same block again changes nothing.

        Raises StorageFull, LedgerUnavailable.
        """
        try:
            with self._lock:
                with self._transaction() as writer:
                    _apply(writer, update)
                if update.purges or self._owes_forgetting:
                    self._forget()
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def keep_private(self, transaction_id: str, height: int, write_set: bytes) -> None:
        """Keep an endorsed transaction's private writes, durably, until its block comes."""
        row = (transaction_id, height, write_set)
        try:
            with self._lock, self._transaction() as writer:
                writer.execute("INSERT OR REPLACE INTO transient VALUES (?, ?, ?)", row)
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def close(self) -> None:
        """Give the connections back. What was not committed is not kept."""
        self._is_closed = True
        for connection in [self._writer, *self._idle]:
            connection.close()
        self._idle.clear()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        finally:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    def _forget(self) -> None:
        """Empty the write-ahead log, in which purged values could still be read; a reader may put it off."""
        try:
            (is_busy, _, _) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._owes_forgetting = bool(is_busy)
        except sqlite3.Error as error:
            self._owes_forgetting = True
            _LOG.warning("%s: purged values are still in the log, trying again: %s", self._path, error)

    def _reader(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        """End a reader's view and keep its connection for the next, unless it is broken."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            connection.close()
            return
        if self._is_closed:
            connection.close()
        else:
            self._idle.append(connection)

    def _translated(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", None)
        if code in _NO_ROOM:
            return StorageFull(f"{self._path}: no room to write ({error}); free some space, nothing was lost")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return MalformedInput(
                f"{self._path}: damaged ({error}); remove it and it is rebuilt from the blocks"
            )
        return LedgerUnavailable(f"{self._path}: {error}")


def _apply(writer: sqlite3.Connection, update: BlockUpdate) -> None:
    number, savepoint = update.number, update.savepoint
    writer.execute("INSERT OR REPLACE INTO savepoint VALUES (1, ?, ?, ?, ?, ?, ?)", (FORMAT, *savepoint))
    location = (number, update.location.offset, update.location.length)
    writer.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", location)
    writer.executemany(
        "INSERT OR IGNORE INTO transactions VALUES (?, ?, ?, ?)",
        [(transaction, number, position, code) for transaction, position, code in update.transactions],
    )
    writer.executemany(
        "INSERT OR REPLACE INTO events VALUES (?, ?, ?)",
        [(number, position, event) for position, event in update.events],
    )
    writer.executemany(
        "INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?)",
        [(namespace, key.encode(), number, position) for namespace, key, position in update.history],
    )
    _apply_state(writer, update)
    _apply_private(writer, update)
    _expire(writer, update)
    _drop_transient(writer, [transaction for transaction, _, _ in update.transactions], savepoint.height)


def _apply_state(writer: sqlite3.Connection, update: BlockUpdate) -> None:
    for space, items in update.changes.items():
        kept = [(key, item) for key, item in items.items() if item.value is not None]
        gone = [key for key, item in items.items() if item.value is None]
        if space.collection:
            _write_hashed(writer, update, space, kept)
            _delete(writer, "hashed_state", [(*space, key) for key in gone])
        else:
            _write_public(writer, space, kept)
            statement = "DELETE FROM state WHERE namespace = ? AND key = ?"
            writer.executemany(statement, [(space.namespace, key) for key in gone])


def _write_public(writer: sqlite3.Connection, space: Space, items: Rows) -> None:
    writer.executemany(
        "INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?, ?, ?)",
        [
            (space.namespace, key, item.value, metadata_bytes(item.metadata), *item.height)
            for key, item in items
        ],
    )


def _write_hashed(writer: sqlite3.Connection, update: BlockUpdate, space: Space, items: Rows) -> None:
    writer.executemany(
        "INSERT OR REPLACE INTO hashed_state VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *space,
                key,
                item.value,
                metadata_bytes(item.metadata),
                *item.height,
                update.expires.get((space, key)),
            )
            for key, item in items
        ],
    )


def _apply_private(writer: sqlite3.Connection, update: BlockUpdate) -> None:
    writer.executemany(
        "INSERT OR REPLACE INTO private_state VALUES (?, ?, ?, ?, ?, ?)",
        [
            (*space, key, item.value, *item.height)
            for (space, key), item in update.private.items()
            if item.value is not None
        ],
    )
    gone = [(*space, key) for (space, key), item in update.private.items() if item.value is None]
    _delete(writer, "private_state", gone)


def _expire(writer: sqlite3.Connection, update: BlockUpdate) -> None:
    """Drop the private keys whose blocks to live are over, unless this block wrote them again."""
    expired = writer.execute(
        "SELECT namespace, collection, key FROM hashed_state WHERE expires <= ?", (update.number,)
    ).fetchall()
    _delete(writer, "hashed_state", expired)
    _delete(writer, "private_state", expired)
    update.purges = update.purges or bool(expired)


def _delete(writer: sqlite3.Connection, table: str, names: Sequence[tuple[str, str, bytes]]) -> None:
    statement = f"DELETE FROM {table} WHERE namespace = ? AND collection = ? AND key = ?"  # noqa: S608
    writer.executemany(statement, names)


def _drop_transient(writer: sqlite3.Connection, transactions: Iterable[str], height: int) -> None:
    writer.executemany(
        "DELETE FROM transient WHERE transaction_id = ?", [(transaction,) for transaction in transactions]
    )
    writer.execute("DELETE FROM transient WHERE height < ?", (height - TRANSIENT_BLOCKS,))
