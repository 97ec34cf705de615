"""Whole federations whose key is shared, or given to every silo, under faults; and the deaths that matter most."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    PACKED_SCHEME,
    THRESHOLD_SCHEME,
    Ceremony,
    CeremonyStatus,
    KeyEpoch,
    NodeRole,
    Phase,
    RoundView,
    ShareSubject,
    TaskStatus,
)
from bfl_fabric.domain.ports import TransferCaller
from bfl_fabric.roles.attempts import due, missing, shares_of
from tests.simulation.invariants import check_safety
from tests.simulation.operations import Plan, plan
from tests.simulation.run import contract_stage, play
from tests.simulation.world import GAMMA, ORGANIZATIONS, TASK, THRESHOLD, Terms, World

SEEDS = int(os.environ.get("BFL_SIMULATION_SEEDS", "200")) // 8
SCHEMES = (THRESHOLD_SCHEME, PACKED_SCHEME)
SHARED = Terms(rounds=2, scheme=THRESHOLD_SCHEME)
TURNS = 400
WIDEST_READER = (GAMMA, "verifier-c")

Moment = Callable[[World, RoundView], Awaitable[str]]
"""Names the actor that dies now for good, "" for nobody."""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("first", range(0, SEEDS, 5))
def test_whatever_happens_the_invariants_hold(first: int, scheme: str) -> None:
    for seed in range(first, min(first + 5, SEEDS)):
        play(plan(seed, scheme=scheme))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_makes_the_same_models(scheme: str) -> None:
    single, other = Plan(0, Terms(), ()), Plan(0, Terms(scheme=scheme), ())
    assert play(other).models == play(single).models


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_embedded_ledger_makes_the_same_chain(scheme: str) -> None:
    quiet = Plan(0, Terms(rounds=2, scheme=scheme), ())
    assert [row[6] for row in play(quiet, embedded=True).chain] == [row[6] for row in play(quiet).chain]


# --- who dies ----------------------------------------------------------------------------------


async def turn(world: World, dead: frozenset[str], dies: Moment) -> frozenset[str]:
    """Let everybody who lives do what is due, one thing after the other; time passes when nothing gets done."""
    idle = True
    for name, actor in world.actors.items():
        if dying := "" if dead else await dies(world, await world.reader.current(TASK)):
            dead = frozenset({dying})
            world.stop(world.actors[dying])
        if name in dead:
            continue
        if actor.process is None:
            world.start(actor)
        idle = not (await world.step(actor, 0)).endswith("done") and idle
    if idle:
        world.clock.move(2)
    return dead


async def play_on(world: World, dies: Moment) -> RoundView:
    """Play to the end; the first actor that `dies` names is dead from then on."""
    dead: frozenset[str] = frozenset()
    for _ in range(TURNS):
        view = await world.reader.current(TASK)
        if view.task.status is not TaskStatus.RUNNING:
            return view
        dead = await turn(world, dead, dies)
    raise AssertionError(f"no end: {view.round}")


async def nobody(world: World, view: RoundView) -> str:
    return ""


async def played(terms: Terms, dies: Moment) -> tuple[list[RoundView], tuple[KeyEpoch, ...]]:
    """Return rounds and keys of a task that came to its end although somebody died, its invariants checked."""
    with contract_stage() as stage:
        world = World(stage.clock, stage.host, stage.folder, 0, terms)
        await world.begin()
        last = await play_on(world, dies)
        assert last.task.status is TaskStatus.CLOSED
        return await check_safety(world, last), await world.reader.epochs(TASK)


def holder_of(msp_id: str) -> str:
    found = (msp_id, NodeRole.KEY_HOLDER)
    return next(name for name, node in SHARED.nodes.items() if node == found)


@pytest.mark.parametrize("subject", ShareSubject)
def test_an_active_member_that_dies_before_it_answers_is_replaced_and_zeros_are_added(
    subject: ShareSubject,
) -> None:
    async def dies(world: World, view: RoundView) -> str:
        """The last active member, before it answers for the subject; round 2 has a direction, round 1 none."""
        if not view.openings or view.round is None or subject not in due(view):
            return ""
        member = view.openings[-1].members[-1]
        return holder_of(member) if member in missing(view, view.openings[-1], subject) else ""

    rounds, _ = asyncio.run(played(SHARED, dies))
    (view,) = [view for view in rounds if len(view.openings) > 1]
    assert len(view.openings) == 2
    first, second = view.openings
    (dead,) = set(first.members) - set(second.members)
    assert dead not in {offer.msp_id for offer in view.offers if offer.attempt == 2}
    assert first.seed != second.seed
    zeros = [offer.zero_digest for offer in view.offers if offer.attempt == 2]
    assert "" not in zeros
    assert len(frozenset(zeros)) == len(zeros) == THRESHOLD
    assert tuple(shares_of(view, second, ShareSubject.SUM)) == second.members


def test_a_posted_answer_for_the_sum_is_shown_to_nobody_before_the_scores_are_posted() -> None:
    withheld: set[str] = set()
    shown: set[str] = set()

    async def looks(world: World, view: RoundView) -> str:
        """After each step, at the key members' doors, as the node that may read the most."""
        if view.round is None or view.round.phase is not Phase.VERIFIED:
            return ""
        reader = TransferCaller(*WIDEST_READER)
        early = ShareSubject.SCORES in due(view)
        for share in view.shares:
            door = world.network.server(world.actors[holder_of(share.msp_id)].address).admission
            hidden = early and share.subject is ShareSubject.SUM
            assert await door.may_read(reader, share.digest) is not hidden
            (withheld if hidden else shown).add(share.digest)
        return ""

    asyncio.run(played(SHARED, looks))
    assert len(withheld) >= THRESHOLD - 1
    assert withheld <= shown


