"""Removing an organization from a running channel.

Decides who can be removed, and the order: suspended by the contract, out of topology and plan, out of the channel's
configuration. What it wrote on the ledger stays there; its keys stay in its directory, the homes of its processes
move to `fabric/removed`, so that it can be added again.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import ConfigurationError, NotFound
from bfl_fabric.fabric import config_changes
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.network import homes
from bfl_fabric.network.bringup import Report, Site
from bfl_fabric.network.operations import contract, processes
from bfl_fabric.network.operations.sites import change_channel, configuration, open_site, write_topology
from bfl_fabric.network.plan import remove_peer
from bfl_fabric.network.topology import Topology

REMOVED = "removed"


def shrunk(topology: Topology, msp_id: str) -> Topology:
    """Return a topology without an organization. Raises ConfigurationError when it is needed, NotFound."""
    left = tuple(item for item in topology.organizations if item.msp_id != msp_id)
    if len(left) == len(topology.organizations):
        raise NotFound(f"{msp_id} is no organization of this network")
    if len(left) < 2:
        raise ConfigurationError(f"{msp_id} cannot be removed: a federation has at least two organizations")
    for role, holder in topology.roles.model_dump().items():
        if holder == msp_id:
            raise ConfigurationError(
                f"{msp_id} cannot be removed: it is the {role.replace('_', ' ')} of this federation"
            )
    if topology.organizations[0].msp_id == msp_id:
        raise ConfigurationError(f"{msp_id} cannot be removed: it is the first, whose auditor audits")
    for kept in topology.collections:
        if msp_id in kept.organizations:
            raise ConfigurationError(
                f"{msp_id} cannot be removed: the collection {kept.name!r} is kept by it; upgrade without it first"
            )
    return topology.model_copy(update={"organizations": left})


def distrusting(config: Any, msp_id: str) -> Any:
    """Take an organization out of a channel's configuration, if it is in it."""
    known = ChannelConfig("", config).organizations.get(msp_id)
    return config if known is None else config_changes.remove_organization(config, known.name)


async def remove_organization(directory: Path, msp_id: str, clock: Clock, report: Report) -> None:
    """Remove an organization from federation, network and channel, in this order."""
    processes.require_running(directory)
    site = open_site(directory, clock)
    if any(item.msp_id == msp_id for item in site.topology.organizations):
        topology = shrunk(site.topology, msp_id)
        if await contract.is_founded(site):
            report(f"{msp_id}: the federation suspends it")
            await contract.suspend(site, msp_id)
        report(f"{msp_id}: its processes end")
        write_topology(site.directory, topology)
    elif msp_id not in (await configuration(site)).organizations and not _homeless(site):
        raise NotFound(f"{msp_id} is no organization of this network")
    homes.write_plan(site.directory, remove_peer(site.plan, msp_id))
    after = open_site(directory, clock)
    report(f"{msp_id}: the channel's administrators sign it out of the configuration")
    await change_channel(after, lambda config: distrusting(config, msp_id))
    report(f"{msp_id}: its homes move to {homes.fabric_directory(site.directory) / REMOVED / msp_id}")
    await _put_aside(after, msp_id)


def _homeless(site: Site) -> list[Path]:
    """Return the homes of peers and contract services that the plan no longer names."""
    found = [
        path
        for kind in ("peers", "contracts")
        for path in sorted((homes.fabric_directory(site.directory) / kind).iterdir())
    ]
    return [path for path in found if path.name not in site.plan.names()]


async def _put_aside(site: Site, msp_id: str) -> None:
    """Move what belongs to the organization's processes out of the way, once they have ended."""
    aside = homes.fabric_directory(site.directory) / REMOVED / msp_id
    for home in _homeless(site):
        await processes.until_gone(site.directory, home.name)
        _move(home, aside / home.name)
    _move(homes.package_file(site.directory, msp_id), aside / homes.package_file(site.directory, msp_id).name)
    homes.address_file(site.directory, msp_id).unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)
