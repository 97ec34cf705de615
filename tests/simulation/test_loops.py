"""The same federation with its real loops: events, timers and retries under the manual clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bfl_chaincode.api.records import TaskStatus
from bfl_fabric.roles.loop import LoopTerms, ReconcilerLoop, run_all
from bfl_fabric.roles.progress import ignore
from bfl_fabric.testing.clock import ManualClock
from bfl_fabric.testing.contract import ContractHost
from bfl_fabric.testing.faults import Fault
from tests.simulation.invariants import check_safety
from tests.simulation.world import TASK, Terms, World


async def _play(folder: Path, *, faulty: bool) -> float:
    """Run every actor's loop until the task is closed; return how many seconds passed on the clock."""
    clock = ManualClock()
    world = World(clock, ContractHost(), folder, 0, Terms(rounds=2))
    await world.begin()
    loops = []
    for actor in world.actors.values():
        assert actor.process is not None
        if faulty:
            for fault in (Fault.REQUEST_LOST, Fault.RESPONSE_LOST, Fault.CORRUPTED):
                actor.faults.add(fault)
        ledger = actor.process.bench.ports.ledger
        loops.append(ReconcilerLoop(actor.process.role, ledger, actor.clock, LoopTerms(), ignore).run())
    running = asyncio.create_task(run_all(*loops))
    seconds = 0.0
    while (await world.reader.current(TASK)).task.status is TaskStatus.RUNNING and seconds < 600:
        await clock.advance(0.5)
        seconds += 0.5
    await clock.advance(30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert clock.sleeper_count == 0
    await check_safety(world, await world.reader.current(TASK))
    return seconds


def test_loops_close_a_task_by_events_alone(tmp_path: Path) -> None:
    assert asyncio.run(_play(tmp_path, faulty=False)) < LoopTerms().poll_seconds


def test_loops_close_a_task_through_lost_calls(tmp_path: Path) -> None:
    assert asyncio.run(_play(tmp_path, faulty=True)) < 60
