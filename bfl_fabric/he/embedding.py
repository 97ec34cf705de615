"""Between polynomial coefficients and the complex slots that SEAL's CKKS encoder takes.

The integers of an update are the coefficients of the plaintext polynomial. The encoder takes values at the complex
roots instead: slot j is the value at ζ^(3^j), ζ = exp(iπ/N). Going through the slots costs one FFT on each side and
puts 4,096 values where real slots would hold 2,048.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Coefficients: TypeAlias = NDArray[np.float64]
Slots: TypeAlias = NDArray[np.complex128]

_GENERATOR = 3


def to_slots(coefficients: Coefficients) -> Slots:
    """Return the degree/2 slots of a polynomial with these real coefficients."""
    degree = coefficients.size
    twist, places, _ = _tables(degree)
    # ifft(x)·N is Σ x_k·exp(+2πi·jk/N): the value at ζ^(2j+1) once x is twisted by ζ^k
    values: Slots = np.fft.ifft(coefficients * twist) * degree
    return values[places]


def to_coefficients(slots: Slots) -> Coefficients:
    """Return the real coefficients of the polynomial with these slots."""
    degree = 2 * slots.size
    twist, places, mirrored = _tables(degree)
    values = np.empty(degree, dtype=np.complex128)
    values[places] = slots
    values[mirrored] = slots.conj()
    result: Coefficients = (np.fft.fft(values) / degree * twist.conj()).real
    return result


@lru_cache(maxsize=4)
def _tables(degree: int) -> tuple[Slots, NDArray[np.intp], NDArray[np.intp]]:
    """Return ζ^k, and where slot j and its conjugate stand among the odd powers of ζ."""
    twist: Slots = np.exp(1j * np.pi * np.arange(degree) / degree)
    powers = np.empty(degree // 2, dtype=np.intp)
    power = 1
    for index in range(degree // 2):
        powers[index] = power
        power = power * _GENERATOR % (2 * degree)
    return twist, (powers - 1) // 2, (2 * degree - powers - 1) // 2
