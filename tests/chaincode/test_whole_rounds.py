"""Tasks from founding to refund, through the real contract on real certificates."""

from __future__ import annotations

import hashlib
import json

import pytest

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import RoundView, Task, from_json, to_json
from bfl_chaincode.limits import AMOUNT_LIMIT
from tests.chaincode.identities import creator
from tests.chaincode.memory_stub import Refused
from tests.chaincode.scenario import (
    AGGREGATOR,
    COORDINATOR,
    KEY_HOLDER,
    SAMPLES,
    SILOS,
    TASK,
    UPLOAD_SECONDS,
    Scenario,
    admin,
    at,
    digest,
    node,
    silo,
)

ALL = sorted(SILOS)


def balances(scenario: Scenario) -> dict[str, int]:
    return {row["account"]: row["amount"] for row in scenario.evaluate("reward:ListAccounts")}


def later(scenario: Scenario, seconds: int = UPLOAD_SECONDS) -> Scenario:
    scenario.now += seconds * 1000
    return scenario


# --- before the rounds ----------------------------------------------------------------------------


def test_the_contract_says_who_a_caller_is() -> None:
    who = creator("BetaMSP", "beta-aggregator", "client", "aggregator")
    found = at("founded").ledger.evaluate(who, "federation:WhoAmI", {})
    assert found["msp_id"] == "BetaMSP"
    assert found["common_name"] == "beta-aggregator"
    assert found["ou"] == "client"
    assert found["attributes"] == [{"name": "bfl.role", "value": "aggregator"}]
    assert len(found["certificate_digest"]) == 64


def test_a_node_may_move_to_another_address() -> None:
    scenario = at("founded")
    for address in ("127.0.0.1:7000", "[::1]:7001"):
        request = {"role": "aggregator", "node_id": "beta-aggregator", "address": address}
        scenario.submit(node("BetaMSP", "aggregator"), "federation:AnnounceNode", **request)
    (found,) = scenario.evaluate("federation:ListNodes")
    assert found["address"] == "[::1]:7001"


def test_a_participant_that_left_may_come_back_to_its_organization() -> None:
    scenario = at("enrolled")
    scenario.submit(silo("alpha-1"), "federation:Leave", participant_id="alpha-1")
    back = scenario.submit(admin("AlphaMSP"), "federation:EnrolParticipant", participant_id="alpha-1")
    assert back["active"]


def test_the_spec_digest_is_the_digest_of_its_canonical_json() -> None:
    task = from_json(Task, at("drafted").evaluate("task:Get", task_id=TASK))
    assert task.spec_digest == hashlib.sha256(canonical.dump(to_json(task.spec))).hexdigest()


def test_publishing_puts_the_initial_model_at_the_root_of_the_lineage() -> None:
    (root,) = at("published").evaluate("model:Lineage", task_id=TASK)
    assert root["round"] == 0
    assert root["digest"] == digest("initial model")
    assert root["size_bytes"] == 48
    assert root["parent_digest"] == ""
    assert (root["total_weight"], root["metrics"]["samples"], root["contributors"]) == (0, 0, [])


def test_a_registration_can_be_withdrawn_and_made_again_with_another_count() -> None:
    scenario = at("registered")
    scenario.submit(silo("alpha-1"), "task:Withdraw", task_id=TASK)
    scenario.submit(silo("alpha-1"), "task:Register", task_id=TASK, samples=55)
    found = scenario.evaluate("task:ListRegistrations", task_id=TASK)
    assert {row["participant_id"]: row["samples"] for row in found}["alpha-1"] == 55


def test_samples_may_be_exactly_the_least_and_exactly_the_most_that_a_task_asks_for() -> None:
    scenario = at("published")
    for name, samples in (("alpha-1", 10), ("alpha-2", 1000)):
        found = scenario.submit(silo(name), "task:Register", task_id=TASK, samples=samples)
        assert found["samples"] == samples


