"""Rotating the certificates of an organization: its peer, its clients, its nodes.

Decides that the authority stays: nobody else has to be told anything, and only this organization's peer is started
again. Replacing the authority itself is `authority_rotation`, an orderer's certificates `orderer_rotation`.
"""

from __future__ import annotations

from pathlib import Path

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import ConfigurationError, NotFound
from bfl_fabric.network import homes, material
from bfl_fabric.network.bringup import Report, Site, until_endorsed
from bfl_fabric.network.material import RETIRING, Authorities
from bfl_fabric.network.operations import processes
from bfl_fabric.network.operations.identities import reissue, subjects
from bfl_fabric.network.operations.sites import open_site
from bfl_fabric.network.topology import OrganizationPlan


async def rotate(directory: Path, msp_id: str, clock: Clock, report: Report) -> None:
    """Issue new certificates and keys to everybody of an organization and start its peer with them."""
    processes.require_running(directory)
    site = open_site(directory, clock)
    organization = member(site, msp_id)
    home = material.organization_directory(site.directory, msp_id)
    if (home / RETIRING).exists():
        raise ConfigurationError(
            f"{msp_id} is replacing its authority; finish that first: rotate it with --authority"
        )
    await renew(site, organization, report)


def member(site: Site, msp_id: str) -> OrganizationPlan:
    """Return an organization of the network. Raises NotFound."""
    for item in site.topology.organizations:
        if item.msp_id == msp_id:
            return item
    known = ", ".join(item.msp_id for item in site.topology.organizations)
    raise NotFound(f"{msp_id} is no organization of this network; it has {known}")


async def renew(site: Site, organization: OrganizationPlan, report: Report) -> None:
    """Issue new certificates from the present authority and start the peer again with its own."""
    home = material.organization_directory(site.directory, organization.msp_id)
    report(f"{organization.msp_id}: new certificates and keys for its peer, clients and nodes")
    reissue(home, Authorities.load(home), subjects(site.topology, organization))
    await restart_peer(site, organization, report)


async def restart_peer(site: Site, organization: OrganizationPlan, report: Report) -> None:
    """Start an organization's peer with the certificates that it has now; return once its gateway endorses."""
    peer = site.plan.peer_of(organization.msp_id)
    home = material.organization_directory(site.directory, organization.msp_id)
    also = ", trusting the old authority, too" if (home / RETIRING).exists() else ""
    report(f"{organization.msp_id}: {peer.name} starts again with its certificates{also}")
    homes.write_identity(site.directory, peer)
    await processes.restart(site.directory, peer)
    await until_endorsed(site, organization)
