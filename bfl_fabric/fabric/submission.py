"""One transaction from proposal to commit, through a gateway.

Decides what may be sent again and what must be asked first: a proposal can be endorsed as often as one likes, but
once an endorsed transaction has been handed over, only its own commit status says what became of it, and only the
same transaction is ever handed over again. When to try with a fresh proposal is left to
`bfl_fabric.fabric.gateway`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from fabric_protos.gateway import gateway_pb2

from bfl_chaincode.api.errors import parse_code
from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import (
    CommitStatusError,
    EndorseError,
    EvaluateError,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    MalformedInput,
    SubmitError,
)
from bfl_fabric.fabric.endorsement import check_prepared, sign_envelope
from bfl_fabric.fabric.envelopes import Response, ValidationCode
from bfl_fabric.fabric.gateway_transport import Deadlines, GatewayFailure, GatewayStatus, GatewayTransport
from bfl_fabric.fabric.identity import Signer
from bfl_fabric.fabric.proposal import Proposal, sign_proposal
from bfl_fabric.fabric.wire import write

_LOG = logging.getLogger(__name__)

UNREACHED = frozenset({GatewayStatus.UNAVAILABLE, GatewayStatus.DEADLINE_EXCEEDED, GatewayStatus.CANCELLED})
"""Nobody answered; for a submission that leaves open whether it arrived."""

_TOO_FEW_PEERS = frozenset({GatewayStatus.FAILED_PRECONDITION, GatewayStatus.RESOURCE_EXHAUSTED})
_UNREACHED_PEER = "code = Unavailable"
_DISAGREEMENT = "ProposalResponsePayloads do not match"


@dataclass(frozen=True, slots=True)
class Persistence:
    """How often something is tried and how long to wait in between: `first_pause`, doubled up to `last_pause`."""

    attempts: int = 10
    first_pause: float = 0.05
    last_pause: float = 2.0

    async def pause(self, clock: Clock, attempt: int) -> None:
        """Wait after this attempt, counted from 0."""
        await clock.sleep(min(self.first_pause * 2**attempt, self.last_pause))


class EndorsersDisagree(EndorseError):
    """Peers gave different answers: mostly because one of them has not committed the last block yet."""


@dataclass(frozen=True, slots=True)
class Endorsed:
    """An endorsed transaction, signed: ready to be handed over, as often as need be."""

    transaction_id: str
    channel_id: str
    envelope: Any
    response: Response


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a transaction stands on the ledger."""

    code: ValidationCode
    block_number: int


