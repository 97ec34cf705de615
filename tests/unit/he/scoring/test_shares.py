"""Answers of key members: exact, smudged, and refused when they are not what a well-formed update gives."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.messages import HEADER_BYTES, Header, Kind, Reader, read_message
from bfl_fabric.he.lattice.parameters import (
    THRESHOLD_T16,
    THRESHOLD_T20,
    THRESHOLD_WIDE,
    LatticeParameters,
)
from bfl_fabric.he.scoring import shares
from bfl_fabric.he.scoring.directions import draw_plan
from bfl_fabric.he.scoring.plan import DirectionPlan, table_width
from bfl_fabric.he.scoring.scalars import base_scalars, error_bound
from bfl_fabric.he.scoring.shares import Answerer, combine, smudging_ratio_bits
from tests.unit.he.scoring.samples import OTHER_SEED, SEED, JointKey, some_direction, some_values, stream

LEVELS = 2**15 - 1
CASES = [(THRESHOLD_T16, 40, 50_000), (THRESHOLD_T20, 400, 200_000), (THRESHOLD_WIDE, 5000, 20_000)]
NAMES = [parameters.name for parameters, _, _ in CASES]


def plan_for(parameters: LatticeParameters, weight: int, count: int, seed: str = SEED) -> DirectionPlan:
    return draw_plan(parameters, LEVELS, weight, some_direction(count), seed)


def tables(
    plan: DirectionPlan, key: JointKey, masks: list[np.ndarray], active: list[int], participants: int = 1
) -> list[np.ndarray]:
    return [
        Answerer(plan, key.shares[holder], key.lagrange(active, holder), participants).answer(masks)
        for holder in active
    ]


@pytest.fixture(scope="module")
def wide_key() -> JointKey:
    return JointKey(THRESHOLD_WIDE, holders=5, threshold=3)


@pytest.mark.parametrize(("parameters", "weight", "count"), CASES, ids=NAMES)
def test_every_released_answer_is_the_exact_integer_inner_product(
    parameters: LatticeParameters, weight: int, count: int
) -> None:
    key = JointKey(parameters, holders=3, threshold=2)
    plan = plan_for(parameters, weight, count)
    for number, active in enumerate(([0, 1], [1, 2]), 1):
        values = some_values(count, LEVELS * weight, number)
        upload = key.encrypt(values, number)
        base = base_scalars(plan, upload.polynomials)
        answers = combine(plan, LEVELS, weight, base, tables(plan, key, upload.masks, active))
        assert answers == plan.answers_of(values)


@pytest.mark.parametrize("sign", [1, -1])
def test_extreme_updates_neither_wrap_nor_are_refused(wide_key: JointKey, sign: int) -> None:
    count, weight = 3000, 5000
    plan = plan_for(THRESHOLD_WIDE, weight, count)
    for values in (
        np.full(count, sign * LEVELS * weight),
        sign * np.sign(some_direction(count).astype(np.int64)) * LEVELS * weight,
    ):
        upload = wide_key.encrypt(values, 7)
        base = base_scalars(plan, upload.polynomials)
        found = combine(plan, LEVELS, weight, base, tables(plan, wide_key, upload.masks, [0, 2, 4]))
        assert found == plan.answers_of(values)
        assert found != plan.answers_of(-values)


def test_a_flipped_update_gets_the_opposite_score(wide_key: JointKey) -> None:
    plan = plan_for(THRESHOLD_WIDE, 10, 2000)
    values = some_direction(2000).astype(np.int64) * 300
    scores = []
    for number, update in enumerate((values, -values), 1):
        upload = wide_key.encrypt(update, number)
        base = base_scalars(plan, upload.polynomials)
        scores.append(
            plan.score(combine(plan, LEVELS, 10, base, tables(plan, wide_key, upload.masks, [1, 2, 3])))
        )
    assert scores[0] == 300 * plan.energy == -scores[1]


def test_both_ways_to_answer_give_the_same_bytes() -> None:
    key = JointKey(THRESHOLD_WIDE, holders=2, threshold=2)
    for weight, count in ((1, 200), (5000, 150_000)):
        plan = plan_for(THRESHOLD_WIDE, weight, count)
        upload = key.encrypt(some_values(count, LEVELS * weight), 3)
        few = Answerer(plan, key.shares[0], key.lagrange([0, 1], 0), participants=0)
        many = Answerer(plan, key.shares[0], key.lagrange([0, 1], 0), participants=10**6)
        assert (few._prepared is None, many._prepared is None) == (True, False)
        assert np.array_equal(few.answer(upload.masks, stream(1)), many.answer(upload.masks, stream(1)))


def test_an_answer_without_one_holder_does_not_open(wide_key: JointKey) -> None:
    plan = plan_for(THRESHOLD_WIDE, 10, 2000)
    upload = wide_key.encrypt(some_values(2000, LEVELS), 4)
    base = base_scalars(plan, upload.polynomials)
    answers = tables(plan, wide_key, upload.masks, [0, 1, 2])
    for present in ([], answers[:2], [answers[0], answers[0], answers[2]]):
        with pytest.raises(KeyHolderRefused, match="do not open"):
            combine(plan, LEVELS, 10, base, present)


def test_a_base_of_another_upload_does_not_open(wide_key: JointKey) -> None:
    plan = plan_for(THRESHOLD_WIDE, 10, 2000)
    first, second = (wide_key.encrypt(some_values(2000, LEVELS), number) for number in (4, 5))
    answers = tables(plan, wide_key, first.masks, [0, 1, 2])
    with pytest.raises(KeyHolderRefused, match="do not open"):
        combine(plan, LEVELS, 10, base_scalars(plan, second.polynomials), answers)


def test_noise_beyond_its_bound_and_values_beyond_the_weight_are_refused(wide_key: JointKey) -> None:
    plan = plan_for(THRESHOLD_WIDE, 10, 2000)
    values = some_values(2000, LEVELS)
    upload = wide_key.encrypt(values, 4)
    base = base_scalars(plan, upload.polynomials)
    answers = tables(plan, wide_key, upload.masks, [0, 1, 2])
    assert combine(plan, LEVELS, 10, base, answers) == plan.answers_of(values)
    moduli = plan.moduli
    beyond = 2 * error_bound(plan, 0, 3)
    noisy = answers[0].copy()
    noisy[0] = [(int(word) + beyond) % int(prime) for word, prime in zip(noisy[0], moduli[0], strict=True)]
    with pytest.raises(KeyHolderRefused, match="do not open"):
        combine(plan, LEVELS, 10, base, [noisy, *answers[1:]])
    # a payload of one prime changed: the Chinese remainder throws the answer far beyond what the weight allows
    wrong = answers[0].copy()
    wrong[0, -1] = (wrong[0, -1] + 1) % moduli[0, -1]
    with pytest.raises(KeyHolderRefused, match="do not open"):
        combine(plan, LEVELS, 10, base, [wrong, *answers[1:]])


def test_an_update_whose_mask_was_chosen_is_refused_by_the_check(wide_key: JointKey) -> None:
    """A mask that is larger than honest ones by δ adds δ·s to what opens: the reserved coefficients show it."""
    plan, ring = plan_for(THRESHOLD_WIDE, 10, 2000), THRESHOLD_WIDE.ring
    upload = wide_key.encrypt(some_values(2000, LEVELS), 4)
    base = base_scalars(plan, upload.polynomials)
    # δ is 1 modulo the payload primes and 0 modulo the noise primes: neither error nor answer is out of range
    delta = np.array([[0]] * 3 + [[1]] * 4, dtype=np.uint64)
    chosen = [ring.add(mask, np.broadcast_to(delta, mask.shape)) for mask in upload.masks]
    assert combine(plan, LEVELS, 10, base, tables(plan, wide_key, upload.masks, [0, 1, 2]))
    with pytest.raises(KeyHolderRefused):
        combine(plan, LEVELS, 10, base, tables(plan, wide_key, chosen, [0, 1, 2]))
    unchecked = replace(plan, checks=())
    answers = tables(unchecked, wide_key, chosen, [0, 1, 2])
    assert combine(unchecked, LEVELS, 10, base[: plan.revealed], answers) != plan.answers_of(
        some_values(2000, LEVELS)
    )


def test_an_update_larger_than_its_weight_is_refused(wide_key: JointKey) -> None:
    plan = plan_for(THRESHOLD_WIDE, 1000, 2000)
    values = np.sign(some_direction(2000).astype(np.int64)) * LEVELS * 3
    upload = wide_key.encrypt(values, 4)
    base = base_scalars(plan, upload.polynomials)
    answers = tables(plan, wide_key, upload.masks, [0, 1, 2])
    assert combine(plan, LEVELS, 3, base, answers) == plan.answers_of(values)
    with pytest.raises(KeyHolderRefused):
        combine(plan, LEVELS, 1, base, answers)
    with pytest.raises(MalformedInput, match="beyond the one for which"):
        combine(plan, LEVELS, 1001, base, answers)


def test_the_smudging_is_as_wide_as_stated_and_fresh(wide_key: JointKey) -> None:
    plan = plan_for(THRESHOLD_WIDE, 10, 2000)
    upload = wide_key.encrypt(some_values(2000, LEVELS), 4)
    answerer = Answerer(plan, wide_key.shares[0], wide_key.lagrange([0, 1, 2], 0))
    samples = np.stack([answerer.answer(upload.masks) for _ in range(200)])
    modulus = THRESHOLD_WIDE.noise_modulus
    weights = [modulus // prime * pow(modulus // prime, -1, prime) for prime in THRESHOLD_WIDE.noise_primes]
    numbers = [
        sum(int(word) * weight for word, weight in zip(row[:3], weights, strict=True))
        for sample in samples
        for row in sample[:1]
    ]
    spread = [((number - numbers[0] + modulus // 2) % modulus) - modulus // 2 for number in numbers]
    sigma = float(np.std(np.array(spread, dtype=float)))
    assert len(set(numbers)) == 200
    assert 0.8 < sigma / 2**THRESHOLD_WIDE.smudge_bits < 1.25
    # one integer for all primes: the payload residues of two answers differ by the same integer
    difference = spread[1]
    primes = plan.moduli[0]
    assert [
        (int(b) - int(a)) % int(p) for a, b, p in zip(samples[0, 0], samples[1, 0], primes, strict=True)
    ] == [difference % int(prime) for prime in primes]


@pytest.mark.parametrize(("parameters", "weight", "count"), CASES, ids=NAMES)
def test_noise_and_smudging_fit_the_noise_primes_and_the_ratio_is_as_stated(
    parameters: LatticeParameters, weight: int, count: int
) -> None:
    plan = plan_for(parameters, weight, count)
    for query in range(plan.queries):
        assert 2 * error_bound(plan, query, parameters.max_holders) < parameters.noise_modulus
    assert smudging_ratio_bits(plan) > 31


HEADER = Header(
    Kind.SCORE_SHARE, THRESHOLD_WIDE.digest, 1, round=3, attempt=2, task_id="task", author="Org1MSP"
)


def written(key: JointKey, names: tuple[str, ...] = ("ann", "bob")) -> tuple[DirectionPlan, bytes]:
    plan = plan_for(THRESHOLD_WIDE, 10, 2000)
    masks = {name: bytes([index + 1] * 32) for index, name in enumerate(names)}
    answerer = Answerer(plan, key.shares[0], key.lagrange([0, 1, 2], 0))
    answers = {name: answerer.answer(key.encrypt(some_values(2000, 9), 1).masks) for name in names}
    return plan, shares.encode_share(HEADER, plan, masks, answers)


def read(data: bytes, plan: DirectionPlan) -> shares.ScoreShare:
    reader = read_message(data, THRESHOLD_WIDE, Kind.SCORE_SHARE)
    return shares.read_share_message(reader, plan)


def test_a_score_share_is_read_as_it_was_written(wide_key: JointKey) -> None:
    plan, data = written(wide_key, ("bob", "ann"))
    share = read(data, plan)
    assert list(share.masks) == ["ann", "bob"]
    assert share.header == replace(
        HEADER, parameter_count=2000, members=2, subject=shares.share_subject(plan, share.masks)
    )
    assert len(data) == shares.share_size_bytes(plan, 2)
    assert shares.encode_share(HEADER, plan, share.masks, share.tables) == data


def test_a_score_share_with_any_part_changed_is_refused_or_is_another_share(wide_key: JointKey) -> None:
    plan, data = written(wide_key)
    row = (len(data) - HEADER_BYTES) // 2
    for name, changed in {
        "longer": data + b"\0",
        "shorter": data[:-1],
        "one participant twice": data[: HEADER_BYTES + row] + data[HEADER_BYTES : HEADER_BYTES + row],
        "not ascending": data[:HEADER_BYTES]
        + data[HEADER_BYTES + row :]
        + data[HEADER_BYTES : HEADER_BYTES + row],
        "another mask": data[: HEADER_BYTES + 128] + bytes(32) + data[HEADER_BYTES + 160 :],
        "a residue that is not below its prime": data[:-4] + b"\xff\xff\xff\xff",
        "another kind": data[:5] + bytes([Kind.SCORE]) + data[6:],
    }.items():
        with pytest.raises(MalformedInput):
            read(changed, plan)
        assert name


def test_a_score_share_for_other_directions_is_refused(wide_key: JointKey) -> None:
    _, data = written(wide_key)
    with pytest.raises(MalformedInput, match="subject"):
        read(data, plan_for(THRESHOLD_WIDE, 10, 2000, OTHER_SEED))
    with pytest.raises(MalformedInput):
        read(data, plan_for(THRESHOLD_WIDE, 10, 1999))


def test_a_score_share_of_no_update_says_so_in_its_length(wide_key: JointKey) -> None:
    plan = plan_for(THRESHOLD_WIDE, 10, 2000)
    data = shares.encode_share(HEADER, plan, {}, {})
    assert read(data, plan).tables == {}
    with pytest.raises(MalformedInput):
        Reader(io.BytesIO(data[:-1]), len(data) - 1, THRESHOLD_WIDE, Kind.SCORE_SHARE)


def test_too_few_masks_or_polynomials_are_refused(wide_key: JointKey) -> None:
    count = 16384 * 9
    plan = plan_for(THRESHOLD_WIDE, 10, count)
    upload = wide_key.encrypt(some_values(count, 9), 1)
    assert len(upload.masks) == 2
    with pytest.raises(MalformedInput):
        Answerer(plan, wide_key.shares[0], wide_key.lagrange([0, 1, 2], 0)).answer(upload.masks[:1])
    with pytest.raises(MalformedInput):
        base_scalars(plan, upload.polynomials[:-1])
    assert base_scalars(plan, upload.polynomials).shape == (4, table_width(THRESHOLD_WIDE))


def test_prepared_answers_do_not_wrap_when_questions_reach_into_many_polynomials() -> None:
    count = 70 * THRESHOLD_WIDE.values_per_polynomial()
    plan = draw_plan(THRESHOLD_WIDE, LEVELS, 10, some_direction(count), SEED)
    largest = np.broadcast_to(
        np.array(THRESHOLD_WIDE.primes, dtype=np.uint64)[:, None] - np.uint64(1),
        (len(THRESHOLD_WIDE.primes), THRESHOLD_WIDE.degree),
    )
    share, masks = [largest] * 8, [largest] * 9
    few = Answerer(plan, share, [1] * len(THRESHOLD_WIDE.primes), participants=0)
    many = Answerer(plan, share, [1] * len(THRESHOLD_WIDE.primes), participants=10**6)
    assert (few._prepared is None, many._prepared is None) == (True, False)
    one, other = (one.answer(masks, stream(1)) for one in (few, many))
    assert np.array_equal(one, other)
