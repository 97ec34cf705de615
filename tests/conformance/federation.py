"""Three organizations with their certificates, made for tests: peers, an orderer, clients, a genesis block."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fabric_protos.common import common_pb2

from bfl_fabric.fabric.authority import CertificateAuthority, Issued
from bfl_fabric.fabric.channel import (
    Consenter,
    Endpoint,
    OrdererTrust,
    OrderingTerms,
    OrganizationTrust,
    genesis_block,
)
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.wire import write

CHANNEL = "probe-channel"
CHAINCODE = "probe"
MSP_IDS = ("ClinicMSP", "HospitalMSP", "LabMSP")
ORDERER_MSP = "OrderingMSP"


class Organization:
    """One organization's authorities and what they issue."""

    def __init__(self, msp_id: str, not_before: datetime, not_after: datetime) -> None:
        self.msp_id = msp_id
        self.name = msp_id.removesuffix("MSP")
        self.authority = CertificateAuthority.create(self.name, f"ca.{self.name}", not_before, not_after)
        self.tls_authority = CertificateAuthority.create(
            self.name, f"tlsca.{self.name}", not_before, not_after
        )
        self.keys: dict[bytes, Issued] = {}

    def identity(self, name: str, ou: str, **attributes: str) -> SigningIdentity:
        issued = self.authority.issue_identity(name, ou, attributes)
        identity = SigningIdentity.from_pem(self.msp_id, issued.certificate_pem, issued.key_pem)
        self.keys[identity.creator] = issued
        return identity


@dataclass(frozen=True)
class Federation:
    """Everything that a channel needs; `clients` and `peers` are in the order of the organizations."""

    organizations: tuple[Organization, ...]
    ordering: Organization
    peers: tuple[SigningIdentity, ...]
    clients: tuple[SigningIdentity, ...]
    orderer: SigningIdentity
    genesis: Any

    def save(self, path: Path) -> None:
        """Write what another process needs to play this federation."""
        keys = {
            creator: key for one in (*self.organizations, self.ordering) for creator, key in one.keys.items()
        }

        def told(identity: SigningIdentity) -> list[str]:
            issued = keys[identity.creator]
            return [identity.msp_id, issued.certificate_pem.decode(), issued.key_pem.decode()]

        content = {
            "peers": [told(peer) for peer in self.peers],
            "clients": [told(client) for client in self.clients],
            "orderer": told(self.orderer),
            "genesis": write(self.genesis).hex(),
        }
        path.write_text(json.dumps(content))


@dataclass(frozen=True)
class SavedFederation:
    """A federation as another process reads it."""

    peers: tuple[SigningIdentity, ...]
    clients: tuple[SigningIdentity, ...]
    orderer: SigningIdentity
    genesis: Any

    @classmethod
    def load(cls, path: Path) -> SavedFederation:
        content = json.loads(path.read_text())

        def known(told: list[str]) -> SigningIdentity:
            return SigningIdentity.from_pem(told[0], told[1].encode(), told[2].encode())

        return cls(
            peers=tuple(map(known, content["peers"])),
            clients=tuple(map(known, content["clients"])),
            orderer=known(content["orderer"]),
            genesis=common_pb2.Block.FromString(bytes.fromhex(content["genesis"])),
        )


def found(
    at: datetime | None = None, terms: OrderingTerms | None = None, msp_ids: Sequence[str] = MSP_IDS
) -> Federation:
    """Make a federation whose certificates are good for a day before and after `at`."""
    now = at or datetime.now(tz=UTC)
    span = now - timedelta(days=1), now + timedelta(days=1)
    organizations = tuple(Organization(msp_id, *span) for msp_id in msp_ids)
    ordering = Organization(ORDERER_MSP, *span)
    tls = ordering.tls_authority.issue_tls("orderer0")
    consenter = Consenter(Endpoint("127.0.0.1", 7050), tls.certificate_pem, tls.certificate_pem)
    trust = OrdererTrust(
        msp_id=ORDERER_MSP,
        name=ordering.name,
        root_certificates=(ordering.authority.certificate_pem,),
        tls_root_certificates=(ordering.tls_authority.certificate_pem,),
        consenters=(consenter,),
        endpoints=(Endpoint("127.0.0.1", 7050),),
    )
    members = [
        OrganizationTrust(
            msp_id=one.msp_id,
            name=one.name,
            root_certificates=(one.authority.certificate_pem,),
            tls_root_certificates=(one.tls_authority.certificate_pem,),
        )
        for one in organizations
    ]
    at_ms = int(now.timestamp() * 1000)
    return Federation(
        organizations=organizations,
        ordering=ordering,
        peers=tuple(one.identity(f"peer0.{one.name}", "peer") for one in organizations),
        clients=tuple(one.identity(f"client.{one.name}", "client") for one in organizations),
        orderer=ordering.identity("orderer0", "orderer"),
        genesis=genesis_block(CHANNEL, members, [trust], terms or OrderingTerms(timeout="20ms"), at_ms),
    )
