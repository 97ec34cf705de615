"""The life of a round: the table of phases, and what each step asks for.

Rules about evidence take the records that prove it. Who takes part is left to `selection`, how a sum is opened to
`openings`, who is paid to `rewards`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bfl_chaincode import commands
from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import (
    THRESHOLD_SCHEME,
    Attestation,
    KeyEpoch,
    Metrics,
    ModelRecord,
    NodeRole,
    Organization,
    Participant,
    Phase,
    Progress,
    Receipt,
    Registration,
    Round,
    Task,
    TaskStatus,
    UpdateCommitment,
)
from bfl_chaincode.rules import callers, epochs, selection
from bfl_chaincode.rules.callers import Call
from bfl_chaincode.rules.federation import require_distinct
from bfl_chaincode.rules.tasks import (
    BYTES_PER_PARAMETER,
    newest_epoch,
    require_between_rounds,
    require_status,
)

MOVES: Mapping[Phase, tuple[Phase, ...]] = {
    Phase.OPEN: (Phase.COLLECTING, Phase.ABORTED),
    Phase.COLLECTING: (Phase.SEALED, Phase.ABORTED),
    Phase.SEALED: (Phase.AGGREGATED, Phase.ABORTED),
    Phase.AGGREGATED: (Phase.VERIFIED, Phase.ABORTED),
    Phase.VERIFIED: (Phase.RELEASED, Phase.ABORTED),
    Phase.RELEASED: (Phase.PUBLISHED,),
    Phase.PUBLISHED: (Phase.SETTLED,),
    Phase.SETTLED: (),
    Phase.ABORTED: (),
}


def move(round_: Round, phase: Phase, call: Call, **changes: Any) -> Round:
    """Return the round in its next phase. Raises WrongPhase, naming the phases that have this move."""
    require_phase(round_, *[origin for origin, targets in MOVES.items() if phase in targets])
    return replace(round_, phase=phase, changed_at=call.at, **changes)


def require_phase(round_: Round, *allowed: Phase) -> None:
    if round_.phase not in allowed:
        raise refusals.WrongPhase(f"round {round_.number} is {round_.phase}, not {' or '.join(allowed)}")


# --- opening ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that the opening of a task's next round depends on."""

    task: Task
    progress: Progress
    previous: Round | None
    epochs: tuple[KeyEpoch, ...]
    registrations: tuple[Registration, ...]
    participants: tuple[Participant, ...]
    organizations: tuple[Organization, ...]


def open_round(standing: Standing, call: Call) -> tuple[Round, Progress]:
    """Draw the parties of the next round; it collects updates at once, until its deadline."""
    task, progress, previous = standing.task, standing.progress, standing.previous
    callers.require_coordinator(call, task)
    require_status(task, TaskStatus.RUNNING)
    require_between_rounds(previous)
    if progress.settled >= task.spec.schedule.rounds:
        raise refusals.RoundsExhausted(f"{progress.settled} rounds are settled")
    epoch = newest_epoch(task, standing.epochs)
    epochs.require_usable(epoch, call)
    base, direction, previous_sum = _inherited(task, previous)
    number = progress.round + 1
    candidates = selection.eligible(standing.registrations, standing.participants, standing.organizations)
    opened = Round(
        task_id=task.spec.task_id,
        number=number,
        phase=Phase.OPEN,
        epoch=epoch.epoch,
        cohort=selection.cohort(task, candidates, selection.seed(task, number, previous_sum)),
        holders=selection.holders(task, standing.organizations),
        base_model_digest=base,
        direction_digest=direction,
        opened_at=call.at,
        deadline_at=call.at + task.spec.schedule.upload_seconds * 1000,
    )
    return move(opened, Phase.COLLECTING, call), replace(progress, round=number)


def _inherited(task: Task, previous: Round | None) -> tuple[str, str, str]:
    """Return base model, direction and opened sum that the next round starts from; an aborted round hands on
    what it was given."""
    if previous is None:
        return task.spec.model.initial_digest, "", ""
    if previous.phase is Phase.ABORTED:
        return previous.base_model_digest, previous.direction_digest, ""
    return previous.model_digest, previous.next_direction_digest, previous.sum_digest


# --- collecting ---------------------------------------------------------------------------------


