"""What each participant earns, recomputed from the task's terms: the auditor's own reading of the formulas.

Written from docs and the records' descriptions, on exact rationals, and on purpose without the contract's rules:
an error there must not be repeated here. Pure: terms, alignments and standings in, payout lines and standings out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from bfl_chaincode.api.records import PPB, IncentiveTerms, Payout


@dataclass(frozen=True, slots=True)
class Standing:
    """What a task knows of a participant: reputation, the run of valid rounds up to the window, rounds in all."""

    score_ppb: int = PPB // 2
    streak: int = 0
    rounds: int = 0


FRESH = Standing()


def payouts(
    terms: IncentiveTerms,
    cohort: Sequence[str],
    alignments: Mapping[str, int],
    standings: Mapping[str, Standing],
) -> tuple[Payout, ...]:
    """Return the line of every cohort member, sorted by id.

    Args:
        terms: the task's incentive terms.
        cohort: everybody who was drawn, delivered or not.
        alignments: of those who delivered; in a round without direction their weights.
        standings: before this round; who is not in it is fresh.
    """
    shares = {name: _share(terms, alignments.get(name, 0), standings.get(name, FRESH)) for name in cohort}
    amounts = divide(terms.per_round, shares)
    return tuple(
        Payout(
            participant_id=name,
            alignment=alignments.get(name, 0),
            consistency_ppb=consistency(terms, standings.get(name, FRESH)),
            share=shares[name],
            amount=amounts[name],
            reputation_before_ppb=standings.get(name, FRESH).score_ppb,
            reputation_after_ppb=_reputation(terms, standings.get(name, FRESH), alignments.get(name, 0) > 0),
        )
        for name in sorted(cohort)
    )


def advance(terms: IncentiveTerms, line: Payout, standing: Standing) -> Standing:
    """Return a participant's standing after a round in which it has this line."""
    streak = min(standing.streak + 1, terms.consistency_window) if line.alignment > 0 else 0
    return Standing(line.reputation_after_ppb, streak, standing.rounds + 1)


def consistency(terms: IncentiveTerms, standing: Standing) -> int:
    """Return C in parts per billion: the run of valid rounds before this one over the window, at most 1."""
    return floor(min(Fraction(standing.streak, terms.consistency_window), Fraction(1)) * PPB)


def divide(total: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Return `total` divided by largest remainder, ties by name; nothing at all when no share is positive."""
    whole = sum(shares.values())
    if whole == 0:
        return dict.fromkeys(shares, 0)
    exact = {name: Fraction(total * share, whole) for name, share in shares.items()}
    amounts = {name: floor(quota) for name, quota in exact.items()}
    left = total - sum(amounts.values())
    for name in sorted(shares, key=lambda one: (amounts[one] - exact[one], one))[:left]:
        amounts[name] += 1
    return amounts


def _share(terms: IncentiveTerms, alignment: int, standing: Standing) -> int:
    bonus = floor(Fraction(terms.alpha_ppb * consistency(terms, standing), PPB))
    return floor(Fraction(max(0, alignment) * (PPB + bonus), PPB))


def _reputation(terms: IncentiveTerms, standing: Standing, performed: bool) -> int:
    memory = Fraction(terms.reputation_lambda_ppb, PPB)
    return floor(memory * standing.score_ppb + (1 - memory) * (PPB if performed else 0))
