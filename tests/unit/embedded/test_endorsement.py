"""Which peers endorse when the client names none, and what becomes of peers that differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bfl_chaincode.shim.stub import ChaincodeStub, Response
from bfl_fabric.embedded.ledger import EmbeddedLedger, Network
from bfl_fabric.fabric.authority import Validity
from bfl_fabric.fabric.envelopes import ValidationCode, parse_payload
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.identity import Identity, Signer, SigningIdentity
from bfl_fabric.fabric.policy import Role, role_principal, signature_policy_message
from bfl_fabric.fabric.wire import write
from tests.conformance.federation import MSP_IDS
from tests.conformance.probe_contract import ProbeContract
from tests.unit.embedded.workbench import START_MS, Bench, BenchClock, federation


class Liar(ProbeContract):
    """Writes another value than it was told."""

    async def do_put(self, stub: ChaincodeStub, *pairs: str) -> None:
        for key in pairs[::2]:
            await stub.put_state(key, b"a lie")


class Naysayer(ProbeContract):
    """Refuses to write anything."""

    async def do_put(self, stub: ChaincodeStub, *pairs: str) -> Response:  # type: ignore[override]
        return Response(500, b"", "never")


@contextmanager
def opened(
    directory: Path,
    contracts: Sequence[Callable[[], Any]] = (ProbeContract,) * 3,
    peers: Sequence[Signer] | None = None,
) -> Iterator[Bench]:
    """Open a ledger on which each peer has a contract of its own."""
    made, clock, left = federation(), BenchClock(), list(contracts)
    network = Network(peers or made.peers, made.orderer, lambda: left.pop(0)(), clock)
    ledger = EmbeddedLedger(directory, network)
    try:
        yield Bench(ledger, clock)
    finally:
        ledger.close()


def endorsers(envelope: Any) -> list[str]:
    """Return the organizations of the endorsing peers, in their order."""
    endorsements = parse_payload(envelope.payload, b"").endorsed().endorsements
    return [Identity.parse(item.endorser).msp_id for item in endorsements]


def test_the_callers_own_peer_comes_first_and_the_last_organizations_are_left_out(directory: Path) -> None:
    with opened(directory) as bench:
        assert endorsers(bench.endorse("put", "key", "x")[1]) == list(MSP_IDS[:2])


def test_a_peer_that_is_not_needed_does_not_run_the_contract(directory: Path) -> None:
    with opened(directory, (ProbeContract, ProbeContract, Naysayer)) as bench:
        bench.submit("put", "key", "x")


def test_a_peer_that_is_needed_and_differs_is_found(directory: Path) -> None:
    with (
        opened(directory, (ProbeContract, Liar, ProbeContract)) as bench,
        pytest.raises(GatewayFailure) as caught,
    ):
        bench.endorse("put", "key", "x")
    assert caught.value.status is GatewayStatus.ABORTED
    (detail,) = caught.value.details
    assert detail.msp_id == MSP_IDS[1]
    assert detail.message.startswith("ProposalResponsePayloads do not match: the write of key 'key'")


def test_a_peer_that_is_needed_and_refuses_is_heard(directory: Path) -> None:
    contracts = (ProbeContract, Naysayer, ProbeContract)
    with opened(directory, contracts) as bench, pytest.raises(GatewayFailure) as caught:
        bench.endorse("put", "key", "x")
    assert [(one.msp_id, one.message) for one in caught.value.details] == [
        (MSP_IDS[1], "chaincode response 500, never")
    ]


def test_named_organizations_are_asked_all_and_no_others(directory: Path) -> None:
    with opened(directory, (Naysayer, ProbeContract, ProbeContract)) as bench:
        _, envelope = bench.endorse("put", "key", "x", organizations=MSP_IDS[:0:-1])
        assert endorsers(envelope) == list(MSP_IDS[:0:-1])
        with pytest.raises(GatewayFailure):
            bench.endorse("put", "key", "x", organizations=MSP_IDS)


def test_the_callers_own_peer_is_asked_first_even_when_it_need_not_endorse(directory: Path) -> None:
    third = signature_policy_message(1, [role_principal(MSP_IDS[2], Role.PEER)])
    with opened(directory) as bench:
        bench.submit("put", "key", "old")
        bench.submit("set_policy", "key", write(third).hex())
    with opened(directory, (Liar, ProbeContract, ProbeContract)) as bench:
        with pytest.raises(GatewayFailure, match="failed to collect enough") as caught:
            bench.endorse("put", "key", "new")
        assert caught.value.details[0].msp_id == MSP_IDS[2]


def test_when_no_peers_are_enough_all_endorse_and_the_committer_refuses(directory: Path) -> None:
    nobody = signature_policy_message(1, [role_principal("NobodyMSP", Role.PEER)])
    with opened(directory) as bench:
        bench.submit("put", "key", "old")
        bench.submit("set_policy", "key", write(nobody).hex())
        transaction, envelope = bench.endorse("put", "key", "new")
        assert endorsers(envelope) == list(MSP_IDS)
        bench.ledger.order(envelope)
        bench.ledger.cut(force=True)
        assert bench.code(transaction) is ValidationCode.ENDORSEMENT_POLICY_FAILURE


def test_a_peer_whose_certificate_is_over_is_no_endorser(directory: Path) -> None:
    """Its organization's endorsement would not count, so another takes its place."""
    made, begin = federation(), datetime.fromtimestamp(START_MS / 1000, UTC)
    home, span = made.organizations[1], Validity(begin - timedelta(hours=1), begin + timedelta(hours=1))
    issued = home.authority.issue_identity("brief", "peer", {}, span)
    brief = SigningIdentity.from_pem(home.msp_id, issued.certificate_pem, issued.key_pem)
    with opened(directory, peers=(made.peers[0], brief, made.peers[2])) as bench:
        assert endorsers(bench.endorse("put", "key", "x")[1]) == list(MSP_IDS[:2])
        bench.clock.at_ms += 2 * 3600 * 1000
        assert endorsers(bench.endorse("put", "key", "x")[1]) == [MSP_IDS[0], MSP_IDS[2]]
