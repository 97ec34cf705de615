"""The embedded ledger for many callers at once: Fabric's Gateway and Deliver services in asyncio.

Decides how calls are spread over threads (contracts run in a few, committing in one, all that is quick in the event
loop), when blocks are cut, and who is told of a commit. Requests and answers, refusals included, are those of a Fabric
peer's gateway. `InProcessGateway` gives them to a client in the same process, `server` to clients over gRPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import proposal_response_pb2

from bfl_fabric.domain.ports import Clock
from bfl_fabric.embedded.commits import CommitBoard
from bfl_fabric.embedded.ledger import EmbeddedLedger
from bfl_fabric.embedded.streams import chaincode_events, delivery
from bfl_fabric.embedded.unserved import no_channel
from bfl_fabric.errors import BflError, MalformedInput
from bfl_fabric.fabric.channel import SignedData
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.wire import read

SIMULATION_THREADS = 4
EXECUTE_SECONDS = 30.0
"""A contract that takes longer is not waited for (Fabric's `chaincode.executetimeout`); its thread is lost."""

RETRY_SECONDS = 0.5
_LOG = logging.getLogger(__name__)
T = TypeVar("T")


class LedgerService:
    """An open ledger at work; between `start` and `stop`, in one event loop."""

    def __init__(self, ledger: EmbeddedLedger, clock: Clock) -> None:
        self.ledger = ledger
        self._clock = clock
        self._simulations = ThreadPoolExecutor(SIMULATION_THREADS, thread_name_prefix="ledger-simulate")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ledger-commit")
        self._board = CommitBoard(ledger)
        self._wake = asyncio.Event()
        self._cutting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to cut blocks."""
        self._cutting = asyncio.create_task(self._cut_blocks(), name="ledger-cut")

    def end_streams(self) -> None:
        """End all streams and waits; nothing new can be waited for."""
        self._board.close()

    async def stop(self) -> None:
        """End all streams and waits, stop cutting, close the ledger. What was not committed is gone."""
        self.end_streams()
        if self._cutting is not None:
            self._cutting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._cutting
        await asyncio.to_thread(self._writer.shutdown)
        self._simulations.shutdown(wait=False, cancel_futures=True)
        self.ledger.close()

    async def evaluate(self, request: Any) -> Any:
        """Take a `gateway.EvaluateRequest`, return a `gateway.EvaluateResponse`. Raises GatewayFailure."""
        signed = _signed_proposal(request, "an evaluate request is required")
        asked = self.ledger.ask(signed, request.target_organizations)
        response = self.ledger.find_answer(asked)
        if response is None:
            response = await self._simulated(lambda: self.ledger.answer(asked), "evaluate")
        message = proposal_response_pb2.Response(
            status=response.status, message=response.message, payload=response.payload
        )
        return gateway_pb2.EvaluateResponse(result=message)

    async def endorse(self, request: Any) -> Any:
        """Take a `gateway.EndorseRequest`, return a `gateway.EndorseResponse`. Raises GatewayFailure."""
        signed = _signed_proposal(request, "an endorse request is required")
        organizations = list(request.endorsing_organizations)
        envelope = await self._simulated(lambda: self.ledger.endorse(signed, organizations), "endorsement")
        return gateway_pb2.EndorseResponse(prepared_transaction=envelope)

    async def submit(self, request: Any) -> Any:
        """Take a `gateway.SubmitRequest`, return a `gateway.SubmitResponse`: it is ordered. Raises GatewayFailure."""
        if not request.HasField("prepared_transaction"):
            raise _invalid("a prepared transaction is required")
        if not request.prepared_transaction.signature:
            raise _invalid("prepared transaction must be signed")
        if request.channel_id not in ("", self.ledger.config.channel_id):
            raise GatewayFailure(GatewayStatus.FAILED_PRECONDITION, no_channel(request.channel_id))
        self.ledger.order(request.prepared_transaction)
        self._wake.set()
        return gateway_pb2.SubmitResponse()

    async def commit_status(self, signed: Any) -> Any:
        """Take a `gateway.SignedCommitStatusRequest`, return a `gateway.CommitStatusResponse` once it is committed.

        Raises GatewayFailure.
        """
        if not signed.request:
            raise _invalid("a commit status request is required")
        request = _read(gateway_pb2.CommitStatusRequest, signed.request, "invalid status request")
        for value, problem in (
            (request.identity, "no identity provided"),
            (request.channel_id, "no channel ID provided"),
            (request.transaction_id, "transaction ID should not be empty"),
        ):
            if not value:
                raise _invalid(problem)
        claim = SignedData(request.identity, signed.request, signed.signature)
        self.ledger.access.require_reader(request.channel_id, claim)
        place = await self._board.committed(request.transaction_id)
        return gateway_pb2.CommitStatusResponse(result=place.code, block_number=place.block)

    async def chaincode_events(self, signed: Any) -> AsyncIterator[Any]:
        """Take a `gateway.SignedChaincodeEventsRequest`, yield a `gateway.ChaincodeEventsResponse` per block.

        Raises GatewayFailure.
        """
        if not signed.request:
            raise _invalid("a chaincode events request is required")
        request = _read(
            gateway_pb2.ChaincodeEventsRequest, signed.request, "invalid chaincode events request"
        )
        claim = SignedData(request.identity, signed.request, signed.signature)
        self.ledger.access.require_reader(request.channel_id, claim)
        async for response in chaincode_events(self.ledger, self._board, request):
            yield response

    async def deliver(self, envelope: Any, *, filtered: bool = False) -> AsyncIterator[Any]:
        """Take a signed seek envelope, yield `protos.DeliverResponse`s, the last of them a status."""
        async for response in delivery(self.ledger, self._board, envelope, filtered=filtered):
            yield response

    # --- details --------------------------------------------------------------------------------

    async def _simulated(self, simulate: Callable[[], T], what: str) -> T:
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._simulations, simulate)
        try:
            async with asyncio.timeout(EXECUTE_SECONDS):
                return await call
        except TimeoutError as error:
            message = f"{what} timeout expired"
            raise GatewayFailure(GatewayStatus.DEADLINE_EXCEEDED, message) from error

    async def _cut_blocks(self) -> None:
        while True:
            due = self.ledger.cut_due_at_ms()
            delay = None if due is None else (due - self._clock.now_ms()) / 1000
            if delay is None or delay > 0:
                await self._pause(delay)
                continue
            await self._cut()

    async def _cut(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._writer, self.ledger.cut)
        except BflError as error:
            _LOG.error("a block could not be stored, trying again: %s", error)
            await self._clock.sleep(RETRY_SECONDS)
        self._board.announce()

    async def _pause(self, seconds: float | None) -> None:
        """Wait for the next transaction, at most this long."""
        self._wake.clear()
        waits = [asyncio.create_task(self._woken())]
        if seconds is not None:
            waits.append(asyncio.create_task(self._slept(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _woken(self) -> None:
        await self._wake.wait()

    async def _slept(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class InProcessGateway:
    """`GatewayTransport` without a wire, for a client in the ledger's own process."""

    def __init__(self, service: LedgerService) -> None:
        self._service = service

    async def evaluate(self, request: Any, deadline_seconds: float) -> Any:
        return await _within(self._service.evaluate(request), deadline_seconds)

    async def endorse(self, request: Any, deadline_seconds: float) -> Any:
        return await _within(self._service.endorse(request), deadline_seconds)

    async def submit(self, request: Any, deadline_seconds: float) -> Any:
        return await _within(self._service.submit(request), deadline_seconds)

    async def commit_status(self, request: Any, deadline_seconds: float) -> Any:
        return await _within(self._service.commit_status(request), deadline_seconds)

    def chaincode_events(self, request: Any) -> AsyncIterator[Any]:
        return self._service.chaincode_events(request)

    def deliver(self, envelope: Any) -> AsyncIterator[Any]:
        return self._service.deliver(envelope)

    async def close(self) -> None:
        """Do nothing: the service belongs to whoever started it."""


async def _within(call: Any, deadline_seconds: float) -> Any:
    try:
        return await asyncio.wait_for(call, deadline_seconds)
    except TimeoutError as error:
        raise GatewayFailure(GatewayStatus.DEADLINE_EXCEEDED, "Deadline Exceeded") from error


def _signed_proposal(request: Any, missing: str) -> Any:
    signed = request.proposed_transaction
    if not request.HasField("proposed_transaction") or not signed.proposal_bytes:
        raise _invalid(missing)
    return signed


def _read(kind: Any, raw: bytes, problem: str) -> Any:
    try:
        return read(kind, raw, "request")
    except MalformedInput as error:
        raise _invalid(f"{problem}: {error}") from error


def _invalid(message: str) -> GatewayFailure:
    return GatewayFailure(GatewayStatus.INVALID_ARGUMENT, message)
