"""Numbers brought into range, at the places where a float64 quotient is off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfl_fabric.he.lattice.modular import centred, signed_residues, unbuffered, wrapped_residues

PRIMES = [12289, 40961, 786433, 671137793, 1073643521]
LIMIT = 1 << 63


@pytest.mark.parametrize("prime", PRIMES)
def test_numbers_beside_multiples_are_reduced_exactly(prime: int) -> None:
    numbers = [-LIMIT, LIMIT - 1]
    for size in range(1, 63):
        multiple = (1 << size) // prime * prime
        numbers += [sign * multiple + beside for sign in (1, -1) for beside in (-1, 0, 1)]
        numbers += [sign * (multiple + prime // 2) + beside for sign in (1, -1) for beside in (-1, 0, 1, 2)]
    numbers = [number for number in numbers if -LIMIT <= number < LIMIT]
    residues = signed_residues(np.array(numbers, dtype=np.int64), np.int64(prime))
    assert residues.tolist() == [number % prime for number in numbers]


@given(st.lists(st.integers(-LIMIT, LIMIT - 1), min_size=1, max_size=50), st.sampled_from(PRIMES))
def test_any_number_is_reduced_exactly(numbers: list[int], prime: int) -> None:
    residues = signed_residues(np.array(numbers, dtype=np.int64), np.int64(prime))
    assert residues.tolist() == [number % prime for number in numbers]


@given(st.sampled_from([3, 12289, 1073643521, 12289 * 1073643521, (1 << 62) - 1]), st.data())
def test_the_representative_closest_to_zero_is_found(modulus: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(-(modulus // 2), modulus + modulus // 2))
    result = int(centred(np.array([number], dtype=np.int64), np.int64(modulus))[0])
    assert (result - number) % modulus == 0
    assert -(modulus // 2) <= result <= modulus // 2


def test_small_numbers_wrap_around() -> None:
    numbers = np.array([[0, 1, -1, 12288, -12288]], dtype=np.int64)
    moduli = np.array([[12289], [786433]], dtype=np.int64)
    assert wrapped_residues(numbers, moduli).tolist() == [
        [number % prime for number in numbers[0].tolist()] for prime in (12289, 786433)
    ]


def test_numpys_buffer_is_put_back_even_after_an_error() -> None:
    before = np.getbufsize()

    @unbuffered
    def failing() -> None:
        assert np.getbufsize() < before
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert np.getbufsize() == before
