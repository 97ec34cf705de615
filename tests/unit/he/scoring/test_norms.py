"""Norms from drawn questions: unbiased within their law, exact arithmetic, capped, the same for every active set."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.messages import Header, Kind, read_message
from bfl_fabric.he.lattice.parameters import (
    PACKED_S16,
    PARAMETER_SETS,
    THRESHOLD_T16,
    THRESHOLD_T20,
    THRESHOLD_WIDE,
    LatticeParameters,
)
from bfl_fabric.he.scoring.directions import MINIMUM_TERMS, draw_plan, revealed_limit, terms_per_query
from bfl_fabric.he.scoring.norms import (
    COSINE_GRID,
    WRAP_EXPONENT,
    NormTerms,
    cosine,
    draw_norm_plan,
    norm_squared,
)
from bfl_fabric.he.scoring.plan import DirectionPlan
from bfl_fabric.he.scoring.scalars import base_scalars, error_bound
from bfl_fabric.he.scoring.shares import (
    Answerer,
    combine,
    encode_share,
    read_share_message,
    share_size_bytes,
    smudging_ratio_bits,
)
from tests.unit.he.scoring.samples import OTHER_SEED, SEED, JointKey, Upload, some_direction, some_values

LEVELS = 2**15 - 1

CASES = [
    # every coordinate in many questions; in about one; a twentieth of the coordinates in none or one
    (NormTerms(THRESHOLD_WIDE, 2410, LEVELS, 60), 500),
    (NormTerms(THRESHOLD_T16, 6000, LEVELS, 60), 3),
    (NormTerms(THRESHOLD_T20, 20_000, LEVELS, 100), 1000),
]
NAMES = [f"{terms.parameters.name}-{weight}" for terms, weight in CASES]


def sparse(count: int, places: int) -> np.ndarray:
    values = np.zeros(count, dtype=np.int64)
    values[np.random.default_rng(5).choice(count, places, replace=False)] = LEVELS
    return values


def heavy(count: int) -> np.ndarray:
    drawn = np.random.default_rng(6).standard_t(3, count) * 900
    return np.clip(np.rint(drawn), -LEVELS, LEVELS).astype(np.int64)


UPDATES = {
    "normal": lambda count: some_values(count, LEVELS),
    "heavy-tailed": heavy,
    "constant": lambda count: np.full(count, -LEVELS, dtype=np.int64),
    "one percent": lambda count: sparse(count, count // 100),
    "one coordinate": lambda count: sparse(count, 1),
}


def plan_of(terms: NormTerms, weight: int, number: int) -> DirectionPlan:
    return draw_norm_plan(terms, weight, f"{number:064x}", SEED)


def variance(plan: DirectionPlan, values: np.ndarray) -> float:
    """Return the variance of `norm_squared` for these values: each slot's of the signs and of the dealing."""
    total, slots = 0.0, len(plan.parameters.slots)
    for item in plan.slots:
        squares = values[item.slot :: slots].astype(float) ** 2
        size, each, asked = squares.size, item.drawn, item.count
        fourth, whole = float((squares**2).sum()), float(squares.sum()) ** 2
        signs = asked * 2 * each * (each - 1) / (size * (size - 1)) * (whole - fourth)
        per_pass = size // each
        passes = [per_pass] * (asked // per_pass) + [asked % per_pass]
        dealing = sum(each * part * (1 - each * part / size) for part in passes) * float(squares.var(ddof=1))
        total += (size / each / asked) ** 2 * (signs + dealing)
    return total


@pytest.mark.parametrize(("terms", "weight"), CASES, ids=NAMES)
def test_the_estimate_is_unbiased_and_as_far_off_as_its_law_says(terms: NormTerms, weight: int) -> None:
    updates = {kind: make(terms.parameter_count) for kind, make in UPDATES.items()}
    found: dict[str, list[int]] = {kind: [] for kind in updates}
    for number in range(200):
        plan = plan_of(terms, weight, number)
        for kind, values in updates.items():
            found[kind].append(norm_squared(plan, plan.answers_of(values)))
    for kind, values in updates.items():
        exact, sigma = float((values.astype(float) ** 2).sum()), math.sqrt(variance(plan, values))
        assert abs(np.mean(found[kind]) - exact) <= 4 * sigma / math.sqrt(200) + 1, kind
        if kind != "one coordinate":  # which is seen or not: its distribution has no such tails
            assert 0.75 * sigma <= np.std(found[kind]) <= 1.3 * sigma, kind
            assert max(abs(np.array(found[kind]) - exact)) <= 7 * sigma, kind


def test_the_law_in_the_modules_text_bounds_the_exact_one() -> None:
    terms, weight = CASES[1]
    plan = plan_of(terms, weight, 1)
    for make in UPDATES.values():
        values, bound = make(terms.parameter_count).astype(float), 0.0
        for item in plan.slots:
            own = values[item.slot :: len(plan.parameters.slots)] ** 2
            if not own.any():
                continue
            kappa, coverage = float((own**2).sum() / own.sum() ** 2), item.count * item.drawn / item.mass
            last = item.count % (item.mass // item.drawn) * item.drawn / item.mass
            left_over = math.ceil(coverage) / item.drawn
            law = 2 * (1 - kappa) / item.count + kappa * (last * (1 - last) + left_over) / coverage**2
            bound += law * float(own.sum()) ** 2
        assert variance(plan, values.astype(np.int64)) <= bound


def test_one_huge_coordinate_is_measured_exactly_where_passes_are_whole() -> None:
    terms = NormTerms(THRESHOLD_WIDE, 2400, LEVELS, 60)
    values = sparse(2400, 1)
    for number in range(20):
        plan = plan_of(terms, 500, number)
        assert plan.slots[0].drawn == 600
        assert norm_squared(plan, plan.answers_of(values)) == LEVELS**2


def test_where_few_coordinates_are_dealt_one_huge_coordinate_is_missed_or_overstated() -> None:
    """The blind spot that the module states; which coordinates are dealt is drawn after the commitments."""
    terms, weight = CASES[2]
    found = []
    for number in range(200):
        plan = plan_of(terms, weight, number)
        found.append(norm_squared(plan, plan.answers_of(sparse(20_000, 1))))
    item = plan.slots[0]
    assert set(found) == {0, LEVELS**2 * item.mass // (item.drawn * item.count)}
    assert abs(found.count(0) / 200 - (1 - item.drawn * item.count / item.mass)) < 0.1


@pytest.mark.parametrize(("terms", "weight"), CASES, ids=NAMES)
def test_no_answer_of_a_well_formed_update_wraps(terms: NormTerms, weight: int) -> None:
    largest = LEVELS * weight
    room, drawn = terms_per_query(terms.parameters, largest), terms.drawn(weight)
    assert drawn <= room or WRAP_EXPONENT * drawn <= room**2
    modulus = min(math.prod(terms.parameters.primes[row] for row in rows) for rows in terms.parameters.slots)
    for number in range(50):
        plan = plan_of(terms, weight, number)
        answers = plan.answers_of(np.full(terms.parameter_count, largest, dtype=np.int64))
        assert max(abs(answer) for answer in answers) < modulus // 2
        assert (np.abs(plan.sizes[: plan.revealed]) == drawn).all()
        for query in (0, plan.queries - 1):
            assert 2 * error_bound(plan, query, terms.parameters.max_holders) < terms.parameters.noise_modulus
    assert smudging_ratio_bits(plan) > 35


def test_values_that_vanish_only_in_pairs_modulo_the_prime_are_seen() -> None:
    terms = NormTerms(THRESHOLD_WIDE, 2410, LEVELS, 60)
    modulus = math.prod(THRESHOLD_WIDE.primes[row] for row in THRESHOLD_WIDE.slots[0])
    values = np.zeros(2410, dtype=np.int64)
    values[[0, 2]] = (modulus + 1) // 2
    for number in range(20):
        plan = plan_of(terms, 500, number)
        opened = [(answer + modulus // 2) % modulus - modulus // 2 for answer in plan.answers_of(values)]
        assert norm_squared(plan, opened) > (LEVELS * 500) ** 2 * 2410


def test_a_question_reads_no_coordinate_twice_and_a_pass_reads_each_once() -> None:
    terms, weight = CASES[1]
    for item in plan_of(terms, weight, 3).slots:
        rows = item.places.reshape(item.count, item.drawn)
        assert all(np.unique(row).size == item.drawn >= MINIMUM_TERMS for row in rows)
        in_one_pass = item.mass // item.drawn
        assert np.unique(rows[:in_one_pass]).size == in_one_pass * item.drawn
        assert set(item.factors) == {-1, 1}


def test_norm_and_alignment_together_keep_to_the_cap() -> None:
    for parameters, weight, count, questions in (
        (THRESHOLD_WIDE, 500, 530, 14),
        (THRESHOLD_T16, 40, 100_000, 60),
        (THRESHOLD_T16, 40, 100_000, 251),
        (THRESHOLD_T20, 100, 1_000_000, 100),
    ):
        norm = draw_norm_plan(NormTerms(parameters, count, LEVELS, questions), weight, SEED, OTHER_SEED)
        asked = draw_plan(parameters, LEVELS, weight, some_direction(count), SEED, besides=norm.revealed)
        assert norm.revealed == questions // len(parameters.slots) * len(parameters.slots)
        assert norm.revealed + asked.revealed <= revealed_limit(count) == min(256, count // 32)
        assert not set(norm.query_digests) & set(asked.query_digests)


def test_terms_that_ask_too_much_or_of_too_little_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at most 14, since a round reveals at most 16"):
        NormTerms(THRESHOLD_WIDE, 530, LEVELS, 15)
    with pytest.raises(ConfigurationError, match="of 62 parameters"):
        NormTerms(THRESHOLD_WIDE, 62, LEVELS, 2)
    with pytest.raises(ConfigurationError, match="at least 5"):
        NormTerms(THRESHOLD_T16, 10_000, LEVELS, 4)
    with pytest.raises(ConfigurationError, match="packed"):
        NormTerms(PACKED_S16, 10_000, LEVELS, 60)
    with pytest.raises(ConfigurationError, match="has room for 2 values"):
        draw_norm_plan(NormTerms(THRESHOLD_T16, 10_000, LEVELS, 60), 200, SEED, SEED)
    for seeds in ((SEED[:-1], SEED), (SEED, SEED.upper())):
        with pytest.raises(MalformedInput):
            draw_norm_plan(CASES[0][0], 500, *seeds)


def test_another_attempt_asks_the_same_of_an_update_and_something_else_of_its_ciphertext() -> None:
    terms, weight = CASES[0]
    plans = [draw_norm_plan(terms, weight, SEED, attempt) for attempt in (SEED, OTHER_SEED)]
    values = some_values(terms.parameter_count, LEVELS * weight)
    assert plans[0].answers_of(values) == plans[1].answers_of(values)
    assert not set(plans[0].query_digests) & set(plans[1].query_digests)
    assert len(set(plans[0].query_digests)) == plans[0].queries
    another_round = draw_norm_plan(terms, weight, OTHER_SEED, SEED)
    assert another_round.answers_of(values) != plans[0].answers_of(values)
    assert draw_norm_plan(terms, weight, SEED, SEED).digest == plans[0].digest


THRESHOLD_SETS = [item for item in PARAMETER_SETS.values() if item.scheme == "threshold"]


@pytest.fixture(scope="module")
def keys() -> dict[str, JointKey]:
    return {item.name: JointKey(item, holders=5, threshold=3) for item in THRESHOLD_SETS}


def opened(
    plan: DirectionPlan, key: JointKey, upload: Upload, active: list[int], weight: int, levels: int = LEVELS
) -> list[int]:
    answers = [
        Answerer(plan, key.shares[holder], key.lagrange(active, holder)).answer(upload.masks)
        for holder in active
    ]
    return combine(plan, levels, weight, base_scalars(plan, upload.polynomials), answers)


@pytest.mark.parametrize("parameters", THRESHOLD_SETS, ids=lambda item: item.name)
def test_every_active_set_opens_the_same_integers_and_members_add_up_to_the_sum(
    keys: dict[str, JointKey], parameters: LatticeParameters
) -> None:
    terms, key, count, weight = NormTerms(parameters, 2410, LEVELS, 60), keys[parameters.name], 2410, 3
    plan = draw_norm_plan(terms, weight, SEED, OTHER_SEED)
    members = [weight * some_values(count, LEVELS, number) for number in (1, 2)]
    tables = []
    for number, values in enumerate(members, 1):
        upload = key.encrypt(values, number)
        found = {
            tuple(opened(plan, key, upload, active, weight)) for active in ([0, 1, 2], [0, 2, 4], [4, 3, 1])
        }
        assert found == {tuple(plan.answers_of(values))}
        tables.append(found.pop())
    assert [sum(pair) for pair in zip(*tables, strict=True)] == plan.answers_of(sum(members))
    norms = [math.sqrt(norm_squared(plan, answers)) for answers in tables]
    for norm, values in zip(norms, members, strict=True):
        assert abs(norm / np.linalg.norm(values) - 1) < 4 / math.sqrt(2 * 60)


def test_a_members_answers_travel_as_any_score_share(keys: dict[str, JointKey]) -> None:
    terms, key = NormTerms(THRESHOLD_T16, 2410, LEVELS, 60), keys[THRESHOLD_T16.name]
    plan, upload = draw_norm_plan(terms, 3, SEED, OTHER_SEED), key.encrypt(some_values(2410, LEVELS), 1)
    table = Answerer(plan, key.shares[0], key.lagrange([0, 1, 2], 0)).answer(upload.masks)
    header = Header(Kind.SCORE_SHARE, THRESHOLD_T16.digest, 1, 2, attempt=1, task_id="task", author="Org1MSP")
    data = encode_share(header, plan, {"ann": bytes(32)}, {"ann": table})
    assert len(data) == share_size_bytes(plan, 1)
    read = read_share_message(read_message(data, THRESHOLD_T16, Kind.SCORE_SHARE), plan)
    assert np.array_equal(read.tables["ann"], table)
    other = draw_norm_plan(terms, 3, SEED, SEED)
    with pytest.raises(MalformedInput, match="subject"):
        read_share_message(read_message(data, THRESHOLD_T16, Kind.SCORE_SHARE), other)


def test_an_update_boosted_beyond_its_weight_is_refused_or_its_norm_tells(keys: dict[str, JointKey]) -> None:
    terms, key = NormTerms(THRESHOLD_WIDE, 2410, LEVELS, 60), keys[THRESHOLD_WIDE.name]
    plan, values = draw_norm_plan(terms, 100, SEED, OTHER_SEED), some_values(2410, LEVELS)
    honest, boosted = (
        opened(plan, key, key.encrypt(factor * values, factor), [0, 2, 4], 1) for factor in (1, 10)
    )
    assert norm_squared(plan, boosted) == pytest.approx(100 * norm_squared(plan, honest), rel=1e-6)
    beyond = np.sign(some_direction(2410).astype(np.int64)) * LEVELS * 10_000
    with pytest.raises(KeyHolderRefused, match="do not open"):
        opened(plan, key, key.encrypt(beyond, 3), [0, 2, 4], 1)


@given(st.integers(-(2**62), 2**62), st.integers(0, 2**90), st.integers(0, 2**40))
def test_a_cosine_is_exact_in_millionths_odd_and_at_most_one(
    alignment: int, squared: int, energy: int
) -> None:
    found = cosine(alignment, squared, energy)
    assert cosine(-alignment, squared, energy) == -found
    assert abs(found) <= COSINE_GRID
    whole = squared * energy
    if whole and abs(found) < COSINE_GRID:
        square = Fraction(alignment * alignment, whole) * COSINE_GRID**2
        assert found**2 <= square < (abs(found) + 1) ** 2
        assert found * alignment >= 0


def test_the_cosine_of_a_direction_with_itself_is_one_and_of_nothing_is_zero() -> None:
    direction = some_direction(2410).astype(np.int64)
    energy = int(direction @ direction)
    assert cosine(7 * energy, 49 * energy, energy) == COSINE_GRID == -cosine(-7 * energy, 49 * energy, energy)
    assert cosine(0, 0, energy) == cosine(0, 5, 0) == 0
    assert cosine(-1, 0, energy) == -COSINE_GRID
