"""Columns hold what rows hold, and refuse what rows refuse."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfl_fabric.errors import MalformedInput
from bfl_fabric.he.lattice.bodies import RawPolynomial, checked
from bfl_fabric.he.lattice.columns import checked_columns, rows, zero
from bfl_fabric.he.lattice.messages import Expansion, Header, Kind, Reader, encode_polynomial
from bfl_fabric.he.lattice.parameters import PARAMETER_SETS, LatticeParameters
from bfl_fabric.he.lattice.ring import Residues

SETS = sorted(PARAMETER_SETS.values(), key=lambda item: item.name)
every_set = pytest.mark.parametrize("parameters", SETS, ids=lambda item: item.name)


def residues(parameters: LatticeParameters, coefficients: int, seed: int = 1) -> Residues:
    random = np.random.default_rng(seed)
    return np.stack([random.integers(0, prime, coefficients, dtype=np.uint64) for prime in parameters.primes])


def raw(parameters: LatticeParameters, numbers: Residues, is_mask: bool = False) -> RawPolynomial:
    return RawPolynomial(3, is_mask, numbers.shape[1], encode_polynomial(parameters, numbers))


def reader(parameters: LatticeParameters) -> Reader:
    expansion = Expansion.AES_CTR if parameters.noise_step else Expansion.NONE
    seed = b"s" * 32 if parameters.noise_step else bytes(32)
    header = Header(
        Kind.UPDATE, parameters.digest, 1, 1, 1, 1, 1, expansion=expansion, seed=seed, subject=b"k" * 32,
        task_id="t", author="a",
    ).encode()  # fmt: skip
    return Reader(io.BytesIO(header), len(header), parameters, Kind.UPDATE)


@every_set
@settings(max_examples=15, deadline=None)
@given(groups=st.integers(1, 200), seed=st.integers(0, 1 << 32))
def test_columns_are_the_rows_in_another_order(parameters: LatticeParameters, groups: int, seed: int) -> None:
    numbers = residues(parameters, 8 * groups, seed)
    read = checked_columns(parameters, raw(parameters, numbers))
    assert (rows(parameters, read) == numbers).all()
    assert (checked(reader(parameters), raw(parameters, numbers)) == numbers).all()


@every_set
def test_sums_of_columns_are_the_sums_of_rows_whatever_was_read_between(
    parameters: LatticeParameters,
) -> None:
    parts = [residues(parameters, 8 * 64, seed) for seed in range(5)]
    total = zero(parameters, 8 * 64)
    for part in parts:
        total += checked_columns(parameters, raw(parameters, part))
        checked_columns(parameters, raw(parameters, residues(parameters, 8 * 100)))
    assert (rows(parameters, total) == sum(parts)).all()


@every_set
def test_a_prime_itself_is_refused_at_every_place(parameters: LatticeParameters) -> None:
    for row, prime in enumerate(parameters.primes):
        for place in (0, 7, 8, 63):
            numbers = residues(parameters, 64)
            numbers[row, place] = prime - 1
            checked_columns(parameters, raw(parameters, numbers))
            numbers[row, place] = prime
            with pytest.raises(MalformedInput, match=f"a residue is not below its prime {prime}"):
                checked_columns(parameters, raw(parameters, numbers))
            with pytest.raises(MalformedInput, match=f"a residue is not below its prime {prime}"):
                checked(reader(parameters), raw(parameters, numbers))


@every_set
def test_a_mask_of_zeros_modulo_one_prime_is_refused_and_a_polynomial_is_not(
    parameters: LatticeParameters,
) -> None:
    for row in range(len(parameters.primes)):
        numbers = residues(parameters, 64)
        numbers[row] = 0
        checked_columns(parameters, raw(parameters, numbers))
        with pytest.raises(MalformedInput, match="mask 3 is all zero modulo a prime"):
            checked_columns(parameters, raw(parameters, numbers, is_mask=True))
        numbers[row, 9] = 1
        checked_columns(parameters, raw(parameters, numbers, is_mask=True))
