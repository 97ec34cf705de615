from __future__ import annotations

import errno
import hashlib
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bfl_fabric.domain.ports import ReceivingStore
from bfl_fabric.errors import ConfigurationError, MalformedInput, NotFound, StorageFull
from bfl_fabric.storage.blobs import FileBlobStore

PUTTING_PROCESS = Path(__file__).with_name("putting_process.py")


@pytest.fixture
def store(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(tmp_path / "store")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let the operating system itself refuse to let a file grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def leftovers(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "store" / "incoming").iterdir())


def test_the_store_is_the_port_that_servers_ask_for(store: FileBlobStore) -> None:
    port: ReceivingStore = store
    assert port.incoming is store.incoming


@pytest.mark.parametrize("data", [b"", b"x", bytes(3 * 2**20)])
def test_put_names_a_blob_by_its_sha256_and_gives_it_back(store: FileBlobStore, data: bytes) -> None:
    digest = store.put(data)
    assert digest == sha256(data)
    assert store.has(digest)
    assert store.read(digest) == data
    assert store.path(digest).read_bytes() == data


def test_putting_the_same_bytes_twice_is_one_blob(store: FileBlobStore) -> None:
    digest = store.put(b"once")
    first = store.path(digest).stat()
    assert store.put(b"once") == digest
    assert store.path(digest).stat().st_ino == first.st_ino
    assert list(store.digests()) == [digest]


def test_blobs_lie_in_two_levels_and_are_read_only(store: FileBlobStore, tmp_path: Path) -> None:
    digest = store.put(b"data")
    path = store.path(digest)
    assert path == tmp_path / "store" / "blobs" / digest[:2] / digest
    assert path.stat().st_mode & 0o777 == 0o400


def test_a_second_store_on_the_directory_sees_the_blobs(store: FileBlobStore, tmp_path: Path) -> None:
    digests = {store.put(bytes([number])) for number in range(20)}
    again = FileBlobStore(tmp_path / "store")
    assert list(again.digests()) == sorted(digests)


def test_put_leaves_nothing_behind_in_the_staging_area(store: FileBlobStore, tmp_path: Path) -> None:
    store.put(b"data")
    assert leftovers(tmp_path) == []


def test_what_is_not_here_is_not_found(store: FileBlobStore) -> None:
    absent = sha256(b"absent")
    assert not store.has(absent)
    with pytest.raises(NotFound):
        store.read(absent)
    with pytest.raises(NotFound):
        store.path(absent)


@pytest.mark.parametrize(
    "name", ["", "ab", "../../../../etc/passwd", "A" * 64, "g" * 64, "0" * 63 + "\n", "٠" * 64]
)
def test_a_name_that_is_no_digest_never_reaches_the_file_system(store: FileBlobStore, name: str) -> None:
    for ask in (store.has, store.path, store.read):
        with pytest.raises(MalformedInput):
            ask(name)


def test_read_refuses_rotten_bytes_and_putting_them_again_heals(store: FileBlobStore) -> None:
    digest = store.put(b"sound")
    path = store.path(digest)
    path.chmod(0o600)
    path.write_bytes(b"sounD")
    with pytest.raises(MalformedInput, match="rotted"):
        store.read(digest)
    assert store.put(b"sound") == digest
    assert store.read(digest) == b"sound"


def test_adopt_moves_a_file_into_the_store(store: FileBlobStore, tmp_path: Path) -> None:
    source = tmp_path / "made elsewhere"
    source.write_bytes(b"content")
    digest = store.adopt(source)
    assert digest == sha256(b"content")
    assert not source.exists()
    assert store.read(digest) == b"content"
    assert store.path(digest).stat().st_mode & 0o777 == 0o400


def test_adopting_what_is_here_already_only_removes_the_file(store: FileBlobStore, tmp_path: Path) -> None:
    digest = store.put(b"content")
    source = tmp_path / "again"
    source.write_bytes(b"content")
    assert store.adopt(source) == digest
    assert not source.exists()
    assert list(store.digests()) == [digest]


def test_adopt_refuses_links_directories_pipes_and_absent_files(store: FileBlobStore, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"not mine")
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(MalformedInput):
        store.adopt(link)
    with pytest.raises(MalformedInput):
        store.adopt(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MalformedInput):
        store.adopt(tmp_path / "pipe")
    with pytest.raises(NotFound):
        store.adopt(tmp_path / "absent")
    assert target.read_bytes() == b"not mine"


