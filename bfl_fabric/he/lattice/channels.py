"""Where each value of an update stands: polynomial, coefficient, rows; and how an opened sum is read back.

Value v of polynomial p is coefficient R + v div S in slot v mod S, S the number of slots, R the number of reserved
coefficients: so the last polynomial uses few coefficients and all rows, and only the coefficients in use travel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.he.lattice.modular import (
    Integers,
    Residues,
    centred,
    signed_residues,
    unbuffered,
    wrapped_residues,
)
from bfl_fabric.he.lattice.parameters import LatticeParameters

_REFUSAL = "it does not open to a well-formed sum"


@unbuffered
def message_polynomial(parameters: LatticeParameters, values: NDArray[np.int64], polynomial: int) -> Residues:
    """Return polynomial number `polynomial` of the message, uint64[L, N], zeros where no value stands.

    Args:
        parameters: the set.
        values: all values of the update, int64[parameter_count], each at most `largest_sum` in magnitude.
        polynomial: from 0.
    """
    per, slots = parameters.values_per_polynomial(), len(parameters.slots)
    part = values[polynomial * per : (polynomial + 1) * per]
    coefficients, left = divmod(part.size, slots)
    table = np.zeros((slots, parameters.degree), dtype=np.int64)
    used = table[:, parameters.reserved_coefficients :]
    used[:, :coefficients] = part[: part.size - left].reshape(coefficients, slots).T
    if left:
        used[:left, coefficients] = part[part.size - left :]
    first = len(parameters.noise_primes)
    message = np.zeros((len(parameters.primes), parameters.degree), dtype=np.uint64)
    if parameters.noise_step:
        message[:first] = _residues(table[:1] * parameters.noise_step, parameters.noise_primes)
        table = table[1:]
    if parameters.primes_per_value > 1:
        table = table.repeat(parameters.primes_per_value, axis=0)
    message[first:] = _residues(table, parameters.payload_primes)
    return message


@unbuffered
def opened_values(
    parameters: LatticeParameters, opened: Residues, error_bound: int, count: int
) -> NDArray[np.int64]:
    """Return the exact values int64[count] of an opened polynomial, message plus error, uint64[L, coefficients].

    The error, which is known exactly here, is held against its bound and dropped: it must never leave this call.

    Raises:
        KeyHolderRefused: the error is beyond `error_bound` somewhere, or a reserved or unused place is not zero. The
            text is the same for every cause.
    """
    first = len(parameters.noise_primes)
    noise, payload = opened[:first].view(np.int64), opened[first:].view(np.int64)
    table = np.empty((opened.shape[1], len(parameters.slots)), dtype=np.int64)
    if parameters.noise_step:
        error, table[:, 0] = _split(parameters, noise, error_bound)
        # the error is smaller than half a prime, so this is within what `centred` and `_joined` take
        table[:, 1:] = _joined(payload - error, parameters).T
    else:
        error = _error_modulo_payload(parameters, noise, error_bound)
        table[:] = _joined(
            signed_residues(payload - error, _column(parameters.payload_primes)).view(np.int64), parameters
        ).T
    reserved = parameters.reserved_coefficients
    flat = table[reserved:].reshape(-1)
    if table[:reserved].any() or flat[count:].any():
        raise KeyHolderRefused(_REFUSAL)
    return flat[:count].copy()


def _residues(integers: Integers, primes: Sequence[int]) -> Residues:
    if integers.size and max(int(integers.max()), -int(integers.min())) < min(primes):
        return wrapped_residues(integers, _column(primes))
    return signed_residues(integers, _column(primes))


def _split(parameters: LatticeParameters, rows: Integers, error_bound: int) -> tuple[Integers, Integers]:
    """Return error and value where the noise primes carry step·value + error. Raises KeyHolderRefused."""
    digits = _mixed_radix(rows, parameters.noise_primes)
    both = centred(_number(digits, parameters.noise_primes), np.int64(parameters.noise_modulus))
    values = (both + parameters.noise_step // 2) // parameters.noise_step
    error = both - values * parameters.noise_step
    if error.size and max(int(error.max()), -int(error.min())) > error_bound:
        raise KeyHolderRefused(_REFUSAL)
    return error, values


def _error_modulo_payload(parameters: LatticeParameters, rows: Integers, error_bound: int) -> Integers:
    """Return numbers below 2^62 that are the error modulo each payload prime. Raises KeyHolderRefused.

    The error does not fit a word: it stays in mixed radix, with the bound added so that it is not negative.
    """
    primes = parameters.noise_primes
    digits = _mixed_radix(rows + _column([error_bound % prime for prime in primes]), primes)
    beyond = np.zeros(rows.shape[1], dtype=np.bool_)
    limit = 2 * error_bound
    for digit, prime in zip(digits, primes, strict=True):
        limit, lowest = divmod(limit, prime)
        beyond = (digit > lowest) | ((digit == lowest) & beyond)
    if beyond.any():
        raise KeyHolderRefused(_REFUSAL)
    payload = parameters.payload_primes
    total = np.zeros((len(payload), rows.shape[1]), dtype=np.int64)
    for index, digit in enumerate(digits):
        weight = math.prod(primes[:index])
        total += digit * _column([weight % prime for prime in payload])
    return total - _column([error_bound % prime for prime in payload])


def _joined(rows: Integers, parameters: LatticeParameters) -> Integers:
    """Return the value closest to zero that each group of rows carries, int64[values, coefficients]."""
    each, primes = parameters.primes_per_value, parameters.payload_primes
    if each == 1:
        return centred(rows, _column(primes))
    values = np.empty((len(primes) // each, rows.shape[1]), dtype=np.int64)
    for index, value in enumerate(values):
        group = slice(index * each, (index + 1) * each)
        digits = _mixed_radix(rows[group], primes[group])
        value[:] = centred(_number(digits, primes[group]), np.int64(math.prod(primes[group])))
    return values


def _mixed_radix(rows: Integers, primes: Sequence[int]) -> list[Integers]:
    """Return digits d with number = d0 + d1·p0 + d2·p0·p1, of numbers given below 2^31 modulo up to three primes.

    Garner (1959). A digit is (row − number so far)/(p0·p1·…), computed in one sum below 2^63.
    """
    digits: list[Integers] = []
    for index, (row, prime) in enumerate(zip(rows, primes, strict=True)):
        inverse = pow(math.prod(primes[:index]), -1, prime)
        total = row * inverse
        for lower, digit in enumerate(digits):
            total -= digit * (math.prod(primes[:lower]) * inverse % prime)
        digits.append(signed_residues(total, np.int64(prime)).view(np.int64))
    return digits


def _number(digits: Sequence[Integers], primes: Sequence[int]) -> Integers:
    """Return a number below 2^62 from its digits."""
    total = digits[0].copy()
    for index, digit in enumerate(digits[1:], start=1):
        total += digit * math.prod(primes[:index])
    return total


def _column(numbers: Sequence[int]) -> Integers:
    return np.array(numbers, dtype=np.int64)[:, None]
