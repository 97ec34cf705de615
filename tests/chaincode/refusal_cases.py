"""The table of refusals: for every transaction and every code of its own, something that provokes it.

A case begins at a stage of the scenario and ends with the refused call. `tests/chaincode/test_refusals.py` runs
them, `test_tables.py` holds them against the README and against the code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bfl_chaincode.limits import AMOUNT_LIMIT

from tests.chaincode.identities import creator
from tests.chaincode.scenario import (
    AGGREGATOR,
    COORDINATOR,
    KEY_HOLDER,
    SAMPLES,
    SILOS,
    TASK,
    Scenario,
    admin,
    digest,
    node,
    silo,
    spec,
)

Act = Callable[[Scenario], Any]


@dataclass(frozen=True, slots=True)
class Case:
    """`transaction` is refused with `code` when `act` is done at `stage`; `why` completes the sentence."""

    transaction: str
    code: int
    why: str
    stage: str
    act: Act

    @property
    def name(self) -> str:
        return f"{self.transaction} refuses ({self.code}) {self.why}"


def _case(transaction: str, code: int, why: str, stage: str, act: Act) -> Case:
    return Case(transaction, code, why, stage, act)


COORD = node(COORDINATOR, "coordinator")
STRANGE = node("BetaMSP", "coordinator")
VERIFIER = node("AlphaMSP", "verifier")
NOWHERE = "nowhere"


def _found(s: Scenario, who: Any, *names: str) -> Any:
    members = [{"msp_id": name, "name": name, "region": "EU"} for name in names]
    return s.submit(who, "federation:Found", federation_id="other", name="Other", organizations=members)


def _suspend(s: Scenario, msp_id: str, by: str = "") -> Any:
    by = by or ("BetaMSP" if msp_id == "AlphaMSP" else "AlphaMSP")
    return s.submit(admin(by), "federation:SuspendOrganization", msp_id=msp_id)


def _admit(s: Scenario, msp_id: str, who: Any = None) -> Any:
    who = who or admin("AlphaMSP")
    return s.submit(who, "federation:AdmitOrganization", msp_id=msp_id, name=msp_id, region="EU")


def _enrol(s: Scenario, name: str, who: Any) -> Any:
    return s.submit(who, "federation:EnrolParticipant", participant_id=name)


def _leave(s: Scenario, name: str, who: Any = None) -> Any:
    return s.submit(who or silo(name), "federation:Leave", participant_id=name)


def _announce(s: Scenario, who: Any, role: str, node_id: str) -> Any:
    request = {"role": role, "node_id": node_id, "address": "127.0.0.1:7000"}
    return s.submit(who, "federation:AnnounceNode", **request)


def _task(s: Scenario, who: Any, transaction: str, task_id: str = TASK, **more: Any) -> Any:
    return s.submit(who, transaction, task_id=task_id, **more)


def _round(s: Scenario, who: Any, transaction: str, **request: Any) -> Any:
    return s.submit(who, transaction, **{"task_id": TASK, "round": s.number or 1, **request})


FEDERATION = [
    _case(
        "federation:Found",
        115,
        "an organization named twice",
        "empty",
        lambda s: _found(s, admin("AlphaMSP"), "AlphaMSP", "AlphaMSP"),
    ),
    _case("federation:Found", 204, "a client", "empty", lambda s: _found(s, COORD, "AlphaMSP", "BetaMSP")),
    _case(
        "federation:Found",
        206,
        "an administrator of none of its organizations",
        "empty",
        lambda s: _found(s, admin("DeltaMSP"), "AlphaMSP", "BetaMSP"),
    ),
    _case("federation:Found", 302, "a second founding", "founded", lambda s: s.found()),
    _case(
        "federation:GetFederation",
        301,
        "to name what was not founded",
        "empty",
        lambda s: s.evaluate("federation:GetFederation"),
    ),
    _case("federation:AdmitOrganization", 204, "a client", "founded", lambda s: _admit(s, "DeltaMSP", COORD)),
    _case("federation:AdmitOrganization", 304, "an active member", "founded", lambda s: _admit(s, "BetaMSP")),
    _case(
        "federation:SuspendOrganization",
        204,
        "a client",
        "founded",
        lambda s: s.submit(COORD, "federation:SuspendOrganization", msp_id="BetaMSP"),
    ),
    _case(
        "federation:SuspendOrganization",
        210,
        "an organization's own administrator",
        "founded",
        lambda s: _suspend(s, "BetaMSP", by="BetaMSP"),
    ),
    _case(
        "federation:SuspendOrganization",
        303,
        "an unknown organization",
        "founded",
        lambda s: _suspend(s, "DeltaMSP"),
    ),
    _case(
        "federation:SuspendOrganization",
        325,
        "a suspended organization",
        "founded",
        lambda s: [_suspend(s, "BetaMSP"), _suspend(s, "BetaMSP")],
    ),
    _case("federation:EnrolParticipant", 204, "a client", "founded", lambda s: _enrol(s, "alpha-9", COORD)),
    _case(
        "federation:EnrolParticipant",
        306,
        "an enrolled participant",
        "enrolled",
        lambda s: _enrol(s, "alpha-1", admin("AlphaMSP")),
    ),
    _case(
        "federation:EnrolParticipant",
        306,
        "an id that another organization's participant had",
        "enrolled",
        lambda s: [_leave(s, "beta-1"), _enrol(s, "beta-1", admin("AlphaMSP"))],
    ),
    _case("federation:Leave", 205, "a node", "enrolled", lambda s: _leave(s, "alpha-1", COORD)),
    _case(
        "federation:Leave",
        206,
        "another organization's administrator",
        "enrolled",
        lambda s: _leave(s, "alpha-1", admin("BetaMSP")),
    ),
    _case(
        "federation:Leave",
        207,
        "another participant",
        "enrolled",
        lambda s: _leave(s, "alpha-1", silo("alpha-2")),
    ),
    _case(
        "federation:Leave",
        305,
        "an unknown participant",
        "enrolled",
        lambda s: _leave(s, "delta-1", silo("delta-1", "AlphaMSP")),
    ),
    _case(
        "federation:Leave",
        325,
        "a participant that has left",
        "enrolled",
        lambda s: [_leave(s, "alpha-1"), _leave(s, "alpha-1")],
    ),
    _case(
        "federation:AnnounceNode",
        205,
        "another role than the certificate's",
        "founded",
        lambda s: _announce(s, VERIFIER, "aggregator", "alpha-verifier"),
    ),
    _case(
        "federation:AnnounceNode",
        209,
        "another name than the certificate's",
        "founded",
        lambda s: _announce(s, VERIFIER, "verifier", "beta-verifier"),
    ),
]


def _registered_beyond(s: Scenario) -> Any:
    """250 samples are registered, 230 fit; the task starts while Gamma's 30 do not count."""
    s.create(encryption__max_total_weight=230)
    s.publish()
    s.register()
    s.open_epoch()
    s.mint()
    s.fund()
    _suspend(s, "GammaMSP")
    s.start()
    _admit(s, "GammaMSP")
    return s.open()


