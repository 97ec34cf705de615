"""Proofs that a decryption share was made with the share of the key that its member is committed to.

The member knows S^(k), small errors e with V = A·S + e (V its public commitment, A the plan's polynomials), and for
every polynomial p a wide integer polynomial E with h_p = λ·C1·S^(k) + E. It masks S with R, e with f and E with F,
publishes what the same equations make of the masks (by their hash), and answers a sparse challenge c with R + c·S,
f + c·e, F + c·E: a Schnorr proof over lattices (Lyubashevsky 2012), made non-interactive by a hash. R is uniform; f
and F are uniform in a range so much larger than c·e and c·E that answers near its edge are rare. When one is there,
all is drawn anew: so the answers tell nothing.

What it proves is relaxed: the noise in the share is at most 2^`slack_bits` times the largest honest one. A member that
adds noise of that size can spoil an opening and keep a valid proof (docs/encryption.md). What a challenge is modulo one
small prime at one place is guessed with probability 2^−23, so there are REPETITIONS of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count as counting

import numpy as np

from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.he.lattice.bodies import coefficients
from bfl_fabric.he.lattice.messages import Header, Kind, Reader, encode_polynomial, polynomial_bytes, require
from bfl_fabric.he.lattice.parameters import TAIL_SIGMAS, LatticeParameters
from bfl_fabric.he.lattice.randomness import SEED_BYTES, Stream
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.lattice.threads import each
from bfl_fabric.he.threshold.commitments import error_bounds
from bfl_fabric.he.threshold.noise import SPLIT_BITS
from bfl_fabric.he.threshold.plan import KeyPlan
from bfl_fabric.he.threshold.shares import PrivateShare
from bfl_fabric.he.threshold.wide import CHALLENGE_WEIGHT, Challenge, Wide

REPETITIONS = 2
_ROOM_BITS = 4
"""log2 of range over (what is masked times the number of answers): an answer is redrawn with probability 1/8 or so."""

_ERROR_SHIFT = 40
_WORD_BYTES = 16
_MASKING, _CHALLENGE = "bfl-fabric share proof masks v1", "bfl-fabric share proof challenge v1"


@dataclass(frozen=True)
class Statement:
    """What is proven: which member's share answers C1 with these polynomials h.

    `weighted` is λ·C1, transformed; `committed` the member's V; `share_digest` names the share's message; `rows` are
    its polynomials, uint64[L, coefficients], and `rest` the coefficients of the last one that it does not carry.
    """

    plan: KeyPlan
    member: str
    header: Header
    share_digest: bytes
    committed: Sequence[Residues]
    weighted: Sequence[Residues]
    rows: Sequence[Residues]
    rest: Residues

    @property
    def parameters(self) -> LatticeParameters:
        return self.plan.parameters

    def whole(self) -> list[Residues]:
        """Return h with every polynomial whole."""
        return [*self.rows[:-1], np.concatenate((self.rows[-1], self.rest), axis=1)]

    def proof_header(self) -> Header:
        """Return the header that a proof of this statement has."""
        return Header(
            Kind.SHARE_PROOF, self.parameters.digest, self.header.epoch, self.header.round,
            self.header.parameter_count, attempt=self.header.attempt, subject=self.share_digest,
            task_id=self.header.task_id, author=self.member,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """Where answers of one kind lie: `limit` is that of the masks, `kept` that of answers, in units of 2^shift."""

    shift: int
    limit: int
    kept: int

    @classmethod
    def of(cls, shift: int, masked: int, answers: int) -> Range:
        """Return the range for `answers` numbers that mask others of at most `masked` in magnitude."""
        margin = (masked >> shift) + 2
        limit = 1 << (margin * answers << _ROOM_BITS).bit_length()
        return cls(shift, limit, limit - margin)


def ranges(plan: KeyPlan, polynomials: int) -> tuple[Range, Range]:
    """Return the ranges of answers about e and about E."""
    parameters, members = plan.parameters, len(plan.members)
    small = CHALLENGE_WEIGHT * members * max(error_bounds(plan, members))
    errors = Range.of(_ERROR_SHIFT, small, (parameters.polynomials_per_mask + 1) * parameters.degree)
    wide = CHALLENGE_WEIGHT * (TAIL_SIGMAS << parameters.smudge_bits)
    return errors, Range.of(noise_shift(parameters), wide, polynomials * parameters.degree)


def noise_shift(parameters: LatticeParameters) -> int:
    """Return where the words of masked noise are cut, so that both parts of it fit."""
    return max(SPLIT_BITS, parameters.smudge_bits - 22)


def slack_bits(plan: KeyPlan, polynomials: int) -> float:
    """Return log2 of the noise that a valid proof still allows, over the largest honest one."""
    _, wide = ranges(plan, polynomials)
    return math.log2(2 * wide.kept << wide.shift) - plan.parameters.smudge_bits - math.log2(TAIL_SIGMAS)


def prove(statement: Statement, share: PrivateShare, noise: Sequence[Wide], seed: bytes) -> bytes:
    """Return the proof message.

    Args:
        statement: what is proven.
        share: the member's share.
        noise: E of every polynomial, whole.
        seed: 32 secret bytes that belong to this statement alone: the same masks must never meet two challenges.
    """
    errors = _errors(statement, share)
    for attempt in counting():
        masks = [_Masks.drawn(statement, seed, attempt, repetition) for repetition in range(REPETITIONS)]
        digest = _digest(statement, [data for mask in masks for data in mask.images(statement)])
        challenges = _challenges(statement, digest)
        answers = [
            mask.answer(statement, challenge, share, errors, noise)
            for mask, challenge in zip(masks, challenges, strict=True)
        ]
        if all(answer.within(statement) for answer in answers):
            front = [
                statement.proof_header().encode(),
                encode_polynomial(statement.parameters, statement.rest),
            ]
            return b"".join([*front, digest, *(answer.encode(statement) for answer in answers)])
    raise AssertionError


def proof_bytes(plan: KeyPlan, parameter_count: int) -> int:
    """Return the length of a proof's body."""
    parameters = plan.parameters
    sizes = coefficients(parameters, parameter_count)
    words = (parameters.polynomials_per_mask + 1 + len(sizes)) * parameters.degree * _WORD_BYTES
    uniform = parameters.polynomials_per_mask * polynomial_bytes(parameters, parameters.degree)
    rest = polynomial_bytes(parameters, parameters.degree - sizes[-1])
    return rest + SEED_BYTES + REPETITIONS * (uniform + words)


