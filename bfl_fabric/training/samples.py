"""Where a trainer's batches come from: tensors, or the data set of an application's DataLoader.

Decides the order and the cut of batches from the task's seed, for both alike. Of a DataLoader the data set and the
collate function are used, in this process; its batch size, sampler and workers give way to the task's terms,
because every retry must see the same batches. A loader that draws with a sampler of its own is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler

from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.training.schemas import schema
from bfl_fabric.training.tables import Table, load_table

Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]


class Source(Protocol):
    """Samples that can be walked in a given order."""

    @property
    def count(self) -> int: ...

    def walk(self, order: list[list[int]]) -> Iterator[Batch]:
        """Yield (inputs, targets) for each list of sample indices."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs [n, …] and targets [n, …] in memory; floating inputs must be finite."""

    inputs: torch.Tensor
    targets: torch.Tensor

    def __post_init__(self) -> None:
        if self.inputs.ndim == 0 or self.targets.ndim == 0 or len(self.inputs) != len(self.targets):
            shapes = f"{tuple(self.inputs.shape)} and targets {tuple(self.targets.shape)}"
            raise MalformedInput(f"inputs {shapes} are not one each for every sample")
        if len(self.inputs) == 0:
            raise MalformedInput("there are no samples")
        for name, tensor in (("inputs", self.inputs), ("targets", self.targets)):
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise MalformedInput(f"the {name} hold NaN or infinity; clean the data first")

    @property
    def count(self) -> int:
        return len(self.inputs)

    def walk(self, order: list[list[int]]) -> Iterator[Batch]:
        for indices in order:
            chosen = torch.tensor(indices)
            yield self.inputs[chosen], self.targets[chosen]


@dataclass(frozen=True, slots=True)
class LoaderSource:
    """The data set and collate function of a DataLoader whose batches are (inputs, targets)."""

    loader: DataLoader[Any]

    def __post_init__(self) -> None:
        sampler = self.loader.sampler
        if isinstance(self.loader.dataset, IterableDataset) or self.loader.batch_size is None:
            raise ConfigurationError(
                "the DataLoader must cut batches of a data set with a length: no stream (IterableDataset), no "
                "batch_sampler, no batch_size=None"
            )
        plain = type(sampler) is SequentialSampler or (
            type(sampler) is RandomSampler and not sampler.replacement
        )
        if not plain:
            raise ConfigurationError(
                f"the DataLoader draws with {type(sampler).__name__}; the task decides the order of samples, so pass "
                "shuffle=True or False and no sampler, and put weights into the loss"
            )
        if self.count == 0:
            raise MalformedInput("the DataLoader's data set is empty")

    @property
    def count(self) -> int:
        return len(cast(Sized, self.loader.dataset))

    def walk(self, order: list[list[int]]) -> Iterator[Batch]:
        dataset: Any = self.loader.dataset
        for indices in order:
            batch = self.loader.collate_fn([dataset[index] for index in indices])
            if not (isinstance(batch, tuple | list) and len(batch) == 2):
                raise ConfigurationError("a batch of the DataLoader must be a pair (inputs, targets)")
            yield batch[0], batch[1]


TrainingData: TypeAlias = Samples | DataLoader[Any]


def source_of(data: TrainingData) -> Source:
    """Return the batches' source. Raises ConfigurationError for what cannot be walked deterministically."""
    return LoaderSource(data) if isinstance(data, DataLoader) else data


def samples_of(table: Table) -> Samples:
    """Return a table as model inputs, scaled by its schema's public transform."""
    known = schema(table.schema)
    known.require_labels(table.labels)
    return Samples(torch.tensor(known.transform(table.features)), torch.tensor(table.labels))


def load_samples(path: Path) -> Samples:
    """Return a silo's or held-out table file as model inputs."""
    return samples_of(load_table(path))


def shuffled_batches(count: int, size: int, generator: torch.Generator) -> list[list[int]]:
    """Return all indices in random order, in batches of `size`.

    A last batch of one joins the one before it: batch normalization cannot train on a single sample.
    """
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return _cut(order, size)


def ordered_batches(count: int, size: int) -> list[list[int]]:
    """Return all indices in order, in batches of `size`."""
    return _cut(list(range(count)), size)


def _cut(order: list[int], size: int) -> list[list[int]]:
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if len(batches) > 1 and size > 1 and len(batches[-1]) == 1:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches
