"""Round views for tables: three organizations, four participants, changed field by field."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from bfl_chaincode.api.records import (
    Attestation,
    CohortTerms,
    DataTerms,
    EncryptionTerms,
    IncentiveTerms,
    KeyEpoch,
    ModelTerms,
    Phase,
    Receipt,
    Registration,
    RoleTerms,
    Round,
    RoundView,
    ScheduleTerms,
    Task,
    TaskSpec,
    TaskStatus,
    Tensor,
    TrainingTerms,
    UpdateCommitment,
    VerificationTerms,
)
from bfl_fabric.testing.scheme import SCHEME_NAME, plain_parameters_digest
from bfl_fabric.testing.training import unique_parameter_count

TASK = "wine"
COORDINATOR, AGGREGATOR, KEY_HOLDER = "AldgateMSP", "BarbicanMSP", "CovelloMSP"
ORGANIZATIONS = (COORDINATOR, AGGREGATOR, KEY_HOLDER)
PARTICIPANTS = ("a-1", "a-2", "b-1", "c-1")
SAMPLES = {"a-1": 10, "a-2": 20, "b-1": 30, "c-1": 40}
OPENED_AT = 1_700_000_000_000
DEADLINE_AT = OPENED_AT + 60_000
PARAMETERS = plain_parameters_digest(20, "1", 1000)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


BASE, INITIAL, AGGREGATE, SCORES, DIRECTION = (
    digest(name) for name in ("base", "initial", "aggregate", "scores", "direction")
)


def spec(**changes: Any) -> TaskSpec:
    count = unique_parameter_count(PARTICIPANTS)
    made = TaskSpec(
        task_id=TASK,
        title="Wine",
        purpose="a table",
        model=ModelTerms("linear", (Tensor("w", (count,)),), count, INITIAL),
        training=TrainingTerms("0.1", "0.9", 8, 1, 1),
        data=DataTerms(digest("schema"), 1),
        schedule=ScheduleTerms(rounds=3, upload_seconds=60),
        cohort=CohortTerms(minimum=3, target=0),
        roles=RoleTerms(COORDINATOR, AGGREGATOR, KEY_HOLDER),
        encryption=EncryptionTerms(SCHEME_NAME, PARAMETERS, 20, "1", 1000),
        verification=VerificationTerms(attestations=2, receipts=2),
        incentive=IncentiveTerms(3000, 1000, 0, 3, 500_000_000),
    )
    return replace(made, **changes)


def task(status: TaskStatus = TaskStatus.RUNNING, **changes: Any) -> Task:
    made = spec(**changes)
    return Task(made, digest("spec"), status, OPENED_AT, OPENED_AT)


def key_epoch() -> KeyEpoch:
    return KeyEpoch(TASK, 1, KEY_HOLDER, PARAMETERS, digest("key"), 100, OPENED_AT)


def round_(phase: Phase, **changes: Any) -> Round:
    made = Round(
        task_id=TASK,
        number=1,
        phase=phase,
        epoch=1,
        cohort=PARTICIPANTS,
        holders=(AGGREGATOR, COORDINATOR),
        base_model_digest=INITIAL,
        direction_digest="",
        opened_at=OPENED_AT,
        deadline_at=DEADLINE_AT,
        changed_at=OPENED_AT,
    )
    return replace(made, **changes)


def update(participant_id: str, **changes: Any) -> UpdateCommitment:
    made = UpdateCommitment(
        TASK,
        1,
        participant_id,
        f"{participant_id[0]}-msp",
        digest(participant_id),
        1000,
        SAMPLES[participant_id],
        OPENED_AT,
        "t",
    )
    return replace(made, **changes)


def receipts(*participants: str, by: tuple[str, ...] = (AGGREGATOR, COORDINATOR)) -> tuple[Receipt, ...]:
    return tuple(
        Receipt(TASK, 1, who, msp_id, digest(who), OPENED_AT) for who in participants for msp_id in by
    )


def attestation(
    msp_id: str, aggregate_digest: str = AGGREGATE, scores_digest: str = "", number: int = 1
) -> Attestation:
    return Attestation(TASK, number, msp_id, aggregate_digest, scores_digest, OPENED_AT)


def registrations() -> tuple[Registration, ...]:
    return tuple(Registration(TASK, who, f"{who[0]}-msp", SAMPLES[who], OPENED_AT) for who in PARTICIPANTS)


def view(current: Round | None, status: TaskStatus = TaskStatus.RUNNING, **changes: Any) -> RoundView:
    made = RoundView(task(status), key_epoch(), current, registrations())
    return replace(made, **changes)


def collecting(**changes: Any) -> RoundView:
    """A round in which nobody has done anything."""
    return view(round_(Phase.COLLECTING), **changes)


def delivered(phase: Phase, members: tuple[str, ...] = PARTICIPANTS, **changes: Any) -> RoundView:
    """A round whose members have all delivered; `changes` are of the round."""
    weight = sum(SAMPLES[member] for member in members)
    current = round_(phase, members=members, total_weight=weight, **changes)
    return view(current, updates=tuple(update(member) for member in members), receipts=receipts(*members))


def aggregated(phase: Phase = Phase.AGGREGATED, **changes: Any) -> RoundView:
    """A delivered round with a proposal and no attestation."""
    return delivered(phase, aggregate_digest=AGGREGATE, aggregate_bytes=5000, **changes)


def verified(**changes: Any) -> RoundView:
    """A round that the key holder may open."""
    return replace(aggregated(Phase.VERIFIED, **changes), attestations=(attestation(COORDINATOR),))


def with_initial(seen: RoundView, digest_: str) -> RoundView:
    """Let the task start from this model."""
    model = replace(seen.task.spec.model, initial_digest=digest_)
    task = replace(seen.task, spec=replace(seen.task.spec, model=model))
    current = None if seen.round is None else replace(seen.round, base_model_digest=digest_)
    return replace(seen, task=task, round=current)
