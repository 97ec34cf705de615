"""What is due for an aggregator and for a verifier, phase by phase."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bfl_chaincode.api.records import Node, NodeRole, Phase, TaskStatus
from bfl_fabric.roles import aggregator, announcement, verifier
from bfl_fabric.roles.actions import of_federation, of_round
from bfl_fabric.roles.aggregator import AggregatorState, ProposeAggregate
from bfl_fabric.roles.holding import FetchUpdate
from bfl_fabric.roles.models import CheckModel
from bfl_fabric.roles.receipts import Acknowledge
from bfl_fabric.roles.verifier import CONFIRMATION_GRACE_MS, Attest, VerifierState
from bfl_fabric.roles.workbench import Identity
from tests.unit.roles.rounds import (
    AGGREGATOR,
    COORDINATOR,
    INITIAL,
    KEY_HOLDER,
    OPENED_AT,
    PARTICIPANTS,
    TASK,
    aggregated,
    attestation,
    collecting,
    delivered,
    digest,
    receipts,
    round_,
    update,
    view,
)

EVERYTHING = frozenset(digest(who) for who in PARTICIPANTS)
NOTHING: frozenset[str] = frozenset()


def the_aggregator(held: frozenset[str] = EVERYTHING) -> AggregatorState:
    return AggregatorState(AGGREGATOR, held)


def the_verifier(
    msp_id: str = COORDINATOR, held: frozenset[str] = EVERYTHING, now_ms: int = OPENED_AT
) -> VerifierState:
    return VerifierState(msp_id, now_ms, held, frozenset({INITIAL}))


@pytest.mark.parametrize("msp_id", [AGGREGATOR, COORDINATOR])
def test_a_holder_acknowledges_what_it_holds_and_has_not_acknowledged(msp_id: str) -> None:
    seen = collecting(
        updates=(update("a-1"), update("a-2"), update("b-1")), receipts=receipts("a-1", by=(msp_id,))
    )
    held = frozenset({digest("a-1"), digest("a-2")})
    expected = [Acknowledge(TASK, 1, "a-2", digest("a-2"))]
    if msp_id == AGGREGATOR:
        assert aggregator.due(seen, the_aggregator(held)) == expected
    else:
        assert verifier.due(seen, the_verifier(msp_id, held)) == expected


def test_an_organization_that_is_no_holder_signs_no_receipts() -> None:
    assert verifier.due(collecting(updates=(update("a-1"),)), the_verifier(KEY_HOLDER)) == []


def test_blobs_that_nobody_committed_are_not_acknowledged() -> None:
    held = frozenset({digest("a stray blob")})
    assert aggregator.due(collecting(updates=(update("a-1"),)), the_aggregator(held)) == []


def test_the_aggregator_proposes_when_it_holds_every_member() -> None:
    assert aggregator.due(delivered(Phase.SEALED), the_aggregator()) == [ProposeAggregate(TASK, 1)]


def test_the_aggregator_first_fetches_what_it_lost() -> None:
    missing = EVERYTHING - {digest("b-1")}
    assert aggregator.due(delivered(Phase.SEALED), the_aggregator(missing)) == [
        FetchUpdate(TASK, 1, "b-1", digest("b-1"))
    ]


def test_updates_of_those_who_are_not_members_are_not_needed() -> None:
    sealed = delivered(Phase.SEALED, ("a-1", "a-2", "b-1"))
    with_late = replace(sealed, updates=(*sealed.updates, update("c-1")))
    held = EVERYTHING - {digest("c-1")}
    assert aggregator.due(with_late, the_aggregator(held)) == [ProposeAggregate(TASK, 1)]


@pytest.mark.parametrize(
    "phase",
    [Phase.AGGREGATED, Phase.VERIFIED, Phase.RELEASED, Phase.PUBLISHED, Phase.SETTLED, Phase.ABORTED],
)
def test_nothing_is_due_for_the_aggregator_after_its_proposal(phase: Phase) -> None:
    assert aggregator.due(delivered(phase), the_aggregator()) == []


def test_another_organization_does_not_aggregate() -> None:
    assert aggregator.due(delivered(Phase.SEALED), AggregatorState(COORDINATOR, EVERYTHING)) == []


@pytest.mark.parametrize("phase", [Phase.SEALED, Phase.AGGREGATED])
def test_a_verifier_fetches_each_member_it_does_not_hold(phase: Phase) -> None:
    found = verifier.due(delivered(phase), the_verifier(KEY_HOLDER, NOTHING))
    assert found == [FetchUpdate(TASK, 1, who, digest(who)) for who in PARTICIPANTS]


def test_a_verifier_attests_once_it_holds_everything() -> None:
    assert verifier.due(aggregated(), the_verifier()) == [Attest(TASK, 1)]
    assert verifier.due(delivered(Phase.SEALED), the_verifier()) == []


def test_a_verifier_attests_once() -> None:
    disagreeing = replace(aggregated(), attestations=(attestation(COORDINATOR, digest("mine")),))
    assert verifier.due(disagreeing, the_verifier()) == []


def test_a_verifier_confirms_a_quorum_that_the_coordinator_left_alone() -> None:
    attested = replace(aggregated(), attestations=(attestation(COORDINATOR),))
    assert verifier.due(attested, the_verifier()) == []
    later = the_verifier(now_ms=OPENED_AT + CONFIRMATION_GRACE_MS)
    assert verifier.due(attested, later) == [of_round("round:ConfirmAggregate", attested)]


def test_a_verifier_of_the_aggregator_does_nothing() -> None:
    assert verifier.due(aggregated(), the_verifier(AGGREGATOR)) == []


def test_a_verifier_checks_each_published_model() -> None:
    published = delivered(Phase.PUBLISHED, model_digest=digest("new"))
    assert verifier.due(published, the_verifier()) == [CheckModel(TASK, 1, digest("new"))]


def test_a_verifier_checks_the_last_model_of_a_closed_task() -> None:
    closed = view(round_(Phase.SETTLED, model_digest=digest("new")), TaskStatus.CLOSED)
    assert verifier.due(closed, the_verifier()) == [CheckModel(TASK, 1, digest("new"))]


def test_an_address_is_announced_until_it_stands_on_the_ledger() -> None:
    me, address = Identity(COORDINATOR, "verifier-1"), "127.0.0.1:4711"
    announce = of_federation(
        "federation:AnnounceNode", role="verifier", node_id="verifier-1", address=address
    )
    old = Node(COORDINATOR, NodeRole.VERIFIER, "verifier-1", "127.0.0.1:1", 0)
    assert announcement.due((), me, NodeRole.VERIFIER, address) == [announce]
    assert announcement.due((old,), me, NodeRole.VERIFIER, address) == [announce]
    assert announcement.due((replace(old, address=address),), me, NodeRole.VERIFIER, address) == []
