"""Sums and products of rows against Python's integers, and against the schoolbook modulo X^N + 1."""

from __future__ import annotations

import numpy as np
import pytest

from bfl_fabric.he.lattice import parameters as sets
from bfl_fabric.he.lattice.primes import primes_below, primes_from
from bfl_fabric.he.lattice.ring import LARGEST_PRIME, Factor, Ring
from tests.unit.he.lattice.residues import extreme_rows, random_rows

DEGREE = 4096
PRIMES = (next(primes_from(1 << 15, DEGREE)), 786433, 33538049, next(primes_below(LARGEST_PRIME + 1, DEGREE)))
RING = Ring(DEGREE, PRIMES)
PAIRS = [
    (left, right)
    for left in [*extreme_rows(DEGREE, PRIMES), random_rows(1, DEGREE, PRIMES)]
    for right in [extreme_rows(DEGREE, PRIMES)[1], random_rows(2, DEGREE, PRIMES)]
]


def as_integers(rows: np.ndarray) -> list[list[int]]:
    return [[int(number) for number in row] for row in rows]


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_sums_and_products_equal_pythons_integers(left: np.ndarray, right: np.ndarray) -> None:
    results = {
        "product": RING.product(left, right),
        "times": RING.times(left, RING.factor(right)),
        "add": RING.add(left, right),
        "subtract": RING.subtract(left, right),
    }
    for row, prime in enumerate(PRIMES):
        pairs = list(zip(as_integers(left)[row], as_integers(right)[row], strict=True))
        assert results["product"][row].tolist() == [a * b % prime for a, b in pairs]
        assert results["times"][row].tolist() == [a * b % prime for a, b in pairs]
        assert results["add"][row].tolist() == [(a + b) % prime for a, b in pairs]
        assert results["subtract"][row].tolist() == [(a - b) % prime for a, b in pairs]


def test_shoup_products_hold_up_to_the_end_of_32_bits() -> None:
    generator = np.random.default_rng(3)
    left = generator.integers((1 << 32) - 70_000, 1 << 32, (len(PRIMES), DEGREE), dtype=np.uint64)
    left[:, 0] = (1 << 32) - 1
    for right in (extreme_rows(DEGREE, PRIMES)[1], random_rows(4, DEGREE, PRIMES)):
        product = RING.times(left, RING.factor(right))
        for row, prime in enumerate(PRIMES):
            pairs = zip(as_integers(left)[row], as_integers(right)[row], strict=True)
            assert product[row].tolist() == [a * b % prime for a, b in pairs]


def test_sums_of_many_residues_are_reduced_up_to_63_bits() -> None:
    generator = np.random.default_rng(5)
    sums = generator.integers(0, 1 << 63, (len(PRIMES), DEGREE), dtype=np.uint64)
    sums[:, 0] = (1 << 63) - 1
    # multiples and their neighbours are where a quotient is off by one
    for row, prime in enumerate(PRIMES):
        top = ((1 << 63) - 2) // prime
        sums[row, 1:4] = [top * prime - 1, top * prime, top * prime + 1]
    reduced = RING.reduce(sums)
    for row, prime in enumerate(PRIMES):
        assert reduced[row].tolist() == [number % prime for number in as_integers(sums)[row]]


def test_signed_integers_of_any_size_become_residues() -> None:
    generator = np.random.default_rng(6)
    integers = generator.integers(-(1 << 63), (1 << 63) - 1, DEGREE, dtype=np.int64)
    integers[:4] = [-(1 << 63), (1 << 63) - 1, 0, -1]
    residues = RING.residues(integers)
    for row, prime in enumerate(PRIMES):
        assert residues[row].tolist() == [int(number) % prime for number in integers]
    rows = generator.integers(-(1 << 63), (1 << 63) - 1, (len(PRIMES), DEGREE), dtype=np.int64)
    of_rows = RING.residues(rows)
    for row, prime in enumerate(PRIMES):
        assert of_rows[row].tolist() == [int(number) % prime for number in rows[row]]


def test_small_integers_become_residues_without_a_division() -> None:
    bound = min(PRIMES) - 1
    integers = np.array([0, 1, -1, bound, -bound], dtype=np.int64)
    assert (RING.small_residues(integers) == RING.residues(integers)).all()


@pytest.mark.parametrize("degree", [2, 4, 8, 16, 64])
def test_a_product_of_transforms_is_the_schoolbook_product(degree: int) -> None:
    primes = (next(primes_from(20_000, degree)), next(primes_below(LARGEST_PRIME + 1, degree)))
    ring = Ring(degree, primes)
    left, right = random_rows(7, degree, primes), random_rows(8, degree, primes)
    product = ring.inverse(ring.product(ring.transform(left), ring.transform(right)))
    assert (
        product == ring.inverse(ring.times(ring.transform(left), ring.factor(ring.transform(right))))
    ).all()
    for row, prime in enumerate(primes):
        expected = [0] * degree
        for i, a in enumerate(left[row].tolist()):
            for j, b in enumerate(right[row].tolist()):
                expected[(i + j) % degree] += a * b if i + j < degree else -a * b
        assert product[row].tolist() == [number % prime for number in expected]


def test_x_to_the_n_is_minus_one_in_the_largest_ring() -> None:
    parameters = sets.THRESHOLD_T20
    ring = parameters.ring
    rows = random_rows(9, parameters.degree, parameters.primes)
    monomial = np.zeros_like(rows)
    monomial[:, 1] = 1
    turned = ring.inverse(ring.product(ring.transform(rows), ring.transform(monomial)))
    assert (turned[:, 1:] == rows[:, :-1]).all()
    assert (turned[:, 0] == (ring.moduli[:, 0] - rows[:, -1]) % ring.moduli[:, 0]).all()


def test_a_factor_does_not_print() -> None:
    assert repr(RING.factor(random_rows(10, DEGREE, PRIMES))) == "Factor()"
    assert isinstance(RING.factor(random_rows(10, DEGREE, PRIMES)), Factor)


@pytest.mark.parametrize(
    ("degree", "primes"),
    [
        (8, (17,)),
        (6, (1073692673,)),
        (4096, (786433, 786433)),
        (4096, (786433, 40963)),
        (4096, (1073750017,)),
    ],
)
def test_a_ring_is_refused_for_primes_it_is_not_made_for(degree: int, primes: tuple[int, ...]) -> None:
    with pytest.raises(AssertionError):
        Ring(degree, primes)
