"""The terms of a task: which scheme, whose key, how many must open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bfl_chaincode.api.records import (
    KeyGrant,
    ModelTerms,
    Registration,
    RoleTerms,
    RoundView,
    TaskStatus,
    Tensor,
)
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.sdk.task import missing_for_start
from bfl_fabric.sdk.terms import TaskTerms, load_terms, require_scheme
from tests.unit.roles.rounds import key_epoch, task
from tests.unit.roles.test_key_holder import packed

MODEL = ModelTerms("linear", (Tensor("w", (3,)),), 3, "0" * 64)
FIVE = ("A", "B", "C", "D", "E")


def terms(**changes: object) -> TaskTerms:
    return TaskTerms(task_id="t", title="T", **changes)  # type: ignore[arg-type]


def test_a_single_key_has_no_threshold_and_the_default_share_time_leaves_no_trace() -> None:
    spec = terms().spec(MODEL, RoleTerms("A", "B", "C"), 3, "1" * 64)
    assert spec.encryption.threshold == 0
    assert spec.schedule.share_seconds == 60


@pytest.mark.parametrize(("members", "threshold"), [(FIVE[:2], 2), (FIVE[:3], 2), (FIVE[:4], 3), (FIVE, 3)])
def test_a_shared_key_is_opened_by_a_majority_unless_the_terms_say_otherwise(
    members: tuple[str, ...], threshold: int
) -> None:
    roles = RoleTerms("A", "B", "", members)
    assert terms(scheme="threshold").spec(MODEL, roles, 5, "1" * 64).encryption.threshold == threshold
    chosen = terms(scheme="threshold", threshold=2, share_seconds=7).spec(MODEL, roles, 5, "1" * 64)
    assert chosen.encryption.threshold == 2
    assert chosen.schedule.share_seconds == 7


def test_key_members_can_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "terms.toml"
    path.write_text(
        'task_id = "t"\ntitle = "T"\nscheme = "threshold"\nkey_members = ["A", "B"]\nthreshold = 2\n', "utf-8"
    )
    assert load_terms(path) == terms(scheme="threshold", key_members=("A", "B"), threshold=2)


@pytest.mark.parametrize(
    ("line", "objection"),
    [
        ("roundz = 3", "roundz: unknown key"),
        ('rounds = "3"', "rounds: "),
        ("key_members = [1]", "key_members.0: "),
    ],
)
def test_a_file_with_a_wrong_key_or_type_names_it(tmp_path: Path, line: str, objection: str) -> None:
    path = tmp_path / "terms.toml"
    path.write_text(f'task_id = "t"\ntitle = "T"\n{line}\n', "utf-8")
    with pytest.raises(ConfigurationError, match=objection):
        load_terms(path)


def test_an_unknown_scheme_is_named_with_the_known_ones() -> None:
    for word in ("ckks", "packed", "threshold"):
        require_scheme(word)
    with pytest.raises(ConfigurationError, match="ckks, packed, threshold"):
        require_scheme("rot13")


# --- what a task waits for before it starts -------------------------------------------------------


def registered(count: int, view: RoundView) -> RoundView:
    rows = tuple(Registration("wine", f"s-{number}", "A", 1, 0) for number in range(count))
    return replace(view, registrations=rows)


def test_a_task_starts_when_all_are_registered_and_the_key_is_made() -> None:
    published = RoundView(task(TaskStatus.PUBLISHED), None, None)
    assert missing_for_start(registered(1, published), 2) == "1 of 2 participants registered"
    assert missing_for_start(registered(2, published), 2) == "its key is not made"
    made = RoundView(task(TaskStatus.PUBLISHED), key_epoch(), None)
    assert missing_for_start(registered(2, made), 2) is None


def test_a_packed_task_starts_when_every_silo_was_given_the_key() -> None:
    one = (KeyGrant("wine", 1, "s-0", "0" * 64, 1, 0),)
    assert missing_for_start(registered(2, packed(grants=one)), 2) == "1 of 2 participants were given the key"
    both = (*one, KeyGrant("wine", 1, "s-1", "0" * 64, 1, 0))
    assert missing_for_start(registered(2, packed(grants=both)), 2) is None
