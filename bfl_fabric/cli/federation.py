"""`bfl federation`: make one, run it, look at it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from bfl_fabric.cli.connection import APPLICATION, As, Place, place_of
from bfl_fabric.cli.output import JsonFlag, console, print_json, print_record, print_rows

nouns = typer.Typer(help="Federations: make one, run it on this machine, look at it.", no_args_is_help=True)
Directory = Annotated[Path, typer.Argument(help="Directory of the federation.")]
ENDOWMENT = 1_000_000


@nouns.command(epilog="Example: bfl federation create my-federation --organizations 3 --participants 6")
def create(
    directory: Directory,
    organizations: Annotated[int, typer.Option(min=2, max=26, help="Number of organizations.")] = 3,
    participants: Annotated[int, typer.Option(min=2, max=200, help="Number of silos in all.")] = 6,
    topology: Annotated[Path | None, typer.Option(help="Topology file, instead of the two numbers.")] = None,
    ledger: Annotated[
        str | None,
        typer.Option(help="embedded or fabric; the topology's own by default.", show_default=False),
    ] = None,
    consensus: Annotated[str | None, typer.Option(help="On fabric: raft or bft.", show_default=False)] = None,
    scheme: Annotated[
        str,
        typer.Option(
            help="With threshold, every organization gets a key holder's node and can hold a share."
        ),
    ] = "ckks",
) -> None:
    """Make a federation's directory: key material, genesis block, settings of every node and client."""
    from bfl_fabric.network.topology import Topology, generated
    from bfl_fabric.sdk.local import LocalFederation
    from bfl_fabric.sdk.terms import require_scheme

    require_scheme(scheme)
    plan = Topology.load(topology) if topology else generated(organizations, participants, scheme)
    plan = plan.on(ledger or plan.ledger, consensus)
    LocalFederation.create(directory, plan)
    typer.echo(f"{plan.name} is in {directory}; start it with: bfl federation up {directory}")


@nouns.command(epilog="Example: bfl federation up my-federation")
def up(directory: Directory) -> None:
    """Run a federation's ledger and nodes until Ctrl-C; founds it at the first start."""
    asyncio.run(_up(directory))


async def _up(directory: Path) -> None:
    from bfl_fabric.node import until_stopped
    from bfl_fabric.sdk.local import LocalFederation

    def restarted(name: str, code: int) -> None:
        console.print(f"{name} ended ({code}) and was started again")

    with LocalFederation(directory, restarted) as federation:
        federation.start_all()
        await federation.ledger_ready()
        await federation.found(ENDOWMENT)
        rows = [
            {"process": name, "pid": pid, "log": str(directory / "logs" / f"{name}.log")}
            for name, pid in federation.process_ids().items()
        ]
        print_rows(federation.topology.name, rows, as_json=False, numbers=["pid"])
        console.print("ready; stop with Ctrl-C", soft_wrap=True)
        async with until_stopped() as stopped:
            while not stopped.is_set():
                federation.check()
                await asyncio.sleep(0.5)


@nouns.command(epilog="Example: bfl federation show --json")
def show(place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False) -> None:
    """Show the federation, its organizations and participants, as the ledger has them."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        record = federation.evaluate("federation:GetFederation")
        organizations = federation.evaluate("federation:ListOrganizations")
        participants = federation.evaluate("federation:ListParticipants")
    if as_json:
        print_json({"federation": record, "organizations": organizations, "participants": participants})
        return
    print_record("Federation", record, as_json)  # type: ignore[arg-type]
    print_rows("Organizations", organizations, as_json)  # type: ignore[arg-type]
    print_rows("Participants", participants, as_json)  # type: ignore[arg-type]


@nouns.command(epilog="Example: bfl federation whoami --as auditor")
def whoami(place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False) -> None:
    """Show who the ledger takes you for."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        answer = federation.evaluate("federation:WhoAmI")
    print_record("You are", answer, as_json)  # type: ignore[arg-type]
