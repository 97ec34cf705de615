"""`bfl network`, continued: operations on a running network. Each says what it does, step by step, and what is next."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bfl_fabric.cli.connection import command
from bfl_fabric.cli.network import DEFAULT, Directory, _existing, _named, nouns
from bfl_fabric.cli.output import JsonFlag, console, print_json
from bfl_fabric.errors import ConfigurationError

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Clock

Msp = Annotated[str, typer.Argument(help="MSP id of the organization.")]
Peer = Annotated[str, typer.Argument(help="Peer, as `bfl network status` names it.")]


@nouns.command(
    "add-organization",
    epilog="Example: bfl network add-organization --slug lakeside --msp-id Lakeside --name 'Lakeside Hospital' "
    "--region eu-central --participant lakeside-oncology",
)
def add_organization(
    file: Annotated[
        Path | None,
        typer.Argument(help="TOML file that describes it: slug, msp_id, name, region, participants."),
    ] = None,
    directory: Directory = DEFAULT,
    slug: Annotated[str, typer.Option(help="Part of the names of its processes and nodes.")] = "",
    msp_id: Annotated[str, typer.Option(help="Its MSP id.")] = "",
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    region: Annotated[str, typer.Option(help="Where it is.")] = "",
    participant: Annotated[list[str] | None, typer.Option(help="A data silo of it; may be repeated.")] = None,
    from_snapshot: Annotated[
        Path | None, typer.Option(help="Snapshot from which its peer starts, instead of from block 0.")
    ] = None,
) -> None:
    """Add an organization to the running channel: keys, peer, contract service, configuration, federation."""
    from bfl_fabric.config import check, load
    from bfl_fabric.network.operations import admission
    from bfl_fabric.network.topology import OrganizationPlan

    given = {"slug": slug, "msp_id": msp_id, "name": name, "region": region}
    if file is not None and any(given.values()):
        raise ConfigurationError("describe the organization in a file or by options, not both")
    organization = (
        load(OrganizationPlan, file)
        if file is not None
        else check(OrganizationPlan, given | {"participants": tuple(participant or ())}, Path("options"))
    )
    work = admission.add_organization(
        _existing(directory), organization, _clock(), _say, snapshot=from_snapshot
    )
    asyncio.run(work)
    console.print(
        f"{organization.msp_id} is a member of the channel and endorses. Look: "
        f"{command()} network status{_named(directory)}",
        soft_wrap=True,
    )


@nouns.command("remove-organization", epilog="Example: bfl network remove-organization Lakeside")
def remove_organization(msp_id: Msp, directory: Directory = DEFAULT) -> None:
    """Remove an organization from federation, network and channel; what it wrote on the ledger stays."""
    from bfl_fabric.network.operations import removal

    asyncio.run(removal.remove_organization(_existing(directory), msp_id, _clock(), _say))
    console.print(
        f"{msp_id} is no member of the channel any more; its keys are still in "
        f"{directory / 'organizations' / msp_id}",
        soft_wrap=True,
    )


@nouns.command(epilog="Example: bfl network upgrade --version 2")
def upgrade(
    version: Annotated[str, typer.Option(help="The new version, such as 2 or 1.4.0.")],
    directory: Directory = DEFAULT,
    voters: Annotated[
        list[str] | None,
        typer.Option("--as", help="MSP id whose administrator votes now; may be repeated; all by default."),
    ] = None,
    without_governance: Annotated[
        bool,
        typer.Option("--without-governance", help="Do not vote on the ledger; for channels never founded."),
    ] = False,
) -> None:
    """Upgrade the contract to the installed code: voted on the ledger, then committed with the next sequence."""
    from bfl_fabric.network.operations import upgrade as operation

    holds = asyncio.run(
        operation.upgrade(
            _existing(directory),
            version,
            _clock(),
            _say,
            msp_ids=tuple(voters or ()),
            governed=not without_governance,
        )
    )
    if holds:
        console.print(f"version {version} of the contract holds on the channel")
        return
    console.print(
        f"version {version} waits for more votes: {command()} network upgrade --version {version} --as MSP",
        soft_wrap=True,
    )


@nouns.command(epilog="Example: bfl network rotate Nordhaven --authority")
def rotate(
    msp_id: Msp,
    directory: Directory = DEFAULT,
    authority: Annotated[
        bool, typer.Option("--authority", help="Also replace the organization's authorities.")
    ] = False,
) -> None:
    """Give an organization's peer, clients and nodes new certificates and keys."""
    from bfl_fabric.network.operations import authority_rotation, rotation

    operation = authority_rotation.rotate_authority if authority else rotation.rotate
    asyncio.run(operation(_existing(directory), msp_id, _clock(), _say))
    console.print(
        f"{msp_id} has new certificates; start its nodes again so that they take theirs", soft_wrap=True
    )


