"""Trying again: how often, how long between, and when to give up.

Decides that progress earns new patience: a transfer that moves on is never given up, one that stands still is,
after a fixed number of tries. Leaves to the client what a try is.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import TransferFailed
from bfl_fabric.transport.limits import ClientLimits
from bfl_fabric.transport.refusals import BrokenOff

_log = logging.getLogger(__name__)


class Persistence:
    """Repeats tries of one transfer. `identity` spreads the waits, so that many clients do not come in step."""

    def __init__(self, limits: ClientLimits, clock: Clock, identity: str) -> None:
        self._limits = limits
        self._clock = clock
        self._identity = identity

    async def run(self, attempt: Callable[[], Awaitable[None]], progress: Callable[[], int]) -> None:
        """Return when `attempt` does. Raises TransferFailed after too many BrokenOff without `progress`."""
        failures, furthest = 0, progress()
        while True:
            try:
                await attempt()
                return
            except BrokenOff as broken:
                reached = progress()
                failures = 1 if reached > furthest else failures + 1
                furthest = max(furthest, reached)
                _log.info("a transfer broke off (%d of %d): %s", failures, self._limits.attempts, broken)
                if failures >= self._limits.attempts:
                    raise TransferFailed(f"gave up after {failures} tries: {broken}") from broken
            await self._clock.sleep(self.wait_seconds(failures))

    def wait_seconds(self, failures: int) -> float:
        """Return the wait after so many failures: doubling, bounded, between half and the whole of it."""
        whole = min(
            self._limits.first_backoff_seconds * 2.0 ** (failures - 1), self._limits.longest_backoff_seconds
        )
        spread = hashlib.sha256(f"{self._identity} {failures}".encode()).digest()[0] / 255
        return whole * (0.5 + spread / 2)
