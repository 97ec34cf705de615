"""The number-theoretic transform modulo X^N + 1 and primes below 2^30, in numpy, with SEAL's output order.

It is the merged-ψ Cooley–Tukey transform and its inverse of Gentleman and Sande (Longa and Naehrig 2016). Numbers are
signed 32-bit words; a product x·w − ⌊x·w/p⌋·p is computed modulo 2^32, its quotient in float64. Stages come in
phases: within a phase every slice is a long run, between two phases the numbers are transposed so that it stays so.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.he.lattice.modular import Residues, unbuffered
from bfl_fabric.he.lattice.primes import smallest_root

Words: TypeAlias = NDArray[np.uint32]
Floats: TypeAlias = NDArray[np.float64]

_LARGEST_PASS = 80 << 10
"""Numbers that go through all stages together: what they need fits a core's cache."""

_RUN = 512
"""Factors are repeated to runs of this length."""

_PHASE_STAGES = 4


@dataclass(frozen=True, slots=True)
class _Multiplier:
    """Factors w and w/p."""

    factors: Words
    ratios: Floats


@dataclass(frozen=True, slots=True)
class _Stage:
    """Butterflies between [..., 0, :, :] and [..., 1, :, :] of the numbers in this shape, rows first."""

    shape: tuple[int, ...]
    twiddles: _Multiplier


@dataclass(frozen=True, slots=True)
class _Phase:
    """Stages, and the shape [rows, new blocks, rest, old blocks] that is transposed after them."""

    stages: tuple[_Stage, ...]
    shape: tuple[int, ...]


class _Scratch(threading.local):
    """Memory that a thread keeps, because fresh memory would cost as much as the arithmetic.

    It keeps the numbers of the last transform too, which may be secret: no more than freed memory would.
    """

    def __init__(self) -> None:
        self.numbers = np.empty(_LARGEST_PASS, dtype=np.uint32)
        self.transposed = np.empty(_LARGEST_PASS, dtype=np.uint32)
        self.turned = np.empty(_LARGEST_PASS, dtype=np.uint32)
        self.multiples = np.empty(_LARGEST_PASS, dtype=np.uint32)
        self.quotients = np.empty(_LARGEST_PASS, dtype=np.float64)


_SCRATCH = _Scratch()


