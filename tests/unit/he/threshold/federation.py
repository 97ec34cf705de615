"""Members of a joint key within the test's process: the real ceremony and the real answers, without workers.

What the worker process adds (isolation) is tested in test_isolation.py with real ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import CeremonyPlan, OpeningTerms, UpdateName
from bfl_fabric.he.frames import Head
from bfl_fabric.he.isolation import WorkerProcess
from bfl_fabric.he.lattice.parameters import THRESHOLD_T16, LatticeParameters
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.threshold.ceremony import MemberCeremony
from bfl_fabric.he.threshold.holder import MemberHolder
from bfl_fabric.he.threshold.operations import ThresholdOperations
from bfl_fabric.he.threshold.plan import KeyPlan
from bfl_fabric.he.threshold.scheme import JointScheme

SMALL = LatticeParameters(
    "threshold-small", "threshold", 4096, (67043329, 66994177), (16760833, 16736257), 0, 1, polynomials_per_mask=2,
    max_members=16, max_holders=5, smudge_bits=44, reserved_coefficients=64,
)  # fmt: skip
"""The smallest ring that the security table has, for tests that hold many rounds; no task can name it."""

TASK = "retinopathy-1"
WEIGHT = 100
LEVELS = 2**15 - 1
SEED = "5e" * 32


class WorkerHere:
    """Answers what a worker process would, in this process."""

    def __init__(self) -> None:
        self._operations = ThresholdOperations().by_name()

    def ask(self, head: Head, payload: bytes = b"") -> tuple[Head, bytes]:
        return self._operations[str(head["operation"])](head, payload)

    def close(self) -> None: ...


def worker_here() -> WorkerProcess:
    return cast("WorkerProcess", WorkerHere())


def terms_of(parameters: LatticeParameters, threshold: int) -> EncryptionTerms:
    return EncryptionTerms("threshold", parameters.digest, 16, "0.5", WEIGHT, threshold)


@dataclass
class Federation:
    """`members` who made a joint key for `TASK` and epoch 1 in `folder`."""

    folder: Path
    members: tuple[str, ...]
    threshold: int
    parameters: LatticeParameters = THRESHOLD_T16
    epoch: int = 1
    shares: dict[str, bytes] = field(default_factory=dict)
    dealings: dict[str, bytes] = field(default_factory=dict)
    joint_key: bytes = b""

    @property
    def terms(self) -> LatticeTerms:
        return LatticeTerms.of(terms_of(self.parameters, self.threshold))

    @property
    def plan(self) -> KeyPlan:
        return KeyPlan(self.parameters, TASK, self.epoch, self.members, self.threshold)

    @property
    def scheme(self) -> JointScheme:
        return JointScheme(self.terms, self.joint_key)

    def secret_path(self, member: str) -> Path:
        return self.folder / f"{member}.secret"

    def ceremony(self, member: str) -> MemberCeremony:
        plan = CeremonyPlan(TASK, self.epoch, self.members, self.threshold, member)
        checked = KeyPlan.of(self.parameters, plan)
        return MemberCeremony(checked, member, self.secret_path(member), worker_here())

    def hold_ceremony(self) -> Federation:
        parts = {member: self.ceremony(member) for member in self.members}
        self.shares = {member: part.key_share() for member, part in parts.items()}
        self.dealings = {member: part.deal(self.shares) for member, part in parts.items()}
        keys = {part.finish(self.shares, self.dealings) for part in parts.values()}
        (self.joint_key,) = keys
        return self

    def holder(self, member: str) -> MemberHolder:
        return MemberHolder(self.terms, self.joint_key, self.secret_path(member), worker_here())

    def opening(self, active: Sequence[str], attempt: int = 1, round_number: int = 1) -> OpeningTerms:
        return OpeningTerms(
            TASK, round_number, attempt, self.epoch, self.members, self.threshold, tuple(active), SEED
        )


@dataclass
class Round:
    """Uploads of one round in files, with what belongs to them; a silo that `weights` does not name has weight 1."""

    federation: Federation
    folder: Path
    values: dict[str, NDArray[np.int64]]
    number: int = 1
    weights: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.scheme = self.federation.scheme
        self.uploads = {
            name: self.file(
                f"upload-{name}",
                self.scheme.encrypt(
                    UpdateName(TASK, self.number, name),
                    self.federation.epoch,
                    self.weights.get(name, 1),
                    values,
                ),
            )
            for name, values in self.values.items()
        }
        self.masks = {
            name: self.file(f"mask-{name}", self.scheme.mask(path)) for name, path in self.uploads.items()
        }
        self.aggregate = self.file("sum", self.scheme.aggregate(self.uploads.values()))
        self.total: NDArray[np.int64] = np.sum(list(self.values.values()), axis=0)

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def zeros(self, opening: OpeningTerms) -> list[Path]:
        count = self.total.size
        return [
            self.file(
                f"zero-{opening.attempt}-{member}",
                self.scheme.zero(replace(opening, active=()), member, count),
            )
            for member in opening.active
        ]

    def share(self, opening: OpeningTerms, member: str, zeros: Sequence[Path] = ()) -> Path:
        answer = self.federation.holder(member).sum_share(opening, list(self.masks.values()), zeros)
        return self.file(f"share-{opening.attempt}-{member}", answer)

    def open(self, opening: OpeningTerms, zeros: Sequence[Path] = ()) -> NDArray[np.int64]:
        shares: Mapping[str, Path] = {member: self.share(opening, member, zeros) for member in opening.active}
        return self.scheme.combine(opening, self.aggregate, zeros, shares)


def some_values(count: int, seed: int) -> NDArray[np.int64]:
    """Return values over the whole range of weight 1, both ends among them."""
    values = np.random.default_rng(seed).integers(-LEVELS, LEVELS + 1, count)
    values[0], values[-1] = -LEVELS, LEVELS
    return values


def some_round(
    federation: Federation, folder: Path, count: int = 3_000, silos: int = 3, number: int = 1
) -> Round:
    values = {f"silo-{index}": some_values(count, index) for index in range(silos)}
    return Round(federation, folder, values, number)
