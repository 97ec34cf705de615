"""A scripted ledger: answers queries from a table, refuses what it is told to refuse, keeps what was submitted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.events import VERSION, ContractEvent
from bfl_fabric.domain.ports import Checkpoint, Commit, LedgerEvent
from bfl_fabric.errors import EvaluateError, LedgerError


class ScriptedLedger:
    """The port Ledger for tests of one actor. `answers` holds the answer of each query by its name."""

    def __init__(self) -> None:
        self.answers: dict[str, Json] = {}
        self.failures: dict[str, LedgerError] = {}
        self.submitted: list[tuple[str, dict[str, Json]]] = []
        self.evaluated: list[str] = []
        self._events: asyncio.Queue[LedgerEvent | LedgerError] = asyncio.Queue()

    async def evaluate(self, transaction: str, request: Mapping[str, Json]) -> Json:
        self.evaluated.append(transaction)
        self._fail(transaction)
        if transaction not in self.answers:
            raise EvaluateError(f"no answer scripted for {transaction}")
        return self.answers[transaction]

    async def submit(self, transaction: str, request: Mapping[str, Json]) -> Commit:
        self._fail(transaction)
        self.submitted.append((transaction, dict(request)))
        number = len(self.submitted)
        return Commit(f"{number:064x}", number, None)

    async def events(
        self, after: Checkpoint | None = None, *, start_block: int | None = None
    ) -> AsyncIterator[LedgerEvent]:
        while True:
            event = await self._events.get()
            if isinstance(event, LedgerError):
                raise event
            yield event

    async def blocks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        nothing: tuple[bytes, ...] = ()
        for block in nothing:
            yield block

    def emit(self, name: str) -> None:
        """Send one event to whoever listens."""
        contract, transaction = name.split(":")
        event = ContractEvent(VERSION, contract, transaction, "", 0, ())
        self._events.put_nowait(LedgerEvent(name, "0" * 64, 1, event))

    def break_events(self, error: LedgerError) -> None:
        """Break the event stream off."""
        self._events.put_nowait(error)

    def _fail(self, transaction: str) -> None:
        if transaction in self.failures:
            raise self.failures[transaction]