def _spec_case(code: int, why: str, **changes: Any) -> Case:
    return _case("task:Create", code, why, "enrolled", lambda s: s.create(**changes))


TASKS = [
    _spec_case(
        115,
        "two tensors of one name",
        model__tensors=[{"name": "w", "shape": [6]}, {"name": "w", "shape": [6]}],
    ),
    _spec_case(120, "one organization as aggregator and key holder", roles__key_holder=AGGREGATOR),
    _spec_case(121, "a role for a stranger", roles__aggregator="DeltaMSP"),
    _case(
        "task:Create",
        121,
        "a role for a suspended organization",
        "enrolled",
        lambda s: [_suspend(s, "GammaMSP"), s.create()],
    ),
    _spec_case(122, "a target below the minimum", cohort__target=2),
    _spec_case(123, "a clip of zero", encryption__clip="0.000"),
    _spec_case(123, "a learning rate of zero", training__learning_rate="0"),
    _spec_case(123, "a momentum of one", training__momentum="1.0"),
    _spec_case(124, "a grid wider than 2^30", encryption__max_total_weight=2**15 + 1),
    _spec_case(125, "tensors of another size", model__parameter_count=13),
    _spec_case(126, "more attestations than organizations", verification__attestations=4),
    _spec_case(126, "more receipts than organizations", verification__receipts=4),
    _spec_case(127, "rounds that cost more than the pool", incentive__pool=1999),
    _case(
        "task:Create",
        205,
        "a node that is no coordinator",
        "enrolled",
        lambda s: s.submit(VERIFIER, "task:Create", spec=spec()),
    ),
    _case(
        "task:Create",
        206,
        "a coordinator of another organization",
        "enrolled",
        lambda s: s.submit(STRANGE, "task:Create", spec=spec()),
    ),
    _case("task:Create", 308, "a used id", "drafted", lambda s: s.create()),
    _case(
        "task:Publish",
        205,
        "an administrator",
        "drafted",
        lambda s: _task(s, admin(COORDINATOR), "task:Publish"),
    ),
    _case(
        "task:Publish", 206, "another organization", "drafted", lambda s: _task(s, STRANGE, "task:Publish")
    ),
    _case(
        "task:Publish", 307, "an unknown task", "drafted", lambda s: _task(s, COORD, "task:Publish", NOWHERE)
    ),
    _case("task:Publish", 402, "a published task", "published", lambda s: s.publish()),
    _case(
        "task:Register",
        205,
        "a node",
        "published",
        lambda s: _task(s, VERIFIER, "task:Register", samples=100),
    ),
    _case(
        "task:Register",
        207,
        "a participant that nobody enrolled",
        "published",
        lambda s: _task(s, silo("alpha-9", "AlphaMSP"), "task:Register", samples=100),
    ),
    _case(
        "task:Register",
        207,
        "a namesake from another organization",
        "published",
        lambda s: _task(s, silo("alpha-1", "BetaMSP"), "task:Register", samples=100),
    ),
    _case(
        "task:Register",
        307,
        "an unknown task",
        "published",
        lambda s: _task(s, silo("alpha-1"), "task:Register", NOWHERE, samples=100),
    ),
    _case(
        "task:Register",
        321,
        "a second registration",
        "registered",
        lambda s: _task(s, silo("alpha-1"), "task:Register", samples=100),
    ),
    _case(
        "task:Register",
        402,
        "a draft",
        "drafted",
        lambda s: _task(s, silo("alpha-1"), "task:Register", samples=100),
    ),
    _case(
        "task:Register",
        504,
        "too few samples",
        "published",
        lambda s: _task(s, silo("alpha-1"), "task:Register", samples=9),
    ),
    _case(
        "task:Register",
        505,
        "more samples than a sum can hold",
        "published",
        lambda s: _task(s, silo("alpha-1"), "task:Register", samples=1001),
    ),
    _case("task:Withdraw", 205, "a node", "registered", lambda s: _task(s, VERIFIER, "task:Withdraw")),
    _case(
        "task:Withdraw",
        207,
        "a participant that has left",
        "registered",
        lambda s: [_leave(s, "alpha-1"), _task(s, silo("alpha-1"), "task:Withdraw")],
    ),
    _case(
        "task:Withdraw",
        307,
        "an unknown task",
        "registered",
        lambda s: _task(s, silo("alpha-1"), "task:Withdraw", NOWHERE),
    ),
    _case(
        "task:Withdraw",
        322,
        "without a registration",
        "published",
        lambda s: _task(s, silo("alpha-1"), "task:Withdraw"),
    ),
    _case(
        "task:Withdraw",
        402,
        "a running task",
        "running",
        lambda s: _task(s, silo("alpha-1"), "task:Withdraw"),
    ),
    _case("task:Start", 205, "a participant", "funded", lambda s: _task(s, silo("alpha-1"), "task:Start")),
    _case("task:Start", 206, "another organization", "funded", lambda s: _task(s, STRANGE, "task:Start")),
    _case("task:Start", 307, "an unknown task", "funded", lambda s: _task(s, COORD, "task:Start", NOWHERE)),
    _case("task:Start", 309, "without a key", "registered", lambda s: [s.mint(), s.fund(), s.start()]),
    _case("task:Start", 402, "a draft", "drafted", lambda s: s.start()),
    _case(
        "task:Start",
        505,
        "more weight than a sum can hold",
        "enrolled",
        lambda s: [s.create(encryption__max_total_weight=249), s.publish(), s.register(), s.start()],
    ),
    _case("task:Start", 506, "too few registrations", "published", lambda s: s.start()),
    _case(
        "task:Start",
        506,
        "registrations of participants that have left",
        "funded",
        lambda s: [_leave(s, "alpha-1"), _leave(s, "beta-1"), s.start()],
    ),
    _case("task:Start", 602, "an unfunded pool", "minted", lambda s: [s.fund(1999), s.start()]),
    _case(
        "task:Close",
        205,
        "an administrator",
        "settled 2",
        lambda s: _task(s, admin(COORDINATOR), "task:Close"),
    ),
    _case("task:Close", 206, "another organization", "settled 2", lambda s: _task(s, STRANGE, "task:Close")),
    _case(
        "task:Close", 307, "an unknown task", "settled 2", lambda s: _task(s, COORD, "task:Close", NOWHERE)
    ),
    _case("task:Close", 402, "a closed task", "closed", lambda s: s.close()),
    _case("task:Close", 405, "a running round", "collecting 1", lambda s: s.close()),
    _case("task:Close", 407, "before the last round", "settled 1", lambda s: s.close()),
    _case(
        "task:Abandon",
        204,
        "a client while the coordinator is suspended",
        "running",
        lambda s: [_suspend(s, COORDINATOR), _abandon(s, STRANGE)],
    ),
    _case("task:Abandon", 205, "an administrator", "running", lambda s: _abandon(s, admin(COORDINATOR))),
    _case("task:Abandon", 206, "another organization", "running", lambda s: _abandon(s, STRANGE)),
    _case("task:Abandon", 307, "an unknown task", "running", lambda s: _abandon(s, COORD, NOWHERE)),
    _case("task:Abandon", 402, "a closed task", "closed", lambda s: _abandon(s, COORD)),
    _case("task:Abandon", 405, "a round whose sum is open", "released 1", lambda s: _abandon(s, COORD)),
    _case("task:Get", 307, "an unknown task", "drafted", lambda s: s.evaluate("task:Get", task_id=NOWHERE)),
    _case("key:OpenEpoch", 205, "an administrator", "published", lambda s: _epoch(s, admin(KEY_HOLDER))),
    _case(
        "key:OpenEpoch",
        206,
        "a key holder of another organization",
        "published",
        lambda s: _epoch(s, node("AlphaMSP", "key-holder")),
    ),
    _case("key:OpenEpoch", 307, "an unknown task", "published", lambda s: s.open_epoch(task_id=NOWHERE)),
    _case("key:OpenEpoch", 310, "an open epoch", "keyed", lambda s: s.open_epoch()),
    _case("key:OpenEpoch", 402, "a draft", "drafted", lambda s: s.open_epoch()),
    _case(
        "key:OpenEpoch",
        507,
        "other parameters",
        "published",
        lambda s: s.open_epoch(parameters_digest=digest("other")),
    ),
    _case("key:OpenEpoch", 508, "a gap in the numbers", "published", lambda s: s.open_epoch(epoch=2)),
    _case(
        "key:Get",
        309,
        "an epoch that nobody opened",
        "keyed",
        lambda s: s.evaluate("key:Get", task_id=TASK, epoch=2),
    ),
]


