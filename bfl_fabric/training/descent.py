"""Stochastic gradient descent with momentum, and evaluation: what a step is, and when to stop in disgust.

Written out instead of taken from `torch.optim`, whose first use imports torch's compiler for seconds in every
silo's process. The rule is v ← momentum·v + g, w ← w − rate·v, v = 0 at the start of every round.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bfl_chaincode.api.records import PPB, Metrics, TrainingTerms
from bfl_fabric.errors import ConfigurationError, TrainingDiverged
from bfl_fabric.training.samples import Source, ordered_batches, shuffled_batches

EVALUATION_BATCH = 1024
MAX_LOSS_PPB = 2**62
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")


@dataclass(frozen=True, slots=True)
class Objective:
    """`loss` (outputs, targets) → mean loss, a scalar; `hits` (outputs, targets) → a boolean for each sample."""

    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    hits: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _most_likely(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return outputs.argmax(dim=1) == targets


CLASSIFICATION = Objective(torch.nn.functional.cross_entropy, _most_likely)
"""Outputs are scores [batch, classes], targets class numbers [batch]."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The checked hyperparameters of one local training."""

    rate: float
    momentum: float
    batch_size: int
    epochs: int

    @classmethod
    def of(cls, terms: TrainingTerms) -> Steps:
        """Check the terms. Raises ConfigurationError."""
        steps = cls(
            _decimal("learning_rate", terms.learning_rate),
            _decimal("momentum", terms.momentum),
            terms.batch_size,
            terms.local_epochs,
        )
        if steps.rate == 0 or steps.momentum >= 1 or steps.batch_size < 1 or steps.epochs < 1:
            raise ConfigurationError(
                f"cannot train with learning rate {terms.learning_rate}, momentum {terms.momentum}, batch size "
                f"{terms.batch_size}, {terms.local_epochs} local epochs: the momentum is below 1, the rest above 0"
            )
        return steps


def descend(
    module: torch.nn.Module, source: Source, objective: Objective, steps: Steps, generator: torch.Generator
) -> float:
    """Train the module in place and return the mean loss over the samples of the last epoch.

    Call it inside `deterministic`. Raises TrainingDiverged on the first loss that is not finite.
    """
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    if not weights:
        raise ConfigurationError("no parameter of the module requires a gradient; there is nothing to train")
    velocities = [torch.zeros_like(weight) for weight in weights]
    module.train()
    mean = 0.0
    for epoch in range(steps.epochs):
        total = 0.0
        batches = shuffled_batches(source.count, steps.batch_size, generator)
        for number, (inputs, targets) in enumerate(source.walk(batches)):
            loss = objective.loss(module(inputs), targets)
            total += _finite(loss, f"epoch {epoch + 1}, batch {number + 1}") * len(batches[number])
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
            _step(weights, velocities, gradients, steps)
        mean = total / source.count
    return mean


def measure(module: torch.nn.Module, source: Source, objective: Objective) -> Metrics:
    """Return accuracy and mean loss over all samples. Call it inside `deterministic`."""
    module.eval()
    hits, total = 0, 0.0
    batches = ordered_batches(source.count, EVALUATION_BATCH)
    with torch.inference_mode():
        for number, (inputs, targets) in enumerate(source.walk(batches)):
            outputs = module(inputs)
            total += _finite(objective.loss(outputs, targets), f"evaluation batch {number + 1}") * len(
                batches[number]
            )
            hits += int(objective.hits(outputs, targets).sum())
    return Metrics(hits * PPB // source.count, ppb(total / source.count), source.count)


def ppb(value: float) -> int:
    """Return parts per billion, within what a ledger integer holds."""
    return max(-MAX_LOSS_PPB, min(MAX_LOSS_PPB, round(value * PPB)))


@torch.no_grad()
def _step(
    weights: list[torch.nn.Parameter],
    velocities: list[torch.Tensor],
    gradients: tuple[torch.Tensor | None, ...],
    steps: Steps,
) -> None:
    for weight, velocity, gradient in zip(weights, velocities, gradients, strict=True):
        if gradient is not None:
            velocity.mul_(steps.momentum).add_(gradient)
            weight.sub_(velocity, alpha=steps.rate)


def _finite(loss: torch.Tensor, where: str) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"the loss is {value} in {where}; lower the learning rate or look for broken samples"
        )
    return value


def _decimal(name: str, text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ConfigurationError(f"{name} {text!r} is not a plain decimal such as '0.05'")
    return float(text)