def test_a_task_may_start_with_exactly_the_weight_that_a_sum_can_hold() -> None:
    scenario = at("enrolled")
    scenario.create(encryption__max_total_weight=sum(SAMPLES.values()))
    for step in (scenario.publish, scenario.register, scenario.open_epoch, scenario.mint, scenario.fund):
        step()
    scenario.start()
    assert scenario.open()["cohort"] == ALL


def test_terms_may_lie_exactly_on_their_limits() -> None:
    scenario = at("enrolled")
    drafted = scenario.create(
        encryption__max_total_weight=2**15,
        cohort__target=3,
        verification__attestations=3,
        verification__receipts=3,
        incentive__pool=2000,
    )
    assert drafted["status"] == "DRAFT"


def test_before_the_first_round_the_view_has_the_task_the_key_and_the_registrations() -> None:
    view = from_json(RoundView, at("running").view())
    assert view.round is None
    assert view.key_epoch is not None
    assert view.key_epoch.epoch == 1
    assert [item.participant_id for item in view.registrations] == ALL
    assert view.settled_rounds == 0


def test_without_a_key_the_view_says_so() -> None:
    assert at("registered").view()["key_epoch"] is None


# --- rounds ---------------------------------------------------------------------------------------


def test_a_first_round_starts_from_the_initial_model_without_a_direction() -> None:
    opened = at("collecting 1").view()["round"]
    assert opened["phase"] == "COLLECTING"
    assert opened["cohort"] == ALL
    assert opened["holders"] == [AGGREGATOR, "AlphaMSP"]
    assert opened["base_model_digest"] == digest("initial model")
    assert opened["direction_digest"] == ""
    assert opened["deadline_at"] == opened["opened_at"] + UPLOAD_SECONDS * 1000


def test_a_second_round_starts_from_what_the_first_published() -> None:
    opened = at("collecting 2").view()["round"]
    assert opened["number"] == 2
    assert opened["base_model_digest"] == digest("model 1")
    assert opened["direction_digest"] == digest("direction 1")


def test_an_aborted_round_hands_on_the_model_and_the_direction_it_was_given() -> None:
    scenario = at("collecting 2")
    scenario.in_round(node(COORDINATOR, "coordinator"), "round:Abort", reason="a test")
    assert scenario.view()["round"]["reason"] == "a test"
    opened = scenario.open()
    assert opened["number"] == 3
    assert opened["base_model_digest"] == digest("model 1")
    assert opened["direction_digest"] == digest("direction 1")


def test_aborted_rounds_do_not_count_among_the_settled() -> None:
    scenario = at("collecting 1")
    scenario.in_round(node(COORDINATOR, "coordinator"), "round:Abort", reason="a test")
    scenario.open()
    assert scenario.view()["settled_rounds"] == 0
    assert at("settled 2").view()["settled_rounds"] == 2


def test_a_round_is_sealed_early_once_everybody_has_delivered() -> None:
    sealed = at("sealed 1").view()["round"]
    assert sealed["phase"] == "SEALED"
    assert sealed["members"] == ALL
    assert sealed["total_weight"] == sum(SAMPLES.values())


def test_the_deadline_seals_the_round_without_those_who_did_not_deliver() -> None:
    scenario = at("collecting 1")
    scenario.deliver("alpha-1", "alpha-2", "beta-1")
    sealed = later(scenario).seal()
    assert sealed["phase"] == "SEALED"
    assert sealed["members"] == ["alpha-1", "alpha-2", "beta-1"]
    assert sealed["total_weight"] == 220


def test_a_committed_update_that_only_one_organization_holds_does_not_count() -> None:
    scenario = at("collecting 1")
    scenario.deliver("alpha-1", "alpha-2", "beta-1")
    scenario.commit("gamma-1")
    scenario.acknowledge("gamma-1", "AlphaMSP")
    assert later(scenario).seal()["members"] == ["alpha-1", "alpha-2", "beta-1"]


