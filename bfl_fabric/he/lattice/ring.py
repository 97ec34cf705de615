"""Polynomials modulo X^N + 1 and several primes below 2^30, one row for each prime: sums, products, transforms.

The transform is the merged-ψ Cooley–Tukey transform (Longa and Naehrig 2016) in Pease's constant geometry (1968): at
each stage the first half of a row meets the second, so every numpy slice is long. Its output order is SEAL's. Products
with a fixed factor are Shoup products with a 32-bit quotient; rows grow to 2^32 before they are reduced.

numpy's arithmetic is not constant-time; who holds a secret must not let others time it (docs/encryption.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.he.lattice.primes import smallest_root

Residues: TypeAlias = NDArray[np.uint64]

PRIME_BITS = 30
_QUOTIENT_BITS = np.uint64(32)
_SHORTEST_RUN = 512
"""Twiddle factors of the first stages are repeated to this length, so that numpy's inner loops stay long."""


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
        assert all(prime < 1 << PRIME_BITS and prime % (2 * degree) == 1 for prime in primes)
        self.degree = degree
        self.primes = primes
        self.moduli: Residues = np.array(primes, dtype=np.uint64)[:, None]
        self._double = self.moduli * np.uint64(2)
        ones = np.ones_like(self.moduli)
        self._one = (ones, self._quotients(ones))
        self._room = [(1 << 32) // prime for prime in primes]
        roots = [smallest_root(prime, 2 * degree) for prime in primes]
        self._forward = self._stages(roots)
        inverse_roots = [pow(root, -1, prime) for root, prime in zip(roots, primes, strict=True)]
        self._backward = self._stages(inverse_roots)
        self._shrink = self.factor(
            np.array([[pow(degree, -1, prime)] for prime in primes], dtype=np.uint64).repeat(degree, axis=1)
        )

    def factor(self, values: Residues) -> Factor:
        """Prepare a factor uint64[L, N] of which many products will be made."""
        return Factor(values, self._quotients(values))

    def times(self, left: Residues, right: Factor) -> Residues:
        """Return left·right; `left` may hold any numbers below 2^32."""
        return self._reduced(self._lazy_product(left, right.values, right.quotients))

    def product(self, left: Residues, right: Residues) -> Residues:
        """Return left·right of two residues each below its prime."""
        wide = left * right
        quotient = (wide.astype(np.float64) / self.moduli.astype(np.float64)).astype(np.uint64)
        rest = wide - quotient * self.moduli
        # the quotient is off by one at most: a negative rest wraps around and becomes small again
        rest = np.minimum(rest, rest + self.moduli)
        return self._reduced(rest)

    def add(self, left: Residues, right: Residues) -> Residues:
        """Return left + right."""
        return self._reduced(left + right)

    def subtract(self, left: Residues, right: Residues) -> Residues:
        """Return left − right."""
        return self._reduced(left + self.moduli - right)

    def reduce(self, sums: Residues) -> Residues:
        """Return any numbers below 2^63 modulo the primes, such as sums of many residues."""
        reduced: Residues = sums % self.moduli
        return reduced

    def residues(self, integers: NDArray[np.int64]) -> Residues:
        """Return signed integers int64[N] or int64[L, N] modulo each prime, uint64[L, N]."""
        signed: Residues = np.remainder(integers, self.moduli.astype(np.int64)).astype(np.uint64)
        return signed

    def small_residues(self, integers: NDArray[np.int64]) -> Residues:
        """As `residues`, for integers that are smaller than every prime in magnitude: no division."""
        words = np.broadcast_to(integers, (len(self.primes), integers.shape[-1])).astype(np.uint64)
        wrapped: Residues = np.minimum(words, words + self.moduli)
        return wrapped

    def transform(self, coefficients: Residues) -> Residues:
        """Return the values at the odd powers of ψ, in SEAL's bit-reversed order, of numbers below 2^32."""
        values, half, bound = coefficients, self.degree // 2, 1
        for twiddle in self._forward:
            if bound + 2 > min(self._room):
                values, bound = self._lazy_product(values, *self._one), 2
            left, right = values[:, :half], values[:, half:]
            turned = self._lazy_product_runs(right, twiddle)
            result = np.empty((len(self.primes), half, 2), dtype=np.uint64)
            np.add(left, turned, out=result[:, :, 0])
            np.subtract(left + self._double, turned, out=result[:, :, 1])
            values, bound = result.reshape(len(self.primes), self.degree), bound + 2
        return self._reduced(self._lazy_product(values, *self._one))

    def inverse(self, values: Residues) -> Residues:
        """Return the coefficients of a transformed polynomial whose values are below their primes."""
        half = self.degree // 2
        for twiddle in reversed(self._backward):
            pairs = values.reshape(len(self.primes), half, 2)
            even, odd = pairs[:, :, 0], pairs[:, :, 1]
            result = np.empty((len(self.primes), self.degree), dtype=np.uint64)
            total = even + odd
            np.minimum(total, total - self._double, out=result[:, :half])
            result[:, half:] = self._lazy_product_runs(even + self._double - odd, twiddle)
            values = result
        return self._reduced(self._lazy_product(values, self._shrink.values, self._shrink.quotients))

    def _lazy_product(self, left: Residues, values: Residues, quotients: Residues) -> Residues:
        """Return left·values as numbers below twice the prime, for any `left` below 2^32."""
        quotient = left * quotients
        quotient >>= _QUOTIENT_BITS
        quotient *= self.moduli
        product = left * values
        product -= quotient
        return product

    def _lazy_product_runs(self, left: Residues, twiddle: tuple[Residues, Residues]) -> Residues:
        values, quotients = twiddle
        rows, run = values.shape
        moduli = self.moduli[:, :, None]
        runs = left.reshape(rows, -1, run)
        quotient = runs * quotients[:, None, :]
        quotient >>= _QUOTIENT_BITS
        quotient *= moduli
        product = runs * values[:, None, :]
        product -= quotient
        return product.reshape(rows, -1)

    def _reduced(self, values: Residues) -> Residues:
        reduced: Residues = np.minimum(values, values - self.moduli)
        return reduced

    def _quotients(self, values: Residues) -> Residues:
        return (values << _QUOTIENT_BITS) // self.moduli

    def _stages(self, roots: list[int]) -> list[tuple[Residues, Residues]]:
        """Return for each stage the twiddle factors of a run of butterflies, with their quotients."""
        bits = self.degree.bit_length() - 1
        order = np.array([int(format(index, f"0{bits}b")[::-1], 2) for index in range(self.degree)])
        powers = np.array(
            [_powers(root, prime, self.degree) for root, prime in zip(roots, self.primes, strict=True)]
        )
        table = powers[:, order].astype(np.uint64)
        stages = []
        for stage in range(bits):
            run = table[:, 1 << stage : 2 << stage]
            if self.degree // 2 >= _SHORTEST_RUN > run.shape[1]:
                run = np.tile(run, (1, _SHORTEST_RUN // run.shape[1]))
            stages.append((run, self._quotients(run)))
        return stages


def _powers(root: int, prime: int, count: int) -> list[int]:
    powers = [1]
    for _ in range(count - 1):
        powers.append(powers[-1] * root % prime)
    return powers


@lru_cache(maxsize=16)
def ring_of(degree: int, primes: tuple[int, ...]) -> Ring:
    """Return the ring; its tables are made once."""
    return Ring(degree, primes)
