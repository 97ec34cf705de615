"""Primes for number-theoretic transforms: p ≡ 1 modulo 2·degree, and roots of unity as SEAL chooses them."""

from __future__ import annotations

from collections.abc import Iterator

_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


def is_prime(number: int) -> bool:
    """Say whether a number below 2^64 is prime (Miller–Rabin with witnesses that decide all of them)."""
    if number < 2 or any(number % small == 0 for small in _WITNESSES):
        return number in _WITNESSES
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_passes(number, witness, odd, twos) for witness in _WITNESSES)


def _passes(number: int, witness: int, odd: int, twos: int) -> bool:
    power = pow(witness, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def primes_from(least: int, degree: int) -> Iterator[int]:
    """Yield the primes p ≥ `least` with p ≡ 1 modulo 2·degree, ascending."""
    step = 2 * degree
    candidate = -(-(least - 1) // step) * step + 1
    while True:
        if is_prime(candidate):
            yield candidate
        candidate += step


def primes_below(limit: int, degree: int) -> Iterator[int]:
    """Yield the primes p < `limit` with p ≡ 1 modulo 2·degree, descending."""
    step = 2 * degree
    candidate = (limit - 2) // step * step + 1
    while candidate > 1:
        if is_prime(candidate):
            yield candidate
        candidate -= step


def smallest_root(prime: int, order: int) -> int:
    """Return the smallest primitive root of unity of this order (a power of two), as SEAL chooses it."""
    root = next(
        candidate
        for candidate in (pow(base, (prime - 1) // order, prime) for base in range(2, prime))
        if pow(candidate, order // 2, prime) == prime - 1
    )
    square = root * root % prime
    smallest = current = root
    for _ in range(order // 2):
        current = current * square % prime
        smallest = min(smallest, current)
    return smallest
