"""The files of a recording: records of small facts and raw bytes, packed together.

Decides the format: each record is the length of its JSON head, the head, and the parts that the head counts; all of
a file's records are compressed as one. What the parts are is left to those who write and read them.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent
MANIFEST = HOME / "manifest.json"
_SIZES = "sizes"
SHOWN_BYTES = 100


@dataclass(frozen=True, slots=True)
class Record:
    """Something that was said: facts as JSON, and the bytes themselves."""

    facts: Mapping[str, Any]
    parts: tuple[bytes, ...] = field(default=())


def pack(records: Iterable[Record]) -> bytes:
    """Return the bytes of a file; the same records give the same bytes."""
    content = bytearray()
    for record in records:
        facts = {**record.facts, _SIZES: [len(part) for part in record.parts]}
        head = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
        content += len(head).to_bytes(4, "big") + head + b"".join(record.parts)
    return lzma.compress(bytes(content), preset=9 | lzma.PRESET_EXTREME)


def unpack(raw: bytes) -> Iterator[Record]:
    """Yield the records of a file."""
    content = lzma.decompress(raw)
    position = 0
    while position < len(content):
        size = int.from_bytes(content[position : position + 4], "big")
        position += 4
        facts = json.loads(content[position : position + size])
        position += size
        parts = []
        for length in facts.pop(_SIZES):
            parts.append(content[position : position + length])
            position += length
        yield Record(facts, tuple(parts))


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording: a directory named after Fabric's version and consensus, with a number from the second on."""

    directory: Path

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def kind(self) -> str:
        """Version and consensus, without the number."""
        return "-".join(self.name.split("-")[:2])

    def facts(self) -> dict[str, Any]:
        """Return what the peers themselves said of the chain, and what else was noted."""
        found: dict[str, Any] = json.loads((self.directory / "facts.json").read_text("utf-8"))
        return found

    def records(self, name: str) -> list[Record]:
        return list(unpack((self.directory / f"{name}.xz").read_bytes()))

    def blocks(self, whose: str) -> list[bytes]:
        """Return the chain as `peer` or `orderer` delivered it."""
        return [record.parts[0] for record in self.records(f"blocks-{whose}")]


def shown(value: bytes) -> str:
    """Return a value of the state as facts show it: in hex, a long one by its SHA-256."""
    return value.hex() if len(value) <= SHOWN_BYTES else "sha256 " + hashlib.sha256(value).hexdigest()


def recordings() -> list[Recording]:
    """Return all recordings, in the order of their names."""
    return [Recording(path.parent) for path in sorted(HOME.glob("*/facts.json"))]


def newest() -> list[Recording]:
    """Return the newest recording of each kind."""
    return list({recording.kind: recording for recording in sorted(recordings(), key=_number)}.values())


def digests(home: Path = HOME) -> dict[str, str]:
    """Return the SHA-256 of every file of every recording, by its path."""
    return {
        path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.glob("*-*/*"))
        if path.is_file()
    }


def read_manifest() -> dict[str, str]:
    found: dict[str, str] = json.loads(MANIFEST.read_text("utf-8"))
    return found


def write_manifest() -> None:
    MANIFEST.write_text(json.dumps(digests(), indent=1, sort_keys=True) + "\n", "utf-8")


def _number(recording: Recording) -> tuple[str, int]:
    parts = recording.name.split("-")
    return recording.kind, int(parts[2]) if len(parts) > 2 else 1
