"""The transaction ids that a chain has used, in little memory.

Decides how an id is kept: 64 lower-case hexadecimal digits as the 32 bytes that they are, end to end with others that
begin alike; anything else as it stands. What a second use means is left to `bfl_fabric.fabric.validation`.
"""

from __future__ import annotations

from collections.abc import Iterable

_DIGEST_BYTES = 32
_ROWS = 1024


class SeenTransactions:
    """A set of transaction ids that only grows, by not much more than 32 bytes each."""

    def __init__(self) -> None:
        self._rows = [bytearray() for _ in range(_ROWS)]
        self._others: set[str] = set()

    def __contains__(self, transaction_id: object) -> bool:
        """Say whether an id is there. Where the end of one and the start of the next make another, that is none."""
        if not isinstance(transaction_id, str):
            return False
        digest = _digest(transaction_id)
        if digest is None:
            return transaction_id in self._others
        row = self._rows[(digest[0] << 8 | digest[1]) % _ROWS]
        place = row.find(digest)
        while place > 0 and place % _DIGEST_BYTES:
            place = row.find(digest, place + 1)
        return place >= 0

    def update(self, transaction_ids: Iterable[str]) -> None:
        """Note these ids."""
        for transaction_id in transaction_ids:
            digest = _digest(transaction_id)
            if digest is None:
                self._others.add(transaction_id)
            else:
                self._rows[(digest[0] << 8 | digest[1]) % _ROWS] += digest


def _digest(transaction_id: str) -> bytes | None:
    """Return the bytes of an id that is spelled as Fabric spells it, None for any other."""
    try:
        digest = bytes.fromhex(transaction_id)
    except ValueError:
        return None
    return digest if len(digest) == _DIGEST_BYTES and digest.hex() == transaction_id else None
