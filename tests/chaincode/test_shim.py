"""The borders: keys as Fabric writes them, the state's order of reads and writes, and a call that always answers."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fabric_chaincode_python.fabric_shim.interfaces import ChaincodeStubInterface
from hypothesis import given
from hypothesis import strategies as st

import bfl_chaincode
from bfl_chaincode import commands
from bfl_chaincode.api import records, refusals
from bfl_chaincode.api.records import Entry, Federation, TaskSpec, from_json, to_json
from bfl_chaincode.commands import limits_of
from bfl_chaincode.contracts.federation import FederationContract
from bfl_chaincode.keys import LAYOUT, key_of
from bfl_chaincode.limits import SPEC_LIMITS
from bfl_chaincode.main import CONTRACTS, TRANSACTIONS, build_chaincode, invoke
from bfl_chaincode.shim.contract_api import TransactionContext
from bfl_chaincode.shim.stub import ChaincodeStub, InvalidKey, Response
from bfl_chaincode.world_state import WorldState
from tests.chaincode.memory_stub import MemoryStub, Proposal, Refused, Timestamp, Version, run
from tests.chaincode.scenario import MORNING, TASK, admin, at, spec
from tests.chaincode.shared_scenario import SHARED_TERMS

PARTS = st.text(st.characters(exclude_characters="\x00\U0010ffff", exclude_categories=("Cs",)), min_size=1)


def stub(name: str = "federation:GetFederation", state: dict[str, Version] | None = None) -> MemoryStub:
    return MemoryStub(state or {}, {}, Proposal(admin("AlphaMSP"), name, ("{}",), MORNING, "0" * 64))


# --- composite keys -------------------------------------------------------------------------------


def test_a_composite_key_has_fabrics_bytes() -> None:
    assert (
        stub().create_composite_key("round", ["cancer", "00000001"]) == "\x00round\x00cancer\x0000000001\x00"
    )
    assert stub().create_composite_key("federation", []) == "\x00federation\x00"


@given(object_type=PARTS, attributes=st.lists(PARTS, max_size=4))
def test_splitting_a_composite_key_gives_its_parts_back(object_type: str, attributes: list[str]) -> None:
    key = stub().create_composite_key(object_type, attributes)
    assert stub().split_composite_key(key) == (object_type, attributes)


@pytest.mark.parametrize("part", ["", "a\x00b", "a\U0010ffff", "\ud800"])
def test_a_part_that_fabric_reserves_is_refused(part: str) -> None:
    with pytest.raises(InvalidKey):
        stub().create_composite_key("task", [part])
    with pytest.raises(InvalidKey):
        stub().create_composite_key(part, ["x"])


@pytest.mark.parametrize("key", ["", "task", "\x00", "\x00\x00", "\x00task", "task\x00"])
def test_what_is_no_composite_key_is_not_split(key: str) -> None:
    with pytest.raises(InvalidKey):
        stub().split_composite_key(key)


async def _keys(rows: Any) -> list[str]:
    return [row.key async for row in await rows]


def test_a_plain_range_never_meets_composite_keys_and_a_partial_key_only_its_own() -> None:
    found = stub()
    version = Version(b"1", 1, "0" * 64, Timestamp(0, 0))
    ab, abc, b = (found.create_composite_key("t", parts) for parts in (["a", "b"], ["ab", "c"], ["b"]))
    found = stub(state=dict.fromkeys(["plain", "z", ab, abc, b], version))
    assert run(_keys(found.get_state_by_range("", ""))) == ["plain", "z"]
    assert run(_keys(found.get_state_by_range("", "z"))) == ["plain"]
    assert run(_keys(found.get_state_by_partial_composite_key("t", ["a"]))) == [ab]
    assert run(_keys(found.get_state_by_partial_composite_key("t", []))) == [ab, abc, b]
    with pytest.raises(InvalidKey):
        run(_keys(found.get_state_by_range(ab, "")))
    page = run(found.get_state_by_partial_composite_key_with_pagination("t", [], 2))
    assert [row.key for row in page.rows] == [ab, abc]
    rest = run(found.get_state_by_partial_composite_key_with_pagination("t", [], 2, page.bookmark))
    assert ([row.key for row in rest.rows], rest.bookmark) == ([b], "")


def test_the_stub_is_one_of_the_official_kind_and_forgets_no_method() -> None:
    assert issubclass(ChaincodeStub, ChaincodeStubInterface)

    class Forgetful(ChaincodeStub):
        pass

    with pytest.raises(TypeError, match="get_private_data_hash"):
        Forgetful()  # type: ignore[abstract]


# --- world state ----------------------------------------------------------------------------------


def test_a_read_after_a_write_is_a_fault() -> None:
    async def transaction() -> None:
        state = WorldState(stub())
        await state.put(Federation("hospitals", "Hospitals", founded_at=1))
        await state.find(Federation)

    with pytest.raises(refusals.ReadAfterWrite):
        run(transaction())

    async def with_a_range() -> None:
        state = WorldState(stub())
        await state.put_digest(TASK, "0" * 64)
        await state.list(Entry)

    with pytest.raises(refusals.ReadAfterWrite):
        run(with_a_range())


@pytest.mark.parametrize("value", [b"{", b"[]", b'{"name":"secret"}', b"\xff", b'{"a":0.5}'])
def test_a_value_that_is_no_record_is_a_fault_and_stays_secret(value: bytes) -> None:
    scenario = at("founded")
    key = stub().create_composite_key("federation", [])
    scenario.ledger.state[key] = replace(scenario.ledger.state[key], value=value)
    with pytest.raises(Refused) as refused:
        scenario.evaluate("federation:GetFederation")
    assert refused.value.code == 903
    assert "secret" not in refused.value.text


def test_every_stored_value_is_canonical_and_lies_under_the_key_of_its_record() -> None:
    kinds = {object_type: kind for kind, (object_type, _) in LAYOUT.items()}
    for key, version in at("closed").ledger.state.items():
        object_type, attributes = stub().split_composite_key(key)
        if object_type == "digest":
            assert version.value == b"\x01"
            continue
        record = from_json(kinds[object_type], json.loads(version.value))
        assert key_of(record) == (object_type, tuple(attributes))


# --- the call -------------------------------------------------------------------------------------


class BrokenStub(MemoryStub):
    """A peer that fails while the contract reads."""

    async def get_state(self, key: str) -> bytes:
        raise RuntimeError("the value at this key is SECRET")


def broken(name: str, arguments: tuple[str, ...]) -> Response:
    proposal = Proposal(admin("AlphaMSP"), name, arguments, MORNING, "0" * 64)
    return run(invoke(build_chaincode(), BrokenStub({}, {}, proposal)))


def test_a_fault_inside_a_transaction_is_a_coded_answer_without_its_text() -> None:
    response = broken("federation:GetFederation", ("{}",))
    assert response.status == 500
    assert response.message.startswith("BFL-901: ")
    assert "SECRET" not in response.message


def test_a_fault_outside_a_transaction_is_a_coded_answer_too() -> None:
    class Deaf(MemoryStub):
        def get_function_and_parameters(self) -> tuple[str, list[str]]:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "SECRET")

    response = run(
        invoke(build_chaincode(), Deaf({}, {}, Proposal(admin("AlphaMSP"), "", (), MORNING, "0" * 64)))
    )
    assert response.status == 500
    assert response.message.startswith("BFL-901: ")
    assert "SECRET" not in response.message


def test_an_exception_that_pretends_to_be_a_refusal_late_in_its_text_is_a_fault() -> None:
    class Pretender(MemoryStub):
        async def get_state(self, key: str) -> bytes:
            raise RuntimeError("SECRET BFL-313: committed")

    proposal = Proposal(admin("AlphaMSP"), "federation:GetFederation", ("{}",), MORNING, "0" * 64)
    response = run(invoke(build_chaincode(), Pretender({}, {}, proposal)))
    assert response.message.startswith("BFL-901: ")


def test_every_public_method_of_a_contract_is_a_transaction_with_annotations() -> None:
    for contract in CONTRACTS:
        names = [name for name in dir(contract) if name[0].isupper() and callable(getattr(contract, name))]
        for name in names:
            method = getattr(contract, name)
            assert f"{contract.Name}:{name}" in TRANSACTIONS
            assert method.__annotations__["ctx"] == "TransactionContext"
            assert method.__annotations__["return"] == "str"
            assert method.__doc__.endswith(".")
        own = [name for name in vars(contract) if not name.startswith("_") and name[0].islower()]
        assert own == ["get_evaluate_transactions"]
    assert FederationContract.Found.__globals__["TransactionContext"] is TransactionContext


def test_importing_the_contract_leaves_logging_and_threads_alone() -> None:
    code = (
        "import logging, threading\n"
        "root = logging.getLogger()\n"
        "before = (root.level, list(root.handlers), threading.active_count())\n"
        "import bfl_chaincode.main\n"
        "after = (root.level, list(root.handlers), threading.active_count())\n"
        "assert before == after, (before, after)\n"
        "assert logging.getLogger('asyncio').handlers == []\n"
    )
    root = Path(bfl_chaincode.__file__).parents[1]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert not any("QueueListener" in thread.name for thread in threading.enumerate())
    assert logging.getLogger().level != logging.DEBUG


# --- requests -------------------------------------------------------------------------------------

FREE = {"bool", "NodeRole", "TaskSpec", "PublishedMetrics"}


def test_every_field_of_every_request_has_a_limit() -> None:
    for name, kind in vars(commands).items():
        if (
            isinstance(kind, type)
            and hasattr(kind, "__dataclass_fields__")
            and kind.__module__ == commands.__name__
        ):
            for field, limits in limits_of(kind).items():
                assert limits or kind.__annotations__[field] in FREE, f"{name}.{field} may be anything"


def test_every_field_of_a_spec_has_a_limit_and_every_limit_a_field() -> None:
    assert set(_leaves(to_json(from_json(TaskSpec, spec(**SHARED_TERMS))), "")) == set(SPEC_LIMITS)


def _leaves(value: Any, path: str) -> list[str]:
    if isinstance(value, dict):
        return [
            leaf for key, item in value.items() for leaf in _leaves(item, f"{path}.{key}".removeprefix("."))
        ]
    if isinstance(value, list):
        return [path, *_leaves(value[0], f"{path}[]")]
    return [path]


def test_every_record_that_is_stored_has_a_place_and_no_two_share_one() -> None:
    object_types = [object_type for object_type, _ in LAYOUT.values()]
    assert len(set(object_types)) == len(object_types)
    assert all(kind.__module__.startswith(records.__name__) for kind in LAYOUT)
