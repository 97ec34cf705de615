"""Throwaway organizations of a test channel: authorities, peers, clients, an orderer, a genesis block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from bfl_fabric.fabric.authority import CertificateAuthority, Validity
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import (
    ChannelConfig,
    Consensus,
    Consenter,
    Endpoint,
    OrdererTrust,
    OrderingTerms,
    OrganizationTrust,
    genesis_block,
)
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.wire import write

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=3650)
FOUNDED_MS = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
CHANNEL = "testing"
CHAINCODE = "bfl"


@dataclass
class Organization:
    """An organization with its two authorities; identities are made once and kept."""

    msp_id: str
    name: str
    authority: CertificateAuthority
    tls_authority: CertificateAuthority
    _identities: dict[tuple[Any, ...], SigningIdentity] = field(default_factory=dict)

    @classmethod
    def create(cls, name: str) -> Organization:
        return cls(
            f"{name.capitalize()}MSP",
            name,
            CertificateAuthority.create(name, f"ca.{name}", START, END),
            CertificateAuthority.create(name, f"tlsca.{name}", START, END),
        )

    def identity(
        self,
        name: str,
        ou: str,
        attributes: Mapping[str, str] | None = None,
        validity: Validity | None = None,
    ) -> SigningIdentity:
        key = (name, ou, tuple(sorted((attributes or {}).items())), validity)
        if key not in self._identities:
            issued = self.authority.issue_identity(name, ou, attributes, validity)
            self._identities[key] = SigningIdentity.from_pem(
                self.msp_id, issued.certificate_pem, issued.key_pem
            )
        return self._identities[key]

    @property
    def peer(self) -> SigningIdentity:
        return self.identity("peer0", "peer")

    @property
    def client(self) -> SigningIdentity:
        return self.identity("client", "client", {"bfl.role": "participant"})

    @property
    def admin(self) -> SigningIdentity:
        return self.identity("admin", "admin")

    def trust(self) -> OrganizationTrust:
        return OrganizationTrust(
            self.msp_id,
            self.name,
            (self.authority.certificate_pem,),
            (self.tls_authority.certificate_pem,),
            (Endpoint("127.0.0.1", 7051),),
        )


@dataclass
class Federation:
    """Three organizations and one that orders, with one Raft consenter or four BFT ones."""

    organizations: list[Organization]
    orderer: Organization
    consensus: Consensus = Consensus.RAFT

    @property
    def consenters(self) -> list[SigningIdentity]:
        count = 4 if self.consensus is Consensus.BFT else 1
        return [self.orderer.identity(f"orderer{number}", "orderer") for number in range(1, count + 1)]

    @property
    def terms(self) -> OrderingTerms:
        return OrderingTerms(consensus=self.consensus)

    def orderer_trust(self) -> OrdererTrust:
        consenters = []
        for number, identity in enumerate(self.consenters, start=1):
            tls = _tls(self.orderer, number)
            address = Endpoint("127.0.0.1", 7049 + number)
            if self.consensus is Consensus.BFT:
                consenters.append(
                    Consenter(address, tls, tls, number, identity.certificate_pem, identity.msp_id)
                )
            else:
                consenters.append(Consenter(address, tls, tls))
        trust = self.orderer.trust()
        return OrdererTrust(
            trust.msp_id,
            trust.name,
            trust.root_certificates,
            trust.tls_root_certificates,
            tuple(consenters),
            tuple(item.endpoint for item in consenters),
        )

    def genesis(self) -> Any:
        trust = [item.trust() for item in self.organizations]
        return genesis_block(CHANNEL, trust, [self.orderer_trust()], self.terms, FOUNDED_MS)

    def config(self) -> ChannelConfig:
        return ChannelConfig.from_block(parse_block(write(self.genesis())))


@cache
def _tls(organization_: Any, number: int) -> bytes:
    pem: bytes = organization_.tls_authority.issue_tls(f"orderer{number}").certificate_pem
    return pem


Organization.__hash__ = object.__hash__  # type: ignore[method-assign]


def federation(consensus: Consensus = Consensus.RAFT) -> Federation:
    """Return the test federation; its keys are made once per test run."""
    return _federation(consensus)


@cache
def _federation(consensus: Consensus) -> Federation:
    names = ("alpha", "beta", "gamma")
    return Federation([Organization.create(name) for name in names], Organization.create("order"), consensus)
