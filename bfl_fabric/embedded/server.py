"""The embedded ledger as a gRPC service with TLS: `gateway.Gateway` and `protos.Deliver`, as a Fabric peer has them.

Decides limits and time-outs of connections and calls, and how refusals look on the wire (gRPC status, and
`gateway.ErrorDetail`s in the trailing metadata). What the calls do is left to `service`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc
import grpc.aio
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2, gateway_pb2_grpc
from fabric_protos.peer import events_pb2_grpc
from google.protobuf import any_pb2

from bfl_fabric.embedded.ledger import EmbeddedLedger, Network
from bfl_fabric.embedded.service import LedgerService
from bfl_fabric.errors import BflError, ConfigurationError
from bfl_fabric.fabric.gateway_transport import GatewayDetail, GatewayFailure
from bfl_fabric.fabric.wire import varint, write

RECEIVE_LIMIT_BYTES = 16 * 1024 * 1024
"""Above the channel's own limit of 10 MiB for a transaction; counts decompressed bytes."""

SEND_LIMIT_BYTES = 64 * 1024 * 1024
CONCURRENT_CALLS = 2000
MESSAGE_BYTES = 800
DETAILS_BYTES = 3000
"""Statuses travel in HTTP/2 headers, percent- or base64-encoded, and clients take 8 KiB of them."""

STOP_SECONDS = 3.0
SEEK_SECONDS = 30.0
"""A stream for blocks on which nothing is asked for is closed after so long."""

