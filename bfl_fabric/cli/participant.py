"""`bfl participant`: the data silos."""

from __future__ import annotations

from typing import Annotated

import typer

from bfl_chaincode.api.records import to_json
from bfl_fabric.cli.connection import APPLICATION, As, Place, place_of
from bfl_fabric.cli.output import JsonFlag, print_record, print_rows

nouns = typer.Typer(help="Participants: the data silos.", no_args_is_help=True)


@nouns.command("list", epilog="Example: bfl participant list --json")
def list_participants(place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False) -> None:
    """List the enrolled participants."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        rows = [to_json(item) for item in federation.participants()]
    print_rows("Participants", rows, as_json)


@nouns.command(epilog="Example: bfl participant enrol st-anna-neurology --as admin-st-anna")
def enrol(
    participant_id: Annotated[str, typer.Argument(help="Common name of the participant's certificate.")],
    identity: As,
    place: Place = None,
    as_json: JsonFlag = False,
) -> None:
    """Enrol a participant of one's own organization; needs the organization's admin identity."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        commit = federation.submit("federation:EnrolParticipant", {"participant_id": participant_id})
    print_record("Participant", commit.result, as_json)  # type: ignore[arg-type]
