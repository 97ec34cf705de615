"""A node that is no node of ours: it sends whatever a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb
from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2_grpc
from tests.unit.transport.transfer_site import MIB, Site


class LyingService:
    """A BlobTransfer that sends whatever a test wants."""

    def __init__(
        self, chunks: list[pb.DownloadChunk], pause_seconds: float = 0, wholes: Sequence[bytes] = ()
    ) -> None:
        self.chunks = chunks
        self.wholes = wholes
        self.pause_seconds = pause_seconds
        self.calls = 0

    async def Download(self, request: pb.DownloadRequest, context: Any) -> AsyncIterator[pb.DownloadChunk]:
        self.calls += 1
        for chunk in self.chunks:
            yield chunk
        await asyncio.sleep(self.pause_seconds)

    async def DownloadTogether(
        self, request: pb.DownloadTogetherRequest, context: Any
    ) -> AsyncIterator[pb.WholeBlob]:
        self.calls += 1
        for data in self.wholes:
            yield pb.WholeBlob(data=data)
        await asyncio.sleep(self.pause_seconds)


@asynccontextmanager
async def lying(site: Site, service: LyingService) -> AsyncIterator[str]:
    generated: Any = transfer_pb2_grpc
    server = grpc.aio.server(options=[("grpc.max_send_message_length", 64 * MIB)], maximum_concurrent_rpcs=8)
    generated.add_BlobTransferServicer_to_server(service, server)
    port = server.add_secure_port("127.0.0.1:0", site.node.server_credentials())
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
