"""One peer, asked directly: its endorser, its stream of filtered blocks, its service for snapshots.

Decides what a peer's answer means: an endorsement, a refusal, nobody there. Nothing is sent twice here; which
question may be repeated is left to the callers, who know whether it changes anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc.aio
from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.peer import events_pb2_grpc, peer_pb2_grpc, snapshot_pb2_grpc

from bfl_chaincode.api.errors import parse_code
from bfl_fabric.errors import (
    CommitStatusError,
    EndorseError,
    EvaluateError,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
)
from bfl_fabric.fabric.deliver import Seek, seek_envelope
from bfl_fabric.fabric.envelopes import Endorsement, Response, ValidationCode
from bfl_fabric.fabric.gateway_grpc import failure_of
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.proposal import Invocation, Proposal, sign_proposal
from bfl_fabric.fabric.servers import Administrator, Server
from bfl_fabric.fabric.submission import UNREACHED, Outcome
from bfl_fabric.fabric.wire import read

_REFUSED_FROM = 400
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class EndorserAnswer:
    """What one peer answered to a proposal: its response, and its signature over `payload`."""

    response: Response
    payload: bytes
    endorsement: Endorsement


class PeerClient:
    """One connection of one administrator to one peer. Make and use it within one event loop."""

    def __init__(self, server: Server, administrator: Administrator, deadline_seconds: float = 30.0) -> None:
        self.server = server
        self.administrator = administrator
        self.deadline_seconds = deadline_seconds
        self._channel = server.connect()
        self._endorser = peer_pb2_grpc.EndorserStub(self._channel)
        self._deliver = events_pb2_grpc.DeliverStub(self._channel)
        self.snapshots = snapshot_pb2_grpc.SnapshotStub(self._channel)

    @property
    def name(self) -> str:
        """How errors call this peer."""
        return f"peer {self.server.address}"

    async def __aenter__(self) -> PeerClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Release the connection; calls that are under way fail."""
        await self._channel.close()

    async def query(self, channel_id: str, chaincode: str, *arguments: bytes) -> bytes:
        """Return what a chaincode answers on this peer; on no channel when `channel_id` is empty.

        Raises EvaluateError, LedgerRefused, LedgerUnavailable.
        """
        proposal = self.administrator.proposal(Invocation(channel_id, chaincode, arguments))
        return (await self._process(proposal, EvaluateError)).response.payload

    async def endorse(self, proposal: Proposal) -> EndorserAnswer:
        """Return this peer's endorsement. Raises EndorseError, LedgerRefused, LedgerUnavailable."""
        answer = await self._process(proposal, EndorseError)
        if not answer.endorsement.signature:
            raise EndorseError(f"{self.name}: it ran the proposal and did not endorse it")
        return answer

    async def newest(self, channel_id: str) -> int:
        """Return the number of the newest block. Raises EvaluateError, LedgerUnavailable.

        The ledger's height says it: a peer that starts from a snapshot has no block at first that it could deliver.
        """
        raw = await self.query(channel_id, "qscc", b"GetChainInfo", channel_id.encode())
        return int(read(ledger_pb2.BlockchainInfo, raw, f"{self.name}: channel {channel_id}").height) - 1

    async def reach(self, channel_id: str, number: int) -> None:
        """Return once this peer has a block. Raises LedgerUnavailable when it does not get it in time."""
        clock = self.administrator.clock
        deadline = clock.now_ms() + self.deadline_seconds * 1000
        while True:
            try:
                newest = await self.newest(channel_id)
                problem = LedgerUnavailable(
                    f"{self.name}: it is at block {newest} and was to come to {number}"
                )
            except LedgerUnavailable as error:
                newest, problem = -1, error
            if newest >= number:
                return
            if clock.now_ms() >= deadline:
                raise problem
            await clock.sleep(_PAUSE_SECONDS)

    async def outcome(self, channel_id: str, transaction_id: str, start: int) -> Outcome:
        """Return where a transaction stands, found in the blocks from `start` on. Raises CommitStatusError.

        `start` must be a block that the peer has or its next one: about later ones it knows nothing.
        """
        try:
            async with asyncio.timeout(self.deadline_seconds):
                async for block in self._followed(channel_id, start):
                    for item in block.filtered_transactions:
                        if item.txid == transaction_id:
                            return Outcome(ValidationCode(item.tx_validation_code), int(block.number))
        except (GatewayFailure, TimeoutError) as error:
            raise CommitStatusError(
                f"{self.name}: no commit of the transaction was seen: {_said(error)}; ask again for this "
                f"transaction before making another",
                transaction_id,
            ) from error
        raise CommitStatusError(f"{self.name}: it ended the stream of blocks", transaction_id)

    async def _process(self, proposal: Proposal, kind: type[LedgerError]) -> EndorserAnswer:
        signed = sign_proposal(proposal, self.administrator.signer)
        try:
            answer = await self._endorser.ProcessProposal(signed, timeout=self.deadline_seconds)
        except grpc.aio.AioRpcError as error:
            failure = failure_of(error)
            raise ledger_error(self.name, failure, kind, proposal.transaction_id) from error
        if answer.response.status >= _REFUSED_FROM:
            raise _refusal(self.name, answer.response, kind, proposal.transaction_id)
        response = answer.response
        return EndorserAnswer(
            Response(response.status, response.message, response.payload),
            answer.payload,
            Endorsement(answer.endorsement.endorser, answer.endorsement.signature),
        )

    async def _followed(self, channel_id: str, start: int) -> AsyncIterator[Any]:
        """Yield filtered blocks from `start` on; a stream that breaks off is taken up where it ended."""
        position = start
        while True:
            try:
                async for block in self._filtered(channel_id, Seek(position)):
                    position = int(block.number) + 1
                    yield block
            except GatewayFailure as failure:
                if failure.status not in UNREACHED:
                    raise
            await self.administrator.clock.sleep(_PAUSE_SECONDS)

    async def _filtered(self, channel_id: str, seek: Seek) -> AsyncIterator[Any]:
        envelope = seek_envelope(channel_id, seek, self.administrator.signer, self.administrator.stamp())
        call = self._deliver.DeliverFiltered()
        try:
            await call.write(envelope)
            await call.done_writing()
            async for response in call:
                if response.WhichOneof("Type") == "filtered_block":
                    yield response.filtered_block
                else:
                    _require_good_end(response.status)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from error
        finally:
            call.cancel()


