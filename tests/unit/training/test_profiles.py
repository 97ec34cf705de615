"""The profiles, held to what they promise by whole runs with exact quantized sums."""

from __future__ import annotations

import numpy as np
import pytest

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.errors import TrainingDiverged
from bfl_fabric.learning.arithmetic import Grid
from bfl_fabric.training.baselines import Reference, baselines, train_alone
from bfl_fabric.training.datasets import load_data
from bfl_fabric.training.models import ARCHITECTURES, architecture
from bfl_fabric.training.profiles import PROFILES, Profile
from bfl_fabric.training.samples import samples_of
from bfl_fabric.training.tables import Table
from tests.unit.training.federation import simulate
from tests.unit.training.tasks import small_module, small_samples, small_spec

POINT = 1.0


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.data)
def test_a_profile_fits_its_architecture_its_schema_and_the_schemes_thirty_bits(profile: Profile) -> None:
    assert profile.architecture in ARCHITECTURES
    assert profile.schema.name == profile.data
    assert (profile.value_bits - 1) + np.log2(profile.max_total_weight) <= 30
    assert load_data(profile.data).samples <= profile.max_total_weight
    Grid.of(EncryptionTerms("ckks", "", profile.value_bits, profile.clip, profile.max_total_weight))


def test_a_profiles_seed_may_be_replaced() -> None:
    profile = PROFILES["breast-cancer"]
    assert profile.training().seed == profile.seed
    assert profile.training(9).seed == 9
    assert profile.training(9).learning_rate == profile.learning_rate


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_federated_breast_cancer_is_within_a_point_of_centralized_and_above_the_silos_alone(
    seed: int,
) -> None:
    outcome = simulate("breast-cancer", seed)
    assert outcome.federated >= outcome.centralized - POINT
    assert outcome.federated > outcome.mean_alone
    assert outcome.largest < float(PROFILES["breast-cancer"].clip)


def test_a_whole_run_gives_the_same_model_bit_for_bit() -> None:
    first, second = simulate("breast-cancer", 1), simulate("breast-cancer", 1)
    assert (first.model == second.model).all()


@pytest.mark.slow
def test_federated_digits_is_near_centralized_and_far_above_the_silos_alone() -> None:
    outcome = simulate("digits", 1)
    assert outcome.federated > 95
    assert outcome.federated >= outcome.centralized - 2 * POINT
    assert outcome.federated > outcome.mean_alone + 15
    assert outcome.largest < float(PROFILES["digits"].clip)


def test_baselines_are_deterministic_and_name_every_silo() -> None:
    reference = Reference(small_module, small_spec().training, 2, small_samples(30))
    silos = {"north": small_samples(20), "south": small_samples(25)}
    first, second = baselines(reference, silos), baselines(reference, silos)
    assert first == second
    assert set(first.alone) == {"north", "south"}
    assert first.mean_alone_ppb == sum(metrics.accuracy_ppb for metrics in first.alone.values()) // 2
    assert first.centralized.samples == 30


def test_a_baseline_learns_more_in_more_rounds() -> None:
    losses = [
        train_alone(
            Reference(small_module, small_spec().training, rounds, small_samples()), "a", small_samples()
        )
        for rounds in (1, 5)
    ]
    assert losses[1].loss_ppb < losses[0].loss_ppb


def test_a_silo_alone_that_diverges_says_so() -> None:
    reference = Reference(small_module, small_spec(learning_rate="999999999").training, 1, small_samples())
    with pytest.raises(TrainingDiverged, match="epoch"):
        train_alone(reference, "a", small_samples())


def test_a_silo_with_one_class_only_can_be_compared() -> None:
    """A Dirichlet split makes such silos; they must not break a demonstration."""
    table = load_data("breast-cancer")
    one_class = Table(
        table.schema, table.features[table.labels == 1][:20], table.labels[table.labels == 1][:20]
    )
    profile = PROFILES["breast-cancer"]
    reference = Reference(architecture(profile.architecture), profile.training(), 2, samples_of(table))
    assert 0 < train_alone(reference, "one", samples_of(one_class)).accuracy_ppb < 10**9
