"""The transaction ids that a chain has used, in little memory.

Decides how an id is kept: 64 lower-case hexadecimal digits as the 32 bytes that they are, anything else as it stands.
What a second use means is left to `bfl_fabric.fabric.validation`.
"""

from __future__ import annotations

from collections.abc import Iterable


class SeenTransactions:
    """A set of transaction ids that only grows."""

    def __init__(self) -> None:
        self._known: set[bytes | str] = set()

    def __contains__(self, transaction_id: object) -> bool:
        return isinstance(transaction_id, str) and _compact(transaction_id) in self._known

    def __len__(self) -> int:
        return len(self._known)

    def update(self, transaction_ids: Iterable[str]) -> None:
        """Note these ids."""
        self._known.update(map(_compact, transaction_ids))


def _compact(transaction_id: str) -> bytes | str:
    """Return one form for one id: only what is spelled as Fabric spells it becomes bytes."""
    try:
        digest = bytes.fromhex(transaction_id)
    except ValueError:
        return transaction_id
    return digest if len(digest) == 32 and digest.hex() == transaction_id else transaction_id
