"""Sending receipts together: the uploads of a round come at nearly the same time, and one transaction takes many.

Decides how many transactions the receipts of a round take. When a receipt is due, and what is checked before, is left
to `holding`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.limits import RECEIPTS_LIMIT
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.workbench import Workbench

ENOUGH = 32
"""So many receipts wait for no others: a loop has no more under way at once (`LoopTerms.actions_at_once`)."""

ON_THEIR_WAY_SECONDS = 0.5
"""How long the receipts of a node wait for the next upload. Silos that deliver together lose no time by it, for the
round is sealed once all have arrived; one that comes alone loses so much."""

WAITS = 4
"""So many times as long receipts wait at most, however many come one after the other."""


@dataclass(frozen=True, slots=True)
class Acknowledge(Action):
    """Check an upload that is here and sign a receipt for it."""

    leads_on: ClassVar[bool] = False
    participant_id: str
    digest: str


@dataclass(eq=False, slots=True)
class _Receipt:
    """A receipt on its way; `is_over` once a transaction with it has ended, with `error` if it was in vain."""

    action: Acknowledge
    is_over: bool = False
    error: Exception | None = None


class _Desk:
    """The receipts of one round: those that are hoped for, are being checked or wait, and the turn of who sends."""

    def __init__(self) -> None:
        self.checking = 0
        self.waiting: list[_Receipt] = []
        self.hoped: set[str] = set()
        self.sent: set[str] = set()
        self.turn = asyncio.Lock()
        self.changed = asyncio.Event()

    def may_go(self, *, is_late: bool) -> bool:
        """Say whether those that wait need not wait for others; `is_late` when hoping has lasted long enough."""
        if len(self.waiting) >= ENOUGH:
            return True
        here = {one.action.participant_id for one in self.waiting}
        return not self.checking and (is_late or self.hoped - self.sent <= here)


class ReceiptDesk:
    """Sends one organization's receipts: for each round one transaction at a time, with all that wait.

    They wait `on_their_way_seconds` for other uploads that are expected, and as long again when one has come,
    `WAITS` times as long at most.
    """

    def __init__(self, bench: Workbench, on_their_way_seconds: float = 0.0) -> None:
        self._bench = bench
        self._on_their_way_seconds = on_their_way_seconds
        self._desks: dict[tuple[str, int], _Desk] = {}

    @contextmanager
    def expecting(self, action: Acknowledge) -> Iterator[None]:
        """Say that a receipt may soon be there: while its upload is checked, the others of the round wait for it."""
        desk = self._desks.setdefault((action.task_id, action.round), _Desk())
        desk.checking += 1
        try:
            yield
        finally:
            desk.checking -= 1
            self._settle(action, desk)

    async def send(self, action: Acknowledge, expected: Collection[str] = ()) -> None:
        """Return once the receipt is on the ledger; `expected` are the participants whose uploads may still come.

        Raises the LedgerError family, to all that went together.
        """
        desk = self._desks.setdefault((action.task_id, action.round), _Desk())
        receipt = _Receipt(action)
        desk.waiting.append(receipt)
        desk.hoped.update(expected)
        desk.changed.set()
        try:
            async with desk.turn:
                if not receipt.is_over:
                    await self._gathered(desk)
                    others = [other for other in desk.waiting if other is not receipt]
                    await self._transact(desk, [receipt, *others][:RECEIPTS_LIMIT])
        finally:
            if not receipt.is_over:  # cancelled: the others wait for the next turn
                desk.waiting.remove(receipt)
            self._settle(action, desk)
        if receipt.error is not None:
            raise receipt.error

    async def _gathered(self, desk: _Desk) -> None:
        """Wait until those that wait may go."""
        last, late, here = self._timer(WAITS), self._timer(1), len(desk.waiting)
        try:
            while not desk.may_go(is_late=late.done() or last.done()):
                if len(desk.waiting) > here and not late.done():
                    late.cancel()
                    late, here = self._timer(1), len(desk.waiting)
                desk.changed.clear()
                changed = asyncio.create_task(desk.changed.wait())
                try:
                    timers = [timer for timer in (late, last) if not timer.done()]
                    await asyncio.wait([changed, *timers], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
        finally:
            late.cancel()
            last.cancel()

    def _timer(self, waits: int) -> asyncio.Task[None]:
        return asyncio.create_task(self._bench.ports.clock.sleep(waits * self._on_their_way_seconds))

    def _settle(self, action: Acknowledge, desk: _Desk) -> None:
        desk.changed.set()
        if not desk.checking and not desk.waiting:
            self._desks.pop((action.task_id, action.round), None)

    async def _transact(self, desk: _Desk, batch: list[_Receipt]) -> None:
        action = batch[0].action
        uploads: list[Json] = [
            {"participant_id": one.action.participant_id, "digest": one.action.digest} for one in batch
        ]
        request: dict[str, Json] = {"task_id": action.task_id, "round": action.round, "uploads": uploads}
        error: Exception | None = None
        try:
            await self._bench.transact(action, "round:AcknowledgeUploads", request)
        except Exception as failure:
            error = failure
        for one in batch:
            one.is_over, one.error = True, error
            if error is None:
                desk.sent.add(one.action.participant_id)
        desk.waiting = [one for one in desk.waiting if not one.is_over]  # who was cancelled is gone already
