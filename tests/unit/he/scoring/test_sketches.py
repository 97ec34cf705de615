"""Sketches: honest ones pass, forged ones do not, opened are an alignment and rounding errors, and what none shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.parameters import THRESHOLD_T16, THRESHOLD_T20, THRESHOLD_WIDE
from bfl_fabric.he.scoring.directions import draw_plan
from bfl_fabric.he.scoring.norms import NormTerms, draw_norm_plan, norm_squared
from bfl_fabric.he.scoring.plan import DirectionPlan
from bfl_fabric.he.scoring.scalars import base_scalars
from bfl_fabric.he.scoring.shares import Answerer, combine, smudging_ratio_bits
from bfl_fabric.he.scoring.sketches import (
    CHECKS_PER_SLOT,
    SketchTerms,
    alignment,
    alignment_plan,
    check_plan,
    make_sketch,
    verify_sketch,
)
from tests.unit.he.scoring.samples import OTHER_SEED, SEED, JointKey, some_direction, some_values

LEVELS = 2**15 - 1
COUNT = 20_000
TERMS = SketchTerms(THRESHOLD_T16, COUNT, 2000, LEVELS, 2**12 - 1, SEED)


def update(weight: int, number: int = 3) -> np.ndarray:
    return weight * some_values(COUNT, LEVELS, number)


def answers_mod(terms: SketchTerms, plan: DirectionPlan, whole: np.ndarray) -> list[int]:
    """Return the answers as a ciphertext gives them: modulo the slot's primes, centred."""
    found = []
    slots = [item.slot for item in plan.asked for _ in range(item.count)]
    for slot, answer in zip(slots, plan.answers_of(whole), strict=True):
        modulus = int(
            np.prod([terms.parameters.primes[row] for row in terms.parameters.slots[slot]], dtype=object)
        )
        rest = answer % modulus
        found.append(rest - modulus if rest > modulus // 2 else rest)
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 10), st.integers(0, 10**6), st.booleans())
def test_an_honest_sketch_always_passes(weight: int, number: int, extreme: bool) -> None:
    values = update(weight, number)
    if extreme:
        values = np.where(values < 0, -LEVELS, LEVELS) * weight
    whole = make_sketch(TERMS, values, weight)
    assert np.abs(whole[COUNT:]).max() <= TERMS.limit * weight
    plan = check_plan(TERMS, 10, f"{number:064x}")
    verify_sketch(TERMS, plan, weight, answers_mod(TERMS, plan, whole))


@pytest.mark.parametrize("factor", [0, 2, -1])
def test_a_sketch_of_a_faked_norm_or_sign_is_refused(factor: int) -> None:
    for number in range(20):
        whole = make_sketch(TERMS, update(10), 10)
        whole[COUNT:] *= factor
        plan = check_plan(TERMS, 10, f"{number:064x}")
        with pytest.raises(KeyHolderRefused, match="not one of the update"):
            verify_sketch(TERMS, plan, 10, answers_mod(TERMS, plan, whole))


def test_a_sketch_of_another_update_is_refused() -> None:
    whole = make_sketch(TERMS, update(10), 10)
    whole[COUNT:] = make_sketch(TERMS, update(10, 4), 10)[COUNT:]
    plan = check_plan(TERMS, 10, OTHER_SEED)
    with pytest.raises(KeyHolderRefused):
        verify_sketch(TERMS, plan, 10, answers_mod(TERMS, plan, whole))


def test_where_there_is_room_one_forged_entry_is_found() -> None:
    terms = replace(TERMS, parameters=THRESHOLD_WIDE, buckets=1000)
    whole = make_sketch(terms, update(10), 10)
    whole[COUNT + 17] += 30_000
    plan = check_plan(terms, 10, SEED)
    assert all(item.factors.size > 500 for item in plan.slots)
    with pytest.raises(KeyHolderRefused):
        verify_sketch(terms, plan, 10, answers_mod(terms, plan, whole))


def test_checks_and_alignment_open_exactly_under_encryption_and_nothing_else_is_asked() -> None:
    key, weight = JointKey(THRESHOLD_T16, holders=2, threshold=2), 10
    direction = some_direction(COUNT)
    whole = make_sketch(TERMS, update(weight), weight)
    upload = key.encrypt(whole, 1)
    checks = check_plan(TERMS, weight, OTHER_SEED)
    asked, _ = alignment_plan(TERMS, direction, weight, OTHER_SEED)
    found = {}
    for name, plan, levels, of_weight in (
        ("checks", checks, checks.largest_value, 1),
        ("alignment", asked, TERMS.limit, weight),
    ):
        answers = [
            Answerer(plan, key.shares[holder], key.lagrange([0, 1], holder)).answer(upload.masks)
            for holder in (0, 1)
        ]
        found[name] = combine(plan, levels, of_weight, base_scalars(plan, upload.polynomials), answers)
    assert found["checks"] == answers_mod(TERMS, checks, whole)
    verify_sketch(TERMS, checks, weight, found["checks"])
    assert found["alignment"] == asked.answers_of(whole)
    assert checks.revealed == CHECKS_PER_SLOT * len(THRESHOLD_T16.slots)
    # every question of the alignment reads sketch entries only, every check is small: it reads rounding errors
    for item in asked.slots:
        assert (item.places * len(THRESHOLD_T16.slots) + item.slot >= COUNT).all()
    rounding = TERMS.projected(update(weight)) - (whole[COUNT:] << TERMS.shift)
    assert np.abs(rounding).max() <= weight << TERMS.shift >> 1
    assert not set(checks.query_digests) & set(asked.query_digests)


