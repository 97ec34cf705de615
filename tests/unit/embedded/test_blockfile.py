from __future__ import annotations

import errno
from pathlib import Path

import pytest

from bfl_fabric.embedded.blockfile import BlockFile, Disk, TornTail, read_blocks
from bfl_fabric.errors import LedgerUnavailable, MalformedInput, StorageFull

BLOCKS = [b"a", b"b" * 127, b"c" * 128, b"d" * 20_000]


class FailingDisk(Disk):
    """A disk on which one call fails; before a failing write a part of it gets through."""

    def __init__(self, call: str, number: int = errno.ENOSPC, partial: int = 0) -> None:
        self.call = call
        self.number = number
        self.partial = partial

    def write(self, descriptor: int, data: memoryview) -> int:
        if self.call == "write":
            if self.partial:
                written = super().write(descriptor, data[: self.partial])
                self.partial = 0
                return written
            raise OSError(self.number, "no")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        if self.call == "sync":
            self.call = ""
            raise OSError(self.number, "no")
        super().sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        if self.call in ("truncate", "write-and-truncate"):
            raise OSError(self.number, "no")
        super().truncate(descriptor, size)


def filled(path: Path, disk: Disk | None = None) -> BlockFile:
    file = BlockFile(path, disk)
    for block in BLOCKS:
        file.append(block)
    return file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "blocks.bin"


def test_blocks_are_read_back_where_they_were_put(path: Path) -> None:
    file = BlockFile(path)
    locations = [file.append(block) for block in BLOCKS]
    assert [file.read(location) for location in locations] == BLOCKS
    assert list(file.locations()) == locations
    file.close()
    assert list(read_blocks(path)) == BLOCKS


def test_every_byte_belongs_to_a_record(path: Path) -> None:
    filled(path).close()
    overhead = sum(1 if len(block) < 128 else 2 if len(block) < 16384 else 3 for block in BLOCKS)
    assert path.stat().st_size == sum(map(len, BLOCKS)) + overhead


def test_a_file_is_only_for_its_owner(path: Path) -> None:
    filled(path).close()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("missing", [1, 2, 100, 19_999, 20_000, 20_002])
def test_a_record_that_is_cut_off_is_noticed(path: Path, missing: int) -> None:
    filled(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-missing])
    with pytest.raises(TornTail) as caught:
        list(read_blocks(path))
    assert caught.value.offset == len(whole) - 20_003


@pytest.mark.parametrize("head", [b"\x00", b"\x81\x00", b"\xff\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x80\x01"])
def test_a_length_that_no_block_has_is_refused(path: Path, head: bytes) -> None:
    path.write_bytes(head + bytes(40))
    with pytest.raises(MalformedInput):
        list(read_blocks(path))


def test_a_full_disk_leaves_nothing_of_the_block(path: Path) -> None:
    disk = FailingDisk("write", partial=3)
    filled(path).close()
    size = path.stat().st_size
    file = BlockFile(path, disk)
    with pytest.raises(StorageFull, match="free some space"):
        file.append(b"x" * 100)
    assert path.stat().st_size == size
    disk.call = ""
    file.append(b"now there is room")
    assert list(read_blocks(path)) == [*BLOCKS, b"now there is room"]
    file.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_kind_of_no_room_is_storage_full(path: Path, number: int) -> None:
    with pytest.raises(StorageFull):
        BlockFile(path, FailingDisk("write", number)).append(b"x")


def test_a_disk_that_cannot_sync_keeps_nothing(path: Path) -> None:
    file = BlockFile(path, FailingDisk("sync", errno.EIO))
    with pytest.raises(LedgerUnavailable, match="the disk failed"):
        file.append(b"x" * 100)
    assert path.read_bytes() == b""
    file.append(b"y")
    assert list(read_blocks(path)) == [b"y"]


def test_a_failed_append_that_cannot_be_undone_ends_all_appending(path: Path) -> None:
    class Broken(FailingDisk):
        def write(self, descriptor: int, data: memoryview) -> int:
            raise OSError(errno.EIO, "no")

    file = BlockFile(path, Broken("truncate"))
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            file.append(b"x")


def test_short_writes_are_continued(path: Path) -> None:
    class Slow(Disk):
        def write(self, descriptor: int, data: memoryview) -> int:
            return super().write(descriptor, data[:7])

    filled(path, Slow()).close()
    assert list(read_blocks(path)) == BLOCKS
