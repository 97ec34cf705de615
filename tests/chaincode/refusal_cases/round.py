"""Refusals of the round contract."""

from __future__ import annotations

from typing import Any

from tests.chaincode.refusal_cases import moves
from tests.chaincode.refusal_cases.moves import (
    COORD,
    NOWHERE,
    STRANGE,
    VERIFIER,
    Act,
    Case,
    on_round,
    on_task,
)
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
)


def _commit(s: Scenario, who: Any, name: str = "alpha-1", **changes: Any) -> Any:
    request = {"digest": s.update_digest(name), "size_bytes": 800, "weight": SAMPLES[name], **changes}
    return on_round(s, who, "round:CommitUpdate", **request)


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
    moves.enrol(s, "alpha-9", admin("AlphaMSP"))
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


def _acknowledge(s: Scenario, who: Any) -> Any:
    return on_round(s, who, "round:AcknowledgeUploads", uploads=[_held(s)])


def _held(s: Scenario, **changes: Any) -> dict[str, Any]:
    return {"participant_id": "alpha-1", "digest": s.update_digest("alpha-1"), **changes}


def _propose(s: Scenario, who: Any) -> Any:
    request = {"aggregate_digest": digest("aggregate 1"), "aggregate_bytes": 900, "scores_digest": ""}
    return on_round(s, who, "round:ProposeAggregate", **request)


def _attest(s: Scenario, who: Any) -> Any:
    request = {"aggregate_digest": digest("aggregate 1"), "scores_digest": ""}
    return on_round(s, who, "round:AttestAggregate", **request)


def _scores(s: Scenario, who: Any, **changes: Any) -> Any:
    scores = [{"participant_id": name, "alignment": 1} for name in SILOS]
    return on_round(s, who, "round:PostScores", **{"scores": scores, **changes})


def _release(s: Scenario, who: Any) -> Any:
    request = {"aggregate_digest": digest("aggregate 1"), "sum_digest": digest("sum 1"), "sum_bytes": 96}
    return on_round(s, who, "round:ReleaseShare", **request)


def _publish(s: Scenario, who: Any) -> Any:
    metrics = {"accuracy_ppb": 1, "loss_ppb": 1, "samples": 1}
    request = {
        "model_digest": digest("m"),
        "model_bytes": 48,
        "direction_digest": digest("d"),
        "metrics": metrics,
    }
    return on_round(s, who, "round:PublishModel", **request)


def _abort(s: Scenario, who: Any, **changes: Any) -> Any:
    return on_round(s, who, "round:Abort", **{"reason": "enough", **changes})


def _registered_beyond(s: Scenario) -> Any:
    """250 samples are registered, 230 fit; the task starts while Gamma's 30 do not count."""
    s.create(encryption__max_total_weight=230)
    s.publish()
    s.register()
    s.open_epoch()
    s.mint()
    s.fund()
    moves.suspend(s, "GammaMSP")
    s.start()
    moves.admit(s, "GammaMSP")
    return s.open()


