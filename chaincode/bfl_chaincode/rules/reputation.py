"""Reputation: a moving average of how each round went, and the streak that consistency is made of."""

from __future__ import annotations

from bfl_chaincode.api.records import PPB, IncentiveTerms, Reputation

INITIAL_PPB = PPB // 2


def initial(task_id: str, participant_id: str) -> Reputation:
    """Return what a participant has before its first settled round."""
    return Reputation(task_id, participant_id, INITIAL_PPB, streak=0, rounds=0, changed_at=0)


def consistency_ppb(terms: IncentiveTerms, reputation: Reputation) -> int:
    """Return C: the consecutive valid rounds before this one over the window, at most 1."""
    return min(reputation.streak, terms.consistency_window) * PPB // terms.consistency_window


def rated(terms: IncentiveTerms, reputation: Reputation, valid: bool, at: int) -> Reputation:
    """Return the reputation after a round: Rep' = (λ·Rep + (1−λ)·performance), performance 1 or 0.

    A round that was not valid, undelivered or not aligned, ends the streak.
    """
    memory = terms.reputation_lambda_ppb
    performance = PPB if valid else 0
    return Reputation(
        task_id=reputation.task_id,
        participant_id=reputation.participant_id,
        score_ppb=(memory * reputation.score_ppb + (PPB - memory) * performance) // PPB,
        streak=min(reputation.streak + 1, terms.consistency_window) if valid else 0,
        rounds=reputation.rounds + 1,
        changed_at=at,
    )
