from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bfl_fabric.domain.ports import Journal
from bfl_fabric.errors import ConfigurationError, JournalConflict, MalformedInput, StorageFull
from bfl_fabric.storage.journal import FileJournal

WRITER = """
import sys
from pathlib import Path
from bfl_fabric.storage.journal import FileJournal
journal = FileJournal(Path(sys.argv[1]))
for number in range(1_000_000):
    journal.record("opened", f"round {number}", "v" * (number % 3000))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "actor" / "journal.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[FileJournal]:
    opened = FileJournal(path)
    yield opened
    opened.close()


def three_lines(path: Path) -> bytes:
    journal = FileJournal(path)
    for number in range(3):
        journal.record("opened", f"t1/{number}", f"digest {number}")
    journal.close()
    return path.read_bytes()


@pytest.fixture
def whole_journal(tmp_path: Path) -> bytes:
    return three_lines(tmp_path / "whole" / "journal.jsonl")


def test_what_was_recorded_is_found_again_after_a_restart(path: Path, journal: FileJournal) -> None:
    port: Journal = journal
    port.record("opened", "t1/1", "aggregate \U0001f512 \n two lines")
    port.record("encrypted", "t1/1", "other")
    journal.close()
    again = FileJournal(path)
    assert again.find("opened", "t1/1") == "aggregate \U0001f512 \n two lines"
    assert again.find("encrypted", "t1/1") == "other"
    assert again.find("opened", "t1/2") is None
    again.close()


def test_recording_the_same_fact_again_writes_nothing(path: Path, journal: FileJournal) -> None:
    journal.record("opened", "t1/1", "a")
    before = path.read_bytes()
    journal.record("opened", "t1/1", "a")
    assert path.read_bytes() == before


def test_another_value_for_the_same_fact_is_a_conflict_and_changes_nothing(journal: FileJournal) -> None:
    journal.record("opened", "t1/1", "a")
    with pytest.raises(JournalConflict, match=r"t1/1: 'a' was recorded before"):
        journal.record("opened", "t1/1", "b")
    assert journal.find("opened", "t1/1") == "a"


def test_the_journal_is_readable_by_its_owner_only(path: Path, journal: FileJournal) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_journal_is_open_in_one_place_at_a_time(path: Path, journal: FileJournal) -> None:
    with pytest.raises(ConfigurationError, match="open elsewhere"):
        FileJournal(path)
    journal.close()
    FileJournal(path).close()


def test_a_torn_last_line_is_forgotten_whatever_its_length(path: Path) -> None:
    whole = three_lines(path)
    last = whole.rindex(b"\n", 0, -1) + 1
    for length in range(last, len(whole)):
        path.write_bytes(whole[:length])
        journal = FileJournal(path)
        assert journal.find("opened", "t1/1") == "digest 1"
        assert journal.find("opened", "t1/2") is None
        journal.record("opened", "t1/2", "digest 2")
        journal.close()
        assert path.read_bytes() == whole


def test_a_line_that_is_missing_or_out_of_order_is_refused(path: Path) -> None:
    lines = three_lines(path).splitlines(keepends=True)
    for order in ([1, 2], [0, 2], [1, 0, 2], [0, 0, 1, 2], [0, 1, 2, 2]):
        path.write_bytes(b"".join(lines[number] for number in order))
        with pytest.raises(MalformedInput, match="line "):
            FileJournal(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_flipped_bit_of_a_finished_line_goes_unnoticed(
    path: Path, whole_journal: bytes, data: st.DataObject
) -> None:
    whole = bytearray(whole_journal)
    path.parent.mkdir(exist_ok=True)
    position = data.draw(st.integers(0, len(whole) - 2))
    whole[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(whole))
    with pytest.raises(MalformedInput):
        FileJournal(path)


@pytest.mark.parametrize(
    "line", [b"{}\n", b"null\n", b"[1]\n", b"\n", b"\xff\n", b'{"check":1,"key":"","kind":"","value":""}\n']
)
def test_foreign_lines_are_refused(path: Path, line: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(line)
    with pytest.raises(MalformedInput):
        FileJournal(path)


@pytest.mark.parametrize("function", ["write", "fsync"])
def test_a_full_disk_records_nothing_and_harms_nothing(
    path: Path, journal: FileJournal, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    journal.record("opened", "t1/1", "a")
    real = getattr(os, function)
    calls = [0]

    def fail_once(*arguments: object) -> object:
        calls[0] += 1
        if calls[0] == 1:
            if function == "write":
                real(arguments[0], bytes(arguments[1][:5]))  # type: ignore[index]
            raise OSError(28, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail_once)
        with pytest.raises(StorageFull):
            journal.record("opened", "t1/2", "b")
    assert journal.find("opened", "t1/2") is None
    journal.record("opened", "t1/2", "c")
    journal.close()
    again = FileJournal(path)
    assert again.find("opened", "t1/1") == "a"
    assert again.find("opened", "t1/2") == "c"
    again.close()


@pytest.mark.parametrize("acknowledged", [1, 40])
def test_after_kill_9_every_acknowledged_fact_is_there(path: Path, acknowledged: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(acknowledged):
        process.stdout.readline()
    process.kill()
    rest = process.stdout.read()
    process.wait()
    process.stdout.close()
    count = acknowledged + rest.count("\n")
    journal = FileJournal(path)
    assert all(journal.find("opened", f"round {number}") == "v" * (number % 3000) for number in range(count))
    journal.close()