# fmt: off
ROUNDS = [
    Case("round:Open", 205, "an administrator", "running",
         lambda s: on_task(s, admin(COORDINATOR), "round:Open")),
    Case("round:Open", 206, "another organization", "running", lambda s: on_task(s, STRANGE, "round:Open")),
    Case("round:Open", 307, "an unknown task", "running", lambda s: on_task(s, COORD, "round:Open", NOWHERE)),
    Case("round:Open", 402, "a task that has not started", "funded", lambda s: s.open()),
    Case("round:Open", 405, "a round that runs", "collecting 1", lambda s: s.open()),
    Case("round:Open", 405, "a round that is not settled", "modelled 1", lambda s: s.open()),
    Case("round:Open", 406, "one round too many", "settled 2", lambda s: s.open()),
    Case("round:Open", 505, "more weight than a sum can hold", "enrolled", _registered_beyond),
    Case("round:Open", 506, "too few active participants", "running",
         lambda s: [moves.leave(s, "alpha-1"), moves.leave(s, "beta-1"), s.open()]),
    Case("round:Open", 509, "a suspended aggregator", "running",
         lambda s: [moves.suspend(s, AGGREGATOR), s.open()]),
    Case("round:CommitUpdate", 205, "a node", "collecting 1", lambda s: _commit(s, VERIFIER)),
    Case("round:CommitUpdate", 207, "a participant that has left", "collecting 1",
         lambda s: [moves.leave(s, "alpha-1"), s.commit("alpha-1")]),
    Case("round:CommitUpdate", 208, "a participant outside the cohort", "enrolled",
         _commit_outside_the_cohort),
    Case("round:CommitUpdate", 311, "an unknown round", "collecting 1",
         lambda s: s.commit("alpha-1", round=2)),
    Case("round:CommitUpdate", 313, "a second commitment", "committed 1",
         lambda s: s.commit("alpha-1", digest=digest("another"))),
    Case("round:CommitUpdate", 314, "the digest of another's update", "collecting 1",
         lambda s: [s.commit("alpha-1"), s.commit("beta-1", digest=s.update_digest("alpha-1"))]),
    Case("round:CommitUpdate", 314, "the digest of an earlier round's update", "collecting 2",
         lambda s: s.commit("alpha-1", digest=digest("update of beta-1 in round 1"))),
    Case("round:CommitUpdate", 322, "an enrolled participant that is not registered", "collecting 1",
         _commit_unregistered),
    Case("round:CommitUpdate", 401, "a sealed round", "sealed 1",
         lambda s: s.commit("alpha-1", digest=digest("late"))),
    Case("round:CommitUpdate", 403, "at the deadline", "collecting 1",
         lambda s: _late(s, lambda s: s.commit("alpha-1"))),
    Case("round:CommitUpdate", 503, "another weight than registered", "collecting 1",
         lambda s: s.commit("alpha-1", weight=101)),
    Case("round:AcknowledgeUploads", 205, "a verifier of the aggregator's organization", "committed 1",
         lambda s: _acknowledge(s, node(AGGREGATOR, "verifier"))),
    Case("round:AcknowledgeUploads", 205, "an aggregator of another organization", "committed 1",
         lambda s: _acknowledge(s, node("AlphaMSP", "aggregator"))),
    Case("round:AcknowledgeUploads", 307, "an unknown task", "committed 1",
         lambda s: s.acknowledge("alpha-1", AGGREGATOR, task_id=NOWHERE)),
    Case("round:AcknowledgeUploads", 311, "an unknown round", "committed 1",
         lambda s: s.acknowledge("alpha-1", AGGREGATOR, round=2)),
    Case("round:AcknowledgeUploads", 312, "what nobody committed", "collecting 1",
         lambda s: s.acknowledge("alpha-1", AGGREGATOR)),
    Case("round:AcknowledgeUploads", 315, "a second receipt", "committed 1",
         lambda s: [s.acknowledge("alpha-1", AGGREGATOR), s.acknowledge("alpha-1", AGGREGATOR)]),
    Case("round:AcknowledgeUploads", 401, "a sealed round", "sealed 1",
         lambda s: s.acknowledge("alpha-1", AGGREGATOR)),
    Case("round:AcknowledgeUploads", 501, "an organization that does not hold updates", "committed 1",
         lambda s: s.acknowledge("alpha-1", KEY_HOLDER)),
    Case("round:AcknowledgeUploads", 502, "other bytes than committed", "committed 1",
         lambda s: s.acknowledge("alpha-1", AGGREGATOR, uploads=[_held(s, digest=digest("other bytes"))])),
    Case("round:AcknowledgeUploads", 115, "a participant named twice", "committed 1",
         lambda s: s.acknowledge("alpha-1", AGGREGATOR, uploads=[_held(s), _held(s)])),
    Case("round:AcknowledgeUploads", 312, "what was committed beside what was not", "committed 1",
         lambda s: s.acknowledge("alpha-1", AGGREGATOR, uploads=[_held(s), _held(s, participant_id="nobody-1")])),
    Case("round:Seal", 307, "an unknown task", "delivered 1",
         lambda s: on_round(s, VERIFIER, "round:Seal", task_id=NOWHERE)),
    Case("round:Seal", 311, "an unknown round", "delivered 1",
         lambda s: on_round(s, VERIFIER, "round:Seal", round=2)),
    Case("round:Seal", 401, "a sealed round", "sealed 1", lambda s: s.seal()),
    Case("round:Seal", 404, "an early seal", "committed 1", lambda s: s.seal()),
    Case("round:Seal", 404, "an update that only the aggregator holds", "collecting 1",
         lambda s: [s.deliver("alpha-1", "alpha-2", "beta-1"), s.commit("gamma-1"), s.acknowledge("gamma-1",
             AGGREGATOR), s.seal()]),
    Case("round:ProposeAggregate", 205, "a verifier", "sealed 1",
         lambda s: _propose(s, node(AGGREGATOR, "verifier"))),
    Case("round:ProposeAggregate", 206, "another organization", "sealed 1",
         lambda s: _propose(s, node("AlphaMSP", "aggregator"))),
    Case("round:ProposeAggregate", 307, "an unknown task", "sealed 1", lambda s: s.propose(task_id=NOWHERE)),
    Case("round:ProposeAggregate", 311, "an unknown round", "sealed 1", lambda s: s.propose(round=2)),
    Case("round:ProposeAggregate", 401, "an open set", "delivered 1", lambda s: s.propose()),
    Case("round:ProposeAggregate", 510, "scores in a round without direction", "sealed 1",
         lambda s: s.propose(scores_digest=digest("scores"))),
    Case("round:ProposeAggregate", 510, "no scores in a round with a direction", "sealed 2",
         lambda s: s.propose(scores_digest="")),
    Case("round:ProposeAggregate", 510, "scores under a shared key", "shared sealed 2",
         lambda s: s.propose(scores_digest=digest("scores"))),
    Case("round:AttestAggregate", 205, "an aggregator", "aggregated 1",
         lambda s: _attest(s, node(AGGREGATOR, "aggregator"))),
    Case("round:AttestAggregate", 307, "an unknown task", "aggregated 1",
         lambda s: s.attest("AlphaMSP", task_id=NOWHERE)),
    Case("round:AttestAggregate", 311, "an unknown round", "aggregated 1",
         lambda s: s.attest("AlphaMSP", round=2)),
    Case("round:AttestAggregate", 316, "a second attestation", "attested 1", lambda s: s.attest("AlphaMSP")),
    Case("round:AttestAggregate", 401, "a round without a proposal", "sealed 1",
         lambda s: s.attest("AlphaMSP")),
    Case("round:AttestAggregate", 511, "the aggregator's own organization", "aggregated 1",
         lambda s: s.attest(AGGREGATOR)),
    Case("round:ConfirmAggregate", 307, "an unknown task", "attested 1",
         lambda s: on_round(s, VERIFIER, "round:ConfirmAggregate", task_id=NOWHERE)),
    Case("round:ConfirmAggregate", 311, "an unknown round", "attested 1",
         lambda s: on_round(s, VERIFIER, "round:ConfirmAggregate", round=2)),
    Case("round:ConfirmAggregate", 401, "a verified round", "verified 1", lambda s: s.confirm()),
    Case("round:ConfirmAggregate", 512, "a proposal that nobody attested", "aggregated 1",
         lambda s: s.confirm()),
    Case("round:ConfirmAggregate", 512, "an attestation of something else", "aggregated 1",
         _attestation_differs),
    Case("round:PostScores", 205, "a verifier", "verified 2",
         lambda s: _scores(s, node(KEY_HOLDER, "verifier"))),
    Case("round:PostScores", 206, "a key holder of another organization", "verified 2",
         lambda s: _scores(s, node("AlphaMSP", "key-holder"))),
    Case("round:PostScores", 307, "an unknown task", "verified 2",
         lambda s: _scores(s, node(KEY_HOLDER, "key-holder"), task_id=NOWHERE)),
    Case("round:PostScores", 311, "an unknown round", "verified 2",
         lambda s: _scores(s, node(KEY_HOLDER, "key-holder"), round=3)),
    Case("round:PostScores", 317, "a second opening", "scored 2", lambda s: s.post_scores()),
    Case("round:PostScores", 401, "an aggregate that is not verified", "aggregated 2",
         lambda s: s.post_scores()),
    Case("round:PostScores", 513, "a score for some of the members", "verified 2",
         lambda s: s.post_scores({"alpha-1": 5})),
    Case("round:PostScores", 513, "a member scored twice", "verified 2",
         lambda s: _scores(s, node(KEY_HOLDER, "key-holder"), scores=[{"participant_id": name,
             "alignment": 1} for name in ("alpha-1", "alpha-1", "beta-1", "gamma-1")])),
    Case("round:PostScores", 513, "a score for who did not deliver", "collecting 2",
         lambda s: [_sealed_without(s, "beta-1"), s.propose(), s.attest("AlphaMSP"), s.confirm(),
             s.post_scores()]),
    Case("round:PostScores", 514, "a round without direction", "verified 1", lambda s: s.post_scores()),
    Case("round:ReleaseShare", 205, "a verifier", "verified 1",
         lambda s: _release(s, node(KEY_HOLDER, "verifier"))),
    Case("round:ReleaseShare", 206, "a key holder of another organization", "verified 1",
         lambda s: _release(s, node("AlphaMSP", "key-holder"))),
    Case("round:ReleaseShare", 307, "an unknown task", "verified 1", lambda s: s.release(task_id=NOWHERE)),
    Case("round:ReleaseShare", 311, "an unknown round", "verified 1", lambda s: s.release(round=2)),
    Case("round:ReleaseShare", 401, "an aggregate that is not verified", "attested 1", lambda s: s.release()),
    Case("round:ReleaseShare", 401, "a second release", "released 1", lambda s: s.release()),
    Case("round:ReleaseShare", 502, "another aggregate", "verified 1",
         lambda s: s.release(aggregate_digest=digest("another"))),
    Case("round:ReleaseShare", 515, "a sum before its scores", "verified 2", lambda s: s.release()),
    Case("round:ReleaseShare", 516, "a sum of another length", "verified 1",
         lambda s: s.release(sum_bytes=95)),
    Case("round:PublishModel", 205, "an administrator", "released 1",
         lambda s: _publish(s, admin(COORDINATOR))),
    Case("round:PublishModel", 206, "another organization", "released 1", lambda s: _publish(s, STRANGE)),
    Case("round:PublishModel", 307, "an unknown task", "released 1",
         lambda s: s.publish_model(task_id=NOWHERE)),
    Case("round:PublishModel", 311, "an unknown round", "released 1", lambda s: s.publish_model(round=2)),
    Case("round:PublishModel", 401, "an unopened sum", "verified 1", lambda s: s.publish_model()),
    Case("round:PublishModel", 516, "a model of another length", "released 1",
         lambda s: s.publish_model(model_bytes=47)),
    Case("round:Abort", 204, "a client while the coordinator is suspended", "collecting 1",
         lambda s: [moves.suspend(s, COORDINATOR), _abort(s, STRANGE)]),
    Case("round:Abort", 205, "an administrator", "collecting 1", lambda s: _abort(s, admin(COORDINATOR))),
    Case("round:Abort", 206, "another organization", "collecting 1", lambda s: _abort(s, STRANGE)),
    Case("round:Abort", 307, "an unknown task", "collecting 1", lambda s: _abort(s, COORD, task_id=NOWHERE)),
    Case("round:Abort", 311, "an unknown round", "collecting 1", lambda s: _abort(s, COORD, round=2)),
    Case("round:Abort", 401, "a round whose sum is open", "released 1", lambda s: _abort(s, COORD)),
    Case("round:Get", 311, "an unknown round", "collecting 1",
         lambda s: s.evaluate("round:Get", task_id=TASK, round=2)),
    Case("round:GetCurrent", 307, "an unknown task", "collecting 1",
         lambda s: s.evaluate("round:GetCurrent", task_id=NOWHERE)),
]
