"""A small append-only journal: what an actor did and must not do differently later.

Decides what counts as written: a line is there when it is whole and synced, and an unfinished last line was never
acknowledged, so it is cut off on opening. Every line carries a check that chains it to the line before, so rot
and edits are found; only the loss of whole lines at the end cannot be seen. Leaves to the roles which facts are
worth a line.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bfl_chaincode.api import canonical
from bfl_fabric.errors import ConfigurationError, JournalConflict, MalformedInput
from bfl_fabric.storage.durable_files import make_directory, room_for, sync_directory, write_all


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: str
    key: str
    value: str

    def check(self, previous: str) -> str:
        return hashlib.sha256(previous.encode() + canonical.dump(self._fact())).hexdigest()

    def line(self, previous: str) -> bytes:
        return canonical.dump({"check": self.check(previous), **self._fact()}) + b"\n"

    def _fact(self) -> dict[str, canonical.Json]:
        return {"key": self.key, "kind": self.kind, "value": self.value}


class FileJournal:
    """The port `Journal` in one file, held by one process at a time.

    Raises ConfigurationError when another process (or another object of this one) has it open, MalformedInput
    when a line is not what was written: then nothing is guessed, restore the file from a backup.
    """

    def __init__(self, path: Path) -> None:
        make_directory(path.parent)
        self._path = path
        self._guard = threading.Lock()
        self._facts: dict[tuple[str, str], str] = {}
        self._last_check = ""
        self._file = self._open()
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise

    def record(self, kind: str, key: str, value: str) -> None:
        """Write the fact down durably; the same fact again is nothing new.

        Raises JournalConflict when another value stands under (kind, key), StorageFull when it could not be
        written: then it is not recorded.
        """
        with self._guard:
            known = self._facts.get((kind, key))
            if known == value:
                return
            if known is not None:
                raise JournalConflict(f"{kind} {key}: {known!r} was recorded before, now asked for {value!r}")
            self._append(_Entry(kind, key, value))
            self._facts[kind, key] = value

    def find(self, kind: str, key: str) -> str | None:
        """Return the value under (kind, key), None when nothing was ever recorded there."""
        with self._guard:
            return self._facts.get((kind, key))

    def close(self) -> None:
        """Let another process have the journal."""
        self._file.close()

    def _open(self) -> BinaryIO:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise ConfigurationError(
                f"the journal {self._path.name} is open elsewhere: run one process per journal"
            ) from error
        sync_directory(self._path.parent)
        return file

    def _load(self) -> None:
        content = self._path.read_bytes()
        lines = content.split(b"\n")
        torn = lines.pop()
        for number, line in enumerate(lines, start=1):
            entry = self._parse(line, number)
            self._facts[entry.kind, entry.key] = entry.value
        whole_bytes = len(content) - len(torn)
        if torn:
            self._file.truncate(whole_bytes)
            os.fsync(self._file.fileno())
        self._file.seek(whole_bytes)

    def _parse(self, line: bytes, number: int) -> _Entry:
        try:
            value = canonical.parse(line)
        except canonical.NotCanonical as error:
            raise MalformedInput(f"the journal {self._path.name}, line {number}: {error}") from error
        match value:
            case {"check": str(check), "key": str(key), "kind": str(kind), "value": str(fact)}:
                entry = _Entry(kind, key, fact)
                if entry.line(self._last_check) == line + b"\n" and (kind, key) not in self._facts:
                    self._last_check = check
                    return entry
        raise MalformedInput(f"the journal {self._path.name}, line {number}: not what was written there")

    def _append(self, entry: _Entry) -> None:
        start = self._file.tell()
        try:
            with room_for(f"a line of the journal {self._path.name}"):
                write_all(self._file.fileno(), entry.line(self._last_check))
                os.fsync(self._file.fileno())
        except BaseException:
            self._cut_back(start)
            raise
        self._last_check = entry.check(self._last_check)

    def _cut_back(self, length: int) -> None:
        """Undo a broken write; when even that fails, close, so that nothing is written after a torn line."""
        try:
            self._file.truncate(length)
            self._file.seek(length)
            os.fsync(self._file.fileno())
        except BaseException:
            self._file.close()
            raise
