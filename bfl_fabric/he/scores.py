"""Scores: the inner product of one encrypted update with a public direction, and nothing else of the update.

For polynomials T and g^rev(X) = g_0 − Σ g_j·X^(N−j) the constant coefficient of T·g^rev is ⟨T,g⟩. A score keeps that
one coefficient of the first polynomial and the whole mask polynomial, so the key holder can undo the mask of the
constant coefficient only. Everything here is integer arithmetic on public data: whoever repeats it gets the same
bytes.

Decides how coarse the direction must be so that no well-formed update overflows the prime, and the grid to which an
opened score is rounded. Who may ask for a score, and for which direction, is the ledger's question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.packing import Residues
from bfl_fabric.he.parameters import ParameterSet
from bfl_fabric.he.ring import ring
from bfl_fabric.he.terms import CheckedTerms
from bfl_fabric.he.wire import DIRECTION_LIMIT, MAXIMUM_DIVISOR, DirectionTerms, Header

NOISE_MARGIN_BITS = 10
"""The part of the prime, 2^−10, that a score's noise may use beside the largest inner product."""

GRID_OVER_NOISE_BITS = 16
"""The score grid is at least 2^16 standard deviations of the noise wide."""

ALIGNMENT_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class PreparedDirection:
    """A direction, coarsened and transformed: Montgomery form, one row for each chunk."""

    terms: DirectionTerms
    parameter_count: int
    rows: Residues


def prepare_direction(terms: CheckedTerms, direction: NDArray[np.int8]) -> PreparedDirection:
    """Coarsen and transform a direction int8[parameter_count]. Raises MalformedInput."""
    if direction.dtype != np.int8 or direction.ndim != 1 or direction.size == 0:
        raise MalformedInput(
            f"the direction is {direction.dtype} of shape {direction.shape}, not an int8 vector"
        )
    if direction.min() < -DIRECTION_LIMIT:
        raise MalformedInput("the direction has −128; its range is −127 to 127")
    divisor = _divisor(terms, direction)
    wide = direction.astype(np.int64)
    coarse = _coarse(wide, divisor)
    described = DirectionTerms(divisor, int(wide @ wide), int(wide @ coarse), direction_digest(direction))
    return PreparedDirection(described, direction.size, _transformed(terms.parameters, coarse))


def direction_digest(direction: NDArray[np.int8]) -> bytes:
    """Return the SHA-256 of the direction's bytes, one for each coordinate."""
    return hashlib.sha256(direction.tobytes()).digest()


def score_words(
    parameters: ParameterSet, chunks: Iterable[Residues], direction: PreparedDirection
) -> tuple[int, Residues]:
    """Return the constant and the mask uint64[degree] of the score of an upload's chunks."""
    arithmetic = ring(parameters.data_prime, parameters.degree)
    total = np.zeros((2, parameters.degree), dtype=np.uint64)
    for words, row in zip(chunks, direction.rows, strict=True):
        if row.any():
            total = arithmetic.add(total, arithmetic.product(words, row))
    return arithmetic.constant_coefficient(arithmetic.sum(total[0])), total[1]


def score_grid(parameters: ParameterSet, direction: DirectionTerms) -> int:
    """Return the power of two to whose multiples an opened score is rounded.

    The noise of the opened number is at most σ·‖g′‖·(energy/overlap)/2^step_bits with ‖g′‖² ≤ 2·overlap/divisor; the
    largest σ for any ternary secret has variance (1+N)/12. The grid is 2^16 times that, so fresh noise changes the
    rounded score with probability below 2^−16.
    """
    energy, overlap, divisor = direction.energy, direction.overlap, direction.divisor
    # grid² ≥ 2^32·(1+N)/12·(2·overlap/divisor)·(energy/overlap)²/2^(2·step_bits), in integers
    numerator = (1 + parameters.degree) * 2 * energy**2 << (2 * GRID_OVER_NOISE_BITS)
    denominator = 12 * divisor * overlap << (2 * parameters.step_bits)
    grid = 1
    while grid * grid * denominator < numerator:
        grid *= 2
    return grid


def score_of(parameters: ParameterSet, header: Header, levels: int, opened: int) -> int:
    """Return the score of an opened constant coefficient: an integer multiple of the grid.

    What no well-formed update can reach is cut off at the largest inner product.
    """
    terms = header.direction
    grid = score_grid(parameters, terms)
    numerator = opened * terms.energy
    denominator = (terms.overlap << parameters.step_bits) * grid
    score = (2 * numerator + denominator) // (2 * denominator) * grid
    largest = (
        min(header.weight * levels * DIRECTION_LIMIT * header.parameter_count, ALIGNMENT_LIMIT) // grid * grid
    )
    return max(-largest, min(largest, score))


def score_bounds(
    parameters: ParameterSet, prepared: PreparedDirection, inner_product: int, members: int
) -> tuple[int, int]:
    """Return what the scores of `members` uploads can add up to when their sum has this coarse inner product.

    Each score is the coarse inner product, rescaled, rounded to the grid: it is off by less than one grid step.
    """
    terms = prepared.terms
    if terms.overlap == 0:
        return 0, 0
    slack = members * score_grid(parameters, terms)
    scaled = inner_product * terms.energy
    return -(-scaled // terms.overlap) - slack, scaled // terms.overlap + slack


def coarse_inner_product(
    total: NDArray[np.int64], direction: NDArray[np.int8], prepared: PreparedDirection
) -> int:
    """Return ⟨total, coarsened direction⟩ exactly."""
    return int(total @ _coarse(direction.astype(np.int64), prepared.terms.divisor))


def _divisor(terms: CheckedTerms, direction: NDArray[np.int8]) -> int:
    """Return the smallest divisor for which no well-formed update's inner product can overflow the prime."""
    half = terms.parameters.data_prime >> 1
    room = (half - (half >> NOISE_MARGIN_BITS)) // (terms.largest_sum << terms.parameters.step_bits)
    counts = np.bincount(np.abs(direction.astype(np.int64)), minlength=DIRECTION_LIMIT + 1)
    magnitudes = np.arange(DIRECTION_LIMIT + 1)
    if not direction.any():
        return 1
    for divisor in range(1, MAXIMUM_DIVISOR + 1):
        if 0 < int(counts @ _coarse(magnitudes, divisor)) <= room:
            return divisor
    raise MalformedInput(
        f"the direction has more than {room} entries of the largest size: no score fits; lower value_bits or "
        "max_total_weight of the task"
    )


def _coarse(values: NDArray[np.int64], divisor: int) -> NDArray[np.int64]:
    magnitude = (2 * np.abs(values) + divisor) // (2 * divisor)
    return np.where(values < 0, -magnitude, magnitude)


def _transformed(parameters: ParameterSet, coarse: NDArray[np.int64]) -> Residues:
    arithmetic = ring(parameters.data_prime, parameters.degree)
    count = parameters.chunk_count(coarse.size)
    padded = np.zeros((count, parameters.degree), dtype=np.int64)
    values = np.zeros(count * parameters.values_per_chunk, dtype=np.int64)
    values[: coarse.size] = coarse
    padded[:, parameters.reserved_coefficients :] = values.reshape(count, -1)
    rows = np.zeros((count, parameters.degree), dtype=np.uint64)
    for index, polynomial in enumerate(padded):
        if polynomial.any():
            reversed_ = -np.roll(polynomial[::-1], 1)
            reversed_[0] = polynomial[0]
            rows[index] = arithmetic.montgomery(arithmetic.transform(arithmetic.residues(reversed_)))
    return rows
