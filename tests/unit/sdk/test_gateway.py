"""Gateway, network, contract: any contract on any channel, with keys that need not be in the process."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

import bfl_fabric
from bfl_fabric import errors
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.ecdsa import P256_ORDER
from bfl_fabric.fabric.gateway_transport import GatewayStatus
from bfl_fabric.sdk.gateway import (
    CommitFailed,
    EndorseFailed,
    EvaluateFailed,
    Gateway,
    Identity,
    SigningIdentity,
    ValidationCode,
    connect_async,
)
from tests.conformance.embedded_channel import EmbeddedChannel
from tests.interop.doors import Door, EmbeddedDoors


class Token:
    """Plays an HSM: it has the key, signs digests, and answers with the higher s as some do."""

    def __init__(self, door: Door) -> None:
        key = serialization.load_pem_private_key(door.key, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self.signed_count = 0

    def sign(self, digest: bytes) -> bytes:
        self.signed_count += 1
        r, s = decode_dss_signature(self._key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return encode_dss_signature(r, max(s, P256_ORDER - s))


def identity_of(door: Door) -> Identity:
    return Identity.of(door.msp_id, door.certificate)


@pytest.fixture
def token(door: Door) -> Token:
    return Token(door)


@pytest.fixture
def gateway(door: Door) -> Iterator[Gateway]:
    signer = SigningIdentity.from_pem(door.msp_id, door.certificate, door.key)
    with bfl_fabric.gateway.connect(door.address, signer, tls_roots=door.tls_roots) as opened:
        yield opened


@pytest.fixture
def unsigned(door: Door) -> Iterator[Gateway]:
    """A gateway that knows the certificate and nothing that could sign."""
    with bfl_fabric.gateway.connect(door.address, identity_of(door), tls_roots=door.tls_roots) as opened:
        yield opened


def test_a_contract_is_submitted_to_and_evaluated(gateway: Gateway, door: Door) -> None:
    contract = gateway.network(door.channel_id).contract(door.chaincode)
    assert contract.submit("put", "sdk", "vålue") == b""
    assert contract.evaluate("get", "sdk") == "vålue".encode()
    assert contract.evaluate("get", b"sdk") == "vålue".encode()


def test_a_contract_name_goes_before_the_function(gateway: Gateway, door: Door) -> None:
    contract = gateway.network(door.channel_id).contract(door.chaincode, "treatments")
    with pytest.raises(EvaluateFailed, match="do_treatments:get"):
        contract.evaluate("get", "x")


def test_transient_values_reach_the_contract_and_no_block(
    gateway: Gateway, door: Door, channel: EmbeddedChannel
) -> None:
    network = gateway.network(door.channel_id)
    contract = network.contract(door.chaincode)
    assert contract.evaluate("transient", "secret", transient={"secret": "hidden-one"}) == b"hidden-one"
    holders = channel.msp_ids[:2]
    _, commit = contract.submit_async(
        "put_private", "shared", "k", transient={"value": "hidden-two"}, endorsing_organizations=holders
    )
    status = commit.status().require_successful()
    assert contract.evaluate("get_private", "shared", "k") == b"hidden-two"
    block = next(network.blocks(status.block_number, status.block_number))
    assert commit.transaction_id.encode() in block
    assert b"hidden-two" not in block


def test_naming_too_few_endorsing_organizations_is_told_at_commit(gateway: Gateway, door: Door) -> None:
    contract = gateway.network(door.channel_id).contract(door.chaincode)
    with pytest.raises(CommitFailed) as failed:
        contract.submit("put", "alone", "1", endorsing_organizations=[door.msp_id])
    assert failed.value.validation_code == ValidationCode.ENDORSEMENT_POLICY_FAILURE


def test_a_refusal_at_endorsement_carries_every_peers_words(gateway: Gateway, door: Door) -> None:
    contract = gateway.network(door.channel_id).contract(door.chaincode)
    with pytest.raises(errors.EndorseError) as refused:
        contract.submit("fail", "BFL-501: not now")
    failure = refused.value
    assert isinstance(failure, EndorseFailed)
    assert failure.status is GatewayStatus.ABORTED
    assert [item.msp_id for item in failure.details] == [door.msp_id]
    assert failure.reason == "chaincode response 500, BFL-501: not now"
    assert len(failure.transaction_id) == 64


def test_a_stale_transaction_is_told_with_its_code(gateway: Gateway, door: Door) -> None:
    contract = gateway.network(door.channel_id).contract(door.chaincode)
    stale = contract.new_proposal("append", "sdk stale", "x").endorse()
    contract.submit("append", "sdk stale", "y")
    status = stale.submit().status()
    assert (status.code, status.successful) == (ValidationCode.MVCC_READ_CONFLICT, False)
    with pytest.raises(CommitFailed) as failed:
        status.require_successful()
    assert failed.value.validation_code == ValidationCode.MVCC_READ_CONFLICT


def test_submit_async_returns_before_the_commit_and_the_status_follows(gateway: Gateway, door: Door) -> None:
    contract = gateway.network(door.channel_id).contract(door.chaincode)
    result, commit = contract.submit_async("append", "sdk async", "x")
    assert result == b"x"
    status = commit.status()
    assert status.successful
    assert status.transaction_id == commit.transaction_id
    assert commit.status() == status


def test_a_token_signs_everything_and_its_high_s_is_put_right(door: Door, token: Token) -> None:
    with bfl_fabric.gateway.connect(
        door.address, identity_of(door), signer=token.sign, tls_roots=door.tls_roots
    ) as opened:
        network = opened.network(door.channel_id)
        network.contract(door.chaincode).submit("put", "token", "1")
        assert token.signed_count == 3
        assert parse_block(next(network.blocks())).number == 0
        assert network.contract(door.chaincode).evaluate("get", "token") == b"1"


def test_a_token_with_another_key_is_refused_before_anything_is_sent(
    channel: EmbeddedChannel, door: Door
) -> None:
    foreign = Token(EmbeddedDoors(channel).door(1))
    with bfl_fabric.gateway.connect(
        door.address, identity_of(door), signer=foreign.sign, tls_roots=door.tls_roots
    ) as opened:
        contract = opened.network(door.channel_id).contract(door.chaincode)
        with pytest.raises(errors.ConfigurationError, match=f"not one by the certificate of {door.msp_id}"):
            contract.evaluate("get", "x")


def test_every_step_can_be_signed_elsewhere(unsigned: Gateway, door: Door, token: Token) -> None:
    contract = unsigned.network(door.channel_id).contract(door.chaincode)
    proposal = contract.new_proposal("put", "offline", "1")
    signed = unsigned.new_signed_proposal(proposal.to_bytes(), token.sign(proposal.digest))
    assert signed.transaction_id == proposal.transaction_id
    endorsed = signed.endorse()
    transaction = unsigned.new_signed_transaction(endorsed.to_bytes(), token.sign(endorsed.digest))
    commit = transaction.submit()
    asked = unsigned.new_signed_commit(commit.to_bytes(), token.sign(commit.digest))
    assert asked.status().successful
    query = contract.new_proposal("get", "offline")
    assert unsigned.new_signed_proposal(query.to_bytes(), token.sign(query.digest)).evaluate() == b"1"


@pytest.mark.parametrize("signature", [b"", b"nonsense", encode_dss_signature(1, 1)])
def test_a_wrong_signature_is_refused_where_it_is_handed_over(
    unsigned: Gateway, door: Door, signature: bytes
) -> None:
    proposal = unsigned.network(door.channel_id).contract(door.chaincode).new_proposal("get", "x")
    with pytest.raises(errors.ConfigurationError, match="must sign the SHA-256 digest"):
        unsigned.new_signed_proposal(proposal.to_bytes(), signature)


def test_without_a_signer_the_error_says_what_to_do(unsigned: Gateway, door: Door) -> None:
    contract = unsigned.network(door.channel_id).contract(door.chaincode)
    with pytest.raises(errors.ConfigurationError, match="new_signed_proposal"):
        contract.evaluate("get", "x")


def test_events_go_on_behind_a_checkpoint(gateway: Gateway, door: Door) -> None:
    network = gateway.network(door.channel_id)
    contract = network.contract(door.chaincode)
    _, commit = contract.submit_async("event", "first", "1")
    start = commit.status().block_number
    for number in (2, 3):
        contract.submit("event", f"next{number}", str(number))
    with closing(network.events(contract, start_block=start)) as events:
        first, second = itertools.islice(events, 2)
    assert (first.name, first.payload, first.transaction_id) == ("first", b"1", commit.transaction_id)
    with closing(network.events(door.chaincode, after=first.checkpoint)) as events:
        assert [event.name for event in itertools.islice(events, 2)] == [second.name, "next3"]


def test_blocks_come_in_order_up_to_the_last_one_asked_for(gateway: Gateway, door: Door) -> None:
    numbers = [parse_block(raw).number for raw in gateway.network(door.channel_id).blocks(0, 1)]
    assert numbers == [0, 1]


def test_another_channel_is_refused_and_the_stream_ends(gateway: Gateway) -> None:
    with pytest.raises(errors.LedgerError, match="events"):
        next(gateway.network("elsewhere").events("probe", start_block=0))


async def in_parallel(door: Door, count: int) -> list[bytes]:
    signer = SigningIdentity.from_pem(door.msp_id, door.certificate, door.key)
    async with connect_async(door.address, signer, tls_roots=door.tls_roots) as opened:
        contract = opened.network(door.channel_id).contract(door.chaincode)
        await asyncio.gather(*(contract.submit("put", f"many{n}", str(n)) for n in range(count)))
        return await asyncio.gather(*(contract.evaluate("get", f"many{n}") for n in range(count)))


def test_fifty_concurrent_callers_on_one_gateway_each_get_their_own_answer(door: Door) -> None:
    assert asyncio.run(in_parallel(door, 50)) == [str(number).encode() for number in range(50)]


def test_the_private_key_is_in_no_repr(door: Door, token: Token, gateway: Gateway) -> None:
    signer: Callable[[bytes], bytes] = token.sign
    from bfl_fabric.sdk.gateway.signing import CallbackSigner

    shown = repr(CallbackSigner(identity_of(door), signer)) + repr(gateway.identity)
    assert "PRIVATE" not in shown
    assert door.msp_id in shown


def test_importing_the_package_loads_the_gateway_only_when_it_is_asked_for() -> None:
    code = (
        "import sys, bfl_fabric; before = 'grpc' in sys.modules; bfl_fabric.gateway.connect; "
        "print(before, 'grpc' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "False True", result.stderr
