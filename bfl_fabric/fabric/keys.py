"""A growing set of byte strings in little memory: each has a number, and all can be listed in byte order.

Decides how they are found: by their hashes, which stand side by side in buckets, and in order by leaves of numbers of
which the first key is known. The strings themselves are in a spool. What the numbers stand for is left to the callers,
who keep what belongs to a key in arrays.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from bfl_fabric.fabric.spool import Spool

LEAF_COUNT = 32
"""A leaf holds no more numbers than this; one that is full is taken apart into halves."""

BATCH_COUNT = 4096
"""Keys that are brought into order at once, in memory for that moment."""

_BUCKETS = (1 << 12) - 1
_TAG = struct.Struct("<q")
_ENTRY = struct.Struct("<qI")
"""A bucket is a row of entries: a key's hash, then its number."""


class Keys:
    """Distinct byte strings, numbered 0, 1, 2 … as they come. About 30 bytes of memory each, however long they are.

    None is ever taken out. All methods may raise StorageFull, as their spool does.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._places = array("Q")
        self._buckets: dict[int, bytes] = {}
        self._ordered_count = 0
        self._leaves = [array("I")]
        self._firsts = [b""]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> bytes:
        return self._spool.get(self._places[number])

    def find(self, key: bytes) -> int | None:
        """Return the number of a key, None when it never came."""
        value = hash(key)
        return self._number(key, _TAG.pack(value), value & _BUCKETS)

    def add(self, key: bytes) -> int:
        """Return the number of a key, its next one if it is new."""
        value = hash(key)
        tag, bucket = _TAG.pack(value), value & _BUCKETS
        number = self._number(key, tag, bucket)
        if number is None:
            number = len(self._places)
            self._places.append(self._spool.put(key))
            self._buckets[bucket] = self._buckets.get(bucket, b"") + _ENTRY.pack(value, number)
        return number

    def _number(self, key: bytes, tag: bytes, bucket: int) -> int | None:
        entries = self._buckets.get(bucket)
        if entries is None:
            return None
        at = entries.find(tag)
        while at >= 0:
            if at % _ENTRY.size == 0:
                number: int = _ENTRY.unpack_from(entries, at)[1]
                if self[number] == key:
                    return number
            at = entries.find(tag, at + 1)
        return None

    def between(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield the keys from `start` to before `end` in byte order, with their numbers; an empty `end` is no end.

        Keys that come in the meantime may be left out.
        """
        self._bring_into_order()
        first = bisect_right(self._firsts, start) - 1
        last = bisect_left(self._firsts, end, first) if end else len(self._leaves)
        for leaf in self._leaves[first : max(first + 1, last)]:
            for key, number in self._sorted(leaf):
                if start <= key and (not end or key < end):
                    yield key, number

    # --- the order ----------------------------------------------------------------------------------

    def _bring_into_order(self) -> None:
        """Give the keys that came since the last time to the leaves where they belong."""
        while self._ordered_count < len(self):
            upto = min(len(self), self._ordered_count + BATCH_COUNT)
            pairs, place = self._sorted(range(self._ordered_count, upto)), 0
            while place < len(pairs):
                leaf = bisect_right(self._firsts, pairs[place][0]) - 1
                is_last = leaf + 1 == len(self._leaves)
                end = len(pairs) if is_last else bisect_left(pairs, (self._firsts[leaf + 1],), place)
                self._extend(leaf, pairs[place:end])
                place = end
            self._ordered_count = upto

    def _extend(self, leaf: int, pairs: Sequence[tuple[bytes, int]]) -> None:
        numbers = self._leaves[leaf]
        if len(numbers) + len(pairs) <= LEAF_COUNT:
            numbers.extend(number for _, number in pairs)
            return
        whole = sorted([*self._sorted(numbers), *pairs])
        pieces = [whole[start : start + LEAF_COUNT // 2] for start in range(0, len(whole), LEAF_COUNT // 2)]
        self._leaves[leaf : leaf + 1] = [array("I", [number for _, number in piece]) for piece in pieces]
        self._firsts[leaf + 1 : leaf + 1] = [piece[0][0] for piece in pieces[1:]]

    def _sorted(self, numbers: Iterable[int]) -> list[tuple[bytes, int]]:
        get, places = self._spool.get, self._places
        return sorted([(get(places[number]), number) for number in numbers])
