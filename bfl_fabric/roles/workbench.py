"""What an actor works with: its name, its ports, and the small tools over them.

A role gets one workbench; two roles of one process may share it. It decides nothing about rounds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from bfl_chaincode.api.canonical import Json
from bfl_fabric.domain.ports import (
    Arithmetic,
    BlobStore,
    Clock,
    Commit,
    GroupKeys,
    Journal,
    Ledger,
    SchemeProvider,
    ThresholdKeys,
    UpdateChannel,
)
from bfl_fabric.roles.actions import Action, Submit
from bfl_fabric.roles.compute import Compute
from bfl_fabric.roles.progress import Observer, Progress, ProgressKind, guarded

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts: the organization and the common name of the certificate, which is the participant or node id."""

    msp_id: str
    name: str


class Schemes(SchemeProvider, ThresholdKeys, GroupKeys, Protocol):
    """Every door of the scheme provider: keys of one holder, of several, and of a group of silos."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The adapters an actor is given; `bfl_fabric.domain.ports` states what each promises."""

    ledger: Ledger
    clock: Clock
    blobs: BlobStore
    channel: UpdateChannel
    journal: Journal
    schemes: Schemes
    arithmetic: Arithmetic


class Workbench:
    """The ports of one actor, with what every role does with them."""

    def __init__(self, identity: Identity, ports: Ports, compute: Compute, observer: Observer) -> None:
        self.identity = identity
        self.ports = ports
        self._compute = compute
        self._observer = guarded(observer)

    async def work(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run CPU-bound or disk-bound work off the event loop."""
        return await self._compute.run(function, *args, **kwargs)

    async def keep(self, data: bytes) -> str:
        """Store a blob durably and return its digest."""
        return await self.work(self.ports.blobs.put, data)

    async def read(self, digest: str) -> bytes:
        """Return a blob of this store, checked."""
        return await self.work(self.ports.blobs.read, digest)

    async def submit(self, action: Submit) -> Commit:
        """Send a transaction and wait until it is committed."""
        return await self.transact(action, action.transaction, action.request)

    async def transact(self, action: Action, transaction: str, request: dict[str, Json]) -> Commit:
        """Send the transaction that ends an action of several steps."""
        commit = await self.ports.ledger.submit(transaction, request)
        self.report(ProgressKind.SUBMITTED, action, transaction, block=commit.block_number)
        return commit

    def report(self, kind: ProgressKind, action: Action, text: str = "", **numbers: int) -> None:
        """Tell the observer."""
        self._observer(
            Progress(
                kind,
                self.identity.name,
                action.task_id,
                action.round,
                self.ports.clock.now_ms(),
                text,
                tuple(numbers.items()),
            )
        )


def round_key(task_id: str, number: int) -> str:
    """Return the journal key of a fact about a round; the number stands last, so no two rounds share one."""
    return f"{task_id}/{number}"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in lower-case hex, in O(1) memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
