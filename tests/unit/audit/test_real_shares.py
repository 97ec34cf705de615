"""The audit of joint and packed keys with the product's own encryption, all of it in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bfl_chaincode.api.records import (
    DecryptionShare,
    KeyCommitment,
    Round,
    ScoreSheet,
    ShareSubject,
)
from bfl_fabric.audit.findings import Check
from bfl_fabric.domain.ports import CeremonyPlan
from bfl_fabric.he.provider import EncryptionSchemes, parameters_digest
from tests.chaincode.scenario import TASK
from tests.chaincode.shared_scenario import MEMBERS, THRESHOLD
from tests.unit.audit.honest_run import ARITHMETIC, PARAMETERS, HonestRun
from tests.unit.audit.shared_run import PackedRun, SharedRun
from tests.unit.he.packed.samples import InProcess


class EncryptedRun(SharedRun):
    """A shorter run under a joint key, encrypted: one ceremony, two rounds, the second opened in two attempts."""

    def __init__(self, store: Path, schemes: EncryptionSchemes) -> None:
        super().__init__(store, encryption__parameters_digest=parameters_digest("threshold"))
        self.provider: Any = schemes

    def _open_key(self) -> None:
        self.hold_ceremony(1, MEMBERS)

    def whole(self) -> SharedRun:
        self.begin()
        self.round()
        self.round("gamma-1")
        self.end()
        self.close()
        return self


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedRun]:
    schemes = EncryptionSchemes(start=InProcess)
    yield EncryptedRun(tmp_path_factory.mktemp("encrypted"), schemes).whole()
    schemes.close()


@pytest.fixture
def encrypted(truth: SharedRun) -> HonestRun:
    """A run whose records may be rewritten; blobs may be added."""
    return truth.copy()


def _swap_share(run: HonestRun, which: int, data: bytes) -> None:
    """Have the ledger name another share than was posted, everywhere."""
    changes = {"digest": run.put(data), "size_bytes": len(data)}
    run.alter("opening:PostShares", DecryptionShare, which, **changes)
    run.reask("opening:PostShares", which, "shares", **changes)


def _share(run: HonestRun, attempt: int, subject: ShareSubject) -> bytes:
    found = run.history().find(DecryptionShare, TASK, 2, attempt, subject.value, "AlphaMSP")
    assert found is not None
    return run.path(found.value.digest).read_bytes()


def _messages(run: HonestRun, check: Check) -> list[str]:
    return [failure.message for failure in run.audit().failures if failure.check is check]


def test_a_run_under_a_real_joint_key_passes(truth: SharedRun) -> None:
    findings = truth.audit()
    assert findings.failures == []
    assert findings.withheld == {}
    assert findings.counts[Check.CIPHERTEXTS] == 7
    assert findings.counts[Check.MASKS] == 9
    assert findings.counts[Check.SHARES] == 3
    assert findings.counts[Check.JOINT_KEYS] == 11


def test_a_real_key_share_of_another_ceremony_does_not_make_the_joint_key(
    encrypted: HonestRun, tmp_path: Path
) -> None:
    plan = CeremonyPlan(TASK, 1, MEMBERS, THRESHOLD, "AlphaMSP")
    part = encrypted.provider.ceremony(encrypted.spec.encryption, plan, tmp_path / "other.key")
    share = part.key_share()
    part.close()
    changes = {"share_digest": encrypted.put(share), "share_bytes": len(share)}
    encrypted.alter("key:CommitKeyShare", KeyCommitment, 0, **changes)
    encrypted.reask("key:CommitKeyShare", 0, **changes)
    encrypted.reask("key:RevealKeyShare", 0, share_digest=changes["share_digest"])
    assert ["not to the confirmed key" in text for text in _messages(encrypted, Check.JOINT_KEYS)] == [True]


def test_real_shares_open_no_other_sum(encrypted: HonestRun) -> None:
    round_ = encrypted.history().find(Round, TASK, 2)
    assert round_ is not None
    honest = ARITHMETIC.unpack_sum(encrypted.path(round_.value.sum_digest).read_bytes(), PARAMETERS)
    digest = encrypted.put(ARITHMETIC.pack_sum(honest + np.eye(1, PARAMETERS, dtype=np.int64)[0]))
    for transaction in ("round:ReleaseShare", "round:PublishModel", "reward:Settle"):
        encrypted.alter(transaction, Round, sum_digest=digest)
    assert any("not the released one" in text for text in _messages(encrypted, Check.SHARES))


def test_real_shares_open_no_other_score(encrypted: HonestRun) -> None:
    def more(sheet: ScoreSheet) -> ScoreSheet:
        first, *rest = sheet.scores
        return replace(sheet, scores=(replace(first, alignment=first.alignment + 1), *rest))

    encrypted.rewrite("round:PostScores", ScoreSheet, more)
    assert any("the score of alpha-1 in round 2" in text for text in _messages(encrypted, Check.SHARES))


@pytest.mark.parametrize(("subject", "which"), [(ShareSubject.SCORES, 5), (ShareSubject.SUM, 8)])
def test_a_real_share_with_other_numbers_in_it_does_not_open(
    encrypted: HonestRun, subject: ShareSubject, which: int
) -> None:
    share = _share(encrypted, 2, subject)
    _swap_share(encrypted, which, share[:-1] + bytes([share[-1] ^ 1]))
    found = _messages(encrypted, Check.SHARES)
    assert len(found) == 1
    assert "the shares" in found[0] or "the score of" in found[0]


def test_a_real_share_of_the_attempt_before_does_not_open(encrypted: HonestRun) -> None:
    _swap_share(encrypted, 5, _share(encrypted, 1, ShareSubject.SCORES))
    (found,) = _messages(encrypted, Check.SHARES)
    assert "the share of AlphaMSP" in found


class PackedEncryptedRun(PackedRun):
    """The run under a packed key, encrypted."""

    def __init__(self, store: Path, schemes: EncryptionSchemes) -> None:
        super().__init__(store, encryption__parameters_digest=parameters_digest("packed"))
        self.provider: Any = schemes


def test_a_run_under_a_real_packed_key_passes(tmp_path: Path) -> None:
    schemes = EncryptionSchemes(start=InProcess)
    try:
        run = PackedEncryptedRun(tmp_path, schemes).whole()
        run.opener.close()
        findings = run.audit()
    finally:
        schemes.close()
    assert findings.failures == []
    assert findings.withheld == {}
    assert findings.counts[Check.GRANTS] == 4
    assert findings.counts[Check.SCORES] == 3
