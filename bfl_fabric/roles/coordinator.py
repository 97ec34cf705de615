"""The coordinator: moves a task from round to round, makes the new model of the released sum, and gives up in time.

Decides only what the contract leaves to a coordinator: when to ask for the next step and when a round cannot
succeed any more. Everything it publishes can be computed again by everybody (`models`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import Metrics, NodeRole, Phase, RoundView, TaskStatus, to_json
from bfl_fabric.domain.ports import Evaluator, LedgerEvent
from bfl_fabric.roles import attempts
from bfl_fabric.roles.actions import Action, Submit, never, of_round, of_task
from bfl_fabric.roles.ceremony import is_usable
from bfl_fabric.roles.evidence import agreed, agreement_possible, delivered, round_of
from bfl_fabric.roles.fetching import SUM_SOURCES, Fetcher
from bfl_fabric.roles.hearing import DEAF_TO
from bfl_fabric.roles.models import ModelChecks
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.workbench import Workbench

REASON_CHARACTERS = 500
"""The longest reason that the contract takes."""


@dataclass(frozen=True, slots=True)
class PublishModel(Action):
    """Add the released sum to the base model, evaluate, store, and put the digests on the ledger."""

    leads_on: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a coordinator waits for the others before it aborts a round, and how often before it gives up."""

    stage_seconds: int = 600
    aborts_in_a_row: int = 3


@dataclass(frozen=True, slots=True)
class CoordinatorState:
    """What the coordinator knows beside the view: the last round with a model, the active organizations.

    `has_key` says that the task's newest key is neither retired nor expired, so that a round can be opened under it.
    """

    msp_id: str
    now_ms: int
    last_published_round: int
    organizations: frozenset[str]
    patience: Patience
    has_key: bool = True


def due(view: RoundView, me: CoordinatorState) -> list[Action]:
    """Return the next step of a task, at most one."""
    mine = view.task.spec.roles.coordinator == me.msp_id
    if not mine or view.task.status is not TaskStatus.RUNNING:
        return []
    if view.round is None:
        return _open(view, me)
    step = _STEPS.get(view.round.phase)
    return [] if step is None else step(view, me)


def _collecting(view: RoundView, me: CoordinatorState) -> list[Action]:
    round_ = round_of(view)
    everybody = delivered(view) >= frozenset(round_.cohort)
    return [of_round("round:Seal", view)] if everybody or me.now_ms >= round_.deadline_at else []


def _waiting(view: RoundView, me: CoordinatorState) -> list[Action]:
    round_ = round_of(view)
    if me.now_ms < round_.changed_at + me.patience.stage_seconds * 1000:
        return []
    return [_abort(view, f"stood {me.patience.stage_seconds} s in phase {round_.phase}")]


def _aggregated(view: RoundView, me: CoordinatorState) -> list[Action]:
    if agreed(view):
        return [of_round("round:ConfirmAggregate", view)]
    if not agreement_possible(view, me.organizations):
        return [_abort(view, "the organizations computed different aggregates; too few can still attest one")]
    return _waiting(view, me)


def _released(view: RoundView, me: CoordinatorState) -> list[Action]:
    round_ = round_of(view)
    return [PublishModel(round_.task_id, round_.number)]


def _published(view: RoundView, me: CoordinatorState) -> list[Action]:
    return [of_round("reward:Settle", view)]


def _settled(view: RoundView, me: CoordinatorState) -> list[Action]:
    if view.settled_rounds >= view.task.spec.schedule.rounds:
        return [of_task("task:Close", view.task.spec.task_id)]
    return _open(view, me)


def _aborted(view: RoundView, me: CoordinatorState) -> list[Action]:
    round_ = round_of(view)
    in_a_row = round_.number - me.last_published_round
    if in_a_row < me.patience.aborts_in_a_row:
        return _open(view, me)
    reason = f"{in_a_row} rounds in a row were aborted, the last one because: {round_.reason}"
    return [of_task("task:Abandon", round_.task_id, reason=reason[:REASON_CHARACTERS])]


