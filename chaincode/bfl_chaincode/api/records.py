"""The records that the ledger holds, and the views that its queries return.

Every record is frozen and has one canonical JSON form (`to_json`, `from_json`). Moments (`…_at`) are integer
milliseconds since 1970-01-01 UTC, taken from the transaction; digests are SHA-256 in lower-case hex, `""` where
there is none yet; ratios are parts per billion (`…_ppb`); amounts are minor units; decimals are strings.
Fields are only ever added, with a default, so that old ledgers stay readable.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from bfl_chaincode.api import reading
from bfl_chaincode.api.canonical import Json, NotCanonical

PPB = 1_000_000_000


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


class TaskStatus(StrEnum):
    """Where a task stands."""

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    RUNNING = "RUNNING"
    CLOSED = "CLOSED"
    ABANDONED = "ABANDONED"


class UpgradeStatus(StrEnum):
    """Where an upgrade of the contract stands: voted on, or approved by a majority."""

    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"


class NodeRole(StrEnum):
    """What a node does for its organization; the value of the certificate attribute `bfl.role`."""

    COORDINATOR = "coordinator"
    AGGREGATOR = "aggregator"
    VERIFIER = "verifier"
    KEY_HOLDER = "key-holder"
    PARTICIPANT = "participant"
    AUDITOR = "auditor"


# --- who calls ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that the certificate authority wrote into a certificate, such as `bfl.role`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed the transaction, as its certificate says: nothing of it is an argument. `ou` is the NodeOU
    (client, admin, peer, orderer), attributes are sorted by name, the digest is of the certificate's DER."""

    msp_id: str
    common_name: str
    ou: str
    attributes: tuple[Attribute, ...]
    certificate_digest: str

    @property
    def role(self) -> str:
        """The value of `bfl.role`, "" without one."""
        return next((attribute.value for attribute in self.attributes if attribute.name == "bfl.role"), "")


# --- federation ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Federation:
    federation_id: str
    name: str
    founded_at: int


@dataclass(frozen=True, slots=True)
class Organization:
    msp_id: str
    name: str
    region: str
    active: bool
    admitted_at: int


@dataclass(frozen=True, slots=True)
class Participant:
    """A data silo; `participant_id` is the common name of its certificate."""

    participant_id: str
    msp_id: str
    active: bool
    enrolled_at: int


@dataclass(frozen=True, slots=True)
class Node:
    """A service of an organization and where it listens, host:port."""

    msp_id: str
    role: NodeRole
    node_id: str
    address: str
    announced_at: int


# --- task ---------------------------------------------------------------------------------------


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
    """`upload_seconds` from the opening of a round to its deadline."""

    rounds: int
    upload_seconds: int


@dataclass(frozen=True, slots=True)
class CohortTerms:
    """`minimum` members or nothing is ever opened; `target` drawn per round, 0 for all registered."""

    minimum: int
    target: int


@dataclass(frozen=True, slots=True)
class RoleTerms:
    """Which organization does what; the aggregator and the key holder are never the same organization."""

    coordinator: str
    aggregator: str
    key_holder: str


@dataclass(frozen=True, slots=True)
class EncryptionTerms:
    """The scheme and the fixed-point grid of an update.

    A coordinate x becomes q = rint(clip(x, ±clip)·(2^(value_bits−1)−1)/clip) and travels as weight·q, so the
    opened sum is an exact integer below 2^(value_bits−1)·max_total_weight.
    """

    scheme: str
    parameters_digest: str
    value_bits: int
    clip: str
    max_total_weight: int


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


@dataclass(frozen=True, slots=True)
class Task:
    spec: TaskSpec
    spec_digest: str
    status: TaskStatus
    created_at: int
    changed_at: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Registration:
    task_id: str
    participant_id: str
    msp_id: str
    samples: int
    registered_at: int


@dataclass(frozen=True, slots=True)
class KeyEpoch:
    """The public key material of a task: a blob of `public_key_bytes` bytes with this digest."""

    task_id: str
    epoch: int
    msp_id: str
    parameters_digest: str
    public_key_digest: str
    public_key_bytes: int
    opened_at: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task has come: the number of its newest round, 0 before the first, and how many are settled."""

    task_id: str
    round: int
    settled: int


# --- round --------------------------------------------------------------------------------------


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
    wire bytes (the format has one encoding only), `size_bytes` their length, `weight` its sample count."""

    task_id: str
    round: int
    participant_id: str
    msp_id: str
    digest: str
    size_bytes: int
    weight: int
    committed_at: int
    transaction_id: str


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


