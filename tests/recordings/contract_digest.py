"""What the contract was when it was recorded: one digest over its rules, so that a replay can say why it differs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import bfl_chaincode

_OTHERS = "shim"


def contract_digest() -> str:
    """Return the SHA-256 over the contract's sources, without the shim, which replays must not depend on."""
    root = Path(bfl_chaincode.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if name.parts[0] != _OTHERS:
            digest.update(f"{name.as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()
