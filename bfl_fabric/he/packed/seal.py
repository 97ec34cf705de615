"""SEAL through TenSEAL for the scheme `packed`: secrets, encryptions of zero and decryption.

Imported by the worker process and by tests only: importing it loads TenSEAL. A BFV context makes encryptions of zero,
whose coefficients are modulo our primes and whose masks travel as seeds; our messages are added to them. A CKKS context
with the same primes decrypts, because its decryption returns what is there, error included. SEAL's own bytes exist
only between the lines of this file, made by this process. SEAL draws and expands seeds with its default generator,
BLAKE2Xb, which TenSEAL offers no way to change, so SEAL expands its seeds here.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import IO, Any

import numpy as np
import tenseal
from tenseal import sealapi

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.lattice.bodies import SEAL_SEED_BYTES, coefficients, seeds_digest
from bfl_fabric.he.lattice.channels import message_polynomial
from bfl_fabric.he.lattice.messages import Expansion, encode_polynomial
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.primes import primes_from
from bfl_fabric.he.lattice.ring import Residues, ring_of
from bfl_fabric.he.lattice.threads import each
from bfl_fabric.he.packed.backend import Encrypted, Masks
from bfl_fabric.he.seal import words_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIBRARY = "0.3.18"
_ENVELOPE = struct.Struct("<HBBBBHQ")
_MAGIC, _VERSION, _UNCOMPRESSED = 0xA15E, (4, 3), 0
_COUNT = struct.Struct("<Q")
_CIPHERTEXT = struct.Struct("<4QBQQQdQ")
_SECRET = struct.Struct("<4QQd")
_SCALE, _CORRECTION_FACTOR = 1.0, 1
_ANY_PLAIN_MODULUS = 3
_BLAKE2XB = b"\1"


class SealContexts:
    """SEAL's contexts for a parameter set, and what needs no secret. Raises ConfigurationError for another library."""

    def __init__(self, parameters: LatticeParameters) -> None:
        if tenseal.__version__ != LIBRARY:
            raise ConfigurationError(
                f"the seal back end is for tenseal {LIBRARY}, here is tenseal {tenseal.__version__}; "
                "install that version, or set the back end to ring"
            )
        self.parameters = parameters
        special = next(
            prime
            for prime in primes_from(2 * parameters.degree + 1, parameters.degree)
            if prime not in parameters.primes
        )
        self.key_ring = ring_of(parameters.degree, (*parameters.primes, special))
        self.encrypting = self._context(sealapi.SCHEME_TYPE.BFV)
        self.decrypting = self._context(sealapi.SCHEME_TYPE.CKKS)
        self.evaluator = sealapi.Evaluator(self.decrypting)
        self._files = ExitStack()
        self._lock = threading.Lock()
        self._template: tuple[IO[bytes], str, int] | None = None

    def masks(self, seeds: Sequence[bytes]) -> Residues:
        """Return the sum of the masks of SEAL's seeds, uint64[L, N], in coefficient form."""
        return self._residues(_body(_saved(self.added(seeds))), polynomial=1).copy()

    def added(self, seeds: Sequence[bytes]) -> Any:
        """Return the sum of ciphertexts (0, mask) of these seeds, for the decrypting context."""
        total = self._seeded(seeds[0])
        for seed in seeds[1:]:
            self.evaluator.add_inplace(total, self._seeded(seed))
        return total

    def ciphertext(self, words: Residues) -> Any:
        """Return the ciphertext uint64[2, L, N], in coefficient form, for the decrypting context."""
        return self._loaded(
            sealapi.Ciphertext(), self.decrypting, self._ciphertext_head() + _array_bytes(words)
        )

    def secret_key(self, secret: Integers, context: Any) -> Any:
        """Return SEAL's form of a secret int64[N] of −1, 0, 1 for one of the contexts."""
        ring = self.key_ring
        words = ring.transform(ring.small_residues(secret))
        head = _SECRET.pack(*context.key_parms_id(), words.size, _SCALE)
        return self._loaded(sealapi.SecretKey(), context, head + _array_bytes(words))

    def zero(self, saved: bytes) -> tuple[bytes, Residues]:
        """Return of a saved encryption of zero SEAL's seed of its mask, and c0 uint64[L, N] as coefficients."""
        data = _body(saved)
        head = _ENVELOPE.size + len(_BLAKE2XB)
        info = data[-head - SEAL_SEED_BYTES :]
        if info[_ENVELOPE.size : head] != _BLAKE2XB:
            raise ConfigurationError("SEAL used another generator for its seeds than BLAKE2Xb")
        return info[head:], self._residues(data, polynomial=0)

    def _seeded(self, seed: bytes) -> Any:
        """Return the ciphertext (0, mask); SEAL loads it from a file in which only the seed is new."""
        target = sealapi.Ciphertext()
        with self._lock:
            if self._template is None:
                zeros = _array_bytes(np.zeros(self._words, dtype=np.uint64))
                data = _enveloped(self._ciphertext_head() + zeros + _enveloped(_BLAKE2XB + seed))
                self._template = *self._files.enter_context(_lent(data)), len(data) - SEAL_SEED_BYTES
            stream, path, start = self._template
            os.pwrite(stream.fileno(), seed, start)
            target.load(self.decrypting, path)
        return target

    def _ciphertext_head(self) -> bytes:
        rows, degree = len(self.parameters.primes), self.parameters.degree
        return _CIPHERTEXT.pack(
            *self.decrypting.first_parms_id(), 0, 2, degree, rows, _SCALE, _CORRECTION_FACTOR
        )

    def _residues(self, data: bytes, polynomial: int) -> Residues:
        start = _CIPHERTEXT.size + _ENVELOPE.size + _COUNT.size + 8 * self._words * polynomial
        words = np.frombuffer(data, dtype="<u8", count=self._words, offset=start)
        return words.reshape(len(self.parameters.primes), self.parameters.degree)

    @property
    def _words(self) -> int:
        return len(self.parameters.primes) * self.parameters.degree

    def _loaded(self, target: Any, context: Any, body: bytes) -> Any:
        with _lent(_enveloped(body)) as (_, path):
            target.load(context, path)
        return target

    def _context(self, scheme: Any) -> Any:
        encryption = sealapi.EncryptionParameters(scheme)
        encryption.set_poly_modulus_degree(self.parameters.degree)
        encryption.set_coeff_modulus([sealapi.Modulus(prime) for prime in self.key_ring.primes])
        if scheme == sealapi.SCHEME_TYPE.BFV:
            encryption.set_plain_modulus(sealapi.Modulus(_ANY_PLAIN_MODULUS))
        # the parameter set has checked the modulus that is in use; SEAL would count its own last prime with it, at
        # which nothing is ever published
        return sealapi.SEALContext(encryption, False, sealapi.SEC_LEVEL_TYPE.NONE)