def ledger_error(
    who: str, error: GatewayFailure | TimeoutError, kind: type[LedgerError], transaction_id: str = ""
) -> LedgerError:
    """Return what a failed call means: a rule's no, nobody there, or the given kind of error."""
    refusal = parse_code(str(error))
    if refusal is not None:
        return LedgerRefused(*refusal, transaction_id)
    unreached = isinstance(error, TimeoutError) or error.status in UNREACHED
    return (LedgerUnavailable if unreached else kind)(f"{who}: {_said(error)}", transaction_id)


def _refusal(who: str, response: Any, kind: type[LedgerError], transaction_id: str) -> LedgerError:
    refusal = parse_code(response.message)
    if refusal is not None:
        return LedgerRefused(*refusal, transaction_id)
    return kind(f"{who} refused with status {response.status}: {response.message}", transaction_id)


def _said(error: GatewayFailure | TimeoutError) -> str:
    return "nobody answered in time" if isinstance(error, TimeoutError) else str(error)


def _require_good_end(status: int) -> None:
    if status == common_pb2.SUCCESS:
        return
    codes = {
        common_pb2.FORBIDDEN: GatewayStatus.PERMISSION_DENIED,
        common_pb2.NOT_FOUND: GatewayStatus.NOT_FOUND,
    }
    raise GatewayFailure(
        codes.get(status, GatewayStatus.UNAVAILABLE),
        f"the delivery of blocks was ended with status {common_pb2.Status.Name(status)}",
    )
