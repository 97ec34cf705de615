"""`bfl ledger`: the embedded ledger, and the blocks and events of either ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from bfl_chaincode.api.records import to_json
from bfl_fabric.cli.connection import APPLICATION, As, Place, place_of
from bfl_fabric.cli.output import JsonFlag, console, print_json, print_rows, short

nouns = typer.Typer(help="The ledger: serve it, look at its blocks and events.", no_args_is_help=True)


@nouns.command(epilog="Example: bfl ledger serve my-federation")
def serve(
    directory: Annotated[Path, typer.Argument(help="Directory of the federation.")],
    listen: Annotated[
        str | None,
        typer.Option(help="host:port; by default the last port, or a free one at the first start."),
    ] = None,
    with_parent: Annotated[
        bool, typer.Option("--stop-with-parent", help="Stop when standard input ends.", hidden=True)
    ] = False,
) -> None:
    """Serve the embedded ledger: Fabric's Gateway and Deliver services for all organizations of a federation.

    For laptops, tests and demonstrations: this one process holds the keys of every peer.
    """
    from bfl_fabric.node import run_ledger

    asyncio.run(run_ledger(directory, listen, with_parent=with_parent))


@nouns.command(epilog="Example: bfl ledger blocks --json")
def blocks(place: Place = None, identity: As = APPLICATION, as_json: JsonFlag = False) -> None:
    """List the blocks and their transactions, as the ledger delivers them."""
    from bfl_fabric.wiring import described_blocks

    rows = asyncio.run(_collect(place_of(place), identity, described_blocks))
    if not as_json:
        rows = [{**row, "hash": short(row["hash"])} for row in rows]
    print_rows("Blocks", rows, as_json, ["block", "bytes", "valid", "invalid"])


@nouns.command(epilog="Example: bfl ledger fetch --federation my-federation")
def fetch(place: Place = None, as_json: JsonFlag = False) -> None:
    """Copy the blocks of every organization's peer into the federation's directory, for an audit without a network."""
    from bfl_fabric.wiring import fetch_blocks

    copies = asyncio.run(fetch_blocks(place_of(place)))
    rows = [
        {"organization": msp_id, "file": str(path), "bytes": path.stat().st_size}
        for msp_id, path in copies.items()
    ]
    print_rows("Copies of the blocks", rows, as_json, ["bytes"])


@nouns.command(epilog="Example: bfl ledger events --from 0")
def events(
    start: Annotated[int, typer.Option("--from", help="First block.")] = 0,
    place: Place = None,
    identity: As = APPLICATION,
    as_json: JsonFlag = False,
) -> None:
    """Follow the contract's events; stop with Ctrl-C."""
    asyncio.run(_events(place_of(place), identity, start, as_json))


async def _events(place: Path, identity: str, start: int, as_json: bool) -> None:
    from bfl_fabric.sdk import connect_async

    async with connect_async(place, identity) as federation:
        async for item in federation.ledger.events(start_block=start):
            if as_json:
                print_json(
                    {"block": item.block_number, "transaction": item.transaction_id, **to_json(item.event)}
                )
            else:
                where = f"{item.event.task} {item.event.round}" if item.event.task else ""
                console.print(
                    f"{item.block_number:>5}  {item.name:<28} {where}  {', '.join(item.event.refs)}"
                )


async def _collect(place: Path, identity: str, read: Any) -> list[dict[str, Any]]:
    from bfl_fabric.sdk import connect_async

    async with connect_async(place, identity) as federation:
        rows: list[dict[str, Any]] = await read(federation.ledger)
        return rows
