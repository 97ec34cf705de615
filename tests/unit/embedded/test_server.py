"""The server's borders: TLS, limits, hostile connections, ports, stopping."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from fabric_protos.gateway import gateway_pb2, gateway_pb2_grpc
from fabric_protos.peer import events_pb2_grpc

from bfl_fabric.clock import SystemClock
from bfl_fabric.embedded import server as server_module
from bfl_fabric.embedded.ledger import EmbeddedLedger, Network
from bfl_fabric.embedded.server import LedgerServer, ServerTls, serve, wait_until_ready
from bfl_fabric.embedded.service import LedgerService
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.fabric.deliver import Seek, Stamp, seek_envelope
from tests.conformance.federation import CHAINCODE, Federation, found
from tests.conformance.probe_contract import ProbeContract

FEDERATION = found()


def tls(client_roots: bytes | None = None) -> ServerTls:
    issued = FEDERATION.ordering.tls_authority.issue_tls("gateway")
    return ServerTls(issued.certificate_pem, issued.key_pem, client_roots)


ROOTS = FEDERATION.ordering.tls_authority.certificate_pem


def made_ledger(directory: Path, federation: Federation = FEDERATION) -> EmbeddedLedger:
    return EmbeddedLedger.create(
        directory,
        federation.genesis,
        federation.peers,
        federation.orderer,
        CHAINCODE,
        ProbeContract,
        SystemClock(),
    )


@asynccontextmanager
async def listening(directory: Path, material: ServerTls | None = None) -> AsyncIterator[str]:
    service = LedgerService(made_ledger(directory), SystemClock())
    server = LedgerServer(service, material or tls())
    await service.start()
    await server.start()
    try:
        yield server.address
    finally:
        service.end_streams()
        await server.stop(0.5)
        await service.stop()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


async def call(address: str, request: Any = None, **credentials: Any) -> grpc.StatusCode:
    """Return the status of an Evaluate; INVALID_ARGUMENT is what a healthy server says to an empty one."""
    given = grpc.ssl_channel_credentials(credentials.pop("roots", ROOTS), **credentials)
    options = [("grpc.max_send_message_length", 1 << 30)]
    async with grpc.aio.secure_channel(address, given, options=options) as channel:
        stub = gateway_pb2_grpc.GatewayStub(channel)
        try:
            await stub.Evaluate(request or gateway_pb2.EvaluateRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_a_client_that_trusts_the_authority_gets_in(tmp_path: Path) -> None:
    async def work() -> None:
        async with listening(tmp_path / "ledger") as address:
            assert await call(address) is grpc.StatusCode.INVALID_ARGUMENT

    run(work())


def test_a_client_of_another_authority_does_not_trust_the_server(tmp_path: Path) -> None:
    validity = FEDERATION.ordering.authority.validity
    other = CertificateAuthority.create("Other", "ca.other", validity.not_before, validity.not_after)

    async def work() -> None:
        async with listening(tmp_path / "ledger") as address:
            assert await call(address, roots=other.certificate_pem) is grpc.StatusCode.UNAVAILABLE

    run(work())


def test_there_is_no_way_in_without_tls(tmp_path: Path) -> None:
    async def work() -> None:
        async with listening(tmp_path / "ledger") as address, grpc.aio.insecure_channel(address) as channel:
            stub = gateway_pb2_grpc.GatewayStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Evaluate(gateway_pb2.EvaluateRequest(), timeout=3)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    run(work())


def test_where_client_certificates_are_asked_for_nobody_gets_in_without(tmp_path: Path) -> None:
    home = FEDERATION.organizations[0]
    mine = home.tls_authority.issue_tls("client")
    shown = {"private_key": mine.key_pem, "certificate_chain": mine.certificate_pem}

    async def work() -> None:
        material = tls(home.tls_authority.certificate_pem)
        async with listening(tmp_path / "ledger", material) as address:
            assert await call(address) is grpc.StatusCode.UNAVAILABLE
            assert await call(address, **shown) is grpc.StatusCode.INVALID_ARGUMENT

    run(work())


def test_a_message_above_the_limit_is_refused_and_the_server_lives_on(tmp_path: Path) -> None:
    request = gateway_pb2.EvaluateRequest(transaction_id="x" * (server_module.RECEIVE_LIMIT_BYTES + 1))

    async def work() -> None:
        async with listening(tmp_path / "ledger") as address:
            assert await call(address, request) is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await call(address) is grpc.StatusCode.INVALID_ARGUMENT

    run(work())


def test_no_limit_is_switched_off() -> None:
    options = dict(server_module._OPTIONS)
    for name in ("grpc.max_receive_message_length", "grpc.max_send_message_length"):
        assert 0 < options[name] <= 64 * 1024 * 1024
    assert options["grpc.server_handshake_timeout_ms"] > 0
    assert options["grpc.max_connection_idle_ms"] > 0


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", os.urandom(4096), b""])
def test_noise_on_the_port_does_not_disturb_others(tmp_path: Path, noise: bytes) -> None:
    async def work() -> None:
        async with listening(tmp_path / "ledger") as address:
            host, _, port = address.rpartition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(noise)
            await writer.drain()
            assert await call(address) is grpc.StatusCode.INVALID_ARGUMENT
            writer.close()

    run(work())


def test_connections_that_never_finish_their_handshake_are_closed(tmp_path: Path) -> None:
    async def work() -> None:
        async with listening(tmp_path / "ledger") as address:
            host, _, port = address.rpartition(":")
            silent = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
            assert await call(address) is grpc.StatusCode.INVALID_ARGUMENT
            begun = time.monotonic()
            await asyncio.gather(*(reader.read() for reader, _ in silent))
            assert time.monotonic() - begun < 8
            for _, writer in silent:
                writer.close()

    run(work())


def test_many_waiting_calls_do_not_keep_others_out(tmp_path: Path) -> None:
    client = FEDERATION.clients[0]
    raw = gateway_pb2.CommitStatusRequest(
        transaction_id="ab" * 32, channel_id="probe-channel", identity=client.creator
    ).SerializeToString(deterministic=True)
    signed = gateway_pb2.SignedCommitStatusRequest(request=raw, signature=client.sign(raw))

    async def work() -> None:
        async with listening(tmp_path / "ledger") as address:
            credentials = grpc.ssl_channel_credentials(ROOTS)
            async with grpc.aio.secure_channel(address, credentials) as channel:
                stub = gateway_pb2_grpc.GatewayStub(channel)
                waiting = [stub.CommitStatus(signed, timeout=20) for _ in range(100)]
                await asyncio.sleep(0.2)
                begun = time.monotonic()
                assert await call(address) is grpc.StatusCode.INVALID_ARGUMENT
                assert time.monotonic() - begun < 2
                for item in waiting:
                    item.cancel()

    run(work())


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    async def work() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            ledger = made_ledger(tmp_path / "ledger")
            service = LedgerService(ledger, SystemClock())
            with pytest.raises(ConfigurationError, match=address):
                LedgerServer(service, tls(), address)
            await service.stop()

    run(work())


# --- serve --------------------------------------------------------------------------------------


def network() -> Network:
    return Network(FEDERATION.peers, FEDERATION.orderer, ProbeContract, SystemClock())


def test_serve_says_where_it_listens_and_stops_when_cancelled(tmp_path: Path) -> None:
    made_ledger(tmp_path / "ledger").close()

    async def once() -> None:
        announced: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            serve(tmp_path / "ledger", network(), tls(), on_ready=announced.set_result)
        )
        address = await announced
        await wait_until_ready(address, ROOTS, 5)
        assert await call(address) is grpc.StatusCode.INVALID_ARGUMENT
        serving.cancel()
        begun = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert time.monotonic() - begun < 4

    run(once())
    run(once())


def test_serve_gives_the_directory_back_when_it_cannot_listen(tmp_path: Path) -> None:
    made_ledger(tmp_path / "ledger").close()

    async def work() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(ConfigurationError):
                await serve(tmp_path / "ledger", network(), tls(), address)
        EmbeddedLedger(tmp_path / "ledger", network()).close()

    run(work())


def test_waiting_for_a_ledger_that_is_not_there_ends(tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(ConfigurationError, match="no ledger answers"):
            await wait_until_ready("127.0.0.1:9", ROOTS, 0.3)

    run(work())


def test_a_stream_on_which_nothing_is_asked_for_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SEEK_SECONDS", 0.2)

    async def work() -> None:
        async with listening(tmp_path / "ledger") as address:
            credentials = grpc.ssl_channel_credentials(ROOTS)
            async with grpc.aio.secure_channel(address, credentials) as channel:
                silent = events_pb2_grpc.DeliverStub(channel).Deliver(timeout=10)
                assert [response async for response in silent] == []

    run(work())


def test_filtered_blocks_have_ids_codes_and_event_names_only(tmp_path: Path) -> None:
    client = FEDERATION.clients[0]
    stamp = Stamp(os.urandom(24), SystemClock().now_ms())
    envelope = seek_envelope("probe-channel", Seek(0, 1), client, stamp)

    async def work() -> None:
        async with listening(tmp_path / "ledger") as address:
            credentials = grpc.ssl_channel_credentials(ROOTS)
            async with grpc.aio.secure_channel(address, credentials) as channel:
                stream = events_pb2_grpc.DeliverStub(channel).DeliverFiltered(timeout=10)
                await stream.write(envelope)
                responses = [await stream.read() for _ in range(3)]
                stream.cancel()
        blocks = [item.filtered_block for item in responses[:2]]
        assert [block.number for block in blocks] == [0, 1]
        (transaction,) = blocks[1].filtered_transactions
        assert len(transaction.txid) == 64
        assert transaction.tx_validation_code == 0
        assert responses[2].WhichOneof("Type") == "status"

    run(work())
