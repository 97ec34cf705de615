"""The named architectures that the command line knows. An application brings any `torch.nn.Module` instead."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.training.vectors import ModuleFactory


def breast_cancer_mlp() -> nn.Module:
    """Return 30 features → 16 → 2 classes, 530 parameters."""
    return nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))


def digits_mlp() -> nn.Module:
    """Return 8×8 pixels → 32 → 10 classes, 2,410 parameters."""
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


ARCHITECTURES: Mapping[str, ModuleFactory] = MappingProxyType(
    {"breast-cancer-mlp": breast_cancer_mlp, "digits-mlp": digits_mlp}
)


def architecture(name: str) -> ModuleFactory:
    """Return the factory of a named architecture. Raises ConfigurationError."""
    if name not in ARCHITECTURES:
        raise ConfigurationError(
            f"unknown architecture {name!r}; known are {', '.join(sorted(ARCHITECTURES))}"
        )
    return ARCHITECTURES[name]
