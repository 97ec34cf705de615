"""What operations say to the contract: founded or not, members admitted and suspended.

Decides who speaks: an administrator of an active member, through its own organization's gateway. What is allowed is
the contract's to say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bfl_chaincode.api import refusals
from bfl_chaincode.api.canonical import Json
from bfl_fabric.errors import LedgerRefused
from bfl_fabric.fabric.gateway import ChannelAddress, GatewayLedger
from bfl_fabric.fabric.gateway_grpc import GrpcGatewayTransport
from bfl_fabric.network.bringup import Site
from bfl_fabric.network.operations.catching_up import level
from bfl_fabric.network.topology import OrganizationPlan


@asynccontextmanager
async def administrator_ledger(site: Site, organization: OrganizationPlan) -> AsyncIterator[GatewayLedger]:
    """Connect to an organization's gateway as its administrator."""
    server = site.peer_server(site.plan.peer_of(organization.msp_id))
    address = ChannelAddress(site.topology.channel, site.topology.chaincode)
    signer = site.administrator(organization).signer
    ledger = GatewayLedger(GrpcGatewayTransport(server.address, server.tls), signer, address, site.clock)
    try:
        yield ledger
    finally:
        await ledger.close()


async def evaluate(
    site: Site, organization: OrganizationPlan, transaction: str, request: Mapping[str, Json]
) -> Any:
    """Ask the contract through an organization's gateway."""
    async with administrator_ledger(site, organization) as ledger:
        return await ledger.evaluate(transaction, request)


async def submit(
    site: Site, organization: OrganizationPlan, transaction: str, request: Mapping[str, Json]
) -> Any:
    """Submit as an organization's administrator; return the answer once it is committed.

    One operation's transactions build on each other and come through different gateways: all peers first have
    what the one before wrote.
    """
    await level(site)
    async with administrator_ledger(site, organization) as ledger:
        return (await ledger.submit(transaction, request)).result


async def is_founded(site: Site) -> bool:
    """Say whether the federation was founded on this channel."""
    try:
        await evaluate(site, site.topology.organizations[0], "federation:GetFederation", {})
    except LedgerRefused as refused:
        if refused.code == refusals.FederationMissing.code:
            return False
        raise
    return True


async def active_members(site: Site) -> dict[str, bool]:
    """Return the MSP ids that the contract knows, and whether each is active."""
    rows = await evaluate(site, site.topology.organizations[0], "federation:ListOrganizations", {})
    return {row["msp_id"]: row["active"] for row in rows}


async def admit(site: Site, organization: OrganizationPlan) -> None:
    """Make an organization an active member, and its silos participants, as far as they are not."""
    members = await active_members(site)
    if not members.get(organization.msp_id, False):
        sponsor = next(item for item in site.topology.organizations if members.get(item.msp_id, False))
        request = {
            "msp_id": organization.msp_id,
            "name": organization.name,
            "region": organization.region,
        }
        await submit(site, sponsor, "federation:AdmitOrganization", request)
    rows = await evaluate(site, site.topology.organizations[0], "federation:ListParticipants", {})
    known = {row["participant_id"] for row in rows if row["active"]}
    for name in organization.participants:
        if name not in known:
            await submit(site, organization, "federation:EnrolParticipant", {"participant_id": name})


async def suspend(site: Site, msp_id: str) -> None:
    """Suspend an organization unless it is suspended or no member."""
    members = await active_members(site)
    if members.get(msp_id, False):
        sponsor = next(
            item
            for item in site.topology.organizations
            if item.msp_id != msp_id and members.get(item.msp_id, False)
        )
        await submit(site, sponsor, "federation:SuspendOrganization", {"msp_id": msp_id})
