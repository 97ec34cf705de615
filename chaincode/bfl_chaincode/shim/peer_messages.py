"""What is written to a peer and read from one: the requests of a transaction, its proposal, the answers' rows.

Decides how each request of the stub is spelt in Fabric's messages and what of the peer's messages is believed: bytes
that do not parse raise, nothing is guessed. When a request is sent, and what happens meanwhile, is left to others.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2, policies_pb2
from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.msp import identities_pb2
from fabric_protos.peer import chaincode_pb2, chaincode_shim_pb2, proposal_pb2, proposal_response_pb2
from google.protobuf.message import DecodeError

from bfl_chaincode.shim.stub import Creator, KeyModification, KeyValue, Response, Timestamp

Message = chaincode_shim_pb2.ChaincodeMessage
MESSAGE_LIMIT_BYTES = 100 * 1024 * 1024
ENVELOPE_BYTES = 4096
"""Room that a message takes beside its payload."""


class PeerRefused(RuntimeError):
    """The peer does not do what the contract asked for; the words are the peer's."""


class MalformedMessage(ValueError):
    """The peer sent bytes that are not what it says they are."""


class TooLarge(ValueError):
    """What the contract wants to send is larger than a peer takes."""


@dataclass(frozen=True, slots=True)
class StateRequest:
    """One request of a transaction to its peer; awaiting it gives the reply's payload, or raises PeerRefused."""

    kind: int
    payload: bytes

    def __await__(self) -> Generator[StateRequest, bytes, bytes]:
        return (yield self)


@dataclass(frozen=True, slots=True)
class PeerOffer:
    """What a peer announced when it was ready: how many keys it takes in one message, 0 where it takes one only."""

    reads: int = 0
    writes: int = 0


@dataclass(frozen=True, slots=True)
class Invocation:
    """A transaction as the peer hands it over."""

    transaction_id: str
    channel_id: str
    arguments: tuple[bytes, ...]
    timestamp: Timestamp
    creator: Creator
    transient: Mapping[str, bytes]


def parse(kind: Any, raw: bytes, what: str) -> Any:
    """Read a message. Raises MalformedMessage naming `what`, never showing the bytes."""
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise MalformedMessage(f"{what} is not a {kind.DESCRIPTOR.full_name}") from error


def read_offer(raw: bytes) -> PeerOffer:
    """Read a READY message's payload; peers before 3.1 send none. Raises MalformedMessage."""
    offer = parse(chaincode_pb2.ChaincodeAdditionalParams, raw, "the payload of READY")
    return PeerOffer(
        offer.max_size_get_multiple_keys if offer.use_get_multiple_keys else 0,
        offer.max_size_write_batch if offer.use_write_batch else 0,
    )


def read_invocation(message: Any) -> Invocation:
    """Read a TRANSACTION message. Raises MalformedMessage."""
    arguments = parse(chaincode_pb2.ChaincodeInput, message.payload, "the transaction's input").args
    signed = message.proposal.proposal_bytes
    if not message.txid or not signed:
        raise MalformedMessage("a transaction comes with its id and its proposal")
    proposal = parse(proposal_pb2.Proposal, signed, "the proposal")
    header = parse(common_pb2.Header, proposal.header, "the proposal's header")
    channel = parse(common_pb2.ChannelHeader, header.channel_header, "the channel header")
    if channel.tx_id != message.txid:
        raise MalformedMessage("the proposal is not that of the transaction")
    signature = parse(common_pb2.SignatureHeader, header.signature_header, "the signature header")
    identity = parse(identities_pb2.SerializedIdentity, signature.creator, "the creator")
    content = parse(proposal_pb2.ChaincodeProposalPayload, proposal.payload, "the proposal's payload")
    return Invocation(
        message.txid,
        message.channel_id,
        tuple(arguments),
        Timestamp(channel.timestamp.seconds, channel.timestamp.nanos),
        {"mspid": identity.mspid, "idBytes": identity.id_bytes},
        dict(content.TransientMap),
    )


def request(kind: int, content: Any) -> StateRequest:
    """Return a request of this kind. Raises TooLarge."""
    payload = content.SerializeToString()
    if len(payload) > MESSAGE_LIMIT_BYTES - ENVELOPE_BYTES:
        raise TooLarge(f"a request of {len(payload)} bytes; a peer takes {MESSAGE_LIMIT_BYTES} at most")
    return StateRequest(kind, payload)


def query_metadata(page_size: int, bookmark: str) -> bytes:
    if not 0 <= page_size < 2**31:
        raise PeerRefused(f"a page of {page_size} rows cannot be read")
    content = chaincode_shim_pb2.QueryMetadata(pageSize=page_size, bookmark=bookmark)
    raw: bytes = content.SerializeToString()
    return raw


def read_rows(raw: bytes) -> Any:
    return parse(chaincode_shim_pb2.QueryResponse, raw, "a query's response")


def read_bookmark(raw: bytes) -> str:
    bookmark: str = parse(chaincode_shim_pb2.QueryResponseMetadata, raw, "a page's metadata").bookmark
    return bookmark


def key_value(raw: bytes) -> KeyValue:
    row = parse(kv_query_result_pb2.KV, raw, "a row")
    return KeyValue(row.key, row.value)


def key_modification(raw: bytes) -> KeyModification:
    row = parse(kv_query_result_pb2.KeyModification, raw, "a row of the history")
    moment = Timestamp(row.timestamp.seconds, row.timestamp.nanos)
    return KeyModification(row.tx_id, row.value, moment, row.is_delete)


def chaincode_call(name: str, arguments: Sequence[bytes], channel: str) -> StateRequest:
    """Return the request for a call of another chaincode; "" as channel means the transaction's own."""
    spec = chaincode_pb2.ChaincodeSpec(
        chaincode_id=chaincode_pb2.ChaincodeID(name=f"{name}/{channel}" if channel else name),
        input=chaincode_pb2.ChaincodeInput(args=arguments),
    )
    return request(Message.INVOKE_CHAINCODE, spec)


def read_called(raw: bytes) -> Response:
    """Read another chaincode's answer: a whole message, whose payload is the response. Raises PeerRefused."""
    message = parse(Message, raw, "the called chaincode's answer")
    if message.type != Message.COMPLETED:
        raise PeerRefused(
            message.payload.decode("utf-8", "replace") or "the called chaincode did not complete"
        )
    response = parse(proposal_response_pb2.Response, message.payload, "the called chaincode's response")
    return Response(response.status, response.payload, response.message)


def is_key_policy(raw: bytes) -> bool:
    """Say whether a peer can read this endorsement policy.

    A peer takes any bytes for one, and stops for good at the key's next write when it cannot read them.
    """
    try:
        policies_pb2.SignaturePolicyEnvelope.FromString(raw)
    except DecodeError:
        return False
    return True
