"""The gateway's calls and their refusals, with the statuses of a Fabric peer."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2

from bfl_fabric.fabric.endorsement import sign_envelope
from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.fabric.wire import write
from tests.conformance.probe import Call, Probe, unique


def failure(probe: Probe, work: Any) -> GatewayFailure:
    with pytest.raises(GatewayFailure) as caught:
        probe.loop.run(work)
    return caught.value


# --- what the contract sees and says -------------------------------------------------------------


def test_the_contract_sees_who_asks_when_and_in_which_transaction(probe: Probe) -> None:
    call = Call("context", organization=1, at_ms=time.time_ns() // 1_000_000)
    proposal, signer = probe.proposal(call)
    committed = probe.loop.run(probe.endorsing(call, proposal))
    context = json.loads(committed.result)
    assert context["transaction"] == proposal.transaction_id
    assert context["channel"] == probe.channel.channel_id
    assert context["msp"] == probe.channel.msp_ids[1]
    assert context["certificate"].encode() == signer.certificate_pem
    assert context["seconds"] * 1000 + context["nanos"] // 1_000_000 == call.at_ms


def test_arguments_arrive_as_they_were_sent(probe: Probe) -> None:
    arguments = ["", "a", "\x00", "größe \U0001f511", "x" * 10_000]
    assert probe.json("echo", *arguments) == arguments


def test_an_argument_that_is_not_utf8_is_refused_by_the_contract(probe: Probe) -> None:
    refused = failure(probe, probe.evaluating(Call("echo", (b"\xff\xfe",))))
    assert refused.status is GatewayStatus.UNKNOWN
    assert "chaincode response 500" in str(refused)


def test_an_argument_above_the_channels_limit_is_read_and_cannot_be_ordered(probe: Probe) -> None:
    """The transaction would hold it twice; the channel's limit is 10 MB."""
    large = "x" * (6 << 20)
    assert len(probe.evaluate("echo", large)) == len(large) + 4
    endorsed = probe.endorse("put", unique("large"), large)
    refused = failure(probe, probe.ordering(endorsed))
    assert refused.status is probe.channel.not_ordered
    assert "exceeds maximum allowed" in str(refused)
    assert probe.evaluate("echo", "afterwards") == b'["afterwards"]'


def test_an_unknown_chaincode_cannot_be_called_by_a_chaincode(probe: Probe) -> None:
    refused = failure(probe, probe.evaluating(Call("call", ("nobody",))))
    assert refused.status is GatewayStatus.UNKNOWN
    assert "INVOKE_CHAINCODE failed" in str(refused)
    assert "chaincode nobody not found" in str(refused)


def test_a_chaincode_cannot_call_itself(probe: Probe) -> None:
    refused = failure(probe, probe.evaluating(Call("call", (probe.channel.chaincode,))))
    assert refused.status is GatewayStatus.UNKNOWN
    assert "INVOKE_CHAINCODE failed" in str(refused)


def test_a_contract_may_go_on_after_a_call_that_was_refused(probe: Probe) -> None:
    key = unique("key")
    assert probe.submit("call_or_else", "nobody", key).result == b"refused by PeerRefused"
    assert probe.evaluate("get", key) == b"refused by PeerRefused"


def test_transient_values_reach_the_contract(probe: Probe) -> None:
    assert probe.evaluate("transient", "value", transient={"value": b"\x00secret"}) == b"\x00secret"


def test_transient_values_are_in_no_block(probe: Probe) -> None:
    secret = unique("transient").encode()
    endorsed = probe.endorse("put", unique("key"), "x", transient={"value": secret})
    assert secret not in endorsed.payload


def test_a_refusal_on_evaluate_is_unknown_with_the_contracts_words(probe: Probe) -> None:
    refused = failure(probe, probe.evaluating(Call("fail", ("BFL-207: not now",))))
    assert refused.status is GatewayStatus.UNKNOWN
    assert "evaluate call to endorser returned error: chaincode response 500, BFL-207: not now" in str(
        refused
    )
    assert [detail.message for detail in refused.details] == ["chaincode response 500, BFL-207: not now"]


def test_a_refusal_on_endorse_is_aborted_with_the_contracts_words_in_the_details(probe: Probe) -> None:
    refused = failure(probe, probe.endorsing(Call("fail", ("BFL-207: not now",), organization=1)))
    assert refused.status is GatewayStatus.ABORTED
    assert [(detail.msp_id, detail.message) for detail in refused.details] == [
        (probe.channel.msp_ids[1], "chaincode response 500, BFL-207: not now")
    ]


