"""Residues of answers: what an upload's public part gives, and how a finished table of residues is read.

A table is uint64[queries, W], W = noise primes + `primes_per_value`: for each question the residues of its answer
modulo the noise primes, then modulo its slot's primes. The last columns of slot 0 of the scheme `packed`, whose
value stands beside the error in the noise primes, are zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import mul

import numpy as np

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.parameters import NOISE_SIGMAS, TAIL_SIGMAS, LatticeParameters
from bfl_fabric.he.lattice.randomness import ERROR_BOUND
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.scoring.plan import DirectionPlan, Part

_REFUSAL = "the answers do not open to those of a well-formed update of this weight"


def base_scalars(plan: DirectionPlan, polynomials: Iterable[Residues]) -> Residues:
    """Return the table of ⟨c0, g⟩ for each question g.

    Args:
        plan: the questions.
        polynomials: all polynomials c0 of one upload in order, in coefficient form, uint64[L, coefficients] with at
            least the coefficients in use. They are read once.

    Raises:
        MalformedInput: there are too few of them.
    """
    table, parts, index = empty_table(plan), iter(plan.parts), -1
    part = next(parts, None)
    for index, rows in enumerate(polynomials):
        while part is not None and part.polynomial == index:
            add_part(plan, part, rows, table)
            part = next(parts, None)
    if part is not None:
        raise MalformedInput(f"the upload has {index + 1} polynomials, the direction reaches further")
    return reduced(plan, table)


def empty_table(plan: DirectionPlan) -> Residues:
    """Return a table of zeros."""
    return np.zeros((plan.queries, table_width(plan.parameters)), dtype=np.uint64)


def table_width(parameters: LatticeParameters) -> int:
    """Return how many residues an answer has."""
    return len(parameters.noise_primes) + parameters.primes_per_value


def answer_rows(parameters: LatticeParameters, slot: int) -> list[int]:
    """Return the rows that an answer of this slot has residues of: the noise primes' and the slot's."""
    return sorted(set(range(len(parameters.noise_primes))) | set(parameters.slots[slot]))


def add_part(plan: DirectionPlan, part: Part, rows: Residues, table: Residues) -> None:
    """Add a part's sums over coefficients uint64[L, n] to the table, unreduced: below 2^30 for each part."""
    chosen = answer_rows(plan.parameters, part.slot)
    # a residue is below 2^30 and the magnitudes of a part's factors add up to less than 2^33
    terms = rows[chosen][:, part.coefficients].astype(np.int64) * part.factors
    sums = np.add.reduceat(terms, part.starts, axis=1)
    moduli = np.array([plan.parameters.primes[row] for row in chosen], dtype=np.int64)[:, None]
    table[part.numbers, : len(chosen)] += np.remainder(sums, moduli).T.astype(np.uint64)


def reduced(plan: DirectionPlan, table: Residues) -> Residues:
    """Return the table with every residue below its prime."""
    return table % table_moduli(plan)


def table_moduli(plan: DirectionPlan) -> Residues:
    """Return the prime of each residue of a table, uint64[queries, W]; 1 where the residue is always zero."""
    moduli = np.ones((plan.queries, table_width(plan.parameters)), dtype=np.uint64)
    for item in plan.asked:
        primes = [plan.parameters.primes[row] for row in answer_rows(plan.parameters, item.slot)]
        moduli[item.first : item.first + item.count, : len(primes)] = primes
    return moduli


def require_table(plan: DirectionPlan, table: Residues) -> None:
    """Raise MalformedInput unless it is a table of this plan with every residue below its prime."""
    if table.shape != (plan.queries, table_width(plan.parameters)) or table.dtype != np.uint64:
        raise MalformedInput(f"a table of {table.shape} residues for {plan.queries} questions")
    if (table >= table_moduli(plan)).any():
        raise MalformedInput("a residue of an answer is not below its prime")


def error_bound(plan: DirectionPlan, query: int, holders: int) -> int:
    """Return the largest magnitude of error and smudging in an answer that `holders` honest members give.

    Error: each coefficient of a fresh encryption within 8 standard deviations, times the question's magnitudes; in
    the scheme `packed` within its exact bound. Smudging: 12 standard deviations of the sum of all members'.
    """
    each, smudging = _bounds(plan.parameters, holders)
    return each * int(plan.blinded_sizes[query]) + smudging


def _bounds(parameters: LatticeParameters, holders: int) -> tuple[int, int]:
    """Return the bound of a coefficient's error, and that of the smudging in an answer."""
    if parameters.noise_step:
        return ERROR_BOUND, 0
    each = math.ceil(NOISE_SIGMAS * math.sqrt(parameters.noise_variance))
    return each, math.ceil(TAIL_SIGMAS * math.sqrt(holders)) << parameters.smudge_bits


def exact_answers(plan: DirectionPlan, table: Residues, largest_value: int, holders: int = 1) -> list[int]:
    """Return the exact answers of a finished table; the errors, known exactly here, are checked and dropped.

    Args:
        plan: the questions.
        table: base scalars plus the mask's part.
        largest_value: levels times the weight of this update.
        holders: how many members' smudging noise is in it.

    Raises:
        MalformedInput: it is no table of this plan.
        KeyHolderRefused: an error or an answer is beyond what a well-formed update gives, or the answer to a check
            is not 0. One text for all causes.
    """
    require_table(plan, table)
    each, smudging = _bounds(plan.parameters, holders)
    revealed, sizes, blinded = plan.revealed, plan.sizes.tolist(), plan.blinded_sizes.tolist()
    readers = [_reader(plan.parameters, slot) for slot in range(len(plan.parameters.slots))]
    answers, fits = [], True
    for query, (slot, residues) in enumerate(zip(plan.query_slots, table.tolist(), strict=True)):
        answer, error = readers[slot](residues)
        limit = largest_value * sizes[query] if query < revealed else 0
        fits = abs(error) <= each * blinded[query] + smudging and abs(answer) <= limit and fits
        answers.append(answer)
    if not fits:
        raise KeyHolderRefused(_REFUSAL)
    return answers


def _reader(parameters: LatticeParameters, slot: int) -> Callable[[list[int]], tuple[int, int]]:
    """Return what gives answer and error of a question about this slot."""
    noise, step = len(parameters.noise_primes), parameters.noise_step
    joined_noise = _joiner(parameters.noise_primes)
    joined_value = _joiner(tuple(parameters.primes[row] for row in parameters.slots[slot]))

    def read(residues: list[int]) -> tuple[int, int]:
        error = joined_noise(residues[:noise])
        if step:
            beside = (error + step // 2) // step
            error -= beside * step
            if slot == 0:
                return beside, error
        return joined_value([residue - error for residue in residues[noise:]]), error

    return read


def _joiner(primes: tuple[int, ...]) -> Callable[[list[int]], int]:
    """Return what gives the number closest to zero with these residues (Chinese remainder theorem)."""
    modulus, weights = _weights(primes)
    half = modulus // 2

    def joined(residues: list[int]) -> int:
        number: int = sum(map(mul, residues, weights)) % modulus
        return number - modulus if number > half else number

    return joined


@lru_cache(maxsize=64)
def _weights(primes: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    modulus = math.prod(primes)
    return modulus, tuple(modulus // prime * pow(modulus // prime, -1, prime) for prime in primes)
