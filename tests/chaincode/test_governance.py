"""Votes on upgrades of the contract, through the real contract on real certificates."""

from __future__ import annotations

from tests.chaincode.refusal_cases import moves
from tests.chaincode.refusal_cases.governance import SOURCE, approve, propose
from tests.chaincode.scenario import admin, at


def test_a_proposal_is_its_proposers_vote_and_no_majority_of_three() -> None:
    proposed = propose(at("founded"))
    assert proposed["status"] == "PROPOSED"
    assert (proposed["proposed_by"], proposed["approvals"]) == ("AlphaMSP", ["AlphaMSP"])
    assert proposed["source_digest"] == SOURCE


def test_the_second_of_three_votes_approves() -> None:
    scenario = at("founded")
    propose(scenario)
    approved = approve(scenario)
    assert approved["status"] == "APPROVED"
    assert approved["approvals"] == ["AlphaMSP", "BetaMSP"]
    assert approved["changed_at"] == scenario.now > approved["proposed_at"]
    assert scenario.evaluate("governance:GetUpgrade", sequence=2, version="2") == approved


def test_half_of_the_organizations_is_no_majority() -> None:
    scenario = at("founded")
    moves.admit(scenario, "DeltaMSP")
    propose(scenario)
    assert approve(scenario)["status"] == "PROPOSED"
    assert approve(scenario, admin("DeltaMSP"))["status"] == "APPROVED"


def test_the_vote_of_an_organization_that_was_suspended_since_does_not_count() -> None:
    scenario = at("founded")
    moves.admit(scenario, "DeltaMSP")
    propose(scenario, admin("DeltaMSP"))
    moves.suspend(scenario, "DeltaMSP")
    assert approve(scenario)["status"] == "PROPOSED"
    assert approve(scenario, admin("AlphaMSP"))["status"] == "APPROVED"


def test_the_majority_is_one_of_those_that_are_active() -> None:
    scenario = at("founded")
    moves.suspend(scenario, "GammaMSP")
    propose(scenario)
    assert approve(scenario)["status"] == "APPROVED"


def test_two_versions_may_stand_for_election_and_the_next_sequence_follows_the_elected() -> None:
    scenario = at("founded")
    propose(scenario, version="2a")
    propose(scenario, admin("BetaMSP"), version="2b")
    approve(scenario, admin("GammaMSP"), version="2b")
    propose(scenario, sequence=3, version="3")
    listed = scenario.evaluate("governance:ListUpgrades")
    assert [(item["sequence"], item["version"], item["status"]) for item in listed] == [
        (2, "2a", "PROPOSED"),
        (2, "2b", "APPROVED"),
        (3, "3", "PROPOSED"),
    ]
