"""The trivial contract on a running network, once per language, with mutual TLS between peer and contract.

Decides packages and approvals; the languages differ in nothing but the process behind the address.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from pathlib import Path

from bfl_fabric.fabric import deployment
from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.fabric.definitions import ChaincodeDefinition
from bfl_fabric.fabric.packages import ChaincodePackage, Connection, ConnectionTls, service_package
from bfl_fabric.network import material
from bfl_fabric.network.bringup import Site
from bfl_fabric.network.plan import LOOPBACK, free_ports
from tests.benchmarks.ledger import contracts
from tests.benchmarks.ledger.contracts import Kind, TlsFiles


async def deploy(site: Site, kind: Kind, stack: ExitStack) -> str:
    """Define the contract of a language on the channel, with a process per organization; return its name."""
    definition = ChaincodeDefinition(f"bench-{kind}", "1")
    ports = itertools.islice(free_ports(), len(site.topology.organizations))
    for organization, port in zip(site.topology.organizations, ports, strict=True):
        address = f"{LOOPBACK}:{port}"
        package, files = _package(site, organization.msp_id, definition.name, address)
        stack.enter_context(contracts.running(kind, package.package_id, address, files))
        administrator = site.administrator(organization)
        async with site.peer_client(organization) as peer, site.orderers(administrator) as orderers:
            await deployment.install(peer, package)
            await deployment.approve(peer, orderers, site.topology.channel, definition, package.package_id)
    founder = site.administrator(site.topology.organizations[0])
    async with site.peer_clients(founder) as peers, site.orderers(founder) as orderers:
        await deployment.commit(peers, orderers, site.topology.channel, definition)
    return definition.name


def _package(site: Site, msp_id: str, name: str, address: str) -> tuple[ChaincodePackage, TlsFiles]:
    """Issue the contract's server certificate and the peer's client certificate, and pack the connection."""
    home = material.organization_directory(site.directory, msp_id)
    authority = CertificateAuthority.load(home / material.CONTRACT_AUTHORITY)
    server, client = authority.issue_tls(name), authority.issue_tls(f"peer-of-{name}")
    files = _write(
        site.directory / "bench" / msp_id / name, server.key_pem, server.certificate_pem, authority
    )
    tls = ConnectionTls(authority.certificate_pem, client.certificate_pem, client.key_pem)
    return service_package(name, Connection(address, tls)), files


def _write(place: Path, key: bytes, certificate: bytes, authority: CertificateAuthority) -> TlsFiles:
    place.mkdir(parents=True, mode=0o700)
    files = TlsFiles(place / "key.pem", place / "certificate.pem", place / "authority.pem")
    files.key.touch(mode=0o600)
    files.key.write_bytes(key)
    files.certificate.write_bytes(certificate)
    files.client_roots.write_bytes(authority.certificate_pem)
    return files
