"""What is due for a key member while a round is opened, and everything that makes it refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bfl_chaincode.api.records import Phase, RoundView, ScoreSheet, ShareOffer, ShareSubject
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.roles import attempts
from bfl_fabric.roles.actions import Action, of_round
from bfl_fabric.roles.ceremony import GRACE_MS
from bfl_fabric.roles.openable import KeyHolderState, verify_openable
from bfl_fabric.roles.turns import (
    GATHER_GRACE_MS,
    Answer,
    Begin,
    Combine,
    GatherShares,
    GetReady,
    KeepSum,
    Offer,
    OpeningState,
    concerns,
    due,
)
from tests.unit.roles.rounds import OPENED_AT, TASK, aggregated, collecting, digest, verified
from tests.unit.roles.shared import (
    MEMBERS,
    answer,
    blame,
    directed,
    joint_epoch,
    offer,
    openable,
    opening,
    shared,
)

FIRST, SECOND, THIRD = MEMBERS[1:] + MEMBERS[:1]
"""The order of round 1, in which another member goes first than in round 2."""

LATE = OPENED_AT + 60_000
SUM, SCORES = ShareSubject.SUM, ShareSubject.SCORES


def step(
    view: RoundView, msp_id: str = FIRST, now_ms: int = OPENED_AT, held: frozenset[str] = frozenset()
) -> list[Action]:
    return due(view, OpeningState(msp_id, now_ms, held))


def begin(view: RoundView, attempt: int) -> list[Action]:
    return [of_round("opening:Begin", view, attempt=attempt)]


def test_another_member_goes_first_in_each_round() -> None:
    assert attempts.order_of(openable()) == [FIRST, SECOND, THIRD]
    view = openable()
    assert view.round is not None
    assert attempts.order_of(replace(view, round=replace(view.round, number=2)))[0] == SECOND


def test_as_many_as_must_answer_get_ready_once_the_set_is_sealed() -> None:
    sealed = shared(aggregated(Phase.SEALED))
    assert step(sealed, FIRST) == [GetReady(TASK, 1, 1)]
    assert step(sealed, SECOND) == [GetReady(TASK, 1, 1)]
    assert step(sealed, THIRD, LATE) == []


@pytest.mark.parametrize("phase", [Phase.AGGREGATED, Phase.VERIFIED])
def test_once_the_aggregate_is_proposed_the_first_begins_or_another_a_while_later(phase: Phase) -> None:
    view = shared(aggregated(phase))
    assert step(view, FIRST) == [Begin(TASK, 1, 1)]
    assert step(view, SECOND) == step(view, THIRD, OPENED_AT + GRACE_MS) == []
    assert step(view, SECOND, OPENED_AT + GRACE_MS) == [Begin(TASK, 1, 1)]
    assert step(view, THIRD, OPENED_AT + 2 * GRACE_MS) == [Begin(TASK, 1, 1)]


@pytest.mark.parametrize("view", [collecting(), aggregated(Phase.ABORTED), verified()], ids=str)
def test_nothing_is_begun_for_a_round_that_is_not_sealed_or_has_a_single_key(view: RoundView) -> None:
    seen = view if view.round and view.round.phase is Phase.VERIFIED else shared(view)
    assert step(seen) == []


def test_an_organization_without_a_share_begins_nothing() -> None:
    assert step(openable(), "StrangerMSP") == []


def test_an_attempt_that_has_begun_waits_until_the_round_is_verified() -> None:
    begun = shared(aggregated(), openings=(opening(FIRST, SECOND),))
    assert step(begun, FIRST, LATE) == step(begun, THIRD, LATE) == []


def failed(*offers: ShareOffer) -> RoundView:
    """A round whose first attempt is late at LATE, with offers for the second."""
    return openable(openings=(opening(FIRST, SECOND),), offers=offers)


def test_a_later_attempt_begins_when_enough_members_offer_the_same_sum_of_masks() -> None:
    assert step(failed(offer(FIRST, 2)), FIRST, LATE) == []
    both = failed(offer(FIRST, 2, at=LATE), offer(SECOND, 2, at=LATE + 1))
    assert step(both, FIRST, LATE + 1) == begin(both, 2)
    assert step(both, SECOND, LATE + 1) == []
    assert step(both, SECOND, LATE + 1 + GRACE_MS) == begin(both, 2)


def test_offers_of_different_sums_begin_nothing() -> None:
    torn = failed(offer(FIRST, 2), offer(SECOND, 2, masks=digest("other masks")))
    assert step(torn, FIRST, LATE) == []


def test_who_is_in_the_active_set_answers_and_nobody_else() -> None:
    begun = openable(openings=(opening(FIRST, SECOND),))
    assert step(begun, FIRST) == [Answer(TASK, 1, 1)]
    assert step(begun, SECOND) == [Answer(TASK, 1, 1)]
    assert step(begun, THIRD) == []


def test_with_a_direction_scores_and_sum_are_answered_together() -> None:
    begun = directed(openings=(opening(FIRST, SECOND),))
    assert step(begun) == [Answer(TASK, 1, 1)]
    scored = replace(begun, scores=ScoreSheet(TASK, 1, digest("direction"), (), OPENED_AT))
    assert step(scored) == [Answer(TASK, 1, 1)]


def test_the_scores_are_combined_before_the_sum() -> None:
    answers = tuple(answer(name, subject) for name in (FIRST, SECOND) for subject in (SCORES, SUM))
    answered = directed(openings=(opening(FIRST, SECOND),), shares=answers)
    assert step(answered) == [Combine(TASK, 1, 1, SCORES)]
    without_sums = replace(answered, shares=tuple(one for one in answers if one.subject is SCORES))
    assert step(without_sums) == [Answer(TASK, 1, 1), Combine(TASK, 1, 1, SCORES)]
    scored = replace(answered, scores=ScoreSheet(TASK, 1, digest("direction"), (), OPENED_AT))
    assert step(scored) == [Combine(TASK, 1, 1, SUM)]


def test_the_first_active_member_combines_and_the_others_after_it() -> None:
    answered = openable(openings=(opening(FIRST, SECOND),), shares=(answer(FIRST), answer(SECOND)))
    assert step(answered, FIRST) == [Combine(TASK, 1, 1, SUM)]
    assert step(answered, SECOND, OPENED_AT + GRACE_MS) == [Combine(TASK, 1, 1, SUM)]
    assert step(answered, THIRD, OPENED_AT + 2 * GRACE_MS) == [Combine(TASK, 1, 1, SUM)]
    assert step(answered, THIRD, OPENED_AT + GRACE_MS) == []


def test_the_second_gathers_the_shares_meanwhile() -> None:
    answered = openable(openings=(opening(FIRST, SECOND),), shares=(answer(FIRST), answer(SECOND)))
    assert step(answered, SECOND) == [GatherShares(TASK, 1, 1, SUM)]
    held = frozenset(share.digest for share in answered.shares)
    assert step(answered, SECOND, held=held) == []


def test_the_answers_for_the_scores_are_gathered_only_when_the_first_takes_long() -> None:
    answers = tuple(answer(name, subject) for name in (FIRST, SECOND) for subject in (SCORES, SUM))
    answered = directed(openings=(opening(FIRST, SECOND),), shares=answers)
    since = max(share.posted_at for share in answers)
    assert step(answered, SECOND, since) == []
    assert step(answered, SECOND, since + GATHER_GRACE_MS) == [GatherShares(TASK, 1, 1, SCORES)]


def test_nothing_is_combined_before_everybody_has_answered() -> None:
    assert step(openable(openings=(opening(FIRST, SECOND),), shares=(answer(FIRST),))) == []


def test_a_share_for_another_subject_or_attempt_does_not_count() -> None:
    others = (answer(FIRST, SCORES), answer(FIRST, SUM, attempt=2), answer(SECOND))
    assert step(openable(openings=(opening(FIRST, SECOND),), shares=others)) == [Answer(TASK, 1, 1)]


HEARD = {
    "round:Seal": (FIRST, SECOND),
    "round:ProposeAggregate": (FIRST,),
    "round:ConfirmAggregate": (FIRST, SECOND),
    "opening:PostShares": (FIRST, SECOND),
    "round:PostScores": (FIRST, SECOND),
    "round:ReleaseShare": (),
    "opening:Offer": (FIRST, SECOND, THIRD),
    "opening:Blame": (FIRST, SECOND, THIRD),
    "round:Open": (FIRST, SECOND, THIRD),
}


@pytest.mark.parametrize("name", HEARD)
def test_a_step_of_the_first_attempt_concerns_whom_it_moves(name: str) -> None:
    assert (
        tuple(member for member in (FIRST, SECOND, THIRD) if concerns(openable(), member, name))
        == HEARD[name]
    )


def test_who_is_active_in_place_of_another_hears_what_moves_it() -> None:
    helping = openable(openings=(opening(SECOND, THIRD),))
    assert concerns(helping, THIRD, "round:ConfirmAggregate")
    assert concerns(helping, THIRD, "opening:PostShares")
    assert not concerns(helping, FIRST, "round:ConfirmAggregate")


def test_everybody_hears_everything_after_a_failure() -> None:
    again = openable(openings=(opening(SECOND, THIRD), opening(FIRST, SECOND, attempt=2)))
    assert concerns(again, FIRST, "round:ReleaseShare")
    assert concerns(failed(offer(THIRD, 2)), FIRST, "round:ReleaseShare")


# --- attempts that fail -------------------------------------------------------------------------


def test_an_attempt_that_misses_an_answer_at_its_deadline_is_followed_by_the_next() -> None:
    begun = openable(openings=(opening(FIRST, SECOND),), shares=(answer(FIRST),))
    assert step(begun, FIRST, LATE - 1) == []
    for member in (FIRST, SECOND, THIRD):
        assert step(begun, member, LATE) == [Offer(TASK, 1, 2)]


def test_an_attempt_that_is_answered_in_time_does_not_fail_for_want_of_a_combination() -> None:
    answered = openable(openings=(opening(FIRST, SECOND),), shares=(answer(FIRST), answer(SECOND)))
    assert step(answered, FIRST, LATE) == [Combine(TASK, 1, 1, SUM)]


def test_an_attempt_that_began_early_has_its_time_from_when_the_round_was_verified() -> None:
    begun = shared(verified(changed_at=LATE - 1), openings=(opening(FIRST, SECOND),))
    assert not attempts.has_failed(begun, begun.openings[0], LATE)
    assert attempts.has_failed(begun, begun.openings[0], LATE - 1 + 60_000)


@pytest.mark.parametrize("subject", [SCORES, SUM])
def test_an_attempt_fails_for_want_of_either_answer(subject: ShareSubject) -> None:
    begun = directed(
        openings=(opening(FIRST, SECOND),), shares=(answer(FIRST, subject), answer(SECOND, subject))
    )
    assert attempts.has_failed(begun, begun.openings[0], LATE)


def test_a_member_that_most_others_blame_neither_offers_nor_answers_again() -> None:
    blamed = openable(
        openings=(opening(FIRST, SECOND),),
        shares=(answer(FIRST), answer(SECOND)),
        blames=(blame(FIRST, SECOND), blame(THIRD, SECOND)),
    )
    assert attempts.excluded(blamed) == (SECOND,)
    assert step(blamed, SECOND) == []
    assert step(blamed, THIRD) == [Offer(TASK, 1, 2)]


def test_one_blame_of_two_others_excludes_nobody_but_ends_the_accusers_combining() -> None:
    blamed = openable(
        openings=(opening(FIRST, SECOND),),
        shares=(answer(FIRST), answer(SECOND)),
        blames=(blame(FIRST, SECOND),),
    )
    assert attempts.excluded(blamed) == ()
    assert step(blamed, FIRST, LATE) == []
    assert step(blamed, THIRD, LATE) == [Combine(TASK, 1, 1, SUM)]


def test_the_zeros_of_an_attempt_are_those_of_its_active_members() -> None:
    again = openable(
        offers=(offer(FIRST, 2), offer(SECOND, 2), offer(THIRD, 2)),
        openings=(opening(FIRST, SECOND), opening(SECOND, THIRD, attempt=2)),
    )
    zeros = attempts.zeros_of(again, again.openings[1])
    assert [item.msp_id for item in zeros] == sorted((SECOND, THIRD))
    assert attempts.zeros_of(again, again.openings[0]) == ()


# --- the released sum ---------------------------------------------------------------------------


def released() -> RoundView:
    view = openable(openings=(opening(FIRST, SECOND),), shares=(answer(FIRST), answer(SECOND)))
    assert view.round is not None
    return replace(view, round=replace(view.round, phase=Phase.RELEASED, sum_digest=digest("sum")))


def test_a_released_sum_that_nobody_publishes_is_made_again() -> None:
    assert step(released(), THIRD) == []
    assert step(released(), SECOND) == [GatherShares(TASK, 1, 1, SUM)]
    late = OPENED_AT + GRACE_MS
    assert step(released(), THIRD, late) == [KeepSum(TASK, 1, 1)]
    assert step(released(), THIRD, late, frozenset({digest("sum")})) == []


# --- what stays closed --------------------------------------------------------------------------

ME = KeyHolderState(FIRST, "", "")


def test_a_verified_round_may_be_opened_by_every_member() -> None:
    for member in MEMBERS:
        verify_openable(openable(), replace(ME, msp_id=member))
        verify_openable(directed(), replace(ME, msp_id=member))


def without_mask(view: RoundView) -> RoundView:
    first, *rest = view.updates
    return replace(view, updates=(replace(first, mask_digest="", mask_bytes=0), *rest))


def with_a_copied_mask(view: RoundView) -> RoundView:
    first, second, *rest = view.updates
    return replace(view, updates=(first, replace(second, mask_digest=first.mask_digest), *rest))


REFUSALS = {
    "no member of the key": (openable(), replace(ME, msp_id="StrangerMSP"), "not the task's key holder"),
    "a member of the task but not of the key": (
        openable(key_epoch=replace(joint_epoch(), members=(SECOND, THIRD))),
        ME,
        "not the task's key holder",
    ),
    "a key with another threshold": (openable(key_epoch=joint_epoch(threshold=3)), ME, "another threshold"),
    "a member without mask": (without_mask(openable()), ME, "same mask"),
    "a mask twice": (with_a_copied_mask(openable()), ME, "same mask"),
    "another aggregate opened before": (
        openable(),
        replace(ME, opened_aggregate=digest("x")),
        "another aggregate",
    ),
    "too few attestations": (openable(attestations=()), ME, "too few organizations"),
    "another epoch": (openable(key_epoch=joint_epoch(2)), ME, "epoch"),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_it_stays_closed(case: tuple[RoundView, KeyHolderState, str]) -> None:
    seen, state, objection = case
    with pytest.raises(KeyHolderRefused, match=objection):
        verify_openable(seen, state)
