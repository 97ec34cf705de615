"""Lies about a run: how each is told, which check must find it, and in which words."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from bfl_chaincode.api.records import (
    Attestation,
    Entry,
    Evaluation,
    KeyEpoch,
    Metrics,
    ModelRecord,
    Organization,
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
from tests.unit.audit.honest_run import node
from tests.unit.audit.lying import Lie, all_of, alter, dropped, moved, renamed, sender, spec, without

FOREIGN = hashlib.sha256(b"foreign").hexdigest()

LIES: dict[str, tuple[Lie, Check, str]] = {
    # authority
    "an organization's admin who is none": (
        sender("federation:EnrolParticipant", creator("AlphaMSP", "mallory", "client")),
        Check.AUTHORITY,
        "may not send",
    ),
    "a peer that submits": (
        sender("round:Seal", creator("AlphaMSP", "peer0", "peer")),
        Check.AUTHORITY,
        "is a peer",
    ),
    "a stranger": (
        sender("round:Seal", creator("OmegaMSP", "mallory", "client")),
        Check.AUTHORITY,
        "no active member",
    ),
    "another organization's coordinator": (
        sender("round:Open", creator("BetaMSP", "mallory", "client", "coordinator")),
        Check.AUTHORITY,
        "not the organization",
    ),
    "a coordinator who opens sums": (
        sender("round:ReleaseShare", node("AlphaMSP", "coordinator")),
        Check.AUTHORITY,
        "not the organization",
    ),
    "an aggregator who attests itself": (
        sender("round:AttestAggregate", creator("BetaMSP", "mallory", "client", "verifier")),
        Check.AUTHORITY,
        "not the organization",
    ),
    "a participant who is not enrolled": (
        sender("round:CommitUpdate", creator("AlphaMSP", "sybil", "client", "participant")),
        Check.AUTHORITY,
        "may not send",
    ),
    "a transaction that the contract has not": (
        renamed("round:Seal", "round:Unseal"),
        Check.AUTHORITY,
        "no transaction",
    ),
    "a transaction that writes what is not its own": (
        renamed("reward:Settle", "round:Seal"),
        Check.AUTHORITY,
        "wrote",
    ),
    # requests
    "metrics that the coordinator did not send": (
        alter("round:PublishModel", ModelRecord, metrics=Metrics(10**9, 0, 100)),
        Check.REQUESTS,
        "metrics is not the one that was asked for",
    ),
    "a score that the key holder did not post": (
        lambda run: run.rewrite(
            "round:PostScores",
            ScoreSheet,
            lambda sheet: replace(sheet, scores=(Score("alpha-1", 1), *sheet.scores[1:])),
        ),
        Check.REQUESTS,
        "scores are not those that were sent",
    ),
    "an evaluation that did not say so": (
        alter("audit:RecordEvaluation", Evaluation, passed=False),
        Check.REQUESTS,
        "passed is not the one",
    ),
    "a suspension that renames": (
        alter("federation:SuspendOrganization", Organization, name="Delta"),
        Check.REQUESTS,
        "name was changed with it",
    ),
    "a suspension that does not suspend": (
        alter("federation:SuspendOrganization", Organization, active=True),
        Check.REQUESTS,
        "activity is not what",
    ),
    # tasks
    "a spec without its digest": (spec(title="Another"), Check.SPECS, "has the digest"),
    "a spec that changes": (
        lambda run: run.rewrite(
            "task:Start", Task, lambda task: replace(task, spec=replace(task.spec, purpose="another"))
        ),
        Check.SPECS,
        "was changed",
    ),
    "a status out of turn": (
        alter("task:Publish", Task, status=TaskStatus.RUNNING),
        Check.PHASES,
        "went from DRAFT to RUNNING",
    ),
    "a task that begins in the middle": (
        alter("task:Create", Task, status=TaskStatus.PUBLISHED),
        Check.PHASES,
        "did not begin as a draft",
    ),
    "a moment of a task": (alter("task:Start", Task, changed_at=1), Check.PHASES, "moment"),
    "a start without a key": (dropped("key:OpenEpoch"), Check.SPECS, "without a key"),
    "a key of other parameters": (
        alter("key:OpenEpoch", KeyEpoch, parameters_digest=FOREIGN),
        Check.SPECS,
        "other parameters",
    ),
    "a key of another organization": (
        alter("key:OpenEpoch", KeyEpoch, msp_id="AlphaMSP"),
        Check.SPECS,
        "was opened by",
    ),
    "a start with too few": (
        all_of(dropped("task:Register"), dropped("task:Register", 0)),
        Check.COHORTS,
        "started with 2 of 3",
    ),
    "a registration for somebody else": (
        sender("task:Register", creator("AlphaMSP", "alpha-1", "client", "participant")),
        Check.COHORTS,
        "not its sender's",
    ),
    "too few samples": (
        alter("task:Register", Registration, 0, samples=3),
        Check.COHORTS,
        "too few samples",
    ),
    "a progress that runs ahead": (
        alter("reward:Settle", Progress, settled=9),
        Check.PHASES,
        "not what its rounds say",
    ),
    # phases
    "a phase that is skipped": (
        dropped("round:ConfirmAggregate"),
        Check.PHASES,
        "went from AGGREGATED to RELEASED",
    ),
    "a phase moved by the wrong transaction": (
        renamed("round:ReleaseShare", "round:PublishModel"),
        Check.PHASES,
        "by round:PublishModel",
    ),
    "a phase moved at another moment": (
        alter("round:PublishModel", Round, changed_at=5),
        Check.PHASES,
        "moment",
    ),
    "a move that changes the cohort": (
        alter("round:Seal", Round, cohort=("alpha-1",)),
        Check.PHASES,
        "changed cohort",
    ),
    "a deadline": (moved("round:Open", deadline_at=9**15), Check.PHASES, "another deadline"),
    "a round opened with results": (alter("round:Open", Round, sum_digest=FOREIGN), Check.PHASES, "results"),
    "a round opened before the last one ended": (
        dropped("round:Seal", 1),
        Check.PHASES,
        "before the one before it had ended",
    ),
    "another base model": (
        moved("round:Open", base_model_digest=FOREIGN),
        Check.LINEAGE,
        "does not start from",
    ),
    "another direction": (
        moved("round:Open", direction_digest=FOREIGN),
        Check.LINEAGE,
        "does not start from",
    ),
    "another key epoch": (moved("round:Open", epoch=2), Check.PHASES, "newest key epoch"),
    # collection
    "a cohort by hand": (
        moved("round:Open", cohort=("alpha-1", "alpha-2", "beta-1")),
        Check.COHORTS,
        "its seed draws",
    ),
    "holders by hand": (moved("round:Open", holders=("BetaMSP", "GammaMSP")), Check.COHORTS, "holders"),
    "a commitment of another weight": (
        alter("round:CommitUpdate", UpdateCommitment, weight=999),
        Check.COMMITMENTS,
        "another weight",
    ),
    "a commitment with another transaction": (
        alter("round:CommitUpdate", UpdateCommitment, transaction_id="x"),
        Check.COMMITMENTS,
        "not its sender's",
    ),
    "a commitment to a digest that was not noted": (
        alter("round:CommitUpdate", UpdateCommitment, digest=FOREIGN),
        Check.COMMITMENTS,
        "had seen before, or was not noted",
    ),
    "a commitment after the deadline": (
        alter("round:Open", Round, deadline_at=1),
        Check.COMMITMENTS,
        "took none",
    ),
    "a receipt that nobody sent": (
        alter("round:AcknowledgeUploads", Receipt, digest=FOREIGN),
        Check.REQUESTS,
        "digest is not the one that was asked for",
    ),
    "a receipt for other bytes": (
        alter("round:AcknowledgeUploads", Receipt, digest=FOREIGN),
        Check.RECEIPTS,
        "not committed",
    ),
    "a receipt signed by somebody else": (
        sender("round:AcknowledgeUploads", node("GammaMSP", "verifier")),
        Check.RECEIPTS,
        "was signed by GammaMSP",
    ),
    "a receipt by the wrong node": (
        sender("round:AcknowledgeUploads", node("AlphaMSP", "coordinator")),
        Check.RECEIPTS,
        "not given by",
    ),
    "a receipt from who holds none": (
        moved("round:Open", holders=("BetaMSP",)),
        Check.RECEIPTS,
        "holds none",
    ),
    "a member who did not deliver": (
        moved("round:Seal", members=("alpha-1", "alpha-2", "beta-1", "gamma-1")),
        Check.SEALED_SETS,
        "beyond it ['gamma-1']",
    ),
    "a member left out": (moved("round:Seal", members=("alpha-1", "beta-1")), Check.SEALED_SETS, "without"),
    "another total weight": (moved("round:Seal", total_weight=1), Check.SEALED_SETS, "total weight"),
    "a seal below the minimum": (
        alter("round:Seal", Round, 1, phase=Phase.SEALED, members=("gamma-1",), reason=""),
        Check.SEALED_SETS,
        "with 1 of 3",
    ),
    "a seal before the deadline": (
        all_of(
            alter("round:Open", Round, deadline_at=10**14), alter("round:Seal", Round, deadline_at=10**14)
        ),
        Check.SEALED_SETS,
        "before its deadline",
    ),
    # agreement
    "an attestation of something else": (
        all_of(
            alter("round:AttestAggregate", Attestation, -1, aggregate_digest=FOREIGN),
            alter("round:AttestAggregate", Attestation, -2, aggregate_digest=FOREIGN),
        ),
        Check.ATTESTATIONS,
        "was confirmed with 1 of 2",
    ),
    "an attestation for another organization": (
        sender("round:AttestAggregate", node("AlphaMSP", "verifier")),
        Check.ATTESTATIONS,
        "was signed by",
    ),
    "an attestation before there is an aggregate": (
        dropped("round:ProposeAggregate"),
        Check.ATTESTATIONS,
        "no aggregate",
    ),
    "scores without a direction": (
        alter("round:ProposeAggregate", Round, 0, scores_digest=FOREIGN),
        Check.ATTESTATIONS,
        "scores where none belong",
    ),
    "a sum released before its scores": (dropped("round:PostScores"), Check.ALIGNMENTS, "before its scores"),
    "a sum of another length": (moved("round:ReleaseShare", sum_bytes=7), Check.SUMS, "length"),
    "a model of another length": (moved("round:PublishModel", model_bytes=7), Check.MODELS, "length"),
    "a publication without a direction": (
        moved("round:PublishModel", next_direction_digest=""),
        Check.MODELS,
        "without a model or a direction",
    ),
    "scores of others than the members": (
        alter("round:PostScores", ScoreSheet, scores=(Score("alpha-1", 5),)),
        Check.ALIGNMENTS,
        "exactly the members",
    ),
    "scores against another direction": (
        alter("round:PostScores", ScoreSheet, direction_digest=FOREIGN),
        Check.ALIGNMENTS,
        "another direction",
    ),
    # settlements and accounts
    "a settlement that pays less": (alter("reward:Settle", Settlement, paid=1), Check.PAYOUTS, "paid 1 of"),
    "a line that is missing": (alter("reward:Settle", Settlement, payouts=()), Check.PAYOUTS, "missing"),
    "a settlement that is missing": (
        without("reward:Settle", Settlement),
        Check.PAYOUTS,
        "its settlement says otherwise",
    ),
    "a reputation": (
        alter("reward:Settle", Reputation, score_ppb=1),
        Check.REPUTATIONS,
        "the reputation of",
    ),
    "a streak": (alter("reward:Settle", Reputation, streak=3), Check.REPUTATIONS, "the reputation of"),
    "an entry more": (alter("reward:Mint", Entry, amount=7), Check.ENTRIES, "sum to 14"),
    "an entry of another moment": (alter("reward:Mint", Entry, booked_at=7), Check.ENTRIES, "moment"),
    "an entry on another account": (
        lambda run: run.rewrite(
            "reward:Fund", Entry, lambda one: replace(one, account=one.account.replace("Alpha", "Gamma"))
        ),
        Check.RECORDS,
        "belongs to another key",
    ),
    "units that were never minted": (dropped("reward:Mint"), Check.ENTRIES, "stands at -"),
    "a refund that did not happen": (
        without("task:Close", Entry),
        Check.ENTRIES,
        "moved 0 on account org:AlphaMSP",
    ),
    # lineage and evaluations
    "a model record of another parent": (
        alter("round:PublishModel", ModelRecord, parent_digest=FOREIGN),
        Check.LINEAGE,
        "not what the round says",
    ),
    "a model record with another contributor": (
        alter("round:PublishModel", ModelRecord, contributors=("gamma-1",)),
        Check.LINEAGE,
        "not what the round says",
    ),
    "an initial model that is another": (
        alter("task:Publish", ModelRecord, digest=FOREIGN),
        Check.LINEAGE,
        "not what the round says",
    ),
    "a model without its record": (
        without("round:PublishModel", ModelRecord),
        Check.LINEAGE,
        "without a record",
    ),
    "an evaluation of blocks to come": (
        alter("audit:RecordEvaluation", Evaluation, block_height=10**6),
        Check.EVALUATIONS,
        "blocks",
    ),
    "an evaluation by somebody else": (
        sender("audit:RecordEvaluation", creator("AlphaMSP", "mallory", "client", "auditor")),
        Check.EVALUATIONS,
        "not its sender's",
    ),
}