@pytest.mark.parametrize("letter", ["x", "ß", "\U0001f511"])
def test_a_refusal_of_any_length_arrives_as_a_refusal(probe: Probe, letter: str) -> None:
    refused = failure(probe, probe.evaluating(Call("fail", (f"BFL-207: {letter * 50_000}",))))
    assert refused.status is GatewayStatus.UNKNOWN
    assert "BFL-207: " + letter * 100 in str(refused)
    everybody = Call("fail", (f"BFL-207: {letter * 50_000}",), organizations=probe.channel.msp_ids)
    assert failure(probe, probe.endorsing(everybody)).status is GatewayStatus.ABORTED


def test_every_named_organization_says_why_it_refuses(probe: Probe) -> None:
    call = Call("fail", ("no",), organizations=probe.channel.msp_ids)
    refused = failure(probe, probe.endorsing(call))
    assert refused.status is GatewayStatus.ABORTED
    assert {detail.msp_id for detail in refused.details} == set(probe.channel.msp_ids)


@pytest.mark.parametrize("status", ["400", "404", "500", "599", "100"])
def test_a_response_outside_200_to_399_is_not_endorsed(probe: Probe, status: str) -> None:
    refused = failure(probe, probe.endorsing(Call("answer", (status, "why"))))
    assert f"chaincode response {status}, why" in refused.details[0].message


@pytest.mark.parametrize("status", ["200", "201", "399"])
def test_a_response_from_200_to_399_is_endorsed(probe: Probe, status: str) -> None:
    assert probe.submit("answer", status, "fine").result == b"payload"


def test_a_function_that_does_not_exist_is_refused(probe: Probe) -> None:
    assert failure(probe, probe.evaluating(Call("no_such_function"))).status is GatewayStatus.UNKNOWN


# --- agreement ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        ("write_at_random", ("random key",), "the write of key 'random key' in namespace 'probe'"),
        ("answer_at_random", (), "the response's payload"),
        ("event_at_random", (), "the event"),
    ],
)
def test_peers_that_differ_endorse_nothing_and_the_difference_is_named(
    probe: Probe, function: str, arguments: tuple[str, ...], named: str
) -> None:
    refused = failure(probe, probe.endorsing(Call(function, arguments)))
    assert refused.status is GatewayStatus.ABORTED
    assert refused.details
    for detail in refused.details:
        assert detail.message.startswith("ProposalResponsePayloads do not match")
        assert named in detail.message or not probe.channel.names_differences


def test_one_peer_alone_cannot_differ(probe: Probe) -> None:
    call = Call("write_at_random", (unique("key"),), organizations=probe.channel.msp_ids[:1])
    assert probe.loop.run(probe.endorsing(call)).endorser_count == 1


@pytest.mark.parametrize("organization", range(3))
def test_without_a_wish_so_many_peers_endorse_as_the_policy_needs(probe: Probe, organization: int) -> None:
    endorsed = probe.endorse("put", unique("key"), "x", organization=organization)
    assert endorsed.endorser_count == 2
    assert probe.channel.msp_ids[organization] in endorsed.endorsers
    assert probe.settle(endorsed).code is ValidationCode.VALID


def test_a_transaction_that_writes_nothing_is_endorsed_as_one_that_does(probe: Probe) -> None:
    assert probe.endorse("echo", "x").endorser_count == 2


def test_only_the_named_organizations_endorse(probe: Probe) -> None:
    endorsed = probe.endorse("put", unique("key"), "x", organizations=probe.channel.msp_ids[1:])
    assert endorsed.endorser_count == 2


def test_too_few_endorsements_make_an_invalid_transaction(probe: Probe) -> None:
    key = unique("key")
    endorsed = probe.endorse("put", key, "x", organizations=probe.channel.msp_ids[:1])
    assert probe.settle(endorsed).code is ValidationCode.ENDORSEMENT_POLICY_FAILURE
    assert probe.evaluate("get", key) == b""


def test_an_organization_without_a_peer_cannot_endorse(probe: Probe) -> None:
    refused = failure(probe, probe.endorsing(Call("put", ("k", "v"), organizations=["NobodyMSP"])))
    assert refused.status is GatewayStatus.UNAVAILABLE
    assert "failed to find any endorsing peers for org(s): NobodyMSP" in str(refused)


def test_an_organization_without_a_peer_cannot_evaluate(probe: Probe) -> None:
    refused = failure(probe, probe.evaluating(Call("get", ("k",), organizations=["NobodyMSP"])))
    assert refused.status is GatewayStatus.FAILED_PRECONDITION


