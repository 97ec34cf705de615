"""A node that serves transfers in a test, an admission that knows what was committed, and hostile raw calls."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

from bfl_fabric.domain.ports import TransferCaller, UpdateName
from bfl_fabric.errors import MalformedInput, NotFound
from bfl_fabric.storage.blobs import FileBlobStore
from bfl_fabric.transport.client import TransferClient
from bfl_fabric.transport.credentials import NodeCredentials
from bfl_fabric.transport.first_status import FirstStatus
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2_grpc
from bfl_fabric.transport.limits import ClientLimits, ServerLimits
from bfl_fabric.transport.server import TransferServer
from tests.unit.transport.throwaway_tls import Consortium

MIB = 2**20
QUICK_SERVER = ServerLimits(handshake_seconds=1, idle_seconds=1, base_seconds=5, accept_seconds=5)
QUICK_CLIENT = ClientLimits(
    first_backoff_seconds=0.05, longest_backoff_seconds=0.5, base_seconds=10, idle_seconds=5
)

T = TypeVar("T")


def noise(size_bytes: int, seed: str = "update") -> bytes:
    return hashlib.shake_256(seed.encode()).digest(size_bytes)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class KnownCommitments:
    """An Admission that knows what the ledger would say."""

    sizes: dict[tuple[str, UpdateName, str], int] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)
    readers: set[str] = field(default_factory=lambda: {"AlphaMSP", "BetaMSP", "GammaMSP"})
    on_accept: Callable[[Path], Awaitable[None]] | None = None
    on_expect: Callable[[], Awaitable[None]] | None = None

    def commit(
        self, msp_id: str, participant_id: str, data: bytes, digest: str = ""
    ) -> tuple[UpdateName, str]:
        name, digest = UpdateName("task-1", 3, participant_id), digest or sha256(data)
        self.sizes[msp_id, name, digest] = len(data)
        return name, digest

    async def expect(self, caller: TransferCaller, name: UpdateName, digest: str) -> int:
        if self.on_expect is not None:
            await self.on_expect()
        if (caller.msp_id, name, digest) not in self.sizes:
            raise NotFound(f"{caller.common_name} of {caller.msp_id} has committed no such update")
        return self.sizes[caller.msp_id, name, digest]

    async def accept(self, name: UpdateName, digest: str, path: Path) -> None:
        if sha256(await asyncio.to_thread(path.read_bytes)) != digest:
            raise MalformedInput("the digest is another one")
        if self.on_accept is not None:
            await self.on_accept(path)
        self.accepted.append(digest)

    async def may_read(self, caller: TransferCaller, digest: str) -> bool:
        return caller.msp_id in self.readers


class Site:
    """A directory with a consortium's certificates and one node of AlphaMSP, restarted at will."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.consortium = Consortium(directory)
        self.admission = KnownCommitments()
        self.node = self.consortium.credentials("AlphaMSP", "aggregator.alpha")
        self.store = FileBlobStore(directory / "node")
        self.limits = QUICK_SERVER
        self.address = ""

    @asynccontextmanager
    async def serving(self, address: str = "127.0.0.1:0", **changes: Any) -> AsyncIterator[TransferServer]:
        limits = dataclasses.replace(self.limits, **changes)
        server = TransferServer(self.store, self.admission, self.node, limits)
        self.address = await server.start(address)
        try:
            yield server
        finally:
            await server.stop()

    def restart_store(self) -> None:
        """Forget everything that is not on the disk."""
        self.store = FileBlobStore(self.directory / "node")

    def client(self, msp_id: str, common_name: str, limits: ClientLimits = QUICK_CLIENT) -> TransferClient:
        credentials = self.consortium.credentials(msp_id, common_name)
        store = FileBlobStore(self.directory / f"of-{common_name}")
        return TransferClient(credentials, store.incoming, limits=limits)

    def store_of(self, common_name: str) -> FileBlobStore:
        return FileBlobStore(self.directory / f"of-{common_name}")

    def file(self, data: bytes) -> Path:
        path = self.directory / f"file-{sha256(data)[:16]}"
        path.write_bytes(data)
        return path

    @asynccontextmanager
    async def raw(
        self, credentials: NodeCredentials, options: Iterable[tuple[str, int]] = (), address: str = ""
    ) -> AsyncIterator[Any]:
        """A channel without any of our client's manners."""
        generous = [
            ("grpc.max_send_message_length", 64 * MIB),
            ("grpc.use_local_subchannel_pool", 1),
            *options,
        ]
        async with grpc.aio.secure_channel(
            address or self.address, credentials.channel_credentials(), options=generous
        ) as channel:
            yield channel


def header_of(name: UpdateName, digest: str, size_bytes: int, offset: int = 0) -> pb.UploadRequest:
    message = pb.UpdateName(task_id=name.task_id, round=name.round, participant_id=name.participant_id)
    return pb.UploadRequest(
        header=pb.UploadHeader(
            name=message, digest=bytes.fromhex(digest), size_bytes=size_bytes, offset=offset
        )
    )


def chunk_of(offset: int, data: bytes) -> pb.UploadRequest:
    return pb.UploadRequest(chunk=pb.Chunk(offset=offset, data=data))


def chunks_of(data: bytes, start: int = 0, step: int = MIB) -> list[pb.UploadRequest]:
    return [chunk_of(offset, data[offset : offset + step]) for offset in range(start, len(data), step)]


def update_stub(channel: Any) -> Any:
    generated: Any = transfer_pb2_grpc
    return generated.UpdateTransferStub(channel)


def blob_stub(channel: Any) -> Any:
    generated: Any = transfer_pb2_grpc
    return generated.BlobTransferStub(channel)


async def send(
    channel: Any, messages: Iterable[pb.UploadRequest], *, pause_seconds: float = 0
) -> pb.UploadReceipt:
    """Upload exactly these messages, sane or not, with a pause after each."""

    async def all_messages() -> AsyncIterator[pb.UploadRequest]:
        for message in messages:
            yield message
            await asyncio.sleep(pause_seconds)

    call = update_stub(channel).Upload(all_messages(), timeout=20)
    status = FirstStatus(call)
    try:
        receipt: pb.UploadReceipt = await call
    except grpc.aio.AioRpcError as failure:
        raise status.of(failure) from failure
    return receipt


async def refusal(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """Return how the server refused a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def eventually(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Return when the condition holds; fail when it does not within `seconds`."""
    for _ in range(round(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"this did not come about within {seconds} s")


def run(test: Awaitable[T]) -> T:
    """Run an asynchronous test body in a fresh event loop."""

    async def body() -> T:
        return await test

    return asyncio.run(body())
