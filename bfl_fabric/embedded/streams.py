"""The two streams of a peer: chaincode events and blocks.

Decides where a stream begins and ends and what each message holds, as Fabric's gateway and deliver services do.
Who may read them is checked before (events) or here (blocks, whose envelope says both what and who).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import events_pb2

from bfl_fabric.embedded.commits import CommitBoard
from bfl_fabric.embedded.filtered import filtered_block
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.channel import READERS
from bfl_fabric.fabric.deliver import TIME_WINDOW_MS
from bfl_fabric.fabric.envelopes import parse_payload
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.policy import Member
from bfl_fabric.fabric.wire import read

_LOG = logging.getLogger(__name__)


# --- events -------------------------------------------------------------------------------------


async def chaincode_events(ledger: EmbeddedLedger, board: CommitBoard, request: Any) -> AsyncIterator[Any]:
    """Yield a `gateway.ChaincodeEventsResponse` for each block with events of the chaincode, without end."""
    number = _first_block(ledger, request)
    chaincode, after = request.chaincode_id, request.after_transaction_id
    while True:
        await board.higher_than(number)
        block = board.events_of(number)
        if not after:
            response = block.response(chaincode)
        elif block.has_transaction(after):
            response, after = block.response_after(after, chaincode), ""
        else:  # what was seen last may be in a later block
            response = None
        if response is not None:
            yield response
        else:
            await asyncio.sleep(0)
        number += 1


def _first_block(ledger: EmbeddedLedger, request: Any) -> int:
    if request.after_transaction_id:
        place = ledger.transaction_status(request.after_transaction_id)
        if place is not None:
            return place.block
    kind = request.start_position.WhichOneof("Type")
    if kind == "specified":
        return int(request.start_position.specified.number)
    if kind in (None, "next_commit"):
        return ledger.height
    raise GatewayFailure(GatewayStatus.INVALID_ARGUMENT, f"invalid start position type: {kind}")


# --- blocks -------------------------------------------------------------------------------------


class _DeliveryEnded(Exception):
    """The delivery ends with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(common_pb2.Status.Name(status))
        self.status = status


async def delivery(
    ledger: EmbeddedLedger, board: CommitBoard, envelope: Any, *, filtered: bool = False
) -> AsyncIterator[Any]:
    """Yield a `protos.DeliverResponse` per block and then the status."""
    try:
        seek, member = _sought(ledger, envelope)
        async for number in _numbers(ledger, board, seek):
            if ledger.access.now_ms() > member.not_after_ms:
                raise _DeliveryEnded(common_pb2.FORBIDDEN)
            block = common_pb2.Block.FromString(ledger.raw_block(number))
            if filtered:
                yield events_pb2.DeliverResponse(filtered_block=filtered_block(block))
            else:
                yield events_pb2.DeliverResponse(block=block)
        status = common_pb2.SUCCESS
    except _DeliveryEnded as ended:
        status = ended.status
    yield events_pb2.DeliverResponse(status=status)


def _sought(ledger: EmbeddedLedger, envelope: Any) -> tuple[Any, Member]:
    """Return the `orderer.SeekInfo` and who sent it."""
    try:
        request = parse_payload(envelope.payload, envelope.signature)
        seek = read(ab_pb2.SeekInfo, request.data, "seek info")
    except MalformedInput as error:
        _LOG.info("a request for blocks is refused: %s", error)
        raise _DeliveryEnded(common_pb2.BAD_REQUEST) from error
    if request.channel_id != ledger.config.channel_id:
        raise _DeliveryEnded(common_pb2.NOT_FOUND)
    now = ledger.access.now_ms()
    if abs(now - request.timestamp_ms) > TIME_WINDOW_MS:
        raise _DeliveryEnded(common_pb2.BAD_REQUEST)
    try:
        member = ledger.config.member(request.creator, now)
        member.identity.verify(envelope.payload, envelope.signature)
    except (MalformedInput, NotTrusted) as error:
        _LOG.info("a request for blocks is refused: %s", error)
        raise _DeliveryEnded(common_pb2.FORBIDDEN) from error
    if not ledger.config.satisfies(READERS, [member]):
        raise _DeliveryEnded(common_pb2.FORBIDDEN)
    return seek, member


async def _numbers(ledger: EmbeddedLedger, board: CommitBoard, seek: Any) -> AsyncIterator[int]:
    """Yield the numbers of the blocks that are sought, each once it is there."""
    if not (seek.HasField("start") and seek.HasField("stop")):
        raise _DeliveryEnded(common_pb2.BAD_REQUEST)
    number = _start(ledger, seek.start)
    stop = _stop(ledger, seek, number)
    while True:
        if number >= ledger.height:
            if seek.behavior == ab_pb2.SeekInfo.FAIL_IF_NOT_READY:
                raise _DeliveryEnded(common_pb2.NOT_FOUND)
            await _grown(board, number)
        yield number
        if number == stop:
            return
        number += 1


async def _grown(board: CommitBoard, number: int) -> None:
    try:
        await board.higher_than(number)
    except GatewayFailure as failure:
        raise _DeliveryEnded(common_pb2.SERVICE_UNAVAILABLE) from failure


def _start(ledger: EmbeddedLedger, position: Any) -> int:
    match position.WhichOneof("Type"):
        case "specified" if position.specified.number <= ledger.height:
            return int(position.specified.number)
        case "oldest":
            return 0
        case "newest":
            return ledger.height - 1
        case "next_commit":
            return ledger.height
    raise _DeliveryEnded(common_pb2.NOT_FOUND)


def _stop(ledger: EmbeddedLedger, seek: Any, start: int) -> int:
    """Return the last block that is sought; as at a peer, a position of any other kind is block 0, so mostly no end."""
    match seek.stop.WhichOneof("Type"):
        case "specified":
            if seek.stop.specified.number < start:
                raise _DeliveryEnded(common_pb2.BAD_REQUEST)
            return int(seek.stop.specified.number)
        case "oldest":
            return start
        case "newest":
            return start if seek.start == seek.stop else ledger.height - 1
    return 0
