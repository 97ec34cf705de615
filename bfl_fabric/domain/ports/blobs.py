"""Ports to content-addressed blobs and to their transport between nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class BlobStore(Protocol):
    """Content-addressed blobs, each named by the SHA-256 of its bytes.

    What `put` returned for is durable: written aside, synced, renamed, directory synced. Putting the same bytes
    twice is one blob. Raises StorageFull, and NotFound from `path` and `read`.
    """

    def put(self, data: bytes) -> str:
        """Store `data` and return its digest."""

    def adopt(self, path: Path) -> str:
        """Move a finished file on the same file system into the store and return its digest."""

    def has(self, digest: str) -> bool: ...

    def path(self, digest: str) -> Path:
        """Return the file that holds the blob; it is read-only."""

    def read(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest. Raises MalformedInput if they rotted."""


class PartialBlob(Protocol):
    """One blob on its way in, held by one receiver at a time and resumed where it broke off.

    Synchronous file work: call it off the event loop. A refused `append` changes nothing of what is here.
    """

    @property
    def received_bytes(self) -> int:
        """Bytes that are here, without a gap from the start."""

    def append(self, data: bytes) -> None:
        """Write the next bytes. Raises StorageFull, and MalformedInput for bytes beyond the size."""

    def complete(self) -> Path:
        """Return the file for `BlobStore.adopt`, which makes it durable.

        Raises TransferFailed when bytes are missing, MalformedInput when the digest is another one: then
        nothing is kept.
        """

    def discard(self) -> None:
        """Drop what is here."""

    def close(self) -> None:
        """Let go; what is here is durable and the next `open` goes on after it."""


class IncomingBlobs(Protocol):
    """Where partly received blobs wait. `label` says whose transfer it is, so that two never share bytes."""

    def received_bytes(self, label: str, digest: str) -> int:
        """Return how many bytes are durably here, 0 for an unknown transfer."""

    def open(self, label: str, digest: str, size_bytes: int) -> PartialBlob:
        """Begin or resume. Raises TransferFailed while another receiver holds it, StorageFull."""

    def collect(self, before_ms: int) -> int:
        """Drop what nobody has touched since `before_ms`; return how many transfers that were."""


class ReceivingStore(BlobStore, Protocol):
    """A blob store with a place on the same file system where blobs arrive."""

    @property
    def incoming(self) -> IncomingBlobs: ...


@dataclass(frozen=True, slots=True)
class UpdateName:
    """Which upload is meant; bound into the ciphertext header and into every request."""

    task_id: str
    round: int
    participant_id: str


class UpdateChannel(Protocol):
    """Moves blobs between nodes: mutual TLS, chunks of at most 1 MiB, resumed where they broke off.

    Raises TransferFailed when the other side cannot be reached or breaks off, MalformedInput when it refuses the
    bytes, NotFound when it has no such blob.
    """

    def expect(self, address: str, msp_id: str) -> None:
        """From now on talk at `address` only to a node that this organization vouches for."""

    async def reaches(self, address: str) -> bool:
        """Say whether the node at `address` takes a connection; a moment is enough for it."""

    async def upload(self, address: str, name: UpdateName, digest: str, path: Path) -> None:
        """Return once the node at `address` has the update durably and has found it well-formed.

        `digest` is what the participant committed, the SHA-256 of the wire bytes at `path`.
        """

    async def download(self, address: str, digest: str, size_bytes: int, into: BlobStore) -> None:
        """Return once the blob with this SHA-256 is in `into`."""

    async def download_together(self, address: str, sizes: Mapping[str, int], into: BlobStore) -> None:
        """Return once the blobs with these SHA-256, of so many bytes each, are in `into`.

        For many small blobs; those of more than 1 MiB it leaves out. One try: what came before a failure is in `into`.
        """


@dataclass(frozen=True, slots=True)
class TransferCaller:
    """Who is at the other end of a connection, as its TLS certificate proves."""

    msp_id: str
    common_name: str


class Admission(Protocol):
    """What a node's server asks before it takes or gives bytes. Raises MalformedInput or NotFound to refuse."""

    async def expect(self, caller: TransferCaller, name: UpdateName, digest: str) -> int:
        """Return the exact size of the update that this caller has committed and may upload now."""

    async def accept(self, name: UpdateName, digest: str, path: Path) -> None:
        """Check the complete upload, its digest and its form; return when it may be kept."""

    async def may_read(self, caller: TransferCaller, digest: str) -> bool:
        """Say whether this caller may download this blob."""
