"""Residues as bits: the one byte form of a polynomial.

Residue i occupies the bits from i·width of a little-endian bit string. Two residues fill whole bytes (the width is
a multiple of 4), so there are no padding bits and every byte string of the right length is the image of exactly
one sequence of width-bit numbers. Whether they are below their modulus is the gate's question.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Residues: TypeAlias = NDArray[np.uint64]

MINIMUM_WIDTH = 32
MAXIMUM_WIDTH = 60


def pack(residues: Residues, width: int) -> bytes:
    """Return the bit string of an even number of residues below 2^width."""
    pairs = residues.reshape(-1, 2)
    data = bytearray(packed_bytes(residues.size, width))
    low, high = _words(data, width)
    low[:] = pairs[:, 0] | (pairs[:, 1] << np.uint64(width))
    high[:] = (pairs[:, 0] >> np.uint64(2 * width - 64)) | (pairs[:, 1] << np.uint64(64 - width))
    return bytes(data)


def unpack(data: bytes, width: int) -> Residues:
    """Return the residues of a bit string, uint64[8·len(data)/width]."""
    low, high = _words(data, width)
    residues = np.empty((low.size, 2), dtype=np.uint64)
    np.bitwise_and(low, np.uint64((1 << width) - 1), out=residues[:, 0])
    np.right_shift(high, np.uint64(64 - width), out=residues[:, 1])
    return residues.reshape(-1)


def packed_bytes(count: int, width: int) -> int:
    """Return the length of `count` packed residues."""
    return count * width // 8


def _words(data: bytes | bytearray, width: int) -> tuple[Residues, Residues]:
    """Return views on the first and on the last eight bytes of every pair; they overlap and agree there."""
    assert MINIMUM_WIDTH <= width <= MAXIMUM_WIDTH
    assert width % 4 == 0
    stride = width // 4
    count = len(data) // stride
    low: Residues = np.ndarray((count,), dtype="<u8", buffer=data, offset=0, strides=(stride,))
    high: Residues = np.ndarray((count,), dtype="<u8", buffer=data, offset=stride - 8, strides=(stride,))
    return low, high
