"""What must hold at the end of every simulation, whatever happened in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bfl_chaincode.api.records import (
    THRESHOLD_SCHEME,
    ModelRecord,
    NodeRole,
    Phase,
    Round,
    RoundView,
    TaskStatus,
)
from bfl_fabric.learning.arithmetic import ExactArithmetic
from bfl_fabric.roles.evidence import delivered
from bfl_fabric.testing.training import unique_values
from tests.simulation.world import ALPHA, PATIENCE, SAMPLES, SILOS, TASK, Member, World

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector, Int64Vector
    from tests.simulation.simulation import Simulation

WAY = (
    "round:Open",
    "round:Seal",
    "round:ProposeAggregate",
    "round:ConfirmAggregate",
    "round:ReleaseShare",
    "round:PublishModel",
    "reward:Settle",
)
ARITHMETIC = ExactArithmetic()


async def all_rounds(world: World, last: RoundView) -> list[RoundView]:
    """Return the view of each round, from the first on."""
    count = 0 if last.round is None else last.round.number
    return [await world.reader.round(TASK, number) for number in range(1, count + 1)]


async def check(simulation: Simulation, last: RoundView) -> list[RoundView]:
    """Check everything; return all rounds."""
    world = simulation.world
    rounds = await check_safety(world, last)
    check_progress(simulation, rounds)
    return rounds


async def check_safety(world: World, last: RoundView) -> list[RoundView]:
    """Check what holds even when some actors lie; return all rounds."""
    rounds = await all_rounds(world, last)
    lineage = await world.reader.lineage(TASK)
    check_end(last, rounds)
    check_phases(world, rounds)
    for view in rounds:
        check_members(view)
    check_models(world, rounds, lineage)
    check_openings(world, rounds)
    check_stores(world, rounds)
    await check_money(world, rounds)
    return rounds


def check_end(last: RoundView, rounds: list[RoundView]) -> None:
    """A task ends closed with all its rounds settled, or abandoned after too many aborts in a row."""
    assert all(_round(view).phase in (Phase.SETTLED, Phase.ABORTED) for view in rounds)
    settled = [view for view in rounds if _round(view).phase is Phase.SETTLED]
    if last.task.status is TaskStatus.CLOSED:
        assert len(settled) == last.task.spec.schedule.rounds
    else:
        tail = [_round(view).phase for view in rounds[-PATIENCE.aborts_in_a_row :]]
        assert tail == [Phase.ABORTED] * PATIENCE.aborts_in_a_row, f"abandoned after {tail}"


def check_progress(simulation: Simulation, rounds: list[RoundView]) -> None:
    """Honest actors never disagree, and a round that meets no fault is never aborted."""
    for view in rounds:
        round_ = _round(view)
        assert "different aggregates" not in round_.reason
        if round_.number > simulation.quiet_after_round and simulation.deliverers is None:
            assert round_.phase is Phase.SETTLED, f"round {round_.number}: {round_.reason}"


def check_phases(world: World, rounds: list[RoundView]) -> None:
    """Each round went its way without leaving a step out or taking one twice."""
    for view in rounds:
        number = _round(view).number
        steps = [
            name
            for name, task, of_round in world.history()
            if (task, of_round) == (TASK, number) and name in (*WAY, "round:Abort")
        ]
        way = [step for step in steps if step != "round:Abort"]
        assert way == list(WAY[: len(way)]), steps
        assert steps.count("round:Abort") <= 1
        assert (_round(view).phase is Phase.SETTLED) == (len(way) == len(WAY))


def check_members(view: RoundView) -> None:
    """Who counts was drawn, committed and delivered, and is named once."""
    round_ = _round(view)
    assert list(round_.members) == sorted(set(round_.members))
    assert set(round_.members) <= set(round_.cohort)
    assert set(round_.members) <= delivered(view)
    if round_.phase is Phase.SETTLED:
        assert len(round_.members) >= view.task.spec.cohort.minimum
        assert round_.total_weight == sum(SAMPLES[member] for member in round_.members)
    if round_.sum_digest:
        assert round_.phase is Phase.SETTLED


def check_models(world: World, rounds: list[RoundView], lineage: tuple[ModelRecord, ...]) -> None:
    """Every sum is exactly its members' unique values, and every model exactly the sum on its base."""
    model = _blob(world, lineage[0].digest, 4)
    for record in lineage[1:]:
        view = rounds[record.round - 1]
        total = expected_sum(_round(view), model)
        published = ARITHMETIC.unpack_sum(_bytes(world, record.sum_digest), total.size)
        assert np.array_equal(published, total), f"round {record.round}: {published - total}"
        assert record.contributors == _round(view).members
        terms = view.task.spec.encryption
        model = ARITHMETIC.apply_sum(terms, model, total, _round(view).total_weight)
        assert np.array_equal(_blob(world, record.digest, 4), model)


