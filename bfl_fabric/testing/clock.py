"""Time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from bfl_fabric.domain.ports import Clock

TURNS_AFTER_WAKING = 50
"""Turns of the event loop that woken tasks get before time moves on."""


class ManualClock:
    """A clock that sleepers wait on until `advance`; they wake in the order of their time, then of their call."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._elapsed_ms = 0
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wakes_at = self._elapsed_ms + max(1, round(seconds * 1000))
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (wakes_at, next(self._order), woken))
        await woken

    @property
    def sleeper_count(self) -> int:
        """How many are asleep."""
        return sum(1 for *_, woken in self._sleepers if not woken.done())

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking each sleeper at its own moment and letting it work before time goes on."""
        until_ms = self._elapsed_ms + round(seconds * 1000)
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= until_ms:
            wakes_at, _, woken = heapq.heappop(self._sleepers)
            self._pass(wakes_at - self._elapsed_ms)
            if not woken.done():
                woken.set_result(None)
                await _settle()
        self._pass(until_ms - self._elapsed_ms)
        await _settle()

    def move(self, seconds: float) -> None:
        """Let time pass where nobody sleeps: for simulations that call their actors themselves."""
        assert not self.sleeper_count, "somebody sleeps on this clock; use advance"
        self._pass(round(seconds * 1000))

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator would; sleepers do not notice."""
        self._now_ms += round(seconds * 1000)

    def _pass(self, milliseconds: int) -> None:
        self._elapsed_ms += milliseconds
        self._now_ms += milliseconds


class SkewedClock:
    """A machine whose wall clock is wrong by `skew_ms`."""

    def __init__(self, clock: Clock, skew_ms: int = 0) -> None:
        self._clock = clock
        self.skew_ms = skew_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.skew_ms

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


async def _settle() -> None:
    for _ in range(TURNS_AFTER_WAKING):
        await asyncio.sleep(0)
