"""What a committed transaction did to a key.

Decides the rows of a key's history from the transactions in the blocks, as Fabric's history database does: only
where a key was written is indexed, the values stay in the blocks.
"""

from __future__ import annotations

from bfl_chaincode.shim.stub import KeyModification
from bfl_fabric.embedded.simulator import timestamp_of
from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.envelopes import ParsedTransaction


def modification(transaction: ParsedTransaction, namespace: str, key: str) -> KeyModification:
    """Return what the transaction did to the key. Raises MalformedInput when it did not write it."""
    for part in transaction.action().rwset:
        if part.namespace == namespace:
            for item in part.writes:
                if item.key == key:
                    return KeyModification(
                        tx_id=transaction.transaction_id,
                        value=item.value or b"",
                        timestamp=timestamp_of(transaction.channel_header),
                        is_delete=item.value is None,
                    )
    raise MalformedInput(f"transaction {transaction.transaction_id} did not write the key")
