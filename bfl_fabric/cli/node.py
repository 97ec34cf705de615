"""`bfl node`: the services of an organization."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bfl_fabric.cli.connection import APPLICATION, As, Place, place_of
from bfl_fabric.cli.output import JsonFlag, print_rows

nouns = typer.Typer(
    help="Nodes: coordinator, aggregator, verifier, key holder, participant.", no_args_is_help=True
)


@nouns.command(epilog="Example: bfl node run my-federation/nodes/verifier-st-anna/node.toml")
def run(
    settings: Annotated[Path, typer.Argument(help="The node's TOML file.")],
    with_parent: Annotated[
        bool, typer.Option("--stop-with-parent", help="Stop when standard input ends.", hidden=True)
    ] = False,
) -> None:
    """Run one node until it is stopped; it goes on where the ledger says it stands."""
    import asyncio

    from bfl_fabric import config
    from bfl_fabric.node import run_node

    asyncio.run(run_node(config.load(config.NodeSettings, settings), with_parent=with_parent))


@nouns.command("list", epilog="Example: bfl node list")
def list_nodes(place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False) -> None:
    """List the announced nodes and where they listen."""
    from bfl_fabric.sdk import connect

    with connect(place_of(place), identity) as federation:
        rows = federation.evaluate("federation:ListNodes")
    print_rows("Nodes", rows, as_json)  # type: ignore[arg-type]
