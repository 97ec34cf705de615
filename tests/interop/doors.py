"""What a client that we did not write must be told to use a channel: address, TLS root, identity, contract.

A door is the same for the embedded ledger and for a real peer; `InteropChannel` is what a fixture offers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.conformance.embedded_channel import EmbeddedChannel
from tests.interop.words import PROBE, TINY, Words
from tests.unit.fabric.real_network import CHAINCODE, CHANNEL, RealNetwork


@dataclass(frozen=True)
class Door:
    """One organization's way into a channel, everything PEM."""

    address: str
    tls_roots: bytes
    msp_id: str
    certificate: bytes
    key: bytes
    channel_id: str
    chaincode: str

    def settings(self, place: Path, calls: Mapping[str, Any], foreign_proposal: bytes) -> Path:
        """Write the settings file of a client program, with the key material beside it.

        `foreign_proposal` is one that our SDK put together, for the program to sign and send.
        """
        files = {"tls_roots": self.tls_roots, "certificate": self.certificate, "key": self.key}
        content: dict[str, Any] = {
            "address": self.address,
            "msp_id": self.msp_id,
            "channel": self.channel_id,
            "chaincode": self.chaincode,
            "calls": calls,
            "foreign_proposal": base64.b64encode(foreign_proposal).decode(),
        }
        for name, pem in files.items():
            path = place / f"{name}.pem"
            path.write_bytes(pem)
            path.chmod(0o600)
            content[name] = str(path)
        target = place / "settings.json"
        target.write_text(json.dumps(content))
        return target


class InteropChannel(Protocol):
    """A channel of several organizations whose peers listen at sockets; `words` fit the contract on it."""

    words: Words
    has_private_data_blocks: bool

    def door(self, organization: int) -> Door:
        """Return the way in through an organization's peer, with a client identity of that organization."""


class EmbeddedDoors:
    """The embedded ledger behind its gRPC server."""

    words = PROBE
    has_private_data_blocks = False

    def __init__(self, channel: EmbeddedChannel) -> None:
        self._channel = channel

    def door(self, organization: int) -> Door:
        server, federation = self._channel.server, self._channel.federation
        assert server is not None, "the channel was started without its server"
        home = federation.organizations[organization]
        issued = home.keys[federation.clients[organization].creator]
        return Door(
            address=server.address,
            tls_roots=federation.ordering.tls_authority.certificate_pem,
            msp_id=home.msp_id,
            certificate=issued.certificate_pem,
            key=issued.key_pem,
            channel_id=self._channel.channel_id,
            chaincode=self._channel.chaincode,
        )


class RealDoors:
    """Peers of Hyperledger Fabric."""

    words = TINY
    has_private_data_blocks = True

    def __init__(self, network: RealNetwork) -> None:
        self._network = network

    def door(self, organization: int) -> Door:
        party = self._network.parties[organization]
        msp = party.home / "admin" / "msp"
        return Door(
            address=f"127.0.0.1:{self._network.peers[organization]}",
            tls_roots=party.tls_authority.certificate_pem,
            msp_id=party.msp_id,
            certificate=(msp / "signcerts" / "cert.pem").read_bytes(),
            key=(msp / "keystore" / "key_sk").read_bytes(),
            channel_id=CHANNEL,
            chaincode=CHAINCODE,
        )