def test_a_round_below_its_minimum_cohort_aborts_at_the_deadline() -> None:
    scenario = at("collecting 1")
    scenario.deliver("alpha-1", "beta-1")
    aborted = later(scenario).seal()
    assert aborted["phase"] == "ABORTED"
    assert "2 of 4 delivered" in aborted["reason"]
    with pytest.raises(Refused) as refused:
        scenario.propose()
    assert refused.value.code == 401


def test_a_receipt_for_an_update_committed_in_time_may_come_after_the_deadline() -> None:
    scenario = later(at("committed 1"))
    for name in SILOS:
        for msp_id in (AGGREGATOR, "AlphaMSP"):
            scenario.acknowledge(name, msp_id)
    assert scenario.seal()["members"] == ALL


def test_the_deadline_itself_belongs_to_the_seal_and_the_moment_before_to_the_participants() -> None:
    scenario = at("collecting 1")
    deadline = scenario.view()["round"]["deadline_at"]
    scenario.deliver("alpha-1", "alpha-2", "beta-1")
    for moment, code in ((deadline - 1, 404), (deadline, 403)):
        scenario.now = moment - 1000
        with pytest.raises(Refused) as refused:
            scenario.seal() if code == 404 else scenario.commit("gamma-1")
        assert refused.value.code == code
    scenario.now = deadline - 1001
    scenario.commit("gamma-1")
    scenario.now = deadline - 1000
    assert scenario.seal()["phase"] == "SEALED"


def test_the_phase_is_asked_for_before_the_content() -> None:
    scenario = at("settled 2")
    steps = (
        scenario.seal,
        lambda: scenario.propose(scores_digest=""),
        lambda: scenario.attest(AGGREGATOR),
        scenario.confirm,
        lambda: scenario.post_scores({"alpha-1": 1}),
        lambda: scenario.release(aggregate_digest=digest("another")),
        lambda: scenario.publish_model(model_bytes=1),
    )
    for step in steps:
        with pytest.raises(Refused) as refused:
            step()
        assert refused.value.code == 401


def test_the_proposal_counts_as_its_organizations_statement() -> None:
    scenario = at("aggregated 1")
    scenario.attest(KEY_HOLDER)
    assert scenario.confirm()["phase"] == "VERIFIED"


def test_a_differing_attestation_stays_on_the_record_and_does_not_count() -> None:
    scenario = at("aggregated 1")
    scenario.attest("AlphaMSP", aggregate_digest=digest("something else"))
    with pytest.raises(Refused) as refused:
        scenario.confirm()
    assert refused.value.code == 512
    scenario.attest(KEY_HOLDER)
    scenario.confirm()
    found = {item["msp_id"]: item["aggregate_digest"] for item in scenario.view()["attestations"]}
    assert found == {"AlphaMSP": digest("something else"), KEY_HOLDER: digest("aggregate 1")}


def test_with_three_attestations_asked_for_two_are_not_enough() -> None:
    scenario = at("enrolled")
    scenario.create(verification__attestations=3)
    for step in (scenario.publish, scenario.register, scenario.open_epoch, scenario.mint, scenario.fund):
        step()
    scenario.start()
    scenario.open()
    scenario.deliver()
    scenario.seal()
    scenario.propose()
    scenario.attest("AlphaMSP")
    with pytest.raises(Refused) as refused:
        scenario.confirm()
    assert refused.value.code == 512
    scenario.attest(KEY_HOLDER)
    assert scenario.confirm()["phase"] == "VERIFIED"


def test_a_late_attestation_is_still_taken_as_evidence() -> None:
    scenario = at("verified 1")
    scenario.attest(KEY_HOLDER)
    assert len(scenario.view()["attestations"]) == 2


def test_the_view_of_a_settled_round_holds_all_its_evidence() -> None:
    view = from_json(RoundView, at("settled 2").view())
    assert view.round is not None
    assert view.round.phase == "SETTLED"
    assert [item.participant_id for item in view.updates] == ALL
    assert len(view.receipts) == 8
    assert view.scores is not None
    assert [score.participant_id for score in view.scores.scores] == ALL
    assert view.settlement is not None
    assert view.settlement.paid == 1000


