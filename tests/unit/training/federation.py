"""A federated run in plain: exact quantized sums, no ledger, no encryption. The outside of what a round computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfl_fabric.learning.arithmetic import ExactArithmetic
from bfl_fabric.training.baselines import Baselines, Reference, baselines
from bfl_fabric.training.datasets import load_data
from bfl_fabric.training.models import architecture
from bfl_fabric.training.profiles import PROFILES
from bfl_fabric.training.samples import samples_of
from bfl_fabric.training.trainer import TorchEvaluator, TorchTrainer
from bfl_fabric.training.vectors import build, flatten
from tests.unit.training.tasks import profile_spec


@dataclass(frozen=True, slots=True)
class Outcome:
    """Accuracies in percent; `largest` is the largest coordinate of any update, `digest_input` the final model."""

    federated: float
    centralized: float
    mean_alone: float
    largest: float
    model: np.ndarray


def simulate(name: str, seed: int) -> Outcome:
    """Run a profile as it stands: split, train, quantize, sum, apply, for all rounds, then the baselines."""
    profile = PROFILES[name]
    factory = architecture(profile.architecture)
    shares, held_out = profile.divide(load_data(name), profile.participants, seed)
    silos = {f"silo-{number}": samples_of(share) for number, share in enumerate(shares, 1)}
    spec = profile_spec(profile, factory, seed)
    trainers = [TorchTrainer(silo, factory, samples) for silo, samples in silos.items()]
    weight = sum(trainer.samples for trainer in trainers)
    arithmetic, model, largest = ExactArithmetic(), flatten(build(factory, seed)), 0.0
    for number in range(1, profile.rounds + 1):
        updates = [trainer.train(spec, number, model) for trainer in trainers]
        largest = max(largest, *(float(np.abs(update.delta).max()) for update in updates))
        parts = [arithmetic.quantize(spec.encryption, update.delta, update.samples) for update in updates]
        model = arithmetic.apply_sum(spec.encryption, model, np.sum(parts, axis=0), weight)
    metrics = TorchEvaluator(factory, samples_of(held_out)).evaluate(spec, model)
    compared: Baselines = baselines(
        Reference(factory, profile.training(seed), profile.rounds, samples_of(held_out)), silos
    )
    return Outcome(
        metrics.accuracy_ppb / 1e7,
        compared.centralized.accuracy_ppb / 1e7,
        compared.mean_alone_ppb / 1e7,
        largest,
        model,
    )
