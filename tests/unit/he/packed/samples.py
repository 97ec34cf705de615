"""Terms, values and groups that several tests of this folder use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.he.frames import Head
from bfl_fabric.he.isolation import WorkerLimits, WorkerProcess
from bfl_fabric.he.lattice.parameters import (
    PACKED_S16,
    PACKED_S16K,
    PACKED_S20K,
    PACKED_S24,
    PACKED_SMALL,
    PACKED_WIDE,
    LatticeParameters,
)
from bfl_fabric.he.packed.backend import BackEndName
from bfl_fabric.he.packed.operations import PackedOperations
from bfl_fabric.he.packed.scheme import PackedMember, PackedOpener, PackedProvider, PackedScheme
from bfl_fabric.he.threshold.operations import ThresholdOperations

SETS = (PACKED_S16, PACKED_S24, PACKED_S20K, PACKED_S16K, PACKED_SMALL, PACKED_WIDE)
BITS_AND_WEIGHT = {
    "packed-s16": (16, 10),
    "packed-s24": (24, 10),
    "packed-s20k": (20, 1000),
    "packed-s16k": (16, 16_000),
    "packed-small": (18, 10),
    "packed-wide": (16, 32_768),
}
TASK = "retinopathy-1"


class InProcess(WorkerProcess):
    """A worker that is no process: the same operations, refusals raised as the parent would raise them."""

    def __init__(self, limits: WorkerLimits) -> None:
        super().__init__(limits)
        self._operations = {**PackedOperations().by_name(), **ThresholdOperations().by_name()}

    def ask(self, head: Head, payload: bytes = b"") -> tuple[Head, bytes]:
        return self._operations[str(head["operation"])](head, payload)


def terms(parameters: LatticeParameters = PACKED_SMALL) -> EncryptionTerms:
    bits, weight = BITS_AND_WEIGHT[parameters.name]
    return EncryptionTerms("packed", parameters.digest, bits, "0.5", weight)


def levels(parameters: LatticeParameters = PACKED_SMALL) -> int:
    return int(2 ** (BITS_AND_WEIGHT[parameters.name][0] - 1) - 1)


def name(participant_id: str = "silo-a", round_number: int = 1, task: str = TASK) -> UpdateName:
    return UpdateName(task, round_number, participant_id)


def some_values(
    count: int, weight: int = 1, seed: int = 0, parameters: LatticeParameters = PACKED_SMALL
) -> NDArray[np.int64]:
    """Return weight·q, q anywhere on the grid and at both of its ends."""
    top = levels(parameters)
    values = np.random.default_rng(seed).integers(-top, top + 1, count)
    values[: min(count, 2)] = (-top, top)[: min(count, 2)]
    return values * weight


@dataclass
class Group:
    """One task's key and who works with it, on one back end, without processes."""

    folder: Path
    parameters: LatticeParameters = PACKED_SMALL
    back_end: BackEndName = BackEndName.RING
    epoch: int = 1
    public_key: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.public_key = self.provider(self.back_end).create_key(
            terms(self.parameters), self.epoch, self.secret_path
        )
        self._members = {back_end: self._member(back_end) for back_end in BackEndName}
        self._openers = {back_end: self._opener(back_end) for back_end in BackEndName}

    @property
    def secret_path(self) -> Path:
        return self.folder / f"{self.parameters.name}-{self.epoch}"

    @property
    def scheme(self) -> PackedScheme:
        made = self.provider(self.back_end).public(terms(self.parameters), self.public_key)
        assert isinstance(made, PackedScheme)
        return made

    @staticmethod
    def provider(back_end: BackEndName) -> PackedProvider:
        return PackedProvider(WorkerLimits(), back_end, InProcess)

    def member(self, back_end: BackEndName | None = None) -> PackedMember:
        return self._members[back_end or self.back_end]

    def opener(self, back_end: BackEndName | None = None) -> PackedOpener:
        return self._openers[back_end or self.back_end]

    def upload(
        self,
        values: NDArray[np.int64],
        participant_id: str = "silo-a",
        weight: int = 1,
        *,
        round_number: int = 1,
        task: str = TASK,
        back_end: BackEndName | None = None,
    ) -> Path:
        """Return the file of an upload."""
        update = name(participant_id, round_number, task)
        return self.file(self.member(back_end).encrypt(update, self.epoch, weight, values))

    def sum(self, uploads: list[Path]) -> Path:
        return self.file(self.scheme.aggregate(uploads))

    def file(self, data: bytes) -> Path:
        path = self.folder / f"message-{hashlib.sha256(data).hexdigest()[:24]}"
        path.write_bytes(data)
        return path

    def _member(self, back_end: BackEndName) -> PackedMember:
        made = self.provider(back_end).member(terms(self.parameters), self.public_key, self.secret_path)
        assert isinstance(made, PackedMember)
        return made

    def _opener(self, back_end: BackEndName) -> PackedOpener:
        made = self.provider(back_end).secret(terms(self.parameters), self.public_key, self.secret_path)
        assert isinstance(made, PackedOpener)
        return made
