"""Key material of a topology: authorities, identities, TLS certificates, genesis block.

The directory looks like this; keys have mode 0600 and their directories 0700:

    genesis.block                                    block 0 of the channel
    organizations/MSP/ca, organizations/MSP/tlsca    authorities: certificate.pem, key.pem
    organizations/MSP/identities/NAME/               certificate.pem, key.pem, tls-certificate.pem, tls-key.pem
    orderer/ca, orderer/tlsca, orderer/identities/NAME/

In production each organization makes and keeps its own part; only on one machine does one directory hold all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
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
from bfl_fabric.fabric.trust import Consenter, Endpoint, OrdererTrust, OrderingTerms, OrganizationTrust
from bfl_fabric.network.topology import OrganizationPlan, Topology

ORDERER_MSP = "OrdererMSP"
ORDERER = "orderer-1"
GATEWAY = "gateway"
GENESIS = "genesis.block"
# Nothing listens there: the embedded ledger orders in its own process, but a Raft block needs a consenter's address.
EMBEDDED_ORDERER = Endpoint("127.0.0.1", 7050)


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

    def issue(self, directory: Path, name: str, ou: NodeOU, attributes: Mapping[str, str]) -> None:
        """Issue a signing and a TLS certificate for `name` and write them with their keys."""
        place = directory / "identities" / name
        private_directory(place)
        signing = self.identities.issue_identity(name, ou, attributes)
        tls = self.tls.issue_tls(name)
        write_secret(place / "key.pem", signing.key_pem)
        write_secret(place / "tls-key.pem", tls.key_pem)
        (place / "certificate.pem").write_bytes(signing.certificate_pem)
        (place / "tls-certificate.pem").write_bytes(tls.certificate_pem)


def create_material(directory: Path, topology: Topology) -> None:
    """Make everything that a topology needs. Raises ConfigurationError when the directory has material already."""
    if (directory / GENESIS).exists():
        raise ConfigurationError(f"{directory} holds a federation already; choose another directory")
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).replace(microsecond=0)
    trust = [_organization(directory, topology, item, now) for item in topology.organizations]
    ordering = _orderer(directory, topology, now)
    terms = OrderingTerms(
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


def peer_name(organization: OrganizationPlan) -> str:
    """Return the name of the peer that endorses for an organization."""
    return f"peer-{organization.slug}"


def signing_identity(directory: Path, msp_id: str, name: str) -> SigningIdentity:
    """Load an identity with its key."""
    place = identity_directory(directory, msp_id, name)
    return SigningIdentity.load(msp_id, place / "certificate.pem", place / "key.pem")


def _organization(
    directory: Path, topology: Topology, plan: OrganizationPlan, now: datetime
) -> OrganizationTrust:
    home = organization_directory(directory, plan.msp_id)
    authorities = Authorities.create(home, plan.msp_id, topology.validity_days, now)
    authorities.issue(home, peer_name(plan), NodeOU.PEER, {})
    for name, role in {**topology.clients(plan), **topology.nodes(plan)}.items():
        ou = NodeOU.ADMIN if role is None else NodeOU.CLIENT
        authorities.issue(home, name, ou, {} if role is None else {"bfl.role": role.value})
    for name in plan.participants:
        authorities.issue(home, name, NodeOU.CLIENT, {"bfl.role": NodeRole.PARTICIPANT.value})
    return OrganizationTrust(
        plan.msp_id,
        plan.msp_id,
        (authorities.identities.certificate_pem,),
        (authorities.tls.certificate_pem,),
    )


def _orderer(directory: Path, topology: Topology, now: datetime) -> OrdererTrust:
    home = organization_directory(directory, ORDERER_MSP)
    authorities = Authorities.create(home, ORDERER_MSP, topology.validity_days, now)
    authorities.issue(home, ORDERER, NodeOU.ORDERER, {})
    authorities.issue(home, GATEWAY, NodeOU.PEER, {})
    tls = (identity_directory(directory, ORDERER_MSP, ORDERER) / "tls-certificate.pem").read_bytes()
    return OrdererTrust(
        ORDERER_MSP,
        ORDERER_MSP,
        (authorities.identities.certificate_pem,),
        (authorities.tls.certificate_pem,),
        (Consenter(EMBEDDED_ORDERER, tls, tls),),
        (EMBEDDED_ORDERER,),
    )
