"""Where CPU-bound work runs: off the event loop, one piece at a time per actor.

Encryption and training hold large vectors; two at once would double the memory of a node for no gain on its cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Compute(Protocol):
    """Runs a synchronous function for a coroutine."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns, raise what it raises."""


class ThreadCompute:
    """Runs each piece in a daemon thread: whoever is cancelled leaves at once, and the process ends without it.

    A piece that was left still has its turn to the end; nothing that is durable depends on it.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def finish(result: T | None, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, error = None, None
            try:
                with self._turn:
                    if not done.cancelled():
                        result = function(*args, **kwargs)
            except BaseException as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish, result, error)

        threading.Thread(target=work, name="compute", daemon=True).start()
        return await done
