"""The cyclic garbage collector while a long chain is read.

Decides how often it runs. Reading a chain makes hundreds of objects for each transaction, which reference counting
frees at once or which are kept to the end; none are in cycles. At Python's own thresholds the collector walks through
all that is kept again and again, for a twentieth of an audit's time and for nothing. What little does get into cycles
(errors with their tracebacks) is still found, later.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (50_000, 20, 100)
"""Containers made and not freed before the young are looked at, then rounds before the older generations are."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect seldom within this block; a collector that is off stays off."""
    before = gc.get_threshold()
    if before[0]:
        gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
