"""Files that hold private keys: made with mode 0600 in directories of mode 0700, never overwritten.

Decides who may read a key file. What is in it is left to the callers.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bfl_fabric.errors import ConfigurationError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_directory(path: Path) -> Path:
    """Make `path` and its missing parents with mode 0700 and return it."""
    for missing in reversed([path, *path.parents]):
        if not missing.exists():
            missing.mkdir(mode=0o700, exist_ok=True)
    return path


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file of mode 0600, synced. Raises ConfigurationError when it exists already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(f"{path}: exists already; keys are never overwritten") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_secret(path: Path) -> bytes:
    """Read a key file; refuse one that group or others may read. Raises ConfigurationError."""
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the private key: {error.strerror}") from error
    if mode & _OTHERS:
        raise ConfigurationError(f"{path}: others can read this private key; run: chmod 600 {path}")
    return data