def _abandon(s: Scenario, who: Any, task_id: str = TASK) -> Any:
    return s.submit(who, "task:Abandon", task_id=task_id, reason="no use")


def _epoch(s: Scenario, who: Any) -> Any:
    return s.submit(
        who,
        "key:OpenEpoch",
        task_id=TASK,
        epoch=1,
        parameters_digest=digest("parameters"),
        public_key_digest=digest("public key"),
        public_key_bytes=4096,
    )


def _commit(s: Scenario, who: Any, name: str = "alpha-1", **changes: Any) -> Any:
    request = {"digest": s.update_digest(name), "size_bytes": 800, "weight": SAMPLES[name], **changes}
    return _round(s, who, "round:CommitUpdate", **request)


def _commit_outside_the_cohort(s: Scenario) -> Any:
    s.create(cohort__target=3)
    s.publish()
    s.register()
    s.open_epoch()
    s.mint()
    s.fund()
    s.start()
    cohort = s.open()["cohort"]
    (left_out,) = [name for name in SILOS if name not in cohort]
    return s.commit(left_out)


def _commit_unregistered(s: Scenario) -> Any:
    _enrol(s, "alpha-9", admin("AlphaMSP"))
    return _commit(s, silo("alpha-9", "AlphaMSP"), weight=10)


