"""The home of each Fabric process: a directory with its settings, its identity and its data.

    fabric/plan.json                 what runs where
    fabric/peers/NAME/               core.yaml, msp/, tls/, builder/, data/
    fabric/orderers/NAME/            orderer.yaml, msp/, tls/, data/
    fabric/contracts/NAME/           package-id, server.pem, server-key.pem, client-authority.pem
    fabric/packages/MSP.tgz          the chaincode package that tells a peer where its contract service is
    fabric/addresses/MSP             host:port of an organization's gateway, where its clients look it up

A home can be moved or mounted as a whole: settings name paths in it, nothing outside. Private keys are copied into
the homes that need them, mode 0600, and nowhere else.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.fabric.keyfiles import private_directory, read_secret, write_secret
from bfl_fabric.fabric.packages import ChaincodePackage, Connection, ConnectionTls, service_package
from bfl_fabric.network import material
from bfl_fabric.network.plan import ContractPlan, NetworkPlan, OrdererPlan, PeerPlan, Process
from bfl_fabric.network.program_settings import BUILDER, ORDERER_FILE, PEER_FILE, orderer_yaml, peer_yaml
from bfl_fabric.network.topology import Topology

FABRIC = "fabric"
PLAN = "plan.json"
PACKAGES = "packages"
PACKAGE_ID = "package-id"
_KINDS = {PeerPlan: "peers", OrdererPlan: "orderers", ContractPlan: "contracts"}


def fabric_directory(directory: Path) -> Path:
    return directory / FABRIC


def home_name(process: Process) -> str:
    """Return where the home of a process is below the network's own directory."""
    return f"{_KINDS[type(process)]}/{process.name}"


def home_of(directory: Path, process: Process) -> Path:
    """Return the home of a process."""
    return fabric_directory(directory) / home_name(process)


def address_file(directory: Path, msp_id: str) -> Path:
    """Return the file in which the clients of an organization find their gateway."""
    return fabric_directory(directory) / "addresses" / msp_id


def package_file(directory: Path, msp_id: str) -> Path:
    return fabric_directory(directory) / PACKAGES / f"{msp_id}.tgz"


def config_file(directory: Path) -> Path:
    """Return the file with the newest configuration block that an operation made, absent before the first one."""
    return fabric_directory(directory) / "config.block"


def read_plan(directory: Path) -> NetworkPlan:
    """Return what runs where. Raises ConfigurationError when the directory holds no Fabric network."""
    return NetworkPlan.load(fabric_directory(directory) / PLAN)


def write_plan(directory: Path, plan: NetworkPlan) -> None:
    """Write what runs where."""
    path = fabric_directory(directory) / PLAN
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{PLAN}.new")
    aside.write_text(plan.dump(), "utf-8")
    aside.replace(path)


def announce(directory: Path, plan: NetworkPlan) -> None:
    """Write where each organization's clients find their gateway."""
    for peer in plan.peers:
        path = address_file(directory, peer.msp_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{peer.main}\n", "ascii")


def write_homes(directory: Path, topology: Topology, plan: NetworkPlan, listen: str) -> None:
    """Make the home of every process that has none yet; `listen` is the address its ports are bound to.

    The plan is written last: whoever serves the network starts what it names at once.
    """
    for orderer in plan.orderers:
        if not home_of(directory, orderer).exists():
            _write_program(directory, orderer, ORDERER_FILE, orderer_yaml(orderer, listen))
    for peer in plan.peers:
        if not home_of(directory, peer).exists():
            _write_program(directory, peer, PEER_FILE, peer_yaml(peer, listen, topology.federation_id))
            _write_builder(home_of(directory, peer) / "builder" / "bin")
    for contract in plan.contracts:
        if not home_of(directory, contract).exists():
            _write_contract(directory, topology, plan, contract)
    write_plan(directory, plan)


def write_identity(directory: Path, process: PeerPlan | OrdererPlan) -> None:
    """Write the current certificates and keys of a program into its home, over those that are there."""
    home = home_of(directory, process)
    issued = material.identity_directory(directory, process.msp_id, process.name)
    authorities = material.organization_directory(directory, process.msp_id)
    msp, tls = home / "msp", home / "tls"
    for part in (msp, tls):
        if part.exists():
            shutil.rmtree(part)
    identity_root = (authorities / "ca" / "certificate.pem").read_bytes()
    tls_root = (authorities / "tlsca" / "certificate.pem").read_bytes()
    _write(msp / "cacerts" / "authority.pem", identity_root)
    _write(msp / "tlscacerts" / "authority.pem", tls_root)
    _write(msp / "signcerts" / "certificate.pem", (issued / "certificate.pem").read_bytes())
    retiring = authorities / material.RETIRING
    if retiring.exists():
        _write(msp / "cacerts" / "retiring.pem", (retiring / "ca" / "certificate.pem").read_bytes())
        _write(msp / "tlscacerts" / "retiring.pem", (retiring / "tlsca" / "certificate.pem").read_bytes())
    _write(msp / "config.yaml", _node_ous("" if retiring.exists() else "cacerts/authority.pem"))
    write_secret(private_directory(msp / "keystore") / "key_sk", read_secret(issued / "key.pem"))
    write_secret(private_directory(tls) / "key.pem", read_secret(issued / "tls-key.pem"))
    _write(tls / "certificate.pem", (issued / "tls-certificate.pem").read_bytes())
    _write(tls / "authority.pem", tls_root)


def contract_package(directory: Path, msp_id: str, chaincode: str) -> ChaincodePackage:
    """Return the package that an organization's peer installs, as it was written when the home was made."""
    return ChaincodePackage(chaincode, package_file(directory, msp_id).read_bytes())


def _write_program(directory: Path, process: PeerPlan | OrdererPlan, name: str, settings: str) -> None:
    home = private_directory(home_of(directory, process))
    (home / name).write_text(settings, "utf-8")
    write_identity(directory, process)


def _write_builder(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name, script in BUILDER.items():
        path = directory / name
        path.write_text(script, "utf-8")
        path.chmod(0o755)


def _write_contract(directory: Path, topology: Topology, plan: NetworkPlan, contract: ContractPlan) -> None:
    """Issue both ends of the link between peer and contract service; the peer's end travels in the package."""
    home = private_directory(home_of(directory, contract))
    authority = CertificateAuthority.load(
        material.organization_directory(directory, contract.msp_id) / material.CONTRACT_AUTHORITY
    )
    server = authority.issue_tls(contract.name, sans=("127.0.0.1", "localhost", contract.name))
    client = authority.issue_tls(plan.peer_of(contract.msp_id).name)
    write_secret(home / "server-key.pem", server.key_pem)
    _write(home / "server.pem", server.certificate_pem)
    _write(home / "client-authority.pem", authority.certificate_pem)
    tls = ConnectionTls(authority.certificate_pem, client.certificate_pem, client.key_pem)
    package = service_package(topology.chaincode, Connection(str(contract.main), tls))
    _write(home / PACKAGE_ID, package.package_id.encode())
    path = package_file(directory, contract.msp_id)
    private_directory(path.parent)
    write_secret(path, package.content)


def _node_ous(authority: str) -> bytes:
    """Return which unit means which role, in certificates of this authority, or of any when it is empty."""
    units: dict[str, Any] = {"Enable": True}
    for role in ("Client", "Peer", "Admin", "Orderer"):
        units[f"{role}OUIdentifier"] = {
            "Certificate": authority,
            "OrganizationalUnitIdentifier": role.lower(),
        }
    return json.dumps({"NodeOUs": units}, indent=1).encode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
