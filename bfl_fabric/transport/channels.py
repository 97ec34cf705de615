"""The connections of a client: one per address, renewed when the trust changes.

Decides which authorities a server must be vouched for by, and how many calls one address gets at a time. Leaves
the calls to the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from bfl_fabric.errors import TransferFailed
from bfl_fabric.transport.credentials import NodeCredentials
from bfl_fabric.transport.limits import ClientLimits, channel_options


@dataclass(frozen=True, slots=True)
class _Connection:
    channel: Any
    trust: tuple[int, str | None]

    def is_broken(self) -> bool:
        """Say whether gRPC waits before it connects again; the waits are ours, so a new channel is made then."""
        state: object = self.channel.get_state()
        return state is grpc.ChannelConnectivity.TRANSIENT_FAILURE


class Channels:
    """A cache of channels; they belong to the event loop in which they were made."""

    def __init__(self, credentials: NodeCredentials, limits: ClientLimits) -> None:
        self._credentials = credentials
        self._limits = limits
        self._organizations: dict[str, str] = {}
        self._connections: dict[str, _Connection] = {}
        self._places: dict[str, asyncio.Semaphore] = {}
        self._closed = False

    def expect(self, address: str, msp_id: str) -> None:
        """From now on accept at `address` only a server that this organization's TLS authority vouches for."""
        self._organizations[address] = msp_id

    @asynccontextmanager
    async def to(self, address: str) -> AsyncIterator[Any]:
        """Give the block a channel and one of the places for calls to this address."""
        places = self._places.setdefault(address, asyncio.Semaphore(self._limits.calls_per_node))
        async with places:
            yield await self._channel(address)

    async def reaches(self, address: str) -> bool:
        """Say whether there is a connection to this address, or can be one within `connect_seconds`."""
        channel = await self._channel(address)
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        return False
                    await channel.wait_for_state_change(state)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Close every connection for good; calls under way are broken off."""
        self._closed = True
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            await connection.channel.close()

    async def _channel(self, address: str) -> Any:
        if self._closed:
            raise TransferFailed("this client is closed")
        msp_id = self._organizations.get(address)
        trust = (self._credentials.authorities.generation, msp_id)
        known = self._connections.get(address)
        if known is not None and known.trust == trust and not known.is_broken():
            return known.channel
        credentials = self._credentials.channel_credentials(msp_id)
        channel = grpc.aio.secure_channel(address, credentials, options=channel_options(self._limits))
        self._connections[address] = _Connection(channel, trust)
        if known is not None:
            await known.channel.close()
        return channel
