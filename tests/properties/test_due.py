"""For whatever the ledger may show: `due` never fails, finds nothing twice, and finds the same each time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from bfl_chaincode.api.records import Phase, Round, RoundView, ScoreSheet, TaskStatus
from bfl_fabric.errors import KeyHolderRefused
from bfl_fabric.roles import aggregator, coordinator, key_holder, participant, verifier
from bfl_fabric.roles.actions import Action, Submit
from bfl_fabric.roles.key_holder import KeyHolderState, verify_openable
from tests.unit.roles.rounds import (
    AGGREGATE,
    AGGREGATOR,
    COORDINATOR,
    DEADLINE_AT,
    INITIAL,
    KEY_HOLDER,
    OPENED_AT,
    ORGANIZATIONS,
    PARTICIPANTS,
    SAMPLES,
    attestation,
    digest,
    key_epoch,
    receipts,
    registrations,
    round_,
    task,
    update,
    verified,
)

MSP_IDS = st.sampled_from(ORGANIZATIONS)
SOME = st.lists(st.sampled_from(PARTICIPANTS), unique=True).map(lambda names: tuple(sorted(names)))
DIGESTS = st.sampled_from(["", AGGREGATE, digest("other")])
MOMENTS = st.integers(OPENED_AT, DEADLINE_AT + 10_000_000)
HELD = st.frozensets(st.sampled_from([digest(who) for who in PARTICIPANTS]))
FINAL = (Phase.SETTLED, Phase.ABORTED)


@st.composite
def rounds(draw: st.DrawFn) -> Round:
    members = draw(SOME)
    return round_(
        draw(st.sampled_from(Phase)),
        number=draw(st.integers(1, 3)),
        cohort=draw(SOME),
        members=members,
        total_weight=sum(SAMPLES[member] for member in members),
        base_model_digest=draw(st.sampled_from([INITIAL, digest("base")])),
        direction_digest=draw(DIGESTS),
        aggregate_digest=draw(DIGESTS),
        scores_digest=draw(DIGESTS),
        model_digest=draw(DIGESTS),
    )


@st.composite
def views(draw: st.DrawFn) -> RoundView:
    current = draw(st.none() | rounds())
    pairs = draw(st.lists(st.tuples(st.sampled_from(PARTICIPANTS), MSP_IDS), unique=True))
    stated = draw(st.dictionaries(st.sampled_from([COORDINATOR, KEY_HOLDER]), st.tuples(DIGESTS, DIGESTS)))
    return RoundView(
        task(draw(st.sampled_from(TaskStatus))),
        draw(st.sampled_from([None, key_epoch()])),
        current,
        registrations()[: draw(st.integers(0, 4))],
        tuple(update(who) for who in draw(SOME)),
        tuple(one for who, msp_id in pairs for one in receipts(who, by=(msp_id,))),
        tuple(attestation(msp_id, *digests) for msp_id, digests in sorted(stated.items())),
        draw(st.sampled_from([None, ScoreSheet("wine", 1, "", (), 0)])),
        settled_rounds=draw(st.integers(0, 4)),
    )


@given(views(), MSP_IDS, HELD, MOMENTS, st.data())
@settings(max_examples=500, deadline=None)
def test_due_is_total_and_finds_nothing_twice(
    seen: RoundView, msp_id: str, held: frozenset[str], now_ms: int, data: st.DataObject
) -> None:
    prepared = data.draw(st.sampled_from([None, participant.PreparedUpdate(digest("a-1"), 7)]))
    organizations = frozenset(ORGANIZATIONS)
    patience = coordinator.Patience()
    silo = participant.ParticipantState("a-1", 10, True, now_ms, prepared, frozenset())
    manager = coordinator.CoordinatorState(msp_id, now_ms, 0, organizations, patience)
    found: list[list[Action]] = [
        participant.due(seen, silo),
        aggregator.due(seen, aggregator.AggregatorState(msp_id, held)),
        verifier.due(seen, verifier.VerifierState(msp_id, now_ms, held, frozenset())),
        key_holder.due(seen, KeyHolderState(msp_id, "", "")),
        coordinator.due(seen, manager),
    ]
    for actions in found:
        assert len(set(actions)) == len(actions)
    assert len(found[4]) <= 1
    assert found[4] == coordinator.due(seen, replace(manager))


@given(views(), MSP_IDS, MOMENTS)
@settings(max_examples=300, deadline=None)
def test_only_the_named_organizations_act_for_a_task(seen: RoundView, msp_id: str, now_ms: int) -> None:
    manager = coordinator.CoordinatorState(
        msp_id, now_ms, 0, frozenset(ORGANIZATIONS), coordinator.Patience()
    )
    if coordinator.due(seen, manager):
        assert msp_id == COORDINATOR
    if key_holder.due(seen, KeyHolderState(msp_id, "", "")):
        assert msp_id == KEY_HOLDER
    if aggregator.due(seen, aggregator.AggregatorState(msp_id, frozenset())):
        assert msp_id == AGGREGATOR


@given(views(), MOMENTS)
@settings(max_examples=300, deadline=None)
def test_a_round_is_aborted_only_before_its_sum_is_open(seen: RoundView, now_ms: int) -> None:
    manager = coordinator.CoordinatorState(
        COORDINATOR, now_ms, 0, frozenset(ORGANIZATIONS), coordinator.Patience()
    )
    for action in coordinator.due(seen, manager):
        if isinstance(action, Submit) and action.transaction == "round:Abort":
            assert seen.round is not None
            assert seen.round.phase in (Phase.SEALED, Phase.AGGREGATED, Phase.VERIFIED)


@st.composite
def nearly_openable(draw: st.DrawFn) -> RoundView:
    """A round that may be opened, mostly with one thing or another changed."""
    seen = verified()
    assert seen.round is not None
    members = draw(st.just(PARTICIPANTS) | SOME)
    weight = sum(SAMPLES[member] for member in members) + draw(st.sampled_from([0, 0, 1]))
    phase = draw(st.just(Phase.VERIFIED) | st.sampled_from(Phase))
    aggregate = draw(st.just(AGGREGATE) | DIGESTS)
    held = draw(st.just(seen.receipts) | st.lists(st.sampled_from(seen.receipts), unique=True).map(tuple))
    stated = draw(st.just(seen.attestations) | st.just(()))
    current = replace(
        seen.round, members=members, total_weight=weight, phase=phase, aggregate_digest=aggregate
    )
    return replace(seen, round=current, receipts=held, attestations=stated)


@given(nearly_openable(), DIGESTS)
@settings(max_examples=500, deadline=None)
def test_what_may_be_opened_is_verified_delivered_and_never_below_the_minimum(
    seen: RoundView, opened: str
) -> None:
    assert seen.round is not None
    try:
        verify_openable(seen, KeyHolderState(KEY_HOLDER, opened, ""))
    except KeyHolderRefused:
        event("refused")
        return
    event("opened")
    assert seen.round.phase is Phase.VERIFIED
    assert len(seen.round.members) >= seen.task.spec.cohort.minimum
    assert opened in ("", seen.round.aggregate_digest)
    assert {one.aggregate_digest for one in seen.attestations} == {seen.round.aggregate_digest}
    for member in seen.round.members:
        holders = {one.msp_id for one in seen.receipts if one.participant_id == member}
        assert AGGREGATOR in holders
        assert len(holders) >= seen.task.spec.verification.receipts
