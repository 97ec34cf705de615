"""What the conformance suite leaves out, on real peers of 2.5 and of 3.1: batches, chaincode to chaincode, restarts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bfl_chaincode.shim.service import ContractServer
from bfl_chaincode.shim.stub import ChaincodeStub, Response
from bfl_fabric.errors import ProgramsMissing
from bfl_fabric.fabric.gateway_transport import GatewayFailure
from bfl_fabric.network.programs import find_programs
from tests.chaincode.shim_service.real_service import GatheringNetwork, RealChannel, served
from tests.conformance.probe import LoopThread, Probe, unique
from tests.conformance.probe_contract import ProbeContract

pytestmark = [pytest.mark.needs_fabric, pytest.mark.slow]
NAME = "probe"


class WiderProbe(ProbeContract):
    """Also what the conformance suite's contract does not do: many keys at once, calling another chaincode."""

    async def invoke(self, stub: ChaincodeStub) -> Response:
        name, arguments = stub.get_function_and_parameters()
        if name == "many":
            first, count = arguments[0], int(arguments[1])
            keys = [f"{first}{number:04}" for number in range(count)]
            found = await stub.get_multiple_states(*keys)
            for key in keys:
                await stub.put_state(key, key.encode())
            return Response(200, str(sum(map(bool, found))).encode(), "")
        if name == "chain":
            answer = await stub.invoke_chaincode(arguments[0], [part.encode() for part in arguments[1:]])
            return Response(answer.status, answer.payload, answer.message)
        return await super().invoke(stub)


@pytest.fixture(scope="module", params=["2.5.16", "3.1.5"])
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    try:
        programs = find_programs(request.param)
    except ProgramsMissing as missing:
        pytest.skip(str(missing))
    loop = LoopThread()
    contract = WiderProbe()
    with (
        GatheringNetwork(programs, tmp_path_factory.mktemp("real")) as network,
        served(network, NAME, contract.invoke) as servers,
    ):
        channel: Any = RealChannel(network, NAME)
        channel.version, channel.servers, channel.network = request.param, servers, network
        client = Probe(channel, loop)
        _warm_up(client)
        try:
            yield client
        finally:
            client.close()
    loop.close()


def _warm_up(client: Probe) -> None:
    """The gateway finds the other organization's peer within seconds of its start."""
    deadline = time.monotonic() + 30
    while True:
        try:
            client.submit("put", "warm", "up")
            return
        except GatewayFailure:
            assert time.monotonic() < deadline
            time.sleep(0.3)


def test_many_writes_and_reads_in_one_transaction(probe: Probe) -> None:
    prefix = unique("many")
    pairs = [text for number in range(130) for text in (f"{prefix}/{number:03}", str(number))]
    probe.submit("put", *pairs)
    rows = probe.json("range", prefix + "/", prefix + "0")
    assert rows == [[f"{prefix}/{number:03}", str(number)] for number in range(130)]
    again = unique("together")
    assert probe.submit("many", again, "250").result == b"0"
    assert probe.evaluate("many", again, "250") == b"250"
    kinds = probe.channel.servers[0].metrics.text()  # type: ignore[attr-defined]
    gathers = probe.channel.version.startswith("3")  # type: ignore[attr-defined]
    assert ('kind="WRITE_BATCH_STATE"' in kinds) is gathers
    assert ('kind="GET_STATE_MULTIPLE"' in kinds) is gathers


def test_another_chaincode_can_be_called(probe: Probe) -> None:
    network = probe.channel.network  # type: ignore[attr-defined]
    with served(network, "other", ProbeContract().invoke):
        deadline = time.monotonic() + 20
        while True:
            try:
                assert json.loads(probe.evaluate("chain", "other", "echo", "hello")) == ["hello"]
                break
            except GatewayFailure:
                assert time.monotonic() < deadline
                time.sleep(0.3)
        with pytest.raises(GatewayFailure, match="no, thank you"):
            probe.evaluate("chain", "other", "fail", "no, thank you")
    with pytest.raises(GatewayFailure, match="INVOKE_CHAINCODE failed"):
        probe.evaluate("call", "nobody")


def test_a_peer_comes_back_to_a_service_that_was_started_again(probe: Probe) -> None:
    servers: list[ContractServer] = probe.channel.servers  # type: ignore[attr-defined]
    old = servers[0]
    old.stop(1.0)
    with pytest.raises(GatewayFailure):
        probe.endorse("put", "while it is gone", "x")
    again = ContractServer(WiderProbe().invoke, old._settings)
    again.start()
    servers[0] = again
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                probe.submit("put", "after it is back", "x")
                break
            except GatewayFailure:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        assert again.metrics.value("streams") == 1
    finally:
        again.stop(1.0)
