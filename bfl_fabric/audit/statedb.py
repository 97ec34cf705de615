"""The state database of an embedded ledger, compared with the state that the blocks make.

Decides nothing about the chain: the database is derived and could be thrown away. A difference still matters,
because it is what the ledger's clients are told. Its form is agreed, not shared: table `state` with a row for each
key of the world state (`namespace`, `key` in UTF-8, `value`), table `savepoint` with the `height`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.fabric.state import ReplayedState

CACHE_KIB = 256


def check_state_database(path: Path, state: ReplayedState, height: int, findings: Findings) -> None:
    """Compare every row with the state that the blocks make, and have SQLite check its own file."""
    if not path.is_file():
        findings.fail(Check.STATE_ROWS, f"{path.name}: there is no such file")
        return
    try:
        with closing(_connect(path)) as connection:
            _check_integrity(connection, path.name, findings)
            _check_height(connection, path.name, height, findings)
            _check_rows(connection, path.name, state, findings)
    except (sqlite3.Error, UnicodeDecodeError, ValueError) as error:
        findings.fail(Check.STATE_ROWS, f"{path.name} cannot be read: {error}")


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file for reading only; it is read once from end to end, so that remembering pages gains nothing."""
    connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


def _check_integrity(connection: sqlite3.Connection, name: str, findings: Findings) -> None:
    for (line,) in connection.execute("PRAGMA integrity_check(8)"):
        if line != "ok":
            findings.fail(Check.STATE_ROWS, f"{name}: SQLite finds its file damaged: {line}")


def _check_height(connection: sqlite3.Connection, name: str, height: int, findings: Findings) -> None:
    row = connection.execute("SELECT height FROM savepoint").fetchone()
    if row is None or row[0] != height:
        found = "nothing" if row is None else f"{row[0]} blocks"
        findings.fail(Check.STATE_ROWS, f"{name} is of {found}, the chain of {height}")


def _check_rows(connection: sqlite3.Connection, name: str, state: ReplayedState, findings: Findings) -> None:
    """Rows come in the order of their keys, so that none has to be remembered to be counted once."""
    found, previous = 0, None
    for namespace, key, value in connection.execute(
        "SELECT namespace, key, value FROM state ORDER BY namespace, key"
    ):
        findings.count(Check.STATE_ROWS)
        at = (namespace, bytes(key).decode("utf-8"))
        expected = state.value(*at)
        if expected != bytes(value):
            findings.fail(Check.STATE_ROWS, f"{name}: the row {_readable(at)} is not what the blocks wrote")
        found += expected is not None and at != previous
        previous = at
    if found < state.public_count:
        rows = connection.execute("SELECT namespace, key FROM state")
        present = {(namespace, bytes(key).decode("utf-8")) for namespace, key in rows}
        for at in sorted(set(state.public_keys()) - present):
            findings.fail(Check.STATE_ROWS, f"{name}: the row {_readable(at)} is missing")


def _readable(at: tuple[str, str]) -> str:
    return repr(f"{at[0]} {at[1].strip(chr(0)).replace(chr(0), '~')}")
