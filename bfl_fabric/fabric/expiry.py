"""The end of private data: hashes of private keys leave the state when their time to live is over.

Decides after which block a hashed key is absent, as Fabric does: written in block n with a time to live of t blocks,
it goes with the commit of block n + t + 1, unless it was written again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bfl_fabric.fabric.lifecycle import find_definition
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.state import Key, ReplayedState, Space, Updates


@dataclass(slots=True)
class Expiries:
    """What expires with which block."""

    _due: dict[int, list[tuple[Space, Key, Height]]] = field(default_factory=dict)

    def commit(self, number: int, updates: Updates, state: ReplayedState) -> None:
        """Commit a block's updates to the state and drop what expires with the block."""
        for space, changes in updates.spaces.items():
            lifetime = _block_to_live(space, state)
            if lifetime:
                due = self._due.setdefault(number + lifetime + 1, [])
                due.extend(
                    (space, key, item.height) for key, item in changes.items() if item.value is not None
                )
        state.commit(updates)
        for space, key, height in self._due.pop(number, []):
            state.expire(space, key, height)


def _block_to_live(space: Space, state: ReplayedState) -> int:
    if not space.collection:
        return 0
    definition = find_definition(state, space.namespace)
    collection = None if definition is None else definition.collections.get(space.collection)
    return 0 if collection is None else collection.block_to_live
