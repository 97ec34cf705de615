"""A growing set of byte strings in little memory: each has a number, and all can be listed in byte order.

Decides how they are found: by a hash table of numbers, and in order by leaves of numbers of which the first key is
known. The strings themselves are in a spool. What the numbers stand for is left to the callers,
who keep what belongs to a key in arrays.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from bfl_fabric.fabric.spool import Spool

LEAF_COUNT = 32
"""A leaf holds no more numbers than this; one that is full is taken apart into halves."""

BATCH_COUNT = 4096
"""Keys that are brought into order at once, in memory for that moment."""

_FEWEST_SLOTS = 64
_FINGERPRINT = (1 << 32) - 1
"""The bits of a key's hash that are kept, to tell most keys apart without reading them."""


class Keys:
    """Distinct byte strings, numbered 0, 1, 2 … as they come. About 40 bytes of memory each, and the string
    itself of about one in twenty. None is ever taken out. All methods may raise StorageFull, as their spool does.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._places = array("Q")
        self._fingerprints = array("I")
        self._slots = array("I", bytes(4 * _FEWEST_SLOTS))
        self._ordered_count = 0
        self._leaves = [array("I")]
        self._firsts = [b""]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> bytes:
        return self._spool.get(self._places[number])

    def find(self, key: bytes) -> int | None:
        """Return the number of a key, None when it never came."""
        taken = self._slots[self._slot(key, hash(key) & _FINGERPRINT)]
        return taken - 1 if taken else None

    def add(self, key: bytes) -> int:
        """Return the number of a key, its next one if it is new."""
        fingerprint = hash(key) & _FINGERPRINT
        slot = self._slot(key, fingerprint)
        taken = self._slots[slot]
        if taken:
            return taken - 1
        self._places.append(self._spool.put(key))
        self._fingerprints.append(fingerprint)
        self._slots[slot] = count = len(self._places)
        if 2 * count > len(self._slots):
            self._grow()
        return count - 1

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

    # --- the table ------------------------------------------------------------------------------

    def _slot(self, key: bytes, fingerprint: int) -> int:
        """Return where the table has a key, or the empty slot where it belongs. A slot holds a number plus one."""
        slots, mask = self._slots, len(self._slots) - 1
        slot = fingerprint & mask
        while taken := slots[slot]:
            if self._fingerprints[taken - 1] == fingerprint and self[taken - 1] == key:
                break
            slot = slot + 1 & mask
        return slot

    def _grow(self) -> None:
        size = 2 * len(self._slots)
        slots, mask = array("I", bytes(4 * size)), size - 1
        for taken, fingerprint in enumerate(self._fingerprints, 1):
            slot = fingerprint & mask
            while slots[slot]:
                slot = slot + 1 & mask
            slots[slot] = taken
        self._slots = slots

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