def commit(
    command: commands.CommitUpdate,
    round_: Round,
    participant: Participant | None,
    registration: Registration | None,
    call: Call,
) -> UpdateCommitment:
    """Bind a participant to its encrypted update."""
    callers.require_participant(call, participant)
    require_phase(round_, Phase.COLLECTING)
    if registration is None:
        raise refusals.RegistrationMissing(f"{call} is not registered for {command.task_id}")
    if registration.participant_id not in round_.cohort:
        raise refusals.NotInCohort(f"{registration.participant_id} is not in round {round_.number}")
    if call.at >= round_.deadline_at:
        raise refusals.DeadlinePassed(f"it is {call.at}, the deadline was {round_.deadline_at}")
    if command.weight != registration.samples:
        raise refusals.WeightDiffers(f"weight {command.weight}, registered {registration.samples}")
    return UpdateCommitment(
        task_id=command.task_id,
        round=command.round,
        participant_id=registration.participant_id,
        msp_id=registration.msp_id,
        digest=command.digest,
        size_bytes=command.size_bytes,
        weight=command.weight,
        committed_at=call.at,
        transaction_id=call.transaction_id,
        mask_digest=command.mask_digest,
        mask_bytes=command.mask_bytes,
    )


def require_mask(command: commands.CommitUpdate, task: Task) -> None:
    """Under a threshold key, and only there, the mask part of an update is a blob of its own."""
    wanted = task.spec.encryption.scheme == THRESHOLD_SCHEME
    if bool(command.mask_digest) is not wanted or bool(command.mask_bytes) is not wanted:
        raise refusals.MaskMisplaced(
            f"mask digest {command.mask_digest!r} of {command.mask_bytes} bytes, scheme "
            f"{task.spec.encryption.scheme!r}"
        )


def acknowledge(
    command: commands.AcknowledgeUploads,
    task: Task,
    round_: Round,
    updates: Sequence[UpdateCommitment],
    call: Call,
) -> tuple[Receipt, ...]:
    """Note that the caller's organization holds these updates' committed bytes, whole and well-formed."""
    aggregates = call.caller.msp_id == task.spec.roles.aggregator
    callers.require_role(call, NodeRole.AGGREGATOR if aggregates else NodeRole.VERIFIER)
    require_phase(round_, Phase.COLLECTING)
    if call.caller.msp_id not in round_.holders:
        raise refusals.NotAHolder(f"{call} is not of {', '.join(round_.holders)}")
    require_distinct([held.participant_id for held in command.uploads], "uploads")
    for held, update in zip(command.uploads, updates, strict=True):
        if held.digest != update.digest:
            raise refusals.DigestDiffers(f"{held.digest} was received, {update.digest} was committed")
    return tuple(
        Receipt(
            task_id=command.task_id,
            round=command.round,
            participant_id=held.participant_id,
            msp_id=call.caller.msp_id,
            digest=held.digest,
            acknowledged_at=call.at,
        )
        for held in command.uploads
    )


def delivered(
    task: Task, updates: Sequence[UpdateCommitment], receipts: Sequence[Receipt]
) -> tuple[UpdateCommitment, ...]:
    """Return the updates that enough organizations hold, the aggregator's among them."""
    held: dict[str, list[str]] = {}
    for receipt in receipts:
        held.setdefault(receipt.participant_id, []).append(receipt.msp_id)
    needed, aggregator = task.spec.verification.receipts, task.spec.roles.aggregator
    by_update = [(update, held.get(update.participant_id, [])) for update in updates]
    return tuple(update for update, orgs in by_update if len(orgs) >= needed and aggregator in orgs)


def seal(
    task: Task, round_: Round, updates: Sequence[UpdateCommitment], receipts: Sequence[Receipt], call: Call
) -> Round:
    """Fix the set of members; below the minimum cohort the round aborts and nothing of it is ever opened."""
    require_phase(round_, Phase.COLLECTING)
    members = delivered(task, updates, receipts)
    if call.at < round_.deadline_at and len(members) < len(round_.cohort):
        raise refusals.DeadlineNotReached(
            f"{len(members)} of {len(round_.cohort)} delivered, it is {call.at}, the deadline {round_.deadline_at}"
        )
    minimum = task.spec.cohort.minimum
    if len(members) < minimum:
        reason = f"{len(members)} of {len(round_.cohort)} delivered before the deadline, {minimum} are needed"
        return move(round_, Phase.ABORTED, call, reason=reason)
    return move(
        round_,
        Phase.SEALED,
        call,
        members=tuple(sorted(update.participant_id for update in members)),
        total_weight=sum(update.weight for update in members),
        sealed_at=call.at,
    )


