"""Whoever answers with this member's shares: one holder for each task, with the share of its newest key.

Decides when a share is loaded, as soon as its key is there so that no round waits for it, and when it leaves memory.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bfl_chaincode.api.records import KeyEpoch, RoundView
from bfl_fabric.domain.ports import ShareHolder
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.ceremony import is_usable, secret_path
from bfl_fabric.roles.schemes import TaskSchemes, epoch_of
from bfl_fabric.roles.workbench import Workbench


@dataclass(frozen=True, slots=True)
class LoadShare(Action):
    """Start the process that answers with this member's share of the key with this number, and load the share."""

    leads_on: ClassVar[bool] = False
    epoch: int


class ShareHolders:
    """The share holders of one member; `keys` is its folder of secret files."""

    def __init__(self, bench: Workbench, schemes: TaskSchemes, keys: Path) -> None:
        self._bench = bench
        self._schemes = schemes
        self._keys = keys
        self._loaded: dict[str, tuple[int, ShareHolder]] = {}
        self._loading: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def due(self, view: RoundView) -> list[LoadShare]:
        """Return the share that is here and not loaded yet, if rounds may be opened under its key."""
        epoch = view.key_epoch
        if epoch is None or self._bench.identity.msp_id not in epoch.members or self._find(epoch):
            return []
        is_here = secret_path(self._keys, epoch.task_id, epoch.epoch).exists()
        if not is_here or not is_usable(epoch, self._bench.ports.clock.now_ms(), early=False):
            return []
        return [LoadShare(epoch.task_id, 0, epoch.epoch)]

    async def of(self, view: RoundView) -> ShareHolder:
        """Return the holder of the share of the round's key; an older one of the task ends.

        Raises KeyHolderRefused, MalformedInput or NotFound when this member's file is no share of that key.
        """
        epoch = epoch_of(view)
        async with self._loading[epoch.task_id]:
            holder = self._find(epoch)
            if holder is None:
                holder = await self._load(view, epoch)
                await self._end(epoch.task_id)
                self._loaded[epoch.task_id] = epoch.epoch, holder
            return holder

    async def keep(self, task_ids: Collection[str]) -> None:
        """End the holders of all other tasks, and with them the only copies of their shares in memory."""
        for task_id in self._loaded.keys() - task_ids:
            await self._end(task_id)

    def _find(self, epoch: KeyEpoch) -> ShareHolder | None:
        number, holder = self._loaded.get(epoch.task_id, (0, None))
        return holder if number == epoch.epoch else None

    async def _load(self, view: RoundView, epoch: KeyEpoch) -> ShareHolder:
        await self._schemes.joint(view)
        joint_key = await self._bench.read(epoch.public_key_digest)
        path = secret_path(self._keys, epoch.task_id, epoch.epoch)
        make = self._bench.ports.schemes.holder
        return await self._bench.work(make, view.task.spec.encryption, joint_key, path)

    async def _end(self, task_id: str) -> None:
        _, holder = self._loaded.pop(task_id, (0, None))
        if holder is not None:
            await self._bench.work(holder.close)
