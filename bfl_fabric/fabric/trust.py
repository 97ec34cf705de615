"""Whom a channel trusts, as plain values: organizations, orderers, consenters.

The same values go into a genesis block (`bfl_fabric.fabric.genesis`) and come out of a configuration block
(`bfl_fabric.fabric.channel`). All certificates are PEM.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Consensus(StrEnum):
    """How orderers agree; the text is Fabric's."""

    RAFT = "etcdraft"
    BFT = "BFT"


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read host:port."""
        host, _, port = text.rpartition(":")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class OrganizationTrust:
    """What the channel knows of an organization. `name` is its group's name in the configuration tree.

    `admins` are certificates that are administrators without carrying the admin OU.
    """

    msp_id: str
    name: str
    root_certificates: tuple[bytes, ...]
    tls_root_certificates: tuple[bytes, ...]
    anchor_peers: tuple[Endpoint, ...] = ()
    admins: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Consenter:
    """One orderer. `identifier` and `identity` (its signing certificate) matter to BFT only."""

    endpoint: Endpoint
    client_tls_certificate: bytes
    server_tls_certificate: bytes
    identifier: int = 0
    identity: bytes = b""
    msp_id: str = ""


@dataclass(frozen=True, slots=True)
class OrdererTrust:
    """An organization that runs orderers: which ones, and where clients reach them."""

    msp_id: str
    name: str
    root_certificates: tuple[bytes, ...]
    tls_root_certificates: tuple[bytes, ...]
    consenters: tuple[Consenter, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    admins: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderingTerms:
    """How orderers agree and when they cut a block. `timeout` is Go's notation of a duration."""

    consensus: Consensus = Consensus.RAFT
    max_message_count: int = 50
    timeout: str = "50ms"
    absolute_max_bytes: int = 10 * 1024 * 1024
    preferred_max_bytes: int = 2 * 1024 * 1024
