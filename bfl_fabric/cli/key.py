"""`bfl key`: the keys of a task, the ceremonies that make shared ones, and practice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bfl_chaincode.api.records import PACKED_SCHEME, CeremonyStatus, CeremonyView, KeyEpoch, to_json
from bfl_fabric.cli.connection import APPLICATION, As, Place, place_of
from bfl_fabric.cli.key_view import (
    ceremony_line,
    ceremony_steps,
    ceremony_table,
    epoch_state,
    follow_ceremonies,
    moment,
)
from bfl_fabric.cli.output import JsonFlag, console, print_json, print_rows, short
from bfl_fabric.errors import BflError, ConfigurationError, KeyHolderRefused

if TYPE_CHECKING:
    from bfl_fabric.sdk.federation import AsyncFederation
    from bfl_fabric.sdk.task import AsyncTask

nouns = typer.Typer(
    help="Keys: who holds them, how shared ones are made, whether their members can open.",
    no_args_is_help=True,
)
TaskId = Annotated[str, typer.Argument(help="Id of the task.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds to wait for the new key.")]


@nouns.command(epilog="Example: bfl key status breast-cancer")
def status(
    task_id: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="Id of the task; every task by default.")
    ] = None,
    place: Place = None,
    identity: As = APPLICATION,
    as_json: JsonFlag = False,
) -> None:
    """Show key epochs with their members, the ceremonies behind them, and which silos were given a packed key."""
    asyncio.run(_status(task_id, place_of(place), identity, as_json=as_json))


async def _status(task_id: str | None, place: Path, identity: str, *, as_json: bool) -> None:
    from bfl_fabric.sdk import connect_async

    async with connect_async(place, identity) as federation:
        names = [task_id] if task_id else [task.spec.task_id for task in await federation.tasks()]
        found = [await _keys_of(await federation.task(name)) for name in names]
        now_ms = federation.clock.now_ms()
    if as_json:
        print_json([keys.to_json() for keys in found])
        return
    epochs = [_epoch_row(epoch, now_ms) for keys in found for epoch in keys.epochs]
    print_rows("Keys", epochs, as_json)
    ceremonies = [_ceremony_row(view) for keys in found for view in keys.ceremonies]
    if ceremonies:
        print_rows("Ceremonies", ceremonies, as_json)
    for keys in found:
        if keys.registered:
            console.print(
                f"{keys.task_id}: {keys.granted} of {keys.registered} silos were given the newest key",
                soft_wrap=True,
            )


class _Keys:
    """The keys of one task, with their ceremonies and grants; `registered` counts the silos that need a grant."""

    def __init__(
        self,
        task_id: str,
        epochs: list[KeyEpoch],
        ceremonies: list[CeremonyView],
        granted: int,
        registered: int,
    ) -> None:
        self.task_id = task_id
        self.epochs = epochs
        self.ceremonies = ceremonies
        self.granted = granted
        self.registered = registered

    def to_json(self) -> dict[str, Any]:
        return {
            "task_id": self.task_id,
            "epochs": [to_json(epoch) for epoch in self.epochs],
            "ceremonies": [to_json(view) for view in self.ceremonies],
            "granted": self.granted,
            "registered": self.registered,
        }


async def _keys_of(task: AsyncTask) -> _Keys:
    view = await task.view()
    packed = view.task.spec.encryption.scheme == PACKED_SCHEME
    return _Keys(
        task.task_id,
        await task.epochs(),
        await task.ceremonies(),
        len(view.grants),
        len(view.registrations) if packed else 0,
    )


def _epoch_row(epoch: KeyEpoch, now_ms: int) -> dict[str, Any]:
    members = ", ".join(epoch.members or (epoch.msp_id,))
    return {
        "task, epoch": f"{epoch.task_id} {epoch.epoch}",
        "opened by": f"any {epoch.threshold} of {members}" if epoch.members else members,
        "until": moment(epoch.expires_at),
        "state": epoch_state(epoch, now_ms),
        "key": short(epoch.public_key_digest),
    }


def _ceremony_row(view: CeremonyView) -> dict[str, Any]:
    ceremony = view.ceremony
    return {
        "task, epoch": f"{ceremony.task_id} {ceremony.epoch}",
        "status": ceremony.status.value,
        "steps": ceremony_steps(view),
        "excluded": ceremony.excluded,
        "reason": ceremony.reason,
    }


@nouns.command(epilog="Example: bfl key ceremony breast-cancer")
def ceremony(
    task_id: TaskId, place: Place = None, identity: As = APPLICATION, timeout: Timeout = 300.0
) -> None:
    """Follow the making of a joint key until it is there.

    The key holders' nodes open a ceremony by themselves whenever the task has no good key; an identity that is a key
    holder opens it at once. Exit code 1 when there is no key in time.
    """
    asyncio.run(_ceremony(task_id, place_of(place), identity, timeout))


async def _ceremony(task_id: str, place: Path, identity: str, patience: float) -> None:
    from bfl_fabric.sdk import connect_async

    async with connect_async(place, identity) as federation:
        task = await federation.task(task_id)
        await _require_shared(task)
        ceremonies, epochs = await task.ceremonies(), await task.epochs()
        is_open = bool(ceremonies) and ceremonies[-1].ceremony.status is CeremonyStatus.OPEN
        now_ms = federation.clock.now_ms()
        if not is_open and epochs and epoch_state(epochs[-1], now_ms) == "in use":
            raise ConfigurationError(
                f"{task_id} has a good key, epoch {epochs[-1].epoch}; replace it with `bfl key rotate {task_id}`"
            )
        last = len(ceremonies) - 1 if is_open else len(ceremonies)
        if not is_open and await _is_key_holder(federation):
            request: dict[str, Any] = {"task_id": task_id, "epoch": len(ceremonies) + 1, "expires_at": 0}
            await federation.submit("key:OpenCeremony", request)
        await _follow(task, patience, last)


@nouns.command(epilog="Example: bfl key rotate breast-cancer --reason 'a member left'")
def rotate(
    task_id: TaskId,
    reason: Annotated[str, typer.Option(help="Why; it is written on the ledger.")] = "rotation",
    place: Place = None,
    identity: As = APPLICATION,
    timeout: Timeout = 300.0,
) -> None:
    """Retire a task's key and wait for the next; a round that runs keeps its key, later rounds wait for the new one.

    A shared key is made by a new ceremony, a single one by its key holder. Exit code 1 when there is no key in time.
    """
    asyncio.run(_rotate(task_id, reason, place_of(place), identity, timeout))


async def _rotate(task_id: str, reason: str, place: Path, identity: str, patience: float) -> None:
    from bfl_fabric.sdk import connect_async

    async with connect_async(place, identity) as federation:
        task = await federation.task(task_id)
        epochs = await task.epochs()
        if not epochs:
            raise ConfigurationError(f"{task_id} has no key yet; follow it with `bfl key ceremony {task_id}`")
        newest = epochs[-1]
        if not newest.retired_at:
            request: dict[str, Any] = {"task_id": task_id, "epoch": newest.epoch, "reason": reason}
            await federation.submit("key:RetireEpoch", request)
            console.print(f"epoch {newest.epoch} is retired", soft_wrap=True)
        if newest.members:
            await _follow(task, patience, newest.epoch)
            return
        deadline = federation.clock.now_ms() + patience * 1000
        while (epochs := await task.epochs())[-1].epoch == newest.epoch:
            if federation.clock.now_ms() > deadline:
                raise BflError(
                    f"the key holder of {task_id} made no new key within {patience:.0f} s; see its log"
                )
            await task.pause(0.2)
        console.print(f"epoch {epochs[-1].epoch}: {epochs[-1].public_key_digest}", soft_wrap=True)


@nouns.command(epilog="Example: bfl key drill breast-cancer --federation my-federation")
def drill(
    task_id: TaskId, place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False
) -> None:
    """Practise: every window of neighbouring members opens a known sum with the shares on this machine.

    Nothing of the task is opened. Exit code 9 when a window does not open: then a member dealt wrongly, rotate the key.
    """
    asyncio.run(_drill(task_id, place_of(place), identity, as_json=as_json))


async def _drill(task_id: str, place: Path, identity: str, *, as_json: bool) -> None:
    from bfl_fabric import wiring
    from bfl_fabric.sdk import connect_async

    if not place.is_dir():
        raise ConfigurationError("a drill needs the federation's directory, which holds its members' shares")
    async with connect_async(place, identity) as federation:
        task = await federation.task(task_id)
        await _require_shared(task)
        spec, epochs = (await task.view()).task.spec, await task.epochs()
    if not epochs:
        raise ConfigurationError(f"{task_id} has no key yet; follow it with `bfl key ceremony {task_id}`")
    found = await asyncio.to_thread(wiring.hold_drill, place, spec, epochs[-1])
    rows = [
        {"members": list(members), "opened": not problem, "problem": problem} for members, problem in found
    ]
    print_rows(f"Practice openings of {task_id}, epoch {epochs[-1].epoch}", rows, as_json)
    failed = sum(1 for _, problem in found if problem)
    if failed:
        raise KeyHolderRefused(f"{failed} of {len(found)} windows did not open; rotate the key of {task_id}")


async def _require_shared(task: AsyncTask) -> None:
    if not (await task.view()).task.spec.roles.key_members:
        raise ConfigurationError(
            f"{task.task_id} has a single key, which its key holder makes without ceremony"
        )


async def _is_key_holder(federation: AsyncFederation) -> bool:
    caller = await federation.evaluate("federation:WhoAmI")
    return isinstance(caller, dict) and "key-holder" in str(caller.get("attributes"))


async def _follow(task: AsyncTask, patience: float, after_epoch: int) -> None:
    async for view in follow_ceremonies(task, patience, after_epoch):
        console.print(ceremony_line(view), soft_wrap=True)
        if view.ceremony.status is CeremonyStatus.CLOSED:
            console.print(ceremony_table(view))
