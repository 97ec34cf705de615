"""Upgrading the contract: voted on the ledger, then approved and committed on Fabric's lifecycle.

Decides the order. Packages are installed and approved while the present version serves; then the contract services
answer for the new package and the definition is committed. Between these two the contract endorses nothing: a second
or two. A crash anywhere leaves a network on which the same command goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bfl_chaincode.api.records import UpgradeStatus
from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric import deployment
from bfl_fabric.fabric.definitions import ChaincodeDefinition
from bfl_fabric.fabric.keyfiles import write_secret
from bfl_fabric.fabric.packages import ChaincodePackage
from bfl_fabric.network import homes
from bfl_fabric.network.bringup import Report, Site, until_endorsed
from bfl_fabric.network.operations import contract, processes
from bfl_fabric.network.operations.definitions import present_definition, take_part
from bfl_fabric.network.operations.packages import label_of, relabelled
from bfl_fabric.network.operations.sites import first, open_site
from bfl_fabric.network.operations.source import source_digest
from bfl_fabric.network.operations.upgrade_votes import Proposal, vote
from bfl_fabric.network.plan import ContractPlan
from bfl_fabric.network.topology import OrganizationPlan

NEW_PACKAGE = "package-id.next"


def following(present: ChaincodeDefinition, version: str, site: Site) -> ChaincodeDefinition:
    """Return the definition of a version after the present one, with the topology's collections as they are now."""
    wanted = site.definition(version, present.sequence + 1)
    return replace(wanted, policy=present.policy)


def voters(site: Site, msp_ids: Sequence[str]) -> tuple[OrganizationPlan, ...]:
    """Return the organizations that vote here: the named ones, or all. Raises ConfigurationError."""
    known = {item.msp_id: item for item in site.topology.organizations}
    strangers = sorted(set(msp_ids) - set(known))
    if strangers:
        raise ConfigurationError(
            f"{strangers[0]} is no organization of this network; it has {', '.join(known)}"
        )
    return tuple(known[name] for name in msp_ids) if msp_ids else tuple(known.values())


async def upgrade(
    directory: Path,
    version: str,
    clock: Clock,
    report: Report,
    *,
    msp_ids: Sequence[str] = (),
    governed: bool = True,
) -> bool:
    """Upgrade the contract to a version; return whether it holds now: without a majority of votes it does not yet.

    `msp_ids` are the organizations whose administrators vote in this call, all that are here by default. Without
    being `governed` nothing is voted; the lifecycle still wants a majority's approvals.
    """
    processes.require_running(directory)
    site = open_site(directory, clock)
    label = label_of(site.topology.chaincode, version)
    present = await present_definition(site)
    if present.version == version:
        report(f"the channel has version {version} already, at sequence {present.sequence}")
        await _serve_new_packages(site, report)
        return True
    wanted = following(present, version, site)
    if await _approved_by_all(site, wanted):
        report("every organization has approved it on the lifecycle already")
    elif governed and not await _voted(site, wanted, voters(site, msp_ids), report):
        return False
    report("organizations install and approve the new package")
    await asyncio.gather(*(_prepare(site, item, wanted, label) for item in site.topology.organizations))
    await _serve_new_packages(site, report)
    report(f"committing version {version} at sequence {wanted.sequence}")
    administrator = site.administrator(first(site))
    async with site.peer_clients(administrator) as peers, site.orderers(administrator) as orderers:
        await deployment.commit(peers, orderers, site.topology.channel, wanted)
    await asyncio.gather(*(until_endorsed(site, item) for item in site.topology.organizations))
    return True


async def _approved_by_all(site: Site, wanted: ChaincodeDefinition) -> bool:
    """Say whether a run that ended early came as far as this; the contract itself may not answer any more."""
    async with site.peer_client(first(site)) as peer:
        ready = await deployment.readiness(peer, site.topology.channel, wanted)
    return all(ready.get(item.msp_id, False) for item in site.topology.organizations)


async def _voted(
    site: Site, wanted: ChaincodeDefinition, here: tuple[OrganizationPlan, ...], report: Report
) -> bool:
    if not await contract.is_founded(site):
        raise ConfigurationError(
            "the federation is not founded on this channel, so there is nobody to vote: found it "
            "(`bfl federation up`), or upgrade with --without-governance"
        )
    record = await vote(site, Proposal(wanted.sequence, wanted.version, source_digest()), here, report)
    if record.status is UpgradeStatus.APPROVED:
        return True
    report(f"not approved yet: {', '.join(record.approvals)} voted for it; a majority of the members must")
    return False


async def _prepare(
    site: Site, organization: OrganizationPlan, wanted: ChaincodeDefinition, label: str
) -> None:
    """Make, install and approve an organization's new package; its service still answers for the present one."""
    path = homes.package_file(site.directory, organization.msp_id)
    package = relabelled(path.read_bytes(), label)
    await take_part(site, organization, wanted, package)
    home = homes.home_of(site.directory, site.plan.contract_of(organization.msp_id))
    _replace(path, package)
    (home / NEW_PACKAGE).write_text(package.package_id, "ascii")


async def _serve_new_packages(site: Site, report: Report) -> None:
    """Let every contract service answer for the package that was prepared for it, if there is one, all at once."""
    services = [
        service
        for service in site.plan.contracts
        if (homes.home_of(site.directory, service) / NEW_PACKAGE).exists()
    ]
    if services:
        report(f"starting again for the new package: {', '.join(item.name for item in services)}")
    await asyncio.gather(*(_serve_new_package(site, service) for service in services))


async def _serve_new_package(site: Site, service: ContractPlan) -> None:
    home = homes.home_of(site.directory, service)
    new = (home / NEW_PACKAGE).read_text("ascii")
    (home / homes.PACKAGE_ID).write_text(new, "ascii")
    await processes.restart(site.directory, service)
    (home / NEW_PACKAGE).unlink()


def _replace(path: Path, package: ChaincodePackage) -> None:
    """Replace a package file as a whole; it holds the peer's client key, so only the owner may read it."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    write_secret(aside, package.content)
    aside.replace(path)
