"""The one door to the official contract API.

Importing that package sets the root logger to DEBUG, adds handlers and starts a thread that listens for log
records. Decides nothing: it hands out `Contract`, `ContractChaincode` and `TransactionContext` and puts the
host's logging back as it was. The classes seen by type checkers are the part of them that this contract uses.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Protocol

from bfl_chaincode.shim.stub import ChaincodeStub

_PACKAGE = "fabric_chaincode_python"


class DispatchResponse(Protocol):
    """The official dispatcher's answer, a protobuf `Response`."""

    @property
    def status(self) -> int: ...

    @property
    def payload(self) -> bytes: ...

    @property
    def message(self) -> str: ...


def _load_quietly() -> None:
    """Import the package and undo what it does to logging."""
    root, theirs = logging.getLogger(), logging.getLogger("asyncio")
    before = (root.level, list(root.handlers), list(theirs.handlers))
    quiet = importlib.import_module(f"{_PACKAGE}.fabric_shim.logging")
    importlib.import_module(f"{_PACKAGE}.fabric_contract_api.contractapi")
    root.setLevel(before[0])
    root.handlers[:], theirs.handlers[:] = before[1], before[2]
    listener = getattr(quiet, "_QUEUE_LISTENER", None)
    if listener is not None and getattr(listener, "_thread", None) is not None:
        listener.stop()


if TYPE_CHECKING:

    class TransactionContext:
        """What the dispatcher hands to a transaction."""

        def get_stub(self) -> ChaincodeStub: ...

    class Contract:
        """A named group of transactions: every public method is one."""

        Name: str

        def get_evaluate_transactions(self) -> list[str]: ...

    class ContractChaincode:
        """The dispatcher."""

        @classmethod
        def new_chaincode(cls, *contracts: Contract) -> ContractChaincode: ...

        async def invoke(self, stub: ChaincodeStub) -> DispatchResponse: ...

else:
    _load_quietly()
    from fabric_chaincode_python.fabric_contract_api.contractapi import (
        Contract,
        ContractChaincode,
        TransactionContext,
    )

__all__ = ["Contract", "ContractChaincode", "DispatchResponse", "TransactionContext"]
