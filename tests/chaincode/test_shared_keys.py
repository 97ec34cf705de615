"""Keys that several organizations share: ceremonies, openings by shares, and what each does when somebody fails."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import CeremonyView, KeyEpoch, RoundView, from_json
from tests.chaincode.memory_stub import Refused
from tests.chaincode.refusal_cases import moves
from tests.chaincode.scenario import COORDINATOR, KEY_HOLDER, SILOS, TASK, digest, node
from tests.chaincode.scenario import at as single_at
from tests.chaincode.shared_scenario import (
    ACTIVE,
    MEMBERS,
    SHARE_SECONDS,
    THRESHOLD,
    abort,
    at,
    holder,
)

OTHERS = MEMBERS[1:]


def refused(code: int, act: Any) -> None:
    with pytest.raises(Refused) as found:
        act()
    assert found.value.code == code, str(found.value)


def epochs(scenario: Any) -> list[KeyEpoch]:
    return [from_json(KeyEpoch, row) for row in scenario.evaluate("key:List", task_id=TASK)]


def ceremony(scenario: Any, number: int = 1) -> CeremonyView:
    return from_json(CeremonyView, scenario.evaluate("key:GetCeremony", task_id=TASK, epoch=number))


def view(scenario: Any) -> RoundView:
    return from_json(RoundView, scenario.view())


# --- ceremonies -----------------------------------------------------------------------------------


def test_a_ceremony_opens_with_all_key_members_and_three_steps_of_time() -> None:
    found = ceremony(at("ceremony open")).ceremony
    assert found.members == MEMBERS
    assert (found.threshold, found.status, found.opened_by) == (THRESHOLD, "OPEN", "AlphaMSP")
    assert found.parameters_digest == digest("parameters")
    assert found.deadline_at == found.opened_at + 3 * SHARE_SECONDS * 1000


def test_a_closed_ceremony_is_a_key_epoch_of_its_members() -> None:
    scenario = at("ceremony closed")
    seen = ceremony(scenario)
    assert (seen.ceremony.status, seen.ceremony.joint_key_digest) == ("CLOSED", digest("joint key"))
    assert [item.msp_id for item in seen.commitments] == list(MEMBERS)
    assert [item.msp_id for item in seen.reveals] == list(MEMBERS)
    assert [item.msp_id for item in seen.confirmations] == list(MEMBERS)
    (epoch,) = epochs(scenario)
    assert (epoch.members, epoch.threshold, epoch.expires_at) == (MEMBERS, THRESHOLD, 0)
    assert (epoch.public_key_digest, epoch.public_key_bytes) == (digest("joint key"), 8000)
    assert (epoch.parameters_digest, epoch.msp_id) == (digest("parameters"), "AlphaMSP")
    assert epoch.opened_at == seen.ceremony.changed_at == scenario.now


def test_members_commit_in_one_block_without_a_conflict() -> None:
    scenario = at("ceremony open")
    request = {"task_id": TASK, "epoch": 1, "share_digest": digest("share"), "share_bytes": 4000}
    block = [
        scenario.ledger.propose(holder(name), "key:CommitKeyShare", [canonical.text(request)], scenario.now)
        for name in MEMBERS
    ]
    assert scenario.ledger.commit(block) == [True] * len(MEMBERS)


def test_the_deadline_names_who_did_not_commit_reveal_or_confirm() -> None:
    for stage, step, word in (
        ("ceremony open", "commit_share", "commit"),
        ("shares committed", "reveal_share", "reveal"),
        ("shares revealed", "confirm_key", "confirm"),
    ):
        scenario = at(stage)
        for name in ("AlphaMSP", "BetaMSP", "GammaMSP"):
            getattr(scenario, step)(name)
        scenario.late()
        failed = scenario.close_ceremony()
        assert (failed["status"], failed["excluded"]) == ("FAILED", ["DeltaMSP", "EpsilonMSP"])
        assert f"did not {word} before the deadline" in failed["reason"]
        assert epochs(scenario) == []


def test_a_ceremony_ends_exactly_at_its_deadline_and_not_before() -> None:
    scenario = at("ceremony open")
    deadline = ceremony(scenario).ceremony.deadline_at
    scenario.now = deadline - 1 - 1000
    refused(412, scenario.close_ceremony)
    scenario.now = deadline - 1000
    assert scenario.close_ceremony()["status"] == "FAILED"


def test_as_many_complaints_as_the_threshold_exclude_a_member_and_its_successor_does_without_it() -> None:
    scenario = at("shares revealed")
    for name in ("AlphaMSP", "BetaMSP"):
        scenario.complain(name, "EpsilonMSP")
    refused(412, scenario.close_ceremony)
    scenario.complain("DeltaMSP", "EpsilonMSP")
    failed = scenario.close_ceremony()
    assert (failed["status"], failed["excluded"]) == ("FAILED", ["EpsilonMSP"])
    assert failed["reason"] == "complaints about EpsilonMSP"
    left = tuple(name for name in MEMBERS if name != "EpsilonMSP")
    refused(508, lambda: scenario.open_ceremony(epoch=3))
    scenario.open_ceremony(epoch=2)
    refused(521, lambda: scenario.commit_share("EpsilonMSP", epoch=2))
    for step in (scenario.commit_share, scenario.reveal_share, scenario.confirm_key):
        for name in left:
            step(name, epoch=2)
    assert scenario.close_ceremony("GammaMSP", epoch=2)["status"] == "CLOSED"
    (epoch,) = epochs(scenario)
    assert (epoch.epoch, epoch.members, epoch.msp_id) == (2, left, "GammaMSP")
    listed = scenario.evaluate("key:ListCeremonies", task_id=TASK)
    assert [(row["epoch"], row["status"]) for row in listed] == [(1, "FAILED"), (2, "CLOSED")]
    for step in (scenario.mint, scenario.fund, scenario.start):
        step()
    assert scenario.open()["epoch"] == 2


def test_after_a_key_was_made_all_are_asked_again() -> None:
    scenario = at("ceremony open")
    for name in OTHERS:
        scenario.commit_share(name)
    scenario.late()
    scenario.close_ceremony("BetaMSP")
    scenario.hold_ceremony(*OTHERS, epoch=2)
    assert scenario.open_ceremony(epoch=3)["members"] == list(MEMBERS)


def test_exclusions_add_up_and_begin_anew_when_they_would_leave_too_few() -> None:
    scenario = at("ceremony open")
    for number, absent in ((1, "AlphaMSP"), (2, "BetaMSP")):
        members = ceremony(scenario, number).ceremony.members
        for name in members:
            if name != absent:
                scenario.commit_share(name, epoch=number)
        scenario.late()
        assert scenario.close_ceremony(epoch=number)["excluded"] == [absent]
        opened = scenario.open_ceremony(epoch=number + 1)
    assert opened["members"] == ["DeltaMSP", "EpsilonMSP", "GammaMSP"]
    scenario.late()
    scenario.close_ceremony(epoch=3)
    assert scenario.open_ceremony(epoch=4)["members"] == list(MEMBERS)


def test_a_suspended_organization_is_not_asked() -> None:
    scenario = at("shared registered")
    moves.suspend(scenario, "DeltaMSP")
    assert "DeltaMSP" not in scenario.open_ceremony()["members"]


def test_who_computes_another_joint_key_than_most_is_excluded() -> None:
    scenario = at("shares revealed")
    for name in MEMBERS[:4]:
        scenario.confirm_key(name)
    scenario.confirm_key("GammaMSP", joint_key_digest=digest("another key"))
    failed = scenario.close_ceremony()
    assert (failed["status"], failed["excluded"]) == ("FAILED", ["GammaMSP"])
    assert failed["reason"] == "the members computed different joint keys"


def test_without_a_majority_differing_joint_keys_exclude_nobody() -> None:
    scenario = at("shares revealed")
    for number, name in enumerate(MEMBERS):
        scenario.confirm_key(name, joint_key_digest=digest(f"key {number // 2}"))
    failed = scenario.close_ceremony()
    assert (failed["status"], failed["excluded"]) == ("FAILED", [])


def test_too_few_complaints_fail_a_ceremony_at_its_deadline_and_exclude_nobody() -> None:
    scenario = at("shares revealed")
    for name in OTHERS:
        scenario.confirm_key(name)
    scenario.complain("AlphaMSP", "BetaMSP")
    refused(412, scenario.close_ceremony)
    scenario.late()
    failed = scenario.close_ceremony()
    assert (failed["status"], failed["excluded"]) == ("FAILED", [])
    assert "too few complain" in failed["reason"]


def test_a_complaint_does_not_undo_a_key_that_all_confirmed() -> None:
    scenario = at("key confirmed")
    scenario.complain("AlphaMSP", "BetaMSP")
    assert scenario.close_ceremony()["status"] == "CLOSED"


def test_of_two_members_one_complaint_is_enough() -> None:
    scenario = single_two_of_two()
    scenario.complain("AlphaMSP", "BetaMSP")
    failed = scenario.close_ceremony()
    assert (failed["status"], failed["excluded"]) == ("FAILED", ["BetaMSP"])


def single_two_of_two() -> Any:
    scenario = at("shared registered")
    fresh = type(scenario)()
    fresh.found()
    fresh.enrol()
    fresh.create(roles__key_members=["AlphaMSP", "BetaMSP"], encryption__threshold=2)
    fresh.publish()
    fresh.open_ceremony()
    for step in (fresh.commit_share, fresh.reveal_share):
        for name in ("AlphaMSP", "BetaMSP"):
            step(name)
    return fresh


# --- the use of keys ------------------------------------------------------------------------------


def test_a_retired_key_opens_no_round_until_there_is_another() -> None:
    scenario = at("shared running")
    retired = scenario.of_key(holder("DeltaMSP"), "key:RetireEpoch", reason="a node was stolen")
    assert (retired["retired_at"], retired["reason"]) == (scenario.now, "a node was stolen")
    refused(413, scenario.open)
    scenario.hold_ceremony(epoch=2)
    assert scenario.open()["epoch"] == 2


def test_a_running_round_keeps_the_key_that_is_retired() -> None:
    scenario = at("sum answered 1")
    scenario.of_key(node(COORDINATOR, "coordinator"), "key:RetireEpoch", reason="rotation")
    assert scenario.release()["phase"] == "RELEASED"


def test_a_key_expires_at_its_moment() -> None:
    scenario = at("shared running")
    expiry = scenario.now + 3_600_000
    scenario.open_ceremony(epoch=2, expires_at=expiry)
    for step in (scenario.commit_share, scenario.reveal_share, scenario.confirm_key):
        for name in MEMBERS:
            step(name, epoch=2)
    scenario.close_ceremony(epoch=2)
    scenario.now = expiry - 1000
    refused(414, scenario.open)
    scenario.now = expiry - 1001
    assert scenario.open()["epoch"] == 2


def test_a_single_key_is_retired_by_its_holder_and_followed_by_the_next() -> None:
    scenario = single_at("running")
    who, request = node(KEY_HOLDER, "key-holder"), {"task_id": TASK, "epoch": 1, "reason": "rotation"}
    scenario.submit(who, "key:RetireEpoch", **request)
    refused(413, scenario.open)
    scenario.open_epoch(epoch=2, public_key_digest=digest("second key"))
    assert scenario.open()["epoch"] == 2


def test_key_members_hold_uploads_too() -> None:
    opened = at("shared verified 1").view()["round"]
    assert opened["holders"] == ["BetaMSP", "AlphaMSP", "DeltaMSP", "EpsilonMSP", "GammaMSP"]


def test_an_update_commits_to_its_mask_and_no_mask_is_used_twice_in_a_task() -> None:
    scenario = at("shared running")
    scenario.open()
    committed = scenario.commit("alpha-1")
    assert (committed["mask_digest"], committed["mask_bytes"]) == (
        digest("mask of alpha-1 in round 1"),
        600,
    )
    refused(314, lambda: scenario.commit("beta-1", mask_digest=committed["mask_digest"]))


# --- openings -------------------------------------------------------------------------------------


def test_a_whole_task_under_a_shared_key() -> None:
    scenario = at("shared closed")
    assert scenario.evaluate("task:Get", task_id=TASK)["status"] == "CLOSED"
    assert scenario.evaluate("reward:Conservation")["difference"] == 0
    found = view(scenario)
    assert found.round is not None
    assert found.round.phase == "SETTLED"
    assert found.offers == ()
    assert [(item.subject, item.msp_id) for item in found.shares] == [
        *[("scores", name) for name in ACTIVE],
        *[("sum", name) for name in ACTIVE],
    ]
    assert found.key_epoch is not None
    assert found.key_epoch.members == MEMBERS


def test_who_is_named_first_is_active_and_the_seed_binds_the_attempt() -> None:
    scenario = at("shared verified 1")
    begun = scenario.begin(msp_id="EpsilonMSP", members=["GammaMSP", "DeltaMSP", "AlphaMSP"])
    assert begun["members"] == ["AlphaMSP", "DeltaMSP", "GammaMSP"]
    assert begun["deadline_at"] == begun["opened_at"] + SHARE_SECONDS * 1000
    bound = {
        "aggregate_digest": digest("aggregate 1"),
        "attempt": 1,
        "members": begun["members"],
        "round": 1,
        "task_id": TASK,
        "transaction_id": scenario.ledger.committed[-1].proposal.tx_id,
    }
    assert begun["seed"] == hashlib.sha256(canonical.dump(bound)).hexdigest()


def test_the_earliest_offers_make_a_later_active_set() -> None:
    scenario = at("shared verified 1")
    scenario.begin(members=["AlphaMSP", "BetaMSP", "EpsilonMSP"])
    scenario.late(SHARE_SECONDS)
    for name in ("GammaMSP", "DeltaMSP", "AlphaMSP", "BetaMSP"):
        scenario.offer(name)
    assert scenario.begin(2)["members"] == ["AlphaMSP", "DeltaMSP", "GammaMSP"]


def test_the_largest_group_that_agrees_on_the_masks_answers() -> None:
    scenario = at("begun 1")
    scenario.late(SHARE_SECONDS)
    for name in ("AlphaMSP", "BetaMSP"):
        scenario.offer(name, mask_digest=digest("other masks"))
    for name in ("DeltaMSP", "EpsilonMSP"):
        scenario.offer(name)
    refused(526, lambda: scenario.begin(2))
    scenario.offer("GammaMSP")
    assert scenario.begin(2)["members"] == ["DeltaMSP", "EpsilonMSP", "GammaMSP"]


def test_the_active_set_answers_in_one_block_without_a_conflict() -> None:
    scenario = at("begun 1")
    request = {"task_id": TASK, "round": 1, "attempt": 1}
    share = {"subject": "sum", "size_bytes": 5}
    block = [
        scenario.ledger.propose(
            holder(name),
            "opening:PostShares",
            [canonical.text({**request, "shares": [{**share, "digest": digest(name)}]})],
            scenario.now,
        )
        for name in ACTIVE
    ]
    assert scenario.ledger.commit(block) == [True] * THRESHOLD


def test_members_offer_in_one_block_without_a_conflict() -> None:
    scenario = at("begun 1")
    scenario.late(SHARE_SECONDS)
    request = {"task_id": TASK, "round": 1, "attempt": 2, "mask_digest": digest("masks 2")}
    text = canonical.text({**request, "zero_digest": digest("zero"), "zero_bytes": 1})
    block = [scenario.ledger.propose(holder(name), "opening:Offer", [text], scenario.now) for name in MEMBERS]
    assert scenario.ledger.commit(block) == [True] * len(MEMBERS)


def test_when_a_member_falls_silent_the_next_attempt_goes_on_without_it() -> None:
    scenario = at("begun 2")
    for name in ("AlphaMSP", "DeltaMSP"):
        scenario.post_share(name, "scores")
    refused(416, lambda: scenario.offer("AlphaMSP", 2))
    refused(418, scenario.post_scores)
    scenario.late(SHARE_SECONDS)
    refused(417, lambda: scenario.post_share("BetaMSP", "scores"))
    for name in ("BetaMSP", "AlphaMSP", "DeltaMSP", "EpsilonMSP"):
        scenario.offer(name, 2)
    begun = scenario.begin(2)
    assert begun["members"] == ["AlphaMSP", "DeltaMSP", "EpsilonMSP"]
    assert begun["excluded"] == []
    members = tuple(begun["members"])
    refused(418, scenario.post_scores)
    scenario.answer("scores", 2, members)
    scenario.post_scores()
    refused(418, scenario.release)
    scenario.answer("sum", 2, members)
    scenario.release()
    assert scenario.publish_model()["round"] == 2
    assert [item.attempt for item in view(scenario).openings] == [1, 2]


def test_who_let_an_attempt_down_answers_again_where_nobody_else_is_left() -> None:
    scenario = at("begun 1")
    scenario.late(SHARE_SECONDS)
    for name in ACTIVE:
        scenario.offer(name, 2)
    assert scenario.begin(2)["members"] == list(ACTIVE)


def test_an_attempt_begun_before_the_round_is_verified_has_its_time_from_then() -> None:
    scenario = at("shared sealed 2")
    scenario.propose()
    scenario.begin()
    scenario.late(SHARE_SECONDS)
    scenario.attest("AlphaMSP")
    verified_at = scenario.confirm()["changed_at"]
    scenario.post_share("AlphaMSP", "scores")
    refused(416, lambda: scenario.offer("AlphaMSP", 2))
    scenario.now = verified_at + SHARE_SECONDS * 1000 - 1001
    scenario.post_share("AlphaMSP")
    refused(417, lambda: scenario.post_share("BetaMSP", "scores"))
    assert scenario.offer("AlphaMSP", 2)["attempt"] == 2


def test_an_attempt_fails_for_want_of_a_share_of_the_sum_though_the_scores_are_answered_for() -> None:
    scenario = at("scores answered 2")
    for name in ("AlphaMSP", "BetaMSP"):
        scenario.post_share(name)
    scenario.late(SHARE_SECONDS)
    assert scenario.offer("AlphaMSP", 2)["attempt"] == 2


def test_an_attempt_that_most_others_blame_for_a_bad_share_is_over_and_the_blamed_answers_no_more() -> None:
    scenario = at("begun 1")
    scenario.post_share("AlphaMSP")
    scenario.post_share("BetaMSP")
    for name in ("DeltaMSP", "EpsilonMSP"):
        scenario.blame(name, "BetaMSP")
    refused(416, lambda: scenario.offer("AlphaMSP", 2))
    scenario.blame("GammaMSP", "BetaMSP")
    refused(417, lambda: scenario.post_share("DeltaMSP"))
    refused(527, lambda: scenario.offer("BetaMSP", 2))
    for name in ("DeltaMSP", "EpsilonMSP", "GammaMSP"):
        scenario.offer(name, 2)
    begun = scenario.begin(2)
    assert (begun["members"], begun["excluded"]) == (["DeltaMSP", "EpsilonMSP", "GammaMSP"], ["BetaMSP"])
    scenario.answer("sum", 2, ("DeltaMSP", "EpsilonMSP", "GammaMSP"))
    assert scenario.release()["phase"] == "RELEASED"
    assert [(item.msp_id, item.against) for item in view(scenario).blames] == [
        (name, "BetaMSP") for name in ("DeltaMSP", "EpsilonMSP", "GammaMSP")
    ]


def test_an_offer_made_before_its_member_was_excluded_does_not_count() -> None:
    scenario = at("begun 1")
    scenario.answer(members=("AlphaMSP", "BetaMSP"))
    scenario.late(SHARE_SECONDS)
    for name in ACTIVE:
        scenario.offer(name, 2)
    for name in ("AlphaMSP", "DeltaMSP", "GammaMSP"):
        scenario.blame(name, "BetaMSP")
    refused(526, lambda: scenario.begin(2))
    scenario.offer("EpsilonMSP", 2)
    assert scenario.begin(2)["members"] == ["AlphaMSP", "DeltaMSP", "EpsilonMSP"]


def test_complete_shares_of_a_blamed_member_open_nothing() -> None:
    scenario = at("sum answered 1")
    for name in ("DeltaMSP", "EpsilonMSP", "GammaMSP"):
        scenario.blame(name, "BetaMSP")
    refused(417, scenario.release)


def test_a_verified_round_can_be_aborted_while_it_is_being_opened() -> None:
    scenario = at("sum answered 1")
    assert abort(scenario)["phase"] == "ABORTED"
    refused(401, scenario.release)


def test_any_member_posts_the_result_also_one_that_did_not_answer() -> None:
    scenario = at("sum answered 1")
    request = {
        "aggregate_digest": digest("aggregate 1"),
        "sum_digest": digest("sum 1"),
        "sum_bytes": 96,
    }
    released = scenario.in_round(holder("EpsilonMSP"), "round:ReleaseShare", **request)
    assert released["phase"] == "RELEASED"


# --- packed keys ----------------------------------------------------------------------------------


def test_a_packed_key_is_granted_to_every_silo_and_the_view_shows_it() -> None:
    for stage in ("packed granted", "packed settled 1"):
        found = view(at(stage))
        assert [item.participant_id for item in found.grants] == sorted(SILOS)
        assert {item.epoch for item in found.grants} == {1}
    assert found.registrations[0].transport_key == digest("transport key of alpha-1")


def test_the_view_has_the_grants_of_its_rounds_own_epoch() -> None:
    scenario = at("packed settled 1")
    scenario.open_epoch(epoch=2, public_key_digest=digest("second key"))
    scenario.grant("alpha-1", epoch=2)
    assert len(view(scenario).grants) == len(SILOS)
    scenario.open()
    assert [(item.epoch, item.participant_id) for item in view(scenario).grants] == [(2, "alpha-1")]


# --- old ledgers ----------------------------------------------------------------------------------


def test_what_a_single_key_task_writes_has_none_of_the_fields_of_shared_ones() -> None:
    written = b"".join(
        value for item in single_at("closed").ledger.committed for value in item.effects.writes.values()
    )
    added = ("key_members", "threshold", "share_seconds", "mask_digest", "mask_bytes", "transport_key")
    for name in (*added, "expires_at", "retired_at"):
        assert f'"{name}"'.encode() not in written
