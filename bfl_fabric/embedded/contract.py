"""The contract as the embedded ledger runs it: in this process, once per peer, without ever waiting.

Decides how a chaincode is called and that whatever happens inside it comes out as a response, as it does on Fabric.
Which contract it is, the caller says; `bfl_contract` is the product's own.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from bfl_chaincode.main import build_chaincode, invoke
from bfl_chaincode.shim.stub import ChaincodeStub
from bfl_fabric.fabric.envelopes import Response

ERROR = 500


class Answer(Protocol):
    """The response of a chaincode; Fabric's own message has this shape."""

    @property
    def status(self) -> int: ...

    @property
    def payload(self) -> bytes: ...

    @property
    def message(self) -> str: ...


class Chaincode(Protocol):
    """What is hosted: `fabric_contract_api`'s ContractChaincode has this shape."""

    def invoke(self, stub: ChaincodeStub) -> Coroutine[Any, Any, Answer]: ...


class _BflContract:
    """The product's contract with the shell that its Fabric server puts around it."""

    def __init__(self) -> None:
        self._chaincode = build_chaincode()

    async def invoke(self, stub: ChaincodeStub) -> Answer:
        return await invoke(self._chaincode, stub)


def bfl_contract() -> Chaincode:
    """Return a new instance of the product's contract."""
    return _BflContract()


def run(chaincode: Chaincode, stub: ChaincodeStub) -> Response:
    """Run one transaction to its end. A failure inside the chaincode is a response with status 500."""
    try:
        answer = _finished(chaincode.invoke(stub))
        return Response(answer.status, answer.message, bytes(answer.payload))
    except (Exception, SystemExit) as error:
        return Response(ERROR, str(error) or type(error).__name__, b"")


def _finished(call: Coroutine[Any, Any, Answer]) -> Answer:
    """Step a coroutine whose awaitables are all ready; there is no event loop that anything could wait for."""
    try:
        while call.send(None) is None:
            pass
    except StopIteration as stop:
        answer: Answer = stop.value
        return answer
    call.close()
    raise RuntimeError("a contract must not wait for anything but the ledger")
