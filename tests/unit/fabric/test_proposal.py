"""Proposals and endorsements: their bytes, their checks, and what a client refuses to sign."""

from __future__ import annotations

import hashlib

import pytest
from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2
from hypothesis import given
from hypothesis import strategies as st

from bfl_fabric.errors import MalformedInput, NotTrusted
from bfl_fabric.fabric.endorsement import Simulation, assemble, check_prepared, endorse, response_payload
from bfl_fabric.fabric.envelopes import Response
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.fabric.proposal import (
    Invocation,
    build_proposal,
    check_proposal,
    parse_proposal,
    proposal_hash,
    sign_proposal,
    transaction_id,
)
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.organizations import CHAINCODE, CHANNEL, FOUNDED_MS, federation

NONCE = b"n" * 24


def alpha():  # type: ignore[no-untyped-def]
    return federation().organizations[0]


def made(transient: dict[str, bytes] | None = None, *arguments: bytes):  # type: ignore[no-untyped-def]
    call = Invocation(CHANNEL, CHAINCODE, arguments or (b"task:Create", b"{}"), transient or {})
    return build_proposal(call, alpha().client.creator, NONCE, FOUNDED_MS + 7)


def prepared(proposal=None):  # type: ignore[no-untyped-def]
    proposal = proposal or made()
    simulation = Simulation(CHAINCODE, "1.0", b"", Response(200, "", b"{}"))
    payload = response_payload(proposal, simulation)
    return assemble(proposal, payload, [endorse(payload, item.peer) for item in federation().organizations])


def test_the_transaction_id_is_the_hash_of_nonce_and_creator() -> None:
    assert transaction_id(b"nonce", b"creator") == hashlib.sha256(b"noncecreator").hexdigest()
    assert made().transaction_id == transaction_id(NONCE, alpha().client.creator)


