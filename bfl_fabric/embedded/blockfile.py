"""The block file: every block of the channel, one behind the other, only ever appended to.

Decides how blocks lie on the disk (each behind its length as a minimal varint, so that no byte of the file is
unaccounted for) and that an append happens whole and synced or not at all. What is in a block, and which blocks
belong to the chain, is left to `ledger`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bfl_fabric.errors import LedgerUnavailable, MalformedInput, StorageFull

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
MAXIMUM_BLOCK_BYTES = 1 << 30
_CHUNK = 1 << 20
_VARINT_BYTES = 5


class Disk:
    """The few calls that change the block file; tests put a failing or tearing disk in its place."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a block's bytes lie; `next_offset` is where the following record begins."""

    offset: int
    length: int

    @property
    def next_offset(self) -> int:
        return self.offset + self.length


class TornTail(MalformedInput):
    """The file ends within a record; everything before `offset` is whole."""

    def __init__(self, path: Path, offset: int) -> None:
        super().__init__(f"{path}: the record at byte {offset} is cut off")
        self.offset = offset


class BlockFile:
    """An open block file. One writer; any number of threads may read."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self._disk = disk or Disk()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._end = os.fstat(self._descriptor).st_size
        self._usable = True
        _sync_directory(path.parent)

    @property
    def end(self) -> int:
        """The number of bytes that belong to complete records."""
        return self._end

    def append(self, block: bytes) -> Location:
        """Return once the block is durable.

        Raises StorageFull when there is no room, LedgerUnavailable when the disk fails; the file is then as before.
        """
        if not self._usable:
            raise LedgerUnavailable(
                f"{self.path}: an earlier write could not be undone; open the ledger again"
            )
        record = _varint(len(block)) + block
        start = self._end
        try:
            self._write(record, start)
            self._disk.sync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(StorageFull, LedgerUnavailable):
                self.truncate(start)
            raise storage_error(self.path, error) from error
        self._end = start + len(record)
        return Location(self._end - len(block), len(block))

    def truncate(self, size: int) -> None:
        """Drop everything from byte `size` on, durably; when that fails, nothing can be appended any more."""
        try:
            self._disk.truncate(self._descriptor, size)
            self._disk.sync(self._descriptor)
        except OSError as error:
            self._usable = False
            raise storage_error(self.path, error) from error
        self._end = size

    def read(self, location: Location) -> bytes:
        """Return the bytes of one block. Raises MalformedInput when the file is shorter."""
        data = os.pread(self._descriptor, location.length, location.offset)
        if len(data) != location.length:
            raise MalformedInput(f"{self.path}: the block at byte {location.offset} is cut off")
        return data

    def locations(self, start: int = 0) -> Iterator[Location]:
        """Yield the records from byte `start` on. Raises TornTail, MalformedInput."""
        offset = start
        while offset < self._end:
            location = self._location(offset)
            yield location
            offset = location.next_offset

    def bytes_from(self, offset: int) -> bytes:
        """Return everything from `offset` to the end."""
        return os.pread(self._descriptor, self._end - offset, offset)

    def close(self) -> None:
        """Give the file back; nothing is written."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _location(self, offset: int) -> Location:
        head = os.pread(self._descriptor, _VARINT_BYTES, offset)
        length, used = _read_varint(head, self.path, offset)
        if length is None or offset + used + length > self._end:
            raise TornTail(self.path, offset)
        return Location(offset + used, length)

    def _write(self, record: bytes, start: int) -> None:
        os.lseek(self._descriptor, start, os.SEEK_SET)
        rest = memoryview(record)
        while rest:
            rest = rest[self._disk.write(self._descriptor, rest[:_CHUNK]) :]


def read_blocks(path: Path) -> Iterator[bytes]:
    """Yield the serialized blocks of a closed or open block file, strictly. Raises MalformedInput, TornTail."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = os.fstat(descriptor).st_size
        offset = 0
        while offset < end:
            length, used = _read_varint(os.pread(descriptor, _VARINT_BYTES, offset), path, offset)
            if length is None or offset + used + length > end:
                raise TornTail(path, offset)
            yield os.pread(descriptor, length, offset + used)
            offset += used + length
    finally:
        os.close(descriptor)


def storage_error(path: Path, error: OSError) -> StorageFull | LedgerUnavailable:
    """Translate a failed write; nothing of it is kept."""
    if error.errno in FULL_DISK:
        return StorageFull(f"{path}: no room to write ({error.strerror}); free some space, nothing was lost")
    return LedgerUnavailable(f"{path}: the disk failed: {error.strerror}")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _read_varint(head: bytes, path: Path, offset: int) -> tuple[int | None, int]:
    number = 0
    for index, digit in enumerate(head):
        number |= (digit & 0x7F) << (7 * index)
        if not digit & 0x80:
            if (digit == 0 and index) or not 0 < number <= MAXIMUM_BLOCK_BYTES:
                raise MalformedInput(f"{path}: the length at byte {offset} is not a block's")
            return number, index + 1
    if len(head) == _VARINT_BYTES:
        raise MalformedInput(f"{path}: the length at byte {offset} is not a block's")
    return None, 0
