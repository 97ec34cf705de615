"""Channels of a peer: what it is asked and what its answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fabric_protos.common import ledger_pb2
from fabric_protos.peer import query_pb2

from bfl_fabric.errors import EvaluateError, LedgerUnavailable, MalformedInput
from bfl_fabric.fabric.envelopes import Response
from bfl_fabric.fabric.peer_channels import (
    channel_info,
    config_block,
    join_by_snapshot,
    join_channel,
    joined_channels,
)
from bfl_fabric.fabric.peer_client import PeerClient
from bfl_fabric.fabric.proposal import Proposal
from bfl_fabric.fabric.servers import Administrator
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.fake_servers import Clock, FakePeer, Ordered, serving
from tests.unit.fabric.organizations import CHANNEL, federation

GENESIS = write(federation().genesis())


class Cscc:
    """The system chaincode for channels: has `channels`, and joins a snapshot at the given question, if ever."""

    def __init__(self, *channels: str, joins_at: int | None = None, refuses: str = "") -> None:
        self.channels, self.refuses = list(channels), refuses
        self.calls: list[tuple[bytes, ...]] = []
        self._progress: Iterator[bool] = (
            iter([True] * joins_at + [False]) if joins_at is not None else iter([])
        )
        self._joins = joins_at is not None

    def __call__(self, proposal: Proposal) -> Response:
        assert proposal.invocation.channel_id in ("", CHANNEL)
        self.calls.append(proposal.invocation.arguments)
        return getattr(self, proposal.invocation.arguments[0].decode())(*proposal.invocation.arguments[1:])

    def GetChannels(self) -> Response:
        answer = query_pb2.ChannelQueryResponse()
        for name in self.channels:
            answer.channels.add(channel_id=name)
        return Response(200, "", write(answer))

    def JoinChain(self, block: bytes) -> Response:
        self.channels.append(CHANNEL)
        return Response(200, "", b"")

    def JoinChainBySnapshot(self, directory: bytes) -> Response:
        return Response(500 if self.refuses else 200, self.refuses, b"")

    def JoinBySnapshotStatus(self) -> Response:
        busy = next(self._progress, False)
        if not busy and self._joins:
            self.channels.append(CHANNEL)
        return Response(200, "", write(query_pb2.JoinBySnapshotStatus(in_progress=busy)))

    def GetConfigBlock(self, channel: bytes) -> Response:
        return Response(200, "", GENESIS)


def with_peer(chaincode: Any, scenario: Any) -> Any:
    async def whole() -> Any:
        parties = federation()
        peer = FakePeer(parties, parties.organizations[0].peer, Ordered(), chaincode)
        async with serving(parties.orderer, peer) as (place,):
            administrator = Administrator(parties.organizations[0].admin, Clock())
            async with PeerClient(place, administrator, 2.0) as client:
                return await scenario(client)

    return asyncio.run(whole())


def test_a_channel_is_joined_once_with_its_first_block() -> None:
    cscc = Cscc("other")

    async def scenario(peer: PeerClient) -> tuple[str, ...]:
        await join_channel(peer, GENESIS)
        await join_channel(peer, GENESIS)
        return await joined_channels(peer)

    assert with_peer(cscc, scenario) == ("other", CHANNEL)
    assert [call for call in cscc.calls if call[0] == b"JoinChain"] == [(b"JoinChain", GENESIS)]


def test_what_is_no_configuration_block_is_not_sent() -> None:
    cscc = Cscc()
    with pytest.raises(MalformedInput):
        with_peer(cscc, lambda peer: join_channel(peer, b"not a block"))
    assert not cscc.calls


def test_joining_from_a_snapshot_is_awaited() -> None:
    cscc = Cscc("other", joins_at=3)
    with_peer(cscc, lambda peer: join_by_snapshot(peer, "/snapshots/7"))
    assert CHANNEL in cscc.channels
    assert (b"JoinChainBySnapshot", b"/snapshots/7") in cscc.calls


def test_a_snapshot_that_is_refused_or_fails_says_so() -> None:
    with pytest.raises(EvaluateError, match="ledger already exists"):
        with_peer(Cscc(refuses="ledger already exists"), lambda peer: join_by_snapshot(peer, "/snapshots/7"))
    with pytest.raises(LedgerUnavailable, match="its log says why"):
        with_peer(Cscc(), lambda peer: join_by_snapshot(peer, "/snapshots/7"))


def test_a_snapshot_that_takes_too_long_is_left_to_the_peer() -> None:
    cscc = Cscc(joins_at=1_000_000)
    with pytest.raises(LedgerUnavailable, match="still reading"):
        with_peer(cscc, lambda peer: join_by_snapshot(peer, "/snapshots/7", wait_seconds=0.5))


def test_height_hashes_and_the_newest_configuration_are_read() -> None:
    async def scenario(peer: PeerClient) -> None:
        info = await channel_info(peer, CHANNEL)
        assert (info.height, info.snapshot_block) == (3, None)
        assert await config_block(peer, CHANNEL) == GENESIS

    with_peer(Cscc(), scenario)


def test_a_ledger_that_began_with_a_snapshot_names_its_last_block(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ledger_pb2.BlockchainInfo(height=9, currentBlockHash=b"\xab", previousBlockHash=b"\xcd")
    answer.bootstrappingSnapshotInfo.lastBlockInSnapshot = 0

    async def query(*_: Any) -> bytes:
        return write(answer)

    async def scenario(peer: PeerClient) -> None:
        monkeypatch.setattr(peer, "query", query)
        info = await channel_info(peer, CHANNEL)
        assert (info.current_hash, info.previous_hash, info.snapshot_block) == ("ab", "cd", 0)

    with_peer(Cscc(), scenario)