def expected_sum(round_: Round, base: Float32Vector) -> Int64Vector:
    """Return Σ weight·q over the members: nothing twice, nothing left out, nothing invented."""
    total = np.zeros(base.size, dtype=np.int64)
    for member in round_.members:
        total += SAMPLES[member] * unique_values(tuple(SILOS), member, round_.number, base)
    return total


def check_openings(world: World, rounds: list[RoundView]) -> None:
    """One aggregate at most was opened per round: the verified one, of at least the minimum cohort."""
    for opened in world.provider.opened:
        view = rounds[opened.round - 1]
        assert opened.digest == _round(view).aggregate_digest
        assert opened.members == len(_round(view).members) >= view.task.spec.cohort.minimum
    released = [_round(view).number for view in rounds if _round(view).sum_digest]
    assert set(released) <= {opened.round for opened in world.provider.opened}


def check_stores(world: World, rounds: list[RoundView]) -> None:
    """No silo has another's ciphertext or an aggregate, and no holder of a whole key any silo's ciphertext."""
    owners = {update.digest: update.participant_id for view in rounds for update in view.updates}
    aggregates = {_round(view).aggregate_digest for view in rounds} - {""}
    for actor in world.actors.values():
        foreign = {digest for digest in actor.blobs.digests if owners.get(digest, actor.name) != actor.name}
        without = (NodeRole.COORDINATOR, NodeRole.PARTICIPANT)
        if world.terms.scheme != THRESHOLD_SCHEME:
            without = (*without, NodeRole.KEY_HOLDER)
        if actor.node_role in without:
            assert not foreign, f"{actor.name} has ciphertexts of others"
        if actor.node_role is NodeRole.PARTICIPANT:
            assert not aggregates & actor.blobs.digests


async def check_money(world: World, rounds: list[RoundView]) -> None:
    """No unit appears or disappears; a settled round pays exactly its amount to its members."""
    ledger = world.ledger(Member(ALPHA, "reader"))
    conservation = await ledger.evaluate("reward:Conservation", {})
    assert isinstance(conservation, dict)
    assert conservation["difference"] == 0, conservation
    for view in rounds:
        if view.settlement is None:
            continue
        paid = {payout.participant_id: payout.amount for payout in view.settlement.payouts}
        assert sum(paid.values()) == view.settlement.paid
        assert view.settlement.paid in (0, view.task.spec.incentive.per_round)
        assert {who for who, amount in paid.items() if amount} <= set(_round(view).members)


def _round(view: RoundView) -> Round:
    assert view.round is not None
    return view.round


def _bytes(world: World, digest: str) -> bytes:
    return next(actor.blobs.read(digest) for actor in world.actors.values() if actor.blobs.has(digest))


def _blob(world: World, digest: str, bytes_each: int) -> Float32Vector:
    data = _bytes(world, digest)
    return ARITHMETIC.unpack_model(data, len(data) // bytes_each)
