"""Residues as bits: the one byte form of a row of numbers of any width up to 32.

Number i occupies the bits from i·width of a little-endian bit string. Rows have a multiple of 8 numbers, so a row is
whole bytes and every byte string of the right length is the image of exactly one row of width-bit numbers. Whether
they are below their prime is the gate's question.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.he.lattice.ring import Residues

GROUP = 8
"""Numbers that fill whole bytes together, whatever the width."""

WINDOW_BYTES = 8


def packed_bytes(count: int, width: int) -> int:
    """Return the length of `count` packed numbers, a multiple of 8."""
    return count // GROUP * width


def pack(numbers: Residues, width: int) -> bytes:
    """Return the bit string of numbers below 2^width, as many as are a multiple of 8."""
    groups = numbers.reshape(-1, GROUP)
    words = np.zeros((groups.shape[0], _words(width)), dtype="<u8")
    for index in range(GROUP):
        word, shift = divmod(index * width, 64)
        words[:, word] |= groups[:, index] << np.uint64(shift)
        if shift + width > 64:
            words[:, word + 1] |= groups[:, index] >> np.uint64(64 - shift)
    return words.view(np.uint8)[:, :width].tobytes()


def unpack(data: bytes | memoryview, width: int) -> Residues:
    """Return the numbers of a bit string, uint64[8·len(data)/width]."""
    padded = np.zeros(len(data) + WINDOW_BYTES, dtype=np.uint8)
    padded[: len(data)] = np.frombuffer(data, dtype=np.uint8)
    columns = np.empty((GROUP, len(data) // width), dtype=np.uint64)
    read_columns(padded, 0, width, columns)
    return columns.T.reshape(-1)


def read_columns(padded: NDArray[np.uint8], start: int, width: int, columns: Residues) -> None:
    """Read the numbers of a bit string into `columns`, uint64[8, count]: number i to [i mod 8, i div 8].

    A number lies within the 8 bytes from that in which it begins; numbers in the same place of their group are read
    together, `width` bytes apart. The string begins at byte `start` and is followed by 8 bytes of whatever.
    """
    count = columns.shape[1]
    if count == 0:
        return
    for index in range(GROUP):
        columns[index] = np.ndarray((count,), "<u8", padded.data, start + index * width // 8, (width,))
    columns >>= np.arange(GROUP, dtype=np.uint64)[:, None] * np.uint64(width) % np.uint64(8)
    columns &= np.uint64((1 << width) - 1)


def _words(width: int) -> int:
    return -(-GROUP * width // 64)
