"""`bfl network`: a real Hyperledger Fabric network on this machine, or the files to run one in containers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from bfl_fabric.cli.connection import command
from bfl_fabric.cli.output import JsonFlag, console, print_json, size
from bfl_fabric.errors import BflError, ConfigurationError

nouns = typer.Typer(
    help="Hyperledger Fabric networks: bring one up on this machine, look at it, operate it.",
    no_args_is_help=True,
)
DEFAULT = Path("bfl-network")
WIDE = 130
Directory = Annotated[
    Path,
    typer.Option(
        "--directory",
        "-d",
        envvar="BFL_NETWORK",
        help="Directory of the network, or of a federation on Fabric.",
    ),
]
Version = Annotated[
    str,
    typer.Option(
        "--fabric", help="Version of Fabric's programs, such as 3.1 or 2.5.16; the newest by default."
    ),
]


@nouns.command(epilog="Example: bfl network up --consensus bft")
def up(
    directory: Directory = DEFAULT,
    topology: Annotated[
        Path | None, typer.Option(help="Topology file; three hospitals by default. Read at the first start.")
    ] = None,
    consensus: Annotated[
        str | None, typer.Option(help="raft (one orderer) or bft (four); the topology's by default.")
    ] = None,
    version: Version = "",
) -> None:
    """Bring up a native Fabric network: peers, orderers, contract services, channel, contract committed.

    It goes on running in the background until `bfl network down`. Everything listens on 127.0.0.1.
    """
    from bfl_fabric.network import control
    from bfl_fabric.network.programs import find_programs

    find_programs(version)
    _require_network(directory, topology, consensus)
    started = time.monotonic()
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        show = _live_table(directory, live)
        control.start(directory, ["network", "serve", str(directory), "--fabric", version], show)
    rows = asyncio.run(_statuses(directory))
    console.print(_table(directory, rows))
    console.print(
        f"ready in {time.monotonic() - started:.1f} s. Look: {command()} network status{_named(directory)}"
        f" · stop: {command()} network down{_named(directory)}",
        soft_wrap=True,
    )


@nouns.command(epilog="Example: bfl network create bfl-network --topology network/topologies/three-org.toml")
def create(
    directory: Annotated[Path, typer.Argument(help="Directory of the network.")],
    topology: Annotated[Path | None, typer.Option(help="Topology file; three hospitals by default.")] = None,
    consensus: Annotated[str | None, typer.Option(help="raft or bft; the topology's by default.")] = None,
    containers: Annotated[
        bool, typer.Option("--containers", help="For containers: each process is a host of its own name.")
    ] = False,
) -> None:
    """Make keys, certificates, genesis block and the home of each process, and start nothing.

    A directory that holds the network already is left as it is.
    """
    from bfl_fabric.network import directory as directories
    from bfl_fabric.network.topology import Topology, sample

    if (directory / directories.TOPOLOGY).exists():
        console.print(f"{directory} holds a network already; it is left as it is", soft_wrap=True)
        return
    chosen = Topology.load(topology) if topology else sample()
    directories.create(directory, chosen.on("fabric", consensus), containers=containers)
    console.print(f"{chosen.name} is in {directory}", soft_wrap=True)


@nouns.command(epilog="Example: bfl network join bfl-network")
def join(directory: Annotated[Path, typer.Argument(help="Directory of the network.")]) -> None:
    """Let the running orderers and peers join the channel and commit the contract; what is done stays done.

    `up` does this by itself; in containers it is a step of its own.
    """
    from bfl_fabric.network import homes
    from bfl_fabric.network.bringup import bring_up
    from bfl_fabric.wiring import fabric_site

    site = fabric_site(directory)
    asyncio.run(bring_up(site, lambda phase: console.print(phase, soft_wrap=True)))
    homes.announce(directory, site.plan)
    console.print("ready")


@nouns.command(epilog="Example: bfl network compose --write docker-compose.fabric.yml")
def compose(
    topology: Annotated[Path, typer.Option(help="Topology file.")] = Path(
        "network/topologies/three-org.toml"
    ),
    consensus: Annotated[str | None, typer.Option(help="raft or bft; the topology's by default.")] = None,
    write: Annotated[Path | None, typer.Option(help="File to write; printed by default.")] = None,
) -> None:
    """Make the compose file that runs a topology in containers, from the same plan as the native network."""
    from bfl_fabric.network.compose import compose_yaml
    from bfl_fabric.network.topology import Topology

    text = compose_yaml(Topology.load(topology).on("fabric", consensus), topology.as_posix())
    if write is None:
        print(text, end="")
        return
    write.write_text(text, "utf-8")
    console.print(f"wrote {write}", soft_wrap=True)


@nouns.command(epilog="Example: bfl network serve bfl-network")
def serve(
    directory: Annotated[Path, typer.Argument(help="Directory of the network.")],
    version: Version = "",
    with_parent: Annotated[
        bool, typer.Option("--stop-with-parent", help="Stop when standard input ends.", hidden=True)
    ] = False,
) -> None:
    """Run the network in the foreground until Ctrl-C, as `up` does in the background."""
    from bfl_fabric.node import run_network

    asyncio.run(run_network(directory, version, with_parent=with_parent))


@nouns.command(epilog="Example: bfl network status --json")
def status(directory: Directory = DEFAULT, as_json: JsonFlag = False) -> None:
    """Show what runs where, how it is, and how many blocks each peer and orderer has."""
    rows = asyncio.run(_statuses(_existing(directory)))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    console.print(_table(directory, rows))


@nouns.command(epilog="Example: bfl network logs peer-st-anna --lines 50")
def logs(
    name: Annotated[
        str, typer.Argument(help="Process, as `bfl network status` names it; or network.")
    ] = "network",
    directory: Directory = DEFAULT,
    lines: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the last lines.")] = 40,
) -> None:
    """Print the end of a process's log."""
    from bfl_fabric.network.control import tail
    from bfl_fabric.network.native import log_file

    path = log_file(_existing(directory), name)
    if not path.exists():
        known = ", ".join(sorted(item.stem for item in path.parent.glob("*.log")))
        raise ConfigurationError(f"there is no log {path}; there are: {known or 'none'}")
    print(tail(path, lines))


