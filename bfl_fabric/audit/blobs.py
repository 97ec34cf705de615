"""The blobs that an audit was given: found by digest, and never believed before they are hashed.

Decides the difference between a blob that nobody gave (withheld) and one whose bytes are not what its name says
(altered). What is in a blob is left to `ciphertexts` and `opened`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from bfl_fabric.audit.findings import Check, Findings, Place

_DIGEST = re.compile(r"[0-9a-f]{64}")
_STORE = "blobs"
_KEPT = 4


class BlobFinder(Protocol):
    """Finds what may be the blob with a digest. It need not check anything."""

    def find(self, digest: str) -> Sequence[Path]:
        """Return every file that is said to be this blob; none when it was not given."""

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield every file that there is, with its label for people: a name that has no machine in it."""


class DirectoryFinder:
    """Every blob store in or below the given directories: `…/blobs/ab/<sha-256>`.

    The same blob may lie in many stores. A file with another name in a store is nobody's blob and is reported.
    """

    def __init__(self, directories: Iterable[Path]) -> None:
        self._files: list[tuple[str, Path]] = []
        self._places: dict[str, list[Path]] = {}
        for directory in directories:
            for store in _stores(directory):
                for path in sorted(store.rglob("*")):
                    if path.is_symlink() or not path.is_dir():
                        self._files.append((str(path.relative_to(directory)), path))
                        self._places.setdefault(path.name, []).append(path)

    def find(self, digest: str) -> Sequence[Path]:
        return self._places.get(digest, ())

    def files(self) -> Iterator[tuple[str, Path]]:
        return iter(self._files)


class Blobs:
    """Hands out checked blobs to one audit; every file is hashed once."""

    def __init__(self, finder: BlobFinder, findings: Findings) -> None:
        self._finder = finder
        self._findings = findings
        self._hashes: dict[Path, str] = {}
        self._made: dict[str, bytes] = {}

    def keep(self, digest: str, data: bytes) -> None:
        """Keep what the audit computed itself: nobody has to give it. Only the last few are kept."""
        self._made[digest] = data
        while len(self._made) > _KEPT:
            del self._made[next(iter(self._made))]

    def read(self, digest: str, subject: str, check: Check, place: Place) -> bytes | None:
        """Return the bytes with this digest, computed or given; None and noted as `locate` does."""
        if digest in self._made:
            return self._made[digest]
        path = self.locate(digest, subject, check, place)
        return None if path is None else path.read_bytes()

    def locate(self, digest: str, subject: str, check: Check, place: Place) -> Path | None:
        """Return a file with exactly this digest.

        None when there is none: a blob that nobody gave is noted as withheld, one of which every copy has other
        bytes as a failure of `check`.
        """
        candidates = self._finder.find(digest)
        if not candidates:
            self._findings.miss(digest, subject)
            return None
        for path in candidates:
            if self._hash(path) == digest:
                return path
        self._findings.fail(check, f"{subject} was altered: its bytes do not have its digest", place, digest)
        return None

    def has(self, digest: str) -> bool:
        """Say whether any file is said to be this blob."""
        return bool(self._finder.find(digest))

    def check_files(self) -> None:
        """Hash every file that was given: a name that is not the digest of the bytes is a failure."""
        for label, path in self._finder.files():
            self._findings.count(Check.BLOBS)
            name = path.name
            if not _DIGEST.fullmatch(name):
                self._findings.fail(Check.BLOBS, f"{label} lies in a blob store and is named by no digest")
            elif path.is_symlink() or not path.is_file():
                self._findings.fail(Check.BLOBS, f"{label} is not a regular file", blob=name)
            elif self._hash(path) != name:
                self._findings.fail(Check.BLOBS, f"{label} was altered", blob=name)

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = _file_digest(path)
        return self._hashes[path]


def _stores(directory: Path) -> list[Path]:
    if directory.name == _STORE:
        return [directory]
    return [path for path in sorted(directory.rglob(_STORE)) if path.is_dir() and not path.is_symlink()]


def _file_digest(path: Path) -> str:
    """Return the digest of a file, "" when it cannot be read: that is no blob's digest."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
