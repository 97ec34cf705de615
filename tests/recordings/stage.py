"""The network that is recorded: real peers and orderers, our contract services behind relays, in this process.

Decides the organizations and how relays come between. What happens on the network is left to `chapters`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc

from bfl_chaincode.main import build_chaincode, invoke
from bfl_chaincode.shim.service import ContractServer, ServiceSettings
from bfl_chaincode.shim.stub import ChaincodeStub, Response
from bfl_fabric.clock import SystemClock
from bfl_fabric.fabric import deployment
from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.fabric.definitions import ChaincodeDefinition
from bfl_fabric.fabric.gateway_grpc import GrpcGatewayTransport
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.packages import ChaincodePackage, Connection, ConnectionTls, service_package
from bfl_fabric.network import directory as directories
from bfl_fabric.network import homes, material
from bfl_fabric.network.bringup import Site, bring_up
from bfl_fabric.network.native import NativeNetwork, run_files
from bfl_fabric.network.plan import free_ports
from bfl_fabric.network.programs import find_programs
from bfl_fabric.network.topology import OrganizationPlan, RolePlan, Topology
from tests.chaincode.scenario import AGGREGATOR, COORDINATOR, KEY_HOLDER, ORGANIZATIONS
from tests.recordings.contract import RecordedContract
from tests.recordings.definitions import COLLECTIONS, PROBE
from tests.recordings.relay import GatewayRelay, NotingPeer, StreamRelay


def topology(consensus: str) -> Topology:
    """Return the federation of the contract's own scenario, on Fabric."""
    members = tuple(
        OrganizationPlan(slug=msp_id[:-3].lower(), msp_id=msp_id, name=f"{msp_id} hospital", region="EU")
        for msp_id in ORGANIZATIONS
    )
    roles = RolePlan(coordinator=COORDINATOR, aggregator=AGGREGATOR, key_holder=KEY_HOLDER)
    made = Topology(federation_id="hospitals", name="Hospitals", organizations=members, roles=roles)
    return made.on("fabric", consensus)


class _Programs(NativeNetwork):
    """Peers and orderers only: the contract services run in the recorder."""

    def start_all(self) -> None:
        self.supervisor.start([self._orderer(item) for item in self.plan.orderers])
        self.supervisor.start([self._peer(item) for item in self.plan.peers])