@dataclass(frozen=True, slots=True)
class RoundView:
    """A round with all its evidence, as `round:Get` returns it; lists sorted by participant, organization.

    `key_epoch` is the round's own, before the first round the newest. `settled_rounds` counts the task's settled
    rounds: aborted rounds have numbers too, so it may be less than the round's number.
    """

    task: Task
    key_epoch: KeyEpoch | None
    round: Round | None
    registrations: tuple[Registration, ...] = ()
    updates: tuple[UpdateCommitment, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    scores: ScoreSheet | None = None
    settlement: Settlement | None = None
    settled_rounds: int = 0


# --- reward and reputation ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Payout:
    """One participant's line of a settlement, with everything that its recomputation needs.

    share = max(0, alignment)·(PPB + alpha_ppb·consistency_ppb//PPB)//PPB; amount = per_round divided by largest
    remainder over the shares, ties by participant id; nothing is paid when all shares are 0. There is a line for
    every member of the cohort: who did not deliver has alignment 0, and without a direction (first round) the
    alignment of a member is its weight. (The last //PPB keeps a share within 64 bits, as JSON numbers must be.)
    """

    participant_id: str
    alignment: int
    consistency_ppb: int
    share: int
    amount: int
    reputation_before_ppb: int
    reputation_after_ppb: int


@dataclass(frozen=True, slots=True)
class Settlement:
    task_id: str
    round: int
    per_round: int
    paid: int
    payouts: tuple[Payout, ...]
    settled_at: int


@dataclass(frozen=True, slots=True)
class Reputation:
    """`streak` counts consecutive valid rounds of the task up to the consistency window; a round is valid for
    who delivered and had an alignment above 0. It starts with score PPB//2 and streak 0."""

    task_id: str
    participant_id: str
    score_ppb: int
    streak: int
    rounds: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A movement on an account, in minor units, negative when it leaves. An account's balance is the sum of
    its entries; the entries of one transaction sum to zero, with `mint` as the source of all units."""

    account: str
    transaction_id: str
    line: int
    amount: int
    kind: str
    reference: str
    booked_at: int


@dataclass(frozen=True, slots=True)
class Balance:
    account: str
    amount: int
    entries: int


@dataclass(frozen=True, slots=True)
class Conservation:
    """All units that were ever minted, all that stand on accounts, and their difference, which must be 0."""

    minted: int
    balances: int
    difference: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An auditor's statement about a task: the digest of its report and what it found."""

    task_id: str
    auditor_id: str
    msp_id: str
    report_digest: str
    passed: bool
    block_height: int
    recorded_at: int


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A version of this contract that is to be the channel's definition with this sequence.

    `source_digest` names the contract's source; `approvals` are the organizations that voted for it, sorted.
    """

    sequence: int
    version: str
    source_digest: str
    proposed_by: str
    proposed_at: int
    status: UpgradeStatus
    approvals: tuple[str, ...]
    changed_at: int


# --- one JSON form ------------------------------------------------------------------------------

T = TypeVar("T")


def to_json(record: object) -> dict[str, Json]:
    """Return the JSON object of a record, field by field."""
    kind: typing.Any = type(record)
    return {name: _plain(getattr(record, name)) for name in _field_names(kind)}


def from_json(kind: type[T], value: Json) -> T:
    """Read a record strictly: every field of the right type, none unknown, none missing without a default.

    Raises NotCanonical with the path of the first wrong field.
    """
    result: T
    try:
        result = reading.reader_of(kind)(value)
    except reading.Unlike:
        result = _record(kind, value, kind.__name__)
    return result


@functools.lru_cache(maxsize=256)
def _field_names(kind: typing.Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _plain(value: object) -> Json:
    if type(value) in _SCALARS:
        return value  # type: ignore[return-value]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    return to_json(value)


_SCALARS = (str, int, bool, type(None))


def _record(kind: type[typing.Any], value: Json, path: str) -> typing.Any:
    if not isinstance(value, Mapping):
        raise NotCanonical(f"{path}: expected an object, found {_named(value)}")
    hints = _hints(kind)
    unknown = sorted(key for key in value if key not in hints)
    if unknown:
        raise NotCanonical(f"{path}: unknown field {unknown[0]!r}")
    arguments = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            arguments[field.name] = _typed(hints[field.name], value[field.name], f"{path}.{field.name}")
        elif field.default is dataclasses.MISSING:
            raise NotCanonical(f"{path}: the field {field.name!r} is missing")
    return kind(**arguments)


def _typed(kind: typing.Any, value: Json, path: str) -> typing.Any:
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise NotCanonical(f"{path}: expected a list, found {_named(value)}")
        item_kind = typing.get_args(kind)[0]
        return tuple(_typed(item_kind, item, f"{path}[{index}]") for index, item in enumerate(value))
    if origin in (typing.Union, types.UnionType):
        (inner,) = [argument for argument in typing.get_args(kind) if argument is not type(None)]
        return None if value is None else _typed(inner, value, path)
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast("type[typing.Any]", kind), value, path)
    if issubclass(kind, StrEnum):
        try:
            return kind(value)
        except ValueError as error:
            raise NotCanonical(f"{path}: {value!r} is none of {', '.join(kind)}") from error
    if type(value) is not kind:
        raise NotCanonical(f"{path}: expected {kind.__name__}, found {_named(value)}")
    return value


_HINTS: dict[type[typing.Any], dict[str, typing.Any]] = {}


def _hints(kind: type[typing.Any]) -> dict[str, typing.Any]:
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]


def _named(value: object) -> str:
    return "null" if value is None else type(value).__name__
