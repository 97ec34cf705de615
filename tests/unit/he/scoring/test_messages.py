"""Scores of the scheme `packed`: exact, of one length, in one form, and nothing but the score leaves."""

from __future__ import annotations

import inspect
import secrets
import struct
from dataclasses import replace

import numpy as np
import pytest

from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.channels import message_polynomial
from bfl_fabric.he.lattice.expansion import uniform_polynomial
from bfl_fabric.he.lattice.messages import HEADER_BYTES, Expansion, Header, Kind
from bfl_fabric.he.lattice.parameters import (
    PACKED_S16,
    PACKED_S20K,
    PACKED_S24,
    PACKED_SMALL,
    PACKED_WIDE,
    LatticeParameters,
)
from bfl_fabric.he.lattice.ring import Factor, Residues
from bfl_fabric.he.scoring import messages
from bfl_fabric.he.scoring.directions import draw_plan, fixed_seed
from bfl_fabric.he.scoring.messages import encode_score, open_score, read_score, score_size_bytes
from bfl_fabric.he.scoring.plan import DirectionPlan
from bfl_fabric.he.scoring.scalars import base_scalars
from tests.unit.he.scoring.samples import some_direction, some_values, stream

CASES = [
    (PACKED_S16, 2**15 - 1, 10),
    (PACKED_S24, 2**23 - 1, 8),
    (PACKED_S20K, 2**19 - 1, 100),
    (PACKED_SMALL, 2**17 - 1, 9),
    (PACKED_WIDE, 2**15 - 1, 32768),
]
NAMES = [parameters.name for parameters, _, _ in CASES]
SEED = b"\x05" * 32


def secret_of(parameters: LatticeParameters) -> Factor:
    ring = parameters.ring
    return ring.factor(ring.transform(ring.residues(stream(0).ternary(ring.degree))))


def expand(parameters: LatticeParameters, seed: bytes = SEED):
    return lambda number: uniform_polynomial(parameters.ring, seed, number)


def encrypted(parameters: LatticeParameters, values: np.ndarray, seed: bytes = SEED) -> list[Residues]:
    ring, secret, polynomials = parameters.ring, secret_of(parameters), []
    for index in range(parameters.polynomial_count(values.size)):
        masked = ring.inverse(ring.times(uniform_polynomial(ring, seed, index), secret))
        error = ring.residues(stream(index + 1).error(ring.degree))
        message = ring.add(error, message_polynomial(parameters, values, index))
        polynomials.append(
            ring.subtract(message, masked)[:, : parameters.coefficients_in(index, values.size)]
        )
    return polynomials


def plan_of(parameters: LatticeParameters, levels: int, total: int, direction: np.ndarray) -> DirectionPlan:
    return draw_plan(parameters, levels, total, direction, fixed_seed(direction))


def upload_header(parameters: LatticeParameters, count: int, weight: int) -> Header:
    return Header(
        Kind.UPDATE, parameters.digest, 1, 4, count, weight, 1, expansion=Expansion.AES_CTR, seed=SEED,
        subject=bytes([9] * 32), task_id="task", author="ann",
    )  # fmt: skip


def scored(
    parameters: LatticeParameters,
    levels: int,
    total: int,
    values: np.ndarray,
    direction: np.ndarray,
    weight: int,
) -> bytes:
    plan = plan_of(parameters, levels, total, direction)
    base = base_scalars(plan, encrypted(parameters, values))
    return encode_score(plan, upload_header(parameters, values.size, weight), "ab" * 32, b"", base)


def opened(parameters: LatticeParameters, levels: int, total: int, data: bytes, seed: bytes = SEED) -> int:
    score = read_score(data, parameters, levels * total)
    return open_score(score, levels, expand(parameters, seed), secret_of(parameters))


