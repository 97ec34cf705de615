"""Public uniform polynomials from a seed: what both sides draw alike, so that a seed travels instead of them."""

from __future__ import annotations

import numpy as np

from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues, Ring

_DOMAIN = "bfl-fabric uniform v1"


def uniform_polynomial(ring: Ring, seed: bytes, number: int) -> Residues:
    """Return polynomial `number` of a 32-byte seed, uint64[L, N], taken in transformed form.

    Row l is `Stream.derived(domain, seed, number, l).uniform(primes[l], N)`.
    """
    rows = [
        Stream.derived(_DOMAIN, seed, number, row).uniform(prime, ring.degree)
        for row, prime in enumerate(ring.primes)
    ]
    return np.stack(rows)
