"""A peer's gateway in memory, with the refusals of the real one and faults on the way.

It checks what a real gateway and its peers check (signatures, transaction ids, that the envelope is the endorsed one)
and keeps blocks. `faults` says, per call, what goes wrong: the queue is worked off in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import events_pb2, proposal_response_pb2

from bfl_fabric.fabric.blocks import build_block, build_header
from bfl_fabric.fabric.deliver import check_seek
from bfl_fabric.fabric.endorsement import Simulation, assemble, endorse, event_message, response_payload
from bfl_fabric.fabric.envelopes import ChaincodeEvent, Response, ValidationCode, parse_payload
from bfl_fabric.fabric.gateway_transport import GatewayDetail, GatewayFailure, GatewayStatus
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.fabric.proposal import Proposal, check_proposal
from tests.unit.fabric.organizations import CHAINCODE, federation


class Fault(Enum):
    """What goes wrong with a call; a late refusal comes after the work is done."""

    NONE = auto()
    REQUEST_LOST = auto()
    RESPONSE_LOST = auto()
    REFUSED = auto()
    REFUSED_LATE = auto()


@dataclass
class Entry:
    """A committed transaction."""

    transaction_id: str
    code: ValidationCode
    event: ChaincodeEvent | None


@dataclass
class GatewayPeer:
    """Implements GatewayTransport. `contract` answers (function, request); `codes` are dealt out at commit."""

    contract: Callable[[str, bytes], str]
    now: Callable[[], int]
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    codes: list[ValidationCode] = field(default_factory=list)
    blocks: list[list[Entry]] = field(default_factory=lambda: [[]])
    calls: list[str] = field(default_factory=list)
    swap_proposal: Proposal | None = None
    disagreements: int = 0
    closed: bool = False
    called: asyncio.Event = field(default_factory=asyncio.Event)
    stream_length: int = 10**9
    _endorsed: dict[str, Any] = field(default_factory=dict)
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def committed(self) -> list[Entry]:
        return [entry for block in self.blocks for entry in block]

    async def evaluate(self, request: Any, deadline_seconds: float) -> Any:
        self._meet("evaluate")
        proposal, _ = check_proposal(request.proposed_transaction, federation().config(), self.now())
        payload = self._run(proposal, "evaluate call to endorser returned error: chaincode response 500, ")
        self._answer("evaluate")
        result = proposal_response_pb2.Response(status=200, payload=payload)
        return gateway_pb2.EvaluateResponse(result=result)

    async def endorse(self, request: Any, deadline_seconds: float) -> Any:
        self._meet("endorse")
        proposal, _ = check_proposal(request.proposed_transaction, federation().config(), self.now())
        assert request.transaction_id == proposal.transaction_id
        if self.disagreements:
            self.disagreements -= 1
            detail = GatewayDetail("peer", "BetaMSP", "ProposalResponsePayloads do not match")
            raise GatewayFailure(GatewayStatus.ABORTED, "failed to collect enough endorsements", (detail,))
        payload = self._run(proposal, "")
        proposal = self.swap_proposal or proposal
        simulation = Simulation(CHAINCODE, "1.0", b"", Response(200, "", payload))
        answer = response_payload(proposal, simulation)
        peers = [item.peer for item in federation().organizations]
        envelope = assemble(proposal, answer, [endorse(answer, peer) for peer in peers])
        event = ChaincodeEvent(CHAINCODE, proposal.transaction_id, _function(proposal), _event(proposal))
        self._endorsed[proposal.transaction_id] = (envelope.payload, event)
        self._answer("endorse")
        return gateway_pb2.EndorseResponse(prepared_transaction=envelope)

    async def submit(self, request: Any, deadline_seconds: float) -> Any:
        self._meet("submit")
        envelope = request.prepared_transaction
        transaction = parse_payload(envelope.payload, envelope.signature)
        payload, event = self._endorsed[request.transaction_id]
        assert envelope.payload == payload, "the client must hand over what was prepared"
        Identity.parse(transaction.creator).verify(envelope.payload, envelope.signature)
        self._commit(transaction.transaction_id, event)
        self._answer("submit")
        return gateway_pb2.SubmitResponse()

    async def commit_status(self, request: Any, deadline_seconds: float) -> Any:
        self._meet("commit_status")
        asked = gateway_pb2.CommitStatusRequest.FromString(request.request)
        Identity.parse(asked.identity).verify(request.request, request.signature)
        self._answer("commit_status")
        for number, block in enumerate(self.blocks):
            for entry in block:
                if entry.transaction_id == asked.transaction_id:
                    return gateway_pb2.CommitStatusResponse(result=int(entry.code), block_number=number)
        raise GatewayFailure(GatewayStatus.DEADLINE_EXCEEDED, f"nothing within {deadline_seconds} s")

    async def chaincode_events(self, request: Any) -> AsyncIterator[Any]:
        self._meet("chaincode_events")
        asked = gateway_pb2.ChaincodeEventsRequest.FromString(request.request)
        Identity.parse(asked.identity).verify(request.request, request.signature)
        specified = asked.start_position.WhichOneof("Type") == "specified"
        number = asked.start_position.specified.number if specified else len(self.blocks)
        passed = not asked.after_transaction_id
        sent = 0
        while sent < self.stream_length:
            while number >= len(self.blocks):
                self._grown.clear()
                await self._grown.wait()
            events = []
            for entry in self.blocks[number]:
                if passed and entry.event is not None and entry.code is ValidationCode.VALID:
                    events.append(event_message(entry.event))
                passed = passed or entry.transaction_id == asked.after_transaction_id
            if events:
                yield gateway_pb2.ChaincodeEventsResponse(events=events, block_number=number)
                sent += 1
            number += 1
        self._break("chaincode_events")

    async def deliver(self, envelope: Any) -> AsyncIterator[Any]:
        self._meet("deliver")
        seek, _ = check_seek(envelope, federation().config(), self.now())
        number = len(self.blocks) - 1 if seek.start is None else seek.start
        stop = len(self.blocks) - 1 if seek.stop is None and not seek.wait else seek.stop
        for _ in range(self.stream_length):
            if stop is not None and number > stop:
                yield events_pb2.DeliverResponse(status=common_pb2.SUCCESS)
                return
            while number >= len(self.blocks):
                self._grown.clear()
                await self._grown.wait()
            header = build_header(number, bytes(32), [b"entry"])
            yield events_pb2.DeliverResponse(block=build_block(header, [b"entry"]))
            number += 1
        self._break("deliver")

    async def close(self) -> None:
        self.closed = True

    # --- inside ---------------------------------------------------------------------------------

    def add_block(self, *events: str) -> None:
        """Commit a block with one transaction per event name."""
        entries = []
        for name in events:
            identifier = f"{len(self.blocks)}-{len(entries)}"
            event = ChaincodeEvent(CHAINCODE, identifier, name, _contract_event(name))
            entries.append(Entry(identifier, ValidationCode.VALID, event))
        self.blocks.append(entries)
        self._grown.set()

    def _commit(self, transaction_id: str, event: ChaincodeEvent) -> None:
        if any(entry.transaction_id == transaction_id for entry in self.committed):
            code = ValidationCode.DUPLICATE_TXID
        else:
            code = self.codes.pop(0) if self.codes else ValidationCode.VALID
        self.blocks.append([Entry(transaction_id, code, event)])
        self._grown.set()

    def _run(self, proposal: Proposal, prefix: str) -> bytes:
        function, request = proposal.invocation.arguments
        try:
            return self.contract(function.decode(), request).encode()
        except RuntimeError as error:
            detail = GatewayDetail("127.0.0.1:7051", "AlphaMSP", f"chaincode response 500, {error}")
            if prefix:
                raise GatewayFailure(GatewayStatus.UNKNOWN, f"{prefix}{error}", (detail,)) from error
            message = "failed to endorse transaction, see attached details for more info"
            raise GatewayFailure(GatewayStatus.ABORTED, message, (detail,)) from error

    def _meet(self, call: str) -> None:
        self.calls.append(call)
        self.called.set()
        queue = self.faults.get(call, [])
        if queue and queue[0] is Fault.REQUEST_LOST:
            queue.pop(0)
            raise GatewayFailure(GatewayStatus.UNAVAILABLE, "connection refused")
        if queue and queue[0] is Fault.REFUSED:
            queue.pop(0)
            raise GatewayFailure(
                GatewayStatus.ABORTED, "received unsuccessful response from orderer: BAD_REQUEST"
            )

    def _answer(self, call: str) -> None:
        queue = self.faults.get(call, [])
        fault = queue.pop(0) if queue else Fault.NONE
        if fault is Fault.RESPONSE_LOST:
            raise GatewayFailure(GatewayStatus.DEADLINE_EXCEEDED, "no answer in time")
        if fault is Fault.REFUSED_LATE:
            raise GatewayFailure(GatewayStatus.ABORTED, "the second orderer said BAD_REQUEST")

    def _break(self, call: str) -> None:
        raise GatewayFailure(GatewayStatus.UNAVAILABLE, f"{call}: connection reset")


def _function(proposal: Proposal) -> str:
    return proposal.invocation.arguments[0].decode()


def _event(proposal: Proposal) -> bytes:
    return _contract_event(_function(proposal))


def _contract_event(name: str) -> bytes:
    contract, _, transaction = name.partition(":")
    text = f'{{"contract":"{contract}","refs":[],"round":0,"task":"t","transaction":"{transaction}","v":1}}'
    return text.encode()
