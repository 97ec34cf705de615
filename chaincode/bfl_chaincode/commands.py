"""The transaction-argument parser: one frozen dataclass per request, and the one way to make it from text.

Decides what a well-formed request is (BFL-1xx): strict JSON of at most 64 KiB, exactly the fields of the
dataclass, each within its limits. Whether the request is allowed is left to the rules.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeVar

from bfl_chaincode.api import canonical, records, refusals
from bfl_chaincode.api.canonical import NotCanonical
from bfl_chaincode.api.records import NodeRole, TaskSpec
from bfl_chaincode.limits import (
    ALIGNMENT_LIMIT,
    COHORT_LIMIT,
    SPEC_LIMITS,
    Account,
    Amount,
    Count,
    Digest,
    DigestOrNone,
    Epoch,
    Height,
    HostPort,
    Id,
    Limit,
    MspId,
    Name,
    Ratio,
    Reason,
    Reference,
    Region,
    RoundNumber,
    Sequence,
    SizeBytes,
    Span,
    Version,
    Weight,
)

LONGEST_ARGUMENT = 64 * 1024

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Nothing:
    """Asks for nothing: {}."""


# --- federation ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewOrganization:
    msp_id: MspId
    name: Name
    region: Region


@dataclass(frozen=True, slots=True)
class Found:
    federation_id: Id
    name: Name
    organizations: Annotated[tuple[NewOrganization, ...], Count(2, 64)]


@dataclass(frozen=True, slots=True)
class OrganizationName:
    msp_id: MspId


@dataclass(frozen=True, slots=True)
class ParticipantName:
    participant_id: Id


@dataclass(frozen=True, slots=True)
class AnnounceNode:
    role: NodeRole
    node_id: Id
    address: HostPort


# --- key and task -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenEpoch:
    task_id: Id
    epoch: Epoch
    parameters_digest: Digest
    public_key_digest: Digest
    public_key_bytes: SizeBytes


@dataclass(frozen=True, slots=True)
class EpochName:
    task_id: Id
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class CreateTask:
    spec: TaskSpec

    @property
    def task_id(self) -> str:
        return self.spec.task_id


@dataclass(frozen=True, slots=True)
class TaskName:
    task_id: Id


@dataclass(frozen=True, slots=True)
class Register:
    task_id: Id
    samples: Weight


@dataclass(frozen=True, slots=True)
class Abandon:
    task_id: Id
    reason: Reason


# --- round --------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class AcknowledgeUpload:
    task_id: Id
    round: RoundNumber
    participant_id: Id
    digest: Digest


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


# --- reward, reputation, model, audit -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mint:
    msp_id: MspId
    amount: Amount
    reference: Reference


@dataclass(frozen=True, slots=True)
class Fund:
    task_id: Id
    amount: Amount
    reference: Reference


@dataclass(frozen=True, slots=True)
class AccountName:
    account: Account


@dataclass(frozen=True, slots=True)
class ReputationName:
    task_id: Id
    participant_id: Id


@dataclass(frozen=True, slots=True)
class ModelName:
    """Round 0 is the initial model."""

    task_id: Id
    round: Annotated[int, Span(0, 99_999_999)]


@dataclass(frozen=True, slots=True)
class RecordEvaluation:
    task_id: Id
    report_digest: Digest
    passed: bool
    block_height: Height


# --- governance ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProposeUpgrade:
    sequence: Sequence
    version: Version
    source_digest: Digest


@dataclass(frozen=True, slots=True)
class ApproveUpgrade:
    sequence: Sequence
    version: Version
    source_digest: Digest


@dataclass(frozen=True, slots=True)
class UpgradeName:
    sequence: Sequence
    version: Version


# --- the parser ---------------------------------------------------------------------------------


def parse(kind: type[C], argument: str) -> C:
    """Return the checked request. Raises BFL-103 to BFL-114, naming the first field that is wrong."""
    try:
        size = len(argument.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise refusals.NotStrictJson("the argument has no UTF-8 form") from error
    if size > LONGEST_ARGUMENT:
        raise refusals.ArgumentTooLong(f"the argument has {size} bytes")
    try:
        value = canonical.parse(argument)
    except NotCanonical as error:
        raise refusals.NotStrictJson(str(error)[:200]) from error
    try:
        command = records.from_json(kind, value)
    except NotCanonical as error:
        raise refusals.WrongFields(str(error)[:200]) from error
    for limit, found, path in _limited(command, ""):
        limit.check(found, path)
    return command


def _limited(value: object, prefix: str) -> Iterator[tuple[Limit, object, str]]:
    """Yield every limit with the value it is for, parents before their parts."""
    if isinstance(value, TaskSpec):
        yield from _limited_spec(value, "", f"{prefix}.")
        return
    kind: type = type(value)
    for name, limits in limits_of(kind).items():
        found, path = getattr(value, name), f"{prefix}.{name}".removeprefix(".")
        for limit in limits:
            yield limit, found, path
        items = found if isinstance(found, tuple) else (found,)
        for item in items:
            if dataclasses.is_dataclass(item):
                yield from _limited(item, path)


def _limited_spec(value: object, path: str, prefix: str) -> Iterator[tuple[Limit, object, str]]:
    if path in SPEC_LIMITS:
        yield SPEC_LIMITS[path], value, prefix + path
    if isinstance(value, tuple):
        for item in value:
            yield from _limited_spec(item, f"{path}[]", prefix)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            below = f"{path}.{field.name}".removeprefix(".")
            yield from _limited_spec(getattr(value, field.name), below, prefix)


@functools.cache
def limits_of(kind: type) -> dict[str, tuple[Limit, ...]]:
    """Return the limits of each field of a request."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
