"""Filtered blocks: ids, validation codes and event names, without payloads.

Decides what a `protos.FilteredBlock` shows, as Fabric's deliver service does.
"""

from __future__ import annotations

from typing import Any

from fabric_protos.peer import chaincode_event_pb2, events_pb2

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.blocks import Slot
from bfl_fabric.fabric.envelopes import HeaderType, ParsedTransaction, parse_envelope


def filtered_block(block: Any) -> Any:
    """Return the `protos.FilteredBlock` of a `common.Block`."""
    flags = block.metadata.metadata[Slot.TRANSACTIONS_FILTER]
    filtered = events_pb2.FilteredBlock(number=block.header.number)
    for position, entry in enumerate(block.data.data):
        try:
            transaction = parse_envelope(entry)
        except MalformedInput:
            continue
        filtered.channel_id = transaction.channel_id
        message = filtered.filtered_transactions.add(
            txid=transaction.transaction_id, type=transaction.type, tx_validation_code=flags[position]
        )
        if transaction.type == HeaderType.ENDORSER_TRANSACTION:
            _add_event(message.transaction_actions, transaction)
    return filtered


def _add_event(actions: Any, transaction: ParsedTransaction) -> None:
    actions.SetInParent()
    try:
        event = transaction.action().event
    except MalformedInput:
        return
    if event is not None:
        named = chaincode_event_pb2.ChaincodeEvent(
            chaincode_id=event.chaincode, tx_id=event.transaction_id, event_name=event.name
        )
        actions.chaincode_actions.add(chaincode_event=named)
