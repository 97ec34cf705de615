"""Checks that a published model is what the released sum makes of its parent: whoever serves another is found out.

Everybody can do this: the arithmetic is exact and public. The result is in the store afterwards, so a base model
is downloaded only by those who never had its parent.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bfl_chaincode.api.records import ModelRecord, RoundView
from bfl_fabric.errors import AuditFailed, KeyHolderRefused, NotFound
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.evidence import (
    DIRECTION_BYTES_PER_PARAMETER,
    MODEL_BYTES_PER_PARAMETER,
    SUM_BYTES_PER_PARAMETER,
    round_of,
)
from bfl_fabric.roles.fetching import MODEL_SOURCES, PUBLISHED_SUM_SOURCES, Fetcher
from bfl_fabric.roles.progress import ProgressKind
from bfl_fabric.roles.reader import LedgerReader
from bfl_fabric.roles.workbench import Workbench

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Int8Vector

SOUND_MODEL = "sound-model"


@dataclass(frozen=True, slots=True)
class CheckModel(Action):
    """Compute the model with this digest again."""

    leads_on: ClassVar[bool] = False
    digest: str


@dataclass(frozen=True, slots=True)
class CheckBase(CheckModel):
    """Compute the model again that a round starts from: its update waits for that."""

    leads_on: ClassVar[bool] = True


def is_sound(bench: Workbench, view: RoundView, digest: str) -> bool:
    """Say whether this actor computed the model itself, or it is the task's initial model."""
    return digest == view.task.spec.model.initial_digest or (
        bench.ports.journal.find(SOUND_MODEL, digest) is not None
    )


class ModelChecks:
    """Computes published models again and remembers which were right."""

    def __init__(self, bench: Workbench, reader: LedgerReader, fetcher: Fetcher) -> None:
        self._bench = bench
        self._reader = reader
        self._fetcher = fetcher
        self._directions: dict[tuple[str, str], Int8Vector] = {}

    async def base(self, action: Action, view: RoundView, digest: str) -> bytes:
        """Return the bytes of a model, from this store or from another node."""
        size_bytes = view.task.spec.model.parameter_count * MODEL_BYTES_PER_PARAMETER
        await self._fetcher.fetch(action, digest, size_bytes, MODEL_SOURCES)
        return await self._bench.read(digest)

    async def direction(self, action: Action, view: RoundView, digest: str) -> bytes:
        """Return the bytes of a published direction, from this store or from another node."""
        size_bytes = view.task.spec.model.parameter_count * DIRECTION_BYTES_PER_PARAMETER
        await self._fetcher.fetch(action, digest, size_bytes, MODEL_SOURCES)
        return await self._bench.read(digest)

    async def verified_direction(self, action: Action, view: RoundView) -> Int8Vector:
        """Return the round's direction int8[parameter_count], made again of the sum that was released for it, once.

        Raises KeyHolderRefused when it is the direction of no released sum: a crafted one opens a single coordinate.
        """
        stated = round_of(view).direction_digest
        key = action.task_id, stated
        if key not in self._directions:
            self._directions = {key: await self._direction_again(action, view, stated)}
        return self._directions[key]

    async def _direction_again(self, action: Action, view: RoundView, stated: str) -> Int8Vector:
        arithmetic = self._bench.ports.arithmetic
        lineage = await self._reader.lineage(action.task_id)
        sums = [record.sum_digest for record in lineage if record.direction_digest == stated]
        if not sums:
            raise KeyHolderRefused(f"no published model has the direction {stated}")
        count = view.task.spec.model.parameter_count
        await self._sum(action, sums[-1], count)
        total = arithmetic.unpack_sum(await self._bench.read(sums[-1]), count)
        direction = await self._bench.work(arithmetic.direction, total)
        if hashlib.sha256(arithmetic.pack_direction(direction)).hexdigest() != stated:
            raise KeyHolderRefused(f"the direction {stated} is not the direction of the released sum")
        return direction

    async def check(self, action: CheckModel, view: RoundView) -> None:
        """Recompute model and direction, keep both. Raises AuditFailed when the ledger names others."""
        record = await self._record(action)
        model, direction = await self._recompute(action, view, record)
        _same("model", record, record.digest, model)
        _same("direction", record, record.direction_digest, direction)
        await self._bench.keep(direction)
        await self._bench.keep(model)
        self._bench.ports.journal.record(SOUND_MODEL, record.digest, "recomputed")
        self._bench.report(ProgressKind.MODEL_SOUND, action)

    async def _sum(self, action: Action, digest: str, count: int) -> None:
        """Bring the sum that a published model was made of."""
        await self._fetcher.fetch(action, digest, count * SUM_BYTES_PER_PARAMETER, PUBLISHED_SUM_SOURCES)

    async def _record(self, action: CheckModel) -> ModelRecord:
        for record in reversed(await self._reader.lineage(action.task_id)):
            if record.digest == action.digest and record.round > 0:
                return record
        raise NotFound(f"the lineage of {action.task_id} has no model {action.digest}")

    async def _recompute(self, action: Action, view: RoundView, record: ModelRecord) -> tuple[bytes, bytes]:
        spec, arithmetic = view.task.spec, self._bench.ports.arithmetic
        count = spec.model.parameter_count
        parent = arithmetic.unpack_model(await self.base(action, view, record.parent_digest), count)
        await self._sum(action, record.sum_digest, count)
        total = arithmetic.unpack_sum(await self._bench.read(record.sum_digest), count)
        model = await self._bench.work(
            arithmetic.apply_sum, spec.encryption, parent, total, record.total_weight
        )
        direction = await self._bench.work(arithmetic.direction, total)
        return arithmetic.pack_model(model), arithmetic.pack_direction(direction)


def _same(what: str, record: ModelRecord, stated: str, computed: bytes) -> None:
    found = hashlib.sha256(computed).hexdigest()
    if found != stated:
        raise AuditFailed(
            f"the {what} of {record.task_id} round {record.round} is {stated} on the ledger, "
            f"but the released sum makes {found}; do not use it"
        )
