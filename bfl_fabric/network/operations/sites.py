"""A network's directory as an operation finds it, and the files that an operation replaces in it.

Decides that files are replaced as a whole: whoever reads them meanwhile, as the network's server does, sees the old
ones or the new ones.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bfl_fabric.domain.ports import Clock
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.config_submission import Change, update_channel
from bfl_fabric.network import homes
from bfl_fabric.network.bringup import Site
from bfl_fabric.network.directory import TOPOLOGY, read_topology
from bfl_fabric.network.topology import OrganizationPlan, Topology

UPDATE_SECONDS = 30.0


def open_site(directory: Path, clock: Clock) -> Site:
    """Return the network of a directory. Raises ConfigurationError when there is none."""
    return Site(directory.resolve(), read_topology(directory), homes.read_plan(directory), clock)


def write_topology(directory: Path, topology: Topology) -> None:
    """Replace the topology file."""
    aside = directory / f".{TOPOLOGY}.new"
    aside.write_text(topology.dump(), "utf-8")
    aside.replace(directory / TOPOLOGY)


def first(site: Site) -> OrganizationPlan:
    """Return the organization whose peer is asked when any would do."""
    return site.topology.organizations[0]


async def configuration(site: Site) -> ChannelConfig:
    """Return the channel's configuration as the orderers have it."""
    async with site.orderers(site.administrator(first(site))) as orderers:
        return await orderers.config(site.topology.channel)


async def change_channel(site: Site, change: Change) -> ChannelConfig:
    """Change the channel's configuration, signed by every administrator whose key is here; wait for every peer.

    What the channel has already is not changed again. The configuration is kept in `config_file`: whoever trusts the
    organizations of the first block alone would not know a newcomer or a new authority.
    """
    administrator = site.administrator(first(site))
    async with site.orderers(administrator) as orderers:
        config = await update_channel(orderers, site.topology.channel, change, site.administrators())
        raw = await orderers.config_block(site.topology.channel)
    aside = homes.config_file(site.directory).with_suffix(".new")
    aside.write_bytes(raw)
    aside.replace(homes.config_file(site.directory))
    await asyncio.gather(*(_until_known(site, item, config) for item in site.topology.organizations))
    return config


async def _until_known(site: Site, organization: OrganizationPlan, config: ChannelConfig) -> None:
    """Wait until an organization's peer goes by a configuration; one that is down catches up later by itself."""
    from bfl_fabric.errors import LedgerError
    from bfl_fabric.fabric.blocks import parse_block
    from bfl_fabric.fabric.peer_channels import config_block

    async with site.peer_client(organization) as peer:
        deadline = site.clock.now_ms() + UPDATE_SECONDS * 1000
        while site.clock.now_ms() < deadline:
            try:
                raw = await config_block(peer, site.topology.channel)
            except LedgerError:
                return
            if ChannelConfig.from_block(parse_block(raw)).sequence >= config.sequence:
                return
            await site.clock.sleep(0.05)
