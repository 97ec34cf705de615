"""Telling callers that something was committed.

Decides who waits for which transaction or height and that nobody misses a commit between asking and waiting, and
reads the events of a block once for all who wait for them. What is committed, the ledger says.
"""

from __future__ import annotations

import asyncio
import functools
import itertools

from bfl_fabric.embedded.block_events import BlockEvents
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.embedded.snapshot import TransactionPlace
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus

KEPT_BLOCKS = 64
"""Streams are mostly at the newest block; those that catch up read for themselves."""


class CommitBoard:
    """Who waits for what. Everything happens in one event loop; `announce` is called after each commit."""

    def __init__(self, ledger: EmbeddedLedger) -> None:
        self._ledger = ledger
        self._transactions: dict[str, set[asyncio.Future[TransactionPlace]]] = {}
        self._grown = asyncio.Event()
        self._is_closed = False
        self.events_of = functools.lru_cache(KEPT_BLOCKS)(self._events_of)
        """The `BlockEvents` of a committed block, by its number."""

    async def committed(self, transaction_id: str) -> TransactionPlace:
        """Return where a transaction stands, once it is committed. Raises GatewayFailure when the ledger stops."""
        self._require_open()
        place = self._ledger.transaction_status(transaction_id)
        if place is not None:
            return place
        waiting: asyncio.Future[TransactionPlace] = asyncio.get_running_loop().create_future()
        everybody = self._transactions.setdefault(transaction_id, set())
        everybody.add(waiting)
        try:
            return await waiting
        finally:
            everybody.discard(waiting)
            if not everybody:
                del self._transactions[transaction_id]

    async def higher_than(self, height: int) -> int:
        """Return the height once it is above `height`. Raises GatewayFailure when the ledger stops."""
        while True:
            self._require_open()
            if self._ledger.height > height:
                return self._ledger.height
            await self._grown.wait()

    def _events_of(self, number: int) -> BlockEvents:
        found = self._ledger.events(number, limit=1)
        return BlockEvents(number, [event for block, event in found if block == number])

    def announce(self) -> None:
        """Wake everybody for whom something may have been committed."""
        self._wake_streams()
        for transaction_id, place in self._ledger.transaction_places(self._transactions).items():
            for waiting in self._transactions[transaction_id]:
                if not waiting.done():
                    waiting.set_result(place)

    def close(self) -> None:
        """End all waits."""
        self._is_closed = True
        self._wake_streams()
        for waiting in itertools.chain.from_iterable(self._transactions.values()):
            if not waiting.done():
                waiting.set_exception(_closed())

    def _wake_streams(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _require_open(self) -> None:
        if self._is_closed:
            raise _closed()


def _closed() -> GatewayFailure:
    return GatewayFailure(GatewayStatus.UNAVAILABLE, "the ledger is shutting down")
