"""What a node reads once of the ledger, and when it reads it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from bfl_chaincode.api.canonical import Json
from bfl_fabric.errors import LedgerRefused
from bfl_fabric.roles.memory import CHANGED_BY, KEPT_MS, RememberingLedger
from bfl_fabric.testing.clock import ManualClock
from bfl_fabric.testing.ledger import ScriptedLedger

NODES, LINEAGE, ROUND = "federation:ListNodes", "model:Lineage", "round:GetCurrent"
ANSWERS = {NODES: ["a node"], LINEAGE: [], ROUND: {"phase": "COLLECTING"}}


class SlowLedger(ScriptedLedger):
    """Answers what was true when it was asked, a moment later."""

    async def evaluate(self, transaction: str, request: Mapping[str, Json]) -> Json:
        answer = await super().evaluate(transaction, request)
        await asyncio.sleep(0)
        return answer


class Memory:
    """A remembering ledger over a scripted one, with somebody who listens."""

    def __init__(self) -> None:
        self.inner = SlowLedger()
        self.inner.answers.update(ANSWERS)
        self.clock = ManualClock(1_000_000)
        self.ledger = RememberingLedger(self.inner, self.clock)
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    async def listen(self) -> None:
        async for event in self.ledger.events():
            self.heard.put_nowait(event.name)

    async def see(self, name: str) -> None:
        self.inner.emit(name)
        assert await self.heard.get() == name

    async def asked(self, query: str, times: int = 2) -> int:
        """Ask so many times and return how often the ledger beneath was asked."""
        before = len(self.inner.evaluated)
        for _ in range(times):
            assert await self.ledger.evaluate(query, {}) == ANSWERS[query]
        return len(self.inner.evaluated) - before


def told(story: Callable[[Memory], Awaitable[None]], *, listening: bool = True) -> None:
    async def run() -> None:
        memory = Memory()
        listener = asyncio.create_task(memory.listen() if listening else asyncio.sleep(0))
        await asyncio.sleep(0)
        try:
            await story(memory)
        finally:
            listener.cancel()

    asyncio.run(run())


def test_a_list_is_read_once() -> None:
    async def story(memory: Memory) -> None:
        assert await memory.asked(NODES, times=3) == 1

    told(story)


def test_those_who_ask_at_the_same_time_share_one_answer() -> None:
    async def story(memory: Memory) -> None:
        assert (
            await asyncio.gather(*(memory.ledger.evaluate(NODES, {}) for _ in range(4)))
            == [ANSWERS[NODES]] * 4
        )
        assert memory.inner.evaluated == [NODES]

    told(story)


def test_a_round_is_read_each_time() -> None:
    async def story(memory: Memory) -> None:
        assert await memory.asked(ROUND, times=3) == 3

    told(story)


def test_nothing_is_kept_while_nobody_listens() -> None:
    async def story(memory: Memory) -> None:
        assert await memory.asked(NODES, times=3) == 3

    told(story, listening=False)


@pytest.mark.parametrize("name", ["federation:AnnounceNode", "federation:SuspendOrganization"])
def test_an_event_of_what_changes_a_list_makes_it_read_again(name: str) -> None:
    async def story(memory: Memory) -> None:
        await memory.asked(NODES)
        await memory.see(name)
        assert await memory.asked(NODES) == 1

    told(story)


def test_another_event_leaves_a_list_as_it_is() -> None:
    async def story(memory: Memory) -> None:
        await memory.asked(LINEAGE)
        await memory.see("round:Seal")
        assert await memory.asked(LINEAGE) == 0
        await memory.see("round:PublishModel")
        assert await memory.asked(LINEAGE) == 1

    told(story)


def test_ones_own_transaction_needs_no_event() -> None:
    async def story(memory: Memory) -> None:
        await memory.asked(NODES)
        await memory.ledger.submit("federation:AnnounceNode", {})
        assert await memory.asked(NODES) == 1
        memory.inner.failures["federation:Leave"] = LedgerRefused(1, "no")
        with pytest.raises(LedgerRefused):
            await memory.ledger.submit("federation:Leave", {})
        assert await memory.asked(NODES) == 1

    told(story)


def test_nothing_is_kept_for_long() -> None:
    async def story(memory: Memory) -> None:
        await memory.asked(NODES)
        memory.clock.move(KEPT_MS / 1000)
        assert await memory.asked(NODES) == 1

    told(story)


def test_an_answer_from_before_a_change_is_not_kept() -> None:
    async def story(memory: Memory) -> None:
        asking = asyncio.create_task(memory.asked(NODES, times=1))
        await asyncio.sleep(0)
        await memory.ledger.submit("federation:AnnounceNode", {})
        assert await asking == 1
        assert await memory.asked(NODES) == 1

    told(story)


def test_a_list_is_kept_for_each_request() -> None:
    async def story(memory: Memory) -> None:
        await memory.ledger.evaluate(LINEAGE, {"task_id": "one"})
        await memory.ledger.evaluate(LINEAGE, {"task_id": "two"})
        assert memory.inner.evaluated == [LINEAGE, LINEAGE]

    told(story)


def test_no_round_is_among_what_is_kept() -> None:
    assert not [query for query in CHANGED_BY if query.startswith(("round:", "opening:", "reward:"))]
