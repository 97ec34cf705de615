"""Where peers and orderers listen, and who speaks to them.

Decides the options of the connections that administration uses (a server that is just starting is tried again
quickly) and what a request needs to be fresh. What is asked is left to the clients.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from fabric_protos.common import common_pb2

from bfl_fabric.clock import SystemClock
from bfl_fabric.domain.ports import Clock
from bfl_fabric.fabric.deliver import Stamp
from bfl_fabric.fabric.gateway_grpc import MESSAGE_LIMIT_BYTES, TlsMaterial
from bfl_fabric.fabric.identity import Signer
from bfl_fabric.fabric.proposal import NONCE_BYTES, Invocation, Proposal, build_proposal

_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Server:
    """A peer or an orderer: host:port, and the TLS authority that its certificate must be of.

    `server_name` overrides the name that the certificate must have.
    """

    address: str
    tls: TlsMaterial
    server_name: str = ""

    def connect(self) -> grpc.aio.Channel:
        """Return a channel; must be called inside the event loop that uses it. Nothing is sent yet."""
        credentials = grpc.ssl_channel_credentials(
            self.tls.root_certificates, self.tls.key, self.tls.certificate
        )
        name = (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()
        return grpc.aio.secure_channel(self.address, credentials, options=[*_OPTIONS, *name])


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who asks: a signing identity, with the clock and the randomness that make each request fresh."""

    signer: Signer
    clock: Clock = field(default_factory=SystemClock)
    nonce: Callable[[int], bytes] = secrets.token_bytes

    def stamp(self) -> Stamp:
        """Return what makes the next request unique and fresh."""
        return Stamp(self.nonce(NONCE_BYTES), self.clock.now_ms())

    def proposal(self, invocation: Invocation) -> Proposal:
        """Return a fresh proposal of this administrator."""
        stamp = self.stamp()
        return build_proposal(invocation, self.signer.creator, stamp.nonce, stamp.at_ms)

    def signature_header(self) -> Any:
        """Return a fresh `common.SignatureHeader`."""
        return common_pb2.SignatureHeader(creator=self.signer.creator, nonce=self.nonce(NONCE_BYTES))
