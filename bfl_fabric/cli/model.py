"""`bfl model`: lineage, and the parameters themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import to_json
from bfl_fabric.cli.connection import APPLICATION, As, Place, place_of
from bfl_fabric.cli.output import JsonFlag, percent, print_json, print_rows, short

nouns = typer.Typer(help="Models: lineage and export.", no_args_is_help=True)
TaskId = Annotated[str, typer.Argument(help="Id of the task.")]


@nouns.command(epilog="Example: bfl model lineage breast-cancer")
def lineage(
    task_id: TaskId, place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False
) -> None:
    """Show every model of a task, what it was made of and by whom."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        records = federation.task(task_id).lineage()
    if as_json:
        print_json([to_json(record) for record in records])
        return
    rows = [
        {
            "round": record.round,
            "model": short(record.digest),
            "parent": short(record.parent_digest),
            "sum": short(record.sum_digest),
            "contributors": record.contributors,
            "accuracy": percent(record.metrics.accuracy_ppb) if record.metrics.samples else "–",
        }
        for record in records
    ]
    print_rows(f"Lineage of {task_id}", rows, as_json, ["round", "accuracy"])


@nouns.command(epilog="Example: bfl model export breast-cancer model.safetensors")
def export(
    task_id: TaskId,
    output: Annotated[Path, typer.Argument(help="File to write, in safetensors format.")],
    number: Annotated[
        int | None, typer.Option("--round", help="Round of the model; by default the newest.")
    ] = None,
    place: Place = None,
    identity: As = APPLICATION,
) -> None:
    """Write a published model, checked against its digest on the ledger, to a safetensors file."""
    from bfl_fabric.sdk import connect
    from bfl_fabric.wiring import export_model

    with connect(place_of(place), identity) as federation:
        task = federation.task(task_id)
        record = task.lineage()[-1 if number is None else number]
        origin: dict[str, Json] = {"task": task_id, "round": record.round, "digest": record.digest}
        export_model(output, task.view().task.spec.model, task.model(record.round), origin)
    typer.echo(f"wrote {output}")
