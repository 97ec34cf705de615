"""Where every random number of the lattice schemes comes from, and the distributions that are drawn from it.

A stream is AES-256-CTR under a key of its own: a fresh key of the operating system, or a seed where somebody must be
able to draw the same numbers again. numpy's generators are never used. Distributions are exact by rejection; only
the wide noise is a float64 Gaussian, whose argument stands in docs/encryption.md.
"""

from __future__ import annotations

import hashlib
import os
from typing import TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from bfl_fabric.he.lattice.ring import Residues

Integers: TypeAlias = NDArray[np.int64]

SEED_BYTES = 32
BINOMIAL_BITS = 21
"""The error is the centred binomial distribution of 2·21 coins, SEAL's default: |e| ≤ 21, variance 10.5."""

ERROR_BOUND = BINOMIAL_BITS
ERROR_VARIANCE = BINOMIAL_BITS / 2


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

    def uniform(self, prime: int, count: int) -> Residues:
        """Return uniform residues below `prime` < 2^32, uint64[count].

        32-bit words are cut to the prime's width; those that are not below it are dropped. The words come in blocks
        of (count − found)·2 rounded up to 64, so that the numbers are a function of stream, prime and count.
        """
        mask = np.uint32((1 << prime.bit_length()) - 1)
        found = np.empty(0, dtype=np.uint32)
        while found.size < count:
            wanted = -(-2 * (count - found.size) // 64) * 64
            block = np.frombuffer(self.bytes(4 * wanted), dtype="<u4") & mask
            found = np.concatenate((found, block[block < prime]))
        return found[:count].astype(np.uint64)

    def ternary(self, count: int) -> Integers:
        """Return uniform numbers of −1, 0, 1, int64[count]: two bits each, 3 dropped."""
        found = np.empty(0, dtype=np.uint8)
        while found.size < count:
            wanted = -(-(count - found.size) // 32) * 16
            block = np.frombuffer(self.bytes(wanted), dtype=np.uint8)
            pairs = np.stack([block >> shift & 3 for shift in (0, 2, 4, 6)], axis=1).reshape(-1)
            found = np.concatenate((found, pairs[pairs < 3]))
        return found[:count].astype(np.int64) - 1

    def error(self, count: int) -> Integers:
        """Return centred binomial numbers of 2·21 coins, int64[count]."""
        words = self.words(count)
        mask = np.uint64((1 << BINOMIAL_BITS) - 1)
        heads: Integers = np.bitwise_count(words & mask).astype(np.int64)
        tails: Integers = np.bitwise_count(words >> np.uint64(BINOMIAL_BITS) & mask).astype(np.int64)
        return heads - tails

    def gaussian(self, count: int) -> NDArray[np.float64]:
        """Return standard normal numbers, float64[count], by Box and Muller's transform of 53-bit uniforms."""
        words = self.words(2 * count) >> np.uint64(11)
        uniforms = (words.astype(np.float64) + 0.5) * 2.0**-53
        radius = np.sqrt(-2.0 * np.log(uniforms[:count]))
        result: NDArray[np.float64] = radius * np.cos(2.0 * np.pi * uniforms[count:])
        return result
