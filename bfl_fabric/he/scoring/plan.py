"""The questions of a round in the form in which they are computed with, and what their answers mean.

A plan is made by `directions`, `norms` or `sketches`, or read from a message; here it is only used: the terms by
polynomial, the digests of the questions, and the score in units of ⟨values, direction⟩ that exact answers add up to.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api import canonical
from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.modular import Integers, Residues
from bfl_fabric.he.lattice.parameters import LatticeParameters

SCORE_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The terms of all questions that stand in one polynomial and slot, ordered by question.

    Term i is factors[i] times coefficient coefficients[i], in the question numbers[starts.searchsorted(i)]: int64[T];
    `numbers` and `starts` say which question begins at which term.
    """

    polynomial: int
    slot: int
    coefficients: Integers
    factors: Integers
    starts: Integers
    numbers: Integers


@dataclass(frozen=True, slots=True, eq=False)
class SlotQuestions:
    """The questions of one slot, numbered from `first`.

    Place j is the j-th value of the slot, or for a check the j-th reserved coefficient. `places` are int64[T],
    `factors` int64[T], `queries` int64[T] ascending; `mass` over `drawn` is what an answer stands for when only a
    sample was drawn, 1 when nothing was left out; `overlap` is ⟨direction, factors⟩. `blinds` int64[count, reserved
    coefficients] are the drawn integers of each question, in the first polynomial that it reaches.
    """

    slot: int
    first: int
    count: int
    queries: Integers
    places: Integers
    factors: Integers
    mass: int
    drawn: int
    overlap: int
    blinds: Integers


@dataclass(frozen=True, eq=False)
class DirectionPlan:
    """All questions of a round: a function of parameters, largest value, direction and seed.

    `largest_value` is levels times the largest weight of a member: it may be known from the ledger. `checks` are one
    question for each slot about the reserved coefficients of all polynomials, which are zero: another answer than 0
    says that mask and polynomials of this update do not belong together, as those of a chosen mask do not.

    Questions that are about no direction (`norms`, `sketches`) have `energy` 0 and no `score`: `direction_digest` says
    there what they are about.
    """

    parameters: LatticeParameters
    parameter_count: int
    largest_value: int
    energy: int
    direction_digest: str
    seed: str
    slots: tuple[SlotQuestions, ...]
    checks: tuple[SlotQuestions, ...] = ()

    @property
    def asked(self) -> tuple[SlotQuestions, ...]:
        """All questions in the order of their numbers: those about values, then the checks."""
        return self.slots + self.checks

    @property
    def revealed(self) -> int:
        """How many integers an honest update's answers reveal of it: the checks reveal nothing."""
        return sum(item.count for item in self.slots)

    @property
    def queries(self) -> int:
        """How many questions there are."""
        return sum(item.count for item in self.asked)

    @cached_property
    def digest(self) -> str:
        """The SHA-256, lower-case hex, that names the plan."""
        return canonical.digest(
            {
                "parameters": self.parameters.digest,
                "parameter_count": self.parameter_count,
                "largest_value": self.largest_value,
                "energy": self.energy,
                "direction": self.direction_digest,
                "seed": self.seed,
                "queries": list(self.query_digests),
                "scales": [[item.mass, item.drawn, item.overlap] for item in self.slots],
            }
        )

    @cached_property
    def query_digests(self) -> tuple[str, ...]:
        """A SHA-256 for each question. A holder that keeps them can refuse a question that it answered before."""
        digests = []
        for item in self.asked:
            kind = bytes([item.slot, item in self.checks])
            bounds = np.searchsorted(item.queries, np.arange(item.first, item.first + item.count + 1))
            for blind, (start, end) in zip(item.blinds, pairwise(bounds), strict=True):
                terms = np.concatenate((blind, item.places[start:end], item.factors[start:end])).astype("<i8")
                digests.append(hashlib.sha256(kind + terms.tobytes()).hexdigest())
        return tuple(digests)

    @cached_property
    def moduli(self) -> Residues:
        """The prime of each residue of a table of answers, uint64[queries, W]; 1 where the residue is always zero."""
        moduli = np.ones((self.queries, table_width(self.parameters)), dtype=np.uint64)
        for item in self.asked:
            primes = [self.parameters.primes[row] for row in answer_rows(self.parameters, item.slot)]
            moduli[item.first : item.first + item.count, : len(primes)] = primes
        return moduli

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The terms by polynomial, then slot."""
        parts = [part for item in self.asked for part in self._parts(item)]
        return tuple(sorted(parts, key=lambda part: (part.polynomial, part.slot)))

    @cached_property
    def sizes(self) -> Integers:
        """The sum of the magnitudes of each question's factors of values, int64[queries]."""
        sizes = np.zeros(self.queries, dtype=np.int64)
        for item in self.asked:
            np.add.at(sizes, item.queries, np.abs(item.factors))
        return sizes

    @cached_property
    def blinded_sizes(self) -> Integers:
        """As `sizes`, with the drawn integers of reserved coefficients: what errors are multiplied by."""
        sizes = self.sizes.copy()
        for item in self.asked:
            sizes[item.first : item.first + item.count] += np.abs(item.blinds).sum(axis=1)
        return sizes

    def answers_of(self, values: NDArray[np.int64]) -> list[int]:
        """Return the exact answers of known values int64[parameter_count]: sums of updates, or an update in tests.

        So the answers of all members of a sum, added up, can be held against the opened sum: they are equal.
        """
        require_vector(values, np.int64, self.parameter_count, "values")
        slots = len(self.parameters.slots)
        answers = [0] * self.queries  # those of the checks stay 0
        for item in self.slots:
            chosen = values[item.places * slots + item.slot]
            # halves keep every partial sum within int64 whatever the values are
            high, low = chosen >> 31, chosen & ((1 << 31) - 1)
            for number in range(item.first, item.first + item.count):
                start, end = np.searchsorted(item.queries, [number, number + 1])
                factors = item.factors[start:end]
                answers[number] = (int(high[start:end] @ factors) << 31) + int(low[start:end] @ factors)
        return answers

    def score(self, answers: Sequence[int]) -> int:
        """Return the score, in units of ⟨values, direction⟩, of one update's answers."""
        return max(-SCORE_LIMIT, min(SCORE_LIMIT, _nearest(self._estimate(answers))))

    def bounds(self, total: NDArray[np.int64], members: int) -> tuple[int, int]:
        """Return the least and the greatest that the scores of `members` updates with this sum add up to."""
        estimate, slack = self._estimate(self.answers_of(total)), Fraction(members, 2)
        return math.ceil(estimate - slack), math.floor(estimate + slack)

    def _parts(self, item: SlotQuestions) -> list[Part]:
        reserved = self.parameters.reserved_coefficients
        free = self.parameters.degree - reserved
        each, offset = (reserved, 0) if item in self.checks else (free, reserved)
        polynomials, coefficients = item.places // each, offset + item.places % each
        questions = np.arange(item.first, item.first + item.count)
        # a question's first term is in the first polynomial that it reaches
        reached = polynomials[np.searchsorted(item.queries, questions)]
        blinded = np.nonzero(item.blinds)
        return _sorted_parts(
            item.slot,
            np.concatenate((polynomials, reached[blinded[0]])),
            np.concatenate((item.queries, questions[blinded[0]])),
            np.concatenate((coefficients, blinded[1])),
            np.concatenate((item.factors, item.blinds[blinded])),
        )

    def _estimate(self, answers: Sequence[int]) -> Fraction:
        assert len(answers) == self.queries
        return estimate(
            self.energy,
            [
                (item.mass, item.drawn, item.overlap, sum(answers[item.first : item.first + item.count]))
                for item in self.slots
            ],
        )


