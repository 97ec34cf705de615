"""Telling callers that something was committed.

Decides who waits for which transaction or height and that nobody misses a commit between asking and waiting. What
is committed, the ledger says.
"""

from __future__ import annotations

import asyncio

from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.embedded.snapshot import TransactionPlace
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus


class CommitBoard:
    """Who waits for what. Everything happens in one event loop; `announce` is called after each commit."""

    def __init__(self, ledger: EmbeddedLedger) -> None:
        self._ledger = ledger
        self._transactions: dict[str, asyncio.Event] = {}
        self._waiting: dict[str, int] = {}
        self._grown = asyncio.Event()
        self._is_closed = False

    async def committed(self, transaction_id: str) -> TransactionPlace:
        """Return where a transaction stands, once it is committed. Raises GatewayFailure when the ledger stops."""
        event = self._transactions.setdefault(transaction_id, asyncio.Event())
        self._waiting[transaction_id] = self._waiting.get(transaction_id, 0) + 1
        try:
            while True:
                self._require_open()
                place = self._ledger.transaction_status(transaction_id)
                if place is not None:
                    return place
                await event.wait()
                event.clear()
        finally:
            self._waiting[transaction_id] -= 1
            if not self._waiting[transaction_id]:
                del self._waiting[transaction_id], self._transactions[transaction_id]

    async def higher_than(self, height: int) -> int:
        """Return the height once it is above `height`. Raises GatewayFailure when the ledger stops."""
        while True:
            self._require_open()
            if self._ledger.height > height:
                return self._ledger.height
            await self._grown.wait()

    def announce(self) -> None:
        """Wake everybody for whom something may have been committed."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        for transaction_id, event in self._transactions.items():
            if self._is_closed or self._ledger.transaction_status(transaction_id) is not None:
                event.set()

    def close(self) -> None:
        """End all waits."""
        self._is_closed = True
        self.announce()

    def _require_open(self) -> None:
        if self._is_closed:
            raise GatewayFailure(GatewayStatus.UNAVAILABLE, "the ledger is shutting down")
