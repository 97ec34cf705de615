"""Where each value of an update stands: polynomial, coefficient, rows; and how an opened sum is read back.

Value v of polynomial p is coefficient R + v div S in slot v mod S, S the number of slots, R the number of reserved
coefficients: so the last polynomial uses few coefficients and all rows, and only the coefficients in use travel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.ring import Residues

_REFUSAL = "it does not open to a well-formed sum"


def message_polynomial(parameters: LatticeParameters, values: NDArray[np.int64], polynomial: int) -> Residues:
    """Return polynomial number `polynomial` of the message, uint64[L, N], zeros where no value stands.

    Args:
        parameters: the set.
        values: all values of the update, int64[parameter_count], each at most `largest_sum` in magnitude.
        polynomial: from 0.
    """
    per, slots = parameters.values_per_polynomial(), parameters.slots
    part = values[polynomial * per : (polynomial + 1) * per]
    table = np.zeros((parameters.degree, len(slots)), dtype=np.int64)
    table[parameters.reserved_coefficients :].reshape(-1)[: part.size] = part
    message = np.zeros((len(parameters.primes), parameters.degree), dtype=np.uint64)
    for slot, rows in enumerate(slots):
        column = (
            table[:, slot] * np.int64(parameters.noise_step)
            if _is_noise(parameters, slot)
            else table[:, slot]
        )
        for row in rows:
            prime = np.int64(parameters.primes[row])
            message[row] = np.remainder(column, prime).astype(np.uint64)
    return message


def opened_values(
    parameters: LatticeParameters, opened: Residues, error_bound: int, count: int
) -> NDArray[np.int64]:
    """Return the exact values int64[count] of an opened polynomial, message plus error, uint64[L, coefficients].

    The error, which is known exactly here, is held against its bound and dropped: it must never leave this call.

    Raises:
        KeyHolderRefused: the error is beyond `error_bound` somewhere, or a reserved or unused place is not zero. The
            text is the same for every cause.
    """
    noise_rows = len(parameters.noise_primes)
    error, noise_values = _split_noise(parameters, opened[:noise_rows], error_bound)
    slots, coefficients = parameters.slots, opened.shape[1]
    table = np.empty((coefficients, len(slots)), dtype=np.int64)
    for slot, rows in enumerate(slots):
        if _is_noise(parameters, slot):
            table[:, slot] = noise_values
        else:
            primes = [parameters.primes[row] for row in rows]
            residues = [
                (opened[row] + parameters.primes[row] - error.modulo(parameters.primes[row])) for row in rows
            ]
            digits = _mixed_radix(
                [part % prime for part, prime in zip(residues, primes, strict=True)], primes
            )
            table[:, slot] = _centred(digits, primes)
    reserved = parameters.reserved_coefficients
    flat = table[reserved:].reshape(-1)
    if table[:reserved].any() or flat[count:].any():
        raise KeyHolderRefused(_REFUSAL)
    return flat[:count].copy()


def _is_noise(parameters: LatticeParameters, slot: int) -> bool:
    return bool(parameters.noise_step) and slot == 0


class _Error:
    """An exact error in mixed radix, shifted by `shift` so that it is not negative."""

    def __init__(self, digits: list[Residues], primes: list[int], shift: int) -> None:
        self._digits, self._primes, self._shift = digits, primes, shift

    def modulo(self, prime: int) -> Residues:
        """Return the error modulo another prime."""
        total, weight = np.zeros_like(self._digits[0]), 1
        for digit, radix in zip(self._digits, self._primes, strict=True):
            total += digit % np.uint64(prime) * np.uint64(weight % prime)
            weight *= radix
        return (total + np.uint64(-self._shift % prime)) % np.uint64(prime)


def _split_noise(
    parameters: LatticeParameters, rows: Residues, error_bound: int
) -> tuple[_Error, NDArray[np.int64]]:
    """Return the error, and the values of slot 0 in the scheme `packed`. Raises KeyHolderRefused."""
    primes = list(parameters.noise_primes)
    if parameters.noise_step:
        combined = _centred(_mixed_radix(list(rows), primes), primes)
        step = np.int64(parameters.noise_step)
        values = (combined + step // 2) // step
        error = combined - values * step
        if np.abs(error).max(initial=0) > error_bound:
            raise KeyHolderRefused(_REFUSAL)
        shift = parameters.noise_step
        return _Error([(error + shift).astype(np.uint64)], [1 << 62], shift), values
    shift = error_bound
    shifted = [
        (row + np.uint64(shift % prime)) % np.uint64(prime) for row, prime in zip(rows, primes, strict=True)
    ]
    digits = _mixed_radix(shifted, primes)
    # error + bound must be at most 2·bound: compared from the highest digit, in its own units
    below = math.prod(primes[:-1])
    if digits[-1].max(initial=0) > 2 * error_bound // below:
        raise KeyHolderRefused(_REFUSAL)
    return _Error(digits, primes, shift), np.zeros(0, dtype=np.int64)


def _mixed_radix(residues: list[Residues], primes: list[int]) -> list[Residues]:
    """Return digits d with number = d0 + d1·p0 + d2·p0·p1 + … (Garner 1959)."""
    digits: list[Residues] = []
    for index, (residue, prime) in enumerate(zip(residues, primes, strict=True)):
        modulus, rest = np.uint64(prime), residue
        for digit, radix in zip(digits, primes[:index], strict=True):
            difference = rest + modulus - digit % modulus
            rest = difference % modulus * np.uint64(pow(radix, -1, prime)) % modulus
        digits.append(rest)
    return digits


def _centred(digits: list[Residues], primes: list[int]) -> NDArray[np.int64]:
    """Return the representative closest to zero of a number below 2^62 in mixed radix."""
    total, weight = np.zeros(digits[0].shape, dtype=np.int64), 1
    for digit, radix in zip(digits, primes, strict=True):
        total += digit.astype(np.int64) * np.int64(weight)
        weight *= radix
    return np.where(total > weight // 2, total - np.int64(weight), total)
