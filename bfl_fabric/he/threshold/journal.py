"""What a member has answered, in a folder beside its secret file: written and synced before an answer leaves.

Decides: one question for each attempt; one active set for each C1, for good; one set of uploads for each round. The
same question may come again and gets the same answer, because its noise follows from the question. A member whose
folder was lost or set back has forgotten what it answered: it must retire the epoch (docs/encryption.md).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_fabric.errors import KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.he import privatefile

_CHECKSUM_CHARACTERS = 64


class AnswerJournal:
    """Facts that are written once and lists that only grow, each a file of its own that names what it is about."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def record(self, kind: str, about: Mapping[str, Json], value: str, refusal: str) -> None:
        """Write down a fact. When this returns it is durable.

        Raises:
            KeyHolderRefused: with `refusal`, when another value stands there.
        """
        path, data = self._path(kind, about), _checked({"about": dict(about), "value": value})
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                privatefile.create(path, data)
        if privatefile.read(path) != data:
            raise KeyHolderRefused(refusal)

    def entries(self, kind: str, about: Mapping[str, Json]) -> list[Json]:
        """Return what was appended under (kind, about). Raises MalformedInput when the file is damaged."""
        try:
            data = privatefile.read(self._path(kind, about))
        except NotFound:
            return []
        body, checksum = data[:-_CHECKSUM_CHARACTERS], data[-_CHECKSUM_CHARACTERS:]
        if hashlib.sha256(body).hexdigest().encode("ascii") != checksum:
            raise MalformedInput(
                "a file of what this member has answered is damaged; restore it or retire the epoch"
            )
        found = canonical.parse(body)
        assert isinstance(found, dict)
        value = found["value"]
        assert isinstance(value, list)
        return value

    def append(self, kind: str, about: Mapping[str, Json], entry: Json) -> None:
        """Add an entry. When this returns it is durable."""
        value: list[Json] = [*self.entries(kind, about), entry]
        privatefile.replace(self._path(kind, about), _checked({"about": dict(about), "value": value}))

    def _path(self, kind: str, about: Mapping[str, Json]) -> Path:
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            privatefile.sync_directory(self._folder.parent)
        return self._folder / f"{kind}-{canonical.digest(about)}"


def _checked(fields: Mapping[str, Json]) -> bytes:
    data = canonical.dump(fields)
    return data + hashlib.sha256(data).hexdigest().encode("ascii")
