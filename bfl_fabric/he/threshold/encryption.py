"""Encryption under a joint key: masks and polynomials of one message, from streams of random numbers.

K polynomials share one mask: with u ternary, c1 = a·u + e1 and c0^(k) = b^(k)·u + e0^(k) + M^(k) (multi-secret
ring-learning-with-errors). Decides no more than that; that streams are fresh is its caller's duty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bfl_fabric.he.lattice.bodies import coefficients, mask_count
from bfl_fabric.he.lattice.messages import encode_polynomial
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.lattice.threads import each
from bfl_fabric.he.threshold.keymessages import JointKey


class JointEncryptor:
    """A joint key prepared for encryption; it may be shared by threads."""

    def __init__(self, key: JointKey) -> None:
        self._parameters = key.plan.parameters
        self._ring = self._parameters.ring
        self._a = self._ring.factor(key.plan.public_polynomial)
        self._b = [self._ring.factor(part) for part in key.polynomials]

    def encrypt(
        self, parameter_count: int, message: Callable[[int], Residues] | None, stream: Callable[[int], Stream]
    ) -> Iterator[bytes]:
        """Yield the bytes of every mask, then of every polynomial.

        Args:
            parameter_count: how many values the message has.
            message: gives polynomial number k of the message, uint64[L, N]; None for zeros.
            stream: gives the stream for mask or polynomial number k, masks counted first. Never the same twice.
        """
        groups = mask_count(self._parameters, parameter_count)
        hiding: list[Residues] = []
        for u, data in each(lambda number: self._mask(stream(number)), range(groups)):
            hiding.append(u)
            yield data

        def polynomial(item: tuple[int, int]) -> bytes:
            number, size = item
            group, which = divmod(number, self._parameters.polynomials_per_mask)
            rest = self._ring.small_residues(stream(groups + number).error(size))
            if message is not None:
                rest = rest + message(number)[:, :size]
            hidden = self._ring.inverse(self._ring.times(hiding[group], self._b[which]))[:, :size]
            return encode_polynomial(self._parameters, self._ring.reduce(hidden + rest))

        yield from each(polynomial, enumerate(coefficients(self._parameters, parameter_count)))

    def _mask(self, stream: Stream) -> tuple[Residues, bytes]:
        """Return u, transformed, and the bytes of c1."""
        ring = self._ring
        u = ring.transform(ring.small_residues(stream.ternary(ring.degree)))
        e1 = ring.transform(ring.small_residues(stream.error(ring.degree)))
        return u, encode_polynomial(self._parameters, ring.add(ring.times(u, self._a), e1))
