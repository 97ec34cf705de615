"""Ports that count persisted steps and die at the chosen one: between any two of them a process may be killed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from bfl_chaincode.api.canonical import Json
from bfl_fabric.domain.ports import BlobStore, Checkpoint, Clock, Commit, Journal, Ledger, LedgerEvent
from bfl_fabric.errors import CommitStatusError, LedgerUnavailable
from bfl_fabric.testing.faults import CrashSwitch, Fault, FaultPlan


class CrashingBlobs:
    """A blob store whose owner may die at a write."""

    def __init__(self, inner: BlobStore, switch: CrashSwitch) -> None:
        self._inner = inner
        self._switch = switch

    def put(self, data: bytes) -> str:
        self._switch.before()
        digest = self._inner.put(data)
        self._switch.after()
        return digest

    def adopt(self, path: Path) -> str:
        self._switch.before()
        digest = self._inner.adopt(path)
        self._switch.after()
        return digest

    def has(self, digest: str) -> bool:
        return self._inner.has(digest)

    def path(self, digest: str) -> Path:
        return self._inner.path(digest)

    def read(self, digest: str) -> bytes:
        return self._inner.read(digest)


class CrashingJournal:
    """A journal whose owner may die at a record."""

    def __init__(self, inner: Journal, switch: CrashSwitch) -> None:
        self._inner = inner
        self._switch = switch

    def record(self, kind: str, key: str, value: str) -> None:
        self._switch.before()
        self._inner.record(kind, key, value)
        self._switch.after()

    def find(self, kind: str, key: str) -> str | None:
        return self._inner.find(kind, key)


class FaultyLedger:
    """A ledger connection that loses requests and responses, and whose owner may die at a submit."""

    def __init__(self, inner: Ledger, clock: Clock, faults: FaultPlan, switch: CrashSwitch) -> None:
        self._inner = inner
        self._clock = clock
        self._faults = faults
        self._switch = switch

    async def evaluate(self, transaction: str, request: Mapping[str, Json]) -> Json:
        return await self._inner.evaluate(transaction, request)

    async def submit(self, transaction: str, request: Mapping[str, Json]) -> Commit:
        fault = self._faults.take()
        if fault is Fault.REQUEST_LOST:
            raise LedgerUnavailable(f"{transaction} reached nobody")
        self._switch.before()
        commit = await self._inner.submit(transaction, request)
        self._switch.after()
        if fault is Fault.DUPLICATED:
            commit = await self._inner.submit(transaction, request)
        if fault is Fault.RESPONSE_LOST:
            raise CommitStatusError(f"nobody said what became of {transaction}", commit.transaction_id)
        return commit

    def events(
        self, after: Checkpoint | None = None, *, start_block: int | None = None
    ) -> AsyncIterator[LedgerEvent]:
        return self._inner.events(after, start_block=start_block)

    def blocks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        return self._inner.blocks(start, stop)
