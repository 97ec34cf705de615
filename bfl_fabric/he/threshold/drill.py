"""Practice openings of a fresh joint key: sums of known values, encrypted with public randomness.

One for each window of t consecutive members. Every window that opens gives the same secret at 0, so when all do, all
shares lie on one polynomial of degree t − 1, and any t members open what comes. A window that does not open shows
that a member dealt wrongly: the epoch is burnt, and its members' seeds tell who (`blame`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.domain.ports import OpeningTerms, ShareHolder
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.he.lattice.channels import message_polynomial
from bfl_fabric.he.lattice.messages import Header, Kind
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.threshold.answering import DRILL_TASK, LEAST_MASKS
from bfl_fabric.he.threshold.plan import KeyPlan
from bfl_fabric.he.threshold.scheme import JointScheme

_DOMAIN = "bfl-fabric drill v1"


@dataclass(frozen=True, slots=True)
class Window:
    """One practice opening: who answered, and whether the known sum came out; if not, `problem` says why."""

    members: tuple[str, ...]
    opened: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Practice:
    """The files of one practice opening; every member makes the same bytes from the joint key."""

    opening: OpeningTerms
    aggregate: Path
    masks: tuple[Path, ...]
    total: NDArray[np.int64]


def windows(plan: KeyPlan) -> list[tuple[str, ...]]:
    """Return the windows of t consecutive members, each another from its first member on."""
    starts = range(len(plan.members) - plan.threshold + 1)
    return [plan.members[start : start + plan.threshold] for start in starts]


def practice(scheme: JointScheme, number: int, folder: Path) -> Practice:
    """Write the files for window `number`, from 0, into `folder`: two uploads' masks and their sum."""
    plan = scheme.joint_key.plan
    count = plan.parameters.polynomials_per_mask * plan.parameters.values_per_polynomial()
    values = np.arange(count, dtype=np.int64) % (2 * scheme.levels + 1) - scheme.levels
    uploads, masks = [], []
    for index in range(LEAST_MASKS):
        upload = folder / f"drill-{number}-upload-{index}"
        upload.write_bytes(_upload(scheme, number, index, values))
        mask = folder / f"drill-{number}-mask-{index}"
        mask.write_bytes(scheme.mask(upload))
        uploads.append(upload)
        masks.append(mask)
    aggregate = folder / f"drill-{number}-sum"
    aggregate.write_bytes(scheme.aggregate(uploads))
    active = windows(plan)[number]
    opening = OpeningTerms(
        DRILL_TASK, number + 1, 1, plan.epoch, plan.members, plan.threshold, active, scheme.joint_key.digest
    )
    return Practice(opening, aggregate, tuple(masks), values * LEAST_MASKS)


def drill(scheme: JointScheme, holders: Mapping[str, ShareHolder], folder: Path) -> list[Window]:
    """Hold every practice opening with these holders, one for each member; `folder` takes the files.

    Raises:
        WorkerFailed: a holder's worker was lost; drilling again is safe.
    """
    return [
        _held(scheme, holders, practice(scheme, number, folder), folder)
        for number in range(len(windows(scheme.joint_key.plan)))
    ]


def _held(scheme: JointScheme, holders: Mapping[str, ShareHolder], held: Practice, folder: Path) -> Window:
    shares = {}
    try:
        for member in held.opening.active:
            shares[member] = folder / f"drill-{held.opening.round}-share-{member}"
            shares[member].write_bytes(holders[member].sum_share(held.opening, held.masks, ()))
        total = scheme.combine(held.opening, held.aggregate, (), shares)
    except KeyHolderRefused as error:
        return Window(held.opening.active, False, str(error))
    opened = bool(np.array_equal(total, held.total))
    return Window(held.opening.active, opened, "" if opened else "it opens to another sum")


def _upload(scheme: JointScheme, number: int, index: int, values: NDArray[np.int64]) -> bytes:
    parameters, key = scheme.joint_key.plan.parameters, scheme.joint_key
    header = Header(
        Kind.UPDATE, parameters.digest, key.plan.epoch, number + 1, values.size, 1, 1,
        subject=bytes.fromhex(key.digest), task_id=DRILL_TASK, author=f"drill-{index}",
    )  # fmt: skip
    seed = bytes.fromhex(key.digest)
    return scheme.encoded(
        header,
        lambda which: message_polynomial(parameters, values, which),
        lambda which: Stream.derived(_DOMAIN, seed, number, index, which),
    )
