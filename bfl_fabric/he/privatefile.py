"""Private files: mode 0600, whole or absent, durable when a call returns. Read and written by the worker process only.

Decides also the frame in which secrets stand: magic, version (u32), content, SHA-256 of all before.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from bfl_fabric.errors import KeyHolderRefused, MalformedInput, NotFound

_PREFIX = struct.Struct("<4sI")
_CHECKSUM_BYTES = 32


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame of one kind of secret file; `name` and `advice` are what a refusal says of a damaged one."""

    magic: bytes
    version: int
    name: str
    advice: str

    def around(self, content: bytes) -> bytes:
        """Return the file's bytes."""
        data = _PREFIX.pack(self.magic, self.version) + content
        return data + hashlib.sha256(data).digest()

    def read(self, path: Path) -> bytes:
        """Return the content of a file. Raises as `read` does, and MalformedInput for another kind or a damaged one."""
        data = read(path)
        body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        if len(body) < _PREFIX.size or hashlib.sha256(body).digest() != checksum:
            raise self.damaged(path)
        if _PREFIX.unpack_from(body) != (self.magic, self.version):
            raise MalformedInput(f"{path.name} is no {self.name} of this version")
        return body[_PREFIX.size :]

    def damaged(self, path: Path) -> MalformedInput:
        """Return what to raise for a file whose content is not what it must be."""
        return MalformedInput(f"the {self.name} {path.name} is damaged; {self.advice}")


def create(path: Path, data: bytes) -> None:
    """Write a new file. Raises FileExistsError when there is one already."""
    unfinished = _unfinished(path, data)
    try:
        # a link never replaces a file: of two who create it at once, one wins
        os.link(unfinished, path)
    finally:
        os.unlink(unfinished)
    sync_directory(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Write a file in the place of another: a reader sees the old bytes or the new ones."""
    os.replace(_unfinished(path, data), path)
    sync_directory(path.parent)


def read(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        NotFound: there is no such file.
        KeyHolderRefused: others may read it, it is another user's, or it is not a plain file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"there is no secret file {path.name}") from error
    except OSError as error:
        raise KeyHolderRefused(f"the secret file {path.name} cannot be opened: {error.strerror}") from error
    try:
        _require_private(path, os.fstat(descriptor))
    except KeyHolderRefused:
        os.close(descriptor)
        raise
    with open(descriptor, "rb") as stream:
        return stream.read()


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unfinished(path: Path, data: bytes) -> Path:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)
    return unfinished


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyHolderRefused(f"the secret file {path.name} is not a plain file")
    if status.st_uid != os.geteuid():
        raise KeyHolderRefused(f"the secret file {path.name} belongs to another user")
    if status.st_mode & 0o077:
        raise KeyHolderRefused(
            f"the secret file {path.name} has mode {stat.S_IMODE(status.st_mode):04o}: others may have read it; "
            "retire this key epoch and make a new key"
        )
