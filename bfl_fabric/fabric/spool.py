"""Bytes put aside in a temporary file, so that memory does not grow with the length of a chain.

Decides where they lie: in a file of this user without a name, which is gone with the process however that ends. What
is worth putting aside is left to the callers.
"""

from __future__ import annotations

import os
import tempfile
import weakref

from bfl_fabric.errors import StorageFull

CHUNK_BYTES = 1 << 16
"""What is put aside is written in pieces of about this size."""

_LENGTH_BITS = 32


class Spool:
    """Append-only: a value is found again by its place, a number. The file is opened with the first whole chunk."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._written_bytes = 0
        self._waiting = bytearray()

    def put(self, value: bytes) -> int:
        """Put a value aside and return its place. Raises StorageFull."""
        place = (self._written_bytes + len(self._waiting)) << _LENGTH_BITS | len(value)
        self._waiting += value
        if len(self._waiting) >= CHUNK_BYTES:
            self._write()
        return place

    def get(self, place: int) -> bytes:
        """Return the value at a place. Raises StorageFull when the file does not give it back."""
        start, length = place >> _LENGTH_BITS, place & (1 << _LENGTH_BITS) - 1
        waiting = start - self._written_bytes
        if waiting >= 0:
            return bytes(self._waiting[waiting : waiting + length])
        try:
            value = os.pread(self._descriptor, length, start)
        except OSError as error:
            raise StorageFull(f"the temporary file cannot be read: {error.strerror}") from error
        if len(value) != length:
            raise StorageFull("the temporary file was cut off")
        return value

    def _write(self) -> None:
        try:
            if self._descriptor < 0:
                self._open()
            rest = memoryview(self._waiting)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise StorageFull(f"the temporary file cannot be written: {error.strerror}") from error
        self._written_bytes += len(self._waiting)
        self._waiting = bytearray()

    def _open(self) -> None:
        with tempfile.TemporaryFile(buffering=0) as file:
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
