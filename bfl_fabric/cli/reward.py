"""`bfl reward`: accounts, statements, settlements, conservation."""

from __future__ import annotations

from typing import Annotated

import typer

from bfl_fabric.cli.connection import APPLICATION, As, Place, place_of
from bfl_fabric.cli.output import JsonFlag, print_record, print_rows

nouns = typer.Typer(help="Rewards: accounts, statements, payouts; all in minor units.", no_args_is_help=True)


@nouns.command(epilog="Example: bfl reward accounts --json")
def accounts(place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False) -> None:
    """List every account and its balance."""
    from bfl_chaincode.api.records import to_json
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        rows = [to_json(item) for item in federation.accounts()]
    print_rows("Accounts", rows, as_json, ["amount", "entries"])


@nouns.command(epilog="Example: bfl reward statement participant:st-anna-cardiology")
def statement(
    account: Annotated[str, typer.Argument(help="participant:ID, org:MSP, pool:TASK or mint.")],
    place: Place = None,
    identity: As = APPLICATION,
    as_json: JsonFlag = False,
) -> None:
    """List every entry of an account."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        rows = federation.evaluate("reward:Statement", {"account": account})
    print_rows(f"Statement of {account}", rows, as_json, ["amount", "line"])  # type: ignore[arg-type]


@nouns.command(epilog="Example: bfl reward earned breast-cancer")
def earned(
    task_id: Annotated[str, typer.Argument(help="Id of the task.")],
    place: Place = None,
    identity: As = APPLICATION,
    as_json: JsonFlag = False,
) -> None:
    """Show what each participant has earned in a task."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        earnings = federation.task(task_id).rewards()
    rows = [{"participant": name, "earned": amount} for name, amount in sorted(earnings.items())]
    print_rows(f"Earned in {task_id}", rows, as_json, ["earned"])


@nouns.command(epilog="Example: bfl reward conservation")
def conservation(place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False) -> None:
    """Check that every unit ever minted is in exactly one account."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        answer = federation.evaluate("reward:Conservation")
    print_record("Conservation", answer, as_json)  # type: ignore[arg-type]
