"""Whatever a contract does, a response comes out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bfl_chaincode.shim.stub import ChaincodeStub, Response
from bfl_fabric.embedded.contract import bfl_contract, run
from bfl_fabric.embedded.mismatch import difference
from bfl_fabric.fabric.endorsement import Simulation, response_payload
from bfl_fabric.fabric.envelopes import ChaincodeEvent
from bfl_fabric.fabric.envelopes import Response as Answer
from bfl_fabric.fabric.proposal import Invocation, build_proposal
from tests.unit.embedded.workbench import Bench


class Doing:
    def __init__(self, work: Callable[[ChaincodeStub], Awaitable[Any]]) -> None:
        self._work = work

    async def invoke(self, stub: ChaincodeStub) -> Any:
        return await self._work(stub)


NO_STUB: Any = None


async def _returns(stub: ChaincodeStub) -> Any:
    return Response(201, b"payload", "fine")


async def _raises(stub: ChaincodeStub) -> Any:
    raise ValueError("what went wrong")


async def _exits(stub: ChaincodeStub) -> Any:
    sys.exit(3)


async def _waits(stub: ChaincodeStub) -> Any:
    await asyncio.sleep(1)


async def _waits_for_a_future(stub: ChaincodeStub) -> Any:
    await asyncio.Future(loop=asyncio.new_event_loop())


async def _yields(stub: ChaincodeStub) -> Any:
    await asyncio.sleep(0)
    return Response(200, b"", "")


async def _returns_nonsense(stub: ChaincodeStub) -> Any:
    return 42


def test_an_answer_is_passed_on() -> None:
    answer = run(Doing(_returns), NO_STUB)
    assert (answer.status, answer.payload, answer.message) == (201, b"payload", "fine")


@pytest.mark.parametrize("work", [_raises, _exits, _waits, _waits_for_a_future, _returns_nonsense])
def test_every_failure_is_a_response_with_status_500(work: Callable[[ChaincodeStub], Awaitable[Any]]) -> None:
    answer = run(Doing(work), NO_STUB)
    assert answer.status == 500
    assert answer.message


def test_giving_way_is_not_waiting() -> None:
    assert run(Doing(_yields), NO_STUB).status == 200


def test_the_products_contract_refuses_with_a_code() -> None:
    answer = run(bfl_contract(), NO_STUB)
    assert answer.status == 500
    assert answer.message.startswith("BFL-")


# --- differences --------------------------------------------------------------------------------

PROPOSAL = build_proposal(Invocation("channel", "cc", (b"f",)), b"creator", b"nonce", 0)


def payload(**changes: Any) -> bytes:
    values = {
        "chaincode": "cc",
        "chaincode_version": "1",
        "results": b"",
        "response": Answer(200, "", b""),
        **changes,
    }
    return response_payload(PROPOSAL, Simulation(**values))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"response": Answer(200, "", b"other")}, "the response's payload"),
        ({"response": Answer(201, "", b"")}, "the response's status"),
        ({"response": Answer(200, "told", b"")}, "the response's message"),
        ({"event": ChaincodeEvent("cc", "id", "name", b"")}, "the event"),
        ({"chaincode_version": "2"}, "the chaincode's version"),
    ],
)
def test_a_difference_is_named(change: dict[str, Any], named: str) -> None:
    assert difference(payload(), payload(**change)) == named


def test_every_kind_of_difference_in_the_sets_is_named_without_values(bench: Bench) -> None:
    from bfl_fabric.embedded.readwriteset import ReadWriteSetBuilder
    from bfl_fabric.fabric.rwsets import Height

    def results(value: bytes) -> bytes:
        builder = ReadWriteSetBuilder()
        builder.add_read("cc", "read", Height(1, len(value)))
        builder.add_write("cc", "written", value)
        builder.add_private_write("cc", "shared", "private", value)
        return builder.build().public

    named = difference(payload(results=results(b"secret")), payload(results=results(b"hidden!")))
    assert named == (
        "collection 'shared' in namespace 'cc', the read of key 'read' in namespace 'cc', "
        "the write of key 'written' in namespace 'cc'"
    )
