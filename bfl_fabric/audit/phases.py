"""The course of a round: legal moves only, each by its transaction, each changing only what is its own.

Decides by the versions of a round's record. Whether what a move says is true (sealed sets, sums, payouts) is left
to the other checks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise

from bfl_chaincode.api.records import KeyEpoch, Phase, Round, Task, TaskStatus
from bfl_fabric.audit.epochs import is_usable
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded

MOVES: Mapping[tuple[Phase, Phase], tuple[str, ...]] = {
    (Phase.COLLECTING, Phase.SEALED): ("round:Seal",),
    (Phase.SEALED, Phase.AGGREGATED): ("round:ProposeAggregate",),
    (Phase.AGGREGATED, Phase.VERIFIED): ("round:ConfirmAggregate",),
    (Phase.VERIFIED, Phase.RELEASED): ("round:ReleaseShare",),
    (Phase.RELEASED, Phase.PUBLISHED): ("round:PublishModel",),
    (Phase.PUBLISHED, Phase.SETTLED): ("reward:Settle",),
    (Phase.COLLECTING, Phase.ABORTED): ("round:Seal", "round:Abort"),
    (Phase.SEALED, Phase.ABORTED): ("round:Abort",),
    (Phase.AGGREGATED, Phase.ABORTED): ("round:Abort",),
    (Phase.VERIFIED, Phase.ABORTED): ("round:Abort",),
}

OWN_FIELDS: Mapping[Phase, frozenset[str]] = {
    Phase.SEALED: frozenset({"members", "total_weight", "sealed_at"}),
    Phase.AGGREGATED: frozenset({"aggregate_digest", "aggregate_bytes", "scores_digest"}),
    Phase.VERIFIED: frozenset(),
    Phase.RELEASED: frozenset({"sum_digest", "sum_bytes"}),
    Phase.PUBLISHED: frozenset({"model_digest", "model_bytes", "next_direction_digest"}),
    Phase.SETTLED: frozenset(),
    Phase.ABORTED: frozenset({"reason"}),
}

_ENDED = frozenset({Phase.SETTLED, Phase.ABORTED})


def check_phases(history: History, findings: Findings) -> None:
    """Check the course of every round."""
    for versions in history.versions(Round):
        _check_opening(history, versions[0], findings)
        for before, after in pairwise(versions):
            _check_move(before, after, findings)


def name_of(round_: Round) -> str:
    """Return what messages call a round."""
    return f"round {round_.number} of task {round_.task_id}"


def _check_opening(history: History, opened: Recorded[Round], findings: Findings) -> None:
    findings.count(Check.PHASES)
    record, place, at = opened.value, opened.place, opened.transaction.at
    name = name_of(record)
    if record.phase is not Phase.COLLECTING or opened.transaction.name != "round:Open":
        findings.fail(Check.PHASES, f"{name} began {record.phase} by {opened.transaction.name}", place)
    if (record.opened_at, record.changed_at) != (at, at):
        findings.fail(Check.PHASES, f"{name} was not opened at its transaction's moment", place)
    late = {
        "members",
        "total_weight",
        "sealed_at",
        "aggregate_digest",
        "sum_digest",
        "model_digest",
        "reason",
    }
    if any(getattr(record, field) for field in late):
        findings.fail(Check.PHASES, f"{name} was opened with results in it", place)
    task = history.find_as_of(Task, opened.order, record.task_id)
    if task is None or task.value.status is not TaskStatus.RUNNING:
        findings.fail(Check.PHASES, f"{name} was opened while its task was not running", place)
        return
    if record.deadline_at != at + task.value.spec.schedule.upload_seconds * 1000:
        findings.fail(Check.PHASES, f"{name} has another deadline than its task asks for", place)
    _check_inheritance(history, opened, task.value, findings)


def _check_inheritance(history: History, opened: Recorded[Round], task: Task, findings: Findings) -> None:
    """A round starts from what the one before it ended with; an aborted one hands on what it was given."""
    record, place = opened.value, opened.place
    previous = history.find_as_of(Round, opened.order, record.task_id, record.number - 1)
    if record.number > 1 and (previous is None or previous.value.phase not in _ENDED):
        text = f"{name_of(record)} was opened before the one before it had ended"
        findings.fail(Check.PHASES, text, place)
        return
    expected = (task.spec.model.initial_digest, "")
    if previous is not None:
        last = previous.value
        aborted = last.phase is Phase.ABORTED
        expected = (
            last.base_model_digest if aborted else last.model_digest,
            last.direction_digest if aborted else last.next_direction_digest,
        )
    if (record.base_model_digest, record.direction_digest) != expected:
        text = f"{name_of(record)} does not start from the model and direction before it"
        findings.fail(Check.LINEAGE, text, place, record.base_model_digest)
    epochs = list(history.as_of(KeyEpoch, opened.order, record.task_id))
    if not epochs or record.epoch != epochs[-1].value.epoch:
        findings.fail(Check.PHASES, f"{name_of(record)} does not use the newest key epoch", place)
    elif not is_usable(epochs[-1].value, opened.transaction.at):
        text = f"{name_of(record)} was opened under a key that was retired or had expired"
        findings.fail(Check.PHASES, text, place)


def _check_move(before: Recorded[Round], after: Recorded[Round], findings: Findings) -> None:
    findings.count(Check.PHASES)
    move = (before.value.phase, after.value.phase)
    name = name_of(after.value)
    if after.transaction.name not in MOVES.get(move, ()):
        text = f"{name} went from {move[0]} to {move[1]} by {after.transaction.name}"
        findings.fail(Check.PHASES, text, after.place)
    if after.value.changed_at != after.transaction.at:
        findings.fail(Check.PHASES, f"{name} did not move at its transaction's moment", after.place)
    foreign = _changed(before.value, after.value) - OWN_FIELDS.get(move[1], frozenset())
    if foreign:
        text = f"{name} became {move[1]} and changed {', '.join(sorted(foreign))} with it"
        findings.fail(Check.PHASES, text, after.place)


def _changed(before: Round, after: Round) -> set[str]:
    names: Sequence[str] = [field.name for field in dataclasses.fields(Round)]
    return {
        name
        for name in names
        if name not in ("phase", "changed_at") and getattr(before, name) != getattr(after, name)
    }
