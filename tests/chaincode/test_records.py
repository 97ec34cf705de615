"""Records keep their form: what older ledgers hold is read, and written again as it was."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bfl_chaincode.api import canonical, records
from bfl_chaincode.api.records import (
    KeyEpoch,
    Registration,
    RoleTerms,
    TaskSpec,
    UpdateCommitment,
    from_json,
    to_json,
)
from bfl_chaincode.keys import LAYOUT
from tests.chaincode.scenario import spec

OLD: list[tuple[type, dict[str, Any]]] = [
    (TaskSpec, spec()),
    (
        KeyEpoch,
        {
            "task_id": "cancer",
            "epoch": 1,
            "msp_id": "GammaMSP",
            "parameters_digest": "a" * 64,
            "public_key_digest": "b" * 64,
            "public_key_bytes": 5,
            "opened_at": 7,
        },
    ),
    (
        Registration,
        {"task_id": "cancer", "participant_id": "a", "msp_id": "A", "samples": 1, "registered_at": 2},
    ),
    (
        UpdateCommitment,
        {
            "task_id": "cancer",
            "round": 1,
            "participant_id": "a",
            "msp_id": "A",
            "digest": "c" * 64,
            "size_bytes": 3,
            "weight": 1,
            "committed_at": 2,
            "transaction_id": "d" * 64,
        },
    ),
]


@pytest.mark.parametrize(("kind", "value"), OLD, ids=lambda item: getattr(item, "__name__", ""))
def test_a_record_of_an_older_ledger_keeps_its_bytes(kind: type, value: dict[str, Any]) -> None:
    record = from_json(kind, value)
    assert canonical.dump(to_json(record)) == canonical.dump(value)


def test_the_digest_of_a_spec_that_was_agreed_before_shared_keys_holds() -> None:
    assert canonical.digest(to_json(from_json(TaskSpec, spec()))) == canonical.digest(spec())


def test_a_field_that_was_added_is_read_with_its_default_and_written_without_it() -> None:
    plain = {"coordinator": "A", "aggregator": "B", "key_holder": "C"}
    assert from_json(RoleTerms, {**plain, "key_members": []}) == from_json(RoleTerms, plain)
    assert to_json(RoleTerms("A", "B", "C")) == plain
    shared = RoleTerms("A", "B", "", ("A", "B"))
    assert to_json(shared) == {**plain, "key_holder": "", "key_members": ["A", "B"]}
    assert from_json(RoleTerms, to_json(shared)) == shared


def test_the_holders_of_a_key_are_its_members_or_the_one_that_has_it() -> None:
    assert RoleTerms("A", "B", "C").key_holders == ("C",)
    assert RoleTerms("A", "B", "", ("A", "C")).key_holders == ("A", "C")


def test_everything_that_the_package_offers_is_in_its_list_and_every_record_is_frozen() -> None:
    for name in records.__all__:
        assert hasattr(records, name)
    for kind in LAYOUT:
        assert kind.__name__ in records.__all__
        assert dataclasses.is_dataclass(kind)
        assert hasattr(kind, "__slots__")
        first = dataclasses.fields(kind)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(object.__new__(kind), first, "x")
