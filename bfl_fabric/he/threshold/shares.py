"""Decryption shares: what a member's share of the key makes of C1, and the SUM_SHARE message that carries it.

h^(k) = λ·C1·S^(k) + E: the Lagrange coefficient is inside, before the noise, which it would blow up otherwise. Only
the coefficients in use are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from bfl_fabric.domain.ports import OpeningTerms
from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.bodies import RawPolynomial, coefficients
from bfl_fabric.he.lattice.columns import checked_columns, rows
from bfl_fabric.he.lattice.messages import (
    Header,
    Kind,
    encode_polynomial,
    open_message,
    polynomial_bytes,
    require,
)
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Factor, Residues
from bfl_fabric.he.lattice.threads import each
from bfl_fabric.he.threshold.noise import smudged, wide_integers
from bfl_fabric.he.threshold.plan import KeyPlan

_DOMAIN = "bfl-fabric decryption share noise v1"
_REST = "bfl-fabric decryption share rest noise v1"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PrivateShare:
    """A member's share S^(k) of each secret, prepared for products. It never prints and never leaves the worker."""

    plan: KeyPlan
    member: str
    factors: Sequence[Factor] = field(repr=False)

    def decrypt(
        self, active: Sequence[str], total: Sequence[Residues], parameter_count: int, noise_seed: bytes
    ) -> list[Residues]:
        """Return the member's part in opening C1, uint64[L, coefficients] for each polynomial.

        Args:
            active: the members that answer, this one among them.
            total: C1, one polynomial for each group, transformed.
            parameter_count: of the sum.
            noise_seed: 32 secret bytes that belong to this question alone.
        """
        return list(self._answers(active, total, parameter_count, noise_seed, lambda rows: rows))

    def answer(
        self, header: Header, active: Sequence[str], total: Sequence[Residues], noise_seed: bytes
    ) -> bytes:
        """Return the SUM_SHARE message of what `decrypt` returns."""
        encode = partial(encode_polynomial, self.plan.parameters)
        parts = self._answers(active, total, header.parameter_count, noise_seed, encode)
        return b"".join([header.encode(), *parts])

    def _answers(
        self,
        active: Sequence[str],
        total: Sequence[Residues],
        parameter_count: int,
        noise_seed: bytes,
        form: Callable[[Residues], T],
    ) -> Iterator[T]:
        """Yield each polynomial in a form that is made at once, while its numbers are still in the core's cache."""
        ring, each_mask = self.plan.parameters.ring, self.plan.parameters.polynomials_per_mask
        weighted = self.weighted(active, total)

        def one(item: tuple[int, int]) -> T:
            number, size = item
            group, which = divmod(number, each_mask)
            part = ring.inverse(ring.times(weighted[group], self.factors[which]))[:, :size]
            return form(smudged(ring, part, *self.noise(noise_seed, number, size)))

        return each(one, enumerate(coefficients(self.plan.parameters, parameter_count)))

    def weighted(self, active: Sequence[str], total: Sequence[Residues]) -> list[Residues]:
        """Return λ·C1."""
        weight = self.plan.interpolation(active, self.member)
        return [self.plan.parameters.ring.product(mask, weight) for mask in total]

    def noise(
        self, noise_seed: bytes, number: int, size: int, *, rest: bool = False
    ) -> tuple[Integers, Integers]:
        """Return E of polynomial `number`, as `noise.wide_integers` does: of the answer, or of the `rest` of it."""
        stream = Stream.derived(_REST if rest else _DOMAIN, noise_seed, number)
        return wide_integers(stream, size, self.plan.parameters.smudge_bits)


def share_header(
    parameters: LatticeParameters, opening: OpeningTerms, author: str, parameter_count: int, masks_digest: str
) -> Header:
    """Return the header that the author's share must have: what it answers, to which attempt."""
    return Header(
        Kind.SUM_SHARE, parameters.digest, opening.epoch, opening.round, parameter_count, attempt=opening.attempt,
        subject=bytes.fromhex(masks_digest), task_id=opening.task_id, author=author,
    )  # fmt: skip


def read_share(parameters: LatticeParameters, path: Path, expected: Header) -> list[Residues]:
    """Read a share that answers what `expected` says. Raises MalformedInput naming the holder."""

    def read(raw: RawPolynomial) -> Residues:
        with blamed(expected.author):
            return rows(parameters, checked_columns(parameters, raw))

    return list(each(read, raw_share(parameters, path, expected)))


def raw_share(parameters: LatticeParameters, path: Path, expected: Header) -> Iterator[RawPolynomial]:
    """Yield every polynomial of such a share, not checked. Raises MalformedInput naming the holder."""
    with (
        blamed(expected.author),
        open_message(path, parameters, Kind.SUM_SHARE, digested=False) as reader,
    ):
        require(reader.header == expected, "its header is not that of an answer in this attempt")
        sizes = coefficients(parameters, expected.parameter_count)
        reader.require_body(sum(polynomial_bytes(parameters, size) for size in sizes))
        for number, size in enumerate(sizes):
            yield RawPolynomial(number, False, size, reader.raw_polynomial(size))
        reader.require_end()


@contextmanager
def blamed(holder: str) -> Iterator[None]:
    """Name the holder whose share a MalformedInput is about."""
    try:
        yield
    except MalformedInput as error:
        raise MalformedInput(f"the share of {holder}: {error}") from error
