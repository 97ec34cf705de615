"""A model of about a million parameters for the smallest of images: much to encrypt, little to train."""

from __future__ import annotations

from types import MappingProxyType

from torch import nn

from bfl_fabric.training import models

WIDE = "digits-wide-mlp"
_WIDTH = 960


def wide_mlp() -> nn.Module:
    """Return 8×8 pixels → 960 → 960 → 10 classes, 994,570 parameters."""
    return nn.Sequential(
        nn.Linear(64, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, 10)
    )


def register() -> None:
    """Let this process know the architecture by its name."""
    models.ARCHITECTURES = MappingProxyType({**models.ARCHITECTURES, WIDE: wide_mlp})
