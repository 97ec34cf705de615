"""A module as a task's spec describes it, with its seeded initial parameters."""

from __future__ import annotations

import torch

from bfl_chaincode.api.records import ModelTerms
from bfl_fabric.training.vectors import ModuleFactory, build, flatten, model_terms


def describe(architecture: str, factory: ModuleFactory, seed: int) -> tuple[ModelTerms, bytes]:
    """Return the terms of the model and its initial parameters as raw float32, little-endian.

    Args:
        architecture: a name by which people and nodes know the model; nodes that train only their own
            architectures compare it.
        factory: makes the module; called once, under the seed.
        seed: equal seeds give equal initial parameters.

    Raises ConfigurationError for a module that cannot travel.
    """
    module: torch.nn.Module = build(factory, seed)
    return model_terms(architecture, module), flatten(module).astype("<f4", copy=False).tobytes()
