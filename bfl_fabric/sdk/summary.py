"""Collects what a run was from the ledger, for the report and for `--json`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bfl_chaincode.api.records import Metrics, Round, RoundView
from bfl_fabric.audit.summary import (
    Baselines,
    DataSummary,
    FactSummary,
    FederationSummary,
    LedgerSummary,
    OrganizationSummary,
    ParticipantSummary,
    RoundSummary,
    RunSummary,
    TaskSummary,
    TrafficSummary,
    ceremony_summaries,
    count_names,
    key_summaries,
    round_summary,
)
from bfl_fabric.domain.ports import LedgerEvent
from bfl_fabric.sdk.federation import AsyncFederation
from bfl_fabric.sdk.task import AsyncTask

EVENTS_SECONDS = 30.0
LAST_EVENTS = ("task:Close", "task:Abandon")


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the ledger does not know: the data, the baselines, the sockets, the machine."""

    data: DataSummary
    class_counts: Mapping[str, tuple[int, ...]]
    alone: Mapping[str, Metrics]
    baselines: Baselines
    initial: Metrics
    traffic: Mapping[int, TrafficSummary]
    facts: tuple[FactSummary, ...]
    genesis_digest: str
    verify_command: str
    ledger_kind: str


async def collect_summary(federation: AsyncFederation, task: AsyncTask, context: RunContext) -> RunSummary:
    """Return the summary of a finished task; the audit's part and the times are added later."""
    newest = (await task.view()).round
    views = [await task.view(number) for number in range(1, (newest.number if newest else 0) + 1)]
    events = await _events(federation, task.task_id)
    metrics = {record.round: record.metrics for record in await task.lineage()}
    rounds = tuple(_round(view, metrics, events, context) for view in views)
    last = views[-1] if views else await task.view()
    grants = tuple(dict.fromkeys(grant for view in views for grant in view.grants))
    return RunSummary(
        version=1,
        finished_at=federation.clock.now_ms(),
        milliseconds=0,
        task=_task(last),
        federation=await _federation(federation, last),
        data=context.data,
        participants=await _participants(federation, task, last, context),
        baselines=context.baselines,
        initial=context.initial,
        rounds=rounds,
        ledger=_ledger(events, context),
        audit=None,
        verify_command=context.verify_command,
        facts=context.facts,
        keys=key_summaries(await task.epochs(), grants),
        ceremonies=ceremony_summaries(await task.ceremonies()),
    )


async def _events(federation: AsyncFederation, task_id: str) -> list[LedgerEvent]:
    """Return every event up to the end of the task."""
    events = []

    async def read() -> None:
        async for event in federation.ledger.events(start_block=0):
            events.append(event)
            if event.name in LAST_EVENTS and event.event.task == task_id:
                return

    await asyncio.wait_for(read(), EVENTS_SECONDS)
    return events


def _round(
    view: RoundView, metrics: Mapping[int, Metrics], events: list[LedgerEvent], context: RunContext
) -> RoundSummary:
    assert isinstance(view.round, Round)
    number = view.round.number
    transactions = sum(1 for item in events if item.event.round == number)
    return round_summary(
        view, metrics.get(number), context.traffic.get(number, TrafficSummary()), transactions
    )


def _task(view: RoundView) -> TaskSummary:
    spec = view.task.spec
    return TaskSummary(
        task_id=spec.task_id,
        title=spec.title,
        purpose=spec.purpose,
        spec_digest=view.task.spec_digest,
        architecture=spec.model.architecture,
        parameter_count=spec.model.parameter_count,
        scheme=spec.encryption.scheme,
        update_bytes=max((update.size_bytes for update in view.updates), default=0),
        pool=spec.incentive.pool,
        initial_digest=spec.model.initial_digest,
    )


async def _federation(federation: AsyncFederation, view: RoundView) -> FederationSummary:
    roles = view.task.spec.roles
    by_role = {
        "coordinator": roles.coordinator,
        "aggregator": roles.aggregator,
        "key holder": roles.key_holder,
    }
    record = await federation.evaluate("federation:GetFederation")
    assert isinstance(record, dict)
    organizations = tuple(
        OrganizationSummary(
            item.msp_id,
            item.name,
            item.region,
            (
                *(role for role, msp_id in by_role.items() if msp_id == item.msp_id),
                *(("key member",) if item.msp_id in roles.key_members else ()),
                *(() if item.msp_id == roles.aggregator else ("verifier",)),
            ),
        )
        for item in await federation.organizations()
    )
    return FederationSummary(str(record["federation_id"]), str(record["name"]), organizations)


async def _participants(
    federation: AsyncFederation, task: AsyncTask, view: RoundView, context: RunContext
) -> tuple[ParticipantSummary, ...]:
    balances = {item.account: item.amount for item in await federation.accounts()}
    reputations = {item.participant_id: item.score_ppb for item in await task.reputations()}
    return tuple(
        ParticipantSummary(
            participant_id=item.participant_id,
            msp_id=item.msp_id,
            samples=item.samples,
            class_counts=context.class_counts[item.participant_id],
            alone_accuracy_ppb=context.alone[item.participant_id].accuracy_ppb,
            balance=balances.get(f"participant:{item.participant_id}", 0),
            reputation_ppb=reputations.get(item.participant_id, 0),
        )
        for item in view.registrations
    )


def _ledger(events: list[LedgerEvent], context: RunContext) -> LedgerSummary:
    names = Counter(event.name for event in events)
    return LedgerSummary(
        kind=context.ledger_kind,
        height=max((event.block_number for event in events), default=0) + 1,
        genesis_digest=context.genesis_digest,
        tip_digest="",
        transactions=count_names(names),
    )
