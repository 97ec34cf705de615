"""Proposals: what a client asks the endorsing peers to run, and how a peer checks what it was asked.

Decides the bytes of a proposal, its transaction id and its hash, and which signed proposals are well-formed and by
whom. What running it gives, and who may run it, is left to the peer (`bfl_fabric.embedded`) and the contract.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2

from bfl_fabric.errors import MalformedInput
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.deliver import TIME_WINDOW_MS
from bfl_fabric.fabric.envelopes import HeaderType
from bfl_fabric.fabric.identity import Identity, Signer
from bfl_fabric.fabric.policy import Member
from bfl_fabric.fabric.wire import read, read_strict, write

NONCE_BYTES = 24


@dataclass(frozen=True, slots=True)
class Invocation:
    """What to call. `arguments[0]` is the function's name; `transient` reaches the contract and no block."""

    channel_id: str
    chaincode: str
    arguments: tuple[bytes, ...]
    transient: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as bytes, with the parts that a transaction repeats.

    `payload` is the chaincode proposal payload without its transient part, as it enters the block.
    """

    transaction_id: str
    invocation: Invocation
    creator: bytes
    nonce: bytes
    timestamp_ms: int
    channel_header: bytes
    signature_header: bytes
    payload: bytes
    proposal_bytes: bytes

    @property
    def hash(self) -> bytes:
        """What every endorser's answer names: the hash of both headers and the payload."""
        return proposal_hash(self.channel_header, self.signature_header, self.payload)


def transaction_id(nonce: bytes, creator: bytes) -> str:
    """Return Fabric's transaction id, lower-case hex SHA-256 of nonce ‖ creator."""
    return hashlib.sha256(nonce + creator).hexdigest()


def proposal_hash(channel_header: bytes, signature_header: bytes, payload: bytes) -> bytes:
    """Return the SHA-256 that binds an endorsement to a proposal; `payload` is without its transient part."""
    return hashlib.sha256(channel_header + signature_header + payload).digest()


def build_proposal(invocation: Invocation, creator: bytes, nonce: bytes, at_ms: int) -> Proposal:
    """Return the proposal for an invocation by `creator` at `at_ms`; the same arguments give the same bytes."""
    identifier = transaction_id(nonce, creator)
    chaincode = chaincode_pb2.ChaincodeID(name=invocation.chaincode)
    channel_header = common_pb2.ChannelHeader(
        type=HeaderType.ENDORSER_TRANSACTION,
        channel_id=invocation.channel_id,
        tx_id=identifier,
        extension=write(proposal_pb2.ChaincodeHeaderExtension(chaincode_id=chaincode)),
    )
    channel_header.timestamp.seconds = at_ms // 1000
    channel_header.timestamp.nanos = at_ms % 1000 * 1_000_000
    header = common_pb2.Header(
        channel_header=write(channel_header),
        signature_header=write(common_pb2.SignatureHeader(creator=creator, nonce=nonce)),
    )
    spec = chaincode_pb2.ChaincodeSpec(
        type=chaincode_pb2.ChaincodeSpec.GOLANG,
        chaincode_id=chaincode,
        input=chaincode_pb2.ChaincodeInput(args=invocation.arguments),
    )
    call = write(chaincode_pb2.ChaincodeInvocationSpec(chaincode_spec=spec))
    payload = proposal_pb2.ChaincodeProposalPayload(input=call, TransientMap=dict(invocation.transient))
    return Proposal(
        transaction_id=identifier,
        invocation=invocation,
        creator=creator,
        nonce=nonce,
        timestamp_ms=at_ms,
        channel_header=header.channel_header,
        signature_header=header.signature_header,
        payload=_without_transient(payload),
        proposal_bytes=write(proposal_pb2.Proposal(header=write(header), payload=write(payload))),
    )


def sign_proposal(proposal: Proposal, signer: Signer) -> Any:
    """Return the `protos.SignedProposal`. The signer must be the proposal's creator."""
    if signer.creator != proposal.creator:
        raise MalformedInput("a proposal is signed by its creator and by nobody else")
    return proposal_pb2.SignedProposal(
        proposal_bytes=proposal.proposal_bytes, signature=signer.sign(proposal.proposal_bytes)
    )


def parse_proposal(proposal_bytes: bytes) -> Proposal:
    """Read a serialized `protos.Proposal`; its transaction id is recomputed. Raises MalformedInput."""
    message = read_strict(proposal_pb2.Proposal, proposal_bytes, "proposal")
    header = read_strict(common_pb2.Header, message.header, "proposal header")
    channel = read_strict(common_pb2.ChannelHeader, header.channel_header, "channel header")
    signature = read_strict(common_pb2.SignatureHeader, header.signature_header, "signature header")
    extension = read_strict(proposal_pb2.ChaincodeHeaderExtension, channel.extension, "header extension")
    payload = read(proposal_pb2.ChaincodeProposalPayload, message.payload, "proposal payload")
    call = read(chaincode_pb2.ChaincodeInvocationSpec, payload.input, "invocation")
    _require_proposal(channel, signature, extension, call)
    return Proposal(
        transaction_id=channel.tx_id,
        invocation=Invocation(
            channel_id=channel.channel_id,
            chaincode=extension.chaincode_id.name,
            arguments=tuple(call.chaincode_spec.input.args),
            transient=dict(payload.TransientMap),
        ),
        creator=signature.creator,
        nonce=signature.nonce,
        timestamp_ms=channel.timestamp.seconds * 1000 + channel.timestamp.nanos // 1_000_000,
        channel_header=header.channel_header,
        signature_header=header.signature_header,
        payload=_without_transient(payload),
        proposal_bytes=proposal_bytes,
    )


def check_proposal(signed: Any, config: ChannelConfig, now_ms: int) -> tuple[Proposal, Member]:
    """Check a `protos.SignedProposal` as an endorsing peer does, and return it with the member who sent it.

    The channel must be this one, the proposal fresh (contracts take their time from it), the creator a member now,
    the signature good. Raises MalformedInput, NotTrusted.
    """
    proposal = parse_proposal(signed.proposal_bytes)
    if abs(now_ms - proposal.timestamp_ms) > TIME_WINDOW_MS:
        raise MalformedInput("the proposal is too old, or the clocks differ")
    if proposal.invocation.channel_id != config.channel_id:
        raise MalformedInput(f"the proposal is for channel {proposal.invocation.channel_id!r}")
    Identity.parse_strict(proposal.creator)
    member = config.member(proposal.creator, now_ms)
    member.identity.verify(signed.proposal_bytes, signed.signature)
    return proposal, member


def _require_proposal(channel: Any, signature: Any, extension: Any, call: Any) -> None:
    if channel.type != HeaderType.ENDORSER_TRANSACTION or channel.epoch:
        raise MalformedInput("the proposal is not for an endorser transaction of epoch 0")
    if not signature.nonce or not signature.creator:
        raise MalformedInput("the proposal lacks nonce or creator")
    if channel.tx_id != transaction_id(signature.nonce, signature.creator):
        raise MalformedInput("the proposal's transaction id is not that of its nonce and creator")
    name = extension.chaincode_id.name
    if not name or call.chaincode_spec.chaincode_id.name != name:
        raise MalformedInput("the proposal does not name one chaincode")
    if not call.chaincode_spec.input.args:
        raise MalformedInput("the proposal has no arguments, not even a function")


def _without_transient(payload: Any) -> bytes:
    return write(proposal_pb2.ChaincodeProposalPayload(input=payload.input))
