"""Snapshots of a peer's ledger: asked for, called off, awaited.

Decides the signed requests. A snapshot is written by the peer below the directory of its setting
`ledger.snapshots.rootDir`; carrying it to another peer is left to the operator, joining from it to
`bfl_fabric.fabric.peer_channels`.
"""

from __future__ import annotations

from typing import Any

import grpc.aio
from fabric_protos.peer import snapshot_pb2

from bfl_fabric.errors import LedgerError
from bfl_fabric.fabric.gateway_grpc import failure_of
from bfl_fabric.fabric.peer_client import PeerClient, ledger_error
from bfl_fabric.fabric.servers import Administrator
from bfl_fabric.fabric.wire import write


async def request_snapshot(peer: PeerClient, channel_id: str, block_number: int = 0) -> None:
    """Ask for a snapshot after a block that is still to come, or at once after the newest with 0.

    The peer writes it in the background; it is done when it is no longer pending. Raises LedgerError when the peer
    refuses: no administrator of its own organization, a block that is past, or the same request twice.
    """
    await _ask(peer, peer.snapshots.Generate, snapshot_request(peer.administrator, channel_id, block_number))


async def cancel_snapshot(peer: PeerClient, channel_id: str, block_number: int) -> None:
    """Call off a snapshot that is still pending. Raises LedgerError when there is no such request."""
    await _ask(peer, peer.snapshots.Cancel, snapshot_request(peer.administrator, channel_id, block_number))


async def pending_snapshots(peer: PeerClient, channel_id: str) -> tuple[int, ...]:
    """Return the blocks after which snapshots are still to be written, ascending."""
    query = snapshot_pb2.SnapshotQuery(
        signature_header=peer.administrator.signature_header(), channel_id=channel_id
    )
    answer = await _ask(peer, peer.snapshots.QueryPendings, _signed(peer.administrator, query))
    return tuple(sorted(answer.block_numbers))


def snapshot_request(administrator: Administrator, channel_id: str, block_number: int) -> Any:
    """Return the `protos.SignedSnapshotRequest`."""
    request = snapshot_pb2.SnapshotRequest(
        signature_header=administrator.signature_header(), channel_id=channel_id, block_number=block_number
    )
    return _signed(administrator, request)


def _signed(administrator: Administrator, message: Any) -> Any:
    raw = write(message)
    return snapshot_pb2.SignedSnapshotRequest(request=raw, signature=administrator.signer.sign(raw))


async def _ask(peer: PeerClient, method: Any, request: Any) -> Any:
    try:
        return await method(request, timeout=peer.deadline_seconds)
    except grpc.aio.AioRpcError as error:
        raise ledger_error(f"{peer.name}: snapshots", failure_of(error), LedgerError) from error
