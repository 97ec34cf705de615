"""What a role may find due: an action is a value, so that two surveys that find the same thing find it equal.

`Submit` is every action that is one transaction and nothing else; roles declare their own for what takes more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import Phase, RoundView, TaskStatus
from bfl_fabric.domain.ports import LedgerEvent

Argument: TypeAlias = "int | str"


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do for a task; `round` is 0 where no round is meant.

    `leads_on` says whether doing it may make something else due for the same actor, before any event that the actor
    hears or any timer.
    """

    leads_on: ClassVar[bool] = True
    task_id: str
    round: int

    @property
    def label(self) -> str:
        """A short text for logs and for the live display: ids and digests only."""
        return f"{type(self).__name__} {self.task_id}/{self.round}"


@dataclass(frozen=True, slots=True)
class Submit(Action):
    """Send this transaction with these arguments, sorted by name.

    Its event comes to the sender too, who looks again where the transaction concerns it.
    """

    leads_on: ClassVar[bool] = False
    transaction: str
    arguments: tuple[tuple[str, Argument], ...]

    @property
    def request(self) -> dict[str, Json]:
        return dict(self.arguments)

    @property
    def label(self) -> str:
        return f"{self.transaction} {self.task_id}/{self.round}"


class Role(Protocol):
    """One actor: says what is due for it and does one due thing.

    The actions of one survey are independent of each other, and performing one twice does no harm.
    """

    @property
    def name(self) -> str: ...

    async def survey(self) -> list[Action]:
        """Read the ledger and return what is due now."""

    async def perform(self, action: Action) -> None:
        """Do it. Raises the errors of the ports; none of them leaves anything half done."""

    def is_deaf_to(self, event: LedgerEvent) -> bool:
        """Say whether this transaction makes nothing due here, so that nobody need look (`hearing`)."""

    async def stirred(self) -> None:
        """Return when something beside the ledger makes another survey worthwhile; for most roles never."""


async def never() -> None:
    """Wait until cancelled: what `stirred` does for a role that only the ledger moves."""
    await asyncio.Event().wait()


def of_federation(transaction: str, **arguments: Argument) -> Submit:
    """Return the transaction about no task."""
    return _submit(transaction, "", 0, arguments)


def of_task(transaction: str, task_id: str, **arguments: Argument) -> Submit:
    """Return the transaction about a task."""
    return _submit(transaction, task_id, 0, {"task_id": task_id, **arguments})


def of_round(transaction: str, view: RoundView, **arguments: Argument) -> Submit:
    """Return the transaction about the view's round."""
    assert view.round is not None
    task_id, number = view.round.task_id, view.round.number
    return _submit(transaction, task_id, number, {"task_id": task_id, "round": number, **arguments})


def in_phase(view: RoundView, *phases: Phase) -> bool:
    """Say whether the task runs and its round stands in one of these phases."""
    running = view.task.status is TaskStatus.RUNNING
    return running and view.round is not None and view.round.phase in phases


def _submit(transaction: str, task_id: str, number: int, arguments: dict[str, Argument]) -> Submit:
    return Submit(task_id, number, transaction, tuple(sorted(arguments.items())))
