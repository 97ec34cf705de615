"""Polynomials as sums have them: read from their bytes, checked and added without ever standing in rows.

Turning packed numbers into a row takes longer than adding them. So a running sum is in *columns*, uint64[8, L·c/8]:
number i of row l is at [i mod 8, l·c/8 + i div 8], c coefficients, L primes; `rows` turns it once at the end. numpy is
called for all rows of a width at once, because threads hinder each other in between calls.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.he.lattice.bits import GROUP, WINDOW_BYTES, cut_windows, read_windows
from bfl_fabric.he.lattice.bodies import RawPolynomial, sizes
from bfl_fabric.he.lattice.messages import require
from bfl_fabric.he.lattice.modular import unbuffered
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.lattice.threads import do_each


class _Scratch(threading.local):
    """A thread's memory for one polynomial: asking the system for it every time takes longer than the work."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, dtype=np.uint8)
        self._numbers = np.empty(0, dtype=np.uint64)

    def arrays(self, length: int, columns: int) -> tuple[NDArray[np.uint8], Residues]:
        """Return uint8[length] and uint64[8, columns], valid until the next call."""
        if self._bytes.size < length or self._numbers.size < GROUP * columns:
            self._bytes = np.zeros(length, dtype=np.uint8)
            self._numbers = np.empty(GROUP * columns, dtype=np.uint64)
        return self._bytes[:length], self._numbers[: GROUP * columns].reshape(GROUP, columns)


_SCRATCH = _Scratch()


def zeros(parameters: LatticeParameters, parameter_count: int) -> list[Residues]:
    """Return an empty sum: for each mask and then each polynomial its columns."""
    return [zero(parameters, size) for size in sizes(parameters, parameter_count)]


def zero(parameters: LatticeParameters, coefficients: int) -> Residues:
    """Return the columns of a polynomial of zeros."""
    return np.zeros((GROUP, len(parameters.primes) * coefficients // GROUP), dtype=np.uint64)


@unbuffered
def checked_columns(parameters: LatticeParameters, raw: RawPolynomial) -> Residues:
    """Return a mask's or polynomial's columns, valid until the next call in this thread.

    Raises:
        MalformedInput: a residue is not below its prime, or a mask is zero modulo a prime.
    """
    each_has, length = raw.coefficients // GROUP, len(raw.data)
    padded, columns = _SCRATCH.arrays(length + WINDOW_BYTES, len(parameters.primes) * each_has)
    padded[:length] = np.frombuffer(raw.data, dtype=np.uint8)
    start = first = 0
    for width, rows in groupby(parameters.widths):
        last = first + len(list(rows)) * each_has
        read_windows(padded, start, width, columns[:, first:last])
        start, first = start + (last - first) * width, last
    cut_windows(columns.reshape(GROUP, -1, each_has), parameters.widths)
    largest = columns.max(axis=0).reshape(len(parameters.primes), each_has).max(axis=1)
    for row, prime in zip(largest, parameters.primes, strict=True):
        require(int(row) < prime, f"a residue is not below its prime {prime}")
    if raw.is_mask:
        require(bool(largest.all()), f"mask {raw.number} is all zero modulo a prime: it hides nothing")
    return columns


def check_polynomials(parameters: LatticeParameters, polynomials: Iterable[RawPolynomial]) -> None:
    """Check every mask and every polynomial, while they are read. Raises MalformedInput."""

    def check(raw: RawPolynomial) -> None:
        checked_columns(parameters, raw)

    do_each(check, polynomials)


def rows(parameters: LatticeParameters, columns: Residues) -> Residues:
    """Return columns as uint64[L, coefficients]."""
    count = len(parameters.primes)
    return columns.reshape(GROUP, count, -1).transpose(1, 2, 0).reshape(count, -1)
