"""Where Fabric's programs are looked for, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from bfl_fabric.errors import ProgramsMissing
from bfl_fabric.network.programs import Programs, find_programs, list_programs

BOTH = ("peer", "orderer")


def install(directory: Path, *programs: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in programs:
        path = directory / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return directory


def test_the_named_directory_comes_first(tmp_path: Path) -> None:
    named = install(tmp_path / "named", "peer", "orderer")
    install(tmp_path / "data" / "fabric" / "3.1.5" / "bin", *BOTH)
    environment = {"BFL_FABRIC_BIN": str(named)}
    assert find_programs("", environment, tmp_path / "data").directory == named
    assert find_programs("3.1.5", environment, tmp_path / "data").directory == named


def test_the_newest_version_in_the_data_directory_is_taken(tmp_path: Path) -> None:
    for version in ("2.5.16", "3.1.5", "3.1.10", "nightly"):
        install(tmp_path / "fabric" / version / "bin", *BOTH)
    assert find_programs("", {}, tmp_path).directory == tmp_path / "fabric" / "3.1.10" / "bin"


def test_a_version_is_taken_when_it_is_asked_for(tmp_path: Path) -> None:
    for version in ("2.5.16", "3.1.5"):
        install(tmp_path / "fabric" / version / "bin", *BOTH)
    assert find_programs("2.5.16", {}, tmp_path).directory == tmp_path / "fabric" / "2.5.16" / "bin"


def test_a_directory_without_a_peer_is_passed_over(tmp_path: Path) -> None:
    install(tmp_path / "fabric" / "3.1.5" / "bin", "orderer")
    install(tmp_path / "fabric" / "2.5.16" / "bin", *BOTH)
    assert find_programs("", {}, tmp_path).directory == tmp_path / "fabric" / "2.5.16" / "bin"


def test_path_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = install(tmp_path / "path", *BOTH)
    monkeypatch.setenv("PATH", str(on_path))
    programs = find_programs("", {}, tmp_path / "nothing")
    assert programs.directory is None
    assert programs.path("peer") == on_path / "peer"


def test_a_version_may_be_given_in_part(tmp_path: Path) -> None:
    for version in ("3.1.5", "3.1.10", "3.10.0"):
        install(tmp_path / "fabric" / version / "bin", *BOTH)
    assert find_programs("3.1", {}, tmp_path).directory == tmp_path / "fabric" / "3.1.10" / "bin"


def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ProgramsMissing, match=r"(?s)`peer` and `orderer`.*docker compose.*BFL_FABRIC_BIN"
    ) as told:
        find_programs("", {}, tmp_path)
    assert str(tmp_path / "fabric") in str(told.value)
    assert told.value.exit_code == 12
    with pytest.raises(ProgramsMissing, match=r"archive of Fabric 9\.9\.9"):
        find_programs("9.9.9", {}, tmp_path)
    with pytest.raises(ProgramsMissing, match="osnadmin"):
        Programs(install(tmp_path / "bin", "peer")).path("osnadmin")


def test_what_was_found_is_listed_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    place = install(tmp_path / "fabric" / "3.1.5" / "bin", *BOTH)
    (place / "peer").write_text("#!/bin/sh\nprintf 'peer:\\n Version: v3.1.5\\n'\n")
    found = list_programs({}, tmp_path)
    assert [(item.version, item.programs) for item in found] == [("3.1.5", BOTH)]
