"""The digest of the contract's source, which an upgrade's proposal names and every voter compares with its own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import bfl_chaincode
from bfl_chaincode.api import canonical


def source_digest(root: Path | None = None) -> str:
    """Return the SHA-256 of the canonical JSON of every source file's digest, by its path below the package."""
    place = Path(bfl_chaincode.__file__).parent if root is None else root
    files = {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in place.rglob("*.py")
    }
    return hashlib.sha256(canonical.dump(files)).hexdigest()