@pytest.mark.parametrize(("parameters", "levels", "total"), CASES, ids=NAMES)
@pytest.mark.parametrize("count", [1, 50, 9000])
def test_an_opened_score_is_what_the_plan_says_of_the_values_in_the_clear(
    parameters: LatticeParameters, levels: int, total: int, count: int
) -> None:
    direction, values = some_direction(count), some_values(count, levels * total)
    data = scored(parameters, levels, total, values, direction, total)
    plan = plan_of(parameters, levels, total, direction)
    assert opened(parameters, levels, total, data) == plan.score(plan.answers_of(values))
    assert len(data) == score_size_bytes(parameters, levels * total, count)


@pytest.mark.parametrize(("parameters", "levels", "total"), CASES, ids=NAMES)
def test_the_extremes_of_a_weight_open_and_their_signs_are_kept(
    parameters: LatticeParameters, levels: int, total: int
) -> None:
    direction = some_direction(3000)
    extreme = np.sign(direction.astype(np.int64)) * levels * total
    plan = plan_of(parameters, levels, total, direction)
    for values in (extreme, -extreme, np.full(3000, levels * total)):
        data = scored(parameters, levels, total, values, direction, total)
        assert opened(parameters, levels, total, data) == plan.score(plan.answers_of(values))


def test_fresh_noise_does_not_change_a_score() -> None:
    direction, values = some_direction(2000), some_values(2000, 2**15 - 1)
    plan = plan_of(PACKED_S16, 2**15 - 1, 5, direction)
    found = set()
    for number in range(5):
        seed = bytes([number + 1] * 32)
        base = base_scalars(plan, encrypted(PACKED_S16, values, seed))
        header = replace(upload_header(PACKED_S16, 2000, 1), seed=seed)
        data = encode_score(plan, header, "ab" * 32, b"", base)
        found.add(opened(PACKED_S16, 2**15 - 1, 5, data, seed))
    assert found == {plan.score(plan.answers_of(values))}


def test_the_scores_of_all_members_lie_within_the_bounds_of_their_sum() -> None:
    direction, levels, total = some_direction(4000), 2**15 - 1, 10
    plan = plan_of(PACKED_S16, levels, total, direction)
    members = [some_values(4000, 2 * levels, number) for number in range(5)]
    found = [
        opened(PACKED_S16, levels, total, scored(PACKED_S16, levels, total, values, direction, 2))
        for values in members
    ]
    least, greatest = plan.bounds(sum(members), 5)
    assert least <= sum(found) <= greatest
    assert not least <= sum(found) + 10 <= greatest


def test_a_direction_of_zeros_scores_zero() -> None:
    direction, values = np.zeros(100, dtype=np.int8), some_values(100, 100)
    data = scored(PACKED_S16, 2**15 - 1, 5, values, direction, 1)
    assert opened(PACKED_S16, 2**15 - 1, 5, data) == 0
    assert len(data) == score_size_bytes(PACKED_S16, (2**15 - 1) * 5, 100)


def test_everybody_computes_the_same_bytes_and_they_have_one_form() -> None:
    direction, values = some_direction(500), some_values(500, 2**15 - 1)
    data = scored(PACKED_S16, 2**15 - 1, 5, values, direction, 1)
    assert data == scored(PACKED_S16, 2**15 - 1, 5, values, direction, 1)
    score = read_score(data, PACKED_S16, (2**15 - 1) * 5)
    assert encode_score(score.plan, upload_header(PACKED_S16, 500, 1), "ab" * 32, b"", score.base) == data


def test_a_wrong_residue_a_wrong_seed_and_an_update_beyond_its_weight_are_refused() -> None:
    levels, total = 2**15 - 1, 10
    direction, values = some_direction(2000), some_values(2000, levels * 10)
    data = scored(PACKED_S16, levels, total, values, direction, 10)
    with pytest.raises(KeyHolderRefused, match="do not open"):
        opened(PACKED_S16, levels, total, data, b"\x06" * 32)
    plan = plan_of(PACKED_S16, levels, total, direction)
    base = base_scalars(plan, encrypted(PACKED_S16, values))
    base[0, 0] = (base[0, 0] + 200) % PACKED_S16.primes[0]
    header = upload_header(PACKED_S16, 2000, 10)
    with pytest.raises(KeyHolderRefused, match="do not open"):
        opened(PACKED_S16, levels, total, encode_score(plan, header, "ab" * 32, b"", base))
    with pytest.raises(KeyHolderRefused, match="do not open"):
        opened(PACKED_S16, levels, total, scored(PACKED_S16, levels, total, values, direction, 1))
    with pytest.raises(MalformedInput, match="beyond the task"):
        opened(PACKED_S16, levels, total, scored(PACKED_S16, levels, total, values, direction, 11))


