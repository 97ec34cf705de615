"""Exact arithmetic modulo one prime below 2^60, and the number-theoretic transform in SEAL's order, in numpy.

Works on public residues only: nothing secret or random passes here (numpy's time depends on nothing that matters,
and on nothing that is hidden). Products are Montgomery products with R = 2^64, after Montgomery (1985).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bfl_fabric.he.packing import Residues

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


class Ring:
    """Polynomials of `degree` coefficients modulo an NTT prime, `degree` a power of two."""

    def __init__(self, prime: int, degree: int) -> None:
        assert prime < 1 << 60
        assert prime % (2 * degree) == 1
        self.prime = prime
        self.degree = degree
        self._prime = np.uint64(prime)
        self._negative_inverse = np.uint64(-pow(prime, -1, 1 << 64) % (1 << 64))
        self._square = np.uint64(pow(1 << 64, 2, prime))
        self._twiddles = self._montgomery_twiddles()

    def add(self, left: Residues, right: Residues) -> Residues:
        """Return left + right, residue by residue."""
        total = left + right
        reduced: Residues = np.minimum(total, total - self._prime)
        return reduced

    def product(self, left: Residues, right: Residues | np.uint64) -> Residues:
        """Return left·right/2^64: an ordinary product when one factor is in Montgomery form."""
        high, low = _wide_product(left, right)
        factor = low * self._negative_inverse
        # low and factor·prime cancel modulo 2^64, with a carry unless low is zero
        total = high + _high_product(factor, self._prime) + (low != 0)
        reduced: Residues = np.minimum(total, total - self._prime)
        return reduced

    def montgomery(self, residues: Residues) -> Residues:
        """Return residues·2^64, the Montgomery form."""
        return self.product(residues, self._square)

    def transform(self, coefficients: Residues) -> Residues:
        """Return the values of polynomials uint64[…, degree] at the odd powers of ψ, in SEAL's bit-reversed order.

        The forward transform with ψ merged in, after Longa and Naehrig (2016), algorithm 1.
        """
        values = coefficients.copy()
        blocks, half = 1, self.degree // 2
        while half:
            pairs = values.reshape(-1, blocks, 2, half)
            twiddles = self._twiddles[blocks : 2 * blocks, None]
            right = self.product(pairs[:, :, 1], twiddles)
            left = pairs[:, :, 0].copy()
            pairs[:, :, 0] = self.add(left, right)
            pairs[:, :, 1] = self.add(left, self._prime - right)
            blocks, half = 2 * blocks, half // 2
        return values

    def sum(self, residues: Residues) -> int:
        """Return the sum of all residues modulo the prime."""
        high, low = int((residues >> _HALF).sum()), int((residues & _LOW).sum())
        return ((high << 32) + low) % self.prime

    def constant_coefficient(self, transformed_sum: int) -> int:
        """Return the constant coefficient of a polynomial whose transformed values sum to this."""
        return transformed_sum * pow(self.degree, -1, self.prime) % self.prime

    def centered(self, residue: int) -> int:
        """Return the representative closest to zero."""
        return residue - self.prime if residue > self.prime // 2 else residue

    def residues(self, integers: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Residues:
        """Return signed integers below the prime in magnitude as residues."""
        return np.where(integers < 0, integers + np.int64(self.prime), integers).astype(np.uint64)

    def _montgomery_twiddles(self) -> Residues:
        root = _smallest_root(self.prime, 2 * self.degree)
        bits = self.degree.bit_length() - 1
        powers = [1]
        for _ in range(self.degree - 1):
            powers.append(powers[-1] * root % self.prime)
        order = [int(format(index, f"0{bits}b")[::-1], 2) for index in range(self.degree)]
        return np.array([(powers[index] << 64) % self.prime for index in order], dtype=np.uint64)


@lru_cache(maxsize=4)
def ring(prime: int, degree: int) -> Ring:
    """Return the ring; its tables are made once."""
    return Ring(prime, degree)


def _wide_product(left: Residues, right: Residues | np.uint64) -> tuple[Residues, Residues]:
    """Return the high and the low 64 bits of products of numbers below 2^60."""
    left_low, left_high = left & _LOW, left >> _HALF
    right_low, right_high = right & _LOW, right >> _HALF
    # both cross products are below 2^60 and the carry below 2^32, so their sum fits
    middle = left_low * right_high + left_high * right_low + ((left_low * right_low) >> _HALF)
    return left_high * right_high + (middle >> _HALF), left * right


def _high_product(left: Residues, right: np.uint64) -> Residues:
    """Return the high 64 bits of products of any 64-bit numbers with one below 2^60."""
    left_low, left_high = left & _LOW, left >> _HALF
    right_low, right_high = right & _LOW, right >> _HALF
    upper = left_high * right_low
    middle = left_low * right_high + (upper & _LOW) + ((left_low * right_low) >> _HALF)
    high: Residues = left_high * right_high + (upper >> _HALF) + (middle >> _HALF)
    return high


def _smallest_root(prime: int, order: int) -> int:
    """Return the smallest primitive root of unity of this order (a power of two), as SEAL chooses it."""
    root = next(
        candidate
        for candidate in (pow(base, (prime - 1) // order, prime) for base in range(2, prime))
        if pow(candidate, order // 2, prime) == prime - 1
    )
    square = root * root % prime
    smallest = current = root
    for _ in range(order // 2):
        current = current * square % prime
        smallest = min(smallest, current)
    return smallest
