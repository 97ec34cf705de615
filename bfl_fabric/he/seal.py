"""SEAL through TenSEAL: every step that touches a secret or randomness, and nothing else.

Imported by the worker process and by tests only: importing it loads TenSEAL. Objects cross as residues; SEAL's own
byte format exists only between the lines of this file, built here and never taken from outside.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tenseal
from numpy.typing import NDArray
from tenseal import sealapi

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he import embedding
from bfl_fabric.he.packing import Residues
from bfl_fabric.he.parameters import ParameterSet
from bfl_fabric.he.ring import ring

_SEAL_HEADER = struct.Struct("<HBBBBHQ")
_SEAL_MAGIC, _SEAL_VERSION, _UNCOMPRESSED = 0xA15E, (4, 3), 0
_CORRECTION_FACTOR = 1


class SealContext:
    """SEAL's context and encoder for a parameter set. Raises ConfigurationError when the library is another one."""

    def __init__(self, parameters: ParameterSet) -> None:
        if parameters.library != f"tenseal {tenseal.__version__}":
            raise ConfigurationError(
                f"parameter set {parameters.name} is for {parameters.library}; "
                f"install that version, here is tenseal {tenseal.__version__}"
            )
        self.parameters = parameters
        encryption = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        encryption.set_poly_modulus_degree(parameters.degree)
        widths = [parameters.data_prime.bit_length(), parameters.special_prime.bit_length()]
        primes = sealapi.CoeffModulus.Create(parameters.degree, widths)
        if [prime.value() for prime in primes] != [parameters.data_prime, parameters.special_prime]:
            raise ConfigurationError(f"SEAL chooses other primes than parameter set {parameters.name}")
        encryption.set_coeff_modulus(primes)
        self.context = sealapi.SEALContext(encryption, True, sealapi.SEC_LEVEL_TYPE.TC128)
        self.encoder = sealapi.CKKSEncoder(self.context)
        self.scale = float(1 << parameters.step_bits)

    def generate(self) -> tuple[Residues, Residues]:
        """Return a fresh secret uint64[2, degree] and its public key uint64[2, 2, degree], transformed."""
        generator = sealapi.KeyGenerator(self.context)
        public = sealapi.PublicKey()
        generator.create_public_key(public)
        degree = self.parameters.degree
        # `data` lends out the inside of the key: the key must have a name of its own while it is read
        secret = generator.secret_key()
        secret_words = words_of(secret.data(), 2 * degree).reshape(2, degree)
        return secret_words, words_of(public.data(), 4 * degree).reshape(2, 2, degree)

    def encryptor(self, public: Residues) -> Encryptor:
        """Return an encryptor for a public key that has passed the gate."""
        return Encryptor(
            self, self._loaded(sealapi.PublicKey(), self._ciphertext_bytes(public, key_level=True))
        )

    def decryptor(self, secret: Residues) -> Decryptor:
        """Return a decryptor for the secret key."""
        key = self._loaded(sealapi.SecretKey(), self._secret_bytes(secret))
        return Decryptor(self, key)

    def ciphertext(self, words: Residues) -> Any:
        """Return a fresh SEAL ciphertext of residues uint64[2, degree] that have passed the gate."""
        return self._loaded(sealapi.Ciphertext(), self._ciphertext_bytes(words, key_level=False))

    def _loaded(self, target: Any, data: bytes) -> Any:
        with _lent(data) as path:
            target.load(self.context, path)
        return target

    def _ciphertext_bytes(self, words: Residues, *, key_level: bool) -> bytes:
        identity = self.context.key_parms_id() if key_level else self.context.first_parms_id()
        primes = 2 if key_level else 1
        scale = 1.0 if key_level else self.scale
        body = struct.pack(
            "<4QBQQQdQ", *identity, 1, 2, self.parameters.degree, primes, scale, _CORRECTION_FACTOR
        )
        return _enveloped(body + _array_bytes(words))

    def _secret_bytes(self, words: Residues) -> bytes:
        body = struct.pack("<4QQd", *self.context.key_parms_id(), words.size, 1.0)
        return _enveloped(body + _array_bytes(words))


class Encryptor:
    """Public-key encryption of one chunk at a time."""

    def __init__(self, seal: SealContext, public_key: Any) -> None:
        self._seal = seal
        self._encryptor = sealapi.Encryptor(seal.context, public_key)

    def encrypt(self, values: NDArray[np.int64]) -> Residues:
        """Return a fresh encryption uint64[2, degree] of at most `values_per_chunk` integers below 2^sum_bits."""
        degree = self._seal.parameters.degree
        coefficients = np.zeros(degree)
        start = self._seal.parameters.reserved_coefficients
        coefficients[start : start + values.size] = values
        plain, cipher = sealapi.Plaintext(), sealapi.Ciphertext()
        self._seal.encoder.encode(embedding.to_slots(coefficients).tolist(), self._seal.scale, plain)
        self._encryptor.encrypt(plain, cipher)
        return words_of(cipher, 2 * degree).reshape(2, degree)


class Decryptor:
    """Decryption; what it returns carries noise and must not leave the process."""

    def __init__(self, seal: SealContext, secret_key: Any) -> None:
        self._seal = seal
        self._decryptor = sealapi.Decryptor(seal.context, secret_key)

    def coefficients(self, words: Residues) -> NDArray[np.float64]:
        """Return the coefficients in steps, noise included, of a ciphertext uint64[2, degree]."""
        slots = self._seal.encoder.decode_complex(self._decrypted(words))
        return embedding.to_coefficients(np.array(slots, dtype=np.complex128))

    def constant(self, constant: int, mask: Residues) -> int:
        """Return the constant coefficient, centred and with its noise, of the pair (constant, mask)."""
        parameters = self._seal.parameters
        words = np.stack((np.full(parameters.degree, constant, dtype=np.uint64), mask))
        arithmetic = ring(parameters.data_prime, parameters.degree)
        total = arithmetic.sum(words_of(self._decrypted(words), parameters.degree))
        return arithmetic.centered(arithmetic.constant_coefficient(total))

    def _decrypted(self, words: Residues) -> Any:
        plain = sealapi.Plaintext()
        self._decryptor.decrypt(self._seal.ciphertext(words), plain)
        return plain


def words_of(source: Any, count: int) -> Residues:
    """Copy the words of a SEAL object one by one: the only way out that needs neither files nor zstd."""
    return np.fromiter(map(source.__getitem__, range(count)), dtype=np.uint64, count=count)


def _array_bytes(words: Residues) -> bytes:
    return _enveloped(struct.pack("<Q", words.size) + words.astype("<u8").tobytes())


def _enveloped(body: bytes) -> bytes:
    size = _SEAL_HEADER.size + len(body)
    return _SEAL_HEADER.pack(_SEAL_MAGIC, _SEAL_HEADER.size, *_SEAL_VERSION, _UNCOMPRESSED, 0, size) + body


@contextmanager
def _lent(data: bytes) -> Iterator[str]:
    """Lend bytes to SEAL as a path: in memory on Linux, else as a private temporary file."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("bfl", os.MFD_CLOEXEC)
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile() as stream:
            stream.write(data)
            stream.flush()
            yield stream.name
