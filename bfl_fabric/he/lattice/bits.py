"""Residues as bits: the one byte form of a row of numbers of any width up to 32.

Number i occupies the bits from i·width of a little-endian bit string. Rows have a multiple of 8 numbers, so a row is
whole bytes and every byte string of the right length is the image of exactly one row of width-bit numbers. Whether
they are below their prime is the gate's question.
"""

from __future__ import annotations

import numpy as np

from bfl_fabric.he.lattice.ring import Residues

GROUP = 8
"""Numbers that fill whole bytes together, whatever the width."""


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
    groups = np.frombuffer(data, dtype=np.uint8).reshape(-1, width)
    padded = np.zeros((groups.shape[0], 8 * _words(width)), dtype=np.uint8)
    padded[:, :width] = groups
    words = padded.view("<u8")
    mask = np.uint64((1 << width) - 1)
    numbers = np.empty((groups.shape[0], GROUP), dtype=np.uint64)
    for index in range(GROUP):
        word, shift = divmod(index * width, 64)
        column = words[:, word] >> np.uint64(shift)
        if shift + width > 64:
            column |= words[:, word + 1] << np.uint64(64 - shift)
        np.bitwise_and(column, mask, out=numbers[:, index])
    return numbers.reshape(-1)


def _words(width: int) -> int:
    return -(-GROUP * width // 64)
