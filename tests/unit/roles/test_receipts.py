"""Receipts that go together: which wait for which, and what becomes of them when a transaction fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.records import NodeRole
from bfl_fabric.domain.ports import Commit
from bfl_fabric.errors import LedgerError, LedgerRefused, LedgerUnavailable
from bfl_fabric.roles.receipts import ENOUGH, WAITS, Acknowledge, ReceiptDesk
from bfl_fabric.roles.workbench import Workbench
from bfl_fabric.testing.compute import InlineCompute
from bfl_fabric.testing.ledger import ScriptedLedger
from tests.unit.roles.nodes import ANode, Scene
from tests.unit.roles.rounds import AGGREGATOR, TASK, digest


class Gate(ScriptedLedger):
    """A ledger that takes no transaction before the test opens it."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def submit(self, transaction: str, request: Mapping[str, Json]) -> Commit:
        await self.open.wait()
        return await super().submit(transaction, request)


class Counter:
    """A desk of one organization behind a gate."""

    def __init__(self, folder: Path, *, opened: bool = True, on_their_way_seconds: float = 0.0) -> None:
        self.ledger = Gate()
        node = ANode(Scene(folder), AGGREGATOR, "aggregator-x", NodeRole.AGGREGATOR)
        ports = replace(node.bench.ports, ledger=self.ledger)
        bench = Workbench(node.bench.identity, ports, InlineCompute(), node.progress.append)
        self.desk, self.clock = ReceiptDesk(bench, on_their_way_seconds), node.scene.clock
        if opened:
            self.ledger.open.set()

    def sends(self, who: str, number: int = 1, expected: Collection[str] = ()) -> asyncio.Task[None]:
        return asyncio.create_task(self.desk.send(acknowledgement(who, number), expected))

    @property
    def batches(self) -> list[list[str]]:
        """The participants that each transaction names."""
        requests = [json.loads(json.dumps(request)) for _, request in self.ledger.submitted]
        return [[one["participant_id"] for one in request["uploads"]] for request in requests]


def acknowledgement(who: str, number: int = 1) -> Acknowledge:
    return Acknowledge(TASK, number, who, digest(who))


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_what_becomes_due_during_a_transaction_goes_with_the_next(tmp_path: Path) -> None:
    async def story() -> Counter:
        counter = Counter(tmp_path, opened=False)
        first = counter.sends("a-1")
        await turns()
        others = [counter.sends("a-2"), counter.sends("b-1")]
        await turns()
        counter.ledger.open.set()
        await asyncio.gather(first, *others)
        return counter

    assert asyncio.run(story()).batches == [["a-1"], ["a-2", "b-1"]]


async def checked(counter: Counter, who: str, verdict: asyncio.Future[bool]) -> None:
    """Check an upload for as long as the test wants, then send its receipt if it is good."""
    with counter.desk.expecting(acknowledgement(who)):
        if not await verdict:
            return
    await counter.desk.send(acknowledgement(who))


@pytest.mark.parametrize("is_good", [True, False])
def test_receipts_wait_for_uploads_of_their_round_that_are_being_checked(
    tmp_path: Path, is_good: bool
) -> None:
    async def story() -> None:
        counter, verdict = Counter(tmp_path), asyncio.get_running_loop().create_future()
        check = asyncio.create_task(checked(counter, "a-2", verdict))
        await turns()
        waits, of_another_round = counter.sends("a-1"), counter.sends("b-1", 2)
        await of_another_round
        await turns()
        assert counter.batches == [["b-1"]]
        verdict.set_result(is_good)
        await asyncio.gather(check, waits)
        assert counter.batches == [["b-1"], ["a-1", "a-2"] if is_good else ["a-1"]]

    asyncio.run(story())


def test_enough_receipts_wait_for_no_others(tmp_path: Path) -> None:
    async def story() -> None:
        counter = Counter(tmp_path)
        with counter.desk.expecting(acknowledgement("slow")):
            sent = [counter.sends(f"a-{number}") for number in range(ENOUGH)]
            await asyncio.gather(*sent)
        assert [len(batch) for batch in counter.batches] == [ENOUGH]

    asyncio.run(story())


