"""The transaction ids that a chain has used, in little memory.

Decides how an id is kept: 64 lower-case hexadecimal digits as the 32 bytes that they are, anything else as it stands.
What a second use means is left to `bfl_fabric.fabric.validation`.
"""

from __future__ import annotations

from collections.abc import Iterable

from bfl_fabric.fabric.keys import Keys
from bfl_fabric.fabric.spool import Spool

_DIGEST_BYTES = 32
_OTHER = bytes(_DIGEST_BYTES + 1)


class SeenTransactions:
    """A set of transaction ids that only grows. Raises StorageFull when there is no room for temporary files."""

    def __init__(self) -> None:
        self._known = Keys(Spool())

    def __contains__(self, transaction_id: object) -> bool:
        return isinstance(transaction_id, str) and self._known.find(_compact(transaction_id)) is not None

    def __len__(self) -> int:
        return len(self._known)

    def update(self, transaction_ids: Iterable[str]) -> None:
        """Note these ids."""
        for transaction_id in transaction_ids:
            self._known.add(_compact(transaction_id))


def _compact(transaction_id: str) -> bytes:
    """Return one form for one id: only what is spelled as Fabric spells it is as short as a digest."""
    try:
        digest = bytes.fromhex(transaction_id)
    except ValueError:
        digest = b""
    if len(digest) == _DIGEST_BYTES and digest.hex() == transaction_id:
        return digest
    return _OTHER + transaction_id.encode("utf-8", "surrogatepass")
