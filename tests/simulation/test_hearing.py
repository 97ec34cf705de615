"""What a role is deaf to never makes anything due for it: held against whole tasks, transaction by transaction."""

from __future__ import annotations

import asyncio

import pytest

from bfl_chaincode.api.records import PACKED_SCHEME, THRESHOLD_SCHEME, TaskStatus
from bfl_fabric.roles.actions import Action
from bfl_fabric.testing.scheme import SCHEME_NAME
from tests.simulation.run import contract_stage
from tests.simulation.world import TASK, Actor, Terms, World

TURNS = 300


async def found(actor: Actor) -> frozenset[Action]:
    return frozenset(await actor.process.role.survey()) if actor.process else frozenset()


async def check(world: World) -> int:
    """Play a task to its end; return how many transactions somebody was deaf to."""
    unheard = 0
    for _ in range(TURNS):
        if (await world.reader.current(TASK)).task.status is TaskStatus.CLOSED:
            return unheard
        idle = True
        for actor in list(world.actors.values()):
            before = {name: await found(other) for name, other in world.actors.items() if other is not actor}
            stores = {name: world.actors[name].blobs.digests for name in before}
            first = len(world.host.history)
            outcome = await world.step(actor, 0)
            idle = idle and not outcome.endswith("done")
            events = world.host.history[first:]
            for name, earlier in before.items():
                other = world.actors[name]
                stirred = other.blobs.digests != stores[name]
                if not events or stirred or other.process is None:
                    continue
                if not all(other.process.role.is_deaf_to(event) for event in events):
                    continue
                unheard += 1
                names = [event.name for event in events]
                assert await found(other) <= earlier, f"{name} did not hear of {names}"
        if idle:
            world.clock.move(2)
    raise AssertionError("no end")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [SCHEME_NAME, PACKED_SCHEME, THRESHOLD_SCHEME])
def test_nothing_that_is_not_heard_makes_anything_due(scheme: str) -> None:
    async def whole() -> int:
        with contract_stage() as stage:
            world = World(stage.clock, stage.host, stage.folder, 0, Terms(rounds=2, scheme=scheme))
            await world.begin()
            return await check(world)

    assert asyncio.run(whole()) > 100
