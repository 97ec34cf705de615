"""Norm and cosine of one update in the scheme `threshold`, from answers to drawn linear questions.

A norm is quadratic, and members of a joint key answer linear questions alone. But for drawn signs r on n drawn
coordinates S of a slot's N, (N/n)·⟨x_S, r⟩² is ‖x‖² on average (Johnson–Lindenstrauss; with signs, Achlioptas 2003,
doi:10.1016/S0022-0000(03)00025-4). A slot's coordinates are dealt to its k questions from drawn orders, pass after
pass, k·n/N = c passes. With κ = Σx⁴/‖x‖⁴ and f the fraction of the last pass (f = c below one pass) the mean over the
questions has a relative variance of at most

    2(1 − κ)/k + κ·f(1 − f)/c²

but for the coordinates that a pass leaves over, less than 1/n of the slot. So a norm is off by about √(1/(2k)) of
itself, k being the questions of all slots where the mass is spread over all. The second term is the sampling's: it
vanishes with whole passes, which measure even one huge coordinate exactly. Below one pass the estimate is blind to mass
on coordinates that were not dealt; nobody can choose them, as they are drawn after the updates were committed.

Each answer reveals one linear function of the update. Decides the questions, that no well-formed update's answer
wraps but with probability 2^−79, and the exact arithmetic of norm and cosine. Values beyond the grid are not
recognized here but by their norm, which is then about that of uniform residues. Answering, smudging and combining are
`shares`' part; who asks, and when, is the ledger's question. Rounds do not ask yet.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.scoring.directions import (
    MAXIMUM_TERMS,
    MINIMUM_TERMS,
    drawn_factors,
    own_seed,
    reserved_checks,
    revealed_limit,
    seed_bytes,
    terms_per_query,
)
from bfl_fabric.he.scoring.plan import DirectionPlan, SlotQuestions

COSINE_GRID = 1_000_000
"""Cosines are integers in millionths."""

WRAP_EXPONENT = 111
"""2·80·ln 2, rounded up: by Hoeffding's inequality drawn signs on n values of magnitude 1 add up to √(111·n) or more
with probability below 2^−79, whatever the values were before the signs were drawn."""

_NORM = b"bfl-fabric norm questions v1\0"
_ATTEMPT = b"bfl-fabric norm attempt v1\0"
_SAMPLE = "bfl-fabric norm sample v1"
_BLIND = "bfl-fabric norm blind v1"


@dataclass(frozen=True, slots=True)
class NormTerms:
    """What a task asks about norms.

    `levels` bounds a value of weight 1. `questions` are asked at most, the same number of every slot; they count
    against what a round may reveal of one update, of which the alignment needs one for each slot at least.

    Raises:
        ConfigurationError: the set is not of the scheme `threshold`, or so many questions may not be asked.
    """

    parameters: LatticeParameters
    parameter_count: int
    levels: int
    questions: int

    def __post_init__(self) -> None:
        if self.parameters.scheme != "threshold":
            raise ConfigurationError(
                f"norms of the scheme {self.parameters.scheme} are not asked for in questions"
            )
        slots, limit = len(self.parameters.slots), revealed_limit(self.parameter_count)
        if not slots <= self.questions <= limit - slots:
            raise ConfigurationError(
                f"{self.questions} questions about a norm: with {slots} slots at least {slots}, and at most "
                f"{limit - slots}, since a round reveals at most {limit} integers of one update of "
                f"{self.parameter_count} parameters and the alignment needs {slots}"
            )

    @property
    def questions_per_slot(self) -> int:
        """k: how many questions every slot gets."""
        return self.questions // len(self.parameters.slots)

    def drawn(self, largest_weight: int) -> int:
        """Return n: how many coordinates a question reads, so that a pass through a slot leaves over as few as can be.

        At most half of a slot, so that two coordinates are not always read together: of two values (p + 1)/2 modulo
        the slot's p, which no update may have, drawn signs leave −1, 0 or 1.

        Raises:
            ConfigurationError: there is room for fewer values than any question must read.
        """
        room = terms_per_query(self.parameters, self.levels * largest_weight)
        fit = max(room, room * room // WRAP_EXPONENT)
        size = self.parameter_count // len(self.parameters.slots)
        in_one_pass = max(2, -(-size // min(fit, MAXIMUM_TERMS // self.questions)))
        return max(MINIMUM_TERMS, size // in_one_pass)


def draw_norm_plan(terms: NormTerms, largest_weight: int, seed: str, attempt_seed: str) -> DirectionPlan:
    """Return the questions about the norms of a round's updates.

    The two seeds are drawn by the contract, 64 hex digits each. Coordinates and signs are the round's: an update
    reveals no more when the round is attempted again. The integers on reserved coefficients are the attempt's: no
    question is put twice to a ciphertext.

    Args:
        terms: how many questions, and of what.
        largest_weight: the largest among the round's updates.
        seed: the round's, unknown until the updates were committed.
        attempt_seed: of the attempt to open the round.

    Raises:
        MalformedInput: a seed is not of that form.
        ConfigurationError: a question would have room for too few values.
    """
    parameters, drawn = terms.parameters, terms.drawn(largest_weight)
    own = own_seed(_NORM, seed)
    blinding = seed_bytes(own_seed(_ATTEMPT + bytes.fromhex(own), attempt_seed))
    slots = range(len(parameters.slots))
    asked = [_slot_questions(terms, slot, drawn, seed_bytes(own), blinding) for slot in slots]
    first = len(slots) * terms.questions_per_slot
    checks = reserved_checks(parameters, blinding, terms.parameter_count, slots, first)
    kind, largest = hashlib.sha256(_NORM).hexdigest(), terms.levels * largest_weight
    return DirectionPlan(parameters, terms.parameter_count, largest, 0, kind, own, tuple(asked), checks)


def norm_squared(plan: DirectionPlan, answers: Sequence[int]) -> int:
    """Return the estimate of ‖values‖², rounded down, that the exact answers to a `draw_norm_plan` give.

    The values have the update's weight in them: norms compare after division by it.
    """
    assert len(answers) == plan.queries
    found = Fraction(0)
    for item in plan.slots:
        squares = sum(answer * answer for answer in answers[item.first : item.first + item.count])
        found += Fraction(item.mass * squares, item.drawn * item.count)
    return math.floor(found)


def cosine(alignment: int, squared_norm: int, energy: int) -> int:
    """Return the cosine of an update and a direction in millionths, rounded towards zero, at most ±1,000,000.

    Args:
        alignment: the estimate of ⟨values, direction⟩, `DirectionPlan.score`.
        squared_norm: the estimate of ‖values‖², `norm_squared`. An alignment over a norm of zero is ±1,000,000.
        energy: ⟨direction, direction⟩.
    """
    square, whole = (alignment * COSINE_GRID) ** 2, squared_norm * energy
    size = min(COSINE_GRID, math.isqrt(square // whole)) if whole else COSINE_GRID
    return (alignment > 0) * size - (alignment < 0) * size


def _slot_questions(terms: NormTerms, slot: int, drawn: int, key: bytes, blinding: bytes) -> SlotQuestions:
    """Deal the slot's coordinates: each pass through it is in a drawn order, and no question has one of them twice."""
    slots, count = len(terms.parameters.slots), terms.questions_per_slot
    size, first = len(range(slot, terms.parameter_count, slots)), slot * count
    stream, in_one_pass = Stream.derived(_SAMPLE, key, slot), size // drawn
    passes = [
        np.argsort(stream.words(size), kind="stable")[: in_one_pass * drawn].reshape(in_one_pass, drawn)
        for _ in range(-(-count // in_one_pass))
    ]
    places = np.sort(np.concatenate(passes)[:count], axis=1).reshape(-1)
    signs = 1 - 2 * stream.uniform(2, places.size).astype(np.int64)
    queries = first + np.repeat(np.arange(count), drawn)
    reserved = terms.parameters.reserved_coefficients
    blinds = drawn_factors(Stream.derived(_BLIND, blinding, slot), count * reserved)
    return SlotQuestions(
        slot, first, count, queries, places, signs,
        mass=size, drawn=drawn, overlap=0, blinds=blinds.reshape(count, reserved),
    )  # fmt: skip
