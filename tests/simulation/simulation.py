"""Plays a plan: the operations one by one, then an honest end in which every actor is up and nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from bfl_chaincode.api.records import RoundView, TaskStatus
from bfl_fabric.domain.ports import TransferCaller
from bfl_fabric.errors import BflError
from bfl_fabric.testing.clock import ManualClock
from bfl_fabric.testing.faults import FaultPlan
from bfl_fabric.testing.network import Delivery, FakeChannel
from tests.simulation.operations import (
    CrashLedger,
    Deliver,
    DieAt,
    Kill,
    Meet,
    Operation,
    Plan,
    Restart,
    Silence,
    Skew,
    Snoop,
    Step,
    Wait,
)
from tests.simulation.world import SILOS, TASK, Host, World

PATIENCE_STEPS = 1_500
ENDED = (TaskStatus.CLOSED, TaskStatus.ABANDONED)


Deliverers: TypeAlias = Mapping[int, frozenset[str]]
"""Whose updates count, by round."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a simulation plays: its time, its ledger and a folder for its files."""

    clock: ManualClock
    host: Host
    folder: Path


class Stuck(AssertionError):
    """The federation does not come to an end although nothing is wrong any more."""


@dataclass(slots=True)
class Simulation:
    """One play of a plan. `trace` says what each operation did, `begun` how many persisted steps each actor had
    taken when the first round was still to be opened, `quiet_after_round` the last round that met faults."""

    plan: Plan
    world: World
    trace: list[str] = field(default_factory=list)
    deliverers: Deliverers | None = None
    begun: dict[str, int] = field(default_factory=dict)
    quiet_after_round: int = 0

    @classmethod
    def create(cls, plan: Plan, stage: Stage, deliverers: Deliverers | None = None) -> Simulation:
        """With `deliverers`, only these silos take part in each round, and nobody in a round without entry."""
        world = World(stage.clock, stage.host, stage.folder, plan.seed, plan.terms)
        return cls(plan, world, deliverers=deliverers)

    async def play(self) -> RoundView:
        """Play to the end and return the last view. Raises Stuck."""
        await self.world.begin()
        self.begun = {name: actor.switch.passed for name, actor in self.world.actors.items()}
        for number, operation in enumerate(self.plan.operations):
            outcome = await self._apply(operation)
            died = self.world.bury()
            self.trace.append(f"{number:4} {operation} -> {outcome}{f' and {died} crashed' if died else ''}")
        return await self._finish()

    async def _apply(self, operation: Operation) -> str:
        match operation:
            case Step(name, pick, fresh):
                return await self._step(name, pick, fresh=fresh)
            case Wait(seconds):
                self.world.clock.move(seconds)
            case Meet(name, fault):
                self.world.actors[name].faults.add(fault)
            case DieAt(name, steps, after_effect):
                self.world.actors[name].switch.arm(steps, after_effect=after_effect)
            case Kill(name):
                self.world.stop(self.world.actors[name])
            case Restart(name):
                self._restart(name)
            case Skew(name, seconds):
                self.world.actors[name].clock.skew_ms = seconds * 1000
            case CrashLedger():
                self.world.host.crash()
            case Silence(name):
                await self._silence(name)
            case Deliver():
                return await self._deliver(operation)
            case Snoop():
                return await self._snoop(operation)
        return "ok"

    async def _step(self, name: str, pick: int, *, fresh: bool) -> str:
        await self._obey_deliverers(name)
        return await self.world.step(self.world.actors[name], pick, fresh=fresh)

    async def _obey_deliverers(self, name: str) -> None:
        if self.deliverers is None or name not in SILOS:
            return
        number = await self._round_number()
        if name not in self.deliverers.get(number, frozenset()):
            self.world.actors[name].silent_in_round = number

    async def _silence(self, name: str) -> None:
        self.world.actors[name].silent_in_round = await self._round_number()

    async def _round_number(self) -> int:
        current = (await self.world.reader.current(TASK)).round
        return 0 if current is None else current.number

    def _restart(self, name: str) -> None:
        actor = self.world.actors[name]
        if actor.process is None:
            self.world.start(actor)

    async def _deliver(self, operation: Deliver) -> str:
        delivered = self.world.network.deliveries
        if not delivered:
            return "nothing to deliver yet"
        old = delivered[operation.pick % len(delivered)]
        caller = self.world.actors[operation.caller]
        try:
            await self._deliver_again(old, TransferCaller(caller.msp_id, caller.name), operation.node)
        except BflError as error:
            return f"{old.name} from {caller.name}: {type(error).__name__}"
        return f"{old.name} from {caller.name}: taken"

    async def _deliver_again(self, old: Delivery, caller: TransferCaller, node: str) -> None:
        path = self.world.network.incoming(old.data)
        try:
            channel = FakeChannel(self.world.network, caller, FaultPlan())
            await channel.upload(self.world.actors[node].address, old.name, old.digest, path)
        finally:
            path.unlink(missing_ok=True)

    async def _snoop(self, operation: Snoop) -> str:
        view = await self.world.reader.current(TASK)
        wanted = [(update.digest, update.size_bytes) for update in view.updates]
        if view.round is not None and view.round.aggregate_digest:
            wanted.append((view.round.aggregate_digest, view.round.aggregate_bytes))
        if not wanted:
            return "nothing to ask for yet"
        actor, node = self.world.actors[operation.actor], self.world.actors[operation.node]
        channel = FakeChannel(self.world.network, TransferCaller(actor.msp_id, actor.name), FaultPlan())
        digest, size_bytes = wanted[operation.pick % len(wanted)]
        try:
            await channel.download(node.address, digest, size_bytes, actor.blobs)
        except BflError as error:
            return type(error).__name__
        return "given"

    # --- the honest end -------------------------------------------------------------------------

    async def _finish(self) -> RoundView:
        self.quiet_after_round = await self._round_number()
        for actor in self.world.actors.values():
            actor.faults.clear()
            actor.clock.skew_ms = 0
        draw = random.Random(self.plan.seed)
        for _ in range(PATIENCE_STEPS):
            if await self._nothing_happens(draw):
                view = await self.world.reader.current(TASK)
                if view.task.status in ENDED:
                    return view
                self.world.clock.move(10)
        view = await self.world.reader.current(TASK)
        raise Stuck(f"{view.task.status}, round {view.round}")

    async def _nothing_happens(self, draw: random.Random) -> bool:
        """Let every actor do one thing, in some order; say whether nobody got anything done."""
        order = list(self.world.actors)
        draw.shuffle(order)
        idle = True
        for name in order:
            self._restart(name)
            outcome = await self._step(name, draw.randrange(12), fresh=True)
            died = self.world.bury()
            self.trace.append(f"  end {name} -> {outcome}{f' and {died} crashed' if died else ''}")
            idle = idle and not died and not outcome.endswith(("done", "crashed"))
        return idle
