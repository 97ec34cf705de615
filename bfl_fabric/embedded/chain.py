"""The committed blocks of a channel: block file and state database as one.

Decides what makes a block durable (appended and synced, then its consequences applied in one SQLite transaction),
what is found again after a crash at any point, and which block may follow. What stands in a block is decided by the
orderer and by `validation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from bfl_chaincode.shim.stub import KeyModification
from bfl_fabric.embedded.blockfile import BlockFile, Disk, Location
from bfl_fabric.embedded.history import modification
from bfl_fabric.embedded.lockfile import DirectoryLock
from bfl_fabric.embedded.recovery import recover
from bfl_fabric.embedded.snapshot import Savepoint, Snapshot
from bfl_fabric.embedded.statedb import BlockUpdate, StateDatabase
from bfl_fabric.embedded.validation import BlockOutcome, genesis_outcome, judge_block
from bfl_fabric.errors import ConfigurationError, MalformedInput, NotFound
from bfl_fabric.fabric.blocks import (
    Block,
    Slot,
    build_block,
    commit_hash_slot,
    data_hash,
    parse_block,
)
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.envelopes import ValidationCode, parse_envelope
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.wire import write

BLOCKS_FILE = "blocks.bin"
STATE_FILE = "state.db"

OrdererPart = Callable[[int, bytes, Sequence[bytes]], tuple[Any, list[bytes]]]
"""Takes number, previous hash and entries; returns the block's header and its first two metadata slots."""


class Step(StrEnum):
    """The points of a commit between which a crash is told apart; tests stop there."""

    VALIDATED = "validated"
    APPENDED = "appended"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True)
class _Unapplied:
    """A block that is in the file while its consequences are not in the state."""

    block: Block
    location: Location
    outcome: BlockOutcome


def watch_nothing(step: Step) -> None:
    """Take no notice of a commit's steps."""
    del step


