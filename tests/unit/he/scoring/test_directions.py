"""Directions: no answer can wrap, no question reads few values, no two seeds ask alike, and what is revealed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.he.lattice.parameters import (
    PACKED_S16,
    PACKED_S24,
    PACKED_SMALL,
    PACKED_WIDE,
    PARAMETER_SETS,
    THRESHOLD_T16,
    THRESHOLD_T20,
    THRESHOLD_WIDE,
    LatticeParameters,
)
from bfl_fabric.he.scoring.directions import (
    MAXIMUM_QUERIES,
    MINIMUM_TERMS,
    draw_plan,
    fixed_seed,
    largest_scorable_weight,
    queries_per_slot,
    terms_per_query,
)
from bfl_fabric.he.scoring.plan import DirectionPlan, estimate
from tests.unit.he.scoring.samples import OTHER_SEED, SEED, some_direction, some_values

CASES = [
    (PACKED_S16, 2**15 - 1, 10),
    (PACKED_S24, 2**23 - 1, 8),
    (PACKED_SMALL, 2**17 - 1, 9),
    (PACKED_WIDE, 2**15 - 1, 32768),
    (THRESHOLD_T16, 2**15 - 1, 1),
    (THRESHOLD_T16, 2**15 - 1, 62),
    (THRESHOLD_T20, 2**19 - 1, 100),
    (THRESHOLD_WIDE, 2**15 - 1, 5000),
]
NAMES = [f"{parameters.name}-{weight}" for parameters, _, weight in CASES]


def extreme(plan: DirectionPlan, query: int) -> np.ndarray:
    """Return the well-formed update that answers this question with the largest possible number."""
    values = np.zeros(plan.parameter_count, dtype=np.int64)
    item = next(item for item in plan.slots if item.first <= query < item.first + item.count)
    chosen = item.queries == query
    values[item.places[chosen] * len(plan.parameters.slots) + item.slot] = plan.largest_value * np.sign(
        item.factors[chosen]
    )
    return values


@pytest.mark.parametrize(("parameters", "levels", "weight"), CASES, ids=NAMES)
@pytest.mark.parametrize("count", [10, 1000, 100_000])
def test_no_answer_of_a_well_formed_update_can_wrap(
    parameters: LatticeParameters, levels: int, weight: int, count: int
) -> None:
    plan = draw_plan(parameters, levels, weight, some_direction(count), SEED)
    assert plan.sizes[: plan.revealed].max() <= terms_per_query(parameters, levels * weight)
    for query in range(0, plan.revealed, max(1, plan.revealed // 5)):
        answers = plan.answers_of(extreme(plan, query))
        assert answers[query] == int(plan.sizes[query]) * levels * weight
        slot = next(item.slot for item in reversed(plan.slots) if item.first <= query)
        rows = parameters.slots[slot]
        modulus = np.prod([float(parameters.primes[row]) for row in rows])
        step = parameters.noise_step if rows[0] == 0 and parameters.noise_step else 1
        assert answers[query] * step < modulus / 2


@pytest.mark.parametrize(("parameters", "levels", "weight"), CASES, ids=NAMES)
@pytest.mark.parametrize("count", [10, 1000, 100_000])
def test_every_term_stands_where_a_value_stands(
    parameters: LatticeParameters, levels: int, weight: int, count: int
) -> None:
    plan = draw_plan(parameters, levels, weight, some_direction(count), SEED)
    for item in plan.slots:
        assert int(item.places.max()) * len(parameters.slots) + item.slot < count
        assert (np.diff(item.queries) >= 0).all()
        assert set(item.queries) == set(range(item.first, item.first + item.count))
        assert int(np.abs(item.factors).sum()) == item.drawn
    rebuilt = sum(part.factors.size for part in plan.parts)
    assert rebuilt == sum(item.factors.size + np.count_nonzero(item.blinds) for item in plan.asked)
    reserved = parameters.reserved_coefficients
    for part in plan.parts:
        used = parameters.coefficients_in(part.polynomial, count)
        assert part.coefficients.max() < used
        about_values = part.numbers.max() < plan.revealed and part.coefficients.max() >= reserved
        assert about_values or part.coefficients.max() < reserved


@pytest.mark.parametrize(("parameters", "levels", "weight"), CASES, ids=NAMES)
def test_a_score_is_near_the_inner_product_for_any_update(
    parameters: LatticeParameters, levels: int, weight: int
) -> None:
    """Within 5 % of full scale: what a sample of thousands of coordinates allows. Exact ones are below."""
    count = 100_000
    direction, values = some_direction(count), some_values(count, levels * weight)
    plan = draw_plan(parameters, levels, weight, direction, SEED)
    exact = float(values @ direction.astype(np.int64))
    scale = float(np.linalg.norm(values) * np.linalg.norm(direction.astype(float)))
    assert abs(plan.score(plan.answers_of(values)) - exact) <= 0.05 * scale


@pytest.mark.parametrize(("parameters", "levels", "weight"), CASES, ids=NAMES)
def test_a_multiple_of_the_direction_gets_exactly_its_score_and_the_flip_its_negative(
    parameters: LatticeParameters, levels: int, weight: int
) -> None:
    direction = some_direction(20_000)
    wide = direction.astype(np.int64)
    plan = draw_plan(parameters, levels, weight, direction, SEED)
    assert plan.score(plan.answers_of(3 * wide)) == 3 * int(wide @ wide)
    assert plan.score(plan.answers_of(-3 * wide)) == -3 * int(wide @ wide)


def test_a_packed_direction_that_fits_is_asked_as_it_is() -> None:
    """PACKED_SMALL has room for 12 units in a question of weight 1: 60 parameters of ±3 are asked completely."""
    direction = some_direction(60, spread=2.0)
    plan = draw_plan(PACKED_SMALL, 2**10, 1, direction, fixed_seed(direction))
    values = some_values(60, 2**10)
    assert all(item.mass == item.drawn for item in plan.slots)
    assert plan.score(plan.answers_of(values)) == int(values @ direction.astype(np.int64))


def test_a_wide_threshold_set_asks_one_question_for_each_slot_and_scores_exactly() -> None:
    direction, values = some_direction(50_000), some_values(50_000, 1000)
    plan = draw_plan(THRESHOLD_WIDE, 2**15 - 1, 5000, direction, SEED)
    assert plan.revealed == len(THRESHOLD_WIDE.slots) == 2
    assert plan.score(plan.answers_of(values)) == int(values @ direction.astype(np.int64))


def test_another_seed_asks_the_same_of_an_update_and_something_else_of_its_ciphertext() -> None:
    direction = some_direction(300)
    plans = [draw_plan(THRESHOLD_WIDE, 2**15 - 1, 5000, direction, seed) for seed in (SEED, OTHER_SEED)]
    for first, second in zip(plans[0].slots, plans[1].slots, strict=True):
        assert np.array_equal(first.factors, second.factors)
        assert np.array_equal(first.places, second.places)
        assert np.mean(first.blinds != second.blinds) > 0.9


@pytest.mark.parametrize(
    ("parameters", "levels", "weight"),
    [case for case in CASES if case[0].scheme == "threshold"],
    ids=[name for name in NAMES if name.startswith("threshold")],
)
@pytest.mark.parametrize("count", [40, 5000, 1_000_000])
def test_no_question_of_one_seed_is_one_of_another_seed(
    parameters: LatticeParameters, levels: int, weight: int, count: int
) -> None:
    direction = some_direction(count)
    first = draw_plan(parameters, levels, weight, direction, SEED)
    second = draw_plan(parameters, levels, weight, direction, OTHER_SEED)
    assert not set(first.query_digests) & set(second.query_digests)
    assert len(set(first.query_digests)) == first.queries
    assert first.digest != second.digest


@pytest.mark.parametrize(("parameters", "levels", "weight"), CASES, ids=NAMES)
@pytest.mark.parametrize("count", [10, 1000, 1_000_000])
def test_the_number_of_revealed_scalars_is_capped(
    parameters: LatticeParameters, levels: int, weight: int, count: int
) -> None:
    plan = draw_plan(parameters, levels, weight, some_direction(count), SEED)
    room = terms_per_query(parameters, levels * weight)
    assert plan.revealed <= len(parameters.slots) * queries_per_slot(parameters, room, count)
    assert plan.queries == len(plan.query_digests)
    if parameters.scheme == "threshold":
        assert plan.revealed <= MAXIMUM_QUERIES
        assert plan.revealed <= max(len(parameters.slots), count // 32)
        assert plan.queries - plan.revealed == len(plan.slots)
    else:
        assert plan.queries == plan.revealed


def test_the_answers_of_members_add_up_to_those_of_their_sum() -> None:
    direction = some_direction(30_000)
    plan = draw_plan(THRESHOLD_T16, 2**15 - 1, 60, direction, SEED)
    members = [some_values(30_000, 32767 * 60, seed) for seed in range(5)]
    table = np.array([plan.answers_of(values) for values in members], dtype=object)
    assert list(table.sum(axis=0)) == plan.answers_of(sum(members))
    least, greatest = plan.bounds(sum(members), 5)
    assert least <= sum(plan.score(list(row)) for row in table) <= greatest
    assert greatest - least <= 5


def test_a_threshold_question_that_would_read_few_values_is_refused() -> None:
    levels = 2**15 - 1
    largest = largest_scorable_weight(THRESHOLD_T16, levels)
    assert terms_per_query(THRESHOLD_T16, levels * largest) == MINIMUM_TERMS
    draw_plan(THRESHOLD_T16, levels, largest, some_direction(100), SEED)
    with pytest.raises(ConfigurationError, match="has room for 2 values"):
        draw_plan(THRESHOLD_T16, levels, largest + 1, some_direction(100), SEED)


@pytest.mark.parametrize("parameters", PARAMETER_SETS.values(), ids=lambda item: item.name)
def test_the_largest_scorable_weight_has_room_and_the_next_does_not(parameters: LatticeParameters) -> None:
    largest = largest_scorable_weight(parameters, 2**10 - 1)
    assert terms_per_query(parameters, largest * (2**10 - 1)) >= (
        1 if parameters.noise_step else MINIMUM_TERMS
    )
    with pytest.raises(ConfigurationError):
        terms_per_query(parameters, (largest + 2) * (2**10 - 1))


def test_a_direction_of_zeros_asks_nothing() -> None:
    plan = draw_plan(THRESHOLD_T20, 2**19 - 1, 1, np.zeros(100, dtype=np.int8), SEED)
    assert plan.queries == 0
    assert plan.score([]) == 0
    assert plan.bounds(np.ones(100, dtype=np.int64), 3) == (-1, 1)


@pytest.mark.parametrize(
    ("direction", "seed"),
    [
        (np.array([-128, 1], dtype=np.int8), SEED),
        (np.zeros(0, dtype=np.int8), SEED),
        (np.ones(3, dtype=np.int64), SEED),
        (np.ones((2, 2), dtype=np.int8), SEED),
        (np.ones(3, dtype=np.int8), SEED[:-1]),
        (np.ones(3, dtype=np.int8), SEED.upper()),
        (np.ones(3, dtype=np.int8), SEED[:-1] + " "),
    ],
)
def test_what_is_no_direction_or_no_seed_is_refused(direction: np.ndarray, seed: str) -> None:
    with pytest.raises(MalformedInput):
        draw_plan(THRESHOLD_T20, 2**19 - 1, 1, direction, seed)


def test_a_drawn_coordinate_is_weighted_in_proportion_to_the_direction() -> None:
    """Over many seeds the mean of the scaled factors is the direction, within the sampling error."""
    direction, total, rounds = some_direction(500), np.zeros(500), 400
    for number in range(rounds):
        plan = draw_plan(PACKED_S16, 2**15 - 1, 10, direction, f"{number:064x}")
        for item in plan.slots:
            np.add.at(
                total,
                item.places * len(PACKED_S16.slots) + item.slot,
                item.factors * (item.mass / item.drawn) / rounds,
            )
    assert np.abs(total - direction).max() < 1.0 + 0.1 * np.abs(direction).max()
    assert np.corrcoef(total, direction)[0, 1] > 0.999


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 10**6), st.sampled_from(CASES))
def test_plans_are_functions_of_their_arguments(
    count: int, number: int, case: tuple[LatticeParameters, int, int]
) -> None:
    parameters, levels, weight = case
    direction = some_direction(count, number)
    plans = [draw_plan(parameters, levels, weight, direction, f"{number:064x}") for _ in range(2)]
    assert plans[0].digest == plans[1].digest
    assert plans[0].queries == 0 or plans[0].sizes.max() > 0


def test_an_estimate_without_overlap_is_not_rescaled() -> None:
    assert estimate(10, [(4, 2, -3, 5)]) == 10
    assert estimate(10, [(4, 2, 5, 5)]) == 10
    assert estimate(10, []) == 0
