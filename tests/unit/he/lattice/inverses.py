"""Inverses of residues, for those who attack."""

from __future__ import annotations

import numpy as np

from bfl_fabric.he.lattice.ring import Residues, Ring


def inverse_of(values: Residues, ring: Ring) -> Residues:
    """Return 1/values, residue by residue; 0 stays 0."""
    rows = [
        [pow(int(value), -1, prime) if value else 0 for value in row]
        for row, prime in zip(values, ring.primes, strict=True)
    ]
    return np.array(rows, dtype=np.uint64)
