"""Requests about tasks, their registrations, models and audits, and about money and reputation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bfl_chaincode.api.records import TaskSpec
from bfl_chaincode.limits import (
    Account,
    Amount,
    Digest,
    Height,
    Id,
    MspId,
    Reason,
    Reference,
    Span,
    TransportKey,
    Weight,
)


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
    transport_key: TransportKey = ""


@dataclass(frozen=True, slots=True)
class Abandon:
    task_id: Id
    reason: Reason


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
