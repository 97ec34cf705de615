"""A service with the contract that these tests drive, and a scripted peer on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from bfl_chaincode.shim.service import ContractServer, ServiceSettings
from bfl_chaincode.shim.stub import ChaincodeStub, Response
from tests.chaincode.shim_service.fake_peer import FakePeer
from tests.conformance.probe_contract import ProbeContract


class TestedContract(ProbeContract):
    """Also does what a contract must not: hang, raise past its own door, answer nonsense, wait for something else."""

    __test__ = False

    def __init__(self) -> None:
        self.release = threading.Event()

    async def invoke(self, stub: ChaincodeStub) -> Any:
        name = stub.get_function_and_parameters()[0] if stub.get_txid() != "f" * 64 else "raise"
        outside = getattr(self, f"outside_{name}", None)
        return await (outside(stub) if outside else super().invoke(stub))

    async def outside_raise(self, stub: ChaincodeStub) -> None:
        raise LookupError("SECRET")

    async def outside_exit(self, stub: ChaincodeStub) -> None:
        raise SystemExit("SECRET")

    async def outside_nonsense(self, stub: ChaincodeStub) -> str:
        return "SECRET"

    async def outside_wait(self, stub: ChaincodeStub) -> None:
        await Waiting()

    async def outside_give_way(self, stub: ChaincodeStub) -> Response:
        await GivingWay()
        return Response(200, b"back", "")

    async def outside_hang(self, stub: ChaincodeStub) -> Response:
        self.release.wait(60)
        await stub.put_state("hung", b"x")
        return Response(200, b"awake", "")

    async def outside_burn(self, stub: ChaincodeStub) -> Response:
        while not self.release.is_set():
            sum(range(1000))
        return Response(200, b"burnt", "")

    async def outside_slow(self, stub: ChaincodeStub) -> Response:
        _pause(0.3)
        return Response(200, b"slow", "")

    async def do_many(self, stub: ChaincodeStub, *keys: str) -> bytes:
        return b",".join(await stub.get_multiple_states(*keys))

    async def do_write_and_delete(self, stub: ChaincodeStub) -> None:
        await stub.put_state("a", b"1")
        await stub.delete_state("b")

    async def do_write_then_refuse(self, stub: ChaincodeStub) -> Response:
        await stub.put_state("a", b"1")
        return Response(500, b"", "no")

    async def do_write_policy_write(self, stub: ChaincodeStub) -> None:
        await stub.put_state("a", b"1")
        await stub.put_state("b", b"2")
        await stub.set_state_validation_parameter("a", b"\x08\x01")
        await stub.put_state("c", b"3")

    async def do_careless(self, stub: ChaincodeStub, key: str) -> bytes:
        try:
            return await stub.get_state(key)
        except RuntimeError as error:
            return f"caught {error}".encode()

    async def do_call_with(self, stub: ChaincodeStub, name: str, channel: str) -> Response:
        return await stub.invoke_chaincode(name, [b"f", b"\xff"], channel)


class Waiting:
    def __await__(self) -> Iterator[Any]:
        yield "something else"


class GivingWay:
    def __await__(self) -> Iterator[Any]:
        yield None


def _pause(seconds: float) -> None:
    time.sleep(seconds)


@pytest.fixture
def contract() -> Iterator[TestedContract]:
    made = TestedContract()
    yield made
    made.release.set()


@pytest.fixture
def server(contract: TestedContract) -> Iterator[ContractServer]:
    settings = ServiceSettings(
        "probe:1", "127.0.0.1:0", None, "127.0.0.1:0", answer_seconds=30, stuck_limit=4
    )
    made = ContractServer(contract.invoke, settings)
    made.start()
    yield made
    contract.release.set()
    made.stop(1.0)


@pytest.fixture
def connect(server: ContractServer) -> Iterator[Callable[..., FakePeer]]:
    """Connects further peers; `ready` is what they announce."""
    with ExitStack() as stack:
        yield lambda ready=b"": stack.enter_context(FakePeer(server.address, ready=ready)).register()


@pytest.fixture
def peer(connect: Callable[..., FakePeer]) -> FakePeer:
    """A peer of 2.5: it announces nothing."""
    return connect()
