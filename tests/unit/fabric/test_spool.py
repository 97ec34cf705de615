"""Values that are put aside come back as they were, in a file that nobody else sees and nothing leaves behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from bfl_fabric.errors import StorageFull
from bfl_fabric.fabric import spool as module
from bfl_fabric.fabric.spool import CHUNK_BYTES, WINDOW_BYTES, Spool

WHOLE = b"w" * CHUNK_BYTES


def test_values_come_back_from_memory_and_from_the_file() -> None:
    spool = Spool()
    values = [b"", b"short", WHOLE, b"x" * (3 * CHUNK_BYTES + 1), b"last"]
    places = [spool.put(value) for value in values]
    assert [spool.get(place) for place in reversed(places)] == values[::-1]
    assert len(set(places)) == len(places)


def test_the_file_has_no_name_and_goes_with_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    opened: list[int] = []
    duplicate = os.dup
    monkeypatch.setattr(os, "dup", lambda descriptor: opened.append(duplicate(descriptor)) or opened[-1])  # type: ignore[func-returns-value]
    spool = Spool()
    spool.put(WHOLE)
    (descriptor,) = opened
    assert os.fstat(descriptor).st_nlink == 0
    assert os.fstat(descriptor).st_size == len(WHOLE)
    assert list(tmp_path.iterdir()) == []
    del spool
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_full_disk_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, data: bytes) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(StorageFull, match="cannot be written: No space left"):
        Spool().put(WHOLE)


def test_a_file_that_was_cut_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool()
    place = spool.put(WHOLE)
    monkeypatch.setattr(os, "pread", lambda descriptor, length, start: b"w")
    with pytest.raises(StorageFull, match="cut off"):
        spool.get(place)


def test_values_come_back_also_from_around_the_window_that_was_read_last() -> None:
    spool = Spool()
    sizes = [1, WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1, 0, 30, CHUNK_BYTES]
    values = [bytes([number % 256]) * sizes[number % len(sizes)] for number in range(60)]
    places = [spool.put(value) for value in values]
    for step in (1, 7, 13):
        for number in range(0, step * len(values), step):
            assert spool.get(places[number % len(values)]) == values[number % len(values)]