# --- who may ask --------------------------------------------------------------------------------


def test_an_unknown_chaincode_cannot_be_evaluated(probe: Probe) -> None:
    refused = failure(probe, probe.evaluating(Call("get", ("k",), chaincode="other")))
    assert refused.status is GatewayStatus.FAILED_PRECONDITION


@pytest.mark.parametrize("verb", ["evaluating", "endorsing"])
def test_an_unknown_channel_is_refused(probe: Probe, verb: str) -> None:
    call = Call("get", ("k",), channel_id="other-channel")
    assert failure(probe, getattr(probe, verb)(call)).status is not GatewayStatus.UNKNOWN


def spoil_signature(request: Any) -> None:
    signature = bytearray(request.proposed_transaction.signature)
    signature[-1] ^= 1
    request.proposed_transaction.signature = bytes(signature)


def spoil_proposal(request: Any) -> None:
    request.proposed_transaction.proposal_bytes = b"\x00garbage"


def empty_proposal(request: Any) -> None:
    request.proposed_transaction.proposal_bytes = b""


@pytest.mark.parametrize("verb", ["evaluating", "endorsing"])
@pytest.mark.parametrize(
    ("spoil", "statuses"),
    [
        (spoil_signature, {GatewayStatus.FAILED_PRECONDITION, GatewayStatus.ABORTED}),
        (spoil_proposal, {GatewayStatus.INVALID_ARGUMENT}),
        (empty_proposal, {GatewayStatus.INVALID_ARGUMENT}),
    ],
)
def test_a_spoilt_proposal_is_refused(
    probe: Probe, verb: str, spoil: Any, statuses: set[GatewayStatus]
) -> None:
    refused = failure(probe, getattr(probe, verb)(Call("get", ("k",), spoil=spoil)))
    assert refused.status in statuses


@pytest.mark.parametrize("verb", ["evaluating", "endorsing"])
def test_a_certificate_by_another_authority_is_refused(probe: Probe, verb: str) -> None:
    signer = probe.channel.stranger(probe.channel.msp_ids[0])
    refused = failure(probe, getattr(probe, verb)(Call("get", ("k",), signer=signer)))
    assert "access denied" in str(refused)


@pytest.mark.parametrize("verb", ["evaluating", "endorsing"])
def test_an_unknown_organization_is_refused(probe: Probe, verb: str) -> None:
    signer = probe.channel.stranger("NobodyMSP")
    refused = failure(probe, getattr(probe, verb)(Call("get", ("k",), signer=signer)))
    assert "creator org unknown" in str(refused)


@pytest.mark.parametrize("verb", ["evaluating", "endorsing"])
def test_an_expired_certificate_is_refused(probe: Probe, verb: str) -> None:
    call = Call("get", ("k",), signer=probe.channel.expired(0))
    if verb == "evaluating" and not probe.channel.is_strict:
        assert probe.loop.run(probe.evaluating(call)) == b""
        return
    refused = failure(probe, getattr(probe, verb)(call))
    assert "proposal client identity expired" in str(refused)


