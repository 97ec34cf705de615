"""The auditor's formulas: by hand, by their properties, and beside the contract's, which they were not made from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bfl_chaincode.api.records import PPB, IncentiveTerms, Reputation
from bfl_chaincode.rules import reputation as contract_reputation
from bfl_chaincode.rules import rewards as contract_rewards
from bfl_fabric.audit.payouts import FRESH, Standing, advance, consistency, divide, payouts

TERMS = IncentiveTerms(
    pool=10_000,
    per_round=1_000,
    alpha_ppb=PPB // 2,
    consistency_window=4,
    reputation_lambda_ppb=8 * PPB // 10,
)

terms = st.builds(
    IncentiveTerms,
    pool=st.just(10**12),
    per_round=st.integers(0, 10**12),
    alpha_ppb=st.integers(0, 10 * PPB),
    consistency_window=st.integers(1, 10_000),
    reputation_lambda_ppb=st.integers(0, PPB),
)
standings = st.builds(Standing, st.integers(0, PPB), st.integers(0, 10_000), st.integers(0, 10_000))
alignments = st.dictionaries(
    st.from_regex(r"[a-z]{1,3}-[0-9]", fullmatch=True), st.integers(-(2**58), 2**58), min_size=1, max_size=12
)


def test_a_round_by_hand() -> None:
    """Shares 300 and 100·(1 + 1/2·2/4) = 125: of 1000 units 705.88 and 294.11, the unit left to the larger rest."""
    before = {"b": Standing(score_ppb=PPB, streak=2, rounds=7)}
    lines = payouts(TERMS, ["a", "b", "c", "d"], {"a": 300, "b": 100, "c": -50}, before)
    assert [(line.participant_id, line.share, line.amount) for line in lines] == [
        ("a", 300, 706),
        ("b", 125, 294),
        ("c", 0, 0),
        ("d", 0, 0),
    ]
    assert [line.consistency_ppb for line in lines] == [0, PPB // 2, 0, 0]
    assert [line.reputation_after_ppb for line in lines] == [600_000_000, PPB, 400_000_000, 400_000_000]


def test_who_did_not_deliver_loses_its_streak_and_who_was_aligned_gains_up_to_the_window() -> None:
    lines = {line.participant_id: line for line in payouts(TERMS, ["a", "b"], {"a": 5}, {})}
    assert advance(TERMS, lines["a"], Standing(streak=4, rounds=9)) == Standing(600_000_000, 4, 10)
    assert advance(TERMS, lines["b"], Standing(streak=4, rounds=9)) == Standing(400_000_000, 0, 10)


def test_equal_remainders_go_to_the_lower_id() -> None:
    assert divide(10, {"c": 1, "a": 1, "b": 1}) == {"a": 4, "b": 3, "c": 3}


def test_nothing_is_paid_when_nobody_is_aligned() -> None:
    assert divide(1_000, {"a": 0, "b": 0}) == {"a": 0, "b": 0}


def test_consistency_is_at_most_one() -> None:
    assert consistency(TERMS, Standing(streak=9)) == PPB
    assert consistency(TERMS, FRESH) == 0


@given(st.integers(0, 10**12), st.dictionaries(st.text(min_size=1), st.integers(0, 2**62), max_size=20))
def test_division_loses_no_unit_and_is_within_one_unit_of_proportion(
    total: int, shares: dict[str, int]
) -> None:
    amounts = divide(total, shares)
    whole = sum(shares.values())
    assert sum(amounts.values()) == (total if whole else 0)
    for name, share in shares.items():
        assert amounts[name] >= 0
        assert whole == 0 or abs(amounts[name] * whole - total * share) < whole


@given(terms, alignments, st.lists(standings, min_size=12, max_size=12))
def test_the_auditor_and_the_contract_agree(
    given_terms: IncentiveTerms, aligned: dict[str, int], before: list[Standing]
) -> None:
    standing = dict(zip(sorted(aligned), before, strict=False))
    lines = payouts(given_terms, sorted(aligned), aligned, standing)
    records = {
        name: Reputation("task", name, one.score_ppb, one.streak, one.rounds, 0)
        for name, one in standing.items()
    }
    shares = {
        name: contract_rewards.share(given_terms, aligned[name], record) for name, record in records.items()
    }
    amounts = contract_rewards.largest_remainder(given_terms.per_round, shares)
    for line in lines:
        name = line.participant_id
        after = contract_reputation.rated(given_terms, records[name], aligned[name] > 0, 5)
        assert (line.share, line.amount) == (shares[name], amounts[name])
        assert line.consistency_ppb == contract_reputation.consistency_ppb(given_terms, records[name])
        expected = advance(given_terms, line, standing[name])
        assert (expected.score_ppb, expected.streak, expected.rounds) == (
            after.score_ppb,
            after.streak,
            after.rounds,
        )
