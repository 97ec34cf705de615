"""The cyclic collector runs seldom while a chain is read, and there is next to nothing for it to find."""

from __future__ import annotations

import gc

import pytest

from bfl_fabric.fabric.collector import THRESHOLDS, rare_collections
from bfl_fabric.fabric.verifier import ChainVerifier
from tests.unit.fabric.chain_builder import Call, ChainBuilder, put
from tests.unit.fabric.organizations import federation

BLOCKS = 40


def test_thresholds_are_put_back_also_after_an_error() -> None:
    before = gc.get_threshold()
    within = []

    def fail() -> None:
        with rare_collections():
            within.append(gc.get_threshold())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (within, gc.get_threshold()) == ([THRESHOLDS], before)


def test_a_collector_that_is_off_stays_off() -> None:
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with rare_collections():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)


def test_verified_blocks_are_in_no_cycles() -> None:
    """Else they would stay in memory until the collector comes, which is seldom."""
    parties = federation()
    alpha, beta, _ = parties.organizations
    chain = ChainBuilder(parties)
    chain.define_chaincode()
    for number in range(BLOCKS):
        chain.add_calls(Call(alpha.client, [alpha.peer, beta.peer], [put(f"key {number}", b"1")]))
    verifier = ChainVerifier(chain.genesis_digest)
    for raw in chain.blocks[:4]:
        verifier.feed(raw)
    gc.collect()
    gc.disable()
    try:
        for raw in chain.blocks[4:]:
            verifier.feed(raw)
        assert gc.collect() < BLOCKS
    finally:
        gc.enable()
