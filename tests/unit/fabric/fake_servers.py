"""Servers that answer as peers and orderers do, over real TLS on 127.0.0.1, from a list of what to say.

They check what they are asked with the same code that checks requests everywhere else, so a request that a peer
would not take is not taken here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.orderer import ab_pb2, ab_pb2_grpc
from fabric_protos.peer import (
    events_pb2,
    events_pb2_grpc,
    peer_pb2_grpc,
    proposal_response_pb2,
    snapshot_pb2,
    snapshot_pb2_grpc,
)
from google.protobuf import empty_pb2

from bfl_fabric.fabric.deliver import check_seek
from bfl_fabric.fabric.endorsement import Simulation, endorse, response_message, response_payload
from bfl_fabric.fabric.envelopes import Response, parse_payload
from bfl_fabric.fabric.gateway_grpc import TlsMaterial
from bfl_fabric.fabric.identity import Identity, SigningIdentity
from bfl_fabric.fabric.proposal import Proposal, parse_proposal
from bfl_fabric.fabric.servers import Server
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.organizations import FOUNDED_MS, Federation, Organization

NOW_MS = FOUNDED_MS + 60_000
Behaviour = Callable[[Proposal], Response]


class Clock:
    """Stands still but for waiting, which takes no time."""

    def __init__(self) -> None:
        self.at_ms = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep(self, seconds: float) -> None:
        self.at_ms += int(seconds * 1000)


@dataclass
class Ordered:
    """What orderers have taken, and with which code peers find it in the next block."""

    transactions: list[str] = field(default_factory=list)
    code: int = 0


@dataclass
class FakePeer(
    peer_pb2_grpc.EndorserServicer, events_pb2_grpc.DeliverServicer, snapshot_pb2_grpc.SnapshotServicer
):
    """A peer whose chaincodes are one function."""

    federation: Federation
    signer: SigningIdentity
    ordered: Ordered
    behaviour: Behaviour
    height: int = 3
    asked: list[Proposal] = field(default_factory=list)
    snapshots: list[Any] = field(default_factory=list)

    async def ProcessProposal(self, request: Any, context: Any) -> Any:
        proposal = parse_proposal(request.proposal_bytes)
        Identity.parse_strict(proposal.creator).verify(request.proposal_bytes, request.signature)
        if proposal.invocation.arguments[0] == b"GetChainInfo":
            return self._chain_info()
        self.asked.append(proposal)
        response = self.behaviour(proposal)
        answer = proposal_response_pb2.ProposalResponse(response=response_message(response))
        if response.status >= 400 or not proposal.invocation.channel_id:
            return answer
        simulation = Simulation(proposal.invocation.chaincode, "1.0", b"", response)
        answer.payload = response_payload(proposal, simulation)
        signed = endorse(answer.payload, self.signer)
        answer.endorsement.endorser, answer.endorsement.signature = signed.endorser, signed.signature
        return answer

    async def DeliverFiltered(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for envelope in requests:
            seek, _ = check_seek(envelope, self.federation.config(), NOW_MS)
            for number in self._sought(seek):
                yield events_pb2.DeliverResponse(filtered_block=self._block(number))
            yield events_pb2.DeliverResponse(status=common_pb2.SUCCESS)

    async def Generate(self, request: Any, context: Any) -> Any:
        message = snapshot_pb2.SnapshotRequest.FromString(request.request)
        creator = Identity.parse_strict(message.signature_header.creator)
        creator.verify(request.request, request.signature)
        self.snapshots.append(message)
        return empty_pb2.Empty()

    async def Cancel(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNKNOWN, "no snapshot request exists for block number 9")

    async def QueryPendings(self, request: Any, context: Any) -> Any:
        message = snapshot_pb2.SnapshotQuery.FromString(request.request)
        Identity.parse_strict(message.signature_header.creator).verify(request.request, request.signature)
        return snapshot_pb2.QueryPendingSnapshotsResponse(block_numbers=[9, 5])

    def _chain_info(self) -> Any:
        info = ledger_pb2.BlockchainInfo(height=self.height + len(self.ordered.transactions))
        return proposal_response_pb2.ProposalResponse(
            response=response_message(Response(200, "", write(info)))
        )

    def _sought(self, seek: Any) -> Sequence[int]:
        newest = self.height - 1 + len(self.ordered.transactions)
        return [newest] if seek.start is None else range(seek.start, newest + 1)

    def _block(self, number: int) -> Any:
        block = events_pb2.FilteredBlock(channel_id="testing", number=number)
        index = number - self.height
        if index >= 0:
            block.filtered_transactions.add(
                txid=self.ordered.transactions[index], tx_validation_code=self.ordered.code
            )
        return block


@dataclass
class FakeOrderer(ab_pb2_grpc.AtomicBroadcastServicer):
    """An orderer that answers each broadcast with the next of `statuses`, the last one for ever.

    None loses the envelope, or takes it when `takes_lost`, and breaks off without an answer.
    """

    federation: Federation
    ordered: Ordered
    statuses: list[int | None] = field(default_factory=lambda: [common_pb2.SUCCESS])
    takes_lost: bool = False
    blocks: list[bytes] = field(default_factory=list)
    break_after: int | None = None
    taken: list[Any] = field(default_factory=list)

    async def Broadcast(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for envelope in requests:
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            if status == common_pb2.SUCCESS or (status is None and self.takes_lost):
                self.taken.append(envelope)
                transaction = parse_payload(envelope.payload, envelope.signature)
                self.ordered.transactions.append(transaction.transaction_id)
            if status is None:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
            yield ab_pb2.BroadcastResponse(status=status, info="said the orderer")

    async def Deliver(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for envelope in requests:
            seek, _ = check_seek(envelope, self.federation.config(), NOW_MS)
            newest = len(self.blocks) - 1
            first = newest if seek.start is None else seek.start
            last = newest if seek.stop is None else min(seek.stop, newest)
            for count, number in enumerate(range(first, last + 1)):
                if count == self.break_after:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "broken off")
                yield ab_pb2.DeliverResponse(block=common_pb2.Block.FromString(self.blocks[number]))
            yield ab_pb2.DeliverResponse(status=common_pb2.SUCCESS)


@asynccontextmanager
async def serving(organization: Organization, *servicers: Any) -> AsyncIterator[list[Server]]:
    """Serve each of these at a port of its own, with TLS of this organization; yield where."""
    tls = organization.tls_authority.issue_tls("server")
    roots = organization.tls_authority.certificate_pem
    credentials = grpc.ssl_server_credentials([(tls.key_pem, tls.certificate_pem)])
    servers, places = [], []
    for servicer in servicers:
        server = grpc.aio.server()
        _register(servicer, server)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        servers.append(server)
        places.append(Server(f"127.0.0.1:{port}", TlsMaterial(roots)))
    try:
        yield places
    finally:
        for server in servers:
            await server.stop(None)


def _register(servicer: Any, server: Any) -> None:
    if isinstance(servicer, FakeOrderer):
        ab_pb2_grpc.add_AtomicBroadcastServicer_to_server(servicer, server)
        return
    peer_pb2_grpc.add_EndorserServicer_to_server(servicer, server)
    events_pb2_grpc.add_DeliverServicer_to_server(servicer, server)
    snapshot_pb2_grpc.add_SnapshotServicer_to_server(servicer, server)


def answering(payload: bytes = b"", message: str = "", status: int = 200) -> Behaviour:
    """Return a chaincode that always answers the same."""
    return lambda proposal: Response(status, message, payload)


def answering_by_function(answers: dict[str, Any]) -> Behaviour:
    """Return a chaincode that answers each function with a message."""

    def behave(proposal: Proposal) -> Response:
        name = proposal.invocation.arguments[0].decode()
        if name not in answers:
            return Response(500, f"Requested function {name} not found.", b"")
        return Response(200, "", write(answers[name]))

    return behave
