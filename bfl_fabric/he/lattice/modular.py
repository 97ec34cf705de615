"""Numbers modulo primes below 2^30, in numpy: signed numbers brought into range, and numpy's loops kept long.

Division is slow, so a number is reduced by a quotient in float64: it may be off by one, never by more, and what that
does is said at each place. Moduli are an array that broadcasts: one number, or a column with one for each row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Residues: TypeAlias = NDArray[np.uint64]
Integers: TypeAlias = NDArray[np.int64]

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_SMALLEST_BUFFER = 16


def unbuffered(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Let numpy work in place on slices and on broadcast columns.

    With its usual buffer of 8,192 numbers numpy copies all runs that are shorter, which takes longer than the
    arithmetic. The setting is of the calling thread and is put back. Operands of a ufunc must be of one type.
    """

    @wraps(function)
    def wrapped(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        before = np.setbufsize(_SMALLEST_BUFFER)
        try:
            return function(*args, **kwargs)
        finally:
            np.setbufsize(before)

    return wrapped


@unbuffered
def signed_residues(integers: Integers, moduli: Integers | np.int64) -> Residues:
    """Return any int64 numbers modulo primes above 2^13, each from 0 below its prime.

    The quotient is off by 1/2 for the rounding and by less than 2^63·2^−51/2^13 = 1/2 for float64, so the rest is
    within one prime of zero.
    """
    quotient = integers.astype(np.float64) * (1.0 / moduli)
    np.rint(quotient, out=quotient)
    rest = quotient.astype(np.int64)
    rest *= moduli
    np.subtract(integers, rest, out=rest)
    return wrapped_residues(rest, moduli)


@unbuffered
def wrapped_residues(integers: Integers, moduli: Integers | np.int64) -> Residues:
    """Return numbers smaller in magnitude than their prime, from 0 below it.

    As an unsigned word a negative number is larger than its sum with the prime, any other is smaller.
    """
    words = integers.view(np.uint64)
    residues = words + moduli.view(np.uint64)
    np.minimum(residues, words, out=residues)
    return residues


@unbuffered
def centred(numbers: Integers, modulus: Integers | np.int64) -> Integers:
    """Return numbers above −m/2 and below 3·m/2 as the representatives closest to zero, m odd and below 2^62."""
    excess = modulus // 2 - numbers
    excess >>= np.int64(63)  # all bits set where the number is beyond the half
    excess &= modulus
    np.subtract(numbers, excess, out=excess)
    return excess
