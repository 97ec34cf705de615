"""Snapshots of a peer's ledger, and a peer that starts from one.

Decides where a snapshot is found and what makes two of them the same: the digest of the file in which the peer says
what it holds. A peer that starts from a snapshot has no older blocks and no private data. An organization's approval
of the contract is private data, too: where this was its only peer, nobody has it any more, and the peer endorses
again from the next definition on.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import ConfigurationError, EndorseError, LedgerUnavailable
from bfl_fabric.fabric import peer_channels
from bfl_fabric.fabric.snapshots import pending_snapshots, request_snapshot
from bfl_fabric.network import homes
from bfl_fabric.network.bringup import Report, Site
from bfl_fabric.network.operations import processes
from bfl_fabric.network.operations.archives import digest_of
from bfl_fabric.network.operations.backup import level_with_others, peer_named
from bfl_fabric.network.operations.definitions import current_package, present_definition, take_part
from bfl_fabric.network.operations.sites import open_site
from bfl_fabric.network.plan import PeerPlan
from bfl_fabric.network.topology import OrganizationPlan

_log = logging.getLogger(__name__)
HASHES = "_snapshot_signable_metadata.json"
SNAPSHOT_SECONDS = 300.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A finished snapshot: where it is, its last block, the file with its hashes and that file's SHA-256."""

    directory: Path
    block_number: int
    hashes: Path
    digest: str


async def take_snapshot(
    directory: Path, name: str, clock: Clock, report: Report, at: int | None = None
) -> Snapshot:
    """Let a peer write a snapshot after block `at`, or after the newest, and wait until it is finished."""
    processes.require_running(directory)
    site = open_site(directory, clock)
    peer, organization = peer_named(site, name)
    channel = site.topology.channel
    async with site.peer_client(organization) as client:
        number = await client.newest(channel) if at is None else at
        place = _place(site, peer, number)
        if not place.exists():
            report(f"{name}: a snapshot after block {number} is asked for")
            if number not in await pending_snapshots(client, channel):
                await request_snapshot(client, channel, 0 if at is None else number)
        deadline = time.monotonic() + SNAPSHOT_SECONDS
        while not place.exists():
            if at is None:
                place = _newest(site, peer, number) or place
            if time.monotonic() > deadline:
                raise LedgerUnavailable(
                    f"{name}: the snapshot after block {number} is not written after {SNAPSHOT_SECONDS:.0f} s; "
                    "it will be when the channel has that block: run the same command again then"
                )
            await asyncio.sleep(_POLL_SECONDS)
    return described(place)


def described(place: Path) -> Snapshot:
    """Return what a snapshot's directory holds. Raises ConfigurationError when it is no finished snapshot."""
    hashes = place / HASHES
    if not hashes.is_file() or not place.name.isdigit():
        raise ConfigurationError(f"{place} is no finished snapshot: it has no {HASHES}")
    return Snapshot(place, int(place.name), hashes, digest_of(hashes))


async def join_from_snapshot(
    directory: Path,
    name: str,
    source: Path,
    clock: Clock,
    report: Report,
    *,
    discard_data: bool = False,
) -> bool:
    """Let a peer without data start from a snapshot; with `discard_data` what it has is removed first.

    Return whether it endorses, which it does unless its organization's approval was lost with its data.
    """
    processes.require_running(directory)
    site = open_site(directory, clock)
    peer, organization = peer_named(site, name)
    snapshot = described(source.resolve())
    data = homes.home_of(site.directory, peer) / "data"
    if snapshot.directory.is_relative_to(data.resolve()):
        raise ConfigurationError(f"{source} is in the data of {name} itself; copy it elsewhere first")
    if discard_data and not await _started_from(site, organization, snapshot):
        report(f"{name}: stopping it and removing its data")
        await asyncio.to_thread(processes.stop, site.directory, name)
        shutil.rmtree(data, ignore_errors=True)
    await processes.start(site.directory, peer)
    report(f"{name}: joining from the snapshot after block {snapshot.block_number}")
    await _join(site, organization, snapshot)
    report(f"{name}: it catches up and installs the contract")
    await level_with_others(site, organization)
    return await _takes_part(site, organization)


async def _takes_part(site: Site, organization: OrganizationPlan) -> bool:
    """Install the contract and see to the approval; Fabric does not take one again whose private half is lost."""
    package = current_package(site, organization.msp_id)
    definition = await present_definition(_without(site, organization))
    try:
        await take_part(site, organization, definition, package)
    except EndorseError as error:
        _log.info("%s does not approve again: %s", organization.msp_id, error)
        return False
    return True


async def _join(site: Site, organization: OrganizationPlan, snapshot: Snapshot) -> None:
    channel = site.topology.channel
    async with site.peer_client(organization) as client:
        if channel in await peer_channels.joined_channels(client):
            info = await peer_channels.channel_info(client, channel)
            if info.snapshot_block == snapshot.block_number:
                return
            raise ConfigurationError(
                f"{client.name} has {info.height} blocks of {channel} already; --discard-data removes them first"
            )
        await peer_channels.join_by_snapshot(client, str(snapshot.directory))


async def _started_from(site: Site, organization: OrganizationPlan, snapshot: Snapshot) -> bool:
    """Say whether the peer runs from this very snapshot already, as after a crash of this command."""
    peer = site.plan.peer_of(organization.msp_id)
    if not processes.is_running(site.directory, peer.name):
        return False
    async with site.peer_client(organization) as client:
        if site.topology.channel not in await peer_channels.joined_channels(client):
            return True
        info = await peer_channels.channel_info(client, site.topology.channel)
    return info.snapshot_block == snapshot.block_number


def _without(site: Site, organization: OrganizationPlan) -> Site:
    """Return the site as the others see it: what holds on the channel is not asked of a peer that just came."""
    others = tuple(item for item in site.topology.organizations if item != organization)
    topology = site.topology.model_copy(update={"organizations": others})
    return Site(site.directory, topology, site.plan, site.clock)


def _completed(site: Site, peer: PeerPlan) -> Path:
    return (
        homes.home_of(site.directory, peer) / "data" / "snapshots" / "completed" / site.topology.channel
    ).resolve()


def _place(site: Site, peer: PeerPlan, number: int) -> Path:
    return _completed(site, peer) / str(number)


def _newest(site: Site, peer: PeerPlan, after: int) -> Path | None:
    """Return the snapshot that was just written; a block may have come in between question and answer."""
    found = [path for path in _completed(site, peer).glob("*") if path.name.isdigit()]
    later = [path for path in found if int(path.name) >= after]
    return max(later, key=lambda path: int(path.name)) if later else None
