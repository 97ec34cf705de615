"""Archives of a peer's home: the same bytes every time, and nothing taken from them that we would not write."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.network.operations.archives import digest_of, pack, unpack


def home(place: Path) -> Path:
    (place / "msp" / "keystore").mkdir(parents=True)
    (place / "data").mkdir()
    (place / "data" / "blocks").write_bytes(os.urandom(3_000_000))
    (place / "data" / "empty").mkdir()
    key = place / "msp" / "keystore" / "key"
    key.write_text("secret")
    key.chmod(0o600)
    script = place / "build"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    return place


def content(place: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(place).as_posix(): path.read_bytes() if path.is_file() else None
        for path in place.rglob("*")
    }


def test_an_archive_gives_back_what_was_packed(tmp_path: Path) -> None:
    source = home(tmp_path / "home")
    pack(source, tmp_path / "a.tar")
    unpack(tmp_path / "a.tar", tmp_path / "b")
    assert content(tmp_path / "b") == content(source)
    assert (tmp_path / "b" / "msp" / "keystore" / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "b" / "build").stat().st_mode & 0o100


def test_the_same_home_gives_the_same_archive_whenever_and_whoever_packs_it(tmp_path: Path) -> None:
    source = home(tmp_path / "home")
    first = pack(source, tmp_path / "a.tar")
    for path in source.rglob("*"):
        os.utime(path, (1, 1))
    assert pack(source, tmp_path / "b.tar") == first == digest_of(tmp_path / "a.tar")


def test_only_the_owner_may_read_an_archive(tmp_path: Path) -> None:
    pack(home(tmp_path / "home"), tmp_path / "a.tar")
    assert (tmp_path / "a.tar").stat().st_mode & 0o777 == 0o600


def test_an_archive_is_never_written_over_another_file(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("mine")
    with pytest.raises(ConfigurationError, match="exists already"):
        pack(home(tmp_path / "home"), tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_text() == "mine"


def test_a_link_is_not_archived(tmp_path: Path) -> None:
    source = home(tmp_path / "home")
    (source / "link").symlink_to("/etc/passwd")
    with pytest.raises(ConfigurationError, match="neither file nor directory"):
        pack(source, tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[[tarfile.TarFile], None]:
    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        info.size = 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(b"evil"))

    return add


def twice(archive: tarfile.TarFile) -> None:
    entry("a")(archive)
    entry("./a")(archive)


FORGED = {
    "an absolute path": entry("/tmp/evil"),
    "a path that leaves": entry("a/../../evil"),
    "a path that leaves at once": entry("../evil"),
    "a symbolic link": entry("a", tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link": entry("a", tarfile.LNKTYPE, "b"),
    "a device": entry("a", tarfile.CHRTYPE),
    "a pipe": entry("a", tarfile.FIFOTYPE),
    "a name twice": twice,
    "a backslash": entry("..\\evil"),
    "nothing but a dot": entry("."),
}


@pytest.mark.parametrize("what", FORGED)
def test_an_archive_is_refused_that_holds(what: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        FORGED[what](archive)
    before = {path for path in tmp_path.rglob("*") if "into" not in path.parts}
    with pytest.raises(MalformedInput):
        unpack(tmp_path / "a.tar", tmp_path / "into")
    assert {path for path in tmp_path.rglob("*") if "into" not in path.parts} == before


@pytest.mark.parametrize("damage", [b"", b"no archive at all" * 100])
def test_what_is_no_archive_is_refused(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(damage)
    with pytest.raises(MalformedInput, match="no archive"):
        unpack(tmp_path / "a.tar", tmp_path / "into")


def test_half_an_archive_is_refused(tmp_path: Path) -> None:
    pack(home(tmp_path / "home"), tmp_path / "a.tar")
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MalformedInput):
        unpack(tmp_path / "a.tar", tmp_path / "into")
