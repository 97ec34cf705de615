"""The gateway's calls over gRPC with TLS: `GatewayTransport` for peers of real networks and of the embedded ledger.

Decides channel options and how gRPC's errors become GatewayFailure. When to call again is left to
`bfl_fabric.fabric.gateway`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from fabric_protos.gateway import gateway_pb2, gateway_pb2_grpc
from fabric_protos.peer import events_pb2_grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.gateway_transport import GatewayDetail, GatewayFailure, GatewayStatus
from bfl_fabric.fabric.wire import read

MESSAGE_LIMIT_BYTES = 100 * 1024 * 1024
HEADER_LIMIT_BYTES = 1024 * 1024
_DETAILS = "grpc-status-details-bin"
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    # Refusals travel in headers, of every peer that refused: beyond this a peer breaks the call off without a word.
    ("grpc.max_metadata_size", HEADER_LIMIT_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * HEADER_LIMIT_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """What a TLS client needs, all PEM. Certificate and key only where the peer asks for them."""

    root_certificates: bytes
    certificate: bytes | None = None
    key: bytes | None = None

    def __repr__(self) -> str:
        return "TlsMaterial(…)"


class GrpcGatewayTransport:
    """One connection to an organization's own peer; make it inside a running event loop."""

    def __init__(self, address: str, tls: TlsMaterial, server_name: str = "") -> None:
        """Connect to host:port; `server_name` overrides the name that the peer's certificate must have."""
        credentials = grpc.ssl_channel_credentials(tls.root_certificates, tls.key, tls.certificate)
        override = (("grpc.ssl_target_name_override", server_name),) if server_name else ()
        self.address = address
        self._channel = grpc.aio.secure_channel(address, credentials, options=[*_OPTIONS, *override])
        self._gateway = gateway_pb2_grpc.GatewayStub(self._channel)
        self._deliver = events_pb2_grpc.DeliverStub(self._channel)

    async def evaluate(self, request: Any, deadline_seconds: float) -> Any:
        return await self._call(self._gateway.Evaluate, request, deadline_seconds)

    async def endorse(self, request: Any, deadline_seconds: float) -> Any:
        return await self._call(self._gateway.Endorse, request, deadline_seconds)

    async def submit(self, request: Any, deadline_seconds: float) -> Any:
        return await self._call(self._gateway.Submit, request, deadline_seconds)

    async def commit_status(self, request: Any, deadline_seconds: float) -> Any:
        return await self._call(self._gateway.CommitStatus, request, deadline_seconds)

    async def chaincode_events(self, request: Any) -> AsyncIterator[Any]:
        async for response in self._stream(self._gateway.ChaincodeEvents(request)):
            yield response

    async def deliver(self, envelope: Any) -> AsyncIterator[Any]:
        call = self._deliver.Deliver()
        try:
            await call.write(envelope)
            async for response in self._stream(call):
                yield response
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from error
        finally:
            call.cancel()

    async def close(self) -> None:
        await self._channel.close()

    async def _call(self, method: Any, request: Any, deadline_seconds: float) -> Any:
        try:
            return await method(request, timeout=deadline_seconds)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from error

    async def _stream(self, call: Any) -> AsyncIterator[Any]:
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from error
        finally:
            call.cancel()


def failure_of(error: grpc.aio.AioRpcError) -> GatewayFailure:
    """Return what a gRPC error says, with the details that single peers gave in the trailing metadata."""
    raw: Any = next((value for key, value in error.trailing_metadata() or () if key == _DETAILS), b"")
    status = GatewayStatus(error.code().name)
    return GatewayFailure(status, error.details() or "", tuple(error_details(bytes(raw))))


def error_details(raw: bytes) -> Iterator[GatewayDetail]:
    """Read the peers' answers out of a serialized `google.rpc.Status`; what cannot be read is left out."""
    for content in _status_details(raw):
        try:
            packed = any_pb2.Any.FromString(content)
            if packed.type_url.endswith("/gateway.ErrorDetail"):
                detail = read(gateway_pb2.ErrorDetail, packed.value, "error detail")
                yield GatewayDetail(detail.address, detail.msp_id, detail.message)
        except (DecodeError, MalformedInput):
            continue


def _status_details(raw: bytes) -> Iterator[bytes]:
    """Yield field 3 of a `google.rpc.Status`; its generated class would bring a package that wants protobuf 6."""
    position = 0
    while position < len(raw):
        tag, position = _number(raw, position)
        if tag & 7 == 0:
            _, position = _number(raw, position)
        elif tag & 7 == 2:
            size, position = _number(raw, position)
            if tag >> 3 == 3:
                yield raw[position : position + size]
            position += size
        else:
            return


def _number(raw: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while position < len(raw):
        byte = raw[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return number, position
