"""What the blobs show: withheld, altered, swapped, stray; and everything that is computed again from them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from bfl_chaincode.api.records import KeyEpoch, ModelRecord, Round, Score, ScoreSheet, UpdateCommitment
from bfl_fabric.audit.blobs import Blobs, DirectoryFinder
from bfl_fabric.audit.chain import Chain
from bfl_fabric.audit.findings import AuditReport, Check, Failure, Findings
from bfl_fabric.audit.verify import AuditOptions, check_history, make_report
from bfl_fabric.domain.ports import UpdateName
from tests.chaincode.scenario import SAMPLES, TASK
from tests.unit.audit.honest_run import ARITHMETIC, PARAMETERS, HonestRun, node, sha256

AFTER_PROPOSAL = (
    "round:ProposeAggregate",
    "round:ConfirmAggregate",
    "round:ReleaseShare",
    "round:PublishModel",
    "reward:Settle",
)


def _report(run: HonestRun, *, allow_missing: bool = False) -> AuditReport:
    findings = Findings()
    history = run.history(findings)
    check_history(history, DirectoryFinder([run.store]), run.provider, ARITHMETIC, findings)
    chain = Chain(history=history, hashes=bytearray(32))
    return make_report(chain, "11", AuditOptions(allow_missing=allow_missing), findings)


def _only(run: HonestRun, check: Check) -> Failure:
    failures = [failure for failure in run.audit().failures if failure.check is check]
    assert failures
    return failures[0]


def _round(run: HonestRun, number: int) -> Round:
    found = run.history().find(Round, TASK, number)
    assert found is not None
    return found.value


def _rename_sum(run: HonestRun, total: np.ndarray) -> str:
    """Release another sum in the last round, in all records that name it."""
    digest = run.put(ARITHMETIC.pack_sum(total))
    for transaction in ("round:ReleaseShare", "round:PublishModel", "reward:Settle"):
        run.alter(transaction, Round, sum_digest=digest)
    run.alter("round:PublishModel", ModelRecord, sum_digest=digest)
    return digest


def test_an_upload_that_nobody_gave_is_withheld_not_altered(own_run: HonestRun) -> None:
    digest = own_run.uploads[1, "beta-1"]
    own_run.path(digest).unlink()
    report = _report(own_run)
    assert not report.passed
    assert report.failures == ()
    assert [blob.digest for blob in report.withheld] == [digest]
    assert "beta-1" in str(report.withheld[0])


def test_withheld_blobs_do_not_fail_an_audit_that_allows_them(own_run: HonestRun) -> None:
    own_run.path(own_run.uploads[1, "beta-1"]).unlink()
    report = _report(own_run, allow_missing=True)
    assert report.passed
    assert len(report.withheld) == 1
    assert report.count(Check.AGGREGATES) == 1


def test_what_the_auditor_computes_itself_nobody_has_to_give(own_run: HonestRun) -> None:
    for number in (1, 3):
        round_ = _round(own_run, number)
        computed = (round_.aggregate_digest, round_.model_digest, round_.next_direction_digest)
        for digest in computed:
            own_run.path(digest).unlink()
    report = _report(own_run)
    assert report.passed
    assert report.withheld == ()


@pytest.mark.parametrize("name", ["initial model", "public key", "sum"])
def test_what_nobody_can_compute_is_withheld_when_it_is_missing(own_run: HonestRun, name: str) -> None:
    digests = {
        "initial model": own_run.spec.model.initial_digest,
        "public key": next(own_run.history().current(KeyEpoch)).value.public_key_digest,
        "sum": _round(own_run, 3).sum_digest,
    }
    own_run.path(str(digests[name])).unlink()
    report = _report(own_run)
    assert not report.passed
    assert digests[name] in {blob.digest for blob in report.withheld}


@pytest.mark.parametrize("seed", range(200))
def test_any_flipped_byte_of_any_blob_is_found_and_the_blob_named(told_truth: HonestRun, seed: int) -> None:
    source = random.Random(seed)
    files = sorted(path for path in (told_truth.store / "blobs").rglob("*") if path.is_file())
    path = source.choice(files)
    whole = path.read_bytes()
    place = source.randrange(len(whole))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << source.randrange(8))]) + whole[place + 1 :])
    try:
        report = _report(told_truth)
    finally:
        path.write_bytes(whole)
    assert not report.passed
    assert path.name in {failure.blob for failure in report.failures}


def test_an_altered_blob_is_used_when_another_store_has_it_whole_and_reported_nevertheless(
    own_run: HonestRun, tmp_path: Path
) -> None:
    digest = own_run.uploads[1, "beta-1"]
    copy = tmp_path / "second" / "blobs" / digest[:2] / digest
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"rotten")
    report = _report(own_run)
    assert {failure.check for failure in report.failures} == {Check.BLOBS}
    assert report.count(Check.AGGREGATES) == 2


def test_an_altered_upload_is_named_with_its_commitment(own_run: HonestRun) -> None:
    own_run.path(own_run.uploads[1, "beta-1"]).write_bytes(b"other")
    failure = _only(own_run, Check.CIPHERTEXTS)
    assert "the update of beta-1 in round 1" in failure.message
    assert "was altered" in failure.message
    assert failure.blob == own_run.uploads[1, "beta-1"]
    assert failure.transaction_id


def test_a_commitment_of_a_foreign_ciphertext_is_found(own_run: HonestRun) -> None:
    values = ARITHMETIC.quantize(own_run.spec.encryption, np.zeros(PARAMETERS, np.float32), SAMPLES["beta-1"])
    foreign = own_run.scheme.encrypt(UpdateName("another-task", 3, "beta-1"), 1, SAMPLES["beta-1"], values)
    commits = [one for one in own_run.ledger.committed if one.proposal.name == "round:CommitUpdate"]
    which = next(
        i
        for i, one in enumerate(commits)
        if any(own_run.uploads[3, "beta-1"].encode() in v for v in one.effects.writes.values())
    )
    own_run.alter(
        "round:CommitUpdate", UpdateCommitment, which, digest=own_run.put(foreign), size_bytes=len(foreign)
    )
    failure = _only(own_run, Check.CIPHERTEXTS)
    assert "committed was" in failure.message
    assert failure.blob == sha256(foreign)


def test_a_commitment_of_bytes_that_are_no_ciphertext_is_found(own_run: HonestRun) -> None:
    digest = own_run.put(b"no ciphertext")
    own_run.alter("round:CommitUpdate", UpdateCommitment, 0, digest=digest, size_bytes=13)
    assert "is refused" in _only(own_run, Check.CIPHERTEXTS).message


def test_a_commitment_of_another_size_is_found(run: HonestRun) -> None:
    run.alter("round:CommitUpdate", UpdateCommitment, 0, size_bytes=1)
    assert "committed was" in _only(run, Check.CIPHERTEXTS).message


def test_an_update_that_was_committed_and_not_delivered_may_be_missing_but_not_wrong(
    own_run: HonestRun,
) -> None:
    assert own_run.audit().failures == []
    digest = own_run.put(b"no ciphertext")
    missing = own_run.commit_number(3, "gamma-1")
    own_run.alter("round:CommitUpdate", UpdateCommitment, missing, digest=digest)
    assert _only(own_run, Check.CIPHERTEXTS).blob == digest


def test_an_aggregate_that_leaves_a_member_out_is_found_though_everybody_attested_it(
    own_run: HonestRun,
) -> None:
    members = _round(own_run, 1).members[:-1]
    wrong = own_run.scheme.aggregate([own_run.path(own_run.uploads[1, member]) for member in members])
    for name in AFTER_PROPOSAL:
        own_run.alter(name, Round, 0, aggregate_digest=own_run.put(wrong), aggregate_bytes=len(wrong))
    failure = _only(own_run, Check.AGGREGATES)
    assert failure.blob == sha256(wrong)
    assert "add up to" in failure.message


def test_a_wrong_proposal_in_an_aborted_round_is_history_not_a_failure(tmp_path: Path) -> None:
    run = HonestRun(tmp_path)
    run.begin()
    run.collect()
    proposal = {"aggregate_digest": sha256(b"wrong"), "aggregate_bytes": 9, "scores_digest": ""}
    run.in_round(node("BetaMSP", "aggregator"), "round:ProposeAggregate", **proposal)
    run.in_round(node("AlphaMSP", "coordinator"), "round:Abort", reason="nobody attests it")
    run.round()
    assert run.audit().failures == []


def test_score_ciphertexts_of_other_updates_are_found(own_run: HonestRun) -> None:
    wrong = own_run.put(b"other scores")
    for name in AFTER_PROPOSAL:
        own_run.alter(name, Round, scores_digest=wrong)
    assert _only(own_run, Check.SCORES).blob == wrong


def test_a_sum_that_disagrees_with_the_opened_scores_is_found(own_run: HonestRun) -> None:
    honest = ARITHMETIC.unpack_sum(own_run.path(_round(own_run, 3).sum_digest).read_bytes(), PARAMETERS)
    digest = _rename_sum(own_run, honest + 1)
    failure = _only(own_run, Check.ALIGNMENTS)
    assert failure.blob == digest
    assert "the key holder opened one of them wrongly" in failure.message


def test_scores_that_disagree_with_the_sum_are_found(run: HonestRun) -> None:
    def more(sheet: ScoreSheet) -> ScoreSheet:
        first, *rest = sheet.scores
        return ScoreSheet(
            sheet.task_id,
            sheet.round,
            sheet.direction_digest,
            (Score(first.participant_id, first.alignment + 1), *rest),
            sheet.posted_at,
        )

    run.rewrite("round:PostScores", ScoreSheet, more)
    assert _only(run, Check.ALIGNMENTS).transaction_id


def test_a_swapped_sum_no_longer_makes_the_published_model(own_run: HonestRun) -> None:
    honest = ARITHMETIC.unpack_sum(own_run.path(_round(own_run, 3).sum_digest).read_bytes(), PARAMETERS)
    _rename_sum(own_run, honest // 2)
    assert _only(own_run, Check.MODELS).blob == _round(own_run, 3).model_digest
    assert "make the model" in _only(own_run, Check.MODELS).message


def test_a_sum_that_no_updates_could_have_is_found(own_run: HonestRun) -> None:
    _rename_sum(own_run, np.full(PARAMETERS, 2**40, dtype=np.int64))
    assert "not a sum of updates" in _only(own_run, Check.MODELS).message


def test_a_sum_of_another_length_is_found(own_run: HonestRun) -> None:
    _rename_sum(own_run, np.zeros(PARAMETERS + 1, dtype=np.int64))
    messages = [failure.message for failure in own_run.audit().failures if failure.check is Check.SUMS]
    assert any("another length" in message for message in messages)


def test_a_model_that_is_not_base_plus_sum_is_found(own_run: HonestRun) -> None:
    other = own_run.put(ARITHMETIC.pack_model(np.ones(PARAMETERS, dtype=np.float32)))
    for transaction in ("round:PublishModel", "reward:Settle"):
        own_run.alter(transaction, Round, model_digest=other)
    own_run.alter("round:PublishModel", ModelRecord, digest=other)
    own_run.reask("round:PublishModel", model_digest=other)
    failures = own_run.audit().failures
    assert {failure.check for failure in failures} == {Check.MODELS}
    assert failures[0].blob == other


def test_a_direction_that_is_not_of_the_sum_is_found(own_run: HonestRun) -> None:
    other = own_run.put(ARITHMETIC.pack_direction(np.ones(PARAMETERS, dtype=np.int8)))
    for transaction in ("round:PublishModel", "reward:Settle"):
        own_run.alter(transaction, Round, next_direction_digest=other)
    own_run.alter("round:PublishModel", ModelRecord, direction_digest=other)
    own_run.reask("round:PublishModel", direction_digest=other)
    failures = own_run.audit().failures
    assert {failure.check for failure in failures} == {Check.DIRECTIONS}
    assert failures[0].blob == other


# --- stores -----------------------------------------------------------------------------------------


def test_a_file_in_a_store_that_is_nobodys_blob_is_reported(own_run: HonestRun) -> None:
    (own_run.store / "blobs" / "note.txt").write_text("hello")
    failure = _only(own_run, Check.BLOBS)
    assert failure.message == "blobs/note.txt lies in a blob store and is named by no digest"


def test_a_link_in_a_store_is_not_a_blob(own_run: HonestRun) -> None:
    digest = own_run.uploads[1, "beta-1"]
    place = own_run.path(digest)
    place.rename(own_run.store / "elsewhere")
    place.symlink_to(own_run.store / "elsewhere")
    assert "not a regular file" in _only(own_run, Check.BLOBS).message


def test_messages_name_no_machine(own_run: HonestRun) -> None:
    own_run.path(own_run.uploads[1, "beta-1"]).write_bytes(b"other")
    text = "\n".join(str(failure) for failure in own_run.audit().failures)
    assert str(own_run.store) not in text


def test_partly_received_blobs_are_not_taken_for_blobs(own_run: HonestRun) -> None:
    (own_run.store / "incoming").mkdir()
    (own_run.store / "incoming" / "half.part").write_bytes(b"half")
    assert own_run.audit().failures == []


def test_the_same_store_may_be_given_itself_or_through_its_parents(own_run: HonestRun) -> None:
    for directory in (own_run.store, own_run.store.parent, own_run.store / "blobs"):
        assert DirectoryFinder([directory]).find(own_run.uploads[1, "beta-1"])


def test_a_directory_that_is_not_there_holds_no_blobs(tmp_path: Path) -> None:
    finder = DirectoryFinder([tmp_path / "nothing"])
    assert list(finder.files()) == []
    assert not Blobs(finder, Findings()).has(sha256(b""))


def test_the_report_is_the_same_for_two_auditors_who_saw_the_same(told_truth: HonestRun) -> None:
    first, second = _report(told_truth), _report(told_truth)
    assert first == second
    assert first.digest == second.digest
    assert first.to_json()["passed"] is True
