"""The transform against SEAL, against Python's integers, and at the ends of its words."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bfl_fabric.he.lattice import parameters as sets
from bfl_fabric.he.lattice.primes import primes_below, primes_from, smallest_root
from bfl_fabric.he.lattice.ring import LARGEST_PRIME, Ring, ring_of
from tests.unit.he.lattice.residues import extreme_rows, random_rows
from tests.unit.he.lattice.seal_oracle import SealOracle

RINGS = sorted({(item.degree, item.primes) for item in sets.PARAMETER_SETS.values()})
EVERY_PRIME = sorted({prime for _, primes in RINGS for prime in primes})


def primes_for(degree: int) -> tuple[int, ...]:
    """Return every prime of ours that this degree allows, and the smallest and the largest there are."""
    ends = (next(primes_from(1 << 15, degree)), next(primes_below(LARGEST_PRIME + 1, degree)))
    return tuple(sorted({prime for prime in EVERY_PRIME if prime % (2 * degree) == 1} | set(ends)))


@pytest.mark.parametrize("degree", [4096, 8192, 16384])
def test_the_transform_is_seals_both_ways_for_every_prime(degree: int) -> None:
    primes = primes_for(degree)
    for first in range(0, len(primes), 8):
        some = primes[first : first + 8]
        oracle, ring = SealOracle(degree, some), Ring(degree, some)
        coefficients = random_rows(degree, degree, some)
        values = oracle.transform(coefficients)
        assert (ring.transform(coefficients) == values).all()
        assert (ring.inverse(values) == coefficients).all()
        assert (oracle.inverse(coefficients) == ring.inverse(coefficients)).all()


@pytest.mark.parametrize(("degree", "primes"), RINGS)
def test_every_sets_transform_comes_back_from_the_extremes(degree: int, primes: tuple[int, ...]) -> None:
    ring = ring_of(degree, primes)
    oracle = SealOracle(degree, primes)
    for rows in [*extreme_rows(degree, primes), random_rows(1, degree, primes)]:
        values = ring.transform(rows)
        assert (values < ring.moduli).all()
        assert (ring.inverse(values) == rows).all()
        assert (ring.transform(ring.inverse(rows)) == rows).all()
    largest = extreme_rows(degree, primes)[1]
    assert (ring.transform(largest) == oracle.transform(largest)).all()
    assert (ring.inverse(largest) == oracle.inverse(largest)).all()


@pytest.mark.parametrize("degree", [2, 4, 8, 16, 32, 64, 512, 1024])
def test_values_stand_at_the_odd_powers_of_psi_in_bit_reversed_order(degree: int) -> None:
    primes = (next(primes_from(20_000, degree)), next(primes_below(LARGEST_PRIME + 1, degree)))
    ring = Ring(degree, primes)
    coefficients = random_rows(degree, degree, primes)
    values = ring.transform(coefficients)
    bits = degree.bit_length() - 1
    for row, prime in enumerate(primes):
        root = smallest_root(prime, 2 * degree)
        for place in {0, 1, degree // 2, degree - 1}:
            point = pow(root, 2 * int(format(place, f"0{bits}b")[::-1], 2) + 1, prime)
            expected = 0
            for coefficient in reversed(coefficients[row].tolist()):
                expected = (expected * point + coefficient) % prime
            assert int(values[row, place]) == expected


def test_the_smallest_root_is_the_smallest() -> None:
    for prime in (97, 193, 7681):
        order = 16
        roots = [root for root in range(1, prime) if pow(root, order // 2, prime) == prime - 1]
        assert smallest_root(prime, order) == min(roots)


def test_a_transform_leaves_its_argument_and_numpys_buffer_as_they_were() -> None:
    parameters = sets.PACKED_SMALL
    rows = random_rows(2, parameters.degree, parameters.primes)
    before, buffer = rows.copy(), np.getbufsize()
    parameters.ring.inverse(parameters.ring.transform(rows))
    assert (rows == before).all()
    assert np.getbufsize() == buffer


def test_results_do_not_share_the_memory_that_a_thread_keeps() -> None:
    parameters = sets.PACKED_SMALL
    one, other = (random_rows(seed, parameters.degree, parameters.primes) for seed in (3, 4))
    values = parameters.ring.transform(one)
    kept = values.copy()
    parameters.ring.transform(other)
    assert (values == kept).all()


def test_threads_do_not_disturb_each_other() -> None:
    parameters = sets.PACKED_S24
    ring = parameters.ring
    rows = [random_rows(seed, parameters.degree, parameters.primes) for seed in range(4)]
    right: list[int] = []

    def work(number: int) -> None:
        results = [ring.inverse(ring.transform(rows[number])) for _ in range(10)]
        right.extend(number for result in results if (result == rows[number]).all())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(right) == [0] * 10 + [1] * 10 + [2] * 10 + [3] * 10