# --- adding and checking ------------------------------------------------------------------------


def propose(command: commands.ProposeAggregate, task: Task, round_: Round, call: Call) -> Round:
    """Take the aggregator's word for the sum's ciphertext; it counts as its organization's statement."""
    callers.require_role(call, NodeRole.AGGREGATOR)
    callers.require_organization(call, task.spec.roles.aggregator)
    require_phase(round_, Phase.SEALED)
    # under a joint key, score directions are drawn only when the round is opened: there is nothing to attest yet
    scored = bool(round_.direction_digest) and task.spec.encryption.scheme != THRESHOLD_SCHEME
    if bool(command.scores_digest) != scored:
        raise refusals.ScoresDigestMisplaced(
            f"scores digest {command.scores_digest!r}, direction {round_.direction_digest!r}, "
            f"scheme {task.spec.encryption.scheme}"
        )
    return move(
        round_,
        Phase.AGGREGATED,
        call,
        aggregate_digest=command.aggregate_digest,
        aggregate_bytes=command.aggregate_bytes,
        scores_digest=command.scores_digest,
    )


def attest(command: commands.AttestAggregate, task: Task, round_: Round, call: Call) -> Attestation:
    """Note what another organization found. A different digest is evidence too; it just does not count."""
    callers.require_role(call, NodeRole.VERIFIER)
    require_phase(round_, Phase.AGGREGATED, Phase.VERIFIED)
    if call.caller.msp_id == task.spec.roles.aggregator:
        raise refusals.OwnAggregate(f"{call} would attest it")
    return Attestation(
        task_id=command.task_id,
        round=command.round,
        msp_id=call.caller.msp_id,
        aggregate_digest=command.aggregate_digest,
        scores_digest=command.scores_digest,
        attested_at=call.at,
    )


def confirm(task: Task, round_: Round, attestations: Sequence[Attestation], call: Call) -> Round:
    """Hold the aggregate for verified once enough organizations state the same."""
    require_phase(round_, Phase.AGGREGATED)
    proposed = (round_.aggregate_digest, round_.scores_digest)
    agreeing = [
        item.msp_id for item in attestations if (item.aggregate_digest, item.scores_digest) == proposed
    ]
    needed = task.spec.verification.attestations
    if not agreeing or len(agreeing) + 1 < needed:
        raise refusals.QuorumMissing(f"{len(agreeing) + 1} of {needed} agree, the aggregator's included")
    return move(round_, Phase.VERIFIED, call)


# --- after the opening ----------------------------------------------------------------------------


def publish(
    command: commands.PublishModel, task: Task, round_: Round, call: Call
) -> tuple[Round, ModelRecord]:
    """Take the new model and the direction of the opened sum; everybody can compute both again."""
    callers.require_coordinator(call, task)
    require_phase(round_, Phase.RELEASED)
    require_size(command.model_bytes, BYTES_PER_PARAMETER, task)
    published = move(
        round_,
        Phase.PUBLISHED,
        call,
        model_digest=command.model_digest,
        model_bytes=command.model_bytes,
        next_direction_digest=command.direction_digest,
    )
    metrics = command.metrics
    model = ModelRecord(
        task_id=command.task_id,
        round=command.round,
        digest=command.model_digest,
        size_bytes=command.model_bytes,
        parent_digest=round_.base_model_digest,
        sum_digest=round_.sum_digest,
        contributors=round_.members,
        total_weight=round_.total_weight,
        metrics=Metrics(metrics.accuracy_ppb, metrics.loss_ppb, metrics.samples),
        published_at=call.at,
        direction_digest=command.direction_digest,
    )
    return published, model


def abort(task: Task, coordinator: Organization, round_: Round, reason: str, call: Call) -> Round:
    """Give a round up before its sum is opened."""
    callers.require_ender(call, task, coordinator)
    return move(round_, Phase.ABORTED, call, reason=reason)


def require_size(found: int, each: int, task: Task) -> None:
    expected = each * task.spec.model.parameter_count
    if found != expected:
        raise refusals.SizeDiffers(f"{found} bytes, not {expected}")
