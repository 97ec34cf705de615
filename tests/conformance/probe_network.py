"""A real Fabric network of three organizations on this machine, with a contract of the tests behind its peers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fabric_protos.gateway import gateway_pb2

from bfl_fabric.clock import SystemClock
from bfl_fabric.fabric.authority import CertificateAuthority, Validity
from bfl_fabric.fabric.definitions import ChaincodeDefinition, CollectionDefinition
from bfl_fabric.fabric.gateway_grpc import GrpcGatewayTransport
from bfl_fabric.fabric.gateway_transport import GatewayFailure
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.peer_channels import join_channel
from bfl_fabric.fabric.proposal import NONCE_BYTES, Invocation, build_proposal, sign_proposal
from bfl_fabric.network import directory as directories
from bfl_fabric.network import homes, material
from bfl_fabric.network.bringup import Site, deploy, wait_healthy
from bfl_fabric.network.children import ProcessSpec
from bfl_fabric.network.native import NativeNetwork
from bfl_fabric.network.plan import ContractPlan
from bfl_fabric.network.program_settings import PEER_FILE
from bfl_fabric.network.programs import Programs
from bfl_fabric.network.topology import LedgerKind, OrganizationPlan, RolePlan, Topology
from tests.conformance.federation import CHAINCODE, CHANNEL, MSP_IDS

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0
PROBE_SERVICE = "tests.conformance.probe_service"


def probe_topology(consensus: str) -> Topology:
    """Return three organizations named like those of the embedded channel, on a real network."""
    organizations = tuple(
        OrganizationPlan(
            slug=msp_id.removesuffix("MSP").lower(), msp_id=msp_id, name=msp_id, region="nowhere"
        )
        for msp_id in MSP_IDS
    )
    clinic, hospital, lab = MSP_IDS
    return Topology(
        federation_id="probe",
        name="Probe",
        channel=CHANNEL,
        chaincode=CHAINCODE,
        organizations=organizations,
        roles=RolePlan(coordinator=clinic, aggregator=hospital, key_holder=lab),
    ).on(LedgerKind.FABRIC, consensus)


class ProbeNetwork(NativeNetwork):
    """A native network whose contract services run a module of the tests instead of our contract."""

    def __init__(self, directory: Path, programs: Programs, consensus: str, service: str) -> None:
        directories.create(directory, probe_topology(consensus))
        self.service = service
        super().__init__(directory, programs)
        self.site = Site(self.directory, self.topology, self.plan, SystemClock())

    def _contract(self, contract: ContractPlan) -> ProcessSpec:
        ours = super()._contract(contract)
        environment = {**ours.environment, "PYTHONPATH": str(ROOT)}
        return replace(ours, arguments=("-m", self.service), environment=environment)

    async def bring_up(self, collections: Sequence[CollectionDefinition] = ()) -> None:
        """Join, deploy, and return when every gateway finds enough endorsers."""
        site, genesis = self.site, (self.directory / material.GENESIS).read_bytes()
        await wait_healthy(site)
        await asyncio.gather(*(site.participation(item).join(genesis) for item in self.plan.orderers))
        for organization in self.topology.organizations:
            async with site.peer_client(organization) as peer:
                await join_channel(peer, genesis)
        definition = ChaincodeDefinition(CHAINCODE, "1", collections=tuple(collections))
        await deploy(site, definition, lambda _: None)
        await self.until_endorsed()

    async def until_endorsed(self, organizations: Sequence[int] = (0, 1, 2)) -> None:
        """Return when the gateways of these organizations find enough endorsers, all three among them."""
        await asyncio.gather(*(self._until_endorsed(number) for number in organizations))

    async def _until_endorsed(self, organization: int) -> None:
        deadline = time.monotonic() + READY_SECONDS
        transport, signer = self.transport(organization), self.client(organization)
        try:
            while True:
                call = Invocation(CHANNEL, CHAINCODE, (b"echo",))
                nonce = secrets.token_bytes(NONCE_BYTES)
                proposal = build_proposal(call, signer.creator, nonce, time.time_ns() // 1_000_000)
                request = gateway_pb2.EndorseRequest(
                    transaction_id=proposal.transaction_id,
                    channel_id=CHANNEL,
                    proposed_transaction=sign_proposal(proposal, signer),
                    endorsing_organizations=MSP_IDS,
                )
                try:
                    await transport.endorse(request, 10)
                    return
                except GatewayFailure:
                    if time.monotonic() > deadline:
                        raise
                await asyncio.sleep(0.1)
        finally:
            await transport.close()

    @property
    def checks_proposal_time(self) -> bool:
        """Whether the peers turn away proposals from another time: a filter that 2.5 does not have."""
        settings = homes.home_of(self.directory, self.plan.peers[0]) / PEER_FILE
        return "TimeWindowCheck" in settings.read_text("utf-8")

    # --- identities and connections -------------------------------------------------------------

    def transport(self, organization: int) -> GrpcGatewayTransport:
        """Return the gateway of an organization's peer; call it inside the loop that will use it."""
        server = self.site.peer_server(self.plan.peers[organization])
        return GrpcGatewayTransport(server.address, server.tls)

    def client(self, organization: int) -> SigningIdentity:
        return self.issued(organization, f"client-{organization}", "client")

    def issued(
        self, organization: int, name: str, ou: str, validity: Validity | None = None
    ) -> SigningIdentity:
        """Return a new identity from an organization's own authority."""
        msp_id = MSP_IDS[organization]
        place = material.organization_directory(self.directory, msp_id) / "ca"
        certificate = CertificateAuthority.load(place).issue_identity(name, ou, {}, validity)
        return SigningIdentity.from_pem(msp_id, certificate.certificate_pem, certificate.key_pem)

    def expired(self, organization: int) -> SigningIdentity:
        """Return an identity that was good until ten minutes ago."""
        now = datetime.now(tz=UTC)
        span = Validity(now - timedelta(minutes=50), now - timedelta(minutes=10))
        return self.issued(organization, "expired", "client", span)
