"""The ordering service: handing transactions over and reading blocks, at whichever orderer is there.

Decides which orderer is asked next and what a broadcast's status means. An envelope may be handed over more than
once: a transaction is valid once at most, a configuration update fits one configuration only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any

import grpc.aio
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2_grpc

from bfl_fabric.errors import (
    CommitStatusError,
    ConfigurationError,
    LedgerError,
    LedgerUnavailable,
    SubmitError,
)
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.deliver import Seek, read_block, seek_envelope
from bfl_fabric.fabric.gateway_grpc import failure_of
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.servers import Administrator, Server

_LOG = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.1
_CONNECT_SECONDS = 3.0
_ELSEWHERE = frozenset(
    {common_pb2.SERVICE_UNAVAILABLE, common_pb2.NOT_FOUND, common_pb2.INTERNAL_SERVER_ERROR}
)
"""Statuses of one orderer that another one, or the same one a little later, need not give."""
_LASTING = frozenset({GatewayStatus.INVALID_ARGUMENT, GatewayStatus.PERMISSION_DENIED})


class OrdererClient:
    """Connections of one administrator to the orderers of a channel. Make and use it within one event loop."""

    def __init__(
        self, servers: Sequence[Server], administrator: Administrator, deadline_seconds: float = 30.0
    ) -> None:
        if not servers:
            raise ConfigurationError("no orderer is given; name at least one as host:port")
        self.administrator = administrator
        self.deadline_seconds = deadline_seconds
        self._addresses = [server.address for server in servers]
        self._channels = [server.connect() for server in servers]
        self._preferred = 0

    async def __aenter__(self) -> OrdererClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Release the connections; calls that are under way fail."""
        await asyncio.gather(*[channel.close() for channel in self._channels])

    async def broadcast(self, envelope: Any, transaction_id: str = "") -> None:
        """Return once an orderer has taken an envelope. Whether it gets into a block, and valid, is another matter.

        Raises SubmitError when it is refused for good, LedgerUnavailable when nobody took it, CommitStatusError when
        an orderer was lost before it answered and no other took it.
        """
        clock = self.administrator.clock
        deadline = clock.now_ms() + self.deadline_seconds * 1000
        problem: LedgerError | None = None
        lost = False
        while problem is None or clock.now_ms() < deadline:
            for index in self._order():
                problem = await self._hand_over(index, envelope, transaction_id)
                if problem is None:
                    self._preferred = index
                    return
                if isinstance(problem, SubmitError):
                    raise problem
                lost = lost or isinstance(problem, CommitStatusError)
            await clock.sleep(_PAUSE_SECONDS)
        kind = CommitStatusError if lost else LedgerUnavailable
        raise kind(f"no orderer has taken it: {problem}", transaction_id)

    async def blocks(self, channel_id: str, seek: Seek) -> AsyncIterator[tuple[int, bytes]]:
        """Yield number and canonical bytes of blocks, going on at another orderer where one breaks off.

        Raises LedgerError when it is not allowed, LedgerUnavailable when no orderer delivers for too long.
        """
        position, delivered = seek.start, False
        clock = self.administrator.clock
        deadline = clock.now_ms() + self.deadline_seconds * 1000
        while True:
            for index in self._order():
                try:
                    async for number, block in self._deliver(
                        index, channel_id, _rest(seek, position, delivered)
                    ):
                        position, delivered = number + 1, True
                        deadline = clock.now_ms() + self.deadline_seconds * 1000
                        yield number, block
                    return
                except GatewayFailure as failure:
                    if _exhausted(seek, position, delivered):
                        return
                    self._require_passing(index, channel_id, failure, clock.now_ms() < deadline)
            await clock.sleep(_PAUSE_SECONDS)

    async def config_block(self, channel_id: str) -> bytes:
        """Return the newest configuration block. Raises LedgerError, LedgerUnavailable."""
        number, newest = await self._single(channel_id, Seek(None, None, wait=False))
        last_config = parse_block(newest).signatures.last_config
        if last_config == number:
            return newest
        return (await self._single(channel_id, Seek(last_config, last_config)))[1]

    async def config(self, channel_id: str) -> ChannelConfig:
        """Return the newest configuration, as the orderer gives it: its blocks are not verified here."""
        return ChannelConfig.from_block(parse_block(await self.config_block(channel_id)))

    async def _single(self, channel_id: str, seek: Seek) -> tuple[int, bytes]:
        found = [item async for item in self.blocks(channel_id, seek)]
        if not found:
            raise LedgerError(f"the orderers delivered no block of channel {channel_id}")
        return found[-1]

    def _order(self) -> list[int]:
        """Return the orderers, beginning with the one that answered last."""
        count = len(self._channels)
        return [(self._preferred + step) % count for step in range(count)]

    async def _hand_over(self, index: int, envelope: Any, transaction_id: str) -> LedgerError | None:
        """Return None when the orderer took it, else what went wrong; a SubmitError is final."""
        who = f"orderer {self._addresses[index]}"
        if not await self._reachable(index):
            return LedgerUnavailable(f"{who} cannot be reached", transaction_id)
        call = ab_pb2_grpc.AtomicBroadcastStub(self._channels[index]).Broadcast()
        try:
            async with asyncio.timeout(self.deadline_seconds):
                await call.write(envelope)
                await call.done_writing()
                answer = await call.read()
                await call.read()
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            return CommitStatusError(f"{who} did not answer: {error}", transaction_id)
        finally:
            call.cancel()
        if answer is grpc.aio.EOF:
            return CommitStatusError(f"{who} ended the call without an answer", transaction_id)
        if answer.status == common_pb2.SUCCESS:
            return None
        text = f"{who} answered {common_pb2.Status.Name(answer.status)}: {answer.info}"
        _LOG.info("%s", text)
        return (LedgerUnavailable if answer.status in _ELSEWHERE else SubmitError)(text, transaction_id)

    async def _reachable(self, index: int) -> bool:
        try:
            await asyncio.wait_for(self._channels[index].channel_ready(), _CONNECT_SECONDS)
        except TimeoutError:
            return False
        return True

    async def _deliver(self, index: int, channel_id: str, seek: Seek) -> AsyncIterator[tuple[int, bytes]]:
        if not await self._reachable(index):
            raise GatewayFailure(GatewayStatus.UNAVAILABLE, "it cannot be reached")
        envelope = seek_envelope(channel_id, seek, self.administrator.signer, self.administrator.stamp())
        call = ab_pb2_grpc.AtomicBroadcastStub(self._channels[index]).Deliver()
        try:
            await call.write(envelope)
            await call.done_writing()
            async for response in call:
                block = read_block(response)
                if block is not None:
                    yield block
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from error
        finally:
            call.cancel()

    def _require_passing(self, index: int, channel_id: str, failure: GatewayFailure, in_time: bool) -> None:
        text = f"orderer {self._addresses[index]}: blocks of channel {channel_id}: {failure}"
        if failure.status in _LASTING:
            raise LedgerError(
                f"{text}; the administrator must be of an organization of the channel"
            ) from failure
        if not in_time:
            raise LedgerUnavailable(text) from failure
        _LOG.info("%s", text)


def _exhausted(seek: Seek, position: int | None, delivered: bool) -> bool:
    """Say whether everything that was sought has come, although the delivery did not end well."""
    return delivered and position is not None and seek.stop is not None and position > seek.stop


def _rest(seek: Seek, position: int | None, delivered: bool) -> Seek:
    return Seek(position, seek.stop, wait=seek.wait) if delivered else seek
