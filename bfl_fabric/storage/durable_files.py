"""The few file operations that decide whether something is still there after a crash.

Decides what "durable" means: bytes synced first, then the name, then the directory that holds the name. Leaves
to its callers what the files mean. POSIX only.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bfl_fabric.errors import MalformedInput, StorageFull

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_HEX = frozenset("0123456789abcdef")


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """Translate the operating system's ways of saying "no room" into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise StorageFull(f"no room for {what} ({error.strerror}); free some and try again") from error


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte, however small the steps that the system takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_directory(directory: Path) -> None:
    """Return once the names in `directory` are durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Create `directory` and what is missing above it, durably; readable by its owner only."""
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_directory(folder.parent)


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, lower-case hex; memory does not depend on its size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked_digest(digest: str) -> str:
    """Return `digest` when it is 64 lower-case hex digits, and so safe as a file name. Raises MalformedInput."""
    if len(digest) != 64 or not _HEX.issuperset(digest):
        raise MalformedInput(f"{digest[:80]!r} is not a SHA-256 in lower-case hex")
    return digest
