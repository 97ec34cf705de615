"""Squared norms and inner products of encrypted vectors, single-key mode only, by SEAL.

For polynomials x and y the constant coefficient of x(X)·y(X^−1) modulo X^N + 1 is ⟨x, y⟩. So values stand in
coefficients, one automorphism turns each vector round, and a product of a vector is the sum of one ciphertext
multiplication for each chunk: no rotations, no relinearization (a sum of size-3 ciphertexts is decrypted as it is).

Decides parameters, scale, and the grid on which results are rounded. Results depend on the noise only beyond that grid;
they never leave as floats. This module loads TenSEAL: only a worker process may import it. It is a library: rounds
do not use it, and there is no wire form for its ciphertexts. With several key holders there is no such product: the
s²-part has no additive share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tenseal import sealapi

from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.he import embedding
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.randomness import ERROR_VARIANCE
from bfl_fabric.he.seal import words_of

DEGREE = 8192
PRIME_BITS = (55, 54, 54, 55)
"""Three data primes and the special one: 218 bits, which for N = 8192 only the table's classical column allows."""

SCALE_BITS = 30
EXACT_BITS = 46
"""A scaled value stays below 2^46, far within what float64 embeds without error that matters."""

GRID_OVER_NOISE_BITS = 16


@dataclass(frozen=True, slots=True)
class ProductBound:
    """What vectors may be: `count` values, each at most `largest` in magnitude.

    Raises:
        ConfigurationError: products of such vectors do not fit the modulus.
    """

    count: int
    largest: int

    def __post_init__(self) -> None:
        room = sum(PRIME_BITS[:-1]) - 2
        if self.count < 1 or self.largest < 1:
            raise ConfigurationError("products of no values")
        if self.scale_bits < 1 or (self.largest**2 * self.count).bit_length() + 2 * self.scale_bits > room:
            raise ConfigurationError(
                f"products of {self.count} values up to {self.largest} do not fit {room} bits: take a sketch of them"
            )

    @property
    def scale_bits(self) -> int:
        """log2 of the scale of one vector's coefficients."""
        return min(SCALE_BITS, EXACT_BITS - self.largest.bit_length())

    @property
    def chunks(self) -> int:
        return -(-self.count // DEGREE)

    @property
    def grid(self) -> int:
        """The power of two to whose multiples a product is rounded.

        The noise of a product is ⟨x,e′⟩ + ⟨y,e⟩ over the scale, with ‖x‖, ‖y‖ ≤ largest·√count. An error has the
        variance of public-key encryption, σ²(1 + 4N/3). Turning adds a key switch, whose three digits are not
        centred: half of the key's own errors, summed along the polynomial, stays the same for every ciphertext, of
        size ½·√3·σ·√N, and for vectors of one sign it adds up coefficient by coefficient (measured; it dominates).
        The grid is 2^16 times both.
        """
        fresh = self.largest * math.sqrt(self.count * 2 * ERROR_VARIANCE * (1 + 4 * DEGREE / 3))
        turned = self.largest * self.count * math.sqrt(3 * ERROR_VARIANCE * DEGREE) / 2
        noise = math.hypot(fresh, turned) / 2**self.scale_bits
        return 1 << max(0, math.ceil(math.log2(noise) + GRID_OVER_NOISE_BITS))


@dataclass(frozen=True, slots=True)
class EncryptedVector:
    """A vector's ciphertexts and, from `turned` on, those of its mirror image."""

    chunks: tuple[Any, ...]
    mirrored: tuple[Any, ...] = ()


class ProductScheme:
    """Public material: encrypts vectors and multiplies them. Made by `generate`."""

    def __init__(self, context: Any, public_key: Any, turning_key: Any) -> None:
        self._encoder = sealapi.CKKSEncoder(context)
        self._encryptor = sealapi.Encryptor(context, public_key)
        self._evaluator = sealapi.Evaluator(context)
        self._turning_key = turning_key

    def encrypt(self, bound: ProductBound, values: Integers) -> EncryptedVector:
        """Return a fresh encryption of values int64[count]. Raises MalformedInput beyond the bound."""
        if values.dtype != np.int64 or values.shape != (bound.count,):
            raise MalformedInput(
                f"the values are {values.dtype} of shape {values.shape}, not int64[{bound.count}]"
            )
        if int(values.max()) > bound.largest or int(values.min()) < -bound.largest:
            raise MalformedInput(f"a value is beyond ±{bound.largest}")
        padded = np.zeros(bound.chunks * DEGREE)
        padded[: bound.count] = values
        scale = 2.0**bound.scale_bits
        return EncryptedVector(tuple(self._encrypted(chunk, scale) for chunk in padded.reshape(-1, DEGREE)))

    def turned(self, vector: EncryptedVector) -> EncryptedVector:
        """Return the vector with its mirror image X → X^−1, which each product needs of one of its factors."""
        mirrored = []
        for chunk in vector.chunks:
            image = sealapi.Ciphertext()
            self._evaluator.complex_conjugate(chunk, self._turning_key, image)
            mirrored.append(image)
        return EncryptedVector(vector.chunks, tuple(mirrored))

    def product(self, left: EncryptedVector, right: EncryptedVector) -> Any:
        """Return a ciphertext whose constant coefficient is ⟨left, right⟩; `right` is `turned`, lengths are equal."""
        total: Any = None
        for chunk, image in zip(left.chunks, right.mirrored, strict=True):
            term = sealapi.Ciphertext()
            self._evaluator.multiply(chunk, image, term)
            if total is None:
                total = term
            else:
                self._evaluator.add_inplace(total, term)
        return total

    def _encrypted(self, coefficients: embedding.Coefficients, scale: float) -> Any:
        plain, cipher = sealapi.Plaintext(), sealapi.Ciphertext()
        self._encoder.encode(embedding.to_slots(coefficients).tolist(), scale, plain)
        self._encryptor.encrypt(plain, cipher)
        return cipher


@dataclass(frozen=True, slots=True)
class ProductOpener:
    """The key holder's side: opens a product to one integer on the grid, and nothing else of it."""

    _decryptor: Any = field(repr=False)
    _primes: tuple[int, ...]

    def open(self, bound: ProductBound, product: Any) -> int:
        """Return the inner product, rounded to a multiple of `bound.grid`."""
        plain = sealapi.Plaintext()
        self._decryptor.decrypt(product, plain)
        words = words_of(plain, len(self._primes) * DEGREE).reshape(-1, DEGREE)
        number, modulus = 0, math.prod(self._primes)
        for prime, row in zip(self._primes, words, strict=True):
            # the constant coefficient is the mean of the values: halves keep the sum within 64 bits
            total = (int((row >> np.uint64(32)).sum()) << 32) + int((row & np.uint64((1 << 32) - 1)).sum())
            rest = modulus // prime
            number += total * pow(DEGREE, -1, prime) * pow(rest, -1, prime) % prime * rest
        number %= modulus
        number -= modulus if number > modulus // 2 else 0
        step = bound.grid << (2 * bound.scale_bits)
        return (2 * number + step) // (2 * step) * bound.grid


def generate() -> tuple[ProductScheme, ProductOpener]:
    """Make a key pair for products. The secret is in the opener alone."""
    encryption = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    encryption.set_poly_modulus_degree(DEGREE)
    primes = sealapi.CoeffModulus.Create(DEGREE, list(PRIME_BITS))
    encryption.set_coeff_modulus(primes)
    context = sealapi.SEALContext(encryption, True, sealapi.SEC_LEVEL_TYPE.TC128)
    generator = sealapi.KeyGenerator(context)
    public_key, turning_key = sealapi.PublicKey(), sealapi.GaloisKeys()
    generator.create_public_key(public_key)
    generator.create_galois_keys([2 * DEGREE - 1], turning_key)
    opener = ProductOpener(
        sealapi.Decryptor(context, generator.secret_key()), tuple(prime.value() for prime in primes[:-1])
    )
    return ProductScheme(context, public_key, turning_key), opener


def gram_matrix(
    scheme: ProductScheme, opener: ProductOpener, bound: ProductBound, vectors: Sequence[EncryptedVector]
) -> list[list[int]]:
    """Return all inner products of the vectors, each on the grid: squared norms on the diagonal, symmetric."""
    turned = [scheme.turned(vector) for vector in vectors]
    matrix = [[0] * len(vectors) for _ in vectors]
    for row, left in enumerate(turned):
        for column in range(row + 1):
            found = opener.open(bound, scheme.product(left, turned[column]))
            matrix[row][column] = matrix[column][row] = found
    return matrix


def squared_distance(matrix: Sequence[Sequence[int]], left: int, right: int) -> int:
    """Return ‖x − y‖² of two of the vectors, within two grid steps."""
    return matrix[left][left] + matrix[right][right] - 2 * matrix[left][right]
