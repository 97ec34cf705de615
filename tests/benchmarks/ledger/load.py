"""Callers in a closed loop on one gateway, and what they got through.

Decides how throughput and latency are counted: from proposal to the commit status VALID, every caller one call after
the other, the first part of the time not counted. Where the contract runs is left to the caller.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bfl_fabric.sdk.gateway import AsyncContract

WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Figures:
    """What a number of callers measured; latencies in milliseconds."""

    callers: int
    per_second: float
    median_ms: float
    p95_ms: float
    failed: int


async def submits(contract: AsyncContract, callers: int, seconds: float, run: str) -> Figures:
    """Let `callers` put keys of their own for so long."""

    async def put(caller: int, number: int) -> None:
        await contract.submit("Put", f"{run}-{caller}-{number}", "x" * 64)

    return await _measured(put, callers, seconds)


async def evaluates(contract: AsyncContract, callers: int, seconds: float, key: str) -> Figures:
    """Let `callers` get one key for so long."""

    async def get(caller: int, number: int) -> None:
        del caller, number
        await contract.evaluate("Get", key)

    return await _measured(get, callers, seconds)


async def _measured(call: Callable[[int, int], Awaitable[None]], callers: int, seconds: float) -> Figures:
    began = time.perf_counter() + WARM_UP_SECONDS
    ends = began + seconds
    latencies: list[float] = []
    failed = 0

    async def caller(number: int) -> None:
        nonlocal failed
        count = 0
        while (start := time.perf_counter()) < ends:
            try:
                await call(number, count)
            except Exception:
                failed += 1
            else:
                done = time.perf_counter()
                if began <= done < ends:
                    latencies.append((done - start) * 1000)
            count += 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    latencies.sort()
    return Figures(
        callers=callers,
        per_second=len(latencies) / seconds,
        median_ms=_at(latencies, 0.5),
        p95_ms=_at(latencies, 0.95),
        failed=failed,
    )


def _at(ordered: list[float], share: float) -> float:
    return ordered[int(len(ordered) * share)] if ordered else float("nan")
