"""The loop around a role, under a manual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from bfl_fabric.domain.ports import LedgerEvent
from bfl_fabric.errors import LedgerRefused, LedgerUnavailable, TransferFailed
from bfl_fabric.roles.actions import Action, of_task
from bfl_fabric.roles.loop import LoopTerms, ReconcilerLoop, run_until
from bfl_fabric.roles.progress import Progress, ProgressKind
from bfl_fabric.testing.clock import ManualClock
from bfl_fabric.testing.ledger import ScriptedLedger

TERMS = LoopTerms(
    poll_seconds=5, pause_seconds=0.01, first_retry_seconds=1, last_retry_seconds=8, actions_at_once=3
)
WORK = of_task("task:Close", "wine")


@dataclass
class ScriptedRole:
    """Finds `found` due and does what `does` says."""

    found: list[Action] = field(default_factory=list)
    does: Callable[[Action], Awaitable[None]] | None = None
    survey_error: Exception | None = None
    surveys: int = 0
    performed: list[tuple[int, Action]] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)
    stir: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = "scripted"
    deaf_to: frozenset[str] = frozenset()

    def is_deaf_to(self, event: LedgerEvent) -> bool:
        return event.name in self.deaf_to

    async def stirred(self) -> None:
        await self.stir.wait()
        self.stir.clear()

    async def survey(self) -> list[Action]:
        self.surveys += 1
        if self.survey_error is not None:
            raise self.survey_error
        return list(self.found)

    async def perform(self, action: Action) -> None:
        self.performed.append((self.clock.now_ms(), action))
        if self.does is not None:
            await self.does(action)


class Bench:
    """A running loop."""

    def __init__(self, role: ScriptedRole) -> None:
        self.role = role
        self.ledger = ScriptedLedger()
        self.progress: list[Progress] = []
        self.loop = ReconcilerLoop(role, self.ledger, role.clock, TERMS, self.progress.append)
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.task = asyncio.create_task(self.loop.run())
        await self.role.clock.advance(0.02)

    async def advance(self, seconds: float) -> None:
        await self.role.clock.advance(seconds)

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def run(role: ScriptedRole, story: Callable[[Bench], Awaitable[None]]) -> Bench:
    async def play() -> Bench:
        bench = Bench(role)
        await bench.start()
        try:
            await story(bench)
        finally:
            await bench.stop()
        return bench

    return asyncio.run(play())


async def refuse(action: Action) -> None:
    raise LedgerRefused(420, "somebody was faster")


async def fail(action: Action) -> None:
    raise TransferFailed("the cable")


async def nothing(bench: Bench) -> None:
    """No story."""


def test_what_is_due_on_start_is_done_at_once() -> None:
    role = ScriptedRole([WORK])
    run(role, nothing)
    assert [action for _, action in role.performed] == [WORK]


def test_an_event_wakes_the_loop() -> None:
    role = ScriptedRole()

    async def story(bench: Bench) -> None:
        before = role.surveys
        bench.ledger.emit("round:Open")
        await bench.advance(0.1)
        assert role.surveys == before + 1

    run(role, story)


def test_a_stirred_role_wakes_the_loop() -> None:
    role = ScriptedRole()

    async def story(bench: Bench) -> None:
        before = role.surveys
        role.stir.set()
        await bench.advance(0.1)
        assert role.surveys == before + 1

    run(role, story)


def test_the_timer_wakes_the_loop_often_at_first_and_then_steadily() -> None:
    role = ScriptedRole()

    async def story(bench: Bench) -> None:
        await bench.advance(1 + 2 + 4 + 0.1)
        before = role.surveys
        assert before == 1 + 3
        await bench.advance(TERMS.poll_seconds * 3)
        assert role.surveys == before + 3

    run(role, story)


def test_an_idle_loop_reads_the_ledger_only_now_and_then() -> None:
    role = ScriptedRole()

    async def story(bench: Bench) -> None:
        await bench.advance(600)

    run(role, story)
    assert role.surveys <= 600 / TERMS.poll_seconds + 4


def test_what_a_role_is_deaf_to_does_not_wake_it() -> None:
    role = ScriptedRole(deaf_to=frozenset({"round:CommitUpdate"}))

    async def story(bench: Bench) -> None:
        before = role.surveys
        bench.ledger.emit("round:CommitUpdate")
        await bench.advance(0.1)
        assert role.surveys == before
        bench.ledger.emit("round:Seal")
        await bench.advance(0.1)
        assert role.surveys == before + 1

    run(role, story)


@dataclass(frozen=True, slots=True)
class DeadEnd(Action):
    """Something after which nothing is due."""

    leads_on: ClassVar[bool] = False
    number: int


def test_nothing_wakes_the_loop_for_what_succeeded_before_a_survey_finds_it_again() -> None:
    role = ScriptedRole()

    async def story(bench: Bench) -> None:
        await bench.advance(1 + 2 + 4)  # the timer is steady now
        role.found = [DeadEnd("wine", 1, 0)]
        bench.ledger.emit("round:Seal")
        await bench.advance(0.1)
        before = role.surveys
        await bench.advance(TERMS.poll_seconds - 0.5)
        assert role.surveys == before
        await bench.advance(0.5)
        assert role.surveys == before + 1

    run(role, story)
    assert len(role.performed) == 2


def test_what_leads_to_nothing_ends_without_another_look_unless_it_fails_or_more_was_found() -> None:
    many = [DeadEnd("wine", 1, number) for number in range(TERMS.actions_at_once + 1)]
    for found, fails, looks in ((many[:1], False, 0), (many[:1], True, 1), (many, False, 1)):
        role = ScriptedRole()

        async def perform(action: Action, role: ScriptedRole = role, fails: bool = fails) -> None:
            role.found = [one for one in role.found if one != action]
            if fails:
                raise TransferFailed("no")

        role.does = perform

        async def story(
            bench: Bench, role: ScriptedRole = role, found: list[DeadEnd] = found, looks: int = looks
        ) -> None:
            role.found = list(found)
            before = role.surveys
            bench.ledger.emit("round:Seal")
            await bench.advance(0.1)
            assert role.surveys == before + 1 + looks
            assert len(role.performed) == len(found)

        run(role, story)


def test_a_burst_of_events_is_one_survey() -> None:
    role = ScriptedRole()

    async def story(bench: Bench) -> None:
        before = role.surveys
        for _ in range(100):
            bench.ledger.emit("round:CommitUpdate")
        await bench.advance(0.1)
        assert role.surveys - before <= 2

    run(role, story)


def test_a_refusal_because_somebody_was_faster_ends_with_reading_again() -> None:
    role = ScriptedRole([WORK])

    async def lose(action: Action) -> None:
        role.found = []
        await refuse(action)

    role.does = lose
    bench = run(role, nothing)
    assert len(role.performed) == 1
    assert bench.loop.status.failing == ()
    assert bench.progress == []


def test_a_refusal_that_stays_is_reported_and_backs_off() -> None:
    role = ScriptedRole([WORK], refuse)

    async def story(bench: Bench) -> None:
        await bench.advance(60)

    bench = run(role, story)
    start = role.performed[0][0]
    seconds = [round((at - start) / 1000) for at, _ in role.performed]
    assert seconds[:7] == [0, 0, 2, 6, 14, 22, 30]
    assert bench.progress[0].kind is ProgressKind.FAILED
    assert "BFL-420" in bench.progress[0].text


def test_a_failure_is_tried_again_ever_more_slowly_and_shown() -> None:
    role = ScriptedRole([WORK], fail)

    async def story(bench: Bench) -> None:
        await bench.advance(40)

    bench = run(role, story)
    start = role.performed[0][0]
    assert [round((at - start) / 1000) for at, _ in role.performed] == [0, 1, 3, 7, 15, 23, 31, 39]
    (failing,) = bench.loop.status.failing
    assert failing.action == "task:Close wine/0"
    assert failing.error == "the cable"
    assert failing.attempts == 8


def test_a_failure_that_is_over_is_forgotten() -> None:
    role = ScriptedRole([WORK], fail)

    async def story(bench: Bench) -> None:
        role.found = []
        await bench.advance(6)
        assert bench.loop.status.failing == ()

    run(role, story)


def test_a_success_that_does_not_show_on_the_ledger_does_not_spin() -> None:
    role = ScriptedRole([WORK])

    async def story(bench: Bench) -> None:
        await bench.advance(100)

    run(role, story)
    assert len(role.performed) <= 20


def test_one_failing_action_does_not_hold_up_another() -> None:
    bad, good = of_task("task:Close", "bad"), of_task("task:Close", "good")

    async def some(action: Action) -> None:
        if action.task_id == "bad":
            await fail(action)

    role = ScriptedRole([bad, good], some)
    run(role, nothing)
    assert {action.task_id for _, action in role.performed} == {"bad", "good"}


def test_a_long_action_does_not_stop_the_surveys_and_is_not_started_twice() -> None:
    role = ScriptedRole([WORK])

    async def slow(action: Action) -> None:
        await role.clock.sleep(30)

    role.does = slow

    async def story(bench: Bench) -> None:
        await bench.advance(20)
        assert bench.loop.status.running == ("task:Close wine/0",)
        assert role.surveys >= 4

    run(role, story)
    assert len(role.performed) == 1


def test_only_so_many_actions_run_at_once() -> None:
    role = ScriptedRole([of_task("task:Close", f"task-{number}") for number in range(10)])
    running = 0
    most = 0

    async def slow(action: Action) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await role.clock.sleep(1)
        running -= 1
        role.found.remove(action)

    role.does = slow

    async def story(bench: Bench) -> None:
        await bench.advance(20)

    run(role, story)
    assert most == TERMS.actions_at_once
    assert role.found == []


@pytest.mark.parametrize("error", [LedgerUnavailable("down"), RuntimeError("a bug")])
def test_a_survey_that_fails_is_repeated_with_patience(error: Exception) -> None:
    role = ScriptedRole([WORK], survey_error=error)

    async def story(bench: Bench) -> None:
        await bench.advance(30)
        assert 3 <= role.surveys <= 8
        (failing,) = bench.loop.status.failing
        assert failing.action == "reading the ledger"
        role.survey_error = None
        await bench.advance(10)
        assert bench.loop.status.failing == ()

    run(role, story)
    assert role.performed


def test_a_bug_in_one_action_does_not_stop_the_loop() -> None:
    async def broken(action: Action) -> None:
        raise RuntimeError("a bug")

    role = ScriptedRole([WORK], broken)

    async def story(bench: Bench) -> None:
        await bench.advance(2)

    bench = run(role, story)
    assert len(role.performed) >= 2
    assert bench.loop.status.failing[0].error == "a bug"


def test_a_broken_event_stream_is_opened_again() -> None:
    role = ScriptedRole()

    async def story(bench: Bench) -> None:
        bench.ledger.break_events(LedgerUnavailable("restarting"))
        await bench.advance(3)
        before = role.surveys
        bench.ledger.emit("round:Open")
        await bench.advance(0.1)
        assert role.surveys == before + 1

    run(role, story)


def test_cancelling_ends_every_running_action() -> None:
    role = ScriptedRole([WORK])
    ended: list[str] = []

    async def endless(action: Action) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(action.label)

    role.does = endless
    bench = run(role, nothing)
    assert ended == ["task:Close wine/0"]
    assert bench.loop.status.running == ()
    assert role.clock.sleeper_count == 0


def test_a_broken_observer_does_not_stop_the_loop() -> None:
    role = ScriptedRole([WORK], fail)

    async def play() -> None:
        def observe(progress: Progress) -> None:
            raise RuntimeError("the display is gone")

        loop = ReconcilerLoop(role, ScriptedLedger(), role.clock, TERMS, observe)
        task = asyncio.create_task(loop.run())
        await role.clock.advance(10)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())
    assert len(role.performed) >= 3


def test_a_loop_runs_until_something_is_over_and_its_errors_come_out() -> None:
    async def story() -> None:
        over, endless = asyncio.Event(), asyncio.create_task(asyncio.Event().wait())

        async def wait() -> None:
            await over.wait()

        async def loop() -> None:
            await endless

        running = asyncio.create_task(run_until(wait(), loop()))
        await asyncio.sleep(0)
        assert not running.done()
        over.set()
        await running
        assert endless.cancelled()

        async def fail() -> None:
            raise LedgerUnavailable("gone")

        over.clear()
        with pytest.raises(LedgerUnavailable):
            await run_until(wait(), fail())

    asyncio.run(story())
