"""Stores in memory that keep the promises of the real ones except durability."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bfl_fabric.errors import JournalConflict, MalformedInput, NotFound


class MemoryBlobStore:
    """A blob store of small blobs. `path` needs a file, so each blob is written once to `folder` when asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs: dict[str, bytes] = {}

    @property
    def digests(self) -> frozenset[str]:
        """The names of all blobs."""
        return frozenset(self._blobs)

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self._blobs.setdefault(digest, bytes(data))
        return digest

    def adopt(self, path: Path) -> str:
        digest = self.put(path.read_bytes())
        path.unlink()
        return digest

    def has(self, digest: str) -> bool:
        return digest in self._blobs

    def path(self, digest: str) -> Path:
        data = self.read(digest)
        path = self._folder / digest
        if not path.exists():
            path.write_bytes(data)
        return path

    def read(self, digest: str) -> bytes:
        if digest not in self._blobs:
            raise NotFound(f"no blob {digest} here")
        data = self._blobs[digest]
        if hashlib.sha256(data).hexdigest() != digest:
            raise MalformedInput(f"the blob {digest} rotted")
        return data

    def rot(self, digest: str) -> None:
        """Flip a bit of a stored blob."""
        data = bytearray(self._blobs[digest])
        data[len(data) // 2] ^= 1
        self._blobs[digest] = bytes(data)
        (self._folder / digest).unlink(missing_ok=True)

    def lose(self, digest: str) -> None:
        """Forget a blob, as a replaced disk would."""
        del self._blobs[digest]
        (self._folder / digest).unlink(missing_ok=True)


class MemoryJournal:
    """A journal whose facts are written once."""

    def __init__(self) -> None:
        self.facts: dict[tuple[str, str], str] = {}

    def record(self, kind: str, key: str, value: str) -> None:
        found = self.facts.setdefault((kind, key), value)
        if found != value:
            raise JournalConflict(f"{kind} of {key} is {found} already; {value} was refused")

    def find(self, kind: str, key: str) -> str | None:
        return self.facts.get((kind, key))
