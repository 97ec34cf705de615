"""File work off the event loop, on few threads, and never abandoned half-way.

Decides that a cancelled caller still waits for the step that is under way, so that what it does next (closing a
file, say) never races with that step. Leaves to its callers what the steps do; each should be short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class FileThreads:
    """A small pool of threads. After `close`, steps run where they are called: what is left then is clean-up."""

    def __init__(self, count: int = 4) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="bfl-files")
        self._closed = False

    async def run(self, step: Callable[[], T]) -> T:
        """Return what `step` returns. Cancellation is passed on only after `step` has ended."""
        if self._closed:
            return step()
        future = asyncio.get_running_loop().run_in_executor(self._pool, step)
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            future.exception()  # taken note of: the cancellation is what the caller learns
            raise cancelled
        return future.result()

    def close(self) -> None:
        """Let the threads end; steps that run are waited for."""
        self._closed = True
        self._pool.shutdown(wait=True)
