"""The server of a node: both services behind mutual TLS and limits.

Decides how the server is built and how long unfinished uploads are kept. Leaves the calls to `uploads` and
`downloads`, their admission to the node's role.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import grpc

from bfl_fabric.clock import SystemClock
from bfl_fabric.domain.ports import Admission, Clock, ReceivingStore
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.transport.callers import Callers
from bfl_fabric.transport.credentials import NodeCredentials
from bfl_fabric.transport.downloads import BlobTransferService
from bfl_fabric.transport.file_threads import FileThreads
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2_grpc
from bfl_fabric.transport.limits import ServerLimits, server_options
from bfl_fabric.transport.uploads import UpdateTransferService

_log = logging.getLogger(__name__)

_CLEAN_UP_SECONDS = 10


class TransferServer:
    """Serves UpdateTransfer and BlobTransfer of one node, in the event loop that `start` is awaited in.

    Args:
        blobs: Where uploads arrive and end, and what downloads come from.
        admission: What the node's role asks before bytes are taken or given.
        credentials: The node's TLS identity and the authorities that it trusts.
        limits: What is granted to callers.
        clock: Tells whether certificates are valid, and when to sweep.
    """

    def __init__(
        self,
        blobs: ReceivingStore,
        admission: Admission,
        credentials: NodeCredentials,
        limits: ServerLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._blobs = blobs
        self._admission = admission
        self._credentials = credentials
        self._limits = limits or ServerLimits()
        self._clock = clock or SystemClock()
        self._running: _Running | None = None

    async def start(self, address: str = "127.0.0.1:0") -> str:
        """Listen, and return the address with the port that was chosen. Raises ConfigurationError."""
        if self._running is not None:
            raise ConfigurationError("this server is running already")
        threads = FileThreads()
        server = grpc.aio.server(
            options=server_options(self._limits), maximum_concurrent_rpcs=self._limits.concurrent_calls
        )
        callers = Callers(self._credentials.authorities, self._limits, self._clock)
        self._add_services(server, callers, threads)
        try:
            port = server.add_secure_port(address, self._credentials.server_credentials())
            await server.start()
        except RuntimeError as error:
            threads.close()
            raise ConfigurationError(f"cannot listen at {address}: is the port taken?") from error
        self._running = _Running(server, callers, threads, asyncio.create_task(self._sweep(threads)))
        return f"{address.rpartition(':')[0]}:{port}"

    async def stop(self, grace_seconds: float = 0) -> None:
        """Refuse new calls, give running ones `grace_seconds`, then break them off; what arrived is kept."""
        if self._running is not None:
            running, self._running = self._running, None
            await running.stop(grace_seconds)

    def _add_services(self, server: Any, callers: Callers, threads: FileThreads) -> None:
        updates = UpdateTransferService(self._blobs, self._admission, callers, self._limits, threads)
        blobs = BlobTransferService(self._blobs, self._admission, callers, self._limits, threads)
        generated: Any = transfer_pb2_grpc
        generated.add_UpdateTransferServicer_to_server(updates, server)
        generated.add_BlobTransferServicer_to_server(blobs, server)

    async def _sweep(self, threads: FileThreads) -> None:
        """Drop unfinished uploads that nobody came back for, now and then until cancelled."""
        kept_ms = round(self._limits.stale_transfer_seconds * 1000)
        while True:
            before_ms = self._clock.now_ms() - kept_ms
            try:
                await threads.run(partial(self._blobs.incoming.collect, before_ms))
            except OSError:
                _log.exception("stale transfers could not be dropped; trying again later")
            await self._clock.sleep(self._limits.sweep_seconds)


class _Running:
    """What exists between start and stop."""

    def __init__(
        self, server: Any, callers: Callers, threads: FileThreads, sweeper: asyncio.Task[None]
    ) -> None:
        self._server = server
        self._callers = callers
        self._threads = threads
        self._sweeper = sweeper

    async def stop(self, grace_seconds: float) -> None:
        self._sweeper.cancel()
        await self._server.stop(grace_seconds or None)
        await self._callers.ended(_CLEAN_UP_SECONDS)
        await asyncio.gather(self._sweeper, return_exceptions=True)
        self._threads.close()
