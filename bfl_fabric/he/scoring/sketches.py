"""Sketches of updates, so that a set without room for a whole direction can still hear all coordinates.

A participant appends to its values a sketch of them, weight·round(S·q / 2^r): S adds the values of each bucket with
drawn signs, buckets never mix slots, r is public. ⟨S·x, S·g⟩ is ⟨x, g⟩ but for the relative error 1/√buckets of a
random projection, and small integers leave room for a whole int8 direction.

That a sketch is of these values is checked under encryption: for drawn ρ, ⟨S·x − 2^r·s, ρ⟩ is linear in values and
sketch, and in a well-formed update only what was rounded off is left. It is asked modulo a slot's primes, where
intermediate sums may wrap: the honest answer is small all the same, and a forger's is uniform or nearly so.

What is opened of one update, for each of which there is one drawn question for each slot:
  * ⟨s, S·g⟩ of the round's public direction g (`alignment_plan`; as many scalars as `plan.revealed`),
  * the check scalars, which an honest update's rounding errors alone decide (`check_plan`).
Nothing else: no entry of a sketch.

What a check does not show: a forged entry whose bucket was not drawn, and errors below the tolerance.

What a sketch does not show: anything about an update that was made for it. Whoever knows S before the values are
committed can choose values of any norm with S·x = 0, or with any alignment that it likes (both are tests). A sketch
travels with its values, so S is known by then: an alignment of sketches describes participants that do not adapt to
it, and Σs² would bound the norm of nobody else. So there is no norm here; `norms` asks the update itself, by signs
that are drawn after the commitment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.scoring.directions import (
    DIRECTION_LIMIT,
    direction_digest,
    draw_plan,
    drawn_factors,
    own_seed,
    reserved_checks,
    seed_bytes,
)
from bfl_fabric.he.scoring.plan import DirectionPlan, SlotQuestions, require_vector

CHECKS_PER_SLOT = 4
PASSING_BITS = 5
"""A forger's uniform answer passes one check with probability at most 2^−5."""

_PROJECTION = "bfl-fabric sketch projection v1"
_CHECK = "bfl-fabric sketch check v1"
_BLIND = "bfl-fabric sketch blind v1"
_ALIGNMENT = b"bfl-fabric sketch alignment v1\0"
_CHECKS = b"bfl-fabric sketch checks v1\0"


