"""Masks c1 and their sum C1: reading MASK and ZERO messages, adding them up, naming the sum by its digest.

Decides which masks make one sum: one task, round, key and length, every author once, no mask twice and none of
zeros. A key holder answers for a C1 that it has added up here itself, because an answer for a chosen C1 gives its
share away. Whether the masks are those of the committed uploads is its caller's question, who reads the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.bodies import (
    KeyName,
    RawPolynomial,
    mask_count,
    polynomials_bytes,
    raw_polynomials,
)
from bfl_fabric.he.lattice.columns import check_polynomials, checked_columns, rows, zero
from bfl_fabric.he.lattice.messages import (
    Expansion,
    Header,
    Kind,
    Reader,
    encode_polynomial,
    open_message,
    polynomial_bytes,
    require,
)
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.lattice.threads import do_each, each

FIRST_RETRY = 2
"""The first attempt that needs fresh zeros, because another set may have answered before."""

_DOMAIN = b"bfl-fabric masks v1\0"
_FRESH_BYTES = 64
"""The first bytes of a mask: drawn by an honest participant, they never come twice."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the masks of one sum have in common."""

    task_id: str
    round: int
    parameter_count: int


@dataclass(slots=True)
class MaskSum:
    """The sum of masks so far. After any refusal it is of no use."""

    parameters: LatticeParameters
    key: KeyName
    question: Question | None = None
    authors: list[str] = field(default_factory=list)
    zeros: list[tuple[int, str]] = field(default_factory=list)
    """Attempt and author of each zero."""
    message_digests: list[str] = field(default_factory=list)
    _columns: list[Residues] = field(default_factory=list)
    _seen: set[bytes] = field(default_factory=set)

    def add(self, mask: Path) -> None:
        """Check and add the mask message of one upload. Raises MalformedInput naming the participant."""
        with open_message(mask, self.parameters, Kind.MASK) as reader:
            header, what = reader.header, f"the mask of {reader.header.author}"
            self.key.require(header)
            begin_mask(reader, self.parameters)
            _require(header.author not in self.authors, what, "is the second of this participant")
            self._require_alike(header, what)
            self._add(raw_masks(reader, self.parameters), what)
            self.authors.append(header.author)
            self.message_digests.append(reader.digest)

    def add_zero(self, zero: Path) -> None:
        """Check a zero completely and add its masks. Raises MalformedInput naming its author."""
        with open_message(zero, self.parameters, Kind.ZERO, digested=False) as reader:
            check_polynomials(self.parameters, self.add_zero_masks(reader))

    def add_zero_masks(self, reader: Reader) -> Iterator[RawPolynomial]:
        """Check what a zero says and add its masks; return its polynomials c0, which are still to be read."""
        header, what = reader.header, f"the zero of {reader.header.author}"
        self.key.require(header)
        begin_zero(reader, self.parameters)
        name = header.attempt, header.author
        _require(name not in self.zeros, what, "is the second of this member in this attempt")
        self.zeros.append(name)
        return self._rest(reader, what)

    def add_sum_masks(self, reader: Reader) -> Iterator[RawPolynomial]:
        """Add the masks of a sum of uploads; return its polynomials c0, which are still to be read."""
        return self._rest(reader, "the sum")

    def total(self) -> list[Residues]:
        """Return C1, one polynomial uint64[L, N] for each group, transformed. Raises MalformedInput when empty."""
        if self.question is None:
            raise MalformedInput("a sum of no masks")
        ring = self.parameters.ring
        return list(each(lambda columns: ring.reduce(rows(self.parameters, columns)), self._columns))

    def digest(self, total: Sequence[Residues]) -> str:
        """Return the digest of C1 under this key: what holders agree on before they answer."""
        state = hashlib.sha256(_DOMAIN + bytes.fromhex(self.key.digest))
        for data in each(lambda rows: encode_polynomial(self.parameters, rows), total):
            state.update(data)
        return state.hexdigest()

    def _require_alike(self, header: Header, what: str) -> None:
        question = Question(header.task_id, header.round, header.parameter_count)
        if self.question is None:
            self.question = question
            groups = mask_count(self.parameters, question.parameter_count)
            self._columns = [zero(self.parameters, self.parameters.degree) for _ in range(groups)]
        _require(
            question == self.question,
            what,
            f"is of {question.task_id} round {question.round} with {question.parameter_count} parameters, the others "
            f"of {self.question.task_id} round {self.question.round} with {self.question.parameter_count}",
        )

    def _rest(self, reader: Reader, what: str) -> Iterator[RawPolynomial]:
        self._require_alike(reader.header, what)
        polynomials = raw_polynomials(reader, self.parameters)
        self._add(islice(polynomials, len(self._columns)), what)
        return polynomials

    def _add(self, masks: Iterable[RawPolynomial], what: str) -> None:
        def add(raw: RawPolynomial) -> None:
            total = self._columns[raw.number]
            np.add(total, checked_columns(self.parameters, raw), out=total)

        do_each(add, self._fresh(masks, what))

    def _fresh(self, masks: Iterable[RawPolynomial], what: str) -> Iterator[RawPolynomial]:
        for raw in masks:
            start = raw.data[:_FRESH_BYTES]
            _require(start not in self._seen, what, "repeats another mask: it is a copy")
            self._seen.add(start)
            yield raw


def begin_mask(reader: Reader, parameters: LatticeParameters) -> None:
    """Check a mask message's header and length. Raises MalformedInput."""
    header = reader.header
    require(header.attempt == 0 and header.expansion is Expansion.NONE, "a mask with an attempt or a seed")
    reader.require_body(masks_bytes(parameters, header.parameter_count))


def begin_zero(reader: Reader, parameters: LatticeParameters) -> None:
    """Check a zero's header and length. Raises MalformedInput."""
    header = reader.header
    expected = Header(
        Kind.ZERO, parameters.digest, header.epoch, header.round, header.parameter_count, attempt=header.attempt,
        subject=header.subject, task_id=header.task_id, author=header.author,
    )  # fmt: skip
    require(header == expected, "a zero with a weight, members or a seed")
    require(header.author != "" and header.task_id != "", "a zero without author or task")
    require(header.parameter_count >= 1 and header.round >= 1, "a zero without round or parameters")
    require(header.attempt >= FIRST_RETRY, f"a zero for attempt {header.attempt}; retries need one")
    reader.require_body(polynomials_bytes(parameters, header.parameter_count))


def masks_bytes(parameters: LatticeParameters, parameter_count: int) -> int:
    """Return the length of the masks of an upload."""
    return mask_count(parameters, parameter_count) * polynomial_bytes(parameters, parameters.degree)


def raw_masks(reader: Reader, parameters: LatticeParameters) -> Iterator[RawPolynomial]:
    """Yield every mask of a mask message, hashed and not checked; the end. Raises MalformedInput."""
    for number in range(mask_count(parameters, reader.header.parameter_count)):
        yield RawPolynomial(number, True, parameters.degree, reader.raw_polynomial(parameters.degree))
    reader.require_end()


def _require(holds: bool, what: str, problem: str) -> None:
    if not holds:
        raise MalformedInput(f"{what} {problem}")