def test_an_earlier_round_can_be_read_with_its_own_evidence() -> None:
    view = at("settled 2").evaluate("round:Get", task_id=TASK, round=1)
    assert view["round"]["number"] == 1
    assert view["scores"] is None
    assert view["settlement"]["round"] == 1


def test_a_published_model_names_its_parent_its_sum_and_its_contributors() -> None:
    found = at("settled 2").evaluate("model:Lineage", task_id=TASK)
    assert [model["round"] for model in found] == [0, 1, 2]
    assert [model["parent_digest"] for model in found] == ["", digest("initial model"), digest("model 1")]
    assert found[2]["sum_digest"] == digest("sum 2")
    assert found[2]["contributors"] == ALL
    assert found[2]["total_weight"] == 250
    assert found[2]["direction_digest"] == digest("direction 2")


def test_a_round_uses_the_newest_key_epoch() -> None:
    scenario = at("settled 1")
    scenario.open_epoch(epoch=2, public_key_digest=digest("second key"))
    assert scenario.open()["epoch"] == 2
    assert scenario.view()["key_epoch"]["public_key_digest"] == digest("second key")
    assert scenario.evaluate("round:Get", task_id=TASK, round=1)["key_epoch"]["epoch"] == 1


# --- money and reputation -------------------------------------------------------------------------


def test_the_first_round_pays_by_weight() -> None:
    payouts = at("settled 1").evaluate("reward:GetSettlement", task_id=TASK, round=1)["payouts"]
    assert {row["participant_id"]: row["alignment"] for row in payouts} == SAMPLES
    assert {row["participant_id"]: row["amount"] for row in payouts} == {
        "alpha-1": 400, "alpha-2": 200, "beta-1": 280, "gamma-1": 120
    }  # fmt: skip


def test_who_did_not_deliver_earns_nothing_and_loses_reputation_and_streak() -> None:
    scenario = at("collecting 2")
    scenario.deliver("alpha-1", "alpha-2", "beta-1")
    later(scenario).seal()
    for step in (scenario.propose, lambda: scenario.attest("AlphaMSP"), scenario.confirm):
        step()
    scenario.post_scores({"alpha-1": 10, "alpha-2": 10, "beta-1": -7})
    for step in (scenario.release, scenario.publish_model, scenario.settle):
        step()
    rows = {
        row["participant_id"]: row
        for row in scenario.evaluate("reward:GetSettlement", task_id=TASK, round=2)["payouts"]
    }
    assert (rows["gamma-1"]["alignment"], rows["gamma-1"]["amount"]) == (0, 0)
    assert (rows["beta-1"]["alignment"], rows["beta-1"]["amount"]) == (-7, 0)
    assert rows["alpha-1"]["amount"] == rows["alpha-2"]["amount"] == 500
    reputations = {row["participant_id"]: row for row in scenario.evaluate("reputation:List", task_id=TASK)}
    assert reputations["alpha-1"]["streak"] == 2
    assert reputations["beta-1"]["streak"] == reputations["gamma-1"]["streak"] == 0
    assert reputations["gamma-1"]["score_ppb"] == 480_000_000
    assert reputations["alpha-1"]["score_ppb"] == 680_000_000


def test_the_smallest_positive_alignment_is_a_valid_round_and_zero_is_not() -> None:
    scenario = at("verified 2")
    scenario.post_scores({"alpha-1": 1, "alpha-2": 0, "beta-1": 0, "gamma-1": 0})
    for step in (scenario.release, scenario.publish_model):
        step()
    amounts = {row["participant_id"]: row["amount"] for row in scenario.settle()["payouts"]}
    assert amounts == {"alpha-1": 1000, "alpha-2": 0, "beta-1": 0, "gamma-1": 0}
    streaks = {
        row["participant_id"]: row["streak"] for row in scenario.evaluate("reputation:List", task_id=TASK)
    }
    assert streaks == {"alpha-1": 2, "alpha-2": 0, "beta-1": 0, "gamma-1": 0}


