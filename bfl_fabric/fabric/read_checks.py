"""Whether what a transaction read still stands: keys, ranges, hashes of private keys.

Decides MVCC_READ_CONFLICT and PHANTOM_READ_CONFLICT against the state before the block and the changes that earlier
transactions of the block make, by Fabric's rules, the Merkle summaries of long ranges included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from bfl_fabric.fabric.envelopes import InvalidTransaction, ValidationCode
from bfl_fabric.fabric.rwsets import (
    Height,
    MerkleSummary,
    NamespaceSet,
    RangeQuery,
    Read,
    range_reads_message,
)
from bfl_fabric.fabric.state import Key, Space, StateView, Updates, space_of

_LEAVES = 1


def check_reads(rwset: Sequence[NamespaceSet], state: StateView, updates: Updates) -> None:
    """Raise InvalidTransaction when a read or a range does not stand any more."""
    for part in rwset:
        if part.reads:
            keys = [(key.encode(), version) for key, version in part.reads]
            _check_keys(space_of(part.namespace), keys, state, updates)
        for query in part.range_queries:
            _check_range(part.namespace, query, state, updates)
        for collection in part.collections:
            inner = Space(part.namespace, collection.name)
            hashed = [(item.key_hash, item.version) for item in collection.reads]
            _check_keys(inner, hashed, state, updates)


def range_summary(reads: Sequence[Read], max_degree: int) -> MerkleSummary | None:
    """Return Fabric's summary of a range's results, None when there are too few for one (raw reads stand then)."""
    tree = _MerkleTree(max_degree)
    pending: list[Read] = []
    for read in reads:
        pending.append(read)
        if len(pending) > max_degree:
            tree.add(_leaf(pending))
            pending = []
    if tree.empty:
        return None
    if pending:
        tree.add(_leaf(pending))
    return tree.summary()


def _check_keys(
    space: Space, reads: Sequence[tuple[Key, Height | None]], state: StateView, updates: Updates
) -> None:
    changes = updates.spaces.get(space, {})
    for key, version in reads:
        if key in changes:
            raise InvalidTransaction(
                ValidationCode.MVCC_READ_CONFLICT,
                f"a key of {space.namespace} was written earlier in this block",
            )
        found = state.find(space, key)
        if (None if found is None else found.height) != version:
            raise InvalidTransaction(
                ValidationCode.MVCC_READ_CONFLICT, f"a key of {space.namespace} is at another version"
            )


def _check_range(namespace: str, query: RangeQuery, state: StateView, updates: Updates) -> None:
    now = [Read(key.decode(), height) for key, height in _current(namespace, query, state, updates)]
    if query.summary is None:
        stands = tuple(now) == query.reads
    else:
        degree = query.summary.max_degree
        stands = degree >= 2 and range_summary(now, degree) == query.summary
    if not stands:
        raise InvalidTransaction(
            ValidationCode.PHANTOM_READ_CONFLICT, f"a range of {namespace} has other results now"
        )


def _current(
    namespace: str, query: RangeQuery, state: StateView, updates: Updates
) -> Iterator[tuple[Key, Height]]:
    """Yield what the range holds now: the state with this block's changes laid over it."""
    start, end = query.start.encode(), query.end.encode()
    space = Space(namespace)
    changed = {
        key: versioned
        for key, versioned in updates.spaces.get(space, {}).items()
        if start <= key and (not end or key < end)
    }
    merged = {key: height for key, height in state.scan(namespace, start, end) if key not in changed}
    merged.update((key, item.height) for key, item in changed.items() if item.value is not None)
    yield from sorted(merged.items())
    if not query.exhausted:
        last = updates.find(space, end) or state.find(space, end)
        if last is not None and last.value is not None:
            yield end, last.height


def _leaf(reads: Sequence[Read]) -> bytes:
    return hashlib.sha256(range_reads_message(reads)).digest()


class _MerkleTree:
    """Fabric's tree over a range: a level that outgrows the degree becomes one hash of the level above."""

    def __init__(self, max_degree: int) -> None:
        self._max_degree = max_degree
        self._levels: dict[int, list[bytes]] = {}
        self._top = _LEAVES

    @property
    def empty(self) -> bool:
        return self._top == _LEAVES and not self._levels.get(_LEAVES)

    def add(self, leaf: bytes) -> None:
        level = _LEAVES
        self._levels.setdefault(level, []).append(leaf)
        while len(self._levels[level]) > self._max_degree:
            combined = self._combined(level)
            level += 1
            self._levels.setdefault(level, []).append(combined)
            self._top = max(self._top, level)

    def summary(self) -> MerkleSummary:
        for level in range(_LEAVES, self._top):
            hashes = self._levels.get(level, [])
            if hashes:
                combined = hashes[0] if len(hashes) == 1 else self._combined(level)
                self._levels.pop(level, None)
                self._levels.setdefault(level + 1, []).append(combined)
        if len(self._levels[self._top]) > self._max_degree:
            combined = self._combined(self._top)
            self._top += 1
            self._levels[self._top] = [combined]
        return MerkleSummary(self._max_degree, self._top, tuple(self._levels[self._top]))

    def _combined(self, level: int) -> bytes:
        return hashlib.sha256(b"".join(self._levels.pop(level))).digest()
