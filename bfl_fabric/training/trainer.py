"""The ports Trainer and Evaluator for torch: a function of (spec, round, base model, data), bit for bit.

Decides what a local update is; clipping, the grid and encryption come after it, in `learning` and `he`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bfl_chaincode.api.records import Metrics, TaskSpec
from bfl_fabric.domain.ports import LocalUpdate
from bfl_fabric.errors import TrainingDiverged
from bfl_fabric.training.descent import CLASSIFICATION, Objective, Steps, descend, measure, ppb
from bfl_fabric.training.determinism import deterministic, seed_of
from bfl_fabric.training.samples import TrainingData, source_of
from bfl_fabric.training.vectors import ModuleFactory, build, flatten, load, require_terms

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector


class TorchTrainer:
    """Trains a module of the user's factory on a silo's data, on the CPU.

    Args:
        participant_id: the silo; part of the seed, so that silos shuffle differently.
        factory: makes a new module; called once a round, with the task's seed.
        data: tensors, or a DataLoader whose data set and collate function are used (see `samples`).
        objective: the loss, by default cross-entropy over classes.
    """

    def __init__(
        self,
        participant_id: str,
        factory: ModuleFactory,
        data: TrainingData,
        objective: Objective = CLASSIFICATION,
    ) -> None:
        self._participant_id = participant_id
        self._factory = factory
        self._source = source_of(data)
        self._objective = objective

    @property
    def samples(self) -> int:
        return self._source.count

    def train(self, spec: TaskSpec, round_number: int, base: Float32Vector) -> LocalUpdate:
        """Return the change of the model after the task's local epochs, and the mean loss of the last of them.

        Raises:
            ConfigurationError: the module is not the task's, or the terms cannot be used.
            MalformedInput: the base model does not fit.
            TrainingDiverged: a loss or a weight is not finite.
        """
        steps = Steps.of(spec.training)
        seed = seed_of("local training", spec.training.seed, spec.task_id, round_number, self._participant_id)
        module = build(self._factory, spec.training.seed)
        require_terms(module, spec.model)
        load(module, base)
        try:
            with deterministic(seed) as generator:
                loss = descend(module, self._source, self._objective, steps, generator)
        except TrainingDiverged as error:
            raise TrainingDiverged(f"{self._participant_id}, round {round_number}: {error}") from error
        delta = flatten(module) - base
        if not np.isfinite(delta).all():
            raise TrainingDiverged(
                f"{self._participant_id}, round {round_number}: a weight is not finite; lower the learning rate"
            )
        return LocalUpdate(delta, self.samples, ppb(loss))


class TorchEvaluator:
    """Measures a model on held-out data."""

    def __init__(
        self, factory: ModuleFactory, data: TrainingData, objective: Objective = CLASSIFICATION
    ) -> None:
        self._factory = factory
        self._source = source_of(data)
        self._objective = objective

    def evaluate(self, spec: TaskSpec, model: Float32Vector) -> Metrics:
        """Return accuracy, mean loss and sample count. Raises as `TorchTrainer.train` does."""
        module = build(self._factory, spec.training.seed)
        require_terms(module, spec.model)
        load(module, model)
        with deterministic(seed_of("evaluation", spec.training.seed)):
            return measure(module, self._source, self._objective)
