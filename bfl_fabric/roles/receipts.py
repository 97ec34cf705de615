"""Sending receipts together: the uploads of a round come at nearly the same time, and one transaction takes many.

Decides how many transactions the receipts of a round take. When a receipt is due, and what is checked before, is left
to `holding`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.limits import RECEIPTS_LIMIT
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.workbench import Workbench

ENOUGH = 8
"""So many receipts wait for no others: a loop has no more under way at once (`LoopTerms.actions_at_once`)."""


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
    """The receipts of one round: those that are expected, those that wait, and the turn of who sends."""

    def __init__(self) -> None:
        self.expected = 0
        self.waiting: list[_Receipt] = []
        self.turn = asyncio.Lock()
        self.may_go = asyncio.Event()

    def changed(self) -> None:
        if self.expected and len(self.waiting) < ENOUGH:
            self.may_go.clear()
        else:
            self.may_go.set()


class ReceiptDesk:
    """Sends one organization's receipts: for each round one transaction at a time, with all that wait."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._desks: dict[tuple[str, int], _Desk] = {}

    @contextmanager
    def expecting(self, action: Acknowledge) -> Iterator[None]:
        """Say that a receipt may soon be there: while its upload is checked, the others of the round wait for it."""
        desk = self._desks.setdefault((action.task_id, action.round), _Desk())
        desk.expected += 1
        desk.changed()
        try:
            yield
        finally:
            desk.expected -= 1
            self._settle(action, desk)

    async def send(self, action: Acknowledge) -> None:
        """Return once the receipt is on the ledger. Raises the LedgerError family, to all that went together."""
        desk = self._desks.setdefault((action.task_id, action.round), _Desk())
        receipt = _Receipt(action)
        desk.waiting.append(receipt)
        desk.changed()
        try:
            async with desk.turn:
                if not receipt.is_over:
                    await desk.may_go.wait()
                    others = [other for other in desk.waiting if other is not receipt]
                    await self._transact(desk, [receipt, *others][:RECEIPTS_LIMIT])
        finally:
            if not receipt.is_over:  # cancelled: the others wait for the next turn
                desk.waiting.remove(receipt)
            self._settle(action, desk)
        if receipt.error is not None:
            raise receipt.error

    def _settle(self, action: Acknowledge, desk: _Desk) -> None:
        desk.changed()
        if not desk.expected and not desk.waiting:
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
        desk.waiting = [one for one in desk.waiting if not one.is_over]  # who was cancelled is gone already
