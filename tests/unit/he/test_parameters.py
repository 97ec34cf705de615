"""The parameter set: pinned, secure by the table, and wide enough for its noise."""

from __future__ import annotations

import dataclasses

import pytest

from bfl_chaincode.api import canonical
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.parameters import CKKS_N4096, CKKS_N4096_R64, SECURE_BITS_QUANTUM, parameters_named


def test_the_digest_of_the_default_set_is_pinned() -> None:
    assert CKKS_N4096.digest == "0e5f5ba5c847ccece0826efd61a3915cc774ffec5a924d1bed28b5c65933014f"
    fields = dataclasses.asdict(CKKS_N4096)
    assert fields.pop("reserved_coefficients") == 0
    assert canonical.digest(fields) == CKKS_N4096.digest
    assert CKKS_N4096_R64.digest == "a8fafa2bff615e40823959d9f96c70966bc63672fdea38f1a931725c464e87f1"
    assert canonical.digest(dataclasses.asdict(CKKS_N4096_R64)) == CKKS_N4096_R64.digest
    assert parameters_named(CKKS_N4096.digest) is CKKS_N4096


def test_an_unknown_digest_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no parameter set has the digest"):
        parameters_named("00" * 32)


def test_seal_chooses_the_same_primes_and_calls_them_secure() -> None:
    from tenseal import sealapi

    widths = [CKKS_N4096.data_prime.bit_length(), CKKS_N4096.special_prime.bit_length()]
    primes = sealapi.CoeffModulus.Create(CKKS_N4096.degree, widths)
    assert [prime.value() for prime in primes] == [CKKS_N4096.data_prime, CKKS_N4096.special_prime]
    classical = sealapi.CoeffModulus.MaxBitCount(CKKS_N4096.degree, sealapi.SEC_LEVEL_TYPE.TC128)
    assert CKKS_N4096.modulus_bits <= SECURE_BITS_QUANTUM[CKKS_N4096.degree] < classical == 109


def test_a_quarter_step_is_eight_sigmas_of_the_largest_sum() -> None:
    quarter = 2**CKKS_N4096.step_bits / 4
    assert quarter >= 8 * CKKS_N4096.sum_noise(CKKS_N4096.max_members)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"max_members": 4096}, "noise of 4096 members"),
        ({"step_bits": 12}, "noise of 1024 members"),
        ({"sum_bits": 45}, "does not fit the data prime"),
        ({"degree": 4095}, "not in the security table"),
        ({"degree": 2048}, "not in the security table"),
        ({"data_prime": 1152921504606830592}, "is not 1 modulo 8192"),
        ({"special_prime": 1152921504606830593}, "modulus of 120 bits"),
        ({"special_prime": 8380417}, "has 23 bits"),
    ],
)
def test_numbers_that_do_not_hold_together_are_refused(change: dict[str, int], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        dataclasses.replace(CKKS_N4096, **change)  # type: ignore[arg-type]


def test_every_field_changes_the_digest() -> None:
    smaller = dataclasses.replace(CKKS_N4096, max_members=512)
    renamed = dataclasses.replace(CKKS_N4096, library="tenseal 0.3.15")
    assert len({CKKS_N4096.digest, smaller.digest, renamed.digest}) == 3
