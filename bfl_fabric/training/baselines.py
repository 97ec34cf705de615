"""What a federated model is compared with: one model on all data pooled, and one for each silo alone.

Both see every sample as often as the federated run does (rounds × local epochs), with the same hyperparameters,
initial model and held-out set. Neither is part of the protocol: pooling is what a federation exists to avoid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from bfl_chaincode.api.records import Metrics, TrainingTerms
from bfl_fabric.training.descent import CLASSIFICATION, Objective, Steps, descend, measure
from bfl_fabric.training.determinism import deterministic, seed_of
from bfl_fabric.training.samples import Samples
from bfl_fabric.training.vectors import ModuleFactory, build


@dataclass(frozen=True, slots=True)
class Baselines:
    """`alone` by participant id."""

    centralized: Metrics
    alone: Mapping[str, Metrics]

    @property
    def mean_alone_ppb(self) -> int:
        """Return the mean accuracy of the silos alone."""
        return sum(metrics.accuracy_ppb for metrics in self.alone.values()) // len(self.alone)


@dataclass(frozen=True, slots=True)
class Reference:
    """What all runs of a comparison have in common."""

    factory: ModuleFactory
    training: TrainingTerms
    rounds: int
    held_out: Samples
    objective: Objective = CLASSIFICATION


def baselines(reference: Reference, silos: Mapping[str, Samples]) -> Baselines:
    """Train on the pooled data and on each silo's alone, and measure all on the held-out set; deterministic."""
    pooled = Samples(
        torch.cat([samples.inputs for samples in silos.values()]),
        torch.cat([samples.targets for samples in silos.values()]),
    )
    return Baselines(
        train_alone(reference, "centralized", pooled),
        {name: train_alone(reference, name, samples) for name, samples in silos.items()},
    )


def train_alone(reference: Reference, name: str, samples: Samples) -> Metrics:
    """Train one model without a federation. Raises TrainingDiverged."""
    once = Steps.of(reference.training)
    steps = Steps(once.rate, once.momentum, once.batch_size, once.epochs * reference.rounds)
    module = build(reference.factory, reference.training.seed)
    with deterministic(seed_of("baseline", reference.training.seed, name)) as generator:
        descend(module, samples, reference.objective, steps, generator)
        return measure(module, reference.held_out, reference.objective)
