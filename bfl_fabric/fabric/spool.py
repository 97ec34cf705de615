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

WINDOW_BYTES = 1 << 13
"""So much is read at once: what was put aside together is most often asked for together."""

_LENGTH_BITS = 32


class Spool:
    """Append-only: a value is found again by its place, a number. The file is opened with the first whole chunk."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._written_bytes = 0
        self._waiting = bytearray()
        self._window = b""
        self._window_start = self._window_end = 0

    def put(self, value: bytes) -> int:
        """Put a value aside and return its place. Raises StorageFull."""
        waiting = self._waiting
        place = self._written_bytes + len(waiting) << _LENGTH_BITS | len(value)
        waiting += value
        if len(waiting) >= CHUNK_BYTES:
            self._write()
        return place

    def get(self, place: int) -> bytes:
        """Return the value at a place. Raises StorageFull when the file does not give it back."""
        start = place >> _LENGTH_BITS
        end, before = start + (place & _LENGTHS), self._window_start
        if before <= start and end <= self._window_end:
            return self._window[start - before : end - before]
        before = self._written_bytes
        if start >= before:
            return bytes(self._waiting[start - before : end - before])
        return self._read(start, end - start)

    def _read(self, start: int, length: int) -> bytes:
        try:
            found = os.pread(self._descriptor, max(length, WINDOW_BYTES), start)
        except OSError as error:
            raise StorageFull(f"the temporary file cannot be read: {error.strerror}") from error
        if len(found) < length:
            raise StorageFull("the temporary file was cut off")
        if length < WINDOW_BYTES:
            self._window, self._window_start, self._window_end = found, start, start + len(found)
        return found[:length]

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


_LENGTHS = (1 << _LENGTH_BITS) - 1
