"""Requests for blocks, made and checked."""

from __future__ import annotations

import pytest
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import events_pb2

from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.deliver import TIME_WINDOW_MS, Seek, Stamp, check_seek, read_block, seek_envelope
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.organizations import CHANNEL, FOUNDED_MS, federation

STAMP = Stamp(b"n" * 24, FOUNDED_MS)


def request(seek: Seek, channel: str = CHANNEL):  # type: ignore[no-untyped-def]
    return seek_envelope(channel, seek, federation().organizations[0].client, STAMP)


@pytest.mark.parametrize(
    "seek",
    [Seek(0), Seek(5, 9), Seek(7, 7, wait=False), Seek(None, None, wait=False), Seek(3, None, wait=False)],
)
def test_a_request_reads_back_as_it_was_made(seek: Seek) -> None:
    found, member = check_seek(request(seek), federation().config(), FOUNDED_MS + 1000)
    assert found == seek
    assert member.identity.common_name == "client"


@pytest.mark.parametrize("shift", [TIME_WINDOW_MS + 1, -TIME_WINDOW_MS - 1])
def test_a_stale_request_is_refused(shift: int) -> None:
    with pytest.raises(MalformedInput, match="too old"):
        check_seek(request(Seek(0)), federation().config(), FOUNDED_MS + shift)


def test_a_request_for_another_channel_is_refused() -> None:
    with pytest.raises(MalformedInput, match="not a request for blocks"):
        check_seek(request(Seek(0), "other"), federation().config(), FOUNDED_MS)


def test_a_request_with_a_changed_byte_is_refused() -> None:
    envelope = request(Seek(0))
    for position in range(0, len(envelope.payload), 5):
        changed = bytearray(envelope.payload)
        changed[position] ^= 1
        tampered = common_pb2.Envelope(payload=bytes(changed), signature=envelope.signature)
        with pytest.raises((MalformedInput, NotTrusted)):
            check_seek(tampered, federation().config(), FOUNDED_MS)


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(MalformedInput, match="block 3 is before block 5"):
        check_seek(request(Seek(5, 3)), federation().config(), FOUNDED_MS)


def test_a_position_that_is_no_block_is_refused() -> None:
    info = ab_pb2.SeekInfo()
    info.start.next_commit.SetInParent()
    info.stop.specified.number = 1
    client = federation().organizations[0].client
    header = common_pb2.Header(
        channel_header=write(common_pb2.ChannelHeader(type=5, channel_id=CHANNEL)),
        signature_header=write(common_pb2.SignatureHeader(creator=client.creator, nonce=b"n")),
    )
    payload = write(common_pb2.Payload(header=header, data=write(info)))
    envelope = common_pb2.Envelope(payload=payload, signature=client.sign(payload))
    with pytest.raises((MalformedInput, NotTrusted)):
        check_seek(envelope, federation().config(), FOUNDED_MS)


def test_a_delivery_is_blocks_and_then_its_end() -> None:
    block = federation().genesis()
    assert read_block(events_pb2.DeliverResponse(block=block)) == (0, write(block))
    assert read_block(events_pb2.DeliverResponse(status=common_pb2.SUCCESS)) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (common_pb2.FORBIDDEN, GatewayStatus.PERMISSION_DENIED),
        (common_pb2.NOT_FOUND, GatewayStatus.NOT_FOUND),
        (common_pb2.BAD_REQUEST, GatewayStatus.INVALID_ARGUMENT),
        (common_pb2.SERVICE_UNAVAILABLE, GatewayStatus.UNAVAILABLE),
    ],
)
def test_another_end_is_a_failure(status: int, expected: GatewayStatus) -> None:
    with pytest.raises(GatewayFailure) as failed:
        read_block(events_pb2.DeliverResponse(status=status))
    assert failed.value.status is expected
