"""What a contract service is told before it starts.

Decides the shapes and the limits' defaults. Where the values come from (the environment, a test) is left to callers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class ServiceTls:
    """The server's key and certificate, and the authority that the peers' client certificates come from; all PEM."""

    key: bytes
    certificate: bytes
    client_authority: bytes

    def __repr__(self) -> str:
        return "ServiceTls(…)"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Which package this is, where it listens, and how long it lets one step of a function hold the others up.

    `tls` None means plain text: only for tests, and where something else protects the connection. Addresses are
    host:port, port 0 takes a free one; no `operations_address` means no endpoint for health and metrics.
    """

    package_id: str
    address: str
    tls: ServiceTls | None
    operations_address: str | None = None
    handover_seconds: float = 0.1
    """A step that takes longer keeps its thread; another one reads the stream on."""
    answer_seconds: float = 1.5
    """A transaction with a step that takes longer is answered for, as failed: its peer commits nothing before that."""
    stuck_limit: int = 32
    """With so many steps stuck at once the service is unhealthy and takes no further transaction."""
    stream_limit: int = 32
    """Peers that may be connected at once; a peer needs one stream."""
