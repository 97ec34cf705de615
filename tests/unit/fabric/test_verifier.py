"""The block verifier: what a chain must be, and that no byte of it can be changed unnoticed."""

from __future__ import annotations

import copy

import pytest

from bfl_fabric.errors import AuditFailed
from bfl_fabric.fabric.channel import Consensus
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.rwsets import Height
from bfl_fabric.fabric.verifier import ChainVerifier
from tests.unit.fabric.chain_builder import Call, ChainBuilder, envelope, put
from tests.unit.fabric.organizations import CHAINCODE, federation


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


@pytest.mark.parametrize("consensus", list(Consensus))
@pytest.mark.parametrize("with_codes", [True, False])
def test_a_good_chain_is_accepted_and_its_state_replayed(consensus: Consensus, with_codes: bool) -> None:
    chain = small_chain(consensus, with_codes)
    verifier = ChainVerifier(chain.genesis_digest)
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


@pytest.mark.parametrize("consensus", list(Consensus))
def test_every_flipped_byte_of_every_block_is_noticed(consensus: Consensus) -> None:
    chain = small_chain(consensus)
    before = ChainVerifier(chain.genesis_digest)
    for raw in chain.blocks:
        for position in range(len(raw)):
            tampered = bytearray(raw)
            tampered[position] ^= 1 << position % 8
            with pytest.raises(AuditFailed):
                copy.copy(before).feed(bytes(tampered))
        before.feed(raw)
