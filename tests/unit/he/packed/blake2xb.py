"""SEAL's expansion of a seed, written from its specification and without SEAL: the oracle for what travels as a seed.

BLAKE2Xb (Aumasson and others 2016) over hashlib cannot be had, because hashlib refuses the depth 0 of its output
blocks; so the compression function of RFC 7693 stands here, on many blocks at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.he.lattice.ring import Residues

BUFFER_BYTES = 4096
_IV = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    dtype=np.uint64,
)  # fmt: skip
_SIGMA = [
    [int(digit, 16) for digit in row]
    for row in (
        "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
        "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0",
    )
]  # fmt: skip


def words(seed: bytes) -> Iterator[NDArray[np.uint64]]:
    """Yield the generator's output, 512 words of 64 bits at a time."""
    counter = 0
    while True:
        message = counter.to_bytes(8, "little")
        root = hashlib.blake2b(message, key=seed, digest_size=64, node_offset=BUFFER_BYTES << 32).digest()
        yield _leaves(np.frombuffer(root, dtype="<u8").astype(np.uint64), BUFFER_BYTES // 64).reshape(-1)
        counter += 1


def mask(seed: bytes, degree: int, primes: tuple[int, ...]) -> Residues:
    """Return SEAL's uniform polynomial: for each prime, words below its largest multiple, reduced."""
    stream = words(seed)
    left = np.empty(0, dtype=np.uint64)
    rows = []
    for prime in primes:
        limit = np.uint64((1 << 64) - 1 - ((1 << 64) - 1) % prime - 1)
        found = np.empty(0, dtype=np.uint64)
        while found.size < degree:
            if left.size == 0:
                left = next(stream)
            taken, left = left[: degree - found.size], left[degree - found.size :]
            found = np.concatenate((found, taken[taken < limit] % np.uint64(prime)))
        rows.append(found)
    return np.stack(rows)


def _leaves(root: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    """Return the output blocks uint64[count, 8] of a root hash."""
    parameters = np.zeros((8, count), dtype=np.uint64)
    parameters[0] = 64 | 64 << 32  # digest length, leaf length; fanout and depth are 0
    parameters[1] = np.arange(count, dtype=np.uint64) | np.uint64(BUFFER_BYTES << 32)
    parameters[2] = 64 << 8  # inner length
    state = _IV[:, None] ^ parameters
    block = np.zeros((16, 1), dtype=np.uint64)
    block[:8, 0] = root
    work = np.concatenate((state, np.repeat(_IV[:, None], count, axis=1)))
    work[12] ^= np.uint64(64)
    work[14] = ~work[14]
    for turn in range(12):
        order = _SIGMA[turn % 10]
        for step in range(8):
            column = step % 4
            turned = step // 4
            at = [
                column,
                4 + (column + turned) % 4,
                8 + (column + 2 * turned) % 4,
                12 + (column + 3 * turned) % 4,
            ]
            _mix(work, at, block[order[2 * step]], block[order[2 * step + 1]])
    result: NDArray[np.uint64] = (state ^ work[:8] ^ work[8:]).T
    return result


def _mix(work: NDArray[np.uint64], at: list[int], x: NDArray[np.uint64], y: NDArray[np.uint64]) -> None:
    a, b, c, d = at
    for word, (first, second) in ((x, (32, 24)), (y, (16, 63))):
        work[a] += work[b] + word
        work[d] = _turned(work[d] ^ work[a], first)
        work[c] += work[d]
        work[b] = _turned(work[b] ^ work[c], second)


def _turned(value: NDArray[np.uint64], by: int) -> NDArray[np.uint64]:
    return value >> np.uint64(by) | value << np.uint64(64 - by)
