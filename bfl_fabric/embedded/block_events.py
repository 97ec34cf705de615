"""The chaincode events of a block, parsed once for all streams that send them.

Decides what a stream for a chaincode sends of a block. Which blocks a stream sends is left to `streams`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import chaincode_event_pb2


class BlockEvents:
    """The events of one committed block, which never change. Responses are shared and must not be changed either."""

    def __init__(self, number: int, serialized: Iterable[bytes]) -> None:
        self._number = number
        self._events = [chaincode_event_pb2.ChaincodeEvent.FromString(raw) for raw in serialized]
        self._responses: dict[str, Any] = {}

    def response(self, chaincode: str) -> Any:
        """Return the `gateway.ChaincodeEventsResponse` with the chaincode's events, None when there are none."""
        found = self._responses.get(chaincode)
        if found is None:
            found = self._response(self._events, chaincode)
            if found is not None:
                self._responses[chaincode] = found
        return found

    def has_transaction(self, transaction_id: str) -> bool:
        return any(event.tx_id == transaction_id for event in self._events)

    def response_after(self, transaction_id: str, chaincode: str) -> Any:
        """Return the response with what comes after a transaction of the block, None when there is nothing."""
        ids = [event.tx_id for event in self._events]
        return self._response(self._events[ids.index(transaction_id) + 1 :], chaincode)

    def _response(self, events: Sequence[Any], chaincode: str) -> Any:
        own = [event for event in events if event.chaincode_id == chaincode]
        return gateway_pb2.ChaincodeEventsResponse(block_number=self._number, events=own) if own else None
