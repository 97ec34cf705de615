"""Every check of the ledger's records finds the lie that it is there for, and names where it stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import (
    Entry,
    Evaluation,
    Receipt,
    Reputation,
    Settlement,
    UpdateCommitment,
    to_json,
)
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.history import Recorded
from tests.chaincode.scenario import TASK
from tests.unit.audit.honest_run import HonestRun
from tests.unit.audit.lies import FOREIGN, LIES


def test_an_honest_run_has_no_failure(told_truth: HonestRun) -> None:
    findings = told_truth.audit()
    assert findings.failures == []
    assert findings.withheld == {}
    assert {check for check in Check if not findings.counts[check]} == {
        Check.BLOCKS,
        Check.TRANSACTIONS,
        Check.SIGNATURES,
        Check.STATE_ROWS,
        Check.CEREMONIES,
        Check.JOINT_KEYS,
        Check.GRANTS,
        Check.MASKS,
        Check.OPENINGS,
        Check.SHARES,
    }


@pytest.mark.parametrize("lie", LIES)
def test_the_audit_finds(lie: str, run: HonestRun) -> None:
    tell, check, words = LIES[lie]
    tell(run)
    found = [failure for failure in run.audit().failures if failure.check is check]
    assert any(words in failure.message for failure in found), found
    assert all(failure.transaction_id or failure.blob for failure in found)


def test_a_wrong_payout_is_found_when_everything_else_agrees_with_it(run: HonestRun) -> None:
    def shifted(settlement: Settlement) -> Settlement:
        first, second, *rest = settlement.payouts
        lines = (replace(first, amount=first.amount + 1), replace(second, amount=second.amount - 1), *rest)
        return replace(settlement, payouts=lines)

    def rebooked(entry: Entry) -> Entry:
        return replace(
            entry,
            amount=entry.amount + {"participant:alpha-1": 1, "participant:alpha-2": -1}.get(entry.account, 0),
        )

    run.rewrite("reward:Settle", Settlement, shifted)
    run.rewrite("reward:Settle", Entry, rebooked)
    failures = run.audit().failures
    assert {failure.check for failure in failures} == {Check.PAYOUTS}
    assert "alpha-1" in failures[0].message
    settle = [one for one in run.ledger.committed if one.proposal.name == "reward:Settle"][-1]
    assert failures[0].transaction_id == settle.proposal.tx_id


def test_payouts_of_later_rounds_build_on_the_recomputed_standing_not_on_the_recorded_one(
    run: HonestRun,
) -> None:
    run.alter("reward:Settle", Reputation, 0, score_ppb=999_999_999)
    checks = {(failure.check, failure.transaction_id) for failure in run.audit().failures}
    first = next(one for one in run.ledger.committed if one.proposal.name == "reward:Settle")
    assert checks == {(Check.REPUTATIONS, first.proposal.tx_id)}


def test_all_independent_failures_are_reported_together(run: HonestRun) -> None:
    run.alter("reward:Settle", Settlement, 0, paid=1)
    run.alter("audit:RecordEvaluation", Evaluation, block_height=10**6)
    run.alter("round:AcknowledgeUploads", Receipt, digest=FOREIGN)
    checks = {failure.check for failure in run.audit().failures}
    assert {Check.PAYOUTS, Check.EVALUATIONS, Check.RECEIPTS} <= checks


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("plain", b"1", "composite key"),
        ("\0secret\0x\0", b"{}", "keeps no records of type 'secret'"),
        ("\0task\0x\0", b"{", "not JSON"),
        ("\0task\0x\0", b"{}", "missing"),
        ("\0digest\0x\0", b"\1", "two parts"),
        ("\0digest\0x\0y\0", b"2", "two parts"),
    ],
)
def test_state_that_is_no_record_is_a_failure(run: HonestRun, key: str, value: bytes, words: str) -> None:
    run.ledger.committed[-1].effects.writes[key] = value
    assert any(f.check is Check.RECORDS and words in f.message for f in run.audit().failures)


def test_a_record_that_is_not_canonical_is_a_failure(run: HonestRun) -> None:
    writes = run.ledger.committed[-1].effects.writes
    for key in writes:
        writes[key] += b" "
    assert any("canonical form" in failure.message for failure in run.audit().failures)


def test_a_record_under_a_foreign_key_is_a_failure(run: HonestRun) -> None:
    found = [one for one in run.ledger.committed if one.proposal.name == "audit:RecordEvaluation"]
    writes = found[0].effects.writes
    (key,) = writes
    writes[key.replace(TASK, "other")] = writes.pop(key)
    assert any("belongs to another key" in failure.message for failure in run.audit().failures)


@pytest.mark.parametrize("kind", [UpdateCommitment, Receipt, Settlement, Entry])
def test_what_is_written_once_cannot_be_written_again(run: HonestRun, kind: type) -> None:
    record: Recorded[Any] = next(run.history().current(kind))
    written = run.ledger.committed[record.order].effects.writes
    key = next(key for key, value in written.items() if value == canonical.dump(to_json(record.value)))
    run.ledger.committed[-1].effects.writes[key] = canonical.dump(to_json(record.value))
    assert any("written once" in failure.message for failure in run.audit().failures)


def test_records_are_never_deleted_but_registrations(run: HonestRun) -> None:
    key = next(key for key in run.ledger.state if key.startswith("\0receipt"))
    run.ledger.committed[-1].effects.writes[key] = b""
    assert any("never deleted" in failure.message for failure in run.audit().failures)


def test_a_failure_is_noted_once_however_often_it_is_met() -> None:
    findings = Findings()
    for _ in range(3):
        findings.fail(Check.SUMS, "it is wrong", blob=FOREIGN)
    assert len(findings.failures) == 1