_DETAILS = "grpc-status-details-bin"
_SUCCESS = common_pb2.SUCCESS
_TYPE_URL = "type.googleapis.com/gateway.ErrorDetail"
_OPTIONS = (
    ("grpc.max_receive_message_length", RECEIVE_LIMIT_BYTES),
    ("grpc.max_send_message_length", SEND_LIMIT_BYTES),
    ("grpc.server_handshake_timeout_ms", 3_000),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Certificate chain and key of the server, PEM; with `client_roots` clients must show a certificate of theirs."""

    certificate: bytes
    key: bytes
    client_roots: bytes | None = None

    def __repr__(self) -> str:
        return "ServerTls(…)"


class LedgerServer:
    """A listening server in front of a service."""

    def __init__(self, service: LedgerService, tls: ServerTls, address: str = "127.0.0.1:0") -> None:
        """Bind `address`; port 0 takes a free one. Raises ConfigurationError when it cannot be bound."""
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=CONCURRENT_CALLS)
        gateway_pb2_grpc.add_GatewayServicer_to_server(_Gateway(service), self._server)
        events_pb2_grpc.add_DeliverServicer_to_server(_Deliver(service), self._server)
        credentials = grpc.ssl_server_credentials(
            [(tls.key, tls.certificate)], tls.client_roots, tls.client_roots is not None
        )
        host, _, wanted = address.rpartition(":")
        try:
            port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise ConfigurationError(f"{address}: cannot listen there: the port is in use") from error
        if not port or (int(wanted) and port != int(wanted)):
            raise ConfigurationError(f"{address}: cannot listen there")
        self.address = f"{host}:{port}"

    async def start(self) -> None:
        """Take calls from now on."""
        await self._server.start()

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Take no more calls; those under way may still end within `seconds`."""
        await self._server.stop(seconds)


async def serve(
    directory: Path,
    network: Network,
    tls: ServerTls,
    address: str = "127.0.0.1:0",
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Open the ledger in `directory` and serve it until cancelled; `on_ready` is told the bound address.

    Raises ConfigurationError, LedgerUnavailable, MalformedInput.
    """
    ledger = await asyncio.to_thread(EmbeddedLedger, directory, network)
    service = LedgerService(ledger, network.clock)
    server = None
    try:
        server = LedgerServer(service, tls, address)
        await service.start()
        await server.start()
        _LOG.info("the ledger in %s is served at %s, height %d", directory, server.address, ledger.height)
        if on_ready is not None:
            on_ready(server.address)
        await asyncio.Event().wait()
    finally:
        service.end_streams()
        if server is not None:
            await server.stop()
        await service.stop()


async def wait_until_ready(address: str, root_certificates: bytes, seconds: float) -> None:
    """Return once a server answers at `address`. Raises ConfigurationError after `seconds`."""
    credentials = grpc.ssl_channel_credentials(root_certificates)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        try:
            await asyncio.wait_for(channel.channel_ready(), seconds)
        except TimeoutError as error:
            raise ConfigurationError(f"{address}: no ledger answers after {seconds} s") from error


class _Gateway(gateway_pb2_grpc.GatewayServicer):  # type: ignore[misc]
    def __init__(self, service: LedgerService) -> None:
        self._service = service

    async def Evaluate(self, request: Any, context: Any) -> Any:
        return await _answered(self._service.evaluate(request), context)

    async def Endorse(self, request: Any, context: Any) -> Any:
        return await _answered(self._service.endorse(request), context)

    async def Submit(self, request: Any, context: Any) -> Any:
        return await _answered(self._service.submit(request), context)

    async def CommitStatus(self, request: Any, context: Any) -> Any:
        return await _answered(self._service.commit_status(request), context)

    async def ChaincodeEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for response in self._service.chaincode_events(request):
                yield response
        except BflError as error:
            await _abort(error, context)


class _Deliver(events_pb2_grpc.DeliverServicer):  # type: ignore[misc]
    def __init__(self, service: LedgerService) -> None:
        self._service = service

    async def Deliver(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for response in self._delivered(requests, context, filtered=False):
            yield response

    async def DeliverFiltered(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for response in self._delivered(requests, context, filtered=True):
            yield response

    async def _delivered(
        self, requests: AsyncIterator[Any], context: Any, *, filtered: bool
    ) -> AsyncIterator[Any]:
        """Answer one seek envelope after the other, until one does not end well or none comes."""
        envelopes = aiter(requests)
        try:
            while True:
                envelope = await asyncio.wait_for(anext(envelopes), SEEK_SECONDS)
                last = None
                async for response in self._service.deliver(envelope, filtered=filtered):
                    last = response
                    yield response
                if last is None or last.status != _SUCCESS:
                    return
        except (StopAsyncIteration, TimeoutError):
            return
        except BflError as error:
            await _abort(error, context)


async def _answered(call: Any, context: Any) -> Any:
    try:
        return await call
    except BflError as error:
        await _abort(error, context)


async def _abort(error: BflError, context: Any) -> NoReturn:
    """End a call with the status of a failure; anything else that this package raises is INTERNAL."""
    if isinstance(error, GatewayFailure):
        code = grpc.StatusCode[error.status.value]
        message = _clipped(str(error.args[0]), MESSAGE_BYTES)
        trailing = ((_DETAILS, _status(code, message, error.details)),) if error.details else ()
        await context.abort(code, message, trailing)
    _LOG.error("a call failed: %s", error)
    await context.abort(grpc.StatusCode.INTERNAL, str(error))
    raise AssertionError("abort raises")


def _status(code: grpc.StatusCode, message: str, details: Sequence[GatewayDetail]) -> bytes:
    """Return a serialized `google.rpc.Status`, whose generated class would bring a package that wants protobuf 6."""
    content = b"\x08" + varint(code.value[0]) + _field(2, message.encode())
    for detail in details:
        packed = write(
            gateway_pb2.ErrorDetail(
                address=detail.address,
                msp_id=detail.msp_id,
                message=_clipped(detail.message, DETAILS_BYTES // len(details)),
            )
        )
        content += _field(3, write(any_pb2.Any(type_url=_TYPE_URL, value=packed)))
    return content


def _clipped(text: str, size_bytes: int) -> str:
    encoded = text.encode()
    return text if len(encoded) <= size_bytes else encoded[:size_bytes].decode(errors="ignore") + "…"


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content