def test_the_alignment_of_a_sketch_is_that_of_the_update_within_the_projection_error() -> None:
    direction = some_direction(COUNT)
    plan, scale = alignment_plan(TERMS, direction, 10, OTHER_SEED)
    for number in range(5):
        values = update(10, number) + 10 * 40 * direction.astype(np.int64) * (number - 2)
        values = np.clip(values, -LEVELS * 10, LEVELS * 10) // 10 * 10
        found = alignment(plan, scale, plan.answers_of(make_sketch(TERMS, values, 10)))
        full = float(np.linalg.norm(values) * np.linalg.norm(direction.astype(float)))
        assert abs(found - int(values @ direction.astype(np.int64))) < 0.12 * full


def test_a_sketch_hears_coordinates_that_a_sample_misses() -> None:
    """With weight 10 T16 has room for 51 values in a question, and for 409 entries of a sketch."""
    direction = some_direction(COUNT)
    direct = draw_plan(THRESHOLD_T16, LEVELS, 10, direction, SEED)
    sketched, _ = alignment_plan(TERMS, direction, 10, SEED)
    heard = sum(int(np.unique(item.places).size) for item in direct.slots)
    buckets = sum(int(np.unique(item.places).size) for item in sketched.slots)
    assert heard < 10_000
    assert buckets * COUNT / TERMS.buckets > heard


def test_an_update_made_for_the_projection_has_a_sketch_of_zeros_whatever_its_norm() -> None:
    """Values that cancel in their buckets: why a sketch's norm would bound nobody's update. Drawn signs do see it."""
    values, open_places = np.zeros(COUNT, dtype=np.int64), dict[int, int]()
    for place, bucket in enumerate(TERMS.bucket_of.tolist()):
        if bucket in open_places:
            pair = [open_places.pop(bucket), place]
            values[pair] = TERMS.sign_of[pair] * [10 * LEVELS, -10 * LEVELS]
        else:
            open_places[bucket] = place
    whole = make_sketch(TERMS, values, 10)
    assert np.linalg.norm(values) > 0.9 * 10 * LEVELS * np.sqrt(COUNT)
    assert not whole[COUNT:].any()
    checks = check_plan(TERMS, 10, OTHER_SEED)
    verify_sketch(TERMS, checks, 10, answers_mod(TERMS, checks, whole))
    norm = draw_norm_plan(NormTerms(THRESHOLD_T16, COUNT, LEVELS, 60), 10, OTHER_SEED, OTHER_SEED)
    seen = norm_squared(norm, norm.answers_of(values))
    assert abs(seen / float((values.astype(float) ** 2).sum()) - 1) < 4 * np.sqrt(2 / 60)


def test_an_update_made_for_the_projection_has_the_alignment_that_it_likes() -> None:
    direction = some_direction(COUNT)
    wide = direction.astype(np.int64)
    members = np.bincount(TERMS.bucket_of, minlength=TERMS.buckets)
    # what is lacking to the opposite sketch, spread over the bucket's values, costs little of ⟨values, direction⟩
    lacking = 600.0 * TERMS.projected(wide) / np.maximum(members, 1)
    made = -300 * wide + np.rint(TERMS.sign_of * lacking[TERMS.bucket_of]).astype(np.int64)
    values = np.clip(made, -LEVELS, LEVELS)
    plan, scale = alignment_plan(TERMS, direction, 1, OTHER_SEED)
    assert int(values @ wide) < -200 * int(wide @ wide)
    assert alignment(plan, scale, plan.answers_of(make_sketch(TERMS, values, 1))) > 200 * int(wide @ wide)


def test_the_smudging_of_checks_is_wide_enough_and_the_projection_is_pinned_by_its_seed() -> None:
    plan = check_plan(TERMS, 10, SEED)
    assert smudging_ratio_bits(plan) > 30
    other = replace(TERMS, seed=OTHER_SEED)
    assert np.mean(TERMS.bucket_of == other.bucket_of) < 0.01
    slots = len(THRESHOLD_T16.slots)
    assert ((COUNT + TERMS.bucket_of) % slots == np.arange(COUNT) % slots).all()


def test_terms_and_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no multiple"):
        replace(TERMS, buckets=2001)
    with pytest.raises(ConfigurationError, match="limit"):
        replace(TERMS, limit=LEVELS + 1)
    with pytest.raises(ConfigurationError, match="cannot be checked"):
        check_plan(replace(TERMS, limit=1), 500, SEED)
    with pytest.raises(MalformedInput, match="the weight times"):
        make_sketch(TERMS, update(10) + 1, 10)
    with pytest.raises(MalformedInput):
        make_sketch(TERMS, update(10)[:-1], 10)
    assert check_plan(replace(TERMS, parameters=THRESHOLD_T20), 500, SEED).revealed == 40
