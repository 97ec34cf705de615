"""Sums back into models, and directions for scores."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.learning.arithmetic import ExactArithmetic
from tests.unit.learning.grids import levels_of, sums, terms, updates, usable_terms

arithmetic = ExactArithmetic()


@given(
    usable_terms(), st.lists(st.tuples(updates(12), st.integers(1, 250)), min_size=1, max_size=8), updates(12)
)
def test_the_opened_sum_applies_the_weighted_mean_within_half_a_level(
    grid: EncryptionTerms, silos: list[tuple[np.ndarray, int]], base: np.ndarray
) -> None:
    """The quantized path equals plain FedAvg of the clipped updates up to grid and float32 error."""
    total_weight = sum(weight for _, weight in silos)
    if total_weight > grid.max_total_weight:
        silos = [(delta, 1) for delta, _ in silos]
        total_weight = len(silos)
    clip = float(grid.clip)
    clipped = [np.clip(delta, -clip, clip).astype(np.float32) for delta, _ in silos]
    weights = [weight for _, weight in silos]
    parts = [arithmetic.quantize(grid, delta, weight) for delta, weight in zip(clipped, weights, strict=True)]
    total = np.sum(parts, axis=0)
    model = arithmetic.apply_sum(grid, base, total, total_weight)
    mean = np.average(np.array(clipped, dtype=np.float64), axis=0, weights=weights)
    expected = base.astype(np.float64) + mean
    tolerance = (
        0.5001 * clip / levels_of(grid) + np.spacing(np.abs(expected).astype(np.float32)) + clip * 1e-6
    )
    assert model.dtype == np.float32
    assert (np.abs(model - expected) <= tolerance).all()


@given(updates(10), st.integers(1, 32_768))
def test_a_zero_sum_leaves_the_model_as_it_was(base: np.ndarray, weight: int) -> None:
    model = arithmetic.apply_sum(terms(), base, np.zeros(10, dtype=np.int64), weight)
    assert (model == base).all()


def test_apply_sum_gives_the_pinned_bits() -> None:
    """Another value here is another protocol. The digest was computed with plain Python floats, without numpy."""
    base = ((np.arange(10_000) * 7919 % 10007) / 1000 - 5).astype(np.float32)
    total = (np.arange(-5000, 5000) * 104_729 % 2_000_003 - 1_000_000).astype(np.int64)
    model = arithmetic.apply_sum(terms("0.37", 16), base, total, 397)
    assert hashlib.sha256(arithmetic.pack_model(model)).hexdigest() == PINNED_MODEL


def test_apply_sum_refuses_a_sum_that_the_weights_cannot_make() -> None:
    total = np.array([0, 32767 * 10, 32767 * 10 + 1], dtype=np.int64)
    with pytest.raises(MalformedInput, match="327671 at index 2"):
        arithmetic.apply_sum(terms(), np.zeros(3, dtype=np.float32), total, 10)


def test_apply_sum_refuses_the_most_negative_integer() -> None:
    total = np.array([-(2**63)], dtype=np.int64)
    with pytest.raises(MalformedInput, match="index 0"):
        arithmetic.apply_sum(terms(), np.zeros(1, dtype=np.float32), total, 10)


@pytest.mark.parametrize("weight", [0, -5, 32_769])
def test_apply_sum_refuses_a_total_weight_outside_the_task(weight: int) -> None:
    with pytest.raises(ConfigurationError, match="weight"):
        arithmetic.apply_sum(terms(), np.zeros(1, dtype=np.float32), np.zeros(1, dtype=np.int64), weight)


def test_apply_sum_refuses_vectors_of_different_length() -> None:
    with pytest.raises(MalformedInput, match="3 parameters and the sum 4"):
        arithmetic.apply_sum(terms(), np.zeros(3, dtype=np.float32), np.zeros(4, dtype=np.int64), 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_apply_sum_refuses_a_base_model_that_is_not_finite(bad: float) -> None:
    with pytest.raises(MalformedInput, match="base model"):
        arithmetic.apply_sum(terms(), np.array([bad], dtype=np.float32), np.zeros(1, dtype=np.int64), 1)


def test_apply_sum_cannot_leave_the_range_of_float32() -> None:
    """The largest step that any grid allows is far below half a unit in the last place of the largest model."""
    base = np.array([np.finfo(np.float32).max], dtype=np.float32)
    model = arithmetic.apply_sum(terms("999999999", 2, 1), base, np.array([1], dtype=np.int64), 1)
    assert (model == base).all()


def test_apply_sum_refuses_a_base_model_of_another_type() -> None:
    with pytest.raises(MalformedInput, match="base model is float64"):
        arithmetic.apply_sum(terms(), np.zeros(1), np.zeros(1, dtype=np.int64), 1)


@given(sums())
def test_direction_follows_its_formula_in_exact_integers(total: np.ndarray) -> None:
    direction = arithmetic.direction(total)
    largest = max(abs(number) for number in total.tolist())
    assert direction.dtype == np.int8
    for number, step in zip(total.tolist(), direction.tolist(), strict=True):
        magnitude = (127 * abs(number) + largest // 2) // largest if largest else 0
        assert step == (magnitude if number >= 0 else -magnitude)


@given(sums())
def test_direction_is_odd_and_reaches_its_bound_unless_all_is_zero(total: np.ndarray) -> None:
    direction = arithmetic.direction(total)
    assert (arithmetic.direction(-total) == -direction).all()
    assert int(np.abs(direction).max()) == (127 if total.any() else 0)


@given(sums(10**6))
def test_direction_points_along_the_sum(total: np.ndarray) -> None:
    inner = sum(a * b for a, b in zip(total.tolist(), arithmetic.direction(total).tolist(), strict=True))
    assert inner > 0 or not total.any()


def test_direction_of_nothing_but_zeros_is_zero() -> None:
    assert arithmetic.direction(np.zeros(5, dtype=np.int64)).tolist() == [0] * 5


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, -(2**63), 2**63 - 1])
def test_direction_refuses_numbers_whose_products_could_overflow(number: int) -> None:
    with pytest.raises(MalformedInput, match="index 1"):
        arithmetic.direction(np.array([1, number], dtype=np.int64))


def test_direction_refuses_floats() -> None:
    with pytest.raises(MalformedInput, match="int64"):
        arithmetic.direction(np.zeros(3))


PINNED_MODEL = "53d5064b03f1ffdcc457f5eea9d666f4ef0a3659bc546dc784f36c9e032857e5"
