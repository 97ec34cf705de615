"""Polynomials modulo X^N + 1 and several primes below 2^30, one row for each prime: sums, products, transforms.

Products with a fixed factor are Shoup products with a 32-bit quotient; others, and signed numbers, are reduced by a
quotient in float64 (`modular`). The transform is in `transform`; its output order is SEAL's.

numpy's arithmetic is not constant-time; who holds a secret must not let others time it (docs/encryption.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from bfl_fabric.he.lattice.modular import (
    Integers,
    Residues,
    signed_residues,
    unbuffered,
    wrapped_residues,
)
from bfl_fabric.he.lattice.transform import Transform

__all__ = ["LARGEST_PRIME", "Factor", "Residues", "Ring", "ring_of"]

LARGEST_PRIME = (1 << 30) - (1 << 14)
"""Twice such a prime, and a little more for errors of float64, fits a signed word of 32 bits."""

_QUOTIENT_BITS = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Factor:
    """A fixed factor with its Shoup quotients; it may be a secret, so it never prints."""

    values: Residues = field(repr=False)
    quotients: Residues = field(repr=False)


class Ring:
    """Arithmetic on uint64[L, N]: row l holds residues modulo `primes[l]`, each below it unless said otherwise.

    A polynomial is in coefficient form or in transformed form; sums and products are row by row, so a product of
    transformed polynomials is the transformed product modulo X^N + 1.
    """

    def __init__(self, degree: int, primes: tuple[int, ...]) -> None:
        assert degree & (degree - 1) == 0
        assert len(set(primes)) == len(primes)
        assert all(1 << 13 < prime <= LARGEST_PRIME and prime % (2 * degree) == 1 for prime in primes)
        self.degree = degree
        self.primes = primes
        self.moduli: Residues = np.array(primes, dtype=np.uint64)[:, None]
        self._signed_moduli: Integers = self.moduli.astype(np.int64)
        self._transform = Transform(degree, primes)

    def factor(self, values: Residues) -> Factor:
        """Prepare a factor uint64[L, N] of which many products will be made."""
        return Factor(values, (values << _QUOTIENT_BITS) // self.moduli)

    @unbuffered
    def times(self, left: Residues, right: Factor) -> Residues:
        """Return left·right; `left` may hold any numbers below 2^32."""
        quotient = left * right.quotients
        quotient >>= _QUOTIENT_BITS
        quotient *= self.moduli
        product = left * right.values
        product -= quotient
        # below twice the prime, because left is below 2^32 (Shoup; Harvey 2014)
        np.subtract(product, self.moduli, out=quotient)
        np.minimum(product, quotient, out=product)
        return product

    @unbuffered
    def product(self, left: Residues, right: Residues) -> Residues:
        """Return left·right of two residues each below its prime."""
        return signed_residues((left * right).view(np.int64), self._signed_moduli)

    @unbuffered
    def add(self, left: Residues, right: Residues) -> Residues:
        """Return left + right."""
        total = left + right
        np.minimum(total, total - self.moduli, out=total)
        return total

    @unbuffered
    def subtract(self, left: Residues, right: Residues) -> Residues:
        """Return left − right."""
        difference = left - right
        np.minimum(difference, difference + self.moduli, out=difference)
        return difference

    def reduce(self, sums: Residues) -> Residues:
        """Return any numbers below 2^63 modulo the primes, such as sums of many residues."""
        return signed_residues(sums.view(np.int64), self._signed_moduli)

    def residues(self, integers: Integers) -> Residues:
        """Return signed integers int64[N] or int64[L, N] modulo each prime, uint64[L, N]."""
        return signed_residues(integers, self._signed_moduli)

    def small_residues(self, integers: Integers) -> Residues:
        """As `residues`, for integers that are smaller than every prime in magnitude: no division."""
        return wrapped_residues(integers, self._signed_moduli)

    def transform(self, coefficients: Residues) -> Residues:
        """Return the values at the odd powers of ψ, in SEAL's bit-reversed order."""
        return self._transform.forward(coefficients)

    def inverse(self, values: Residues) -> Residues:
        """Return the coefficients of a transformed polynomial."""
        return self._transform.inverse(values)


@lru_cache(maxsize=16)
def ring_of(degree: int, primes: tuple[int, ...]) -> Ring:
    """Return the ring; its tables are made once."""
    return Ring(degree, primes)
