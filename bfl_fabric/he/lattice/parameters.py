"""Parameter sets of the schemes `packed` and `threshold`: what every party agrees on, checked once, named by a digest.

A ciphertext is modulo noise primes and payload primes. Modulo each payload prime it carries numbers of its own; the
small error is the same modulo all of them, and the noise primes, whose product it fits, tell it exactly. So sums
come out exact (docs/encryption.md, "channels").

Decides ring, primes, room for noise and smudging, and checks them against the noise law and against the
HomomorphicEncryption.org table. Leaves values (clip, bits, weights) to the task's terms.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property

from bfl_chaincode.api import canonical
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.lattice.randomness import ERROR_BOUND, ERROR_VARIANCE
from bfl_fabric.he.lattice.ring import Ring, ring_of

SECURE_BITS_QUANTUM = {4096: 101, 8192: 202, 16384: 411, 32768: 827}
"""log2 of the largest modulus for 128 bits of security, ternary secret, HomomorphicEncryption.org table."""

TAIL_SIGMAS = 12
"""Smudging noise is beyond this many standard deviations with probability below 2^−100 per coefficient."""

NOISE_SIGMAS = 8

RESERVED_COEFFICIENTS = 64
"""A coefficient of a joint secret is zero with probability at most 1/3: all of 64 are with less than 2^−100."""


@dataclass(frozen=True)
class LatticeParameters:
    """A checked parameter set.

    `noise_step` is B: modulo the noise primes a ciphertext carries B·x + e (scheme `packed`), or e alone when it is 0
    (scheme `threshold`). `primes_per_value` payload primes carry one value together. Up to `polynomials_per_mask`
    polynomials share one mask c1 (1 where the mask is a seed). `smudge_bits` is log2 of the standard deviation of the
    wide noise in one decryption share, 0 in the scheme `packed`. The first `reserved_coefficients` coefficients of each
    polynomial carry zeros in every slot: a mask that is not what it must be adds a multiple of the secret, and there it
    shows (docs/encryption.md, "Crafted masks").

    Raises:
        ConfigurationError: the numbers do not hold together.
    """

    name: str
    scheme: str
    degree: int
    noise_primes: tuple[int, ...]
    payload_primes: tuple[int, ...]
    noise_step: int
    primes_per_value: int
    polynomials_per_mask: int
    max_members: int
    max_holders: int
    smudge_bits: int
    reserved_coefficients: int

    def __post_init__(self) -> None:
        self._require(self.degree in SECURE_BITS_QUANTUM, "the degree is not in the security table")
        self._require(
            self.modulus_bits <= SECURE_BITS_QUANTUM[self.degree],
            f"a modulus of {self.modulus_bits} bits is too large for degree {self.degree}",
        )
        self._require(len(self.payload_primes) % self.primes_per_value == 0, "payload primes are left over")
        if self.noise_step:
            worst = 2 * ERROR_BOUND * self.max_members + 2
            self._require(self.noise_step >= worst, f"{self.max_members} members make errors up to {worst}")
        else:
            self._require(
                2 * self.noise_bound < self.noise_modulus, "noise and smudging do not fit the noise primes"
            )

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the canonical JSON of all fields, lower-case hex."""
        fields = {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }
        return canonical.digest(fields)

    @property
    def primes(self) -> tuple[int, ...]:
        """Noise primes, then payload primes: the rows of every polynomial."""
        return self.noise_primes + self.payload_primes

    @property
    def ring(self) -> Ring:
        return ring_of(self.degree, self.primes)

    @property
    def noise_modulus(self) -> int:
        return math.prod(self.noise_primes)

    @property
    def modulus_bits(self) -> int:
        return math.prod(self.primes).bit_length()

    @property
    def widths(self) -> tuple[int, ...]:
        """How many bits one residue takes on the wire, row by row."""
        return tuple(prime.bit_length() for prime in self.primes)

    @cached_property
    def slots(self) -> tuple[tuple[int, ...], ...]:
        """The values that one coefficient carries: for each, the rows that carry it.

        Slot 0 of the scheme `packed` is the value beside the error in the noise primes.
        """
        first, each = len(self.noise_primes), self.primes_per_value
        payload = [tuple(range(row, row + each)) for row in range(first, len(self.primes), each)]
        return (tuple(range(first)), *payload) if self.noise_step else tuple(payload)

    @property
    def largest_sum(self) -> int:
        """The largest magnitude of a value of any sum."""
        rooms = [math.prod(self.primes[row] for row in rows) for rows in self.slots]
        if self.noise_step:
            rooms[0] = self.noise_modulus // self.noise_step - 1
        return (min(rooms) - 1) // 2

    @property
    def noise_variance(self) -> float:
        """Of one coefficient of a fresh encryption.

        With a seed the error is alone. Under a joint key of P holders it is e·u + e0 + e1·s: σ²(1 + 4/3·N·P).
        """
        if self.noise_step:
            return ERROR_VARIANCE
        return ERROR_VARIANCE * (1 + 4 / 3 * self.degree * self.max_holders)

    @property
    def noise_bound(self) -> int:
        """The largest magnitude of error plus smudging in an opened coefficient that honest parties make."""
        if self.noise_step:
            return ERROR_BOUND * self.max_members
        sums = NOISE_SIGMAS * math.sqrt(2 * self.max_members * self.noise_variance)
        return int(sums) + int(TAIL_SIGMAS * 2**self.smudge_bits * math.sqrt(self.max_holders))

    def values_per_polynomial(self) -> int:
        return (self.degree - self.reserved_coefficients) * len(self.slots)

    def polynomial_count(self, parameter_count: int) -> int:
        """Return how many polynomials carry that many values."""
        return -(-parameter_count // self.values_per_polynomial())

    def coefficients_in(self, polynomial: int, parameter_count: int) -> int:
        """Return how many leading coefficients of this polynomial are in use, a multiple of 8: only they travel."""
        left = parameter_count - polynomial * self.values_per_polynomial()
        used = min(self.degree, self.reserved_coefficients + -(-left // len(self.slots)))
        return -(-used // 8) * 8

    def _require(self, holds: bool, problem: str) -> None:
        if not holds:
            raise ConfigurationError(f"parameter set {self.name}: {problem}")


def _packed(
    name: str,
    degree: int,
    noise_primes: tuple[int, ...],
    payload_primes: tuple[int, ...],
    noise_step: int,
    max_members: int,
    primes_per_value: int = 1,
) -> LatticeParameters:
    return LatticeParameters(
        name, "packed", degree, noise_primes, payload_primes, noise_step, primes_per_value,
        polynomials_per_mask=1, max_members=max_members, max_holders=1, smudge_bits=0, reserved_coefficients=0,
    )  # fmt: skip


def _threshold(
    name: str,
    degree: int,
    noise_primes: tuple[int, ...],
    payload_primes: tuple[int, ...],
    smudge_bits: int,
    primes_per_value: int = 1,
    max_members: int = 1024,
) -> LatticeParameters:
    return LatticeParameters(
        name, "threshold", degree, noise_primes, payload_primes, 0, primes_per_value,
        polynomials_per_mask=8, max_members=max_members, max_holders=16, smudge_bits=smudge_bits,
        reserved_coefficients=RESERVED_COEFFICIENTS,
    )  # fmt: skip


# Each comment: value bits and the total weight for which the set is cut, bytes per parameter of a million.
PACKED_S16 = _packed(
    "packed-s16", 8192, (671137793,),
    (737281, 786433, 1032193, 1097729, 1130497, 1146881, 1179649, 1196033), 1024, 24,
)  # fmt: skip
"""16 bits, weight 10: 2.71 B."""

PACKED_S24 = _packed(
    "packed-s24", 8192, (114689, 786433),
    (167772161, 167854081, 167903233, 167968769, 168050689, 168247297), 512, 12,
)  # fmt: skip
"""24 bits, weight 10: 3.66 B."""

PACKED_S20K = _packed(
    "packed-s20k", 8192, (4866049, 14123009),
    (1048625153, 1048707073, 1048723457, 1048772609, 1049067521), 65536, 1560,
)  # fmt: skip
"""20 bits, weight 1,000: 4.10 B."""

PACKED_S16K = _packed(
    "packed-s16k", 8192, (16465921, 66813953),
    (1048625153, 1048707073, 1048723457, 1048772609, 1049067521), 1 << 20, 24_000,
)  # fmt: skip
"""16 bits, weight 16,000, for as many members: 4.17 B."""

PACKED_SMALL = _packed("packed-small", 4096, (40961, 65537), (2654209, 2752513, 2768897), 512, 12)
"""18 bits, weight 10, half the ring: for models below 50,000 parameters; 3.09 B."""

PACKED_WIDE = _packed(
    "packed-wide", 8192, (1146881, 30687233),
    (114689, 147457, 163841, 557057, 638977, 737281, 786433, 1032193), 16384, 390, 2,
)  # fmt: skip
"""16 bits, weight 32,768, two primes for each value: for weights that are sample counts; 4.98 B."""

_SMUDGED_N8192 = (16760833, 8273921, 8257537)

THRESHOLD_T16 = _threshold(
    "threshold-t16", 8192, _SMUDGED_N8192, (33538049, 33292289, 33177601, 33128449, 32931841), 62
)
"""16 bits, weight 500: 5.67 B; smudging 2^62 over noise 2^15.4 of a thousand members and 16 holders."""

THRESHOLD_T20 = _threshold(
    "threshold-t20", 16384, (268369921, 268271617, 268238849),
    (1073643521, 1073479681, 1073184769, 1073053697, 1072857089, 1072496641, 1071513601, 1071415297, 1071087617,
     1070727169), 76,
)  # fmt: skip
"""20 bits with weight 1,000 (T20) or 24 bits with weight 60 (T24): 5.59 B; smudging 2^76."""

THRESHOLD_T16K = _threshold(
    "threshold-t16k", 16384, THRESHOLD_T20.noise_primes, THRESHOLD_T20.payload_primes, 76, max_members=16_000
)
"""16 bits, weight 16,000, for as many members: 5.61 B; smudging 2^76 over noise 2^17.9 of them and 16 holders."""

THRESHOLD_WIDE = _threshold(
    "threshold-wide", 8192, _SMUDGED_N8192, (1073692673, 1073643521, 1073479681, 1073430529), 62, 2
)
"""Two primes for each value: any weight, exact scores against 8-bit directions; for models below 50,000 parameters."""

_SETS = (
    PACKED_S16, PACKED_S24, PACKED_S20K, PACKED_S16K, PACKED_SMALL, PACKED_WIDE,
    THRESHOLD_T16, THRESHOLD_T20, THRESHOLD_T16K, THRESHOLD_WIDE,
)  # fmt: skip

PARAMETER_SETS = {parameters.digest: parameters for parameters in _SETS}


def parameters_named(digest: str) -> LatticeParameters:
    """Return the parameter set with this digest. Raises ConfigurationError."""
    if digest not in PARAMETER_SETS:
        known = ", ".join(f"{item.name} = {key}" for key, item in PARAMETER_SETS.items())
        raise ConfigurationError(f"no parameter set has the digest {digest!r}; this version knows {known}")
    return PARAMETER_SETS[digest]


def smallest_set(scheme: str, largest_sum: int, members: int, parameter_count: int) -> LatticeParameters:
    """Return the set of this scheme whose uploads are the smallest for what a task needs.

    Args:
        scheme: `packed` or `threshold`.
        largest_sum: levels times the task's largest total weight.
        members: the largest number of members of a round.
        parameter_count: of the model.

    Raises:
        ConfigurationError: no set carries such sums; it says what the widest one carries.
    """
    sets = [item for item in _SETS if item.scheme == scheme]
    fitting = [item for item in sets if item.largest_sum >= largest_sum and item.max_members >= members]
    if not fitting:
        widest = max(sets, key=lambda item: item.largest_sum, default=None)
        limits = (
            f"the widest carries {widest.largest_sum} and {widest.max_members} members"
            if widest
            else "there is none"
        )
        raise ConfigurationError(
            f"no parameter set of {scheme} carries sums up to {largest_sum} of {members} members: {limits}; "
            "lower value_bits or max_total_weight"
        )
    return min(fitting, key=lambda item: upload_bits(item, parameter_count))


def half_as_large(chosen: LatticeParameters, members: int, parameter_count: int) -> LatticeParameters | None:
    """Return the set for the largest sums of those whose uploads are at most half as large, None if there is none."""
    limit = upload_bits(chosen, parameter_count) // 2
    smaller = [
        item
        for item in _SETS
        if item.scheme == chosen.scheme
        and item.max_members >= members
        and upload_bits(item, parameter_count) <= limit
    ]
    return max(smaller, key=lambda item: item.largest_sum, default=None)


def upload_bits(parameters: LatticeParameters, parameter_count: int) -> int:
    """Return the size of an upload's polynomials in bits, header aside."""
    count = parameters.polynomial_count(parameter_count)
    coefficients = sum(parameters.coefficients_in(index, parameter_count) for index in range(count))
    masks = 0 if parameters.noise_step else -(-count // parameters.polynomials_per_mask) * parameters.degree
    return (coefficients + masks) * sum(parameters.widths)
