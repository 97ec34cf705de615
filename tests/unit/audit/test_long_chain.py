"""The chain that benchmarks verify is a real one: every rule of the audit that needs the ledger alone holds on it."""

from __future__ import annotations

import asyncio

import pytest

from bfl_fabric.audit.chain import read_chain
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.source import read_block_file
from bfl_fabric.audit.verify import LEDGER_CHECKS
from bfl_fabric.fabric.signature_workers import signature_checks
from bfl_fabric.fabric.verifier import ChainVerifier
from bfl_fabric.testing.long_chain import LongChain, make_long_chain


@pytest.fixture(scope="module")
def long_chain(tmp_path_factory: pytest.TempPathFactory) -> LongChain:
    return asyncio.run(make_long_chain(tmp_path_factory.mktemp("long"), 30, participants=6))


def findings_of(chain: LongChain, workers: int) -> Findings:
    findings = Findings()
    found = read_chain(read_block_file(chain.blocks), chain.genesis_digest, "bfl", findings, workers)
    for check in LEDGER_CHECKS:
        check(found.history, findings)
    return findings


def test_a_long_chain_passes_the_audit_of_its_records(long_chain: LongChain) -> None:
    findings = findings_of(long_chain, 0)
    assert findings.failures == []
    assert findings.counts[Check.COMMITMENTS] == 12
    assert findings.counts[Check.RECEIPTS] == 24
    assert findings.counts[Check.SIGNATURES] > 4 * findings.counts[Check.COMMITMENTS]


def test_workers_change_nothing_that_is_found(long_chain: LongChain) -> None:
    alone = list(ChainVerifier(long_chain.genesis_digest).verify(read_block_file(long_chain.blocks)))
    with signature_checks(workers=2, start_after=0) as checks:
        verifier = ChainVerifier(long_chain.genesis_digest, checks)
        assert list(verifier.verify(read_block_file(long_chain.blocks))) == alone
