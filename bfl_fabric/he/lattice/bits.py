"""Residues as bits: the one byte form of a row of numbers of any width up to 32.

Number i occupies the bits from i·width of a little-endian bit string. Rows have a multiple of 8 numbers, so a row is
whole bytes and every byte string of the right length is the image of exactly one row of width-bit numbers. Whether
they are below their prime is the gate's question.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

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
    read_windows(padded, 0, width, columns)
    cut_windows(columns[:, None], (width,))
    return columns.T.reshape(-1)


def read_windows(padded: NDArray[np.uint8], start: int, width: int, columns: Residues) -> None:
    """Read the 8 bytes in which each number of a bit string begins; `cut_windows` leaves the number of them.

    Args:
        padded: has the string from byte `start` on, and behind it 8 bytes of whatever.
        start: from 0.
        width: of the numbers.
        columns: uint64[8, count], number i goes to [i mod 8, i div 8]. Where windows are a fixed distance apart within
            a group as well, numpy is called once for all of them.
    """
    count = columns.shape[1]
    apart = GROUP // gcd(GROUP, width)
    strides, shape = (width * apart // GROUP, width), (GROUP // apart, count)
    for index in range(apart if count else 0):
        window = np.ndarray(shape, "<u8", padded.data, start + index * width // 8, strides)
        columns[index::apart] = window


def cut_windows(columns: Residues, widths: tuple[int, ...]) -> None:
    """Leave of each window, uint64[8, rows, count], the number that begins in it, row by row of its width."""
    shifts, masks = _cuts(widths)
    columns >>= shifts
    columns &= masks


@lru_cache(maxsize=64)
def _cuts(widths: tuple[int, ...]) -> tuple[Residues, Residues]:
    bits = np.array(widths, dtype=np.uint64)[None, :, None]
    places = np.arange(GROUP, dtype=np.uint64)[:, None, None]
    return places * bits % np.uint64(8), (np.uint64(1) << bits) - np.uint64(1)


def _words(width: int) -> int:
    return -(-GROUP * width // 64)
