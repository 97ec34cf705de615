"""A silo's transport key pair on disk, a private file: what group keys are granted to."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from bfl_fabric.he import privatefile
from bfl_fabric.he.privatefile import Frame
from bfl_fabric.he.transportkey import TransportKey

FRAME = Frame(b"BFLK", 1, "transport key file", "make another pair and have the key granted again")


def made(path: Path) -> TransportKey:
    """Return the pair of this file; make it when there is none. Raises as `read` does."""
    if not path.exists():
        data = FRAME.around(os.urandom(TransportKey.MATERIAL_BYTES))
        # where another call was faster, its pair is the one
        with contextlib.suppress(FileExistsError):
            privatefile.create(path, data)
    return read(path)


def read(path: Path) -> TransportKey:
    """Read the file.

    Raises:
        NotFound: there is no such file.
        KeyHolderRefused: others may read it, it is another user's, or it is not a plain file.
        MalformedInput: it is damaged or something else.
    """
    material = FRAME.read(path)
    if len(material) != TransportKey.MATERIAL_BYTES:
        raise FRAME.damaged(path)
    return TransportKey.from_bytes(material)
