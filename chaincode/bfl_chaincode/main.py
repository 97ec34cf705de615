"""Builds the chaincode, and runs one transaction of it so that nothing but a Response ever comes out.

Decides which contracts there are and how a call ends: with status 200 and canonical JSON, or with status 500
and a coded refusal. No traceback and no state value is ever in a message. It is the only reader of the environment;
what the settings mean is left to the service that runs as a process (`__main__`).
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping

from bfl_chaincode.api import refusals
from bfl_chaincode.api.errors import Refusal
from bfl_chaincode.contracts.audit import AuditContract
from bfl_chaincode.contracts.federation import FederationContract
from bfl_chaincode.contracts.governance import GovernanceContract
from bfl_chaincode.contracts.key import KeyContract
from bfl_chaincode.contracts.model import ModelContract
from bfl_chaincode.contracts.opening import OpeningContract
from bfl_chaincode.contracts.reputation import ReputationContract
from bfl_chaincode.contracts.reward import RewardContract
from bfl_chaincode.contracts.round import RoundContract
from bfl_chaincode.contracts.task import TaskContract
from bfl_chaincode.shim.contract_api import Contract, ContractChaincode
from bfl_chaincode.shim.stub import ChaincodeStub, Response

CONTRACTS: tuple[type[Contract], ...] = (
    FederationContract,
    TaskContract,
    KeyContract,
    RoundContract,
    OpeningContract,
    RewardContract,
    ReputationContract,
    ModelContract,
    AuditContract,
    GovernanceContract,
)

OK, REFUSED = 200, 500


def _transactions() -> dict[str, bool]:
    found: dict[str, bool] = {}
    for contract in CONTRACTS:
        queries = contract.get_evaluate_transactions(contract())
        for name, member in vars(contract).items():
            if inspect.iscoroutinefunction(member):
                found[f"{contract.Name}:{name}"] = name in queries
    return found


TRANSACTIONS = _transactions()
"""Every transaction by name; True for those that are only evaluated."""


def build_chaincode() -> ContractChaincode:
    """Return a chaincode of all contracts; it keeps no state between transactions."""
    return ContractChaincode.new_chaincode(*[contract() for contract in CONTRACTS])


def environment() -> Mapping[str, str]:
    """Return the settings that the process was given, those named CHAINCODE_…"""
    return {name: value for name, value in os.environ.items() if name.startswith("CHAINCODE_")}


async def invoke(chaincode: ContractChaincode, stub: ChaincodeStub) -> Response:
    """Run one transaction. Never raises: every failure is a Response with status 500 and a `BFL-nnn: text`."""
    try:
        name, arguments = stub.get_function_and_parameters()
        _require_call(name, arguments)
        response = await chaincode.invoke(stub)
        if response.status < 400:
            return Response(OK, bytes(response.payload), "")
        message = response.message
    except Refusal as refusal:
        message = str(refusal)
    except Exception as error:
        message = f"outside the contract's code: {type(error).__name__}"
    return Response(REFUSED, b"", _coded(message))


def _require_call(name: str, arguments: list[str]) -> None:
    """The official dispatcher takes other spellings of a name, its own metadata contract and extra arguments."""
    if name not in TRANSACTIONS:
        raise refusals.UnknownTransaction(f"{name[:80]!r} is none")
    if len(arguments) != 1:
        raise refusals.NotOneArgument(f"{len(arguments)} arguments were sent")


def _coded(message: str) -> str:
    """Keep a refusal's text; whatever else it says may hold values of the state."""
    if re.match(r"BFL-\d{3}: ", message, re.ASCII):
        return message
    return str(refusals.ContractFault("something failed that no rule foresees"))
