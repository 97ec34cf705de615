"""TenSEAL's CKKSVector with the set that NVFLARE gives it: one flat vector, its own serialization.

Decides nothing but what NVFLARE decides (N = 8192, moduli 60/40/40, scale 2^40). The server adds as uploads come in.
Call: `tenseal_vectors symmetric` or `tenseal_vectors public`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import tenseal

from tests.benchmarks.he.foreign.serve import Float32Vector, Float64Vector, serve

DEGREE, MODULUS_BITS, SCALE = 8192, [60, 40, 40], 2.0**40


class TensealVectors:
    """One context with its secret key; the server's part uses public material only."""

    def __init__(self, symmetric: bool) -> None:
        kind = tenseal.ENCRYPTION_TYPE.SYMMETRIC if symmetric else tenseal.ENCRYPTION_TYPE.ASYMMETRIC
        self._context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=MODULUS_BITS, encryption_type=kind
        )
        self._context.global_scale = SCALE
        self._values: list[Float32Vector] = []
        self._uploads: list[bytes] = []
        self._sum: Any = None
        self.note = "the sum is opened from memory, not from bytes"

    def prepare(self, values: list[Float32Vector]) -> None:
        self._values = values
        self._uploads = [self._encrypted(vector) for vector in values]

    def client(self) -> bytes:
        return self._encrypted(self._values[0])

    def server(self) -> None:
        total = tenseal.ckks_vector_from(self._context, self._uploads[0])
        for upload in self._uploads[1:]:
            total += tenseal.ckks_vector_from(self._context, upload)
        self._sum = total

    def open(self) -> Float64Vector:
        return np.array(self._sum.decrypt(), dtype=np.float64)

    def is_exact(self) -> None:
        return None

    def _encrypted(self, values: Float32Vector) -> bytes:
        upload: bytes = tenseal.ckks_vector(self._context, values.tolist()).serialize()
        return upload


if __name__ == "__main__":
    serve(TensealVectors(symmetric=sys.argv[1] == "symmetric"))
