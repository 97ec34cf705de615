"""Whole federations under faults, each replayable from its seed; `BFL_SIMULATION_SEEDS` asks for more of them."""

from __future__ import annotations

import os

import pytest

from bfl_chaincode.api.records import TaskStatus
from tests.simulation.operations import DieAt, Plan, plan
from tests.simulation.run import Played, play
from tests.simulation.world import ACTORS, SILOS, Terms

SEEDS = int(os.environ.get("BFL_SIMULATION_SEEDS", "200"))
CHUNK = 25
SHORT = Terms(rounds=2, minimum=3)


def quiet(seed: int = 0, terms: Terms = SHORT) -> Plan:
    """A plan in which nothing goes wrong."""
    return Plan(seed, terms, ())


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_whatever_happens_the_invariants_hold(first: int) -> None:
    for seed in range(first, min(first + CHUNK, SEEDS)):
        play(plan(seed))


@pytest.mark.parametrize("seed", range(1000, 1008))
def test_on_the_embedded_ledger_they_hold_too_and_its_chain_verifies(seed: int) -> None:
    play(plan(seed), embedded=True)


@pytest.mark.parametrize("seed", [3, 14, 15])
def test_the_same_seed_makes_the_same_chain_of_digests(seed: int) -> None:
    first, second = play(plan(seed)), play(plan(seed))
    assert first.chain == second.chain
    assert first.simulation.trace == second.simulation.trace


def test_both_ledgers_make_the_same_chain_of_digests() -> None:
    assert play(quiet()).chain == play(quiet(), embedded=True).chain


@pytest.mark.parametrize("seed", range(2000, 2012))
def test_faults_change_no_model_when_the_same_silos_deliver(seed: int) -> None:
    faulty = play(plan(seed))
    calm = play(quiet(seed, faulty.simulation.plan.terms), deliverers=faulty.deliverers)
    assert calm.deliverers == faulty.deliverers
    assert calm.models == faulty.models


def test_nothing_goes_wrong_when_nothing_goes_wrong() -> None:
    played = play(quiet())
    assert played.status is TaskStatus.CLOSED
    assert played.deliverers == {1: frozenset(SILOS), 2: frozenset(SILOS)}
    failures = [line for line in played.simulation.trace if "Error" in line or "Refused" in line]
    assert failures == []


FEW = frozenset({"silo-a1", "silo-c1"})
PAIR = Terms(rounds=2, minimum=2)
BOTH_ROUNDS = {1: FEW, 2: FEW}


@pytest.fixture(scope="module")
def calm() -> Played:
    """Two rounds of two silos, without a crash."""
    return play(quiet(terms=PAIR), deliverers=BOTH_ROUNDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coordinator-a", "aggregator-b", "verifier-a", "key-holder-c", "silo-a1"])
def test_a_crash_at_any_persisted_step_changes_nothing(calm: Played, name: str) -> None:
    """Dying after a step is dying before the next one, but for the last."""
    steps = calm.simulation.world.actors[name].switch.passed - calm.simulation.begun[name]
    assert steps >= 6
    for step, after_effect in [*((step, False) for step in range(1, steps + 1)), (steps, True)]:
        crashed = play(Plan(0, PAIR, (DieAt(name, step, after_effect),)), deliverers=BOTH_ROUNDS)
        assert any("crashed" in line for line in crashed.simulation.trace), f"step {step} was not reached"
        assert crashed.models == calm.models, f"{name} at step {step}"


def test_a_silo_that_never_uploads_earns_nothing_and_stops_nobody() -> None:
    others = frozenset(SILOS) - {"silo-b1"}
    played = play(quiet(), deliverers={1: others, 2: others})
    assert played.status is TaskStatus.CLOSED
    for view in played.rounds:
        assert view.settlement is not None
        paid = {payout.participant_id: payout.amount for payout in view.settlement.payouts}
        assert paid["silo-b1"] == 0
        assert sum(paid.values()) == view.task.spec.incentive.per_round


def test_below_the_minimum_nothing_is_opened_and_the_task_is_given_up() -> None:
    played = play(quiet(), deliverers={number: frozenset({"silo-a1", "silo-b1"}) for number in range(1, 9)})
    assert played.status is TaskStatus.ABANDONED
    assert played.simulation.world.provider.opened == []
    assert len(played.rounds) == 3


def test_every_actor_takes_part(calm: Played) -> None:
    trace = "\n".join(calm.simulation.trace)
    assert all(f"{name} -> " in trace for name in ACTORS)