@dataclass(frozen=True)
class SketchTerms:
    """How a task's sketches are made.

    `parameter_count` values of the model, then `buckets` of the sketch, a multiple of the number of slots, make an
    upload. `levels` bounds a value of weight 1, `limit` an entry of a sketch of weight 1. `seed` draws the projection:
    64 hex digits, public, known to participants before they choose their values (see the module's text).

    Raises:
        ConfigurationError: the numbers do not hold together.
    """

    parameters: LatticeParameters
    parameter_count: int
    buckets: int
    levels: int
    limit: int
    seed: str

    def __post_init__(self) -> None:
        if self.buckets < 1 or self.buckets % len(self.parameters.slots):
            raise ConfigurationError(f"{self.buckets} buckets are no multiple of the number of slots")
        if not 1 <= self.limit <= self.levels:
            raise ConfigurationError(f"a sketch's limit {self.limit} is not from 1 to {self.levels}")
        seed_bytes(self.seed)

    @property
    def total_count(self) -> int:
        """How many values an upload has."""
        return self.parameter_count + self.buckets

    @cached_property
    def bucket_of(self) -> Integers:
        """The bucket of each value, int64[parameter_count]: one that stands in the value's slot."""
        slots = len(self.parameters.slots)
        stream = Stream.derived(_PROJECTION, seed_bytes(self.seed), 0)
        drawn = stream.uniform(self.buckets // slots, self.parameter_count).astype(np.int64)
        return slots * drawn + (np.arange(self.parameter_count) - self.parameter_count) % slots

    @cached_property
    def sign_of(self) -> Integers:
        """The drawn sign of each value, int64[parameter_count]."""
        stream = Stream.derived(_PROJECTION, seed_bytes(self.seed), 1)
        return 1 - 2 * stream.uniform(2, self.parameter_count).astype(np.int64)

    @cached_property
    def shift(self) -> int:
        """r: no well-formed value of a sketch is beyond `limit`, however the values of its bucket are."""
        largest = int(np.bincount(self.bucket_of, minlength=self.buckets).max()) * self.levels
        return max(0, (-(-largest // self.limit) - 1).bit_length())

    def projected(self, values: Integers) -> Integers:
        """Return S·values, int64[buckets], of int64[parameter_count]."""
        total = np.zeros(self.buckets, dtype=np.int64)
        np.add.at(total, self.bucket_of, self.sign_of * values)
        return total


def make_sketch(terms: SketchTerms, values: Integers, weight: int) -> Integers:
    """Return the values of an upload with their sketch behind them, int64[total_count].

    Args:
        terms: how sketches are made.
        values: weight·q with |q| ≤ levels, int64[parameter_count].
        weight: of the update.

    Raises:
        MalformedInput: the values are not of that form.
    """
    require_vector(values, np.int64, terms.parameter_count, "values")
    exact = values // weight
    if (exact * weight != values).any() or np.abs(exact).max(initial=0) > terms.levels:
        raise MalformedInput("the values are not the weight times integers of the task's grid")
    half = 1 << terms.shift >> 1
    sketch = (terms.projected(exact) + half) >> terms.shift
    return np.concatenate((values, weight * sketch))


def alignment_plan(
    terms: SketchTerms, direction: NDArray[np.int8], largest_weight: int, seed: str
) -> tuple[DirectionPlan, Fraction]:
    """Return the questions ⟨s, S·g⟩ about the sketches of a round, and what their score is to be multiplied by.

    Raises as `draw_plan` does.
    """
    require_vector(direction, np.int8, terms.parameter_count, "direction")
    projected = terms.projected(direction.astype(np.int64))
    largest = max(1, int(np.abs(projected).max()))
    coarse = np.sign(projected) * ((2 * DIRECTION_LIMIT * np.abs(projected) + largest) // (2 * largest))
    whole = np.concatenate((np.zeros(terms.parameter_count, dtype=np.int8), coarse.astype(np.int8)))
    plan = draw_plan(terms.parameters, terms.limit, largest_weight, whole, own_seed(_ALIGNMENT, seed))
    return plan, Fraction(largest << terms.shift, DIRECTION_LIMIT)


def alignment(plan: DirectionPlan, scale: Fraction, answers: Sequence[int]) -> int:
    """Return the estimate of ⟨values, direction⟩ that the answers to an `alignment_plan` give."""
    return math.floor(plan.score(answers) * scale + Fraction(1, 2))


def check_plan(terms: SketchTerms, largest_weight: int, seed: str) -> DirectionPlan:
    """Return the questions ⟨S·x − 2^r·s, ρ⟩, CHECKS_PER_SLOT for each slot.

    ρ is ±1 on so many drawn buckets of the slot that a uniform answer passes with probability at most 2^−5, of all
    buckets where there is room. `seed` is drawn by the contract after the updates were committed.

    Raises:
        ConfigurationError: not even one bucket can be checked: the sketch's limit or the weights are too extreme.
    """
    own = own_seed(_CHECKS, seed)
    slots, key = len(terms.parameters.slots), seed_bytes(own)
    tried = _buckets_per_check(terms, largest_weight)
    asked: list[SlotQuestions] = []
    for slot in range(slots):
        stream = Stream.derived(_CHECK, key, slot)
        asked.append(_slot_checks(terms, slot, slot * CHECKS_PER_SLOT, tried, stream, key))
    checks = reserved_checks(terms.parameters, key, terms.total_count, range(slots), slots * CHECKS_PER_SLOT)
    modulus = max(_moduli(terms.parameters))
    marker = np.zeros(terms.total_count, dtype=np.int8)
    # an answer may be anything below the modulus here; `verify_sketch` is the one who judges
    return DirectionPlan(
        terms.parameters, terms.total_count, modulus, 0, direction_digest(marker), own, tuple(asked), checks
    )


def verify_sketch(terms: SketchTerms, plan: DirectionPlan, weight: int, answers: Sequence[int]) -> None:
    """Raise KeyHolderRefused unless the answers to a `check_plan` are those of a sketch of these values."""
    for query in range(plan.revealed):
        item = plan.slots[query // CHECKS_PER_SLOT]
        about_sketch = (item.queries == query) & _is_sketch(terms, item)
        # every bucket's rounding error is at most half of 2^r: factors of the sketch are ±2^r
        if 2 * abs(answers[query]) > weight * int(np.abs(item.factors[about_sketch]).sum()):
            raise KeyHolderRefused("the sketch is not one of the update that it came with")


def _buckets_per_check(terms: SketchTerms, largest_weight: int) -> int:
    room = min(_moduli(terms.parameters)) >> PASSING_BITS
    tried = min(terms.buckets // len(terms.parameters.slots), (room - 1) // (largest_weight << terms.shift))
    if tried < 1:
        raise ConfigurationError("a sketch of such small integers and large weights cannot be checked")
    return tried


def _slot_checks(
    terms: SketchTerms, slot: int, first: int, tried: int, stream: Stream, key: bytes
) -> SlotQuestions:
    slots = len(terms.parameters.slots)
    own_values = np.arange(slot, terms.parameter_count, slots)
    own_buckets = np.arange((slot - terms.parameter_count) % slots, terms.buckets, slots)
    queries, places, factors = [], [], []
    for query in range(first, first + CHECKS_PER_SLOT):
        chosen = own_buckets[np.argsort(stream.words(own_buckets.size), kind="stable")[:tried]]
        weights = np.zeros(terms.buckets, dtype=np.int64)
        weights[chosen] = 1 - 2 * stream.uniform(2, tried).astype(np.int64)
        of_values = terms.sign_of[own_values] * weights[terms.bucket_of[own_values]]
        of_buckets = -weights[own_buckets] << terms.shift
        both = np.concatenate((of_values, of_buckets))
        index = np.concatenate((own_values, terms.parameter_count + own_buckets))
        used = np.flatnonzero(both)
        queries.append(np.full(used.size, query, dtype=np.int64))
        places.append(index[used] // slots)
        factors.append(both[used])
    reserved = terms.parameters.reserved_coefficients
    blinds = drawn_factors(Stream.derived(_BLIND, key, slot), CHECKS_PER_SLOT * reserved)
    return SlotQuestions(
        slot, first, CHECKS_PER_SLOT, np.concatenate(queries), np.concatenate(places), np.concatenate(factors),
        mass=0, drawn=1, overlap=0, blinds=blinds.reshape(CHECKS_PER_SLOT, reserved),
    )  # fmt: skip


def _is_sketch(terms: SketchTerms, item: SlotQuestions) -> NDArray[np.bool_]:
    slots = len(terms.parameters.slots)
    sketch: NDArray[np.bool_] = item.places * slots + item.slot >= terms.parameter_count
    return sketch


def _moduli(parameters: LatticeParameters) -> list[int]:
    return [math.prod(parameters.primes[row] for row in rows) for rows in parameters.slots]
