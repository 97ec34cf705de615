"""Residues of answers: what an upload's public part gives, and how a finished table of residues is read.

A table is uint64[queries, W], W = noise primes + `primes_per_value`: for each question the residues of its answer
modulo the noise primes, then modulo its slot's primes. The last columns of slot 0 of the scheme `packed`, whose
value stands beside the error in the noise primes, are zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.parameters import NOISE_SIGMAS, TAIL_SIGMAS, LatticeParameters
from bfl_fabric.he.lattice.randomness import ERROR_BOUND
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.scoring.plan import DirectionPlan, Part, answer_rows, table_width

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


def add_part(plan: DirectionPlan, part: Part, rows: Residues, table: Residues) -> None:
    """Add a part's sums over coefficients uint64[L, n] to the table, unreduced: below 2^30 for each part."""
    chosen = answer_rows(plan.parameters, part.slot)
    # a residue is below 2^30 and the magnitudes of a part's factors add up to less than 2^33
    terms = rows[np.ix_(np.array(chosen), part.coefficients)].view(np.int64) * part.factors
    sums = np.add.reduceat(terms, part.starts, axis=1)
    moduli = np.array([plan.parameters.primes[row] for row in chosen], dtype=np.int64)[:, None]
    table[part.numbers, : len(chosen)] += np.remainder(sums, moduli).T.astype(np.uint64)


def reduced(plan: DirectionPlan, table: Residues) -> Residues:
    """Return the table with every residue below its prime."""
    return table % plan.moduli


def require_table(plan: DirectionPlan, table: Residues) -> None:
    """Raise MalformedInput unless it is a table of this plan with every residue below its prime."""
    if table.shape != (plan.queries, table_width(plan.parameters)) or table.dtype != np.uint64:
        raise MalformedInput(f"a table of {table.shape} residues for {plan.queries} questions")
    if (table >= plan.moduli).any():
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
    noise, step = len(plan.parameters.noise_primes), plan.parameters.noise_step
    errors = _joined(table[:, :noise], plan.parameters.noise_primes)
    answers = np.zeros(plan.queries, dtype=np.int64)
    if step:
        answers = (errors + step // 2) // step
        errors = errors - answers * step
    for item in plan.asked:
        if item.slot or not step:
            own = slice(item.first, item.first + item.count)
            primes = [plan.parameters.primes[row] for row in plan.parameters.slots[item.slot]]
            rest = np.remainder(table[own, noise:].astype(np.int64) - errors[own, None], np.array(primes))
            answers[own] = _joined(rest, primes)
    limits = largest_value * plan.sizes
    limits[plan.revealed :] = 0
    each, smudging = _bounds(plan.parameters, holders)
    error_limits = each * plan.blinded_sizes.astype(errors.dtype) + smudging
    if (np.abs(answers) > limits).any() or (np.abs(errors) > error_limits).any():
        raise KeyHolderRefused(_REFUSAL)
    found: list[int] = answers.tolist()
    return found


def _joined(residues: NDArray[Any], primes: Sequence[int]) -> NDArray[Any]:
    """Return the numbers closest to zero with these residues [count, primes], digit by digit (Garner 1959).

    They are int64[count], or Python's integers where the primes' product is beyond 2^62.
    """
    modulus = math.prod(primes)
    kind = np.dtype(np.int64 if modulus < 1 << 62 else object)
    total, radix = residues[:, 0].astype(kind), primes[0]
    for prime, column in zip(primes[1:], residues.T[1:], strict=True):
        digits = (column.astype(np.int64) - total % prime) * pow(radix, -1, prime) % prime
        total, radix = total + digits.astype(kind) * radix, radix * prime
    return np.where(total > modulus // 2, total - modulus, total)