def _late(s: Scenario, act: Act) -> Any:
    s.now += 3_600_000
    return act(s)


def _sealed_without(s: Scenario, absent: str) -> None:
    s.deliver(*[name for name in SILOS if name != absent])
    s.now += 3_600_000
    s.seal()


def _attestation_differs(s: Scenario) -> Any:
    s.attest("AlphaMSP", aggregate_digest=digest("something else"))
    return s.confirm()


ROUNDS = [
    _case(
        "round:Open", 205, "an administrator", "running", lambda s: _task(s, admin(COORDINATOR), "round:Open")
    ),
    _case("round:Open", 206, "another organization", "running", lambda s: _task(s, STRANGE, "round:Open")),
    _case("round:Open", 307, "an unknown task", "running", lambda s: _task(s, COORD, "round:Open", NOWHERE)),
    _case("round:Open", 402, "a task that has not started", "funded", lambda s: s.open()),
    _case("round:Open", 405, "a round that runs", "collecting 1", lambda s: s.open()),
    _case("round:Open", 405, "a round that is not settled", "modelled 1", lambda s: s.open()),
    _case("round:Open", 406, "one round too many", "settled 2", lambda s: s.open()),
    _case("round:Open", 505, "more weight than a sum can hold", "enrolled", _registered_beyond),
    _case(
        "round:Open",
        506,
        "too few active participants",
        "running",
        lambda s: [_leave(s, "alpha-1"), _leave(s, "beta-1"), s.open()],
    ),
    _case(
        "round:Open", 509, "a suspended aggregator", "running", lambda s: [_suspend(s, AGGREGATOR), s.open()]
    ),
    _case("round:CommitUpdate", 205, "a node", "collecting 1", lambda s: _commit(s, VERIFIER)),
    _case(
        "round:CommitUpdate",
        207,
        "a participant that has left",
        "collecting 1",
        lambda s: [_leave(s, "alpha-1"), s.commit("alpha-1")],
    ),
    _case(
        "round:CommitUpdate", 208, "a participant outside the cohort", "enrolled", _commit_outside_the_cohort
    ),
    _case(
        "round:CommitUpdate", 311, "an unknown round", "collecting 1", lambda s: s.commit("alpha-1", round=2)
    ),
    _case(
        "round:CommitUpdate",
        313,
        "a second commitment",
        "committed 1",
        lambda s: s.commit("alpha-1", digest=digest("another")),
    ),
    _case(
        "round:CommitUpdate",
        314,
        "the digest of another's update",
        "collecting 1",
        lambda s: [s.commit("alpha-1"), s.commit("beta-1", digest=s.update_digest("alpha-1"))],
    ),
    _case(
        "round:CommitUpdate",
        314,
        "the digest of an earlier round's update",
        "collecting 2",
        lambda s: s.commit("alpha-1", digest=digest("update of beta-1 in round 1")),
    ),
    _case(
        "round:CommitUpdate",
        322,
        "an enrolled participant that is not registered",
        "collecting 1",
        _commit_unregistered,
    ),
    _case(
        "round:CommitUpdate",
        401,
        "a sealed round",
        "sealed 1",
        lambda s: s.commit("alpha-1", digest=digest("late")),
    ),
    _case(
        "round:CommitUpdate",
        403,
        "at the deadline",
        "collecting 1",
        lambda s: _late(s, lambda s: s.commit("alpha-1")),
    ),
    _case(
        "round:CommitUpdate",
        503,
        "another weight than registered",
        "collecting 1",
        lambda s: s.commit("alpha-1", weight=101),
    ),
    _case(
        "round:AcknowledgeUpload",
        205,
        "a verifier of the aggregator's organization",
        "committed 1",
        lambda s: _acknowledge(s, node(AGGREGATOR, "verifier")),
    ),
    _case(
        "round:AcknowledgeUpload",
        205,
        "an aggregator of another organization",
        "committed 1",
        lambda s: _acknowledge(s, node("AlphaMSP", "aggregator")),
    ),
    _case(
        "round:AcknowledgeUpload",
        307,
        "an unknown task",
        "committed 1",
        lambda s: s.acknowledge("alpha-1", AGGREGATOR, task_id=NOWHERE),
    ),
    _case(
        "round:AcknowledgeUpload",
        311,
        "an unknown round",
        "committed 1",
        lambda s: s.acknowledge("alpha-1", AGGREGATOR, round=2),
    ),
    _case(
        "round:AcknowledgeUpload",
        312,
        "what nobody committed",
        "collecting 1",
        lambda s: s.acknowledge("alpha-1", AGGREGATOR),
    ),
    _case(
        "round:AcknowledgeUpload",
        315,
        "a second receipt",
        "committed 1",
        lambda s: [s.acknowledge("alpha-1", AGGREGATOR), s.acknowledge("alpha-1", AGGREGATOR)],
    ),
    _case(
        "round:AcknowledgeUpload",
        401,
        "a sealed round",
        "sealed 1",
        lambda s: s.acknowledge("alpha-1", AGGREGATOR),
    ),
    _case(
        "round:AcknowledgeUpload",
        501,
        "an organization that does not hold updates",
        "committed 1",
        lambda s: s.acknowledge("alpha-1", KEY_HOLDER),
    ),
    _case(
        "round:AcknowledgeUpload",
        502,
        "other bytes than committed",
        "committed 1",
        lambda s: s.acknowledge("alpha-1", AGGREGATOR, digest=digest("other bytes")),
    ),
    _case(
        "round:Seal",
        307,
        "an unknown task",
        "delivered 1",
        lambda s: _round(s, VERIFIER, "round:Seal", task_id=NOWHERE),
    ),
    _case(
        "round:Seal",
        311,
        "an unknown round",
        "delivered 1",
        lambda s: _round(s, VERIFIER, "round:Seal", round=2),
    ),
    _case("round:Seal", 401, "a sealed round", "sealed 1", lambda s: s.seal()),
    _case("round:Seal", 404, "an early seal", "committed 1", lambda s: s.seal()),
    _case(
        "round:Seal",
        404,
        "an update that only the aggregator holds",
        "collecting 1",
        lambda s: [
            s.deliver("alpha-1", "alpha-2", "beta-1"),
            s.commit("gamma-1"),
            s.acknowledge("gamma-1", AGGREGATOR),
            s.seal(),
        ],
    ),
    _case(
        "round:ProposeAggregate",
        205,
        "a verifier",
        "sealed 1",
        lambda s: _propose(s, node(AGGREGATOR, "verifier")),
    ),
    _case(
        "round:ProposeAggregate",
        206,
        "another organization",
        "sealed 1",
        lambda s: _propose(s, node("AlphaMSP", "aggregator")),
    ),
    _case("round:ProposeAggregate", 307, "an unknown task", "sealed 1", lambda s: s.propose(task_id=NOWHERE)),
    _case("round:ProposeAggregate", 311, "an unknown round", "sealed 1", lambda s: s.propose(round=2)),
    _case("round:ProposeAggregate", 401, "an open set", "delivered 1", lambda s: s.propose()),
    _case(
        "round:ProposeAggregate",
        510,
        "scores in a round without direction",
        "sealed 1",
        lambda s: s.propose(scores_digest=digest("scores")),
    ),
    _case(
        "round:ProposeAggregate",
        510,
        "no scores in a round with a direction",
        "sealed 2",
        lambda s: s.propose(scores_digest=""),
    ),
    _case(
        "round:AttestAggregate",
        205,
        "an aggregator",
        "aggregated 1",
        lambda s: _attest(s, node(AGGREGATOR, "aggregator")),
    ),
    _case(
        "round:AttestAggregate",
        307,
        "an unknown task",
        "aggregated 1",
        lambda s: s.attest("AlphaMSP", task_id=NOWHERE),
    ),
    _case(
        "round:AttestAggregate",
        311,
        "an unknown round",
        "aggregated 1",
        lambda s: s.attest("AlphaMSP", round=2),
    ),
    _case("round:AttestAggregate", 316, "a second attestation", "attested 1", lambda s: s.attest("AlphaMSP")),
    _case(
        "round:AttestAggregate", 401, "a round without a proposal", "sealed 1", lambda s: s.attest("AlphaMSP")
    ),
    _case(
        "round:AttestAggregate",
        511,
        "the aggregator's own organization",
        "aggregated 1",
        lambda s: s.attest(AGGREGATOR),
    ),
    _case(
        "round:ConfirmAggregate",
        307,
        "an unknown task",
        "attested 1",
        lambda s: _round(s, VERIFIER, "round:ConfirmAggregate", task_id=NOWHERE),
    ),
    _case(
        "round:ConfirmAggregate",
        311,
        "an unknown round",
        "attested 1",
        lambda s: _round(s, VERIFIER, "round:ConfirmAggregate", round=2),
    ),
    _case("round:ConfirmAggregate", 401, "a verified round", "verified 1", lambda s: s.confirm()),
    _case(
        "round:ConfirmAggregate",
        512,
        "a proposal that nobody attested",
        "aggregated 1",
        lambda s: s.confirm(),
    ),
    _case(
        "round:ConfirmAggregate",
        512,
        "an attestation of something else",
        "aggregated 1",
        _attestation_differs,
    ),
    _case(
        "round:PostScores",
        205,
        "a verifier",
        "verified 2",
        lambda s: _scores(s, node(KEY_HOLDER, "verifier")),
    ),
    _case(
        "round:PostScores",
        206,
        "a key holder of another organization",
        "verified 2",
        lambda s: _scores(s, node("AlphaMSP", "key-holder")),
    ),
    _case(
        "round:PostScores",
        307,
        "an unknown task",
        "verified 2",
        lambda s: _scores(s, node(KEY_HOLDER, "key-holder"), task_id=NOWHERE),
    ),
    _case(
        "round:PostScores",
        311,
        "an unknown round",
        "verified 2",
        lambda s: _scores(s, node(KEY_HOLDER, "key-holder"), round=3),
    ),
    _case("round:PostScores", 317, "a second opening", "scored 2", lambda s: s.post_scores()),
    _case(
        "round:PostScores",
        401,
        "an aggregate that is not verified",
        "aggregated 2",
        lambda s: s.post_scores(),
    ),
    _case(
        "round:PostScores",
        513,
        "a score for some of the members",
        "verified 2",
        lambda s: s.post_scores({"alpha-1": 5}),
    ),
    _case(
        "round:PostScores",
        513,
        "a member scored twice",
        "verified 2",
        lambda s: _scores(
            s,
            node(KEY_HOLDER, "key-holder"),
            scores=[
                {"participant_id": name, "alignment": 1}
                for name in ("alpha-1", "alpha-1", "beta-1", "gamma-1")
            ],
        ),
    ),
    _case(
        "round:PostScores",
        513,
        "a score for who did not deliver",
        "collecting 2",
        lambda s: [
            _sealed_without(s, "beta-1"),
            s.propose(),
            s.attest("AlphaMSP"),
            s.confirm(),
            s.post_scores(),
        ],
    ),
    _case("round:PostScores", 514, "a round without direction", "verified 1", lambda s: s.post_scores()),
    _case(
        "round:ReleaseShare",
        205,
        "a verifier",
        "verified 1",
        lambda s: _release(s, node(KEY_HOLDER, "verifier")),
    ),
    _case(
        "round:ReleaseShare",
        206,
        "a key holder of another organization",
        "verified 1",
        lambda s: _release(s, node("AlphaMSP", "key-holder")),
    ),
    _case("round:ReleaseShare", 307, "an unknown task", "verified 1", lambda s: s.release(task_id=NOWHERE)),
    _case("round:ReleaseShare", 311, "an unknown round", "verified 1", lambda s: s.release(round=2)),
    _case(
        "round:ReleaseShare", 401, "an aggregate that is not verified", "attested 1", lambda s: s.release()
    ),
    _case("round:ReleaseShare", 401, "a second release", "released 1", lambda s: s.release()),
    _case(
        "round:ReleaseShare",
        502,
        "another aggregate",
        "verified 1",
        lambda s: s.release(aggregate_digest=digest("another")),
    ),
    _case("round:ReleaseShare", 515, "a sum before its scores", "verified 2", lambda s: s.release()),
    _case(
        "round:ReleaseShare", 516, "a sum of another length", "verified 1", lambda s: s.release(sum_bytes=95)
    ),
    _case(
        "round:PublishModel", 205, "an administrator", "released 1", lambda s: _publish(s, admin(COORDINATOR))
    ),
    _case("round:PublishModel", 206, "another organization", "released 1", lambda s: _publish(s, STRANGE)),
    _case(
        "round:PublishModel", 307, "an unknown task", "released 1", lambda s: s.publish_model(task_id=NOWHERE)
    ),
    _case("round:PublishModel", 311, "an unknown round", "released 1", lambda s: s.publish_model(round=2)),
    _case("round:PublishModel", 401, "an unopened sum", "verified 1", lambda s: s.publish_model()),
    _case(
        "round:PublishModel",
        516,
        "a model of another length",
        "released 1",
        lambda s: s.publish_model(model_bytes=47),
    ),
    _case(
        "round:Abort",
        204,
        "a client while the coordinator is suspended",
        "collecting 1",
        lambda s: [_suspend(s, COORDINATOR), _abort(s, STRANGE)],
    ),
    _case("round:Abort", 205, "an administrator", "collecting 1", lambda s: _abort(s, admin(COORDINATOR))),
    _case("round:Abort", 206, "another organization", "collecting 1", lambda s: _abort(s, STRANGE)),
    _case("round:Abort", 307, "an unknown task", "collecting 1", lambda s: _abort(s, COORD, task_id=NOWHERE)),
    _case("round:Abort", 311, "an unknown round", "collecting 1", lambda s: _abort(s, COORD, round=2)),
    _case("round:Abort", 401, "a round whose sum is open", "released 1", lambda s: _abort(s, COORD)),
    _case(
        "round:Get",
        311,
        "an unknown round",
        "collecting 1",
        lambda s: s.evaluate("round:Get", task_id=TASK, round=2),
    ),
    _case(
        "round:GetCurrent",
        307,
        "an unknown task",
        "collecting 1",
        lambda s: s.evaluate("round:GetCurrent", task_id=NOWHERE),
    ),
]


