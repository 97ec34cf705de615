"""The pure rules by themselves: tables, draws, and the guards that no transaction can reach."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import (
    PPB,
    Attribute,
    Caller,
    Entry,
    IncentiveTerms,
    KeyEpoch,
    Organization,
    Participant,
    Phase,
    Progress,
    Registration,
    Reputation,
    Round,
    Task,
    TaskSpec,
    TaskStatus,
    from_json,
)
from bfl_chaincode.rules import accounts, reputation, rewards, rounds, selection, tasks
from bfl_chaincode.rules.callers import Call
from tests.chaincode.scenario import COORDINATOR, spec

ROLE = (Attribute("bfl.role", "coordinator"),)
CALL = Call(Caller(COORDINATOR, "coordinator", "client", ROLE, "0" * 64), at=1000, transaction_id="f" * 64)


def task(**changes: Any) -> Task:
    return Task(
        from_json(TaskSpec, spec(**changes)), "d" * 64, TaskStatus.RUNNING, created_at=1, changed_at=1
    )


def round_in(phase: Phase) -> Round:
    return Round("cancer", 1, phase, 1, ("a", "b"), ("BetaMSP",), "m" * 64, "", opened_at=1, deadline_at=2)


def registrations(count: int, samples: int = 10) -> list[Registration]:
    return [Registration("cancer", f"p-{n:03d}", "AlphaMSP", samples, registered_at=1) for n in range(count)]


def organizations(*suspended: str) -> list[Organization]:
    names = ("AlphaMSP", "BetaMSP", "DeltaMSP", "GammaMSP")
    return [Organization(name, name, "EU", name not in suspended, admitted_at=1) for name in names]


# --- phases and statuses --------------------------------------------------------------------------

LINE = [Phase.OPEN, Phase.COLLECTING, Phase.SEALED, Phase.AGGREGATED, Phase.VERIFIED, Phase.RELEASED,
        Phase.PUBLISHED, Phase.SETTLED]  # fmt: skip


def test_the_table_of_phases_is_the_line_and_abortion_before_release() -> None:
    expected = {(before, after) for before, after in itertools.pairwise(LINE)}
    expected |= {(phase, Phase.ABORTED) for phase in LINE[: LINE.index(Phase.RELEASED)]}
    assert {(origin, target) for origin, targets in rounds.MOVES.items() for target in targets} == expected
    assert set(rounds.MOVES) == set(Phase)


@pytest.mark.parametrize(("origin", "target"), list(itertools.product(Phase, Phase)))
def test_every_move_outside_the_table_is_refused_with_the_phases_that_have_it(
    origin: Phase, target: Phase
) -> None:
    if target in rounds.MOVES[origin]:
        moved = rounds.move(round_in(origin), target, CALL)
        assert (moved.phase, moved.changed_at) == (target, CALL.at)
        return
    with pytest.raises(refusals.WrongPhase) as refused:
        rounds.move(round_in(origin), target, CALL)
    assert f"is {origin}, not" in str(refused.value)


@pytest.mark.parametrize(("origin", "target"), list(itertools.product(TaskStatus, TaskStatus)))
def test_every_status_outside_the_table_is_refused(origin: TaskStatus, target: TaskStatus) -> None:
    found = replace(task(), status=origin)
    if target in tasks.MOVES[origin]:
        assert tasks.move(found, target, CALL).status is target
        return
    with pytest.raises(refusals.WrongStatus):
        tasks.move(found, target, CALL)


# --- selection ------------------------------------------------------------------------------------


def test_a_target_of_zero_draws_everybody_in_sorted_order() -> None:
    found = selection.cohort(task(), registrations(7)[::-1], "seed")
    assert found == tuple(f"p-{n:03d}" for n in range(7))


@given(count=st.integers(5, 40), target=st.integers(3, 40), seed=st.text(max_size=8))
def test_a_draw_has_the_asked_size_and_depends_on_nothing_but_the_seed(
    count: int, target: int, seed: str
) -> None:
    drawn = selection.cohort(task(cohort__target=target), registrations(count), seed)
    assert len(drawn) == min(count, target)
    assert list(drawn) == sorted(set(drawn))
    assert drawn == selection.cohort(task(cohort__target=target), registrations(count)[::-1], seed)


def test_every_candidate_is_drawn_equally_often() -> None:
    drawn = [
        name
        for number in range(600)
        for name in selection.cohort(task(cohort__target=3), registrations(6), f"seed {number}")
    ]
    counts = [drawn.count(f"p-{n:03d}") for n in range(6)]
    assert sum(counts) == 1800
    assert max(counts) - min(counts) < 90


def test_the_seed_changes_with_the_spec_the_round_and_the_sum_before() -> None:
    one = task()
    seeds = {
        selection.seed(one, 1, ""),
        selection.seed(one, 2, ""),
        selection.seed(one, 1, "a" * 64),
        selection.seed(replace(one, spec_digest="e" * 64), 1, ""),
    }
    assert len(seeds) == 4


def test_holders_are_the_aggregator_and_those_who_hold_no_key() -> None:
    assert selection.holders(task(), organizations()) == ("BetaMSP", "AlphaMSP", "DeltaMSP")


def test_the_key_holder_helps_out_when_too_few_are_left() -> None:
    found = selection.holders(task(), organizations("AlphaMSP", "DeltaMSP"))
    assert found == ("BetaMSP", "GammaMSP")


def test_who_holds_but_a_share_of_a_key_holds_updates_too() -> None:
    shared = {"roles__key_holder": "", "roles__key_members": ["AlphaMSP", "GammaMSP"]}
    found = selection.holders(task(**shared, encryption__scheme="threshold"), organizations())
    assert found == ("BetaMSP", "AlphaMSP", "DeltaMSP", "GammaMSP")


@pytest.mark.parametrize("suspended", [("BetaMSP",), ("AlphaMSP", "DeltaMSP", "GammaMSP")])
def test_without_the_aggregator_or_enough_others_nobody_holds_updates(suspended: tuple[str, ...]) -> None:
    with pytest.raises(refusals.TooFewHolders):
        selection.holders(task(), organizations(*suspended))


def test_only_active_participants_of_active_organizations_are_eligible() -> None:
    names = ("p-000", "p-001", "p-002")
    people = [
        Participant("p-000", "AlphaMSP", active=True, enrolled_at=1),
        Participant("p-001", "AlphaMSP", active=False, enrolled_at=1),
        Participant("p-002", "GammaMSP", active=True, enrolled_at=1),
    ]
    found = selection.eligible(registrations(len(names)), people, organizations("GammaMSP"))
    assert [item.participant_id for item in found] == ["p-000"]


# --- rewards and reputation -----------------------------------------------------------------------


def test_left_over_units_go_to_the_largest_remainders_and_ties_to_the_lower_id() -> None:
    examples: list[tuple[int, dict[str, int], dict[str, int]]] = [
        (10, {"a": 1, "b": 1, "c": 1}, {"a": 4, "b": 3, "c": 3}),
        (10, {"c": 1, "b": 1, "a": 1}, {"a": 4, "b": 3, "c": 3}),
        (10, {"a": 3, "b": 3, "c": 1}, {"a": 4, "b": 4, "c": 2}),
        (7, {"a": 10, "b": 25, "c": 65}, {"a": 1, "b": 2, "c": 4}),
        (1, {"a": 49, "b": 51}, {"a": 0, "b": 1}),
        (100, {"a": 0, "b": 5}, {"a": 0, "b": 100}),
        (100, {"a": 0, "b": 0}, {"a": 0, "b": 0}),
        (0, {"a": 5, "b": 7}, {"a": 0, "b": 0}),
        (10**12, {"a": 2**62, "b": 2**62 - 1}, {"a": 500_000_000_000, "b": 500_000_000_000}),
        (5, {}, {}),
    ]
    for total, shares, expected in examples:
        assert rewards.largest_remainder(total, shares) == expected


def test_shares_and_reputations_of_worked_examples() -> None:
    terms = IncentiveTerms(
        0, 0, alpha_ppb=PPB // 2, consistency_window=4, reputation_lambda_ppb=8 * PPB // 10
    )
    standing = Reputation("t", "p", 600_000_000, streak=1, rounds=1, changed_at=1)
    assert reputation.consistency_ppb(terms, standing) == 250_000_000
    assert rewards.share(terms, 1000, standing) == 1125
    assert rewards.share(terms, 1001, standing) == 1126  # 1126.125, rounded down
    assert rewards.share(terms, 1000, replace(standing, streak=4)) == 1500
    assert rewards.share(terms, 1000, replace(standing, streak=9)) == 1500
    assert rewards.share(terms, -1000, standing) == 0
    assert reputation.rated(terms, standing, True, 7) == Reputation("t", "p", 680_000_000, 2, 2, 7)
    assert reputation.rated(terms, standing, False, 7) == Reputation("t", "p", 480_000_000, 0, 2, 7)
    forgetful = replace(terms, reputation_lambda_ppb=0)
    assert reputation.rated(forgetful, standing, True, 7).score_ppb == PPB
    assert reputation.rated(forgetful, standing, False, 7).score_ppb == 0
    assert reputation.initial("t", "p") == Reputation("t", "p", PPB // 2, 0, 0, 0)


SHARES = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(0, 2**62), max_size=20)


@given(total=st.integers(0, 10**12), shares=SHARES)
def test_largest_remainder_gives_out_exactly_the_total_and_nobody_more_than_one_unit_off(
    total: int, shares: dict[str, int]
) -> None:
    amounts = rewards.largest_remainder(total, shares)
    whole = sum(shares.values())
    assert sum(amounts.values()) == (total if whole else 0)
    for name, part in shares.items():
        assert amounts[name] >= 0
        assert abs(amounts[name] * whole - total * part) < whole or not whole


@given(total=st.integers(0, 10**6), shares=SHARES)
def test_a_larger_share_is_never_paid_less_and_ties_go_to_the_lower_id(
    total: int, shares: dict[str, int]
) -> None:
    amounts = rewards.largest_remainder(total, shares)
    for one, other in itertools.combinations(sorted(shares), 2):
        if shares[one] >= shares[other]:
            assert amounts[one] >= amounts[other]
        else:
            assert amounts[one] <= amounts[other]


TERMS = st.builds(
    IncentiveTerms,
    pool=st.just(0),
    per_round=st.just(0),
    alpha_ppb=st.integers(0, 4 * PPB),
    consistency_window=st.integers(1, 10_000),
    reputation_lambda_ppb=st.integers(0, PPB),
)


@given(terms=TERMS, streak=st.integers(0, 20_000), alignment=st.integers(-(2**60), 2**60))
def test_a_share_fits_64_bits_and_grows_with_the_streak(
    terms: IncentiveTerms, streak: int, alignment: int
) -> None:
    standing = Reputation("t", "p", PPB // 2, min(streak, terms.consistency_window), 1, 1)
    fresh = replace(standing, streak=0)
    share = rewards.share(terms, alignment, standing)
    assert 0 <= rewards.share(terms, alignment, fresh) <= share < 2**63
    assert rewards.share(terms, alignment, fresh) == max(0, alignment)


@given(terms=TERMS, valid=st.lists(st.booleans(), max_size=30))
def test_a_reputation_stays_between_0_and_1_and_a_streak_within_its_window(
    terms: IncentiveTerms, valid: list[bool]
) -> None:
    standing = reputation.initial("t", "p")
    for number, good in enumerate(valid, start=1):
        before = standing
        standing = reputation.rated(terms, before, good, at=number)
        assert 0 <= standing.score_ppb <= PPB
        assert (standing.score_ppb >= before.score_ppb) == good or standing.score_ppb == before.score_ppb
        assert standing.streak == (min(before.streak + 1, terms.consistency_window) if good else 0)
        assert 0 <= reputation.consistency_ppb(terms, standing) <= PPB
        assert standing.rounds == number


# --- guards ---------------------------------------------------------------------------------------


def _entry(account: str, amount: int) -> Entry:
    return Entry(account, "0" * 64, 0, amount, "fund", "x", booked_at=1)


def test_entries_that_do_not_sum_to_zero_are_never_booked() -> None:
    with pytest.raises(refusals.UnbalancedEntries):
        accounts.post([("mint", -3), ("org:AlphaMSP", 2)], "mint", "x", CALL)


def test_a_payout_beyond_the_pool_is_refused() -> None:
    with pytest.raises(refusals.PoolExhausted):
        accounts.payout("cancer", [("a", 3), ("b", 3)], [_entry("pool:cancer", 5)], "round 1", CALL)


def test_a_round_without_a_key_epoch_is_refused() -> None:
    standing = rounds.Standing(
        task=task(),
        progress=Progress("cancer", 0, 0),
        previous=None,
        epochs=(),
        registrations=tuple(registrations(3)),
        participants=(),
        organizations=tuple(organizations()),
    )
    with pytest.raises(refusals.KeyEpochMissing):
        rounds.open_round(standing, CALL)
    with pytest.raises(refusals.TooFewParticipants):
        rounds.open_round(replace(standing, epochs=(KeyEpoch("cancer", 1, "x", "", "", 1, 1),)), CALL)
