"""A contract that hangs, spins, ends or asks for too much: that call fails clearly, all others go on."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from bfl_fabric.fabric.envelopes import ValidationCode
from bfl_fabric.fabric.gateway_transport import GatewayFailure, GatewayStatus
from bfl_fabric.network.programs import find_programs
from tests.conformance.probe import Call, unique
from tests.fabric.load import committed
from tests.fabric.running import RunningNetwork

pytestmark = [pytest.mark.needs_fabric("3.1"), pytest.mark.slow]
STALL_SECONDS = 2.0
"""On a machine that does nothing else; with more work than processors everything takes as many times longer."""

PEER_SECONDS = 20
"""Less than a peer waits for a transaction (30 s): what ends sooner was not ended by that."""

ROWS, SCANS = 1000, 50


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    place = tmp_path_factory.mktemp("bad-contracts") / "network"
    with RunningNetwork(place, find_programs("3.1"), "raft") as network:
        yield network


def crowding() -> float:
    """Return how many processes want each processor, at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def meanwhile(running: RunningNetwork, what: str, disturbance: Coroutine[Any, Any, Any]) -> Any:
    """Run a disturbance; meanwhile other transactions must be committed one after the other without a stall."""
    probe = running.probe
    took: list[float] = []

    async def others(disturbing: asyncio.Task[Any]) -> None:
        while not disturbing.done() or len(took) < 5:
            began = time.monotonic()
            code = await committed(probe, Call("put", (unique("other"), "x")))
            took.append(time.monotonic() - began)
            assert code is ValidationCode.VALID

    async def story() -> Any:
        disturbing = asyncio.create_task(disturbance)
        await others(disturbing)
        return await asyncio.gather(disturbing, return_exceptions=True)

    (outcome,) = running.loop.run(story(), 120)
    limit = STALL_SECONDS * crowding()
    sys.stdout.write(f"{what}: {len(took)} others, the slowest took {max(took):.2f} s, limit {limit:.1f} s\n")
    assert max(took) < limit
    return outcome


@pytest.mark.parametrize(("function", "argument"), [("hang", "half done"), ("spin", "8")])
def test_a_function_that_does_not_return_holds_nobody_up(
    running: RunningNetwork, function: str, argument: str
) -> None:
    msp_ids = running.channel.msp_ids
    call = Call(function, (argument,), organization=0, organizations=msp_ids[:1])
    began = time.monotonic()
    outcome = meanwhile(running, function, running.probe.evaluating(call))
    assert isinstance(outcome, GatewayFailure)
    assert "the contract held its thread for more than 1.5 s" in str(outcome)
    assert time.monotonic() - began < PEER_SECONDS


def test_a_function_that_ends_the_process_fails_at_once_and_the_service_is_back(
    running: RunningNetwork,
) -> None:
    """The other organizations' services go on; this one is started again by the supervisor."""
    key = unique("half")
    call = Call("exit", (key,), organization=2, organizations=running.channel.msp_ids[2:])
    began = time.monotonic()
    outcome = meanwhile(running, "exit", running.probe.endorsing(call))
    assert isinstance(outcome, GatewayFailure)
    assert "chaincode stream terminated" in str(outcome)
    assert time.monotonic() - began < PEER_SECONDS
    running.loop.run(running.network.until_endorsed(), 60)
    assert running.probe.evaluate("get", key, organization=2) == b""


@pytest.mark.parametrize("function", ["leave", "fail_later"])
def test_an_exception_that_no_contract_catches_does_not_end_the_service(
    running: RunningNetwork, function: str
) -> None:
    before = dict(running.network.supervisor.process_ids())
    outcome = meanwhile(running, function, running.probe.evaluating(Call(function)))
    if function == "leave":
        assert isinstance(outcome, GatewayFailure)
        assert "the contract failed outside its own refusals: SystemExit" in str(outcome)
    else:
        assert outcome == b"well"
        time.sleep(0.5)
    assert running.network.supervisor.process_ids() == before
    assert running.probe.evaluate("echo", "still here") == b'["still here"]'


def test_an_argument_of_twenty_megabytes_is_refused_by_the_orderer_and_holds_nobody_up(
    running: RunningNetwork,
) -> None:
    large = "x" * (20 << 20)

    async def disturbance() -> None:
        endorsed = await running.probe.endorsing(Call("put", (unique("large"), large), organization=1))
        await running.probe.ordering(endorsed, 1)

    outcome = meanwhile(running, "20 MB argument", disturbance())
    assert isinstance(outcome, GatewayFailure)
    assert outcome.status is GatewayStatus.ABORTED
    assert "exceeds maximum allowed" in str(outcome)


def test_fifty_range_scans_at_once_hold_nobody_up(running: RunningNetwork) -> None:
    prefix = unique("scan") + "/"
    running.probe.submit("put_many", prefix, str(ROWS))

    async def disturbance() -> list[bytes]:
        call = Call("range_then_put", (prefix, prefix + "~", unique("count")))
        return list(await asyncio.gather(*(running.probe.evaluating(call) for _ in range(SCANS))))

    outcome = meanwhile(running, "50 range scans", disturbance())
    assert outcome == [str(ROWS + 1).encode()] * SCANS
