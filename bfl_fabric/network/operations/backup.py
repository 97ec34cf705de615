"""A peer's backup, and a peer restored from one.

Decides what is in a backup: the peer's whole home, its blocks, state, private data, installed packages, and its keys,
with a note of whose it is. A restored peer gets the settings and certificates of today and catches up with the
others. Orderers are not restored: one that comes back with an older log could vote twice; let it join anew.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import ConfigurationError, NotFound
from bfl_fabric.network import homes
from bfl_fabric.network.bringup import Report, Site, until_endorsed
from bfl_fabric.network.directory import genesis_digest
from bfl_fabric.network.native import run_files
from bfl_fabric.network.operations import processes
from bfl_fabric.network.operations.archives import pack, unpack
from bfl_fabric.network.operations.catching_up import caught_up
from bfl_fabric.network.operations.sites import open_site
from bfl_fabric.network.plan import LOOPBACK, PeerPlan
from bfl_fabric.network.program_settings import PEER_FILE, peer_yaml
from bfl_fabric.network.topology import OrganizationPlan

NOTE = "bfl-backup.json"


def peer_named(site: Site, name: str) -> tuple[PeerPlan, OrganizationPlan]:
    """Return a peer and its organization. Raises NotFound, ConfigurationError when it is another process."""
    for peer in site.plan.peers:
        if peer.name == name:
            return peer, next(item for item in site.topology.organizations if item.msp_id == peer.msp_id)
    if name in site.plan.names():
        raise ConfigurationError(f"{name} is no peer; only peers are backed up and restored")
    raise NotFound(f"{name} is no peer; there are {', '.join(item.name for item in site.plan.peers)}")


async def backup(directory: Path, name: str, file: Path, clock: Clock, report: Report) -> str:
    """Write a peer's backup into a new file; return its SHA-256. A running peer is stopped for the while."""
    site = open_site(directory, clock)
    peer, _ = peer_named(site, name)
    was_running = processes.is_running(site.directory, name)
    was_held = run_files(site.directory).is_held(name)
    if file.exists():
        raise ConfigurationError(f"{file} exists already; choose another file")
    report(f"{name}: stopping it" if was_running else f"{name}: it does not run")
    await asyncio.to_thread(processes.stop, site.directory, name)
    home = homes.home_of(site.directory, peer)
    try:
        report(f"{name}: writing its home into {file}")
        (home / NOTE).write_text(_note(site, peer), "utf-8")
        return await asyncio.to_thread(pack, home, file)
    finally:
        (home / NOTE).unlink(missing_ok=True)
        if not was_held:
            report(f"{name}: starting it again" if was_running else f"{name}: left as it was")
            run_files(site.directory).release(name)
        if was_running:
            await processes.start(site.directory, peer)


async def restore(directory: Path, name: str, file: Path, clock: Clock, report: Report) -> None:
    """Give a peer the home that a backup holds, start it and wait until it has caught up.

    What it had before is in `before-restore` beside its home until that is done.
    """
    processes.require_running(directory)
    site = open_site(directory, clock)
    peer, organization = peer_named(site, name)
    home = homes.home_of(site.directory, peer)
    aside = home.with_name(f".{name}.restored")
    shutil.rmtree(aside, ignore_errors=True)
    report(f"{name}: reading {file}")
    await asyncio.to_thread(unpack, file, aside)
    _require_ours(aside, _note(site, peer), file)
    report(f"{name}: stopping it and putting the backup in place")
    await asyncio.to_thread(processes.stop, site.directory, name)
    _put(home, aside)
    (home / PEER_FILE).write_text(peer_yaml(peer, LOOPBACK, site.topology.federation_id), "utf-8")
    homes.write_identity(site.directory, peer)
    report(f"{name}: starting it; it catches up with the others")
    await processes.start(site.directory, peer)
    await level_with_others(site, organization)
    shutil.rmtree(_before(home), ignore_errors=True)


async def level_with_others(site: Site, organization: OrganizationPlan) -> None:
    """Wait until an organization's peer has what the others have, and its gateway endorses."""
    channel = site.topology.channel
    other = next(item for item in site.topology.organizations if item != organization)
    async with site.peer_client(other) as ahead, site.peer_client(organization) as peer:
        await caught_up(peer, channel, await ahead.newest(channel))
    await until_endorsed(site, organization)


def _note(site: Site, peer: PeerPlan) -> str:
    """Return whose backup it is: a backup of another peer or network is never restored."""
    values = {
        "channel": site.topology.channel,
        "genesis_digest": genesis_digest(site.directory),
        "msp_id": peer.msp_id,
        "peer": peer.name,
    }
    return json.dumps(values, sort_keys=True, indent=1) + "\n"


def _require_ours(aside: Path, note: str, file: Path) -> None:
    found = aside / NOTE
    said = found.read_text("utf-8", "replace") if found.is_file() else "no note of whose it is"
    if said != note:
        shutil.rmtree(aside)
        raise ConfigurationError(f"{file} is no backup of this peer of this network; it says: {said.strip()}")
    found.unlink()


def _before(home: Path) -> Path:
    return home.with_name(f".{home.name}.before-restore")


def _put(home: Path, aside: Path) -> None:
    """Let the restored home take the place of the present one, which is kept until the peer is back."""
    if home.exists():
        shutil.rmtree(_before(home), ignore_errors=True)
        home.rename(_before(home))
    aside.rename(home)
