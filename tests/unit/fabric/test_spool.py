"""Values that are put aside come back as they were, in a file that nobody else sees and nothing leaves behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from bfl_fabric.errors import StorageFull
from bfl_fabric.fabric import spool as module
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.spool import CHUNK_BYTES, Spool
from bfl_fabric.fabric.state import SPOOLED_BYTES, ReplayedState, Space, Updates, Versioned

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


@pytest.mark.parametrize("size", [1, SPOOLED_BYTES - 1, SPOOLED_BYTES, CHUNK_BYTES])
def test_a_state_says_the_same_wherever_its_values_are(size: int) -> None:
    space, value, metadata = Space("bfl"), b"v" * size, (("a", b"b"),)
    for state in (ReplayedState(), ReplayedState(Spool())):
        state.commit(Updates({space: {b"key": Versioned(value, metadata, Height(3, 4))}}))
        found = state.find(space, b"key")
        assert found is not None
        assert (found.value, found.metadata, found.height) == (value, metadata, Height(3, 4))
        assert state.value("bfl", "key") == value
        assert state.public("bfl") == {"key": value}
        assert list(state.scan("bfl", b"", b"")) == [(b"key", Height(3, 4))]
        state.commit(Updates({space: {b"key": Versioned(None, None, Height(4, 0))}}))
        assert state.find(space, b"key") is None
