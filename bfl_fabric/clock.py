"""The real clock. Tests and simulations use `bfl_fabric.testing.clock.ManualClock`."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Wall-clock time of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
