"""What is due for a key member while a joint key is made, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bfl_chaincode.api.records import Ceremony, CeremonyStatus, CeremonyView, KeyEpoch, TaskStatus
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.ceremony import (
    GRACE_MS,
    RENEWAL_MS,
    CeremonyState,
    CloseCeremony,
    CommitKeyShare,
    ConfirmKey,
    OpenCeremony,
    RevealKeyShare,
    due,
    excluded,
    is_usable,
)
from tests.unit.roles.rounds import OPENED_AT, TASK, task
from tests.unit.roles.shared import DEADLINE, MEMBERS, ceremony, ceremony_view, joint_epoch, shared_task

FIRST, SECOND, THIRD = MEMBERS
DAY_MS = 86_400_000


def state(
    msp_id: str = FIRST,
    now_ms: int = OPENED_AT,
    epochs: tuple[KeyEpoch, ...] = (),
    ceremonies: tuple[Ceremony, ...] = (),
    newest: CeremonyView | None = None,
) -> CeremonyState:
    found = ceremonies or ((newest.ceremony,) if newest is not None else ())
    return CeremonyState(msp_id, now_ms, epochs, found, newest)


def step(view: CeremonyView, msp_id: str = FIRST, now_ms: int = OPENED_AT) -> list[Action]:
    return due(shared_task(), state(msp_id, now_ms, newest=view))


@pytest.mark.parametrize("status", [TaskStatus.PUBLISHED, TaskStatus.RUNNING])
def test_the_first_member_opens_a_ceremony_for_a_task_without_key(status: TaskStatus) -> None:
    assert due(shared_task(status), state()) == [OpenCeremony(TASK, 0, 1)]


@pytest.mark.parametrize("status", [TaskStatus.DRAFT, TaskStatus.CLOSED, TaskStatus.ABANDONED])
def test_no_ceremony_is_opened_for_a_task_that_is_not_live(status: TaskStatus) -> None:
    assert due(shared_task(status), state()) == []


def test_a_task_with_a_single_key_has_no_ceremony() -> None:
    assert due(task(), state()) == []


def test_an_organization_without_a_share_does_nothing() -> None:
    assert due(shared_task(), state("StrangerMSP")) == []


def test_the_others_open_it_when_those_before_them_do_not() -> None:
    assert due(shared_task(), state(SECOND)) == []
    assert due(shared_task(), state(SECOND, OPENED_AT + GRACE_MS)) == [OpenCeremony(TASK, 0, 1)]
    assert due(shared_task(), state(THIRD, OPENED_AT + GRACE_MS)) == []
    assert due(shared_task(), state(THIRD, OPENED_AT + 2 * GRACE_MS)) == [OpenCeremony(TASK, 0, 1)]


def test_a_good_key_needs_no_ceremony() -> None:
    assert due(shared_task(), state(epochs=(joint_epoch(),), now_ms=OPENED_AT + 365 * DAY_MS)) == []


def test_a_retired_key_is_replaced_by_the_next() -> None:
    retired = joint_epoch(retired_at=OPENED_AT + 5)
    closed = ceremony(status=CeremonyStatus.CLOSED)
    seen = state(epochs=(retired,), ceremonies=(closed,), now_ms=OPENED_AT + 5)
    assert due(shared_task(), seen) == [OpenCeremony(TASK, 0, 2)]


def test_a_key_is_replaced_some_time_before_it_expires() -> None:
    epoch = joint_epoch(expires_at=OPENED_AT + DAY_MS)
    closed = (ceremony(status=CeremonyStatus.CLOSED),)
    early, late = OPENED_AT + DAY_MS - RENEWAL_MS - 1, OPENED_AT + DAY_MS - RENEWAL_MS
    assert due(shared_task(), state(now_ms=early, epochs=(epoch,), ceremonies=closed)) == []
    assert due(shared_task(), state(now_ms=late, epochs=(epoch,), ceremonies=closed)) == [
        OpenCeremony(TASK, 0, 2)
    ]
    assert is_usable(epoch, late, early=False)
    assert not is_usable(epoch, OPENED_AT + DAY_MS, early=False)


def test_after_a_failed_ceremony_those_that_it_excludes_do_not_open_the_next() -> None:
    failed = ceremony(status=CeremonyStatus.FAILED, excluded=(FIRST,), changed_at=OPENED_AT + 9)
    seen = state(FIRST, OPENED_AT + DAY_MS, ceremonies=(failed,))
    assert due(shared_task(), seen) == []
    assert due(shared_task(), replace(seen, msp_id=SECOND, now_ms=OPENED_AT + 9)) == [
        OpenCeremony(TASK, 0, 2)
    ]


def test_a_key_that_was_made_clears_what_earlier_ceremonies_excluded() -> None:
    failed = ceremony(status=CeremonyStatus.FAILED, excluded=(FIRST,))
    assert excluded([failed]) == {FIRST}
    assert excluded([failed, ceremony(2, CeremonyStatus.CLOSED)]) == frozenset()


# --- the steps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("msp_id", MEMBERS)
def test_every_member_commits_at_once(msp_id: str) -> None:
    assert step(ceremony_view(), msp_id) == [CommitKeyShare(TASK, 0, 1)]


def test_nothing_is_revealed_before_all_have_committed() -> None:
    assert step(ceremony_view(committed=(FIRST, SECOND))) == []


def test_everybody_reveals_once_all_have_committed() -> None:
    assert step(ceremony_view(MEMBERS)) == [RevealKeyShare(TASK, 0, 1)]
    assert step(ceremony_view(MEMBERS, (FIRST,))) == []


def test_everybody_confirms_once_all_have_revealed() -> None:
    assert step(ceremony_view(MEMBERS, MEMBERS)) == [ConfirmKey(TASK, 0, 1)]
    assert step(ceremony_view(MEMBERS, MEMBERS, (FIRST,))) == []


def test_who_has_complained_does_not_confirm() -> None:
    assert step(ceremony_view(MEMBERS, MEMBERS, complaints=((FIRST, THIRD),))) == []


def test_the_first_member_closes_what_all_have_spoken_about_and_the_others_after_it() -> None:
    done = ceremony_view(MEMBERS, MEMBERS, MEMBERS)
    assert step(done) == [CloseCeremony(TASK, 0, 1)]
    assert step(done, SECOND) == []
    assert step(done, SECOND, OPENED_AT + GRACE_MS) == [CloseCeremony(TASK, 0, 1)]


def test_a_ceremony_is_closed_when_complaints_are_all_that_is_left() -> None:
    torn = ceremony_view(MEMBERS, MEMBERS, (THIRD,), ((FIRST, THIRD), (SECOND, THIRD)))
    assert step(torn) == [CloseCeremony(TASK, 0, 1)]


@pytest.mark.parametrize(
    "view",
    [ceremony_view((FIRST,)), ceremony_view(MEMBERS, (FIRST,)), ceremony_view(MEMBERS, MEMBERS, (FIRST,))],
)
def test_a_ceremony_that_waits_for_somebody_is_closed_after_its_deadline(view: CeremonyView) -> None:
    assert step(view, now_ms=DEADLINE - 1) == []
    assert step(view, now_ms=DEADLINE) == [CloseCeremony(TASK, 0, 1)]


def test_a_member_that_a_ceremony_leaves_out_takes_no_part_in_it() -> None:
    view = ceremony_view(MEMBERS)
    others = replace(view, ceremony=ceremony(members=(SECOND, THIRD)))
    assert step(others) == []