def test_when_nobody_is_aligned_nothing_is_paid_and_the_pool_keeps_it() -> None:
    scenario = at("verified 2")
    scenario.post_scores(dict.fromkeys(SILOS, -1))
    for step in (scenario.release, scenario.publish_model):
        step()
    settlement = scenario.settle()
    assert settlement["paid"] == 0
    assert balances(scenario)[f"pool:{TASK}"] == 1000
    scenario.close()
    assert balances(scenario)[f"pool:{TASK}"] == 0
    assert balances(scenario)[f"org:{COORDINATOR}"] == 4000


def test_closing_refunds_the_rest_and_abandoning_refunds_everything() -> None:
    scenario = at("running")
    scenario.submit(node(COORDINATOR, "coordinator"), "task:Abandon", task_id=TASK, reason="no data")
    assert balances(scenario) == {"mint": -5000, f"org:{COORDINATOR}": 5000, f"pool:{TASK}": 0}
    assert scenario.evaluate("task:Get", task_id=TASK)["reason"] == "no data"


def test_while_the_coordinator_is_suspended_another_administrator_ends_its_task() -> None:
    scenario = at("collecting 1")
    scenario.submit(admin("BetaMSP"), "federation:SuspendOrganization", msp_id=COORDINATOR)
    scenario.in_round(admin("GammaMSP"), "round:Abort", reason="the coordinator is suspended")
    scenario.submit(admin("GammaMSP"), "task:Abandon", task_id=TASK, reason="the coordinator is suspended")
    assert balances(scenario)[f"org:{COORDINATOR}"] == 5000


def test_an_account_may_be_emptied_and_filled_to_its_limit() -> None:
    scenario = at("minted")
    scenario.fund(5000)
    scenario.mint(AMOUNT_LIMIT)
    scenario.fund(AMOUNT_LIMIT - 5000)
    rows = {row["account"]: row for row in scenario.evaluate("reward:ListAccounts")}
    assert rows[f"pool:{TASK}"] == {"account": f"pool:{TASK}", "amount": AMOUNT_LIMIT, "entries": 2}
    assert rows[f"org:{COORDINATOR}"] == {"account": f"org:{COORDINATOR}", "amount": 5000, "entries": 4}
    assert rows["mint"] == {"account": "mint", "amount": -AMOUNT_LIMIT - 5000, "entries": 2}


def test_a_statement_lists_entries_as_they_were_booked() -> None:
    found = at("closed").evaluate("reward:Statement", account=f"pool:{TASK}")
    assert [(row["kind"], row["amount"]) for row in found] == [
        ("fund", 2000), ("payout", -1000), ("payout", -1000)
    ]  # fmt: skip


def test_units_are_conserved_at_every_stage() -> None:
    for stage in ("founded", "minted", "funded", "settled 1", "settled 2", "closed"):
        found = at(stage).evaluate("reward:Conservation")
        assert found["difference"] == 0
        assert found["minted"] == (0 if stage == "founded" else 5000)


def test_a_task_without_rewards_needs_no_pool() -> None:
    scenario = at("enrolled")
    scenario.create(incentive__pool=0, incentive__per_round=0)
    for step in (scenario.publish, scenario.register, scenario.open_epoch, scenario.start):
        step()
    scenario.open()
    scenario.deliver()
    for step in (scenario.seal, scenario.propose, lambda: scenario.attest("AlphaMSP"), scenario.confirm):
        step()
    for step in (scenario.release, scenario.publish_model):
        step()
    assert scenario.settle()["paid"] == 0
    assert balances(scenario) == {}


# --- events and moments ---------------------------------------------------------------------------