def _acknowledge(s: Scenario, who: Any) -> Any:
    request = {"participant_id": "alpha-1", "digest": s.update_digest("alpha-1")}
    return _round(s, who, "round:AcknowledgeUpload", **request)


def _propose(s: Scenario, who: Any) -> Any:
    request = {"aggregate_digest": digest("aggregate 1"), "aggregate_bytes": 900, "scores_digest": ""}
    return _round(s, who, "round:ProposeAggregate", **request)


def _attest(s: Scenario, who: Any) -> Any:
    request = {"aggregate_digest": digest("aggregate 1"), "scores_digest": ""}
    return _round(s, who, "round:AttestAggregate", **request)


def _scores(s: Scenario, who: Any, **changes: Any) -> Any:
    scores = [{"participant_id": name, "alignment": 1} for name in SILOS]
    return _round(s, who, "round:PostScores", **{"scores": scores, **changes})


def _release(s: Scenario, who: Any) -> Any:
    request = {"aggregate_digest": digest("aggregate 1"), "sum_digest": digest("sum 1"), "sum_bytes": 96}
    return _round(s, who, "round:ReleaseShare", **request)


def _publish(s: Scenario, who: Any) -> Any:
    metrics = {"accuracy_ppb": 1, "loss_ppb": 1, "samples": 1}
    request = {
        "model_digest": digest("m"),
        "model_bytes": 48,
        "direction_digest": digest("d"),
        "metrics": metrics,
    }
    return _round(s, who, "round:PublishModel", **request)


