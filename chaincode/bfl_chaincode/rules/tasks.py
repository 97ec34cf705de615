"""The life of a task: from draft to closed, and who moves it. What its terms must be like is `terms`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bfl_chaincode import commands
from bfl_chaincode.api import canonical, refusals
from bfl_chaincode.api.records import (
    PACKED_SCHEME,
    KeyEpoch,
    Metrics,
    ModelRecord,
    Organization,
    Participant,
    Phase,
    Progress,
    Registration,
    Round,
    Task,
    TaskSpec,
    TaskStatus,
    to_json,
)
from bfl_chaincode.rules import callers, terms
from bfl_chaincode.rules.callers import Call

MOVES: Mapping[TaskStatus, tuple[TaskStatus, ...]] = {
    TaskStatus.DRAFT: (TaskStatus.PUBLISHED, TaskStatus.ABANDONED),
    TaskStatus.PUBLISHED: (TaskStatus.RUNNING, TaskStatus.ABANDONED),
    TaskStatus.RUNNING: (TaskStatus.CLOSED, TaskStatus.ABANDONED),
    TaskStatus.CLOSED: (),
    TaskStatus.ABANDONED: (),
}

UNFINISHED = (TaskStatus.DRAFT, TaskStatus.PUBLISHED, TaskStatus.RUNNING)
FINISHED_PHASES = (Phase.SETTLED, Phase.ABORTED)
BYTES_PER_PARAMETER = 4


def create(spec: TaskSpec, organizations: Sequence[Organization], call: Call) -> Task:
    """Draft a task whose terms do not contradict each other."""
    digest = canonical.digest(to_json(spec))
    task = Task(spec, digest, TaskStatus.DRAFT, created_at=call.at, changed_at=call.at)
    callers.require_coordinator(call, task)
    terms.require_coherent(spec, organizations)
    return task


def publish(task: Task, call: Call) -> tuple[Task, ModelRecord]:
    """Open a draft for registrations and put the initial model at the root of its lineage."""
    callers.require_coordinator(call, task)
    model = task.spec.model
    initial = ModelRecord(
        task_id=task.spec.task_id,
        round=0,
        digest=model.initial_digest,
        size_bytes=BYTES_PER_PARAMETER * model.parameter_count,
        parent_digest="",
        sum_digest="",
        contributors=(),
        total_weight=0,
        metrics=Metrics(accuracy_ppb=0, loss_ppb=0, samples=0),
        published_at=call.at,
    )
    return move(task, TaskStatus.PUBLISHED, call), initial


def register(
    command: commands.Register, task: Task, participant: Participant | None, call: Call
) -> Registration:
    """Take a participant in. Whether everybody's samples fit together is asked when the task starts, so that no
    registration has to read the others and all can be in one block."""
    enrolled = callers.require_participant(call, participant)
    require_status(task, TaskStatus.PUBLISHED)
    least, most = task.spec.data.minimum_samples, task.spec.encryption.max_total_weight
    if command.samples < least:
        raise refusals.TooFewSamples(f"{command.samples} samples, and the task asks for {least}")
    if command.samples > most:
        raise refusals.WeightExceeded(f"{command.samples} samples are above {most} by themselves")
    if task.spec.encryption.scheme == PACKED_SCHEME and not command.transport_key:
        raise refusals.TransportKeyMissing(f"{enrolled.participant_id} sent none")
    return Registration(
        task_id=command.task_id,
        participant_id=enrolled.participant_id,
        msp_id=enrolled.msp_id,
        samples=command.samples,
        registered_at=call.at,
        transport_key=command.transport_key,
    )


def withdraw(task: Task, participant: Participant | None, call: Call) -> None:
    """A registration may be taken back until the task starts."""
    callers.require_participant(call, participant)
    require_status(task, TaskStatus.PUBLISHED)


def start(
    task: Task, eligible: Sequence[Registration], epochs: Sequence[KeyEpoch], pool: int, call: Call
) -> Task:
    """Start once there are enough participants, a key and the money."""
    callers.require_coordinator(call, task)
    started = move(task, TaskStatus.RUNNING, call)
    require_enough(task, eligible)
    require_weight(task, eligible)
    newest_epoch(task, epochs)
    if pool < task.spec.incentive.pool:
        raise refusals.PoolNotFunded(f"the pool holds {pool} of {task.spec.incentive.pool}")
    return started


def close(task: Task, progress: Progress, newest: Round | None, call: Call) -> Task:
    """Close after the last round."""
    callers.require_coordinator(call, task)
    closed = move(task, TaskStatus.CLOSED, call)
    require_between_rounds(newest)
    if progress.settled < task.spec.schedule.rounds:
        raise refusals.RoundsLeft(f"{progress.settled} of {task.spec.schedule.rounds} rounds are settled")
    return closed


def abandon(task: Task, coordinator: Organization, newest: Round | None, reason: str, call: Call) -> Task:
    """Give a task up between rounds: a sum that was opened is first published and paid for."""
    callers.require_ender(call, task, coordinator)
    abandoned = move(task, TaskStatus.ABANDONED, call)
    require_between_rounds(newest)
    return replace(abandoned, reason=reason)


def move(task: Task, status: TaskStatus, call: Call) -> Task:
    """Return the task in its next status. Raises WrongStatus, naming the statuses that have this move."""
    require_status(task, *[origin for origin, targets in MOVES.items() if status in targets])
    return replace(task, status=status, changed_at=call.at)


def require_status(task: Task, *allowed: TaskStatus) -> None:
    if task.status not in allowed:
        raise refusals.WrongStatus(f"task {task.spec.task_id} is {task.status}, not {' or '.join(allowed)}")


def require_between_rounds(newest: Round | None) -> None:
    if newest is not None and newest.phase not in FINISHED_PHASES:
        raise refusals.RoundRunning(f"round {newest.number} is {newest.phase}")


def require_enough(task: Task, registrations: Sequence[Registration]) -> None:
    least = task.spec.cohort.minimum
    if len(registrations) < least:
        raise refusals.TooFewParticipants(f"{len(registrations)} are, {least} are needed")


def require_weight(task: Task, registrations: Sequence[Registration]) -> None:
    total, limit = sum(item.samples for item in registrations), task.spec.encryption.max_total_weight
    if total > limit:
        raise refusals.WeightExceeded(f"the samples add up to {total}, above {limit}")


def newest_epoch(task: Task, epochs: Sequence[KeyEpoch]) -> KeyEpoch:
    """Return the epoch that a round opened now uses. Raises KeyEpochMissing."""
    if not epochs:
        raise refusals.KeyEpochMissing(f"task {task.spec.task_id} has no key epoch")
    return epochs[-1]
