"""The same network in containers: a compose file made from the topology.

Decides images, mounts, health checks and the order of starting. Every process sees its own home and nothing else of
the volume that holds them; all run without root. Two one-shot services of ours stand around Fabric's own: `material`
makes keys, genesis block and homes before anything starts, `channel` lets everybody join and commits the contract.
Settings inside the homes come from the same plan as those of a native network (`program_settings`).
"""

from __future__ import annotations

from typing import Any

import yaml

from bfl_fabric.network.homes import FABRIC, home_name
from bfl_fabric.network.material import ORDERER_MSP
from bfl_fabric.network.native import LOG_LEVEL, contract_environment
from bfl_fabric.network.plan import ANYWHERE, ContractPlan, OrdererPlan, PeerPlan, Process, container_plan
from bfl_fabric.network.topology import Topology

FABRIC_VERSION = "3.1.5"
FILE = "docker-compose.fabric.yml"
HOME = "/home/bfl/network"
TOPOLOGY = "/etc/bfl/topology.toml"
PROGRAM_HOME = "/etc/hyperledger/fabric"
CONTRACT_HOME = "/var/bfl/contract"
USER = "10001:10001"
FIRST_PUBLISHED = 7051
_HEADER = """\
# A Hyperledger Fabric network in containers, with one contract service per organization.
# Made from {source} by `bfl network compose`; a test makes it again and finds no difference.
#
#   docker compose -f docker-compose.fabric.yml up --build
#
# Images have exact tags, every service has a health check, none runs as root, and only the peers' gateways are
# published, on 127.0.0.1. `docker compose -f docker-compose.fabric.yml down --volumes` leaves nothing.
"""


def compose_yaml(topology: Topology, source: str) -> str:
    """Return the compose file of a topology; `source` names the topology's file in its first comment."""
    plan = container_plan(topology, ORDERER_MSP)
    services: dict[str, Any] = {
        "material": _one_shot(["network", "create", HOME, "--containers", "--topology", TOPOLOGY])
    }
    programs: list[Process] = [*plan.orderers, *plan.peers]
    for orderer in plan.orderers:
        services[orderer.name] = _orderer(orderer)
    for number, peer in enumerate(plan.peers):
        services[peer.name] = _peer(peer, FIRST_PUBLISHED + 1000 * number)
    for contract in plan.contracts:
        services[contract.name] = _contract(contract)
    channel = _one_shot(["network", "join", HOME])
    channel["depends_on"] = {
        item.name: {"condition": "service_healthy"} for item in (*programs, *plan.contracts)
    }
    services["channel"] = channel
    document = {
        "name": topology.federation_id,
        "services": services,
        "networks": {"federation": {}},
        "volumes": {"network": {}},
        "configs": {"topology": {"content": topology.on("fabric").dump()}},
    }
    return (
        _HEADER.format(source=source) + "\n" + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110)
    )


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks and repeats nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def _one_shot(arguments: list[str]) -> dict[str, Any]:
    return {
        "build": {"context": ".", "dockerfile": "network/Dockerfile"},
        "image": "bfl-fabric/bfl:local",
        "command": arguments,
        "user": USER,
        "restart": "no",
        "configs": [{"source": "topology", "target": TOPOLOGY}],
        "volumes": [{"type": "volume", "source": "network", "target": HOME}],
        "networks": ["federation"],
        **_HARDENED,
    }


def _orderer(orderer: OrdererPlan) -> dict[str, Any]:
    return _program(orderer, f"hyperledger/fabric-orderer:{FABRIC_VERSION}", ["orderer"])


def _peer(peer: PeerPlan, published: int) -> dict[str, Any]:
    service = _program(peer, f"hyperledger/fabric-peer:{FABRIC_VERSION}", ["peer", "node", "start"])
    service["ports"] = [f"127.0.0.1:{published}:{peer.main.port}"]
    return service


def _program(process: OrdererPlan | PeerPlan, image: str, command: list[str]) -> dict[str, Any]:
    return {
        "image": image,
        "command": command,
        "user": USER,
        "working_dir": PROGRAM_HOME,
        "environment": {"FABRIC_CFG_PATH": PROGRAM_HOME, "FABRIC_LOGGING_SPEC": LOG_LEVEL},
        "volumes": [_home(process, PROGRAM_HOME)],
        "healthcheck": _health(["bash", "-c", _ask(process.operations.port)]),
        **_after_material(),
    }


def _contract(contract: ContractPlan) -> dict[str, Any]:
    environment = contract_environment(contract, ANYWHERE)
    return {
        "build": {"context": "chaincode"},
        "image": "bfl-fabric/contract:local",
        "user": USER,
        "working_dir": CONTRACT_HOME,
        "environment": environment,
        "volumes": [_home(contract, CONTRACT_HOME) | {"read_only": True}],
        "healthcheck": _health(["python", "-c", _ASK_PYTHON.format(port=contract.operations.port)]),
        **_after_material(),
    }


def _after_material() -> dict[str, Any]:
    return {
        "depends_on": {"material": {"condition": "service_completed_successfully"}},
        "restart": "unless-stopped",
        "stop_grace_period": "10s",
        "networks": ["federation"],
        **_HARDENED,
    }


def _home(process: Process, target: str) -> dict[str, Any]:
    """Mount one home out of the volume of all."""
    return {
        "type": "volume",
        "source": "network",
        "target": target,
        "volume": {"subpath": f"{FABRIC}/{home_name(process)}"},
    }


def _health(test: list[str]) -> dict[str, Any]:
    return {"test": ["CMD", *test], "interval": "2s", "timeout": "3s", "retries": 30, "start_period": "2s"}


def _ask(port: int) -> str:
    """Return a shell line that asks /healthz; Fabric's images have bash and no HTTP client."""
    return (
        f"exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && "
        "head -n 1 <&3 | grep -q ' 200 '"
    )


_ASK_PYTHON = "import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/healthz', timeout=2)"
_HARDENED: dict[str, Any] = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
