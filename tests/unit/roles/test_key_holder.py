"""When the key holder opens something, and everything that makes it refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bfl_chaincode.api.records import PACKED_SCHEME, KeyGrant, Phase, RoundView, ScoreSheet, TaskStatus
from bfl_fabric.domain.ports import AggregateHeader
from bfl_fabric.errors import KeyHolderRefused, NotFound
from bfl_fabric.roles.evidence import scores_sheet
from bfl_fabric.roles.key_holder import (
    GrantKey,
    OpenEpoch,
    OpenScores,
    OpenSum,
    due,
    read_scores_sheet,
)
from bfl_fabric.roles.openable import KeyHolderState, verify_aggregate, verify_openable
from tests.unit.roles.rounds import (
    AGGREGATE,
    AGGREGATOR,
    COORDINATOR,
    DIRECTION,
    KEY_HOLDER,
    OPENED_AT,
    PARAMETERS,
    PARTICIPANTS,
    SCORES,
    TASK,
    attestation,
    delivered,
    digest,
    key_epoch,
    receipts,
    round_,
    update,
    verified,
    view,
)

ME = KeyHolderState(KEY_HOLDER, "", "")


def scored(**changes: Any) -> RoundView:
    """A verified round with a direction, attested with its scores."""
    made = verified(direction_digest=DIRECTION, scores_digest=SCORES, **changes)
    return replace(made, attestations=(attestation(COORDINATOR, AGGREGATE, SCORES),))


def with_round(seen: RoundView, **changes: Any) -> RoundView:
    assert seen.round is not None
    return replace(seen, round=replace(seen.round, **changes))


@pytest.mark.parametrize("status", [TaskStatus.PUBLISHED, TaskStatus.RUNNING])
def test_a_task_without_key_gets_one(status: TaskStatus) -> None:
    assert due(view(None, status, key_epoch=None), ME) == [OpenEpoch(TASK, 0, 1)]


def test_a_task_has_one_key() -> None:
    assert due(view(None, TaskStatus.PUBLISHED), ME) == []


def test_a_draft_gets_no_key() -> None:
    assert due(view(None, TaskStatus.DRAFT, key_epoch=None), ME) == []


def test_another_organization_makes_no_key() -> None:
    assert due(view(None, TaskStatus.PUBLISHED, key_epoch=None), replace(ME, msp_id=AGGREGATOR)) == []


def test_without_a_direction_the_sum_is_opened() -> None:
    assert due(verified(), ME) == [OpenSum(TASK, 1)]


def test_with_a_direction_the_scores_come_first() -> None:
    assert due(scored(), ME) == [OpenScores(TASK, 1)]
    sheet = ScoreSheet(TASK, 1, DIRECTION, (), OPENED_AT)
    assert due(replace(scored(), scores=sheet), ME) == [OpenSum(TASK, 1)]


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.VERIFIED])
def test_nothing_is_opened_in_any_other_phase(phase: Phase) -> None:
    seen = with_round(verified(), phase=phase)
    assert due(seen, ME) == []
    with pytest.raises(KeyHolderRefused, match="not VERIFIED"):
        verify_openable(seen, ME)


def test_a_verified_round_may_be_opened() -> None:
    verify_openable(verified(), ME)
    verify_openable(scored(), ME)


def test_what_was_opened_may_be_opened_again() -> None:
    verify_openable(scored(), KeyHolderState(KEY_HOLDER, AGGREGATE, SCORES))


def fewer(members: tuple[str, ...]) -> RoundView:
    weight = {"a-1": 10, "a-2": 20, "b-1": 30, "c-1": 40}
    return with_round(verified(), members=members, total_weight=sum(weight[who] for who in members))


REFUSALS: dict[str, tuple[RoundView, KeyHolderState, str]] = {
    "another key holder": (verified(), replace(ME, msp_id=COORDINATOR), "not the task's key holder"),
    "below the minimum cohort": (fewer(("a-1", "a-2")), ME, "fewer members"),
    "one member": (fewer(("a-1",)), ME, "fewer members"),
    "a member twice": (with_round(verified(), members=("a-1", "a-1", "a-2")), ME, "fewer members"),
    "a member without receipts": (
        replace(verified(), receipts=receipts("a-1", "a-2", "b-1")),
        ME,
        "receipts",
    ),
    "receipts without the aggregator": (
        replace(verified(), receipts=receipts(*PARTICIPANTS, by=(COORDINATOR, KEY_HOLDER))),
        ME,
        "receipts",
    ),
    "a receipt for other bytes": (
        replace(verified(), updates=(update("a-1", digest=digest("x")), *verified().updates[1:])),
        ME,
        "receipts",
    ),
    "a member without commitment": (replace(verified(), updates=verified().updates[1:]), ME, "receipts"),
    "a stranger among the members": (with_round(verified(), members=("a-1", "a-2", "z-9")), ME, "receipts"),
    "weights that do not add up": (with_round(verified(), total_weight=101), ME, "weights"),
    "no attestation": (replace(verified(), attestations=()), ME, "too few organizations"),
    "attested by the aggregator only": (
        replace(verified(), attestations=(attestation(AGGREGATOR),)),
        ME,
        "too few organizations",
    ),
    "attested otherwise": (
        replace(verified(), attestations=(attestation(COORDINATOR, digest("other")),)),
        ME,
        "too few organizations",
    ),
    "other scores attested": (
        replace(scored(), attestations=(attestation(COORDINATOR, AGGREGATE, digest("other")),)),
        ME,
        "too few organizations",
    ),
    "another aggregate opened before": (
        verified(),
        replace(ME, opened_aggregate=digest("x")),
        "another aggregate",
    ),
    "other scores opened before": (scored(), replace(ME, opened_scores=digest("x")), "other scores"),
    "another epoch": (with_round(verified(), epoch=2), ME, "epoch"),
    "an abandoned task": (
        replace(verified(), task=replace(verified().task, status=TaskStatus.ABANDONED)),
        ME,
        "VERIFIED",
    ),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_it_stays_closed(case: tuple[RoundView, KeyHolderState, str]) -> None:
    seen, state, objection = case
    with pytest.raises(KeyHolderRefused, match=objection):
        verify_openable(seen, state)


def test_without_key_epoch_it_stays_closed() -> None:
    with pytest.raises(NotFound, match="no key epoch"):
        verify_openable(replace(verified(), key_epoch=None), ME)


def test_a_round_that_never_opened_is_not_due() -> None:
    assert due(view(round_(Phase.COLLECTING)), ME) == []
    assert due(delivered(Phase.SEALED), ME) == []


HEADER = AggregateHeader(TASK, 1, 1, PARAMETERS, 7, 4, 100, AGGREGATE, 5000)


def test_the_aggregate_of_the_sealed_set_is_taken() -> None:
    verify_aggregate(verified(), HEADER)


@pytest.mark.parametrize(
    "change",
    [
        {"task_id": "other"},
        {"round": 2},
        {"epoch": 2},
        {"parameters_digest": digest("x")},
        {"parameter_count": 8},
        {"members": 3},
        {"members": 1},
        {"total_weight": 99},
        {"digest": digest("x")},
        {"size_bytes": 4999},
    ],
    ids=str,
)
def test_any_other_aggregate_stays_closed(change: dict[str, Any]) -> None:
    with pytest.raises(KeyHolderRefused, match="stays closed"):
        verify_aggregate(verified(), replace(HEADER, **change))


def test_a_sheet_of_score_ciphertexts_lists_exactly_the_members() -> None:
    rows = [(who, digest(who)) for who in PARTICIPANTS]
    assert read_scores_sheet(scores_sheet(rows), PARTICIPANTS) == rows


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"7",
        b"null",
        b"[[",
        b'["a-1"]',
        b'[["a-1"]]',
        b'[["a-1",1]]',
        json.dumps([[who, digest(who)] for who in PARTICIPANTS[:3]]).encode(),
        json.dumps([[who, digest(who)] for who in (*PARTICIPANTS, "z-9")]).encode(),
        json.dumps([[who, digest(who)] for who in ("a-1", "a-1", "b-1", "c-1")]).encode(),
        json.dumps([[who, digest(who)] for who in reversed(PARTICIPANTS)]).encode(),
        json.dumps([[who, digest(who), 1] for who in PARTICIPANTS]).encode(),
        b"\xff\xfe",
    ],
    ids=range(14),
)
def test_a_broken_sheet_of_score_ciphertexts_is_refused(data: bytes) -> None:
    with pytest.raises(KeyHolderRefused):
        read_scores_sheet(data, PARTICIPANTS)


# --- keys that are replaced, and keys that are granted --------------------------------------------


def test_a_retired_key_is_followed_by_the_next() -> None:
    retired = replace(key_epoch(), retired_at=OPENED_AT)
    assert due(view(None, key_epoch=retired), replace(ME, now_ms=OPENED_AT)) == [OpenEpoch(TASK, 0, 2)]


def test_a_key_that_was_replaced_already_is_not_replaced_again() -> None:
    retired = replace(key_epoch(), retired_at=OPENED_AT)
    state = replace(ME, now_ms=OPENED_AT, newest_epoch=replace(key_epoch(), epoch=2))
    assert due(view(None, key_epoch=retired), state) == []


def test_a_round_under_a_retired_key_is_opened_all_the_same() -> None:
    retired = replace(verified(), key_epoch=replace(key_epoch(), retired_at=OPENED_AT))
    state = replace(ME, now_ms=OPENED_AT, newest_epoch=replace(key_epoch(), epoch=2))
    assert due(retired, state) == [OpenSum(TASK, 1)]
    verify_openable(retired, state)


def packed(**changes: Any) -> RoundView:
    seen = view(None, TaskStatus.PUBLISHED, **changes)
    terms = replace(seen.task.spec.encryption, scheme=PACKED_SCHEME)
    return replace(seen, task=replace(seen.task, spec=replace(seen.task.spec, encryption=terms)))


def test_every_registered_silo_is_granted_a_packed_key_once() -> None:
    granted = (KeyGrant(TASK, 1, "a-1", digest("grant"), 100, OPENED_AT),)
    expected = [GrantKey(TASK, 0, 1, who) for who in PARTICIPANTS if who != "a-1"]
    assert due(packed(grants=granted), ME) == expected
    assert due(packed(key_epoch=None), ME) == [OpenEpoch(TASK, 0, 1)]
    assert due(view(None, TaskStatus.PUBLISHED), ME) == []
