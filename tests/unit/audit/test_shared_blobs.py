"""What the blobs of a joint key show: key shares, dealings, masks, zeros and decryption shares, made use of again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bfl_chaincode.api.records import (
    DecryptionShare,
    KeyCommitment,
    KeyReveal,
    ModelRecord,
    Round,
    ScoreSheet,
    ShareOffer,
    ShareSubject,
    UpdateCommitment,
)
from bfl_fabric.audit.blobs import DirectoryFinder
from bfl_fabric.audit.chain import Chain
from bfl_fabric.audit.findings import AuditReport, Check, Failure, Findings
from bfl_fabric.audit.verify import AuditOptions, check_history, make_report
from bfl_fabric.testing.scheme import PlainProvider
from tests.chaincode.scenario import TASK
from tests.unit.audit.honest_run import ARITHMETIC, PARAMETERS, HonestRun, sha256
from tests.unit.audit.shared_run import SharedRun

FOREIGN = sha256(b"foreign")


def _report(run: HonestRun, *, allow_missing: bool = False) -> AuditReport:
    findings = Findings()
    history = run.history(findings)
    check_history(history, DirectoryFinder([run.store]), run.provider, ARITHMETIC, findings)
    options = AuditOptions(allow_missing=allow_missing)
    return make_report(Chain(history=history, hashes=bytearray(32)), "11", options, findings)


def _only(run: HonestRun, check: Check) -> Failure:
    failures = [failure for failure in run.audit().failures if failure.check is check]
    assert failures
    return failures[0]


def _all_of(run: HonestRun, kind: type, *prefix: str | int) -> list[Any]:
    found: list[Any] = run.history().current(kind, TASK, *prefix)
    return [one.value for one in found]


def _share(run: HonestRun, attempt: int, subject: ShareSubject, which: int = 0, number: int = 3) -> Any:
    return _all_of(run, DecryptionShare, number, attempt, subject.value)[which]


@contextmanager
def _hidden(path: Path) -> Iterator[None]:
    aside = path.rename(path.parents[3] / "aside")
    try:
        yield
    finally:
        aside.rename(path)


# --- joint keys -------------------------------------------------------------------------------------


def test_a_key_share_that_does_not_belong_to_the_joint_key_is_found(own_shared: SharedRun) -> None:
    """Commitment, reveal and requests all agree on it: only the sum of the shares shows it."""
    other = own_shared.put(b'{"member":"GammaMSP","share":"another"}')
    size = own_shared.path(other).stat().st_size
    own_shared.alter("key:CommitKeyShare", KeyCommitment, share_digest=other, share_bytes=size)
    own_shared.reask("key:CommitKeyShare", share_digest=other, share_bytes=size)
    own_shared.reask("key:RevealKeyShare", share_digest=other)
    failures = own_shared.audit().failures
    assert {failure.check for failure in failures} == {Check.JOINT_KEYS}
    assert "add up to" in failures[0].message
    assert "not to the confirmed key" in failures[0].message


@pytest.mark.parametrize("kind", ["key share", "dealing"])
def test_what_a_ceremony_made_its_key_of_is_withheld_when_it_is_missing(
    shared_truth: SharedRun, kind: str
) -> None:
    if kind == "key share":
        digest = _all_of(shared_truth, KeyCommitment, 3)[0].share_digest
    else:
        digest = _all_of(shared_truth, KeyReveal, 3)[0].dealing_digest
    with _hidden(shared_truth.path(digest)):
        report = _report(shared_truth)
    assert not report.passed
    assert report.failures == ()
    assert {blob.digest: blob.subject for blob in report.withheld} == {
        digest: f"the {kind} of AlphaMSP in ceremony 3 of task cancer"
    }


def test_of_a_failed_ceremony_blobs_may_be_missing_but_not_wrong(own_shared: SharedRun) -> None:
    share, other = _all_of(own_shared, KeyCommitment, 1)[:2]
    own_shared.path(share.share_digest).unlink()
    assert own_shared.audit().failures == []
    assert own_shared.audit().withheld == {}
    own_shared.alter("key:CommitKeyShare", KeyCommitment, 1, share_bytes=1)
    own_shared.reask("key:CommitKeyShare", 1, share_bytes=1)
    failure = _only(own_shared, Check.JOINT_KEYS)
    assert failure.blob == other.share_digest
    assert "another length" in failure.message


def test_a_dealing_of_another_length_is_found(shared: HonestRun) -> None:
    shared.alter("key:RevealKeyShare", KeyReveal, dealing_bytes=1)
    shared.reask("key:RevealKeyShare", dealing_bytes=1)
    assert "the dealing of GammaMSP" in _only(shared, Check.JOINT_KEYS).message


def test_a_joint_key_blob_that_is_none_is_found(own_shared: SharedRun) -> None:
    path = own_shared.path(sha256(own_shared.joint_keys[3]))
    path.write_bytes(b"{}")
    assert (
        "the public key of task cancer, epoch 3 was altered" in _only(own_shared, Check.CIPHERTEXTS).message
    )


def test_an_audit_that_knows_no_joint_keys_does_not_pass(shared: HonestRun) -> None:
    class Single:
        public = PlainProvider("audit").public

    shared.provider = Single()
    messages = [failure.message for failure in shared.audit().failures]
    assert any("knows no joint keys" in message for message in messages)


def test_an_audit_that_cannot_add_key_shares_does_not_pass(shared: HonestRun) -> None:
    plain = PlainProvider("audit")

    class Adderless:
        public, joint = plain.public, plain.joint

    shared.provider = Adderless()
    failures = shared.audit().failures
    assert {failure.check for failure in failures} == {Check.JOINT_KEYS}
    assert len(failures) == 2
    assert "cannot add key shares up" in failures[0].message


# --- masks ------------------------------------------------------------------------------------------


def test_a_mask_of_another_update_is_found_though_everybody_agrees_on_it(own_shared: SharedRun) -> None:
    updates = {one.participant_id: one for one in _all_of(own_shared, UpdateCommitment, 3)}
    other = updates["beta-1"].mask_digest
    which = own_shared.commit_number(3, "alpha-1")
    own_shared.alter("round:CommitUpdate", UpdateCommitment, which, mask_digest=other)
    own_shared.reask("round:CommitUpdate", which, mask_digest=other)
    failure = _only(own_shared, Check.MASKS)
    assert "the mask of alpha-1 in round 3" in failure.message
    assert failure.blob == other


def test_a_mask_of_another_length_is_found(shared: HonestRun) -> None:
    which = shared.commit_number(3, "alpha-1")
    shared.alter("round:CommitUpdate", UpdateCommitment, which, mask_bytes=1)
    shared.reask("round:CommitUpdate", which, mask_bytes=1)
    assert "the mask of alpha-1 in round 3" in _only(shared, Check.MASKS).message


def test_masks_are_taken_out_of_the_updates_and_nobody_has_to_give_them(own_shared: SharedRun) -> None:
    for update in _all_of(own_shared, UpdateCommitment):
        own_shared.path(update.mask_digest).unlink(missing_ok=True)
    report = _report(own_shared)
    assert report.passed
    assert report.withheld == ()


def test_an_active_set_that_agreed_on_other_masks_is_found(shared: HonestRun) -> None:
    for which in range(5):
        shared.alter("opening:Offer", ShareOffer, which, mask_digest=FOREIGN)
        shared.reask("opening:Offer", which, mask_digest=FOREIGN)
    failures = shared.audit().failures
    assert {failure.check for failure in failures} == {Check.MASKS}
    assert "for other masks than those that were committed" in failures[0].message
    assert failures[0].blob == FOREIGN


def test_an_offer_of_other_masks_outside_the_active_set_is_no_failure(shared: HonestRun) -> None:
    shared.alter("opening:Offer", ShareOffer, 4, mask_digest=FOREIGN)
    shared.reask("opening:Offer", 4, mask_digest=FOREIGN)
    assert shared.audit().failures == []


# --- shares -----------------------------------------------------------------------------------------


def _rename_sum(run: SharedRun, total: np.ndarray) -> str:
    """Release another sum in the last round, in all records that name it, and all that follows from it."""
    data = ARITHMETIC.pack_sum(total)
    digest = run.put(data)
    for transaction in ("round:ReleaseShare", "round:PublishModel", "reward:Settle"):
        run.alter(transaction, Round, sum_digest=digest)
    run.alter("round:PublishModel", ModelRecord, sum_digest=digest)
    run.reask("round:ReleaseShare", sum_digest=digest)
    return digest


def test_a_sum_that_the_shares_do_not_give_is_found(own_shared: SharedRun) -> None:
    round_ = _all_of(own_shared, Round, 3)[0]
    honest = ARITHMETIC.unpack_sum(own_shared.path(round_.sum_digest).read_bytes(), PARAMETERS)
    digest = _rename_sum(own_shared, honest + np.eye(1, PARAMETERS, dtype=np.int64)[0])
    failure = _only(own_shared, Check.SHARES)
    assert failure.blob == digest
    assert "not the released one" in failure.message
    release = [one for one in own_shared.ledger.committed if one.proposal.name == "round:ReleaseShare"][-1]
    assert failure.transaction_id == release.proposal.tx_id


def test_the_released_sum_is_made_of_the_shares_and_nobody_has_to_give_it(own_shared: SharedRun) -> None:
    for number in (1, 3):
        own_shared.path(_all_of(own_shared, Round, number)[0].sum_digest).unlink()
    report = _report(own_shared)
    assert report.passed
    assert report.withheld == ()


def test_a_score_that_the_shares_do_not_give_is_found(shared: HonestRun) -> None:
    def more(sheet: ScoreSheet) -> ScoreSheet:
        first, *rest = sheet.scores
        return replace(sheet, scores=(replace(first, alignment=first.alignment + 1), *rest))

    sheet = more(_all_of(shared, ScoreSheet, 3)[0])
    shared.rewrite("round:PostScores", ScoreSheet, more)
    scores = [{"participant_id": one.participant_id, "alignment": one.alignment} for one in sheet.scores]
    shared.reask("round:PostScores", scores=scores)
    failure = _only(shared, Check.SHARES)
    assert f"the score of {sheet.scores[0].participant_id} in round 3" in failure.message


@pytest.mark.parametrize("subject", list(ShareSubject))
def test_a_share_that_does_not_open_is_found_and_its_holder_named(
    own_shared: SharedRun, subject: ShareSubject
) -> None:
    """The share of the first attempt, or of another subject, posted again in the second."""
    mine = {ShareSubject.SCORES: 6, ShareSubject.SUM: 9}[subject]
    other = _share(own_shared, 1, ShareSubject.SCORES, 1)
    size = own_shared.path(other.digest).stat().st_size
    changes = {"digest": other.digest, "size_bytes": size}
    own_shared.alter("opening:PostShares", DecryptionShare, mine, **changes)
    own_shared.reask("opening:PostShares", mine, "shares", **changes)
    failure = _only(own_shared, Check.SHARES)
    assert "the share of DeltaMSP" in failure.message
    assert f"the shares do not open the {subject}" in failure.message.replace("score ", "scores ")


@pytest.mark.parametrize("subject", list(ShareSubject))
def test_a_share_that_a_result_stands_on_is_withheld_when_it_is_missing(
    shared_truth: SharedRun, subject: ShareSubject
) -> None:
    share = _share(shared_truth, 2, subject)
    with _hidden(shared_truth.path(share.digest)):
        report, lenient = _report(shared_truth), _report(shared_truth, allow_missing=True)
    assert not report.passed
    assert report.failures == ()
    assert [blob.digest for blob in report.withheld] == [share.digest]
    assert "share of AlphaMSP in attempt 2 of round 3" in report.withheld[0].subject
    assert lenient.passed
    assert lenient.count(Check.SHARES) == 2


def test_a_zero_that_a_sum_stands_on_is_withheld_when_it_is_missing(shared_truth: SharedRun) -> None:
    offers = {one.msp_id: one for one in _all_of(shared_truth, ShareOffer, 3, 2)}
    with _hidden(shared_truth.path(offers["DeltaMSP"].zero_digest)):
        report = _report(shared_truth)
    assert [blob.subject for blob in report.withheld] == [
        "the zero of DeltaMSP in attempt 2 of round 3 of task cancer"
    ]
    with _hidden(shared_truth.path(offers["GammaMSP"].zero_digest)):
        assert _report(shared_truth).passed


def test_a_zero_swapped_for_another_does_not_open_the_sum(own_shared: SharedRun) -> None:
    zero = own_shared.zero(2, "DeltaMSP")
    which = 2
    own_shared.alter("opening:Offer", ShareOffer, which, zero_digest=own_shared.put(zero))
    own_shared.reask("opening:Offer", which, zero_digest=sha256(zero))
    assert "the shares do not open the sum of round 3" in _only(own_shared, Check.SHARES).message


def test_shares_of_an_attempt_that_led_to_nothing_may_be_missing_but_not_wrong(own_shared: SharedRun) -> None:
    share = _share(own_shared, 1, ShareSubject.SCORES)
    own_shared.alter("opening:PostShares", DecryptionShare, 3, size_bytes=1)
    own_shared.reask("opening:PostShares", 3, "shares", size_bytes=1)
    failure = _only(own_shared, Check.SHARES)
    assert failure.blob == share.digest
    own_shared.path(share.digest).unlink()
    assert own_shared.audit().failures == []
    assert own_shared.audit().withheld == {}


def test_without_updates_the_sum_is_still_made_of_the_given_aggregate_and_the_shares(
    own_shared: SharedRun,
) -> None:
    own_shared.path(own_shared.uploads[1, "beta-1"]).unlink()
    report = _report(own_shared, allow_missing=True)
    assert report.passed
    assert report.count(Check.SHARES) == 3
    own_shared.path(_all_of(own_shared, Round, 1)[0].aggregate_digest).unlink()
    report = _report(own_shared, allow_missing=True)
    assert report.passed
    assert report.count(Check.SHARES) == 2


@pytest.mark.parametrize("seed", range(60))
def test_any_flipped_byte_of_any_blob_of_a_joint_key_is_found(shared_truth: SharedRun, seed: int) -> None:
    source = random.Random(seed)
    files = sorted(path for path in (shared_truth.store / "blobs").rglob("*") if path.is_file())
    path = source.choice(files)
    whole = path.read_bytes()
    place = source.randrange(len(whole))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << source.randrange(8))]) + whole[place + 1 :])
    try:
        report = _report(shared_truth)
    finally:
        path.write_bytes(whole)
    assert not report.passed
    assert path.name in {failure.blob for failure in report.failures}


def test_an_audit_leaves_no_files_behind(shared: HonestRun, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert shared.audit().failures == []
    assert list(tmp_path.iterdir()) == []
