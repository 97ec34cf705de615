"""A torch module as the flat float32 vector that travels, and back.

Decides which tensors of a module belong to the model: every floating tensor of its `state_dict`, in that order,
row-major. So the running mean and variance of batch normalization are averaged like weights; its integer batch
counter stays with the silo and starts at zero in every round. Any other tensor that is not float32 is refused.
Tied weights travel once under each of their names. Layers with running statistics work, but averaging them over
silos whose data differ costs accuracy: prefer GroupNorm or LayerNorm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from bfl_chaincode.api.records import ModelTerms, Tensor
from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.training.determinism import deterministic, seed_of

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector

ModuleFactory: TypeAlias = Callable[[], torch.nn.Module]
"""Makes a new module with the same tensors at every call; its random choices are seeded by the caller."""

_SILO_COUNTER = "num_batches_tracked"


def build(factory: ModuleFactory, seed: int) -> torch.nn.Module:
    """Make a module on the CPU; equal seeds give equal initial weights. Global random state is left as it was."""
    with deterministic(seed_of("initial model", seed)):
        module = factory()
    if not isinstance(module, torch.nn.Module):
        raise ConfigurationError(f"the factory made a {type(module).__name__}, not a torch.nn.Module")
    return module


def model_terms(architecture: str, module: torch.nn.Module) -> ModelTerms:
    """Describe a module as a task's spec does; its present weights are the initial model."""
    vector = flatten(module)
    tensors = tuple(Tensor(name, tuple(tensor.shape)) for name, tensor in model_tensors(module).items())
    digest = hashlib.sha256(vector.astype("<f4", copy=False).tobytes()).hexdigest()
    return ModelTerms(architecture, tensors, int(vector.size), digest)


def model_tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors that travel, by name. Raises ConfigurationError for a module that cannot travel."""
    state = module.state_dict()
    tensors = {name: _checked(name, value) for name, value in state.items() if not _stays(name, value)}
    if not tensors:
        raise ConfigurationError(f"{type(module).__name__} has no tensors to train")
    return tensors


def flatten(module: torch.nn.Module) -> Float32Vector:
    """Return a copy of the module's tensors as float32[parameter_count]."""
    parts = [tensor.detach().numpy().reshape(-1) for tensor in model_tensors(module).values()]
    return np.concatenate(parts).astype(np.float32)


def load(module: torch.nn.Module, vector: Float32Vector) -> None:
    """Put a vector into the module. Raises MalformedInput unless length, type and finiteness are right."""
    tensors = model_tensors(module)
    expected = sum(tensor.numel() for tensor in tensors.values())
    if vector.dtype != np.float32 or vector.shape != (expected,):
        raise MalformedInput(
            f"the model vector is {vector.dtype} of shape {vector.shape}; the module takes float32 of ({expected},)"
        )
    if not np.isfinite(vector).all():
        raise MalformedInput("the model vector has coordinates that are not finite")
    start = 0
    with torch.no_grad():
        for tensor in tensors.values():
            stop = start + tensor.numel()
            tensor.copy_(torch.tensor(vector[start:stop]).reshape(tensor.shape))
            start = stop


def require_terms(module: torch.nn.Module, terms: ModelTerms) -> None:
    """Raise ConfigurationError unless the module's tensors are those of the task, in name, order and shape."""
    found = tuple(Tensor(name, tuple(tensor.shape)) for name, tensor in model_tensors(module).items())
    if found == terms.tensors:
        return
    pairs = zip((*found, None), (*terms.tensors, None), strict=False)
    mine, theirs = next((mine, theirs) for mine, theirs in pairs if mine != theirs)
    raise ConfigurationError(
        f"the module is not the task's {terms.architecture!r}: it has {_named(mine)} where the task has "
        f"{_named(theirs)}; use the model that the task was published with"
    )


def _stays(name: str, value: object) -> bool:
    last = name.rpartition(".")[2]
    return last == _SILO_COUNTER and isinstance(value, torch.Tensor) and value.dtype == torch.int64


def _checked(name: str, value: object) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise ConfigurationError(f"{name} is extra state, not a tensor; only tensors travel")
    if is_lazy(value):
        raise ConfigurationError(f"{name} has no shape yet; run the module once inside the factory")
    if value.layout != torch.strided or value.device.type != "cpu":
        raise ConfigurationError(
            f"{name} is {value.layout} on {value.device}; it must be dense and on the CPU"
        )
    if value.dtype != torch.float32:
        raise ConfigurationError(
            f"{name} is {value.dtype}; only float32 travels: call .float() on the module, or register a constant "
            "buffer with persistent=False"
        )
    if value.numel() == 0:
        raise ConfigurationError(f"{name} is empty")
    return value


def _named(tensor: Tensor | None) -> str:
    return "nothing more" if tensor is None else f"{tensor.name} {tensor.shape}"
