"""The wide noise of decryption shares: exact integers, the same modulo every prime.

An integer is floor(σ·z) + rint(σ·2^−44·z′), z and z′ standard normal float64: the first has 53 significant bits, so
its low bits follow no law; the second, at least 64 times wider than their grain, makes them smooth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues, Ring

FINE_BITS = 44
"""log2 of how much narrower the second normal number is than the first."""

SPLIT_BITS = 50
"""Where an integer is cut in two: the high part times a prime, plus the low part, stays below 2^63."""


def wide_integers(
    stream: Stream, count: int, smudge_bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return integers of standard deviation 2^smudge_bits as high·2^50 + low, each int64[count].

    Args:
        stream: a secret stream that is used for nothing else.
        count: how many.
        smudge_bits: from 44 to 78.
    """
    coarse = np.floor(stream.gaussian(count) * 2.0**smudge_bits)
    fine = np.rint(stream.gaussian(count) * 2.0 ** (smudge_bits - FINE_BITS)).astype(np.int64)
    high = np.floor(coarse * 2.0**-SPLIT_BITS)
    low = (coarse - high * 2.0**SPLIT_BITS).astype(np.int64)
    return high.astype(np.int64), low + fine


def residues_of(ring: Ring, high: NDArray[np.int64], low: NDArray[np.int64]) -> Residues:
    """Return the integers high·2^50 + low modulo each prime, uint64[L, count]."""
    return ring.residues(_words(ring, high, low))


def smudged(ring: Ring, rows: Residues, high: NDArray[np.int64], low: NDArray[np.int64]) -> Residues:
    """Return residues uint64[L, count] plus the integers high·2^50 + low, reduced once."""
    total = _words(ring, high, low)
    total += rows.view(np.int64)
    return ring.residues(total)


def _words(ring: Ring, high: NDArray[np.int64], low: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return numbers below 2^62 that are the integers modulo each prime, int64[L, count]."""
    radix = np.array([[pow(2, SPLIT_BITS, prime)] for prime in ring.primes], dtype=np.int64)
    total = high * radix
    total += low
    return total
