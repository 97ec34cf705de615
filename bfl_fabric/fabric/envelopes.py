"""One entry of a block, taken apart: who sent which proposal, what the endorsers answered and signed.

Decides how an envelope is read and with which of Fabric's validation codes an unreadable one is refused. Whether
what it says is true (signatures, hashes, policies, reads) is left to `bfl_fabric.fabric.validation`.
"""

from __future__ import annotations

import functools
from enum import IntEnum
from typing import Any, NamedTuple

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_event_pb2, chaincode_pb2, proposal_pb2, proposal_response_pb2
from fabric_protos.peer import transaction_pb2 as tx_pb2

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.rwsets import NamespaceSet, parse_rwset
from bfl_fabric.fabric.wire import read, read_strict


class ValidationCode(IntEnum):
    """Fabric's verdicts on a transaction (`protos.TxValidationCode`)."""

    VALID = 0
    NIL_ENVELOPE = 1
    BAD_PAYLOAD = 2
    BAD_COMMON_HEADER = 3
    BAD_CREATOR_SIGNATURE = 4
    INVALID_ENDORSER_TRANSACTION = 5
    INVALID_CONFIG_TRANSACTION = 6
    UNSUPPORTED_TX_PAYLOAD = 7
    BAD_PROPOSAL_TXID = 8
    DUPLICATE_TXID = 9
    ENDORSEMENT_POLICY_FAILURE = 10
    MVCC_READ_CONFLICT = 11
    PHANTOM_READ_CONFLICT = 12
    UNKNOWN_TX_TYPE = 13
    TARGET_CHAIN_NOT_FOUND = 14
    MARSHAL_TX_ERROR = 15
    NIL_TXACTION = 16
    EXPIRED_CHAINCODE = 17
    CHAINCODE_VERSION_CONFLICT = 18
    BAD_HEADER_EXTENSION = 19
    BAD_CHANNEL_HEADER = 20
    BAD_RESPONSE_PAYLOAD = 21
    BAD_RWSET = 22
    ILLEGAL_WRITESET = 23
    INVALID_WRITESET = 24
    INVALID_CHAINCODE = 25
    NOT_VALIDATED = 254
    INVALID_OTHER_REASON = 255


class HeaderType(IntEnum):
    """Kinds of envelopes (`common.HeaderType`), as far as they are met here."""

    MESSAGE = 0
    CONFIG = 1
    CONFIG_UPDATE = 2
    ENDORSER_TRANSACTION = 3
    DELIVER_SEEK_INFO = 5


