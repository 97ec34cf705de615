"""Answers of endorsing peers, and the transaction that they make together.

Decides what an endorser signs, when answers agree, and which transaction a client may sign: only one that carries
its own proposal, unchanged. Whether the endorsements are enough is left to the channel's policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    proposal_pb2,
    proposal_response_pb2,
    transaction_pb2,
)

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.envelopes import (
    Action,
    ChaincodeEvent,
    Endorsement,
    HeaderType,
    ParsedTransaction,
    Response,
    parse_payload,
)
from bfl_fabric.fabric.identity import Signer
from bfl_fabric.fabric.proposal import Proposal
from bfl_fabric.fabric.wire import write


@dataclass(frozen=True, slots=True)
class Simulation:
    """What running a proposal gave. `results` is the serialized read-write set."""

    chaincode: str
    chaincode_version: str
    results: bytes
    response: Response
    event: ChaincodeEvent | None = None


def response_payload(proposal: Proposal, simulation: Simulation) -> bytes:
    """Return the `protos.ProposalResponsePayload` that all endorsers of this outcome sign."""
    action = proposal_pb2.ChaincodeAction(
        results=simulation.results,
        events=b"" if simulation.event is None else write(event_message(simulation.event)),
        response=response_message(simulation.response),
        chaincode_id=chaincode_pb2.ChaincodeID(
            name=simulation.chaincode, version=simulation.chaincode_version
        ),
    )
    return write(
        proposal_response_pb2.ProposalResponsePayload(proposal_hash=proposal.hash, extension=write(action))
    )


def endorse(payload: bytes, endorser: Signer) -> Endorsement:
    """Sign a proposal response payload as a peer."""
    return Endorsement(endorser.creator, endorser.sign(payload + endorser.creator))


def assemble(proposal: Proposal, payload: bytes, endorsements: Sequence[Endorsement]) -> Any:
    """Return the unsigned `common.Envelope` of an endorsed proposal, each endorser once, as a gateway does."""
    once = {item.endorser: item for item in endorsements}
    if not once:
        raise MalformedInput("a transaction needs an endorsement")
    action = transaction_pb2.ChaincodeActionPayload(
        chaincode_proposal_payload=proposal.payload,
        action=transaction_pb2.ChaincodeEndorsedAction(
            proposal_response_payload=payload,
            endorsements=[
                proposal_response_pb2.Endorsement(endorser=item.endorser, signature=item.signature)
                for item in once.values()
            ],
        ),
    )
    transaction = transaction_pb2.Transaction(
        actions=[transaction_pb2.TransactionAction(header=proposal.signature_header, payload=write(action))]
    )
    header = common_pb2.Header(
        channel_header=proposal.channel_header, signature_header=proposal.signature_header
    )
    return common_pb2.Envelope(payload=write(common_pb2.Payload(header=header, data=write(transaction))))


def sign_envelope(payload: bytes, signer: Signer) -> Any:
    """Return the `common.Envelope` of a payload, signed."""
    return common_pb2.Envelope(payload=payload, signature=signer.sign(payload))


def check_prepared(proposal: Proposal, payload: bytes) -> tuple[ParsedTransaction, Action]:
    """Check that a transaction prepared by a gateway is the proposal that was sent, endorsed, and nothing else.

    A client signs it only then: a gateway must not get a signature under other headers or arguments. Raises
    MalformedInput.
    """
    transaction = parse_payload(payload, b"")
    action = transaction.action()
    if transaction.type != HeaderType.ENDORSER_TRANSACTION:
        raise MalformedInput("the prepared transaction is of another type")
    if (transaction.channel_header, transaction.signature_header) != (
        proposal.channel_header,
        proposal.signature_header,
    ):
        raise MalformedInput("the prepared transaction has other headers than the proposal")
    endorsed = action.endorsed
    if (endorsed.proposal_header, endorsed.proposal_payload) != (proposal.signature_header, proposal.payload):
        raise MalformedInput("the prepared transaction carries another proposal")
    if endorsed.proposal_hash != proposal.hash:
        raise MalformedInput("the endorsers answered another proposal")
    return transaction, action


def response_message(response: Response) -> Any:
    """Return the `protos.Response`."""
    return proposal_response_pb2.Response(
        status=response.status, message=response.message, payload=response.payload
    )


def event_message(event: ChaincodeEvent) -> Any:
    """Return the `protos.ChaincodeEvent`."""
    return chaincode_event_pb2.ChaincodeEvent(
        chaincode_id=event.chaincode,
        tx_id=event.transaction_id,
        event_name=event.name,
        payload=event.payload,
    )