@nouns.command("rotate-orderer", epilog="Example: bfl network rotate-orderer orderer-1")
def rotate_orderer(
    name: Annotated[str, typer.Argument(help="Orderer, as `bfl network status` names it.")],
    directory: Directory = DEFAULT,
) -> None:
    """Give an orderer new certificates, in the channel's configuration and in its home."""
    from bfl_fabric.network.operations import orderer_rotation

    asyncio.run(orderer_rotation.rotate_orderer(_existing(directory), name, _clock(), _say))
    console.print(f"{name} orders with its new certificates; rotate the next one only now", soft_wrap=True)


@nouns.command("set-block-cutting", epilog="Example: bfl network set-block-cutting --seconds 0.1")
def set_block_cutting(
    directory: Directory = DEFAULT,
    seconds: Annotated[
        float | None, typer.Option(help="Cut a block so long after its first transaction.")
    ] = None,
    transactions: Annotated[int | None, typer.Option(help="Cut a block at so many transactions.")] = None,
) -> None:
    """Change when blocks are cut: sooner is quicker, later is fewer and larger blocks."""
    from bfl_fabric.network.operations import block_cutting

    asyncio.run(block_cutting.set_cutting(_existing(directory), seconds, transactions, _clock(), _say))
    console.print("blocks are cut by the new terms from now on")


@nouns.command(epilog="Example: bfl network backup peer-nordhaven nordhaven.tar")
def backup(
    name: Peer,
    file: Annotated[Path, typer.Argument(help="File to write; it holds the peer's keys.")],
    directory: Directory = DEFAULT,
) -> None:
    """Write a peer's whole home into one file; the peer is stopped meanwhile, and started again."""
    from bfl_fabric.network.operations import backup as operation

    digest = asyncio.run(operation.backup(_existing(directory), name, file, _clock(), _say))
    console.print(f"{file} (only you may read it: it holds keys), SHA-256 {digest}", soft_wrap=True)


@nouns.command(epilog="Example: bfl network restore peer-nordhaven nordhaven.tar")
def restore(
    name: Peer,
    file: Annotated[Path, typer.Argument(help="File that `backup` wrote.")],
    directory: Directory = DEFAULT,
) -> None:
    """Give a peer what a backup holds, with the settings and certificates of today, and let it catch up."""
    from bfl_fabric.network.operations import backup as operation

    asyncio.run(operation.restore(_existing(directory), name, file, _clock(), _say))
    console.print(f"{name} is back and has every block")


@nouns.command(epilog="Example: bfl network snapshot peer-st-anna")
def snapshot(
    name: Peer,
    directory: Directory = DEFAULT,
    at: Annotated[
        int | None, typer.Option(min=1, help="After which block, one to come; after the newest by default.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Let a peer write a snapshot of its ledger, and wait for it."""
    from bfl_fabric.network.operations import snapshots

    report = _nothing if as_json else _say
    found = asyncio.run(snapshots.take_snapshot(_existing(directory), name, _clock(), report, at))
    if as_json:
        print_json(
            {key: value if isinstance(value, int) else str(value) for key, value in asdict(found).items()}
        )
        return
    console.print(f"{found.directory}: the ledger up to block {found.block_number}", soft_wrap=True)
    console.print(
        f"{found.hashes.name} has SHA-256 {found.digest}; another organization's snapshot of this block must have "
        "the same",
        soft_wrap=True,
    )


@nouns.command("join-from-snapshot", epilog="Example: bfl network join-from-snapshot peer-nordhaven SNAPSHOT")
def join_from_snapshot(
    name: Peer,
    source: Annotated[Path, typer.Argument(help="Directory that `snapshot` printed, or a copy of it.")],
    directory: Directory = DEFAULT,
    discard_data: Annotated[
        bool, typer.Option("--discard-data", help="Remove what the peer has before it joins.")
    ] = False,
) -> None:
    """Let a peer without data start from a snapshot; it has no older blocks and no private data."""
    from bfl_fabric.network.operations import snapshots

    endorses = asyncio.run(
        snapshots.join_from_snapshot(
            _existing(directory), name, source, _clock(), _say, discard_data=discard_data
        )
    )
    console.print(f"{name} has the channel's state and follows it")
    if not endorses:
        console.print(
            "its organization's approval of the contract was private data of this peer and is gone: the peer "
            f"endorses again after the next upgrade ({command()} network upgrade --version VERSION)",
            soft_wrap=True,
        )


def _clock() -> Clock:
    from bfl_fabric.clock import SystemClock

    return SystemClock()


def _say(text: str) -> None:
    console.print(f"  {text}", soft_wrap=True)


def _nothing(_text: str) -> None:
    """Takes the steps of an operation whose result is read by a program."""