class SealBackEnd:
    """A secret in SEAL's hands."""

    def __init__(self, contexts: SealContexts, secret: Integers) -> None:
        self._contexts = contexts
        encrypting, decrypting = contexts.encrypting, contexts.decrypting
        self._encryptor = sealapi.Encryptor(encrypting, contexts.secret_key(secret, encrypting))
        self._decryptor = sealapi.Decryptor(decrypting, contexts.secret_key(secret, decrypting))

    @staticmethod
    def generate(contexts: SealContexts) -> Integers:
        """Return a fresh secret int64[N] of −1, 0, 1."""
        ring = contexts.key_ring
        # `data` lends out the inside of the key: the key must have a name of its own while it is read
        secret = sealapi.KeyGenerator(contexts.encrypting).secret_key()
        words = words_of(secret.data(), len(ring.primes) * ring.degree).reshape(len(ring.primes), ring.degree)
        first = ring.inverse(words)[0].astype(np.int64)
        centred: Integers = np.where(first > 1, first - ring.primes[0], first)
        return centred

    def encrypt(self, values: Integers) -> Encrypted:
        """Return a fresh encryption: SEAL's encryptions of zero, each with the message added."""
        parameters = self._contexts.parameters
        ring = parameters.ring
        # SEAL keeps the interpreter's lock: what need not be done in the calling thread is done in the others
        zeros = (
            (number, size, _saved(self._encryptor.encrypt_zero_symmetric()))
            for number, size in enumerate(coefficients(parameters, values.size))
        )

        def encrypted(item: tuple[int, int, bytes]) -> tuple[bytes, bytes]:
            number, size, saved = item
            seed, zero = self._contexts.zero(saved)
            rows = ring.add(message_polynomial(parameters, values, number), zero)
            return seed, encode_polynomial(parameters, rows[:, :size])

        made = list(each(encrypted, zeros))
        seeds = b"".join(seed for seed, _ in made)
        return Encrypted(Expansion.SEAL_BLAKE2XB, seeds_digest(seeds), [seeds, *(data for _, data in made)])

    def opened(self, polynomial: int, total: Residues, masks: Masks) -> Residues:
        """Return SEAL's decryption of (total, mask) as coefficients."""
        contexts = self._contexts
        ring = contexts.parameters.ring
        words = np.zeros((2, len(ring.primes), ring.degree), dtype=np.uint64)
        words[0, :, : total.shape[1]] = total
        words[1] = ring.inverse(masks.ours(contexts.parameters, polynomial))
        cipher = contexts.ciphertext(words)
        seal_seeds = masks.seal_seeds_of(polynomial)
        if seal_seeds:
            contexts.evaluator.add_inplace(cipher, contexts.added(seal_seeds))
        contexts.evaluator.transform_to_ntt_inplace(cipher)
        plain = sealapi.Plaintext()
        self._decryptor.decrypt(cipher, plain)
        decrypted = np.frombuffer(_body(_saved(plain))[-8 * words[0].size :], dtype="<u8")
        return ring.inverse(decrypted.reshape(words[0].shape))[:, : total.shape[1]]


@lru_cache(maxsize=8)
def contexts_of(parameters: LatticeParameters) -> SealContexts:
    """Return the contexts; they are made once."""
    return SealContexts(parameters)


def _saved(source: Any) -> bytes:
    """Return what SEAL saves."""
    with _lent(b"") as (stream, path):
        source.save(path)
        stream.seek(0)
        return stream.read()


def _body(saved: bytes) -> bytes:
    """Return what stands in SEAL's envelope, which it compresses with Zstandard."""
    return zstd.decompress(memoryview(saved)[_ENVELOPE.size :])


def _array_bytes(words: Residues) -> bytes:
    return _enveloped(_COUNT.pack(words.size) + words.astype("<u8", copy=False).tobytes())


def _enveloped(body: bytes) -> bytes:
    size = _ENVELOPE.size + len(body)
    return _ENVELOPE.pack(_MAGIC, _ENVELOPE.size, *_VERSION, _UNCOMPRESSED, 0, size) + body


@contextmanager
def _lent(data: bytes) -> Iterator[tuple[IO[bytes], str]]:
    """Lend bytes to SEAL as a file and its path: in memory on Linux, else a private temporary file."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("bfl", os.MFD_CLOEXEC)
        with open(descriptor, "w+b") as stream:
            stream.write(data)
            stream.flush()
            yield stream, f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile() as stream:
            stream.write(data)
            stream.flush()
            yield stream, stream.name
