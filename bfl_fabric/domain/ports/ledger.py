"""Ports to time, to the ledger, and to what an actor remembers about itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.events import ContractEvent


class Clock(Protocol):
    """Time as an argument: the real clock, or a manual one in tests and simulations."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction that is committed and VALID. `result` is what the contract returned."""

    transaction_id: str
    block_number: int
    result: Json


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything up to and including this transaction of this block has been seen."""

    block_number: int
    transaction_id: str


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """A contract event and where it stands; `checkpoint` resumes after it."""

    name: str
    transaction_id: str
    block_number: int
    event: ContractEvent

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.block_number, self.transaction_id)


class Ledger(Protocol):
    """One organization's view of the channel. A transaction is named `contract:Name` and takes one JSON object.

    Raises the LedgerError family of `bfl_fabric.errors`; a rule's no is LedgerRefused.
    """

    async def evaluate(self, transaction: str, request: Mapping[str, Json]) -> Json:
        """Return the answer of one peer; nothing is recorded."""

    async def submit(self, transaction: str, request: Mapping[str, Json]) -> Commit:
        """Return once the transaction is committed and valid: it is then durable.

        Safe to call again after any error: a transaction of uncertain outcome is asked for by its id first,
        and MVCC conflicts are tried again with fresh reads.
        """

    def events(
        self, after: Checkpoint | None = None, *, start_block: int | None = None
    ) -> AsyncIterator[LedgerEvent]:
        """Yield each event once, in block order, from `after`, from `start_block`, or from now on."""

    def blocks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield serialized `common.Block` messages, `start` to `stop` inclusive, or on and on."""


class Journal(Protocol):
    """The few facts that an actor must remember about itself, beside its blobs: what it encrypted, what it opened.

    A fact is written once. What `record` returned for is durable (synced); recording the same value again is
    nothing new, so a step may be repeated after a crash.
    """

    def record(self, kind: str, key: str, value: str) -> None:
        """Write the fact down. Raises JournalConflict when another value stands under (kind, key)."""

    def find(self, kind: str, key: str) -> str | None:
        """Return the value under (kind, key), None when nothing was ever recorded there."""
