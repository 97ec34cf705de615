"""The official Node and Java clients of Fabric, unchanged, on the embedded ledger and on real peers."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from bfl_fabric.sdk.gateway import Gateway, Identity, ValidationCode, connect
from tests.interop import runtimes
from tests.interop.doors import Door, InteropChannel
from tests.interop.words import REFUSAL

SECONDS = 120
ABORTED, UNKNOWN, FAILED_PRECONDITION, UNIMPLEMENTED = 10, 2, 9, 12
STALE = ValidationCode.MVCC_READ_CONFLICT
Command = Callable[[], list[str]]


def node_client() -> list[str]:
    return ["node", str(runtimes.node_program(runtimes.HERE / "node-client") / "client.js")]


def java_client() -> list[str]:
    place = runtimes.java_program(runtimes.HERE / "java-client") / "target"
    return ["java", "-cp", f"{place}/classes:{place}/lib/*", "interop.Client"]


class Told:
    """What a client program printed."""

    def __init__(
        self, channel: InteropChannel, door: Door, handed_over: str, results: dict[str, Any]
    ) -> None:
        self.channel = channel
        self.door = door
        self.handed_over = handed_over
        """The transaction id of the proposal that our SDK put together."""
        self.results = results

    def __getitem__(self, step: str) -> Any:
        return self.results[step]


@pytest.fixture(scope="module", params=[node_client, java_client], ids=["node", "java"])
def command(request: pytest.FixtureRequest) -> list[str]:
    try:
        found: list[str] = request.param()
    except runtimes.RuntimeMissing as missing:
        pytest.skip(str(missing))
    return found


@pytest.fixture(
    scope="module",
    params=["embedded_doors", pytest.param("real_doors", marks=[pytest.mark.needs_fabric, pytest.mark.slow])],
    ids=["embedded", "fabric"],
)
def channel(request: pytest.FixtureRequest) -> InteropChannel:
    found: InteropChannel = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def told(command: list[str], channel: InteropChannel, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Run the client program once; the tests below read what it printed."""
    place: Path = tmp_path_factory.mktemp("client")
    door = channel.door(0)
    call = channel.words.calls["submit"]
    with unsigned(door) as gateway:
        contract = gateway.network(door.channel_id).contract(door.chaincode)
        proposal = contract.new_proposal(call["name"], *call["arguments"])
    settings = door.settings(place, channel.words.calls, proposal.to_bytes())
    result = subprocess.run(
        [*command, str(settings)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=runtimes.environment(),
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return Told(channel, door, proposal.transaction_id, json.loads(result.stdout))


def unsigned(door: Door) -> Gateway:
    """Connect with our SDK, without a key."""
    identity = Identity.of(door.msp_id, door.certificate)
    return connect(door.address, identity, tls_roots=door.tls_roots)


def test_a_submitted_transaction_is_valid_and_its_result_arrives(told: Told) -> None:
    submitted = told["submit"]
    assert submitted["code"] == ValidationCode.VALID
    assert submitted["successful"] is True
    assert submitted["block_number"] >= 2
    assert len(submitted["transaction_id"]) == 64
    assert submitted["result"] == told["binary"] == told.channel.words.submitted


def test_an_evaluation_reads_what_was_committed(told: Told) -> None:
    assert told["evaluate"] == told.channel.words.evaluated


def test_a_contracts_refusal_at_endorsement_names_peer_and_reason(told: Told) -> None:
    refused = told["endorse_refused"]
    assert refused["kind"] in ("EndorseError", "EndorseException")
    assert refused["grpc_code"] == ABORTED
    assert len(refused["transaction_id"]) == 64
    [detail] = refused["details"]
    assert detail["mspId"] == told.door.msp_id
    assert detail["address"]
    assert detail["message"] == f"chaincode response 500, {REFUSAL}"


def test_a_contracts_refusal_at_evaluation_says_the_reason_in_its_message(told: Told) -> None:
    refused = told["evaluate_refused"]
    assert refused["kind"] in ("GatewayError", "GatewayException")
    assert refused["grpc_code"] == UNKNOWN
    assert (
        f"evaluate call to endorser returned error: chaincode response 500, {REFUSAL}" in refused["message"]
    )
    assert [item["message"] for item in refused["details"]] == [f"chaincode response 500, {REFUSAL}"]


def test_a_chaincode_that_is_not_there_is_a_failed_precondition(told: Told) -> None:
    refused = told["missing_chaincode"]
    assert refused["grpc_code"] == FAILED_PRECONDITION
    assert "no peers available to evaluate chaincode nobody in channel" in refused["message"]


def test_the_second_of_two_transactions_on_the_same_state_is_told_to_be_stale(told: Told) -> None:
    assert told["conflict"]["codes"] == [ValidationCode.VALID, STALE]
    assert told["stale"] == {"code": STALE, "successful": False}


def test_everything_can_be_signed_outside_the_client(told: Told) -> None:
    assert told["offline"] == {"result": told.channel.words.submitted, "code": 0, "same_id": True}


def test_a_proposal_of_our_sdk_is_signed_and_sent_by_the_official_one(told: Told) -> None:
    assert told["exchanged"]["transaction_id"] == told.handed_over
    assert told["exchanged"]["code"] == ValidationCode.VALID


def test_a_proposal_of_the_official_sdk_is_signed_and_sent_by_ours(told: Told) -> None:
    key = serialization.load_pem_private_key(told.door.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)

    def sign(digest: bytes) -> bytes:
        return key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))

    offered = {name: base64.b64decode(told["exchanged"][name]) for name in ("proposal", "digest")}
    with unsigned(told.door) as gateway:
        proposal = gateway.new_signed_proposal(offered["proposal"], sign(offered["digest"]))
        assert proposal.digest == offered["digest"]
        endorsed = proposal.endorse()
        assert endorsed.result.decode() == told.channel.words.submitted
        transaction = gateway.new_signed_transaction(endorsed.to_bytes(), sign(endorsed.digest))
        commit = transaction.submit()
        assert gateway.new_signed_commit(commit.to_bytes(), sign(commit.digest)).status().successful


def test_events_are_replayed_from_a_block_and_resumed_behind_a_checkpoint(told: Told) -> None:
    events = told["events"]
    assert [(item["name"], item["payload"]) for item in events["all"]] == list(told.channel.words.events)
    assert len({item["transaction_id"] for item in events["all"]}) == 3
    assert events["behind_checkpoint"] == events["all"][1:]


def test_blocks_arrive_whole_and_filtered(told: Told) -> None:
    assert told["blocks"]["full"] == [0, 1]
    [first] = told["blocks"]["filtered"]
    assert first["number"] == 1
    assert set(first["codes"]) == {ValidationCode.VALID}


def test_blocks_with_private_data_arrive_or_are_refused_as_unimplemented(told: Told) -> None:
    found = told["blocks_with_private_data"]
    if told.channel.has_private_data_blocks:
        assert found == {"numbers": [0, 1], "refused": {"kind": "none"}}
    else:
        assert found["numbers"] == []
        assert found["refused"]["grpc_code"] == UNIMPLEMENTED
