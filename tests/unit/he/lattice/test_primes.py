"""Primes and roots against trial division and against search."""

from __future__ import annotations

import itertools
import math

from bfl_fabric.he.lattice.primes import is_prime, primes_below, primes_from


def by_division(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def test_primality_is_that_of_trial_division() -> None:
    for number in [*range(3000), *range((1 << 30) - 200, 1 << 30)]:
        assert is_prime(number) == by_division(number)


def test_strong_pseudoprimes_to_the_first_witnesses_are_composite() -> None:
    # the smallest to the first 1, 2, … 11 primes (Jaeschke 1993; Jiang and Deng 2014)
    for number in (
        2047, 1373653, 25326001, 3215031751, 2152302898747, 3474749660383, 341550071728321, 3825123056546413051,
    ):  # fmt: skip
        assert not is_prime(number)


def test_primes_come_in_order_and_none_is_left_out() -> None:
    degree, step = 64, 128
    ascending = list(itertools.islice(primes_from(1000, degree), 20))
    every = [n for n in range(1000, ascending[-1] + 1) if n % step == 1 and by_division(n)]
    assert ascending == every
    limit = ascending[-1] + 1
    assert list(itertools.takewhile(lambda p: p >= 1000, primes_below(limit, degree))) == every[::-1]
    assert next(primes_from(ascending[3], degree)) == ascending[3]
    assert next(primes_below(ascending[3], degree)) == ascending[2]
