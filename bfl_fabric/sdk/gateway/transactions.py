"""One transaction in four steps, each of which can be signed elsewhere: proposal, transaction, commit, status.

Decides the bytes that leave the process between the steps (those of the official clients, so that any of them can
go on) and which signature goes under what. Whether to try again is left to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import proposal_pb2

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import CommitFailed, EndorseError, MalformedInput
from bfl_fabric.fabric.endorsement import check_prepared
from bfl_fabric.fabric.envelopes import ValidationCode, parse_payload
from bfl_fabric.fabric.gateway_transport import Deadlines, GatewayFailure, GatewayTransport
from bfl_fabric.fabric.identity import Identity, Signer
from bfl_fabric.fabric.proposal import Proposal, parse_proposal
from bfl_fabric.fabric.submission import Endorsed
from bfl_fabric.fabric.wire import read, write
from bfl_fabric.sdk.gateway.failures import CommitStatusFailed, EndorseFailed, EvaluateFailed, SubmitFailed
from bfl_fabric.sdk.gateway.signing import checked_for, digest, sign


@dataclass(frozen=True, slots=True)
class Session:
    """Who speaks to which gateway; `signer` is None where everything is signed elsewhere."""

    transport: GatewayTransport
    identity: Identity
    signer: Signer | None
    clock: Clock
    deadlines: Deadlines


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """Where a transaction stands on the ledger. Only a successful one changed anything."""

    transaction_id: str
    code: ValidationCode
    block_number: int

    @property
    def successful(self) -> bool:
        return self.code is ValidationCode.VALID

    def require_successful(self) -> CommitStatus:
        """Return itself. Raises CommitFailed when the transaction is invalid."""
        if not self.successful:
            raise CommitFailed(
                f"the transaction is in block {self.block_number} and invalid: {self.code.name}",
                self.transaction_id,
                int(self.code),
            )
        return self


class AsyncCommit:
    """A transaction that the orderers have: ask what became of it, as often as you like."""

    def __init__(self, session: Session, signed: Any) -> None:
        self._session = session
        self._signed = signed
        request = read(gateway_pb2.CommitStatusRequest, signed.request, "commit status request")
        self.transaction_id: str = request.transaction_id

    @property
    def request(self) -> bytes:
        """The part of the message that is signed."""
        return bytes(self._signed.request)

    def to_bytes(self) -> bytes:
        """The message for `new_signed_commit`."""
        return write(self._signed)

    @property
    def digest(self) -> bytes:
        """What is to be signed."""
        return digest(self._signed.request)

    async def status(self) -> CommitStatus:
        """Wait for the commit and return how it ended. Raises CommitStatusFailed."""
        signed = self._signed
        if not signed.signature:
            signature = await sign(self._session.signer, signed.request)
            signed = gateway_pb2.SignedCommitStatusRequest(request=signed.request, signature=signature)
        try:
            response = await self._session.transport.commit_status(signed, self._session.deadlines.commit)
        except GatewayFailure as failure:
            raise CommitStatusFailed(failure, self.transaction_id) from failure
        return CommitStatus(self.transaction_id, ValidationCode(response.result), response.block_number)


class AsyncTransaction:
    """An endorsed transaction. `result` is what the contract returned."""

    def __init__(self, session: Session, prepared: Any) -> None:
        self._session = session
        self._prepared = prepared
        self._parsed = parse_payload(prepared.envelope.payload, prepared.envelope.signature)
        self.transaction_id = self._parsed.transaction_id
        self._response = self._parsed.action().response
        self.result = self._response.payload

    def to_bytes(self) -> bytes:
        """The message for `new_signed_transaction`."""
        return write(self._prepared)

    @property
    def digest(self) -> bytes:
        """What is to be signed."""
        return digest(self._prepared.envelope.payload)

    async def submit(self) -> AsyncCommit:
        """Hand the transaction to the orderers. Raises SubmitFailed.

        After a SubmitFailed the orderers may have it all the same: `commit` says.
        """
        endorsed = await self.signed()
        request = gateway_pb2.SubmitRequest(
            transaction_id=endorsed.transaction_id,
            channel_id=endorsed.channel_id,
            prepared_transaction=endorsed.envelope,
        )
        try:
            await self._session.transport.submit(request, self._session.deadlines.submit)
        except GatewayFailure as failure:
            raise SubmitFailed(failure, self.transaction_id) from failure
        return self.commit

    async def signed(self) -> Endorsed:
        """Return the transaction with its signature, ready to be handed over."""
        envelope = self._prepared.envelope
        if not envelope.signature:
            signature = await sign(self._session.signer, envelope.payload)
            envelope = common_pb2.Envelope(payload=envelope.payload, signature=signature)
        return Endorsed(self.transaction_id, self._parsed.channel_id, envelope, self._response)

    @property
    def commit(self) -> AsyncCommit:
        """The question what became of this transaction."""
        request = gateway_pb2.CommitStatusRequest(
            transaction_id=self.transaction_id,
            channel_id=self._parsed.channel_id,
            identity=self._parsed.creator,
        )
        return AsyncCommit(self._session, gateway_pb2.SignedCommitStatusRequest(request=write(request)))


class AsyncProposal:
    """A call of a contract, not yet made."""

    def __init__(
        self, session: Session, proposal: Proposal, organizations: Sequence[str], signature: bytes = b""
    ) -> None:
        self._session = session
        self._proposal = proposal
        self._organizations = tuple(organizations)
        self._signature = signature
        self.transaction_id = proposal.transaction_id

    def to_bytes(self) -> bytes:
        """The message for `new_signed_proposal`."""
        signed = proposal_pb2.SignedProposal(
            proposal_bytes=self._proposal.proposal_bytes, signature=self._signature
        )
        message = gateway_pb2.ProposedTransaction(
            transaction_id=self.transaction_id, proposal=signed, endorsing_organizations=self._organizations
        )
        return write(message)

    @property
    def digest(self) -> bytes:
        """What is to be signed."""
        return digest(self._proposal.proposal_bytes)

    async def evaluate(self) -> bytes:
        """Return what one peer answers; nothing is recorded. Raises EvaluateFailed."""
        request = gateway_pb2.EvaluateRequest(
            transaction_id=self.transaction_id,
            channel_id=self._proposal.invocation.channel_id,
            proposed_transaction=await self._signed(),
            target_organizations=self._organizations,
        )
        try:
            response = await self._session.transport.evaluate(request, self._session.deadlines.evaluate)
        except GatewayFailure as failure:
            raise EvaluateFailed(failure, self.transaction_id) from failure
        return bytes(response.result.payload)

    async def endorse(self) -> AsyncTransaction:
        """Have the peers run and sign it. Raises EndorseFailed, EndorseError.

        What the gateway hands back is taken only when it is this very proposal, endorsed.
        """
        request = gateway_pb2.EndorseRequest(
            transaction_id=self.transaction_id,
            channel_id=self._proposal.invocation.channel_id,
            proposed_transaction=await self._signed(),
            endorsing_organizations=self._organizations,
        )
        try:
            response = await self._session.transport.endorse(request, self._session.deadlines.endorse)
            check_prepared(self._proposal, response.prepared_transaction.payload)
        except GatewayFailure as failure:
            raise EndorseFailed(failure, self.transaction_id) from failure
        except MalformedInput as error:
            raise EndorseError(f"endorse: {error}", self.transaction_id) from error
        prepared = gateway_pb2.PreparedTransaction(
            transaction_id=self.transaction_id, envelope=response.prepared_transaction
        )
        return AsyncTransaction(self._session, prepared)

    async def _signed(self) -> Any:
        raw = self._proposal.proposal_bytes
        signature = self._signature or await sign(self._session.signer, raw)
        return proposal_pb2.SignedProposal(proposal_bytes=raw, signature=signature)


def signed_proposal(session: Session, raw: bytes, signature: bytes) -> AsyncProposal:
    """Return a proposal with a signature made elsewhere. Raises MalformedInput, ConfigurationError."""
    message = read(gateway_pb2.ProposedTransaction, raw, "proposed transaction")
    proposal = parse_proposal(message.proposal.proposal_bytes)
    good = checked_for(proposal.creator, proposal.proposal_bytes, signature)
    return AsyncProposal(session, proposal, message.endorsing_organizations, good)


def signed_transaction(session: Session, raw: bytes, signature: bytes) -> AsyncTransaction:
    """Return a transaction with a signature made elsewhere. Raises MalformedInput, ConfigurationError."""
    prepared = read(gateway_pb2.PreparedTransaction, raw, "prepared transaction")
    payload = prepared.envelope.payload
    prepared.envelope.signature = checked_for(parse_payload(payload, b"").creator, payload, signature)
    return AsyncTransaction(session, prepared)


def signed_commit(session: Session, raw: bytes, signature: bytes) -> AsyncCommit:
    """Return a commit with a signature made elsewhere. Raises MalformedInput, ConfigurationError."""
    signed = read(gateway_pb2.SignedCommitStatusRequest, raw, "signed commit status request")
    request = read(gateway_pb2.CommitStatusRequest, signed.request, "commit status request")
    signed.signature = checked_for(request.identity, signed.request, signature)
    return AsyncCommit(session, signed)
