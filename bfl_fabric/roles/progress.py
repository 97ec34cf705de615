"""What a role tells the outside while it works: progress for the live display, and how it is doing.

Numbers, ids and digests only; never values, never keys. What is shown and where is decided elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

logger = logging.getLogger(__name__)


class ProgressKind(StrEnum):
    """What happened; the numbers that come with it stand behind each."""

    SUBMITTED = "submitted"  # block
    DOWNLOADED = "downloaded"  # bytes
    UPLOADED = "uploaded"  # bytes
    TRAINED = "trained"  # samples, loss_ppb, milliseconds
    ENCRYPTED = "encrypted"  # bytes, milliseconds
    CHECKED = "checked"  # bytes
    AGGREGATED = "aggregated"  # members, bytes, milliseconds
    ATTESTED = "attested"  # members, agrees
    KEY_MADE = "key-made"  # members
    KEY_GRANTED = "key-granted"
    ANSWERED = "answered"  # attempt, bytes, milliseconds
    BLAMED = "blamed"  # attempt
    SCORED = "scored"  # members
    OPENED = "opened"  # members, bytes
    EVALUATED = "evaluated"  # accuracy_ppb, loss_ppb, samples
    MODEL_SOUND = "model-sound"
    FAILED = "failed"  # attempts


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that an actor did or could not do. `text` names the transaction, the other side or the error."""

    kind: ProgressKind
    actor: str
    task_id: str
    round: int
    at_ms: int
    text: str = ""
    numbers: tuple[tuple[str, int], ...] = ()


Observer: TypeAlias = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """The observer of whoever does not watch."""


def guarded(observer: Observer) -> Observer:
    """Return an observer whose faults are logged and do not reach the role that reports."""

    def report(progress: Progress) -> None:
        try:
            observer(progress)
        except Exception:
            logger.exception("the observer of %s failed on %s", progress.actor, progress.kind)

    return report


@dataclass(frozen=True, slots=True)
class Failing:
    """An action that did not succeed so far, and when it is tried again."""

    action: str
    error: str
    attempts: int
    again_at_ms: int


@dataclass(frozen=True, slots=True)
class Status:
    """How a reconciler is doing at one moment."""

    name: str
    surveyed_at_ms: int
    running: tuple[str, ...]
    failing: tuple[Failing, ...]
