"""SEAL's own transform modulo any primes, through ciphertexts built by hand: what ours is held against."""

from __future__ import annotations

import os
import struct
from typing import Any

import numpy as np
from tenseal import sealapi

from bfl_fabric.he.lattice.primes import primes_below
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.seal import words_of

_HEADER = struct.Struct("<HBBBBHQ")
_CIPHERTEXT = struct.Struct("<4QBQQQdQ")


class SealOracle:
    """SEAL with these primes for ciphertexts; a special prime that it drops comes on top."""

    def __init__(self, degree: int, primes: tuple[int, ...]) -> None:
        self._shape = (len(primes), degree)
        special = next(prime for prime in primes_below(1 << 31, degree) if prime not in primes)
        encryption = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        encryption.set_poly_modulus_degree(degree)
        encryption.set_coeff_modulus([sealapi.Modulus(prime) for prime in (*primes, special)])
        self._context = sealapi.SEALContext(encryption, True, sealapi.SEC_LEVEL_TYPE.NONE)
        self._evaluator = sealapi.Evaluator(self._context)

    def transform(self, coefficients: Residues) -> Residues:
        """Return SEAL's transform of residues uint64[L, N]."""
        cipher = self._cipher(coefficients, transformed=False)
        self._evaluator.transform_to_ntt_inplace(cipher)
        return self._first(cipher)

    def inverse(self, values: Residues) -> Residues:
        """Return SEAL's inverse transform."""
        cipher = self._cipher(values, transformed=True)
        self._evaluator.transform_from_ntt_inplace(cipher)
        return self._first(cipher)

    def _first(self, cipher: Any) -> Residues:
        rows, degree = self._shape
        return words_of(cipher, rows * degree).reshape(self._shape)

    def _cipher(self, rows: Residues, *, transformed: bool) -> Any:
        # SEAL refuses a ciphertext whose second polynomial is zero: it gets the same one twice
        words = np.concatenate([rows.reshape(-1)] * 2)
        head = _CIPHERTEXT.pack(
            *self._context.first_parms_id(), transformed, 2, self._shape[1], self._shape[0], 1.0, 1
        )
        body = head + _enveloped(struct.pack("<Q", words.size) + words.astype("<u8").tobytes())
        cipher = sealapi.Ciphertext()
        with open(os.memfd_create("oracle"), "wb") as stream:
            stream.write(_enveloped(body))
            stream.flush()
            cipher.load(self._context, f"/proc/self/fd/{stream.fileno()}")
        return cipher


def _enveloped(body: bytes) -> bytes:
    return _HEADER.pack(0xA15E, _HEADER.size, 4, 3, 0, 0, _HEADER.size + len(body)) + body
