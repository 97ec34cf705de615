"""The verifier of every organization but the aggregator's: holds uploads, computes the sum again, states it.

Decides what its organization attests: always what it found itself, never what was proposed. Whether enough
organizations found the same is the contract's count.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import ClassVar

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import NodeRole, Phase, RoundView, TaskStatus
from bfl_fabric.domain.ports import LedgerEvent
from bfl_fabric.errors import MalformedInput
from bfl_fabric.roles.actions import Action, Submit, in_phase, of_round
from bfl_fabric.roles.attempts import is_shared
from bfl_fabric.roles.evidence import Statement, agreed, proposal, round_of, statements
from bfl_fabric.roles.fetching import Fetcher
from bfl_fabric.roles.hearing import DEAF_TO
from bfl_fabric.roles.holding import (
    Custody,
    FetchUpdate,
    fetches_due,
    receipts_due,
)
from bfl_fabric.roles.models import CheckModel, ModelChecks, is_sound
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader, UnfinishedTasks
from bfl_fabric.roles.receipts import Acknowledge, ReceiptDesk
from bfl_fabric.roles.schemes import TaskSchemes, UploadChecks
from bfl_fabric.roles.workbench import Workbench

logger = logging.getLogger(__name__)

CONFIRMATION_GRACE_MS = 3_000
"""How long a verifier leaves the confirmation of an attested aggregate to the coordinator."""

NOTHING_DIGEST = hashlib.sha256(b"").hexdigest()
"""Attested when the members' uploads cannot be added up: the digest of no bytes, which no aggregate has."""


@dataclass(frozen=True, slots=True)
class Attest(Action):
    """Add the members' uploads up again and state what came out."""

    leads_on: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class VerifierState:
    """What the verifier knows beside the ledger: the round's updates in its store, the models it computed."""

    msp_id: str
    now_ms: int
    held: frozenset[str]
    sound_models: frozenset[str]


def due(view: RoundView, me: VerifierState) -> list[Action]:
    """Return what a verifier has to do."""
    if view.round is None or view.task.spec.roles.aggregator == me.msp_id:
        return []
    return [
        *receipts_due(view, me.msp_id, me.held),
        *_verification(view, me),
        *_confirmation(view, me),
        *_model_check(view, me),
    ]


def _verification(view: RoundView, me: VerifierState) -> list[Action]:
    if not in_phase(view, Phase.SEALED, Phase.AGGREGATED) or me.msp_id in statements(view):
        return []
    if missing := fetches_due(view, me.held):
        return missing
    round_ = round_of(view)
    return [Attest(round_.task_id, round_.number)] if round_.phase is Phase.AGGREGATED else []


def _confirmation(view: RoundView, me: VerifierState) -> list[Action]:
    """Confirm what the coordinator has not confirmed for a while: at once, everybody's transaction would collide."""
    if not in_phase(view, Phase.AGGREGATED) or me.msp_id not in statements(view) or not agreed(view):
        return []
    latest = max(one.attested_at for one in view.attestations)
    return [of_round("round:ConfirmAggregate", view)] if me.now_ms >= latest + CONFIRMATION_GRACE_MS else []


def _model_check(view: RoundView, me: VerifierState) -> list[Action]:
    round_ = round_of(view)
    latest = round_.model_digest or round_.base_model_digest
    return [] if latest in me.sound_models else [CheckModel(round_.task_id, round_.number, latest)]


class VerifierRole:
    """The reconciler of a verifier node, for every task of the federation."""

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
        self._models = ModelChecks(bench, self._reader, fetcher)
        self._custody = Custody(bench, fetcher, checks, self._models, receipts or ReceiptDesk(bench))
        self._tasks = UnfinishedTasks(self._reader, lambda task: task.status is not TaskStatus.PUBLISHED)

    @property
    def name(self) -> str:
        return self._bench.identity.name

    async def survey(self) -> list[Action]:
        found: list[Action] = []
        for view in await self._tasks.views():
            actions = due(view, self._state(view))
            self._tasks.note(view, actions)
            found += actions
        return found

    def _state(self, view: RoundView) -> VerifierState:
        named = () if view.round is None else (view.round.base_model_digest, view.round.model_digest)
        return VerifierState(
            self._bench.identity.msp_id,
            self._bench.ports.clock.now_ms(),
            self._custody.held(view),
            frozenset(digest for digest in named if is_sound(self._bench, view, digest)),
        )

    def is_deaf_to(self, event: LedgerEvent) -> bool:
        return event.name in DEAF_TO[NodeRole.VERIFIER]

    async def stirred(self) -> None:
        await self._checks.arrival()

    async def perform(self, action: Action) -> None:
        view = await self._reader.seen(action.task_id, action.round)
        match action:
            case Submit():
                await self._bench.submit(action)
            case Acknowledge():
                await self._custody.acknowledge(action, view)
            case FetchUpdate():
                await self._custody.fetch(action, view)
            case Attest():
                await self._attest(action, view)
            case CheckModel():
                await self._models.check(action, view)
            case _:
                raise TypeError(f"no action of a verifier: {action.label}")

    async def _attest(self, action: Attest, view: RoundView) -> None:
        aggregate_digest, scores_digest = await self._found(action, view)
        request: dict[str, Json] = {
            "task_id": action.task_id,
            "round": action.round,
            "aggregate_digest": aggregate_digest,
            "scores_digest": scores_digest,
        }
        await self._bench.transact(action, "round:AttestAggregate", request)
        round_ = round_of(view)
        agrees = (aggregate_digest, scores_digest) == proposal(round_)
        self._bench.report(ProgressKind.ATTESTED, action, members=len(round_.members), agrees=int(agrees))

    async def _found(self, action: Attest, view: RoundView) -> Statement:
        try:
            return (await self._custody.recompute(action, view, self._schemes)).statement
        except MalformedInput as error:
            logger.warning("%s cannot be added up: %s", action.label, error)
            scored = round_of(view).direction_digest and not is_shared(view)
            return NOTHING_DIGEST, NOTHING_DIGEST if scored else ""
