"""Everything that one member draws in a ceremony, as a function of its seed: secrets, errors, sharing polynomials.

Used by the worker process, and by whoever explains a ceremony that failed, from seeds that were revealed. All
polynomials are uint64[L, N], transformed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.threshold.plan import KeyPlan
from bfl_fabric.he.transportkey import TransportKey

_ROOT, _SECRET, _ERROR, _CHECK_ERROR, _SHARING, _TRANSPORT = (
    f"bfl-fabric member {what} v1"
    for what in ("root", "secret", "error", "check error", "sharing", "transport")
)


@dataclass(frozen=True)
class Material:
    """What `member` draws under `plan` from its 32-byte `seed`; another plan gives other numbers. Never prints."""

    plan: KeyPlan
    member: str
    seed: bytes = field(repr=False)

    @cached_property
    def secrets(self) -> list[Residues]:
        """The ternary secrets s^(k), one for each polynomial under a mask."""
        ring = self.plan.parameters.ring
        return [
            ring.transform(ring.small_residues(self._stream(_SECRET, number).ternary(ring.degree)))
            for number in self._numbers
        ]

    def public_share(self) -> list[Residues]:
        """Return b^(k) = −a·s^(k) + e^(k)."""
        ring, a = self.plan.parameters.ring, self.plan.public_polynomial
        return [
            ring.subtract(
                ring.transform(ring.small_residues(self._stream(_ERROR, number).error(ring.degree))),
                ring.product(a, secret),
            )
            for number, secret in zip(self._numbers, self.secrets, strict=True)
        ]

    def checks(self) -> list[Residues]:
        """Return the commitments to the sharing polynomials, as `commitments` orders them."""
        ring, found = self.plan.parameters.ring, []
        for power in range(self.plan.threshold):
            coefficients = [part[power - 1] for part in self._sharing] if power else self.secrets
            if power:
                # of the constant term these are −b
                found += [
                    ring.add(ring.product(self.plan.public_polynomial, part), self._small(power, number, 1))
                    for number, part in enumerate(coefficients)
                ]
            total = self._small(power, len(coefficients), len(coefficients))
            for public, part in zip(self.plan.check_polynomials, coefficients, strict=True):
                total = ring.add(total, ring.product(public, part))
            found.append(total)
        return found

    def private_share(self, recipient: str) -> Residues:
        """Return S(x) at the recipient's point, uint64[K, L, N]: S(0) = s, the other coefficients uniform."""
        ring, point = self.plan.parameters.ring, np.uint64(self.plan.point(recipient))
        shares = []
        for secret, coefficients in zip(self.secrets, self._sharing, strict=True):
            value = np.zeros_like(secret)
            for coefficient in [*reversed(coefficients), secret]:
                value = ring.reduce(value * point + coefficient)
            shares.append(value)
        return np.stack(shares)

    @cached_property
    def transport(self) -> TransportKey:
        """The member's key pair for what the others send to it in this ceremony."""
        return TransportKey.from_bytes(self._stream(_TRANSPORT).bytes(TransportKey.MATERIAL_BYTES))

    @cached_property
    def _sharing(self) -> list[list[Residues]]:
        ring = self.plan.parameters.ring
        return [
            [
                np.stack(
                    [
                        self._stream(_SHARING, number, power, row).uniform(prime, ring.degree)
                        for row, prime in enumerate(ring.primes)
                    ]
                )
                for power in range(1, self.plan.threshold)
            ]
            for number in self._numbers
        ]

    def _small(self, power: int, number: int, errors: int) -> Residues:
        """Return a sum of that many errors, transformed."""
        ring, stream = self.plan.parameters.ring, self._stream(_CHECK_ERROR, power, number)
        total = stream.error(ring.degree)
        for _ in range(errors - 1):
            total = total + stream.error(ring.degree)
        return ring.transform(ring.small_residues(total))

    @property
    def _numbers(self) -> range:
        return range(self.plan.parameters.polynomials_per_mask)

    def _stream(self, purpose: str, *numbers: int) -> Stream:
        return Stream.derived(purpose, self._root, *numbers)

    @cached_property
    def _root(self) -> bytes:
        named = (
            _ROOT.encode("ascii") + b"\0" + self.seed + self.plan.public_seed + self.member.encode("utf-8")
        )
        return hashlib.shake_256(named).digest(32)
