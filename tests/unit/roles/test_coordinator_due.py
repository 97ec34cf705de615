"""What is due for the coordinator, phase by phase."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bfl_chaincode.api.records import Phase, TaskStatus
from bfl_fabric.roles.actions import Submit, of_round, of_task
from bfl_fabric.roles.coordinator import CoordinatorState, Patience, PublishModel, due
from tests.unit.roles.rounds import (
    AGGREGATOR,
    COORDINATOR,
    DEADLINE_AT,
    KEY_HOLDER,
    OPENED_AT,
    ORGANIZATIONS,
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

OPEN = of_task("round:Open", TASK)
TOO_LATE = OPENED_AT + 100_000


def me(**changes: Any) -> CoordinatorState:
    made = CoordinatorState(COORDINATOR, OPENED_AT, 0, frozenset(ORGANIZATIONS), Patience(100, 3))
    return replace(made, **changes)


def aborted(number: int) -> Submit:
    (found,) = due(view(round_(Phase.ABORTED, number=number, reason="nobody came")), me())
    assert isinstance(found, Submit)
    return found


def test_the_first_round_is_opened() -> None:
    assert due(view(None), me()) == [OPEN]


@pytest.mark.parametrize(
    "status", [TaskStatus.DRAFT, TaskStatus.PUBLISHED, TaskStatus.CLOSED, TaskStatus.ABANDONED]
)
def test_nothing_is_due_unless_the_task_runs(status: TaskStatus) -> None:
    assert due(view(None, status), me()) == []


def test_nothing_is_due_for_another_organization() -> None:
    assert due(view(None), me(msp_id=AGGREGATOR)) == []


def test_a_round_is_sealed_when_everybody_has_delivered() -> None:
    full = delivered(Phase.COLLECTING)
    assert due(full, me()) == [of_round("round:Seal", full)]


@pytest.mark.parametrize(
    "short",
    [
        collecting(),
        collecting(updates=(update("a-1"),), receipts=receipts("a-1")),
        collecting(
            updates=tuple(update(who) for who in PARTICIPANTS),
            receipts=receipts(*PARTICIPANTS, by=(COORDINATOR, KEY_HOLDER)),
        ),
        collecting(
            updates=tuple(update(who) for who in PARTICIPANTS),
            receipts=receipts(*PARTICIPANTS, by=(AGGREGATOR,)),
        ),
    ],
    ids=["nobody", "one of four", "not at the aggregator", "one receipt each"],
)
def test_a_round_is_sealed_at_the_deadline_and_not_before(short: Any) -> None:
    assert due(short, me(now_ms=DEADLINE_AT - 1)) == []
    assert due(short, me(now_ms=DEADLINE_AT)) == [of_round("round:Seal", short)]


@pytest.mark.parametrize("phase", [Phase.SEALED, Phase.VERIFIED])
def test_a_stage_that_takes_too_long_is_aborted(phase: Phase) -> None:
    waiting = delivered(phase)
    assert due(waiting, me(now_ms=TOO_LATE - 1)) == []
    reason = f"stood 100 s in phase {phase}"
    assert due(waiting, me(now_ms=TOO_LATE)) == [of_round("round:Abort", waiting, reason=reason)]


def test_an_attested_aggregate_is_confirmed() -> None:
    attested = replace(aggregated(), attestations=(attestation(KEY_HOLDER),))
    assert due(attested, me()) == [of_round("round:ConfirmAggregate", attested)]


def test_the_aggregator_alone_is_no_quorum() -> None:
    assert due(aggregated(), me()) == []


def test_a_round_is_aborted_when_no_quorum_is_possible() -> None:
    disagreeing = tuple(attestation(msp_id, digest("other")) for msp_id in (COORDINATOR, KEY_HOLDER))
    (found,) = due(replace(aggregated(), attestations=disagreeing), me())
    assert isinstance(found, Submit)
    assert found.transaction == "round:Abort"
    assert "different aggregates" in str(found.request["reason"])


def test_a_round_is_not_aborted_while_somebody_may_still_agree() -> None:
    one_against = (attestation(COORDINATOR, digest("other")),)
    assert due(replace(aggregated(), attestations=one_against), me()) == []


def test_a_suspended_organization_is_not_waited_for() -> None:
    one_against = replace(aggregated(), attestations=(attestation(COORDINATOR, digest("other")),))
    (found,) = due(one_against, me(organizations=frozenset({COORDINATOR, AGGREGATOR})))
    assert isinstance(found, Submit)
    assert found.transaction == "round:Abort"


def test_an_attestation_with_other_scores_does_not_agree() -> None:
    attested = replace(aggregated(), attestations=(attestation(KEY_HOLDER, scores_digest=digest("x")),))
    assert due(attested, me()) == []


def test_verification_that_takes_too_long_is_aborted() -> None:
    (found,) = due(aggregated(), me(now_ms=TOO_LATE))
    assert isinstance(found, Submit)
    assert found.transaction == "round:Abort"


def test_a_released_round_is_published_however_late() -> None:
    assert due(delivered(Phase.RELEASED), me(now_ms=TOO_LATE * 2)) == [PublishModel(TASK, 1)]


def test_a_published_round_is_settled() -> None:
    published = delivered(Phase.PUBLISHED)
    assert due(published, me()) == [of_round("reward:Settle", published)]


@pytest.mark.parametrize(
    ("settled_rounds", "expected"), [(1, "round:Open"), (2, "round:Open"), (3, "task:Close")]
)
def test_rounds_follow_until_enough_are_settled(settled_rounds: int, expected: str) -> None:
    settled = replace(view(round_(Phase.SETTLED, number=5)), settled_rounds=settled_rounds)
    (found,) = due(settled, me())
    assert isinstance(found, Submit)
    assert found.transaction == expected


def test_after_an_aborted_round_the_next_is_opened() -> None:
    assert aborted(1) == OPEN
    assert aborted(2) == OPEN


def test_a_task_is_abandoned_after_too_many_aborts_in_a_row() -> None:
    found = aborted(3)
    assert found.transaction == "task:Abandon"
    assert found.request["reason"] == "3 rounds in a row were aborted, the last one because: nobody came"


def test_aborts_count_from_the_last_published_round() -> None:
    seventh = view(round_(Phase.ABORTED, number=7))
    assert due(seventh, me(last_published_round=5)) == [OPEN]
    (found,) = due(seventh, me(last_published_round=4))
    assert isinstance(found, Submit)
    assert found.transaction == "task:Abandon"


def test_a_long_reason_fits_the_contract() -> None:
    (found,) = due(view(round_(Phase.ABORTED, number=3, reason="x" * 500)), me())
    assert isinstance(found, Submit)
    assert len(str(found.request["reason"])) == 500
