"""Public uniform polynomials from a seed: what both sides draw alike, so that a seed travels instead of them."""

from __future__ import annotations

from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues, Ring

_DOMAIN = "bfl-fabric uniform v1"


def uniform_polynomial(ring: Ring, seed: bytes, number: int) -> Residues:
    """Return polynomial `number` of a 32-byte seed, uint64[L, N], taken in transformed form.

    It is `Stream.derived(domain, seed, number).uniform_rows(primes, N)`.
    """
    return Stream.derived(_DOMAIN, seed, number).uniform_rows(ring.primes, ring.degree)
