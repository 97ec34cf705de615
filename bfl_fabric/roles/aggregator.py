"""The aggregator: takes uploads, signs receipts, adds the sealed set up and proposes the sum.

Decides when the sum can be made. Which updates are in it is the contract's seal; whether it is right is found by
the verifiers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import NodeRole, Phase, RoundView, TaskStatus
from bfl_fabric.domain.ports import LedgerEvent
from bfl_fabric.roles.actions import Action, in_phase
from bfl_fabric.roles.evidence import round_of
from bfl_fabric.roles.fetching import Fetcher
from bfl_fabric.roles.hearing import DEAF_TO
from bfl_fabric.roles.holding import (
    Custody,
    FetchUpdate,
    fetches_due,
    receipts_due,
)
from bfl_fabric.roles.models import ModelChecks
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.receipts import Acknowledge, ReceiptDesk
from bfl_fabric.roles.schemes import TaskSchemes, UploadChecks
from bfl_fabric.roles.workbench import Workbench


@dataclass(frozen=True, slots=True)
class ProposeAggregate(Action):
    """Add the members' uploads up, score them, and put the digests on the ledger."""

    leads_on: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class AggregatorState:
    """What the aggregator knows beside the ledger: the digests of the round's updates in its store."""

    msp_id: str
    held: frozenset[str]


def due(view: RoundView, me: AggregatorState) -> list[Action]:
    """Return what an aggregator has to do."""
    if view.task.spec.roles.aggregator != me.msp_id:
        return []
    if in_phase(view, Phase.COLLECTING):
        return receipts_due(view, me.msp_id, me.held)
    if in_phase(view, Phase.SEALED):
        round_ = round_of(view)
        return fetches_due(view, me.held) or [ProposeAggregate(round_.task_id, round_.number)]
    return []


class AggregatorRole:
    """The reconciler of an aggregator node, for every running task that names its organization."""

    def __init__(
        self,
        bench: Workbench,
        checks: UploadChecks,
        schemes: TaskSchemes,
        receipts: ReceiptDesk | None = None,
    ) -> None:
        self._bench = bench
        self._reader = LedgerReader(bench.ports.ledger)
        fetcher = Fetcher(bench, self._reader)
        self._schemes = schemes
        self._checks = checks
        self._custody = Custody(
            bench, fetcher, checks, ModelChecks(bench, self._reader, fetcher), receipts or ReceiptDesk(bench)
        )

    @property
    def name(self) -> str:
        return self._bench.identity.name

    async def survey(self) -> list[Action]:
        found: list[Action] = []
        for task in await self._reader.tasks():
            if (
                task.status is TaskStatus.RUNNING
                and task.spec.roles.aggregator == self._bench.identity.msp_id
            ):
                view = await self._reader.current(task.spec.task_id)
                found += due(view, AggregatorState(self._bench.identity.msp_id, self._custody.held(view)))
        return found

    def is_deaf_to(self, event: LedgerEvent) -> bool:
        return event.name in DEAF_TO[NodeRole.AGGREGATOR]

    async def stirred(self) -> None:
        await self._checks.arrival()

    async def perform(self, action: Action) -> None:
        view = await self._reader.seen(action.task_id, action.round)
        match action:
            case Acknowledge():
                await self._custody.acknowledge(action, view)
            case FetchUpdate():
                await self._custody.fetch(action, view)
            case ProposeAggregate():
                await self._propose(action, view)
            case _:
                raise TypeError(f"no action of an aggregator: {action.label}")

    async def _propose(self, action: ProposeAggregate, view: RoundView) -> None:
        made = await self._custody.recompute(action, view, self._schemes)
        request: dict[str, Json] = {
            "task_id": action.task_id,
            "round": action.round,
            "aggregate_digest": made.aggregate_digest,
            "aggregate_bytes": made.aggregate_bytes,
            "scores_digest": made.scores_digest,
        }
        await self._bench.transact(action, "round:ProposeAggregate", request)