class Chain:
    """An open chain; the directory is locked for this process until `close`."""

    def __init__(
        self, directory: Path, disk: Disk | None = None, watch: Callable[[Step], None] = watch_nothing
    ) -> None:
        """Open it and bring it up to date. Raises LedgerUnavailable, MalformedInput, StorageFull."""
        self._lock = DirectoryLock(directory)
        self._watch = watch
        self._file: BlockFile | None = None
        self._database: StateDatabase | None = None
        self._config: ChannelConfig | None = None
        self._tip = Savepoint("", 0, 0, b"", b"")
        self._unapplied: _Unapplied | None = None
        try:
            self._file = BlockFile(directory / BLOCKS_FILE, disk)
            self._database = StateDatabase(directory / STATE_FILE)
            self._recover(self._file)
        except BaseException:
            self.close()
            raise

    @property
    def height(self) -> int:
        """The number of committed blocks."""
        return self._tip.height

    @property
    def config(self) -> ChannelConfig:
        """The channel's configuration. Raises ConfigurationError before block 0."""
        if self._config is None:
            raise ConfigurationError("the chain has no first block")
        return self._config

    def begin(self, genesis: Any) -> None:
        """Store a `common.Block` as block 0. Raises MalformedInput, StorageFull."""
        slots = list(genesis.metadata.metadata)
        slots[Slot.TRANSACTIONS_FILTER] = bytes([ValidationCode.VALID])
        self._store(write(build_block(genesis.header, list(genesis.data.data), slots)))

    def commit(self, entries: Sequence[bytes], orderer_part: OrdererPart) -> int:
        """Make these serialized envelopes the next block and return its number; it is then durable.

        Raises StorageFull, LedgerUnavailable. Call it again with the same entries then: a block that was already
        appended is finished and not made again.
        """
        unapplied = self._unapplied
        if unapplied is not None:
            self._finish(unapplied)
            if unapplied.block.entries == tuple(entries):
                return unapplied.block.number
        number = self.height
        header, slots = orderer_part(number, self._tip.block_hash, entries)
        with self._opened.snapshot() as snapshot:
            outcome = judge_block(number, entries, self.config, snapshot)
        slots = [*slots, outcome.flags, b"", commit_hash_slot(outcome.commit_hash)]
        raw = write(build_block(header, entries, slots))
        self._watch(Step.VALIDATED)
        self._append(raw, parse_block(raw), outcome)
        return number

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Give a view of the last committed block."""
        return self._opened.snapshot()

    def raw_block(self, number: int) -> bytes:
        """Return a committed block's bytes. Raises NotFound."""
        with self._opened.snapshot() as snapshot:
            location = snapshot.find_block(number)
        if location is None:
            raise NotFound(f"there is no block {number}; the chain has {self.height}")
        return self._blocks.read(location)

    def modification(self, height: Height, namespace: str, key: str) -> KeyModification:
        """Return what a committed transaction did to a key."""
        block = parse_block(self.raw_block(height.block))
        return modification(parse_envelope(block.entries[height.transaction]), namespace, key)

    def keep_private(self, transaction_id: str, height: int, write_set: bytes) -> None:
        """Keep private writes until their transaction is committed, durably. Raises StorageFull."""
        self._opened.keep_private(transaction_id, height, write_set)

    def close(self) -> None:
        """Give everything back. Nothing is written: what was promised is stored, what was not is gone."""
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._file is not None:
            self._file.close()
        self._lock.release()

    # --- details --------------------------------------------------------------------------------

    @property
    def _opened(self) -> StateDatabase:
        if self._database is None:
            raise ConfigurationError("the ledger is closed")
        return self._database

    @property
    def _blocks(self) -> BlockFile:
        if self._file is None:
            raise ConfigurationError("the ledger is closed")
        return self._file

    def _recover(self, file: BlockFile) -> None:
        with self._opened.snapshot() as snapshot:
            savepoint = snapshot.savepoint
            first = snapshot.find_block(0)
        if savepoint is not None and first is not None:
            self._tip = savepoint
            self._config = ChannelConfig.from_block(parse_block(file.read(first)))
        recover(file, savepoint, self._replay)

    def _replay(self, location: Location) -> None:
        """Apply a block that is in the file; what it says of its transactions must follow from them."""
        block = parse_block(self._blocks.read(location))
        self._require_next(block)
        outcome = self._outcome(block)
        if block.flags != outcome.flags or block.commit_hash != outcome.commit_hash:
            raise MalformedInput(
                f"block {block.number}: its validation codes do not follow from its contents"
            )
        self._apply(block, location, outcome)

    def _store(self, raw: bytes) -> None:
        block = parse_block(raw)
        self._require_next(block)
        self._append(raw, block, self._outcome(block))

    def _append(self, raw: bytes, block: Block, outcome: BlockOutcome) -> None:
        location = self._blocks.append(raw)
        self._watch(Step.APPENDED)
        self._finish(_Unapplied(block, location, outcome))
        self._watch(Step.APPLIED)

    def _finish(self, unapplied: _Unapplied) -> None:
        """Apply a block that is in the file. What is synced is never taken back, so this may be tried again."""
        self._unapplied = unapplied
        self._apply(unapplied.block, unapplied.location, unapplied.outcome)
        self._unapplied = None

    def _apply(self, block: Block, location: Location, outcome: BlockOutcome) -> None:
        config = self._config or ChannelConfig.from_block(block)
        tip = Savepoint(
            channel=config.channel_id,
            height=block.number + 1,
            next_offset=location.next_offset,
            block_hash=block.hash,
            commit_hash=outcome.commit_hash,
        )
        self._opened.commit(
            BlockUpdate(
                savepoint=tip,
                location=location,
                changes=outcome.updates.spaces,
                private=outcome.private,
                expires=outcome.expires,
                history=outcome.history,
                transactions=outcome.transactions,
                events=outcome.events,
                purges=outcome.purges,
            )
        )
        self._config, self._tip = config, tip

    def _outcome(self, block: Block) -> BlockOutcome:
        if block.number == 0:
            return genesis_outcome(block.entries, parse_envelope(block.entries[0]).transaction_id)
        with self._opened.snapshot() as snapshot:
            return judge_block(block.number, block.entries, self.config, snapshot)

    def _require_next(self, block: Block) -> None:
        if block.number != self.height or block.previous_hash != self._tip.block_hash:
            raise MalformedInput(f"block {block.number} does not follow block {self.height - 1}")
        if block.data_hash != data_hash(block.entries) or not block.entries:
            raise MalformedInput(f"block {block.number}: its contents are not what its header says")