class Transform:
    """The transform of rows uint64[L, N], row l modulo `primes[l]`; both ways each number is below its prime."""

    def __init__(self, degree: int, primes: tuple[int, ...]) -> None:
        passes = -(-len(primes) * degree // _LARGEST_PASS)
        step = -(-len(primes) // passes)
        self._parts = [
            (slice(first, first + step), _Part(degree, primes[first : first + step]))
            for first in range(0, len(primes), step)
        ]

    @unbuffered
    def forward(self, coefficients: Residues) -> Residues:
        """Return the values at the odd powers of ψ, in SEAL's bit-reversed order."""
        values = np.empty(coefficients.shape, dtype=np.uint64)
        for rows, part in self._parts:
            part.forward(coefficients[rows], values[rows])
        return values

    @unbuffered
    def inverse(self, values: Residues) -> Residues:
        """Return the coefficients of which these are the values."""
        coefficients = np.empty(values.shape, dtype=np.uint64)
        for rows, part in self._parts:
            part.inverse(values[rows], coefficients[rows])
        return coefficients


class _Part:
    """The transform modulo as many primes as go through together.

    `bound` in its loops is the largest magnitude among the numbers in units of their primes. It may grow as long as
    sums fit a signed word; a product may have any such number for a factor and is at most one prime itself.
    """

    def __init__(self, degree: int, primes: tuple[int, ...]) -> None:
        self._size = (len(primes), degree)
        self._moduli = np.array(primes, dtype=np.uint32).reshape(-1, 1, 1, 1)
        # x < 2^31 and an error of 2^−52 take a product 2^−21 beyond its prime; that adds up over at most 16 stages
        self._room = int(((1 << 31) - 1) / (max(primes) * (1 + 2**-16)))
        roots = [smallest_root(prime, 2 * degree) for prime in primes]
        inverses = [pow(root, -1, prime) for root, prime in zip(roots, primes, strict=True)]
        self._forward = self._phases(_powers(roots, primes, degree))
        self._backward = self._phases(_powers(inverses, primes, degree))
        self._one = self._multiplier(np.ones_like(self._moduli))
        shrink = [pow(degree, -1, prime) for prime in primes]
        self._shrink = self._multiplier(np.array(shrink, dtype=np.uint32).reshape(-1, 1, 1, 1))

    def forward(self, coefficients: Residues, values: Residues) -> None:
        numbers, other = self._taken(coefficients)
        bound = 1
        for phase in self._forward:
            for stage in phase.stages:
                left, right = _halves(numbers, stage)
                if bound + 1 > self._room:
                    self._step_down(left)
                    bound -= 1
                turned = self._product(right, stage.twiddles, _shaped(_SCRATCH.turned, right.shape))
                np.subtract(left, turned, out=right)
                np.add(left, turned, out=left)
                bound += 1
            rows, new, rest, old = phase.shape
            np.copyto(other.reshape(rows, rest, old, new), numbers.reshape(phase.shape).transpose(0, 2, 3, 1))
            numbers, other = other, numbers
        self._give(numbers, self._one, values)

    def inverse(self, values: Residues, coefficients: Residues) -> None:
        numbers, other = self._taken(values)
        bound = 1
        for phase in reversed(self._backward):
            rows, new, rest, old = phase.shape
            np.copyto(other.reshape(phase.shape), numbers.reshape(rows, rest, old, new).transpose(0, 3, 1, 2))
            numbers, other = other, numbers
            for stage in reversed(phase.stages):
                left, right = _halves(numbers, stage)
                difference = _shaped(_SCRATCH.turned, left.shape)
                np.subtract(left, right, out=difference)
                np.add(left, right, out=left)
                self._product(difference, stage.twiddles, right)
                bound *= 2
                if 2 * bound > self._room:
                    if bound == 2:
                        self._step_down(left)
                    else:
                        self._product(left, self._one, left)
                    bound = 1
        self._give(numbers, self._shrink, coefficients)

    def _taken(self, rows: Residues) -> tuple[Words, Words]:
        numbers, other = _shaped(_SCRATCH.numbers, self._size), _shaped(_SCRATCH.transposed, self._size)
        np.copyto(numbers, rows, casting="unsafe")
        return numbers, other

    def _give(self, numbers: Words, multiplier: _Multiplier, rows: Residues) -> None:
        """Multiply and write the residues from 0 below each prime.

        The quotient is rounded, so the product is half a prime at most and being off by one does not arise.
        """
        numbers = numbers.reshape(len(rows), 1, 1, -1)
        rest = self._product(numbers, multiplier, numbers, rounded=True)
        raised = _shaped(_SCRATCH.multiples, rest.shape)
        np.add(rest, self._moduli, out=raised)
        # as an unsigned word a negative number is the larger one
        np.minimum(rest, raised, out=rest)
        np.copyto(rows, rest.reshape(rows.shape))

    def _product(
        self, numbers: Words, multiplier: _Multiplier, product: Words, *, rounded: bool = False
    ) -> Words:
        """Write numbers·factors, one prime at most in magnitude, to `product`; it may be `numbers`."""
        quotients = _shaped(_SCRATCH.quotients, numbers.shape)
        multiples = _shaped(_SCRATCH.multiples, numbers.shape)
        np.copyto(quotients, numbers.view(np.int32))
        np.multiply(quotients, multiplier.ratios, out=quotients)
        if rounded:
            np.rint(quotients, out=quotients)
        np.copyto(multiples.view(np.int32), quotients, casting="unsafe")
        np.multiply(multiples, self._moduli, out=multiples)
        np.multiply(numbers, multiplier.factors, out=product)
        np.subtract(product, multiples, out=product)
        return product

    def _step_down(self, numbers: Words) -> None:
        """Bring numbers one prime closer to zero, in place; those within a prime of zero stay within it."""
        signs = _shaped(_SCRATCH.multiples, numbers.shape)
        np.right_shift(numbers.view(np.int32), np.int32(31), out=signs.view(np.int32))
        np.bitwise_or(signs, np.uint32(1), out=signs)
        np.multiply(signs, self._moduli, out=signs)
        np.subtract(numbers, signs, out=numbers)

    def _multiplier(self, factors: Words) -> _Multiplier:
        return _Multiplier(factors, factors / self._moduli.astype(np.float64))

    def _phases(self, powers: Words) -> list[_Phase]:
        """Return all stages of the forward transform; block b of 2^s blocks has the factor powers[2^s + b].

        Within a phase the block's upper bits, of earlier phases, are the last axis, its lower bits the second.
        """
        rows, degree = self._size
        phases, old = [], 1
        while old < degree:
            left = (degree // old).bit_length() - 1
            count = left if left <= _PHASE_STAGES else max(_PHASE_STAGES, left - 2 * _PHASE_STAGES)
            stages = []
            for stage in range(count):
                blocks, spread = 1 << stage, degree // 2 >> stage
                factors = powers[:, old * blocks : 2 * old * blocks].reshape(rows, old, blocks)
                factors = factors.transpose(0, 2, 1)
                if old > 1:
                    factors = np.tile(factors, (1, 1, max(1, min(_RUN, spread) // old)))
                run = factors.shape[2] if old > 1 else spread
                shape = (rows, blocks, 2, spread // run, run)
                stages.append(_Stage(shape, self._multiplier(np.ascontiguousarray(factors)[:, :, None, :])))
            phases.append(_Phase(tuple(stages), (rows, 1 << count, degree // old >> count, old)))
            old <<= count
        return phases


def _halves(numbers: Words, stage: _Stage) -> tuple[Words, Words]:
    pairs = numbers.reshape(stage.shape)
    return pairs[:, :, 0], pairs[:, :, 1]


def _shaped(memory: NDArray[np.generic], shape: tuple[int, ...]) -> Any:
    return memory[: math.prod(shape)].reshape(shape)


def _powers(roots: list[int], primes: tuple[int, ...], degree: int) -> Words:
    """Return the powers of each root in bit-reversed order, uint32[L, N]."""
    bits = degree.bit_length() - 1
    order = [int(format(index, f"0{bits}b")[::-1], 2) for index in range(degree)]
    table = np.empty((len(primes), degree), dtype=np.uint32)
    for row, root, prime in zip(table, roots, primes, strict=True):
        power = 1
        for place in range(degree):
            row[place] = power
            power = power * root % prime
    return table[:, order]
