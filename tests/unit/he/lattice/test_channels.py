"""Values into polynomials and back: exact at every bound, refused one beyond."""

from __future__ import annotations

import numpy as np
import pytest

from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.he.lattice.channels import message_polynomial, opened_values
from bfl_fabric.he.lattice.parameters import PARAMETER_SETS, LatticeParameters
from bfl_fabric.he.lattice.ring import Residues

SETS = list(PARAMETER_SETS.values())
WORDS = r"^it does not open to a well-formed sum$"
every_set = pytest.mark.parametrize("parameters", SETS, ids=lambda item: item.name)


def bound_of(parameters: LatticeParameters, members: int) -> int:
    return 21 * members if parameters.noise_step else parameters.noise_bound


def with_errors(parameters: LatticeParameters, message: Residues, errors: list[int]) -> Residues:
    """Return message + errors on the leading coefficients, by Python's integers."""
    rows = [
        [(int(number) + error) % prime for number, error in zip(row, errors, strict=False)]
        for row, prime in zip(message, parameters.primes, strict=True)
    ]
    return np.array(rows, dtype=np.uint64)


def extreme_values(parameters: LatticeParameters, count: int) -> np.ndarray:
    largest = parameters.largest_sum
    values = np.random.default_rng(count).integers(-largest, largest + 1, count)
    ends = np.array([largest, -largest, largest - 1, 1 - largest, 0, 1, -1], dtype=np.int64)
    at = np.random.default_rng(1).integers(0, len(ends), count)
    return np.where(np.arange(count) % 2 == 0, ends[at], values)


@every_set
def test_a_polynomial_carries_its_values_where_the_specification_says(parameters: LatticeParameters) -> None:
    per, slots = parameters.values_per_polynomial(), parameters.slots
    values = extreme_values(parameters, per + 2 * len(slots) + 1)
    for polynomial in range(2):
        message = message_polynomial(parameters, values, polynomial)
        expected = np.zeros(message.shape, dtype=np.uint64)
        for place, value in enumerate(values[polynomial * per : (polynomial + 1) * per].tolist()):
            coefficient, slot = divmod(place, len(slots))
            carried = value * parameters.noise_step if parameters.noise_step and slot == 0 else value
            for row in slots[slot]:
                where = parameters.reserved_coefficients + coefficient
                expected[row, where] = carried % parameters.primes[row]
        assert (message == expected).all()


@every_set
@pytest.mark.parametrize("members", [1, 12])
def test_sums_open_exactly_at_both_ends_of_values_and_errors(
    parameters: LatticeParameters, members: int
) -> None:
    count = 40 * len(parameters.slots)
    values = extreme_values(parameters, count)
    bound = bound_of(parameters, members)
    used = parameters.coefficients_in(0, count)
    message = message_polynomial(parameters, values, 0)
    for errors in (
        [bound] * used,
        [-bound] * used,
        [bound, -bound] * (used // 2),
        [0, 1, -1, bound - 1] * (used // 4),
    ):
        opened = with_errors(parameters, message, errors)
        assert (opened_values(parameters, opened, bound, count) == values).all()


@every_set
@pytest.mark.parametrize("sign", [1, -1])
def test_an_error_one_beyond_its_bound_is_refused(parameters: LatticeParameters, sign: int) -> None:
    count = 40 * len(parameters.slots)
    message = message_polynomial(parameters, extreme_values(parameters, count), 0)
    used = parameters.coefficients_in(0, count)
    bound = bound_of(parameters, 5)
    for where in (0, used - 1):
        errors = [0] * used
        errors[where] = sign * (bound + 1)
        with pytest.raises(KeyHolderRefused, match=WORDS):
            opened_values(parameters, with_errors(parameters, message, errors), bound, count)


@every_set
def test_residues_drawn_at_random_do_not_open(parameters: LatticeParameters) -> None:
    generator = np.random.default_rng(3)
    rows = np.stack([generator.integers(0, prime, 64, dtype=np.uint64) for prime in parameters.primes])
    with pytest.raises(KeyHolderRefused):
        opened_values(parameters, rows, bound_of(parameters, 1), 64)


@every_set
def test_an_unused_or_reserved_place_must_be_zero(parameters: LatticeParameters) -> None:
    slots = len(parameters.slots)
    count = 40 * slots - 1
    used = parameters.coefficients_in(0, count)
    values = extreme_values(parameters, count)
    bound = bound_of(parameters, 1)
    more = np.append(values, 1)
    spoiled = with_errors(parameters, message_polynomial(parameters, more, 0), [0] * used)
    with pytest.raises(KeyHolderRefused, match=WORDS):
        opened_values(parameters, spoiled, bound, count)
    assert (opened_values(parameters, spoiled, bound, count + 1) == more).all()
    for coefficient in range(parameters.reserved_coefficients):
        row = parameters.slots[coefficient % slots][0]
        reserved = with_errors(parameters, message_polynomial(parameters, values, 0), [0] * used)
        reserved[row, coefficient] = 1
        with pytest.raises(KeyHolderRefused):
            opened_values(parameters, reserved, bound, count)


@every_set
def test_one_value_alone_and_a_full_polynomial_come_back(parameters: LatticeParameters) -> None:
    bound = bound_of(parameters, 1)
    for count in (1, parameters.values_per_polynomial()):
        values = extreme_values(parameters, count)
        message = message_polynomial(parameters, values, 0)[:, : parameters.coefficients_in(0, count)]
        assert (opened_values(parameters, message, bound, count) == values).all()


@every_set
def test_values_between_two_primes_of_the_noise_are_carried_exactly(parameters: LatticeParameters) -> None:
    reach = min(min(parameters.noise_primes) // max(parameters.noise_step, 1) + 5, parameters.largest_sum)
    values = np.array([reach, -reach, 1, -1] * len(parameters.slots), dtype=np.int64)
    message = message_polynomial(parameters, values, 0)[:, : parameters.coefficients_in(0, values.size)]
    assert (message < np.array(parameters.primes, dtype=np.uint64)[:, None]).all()
    assert (opened_values(parameters, message, bound_of(parameters, 1), values.size) == values).all()


@every_set
def test_the_sum_of_messages_is_the_message_of_the_sum(parameters: LatticeParameters) -> None:
    generator = np.random.default_rng(4)
    count, third = 500, parameters.largest_sum // 3
    parts = generator.integers(-third, third + 1, (3, count))
    messages = np.stack([message_polynomial(parameters, part, 0) for part in parts])
    total = parameters.ring.reduce(messages.sum(axis=0))
    assert (total == message_polynomial(parameters, parts.sum(axis=0), 0)).all()
