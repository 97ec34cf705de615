"""What must hold of every task: its fingerprint, its unchanged spec, its way from draft to end, its registrations.

Decides by a task's own records. Keys are left to `epochs` and `ceremonies`, rounds to `phases` and `collection`,
money to `settlements` and `accounts`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import (
    PACKED_SCHEME,
    KeyEpoch,
    Organization,
    Participant,
    Phase,
    Progress,
    Registration,
    Round,
    Task,
    TaskStatus,
    to_json,
)
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import History, Recorded

MOVES: Mapping[tuple[TaskStatus, TaskStatus], str] = {
    (TaskStatus.DRAFT, TaskStatus.PUBLISHED): "task:Publish",
    (TaskStatus.PUBLISHED, TaskStatus.RUNNING): "task:Start",
    (TaskStatus.RUNNING, TaskStatus.CLOSED): "task:Close",
    (TaskStatus.DRAFT, TaskStatus.ABANDONED): "task:Abandon",
    (TaskStatus.PUBLISHED, TaskStatus.ABANDONED): "task:Abandon",
    (TaskStatus.RUNNING, TaskStatus.ABANDONED): "task:Abandon",
}


def check_tasks(history: History, findings: Findings) -> None:
    """Check specs, statuses, registrations and the progress of every task."""
    for versions in history.versions(Task):
        _check_spec(versions, findings)
        _check_statuses(versions, findings)
    for task in history.current(Task):
        _check_start(history, task, findings)
        _check_progress(history, task, findings)
    for registrations in history.versions(Registration):
        for registration in registrations:
            _check_registration(history, registration, findings)


def eligible(history: History, task_id: str, order: int) -> list[Registration]:
    """Return who could take part just before transaction number `order`: registered, active, of an active member."""
    found = []
    for registration in history.as_of(Registration, order, task_id):
        participant = history.find_as_of(Participant, order, registration.value.participant_id)
        organization = history.find_as_of(Organization, order, registration.value.msp_id)
        if participant and participant.value.active and organization and organization.value.active:
            found.append(registration.value)
    return found


def _check_spec(versions: Sequence[Recorded[Task]], findings: Findings) -> None:
    spec = versions[0].value.spec
    digest = canonical.digest(to_json(spec))
    for version in versions:
        findings.count(Check.SPECS)
        if version.value.spec != spec:
            findings.fail(Check.SPECS, f"the spec of task {spec.task_id} was changed", version.place)
        if version.value.spec_digest != digest:
            text = f"the spec of task {spec.task_id} has the digest {digest}, not {version.value.spec_digest}"
            findings.fail(Check.SPECS, text, version.place)


def _check_statuses(versions: Sequence[Recorded[Task]], findings: Findings) -> None:
    first = versions[0]
    name = first.value.spec.task_id
    if first.value.status is not TaskStatus.DRAFT or first.transaction.name != "task:Create":
        findings.fail(Check.PHASES, f"task {name} did not begin as a draft", first.place)
    for before, after in pairwise(versions):
        findings.count(Check.PHASES)
        move = (before.value.status, after.value.status)
        if MOVES.get(move) != after.transaction.name:
            text = f"task {name} went from {move[0]} to {move[1]} by {after.transaction.name}"
            findings.fail(Check.PHASES, text, after.place)
    for version in versions:
        if (
            version.value.changed_at != version.transaction.at
            or version.value.created_at != first.transaction.at
        ):
            text = f"a moment of task {name} is not its transaction's"
            findings.fail(Check.PHASES, text, version.place)


def _check_start(history: History, task: Recorded[Task], findings: Findings) -> None:
    spec = task.value.spec
    started = [
        version
        for versions in history.versions(Task, spec.task_id)
        for version in versions
        if version.transaction.name == "task:Start"
    ]
    for version in started:
        able = eligible(history, spec.task_id, version.order)
        if len(able) < spec.cohort.minimum:
            text = f"task {spec.task_id} started with {len(able)} of {spec.cohort.minimum} participants"
            findings.fail(Check.COHORTS, text, version.place)
        if sum(one.samples for one in able) > spec.encryption.max_total_weight:
            text = f"the participants of task {spec.task_id} weigh more than a sum can hold"
            findings.fail(Check.COHORTS, text, version.place)
        if not any(history.as_of(KeyEpoch, version.order, spec.task_id)):
            findings.fail(Check.SPECS, f"task {spec.task_id} started without a key", version.place)


def _check_progress(history: History, task: Recorded[Task], findings: Findings) -> None:
    spec = task.value.spec
    opened, settled_at = _course(history, spec.task_id)
    for versions in history.versions(Progress, spec.task_id):
        for version in versions:
            begun, settled = bisect_right(opened, version.order), bisect_right(settled_at, version.order)
            if (version.value.round, version.value.settled) != (begun, settled):
                text = f"the progress of task {spec.task_id} is not what its rounds say"
                findings.fail(Check.PHASES, text, version.place)
            if settled > spec.schedule.rounds:
                text = f"task {spec.task_id} settled more than its {spec.schedule.rounds} rounds"
                findings.fail(Check.PHASES, text, version.place)
    numbers = [round_.value.number for round_ in history.current(Round, spec.task_id)]
    if numbers != list(range(1, len(numbers) + 1)):
        findings.fail(Check.PHASES, f"the rounds of task {spec.task_id} are numbered {numbers}", task.place)


def _course(history: History, task_id: str) -> tuple[list[int], list[int]]:
    """Return in which transactions, by number, rounds of a task were opened, and in which they became settled."""
    opened, settled = [], []
    for versions in history.versions(Round, task_id):
        opened.append(versions[0].order)
        settled += [version.order for version in versions if version.value.phase is Phase.SETTLED][:1]
    return sorted(opened), sorted(settled)


def _check_registration(history: History, registration: Recorded[Registration], findings: Findings) -> None:
    findings.count(Check.COHORTS)
    record, transaction = registration.value, registration.transaction
    name = f"the registration of {record.participant_id} for task {record.task_id}"
    task = history.find_as_of(Task, registration.order, record.task_id)
    if task is None or task.value.status is not TaskStatus.PUBLISHED:
        findings.fail(Check.COHORTS, f"{name} came while the task took none", registration.place)
    elif record.samples < task.value.spec.data.minimum_samples:
        findings.fail(Check.COHORTS, f"{name} has too few samples", registration.place)
    elif task.value.spec.encryption.scheme == PACKED_SCHEME and not record.transport_key:
        findings.fail(
            Check.COHORTS, f"{name} has no key that the task's could be granted to", registration.place
        )
    sender = (transaction.common_name, transaction.msp_id, transaction.at)
    if (record.participant_id, record.msp_id, record.registered_at) != sender:
        findings.fail(Check.COHORTS, f"{name} was not its sender's", registration.place)
