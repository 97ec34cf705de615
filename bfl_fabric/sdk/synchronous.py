"""The SDK for ordinary code: the asyncio one behind a thread that runs its loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import (
    Balance,
    CeremonyView,
    KeyEpoch,
    ModelRecord,
    Organization,
    Participant,
    Reputation,
    RoundView,
    Task,
)
from bfl_fabric.domain.ports import Commit
from bfl_fabric.sdk.federation import DEFAULT_CLIENT, AsyncFederation, client_settings, connect_async
from bfl_fabric.sdk.loop import LoopThread
from bfl_fabric.sdk.task import AsyncTask, RoundSummary
from bfl_fabric.sdk.terms import TaskTerms

if TYPE_CHECKING:
    import torch
    from torch.utils.data import DataLoader

    from bfl_fabric.domain.ports import Float32Vector

T = TypeVar("T")


class Federation:
    """A federation, its organizations, participants and tasks. Use it in a `with` statement."""

    def __init__(self, place: str | Path, opened: AbstractAsyncContextManager[AsyncFederation]) -> None:
        self._place = place
        self._loop = LoopThread()
        self._opened = opened
        self._silos: list[Silo] = []
        try:
            self._federation = self._loop.run(opened.__aenter__())
        except BaseException:
            self._loop.close()
            raise

    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the silos of this process and close every connection."""
        for silo in self._silos:
            silo.leave()
        self._loop.run(self._closed())
        self._loop.close()

    async def _closed(self) -> None:
        await self._opened.__aexit__(None, None, None)

    def evaluate(self, transaction: str, request: Mapping[str, Json] | None = None) -> Json:
        """Ask the contract, for example `evaluate("federation:WhoAmI")`."""
        return self._loop.run(self._federation.evaluate(transaction, request))

    def submit(self, transaction: str, request: Mapping[str, Json] | None = None) -> Commit:
        """Run a transaction and return once it is committed and valid."""
        return self._loop.run(self._federation.submit(transaction, request))

    def organizations(self) -> list[Organization]:
        return self._loop.run(self._federation.organizations())

    def participants(self) -> list[Participant]:
        return self._loop.run(self._federation.participants())

    def accounts(self) -> list[Balance]:
        return self._loop.run(self._federation.accounts())

    def tasks(self) -> list[Task]:
        return self._loop.run(self._federation.tasks())

    def task(self, task_id: str) -> TaskHandle:
        """Return a handle on an existing task."""
        return TaskHandle(self, self._loop.run(self._federation.task(task_id)))

    def publish(self, terms: TaskTerms, model: Callable[[], torch.nn.Module]) -> TaskHandle:
        """Publish a task for a torch model: its tensors, its seeded initial values, its pool.

        `model` makes the module; it is called once here and once in each silo of this process.
        """
        from bfl_fabric.training.describe import describe

        described, initial = describe(f"user:{terms.task_id}", model, terms.seed)
        return TaskHandle(self, self._loop.run(self._federation.publish(terms, described, initial)))

    def join(self, participant_id: str, model: Callable[[], torch.nn.Module], data: DataLoader[Any]) -> Silo:
        """Run a silo in this process: it registers for published tasks and takes part in their rounds.

        The silo trains `model()` on `data` and sends encrypted updates only; it stops with the federation.
        """
        from bfl_fabric.sdk.silo import run_silo

        settings = client_settings(self._place, participant_id)
        silo = Silo(participant_id)
        silo.work = self._loop.submit(run_silo(settings, model, data))
        self._silos.append(silo)
        return silo


class Silo:
    """A silo that runs in this process."""

    def __init__(self, participant_id: str) -> None:
        self.participant_id = participant_id
        self.work: Future[None] | None = None

    def leave(self) -> None:
        """Stop taking part."""
        if self.work is not None:
            self.work.cancel()

    def check(self) -> None:
        """Raise what stopped the silo, if anything did."""
        if self.work is not None and self.work.done() and not self.work.cancelled():
            self.work.result()


class TaskHandle:
    """A task; see AsyncTask for what each method returns and raises."""

    def __init__(self, federation: Federation, task: AsyncTask) -> None:
        self._federation = federation
        self._task = task
        self.task_id = task.task_id

    def run(self, participants: int, on_progress: Callable[[RoundSummary], None] | None = None) -> None:
        """Start the task once `participants` silos have registered, and return when it is closed."""
        self.start(participants)
        self.wait(on_progress)

    def start(self, participants: int, timeout_seconds: float = 120) -> None:
        self._run(self._task.start(participants, timeout_seconds))

    def wait(self, on_progress: Callable[[RoundSummary], None] | None = None) -> None:
        self._run(self._task.wait(on_progress))

    def progress(self) -> Iterator[RoundSummary]:
        """Yield the newest round whenever something changed, until the task has ended."""
        stream = self._task.follow()

        async def following() -> RoundSummary | None:
            return await anext(stream, None)

        while (summary := self._run(following())) is not None:
            yield summary

    def view(self, number: int | None = None) -> RoundView:
        return self._run(self._task.view(number))

    def epochs(self) -> list[KeyEpoch]:
        return self._run(self._task.epochs())

    def ceremonies(self) -> list[CeremonyView]:
        return self._run(self._task.ceremonies())

    def rewards(self) -> dict[str, int]:
        return self._run(self._task.rewards())

    def lineage(self) -> list[ModelRecord]:
        return self._run(self._task.lineage())

    def reputations(self) -> list[Reputation]:
        return self._run(self._task.reputations())

    def model(self, number: int | None = None) -> Float32Vector:
        return self._run(self._task.model(number))

    def load_into(self, module: torch.nn.Module, number: int | None = None) -> torch.nn.Module:
        """Fill a module with a published model, by default the newest, and return it."""
        from bfl_fabric.training.vectors import load

        load(module, self.model(number))
        return module

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        for silo in self._federation._silos:
            silo.check()
        return self._federation._loop.run(work)


def connect(place: str | Path, identity: str = DEFAULT_CLIENT) -> Federation:
    """Open a federation.

    Args:
        place: a federation's directory (made by `bfl federation create`, running by `bfl federation up`) or a
            client's TOML file.
        identity: which of the directory's identities to use; by default the coordinator's application.

    Raises ConfigurationError when there is no such federation or identity, LedgerUnavailable when it is not up.
    """
    return Federation(place, connect_async(place, identity))
