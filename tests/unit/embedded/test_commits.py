"""The board: who is told of a commit, and events that are read once for all streams."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from fabric_protos.gateway import gateway_pb2

from bfl_fabric.embedded.block_events import BlockEvents
from bfl_fabric.embedded.commits import CommitBoard
from bfl_fabric.embedded.streams import chaincode_events
from bfl_fabric.fabric.endorsement import event_message
from bfl_fabric.fabric.envelopes import ChaincodeEvent
from bfl_fabric.fabric.gateway_transport import GatewayFailure
from bfl_fabric.fabric.wire import write
from tests.conformance.federation import CHAINCODE
from tests.unit.embedded.workbench import Bench


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_everybody_who_waits_for_a_transaction_is_told(bench: Bench) -> None:
    async def work() -> None:
        board = CommitBoard(bench.ledger)
        first, second = bench.order("put", "key", "a"), bench.order("put", "other", "b")
        waits = [asyncio.create_task(board.committed(one)) for one in (first, first, second, "ab" * 32)]
        await settled()
        waits[1].cancel()
        bench.ledger.cut(force=True)
        board.announce()
        await settled()
        assert [wait.done() for wait in waits] == [True, True, True, False]
        assert [waits[0].result().position, waits[2].result().position] == [0, 1]
        assert waits[1].cancelled()
        assert list(board._transactions) == ["ab" * 32]
        waits[3].cancel()
        await settled()
        assert not board._transactions

    run(work())


def test_what_was_committed_before_somebody_asked_is_told_at_once(bench: Bench) -> None:
    async def work() -> None:
        board = CommitBoard(bench.ledger)
        assert (await board.committed(bench.submit("put", "key", "x"))).block == 2

    run(work())


def test_a_closed_board_ends_all_waits_and_takes_no_more(bench: Bench) -> None:
    async def work() -> None:
        board = CommitBoard(bench.ledger)
        waits = [asyncio.create_task(wait) for wait in (board.committed("ab" * 32), board.higher_than(9))]
        await settled()
        board.close()
        for wait in (*waits, board.committed("cd" * 32)):
            with pytest.raises(GatewayFailure, match="shutting down"):
                await wait

    run(work())


def test_all_streams_send_the_same_response_of_a_block(bench: Bench) -> None:
    async def work() -> None:
        board = CommitBoard(bench.ledger)
        request = gateway_pb2.ChaincodeEventsRequest(chaincode_id=CHAINCODE)
        streams = [chaincode_events(bench.ledger, board, request) for _ in range(5)]
        waits = [asyncio.create_task(anext(aiter(stream))) for stream in streams]
        await settled()
        transaction = bench.submit("event", "name", "payload")
        board.announce()
        responses = [await wait for wait in waits]
        assert all(response is responses[0] for response in responses)
        assert [event.tx_id for event in responses[0].events] == [transaction]

    run(work())


def test_a_stream_that_catches_up_lets_others_go_on(bench: Bench) -> None:
    async def work() -> None:
        for number in range(5):
            bench.submit("put", f"key {number}", "x")
        board, turns = CommitBoard(bench.ledger), 0
        request = gateway_pb2.ChaincodeEventsRequest(chaincode_id=CHAINCODE)
        request.start_position.specified.number = 0
        wait = asyncio.create_task(anext(aiter(chaincode_events(bench.ledger, board, request))))
        while not board.events_of.cache_info().currsize >= 7:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 5
        wait.cancel()

    run(work())


# --- the events of a block ------------------------------------------------------------------------


def block(*events: tuple[str, str]) -> BlockEvents:
    messages = [event_message(ChaincodeEvent(chaincode, tx, "name", b"")) for chaincode, tx in events]
    return BlockEvents(7, [write(message) for message in messages])


def told(response: Any) -> list[str]:
    return [] if response is None else [event.tx_id for event in response.events]


def test_a_response_has_the_events_of_one_chaincode() -> None:
    made = block(("mine", "a"), ("other", "b"), ("mine", "c"))
    assert told(made.response("mine")) == ["a", "c"]
    assert made.response("mine").block_number == 7
    assert made.response("nobody's") is None
    assert block().response("mine") is None


def test_behind_a_transaction_come_those_after_it_of_whatever_chaincode_it_was() -> None:
    made = block(("mine", "a"), ("other", "b"), ("mine", "c"))
    assert [made.has_transaction(one) for one in "abcd"] == [True, True, True, False]
    assert told(made.response_after("b", "mine")) == ["c"]
    assert made.response_after("c", "mine") is None
