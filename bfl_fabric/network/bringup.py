"""From running processes to a channel with its contract committed: the steps, each safe to repeat.

Decides the order: orderers join, peers join, each organization installs its package and approves the definition,
one transaction commits it, and each gateway must find enough endorsers. All of it is said in Fabric's own messages
(`bfl_fabric.fabric`); no other program is needed. Starting processes is left to `native` or to containers.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_protos.gateway import gateway_pb2

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import LedgerError, LedgerUnavailable
from bfl_fabric.fabric import deployment, peer_channels
from bfl_fabric.fabric.definitions import ChaincodeDefinition, CollectionDefinition
from bfl_fabric.fabric.gateway_grpc import GrpcGatewayTransport, TlsMaterial
from bfl_fabric.fabric.gateway_transport import GatewayFailure
from bfl_fabric.fabric.health import health
from bfl_fabric.fabric.orderer_client import OrdererClient
from bfl_fabric.fabric.participation import Participation
from bfl_fabric.fabric.peer_client import PeerClient
from bfl_fabric.fabric.proposal import NONCE_BYTES, Invocation, build_proposal, sign_proposal
from bfl_fabric.fabric.servers import Administrator, Server
from bfl_fabric.network import homes, material
from bfl_fabric.network.plan import NetworkPlan, OrdererPlan, PeerPlan
from bfl_fabric.network.topology import OrganizationPlan, Topology, admin_name

READY_SECONDS = 60.0
_PAUSE_SECONDS = 0.05
FIRST_VERSION = "1"
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Site:
    """A network as its administrators see it: where it is, what runs in it, and the clock they sign by."""

    directory: Path
    topology: Topology
    plan: NetworkPlan
    clock: Clock

    def administrator(self, organization: OrganizationPlan) -> Administrator:
        """Return the administrator of an organization."""
        return Administrator(
            material.signing_identity(self.directory, organization.msp_id, admin_name(organization)),
            self.clock,
        )

    def ordering_administrator(self) -> Administrator:
        """Return the administrator of the organization that runs the orderers."""
        return Administrator(
            material.signing_identity(self.directory, material.ORDERER_MSP, material.ORDERER_ADMIN),
            self.clock,
        )

    def administrators(self) -> list[Administrator]:
        """Return the administrators of all members and of the orderers."""
        return [*map(self.administrator, self.topology.organizations), self.ordering_administrator()]

    def peer_server(self, peer: PeerPlan) -> Server:
        return Server(str(peer.main), TlsMaterial(self._tls_root(peer.msp_id)))

    def orderer_servers(self) -> list[Server]:
        return [
            Server(str(item.main), TlsMaterial(self._tls_root(item.msp_id))) for item in self.plan.orderers
        ]

    def participation(self, orderer: OrdererPlan) -> Participation:
        """Return the administration port of an orderer; it wants a client certificate."""
        place = material.identity_directory(self.directory, material.ORDERER_MSP, material.ORDERER_ADMIN)
        return Participation(
            str(orderer.admin),
            self._tls_root(orderer.msp_id),
            place / "tls-certificate.pem",
            place / "tls-key.pem",
        )

    def definition(self, version: str = FIRST_VERSION, sequence: int = 1) -> ChaincodeDefinition:
        """Return the contract's definition: endorsed by a majority, with the topology's private collections."""
        collections = [
            CollectionDefinition(item.name, item.organizations, block_to_live=item.block_to_live)
            for item in self.topology.collections
        ]
        return ChaincodeDefinition(self.topology.chaincode, version, sequence, collections=tuple(collections))

    @asynccontextmanager
    async def peer_client(
        self, organization: OrganizationPlan, administrator: Administrator | None = None
    ) -> AsyncIterator[PeerClient]:
        """Connect to an organization's peer, as its own administrator or as another."""
        peer = self.plan.peer_of(organization.msp_id)
        async with PeerClient(
            self.peer_server(peer), administrator or self.administrator(organization)
        ) as client:
            yield client

    @asynccontextmanager
    async def peer_clients(self, administrator: Administrator) -> AsyncIterator[list[PeerClient]]:
        """Connect to every peer as one administrator."""
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(self.peer_client(item, administrator))
                for item in self.topology.organizations
            ]

    @asynccontextmanager
    async def orderers(self, administrator: Administrator) -> AsyncIterator[OrdererClient]:
        """Connect to the orderers as one administrator."""
        async with OrdererClient(self.orderer_servers(), administrator) as client:
            yield client

    def _tls_root(self, msp_id: str) -> bytes:
        home = material.organization_directory(self.directory, msp_id)
        return (home / "tlsca" / "certificate.pem").read_bytes()


