"""A silo's data as a file: raw features, integer labels, and the name of their schema; numpy only.

Decides the file's form (`containers`); what the numbers mean is the schema's business. A silo's process opens its
own file and no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.errors import MalformedInput
from bfl_fabric.training import containers

MAX_TABLE_BYTES = 2**30
_PLANS = {"features": containers.Plan("F64", (None, None)), "labels": containers.Plan("I64", (None,))}


@dataclass(frozen=True, slots=True)
class Table:
    """`features` float64[samples, features], `labels` int64[samples], `schema` a name of `schemas.SCHEMAS`."""

    schema: str
    features: NDArray[np.float64]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = self.features.shape
        if len(shape) != 2 or self.labels.shape != shape[:1] or 0 in shape:
            raise MalformedInput(
                f"a table needs features of [n, d] and n labels, found {shape}, {self.labels.shape}"
            )
        if self.features.dtype != np.float64 or self.labels.dtype != np.int64:
            raise MalformedInput(
                f"a table is float64 and int64, found {self.features.dtype}, {self.labels.dtype}"
            )
        if not np.isfinite(self.features).all():
            row = int(np.flatnonzero(~np.isfinite(self.features).all(axis=1))[0])
            raise MalformedInput(f"sample {row} has a feature that is NaN or infinite; clean the data first")
        if int(self.labels.min()) < 0:
            raise MalformedInput("a label is negative; labels are class numbers from 0")

    @property
    def samples(self) -> int:
        return int(self.labels.size)

    def rows(self, indices: NDArray[np.int64]) -> Table:
        """Return the table of these rows, in this order."""
        return Table(self.schema, self.features[indices], self.labels[indices])


def save_table(path: Path, table: Table) -> None:
    """Write a table; equal tables give equal bytes."""
    containers.write(path, {"features": table.features, "labels": table.labels}, table.schema)


def load_table(path: Path) -> Table:
    """Read what `save_table` wrote. Raises ConfigurationError without a file, MalformedInput on anything odd."""
    tensors, schema = containers.read(path, _PLANS, MAX_TABLE_BYTES)
    return Table(schema, tensors["features"], tensors["labels"])