class Stage:
    """A network under recording; a context manager that leaves nothing running."""

    def __init__(self, place: Path, version: str, consensus: str) -> None:
        self.topology = topology(consensus)
        directories.create(place, self.topology)
        self.place = place
        self.network = _Programs(place, find_programs(version))
        self.version = version
        self.site = Site(place, self.topology, self.network.plan, SystemClock())
        self.streams: list[StreamRelay] = []
        self.calls: NotingPeer | None = None
        self._stack = ExitStack()
        self._authorities: dict[str, CertificateAuthority] = {}
        self._people: dict[tuple[str, str], SigningIdentity] = {}

    def __enter__(self) -> Stage:
        with ExitStack() as stack:
            stack.enter_context(self.network)
            self.network.start_all()
            for organization in self.topology.organizations:
                self._serve_contract(stack, organization)
            asyncio.run(bring_up(self.site, print))
            asyncio.run(self._deploy_probe(stack))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run(work())

    def hold(self, name: str, *, kill: bool = True) -> None:
        """End a program and keep it down until `release`."""
        run_files(self.place).hold(name)
        self.network.supervisor.hold(name, kill=kill)

    def release(self, name: str) -> None:
        """Start a program that was held; the supervisor does it when it sees that it may."""
        run_files(self.place).release(name)
        while name not in self.network.supervisor.process_ids():
            time.sleep(0.05)

    # --- people ---------------------------------------------------------------------------------

    def person(self, msp_id: str, name: str, ou: str, **attributes: str) -> SigningIdentity:
        """Return an identity of an organization, the same one for the same name."""
        if (msp_id, name) not in self._people:
            issued = self.authority(msp_id).issue_identity(name, ou, attributes)
            self._people[msp_id, name] = SigningIdentity.from_pem(
                msp_id, issued.certificate_pem, issued.key_pem
            )
        return self._people[msp_id, name]

    def authority(self, msp_id: str) -> CertificateAuthority:
        """Return an organization's authority."""
        place = material.organization_directory(self.place, msp_id) / "ca"
        return self._authorities.setdefault(msp_id, CertificateAuthority.load(place))

    def peer_identity(self, index: int) -> SigningIdentity:
        """Return the identity of an organization's peer itself."""
        peer = self.site.plan.peers[index]
        return material.signing_identity(self.place, peer.msp_id, peer.name)

    def transport(self, index: int) -> GrpcGatewayTransport:
        """Return the gateway of an organization's peer, not recorded."""
        server = self.site.peer_server(self.site.plan.peers[index])
        return GrpcGatewayTransport(server.address, server.tls)

    def gateway(self) -> tuple[int, bytes]:
        """Put a recording relay before the first peer's gateway; return its port and the authority of its TLS."""
        peer = self.site.plan.peers[0]
        roots = self.site.peer_server(peer).tls.root_certificates
        self.calls = NotingPeer(str(peer.main), roots)
        tls = CertificateAuthority.load(
            material.organization_directory(self.place, peer.msp_id) / "tlsca"
        ).issue_tls("gateway")
        credentials = grpc.ssl_server_credentials([(tls.key_pem, tls.certificate_pem)])
        server, port = GatewayRelay(self.calls).listen("127.0.0.1:0", credentials)
        self._stack.callback(server.stop, 0)
        return port, roots

    # --- contract services ----------------------------------------------------------------------

    def _serve_contract(self, stack: ExitStack, organization: OrganizationPlan) -> None:
        plan = self.site.plan.contract_of(organization.msp_id)
        home = homes.home_of(self.place, plan)
        chaincode = build_chaincode()

        async def transaction(stub: ChaincodeStub) -> Response:
            return await invoke(chaincode, stub)

        package_id = (home / homes.PACKAGE_ID).read_text().strip()
        chaincode_name = self.topology.chaincode
        self._relayed(
            stack, organization, chaincode_name, package_id, transaction, str(plan.main), str(plan.operations)
        )

    def _relayed(
        self,
        stack: ExitStack,
        organization: OrganizationPlan,
        chaincode: str,
        package_id: str,
        transaction: Any,
        address: str,
        operations: str | None = None,
    ) -> None:
        server = ContractServer(transaction, ServiceSettings(package_id, "127.0.0.1:0", None, operations))
        server.start()
        stack.callback(server.stop, 0.2)
        relay = StreamRelay(organization.msp_id, chaincode, server.address)
        home = homes.home_of(self.place, self.site.plan.contract_of(organization.msp_id))
        credentials = grpc.ssl_server_credentials(
            [((home / "server-key.pem").read_bytes(), (home / "server.pem").read_bytes())],
            (home / "client-authority.pem").read_bytes(),
            require_client_auth=True,
        )
        stack.callback(relay.listen(address, credentials).stop, 0)
        self.streams.append(relay)

    async def _deploy_probe(self, stack: ExitStack) -> None:
        definition = ChaincodeDefinition(PROBE, "1", 1, collections=COLLECTIONS)
        channel = self.topology.channel
        ports = free_ports()
        for organization in self.topology.organizations:
            package = self._probe_package(organization, address := f"127.0.0.1:{next(ports)}")
            contract = RecordedContract(organization.msp_id).invoke
            self._relayed(stack, organization, PROBE, package.package_id, contract, address)
            async with (
                self.site.peer_client(organization) as peer,
                self.site.orderers(self.site.administrator(organization)) as orderers,
            ):
                await deployment.install(peer, package)
                await deployment.approve(peer, orderers, channel, definition, package.package_id)
        administrator = self.site.administrator(self.topology.organizations[0])
        async with (
            self.site.peer_clients(administrator) as peers,
            self.site.orderers(administrator) as orderers,
        ):
            await deployment.commit(peers, orderers, channel, definition)

    def _probe_package(self, organization: OrganizationPlan, address: str) -> ChaincodePackage:
        place = material.organization_directory(self.place, organization.msp_id)
        authority = CertificateAuthority.load(place / material.CONTRACT_AUTHORITY)
        client = authority.issue_tls("probing-peer")
        tls = ConnectionTls(authority.certificate_pem, client.certificate_pem, client.key_pem)
        return service_package(PROBE, Connection(address, tls))