def test_the_sum_of_a_member_that_died_with_it_is_made_again() -> None:
    died = []

    async def dies(world: World, view: RoundView) -> str:
        """Whoever released the sum, before the coordinator fetched it, once its answer is in a second place."""
        coordinator = world.actors["coordinator-a"]
        if view.round is None or view.round.phase is not Phase.RELEASED or died:
            return ""
        coordinator.silent_in_round = view.round.number
        (has,) = [
            name for name, actor in world.actors.items() if view.round.sum_digest in actor.blobs.digests
        ]
        shares = {share.digest for share in view.shares if share.subject is ShareSubject.SUM}
        if not any(shares <= actor.blobs.digests for name, actor in world.actors.items() if name != has):
            return ""
        coordinator.silent_in_round = 0
        died.append(has)
        return has

    rounds, _ = asyncio.run(played(SHARED, dies))
    assert len(rounds) == SHARED.rounds
    assert died


def test_a_member_that_died_before_the_ceremony_is_excluded_and_the_others_make_the_key() -> None:
    async def whole() -> tuple[Ceremony, ...]:
        with contract_stage() as stage:
            world = World(stage.clock, stage.host, stage.folder, 0, SHARED)
            await world.publish()
            while not await world.is_ready():
                await turn(world, frozenset({holder_of(GAMMA)}), nobody)
            return await world.reader.ceremonies(TASK)

    ceremonies = asyncio.run(whole())
    assert [one.status for one in ceremonies] == [CeremonyStatus.FAILED, CeremonyStatus.CLOSED]
    assert ceremonies[0].excluded == (GAMMA,)
    assert ceremonies[1].members == tuple(name for name in ORGANIZATIONS if name != GAMMA)


@pytest.mark.parametrize("terms", [SHARED, Terms(rounds=2), Terms(rounds=2, scheme=PACKED_SCHEME)], ids=str)
def test_a_retired_key_is_replaced_between_rounds(terms: Terms) -> None:
    retired = []

    async def retires(world: World, view: RoundView) -> str:
        if not retired and view.round is not None and view.round.sum_digest:
            retired.append(view.round.number)
            coordinator = world.ledger(world.actors["coordinator-a"].member)
            request: dict[str, Json] = {"task_id": TASK, "epoch": 1, "reason": "a drill failed"}
            await coordinator.submit("key:RetireEpoch", request)
        return ""

    rounds, epochs = asyncio.run(played(terms, retires))
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert [view.round.epoch for view in rounds if view.round] == [1, 2]
