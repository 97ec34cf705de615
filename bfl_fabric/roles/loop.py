"""The loop around a role: read the ledger, see what is due, do it; on start, on each event and on a timer.

Decides when to look again and when to try again. It keeps nothing that matters: a loop that is killed at any
moment is replaced by a new one, which finds the same things due.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from bfl_fabric.domain.ports import Clock, Ledger
from bfl_fabric.errors import BflError, LedgerRefused
from bfl_fabric.roles.actions import Action, Role
from bfl_fabric.roles.progress import Failing, Observer, Progress, ProgressKind, Status, guarded

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoopTerms:
    """How often a loop looks and how it waits after something did not succeed (doubling, up to a limit)."""

    poll_seconds: float = 5.0
    pause_seconds: float = 0.03
    first_retry_seconds: float = 0.25
    last_retry_seconds: float = 30.0
    actions_at_once: int = 32

    def retry_seconds(self, attempts: int) -> float:
        """Return the wait after this many attempts in a row."""
        doublings = min(max(attempts - 1, 0), 32)
        return min(self.last_retry_seconds, self.first_retry_seconds * 2.0**doublings)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An action that was tried and may still be due."""

    count: int
    again_at_ms: int
    error: str


class ReconcilerLoop:
    """Runs one role until it is cancelled."""

    def __init__(
        self, role: Role, ledger: Ledger, clock: Clock, terms: LoopTerms, observer: Observer
    ) -> None:
        self._role = role
        self._ledger = ledger
        self._clock = clock
        self._terms = terms
        self._observer = guarded(observer)
        self._wake = asyncio.Event()
        self._running: dict[Action, asyncio.Task[None]] = {}
        self._attempts: dict[Action, _Attempt] = {}
        self._due: set[Action] = set()
        self._survey_attempt = _Attempt(0, 0, "")
        self._surveyed_at_ms = 0
        self._rests_since_listening = 0
        self._has_more = False

    @property
    def status(self) -> Status:
        """How the role is doing now."""
        failing = [
            Failing(action.label, attempt.error, attempt.count, attempt.again_at_ms)
            for action, attempt in self._attempts.items()
            if attempt.error
        ]
        survey = self._survey_attempt
        if survey.error:
            failing.append(Failing("reading the ledger", survey.error, survey.count, survey.again_at_ms))
        running = tuple(sorted(action.label for action in self._running))
        return Status(self._role.name, self._surveyed_at_ms, running, tuple(failing))

    async def run(self) -> None:
        """Reconcile until cancelled; then every running action is cancelled too, and awaited."""
        watchers = [asyncio.create_task(self._listen()), asyncio.create_task(self._feel())]
        try:
            while True:
                self._wake.clear()
                await self._reconcile()
                await self._rest()
        finally:
            await _end([*watchers, *self._running.values()])
            self._running.clear()

    async def _listen(self) -> None:
        """Wake the loop for each event; events only wake, so a broken stream loses nothing.

        Nobody says when a new stream stands, so what happens until then is found by the timer, which begins fast.
        """
        failures = 0
        while True:
            self._rests_since_listening = 0
            try:
                async for event in self._ledger.events():
                    failures = 0
                    if not self._role.is_deaf_to(event):
                        self._wake.set()
            except BflError as error:
                logger.info("%s: the event stream broke off: %s", self._role.name, error)
            except Exception:
                logger.exception("%s: the event stream failed", self._role.name)
            failures += 1
            await self._clock.sleep(self._terms.retry_seconds(failures))
            self._wake.set()

    async def _feel(self) -> None:
        """Wake the loop when the role is stirred by something beside the ledger."""
        while True:
            await self._role.stirred()
            self._wake.set()

    async def _reconcile(self) -> None:
        now_ms = self._clock.now_ms()
        if now_ms < self._survey_attempt.again_at_ms:
            return
        try:
            found = await self._role.survey()
        except Exception as error:
            self._survey_attempt = self._after(self._survey_attempt, error)
            self._report(Action("", 0), self._survey_attempt, error)
            return
        self._survey_attempt = _Attempt(0, 0, "")
        self._surveyed_at_ms = now_ms
        self._forget_settled(found)
        self._has_more = False
        for action in found:
            self._start(action)

    def _forget_settled(self, found: list[Action]) -> None:
        """Drop what is no longer due: it was done, by this actor or by a faster one."""
        self._due = set(found)
        kept = {*found, *self._running}
        self._attempts = {action: tried for action, tried in self._attempts.items() if action in kept}

    def _start(self, action: Action) -> None:
        tried = self._attempts.get(action)
        waiting = tried is not None and self._clock.now_ms() < tried.again_at_ms
        if action in self._running or waiting:
            return
        if len(self._running) >= self._terms.actions_at_once:
            self._has_more = True
            return
        self._running[action] = asyncio.create_task(self._perform(action))

    async def _perform(self, action: Action) -> None:
        wakes = True
        try:
            await self._role.perform(action)
        except Exception as error:
            self._note(action, error)
        else:
            self._note(action, None)
            wakes = action.leads_on or self._has_more
        finally:
            self._running.pop(action, None)
            if wakes:
                self._wake.set()

    def _note(self, action: Action, error: Exception | None) -> None:
        """Write down how an attempt ended: an action that stays due is tried again later, even after success.

        What succeeded is not due any more until a survey finds it again, so nothing wakes the loop for it.
        """
        if error is None:
            self._due.discard(action)
        before = self._attempts.get(action, _Attempt(0, 0, ""))
        after = self._after(before, error)
        if isinstance(error, LedgerRefused) and before.count == 0:
            after = _Attempt(after.count, 0, after.error)
            logger.debug("%s: %s was refused, reading again: %s", self._role.name, action.label, error)
        elif error is not None:
            self._report(action, after, error)
        self._attempts[action] = after

    def _after(self, before: _Attempt, error: Exception | None) -> _Attempt:
        count = before.count + 1
        again_at_ms = self._clock.now_ms() + round(self._terms.retry_seconds(count) * 1000)
        return _Attempt(count, again_at_ms, "" if error is None else str(error) or type(error).__name__)

    def _report(self, action: Action, attempt: _Attempt, error: Exception) -> None:
        if isinstance(error, BflError):
            logger.warning("%s: %s did not succeed: %s", self._role.name, action.label, error)
        else:
            logger.error("%s: %s failed", self._role.name, action.label, exc_info=error)
        text, numbers = f"{action.label}: {attempt.error}", (("attempts", attempt.count),)
        now_ms = self._clock.now_ms()
        self._observer(
            Progress(
                ProgressKind.FAILED, self._role.name, action.task_id, action.round, now_ms, text, numbers
            )
        )

    async def _rest(self) -> None:
        """Wait for an event, a finished action, the next retry or the timer; always a little, never spinning."""
        await self._clock.sleep(self._terms.pause_seconds)
        woken = asyncio.create_task(self._wake.wait())
        timer = asyncio.create_task(self._clock.sleep(self._rest_seconds()))
        try:
            await asyncio.wait([woken, timer], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end([woken, timer])

    def _rest_seconds(self) -> float:
        now_ms = self._clock.now_ms()
        self._rests_since_listening += 1
        waiting = self._due - self._running.keys()
        tries = [tried for action, tried in self._attempts.items() if action in waiting]
        retries = [tried.again_at_ms - now_ms for tried in (*tries, self._survey_attempt)]
        timer = min(self._terms.poll_seconds, self._terms.retry_seconds(self._rests_since_listening))
        waits = [timer, *(wait / 1000 for wait in retries if wait > 0)]
        return max(min(waits), self._terms.pause_seconds)


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run_until(over: Coroutine[Any, Any, None], loop: Coroutine[Any, Any, None]) -> None:
    """Run a loop until something is over; raises what either raises, and neither outlives the call."""
    tasks = [asyncio.create_task(over), asyncio.create_task(loop)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(tasks)


async def run_all(*loops: Coroutine[Any, Any, None]) -> None:
    """Run several loops until one fails or the caller is cancelled; none outlives the call."""
    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(loop)
