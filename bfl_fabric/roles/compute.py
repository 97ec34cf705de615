"""Where CPU-bound work runs: off the event loop, one piece at a time per actor.

Encryption and training hold large vectors; two at once would double the memory of a node for no gain on its cores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Compute(Protocol):
    """Runs a synchronous function for a coroutine."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns, raise what it raises."""


class ThreadCompute:
    """Runs in a thread; a cancelled caller leaves, the thread finishes its piece first."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._turn:
            return await asyncio.to_thread(function, *args, **kwargs)
