"""Takes updates in: the server's side of UpdateTransfer.

Decides that bytes come in order, in time, once, and exactly as many as were committed; keeps what is sound for the
next try and throws away what cannot be. Leaves to Admission whether an update is welcome and well-formed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from bfl_fabric.domain.ports import Admission, PartialBlob, ReceivingStore, TransferCaller, UpdateName
from bfl_fabric.errors import MalformedInput
from bfl_fabric.transport import wire
from bfl_fabric.transport.callers import Callers
from bfl_fabric.transport.file_threads import FileThreads
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.limits import ServerLimits
from bfl_fabric.transport.refusals import Refused

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Update:
    """A committed update that its owner may upload now."""

    name: UpdateName
    digest: str
    size_bytes: int

    @property
    def label(self) -> str:
        return wire.label_of(self.name)


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Refuse as too slow what does not end within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Refused(pb.REFUSAL_REASON_TOO_SLOW, f"{what} took longer than {seconds:g} s") from error


class UpdateTransferService:
    """The methods of UpdateTransfer, called by gRPC."""

    def __init__(
        self,
        store: ReceivingStore,
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

    async def GetUploadStatus(self, request: pb.UploadStatusRequest, context: Any) -> pb.UploadStatus:
        """Say how much of a committed update is durably here."""
        async with self._callers.admitted(context) as caller:
            update = await self._expected(caller, request.name, request.digest)
            if await self._is_stored(update):
                return pb.UploadStatus(received_bytes=update.size_bytes, complete=True)
            received = await self._threads.run(
                partial(self._store.incoming.received_bytes, update.label, update.digest)
            )
            return pb.UploadStatus(received_bytes=min(received, update.size_bytes))
        raise AssertionError("an admitted call either answers or is aborted")

    async def Upload(self, requests: object, context: Any) -> pb.UploadReceipt:
        """Take the rest of an update; answer when it is durable and accepted."""
        async with self._callers.admitted(context) as caller:
            header = await self._header(context)
            update = await self._expected(caller, header.name, header.digest)
            _verify_size(header, update)
            if not await self._is_stored(update):
                await self._take(update, header.offset, context)
            return pb.UploadReceipt(name=header.name, digest=header.digest, size_bytes=update.size_bytes)
        raise AssertionError("an admitted call either answers or is aborted")

    async def _header(self, context: Any) -> pb.UploadHeader:
        message = await self._next(context)
        if message is None or message.WhichOneof("part") != "header":
            raise MalformedInput("an upload begins with its header")
        return message.header

    async def _next(self, context: Any) -> pb.UploadRequest | None:
        async with within(self._limits.idle_seconds, "the next message of the upload"):
            message = await context.read()
        return None if message is grpc.aio.EOF else message

    async def _expected(self, caller: TransferCaller, name: pb.UpdateName, digest: bytes) -> _Update:
        update, committed = wire.name_of(name), wire.digest_of(digest)
        if caller.common_name != update.participant_id:
            raise Refused(
                pb.REFUSAL_REASON_NOT_PERMITTED,
                f"{caller.common_name} cannot upload for {update.participant_id}: use that participant's certificate",
            )
        return _Update(update, committed, await self._admission.expect(caller, update, committed))

    async def _is_stored(self, update: _Update) -> bool:
        return await self._threads.run(partial(self._store.has, update.digest))

    async def _take(self, update: _Update, offset: int, context: Any) -> None:
        async with self._held(update) as incoming:
            if offset != incoming.received_bytes:
                raise Refused(
                    pb.REFUSAL_REASON_WRONG_OFFSET,
                    f"the upload starts at offset {offset}, expected offset {incoming.received_bytes}",
                )
            async with within(self._limits.stream_seconds(update.size_bytes), "the upload"):
                await self._receive(update, incoming, context)
            path = await self._completed(incoming)
            await self._accepted(update, incoming, path)
            await self._threads.run(partial(self._store.adopt, path))
        _log.info("update %s of %s stored", update.digest, update.name.participant_id)

    @asynccontextmanager
    async def _held(self, update: _Update) -> AsyncIterator[PartialBlob]:
        incoming = await self._threads.run(
            partial(self._store.incoming.open, update.label, update.digest, update.size_bytes)
        )
        try:
            yield incoming
        finally:
            await self._threads.run(incoming.close)

    async def _receive(self, update: _Update, incoming: PartialBlob, context: Any) -> None:
        while (message := await self._next(context)) is not None:
            if message.WhichOneof("part") != "chunk":
                raise MalformedInput("after the header come only chunks")
            data = message.chunk.data
            wire.verify_chunk(message.chunk.offset, data, incoming.received_bytes, update.size_bytes)
            await self._threads.run(partial(incoming.append, data))
            del message, data  # or every waiting stream would hold on to its last chunk, twice
        if incoming.received_bytes != update.size_bytes:
            raise MalformedInput(
                f"the upload ended at offset {incoming.received_bytes}, expected {update.size_bytes}: what arrived"
                " is kept, go on there"
            )

    async def _completed(self, incoming: PartialBlob) -> Path:
        try:
            return await self._threads.run(incoming.complete)
        except MalformedInput as error:
            raise Refused(pb.REFUSAL_REASON_WRONG_DIGEST, str(error)) from error

    async def _accepted(self, update: _Update, incoming: PartialBlob, path: Path) -> None:
        try:
            async with within(self._limits.accept_seconds, "the check of the upload"):
                await self._admission.accept(update.name, update.digest, path)
        except MalformedInput:
            await self._threads.run(incoming.discard)
            raise


def _verify_size(header: pb.UploadHeader, update: _Update) -> None:
    if header.size_bytes != update.size_bytes:
        raise MalformedInput(f"the header says {header.size_bytes} bytes, the commitment {update.size_bytes}")
    if header.offset > update.size_bytes:
        raise MalformedInput(f"the offset {header.offset} lies beyond the size {update.size_bytes}")