@pytest.mark.parametrize("verb", ["evaluating", "endorsing"])
@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_proposal_from_another_time_is_refused(probe: Probe, verb: str, minutes: int) -> None:
    call = Call("get", ("k",), at_ms=time.time_ns() // 1_000_000 + minutes * 60_000)
    if not probe.channel.checks_proposal_time:
        probe.loop.run(getattr(probe, verb)(call))
        return
    assert "incorrect timestamp" in str(failure(probe, getattr(probe, verb)(call)))


@pytest.mark.parametrize("ou", ["peer", "orderer"])
def test_neither_peers_nor_orderers_may_propose(probe: Probe, ou: str) -> None:
    signer = probe.channel.member(0, ou)
    refused = failure(probe, probe.evaluating(Call("get", ("k",), signer=signer)))
    assert "Failed evaluating policy" in str(refused)


def test_administrators_may_propose(probe: Probe) -> None:
    assert probe.evaluate("echo", signer=probe.channel.member(0, "admin")) == b"[]"


# --- handing over -------------------------------------------------------------------------------


def submit_request(probe: Probe, envelope: Any) -> Any:
    return gateway_pb2.SubmitRequest(channel_id=probe.channel.channel_id, prepared_transaction=envelope)


def test_nothing_to_hand_over_is_an_invalid_argument(probe: Probe) -> None:
    refused = failure(probe, probe.submitting(gateway_pb2.SubmitRequest()))
    assert refused.status is GatewayStatus.INVALID_ARGUMENT


def test_an_unsigned_transaction_is_not_ordered(probe: Probe) -> None:
    envelope = common_pb2.Envelope(payload=probe.endorse("put", unique("key"), "x").payload)
    refused = failure(probe, probe.submitting(submit_request(probe, envelope)))
    assert refused.status is GatewayStatus.INVALID_ARGUMENT


def test_a_transaction_signed_by_another_is_not_ordered(probe: Probe) -> None:
    endorsed = probe.endorse("put", unique("key"), "x")
    envelope = sign_envelope(endorsed.payload, probe.channel.client(1))
    refused = failure(probe, probe.submitting(submit_request(probe, envelope)))
    assert refused.status is probe.channel.not_ordered
    assert "status=FORBIDDEN" in str(refused)


def test_garbage_is_not_ordered(probe: Probe) -> None:
    envelope = common_pb2.Envelope(payload=b"\x00garbage", signature=b"x")
    refused = failure(probe, probe.submitting(submit_request(probe, envelope)))
    assert refused.status is probe.channel.not_ordered
    assert "status=BAD_REQUEST" in str(refused)


def test_a_transaction_above_the_channels_limit_is_not_ordered(probe: Probe) -> None:
    endorsed = probe.endorse("put_large", unique("large"), str(10 * 1024 * 1024))
    refused = failure(probe, probe.ordering(endorsed))
    assert refused.status is probe.channel.not_ordered
    assert "exceeds maximum allowed" in str(refused)


def test_a_client_cannot_change_what_was_endorsed(probe: Probe) -> None:
    key = unique("key")
    endorsed = probe.endorse("put", key, "honest")
    changed = endorsed.payload.replace(b"honest", b"forged")
    request = submit_request(probe, sign_envelope(changed, endorsed.signer))
    probe.loop.run(probe.submitting(request))
    code = probe.status(endorsed.transaction_id).code
    assert code in (
        ValidationCode.INVALID_ENDORSER_TRANSACTION,
        ValidationCode.ENDORSEMENT_POLICY_FAILURE,
    )
    assert probe.evaluate("get", key) == b""


# --- commit status ------------------------------------------------------------------------------


def test_the_status_of_an_old_transaction_is_still_known(probe: Probe) -> None:
    committed = probe.submit("put", unique("key"), "x")
    probe.submit("put", unique("key"), "y")
    status = probe.status(committed.transaction_id)
    assert (status.code, status.block_number) == (ValidationCode.VALID, committed.block_number)


def test_the_status_of_an_unknown_transaction_is_waited_for(probe: Probe) -> None:
    with pytest.raises(GatewayFailure) as caught:
        probe.status("ab" * 32, seconds=0.2)
    assert caught.value.status is GatewayStatus.DEADLINE_EXCEEDED


@pytest.mark.parametrize("field", ["transaction_id", "channel_id", "identity"])
def test_a_status_request_must_be_complete(probe: Probe, field: str) -> None:
    empty = {field: b"" if field == "identity" else ""}
    client = probe.channel.client(0)
    refused = failure(probe, probe.asking("ab" * 32, client, 2.0, **empty))
    lenient = {GatewayStatus.PERMISSION_DENIED, GatewayStatus.DEADLINE_EXCEEDED}
    assert refused.status in ({GatewayStatus.INVALID_ARGUMENT} if probe.channel.is_strict else lenient)


def test_a_status_request_without_content_is_refused(probe: Probe) -> None:
    refused = failure(probe, probe.asking_raw(gateway_pb2.SignedCommitStatusRequest()))
    assert refused.status is GatewayStatus.INVALID_ARGUMENT


def test_a_status_request_of_another_channel_is_refused(probe: Probe) -> None:
    refused = failure(probe, probe.asking("ab" * 32, probe.channel.client(0), channel_id="other-channel"))
    assert refused.status is GatewayStatus.PERMISSION_DENIED


def test_a_status_request_signed_by_another_is_refused(probe: Probe) -> None:
    raw = write(
        gateway_pb2.CommitStatusRequest(
            transaction_id="ab" * 32,
            channel_id=probe.channel.channel_id,
            identity=probe.channel.client(0).creator,
        )
    )
    signature = probe.channel.client(1).sign(raw)
    signed = gateway_pb2.SignedCommitStatusRequest(request=raw, signature=signature)
    assert failure(probe, probe.asking_raw(signed)).status is GatewayStatus.PERMISSION_DENIED
