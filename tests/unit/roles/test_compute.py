"""CPU-bound work: off the loop, one piece at a time, and nobody has to wait for what was cancelled."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from bfl_fabric.roles.compute import Compute, ThreadCompute
from bfl_fabric.testing.compute import InlineCompute


def fail(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize("kind", [ThreadCompute, InlineCompute])
def test_results_and_errors_come_back(kind: type[Compute]) -> None:
    async def story() -> None:
        compute = kind()
        assert await compute.run(pow, 2, exp=10) == 1024
        with pytest.raises(ValueError, match="no"):
            await compute.run(fail, "no")

    asyncio.run(story())


def test_pieces_take_turns() -> None:
    running, most = 0, 0

    def piece(go: threading.Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        go.wait(0.02)
        running -= 1

    async def story() -> None:
        compute, go = ThreadCompute(), threading.Event()
        await asyncio.gather(*(compute.run(piece, go) for _ in range(5)))

    asyncio.run(story())
    assert most == 1


def test_whoever_is_cancelled_leaves_at_once_and_the_piece_keeps_its_turn() -> None:
    started, release = threading.Event(), threading.Event()
    order: list[str] = []

    def endless() -> None:
        started.set()
        release.wait(10)
        order.append("first")

    async def story() -> None:
        compute = ThreadCompute()
        task = asyncio.create_task(compute.run(endless))
        assert await asyncio.to_thread(started.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        second = asyncio.create_task(compute.run(order.append, "second"))
        await asyncio.sleep(0.02)
        assert order == []
        release.set()
        await second

    asyncio.run(story())
    assert order == ["first", "second"]


def test_a_process_ends_though_a_piece_goes_on() -> None:
    script = """
import asyncio, time
from bfl_fabric.roles.compute import ThreadCompute
async def story():
    task = asyncio.create_task(ThreadCompute().run(time.sleep, 60))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
asyncio.run(story())
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20)