async def bring_up(site: Site, report: Report) -> None:
    """Do whatever is still missing until every gateway can endorse. Raises BflError when it cannot be had."""
    genesis = (site.directory / material.GENESIS).read_bytes()
    report("waiting for orderers and peers")
    await wait_healthy(site)
    report("orderers join the channel")
    await asyncio.gather(*(site.participation(item).join(genesis) for item in site.plan.orderers))
    report("peers join the channel")
    await _each(site, lambda peer, _: peer_channels.join_channel(peer, genesis))
    if not await _is_committed(site):
        await deploy(site, site.definition(), report)
    report("gateways look for endorsers")
    await asyncio.gather(*(until_endorsed(site, item) for item in site.topology.organizations))


async def wait_healthy(site: Site) -> None:
    """Return when every operations port says OK."""
    deadline = time.monotonic() + READY_SECONDS
    for port in (item.operations for item in site.plan.processes):
        while True:
            state = await health(str(port))
            if state.ok:
                break
            if time.monotonic() > deadline:
                raise LedgerUnavailable(f"{port} is not healthy after {READY_SECONDS:.0f} s: {state.reason}")
            await asyncio.sleep(_PAUSE_SECONDS)


async def deploy(site: Site, definition: ChaincodeDefinition, report: Report) -> None:
    """Install every organization's package, approve the definition for each and commit it."""
    report(f"organizations install and approve {definition.name} {definition.version}")

    async def own(peer: PeerClient, organization: OrganizationPlan) -> None:
        package = homes.contract_package(site.directory, organization.msp_id, definition.name)
        await deployment.install(peer, package)
        async with site.orderers(site.administrator(organization)) as orderers:
            await deployment.approve(peer, orderers, site.topology.channel, definition, package.package_id)

    await _each(site, own)
    report(f"committing {definition.name} {definition.version}")
    administrator = site.administrator(site.topology.organizations[0])
    async with site.peer_clients(administrator) as peers, site.orderers(administrator) as orderers:
        await deployment.commit(peers, orderers, site.topology.channel, definition)


async def _each(site: Site, work: Callable[[PeerClient, OrganizationPlan], Awaitable[Any]]) -> None:
    """Do something with each organization's peer, as its own administrator, all at once."""

    async def one(organization: OrganizationPlan) -> None:
        async with site.peer_client(organization) as peer:
            await work(peer, organization)

    await asyncio.gather(*map(one, site.topology.organizations))


async def _is_committed(site: Site) -> bool:
    async with site.peer_client(site.topology.organizations[0]) as peer:
        found = await deployment.committed(peer, site.topology.channel, site.topology.chaincode)
    return found is not None


async def until_endorsed(site: Site, organization: OrganizationPlan) -> None:
    """Return when an organization's gateway finds enough endorsers for a call of the contract."""
    deadline = time.monotonic() + READY_SECONDS
    server = site.peer_server(site.plan.peer_of(organization.msp_id))
    transport = GrpcGatewayTransport(server.address, server.tls)
    try:
        while True:
            try:
                await transport.endorse(_harmless(site, organization), 10)
                return
            except GatewayFailure as failure:
                if time.monotonic() > deadline:
                    raise LedgerError(f"{organization.msp_id}: no endorsement: {failure}") from failure
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await transport.close()


def _harmless(site: Site, organization: OrganizationPlan) -> Any:
    """Return a request to endorse a question; what is endorsed is never handed over."""
    administrator = site.administrator(organization)
    call = Invocation(site.topology.channel, site.topology.chaincode, (b"federation:WhoAmI", b"{}"))
    proposal = build_proposal(
        call, administrator.signer.creator, os.urandom(NONCE_BYTES), site.clock.now_ms()
    )
    return gateway_pb2.EndorseRequest(
        transaction_id=proposal.transaction_id,
        channel_id=site.topology.channel,
        proposed_transaction=sign_proposal(proposal, administrator.signer),
    )
