"""Signatures checked in worker processes: never a pass without an answer, and the same first fault named."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from bfl_fabric.errors import AuditFailed, WorkerFailed
from bfl_fabric.fabric.ecdsa import P256_ORDER
from bfl_fabric.fabric.identity import SigningIdentity
from bfl_fabric.fabric.signature_workers import (
    START_AFTER,
    WAITING_PER_WORKER,
    SignatureWorkers,
    signature_checks,
)
from bfl_fabric.fabric.signatures import Answers, ChecksOnTheSpot, Claims, Signature, SignatureChecks
from bfl_fabric.fabric.verifier import ChainVerifier, VerifiedBlock
from tests.unit.fabric.chain_builder import Call, ChainBuilder, put
from tests.unit.fabric.organizations import federation


@pytest.fixture(scope="module")
def workers() -> Iterator[SignatureWorkers]:
    with signature_checks(workers=2, start_after=0) as checks:
        assert isinstance(checks, SignatureWorkers)
        yield checks


def long_chain(blocks: int = 12) -> ChainBuilder:
    parties = federation()
    alpha, beta, gamma = parties.organizations
    chain = ChainBuilder(parties)
    chain.define_chaincode()
    for number in range(blocks):
        calls = [
            Call(
                one.client, [alpha.peer, beta.peer, gamma.peer], [put(f"{one.client.msp_id} {number}", b"1")]
            )
            for one in parties.organizations
        ]
        chain.add_calls(*calls)
    return chain


class Liar:
    """Signs something else than it is asked to."""

    def __init__(self, identity: SigningIdentity) -> None:
        self.creator = identity.creator
        self.msp_id = identity.msp_id
        self._identity = identity

    def sign(self, data: bytes) -> bytes:
        return self._identity.sign(data + b"!")


def forgeries() -> dict[str, ChainBuilder]:
    """Chains that record a transaction as valid in which one signature is of other data, by where it is."""
    alpha, beta, _ = federation().organizations
    liar: Any = Liar(alpha.client)
    endorser: Any = Liar(beta.peer)
    found = {}
    for name, call in {
        "BAD_CREATOR_SIGNATURE": Call(liar, [alpha.peer, beta.peer], [put("x", b"1")]),
        "ENDORSEMENT_POLICY_FAILURE": Call(alpha.client, [alpha.peer, endorser], [put("x", b"1")]),
    }.items():
        found[name] = long_chain(3)
        found[name].add_calls(call)
        found[name].add_calls(Call(beta.client, [alpha.peer, beta.peer], [put("z", b"1")]))
    return found


def first_fault(chain: ChainBuilder, checks: SignatureChecks | None) -> tuple[int, str]:
    verifier = ChainVerifier(chain.genesis_digest, checks)
    with pytest.raises(AuditFailed) as failure:
        for _ in verifier.verify(chain.blocks):
            pass
    return verifier.height, str(failure.value)


def test_workers_say_of_each_signature_what_this_process_says(workers: SignatureWorkers) -> None:
    alpha, beta, _ = federation().organizations
    good = alpha.client.sign(b"data")
    r, s = decode_dss_signature(good)
    claims = Claims()
    asked = [
        claims.add(alpha.client.creator, b"data", good),
        claims.add(beta.client.creator, b"data", good),
        claims.add(alpha.client.creator, b"other", good),
        claims.add(alpha.client.creator, b"data", good + b"more"),
        claims.add(alpha.client.creator, b"data", encode_dss_signature(r, P256_ORDER - s)),
        claims.add(alpha.client.creator, b"data", b""),
        claims.add(alpha.client.creator, b"data", good + bytes(70_000)),
        claims.add(b"nobody", b"data", good),
    ]
    answers = workers.begin(asked)
    assert answers is not None
    assert answers.get() == bytes([1, 0, 0, 1, 0, 0, 0, 0])


def test_more_signatures_than_the_pipes_hold_are_answered(workers: SignatureWorkers) -> None:
    one = Claims().add(b"nobody", b"data", b"x")
    count = 40 * WAITING_PER_WORKER
    answers = workers.begin([one] * count)
    assert answers is not None
    assert answers.get() == bytes(count)


def test_a_long_chain_is_the_same_chain_with_workers(workers: SignatureWorkers) -> None:
    chain = long_chain()
    alone, helped = ChainVerifier(chain.genesis_digest), ChainVerifier(chain.genesis_digest, workers)
    assert list(map(summary, alone.verify(chain.blocks))) == list(map(summary, helped.verify(chain.blocks)))
    assert alone.commit_hash == helped.commit_hash
    assert alone.counts == helped.counts


def summary(block: VerifiedBlock) -> object:
    return (block.number, block.hash, [(one.transaction_id, one.code) for one in block.transactions])


@pytest.mark.parametrize("place", range(2, 14))
def test_the_first_fault_of_several_is_named_however_far_is_read_ahead(
    workers: SignatureWorkers, place: int
) -> None:
    chain = long_chain()
    for number in range(place, len(chain.blocks), 2):
        tampered = bytearray(chain.blocks[number])
        tampered[-400] ^= 1
        chain.blocks[number] = bytes(tampered)
    expected = first_fault(chain, None)
    assert expected[0] == place
    assert first_fault(chain, workers) == expected


@pytest.mark.parametrize("code", ["BAD_CREATOR_SIGNATURE", "ENDORSEMENT_POLICY_FAILURE"])
def test_a_forged_signature_is_refused_with_the_same_words(workers: SignatureWorkers, code: str) -> None:
    chain = forgeries()[code]
    height, fault = first_fault(chain, workers)
    assert height == 5
    assert f"recorded as VALID, but it is {code}" in fault
    assert first_fault(chain, None) == (height, fault)


def test_a_source_that_breaks_off_is_named_after_the_blocks_before_it(workers: SignatureWorkers) -> None:
    chain = long_chain()

    def broken() -> Iterator[bytes]:
        yield from chain.blocks[:7]
        raise AuditFailed("the file is cut off")

    verifier = ChainVerifier(chain.genesis_digest, workers)
    seen: list[int] = []
    with pytest.raises(AuditFailed, match="the file is cut off"):
        seen.extend(block.number for block in verifier.verify(broken()))
    assert seen == list(range(7))
    with pytest.raises(AuditFailed, match="the file is cut off"):
        verifier.feed(chain.blocks[7])


@pytest.mark.parametrize("killed_after", [0, 5])
def test_a_worker_that_dies_is_an_error_and_never_a_pass(killed_after: int) -> None:
    chain = long_chain()
    with signature_checks(workers=1, start_after=0) as checks:
        assert isinstance(checks, SignatureWorkers)
        verifier = ChainVerifier(chain.genesis_digest, checks)
        for raw in chain.blocks[: 1 + killed_after]:
            verifier.feed(raw)
        os.kill(checks.process_ids[0], signal.SIGKILL)
        with pytest.raises(WorkerFailed, match="ended with status -9"):
            for _ in verifier.verify(chain.blocks[1 + killed_after :]):
                pass
        assert verifier.height < len(chain.blocks)
        with pytest.raises(AuditFailed, match="ended with status"):
            verifier.feed(chain.blocks[verifier.height])


class Saying:
    """Checks that answer the same to everything."""

    def __init__(self, answer: int) -> None:
        self._answer = answer
        self._count = 0
        self.ahead = 100

    def begin(self, signatures: Sequence[Signature]) -> Answers | None:
        self._count = len(signatures)
        return self

    def get(self) -> bytes:
        return bytes([self._answer]) * 1000


def test_what_is_not_found_good_is_checked_again_here() -> None:
    chain = long_chain(3)
    assert len(list(ChainVerifier(chain.genesis_digest, Saying(0)).verify(chain.blocks))) == len(chain.blocks)
    assert len(list(ChainVerifier(chain.genesis_digest, Saying(2)).verify(chain.blocks))) == len(chain.blocks)


def test_a_short_chain_starts_no_process() -> None:
    chain = long_chain(3)
    with signature_checks(workers=2) as checks:
        assert isinstance(checks, SignatureWorkers)
        list(ChainVerifier(chain.genesis_digest, checks).verify(chain.blocks))
        assert checks.process_ids == ()
        assert START_AFTER >= 1_000


def test_processes_are_gone_when_the_checks_are_over() -> None:
    with signature_checks(workers=2, start_after=0) as checks:
        assert isinstance(checks, SignatureWorkers)
        checks.begin([Claims().add(b"nobody", b"data", b"x")])
        running = checks.process_ids
        assert len(running) == 2
    for number in running:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_with_one_core_everything_is_checked_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with signature_checks() as checks:
        assert isinstance(checks, ChecksOnTheSpot)
