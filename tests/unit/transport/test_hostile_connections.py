"""What strangers and members may throw at a server: it stays up, small, and quick for the honest.

The list is §5.1 of the threat model. Every attack runs against a server in a process of its own; while it lasts,
an honest call is answered within two seconds, and afterwards descriptors and memory are where they were.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.transport.credentials import NodeCredentials
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.limits import MESSAGE_BYTES
from bfl_fabric.transport.refusals import reason_of
from tests.unit.transport.node_process import NodeProcess
from tests.unit.transport.throwaway_tls import Authority, key_pem, new_key, pem
from tests.unit.transport.transfer_site import (
    MIB,
    chunk_of,
    eventually,
    header_of,
    noise,
    refusal,
    run,
    send,
    sha256,
    update_stub,
)

DATA = noise(2 * MIB, "hostile")
DIGEST = sha256(DATA)
CONCURRENT_CALLS = 24
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    limits = {
        "concurrent_calls": CONCURRENT_CALLS,
        "calls_per_organization": 10,
        "calls_per_identity": 4,
        "calls_per_connection": 64,
        "handshake_seconds": 1.5,
        "idle_seconds": 3,
        "connection_idle_seconds": 2,
    }
    with NodeProcess(tmp_path_factory.mktemp("hostile"), **limits) as process:
        process.commit(DATA)
        run(honest_call(process))
        yield process


@asynccontextmanager
async def channel_of(node: NodeProcess, credentials: NodeCredentials, **options: int) -> AsyncIterator[Any]:
    generous = [
        ("grpc.max_send_message_length", 64 * MIB),
        ("grpc.max_metadata_size", 64 * MIB),
        ("grpc.use_local_subchannel_pool", 1),
        *options.items(),
    ]
    async with grpc.aio.secure_channel(
        node.address, credentials.channel_credentials(), options=generous
    ) as channel:
        yield channel


async def ask_status(channel: Any, participant_id: str, **extras: Any) -> pb.UploadStatus:
    request = pb.UploadStatusRequest(
        name=pb.UpdateName(task_id="task-1", round=3, participant_id=participant_id),
        digest=bytes.fromhex(DIGEST),
    )
    answer: pb.UploadStatus = await update_stub(channel).GetUploadStatus(request, timeout=10, **extras)
    return answer


async def honest_call(node: NodeProcess, msp_id: str = "GammaMSP") -> float:
    """Connect and ask, as an honest participant would; return the seconds that it took."""
    credentials = node.credentials(msp_id, "honest")
    began = time.monotonic()
    async with channel_of(node, credentials) as channel:
        await ask_status(channel, "honest")
    return time.monotonic() - began


@asynccontextmanager
async def unharmed(node: NodeProcess, growth_bytes: int = 3 * MESSAGE_BYTES) -> AsyncIterator[None]:
    """Check that an attack leaves memory bounded, descriptors as before, and the honest served."""
    descriptors, resident = node.descriptors(), node.forget_peak()
    yield
    assert await honest_call(node) < 2
    assert node.peak_bytes() - resident < growth_bytes
    await eventually(lambda: node.descriptors() <= descriptors + 2, seconds=10)


def test_an_oversized_message_is_refused(node: NodeProcess) -> None:
    async def body() -> None:
        attacker = node.credentials("BetaMSP", "attacker")
        async with unharmed(node), channel_of(node, attacker) as channel:
            for size_bytes in (MESSAGE_BYTES + 1, 5 * MIB):
                refused = await refusal(send(channel, [chunk_of(0, bytes(size_bytes))]))
                assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    run(body())


def test_a_gzip_bomb_is_refused_before_it_is_opened(node: NodeProcess) -> None:
    async def body() -> None:
        attacker = node.credentials("BetaMSP", "attacker")
        async with unharmed(node), channel_of(node, attacker) as channel:
            bomb = pb.UploadStatusRequest(digest=bytes(60 * MIB))
            call = update_stub(channel).GetUploadStatus(bomb, timeout=20, compression=grpc.Compression.Gzip)
            assert (await refusal(call)).code() is grpc.StatusCode.UNIMPLEMENTED

    run(body())


def test_metadata_bombs_are_refused(node: NodeProcess) -> None:
    async def body() -> None:
        attacker = node.credentials("BetaMSP", "attacker")
        async with unharmed(node), channel_of(node, attacker) as channel:
            one = [("bomb", "x" * 100_000)]
            many = [(f"bomb-{number}", "x" * 100) for number in range(1000)]
            for metadata in (one, many):
                refused = await refusal(ask_status(channel, "attacker", metadata=metadata))
                assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    run(body())


async def hold_streams(
    stack: AsyncExitStack, node: NodeProcess, identities: list[str], each: int
) -> list[Any]:
    """Open uploads that send their header and then nothing, over connections of their own."""
    streams: list[Any] = []
    for identity in identities:
        channel = await stack.enter_async_context(channel_of(node, node.credentials("BetaMSP", identity)))
        header = header_of(UpdateName("task-1", 3, identity), DIGEST, len(DATA))
        streams += [asyncio.create_task(send(channel, [header], pause_seconds=15)) for _ in range(each)]
    await asyncio.sleep(0.3)
    return streams


def test_slow_streams_of_one_identity_keep_nobody_else_out(node: NodeProcess) -> None:
    async def body() -> None:
        async with unharmed(node, 24 * MIB), AsyncExitStack() as stack:
            streams = await hold_streams(stack, node, ["attacker"], CONCURRENT_CALLS + 2)
            assert await honest_call(node, "BetaMSP") < 2
            assert await honest_call(node, "GammaMSP") < 2
            reasons = [reason_of(await refusal(stream)) for stream in streams]
            assert reasons.count(pb.REFUSAL_REASON_BUSY) >= CONCURRENT_CALLS + 2 - 4
            assert pb.REFUSAL_REASON_TOO_SLOW in reasons

    run(body())


def test_slow_streams_of_a_whole_organization_keep_the_others_in(node: NodeProcess) -> None:
    async def body() -> None:
        async with unharmed(node, 24 * MIB), AsyncExitStack() as stack:
            identities = [f"attacker-{number}" for number in range(13)]
            streams = await hold_streams(stack, node, identities, 2)
            assert len(streams) == CONCURRENT_CALLS + 2
            assert await honest_call(node, "GammaMSP") < 2
            assert await honest_call(node, "AlphaMSP") < 2
            refused = [await refusal(stream) for stream in streams]
            assert any("BetaMSP has 10 calls" in (error.details() or "") for error in refused)

    run(body())


def test_streams_opened_and_dropped_a_thousand_times_leave_nothing(node: NodeProcess) -> None:
    async def body() -> None:
        attacker = node.credentials("BetaMSP", "attacker")
        async with unharmed(node, 24 * MIB), channel_of(node, attacker) as channel:
            for _ in range(1000):
                update_stub(channel).Upload(timeout=30).cancel()
            assert await honest_call(node) < 2

    run(body())


def test_half_open_connections_end_with_the_time_for_handshakes(node: NodeProcess) -> None:
    async def body() -> None:
        async with unharmed(node, 24 * MIB):
            base = node.descriptors()
            connections = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(300)]
            await eventually(lambda: node.descriptors() > base + 250)
            assert await honest_call(node) < 2
            await eventually(lambda: node.descriptors() <= base + 2, seconds=10)
            for connection in connections:
                connection.close()

    run(body())


def test_idle_connections_are_closed(node: NodeProcess) -> None:
    async def body() -> None:
        async with AsyncExitStack() as stack:
            base = node.descriptors()
            for number in range(10):
                identity = node.credentials("BetaMSP", f"idler-{number}")
                channel = await stack.enter_async_context(channel_of(node, identity))
                await ask_status(channel, f"idler-{number}")
            assert node.descriptors() >= base + 10
            await eventually(lambda: node.descriptors() <= base, seconds=10)

    run(body())


def spoken(seed: int) -> list[bytes]:
    """Return things that are not gRPC over TLS."""
    generator = random.Random(seed)
    return [
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        PREFACE + bytes.fromhex("000000040000000000"),
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"",
        bytes(100_000),
        *(generator.randbytes(generator.randrange(1, 5000)) for _ in range(40)),
    ]


def throw(node: NodeProcess, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", node.port), timeout=5) as connection:
        try:
            connection.sendall(data)
            connection.settimeout(0.02)
            while connection.recv(4096):
                pass
        except OSError:
            pass


def test_garbage_instead_of_a_handshake_harms_nothing(node: NodeProcess) -> None:
    async def body() -> None:
        async with unharmed(node, 24 * MIB):
            for data in spoken(1):
                await asyncio.to_thread(throw, node, data)

    run(body())


def member_context(node: NodeProcess) -> ssl.SSLContext:
    certificate, key = node.consortium.files(node.consortium.authorities["BetaMSP"], "attacker")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata="".join(node.trust_texts.values()))
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    return context


def frame(kind: int, flags: int, stream: int, payload: bytes, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def broken_talks(seed: int) -> list[bytes]:
    """Return what a member may say after a proper handshake."""
    generator = random.Random(seed)
    settings = frame(4, 0, 0, b"")
    return [
        b"GET / HTTP/1.1\r\n\r\n",
        PREFACE + frame(0, 0, 0, bytes(100)),
        PREFACE + settings + frame(1, 4, 1, b"\xff" * 200),
        PREFACE + settings + frame(0, 0, 7, bytes(16_384)),
        PREFACE + settings + frame(9, 4, 1, bytes(50)),
        PREFACE + settings + frame(8, 0, 0, bytes(4)),
        PREFACE + settings + frame(1, 0, 1, b"", length=2**24 - 1),
        PREFACE + settings * 20_000,
        PREFACE + settings + frame(6, 0, 0, bytes(8)) * 20_000,
        PREFACE + settings + b"".join(frame(3, 0, stream, bytes(4)) for stream in range(1, 20_000, 2)),
        *(PREFACE + settings + generator.randbytes(generator.randrange(1, 3000)) for _ in range(20)),
    ]


def talk(node: NodeProcess, context: ssl.SSLContext, data: bytes) -> None:
    plain = socket.create_connection(("127.0.0.1", node.port), timeout=5)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        try:
            connection.sendall(data)
            connection.settimeout(0.05)
            while connection.recv(65_536):
                pass
        except OSError:
            pass


def test_broken_frames_of_a_member_harm_nothing(node: NodeProcess) -> None:
    async def body() -> None:
        context = member_context(node)
        async with unharmed(node, 32 * MIB):
            for data in broken_talks(2):
                await asyncio.to_thread(talk, node, context, data)

    run(body())


def test_random_messages_to_every_method_are_refused_or_answered(node: NodeProcess) -> None:
    async def body() -> None:
        generator = random.Random(3)
        attacker = node.credentials("BetaMSP", "attacker")
        async with unharmed(node, 24 * MIB), channel_of(node, attacker) as channel:
            for number in range(150):
                method = ("UpdateTransfer/GetUploadStatus", "UpdateTransfer/Upload", "BlobTransfer/Download")[
                    number % 3
                ]
                call = channel.stream_stream(f"/bfl.v1.{method}")(timeout=10)
                await call.write(generator.randbytes(generator.randrange(0, 400)))
                await call.done_writing()
                assert await call.code() in (
                    grpc.StatusCode.INTERNAL,
                    grpc.StatusCode.INVALID_ARGUMENT,
                    grpc.StatusCode.PERMISSION_DENIED,
                    grpc.StatusCode.NOT_FOUND,
                    grpc.StatusCode.UNKNOWN,
                )

    run(body())


def strangers(node: NodeProcess) -> dict[str, Any]:
    """Return channel credentials that must never get in."""
    consortium, roots = node.consortium, "".join(node.trust_texts.values()).encode()

    def with_pair(certificate: Path, key: Path) -> Any:
        return grpc.ssl_channel_credentials(roots, key.read_bytes(), certificate.read_bytes())

    beta = consortium.authorities["BetaMSP"]
    impostor = Authority("BetaMSP", subject=beta.subject)
    sub_key, sub_certificate = beta.issue("clinic-1")
    forged = Authority("BetaMSP", subject="clinic-1", key=sub_key)
    forged_key, forged_certificate = forged.issue("clinic-2")
    chain = pem(forged_certificate) + pem(sub_certificate)
    own_key = new_key()
    return {
        "unknown authority": with_pair(*consortium.files(Authority("ZetaMSP"), "clinic-1")),
        "an authority that copies the name": with_pair(*consortium.files(impostor, "clinic-1")),
        "expired": with_pair(*consortium.files(beta, "clinic-1", begins=-3, ends=-1)),
        "not yet valid": with_pair(*consortium.files(beta, "clinic-1", begins=1, ends=3)),
        "issued by a member that is no authority": grpc.ssl_channel_credentials(
            roots, key_pem(forged_key), chain
        ),
        "signed by nobody": grpc.ssl_channel_credentials(roots, key_pem(own_key), pem(impostor.certificate)),
        "no certificate": grpc.ssl_channel_credentials(roots),
    }


def test_nobody_without_a_valid_certificate_of_a_member_gets_in(node: NodeProcess) -> None:
    async def body() -> None:
        async with unharmed(node, 24 * MIB):
            for case, credentials in strangers(node).items():
                async with grpc.aio.secure_channel(node.address, credentials) as channel:
                    refused = await refusal(ask_status(channel, "clinic-1"))
                    assert refused.code() is grpc.StatusCode.UNAVAILABLE, case
            async with grpc.aio.insecure_channel(node.address) as channel:
                refused = await refusal(ask_status(channel, "clinic-1"))
                assert refused.code() is grpc.StatusCode.UNAVAILABLE

    run(body())


def test_a_client_does_not_talk_to_a_server_of_strangers(node: NodeProcess) -> None:
    async def body() -> None:
        stranger = Authority("ZetaMSP")
        certificate, key = node.consortium.files(node.consortium.authorities["BetaMSP"], "clinic-1")
        credentials = grpc.ssl_channel_credentials(
            pem(stranger.certificate), key.read_bytes(), certificate.read_bytes()
        )
        async with grpc.aio.secure_channel(node.address, credentials) as channel:
            refused = await refusal(ask_status(channel, "clinic-1"))
            assert refused.code() is grpc.StatusCode.UNAVAILABLE

    run(body())
