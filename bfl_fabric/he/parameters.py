"""Parameter sets: the numbers that every party of a task must agree on, checked once and named by a digest.

Decides ring, primes, fixed-point step and the largest number of members, and checks them against the noise law
and against the HomomorphicEncryption.org table. Leaves values (clip, bits, weights) to the task's terms.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from bfl_chaincode.api import canonical
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.packing import MAXIMUM_WIDTH, MINIMUM_WIDTH

SECURE_BITS_QUANTUM = {4096: 101, 8192: 202, 16384: 411, 32768: 827}
"""log2 of the largest modulus for 128 bits of security, ternary secret, HomomorphicEncryption.org table; the
classical column reads 109, 218, 438, 881."""

PRIME_WIDTHS = range(20, MAXIMUM_WIDTH + 1, 4)

REFUSAL_SIGMAS = 8
"""A sum further than a quarter step from the grid is refused; honest noise stays within this many sigmas."""


@dataclass(frozen=True)
class ParameterSet:
    """A checked parameter set of the scheme `ckks`.

    A ciphertext is a pair of polynomials of `degree` coefficients modulo `data_prime`; `special_prime` exists at
    key level only. An integer T is one coefficient, T·2^step_bits; |ΣT| < 2^sum_bits over at most `max_members`.
    The first `reserved_coefficients` carry zeros and must open to zeros: a mask that is not what it must be adds a
    multiple of the secret, and there it shows.

    Raises:
        ConfigurationError: the numbers do not hold together.
    """

    name: str
    scheme: str
    library: str
    degree: int
    data_prime: int
    special_prime: int
    step_bits: int
    sum_bits: int
    max_members: int
    reserved_coefficients: int = 0

    def __post_init__(self) -> None:
        self._require(
            self.degree in SECURE_BITS_QUANTUM, f"degree {self.degree} is not in the security table"
        )
        for prime in (self.data_prime, self.special_prime):
            self._require(prime % (2 * self.degree) == 1, f"{prime} is not 1 modulo {2 * self.degree}")
            self._require(prime.bit_length() in PRIME_WIDTHS, f"{prime} has {prime.bit_length()} bits")
        self._require(
            self.modulus_bits <= SECURE_BITS_QUANTUM[self.degree],
            f"a modulus of {self.modulus_bits} bits is too large for degree {self.degree}",
        )
        self._require(
            2 << (self.sum_bits + self.step_bits) < self.data_prime,
            "the largest sum does not fit the data prime",
        )
        self._require(
            (1 << self.step_bits) / 4 >= REFUSAL_SIGMAS * self.sum_noise(self.max_members),
            f"the noise of {self.max_members} members is too wide for the step",
        )

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the canonical JSON of all fields but a zero `reserved_coefficients`, lower-case hex."""
        fields = asdict(self)
        if not self.reserved_coefficients:
            del fields["reserved_coefficients"]
        return canonical.digest(fields)

    @property
    def modulus_bits(self) -> int:
        return (self.data_prime * self.special_prime).bit_length()

    @property
    def residue_bits(self) -> int:
        return self.data_prime.bit_length()

    @property
    def special_residue_bits(self) -> int:
        return max(MINIMUM_WIDTH, self.special_prime.bit_length())

    @property
    def polynomial_bytes(self) -> int:
        """Length of one bit-packed polynomial modulo the data prime."""
        return self.degree * self.residue_bits // 8

    @property
    def chunk_bytes(self) -> int:
        return 2 * self.polynomial_bytes

    @property
    def noise_variance(self) -> float:
        """Of one coefficient of a fresh encryption: the rounding of dividing by the special prime dominates.

        The two rounding errors are uniform over a unit; the second is multiplied by the ternary secret, of which
        two thirds of the coefficients are not zero: (1 + 2N/3)/12.
        """
        return (1 + 2 * self.degree / 3) / 12

    def sum_noise(self, members: int) -> float:
        """Return the standard deviation of one coefficient's noise in a sum of `members` uploads."""
        return math.sqrt(members * self.noise_variance)

    @property
    def values_per_chunk(self) -> int:
        return self.degree - self.reserved_coefficients

    def chunk_count(self, parameter_count: int) -> int:
        """Return how many ciphertexts carry that many values."""
        return -(-parameter_count // self.values_per_chunk)

    def _require(self, holds: bool, problem: str) -> None:
        if not holds:
            raise ConfigurationError(f"parameter set {self.name}: {problem}")


CKKS_N4096 = ParameterSet(
    name="ckks-n4096",
    scheme="ckks",
    library="tenseal 0.3.18",
    degree=4096,
    data_prime=1152921504606830593,
    special_prime=1032193,
    step_bits=14,
    sum_bits=30,
    max_members=1024,
)

CKKS_N4096_R64 = replace(CKKS_N4096, name="ckks-n4096-r64", reserved_coefficients=64)
"""The default. A coefficient of the secret is zero with probability 1/3: all of 64 are with less than 2^−100."""

PARAMETER_SETS = {parameters.digest: parameters for parameters in (CKKS_N4096, CKKS_N4096_R64)}


def parameters_named(digest: str) -> ParameterSet:
    """Return the parameter set with this digest. Raises ConfigurationError."""
    if digest not in PARAMETER_SETS:
        known = ", ".join(f"{item.name} = {key}" for key, item in PARAMETER_SETS.items())
        raise ConfigurationError(f"no parameter set has the digest {digest!r}; this version knows {known}")
    return PARAMETER_SETS[digest]