def read_rest(reader: Reader, plan: KeyPlan, expected: Header) -> Residues:
    """Check a proof's header and length and return the rest of the last polynomial. Raises MalformedInput."""
    require(reader.header == expected, "the proof is about another share")
    reader.require_body(proof_bytes(plan, expected.parameter_count))
    left = plan.parameters.degree - coefficients(plan.parameters, expected.parameter_count)[-1]
    return reader.polynomial(left) if left else np.zeros((len(plan.parameters.primes), 0), dtype=np.uint64)


def verify(statement: Statement, reader: Reader) -> None:
    """Read the answers of a proof, after `read_rest`, and check them. Raises MalformedInput when they prove nothing."""
    digest = reader.bytes(SEED_BYTES)
    answers = [_Answer.read(statement, reader) for _ in range(REPETITIONS)]
    reader.require_end()
    require(all(answer.within(statement) for answer in answers), "an answer is out of its range")
    images = [
        data
        for answer, challenge in zip(answers, _challenges(statement, digest), strict=True)
        for data in answer.images(statement, challenge)
    ]
    require(_digest(statement, images) == digest, "the answers do not fit the challenge")


@dataclass(frozen=True, slots=True)
class _Answer:
    """R + c·S transformed, f + c·e and F + c·E; or the masks R, f, F alone."""

    hidden: list[Residues]
    errors: list[Wide]
    noise: list[Wide]

    @classmethod
    def read(cls, statement: Statement, reader: Reader) -> _Answer:
        parameters = statement.parameters
        for_errors, for_noise = ranges(statement.plan, len(statement.rows))
        size = parameters.degree * _WORD_BYTES
        each_mask = parameters.polynomials_per_mask
        hidden = [reader.polynomial(parameters.degree) for _ in range(each_mask)]
        errors = [Wide.decode(reader.bytes(size), for_errors.shift) for _ in range(each_mask + 1)]
        return cls(hidden, errors, [Wide.decode(reader.bytes(size), for_noise.shift) for _ in statement.rows])

    def encode(self, statement: Statement) -> bytes:
        hidden = [encode_polynomial(statement.parameters, part) for part in self.hidden]
        return b"".join([*hidden, *(part.encode() for part in (*self.errors, *self.noise))])

    def within(self, statement: Statement) -> bool:
        for_errors, for_noise = ranges(statement.plan, len(statement.rows))
        return all(part.within(for_errors.kept) for part in self.errors) and all(
            part.within(for_noise.kept) for part in self.noise
        )

    def images(self, statement: Statement, challenge: Challenge | None = None) -> Iterator[bytes]:
        """Yield what the equations make of it, less c times what they make of the secrets when there is a challenge."""
        parameters, ring, plan = statement.parameters, statement.parameters.ring, statement.plan
        factor = challenge.polynomial(ring) if challenge else None

        def image(item: tuple[Callable[[], Residues], Wide, Callable[[], Residues]]) -> bytes:
            linear, small, known = item
            value = ring.add(linear(), ring.transform(small.residues(ring)))
            if factor is not None:
                value = ring.subtract(value, ring.product(factor, known()))
            return encode_polynomial(parameters, value)

        def equations() -> Iterator[tuple[Callable[[], Residues], Wide, Callable[[], Residues]]]:
            for hidden, small, known in zip(self.hidden, self.errors, statement.committed, strict=False):
                yield _product(statement, plan.public_polynomial, hidden), small, _same(known)
            yield self._checked(statement), self.errors[-1], _same(statement.committed[-1])
            for number, (small, known) in enumerate(zip(self.noise, statement.whole(), strict=True)):
                group, which = divmod(number, parameters.polynomials_per_mask)
                linear = _product(statement, statement.weighted[group], self.hidden[which])
                yield linear, small, _transformed(statement, known)

        return each(image, equations())

    def _checked(self, statement: Statement) -> Callable[[], Residues]:
        ring = statement.parameters.ring

        def total() -> Residues:
            parts = [
                ring.product(public, own)
                for public, own in zip(statement.plan.check_polynomials, self.hidden, strict=True)
            ]
            return ring.reduce(np.sum(parts, axis=0, dtype=np.uint64))

        return total


