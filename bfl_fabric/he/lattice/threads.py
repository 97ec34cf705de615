"""Work on many polynomials at once: numpy and OpenSSL release the interpreter's lock, so threads are enough."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_IN_FLIGHT = 2
"""Items for each thread that wait or are worked on: memory stays that of a few polynomials."""

_FEW = 2


def each(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield function(item) in the order of the items, which are drawn in the calling thread.

    `function` must not call `each` itself. When it raises, the items after it may have been worked on or not. A few
    items are worked on in the calling thread: handing them over takes as long as the work on one of them.
    """
    source, threads = iter(items), thread_count()
    first = list(islice(source, _FEW + 1))
    if threads == 1 or len(first) <= _FEW:
        yield from map(function, chain(first, source))
        return
    pending: deque[Future[R]] = deque()
    try:
        for item in chain(first, source):
            pending.append(_pool(threads).submit(function, item))
            if len(pending) > _IN_FLIGHT * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def do_each(function: Callable[[T], None], items: Iterable[T]) -> None:
    """Call function(item) for all items."""
    for _ in each(function, items):
        pass


def thread_count() -> int:
    """Return how many threads work here: one for each processor that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="lattice")
