"""What is due for a participant, phase by phase."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bfl_chaincode.api.records import PACKED_SCHEME, KeyGrant, Phase, RoundView, TaskStatus
from bfl_fabric.roles.actions import Submit, of_round, of_task
from bfl_fabric.roles.models import CheckBase, CheckModel
from bfl_fabric.roles.participant import (
    Join,
    ParticipantState,
    PreparedUpdate,
    PrepareUpdate,
    Upload,
    due,
)
from tests.unit.roles.rounds import (
    AGGREGATOR,
    BASE,
    COORDINATOR,
    DEADLINE_AT,
    INITIAL,
    OPENED_AT,
    TASK,
    collecting,
    delivered,
    digest,
    receipts,
    round_,
    update,
    view,
)
from tests.unit.roles.shared import shared

PREPARED = PreparedUpdate(digest("a-1"), 1000)


def me(**changes: Any) -> ParticipantState:
    made = ParticipantState("a-1", 10, False, OPENED_AT, None, frozenset({INITIAL}))
    return replace(made, **changes)


def test_a_published_task_is_joined_when_told_so() -> None:
    published = view(None, TaskStatus.PUBLISHED, registrations=())
    assert due(published, me(joins=True)) == [of_task("task:Register", TASK, samples=10)]


def test_a_published_task_is_not_joined_unasked() -> None:
    assert due(view(None, TaskStatus.PUBLISHED, registrations=()), me()) == []


def test_a_registration_is_not_repeated() -> None:
    assert due(view(None, TaskStatus.PUBLISHED), me(joins=True)) == []


def test_nothing_is_due_before_the_first_round() -> None:
    assert due(view(None), me()) == []


def test_a_cohort_member_trains_when_it_has_no_update() -> None:
    assert due(collecting(), me()) == [PrepareUpdate(TASK, 1)]


def test_a_prepared_update_is_committed_with_the_registered_weight() -> None:
    commit = of_round("round:CommitUpdate", collecting(), digest=digest("a-1"), size_bytes=1000, weight=10)
    assert due(collecting(), me(prepared=PREPARED, samples=99)) == [commit]


def test_a_committed_update_goes_to_every_holder() -> None:
    committed = collecting(updates=(update("a-1"),))
    expected = [Upload(TASK, 1, msp_id, digest("a-1")) for msp_id in (AGGREGATOR, COORDINATOR)]
    assert due(committed, me(prepared=PREPARED)) == expected


def test_a_holder_with_a_receipt_is_not_sent_the_update_again() -> None:
    held = collecting(updates=(update("a-1"),), receipts=receipts("a-1", by=(AGGREGATOR,)))
    assert due(held, me(prepared=PREPARED)) == [Upload(TASK, 1, COORDINATOR, digest("a-1"))]


def test_a_receipt_for_other_bytes_does_not_count() -> None:
    other = tuple(replace(one, digest=digest("other")) for one in receipts("a-1"))
    held = collecting(updates=(update("a-1"),), receipts=other)
    assert len(due(held, me(prepared=PREPARED))) == 2


def test_nothing_is_uploaded_when_the_commitment_is_not_of_this_store() -> None:
    committed = collecting(updates=(update("a-1", digest=digest("another machine")),))
    assert due(committed, me(prepared=PREPARED)) == []
    assert due(committed, me()) == []


@pytest.mark.parametrize("now_ms", [DEADLINE_AT, DEADLINE_AT + 1])
def test_nothing_is_due_from_the_deadline_on(now_ms: int) -> None:
    assert due(collecting(), me(now_ms=now_ms)) == []
    assert due(collecting(updates=(update("a-1"),)), me(now_ms=now_ms, prepared=PREPARED)) == []


def test_a_participant_outside_the_cohort_computes_nothing() -> None:
    assert due(view(round_(Phase.COLLECTING, cohort=("a-2", "b-1", "c-1"))), me()) == []


def test_a_base_model_is_checked_before_training_on_it() -> None:
    second = view(round_(Phase.COLLECTING, number=2, base_model_digest=BASE))
    assert due(second, me()) == [CheckBase(TASK, 2, BASE)]
    assert due(second, me(sound_models=frozenset({BASE}))) == [PrepareUpdate(TASK, 2)]


@pytest.mark.parametrize("phase", [Phase.PUBLISHED, Phase.SETTLED])
def test_a_published_model_is_checked_once(phase: Phase) -> None:
    published = delivered(phase, model_digest=digest("new"))
    assert due(published, me()) == [CheckModel(TASK, 1, digest("new"))]
    assert due(published, me(sound_models=frozenset({digest("new")}))) == []


def test_the_last_model_is_checked_when_the_task_is_closed() -> None:
    closed = view(round_(Phase.SETTLED, model_digest=digest("new")), TaskStatus.CLOSED)
    assert due(closed, me()) == [CheckModel(TASK, 1, digest("new"))]


def test_who_is_not_registered_checks_no_models() -> None:
    stranger = me(participant_id="z-9")
    assert due(delivered(Phase.SETTLED, model_digest=digest("new")), stranger) == []


@pytest.mark.parametrize(
    "phase", [Phase.OPEN, Phase.SEALED, Phase.AGGREGATED, Phase.VERIFIED, Phase.RELEASED, Phase.ABORTED]
)
def test_nothing_is_due_while_others_work(phase: Phase) -> None:
    assert due(delivered(phase), me(prepared=PREPARED)) == []


def test_nothing_is_due_in_an_abandoned_task() -> None:
    assert due(view(round_(Phase.COLLECTING), TaskStatus.ABANDONED), me()) == []


def test_two_surveys_find_equal_actions() -> None:
    first, second = due(collecting(), me(prepared=PREPARED)), due(collecting(), me(prepared=PREPARED))
    assert first == second
    assert isinstance(first[0], Submit)
    assert hash(first[0]) == hash(second[0])


def test_a_silo_that_lost_its_update_sits_the_round_out() -> None:
    assert due(collecting(), me(has_lost_update=True)) == []
    assert due(collecting(updates=(update("a-1"),)), me(has_lost_update=True)) == []


# --- shared and granted keys --------------------------------------------------------------------


def with_scheme(seen: RoundView, scheme: str) -> RoundView:
    terms = replace(seen.task.spec.encryption, scheme=scheme)
    return replace(seen, task=replace(seen.task, spec=replace(seen.task.spec, encryption=terms)))


def test_under_a_shared_key_the_mask_is_committed_beside_the_update() -> None:
    prepared = replace(PREPARED, mask_digest=digest("mask"), mask_bytes=400)
    commit = of_round(
        "round:CommitUpdate",
        collecting(),
        digest=digest("a-1"),
        size_bytes=1000,
        weight=10,
        mask_digest=digest("mask"),
        mask_bytes=400,
    )
    assert due(shared(collecting()), me(prepared=prepared)) == [commit]


def test_a_silo_joins_a_packed_task_with_a_transport_key() -> None:
    published = with_scheme(view(None, TaskStatus.PUBLISHED, registrations=()), PACKED_SCHEME)
    assert due(published, me(joins=True)) == [Join(TASK, 0)]


def test_a_silo_of_a_packed_task_waits_for_its_key() -> None:
    waiting = with_scheme(collecting(), PACKED_SCHEME)
    assert due(waiting, me()) == []
    other = KeyGrant(TASK, 1, "a-2", digest("grant"), 100, OPENED_AT)
    assert due(replace(waiting, grants=(other,)), me()) == []
    mine = replace(other, participant_id="a-1")
    assert due(replace(waiting, grants=(mine,)), me()) == [PrepareUpdate(TASK, 1)]
