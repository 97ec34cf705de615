"""Updates onto the grid."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.learning.arithmetic import ExactArithmetic
from tests.unit.learning.grids import levels_of, terms, updates, usable_terms

arithmetic = ExactArithmetic()


def vector(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float32)


def test_quantize_maps_the_clip_to_the_last_level_on_both_sides() -> None:
    result = arithmetic.quantize(terms("0.1", 16), vector(0.1, -0.1, 5, -5, 0, -0.0), 1)
    assert result.dtype == np.int64
    assert result.tolist() == [32767, -32767, 32767, -32767, 0, 0]


def test_quantize_rounds_ties_to_even() -> None:
    assert arithmetic.quantize(terms("7", 4), vector(0.5, 1.5, 2.5, -0.5, -1.5), 1).tolist() == [
        0,
        2,
        2,
        0,
        -2,
    ]


def test_quantize_multiplies_by_the_weight_after_rounding() -> None:
    assert arithmetic.quantize(terms("7", 4), vector(1.4, -2.6), 100).tolist() == [100, -300]


@given(usable_terms(), updates(20), st.integers(1, 2048))
def test_quantize_is_within_half_a_level_of_the_clipped_update(
    grid: EncryptionTerms, delta: np.ndarray, weight: int
) -> None:
    clip = float(grid.clip)
    delta = np.clip(delta, -1e5 * clip, 1e5 * clip).astype(np.float32)
    result = arithmetic.quantize(grid, delta, weight)
    assert (result % weight == 0).all()
    assert (np.abs(result) <= levels_of(grid) * weight).all()
    exact = np.clip(delta.astype(np.float64), -clip, clip) / clip * levels_of(grid)
    assert np.abs(result // weight - exact).max() <= 0.5 + 1e-6


@given(usable_terms(), updates(20, bound=0.5))
def test_quantize_rounds_as_exact_rationals_do_away_from_ties(
    grid: EncryptionTerms, delta: np.ndarray
) -> None:
    found = arithmetic.quantize(grid, delta, 1)
    clip = Fraction(grid.clip)
    for number, level in zip(delta.tolist(), found.tolist(), strict=True):
        exact = max(-clip, min(clip, Fraction(number))) * levels_of(grid) / clip
        tie_distance = abs(abs(exact - int(exact)) - Fraction(1, 2))
        assert level == round(exact) or tie_distance < Fraction(1, 10**9)


def test_quantize_gives_the_pinned_bits() -> None:
    """Another value here is another protocol. The digest was computed with plain Python floats, without numpy."""
    delta = ((np.arange(-5000, 5000) * 7919 % 10007) / 10007 - 0.5).astype(np.float32)
    result = arithmetic.quantize(terms("0.37", 16), delta, 57)
    assert hashlib.sha256(result.astype("<i8").tobytes()).hexdigest() == PINNED_QUANTIZED


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_quantize_refuses_numbers_that_are_not_finite_and_names_the_index(bad: float) -> None:
    with pytest.raises(MalformedInput, match=r"1 of 4 .* index 2 .*learning rate"):
        arithmetic.quantize(terms(), vector(0, 0.1, bad, 0), 1)


@pytest.mark.parametrize("bad", [1e25, -1e25, 500_001.0])
def test_quantize_refuses_a_diverged_update_and_names_the_index(bad: float) -> None:
    with pytest.raises(MalformedInput, match=r"diverged: 1 of 3 .* index 1 .*learning rate"):
        arithmetic.quantize(terms("0.5"), vector(0, bad, 0), 1)


def test_quantize_clips_whatever_is_not_beyond_a_million_clips() -> None:
    assert arithmetic.quantize(terms("0.5"), vector(500_000, -500_000), 1).tolist() == [32767, -32767]


@pytest.mark.parametrize(
    "wrong", [np.zeros(3), np.zeros((3, 1), dtype=np.float32), np.zeros(3, dtype=np.int64)]
)
def test_quantize_refuses_other_types_and_shapes(wrong: np.ndarray) -> None:
    with pytest.raises(MalformedInput, match="float32 of one dimension"):
        arithmetic.quantize(terms(), wrong, 1)


@pytest.mark.parametrize("weight", [0, -1, 32_769])
def test_quantize_refuses_a_weight_outside_the_task(weight: int) -> None:
    with pytest.raises(ConfigurationError, match=f"weight {weight} "):
        arithmetic.quantize(terms(), vector(0.1), weight)


@pytest.mark.parametrize(
    "clip", ["", "0", "0.0", "-1", "1e3", "nan", "inf", ".5", "1.", "1_0", " 1", "1\n", "٣", "1/2"]
)
def test_quantize_refuses_a_clip_that_is_not_a_plain_positive_decimal(clip: str) -> None:
    with pytest.raises(ConfigurationError, match="plain decimal"):
        arithmetic.quantize(terms(clip), vector(0.1), 1)


@pytest.mark.parametrize(("bits", "weight"), [(1, 1), (33, 1), (32, 2**23), (16, 0)])
def test_quantize_refuses_a_grid_that_float64_cannot_hold_exactly(bits: int, weight: int) -> None:
    with pytest.raises(ConfigurationError):
        arithmetic.quantize(terms("1", bits, weight), vector(0.1), 1)


def test_quantize_leaves_the_update_as_it_was() -> None:
    delta = vector(1, 2, 3)
    arithmetic.quantize(terms(), delta, 3)
    assert delta.tolist() == [1, 2, 3]


PINNED_QUANTIZED = "9a175e814fc32afcbd3e60df2fb4c2d3d96361134b9f0ff342d1c3855e89aa43"
