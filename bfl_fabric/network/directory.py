"""A federation's directory on one machine: where everything in it is, and the settings files of nodes and clients.

federation.toml          the topology
genesis.block            and key material, see `material`
ledger/                  the embedded ledger: blocks.bin, state.db, address; on Fabric a copy of the blocks
fabric/                  on Fabric: what runs where, and the home of each process, see `homes`
nodes/NAME/node.toml     settings, blobs, journal and status of each node
clients/NAME.toml        settings of people and applications
logs/NAME.log
"""

from __future__ import annotations

import json
from pathlib import Path

from bfl_chaincode.api.records import NodeRole
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.network import homes, material
from bfl_fabric.network.plan import ANYWHERE, LOOPBACK, container_plan, native_plan
from bfl_fabric.network.topology import LedgerKind, OrganizationPlan, Topology, admin_name

TOPOLOGY = "federation.toml"
SHARE = "share.safetensors"
HOLDOUT = "holdout.safetensors"
NODE = "node.toml"


def create(directory: Path, topology: Topology, *, containers: bool = False) -> None:
    """Make the directory; on Fabric for native processes, or for `containers` with a host name each.

    Raises ConfigurationError when it is not empty.
    """
    if directory.exists() and any(directory.iterdir()):
        raise ConfigurationError(f"{directory} is not empty; choose another directory")
    planned = container_plan if containers else native_plan
    plan = planned(topology, material.ORDERER_MSP) if topology.ledger is LedgerKind.FABRIC else None
    material.create_material(directory, topology, plan)
    (directory / TOPOLOGY).write_text(topology.dump(), "utf-8")
    if plan is not None:
        homes.write_homes(directory, topology, plan, ANYWHERE if containers else LOOPBACK)
    for organization in topology.organizations:
        write_organization(directory, topology, organization)


def write_organization(directory: Path, topology: Topology, organization: OrganizationPlan) -> None:
    """Write the settings of an organization's clients and nodes; its identities have been issued."""
    for name in topology.clients(organization):
        _write_client(directory, topology, organization.msp_id, name)
    for name, role in topology.nodes(organization).items():
        _write_node(directory, topology, organization.msp_id, name, role)
    for name in organization.participants:
        _write_client(directory, topology, organization.msp_id, name)
        _write_node(directory, topology, organization.msp_id, name, NodeRole.PARTICIPANT)


def read_topology(directory: Path) -> Topology:
    """Return the topology of a directory. Raises ConfigurationError when it is none."""
    path = directory / TOPOLOGY
    if not path.exists():
        raise ConfigurationError(
            f"{directory} is no federation; make one with `bfl federation create {directory}`"
        )
    return Topology.load(path)


def genesis_digest(directory: Path) -> str:
    """Return the digest that all trust in this federation starts from."""
    return material.read_genesis(directory / material.GENESIS)[1]


def ledger_directory(directory: Path) -> Path:
    return directory / "ledger"


def block_copy(directory: Path, topology: Topology, msp_id: str) -> Path:
    """Return the file with a copy of the blocks that an organization's peer has; an audit reads the first one's."""
    first = topology.organizations[0].msp_id == msp_id
    return ledger_directory(directory) / ("blocks.bin" if first else f"blocks-{msp_id}.bin")


def ledger_address_file(directory: Path, topology: Topology, msp_id: str) -> Path:
    """Return the file in which an organization's clients find their gateway once the ledger runs."""
    if topology.ledger is LedgerKind.FABRIC:
        return homes.address_file(directory, msp_id)
    return ledger_directory(directory) / "address"


def nodes_directory(directory: Path) -> Path:
    return directory / "nodes"


def node_directory(directory: Path, name: str) -> Path:
    return nodes_directory(directory) / name


def coordinator_directory(directory: Path, topology: Topology) -> Path:
    """Return the directory of the coordinator's node."""
    for organization in topology.organizations:
        for name, role in topology.nodes(organization).items():
            if role is NodeRole.COORDINATOR:
                return node_directory(directory, name)
    raise ConfigurationError("the topology has no coordinator")


def admin_client(topology: Topology, msp_id: str) -> str:
    """Return the client name of an organization's administrator."""
    return next(admin_name(item) for item in topology.organizations if item.msp_id == msp_id)


def add_training(directory: Path, topology: Topology, architecture: str) -> None:
    """Tell every silo's node to train its share, and the coordinator's to evaluate, with an architecture."""
    for organization in topology.organizations:
        for name in organization.participants:
            _append(node_directory(directory, name), "training", architecture, "share", SHARE)
    _append(coordinator_directory(directory, topology), "evaluation", architecture, "holdout", HOLDOUT)


def runnable_nodes(directory: Path) -> list[Path]:
    """Return the settings of every node that can run: participants only when they have data."""
    return [
        path
        for path in sorted(nodes_directory(directory).glob(f"*/{NODE}"))
        if 'role = "participant"' not in path.read_text("utf-8") or (path.parent / SHARE).exists()
    ]


def _write_node(directory: Path, topology: Topology, msp_id: str, name: str, role: NodeRole) -> None:
    home = node_directory(directory, name)
    home.mkdir(parents=True, exist_ok=True)
    lines = [f"role = {_quoted(role.value)}", f"node_id = {_quoted(name)}", 'storage = "."']
    lines += _sections(directory, topology, msp_id, name, "../..")
    (home / NODE).write_text("\n".join(lines) + "\n", "utf-8")


def _write_client(directory: Path, topology: Topology, msp_id: str, name: str) -> None:
    home = directory / "clients"
    home.mkdir(parents=True, exist_ok=True)
    lines = [f"name = {_quoted(name)}", f"storage = {_quoted('../nodes/' + name)}"]
    lines += _sections(directory, topology, msp_id, name, "..")
    (home / f"{name}.toml").write_text("\n".join(lines) + "\n", "utf-8")


def _sections(directory: Path, topology: Topology, msp_id: str, name: str, up: str) -> list[str]:
    place = f"{up}/organizations/{msp_id}/identities/{name}"
    address = ledger_address_file(Path(up), topology, msp_id).as_posix()
    on_fabric = topology.ledger is LedgerKind.FABRIC
    return [
        "",
        "[ledger]",
        f"channel = {_quoted(topology.channel)}",
        f"chaincode = {_quoted(topology.chaincode)}",
        f"genesis = {_quoted(f'{up}/{material.GENESIS}')}",
        f"genesis_digest = {_quoted(genesis_digest(directory))}",
        *([f"config = {_quoted(homes.config_file(Path(up)).as_posix())}"] if on_fabric else []),
        f"address_file = {_quoted(address)}",
        "",
        "[identity]",
        f"msp_id = {_quoted(msp_id)}",
        f"certificate = {_quoted(f'{place}/certificate.pem')}",
        f"key = {_quoted(f'{place}/key.pem')}",
        f"tls_certificate = {_quoted(f'{place}/tls-certificate.pem')}",
        f"tls_key = {_quoted(f'{place}/tls-key.pem')}",
    ]


def _append(home: Path, section: str, architecture: str, field: str, file: str) -> None:
    with (home / NODE).open("a", encoding="utf-8") as settings:
        settings.write(f"\n[{section}]\narchitecture = {_quoted(architecture)}\n{field} = {_quoted(file)}\n")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
