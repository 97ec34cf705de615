"""The channels of a peer: joining one from its first block or from a snapshot, and what the peer knows of it.

Decides which questions are repeated until a starting peer answers: all of them may be, because a channel that is
joined already is not joined again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.peer import query_pb2

from bfl_fabric.errors import LedgerUnavailable
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import config_envelope
from bfl_fabric.fabric.peer_client import PeerClient
from bfl_fabric.fabric.wire import read, write

_CSCC, _QSCC = "cscc", "qscc"
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """What a peer has of a channel. Hashes are lower-case hex.

    `snapshot_block` is the last block of the snapshot that the peer started from, None when it started from block 0.
    """

    height: int
    current_hash: str
    previous_hash: str
    snapshot_block: int | None


@dataclass(frozen=True, slots=True)
class SnapshotJoin:
    """Whether a peer is joining a channel from a snapshot now, and from which directory."""

    in_progress: bool
    directory: str


async def join_channel(peer: PeerClient, genesis_block: bytes, *, wait_seconds: float = 30.0) -> None:
    """Let a peer join the channel of this first block; a channel that it has already is left as it is.

    A peer that does not answer yet is asked again for `wait_seconds`. Raises LedgerUnavailable, EvaluateError.
    """
    channel_id, _ = config_envelope(parse_block(genesis_block))
    if channel_id not in await _patiently(lambda: joined_channels(peer), wait_seconds, peer):
        await peer.query("", _CSCC, b"JoinChain", genesis_block)


async def join_by_snapshot(peer: PeerClient, directory: str, *, wait_seconds: float = 60.0) -> None:
    """Let a peer join a channel from a snapshot in a directory of its own machine; return when that is done.

    Raises LedgerUnavailable when it takes longer than `wait_seconds`, EvaluateError when the peer refuses, for
    example because it has the channel already.
    """
    before = set(await _patiently(lambda: joined_channels(peer), wait_seconds, peer))
    await peer.query("", _CSCC, b"JoinChainBySnapshot", directory.encode())

    async def finished() -> None:
        while not set(await joined_channels(peer)) - before:
            status = await snapshot_join_status(peer)
            if not status.in_progress and not set(await joined_channels(peer)) - before:
                raise LedgerUnavailable(
                    f"{peer.name}: joining from the snapshot {directory} failed; its log says why"
                )
            await peer.administrator.clock.sleep(_PAUSE_SECONDS)

    try:
        await asyncio.wait_for(finished(), wait_seconds)
    except TimeoutError as error:
        raise LedgerUnavailable(
            f"{peer.name}: still reading the snapshot {directory} after {wait_seconds:.0f} s; ask again later"
        ) from error


async def snapshot_join_status(peer: PeerClient) -> SnapshotJoin:
    """Say whether the peer is joining a channel from a snapshot."""
    raw = await peer.query("", _CSCC, b"JoinBySnapshotStatus")
    status = read(query_pb2.JoinBySnapshotStatus, raw, f"{peer.name}: snapshot status")
    return SnapshotJoin(status.in_progress, status.bootstrapping_snapshot_dir)


async def joined_channels(peer: PeerClient) -> tuple[str, ...]:
    """Return the names of the channels that a peer has, sorted."""
    raw = await peer.query("", _CSCC, b"GetChannels")
    answer = read(query_pb2.ChannelQueryResponse, raw, f"{peer.name}: channels")
    return tuple(sorted(item.channel_id for item in answer.channels))


async def channel_info(peer: PeerClient, channel_id: str) -> ChannelInfo:
    """Return a channel's height and newest hashes on a peer."""
    raw = await peer.query(channel_id, _QSCC, b"GetChainInfo", channel_id.encode())
    info = read(ledger_pb2.BlockchainInfo, raw, f"{peer.name}: channel {channel_id}")
    start = info.bootstrappingSnapshotInfo if info.HasField("bootstrappingSnapshotInfo") else None
    return ChannelInfo(
        height=info.height,
        current_hash=info.currentBlockHash.hex(),
        previous_hash=info.previousBlockHash.hex(),
        snapshot_block=None if start is None else start.lastBlockInSnapshot,
    )


async def config_block(peer: PeerClient, channel_id: str) -> bytes:
    """Return the canonical bytes of the newest configuration block that a peer has."""
    raw = await peer.query(channel_id, _CSCC, b"GetConfigBlock", channel_id.encode())
    return write(read(common_pb2.Block, raw, f"{peer.name}: configuration block"))


async def _patiently(
    ask: Callable[[], Awaitable[tuple[str, ...]]], wait_seconds: float, peer: PeerClient
) -> tuple[str, ...]:
    """Ask until somebody answers, for `wait_seconds`."""
    clock = peer.administrator.clock
    deadline = clock.now_ms() + wait_seconds * 1000
    while True:
        try:
            return await ask()
        except LedgerUnavailable:
            if clock.now_ms() >= deadline:
                raise
        await clock.sleep(_PAUSE_SECONDS)
