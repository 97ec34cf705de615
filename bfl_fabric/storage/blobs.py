"""Content-addressed blobs in a directory: `blobs/ab/<sha-256>`, read-only files.

Decides when a blob is visible: only whole and durable, because it is written aside, synced, renamed into place,
and its directory synced. Leaves to `incoming` what is not whole yet, and to its callers who may read what.
Several threads and processes may use one directory.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from bfl_fabric.errors import ConfigurationError, MalformedInput, NotFound, StorageFull
from bfl_fabric.storage.durable_files import (
    checked_digest,
    digest_of_file,
    make_directory,
    room_for,
    sync_directory,
    write_all,
)
from bfl_fabric.storage.incoming import STAGED_SUFFIX, IncomingArea

_log = logging.getLogger(__name__)

_READ_ONLY = 0o400


class FileBlobStore:
    """The port `ReceivingStore` on a local file system.

    Args:
        directory: Made when it is not there; `blobs` and `incoming` lie below it.
        max_bytes: What all blobs together may take, None for what the disk has. Blobs that other processes
            add meanwhile are not counted.
        max_incoming_bytes: The same for blobs on their way in, each counted with its full size.
    """

    def __init__(
        self, directory: Path, *, max_bytes: int | None = None, max_incoming_bytes: int | None = None
    ) -> None:
        self._blobs = directory / "blobs"
        self._staging = directory / "incoming"
        make_directory(self._blobs)
        make_directory(self._staging)
        self._incoming = IncomingArea(self._staging, max_bytes=max_incoming_bytes)
        self._max_bytes = max_bytes
        self._placing = threading.Lock()
        self._used_bytes = self._measure() if max_bytes is not None else 0

    @property
    def incoming(self) -> IncomingArea:
        """Where partly received blobs wait."""
        return self._incoming

    def put(self, data: bytes) -> str:
        """Store `data` durably and return its digest. Raises StorageFull."""
        digest = hashlib.sha256(data).hexdigest()
        if self._is_whole(digest):
            return digest
        self._require_room(len(data))
        with room_for(f"a blob of {len(data)} bytes"), self._staged() as (descriptor, staged):
            write_all(descriptor, data)
            os.fsync(descriptor)
            self._place(staged, digest, len(data))
        return digest

    def adopt(self, path: Path) -> str:
        """Move a finished file into the store and return its digest; `path` is gone afterwards.

        Raises NotFound when there is no such file, MalformedInput when it is not a regular file,
        ConfigurationError when it lies on another file system, StorageFull.
        """
        with _open_regular(path) as file:
            facts = os.fstat(file.fileno())
            if facts.st_dev != self._blobs.stat().st_dev:
                raise ConfigurationError(
                    f"{path.name} lies on another file system than the blobs: copy it first"
                )
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            with room_for(f"a blob of {facts.st_size} bytes"):
                self._adopt_file(file.fileno(), path, digest, facts.st_size)
        return digest

    def has(self, digest: str) -> bool:
        """Say whether the blob is here."""
        return self._place_of(digest).is_file()

    def path(self, digest: str) -> Path:
        """Return the read-only file that holds the blob. Raises NotFound."""
        place = self._place_of(digest)
        if not place.is_file():
            raise NotFound(f"there is no blob {digest} here")
        return place

    def read(self, digest: str) -> bytes:
        """Return the bytes. Raises NotFound, and MalformedInput when they are no longer what was stored."""
        data = self.path(digest).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise MalformedInput(f"the blob {digest} has rotted on the disk: fetch it again and put it")
        return data

    def digests(self) -> Iterator[str]:
        """Yield the digest of every blob, in order."""
        for place in sorted(self._blobs.glob("??/" + "?" * 64)):
            yield place.name

    def _place_of(self, digest: str) -> Path:
        name = checked_digest(digest)
        return self._blobs / name[:2] / name

    def _is_whole(self, digest: str) -> bool:
        place = self._place_of(digest)
        return place.is_file() and digest_of_file(place) == digest

    def _adopt_file(self, descriptor: int, path: Path, digest: str, size_bytes: int) -> None:
        if self._is_whole(digest):
            path.unlink()
        else:
            self._require_room(size_bytes)
            os.fsync(descriptor)
            self._place(path, digest, size_bytes)

    @contextmanager
    def _staged(self) -> Iterator[tuple[int, Path]]:
        staged = self._staging / f"{secrets.token_hex(16)}{STAGED_SUFFIX}"
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            yield descriptor, staged
        finally:
            os.close(descriptor)
            staged.unlink(missing_ok=True)

    def _place(self, source: Path, digest: str, size_bytes: int) -> None:
        place = self._place_of(digest)
        make_directory(place.parent)
        source.chmod(_READ_ONLY)
        with self._placing:
            replaced_bytes = place.stat().st_size if place.is_file() else 0
            source.replace(place)
            self._used_bytes += size_bytes - replaced_bytes
        sync_directory(place.parent)
        _log.debug("blob %s stored, %d bytes", digest, size_bytes)

    def _require_room(self, size_bytes: int) -> None:
        if self._max_bytes is not None and self._used_bytes + size_bytes > self._max_bytes:
            raise StorageFull(
                f"no room for a blob of {size_bytes} bytes: {self._used_bytes} of the {self._max_bytes} bytes"
                " set for this store are taken; raise the setting or free some"
            )

    def _measure(self) -> int:
        return sum(self._place_of(digest).stat().st_size for digest in self.digests())


def _open_regular(path: Path) -> BufferedReader:
    """Open a file of one's own for reading; links, directories and pipes are refused without waiting on them."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path.name} to adopt") from error
    except OSError as error:
        raise MalformedInput(f"{path.name} cannot be adopted: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MalformedInput(f"{path.name} is not a regular file")
    return os.fdopen(descriptor, "rb")
