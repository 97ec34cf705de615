"""The transaction ids that a chain has used, in little memory.

Decides how an id is kept: 64 lower-case hexadecimal digits as the 32 bytes that they are, in a row with others that
begin alike; anything else as it stands. What a second use means is left to `bfl_fabric.fabric.validation`.
"""

from __future__ import annotations

from collections.abc import Iterable

DIGEST_BYTES = 32


class SeenTransactions:
    """A set of transaction ids that only grows, by not much more than 32 bytes each."""

    def __init__(self) -> None:
        self._rows: dict[int, bytes] = {}
        self._others: set[str] = set()

    def __contains__(self, transaction_id: object) -> bool:
        """Say whether an id is there. Where the end of one and the start of the next make another, that is none."""
        if not isinstance(transaction_id, str):
            return False
        digest = _digest(transaction_id)
        if digest is None:
            return transaction_id in self._others
        row = self._rows.get(_row(digest), b"")
        place = row.find(digest)
        while place > 0 and place % DIGEST_BYTES:
            place = row.find(digest, place + 1)
        return place >= 0

    def update(self, transaction_ids: Iterable[str]) -> None:
        """Note these ids."""
        for transaction_id in transaction_ids:
            digest = _digest(transaction_id)
            if digest is None:
                self._others.add(transaction_id)
            else:
                row = _row(digest)
                self._rows[row] = self._rows.get(row, b"") + digest


def _row(digest: bytes) -> int:
    """Return which of 4,096 rows a digest is in."""
    return digest[0] << 4 | digest[1] >> 4


def _digest(transaction_id: str) -> bytes | None:
    """Return the bytes of an id that is spelled as Fabric spells it, None for any other."""
    try:
        digest = bytes.fromhex(transaction_id)
    except ValueError:
        return None
    return digest if len(digest) == DIGEST_BYTES and digest.hex() == transaction_id else None
