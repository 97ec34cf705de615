"""A task as an application sees it: follow it, read rewards, lineage and the model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    PACKED_SCHEME,
    Ceremony,
    CeremonyView,
    KeyEpoch,
    ModelRecord,
    Payout,
    Phase,
    Reputation,
    RoundView,
    TaskStatus,
    from_json,
)
from bfl_fabric.errors import BflError

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector
    from bfl_fabric.sdk.federation import AsyncFederation

FINISHED = (TaskStatus.CLOSED, TaskStatus.ABANDONED)


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """One round at a glance, as progress displays show it.

    Under a shared key `opened_by` are the organizations that opened it, in attempt number `attempt`.
    """

    number: int
    phase: Phase
    cohort: int
    committed: int
    delivered: int
    upload_bytes: int
    accuracy_ppb: int | None
    reason: str
    opened_by: tuple[str, ...] = ()
    attempt: int = 0


def missing_for_start(view: RoundView, participants: int) -> str | None:
    """Return what a task still lacks before it can start with so many participants, None when nothing."""
    registered = len(view.registrations)
    if registered < participants:
        return f"{registered} of {participants} participants registered"
    if view.key_epoch is None:
        return "its key is not made"
    if view.task.spec.encryption.scheme == PACKED_SCHEME and len(view.grants) < registered:
        return f"{len(view.grants)} of {registered} participants were given the key"
    return None


class TaskAbandoned(BflError):
    """The task ended without its last round; the message says why."""


class AsyncTask:
    """A handle on one task; everything it returns is read from the ledger afresh."""

    def __init__(self, federation: AsyncFederation, task_id: str) -> None:
        self._federation = federation
        self.task_id = task_id

    async def view(self, number: int | None = None) -> RoundView:
        """Return a round with all its evidence: the newest, or the one with this number."""
        if number is None:
            answer = await self._federation.evaluate("round:GetCurrent", {"task_id": self.task_id})
        else:
            answer = await self._federation.evaluate("round:Get", {"task_id": self.task_id, "round": number})
        return from_json(RoundView, answer)

    async def start(self, participants: int, timeout_seconds: float = 120) -> None:
        """Start the task as soon as `participants` silos have registered, its key is made, and who needs it has it."""
        deadline = self._federation.clock.now_ms() + int(timeout_seconds * 1000)
        while (lacks := missing_for_start(await self.view(), participants)) is not None:
            if self._federation.clock.now_ms() > deadline:
                raise BflError(
                    f"task {self.task_id} cannot start: {lacks} after {timeout_seconds:.0f} s; "
                    "see the logs of the silos and of the key holders"
                )
            await self._federation.clock.sleep(0.2)
        await self._federation.submit("task:Start", {"task_id": self.task_id})

    async def epochs(self) -> list[KeyEpoch]:
        """Return the task's key epochs, the newest last."""
        answer = await self._federation.evaluate("key:List", {"task_id": self.task_id})
        return self._federation.records(KeyEpoch, answer)

    async def ceremonies(self) -> list[CeremonyView]:
        """Return every ceremony for a joint key with its evidence, the newest last."""
        answer = await self._federation.evaluate("key:ListCeremonies", {"task_id": self.task_id})
        found = []
        for ceremony in self._federation.records(Ceremony, answer):
            request: dict[str, Json] = {"task_id": self.task_id, "epoch": ceremony.epoch}
            found.append(from_json(CeremonyView, await self._federation.evaluate("key:GetCeremony", request)))
        return found

    async def pause(self, seconds: float) -> None:
        """Wait before looking again."""
        await self._federation.clock.sleep(seconds)

    async def follow(self) -> AsyncIterator[RoundSummary]:
        """Yield the newest round whenever something changed, until the task has ended."""
        shown: dict[int, RoundSummary] = {}
        while True:
            view = await self.view()
            newest = view.round.number if view.round else 0
            for number in range(max(shown, default=0) or 1, newest + 1):
                current = view if number == newest else await self.view(number)
                summary = await self._summary(current)
                if summary is not None and summary != shown.get(number):
                    shown[number] = summary
                    yield summary
            if view.task.status in FINISHED:
                return
            await self._federation.clock.sleep(0.1)

    async def wait(self, on_progress: Callable[[RoundSummary], None] | None = None) -> None:
        """Return when the task is closed. Raises TaskAbandoned with the reason when it was given up."""
        async for summary in self.follow():
            if on_progress is not None:
                on_progress(summary)
        view = await self.view()
        if view.task.status is TaskStatus.ABANDONED:
            raise TaskAbandoned(f"task {self.task_id} was abandoned: {view.task.reason}")

    async def lineage(self) -> list[ModelRecord]:
        """Return every model of the task, the initial one first."""
        answer = await self._federation.evaluate("model:Lineage", {"task_id": self.task_id})
        return self._federation.records(ModelRecord, answer)

    async def rewards(self) -> dict[str, int]:
        """Return what each participant has earned in this task, in minor units."""
        earned = {registration.participant_id: 0 for registration in (await self.view()).registrations}
        for payout in await self.payouts():
            earned[payout.participant_id] = earned.get(payout.participant_id, 0) + payout.amount
        return earned

    async def payouts(self) -> list[Payout]:
        """Return every line of every settlement, in round order."""
        newest = (await self.view()).round
        views = [await self.view(number) for number in range(1, (newest.number if newest else 0) + 1)]
        return [payout for view in views if view.settlement for payout in view.settlement.payouts]

    async def reputations(self) -> list[Reputation]:
        answer = await self._federation.evaluate("reputation:List", {"task_id": self.task_id})
        return self._federation.records(Reputation, answer)

    async def model(self, number: int | None = None) -> Float32Vector:
        """Return a published model, by default the newest, as float32[parameter_count], digest-checked."""
        lineage = await self.lineage()
        record = lineage[-1] if number is None else next(item for item in lineage if item.round == number)
        return await self._federation.fetch_model(record)

    async def _summary(self, view: RoundView) -> RoundSummary | None:
        if view.round is None:
            return None
        required = view.task.spec.verification.receipts
        receipts = [receipt.participant_id for receipt in view.receipts]
        accuracy = None
        if view.round.phase in (Phase.PUBLISHED, Phase.SETTLED):
            request: dict[str, Json] = {"task_id": self.task_id, "round": view.round.number}
            record = from_json(ModelRecord, await self._federation.evaluate("model:Get", request))
            accuracy = record.metrics.accuracy_ppb
        return RoundSummary(
            number=view.round.number,
            phase=view.round.phase,
            cohort=len(view.round.cohort),
            committed=len(view.updates),
            delivered=sum(1 for name in set(receipts) if receipts.count(name) >= required),
            upload_bytes=sum(u.size_bytes * receipts.count(u.participant_id) for u in view.updates),
            accuracy_ppb=accuracy,
            reason=view.round.reason,
            opened_by=view.openings[-1].members if view.openings and view.round.sum_digest else (),
            attempt=view.openings[-1].attempt if view.openings else 0,
        )
