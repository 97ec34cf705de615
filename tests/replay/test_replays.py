"""Recordings of real peers, orderers and gateways, replayed against our service, client and verifier."""

from __future__ import annotations

import pytest
from fabric_protos.common import common_pb2

from bfl_chaincode.main import TRANSACTIONS
from bfl_fabric.fabric.envelopes import ValidationCode
from tests.recordings import archive
from tests.recordings.archive import Recording, newest, recordings
from tests.recordings.contract_digest import contract_digest
from tests.replay import performances
from tests.replay.tampering import TAMPERINGS

ALL = pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
NEWEST = pytest.mark.parametrize("recording", newest(), ids=lambda recording: recording.name)
PATIENCE_SECONDS = 20.0


def test_each_kind_of_network_is_recorded() -> None:
    assert {recording.kind for recording in recordings()} == {"3.1.5-raft", "3.1.5-bft", "2.5.16-raft"}


@ALL
@pytest.mark.parametrize("whose", ["peer", "orderer"])
def test_a_recorded_chain_verifies_and_is_what_the_peers_said(recording: Recording, whose: str) -> None:
    assert performances.chain(recording, whose) == recording.facts()["height"]


@ALL
def test_our_service_says_to_a_peer_what_it_said_before(recording: Recording) -> None:
    assert performances.probe_stream(recording, PATIENCE_SECONDS) > 300


@NEWEST
def test_the_contract_says_to_a_peer_what_it_said_before(recording: Recording) -> None:
    try:
        compared = performances.contract_stream(recording, PATIENCE_SECONDS)
    except AssertionError as difference:
        if recording.facts()["contract_digest"] != contract_digest():
            raise AssertionError(
                "the contract has changed since it was recorded: if that is meant, record it again with "
                f"`python -m tests.recordings.record` (tests/recordings/README.md). {difference}"
            ) from difference
        raise
    assert compared > 300


@NEWEST
def test_our_client_asks_a_gateway_what_it_asked_before_and_takes_the_answers_alike(
    recording: Recording,
) -> None:
    assert performances.client(recording) > 50


@ALL
def test_a_recording_holds_what_it_is_for(recording: Recording) -> None:
    facts = recording.facts()
    flags = {code for block in facts["flags"] for code in bytes.fromhex(block)}
    caused = {
        "VALID",
        "BAD_COMMON_HEADER",
        "BAD_PROPOSAL_TXID",
        "BAD_RWSET",
        "ENDORSEMENT_POLICY_FAILURE",
        "ILLEGAL_WRITESET",
        "INVALID_CHAINCODE",
        "INVALID_ENDORSER_TRANSACTION",
        "INVALID_OTHER_REASON",
        "MVCC_READ_CONFLICT",
        "PHANTOM_READ_CONFLICT",
    }
    if not recording.kind.endswith("bft"):  # BFT's orderers order nothing twice
        caused.add("DUPLICATE_TXID")
    assert caused <= {ValidationCode(code).name for code in flags}
    assert facts["config_sequence"] == 4
    told = set(facts["contract"]["accepted"]) | set(facts["contract"]["refused"])
    assert told >= {name for name in TRANSACTIONS if not name.startswith("governance:")}
    assert len(recording.records("blocks-orderer")) == facts["height"]
    who = {record.facts["who"] for record in recording.records("stream-probe")}
    assert who >= {"peer", "service", "cut"}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_tampered_chain_is_refused_for_the_right_reason(name: str) -> None:
    performances.perform(f"tampering:{name}")


def test_no_recording_is_changed_and_every_file_is_known() -> None:
    """A recording is never changed: a new one is added beside it, and its digests to the manifest."""
    assert archive.digests() == archive.read_manifest()


def test_recordings_stay_small() -> None:
    sizes = [path.stat().st_size for path in archive.HOME.rglob("*") if path.is_file()]
    assert sum(sizes) < 3_000_000


@ALL
def test_peer_and_orderer_delivered_the_same_data(recording: Recording) -> None:
    for ours, theirs in zip(recording.blocks("peer"), recording.blocks("orderer"), strict=True):
        one, other = common_pb2.Block.FromString(ours), common_pb2.Block.FromString(theirs)
        assert (one.header, one.data) == (other.header, other.data)
