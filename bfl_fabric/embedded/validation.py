"""What becomes of each transaction of a block, and what the block changes.

Decides what follows from the verdicts of `bfl_fabric.fabric.validation` (the same that an auditor comes to) for the
indexes, the history, the events and the private values. All but the private values is a function of the blocks
alone, so that replaying them gives the same state. Storing it is left to `statedb`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bfl_fabric.embedded.private import PrivateSet, parse_private
from bfl_fabric.embedded.readwriteset import hashed
from bfl_fabric.embedded.snapshot import KnownTransactions, Snapshot
from bfl_fabric.fabric.blocks import commit_hash
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.endorsement import event_message
from bfl_fabric.fabric.envelopes import Action, ValidationCode
from bfl_fabric.fabric.lifecycle import Definition, find_definition
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.state import Key, Space, Updates, Versioned
from bfl_fabric.fabric.validation import BlockVerdict, Verdict, validate_entries
from bfl_fabric.fabric.wire import write


@dataclass(slots=True)
class BlockOutcome:
    """One validation code per entry, and what the valid ones change. `purges` says that private values go."""

    flags: bytes
    updates: Updates
    commit_hash: bytes = b""
    transactions: list[tuple[str, int, int]] = field(default_factory=list)
    history: list[tuple[str, str, int]] = field(default_factory=list)
    events: list[tuple[int, bytes]] = field(default_factory=list)
    private: dict[tuple[Space, Key], Versioned] = field(default_factory=dict)
    expires: dict[tuple[Space, Key], int] = field(default_factory=dict)
    purges: bool = False


def genesis_outcome(entries: Sequence[bytes], transaction_id: str) -> BlockOutcome:
    """Return what block 0 changes: nothing but the index. Its one entry is signed by nobody and valid."""
    outcome = BlockOutcome(bytes(len(entries)), Updates())
    outcome.transactions.append((transaction_id, 0, ValidationCode.VALID))
    return outcome


def judge_block(
    number: int, entries: Sequence[bytes], config: ChannelConfig, snapshot: Snapshot
) -> BlockOutcome:
    """Return the verdicts on these serialized envelopes and their consequences; `snapshot` is of the block before."""
    verdict = validate_entries(number, entries, config, snapshot, KnownTransactions(snapshot))
    outcome = _Consequences(number, snapshot).of(verdict)
    previous = snapshot.savepoint.commit_hash if snapshot.savepoint else b""
    outcome.commit_hash = commit_hash(outcome.flags, outcome.updates.serialize(), previous)
    return outcome


class _Consequences:
    def __init__(self, number: int, snapshot: Snapshot) -> None:
        self._number = number
        self._snapshot = snapshot
        self._definitions: dict[str, Definition | None] = {}

    def of(self, verdict: BlockVerdict) -> BlockOutcome:
        outcome = BlockOutcome(verdict.flags, verdict.updates)
        for position, item in enumerate(verdict.verdicts):
            if item.transaction_id:
                outcome.transactions.append((item.transaction_id, position, int(item.code)))
            if item.code is ValidationCode.VALID and item.action is not None:
                self._index(item.action, position, outcome)
                self._note_expiry(item.action, outcome)
                self._take_private(item, item.action, Height(self._number, position), outcome)
        return outcome

    def _index(self, action: Action, position: int, outcome: BlockOutcome) -> None:
        for part in action.rwset:
            outcome.history.extend((part.namespace, item.key, position) for item in part.writes)
        if action.event is not None:
            outcome.events.append((position, write(event_message(action.event))))

    def _note_expiry(self, action: Action, outcome: BlockOutcome) -> None:
        for space, key, value_hash in _hashed_writes(action):
            outcome.expires.pop((space, key), None)
            block_to_live = self._block_to_live(space)
            if value_hash is not None and block_to_live:
                outcome.expires[(space, key)] = self._number + block_to_live + 1

    def _take_private(self, verdict: Verdict, action: Action, height: Height, outcome: BlockOutcome) -> None:
        """Take over private values whose hash the block names; a deleted hash takes its value with it."""
        for space, key, value_hash in _hashed_writes(action):
            if value_hash is None:
                outcome.private[(space, key)] = Versioned(None, None, height)
                outcome.purges = True
        if not any(part.collections for part in action.rwset):
            return
        raw = self._snapshot.find_transient(verdict.transaction_id)
        for written in parse_private(raw) if raw else ():
            if hashlib.sha256(written.raw).digest() == _private_hash(action, written):
                for item in written.writes:
                    name = (written.space, hashed(item.key))
                    outcome.private[name] = Versioned(item.value, None, height)

    def _block_to_live(self, space: Space) -> int:
        if space.namespace not in self._definitions:
            self._definitions[space.namespace] = find_definition(self._snapshot, space.namespace)
        definition = self._definitions[space.namespace]
        known = definition.collections.get(space.collection) if definition else None
        return known.block_to_live if known else 0


def _hashed_writes(action: Action) -> Iterator[tuple[Space, Key, bytes | None]]:
    for part in action.rwset:
        for collection in part.collections:
            space = Space(part.namespace, collection.name)
            yield from ((space, item.key_hash, item.value_hash) for item in collection.writes)


def _private_hash(action: Action, written: PrivateSet) -> bytes | None:
    """Return the hash that the block names for a collection's private writes."""
    for part in action.rwset:
        for collection in part.collections:
            if Space(part.namespace, collection.name) == written.space:
                return collection.private_hash
    return None
