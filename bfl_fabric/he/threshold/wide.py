"""Integers of up to 110 bits in numpy, two words each, and the sparse challenges of proofs.

An integer is high·2^shift + low with 0 ≤ low < 2^shift after `normal`; sums of a few dozen fit without that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues, Ring

CHALLENGE_WEIGHT = 16
"""Coefficients ±1 of a challenge: of degree 8,192 there are 2^180 challenges."""

_LARGEST_SHIFT = 56


@dataclass(frozen=True, slots=True)
class Wide:
    """Integers, int64[n] twice; they may be secrets, so they never print."""

    high: NDArray[np.int64] = field(repr=False)
    low: NDArray[np.int64] = field(repr=False)
    shift: int

    @classmethod
    def of(cls, numbers: list[int], shift: int) -> Wide:
        """Return Python integers as wide ones."""
        high, low = zip(*(divmod(number, 1 << shift) for number in numbers), strict=True)
        return cls(np.array(high, dtype=np.int64), np.array(low, dtype=np.int64), shift)

    @classmethod
    def uniform(cls, stream: Stream, limit: int, count: int, shift: int) -> Wide:
        """Return uniform integers from −limit·2^shift to below limit·2^shift, `limit` a power of two."""
        assert limit & (limit - 1) == 0
        high = (stream.words(count) & np.uint64(2 * limit - 1)).astype(np.int64) - limit
        low = (stream.words(count) & np.uint64((1 << shift) - 1)).astype(np.int64)
        return cls(high, low, shift)

    def reshifted(self, shift: int) -> Wide:
        """Return the same integers with a larger shift."""
        more = shift - self.shift
        assert 0 <= more <= _LARGEST_SHIFT - self.shift
        kept = self.high & np.int64((1 << more) - 1)
        return Wide(self.high >> more, (kept << self.shift) + self.low, shift).normal()

    def plus(self, other: Wide) -> Wide:
        """Return the sums, not normal."""
        assert self.shift == other.shift
        return Wide(self.high + other.high, self.low + other.low, self.shift)

    def normal(self) -> Wide:
        """Return the same integers with low words from 0 below 2^shift."""
        carry = self.low >> self.shift
        return Wide(self.high + carry, self.low - (carry << self.shift), self.shift)

    def within(self, limit: int) -> bool:
        """Say whether all normal integers are from −limit·2^shift to below limit·2^shift."""
        return bool((self.high >= -limit).all() and (self.high < limit).all())

    def residues(self, ring: Ring) -> Residues:
        """Return the integers modulo each prime, uint64[L, n]."""
        radix = np.array([[pow(2, self.shift, prime)] for prime in ring.primes], dtype=np.uint64)
        return ring.add(ring.product(ring.residues(self.high), radix), ring.residues(self.low))

    def encode(self) -> bytes:
        """Return the bytes of normal integers: all high words, all low words."""
        return self.high.astype("<i8").tobytes() + self.low.astype("<i8").tobytes()

    @classmethod
    def decode(cls, data: bytes, shift: int) -> Wide:
        """Read what `encode` wrote. Raises MalformedInput when a low word is out of range."""
        words = np.frombuffer(data, dtype="<i8").astype(np.int64)
        high, low = words[: words.size // 2], words[words.size // 2 :]
        if (low < 0).any() or (low >= 1 << shift).any():
            raise MalformedInput("a wide integer is not in its one form")
        return cls(high, low, shift)


@dataclass(frozen=True, slots=True)
class Challenge:
    """A polynomial with CHALLENGE_WEIGHT coefficients ±1, the others zero."""

    degree: int
    places: tuple[int, ...]
    signs: tuple[int, ...]

    @classmethod
    def drawn(cls, stream: Stream, degree: int) -> Challenge:
        """Return the challenge of a stream: places are drawn until enough are distinct, the low bit is the sign."""
        chosen: dict[int, int] = {}
        while len(chosen) < CHALLENGE_WEIGHT:
            for word in stream.words(CHALLENGE_WEIGHT):
                if len(chosen) < CHALLENGE_WEIGHT:
                    chosen.setdefault(int(word) >> 1 & degree - 1, 1 - 2 * (int(word) & 1))
        return cls(degree, tuple(chosen), tuple(chosen.values()))

    def times(self, numbers: Wide) -> Wide:
        """Return the product modulo X^N + 1 with a polynomial of wide integers, not normal."""
        return Wide(self._times(numbers.high), self._times(numbers.low), numbers.shift)

    def polynomial(self, ring: Ring) -> Residues:
        """Return the challenge, uint64[L, N], transformed."""
        coefficients = np.zeros(self.degree, dtype=np.int64)
        coefficients[list(self.places)] = self.signs
        return ring.transform(ring.small_residues(coefficients))

    def _times(self, words: NDArray[np.int64]) -> NDArray[np.int64]:
        total = np.zeros_like(words)
        for place, sign in zip(self.places, self.signs, strict=True):
            total[place:] += sign * words[: self.degree - place]
            total[:place] -= sign * words[self.degree - place :]
        return total
