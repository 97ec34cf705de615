"""Key material of a topology: authorities, identities, TLS certificates, genesis block.

The directory looks like this; keys have mode 0600 and their directories 0700:

    genesis.block                                    block 0 of the channel
    organizations/MSP/ca, organizations/MSP/tlsca    authorities: certificate.pem, key.pem
    organizations/MSP/identities/NAME/               certificate.pem, key.pem, tls-certificate.pem, tls-key.pem
    organizations/MSP/retiring/ca, …/tlsca           authorities that are being replaced, only meanwhile
    organizations/MSP/contractca                     the authority of the link between peer and contract service
    orderer/ca, orderer/tlsca, orderer/identities/NAME/

With a plan the material is for real peers and orderers at the plan's addresses, without one for the embedded ledger.

In production each organization makes and keeps its own part; only on one machine does one directory hold all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bfl_chaincode.api.records import NodeRole
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.authority import CertificateAuthority, NodeOU
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.genesis import genesis_block
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.keyfiles import private_directory, write_secret
from bfl_fabric.fabric.trust import (
    Consensus,
    Consenter,
    Endpoint,
    OrdererTrust,
    OrderingTerms,
    OrganizationTrust,
)
from bfl_fabric.network.plan import LOOPBACK, NetworkPlan, OrdererPlan, orderer_name, peer_name
from bfl_fabric.network.topology import OrganizationPlan, Topology

ORDERER_MSP = "OrdererMSP"
ORDERER = orderer_name(1)
ORDERER_ADMIN = "admin-orderer"
GATEWAY = "gateway"
GENESIS = "genesis.block"
CONTRACT_AUTHORITY = "contractca"
RETIRING = "retiring"
# Nothing listens there: the embedded ledger orders in its own process, but a Raft block needs a consenter's address.
EMBEDDED_ORDERER = OrdererPlan(
    ORDERER, ORDERER_MSP, 1, *(Endpoint(LOOPBACK, port) for port in (7050, 7053, 8443))
)


@dataclass(frozen=True, slots=True)
class Authorities:
    """An organization's two authorities: one for identities, one for TLS."""

    identities: CertificateAuthority
    tls: CertificateAuthority

    @classmethod
    def create(cls, directory: Path, organization: str, validity_days: int, now: datetime) -> Authorities:
        """Make both and save them below `directory`."""
        start, end = now - timedelta(hours=1), now + timedelta(days=validity_days)
        made = cls(
            CertificateAuthority.create(organization, f"ca.{organization}", start, end),
            CertificateAuthority.create(organization, f"tlsca.{organization}", start, end),
        )
        made.identities.save(directory / "ca")
        made.tls.save(directory / "tlsca")
        return made

    @classmethod
    def load(cls, directory: Path) -> Authorities:
        """Read what `create` saved. Raises ConfigurationError."""
        return cls(
            CertificateAuthority.load(directory / "ca"), CertificateAuthority.load(directory / "tlsca")
        )

    def issue(self, directory: Path, name: str, ou: NodeOU, attributes: Mapping[str, str]) -> None:
        """Issue a signing and a TLS certificate for `name` and write them with their keys."""
        place = directory / "identities" / name
        private_directory(place)
        signing = self.identities.issue_identity(name, ou, attributes)
        tls = self.tls.issue_tls(name, sans=(LOOPBACK, "localhost", name))
        write_secret(place / "key.pem", signing.key_pem)
        write_secret(place / "tls-key.pem", tls.key_pem)
        (place / "certificate.pem").write_bytes(signing.certificate_pem)
        (place / "tls-certificate.pem").write_bytes(tls.certificate_pem)


