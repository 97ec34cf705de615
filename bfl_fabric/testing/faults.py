"""Faults to inject: what the network loses, and where a process dies.

A crash is an exception that no role catches, so that nothing of the dead process runs on; what was durable stays.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What happens to one call."""

    REQUEST_LOST = "request-lost"  # the other side never hears of it
    RESPONSE_LOST = "response-lost"  # it was done, the caller does not learn it
    CORRUPTED = "corrupted"  # one byte arrives changed
    SLOW = "slow"  # it takes `FaultPlan.slow_seconds`
    DUPLICATED = "duplicated"  # it arrives twice


class FaultPlan:
    """The faults that the next calls of one actor meet, in order; none when the plan is used up."""

    def __init__(self, slow_seconds: float = 40.0) -> None:
        self.slow_seconds = slow_seconds
        self._next: deque[Fault] = deque()

    def add(self, fault: Fault) -> None:
        self._next.append(fault)

    def take(self) -> Fault | None:
        return self._next.popleft() if self._next else None

    def clear(self) -> None:
        self._next.clear()


class Crashed(BaseException):
    """The process of this actor is gone. A BaseException, because a dead process handles no errors."""

    def __init__(self, actor: str) -> None:
        super().__init__(f"{actor} crashed")
        self.actor = actor


@dataclass(slots=True)
class CrashSwitch:
    """Kills an actor at one of its persisted steps: `steps` from now, before or after it takes effect."""

    actor: str
    steps: int = 0
    after_effect: bool = False
    armed: bool = False
    passed: int = 0

    def arm(self, steps: int, *, after_effect: bool) -> None:
        """Die at the `steps`-th persisted step from now, counted from 1."""
        self.steps, self.after_effect, self.armed = steps, after_effect, True

    def disarm(self) -> None:
        self.armed = False

    def before(self) -> None:
        """Call before a persisted step."""
        self.passed += 1
        if self.armed:
            self.steps -= 1
            if self.steps <= 0 and not self.after_effect:
                self._die()

    def after(self) -> None:
        """Call when the step has taken effect."""
        if self.armed and self.steps <= 0 and self.after_effect:
            self._die()

    def _die(self) -> None:
        self.armed = False
        raise Crashed(self.actor)