def table_width(parameters: LatticeParameters) -> int:
    """Return how many residues an answer has."""
    return len(parameters.noise_primes) + parameters.primes_per_value


def answer_rows(parameters: LatticeParameters, slot: int) -> list[int]:
    """Return the rows that an answer of this slot has residues of: the noise primes' and the slot's."""
    return sorted(set(range(len(parameters.noise_primes))) | set(parameters.slots[slot]))


def estimate(energy: int, slots: Sequence[tuple[int, int, int, int]]) -> Fraction:
    """Return ⟨values, direction⟩ as the answers tell it.

    Args:
        energy: ⟨direction, direction⟩.
        slots: mass, drawn, overlap and the sum of the answers, for each slot.

    An answer of a sample stands for mass/drawn of itself; all is then scaled so that an update that is a multiple
    of the direction gets exactly its score.
    """
    found = sum((Fraction(mass, drawn) * answers for mass, drawn, _, answers in slots), Fraction(0))
    overlap = sum((Fraction(mass, drawn) * part for mass, drawn, part, _ in slots), Fraction(0))
    return found * energy / overlap if overlap > 0 else found


def require_vector(vector: NDArray[np.generic], kind: type[np.generic], count: int, what: str) -> None:
    if vector.dtype != kind or vector.shape != (count,):
        raise MalformedInput(
            f"the {what} are {vector.dtype} of shape {vector.shape}, not {kind.__name__} of shape ({count},)"
        )


def _sorted_parts(
    slot: int, polynomials: Integers, queries: Integers, coefficients: Integers, factors: Integers
) -> list[Part]:
    order = np.lexsort((queries, polynomials))
    edges = np.searchsorted(polynomials[order], np.arange(int(polynomials.max(initial=-1)) + 2))
    parts = []
    for polynomial, (start, end) in enumerate(pairwise(edges)):
        if start < end:
            chosen = order[start:end]
            numbers, starts = np.unique(queries[chosen], return_index=True)
            parts.append(
                Part(
                    polynomial, slot, coefficients[chosen], factors[chosen], starts.astype(np.int64), numbers
                )
            )
    return parts


def _nearest(number: Fraction) -> int:
    return (2 * number.numerator + number.denominator) // (2 * number.denominator)