def _abort(s: Scenario, who: Any, **changes: Any) -> Any:
    return _round(s, who, "round:Abort", **{"reason": "enough", **changes})


def _mint(s: Scenario, who: Any, msp_id: str = COORDINATOR, amount: int = 10) -> Any:
    return s.submit(who, "reward:Mint", msp_id=msp_id, amount=amount, reference="grant")


def _fund(s: Scenario, who: Any, task_id: str = TASK, amount: int = 10) -> Any:
    return s.submit(who, "reward:Fund", task_id=task_id, amount=amount, reference="pool")


def _evaluation(s: Scenario, who: Any, task_id: str = TASK) -> Any:
    report = {"report_digest": digest("report"), "passed": True, "block_height": 7}
    return s.submit(who, "audit:RecordEvaluation", task_id=task_id, **report)


AUDITOR = creator("BetaMSP", "beta-auditor", "client", "auditor")

MONEY = [
    _case("reward:Mint", 204, "a coordinator", "drafted", lambda s: _mint(s, COORD)),
    _case(
        "reward:Mint",
        206,
        "another organization's administrator",
        "drafted",
        lambda s: _mint(s, admin("BetaMSP")),
    ),
    _case(
        "reward:Mint",
        603,
        "more than an account may hold",
        "minted",
        lambda s: _mint(s, admin(COORDINATOR), amount=AMOUNT_LIMIT),
    ),
    _case("reward:Fund", 205, "a participant", "minted", lambda s: _fund(s, silo("alpha-1"))),
    _case(
        "reward:Fund",
        206,
        "another organization's administrator",
        "minted",
        lambda s: _fund(s, admin("BetaMSP")),
    ),
    _case("reward:Fund", 307, "an unknown task", "minted", lambda s: _fund(s, COORD, NOWHERE)),
    _case("reward:Fund", 402, "a closed task", "closed", lambda s: _fund(s, COORD)),
    _case(
        "reward:Fund",
        601,
        "more than the organization holds",
        "minted",
        lambda s: _fund(s, COORD, amount=5001),
    ),
    _case(
        "reward:Fund",
        603,
        "a pool that would hold too much",
        "funded",
        lambda s: [
            _mint(s, admin(COORDINATOR), amount=AMOUNT_LIMIT - 3000),
            _fund(s, COORD, amount=AMOUNT_LIMIT - 1000),
        ],
    ),
    _case(
        "reward:Settle",
        307,
        "an unknown task",
        "modelled 1",
        lambda s: _round(s, VERIFIER, "reward:Settle", task_id=NOWHERE),
    ),
    _case(
        "reward:Settle",
        311,
        "an unknown round",
        "modelled 1",
        lambda s: _round(s, VERIFIER, "reward:Settle", round=2),
    ),
    _case("reward:Settle", 319, "a second settlement", "settled 1", lambda s: s.settle()),
    _case("reward:Settle", 401, "a round without a model", "released 1", lambda s: s.settle()),
    _case(
        "reward:GetSettlement",
        318,
        "an unsettled round",
        "modelled 1",
        lambda s: s.evaluate("reward:GetSettlement", task_id=TASK, round=1),
    ),
    _case(
        "reputation:Get",
        323,
        "a participant without a settled round",
        "modelled 1",
        lambda s: s.evaluate("reputation:Get", task_id=TASK, participant_id="alpha-1"),
    ),
    _case(
        "model:Get",
        320,
        "a round without a model",
        "released 1",
        lambda s: s.evaluate("model:Get", task_id=TASK, round=1),
    ),
    _case(
        "audit:RecordEvaluation",
        205,
        "an administrator",
        "drafted",
        lambda s: _evaluation(s, admin("BetaMSP")),
    ),
    _case(
        "audit:RecordEvaluation",
        307,
        "an unknown task",
        "drafted",
        lambda s: _evaluation(s, AUDITOR, NOWHERE),
    ),
    _case(
        "audit:RecordEvaluation",
        324,
        "a recorded report",
        "drafted",
        lambda s: [_evaluation(s, AUDITOR), _evaluation(s, AUDITOR)],
    ),
]

CASES = [*FEDERATION, *TASKS, *ROUNDS, *MONEY]
