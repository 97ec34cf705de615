"""Adding an organization to a running channel: keys, processes, configuration, contract, federation.

Decides the order. The organization's processes run before the channel knows it, and the topology names it only
once its gateway endorses: a crash in between leaves a network that starts as before, and the same command goes on.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric import config_changes, peer_channels
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.trust import OrganizationTrust
from bfl_fabric.network import directory as directories
from bfl_fabric.network import homes, material
from bfl_fabric.network.bringup import Report, Site, until_endorsed
from bfl_fabric.network.operations import contract, processes
from bfl_fabric.network.operations.catching_up import caught_up
from bfl_fabric.network.operations.definitions import current_package, present_definition, take_part
from bfl_fabric.network.operations.sites import change_channel, first, open_site, write_topology
from bfl_fabric.network.plan import LOOPBACK, NetworkPlan, add_peer
from bfl_fabric.network.topology import OrganizationPlan, Topology

JOIN_SECONDS = 120.0


def grown(topology: Topology, organization: OrganizationPlan) -> Topology:
    """Return a topology with one more organization. Raises ConfigurationError when that contradicts it."""
    for item in topology.organizations:
        if item.msp_id == organization.msp_id and item != organization:
            raise ConfigurationError(
                f"{item.msp_id} is an organization of this network already, and described differently: {item}"
            )
    if organization in topology.organizations:
        return topology
    values = topology.model_dump() | {
        "organizations": (*topology.model_dump()["organizations"], organization.model_dump())
    }
    try:
        return Topology.model_validate(values)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ConfigurationError(f"{organization.msp_id} cannot be added: {reason}") from error


def planned(plan: NetworkPlan, organization: OrganizationPlan) -> NetworkPlan:
    """Return a plan with the processes of an organization; one that has them keeps its ports."""
    known = any(item.msp_id == organization.msp_id for item in plan.peers)
    return plan if known else add_peer(plan, organization)


def trusting(config: Any, trust: OrganizationTrust) -> Any:
    """Let a channel's configuration trust an organization and know its anchor peer.

    Raises ConfigurationError when the channel knows another organization under the MSP id.
    """
    known = ChannelConfig("", config).organizations.get(trust.msp_id)
    if known is None:
        return config_changes.add_organization(config, trust)
    if known.root_certificates != trust.root_certificates:
        raise ConfigurationError(
            f"the channel has an organization {trust.msp_id} with another authority; its keys are not here"
        )
    return config_changes.set_anchor_peers(config, known.name, trust.anchor_peers)


async def add_organization(
    directory: Path,
    organization: OrganizationPlan,
    clock: Clock,
    report: Report,
    snapshot: Path | None = None,
) -> None:
    """Add an organization with a peer and a contract service, from keys to its first endorsement.

    With a `snapshot` its peer starts from that directory instead of block 0.
    """
    processes.require_running(directory)
    before = open_site(directory, clock)
    site = Site(
        before.directory,
        grown(before.topology, organization),
        planned(before.plan, organization),
        clock,
    )
    report(f"{organization.msp_id}: keys, certificates, homes of its processes")
    trust = _material(site, organization)
    _homes(before, site, organization)
    report(f"{organization.msp_id}: starting its peer and contract service")
    for process in (site.plan.peer_of(organization.msp_id), site.plan.contract_of(organization.msp_id)):
        await processes.start(site.directory, process)
    report(f"{organization.msp_id}: the channel's administrators sign it into the configuration")
    await change_channel(before, lambda config: trusting(config, trust))
    report(f"{organization.msp_id}: its peer joins and catches up")
    await _join(site, organization, snapshot)
    report(f"{organization.msp_id}: its peer installs and approves the contract")
    definition = await present_definition(before)
    await take_part(site, organization, definition, current_package(site, organization.msp_id))
    await until_endorsed(site, organization)
    report(f"{organization.msp_id}: topology and settings of its clients and nodes")
    directories.write_organization(site.directory, site.topology, organization)
    homes.announce(site.directory, site.plan)
    write_topology(site.directory, site.topology)
    if await contract.is_founded(site):
        report(f"{organization.msp_id}: the federation admits it")
        await contract.admit(site, organization)


def _material(site: Site, organization: OrganizationPlan) -> OrganizationTrust:
    """Make the organization's keys aside and move them to their place as a whole, unless they are there."""
    msp_id = organization.msp_id
    home = material.organization_directory(site.directory, msp_id)
    if not home.exists():
        aside = homes.fabric_directory(site.directory) / "aside"
        shutil.rmtree(aside, ignore_errors=True)
        material.create_organization(aside, site.topology, organization, site.plan)
        material.organization_directory(aside, msp_id).rename(home)
        shutil.rmtree(aside)
    return OrganizationTrust(
        msp_id,
        msp_id,
        ((home / "ca" / "certificate.pem").read_bytes(),),
        ((home / "tlsca" / "certificate.pem").read_bytes(),),
        (site.plan.peer_of(msp_id).main,),
    )


def _homes(before: Site, site: Site, organization: OrganizationPlan) -> None:
    """Make the homes; what a crash left half made is made anew, because no process was started in it."""
    if before.plan == site.plan:
        return
    for process in (site.plan.peer_of(organization.msp_id), site.plan.contract_of(organization.msp_id)):
        shutil.rmtree(homes.home_of(site.directory, process), ignore_errors=True)
    homes.package_file(site.directory, organization.msp_id).unlink(missing_ok=True)
    homes.write_homes(site.directory, site.topology, site.plan, LOOPBACK)


async def _join(site: Site, organization: OrganizationPlan, snapshot: Path | None) -> None:
    """Let the organization's peer have the channel up to where the first one's is now."""
    channel = site.topology.channel
    async with site.peer_client(first(site)) as ahead, site.peer_client(organization) as peer:
        newest = await ahead.newest(channel)
        if snapshot is not None and channel not in await peer_channels.joined_channels(peer):
            await peer_channels.join_by_snapshot(peer, str(snapshot.resolve()), wait_seconds=JOIN_SECONDS)
        else:
            genesis = (site.directory / material.GENESIS).read_bytes()
            await peer_channels.join_channel(peer, genesis, wait_seconds=JOIN_SECONDS)
        await caught_up(peer, channel, newest)
