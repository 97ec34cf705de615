"""The fakes keep the promises of what they stand for: one suite on both."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bfl_fabric.domain.ports import BlobStore, Journal
from bfl_fabric.errors import JournalConflict, MalformedInput, NotFound
from bfl_fabric.storage.blobs import FileBlobStore
from bfl_fabric.storage.journal import FileJournal
from bfl_fabric.testing.clock import ManualClock, SkewedClock
from bfl_fabric.testing.faults import Crashed, CrashSwitch, Fault, FaultPlan
from bfl_fabric.testing.storage import MemoryBlobStore, MemoryJournal

STORES: dict[str, Callable[[Path], BlobStore]] = {"fake": MemoryBlobStore, "real": FileBlobStore}
JOURNALS: dict[str, Callable[[Path], Journal]] = {
    "fake": lambda folder: MemoryJournal(),
    "real": lambda folder: FileJournal(folder / "journal"),
}


@pytest.fixture(params=STORES)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return STORES[request.param](tmp_path)


@pytest.fixture(params=JOURNALS)
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    return JOURNALS[request.param](tmp_path)


def test_a_blob_is_named_by_its_digest_and_read_back(blobs: BlobStore) -> None:
    name = blobs.put(b"bytes")
    assert name == hashlib.sha256(b"bytes").hexdigest() == blobs.put(b"bytes")
    assert blobs.has(name)
    assert blobs.read(name) == blobs.path(name).read_bytes() == b"bytes"


def test_an_adopted_file_is_a_blob_and_gone_from_its_place(blobs: BlobStore, tmp_path: Path) -> None:
    arrived = tmp_path / "arrived"
    arrived.write_bytes(b"bytes")
    name = blobs.adopt(arrived)
    assert blobs.read(name) == b"bytes"
    assert not arrived.exists()


def test_a_missing_blob_is_not_found(blobs: BlobStore) -> None:
    name = "0" * 64
    assert not blobs.has(name)
    for ask in (blobs.read, blobs.path):
        with pytest.raises(NotFound):
            ask(name)


def test_a_rotten_blob_is_not_read(tmp_path: Path) -> None:
    blobs = MemoryBlobStore(tmp_path)
    name = blobs.put(b"bytes")
    blobs.rot(name)
    with pytest.raises(MalformedInput):
        blobs.read(name)
    blobs.lose(name)
    assert not blobs.has(name)


def test_a_fact_is_written_once(journal: Journal) -> None:
    assert journal.find("opened", "wine/1") is None
    journal.record("opened", "wine/1", "one")
    journal.record("opened", "wine/1", "one")
    journal.record("opened", "wine/2", "two")
    journal.record("scored", "wine/1", "two")
    with pytest.raises(JournalConflict):
        journal.record("opened", "wine/1", "two")
    assert journal.find("opened", "wine/1") == "one"


def test_sleepers_wake_at_their_time_and_in_order() -> None:
    clock = ManualClock(0)
    woken: list[tuple[str, int]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now_ms()))

    async def story() -> None:
        tasks = [asyncio.create_task(sleep(*one)) for one in (("b", 2), ("a", 1), ("c", 2), ("d", 9))]
        await clock.advance(3)
        assert woken == [("a", 1000), ("b", 2000), ("c", 2000)]
        assert clock.now_ms() == 3000
        assert clock.sleeper_count == 1
        tasks[-1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())


def test_a_sleeper_that_sleeps_again_wakes_within_the_same_advance() -> None:
    clock = ManualClock(0)
    moments: list[int] = []

    async def ticker() -> None:
        while True:
            await clock.sleep(1)
            moments.append(clock.now_ms())

    async def story() -> None:
        task = asyncio.create_task(ticker())
        await clock.advance(3.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(story())
    assert moments == [1000, 2000, 3000]


def test_a_jump_of_the_wall_clock_wakes_nobody() -> None:
    clock = ManualClock(0)

    async def story() -> None:
        task = asyncio.create_task(clock.sleep(10))
        await clock.advance(1)
        clock.jump(3600)
        assert clock.now_ms() == 3_601_000
        await clock.advance(8.9)
        assert not task.done()
        await clock.advance(0.2)
        assert task.done()

    asyncio.run(story())


def test_a_skewed_clock_is_wrong_by_its_skew() -> None:
    clock = ManualClock(1_000_000)
    assert SkewedClock(clock, -5_000).now_ms() == 995_000


def test_time_is_not_moved_over_sleepers() -> None:
    clock = ManualClock(0)

    async def story() -> None:
        task = asyncio.create_task(clock.sleep(10))
        await clock.advance(0)
        with pytest.raises(AssertionError, match="use advance"):
            clock.move(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(story())


def effects_until_death(steps: int, *, after_effect: bool) -> int:
    switch, effects = CrashSwitch("somebody"), 0
    switch.arm(steps, after_effect=after_effect)
    try:
        for _ in range(10):
            switch.before()
            effects += 1
            switch.after()
    except Crashed:
        switch.before()
        switch.after()
        return effects
    raise AssertionError("nobody died")


@pytest.mark.parametrize("steps", [1, 3])
def test_a_switch_kills_once_at_its_step(steps: int) -> None:
    assert effects_until_death(steps, after_effect=False) == steps - 1
    assert effects_until_death(steps, after_effect=True) == steps


def test_faults_are_met_in_order_and_then_no_more() -> None:
    plan = FaultPlan()
    plan.add(Fault.SLOW)
    plan.add(Fault.CORRUPTED)
    assert [plan.take() for _ in range(3)] == [Fault.SLOW, Fault.CORRUPTED, None]
