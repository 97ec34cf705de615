"""Task specs and small data that the tests of training share."""

from __future__ import annotations

import numpy as np
import torch

from bfl_chaincode.api.records import (
    CohortTerms,
    DataTerms,
    EncryptionTerms,
    IncentiveTerms,
    ModelTerms,
    RoleTerms,
    ScheduleTerms,
    TaskSpec,
    TrainingTerms,
    VerificationTerms,
)
from bfl_fabric.training.profiles import Profile
from bfl_fabric.training.samples import Samples
from bfl_fabric.training.vectors import ModuleFactory, build, model_terms


def small_module() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


def small_samples(count: int = 50) -> Samples:
    """Three classes on a line, in four dimensions, by arithmetic and not by chance."""
    labels = np.arange(count) % 3
    spread = np.sin(np.arange(count * 4, dtype=np.float64)).reshape(count, 4)
    inputs = (labels[:, None] - 1 + 0.3 * spread).astype(np.float32)
    return Samples(torch.tensor(inputs), torch.tensor(labels))


def spec_of(
    model: ModelTerms, training: TrainingTerms, clip: str = "1", value_bits: int = 16, rounds: int = 1
) -> TaskSpec:
    return TaskSpec(
        task_id="task-1",
        title="a test",
        purpose="test",
        model=model,
        training=training,
        data=DataTerms("0" * 64, 1),
        schedule=ScheduleTerms(rounds, 60),
        cohort=CohortTerms(2, 0),
        roles=RoleTerms("Org1MSP", "Org2MSP", "Org3MSP"),
        encryption=EncryptionTerms("ckks", "0" * 64, value_bits, clip, 32_768),
        verification=VerificationTerms(2, 2),
        incentive=IncentiveTerms(0, 0, 0, 1, 0),
    )


def small_spec(factory: ModuleFactory = small_module, **changes: int | str) -> TaskSpec:
    terms = {
        "learning_rate": "0.1",
        "momentum": "0.9",
        "batch_size": 8,
        "local_epochs": 3,
        "seed": 7,
        **changes,
    }
    training = TrainingTerms(**terms)  # type: ignore[arg-type]
    return spec_of(model_terms("small", build(factory, training.seed)), training)


def profile_spec(profile: Profile, factory: ModuleFactory, seed: int) -> TaskSpec:
    model = model_terms(profile.architecture, build(factory, seed))
    return spec_of(model, profile.training(seed), profile.clip, profile.value_bits, profile.rounds)
