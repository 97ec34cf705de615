"""A joint key in one process and uploads under it, for tests of scores: nothing here is how a node does it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfl_fabric.he.lattice.channels import message_polynomial
from bfl_fabric.he.lattice.expansion import uniform_polynomial
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues

SEED = "5eed" * 16
OTHER_SEED = "a77e" * 16


def some_direction(count: int, seed: int = 1, spread: float = 40.0) -> np.ndarray:
    """Return a direction like a model update's: a few large entries, many small ones."""
    drawn = np.random.default_rng(seed).normal(0, spread, count)
    return np.clip(np.rint(drawn), -127, 127).astype(np.int8)


def some_values(count: int, largest: int, seed: int = 2) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(0, largest / 4, count)
    return np.clip(np.rint(drawn), -largest, largest).astype(np.int64)


def stream(number: int) -> Stream:
    return Stream.derived("bfl-fabric test", bytes(32), number)


def lagrange_at_zero(points: list[int], point: int, prime: int) -> int:
    number = 1
    for other in points:
        if other != point:
            number = number * other * pow(other - point, -1, prime) % prime
    return number


@dataclass
class Upload:
    """Masks, transformed, and polynomials, coefficients, of one update."""

    masks: list[Residues]
    polynomials: list[Residues]


class JointKey:
    """K ternary secrets, Shamir-shared coefficientwise over each prime: holder i has the share at point i + 1."""

    def __init__(self, parameters: LatticeParameters, holders: int, threshold: int) -> None:
        self.parameters, self.threshold = parameters, threshold
        ring, source = parameters.ring, stream(0)
        self.secrets = [
            ring.transform(ring.residues(source.ternary(ring.degree)))
            for _ in range(parameters.polynomials_per_mask)
        ]
        self.shares: list[list[Residues]] = [[] for _ in range(holders)]
        for secret in self.secrets:
            slopes = [
                np.stack([source.uniform(prime, ring.degree) for prime in ring.primes])
                for _ in range(threshold - 1)
            ]
            for point in range(1, holders + 1):
                share = secret
                for power, slope in enumerate(slopes, 1):
                    share = ring.add(share, ring.reduce(slope * np.uint64(point**power)))
                self.shares[point - 1].append(share)

    def lagrange(self, active: list[int], holder: int) -> list[int]:
        points = [index + 1 for index in active]
        return [lagrange_at_zero(points, holder + 1, prime) for prime in self.parameters.primes]

    def encrypt(self, values: np.ndarray, number: int) -> Upload:
        """Under a uniform mask and with errors as wide as those of a real upload."""
        parameters, source = self.parameters, stream(1000 + number)
        ring, each = parameters.ring, parameters.polynomials_per_mask
        count = parameters.polynomial_count(values.size)
        masks = [uniform_polynomial(ring, bytes([number] * 32), group) for group in range(-(-count // each))]
        polynomials = []
        for index in range(count):
            masked = ring.inverse(ring.times(masks[index // each], ring.factor(self.secrets[index % each])))
            error = np.rint(source.gaussian(ring.degree) * parameters.noise_variance**0.5).astype(np.int64)
            message = ring.add(ring.residues(error), message_polynomial(parameters, values, index))
            whole = ring.subtract(message, masked)
            polynomials.append(whole[:, : parameters.coefficients_in(index, values.size)])
        return Upload(masks, polynomials)
