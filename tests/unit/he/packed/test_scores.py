"""Scores of uploads that nobody opens: exact where the direction fits, the same for both back ends, tied to the sum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.messages import HEADER_BYTES, decode_header
from bfl_fabric.he.lattice.parameters import PACKED_SMALL, LatticeParameters
from bfl_fabric.he.packed.backend import BackEndName
from tests.unit.he.packed.samples import SETS, Group, some_values

COUNT = PACKED_SMALL.values_per_polynomial() + 40


def direction_of(count: int, seed: int = 1, largest: int = 127) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-largest, largest + 1, count).astype(np.int8)


def scored(group: Group, upload: Path, direction: NDArray[np.int8], back_end: BackEndName) -> int:
    score = group.scheme.score(upload, direction)
    assert len(score) == group.scheme.score_size_bytes(direction.size)
    return group.opener(back_end).open_score(score)


@pytest.mark.parametrize("parameters", SETS, ids=lambda item: item.name)
def test_a_small_direction_is_scored_exactly(
    parameters: LatticeParameters, back_end: BackEndName, group_of: Callable[[LatticeParameters], Group]
) -> None:
    group, values = group_of(parameters), some_values(30, seed=3, parameters=parameters)
    direction = direction_of(30, largest=2)
    upload = group.upload(values, "silo-s", back_end=back_end)
    exact = int(values @ direction.astype(np.int64))
    assert {scored(group, upload, direction, opening) for opening in BackEndName} == {exact}


def test_the_score_of_a_long_update_is_near_the_inner_product(group: Group, back_end: BackEndName) -> None:
    direction = direction_of(COUNT)
    wide = direction.astype(np.int64)
    aligned = wide * 500
    for values, sign in ((aligned, 1), (-aligned, -1)):
        score = scored(group, group.upload(values, back_end=back_end), direction, back_end)
        assert abs(score / (sign * 500 * int(wide @ wide)) - 1) < 1e-6


def test_scores_add_up_to_what_the_sum_says(group: Group) -> None:
    direction = direction_of(COUNT, seed=5)
    values = [some_values(COUNT, seed=seed) for seed in range(3)]
    uploads = [group.upload(part, f"silo-{index}") for index, part in enumerate(values)]
    total = group.opener().open_sum(group.sum(uploads), 3)
    low, high = group.scheme.score_bounds(total, direction, 3)
    scores = [scored(group, upload, direction, BackEndName.RING) for upload in uploads]
    assert low <= sum(scores) <= high
    assert high - low <= 3


def test_the_score_of_a_zero_direction_is_zero(group: Group, back_end: BackEndName) -> None:
    upload = group.upload(some_values(30), back_end=back_end)
    assert scored(group, upload, np.zeros(30, dtype=np.int8), back_end) == 0


def test_everybody_computes_the_same_score_bytes(group: Group) -> None:
    upload, direction = group.upload(some_values(COUNT)), direction_of(COUNT)
    assert group.scheme.score(upload, direction) == group.scheme.score(upload, direction)


def test_a_direction_of_another_length_is_refused(group: Group) -> None:
    with pytest.raises(MalformedInput, match="has 30 parameters, the direction 31"):
        group.scheme.score(group.upload(some_values(30)), direction_of(31))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"seed": b"\x01" * 32},
            "do not open to those of a well-formed update|not those that their digest names",
        ),
        ({"epoch": 2}, "is for key epoch 2"),
        ({"weight": 11}, "the weight is beyond the task's largest"),
        ({"attempt": 1}, "with an attempt"),
    ],
    ids=str,
)
def test_a_changed_score_is_refused(
    change: dict[str, object], words: str, back_end: BackEndName, group: Group
) -> None:
    score = group.scheme.score(group.upload(some_values(30), back_end=back_end), direction_of(30))
    header = dataclasses.replace(decode_header(score[:HEADER_BYTES]), **change)  # type: ignore[arg-type]
    with pytest.raises((MalformedInput, KeyHolderRefused), match=words):
        group.opener(back_end).open_score(header.encode() + score[HEADER_BYTES:])


def test_seeds_beside_the_headers_are_refused(group: Group) -> None:
    ours = group.scheme.score(group.upload(some_values(30), back_end=BackEndName.RING), direction_of(30))
    seal = group.scheme.score(group.upload(some_values(30), back_end=BackEndName.SEAL), direction_of(30))
    mixed = ours[:HEADER_BYTES] + seal[HEADER_BYTES:]
    with pytest.raises(MalformedInput, match="whose seed stands in its header"):
        group.opener().open_score(mixed)


def test_a_score_of_another_group_does_not_open(group: Group, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = Group(folder)
    score = other.scheme.score(other.upload(some_values(30)), direction_of(30))
    with pytest.raises(KeyHolderRefused, match="do not open to those of a well-formed update"):
        group.opener().open_score(score)
