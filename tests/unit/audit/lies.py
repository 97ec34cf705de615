"""Lies about a run: how each is told, which check must find it, and in which words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bfl_chaincode.api.records import (
    Attestation,
    Entry,
    Evaluation,
    KeyEpoch,
    ModelRecord,
    Phase,
    Progress,
    Receipt,
    Registration,
    Reputation,
    Round,
    Score,
    ScoreSheet,
    Settlement,
    Task,
    TaskStatus,
    UpdateCommitment,
)

from bfl_fabric.audit.findings import Check
from tests.chaincode.identities import creator
from tests.unit.audit.honest_run import HonestRun, node

FOREIGN = hashlib.sha256(b"foreign").hexdigest()
Lie = Callable[[HonestRun], None]


def _alter(transaction: str, kind: type, which: int = -1, **changes: Any) -> Lie:
    return lambda run: run.alter(transaction, kind, which, **changes)


def _all(*lies: Lie) -> Lie:
    def lie(run: HonestRun) -> None:
        for one in lies:
            one(run)

    return lie


def _spec(**changes: Any) -> Lie:
    """Change the spec in every version of the task, its digest left as it was."""

    def lie(run: HonestRun) -> None:
        for transaction in ("task:Create", "task:Publish", "task:Start", "task:Close"):
            run.rewrite(transaction, Task, lambda task: replace(task, spec=replace(task.spec, **changes)))

    return lie


def _sender(transaction: str, who: Any, which: int = -1) -> Lie:
    """Have somebody else sign a transaction."""

    def lie(run: HonestRun) -> None:
        found = [i for i, one in enumerate(run.ledger.committed) if one.proposal.name == transaction][which]
        simulation = run.ledger.committed[found]
        proposal = replace(simulation.proposal, creator=who)
        run.ledger.committed[found] = replace(simulation, proposal=proposal)

    return lie


def _renamed(transaction: str, name: str, which: int = -1) -> Lie:
    """Have another transaction do what this one did."""

    def lie(run: HonestRun) -> None:
        found = [i for i, one in enumerate(run.ledger.committed) if one.proposal.name == transaction][which]
        simulation = run.ledger.committed[found]
        run.ledger.committed[found] = replace(simulation, proposal=replace(simulation.proposal, name=name))

    return lie


def _dropped(transaction: str, which: int = -1) -> Lie:
    """Leave a transaction out."""

    def lie(run: HonestRun) -> None:
        found = [i for i, one in enumerate(run.ledger.committed) if one.proposal.name == transaction][which]
        del run.ledger.committed[found]

    return lie


def _moved(which: str, **changes: Any) -> Lie:
    """Change the round in this transaction and in everything after it."""

    def lie(run: HonestRun) -> None:
        for name in ("round:Open", *_COURSE)[("round:Open", *_COURSE).index(which) :]:
            run.alter(name, Round, **changes)

    return lie


_COURSE = (
    "round:Seal",
    "round:ProposeAggregate",
    "round:ConfirmAggregate",
    "round:ReleaseShare",
    "round:PublishModel",
    "reward:Settle",
)

LIES: dict[str, tuple[Lie, Check, str]] = {
    # authority
    "an organization's admin who is none": (
        _sender("federation:EnrolParticipant", creator("AlphaMSP", "mallory", "client")),
        Check.AUTHORITY,
        "may not send",
    ),
    "a peer that submits": (
        _sender("round:Seal", creator("AlphaMSP", "peer0", "peer")),
        Check.AUTHORITY,
        "is a peer",
    ),
    "a stranger": (
        _sender("round:Seal", creator("OmegaMSP", "mallory", "client")),
        Check.AUTHORITY,
        "no active member",
    ),
    "another organization's coordinator": (
        _sender("round:Open", creator("BetaMSP", "mallory", "client", "coordinator")),
        Check.AUTHORITY,
        "not the organization",
    ),
    "a coordinator who opens sums": (
        _sender("round:ReleaseShare", node("AlphaMSP", "coordinator")),
        Check.AUTHORITY,
        "not the organization",
    ),
    "an aggregator who attests itself": (
        _sender("round:AttestAggregate", creator("BetaMSP", "mallory", "client", "verifier")),
        Check.AUTHORITY,
        "not the organization",
    ),
    "a participant who is not enrolled": (
        _sender("round:CommitUpdate", creator("AlphaMSP", "sybil", "client", "participant")),
        Check.AUTHORITY,
        "may not send",
    ),
    "a transaction that the contract has not": (
        _renamed("round:Seal", "round:Unseal"),
        Check.AUTHORITY,
        "no transaction",
    ),
    "a transaction that writes what is not its own": (
        _renamed("reward:Settle", "round:Seal"),
        Check.AUTHORITY,
        "wrote",
    ),
    # tasks
    "a spec without its digest": (_spec(title="Another"), Check.SPECS, "has the digest"),
    "a spec that changes": (
        lambda run: run.rewrite(
            "task:Start", Task, lambda task: replace(task, spec=replace(task.spec, purpose="another"))
        ),
        Check.SPECS,
        "was changed",
    ),
    "a status out of turn": (
        _alter("task:Publish", Task, status=TaskStatus.RUNNING),
        Check.PHASES,
        "went from DRAFT to RUNNING",
    ),
    "a task that begins in the middle": (
        _alter("task:Create", Task, status=TaskStatus.PUBLISHED),
        Check.PHASES,
        "did not begin as a draft",
    ),
    "a moment of a task": (_alter("task:Start", Task, changed_at=1), Check.PHASES, "moment"),
    "a start without a key": (_dropped("key:OpenEpoch"), Check.SPECS, "without a key"),
    "a key of other parameters": (
        _alter("key:OpenEpoch", KeyEpoch, parameters_digest=FOREIGN),
        Check.SPECS,
        "other parameters",
    ),
    "a key of another organization": (
        _alter("key:OpenEpoch", KeyEpoch, msp_id="AlphaMSP"),
        Check.SPECS,
        "was opened by",
    ),
    "a start with too few": (
        _all(_dropped("task:Register"), _dropped("task:Register", 0)),
        Check.COHORTS,
        "started with 2 of 3",
    ),
    "a registration for somebody else": (
        _sender("task:Register", creator("AlphaMSP", "alpha-1", "client", "participant")),
        Check.COHORTS,
        "not its sender's",
    ),
    "too few samples": (
        _alter("task:Register", Registration, 0, samples=3),
        Check.COHORTS,
        "too few samples",
    ),
    "a progress that runs ahead": (
        _alter("reward:Settle", Progress, settled=9),
        Check.PHASES,
        "not what its rounds say",
    ),
    # phases
    "a phase that is skipped": (
        _dropped("round:ConfirmAggregate"),
        Check.PHASES,
        "went from AGGREGATED to RELEASED",
    ),
    "a phase moved by the wrong transaction": (
        _renamed("round:ReleaseShare", "round:PublishModel"),
        Check.PHASES,
        "by round:PublishModel",
    ),
    "a phase moved at another moment": (
        _alter("round:PublishModel", Round, changed_at=5),
        Check.PHASES,
        "moment",
    ),
    "a move that changes the cohort": (
        _alter("round:Seal", Round, cohort=("alpha-1",)),
        Check.PHASES,
        "changed cohort",
    ),
    "a deadline": (_moved("round:Open", deadline_at=9**15), Check.PHASES, "another deadline"),
    "a round opened with results": (_alter("round:Open", Round, sum_digest=FOREIGN), Check.PHASES, "results"),
    "a round opened before the last one ended": (
        _dropped("round:Seal", 1),
        Check.PHASES,
        "before the one before it had ended",
    ),
    "another base model": (
        _moved("round:Open", base_model_digest=FOREIGN),
        Check.LINEAGE,
        "does not start from",
    ),
    "another direction": (
        _moved("round:Open", direction_digest=FOREIGN),
        Check.LINEAGE,
        "does not start from",
    ),
    "another key epoch": (_moved("round:Open", epoch=2), Check.PHASES, "newest key epoch"),
    # collection
    "a cohort by hand": (
        _moved("round:Open", cohort=("alpha-1", "alpha-2", "beta-1")),
        Check.COHORTS,
        "its seed draws",
    ),
    "holders by hand": (_moved("round:Open", holders=("BetaMSP", "GammaMSP")), Check.COHORTS, "holders"),
    "a commitment of another weight": (
        _alter("round:CommitUpdate", UpdateCommitment, weight=999),
        Check.COMMITMENTS,
        "another weight",
    ),
    "a commitment with another transaction": (
        _alter("round:CommitUpdate", UpdateCommitment, transaction_id="x"),
        Check.COMMITMENTS,
        "not its sender's",
    ),
    "a commitment to a digest that was not noted": (
        _alter("round:CommitUpdate", UpdateCommitment, digest=FOREIGN),
        Check.COMMITMENTS,
        "had seen before, or was not noted",
    ),
    "a commitment after the deadline": (
        _alter("round:Open", Round, deadline_at=1),
        Check.COMMITMENTS,
        "took none",
    ),
    "a receipt for other bytes": (
        _alter("round:AcknowledgeUpload", Receipt, digest=FOREIGN),
        Check.RECEIPTS,
        "not committed",
    ),
    "a receipt signed by somebody else": (
        _sender("round:AcknowledgeUpload", node("GammaMSP", "verifier")),
        Check.RECEIPTS,
        "was signed by GammaMSP",
    ),
    "a receipt by the wrong node": (
        _sender("round:AcknowledgeUpload", node("AlphaMSP", "coordinator")),
        Check.RECEIPTS,
        "not given by",
    ),
    "a receipt from who holds none": (
        _moved("round:Open", holders=("BetaMSP",)),
        Check.RECEIPTS,
        "holds none",
    ),
    "a member who did not deliver": (
        _moved("round:Seal", members=("alpha-1", "alpha-2", "beta-1", "gamma-1")),
        Check.SEALED_SETS,
        "beyond it ['gamma-1']",
    ),
    "a member left out": (_moved("round:Seal", members=("alpha-1", "beta-1")), Check.SEALED_SETS, "without"),
    "another total weight": (_moved("round:Seal", total_weight=1), Check.SEALED_SETS, "total weight"),
    "a seal below the minimum": (
        _alter("round:Seal", Round, 1, phase=Phase.SEALED, members=("gamma-1",), reason=""),
        Check.SEALED_SETS,
        "with 1 of 3",
    ),
    "a seal before the deadline": (
        _all(
            _alter("round:Open", Round, deadline_at=10**14), _alter("round:Seal", Round, deadline_at=10**14)
        ),
        Check.SEALED_SETS,
        "before its deadline",
    ),
    # agreement
    "an attestation of something else": (
        _all(
            _alter("round:AttestAggregate", Attestation, -1, aggregate_digest=FOREIGN),
            _alter("round:AttestAggregate", Attestation, -2, aggregate_digest=FOREIGN),
        ),
        Check.ATTESTATIONS,
        "was confirmed with 1 of 2",
    ),
    "an attestation for another organization": (
        _sender("round:AttestAggregate", node("AlphaMSP", "verifier")),
        Check.ATTESTATIONS,
        "was signed by",
    ),
    "an attestation before there is an aggregate": (
        _dropped("round:ProposeAggregate"),
        Check.ATTESTATIONS,
        "no aggregate",
    ),
    "scores without a direction": (
        _alter("round:ProposeAggregate", Round, 0, scores_digest=FOREIGN),
        Check.ATTESTATIONS,
        "scores without a direction",
    ),
    "a sum released before its scores": (_dropped("round:PostScores"), Check.ALIGNMENTS, "before its scores"),
    "a sum of another length": (_moved("round:ReleaseShare", sum_bytes=7), Check.SUMS, "length"),
    "a model of another length": (_moved("round:PublishModel", model_bytes=7), Check.MODELS, "length"),
    "a publication without a direction": (
        _moved("round:PublishModel", next_direction_digest=""),
        Check.MODELS,
        "without a model or a direction",
    ),
    "scores of others than the members": (
        _alter("round:PostScores", ScoreSheet, scores=(Score("alpha-1", 5),)),
        Check.ALIGNMENTS,
        "exactly the members",
    ),
    "scores against another direction": (
        _alter("round:PostScores", ScoreSheet, direction_digest=FOREIGN),
        Check.ALIGNMENTS,
        "another direction",
    ),
    # settlements and accounts
    "a settlement that pays less": (_alter("reward:Settle", Settlement, paid=1), Check.PAYOUTS, "paid 1 of"),
    "a line that is missing": (_alter("reward:Settle", Settlement, payouts=()), Check.PAYOUTS, "missing"),
    "a settlement that is missing": (
        lambda run: _without(run, "reward:Settle", Settlement),
        Check.PAYOUTS,
        "its settlement says otherwise",
    ),
    "a reputation": (
        _alter("reward:Settle", Reputation, score_ppb=1),
        Check.REPUTATIONS,
        "the reputation of",
    ),
    "a streak": (_alter("reward:Settle", Reputation, streak=3), Check.REPUTATIONS, "the reputation of"),
    "an entry more": (_alter("reward:Mint", Entry, amount=7), Check.ENTRIES, "sum to 14"),
    "an entry of another moment": (_alter("reward:Mint", Entry, booked_at=7), Check.ENTRIES, "moment"),
    "an entry on another account": (
        lambda run: run.rewrite(
            "reward:Fund", Entry, lambda one: replace(one, account=one.account.replace("Alpha", "Gamma"))
        ),
        Check.RECORDS,
        "belongs to another key",
    ),
    "units that were never minted": (_dropped("reward:Mint"), Check.ENTRIES, "stands at -"),
    "a refund that did not happen": (
        lambda run: _without(run, "task:Close", Entry),
        Check.ENTRIES,
        "moved 0 on account org:AlphaMSP",
    ),
    # lineage and evaluations
    "a model record of another parent": (
        _alter("round:PublishModel", ModelRecord, parent_digest=FOREIGN),
        Check.LINEAGE,
        "not what the round says",
    ),
    "a model record with another contributor": (
        _alter("round:PublishModel", ModelRecord, contributors=("gamma-1",)),
        Check.LINEAGE,
        "not what the round says",
    ),
    "an initial model that is another": (
        _alter("task:Publish", ModelRecord, digest=FOREIGN),
        Check.LINEAGE,
        "not what the round says",
    ),
    "a model without its record": (
        lambda run: _without(run, "round:PublishModel", ModelRecord),
        Check.LINEAGE,
        "without a record",
    ),
    "an evaluation of blocks to come": (
        _alter("audit:RecordEvaluation", Evaluation, block_height=10**6),
        Check.EVALUATIONS,
        "blocks",
    ),
    "an evaluation by somebody else": (
        _sender("audit:RecordEvaluation", creator("AlphaMSP", "mallory", "client", "auditor")),
        Check.EVALUATIONS,
        "not its sender's",
    ),
}


def _without(run: HonestRun, transaction: str, kind: type) -> None:
    simulation = [one for one in run.ledger.committed if one.proposal.name == transaction][-1]
    name = {Entry: "entry", ModelRecord: "model", Settlement: "settlement"}[kind]
    for key in [key for key in simulation.effects.writes if key.startswith(f"\0{name}\0")]:
        del simulation.effects.writes[key]
