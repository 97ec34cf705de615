"""What the two back ends of the scheme have in common, and the one in numpy.

A back end makes secrets, encrypts under one and opens sums with it. Both write the same messages, and each opens what
the other wrote. Runs in the worker process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from bfl_fabric.he.lattice.bodies import SEAL_SEED_BYTES, coefficients
from bfl_fabric.he.lattice.channels import message_polynomial
from bfl_fabric.he.lattice.expansion import uniform_polynomial
from bfl_fabric.he.lattice.messages import Expansion, Member, encode_polynomial
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.randomness import SEED_BYTES, Stream
from bfl_fabric.he.lattice.ring import Factor, Residues
from bfl_fabric.he.lattice.threads import each


class BackEndName(StrEnum):
    """Who computes what touches a secret: SEAL, or this package alone."""

    SEAL = "seal"
    RING = "ring"


@dataclass(frozen=True, slots=True)
class Encrypted:
    """An encryption: how its masks are made, the seed for the header, and the parts of the body."""

    expansion: Expansion
    seed: bytes
    body: list[bytes]


@dataclass(frozen=True, slots=True)
class Masks:
    """How the masks of a sum's members are made: our seeds, and SEAL's with one for each polynomial."""

    seeds: tuple[bytes, ...]
    seal_seeds: tuple[bytes, ...]

    @classmethod
    def of(cls, members: Sequence[tuple[Member, bytes]]) -> Masks:
        """Return the masks of a sum's table."""
        ours = tuple(member.seed for member, _ in members if member.expansion is Expansion.AES_CTR)
        return cls(ours, tuple(seeds for _, seeds in members if seeds))

    def ours(self, parameters: LatticeParameters, polynomial: int) -> Residues:
        """Return the sum of the masks of our seeds for one polynomial, uint64[L, N], transformed."""
        total = np.zeros((len(parameters.primes), parameters.degree), dtype=np.uint64)
        for seed in self.seeds:
            total += uniform_polynomial(parameters.ring, seed, polynomial)
        return parameters.ring.reduce(total)

    def seal_seeds_of(self, polynomial: int) -> list[bytes]:
        """Return SEAL's seeds for one polynomial."""
        start = SEAL_SEED_BYTES * polynomial
        return [seeds[start : start + SEAL_SEED_BYTES] for seeds in self.seal_seeds]


class BackEnd(Protocol):
    """One secret in use; what `opened` returns carries the error and must not leave the process."""

    def encrypt(self, values: Integers) -> Encrypted:
        """Return a fresh encryption of int64[parameter_count], each at most `largest_sum` in magnitude."""

    def opened(self, polynomial: int, total: Residues, masks: Masks) -> Residues:
        """Return message plus error, uint64[L, coefficients], of one polynomial of a sum."""


class RingBackEnd:
    """Everything in numpy."""

    def __init__(
        self,
        parameters: LatticeParameters,
        secret: Integers,
        seal_masks: Callable[[Sequence[bytes]], Residues],
    ) -> None:
        """`seal_masks` returns the sum of the masks of SEAL's seeds, uint64[L, N], in coefficient form."""
        self._parameters = parameters
        self._secret = secret_factor(parameters, secret)
        self._seal_masks = seal_masks

    @staticmethod
    def generate(parameters: LatticeParameters) -> Integers:
        """Return a fresh secret int64[N] of −1, 0, 1."""
        return Stream.fresh().ternary(parameters.degree)

    def encrypt(self, values: Integers) -> Encrypted:
        """Return a fresh encryption; the seed is drawn here and nowhere else."""
        seed = os.urandom(SEED_BYTES)
        body = encrypted_polynomials(self._parameters, self._secret, values, seed, lambda _: Stream.fresh())
        return Encrypted(Expansion.AES_CTR, seed, body)

    def opened(self, polynomial: int, total: Residues, masks: Masks) -> Residues:
        """Return total + mask·secret."""
        ring = self._parameters.ring
        mask = masks.ours(self._parameters, polynomial)
        seal_seeds = masks.seal_seeds_of(polynomial)
        if seal_seeds:
            mask = ring.add(mask, ring.transform(self._seal_masks(seal_seeds)))
        product = ring.inverse(ring.times(mask, self._secret))
        return ring.add(total, product[:, : total.shape[1]])


def secret_factor(parameters: LatticeParameters, secret: Integers) -> Factor:
    """Return a secret int64[N] of −1, 0, 1, transformed."""
    ring = parameters.ring
    return ring.factor(ring.transform(ring.small_residues(secret)))


def encrypted_polynomials(
    parameters: LatticeParameters,
    secret: Factor,
    values: Integers,
    seed: bytes,
    errors: Callable[[int], Stream],
) -> list[bytes]:
    """Return the bytes of each polynomial c0 = −mask·secret + error + message.

    Args:
        parameters: the set.
        secret: of `secret_factor`.
        values: int64[parameter_count].
        seed: of the masks; with one secret never used twice.
        errors: the stream of each polynomial's error.
    """
    ring = parameters.ring

    def encrypted(item: tuple[int, int]) -> bytes:
        number, size = item
        masked = ring.inverse(ring.times(uniform_polynomial(ring, seed, number), secret))
        message = message_polynomial(parameters, values, number)
        noisy = ring.add(message, ring.small_residues(errors(number).error(parameters.degree)))
        return encode_polynomial(parameters, ring.subtract(noisy, masked)[:, :size])

    return list(each(encrypted, enumerate(coefficients(parameters, values.size))))
