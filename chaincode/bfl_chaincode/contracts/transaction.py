"""The frame of every transaction: request in, caller checked, result, records and event out.

Decides nothing of its own. A submission reads one record more than its rules ask for: the caller's organization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bfl_chaincode import commands
from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_chaincode.api.events import VERSION, ContractEvent
from bfl_chaincode.api.records import Caller, Organization, to_json
from bfl_chaincode.caller import caller_of
from bfl_chaincode.rules import callers
from bfl_chaincode.rules.callers import Call
from bfl_chaincode.shim.contract_api import TransactionContext
from bfl_chaincode.world_state import WorldState

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Transaction(Generic[C]):
    """One submission: its checked request, its call and its view of the state."""

    name: str
    command: C
    call: Call
    state: WorldState

    async def commit(
        self,
        result: object | Sequence[object],
        *others: object,
        refs: Sequence[str] = (),
        round_number: int = 0,
    ) -> str:
        """Store result and others, set the event, and return the result's canonical JSON."""
        results = result if isinstance(result, tuple) else (result,)
        await self.state.put(*results, *others)
        return self.announce(result, refs, round_number)

    def announce(self, result: object, refs: Sequence[str], round_number: int = 0) -> str:
        """Set the event and return the result's canonical JSON, storing nothing."""
        contract, _, transaction = self.name.partition(":")
        task = getattr(self.command, "task_id", "")
        number = round_number or getattr(self.command, "round", 0)
        self.state.emit(ContractEvent(VERSION, contract, transaction, task, number, tuple(refs)))
        return answer(result)


async def submission(ctx: TransactionContext, request: str, kind: type[C]) -> Transaction[C]:
    """Read a member's submission. Raises the refusals of its form and of its caller's membership."""
    transaction = outsider(ctx, request, kind)
    msp_id = transaction.call.caller.msp_id
    callers.require_member(transaction.call, await transaction.state.find(Organization, msp_id))
    return transaction


def outsider(ctx: TransactionContext, request: str, kind: type[C]) -> Transaction[C]:
    """Read a submission whose caller need not be a member: there is no federation yet."""
    stub = ctx.get_stub()
    state = WorldState(stub)
    command = commands.parse(kind, request)
    call = Call(caller_of(stub), state.now(), state.transaction_id)
    return Transaction(stub.get_function_and_parameters()[0], command, call, state)


def query(ctx: TransactionContext, request: str, kind: type[C]) -> tuple[C, WorldState]:
    """Read a query; whoever may read the channel may ask."""
    return commands.parse(kind, request), WorldState(ctx.get_stub())


def asking(ctx: TransactionContext) -> Caller:
    """Return who asks."""
    return caller_of(ctx.get_stub())


def answer(result: object) -> str:
    """Return the canonical JSON of a record or of a tuple of records."""
    value: Json = [to_json(item) for item in result] if isinstance(result, tuple) else to_json(result)
    return canonical.text(value)
