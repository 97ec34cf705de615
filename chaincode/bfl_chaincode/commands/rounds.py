"""Requests about a round, but for its opening by shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

from bfl_chaincode.limits import (
    ALIGNMENT_LIMIT,
    COHORT_LIMIT,
    RECEIPTS_LIMIT,
    Count,
    Digest,
    DigestOrNone,
    Height,
    Id,
    Ratio,
    Reason,
    RoundNumber,
    SizeBytes,
    SizeOrNone,
    Span,
    Weight,
)


class AnyRound(Protocol):
    """Every request that names a round."""

    @property
    def task_id(self) -> str: ...

    @property
    def round(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RoundName:
    task_id: Id
    round: RoundNumber


@dataclass(frozen=True, slots=True)
class CommitUpdate:
    task_id: Id
    round: RoundNumber
    digest: Digest
    size_bytes: SizeBytes
    weight: Weight
    mask_digest: DigestOrNone = ""
    mask_bytes: SizeOrNone = 0


@dataclass(frozen=True, slots=True)
class HeldUpload:
    participant_id: Id
    digest: Digest


@dataclass(frozen=True, slots=True)
class AcknowledgeUploads:
    task_id: Id
    round: RoundNumber
    uploads: Annotated[tuple[HeldUpload, ...], Count(1, RECEIPTS_LIMIT)]


@dataclass(frozen=True, slots=True)
class ProposeAggregate:
    task_id: Id
    round: RoundNumber
    aggregate_digest: Digest
    aggregate_bytes: SizeBytes
    scores_digest: DigestOrNone


@dataclass(frozen=True, slots=True)
class AttestAggregate:
    task_id: Id
    round: RoundNumber
    aggregate_digest: Digest
    scores_digest: DigestOrNone


@dataclass(frozen=True, slots=True)
class PostedScore:
    participant_id: Id
    alignment: Annotated[int, Span(-ALIGNMENT_LIMIT, ALIGNMENT_LIMIT)]


@dataclass(frozen=True, slots=True)
class PostScores:
    task_id: Id
    round: RoundNumber
    scores: Annotated[tuple[PostedScore, ...], Count(1, COHORT_LIMIT)]


@dataclass(frozen=True, slots=True)
class ReleaseShare:
    task_id: Id
    round: RoundNumber
    aggregate_digest: Digest
    sum_digest: Digest
    sum_bytes: SizeBytes


@dataclass(frozen=True, slots=True)
class PublishedMetrics:
    accuracy_ppb: Ratio
    loss_ppb: Height
    samples: Height


@dataclass(frozen=True, slots=True)
class PublishModel:
    task_id: Id
    round: RoundNumber
    model_digest: Digest
    model_bytes: SizeBytes
    direction_digest: Digest
    metrics: PublishedMetrics


@dataclass(frozen=True, slots=True)
class Abort:
    task_id: Id
    round: RoundNumber
    reason: Reason
