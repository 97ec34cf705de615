"""What runs where: every process of a topology on Hyperledger Fabric, with its addresses.

One plan for all that is made of it: genesis block, settings of the programs, native runner, compose file and
status table, so that what is proved of one also holds for the others. Decides names, hosts and ports; which files a
process gets is left to `layout`.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.trust import Endpoint
from bfl_fabric.network.topology import OrganizationPlan, Topology

LOOPBACK = "127.0.0.1"
ANYWHERE = "0.0.0.0"  # noqa: S104 (inside a container; only published ports reach beyond its network)
FIRST_PORT, LAST_PORT = 20_000, 32_000


@dataclass(frozen=True, slots=True)
class PeerPlan:
    """A peer: endorses, commits, and is its organization's gateway. `operations` answers health and metrics."""

    name: str
    msp_id: str
    main: Endpoint
    chaincode: Endpoint
    operations: Endpoint


@dataclass(frozen=True, slots=True)
class OrdererPlan:
    """An orderer; `number` is its identifier in a BFT channel, counted from 1."""

    name: str
    msp_id: str
    number: int
    main: Endpoint
    admin: Endpoint
    operations: Endpoint


@dataclass(frozen=True, slots=True)
class ContractPlan:
    """An organization's contract service, which its own peer calls."""

    name: str
    msp_id: str
    main: Endpoint
    operations: Endpoint


Process = OrdererPlan | PeerPlan | ContractPlan


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """All processes of a network. Peers and contract services are in the order of the organizations."""

    orderers: tuple[OrdererPlan, ...]
    peers: tuple[PeerPlan, ...]
    contracts: tuple[ContractPlan, ...]

    def peer_of(self, msp_id: str) -> PeerPlan:
        """Return the peer of an organization. Raises ConfigurationError."""
        for peer in self.peers:
            if peer.msp_id == msp_id:
                return peer
        raise ConfigurationError(f"{msp_id} has no peer in this network")

    def contract_of(self, msp_id: str) -> ContractPlan:
        """Return the contract service of an organization. Raises ConfigurationError."""
        for contract in self.contracts:
            if contract.msp_id == msp_id:
                return contract
        raise ConfigurationError(f"{msp_id} has no contract service in this network")

    @property
    def processes(self) -> tuple[Process, ...]:
        """All processes, in the order in which they are started."""
        return (*self.orderers, *self.peers, *self.contracts)

    def names(self) -> tuple[str, ...]:
        """Return the names of all processes, in the order in which they are started."""
        return tuple(item.name for item in self.processes)

    def dump(self) -> str:
        """Return the plan as JSON text that `load` reads back."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> NetworkPlan:
        """Read what `dump` wrote. Raises ConfigurationError."""
        try:
            values = json.loads(path.read_text("utf-8"))
            return cls(
                tuple(OrdererPlan(**_endpoints(item)) for item in values["orderers"]),
                tuple(PeerPlan(**_endpoints(item)) for item in values["peers"]),
                tuple(ContractPlan(**_endpoints(item)) for item in values["contracts"]),
            )
        except OSError as error:
            raise ConfigurationError(f"cannot read the network's plan {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{path} is no plan of a network: {error}") from error


def orderer_name(number: int) -> str:
    """Return the name of an orderer, counted from 1."""
    return f"orderer-{number}"


def peer_name(organization: OrganizationPlan) -> str:
    """Return the name of the peer that endorses for an organization."""
    return f"peer-{organization.slug}"


def contract_name(organization: OrganizationPlan) -> str:
    """Return the name of an organization's contract service."""
    return f"contract-{organization.slug}"


def native_plan(topology: Topology, ordering_msp: str) -> NetworkPlan:
    """Return a plan on this machine: everything on 127.0.0.1, at ports that are free now."""
    ports = free_ports()
    return _plan(topology, ordering_msp, lambda _name, _usual: Endpoint(LOOPBACK, next(ports)))


def container_plan(topology: Topology, ordering_msp: str) -> NetworkPlan:
    """Return a plan in which every process is a host of its own, at Fabric's usual ports."""
    return _plan(topology, ordering_msp, Endpoint)


def add_peer(plan: NetworkPlan, organization: OrganizationPlan) -> NetworkPlan:
    """Return a native plan with the processes of one more organization."""
    taken = {item.main.port for item in plan.processes}
    ports = (port for port in free_ports() if port not in taken)
    peer, contract = _organization(organization, lambda _name, _usual: Endpoint(LOOPBACK, next(ports)))
    return NetworkPlan(plan.orderers, (*plan.peers, peer), (*plan.contracts, contract))


def remove_peer(plan: NetworkPlan, msp_id: str) -> NetworkPlan:
    """Return a plan without the processes of an organization."""
    return NetworkPlan(
        plan.orderers,
        tuple(item for item in plan.peers if item.msp_id != msp_id),
        tuple(item for item in plan.contracts if item.msp_id != msp_id),
    )


def free_ports() -> Iterator[int]:
    """Yield ports that nobody uses, below the range from which the kernel hands out its own, each once."""
    import random

    ports = list(range(FIRST_PORT, LAST_PORT))
    random.SystemRandom().shuffle(ports)
    for port in ports:
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        yield port
    raise ConfigurationError(f"no port between {FIRST_PORT} and {LAST_PORT} is free on this machine")


_Locate = Callable[[str, int], Endpoint]


def _plan(topology: Topology, ordering_msp: str, at: _Locate) -> NetworkPlan:
    orderers = tuple(
        OrdererPlan(name, ordering_msp, number, at(name, 7050), at(name, 7053), at(name, 8443))
        for number in range(1, topology.ordering.orderer_count + 1)
        for name in (orderer_name(number),)
    )
    pairs = [_organization(item, at) for item in topology.organizations]
    return NetworkPlan(orderers, tuple(peer for peer, _ in pairs), tuple(contract for _, contract in pairs))


def _organization(item: OrganizationPlan, at: _Locate) -> tuple[PeerPlan, ContractPlan]:
    peer, contract = peer_name(item), contract_name(item)
    return (
        PeerPlan(peer, item.msp_id, at(peer, 7051), at(peer, 7052), at(peer, 9443)),
        ContractPlan(contract, item.msp_id, at(contract, 9999), at(contract, 9444)),
    )


def _endpoints(values: dict[str, Any]) -> dict[str, Any]:
    return {name: Endpoint(**item) if isinstance(item, dict) else item for name, item in values.items()}