class Submission:
    """The three calls that make a transaction, each with its own error."""

    def __init__(
        self,
        transport: GatewayTransport,
        signer: Signer,
        clock: Clock,
        deadlines: Deadlines,
        persistence: Persistence,
    ) -> None:
        self._transport = transport
        self._signer = signer
        self._clock = clock
        self._deadlines = deadlines
        self._persistence = persistence

    async def evaluate(self, proposal: Proposal) -> bytes:
        """Return what one peer answers. Raises LedgerRefused, LedgerUnavailable, EvaluateError."""
        request = gateway_pb2.EvaluateRequest(
            transaction_id=proposal.transaction_id,
            channel_id=proposal.invocation.channel_id,
            proposed_transaction=sign_proposal(proposal, self._signer),
        )
        try:
            response = await self._transport.evaluate(request, self._deadlines.evaluate)
        except GatewayFailure as failure:
            raise _error_of(failure, EvaluateError, proposal.transaction_id) from failure
        return bytes(response.result.payload)

    async def endorse(self, proposal: Proposal) -> Endorsed:
        """Return the proposal endorsed. Raises LedgerRefused, LedgerUnavailable, EndorseError, EndorsersDisagree.

        What the gateway hands back is signed only when it is this very proposal.
        """
        request = gateway_pb2.EndorseRequest(
            transaction_id=proposal.transaction_id,
            channel_id=proposal.invocation.channel_id,
            proposed_transaction=sign_proposal(proposal, self._signer),
        )
        try:
            response = await self._transport.endorse(request, self._deadlines.endorse)
            payload = response.prepared_transaction.payload
            _, action = check_prepared(proposal, payload)
        except GatewayFailure as failure:
            kind = EndorsersDisagree if _DISAGREEMENT in str(failure) else EndorseError
            raise _error_of(failure, kind, proposal.transaction_id) from failure
        except MalformedInput as error:
            raise EndorseError(f"endorse: {error}", proposal.transaction_id) from error
        envelope = sign_envelope(payload, self._signer)
        return Endorsed(proposal.transaction_id, request.channel_id, envelope, action.response)

    async def settle(self, endorsed: Endorsed, *, handed_over: bool = False) -> Outcome:
        """Hand an endorsed transaction over and return where it stands once it is committed.

        After any failure its commit status is asked for before it is handed over again, always the same transaction.
        With `handed_over` that is where this begins. Raises SubmitError when it was refused for good, and
        CommitStatusError when nothing could be found out: ask again with the same transaction.
        """
        problem: LedgerError | None = None
        for attempt in range(self._persistence.attempts):
            if attempt:
                await self._persistence.pause(self._clock, attempt - 1)
            if attempt or not handed_over:
                problem = await self._hand_over(endorsed)
            refused = isinstance(problem, SubmitError)
            try:
                deadline = self._deadlines.commit if problem is None else self._deadlines.doubt
                return await self._commit_status(endorsed, deadline)
            except CommitStatusError as error:
                _LOG.info("transaction %s: its outcome is unknown: %s", endorsed.transaction_id, error)
                problem = problem or error
            if refused:
                raise problem
        raise CommitStatusError(f"the outcome is unknown: {problem}", endorsed.transaction_id)

    async def _hand_over(self, endorsed: Endorsed) -> LedgerError | None:
        """Return None when the orderers have it, else what went wrong; a SubmitError is final."""
        request = gateway_pb2.SubmitRequest(
            transaction_id=endorsed.transaction_id,
            channel_id=endorsed.channel_id,
            prepared_transaction=endorsed.envelope,
        )
        try:
            await self._transport.submit(request, self._deadlines.submit)
        except GatewayFailure as failure:
            _LOG.info("transaction %s: handing over: %s", endorsed.transaction_id, failure)
            open_ = failure.status in UNREACHED or failure.status in _TOO_FEW_PEERS
            kind = LedgerUnavailable if open_ else SubmitError
            return kind(f"submit: {failure}", endorsed.transaction_id)
        return None

    async def _commit_status(self, endorsed: Endorsed, deadline_seconds: float) -> Outcome:
        request = write(
            gateway_pb2.CommitStatusRequest(
                transaction_id=endorsed.transaction_id,
                channel_id=endorsed.channel_id,
                identity=self._signer.creator,
            )
        )
        signed = gateway_pb2.SignedCommitStatusRequest(request=request, signature=self._signer.sign(request))
        try:
            response = await self._transport.commit_status(signed, deadline_seconds)
        except GatewayFailure as failure:
            raise CommitStatusError(f"commit status: {failure}", endorsed.transaction_id) from failure
        return Outcome(ValidationCode(response.result), response.block_number)


def _error_of(failure: GatewayFailure, kind: type[LedgerError], transaction_id: str) -> LedgerError:
    """Return the error that a failure before ordering means: a rule's no, nobody there, or the phase's own."""
    refusal = parse_code(str(failure))
    if refusal is not None:
        code, text = refusal
        return LedgerRefused(code, text, transaction_id)
    if failure.status in UNREACHED or failure.status in _TOO_FEW_PEERS or _nobody_was_reached(failure):
        return LedgerUnavailable(str(failure), transaction_id)
    return kind(str(failure), transaction_id)


def _nobody_was_reached(failure: GatewayFailure) -> bool:
    """Say whether a gateway gave up because the other peers did not answer; only its details' words tell that."""
    return bool(failure.details) and all(_UNREACHED_PEER in item.message for item in failure.details)
