"""The contract's definition as it holds on the channel, and an organization's part in it.

Decides what counts as done: a package that is installed, a definition that is approved with it.
"""

from __future__ import annotations

from bfl_fabric.errors import LedgerError
from bfl_fabric.fabric import deployment
from bfl_fabric.fabric.definitions import ChaincodeDefinition
from bfl_fabric.fabric.packages import ChaincodePackage
from bfl_fabric.network import homes
from bfl_fabric.network.bringup import Site
from bfl_fabric.network.operations.sites import first
from bfl_fabric.network.topology import OrganizationPlan


async def present_definition(site: Site) -> ChaincodeDefinition:
    """Return the definition that holds. Raises LedgerError when the contract was never committed."""
    async with site.peer_client(first(site)) as peer:
        found = await deployment.committed(peer, site.topology.channel, site.topology.chaincode)
    if found is None:
        raise LedgerError(f"channel {site.topology.channel} has no contract {site.topology.chaincode} yet")
    return found.definition


def package_id(site: Site, msp_id: str) -> str:
    """Return the package id under which an organization's contract service answers."""
    home = homes.home_of(site.directory, site.plan.contract_of(msp_id))
    return (home / homes.PACKAGE_ID).read_text("ascii").strip()


def current_package(site: Site, msp_id: str) -> ChaincodePackage:
    """Return the package that an organization's contract service answers for."""
    label = package_id(site, msp_id).rpartition(":")[0]
    return homes.contract_package(site.directory, msp_id, label)


async def take_part(
    site: Site, organization: OrganizationPlan, definition: ChaincodeDefinition, package: ChaincodePackage
) -> None:
    """Install a package at an organization's peer and approve a definition with it, as far as it is not done."""
    channel = site.topology.channel
    async with site.peer_client(organization) as peer:
        await deployment.install(peer, package)
        done = await deployment.approved(peer, channel, definition.name, definition.sequence)
        if done is not None and done.definition == definition and done.package_id == package.package_id:
            return
        async with site.orderers(site.administrator(organization)) as orderers:
            await deployment.approve(peer, orderers, channel, definition, package.package_id)
