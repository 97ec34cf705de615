"""Scores without opening updates: exact answers from the active set, and questions that are not answered twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.parameters import THRESHOLD_WIDE
from bfl_fabric.he.scoring.directions import draw_plan
from tests.unit.he.threshold.federation import LEVELS, Federation, Round, some_round

COUNT = 2_000


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    return Federation(tmp_path_factory.mktemp("scores"), tuple("ABC"), 2, THRESHOLD_WIDE).hold_ceremony()


def direction_of(seed: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-127, 128, COUNT).astype(np.int8)


def share(held: Round, member: str, attempt: int, active: str, seed: str = "", direction: int = 1) -> Path:
    opening = held.federation.opening(active, attempt, held.number)
    opening = replace(opening, seed=seed or opening.seed)
    answer = held.federation.holder(member).score_share(opening, direction_of(direction), held.masks)
    return held.file(f"score-{attempt}-{member}", answer)


def test_every_score_is_the_exact_estimate_of_the_drawn_questions(
    federation: Federation, tmp_path: Path
) -> None:
    held = some_round(federation, tmp_path, COUNT, 3, 1)
    opening, direction = federation.opening("AC", 1, 1), direction_of(1)
    shares = {member: share(held, member, 1, "AC") for member in "AC"}
    scores = held.scheme.combine_scores(opening, direction, held.uploads, shares)
    plan = draw_plan(THRESHOLD_WIDE, LEVELS, 1, direction, opening.seed)
    assert scores == {name: plan.score(plan.answers_of(values)) for name, values in held.values.items()}


def test_a_score_question_is_answered_with_the_same_bytes_again(
    federation: Federation, tmp_path: Path
) -> None:
    held = some_round(federation, tmp_path, COUNT, 2, 2)
    assert share(held, "A", 1, "AB").read_bytes() == share(held, "A", 1, "AB").read_bytes()


def test_another_question_in_the_same_attempt_is_refused(federation: Federation, tmp_path: Path) -> None:
    held = some_round(federation, tmp_path, COUNT, 2, 3)
    share(held, "A", 1, "AB")
    with pytest.raises(KeyHolderRefused, match="attempt 1 has been answered, for another question"):
        share(held, "A", 1, "AB", direction=2)


def test_the_same_questions_for_another_active_set_are_refused_and_others_answered(
    federation: Federation, tmp_path: Path
) -> None:
    held = some_round(federation, tmp_path, COUNT, 2, 4)
    share(held, "A", 1, "AB")
    with pytest.raises(KeyHolderRefused, match="was answered in another attempt"):
        share(held, "A", 2, "AC")
    assert share(held, "A", 3, "AC", seed="77" * 32).exists()


def test_a_score_share_of_another_attempt_or_holder_is_refused_by_name(
    federation: Federation, tmp_path: Path
) -> None:
    held = some_round(federation, tmp_path, COUNT, 2, 5)
    opening, direction = federation.opening("AB", 1, 5), direction_of(1)
    shares = {member: share(held, member, 1, "AB") for member in "AB"}
    with pytest.raises(MalformedInput, match="the share of A: it"):
        held.scheme.combine_scores(replace(opening, attempt=2), direction, held.uploads, shares)
    swapped = {"A": shares["B"], "B": shares["A"]}
    with pytest.raises(MalformedInput, match="the share of A: it"):
        held.scheme.combine_scores(opening, direction, held.uploads, swapped)
    with pytest.raises(KeyHolderRefused, match="the share of B is missing"):
        held.scheme.combine_scores(opening, direction, held.uploads, {"A": shares["A"]})
