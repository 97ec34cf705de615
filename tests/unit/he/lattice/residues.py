"""Residues for tests, from fixed seeds."""

from __future__ import annotations

import numpy as np

from bfl_fabric.he.lattice.ring import Residues


def random_rows(seed: int, degree: int, primes: tuple[int, ...]) -> Residues:
    """Return uniform residues uint64[L, N]."""
    generator = np.random.default_rng(seed)
    return np.stack([generator.integers(0, prime, degree, dtype=np.uint64) for prime in primes])


def extreme_rows(degree: int, primes: tuple[int, ...]) -> list[Residues]:
    """Return polynomials that take the arithmetic to its ends: all p − 1, 0 and p − 1 in turn, the half, one spike."""
    largest = (np.array(primes, dtype=np.uint64) - np.uint64(1))[:, None].repeat(degree, axis=1)
    turns, spike = largest.copy(), np.zeros_like(largest)
    turns[:, ::2] = 0
    spike[:, -1] = largest[:, -1]
    return [np.zeros_like(largest), largest, turns, largest // np.uint64(2), spike]
