"""The client: the port UpdateChannel over our gRPC.

Decides what is checked before anything is sent, and that one blob is fetched once at a time. Leaves a single try
to `transfers`, the waits to `retries`, connections to `channels`, and what the bytes mean to the roles.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from bfl_fabric.clock import SystemClock
from bfl_fabric.domain.ports import BlobStore, Clock, IncomingBlobs, UpdateName
from bfl_fabric.errors import MalformedInput, NotFound, TransferFailed
from bfl_fabric.transport import wire
from bfl_fabric.transport.credentials import NodeCredentials
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.limits import CHUNK_BYTES, TOGETHER_BLOBS, ClientLimits
from bfl_fabric.transport.refusals import BrokenOff
from bfl_fabric.transport.retries import Persistence
from bfl_fabric.transport.transfers import Download, Link, SmallDownloads, Upload

_DOWNLOAD_LABEL = "download"
_KNOWN_FILES = 8


@dataclass(frozen=True, slots=True)
class TransferStats:
    """What went through a client so far, bytes of repeated tries included."""

    uploaded_bytes: int
    downloaded_bytes: int


class TransferClient:
    """The port UpdateChannel. Use it within one event loop and `close` it there, or `async with` it.

    Args:
        credentials: The caller's TLS identity and the authorities that it trusts.
        incoming: Where unfinished downloads wait; on the file system of the stores that they go into.
        clock: Gives the waits between tries.
        limits: How patient it is.
    """

    def __init__(
        self,
        credentials: NodeCredentials,
        incoming: IncomingBlobs,
        clock: Clock | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        self._limits = limits or ClientLimits()
        self._link = Link(credentials, self._limits)
        self._incoming = incoming
        self._clock = clock or SystemClock()
        self._downloads: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._checked = _CheckedFiles()

    async def __aenter__(self) -> TransferClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def stats(self) -> TransferStats:
        """How many bytes were handed to and taken from connections."""
        return TransferStats(self._link.uploaded_bytes, self._link.downloaded_bytes)

    def expect(self, address: str, msp_id: str) -> None:
        """Accept at `address` only a server of this organization; without it, one of any organization."""
        self._link.channels.expect(address, msp_id)

    async def reaches(self, address: str) -> bool:
        """Say whether the server at `address` takes a connection within `connect_seconds`."""
        return await self._link.channels.reaches(address)

    async def upload(self, address: str, name: UpdateName, digest: str, path: Path) -> None:
        """Return once the node at `address` has the update durably and has found it well-formed.

        Raises MalformedInput when the file is not what `digest` says or the node refuses it, NotFound when the
        file is not there or the node knows no such update, StorageFull when the node has no room, TransferFailed
        when it cannot be reached or does not permit it.
        """
        size_bytes = await self._link.threads.run(partial(self._checked.size_bytes, path, digest))
        header = pb.UploadHeader(
            name=wire.message_of(name), digest=bytes.fromhex(digest), size_bytes=size_bytes
        )
        upload = Upload(self._link, address, header, path)
        await self._persistence(address, digest).run(upload.attempt, lambda: upload.arrived_bytes)

    async def download(self, address: str, digest: str, size_bytes: int, into: BlobStore) -> None:
        """Return once the blob with this SHA-256 is in `into`; what arrives is kept for a next try, from anybody.

        Raises MalformedInput when the node gives other bytes, NotFound when it has none, StorageFull when there
        is no room here, TransferFailed when it cannot be reached or does not permit it.
        """
        async with self._downloads.setdefault(digest, asyncio.Lock()):
            if await self._link.threads.run(partial(into.has, digest)):
                return
            begin = partial(self._incoming.open, _DOWNLOAD_LABEL, digest, size_bytes)
            download = Download(self._link, address, digest, begin)
            await self._persistence(address, digest).run(
                partial(download.attempt, size_bytes, into), lambda: download.arrived_bytes
            )

    async def download_together(self, address: str, sizes: Mapping[str, int], into: BlobStore) -> None:
        """Return once the blobs with these SHA-256, of so many bytes each, are in `into`; larger than 1 MiB stay out.

        One try, in as few calls as may be; what came before a failure is in `into`. Raises what `download` raises.
        """
        small = [item for item in sizes.items() if item[1] <= CHUNK_BYTES]
        for start in range(0, len(small), TOGETHER_BLOBS):
            some = dict(small[start : start + TOGETHER_BLOBS])
            try:
                await SmallDownloads(self._link, address, some).attempt(into)
            except BrokenOff as broken:
                raise TransferFailed(str(broken)) from broken

    async def close(self) -> None:
        """Close every connection; transfers under way are broken off and can be resumed."""
        await self._link.channels.close()
        self._link.threads.close()

    def _persistence(self, address: str, digest: str) -> Persistence:
        return Persistence(self._limits, self._clock, f"{address} {digest}")


class _CheckedFiles:
    """Holds files against their digests; a file that goes to several nodes is read once while it stays as it is."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int, int]] = {}
        self._reading = threading.Lock()

    def size_bytes(self, path: Path, digest: str) -> int:
        """Return the size of the file with this digest; uploading anything else would be in vain."""
        with self._reading:  # uploads to several nodes begin at once: the first one reads
            return self._size_bytes(path, digest)

    def _size_bytes(self, path: Path, digest: str) -> int:
        try:
            with path.open("rb") as file:
                facts = os.fstat(file.fileno())
                identity = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
                if self._known.get(digest) == identity:
                    return facts.st_size
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise NotFound(f"there is no file {path.name} to upload") from error
        if found != digest:
            raise MalformedInput(f"{path.name} has the digest {found}, committed was {digest}: not uploaded")
        newest = list(self._known.items())[1 - _KNOWN_FILES :]
        self._known = {**dict(newest), digest: identity}
        return facts.st_size