@nouns.command(epilog="Example: bfl network down --purge")
def down(
    directory: Directory = DEFAULT,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Also remove the directory: blocks, keys, certificates, everything."),
    ] = False,
) -> None:
    """Stop every process of the network; what is on the ledger stays, unless it is purged."""
    from bfl_fabric.network import control

    ended = control.stop(_existing(directory))
    console.print(f"stopped: {', '.join(ended) or 'nothing ran'}", soft_wrap=True)
    if purge:
        control.purge(directory)
        console.print(f"removed {directory}", soft_wrap=True)


@nouns.command(epilog="Example: bfl network kill peer-nordhaven")
def kill(name: Annotated[str, typer.Argument(help="Process.")], directory: Directory = DEFAULT) -> None:
    """End one process as a power cut would (kill -9); it stays down until `restart`."""
    from bfl_fabric.network import control

    control.kill(_existing(directory), name)
    console.print(
        f"killed {name}; start it again with: {command()} network restart {name}{_named(directory)}"
    )


@nouns.command(epilog="Example: bfl network restart peer-nordhaven")
def restart(name: Annotated[str, typer.Argument(help="Process.")], directory: Directory = DEFAULT) -> None:
    """Stop one process politely, if it runs, and start it again."""
    from bfl_fabric.network import control

    control.restart(_existing(directory), name)
    console.print(f"{name} runs again")


@nouns.command(epilog="Example: bfl network programs")
def programs(as_json: JsonFlag = False) -> None:
    """Show which versions of Fabric's programs were found where; exit code 12 when there are none."""
    from bfl_fabric.network.programs import list_programs, missing_programs

    found = list_programs()
    if as_json:
        print_json([asdict(item) for item in found])
    elif found:
        table = Table(title="Hyperledger Fabric's programs", title_justify="left", header_style="bold")
        for heading in ("version", "where", "programs"):
            table.add_column(heading, overflow="fold")
        for item in found:
            table.add_row(item.version, item.directory, ", ".join(item.programs))
        console.print(table)
        console.print("The first is used unless --fabric names another version.")
    if not found:
        raise missing_programs()


def _require_network(directory: Path, topology: Path | None, consensus: str | None) -> None:
    """Make the network's directory unless it is there; what is there is never changed."""
    from bfl_fabric.network import directory as directories
    from bfl_fabric.network import homes
    from bfl_fabric.network.topology import Topology, sample

    if (directory / directories.TOPOLOGY).exists():
        homes.read_plan(directory)
        plan = directories.read_topology(directory)
        if topology is not None or consensus not in (None, plan.ordering.consensus.value):
            raise ConfigurationError(
                f"{directory} holds a network already, with {plan.ordering.consensus.value}; choose another "
                f"--directory, or remove it with `bfl network down --purge{_named(directory)}`"
            )
        return
    chosen = Topology.load(topology) if topology else sample()
    directories.create(directory, chosen.on("fabric", consensus))


def _existing(directory: Path) -> Path:
    from bfl_fabric.network.homes import read_plan

    if not directory.exists():
        raise ConfigurationError(
            f"there is no network in {directory}; bring one up with `bfl network up{_named(directory)}`"
        )
    read_plan(directory)
    return directory


def _named(directory: Path) -> str:
    return "" if directory == DEFAULT else f" --directory {directory}"


async def _statuses(directory: Path) -> list[Any]:
    from bfl_fabric.network.native import run_files
    from bfl_fabric.network.status import collect
    from bfl_fabric.wiring import fabric_site

    return await collect(fabric_site(directory), run_files(directory))


def _live_table(directory: Path, live: Live) -> Callable[[str], None]:
    """Return what redraws the table while the network comes up; asks for no heights yet."""
    from bfl_fabric.network.native import run_files
    from bfl_fabric.network.status import collect
    from bfl_fabric.wiring import fabric_site

    site, files = fabric_site(directory), run_files(directory)

    def show(phase: str) -> None:
        try:
            rows = asyncio.run(collect(site, files, heights=False))
        except BflError:
            rows = []
        table = _table(directory, rows)
        table.caption = f"{phase} …"
        live.update(table)

    return show


def _table(directory: Path, rows: list[Any]) -> Table:
    """Return the table of processes; narrow terminals get what fits into 80 columns."""
    wide = console.width >= WIDE
    table = Table(title=str(directory), title_justify="left", caption_justify="left", header_style="bold")
    table.add_column("process", no_wrap=True)
    if wide:
        table.add_column("what")
        table.add_column("organization")
    table.add_column("address", no_wrap=True)
    if wide:
        table.add_column("health, metrics", no_wrap=True)
        table.add_column("pid", justify="right")
    table.add_column("blocks", justify="right")
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    for row in rows:
        colour = "green" if row.state == "healthy" else "red"
        cells = [row.name, row.kind, row.msp_id] if wide else [row.name]
        cells += [row.address, row.operations, str(row.process_id or "–")] if wide else [row.address]
        height = str(row.height) if row.height >= 0 else "–"
        memory = size(row.memory_bytes) if row.memory_bytes else "–"
        table.add_row(*cells, height, memory, f"[{colour}]{row.state}[/]")
    return table


from bfl_fabric.cli import network_operations  # noqa: E402, F401 (puts its commands on this noun)
