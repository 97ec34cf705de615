"""Every parameter set against the security table, the noise law, and a count of its own."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.lattice import parameters as module
from bfl_fabric.he.lattice.parameters import PARAMETER_SETS, LatticeParameters, parameters_named, smallest_set
from bfl_fabric.he.lattice.primes import is_prime
from bfl_fabric.he.lattice.ring import LARGEST_PRIME
from tests.unit.he.lattice.vectors import FOLDER

SETS = list(PARAMETER_SETS.values())
every_set = pytest.mark.parametrize("parameters", SETS, ids=lambda item: item.name)


@every_set
def test_primes_are_distinct_primes_that_the_transform_takes(parameters: LatticeParameters) -> None:
    assert len(set(parameters.primes)) == len(parameters.primes)
    for prime in parameters.primes:
        assert is_prime(prime)
        assert all(prime % divisor for divisor in range(2, math.isqrt(prime) + 1))
        assert prime % (2 * parameters.degree) == 1
        assert prime <= LARGEST_PRIME


@every_set
def test_the_modulus_is_below_the_quantum_column_of_the_table(parameters: LatticeParameters) -> None:
    classical = {4096: 109, 8192: 218, 16384: 438, 32768: 881}
    quantum = {4096: 101, 8192: 202, 16384: 411, 32768: 827}
    bits = math.log2(math.prod(parameters.primes))
    assert bits < parameters.modulus_bits <= quantum[parameters.degree] < classical[parameters.degree]
    assert quantum == module.SECURE_BITS_QUANTUM


@every_set
def test_errors_of_the_most_members_never_leave_their_room(parameters: LatticeParameters) -> None:
    if parameters.noise_step:
        assert parameters.noise_bound == 21 * parameters.max_members
        assert 2 * parameters.noise_bound < parameters.noise_step
        assert parameters.noise_step & (parameters.noise_step - 1) == 0
        # the error is taken off as it is from residues of each payload prime
        assert 2 * parameters.noise_step < min(parameters.payload_primes)
        return
    deviation = math.sqrt(
        parameters.max_members * (10.5 + 2 * parameters.max_holders * parameters.degree * 10.5 * 2 / 3)
    )
    smudging = 2**parameters.smudge_bits * math.sqrt(parameters.max_holders)
    assert parameters.noise_bound >= int(8 * deviation) + int(12 * smudging)
    assert 2 * parameters.noise_bound < math.prod(parameters.noise_primes)
    # what must hide the noise is wider than it by the margin that the documentation promises
    assert parameters.smudge_bits - math.log2(deviation) > 44


@every_set
def test_the_largest_sum_is_the_largest_that_every_slot_carries(parameters: LatticeParameters) -> None:
    largest = parameters.largest_sum
    rooms = [math.prod(parameters.primes[row] for row in rows) for rows in parameters.slots]
    if parameters.noise_step:
        # step·value + error, |error| < step/2, must be closest to zero modulo the noise primes
        half = parameters.noise_step // 2
        assert 2 * (largest * parameters.noise_step + half) < rooms[0]
        rooms = rooms[1:]
    assert all(2 * largest < room for room in rooms)


@every_set
def test_slots_are_disjoint_and_use_every_payload_row(parameters: LatticeParameters) -> None:
    rows = [row for slot in parameters.slots for row in slot]
    assert len(rows) == len(set(rows))
    first = len(parameters.noise_primes)
    assert set(rows) | set(range(first)) == set(range(len(parameters.primes)))
    per = parameters.values_per_polynomial()
    assert per == (parameters.degree - parameters.reserved_coefficients) * len(parameters.slots)


@every_set
def test_every_value_has_a_coefficient_that_travels(parameters: LatticeParameters) -> None:
    per, slots = parameters.values_per_polynomial(), len(parameters.slots)
    for count in (1, slots, slots + 1, 8 * slots, per - 1, per, per + 1, 3 * per + 17):
        polynomials = parameters.polynomial_count(count)
        assert (polynomials - 1) * per < count <= polynomials * per
        for polynomial in range(polynomials):
            used = parameters.coefficients_in(polynomial, count)
            last = min(per, count - polynomial * per) - 1
            needed = parameters.reserved_coefficients + last // slots + 1
            assert needed <= used <= parameters.degree
            assert used % 8 == 0
            assert used - needed < 8


def test_the_sets_are_those_of_the_vectors() -> None:
    rows = json.loads((FOLDER / "parameters.json").read_text(encoding="utf-8"))["sets"]
    for row in rows:
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in row["fields"].items()
        }
        made = LatticeParameters(**fields)
        assert made.digest == row["digest"]
        assert parameters_named(row["digest"]) == made
    assert {row["digest"] for row in rows} >= set(PARAMETER_SETS)


@every_set
@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(LatticeParameters)])
def test_the_digest_covers_every_field(parameters: LatticeParameters, field: str) -> None:
    changed = dataclasses.replace(parameters)
    value = getattr(changed, field)
    other = (
        value[::-1] + value[:1]
        if isinstance(value, tuple)
        else value + ("x" if isinstance(value, str) else 1)
    )
    object.__setattr__(changed, field, other)
    changed.__dict__.pop("digest", None)
    assert changed.digest != parameters.digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"degree": 4096}, "too large for degree 4096"),
        ({"degree": 2048}, "not in the security table"),
        ({"primes_per_value": 3}, "left over"),
        ({"max_members": 25}, "errors up to"),
        ({"payload_primes": (737281,) * 12}, "bits is too large"),
    ],
)
def test_numbers_that_do_not_hold_together_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        dataclasses.replace(module.PACKED_S16, **changes)


@pytest.mark.parametrize("changes", [{"smudge_bits": 66}, {"max_holders": 1 << 12}])
def test_smudging_that_does_not_fit_the_noise_primes_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="do not fit the noise primes"):
        dataclasses.replace(module.THRESHOLD_T16, **changes)


def test_an_unknown_digest_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError, match="packed-s16"):
        parameters_named("00" * 32)


@pytest.mark.parametrize(
    ("scheme", "levels", "weight", "members", "parameter_count", "name"),
    [
        ("packed", 2**15 - 1, 10, 10, 1_000_000, "packed-s16"),
        ("packed", 2**23 - 1, 10, 10, 1_000_000, "packed-s24"),
        ("packed", 2**19 - 1, 1000, 1000, 1_000_000, "packed-s20k"),
        ("packed", 2**15 - 1, 32768, 32, 1_000_000, "packed-wide"),
        ("packed", 2**17 - 1, 10, 10, 10_000, "packed-small"),
        ("threshold", 2**15 - 1, 500, 1000, 100_000, "threshold-t16"),
        ("threshold", 2**19 - 1, 1000, 1000, 1_000_000, "threshold-t20"),
    ],
)
def test_a_task_gets_the_set_with_the_smallest_uploads(
    scheme: str, levels: int, weight: int, members: int, parameter_count: int, name: str
) -> None:
    found = smallest_set(scheme, levels * weight, members, parameter_count)
    assert found.name == name
    assert found.largest_sum >= levels * weight
    assert found.max_members >= members


def test_a_task_that_no_set_carries_is_refused_with_what_the_widest_carries() -> None:
    with pytest.raises(ConfigurationError, match="the widest carries"):
        smallest_set("packed", 1 << 60, 10, 1000)
    with pytest.raises(ConfigurationError, match="there is none"):
        smallest_set("unheard-of", 1, 1, 1)
