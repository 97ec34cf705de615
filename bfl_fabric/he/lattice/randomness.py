"""Where every random number of the lattice schemes comes from, and the distributions that are drawn from it.

A stream is AES-256-CTR under a key of its own: a fresh key of the operating system, or a seed where somebody must be
able to draw the same numbers again. numpy's generators are never used. Distributions are exact by rejection; only
the wide noise is a float64 Gaussian, whose argument stands in docs/encryption.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from bfl_fabric.he.lattice.modular import Integers, Residues, unbuffered

SEED_BYTES = 32
BINOMIAL_BITS = 21
"""The error is the centred binomial distribution of 2·21 coins, SEAL's default: |e| ≤ 21, variance 10.5."""

ERROR_BOUND = BINOMIAL_BITS
ERROR_VARIANCE = BINOMIAL_BITS / 2

_HALF = np.uint64(32)
_LOW_HALF = np.uint64((1 << 32) - 1)


class Stream:
    """A stream of pseudo-random bytes. It is a secret, unless its seed is public."""

    def __init__(self, key: bytes) -> None:
        assert len(key) == SEED_BYTES
        self._encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    @classmethod
    def fresh(cls) -> Stream:
        """Return a stream under a key that the operating system has just drawn."""
        return cls(os.urandom(SEED_BYTES))

    @classmethod
    def derived(cls, domain: str, seed: bytes, *numbers: int) -> Stream:
        """Return the stream of this seed for this purpose: key = SHAKE256(domain ‖ 0 ‖ seed ‖ numbers as u64)."""
        material = domain.encode("ascii") + b"\0" + seed + b"".join(n.to_bytes(8, "little") for n in numbers)
        return cls(hashlib.shake_256(material).digest(SEED_BYTES))

    def bytes(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        return self._encryptor.update(bytes(count))

    def words(self, count: int) -> Residues:
        """Return the next `count` 64-bit words."""
        return np.frombuffer(self.bytes(8 * count), dtype="<u8").astype(np.uint64, copy=False)

    def uniform(self, limit: int, count: int) -> Residues:
        """Return uniform numbers from 0 below `limit` < 2^32, uint64[count]: the row of `uniform_rows`."""
        row: Residues = self.uniform_rows((limit,), count)[0]
        return row

    @unbuffered
    def uniform_rows(self, limits: Sequence[int], count: int) -> Residues:
        """Return uniform numbers from 0, row l below `limits[l]` < 2^32, uint64[L, count].

        A 32-bit word w makes ⌊w·limit/2^32⌋, and is refused when w·limit mod 2^32 is below 2^32 mod limit (Lemire
        2019). Every place takes a word, row by row; then those whose word was refused take another in the same
        order, until none is refused. So the numbers are a function of the stream, the limits and the count.
        """
        factors = np.array(limits, dtype=np.uint64)
        least = np.array([(1 << 32) % limit for limit in limits], dtype=np.uint64)
        numbers = self._half_words(len(limits) * count).reshape(len(limits), count)
        numbers *= factors[:, None]
        refused = np.flatnonzero((numbers & _LOW_HALF) < least[:, None])
        numbers >>= _HALF
        places = numbers.reshape(-1)
        while refused.size:
            rows = refused // count
            products = self._half_words(refused.size) * factors[rows]
            places[refused] = products >> _HALF
            refused = refused[(products & _LOW_HALF) < least[rows]]
        return numbers

    def ternary(self, count: int) -> Integers:
        """Return uniform numbers of −1, 0, 1, int64[count]."""
        return self.uniform(3, count).view(np.int64) - 1

    def error(self, count: int) -> Integers:
        """Return centred binomial numbers of 2·21 coins, int64[count]: how many of 42 coins are heads, less 21."""
        coins = self.words(count) & np.uint64((1 << 2 * BINOMIAL_BITS) - 1)
        heads: Integers = np.bitwise_count(coins).astype(np.int64)
        return heads - BINOMIAL_BITS

    def gaussian(self, count: int) -> NDArray[np.float64]:
        """Return standard normal numbers, float64[count], by Box and Muller's transform of 53-bit uniforms."""
        half = -(-count // 2)
        uniforms = ((self.words(2 * half) >> np.uint64(11)).view(np.int64) + 0.5) * 2.0**-53
        radius, angle = np.sqrt(-2.0 * np.log(uniforms[:half])), 2.0 * np.pi * uniforms[half:]
        return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count]

    def _half_words(self, count: int) -> Residues:
        return np.frombuffer(self.bytes(4 * count), dtype="<u4").astype(np.uint64)
