"""A round and the evidence that its steps leave, but for keys and openings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bfl_chaincode.api.records.forms import added


class Phase(StrEnum):
    """Where a round stands; the legal moves are `bfl_chaincode.rules.rounds.MOVES`."""

    OPEN = "OPEN"
    COLLECTING = "COLLECTING"
    SEALED = "SEALED"
    AGGREGATED = "AGGREGATED"
    VERIFIED = "VERIFIED"
    RELEASED = "RELEASED"
    PUBLISHED = "PUBLISHED"
    SETTLED = "SETTLED"
    ABORTED = "ABORTED"


@dataclass(frozen=True, slots=True)
class Round:
    """One round. `cohort` and `members` are participant ids in sorted order; `members` is the sealed set.

    `holders` are the organizations, the aggregator's first, whose nodes take uploads and sign receipts.
    `direction_digest` names the previous global direction that scores are taken against, "" in the first.
    """

    task_id: str
    number: int
    phase: Phase
    epoch: int
    cohort: tuple[str, ...]
    holders: tuple[str, ...]
    base_model_digest: str
    direction_digest: str
    opened_at: int
    deadline_at: int
    members: tuple[str, ...] = ()
    total_weight: int = 0
    sealed_at: int = 0
    aggregate_digest: str = ""
    aggregate_bytes: int = 0
    scores_digest: str = ""
    sum_digest: str = ""
    sum_bytes: int = 0
    model_digest: str = ""
    model_bytes: int = 0
    next_direction_digest: str = ""
    changed_at: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UpdateCommitment:
    """What a participant binds itself to before it uploads. `digest` is the SHA-256 of the encrypted update's
    wire bytes (the format has one encoding only), `size_bytes` their length, `weight` its sample count.

    Under a threshold key the mask part of the ciphertext is a blob of its own, which key members add up themselves:
    `mask_digest`, `mask_bytes`; "" and 0 under a single key.
    """

    task_id: str
    round: int
    participant_id: str
    msp_id: str
    digest: str
    size_bytes: int
    weight: int
    committed_at: int
    transaction_id: str
    mask_digest: str = added("")
    mask_bytes: int = added(0)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An organization's statement that it holds a participant's update, whole and well-formed."""

    task_id: str
    round: int
    participant_id: str
    msp_id: str
    digest: str
    acknowledged_at: int


@dataclass(frozen=True, slots=True)
class Attestation:
    """What an organization found when it computed the aggregate again; equal digests attest it."""

    task_id: str
    round: int
    msp_id: str
    aggregate_digest: str
    scores_digest: str
    attested_at: int


@dataclass(frozen=True, slots=True)
class Score:
    """alignment = ⟨weight·q_i, direction⟩, an integer on the scheme's score grid."""

    participant_id: str
    alignment: int


@dataclass(frozen=True, slots=True)
class ScoreSheet:
    task_id: str
    round: int
    direction_digest: str
    scores: tuple[Score, ...]
    posted_at: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """Of the published model on the held-out set. `loss_ppb` is the mean cross-entropy."""

    accuracy_ppb: int
    loss_ppb: int
    samples: int


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A node of the lineage graph; round 0 is the initial model."""

    task_id: str
    round: int
    digest: str
    size_bytes: int
    parent_digest: str
    sum_digest: str
    contributors: tuple[str, ...]
    total_weight: int
    metrics: Metrics
    published_at: int
    direction_digest: str = ""
