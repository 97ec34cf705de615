"""Who earns what in a round: shares of alignment and consistency, divided without losing a unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import (
    PPB,
    Entry,
    IncentiveTerms,
    Payout,
    Phase,
    Progress,
    Reputation,
    Round,
    ScoreSheet,
    Settlement,
    Task,
    UpdateCommitment,
)
from bfl_chaincode.rules import accounts, reputation, rounds
from bfl_chaincode.rules.callers import Call


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a settlement is computed from."""

    task: Task
    progress: Progress
    round: Round
    updates: tuple[UpdateCommitment, ...]
    scores: ScoreSheet | None
    reputations: tuple[Reputation, ...]
    pool: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that a settlement changes."""

    settlement: Settlement
    round: Round
    progress: Progress
    reputations: tuple[Reputation, ...]
    entries: tuple[Entry, ...]


def settle(evidence: Evidence, call: Call) -> Outcome:
    """Pay a published round's members and rate its cohort. Raises SettlementExists the second time."""
    task, round_ = evidence.task, evidence.round
    if round_.phase is Phase.SETTLED:
        raise refusals.SettlementExists(f"round {round_.number} of {round_.task_id} is settled")
    settled = rounds.move(round_, Phase.SETTLED, call)
    terms = task.spec.incentive
    before = _before(evidence)
    aligned = alignments(evidence)
    shares = {name: share(terms, aligned[name], before[name]) for name in round_.cohort}
    amounts = largest_remainder(terms.per_round, shares)
    after = {
        name: reputation.rated(terms, before[name], aligned[name] > 0, call.at) for name in round_.cohort
    }
    settlement = Settlement(
        task_id=round_.task_id,
        round=round_.number,
        per_round=terms.per_round,
        paid=sum(amounts.values()),
        payouts=tuple(
            Payout(
                participant_id=name,
                alignment=aligned[name],
                consistency_ppb=reputation.consistency_ppb(terms, before[name]),
                share=shares[name],
                amount=amounts[name],
                reputation_before_ppb=before[name].score_ppb,
                reputation_after_ppb=after[name].score_ppb,
            )
            for name in round_.cohort
        ),
        settled_at=call.at,
    )
    paid = sorted(amounts.items())
    entries = accounts.payout(round_.task_id, paid, evidence.pool, f"round {round_.number}", call)
    progress = replace(evidence.progress, settled=evidence.progress.settled + 1)
    return Outcome(settlement, settled, progress, tuple(after.values()), entries)


def alignments(evidence: Evidence) -> dict[str, int]:
    """Return the alignment of everybody in the cohort: the opened score; the weight where the round had no
    direction to score against; 0 for who is not a member."""
    round_ = evidence.round
    if round_.direction_digest:
        found = (
            {score.participant_id: score.alignment for score in evidence.scores.scores}
            if evidence.scores
            else {}
        )
    else:
        found = {update.participant_id: update.weight for update in evidence.updates}
    return {name: found[name] if name in round_.members else 0 for name in round_.cohort}


def share(terms: IncentiveTerms, alignment: int, before: Reputation) -> int:
    """Return max(0, alignment)·(1 + α·C), rounded down; below 2^63 by the limits of alignment and α."""
    factor = PPB + terms.alpha_ppb * reputation.consistency_ppb(terms, before) // PPB
    return max(0, alignment) * factor // PPB


def largest_remainder(total: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Divide `total` in proportion to the shares, to the last unit; nothing is given when all shares are 0.

    Everybody gets the whole part; the units left over go to the largest remainders, ties to the lower id.
    """
    whole = sum(shares.values())
    if not whole:
        return dict.fromkeys(sorted(shares), 0)
    amounts = {name: total * part // whole for name, part in sorted(shares.items())}
    left = total - sum(amounts.values())
    by_remainder = sorted(amounts, key=lambda name: (-(total * shares[name] % whole), name))
    for name in by_remainder[:left]:
        amounts[name] += 1
    return amounts


def _before(evidence: Evidence) -> dict[str, Reputation]:
    known = {item.participant_id: item for item in evidence.reputations}
    task_id = evidence.round.task_id
    return {name: known.get(name) or reputation.initial(task_id, name) for name in evidence.round.cohort}
