"""gRPC's errors as the client sees them."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from fabric_protos.gateway import gateway_pb2
from google.protobuf import any_pb2
from grpc.aio import AioRpcError, Metadata

from bfl_fabric.fabric.gateway_grpc import GrpcGatewayTransport, TlsMaterial, error_details, failure_of
from bfl_fabric.fabric.gateway_transport import Deadlines, GatewayDetail, GatewayFailure, GatewayStatus
from tests.unit.fabric.organizations import federation


def packed(*details: gateway_pb2.ErrorDetail, url: str = "type.googleapis.com/gateway.ErrorDetail") -> bytes:
    """Return a serialized google.rpc.Status: code, message, details."""
    raw = b"\x08\x0a" + b"\x12\x06failed"
    for detail in details:
        content = any_pb2.Any(type_url=url, value=detail.SerializeToString()).SerializeToString()
        raw += b"\x1a" + bytes([len(content)]) + content
    return raw


DETAIL = gateway_pb2.ErrorDetail(address="127.0.0.1:7051", msp_id="AlphaMSP", message="BFL-301: no")


def test_the_peers_answers_are_read_from_the_trailing_metadata() -> None:
    expected = GatewayDetail("127.0.0.1:7051", "AlphaMSP", "BFL-301: no")
    assert list(error_details(packed(DETAIL, DETAIL))) == [expected, expected]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xff\xff",
        b"\x1a\x05ab",
        b"\x1a\x02\xff\xff",
        b"\x1d",
        packed(DETAIL, url="type.googleapis.com/other.Detail"),
        packed()[:3],
    ],
)
def test_details_that_cannot_be_read_are_left_out(raw: bytes) -> None:
    assert list(error_details(raw)) == []


def test_a_grpc_error_keeps_its_status_and_message() -> None:
    trailing = Metadata(("grpc-status-details-bin", packed(DETAIL)))
    error = AioRpcError(grpc.StatusCode.ABORTED, Metadata(), trailing, "failed to endorse")
    failure = failure_of(error)
    assert failure.status is GatewayStatus.ABORTED
    assert str(failure) == "ABORTED: failed to endorse; AlphaMSP at 127.0.0.1:7051: BFL-301: no"


def test_every_status_of_grpc_has_its_name_here() -> None:
    names = {code.name for code in grpc.StatusCode} - {"OK"}
    assert names == {status.value for status in GatewayStatus}


def test_a_peer_that_is_not_there_is_unavailable() -> None:
    async def scenario() -> None:
        roots = federation().organizations[0].tls_authority.certificate_pem
        transport = GrpcGatewayTransport("127.0.0.1:1", TlsMaterial(roots))
        with pytest.raises(GatewayFailure) as failed:
            await transport.evaluate(gateway_pb2.EvaluateRequest(), 5)
        assert failed.value.status in (GatewayStatus.UNAVAILABLE, GatewayStatus.DEADLINE_EXCEEDED)
        for stream in (
            transport.chaincode_events(gateway_pb2.SignedChaincodeEventsRequest()),
            transport.deliver(federation().genesis().__class__()),
        ):
            with pytest.raises(GatewayFailure):
                async for _ in stream:
                    pass
        await transport.close()

    asyncio.run(scenario())


def test_tls_material_does_not_print() -> None:
    assert "secret" not in repr(TlsMaterial(b"root", b"certificate", b"secret"))
    assert Deadlines().commit > Deadlines().submit
