"""What happens on a channel, as it happens: chaincode events and blocks, without a gap and nothing twice.

Decides where a stream begins and that it goes on where it broke off. What an event's payload means is left to the
application.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from fabric_protos.gateway import gateway_pb2

from bfl_fabric.domain.ports import Checkpoint
from bfl_fabric.errors import LedgerError
from bfl_fabric.fabric.deliver import Seek, Stamp, read_block, seek_envelope
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.proposal import NONCE_BYTES
from bfl_fabric.fabric.submission import Persistence
from bfl_fabric.fabric.wire import write
from bfl_fabric.sdk.gateway.signing import SignedBefore, sign
from bfl_fabric.sdk.gateway.transactions import Session

_LOG = logging.getLogger(__name__)
_PASSING = frozenset(
    {
        GatewayStatus.UNAVAILABLE,
        GatewayStatus.DEADLINE_EXCEEDED,
        GatewayStatus.INTERNAL,
        GatewayStatus.UNKNOWN,
        GatewayStatus.ABORTED,
        GatewayStatus.RESOURCE_EXHAUSTED,
    }
)


@dataclass(frozen=True, slots=True)
class ChaincodeEvent:
    """One event of a valid transaction."""

    chaincode: str
    name: str
    payload: bytes
    transaction_id: str
    block_number: int

    @property
    def checkpoint(self) -> Checkpoint:
        """Where to go on after this event."""
        return Checkpoint(self.block_number, self.transaction_id)


class ChannelStreams:
    """The streams of one channel."""

    def __init__(self, session: Session, channel_id: str, persistence: Persistence) -> None:
        self._session = session
        self._channel_id = channel_id
        self._persistence = persistence

    async def events(
        self, chaincode: str, after: Checkpoint | None, start_block: int | None
    ) -> AsyncIterator[ChaincodeEvent]:
        """Yield events without end. Raises LedgerError when the gateway will not give them."""
        position, first, attempt = after, start_block, 0
        while True:
            try:
                if position is None and first is None:
                    first = await self._newest() + 1
                request = await self._event_request(chaincode, position, first)
                async for response in self._session.transport.chaincode_events(request):
                    attempt = 0
                    for event in _unseen(response, position):
                        position = event.checkpoint
                        yield event
            except GatewayFailure as failure:
                self._require_passing(failure, "events")
            await self._persistence.pause(self._session.clock, attempt)
            attempt += 1

    async def blocks(self, start: int, stop: int | None) -> AsyncIterator[bytes]:
        """Yield blocks in their canonical encoding, to `stop` inclusive or without end. Raises LedgerError."""
        expected, attempt = start, 0
        while stop is None or expected <= stop:
            try:
                async for number, block in self._delivered(Seek(expected, stop)):
                    if number != expected:
                        raise LedgerError(f"blocks: the peer delivered block {number} instead of {expected}")
                    expected, attempt = number + 1, 0
                    yield block
            except GatewayFailure as failure:
                self._require_passing(failure, "blocks")
            if stop is None or expected <= stop:
                await self._persistence.pause(self._session.clock, attempt)
                attempt += 1

    def _require_passing(self, failure: GatewayFailure, what: str) -> None:
        """Raise LedgerError when the failure will not go away by asking again."""
        if failure.status not in _PASSING:
            raise LedgerError(f"{what}: {failure}") from failure
        _LOG.info("%s of %s broke off: %s", what, self._channel_id, failure)

    async def _newest(self) -> int:
        async for number, _ in self._delivered(Seek(None, None, wait=False)):
            return number
        raise GatewayFailure(GatewayStatus.UNAVAILABLE, "the peer delivered no newest block")

    async def _delivered(self, seek: Seek) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what a peer delivers for one request, which is signed without holding up the event loop."""
        stamp = Stamp(secrets.token_bytes(NONCE_BYTES), self._session.clock.now_ms())
        unsigned = SignedBefore(self._session.identity.creator, b"")
        envelope = seek_envelope(self._channel_id, seek, unsigned, stamp)
        envelope.signature = await sign(self._session.signer, envelope.payload)
        async for response in self._session.transport.deliver(envelope):
            block = read_block(response)
            if block is None:
                return
            yield block

    async def _event_request(self, chaincode: str, position: Checkpoint | None, first: int | None) -> Any:
        request = gateway_pb2.ChaincodeEventsRequest(
            channel_id=self._channel_id,
            chaincode_id=chaincode,
            identity=self._session.identity.creator,
        )
        if position is not None:
            whole = not position.transaction_id
            request.start_position.specified.number = position.block_number + whole
            request.after_transaction_id = position.transaction_id
        elif first is not None:
            request.start_position.specified.number = first
        raw = write(request)
        signature = await sign(self._session.signer, raw)
        return gateway_pb2.SignedChaincodeEventsRequest(request=raw, signature=signature)


def _unseen(response: Any, position: Checkpoint | None) -> Iterator[ChaincodeEvent]:
    """Yield the events of one block behind a position, whatever the peer sends again."""
    skip = 0
    if position is not None and response.block_number <= position.block_number:
        if response.block_number < position.block_number:
            return
        ids = [event.tx_id for event in response.events]
        skip = ids.index(position.transaction_id) + 1 if position.transaction_id in ids else 0
    for event in response.events[skip:]:
        yield ChaincodeEvent(
            event.chaincode_id, event.event_name, event.payload, event.tx_id, response.block_number
        )