def test_a_proposal_is_what_fabrics_messages_say() -> None:
    proposal = proposal_pb2.Proposal.FromString(made({"k": b"v"}).proposal_bytes)
    header = common_pb2.Header.FromString(proposal.header)
    channel = common_pb2.ChannelHeader.FromString(header.channel_header)
    assert channel.type == common_pb2.ENDORSER_TRANSACTION
    assert channel.channel_id == CHANNEL
    assert (channel.timestamp.seconds, channel.timestamp.nanos) == (FOUNDED_MS // 1000, 7_000_000)
    extension = proposal_pb2.ChaincodeHeaderExtension.FromString(channel.extension)
    assert extension.chaincode_id.name == CHAINCODE
    payload = proposal_pb2.ChaincodeProposalPayload.FromString(proposal.payload)
    assert dict(payload.TransientMap) == {"k": b"v"}
    spec = chaincode_pb2.ChaincodeInvocationSpec.FromString(payload.input).chaincode_spec
    assert list(spec.input.args) == [b"task:Create", b"{}"]
    assert spec.chaincode_id.name == CHAINCODE


@given(
    st.lists(st.binary(max_size=20), min_size=1, max_size=3),
    st.dictionaries(st.text(max_size=5), st.binary(max_size=5), max_size=3),
)
def test_a_proposal_reads_back_as_it_was_made(arguments: list[bytes], transient: dict[str, bytes]) -> None:
    proposal = made(transient, *arguments)
    assert parse_proposal(proposal.proposal_bytes) == proposal


def test_the_hash_does_not_cover_what_is_transient() -> None:
    assert made({"secret": b"one"}).hash == made({"secret": b"two"}).hash == made().hash
    plain = made()
    assert plain.hash == proposal_hash(plain.channel_header, plain.signature_header, plain.payload)


def test_only_the_creator_signs_a_proposal() -> None:
    with pytest.raises(MalformedInput, match="creator"):
        sign_proposal(made(), alpha().peer)


def test_a_good_proposal_passes_the_peers_checks() -> None:
    signed = sign_proposal(made(), alpha().client)
    proposal, member = check_proposal(signed, federation().config(), FOUNDED_MS)
    assert proposal.transaction_id == made().transaction_id
    assert member.identity.attributes == {"bfl.role": "participant"}


def test_a_peer_refuses_a_proposal_with_a_changed_byte() -> None:
    signed = sign_proposal(made(), alpha().client)
    config = federation().config()
    for position in range(0, len(signed.proposal_bytes), 7):
        changed = bytearray(signed.proposal_bytes)
        changed[position] ^= 1
        tampered = proposal_pb2.SignedProposal(proposal_bytes=bytes(changed), signature=signed.signature)
        with pytest.raises((MalformedInput, NotTrusted)):
            check_proposal(tampered, config, FOUNDED_MS)


def test_a_peer_refuses_strangers_stale_proposals_and_expired_members() -> None:
    stranger = federation(type(federation().consensus)("BFT")).organizations[0].client
    call = Invocation(CHANNEL, CHAINCODE, (b"a",))
    signed = sign_proposal(build_proposal(call, stranger.creator, NONCE, FOUNDED_MS), stranger)
    with pytest.raises(NotTrusted):
        check_proposal(signed, federation().config(), FOUNDED_MS)
    good = sign_proposal(made(), alpha().client)
    with pytest.raises(MalformedInput, match="too old"):
        check_proposal(good, federation().config(), FOUNDED_MS + 16 * 60_000)
    late = build_proposal(made().invocation, alpha().client.creator, NONCE, 2**45)
    with pytest.raises(NotTrusted, match="not valid at"):
        check_proposal(sign_proposal(late, alpha().client), federation().config(), 2**45)


def test_a_peer_refuses_another_channel() -> None:
    call = Invocation("other", CHAINCODE, (b"a",))
    client = alpha().client
    signed = sign_proposal(build_proposal(call, client.creator, NONCE, FOUNDED_MS), client)
    with pytest.raises(MalformedInput, match="other"):
        check_proposal(signed, federation().config(), FOUNDED_MS)


def rebuilt(change: str) -> bytes:
    """Return a proposal with one thing wrong in it."""
    proposal = proposal_pb2.Proposal.FromString(made().proposal_bytes)
    header = common_pb2.Header.FromString(proposal.header)
    channel = common_pb2.ChannelHeader.FromString(header.channel_header)
    signature = common_pb2.SignatureHeader.FromString(header.signature_header)
    payload = proposal_pb2.ChaincodeProposalPayload.FromString(proposal.payload)
    call = chaincode_pb2.ChaincodeInvocationSpec.FromString(payload.input)
    if change == "type":
        channel.type = common_pb2.CONFIG
    elif change == "epoch":
        channel.epoch = 1
    elif change == "id":
        channel.tx_id = "0" * 64
    elif change == "no nonce":
        signature.nonce = b""
    elif change == "no creator":
        signature.creator = b""
    elif change == "chaincode":
        call.chaincode_spec.chaincode_id.name = "other"
    elif change == "no arguments":
        call.chaincode_spec.input.ClearField("args")
    payload.input = write(call)
    header.channel_header, header.signature_header = write(channel), write(signature)
    return write(proposal_pb2.Proposal(header=write(header), payload=write(payload)))


@pytest.mark.parametrize(
    "change", ["type", "epoch", "id", "no nonce", "no creator", "chaincode", "no arguments"]
)
def test_a_proposal_without_sense_is_refused(change: str) -> None:
    with pytest.raises(MalformedInput):
        parse_proposal(rebuilt(change))


def test_endorsements_sign_the_answer_and_the_endorser() -> None:
    peer = alpha().peer
    endorsement = endorse(b"payload", peer)
    assert endorsement.endorser == peer.creator
    Identity.parse(peer.creator).verify(b"payload" + peer.creator, endorsement.signature)


def test_a_transaction_carries_each_endorser_once() -> None:
    proposal = made()
    payload = response_payload(proposal, Simulation(CHAINCODE, "1.0", b"", Response(200, "", b"{}")))
    twice = [endorse(payload, alpha().peer), endorse(payload, alpha().peer)]
    _, action = check_prepared(proposal, assemble(proposal, payload, twice).payload)
    assert len(action.endorsed.endorsements) == 1
    with pytest.raises(MalformedInput, match="endorsement"):
        assemble(proposal, payload, [])


def test_a_client_signs_its_own_proposal_endorsed() -> None:
    _, action = check_prepared(made(), prepared().payload)
    assert action.response.payload == b"{}"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: made(None, b"reward:Mint", b"{}"), id="other arguments"),
        pytest.param(
            lambda: build_proposal(
                Invocation("other", CHAINCODE, (b"task:Create", b"{}")),
                alpha().client.creator,
                NONCE,
                FOUNDED_MS + 7,
            ),
            id="other channel",
        ),
        pytest.param(
            lambda: build_proposal(made().invocation, alpha().client.creator, NONCE, FOUNDED_MS + 8),
            id="other time",
        ),
        pytest.param(
            lambda: build_proposal(made().invocation, alpha().client.creator, b"m" * 24, FOUNDED_MS + 7),
            id="other nonce",
        ),
    ],
)
def test_a_client_refuses_to_sign_another_proposal(other) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MalformedInput, match=r"prepared transaction|another proposal"):
        check_prepared(made(), prepared(other()).payload)


def test_a_client_refuses_an_answer_to_another_proposal() -> None:
    mine, other = made(), made(None, b"reward:Mint", b"{}")
    payload = response_payload(other, Simulation(CHAINCODE, "1.0", b"", Response(200, "", b"{}")))
    mixed = assemble(mine, payload, [endorse(payload, alpha().peer)])
    with pytest.raises(MalformedInput, match="answered another proposal"):
        check_prepared(mine, mixed.payload)
