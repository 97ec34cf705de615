"""What the participants of a task agree on."""

from __future__ import annotations

from dataclasses import dataclass

from bfl_chaincode.api.records.forms import added

THRESHOLD_SCHEME = "threshold"
"""The scheme whose key several organizations hold shares of."""

PACKED_SCHEME = "packed"
"""The scheme whose key every silo is given, encrypted to its transport key."""


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """The model as a flat little-endian float32 vector, its tensors in this order, row-major."""

    architecture: str
    tensors: tuple[Tensor, ...]
    parameter_count: int
    initial_digest: str


@dataclass(frozen=True, slots=True)
class TrainingTerms:
    """Hyperparameters; `seed` makes training a function of (task, round, participant, data)."""

    learning_rate: str
    momentum: str
    batch_size: int
    local_epochs: int
    seed: int


@dataclass(frozen=True, slots=True)
class DataTerms:
    """What a silo's data must be. `schema_digest` names the schema document."""

    schema_digest: str
    minimum_samples: int


@dataclass(frozen=True, slots=True)
class ScheduleTerms:
    """`upload_seconds` from the opening of a round to its deadline; `share_seconds` for each step of a key ceremony
    and for each answer of an opening by shares."""

    rounds: int
    upload_seconds: int
    share_seconds: int = added(60)


@dataclass(frozen=True, slots=True)
class CohortTerms:
    """`minimum` members or nothing is ever opened; `target` drawn per round, 0 for all registered."""

    minimum: int
    target: int


@dataclass(frozen=True, slots=True)
class RoleTerms:
    """Which organization does what.

    Either one organization holds the key, and that is never the aggregator's; or `key_holder` is "" and the sorted
    `key_members` hold shares of it, of which no `EncryptionTerms.threshold` − 1 open anything.
    """

    coordinator: str
    aggregator: str
    key_holder: str
    key_members: tuple[str, ...] = added(())

    @property
    def key_holders(self) -> tuple[str, ...]:
        """All organizations that hold a key or a share of one."""
        return self.key_members or (self.key_holder,)


@dataclass(frozen=True, slots=True)
class EncryptionTerms:
    """The scheme and the fixed-point grid of an update.

    A coordinate x becomes q = rint(clip(x, ±clip)·(2^(value_bits−1)−1)/clip) and travels as weight·q, so the
    opened sum is an exact integer below 2^(value_bits−1)·max_total_weight. `threshold` shares open it, 0 where one
    organization holds the key.
    """

    scheme: str
    parameters_digest: str
    value_bits: int
    clip: str
    max_total_weight: int
    threshold: int = added(0)


@dataclass(frozen=True, slots=True)
class VerificationTerms:
    """`attestations` organizations must state the same aggregate (the aggregator's own proposal counts as its
    organization's statement); an update counts when `receipts` organizations hold it."""

    attestations: int
    receipts: int


@dataclass(frozen=True, slots=True)
class IncentiveTerms:
    """`per_round` units of the escrowed pool are paid each round; alpha weighs consistency, lambda is the
    memory of the reputation's moving average."""

    pool: int
    per_round: int
    alpha_ppb: int
    consistency_window: int
    reputation_lambda_ppb: int


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """Everything that the participants agree on; its canonical digest is the task's fingerprint."""

    task_id: str
    title: str
    purpose: str
    model: ModelTerms
    training: TrainingTerms
    data: DataTerms
    schedule: ScheduleTerms
    cohort: CohortTerms
    roles: RoleTerms
    encryption: EncryptionTerms
    verification: VerificationTerms
    incentive: IncentiveTerms
