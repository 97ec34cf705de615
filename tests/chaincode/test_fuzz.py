"""Mutated requests: whatever bytes arrive, the answer is a result or a coded refusal, and never a fault."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.errors import parse_code
from bfl_chaincode.main import TRANSACTIONS
from bfl_chaincode.shim.stub import Creator
from tests.chaincode import shared_scenario
from tests.chaincode.memory_stub import Simulation
from tests.chaincode.requests import REQUESTS
from tests.chaincode.scenario import COORDINATOR, KEY_HOLDER, Scenario, admin, at, node, silo

STAGES = ("empty", "published", "funded", "committed 1", "verified 2", "released 1", "modelled 2")
SHARED_STAGES = ("shares committed", "shares revealed", "begun 1", "sum answered 1", "packed keyed")
CALLERS: list[Creator] = [
    admin("AlphaMSP"),
    node(COORDINATOR, "coordinator"),
    node(KEY_HOLDER, "key-holder"),
    node("BetaMSP", "aggregator"),
    node("AlphaMSP", "verifier"),
    silo("alpha-1"),
]
HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 2, 2**31, 2**63 - 1, -(2**63), 2**63, 10**40, 0.5, 1e308, "", " ", "a", "A", "é",
    "\x00", "\ud800", "\U0010ffff", "cancer", "alpha-1", "../../etc", "a" * 64, "0" * 64, "f" * 64, "x" * 5000, "1e9",
    "NaN", [], [[]], [1], {}, {"": 1}, {"task_id": "cancer"}, ["alpha-1"] * 300,
]  # fmt: skip
MUTATIONS_OF_EACH = 150


def answered(simulation: Simulation) -> None:
    """Check that an answer is one of the two that there are."""
    response = simulation.response
    if response.status == 200:
        assert json.loads(response.payload) is not None or response.payload == b"null"
        assert response.message == ""
        return
    parsed = parse_code(response.message)
    assert response.status == 500
    assert response.payload == b""
    assert parsed is not None, response.message
    assert parsed[0] // 100 != 9, (
        f"{simulation.proposal.name} {simulation.proposal.arguments}: {response.message}"
    )
    assert "Traceback" not in response.message
    assert len(response.message) < 1500


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(item, (*path, key))


def _mutated(request: dict[str, Any], source: random.Random) -> Any:
    """Return the request with one place replaced, removed, doubled or renamed."""
    value = json.loads(json.dumps(request))
    path = source.choice(list(_paths(value)))
    if not path:
        return source.choice(HOSTILE)
    *parents, last = path
    place = value
    for key in parents:
        place = place[key]
    match source.randrange(4):
        case 0:
            del place[last]
        case 1 if isinstance(place, dict):
            place[source.choice(["force", "Task_id", "", "é", "__class__"])] = place.pop(last)
        case 2 if isinstance(place, list):
            place.append(place[last])
        case _:
            place[last] = source.choice(HOSTILE)
    return value


@pytest.mark.parametrize("transaction", sorted(TRANSACTIONS))
def test_mutated_requests_end_in_a_result_or_a_coded_refusal(transaction: str) -> None:
    source = random.Random(transaction)
    scenarios = [at(stage) for stage in STAGES]
    scenarios += [shared_scenario.at(stage) for stage in SHARED_STAGES]
    for _ in range(MUTATIONS_OF_EACH):
        text = json.dumps(_mutated(REQUESTS[transaction], source))
        if source.random() < 0.2:
            position = source.randrange(len(text) + 1)
            text = (
                text[:position]
                + source.choice(['"', "}", "\x00", "9", "\\u", "é", ""])
                + text[position + 1 :]
            )
        scenario: Scenario = source.choice(scenarios)
        answered(scenario.ledger.propose(source.choice(CALLERS), transaction, [text], scenario.now))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(transaction=st.sampled_from(sorted(TRANSACTIONS)), value=JSON)
def test_any_json_is_answered(transaction: str, value: Json) -> None:
    scenario = at("committed 1")
    text = json.dumps(value)
    answered(scenario.ledger.propose(admin("AlphaMSP"), transaction, [text], scenario.now))


@settings(max_examples=400, deadline=None)
@given(transaction=st.sampled_from(sorted(TRANSACTIONS)), text=st.text(max_size=200))
def test_any_text_is_answered(transaction: str, text: str) -> None:
    scenario = at("committed 1")
    answered(scenario.ledger.propose(silo("alpha-1"), transaction, [text], scenario.now))


@settings(max_examples=200, deadline=None)
@given(name=st.text(max_size=40), arguments=st.lists(st.text(max_size=10), max_size=3))
def test_any_name_and_any_number_of_arguments_is_answered(name: str, arguments: list[str]) -> None:
    scenario = at("committed 1")
    answered(scenario.ledger.propose(silo("alpha-1"), name, arguments, scenario.now))


@settings(max_examples=200, deadline=None)
@given(pem=st.binary(max_size=300), msp_id=st.text(max_size=10))
def test_any_certificate_is_answered(pem: bytes, msp_id: str) -> None:
    scenario = at("committed 1")
    who: Creator = {"mspid": msp_id, "idBytes": pem}
    request = [json.dumps(REQUESTS["round:Seal"])]
    simulation = scenario.ledger.propose(who, "round:Seal", request, scenario.now)
    answered(simulation)
    assert simulation.response.message.startswith("BFL-201: ")