def test_adopt_refuses_a_file_of_another_file_system(store: FileBlobStore) -> None:
    with pytest.raises(ConfigurationError, match="another file system"):
        store.adopt(Path("/proc/self/status"))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and renamed, in order."""
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        steps.append(f"sync {Path(target).name}" if os.path.isdir(target) else "sync bytes")
        sync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    return steps


@pytest.mark.parametrize("way", ["put", "adopt"])
def test_bytes_are_durable_before_their_name_and_the_name_before_the_answer(
    store: FileBlobStore, tmp_path: Path, steps: list[str], way: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"data")
    digest = store.put(b"data") if way == "put" else store.adopt(source)
    assert steps == ["sync bytes", "sync blobs", "rename", f"sync {digest[:2]}"]


def test_what_was_received_is_synced_once_and_named_once(store: FileBlobStore, steps: list[str]) -> None:
    digest = hashlib.sha256(b"data").hexdigest()
    receiving = store.incoming.open("upload", digest, 4)
    receiving.append(b"data")
    assert store.adopt(receiving.complete()) == digest
    receiving.close()
    assert steps == ["sync bytes", "sync blobs", "rename", f"sync {digest[:2]}"]


def test_a_full_disk_is_storage_full_and_loses_nothing(store: FileBlobStore, tmp_path: Path) -> None:
    kept = store.put(b"kept")
    with file_size_limit(100_000), pytest.raises(StorageFull):
        store.put(bytes(200_000))
    assert list(store.digests()) == [kept]
    assert store.read(kept) == b"kept"
    assert leftovers(tmp_path) == []
    assert store.has(store.put(bytes(200_000)))


@pytest.mark.parametrize("function", ["write", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_at_any_step_is_storage_full(
    store: FileBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, function, refuse)
        with pytest.raises(StorageFull):
            store.put(b"data")
    assert list(store.digests()) == []
    assert leftovers(tmp_path) == []


def test_a_failing_disk_is_not_mistaken_for_a_full_one(
    store: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Input/output"):
            store.put(b"data")
    assert list(store.digests()) == []


def test_short_writes_of_the_system_are_continued(
    store: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[[int, memoryview], int] = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    digest = store.put(b"a text that is longer than seven bytes")
    assert store.read(digest) == b"a text that is longer than seven bytes"


def test_the_quota_counts_what_was_there_before_and_each_blob_once(tmp_path: Path) -> None:
    first = FileBlobStore(tmp_path / "store")
    first.put(bytes(600))
    store = FileBlobStore(tmp_path / "store", max_bytes=1000)
    store.put(bytes(600))
    with pytest.raises(StorageFull, match="600 of the 1000 bytes"):
        store.put(bytes(401))
    store.put(b"x" * 400)
    source = tmp_path / "file"
    source.write_bytes(b"y")
    with pytest.raises(StorageFull):
        store.adopt(source)
    assert source.exists()


def test_threads_that_put_the_same_and_other_blobs_do_not_disturb_each_other(store: FileBlobStore) -> None:
    blobs = [bytes([number]) * 50_000 for number in range(12)]
    failures: list[BaseException] = []

    def put_all() -> None:
        try:
            for data in blobs:
                assert store.put(data) == sha256(data)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=put_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(store.digests()) == sorted(sha256(data) for data in blobs)
    assert all(store.read(digest) for digest in store.digests())


@pytest.mark.parametrize("visible", [1, 2, 7, 20, 45])
def test_after_kill_9_every_visible_blob_is_whole_and_nothing_reported_is_lost(
    tmp_path: Path, visible: int
) -> None:
    directory = tmp_path / "store"
    process = subprocess.Popen(
        [sys.executable, str(PUTTING_PROCESS), str(directory), str(visible)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    reported = {process.stdout.readline().strip() for _ in range(visible)}
    process.kill()
    reported |= {line.strip() for line in process.stdout if line.endswith("\n")}
    process.wait()
    process.stdout.close()
    store = FileBlobStore(directory)
    seen = set(store.digests())
    assert reported <= seen
    for digest in seen:
        assert sha256(store.read(digest)) == digest
    assert store.has(store.put(b"goes on"))
