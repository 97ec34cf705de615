"""A real federation of processes for system tests: data handed out, task published, run to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bfl_chaincode.api.records import ModelRecord
from bfl_fabric.cli.demo import DemoChoice
from bfl_fabric.cli.demo_data import DemoData, prepare_data
from bfl_fabric.network.topology import Topology, generated
from bfl_fabric.sdk import AsyncFederation, AsyncTask, TaskTerms, connect_async
from bfl_fabric.sdk.local import LocalFederation

ENDOWMENT = 100_000
Disturbance = Callable[[LocalFederation, AsyncTask], Awaitable[None]]


@dataclass(frozen=True)
class Plan:
    """How large a test's federation is."""

    rounds: int = 3
    organizations: int = 3
    participants: int = 6
    seed: int = 1
    upload_seconds: int = 600
    scheme: str = "ckks"
    share_seconds: int = 60


def terms_of(plan: Plan, data: DemoData) -> TaskTerms:
    """Return the task of the demonstration, whose name the seeds of training are made of, for a test's rounds."""
    profile = data.profile
    return TaskTerms(
        task_id=profile.data,
        title=profile.title,
        rounds=plan.rounds,
        minimum_cohort=min(4, plan.participants),
        upload_seconds=plan.upload_seconds,
        learning_rate=profile.learning_rate,
        momentum=profile.momentum,
        batch_size=profile.batch_size,
        local_epochs=profile.local_epochs,
        seed=plan.seed,
        clip=profile.clip,
        value_bits=profile.value_bits,
        pool=1_000 * plan.rounds,
        scheme=plan.scheme,
        share_seconds=plan.share_seconds,
    )


def prepared(place: Path, plan: Plan) -> tuple[Topology, DemoData]:
    """Make the directory of a federation whose silos have data."""
    topology = generated(plan.organizations, plan.participants, plan.scheme)
    choice = DemoChoice(
        "breast-cancer", plan.rounds, plan.organizations, plan.participants, plan.seed, place, False
    )
    data = prepare_data(choice, topology)
    LocalFederation.create(place, topology)
    data.hand_out(place, topology)
    return topology, data


async def _run(place: Path, plan: Plan, disturb: Disturbance | None) -> list[ModelRecord]:
    _, data = prepared(place, plan)
    with LocalFederation(place) as federation:
        federation.start_all()
        await federation.ledger_ready()
        await federation.found(ENDOWMENT)
        async with connect_async(place) as client:
            task = await client.publish(terms_of(plan, data), *data.describe(plan.seed))
            await task.start(plan.participants)
            disturbing = asyncio.create_task(_disturb(disturb, federation, task))
            try:
                await asyncio.wait_for(_watched(client, task, federation), 280)
                await disturbing
                return await task.lineage()
            finally:
                disturbing.cancel()


async def _disturb(disturb: Disturbance | None, federation: LocalFederation, task: AsyncTask) -> None:
    if disturb is not None:
        await disturb(federation, task)


async def _watched(client: AsyncFederation, task: AsyncTask, federation: LocalFederation) -> None:
    async for _ in task.follow():
        federation.check()


def run_federation(place: Path, plan: Plan, disturb: Disturbance | None = None) -> list[ModelRecord]:
    """Run a task from beginning to end, disturbed or not, and return its lineage."""
    return asyncio.run(_run(place, plan, disturb))
