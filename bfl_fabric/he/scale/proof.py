"""A small round that is real throughout: every way to add it up gives the same bytes, and they open to the exact sum.

Every upload is encrypted by the scheme for its own participant. Flat in any order, through two levels of aggregators,
and by shards; the table of the sum is the receipt of every member, at every level.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bfl_fabric.domain.ports import AggregationScheme, SecretOpener
from bfl_fabric.he.lattice.bodies import KeyName, begin_sum
from bfl_fabric.he.lattice.messages import Kind, open_message
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.scale.simulation import Case, simulate
from bfl_fabric.he.scale.uploads import EPOCH, WEIGHT, participant, random_values
from bfl_fabric.he.sharding import Submit, sharded_sum


@dataclass(frozen=True, slots=True)
class Federation:
    """A task's terms and key, who can encrypt for it, and who can open it."""

    terms: LatticeTerms
    key: KeyName
    member: AggregationScheme
    opener: SecretOpener


def prove(
    federation: Federation, participants: int, parameters: int, shards: int, submit: Submit, place: Path
) -> list[str]:
    """Return a line for each thing that was found to hold. Raises AssertionError for one that does not."""
    values = [random_values(number, parameters, federation.terms.levels) for number in range(participants)]
    uploads = [
        federation.member.encrypt(participant(number), EPOCH, WEIGHT, part)
        for number, part in enumerate(values)
    ]

    def digest(levels: int, numbers: Sequence[int]) -> str:
        def write(at: int, path: Path) -> None:
            path.write_bytes(uploads[numbers[at]])

        case = Case(participants, parameters, levels)
        return simulate(case, federation.terms, federation.key, write, place).sum_digest

    in_order = range(participants)
    flat = digest(1, in_order)
    _hold(digest(1, in_order[::-1]) == flat, "another order gives other bytes")
    _hold(digest(2, in_order) == flat, "two levels of aggregators give other bytes")
    sharded = sharded_sum(federation.terms, federation.key, _files(uploads, place), shards, submit)
    _hold(hashlib.sha256(sharded).hexdigest() == flat, "shards give other bytes")
    _hold(_receipts(federation, place / "sum") == _expected(uploads), "the table is not that of the uploads")
    opened = federation.opener.open_sum(place / "sum", participants)
    _hold(np.array_equal(opened, np.sum(values, axis=0)), "the opened sum is not the exact sum")
    return [
        f"{participants} encrypted updates of {parameters:,} parameters open to their exact sum",
        f"reverse order, two levels of aggregators and {shards} shards give the same bytes as one aggregator",
        "the table of the sum of sums has participant, digest and weight of every upload",
    ]


def _files(uploads: Sequence[bytes], place: Path) -> list[Path]:
    paths = [place / f"upload-{number}" for number in range(len(uploads))]
    for path, data in zip(paths, uploads, strict=True):
        path.write_bytes(data)
    return paths


def _receipts(federation: Federation, path: Path) -> list[tuple[str, str, int]]:
    parameters = federation.terms.parameters
    with open_message(path, parameters, Kind.SUM) as reader:
        return [
            (row.participant_id, row.digest.hex(), row.weight) for row, _ in begin_sum(reader, parameters)
        ]


def _expected(uploads: Sequence[bytes]) -> list[tuple[str, str, int]]:
    return [
        (participant(number).participant_id, hashlib.sha256(data).hexdigest(), WEIGHT)
        for number, data in enumerate(uploads)
    ]


def _hold(holds: bool, problem: str) -> None:
    if not holds:
        raise AssertionError(problem)