def create_material(directory: Path, topology: Topology, plan: NetworkPlan | None = None) -> None:
    """Make everything that a topology needs. Raises ConfigurationError when the directory has material already."""
    if (directory / GENESIS).exists():
        raise ConfigurationError(f"{directory} holds a federation already; choose another directory")
    directory.mkdir(parents=True, exist_ok=True)
    trust = [create_organization(directory, topology, item, plan) for item in topology.organizations]
    ordering = _ordering(directory, topology, (EMBEDDED_ORDERER,) if plan is None else plan.orderers)
    terms = OrderingTerms(
        consensus=topology.ordering.fabric_consensus,
        max_message_count=topology.ordering.block_transactions,
        timeout=f"{round(topology.ordering.block_seconds * 1000)}ms",
    )
    block = genesis_block(topology.channel, trust, [ordering], terms, time.time_ns() // 1_000_000)
    (directory / GENESIS).write_bytes(block.SerializeToString(deterministic=True))


def read_genesis(path: Path) -> tuple[Any, str]:
    """Return (block 0, its digest). Raises ConfigurationError."""
    try:
        block = parse_block(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read the genesis block {path}: {error.strerror}") from error
    return block, block.hash.hex()


def identity_directory(directory: Path, msp_id: str, name: str) -> Path:
    """Return where an identity's four files are."""
    return organization_directory(directory, msp_id) / "identities" / name


def organization_directory(directory: Path, msp_id: str) -> Path:
    return directory / "orderer" if msp_id == ORDERER_MSP else directory / "organizations" / msp_id


def signing_identity(directory: Path, msp_id: str, name: str) -> SigningIdentity:
    """Load an identity with its key."""
    place = identity_directory(directory, msp_id, name)
    return SigningIdentity.load(msp_id, place / "certificate.pem", place / "key.pem")


def create_organization(
    directory: Path, topology: Topology, organization: OrganizationPlan, plan: NetworkPlan | None
) -> OrganizationTrust:
    """Make the authorities and identities of one organization; return what the channel is to know of it."""
    home = organization_directory(directory, organization.msp_id)
    start, end = _validity(topology)
    authorities = Authorities.create(home, organization.msp_id, topology.validity_days, start)
    authorities.issue(home, peer_name(organization), NodeOU.PEER, {})
    for name, role in {**topology.clients(organization), **topology.nodes(organization)}.items():
        ou = NodeOU.ADMIN if role is None else NodeOU.CLIENT
        authorities.issue(home, name, ou, {} if role is None else {"bfl.role": role.value})
    for name in organization.participants:
        authorities.issue(home, name, NodeOU.CLIENT, {"bfl.role": NodeRole.PARTICIPANT.value})
    if plan is not None:
        link = CertificateAuthority.create(
            organization.msp_id, f"contractca.{organization.msp_id}", start - timedelta(hours=1), end
        )
        link.save(home / CONTRACT_AUTHORITY)
    return OrganizationTrust(
        organization.msp_id,
        organization.msp_id,
        (authorities.identities.certificate_pem,),
        (authorities.tls.certificate_pem,),
        () if plan is None else (plan.peer_of(organization.msp_id).main,),
    )


def _ordering(directory: Path, topology: Topology, orderers: Sequence[OrdererPlan]) -> OrdererTrust:
    home = organization_directory(directory, ORDERER_MSP)
    authorities = Authorities.create(home, ORDERER_MSP, topology.validity_days, _validity(topology)[0])
    for orderer in orderers:
        authorities.issue(home, orderer.name, NodeOU.ORDERER, {})
    authorities.issue(home, ORDERER_ADMIN, NodeOU.ADMIN, {})
    authorities.issue(home, GATEWAY, NodeOU.PEER, {})
    bft = topology.ordering.fabric_consensus is Consensus.BFT
    return OrdererTrust(
        ORDERER_MSP,
        ORDERER_MSP,
        (authorities.identities.certificate_pem,),
        (authorities.tls.certificate_pem,),
        tuple(consenter(directory, orderer, bft=bft) for orderer in orderers),
        tuple(orderer.main for orderer in orderers),
    )


def consenter(directory: Path, orderer: OrdererPlan, *, bft: bool) -> Consenter:
    """Return what the channel is to know of an orderer whose identity has been issued."""
    place = identity_directory(directory, orderer.msp_id, orderer.name)
    tls = (place / "tls-certificate.pem").read_bytes()
    if not bft:
        return Consenter(orderer.main, tls, tls)
    identity = (place / "certificate.pem").read_bytes()
    return Consenter(orderer.main, tls, tls, orderer.number, identity, orderer.msp_id)


def _validity(topology: Topology) -> tuple[datetime, datetime]:
    now = datetime.now(UTC).replace(microsecond=0)
    return now, now + timedelta(days=topology.validity_days)
