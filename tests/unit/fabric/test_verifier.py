"""The block verifier: what a chain must be, and that no byte of it can be changed unnoticed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from fabric_protos.common import common_pb2

from bfl_fabric.errors import AuditFailed
from bfl_fabric.fabric.authority import Validity
from bfl_fabric.fabric.blocks import commit_hash_slot, signed_block_metadata
from bfl_fabric.fabric.channel import Consensus
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.signature_workers import signature_checks
from bfl_fabric.fabric.signatures import ChecksOnTheSpot, SignatureChecks
from bfl_fabric.fabric.verifier import ChainVerifier
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.chain_builder import Call, ChainBuilder, envelope, propose, put
from tests.unit.fabric.organizations import CHAINCODE, START, federation


@pytest.fixture(scope="module", params=["on the spot", "in workers"], autouse=True)
def checks(request: pytest.FixtureRequest) -> Iterator[SignatureChecks]:
    """Everything here holds wherever signatures are checked."""
    with signature_checks(workers=0 if request.param == "on the spot" else 2, start_after=0) as found:
        _CHECKS.append(found)
        yield found
        _CHECKS.clear()


_CHECKS: list[SignatureChecks] = []


def verifier_of(genesis_digest: str) -> ChainVerifier:
    return ChainVerifier(genesis_digest, _CHECKS[0])


def small_chain(consensus: Consensus = Consensus.RAFT, with_codes: bool = True) -> ChainBuilder:
    parties = federation(consensus)
    alpha, beta, gamma = parties.organizations
    chain = ChainBuilder(parties, with_codes)
    chain.define_chaincode()
    chain.add_calls(Call(alpha.client, [alpha.peer, beta.peer], [put("a", b"1")]))
    stale = Call(beta.client, [alpha.peer, gamma.peer], [put("a", b"3")])
    fresh = Call(gamma.client, [beta.peer, gamma.peer], [put("a", b"2", Height(2, 0))])
    codes = [ValidationCode.VALID, ValidationCode.MVCC_READ_CONFLICT]
    chain.add([envelope(fresh), envelope(stale)], codes, [fresh.rwset])
    return chain


def stale_call() -> Call:
    alpha, beta, gamma = federation().organizations
    return Call(beta.client, [alpha.peer, gamma.peer], [put("a", b"3")])


@pytest.mark.parametrize("consensus", list(Consensus))
@pytest.mark.parametrize("with_codes", [True, False])
def test_a_good_chain_is_accepted_and_its_state_replayed(consensus: Consensus, with_codes: bool) -> None:
    chain = small_chain(consensus, with_codes)
    verifier = verifier_of(chain.genesis_digest)
    verified = list(verifier.verify(chain.blocks))
    assert [block.number for block in verified] == [0, 1, 2, 3]
    assert verifier.state.value(CHAINCODE, "a") == b"2"
    assert [item.code.name for item in verified[3].transactions] == ["VALID", "MVCC_READ_CONFLICT"]
    assert verifier.counts.by_code == {"VALID": 4, "MVCC_READ_CONFLICT": 1}
    assert verifier.counts.transactions == 5
    orderers = 3 if consensus is Consensus.BFT else 1
    assert verifier.counts.signatures == 3 * orderers + 4 * 3
    assert verifier.height == 4
    assert verified[2].transactions[0].action is not None
    assert verified[2].transactions[0].action.function == "test:Put"


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("consensus", list(Consensus))
def test_every_flipped_byte_of_every_block_is_noticed(consensus: Consensus, checks: SignatureChecks) -> None:
    """Every byte where signatures are checked on the spot, a good sample where workers do it."""
    chain = small_chain(consensus)
    before = verifier_of(chain.genesis_digest)
    for raw in chain.blocks:
        for position in range(0, len(raw), 1 if isinstance(checks, ChecksOnTheSpot) else 11):
            tampered = bytearray(raw)
            tampered[position] ^= 1 << position % 8
            with pytest.raises(AuditFailed):
                copy.copy(before).feed(bytes(tampered))
        before.feed(raw)


# --- single lies --------------------------------------------------------------------------------


def verify(chain: ChainBuilder, digest: str = "") -> ChainVerifier:
    verifier = verifier_of(digest or chain.genesis_digest)
    for _ in verifier.verify(chain.blocks):
        pass
    return verifier


def rewritten(chain: ChainBuilder, number: int, change: Callable[[Any], None]) -> ChainBuilder:
    message = common_pb2.Block.FromString(chain.blocks[number])
    change(message)
    chain.blocks[number] = write(message)
    return chain


def test_another_genesis_block_is_refused() -> None:
    with pytest.raises(AuditFailed, match="not the pinned"):
        verify(small_chain(), "0" * 64)


def test_a_missing_block_is_noticed() -> None:
    chain = small_chain()
    del chain.blocks[2]
    with pytest.raises(AuditFailed, match="expected block 2"):
        verify(chain)


def test_blocks_of_another_channel_do_not_follow() -> None:
    chain, other = small_chain(), small_chain(Consensus.BFT)
    chain.blocks[1] = other.blocks[1]
    with pytest.raises(AuditFailed, match="does not follow"):
        verify(chain)


def test_a_recorded_code_that_is_not_the_right_one_is_named_with_its_transaction() -> None:
    chain = small_chain()
    transaction_id = propose(stale_call()).transaction_id

    def lie(block: Any) -> None:
        block.metadata.metadata[2] = bytes(2)

    with pytest.raises(
        AuditFailed, match=f"block 3, transaction {transaction_id}: recorded as VALID, but it is MVCC"
    ):
        verify(rewritten(chain, 3, lie))


@pytest.mark.parametrize("flags", [b"\0", b"\0\x0b\0", b"\0\x63"])
def test_codes_must_fit_the_transactions(flags: bytes) -> None:
    def lie(block: Any) -> None:
        block.metadata.metadata[2] = flags

    with pytest.raises(AuditFailed, match="block 3"):
        verify(rewritten(small_chain(), 3, lie))


def test_codes_must_stand_in_all_blocks_or_in_none() -> None:
    def forget(block: Any) -> None:
        block.metadata.metadata[2] = b""

    with pytest.raises(AuditFailed, match="in some blocks only"):
        verify(rewritten(small_chain(), 2, forget))


def test_the_commit_hash_must_be_that_of_the_changes() -> None:
    def lie(block: Any) -> None:
        block.metadata.metadata[4] = commit_hash_slot(b"x" * 32)

    with pytest.raises(AuditFailed, match="commit hash"):
        verify(rewritten(small_chain(), 2, lie))


def test_the_commit_hash_is_the_same_for_peers_and_orderers_copies() -> None:
    assert verify(small_chain()).commit_hash == verify(small_chain(with_codes=False)).commit_hash


def signed_by(identity: SigningIdentity) -> Callable[[Any], None]:
    def change(block: Any) -> None:
        block.metadata.metadata[0] = signed_block_metadata(block.header, 0, identity, bytes(24))

    return change


def test_a_block_that_no_orderer_signed_is_refused() -> None:
    parties = federation()
    for identity in (parties.organizations[0].peer, parties.orderer.identity("other", "client")):
        with pytest.raises(AuditFailed, match="block 3: a signature of an orderer is not good"):
            verify(rewritten(small_chain(), 3, signed_by(identity)))


def test_a_block_without_any_signature_is_refused() -> None:
    def strip(block: Any) -> None:
        metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
        metadata.ClearField("signatures")
        block.metadata.metadata[0] = write(metadata)

    with pytest.raises(AuditFailed, match="not satisfied"):
        verify(rewritten(small_chain(), 1, strip))


def test_bft_blocks_need_three_of_four_signatures() -> None:
    def drop(block: Any) -> None:
        metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
        del metadata.signatures[0]
        block.metadata.metadata[0] = write(metadata)

    with pytest.raises(AuditFailed, match="not satisfied"):
        verify(rewritten(small_chain(Consensus.BFT), 1, drop))


def test_a_bft_signature_twice_is_not_two_signatures() -> None:
    def repeat(block: Any) -> None:
        metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
        metadata.signatures[0].CopyFrom(metadata.signatures[1])
        block.metadata.metadata[0] = write(metadata)

    with pytest.raises(AuditFailed, match="a signature of an orderer is not good"):
        verify(rewritten(small_chain(Consensus.BFT), 1, repeat))


def test_a_bft_signature_of_an_unknown_orderer_is_refused() -> None:
    def rename(block: Any) -> None:
        metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
        header = common_pb2.IdentifierHeader(identifier=9, nonce=bytes(24))
        metadata.signatures[0].identifier_header = write(header)
        block.metadata.metadata[0] = write(metadata)

    with pytest.raises(AuditFailed, match="no orderer 9"):
        verify(rewritten(small_chain(Consensus.BFT), 1, rename))


def test_a_valid_transaction_by_an_expired_creator_is_refused() -> None:
    parties = federation()
    alpha, beta, _ = parties.organizations
    short = alpha.identity("short", "client", None, Validity(START, START + timedelta(days=1)))
    chain = ChainBuilder(parties)
    chain.define_chaincode()
    chain.add_calls(Call(short, [alpha.peer, beta.peer], [put("a", b"1")]))
    with pytest.raises(
        AuditFailed, match=r"recorded as VALID, but it is BAD_CREATOR_SIGNATURE.*not valid at"
    ):
        verify(chain)


def test_a_transaction_that_stands_in_two_blocks_is_valid_once() -> None:
    parties = federation()
    alpha, beta, _ = parties.organizations
    call = Call(alpha.client, [alpha.peer, beta.peer], [put("a", b"1")])
    chain = ChainBuilder(parties)
    chain.define_chaincode()
    chain.add_calls(call)
    chain.add([envelope(call)], [ValidationCode.DUPLICATE_TXID])
    assert verify(chain).counts.by_code["DUPLICATE_TXID"] == 1
    lying = ChainBuilder(parties)
    lying.define_chaincode()
    lying.add_calls(call)
    lying.add_calls(call)
    with pytest.raises(AuditFailed, match="DUPLICATE_TXID"):
        verify(lying)


def test_a_verifier_that_failed_takes_no_more_blocks() -> None:
    chain = small_chain()
    verifier = verifier_of(chain.genesis_digest)
    verifier.feed(chain.blocks[0])
    with pytest.raises(AuditFailed) as first:
        verifier.feed(chain.blocks[2])
    with pytest.raises(AuditFailed) as second:
        verifier.feed(chain.blocks[1])
    assert str(first.value) == str(second.value)


def test_a_verifier_without_blocks_knows_no_configuration() -> None:
    with pytest.raises(AuditFailed, match="no block"):
        _ = verifier_of("0" * 64).config


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([], "no transaction that can be read"),
        ([b"\xff"], "transaction 0: envelope"),
        ([b""], "no transaction"),
    ],
)
def test_a_block_of_nothing_is_refused(entries: list[bytes], reason: str) -> None:
    chain = ChainBuilder(federation())
    chain.add(entries, [ValidationCode.BAD_COMMON_HEADER] * len(entries))
    with pytest.raises(AuditFailed, match=f"block 1: .*{reason}"):
        verify(chain)


@pytest.mark.parametrize("garbage", [b"", b"\0", b"block", bytes(1000)])
def test_garbage_is_no_block(garbage: bytes) -> None:
    with pytest.raises(AuditFailed):
        verifier_of("0" * 64).feed(garbage)
