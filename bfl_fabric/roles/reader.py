"""The ledger's answers as records: the one place of the roles that knows the names of queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from bfl_chaincode.api.canonical import Json, NotCanonical
from bfl_chaincode.api.records import (
    Ceremony,
    CeremonyView,
    KeyEpoch,
    ModelRecord,
    Node,
    Organization,
    Participant,
    RoundView,
    Task,
    TaskStatus,
    from_json,
)
from bfl_fabric.domain.ports import Ledger
from bfl_fabric.errors import EvaluateError

T = TypeVar("T")

SEEN_TASKS = 64
"""Of so many tasks the last view is kept, and so many lists; a list that the ledger's memory gives again as the same
object is not decoded again."""


class LedgerReader:
    """Typed queries. Raises the LedgerError family; EvaluateError also when an answer is no such record."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: dict[str, RoundView] = {}
        self._lists: dict[tuple[str, str], tuple[list[Json], tuple[object, ...]]] = {}

    async def tasks(self) -> tuple[Task, ...]:
        return await self._list(Task, "task:List", {})

    async def current(self, task_id: str) -> RoundView:
        """Return the task with its latest round; `round` is None before the first."""
        view = await self._one(RoundView, "round:GetCurrent", {"task_id": task_id})
        self._seen.pop(task_id, None)
        self._seen[task_id] = view
        if len(self._seen) > SEEN_TASKS:
            del self._seen[next(iter(self._seen))]
        return view

    async def round(self, task_id: str, number: int) -> RoundView:
        return await self._one(RoundView, "round:Get", {"task_id": task_id, "round": number})

    async def seen(self, task_id: str, number: int) -> RoundView:
        """Return a round as it was when it was last read as the current one: what an action was found due in.

        Whoever acts on it checks every condition on this reading. What has happened since then could as well have
        happened right after a newer one; the contract refuses what is too late.
        """
        view = self.last(task_id)
        if view is not None and view.round is not None and view.round.number == number:
            return view
        return await self.round(task_id, number)

    def last(self, task_id: str) -> RoundView | None:
        """Return what `current` returned last, None when that is forgotten or never was."""
        return self._seen.get(task_id)

    async def lineage(self, task_id: str) -> tuple[ModelRecord, ...]:
        """Return the published models from round 0 on."""
        return await self._list(ModelRecord, "model:Lineage", {"task_id": task_id})

    async def epochs(self, task_id: str) -> tuple[KeyEpoch, ...]:
        """Return every key epoch of a task, by number."""
        return await self._list(KeyEpoch, "key:List", {"task_id": task_id})

    async def ceremonies(self, task_id: str) -> tuple[Ceremony, ...]:
        """Return every key ceremony of a task, by number."""
        return await self._list(Ceremony, "key:ListCeremonies", {"task_id": task_id})

    async def ceremony(self, task_id: str, epoch: int) -> CeremonyView:
        """Return a key ceremony with all its evidence."""
        return await self._one(CeremonyView, "key:GetCeremony", {"task_id": task_id, "epoch": epoch})

    async def nodes(self) -> tuple[Node, ...]:
        return await self._list(Node, "federation:ListNodes", {})

    async def organizations(self) -> tuple[Organization, ...]:
        return await self._list(Organization, "federation:ListOrganizations", {})

    async def participants(self) -> tuple[Participant, ...]:
        return await self._list(Participant, "federation:ListParticipants", {})

    async def _one(self, kind: type[T], query: str, request: Mapping[str, Json]) -> T:
        return _read(kind, query, await self._ledger.evaluate(query, request))

    async def _list(self, kind: type[T], query: str, request: Mapping[str, Json]) -> tuple[T, ...]:
        answer = await self._ledger.evaluate(query, request)
        if not isinstance(answer, list):
            raise EvaluateError(f"{query} answered no list")
        key = query, str(request.get("task_id", ""))
        known, records = self._lists.get(key, (None, ()))
        if answer is not known:
            records = tuple(_read(kind, query, item) for item in answer)
            self._lists.pop(key, None)
            self._lists[key] = answer, records
            if len(self._lists) > SEEN_TASKS:
                del self._lists[next(iter(self._lists))]
        return cast("tuple[T, ...]", records)


class UnfinishedTasks:
    """The tasks that may hold something for an actor: those that ended only until it finds nothing due in them."""

    def __init__(self, reader: LedgerReader, wanted: Callable[[Task], bool]) -> None:
        self._reader = reader
        self._wanted = wanted
        self._finished: set[str] = set()

    async def views(self) -> list[RoundView]:
        """Return the current view of each task that was published."""
        return [
            await self._reader.current(task.spec.task_id)
            for task in await self._reader.tasks()
            if task.status is not TaskStatus.DRAFT
            and task.spec.task_id not in self._finished
            and self._wanted(task)
        ]

    def note(self, view: RoundView, due: Sequence[object]) -> None:
        """Write down what the actor found due in a view."""
        if not due and view.task.status in (TaskStatus.CLOSED, TaskStatus.ABANDONED):
            self._finished.add(view.task.spec.task_id)


def _read(kind: type[T], query: str, answer: Json) -> T:
    try:
        return from_json(kind, answer)
    except NotCanonical as error:
        raise EvaluateError(f"{query} answered something else than a {kind.__name__}: {error}") from error
