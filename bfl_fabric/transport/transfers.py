"""Uploads and downloads as the client's side does them: a single try each.

Decides what is sent and what is believed: the other side's receipt and every chunk are checked. A try that may
succeed next time ends with BrokenOff. Leaves how often to try to `retries`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from bfl_fabric.domain.ports import BlobStore, PartialBlob
from bfl_fabric.errors import MalformedInput, TransferFailed
from bfl_fabric.transport import wire
from bfl_fabric.transport.channels import Channels
from bfl_fabric.transport.credentials import NodeCredentials
from bfl_fabric.transport.file_threads import FileThreads
from bfl_fabric.transport.first_status import FirstStatus
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2_grpc
from bfl_fabric.transport.limits import CHUNK_BYTES, ClientLimits
from bfl_fabric.transport.refusals import BrokenOff, Refused, error_of, reason_of


class Link:
    """What all transfers of a client share: connections, threads, limits and counters."""

    def __init__(self, credentials: NodeCredentials, limits: ClientLimits) -> None:
        self.channels = Channels(credentials, limits)
        self.limits = limits
        self.threads = FileThreads()
        self.uploaded_bytes = 0
        self.downloaded_bytes = 0

    @asynccontextmanager
    async def calling(self, address: str) -> AsyncIterator[Any]:
        """Give the block a channel; failures of its calls become errors or BrokenOff."""
        async with self.channels.to(address) as channel:
            try:
                yield channel
            except grpc.aio.AioRpcError as failure:
                raise error_of(failure, address) from failure
            except (asyncio.InvalidStateError, grpc.aio.UsageError) as failure:
                raise BrokenOff(f"{address}: the connection was closed") from failure
            except asyncio.CancelledError as failure:
                # Closing a channel makes gRPC raise this in tasks that nobody has cancelled.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                raise BrokenOff(f"{address}: the connection was closed") from failure

    async def next_of(self, call: Any, address: str) -> Any:
        """Return the next message of a stream, None at its end. Raises BrokenOff when it does not come."""
        try:
            async with asyncio.timeout(self.limits.idle_seconds):
                message = await call.read()
        except TimeoutError as error:
            raise BrokenOff(f"{address} sent nothing for {self.limits.idle_seconds:g} s") from error
        return None if message is grpc.aio.EOF else message


class Upload:
    """An upload of the file at `path` to one node; `header` says everything but the offset."""

    def __init__(self, link: Link, address: str, header: pb.UploadHeader, path: Path) -> None:
        self._link = link
        self._address = address
        self._header = header
        self._path = path
        self._asks_first = header.size_bytes > CHUNK_BYTES
        self.arrived_bytes = 0

    async def attempt(self) -> None:
        """Send what the node does not have yet, and return when it has said that it keeps the whole.

        What fits into one chunk is sent whole without asking first what is there; the node refuses it where part of it
        is.
        """
        async with self._link.calling(self._address) as channel:
            generated: Any = transfer_pb2_grpc
            stub = generated.UpdateTransferStub(channel)
            if not self._asks_first:
                self._asks_first = True
                try:
                    await self._send(stub, 0)
                except grpc.aio.AioRpcError as refusal:
                    if reason_of(refusal) != pb.REFUSAL_REASON_WRONG_OFFSET:
                        raise
                else:
                    return
            request = pb.UploadStatusRequest(name=self._header.name, digest=self._header.digest)
            status: pb.UploadStatus = await stub.GetUploadStatus(
                request, timeout=self._link.limits.idle_seconds
            )
            if status.complete:
                return
            if status.received_bytes > self._header.size_bytes:
                raise MalformedInput(
                    f"{self._address} claims to have {status.received_bytes} bytes of the update"
                )
            self.arrived_bytes = status.received_bytes
            await self._send(stub, status.received_bytes)

    async def _send(self, stub: Any, offset: int) -> None:
        rest_bytes = self._header.size_bytes - offset
        seconds = self._link.limits.stream_seconds(rest_bytes) + self._link.limits.accept_seconds
        call = stub.Upload(self._messages(offset), timeout=seconds)
        status = FirstStatus(call)
        try:
            receipt: pb.UploadReceipt = await call
        except grpc.aio.AioRpcError as replaced:
            failure = status.of(replaced)
            if offset > 0 and reason_of(failure) == pb.REFUSAL_REASON_WRONG_DIGEST:
                raise BrokenOff(f"{self._address} had other bytes before: beginning anew") from failure
            raise failure from replaced
        claimed = (receipt.name, receipt.digest, receipt.size_bytes)
        if claimed != (self._header.name, self._header.digest, self._header.size_bytes):
            raise MalformedInput(f"{self._address} gave a receipt for another update")

    async def _messages(self, offset: int) -> AsyncIterator[pb.UploadRequest]:
        header = pb.UploadHeader()
        header.CopyFrom(self._header)
        header.offset = offset
        yield pb.UploadRequest(header=header)
        with self._path.open("rb", buffering=0) as file:
            file.seek(offset)
            while data := await self._link.threads.run(partial(file.read, CHUNK_BYTES)):
                yield pb.UploadRequest(chunk=pb.Chunk(offset=offset, data=data))
                offset += len(data)
                self._link.uploaded_bytes += len(data)


class Download:
    """A download of one blob from one node, through the partial file that `begin` opens, into a store."""

    def __init__(self, link: Link, address: str, digest: str, begin: Callable[[], PartialBlob]) -> None:
        self._link = link
        self._address = address
        self._digest = digest
        self._begin = begin
        self.arrived_bytes = 0

    async def attempt(self, size_bytes: int, into: BlobStore) -> None:
        """Fetch what is not here yet, and return when the whole is in the store."""
        try:
            incoming = await self._link.threads.run(self._begin)
        except TransferFailed as busy:
            raise BrokenOff(str(busy)) from busy
        try:
            resumed = incoming.received_bytes > 0
            if incoming.received_bytes < size_bytes:
                await self._fetch(incoming, size_bytes)
            path = await self._completed(incoming, resumed)
            await self._link.threads.run(partial(into.adopt, path))
        finally:
            self.arrived_bytes = incoming.received_bytes
            await self._link.threads.run(incoming.close)

    async def _fetch(self, incoming: PartialBlob, size_bytes: int) -> None:
        async with self._link.calling(self._address) as channel:
            generated: Any = transfer_pb2_grpc
            offset = incoming.received_bytes
            call = generated.BlobTransferStub(channel).Download(
                pb.DownloadRequest(digest=bytes.fromhex(self._digest), offset=offset),
                timeout=self._link.limits.stream_seconds(size_bytes - offset),
            )
            try:
                while (chunk := await self._link.next_of(call, self._address)) is not None:
                    self._verify(chunk, incoming.received_bytes, size_bytes)
                    await self._link.threads.run(partial(incoming.append, chunk.data))
                    self._link.downloaded_bytes += len(chunk.data)
            finally:
                call.cancel()

    def _verify(self, chunk: pb.DownloadChunk, expected: int, size_bytes: int) -> None:
        try:
            wire.verify_chunk(chunk.offset, chunk.data, expected, size_bytes)
        except Refused as refused:
            raise MalformedInput(f"{self._address}: {refused}") from refused

    async def _completed(self, incoming: PartialBlob, resumed: bool) -> Path:
        try:
            return await self._link.threads.run(incoming.complete)
        except TransferFailed as short:
            raise BrokenOff(f"{self._address}: {short}") from short
        except MalformedInput as wrong:
            if resumed:
                raise BrokenOff(f"{self._address}: {wrong}; beginning anew") from wrong
            raise MalformedInput(f"{self._address}: {wrong}") from wrong


class SmallDownloads:
    """Several blobs that fit into one message each, from one node in one call; `sizes` says what each must have."""

    def __init__(self, link: Link, address: str, sizes: Mapping[str, int]) -> None:
        self._link = link
        self._address = address
        self._sizes = sizes

    async def attempt(self, into: BlobStore) -> None:
        """Return when all are in the store; each is put there as it comes."""
        async with self._link.calling(self._address) as channel:
            generated: Any = transfer_pb2_grpc
            call = generated.BlobTransferStub(channel).DownloadTogether(
                pb.DownloadTogetherRequest(digests=[bytes.fromhex(digest) for digest in self._sizes]),
                timeout=self._link.limits.stream_seconds(sum(self._sizes.values())),
            )
            try:
                for digest, size_bytes in self._sizes.items():
                    blob: pb.WholeBlob | None = await self._link.next_of(call, self._address)
                    if blob is None:
                        raise MalformedInput(f"{self._address} gave fewer blobs than it was asked for")
                    await self._link.threads.run(partial(self._keep, blob.data, digest, size_bytes, into))
                    self._link.downloaded_bytes += size_bytes
                if await self._link.next_of(call, self._address) is not None:
                    raise MalformedInput(f"{self._address} gave more blobs than it was asked for")
            finally:
                call.cancel()

    def _keep(self, data: bytes, digest: str, size_bytes: int, into: BlobStore) -> None:
        if len(data) != size_bytes or hashlib.sha256(data).hexdigest() != digest:
            raise MalformedInput(
                f"{self._address} gave other bytes than the blob {digest} of {size_bytes} bytes"
            )
        into.put(data)