def test_events_name_the_task_the_round_and_what_changed() -> None:
    events = {}
    for simulation in at("settled 2").ledger.committed:
        ((name, payload),) = simulation.effects.events
        found = json.loads(payload)
        events[name] = (found["v"], found["task"], found["round"], found["refs"])
    assert events["federation:Found"] == (1, "", 0, ["AlphaMSP", "BetaMSP", "GammaMSP"])
    assert events["task:Create"][1:3] == (TASK, 0)
    assert events["reward:Mint"] == (1, "", 0, ["mint", f"org:{COORDINATOR}"])
    assert events["round:Open"] == (1, TASK, 2, ALL)
    assert events["round:CommitUpdate"] == (1, TASK, 2, ["gamma-1", digest("update of gamma-1 in round 2")])
    assert events["round:PublishModel"] == (1, TASK, 2, [digest("model 2")])
    assert events["reward:Settle"] == (1, TASK, 2, ALL)


def test_moments_are_the_milliseconds_of_the_transaction() -> None:
    scenario = at("running")
    scenario.now += 123
    assert scenario.open()["opened_at"] == scenario.now
    assert scenario.now % 1000 == 123


# --- 100 participants -----------------------------------------------------------------------------


def hundred() -> tuple[Scenario, list[str]]:
    scenario = at("founded")
    names = [f"silo-{number}" for number in range(100)]
    for name in names:
        scenario.submit(admin("AlphaMSP"), "federation:EnrolParticipant", participant_id=name)
    scenario.create(encryption__max_total_weight=10_000, encryption__value_bits=12)
    scenario.publish()
    return scenario, names


def in_one_block(scenario: Scenario, transaction: str, requests: dict[str, dict[str, object]]) -> list[bool]:
    """Propose everything on the same state, then commit it as one block."""
    ledger = scenario.ledger
    block = [
        ledger.propose(silo(name, "AlphaMSP"), transaction, [canonical.text(request)], scenario.now)  # type: ignore[arg-type]
        for name, request in requests.items()
    ]
    assert [simulation.response.message for simulation in block] == [""] * len(block)
    return ledger.commit(block)


def test_100_participants_register_and_commit_in_one_block_without_a_conflict() -> None:
    scenario, names = hundred()
    registrations = {name: {"task_id": TASK, "samples": 40} for name in names}
    assert in_one_block(scenario, "task:Register", registrations) == [True] * 100
    for step in (scenario.open_epoch, scenario.mint, scenario.fund, scenario.start):
        step()
    assert len(scenario.open()["cohort"]) == 100
    commitments = {
        name: {"task_id": TASK, "round": 1, "digest": digest(name), "size_bytes": 9, "weight": 40}
        for name in names
    }
    assert in_one_block(scenario, "round:CommitUpdate", commitments) == [True] * 100
    assert len(scenario.view()["updates"]) == 100


def test_two_commitments_of_one_digest_in_one_block_conflict() -> None:
    scenario = at("collecting 1")
    request = {"task_id": TASK, "round": 1, "digest": digest("same"), "size_bytes": 9}
    block = [
        scenario.ledger.propose(
            silo(name),
            "round:CommitUpdate",
            [canonical.text({**request, "weight": SAMPLES[name]})],
            scenario.now,
        )
        for name in ("alpha-1", "beta-1")
    ]
    assert scenario.ledger.commit(block) == [True, False]


def test_a_receipt_that_arrives_while_the_round_is_sealed_invalidates_the_seal() -> None:
    scenario = at("committed 1")
    for name in ("alpha-1", "alpha-2", "beta-1"):
        for msp_id in (AGGREGATOR, "AlphaMSP"):
            scenario.acknowledge(name, msp_id)
    later(scenario)
    text = canonical.text({"task_id": TASK, "round": 1})
    request = {
        "task_id": TASK,
        "round": 1,
        "uploads": [{"participant_id": "gamma-1", "digest": scenario.update_digest("gamma-1")}],
    }
    receipt = scenario.ledger.propose(
        node(AGGREGATOR, "aggregator"), "round:AcknowledgeUploads", [canonical.text(request)], scenario.now
    )
    seal = scenario.ledger.propose(node("AlphaMSP", "verifier"), "round:Seal", [text], scenario.now)
    assert scenario.ledger.commit([receipt, seal]) == [True, False]
