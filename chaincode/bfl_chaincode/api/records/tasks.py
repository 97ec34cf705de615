"""A task, who has registered for it and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bfl_chaincode.api.records.forms import added
from bfl_chaincode.api.records.terms import TaskSpec


class TaskStatus(StrEnum):
    """Where a task stands."""

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    RUNNING = "RUNNING"
    CLOSED = "CLOSED"
    ABANDONED = "ABANDONED"


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
    """A silo's place in a task. `transport_key` is the public key, in hex, that keys are encrypted to for it; "" where
    the task's scheme gives silos none."""

    task_id: str
    participant_id: str
    msp_id: str
    samples: int
    registered_at: int
    transport_key: str = added("")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task has come: the number of its newest round, 0 before the first, and how many are settled."""

    task_id: str
    round: int
    settled: int
