"""What was looked up lately, kept in a bounded number of entries.

Decides only what is forgotten: everything, once it is full. That costs a few look-ups again, and no bookkeeping on
every one of them.
"""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

RECENT_COUNT = 1024


class Recent(dict[K, V]):
    """A dict that is emptied before it holds more than `RECENT_COUNT` entries, as long as `remember` fills it."""

    __slots__ = ()

    def remember(self, key: K, value: V) -> V:
        """Keep a value under a key for a while, and return it."""
        if len(self) >= RECENT_COUNT:
            self.clear()
        self[key] = value
        return value