@pytest.mark.parametrize("error", [LedgerRefused(401, "phase"), LedgerUnavailable("no peer")])
def test_a_failure_is_told_to_all_that_went_together_and_a_later_try_succeeds(
    tmp_path: Path, error: LedgerError
) -> None:
    async def story() -> None:
        counter = Counter(tmp_path)
        counter.ledger.failures["round:AcknowledgeUploads"] = error
        with counter.desk.expecting(acknowledgement("a-3")):
            both = [counter.sends("a-1"), counter.sends("a-2")]
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert outcomes == [error, error]
        del counter.ledger.failures["round:AcknowledgeUploads"]
        await counter.sends("a-1")
        assert counter.batches == [["a-1"]]

    asyncio.run(story())


def test_who_is_cancelled_while_its_receipt_is_sent_disturbs_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        counter = Counter(tmp_path, opened=False)
        with counter.desk.expecting(acknowledgement("a-3")):
            first, second = counter.sends("a-1"), counter.sends("a-2")
            await turns()
        await turns()
        second.cancel()
        await turns()
        counter.ledger.open.set()
        await first
        assert counter.batches == [["a-1", "a-2"]]
        await counter.sends("b-1")
        assert counter.batches[1:] == [["b-1"]]

    asyncio.run(story())


def test_who_is_cancelled_leaves_the_others_to_the_next_turn(tmp_path: Path) -> None:
    async def story() -> None:
        counter = Counter(tmp_path, opened=False)
        with counter.desk.expecting(acknowledgement("a-3")):
            first, second = counter.sends("a-1"), counter.sends("a-2")
        await turns()
        first.cancel()
        await turns()
        counter.ledger.open.set()
        await second
        assert counter.batches == [["a-2"]]

    asyncio.run(story())


SILOS = ("a-1", "a-2", "b-1")


def test_receipts_wait_for_uploads_that_are_expected(tmp_path: Path) -> None:
    async def story() -> None:
        counter = Counter(tmp_path, on_their_way_seconds=0.25)
        sent = [counter.sends("a-1", expected=("a-1", "a-2"))]
        await turns()
        sent.append(counter.sends("a-2", expected=SILOS))
        await turns()
        assert counter.batches == []
        sent.append(counter.sends("b-1", expected=SILOS))
        await asyncio.gather(*sent)
        assert counter.batches == [["a-1", "a-2", "b-1"]]

    asyncio.run(story())


def test_each_that_comes_earns_the_others_another_wait_but_not_for_ever(tmp_path: Path) -> None:
    async def story() -> None:
        counter = Counter(tmp_path, on_their_way_seconds=0.25)
        many = [f"a-{number}" for number in range(20)]
        sent = []
        for who in many[:10]:
            sent.append(counter.sends(who, expected=many))
            await counter.clock.advance(0.25 * WAITS / 10 - 0.001)
        assert counter.batches == []
        await counter.clock.advance(0.02)
        await asyncio.gather(*sent)
        assert counter.batches == [many[:10]]

    asyncio.run(story())


def test_receipts_do_not_wait_for_long_nor_for_what_was_sent(tmp_path: Path) -> None:
    async def story() -> None:
        counter = Counter(tmp_path, on_their_way_seconds=0.25)
        both = [counter.sends(who, expected=SILOS) for who in ("a-1", "a-2")]
        await counter.clock.advance(0.2)
        assert counter.batches == []
        with counter.desk.expecting(acknowledgement("b-1")):
            await counter.clock.advance(0.1)
            assert counter.batches == []
        await asyncio.gather(*both)
        assert counter.batches == [["a-1", "a-2"]]
        await counter.sends("b-1", expected=("b-1",))
        assert counter.batches[1:] == [["b-1"]]

    asyncio.run(story())
