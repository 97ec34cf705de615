"""Updates of real training, and what a poisoner makes of them, told apart by measured norm and cosine alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bfl_fabric.he.lattice.parameters import THRESHOLD_T20, THRESHOLD_WIDE, LatticeParameters
from bfl_fabric.he.scoring.directions import draw_plan
from bfl_fabric.he.scoring.norms import NormTerms, cosine, draw_norm_plan, norm_squared
from bfl_fabric.learning.arithmetic import ExactArithmetic, Grid
from bfl_fabric.training.datasets import load_data
from bfl_fabric.training.models import architecture
from bfl_fabric.training.profiles import PROFILES
from bfl_fabric.training.samples import samples_of
from bfl_fabric.training.trainer import TorchTrainer
from bfl_fabric.training.vectors import build, flatten
from tests.unit.training.tasks import profile_spec

LEVELS = 2**15 - 1


def second_round(name: str) -> tuple[np.ndarray, list[tuple[np.ndarray, int]]]:
    """Return the direction of a profile's first sum, and the updates, with weights, of its second round."""
    profile, arithmetic = PROFILES[name], ExactArithmetic()
    factory = architecture(profile.architecture)
    shares, _ = profile.divide(load_data(name), profile.participants, 1)
    spec, model = profile_spec(profile, factory, 1), flatten(build(factory, 1))
    assert Grid.of(spec.encryption).levels == LEVELS
    trainers = [
        TorchTrainer(f"silo-{number}", factory, samples_of(share)) for number, share in enumerate(shares)
    ]

    def updates(number: int) -> list[tuple[np.ndarray, int]]:
        trained = [trainer.train(spec, number, model) for trainer in trainers]
        return [
            (arithmetic.quantize(spec.encryption, one.delta, one.samples), one.samples) for one in trained
        ]

    first = updates(1)
    total, weight = np.sum([values for values, _ in first], axis=0), sum(weight for _, weight in first)
    model = arithmetic.apply_sum(spec.encryption, model, total, weight)
    return arithmetic.direction(total), updates(2)


@pytest.mark.parametrize(
    ("name", "parameters", "questions"),
    [("breast-cancer", THRESHOLD_WIDE, 14), ("digits", THRESHOLD_WIDE, 60), ("digits", THRESHOLD_T20, 60)],
)
def test_a_boosted_and_a_flipped_update_stand_apart_from_the_honest_ones(
    name: str, parameters: LatticeParameters, questions: int
) -> None:
    direction, updates = second_round(name)
    heaviest, energy = max(weight for _, weight in updates), int((direction.astype(np.int64) ** 2).sum())
    terms = NormTerms(parameters, direction.size, LEVELS, questions)
    boosts = alarms = 0
    for number in range(10):
        seed = f"{number:064x}"
        plan = draw_norm_plan(terms, heaviest, seed, seed)
        asked = draw_plan(parameters, LEVELS, heaviest, direction, seed, besides=plan.revealed)

        def norm(values: np.ndarray, weight: int) -> float:
            return math.isqrt(norm_squared(plan, plan.answers_of(values))) / weight  # noqa: B023

        def angle(values: np.ndarray) -> int:
            squared = norm_squared(plan, plan.answers_of(values))  # noqa: B023
            return cosine(asked.score(asked.answers_of(values)), squared, energy)  # noqa: B023

        limit = 3 * float(np.median([norm(values, weight) for values, weight in updates]))
        for values, weight in updates:
            boosted = np.clip(10 * values, -LEVELS * weight, LEVELS * weight)
            boosts += norm(boosted, weight) > limit
            alarms += norm(values, weight) > limit
            assert angle(-values) == -angle(values) < 0
    asked_for = 10 * len(updates)
    assert boosts >= 0.9 * asked_for
    assert alarms <= 0.1 * asked_for