def test_a_score_message_that_is_changed_anywhere_is_refused_or_is_another_score() -> None:
    """Every byte of the questions has one form; residues are checked by opening, header fields by the caller."""
    levels, total, count = 2**15 - 1, 10, 300
    direction, values = some_direction(count), some_values(count, levels)
    data = scored(PACKED_S16, levels, total, values, direction, 1)
    for changed in (data + b"\0", data[:-1], data[:HEADER_BYTES]):
        with pytest.raises(MalformedInput):
            read_score(changed, PACKED_S16, levels * total)
    rng = np.random.default_rng(3)
    for position in rng.integers(HEADER_BYTES, len(data), 300):
        changed = bytearray(data)
        changed[position] ^= 1 << int(rng.integers(0, 8))
        try:
            score = read_score(bytes(changed), PACKED_S16, levels * total)
        except MalformedInput:
            continue
        again = messages._questions(
            messages.ScoreForm.of(PACKED_S16, levels * total, count), score.plan, score.seeds
        )
        assert bytes(changed)[HEADER_BYTES:].startswith(again)


def test_units_in_another_order_or_of_a_question_left_out_are_refused() -> None:
    levels, total, count = 2**15 - 1, 1, 30_000
    data = scored(PACKED_S16, levels, total, some_values(count, levels), some_direction(count), 1)
    form = messages.ScoreForm.of(PACKED_S16, levels * total, count)
    start = HEADER_BYTES + 40 + 16 * form.slots + form.seeds_bytes
    units = np.frombuffer(data, dtype="<u4", count=form.room, offset=start)
    assert len(set(units)) > 1
    swapped = data[:start] + units[::-1].tobytes() + data[start + 4 * form.room :]
    with pytest.raises(MalformedInput):
        read_score(swapped, PACKED_S16, levels * total)
    emptied = data[:start] + struct.pack("<I", 2**32 - 1) * form.room + data[start + 4 * form.room :]
    with pytest.raises(MalformedInput):
        read_score(emptied, PACKED_S16, levels * total)
    far = data[:start] + struct.pack("<I", 2 * count) * form.room + data[start + 4 * form.room :]
    with pytest.raises(MalformedInput):
        read_score(far, PACKED_S16, levels * total)


def test_seeds_of_each_polynomial_travel_when_there_are_some() -> None:
    levels, total, count = 2**15 - 1, 10, 300
    direction = some_direction(count)
    plan = plan_of(PACKED_S16, levels, total, direction)
    base = base_scalars(plan, encrypted(PACKED_S16, some_values(count, levels)))
    seeds = secrets.token_bytes(64)
    data = encode_score(plan, upload_header(PACKED_S16, count, 1), "ab" * 32, seeds, base)
    assert read_score(data, PACKED_S16, levels * total).seeds == seeds
    assert len(data) == score_size_bytes(PACKED_S16, levels * total, count)
    with pytest.raises(MalformedInput):
        encode_score(plan, upload_header(PACKED_S16, count, 1), "ab" * 32, seeds[1:], base)


def test_terms_without_room_for_scores_are_said_to_be_so() -> None:
    with pytest.raises(ConfigurationError, match="has room for 0 values"):
        score_size_bytes(PACKED_S16, PACKED_S16.largest_sum + 1, 1000)


def test_a_score_of_a_million_parameters_is_small() -> None:
    for parameters, levels, total in CASES:
        assert score_size_bytes(parameters, levels * total, 1_000_000) < 250_000


def test_what_leaves_the_opening_is_one_integer() -> None:
    assert inspect.signature(open_score).return_annotation == "int"
