"""Which questions are asked of one update to learn how far it points in a public direction, and what they reveal.

A question is one sum of an update's values, each times a small integer; its answer is one exact integer. Values of
different slots stand modulo different primes, so every question belongs to one slot. Decides how many questions
there are and which integers they have, so that no well-formed update's answer can wrap around, that no question has
room for one value alone, and that two seeds never ask the same. What the answers mean is `plan`'s part; who asks, and
when, is the ledger's question.

In the scheme `threshold` every answer is public, and no question may ever be asked twice of one update: two answers
of different active sets to one question are two equations for one secret number, and give a share away. So every
question has drawn integers on reserved coefficients as well, whose values are zero: another seed, another question
of the ciphertext, and the same of the update. In the scheme `packed` the answers stay in the key holder's worker
process and only the score leaves it; there is one holder, no smudging noise that a second answer could average away,
and the errors drop out exactly. So its seed may be fixed and public, `fixed_seed`.

A direction that fits is asked completely and its score is exact. Of one that does not, so many units are drawn by the
seed as fit, each coordinate in proportion to its magnitude; nobody could know them before the updates were committed
where the contract draws the seed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.randomness import ERROR_BOUND, Stream
from bfl_fabric.he.scoring.plan import DirectionPlan, SlotQuestions, require_vector

DIRECTION_LIMIT = 127
MAXIMUM_QUERIES = 256
"""Scalars that a threshold round may reveal of one update."""

MINIMUM_TERMS = 3
"""A threshold question has room for at least this many values of the largest weight, or none is asked.

