"""What a node has read of the ledger and need not read again: lists that change with few transactions.

Decides which answers are kept and until when: until a transaction that may change them is seen, and never for long,
since a stream of events can stand still. Rounds are not kept: what is done with them hangs on their newest state.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from weakref import WeakValueDictionary

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_fabric.domain.ports import Checkpoint, Clock, Commit, Ledger, LedgerEvent

KEPT_MS = 15_000

CHANGED_BY: Mapping[str, tuple[str, ...]] = {
    "federation:ListNodes": ("federation:",),
    "federation:ListOrganizations": ("federation:",),
    "federation:ListParticipants": ("federation:",),
    "task:List": ("task:",),
    "model:Lineage": ("task:", "round:PublishModel"),
    "key:List": ("key:",),
    "key:ListCeremonies": ("key:",),
    "key:GetCeremony": ("key:",),
}
"""By query whose answer is kept: how the names of the transactions begin that may change it."""


class RememberingLedger:
    """The port `Ledger` over another one. Answers are kept while somebody takes its events, and shared: they may not
    be changed."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._kept: dict[tuple[str, bytes], tuple[int, Json]] = {}
        self._asking: WeakValueDictionary[tuple[str, bytes], asyncio.Lock] = WeakValueDictionary()
        self._changes = 0
        self._listeners = 0

    async def evaluate(self, transaction: str, request: Mapping[str, Json]) -> Json:
        if transaction not in CHANGED_BY or not self._listeners:
            return await self._ledger.evaluate(transaction, request)
        key = transaction, canonical.dump(dict(request))
        turn = self._asking.setdefault(key, asyncio.Lock())
        async with turn:  # who waited here finds what the one before kept
            return await self._answer(key, transaction, request)

    async def _answer(self, key: tuple[str, bytes], transaction: str, request: Mapping[str, Json]) -> Json:
        until_ms, answer = self._kept.get(key, (0, None))
        if self._clock.now_ms() < until_ms:
            return answer
        changes, asked_ms = self._changes, self._clock.now_ms()
        answer = await self._ledger.evaluate(transaction, request)
        if changes == self._changes:  # otherwise it may be from before the change
            self._kept[key] = asked_ms + KEPT_MS, answer
        return answer

    async def submit(self, transaction: str, request: Mapping[str, Json]) -> Commit:
        try:
            return await self._ledger.submit(transaction, request)
        finally:
            self._forget(transaction)

    async def events(
        self, after: Checkpoint | None = None, *, start_block: int | None = None
    ) -> AsyncIterator[LedgerEvent]:
        self._listeners += 1
        self._forget_all()
        try:
            async for event in self._ledger.events(after, start_block=start_block):
                self._forget(event.name)
                yield event
        finally:
            self._listeners -= 1

    def blocks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        return self._ledger.blocks(start, stop)

    def _forget(self, transaction: str) -> None:
        """Drop every answer that this transaction may have changed."""
        changed = frozenset(query for query, names in CHANGED_BY.items() if transaction.startswith(names))
        if changed:
            self._changes += 1
            self._kept = {key: kept for key, kept in self._kept.items() if key[0] not in changed}

    def _forget_all(self) -> None:
        self._changes += 1
        self._kept.clear()
