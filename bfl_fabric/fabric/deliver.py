"""Asking a peer or an orderer for blocks: signed seek requests, made and checked.

Decides the bytes of a seek envelope and which one a server answers. What is delivered is left to the server, what
to do with it to the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.envelopes import HeaderType, parse_payload
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.identity import Signer
from bfl_fabric.fabric.policy import Member
from bfl_fabric.fabric.wire import read_strict, write

TIME_WINDOW_MS = 15 * 60 * 1000
_FOREVER = 2**64 - 1
_ENDINGS = {
    common_pb2.BAD_REQUEST: GatewayStatus.INVALID_ARGUMENT,
    common_pb2.FORBIDDEN: GatewayStatus.PERMISSION_DENIED,
    common_pb2.NOT_FOUND: GatewayStatus.NOT_FOUND,
}


@dataclass(frozen=True, slots=True)
class Seek:
    """Which blocks: `start` None for the newest; both numbers inclusive.

    With `wait` the server waits for blocks that do not exist yet, and `stop` None is no end; without it, `stop` None
    is the newest block.
    """

    start: int | None
    stop: int | None = None
    wait: bool = True


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes a request unique and fresh: random bytes and the moment of asking."""

    nonce: bytes
    at_ms: int


def seek_envelope(channel_id: str, seek: Seek, signer: Signer, stamp: Stamp) -> Any:
    """Return the signed `common.Envelope` that asks for blocks."""
    channel_header = common_pb2.ChannelHeader(type=HeaderType.DELIVER_SEEK_INFO, channel_id=channel_id)
    channel_header.timestamp.seconds = stamp.at_ms // 1000
    channel_header.timestamp.nanos = stamp.at_ms % 1000 * 1_000_000
    header = common_pb2.Header(
        channel_header=write(channel_header),
        signature_header=write(common_pb2.SignatureHeader(creator=signer.creator, nonce=stamp.nonce)),
    )
    payload = write(common_pb2.Payload(header=header, data=write(_seek_info(seek))))
    return common_pb2.Envelope(payload=payload, signature=signer.sign(payload))


def check_seek(envelope: Any, config: ChannelConfig, now_ms: int) -> tuple[Seek, Member]:
    """Check a seek envelope as a peer does, and return what is sought and by whom.

    It must be for this channel, fresh (15 minutes either way) and signed by a member. Whether the member may read
    is left to the caller (policy `Readers`). Raises MalformedInput, NotTrusted.
    """
    request = parse_payload(envelope.payload, envelope.signature)
    if request.type != HeaderType.DELIVER_SEEK_INFO or request.channel_id != config.channel_id:
        raise MalformedInput(f"not a request for blocks of channel {config.channel_id}")
    if abs(now_ms - request.timestamp_ms) > TIME_WINDOW_MS:
        raise MalformedInput("the request for blocks is too old, or the clocks differ")
    member = config.member(request.creator, now_ms)
    member.identity.verify(envelope.payload, envelope.signature)
    return _parse_seek(request.data), member


def _seek_info(seek: Seek) -> Any:
    info = ab_pb2.SeekInfo(
        behavior=ab_pb2.SeekInfo.BLOCK_UNTIL_READY if seek.wait else ab_pb2.SeekInfo.FAIL_IF_NOT_READY
    )
    if seek.start is None:
        info.start.newest.SetInParent()
    else:
        info.start.specified.number = seek.start
    if seek.stop is None and not seek.wait:
        info.stop.newest.SetInParent()
    else:
        info.stop.specified.number = _FOREVER if seek.stop is None else seek.stop
    return info


def _parse_seek(data: bytes) -> Seek:
    info = read_strict(ab_pb2.SeekInfo, data, "seek info")
    start = _position(info.start)
    stop = _position(info.stop)
    wait = info.behavior == ab_pb2.SeekInfo.BLOCK_UNTIL_READY
    if start is not None and stop is not None and stop < start:
        raise MalformedInput(f"seek info: block {stop} is before block {start}")
    return Seek(start, None if stop == _FOREVER else stop, wait)


def _position(position: Any) -> int | None:
    """Return a block number, None for the newest block. Raises MalformedInput for other positions."""
    kind = position.WhichOneof("Type")
    if kind == "specified":
        return int(position.specified.number)
    if kind == "oldest":
        return 0
    if kind == "newest":
        return None
    raise MalformedInput("seek info: a position must be oldest, newest or a number")


def read_block(response: Any) -> tuple[int, bytes] | None:
    """Return number and canonical bytes of the block in a `protos.DeliverResponse`, None at the good end.

    Raises GatewayFailure when the peer ends the delivery for another reason.
    """
    kind = response.WhichOneof("Type")
    if kind == "block":
        return int(response.block.header.number), write(response.block)
    if kind == "status" and response.status == common_pb2.SUCCESS:
        return None
    status = _ENDINGS.get(response.status, GatewayStatus.UNAVAILABLE)
    raise GatewayFailure(status, f"the peer ended the delivery of blocks with status {response.status}")
