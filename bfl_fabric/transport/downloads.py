"""Gives blobs out: the server's side of BlobTransfer.

Decides chunking and how long a slow reader is waited for. Leaves to Admission who may read what, and to the
reader the check of the digest.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any, BinaryIO

from bfl_fabric.domain.ports import Admission, BlobStore, TransferCaller
from bfl_fabric.errors import MalformedInput
from bfl_fabric.transport import wire
from bfl_fabric.transport.callers import Callers
from bfl_fabric.transport.file_threads import FileThreads
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.limits import CHUNK_BYTES, ServerLimits
from bfl_fabric.transport.refusals import Refused
from bfl_fabric.transport.uploads import within


class BlobTransferService:
    """The methods of BlobTransfer, called by gRPC."""

    def __init__(
        self,
        store: BlobStore,
        admission: Admission,
        callers: Callers,
        limits: ServerLimits,
        threads: FileThreads,
    ) -> None:
        self._store = store
        self._admission = admission
        self._callers = callers
        self._limits = limits
        self._threads = threads

    async def Download(self, request: pb.DownloadRequest, context: Any) -> None:
        """Send a blob from an offset on, in chunks."""
        async with self._callers.admitted(context) as caller:
            digest = wire.digest_of(request.digest)
            await self._require_permission(caller, digest)
            path = await self._threads.run(partial(self._store.path, digest))
            size_bytes = path.stat().st_size
            if request.offset > size_bytes:
                raise Refused(
                    pb.REFUSAL_REASON_WRONG_OFFSET,
                    f"the download starts at offset {request.offset}, beyond the size {size_bytes}",
                )
            with path.open("rb", buffering=0) as file:
                async with within(self._limits.stream_seconds(size_bytes), "the download"):
                    await self._send(file, request.offset, context)

    async def DownloadTogether(self, request: pb.DownloadTogetherRequest, context: Any) -> None:
        """Send several small blobs, each whole."""
        async with self._callers.admitted(context) as caller:
            digests = wire.digests_of(request.digests)
            async with within(self._limits.stream_seconds(len(digests) * CHUNK_BYTES), "the downloads"):
                for digest in digests:
                    await self._require_permission(caller, digest)
                    data = await self._threads.run(partial(self._whole, digest))
                    async with within(self._limits.idle_seconds, "the reader's taking of a blob"):
                        await context.write(pb.WholeBlob(data=data))
                    del data  # or a reader that waits would hold on to it

    def _whole(self, digest: str) -> bytes:
        with self._store.path(digest).open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > CHUNK_BYTES:
                raise MalformedInput(
                    f"the blob {digest} has more than {CHUNK_BYTES} bytes: download it alone"
                )
            return file.readall()

    async def _require_permission(self, caller: TransferCaller, digest: str) -> None:
        if not await self._admission.may_read(caller, digest):
            raise Refused(
                pb.REFUSAL_REASON_NOT_PERMITTED,
                f"{caller.common_name} of {caller.msp_id} may not read the blob {digest}",
            )

    async def _send(self, file: BinaryIO, offset: int, context: Any) -> None:
        file.seek(offset)
        while data := await self._threads.run(partial(file.read, CHUNK_BYTES)):
            async with within(self._limits.idle_seconds, "the reader's taking of a chunk"):
                await context.write(pb.DownloadChunk(offset=offset, data=data))
            offset += len(data)
