"""Divides a data set: a stratified held-out set, and unlike shares for the silos by a Dirichlet draw per label.

Decides who gets which sample, as a function of a seed. The draw: for each class, the fractions of the silos come
from a symmetric Dirichlet distribution; alpha near 0 gives each silo few classes, a large alpha gives all the same
mixture. A silo left below the minimum is then filled up from the largest ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api import canonical
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.training.tables import Table


@dataclass(frozen=True, slots=True)
class ShareSummary:
    """How many samples of each class a silo has."""

    name: str
    samples: int
    per_class: tuple[int, ...]


def hold_out(table: Table, percent: int, seed: int) -> tuple[Table, Table]:
    """Return (rest, held-out set); `percent` of every class is held out, rounded up but never a whole class."""
    if not 1 <= percent <= 90:
        raise ConfigurationError(f"a held-out set of {percent} % is not from 1 to 90 %")
    random = _generator("hold out", seed)
    held = np.zeros(table.samples, dtype=bool)
    for label in np.unique(table.labels):
        members = random.permutation(np.flatnonzero(table.labels == label))
        held[members[: min(-(-members.size * percent // 100), members.size - 1)]] = True
    return table.rows(np.flatnonzero(~held)), table.rows(np.flatnonzero(held))


def dirichlet_split(table: Table, silos: int, alpha: float, minimum_samples: int, seed: int) -> list[Table]:
    """Divide every row of `table` among `silos` shares of at least `minimum_samples` rows each.

    Raises ConfigurationError when the samples do not suffice or the arguments make no sense.
    """
    if silos < 1 or minimum_samples < 1 or not 0 < alpha < 1e6:
        raise ConfigurationError(f"cannot split for {silos} silos, alpha {alpha}, minimum {minimum_samples}")
    if silos * minimum_samples > table.samples:
        raise ConfigurationError(
            f"{table.samples} samples cannot give {silos} silos {minimum_samples} each; take fewer participants or "
            "a larger data set"
        )
    owners = _draw(table.labels, silos, alpha, _generator("dirichlet split", seed))
    _fill_up(owners, table.labels, silos, minimum_samples)
    return [table.rows(np.flatnonzero(owners == silo)) for silo in range(silos)]


def summaries(names: Sequence[str], shares: Sequence[Table], classes: int) -> list[ShareSummary]:
    """Count the classes of each share; `names` and `shares` go together."""
    return [
        ShareSummary(
            name, share.samples, tuple(int(count) for count in np.bincount(share.labels, minlength=classes))
        )
        for name, share in zip(names, shares, strict=True)
    ]


def format_summaries(rows: Sequence[ShareSummary], classes: Sequence[str]) -> str:
    """Return a plain table, one line per silo, a column per class and a line of totals."""
    totals = tuple(map(sum, zip(*(row.per_class for row in rows), strict=True)))
    rows = [*rows, ShareSummary("all", sum(totals), totals)]
    lines = [("silo", *classes, "samples")]
    lines += [(row.name, *map(str, row.per_class), str(row.samples)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    )


def _draw(
    labels: NDArray[np.int64], silos: int, alpha: float, random: np.random.Generator
) -> NDArray[np.int64]:
    owners = np.zeros(labels.size, dtype=np.int64)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        cuts = np.rint(np.cumsum(random.dirichlet(np.full(silos, alpha)))[:-1] * members.size).astype(
            np.int64
        )
        for silo, part in enumerate(np.split(members, cuts)):
            owners[part] = silo
    return owners


def _fill_up(owners: NDArray[np.int64], labels: NDArray[np.int64], silos: int, minimum_samples: int) -> None:
    """Move single rows from the largest share, of its most frequent class, to the smallest until all suffice."""
    while True:
        sizes = np.bincount(owners, minlength=silos)
        needy = int(sizes.argmin())
        if sizes[needy] >= minimum_samples:
            return
        donor = int(sizes.argmax())
        frequent = int(np.bincount(labels[owners == donor]).argmax())
        owners[np.flatnonzero((owners == donor) & (labels == frequent))[-1]] = needy


def _generator(purpose: str, seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int(canonical.digest([purpose, seed]), 16)))
