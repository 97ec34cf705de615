"""A contract behind our service on a real network of two organizations: packages, mutual TLS, definition, client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from bfl_chaincode.shim.service import ContractServer, ServiceSettings, ServiceTls
from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.fabric.gateway_grpc import GrpcGatewayTransport, TlsMaterial
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.packages import ChaincodePackage, Connection, ConnectionTls, service_package
from tests.unit.fabric.real_network import CHANNEL, RealNetwork, free_port

MSP_IDS = ("OneMSP", "TwoMSP")
COLLECTIONS = [
    {
        "name": name,
        "policy": policy,
        "requiredPeerCount": 0,
        "maxPeerCount": 1,
        "blockToLive": 0,
        "memberOnlyRead": True,
        "memberOnlyWrite": True,
    }
    for name, policy in [
        ("shared", "OR('OneMSP.member','TwoMSP.member')"),
        ("own", "OR('OneMSP.member')"),
    ]
]


class GatheringNetwork(RealNetwork):
    """Its peers announce that they take batches; without these settings no peer does. 2.5 does not know them."""

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        params = {"USEWRITEBATCH": "true", "MAXSIZEWRITEBATCH": "100"}
        params |= {"USEGETMULTIPLEKEYS": "true", "MAXSIZEGETMULTIPLEKEYS": "100"}
        ours = {f"CORE_CHAINCODE_RUNTIMEPARAMS_{name}": value for name, value in params.items()}
        return super()._environment({**ours, **more})


class ServiceKeys:
    """One authority, a certificate for a server and one for the peer that dials it."""

    def __init__(self) -> None:
        start = datetime.now(UTC) - timedelta(hours=1)
        self.authority = CertificateAuthority.create(
            "Contract", "ca.contract", start, start + timedelta(days=2)
        )
        self.server = self.authority.issue_tls("server")
        self.client = self.authority.issue_tls("client")

    @property
    def tls(self) -> ServiceTls:
        return ServiceTls(self.server.key_pem, self.server.certificate_pem, self.authority.certificate_pem)

    def package(self, label: str, address: str) -> ChaincodePackage:
        ours = ConnectionTls(self.authority.certificate_pem, self.client.certificate_pem, self.client.key_pem)
        return service_package(label, Connection(address, ours))


def define(network: RealNetwork, name: str, packages: list[ChaincodePackage]) -> None:
    """Install a package per organization and commit the definition."""
    definition = ["--channelID", CHANNEL, "--name", name, "--version", "1.0", "--sequence", "1"]
    definition += ["-o", f"127.0.0.1:{network.orderer[0]}", "--tls", "--cafile", network.orderer[1]]
    collections = network.home / "collections.json"
    collections.write_text(json.dumps(COLLECTIONS))
    definition += ["--collections-config", str(collections)]
    addresses: list[str] = []
    for index, package in enumerate(packages):
        path = network.home / f"{name}{index}.tgz"
        path.write_bytes(package.content)
        network.retry(index, "lifecycle", "chaincode", "install", str(path))
        chosen = ["--package-id", package.package_id, *definition]
        network.retry(index, "lifecycle", "chaincode", "approveformyorg", *chosen)
        addresses += ["--peerAddresses", f"127.0.0.1:{network.peers[index]}"]
        addresses += ["--tlsRootCertFiles", network.parties[index].tls("peer")["ca"]]
    network.retry(0, "lifecycle", "chaincode", "commit", *definition, *addresses)


@contextmanager
def served(network: RealNetwork, name: str, invoke: Any, **limits: Any) -> Iterator[list[ContractServer]]:
    """Serve a contract to both organizations from this process and define it on the channel."""
    keys = ServiceKeys()
    addresses = [f"127.0.0.1:{free_port()}" for _ in network.parties]
    packages = [keys.package(name, address) for address in addresses]
    with ExitStack() as stack:
        servers = []
        for package, address in zip(packages, addresses, strict=True):
            settings = ServiceSettings(package.package_id, address, keys.tls, "127.0.0.1:0", **limits)
            server = ContractServer(invoke, settings)
            server.start()
            stack.callback(server.stop, 1.0)
            servers.append(server)
        define(network, name, packages)
        yield servers


class RealChannel:
    """The network as the conformance suite's client sees a channel."""

    channel_id = CHANNEL
    msp_ids = MSP_IDS

    def __init__(self, network: RealNetwork, chaincode: str) -> None:
        self._network = network
        self.chaincode = chaincode
        self.genesis_digest = network.genesis_digest

    def transport(self, organization: int) -> GrpcGatewayTransport:
        tls = TlsMaterial(self._network.parties[organization].tls_authority.certificate_pem)
        return GrpcGatewayTransport(f"127.0.0.1:{self._network.peers[organization]}", tls)

    def client(self, organization: int) -> SigningIdentity:
        return self._network.admins[organization]
