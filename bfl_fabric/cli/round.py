"""`bfl round`: one round and its evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from bfl_chaincode.api.records import to_json
from bfl_fabric.cli.connection import APPLICATION, As, Place, place_of
from bfl_fabric.cli.output import JsonFlag, print_json, print_record, print_rows, short

nouns = typer.Typer(help="Rounds: phases, commitments, attestations, payouts.", no_args_is_help=True)
TaskId = Annotated[str, typer.Argument(help="Id of the task.")]


@nouns.command("list", epilog="Example: bfl round list breast-cancer")
def list_rounds(
    task_id: TaskId, place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False
) -> None:
    """List the rounds of a task."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        task = federation.task(task_id)
        newest = task.view().round
        views = [task.view(number) for number in range(1, (newest.number if newest else 0) + 1)]
    rows = [
        {
            "round": view.round.number,
            "phase": view.round.phase.value,
            "members": len(view.round.members),
            "updates": len(view.updates),
            "attestations": len(view.attestations),
            "paid": view.settlement.paid if view.settlement else 0,
            "aggregate": view.round.aggregate_digest if as_json else short(view.round.aggregate_digest),
            "model": view.round.model_digest if as_json else short(view.round.model_digest),
            "reason": view.round.reason,
        }
        for view in views
        if view.round is not None
    ]
    print_rows(f"Rounds of {task_id}", rows, as_json, ["round", "members", "updates", "attestations", "paid"])


@nouns.command(epilog="Example: bfl round show breast-cancer 3")
def show(
    task_id: TaskId,
    number: Annotated[int, typer.Argument(help="Number of the round, from 1.")],
    place: Place = None,
    identity: As = APPLICATION,
    as_json: JsonFlag = False,
) -> None:
    """Show one round with all its evidence."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        view = federation.task(task_id).view(number)
    if as_json or view.round is None:
        print_json(to_json(view))
        return
    print_record(f"Round {number} of {task_id}", to_json(view.round), as_json)
    print_rows("Updates", [to_json(item) for item in view.updates], as_json, ["size_bytes", "weight"])
    print_rows("Receipts", [to_json(item) for item in view.receipts], as_json)
    print_rows("Attestations", [to_json(item) for item in view.attestations], as_json)
    if view.settlement is not None:
        rows = [to_json(item) for item in view.settlement.payouts]
        print_rows(
            "Payouts", rows, as_json, [name for name in rows[0] if name != "participant_id"] if rows else []
        )


@nouns.command(epilog="Example: bfl round abort breast-cancer 3 --reason 'verifiers disagree'")
def abort(
    task_id: TaskId,
    number: Annotated[int, typer.Argument(help="Number of the round, from 1.")],
    reason: Annotated[str, typer.Option(help="Why; it is written on the ledger.")],
    place: Place = None,
    identity: As = APPLICATION,
) -> None:
    """Abort a round before anything of it is opened."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        federation.submit("round:Abort", {"task_id": task_id, "round": number, "reason": reason})
    typer.echo(f"round {number} of {task_id} is aborted")
