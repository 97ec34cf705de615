"""How much a node lets others use of it, and how patient a client is.

Decides the numbers and turns them into gRPC's own settings. Leaves their enforcement to the services. No setting
is ever negative: gRPC reads -1 as "unlimited", and one unlimited message is enough to exhaust the memory.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from bfl_fabric.errors import ConfigurationError

CHUNK_BYTES = 2**20
SMALLEST_CHUNK_BYTES = 4096
TOGETHER_BLOBS = 64
# A chunk, its frame and an oversized attempt that deserves a clear answer.
MESSAGE_BYTES = 2 * 2**20
_METADATA_SOFT_BYTES = 8 * 1024
_METADATA_HARD_BYTES = 16 * 1024
# What a stream may send ahead. Fixed: gRPC's own probing lets it grow to several times that, for each stream.
_WINDOW_BYTES = 2**20
_IDENTITY_ONLY = 1  # bit set of accepted compressions: ciphertexts do not shrink, bombs do

Options = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a server grants.

    Attributes:
        concurrent_calls: All calls together; memory is at most about 3 · MESSAGE_BYTES times this.
        calls_per_organization: Less than half of all, so that no single organization keeps others out.
        calls_per_identity: Calls of one certificate's subject at the same time.
        calls_per_connection: HTTP/2 streams of one connection; more wait at the client.
        handshake_seconds: How long a connection may take to prove who it is.
        idle_seconds: The longest wait for the next message of a stream, either way.
        base_seconds: What every stream gets before its size is counted.
        minimum_bytes_per_second: The slowest rate that a stream's deadline allows for.
        accept_seconds: The longest that the check of a complete upload may take.
        connection_idle_seconds: A connection without calls is closed after this.
        connection_age_seconds: Any connection is renewed after this, so that revoked trust ends it.
        keepalive_seconds: How often a silent peer is asked whether it lives.
        stale_transfer_seconds: An unfinished upload that nobody touched for so long is dropped.
        sweep_seconds: How often that is looked for.
    """

    concurrent_calls: int = 128
    calls_per_organization: int = 56
    calls_per_identity: int = 8
    calls_per_connection: int = 16
    handshake_seconds: float = 3
    idle_seconds: float = 10
    base_seconds: float = 30
    minimum_bytes_per_second: int = 64 * 1024
    accept_seconds: float = 120
    connection_idle_seconds: float = 300
    connection_age_seconds: float = 3600
    keepalive_seconds: float = 20
    stale_transfer_seconds: float = 24 * 3600
    sweep_seconds: float = 3600

    def __post_init__(self) -> None:
        _require_positive(self)

    def stream_seconds(self, size_bytes: int) -> float:
        """Return the longest that a stream of so many bytes may take."""
        return self.base_seconds + size_bytes / self.minimum_bytes_per_second


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How a client behaves.

    Attributes:
        attempts: Tries without any progress before giving up; progress starts the count again.
        first_backoff_seconds: The wait after the first failure; it doubles each time, up to the longest.
        longest_backoff_seconds: The longest wait between two tries.
        calls_per_node: Calls to one address at the same time, within what a server grants one identity.
        idle_seconds: The longest wait for the next chunk of a download, and for a status.
        base_seconds: What every stream gets before its size is counted.
        minimum_bytes_per_second: The slowest rate that a stream's deadline allows for.
        accept_seconds: What the server's check of a complete upload may take on top.
        connect_seconds: How long a connection may take to come about.
    """

    attempts: int = 6
    first_backoff_seconds: float = 0.2
    longest_backoff_seconds: float = 5
    calls_per_node: int = 4
    idle_seconds: float = 20
    base_seconds: float = 30
    minimum_bytes_per_second: int = 64 * 1024
    accept_seconds: float = 150
    connect_seconds: float = 5

    def __post_init__(self) -> None:
        _require_positive(self)

    def stream_seconds(self, size_bytes: int) -> float:
        """Return the longest that a stream of so many bytes may take."""
        return self.base_seconds + size_bytes / self.minimum_bytes_per_second


def server_options(limits: ServerLimits) -> Options:
    """Return gRPC's settings for a server."""
    return [
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
        ("grpc.max_metadata_size", _METADATA_SOFT_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_HARD_BYTES),
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
        ("grpc.max_concurrent_streams", limits.calls_per_connection),
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.handshake_seconds)),
        ("grpc.max_connection_idle_ms", _milliseconds(limits.connection_idle_seconds)),
        ("grpc.max_connection_age_ms", _milliseconds(limits.connection_age_seconds)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(limits.connection_age_seconds)),
        ("grpc.keepalive_time_ms", _milliseconds(limits.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _milliseconds(limits.idle_seconds)),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _milliseconds(limits.keepalive_seconds / 2)),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        ("grpc.so_reuseport", 0),
    ]


def channel_options(limits: ClientLimits) -> Options:
    """Return gRPC's settings for a channel; retries are ours, and no proxy of the environment is used."""
    return [
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
        ("grpc.max_metadata_size", _METADATA_SOFT_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_HARD_BYTES),
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        ("grpc.min_reconnect_backoff_ms", _milliseconds(limits.connect_seconds)),
        ("grpc.initial_reconnect_backoff_ms", _milliseconds(limits.first_backoff_seconds)),
        ("grpc.max_reconnect_backoff_ms", _milliseconds(limits.longest_backoff_seconds)),
        ("grpc.keepalive_time_ms", _milliseconds(limits.idle_seconds)),
        ("grpc.keepalive_timeout_ms", _milliseconds(limits.idle_seconds)),
    ]


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _require_positive(limits: ServerLimits | ClientLimits) -> None:
    for field in fields(limits):
        value = getattr(limits, field.name)
        highest = 2**31 // (1000 if field.name.endswith("_seconds") else 1)
        if not 0 < value < highest:
            raise ConfigurationError(
                f"{type(limits).__name__}.{field.name} is {value}; it must be above 0 and below {highest}"
            )
