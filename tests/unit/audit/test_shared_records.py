"""Every check of keys that several hold, and of granted ones, finds the lie that it is there for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bfl_chaincode.api.records import Ceremony, CeremonyStatus
from bfl_fabric.audit.ceremonies import Said, excluded, expected_end
from bfl_fabric.audit.findings import Check
from tests.unit.audit import lies_of_grants, lies_of_keys, lies_of_openings
from tests.unit.audit.honest_run import HonestRun
from tests.unit.audit.shared_run import SharedRun

LIES = {**lies_of_keys.LIES, **lies_of_openings.LIES}
KEY_CHECKS = {Check.CEREMONIES, Check.JOINT_KEYS, Check.MASKS, Check.OPENINGS, Check.SHARES}


def test_an_honest_run_under_a_joint_key_has_no_failure(shared_truth: SharedRun) -> None:
    findings = shared_truth.audit()
    assert findings.failures == []
    assert findings.withheld == {}
    assert {check for check in KEY_CHECKS if not findings.counts[check]} == set()
    assert not findings.counts[Check.SCORES]
    assert findings.counts[Check.SHARES] == 3


def test_an_honest_run_under_a_packed_key_has_no_failure(packed_truth: HonestRun) -> None:
    findings = packed_truth.audit()
    assert findings.failures == []
    assert findings.withheld == {}
    assert findings.counts[Check.GRANTS] == 4
    assert not any(findings.counts[check] for check in KEY_CHECKS)


@pytest.mark.parametrize("lie", LIES)
def test_the_audit_finds(lie: str, shared: HonestRun) -> None:
    _must_find(shared, *LIES[lie])


@pytest.mark.parametrize("lie", lies_of_grants.LIES)
def test_the_audit_finds_under_a_packed_key(lie: str, packed: HonestRun) -> None:
    _must_find(packed, *lies_of_grants.LIES[lie])


def _must_find(run: HonestRun, tell: Any, check: Check, words: str) -> None:
    tell(run)
    found = [failure for failure in run.audit().failures if failure.check is check]
    assert any(words in failure.message for failure in found), found
    assert all(failure.transaction_id or failure.blob for failure in found)


# --- how ceremonies end -----------------------------------------------------------------------------

NAMES = ("A", "B", "C", "D", "E")
OPENED = Ceremony("t", 1, NAMES, 3, "p", CeremonyStatus.OPEN, "A", 0, 1000, 0)
ALL = Said(dict.fromkeys(NAMES, "s"), frozenset(NAMES), dict.fromkeys(NAMES, ("k", 8)), frozenset())


def _end(at: int = 500, **changes: Any) -> Ceremony | None:
    return expected_end(OPENED, replace(ALL, **changes), at)


def test_a_ceremony_that_all_confirm_closes_with_their_key() -> None:
    end = _end()
    assert end is not None
    assert (end.status, end.joint_key_digest, end.excluded) == (CeremonyStatus.CLOSED, "k", ())


def test_a_ceremony_waits_until_its_deadline_for_what_is_missing() -> None:
    keys = dict.fromkeys(NAMES[:4], ("k", 8))
    assert _end(999, keys=keys) is None
    end = _end(1000, keys=keys)
    assert end is not None
    assert (end.status, end.excluded) == (CeremonyStatus.FAILED, ("E",))
    assert end.reason == "E did not confirm before the deadline"


@pytest.mark.parametrize(
    ("committed", "revealed", "late", "step"),
    [("ABC", "", ("D", "E"), "commit"), ("ABCDE", "ABD", ("C", "E"), "reveal")],
)
def test_whoever_has_not_done_the_step_is_named(
    committed: str, revealed: str, late: tuple[str, ...], step: str
) -> None:
    end = _end(2000, committed=dict.fromkeys(committed, "s"), revealed=frozenset(revealed), keys={})
    assert end is not None
    assert end.excluded == late
    assert step in end.reason


def test_threshold_complaints_name_the_accused_before_the_deadline() -> None:
    few = frozenset({("A", "E"), ("B", "E")})
    keys = {"D": ("k", 8)}
    assert _end(500, keys=keys, complaints=few) is None
    end = _end(500, keys=keys, complaints=few | {("C", "E")})
    assert end is not None
    assert (end.excluded, end.reason) == (("E",), "complaints about E")


def test_a_key_that_all_confirm_is_made_in_spite_of_complaints() -> None:
    end = _end(complaints=frozenset({("A", "E"), ("B", "E"), ("C", "E")}))
    assert end is not None
    assert end.status is CeremonyStatus.CLOSED


def test_who_states_another_key_than_most_is_named_and_nobody_without_a_majority() -> None:
    split = {**ALL.keys, "C": ("other", 8)}
    end = _end(keys=split)
    assert end is not None
    assert (end.status, end.excluded) == (CeremonyStatus.FAILED, ("C",))
    even = {"A": ("1", 8), "B": ("1", 8), "C": ("2", 8), "D": ("2", 8), "E": ("3", 8)}
    end = _end(keys=even)
    assert end is not None
    assert (end.status, end.excluded) == (CeremonyStatus.FAILED, ())


def test_complaints_that_are_too_few_end_a_ceremony_at_its_deadline_without_a_name() -> None:
    keys = dict.fromkeys(NAMES[:4], ("k", 8))
    end = _end(1000, keys=keys, complaints=frozenset({("E", "A")}))
    assert end is not None
    assert (end.excluded, end.reason) == ((), "too few complain and not all confirm before the deadline")


def test_exclusion_lasts_until_a_key_was_made() -> None:
    failed = replace(OPENED, status=CeremonyStatus.FAILED, excluded=("E",))
    closed = replace(OPENED, status=CeremonyStatus.CLOSED)
    assert excluded([failed, replace(failed, excluded=("B",))]) == {"B", "E"}
    assert excluded([failed, closed]) == set()
