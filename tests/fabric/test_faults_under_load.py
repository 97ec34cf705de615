"""kill -9 of every kind of process while writers keep at it: nothing that was acknowledged is ever lost."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from bfl_fabric.fabric.gateway_transport import GatewayFailure
from bfl_fabric.network.programs import find_programs
from tests.conformance.probe import Call, unique
from tests.fabric.load import Load, resumed, writing
from tests.fabric.running import RunningNetwork

pytestmark = [pytest.mark.needs_fabric("3.1"), pytest.mark.slow]
GATEWAYS = (0, 1)
WRITERS = 3
DOWN_SECONDS = 2.0
BACK_SECONDS = 120.0
Fault = Callable[[RunningNetwork, Load], Awaitable[None]]


@pytest.fixture(scope="module", params=["raft", pytest.param("bft", marks=pytest.mark.extended)])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningNetwork]:
    place = tmp_path_factory.mktemp(f"faults-{request.param}") / "network"
    with RunningNetwork(place, find_programs("3.1"), request.param) as network:
        yield network


def under_load(running: RunningNetwork, name: str, fault: Fault) -> tuple[Load, float, float]:
    """Commit a fault while writers are at it; afterwards nothing may be lost. Return what the writers saw."""
    load = Load()

    async def story() -> tuple[float, float]:
        async with writing(running.probe, load, GATEWAYS, WRITERS):
            await resumed(load, GATEWAYS, BACK_SECONDS)
            began = time.monotonic()
            await fault(running, load)
            await resumed(load, GATEWAYS, BACK_SECONDS)
            ended = time.monotonic()
        await running.all_caught_up()
        return began, ended

    began, ended = running.loop.run(story(), 280)
    lost = running.loop.run(running.missing(load), 60)
    blocks = running.verified_blocks()
    pauses = [load.pause_seconds(began, ended, gateway) for gateway in (None, *GATEWAYS)]
    sys.stdout.write(
        f"{running.network.topology.ledger_name}, {name}: pause {pauses[0]:.1f} s (by gateway "
        f"{pauses[1]:.1f} / {pauses[2]:.1f} s), acknowledged {len(load.acknowledged)}, lost "
        f"{sum(map(len, lost.values()))}, failed calls {sum(load.failures.values())}, {blocks} blocks verified\n"
    )
    assert not any(lost.values()), lost
    return load, began, ended


async def killed_for_a_while(running: RunningNetwork, *names: str) -> None:
    await running.kill(*names)
    await asyncio.sleep(DOWN_SECONDS)
    await running.restart(*names)


def test_a_peer_that_is_nobodys_gateway_is_killed(running: RunningNetwork) -> None:
    load, began, ended = under_load(running, "peer", lambda it, _: killed_for_a_while(it, "peer-lab"))
    assert load.pause_seconds(began, ended) < 10
    assert load.moments[0]


def test_the_gateway_peer_of_half_of_the_writers_is_killed(running: RunningNetwork) -> None:
    load, began, ended = under_load(
        running, "gateway peer", lambda it, _: killed_for_a_while(it, "peer-hospital")
    )
    assert load.failures, "the writers at the killed gateway must have noticed"
    assert load.pause_seconds(began, ended, 0) < 10


def test_a_contract_service_is_killed_in_the_middle_of_a_transaction(running: RunningNetwork) -> None:
    key, took = unique("half"), [0.0]

    async def fault(it: RunningNetwork, _: Load) -> None:
        call = Call("hang", (key,), organization=1, organizations=it.channel.msp_ids[1:2])
        began = time.monotonic()
        hanging = asyncio.create_task(it.probe.endorsing(call))
        await asyncio.sleep(0.5)
        await it.kill("contract-hospital")
        with pytest.raises(GatewayFailure):
            await hanging
        took[0] = time.monotonic() - began
        await asyncio.sleep(DOWN_SECONDS)
        await it.restart("contract-hospital")

    under_load(running, "contract service", fault)
    assert took[0] < 10, "the call in the middle must fail at once, not after the peer's 30 s"
    assert running.probe.evaluate("get", key) == b""


def test_the_orderer_that_leads_is_killed(running: RunningNetwork) -> None:
    """On Raft it is the only one, so commits wait for it; on BFT the other three choose another."""

    async def fault(it: RunningNetwork, load: Load) -> None:
        is_bft = len(it.network.plan.orderers) > 1
        leader = it.bft_leader() if is_bft else it.network.plan.orderers[0].name
        await it.kill(leader)
        if is_bft:
            await resumed(load, GATEWAYS, BACK_SECONDS)
            assert it.bft_leader() != leader
        await it.restart(leader)

    load, began, ended = under_load(running, "leading orderer", fault)
    assert load.pause_seconds(began, ended) < 45


def test_everything_is_killed_at_once(running: RunningNetwork) -> None:
    names = running.network.plan.names()

    async def fault(it: RunningNetwork, _: Load) -> None:
        await it.kill(*names)
        await it.restart(*names)

    load, began, ended = under_load(running, "everything", fault)
    assert load.pause_seconds(began, ended) < 60
