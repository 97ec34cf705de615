"""`bfl task`: what is trained, on which terms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bfl_chaincode.api.records import to_json
from bfl_fabric.cli.connection import APPLICATION, As, Place, place_of
from bfl_fabric.cli.output import JsonFlag, print_record, print_rows

nouns = typer.Typer(help="Tasks: what is trained, on which terms.", no_args_is_help=True)
TaskId = Annotated[str, typer.Argument(help="Id of the task.")]


@nouns.command("list", epilog="Example: bfl task list --json")
def list_tasks(place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False) -> None:
    """List the tasks of the federation."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        rows = [
            {
                "task": task.spec.task_id,
                "title": task.spec.title,
                "status": task.status.value,
                "rounds": task.spec.schedule.rounds,
                "spec_digest": task.spec_digest,
            }
            for task in federation.tasks()
        ]
    print_rows("Tasks", rows, as_json, numbers=["rounds"])


@nouns.command(epilog="Example: bfl task show breast-cancer")
def show(task_id: TaskId, place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False) -> None:
    """Show a task's whole spec and who has registered."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        view = federation.task(task_id).view()
    if as_json:
        print_record("", to_json(view.task), as_json=True)
        return
    print_record(f"Task {task_id}", {**to_json(view.task), **to_json(view.task.spec), "spec": ""}, as_json)
    print_rows("Registrations", [to_json(item) for item in view.registrations], as_json, numbers=["samples"])


@nouns.command(epilog="Example: bfl task publish terms.toml --architecture digits-mlp --participants 6")
def publish(
    terms: Annotated[
        Path, typer.Argument(help="TOML file with the terms: task_id, title, rounds, pool, ...")
    ],
    architecture: Annotated[
        str, typer.Option(help="Architecture that the nodes know, such as breast-cancer-mlp.")
    ],
    participants: Annotated[int, typer.Option(min=2, help="Start once so many silos have registered.")],
    place: Place = None,
    identity: As = APPLICATION,
) -> None:
    """Publish a task, fund its pool, and start it when enough silos have registered."""
    import asyncio

    asyncio.run(_publish(terms, architecture, participants, place_of(place), identity))


async def _publish(terms: Path, name: str, participants: int, place: Path, identity: str) -> None:
    from bfl_fabric.sdk import connect_async
    from bfl_fabric.sdk.terms import load_terms
    from bfl_fabric.wiring import described_architecture

    chosen = load_terms(terms)
    async with connect_async(place, identity) as federation:
        task = await federation.publish(chosen, *described_architecture(name, chosen.seed))
        typer.echo(f"{task.task_id} is published; waiting for {participants} silos")
        await task.start(participants)
        typer.echo(f"{task.task_id} runs; follow it with `bfl task watch {task.task_id}`")


@nouns.command(epilog="Example: bfl task watch breast-cancer")
def watch(task_id: TaskId, place: Place = None, identity: As = APPLICATION) -> None:
    """Follow a task live until it ends."""
    from bfl_fabric.cli.display import line_of
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        for summary in federation.task(task_id).progress():
            typer.echo(line_of(summary))


@nouns.command(epilog="Example: bfl task abandon breast-cancer --reason 'wrong data schema'")
def abandon(
    task_id: TaskId,
    reason: Annotated[str, typer.Option(help="Why; it is written on the ledger.")],
    place: Place = None,
    identity: As = APPLICATION,
) -> None:
    """Give a task up; what is left of its pool goes back to its funder."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        federation.submit("task:Abandon", {"task_id": task_id, "reason": reason})
    typer.echo(f"{task_id} is abandoned")
