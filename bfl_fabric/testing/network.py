"""Transfers between nodes of one process, with the checks of the real server and faults on the way.

An upload is asked for (`expect`), received whole, accepted, then adopted into the receiver's store; a download is
asked for (`may_read`), then held against its digest by the receiver. A server that dies is a broken connection.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bfl_fabric.domain.ports import Admission, BlobStore, TransferCaller, UpdateName
from bfl_fabric.errors import BflError, MalformedInput, NotFound, TransferFailed
from bfl_fabric.roles.workbench import file_digest
from bfl_fabric.testing.clock import ManualClock
from bfl_fabric.testing.faults import Crashed, Fault, FaultPlan

SMALL_BYTES = 2**20
"""What is larger is left out where several blobs are asked for together."""


@dataclass(frozen=True, slots=True)
class Server:
    """A node that listens, and the organization that its certificate proves."""

    msp_id: str
    admission: Admission
    blobs: BlobStore


@dataclass(frozen=True, slots=True)
class Delivery:
    """An upload that went over the network, for whoever wants to send it again."""

    name: UpdateName
    digest: str
    data: bytes


class FakeNetwork:
    """Addresses and who listens there. `died` collects servers that crashed while they handled a call,
    `deliveries` all uploads that reached a server."""

    def __init__(self, clock: ManualClock, folder: Path) -> None:
        self.clock = clock
        self.died: list[str] = []
        self.deliveries: list[Delivery] = []
        self._folder = folder
        self._servers: dict[str, Server] = {}
        self._counter = itertools.count()

    def listen(self, address: str, server: Server) -> None:
        self._servers[address] = server

    def hang_up(self, address: str) -> None:
        self._servers.pop(address, None)

    def server(self, address: str) -> Server:
        """Return who listens there. Raises TransferFailed when nobody does."""
        if address not in self._servers:
            raise TransferFailed(f"nobody listens at {address}")
        return self._servers[address]

    def incoming(self, data: bytes) -> Path:
        """Return a new file with what arrived."""
        path = self._folder / f"incoming-{next(self._counter)}"
        path.write_bytes(data)
        return path


class FakeChannel:
    """The port UpdateChannel of one caller."""

    def __init__(self, network: FakeNetwork, caller: TransferCaller, faults: FaultPlan) -> None:
        self._network = network
        self._caller = caller
        self._faults = faults
        self._expected: dict[str, str] = {}

    def expect(self, address: str, msp_id: str) -> None:
        self._expected[address] = msp_id

    async def reaches(self, address: str) -> bool:
        try:
            self._reach(address, self._faults.take())
        except TransferFailed:
            return False
        return True

    async def upload(self, address: str, name: UpdateName, digest: str, path: Path) -> None:
        fault = self._faults.take()
        server, data = self._reach(address, fault), _bytes_of(path)
        try:
            await self._deliver(server, name, digest, _changed(data, fault))
            if fault is Fault.DUPLICATED:
                await self._deliver(server, name, digest, data)
        except Crashed as crash:
            self._network.died.append(crash.actor)
            raise TransferFailed(f"{address} broke off") from crash
        except (MalformedInput, NotFound):
            if fault is Fault.CORRUPTED:
                raise TransferFailed("a chunk arrived broken") from None
            raise
        except BflError as error:
            raise TransferFailed(f"{address} cannot take it now: {error}") from error
        if fault is Fault.RESPONSE_LOST:
            raise TransferFailed(f"{address} did not answer")
        if fault is Fault.SLOW:
            self._network.clock.move(self._faults.slow_seconds)

    async def download(self, address: str, digest: str, size_bytes: int, into: BlobStore) -> None:
        fault = self._faults.take()
        server = self._reach(address, fault)
        try:
            allowed = await server.admission.may_read(self._caller, digest)
            data = server.blobs.read(digest) if allowed and server.blobs.has(digest) else None
        except Crashed as crash:
            self._network.died.append(crash.actor)
            raise TransferFailed(f"{address} broke off") from crash
        if data is None:
            raise NotFound(f"{address} has no blob {digest} for {self._caller.common_name}")
        if fault is Fault.RESPONSE_LOST:
            raise TransferFailed(f"{address} broke off in the middle")
        self._receive(_changed(data, fault), digest, size_bytes, into)

    async def download_together(self, address: str, sizes: Mapping[str, int], into: BlobStore) -> None:
        for digest, size_bytes in sizes.items():
            if size_bytes <= SMALL_BYTES:
                await self.download(address, digest, size_bytes, into)

    def _reach(self, address: str, fault: Fault | None) -> Server:
        if fault is Fault.REQUEST_LOST:
            raise TransferFailed(f"{address} was not reached")
        if fault is Fault.SLOW:
            self._network.clock.move(self._faults.slow_seconds)
        server = self._network.server(address)
        if self._expected.get(address, server.msp_id) != server.msp_id:
            raise TransferFailed(f"{address} is no node of {self._expected[address]}")
        return server

    async def _deliver(self, server: Server, name: UpdateName, digest: str, data: bytes) -> None:
        self._network.deliveries.append(Delivery(name, digest, data))
        size_bytes = await server.admission.expect(self._caller, name, digest)
        if len(data) != size_bytes:
            raise MalformedInput(f"{len(data)} bytes arrived, {size_bytes} were announced")
        path = self._network.incoming(data)
        try:
            await server.admission.accept(name, digest, path)
            server.blobs.adopt(path)
        finally:
            path.unlink(missing_ok=True)

    def _receive(self, data: bytes, digest: str, size_bytes: int, into: BlobStore) -> None:
        path = self._network.incoming(data)
        try:
            if len(data) != size_bytes or file_digest(path) != digest:
                raise MalformedInput(f"what arrived is not the blob {digest} of {size_bytes} bytes")
            into.adopt(path)
        finally:
            path.unlink(missing_ok=True)


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def _changed(data: bytes, fault: Fault | None) -> bytes:
    if fault is not Fault.CORRUPTED or not data:
        return data
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 0x10
    return bytes(changed)
