"""The service under a clock that tests move: cutting, waiting, full disks, contracts that never end."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.gateway import gateway_pb2

from bfl_fabric.embedded import service as service_module
from bfl_fabric.embedded.blockfile import Disk
from bfl_fabric.embedded.ledger import EmbeddedLedger, Network
from bfl_fabric.embedded.service import InProcessGateway, LedgerService
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.wire import write
from bfl_fabric.testing.clock import ManualClock
from tests.conformance.federation import CHANNEL
from tests.conformance.probe_contract import ProbeContract
from tests.unit.embedded.workbench import START_MS, Bench, federation


class Running:
    """A service at work, and a client of it."""

    def __init__(self, directory: Path, disk: Disk | None, contract: Any) -> None:
        self.clock = ManualClock(START_MS)
        made = federation()
        ledger = EmbeddedLedger(directory, Network(made.peers, made.orderer, contract, self.clock), disk)
        self.bench = Bench(ledger, self.clock)  # type: ignore[arg-type]
        self.service = LedgerService(ledger, self.clock)
        self.gateway = InProcessGateway(self.service)

    async def submit(self, *call: str) -> str:
        transaction, envelope = self.bench.endorse(*call)
        await self.gateway.submit(gateway_pb2.SubmitRequest(prepared_transaction=envelope), 5)
        return transaction

    async def status(self, transaction: str, seconds: float = 5) -> Any:
        client = self.bench.client
        raw = write(
            gateway_pb2.CommitStatusRequest(
                transaction_id=transaction, channel_id=CHANNEL, identity=client.creator
            )
        )
        signed = gateway_pb2.SignedCommitStatusRequest(request=raw, signature=client.sign(raw))
        return await self.gateway.commit_status(signed, seconds)


@asynccontextmanager
async def running(
    directory: Path, disk: Disk | None = None, contract: Any = ProbeContract
) -> AsyncIterator[Running]:
    made = Running(directory, disk, contract)
    await made.service.start()
    try:
        yield made
    finally:
        await made.service.stop()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


def test_a_block_is_cut_when_its_time_is_over(directory: Path) -> None:
    async def work() -> None:
        async with running(directory) as made:
            transaction = await made.submit("put", "key", "x")
            waiting = asyncio.create_task(made.status(transaction))
            await made.clock.advance(0.099)
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await made.clock.advance(0.001)
            assert (await waiting).block_number == 2

    run(work())


def test_a_full_block_does_not_wait_for_its_time(directory: Path) -> None:
    async def work() -> None:
        async with running(directory) as made:
            transactions = [await made.submit("put", f"key {number}", "x") for number in range(10)]
            assert {(await made.status(item)).block_number for item in transactions} == {2}

    run(work())


def test_a_status_that_nobody_waits_for_any_more_is_forgotten(directory: Path) -> None:
    async def work() -> None:
        async with running(directory) as made:
            with pytest.raises(GatewayFailure):
                await made.status("ab" * 32, seconds=0.1)
            assert not made.service._board._transactions

    run(work())


class FullDisk(Disk):
    """A disk without room until `has_room` is set."""

    def __init__(self) -> None:
        self.has_room = True

    def write(self, descriptor: int, data: memoryview) -> int:
        if not self.has_room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, data)


def test_a_full_disk_stops_ordering_and_loses_nothing(directory: Path) -> None:
    async def work() -> None:
        disk = FullDisk()
        async with running(directory, disk) as made:
            disk.has_room = False
            transaction = await made.submit("put", "key", "x")
            waiting = asyncio.create_task(made.status(transaction))
            while not made.bench.ledger.storage_problem:
                await made.clock.advance(0.1)
                await asyncio.sleep(0.02)
            with pytest.raises(GatewayFailure) as caught:
                await made.submit("put", "other", "x")
            assert caught.value.status is GatewayStatus.UNAVAILABLE
            assert "no room" in caught.value.details[0].message
            disk.has_room = True
            while not waiting.done():
                await made.clock.advance(0.5)
                await asyncio.sleep(0.02)
            assert (await waiting).result == 0
            await made.submit("put", "other", "x")

    run(work())


class Stuck(ProbeContract):
    """A contract with a function that does not end by itself."""

    free = threading.Event()

    async def do_hang(self, stub: Any) -> None:
        self.free.wait(10)


def test_a_contract_that_never_ends_is_not_waited_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "EXECUTE_SECONDS", 0.2)

    async def work() -> None:
        async with running(directory, contract=Stuck) as made:
            _, hanging = made.bench.signed("hang")
            with pytest.raises(GatewayFailure) as caught:
                await made.gateway.evaluate(gateway_pb2.EvaluateRequest(proposed_transaction=hanging), 5)
            assert caught.value.status is GatewayStatus.DEADLINE_EXCEEDED
            _, reading = made.bench.signed("get", "key")
            await made.gateway.evaluate(gateway_pb2.EvaluateRequest(proposed_transaction=reading), 5)
            Stuck.free.set()

    run(work())


class Slow(ProbeContract):
    """A contract whose answers take a moment, and which counts how often it was asked."""

    runs = 0

    async def do_get(self, stub: Any, key: str) -> bytes:
        Slow.runs += 1
        threading.Event().wait(0.05)
        return await super().do_get(stub, key)


def test_of_many_who_ask_the_same_at_once_the_later_get_what_the_first_got(directory: Path) -> None:
    async def work() -> None:
        async with running(directory, contract=Slow) as made:
            requests = [
                gateway_pb2.EvaluateRequest(proposed_transaction=made.bench.signed("get", "key")[1])
                for _ in range(50)
            ]
            await asyncio.gather(*(made.gateway.evaluate(request, 10) for request in requests))
            assert Slow.runs <= service_module.SIMULATION_THREADS

    run(work())


def test_stopping_ends_every_wait_and_every_stream(directory: Path) -> None:
    async def work() -> None:
        async with running(directory) as made:
            status = asyncio.create_task(made.status("ab" * 32))
            request = gateway_pb2.ChaincodeEventsRequest(
                channel_id=CHANNEL, chaincode_id="probe", identity=made.bench.client.creator
            )
            raw = write(request)
            signed = gateway_pb2.SignedChaincodeEventsRequest(
                request=raw, signature=made.bench.client.sign(raw)
            )
            stream = asyncio.create_task(anext(aiter(made.gateway.chaincode_events(signed))))
            await asyncio.sleep(0.05)
            made.service.end_streams()
            for waiting in (status, stream):
                with pytest.raises(GatewayFailure, match="shutting down"):
                    await waiting

    run(work())


def test_a_stopped_service_gives_its_directory_back(directory: Path) -> None:
    async def work() -> None:
        for _ in range(2):
            async with running(directory) as made:
                assert made.bench.ledger.height == 2

    run(work())
