"""Blobs that are not whole yet: one file per transfer, resumed where it broke off.

Decides how much of a partial file can be trusted after a crash. Bytes are written strictly in order, and a write
never passes a multiple of `sync_every_bytes` before everything up to it is synced; so after a crash of machine or
process everything before the last multiple that the file has passed is known to be durable, and the rest is cut
off. The digest of the whole decides in the end. Leaves to `blobs` what is whole, and to its callers whose
transfers are welcome.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import threading
from pathlib import Path
from typing import BinaryIO

from bfl_fabric.errors import MalformedInput, StorageFull, TransferFailed
from bfl_fabric.storage.durable_files import (
    checked_digest,
    digest_of_file,
    room_for,
    sync_directory,
    write_all,
)

_log = logging.getLogger(__name__)

STAGED_SUFFIX = ".put"
_PARTIAL_SUFFIX = ".part"
DEFAULT_SYNC_BYTES = 4 * 2**20


class IncomingArea:
    """The port `IncomingBlobs` in one directory.

    Args:
        directory: Exists already; on the file system of the blob store that adopts the results.
        max_bytes: What all transfers together may take, each counted with its full size.
        sync_every_bytes: How many bytes a crash may cost at most, per transfer.
    """

    def __init__(
        self, directory: Path, *, max_bytes: int | None = None, sync_every_bytes: int = DEFAULT_SYNC_BYTES
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._sync_every_bytes = sync_every_bytes
        self._guard = threading.Lock()
        self._durable_bytes: dict[Path, int] = {}
        self._promised_bytes: dict[Path, int] = {}

    def received_bytes(self, label: str, digest: str) -> int:
        """Return how many bytes of this transfer are durably here."""
        path = self._path(label, digest)
        with self._guard:
            return self._trusted_bytes(path)

    def open(self, label: str, digest: str, size_bytes: int) -> PartialFile:
        """Begin or resume a transfer. Raises TransferFailed while another receiver holds it, StorageFull."""
        path = self._path(label, digest)
        with self._guard, room_for(f"a transfer of {size_bytes} bytes"):
            self._require_room(path, size_bytes)
            file = _open_locked(path)
            try:
                trusted = min(self._trusted_bytes(path), size_bytes)
                file.truncate(trusted)
                file.seek(trusted)
            except BaseException:
                file.close()
                raise
            self._durable_bytes[path] = trusted
            self._promised_bytes[path] = size_bytes
        return PartialFile(self, file, path, digest, size_bytes)

    def collect(self, before_ms: int) -> int:
        """Drop every transfer and every leftover of a broken `put` that nobody has touched since `before_ms`."""
        dropped = 0
        for suffix in (_PARTIAL_SUFFIX, STAGED_SUFFIX):
            for path in sorted(self._directory.glob(f"*{suffix}")):
                dropped += self._collect_one(path, before_ms)
        if dropped:
            sync_directory(self._directory)
            _log.info("dropped %d stale transfers", dropped)
        return dropped

    @property
    def sync_every_bytes(self) -> int:
        """The distance between two synced marks of a partial file."""
        return self._sync_every_bytes

    def note_durable(self, path: Path, length: int) -> None:
        """Remember what a receiver has synced."""
        with self._guard:
            self._durable_bytes[path] = length

    def release(self, path: Path, *, gone: bool) -> None:
        """Take note that a receiver is through with `path`."""
        with self._guard:
            self._promised_bytes.pop(path, None)
            if gone:
                self._durable_bytes.pop(path, None)

    def _path(self, label: str, digest: str) -> Path:
        key = hashlib.sha256(f"{checked_digest(digest)}\n{label}".encode()).hexdigest()
        return self._directory / f"{key}{_PARTIAL_SUFFIX}"

    def _trusted_bytes(self, path: Path) -> int:
        try:
            length = path.stat().st_size
        except FileNotFoundError:
            return 0
        if path in self._durable_bytes:
            return min(length, self._durable_bytes[path])
        return max(length - 1, 0) // self._sync_every_bytes * self._sync_every_bytes

    def _require_room(self, path: Path, size_bytes: int) -> None:
        if self._max_bytes is None:
            return
        taken = dict(self._promised_bytes)
        for other in self._directory.glob(f"*{_PARTIAL_SUFFIX}"):
            taken.setdefault(other, other.stat().st_size)
        taken.pop(path, None)
        others = sum(taken.values())
        if others + size_bytes > self._max_bytes:
            raise StorageFull(
                f"no room for a transfer of {size_bytes} bytes: others take {others} of the {self._max_bytes}"
                " bytes set for incoming transfers; try again later or raise the setting"
            )

    def _collect_one(self, path: Path, before_ms: int) -> bool:
        with self._guard:
            try:
                if path.stat().st_mtime_ns // 1_000_000 >= before_ms or path in self._promised_bytes:
                    return False
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
            except (FileNotFoundError, BlockingIOError):
                return False
            self._durable_bytes.pop(path, None)
            return True


class PartialFile:
    """The port `PartialBlob`: a partial file, locked for this receiver until `close` or the death of the process."""

    def __init__(self, area: IncomingArea, file: BinaryIO, path: Path, digest: str, size_bytes: int) -> None:
        self._area = area
        self._file = file
        self._path = path
        self._digest = digest
        self._size_bytes = size_bytes
        self._received = file.tell()
        self._durable = self._received
        self._named_durably = False
        self._guard = threading.Lock()

    @property
    def received_bytes(self) -> int:
        """Bytes that are here, without a gap from the start."""
        return self._received

    def append(self, data: bytes) -> None:
        """Write the next bytes. Raises MalformedInput beyond the size, StorageFull; then nothing changed."""
        with self._guard:
            if self._received + len(data) > self._size_bytes:
                raise MalformedInput(
                    f"{len(data)} bytes at offset {self._received} go beyond the size {self._size_bytes}"
                )
            before = self._received
            try:
                with room_for(f"{len(data)} more bytes of an incoming blob"):
                    self._write(memoryview(data))
            except BaseException:
                self._cut_back(before)
                raise

    def complete(self) -> Path:
        """Return the file with exactly the promised bytes; the store that adopts it makes them durable.

        Raises TransferFailed when bytes are missing, MalformedInput when the digest is another one: then the
        file is dropped.
        """
        with self._guard:
            if self._received != self._size_bytes:
                raise TransferFailed(
                    f"the transfer ended at offset {self._received}, expected {self._size_bytes}: resume it there"
                )
            found = digest_of_file(self._path)
            if found != self._digest:
                self._drop()
                raise MalformedInput(
                    f"the {self._size_bytes} bytes that arrived have the digest {found}, expected {self._digest}:"
                    " they were thrown away"
                )
            return self._path

    def discard(self) -> None:
        """Drop what is here and let go."""
        with self._guard:
            self._drop()

    def close(self) -> None:
        """Sync what is here and let go. Safe to call again, and after the file was adopted."""
        with self._guard:
            if self._file.closed:
                return
            try:
                if self._path.exists():
                    self._sync()
            except OSError as error:
                _log.warning("the end of a partial blob could not be synced: %s", error.strerror)
            finally:
                self._file.close()
                self._area.release(self._path, gone=not self._path.exists())

    def _write(self, rest: memoryview) -> None:
        every = self._area.sync_every_bytes
        while rest:
            step = rest[: every - self._received % every]
            write_all(self._file.fileno(), step)
            self._received += len(step)
            rest = rest[len(step) :]
            if self._received % every == 0:
                self._sync()

    def _sync(self) -> None:
        if self._durable != self._received:
            os.fsync(self._file.fileno())
            if not self._named_durably:
                sync_directory(self._path.parent)
                self._named_durably = True
            self._durable = self._received
            self._area.note_durable(self._path, self._durable)

    def _cut_back(self, length: int) -> None:
        """Undo a broken write; what was synced stays."""
        if not self._file.closed:
            os.ftruncate(self._file.fileno(), length)
            os.lseek(self._file.fileno(), length, os.SEEK_SET)
        self._received = length
        self._durable = min(self._durable, length)
        self._area.note_durable(self._path, self._durable)

    def _drop(self) -> None:
        if not self._file.closed:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._area.release(self._path, gone=True)


def _open_locked(path: Path) -> BinaryIO:
    """Return the file at `path`, locked by nobody else, in this process or another."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_at(file, path):
                return file
        except OSError as error:
            file.close()
            if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK):
                raise
            raise TransferFailed(
                "another transfer of the same bytes is under way; try again later"
            ) from error
        file.close()


def _is_still_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
