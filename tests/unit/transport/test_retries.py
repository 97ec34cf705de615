from __future__ import annotations

import asyncio
import threading
import time

import pytest

from bfl_fabric.errors import MalformedInput, TransferFailed
from bfl_fabric.transport.file_threads import FileThreads
from bfl_fabric.transport.limits import ClientLimits
from bfl_fabric.transport.refusals import BrokenOff
from bfl_fabric.transport.retries import Persistence
from tests.unit.transport.transfer_site import run


class RecordingClock:
    """A clock whose sleeps take no time and are written down."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return round(sum(self.slept) * 1000)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Attempts:
    """A transfer that follows a script: how far it got before it broke off, None for success."""

    def __init__(self, script: list[int | None]) -> None:
        self.script = script
        self.reached = 0

    async def attempt(self) -> None:
        step = self.script.pop(0)
        if step is not None:
            self.reached = step
            raise BrokenOff("broken")


LIMITS = ClientLimits(attempts=4, first_backoff_seconds=1, longest_backoff_seconds=3)


def test_a_transfer_that_stands_still_is_given_up_after_the_set_number_of_tries() -> None:
    clock, attempts = RecordingClock(), Attempts([0, 0, 0, 0, None])
    with pytest.raises(TransferFailed, match="gave up after 4 tries: broken"):
        run(Persistence(LIMITS, clock, "x").run(attempts.attempt, lambda: attempts.reached))
    assert len(clock.slept) == 3


def test_a_transfer_that_moves_on_is_never_given_up() -> None:
    clock, attempts = RecordingClock(), Attempts([*range(1, 40), None])
    run(Persistence(LIMITS, clock, "x").run(attempts.attempt, lambda: attempts.reached))
    assert len(clock.slept) == 39


def test_waits_double_up_to_the_longest_and_are_spread_by_identity() -> None:
    first = Persistence(LIMITS, RecordingClock(), "first")
    for failures, whole in ((1, 1), (2, 2), (3, 3), (9, 3), (500, 3)):
        assert whole / 2 <= first.wait_seconds(failures) <= whole
    second = Persistence(LIMITS, RecordingClock(), "second")
    assert first.wait_seconds(1) == Persistence(LIMITS, RecordingClock(), "first").wait_seconds(1)
    assert first.wait_seconds(1) != second.wait_seconds(1)


def test_errors_that_trying_again_cannot_help_pass_through_at_once() -> None:
    clock = RecordingClock()

    async def refused() -> None:
        raise MalformedInput("no")

    with pytest.raises(MalformedInput):
        run(Persistence(LIMITS, clock, "x").run(refused, lambda: 0))
    assert clock.slept == []


def test_a_cancelled_caller_waits_for_the_step_that_is_under_way() -> None:
    ended: list[float] = []

    def step() -> None:
        time.sleep(0.2)
        ended.append(time.monotonic())

    async def body() -> None:
        threads = FileThreads(1)
        task = asyncio.create_task(threads.run(step))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(ended) == 1
        threads.close()

    run(body())


def test_a_step_runs_off_the_event_loop_and_its_error_reaches_the_caller() -> None:
    def fail() -> None:
        raise MalformedInput("bad bytes")

    async def body() -> None:
        threads = FileThreads(1)
        assert await threads.run(threading.get_ident) != threading.get_ident()
        with pytest.raises(MalformedInput):
            await threads.run(fail)
        threads.close()

    run(body())
