"""A silo's transport key pair on disk: what group keys are granted to. Read and written by the worker process only.

"BFLK", version (u32), secret material, SHA-256 of all before; mode 0600
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from pathlib import Path

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.threshold import files
from bfl_fabric.he.threshold.transport import TransportKey

MAGIC = b"BFLK"
VERSION = 1
_PREFIX = struct.Struct("<4sI")
_CHECKSUM_BYTES = 32


def made(path: Path) -> TransportKey:
    """Return the pair of this file; make it when there is none. Raises as `read` does."""
    if not path.exists():
        data = _PREFIX.pack(MAGIC, VERSION) + os.urandom(TransportKey.MATERIAL_BYTES)
        # where another call was faster, its pair is the one
        with contextlib.suppress(FileExistsError):
            files.create(path, data + hashlib.sha256(data).digest())
    return read(path)


def read(path: Path) -> TransportKey:
    """Read the file.

    Raises:
        NotFound: there is no such file.
        KeyHolderRefused: others may read it, it is another user's, or it is not a plain file.
        MalformedInput: it is damaged or something else.
    """
    data = files.read(path)
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if (
        len(body) != _PREFIX.size + TransportKey.MATERIAL_BYTES
        or hashlib.sha256(body).digest() != checksum
        or _PREFIX.unpack_from(body) != (MAGIC, VERSION)
    ):
        raise MalformedInput(f"the transport key file {path.name} is damaged, or something else")
    return TransportKey.from_bytes(body[_PREFIX.size :])
