"""A negative test for every rule: each case of the table ends with exactly its code, and changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bfl_chaincode.api import refusals
from bfl_chaincode.api.errors import parse_code
from bfl_chaincode.main import TRANSACTIONS
from tests.chaincode.identities import certificate, creator, subject
from tests.chaincode.memory_stub import Refused
from tests.chaincode.refusal_cases import CASES, Case
from tests.chaincode.requests import REQUESTS, SHARE
from tests.chaincode.scenario import MORNING, TASK, admin, at, silo, spec

SUBMITTED = sorted(name for name, evaluated in TRANSACTIONS.items() if not evaluated)
OF_MEMBERS = [name for name in SUBMITTED if name != "federation:Found"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_contract_refuses_what_its_rules_forbid(case: Case) -> None:
    scenario = case.begun()
    with pytest.raises(Refused) as refused:
        case.act(scenario)
    assert refused.value.code == case.code, str(refused.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_refusal_names_its_rule_and_what_to_do(case: Case) -> None:
    with pytest.raises(Refused) as refused:
        case.act(case.begun())
    kind = refusals.registry()[case.code]
    assert f"; the rule: {kind.rule}; {kind.remedy}" in refused.value.text
    assert not refused.value.text.startswith(";"), "it does not say what was found"


def test_every_transaction_has_a_sample_request() -> None:
    assert sorted(REQUESTS) == sorted(TRANSACTIONS)


# --- rules of all transactions --------------------------------------------------------------------


@pytest.mark.parametrize("transaction", OF_MEMBERS)
def test_strangers_suspended_members_and_peers_submit_nothing(transaction: str) -> None:
    scenario = at("committed 1")
    scenario.submit(admin("AlphaMSP"), "federation:SuspendOrganization", msp_id="GammaMSP")
    callers = {
        202: admin("DeltaMSP"),
        203: admin("GammaMSP"),
        211: creator("AlphaMSP", "peer0", "peer"),
    }
    for code, who in callers.items():
        with pytest.raises(Refused) as refused:
            scenario.submit(who, transaction, **REQUESTS[transaction])
        assert refused.value.code == code


def test_founding_is_not_for_peers_either() -> None:
    with pytest.raises(Refused) as refused:
        at("empty").submit(
            creator("AlphaMSP", "peer0", "peer"), "federation:Found", **REQUESTS["federation:Found"]
        )
    assert refused.value.code == 211


def test_a_suspended_participant_is_refused_and_works_again_once_its_organization_is_admitted() -> None:
    scenario = at("collecting 1")
    scenario.submit(admin("AlphaMSP"), "federation:SuspendOrganization", msp_id="BetaMSP")
    with pytest.raises(Refused) as refused:
        scenario.commit("beta-1")
    assert refused.value.code == 203
    scenario.submit(
        admin("AlphaMSP"), "federation:AdmitOrganization", msp_id="BetaMSP", name="Beta", region="EU"
    )
    scenario.commit("beta-1")


BROKEN_CERTIFICATES = {
    "is not PEM": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "is empty": b"",
    "has no common name": certificate("AlphaMSP", subject("AlphaMSP", [], ["client"]), None),
    "has two common names": certificate("AlphaMSP", subject("AlphaMSP", ["a", "b"], ["client"]), None),
    "has no NodeOU": certificate("AlphaMSP", subject("AlphaMSP", ["a"], ["department"]), None),
    "has two NodeOUs": certificate("AlphaMSP", subject("AlphaMSP", ["a"], ["client", "admin"]), None),
    "has attributes that are not JSON": certificate("AlphaMSP", subject("AlphaMSP", ["a"], ["client"]), b"{"),
    "has attributes of another shape": certificate("AlphaMSP", subject("AlphaMSP", ["a"], ["client"]), b"[]"),
    "has an attribute that is a number": certificate(
        "AlphaMSP", subject("AlphaMSP", ["a"], ["client"]), b'{"attrs":{"bfl.role":7}}'
    ),
}


@pytest.mark.parametrize("flaw", BROKEN_CERTIFICATES)
def test_a_caller_is_refused_whose_certificate(flaw: str) -> None:
    who = {"mspid": "AlphaMSP", "idBytes": BROKEN_CERTIFICATES[flaw]}
    with pytest.raises(Refused) as refused:
        at("founded").submit(who, "reward:Mint", **REQUESTS["reward:Mint"])  # type: ignore[arg-type]
    assert refused.value.code == 201


# --- the form of requests -------------------------------------------------------------------------

LONG = "x" * (64 * 1024 + 1)
NESTED = "[" * 50_000 + "]" * 50_000

MALFORMED: list[tuple[int, str, str]] = [
    (103, "round:Seal", json.dumps({"task_id": LONG, "round": 1})),
    (104, "round:Seal", "{"),
    (104, "round:Seal", ""),
    (104, "round:Seal", '{"task_id":"cancer","round":1.0}'),
    (104, "round:Seal", '{"task_id":"cancer","round":1e3}'),
    (104, "round:Seal", '{"task_id":"cancer","round":NaN}'),
    (104, "round:Seal", '{"task_id":"cancer","round":1,"round":1}'),
    (104, "round:Seal", '{"task_id":"cancer","round":9223372036854775808}'),
    (104, "round:Seal", '{"task_id":"\\ud800","round":1}'),
    (104, "round:Seal", "[" * 30_000 + "]" * 30_000),
    (105, "round:Seal", "null"),
    (105, "round:Seal", "[]"),
    (105, "round:Seal", '{"task_id":"cancer"}'),
    (105, "round:Seal", '{"task_id":"cancer","round":1,"force":true}'),
    (105, "round:Seal", '{"task_id":"cancer","round":"1"}'),
    (105, "round:Seal", '{"task_id":"cancer","round":true}'),
    (105, "federation:AnnounceNode", '{"role":"king","node_id":"a","address":"h:1"}'),
    (106, "round:Seal", '{"task_id":"Cancer","round":1}'),
    (106, "round:Seal", '{"task_id":"","round":1}'),
    (106, "round:Seal", '{"task_id":"-a","round":1}'),
    (106, "round:Seal", '{"task_id":"a\\n","round":1}'),
    (106, "round:Seal", '{"task_id":"a\\u0000b","round":1}'),
    (106, "round:Seal", json.dumps({"task_id": "a" * 64, "round": 1})),
    (107, "federation:SuspendOrganization", '{"msp_id":"1MSP"}'),
    (107, "federation:SuspendOrganization", '{"msp_id":"Ä"}'),
    (108, "round:CommitUpdate", json.dumps({**REQUESTS["round:CommitUpdate"], "digest": "A" * 64})),
    (108, "round:CommitUpdate", json.dumps({**REQUESTS["round:CommitUpdate"], "digest": "a" * 63})),
    (108, "round:CommitUpdate", json.dumps({**REQUESTS["round:CommitUpdate"], "digest": ""})),
    (109, "federation:AnnounceNode", '{"role":"verifier","node_id":"a","address":"host"}'),
    (109, "federation:AnnounceNode", '{"role":"verifier","node_id":"a","address":"host:0"}'),
    (109, "federation:AnnounceNode", '{"role":"verifier","node_id":"a","address":"host:65536"}'),
    (109, "federation:AnnounceNode", '{"role":"verifier","node_id":"a","address":"http://host:1"}'),
    (110, "round:Seal", '{"task_id":"cancer","round":0}'),
    (110, "round:Seal", '{"task_id":"cancer","round":100000000}'),
    (110, "reward:Mint", '{"msp_id":"AlphaMSP","amount":0,"reference":"x"}'),
    (110, "reward:Mint", '{"msp_id":"AlphaMSP","amount":-1,"reference":"x"}'),
    (110, "round:PostScores", json.dumps(
        {"task_id": TASK, "round": 1, "scores": [{"participant_id": "a", "alignment": 2**60 + 1}]})),
    (110, "task:Create", json.dumps({"spec": spec(cohort__minimum=1)})),
    (110, "task:Create", json.dumps({"spec": spec(incentive__alpha_ppb=4 * 10**9 + 1)})),
    (111, "round:Abort", '{"task_id":"cancer","round":1,"reason":""}'),
    (111, "round:Abort", '{"task_id":"cancer","round":1,"reason":"a\\u001bb"}'),
    (111, "round:Abort", json.dumps({"task_id": TASK, "round": 1, "reason": "x" * 501})),
    (112, "federation:Found", '{"federation_id":"f","name":"F","organizations":[]}'),
    (112, "round:PostScores", '{"task_id":"cancer","round":1,"scores":[]}'),
    (113, "task:Create", json.dumps({"spec": spec(encryption__clip="1e-3")})),
    (113, "task:Create", json.dumps({"spec": spec(encryption__clip="-1")})),
    (113, "task:Create", json.dumps({"spec": spec(training__learning_rate="nan")})),
    (114, "reward:Statement", '{"account":"bank"}'),
    (114, "reward:Statement", '{"account":"org:"}'),
    (105, "opening:PostShares", json.dumps(
        {**REQUESTS["opening:PostShares"], "shares": [{**SHARE, "subject": "key"}]})),
    (112, "opening:PostShares", json.dumps({**REQUESTS["opening:PostShares"], "shares": []})),
    (112, "opening:PostShares", json.dumps({**REQUESTS["opening:PostShares"], "shares": [SHARE] * 3})),
    (107, "task:Create", json.dumps({"spec": spec(roles__key_members=["1MSP"])})),
    (107, "task:Create", json.dumps({"spec": spec(roles__key_holder="1MSP")})),
    (108, "opening:Offer", json.dumps({**REQUESTS["opening:Offer"], "mask_digest": ""})),
    (108, "opening:Offer", json.dumps({**REQUESTS["opening:Offer"], "zero_digest": ""})),
    (110, "opening:Offer", json.dumps({**REQUESTS["opening:Offer"], "zero_bytes": 0})),
    (112, "opening:Begin", json.dumps({**REQUESTS["opening:Begin"], "members": [f"M{n}" for n in range(33)]})),
    (110, "opening:Begin", json.dumps({**REQUESTS["opening:Begin"], "attempt": 0})),
    (110, "key:OpenCeremony", json.dumps({**REQUESTS["key:OpenCeremony"], "expires_at": -1})),
    (110, "task:Create", json.dumps({"spec": spec(schedule__share_seconds=86_401)})),
    (110, "task:Create", json.dumps({"spec": spec(schedule__share_seconds=0)})),
    (110, "task:Create", json.dumps({"spec": spec(encryption__threshold=33)})),
    (112, "task:Create", json.dumps({"spec": spec(roles__key_members=[f"M{n}" for n in range(33)])})),
    *[(116, "task:Register", json.dumps({**REQUESTS["task:Register"], "transport_key": key}))
      for key in ("a" * 63, "a" * 62, "A" * 64, "g" * 64, "a" * 65, "a" * 4098)],
]  # fmt: skip


@pytest.mark.parametrize(("code", "transaction", "argument"), MALFORMED, ids=lambda value: str(value)[:60])
def test_a_malformed_request_is_refused_before_anything_is_read(
    code: int, transaction: str, argument: str
) -> None:
    simulation = at("founded").ledger.propose(admin("AlphaMSP"), transaction, [argument], MORNING)
    parsed = parse_code(simulation.response.message)
    assert parsed is not None
    assert parsed[0] == code, simulation.response.message
    assert simulation.effects.reads == {}


@pytest.mark.parametrize("transaction", sorted(TRANSACTIONS))
@pytest.mark.parametrize("arguments", [[], ["{}", "{}"]])
def test_every_transaction_takes_exactly_one_argument(transaction: str, arguments: list[str]) -> None:
    response = at("empty").ledger.propose(admin("AlphaMSP"), transaction, arguments, MORNING).response
    assert response.status == 500
    assert response.message.startswith("BFL-102: ")


@pytest.mark.parametrize("transaction", sorted(TRANSACTIONS))
def test_every_transaction_refuses_an_unknown_field_and_any_missing_field(transaction: str) -> None:
    ledger = at("empty").ledger
    request = REQUESTS[transaction]
    wrong: list[dict[str, Any]] = [{**request, "force": True}]
    wrong += [{key: value for key, value in request.items() if key != gone} for gone in request]
    for variant in wrong:
        response = ledger.propose(admin("AlphaMSP"), transaction, [json.dumps(variant)], MORNING).response
        assert response.message.startswith("BFL-105: "), response.message


UNKNOWN = ["", "Seal", "round:seal", "round:Nothing", "rounds:Seal", ":Seal", "round:_view", "round:get_name",
           "round:get_evaluate_transactions", "org.hyperledger.fabric:get_metadata", "round:Get:Get"]  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_only_the_listed_transactions_can_be_called(name: str) -> None:
    response = at("collecting 1").ledger.propose(silo("alpha-1"), name, ["{}"], MORNING).response
    assert response.status == 500
    assert response.message.startswith("BFL-101: ")