_STEPS: dict[Phase, Callable[[RoundView, CoordinatorState], list[Action]]] = {
    Phase.COLLECTING: _collecting,
    Phase.SEALED: _waiting,
    Phase.AGGREGATED: _aggregated,
    Phase.VERIFIED: _waiting,
    Phase.RELEASED: _released,
    Phase.PUBLISHED: _published,
    Phase.SETTLED: _settled,
    Phase.ABORTED: _aborted,
}


def _open(view: RoundView, me: CoordinatorState) -> list[Action]:
    return [of_task("round:Open", view.task.spec.task_id)] if me.has_key else []


def _abort(view: RoundView, reason: str) -> Submit:
    return of_round("round:Abort", view, reason=reason)


class CoordinatorRole:
    """The reconciler of a coordinator node, for every running task that names its organization."""

    def __init__(self, bench: Workbench, evaluator: Evaluator, patience: Patience) -> None:
        self._bench = bench
        self._evaluator = evaluator
        self._patience = patience
        self._reader = LedgerReader(bench.ports.ledger)
        self._fetcher = Fetcher(bench, self._reader)
        self._models = ModelChecks(bench, self._reader, self._fetcher)

    @property
    def name(self) -> str:
        return self._bench.identity.name

    async def survey(self) -> list[Action]:
        found: list[Action] = []
        for task in await self._reader.tasks():
            mine = task.spec.roles.coordinator == self._bench.identity.msp_id
            if mine and task.status is TaskStatus.RUNNING:
                view = await self._reader.current(task.spec.task_id)
                found += due(view, await self._state(view))
        return found

    async def _state(self, view: RoundView) -> CoordinatorState:
        organizations = await self._reader.organizations()
        lineage = await self._reader.lineage(view.task.spec.task_id)
        return CoordinatorState(
            self._bench.identity.msp_id,
            self._bench.ports.clock.now_ms(),
            max((record.round for record in lineage), default=0),
            frozenset(organization.msp_id for organization in organizations if organization.active),
            self._patience,
            await self._has_key(view),
        )

    async def _has_key(self, view: RoundView) -> bool:
        """Say whether the newest key is good; it is another one than the round's after a rotation."""
        now_ms, newest = self._bench.ports.clock.now_ms(), view.key_epoch
        if newest is None or is_usable(newest, now_ms, early=False):
            return True
        newest = (await self._reader.epochs(newest.task_id))[-1]
        return is_usable(newest, now_ms, early=False)

    def is_deaf_to(self, event: LedgerEvent) -> bool:
        return event.name in DEAF_TO[NodeRole.COORDINATOR]

    async def stirred(self) -> None:
        await never()

    async def perform(self, action: Action) -> None:
        match action:
            case Submit():
                await self._bench.submit(action)
            case PublishModel():
                await self._publish(action)
            case _:
                raise TypeError(f"no action of a coordinator: {action.label}")

    async def _publish(self, action: PublishModel) -> None:
        view = await self._reader.round(action.task_id, action.round)
        round_, spec, arithmetic = round_of(view), view.task.spec, self._bench.ports.arithmetic
        count = spec.model.parameter_count
        base = arithmetic.unpack_model(await self._models.base(action, view, round_.base_model_digest), count)
        sources = attempts.openers(view)
        await self._fetcher.fetch(action, round_.sum_digest, round_.sum_bytes, SUM_SOURCES, first=sources)
        total = arithmetic.unpack_sum(await self._bench.read(round_.sum_digest), count)
        model = await self._bench.work(
            arithmetic.apply_sum, spec.encryption, base, total, round_.total_weight
        )
        direction = await self._bench.work(arithmetic.direction, total)
        metrics = await self._bench.work(self._evaluator.evaluate, spec, model)
        self._report(action, metrics)
        packed = arithmetic.pack_model(model)
        request: dict[str, Json] = {
            "task_id": action.task_id,
            "round": action.round,
            "model_digest": await self._bench.keep(packed),
            "model_bytes": len(packed),
            "direction_digest": await self._bench.keep(arithmetic.pack_direction(direction)),
            "metrics": to_json(metrics),
        }
        await self._bench.transact(action, "round:PublishModel", request)

    def _report(self, action: Action, metrics: Metrics) -> None:
        self._bench.report(
            ProgressKind.EVALUATED,
            action,
            accuracy_ppb=metrics.accuracy_ppb,
            loss_ppb=metrics.loss_ppb,
            samples=metrics.samples,
        )
