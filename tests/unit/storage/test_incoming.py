from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bfl_fabric.domain.ports import IncomingBlobs
from bfl_fabric.errors import MalformedInput, StorageFull, TransferFailed
from bfl_fabric.storage.blobs import FileBlobStore
from bfl_fabric.storage.incoming import IncomingArea

DATA = hashlib.shake_256(b"an update").digest(10_000)
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def area(tmp_path: Path) -> IncomingArea:
    return IncomingArea(tmp_path, sync_every_bytes=1000)


def receive(area: IncomingBlobs, upto: int, label: str = "p1") -> None:
    partial = area.open(label, DIGEST, len(DATA))
    partial.append(DATA[partial.received_bytes : upto])
    partial.close()


def test_a_transfer_that_breaks_off_goes_on_where_it_was(area: IncomingArea) -> None:
    receive(area, 4321)
    assert area.received_bytes("p1", DIGEST) == 4321
    partial = area.open("p1", DIGEST, len(DATA))
    assert partial.received_bytes == 4321
    partial.append(DATA[4321:])
    assert partial.complete().read_bytes() == DATA
    partial.close()


def test_the_blob_store_adopts_what_is_complete(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    partial = store.incoming.open("p1", DIGEST, len(DATA))
    partial.append(DATA)
    assert store.adopt(partial.complete()) == DIGEST
    partial.close()
    assert store.read(DIGEST) == DATA
    assert store.incoming.received_bytes("p1", DIGEST) == 0


def test_after_a_restart_only_synced_bytes_are_trusted(area: IncomingArea, tmp_path: Path) -> None:
    receive(area, 4321)
    restarted = IncomingArea(tmp_path, sync_every_bytes=1000)
    assert restarted.received_bytes("p1", DIGEST) == 4000
    partial = restarted.open("p1", DIGEST, len(DATA))
    assert partial.received_bytes == 4000
    partial.append(DATA[4000:])
    assert partial.complete().read_bytes() == DATA
    partial.close()


def test_two_transfers_of_the_same_digest_never_share_bytes(area: IncomingArea) -> None:
    receive(area, 3000, "p1")
    assert area.received_bytes("p2", DIGEST) == 0
    receive(area, 10, "p2")
    assert area.received_bytes("p1", DIGEST) == 3000


def test_a_transfer_has_one_receiver_at_a_time(area: IncomingArea, tmp_path: Path) -> None:
    first = area.open("p1", DIGEST, len(DATA))
    with pytest.raises(TransferFailed, match="under way"):
        area.open("p1", DIGEST, len(DATA))
    with pytest.raises(TransferFailed, match="under way"):
        IncomingArea(tmp_path).open("p1", DIGEST, len(DATA))
    first.close()
    area.open("p1", DIGEST, len(DATA)).close()


def test_bytes_beyond_the_size_are_refused_and_change_nothing(area: IncomingArea) -> None:
    partial = area.open("p1", DIGEST, len(DATA))
    partial.append(DATA[:9000])
    with pytest.raises(MalformedInput, match="beyond the size 10000"):
        partial.append(bytes(1001))
    assert partial.received_bytes == 9000
    partial.append(DATA[9000:])
    assert partial.complete().read_bytes() == DATA
    partial.close()


def test_missing_bytes_are_named_and_kept(area: IncomingArea) -> None:
    partial = area.open("p1", DIGEST, len(DATA))
    partial.append(DATA[:9999])
    with pytest.raises(TransferFailed, match="offset 9999, expected 10000"):
        partial.complete()
    partial.close()
    assert area.received_bytes("p1", DIGEST) == 9999


def test_another_digest_throws_everything_away(area: IncomingArea, tmp_path: Path) -> None:
    partial = area.open("p1", DIGEST, len(DATA))
    partial.append(DATA[:-1] + b"!")
    with pytest.raises(MalformedInput, match=f"expected {DIGEST}"):
        partial.complete()
    partial.close()
    assert area.received_bytes("p1", DIGEST) == 0
    assert list(tmp_path.iterdir()) == []


def test_discard_drops_what_is_here(area: IncomingArea, tmp_path: Path) -> None:
    receive(area, 500)
    partial = area.open("p1", DIGEST, len(DATA))
    partial.discard()
    partial.close()
    assert list(tmp_path.iterdir()) == []


def test_a_transfer_of_another_size_keeps_no_more_than_that_size(area: IncomingArea) -> None:
    receive(area, 5000)
    partial = area.open("p1", DIGEST, 1500)
    assert partial.received_bytes == 1500
    partial.close()


def test_a_full_disk_in_mid_transfer_keeps_what_was_there(
    area: IncomingArea, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[[int, memoryview], int] = os.write
    room = [2500]

    def write_until_full(descriptor: int, data: memoryview) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, data[: room[0]])
        room[0] -= written
        return written

    partial = area.open("p1", DIGEST, len(DATA))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_until_full)
        partial.append(DATA[:2000])
        with pytest.raises(StorageFull):
            partial.append(DATA[2000:4000])
    assert partial.received_bytes == 2000
    partial.append(DATA[2000:])
    assert partial.complete().read_bytes() == DATA
    partial.close()


