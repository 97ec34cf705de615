"""The auditor's own reader of block files, and of the state database beside them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.source import collect_blocks, read_block_file
from bfl_fabric.audit.statedb import check_state_database
from bfl_fabric.embedded.blockfile import BlockFile
from bfl_fabric.errors import AuditFailed
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.state import ReplayedState, Space, Updates, Versioned

BLOCKS = [b"genesis", b"x" * 127, b"y" * 128, b"z" * 20_000, b"end"]
STATE = {("bfl", "\0task\0a\0"): b"1", ("bfl", "\0task\0b\0"): b"2", ("_lifecycle", "namespaces"): b"3"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = BlockFile(tmp_path / "blocks.bin")
    for block in BLOCKS:
        file.append(block)
    file.close()
    return tmp_path / "blocks.bin"


def test_what_the_ledger_appended_is_what_the_auditor_reads(path: Path) -> None:
    assert list(read_block_file(path)) == BLOCKS


def test_an_empty_file_has_no_blocks(tmp_path: Path) -> None:
    (tmp_path / "blocks.bin").touch()
    assert list(read_block_file(tmp_path / "blocks.bin")) == []


def test_a_missing_file_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(AuditFailed, match="cannot be read"):
        list(read_block_file(tmp_path / "blocks.bin"))


def test_a_file_cut_off_anywhere_but_between_blocks_names_the_offset(path: Path) -> None:
    whole = path.read_bytes()
    ends = {0}
    for block in BLOCKS:
        ends.add(max(ends) + len(block) + (1 if len(block) < 128 else 2 if len(block) < 16384 else 3))
    for length in (*range(300), len(whole) - 1, len(whole) - 5):
        path.write_bytes(whole[:length])
        if length in ends:
            list(read_block_file(path))
            continue
        with pytest.raises(AuditFailed, match=f"at byte {max(end for end in ends if end <= length)}"):
            list(read_block_file(path))


@pytest.mark.parametrize(
    "garbage", [b"\x00", b"\x80\x00", b"\xff\xff\xff\xff\xff", b"\x81\x80\x80\x80\x04", b"\x05ab", b"\x80"]
)
def test_anything_behind_the_last_block_is_a_failure(path: Path, garbage: bytes) -> None:
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(garbage)
    with pytest.raises(AuditFailed, match=f"block {len(BLOCKS)} at byte {size}"):
        list(read_block_file(path))


def test_blocks_of_a_ledger_client_are_collected() -> None:
    async def deliver() -> AsyncIterator[bytes]:
        for block in BLOCKS:
            yield block

    assert asyncio.run(collect_blocks(deliver())) == BLOCKS


# --- state.db -----------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE savepoint (id INTEGER, height INTEGER)")
        connection.execute("INSERT INTO savepoint VALUES (1, 5)")
        connection.execute("CREATE TABLE state (namespace TEXT, key BLOB, value BLOB)")
        rows = [(space, key.encode(), value) for (space, key), value in STATE.items()]
        connection.executemany("INSERT INTO state VALUES (?, ?, ?)", rows)
    return path


def _state() -> ReplayedState:
    updates, state = Updates(), ReplayedState()
    for (namespace, key), value in STATE.items():
        updates.put(Space(namespace), key.encode(), Versioned(value, None, Height(1, 0)))
    state.commit(updates)
    return state


def _compared(path: Path, change: str = "", height: int = 5) -> list[str]:
    if change:
        with sqlite3.connect(path) as connection:
            connection.execute(change)
    findings = Findings()
    check_state_database(path, _state(), height, findings)
    assert all(failure.check is Check.STATE_ROWS for failure in findings.failures)
    return [failure.message for failure in findings.failures]


def test_a_database_that_says_what_the_blocks_say_is_right(database: Path) -> None:
    before = database.read_bytes()
    assert _compared(database) == []
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "UPDATE state SET value = x'39' WHERE value = x'31'",
            "the row 'bfl task~a' is not what the blocks wrote",
        ),
        ("DELETE FROM state WHERE value = x'32'", "the row 'bfl task~b' is missing"),
        ("INSERT INTO state VALUES ('bfl', x'61', x'62')", "the row 'bfl a' is not what"),
        (
            "UPDATE state SET (key, value) = (SELECT key, value FROM state WHERE value = x'31') WHERE value = x'32'",
            "the row 'bfl task~b' is missing",
        ),
        ("UPDATE savepoint SET height = 4", "is of 4 blocks, the chain of 5"),
        ("DELETE FROM savepoint", "is of nothing"),
        ("DROP TABLE state", "cannot be read"),
        ("UPDATE state SET key = x'ff' WHERE value = x'31'", "cannot be read"),
    ],
)
def test_a_database_that_says_otherwise_is_a_failure(database: Path, change: str, words: str) -> None:
    assert any(words in message for message in _compared(database, change))


def test_a_damaged_database_file_is_a_failure(database: Path) -> None:
    whole = database.read_bytes()
    database.write_bytes(whole[:100] + b"\xff" * 64 + whole[164:])
    assert _compared(database)


def test_a_database_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    assert _compared(tmp_path / "state.db") == ["state.db: there is no such file"]