class InvalidTransaction(MalformedInput):
    """An envelope that Fabric refuses with this validation code."""

    def __init__(self, code: ValidationCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.reason = message


class Endorsement(NamedTuple):
    """`endorser` is a serialized identity; `signature` is over proposal_response_payload ‖ endorser."""

    endorser: bytes
    signature: bytes


class ChaincodeEvent(NamedTuple):
    chaincode: str
    transaction_id: str
    name: str
    payload: bytes


class Response(NamedTuple):
    """What the contract answered. A status of 400 and more is never endorsed."""

    status: int
    message: str
    payload: bytes


class Endorsed(NamedTuple):
    """A proposal and the answer that endorsers signed, not yet opened.

    `proposal_header` is the action's own signature header, `proposal_payload` the proposal without its transient
    part; `proposal_hash` must be that of channel header ‖ proposal_header ‖ proposal_payload.
    """

    proposal_header: bytes
    proposal_payload: bytes
    proposal_hash: bytes
    response_payload: bytes
    chaincode_action: bytes
    endorsements: tuple[Endorsement, ...]


class Action(NamedTuple):
    """What was called and what came of it."""

    endorsed: Endorsed
    chaincode: str
    chaincode_version: str
    rwset: tuple[NamespaceSet, ...]
    event: ChaincodeEvent | None

    @property
    def arguments(self) -> tuple[bytes, ...]:
        """What the contract was called with. Raises MalformedInput."""
        payload = read(
            proposal_pb2.ChaincodeProposalPayload, self.endorsed.proposal_payload, "proposal payload"
        )
        invocation = read(chaincode_pb2.ChaincodeInvocationSpec, payload.input, "invocation")
        return tuple(invocation.chaincode_spec.input.args)

    @property
    def response(self) -> Response:
        """What the contract answered. Raises MalformedInput."""
        answer = read(proposal_pb2.ChaincodeAction, self.endorsed.chaincode_action, "chaincode action")
        return Response(answer.response.status, answer.response.message, answer.response.payload)

    @property
    def function(self) -> str:
        """The first argument, which names the transaction as `contract:Name`. Raises MalformedInput."""
        arguments = self.arguments
        return arguments[0].decode("utf-8", "replace") if arguments else ""


class ParsedTransaction(NamedTuple):
    """One envelope. `type` is a HeaderType where it is known; `data` is the payload behind the header."""

    transaction_id: str
    channel_id: str
    type: int
    timestamp_ms: int
    epoch: int
    creator: bytes
    nonce: bytes
    channel_header: bytes
    signature_header: bytes
    extension: bytes
    data: bytes
    payload: bytes
    signature: bytes

    def endorsed(self) -> Endorsed:
        """Take the endorser transaction apart without opening the answer. Raises InvalidTransaction."""
        return _endorsed(self.data, self.signature_header if self.nonce and self.creator else None)

    def action(self, endorsed: Endorsed | None = None) -> Action:
        """Open the answer too. Raises InvalidTransaction with the code that Fabric's committer gives."""
        return _action(self.extension, endorsed or self.endorsed())


def parse_envelope(raw: bytes) -> ParsedTransaction:
    """Read an entry of a block, in its canonical encoding. Raises MalformedInput, InvalidTransaction."""
    envelope = read_strict(common_pb2.Envelope, raw, "envelope")
    return parse_payload(envelope.payload, envelope.signature)


def parse_payload(payload_bytes: bytes, signature: bytes) -> ParsedTransaction:
    """Read the headers of an envelope's payload. Raises InvalidTransaction."""
    payload = _read(ValidationCode.BAD_PAYLOAD, common_pb2.Payload, payload_bytes, "payload")
    bad = ValidationCode.BAD_COMMON_HEADER
    if not payload.HasField("header"):
        raise InvalidTransaction(bad, "the payload has no header")
    channel = _read(bad, common_pb2.ChannelHeader, payload.header.channel_header, "channel header")
    creator = _read(bad, common_pb2.SignatureHeader, payload.header.signature_header, "signature header")
    return ParsedTransaction(
        transaction_id=channel.tx_id,
        channel_id=channel.channel_id,
        type=channel.type,
        timestamp_ms=channel.timestamp.seconds * 1000 + channel.timestamp.nanos // 1_000_000,
        epoch=channel.epoch,
        creator=creator.creator,
        nonce=creator.nonce,
        channel_header=payload.header.channel_header,
        signature_header=payload.header.signature_header,
        extension=channel.extension,
        data=payload.data,
        payload=payload_bytes,
        signature=signature,
    )


def _endorsed(data: bytes, known_header: bytes | None) -> Endorsed:
    """`known_header` is a signature header with nonce and creator; the action's is the same in Fabric's own form."""
    bad = ValidationCode.INVALID_ENDORSER_TRANSACTION
    actions = _read(bad, tx_pb2.Transaction, data, "transaction").actions
    if len(actions) != 1:
        raise InvalidTransaction(bad, f"{len(actions)} actions where one is due")
    proposal_header = actions[0].header
    if proposal_header != known_header:
        header = _read(bad, common_pb2.SignatureHeader, proposal_header, "action header")
        if not header.nonce or not header.creator:
            raise InvalidTransaction(bad, "the action's header lacks nonce or creator")
    payload = _read(bad, tx_pb2.ChaincodeActionPayload, actions[0].payload, "action payload")
    action = payload.action
    raw = action.proposal_response_payload
    answer = _read(bad, proposal_response_pb2.ProposalResponsePayload, raw, "response payload")
    return Endorsed(
        proposal_header=proposal_header,
        proposal_payload=payload.chaincode_proposal_payload,
        proposal_hash=answer.proposal_hash,
        response_payload=raw,
        chaincode_action=answer.extension,
        endorsements=tuple([Endorsement(item.endorser, item.signature) for item in action.endorsements]),
    )


def _action(extension: bytes, endorsed: Endorsed) -> Action:
    """Open the answer; the order of the checks is that of Fabric's committer."""
    named = _chaincode_of(extension)
    bad = ValidationCode.BAD_RESPONSE_PAYLOAD
    if not endorsed.chaincode_action:
        raise InvalidTransaction(bad, "the response payload has no chaincode action")
    answer = _read(bad, proposal_pb2.ChaincodeAction, endorsed.chaincode_action, "chaincode action")
    rwset = _rwset(answer.results)
    if named is None or not answer.HasField("chaincode_id"):
        raise InvalidTransaction(ValidationCode.INVALID_OTHER_REASON, "no chaincode is named")
    name, version = answer.chaincode_id.name, answer.chaincode_id.version
    if not named or name != named or not version:
        raise InvalidTransaction(
            ValidationCode.INVALID_CHAINCODE, "not one chaincode and its version are named"
        )
    return Action(
        endorsed=endorsed,
        chaincode=name,
        chaincode_version=version,
        rwset=rwset,
        event=_event(answer.events, name),
    )


@functools.lru_cache(maxsize=64)
def _chaincode_of(extension: bytes) -> str | None:
    """Return the chaincode that a header extension names, None when it names none; most name the same."""
    bad = ValidationCode.BAD_HEADER_EXTENSION
    header = _read(bad, proposal_pb2.ChaincodeHeaderExtension, extension, "header extension")
    return header.chaincode_id.name if header.HasField("chaincode_id") else None


def _rwset(raw: bytes) -> tuple[NamespaceSet, ...]:
    try:
        return parse_rwset(raw)
    except MalformedInput as error:
        raise InvalidTransaction(ValidationCode.BAD_RWSET, str(error)) from error


def _event(raw: bytes, chaincode: str) -> ChaincodeEvent | None:
    if not raw:
        return None
    bad = ValidationCode.INVALID_OTHER_REASON
    message = _read(bad, chaincode_event_pb2.ChaincodeEvent, raw, "chaincode event")
    if message.chaincode_id != chaincode:
        raise InvalidTransaction(bad, "the event is of another chaincode")
    return ChaincodeEvent(message.chaincode_id, message.tx_id, message.event_name, message.payload)


def _read(code: ValidationCode, kind: type[Any], raw: bytes, what: str) -> Any:
    try:
        return read(kind, raw, what)
    except MalformedInput as error:
        raise InvalidTransaction(code, str(error)) from error