class _Masks(_Answer):
    """R, f and F, all secret."""

    __slots__ = ()

    @classmethod
    def drawn(cls, statement: Statement, seed: bytes, attempt: int, repetition: int) -> _Masks:
        ring, each_mask = statement.parameters.ring, statement.parameters.polynomials_per_mask
        for_errors, for_noise = ranges(statement.plan, len(statement.rows))

        def stream(kind: int, number: int) -> Stream:
            return Stream.derived(_MASKING, seed, attempt, repetition, kind, number)

        hidden = [
            np.stack(
                [stream(0, number * 64 + row).uniform(p, ring.degree) for row, p in enumerate(ring.primes)]
            )
            for number in range(each_mask)
        ]
        errors = [
            Wide.uniform(stream(1, number), for_errors.limit, ring.degree, for_errors.shift)
            for number in range(each_mask + 1)
        ]
        noise = [
            Wide.uniform(stream(2, number), for_noise.limit, ring.degree, for_noise.shift)
            for number in range(len(statement.rows))
        ]
        return cls(hidden, errors, noise)

    def answer(
        self,
        statement: Statement,
        challenge: Challenge,
        share: PrivateShare,
        errors: Sequence[Wide],
        noise: Sequence[Wide],
    ) -> _Answer:
        ring, factor = statement.parameters.ring, challenge.polynomial(statement.parameters.ring)
        return _Answer(
            [
                ring.add(mask, ring.times(factor, own))
                for mask, own in zip(self.hidden, share.factors, strict=True)
            ],
            [mask.plus(challenge.times(own)).normal() for mask, own in zip(self.errors, errors, strict=True)],
            [mask.plus(challenge.times(own)).normal() for mask, own in zip(self.noise, noise, strict=True)],
        )


def _errors(statement: Statement, share: PrivateShare) -> list[Wide]:
    """Return e = V − A·S, exactly. Raises KeyHolderRefused when it is not small: S is not what V commits to."""
    ring, plan = statement.parameters.ring, statement.plan
    own = [factor.values for factor in share.factors]
    exact = [ring.product(plan.public_polynomial, part) for part in own]
    parts = [ring.product(public, part) for public, part in zip(plan.check_polynomials, own, strict=True)]
    exact.append(ring.reduce(np.sum(parts, axis=0, dtype=np.uint64)))
    shift, largest = ranges(plan, len(statement.rows))[0].shift, max(error_bounds(plan, len(plan.members)))
    found = []
    for known, part in zip(statement.committed, exact, strict=True):
        numbers = _centred(ring.inverse(ring.subtract(known, part)), ring.primes)
        if max(map(abs, numbers)) > len(plan.members) * largest:
            raise KeyHolderRefused("this member's share is not the one that the joint key commits it to")
        found.append(Wide.of(numbers, shift))
    return found


def _centred(rows: Residues, primes: Sequence[int]) -> list[int]:
    """Return the integers closest to zero of residues uint64[L, N]."""
    modulus = math.prod(primes)
    total = np.zeros(rows.shape[1], dtype=object)
    for row, prime in zip(rows, primes, strict=True):
        rest = modulus // prime
        total += row.astype(object) * (rest * pow(rest, -1, prime) % modulus)
    return [int(number) - modulus if number > modulus // 2 else int(number) for number in total % modulus]


def _digest(statement: Statement, images: Sequence[bytes]) -> bytes:
    state = hashlib.sha256(statement.proof_header().encode())
    state.update(statement.header.subject)
    for part in (statement.rest, *statement.committed, *statement.weighted):
        state.update(encode_polynomial(statement.parameters, part))
    for data in images:
        state.update(data)
    return state.digest()


def _challenges(statement: Statement, digest: bytes) -> list[Challenge]:
    degree = statement.parameters.degree
    return [
        Challenge.drawn(Stream.derived(_CHALLENGE, digest, index), degree) for index in range(REPETITIONS)
    ]


def _product(statement: Statement, left: Residues, right: Residues) -> Callable[[], Residues]:
    return lambda: statement.parameters.ring.product(left, right)


def _transformed(statement: Statement, part: Residues) -> Callable[[], Residues]:
    return lambda: statement.parameters.ring.transform(part)


def _same(part: Residues) -> Callable[[], Residues]:
    return lambda: part