A set that is cut close to the round's total weight has room for about as many as the total is of the largest weight:
among N silos of equal weight, N. Wide sets have room for whole directions.
"""

VALUES_PER_QUERY = 32
"""There is at most one threshold question for so many parameters, but one for each slot there always is."""

TARGET_TERMS = 8192
"""Drawn terms that are enough: the score is then off by about 1 % of ‖values‖·‖direction‖."""

MAXIMUM_TERMS = 1 << 22

_SAMPLE = "bfl-fabric score sample v1"
_CHECK = "bfl-fabric score check v1"
_BLIND = "bfl-fabric score blind v1"
_FIXED = b"bfl-fabric packed score directions v1\0"
_FRACTION_BITS = 24


def draw_plan(
    parameters: LatticeParameters,
    levels: int,
    largest_weight: int,
    direction: NDArray[np.int8],
    seed: str,
    besides: int = 0,
) -> DirectionPlan:
    """Return the plan of a direction.

    Args:
        parameters: the set.
        levels: the largest magnitude of a value of weight 1.
        largest_weight: of a single member: in the scheme `threshold` the largest weight among the round's updates, in
            the scheme `packed` the task's largest total weight, since a score does not know the other members.
        direction: int8[parameter_count], entries in −127..127.
        seed: 64 hex digits; drawn by the contract in the scheme `threshold`, `fixed_seed` in the scheme `packed`.
        besides: how many integers other questions of the round reveal of the same update: they count against the cap.

    Raises:
        MalformedInput: the direction or the seed is not of that form.
        ConfigurationError: in the scheme `threshold` a question would have room for fewer than MINIMUM_TERMS values.
    """
    require_vector(direction, np.int8, direction.size, "direction")
    if direction.size == 0 or direction.min() < -DIRECTION_LIMIT:
        raise MalformedInput("the direction is empty or has −128; its range is −127 to 127")
    key = seed_bytes(seed)
    wide = direction.astype(np.int64)
    energy, largest = int(wide @ wide), levels * largest_weight
    slots: list[SlotQuestions] = []
    if energy:
        room = terms_per_query(parameters, largest)
        each = queries_per_slot(parameters, room, wide.size, besides)
        first = 0
        for slot in range(min(len(parameters.slots), wide.size)):
            item = _slot_questions(parameters, key, slot, first, wide, room, each)
            if item.count:
                slots.append(item)
                first += item.count
    asked_slots = [item.slot for item in slots]
    checks = reserved_checks(parameters, key, wide.size, asked_slots, sum(item.count for item in slots))
    digest = direction_digest(direction)
    return DirectionPlan(parameters, direction.size, largest, energy, digest, seed, tuple(slots), checks)


def terms_per_query(parameters: LatticeParameters, largest_value: int) -> int:
    """Return how large the sum of a question's magnitudes may be so that no answer wraps around.

    Raises:
        ConfigurationError: there is not enough room.
    """
    rooms = []
    for rows in parameters.slots:
        modulus = math.prod(parameters.primes[row] for row in rows)
        step = parameters.noise_step if rows[0] == 0 and parameters.noise_step else 0
        rooms.append((modulus - 1) // 2 // (step * largest_value + ERROR_BOUND if step else largest_value))
    if parameters.noise_step:
        # the errors of a question's values add up like those of a sum's members
        rooms.append((parameters.noise_step // 2 - 1) // ERROR_BOUND)
    room, least = min(rooms), 1 if parameters.noise_step else MINIMUM_TERMS
    if room < least:
        raise ConfigurationError(
            f"parameter set {parameters.name} has room for {room} values of up to {largest_value} in one question, "
            f"not for {least}: scores need lower value_bits or weights, or a wider set"
        )
    return room


def largest_scorable_weight(parameters: LatticeParameters, levels: int) -> int:
    """Return the largest weight of a single member for which `draw_plan` has room; 0 when there is none."""
    if parameters.noise_step:
        return (parameters.largest_sum - 1) // levels
    return (
        (min(math.prod(parameters.primes[row] for row in rows) for rows in parameters.slots) - 1)
        // 2
        // (MINIMUM_TERMS * levels)
    )


def revealed_limit(parameter_count: int) -> int:
    """Return how many integers a threshold round may reveal of one update, all kinds of questions together."""
    return min(MAXIMUM_QUERIES, parameter_count // VALUES_PER_QUERY)


def queries_per_slot(parameters: LatticeParameters, room: int, parameter_count: int, besides: int = 0) -> int:
    """Return how many questions about a direction a slot may have at most."""
    slots = len(parameters.slots)
    wanted = -(-min(TARGET_TERMS, DIRECTION_LIMIT * parameter_count) // (slots * room))
    if parameters.noise_step:
        return wanted
    return max(1, min(wanted, (revealed_limit(parameter_count) - besides) // slots))


def fixed_seed(direction: NDArray[np.int8]) -> str:
    """Return the seed of the scheme `packed`, a function of the direction (see the module's text)."""
    return hashlib.sha256(_FIXED + direction.tobytes()).hexdigest()


def direction_digest(direction: NDArray[np.int8]) -> str:
    """Return the SHA-256 of the direction's bytes, one for each coordinate, lower-case hex."""
    return hashlib.sha256(direction.tobytes()).hexdigest()


def _slot_questions(
    parameters: LatticeParameters,
    key: bytes,
    slot: int,
    first: int,
    wide: Integers,
    room: int,
    most: int,
) -> SlotQuestions:
    stride = len(parameters.slots)
    own = wide[slot::stride]
    factors, places = own, np.arange(own.size, dtype=np.int64)
    mass = int(np.abs(factors).sum())
    drawn = min(mass, most * room, max(room, MAXIMUM_TERMS) if mass > room else mass)
    count = -(-drawn // room)
    if count <= 1:
        queries = np.full(places.size, first, dtype=np.int64)
    if drawn < mass or count > 1:
        stream = Stream.derived(_SAMPLE, key, slot)
        queries, places, factors = _spread(factors, mass, drawn, count, stream)
        queries += first
    used = factors != 0
    queries, places, factors = queries[used], places[used], factors[used]
    overlap = int(own[places] @ factors)
    shape = count, parameters.reserved_coefficients
    blinds = drawn_factors(Stream.derived(_BLIND, key, slot), math.prod(shape)).reshape(shape)
    return SlotQuestions(slot, first, count, queries, places, factors, mass, drawn, overlap, blinds)


def reserved_checks(
    parameters: LatticeParameters, key: bytes, parameter_count: int, slots: Sequence[int], first: int
) -> tuple[SlotQuestions, ...]:
    """Return a question for each of these slots about all reserved coefficients, with drawn factors in −127..127."""
    count = parameters.reserved_coefficients * parameters.polynomial_count(parameter_count)
    places = np.arange(count, dtype=np.int64)
    checks = []
    for number, slot in enumerate(slots, first):
        if count:
            factors = drawn_factors(Stream.derived(_CHECK, key, slot), count)
            queries, blinds = np.full(count, number), np.zeros((1, 0), dtype=np.int64)
            checks.append(
                SlotQuestions(slot, number, 1, queries, places, factors, 0, drawn=1, overlap=0, blinds=blinds)
            )
    return tuple(checks)


def drawn_factors(stream: Stream, count: int) -> Integers:
    """Return drawn integers in −127..127."""
    return stream.uniform(2 * DIRECTION_LIMIT + 1, count).astype(np.int64) - DIRECTION_LIMIT


def _spread(
    factors: Integers, mass: int, drawn: int, count: int, stream: Stream
) -> tuple[Integers, Integers, Integers]:
    """Return queries, places and factors of `drawn` units of the vector's mass, in `count` runs of equal length.

    With drawn = mass these are all its units. Else unit k is drawn uniformly from the k-th of `drawn` equal pieces
    of the mass (stratified sampling), so that a place's expected factor is its own times drawn/mass.
    """
    number = np.arange(drawn, dtype=np.int64)
    position = number
    if drawn < mass:
        quotient, rest = np.divmod(number * mass, drawn)
        fraction = (stream.words(drawn) >> np.uint64(64 - _FRACTION_BITS)).astype(np.int64)
        position = quotient + (rest + (fraction * mass >> _FRACTION_BITS)) // drawn
    place = np.searchsorted(np.cumsum(np.abs(factors)), position, side="right").astype(np.int64)
    keys, units = np.unique(number * count // drawn * factors.size + place, return_counts=True)
    queries, places = np.divmod(keys, factors.size)
    return queries, places, np.sign(factors[places]) * units


def own_seed(domain: bytes, seed: str) -> str:
    """Return a seed of its own for each kind of question, so that no two kinds share a drawn number."""
    return hashlib.sha256(domain + seed_bytes(seed)).hexdigest()


def seed_bytes(seed: str) -> bytes:
    if len(seed) != 64 or seed.strip("0123456789abcdef"):
        raise MalformedInput("the seed of the directions is not 64 lower-case hex digits")
    return bytes.fromhex(seed)