def test_the_quota_counts_open_transfers_with_their_full_size(tmp_path: Path) -> None:
    area = IncomingArea(tmp_path, max_bytes=15_000)
    first = area.open("p1", DIGEST, len(DATA))
    with pytest.raises(StorageFull, match="others take 10000 of the 15000"):
        area.open("p2", DIGEST, len(DATA))
    first.append(DATA[:4000])
    first.close()
    second = area.open("p2", DIGEST, len(DATA))
    with pytest.raises(StorageFull):
        area.open("p1", DIGEST, len(DATA))
    second.discard()
    area.open("p1", DIGEST, len(DATA)).close()


def test_collect_drops_only_what_is_stale_and_held_by_nobody(area: IncomingArea, tmp_path: Path) -> None:
    receive(area, 100, "stale")
    held = area.open("held", DIGEST, len(DATA))
    (tmp_path / "broken.put").write_bytes(b"left by a crash")
    (tmp_path / "of somebody else").write_bytes(b"not a transfer")
    for path in tmp_path.iterdir():
        os.utime(path, (1000, 1000))
    receive(area, 100, "fresh")
    assert area.collect(int(time.time() * 1000) - 60_000) == 2
    assert area.received_bytes("stale", DIGEST) == 0
    assert area.received_bytes("fresh", DIGEST) == 100
    assert len(list(tmp_path.iterdir())) == 3
    held.close()


def test_collect_respects_the_lock_of_another_process(area: IncomingArea, tmp_path: Path) -> None:
    held = area.open("held", DIGEST, len(DATA))
    os.utime(next(tmp_path.iterdir()), (1000, 1000))
    assert IncomingArea(tmp_path).collect(2_000_000) == 0
    held.close()
    assert IncomingArea(tmp_path).collect(int(time.time() * 1000) + 60_000) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.integers(1, 2500), min_size=1, max_size=8),
    sync_every=st.integers(400, 1500),
    lost=st.integers(0, 3000),
)
def test_a_power_cut_never_leaves_unsynced_bytes_trusted(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], sync_every: int, lost: int
) -> None:
    """The file may come back with any length between what was synced and what was written, its tail garbage."""
    directory = tmp_path_factory.mktemp("power")
    area = IncomingArea(directory, sync_every_bytes=sync_every)
    synced = [0]
    real = os.fsync

    def note(descriptor: int) -> None:
        real(descriptor)
        if not os.path.isdir(f"/proc/self/fd/{descriptor}"):
            synced[0] = os.fstat(descriptor).st_size

    partial = area.open("p1", DIGEST, len(DATA))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", note)
        for step in steps:
            partial.append(DATA[partial.received_bytes : partial.received_bytes + step])
    written = partial.received_bytes
    path = next(directory.iterdir())
    length = max(synced[0], written - lost)
    path.write_bytes((DATA[: synced[0]] + bytes(len(DATA)))[:length])
    del partial
    after = IncomingArea(directory, sync_every_bytes=sync_every)
    trusted = after.received_bytes("p1", DIGEST)
    assert trusted <= synced[0]
    resumed = after.open("p1", DIGEST, len(DATA))
    assert resumed.received_bytes == trusted
    resumed.append(DATA[trusted:])
    assert resumed.complete().read_bytes() == DATA
    resumed.close()
