"""Settlements and reputations, held against the auditor's own computation of them.

Decides that every line of every settlement is what the task's terms, the posted scores and the settlements before
make it. The formulas are in `payouts`; the movements on the accounts are left to `accounts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bfl_chaincode.api.records import (
    Payout,
    Phase,
    Reputation,
    Round,
    ScoreSheet,
    Settlement,
    Task,
    UpdateCommitment,
)
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded
from bfl_fabric.audit.payouts import FRESH, Standing, advance, payouts
from bfl_fabric.audit.phases import name_of


def check_settlements(history: History, findings: Findings) -> None:
    """Recompute every settlement and every version of every reputation."""
    for task in history.current(Task):
        standings: dict[str, Standing] = {}
        for settlement in history.current(Settlement, task.value.spec.task_id):
            _check_settlement(history, settlement, task.value, standings, findings)
        _check_unsettled(history, task.value.spec.task_id, findings)
        _check_final(history, task, standings, findings)


def expected_payouts(
    history: History, round_: Round, task: Task, standings: Mapping[str, Standing]
) -> Sequence[Payout]:
    """Return the lines that a round's settlement must have."""
    alignments = alignments_of(history, round_)
    return payouts(task.spec.incentive, round_.cohort, alignments, standings)


def alignments_of(history: History, round_: Round) -> Mapping[str, int]:
    """Return the alignment of each member: its posted score, in a round without direction its weight."""
    if round_.direction_digest:
        sheet = history.find(ScoreSheet, round_.task_id, round_.number)
        return {} if sheet is None else {one.participant_id: one.alignment for one in sheet.value.scores}
    updates = history.current(UpdateCommitment, round_.task_id, round_.number)
    weights = {one.value.participant_id: one.value.weight for one in updates}
    return {member: weights.get(member, 0) for member in round_.members}


def _check_settlement(
    history: History,
    settlement: Recorded[Settlement],
    task: Task,
    standings: dict[str, Standing],
    findings: Findings,
) -> None:
    record, place = settlement.value, settlement.place
    round_ = history.find_as_of(Round, settlement.order, record.task_id, record.round)
    name = f"the settlement of round {record.round} of task {record.task_id}"
    if round_ is None or round_.value.phase is not Phase.PUBLISHED:
        findings.fail(Check.PAYOUTS, f"{name} came while nothing was to be settled", place)
        return
    if settlement.transaction.name != "reward:Settle" or record.settled_at != settlement.transaction.at:
        findings.fail(Check.PAYOUTS, f"{name} was made by {settlement.transaction.name}", place)
    expected = expected_payouts(history, round_.value, task, standings)
    _compare(settlement, expected, findings)
    if record.per_round != task.spec.incentive.per_round or record.paid != sum(
        one.amount for one in expected
    ):
        findings.fail(Check.PAYOUTS, f"{name} paid {record.paid} of {record.per_round}", place)
    for line in expected:
        before = standings.get(line.participant_id, FRESH)
        standings[line.participant_id] = advance(task.spec.incentive, line, before)
        _check_reputation(history, settlement, line.participant_id, standings, findings)


def _compare(settlement: Recorded[Settlement], expected: Sequence[Payout], findings: Findings) -> None:
    record, place = settlement.value, settlement.place
    found = {line.participant_id: line for line in record.payouts}
    for line in expected:
        findings.count(Check.PAYOUTS)
        if found.get(line.participant_id) != line:
            text = (
                f"the payout of {line.participant_id} in round {record.round} of task {record.task_id} must be "
                f"{line.amount} of share {line.share}, and is {_shown(found.get(line.participant_id))}"
            )
            findings.fail(Check.PAYOUTS, text, place)
    names = [line.participant_id for line in record.payouts]
    if names != [line.participant_id for line in expected]:
        text = f"the settlement of round {record.round} of task {record.task_id} has lines of {names}"
        findings.fail(Check.PAYOUTS, text, place)


def _check_reputation(
    history: History,
    settlement: Recorded[Settlement],
    name: str,
    standings: Mapping[str, Standing],
    findings: Findings,
) -> None:
    findings.count(Check.REPUTATIONS)
    task_id, standing = settlement.value.task_id, standings[name]
    expected = Reputation(
        task_id, name, standing.score_ppb, standing.streak, standing.rounds, settlement.transaction.at
    )
    found = history.find_as_of(Reputation, settlement.order + 1, task_id, name)
    if found is None or found.value != expected or found.order != settlement.order:
        text = f"the reputation of {name} after round {settlement.value.round} of task {task_id} is not {expected}"
        findings.fail(Check.REPUTATIONS, text, settlement.place)


def _check_unsettled(history: History, task_id: str, findings: Findings) -> None:
    for round_ in history.current(Round, task_id):
        settled = history.find(Settlement, task_id, round_.value.number) is not None
        if settled != (round_.value.phase is Phase.SETTLED):
            text = f"{name_of(round_.value)} is {round_.value.phase}, and its settlement says otherwise"
            findings.fail(Check.PAYOUTS, text, round_.place)


def _check_final(
    history: History, task: Recorded[Task], standings: Mapping[str, Standing], findings: Findings
) -> None:
    """Nobody has a reputation, and no reputation has a version, that no settlement made."""
    for versions in history.versions(Reputation, task.value.spec.task_id):
        name = versions[0].value.participant_id
        if len(versions) != standings.get(name, FRESH).rounds:
            text = f"the reputation of {name} in task {versions[0].value.task_id} was written without a settlement"
            findings.fail(Check.REPUTATIONS, text, versions[-1].place)


def _shown(line: Payout | None) -> str:
    return "missing" if line is None else f"{line.amount} of share {line.share}"
